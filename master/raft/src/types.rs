//! The types Raft is instantiated with.
//!
//! A command travels as its encoding ([`Proposal`]) from the proposer to every state machine: log store and network
//! move bytes, and only the machine decodes. Addresses live in the membership ([`MasterNode`]), so whoever knows the
//! membership can reach everybody. Nothing here fails.

use std::fmt;

use bytes::Bytes;
use dm_state::Reply;

openraft::declare_raft_types!(
    /// Raft as masters use it.
    pub TypeConfig:
        D = Proposal,
        R = Answer,
        NodeId = u64,
        Node = MasterNode,
);

/// Identity of a log entry: term, leader, index.
pub type LogId = openraft::alias::LogIdOf<TypeConfig>;
/// Term and node of a leadership.
pub type LeaderId = openraft::alias::LeaderIdOf<TypeConfig>;
pub type Vote = openraft::alias::VoteOf<TypeConfig>;
pub type Entry = openraft::alias::EntryOf<TypeConfig>;
pub type Payload = openraft::alias::PayloadOf<TypeConfig>;
pub type Membership = openraft::Membership<u64, MasterNode>;
pub type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub type Snapshot = openraft::alias::SnapshotOf<TypeConfig, Bytes>;
pub(crate) type Raft = openraft::Raft<TypeConfig, crate::machine::Machine>;

/// An encoded command. Unknown commands are noticed when they are applied, not before.
#[derive(Clone, PartialEq, Eq)]
pub struct Proposal(pub Bytes);

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proposal({} bytes)", self.0.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What applying an entry gave. `None` for entries without a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer(pub Option<Reply>);

/// A master as the membership knows it.
///
/// Masters named at bootstrap have empty `api_addr`, `store_uuid` and `version` here, because each of them writes the
/// same first entry from its own configuration; what peers tell about themselves fills the gap in leader hints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MasterNode {
    pub name: String,
    /// `host:port` of the Raft service.
    pub raft_addr: String,
    /// `host:port` of the client API.
    pub api_addr: String,
    pub store_uuid: String,
    pub version: String,
}

impl fmt::Display for MasterNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.raft_addr)
    }
}
