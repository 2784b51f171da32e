//! Sources and where they are placed.

use std::{fmt, sync::Arc};

use dm_model::{Revision, SessionId, SourceId, UnixMillis, WorkerName};
use serde::{Deserialize, Serialize};

/// Configuration as text. May hold passwords, so its `Debug` shows the length only. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfigText(pub Arc<str>);

impl ConfigText {
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ConfigText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfigText({} bytes)", self.0.len())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub id: SourceId,
    pub config: ConfigText,
    /// The revision that last changed `config`.
    pub config_revision: Revision,
    pub created_at: UnixMillis,
    /// The session that carries this source and all its subtasks.
    pub placement: Option<Placement>,
    /// The worker of the last placement: where it returns to if it can.
    pub last_worker: Option<WorkerName>,
    /// An ordered move that is under way: the owner drains and releases, then the source is placed there.
    pub moving_to: Option<WorkerName>,
}

/// A source is placed whole on one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub session: SessionId,
    pub since: Revision,
}
