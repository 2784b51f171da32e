//! `operate-leader evict`: a master that shall not lead. The order is in the replicated state, so that it outlives every
//! process and any master can give it.
//!
//! An evicted master hands over when it leads, and does not stand for election. Only when nobody leads for a while it
//! stands again: a cluster led by the wrong master is better than one that nobody leads, and that could not be told that
//! the order is withdrawn.

use std::{collections::BTreeSet, time::Duration};

use dm_model::{MasterName, error::Chain};
use dm_raft::node::{Leadership, SlowDisk};
use dm_state::State;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{cluster::Cluster, context::Context};

const PREFIX: &str = "dm/evicted/";
const LOOK: Duration = Duration::from_millis(100);
/// How long nobody leads before an evicted master stands again, in longest election times.
const PATIENCE: u32 = 10;
const HAND_OVER_LIMIT: Duration = Duration::from_secs(5);

/// The key under which the order is kept.
pub fn key(name: &MasterName) -> String {
    format!("{PREFIX}{name}")
}

pub fn is_evicted(state: &State, name: &MasterName) -> bool {
    state.meta(&key(name)).is_some()
}

/// The members that shall not lead.
pub fn evicted_nodes(cluster: &Cluster) -> BTreeSet<u64> {
    let state = cluster.local();
    let is_out = |name: &str| MasterName::parse(name).is_ok_and(|name| is_evicted(&state, &name));
    cluster
        .node()
        .members()
        .into_iter()
        .filter(|member| is_out(&member.master.name))
        .map(|member| member.node)
        .collect()
}

/// What an evicted master does at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conduct {
    Stand,
    StayBack,
    HandOver,
}

fn conduct(is_evicted: bool, leads: bool, nobody_leads_for: Option<Duration>, patience: Duration) -> Conduct {
    match (is_evicted, leads, nobody_leads_for) {
        (false, ..) => Conduct::Stand,
        (true, true, _) => Conduct::HandOver,
        (true, false, Some(waited)) if waited >= patience => Conduct::Stand,
        (true, false, _) => Conduct::StayBack,
    }
}

/// Makes this master keep to the order until `stop`.
pub async fn run(context: Context, stop: CancellationToken) {
    let node = context.cluster.node().clone();
    let patience = node.election_max() * PATIENCE;
    let leadership = context.cluster.leadership();
    let mut nobody_since: Option<Instant> = None;
    loop {
        let present = leadership.borrow().clone();
        nobody_since = match present {
            Leadership::NoLeader { .. } => nobody_since.or_else(|| Some(Instant::now())),
            Leadership::Leader { .. } | Leadership::Follower { .. } => None,
        };
        let is_evicted = is_evicted(&context.cluster.local(), &context.name);
        let waited = nobody_since.map(|since| since.elapsed());
        match conduct(is_evicted, present.is_leader(), waited, patience) {
            Conduct::Stand => node.may_stand(true),
            Conduct::StayBack => node.may_stand(false),
            Conduct::HandOver => {
                node.may_stand(true);
                if let Some(to) = node.best_successor(&evicted_nodes(&context.cluster)) {
                    info!(to, "this dm-master is evicted from leading, handing over");
                    match timeout(HAND_OVER_LIMIT, node.transfer_leader(to, SlowDisk::Accept)).await {
                        Ok(Ok(_)) => {}
                        Ok(Err(error)) => warn!(error = %Chain(&error), "leadership was not handed over"),
                        Err(_) => warn!("leadership was not handed over in time"),
                    }
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(LOOK) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evicted_master_leads_only_when_nobody_else_does() {
        let patience = Duration::from_secs(3);
        let long = Some(patience);
        let short = Some(Duration::from_secs(1));
        for (is_evicted, leads, nobody, expected) in [
            (false, false, None, Conduct::Stand),
            (false, true, None, Conduct::Stand),
            (false, false, long, Conduct::Stand),
            (true, true, None, Conduct::HandOver),
            (true, false, None, Conduct::StayBack),
            (true, false, short, Conduct::StayBack),
            (true, false, long, Conduct::Stand),
        ] {
            assert_eq!(conduct(is_evicted, leads, nobody, patience), expected, "{is_evicted} {leads} {nobody:?}");
        }
    }
}
