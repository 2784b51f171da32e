//! What holds in every state, by name. Checked after every step in debug builds, in tests, and before a snapshot is
//! installed.

use std::{collections::BTreeSet, fmt};

use dm_model::Epoch;

use super::{State, clients};
use crate::{
    apply::{member, meta_kv, operator},
    record::{OperatorAt, Source, Subtask},
};

macro_rules! invariants {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The rules of the state.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Invariant { $($(#[$doc])* $name,)* }

        impl fmt::Display for Invariant {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => stringify!($name),)* })
            }
        }
    };
}

invariants! {
    /// No key occurs twice in a snapshot's lists.
    KeysUnique,
    /// Every revision, session, operator and token stems from an applied entry of this incarnation or an older one.
    FromTheLog,
    /// An incarnation fits into a token.
    IncarnationFits,
    /// A node id belongs to one master.
    NodesUnique,
    /// A store belongs to one master, and to none once it is retired.
    StoresUnique,
    /// A live session belongs to a registered worker, which names it; and the other way round.
    SessionOfWorker,
    /// A source is placed on live sessions only.
    PlacedOnLiveSession,
    /// `last_worker` and `moving_to` name registered workers, and a source does not move to where it is.
    WorkersKnown,
    /// A subtask's task and source exist.
    SubtaskHasParents,
    /// A task has a subtask.
    TaskHasSubtask,
    /// An owner is on the session its source is placed on: at most one worker per source.
    OwnerOnPlacement,
    /// The owner has the newest token.
    OwnerHasNewestEpoch,
    /// What is still to be fenced is older than the owner.
    UnfencedIsOlder,
    /// Progress was reported under a token that was given out.
    ProgressOfGrantedEpoch,
    /// One operator per place, and no more than allowed.
    OperatorsBounded,
    /// The key-value space is within its limits.
    MetaBounded,
    /// Remembered answers are within their limits and in order.
    ClientsBounded,
}

/// An invariant that does not hold, and for what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("state is broken: {invariant} does not hold for {object}")]
pub struct Broken {
    pub invariant: Invariant,
    pub object: String,
}

fn hold(invariant: Invariant, holds: bool, object: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { invariant, object: object() }) }
}

impl State {
    /// The first invariant that does not hold.
    pub fn validate(&self) -> Result<(), Broken> {
        hold(Invariant::IncarnationFits, self.cluster.incarnation <= member::MAX_INCARNATION, || "cluster".to_owned())?;
        self.validate_masters()?;
        self.validate_sessions()?;
        for source in self.sources.values() {
            self.validate_source(source)?;
        }
        let mut tasks_seen = BTreeSet::new();
        for subtask in self.subtasks.values() {
            self.validate_subtask(subtask)?;
            tasks_seen.insert(&subtask.id.task);
        }
        for task in self.tasks.values() {
            hold(Invariant::TaskHasSubtask, tasks_seen.contains(&task.name), || task.name.to_string())?;
            hold(Invariant::FromTheLog, task.config_revision <= self.applied, || task.name.to_string())?;
        }
        self.validate_bounds()
    }

    fn validate_masters(&self) -> Result<(), Broken> {
        let (mut nodes, mut stores) = (BTreeSet::new(), BTreeSet::new());
        for master in self.masters.values() {
            hold(Invariant::NodesUnique, nodes.insert(master.node), || master.name.to_string())?;
            if let Some(store) = &master.store_uuid {
                let unique = stores.insert(store) && !self.retired_stores.contains(store);
                hold(Invariant::StoresUnique, unique, || master.name.to_string())?;
            }
        }
        Ok(())
    }

    fn validate_sessions(&self) -> Result<(), Broken> {
        for worker in self.workers.values() {
            let object = || format!("worker {}", worker.name);
            hold(Invariant::FromTheLog, worker.registered <= self.applied, object)?;
            let Some(id) = worker.session else { continue };
            let holds = self.sessions.get(&id).is_some_and(|session| session.worker == worker.name);
            hold(Invariant::SessionOfWorker, holds, object)?;
        }
        for session in self.sessions.values() {
            let object = || format!("session {}", session.id);
            hold(Invariant::FromTheLog, session.id.0 <= self.applied.0, object)?;
            let holds = self.workers.get(&session.worker).is_some_and(|worker| worker.session == Some(session.id));
            hold(Invariant::SessionOfWorker, holds, object)?;
        }
        Ok(())
    }

    fn validate_source(&self, source: &Source) -> Result<(), Broken> {
        let object = || format!("source {}", source.id);
        hold(Invariant::FromTheLog, source.config_revision <= self.applied, object)?;
        let mut carrier = None;
        if let Some(placement) = &source.placement {
            let session = self.sessions.get(&placement.session);
            hold(Invariant::PlacedOnLiveSession, session.is_some(), object)?;
            hold(Invariant::FromTheLog, placement.since <= self.applied, object)?;
            carrier = session.map(|session| &session.worker);
        }
        for worker in source.last_worker.iter().chain(&source.moving_to) {
            hold(Invariant::WorkersKnown, self.workers.contains_key(worker), object)?;
        }
        let moves = source.moving_to.is_none() || source.moving_to.as_ref() != carrier;
        hold(Invariant::WorkersKnown, moves, object)
    }

    fn validate_subtask(&self, subtask: &Subtask) -> Result<(), Broken> {
        let object = || format!("subtask {}", subtask.id);
        let source = self.sources.get(&subtask.id.source);
        let has_parents = source.is_some() && self.tasks.contains_key(&subtask.id.task);
        hold(Invariant::SubtaskHasParents, has_parents, object)?;
        if let Some(owner) = subtask.owner {
            let placed = source.and_then(|source| source.placement.as_ref()).map(|placement| placement.session);
            hold(Invariant::OwnerOnPlacement, placed == Some(owner.session), object)?;
            hold(Invariant::OwnerHasNewestEpoch, owner.epoch == subtask.last_epoch, object)?;
            let ours = owner.epoch.incarnation() == self.cluster.incarnation;
            hold(Invariant::FromTheLog, ours && owner.epoch > Epoch::default(), object)?;
        }
        // after a restore log indexes may regress, but only in an older incarnation's tokens may an index be higher
        let newest = Epoch::new(self.cluster.incarnation, self.applied);
        let from_log = subtask.last_epoch <= newest
            && subtask.wanted_revision <= self.applied
            && subtask.config_revision <= self.applied
            && subtask.operators.keys().all(|id| id.0 <= self.applied);
        hold(Invariant::FromTheLog, from_log, object)?;
        if let Some(unfenced) = subtask.unfenced {
            let holds = unfenced <= subtask.last_epoch && subtask.owner.is_none_or(|owner| owner.epoch > unfenced);
            hold(Invariant::UnfencedIsOlder, holds, object)?;
        }
        if let Some(progress) = &subtask.progress {
            hold(Invariant::ProgressOfGrantedEpoch, progress.epoch <= subtask.last_epoch, object)?;
        }
        let places: BTreeSet<&OperatorAt> = subtask.operators.values().map(|operator| &operator.at).collect();
        let bounded = places.len() == subtask.operators.len() && places.len() <= operator::MAX_OPERATORS;
        hold(Invariant::OperatorsBounded, bounded, object)
    }

    fn validate_bounds(&self) -> Result<(), Broken> {
        hold(Invariant::MetaBounded, self.meta.len() <= meta_kv::MAX_KEYS, || "key-value space".to_owned())?;
        for (key, value) in self.meta.iter() {
            let bounded = key.len() <= meta_kv::MAX_KEY_BYTES && value.value.len() <= meta_kv::MAX_VALUE_BYTES;
            hold(Invariant::MetaBounded, bounded, || format!("key {key:?}"))?;
            hold(Invariant::FromTheLog, value.revision <= self.applied, || format!("key {key:?}"))?;
        }
        let mut n_clients = 0;
        for client in self.clients.iter() {
            n_clients += 1;
            let sequences: Vec<_> = client.answers.iter().map(|(seq, _)| *seq).collect();
            let bounded = sequences.len() <= clients::MAX_ANSWERS
                && sequences.is_sorted_by(|a, b| a < b)
                && sequences.first().is_none_or(|first| *first > client.forgotten)
                && client.last_seen <= self.applied;
            hold(Invariant::ClientsBounded, bounded, || format!("client {}", client.id))?;
        }
        hold(Invariant::ClientsBounded, n_clients <= clients::MAX_CLIENTS, || "clients".to_owned())
    }
}
