//! What can be wrong with rules, with DM's codes.

use dm_model::{
    TableName,
    error::{Class, Code, Coded, Level, Scope},
};

use crate::pattern::PatternError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot compile the block-allow-list: `{field}` is not valid")]
    BlockAllow {
        field: &'static str,
        #[source]
        source: PatternError,
    },
    #[error(
        "cannot compile the route for schema `{schema_pattern}` and table `{table_pattern}`: `{field}` is not valid"
    )]
    Route {
        schema_pattern: String,
        table_pattern: String,
        field: &'static str,
        #[source]
        source: PatternError,
    },
    #[error("table {table} matches more than one route rule: {rules}")]
    AmbiguousRoute { table: TableName, rules: String },
    #[error("schema `{schema}` matches more than one route rule: {rules}")]
    AmbiguousSchemaRoute { schema: String, rules: String },
    #[error("cannot compile the event filter for schema `{schema_pattern}` and table `{table_pattern}`: {reason}")]
    EventFilter { schema_pattern: String, table_pattern: String, reason: String },
    #[error(
        "cannot compile the event filter for schema `{schema_pattern}` and table `{table_pattern}`: `{field}` is not valid"
    )]
    EventFilterPattern {
        schema_pattern: String,
        table_pattern: String,
        field: &'static str,
        #[source]
        source: PatternError,
    },
}

const BLOCK_ALLOW: Code =
    Code::new(20044, Class::Config, Scope::Internal, Level::High, "Please check `block-allow-list` in the task file.");
const ROUTE: Code =
    Code::new(20045, Class::Config, Scope::Internal, Level::High, "Please check `routes` in the task file.");
const EVENT_FILTER: Code = Code::new(
    20037,
    Class::Config,
    Scope::Internal,
    Level::High,
    "Please check `filters` in the source and task files.",
);
const AMBIGUOUS_ROUTE: Code = Code::new(
    40080,
    Class::DmWorker,
    Scope::Internal,
    Level::High,
    "Please check `routes` in the task file: at most one rule may match a table.",
);

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::BlockAllow { .. } => BLOCK_ALLOW,
            Self::Route { .. } => ROUTE,
            Self::AmbiguousRoute { .. } | Self::AmbiguousSchemaRoute { .. } => AMBIGUOUS_ROUTE,
            Self::EventFilter { .. } | Self::EventFilterPattern { .. } => EVENT_FILTER,
        }
    }
}
