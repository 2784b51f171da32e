//! One change to one table or database: the unit that is filtered, routed, tracked and executed. All its names are
//! qualified, so it means the same in every session. Made by [`split`](crate::split::split).

use dm_model::TableName;
use dm_model::name::quote_identifier;

use crate::error::Error;
use crate::event_kind::{EventKind, kinds};
use crate::lexer::{ParseContext, Span};
use crate::split::split;
use crate::statement::{Body, Statement, StatementKind, TableRole, parse};
use crate::table::Table;

/// A normalised statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub(crate) statement: Statement,
}

/// Reads a text and splits it: what every consumer of a query event wants.
///
/// # Errors
/// As [`parse`] and [`split`].
pub fn pieces(sql: &str, context: &ParseContext, default_schema: &str) -> Result<Vec<Piece>, Error> {
    split(&parse(sql, context)?, default_schema)
}

impl Piece {
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    pub fn kind(&self) -> StatementKind {
        self.statement.kind
    }

    /// The text with the source's own names.
    pub fn text(&self) -> &str {
        self.statement.text()
    }

    /// The tables named, in text order. A name without schema (possible outside of DDL only) has an empty one.
    pub fn tables(&self) -> impl Iterator<Item = (TableRole, TableName)> {
        self.statement
            .tables
            .iter()
            .map(|t| (t.role, TableName::new(t.schema.clone().unwrap_or_default(), t.table.clone())))
    }

    /// The table the piece is about: what filters and routes look at. For a rename, the old name. `None` for databases.
    pub fn target(&self) -> Option<TableName> {
        self.tables().find(|(role, _)| matches!(role, TableRole::Target | TableRole::RenameFrom)).map(|(_, name)| name)
    }

    /// The new name, when the piece renames a table (RENAME TABLE or ALTER TABLE … RENAME).
    pub fn renamed_to(&self) -> Option<TableName> {
        self.tables().find(|(role, _)| *role == TableRole::RenameTo).map(|(_, name)| name)
    }

    /// The database that a CREATE, ALTER or DROP DATABASE is about.
    pub fn database(&self) -> Option<&str> {
        self.statement.database()
    }

    /// Whether clauses of it were accepted without being understood.
    pub fn is_modelled(&self) -> bool {
        self.statement.not_modelled.is_empty()
    }

    /// Whether it adds a foreign key.
    pub fn adds_foreign_key(&self) -> bool {
        self.statement.tables.iter().any(|t| t.role == TableRole::ForeignKeyParent)
    }

    /// The text with every table name replaced by what `to` says, qualified and in backticks; all other bytes stay.
    pub fn rename(&self, to: &dyn Fn(&TableName) -> TableName) -> String {
        let edits: Vec<(Span, String)> = self
            .statement
            .tables
            .iter()
            .zip(self.tables())
            .map(|(place, (_, name))| (place.span, to(&name).to_string()))
            .collect();
        self.edited(&edits)
    }

    /// The text with the database's name replaced; unchanged for statements about tables.
    pub fn rename_database(&self, to: &dyn Fn(&str) -> String) -> String {
        match &self.statement.body {
            Body::Database(database) => {
                let name = database.name.as_deref().map(|name| quote_identifier(&to(name))).unwrap_or_default();
                self.edited(&[(database.name_span, name)])
            }
            _ => self.text().to_owned(),
        }
    }

    fn edited(&self, edits: &[(Span, String)]) -> String {
        let source = &self.statement.source;
        source.slice_with(0..source.lexed.tokens.len(), edits)
    }

    /// What it is to event filter rules, the finest kind first, see [`EventKind`]. `before` is the structure of
    /// [`target`](Self::target) before the piece; without it, kinds that depend on it fall back to coarser ones. Empty
    /// for statements that filters have no name for.
    pub fn event_kinds(&self, before: Option<&Table>) -> Vec<EventKind> {
        kinds(&self.statement, before)
    }

    /// The first of [`event_kinds`](Self::event_kinds): what DM compares with the rules.
    pub fn event_kind(&self, before: Option<&Table>) -> Option<EventKind> {
        self.event_kinds(before).first().copied()
    }
}
