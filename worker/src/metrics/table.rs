//! Every series of a worker: name, help, labels, kind, and where its values come from.
//!
//! The first part is DM's (spec 15.1) and has to stay as it is: dashboards and alert rules read it. The second is ours.

use dm_model::UnixMillis;

use super::{lag_seconds, process::ProcessMetrics, subtask::Value};
use crate::status::View;

/// Upper bounds of a histogram's buckets.
#[derive(Debug, Clone, Copy)]
pub(super) enum Buckets {
    /// First, factor, number.
    Exponential(f64, f64, u16),
    /// First, step, number.
    Linear(f64, f64, u16),
}

impl Buckets {
    pub(super) fn bounds(self) -> Vec<f64> {
        match self {
            Self::Exponential(first, factor, n) => (0..n).map(|i| first * factor.powi(i32::from(i))).collect(),
            Self::Linear(first, step, n) => (0..n).map(|i| first + step * f64::from(i)).collect(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Gauge,
    Counter,
    Histogram(Buckets),
}

/// Values of the labels beside `task`, `source_id` and `worker`, and the value.
type Samples<T> = Vec<(Vec<String>, T)>;

#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// Worked out from the subtask's view.
    View(fn(&View, UnixMillis) -> Samples<f64>),
    /// Counted in [`SubtaskMetrics`](super::subtask::SubtaskMetrics). With these values of the other labels it is there from
    /// the beginning.
    Counted,
    Process(fn(&ProcessMetrics) -> Samples<Value>),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    /// In the order in which they are printed.
    pub(super) labels: &'static [&'static str],
    pub(super) source: Source,
    /// Label values that are shown before anything was counted.
    pub(super) from_start: &'static [&'static [&'static str]],
}

/// Times of work, from 5 µs.
const TIMES: Kind = Kind::Histogram(Buckets::Exponential(0.000_005, 2.0, 25));
const SIZES: Kind = Kind::Histogram(Buckets::Exponential(16.0, 2.0, 20));
const BATCHES: Kind = Kind::Histogram(Buckets::Linear(1.0, 50.0, 21));
const PLAIN: &[&[&str]] = &[&[]];
const NONE: &[&[&str]] = &[];
const TSW: &[&str] = &["task", "source_id", "worker"];
const TWS: &[&str] = &["task", "worker", "source_id"];
const TS: &[&str] = &["task", "source_id"];
const EXITS: &[&[&str]] = &[&["true"], &["false"]];
/// What a source transaction does to rows, DDL, and rows of lanes that carry progress only.
const JOBS: &[&[&str]] = &[
    &["insert", "q_0", "", ""],
    &["update", "q_0", "", ""],
    &["delete", "q_0", "", ""],
    &["ddl", "q_0", "", ""],
    &["flush", "q_0", "", ""],
    &["asyncFlush", "q_0", "", ""],
    &["conflict", "q_0", "", ""],
    &["compact", "q_0", "", ""],
];
const JOB_LABELS: &[&str] = &["type", "task", "queueNo", "source_id", "worker", "target_schema", "target_table"];

const fn view(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    read: fn(&View, UnixMillis) -> Samples<f64>,
) -> Series {
    Series { name, help, kind: Kind::Gauge, labels, source: Source::View(read), from_start: NONE }
}

const fn counted(
    name: &'static str,
    help: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    from_start: &'static [&'static [&'static str]],
) -> Series {
    Series { name, help, kind, labels, source: Source::Counted, from_start }
}

const fn process(
    name: &'static str,
    help: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    read: fn(&ProcessMetrics) -> Samples<Value>,
) -> Series {
    Series { name, help, kind, labels, source: Source::Process(read), from_start: NONE }
}

fn one(value: f64) -> Samples<f64> {
    vec![(Vec::new(), value)]
}

/// Master's and ours.
fn nodes(master: f64, syncer: f64) -> Samples<f64> {
    vec![(vec!["master".to_owned()], master), (vec!["syncer".to_owned()], syncer)]
}

fn positions(view: &View, of: fn(&dm_model::BinlogPosition) -> f64) -> Samples<f64> {
    match view.sync() {
        Some(sync) => nodes(of(&sync.source.position), of(&sync.synced.position)),
        None => nodes(0.0, of(&view.progress.location.position)),
    }
}

/// The number in a binlog file's name.
fn file_number(position: &dm_model::BinlogPosition) -> f64 {
    position.file.rsplit('.').next().and_then(|number| number.parse().ok()).unwrap_or(0.0)
}

fn of_sync(view: &View, read: fn(&crate::status::SyncView) -> f64) -> Samples<f64> {
    one(view.sync().map_or(0.0, read))
}

pub(super) const SERIES: [Series; 49] = [
    view(
        "worker_task_state",
        "state of the subtask: 1 new, 2 running, 3 paused, 4 stopped, 5 finished",
        TSW,
        |view, _| one(f64::from(view.stage.number())),
    ),
    process(
        "worker_operate_error",
        "operations on subtasks that failed",
        Kind::Counter,
        &["worker", "type"],
        ProcessMetrics::operate_errors,
    ),
    process(
        "worker_cpu_usage",
        "the share of one CPU that this worker uses, in percent",
        Kind::Gauge,
        &[],
        |process| vec![(Vec::new(), Value::Gauge(process.cpu_percent()))],
    ),
    counted(
        "dumpling_exit_with_error_count",
        "runs of the full copy that trouble with the source has ended",
        Kind::Counter,
        &["task", "source_id", "resumable_err"],
        EXITS,
    ),
    counted(
        "loader_exit_with_error_count",
        "runs of the full copy that trouble with the target has ended",
        Kind::Counter,
        &["task", "source_id", "resumable_err"],
        EXITS,
    ),
    counted("syncer_read_binlog_duration", "time until the source's next event is here", TIMES, TS, PLAIN),
    counted("syncer_binlog_event_size", "bytes of a binlog event", SIZES, TWS, PLAIN),
    counted(
        "syncer_binlog_transform_cost",
        "time to make statements of an event, or to execute them",
        TIMES,
        &["stage", "task", "worker", "source_id"],
        &[
            &["ddl-exec"],
            &["dml-exec"],
            &["gen-write-rows"],
            &["gen-update-rows"],
            &["gen-delete-rows"],
            &["gen-query"],
        ],
    ),
    counted("syncer_conflict_detect_duration", "not told apart here: part of dispatch", TIMES, TS, PLAIN),
    counted(
        "syncer_add_job_duration",
        "time that rows wait for a lane",
        TIMES,
        &["type", "task", "queueNo", "source_id"],
        &[&["dml", "q_0"]],
    ),
    counted(
        "syncer_dispatch_binlog_duration",
        "time from an event's bytes to rows in order",
        TIMES,
        &["type", "task", "source_id"],
        &[&["rows"], &["query"]],
    ),
    counted(
        "syncer_skip_binlog_duration",
        "time for events that rules leave out",
        Kind::Histogram(Buckets::Exponential(0.000_000_5, 2.0, 25)),
        &["type", "task", "source_id"],
        &[&["rows"], &["query"]],
    ),
    counted("syncer_added_jobs_total", "changes handed to lanes", Kind::Counter, JOB_LABELS, JOBS),
    counted("syncer_finished_jobs_total", "changes committed", Kind::Counter, JOB_LABELS, JOBS),
    counted("syncer_ideal_qps", "rows per second if all lanes were busy", Kind::Gauge, TWS, PLAIN),
    counted(
        "syncer_queue_size",
        "transactions that a lane has taken and not answered",
        Kind::Gauge,
        &["task", "queue_id", "source_id"],
        &[&["q_0"]],
    ),
    view("syncer_binlog_pos", "offset in the binlog file", &["node", "task", "source_id"], |view, _| {
        positions(view, |position| position.offset as f64)
    }),
    view("syncer_binlog_file", "number of the binlog file", &["node", "task", "source_id"], |view, _| {
        positions(view, file_number)
    }),
    counted(
        "syncer_binlog_event_row",
        "rows of a binlog event",
        Kind::Histogram(Buckets::Linear(0.0, 100.0, 101)),
        &["worker", "task", "source_id"],
        PLAIN,
    ),
    counted("syncer_txn_duration_time", "time of a target transaction, retries included", TIMES, TWS, PLAIN),
    counted("syncer_query_duration_time", "time of a question about a structure", TIMES, TWS, PLAIN),
    counted(
        "syncer_stmt_duration_time",
        "time of a part of a target transaction",
        TIMES,
        &["type", "task"],
        &[&["begin"], &["stmt"], &["commit"], &["rollback"]],
    ),
    counted(
        "syncer_exit_with_error_count",
        "runs of replication that an error has ended",
        Kind::Counter,
        &["task", "source_id", "resumable_err"],
        EXITS,
    ),
    view(
        "syncer_replication_lag_gauge",
        "seconds since the newest moment of which everything is in the target",
        TSW,
        |view, now| one(lag_seconds(view, now)),
    ),
    counted(
        "syncer_replication_lag",
        "the same, sampled",
        Kind::Histogram(Buckets::Exponential(0.5, 2.0, 12)),
        TSW,
        PLAIN,
    ),
    view("syncer_remaining_time", "seconds until the source is caught up with, -1 when not known", TSW, |view, _| {
        one(view.sync().map_or(-1.0, |sync| sync.remaining_seconds.map_or(-1.0, |seconds| seconds as f64)))
    }),
    counted(
        "syncer_unsynced_table_number",
        "tables that wait for a shard DDL",
        Kind::Gauge,
        &["task", "table", "source_id"],
        NONE,
    ),
    view("syncer_shard_lock_resolving", "1 while waiting for a shard DDL", TS, |_, _| one(0.0)),
    counted("syncer_finished_transaction_total", "target transactions committed", Kind::Counter, TWS, PLAIN),
    counted(
        "syncer_replication_transaction_batch",
        "what is in a target transaction",
        BATCHES,
        &["worker", "task", "source_id", "queueNo", "type"],
        &[&["q_0", "statements"], &["q_0", "rows"]],
    ),
    counted(
        "syncer_flush_checkpoints_time_interval",
        "seconds between two moments at which the target says how far it is",
        BATCHES,
        &["worker", "task", "source_id"],
        PLAIN,
    ),
    // ours
    view("loader_progress", "share of the full copy that is done, 0 to 1", TSW, |view, _| {
        one(match view.load() {
            Some(load) if load.chunks_done == load.chunks_total && load.chunks_total > 0 => 1.0,
            Some(load) if load.total_bytes > 0 => (load.finished_bytes as f64 / load.total_bytes as f64).min(1.0),
            Some(_) => 0.0,
            // replication follows a copy that is complete
            None => f64::from(u8::from(view.sync().is_some())),
        })
    }),
    view("loader_finished_rows", "rows that the full copy has written", TSW, |view, _| {
        one(view.load().map_or(0.0, |load| load.finished_rows as f64))
    }),
    view("loader_estimated_rows", "rows that the full copy will write, estimated", TSW, |view, _| {
        one(view.load().map_or(0.0, |load| load.total_rows as f64))
    }),
    view("loader_finished_bytes", "bytes that the full copy has written", TSW, |view, _| one(view.copied_bytes as f64)),
    view("loader_bytes_per_second", "recent rate of the full copy", TSW, |view, _| {
        one(view.load().map_or(0.0, |load| load.bps as f64))
    }),
    view("loader_remaining_time", "seconds until the full copy is complete, -1 when not known", TSW, |view, _| {
        one(view.load().and_then(|load| load.eta_seconds).map_or(-1.0, |seconds| seconds as f64))
    }),
    view("loader_chunks", "chunks of the full copy", &["task", "source_id", "worker", "state"], |view, _| {
        let (done, total) = (view.progress.chunks_done, view.progress.chunks_total);
        vec![(vec!["done".to_owned()], done as f64), (vec!["left".to_owned()], total.saturating_sub(done) as f64)]
    }),
    view("fence_epoch", "fencing token under which the subtask runs", TSW, |view, _| one(view.epoch.0 as f64)),
    view("fence_watermark_unit", "largest unit that an acknowledged lane row says is committed", TSW, |view, _| {
        one(view.progress.low as f64)
    }),
    view("fence_lost", "1 when a later owner was found in the target", TSW, |view, _| {
        one(f64::from(u8::from(view.fenced)))
    }),
    counted("fence_takeovers_total", "times the target was taken over", Kind::Counter, TSW, PLAIN),
    view("lanes_open", "lanes with a connection", TSW, |view, _| of_sync(view, |sync| sync.n_lanes_open as f64)),
    view("lanes_busy", "lanes with a transaction in flight", TSW, |view, _| {
        of_sync(view, |sync| sync.n_lanes_busy as f64)
    }),
    view("window_units", "units between the watermark and the newest that was read; 16384 blocks", TSW, |view, _| {
        of_sync(view, |sync| sync.window_used as f64)
    }),
    view("window_bytes", "bytes of units that are read and not committed", TSW, |view, _| {
        of_sync(view, |sync| sync.n_bytes_in_flight as f64)
    }),
    view(
        "syncer_remaining_bytes",
        "bytes of binlog between the target and the source's end, -1 when not known",
        TSW,
        |view, _| one(view.sync().map_or(-1.0, |sync| sync.remaining_bytes.map_or(-1.0, |bytes| bytes as f64))),
    ),
    counted("syncer_finished_rows_total", "row changes committed", Kind::Counter, TSW, PLAIN),
    counted("syncer_read_bytes_total", "bytes of binlog read", Kind::Counter, TSW, PLAIN),
];
