//! Reading the state.

use dm_model::{
    ClusterId, Epoch, Incarnation, MasterName, NodeId, Revision, SessionId, SourceId, Stage, SubtaskId, TaskName,
    WorkerName,
};
use serde::{Deserialize, Serialize};

use super::State;
use crate::record::{Cluster, Master, Session, Source, Subtask, Task, Worker};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaValue {
    pub value: Vec<u8>,
    /// The index that wrote it.
    pub revision: Revision,
}

/// One source a session carries, with its subtasks. Computed, never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment<'a> {
    pub source: &'a Source,
    /// The source is to be moved away: drain, then release every subtask.
    pub draining: bool,
    /// The subtasks this session owns, each with its token.
    pub owned: Vec<(Epoch, &'a Subtask)>,
}

/// DM's worker stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkerStage {
    Offline,
    Free,
    Bound,
}

impl WorkerStage {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Free => "free",
            Self::Bound => "bound",
        }
    }
}

impl State {
    /// Index of the last applied entry.
    pub fn applied(&self) -> Revision {
        self.applied
    }

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub fn cluster_id(&self) -> Option<&ClusterId> {
        self.cluster.id.as_ref()
    }

    pub fn incarnation(&self) -> Incarnation {
        self.cluster.incarnation
    }

    pub fn masters(&self) -> impl ExactSizeIterator<Item = &Master> {
        self.masters.values()
    }

    pub fn master(&self, name: &MasterName) -> Option<&Master> {
        self.masters.get(name)
    }

    pub fn master_of_node(&self, node: NodeId) -> Option<&Master> {
        self.masters.values().find(|master| master.node == node)
    }

    pub fn is_store_retired(&self, store_uuid: &str) -> bool {
        self.retired_stores.contains(store_uuid)
    }

    pub fn workers(&self) -> impl ExactSizeIterator<Item = &Worker> {
        self.workers.values()
    }

    pub fn worker(&self, name: &WorkerName) -> Option<&Worker> {
        self.workers.get(name)
    }

    pub fn worker_stage(&self, name: &WorkerName) -> Option<WorkerStage> {
        let worker = self.workers.get(name)?;
        Some(match worker.session {
            None => WorkerStage::Offline,
            Some(session) if self.sources_on(session).next().is_some() => WorkerStage::Bound,
            Some(_) => WorkerStage::Free,
        })
    }

    /// Live sessions.
    pub fn sessions(&self) -> impl ExactSizeIterator<Item = &Session> {
        self.sessions.values()
    }

    /// A live session.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub fn session_of(&self, worker: &WorkerName) -> Option<&Session> {
        self.sessions.get(&self.workers.get(worker)?.session?)
    }

    pub fn sources(&self) -> impl ExactSizeIterator<Item = &Source> {
        self.sources.values()
    }

    pub fn source(&self, id: &SourceId) -> Option<&Source> {
        self.sources.get(id)
    }

    pub fn sources_on(&self, session: SessionId) -> impl Iterator<Item = &Source> {
        self.sources
            .values()
            .filter(move |source| source.placement.as_ref().is_some_and(|placement| placement.session == session))
    }

    /// The worker that carries a source.
    pub fn worker_of(&self, source: &SourceId) -> Option<&Worker> {
        let placement = self.sources.get(source)?.placement.as_ref()?;
        self.workers.get(&self.sessions.get(&placement.session)?.worker)
    }

    pub fn tasks(&self) -> impl ExactSizeIterator<Item = &Task> {
        self.tasks.values()
    }

    pub fn task(&self, name: &TaskName) -> Option<&Task> {
        self.tasks.get(name)
    }

    pub fn subtasks(&self) -> impl ExactSizeIterator<Item = &Subtask> {
        self.subtasks.values()
    }

    pub fn subtask(&self, id: &SubtaskId) -> Option<&Subtask> {
        self.subtasks.get(id)
    }

    pub fn subtasks_of_task(&self, task: &TaskName) -> impl Iterator<Item = &Subtask> {
        self.subtasks.values().filter(move |subtask| subtask.id.task == *task)
    }

    pub fn subtasks_of_source(&self, source: &SourceId) -> impl Iterator<Item = &Subtask> {
        self.subtasks.values().filter(move |subtask| subtask.id.source == *source)
    }

    /// What a session has to carry: its sources in order, each with the subtasks it owns. Empty for a dead session.
    ///
    /// A subtask that is not in here any more is none of the worker's business: stop it.
    pub fn assignment_for(&self, session: SessionId) -> Vec<Assignment<'_>> {
        self.sources_on(session)
            .map(|source| Assignment {
                source,
                draining: source.moving_to.is_some(),
                owned: self
                    .subtasks_of_source(&source.id)
                    .filter_map(|subtask| subtask.owner.map(|owner| (owner.epoch, subtask)))
                    .collect(),
            })
            .collect()
    }

    /// The stage to show when the owner cannot be asked: the last one seen, and what is wanted before any report.
    pub fn shown_stage(&self, id: &SubtaskId) -> Option<Stage> {
        let subtask = self.subtasks.get(id)?;
        Some(match &subtask.progress {
            _ if subtask.finished => Stage::Finished,
            Some(progress) if subtask.owner.is_some_and(|owner| owner.epoch == progress.epoch) => progress.stage,
            Some(_) | None => match subtask.wanted {
                crate::record::Wanted::Running => Stage::New,
                crate::record::Wanted::Paused => Stage::Paused,
                crate::record::Wanted::Stopped => Stage::Stopped,
            },
        })
    }

    pub fn meta(&self, key: &str) -> Option<&MetaValue> {
        self.meta.get(key)
    }

    pub fn meta_keys(&self) -> impl ExactSizeIterator<Item = (&String, &MetaValue)> {
        self.meta.iter()
    }
}
