//! The whole world: the leader, two workers, the target; what may happen next, and what happens.
//!
//! A process that is merely slow, frozen and thawed later, or a leader that expires a session too early need no step of
//! their own: nothing here ever has to happen soon.

use std::{fmt, sync::Arc};

use dm_fence::{Step, UnitNumber};
use dm_model::Epoch;

use crate::{
    explore::Model,
    invariants,
    leader::Leader,
    rules::Mutant,
    scenario::{Faults, Scenario},
    taking::Taking,
    target::{InFlight, Target, Transaction, Write},
    task::{Phase, Stage, Task},
    worker::{End, Incarnation, Role, Went, Worker},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub leader: Leader,
    pub workers: [Arc<Worker>; 2],
    pub target: Target,
    /// Faults that may still happen.
    pub left: Faults,
    /// The target lost commits: S6 says so from here on, and S3 does not hold across it.
    pub regressed: bool,
}

/// A step. `usize` is a worker.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The leader gives the subtask to a worker, with a new epoch.
    Grant(usize),
    /// The worker hears of its assignment and begins to take over.
    Begin(usize),
    Take(usize),
    TakeLost(usize, bool),
    TakeTimeout(usize),
    Fold(usize, usize),
    Idle(usize),
    StartDdl(usize),
    Lane(usize, u16),
    Lose(usize, u16, bool),
    Refuse(usize, u16),
    /// An idle lane finds its connection dead and opens another one.
    Ping(usize, u16),
    /// A worker hears that the subtask is another one's, and ends what it has.
    Yield(usize),
    Pause(usize),
    Crash(usize),
    Freeze(usize),
    /// The server settles a connection whose client is gone.
    Orphan(u64, bool),
    Power(usize),
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grant(w) => write!(f, "grant: the leader gives the subtask to worker {w}"),
            Self::Begin(w) => write!(f, "begin: worker {w} begins to take over"),
            Self::Take(w) => write!(f, "take: worker {w} takes the next step of its takeover"),
            Self::TakeLost(w, true) => write!(f, "take-lost: worker {w} loses its connection after the step"),
            Self::TakeLost(w, false) => write!(f, "take-lost: worker {w} loses its connection before the step"),
            Self::TakeTimeout(w) => write!(f, "take-timeout: worker {w} waits for a lock in vain"),
            Self::Fold(w, n) => write!(f, "fold: worker {w} gives {n} units to a lane"),
            Self::Idle(w) => write!(f, "idle: worker {w} brings a lane row up to date"),
            Self::StartDdl(w) => write!(f, "ddl: worker {w} gives a DDL to a lane"),
            Self::Lane(w, lane) => write!(f, "lane: lane {lane} of worker {w} takes its next step"),
            Self::Lose(w, lane, true) => write!(f, "lose: lane {lane} of worker {w} gets no answer"),
            Self::Lose(w, lane, false) => write!(f, "lose: lane {lane} of worker {w} cannot send"),
            Self::Refuse(w, lane) => write!(f, "refuse: the target refuses a statement of lane {lane} of worker {w}"),
            Self::Ping(w, lane) => write!(f, "ping: idle lane {lane} of worker {w} finds its connection dead"),
            Self::Yield(w) => write!(f, "yield: worker {w} hears that it is not the owner any more"),
            Self::Pause(w) => write!(f, "pause: worker {w} pauses"),
            Self::Crash(w) => write!(f, "crash: worker {w} dies"),
            Self::Freeze(w) => write!(f, "freeze: worker {w} stops for good, its connections stay"),
            Self::Orphan(id, true) => write!(f, "orphan: the target executes what connection {id} had sent"),
            Self::Orphan(id, false) => write!(f, "orphan: the target ends connection {id}"),
            Self::Power(n) => write!(f, "power: the target restarts without its last {n} commits"),
        }
    }
}

impl Model for Scenario {
    type State = State;
    type Action = Action;

    fn kind(action: Action) -> &'static str {
        match action {
            Action::Grant(_) => "grant",
            Action::Begin(_) => "begin",
            Action::Take(_) => "take",
            Action::TakeLost(..) => "take-lost",
            Action::TakeTimeout(_) => "take-timeout",
            Action::Fold(..) => "fold",
            Action::Idle(_) => "idle",
            Action::StartDdl(_) => "ddl",
            Action::Lane(..) => "lane",
            Action::Lose(..) => "lose",
            Action::Refuse(..) => "refuse",
            Action::Ping(..) => "ping",
            Action::Yield(_) => "yield",
            Action::Pause(_) => "pause",
            Action::Crash(_) => "crash",
            Action::Freeze(_) => "freeze",
            Action::Orphan(_, true) => "orphan-executes",
            Action::Orphan(_, false) => "orphan-ends",
            Action::Power(_) => "power",
        }
    }

    fn start(&self) -> State {
        let worker = || Arc::new(Worker { frozen: false, role: Role::Idle });
        State {
            leader: Leader::new(),
            workers: [worker(), worker()],
            target: Target::new(self.n_undurable),
            left: self.faults,
            regressed: false,
        }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for w in 0..2 {
            self.leader_actions(state, w, actions);
            let Some(worker) = state.workers.get(w) else { continue };
            if worker.frozen {
                // Nobody may know them; the server's own timeouts end them.
                let held = worker.connections().filter(|id| state.target.holds_locks(*id));
                actions.extend(held.map(|id| Action::Orphan(id, false)));
                continue;
            }
            if self.can_begin(state, w, worker) {
                actions.push(Action::Begin(w));
            }
            match &worker.role {
                Role::Idle | Role::Ended(..) => continue,
                Role::Taking(taking) => self.taking_actions(state, w, taking, actions),
                Role::Running(running) => self.running_actions(state, w, running, actions),
            }
            // Where it may not be killed, nothing else ends a former owner that has nothing to do.
            let is_former = matches!(&worker.role, Role::Running(running) if running.epoch < state.leader.epoch);
            if self.no_kill && is_former && w != state.leader.owner {
                actions.push(Action::Yield(w));
            }
            // A takeover that holds nothing leaves nothing behind.
            let matters = match &worker.role {
                Role::Taking(taking) => taking.holds_locks(&state.target),
                Role::Running(_) => true,
                Role::Idle | Role::Ended(..) => false,
            };
            if state.left.crashes > 0 && matters {
                actions.push(Action::Crash(w));
            }
            if state.left.freezes > 0 && matters && worker.is_exposed(&state.target) {
                actions.push(Action::Freeze(w));
            }
        }
        for (id, connection) in &state.target.connections {
            match connection.orphan {
                Some(InFlight::Nothing) => actions.push(Action::Orphan(*id, false)),
                Some(InFlight::Commit | InFlight::Ddl(_)) => {
                    actions.extend([Action::Orphan(*id, true), Action::Orphan(*id, false)]);
                }
                None => {}
            }
        }
        if state.left.powers > 0 {
            actions.extend((0..=state.target.earlier.len()).map(Action::Power));
        }
    }

    fn step(&self, state: &State, action: Action) -> Result<State, String> {
        let mut next = state.clone();
        self.act(&mut next, action)?;
        invariants::check_step(state, &next, matches!(action, Action::Power(_)))?;
        Ok(next)
    }

    fn check(&self, state: &State) -> Result<(), String> {
        invariants::check(self, state)
    }

    /// Everything is applied and the leader knows; or a person has to look.
    fn is_end(&self, state: &State) -> bool {
        let is_undecided = |worker: &Arc<Worker>| matches!(worker.role, Role::Ended(_, End::Undecided));
        let is_applied = dm_fence::resume(&state.target.store.lane_rows())
            .is_some_and(|resume| resume.low == self.last_unit() && state.leader.reported == resume.low);
        is_applied || state.workers.iter().any(is_undecided)
    }
}

impl Scenario {
    fn leader_actions(&self, state: &State, w: usize, actions: &mut Vec<Action>) {
        if self.twins || w == state.leader.owner {
            return;
        }
        let owner = state.workers.get(state.leader.owner);
        let cannot_go_on = owner.is_some_and(|owner| {
            owner.frozen || matches!(owner.role, Role::Ended(epoch, End::GaveUp) if epoch == state.leader.epoch)
        });
        if state.left.grants > 0 || cannot_go_on {
            actions.push(Action::Grant(w));
        }
    }

    fn can_begin(&self, state: &State, w: usize, worker: &Worker) -> bool {
        let is_owner = self.twins || w == state.leader.owner;
        let epoch = state.leader.epoch;
        is_owner
            && match &worker.role {
                Role::Idle => true,
                Role::Taking(taking) => taking.epoch < epoch,
                Role::Running(running) => running.epoch < epoch,
                Role::Ended(ended, _) => *ended < epoch,
            }
    }

    fn taking_actions(&self, state: &State, w: usize, taking: &Taking, actions: &mut Vec<Action>) {
        if taking.waits(self, &state.target) {
            if state.left.lock_timeouts > 0 && matches!(taking.takeover.step(), Step::LockRows | Step::Claim { .. }) {
                actions.push(Action::TakeTimeout(w));
            }
        } else {
            actions.push(Action::Take(w));
            if state.left.losses > 0 && taking.may_lose(self) {
                actions.push(Action::TakeLost(w, false));
                if matches!(taking.takeover.step(), Step::Claim { .. }) {
                    actions.push(Action::TakeLost(w, true));
                }
            }
        }
    }

    fn running_actions(&self, state: &State, w: usize, running: &Incarnation, actions: &mut Vec<Action>) {
        actions.extend((1..=2).filter(|n| running.can_fold(*n)).map(|n| Action::Fold(w, n)));
        if running.can_start_ddl() {
            actions.push(Action::StartDdl(w));
        }
        if running.can_idle() {
            actions.push(Action::Idle(w));
        }
        for (at, lane) in (0..).zip(&running.tasks) {
            let Some(task) = &lane.task else {
                if lane.is_dead(&state.target) && !lane.waits(&state.target) && !self.rules.is(Mutant::SleepsOn) {
                    actions.push(Action::Ping(w, at));
                }
                continue;
            };
            if !lane.waits(&state.target) {
                actions.push(Action::Lane(w, at));
            }
            let is_executing = matches!(task, Task::Ddl { phase: Phase::Execute(_), .. });
            let can_lose = match lane.stage {
                Stage::Ready => is_executing && lane.connection.is_some(),
                Stage::Sent | Stage::Answered => true,
                Stage::Resolving { .. } => lane.connection.is_some() && !lane.waits(&state.target),
            };
            if can_lose && state.left.losses > 0 {
                actions.push(Action::Lose(w, at, true));
                if lane.stage == Stage::Sent {
                    actions.push(Action::Lose(w, at, false));
                }
            }
            if lane.stage == Stage::Sent && state.left.refusals > 0 {
                actions.push(Action::Refuse(w, at));
            }
        }
        if state.left.pauses > 0 && running.is_idle() && !running.is_settled() {
            actions.push(Action::Pause(w));
        }
    }

    /// Rule 9.
    fn to_report(&self, running: &Incarnation) -> UnitNumber {
        if self.rules.is(Mutant::ReportsMemory) { running.watermark.low() } else { running.lanes.reached().low }
    }

    fn act(&self, state: &mut State, action: Action) -> Result<(), String> {
        let State { leader, workers, target, left, regressed } = state;
        match action {
            Action::Grant(w) => {
                left.grants = left.grants.saturating_sub(1);
                leader.grant(w);
                return Ok(());
            }
            Action::Orphan(id, executes) => return target.settle_orphan(id, executes),
            Action::Power(n) => {
                left.powers -= 1;
                *regressed |= n > 0;
                target.lose_power(n, !self.quick_restart);
                return Ok(());
            }
            Action::TakeLost(..) | Action::Lose(..) => left.losses -= 1,
            Action::TakeTimeout(_) => left.lock_timeouts -= 1,
            Action::Refuse(..) => left.refusals -= 1,
            Action::Pause(_) => left.pauses -= 1,
            Action::Crash(_) => left.crashes -= 1,
            Action::Freeze(_) => left.freezes -= 1,
            Action::Begin(_)
            | Action::Yield(_)
            | Action::Take(_)
            | Action::Fold(..)
            | Action::Idle(_)
            | Action::StartDdl(_)
            | Action::Lane(..)
            | Action::Ping(..) => {}
        }
        let (Action::Begin(w)
        | Action::Yield(w)
        | Action::Take(w)
        | Action::TakeLost(w, _)
        | Action::TakeTimeout(w)
        | Action::Fold(w, _)
        | Action::Idle(w)
        | Action::StartDdl(w)
        | Action::Lane(w, _)
        | Action::Lose(w, ..)
        | Action::Refuse(w, _)
        | Action::Ping(w, _)
        | Action::Pause(w)
        | Action::Crash(w)
        | Action::Freeze(w)) = action
        else {
            return Ok(());
        };
        let Some(worker) = workers.get_mut(w).map(Arc::make_mut) else { return Ok(()) };
        match (action, &mut worker.role) {
            (Action::Begin(_), role) => {
                abandon(role, target);
                *role = self.taking(target, w, leader.epoch)?;
            }
            (Action::Crash(_) | Action::Yield(_), role) => {
                abandon(role, target);
                *role = Role::Idle;
            }
            (Action::Freeze(_), _) => worker.frozen = true,
            (Action::Take(_), Role::Taking(taking)) => taking.step(self, target)?,
            (Action::TakeLost(_, effect), Role::Taking(taking)) => taking.lose(self, target, effect)?,
            (Action::TakeTimeout(_), Role::Taking(taking)) => {
                taking.takeover.answer(dm_fence::Answer::LockTimeout);
            }
            (Action::Fold(_, n), Role::Running(running)) => running.fold(self, n)?,
            (Action::Idle(_), Role::Running(running)) => running.idle()?,
            (Action::StartDdl(_), Role::Running(running)) => running.start_ddl()?,
            (Action::Ping(_, at), Role::Running(running)) => {
                let went = running.reopen(self, target, at)?;
                self.after_lane(target, w, &mut worker.role, went)?;
            }
            (Action::Refuse(_, at), Role::Running(running)) => running.refuse(self, target, at),
            (Action::Lane(_, at), Role::Running(running)) => {
                let went = running.step_lane(self, target, at)?;
                self.after_lane(target, w, &mut worker.role, went)?;
            }
            (Action::Lose(_, at, sent), Role::Running(running)) => {
                let went = running.lose_lane(self, target, at, sent)?;
                self.after_lane(target, w, &mut worker.role, went)?;
            }
            (Action::Pause(_), role) => {
                self.close(role, target)?;
                *role = Role::Idle;
            }
            (_, Role::Idle | Role::Taking(_) | Role::Running(_) | Role::Ended(..)) => {}
        }
        self.after_takeover(target, w, worker)?;
        // Reports are sent whenever there is something to report; one that comes late says less.
        if let Role::Running(running) = &worker.role {
            leader.report(running.epoch, self.to_report(running));
        }
        Ok(())
    }

    fn taking(&self, target: &mut Target, w: usize, epoch: Epoch) -> Result<Role, String> {
        let mut taking = Box::new(Taking::new(self, w, epoch));
        taking.step(self, target)?;
        Ok(Role::Taking(taking))
    }

    fn after_lane(&self, target: &mut Target, w: usize, role: &mut Role, went: Went) -> Result<(), String> {
        let epoch = match role {
            Role::Running(running) => running.epoch,
            Role::Idle | Role::Taking(_) | Role::Ended(..) => return Ok(()),
        };
        match went {
            Went::On => {}
            Went::TakeOverAgain => {
                abandon(role, target);
                *role = self.taking(target, w, epoch)?;
            }
            Went::Ended(end) => {
                abandon(role, target);
                *role = Role::Ended(epoch, end);
            }
        }
        Ok(())
    }

    /// A takeover that has finished becomes an incarnation; its connection is closed in order.
    fn after_takeover(&self, target: &mut Target, w: usize, worker: &mut Worker) -> Result<(), String> {
        let Role::Taking(taking) = &mut worker.role else { return Ok(()) };
        match taking.takeover.step() {
            Step::Finished(taken) => {
                let Some(session) = taking.session.take() else {
                    return Err("a takeover without a session".to_owned());
                };
                let n_lanes = self.n_lanes.get(w).copied().unwrap_or(1);
                let running = Incarnation::new(self, target, n_lanes, *taken, &session);
                target.connections.remove(&session.connection);
                target.commit_writes(Transaction { tag: None, writes: vec![Write::Forget(session)] })?;
                worker.role = Role::Running(Box::new(running));
            }
            Step::Stopped(stop) => {
                let epoch = taking.epoch;
                taking.abandon(target);
                let end = match stop {
                    dm_fence::Stop::Superseded { .. } => End::Superseded,
                    // The caller begins anew after a pause.
                    dm_fence::Stop::Lost { .. }
                    | dm_fence::Stop::Locked { .. }
                    | dm_fence::Stop::SessionStays { .. } => {
                        worker.role = Role::Idle;
                        return Ok(());
                    }
                    dm_fence::Stop::ForeignCluster { .. } | dm_fence::Stop::Unexpected { .. } => {
                        return Err(format!("a takeover stops without need: {stop}"));
                    }
                };
                worker.role = Role::Ended(epoch, end);
            }
            _ => {}
        }
        Ok(())
    }

    /// Lanes close in order: nothing is on its way, and registrations are removed.
    fn close(&self, role: &mut Role, target: &mut Target) -> Result<(), String> {
        let Role::Running(running) = role else { return Ok(()) };
        for lane in running.tasks.iter_mut().map(Arc::make_mut) {
            if let Some(session) = lane.connection.take() {
                target.connections.remove(&session.connection);
                target.commit_writes(Transaction { tag: None, writes: vec![Write::Forget(session)] })?;
            }
        }
        Ok(())
    }
}

fn abandon(role: &mut Role, target: &mut Target) {
    match role {
        Role::Taking(taking) => taking.abandon(target),
        Role::Running(running) => running.abandon(target),
        Role::Idle | Role::Ended(..) => {}
    }
}
