//! `stop-task`, `pause-task`, `resume-task`.
//!
//! A subtask whose worker does not answer is taken from it before the operator is told that it stopped or paused: the
//! target gets a token that belongs to nobody, and the silent worker cannot write any more.

use std::{collections::BTreeMap, sync::Arc};

use dm_model::{Revision, SourceId, SubtaskId, TaskName};
use dm_proto::pb::{self, TaskOp};
use dm_state::{
    Command, State,
    command::{DeleteMeta, DeleteSubtasks, SetWanted},
    record::Wanted,
};

use super::{
    status::unknown_task,
    wait::{self, Goal, Outcome},
};
use crate::{
    context::Context,
    error::Error,
    leader::{
        Leading,
        assignments::take_over_key,
        fence::{Foreign, Then, fence_off},
    },
};

pub(super) async fn operate(
    context: &Context,
    leading: &Arc<Leading>,
    request: pb::OperateTaskRequest,
) -> pb::OperateTaskResponse {
    let op = request.op();
    let answer = |result, msg, sources| pb::OperateTaskResponse { op: op.into(), result, msg, sources };
    let Ok(task) = TaskName::parse(request.name.clone()) else {
        return answer(false, unknown_task(&request.name), Vec::new());
    };
    match carry_out(context, leading, op, &task, &request.sources).await {
        Ok(Some(sources)) => answer(true, String::new(), sources),
        Ok(None) => answer(false, unknown_task(task.as_str()), Vec::new()),
        Err(error) => answer(false, error.text(), Vec::new()),
    }
}

/// `None`: the task, or the task on these sources, does not exist.
async fn carry_out(
    context: &Context,
    leading: &Arc<Leading>,
    op: TaskOp,
    task: &TaskName,
    sources: &[String],
) -> Result<Option<Vec<pb::CommonWorkerResponse>>, Error> {
    let wanted = match op {
        TaskOp::Stop | TaskOp::Delete => Wanted::Stopped,
        TaskOp::Pause => Wanted::Paused,
        TaskOp::Resume => Wanted::Running,
        TaskOp::InvalidOp | TaskOp::Start | TaskOp::Update | TaskOp::AutoResume => {
            return Err(Error::BadOperation { op: op.as_str_name().to_owned(), expected: "Pause, Resume, Delete" });
        }
    };
    let _latch = context.latches.take(task)?;
    let state = leading.read().await?;
    let Some(ids) = select(&state, task, sources)? else { return Ok(None) };
    let done = leading
        .propose(Command::SetWanted(SetWanted {
            task: task.clone(),
            sources: ids.iter().map(|id| id.source.clone()).collect(),
            wanted,
        }))
        .await?;
    let elements = match wanted {
        Wanted::Running => {
            let outcomes = wait::until(leading, &ids, done.revision, Goal::Running).await;
            wait::elements(&leading.cluster.local(), outcomes)
        }
        Wanted::Paused => pause(context, leading, &ids, done.revision).await?,
        Wanted::Stopped => stop(context, leading, task, &ids, done.revision).await?,
    };
    Ok(Some(elements))
}

/// The subtasks that are meant; all of the task when no source is named.
pub(super) fn select(state: &State, task: &TaskName, sources: &[String]) -> Result<Option<Vec<SubtaskId>>, Error> {
    if sources.is_empty() {
        let ids: Vec<_> = state.subtasks_of_task(task).map(|subtask| subtask.id.clone()).collect();
        return Ok((!ids.is_empty()).then_some(ids));
    }
    let mut ids = Vec::new();
    for source in sources {
        let source = SourceId::parse(source.clone())
            .map_err(|_| Error::BadArgument { what: "source-id", text: source.clone() })?;
        let id = SubtaskId::new(task.clone(), source);
        if state.subtask(&id).is_none() {
            return Ok(None);
        }
        ids.push(id);
    }
    Ok(Some(ids))
}

async fn pause(
    context: &Context,
    leading: &Arc<Leading>,
    ids: &[SubtaskId],
    revision: Revision,
) -> Result<Vec<pb::CommonWorkerResponse>, Error> {
    let state = leading.cluster.local();
    // what nobody owns cannot run; it is paused as soon as the last token is worthless
    let owned: Vec<_> = ids.iter().filter(|id| is_answering(leading, &state, id)).cloned().collect();
    let mut outcomes = wait::until(leading, &owned, revision, Goal::Paused).await;
    for id in ids.iter().filter(|id| !owned.contains(id)) {
        outcomes.insert(id.clone(), Outcome::NotYet);
    }
    take_away(context, leading, outcomes).await
}

async fn stop(
    context: &Context,
    leading: &Arc<Leading>,
    task: &TaskName,
    ids: &[SubtaskId],
    revision: Revision,
) -> Result<Vec<pb::CommonWorkerResponse>, Error> {
    let state = leading.cluster.local();
    let owned: Vec<_> = ids.iter().filter(|id| is_answering(leading, &state, id)).cloned().collect();
    let mut outcomes = wait::until(leading, &owned, revision, Goal::Ended).await;
    for id in ids.iter().filter(|id| !owned.contains(id)) {
        outcomes.insert(id.clone(), Outcome::NotYet);
    }
    let elements = take_away(context, leading, outcomes).await?;
    let stopped: Vec<SubtaskId> = elements
        .iter()
        .filter(|element| element.result)
        .filter_map(|element| Some(SubtaskId::new(task.clone(), SourceId::parse(element.source.clone()).ok()?)))
        .collect();
    if !stopped.is_empty() {
        leading
            .propose(Command::DeleteSubtasks(DeleteSubtasks {
                task: task.clone(),
                sources: stopped.iter().map(|id| id.source.clone()).collect(),
            }))
            .await?;
        leading.statuses.forget(&stopped);
        for id in &stopped {
            if leading.cluster.local().meta(&take_over_key(id)).is_some() {
                leading.propose(Command::DeleteMeta(DeleteMeta { key: take_over_key(id) })).await?;
            }
        }
    }
    Ok(elements)
}

/// Whether the owner of a subtask is there to be asked.
fn is_answering(leading: &Leading, state: &State, id: &SubtaskId) -> bool {
    state.subtask(id).and_then(|subtask| subtask.owner).is_some_and(|owner| leading.sessions.may_answer(owner.session))
}

/// Fences off those whose owner did not answer. One that nobody can act for needs none of it: it never had an owner, or
/// the last one has let go.
async fn take_away(
    context: &Context,
    leading: &Arc<Leading>,
    mut outcomes: BTreeMap<SubtaskId, Outcome>,
) -> Result<Vec<pb::CommonWorkerResponse>, Error> {
    let state = leading.cluster.local();
    let mut behind = Vec::new();
    for id in wait::behind(&outcomes) {
        let may_act = state.subtask(&id).is_some_and(|subtask| subtask.owner.is_some() || subtask.unfenced.is_some());
        if may_act {
            behind.push(id);
        } else {
            outcomes.insert(id, Outcome::Reached);
        }
    }
    let mut errors = BTreeMap::new();
    if !behind.is_empty() {
        for (id, result) in fence_off(context, leading, &behind, Foreign::Refuse, Then::Nothing).await? {
            match result {
                Ok(()) => {
                    outcomes.insert(id, Outcome::Reached);
                }
                Err(error) => {
                    outcomes.remove(&id);
                    errors.insert(id, error);
                }
            }
        }
    }
    let state = leading.cluster.local();
    let mut elements = wait::elements(&state, outcomes);
    elements.extend(errors.into_iter().map(|(id, error)| wait::element(&state, &id, false, error.text())));
    elements.sort_by(|a, b| a.source.cmp(&b.source));
    Ok(elements)
}
