//! What an engine is made from. Everything is compiled and checked before; nothing here is read from outside.

use std::collections::BTreeSet;

use dm_fence::{LaneRow, Resume, Slicing};
use dm_model::{BinlogPosition, Flavor, SourceId, TableName};
use dm_rules::{block_allow::BlockAllowList, event_filter::EventFilter, route::Router};

use crate::{
    batch::StoredStructure, chunk::skip::SkipTest, error_op::Operator, literal::Dialect, online_ddl::OnlineDdl,
    safe_mode::Holder, sqlgen::Mode,
};

/// The rules of a subtask.
#[derive(Debug, Clone)]
pub struct Config {
    pub source: SourceId,
    pub flavor: Flavor,
    /// The source's version as in version comments (`80036`, `101118`); `None` when unknown.
    pub source_version: Option<u32>,
    /// The source tells `T` from `t` (`lower_case_table_names` is 0).
    pub case_sensitive: bool,
    pub block_allow: BlockAllowList,
    pub router: Router,
    pub event_filter: EventFilter,
    /// The target's dialect.
    pub dialect: Dialect,
    /// The target checks foreign keys.
    pub parent_keys: bool,
    /// How rows are written outside safe mode.
    pub mode: Mode,
    pub safe_mode: Vec<Holder>,
    /// Must be what the lane rows say (`Resume::slicing`), else the driver re-slices first.
    pub slicing: Slicing,
    pub limits: Limits,
    /// `None`: `online-ddl: false`, ghost tables are tables like any other.
    pub online_ddl: Option<OnlineDdl>,
    pub merges: Merges,
    pub operators: Vec<Operator>,
}

/// Sizes and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `batch`: about so many rows share a target transaction.
    pub batch_rows: usize,
    /// A fold is also full at so many bytes of rendered rows.
    pub batch_bytes: usize,
    /// `worker-count`: at most so many lanes.
    pub n_lanes: u16,
    /// Rendered rows that may wait or be on their way before the stream is held back. The unit that is being read may go
    /// beyond it when nothing else is in flight. A lane holds its rows once more, as statements.
    pub memory_bytes: usize,
    /// A source transaction is also cut after so many bytes of row images ([`Limits::SLICE_BYTES`] but in tests).
    pub slice_bytes: u64,
    /// A lane row is brought up to date when it is behind for so long.
    pub idle_progress_ms: i64,
    /// `Report` at most so often.
    pub report_ms: i64,
}

impl Limits {
    /// Part of how a stream is numbered, together with [`Slicing`]: another value needs empty windows. A transaction up to
    /// this size reaches the target as a whole; it also bounds what one unit takes of the worker's memory and of the
    /// target's (TiDB takes 100 MB in a transaction).
    pub const SLICE_BYTES: u64 = 32 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_rows: 100,
            batch_bytes: 8 << 20,
            n_lanes: 16,
            memory_bytes: 48 << 20,
            slice_bytes: Self::SLICE_BYTES,
            idle_progress_ms: 5_000,
            report_ms: 1_000,
        }
    }
}

/// Which target tables are fed by several source tables. Their structure is nobody's alone: a DDL on one shard pauses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merges {
    /// Targets known to have several source tables, of this source or of several.
    pub targets: BTreeSet<TableName>,
    /// The task merges tables across sources (`shard-mode`): every target counts as merged, since what other sources
    /// feed is not known here.
    pub across_sources: bool,
}

/// Where a run starts, as takeover found it.
#[derive(Debug)]
pub struct Start {
    /// With the location filled in: for a fresh subtask its start (task `meta`, or the snapshot's oldest position).
    pub resume: Resume,
    /// All lane rows, for the GTIDs that go with their windows.
    pub rows: Vec<LaneRow>,
    /// All of `dm_table_structure`, in any order.
    pub structures: Vec<StoredStructure>,
    /// Row-skip tests of the snapshot's tables, by source table. Empty when there was no snapshot or all of it is passed.
    pub handover: Vec<(TableName, SkipTest<BinlogPosition>)>,
}
