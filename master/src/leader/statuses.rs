//! The newest report of every subtask, as heartbeats bring them. In memory of the leader only: `query-status` reads it
//! and never asks a worker.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use dm_model::{Epoch, SessionId, Stage, SubtaskId};
use dm_proto::{
    convert::stage_of,
    pb,
    session::{Heartbeat, SubtaskReport},
};
use tokio::{sync::watch, time::Instant};

#[derive(Debug, Default)]
pub struct Statuses {
    inner: Mutex<Inner>,
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    reports: BTreeMap<SubtaskId, Reported>,
    sessions: BTreeMap<SessionId, Carried>,
}

#[derive(Debug, Clone)]
pub struct Reported {
    pub session: SessionId,
    pub epoch: Epoch,
    /// When it came.
    pub at: Instant,
    pub report: SubtaskReport,
}

/// What a session's newest heartbeat says it acts on.
#[derive(Debug, Clone, Default)]
pub struct Carried {
    /// Of the newest assignments it has.
    pub revision: u64,
    pub subtasks: BTreeSet<(SubtaskId, Epoch)>,
    /// What the worker says of its sources, where it has something to say.
    pub sources: BTreeMap<String, pb::ProcessResult>,
}

impl Reported {
    pub fn stage(&self) -> Option<Stage> {
        stage_of(self.report.status.as_ref()?.stage())
    }

    /// Errors of the last run, if it stands on some.
    pub fn errors(&self) -> &[pb::ProcessError] {
        let result = self.report.status.as_ref().and_then(|status| status.result.as_ref());
        result.map_or(&[], |result| &result.errors)
    }
}

impl Statuses {
    /// Takes a heartbeat in. A report of an older epoch than the known one is passed over.
    pub fn take(&self, session: SessionId, heartbeat: &Heartbeat, reports: &[(SubtaskId, SubtaskReport)]) {
        let mut inner = self.lock();
        let subtasks = reports.iter().map(|(id, report)| (id.clone(), Epoch(report.epoch))).collect();
        let sources = heartbeat
            .sources
            .iter()
            .filter_map(|report| Some((report.source.clone(), report.result.clone()?)))
            .collect();
        inner.sessions.insert(session, Carried { revision: heartbeat.revision, subtasks, sources });
        for (id, report) in reports {
            let epoch = Epoch(report.epoch);
            if inner.reports.get(id).is_some_and(|known| known.epoch > epoch) {
                continue;
            }
            inner.reports.insert(id.clone(), Reported { session, epoch, at: Instant::now(), report: report.clone() });
        }
        drop(inner);
        self.version.send_modify(|version| *version += 1);
    }

    pub fn forget_session(&self, session: SessionId) {
        self.lock().sessions.remove(&session);
        self.version.send_modify(|version| *version += 1);
    }

    /// Forgets subtasks that do not exist any more.
    pub fn forget(&self, ids: &[SubtaskId]) {
        let mut inner = self.lock();
        for id in ids {
            inner.reports.remove(id);
        }
    }

    pub fn latest(&self, id: &SubtaskId) -> Option<Reported> {
        self.lock().reports.get(id).cloned()
    }

    pub fn carried(&self, session: SessionId) -> Option<Carried> {
        self.lock().sessions.get(&session).cloned()
    }

    /// Changes with every heartbeat.
    pub fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
