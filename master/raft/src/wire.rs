//! Raft's identifiers to and from their protobuf messages. Used by the disk format and by the network.
//!
//! Fails on missing fields only: absent where Raft always has a value.

use std::collections::{BTreeMap, BTreeSet};

use dm_proto::raftlog as pb;
use openraft::vote::RaftLeaderId as _;

use crate::{
    error::Corrupt,
    types::{LeaderId, LogId, MasterNode, Membership, SnapshotMeta, StoredMembership, Vote},
};

pub(crate) fn log_id_to(id: &LogId) -> pb::LogId {
    pb::LogId { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
}

pub(crate) fn log_id_of(id: &pb::LogId) -> LogId {
    LogId::new(LeaderId::new(id.term, id.node), id.index)
}

pub(crate) fn vote_to(vote: &Vote) -> pb::Vote {
    pb::Vote { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
}

pub(crate) fn vote_of(vote: &pb::Vote) -> Vote {
    if vote.committed { Vote::new_committed(vote.term, vote.node) } else { Vote::new(vote.term, vote.node) }
}

pub(crate) fn vote_required(vote: &Option<pb::Vote>) -> Result<Vote, Corrupt> {
    vote.as_ref().map(vote_of).ok_or(Corrupt::Missing("vote"))
}

pub(crate) fn node_to(node: &MasterNode) -> pb::Member {
    pb::Member {
        name: node.name.clone(),
        raft_addr: node.raft_addr.clone(),
        api_addr: node.api_addr.clone(),
        store_uuid: node.store_uuid.clone(),
        version: node.version.clone(),
    }
}

pub(crate) fn node_of(member: &pb::Member) -> MasterNode {
    MasterNode {
        name: member.name.clone(),
        raft_addr: member.raft_addr.clone(),
        api_addr: member.api_addr.clone(),
        store_uuid: member.store_uuid.clone(),
        version: member.version.clone(),
    }
}

pub(crate) fn membership_to(membership: &Membership) -> pb::Membership {
    pb::Membership {
        voters: membership
            .get_joint_config()
            .iter()
            .map(|set| pb::VoterSet { ids: set.iter().copied().collect() })
            .collect(),
        nodes: membership.nodes().map(|(id, node)| pb::NodeEntry { id: *id, member: Some(node_to(node)) }).collect(),
    }
}

pub(crate) fn membership_of(membership: &pb::Membership) -> Result<Membership, Corrupt> {
    let voters: Vec<BTreeSet<u64>> = membership.voters.iter().map(|set| set.ids.iter().copied().collect()).collect();
    let mut nodes = BTreeMap::new();
    for entry in &membership.nodes {
        let member = entry.member.as_ref().ok_or(Corrupt::Missing("member"))?;
        nodes.insert(entry.id, node_of(member));
    }
    if voters.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(voters, nodes).map_err(|error| Corrupt::Membership(error.to_string()))
}

pub(crate) fn stored_membership_to(stored: &StoredMembership) -> pb::StoredMembership {
    pb::StoredMembership {
        log_id: stored.log_id().as_ref().map(log_id_to),
        membership: Some(membership_to(stored.membership())),
    }
}

pub(crate) fn stored_membership_of(stored: &pb::StoredMembership) -> Result<StoredMembership, Corrupt> {
    let membership = stored.membership.as_ref().ok_or(Corrupt::Missing("membership"))?;
    Ok(StoredMembership::new(stored.log_id.as_ref().map(log_id_of), membership_of(membership)?))
}

pub(crate) fn snapshot_meta_to(meta: &SnapshotMeta) -> pb::SnapshotMeta {
    pb::SnapshotMeta {
        last: meta.last_log_id.as_ref().map(log_id_to),
        membership: Some(stored_membership_to(&meta.last_membership)),
    }
}

pub(crate) fn snapshot_meta_of(meta: &pb::SnapshotMeta) -> Result<SnapshotMeta, Corrupt> {
    let membership = meta.membership.as_ref().ok_or(Corrupt::Missing("snapshot membership"))?;
    Ok(SnapshotMeta {
        last_log_id: meta.last.as_ref().map(log_id_of),
        last_membership: stored_membership_of(membership)?,
    })
}
