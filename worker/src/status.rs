//! What a subtask shows of itself: written by its units, read by heartbeats and scrapes, never waited for.
//!
//! A lock is held only while fields are copied. Statuses travel to the leader with the heartbeat, so `query-status` never
//! asks a busy or hung worker. What has to grow while nothing moves (lag, the age of a pause) is kept as a moment and
//! worked out when it is read ([`wire`]), so that a unit that hangs cannot freeze it.

pub mod view;
mod wire;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dm_model::{Epoch, SubtaskId, UnixMillis};
use dm_proto::{pb, session};
use tokio::sync::Notify;

pub use self::view::{LoadView, Pause, ProgressView, SyncView, TableView, UnitView, View};
use crate::metrics::subtask::SubtaskMetrics;

/// One subtask's view; cheap to clone.
#[derive(Debug, Clone)]
pub struct Cell {
    view: Arc<Mutex<View>>,
    metrics: Arc<SubtaskMetrics>,
    urgent: Arc<Notify>,
}

impl Cell {
    pub fn read(&self) -> View {
        self.lock().clone()
    }

    /// Changes counters and positions; they go out with the next heartbeat.
    pub fn update(&self, change: impl FnOnce(&mut View)) {
        let mut view = self.lock();
        change(&mut view);
        view.remember();
    }

    /// Changes a stage or a result; a heartbeat goes out at once.
    pub fn announce(&self, change: impl FnOnce(&mut View)) {
        self.update(change);
        self.urgent.notify_one();
    }

    /// What is counted for `/metrics` beside the view.
    pub fn metrics(&self) -> &Arc<SubtaskMetrics> {
        &self.metrics
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All subtasks of this worker.
#[derive(Debug, Clone, Default)]
pub struct Board {
    cells: Arc<Mutex<BTreeMap<SubtaskId, Cell>>>,
    urgent: Arc<Notify>,
}

impl Board {
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the view of a subtask that begins under an epoch; an older view of it is replaced.
    pub fn open(&self, id: SubtaskId, epoch: Epoch, wanted_revision: u64) -> Cell {
        let cell = Cell {
            view: Arc::new(Mutex::new(View::new(epoch, wanted_revision))),
            metrics: Arc::default(),
            urgent: Arc::clone(&self.urgent),
        };
        self.lock().insert(id, cell.clone());
        self.urgent.notify_one();
        cell
    }

    /// Forgets a subtask that has ended, unless a newer life of it has a view already. Its series in `/metrics` go with it.
    pub fn close(&self, id: &SubtaskId, epoch: Epoch) {
        let mut cells = self.lock();
        if cells.get(id).is_some_and(|cell| cell.lock().epoch == epoch) {
            cells.remove(id);
        }
        drop(cells);
        self.urgent.notify_one();
    }

    /// Resolves when something was announced since the last call. Cancel safe.
    pub async fn announced(&self) {
        self.urgent.notified().await;
    }

    /// All views, as the heartbeat sends them.
    pub fn reports(&self, now: UnixMillis) -> Vec<session::SubtaskReport> {
        self.views().into_iter().map(|(id, view)| wire::report(&id, &view, now)).collect()
    }

    /// What is wrong with sources as a whole; a source without trouble is not in it.
    pub fn source_reports(&self) -> Vec<session::SourceReport> {
        let mut reports = BTreeMap::new();
        for (id, view) in self.views() {
            if let Some(error) = view.shown_source_error() {
                reports.entry(id.source).or_insert_with(|| pb::ProcessResult::failed([error]));
            }
        }
        reports
            .into_iter()
            .map(|(source, result)| session::SourceReport { source: source.to_string(), result: Some(result) })
            .collect()
    }

    pub fn views(&self) -> Vec<(SubtaskId, View)> {
        self.cells().into_iter().map(|(id, cell)| (id, cell.read())).collect()
    }

    pub fn cells(&self) -> Vec<(SubtaskId, Cell)> {
        self.lock().iter().map(|(id, cell)| (id.clone(), cell.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SubtaskId, Cell>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
