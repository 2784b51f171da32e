//! Messages between masters.
//!
//! Owns: connections ([`client`]), the service peers call ([`server`]), and the check both make on every message: same
//! cluster, meant for this node, and from the store that node was first seen with. What fails the check is refused, so
//! that neither a process at a reused address nor a wiped store under an old id takes part.
//! Fails: as an unreachable peer does; Raft tries again.

pub(crate) mod client;
pub(crate) mod server;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dm_proto::{raft as pb, raft::raft_peer_client::RaftPeerClient};
use dm_runtime::{channel, tls::Tls};
use tonic::{
    Status,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};

use crate::{
    error::Error,
    log_store::{LogStore, Marker},
    types::MasterNode,
    wire,
};

/// Limit of one message, both ways. Batches are far smaller: [`crate::log_store`] bounds what it reads at once.
pub(crate) const MAX_MESSAGE_BYTES: usize = dm_proto::MAX_MESSAGE_BYTES;
/// Metadata key of a reply: the store that answers.
const STORE_KEY: &str = "dm-store";
const KEEP_ALIVE: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

pub(crate) type Client = RaftPeerClient<Channel>;

/// Which connection to a peer: heartbeats and votes never wait behind entries or a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    Entries,
    Control,
    Snapshot,
}

/// Who this node is, and what it knows of its peers.
pub(crate) struct Peers {
    marker: Marker,
    me: MasterNode,
    log: LogStore,
    tls: Option<Tls>,
    channels: Mutex<BTreeMap<(String, Lane), Channel>>,
    directory: Mutex<BTreeMap<u64, MasterNode>>,
    /// When a leader was last heard, in microseconds since `started`, plus one; 0 is never.
    leader_heard: AtomicU64,
    started: Instant,
}

impl Peers {
    pub(crate) fn new(marker: Marker, me: MasterNode, log: LogStore, tls: Option<Tls>) -> Self {
        Self {
            marker,
            me,
            log,
            tls,
            channels: Mutex::default(),
            directory: Mutex::default(),
            leader_heard: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    pub(crate) fn marker(&self) -> &Marker {
        &self.marker
    }

    pub(crate) fn me(&self) -> &MasterNode {
        &self.me
    }

    pub(crate) fn log(&self) -> &LogStore {
        &self.log
    }

    /// What a peer last told about itself.
    pub(crate) fn known(&self, node: u64) -> Option<MasterNode> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }

    pub(crate) fn heard_leader(&self) {
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX - 1);
        self.leader_heard.store(micros + 1, Ordering::Relaxed);
    }

    /// How long ago a leader was heard.
    pub(crate) fn leader_silence(&self) -> Option<Duration> {
        let heard = self.leader_heard.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.started.elapsed().saturating_sub(Duration::from_micros(heard)))
    }

    /// A connection, made when first used and shared by everything that takes the same lane to the same address.
    pub(crate) fn client(&self, addr: &str, lane: Lane) -> Result<Client, Error> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match channels.get(&(addr.to_owned(), lane)) {
            Some(channel) => channel.clone(),
            None => {
                let channel = connect(addr, self.tls.as_ref())?;
                channels.insert((addr.to_owned(), lane), channel.clone());
                channel
            }
        };
        Ok(limited(channel))
    }

    /// The header of a message to `to`.
    pub(crate) fn header(&self, to: u64) -> pb::Header {
        pb::Header {
            cluster_id: self.marker.cluster_id.clone(),
            from: self.marker.node_id,
            to,
            sender: Some(wire::node_to(&self.me)),
        }
    }

    /// Is this message for us, and from the store we know? The sender's node id.
    pub(crate) async fn admit(&self, header: &Option<pb::Header>) -> Result<u64, Status> {
        let refuse = |message: String| {
            tracing::warn!(%message, "refused a message of another master");
            Status::failed_precondition(message)
        };
        let header = header.as_ref().ok_or_else(|| Status::invalid_argument("message without header"))?;
        if header.cluster_id != self.marker.cluster_id {
            return Err(refuse(format!(
                "message of cluster {}, but this is cluster {}",
                header.cluster_id, self.marker.cluster_id
            )));
        }
        if header.to != self.marker.node_id {
            return Err(refuse(format!("message for node {}, but this is node {}", header.to, self.marker.node_id)));
        }
        let sender = header.sender.as_ref().ok_or_else(|| Status::invalid_argument("message without sender"))?;
        self.check_store(header.from, &sender.store_uuid).await.map_err(refuse)?;
        let sender = wire::node_of(sender);
        let mut directory = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        if directory.get(&header.from) != Some(&sender) {
            directory.insert(header.from, sender);
        }
        Ok(header.from)
    }

    /// Is this the store `node` was first seen with?
    async fn check_store(&self, node: u64, store: &str) -> Result<(), String> {
        let known = self.log.remember_peer(node, store).await.map_err(|error| error.to_string())?;
        if known == store {
            Ok(())
        } else {
            Err(format!("node {node} shows the store {store}, but it was known with the store {known}"))
        }
    }

    /// Did the right store answer?
    async fn check_reply(&self, node: u64, metadata: &MetadataMap) -> Result<(), Status> {
        let store = metadata.get(STORE_KEY).and_then(|value| value.to_str().ok()).unwrap_or_default();
        self.check_store(node, store).await.map_err(|message| {
            tracing::warn!(%message, "dropped a reply of another master");
            Status::failed_precondition(message)
        })
    }

    /// A reply with our store in its metadata.
    fn reply<T>(&self, message: T) -> tonic::Response<T> {
        let mut response = tonic::Response::new(message);
        if let Ok(store) = self.marker.store_uuid.parse() {
            response.metadata_mut().insert(STORE_KEY, store);
        }
        response
    }
}

fn limited(channel: Channel) -> Client {
    RaftPeerClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

/// A client that connects at its first call. `addr` is `host:port`.
pub(crate) fn lone_client(addr: &str, tls: Option<&Tls>) -> Result<Client, Error> {
    Ok(limited(connect(addr, tls)?))
}

fn connect(addr: &str, tls: Option<&Tls>) -> Result<Channel, Error> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}"))
        .map_err(|error| Error::Config(format!("peer address {addr} is not valid: {error}")))?
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE * 2)
        .keep_alive_while_idle(true);
    Ok(channel::connect_lazy(&endpoint, tls))
}
