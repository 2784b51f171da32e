//! What can be wrong with a binlog.
//!
//! Every variant is final for the bytes it was raised for: reading the same bytes again fails again. Whether fetching
//! them again helps (a checksum error on a broken connection) is the caller's decision.

use dm_model::error::{Class, Code, Coded, Level, Scope};

/// DM's "get event" error: the stream gave something that cannot be read.
const GET_EVENT: Code = Code::new(
    36069,
    Class::SyncUnit,
    Scope::Upstream,
    Level::High,
    "Please check the binlog file with `mysqlbinlog` at the position given in the message.",
);
const CHECKSUM: Code = Code::new(
    60300,
    Class::SyncUnit,
    Scope::Upstream,
    Level::High,
    "Resume the task to fetch the event again; if it fails again, check the source's binlog file with `mysqlbinlog \
     --verify-binlog-checksum`.",
);
const COLUMN_NOT_LOGGED: Code = Code::new(
    11126,
    Class::BinlogOp,
    Scope::Upstream,
    Level::High,
    "Please check whether all columns are logged in the binlog: set `binlog_row_image=FULL` on the source, for running \
     sessions too.",
);
const UNSUPPORTED_COLUMN: Code = Code::new(
    60301,
    Class::SyncUnit,
    Scope::Upstream,
    Level::High,
    "Filter the table, or change the column's type on the source.",
);
const TOO_LARGE: Code = Code::new(
    60302,
    Class::SyncUnit,
    Scope::Upstream,
    Level::High,
    "The event is larger than this program is willing to hold in memory.",
);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("binlog event ends within {what}")]
    Truncated { what: &'static str },
    #[error("binlog event is corrupt: {what}")]
    Corrupt { what: &'static str },
    #[error(
        "binlog event of type {event_type} ending at {log_pos} has checksum {found:#010x}, its bytes give {computed:#010x}"
    )]
    Checksum { event_type: u8, log_pos: u32, found: u32, computed: u32 },
    #[error("binlog checksum algorithm {algorithm} is unknown")]
    ChecksumAlgorithm { algorithm: u8 },
    #[error("{what} of {size} bytes is over the limit of {limit} bytes")]
    TooLarge { what: &'static str, size: u64, limit: u64 },
    #[error("{what} cannot be decompressed")]
    Decompress {
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("{what} uses compression method {method}, which is unknown")]
    Compression { what: &'static str, method: u64 },
    #[error("column {column} of `{schema}`.`{table}` has binlog type {column_type}, which is not supported")]
    ColumnType { schema: String, table: String, column: String, column_type: u8 },
    #[error("value of column {column} (counted from 0) cannot be read: {reason}")]
    Value { column: usize, reason: &'static str },
    #[error("rows event has {found} columns, its table map {expected}")]
    Width { expected: usize, found: usize },
    #[error("rows event does not log all columns of its table: column {column} (counted from 0) is missing")]
    PartialImage { column: usize },
    #[error("rows event refers to table id {table_id}, which no table map declared")]
    UnknownTable { table_id: u64 },
    #[error("JSON difference cannot be applied: {reason}")]
    JsonDiff { reason: &'static str },
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Checksum { .. } => CHECKSUM,
            Self::PartialImage { .. } => COLUMN_NOT_LOGGED,
            Self::ColumnType { .. } => UNSUPPORTED_COLUMN,
            Self::TooLarge { .. } => TOO_LARGE,
            Self::Truncated { .. }
            | Self::Corrupt { .. }
            | Self::ChecksumAlgorithm { .. }
            | Self::Decompress { .. }
            | Self::Compression { .. }
            | Self::Value { .. }
            | Self::Width { .. }
            | Self::UnknownTable { .. }
            | Self::JsonDiff { .. } => GET_EVENT,
        }
    }
}
