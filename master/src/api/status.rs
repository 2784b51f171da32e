//! `query-status`: from the newest reports in memory, joined with what the state says. Workers are never asked.

use std::collections::BTreeSet;

use dm_model::{SourceId, SubtaskId, TaskName};
use dm_proto::pb::{self, sub_task_status::Status as Body};
use dm_state::{
    State,
    record::{Subtask, Wanted},
};

use super::View;
use crate::{context::Context, error::Error, leader::statuses::Reported};

/// A worker reports twice a second; one that was not heard for this long may hang.
const SILENCE_MS: i64 = 2_000;

const NO_REPORT: &str = "waiting for the first report of the dm-worker";

/// What DM answers for a task it does not know.
pub fn unknown_task(task: &str) -> String {
    format!("task {task} has no source or not exist, please check the task name and status")
}

pub(super) fn query(
    _context: &Context,
    view: &View,
    request: pb::QueryStatusListRequest,
) -> pb::QueryStatusListResponse {
    let refuse = |msg| pb::QueryStatusListResponse { result: false, msg, sources: Vec::new() };
    let task = match request.name.as_str() {
        "" => None,
        name => match TaskName::parse(name) {
            Ok(task) => Some(task),
            Err(_) => return refuse(unknown_task(name)),
        },
    };
    let state = view.state();
    let sources = match sources(state, task.as_ref(), &request.sources) {
        Ok(sources) => sources,
        Err(msg) => return refuse(msg),
    };
    let latest = |id: &SubtaskId| view.leading().and_then(|leading| leading.statuses.latest(id));
    let sources = sources
        .iter()
        .map(|source| {
            let mut shown = of_source(state, source, task.as_ref(), &latest);
            if let Some(status) = &mut shown.source_status {
                status.result = source_result(view, source);
            }
            if view.leading().is_none() {
                for status in &mut shown.sub_task_status {
                    if status.status == Some(Body::Msg(NO_REPORT.to_owned())) {
                        status.status = Some(Body::Msg("only a leader knows what the dm-worker says".to_owned()));
                    }
                }
            }
            shown
        })
        .collect();
    pb::QueryStatusListResponse { result: true, msg: view.note(), sources }
}

/// What the worker says of the source as a whole.
fn source_result(view: &View, source: &SourceId) -> Option<pb::ProcessResult> {
    let placement = view.state().source(source)?.placement.as_ref()?;
    view.leading()?.statuses.carried(placement.session)?.sources.get(source.as_str()).cloned()
}

/// Which sources are shown: those named, else those of the task, else all.
fn sources(state: &State, task: Option<&TaskName>, named: &[String]) -> Result<BTreeSet<SourceId>, String> {
    if !named.is_empty() {
        return named
            .iter()
            .map(|name| {
                SourceId::parse(name.clone())
                    .map_err(|_| Error::BadArgument { what: "source-id", text: name.clone() }.text())
            })
            .collect();
    }
    match task {
        None => Ok(state.sources().map(|source| source.id.clone()).collect()),
        Some(task) => {
            let sources: BTreeSet<_> = state.subtasks_of_task(task).map(|subtask| subtask.id.source.clone()).collect();
            if sources.is_empty() { Err(unknown_task(task.as_str())) } else { Ok(sources) }
        }
    }
}

fn of_source(
    state: &State,
    source: &SourceId,
    task: Option<&TaskName>,
    latest: &dyn Fn(&SubtaskId) -> Option<Reported>,
) -> pb::QueryStatusResponse {
    let mut response = pb::QueryStatusResponse {
        result: true,
        source_status: Some(pb::SourceStatus { source: source.to_string(), ..pb::SourceStatus::default() }),
        ..pb::QueryStatusResponse::default()
    };
    if state.source(source).is_none() {
        response.result = false;
        response.msg = Error::Rejected(dm_state::Rejection::SourceUnknown { source_id: source.clone() }).text();
        return response;
    }
    let worker = state.worker_of(source).map(|worker| worker.name.to_string());
    response.result = worker.is_some();
    if worker.is_none() {
        response.msg = format!("source {source} is not bound to a dm-worker");
    }
    if let Some(status) = &mut response.source_status {
        status.worker = worker.unwrap_or_else(|| "source not bound".to_owned());
    }
    let subtasks: Vec<&Subtask> =
        state.subtasks_of_source(source).filter(|subtask| task.is_none_or(|task| subtask.id.task == *task)).collect();
    if subtasks.is_empty() {
        let msg = match task {
            Some(task) => format!("no sub task with name {task} has started"),
            None => "no sub task started".to_owned(),
        };
        let name = task.map(ToString::to_string).unwrap_or_default();
        response.sub_task_status =
            vec![pb::SubTaskStatus { name, status: Some(Body::Msg(msg)), ..pb::SubTaskStatus::default() }];
        return response;
    }
    response.sub_task_status =
        subtasks.into_iter().map(|subtask| of_subtask(state, subtask, latest(&subtask.id))).collect();
    let oldest_ms = response.sub_task_status.iter().map(|status| status.report_age_ms).max().unwrap_or(0);
    if let (Some(status), true) = (&response.source_status, oldest_ms > SILENCE_MS && response.msg.is_empty()) {
        response.msg = format!("dm-worker {} is silent for {oldest_ms} ms: this is what it said then", status.worker);
    }
    response
}

/// The owner's own words while they are of the present epoch; else what the state knows.
fn of_subtask(state: &State, subtask: &Subtask, reported: Option<Reported>) -> pb::SubTaskStatus {
    let is_present =
        |reported: &Reported| subtask.finished || subtask.owner.is_some_and(|owner| owner.epoch == reported.epoch);
    if let Some(Reported { at, report, .. }) = reported.filter(is_present) {
        if let Some(status) = report.status {
            let report_age_ms = i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX);
            // nobody speaks for what is finished any more
            let report_age_ms = if subtask.finished { 0 } else { report_age_ms };
            return pb::SubTaskStatus { report_age_ms, ..status };
        }
    }
    let stage = state.shown_stage(&subtask.id).unwrap_or(dm_model::Stage::New);
    let unit = subtask.progress.as_ref().map_or(pb::UnitType::InvalidUnit, |progress| progress.unit.into());
    let result = match subtask.wanted {
        Wanted::Paused => Some(pb::ProcessResult::canceled()),
        Wanted::Running | Wanted::Stopped => None,
    };
    let msg = match (&subtask.owner, subtask.finished) {
        (_, true) => "the full copy is complete",
        (Some(_), false) => NO_REPORT,
        (None, false) => "waiting for a dm-worker",
    };
    pb::SubTaskStatus {
        name: subtask.id.task.to_string(),
        stage: pb::Stage::from(stage).into(),
        unit: unit.into(),
        result,
        status: Some(Body::Msg(msg.to_owned())),
        ..pb::SubTaskStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use dm_model::{ClusterId, Revision, UnixMillis, WorkerName};
    use dm_state::{
        Command, Stamp, apply,
        command::{Bootstrap, CreateTask, Expect, NewSubtask, OpenSession, PutSource, RegisterWorker},
        record::ConfigText,
    };

    use super::*;

    fn state(commands: Vec<Command>) -> State {
        let mut state = State::default();
        let first = Command::Bootstrap(Bootstrap { cluster_id: ClusterId("c".into()), founders: Vec::new() });
        for (index, command) in (1..).zip(std::iter::once(first).chain(commands)) {
            let applied = apply(&mut state, Stamp::new(Revision(index), UnixMillis(0)), command);
            assert_eq!(applied.reply.rejection(), None);
        }
        state
    }

    fn source(name: &str) -> Command {
        Command::PutSource(PutSource {
            source: SourceId::parse(name).unwrap(),
            config: ConfigText::new("source-id: s"),
            expect: Expect::Absent,
        })
    }

    fn shown(state: &State, task: Option<&str>) -> pb::QueryStatusResponse {
        let task = task.map(|task| TaskName::parse(task).unwrap());
        of_source(state, &SourceId::parse("s").unwrap(), task.as_ref(), &|_| None)
    }

    #[test]
    fn an_unbound_source_says_so() {
        let shown = shown(&state(vec![source("s")]), None);
        assert!(!shown.result);
        assert_eq!(shown.source_status.unwrap().worker, "source not bound");
    }

    #[test]
    fn a_source_without_subtasks_answers_with_dms_words() {
        let worker = WorkerName::parse("w").unwrap();
        let state = state(vec![
            source("s"),
            Command::RegisterWorker(RegisterWorker { name: worker.clone(), addr: "h:1".into() }),
            Command::OpenSession(OpenSession {
                worker,
                instance_uuid: "u".into(),
                addr: "h:1".into(),
                version: String::new(),
                takeover: dm_state::apply::session::Takeover::Refuse,
                keepalive_ms: 0,
            }),
            Command::Assign(dm_state::command::Assign {
                source: SourceId::parse("s").unwrap(),
                session: dm_model::SessionId(4),
                expect: None,
            }),
        ]);
        let msg = |shown: pb::QueryStatusResponse| {
            assert!(shown.result);
            match shown.sub_task_status.into_iter().next().unwrap().status {
                Some(Body::Msg(msg)) => msg,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(msg(shown(&state, None)), "no sub task started");
        assert_eq!(msg(shown(&state, Some("t"))), "no sub task with name t has started");
    }

    #[test]
    fn an_unknown_task_is_refused_with_dms_words() {
        let state = state(vec![source("s")]);
        let task = TaskName::parse("t").unwrap();
        assert_eq!(
            sources(&state, Some(&task), &[]).unwrap_err(),
            "task t has no source or not exist, please check the task name and status"
        );
    }

    #[test]
    fn a_subtask_nobody_reports_is_shown_from_the_state() {
        let task = TaskName::parse("t").unwrap();
        let state = state(vec![
            source("s"),
            Command::CreateTask(CreateTask {
                task,
                config: ConfigText::new("name: t"),
                subtasks: vec![NewSubtask { source: SourceId::parse("s").unwrap(), start: None }],
                wanted: Wanted::Running,
            }),
        ]);
        let status = &shown(&state, Some("t")).sub_task_status[0];
        assert_eq!((status.name.as_str(), status.stage()), ("t", pb::Stage::New));
        assert_eq!(status.status, Some(Body::Msg("waiting for a dm-worker".into())));
    }
}
