//! The one thread that writes. It takes all jobs that wait, up to a limit, writes them as one synced batch, then answers
//! each: a completion of one job implies that all earlier ones are durable.
//!
//! After the first failed write it answers every job with an error and writes nothing more: what a failed sync left on
//! disk is unknown, and a second try could pretend success.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, RwLock, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use openraft::storage::IOFlushed;
use prost::Message;
use rocksdb::{DB, WriteBatch, WriteOptions};
use tokio::sync::oneshot;

use super::{
    acked::{AckedMark, MarkedVote},
    cache::Cache,
    database,
};
use crate::{
    keys,
    types::{LogId, TypeConfig, Vote},
    wire,
};

/// Jobs in one batch.
const MAX_JOBS: usize = 1024;
/// Durations kept for percentiles.
const MAX_SAMPLES: usize = 1024;

pub(crate) type Done = oneshot::Sender<io::Result<()>>;

pub(crate) enum Job {
    Append {
        entries: Vec<(u64, Bytes)>,
        callback: IOFlushed<TypeConfig>,
    },
    /// Deletes entries of `[from, until)`.
    Truncate {
        from: u64,
        until: u64,
        done: Done,
    },
    /// Deletes entries from `from` up to and with `upto`.
    Purge {
        from: u64,
        upto: LogId,
    },
    PutMeta {
        key: Vec<u8>,
        value: Bytes,
        done: Option<Done>,
    },
    SaveVote {
        vote: Vote,
        done: Done,
    },
}

/// Counts and latencies of synced batches since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteFigures {
    pub n_batches: u64,
    pub n_entries: u64,
    /// Percentiles over the last 1024 batches; zero before the first.
    pub p50: Duration,
    pub p99: Duration,
    pub max: Duration,
}

#[derive(Default)]
struct Samples {
    n_batches: u64,
    n_entries: u64,
    recent: Vec<Duration>,
    next: usize,
}

impl Samples {
    fn add(&mut self, took: Duration, n_entries: u64) {
        self.n_batches += 1;
        self.n_entries += n_entries;
        if self.recent.len() < MAX_SAMPLES {
            self.recent.push(took);
        } else {
            self.recent[self.next] = took;
            self.next = (self.next + 1) % MAX_SAMPLES;
        }
    }
}

pub(crate) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    samples: Arc<Mutex<Samples>>,
}

impl Writer {
    pub(crate) fn start(database: Arc<DB>, acked: AckedMark, cache: Arc<RwLock<Cache>>) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let samples = Arc::new(Mutex::new(Samples::default()));
        let mut state = State { database, acked, cache, samples: Arc::clone(&samples), failed: None };
        let thread = std::thread::Builder::new().name("raft-wal".to_owned()).spawn(move || {
            while let Ok(first) = queue.recv() {
                let mut batch = vec![first];
                while batch.len() < MAX_JOBS {
                    let Ok(job) = queue.try_recv() else { break };
                    batch.push(job);
                }
                state.write(batch);
            }
            if let Err(error) = state.acked.sync() {
                tracing::warn!(%error, "cannot sync the mark of acknowledged entries");
            }
        })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), samples })
    }

    /// Queues a job; its answer tells when it is durable.
    pub(crate) fn send(&self, job: Job) -> io::Result<()> {
        self.jobs.as_ref().ok_or_else(stopped)?.send(job).map_err(|_| stopped())
    }

    pub(crate) fn figures(&self) -> WriteFigures {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sorted = samples.recent.clone();
        sorted.sort_unstable();
        let at = |percent: usize| {
            sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        WriteFigures {
            n_batches: samples.n_batches,
            n_entries: samples.n_entries,
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the log writer panicked");
        }
    }
}

pub(crate) fn stopped() -> io::Error {
    io::Error::other("the log writer has stopped")
}

struct State {
    database: Arc<DB>,
    acked: AckedMark,
    cache: Arc<RwLock<Cache>>,
    samples: Arc<Mutex<Samples>>,
    failed: Option<String>,
}

impl State {
    fn write(&mut self, jobs: Vec<Job>) {
        let result = match &self.failed {
            Some(reason) => Err(io::Error::other(reason.clone())),
            None => self.write_batch(&jobs),
        };
        if let Err(error) = &result
            && self.failed.is_none()
        {
            tracing::error!(%error, "a write to the log failed; this master stops");
            self.failed = Some(error.to_string());
        }
        for job in jobs {
            let answer = match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            match job {
                Job::Append { callback, .. } => callback.io_completed(answer),
                Job::Truncate { done, .. } | Job::SaveVote { done, .. } | Job::PutMeta { done: Some(done), .. } => {
                    // Nobody waits any more: the node is shutting down.
                    let _ = done.send(answer);
                }
                Job::Purge { .. } | Job::PutMeta { done: None, .. } => {}
            }
        }
    }

    fn write_batch(&mut self, jobs: &[Job]) -> io::Result<()> {
        let log = database::family(&self.database, keys::CF_LOG);
        let meta = database::family(&self.database, keys::CF_META);
        let mut batch = WriteBatch::default();
        let mut last = None;
        let mut vote = None;
        let mut n_entries = 0;
        for job in jobs {
            match job {
                Job::Append { entries, .. } => {
                    for (index, bytes) in entries {
                        batch.put_cf(log, keys::entry(*index), bytes);
                        last = Some(*index);
                        n_entries += 1;
                    }
                }
                Job::Truncate { from, until, .. } => {
                    self.acked.lower(from.saturating_sub(1))?;
                    if from < until {
                        batch.delete_range_cf(log, keys::entry(*from), keys::entry(*until));
                    }
                    last = last.map(|last: u64| last.min(from.saturating_sub(1)));
                }
                Job::Purge { from, upto } => {
                    batch.put_cf(meta, keys::PURGED, wire::log_id_to(upto).encode_to_vec());
                    if *from <= upto.index {
                        batch.delete_range_cf(log, keys::entry(*from), keys::entry(upto.index + 1));
                    }
                }
                Job::PutMeta { key, value, .. } => batch.put_cf(meta, key, value),
                Job::SaveVote { vote: saved, .. } => {
                    batch.put_cf(meta, keys::VOTE, wire::vote_to(saved).encode_to_vec());
                    vote = Some(*saved);
                }
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        let started = Instant::now();
        self.database.write_opt(batch, &options).map_err(io::Error::other)?;
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).add(started.elapsed(), n_entries);
        if let Some(vote) = vote {
            self.acked.voted(marked(&vote))?;
        }
        if let Some(last) = last {
            self.acked.raise(last)?;
            self.cache.write().unwrap_or_else(PoisonError::into_inner).flushed(last);
        }
        Ok(())
    }
}

pub(super) fn marked(vote: &Vote) -> MarkedVote {
    MarkedVote { term: vote.leader_id.term, committed: vote.committed, node: vote.leader_id.node_id }
}
