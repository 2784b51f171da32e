//! Log, vote and progress of one Raft node in RocksDB.
//!
//! Owns: the database, its one writer thread ([`writer`]), the cache reads are served from ([`cache`]), and the marker
//! that says how far entries were acknowledged ([`acked`]). Vote, log and committed go through one queue into one
//! write-ahead log, so their order on disk is the order Raft asked for.
//! Never does: interpret commands.
//! Fails: a failed write is final. The writer stops, every later request gets an error, Raft stops, the process ends.

pub(crate) mod acked;
pub(crate) mod cache;
pub(crate) mod database;
#[cfg(test)]
mod tests;
pub(crate) mod writer;

use std::{
    collections::BTreeMap,
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use bytes::Bytes;
use dm_proto::raftlog as pb;
use openraft::{
    RaftLogReader,
    storage::{IOFlushed, LogState, RaftLogStorage},
};
use prost::Message;

use self::{
    cache::Cache,
    writer::{Job, WriteFigures, Writer},
};
use crate::{
    entry_codec,
    error::{Corrupt, Error},
    keys,
    types::{Entry, LogId, TypeConfig, Vote},
    wire,
};

/// Entries kept in memory, in bytes of their encoding, beyond those not yet on disk.
const CACHE_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of entries in one answer to a replication read; at least one entry is always given.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// The identity of a store: made once, then checked at every start and in every message between masters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    pub cluster_id: String,
    pub node_id: u64,
    pub store_uuid: String,
}

/// The log store of one node. Cheap to clone; all clones are one store. Closed by [`LogStore::close`], or with the last
/// clone.
#[derive(Clone)]
pub struct LogStore {
    shared: Arc<Shared>,
}

struct Shared {
    /// `None` once closed.
    open: RwLock<Option<Open>>,
    cache: Arc<RwLock<Cache>>,
    facts: Mutex<Facts>,
}

struct Open {
    database: Arc<rocksdb::DB>,
    writer: Writer,
}

/// What the store answers without reading the disk. `last` and `purged` include what is queued.
#[derive(Debug, Default)]
struct Facts {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    last: Option<LogId>,
    marker: Option<Marker>,
    peers: BTreeMap<u64, String>,
}

impl LogStore {
    /// Opens or creates the store in `directory` and checks every entry in it.
    ///
    /// Refuses a damaged entry, a hole, and a log or a vote that is older than what was acknowledged
    /// ([`Error::LostTail`], [`Error::LostVote`]).
    pub fn open(directory: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(directory).map_err(|source| Error::Directory { path: directory.to_owned(), source })?;
        let database = Arc::new(database::open(&directory.join("db"))?);
        let mut facts = read_facts(&database)?;
        let cache = read_log(&database, &mut facts)?;
        let acked = acked::AckedMark::open(&directory.join("acked")).map_err(Error::ReadLog)?;
        let last = facts.last.map_or(0, |id| id.index);
        if acked.index() > last {
            return Err(Error::LostTail { last, acknowledged: acked.index() });
        }
        let vote = facts.vote.as_ref().map(writer::marked).unwrap_or_default();
        if acked.vote() > vote {
            return Err(Error::LostVote { term: vote.term, acknowledged: acked.vote().term });
        }
        let cache = Arc::new(RwLock::new(cache));
        let writer = Writer::start(Arc::clone(&database), acked, Arc::clone(&cache)).map_err(Error::Write)?;
        let open = RwLock::new(Some(Open { database, writer }));
        Ok(Self { shared: Arc::new(Shared { open, cache, facts: Mutex::new(facts) }) })
    }

    /// Writes what is queued and closes the database, whatever clones there still are; every later request fails. Blocks.
    pub fn close(&self) {
        drop(self.shared.open.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn send(&self, job: Job) -> io::Result<()> {
        let open = self.shared.open.read().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().ok_or_else(writer::stopped)?.writer.send(job)
    }

    fn database(&self) -> io::Result<Arc<rocksdb::DB>> {
        let open = self.shared.open.read().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(&open.as_ref().ok_or_else(writer::stopped)?.database))
    }

    fn facts(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.shared.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache(&self) -> std::sync::RwLockReadGuard<'_, Cache> {
        self.shared.cache.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache_mut(&self) -> std::sync::RwLockWriteGuard<'_, Cache> {
        self.shared.cache.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose store this is; `None` for a pristine one.
    pub fn marker(&self) -> Option<Marker> {
        self.facts().marker.clone()
    }

    /// Has anything been voted or written?
    pub fn has_log(&self) -> bool {
        let facts = self.facts();
        facts.vote.is_some() || facts.last.is_some()
    }

    /// Makes the store that of one node of one cluster. Durable on return.
    pub async fn set_marker(&self, marker: Marker) -> Result<(), Error> {
        let message = pb::StoreMarker {
            format: 1,
            cluster_id: marker.cluster_id.clone(),
            node_id: marker.node_id,
            store_uuid: marker.store_uuid.clone(),
        };
        self.put_meta(keys::MARKER.to_vec(), message.encode_to_vec().into()).await.map_err(Error::Write)?;
        self.facts().marker = Some(marker);
        Ok(())
    }

    /// The last entry that was removed because a snapshot covers it.
    pub fn purged(&self) -> Option<LogId> {
        self.facts().purged
    }

    /// The store a peer was first seen with.
    pub fn peer_store(&self, node: u64) -> Option<String> {
        self.facts().peers.get(&node).cloned()
    }

    /// Remembers the store of a peer that was never seen before. Durable on return. Answers the store that is known,
    /// which is another one when two stores show up under one node.
    pub async fn remember_peer(&self, node: u64, store_uuid: &str) -> Result<String, Error> {
        if let Some(known) = self.peer_store(node) {
            return Ok(known);
        }
        self.put_meta(keys::peer(node), Bytes::copy_from_slice(store_uuid.as_bytes())).await.map_err(Error::Write)?;
        Ok(self.facts().peers.entry(node).or_insert_with(|| store_uuid.to_owned()).clone())
    }

    /// Writes/s and latencies of the synced writes.
    pub fn figures(&self) -> WriteFigures {
        let open = self.shared.open.read().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().map(|open| open.writer.figures()).unwrap_or_default()
    }

    async fn put_meta(&self, key: Vec<u8>, value: Bytes) -> io::Result<()> {
        let (done, waiter) = tokio::sync::oneshot::channel();
        self.send(Job::PutMeta { key, value, done: Some(done) })?;
        waiter.await.map_err(|_| writer::stopped())?
    }

    /// Entries of `[start, end)`, from memory where possible, and not more than `max_bytes` of them but for the first.
    async fn entries(&self, start: u64, end: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let (start, end) = {
            let facts = self.facts();
            let first = facts.purged.map_or(0, |id| id.index + 1);
            (start.max(first), end.min(facts.last.map_or(0, |id| id.index + 1)))
        };
        if start >= end {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let mut next = start;
        while next < end {
            let on_disk_until = {
                let cache = self.cache();
                let cached = cache.run(next, end, max_bytes);
                if let Some(last) = cached.last() {
                    next = last.log_id.index + 1;
                    found.extend(cached);
                    if max_bytes < usize::MAX {
                        break;
                    }
                    continue;
                }
                cache.first_from(next).map_or(end, |first| first.min(end))
            };
            let database = self.database()?;
            let read = move || database::read_entries(&database, next, on_disk_until, max_bytes);
            let read = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
            // Nothing there: purged meanwhile.
            next = read.last().map_or(on_disk_until, |last| last.log_id.index + 1);
            found.extend(read);
            if max_bytes < usize::MAX && !found.is_empty() {
                break;
            }
        }
        Ok(found)
    }
}

fn read_facts(database: &rocksdb::DB) -> Result<Facts, Error> {
    let damaged = |what| move |source: prost::DecodeError| Error::Damaged { what, source: source.into() };
    let mut facts = Facts::default();
    if let Some(bytes) = database::get_meta(database, keys::VOTE)? {
        facts.vote = Some(wire::vote_of(&pb::Vote::decode(&*bytes).map_err(damaged("vote"))?));
    }
    if let Some(bytes) = database::get_meta(database, keys::COMMITTED)? {
        facts.committed = Some(wire::log_id_of(&pb::LogId::decode(&*bytes).map_err(damaged("commit index"))?));
    }
    if let Some(bytes) = database::get_meta(database, keys::PURGED)? {
        facts.purged = Some(wire::log_id_of(&pb::LogId::decode(&*bytes).map_err(damaged("purge index"))?));
    }
    if let Some(bytes) = database::get_meta(database, keys::MARKER)? {
        let marker = pb::StoreMarker::decode(&*bytes).map_err(damaged("identity"))?;
        if marker.format != 1 {
            let source = Corrupt::Version(u8::try_from(marker.format).unwrap_or(u8::MAX));
            return Err(Error::Damaged { what: "identity", source });
        }
        facts.marker =
            Some(Marker { cluster_id: marker.cluster_id, node_id: marker.node_id, store_uuid: marker.store_uuid });
    }
    facts.peers = database::read_peers(database)?;
    facts.last = facts.purged;
    Ok(facts)
}

/// Reads and checks the whole log. It is short: snapshots keep it at some thousand entries.
fn read_log(database: &rocksdb::DB, facts: &mut Facts) -> Result<Cache, Error> {
    let mut cache = Cache::new(CACHE_BYTES);
    let mut expected = facts.purged.map_or(0, |id| id.index + 1);
    database::for_each_entry(database, expected, |index, bytes| {
        if index != expected {
            return Err(Error::Hole { expected, found: index });
        }
        let entry = entry_codec::decode(&bytes).map_err(|source| Error::DamagedEntry { index, source })?;
        if entry.log_id.index != index {
            return Err(Error::DamagedEntry { index, source: Corrupt::Missing("own index") });
        }
        facts.last = Some(entry.log_id);
        cache.insert(entry, bytes.len());
        expected += 1;
        Ok(())
    })?;
    cache.flushed(expected.saturating_sub(1));
    Ok(cache)
}

fn bounds(range: impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(at) => *at,
        Bound::Excluded(at) => at.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(at) => at.saturating_add(1),
        Bound::Excluded(at) => *at,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + openraft::OptionalSend,
    {
        let (start, end) = bounds(range);
        self.entries(start, end, usize::MAX).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.facts().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.entries(start, end, READ_BYTES).await
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let facts = self.facts();
        Ok(LogState { last_purged_log_id: facts.purged, last_log_id: facts.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (done, waiter) = tokio::sync::oneshot::channel();
        self.send(Job::SaveVote { vote: *vote, done })?;
        waiter.await.map_err(|_| writer::stopped())??;
        self.facts().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let value = committed.map(|id| wire::log_id_to(&id).encode_to_vec()).unwrap_or_default();
        self.facts().committed = committed;
        self.send(Job::PutMeta { key: keys::COMMITTED.to_vec(), value: value.into(), done: None })
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.facts().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + openraft::OptionalSend,
        I::IntoIter: openraft::OptionalSend,
    {
        let mut encoded = Vec::new();
        let mut last = None;
        {
            let mut cache = self.cache_mut();
            for entry in entries {
                let bytes = entry_codec::encode(&entry);
                let id = entry.log_id;
                cache.insert(entry, bytes.len());
                encoded.push((id.index, bytes));
                last = Some(id);
            }
        }
        if last.is_some() {
            self.facts().last = last;
        }
        self.send(Job::Append { entries: encoded, callback })
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        if last_log_id >= self.facts().last {
            return Ok(());
        }
        let from = last_log_id.map_or(0, |id| id.index + 1);
        let until = {
            let mut facts = self.facts();
            let until = facts.last.map_or(0, |id| id.index + 1);
            facts.last = last_log_id.or(facts.purged);
            until
        };
        self.cache_mut().truncate(from);
        let (done, waiter) = tokio::sync::oneshot::channel();
        self.send(Job::Truncate { from, until, done })?;
        waiter.await.map_err(|_| writer::stopped())?
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let from = {
            let mut facts = self.facts();
            let from = facts.purged.map_or(0, |id| id.index + 1);
            facts.purged = Some(log_id);
            if facts.last < Some(log_id) {
                facts.last = Some(log_id);
            }
            from
        };
        self.cache_mut().purge(log_id.index);
        self.send(Job::Purge { from, upto: log_id })
    }
}
