//! The master's metrics: DM's names (the prefix `dm_` is the registry's) and the gauges of Raft.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64},
};

use dm_raft::node::Figures;
use dm_runtime::metrics::Metrics;
use dm_state::{State, state::WorkerStage};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkerLabel {
    worker: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabel {
    r#type: &'static str,
}

/// Cheap to clone; all clones count together.
#[derive(Debug, Clone, Default)]
pub struct MasterMetrics {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    worker_state: Family<WorkerLabel, Gauge<f64, AtomicU64>>,
    start_leader: Counter,
    worker_event_error: Family<TypeLabel, Counter>,
    session_expired: Family<ReasonLabel, Counter>,
    session_rejected: Family<ReasonLabel, Counter>,
    raft_is_leader: Gauge,
    raft_term: Gauge<i64, AtomicI64>,
    raft_last_log: Gauge<i64, AtomicI64>,
    raft_committed: Gauge<i64, AtomicI64>,
    raft_applied: Gauge<i64, AtomicI64>,
    raft_snapshot: Gauge<i64, AtomicI64>,
    raft_voters: Gauge<i64, AtomicI64>,
    raft_voters_alive: Gauge<i64, AtomicI64>,
    raft_quorum_silence_seconds: Gauge<f64, AtomicU64>,
    raft_free_disk_bytes: Gauge<i64, AtomicI64>,
}

impl MasterMetrics {
    pub fn register(&self, metrics: &Metrics) {
        let m = &self.inner;
        metrics.register(|registry| {
            registry.register(
                "master_worker_state",
                "state of worker, 0: offline, 1: free, 2: bound",
                m.worker_state.clone(),
            );
            // The encoder adds `_total`, which DM's name does not have; dashboards use rate() on either.
            registry.register("master_start_leader_counter", "times this master began to lead", m.start_leader.clone());
            registry.register(
                "master_worker_event_error",
                "errors in handling what workers say",
                m.worker_event_error.clone(),
            );
            registry.register("session_expired", "sessions that were given up", m.session_expired.clone());
            registry.register("session_rejected", "sessions that were refused", m.session_rejected.clone());
            registry.register("raft_is_leader", "1 on the leader", m.raft_is_leader.clone());
            registry.register("raft_term", "present term", m.raft_term.clone());
            registry.register("raft_last_log_index", "last entry in the log", m.raft_last_log.clone());
            registry.register("raft_committed_index", "last committed entry", m.raft_committed.clone());
            registry.register("raft_applied_index", "last applied entry", m.raft_applied.clone());
            registry.register("raft_snapshot_index", "last entry in the newest snapshot", m.raft_snapshot.clone());
            registry.register("raft_voters", "voting members", m.raft_voters.clone());
            registry.register("raft_voters_alive", "voters that answer the leader", m.raft_voters_alive.clone());
            registry.register(
                "raft_quorum_silence_seconds",
                "time since a majority confirmed this leader",
                m.raft_quorum_silence_seconds.clone(),
            );
            registry.register(
                "raft_free_disk_bytes",
                "free bytes of the data directory",
                m.raft_free_disk_bytes.clone(),
            );
        });
    }

    pub fn leader_started(&self) {
        self.inner.start_leader.inc();
    }

    pub fn worker_event_failed(&self) {
        self.inner.worker_event_error.get_or_create(&TypeLabel { r#type: "handle" }).inc();
    }

    pub fn session_expired(&self, reason: &str) {
        self.inner.session_expired.get_or_create(&ReasonLabel { reason: reason.to_owned() }).inc();
    }

    pub fn session_rejected(&self, reason: &str) {
        self.inner.session_rejected.get_or_create(&ReasonLabel { reason: reason.to_owned() }).inc();
    }

    /// Workers are shown by the leader only; a worker that was retired is forgotten.
    pub fn show_workers(&self, state: &State) {
        self.inner.worker_state.clear();
        for worker in state.workers() {
            let value = match state.worker_stage(&worker.name) {
                None | Some(WorkerStage::Offline) => 0.0,
                Some(WorkerStage::Free) => 1.0,
                Some(WorkerStage::Bound) => 2.0,
            };
            self.inner.worker_state.get_or_create(&WorkerLabel { worker: worker.name.to_string() }).set(value);
        }
    }

    pub fn hide_workers(&self) {
        self.inner.worker_state.clear();
    }

    pub fn show_raft(&self, figures: &Figures) {
        let m = &self.inner;
        let index = |index: Option<u64>| i64::try_from(index.unwrap_or(0)).unwrap_or(i64::MAX);
        m.raft_is_leader.set(i64::from(figures.leader == Some(figures.node)));
        m.raft_term.set(index(Some(figures.term)));
        m.raft_last_log.set(index(figures.last_log));
        m.raft_committed.set(index(figures.committed));
        m.raft_applied.set(index(figures.applied));
        m.raft_snapshot.set(index(figures.snapshot));
        m.raft_voters.set(index(Some(figures.n_voters as u64)));
        m.raft_voters_alive.set(index(Some(figures.n_voters_alive as u64)));
        m.raft_quorum_silence_seconds.set(figures.quorum_silence.map_or(0.0, |silence| silence.as_secs_f64()));
        m.raft_free_disk_bytes.set(index(Some(figures.free_disk_bytes)));
    }
}
