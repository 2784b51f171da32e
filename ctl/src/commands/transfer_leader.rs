//! `transfer-leader <master>`: the failover drill. Prints the old leader, the new leader and the measured write gap.

use anyhow::Result;
use dm_proto::pb::TransferLeaderRequest;

use super::{Answer, connect, rpc};
use crate::app::Globals;

pub(super) async fn run(globals: &Globals, name: String) -> Result<Answer> {
    let response = rpc(connect(globals).await?.transfer_leader(TransferLeaderRequest { name }).await)?;
    Answer::json(&response, "pb.TransferLeaderResponse", response.result)
}
