//! What the names of charsets and collations tell by themselves.

use crate::table::{DataType, Table};

/// The charset a collation belongs to, from its name. `None` for MariaDB's collations that serve several charsets
/// (`uca1400_…`) and for names that say nothing.
pub fn of_collation(collation: &str) -> Option<&str> {
    let prefix = collation.split('_').next().unwrap_or(collation);
    match prefix {
        "uca1400" | "default" | "" => None,
        "utf8" => Some("utf8mb3"),
        other => Some(other),
    }
}

/// Bytes that the longest character of a charset takes; `None` for a charset that is not known.
pub fn max_bytes_per_char(charset: &str) -> Option<u8> {
    match charset {
        "utf8mb4" | "utf16" | "utf16le" | "utf32" | "gb18030" => Some(4),
        "utf8" | "utf8mb3" | "ujis" | "eucjpms" => Some(3),
        "gbk" | "gb2312" | "big5" | "sjis" | "cp932" | "euckr" | "ucs2" => Some(2),
        "binary" | "ascii" | "latin1" | "latin2" | "latin5" | "latin7" | "armscii8" | "cp1250" | "cp1251"
        | "cp1256" | "cp1257" | "cp850" | "cp852" | "cp866" | "dec8" | "geostd8" | "greek" | "hebrew" | "hp8"
        | "keybcs2" | "koi8r" | "koi8u" | "macce" | "macroman" | "swe7" | "tis620" => Some(1),
        _ => None,
    }
}

impl DataType {
    /// Whether values of the type are text in a charset of the column.
    pub fn has_charset(&self) -> bool {
        match self {
            Self::Char { .. }
            | Self::VarChar { .. }
            | Self::TinyText
            | Self::Text
            | Self::MediumText
            | Self::LongText
            | Self::Enum { .. }
            | Self::Set { .. } => true,
            Self::TinyInt
            | Self::SmallInt
            | Self::MediumInt
            | Self::Int
            | Self::BigInt
            | Self::Float
            | Self::Double
            | Self::Decimal { .. }
            | Self::Bit { .. }
            | Self::Date
            | Self::Time { .. }
            | Self::DateTime { .. }
            | Self::Timestamp { .. }
            | Self::Year
            | Self::Binary { .. }
            | Self::VarBinary { .. }
            | Self::TinyBlob
            | Self::Blob
            | Self::MediumBlob
            | Self::LongBlob
            | Self::Json
            | Self::Geometry { .. }
            | Self::Vector { .. }
            | Self::Uuid
            | Self::Inet4
            | Self::Inet6
            | Self::Other { .. } => false,
        }
    }

    /// The smallest TEXT type that holds so many bytes.
    pub(crate) fn text_for(n_bytes: u64) -> Self {
        match n_bytes {
            0 | 256..=0xffff => Self::Text,
            1..=255 => Self::TinyText,
            0x1_0000..=0xff_ffff => Self::MediumText,
            _ => Self::LongText,
        }
    }

    /// The type a character column gets under `CHARACTER SET binary`.
    pub(crate) fn as_binary(&self) -> Self {
        match self {
            Self::Char { n_chars } => Self::Binary { n_bytes: *n_chars },
            Self::VarChar { n_chars } => Self::VarBinary { n_bytes: *n_chars },
            Self::TinyText => Self::TinyBlob,
            Self::Text => Self::Blob,
            Self::MediumText => Self::MediumBlob,
            Self::LongText => Self::LongBlob,
            other => other.clone(),
        }
    }
}

impl Table {
    /// The table's default charset, by itself or through its collation.
    pub fn default_charset(&self) -> Option<&str> {
        self.charset.as_deref().or_else(|| self.collation.as_deref().and_then(of_collation))
    }

    /// The charset of a character column: its own, its collation's, or the table's. `None` for a column that has none,
    /// or when the text the structure came from does not tell (a CREATE TABLE that relies on the schema's default).
    pub fn column_charset(&self, idx: usize) -> Option<&str> {
        let column = self.columns.get(idx).filter(|c| c.data_type.has_charset())?;
        column
            .charset
            .as_deref()
            .or_else(|| column.collation.as_deref().and_then(of_collation))
            .or_else(|| self.default_charset())
    }

    /// The collation of a character column if it is known by name: its own, or the table's when the column has no
    /// charset of its own. `None` also means "the default of the charset".
    pub fn column_collation(&self, idx: usize) -> Option<&str> {
        let column = self.columns.get(idx).filter(|c| c.data_type.has_charset())?;
        match (&column.collation, &column.charset) {
            (Some(collation), _) => Some(collation),
            (None, Some(charset)) if Some(charset.as_str()) != self.charset.as_deref() => None,
            (None, _) => self.collation.as_deref(),
        }
    }

    /// Whether the charset of every character column can be told.
    pub fn charsets_resolved(&self) -> bool {
        (0..self.columns.len()).all(|i| !self.columns[i].data_type.has_charset() || self.column_charset(i).is_some())
    }
}
