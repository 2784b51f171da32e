//! Waiting until workers do what was asked: at most ten seconds, then the operator is told to look.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dm_model::{
    Revision, Stage, SubtaskId,
    error::{Class, Code, Level, Report, Retry, Scope},
};
use dm_proto::pb;
use dm_state::State;
use tokio::time::{Instant, timeout_at};

use crate::leader::Leading;

/// DM polls ten times, a second apart.
pub const LIMIT: Duration = Duration::from_secs(10);

const LOOK: &str = "Please use `query-status` to see the stage of the subtask.";
const NOT_REACHED: Code = Code::new(38033, Class::DmMaster, Scope::Internal, Level::High, LOOK);
const FAILED: Code = Code::new(38045, Class::DmMaster, Scope::Internal, Level::High, LOOK);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    Running,
    Paused,
    /// Nobody acts for it any more: its owner has let go.
    Ended,
}

/// Where a subtask stands with respect to a goal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Reached,
    /// It stands on an error.
    Failed(String),
    NotYet,
}

/// Waits for all subtasks until the limit, or until none can change any more.
pub async fn until(
    leading: &Leading,
    ids: &[SubtaskId],
    revision: Revision,
    goal: Goal,
) -> BTreeMap<SubtaskId, Outcome> {
    let mut version = leading.statuses.version();
    let mut applied = leading.cluster.node().revision();
    let until = Instant::now() + LIMIT;
    loop {
        version.borrow_and_update();
        applied.borrow_and_update();
        let state = leading.cluster.local();
        let outcomes: BTreeMap<_, _> =
            ids.iter().map(|id| (id.clone(), judge(leading, &state, id, revision, goal))).collect();
        if outcomes.values().all(|outcome| *outcome != Outcome::NotYet) || leading.cancel.is_cancelled() {
            return outcomes;
        }
        let changed = async {
            tokio::select! {
                changed = version.changed() => changed.is_ok(),
                changed = applied.changed() => changed.is_ok(),
                () = leading.cancel.cancelled() => true,
            }
        };
        if !timeout_at(until, changed).await.unwrap_or(false) {
            return outcomes;
        }
    }
}

fn judge(leading: &Leading, state: &State, id: &SubtaskId, revision: Revision, goal: Goal) -> Outcome {
    let Some(subtask) = state.subtask(id) else {
        return if goal == Goal::Ended { Outcome::Reached } else { Outcome::NotYet };
    };
    let Some(owner) = subtask.owner else {
        return if goal == Goal::Ended { Outcome::Reached } else { Outcome::NotYet };
    };
    if subtask.finished && goal != Goal::Ended {
        return Outcome::Reached;
    }
    let Some(reported) = leading.statuses.latest(id).filter(|reported| reported.epoch == owner.epoch) else {
        return Outcome::NotYet;
    };
    if reported.report.wanted_revision < revision.0 {
        return Outcome::NotYet;
    }
    let errors = reported.errors();
    match (goal, reported.stage()) {
        (Goal::Running, Some(Stage::Running | Stage::Finished)) => Outcome::Reached,
        (Goal::Paused, Some(Stage::Paused | Stage::Finished)) => Outcome::Reached,
        (Goal::Running, Some(Stage::Paused)) if !errors.is_empty() => Outcome::Failed(errors_text(errors)),
        _ => Outcome::NotYet,
    }
}

fn errors_text(errors: &[pb::ProcessError]) -> String {
    let texts: Vec<String> = errors
        .iter()
        .map(|error| {
            format!(
                "[code={}:class={}:scope={}:level={}], Message: {}, RawCause: {}, Workaround: {}",
                error.err_code,
                error.err_class,
                error.err_scope,
                error.err_level,
                error.message,
                error.raw_cause,
                error.workaround
            )
        })
        .collect();
    texts.join("; ")
}

/// One element per subtask.
pub fn elements(state: &State, outcomes: BTreeMap<SubtaskId, Outcome>) -> Vec<pb::CommonWorkerResponse> {
    outcomes
        .into_iter()
        .map(|(id, outcome)| {
            let (result, msg) = match outcome {
                Outcome::Reached => (true, String::new()),
                Outcome::Failed(errors) => (false, Report::new(FAILED, Retry::Never, errors).to_string()),
                Outcome::NotYet => {
                    let message =
                        format!("request to the dm-worker of {} is not done after {} s", id.source, LIMIT.as_secs());
                    (false, Report::new(NOT_REACHED, Retry::Never, message).to_string())
                }
            };
            element(state, &id, result, msg)
        })
        .collect()
}

pub fn element(state: &State, id: &SubtaskId, result: bool, msg: String) -> pb::CommonWorkerResponse {
    let worker = state.worker_of(&id.source).map(|worker| worker.name.to_string()).unwrap_or_default();
    pb::CommonWorkerResponse { result, msg, source: id.source.to_string(), worker }
}

/// Those that did not get there.
pub fn behind(outcomes: &BTreeMap<SubtaskId, Outcome>) -> BTreeSet<SubtaskId> {
    outcomes.iter().filter(|(_, outcome)| **outcome == Outcome::NotYet).map(|(id, _)| id.clone()).collect()
}
