//! Takeover of a target by a new owner, as a state machine: control-plane.md 2.5 C with the rules of data-plane.md 4.1.
//!
//! [`Takeover::step`] says what to execute next, [`Takeover::answer`] takes what came back. Nothing is executed here,
//! so a model drives the same function as production. Whatever order answers come in, rows are claimed only under
//! their locks, only from older epochs of the same cluster, and all of them at once.
//!
//! An answer that does not fit the step ends the takeover with [`Stop::Unexpected`].

use std::collections::BTreeMap;

use dm_model::{ClusterId, Epoch};
use serde::{Deserialize, Serialize};

use crate::{
    intent::{Intent, IntentState, IntentVerdict, Observed, judge_intent},
    lane::{FIRST_SEQ, LaneRow, Resume, Slicing, resume},
    session::{Ending, Session, to_end, to_kill_first},
};

/// What to execute next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// Roll back and drop the connection if there is one, connect, set the session's timeouts. → `Connected`.
    Connect,
    /// Read the subtask's sessions outside any older snapshot. → `Sessions`.
    ReadSessions,
    /// KILL if the processlist has it under our user; do not wait. → `Killed`.
    Kill(Session),
    /// BEGIN; read all lane rows FOR UPDATE in ascending order. → `Rows`, `LockTimeout`, `Conflict`.
    LockRows,
    /// In the transaction that holds the locks: set our epoch and `seq + 1`, no checksum, in *all* rows; insert these
    /// missing lanes in this order; register this connection; COMMIT.
    /// → `Claimed` (all acknowledged, as many rows as were locked), `Conflict`, `LockTimeout`.
    Claim { n_rows: usize, insert: Vec<u16> },
    /// ROLLBACK. → `RolledBack`.
    RollBack,
    /// Make sure that the session is gone, as told. → `Gone`, `StillThere`.
    End(Session, Ending),
    /// Delete the registration of a session that is gone. → `Deleted`.
    Forget(Session),
    /// Read the intents of units above the watermark, in every state. → `Intents`.
    ReadIntents,
    /// Look at the table in the target. → `Observed`.
    Inspect(Box<Intent>),
    /// Read all lane rows again. → `Rows`.
    ReadRows,
    /// The end.
    Finished(Box<TakenOver>),
    /// The end, without ownership.
    Stopped(Stop),
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    Connected(Session),
    Sessions(Vec<Session>),
    Killed,
    Rows(Vec<LaneRow>),
    /// A lock was not granted in time (1205).
    LockTimeout,
    /// A duplicate key or a deadlock (1062, 1213), or another number of rows than were locked: someone else is here.
    Conflict,
    Claimed,
    RolledBack,
    Gone,
    StillThere,
    Deleted,
    Intents(Vec<Intent>),
    Observed(Observed),
    /// The connection broke; whether the step took effect is not known.
    Lost,
}

/// The target is ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TakenOver {
    pub epoch: Epoch,
    pub resume: Resume,
    /// All lane rows, each with our epoch.
    pub rows: Vec<LaneRow>,
    /// Intents and what is to be done when their unit comes by in the stream.
    pub intents: Vec<(Intent, IntentVerdict)>,
    pub n_killed: usize,
}

/// Why the target is not ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Stop {
    #[error("a later owner with epoch {seen} has the subtask")]
    Superseded { seen: Epoch },
    #[error("the subtask's rows in the target belong to cluster {owner}")]
    ForeignCluster { owner: ClusterId },
    #[error("connection {connection} of an earlier owner does not end")]
    SessionStays { connection: u64 },
    #[error("the lane rows stay locked after {n_tries} tries")]
    Locked { n_tries: u32 },
    #[error("the target was lost {n_tries} times during takeover")]
    Lost { n_tries: u32 },
    #[error("the answer does not fit the step `{step}`")]
    Unexpected { step: &'static str },
}

/// What a takeover is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    pub cluster_id: ClusterId,
    pub epoch: Epoch,
    /// Lanes that shall have a row; rows of other lanes stay.
    pub n_lanes: u16,
    pub slicing: Slicing,
    /// Take rows over from another cluster, if their epochs are older than ours (`--take-over`).
    pub from_foreign_cluster: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase {
    Connecting,
    ReadingOld,
    KillingOld(Vec<Session>),
    Locking,
    RollingBack(After),
    ReadingBlockers,
    KillingBlockers(Vec<Session>),
    Claiming(Vec<LaneRow>),
    ReadingEnded,
    Ending(Vec<(Session, Ending)>),
    Forgetting(Vec<(Session, Ending)>),
    ReadingIntents,
    Inspecting(Vec<Intent>),
    ReadingRows,
    Finished(Box<TakenOver>),
    Stopped(Stop),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum After {
    Blockers,
    Lock,
    Stop(Stop),
}

/// The state machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Takeover {
    claim: Claim,
    phase: Phase,
    me: Option<Session>,
    /// Our own earlier connections: they may hold locks without being registered.
    dead: Vec<Session>,
    /// Each lane's seq as our claim leaves it; `None` before the claim is acknowledged.
    claimed: Option<BTreeMap<u16, u64>>,
    n_lock_tries: u32,
    n_lost: u32,
    n_stays: u32,
    n_killed: usize,
    intents: Vec<(Intent, IntentVerdict)>,
}

impl Takeover {
    /// Lock waits, each of about a second, before a takeover gives up and is begun anew by its caller.
    pub const MAX_LOCK_TRIES: u32 = 60;
    /// Lost connections before a takeover gives up.
    pub const MAX_LOST: u32 = 10;
    /// How often a session is ended that is still there.
    pub const MAX_STAYS: u32 = 5;

    pub fn new(claim: Claim) -> Self {
        Self {
            claim,
            phase: Phase::Connecting,
            me: None,
            dead: Vec::new(),
            claimed: None,
            n_lock_tries: 0,
            n_lost: 0,
            n_stays: 0,
            n_killed: 0,
            intents: Vec::new(),
        }
    }

    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// What to execute now. The same until an answer is given.
    pub fn step(&self) -> Step {
        match &self.phase {
            Phase::Connecting => Step::Connect,
            Phase::ReadingOld | Phase::ReadingBlockers | Phase::ReadingEnded => Step::ReadSessions,
            Phase::KillingOld(left) | Phase::KillingBlockers(left) => match left.last() {
                Some(session) => Step::Kill(session.clone()),
                None => Step::LockRows,
            },
            Phase::Locking => Step::LockRows,
            Phase::RollingBack(_) => Step::RollBack,
            Phase::Claiming(rows) => Step::Claim { n_rows: rows.len(), insert: self.missing(rows) },
            Phase::Ending(left) => match left.last() {
                Some((session, how)) => Step::End(session.clone(), *how),
                None => Step::ReadIntents,
            },
            Phase::Forgetting(left) => match left.last() {
                Some((session, _)) => Step::Forget(session.clone()),
                None => Step::ReadIntents,
            },
            Phase::ReadingIntents => Step::ReadIntents,
            Phase::Inspecting(left) => match left.last() {
                Some(intent) => Step::Inspect(Box::new(intent.clone())),
                None => Step::ReadRows,
            },
            Phase::ReadingRows => Step::ReadRows,
            Phase::Finished(taken) => Step::Finished(taken.clone()),
            Phase::Stopped(stop) => Step::Stopped(stop.clone()),
        }
    }

    /// Takes what came back for [`Self::step`].
    pub fn answer(&mut self, answer: Answer) {
        let phase = std::mem::replace(&mut self.phase, Phase::Connecting);
        self.phase = self.next(phase, answer);
    }

    fn next(&mut self, phase: Phase, answer: Answer) -> Phase {
        match (phase, answer) {
            (end @ (Phase::Finished(_) | Phase::Stopped(_)), _) => end,
            (_, Answer::Lost) => self.lost(),
            (Phase::Connecting, Answer::Connected(me)) => {
                self.me = Some(me);
                if self.claimed.is_some() { Phase::ReadingEnded } else { Phase::ReadingOld }
            }
            // C1: only older owners, before any lock is waited for.
            (Phase::ReadingOld, Answer::Sessions(sessions)) => {
                self.kill_then_lock(|me| to_kill_first(&sessions, me).into_iter().cloned().collect(), Phase::KillingOld)
            }
            (Phase::KillingOld(left), Answer::Killed) => self.killed(left, Phase::KillingOld),
            (Phase::KillingBlockers(left), Answer::Killed) => self.killed(left, Phase::KillingBlockers),
            // C2, C3.
            (Phase::Locking, Answer::Rows(rows)) => match self.refusal(&rows) {
                Some(stop) => Phase::RollingBack(After::Stop(stop)),
                None => Phase::Claiming(rows),
            },
            (Phase::Locking | Phase::Claiming(_), Answer::LockTimeout) => self.try_again(After::Blockers),
            (Phase::Locking | Phase::Claiming(_), Answer::Conflict) => self.try_again(After::Lock),
            (Phase::RollingBack(after), Answer::RolledBack) => match after {
                After::Blockers => Phase::ReadingBlockers,
                After::Lock => Phase::Locking,
                After::Stop(stop) => Phase::Stopped(stop),
            },
            // C2k: whoever holds the locks is at most as new as we are, or C3 stops us once it lets go.
            (Phase::ReadingBlockers, Answer::Sessions(sessions)) => {
                let dead = self.dead.clone();
                self.kill_then_lock(
                    |me| {
                        let ended = to_end(&[sessions, dead].concat(), me);
                        ended.into_iter().filter(|(_, how)| *how == Ending::Kill).map(|(session, _)| session).collect()
                    },
                    Phase::KillingBlockers,
                )
            }
            // C4.
            (Phase::Claiming(rows), Answer::Claimed) => {
                let inserted = self.missing(&rows).into_iter().map(|lane| (lane, FIRST_SEQ));
                self.claimed = Some(rows.iter().map(|row| (row.lane, row.seq + 1)).chain(inserted).collect());
                Phase::ReadingEnded
            }
            // C5.
            (Phase::ReadingEnded, Answer::Sessions(sessions)) => {
                match sessions.iter().map(|s| s.epoch).max().filter(|seen| *seen > self.claim.epoch) {
                    Some(seen) => Phase::Stopped(Stop::Superseded { seen }),
                    None => {
                        let left = self.me.as_ref().map(|me| to_end(&sessions, me)).unwrap_or_default();
                        if left.is_empty() { Phase::ReadingIntents } else { Phase::Ending(left) }
                    }
                }
            }
            (Phase::Ending(left), Answer::Gone) => {
                self.n_stays = 0;
                self.n_killed += usize::from(left.last().is_some_and(|(_, how)| *how == Ending::Kill));
                Phase::Forgetting(left)
            }
            (Phase::Ending(left), Answer::StillThere) => {
                self.n_stays += 1;
                match left.last() {
                    Some((session, _)) if self.n_stays >= Self::MAX_STAYS => {
                        Phase::Stopped(Stop::SessionStays { connection: session.connection })
                    }
                    Some(_) | None => Phase::Ending(left),
                }
            }
            (Phase::Forgetting(mut left), Answer::Deleted) => {
                left.pop();
                if left.is_empty() { Phase::ReadingIntents } else { Phase::Ending(left) }
            }
            // C6.
            (Phase::ReadingIntents, Answer::Intents(mut intents)) => {
                self.intents.clear();
                intents.retain(|intent| intent.epoch <= self.claim.epoch);
                let (open, finished): (Vec<_>, Vec<_>) =
                    intents.into_iter().partition(|intent| intent.state == IntentState::Open);
                self.intents.extend(finished.into_iter().map(|intent| (intent, IntentVerdict::Finished)));
                if open.is_empty() { Phase::ReadingRows } else { Phase::Inspecting(open) }
            }
            (Phase::Inspecting(mut left), Answer::Observed(now)) => {
                if let Some(intent) = left.pop() {
                    let verdict = judge_intent(&intent, &now);
                    self.intents.push((intent, verdict));
                }
                if left.is_empty() { Phase::ReadingRows } else { Phase::Inspecting(left) }
            }
            // C7, after C6 (rule 6).
            (Phase::ReadingRows, Answer::Rows(rows)) => self.finish(rows),
            (phase, _) => {
                self.phase = phase;
                let step = name(&self.step());
                Phase::Stopped(Stop::Unexpected { step })
            }
        }
    }

    fn kill_then_lock(
        &self,
        choose: impl FnOnce(&Session) -> Vec<Session>,
        phase: impl FnOnce(Vec<Session>) -> Phase,
    ) -> Phase {
        let left = self.me.as_ref().map(choose).unwrap_or_default();
        if left.is_empty() { Phase::Locking } else { phase(left) }
    }

    fn killed(&mut self, mut left: Vec<Session>, phase: impl FnOnce(Vec<Session>) -> Phase) -> Phase {
        left.pop();
        self.n_killed += 1;
        if left.is_empty() { Phase::Locking } else { phase(left) }
    }

    fn try_again(&mut self, after: After) -> Phase {
        self.n_lock_tries += 1;
        if self.n_lock_tries >= Self::MAX_LOCK_TRIES {
            return Phase::RollingBack(After::Stop(Stop::Locked { n_tries: self.n_lock_tries }));
        }
        Phase::RollingBack(after)
    }

    /// Everything up to here may be repeated: claiming twice only raises `seq` once more.
    fn lost(&mut self) -> Phase {
        self.dead.extend(self.me.take());
        self.n_lost += 1;
        // Another connection has to be registered before it executes DDL or is looked for by a successor.
        self.claimed = None;
        if self.n_lost >= Self::MAX_LOST {
            return Phase::Stopped(Stop::Lost { n_tries: self.n_lost });
        }
        Phase::Connecting
    }

    fn refusal(&self, rows: &[LaneRow]) -> Option<Stop> {
        let seen = rows.iter().map(|row| row.epoch).max();
        if let Some(foreign) = rows.iter().find(|row| row.cluster_id != self.claim.cluster_id) {
            let may_take = self.claim.from_foreign_cluster && seen < Some(self.claim.epoch);
            if !may_take {
                return Some(Stop::ForeignCluster { owner: foreign.cluster_id.clone() });
            }
        }
        seen.filter(|seen| *seen > self.claim.epoch).map(|seen| Stop::Superseded { seen })
    }

    /// Ascending, so that lane 0 is what two first owners collide on.
    fn missing(&self, rows: &[LaneRow]) -> Vec<u16> {
        (0..self.claim.n_lanes.max(1)).filter(|lane| rows.iter().all(|row| row.lane != *lane)).collect()
    }

    fn finish(&mut self, rows: Vec<LaneRow>) -> Phase {
        if let Some(stop) = self.refusal(&rows) {
            return Phase::Stopped(stop);
        }
        // Not only our epoch but our claim: another process that acts under the same epoch claims all rows, too, and then
        // only one of the two may write. Without this each could use a lane that the other leaves alone.
        let found = rows.iter().map(|row| (row.lane, row.seq)).collect();
        let is_ours = rows.iter().all(|row| row.epoch == self.claim.epoch) && self.claimed.as_ref() == Some(&found);
        match resume(&rows) {
            Some(resume) if is_ours => Phase::Finished(Box::new(TakenOver {
                epoch: self.claim.epoch,
                resume,
                rows,
                intents: std::mem::take(&mut self.intents),
                n_killed: self.n_killed,
            })),
            // Rows vanished, went back in time or were claimed under us: claim them again.
            Some(_) | None => self.lost(),
        }
    }
}

fn name(step: &Step) -> &'static str {
    match step {
        Step::Connect => "connect",
        Step::ReadSessions => "read sessions",
        Step::Kill(_) => "kill",
        Step::LockRows => "lock rows",
        Step::Claim { .. } => "claim",
        Step::RollBack => "roll back",
        Step::End(..) => "end session",
        Step::Forget(_) => "forget session",
        Step::ReadIntents => "read intents",
        Step::Inspect(_) => "inspect",
        Step::ReadRows => "read rows",
        Step::Finished(_) => "finished",
        Step::Stopped(_) => "stopped",
    }
}

#[cfg(test)]
mod tests;
