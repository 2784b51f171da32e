//! What lanes are given to do: folds of row changes, idle progress, pieces of DDL.
//!
//! Plain values. The lane's row (epoch, seq, window) is held by the lane; a [`Progress`] says what one transaction adds
//! to it, so that a retried batch carries the same progress under a newer seq.

use std::sync::Arc;

use dm_ddl::table::Table;
use dm_fence::{DdlEffect, Progress, UnitNumber};
use dm_model::{BinlogPosition, TableName, UnixMillis};

use crate::{
    change::RowChange,
    sqlgen::{self, Mode, Statement},
};

/// Numbers the transactions handed out by one engine; never repeated within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BatchId(pub u64);

/// A source structure that a transaction stores in `dm_table_structure`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredStructure {
    /// The source table.
    pub table: TableName,
    /// The first unit whose rows have this structure.
    pub from_unit: UnitNumber,
    /// `None`: the table is gone as of this unit.
    pub structure: Option<Arc<Table>>,
}

/// One target transaction: the fence, the structures, the rows, COMMIT.
#[derive(Debug, Clone)]
pub struct Batch {
    pub id: BatchId,
    pub progress: Progress,
    pub structures: Vec<StoredStructure>,
    /// Runs of changes in the order in which they must take effect; one run is written in one way.
    pub runs: Vec<Run>,
    pub n_rows: usize,
    /// Memory held by the changes.
    pub n_bytes: usize,
    /// Where the first unit starts and the last one ends, for messages.
    pub start: BinlogPosition,
    pub end: BinlogPosition,
}

/// Changes of consecutive units of a fold that are written in one way.
#[derive(Debug, Clone)]
pub struct Run {
    pub mode: Mode,
    pub changes: Vec<RowChange>,
}

impl Batch {
    /// The statements after the fence, in order. Costs CPU per row: call it in the lane's task, not in the driver.
    pub fn statements(&self) -> Vec<Statement> {
        self.runs.iter().flat_map(|run| sqlgen::statements(&run.changes.iter().collect::<Vec<_>>(), run.mode)).collect()
    }

    /// The changes in the order in which they must take effect.
    pub fn changes(&self) -> impl Iterator<Item = &RowChange> {
        self.runs.iter().flat_map(|run| &run.changes)
    }
}

/// The session a DDL ran under on the source; the target's session gets the same before it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DdlSession {
    /// `sql_mode` as the query event's bits.
    pub sql_mode: Option<u64>,
    /// As in `SET time_zone`, present when the statement depends on it.
    pub time_zone: Option<String>,
    /// Seconds and microseconds for `SET timestamp`.
    pub timestamp_secs: u32,
    pub timestamp_micros: u32,
    /// Client charset, connection collation and server collation by their numbers.
    pub charset: Option<[u16; 3]>,
}

/// One piece of a DDL: intent, execution, done. It has its lane to itself until `DdlDone`.
///
/// After a takeover the driver first looks for an intent of (unit, piece): one in state `done` is answered at once, an
/// open one that was judged `Done` needs only the done transaction, every other one runs again.
#[derive(Debug, Clone, PartialEq)]
pub struct DdlCommand {
    pub lane: u16,
    pub unit: UnitNumber,
    /// Counts from 0 within the unit.
    pub piece: u32,
    pub n_pieces: u32,
    /// Routed, and re-written so that repeating it is as harmless as the syntax allows.
    pub sql: String,
    /// The text of the source, for messages and the intent record.
    pub origin_sql: String,
    pub session: DdlSession,
    /// The target tables whose structure is hashed before the piece runs (`pre_hash`), and read again after it.
    pub targets: Vec<TableName>,
    /// The target schemas it creates, alters or drops.
    pub target_schemas: Vec<String>,
    /// How to tell later whether the piece ran (data-plane.md 4.1 rule 7).
    pub effect: DdlEffect,
    /// Server error numbers that mean the piece has its effect already.
    pub ignorable: &'static [u16],
    /// Goes into the transaction that marks the piece as done. Its `units` is empty but for the last piece.
    pub done: Progress,
    /// Stored in the same transaction.
    pub structures: Vec<StoredStructure>,
    pub start: BinlogPosition,
    pub end: BinlogPosition,
    pub src_ts: Option<UnixMillis>,
}

impl DdlCommand {
    /// True when the server's error means that the piece has its effect already.
    pub fn ignores(&self, error_number: u16) -> bool {
        self.ignorable.contains(&error_number)
    }
}

/// A DDL that is not executed but must be counted, because the source's structures changed with it.
#[derive(Debug, Clone, PartialEq)]
pub struct SkipDdl {
    pub lane: u16,
    pub unit: UnitNumber,
    /// Always 0.
    pub piece: u32,
    pub origin_sql: String,
    pub done: Progress,
    pub structures: Vec<StoredStructure>,
}
