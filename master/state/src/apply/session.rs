//! Workers and their sessions: who is registered, who is alive.

use std::{collections::BTreeSet, sync::Arc};

use dm_model::{SessionId, WorkerName};
use serde::{Deserialize, Serialize};

use super::Change;
use crate::{
    Rejection, Reply,
    record::{Session, Worker},
    reply::{Expired, Opened},
};

/// Idempotent for the same pair; another address under a known name is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterWorker {
    pub name: WorkerName,
    pub addr: String,
}

/// `offline-member --worker`. Refused while a session lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetireWorker {
    pub name: WorkerName,
}

/// Starts a session of a registered worker; its id is the index of this command.
///
/// The same instance with a live session keeps that session and its tokens. Another live instance is in the way:
/// refused, unless `takeover` says to end it in the same step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSession {
    pub worker: WorkerName,
    pub instance_uuid: String,
    pub addr: String,
    pub version: String,
    pub takeover: Takeover,
    /// How long it may be silent, in milliseconds; 0: as long as the cluster says.
    pub keepalive_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Takeover {
    Refuse,
    EndOther,
}

/// The worker left in order. A session that is not alive: `Done`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseSession {
    pub session: SessionId,
}

/// Ends sessions the leader no longer hears. Their sources wait for the next placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpireSessions {
    pub sessions: Vec<SessionId>,
    pub reason: String,
}

/// Whether an owner has said that it acts no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Letting {
    /// Everything it began is committed or rolled back.
    InOrder,
    Unheard,
}

impl RegisterWorker {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        if let Some(known) = change.state.workers.get(&self.name) {
            return if known.addr == self.addr {
                Ok(Reply::Done)
            } else {
                Err(Rejection::WorkerExists { name: self.name, addr: known.addr.clone() })
            };
        }
        change.touched.workers.insert(self.name.clone());
        let worker = Worker { name: self.name.clone(), addr: self.addr, registered: change.index(), session: None };
        Arc::make_mut(&mut change.state.workers).insert(self.name, worker);
        Ok(Reply::Done)
    }
}

impl RetireWorker {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        let Some(worker) = change.state.workers.get(&self.name) else {
            return Err(Rejection::WorkerUnknown { name: self.name });
        };
        if worker.session.is_some() {
            return Err(Rejection::WorkerOnline { name: self.name });
        }
        Arc::make_mut(&mut change.state.workers).remove(&self.name);
        for source in Arc::make_mut(&mut change.state.sources).values_mut() {
            for field in [&mut source.last_worker, &mut source.moving_to] {
                if field.as_ref() == Some(&self.name) {
                    *field = None;
                    change.touched.sources.insert(source.id.clone());
                }
            }
        }
        let carriers: Vec<_> =
            change.touched.sources.iter().filter_map(|id| Some(change.state.worker_of(id)?.name.clone())).collect();
        change.touched.workers.extend(carriers);
        change.touched.workers.insert(self.name);
        Ok(Reply::Done)
    }
}

impl OpenSession {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        let Some(worker) = change.state.workers.get(&self.worker) else {
            return Err(Rejection::WorkerUnknown { name: self.worker });
        };
        if let Some(other) = worker.session {
            let instance = change.state.sessions.get(&other).map(|session| session.instance_uuid.as_str());
            if instance == Some(self.instance_uuid.as_str()) {
                change.touched.workers.insert(self.worker);
                return Ok(Reply::SessionOpened { session: other, opened: Opened::Resumed });
            }
            match self.takeover {
                Takeover::Refuse => {
                    return Err(Rejection::SessionOfOtherInstance { worker: self.worker, session: other });
                }
                Takeover::EndOther => change.end_session(other, Letting::Unheard),
            }
        }
        let id = SessionId(change.index().0);
        let session = Session {
            id,
            worker: self.worker.clone(),
            instance_uuid: self.instance_uuid,
            addr: self.addr,
            version: self.version,
            opened_at: change.stamp.time,
            keepalive_ms: self.keepalive_ms,
        };
        Arc::make_mut(&mut change.state.sessions).insert(id, session);
        if let Some(worker) = Arc::make_mut(&mut change.state.workers).get_mut(&self.worker) {
            worker.session = Some(id);
        }
        change.touched.sessions.insert(id);
        change.touched.workers.insert(self.worker);
        Ok(Reply::SessionOpened { session: id, opened: Opened::New })
    }
}

impl CloseSession {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        change.end_session(self.session, Letting::InOrder);
        Ok(Reply::Done)
    }
}

impl ExpireSessions {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        Ok(Reply::Expired(Expired { sessions: change.end_sessions(self.sessions), ..Expired::default() }))
    }
}

impl Change<'_> {
    /// Ends those that are alive and names them.
    pub(super) fn end_sessions(&mut self, sessions: Vec<SessionId>) -> Vec<SessionId> {
        let live: BTreeSet<_> = sessions.into_iter().filter(|id| self.state.sessions.contains_key(id)).collect();
        for session in &live {
            self.end_session(*session, Letting::Unheard);
        }
        live.into_iter().collect()
    }

    /// Ends a session: its worker is offline, its sources are placed nowhere, its subtasks are owned by nobody.
    /// A session that is not alive changes nothing.
    pub(super) fn end_session(&mut self, id: SessionId, letting: Letting) {
        if !self.state.sessions.contains_key(&id) {
            return;
        }
        let Some(session) = Arc::make_mut(&mut self.state.sessions).remove(&id) else { return };
        if let Some(worker) = Arc::make_mut(&mut self.state.workers).get_mut(&session.worker) {
            worker.session = None;
        }
        for source in Arc::make_mut(&mut self.state.sources).values_mut() {
            if source.placement.as_ref().is_some_and(|placement| placement.session == id) {
                source.placement = None;
                self.touched.sources.insert(source.id.clone());
            }
        }
        for subtask in Arc::make_mut(&mut self.state.subtasks).values_mut() {
            if let Some(owner) = subtask.owner.filter(|owner| owner.session == id) {
                subtask.owner = None;
                match letting {
                    Letting::InOrder => {}
                    Letting::Unheard => subtask.unfenced = Some(owner.epoch),
                }
                self.touched.tasks.insert(subtask.id.task.clone());
                self.touched.subtasks.insert(subtask.id.clone());
            }
        }
        self.touched.sessions.insert(id);
        self.touched.workers.insert(session.worker);
    }
}
