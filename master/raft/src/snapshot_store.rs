//! Snapshot files: written whole or not at all, checked when read, never replaced by an older one.
//!
//! File: magic, length and bytes of the metadata, zstd of the encoded state, SHA-256 of everything before. A file is
//! written under another name, synced, renamed, and its directory synced, before it counts and older ones are removed.
//! One lock covers all of that: a build that ends after an install of a newer snapshot changes nothing.
//!
//! Fails on I/O and on a file that does not check; both stop the node.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use dm_proto::raftlog as pb;
use dm_state::State;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::{
    codec,
    error::{Corrupt, Error},
    types::{LogId, SnapshotMeta},
    wire,
};

const MAGIC: &[u8; 8] = b"DMSNAP01";
const HASH: usize = 32;
const LEVEL: i32 = 3;
/// Bytes of a state after decompression; a file that claims more is not one of ours.
const MAX_STATE_BYTES: usize = 1 << 30;

/// The newest snapshot of a node.
pub(crate) struct SnapshotStore {
    directory: PathBuf,
    newest: Mutex<Option<(SnapshotMeta, PathBuf)>>,
}

impl SnapshotStore {
    /// Finds the newest snapshot in `directory` and removes what a crash left behind.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        let error = |source| Error::Directory { path: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(error)?;
        let mut found: Vec<(SnapshotMeta, PathBuf)> = Vec::new();
        for item in fs::read_dir(directory).map_err(error)? {
            let path = item.map_err(error)?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("tmp") => fs::remove_file(&path).map_err(error)?,
                Some("snapshot") => {
                    let bytes = fs::read(&path).map_err(error)?;
                    let (meta, _) = check(&bytes).map_err(|source| Error::Damaged { what: "snapshot", source })?;
                    found.push((meta, path));
                }
                _ => {}
            }
        }
        found.sort_by_key(|(meta, _)| meta.last_log_id);
        let newest = found.pop();
        for (_, path) in found {
            fs::remove_file(&path).map_err(error)?;
        }
        Ok(Self { directory: directory.to_owned(), newest: Mutex::new(newest) })
    }

    /// Refuses a store whose log starts after the newest snapshot ends: the state between is nowhere.
    pub(crate) fn check_covers(&self, purged: Option<LogId>) -> Result<(), Error> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = newest.as_ref().and_then(|(meta, _)| meta.last_log_id);
        match purged {
            Some(purged) if snapshot < Some(purged) => {
                Err(Error::LostSnapshot { purged: purged.index, snapshot: snapshot.map(|last| last.index) })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The newest snapshot as its file's bytes, checked.
    pub(crate) fn read(&self) -> io::Result<Option<(SnapshotMeta, Bytes)>> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, path)) = newest.as_ref() else { return Ok(None) };
        let bytes = fs::read(path)?;
        drop(newest);
        let (meta, _) = check(&bytes)?;
        Ok(Some((meta, bytes.into())))
    }

    /// Makes these bytes the newest snapshot, unless there is one that is as new. Durable on return.
    pub(crate) fn publish(&self, meta: &SnapshotMeta, bytes: &[u8]) -> io::Result<()> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.as_ref().is_some_and(|(present, _)| present.last_log_id >= meta.last_log_id) {
            return Ok(());
        }
        let name = match &meta.last_log_id {
            Some(id) => format!("{:020}-{}-{}.snapshot", id.index, id.leader_id.term, id.leader_id.node_id),
            None => "empty.snapshot".to_owned(),
        };
        let path = self.directory.join(name);
        let temporary = path.with_extension("tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(&self.directory)?.sync_all()?;
        if let Some((_, old)) = newest.replace((meta.clone(), path))
            && let Err(error) = fs::remove_file(&old)
        {
            tracing::warn!(path = %old.display(), %error, "cannot remove an old snapshot");
        }
        Ok(())
    }
}

/// A snapshot file's bytes.
pub(crate) fn encode(meta: &SnapshotMeta, state: &State) -> io::Result<Bytes> {
    let meta = wire::snapshot_meta_to(meta).encode_to_vec();
    let meta_len = u32::try_from(meta.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&meta_len.to_le_bytes());
    bytes.extend_from_slice(&meta);
    bytes.extend_from_slice(&zstd::bulk::compress(&codec::encode_state(state), LEVEL)?);
    let hash = Sha256::digest(&bytes);
    bytes.extend_from_slice(&hash);
    Ok(bytes.into())
}

/// The reverse of [`encode`].
pub(crate) fn decode(bytes: &[u8]) -> Result<(SnapshotMeta, State), Corrupt> {
    let (meta, compressed) = check(bytes)?;
    let state = zstd::stream::Decoder::new(compressed)
        .and_then(|decoder| {
            let mut state = Vec::new();
            io::Read::read_to_end(&mut io::Read::take(decoder, MAX_STATE_BYTES as u64), &mut state)?;
            Ok(state)
        })
        .map_err(|error| Corrupt::Invalid("compressed state", error.to_string()))?;
    Ok((meta, codec::decode_state(state.into())?))
}

/// Checks the hash and gives the metadata and the compressed state.
pub(crate) fn check(bytes: &[u8]) -> Result<(SnapshotMeta, &[u8]), Corrupt> {
    let Some((content, hash)) = bytes.len().checked_sub(HASH).and_then(|at| bytes.split_at_checked(at)) else {
        return Err(Corrupt::NotASnapshot);
    };
    let rest = content.strip_prefix(MAGIC).ok_or(Corrupt::NotASnapshot)?;
    if Sha256::digest(content).as_slice() != hash {
        return Err(Corrupt::SnapshotHash);
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(Corrupt::NotASnapshot)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (meta, state) = rest.split_at_checked(length).ok_or(Corrupt::NotASnapshot)?;
    Ok((wire::snapshot_meta_of(&pb::SnapshotMeta::decode(meta)?)?, state))
}

#[cfg(test)]
mod tests {
    use openraft::vote::RaftLeaderId as _;

    use super::*;
    use crate::types::LeaderId;

    fn snapshot(index: u64) -> (SnapshotMeta, Bytes) {
        let last = LogId::new(LeaderId::new(2, 1), index);
        let meta = SnapshotMeta { last_log_id: Some(last), last_membership: Default::default() };
        let mut state = State::default();
        state.advance(dm_model::Revision(index));
        let bytes = encode(&meta, &state).unwrap();
        (meta, bytes)
    }

    #[test]
    fn an_older_snapshot_never_replaces_a_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = SnapshotStore::open(dir.path()).unwrap();
        for index in [5, 9, 7] {
            let (meta, bytes) = snapshot(index);
            store.publish(&meta, &bytes).unwrap();
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

        fs::write(dir.path().join("half.tmp"), b"half").unwrap();
        let store = SnapshotStore::open(dir.path()).unwrap();
        let (meta, bytes) = store.read().unwrap().unwrap();
        assert_eq!(meta.last_log_id.unwrap().index, 9);
        assert_eq!(decode(&bytes).unwrap().1.applied().0, 9);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let (_, good) = snapshot(5);
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 0x10;
            assert!(decode(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_damaged_file_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let store = SnapshotStore::open(dir.path()).unwrap();
        let (meta, bytes) = snapshot(5);
        store.publish(&meta, &bytes).unwrap();
        let path = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        for length in 0..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(matches!(SnapshotStore::open(dir.path()), Err(Error::Damaged { .. })), "length {length}");
        }
    }

    #[test]
    fn a_snapshot_that_ends_before_the_log_starts_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let store = SnapshotStore::open(dir.path()).unwrap();
        let purged = |index| Some(LogId::new(LeaderId::new(2, 1), index));
        assert!(store.check_covers(None).is_ok());
        assert!(matches!(store.check_covers(purged(1)), Err(Error::LostSnapshot { purged: 1, snapshot: None })));
        let (meta, bytes) = snapshot(5);
        store.publish(&meta, &bytes).unwrap();
        assert!(store.check_covers(purged(5)).is_ok());
        let error = store.check_covers(purged(6)).unwrap_err();
        assert!(matches!(error, Error::LostSnapshot { purged: 6, snapshot: Some(5) }));
        assert!(error.to_string().contains("the newest snapshot ends at 5"));
    }
}
