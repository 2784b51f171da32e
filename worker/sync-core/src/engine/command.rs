//! What the engine wants done. A driver executes commands in the order in which it polls them; commands of different
//! lanes run side by side.

use dm_fence::{Progress, UnitNumber};
use dm_model::{Location, TableName, UnixMillis};

use crate::batch::{Batch, BatchId, DdlCommand, SkipDdl, StoredStructure};

#[derive(Debug, Clone)]
pub enum Command {
    /// Open and register another target connection; answer `LaneOpened` or `LaneFailed`. Lanes are asked for in
    /// ascending order from 0 and never closed by the engine.
    OpenLane { lane: u16 },
    /// One target transaction on a free lane; answer `Ack` or `LaneFailed`.
    Run { lane: u16, batch: Batch },
    /// A transaction that only brings the lane's row up to date; answer `Ack` or `LaneFailed`.
    IdleProgress { lane: u16, batch: BatchId, progress: Progress, structures: Vec<StoredStructure> },
    /// Intent, execute, done; answer `DdlDone` or `LaneFailed`. Boxed: it is large and rare.
    Ddl(Box<DdlCommand>),
    /// One transaction with `done` and the structures; answer `DdlDone` (piece 0) or `LaneFailed`.
    SkipDdl(Box<SkipDdl>),
    /// Read a source table's structure; answer `SourceTable`. Asked once until answered.
    ReadSource { table: TableName },
    /// Read a target table's structure; answer `TargetTable`. Asked once until answered.
    ReadTarget { table: TableName },
    /// The newest acknowledged watermark, at most once a second. May be forgotten, the next one says more.
    Report(Reached),
    /// Everything that was asked for before `Drain` is done; the engine is finished.
    Drained,
}

/// What an acknowledged lane row holds: the only progress that is ever reported (data-plane.md 4.1 rule 9).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reached {
    pub low: UnitNumber,
    pub location: Location,
    /// Source time of unit `low`.
    pub src_ts: Option<UnixMillis>,
}
