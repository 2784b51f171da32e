//! The replicated state: maps of records, views of them, and its plain form for snapshots.
//!
//! Cheap to clone: each map is shared until one side changes it, so a snapshot is a clone. Only `apply` changes it.
//! Equal logs give equal states, on every machine; [`State::digest`] compares them in eight bytes.

pub mod clients;
mod digest;
mod validate;
mod views;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dm_model::{MasterName, Revision, SessionId, SourceId, SubtaskId, TaskName, WorkerName};
use serde::{Deserialize, Serialize};

pub use self::{
    clients::Client,
    validate::{Broken, Invariant},
    views::{Assignment, MetaValue, WorkerStage},
};
use crate::record::{Cluster, Master, Session, Source, Subtask, Task, Worker};

/// Everything the masters agree on. The default is the state before the first entry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct State {
    pub(crate) applied: Revision,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) masters: Arc<BTreeMap<MasterName, Master>>,
    pub(crate) retired_stores: Arc<BTreeSet<String>>,
    pub(crate) workers: Arc<BTreeMap<WorkerName, Worker>>,
    pub(crate) sessions: Arc<BTreeMap<SessionId, Session>>,
    pub(crate) sources: Arc<BTreeMap<SourceId, Source>>,
    pub(crate) tasks: Arc<BTreeMap<TaskName, Task>>,
    pub(crate) subtasks: Arc<BTreeMap<SubtaskId, Subtask>>,
    pub(crate) meta: Arc<BTreeMap<String, MetaValue>>,
    pub(crate) clients: Arc<clients::Clients>,
}

/// A state as lists of records, in the order of their keys: what a snapshot codec writes and reads. Every record holds
/// its own key, so any format can carry it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Parts {
    /// Index of the last applied entry.
    pub applied: Revision,
    pub cluster: Cluster,
    pub masters: Vec<Master>,
    /// Store ids of retired masters.
    pub retired_stores: Vec<String>,
    pub workers: Vec<Worker>,
    pub sessions: Vec<Session>,
    pub sources: Vec<Source>,
    pub tasks: Vec<Task>,
    pub subtasks: Vec<Subtask>,
    pub meta: Vec<(String, MetaValue)>,
    pub clients: Vec<Client>,
}

impl State {
    /// The plain form, for a snapshot.
    pub fn to_parts(&self) -> Parts {
        Parts {
            applied: self.applied,
            cluster: (*self.cluster).clone(),
            masters: self.masters.values().cloned().collect(),
            retired_stores: self.retired_stores.iter().cloned().collect(),
            workers: self.workers.values().cloned().collect(),
            sessions: self.sessions.values().cloned().collect(),
            sources: self.sources.values().cloned().collect(),
            tasks: self.tasks.values().cloned().collect(),
            subtasks: self.subtasks.values().cloned().collect(),
            meta: self.meta.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            clients: self.clients.to_list(),
        }
    }

    /// Rebuilds a state from its plain form. Fails with the first invariant that does not hold: a snapshot that is not a
    /// state must not be installed.
    pub fn from_parts(parts: Parts) -> Result<Self, Broken> {
        let lengths = parts.lengths();
        let state = Self {
            applied: parts.applied,
            cluster: Arc::new(parts.cluster),
            masters: Arc::new(parts.masters.into_iter().map(|master| (master.name.clone(), master)).collect()),
            retired_stores: Arc::new(parts.retired_stores.into_iter().collect()),
            workers: Arc::new(parts.workers.into_iter().map(|worker| (worker.name.clone(), worker)).collect()),
            sessions: Arc::new(parts.sessions.into_iter().map(|session| (session.id, session)).collect()),
            sources: Arc::new(parts.sources.into_iter().map(|source| (source.id.clone(), source)).collect()),
            tasks: Arc::new(parts.tasks.into_iter().map(|task| (task.name.clone(), task)).collect()),
            subtasks: Arc::new(parts.subtasks.into_iter().map(|subtask| (subtask.id.clone(), subtask)).collect()),
            meta: Arc::new(parts.meta.into_iter().collect()),
            clients: Arc::new(clients::Clients::of_list(parts.clients)),
        };
        if state.lengths() != lengths {
            return Err(Broken { invariant: Invariant::KeysUnique, object: "snapshot".to_owned() });
        }
        state.validate()?;
        Ok(state)
    }

    fn lengths(&self) -> [usize; 9] {
        [
            self.masters.len(),
            self.retired_stores.len(),
            self.workers.len(),
            self.sessions.len(),
            self.sources.len(),
            self.tasks.len(),
            self.subtasks.len(),
            self.meta.len(),
            self.clients.len(),
        ]
    }

    /// Passes over a log entry that holds no command (a leader's first entry, a membership change). An index that is
    /// not above the last applied one changes nothing.
    pub fn advance(&mut self, index: Revision) {
        self.applied = self.applied.max(index);
    }
}

impl Parts {
    fn lengths(&self) -> [usize; 9] {
        [
            self.masters.len(),
            self.retired_stores.len(),
            self.workers.len(),
            self.sessions.len(),
            self.sources.len(),
            self.tasks.len(),
            self.subtasks.len(),
            self.meta.len(),
            self.clients.len(),
        ]
    }
}

impl TryFrom<Parts> for State {
    type Error = Broken;

    fn try_from(parts: Parts) -> Result<Self, Broken> {
        Self::from_parts(parts)
    }
}

impl From<State> for Parts {
    fn from(state: State) -> Self {
        state.to_parts()
    }
}
