//! What a driver tells the engine. Each variant says what happens when it comes twice, late or never.

use dm_ddl::table::Table;
use dm_fence::UnitNumber;
use dm_model::{Location, TableName, error::Report};

use crate::{batch::BatchId, error_op::Operator};

#[derive(Debug, Clone)]
pub enum Input {
    /// The source's stream was (re)opened at [`Engine::stream_location`](super::Engine::stream_location); the next raw
    /// event comes from it. What was read of an unfinished transaction is dropped and read again. Must come before the
    /// first event, and again after every reconnect.
    StreamStarted { location: Location, server_uuid: String },
    /// One event of the stream, header included, checksum as the source sent it. Kept in order; never lost.
    RawEvent(Vec<u8>),
    /// The lane that `OpenLane` asked for is registered and ready. Twice: ignored.
    LaneOpened { lane: u16 },
    /// The transaction of `Run` or `IdleProgress` is committed for certain (acknowledged, or resolved by probe). Late
    /// and repeated ones are ignored, by batch id.
    Ack { lane: u16, batch: BatchId },
    /// The lane cannot go on, and retrying is over. Always answered with a [`Stop`](super::Stop).
    LaneFailed { lane: u16, batch: Option<BatchId>, report: Report },
    /// Answer to `ReadSource`: the structure in the source now, `None` when there is no such table.
    SourceTable { table: TableName, structure: Option<Table> },
    /// Answer to `ReadTarget`: the structure in the target now, `None` when there is no such table.
    TargetTable { table: TableName, structure: Option<Table> },
    /// Answer to `Ddl` and `SkipDdl`. Late and repeated ones are ignored, by unit and piece.
    DdlDone { unit: UnitNumber, piece: u32, outcome: DdlOutcome },
    /// The operators of `binlog skip|replace|inject` from now on; replaces those given before. Events already read are
    /// not looked at again.
    Operators(Vec<Operator>),
    /// Time went on. Needed at least once a second for idle progress and reports.
    Tick,
    /// Read no more; commit what is read as whole transactions, bring a lane row up to date, then say `Drained`.
    Drain,
}

/// What became of one piece of a DDL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DdlOutcome {
    /// The `done` transaction is committed (executed now, found executed, or an error that counts as success, see
    /// [`DdlCommand::ignores`](crate::batch::DdlCommand::ignores)).
    Committed,
    /// The target refuses it for good. The report's message is completed with locations and the statement.
    Refused(Report),
}
