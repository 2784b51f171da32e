//! A lane: its connection, its row as its owner knows it, and the transaction it is in the middle of.
//!
//! Follows `dm_mysql::fence::Lane` and the worker's lane task step by step: open and register, send and read the fence's reply,
//! COMMIT, resolve what was not answered, announce, execute, look, complete. What an answer means is `dm-fence`'s.

use std::sync::Arc;

use dm_fence::{Attempt, CommitVerdict, FenceVerdict, Intent, IntentVerdict, LaneRow, Session};
use dm_model::Epoch;

use crate::{
    rules::{Mutant, Rules},
    scenario::Scenario,
    target::{InFlight, Tag, Target, Transaction, Write, cluster},
    task::{Phase, Stage, Task},
    worker::{End, Incarnation, Went},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lane {
    pub row: LaneRow,
    pub connection: Option<Session>,
    /// Earlier connections of the lane that may be alive on the server.
    stale: Vec<Session>,
    /// The largest connection id seen.
    newest: u64,
    /// How far the target's seq is ahead of `row.seq`.
    ahead: i64,
    pub task: Option<Task>,
    pub stage: Stage,
    /// The intent that is being announced.
    announced: Option<Intent>,
}

impl Lane {
    pub fn new(row: LaneRow, newest: u64) -> Self {
        Self {
            row,
            connection: None,
            stale: Vec::new(),
            newest,
            ahead: 0,
            task: None,
            stage: Stage::Ready,
            announced: None,
        }
    }

    pub fn id(&self) -> Option<u64> {
        self.connection.as_ref().map(|session| session.connection)
    }

    fn is_alive(&self, target: &Target) -> bool {
        self.id().is_some_and(|id| target.is_alive(id))
    }

    /// It had a connection, and the server has ended it.
    pub fn is_dead(&self, target: &Target) -> bool {
        self.id().is_some_and(|id| !target.is_alive(id))
    }

    pub fn is_exposed(&self, target: &Target) -> bool {
        let is_executing = matches!(self.task, Some(Task::Ddl { phase: Phase::Execute(_), .. }));
        is_executing || self.id().is_some_and(|id| target.holds_locks(id))
    }

    fn seq(&self, task: &Task) -> u64 {
        task.update().seq.saturating_add_signed(self.ahead)
    }

    fn attempt(&self, epoch: Epoch, task: &Task) -> Attempt {
        let (lane, seq, batch_crc) = (self.row.lane, self.seq(task), task.batch_crc());
        Attempt { lane, cluster_id: cluster(), epoch, seq, batch_crc }
    }

    /// Gives the connection up; `in_flight` is what the server may still get from it.
    fn abandon(&mut self, target: &mut Target, in_flight: InFlight) {
        if let Some(session) = self.connection.take() {
            target.abandon(session.connection, in_flight);
            self.stale.push(session);
        }
    }

    /// What may still be on its way to the server when the process ends now.
    pub fn abandon_all(&mut self, target: &mut Target) {
        let in_flight = match (&self.stage, &self.task) {
            (Stage::Sent, _) => InFlight::Commit,
            (Stage::Ready, Some(Task::Ddl { phase: Phase::Execute(_), unit, .. })) => InFlight::Ddl(*unit),
            (Stage::Ready | Stage::Answered | Stage::Resolving { .. }, _) => InFlight::Nothing,
        };
        self.abandon(target, in_flight);
    }

    /// True when the next step needs the lane's row and someone else has it locked.
    pub fn waits(&self, target: &Target) -> bool {
        let needs = match (&self.stage, &self.task) {
            (Stage::Sent | Stage::Answered, _) => false,
            (Stage::Resolving { .. }, _) => true,
            (Stage::Ready, Some(Task::Ddl { phase: Phase::Execute(_) | Phase::Look(..), .. })) => {
                self.connection.is_none()
            }
            (Stage::Ready, _) => true,
        };
        let own = self.id();
        // Opening kills the lane's earlier connections first.
        let stale: Vec<u64> = self.stale.iter().map(|session| session.connection).collect();
        needs
            && target.connections.iter().any(|(id, connection)| {
                Some(*id) != own && !stale.contains(id) && connection.locks.contains(&self.row.lane)
            })
    }
}

impl Incarnation {
    /// The lane's next step.
    pub fn step_lane(&mut self, scenario: &Scenario, target: &mut Target, at: u16) -> Result<Went, String> {
        let Some(lane) = self.tasks.get_mut(usize::from(at)).map(Arc::make_mut) else { return Ok(Went::On) };
        let Some(task) = lane.task.clone() else { return Ok(Went::On) };
        match lane.stage.clone() {
            Stage::Answered => {
                self.committed(at);
                Ok(Went::On)
            }
            Stage::Sent => {
                match lane.id().filter(|id| target.is_alive(*id)) {
                    Some(id) => {
                        target.commit(id)?;
                        lane.stage = Stage::Answered;
                    }
                    None => self.unanswered(target, at, &task, InFlight::Nothing),
                }
                Ok(Went::On)
            }
            Stage::Ready | Stage::Resolving { .. } if lane.connection.is_none() => self.open(scenario, target, at),
            Stage::Resolving { attempt, lost_probes } => {
                if !lane.is_alive(target) {
                    lane.abandon(target, InFlight::Nothing);
                    return Ok(Went::On);
                }
                self.probe(scenario, target, at, &attempt, lost_probes, true)
            }
            Stage::Ready => match &task {
                Task::Ddl { phase: Phase::Execute(intent), unit, .. } => {
                    if lane.is_alive(target) {
                        target.execute_ddl(*unit);
                        lane.set_phase(Phase::Complete);
                    } else {
                        let old = lane.connection.clone();
                        lane.abandon(target, InFlight::Nothing);
                        lane.set_phase(Phase::Look(intent.clone(), old));
                    }
                    Ok(Went::On)
                }
                Task::Ddl { phase: Phase::Look(intent, old), .. } => {
                    self.look(scenario, target, at, intent, old.as_ref())
                }
                Task::Fold { .. } | Task::Idle { .. } | Task::Ddl { .. } => self.send(scenario, target, at, &task),
            },
        }
    }

    /// The lane's connection breaks. `sent`: what comes next had left already.
    pub fn lose_lane(&mut self, scenario: &Scenario, target: &mut Target, at: u16, sent: bool) -> Result<Went, String> {
        let Some(lane) = self.tasks.get_mut(usize::from(at)).map(Arc::make_mut) else { return Ok(Went::On) };
        let Some(task) = lane.task.clone() else { return Ok(Went::On) };
        match lane.stage.clone() {
            Stage::Sent if sent => self.unanswered(target, at, &task, InFlight::Commit),
            Stage::Sent => {
                lane.abandon(target, InFlight::Nothing);
                lane.stage = Stage::Ready;
            }
            Stage::Answered => self.unanswered(target, at, &task, InFlight::Nothing),
            Stage::Resolving { attempt, lost_probes } => {
                let went = self.probe(scenario, target, at, &attempt, lost_probes, false)?;
                if went != Went::On {
                    return Ok(went);
                }
                if let Some(lane) = self.tasks.get_mut(usize::from(at)).map(Arc::make_mut) {
                    lane.abandon(target, InFlight::Nothing);
                    lane.stage = Stage::Resolving { attempt, lost_probes: lost_probes + 1 };
                }
            }
            Stage::Ready => {
                if let Task::Ddl { phase: Phase::Execute(intent), unit, .. } = &task {
                    let old = lane.connection.clone();
                    lane.abandon(target, InFlight::Ddl(*unit));
                    lane.set_phase(Phase::Look(intent.clone(), old));
                }
            }
        }
        Ok(Went::On)
    }

    /// The target refuses the last statement of what was sent.
    pub fn refuse(&mut self, scenario: &Scenario, target: &mut Target, at: u16) {
        let Some(lane) = self.tasks.get_mut(usize::from(at)).map(Arc::make_mut) else { return };
        let Some(connection) = lane.id().and_then(|id| target.connections.get_mut(&id)).map(Arc::make_mut) else {
            return;
        };
        if scenario.rules.is(Mutant::NoRollback) {
            connection.transaction.writes.pop();
        } else {
            (connection.locks, connection.transaction) = Default::default();
            lane.stage = Stage::Ready;
        }
    }

    /// An idle lane finds its connection dead.
    pub fn reopen(&mut self, scenario: &Scenario, target: &mut Target, at: u16) -> Result<Went, String> {
        if let Some(lane) = self.tasks.get_mut(usize::from(at)).map(Arc::make_mut) {
            lane.abandon(target, InFlight::Nothing);
        }
        self.open(scenario, target, at)
    }

    /// D0: connect, look at the target, kill the predecessors, register under the epoch check.
    fn open(&mut self, scenario: &Scenario, target: &mut Target, at: u16) -> Result<Went, String> {
        let rules = scenario.rules;
        let Some(lane) = self.tasks.get_mut(usize::from(at)).map(Arc::make_mut) else { return Ok(Went::On) };
        let id = target.connect(self.epoch, at + 1);
        if !rules.is_same_target(&self.run, lane.newest, &target.run, id) {
            target.connections.remove(&id);
            return Ok(Went::TakeOverAgain);
        }
        lane.newest = lane.newest.max(id);
        let looks_too_soon =
            rules.is(Mutant::LooksTooSoon) && matches!(lane.task, Some(Task::Ddl { phase: Phase::Look(..), .. }));
        if !scenario.no_kill && !looks_too_soon {
            lane.stale.iter().for_each(|stale| target.kill(stale));
        }
        if target.is_locked([at], Some(id)) {
            // Waited for until the lock is free: tried again.
            target.connections.remove(&id);
            return Ok(Went::On);
        }
        let attempt = Attempt { lane: at, cluster_id: cluster(), epoch: self.epoch, seq: 0, batch_crc: 0 };
        let row = target.store.rows.get(&at).cloned();
        if row.as_ref().is_none_or(|row| row.epoch != self.epoch) {
            target.connections.remove(&id);
            return Ok(of_fence(&rules.judge_update(&attempt, 0, row.as_ref())).unwrap_or(Went::TakeOverAgain));
        }
        let session = Session { server: target.run.clone(), connection: id, epoch: self.epoch, lane: Some(at) };
        let mut writes: Vec<Write> = lane.stale.drain(..).map(Write::Forget).collect();
        if !rules.is(Mutant::Unregistered) {
            writes.push(Write::Register(session.clone()));
        }
        target.commit_writes(Transaction { tag: None, writes })?;
        lane.connection = Some(session);
        Ok(Went::On)
    }

    /// `BEGIN; fence; statements`, and what the fence's reply means (rule 2).
    fn send(&mut self, scenario: &Scenario, target: &mut Target, at: u16, task: &Task) -> Result<Went, String> {
        let (rules, epoch) = (scenario.rules, self.epoch);
        let Some(lane) = self.tasks.get_mut(usize::from(at)).map(Arc::make_mut) else { return Ok(Went::On) };
        if !lane.is_alive(target) {
            lane.abandon(target, InFlight::Nothing);
            return Ok(Went::On);
        }
        let attempt = lane.attempt(epoch, task);
        let row = target.store.rows.get(&at).cloned();
        let is_held = rules.matches(&attempt, row.as_ref());
        let verdict = rules.judge_update(&attempt, u64::from(is_held), row.as_ref());
        if let FenceVerdict::SeqMismatch { found, .. } = verdict
            && rules.is(Mutant::RemembersAcrossRestart)
        {
            lane.ahead = found as i64 - task.update().seq as i64;
            return self.send_held(target, at, task, true, rules);
        }
        match of_fence(&verdict) {
            Some(went) => Ok(went),
            None => self.send_held(target, at, task, is_held, rules),
        }
    }

    fn send_held(
        &mut self,
        target: &mut Target,
        at: u16,
        task: &Task,
        is_held: bool,
        rules: Rules,
    ) -> Result<Went, String> {
        let epoch = self.epoch;
        let Some(lane) = self.tasks.get_mut(usize::from(at)).map(Arc::make_mut) else { return Ok(Went::On) };
        let mut writes = task.writes(rules, epoch, target);
        lane.announced = writes.iter().find_map(|write| match write {
            Write::Intent(intent) => Some(intent.clone()),
            _ => None,
        });
        if !is_held {
            writes.remove(0);
        }
        let tag = Some(Tag { lane: at, epoch, seq: lane.seq(task) });
        if let Some(connection) = lane.id().and_then(|id| target.connections.get_mut(&id)).map(Arc::make_mut) {
            connection.locks.insert(at);
            connection.transaction = Transaction { tag, writes };
        }
        lane.stage = Stage::Sent;
        Ok(Went::On)
    }

    /// Rule 3: read the row under its lock, judge, write; the verdict counts when that write is acknowledged.
    fn probe(
        &mut self,
        scenario: &Scenario,
        target: &mut Target,
        at: u16,
        attempt: &Attempt,
        lost_probes: u64,
        answered: bool,
    ) -> Result<Went, String> {
        let rules = scenario.rules;
        let verdict = rules.judge_unknown_commit(attempt, lost_probes, target.store.rows.get(&at));
        let committed = match &verdict {
            CommitVerdict::Committed { .. } => true,
            CommitVerdict::NotCommitted { .. } => false,
            CommitVerdict::Fenced { .. } => return Ok(Went::Ended(End::Superseded)),
            CommitVerdict::Broken(_) => return Ok(Went::TakeOverAgain),
        };
        target.commit_writes(Transaction { tag: None, writes: vec![Write::Probe { lane: at, committed }] })?;
        if !answered {
            return Ok(Went::On);
        }
        let Some(lane) = self.tasks.get_mut(usize::from(at)).map(Arc::make_mut) else { return Ok(Went::On) };
        let owner_seq = lane.row.seq;
        lane.ahead = verdict.ahead(owner_seq).map_or(0, |ahead| ahead as i64);
        if committed {
            self.committed(at);
        } else {
            lane.stage = Stage::Ready;
        }
        Ok(Went::On)
    }

    /// COMMIT was sent and its answer does not come.
    fn unanswered(&mut self, target: &mut Target, at: u16, task: &Task, in_flight: InFlight) {
        let epoch = self.epoch;
        let Some(lane) = self.tasks.get_mut(usize::from(at)).map(Arc::make_mut) else { return };
        let attempt = lane.attempt(epoch, task);
        lane.abandon(target, in_flight);
        lane.stage = Stage::Resolving { attempt, lost_probes: 0 };
    }

    fn committed(&mut self, at: u16) {
        let Some(lane) = self.tasks.get_mut(usize::from(at)).map(Arc::make_mut) else { return };
        lane.stage = Stage::Ready;
        let Some(task) = lane.task.take() else { return };
        let units = match task {
            Task::Ddl { unit, update, phase: Phase::Announce } => {
                // The announcement moves the row's seq without its owner's count.
                lane.ahead += 1;
                let before = lane.announced.take();
                let phase = before.map_or(Phase::Announce, Phase::Execute);
                lane.task = Some(Task::Ddl { unit, update, phase });
                return;
            }
            Task::Ddl { unit, update, .. } => {
                lane.row.apply(&update, None);
                vec![unit]
            }
            Task::Fold { update, units } => {
                lane.row.apply(&update, None);
                units
            }
            Task::Idle { update } => {
                lane.row.apply(&update, None);
                Vec::new()
            }
        };
        self.finished(at, &units);
    }

    /// The old connection is gone: did the statement run?
    fn look(
        &mut self,
        scenario: &Scenario,
        target: &mut Target,
        at: u16,
        intent: &Intent,
        old: Option<&Session>,
    ) -> Result<Went, String> {
        let rules = scenario.rules;
        let Some(lane) = self.tasks.get_mut(usize::from(at)).map(Arc::make_mut) else { return Ok(Went::On) };
        if !lane.is_alive(target) {
            lane.abandon(target, InFlight::Nothing);
            return Ok(Went::On);
        }
        if let Some(old) = old.filter(|_| !rules.is(Mutant::LooksTooSoon)) {
            if scenario.no_kill && target.connections.contains_key(&old.connection) {
                return Ok(Went::On);
            }
            target.kill(old);
        }
        match rules.judge_intent(intent, &target.store.observe()) {
            IntentVerdict::Done | IntentVerdict::Finished => lane.set_phase(Phase::Complete),
            IntentVerdict::Again => lane.set_phase(Phase::Announce),
            IntentVerdict::Stop => return Ok(Went::Ended(End::Undecided)),
        }
        Ok(Went::On)
    }
}

impl Lane {
    fn set_phase(&mut self, to: Phase) {
        if let Some(Task::Ddl { phase, .. }) = &mut self.task {
            *phase = to;
        }
    }
}

/// What a fence that failed does to the incarnation (as `LaneOutcome::ends_incarnation` has it); `None` when it held.
fn of_fence(verdict: &FenceVerdict) -> Option<Went> {
    match verdict {
        FenceVerdict::Held => None,
        FenceVerdict::Fenced { .. } => Some(Went::Ended(End::Superseded)),
        FenceVerdict::SeqMismatch { .. } | FenceVerdict::RowMissing | FenceVerdict::Broken(_) => {
            Some(Went::TakeOverAgain)
        }
    }
}
