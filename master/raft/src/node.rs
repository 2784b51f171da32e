//! The handle the master process uses: one node of the Raft group.
//!
//! Owns: the store, Raft, the peer service, and the tasks beside them. Cheap to clone; all clones are one node.
//! Never does: propose anything by itself, but the registration of masters: of one that asks to join, and of itself.
//! Fails: see [`ProposeError`] for one command; [`Node::fatal`] ends when the node can go on no more.

mod disk;
mod figures;
mod leadership;
mod members;
pub mod options;
mod propose;
mod register;
mod removed;
mod start;
#[cfg(test)]
mod tests;
mod transfer;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dm_model::{NodeId, Revision};
use dm_state::State;
use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::{
    sync::{broadcast, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub use self::{
    figures::Figures,
    leadership::{LeaderHint, LeaderToken, Leadership},
    members::Member,
    options::{DiskLimits, InitialCluster, Listen, Options, Profile, SnapshotLimits, Start},
    propose::{Committed, ProposeError},
    transfer::{SlowDisk, Transfer, TransferError},
};
use crate::{
    error::Error,
    log_store::Marker,
    machine::{Applied, Change},
    network::Peers,
    types::Raft,
};

/// Time each task has to end at a shutdown.
const SHUTDOWN: Duration = Duration::from_millis(300);

/// One dm-master's part in the Raft group.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

struct Shared {
    raft: Raft,
    peers: Arc<Peers>,
    applied: Arc<Applied>,
    disk: Arc<disk::Disk>,
    leadership: watch::Receiver<Leadership>,
    removed: watch::Receiver<bool>,
    profile: Profile,
    timeout: Duration,
    peer_addr: std::net::SocketAddr,
    stop: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Node {
    /// Opens the store and takes part in the cluster it belongs to; a pristine store is brought into one first, as
    /// [`Options::start`] says. Returns when the node runs, which is before there is a leader.
    pub async fn open(options: Options) -> Result<Self, Error> {
        start::open(options).await
    }

    pub fn node_id(&self) -> u64 {
        self.shared.peers.marker().node_id
    }

    /// The same, as the state's type.
    pub fn id(&self) -> NodeId {
        NodeId(self.node_id())
    }

    /// Cluster, node and store, as they are on disk.
    pub fn identity(&self) -> &Marker {
        self.shared.peers.marker()
    }

    /// Where the peer service listens.
    pub fn peer_addr(&self) -> std::net::SocketAddr {
        self.shared.peer_addr
    }

    /// The state as applied here, which may be behind; [`Node::read`] is not. Cheap: a clone shares its maps.
    pub fn state(&self) -> State {
        self.shared.applied.state()
    }

    /// The index up to which entries are applied here.
    pub fn revision(&self) -> watch::Receiver<Revision> {
        self.shared.applied.revision()
    }

    /// What each applied entry changed, from now on. A receiver that lags by more than 4096 changes is told so, and
    /// reads the whole state again, as it does on [`Change::Replaced`].
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared.applied.changes()
    }

    /// Ends when the node cannot go on: a failed write, damaged data, an unknown command, or the others took it out of the
    /// group. The process should exit.
    pub async fn fatal(&self) -> String {
        let mut metrics = self.shared.raft.metrics();
        let mut removed = self.shared.removed.clone();
        loop {
            if let Err(fatal) = &metrics.borrow_and_update().running_state {
                return fatal.to_string();
            }
            if *removed.borrow_and_update() {
                return "this dm-master was removed from the cluster, its store cannot be used any more".to_owned();
            }
            tokio::select! {
                changed = metrics.changed() => if changed.is_err() {
                    return "raft is gone".to_owned();
                },
                // the watcher ends with the node, and then the metrics say so
                Ok(()) = removed.changed() => {}
            }
        }
    }

    /// Stops Raft and the peer service and closes the store; every clone is unusable after. A leader that should hand
    /// over calls [`Node::transfer_leader`] before.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        if let Err(error) = self.shared.raft.shutdown().await {
            tracing::warn!(%error, "raft did not stop cleanly");
        }
        let tasks = std::mem::take(&mut *self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for mut task in tasks {
            // Connections end by themselves when their peers let go; they are not waited for.
            if tokio::time::timeout(SHUTDOWN, &mut task).await.is_err() {
                task.abort();
            }
        }
        let log = self.shared.peers.log().clone();
        if tokio::task::spawn_blocking(move || log.close()).await.is_err() {
            tracing::warn!("the log store did not close cleanly");
        }
    }
}
