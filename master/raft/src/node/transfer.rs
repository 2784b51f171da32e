//! Handing leadership over on purpose, with what makes it go wrong checked before: a transfer cannot be taken back, and
//! from its start until somebody leads nobody does.

use std::{collections::BTreeSet, time::Duration};

use dm_model::error::{Class, Code, Coded, Level, Scope};
use dm_proto::raft as pb;
use openraft::{Instant as _, ServerState, async_runtime::watch::WatchReceiver as _};
use tokio::time::Instant;

use super::Node;
use crate::{network::Lane, types::TypeConfig};

/// Entries the target may lag behind.
const MAX_LAG: u64 = 16;
/// How often a voter is asked to stand when the transfer went nowhere.
const RESCUE_ROUNDS: u32 = 4;

/// What a slow disk of the target means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlowDisk {
    /// No transfer: without its vote on disk in time, nobody would lead for a while.
    Refuse,
    /// For an operator who knows, and for a leader that goes away in any case.
    Accept,
}

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Who leads now: the one that was asked for, or another that was elected.
    pub leader: u64,
    /// From the request to the moment this node heard of the new leader.
    pub gap: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error("this dm-master is not the leader")]
    NotLeader,
    #[error("node {0} is the leader already")]
    AlreadyLeader(u64),
    #[error("node {0} is not a voter")]
    NotAVoter(u64),
    #[error("node {node} has not answered for {silence:?}")]
    Silent { node: u64, silence: Duration },
    #[error("node {node} lags {lag} entries behind")]
    Lagging { node: u64, lag: u64 },
    #[error("node {node} cannot be reached: {reason}")]
    Unreachable { node: u64, reason: String },
    #[error("disk of node {node} is slow: a synced write takes {p99:?}, more than {limit:?}")]
    SlowDisk { node: u64, p99: Duration, limit: Duration },
    #[error("nobody leads after {waited:?}; an election is under way")]
    NobodyLeads { waited: Duration },
    #[error("this dm-master has stopped: {0}")]
    Fatal(String),
}

impl Coded for TransferError {
    fn code(&self) -> Code {
        let (number, workaround) = match self {
            Self::NotLeader => (60120, "Repeat the request at the leader."),
            Self::AlreadyLeader(_) => (60121, ""),
            Self::NotAVoter(_) => (60122, "Please use `list-member --master` to see the masters."),
            Self::Silent { .. } | Self::Lagging { .. } | Self::Unreachable { .. } => {
                (60123, "Choose another master, or wait until this one has caught up.")
            }
            Self::SlowDisk { .. } => (60124, "Choose another master, or look what loads its disk."),
            Self::NobodyLeads { .. } => (60125, "Check that a majority of the dm-masters is running and reachable."),
            Self::Fatal(_) => (60106, "See the log of this master for the cause."),
        };
        Code::new(number, Class::DmMaster, Scope::Internal, Level::Medium, workaround)
    }
}

impl Node {
    /// Hands leadership to `to`. Refused when `to` cannot be expected to take it at once; nothing has happened then.
    pub async fn transfer_leader(&self, to: u64, slow_disk: SlowDisk) -> Result<Transfer, TransferError> {
        self.check_target(to, slow_disk).await?;
        let started = Instant::now();
        let me = self.node_id();
        let max = self.shared.profile.election_max();
        let stopped = |error: openraft::errors::Fatal<_>| TransferError::Fatal(error.to_string());
        self.shared.raft.trigger().transfer_leader(to).await.map_err(stopped)?;
        for round in 0..RESCUE_ROUNDS {
            if let Some(leader) = self.wait_for_other_leader(me, max).await {
                return Ok(Transfer { leader, gap: started.elapsed() });
            }
            tracing::warn!(to, round, "transfer of leadership went nowhere; asking other voters to stand");
            self.ask_others_to_stand().await;
        }
        Err(TransferError::NobodyLeads { waited: started.elapsed() })
    }

    /// Whether this node may be elected. A node that may not still votes, and goes on leading while it leads.
    pub fn may_stand(&self, may: bool) {
        self.shared.raft.runtime_config().elect(may);
    }

    /// The voter that is best to hand over to: alive, not among those left out, and with the longest log. `None` when there
    /// is none.
    pub fn best_successor(&self, left_out: &BTreeSet<u64>) -> Option<u64> {
        let figures = self.figures();
        let limit = self.shared.profile.election_max();
        let voters: Vec<u64> =
            self.members().into_iter().filter(|member| member.voter).map(|member| member.node).collect();
        figures
            .replicated
            .iter()
            .filter(|(node, _)| **node != self.node_id() && voters.contains(node) && !left_out.contains(node))
            .filter(|(node, _)| figures.heard.get(node).copied().flatten().is_some_and(|ago| ago < limit))
            .max_by_key(|(_, index)| **index)
            .map(|(node, _)| *node)
    }

    async fn check_target(&self, to: u64, slow_disk: SlowDisk) -> Result<(), TransferError> {
        let metrics = self.shared.raft.metrics().borrow_watched().clone();
        if metrics.state != ServerState::Leader {
            return Err(TransferError::NotLeader);
        }
        if to == self.node_id() {
            return Err(TransferError::AlreadyLeader(to));
        }
        if !metrics.committed_membership_config.voter_ids().any(|voter| voter == to) {
            return Err(TransferError::NotAVoter(to));
        }
        // The heartbeats themselves, not the polling of them, set how fresh this can be.
        let limit = self.shared.profile.heartbeat() * 3;
        let heard = metrics.heartbeat.as_ref().and_then(|heard| heard.get(&to)).and_then(|at| at.as_ref());
        let silence = heard.map_or(Duration::MAX, |at| at.into_inner().elapsed());
        if silence > limit {
            return Err(TransferError::Silent { node: to, silence });
        }
        let matched = metrics.replication.as_ref().and_then(|all| all.get(&to)).copied().flatten();
        let lag = metrics.last_log_index.unwrap_or(0).saturating_sub(matched.map_or(0, |id| id.index));
        if lag > MAX_LAG {
            return Err(TransferError::Lagging { node: to, lag });
        }
        let unreachable = |reason: String| TransferError::Unreachable { node: to, reason };
        let addr = metrics.membership_config.get_node(&to).map(|node| node.raft_addr.clone()).unwrap_or_default();
        let mut client =
            self.shared.peers.client(&addr, Lane::Control).map_err(|error| unreachable(error.to_string()))?;
        let ping = client.ping(pb::PingRequest { header: Some(self.shared.peers.header(to)) });
        let reply = tokio::time::timeout(self.shared.profile.election_max() * 2, ping)
            .await
            .map_err(|_| unreachable("no answer".to_owned()))?
            .map_err(|status| unreachable(status.to_string()))?;
        let p99 = Duration::from_micros(reply.into_inner().write_p99_micros);
        let limit = self.shared.profile.election_min() / 4;
        if p99 > limit && slow_disk == SlowDisk::Refuse {
            return Err(TransferError::SlowDisk { node: to, p99, limit });
        }
        Ok(())
    }

    async fn wait_for_other_leader(&self, me: u64, limit: Duration) -> Option<u64> {
        let other = |metrics: &openraft::RaftMetrics<TypeConfig>| {
            metrics.vote.committed && metrics.current_leader.is_some_and(|leader| leader != me)
        };
        self.shared.raft.wait(Some(limit)).metrics(other, "another leader").await.ok()?.current_leader
    }

    async fn ask_others_to_stand(&self) {
        for member in self.members().into_iter().filter(|member| member.voter && member.node != self.node_id()) {
            let Ok(mut client) = self.shared.peers.client(&member.master.raft_addr, Lane::Control) else { continue };
            let request = pb::ElectRequest { header: Some(self.shared.peers.header(member.node)) };
            let asked = tokio::time::timeout(self.shared.profile.election_min(), client.elect(request)).await;
            if let Ok(Ok(_)) = asked {
                return;
            }
        }
    }
}
