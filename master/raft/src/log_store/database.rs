//! RocksDB: how it is opened, and plain reads.
//!
//! Recovery tolerates a torn record at the very end of the write-ahead log, which a killed process leaves behind, and
//! refuses any other damage. Both column families are flushed together, so that none pins old write-ahead logs.

use std::{collections::BTreeMap, io, path::Path};

use bytes::Bytes;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Direction,
    IteratorMode, Options,
};

use crate::{
    entry_codec,
    error::{Corrupt, Error},
    keys,
    types::Entry,
};

const MIB: usize = 1024 * 1024;

pub(crate) fn open(path: &Path) -> Result<DB, Error> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_atomic_flush(true);
    options.set_paranoid_checks(true);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_background_jobs(2);
    options.set_max_total_wal_size(64 * MIB as u64);
    options.set_recycle_log_file_num(0);
    options.set_max_open_files(256);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(4 * MIB);
    let block_cache = Cache::new_lru_cache(16 * MIB);
    let families = [keys::CF_LOG, keys::CF_META].map(|name| {
        let mut family = Options::default();
        family.set_write_buffer_size(8 * MIB);
        family.set_compression_type(DBCompressionType::Lz4);
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&block_cache);
        family.set_block_based_table_factory(&blocks);
        ColumnFamilyDescriptor::new(name, family)
    });
    DB::open_cf_descriptors(&options, path, families).map_err(Error::OpenLog)
}

pub(crate) fn family<'a>(database: &'a DB, name: &str) -> &'a ColumnFamily {
    database.cf_handle(name).expect("invariant: both families are created when the database is opened")
}

pub(crate) fn get_meta(database: &DB, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    database
        .get_cf(family(database, keys::CF_META), key)
        .map(|value| value.filter(|bytes| !bytes.is_empty()))
        .map_err(|error| Error::ReadLog(io::Error::other(error)))
}

/// The stores peers were first seen with.
pub(crate) fn read_peers(database: &DB) -> Result<BTreeMap<u64, String>, Error> {
    let mut peers = BTreeMap::new();
    for item in database.iterator_cf(family(database, keys::CF_META), IteratorMode::Start) {
        let (key, value) = item.map_err(|error| Error::ReadLog(io::Error::other(error)))?;
        if let Some(node) = keys::peer_node(&key) {
            let store = String::from_utf8(value.into_vec())
                .map_err(|_| Error::Damaged { what: "store of a peer", source: Corrupt::Missing("text") })?;
            peers.insert(node, store);
        }
    }
    Ok(peers)
}

/// Calls `visit` with every entry from `start` on, in order.
pub(crate) fn for_each_entry(
    database: &DB,
    start: u64,
    mut visit: impl FnMut(u64, Bytes) -> Result<(), Error>,
) -> Result<(), Error> {
    let from = keys::entry(start);
    for item in database.iterator_cf(family(database, keys::CF_LOG), IteratorMode::From(&from, Direction::Forward)) {
        let (key, value) = item.map_err(|error| Error::ReadLog(io::Error::other(error)))?;
        let Some(index) = keys::index(&key) else {
            return Err(Error::Damaged { what: "key of a log entry", source: Corrupt::Short });
        };
        visit(index, value.into_vec().into())?;
    }
    Ok(())
}

/// Entries of `[start, end)` that are on disk, without holes.
pub(crate) fn read_entries(database: &DB, start: u64, end: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut n_bytes = 0usize;
    let from = keys::entry(start);
    for item in database.iterator_cf(family(database, keys::CF_LOG), IteratorMode::From(&from, Direction::Forward)) {
        let (key, value) = item.map_err(io::Error::other)?;
        let index = keys::index(&key).ok_or(Corrupt::Short)?;
        if index >= end {
            break;
        }
        n_bytes = n_bytes.saturating_add(value.len());
        if n_bytes > max_bytes && !entries.is_empty() {
            break;
        }
        entries.push(entry_codec::decode(&value.into_vec().into())?);
    }
    Ok(entries)
}
