//! Lag, positions and rates in every situation a stream can be in.

use std::sync::Arc;

use dm_fence::UnitNumber;
use dm_model::{
    Epoch, SourceId, Stage, SubtaskId, TaskName,
    error::{Report, Retry},
};
use dm_sync_core::engine::{Lag, Reached};

use super::*;
use crate::status::Board;

fn at(file: u32, offset: u64) -> Location {
    Location::new(BinlogPosition { file: format!("bin.{file:06}"), offset }, None)
}

/// Read and committed up to the same place; the last transaction was made at 1 000 s of the source's clock.
fn status(location: Location) -> Status {
    Status {
        counters: Counters::default(),
        read: location.clone(),
        read_unit: UnitNumber(7),
        reached: Reached { low: UnitNumber(7), location, src_ts: Some(UnixMillis(1_000_000)) },
        lag: Lag {
            oldest_uncommitted: None,
            last_committed: Some(UnixMillis(1_000_000)),
            last_read: Some(UnixMillis(1_000_000)),
        },
        n_units_in_flight: 0,
        n_bytes_in_flight: 0,
        n_lanes_open: 1,
        n_lanes_busy: 0,
        safe_mode: false,
        blocked_on: None,
        stopping: None,
    }
}

fn source(location: Location) -> SourceEnd {
    SourceEnd { location, ..SourceEnd::default() }
}

/// What the source says, what the engine says, and the seconds of our clock at which both are looked at.
fn shown(status: &Status, source: &SourceEnd, now_secs: i64) -> View {
    let id = SubtaskId::new(TaskName::parse("t").unwrap(), SourceId::parse("s").unwrap());
    let cell = Board::new().open(id, Epoch(1), 1);
    let metrics = Arc::clone(cell.metrics());
    let mut view = cell.read();
    view.stage = Stage::Running;
    show(&mut view, status, source, UnixMillis(now_secs * 1_000), 0, &mut Totals::new(0), &metrics);
    view
}

fn lag_secs(view: &View, now_secs: i64) -> u64 {
    view.lag_ms(UnixMillis(now_secs * 1_000)).unwrap() / 1_000
}

#[test]
fn idle_is_not_behind_however_old_the_last_transaction_is() {
    let (status, source) = (status(at(1, 500)), source(at(1, 500)));
    for now in [1_000, 5_000, 90_000] {
        let view = shown(&status, &source, now);
        assert_eq!(lag_secs(&view, now), 0);
        let sync = view.sync().unwrap();
        assert!(sync.is_synced);
        assert_eq!((sync.remaining_bytes, sync.remaining_seconds), (Some(0), Some(0)));
    }
}

#[test]
fn behind_is_measured_from_the_oldest_transaction_that_is_not_committed() {
    let mut status = status(at(1, 500));
    status.read = at(1, 900);
    status.n_units_in_flight = 3;
    status.lag.oldest_uncommitted = Some(UnixMillis(1_010_000));
    status.lag.last_read = Some(UnixMillis(1_050_000));
    let view = shown(&status, &source(at(1, 2_000)), 1_100);
    assert_eq!(lag_secs(&view, 1_100), 90);
    assert_eq!(lag_secs(&view, 1_200), 190, "it grows with nobody renewing it");
    assert_eq!(view.sync().unwrap().synced, at(1, 500), "what is in flight is not said to be there");
    assert_eq!(view.sync().unwrap().remaining_bytes, Some(1_500));
}

#[test]
fn a_backlog_that_is_not_read_yet_counts_from_what_was_read_last() {
    let view = shown(&status(at(1, 500)), &source(at(1, 2_000)), 1_060);
    assert_eq!(lag_secs(&view, 1_060), 60);
    assert!(!view.sync().unwrap().is_synced);
}

#[test]
fn a_source_whose_clock_is_ahead_or_behind_changes_nothing() {
    let mut status = status(at(1, 500));
    status.n_units_in_flight = 1;
    status.lag.oldest_uncommitted = Some(UnixMillis(1_000_000));
    for ahead_secs in [-3_600, -5, 0, 5, 3_600] {
        let mut source = source(at(1, 600));
        source.clock_ahead_ms = ahead_secs * 1_000;
        // the source made it 30 s ago
        let now = 1_000 - ahead_secs + 30;
        assert_eq!(lag_secs(&shown(&status, &source, now), now), 30, "{ahead_secs}");
    }
}

#[test]
fn a_source_that_is_silent_is_not_said_to_be_caught_up_with() {
    let mut source = source(at(1, 500));
    source.answered_at = Some(UnixMillis(2_000_000));
    let code = dm_mysql::error::BAD_CONNECTION;
    source.error = Some(Report::new(code, Retry::Backoff, "no answer"));
    let view = shown(&status(at(1, 500)), &source, 2_040);
    assert_eq!(lag_secs(&view, 2_040), 40, "it may have gone on since its last answer");
    assert!(!view.sync().unwrap().is_synced);
    assert!(view.source_error.is_some());
}

#[test]
fn without_any_time_known_there_is_no_lag_and_what_was_known_stays() {
    let mut unknown = status(at(1, 500));
    unknown.lag = Lag::default();
    assert_eq!(shown(&unknown, &source(at(1, 900)), 50).lag_ms(UnixMillis(50_000)), None);
}

#[test]
fn a_stream_opened_by_gtid_does_not_pull_the_position_back() {
    let by_gtid = |offset, set: &str| {
        let mut location = at(1, offset);
        location.gtid = Some(dm_model::GtidSet::parse(dm_model::Flavor::MariaDb, set).unwrap());
        location
    };
    let head = by_gtid(328, "0-1-9");
    let idle = shown(&status(head.clone()), &source(by_gtid(7_000, "0-1-9")), 1_000);
    assert_eq!(idle.sync().unwrap().synced, by_gtid(7_000, "0-1-9"));
    let (known, newer) = (by_gtid(7_000, "0-1-9"), by_gtid(500, "0-1-10"));
    assert_eq!(furthest(&head, &known), &known);
    assert_eq!(furthest(&newer, &known), &newer, "more transactions say more than a position");
    assert_eq!(furthest(&at(1, 500), &at(1, 400)), &at(1, 500));
}

#[test]
fn remaining_bytes_go_over_files() {
    let mut source = source(at(3, 100));
    let file = |n: u32, n_bytes| BinlogFile { name: format!("bin.{n:06}"), n_bytes };
    source.files = Arc::new(vec![file(1, 1_000), file(2, 2_000), file(3, 50)]);
    assert_eq!(remaining_bytes(&at(1, 400).position, &source), Some(600 + 2_000 + 100));
    assert_eq!(remaining_bytes(&at(3, 40).position, &source), Some(60));
    assert_eq!(remaining_bytes(&at(0, 40).position, &source), None, "a file that is gone");
}

#[test]
fn rates_are_recent_and_totals_go_on_over_runs() {
    let id = SubtaskId::new(TaskName::parse("t").unwrap(), SourceId::parse("s").unwrap());
    let cell = Board::new().open(id, Epoch(1), 1);
    let metrics = Arc::clone(cell.metrics());
    let mut view = cell.read();
    for run in 1..=2 {
        let mut totals = Totals::new(0);
        for second in 0..=10u64 {
            let mut status = status(at(1, 500));
            // a hundred rows a second for five seconds, then nothing
            status.counters.n_rows_committed = 100 * second.min(5);
            show(&mut view, &status, &source(at(1, 500)), UnixMillis(0), second * 1_000, &mut totals, &metrics);
            let sync = view.sync().unwrap();
            match second {
                5 => assert_eq!((sync.recent_rps, sync.total_rps), (100, 100)),
                10 => assert_eq!((sync.recent_rps, sync.total_rps), (0, 50)),
                _ => {}
            }
        }
        assert_eq!(view.sync().unwrap().total_rows, 500 * run);
        assert_eq!(metrics.count("syncer_finished_rows_total", &[]), 500 * run);
    }
}
