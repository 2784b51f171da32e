//! What came of a transaction of a lane.

use dm_fence::{Breach, FenceVerdict, ServerRun};
use dm_model::{
    Epoch,
    error::{Class, Code, Level, Report, Retry, Scope},
};

use crate::{Error, error};

/// Every variant says whether the transaction is in the target, and what the caller may do.
#[derive(Debug)]
pub enum LaneOutcome {
    /// It is in the target, acknowledged or resolved. `affected` counts rows per statement, without the fence; empty
    /// when the answer was lost and resolved.
    Committed { affected: Vec<u64>, batch_crc: u32, resolved: bool },
    /// It is not, and will not be. The same transaction may be executed again, with the same update.
    NotCommitted { error: Error },
    /// It is not: the server refused a statement for what it says. Counted from 0, without the fence.
    Data { number: u16, statement: usize, error: Error },
    /// It is not: a later owner has the subtask. Stop for good.
    Fenced { owner: Epoch },
    /// It is not: the row is ours but not as we left it. End the incarnation: take over again.
    SeqMismatch { expected: u64, found: u64 },
    /// It is not: the row is gone. End the incarnation.
    RowMissing,
    /// The target is another server, or was restarted, since takeover; commits may be lost. End the incarnation.
    TargetChanged { before: ServerRun, now: ServerRun },
    /// Rows that our history does not explain. End the incarnation.
    Broken(Breach),
    /// COMMIT was sent and could not be resolved in time. End the incarnation: the next takeover reads what happened.
    Unresolved { error: Error },
    /// Whether a DDL was executed cannot be told. A person has to look at the table.
    Undecided { statement: String },
}

/// The target's history does not fit ours.
pub const INCARNATION_ENDED: Code = Code::new(
    60005,
    Class::Checkpoint,
    Scope::Downstream,
    Level::Medium,
    "The subtask takes the target over again by itself. If this repeats, look for a second process with the same epoch or a target that loses commits.",
);
/// A DDL of unknown outcome.
pub const UNDECIDED: Code = Code::new(
    60006,
    Class::SyncUnit,
    Scope::Downstream,
    Level::High,
    "Look whether the statement took effect in the target, then skip it or replace it with `binlog`.",
);

impl LaneOutcome {
    /// True for outcomes after which all lanes stop, memory is dropped and takeover runs again (rule 4).
    pub fn ends_incarnation(&self) -> bool {
        match self {
            Self::SeqMismatch { .. }
            | Self::RowMissing
            | Self::TargetChanged { .. }
            | Self::Broken(_)
            | Self::Unresolved { .. } => true,
            Self::Committed { .. }
            | Self::NotCommitted { .. }
            | Self::Data { .. }
            | Self::Fenced { .. }
            | Self::Undecided { .. } => false,
        }
    }

    pub fn is_committed(&self) -> bool {
        matches!(self, Self::Committed { .. })
    }

    /// The outcome as users see it; `None` when there is nothing to tell.
    pub fn report(&self) -> Option<Report> {
        let retry = Retry::Backoff;
        let report = match self {
            Self::Committed { .. } => return None,
            Self::NotCommitted { error } | Self::Unresolved { error } => Report::of(error, retry),
            Self::Data { error, .. } => Report::of(error, Retry::Never),
            Self::Fenced { owner } => Report::new(
                error::SUPERSEDED,
                Retry::Never,
                format!("a later owner with epoch {owner} has the subtask"),
            ),
            Self::SeqMismatch { expected, found } => Report::new(
                INCARNATION_ENDED,
                retry,
                format!("the lane row carries seq {found} where we left {expected}"),
            ),
            Self::RowMissing => Report::new(INCARNATION_ENDED, retry, "the lane row is gone"),
            Self::TargetChanged { before, now } => Report::new(
                INCARNATION_ENDED,
                retry,
                format!("the target was server {} and is now {}, or was restarted", before.uuid, now.uuid),
            ),
            Self::Broken(Breach::ForeignCluster { owner }) => Report::new(
                error::FOREIGN_CLUSTER,
                Retry::Never,
                format!("the subtask's rows in the target belong to cluster {owner}"),
            ),
            Self::Broken(breach) => Report::new(INCARNATION_ENDED, retry, breach.to_string()),
            Self::Undecided { statement } => Report::new(
                UNDECIDED,
                Retry::Never,
                format!("cannot tell whether `{}` was executed", crate::text::shorten(statement)),
            ),
        };
        Some(report)
    }

    /// What a failed fence means; `None` when it held.
    pub(crate) fn of_fence(verdict: FenceVerdict) -> Option<Self> {
        match verdict {
            FenceVerdict::Held => None,
            FenceVerdict::Fenced { owner } => Some(Self::Fenced { owner }),
            FenceVerdict::SeqMismatch { expected, found } => Some(Self::SeqMismatch { expected, found }),
            FenceVerdict::RowMissing => Some(Self::RowMissing),
            FenceVerdict::Broken(breach) => Some(Self::Broken(breach)),
        }
    }
}
