//! `join`: from client addresses of a running cluster to the peer addresses that Raft asks.

use std::time::Duration;

use dm_proto::pb::{ListMemberRequest, master_client::MasterClient, members::Member};
use dm_runtime::{
    channel::{Dialer, Limits},
    tls::Tls,
};
use tokio::time::timeout;
use tracing::info;

use crate::error::Error;

const LIMIT: Duration = Duration::from_secs(3);

/// Peer addresses of all members, as the first master that answers knows them.
pub(super) async fn peers_of(clients: &[String], tls: Option<Tls>) -> Result<Vec<String>, Error> {
    let dialer = Dialer::new(Limits::default(), tls);
    let mut tried = Vec::new();
    for addr in clients {
        match timeout(LIMIT, ask(&dialer, addr)).await {
            Ok(Ok(peers)) if !peers.is_empty() => return Ok(peers),
            Ok(Ok(_)) => tried.push(format!("{addr}: knows no members")),
            Ok(Err(reason)) => tried.push(format!("{addr}: {reason}")),
            Err(_) => tried.push(format!("{addr}: no answer within {} s", LIMIT.as_secs())),
        }
        info!(addr, "this dm-master cannot be asked for the members");
    }
    Err(Error::NobodyToJoin { tried: tried.join("; ") })
}

async fn ask(dialer: &Dialer, addr: &str) -> Result<Vec<String>, String> {
    let channel = dialer.connect(addr).await.map_err(|error| error.to_string())?;
    let request = ListMemberRequest { master: true, ..ListMemberRequest::default() };
    let response =
        MasterClient::new(channel).list_member(request).await.map_err(|status| status.message().to_owned())?;
    Ok(response
        .into_inner()
        .members
        .into_iter()
        .filter_map(|member| match member.member? {
            Member::Master(masters) => Some(masters.masters),
            Member::Leader(_) | Member::Worker(_) => None,
        })
        .flatten()
        .flat_map(|master| master.peer_ur_ls)
        .map(|url| super::authority(&url))
        .collect())
}
