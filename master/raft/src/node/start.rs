//! Opening a node: the store's identity, bootstrap, join, and what runs beside Raft.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use dm_proto::raft::{self as pb, raft_peer_server::RaftPeerServer};
use dm_runtime::tls::Tls;
use openraft::{
    async_runtime::watch::WatchReceiver as _,
    errors::{InitializeError, RaftError},
};
use tokio::{net::TcpListener, sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Server, server::TcpIncoming};

use super::{
    InitialCluster, Leadership, Listen, Node, Options, Shared, Start, disk::Disk, leadership, options, register,
    removed as removal_watch,
};
use crate::{
    error::Error,
    log_store::{LogStore, Marker},
    machine::Machine,
    network::{self, Lane, MAX_MESSAGE_BYTES, Peers, client::Factory, server::Service},
    snapshot_store::SnapshotStore,
    types::{MasterNode, Raft, TypeConfig},
    wire,
};

/// Time a peer has to say who it is.
const HELLO: Duration = Duration::from_millis(500);
/// Time for being taken into a cluster, and for becoming a voter.
const JOIN: Duration = Duration::from_secs(30);
const JOIN_AGAIN: Duration = Duration::from_millis(200);
const DISK_LOOK: Duration = Duration::from_secs(1);

/// What is to be done once Raft runs.
enum Duty {
    Nothing,
    /// Write the first membership, as every founder does.
    Initialize(BTreeMap<u64, MasterNode>),
}

pub(super) async fn open(options: Options) -> Result<Node, Error> {
    let directory = options.data_dir.join("raft");
    let store = {
        let directory = directory.clone();
        tokio::task::spawn_blocking(move || {
            let log = LogStore::open(&directory)?;
            let snapshots = SnapshotStore::open(&directory.join("snapshots"))?;
            snapshots.check_covers(log.purged())?;
            Ok::<_, Error>((log, snapshots))
        })
    };
    let (log, snapshots) = store.await.map_err(|error| Error::Fatal(error.to_string()))??;
    let listener = listen(&options.listen).await?;
    let peer_addr = listener.local_addr().map_err(Error::Listen)?;

    let mut me = MasterNode {
        name: options.name.clone(),
        raft_addr: options.peer_addr.clone(),
        api_addr: options.api_addr.clone(),
        store_uuid: String::new(),
        version: options.version.clone(),
    };
    me.store_uuid = store_uuid(&log).await?;
    let (marker, duty) = identify(&log, &options, &me).await?;

    let peers = Arc::new(Peers::new(marker.clone(), me, log.clone(), options.tls.clone()));
    let machine = Machine::new(Arc::new(snapshots));
    let applied = machine.applied();
    let config = options::config(options.profile, options.snapshots, &marker.cluster_id)?;
    let factory = Factory { peers: Arc::clone(&peers) };
    let raft = Raft::new(marker.node_id, Arc::new(config), factory, log, machine)
        .await
        .map_err(|fatal| Error::Fatal(fatal.to_string()))?;

    let stop = CancellationToken::new();
    let (removal, removed) = watch::channel(false);
    let (shown, leadership) = watch::channel(Leadership::NoLeader { since: Instant::now() });
    let disk = Arc::new(Disk::new(&directory, options.disk));
    let service =
        Service { raft: raft.clone(), peers: Arc::clone(&peers), applied: Arc::clone(&applied), stop: stop.clone() };
    let tasks = vec![
        tokio::spawn(serve(listener, service.clone(), options.tls.clone(), stop.clone())),
        tokio::spawn(register::keep_registered(service, stop.clone())),
        tokio::spawn(removal_watch::watch_removal(raft.clone(), Arc::clone(&peers), removal, stop.clone())),
        tokio::spawn(leadership::watch_leadership(
            raft.clone(),
            Arc::clone(&peers),
            options.profile,
            shown,
            stop.clone(),
        )),
        tokio::spawn(look_at_disk(Arc::clone(&disk), stop.clone())),
        tokio::spawn(become_voter(raft.clone(), Arc::clone(&peers), stop.clone())),
    ];
    let node = Node {
        shared: Arc::new(Shared {
            raft,
            peers,
            applied,
            disk,
            leadership,
            removed,
            profile: options.profile,
            timeout: options.timeout,
            peer_addr,
            stop,
            tasks: Mutex::new(tasks),
        }),
    };
    match duty {
        Duty::Nothing => {}
        Duty::Initialize(members) => match node.shared.raft.initialize(members).await {
            // Another founder was faster and its entries are here already.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(error) => {
                node.shutdown().await;
                return Err(Error::Fatal(error.to_string()));
            }
        },
    }
    Ok(node)
}

impl Node {
    /// Waits until this node votes. For a joined master; a founder votes from the start.
    pub async fn wait_voter(&self, limit: Duration) -> Result<(), Error> {
        let me = self.node_id();
        let voter = |metrics: &openraft::RaftMetrics<TypeConfig>| {
            metrics.membership_config.voter_ids().any(|voter| voter == me)
        };
        match self.shared.raft.wait(Some(limit)).metrics(voter, "to be a voter").await {
            Ok(_) => Ok(()),
            Err(openraft::metrics::WaitError::ShuttingDown) => Err(Error::Fatal("raft is gone".to_owned())),
            Err(openraft::metrics::WaitError::Timeout(..)) => Err(Error::NotPromoted { node: me }),
        }
    }
}

async fn listen(listen: &Listen) -> Result<TcpListener, Error> {
    match listen {
        Listen::Address(addr) => TcpListener::bind(addr).await.map_err(Error::Listen),
        Listen::Bound(listener) => {
            let listener = listener.try_clone().map_err(Error::Listen)?;
            listener.set_nonblocking(true).map_err(Error::Listen)?;
            TcpListener::from_std(listener).map_err(Error::Listen)
        }
    }
}

/// The store's own id. Made and written before anybody hears of it, so that a crash does not make two of them.
async fn store_uuid(log: &LogStore) -> Result<String, Error> {
    if let Some(marker) = log.marker() {
        return Ok(marker.store_uuid);
    }
    let store_uuid = uuid::Uuid::new_v4().to_string();
    let marker = Marker { cluster_id: String::new(), node_id: 0, store_uuid: store_uuid.clone() };
    log.set_marker(marker).await?;
    Ok(store_uuid)
}

/// Which node of which cluster is this?
async fn identify(log: &LogStore, options: &Options, me: &MasterNode) -> Result<(Marker, Duty), Error> {
    let tls = options.tls.as_ref();
    if let Some(marker) = log.marker().filter(|marker| marker.node_id != 0) {
        let duty = match &options.start {
            Start::Bootstrap(founders) if !log.has_log() && founders.cluster_id() == marker.cluster_id => {
                founding(founders, me, tls).await?
            }
            Start::Bootstrap(_) | Start::Join(_) => Duty::Nothing,
        };
        return Ok((marker, duty));
    }
    let (cluster_id, node_id, duty) = match &options.start {
        Start::Bootstrap(founders) => {
            let node_id = founders
                .node_id(&options.name)
                .ok_or_else(|| Error::NotInInitialCluster { name: options.name.clone() })?;
            (founders.cluster_id(), node_id, founding(founders, me, tls).await?)
        }
        Start::Join(peers) => {
            let (cluster_id, node_id) = join(peers, me, tls).await?;
            (cluster_id, node_id, Duty::Nothing)
        }
    };
    let marker = Marker { cluster_id, node_id, store_uuid: me.store_uuid.clone() };
    log.set_marker(marker.clone()).await?;
    Ok((marker, duty))
}

/// May this empty store be that of a founder? Asks the others whether they know better.
async fn founding(founders: &InitialCluster, me: &MasterNode, tls: Option<&Tls>) -> Result<Duty, Error> {
    let node_id = founders.node_id(&me.name).ok_or_else(|| Error::NotInInitialCluster { name: me.name.clone() })?;
    let cluster_id = founders.cluster_id();
    let asked = founders.members.iter().filter(|(name, _)| **name != me.name).map(|(_, addr)| {
        let request = pb::HelloRequest { cluster_id: cluster_id.clone(), node_id, sender: Some(wire::node_to(me)) };
        async move { (addr, hello(addr, request, tls).await) }
    });
    let mut initialize = true;
    for (addr, reply) in futures::future::join_all(asked).await {
        let Some(reply) = reply? else { continue };
        if reply.cluster_id != cluster_id || (reply.has_log && !reply.member) {
            return Err(Error::ClusterExists { peer: addr.clone(), cluster: reply.cluster_id });
        }
        if !reply.known_store.is_empty() && reply.known_store != me.store_uuid {
            return Err(Error::StoreWasLost { peer: addr.clone(), cluster: reply.cluster_id, node: node_id });
        }
        initialize &= !reply.has_log;
    }
    if !initialize {
        return Ok(Duty::Nothing);
    }
    let members = (1..)
        .zip(&founders.members)
        .map(|(id, (name, addr))| {
            (id, MasterNode { name: name.clone(), raft_addr: addr.clone(), ..MasterNode::default() })
        })
        .collect();
    Ok(Duty::Initialize(members))
}

/// `None` when the peer does not answer: it is not there yet.
async fn hello(addr: &str, request: pb::HelloRequest, tls: Option<&Tls>) -> Result<Option<pb::HelloReply>, Error> {
    let mut client = network::lone_client(addr, tls)?;
    let reply = tokio::time::timeout(HELLO, client.hello(request)).await;
    Ok(reply.ok().and_then(Result::ok).map(tonic::Response::into_inner))
}

/// Asks to be taken in, following hints to the leader, until somebody does.
async fn join(peers: &[String], me: &MasterNode, tls: Option<&Tls>) -> Result<(String, u64), Error> {
    let until = Instant::now() + JOIN;
    let mut hint: Option<String> = None;
    let mut refusal = None;
    while Instant::now() < until {
        for addr in hint.take().iter().chain(peers) {
            let mut client = network::lone_client(addr, tls)?;
            let request = pb::AdmitRequest { member: Some(wire::node_to(me)) };
            match tokio::time::timeout(HELLO * 10, client.admit(request)).await {
                Ok(Ok(reply)) => {
                    let reply = reply.into_inner();
                    match reply.leader {
                        Some(leader) => hint = Some(leader.raft_addr),
                        None => return Ok((reply.cluster_id, reply.node_id)),
                    }
                }
                Ok(Err(status)) if status.code() == tonic::Code::FailedPrecondition => {
                    return Err(Error::JoinRefused(status.message().to_owned()));
                }
                Ok(Err(status)) => refusal = Some(status.message().to_owned()),
                Err(_) => {}
            }
        }
        tokio::time::sleep(JOIN_AGAIN).await;
    }
    Err(refusal.map_or(Error::NobodyAnswered, Error::JoinRefused))
}

/// A learner asks the leader to become a voter until it is one. Ends at once for voters.
async fn become_voter(raft: Raft, peers: Arc<Peers>, stop: CancellationToken) {
    let me = peers.marker().node_id;
    loop {
        let metrics = raft.metrics().borrow_watched().clone();
        let membership = &metrics.membership_config;
        if membership.voter_ids().any(|voter| voter == me) {
            return;
        }
        let leader = metrics.current_leader.and_then(|leader| membership.get_node(&leader).map(|node| (leader, node)));
        if membership.get_node(&me).is_some()
            && let Some((leader, node)) = leader
            && let Ok(mut client) = peers.client(&node.raft_addr, Lane::Control)
        {
            let request = pb::PromoteRequest { header: Some(peers.header(leader)) };
            if let Err(status) = client.promote(request).await {
                tracing::info!(leader, reason = status.message(), "not a voter yet");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(JOIN_AGAIN) => {}
        }
    }
}

async fn serve(listener: TcpListener, service: Service, tls: Option<Tls>, stop: CancellationToken) {
    let service = RaftPeerServer::new(service)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let server = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(5)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .add_service(service);
    let stopped = stop.clone().cancelled_owned();
    let served = match tls {
        None => {
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            server.serve_with_incoming_shutdown(incoming, stopped).await
        }
        Some(tls) => server.serve_with_incoming_shutdown(tls.incoming(listener, stop), stopped).await,
    };
    if let Err(error) = served {
        tracing::error!(%error, "the peer service ended");
    }
}

async fn look_at_disk(disk: Arc<Disk>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(DISK_LOOK) => {}
        }
        let disk = Arc::clone(&disk);
        if tokio::task::spawn_blocking(move || disk.look()).await.is_err() {
            return;
        }
    }
}
