//! Keeps the address book: makes the cluster's identity once, and writes down each member's store and addresses as it
//! tells them.

use std::{sync::Arc, time::Duration};

use dm_model::{ClusterId, MasterName, error::Chain};
use dm_raft::node::{LeaderToken, Member};
use dm_state::{
    Command, State,
    command::{Bootstrap, RegisterMaster},
    record::MasterAddresses,
};
use tokio::time::sleep;
use tracing::{info, warn};

use super::Leading;
use crate::{cluster::Cluster, context::Context, error::Error};

/// How often members are looked at: addresses change at restarts only.
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

pub(super) async fn run(context: Context, leading: Arc<Leading>) {
    loop {
        let state = leading.cluster.local();
        for command in outdated(&state, leading.cluster.node().members()) {
            if let Err(error) = leading.propose(command).await {
                warn!(error = %Chain(&error), "cannot register a dm-master");
            }
        }
        context.metrics.show_workers(&state);
        tokio::select! {
            () = leading.cancel.cancelled() => return,
            () = sleep(LOOK) => {}
        }
    }
}

/// What members tell about themselves and the address book does not have yet.
fn outdated(state: &State, members: Vec<Member>) -> Vec<Command> {
    members
        .into_iter()
        .filter(|member| !member.master.store_uuid.is_empty() && !member.master.api_addr.is_empty())
        .filter_map(|member| {
            let name = MasterName::parse(member.master.name.clone()).ok()?;
            let known = state.master(&name)?;
            let told = addresses(&member);
            let is_new =
                known.store_uuid.as_deref() != Some(member.master.store_uuid.as_str()) || known.addresses != told;
            let command = RegisterMaster { name, store_uuid: member.master.store_uuid, addresses: told };
            is_new.then_some(Command::RegisterMaster(command))
        })
        .collect()
}

fn addresses(member: &Member) -> MasterAddresses {
    MasterAddresses { peer: member.master.raft_addr.clone(), client: member.master.api_addr.clone() }
}
