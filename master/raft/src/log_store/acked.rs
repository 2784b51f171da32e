//! How far entries were acknowledged, and the vote, kept outside the database.
//!
//! A database that lost the end of its write-ahead log to a damaged medium opens as if nothing had happened. This file
//! tells: it holds an index and a vote that were durable, and is written after them, so it may say less than what was
//! acknowledged but never more. It is synced now and then, not per write; before the log is cut it is lowered and synced.
//!
//! Two slots written in turn, each with a checksum, so that one torn write leaves the other.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

const SLOT: usize = 48;
/// Bytes of a slot before its checksum.
const CHECKED: usize = SLOT - 4;
/// Writes between two syncs of the file.
const SYNC_EVERY: u32 = 256;

/// A vote as the mark keeps it: term, committed, node. Ordered as Raft orders the votes of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct MarkedVote {
    pub(crate) term: u64,
    pub(crate) committed: bool,
    pub(crate) node: u64,
}

pub(crate) struct AckedMark {
    file: File,
    serial: u64,
    index: u64,
    vote: MarkedVote,
    unsynced: u32,
}

impl AckedMark {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = [0u8; 2 * SLOT];
        let mut n_read = 0;
        while n_read < bytes.len() {
            match file.read_at(&mut bytes[n_read..], n_read as u64)? {
                0 => break,
                n => n_read += n,
            }
        }
        let newest = bytes.chunks_exact(SLOT).filter_map(read_slot).max();
        let (serial, index, vote) = newest.unwrap_or_default();
        Ok(Self { file, serial, index, vote, unsynced: 0 })
    }

    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    /// The last vote that was durable; the default before the first.
    pub(crate) fn vote(&self) -> MarkedVote {
        self.vote
    }

    /// This vote is durable.
    pub(crate) fn voted(&mut self, vote: MarkedVote) -> io::Result<()> {
        if vote <= self.vote {
            return Ok(());
        }
        self.vote = vote;
        self.write(self.index)
    }

    /// Entries up to `index` are durable.
    pub(crate) fn raise(&mut self, index: u64) -> io::Result<()> {
        if index <= self.index {
            return Ok(());
        }
        self.write(index)?;
        self.unsynced += 1;
        if self.unsynced >= SYNC_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    /// Entries above `index` are about to be cut off. Durable on return.
    pub(crate) fn lower(&mut self, index: u64) -> io::Result<()> {
        if index >= self.index {
            return Ok(());
        }
        // Both slots: the older one must not come back.
        self.write(index)?;
        self.write(index)?;
        self.sync()
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.unsynced = 0;
        self.file.sync_data()
    }

    fn write(&mut self, index: u64) -> io::Result<()> {
        self.serial += 1;
        self.index = index;
        let mut slot = [0u8; SLOT];
        slot[..8].copy_from_slice(&self.serial.to_le_bytes());
        slot[8..16].copy_from_slice(&index.to_le_bytes());
        slot[16..24].copy_from_slice(&self.vote.term.to_le_bytes());
        slot[24..32].copy_from_slice(&self.vote.node.to_le_bytes());
        slot[32] = self.vote.committed.into();
        let crc = crc32fast::hash(&slot[..CHECKED]);
        slot[CHECKED..].copy_from_slice(&crc.to_le_bytes());
        self.file.write_all_at(&slot, (self.serial % 2) * SLOT as u64)
    }
}

fn read_slot(slot: &[u8]) -> Option<(u64, u64, MarkedVote)> {
    let number = |range: std::ops::Range<usize>| slot[range].try_into().ok().map(u64::from_le_bytes);
    let crc = u32::from_le_bytes(slot[CHECKED..].try_into().ok()?);
    let serial = number(0..8)?;
    let vote = MarkedVote { term: number(16..24)?, node: number(24..32)?, committed: slot[32] != 0 };
    (crc == crc32fast::hash(&slot[..CHECKED]) && serial > 0).then_some((serial, number(8..16)?, vote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("acked");
        let mut mark = AckedMark::open(&path).unwrap();
        assert_eq!(mark.index(), 0);
        mark.raise(7).unwrap();
        mark.raise(9).unwrap();
        mark.raise(8).unwrap();
        assert_eq!(AckedMark::open(&path).unwrap().index(), 9);

        let mut bytes = std::fs::read(&path).unwrap();
        bytes[3] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(AckedMark::open(&path).unwrap().index(), 7);

        let mut mark = AckedMark::open(&path).unwrap();
        mark.lower(2).unwrap();
        assert_eq!(AckedMark::open(&path).unwrap().index(), 2);

        let vote = MarkedVote { term: 3, committed: true, node: 2 };
        mark.voted(vote).unwrap();
        mark.voted(MarkedVote { term: 3, committed: false, node: 9 }).unwrap();
        mark.raise(5).unwrap();
        let mark = AckedMark::open(&path).unwrap();
        assert_eq!((mark.index(), mark.vote()), (5, vote));
    }
}
