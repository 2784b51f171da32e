//! One statement per change: every table of a DROP or RENAME, every clause of an ALTER, every column of an ADD list.
//! Existence is made no error where the server's grammar can say so, and every name gets its schema. A statement that
//! is no DDL stays one piece with its own text.

use std::ops::Range;

use dm_model::TableName;
use dm_model::name::quote_identifier;

use crate::alter::{AlterClause, AlterTable, Change};
use crate::create_table::{CreateTable, Element};
use crate::error::Error;
use crate::lexer::Span;
use crate::piece::Piece;
use crate::statement::{Body, Database, Statement, StatementKind, TableRef, TableRole, Treatment, parse};

#[cfg(test)]
mod tests;

/// Splits and normalises (spec 6.7.2). `default_schema` is the session's database, empty when none was selected.
///
/// # Errors
/// [`Error::NoSchema`] when a name without schema meets no default.
pub fn split(statement: &Statement, default_schema: &str) -> Result<Vec<Piece>, Error> {
    if statement.treatment() != Treatment::Ddl {
        return Ok(vec![Piece { statement: statement.clone() }]);
    }
    let names = qualify(statement, default_schema)?;
    let split = Split { statement, names };
    let texts = match &statement.body {
        Body::Database(database) => split.database(database, default_schema)?,
        Body::CreateTable(create) => split.create_table(create),
        Body::AlterTable(alter) => split.alter_table(alter),
        Body::DropTable { .. } => split.names.iter().map(|name| format!("DROP TABLE IF EXISTS {name}")).collect(),
        Body::RenameTable { if_exists } => split
            .names
            .chunks_exact(2)
            .map(|pair| format!("RENAME TABLE {}{} TO {}", guard(*if_exists), pair[0], pair[1]))
            .collect(),
        Body::TruncateTable => split.names.iter().map(|name| format!("TRUNCATE TABLE {name}")).collect(),
        Body::DropIndex { name, .. } => split.drop_index(name),
        Body::CreateIndex { .. } | Body::Head => vec![split.whole(&[])],
    };
    texts.iter().map(|text| Ok(Piece { statement: parse(text, &statement.source.context)? })).collect()
}

/// MariaDB's guard where TiDB and MySQL have none: a comment to them.
fn guard(if_exists: bool) -> &'static str {
    if if_exists { "/*M! IF EXISTS */ " } else { "" }
}

fn qualify(statement: &Statement, default_schema: &str) -> Result<Vec<TableName>, Error> {
    let own = |t: &TableRef| t.schema.clone().filter(|s| !s.is_empty());
    // An unqualified parent is looked for beside its child.
    let child = statement.tables.first().and_then(own);
    statement
        .tables
        .iter()
        .map(|t| {
            let beside_child = if t.role == TableRole::ForeignKeyParent { child.clone() } else { None };
            let schema = own(t).or(beside_child).unwrap_or_else(|| default_schema.to_owned());
            if schema.is_empty() {
                return Err(Error::NoSchema { name: t.table.clone() });
            }
            Ok(TableName::new(schema, t.table.clone()))
        })
        .collect()
}

struct Split<'a> {
    statement: &'a Statement,
    /// The statement's tables, qualified, in the same order.
    names: Vec<TableName>,
}

impl Split<'_> {
    /// Replacements of all table names, and others, in text order.
    fn edits(&self, more: &[(Span, String)]) -> Vec<(Span, String)> {
        let mut edits: Vec<(Span, String)> = more.to_vec();
        for (place, name) in self.statement.tables.iter().zip(&self.names) {
            if !edits.iter().any(|(span, _)| *span == place.span) {
                edits.push((place.span, name.to_string()));
            }
        }
        edits.sort_by_key(|(span, _)| (span.start, span.end));
        edits
    }

    fn whole(&self, more: &[(Span, String)]) -> String {
        let source = &self.statement.source;
        let n_tokens = source.lexed.tokens.iter().rev().skip_while(|t| source.raw(t) == ";").count();
        let first = source.lexed.tokens.iter().take_while(|t| source.raw(t) == ";").count();
        source.slice_with(first..n_tokens, &self.edits(more))
    }

    /// Takes OR REPLACE out, which no other server than MariaDB knows for tables and databases.
    fn or_replace(&self) -> Option<(Span, String)> {
        let source = &self.statement.source;
        let or = source.lexed.tokens.iter().position(|t| source.raw(t).eq_ignore_ascii_case("OR"))?;
        match source.lexed.tokens.get(or..or + 2) {
            Some([or, replace]) => Some((Span { start: or.span.start, end: replace.span.end }, String::new())),
            _ => None,
        }
    }

    fn slice(&self, run: &Range<usize>) -> String {
        self.statement.source.slice_with(run.clone(), &self.edits(&[]))
    }

    fn database(&self, database: &Database, default_schema: &str) -> Result<Vec<String>, Error> {
        let name = database.name.clone().unwrap_or_else(|| default_schema.to_owned());
        if name.is_empty() {
            return Err(Error::NoSchema { name: "DATABASE".to_owned() });
        }
        let quoted = quote_identifier(&name);
        let space = if database.name.is_none() { " " } else { "" };
        Ok(match self.statement.kind {
            StatementKind::DropDatabase => vec![format!("DROP DATABASE IF EXISTS {quoted}")],
            StatementKind::CreateDatabase if database.or_replace => {
                let mut edits = vec![(database.name_span, format!("IF NOT EXISTS {quoted}"))];
                edits.extend(self.or_replace());
                vec![format!("DROP DATABASE IF EXISTS {quoted}"), self.whole(&edits)]
            }
            StatementKind::CreateDatabase if !database.guarded => {
                vec![self.whole(&[(database.name_span, format!("IF NOT EXISTS {quoted}"))])]
            }
            _ => vec![self.whole(&[(database.name_span, format!("{quoted}{space}"))])],
        })
    }

    fn create_table(&self, create: &CreateTable) -> Vec<String> {
        let mut edits = Vec::new();
        if let (Some(place), Some(name)) = (self.statement.tables.first(), self.names.first())
            && !create.if_not_exists
        {
            edits.push((place.span, format!("IF NOT EXISTS {name}")));
        }
        let tokens = &self.statement.source.lexed.tokens;
        if let Some([first, .., last]) = create.start_transaction.clone().and_then(|run| tokens.get(run)) {
            edits.push((Span { start: first.span.start, end: last.span.end }, String::new()));
        }
        if create.or_replace {
            edits.extend(self.or_replace());
        }
        let text = self.whole(&edits).trim_end().to_owned();
        match self.names.first() {
            Some(name) if create.or_replace => {
                vec![format!("DROP TABLE IF EXISTS {name}"), text]
            }
            _ => vec![text],
        }
    }

    fn drop_index(&self, name: &str) -> Vec<String> {
        // MySQL has no IF EXISTS here; TiDB opens the comment.
        let index = quote_identifier(name);
        self.names.iter().map(|table| format!("DROP INDEX /*T! IF EXISTS */ {index} ON {table}")).collect()
    }

    fn alter_table(&self, alter: &AlterTable) -> Vec<String> {
        let Some(mut subject) = self.names.first().cloned() else { return Vec::new() };
        let ignore = if alter.ignore { "IGNORE " } else { "" };
        let guard = guard(alter.if_exists);
        let only_hints = alter.clauses.iter().all(|c| c.change == Change::Hint);
        let mut texts = Vec::new();
        for clause in alter.clauses.iter().filter(|c| only_hints || c.change != Change::Hint) {
            for text in self.clause(clause) {
                texts.push(format!("ALTER {ignore}TABLE {guard}{subject} {text}"));
            }
            if let Change::RenameTable { to } = clause.change
                && let Some(name) = self.names.get(to)
            {
                subject = name.clone();
            }
        }
        texts
    }

    fn clause(&self, clause: &AlterClause) -> Vec<String> {
        match &clause.change {
            Change::AddList { if_not_exists, elements } => elements
                .iter()
                .map(|listed| {
                    let text = self.slice(&listed.run);
                    match listed.element {
                        Element::Column(_) if *if_not_exists => format!("ADD COLUMN IF NOT EXISTS {text}"),
                        Element::Column(_) => format!("ADD COLUMN {text}"),
                        Element::Constraint(_) => format!("ADD {text}"),
                    }
                })
                .collect(),
            Change::RenameTable { to } => {
                self.names.get(*to).map(|name| format!("RENAME TO {name}")).into_iter().collect()
            }
            Change::AddColumn { .. }
            | Change::AddConstraint(_)
            | Change::DropColumn { .. }
            | Change::ModifyColumn { .. }
            | Change::ChangeColumn { .. }
            | Change::RenameColumn { .. }
            | Change::SetDefault { .. }
            | Change::SetVisibility { .. }
            | Change::DropIndex { .. }
            | Change::DropPrimaryKey
            | Change::DropForeignKey { .. }
            | Change::DropConstraint { .. }
            | Change::Check
            | Change::RenameIndex { .. }
            | Change::IndexVisibility { .. }
            | Change::ConvertCharset { .. }
            | Change::Options(_)
            | Change::Partition(_)
            | Change::Ttl { .. }
            | Change::Hint
            | Change::Inert
            | Change::NotModelled => vec![self.slice(&clause.run)],
        }
    }
}
