//! What a node measures about itself, as one value.

use std::{collections::BTreeMap, time::Duration};

use openraft::{Instant as _, async_runtime::watch::WatchReceiver as _};

use super::Node;
use crate::log_store::writer::WriteFigures;

/// A snapshot of the node's numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    pub node: u64,
    /// Raft's own word: `Leader`, `Follower`, `Candidate`, `Learner`, `Shutdown`.
    pub role: String,
    pub term: u64,
    pub leader: Option<u64>,
    pub last_log: Option<u64>,
    pub committed: Option<u64>,
    pub applied: Option<u64>,
    pub snapshot: Option<u64>,
    pub purged: Option<u64>,
    pub n_voters: usize,
    pub n_learners: usize,
    /// Voters that answered within twice the election time, with this node; 0 when it does not lead.
    pub n_voters_alive: usize,
    /// Since a majority last confirmed this leader.
    pub quorum_silence: Option<Duration>,
    /// Since a leader was heard, on others than the leader.
    pub leader_silence: Option<Duration>,
    /// Last entry known to be on each peer; on the leader.
    pub replicated: BTreeMap<u64, Option<u64>>,
    /// Since each peer last answered; on the leader.
    pub heard: BTreeMap<u64, Option<Duration>>,
    pub writes: WriteFigures,
    pub free_disk_bytes: u64,
    pub disk_low: bool,
}

impl Node {
    pub fn figures(&self) -> Figures {
        let metrics = self.shared.raft.metrics().borrow_watched().clone();
        let heard: BTreeMap<u64, Option<Duration>> = metrics
            .heartbeat
            .iter()
            .flatten()
            .map(|(node, at)| (*node, at.map(|at| at.into_inner().elapsed())))
            .collect();
        let limit = self.shared.profile.election_max() * 2;
        let me = self.node_id();
        let n_voters_alive = if metrics.heartbeat.is_some() {
            let alive = |node: &u64| *node == me || heard.get(node).copied().flatten().is_some_and(|ago| ago < limit);
            metrics.membership_config.voter_ids().filter(alive).count()
        } else {
            0
        };
        Figures {
            node: me,
            role: format!("{:?}", metrics.state),
            term: metrics.current_term,
            leader: metrics.current_leader,
            last_log: metrics.last_log_index,
            committed: metrics.local_committed.map(|id| id.index),
            applied: metrics.last_applied.map(|id| id.index),
            snapshot: metrics.snapshot.map(|id| id.index),
            purged: metrics.purged.map(|id| id.index),
            n_voters: metrics.membership_config.voter_ids().count(),
            n_learners: metrics.membership_config.membership().learner_ids().count(),
            n_voters_alive,
            quorum_silence: metrics.last_quorum_acked.map(|at| at.into_inner().elapsed()),
            leader_silence: self.shared.peers.leader_silence(),
            replicated: metrics
                .replication
                .iter()
                .flatten()
                .map(|(node, id)| (*node, id.as_ref().map(|id| id.index)))
                .collect(),
            heard,
            writes: self.shared.peers.log().figures(),
            free_disk_bytes: self.shared.disk.free(),
            disk_low: self.shared.disk.is_low(),
        }
    }
}
