//! What a subtask shows of itself: written by its units, read by heartbeats, never waited for.
//!
//! A lock is held only while fields are copied. Statuses travel to the leader with the heartbeat, so `query-status` never
//! asks a busy or hung worker.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dm_model::{BinlogPosition, Epoch, Location, Stage, SubtaskId, UnitKind, error::Report};
use dm_proto::{convert::position_text, pb, session};
use tokio::sync::Notify;

/// Why a subtask is not running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pause {
    /// An operator asked for it.
    Operator,
    Error(Report),
}

/// Progress of the full copy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadView {
    pub finished_bytes: u64,
    pub total_bytes: u64,
    pub finished_rows: u64,
    pub total_rows: u64,
    pub finished_tables: u64,
    pub total_tables: u64,
    pub chunks_done: u64,
    pub chunks_total: u64,
    /// Bytes per second, recent.
    pub bps: u64,
    pub eta_seconds: Option<u64>,
    /// The oldest snapshot position: where sync goes on.
    pub location: Location,
}

/// Progress of replication.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SyncView {
    /// Where the source's own log ends, as last asked.
    pub source: Location,
    /// Everything up to here is committed in the target.
    pub synced: Location,
    pub is_synced: bool,
    pub total_rows: u64,
    pub recent_rps: u64,
    pub total_rps: u64,
    pub seconds_behind: u64,
    pub blocking_ddls: Vec<String>,
    pub io_bytes: u64,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub enum UnitView {
    #[default]
    None,
    Message(String),
    Load(LoadView),
    Sync(SyncView),
}

/// What the leader keeps a trailing copy of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProgressView {
    /// The largest unit number that an acknowledged lane row says is committed; 0 before the first.
    pub low: u64,
    pub location: Location,
    pub source_ts_ms: i64,
    pub chunks_done: u64,
    pub chunks_total: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub epoch: Epoch,
    /// The wish that this view answers.
    pub wanted_revision: u64,
    pub stage: Stage,
    pub unit: Option<UnitKind>,
    pub pause: Option<Pause>,
    /// Where the DDL begins that the current error is about.
    pub error_at: Option<BinlogPosition>,
    pub unit_view: UnitView,
    pub progress: ProgressView,
    /// A higher epoch was found in the target.
    pub fenced: bool,
    pub consumed_operators: Vec<u64>,
    pub start_time_consumed: bool,
}

/// One subtask's view; cheap to clone.
#[derive(Debug, Clone)]
pub struct Cell {
    view: Arc<Mutex<View>>,
    urgent: Arc<Notify>,
}

impl Cell {
    pub fn read(&self) -> View {
        self.lock().clone()
    }

    /// Changes counters and positions; they go out with the next heartbeat.
    pub fn update(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.lock());
    }

    /// Changes a stage or a result; a heartbeat goes out at once.
    pub fn announce(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.lock());
        self.urgent.notify_one();
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
        let view = View {
            epoch,
            wanted_revision,
            stage: Stage::New,
            unit: None,
            pause: None,
            error_at: None,
            unit_view: UnitView::None,
            progress: ProgressView::default(),
            fenced: false,
            consumed_operators: Vec::new(),
            start_time_consumed: false,
        };
        let cell = Cell { view: Arc::new(Mutex::new(view)), urgent: Arc::clone(&self.urgent) };
        self.lock().insert(id, cell.clone());
        self.urgent.notify_one();
        cell
    }

    /// Forgets a subtask that has ended, unless a newer life of it has a view already.
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
    pub fn reports(&self) -> Vec<session::SubtaskReport> {
        self.views().into_iter().map(|(id, view)| to_wire(&id, &view)).collect()
    }

    pub fn views(&self) -> Vec<(SubtaskId, View)> {
        let cells: Vec<_> = self.lock().iter().map(|(id, cell)| (id.clone(), cell.clone())).collect();
        cells.into_iter().map(|(id, cell)| (id, cell.read())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SubtaskId, Cell>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn to_wire(id: &SubtaskId, view: &View) -> session::SubtaskReport {
    session::SubtaskReport {
        task: id.task.to_string(),
        source: id.source.to_string(),
        epoch: view.epoch.0,
        status: Some(status_to_wire(id, view)),
        progress: Some(session::Progress {
            low: view.progress.low,
            low_file: view.progress.location.position.file.clone(),
            low_offset: view.progress.location.position.offset,
            low_gtid: gtid_text(&view.progress.location),
            low_source_ts: view.progress.source_ts_ms,
            chunks_done: to_i64(view.progress.chunks_done),
            chunks_total: to_i64(view.progress.chunks_total),
        }),
        fenced: view.fenced,
        consumed_operators: view.consumed_operators.clone(),
        start_time_consumed: view.start_time_consumed,
        wanted_revision: view.wanted_revision,
        error_position: view.error_at.as_ref().map(|at| format!("{}:{}", at.file, at.offset)).unwrap_or_default(),
    }
}

fn status_to_wire(id: &SubtaskId, view: &View) -> pb::SubTaskStatus {
    let result = match &view.pause {
        None => None,
        Some(Pause::Operator) => Some(pb::ProcessResult::canceled()),
        Some(Pause::Error(report)) => Some(pb::ProcessResult::failed([report])),
    };
    let status = match &view.unit_view {
        UnitView::None => None,
        UnitView::Message(text) => Some(pb::sub_task_status::Status::Msg(text.clone())),
        UnitView::Load(load) => Some(pb::sub_task_status::Status::Load(load_to_wire(load))),
        UnitView::Sync(sync) => Some(pb::sub_task_status::Status::Sync(sync_to_wire(sync))),
    };
    pb::SubTaskStatus {
        name: id.task.to_string(),
        stage: pb::Stage::from(view.stage).into(),
        unit: view.unit.map_or(pb::UnitType::InvalidUnit, pb::UnitType::from).into(),
        result,
        unresolved_ddl_lock_id: String::new(),
        validation: None,
        delivery: "exactly-once".to_owned(),
        status,
    }
}

fn load_to_wire(load: &LoadView) -> pb::LoadStatus {
    let share = match load.total_bytes {
        0 if load.chunks_total == load.chunks_done => 100.0,
        0 => 0.0,
        total => (load.finished_bytes as f64 / total as f64 * 100.0).min(100.0),
    };
    pb::LoadStatus {
        finished_bytes: to_i64(load.finished_bytes),
        total_bytes: to_i64(load.total_bytes),
        progress: format!("{share:.2} %"),
        meta_binlog: position_text(&load.location.position),
        meta_binlog_gtid: gtid_text(&load.location),
        bps: to_i64(load.bps),
        finished_rows: to_i64(load.finished_rows),
        total_rows: to_i64(load.total_rows),
        finished_tables: to_i64(load.finished_tables),
        total_tables: to_i64(load.total_tables),
        eta_seconds: load.eta_seconds.map_or(-1, to_i64),
    }
}

fn sync_to_wire(sync: &SyncView) -> pb::SyncStatus {
    pb::SyncStatus {
        // DM keeps the event counters as deprecated copies of the row counters
        total_events: to_i64(sync.total_rows),
        total_tps: to_i64(sync.total_rps),
        recent_tps: to_i64(sync.recent_rps),
        master_binlog: position_text(&sync.source.position),
        master_binlog_gtid: gtid_text(&sync.source),
        syncer_binlog: position_text(&sync.synced.position),
        syncer_binlog_gtid: gtid_text(&sync.synced),
        blocking_dd_ls: sync.blocking_ddls.clone(),
        unresolved_groups: Vec::new(),
        synced: sync.is_synced,
        binlog_type: "remote".to_owned(),
        seconds_behind_master: to_i64(sync.seconds_behind),
        block_ddl_owner: String::new(),
        conflict_msg: String::new(),
        total_rows: to_i64(sync.total_rows),
        total_rps: to_i64(sync.total_rps),
        recent_rps: to_i64(sync.recent_rps),
        io_total_bytes: sync.io_bytes,
        dump_io_total_bytes: 0,
    }
}

fn gtid_text(location: &Location) -> String {
    location.gtid.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn to_i64(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
