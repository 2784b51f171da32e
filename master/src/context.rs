//! What every request handler and every duty of this process may use. Cheap to clone; all clones are one process.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dm_config::SecretKey;
use dm_model::MasterName;
use dm_runtime::{
    Tasks,
    channel::{Dialer, Limits},
    tls::Tls,
};
use dm_state::scheduler::Millis;
use tokio::sync::watch;
use tonic::transport::Channel;

use crate::{cluster::Cluster, error::Error, latch::Latches, leader::Leading, metrics::MasterMetrics};

/// How long a session may be silent: DM's `keepalive-ttl` of workers is 60 s because nothing fences them; ours is short.
pub const SESSION_TTL: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Context {
    shared: Arc<Shared>,
}

pub struct Shared {
    pub name: MasterName,
    pub advertise_addr: String,
    pub cluster: Cluster,
    pub secret_key: Option<SecretKey>,
    /// How long a worker may be silent that did not ask for a time of its own.
    pub session_ttl: Millis,
    pub latches: Latches,
    pub metrics: MasterMetrics,
    pub tasks: Tasks,
    /// What this process does as a leader; `None` while it does not lead.
    pub leading: watch::Sender<Option<Arc<Leading>>>,
    dialer: Dialer,
    channels: Mutex<HashMap<String, Channel>>,
}

impl Context {
    pub fn new(
        name: MasterName,
        advertise_addr: String,
        cluster: Cluster,
        secret_key: Option<SecretKey>,
        ttl: Duration,
        tls: Option<Tls>,
        metrics: MasterMetrics,
        tasks: Tasks,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                name,
                advertise_addr,
                cluster,
                secret_key,
                session_ttl: Millis(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
                latches: Latches::default(),
                metrics,
                tasks,
                leading: watch::Sender::new(None),
                dialer: Dialer::new(Limits::default(), tls),
                channels: Mutex::new(HashMap::new()),
            }),
        }
    }

    /// A channel to another master, dialled when it is used. Kept for later requests.
    pub fn channel(&self, addr: &str) -> Result<Channel, Error> {
        let mut channels = self.shared.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(addr) {
            return Ok(channel.clone());
        }
        let channel =
            self.shared.dialer.lazy(addr).map_err(|source| Error::Forward { addr: addr.to_owned(), source })?;
        channels.insert(addr.to_owned(), channel.clone());
        Ok(channel)
    }
}

impl Deref for Context {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}
