//! A statement: what it is, which tables it names, and its structure where that is read.

use crate::lexer::Span;

/// Why a statement names a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableRole {
    /// The table (or view, trigger's table, …) that the statement is about.
    Target,
    RenameFrom,
    RenameTo,
    LikeSource,
    ForeignKeyParent,
    ExchangePartner,
}

/// A table name in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRef {
    pub role: TableRole,
    pub schema: Option<String>,
    pub table: String,
    /// Bytes of the statement's text, schema included.
    pub span: Span,
}
