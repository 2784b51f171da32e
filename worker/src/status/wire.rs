//! Views in the wire's form, field by field as DM's `query-status` has them (spec 17). Pure.

use dm_model::{Location, Stage, SubtaskId, UnixMillis};
use dm_proto::{convert::position_text, pb, session};

use super::view::{LoadView, Pause, SyncView, TableView, UnitView, View};

/// Tables named in one report: it goes out with every heartbeat.
const MAX_TABLES: usize = 20;

pub(super) fn report(id: &SubtaskId, view: &View, now: UnixMillis) -> session::SubtaskReport {
    session::SubtaskReport {
        task: id.task.to_string(),
        source: id.source.to_string(),
        epoch: view.epoch.0,
        status: Some(status(id, view, now)),
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

fn status(id: &SubtaskId, view: &View, now: UnixMillis) -> pb::SubTaskStatus {
    let (result, resumes_in_seconds) = match &view.pause {
        None if view.stage == Stage::Finished => (Some(pb::ProcessResult::default()), 0),
        None => (None, 0),
        Some(Pause::Operator) => (Some(pb::ProcessResult::canceled()), 0),
        Some(Pause::Error { report, resumes_at }) => {
            let seconds = resumes_at.map_or(-1, |at| (at.0 - now.0).max(0) / 1_000);
            (Some(pb::ProcessResult::failed([report])), seconds)
        }
    };
    let status = match &view.unit_view {
        UnitView::None => None,
        UnitView::Message(text) => Some(pb::sub_task_status::Status::Msg(text.clone())),
        UnitView::Load(it) => Some(pb::sub_task_status::Status::Load(load(view, it))),
        UnitView::Sync(it) => Some(pb::sub_task_status::Status::Sync(sync(view, it, now))),
    };
    pb::SubTaskStatus {
        name: id.task.to_string(),
        stage: pb::Stage::from(view.stage).into(),
        unit: view.unit.map_or(pb::UnitType::InvalidUnit, pb::UnitType::from).into(),
        result,
        unresolved_ddl_lock_id: String::new(),
        validation: None,
        delivery: "exactly-once".to_owned(),
        resumes_in_seconds,
        // the leader knows when it came
        report_age_ms: 0,
        status,
    }
}

/// What a unit writes while it runs is not true of a subtask that does not.
fn moves(view: &View) -> bool {
    matches!(view.stage, Stage::Running)
}

fn load(view: &View, load: &LoadView) -> pb::LoadStatus {
    let moves = moves(view);
    // nothing planned yet is not all done
    let is_done = load.chunks_done == load.chunks_total && (load.chunks_total > 0 || view.stage == Stage::Finished);
    pb::LoadStatus {
        finished_bytes: to_i64(load.finished_bytes),
        total_bytes: to_i64(load.total_bytes),
        progress: share(load.finished_bytes, load.total_bytes, is_done),
        meta_binlog: position_text(&load.location.position),
        meta_binlog_gtid: gtid_text(&load.location),
        bps: if moves { to_i64(load.bps) } else { 0 },
        finished_rows: to_i64(load.finished_rows),
        estimate_total_rows: to_i64(load.total_rows),
        completed_tables: to_i64(load.finished_tables),
        total_tables: to_i64(load.total_tables),
        eta_seconds: match load.eta_seconds {
            Some(seconds) if moves => to_i64(seconds),
            Some(_) | None if view.stage == Stage::Finished => 0,
            Some(_) | None => -1,
        },
        tables: load.tables.iter().take(MAX_TABLES).map(table).collect(),
        tables_not_shown: to_i64(load.total_tables.saturating_sub(load.tables.len().min(MAX_TABLES) as u64)),
    }
}

fn table(table: &TableView) -> pb::TableProgress {
    let is_done = table.chunks_done == table.chunks_total;
    pb::TableProgress {
        table: table.table.to_string(),
        progress: share(table.finished_rows, table.total_rows, is_done),
        finished_rows: to_i64(table.finished_rows),
        estimate_total_rows: to_i64(table.total_rows),
        finished_bytes: to_i64(table.finished_bytes),
        finished_chunks: to_i64(table.chunks_done),
        total_chunks: to_i64(table.chunks_total),
    }
}

/// DM's form. Only what is complete is shown as 100 %.
fn share(done: u64, total: u64, is_complete: bool) -> String {
    let percent = match total {
        _ if is_complete => 100.0,
        0 => 0.0,
        total => (done as f64 / total as f64 * 100.0).min(99.99),
    };
    format!("{percent:.2} %")
}

fn sync(view: &View, sync: &SyncView, now: UnixMillis) -> pb::SyncStatus {
    let moves = moves(view);
    let recent = if moves { to_i64(sync.recent_rps) } else { 0 };
    let unknown = |n: Option<u64>| n.map_or(-1, to_i64);
    // nobody asks the source any more
    let is_asked = view.source_error.is_none();
    pb::SyncStatus {
        // DM keeps the event counters as deprecated copies of the row counters
        total_events: to_i64(sync.total_rows),
        total_tps: to_i64(sync.total_rps),
        recent_tps: recent,
        master_binlog: if is_asked { position_text(&sync.source.position) } else { String::new() },
        master_binlog_gtid: if is_asked { gtid_text(&sync.source) } else { String::new() },
        syncer_binlog: position_text(&sync.synced.position),
        syncer_binlog_gtid: gtid_text(&sync.synced),
        // shard DDL locks: of merges that this version does not coordinate
        blocking_dd_ls: Vec::new(),
        unresolved_groups: Vec::new(),
        block_ddl_owner: String::new(),
        conflict_msg: String::new(),
        synced: moves && is_asked && sync.is_synced,
        binlog_type: "remote".to_owned(),
        seconds_behind_master: to_i64(view.lag_ms(now).unwrap_or(0) / 1_000),
        total_rows: to_i64(sync.total_rows),
        total_rps: to_i64(sync.total_rps),
        recent_rps: recent,
        io_total_bytes: sync.io_bytes,
        dump_io_total_bytes: view.copied_bytes,
        blocked_on: sync.blocked_on.clone().filter(|_| moves).unwrap_or_default(),
        units_in_flight: to_i64(sync.n_units_in_flight),
        bytes_in_flight: to_i64(sync.n_bytes_in_flight),
        open_lanes: to_i64(sync.n_lanes_open),
        busy_lanes: to_i64(sync.n_lanes_busy),
        remaining_bytes: unknown(sync.remaining_bytes),
        remaining_seconds: unknown(sync.remaining_seconds.filter(|_| moves)),
        filtered_rows: to_i64(sync.n_rows_filtered),
        safe_mode: sync.safe_mode,
    }
}

fn gtid_text(location: &Location) -> String {
    location.gtid.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn to_i64(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
