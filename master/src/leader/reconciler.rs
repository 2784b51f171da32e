//! The loop that makes placements what they should be: facts and state in, the planner's commands out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use dm_model::{SourceId, error::Chain};
use dm_raft::Change;
use dm_state::{
    State,
    scheduler::{Balance, Millis, Step, Ttl, View, plan},
};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use super::{Leading, now};
use crate::{context::Context, error::Error};

/// Expiry is looked at this often; short against every TTL.
const TICK: Duration = Duration::from_millis(50);
/// How long an owner may take to drain before the move goes on without it.
const MOVE_LIMIT: Millis = Millis(10_000);
/// Sources are moved to even out loads only from this difference on.
const BALANCE: Balance = Balance::AtGap(2);

pub(super) async fn run(context: Context, leading: Arc<Leading>) {
    let mut changes = leading.cluster.changes();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_turn = now();
    let mut moving: BTreeMap<SourceId, Millis> = BTreeMap::new();
    loop {
        tokio::select! {
            biased;
            () = leading.cancel.cancelled() => return,
            _ = tick.tick() => {}
            change = changes.recv() => match change {
                Ok(Change::Applied { touched, .. })
                    if touched.sessions.is_empty() && touched.sources.is_empty() && touched.subtasks.is_empty() =>
                {
                    continue;
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
        }
        let at = now();
        let gap = Millis(at.0.saturating_sub(last_turn.0));
        last_turn = at;
        if Ttl::of_keepalive(context.session_ttl, Millis(0)).must_restart_timers(gap) {
            warn!(gap_ms = gap.0, "this dm-master stood still, sessions get their full time again");
            leading.sessions.restart_timers(at);
        }
        // an isolated leader must not give up workers that talk to another one
        if leading.cluster.has_quorum_lease() {
            turn(&context, &leading, at, &mut moving).await;
        }
    }
}

async fn turn(context: &Context, leading: &Leading, at: Millis, moving: &mut BTreeMap<SourceId, Millis>) {
    let state = leading.cluster.local();
    let (mut facts, lost) = leading.sessions.facts(&state, at, context.session_ttl);
    facts.overdue_moves = overdue(&state, at, moving);
    let plan = plan(&View::of(&state, &facts), BALANCE);
    for step in &plan.moves {
        info!(%step, "placing");
        match leading.propose(step.command()).await {
            Ok(_) => {
                if let Step::Expire { .. } = step.step {
                    for (_, cause) in &lost {
                        context.metrics.session_expired(&cause.to_string());
                    }
                }
            }
            // the state has moved on, the next turn sees it
            Err(Error::Rejected(rejection)) => info!(%rejection, "placement was refused"),
            Err(error) => {
                info!(error = %Chain(&error), "placement failed");
                return;
            }
        }
    }
}

fn overdue(state: &State, at: Millis, moving: &mut BTreeMap<SourceId, Millis>) -> BTreeSet<SourceId> {
    let now_moving: BTreeSet<_> =
        state.sources().filter(|source| source.moving_to.is_some()).map(|source| source.id.clone()).collect();
    moving.retain(|source, _| now_moving.contains(source));
    now_moving
        .into_iter()
        .filter(|source| {
            let since = *moving.entry(source.clone()).or_insert(at);
            at.0.saturating_sub(since.0) >= MOVE_LIMIT.0
        })
        .collect()
}
