//! This crate's errors, with DM's codes.

use dm_model::error::{Class, Code, Coded, Level, Retry, Scope};

const CHECK: &str = "Please check the database connection and the database config in configuration file.";

/// A database that cannot be reached or does not answer.
pub const BAD_CONNECTION: Code = Code::new(10002, Class::Database, Scope::NotSet, Level::High, CHECK);
/// A statement that failed.
pub const EXECUTE_FAILED: Code = Code::new(10006, Class::Database, Scope::NotSet, Level::High, "");
/// A query that failed.
pub const QUERY_FAILED: Code = Code::new(10005, Class::Database, Scope::NotSet, Level::High, "");
/// A connection description that cannot be used.
pub const DRIVER: Code = Code::new(10001, Class::Database, Scope::NotSet, Level::High, CHECK);
/// The subtask's rows in the target belong to another cluster.
pub const FOREIGN_CLUSTER: Code = Code::new(
    60001,
    Class::Checkpoint,
    Scope::Downstream,
    Level::High,
    "Another DM cluster runs this task into this target. Stop it there, or start the task with --take-over.",
);
/// The target's meta tables hold something this version does not understand.
pub const CORRUPT_META: Code = Code::new(
    60002,
    Class::Checkpoint,
    Scope::Downstream,
    Level::High,
    "The meta tables in the target were changed by hand or by a newer version. Do not edit them; restore them or start anew with --remove-meta.",
);
/// Takeover did not succeed.
pub const TAKEOVER: Code = Code::new(
    60003,
    Class::Checkpoint,
    Scope::Downstream,
    Level::High,
    "Look at the target's processlist for connections of an earlier worker; KILL them if they do not end.",
);
/// A later owner has the subtask.
pub const SUPERSEDED: Code = Code::new(60004, Class::Checkpoint, Scope::Downstream, Level::Low, "");

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot connect to {host}:{port}")]
    Connect {
        host: String,
        port: u16,
        #[source]
        source: mysql_async::Error,
    },
    #[error("{host}:{port} did not answer within {seconds} s")]
    ConnectTimeout { host: String, port: u16, seconds: u64 },
    #[error("the connection to {host}:{port} cannot be described")]
    Config {
        host: String,
        port: u16,
        #[source]
        source: mysql_async::Error,
    },
    #[error("cannot {doing}")]
    Query {
        doing: &'static str,
        #[source]
        source: mysql_async::Error,
    },
    #[error("`{sql}` failed")]
    Execute {
        sql: String,
        #[source]
        source: mysql_async::Error,
    },
    #[error("{table} holds a {column} that is none: {text}")]
    CorruptMeta { table: &'static str, column: &'static str, text: String },
    #[error("takeover of the target failed")]
    Takeover(#[source] dm_fence::Stop),
    #[error("the server did not answer within {seconds} s")]
    Timeout { seconds: u64 },
}

impl Error {
    pub(crate) fn query(doing: &'static str) -> impl FnOnce(mysql_async::Error) -> Self {
        move |source| Self::Query { doing, source }
    }

    pub(crate) fn execute(sql: &str) -> impl FnOnce(mysql_async::Error) -> Self {
        let sql = crate::text::shorten(sql);
        move |source| Self::Execute { sql, source }
    }

    /// The server's error number, when a server said no.
    pub fn number(&self) -> Option<u16> {
        match self {
            Self::Connect { source, .. }
            | Self::Config { source, .. }
            | Self::Query { source, .. }
            | Self::Execute { source, .. } => crate::error_number::number(source),
            Self::ConnectTimeout { .. } | Self::CorruptMeta { .. } | Self::Takeover(_) | Self::Timeout { .. } => None,
        }
    }

    /// Whether the same may succeed later without a person.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Connect { source, .. } | Self::Query { source, .. } | Self::Execute { source, .. } => {
                crate::error_number::retry(source)
            }
            Self::ConnectTimeout { .. } | Self::Timeout { .. } => Retry::Backoff,
            Self::Config { .. } | Self::CorruptMeta { .. } => Retry::Never,
            Self::Takeover(stop) => match stop {
                dm_fence::Stop::Locked { .. } | dm_fence::Stop::Lost { .. } | dm_fence::Stop::SessionStays { .. } => {
                    Retry::Backoff
                }
                dm_fence::Stop::Superseded { .. }
                | dm_fence::Stop::ForeignCluster { .. }
                | dm_fence::Stop::Unexpected { .. } => Retry::Never,
            },
        }
    }
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Connect { .. } | Self::ConnectTimeout { .. } | Self::Timeout { .. } => BAD_CONNECTION,
            Self::Config { .. } => DRIVER,
            Self::Query { .. } => QUERY_FAILED,
            Self::Execute { .. } => EXECUTE_FAILED,
            Self::CorruptMeta { .. } => CORRUPT_META,
            Self::Takeover(stop) => match stop {
                dm_fence::Stop::ForeignCluster { .. } => FOREIGN_CLUSTER,
                dm_fence::Stop::Superseded { .. } => SUPERSEDED,
                dm_fence::Stop::SessionStays { .. }
                | dm_fence::Stop::Locked { .. }
                | dm_fence::Stop::Lost { .. }
                | dm_fence::Stop::Unexpected { .. } => TAKEOVER,
            },
        }
    }
}
