//! `operate-leader evict | cancel-evict [master]`: keeps a master from leading, or lets it lead again.
//!
//! Without a name it is the master that is asked, as in DM. The order is replicated and outlives restarts.

use anyhow::Result;
use dm_proto::pb::{LeaderOp, OperateLeaderRequest};

use super::{Answer, connect, rpc};
use crate::app::{Globals, OperateLeader};

pub(super) async fn run(globals: &Globals, command: OperateLeader) -> Result<Answer> {
    let (op, name) = match command {
        OperateLeader::Evict { name } => (LeaderOp::EvictLeaderOp, name),
        OperateLeader::CancelEvict { name } => (LeaderOp::CancelEvictLeaderOp, name),
    };
    let request = OperateLeaderRequest { op: op.into(), name: name.unwrap_or_default() };
    let response = rpc(connect(globals).await?.operate_leader(request).await)?;
    Answer::json(&response, "pb.OperateLeaderResponse", response.result)
}
