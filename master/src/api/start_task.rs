//! `start-task` and `check-task`.

use std::{collections::BTreeSet, sync::Arc};

use dm_config::{SourceConfig, SubtaskConfig, TaskConfig, start_time::StartTime};
use dm_model::{Epoch, SourceId, SubtaskId, TaskName};
use dm_proto::pb;
use dm_state::{
    Command, Rejection, State,
    apply::member::RestoredTasks,
    command::{BumpIncarnation, CreateTask, DeleteSubtasks, NewSubtask, PutMeta, SetWanted},
    record::{ConfigText, StartArguments, Wanted},
};
use tracing::info;

use super::wait::{self, Goal};
use crate::{
    context::Context,
    error::Error,
    leader::{
        Leading,
        assignments::take_over_key,
        fence::{Foreign, Then, fence_off, stored_epoch},
    },
    precheck::{self, Limits},
};

/// A task that may be started, with everything it was checked against.
struct Request {
    task: TaskConfig,
    text: String,
    /// All sources of the file.
    subtasks: Vec<SubtaskConfig>,
    start_time: Option<String>,
}

/// Refusals before anything was done, or after.
enum Refused {
    Error(Error),
    /// The precheck's own text.
    Precheck(String),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

pub(super) async fn start(
    context: &Context,
    leading: &Arc<Leading>,
    request: pb::StartTaskRequest,
) -> pb::StartTaskResponse {
    match try_start(context, leading, request).await {
        Ok(response) => response,
        Err(Refused::Error(error)) => {
            pb::StartTaskResponse { result: false, msg: error.text(), ..pb::StartTaskResponse::default() }
        }
        Err(Refused::Precheck(check_result)) => {
            pb::StartTaskResponse { result: false, check_result, ..pb::StartTaskResponse::default() }
        }
    }
}

pub(super) async fn check(
    context: &Context,
    leading: &Arc<Leading>,
    request: pb::CheckTaskRequest,
) -> pb::CheckTaskResponse {
    let limits = Limits::of(request.err_cnt, request.warn_cnt);
    let checked = async {
        let state = leading.read().await?;
        let parsed = parse(context, &state, request.task, &request.start_time)?;
        Ok::<_, Error>(precheck::run(&parsed.task, &parsed.subtasks, limits).await)
    };
    match checked.await {
        Ok(verdict) => pb::CheckTaskResponse { result: verdict.is_passed(), msg: verdict.text() },
        Err(error) => pb::CheckTaskResponse { result: false, msg: error.text() },
    }
}

async fn try_start(
    context: &Context,
    leading: &Arc<Leading>,
    request: pb::StartTaskRequest,
) -> Result<pb::StartTaskResponse, Refused> {
    let state = leading.read().await?;
    let parsed = parse(context, &state, request.task, &request.start_time)?;
    let task = parsed.task.name.clone();
    let _latch = context.latches.take(&task)?;
    let sources = wanted_sources(&parsed.task, &request.sources)?;
    let new = new_subtasks(&state, &task, &sources, request.remove_meta)?;
    let unbound: Vec<_> = new.iter().map(|id| &id.source).filter(|id| state.worker_of(id).is_none()).cloned().collect();
    if !unbound.is_empty() {
        return Err(Error::Rejected(Rejection::SourcesNotBound { sources: unbound }).into());
    }
    let verdict = precheck::run(&parsed.task, &parsed.subtasks, Limits::default()).await;
    if !verdict.is_passed() {
        return Err(Refused::Precheck(verdict.text()));
    }
    if request.take_over {
        outgrow(context, leading, &parsed.subtasks).await?;
        for id in &new {
            let command = PutMeta { key: take_over_key(id), value: b"1".to_vec() };
            leading.propose(Command::PutMeta(command)).await?;
        }
    }
    let start = parsed.start_time.map(|time| StartArguments { start_time: Some(time), safe_mode_duration: None });
    let create = CreateTask {
        task: task.clone(),
        config: ConfigText::new(parsed.text),
        subtasks: new.iter().map(|id| NewSubtask { source: id.source.clone(), start: start.clone() }).collect(),
        wanted: if request.remove_meta { Wanted::Stopped } else { Wanted::Running },
    };
    let mut done = leading.propose(Command::CreateTask(create)).await?;
    info!(%task, sources = new.len(), remove_meta = request.remove_meta, "task created");
    if request.remove_meta {
        let foreign = if request.take_over { Foreign::TakeOver } else { Foreign::Refuse };
        clean(context, leading, &task, &new, foreign).await?;
        let sources = new.iter().map(|id| id.source.clone()).collect();
        let run = SetWanted { task: task.clone(), sources, wanted: Wanted::Running };
        done = leading.propose(Command::SetWanted(run)).await?;
    }
    let outcomes = wait::until(leading, &new, done.revision, Goal::Running).await;
    let state = leading.cluster.local();
    let mut elements = wait::elements(&state, outcomes);
    for source in sources.iter().filter(|source| !new.iter().any(|id| id.source == **source)) {
        let id = SubtaskId::new(task.clone(), source.clone());
        let note = format!("the subtask of {source} exists already and was left alone");
        elements.push(wait::element(&state, &id, true, note));
    }
    elements.sort_by(|a, b| a.source.cmp(&b.source));
    Ok(pb::StartTaskResponse { result: true, msg: String::new(), sources: elements, check_result: verdict.text() })
}

/// Makes this cluster's tokens greater than any that another cluster left in the targets. Where they are not yet, the
/// incarnation is raised, which ends every session once: all subtasks are taken over again by their workers.
async fn outgrow(context: &Context, leading: &Arc<Leading>, subtasks: &[SubtaskConfig]) -> Result<(), Error> {
    let mut newest = None;
    for subtask in subtasks {
        newest = newest.max(stored_epoch(context, subtask).await?);
    }
    let Some(newest) = newest else { return Ok(()) };
    loop {
        let state = leading.read().await?;
        if Epoch::new(state.incarnation(), state.applied()) > newest {
            return Ok(());
        }
        info!(stored = %newest, incarnation = %state.incarnation(), "raising the incarnation above another cluster's tokens");
        leading.propose(Command::BumpIncarnation(BumpIncarnation { tasks: RestoredTasks::Keep })).await?;
    }
}

/// Everything that can be refused by looking at texts alone.
fn parse(context: &Context, state: &State, text: String, start_time: &str) -> Result<Request, Error> {
    let (task, warnings) = TaskConfig::parse(&text)?;
    for warning in warnings {
        info!(task = %task.name, %warning, "task file");
    }
    let mut subtasks = Vec::new();
    for instance in &task.instances {
        let source = state
            .source(&instance.source_id)
            .ok_or_else(|| dm_config::Error::NoSource { source_id: instance.source_id.to_string() })?;
        let (source, _) = SourceConfig::parse(source.config.as_str())?;
        let subtask = SubtaskConfig::resolve(&task, &source, context.secret_key.as_ref())?;
        if let Some(refusal) = subtask.refusals().into_iter().next() {
            return Err(refusal.into());
        }
        subtasks.push(subtask);
    }
    let start_time = match start_time {
        "" => None,
        text => {
            StartTime::parse(text)?;
            Some(text.to_owned())
        }
    };
    Ok(Request { task, text, subtasks, start_time })
}

/// The sources to start: those named, each of which the file must have, or all of it.
fn wanted_sources(task: &TaskConfig, named: &[String]) -> Result<BTreeSet<SourceId>, Error> {
    if named.is_empty() {
        return Ok(task.instances.iter().map(|instance| instance.source_id.clone()).collect());
    }
    named
        .iter()
        .map(|name| {
            SourceId::parse(name.clone())
                .ok()
                .filter(|id| task.instance(id).is_some())
                .ok_or_else(|| dm_config::Error::NoSource { source_id: name.clone() }.into())
        })
        .collect()
}

/// Those that do not exist yet. With `--remove-meta` none may exist: meta data of a task in use is not removed.
fn new_subtasks(
    state: &State,
    task: &TaskName,
    sources: &BTreeSet<SourceId>,
    remove_meta: bool,
) -> Result<Vec<SubtaskId>, Error> {
    let exists = |source: &SourceId| state.subtask(&SubtaskId::new(task.clone(), source.clone())).is_some();
    let existing: Vec<SourceId> = if remove_meta {
        state.subtasks_of_task(task).map(|subtask| subtask.id.source.clone()).collect()
    } else {
        sources.iter().filter(|source| exists(source)).cloned().collect()
    };
    if (remove_meta && !existing.is_empty()) || existing.len() == sources.len() {
        return Err(Rejection::SubtasksExist { task: task.clone(), sources: existing }.into());
    }
    let new = sources.iter().filter(|source| !existing.contains(source));
    Ok(new.map(|source| SubtaskId::new(task.clone(), source.clone())).collect())
}

/// Removes what the target knows of the task, under a token of ours, so that no forgotten worker writes beside it. When
/// that fails, the task is taken back.
async fn clean(
    context: &Context,
    leading: &Arc<Leading>,
    task: &TaskName,
    new: &[SubtaskId],
    foreign: Foreign,
) -> Result<(), Error> {
    let cleaned = match fence_off(context, leading, new, foreign, Then::RemoveMeta).await {
        Ok(results) => results.into_values().collect::<Result<Vec<()>, Error>>().map(|_| ()),
        Err(error) => Err(error),
    };
    if cleaned.is_err() {
        let sources = new.iter().map(|id| id.source.clone()).collect();
        leading.propose(Command::DeleteSubtasks(DeleteSubtasks { task: task.clone(), sources })).await?;
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use dm_model::{ClusterId, Revision, UnixMillis, error::Coded};
    use dm_state::{
        Stamp, apply,
        command::{Bootstrap, Expect, PutSource},
    };

    use super::*;

    fn source(name: &str) -> SourceId {
        SourceId::parse(name).unwrap()
    }

    /// Sources a and b exist; the task runs on a.
    fn state() -> State {
        let mut state = State::default();
        let put = |name| {
            Command::PutSource(PutSource { source: source(name), config: ConfigText::new(""), expect: Expect::Absent })
        };
        let create = CreateTask {
            task: TaskName::parse("t").unwrap(),
            config: ConfigText::new(""),
            subtasks: vec![NewSubtask { source: source("a"), start: None }],
            wanted: Wanted::Running,
        };
        let commands = [
            Command::Bootstrap(Bootstrap { cluster_id: ClusterId("c".into()), founders: Vec::new() }),
            put("a"),
            put("b"),
            Command::CreateTask(create),
        ];
        for (index, command) in (1..).zip(commands) {
            apply(&mut state, Stamp::new(Revision(index), UnixMillis(0)), command);
        }
        state
    }

    #[test]
    fn what_exists_is_left_alone_unless_all_of_it_exists_or_meta_shall_go() {
        let (state, task) = (state(), TaskName::parse("t").unwrap());
        let both = BTreeSet::from([source("a"), source("b")]);
        let new = new_subtasks(&state, &task, &both, false).unwrap();
        assert_eq!(new, [SubtaskId::new(task.clone(), source("b"))]);
        let number = |result: Result<_, Error>| result.unwrap_err().code().number;
        assert_eq!(number(new_subtasks(&state, &task, &BTreeSet::from([source("a")]), false)), 46014);
        assert_eq!(number(new_subtasks(&state, &task, &BTreeSet::from([source("b")]), true)), 46014);
    }
}
