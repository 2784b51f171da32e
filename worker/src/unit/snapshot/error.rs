//! Why the full copy cannot go on, with the codes operators see. Values of rows are never in a message.

use dm_model::{
    TableName,
    error::{Class, Code, Coded, Level, Report, Retry, Scope},
};
use dm_sync_core::chunk;

use crate::unit::{Failure, Leave};

/// DM's code for whatever goes wrong while reading the source.
const READ: Code = Code::new(32001, Class::DumpUnit, Scope::Internal, Level::High, "");
const LOCK: Code = Code::new(
    32004,
    Class::DumpUnit,
    Scope::Upstream,
    Level::High,
    "Grant RELOAD or LOCK TABLES on the source, or let the copy begin while nothing is written there.",
);
const NO_BINLOG: Code = Code::new(
    11125,
    Class::Functional,
    Scope::Upstream,
    Level::High,
    "Please check that the binlog is enabled on the source and that the user may read its status.",
);
/// The target refused rows.
pub const ROWS_REFUSED: Code = Code::new(
    60050,
    Class::LoadUnit,
    Scope::Downstream,
    Level::High,
    "Look at the target table: rows that were there before, another structure, a narrower type or a stricter collation. Mend it, then resume the task.",
);
/// The target's engine cannot roll back.
pub const NOT_TRANSACTIONAL: Code = Code::new(
    60051,
    Class::LoadUnit,
    Scope::Downstream,
    Level::High,
    "Make the target table with a transactional engine (ALTER TABLE … ENGINE=InnoDB), then resume the task.",
);
/// A half-copied table must begin again and its rows cannot be told from others.
pub const CANNOT_EMPTY: Code = Code::new(
    60052,
    Class::LoadUnit,
    Scope::Downstream,
    Level::High,
    "Either give the source table a primary key, or stop the task, empty the target tables and start it again with --remove-meta.",
);
/// The target table cannot be made from the source's statement.
pub const CANNOT_CREATE: Code = Code::new(
    60053,
    Class::LoadUnit,
    Scope::Downstream,
    Level::High,
    "Make the target table by hand with types and collations that the target knows, then resume the task.",
);
/// An option of the dump that cannot be honoured.
pub const BAD_OPTION: Code = Code::new(
    60054,
    Class::DumpUnit,
    Scope::Internal,
    Level::High,
    "Remove it from `extra-args` in `mydumpers`; `block-allow-list` says which tables are copied.",
);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Database(#[from] dm_mysql::Error),
    #[error("cannot read the source")]
    Read(#[source] mysql_async::Error),
    #[error("the structure of {table} is not understood")]
    Structure {
        table: TableName,
        #[source]
        source: dm_ddl::Error,
    },
    #[error(transparent)]
    Route(#[from] dm_rules::Error),
    #[error("rows of {table} cannot be copied to {target}")]
    Mapping {
        table: TableName,
        target: TableName,
        #[source]
        source: chunk::Error,
    },
    #[error("{table} cannot be split into chunks")]
    Plan {
        table: TableName,
        #[source]
        source: chunk::Error,
    },
    #[error("target table {target} has the engine {engine}, which cannot roll back")]
    Engine { target: TableName, engine: String },
    #[error("target table {target} of {table} cannot be created")]
    CreateTable {
        table: TableName,
        target: TableName,
        #[source]
        source: dm_mysql::Error,
    },
    #[error("target schema `{schema}` cannot be created")]
    CreateSchema {
        schema: String,
        #[source]
        source: dm_mysql::Error,
    },
    #[error("the copy of {table} was interrupted and has to begin again, but {target} may hold rows of others")]
    CannotEmpty { table: TableName, target: TableName },
    #[error("{table} has no key, and its target {target} holds rows already")]
    NotEmpty { table: TableName, target: TableName },
    #[error("the source has no binlog position to replicate from")]
    NoBinlog,
    #[error("no consistent view of the source: locks are denied and it is written to all the time")]
    NoView(#[source] Option<mysql_async::Error>),
    #[error("tables of the source come and go faster than they can be listed")]
    ListMoves,
    /// The cause would show the value.
    #[error("a value of chunk {chunk} of {table} is not what its column's type says")]
    Value { table: TableName, chunk: u32 },
    #[error("the target refused rows of chunk {chunk} of {table} with error {number}{message}")]
    Refused { table: TableName, chunk: u32, number: u16, message: String },
    #[error("`{option}` in extra-args cannot be honoured")]
    Option { option: String },
    #[error("dm_snapshot_chunk holds a plan of {table} that has no order")]
    Corrupt { table: TableName },
}

impl Error {
    pub fn retry(&self) -> Retry {
        match self {
            Self::Database(error)
            | Self::CreateTable { source: error, .. }
            | Self::CreateSchema { source: error, .. } => error.retry(),
            // The definition changed under the view: the next one sees the new one.
            Self::Read(mysql_async::Error::Server(error)) if matches!(error.code, 1412 | 1146 | 1054) => Retry::Backoff,
            Self::Read(error) => dm_mysql::retry(error),
            Self::ListMoves | Self::NoView(_) => Retry::Backoff,
            Self::Structure { .. }
            | Self::Route(_)
            | Self::Mapping { .. }
            | Self::Plan { .. }
            | Self::Engine { .. }
            | Self::CannotEmpty { .. }
            | Self::NotEmpty { .. }
            | Self::NoBinlog
            | Self::Value { .. }
            | Self::Refused { .. }
            | Self::Option { .. }
            | Self::Corrupt { .. } => Retry::Never,
        }
    }
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Database(error) => error.code(),
            Self::Route(error) => error.code(),
            Self::Read(_) | Self::Structure { .. } | Self::Plan { .. } | Self::ListMoves | Self::Value { .. } => READ,
            Self::Mapping { source: chunk::Error::Mapping(error), .. } => error.code(),
            Self::Mapping { .. } => READ,
            Self::Engine { .. } => NOT_TRANSACTIONAL,
            Self::CreateTable { .. } | Self::CreateSchema { .. } => CANNOT_CREATE,
            Self::CannotEmpty { .. } | Self::NotEmpty { .. } => CANNOT_EMPTY,
            Self::NoBinlog => NO_BINLOG,
            Self::NoView(_) => LOCK,
            Self::Refused { .. } => ROWS_REFUSED,
            Self::Option { .. } => BAD_OPTION,
            Self::Corrupt { .. } => dm_mysql::error::CORRUPT_META,
        }
    }
}

impl From<Error> for Leave {
    fn from(error: Error) -> Self {
        match error {
            // A takeover's verdict has its own way out.
            Error::Database(error) => error.into(),
            error => Failure::new(Report::of(&error, error.retry())).into(),
        }
    }
}

/// What of a server's message may be shown: texts of these errors name columns and tables, never values.
pub fn harmless_message(number: u16, error: &dm_mysql::Error) -> String {
    const WITHOUT_VALUES: [u16; 10] = [1406, 1264, 1265, 1048, 1364, 1054, 1146, 1142, 1114, 3819];
    let source = match error {
        dm_mysql::Error::Execute { source, .. } | dm_mysql::Error::Query { source, .. } => source,
        dm_mysql::Error::Connect { .. }
        | dm_mysql::Error::ConnectTimeout { .. }
        | dm_mysql::Error::Config { .. }
        | dm_mysql::Error::CorruptMeta { .. }
        | dm_mysql::Error::Takeover(_)
        | dm_mysql::Error::Timeout { .. } => return String::new(),
    };
    match source {
        mysql_async::Error::Server(error) if WITHOUT_VALUES.contains(&number) => format!(": {}", error.message),
        _ => String::new(),
    }
}
