//! Keeps this master's own entry in the replicated address book: its store and where it is reached.
//!
//! Each master tells its own, for nobody else knows it; whoever shows addresses reads them from the state. Told to the
//! leader until it is applied here, at every start and whenever the entry is another one; a refusal is tried again, for it
//! ends with the cause.

use std::time::Duration;

use dm_proto::raft as pb;
use openraft::{ServerState, async_runtime::watch::WatchReceiver as _};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{
    network::{Lane, server::Service},
    types::MasterNode,
};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Longest wait for the leader's answer.
const ANSWER: Duration = Duration::from_secs(2);

pub(super) async fn keep_registered(service: Service, stop: CancellationToken) {
    let mut told: Option<String> = None;
    loop {
        if !is_registered(&service) {
            let outcome = tokio::time::timeout(ANSWER, tell(&service)).await;
            let reason = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(status)) => Some(status.message().to_owned()),
                Err(_) => Some("no answer".to_owned()),
            };
            if let Some(reason) = reason.filter(|reason| told.as_ref() != Some(reason)) {
                tracing::info!(%reason, "this master is not registered yet");
                told = Some(reason);
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Whether the address book says of this master what is so. True for one that is not in it: a learner is written down
/// when it is admitted, and one that was removed shall not come back.
fn is_registered(service: &Service) -> bool {
    let me = service.peers.me();
    let state = service.applied.state();
    let node = service.peers.marker().node_id;
    state.masters().find(|master| master.node.0 == node).is_none_or(|master| {
        master.store_uuid.as_ref() == Some(&me.store_uuid)
            && master.addresses.peer == me.raft_addr
            && master.addresses.client == me.api_addr
    })
}

async fn tell(service: &Service) -> Result<(), Status> {
    let peers = &service.peers;
    let me = peers.marker().node_id;
    let metrics = service.raft.metrics().borrow_watched().clone();
    if metrics.state == ServerState::Leader {
        return service.bring_up_to_date(me, peers.me()).await;
    }
    let leader = metrics.current_leader.ok_or_else(|| Status::unavailable("no leader"))?;
    let node: MasterNode = metrics
        .membership_config
        .get_node(&leader)
        .cloned()
        .ok_or_else(|| Status::unavailable("the leader is not a member"))?;
    let mut client =
        peers.client(&node.raft_addr, Lane::Control).map_err(|error| Status::unavailable(error.to_string()))?;
    client.register(pb::RegisterRequest { header: Some(peers.header(leader)) }).await.map(|_| ())
}
