//! A master that was taken out of the group cannot hear it from the group any more. While it hears no leader it asks the
//! others, and when a majority of those it knows says that it is no member, it ends: it would never lead or vote again, and
//! its store is worthless.

use std::{sync::Arc, time::Duration};

use dm_proto::raft as pb;
use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    network::{Lane, Peers},
    types::Raft,
    wire,
};

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Silence of leaders after which the others are asked.
const SILENCE: Duration = Duration::from_secs(3);
/// Time a peer has to answer.
const ANSWER: Duration = Duration::from_millis(500);
/// Times in a row that a majority has to say it: one that lags behind may not have heard of a new member yet.
const SURE: u32 = 3;

/// Says `true` once this node is known to be removed.
pub(super) async fn watch_removal(
    raft: Raft,
    peers: Arc<Peers>,
    removed: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let mut n_times = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let hears_leader = peers.leader_silence().is_some_and(|ago| ago < SILENCE);
        let me = peers.marker().node_id;
        let metrics = raft.metrics().borrow_watched().clone();
        let leads = metrics.current_leader == Some(me);
        n_times = if !hears_leader && !leads && say_removed(&metrics, &peers).await { n_times + 1 } else { 0 };
        if n_times >= SURE {
            removed.send_replace(true);
            return;
        }
    }
}

async fn say_removed(metrics: &openraft::RaftMetrics<crate::types::TypeConfig>, peers: &Peers) -> bool {
    let me = peers.marker().node_id;
    let membership = &metrics.membership_config;
    let others: Vec<(u64, String)> = membership
        .voter_ids()
        .filter(|voter| *voter != me)
        .filter_map(|voter| Some((voter, membership.get_node(&voter)?.raft_addr.clone())))
        .collect();
    let asked = others.iter().map(|(_, addr)| async move {
        let mut client = peers.client(addr, Lane::Control).ok()?;
        let request = pb::HelloRequest {
            cluster_id: peers.marker().cluster_id.clone(),
            node_id: me,
            sender: Some(wire::node_to(peers.me())),
        };
        let reply = tokio::time::timeout(ANSWER, client.hello(request)).await.ok()?.ok()?.into_inner();
        Some(reply.cluster_id == peers.marker().cluster_id && reply.has_log && !reply.member)
    });
    let answers = futures::future::join_all(asked).await;
    is_majority(others.len(), answers.into_iter().flatten().filter(|removed| *removed).count())
}

/// Whether so many of the others are enough to believe.
fn is_majority(n_others: usize, n_say: usize) -> bool {
    n_others > 0 && n_say > n_others / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_two_others_is_not_believed() {
        for (n_others, n_say, expected) in
            [(0, 0, false), (1, 1, true), (2, 1, false), (2, 2, true), (4, 2, false), (4, 3, true)]
        {
            assert_eq!(is_majority(n_others, n_say), expected, "{n_say} of {n_others}");
        }
    }
}
