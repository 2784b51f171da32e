//! Why a row cannot be mapped.

use dm_model::{
    TableName,
    error::{Class, Code, Coded, Level, Scope},
};

use crate::literal;

/// Every variant means that a structure we hold is not the one the rows were written with, or not the target's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a row of {table} has {n_values} values, its known structure has {n_columns} columns")]
    ColumnCount { table: TableName, n_values: usize, n_columns: usize },
    #[error("column `{column}` of {source_table} does not exist in {target}")]
    ColumnMissing { column: String, source_table: TableName, target: TableName },
    #[error("column `{column}`, which the route fills, does not exist in {target} or is generated")]
    ExtractedMissing { column: String, target: TableName },
    #[error("no column of {source_table} can be written to {target}")]
    NothingToWrite { source_table: TableName, target: TableName },
    #[error("cannot render column `{column}` of {table}")]
    Value {
        table: TableName,
        column: String,
        #[source]
        cause: literal::Error,
    },
    #[error("a change of {table} has neither an old nor a new row")]
    NoImage { table: TableName },
}

const NOT_MATCH: Code = Code::new(
    36027,
    Class::SyncUnit,
    Scope::Internal,
    Level::High,
    "compare the structures of the source and the target table; set the right one with \
     `binlog-schema update` (`--from-source`, `--from-target` or a file), or add the missing column in the target, then resume the task",
);

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::ColumnCount { .. }
            | Self::ColumnMissing { .. }
            | Self::ExtractedMissing { .. }
            | Self::NothingToWrite { .. }
            | Self::Value { .. }
            | Self::NoImage { .. } => NOT_MATCH,
        }
    }
}
