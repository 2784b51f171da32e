//! Fields of `query-status` that depend on the state of the subtask.

use dm_model::{
    BinlogPosition, Epoch, SourceId, TableName, TaskName, UnitKind,
    error::{Class, Code, Level, Report, Retry, Scope},
};
use dm_proto::pb::sub_task_status::Status;

use super::*;
use crate::status::Board;

fn id() -> SubtaskId {
    SubtaskId::new(TaskName::parse("shop").unwrap(), SourceId::parse("s1").unwrap())
}

fn view(unit_view: UnitView) -> View {
    let mut view = Board::new().open(id(), Epoch(3), 1).read();
    view.stage = Stage::Running;
    view.unit = Some(UnitKind::Sync);
    view.unit_view = unit_view;
    view
}

fn sync_of(view: &View, now_secs: i64) -> pb::SyncStatus {
    match status(&id(), view, UnixMillis(now_secs * 1_000)).status {
        Some(Status::Sync(sync)) => sync,
        other => panic!("{other:?}"),
    }
}

fn load_of(view: &View) -> pb::LoadStatus {
    match status(&id(), view, UnixMillis(0)).status {
        Some(Status::Load(load)) => load,
        other => panic!("{other:?}"),
    }
}

fn caught_up() -> View {
    let place = Location::new(BinlogPosition { file: "bin.000003".into(), offset: 1234 }, None);
    let mut view = view(UnitView::Sync(SyncView {
        source: place.clone(),
        synced: place,
        is_synced: true,
        total_rows: 12,
        recent_rps: 3,
        remaining_bytes: Some(0),
        remaining_seconds: Some(0),
        ..SyncView::default()
    }));
    view.progress.applied_until = Some(UnixMillis(100_000));
    view
}

#[test]
fn a_running_subtask_that_is_caught_up() {
    let sync = sync_of(&caught_up(), 100);
    assert!(sync.synced);
    assert_eq!(
        (sync.master_binlog.as_str(), sync.syncer_binlog.as_str()),
        ("(bin.000003, 1234)", "(bin.000003, 1234)")
    );
    assert_eq!((sync.total_rows, sync.total_events, sync.recent_rps, sync.recent_tps), (12, 12, 3, 3));
    assert_eq!((sync.seconds_behind_master, sync.binlog_type.as_str()), (0, "remote"));
}

#[test]
fn a_paused_subtask_falls_behind_and_its_rates_are_none() {
    let mut paused = caught_up();
    paused.stage = Stage::Paused;
    paused.pause = Some(Pause::Operator);
    let sync = sync_of(&paused, 160);
    assert_eq!((sync.seconds_behind_master, sync.recent_rps, sync.synced), (60, 0, false));
    assert_eq!(sync.remaining_seconds, -1);
    let status = status(&id(), &paused, UnixMillis(0));
    assert!(status.result.unwrap().is_canceled);
    assert_eq!(status.resumes_in_seconds, 0);
}

#[test]
fn a_pause_by_an_error_says_what_and_when_it_is_tried_again() {
    let code = Code::new(10002, Class::Database, Scope::Downstream, Level::High, "check it");
    let report = Report::new(code, Retry::Backoff, "no answer").with_cause("timeout");
    let mut paused = caught_up();
    paused.stage = Stage::Paused;
    let mut shown = |resumes_at| {
        paused.pause = Some(Pause::Error { report: report.clone(), resumes_at });
        status(&id(), &paused, UnixMillis(5_000))
    };
    let soon = shown(Some(UnixMillis(12_500)));
    assert_eq!(soon.resumes_in_seconds, 7);
    let error = &soon.result.unwrap().errors[0];
    assert_eq!((error.err_code, error.err_class.as_str(), error.err_scope.as_str()), (10002, "database", "downstream"));
    assert_eq!((error.err_level.as_str(), error.message.as_str()), ("high", "no answer"));
    assert_eq!((error.raw_cause.as_str(), error.workaround.as_str()), ("timeout", "check it"));
    assert_eq!(shown(None).resumes_in_seconds, -1);
}

#[test]
fn a_silent_source_leaves_the_masters_fields_empty() {
    let mut silent = caught_up();
    let code = Code::new(10002, Class::Database, Scope::Upstream, Level::High, "");
    silent.source_error = Some(Report::new(code, Retry::Backoff, "no answer"));
    let sync = sync_of(&silent, 100);
    assert_eq!((sync.master_binlog.as_str(), sync.synced), ("", false));
    assert_eq!(sync.syncer_binlog, "(bin.000003, 1234)");
}

fn copying() -> LoadView {
    LoadView {
        finished_bytes: 999_999,
        total_bytes: 1_000_000,
        finished_rows: 10,
        total_rows: 20,
        total_tables: 25,
        finished_tables: 3,
        chunks_done: 4,
        chunks_total: 9,
        bps: 100,
        eta_seconds: Some(1),
        tables: (0..25)
            .map(|n| super::super::view::TableView {
                table: TableName::new("s", format!("t{n}")),
                finished_rows: 1,
                total_rows: 4,
                finished_bytes: 9,
                chunks_done: 1,
                chunks_total: 2,
            })
            .collect(),
        ..LoadView::default()
    }
}

#[test]
fn a_copy_shows_its_rate_its_end_and_its_tables() {
    let load = load_of(&view(UnitView::Load(copying())));
    assert_eq!((load.bps, load.eta_seconds), (100, 1));
    assert_eq!(load.progress, "99.99 %", "only what is complete is all");
    assert_eq!((load.completed_tables, load.total_tables), (3, 25));
    assert_eq!((load.finished_rows, load.estimate_total_rows), (10, 20));
    assert_eq!((load.tables.len(), load.tables_not_shown), (20, 5));
    assert_eq!((load.tables[0].table.as_str(), load.tables[0].progress.as_str()), ("`s`.`t0`", "25.00 %"));
}

#[test]
fn a_copy_that_is_not_planned_yet_is_not_complete() {
    let load = load_of(&view(UnitView::Load(LoadView::default())));
    assert_eq!((load.progress.as_str(), load.eta_seconds), ("0.00 %", -1));
}

#[test]
fn a_paused_copy_has_no_rate_and_a_finished_one_no_time_left() {
    let mut view = view(UnitView::Load(copying()));
    view.stage = Stage::Paused;
    assert_eq!((load_of(&view).bps, load_of(&view).eta_seconds), (0, -1));
    view.stage = Stage::Finished;
    view.unit_view = UnitView::Load(LoadView { chunks_done: 9, eta_seconds: None, ..copying() });
    let status = status(&id(), &view, UnixMillis(0));
    assert_eq!(status.result, Some(pb::ProcessResult::default()));
    assert_eq!((load_of(&view).progress.as_str(), load_of(&view).eta_seconds), ("100.00 %", 0));
}

#[test]
fn replication_keeps_what_the_copy_before_it_has_written() {
    let cell = Board::new().open(id(), Epoch(3), 1);
    cell.update(|view| view.unit_view = UnitView::Load(copying()));
    cell.announce(|view| view.unit_view = UnitView::Sync(SyncView::default()));
    assert_eq!(sync_of(&cell.read(), 0).dump_io_total_bytes, 999_999);
}

#[test]
fn errors_of_sources_are_reported_once_a_source() {
    let board = Board::new();
    let code = Code::new(10002, Class::Database, Scope::Upstream, Level::High, "");
    for task in ["a", "b"] {
        let id = SubtaskId::new(TaskName::parse(task).unwrap(), SourceId::parse("s1").unwrap());
        board.open(id, Epoch(1), 1).update(|view| {
            view.stage = Stage::Running;
            view.source_error = Some(Report::new(code, Retry::Backoff, "no answer"));
        });
    }
    let reports = board.source_reports();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].result.as_ref().unwrap().errors[0].err_code, 10002);
}
