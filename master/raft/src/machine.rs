//! The state machine as Raft sees it: decodes commands, applies them to `dm_state::State`, tells watchers, and makes and
//! takes snapshots.
//!
//! The state lives in memory; what is durable is the log and the newest snapshot. A command this program cannot decode
//! stops the node: a master that skipped it would differ from the others for ever.

use std::{
    io,
    sync::{Arc, PoisonError, RwLock},
};

use bytes::Bytes;
use dm_model::Revision;
use dm_state::{State, Touched};
use futures::{Stream, StreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    storage::{EntryResponder, RaftStateMachine},
};
use tokio::sync::{broadcast, watch};

use crate::{
    codec, snapshot_store,
    snapshot_store::SnapshotStore,
    types::{Answer, Entry, LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig},
};

/// Changes a slow watcher may lag behind before it has to read the whole state again.
const CHANGES: usize = 4096;

/// One applied revision that changed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Applied {
        revision: Revision,
        touched: Arc<Touched>,
    },
    /// The state was replaced by a snapshot of the leader: read everything again.
    Replaced {
        revision: Revision,
    },
}

impl Change {
    pub fn revision(&self) -> Revision {
        match self {
            Self::Applied { revision, .. } | Self::Replaced { revision } => *revision,
        }
    }
}

/// The applied state, shared with readers.
pub(crate) struct Applied {
    inner: RwLock<Inner>,
    changes: broadcast::Sender<Change>,
    revision: watch::Sender<Revision>,
}

#[derive(Default)]
struct Inner {
    state: State,
    last: Option<LogId>,
    membership: StoredMembership,
}

impl Applied {
    fn new() -> Self {
        Self {
            inner: RwLock::default(),
            changes: broadcast::Sender::new(CHANGES),
            revision: watch::Sender::new(Revision(0)),
        }
    }

    /// The state as applied here. A clone shares its maps, so it is cheap.
    pub(crate) fn state(&self) -> State {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).state.clone()
    }

    pub(crate) fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    pub(crate) fn revision(&self) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }

    fn apply(&self, entry: Entry) -> Result<Answer, io::Error> {
        let revision = Revision(entry.log_id.index);
        let command = match &entry.payload {
            EntryPayload::Normal(proposal) => Some(codec::decode_command(&proposal.0).map_err(|error| {
                tracing::error!(%revision, %error, "cannot read a committed command; this master stops");
                io::Error::from(error)
            })?),
            EntryPayload::Blank | EntryPayload::Membership(_) => None,
        };
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.last = Some(entry.log_id);
        let applied = match command {
            Some(command) => {
                let stamp = command.stamp(revision);
                Some(dm_state::apply(&mut inner.state, stamp, command.command))
            }
            None => {
                if let EntryPayload::Membership(membership) = entry.payload {
                    inner.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
                inner.state.advance(revision);
                None
            }
        };
        drop(inner);
        self.revision.send_replace(revision);
        Ok(Answer(applied.map(|applied| {
            if !applied.touched.is_empty() {
                // Nobody listening is fine.
                let _ = self.changes.send(Change::Applied { revision, touched: Arc::new(applied.touched) });
            }
            applied.reply
        })))
    }

    fn replace(&self, meta: &SnapshotMeta, state: State) {
        let revision = state.applied();
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        *inner = Inner { state, last: meta.last_log_id, membership: meta.last_membership.clone() };
        drop(inner);
        self.revision.send_replace(revision);
        let _ = self.changes.send(Change::Replaced { revision });
    }

    fn snapshot_source(&self) -> (SnapshotMeta, State) {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let meta = SnapshotMeta { last_log_id: inner.last, last_membership: inner.membership.clone() };
        (meta, inner.state.clone())
    }
}

/// What Raft drives.
pub(crate) struct Machine {
    applied: Arc<Applied>,
    snapshots: Arc<SnapshotStore>,
}

impl Machine {
    /// An empty machine; Raft fills it from the newest snapshot and the log.
    pub(crate) fn new(snapshots: Arc<SnapshotStore>) -> Self {
        Self { applied: Arc::new(Applied::new()), snapshots }
    }

    pub(crate) fn applied(&self) -> Arc<Applied> {
        Arc::clone(&self.applied)
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    /// A snapshot file's bytes: states are small.
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let (meta, _) = self.applied.snapshot_source();
        Ok((meta.last_log_id, meta.last_membership))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let answer = self.applied.apply(entry)?;
            if let Some(responder) = responder {
                responder.send(answer);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { applied: Arc::clone(&self.applied), snapshots: Arc::clone(&self.snapshots) }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Bytes) -> Result<(), io::Error> {
        let meta = meta.clone();
        let snapshots = Arc::clone(&self.snapshots);
        let (meta, state) = blocking(move || {
            let (_, state) = snapshot_store::decode(&snapshot)?;
            snapshots.publish(&meta, &snapshot)?;
            Ok((meta, state))
        })
        .await?;
        tracing::info!(last = ?meta.last_log_id, "state replaced by a snapshot");
        self.applied.replace(&meta, state);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let snapshots = Arc::clone(&self.snapshots);
        let newest = blocking(move || snapshots.read()).await?;
        Ok(newest.map(|(meta, snapshot)| Snapshot { meta, snapshot }))
    }
}

/// Makes a snapshot of the state at the moment it starts, beside the machine.
pub(crate) struct Builder {
    applied: Arc<Applied>,
    snapshots: Arc<SnapshotStore>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let (meta, state) = self.applied.snapshot_source();
        let snapshots = Arc::clone(&self.snapshots);
        blocking(move || {
            let snapshot = snapshot_store::encode(&meta, &state)?;
            snapshots.publish(&meta, &snapshot)?;
            tracing::info!(last = ?meta.last_log_id, n_bytes = snapshot.len(), "snapshot written");
            Ok(Snapshot { meta, snapshot })
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
