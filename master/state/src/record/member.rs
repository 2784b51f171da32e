//! The cluster's identity and the address book of masters.

use dm_model::{ClusterId, Incarnation, MasterName, NodeId, UnixMillis};
use serde::{Deserialize, Serialize};

/// Facts of the cluster as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cluster {
    /// `None` until the first `Bootstrap`.
    pub id: Option<ClusterId>,
    /// The command version every voter is known to understand. Only grows; 0 until it is set.
    pub version: u32,
    /// How often the cluster was restored from a backup.
    pub incarnation: Incarnation,
    pub bootstrapped_at: UnixMillis,
}

/// Where a master is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MasterAddresses {
    /// `host:port` of the peer URL: Raft.
    pub peer: String,
    /// `host:port` of gRPC and HTTP for workers and clients.
    pub client: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Master {
    pub name: MasterName,
    pub node: NodeId,
    /// Identity of the store this master runs on. `None` for a founding member that has not registered yet.
    pub store_uuid: Option<String>,
    pub addresses: MasterAddresses,
}
