//! Damage of the files under the store: it is refused, or the store is as it was. Never other entries, never fewer, never
//! an older vote.

use std::{fs, path::PathBuf};

use super::*;

const N_ENTRIES: u64 = 60;
const VOTE: fn() -> Vote = || Vote::new_committed(4, 2);

/// A closed store with entries and a vote, its vote written last.
async fn written(directory: &Path) {
    let mut store = LogStore::open(directory).unwrap();
    let marker = Marker { cluster_id: "c".into(), node_id: 3, store_uuid: "s".into() };
    store.set_marker(marker).await.unwrap();
    store.save_vote(&Vote::new(3, 1)).await.unwrap();
    for first in (0..N_ENTRIES).step_by(5) {
        store.blocking_append(entries(first..first + 5)).await.unwrap();
    }
    store.save_vote(&VOTE()).await.unwrap();
    store.close();
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(directory.join("db")).unwrap().map(|item| item.unwrap().path());
    let mut found: Vec<_> = all.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let path = item.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Opens a copy of `good` in which `file` holds `bytes`. Was it refused?
async fn refused(good: &Path, file: &Path, bytes: &[u8], what: &str) -> bool {
    let dir = tempfile::tempdir().unwrap();
    copy(good, dir.path());
    fs::write(dir.path().join(file.strip_prefix(good).unwrap()), bytes).unwrap();
    let Ok(mut store) = LogStore::open(dir.path()) else { return true };
    assert_eq!(store.read_vote().await.unwrap(), Some(VOTE()), "{what}");
    assert_eq!(store.marker().map(|marker| marker.store_uuid).as_deref(), Some("s"), "{what}");
    let found = store.try_get_log_entries(..).await;
    assert_eq!(found.unwrap(), entries(0..N_ENTRIES), "{what}");
    store.close();
    false
}

#[tokio::test]
async fn damage_of_the_write_ahead_log_is_refused() {
    let good = tempfile::tempdir().unwrap();
    written(good.path()).await;
    let file = files(good.path(), "log").pop().unwrap();
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.len() > 6000, "the entries are in the write-ahead log");
    let mut n_refused = 0;
    for at in (0..bytes.len()).rev().step_by(331).chain(bytes.len() - 12..bytes.len()) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        n_refused += u32::from(refused(good.path(), &file, &flipped, &format!("flipped byte {at}")).await);
    }
    for length in (0..bytes.len()).rev().step_by(997).chain(bytes.len() - 5..bytes.len()) {
        assert!(refused(good.path(), &file, &bytes[..length], &format!("cut at {length}")).await, "cut at {length}");
    }
    assert!(n_refused > 20, "{n_refused}");
    // What a killed process leaves: a record that was never acknowledged, written by half.
    let torn = [bytes.as_slice(), &bytes[bytes.len() - 40..bytes.len() - 20]].concat();
    refused(good.path(), &file, &torn, "torn record at the end").await;
    assert!(!refused(good.path(), &file, &bytes, "nothing").await);
}

#[tokio::test]
async fn damage_of_a_table_is_refused() {
    let good = tempfile::tempdir().unwrap();
    written(good.path()).await;
    let database = database::open(&good.path().join("db")).unwrap();
    for name in [keys::CF_LOG, keys::CF_META] {
        database.flush_cf(database::family(&database, name)).unwrap();
    }
    drop(database);
    let tables = files(good.path(), "sst");
    assert!(tables.len() >= 2);
    let mut n_refused = 0;
    for file in tables {
        let bytes = fs::read(&file).unwrap();
        for at in (0..bytes.len()).step_by(bytes.len() / 16) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            n_refused += u32::from(refused(good.path(), &file, &flipped, &format!("flipped byte {at}")).await);
        }
        let half = &bytes[..bytes.len() / 2];
        assert!(refused(good.path(), &file, half, "half a table").await);
    }
    assert!(n_refused > 4, "{n_refused}");
}

#[tokio::test]
async fn a_vote_that_was_lost_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path()).await;
    let database = database::open(&dir.path().join("db")).unwrap();
    let older = wire::vote_to(&Vote::new(3, 1)).encode_to_vec();
    database.put_cf(database::family(&database, keys::CF_META), keys::VOTE, older).unwrap();
    drop(database);
    let error = LogStore::open(dir.path()).err().unwrap();
    assert!(matches!(error, Error::LostVote { term: 3, acknowledged: 4 }), "{error}");
}
