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
use dm_state::{State, record::Subtask};
use tokio::time::{Instant, timeout_at};

use crate::leader::{Leading, statuses::Reported};

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
    /// It was taken from an owner that did not say it has let go, and that may act on: only a fence makes it true.
    TakenAway,
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
        let outcomes: BTreeMap<_, _> = ids
            .iter()
            .map(|id| {
                let latest = leading.statuses.latest(id);
                (id.clone(), judge(state.subtask(id), latest.as_ref(), revision, goal))
            })
            .collect();
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

fn judge(subtask: Option<&Subtask>, latest: Option<&Reported>, revision: Revision, goal: Goal) -> Outcome {
    let Some(subtask) = subtask else {
        return if goal == Goal::Ended { Outcome::Reached } else { Outcome::NotYet };
    };
    // an owner that was lost is none that has stopped, whatever its successor says
    let rested = if subtask.unfenced.is_some() { Outcome::TakenAway } else { Outcome::Reached };
    let Some(owner) = subtask.owner else {
        return match goal {
            Goal::Ended => rested,
            Goal::Paused if rested == Outcome::TakenAway => rested,
            Goal::Paused | Goal::Running => Outcome::NotYet,
        };
    };
    if subtask.finished && goal != Goal::Ended {
        return Outcome::Reached;
    }
    let Some(reported) = latest.filter(|reported| reported.epoch == owner.epoch) else {
        return Outcome::NotYet;
    };
    if reported.report.wanted_revision < revision.0 {
        return Outcome::NotYet;
    }
    let errors = reported.errors();
    match (goal, reported.stage()) {
        (Goal::Running, Some(Stage::Running | Stage::Finished)) => Outcome::Reached,
        (Goal::Paused, Some(Stage::Paused | Stage::Finished)) => rested,
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
                Outcome::NotYet | Outcome::TakenAway => {
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

/// Those that did not get there, or got there without the word of whoever acted for them.
pub fn behind(outcomes: &BTreeMap<SubtaskId, Outcome>) -> BTreeSet<SubtaskId> {
    let is_behind = |outcome: &Outcome| matches!(outcome, Outcome::NotYet | Outcome::TakenAway);
    outcomes.iter().filter(|(_, outcome)| is_behind(outcome)).map(|(id, _)| id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dm_model::{Epoch, SessionId, SourceId, TaskName};
    use dm_proto::session::SubtaskReport;
    use dm_state::record::{ConfigText, Ownership, Wanted};

    use super::*;

    const ASKED: Revision = Revision(20);

    fn subtask(owner: Option<u64>, unfenced: Option<u64>) -> Subtask {
        let id = SubtaskId::new(TaskName::parse("t").unwrap(), SourceId::parse("s").unwrap());
        Subtask {
            id,
            config: ConfigText::default(),
            config_revision: Revision(1),
            wanted: Wanted::Paused,
            wanted_revision: ASKED,
            owner: owner.map(|epoch| Ownership { epoch: Epoch(epoch), session: SessionId(3) }),
            last_epoch: Epoch(10),
            unfenced: unfenced.map(Epoch),
            progress: None,
            finished: false,
            start: None,
            operators: BTreeMap::new(),
        }
    }

    fn reported(stage: pb::Stage) -> Reported {
        let mut status = pb::SubTaskStatus::default();
        status.set_stage(stage);
        let report = SubtaskReport { status: Some(status), wanted_revision: ASKED.0, ..SubtaskReport::default() };
        Reported { session: SessionId(3), epoch: Epoch(10), at: tokio::time::Instant::now(), report }
    }

    /// A lost owner leaves no owner behind, and so does one that let go. Only the second is a stop.
    #[test]
    fn a_lost_owner_has_not_stopped_and_its_successor_cannot_pause_for_it() {
        let paused = reported(pb::Stage::Paused);
        for (owner, unfenced, latest, goal, expected) in [
            (None, None, None, Goal::Ended, Outcome::Reached),
            (None, Some(9), None, Goal::Ended, Outcome::TakenAway),
            (Some(10), None, None, Goal::Ended, Outcome::NotYet),
            (Some(10), None, Some(&paused), Goal::Paused, Outcome::Reached),
            (Some(10), Some(9), Some(&paused), Goal::Paused, Outcome::TakenAway),
            (None, Some(9), Some(&paused), Goal::Paused, Outcome::TakenAway),
            (None, None, Some(&paused), Goal::Paused, Outcome::NotYet),
            (None, Some(9), None, Goal::Running, Outcome::NotYet),
        ] {
            let outcome = judge(Some(&subtask(owner, unfenced)), latest, ASKED, goal);
            assert_eq!(outcome, expected, "{owner:?} {unfenced:?} {goal:?}");
        }
    }
}
