//! What the driver's doings are counted as, under DM's names. Counts only; nothing here decides anything.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use dm_sync_core::{
    batch::Batch,
    change::{ChangeKind, RowChange},
    engine::Counters,
    mapping::Mapping,
};
use prometheus_client::metrics::histogram::Histogram;

use super::lane::{Job, What};
use crate::metrics::subtask::SubtaskMetrics;

/// See the module. One per incarnation; the counters it feeds are the subtask's and go on.
#[derive(Debug)]
pub(super) struct Meter {
    metrics: Arc<SubtaskMetrics>,
    often: Often,
    /// What each lane works on.
    jobs: HashMap<u16, Given>,
    idle_since: Instant,
    committed_at: Option<Instant>,
    /// When questions about structures were asked that are not answered yet; they are answered in order.
    asked: VecDeque<Instant>,
    /// Of all transactions of this incarnation.
    busy_secs: f64,
    n_rows: u64,
    before: Counters,
}

/// Seen with every event, so found once.
#[derive(Debug)]
struct Often {
    read: Option<Histogram>,
    size: Option<Histogram>,
    rows: Option<Histogram>,
    dispatch_rows: Option<Histogram>,
    dispatch_query: Option<Histogram>,
}

#[derive(Debug)]
struct Given {
    since: Instant,
    queue: String,
    is_ddl: bool,
    n_rows: u64,
    counts: Vec<Count>,
}

/// Changes of one kind to one table.
#[derive(Debug)]
struct Count {
    kind: &'static str,
    schema: String,
    table: String,
    n: u64,
}

fn observe(histogram: Option<&Histogram>, seen: f64) {
    if let Some(histogram) = histogram {
        histogram.observe(seen);
    }
}

impl Meter {
    pub(super) fn new(metrics: Arc<SubtaskMetrics>) -> Self {
        let often = Often {
            read: metrics.histogram("syncer_read_binlog_duration", &[]),
            size: metrics.histogram("syncer_binlog_event_size", &[]),
            rows: metrics.histogram("syncer_binlog_event_row", &[]),
            dispatch_rows: metrics.histogram("syncer_dispatch_binlog_duration", &["rows"]),
            dispatch_query: metrics.histogram("syncer_dispatch_binlog_duration", &["query"]),
        };
        Self {
            metrics,
            often,
            jobs: HashMap::new(),
            idle_since: Instant::now(),
            committed_at: None,
            asked: VecDeque::new(),
            busy_secs: 0.0,
            n_rows: 0,
            before: Counters::default(),
        }
    }

    pub(super) fn metrics(&self) -> &SubtaskMetrics {
        &self.metrics
    }

    /// An event has come. The moment from which its handling is timed.
    pub(super) fn event(&self, n_bytes: usize) -> Instant {
        let now = Instant::now();
        observe(self.often.read.as_ref(), (now - self.idle_since).as_secs_f64());
        observe(self.often.size.as_ref(), n_bytes as f64);
        now
    }

    /// The engine has taken it in, and counts this by now.
    pub(super) fn handled(&mut self, since: Instant, counters: Counters) {
        let now = Instant::now();
        let (took, before) = ((now - since).as_secs_f64(), self.before);
        let (inserts, updates, deletes) = (
            counters.n_inserts.saturating_sub(before.n_inserts),
            counters.n_updates.saturating_sub(before.n_updates),
            counters.n_deletes.saturating_sub(before.n_deletes),
        );
        let n_filtered = counters.n_rows_filtered.saturating_sub(before.n_rows_filtered);
        let n_rows = inserts + updates + deletes;
        for (n, stage) in [(inserts, "gen-write-rows"), (updates, "gen-update-rows"), (deletes, "gen-delete-rows")] {
            if n > 0 {
                self.metrics.observe("syncer_binlog_transform_cost", &[stage], took);
            }
        }
        if n_rows + n_filtered > 0 {
            observe(self.often.rows.as_ref(), (n_rows + n_filtered) as f64);
            observe(self.often.dispatch_rows.as_ref(), took);
        } else {
            observe(self.often.dispatch_query.as_ref(), took);
        }
        if n_filtered > 0 && n_rows == 0 {
            self.metrics.observe("syncer_skip_binlog_duration", &["rows"], took);
        }
        if counters.n_ddls_skipped > before.n_ddls_skipped {
            self.metrics.observe("syncer_skip_binlog_duration", &["query"], took);
        }
        self.before = counters;
        self.idle_since = now;
    }

    /// A question about a structure is asked.
    pub(super) fn asked(&mut self) {
        self.asked.push_back(Instant::now());
    }

    /// The oldest question is answered.
    pub(super) fn told(&mut self) {
        if let Some(since) = self.asked.pop_front() {
            self.metrics.observe("syncer_query_duration_time", &[], since.elapsed().as_secs_f64());
        }
    }

    /// A lane is given work.
    pub(super) fn given(&mut self, lane: u16, job: &Job) {
        let (n_rows, counts, is_ddl) = match job {
            Job::Run(batch) => (batch.n_rows as u64, counts(batch), false),
            Job::IdleProgress { .. } => (0, vec![Count::plain("flush")], false),
            Job::Ddl(command) => {
                let table = command.targets.first();
                let count = Count {
                    kind: "ddl",
                    schema: table.map(|table| table.schema.clone()).unwrap_or_default(),
                    table: table.map(|table| table.table.clone()).unwrap_or_default(),
                    n: 1,
                };
                (0, vec![count], true)
            }
            Job::SkipDdl(_) => (0, vec![Count::plain("ddl")], true),
        };
        let queue = format!("q_{lane}");
        for count in &counts {
            count.add(&self.metrics, "syncer_added_jobs_total", &queue);
        }
        self.metrics.set("syncer_queue_size", &[&queue], 1.0);
        self.jobs.insert(lane, Given { since: Instant::now(), queue, is_ddl, n_rows, counts });
    }

    /// A lane has answered.
    pub(super) fn answered(&mut self, lane: u16, what: &What) {
        let is_committed = match what {
            What::Opened => return,
            What::Committed(_) | What::DdlDone { .. } => true,
            What::Ended(_) => false,
        };
        let Some(given) = self.jobs.remove(&lane) else { return };
        self.metrics.set("syncer_queue_size", &[&given.queue], 0.0);
        if !is_committed {
            return;
        }
        let now = Instant::now();
        let took = (now - given.since).as_secs_f64();
        for count in &given.counts {
            count.add(&self.metrics, "syncer_finished_jobs_total", &given.queue);
        }
        let stage = if given.is_ddl { "ddl-exec" } else { "dml-exec" };
        self.metrics.observe("syncer_binlog_transform_cost", &[stage], took);
        self.metrics.observe("syncer_txn_duration_time", &[], took);
        self.metrics.add("syncer_finished_transaction_total", &[], 1);
        if let Some(last) = self.committed_at.replace(now) {
            self.metrics.observe("syncer_flush_checkpoints_time_interval", &[], (now - last).as_secs_f64());
        }
        if given.n_rows > 0 {
            self.metrics.observe("syncer_replication_transaction_batch", &[&given.queue, "rows"], given.n_rows as f64);
            self.busy_secs += took;
            self.n_rows += given.n_rows;
            let n_lanes = (self.jobs.len() + 1) as f64;
            self.metrics.set("syncer_ideal_qps", &[], self.n_rows as f64 / self.busy_secs.max(1e-6) * n_lanes);
        }
    }
}

impl Count {
    fn plain(kind: &'static str) -> Self {
        Self { kind, schema: String::new(), table: String::new(), n: 1 }
    }

    fn add(&self, metrics: &SubtaskMetrics, series: &str, queue: &str) {
        metrics.add(series, &[self.kind, queue, &self.schema, &self.table], self.n);
    }
}

/// How many changes of each kind to each table. Neighbours are mostly alike, so a change costs a comparison.
fn counts(batch: &Batch) -> Vec<Count> {
    let mut counts: Vec<Count> = Vec::new();
    let mut known: HashMap<(*const Mapping, ChangeKind), usize> = HashMap::new();
    let mut last: Option<((*const Mapping, ChangeKind), usize)> = None;
    for change in batch.changes() {
        let key = (Arc::as_ptr(change.mapping()), change.kind());
        let index = match last {
            Some((of, index)) if of == key => index,
            Some(_) | None => *known.entry(key).or_insert_with(|| {
                counts.push(Count::of(change));
                counts.len() - 1
            }),
        };
        last = Some((key, index));
        if let Some(count) = counts.get_mut(index) {
            count.n += 1;
        }
    }
    counts
}

impl Count {
    fn of(change: &RowChange) -> Self {
        let kind = match change.kind() {
            ChangeKind::Insert => "insert",
            ChangeKind::Update => "update",
            ChangeKind::Delete => "delete",
        };
        let target = change.target();
        Self { kind, schema: target.schema.clone(), table: target.table.clone(), n: 0 }
    }
}
