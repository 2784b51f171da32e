//! How a node is configured.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use dm_runtime::tls::Tls;
use openraft::{Config, SnapshotPolicy, StepDownPolicy};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// What [`super::Node::open`] needs.
pub struct Options {
    /// This master's name, unique in the cluster.
    pub name: String,
    /// The folder of the store; created if missing.
    pub data_dir: PathBuf,
    /// `host:port` under which peers reach this node.
    pub peer_addr: String,
    /// `host:port` under which clients and workers reach this master; goes into leader hints.
    pub api_addr: String,
    /// This program's version, for display.
    pub version: String,
    pub listen: Listen,
    /// How a pristine store comes to belong to a cluster. Not looked at when the store has an identity.
    pub start: Start,
    pub profile: Profile,
    /// How long [`super::Node::propose`] and [`super::Node::read`] wait.
    pub timeout: Duration,
    pub snapshots: SnapshotLimits,
    pub disk: DiskLimits,
    /// TLS between masters.
    pub tls: Option<Tls>,
}

impl Options {
    /// The usual values, for a node that listens on `listen` and is reached under `peer_addr`.
    pub fn new(
        name: impl Into<String>,
        data_dir: impl Into<PathBuf>,
        peer_addr: impl Into<String>,
        start: Start,
    ) -> Self {
        Self {
            name: name.into(),
            data_dir: data_dir.into(),
            peer_addr: peer_addr.into(),
            api_addr: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listen: Listen::Address(SocketAddr::from(([127, 0, 0, 1], 0))),
            start,
            profile: Profile::Lan,
            timeout: Duration::from_secs(5),
            snapshots: SnapshotLimits::default(),
            disk: DiskLimits::default(),
            tls: None,
        }
    }
}

/// Where the peer service listens.
pub enum Listen {
    Address(SocketAddr),
    /// Bound already, so that nobody else takes the port.
    Bound(std::net::TcpListener),
}

/// How a pristine store comes to belong to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    Bootstrap(InitialCluster),
    /// Ask one of these peers (`host:port`) to be taken in.
    Join(Vec<String>),
}

/// The founding masters. All of them are started with the same value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialCluster {
    /// Name to `host:port` of the peer address.
    pub members: BTreeMap<String, String>,
    /// Tells apart two clusters with the same members.
    pub token: String,
}

impl InitialCluster {
    pub fn new(members: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { members: members.into_iter().collect(), token: "dm-cluster".to_owned() }
    }

    /// The identity messages between masters carry: equal for equal founders, in the form of a UUID.
    pub fn cluster_id(&self) -> String {
        let mut hasher = Sha256::new();
        for text in self.members.iter().flat_map(|(name, addr)| [name, addr]).chain([&self.token]) {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        let mut bytes = [0u8; 16];
        bytes.copy_from_slice(&hasher.finalize()[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
    }

    /// 1..n by sorted name.
    pub(crate) fn node_id(&self, name: &str) -> Option<u64> {
        self.members.keys().position(|member| member == name).map(|at| at as u64 + 1)
    }
}

/// Timing by the kind of network between masters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Failover in about a second.
    #[default]
    Lan,
    /// Failover in about half a second; elections happen by themselves on a busy machine.
    Fast,
    /// For links of up to 100 ms.
    Wan,
}

impl Profile {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Fast => "fast",
            Self::Wan => "wan",
        }
    }

    /// `None` for an unknown name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Lan, Self::Fast, Self::Wan].into_iter().find(|profile| profile.as_str() == text)
    }

    fn milliseconds(self) -> (u64, u64, u64) {
        match self {
            Self::Lan => (50, 150, 300),
            Self::Fast => (25, 75, 150),
            Self::Wan => (300, 1000, 2000),
        }
    }

    pub fn heartbeat(self) -> Duration {
        Duration::from_millis(self.milliseconds().0)
    }

    pub fn election_min(self) -> Duration {
        Duration::from_millis(self.milliseconds().1)
    }

    /// Also the time a leader's lease lasts.
    pub fn election_max(self) -> Duration {
        Duration::from_millis(self.milliseconds().2)
    }
}

/// When snapshots are made and what is kept beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotLimits {
    /// Entries between two snapshots.
    pub every: u64,
    /// Entries kept behind a snapshot, for followers that lag a little.
    pub keep: u64,
    /// A follower that lags more than this gets a snapshot. Must be above `every`.
    pub lag: u64,
}

impl Default for SnapshotLimits {
    fn default() -> Self {
        Self { every: 5_000, keep: 2_000, lag: 10_000 }
    }
}

/// What a filling disk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskLimits {
    /// A file of this size is given up when the disk is nearly full. 0: none.
    pub reserve_bytes: u64,
    /// With less free space, commands the cluster can do without are refused.
    pub refuse_below_bytes: u64,
}

impl Default for DiskLimits {
    fn default() -> Self {
        Self { reserve_bytes: 64 << 20, refuse_below_bytes: 256 << 20 }
    }
}

pub(crate) fn config(profile: Profile, snapshots: SnapshotLimits, cluster: &str) -> Result<Config, Error> {
    let (heartbeat_interval, election_timeout_min, election_timeout_max) = profile.milliseconds();
    Config {
        cluster_name: cluster.to_owned(),
        heartbeat_interval,
        election_timeout_min,
        election_timeout_max,
        enable_pre_vote: Some(true),
        quorum_loss_probe_interval: Some(3 * election_timeout_max),
        enable_leader_restore: Some(false),
        allow_log_reversion: None,
        max_payload_entries: 256,
        max_append_entries: Some(1024),
        api_batch_capacity: 1024,
        api_batch_linger_ms: 0,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(snapshots.every),
        replication_lag_threshold: snapshots.lag,
        max_in_snapshot_log_to_keep: snapshots.keep,
        purge_batch_size: 256.min(snapshots.keep.max(1)),
        install_snapshot_timeout: 5_000,
        api_channel_size: Some(4_096),
        removed_leader_step_down: StepDownPolicy::After(election_timeout_max),
        backoff: "20ms 40ms 80ms 160ms 320ms ...500ms".to_owned(),
        ..Config::default()
    }
    .validate()
    .map_err(|error| Error::Config(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_valid_for_raft() {
        for profile in [Profile::Lan, Profile::Fast, Profile::Wan] {
            assert!(config(profile, SnapshotLimits::default(), "c").is_ok());
            assert_eq!(Profile::parse(profile.as_str()), Some(profile));
        }
    }

    #[test]
    fn founders_agree_on_ids_and_on_the_cluster() {
        let members = [("b".to_owned(), "h2:1".to_owned()), ("a".to_owned(), "h1:1".to_owned())];
        let one = InitialCluster::new(members.clone());
        let other = InitialCluster::new(members.into_iter().rev());
        assert_eq!(one.cluster_id(), other.cluster_id());
        assert_eq!(one.cluster_id().len(), 36);
        assert_eq!((one.node_id("a"), one.node_id("b"), one.node_id("c")), (Some(1), Some(2), None));
        let token = InitialCluster { token: "x".into(), ..one.clone() };
        assert_ne!(token.cluster_id(), one.cluster_id());
    }
}
