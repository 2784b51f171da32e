//! From a configuration to a running master, and its end.
//!
//! Order: the API port (a taken port must be known before a log is touched), Raft with its own port, duties, services.
//! At the end a leader hands over first; then the port closes, duties stop, Raft closes its store. All within the
//! shutdown's drain limit.

pub mod join;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use dm_config::{
    SecretKey,
    master::{Membership, RaftProfile, Resolved},
    server_tls::TlsPaths,
};
use dm_model::{MasterName, error::Chain};
use dm_raft::{
    Node,
    node::{InitialCluster, Listen, Options as RaftOptions, Profile, SlowDisk, Start},
};
use dm_runtime::{
    Shutdown, Tasks,
    metrics::Metrics,
    serve,
    tls::{self, Tls},
    version,
};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    api,
    cluster::Cluster,
    context::{Context, SESSION_TTL},
    error::Error,
    evict, leader,
    metrics::MasterMetrics,
};

/// Handing over at the end; without an answer by then the others elect somebody.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(2);
/// Everything else that has to end.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// How often Raft's figures go to the gauges.
const FIGURES_PERIOD: Duration = Duration::from_secs(1);

/// What a master runs with.
#[derive(Debug, Clone)]
pub struct Options {
    pub name: MasterName,
    /// `host:port` to listen on for clients and workers.
    pub master_addr: String,
    pub advertise_addr: String,
    /// `host:port` to listen on for other masters.
    pub peer_addr: String,
    pub advertise_peer_addr: String,
    pub data_dir: PathBuf,
    pub membership: Membership,
    pub profile: Profile,
    pub secret_key: Option<SecretKey>,
    pub session_ttl: Duration,
    /// Between masters, workers and clients.
    pub tls: Option<Tls>,
}

impl Options {
    /// Reads the key file. Fails for what this version cannot do.
    pub fn of_config(config: Resolved) -> Result<Self, Error> {
        let tls = config.tls.map(|paths| {
            let TlsPaths { ca, cert, key, allowed_cn } = paths;
            Tls::load(tls::Files { ca, cert, key, allowed_cn })
        });
        if config.openapi {
            warn!("`openapi` is not built yet in this version and stays off");
        }
        let secret_key = match &config.secret_key_path {
            None => None,
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|source| Error::ReadFile { path: path.clone(), source })?;
                Some(SecretKey::parse(&text)?)
            }
        };
        let first = |urls: &[String]| urls.first().map(|url| authority(url)).unwrap_or_default();
        Ok(Self {
            peer_addr: first(&config.peer_urls),
            advertise_peer_addr: first(&config.advertise_peer_urls),
            name: config.name,
            master_addr: config.master_addr,
            advertise_addr: config.advertise_addr,
            data_dir: config.data_dir.into(),
            membership: config.membership,
            profile: match config.raft_profile {
                RaftProfile::Lan => Profile::Lan,
                RaftProfile::Fast => Profile::Fast,
                RaftProfile::Wan => Profile::Wan,
            },
            secret_key,
            session_ttl: SESSION_TTL,
            tls: tls.transpose()?,
        })
    }
}

/// `http://host:port` → `host:port`.
fn authority(url: &str) -> String {
    url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/').to_owned()
}

/// A running master.
pub struct Master {
    context: Context,
    shutdown: Shutdown,
    api_addr: SocketAddr,
    duties: Tasks,
    stop_duties: CancellationToken,
    server: tokio::task::JoinHandle<()>,
    server_shutdown: Shutdown,
}

impl Master {
    /// Starts everything; returns when both ports are open, which is before there is a leader.
    pub async fn start(options: Options, shutdown: Shutdown) -> Result<Self, Error> {
        let listener = serve::listen(&options.master_addr).await?;
        let api_addr =
            listener.local_addr().map_err(|source| Error::Listen { addr: options.master_addr.clone(), source })?;
        let metrics = Metrics::new();
        let master_metrics = MasterMetrics::default();
        master_metrics.register(&metrics);
        let node = open_raft(&options).await?;
        let context = Context::new(
            options.name.clone(),
            options.advertise_addr.clone(),
            Cluster::new(node),
            options.secret_key.clone(),
            options.session_ttl,
            options.tls.clone(),
            master_metrics,
            Tasks::new(),
        );
        let (duties, stop_duties) = (Tasks::new(), CancellationToken::new());
        duties.spawn("leader", leader::supervise(context.clone(), stop_duties.clone()));
        duties.spawn("evict", evict::run(context.clone(), stop_duties.clone()));
        duties.spawn("figures", show_figures(context.clone(), stop_duties.clone()));
        let (server, server_shutdown) = start_server(&context, metrics, listener, options.tls.clone());
        info!(name = %options.name, api = %api_addr, peer = %context.cluster.node().peer_addr(), "dm-master runs");
        Ok(Self { context, shutdown, api_addr, duties, stop_duties, server, server_shutdown })
    }

    pub fn api_addr(&self) -> SocketAddr {
        self.api_addr
    }

    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Runs until the shutdown drains, or until Raft cannot go on.
    pub async fn run(self) -> Result<(), Error> {
        let fatal = tokio::select! {
            () = self.shutdown.drain.cancelled() => None,
            () = self.shutdown.kill.cancelled() => None,
            reason = self.context.cluster.node().fatal() => Some(reason),
        };
        let kill = self.shutdown.kill.clone();
        tokio::select! {
            () = self.stop(fatal.is_none()) => {}
            () = kill.cancelled() => warn!("ended without finishing"),
        }
        match fatal {
            None => Ok(()),
            Some(reason) => Err(Error::Fatal { reason }),
        }
    }

    async fn stop(self, hand_over: bool) {
        if hand_over {
            hand_leadership_over(&self.context).await;
        }
        self.stop_duties.cancel();
        self.server_shutdown.drain.cancel();
        if timeout(STOP_LIMIT, self.duties.finish()).await.is_err() {
            warn!("duties did not end in time");
        }
        if timeout(STOP_LIMIT / 3, self.server).await.is_err() {
            // long streams that nobody closes
            self.server_shutdown.kill.cancel();
        }
        self.context.cluster.node().shutdown().await;
        info!("dm-master has ended");
    }
}

async fn hand_leadership_over(context: &Context) {
    let node = context.cluster.node();
    if !node.leadership().borrow().is_leader() {
        return;
    }
    let Some(to) = node.best_successor(&evict::evicted_nodes(&context.cluster)) else { return };
    info!(to, "handing leadership over before the end");
    match timeout(HAND_OVER_LIMIT, node.transfer_leader(to, SlowDisk::Accept)).await {
        Ok(Ok(transfer)) => info!(leader = transfer.leader, gap = ?transfer.gap, "leadership handed over"),
        Ok(Err(error)) => warn!(error = %Chain(&error), "leadership was not handed over, the others elect"),
        Err(_) => warn!("leadership was not handed over in time, the others elect"),
    }
}

fn start_server(
    context: &Context,
    metrics: Metrics,
    listener: TcpListener,
    tls: Option<Tls>,
) -> (tokio::task::JoinHandle<()>, Shutdown) {
    let router = api::routes(context).merge(serve::status_routes(metrics));
    let shutdown = Shutdown::new();
    let server = context.tasks.spawn("api", serve::serve_with(listener, router, tls, shutdown.clone()));
    (server, shutdown)
}

async fn open_raft(options: &Options) -> Result<Node, Error> {
    let peers = |members: &BTreeMap<MasterName, Vec<String>>| -> Vec<(String, String)> {
        let first = |urls: &Vec<String>| urls.first().map(|url| authority(url)).unwrap_or_default();
        members.iter().map(|(name, urls)| (name.to_string(), first(urls))).collect()
    };
    let start = match &options.membership {
        Membership::Bootstrap(members) => Start::Bootstrap(InitialCluster::new(peers(members))),
        Membership::Existing(members) => {
            let others = peers(members).into_iter().filter(|(name, _)| name != options.name.as_str());
            Start::Join(others.map(|(_, addr)| addr).collect())
        }
        Membership::Join(_) if options.data_dir.join("raft").exists() => Start::Join(Vec::new()),
        Membership::Join(clients) => Start::Join(join::peers_of(clients, options.tls.clone()).await?),
    };
    let peer = std::net::TcpListener::bind(listen_addr(&options.peer_addr))
        .map_err(|source| Error::Listen { addr: options.peer_addr.clone(), source })?;
    let mut raft = RaftOptions::new(
        options.name.to_string(),
        options.data_dir.clone(),
        options.advertise_peer_addr.clone(),
        start,
    );
    raft.api_addr = options.advertise_addr.clone();
    raft.version = version::VERSION.to_owned();
    raft.listen = Listen::Bound(peer);
    raft.profile = options.profile;
    raft.tls = options.tls.clone();
    Ok(Node::open(raft).await?)
}

fn listen_addr(addr: &str) -> String {
    if addr.starts_with(':') { format!("0.0.0.0{addr}") } else { addr.to_owned() }
}

async fn show_figures(context: Context, stop: CancellationToken) {
    loop {
        context.metrics.show_raft(&context.cluster.node().figures());
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(FIGURES_PERIOD) => {}
        }
    }
}
