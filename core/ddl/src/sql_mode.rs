//! The session's `sql_mode` as the query event carries it. Only the bits that change how DDL text is read have names
//! here; the rest are kept so that the value can be handed on.

use serde::{Deserialize, Serialize};

/// The bit set of a query event's `Q_SQL_MODE_CODE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct SqlMode(pub u64);

impl SqlMode {
    pub const REAL_AS_FLOAT: Self = Self(1);
    pub const PIPES_AS_CONCAT: Self = Self(1 << 1);
    pub const ANSI_QUOTES: Self = Self(1 << 2);
    pub const IGNORE_SPACE: Self = Self(1 << 3);
    pub const NO_BACKSLASH_ESCAPES: Self = Self(1 << 20);

    /// The value of `@@sql_mode` as text. Names that do not change the reading of DDL text are ignored.
    pub fn parse(text: &str) -> Self {
        let mut bits = 0;
        for name in text.split(',') {
            bits |= match name.trim().to_ascii_uppercase().as_str() {
                "REAL_AS_FLOAT" => Self::REAL_AS_FLOAT.0,
                "PIPES_AS_CONCAT" => Self::PIPES_AS_CONCAT.0,
                "ANSI_QUOTES" => Self::ANSI_QUOTES.0,
                "IGNORE_SPACE" => Self::IGNORE_SPACE.0,
                "NO_BACKSLASH_ESCAPES" => Self::NO_BACKSLASH_ESCAPES.0,
                "ANSI" | "DB2" | "MAXDB" | "MSSQL" | "ORACLE" | "POSTGRESQL" => {
                    Self::PIPES_AS_CONCAT.0 | Self::ANSI_QUOTES.0 | Self::IGNORE_SPACE.0
                }
                _ => 0,
            };
        }
        Self(bits)
    }

    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
