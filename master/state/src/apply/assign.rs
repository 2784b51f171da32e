//! Ownership: which session carries a source, and the token of each of its subtasks.
//!
//! A source is placed whole on one session. Every subtask that needs an owner gets the token of the entry's index;
//! subtasks given out by one entry share the number, which is no harm: a token is compared within its subtask only.

use std::{collections::BTreeSet, sync::Arc};

use dm_model::{Epoch, SessionId, SourceId, SubtaskId, WorkerName};
use serde::{Deserialize, Serialize};

use super::Change;
use crate::{
    Rejection, Reply,
    record::{Ownership, Placement},
    reply::{Expired, Grant},
};

/// Places a source. On another session than now: all its subtasks that need an owner get new tokens. On the session it
/// is on already: those without one get one, the others keep theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assign {
    pub source: SourceId,
    pub session: SessionId,
    /// Where the planner saw it. Refused when it is elsewhere by now.
    pub expect: Option<SessionId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub source: SourceId,
    pub session: SessionId,
}

/// Ends sessions and places their sources in one entry, so that there is no gap without an owner. The expiry always
/// takes effect; a source is passed over when its new session is not alive or it is placed elsewhere already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpireAndAssign {
    pub sessions: Vec<SessionId>,
    pub places: Vec<Place>,
    pub reason: String,
}

/// Asks the owner to drain a source so that it can be placed on another worker; `None` takes the request back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginMove {
    pub source: SourceId,
    pub to: Option<WorkerName>,
}

/// The owner has stopped acting for a subtask: all it did is committed, nothing follows. An old epoch is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub subtask: SubtaskId,
    pub epoch: Epoch,
}

/// Takes subtasks from their owner by a new token that belongs to nobody: the leader shows it to the target before it
/// answers a stop, a pause or `--remove-meta` for a worker that does not answer. Unknown subtasks refuse the whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceOff {
    pub subtasks: Vec<SubtaskId>,
}

/// A token is in the target: no transaction of an older one can commit any more. Refused when it is not above the token
/// that is to be fenced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmFence {
    pub subtask: SubtaskId,
    pub epoch: Epoch,
}

impl Assign {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        let Some(source) = change.state.sources.get(&self.source) else {
            return Err(Rejection::SourceUnknown { source_id: self.source });
        };
        if !change.state.sessions.contains_key(&self.session) {
            return Err(Rejection::SessionNotLive { session: self.session });
        }
        let present = source.placement.as_ref().map(|placement| placement.session);
        if present != self.expect {
            return Err(Rejection::PlacementChanged { source_id: self.source, present });
        }
        Ok(Reply::Assigned(change.place(&self.source, self.session)))
    }
}

impl ExpireAndAssign {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        let mut reply = Expired { sessions: change.end_sessions(self.sessions), ..Expired::default() };
        for Place { source, session } in self.places {
            let unplaced = change.state.sources.get(&source).is_some_and(|source| source.placement.is_none());
            if unplaced && change.state.sessions.contains_key(&session) {
                reply.granted.extend(change.place(&source, session));
            } else {
                reply.not_placed.push(source);
            }
        }
        Ok(Reply::Expired(reply))
    }
}

impl BeginMove {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        let Some(source) = change.state.sources.get(&self.source) else {
            return Err(Rejection::SourceUnknown { source_id: self.source });
        };
        if source.placement.is_none() {
            return Err(Rejection::SourceNotPlaced { source_id: self.source });
        }
        if let Some(name) = self.to.as_ref().filter(|name| !change.state.workers.contains_key(*name)) {
            return Err(Rejection::WorkerUnknown { name: name.clone() });
        }
        let here = change.state.worker_of(&self.source).map(|worker| &worker.name);
        // a move to where it is takes a move under way back
        let to = self.to.filter(|name| here != Some(name));
        if source.moving_to != to {
            change.touch_source(&self.source);
            if let Some(source) = Arc::make_mut(&mut change.state.sources).get_mut(&self.source) {
                source.moving_to = to;
            }
        }
        Ok(Reply::Done)
    }
}

impl Release {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        change.check_epoch(&self.subtask, self.epoch)?;
        change.touch_subtask(&self.subtask);
        if let Some(subtask) = Arc::make_mut(&mut change.state.subtasks).get_mut(&self.subtask) {
            subtask.owner = None;
        }
        Ok(Reply::Done)
    }
}

impl FenceOff {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        let ids: BTreeSet<_> = self.subtasks.into_iter().collect();
        for id in &ids {
            change.subtask(id)?;
        }
        let epoch = change.epoch();
        let mut granted = Vec::new();
        for id in ids {
            change.touch_subtask(&id);
            if let Some(subtask) = Arc::make_mut(&mut change.state.subtasks).get_mut(&id) {
                if let Some(owner) = subtask.owner.take() {
                    subtask.unfenced = Some(owner.epoch);
                }
                subtask.last_epoch = epoch;
            }
            granted.push(Grant { subtask: id, epoch });
        }
        Ok(Reply::Assigned(granted))
    }
}

impl ConfirmFence {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        let subtask = change.subtask(&self.subtask)?;
        let Some(unfenced) = subtask.unfenced else { return Ok(Reply::Done) };
        if self.epoch <= unfenced || self.epoch > subtask.last_epoch {
            return Err(Rejection::EpochNotPresent {
                shown: self.epoch,
                present: Some(subtask.last_epoch),
                subtask: self.subtask,
            });
        }
        change.touch_subtask(&self.subtask);
        if let Some(subtask) = Arc::make_mut(&mut change.state.subtasks).get_mut(&self.subtask) {
            subtask.unfenced = None;
        }
        Ok(Reply::Done)
    }
}

impl Change<'_> {
    /// Places a source that exists on a session that lives.
    fn place(&mut self, id: &SourceId, session: SessionId) -> Vec<Grant> {
        let index = self.index();
        let Some(worker) = self.state.sessions.get(&session).map(|session| session.worker.clone()) else {
            return Vec::new();
        };
        // the worker that loses it has to hear of it too
        self.touch_source(id);
        let Some(source) = Arc::make_mut(&mut self.state.sources).get_mut(id) else { return Vec::new() };
        let moved = source.placement.as_ref().map(|placement| placement.session) != Some(session);
        if moved {
            source.placement = Some(Placement { session, since: index });
        }
        source.last_worker = Some(worker);
        source.moving_to = None;
        self.touch_source(id);
        let subtasks: Vec<_> = self.state.subtasks_of_source(id).map(|subtask| subtask.id.clone()).collect();
        let mut granted = Vec::new();
        for subtask in subtasks {
            if moved {
                self.disown(&subtask);
            }
            granted.extend(self.grant_if_placed(&subtask));
        }
        granted
    }

    fn disown(&mut self, id: &SubtaskId) {
        let Some(owner) = self.state.subtasks.get(id).and_then(|subtask| subtask.owner) else { return };
        self.touch_subtask(id);
        if let Some(subtask) = Arc::make_mut(&mut self.state.subtasks).get_mut(id) {
            subtask.owner = None;
            subtask.unfenced = Some(owner.epoch);
        }
    }

    /// Gives this entry's token to a subtask that needs an owner and has none, if its source is placed and is not on
    /// the way to another worker.
    pub(super) fn grant_if_placed(&mut self, id: &SubtaskId) -> Option<Grant> {
        let source = self.state.sources.get(&id.source).filter(|source| source.moving_to.is_none())?;
        let session = source.placement.as_ref()?.session;
        let subtask = self.state.subtasks.get(id)?;
        if subtask.owner.is_some() || !subtask.wanted.needs_owner() {
            return None;
        }
        let epoch = self.epoch();
        self.touch_subtask(id);
        let subtask = Arc::make_mut(&mut self.state.subtasks).get_mut(id)?;
        subtask.owner = Some(Ownership { epoch, session });
        subtask.last_epoch = epoch;
        Some(Grant { subtask: id.clone(), epoch })
    }
}
