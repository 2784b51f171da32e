//! The members of the group: listing and removing. Adding is done by the joining side, see [`super::start`].

use openraft::{
    ChangeMembers,
    async_runtime::watch::WatchReceiver as _,
    errors::{ClientWriteError, RaftError},
};

use super::{Node, ProposeError};
use crate::types::MasterNode;

/// One master of the Raft group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub node: u64,
    /// As the membership has it, with what the master told about itself where that is empty.
    pub master: MasterNode,
    pub voter: bool,
}

impl Node {
    /// The members as this node knows them, by node id.
    pub fn members(&self) -> Vec<Member> {
        let membership = self.shared.raft.metrics().borrow_watched().membership_config.clone();
        let voters: Vec<u64> = membership.voter_ids().collect();
        let peers = &self.shared.peers;
        membership
            .nodes()
            .map(|(node, master)| {
                let told = if *node == self.node_id() { Some(peers.me().clone()) } else { peers.known(*node) };
                let mut master = master.clone();
                if let Some(told) = told {
                    master.api_addr = told.api_addr;
                    master.store_uuid = told.store_uuid;
                    master.version = told.version;
                }
                Member { node: *node, master, voter: voters.contains(node) }
            })
            .collect()
    }

    /// Takes a member out; on the leader only. A leader that takes itself out steps down when it is done.
    ///
    /// The id is never used again, and the store of the member is worthless after.
    pub async fn remove_member(&self, node: u64) -> Result<(), ProposeError> {
        let membership = self.shared.raft.metrics().borrow_watched().membership_config.clone();
        if membership.get_node(&node).is_none() {
            return Ok(());
        }
        let voter = membership.voter_ids().any(|voter| voter == node);
        let change =
            if voter { ChangeMembers::RemoveVoters([node].into()) } else { ChangeMembers::RemoveNodes([node].into()) };
        let changed = self.shared.raft.change_membership(change, false);
        match tokio::time::timeout(self.shared.timeout * 2, changed).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => Err(self.refused(forward)),
            Ok(Err(RaftError::Fatal(fatal))) => Err(ProposeError::Fatal(fatal.to_string())),
            Ok(Err(error)) => Err(ProposeError::Unknown { reason: error.to_string(), leader: self.leader_hint() }),
            Err(_) => Err(ProposeError::Unknown {
                reason: "membership change did not end in time".to_owned(),
                leader: self.leader_hint(),
            }),
        }
    }
}
