//! Production's decisions, and the mutants: variants of a rule that lose or double data, to show that the model would see it.
//!
//! A mutant lives here and nowhere else; production code has no seam for it. Each names the rule of data-plane.md 4.1 that it breaks.

use dm_fence::{Attempt, CommitVerdict, FenceVerdict, LaneRow, Observed, Resume, ServerRun, Window};

/// One broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// Rule 1: a new owner's rows start with an empty window, as if it were the owner's own.
    WindowOfOwner,
    /// Rule 1: resume after the smallest watermark, without windows.
    ResumeFromLowest,
    /// Rule 2: COMMIT goes out with the fence, before its reply was read.
    CommitWithFence,
    /// The fence is not asked at all.
    NoFence,
    /// Rule 3: a COMMIT without an answer counts as failed, and is repeated with whatever seq the row has.
    UnknownIsFailure,
    /// Rule 3: a COMMIT without an answer counts as done.
    UnknownIsSuccess,
    /// Rule 4: a lane goes on with what it remembers after the target was restarted, with whatever seq the row has.
    RemembersAcrossRestart,
    /// Rule 4: an idle lane whose connection died does not look at the target before it has work again.
    SleepsOn,
    /// Rule 5: a refused statement is left out and the transaction goes on.
    NoRollback,
    /// Rule 6: takeover raises only the rows of the lanes it will use.
    ClaimsOwnLanes,
    /// Rule 6: takeover reads the lane rows without locking them, and claims what it read.
    ReadsWithoutLocks,
    /// Rule 6: connections do not register.
    Unregistered,
    /// Rule 6: takeover acts on intents while the sessions of older owners live.
    EndsNobody,
    /// Rule 7: a committed intent counts as a committed unit.
    IntentIsDone,
    /// Rule 7: a DDL without an answer counts as executed.
    LostDdlIsDone,
    /// Rule 7: a DDL without an answer is executed again without a look.
    LostDdlAgain,
    /// Rule 7: the structure is looked at while the old connection lives.
    LooksTooSoon,
    /// Rule 8: units count as committed for their successors once they are sent.
    ReadyWhenSent,
    /// Rule 9: what is reported is the watermark in memory.
    ReportsMemory,
    /// The fence checks the epoch but not the seq.
    NoSeqGuard,
}

/// Production's rules, with one exception or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    pub mutant: Option<Mutant>,
}

impl Rules {
    pub fn is(self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Where a new owner goes on.
    pub fn resume(self, rows: &[LaneRow], taken: &Resume) -> Resume {
        match rows.iter().min_by_key(|row| row.low) {
            Some(lowest) if self.is(Mutant::ResumeFromLowest) => {
                Resume { low: lowest.low, location: lowest.low_location.clone(), done: Window::new(), ..taken.clone() }
            }
            Some(_) | None => dm_fence::resume(rows).unwrap_or_else(|| taken.clone()),
        }
    }

    /// The row as its new owner remembers it.
    pub fn inherit(self, row: &LaneRow) -> LaneRow {
        let done = if self.is(Mutant::WindowOfOwner) || self.is(Mutant::ResumeFromLowest) {
            Window::new()
        } else {
            row.done.clone()
        };
        LaneRow { done, ..row.clone() }
    }

    pub fn judge_update(self, attempt: &Attempt, affected: u64, row: Option<&LaneRow>) -> FenceVerdict {
        if self.is(Mutant::CommitWithFence) || self.is(Mutant::NoFence) {
            return FenceVerdict::Held;
        }
        dm_fence::judge_update(attempt, affected, row)
    }

    /// Does the UPDATE of a fence find its row?
    pub fn matches(self, attempt: &Attempt, row: Option<&LaneRow>) -> bool {
        row.is_some_and(|row| {
            row.epoch == attempt.epoch && (row.seq == attempt.seq || self.is(Mutant::NoSeqGuard))
                || self.is(Mutant::NoFence)
        })
    }

    pub fn judge_unknown_commit(self, attempt: &Attempt, lost_probes: u64, row: Option<&LaneRow>) -> CommitVerdict {
        match row {
            Some(row) if self.is(Mutant::UnknownIsFailure) && row.epoch == attempt.epoch => {
                CommitVerdict::NotCommitted { seq: row.seq }
            }
            Some(row) if self.is(Mutant::UnknownIsSuccess) && row.epoch == attempt.epoch => {
                CommitVerdict::Committed { seq: row.seq }
            }
            row => dm_fence::judge_unknown_commit(attempt, lost_probes, row),
        }
    }

    pub fn is_same_target(self, before: &ServerRun, newest: u64, now: &ServerRun, connection: u64) -> bool {
        self.is(Mutant::RemembersAcrossRestart) || dm_fence::is_same_target(before, newest, now, connection, true)
    }

    pub fn judge_intent(self, intent: &dm_fence::Intent, now: &Observed) -> dm_fence::IntentVerdict {
        if self.is(Mutant::LostDdlIsDone) {
            return dm_fence::IntentVerdict::Done;
        }
        if self.is(Mutant::LostDdlAgain) {
            return dm_fence::IntentVerdict::Again;
        }
        dm_fence::judge_intent(intent, now)
    }
}
