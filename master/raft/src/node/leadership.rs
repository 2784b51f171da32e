//! Who leads, as the master process needs to know it.
//!
//! A node shows itself as leader only after it has applied everything that was committed before, and no longer when it
//! has lost the majority; a follower shows a leader only while it hears from one.

use std::{sync::Arc, time::Duration};

use openraft::{Instant as _, ServerState, async_runtime::watch::WatchReceiver as _, raft::ReadPolicy};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Node, Profile};
use crate::{network::Peers, types::Raft};

/// One leadership: shown to [`Node::propose_as`], it makes a command of an earlier one fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderToken {
    pub term: u64,
    pub node: u64,
}

/// Where the leader is, as far as this node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderHint {
    pub node: u64,
    pub name: String,
    pub raft_addr: String,
    /// Empty while the leader has not been heard.
    pub api_addr: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leadership {
    /// This node leads, and its state holds everything committed before it did. `since`: when it was first shown so.
    Leader {
        token: LeaderToken,
        since: Instant,
    },
    Follower {
        leader: LeaderHint,
    },
    NoLeader {
        since: Instant,
    },
}

impl Leadership {
    pub fn is_leader(&self) -> bool {
        self.token().is_some()
    }

    pub fn token(&self) -> Option<LeaderToken> {
        match self {
            Self::Leader { token, .. } => Some(*token),
            Self::Follower { .. } | Self::NoLeader { .. } => None,
        }
    }
}

impl Node {
    /// Who leads, now and from now on.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.clone()
    }

    /// The leader as this node knows it, which may be itself.
    pub fn leader_hint(&self) -> Option<LeaderHint> {
        let leadership = self.shared.leadership.borrow().clone();
        match leadership {
            Leadership::Leader { token, .. } => self.hint(token.node),
            Leadership::Follower { leader } => Some(leader),
            Leadership::NoLeader { .. } => None,
        }
    }

    pub(super) fn hint(&self, node: u64) -> Option<LeaderHint> {
        hint(&self.shared.raft, &self.shared.peers, node)
    }

    /// Does this node lead, and has a majority confirmed it within the lease? What acknowledgements to workers say.
    pub fn has_quorum_lease(&self) -> bool {
        let metrics = self.shared.raft.metrics().borrow_watched().clone();
        metrics.state == ServerState::Leader && !lost_quorum(&metrics, self.shared.profile.election_max())
    }
}

fn hint(raft: &Raft, peers: &Peers, node: u64) -> Option<LeaderHint> {
    let known = if node == peers.marker().node_id { Some(peers.me().clone()) } else { peers.known(node) };
    let member = match known {
        Some(known) => known,
        None => raft.metrics().borrow_watched().membership_config.get_node(&node)?.clone(),
    };
    Some(LeaderHint { node, name: member.name, raft_addr: member.raft_addr, api_addr: member.api_addr })
}

fn lost_quorum(metrics: &openraft::RaftMetrics<crate::types::TypeConfig>, limit: Duration) -> bool {
    if metrics.membership_config.voter_ids().count() <= 1 {
        return false;
    }
    metrics.last_quorum_acked.is_none_or(|acked| acked.into_inner().elapsed() > limit)
}

/// Keeps a [`Leadership`] up to date until `stop`.
pub(super) async fn watch_leadership(
    raft: Raft,
    peers: Arc<Peers>,
    profile: Profile,
    shown: watch::Sender<Leadership>,
    stop: CancellationToken,
) {
    let silence = profile.election_max() * 2;
    let mut metrics = raft.metrics();
    let mut tick = tokio::time::interval(profile.heartbeat() * 2);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let now = metrics.borrow_and_update().clone();
        let me = peers.marker().node_id;
        let leads = now.state == ServerState::Leader && now.vote.committed && now.vote.leader_id.node_id == me;
        let next = if leads && !lost_quorum(&now, silence) {
            let token = LeaderToken { term: now.vote.leader_id.term, node: me };
            if shown.borrow().token() == Some(token) {
                None
            } else {
                let ready = raft.ensure_linearizable(ReadPolicy::ReadIndex);
                match tokio::time::timeout(silence, ready).await {
                    Ok(Ok(_)) => Some(Leadership::Leader { token, since: Instant::now() }),
                    Ok(Err(_)) | Err(_) => Some(Leadership::NoLeader { since: Instant::now() }),
                }
            }
        } else {
            let heard = peers.leader_silence().is_some_and(|ago| ago < silence);
            now.current_leader
                .filter(|leader| *leader != me && heard && now.vote.committed)
                .and_then(|leader| hint(&raft, &peers, leader))
                .map_or(Some(Leadership::NoLeader { since: Instant::now() }), |leader| {
                    Some(Leadership::Follower { leader })
                })
        };
        if let Some(next) = next {
            shown.send_if_modified(|present| {
                let same = match (&*present, &next) {
                    (Leadership::NoLeader { .. }, Leadership::NoLeader { .. }) => true,
                    (present, next) => present == next,
                };
                if !same {
                    tracing::info!(?next, "leadership");
                    *present = next;
                }
                !same
            });
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = metrics.changed() => if changed.is_err() { return },
            _ = tick.tick() => {}
        }
    }
}
