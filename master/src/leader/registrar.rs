//! Makes the cluster's identity once, and keeps the gauges of workers. Each master writes its own addresses down itself,
//! see `dm-raft`.

use std::{sync::Arc, time::Duration};

use dm_model::{ClusterId, MasterName};
use dm_raft::node::{LeaderToken, Member};
use dm_state::{Command, State, command::Bootstrap, record::MasterAddresses};
use tokio::time::sleep;
use tracing::info;

use super::Leading;
use crate::{cluster::Cluster, context::Context, error::Error};

/// How often the gauges are brought up to date.
const LOOK: Duration = Duration::from_millis(500);

/// Gives a cluster that has no identity a new one. Random, not made from the founders: rows that an earlier cluster of
/// the same machines left in a target must not look like ours.
pub(super) async fn bootstrap(cluster: &Cluster, token: LeaderToken, state: &State) -> Result<(), Error> {
    if state.cluster_id().is_some() {
        return Ok(());
    }
    let founders = cluster
        .node()
        .members()
        .into_iter()
        .filter(|member| member.voter)
        .filter_map(|member| {
            let name = MasterName::parse(member.master.name.clone()).ok()?;
            Some(dm_state::apply::member::Founder { name, addresses: addresses(&member) })
        })
        .collect();
    let cluster_id = ClusterId(uuid::Uuid::new_v4().to_string());
    info!(%cluster_id, "making the cluster's identity");
    match cluster.propose_as(token, Command::Bootstrap(Bootstrap { cluster_id, founders })).await {
        // another leader was faster
        Ok(_) | Err(Error::Rejected(dm_state::Rejection::AlreadyBootstrapped { .. })) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Shows workers in the gauges until the leadership ends.
pub(super) async fn run(context: Context, leading: Arc<Leading>) {
    loop {
        context.metrics.show_workers(&leading.cluster.local());
        tokio::select! {
            () = leading.cancel.cancelled() => return,
            () = sleep(LOOK) => {}
        }
    }
}

fn addresses(member: &Member) -> MasterAddresses {
    MasterAddresses { peer: member.master.raft_addr.clone(), client: member.master.api_addr.clone() }
}
