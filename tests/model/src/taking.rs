//! A takeover at the target: executes the steps that production's state machine asks for.

use std::sync::Arc;

use dm_fence::{Answer, Claim, Ending, LaneRow, Session, Step, Takeover};
use dm_model::Epoch;

use crate::{
    rules::Mutant,
    scenario::Scenario,
    target::{InFlight, Target, Transaction, Write, cluster},
    worker::slicing,
};

/// A takeover and its connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Taking {
    pub epoch: Epoch,
    pub takeover: Takeover,
    pub session: Option<Session>,
    /// What was read under the locks.
    locked: Vec<u16>,
}

impl Taking {
    pub fn new(scenario: &Scenario, worker: usize, epoch: Epoch) -> Self {
        let claim = Claim {
            cluster_id: cluster(),
            epoch,
            n_lanes: scenario.n_lanes.get(worker).copied().unwrap_or(1),
            slicing: slicing(),
            from_foreign_cluster: false,
        };
        Self { epoch, takeover: Takeover::new(claim), session: None, locked: Vec::new() }
    }

    pub fn connection(&self) -> Option<u64> {
        self.session.as_ref().map(|session| session.connection)
    }

    /// True when the next step waits: for a lock of someone else, or for a session that may not be killed to end by itself.
    pub fn waits(&self, scenario: &Scenario, target: &Target) -> bool {
        match self.takeover.step() {
            Step::LockRows | Step::Claim { .. } => {
                target.is_locked(target.store.rows.keys().copied(), self.connection())
            }
            Step::End(victim, Ending::Kill) => {
                let is_there =
                    victim.server.is_same_run(&target.run) && target.connections.contains_key(&victim.connection);
                scenario.no_kill && is_there
            }
            _ => false,
        }
    }

    /// Executes a step, and those after it between which nobody else can change what they find: the kills of one reading,
    /// and what is read once the rows are claimed and earlier owners gone. `fine` scenarios take them one by one.
    pub fn step(&mut self, scenario: &Scenario, target: &mut Target) -> Result<(), String> {
        loop {
            let before = self.takeover.step();
            let answer = self.execute(scenario, target)?;
            let stays = answer == Answer::StillThere;
            self.takeover.answer(answer);
            let joins = match (before, self.takeover.step()) {
                (_, Step::Connect | Step::Forget(_)) => true,
                _ if scenario.fine || stays => false,
                (Step::ReadSessions, Step::Kill(_) | Step::End(..)) | (Step::Kill(_), Step::Kill(_)) => true,
                (Step::Forget(_), Step::End(..)) => true,
                (Step::ReadIntents | Step::Inspect(_), Step::Inspect(_) | Step::ReadRows) => true,
                _ => false,
            };
            if !joins || self.waits(scenario, target) {
                return Ok(());
            }
        }
    }

    /// True when a broken connection here leaves the target in a state of its own.
    pub fn may_lose(&self, scenario: &Scenario) -> bool {
        scenario.fine || matches!(self.takeover.step(), Step::Claim { .. } | Step::ReadIntents)
    }

    /// The connection breaks at the step, which may have taken effect.
    pub fn lose(&mut self, scenario: &Scenario, target: &mut Target, effect: bool) -> Result<(), String> {
        if effect {
            self.execute(scenario, target)?;
        }
        self.takeover.answer(Answer::Lost);
        self.step(scenario, target)
    }

    pub fn holds_locks(&self, target: &Target) -> bool {
        self.connection().is_some_and(|id| target.holds_locks(id))
    }

    pub fn abandon(&mut self, target: &mut Target) {
        if let Some(id) = self.connection() {
            target.abandon(id, InFlight::Nothing);
        }
        self.session = None;
    }

    fn execute(&mut self, scenario: &Scenario, target: &mut Target) -> Result<Answer, String> {
        let rules = scenario.rules;
        let step = self.takeover.step();
        if step == Step::Connect {
            self.abandon(target);
            let connection = target.connect(self.epoch, 0);
            let me = Session { server: target.run.clone(), connection, epoch: self.epoch, lane: None };
            self.session = Some(me.clone());
            return Ok(Answer::Connected(me));
        }
        let Some(me) = self.session.clone().filter(|me| target.is_alive(me.connection)) else {
            return Ok(Answer::Lost);
        };
        let kills = !rules.is(Mutant::EndsNobody);
        Ok(match step {
            Step::ReadSessions => Answer::Sessions(target.store.sessions.iter().cloned().collect()),
            Step::Kill(victim) => {
                if kills && !scenario.no_kill {
                    target.kill(&victim);
                }
                Answer::Killed
            }
            Step::End(victim, Ending::Kill) => {
                if kills && !scenario.no_kill {
                    target.kill(&victim);
                }
                let stays = kills
                    && victim.server.is_same_run(&target.run)
                    && target.connections.contains_key(&victim.connection);
                if stays { Answer::StillThere } else { Answer::Gone }
            }
            Step::End(_, Ending::DeadAlready | Ending::WaitOut) => Answer::Gone,
            Step::LockRows => {
                self.locked = target.store.rows.keys().copied().collect();
                if !rules.is(Mutant::ReadsWithoutLocks)
                    && let Some(connection) = target.connections.get_mut(&me.connection).map(Arc::make_mut)
                {
                    connection.locks.extend(self.locked.iter().copied());
                }
                Answer::Rows(target.store.lane_rows())
            }
            Step::Claim { n_rows, insert } => return self.claim(scenario, target, &me, n_rows, insert),
            Step::RollBack => {
                self.unlock(target, &me);
                Answer::RolledBack
            }
            Step::Forget(victim) => {
                target.commit_writes(Transaction { tag: None, writes: vec![Write::Forget(victim)] })?;
                Answer::Deleted
            }
            Step::ReadIntents => {
                let low = target.store.max_low();
                Answer::Intents(target.store.intents.values().filter(|intent| intent.unit > low).cloned().collect())
            }
            Step::Inspect(_) => Answer::Observed(target.store.observe()),
            Step::ReadRows => {
                let mut rows = target.store.lane_rows();
                if rules.is(Mutant::ClaimsOwnLanes) {
                    rows.iter_mut().for_each(|row| row.epoch = self.epoch);
                }
                Answer::Rows(rows)
            }
            Step::Connect | Step::Finished(_) | Step::Stopped(_) => Answer::Lost,
        })
    }

    fn claim(
        &mut self,
        scenario: &Scenario,
        target: &mut Target,
        me: &Session,
        n_rows: usize,
        insert: Vec<u16>,
    ) -> Result<Answer, String> {
        let store = &target.store;
        if store.rows.len() != n_rows || insert.iter().any(|lane| store.rows.contains_key(lane)) {
            return Ok(Answer::Conflict);
        }
        let own = self.takeover.claim().n_lanes;
        let claimed = |lane: &u16| !scenario.rules.is(Mutant::ClaimsOwnLanes) || *lane < own;
        let lanes = self.locked.iter().copied().filter(claimed).collect();
        let mut writes = vec![Write::Claim { lanes, epoch: self.epoch }];
        writes.extend(
            insert.into_iter().map(|lane| Write::InsertRow(LaneRow::first(lane, cluster(), self.epoch, slicing()))),
        );
        writes.push(Write::Register(me.clone()));
        self.unlock(target, me);
        target.commit_writes(Transaction { tag: None, writes })?;
        Ok(Answer::Claimed)
    }

    fn unlock(&self, target: &mut Target, me: &Session) {
        if let Some(connection) = target.connections.get_mut(&me.connection).map(Arc::make_mut) {
            connection.locks.clear();
        }
    }
}
