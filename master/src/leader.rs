//! What a leader does beside answering requests: it keeps sessions, places sources, pushes assignments, joins progress.
//!
//! Everything here lives as long as one leadership. Duties start after a linearizable read and are cancelled when the
//! leadership ends; whatever they still propose then is refused, because every command names the leadership it was
//! thought out under. A new leader restarts no subtask: sessions go on under their ids.

pub mod assignments;
pub mod attach;
pub mod fence;
pub mod progress;
pub mod pusher;
pub mod reconciler;
pub mod registrar;
pub mod reports;
pub mod search;
pub mod sessions;
pub mod statuses;

use std::sync::Arc;

use dm_model::error::Chain;
use dm_raft::node::{LeaderToken, Leadership};
use dm_runtime::{Tasks, clock};
use dm_state::{Command, State, scheduler::Millis};
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{progress::Progress, sessions::Sessions, statuses::Statuses};
use crate::{
    cluster::{Cluster, Done},
    context::Context,
    error::Error,
};

/// Pause before a leadership whose start failed is tried again.
const START_AGAIN: Duration = Duration::from_millis(100);

/// One leadership of this process.
pub struct Leading {
    pub token: LeaderToken,
    pub cluster: Cluster,
    pub sessions: Sessions,
    pub statuses: Statuses,
    pub progress: Progress,
    pub cancel: CancellationToken,
}

impl Leading {
    pub async fn propose(&self, command: Command) -> Result<Done, Error> {
        self.cluster.propose_as(self.token, command).await
    }

    /// The state with everything committed before.
    pub async fn read(&self) -> Result<State, Error> {
        self.cluster.read().await
    }
}

/// The leader's monotonic clock.
pub fn now() -> Millis {
    Millis(clock::monotonic_ms())
}

/// Leads whenever this node is the leader, until `stop`.
pub async fn supervise(context: Context, stop: CancellationToken) {
    let mut leadership = context.cluster.leadership();
    // a leader was heard in this process's life, so workers have been in touch with the cluster a moment ago
    let mut was_led = false;
    loop {
        let present = leadership.borrow_and_update().clone();
        was_led |= matches!(present, Leadership::Follower { .. });
        if let Some(token) = present.token() {
            match begin(&context, token, grace(&context, was_led)).await {
                Ok(leading) => {
                    let ended = async {
                        // an error means Raft is gone, which ends the leadership as well
                        let _ = leadership.wait_for(|now| now.token() != Some(token)).await;
                    };
                    lead(&context, leading, ended, &stop).await;
                    was_led = true;
                }
                Err(error) => {
                    info!(error = %Chain(&error), "cannot begin to lead yet");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = sleep(START_AGAIN) => continue,
                    }
                }
            }
        } else {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = leadership.changed() => if changed.is_err() { return },
            }
        }
        if stop.is_cancelled() {
            return;
        }
    }
}

/// What workers need to find a new leader. After a start of the whole control plane they may have been looking for long.
fn grace(context: &Context, was_led: bool) -> Millis {
    if was_led {
        let election = context.cluster.node().election_max();
        Millis(u64::try_from(election.as_millis()).unwrap_or(u64::MAX).saturating_mul(4))
    } else {
        context.session_ttl
    }
}

async fn begin(context: &Context, token: LeaderToken, grace: Millis) -> Result<Arc<Leading>, Error> {
    let state = context.cluster.read().await?;
    registrar::bootstrap(&context.cluster, token, &state).await?;
    Ok(Arc::new(Leading {
        token,
        cluster: context.cluster.clone(),
        sessions: Sessions::new(now(), grace),
        statuses: Statuses::default(),
        progress: Progress::default(),
        cancel: CancellationToken::new(),
    }))
}

async fn lead(context: &Context, leading: Arc<Leading>, ended: impl Future<Output = ()>, stop: &CancellationToken) {
    info!(term = leading.token.term, "this dm-master leads");
    context.metrics.leader_started();
    let duties = Tasks::new();
    duties.spawn("registrar", registrar::run(context.clone(), Arc::clone(&leading)));
    duties.spawn("search", search::run(Arc::clone(&leading)));
    duties.spawn("pusher", pusher::run(Arc::clone(&leading)));
    duties.spawn("progress", progress::run(Arc::clone(&leading)));
    duties.spawn("reconciler", reconciler::run(context.clone(), Arc::clone(&leading)));
    context.leading.send_replace(Some(Arc::clone(&leading)));
    tokio::select! {
        () = ended => warn!(term = leading.token.term, "leadership is over"),
        () = stop.cancelled() => {}
    }
    context.leading.send_replace(None);
    leading.cancel.cancel();
    duties.finish().await;
    context.metrics.hide_workers();
}
