//! The values of a subtask's status.

use dm_model::{BinlogPosition, Epoch, Location, Stage, TableName, UnitKind, UnixMillis, error::Report};

/// Why a subtask is not running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pause {
    /// An operator asked for it.
    Operator,
    Error {
        report: Report,
        /// When it is tried again without a person; `None`: not.
        resumes_at: Option<UnixMillis>,
    },
}

/// Progress of the full copy. Bytes are those of the statements' values, so that done and total are of one measure.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadView {
    pub finished_bytes: u64,
    /// An estimate until the copy is complete.
    pub total_bytes: u64,
    pub finished_rows: u64,
    /// An estimate until the copy is complete.
    pub total_rows: u64,
    pub finished_tables: u64,
    pub total_tables: u64,
    pub chunks_done: u64,
    pub chunks_total: u64,
    /// Bytes per second, recent.
    pub bps: u64,
    /// `None` while nothing moves.
    pub eta_seconds: Option<u64>,
    /// The oldest snapshot position: where sync goes on.
    pub location: Location,
    /// The first of the tables: those being copied, then those that wait, then those that are done.
    pub tables: Vec<TableView>,
}

/// One table of the full copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableView {
    pub table: TableName,
    pub finished_rows: u64,
    pub total_rows: u64,
    pub finished_bytes: u64,
    pub chunks_done: u64,
    pub chunks_total: u64,
}

/// Progress of replication.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SyncView {
    /// Where the source's own log ends, as last asked; empty while the source does not answer.
    pub source: Location,
    /// Everything up to here is committed in the target.
    pub synced: Location,
    pub is_synced: bool,
    /// Rows written, over all runs on this worker.
    pub total_rows: u64,
    pub recent_rps: u64,
    /// Since this run began.
    pub total_rps: u64,
    /// Binlog bytes read, over all runs on this worker.
    pub io_bytes: u64,
    /// Why no event is read.
    pub blocked_on: Option<String>,
    pub n_units_in_flight: u64,
    pub n_bytes_in_flight: u64,
    pub n_lanes_open: u64,
    pub n_lanes_busy: u64,
    pub n_rows_filtered: u64,
    /// Span of the unit window that is in use: newest unit read minus low.
    pub window_used: u64,
    /// Of the source's binlog, from what is committed to its end.
    pub remaining_bytes: Option<u64>,
    pub remaining_seconds: Option<u64>,
    pub safe_mode: bool,
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
    /// What the source had committed up to this moment, by our clock, is in the target. Lag is the time since.
    pub applied_until: Option<UnixMillis>,
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
    /// The source does not answer questions about itself.
    pub source_error: Option<Report>,
    /// Bytes that the full copy of this subtask has written; kept when replication follows.
    pub copied_bytes: u64,
    /// Rows that replication has written, over all runs on this worker.
    pub n_rows_synced: u64,
    /// Bytes of binlog that replication has read, over all runs on this worker.
    pub n_bytes_read: u64,
}

impl View {
    pub(super) fn new(epoch: Epoch, wanted_revision: u64) -> Self {
        Self {
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
            source_error: None,
            copied_bytes: 0,
            n_rows_synced: 0,
            n_bytes_read: 0,
        }
    }

    pub fn load(&self) -> Option<&LoadView> {
        match &self.unit_view {
            UnitView::Load(load) => Some(load),
            UnitView::Sync(_) | UnitView::Message(_) | UnitView::None => None,
        }
    }

    pub fn sync(&self) -> Option<&SyncView> {
        match &self.unit_view {
            UnitView::Sync(sync) => Some(sync),
            UnitView::Load(_) | UnitView::Message(_) | UnitView::None => None,
        }
    }

    /// Milliseconds between now and the newest moment of which everything is in the target; `None` before replication.
    /// Grows whenever nothing renews that moment: behind, blocked, paused, or a unit that hangs.
    pub fn lag_ms(&self, now: UnixMillis) -> Option<u64> {
        self.sync()?;
        let until = self.progress.applied_until?;
        Some(u64::try_from(now.0 - until.0).unwrap_or(0))
    }

    /// Nobody asks the source while the subtask does not run.
    pub(super) fn shown_source_error(&self) -> Option<&Report> {
        self.source_error.as_ref().filter(|_| self.stage == Stage::Running)
    }

    pub(super) fn remember(&mut self) {
        if let Some(load) = self.load() {
            self.copied_bytes = load.finished_bytes;
        }
    }
}
