//! Which cells there are: rows (a fail point and the situation it is passed in) by action, GTID or position, and servers.
//!
//! Pure: a seed decides everything that is not enumerated.

use std::fmt;

use dm_tests::ServerKind;
use rand::{Rng, SeedableRng, rngs::StdRng};

/// What a process does at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    Kill,
    /// Frozen until its successor owns the target, which takes longer than its lease.
    Stop,
}

impl Action {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
        }
    }
}

/// The situation in which the point is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scenario {
    /// Replication by the subtask's first owner.
    Sync,
    /// The full copy by its first owner, replication by whoever comes.
    Copy,
    /// A second owner takes over from one that ended or froze inside a transaction.
    Takeover,
    /// A second owner takes over from one that left a DDL open.
    TakeoverIntent,
    /// A second owner finds the lane rows locked by a connection that is registered nowhere.
    Blocked,
    /// The answer to a COMMIT, or the COMMIT, is lost on the way.
    LostCommit,
    /// The answer to a DDL, or the DDL, is lost on the way.
    LostDdl,
    /// The owner is told to end.
    Drain,
}

/// A point in a situation, and how often it may be passed before it strikes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) point: &'static str,
    pub(crate) scenario: Scenario,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

const fn row(point: &'static str, scenario: Scenario, first: u64, last: u64) -> Row {
    Row { point, scenario, first, last }
}

/// Every row of the matrix. What C3 refuses is not here: an owner that wakes up to a later epoch is told by the leader before
/// it gets there, so `fence.rs` has it.
pub(crate) const ROWS: &[Row] = &[
    row("meta-table", Scenario::Sync, 1, 5),
    row("c0-connected", Scenario::Takeover, 1, 1),
    row("c0-sessions", Scenario::Takeover, 1, 2),
    row("c1-killed", Scenario::Takeover, 1, 1),
    row("c2-locked", Scenario::Takeover, 1, 1),
    row("c2-rolled-back", Scenario::Blocked, 1, 1),
    row("c4-sent", Scenario::Takeover, 1, 1),
    row("c4-commit", Scenario::Sync, 1, 1),
    row("c4-commit", Scenario::Takeover, 1, 1),
    row("c4-claimed", Scenario::Takeover, 1, 1),
    row("c5-ended", Scenario::Takeover, 1, 1),
    row("c5-forgotten", Scenario::Takeover, 1, 1),
    row("c6-intents", Scenario::TakeoverIntent, 1, 1),
    row("c6-inspected", Scenario::TakeoverIntent, 1, 1),
    row("c7-rows", Scenario::Takeover, 1, 1),
    row("c8-finished", Scenario::Takeover, 1, 1),
    row("taken-over", Scenario::TakeoverIntent, 1, 1),
    row("register", Scenario::Sync, 1, 2),
    row("registered", Scenario::Sync, 1, 2),
    row("fence", Scenario::Sync, 1, 12),
    row("rows", Scenario::Sync, 1, 12),
    row("fence-held", Scenario::Sync, 1, 12),
    row("commit", Scenario::Sync, 1, 12),
    row("acked", Scenario::Sync, 1, 12),
    row("commit-unknown", Scenario::LostCommit, 1, 1),
    row("probe", Scenario::LostCommit, 1, 1),
    row("resolved", Scenario::LostCommit, 1, 1),
    row("intent", Scenario::Sync, 1, 6),
    row("ddl", Scenario::Sync, 1, 6),
    row("ddl-executed", Scenario::Sync, 1, 6),
    row("ddl-look", Scenario::LostDdl, 1, 1),
    row("ddl-done", Scenario::Sync, 1, 6),
    row("close", Scenario::Sync, 1, 2),
    row("drained", Scenario::Drain, 1, 1),
    row("begin", Scenario::Sync, 1, 1),
    row("stream", Scenario::Sync, 1, 1),
    row("ack", Scenario::Sync, 1, 12),
    row("report", Scenario::Sync, 2, 4),
    row("reported", Scenario::Sync, 2, 4),
    row("view", Scenario::Copy, 1, 1),
    row("target-table", Scenario::Copy, 1, 4),
    row("plan", Scenario::Copy, 1, 1),
    row("chunk", Scenario::Copy, 1, 1),
    row("chunk-done", Scenario::Copy, 1, 1),
    row("rows", Scenario::Copy, 1, 6),
    row("fence-held", Scenario::Copy, 1, 6),
    row("commit", Scenario::Copy, 1, 6),
    row("marker", Scenario::Copy, 1, 5),
    row("marker-done", Scenario::Copy, 1, 5),
    row("handover", Scenario::Copy, 1, 1),
    row("unit-change", Scenario::Copy, 1, 1),
];

/// One cell: a row by the other factors.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) number: usize,
    pub(crate) row: Row,
    pub(crate) action: Action,
    pub(crate) by_gtid: bool,
    pub(crate) source: ServerKind,
    pub(crate) target: ServerKind,
    /// Of everything that is drawn in the cell.
    pub(crate) seed: u64,
}

/// What one life of the subtask's owner is armed with, in the order in which it is expected to strike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trap {
    pub(crate) point: &'static str,
    pub(crate) action: Action,
    pub(crate) nth: u64,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}@{}", self.point, self.action.as_str(), self.nth)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = if self.by_gtid { "gtid" } else { "position" };
        let (source, target) = (self.source.as_str(), self.target.as_str());
        let (point, action) = (self.row.point, self.action.as_str());
        write!(f, "{point} {action} in {:?}, {source} to {target} by {by} (seed {})", self.row.scenario, self.seed)
    }
}

impl Cell {
    /// The owners that end or freeze, in order.
    pub(crate) fn lives(&self) -> Vec<Vec<Trap>> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let nth = rng.random_range(self.row.first..=self.row.last);
        let main = Trap { point: self.row.point, action: self.action, nth };
        let some = if rng.random_bool(0.5) { Action::Kill } else { Action::Stop };
        let before = |point, action, nth| vec![Trap { point, action, nth }];
        match self.row.scenario {
            Scenario::Sync | Scenario::Copy | Scenario::LostCommit | Scenario::LostDdl | Scenario::Drain => {
                vec![vec![main]]
            }
            Scenario::Takeover => vec![before("rows", some, rng.random_range(2..8)), vec![main]],
            Scenario::TakeoverIntent => {
                let point = ["intent", "ddl", "ddl-executed"][rng.random_range(0..3)];
                vec![before(point, some, rng.random_range(1..4)), vec![main]]
            }
            Scenario::Blocked => vec![before("register", Action::Stop, 2), vec![main]],
        }
    }
}

/// All cells, or for each row two that differ in every factor, so that every pair of values meets somewhere.
pub(crate) fn cells(seed: u64, all: bool) -> Vec<Cell> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut cells = Vec::new();
    for row in ROWS {
        let mask: u8 = rng.random_range(0..16);
        let masks = if all { (0..16).collect() } else { vec![mask, !mask & 15] };
        for mask in masks {
            let kind = |bit: u8| if mask & bit == 0 { ServerKind::MariaDb } else { ServerKind::MySql };
            cells.push(Cell {
                number: cells.len(),
                row: *row,
                action: if mask & 1 == 0 { Action::Kill } else { Action::Stop },
                by_gtid: mask & 2 == 0,
                source: kind(4),
                target: kind(8),
                seed: rng.random_range(0..1_000_000),
            });
        }
    }
    cells
}
