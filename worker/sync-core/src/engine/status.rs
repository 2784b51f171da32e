//! What an engine shows of itself. Values only; nothing here decides anything.

use dm_fence::UnitNumber;
use dm_model::{Location, TableName, UnixMillis, error::Report};

use super::{Engine, Reached};

/// A snapshot of the engine for `query-status`, metrics and logs.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    pub counters: Counters,
    /// End of the last complete transaction that was read.
    pub read: Location,
    /// The newest unit that was read.
    pub read_unit: UnitNumber,
    /// What an acknowledged lane row holds.
    pub reached: Reached,
    pub lag: Lag,
    /// Units read and not committed.
    pub n_units_in_flight: usize,
    pub n_bytes_in_flight: usize,
    pub n_lanes_open: usize,
    pub n_lanes_busy: usize,
    pub safe_mode: bool,
    /// Why no event is read, if none is.
    pub blocked_on: Option<Blocked>,
    /// The error that ends this run once everything before it is committed.
    pub stopping: Option<Report>,
}

/// Counts since this engine was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    pub n_events: u64,
    pub n_bytes: u64,
    /// Source transactions and DDLs, filtered ones included.
    pub n_transactions: u64,
    /// Row changes handed to lanes or waiting for them, by kind.
    pub n_inserts: u64,
    pub n_updates: u64,
    pub n_deletes: u64,
    /// Source rows that rules left out.
    pub n_rows_filtered: u64,
    pub n_rows_committed: u64,
    /// Folds, DDL pieces and idle progress committed.
    pub n_target_transactions: u64,
    pub n_ddls_executed: u64,
    pub n_ddls_skipped: u64,
    /// Units that a former owner had committed above its watermark.
    pub n_units_resumed: u64,
}

impl Engine {
    /// As in [`Engine::status`], at no cost.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// What lag is computed from: `now - clock offset - base`, where the base is the oldest uncommitted transaction, or,
/// when there is none, nothing is behind as of the last one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Source time of the oldest transaction that is read and not committed. Grows old while blocked.
    pub oldest_uncommitted: Option<UnixMillis>,
    /// Source time of the last transaction all of whose predecessors are committed.
    pub last_committed: Option<UnixMillis>,
    /// Source time of the newest event read, heartbeats included.
    pub last_read: Option<UnixMillis>,
}

/// What the stream waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// The answer to `ReadSource`.
    SourceStructure(TableName),
    /// The answer to `ReadTarget`.
    TargetStructure(TableName),
    /// A DDL in flight changes the target table of the next row event.
    Ddl(TableName),
    /// Too many bytes are on their way.
    Memory,
    /// The oldest uncommitted unit is a whole window behind.
    Window,
    /// `Drain` was asked for, or an error ends the run.
    Ending,
}
