//! What the scheduler sees: the state's placements joined with what only the leader knows of its sessions.

use std::collections::{BTreeMap, BTreeSet};

use dm_model::{SessionId, SourceId, WorkerName};

use crate::State;

/// What the leader knows and the state does not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// A live session that is missing here counts as healthy and without a limit.
    pub sessions: BTreeMap<SessionId, SessionFacts>,
    /// Ordered moves whose owner did not release in time: they go on without it, the fence keeps that safe.
    pub overdue_moves: BTreeSet<SourceId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionFacts {
    pub health: Health,
    /// How many sources it takes at most; `None` is no limit.
    pub capacity: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Health {
    #[default]
    Healthy,
    /// Silent for a while: keeps what it has, gets nothing new.
    Suspect,
    /// Asked to be emptied: its sources move away in order, it gets nothing new.
    Draining,
    /// Given up by `expire_decision`: its session ends with the next plan.
    Lost,
}

/// A worker with a live session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerView {
    pub session: SessionId,
    pub health: Health,
    pub capacity: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceView {
    /// The worker that carries it.
    pub on: Option<WorkerName>,
    pub last_worker: Option<WorkerName>,
    pub moving_to: Option<WorkerName>,
    pub move_overdue: bool,
    /// Subtasks with an owner.
    pub n_owned: usize,
    /// Subtasks that need an owner and have none.
    pub n_waiting: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    pub workers: BTreeMap<WorkerName, WorkerView>,
    pub sources: BTreeMap<SourceId, SourceView>,
}

impl View {
    pub fn of(state: &State, facts: &Facts) -> Self {
        let workers = state
            .sessions()
            .map(|session| {
                let known = facts.sessions.get(&session.id).copied().unwrap_or_default();
                let view = WorkerView { session: session.id, health: known.health, capacity: known.capacity };
                (session.worker.clone(), view)
            })
            .collect();
        let mut sources: BTreeMap<_, _> = state
            .sources()
            .map(|source| {
                let view = SourceView {
                    on: state.worker_of(&source.id).map(|worker| worker.name.clone()),
                    last_worker: source.last_worker.clone(),
                    moving_to: source.moving_to.clone(),
                    move_overdue: facts.overdue_moves.contains(&source.id),
                    n_owned: 0,
                    n_waiting: 0,
                };
                (source.id.clone(), view)
            })
            .collect();
        for subtask in state.subtasks() {
            let Some(source) = sources.get_mut(&subtask.id.source) else { continue };
            if subtask.owner.is_some() {
                source.n_owned += 1;
            } else if subtask.wanted.needs_owner() {
                source.n_waiting += 1;
            }
        }
        Self { workers, sources }
    }

    pub(super) fn health(&self, worker: &WorkerName) -> Option<Health> {
        self.workers.get(worker).map(|worker| worker.health)
    }
}
