//! Workers and their sessions.

use dm_model::{Revision, SessionId, UnixMillis, WorkerName};
use serde::{Deserialize, Serialize};

/// A registered worker, alive or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    pub name: WorkerName,
    /// The advertised address it registered with.
    pub addr: String,
    pub registered: Revision,
    /// Its live session. `None` is DM's stage `offline`.
    pub session: Option<SessionId>,
}

/// A live session; one that ended is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub id: SessionId,
    pub worker: WorkerName,
    /// Made anew by each start of the worker process.
    pub instance_uuid: String,
    pub addr: String,
    /// The worker program's version text.
    pub version: String,
    pub opened_at: UnixMillis,
    /// How long it may be silent, in milliseconds; 0: as long as the cluster says.
    pub keepalive_ms: u64,
}
