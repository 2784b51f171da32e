//! From a view to the next moves, each with its reason.
//!
//! A source is never moved without one: its session was lost, its worker is being emptied, a person ordered it, or
//! loads are uneven and evening out is asked for. What waits for a worker (draining) is not planned again.

use std::{collections::BTreeMap, fmt};

use dm_model::{SessionId, SourceId, WorkerName};

use super::{
    placement::{Choice, Loads},
    view::{Health, SourceView, View},
};
use crate::command::{Assign, BeginMove, Command, ExpireAndAssign, Place};

/// Whether sources are moved to even out loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// Only new placements are spread; what runs stays.
    #[default]
    Never,
    /// One ordered move at a time while the fullest worker carries at least this many sources more than the emptiest.
    /// Below 2 counts as 2: evening out a difference of one would never end.
    AtGap(usize),
}

/// Moves in the order in which they should be proposed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    pub moves: Vec<Move>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    pub step: Step,
    pub reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// All sessions that were given up, and new places for what they carried, in one entry.
    Expire {
        sessions: Vec<SessionId>,
        places: Vec<ChosenPlace>,
    },
    Assign {
        source: SourceId,
        worker: WorkerName,
        session: SessionId,
        expect: Option<SessionId>,
    },
    BeginMove {
        source: SourceId,
        to: Option<WorkerName>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenPlace {
    pub source: SourceId,
    pub worker: WorkerName,
    pub session: SessionId,
    pub choice: Choice,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    SessionsLost {
        workers: Vec<WorkerName>,
    },
    Unplaced {
        choice: Choice,
    },
    /// Subtasks of a placed source need an owner and have none.
    SubtasksWaiting {
        n_subtasks: usize,
    },
    /// The former owner has released everything.
    Drained,
    /// The former owner did not release in time.
    DrainOverdue,
    WorkerDraining {
        worker: WorkerName,
        choice: Choice,
    },
    /// The target of an ordered move can not take it any more.
    TargetGone {
        worker: WorkerName,
    },
    Uneven {
        most: usize,
        least: usize,
    },
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }

    /// The commands to propose, in order.
    pub fn commands(&self) -> impl Iterator<Item = Command> {
        self.moves.iter().map(Move::command)
    }
}

impl Move {
    pub fn command(&self) -> Command {
        match &self.step {
            Step::Expire { sessions, places } => Command::ExpireAndAssign(ExpireAndAssign {
                sessions: sessions.clone(),
                places: places
                    .iter()
                    .map(|place| Place { source: place.source.clone(), session: place.session })
                    .collect(),
                reason: self.reason.to_string(),
            }),
            Step::Assign { source, worker: _, session, expect } => {
                Command::Assign(Assign { source: source.clone(), session: *session, expect: *expect })
            }
            Step::BeginMove { source, to } => Command::BeginMove(BeginMove { source: source.clone(), to: to.clone() }),
        }
    }
}

/// The next moves. Pure: the same view gives the same plan. When all of it is applied and no fact changes, planning
/// again ends in an empty plan after a few rounds.
pub fn plan(view: &View, balance: Balance) -> Plan {
    let mut planner = Planner { view, loads: Loads::of(view), plan: Plan::default() };
    planner.expire();
    for (id, source) in &view.sources {
        match source.on.as_ref().and_then(|name| Some((name, view.workers.get(name)?.health))) {
            None => planner.place(id, source),
            Some((_, Health::Lost)) => {}
            Some((here, health @ (Health::Healthy | Health::Suspect | Health::Draining))) => {
                planner.keep_or_move(id, source, here, health);
            }
        }
    }
    match balance {
        Balance::Never => {}
        Balance::AtGap(gap) => planner.even_out(gap.max(2)),
    }
    planner.plan
}

struct Planner<'a> {
    view: &'a View,
    loads: Loads,
    plan: Plan,
}

impl Planner<'_> {
    fn push(&mut self, step: Step, reason: Reason) {
        self.plan.moves.push(Move { step, reason });
    }

    fn session(&self, worker: &WorkerName) -> Option<SessionId> {
        self.view.workers.get(worker).map(|worker| worker.session)
    }

    fn expire(&mut self) {
        let lost: BTreeMap<&WorkerName, SessionId> = self
            .view
            .workers
            .iter()
            .filter(|(_, worker)| worker.health == Health::Lost)
            .map(|(name, worker)| (name, worker.session))
            .collect();
        if lost.is_empty() {
            return;
        }
        let mut places = Vec::new();
        for (id, source) in &self.view.sources {
            if !source.on.as_ref().is_some_and(|on| lost.contains_key(on)) {
                continue;
            }
            let Some((worker, choice)) = self.loads.choose(self.view, source) else { continue };
            let Some(session) = self.session(&worker) else { continue };
            self.take_load(&worker, choice);
            places.push(ChosenPlace { source: id.clone(), worker, session, choice });
        }
        let workers = lost.keys().map(|name| (*name).clone()).collect();
        self.push(
            Step::Expire { sessions: lost.values().copied().collect(), places },
            Reason::SessionsLost { workers },
        );
    }

    fn place(&mut self, id: &SourceId, source: &SourceView) {
        let Some((worker, choice)) = self.loads.choose(self.view, source) else { return };
        let Some(session) = self.session(&worker) else { return };
        self.take_load(&worker, choice);
        self.push(Step::Assign { source: id.clone(), worker, session, expect: None }, Reason::Unplaced { choice });
    }

    /// The load of an ordered move is counted from its order on.
    fn take_load(&mut self, worker: &WorkerName, choice: Choice) {
        match choice {
            Choice::Ordered => {}
            Choice::LastWorker | Choice::LeastLoaded { .. } => self.loads.add(worker),
        }
    }

    fn keep_or_move(&mut self, id: &SourceId, source: &SourceView, here: &WorkerName, health: Health) {
        let expect = self.session(here);
        if let Some(to) = &source.moving_to {
            return match (self.view.health(to), self.session(to)) {
                (Some(Health::Healthy), Some(session)) => {
                    let reason = match (source.n_owned, source.move_overdue) {
                        (0, _) => Reason::Drained,
                        (_, true) => Reason::DrainOverdue,
                        (_, false) => return,
                    };
                    self.push(Step::Assign { source: id.clone(), worker: to.clone(), session, expect }, reason);
                }
                (Some(Health::Suspect), _) => {}
                (Some(Health::Healthy | Health::Draining | Health::Lost) | None, _) => {
                    self.push(
                        Step::BeginMove { source: id.clone(), to: None },
                        Reason::TargetGone { worker: to.clone() },
                    );
                }
            };
        }
        if health == Health::Draining
            && let Some((worker, choice)) = self.loads.choose(self.view, source)
        {
            self.loads.add(&worker);
            let reason = Reason::WorkerDraining { worker: here.clone(), choice };
            return self.push(Step::BeginMove { source: id.clone(), to: Some(worker) }, reason);
        }
        if source.n_waiting > 0
            && let Some(session) = expect
        {
            self.push(
                Step::Assign { source: id.clone(), worker: here.clone(), session, expect },
                Reason::SubtasksWaiting { n_subtasks: source.n_waiting },
            );
        }
    }

    /// One move of one source, and only when nothing else is to be done or under way.
    fn even_out(&mut self, gap: usize) {
        if !self.plan.is_empty() || self.view.sources.values().any(|source| source.moving_to.is_some()) {
            return;
        }
        let Some((to, least)) = self.loads.open(self.view).min_by_key(|(name, load)| (*load, *name)) else { return };
        let healthy = self.view.workers.iter().filter(|(_, worker)| worker.health == Health::Healthy);
        let Some((from, most)) = healthy.map(|(name, _)| (name, self.loads.get(name))).max_by_key(|(_, load)| *load)
        else {
            return;
        };
        if most < least + gap {
            return;
        }
        let to = to.clone();
        let source = self.view.sources.iter().find(|(_, source)| source.on.as_ref() == Some(from));
        if let Some((id, _)) = source {
            self.push(Step::BeginMove { source: id.clone(), to: Some(to) }, Reason::Uneven { most, least });
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.moves {
            writeln!(f, "{step}")?;
        }
        Ok(())
    }
}
