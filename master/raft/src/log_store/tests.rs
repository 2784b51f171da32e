mod damage;

use std::sync::Arc;

use openraft::{
    EntryPayload, StorageError,
    storage::{RaftLogStorage, RaftLogStorageExt},
    testing::log::{StoreBuilder, Suite},
    vote::RaftLeaderId as _,
};

use super::*;
use crate::{
    machine::Machine,
    snapshot_store::SnapshotStore,
    types::{LeaderId, Proposal},
};

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, Machine, tempfile::TempDir> for Builder {
    async fn build(&self) -> Result<(tempfile::TempDir, LogStore, Machine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::open(dir.path()).unwrap();
        let snapshots = SnapshotStore::open(&dir.path().join("snapshots")).unwrap();
        Ok((dir, store, Machine::new(Arc::new(snapshots))))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn store_and_machine_pass_the_suite_of_openraft() {
    Suite::test_all(Builder).await.unwrap();
}

fn id(index: u64) -> LogId {
    LogId::new(LeaderId::new(1, 1), index)
}

fn entries(range: std::ops::Range<u64>) -> Vec<Entry> {
    range
        .map(|index| Entry {
            log_id: id(index),
            payload: EntryPayload::Normal(Proposal(vec![index as u8; 100].into())),
        })
        .collect()
}

async fn log_of(store: &mut LogStore) -> Vec<u64> {
    store.try_get_log_entries(..).await.unwrap().into_iter().map(|entry| entry.log_id.index).collect()
}

#[tokio::test]
async fn everything_written_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LogStore::open(dir.path()).unwrap();
    assert!(store.marker().is_none() && !store.has_log());
    let marker = Marker { cluster_id: "c".into(), node_id: 3, store_uuid: "s".into() };
    store.set_marker(marker.clone()).await.unwrap();
    assert_eq!(store.remember_peer(7, "store-7").await.unwrap(), "store-7");
    assert_eq!(store.remember_peer(7, "another").await.unwrap(), "store-7");
    store.blocking_append(entries(0..20)).await.unwrap();
    store.save_vote(&Vote::new_committed(4, 2)).await.unwrap();
    store.truncate_after(Some(id(14))).await.unwrap();
    store.purge(id(4)).await.unwrap();
    store.save_committed(Some(id(9))).await.unwrap();
    drop(store);

    let mut store = LogStore::open(dir.path()).unwrap();
    assert_eq!(store.marker(), Some(marker));
    assert_eq!(store.peer_store(7).as_deref(), Some("store-7"));
    assert_eq!(store.read_vote().await.unwrap(), Some(Vote::new_committed(4, 2)));
    assert_eq!(store.read_committed().await.unwrap(), Some(id(9)));
    let state = store.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(4)), Some(id(14))));
    assert_eq!(log_of(&mut store).await, (5..15).collect::<Vec<_>>());
    assert_eq!(store.try_get_log_entries(5..15).await.unwrap(), entries(5..15));
}

#[tokio::test]
async fn entries_beyond_the_cache_are_read_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LogStore::open(dir.path()).unwrap();
    store.blocking_append(entries(0..50)).await.unwrap();
    store.cache_mut().purge(29);
    assert_eq!(store.try_get_log_entries(10..50).await.unwrap(), entries(10..50));
    let some = store.entries(10, 50, 300).await.unwrap();
    assert_eq!(some, entries(10..10 + some.len() as u64));
    assert!(!some.is_empty() && some.len() < 5);
}

#[tokio::test]
async fn a_log_that_lost_acknowledged_entries_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LogStore::open(dir.path()).unwrap();
    store.blocking_append(entries(0..10)).await.unwrap();
    drop(store);
    let database = database::open(&dir.path().join("db")).unwrap();
    database.delete_cf(database::family(&database, keys::CF_LOG), keys::entry(9)).unwrap();
    drop(database);
    let error = LogStore::open(dir.path()).err().unwrap();
    assert!(matches!(error, Error::LostTail { last: 8, acknowledged: 9 }), "{error}");
    assert!(error.to_string().contains("--join"));
}

#[tokio::test]
async fn a_hole_and_a_damaged_entry_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LogStore::open(dir.path()).unwrap();
    store.blocking_append(entries(0..10)).await.unwrap();
    drop(store);
    let database = database::open(&dir.path().join("db")).unwrap();
    let log = database::family(&database, keys::CF_LOG);
    let good = database.get_cf(log, keys::entry(4)).unwrap().unwrap();
    let mut bad = good.clone();
    bad[20] ^= 1;
    database.put_cf(log, keys::entry(4), bad).unwrap();
    drop(database);
    assert!(matches!(LogStore::open(dir.path()), Err(Error::DamagedEntry { index: 4, .. })));

    let database = database::open(&dir.path().join("db")).unwrap();
    database.delete_cf(database::family(&database, keys::CF_LOG), keys::entry(4)).unwrap();
    drop(database);
    assert!(matches!(LogStore::open(dir.path()), Err(Error::Hole { expected: 4, found: 5 })));
}
