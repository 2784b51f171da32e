//! What the target's answers to the fence mean: an UPDATE's affected count, and a COMMIT whose answer was lost.
//!
//! A wrong conclusion here loses or doubles data, so everything that is neither clearly held nor clearly someone
//! else's is a [`Breach`]: the incarnation ends and takeover runs again from reading the rows (rule 4).

use dm_model::{ClusterId, Epoch};
use serde::{Deserialize, Serialize};

use crate::lane::LaneRow;

/// Who and what a transaction was guarded with, and the checksum it would have left.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    pub lane: u16,
    pub cluster_id: ClusterId,
    pub epoch: Epoch,
    /// The seq in the UPDATE's WHERE; a commit leaves `seq + 1`.
    pub seq: u64,
    /// What a commit leaves in `batch_crc`.
    pub batch_crc: u32,
}

/// What an UPDATE's affected count, and the row read again when it was not 1, mean.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FenceVerdict {
    /// Exactly one row: go on, COMMIT may be sent.
    Held,
    /// A later owner has the row: stop, for good.
    Fenced { owner: Epoch },
    /// The row is ours but not as we left it: another process with our epoch, or a target that went back in time.
    SeqMismatch { expected: u64, found: u64 },
    /// No such row: someone removed the meta data, or the target was restored.
    RowMissing,
    /// Anything else that cannot be.
    Broken(Breach),
}

/// A row that our own history does not explain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Breach {
    #[error("the row belongs to cluster {owner}")]
    ForeignCluster { owner: ClusterId },
    #[error("the row carries epoch {found}, older than ours: the target went back in time")]
    EpochRegressed { found: Epoch },
    #[error("the row is gone")]
    RowMissing,
    #[error("the row carries seq {found}, after {expected} a commit leaves {expected} + 1")]
    Seq { expected: u64, found: u64 },
    #[error("the row carries our seq but the checksum of another transaction")]
    ForeignTransaction,
    #[error("the guarded update matched {affected} rows although the row read afterwards satisfies its condition")]
    Affected { affected: u64 },
}

/// What became of a transaction whose COMMIT was not answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CommitVerdict {
    /// It is in the target; the row carries this seq now.
    Committed { seq: u64 },
    /// It is not, and cannot come later once the probe is acknowledged; the row carries this seq now.
    NotCommitted { seq: u64 },
    /// A later owner has the row. Nothing is known about the transaction; the new owner reads it from the rows.
    Fenced { owner: Epoch },
    /// End the incarnation.
    Broken(Breach),
}

impl CommitVerdict {
    /// How far the row's seq is ahead of its owner's count once the probe that follows the verdict is acknowledged.
    /// `owner_seq` is the owner's count before the transaction; a committed one raises it by one. `None` for verdicts
    /// after which nothing is written.
    pub fn ahead(&self, owner_seq: u64) -> Option<u64> {
        let (seq, counted) = match self {
            Self::Committed { seq } => (*seq, owner_seq + 1),
            Self::NotCommitted { seq } => (*seq, owner_seq),
            Self::Fenced { .. } | Self::Broken(_) => return None,
        };
        (seq + 1).checked_sub(counted)
    }
}

/// Judges the fence's UPDATE. `row` is the locked row read afterwards, needed only when `affected` is not 1.
pub fn judge_update(attempt: &Attempt, affected: u64, row: Option<&LaneRow>) -> FenceVerdict {
    if affected == 1 {
        return FenceVerdict::Held;
    }
    let Some(row) = row else {
        return FenceVerdict::RowMissing;
    };
    if row.cluster_id != attempt.cluster_id {
        FenceVerdict::Broken(Breach::ForeignCluster { owner: row.cluster_id.clone() })
    } else if row.epoch > attempt.epoch {
        FenceVerdict::Fenced { owner: row.epoch }
    } else if row.epoch < attempt.epoch {
        FenceVerdict::Broken(Breach::EpochRegressed { found: row.epoch })
    } else if row.seq != attempt.seq {
        FenceVerdict::SeqMismatch { expected: attempt.seq, found: row.seq }
    } else {
        FenceVerdict::Broken(Breach::Affected { affected })
    }
}

/// Judges a lost COMMIT by the row, read FOR UPDATE on a new connection to the same target (rule 3).
///
/// The verdict holds only after a **probe** in the same transaction was acknowledged: `seq = seq + 1` guarded by epoch
/// and the seq just read, with `batch_crc = NULL` iff the verdict is `NotCommitted`. The probe makes a fence still
/// under way fail. The answer to a probe can be lost too: then read and judge again with `lost_probes` one higher. The
/// checksum tells which of the two moved `seq`.
pub fn judge_unknown_commit(attempt: &Attempt, lost_probes: u64, row: Option<&LaneRow>) -> CommitVerdict {
    let Some(row) = row else {
        return CommitVerdict::Broken(Breach::RowMissing);
    };
    if row.cluster_id != attempt.cluster_id {
        return CommitVerdict::Broken(Breach::ForeignCluster { owner: row.cluster_id.clone() });
    }
    if row.epoch > attempt.epoch {
        return CommitVerdict::Fenced { owner: row.epoch };
    }
    if row.epoch < attempt.epoch {
        return CommitVerdict::Broken(Breach::EpochRegressed { found: row.epoch });
    }
    let breach = Breach::Seq { expected: attempt.seq, found: row.seq };
    let Some(moved) = row.seq.checked_sub(attempt.seq) else {
        return CommitVerdict::Broken(breach);
    };
    match (moved, row.batch_crc) {
        (0, _) => CommitVerdict::NotCommitted { seq: row.seq },
        // The transaction itself, and then at most the probes that saw it.
        (moved, Some(crc)) if moved <= lost_probes + 1 => {
            if crc == attempt.batch_crc {
                CommitVerdict::Committed { seq: row.seq }
            } else {
                CommitVerdict::Broken(Breach::ForeignTransaction)
            }
        }
        // Only probes.
        (moved, None) if moved <= lost_probes => CommitVerdict::NotCommitted { seq: row.seq },
        (_, Some(_) | None) => CommitVerdict::Broken(breach),
    }
}

#[cfg(test)]
mod tests;
