//! A statement: what it is, which tables it names, and its structure where that is read.

use crate::alter::AlterTable;
use crate::create_table::CreateTable;
use crate::error::Error;
use crate::index::IndexDef;
use crate::lexer::{ParseContext, Span};
use crate::parser::{Parser, Source};

mod head;
#[cfg(test)]
mod tests;

/// Why a statement names a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableRole {
    /// The table (or view, or sequence) that the statement is about.
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

/// What a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StatementKind {
    CreateDatabase,
    AlterDatabase,
    DropDatabase,
    CreateTable,
    CreateTemporaryTable,
    AlterTable,
    DropTable,
    DropTemporaryTable,
    RenameTable,
    TruncateTable,
    CreateIndex,
    DropIndex,
    CreateView,
    AlterView,
    DropView,
    Trigger,
    Procedure,
    Function,
    Event,
    Tablespace,
    Sequence,
    Server,
    ResourceGroup,
    PlacementPolicy,
    /// CREATE, ALTER, RENAME and DROP of users and roles, SET PASSWORD.
    User,
    Grant,
    Revoke,
    Flush,
    /// OPTIMIZE, ANALYZE, REPAIR and CHECK of tables.
    MaintainTable,
    /// TiDB's RECOVER TABLE and FLASHBACK.
    Recover,
    LockTables,
    Savepoint,
    Begin,
    Commit,
    Rollback,
    XaStart,
    XaEnd,
    XaPrepare,
    XaCommit,
    XaRollback,
    /// Rows changed by a statement: the session wrote with `binlog_format` STATEMENT or MIXED. SELECT, DO and CALL are
    /// among them: a server logs these only for the functions in them that write.
    Dml,
    /// SET, USE, SHOW and others that change no rows.
    Session,
}

/// What replication does with a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Treatment {
    /// Split, filter, route, track, execute.
    Ddl,
    /// On the built-in skip list: only the location moves on.
    Skip,
    /// Opens, closes or marks a transaction.
    Transaction,
    /// Must stop the task: rows would be lost.
    Dml,
}

impl StatementKind {
    /// Spec 6.7.4 as a decision by kind.
    pub fn treatment(self) -> Treatment {
        match self {
            Self::CreateDatabase
            | Self::AlterDatabase
            | Self::DropDatabase
            | Self::CreateTable
            | Self::AlterTable
            | Self::DropTable
            | Self::RenameTable
            | Self::TruncateTable
            | Self::CreateIndex
            | Self::DropIndex
            | Self::Sequence
            | Self::PlacementPolicy
            | Self::Recover => Treatment::Ddl,
            Self::CreateTemporaryTable
            | Self::DropTemporaryTable
            | Self::CreateView
            | Self::AlterView
            | Self::DropView
            | Self::Trigger
            | Self::Procedure
            | Self::Function
            | Self::Event
            | Self::Tablespace
            | Self::Server
            | Self::ResourceGroup
            | Self::User
            | Self::Grant
            | Self::Revoke
            | Self::Flush
            | Self::MaintainTable
            | Self::LockTables
            | Self::Savepoint
            | Self::Session => Treatment::Skip,
            Self::Begin
            | Self::Commit
            | Self::Rollback
            | Self::XaStart
            | Self::XaEnd
            | Self::XaPrepare
            | Self::XaCommit
            | Self::XaRollback => Treatment::Transaction,
            Self::Dml => Treatment::Dml,
        }
    }
}

/// CREATE, ALTER or DROP DATABASE. The name's place is kept so that it can be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// `None`: ALTER DATABASE of the session's database.
    pub name: Option<String>,
    pub or_replace: bool,
    /// IF EXISTS or IF NOT EXISTS is in the text.
    pub guarded: bool,
    pub charset: Option<String>,
    pub collation: Option<String>,
    /// The name, or the place where it would stand.
    pub(crate) name_span: Span,
}

/// The structure of a statement that has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Database(Database),
    CreateTable(Box<CreateTable>),
    AlterTable(AlterTable),
    DropTable {
        if_exists: bool,
    },
    RenameTable {
        if_exists: bool,
    },
    TruncateTable,
    CreateIndex {
        or_replace: bool,
        def: IndexDef,
    },
    DropIndex {
        name: String,
        if_exists: bool,
    },
    /// Only the kind is known, and the tables where the grammar gives them.
    Head,
}

/// A parsed statement with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub kind: StatementKind,
    /// The tables named, in text order.
    pub tables: Vec<TableRef>,
    pub body: Body,
    /// Bytes of clauses that were accepted without being understood. The structure must be read again after them.
    pub not_modelled: Vec<Span>,
    pub(crate) source: Source,
}

impl Statement {
    pub fn text(&self) -> &str {
        &self.source.text
    }

    /// The database a CREATE, ALTER or DROP DATABASE names.
    pub fn database(&self) -> Option<&str> {
        match &self.body {
            Body::Database(database) => database.name.as_deref(),
            _ => None,
        }
    }

    pub fn treatment(&self) -> Treatment {
        self.kind.treatment()
    }

    /// A CREATE TABLE whose rows come from a query in the text: only a session that logs statements writes it.
    pub fn fills_by_query(&self) -> bool {
        matches!(&self.body, Body::CreateTable(create) if create.select)
    }
}

/// Reads one statement. MariaDB's `SET STATEMENT … FOR` before it is cut off: the settings are the source's, positions
/// and [`Statement::text`] then begin behind it. A text that starts like no known statement, and one that stops making sense, are errors.
///
/// # Errors
/// [`Error`] with the byte position where the reading stopped.
pub fn parse(sql: &str, context: &ParseContext) -> Result<Statement, Error> {
    let mut source = Source::new(sql, context)?;
    if let Some(at) = Parser::new(&source).behind_set_statement() {
        source = Source::new(sql.get(at..).unwrap_or_default(), context)?;
    }
    let mut parser = Parser::new(&source);
    let (kind, body) = parser.statement()?;
    parser.finish()?;
    let Parser { tables, not_modelled, .. } = parser;
    let not_modelled = not_modelled
        .into_iter()
        .filter_map(|run| {
            let tokens = source.lexed.tokens.get(run)?;
            Some(Span { start: tokens.first()?.span.start, end: tokens.last()?.span.end })
        })
        .collect();
    Ok(Statement { kind, tables, body, not_modelled, source })
}
