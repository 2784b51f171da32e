//! Names users give to things. Every name is checked once, at the edge, by [`parse`](SourceId::parse); inside it cannot
//! be wrong. Names are compared byte by byte: `Shop` and `shop` are two tasks.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("{kind} must not be empty")]
    Empty { kind: &'static str },
    #[error("{kind} `{text}` has {n_bytes} bytes, more than {max_bytes}")]
    TooLong { kind: &'static str, text: String, n_bytes: usize, max_bytes: usize },
    #[error("{kind} `{text}` has a control character")]
    ControlCharacter { kind: &'static str, text: String },
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The longest allowed name in bytes.
            pub const MAX_BYTES: usize = $max;

            /// Checks a text from outside: not empty, not too long, no control characters.
            pub fn parse(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                check($kind, &text, Self::MAX_BYTES)?;
                Ok(Self(text))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type!(
    /// An upstream MySQL or MariaDB instance (`source-id`, at most 32 bytes as in DM).
    SourceId, "source-id", 32
);
name_type!(
    /// A migration task. It becomes part of meta table names, so 128 bytes as the column that holds it.
    TaskName, "task name", 128
);
name_type!(
    /// A dm-worker process.
    WorkerName, "worker name", 255
);
name_type!(
    /// A dm-master process.
    MasterName, "master name", 255
);

fn check(kind: &'static str, text: &str, max_bytes: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if text.len() > max_bytes {
        return Err(NameError::TooLong { kind, text: text.to_owned(), n_bytes: text.len(), max_bytes });
    }
    if text.chars().any(char::is_control) {
        return Err(NameError::ControlCharacter { kind, text: text.escape_debug().to_string() });
    }
    Ok(())
}

/// A task's part on one source: the unit of assignment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubtaskId {
    pub task: TaskName,
    pub source: SourceId,
}

impl SubtaskId {
    pub fn new(task: TaskName, source: SourceId) -> Self {
        Self { task, source }
    }
}

impl fmt::Display for SubtaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.task, self.source)
    }
}

/// A table, as the server spells it. Displayed with backticks, ready for SQL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    pub schema: String,
    pub table: String,
}

impl TableName {
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self { schema: schema.into(), table: table.into() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", quote_identifier(&self.schema), quote_identifier(&self.table))
    }
}

/// Puts an identifier into backticks and doubles the backticks inside, which is valid in every `sql_mode`.
pub fn quote_identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_id_takes_32_bytes_and_no_more() {
        assert!(SourceId::parse("a".repeat(32)).is_ok());
        assert!(matches!(SourceId::parse("a".repeat(33)), Err(NameError::TooLong { n_bytes: 33, .. })));
        assert_eq!(SourceId::parse(""), Err(NameError::Empty { kind: "source-id" }));
    }

    #[test]
    fn control_characters_are_no_names() {
        assert!(matches!(TaskName::parse("a\nb"), Err(NameError::ControlCharacter { .. })));
    }

    #[test]
    fn table_name_quotes_backticks() {
        assert_eq!(TableName::new("a`b", "c").to_string(), "`a``b`.`c`");
    }
}
