//! Why a DDL text cannot be used. Every error names a byte position in the text that was given.

use dm_model::error::{Class, Code, Coded, Level, Scope};

/// A statement that is not understood. Never a guess: the caller stops, or an operator skips or replaces the statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{what} is not closed, opened at byte {at}")]
    Unterminated { what: &'static str, at: usize },
    #[error("expected {expected} at byte {at}, near {near:?}")]
    Expected { expected: &'static str, at: usize, near: String },
    #[error("statement starting with {near:?} is not known")]
    UnknownStatement { near: String },
    #[error("more than one statement in the text, the second at byte {at}")]
    SecondStatement { at: usize },
    #[error("no database is selected and {name:?} names none")]
    NoSchema { name: String },
    #[error("text is empty")]
    Empty,
}

impl Error {
    /// The byte position in the text, 0 when the whole statement is meant.
    pub fn position(&self) -> usize {
        match self {
            Self::Unterminated { at, .. } | Self::Expected { at, .. } | Self::SecondStatement { at } => *at,
            Self::UnknownStatement { .. } | Self::NoSchema { .. } | Self::Empty => 0,
        }
    }
}

impl Coded for Error {
    fn code(&self) -> Code {
        const HINT: &str = "use `binlog skip` or `binlog replace` for this statement, or a `sql-pattern` event filter";
        Code::new(36067, Class::SyncUnit, Scope::Internal, Level::High, HINT)
    }
}
