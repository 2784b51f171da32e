//! Tasks and subtasks: what should run where, and in which stage.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dm_model::{Epoch, Revision, SourceId, SubtaskId, TaskName};
use serde::{Deserialize, Serialize};

use super::Change;
use crate::{
    Rejection, Reply,
    record::{ConfigText, StartArguments, Subtask, Task, Wanted},
    reply::TaskCreated,
};

/// Makes a task, or adds sources to one. Subtasks that exist are left alone and named in the reply; if all exist, it is
/// refused. A subtask on a placed source gets its token at once, from this very index; one on an unplaced source gets
/// it with the source's placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTask {
    pub task: TaskName,
    pub config: ConfigText,
    pub subtasks: Vec<NewSubtask>,
    pub wanted: Wanted,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSubtask {
    pub source: SourceId,
    pub start: Option<StartArguments>,
}

/// Replaces the text of a task and of all its subtasks. Refused while one of them is wanted Running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateTask {
    pub task: TaskName,
    pub config: ConfigText,
    /// `config_revision` the writer has read; `None` for any.
    pub expect: Option<Revision>,
}

/// Forgets subtasks of the named sources, of all when empty. The task goes with its last subtask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteSubtasks {
    pub task: TaskName,
    pub sources: Vec<SourceId>,
}

/// Sets the wanted stage on the named sources, on all when empty, and always raises `wanted_revision`. Leaving
/// Stopped on a placed source gives a token at once. A finished subtask takes it too but stays finished. All or
/// nothing; the reply has the tokens given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetWanted {
    pub task: TaskName,
    pub sources: Vec<SourceId>,
    pub wanted: Wanted,
}

/// The owner has used the start arguments. An old epoch is refused; nothing to clear is `Done`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearStartTime {
    pub subtask: SubtaskId,
    pub epoch: Epoch,
}

impl CreateTask {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        if self.subtasks.is_empty() {
            return Err(Rejection::NoSources { task: self.task });
        }
        // a source named twice counts once, with the last one's arguments
        let asked: BTreeMap<_, _> = self.subtasks.into_iter().map(|new| (new.source, new.start)).collect();
        if let Some(source) = asked.keys().find(|source| !change.state.sources.contains_key(*source)) {
            return Err(Rejection::SourceUnknown { source_id: source.clone() });
        }
        let id = |source: SourceId| SubtaskId::new(self.task.clone(), source);
        let (existed, new): (Vec<_>, Vec<_>) = asked
            .into_iter()
            .map(|(source, start)| (id(source), start))
            .partition(|(id, _)| change.state.subtasks.contains_key(id));
        let existed: Vec<SubtaskId> = existed.into_iter().map(|(id, _)| id).collect();
        if new.is_empty() {
            let sources = existed.into_iter().map(|id| id.source).collect();
            return Err(Rejection::SubtasksExist { task: self.task, sources });
        }
        let (revision, time) = (change.index(), change.stamp.time);
        let task = Arc::make_mut(&mut change.state.tasks).entry(self.task.clone()).or_insert_with(|| Task {
            name: self.task.clone(),
            config: ConfigText::default(),
            config_revision: revision,
            created_at: time,
        });
        task.config = self.config.clone();
        task.config_revision = revision;
        change.touched.tasks.insert(self.task);
        let mut reply = TaskCreated { existed, ..TaskCreated::default() };
        for (id, start) in new {
            let subtask = Subtask {
                id: id.clone(),
                config: self.config.clone(),
                config_revision: revision,
                wanted: self.wanted,
                wanted_revision: revision,
                owner: None,
                last_epoch: Epoch::default(),
                unfenced: None,
                progress: None,
                finished: false,
                start,
                operators: BTreeMap::new(),
            };
            Arc::make_mut(&mut change.state.subtasks).insert(id.clone(), subtask);
            change.touch_subtask(&id);
            reply.granted.extend(change.grant_if_placed(&id));
            reply.created.push(id);
        }
        Ok(Reply::TaskCreated(reply))
    }
}

impl UpdateTask {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        let Some(task) = change.state.tasks.get(&self.task) else {
            return Err(Rejection::TaskUnknown { task: self.task });
        };
        let present = task.config_revision;
        if let Some(expected) = self.expect.filter(|expected| *expected != present) {
            return Err(Rejection::TaskChanged { task: self.task, expected, present });
        }
        let ids = change.select(&self.task, Vec::new())?;
        let running: Vec<_> = change
            .state
            .subtasks_of_task(&self.task)
            .filter(|subtask| subtask.wanted == Wanted::Running && !subtask.finished)
            .map(|subtask| subtask.id.source.clone())
            .collect();
        if !running.is_empty() {
            return Err(Rejection::TaskRunning { task: self.task, sources: running });
        }
        let revision = change.index();
        if let Some(task) = Arc::make_mut(&mut change.state.tasks).get_mut(&self.task) {
            task.config = self.config.clone();
            task.config_revision = revision;
        }
        for id in ids {
            change.touch_subtask(&id);
            if let Some(subtask) = Arc::make_mut(&mut change.state.subtasks).get_mut(&id) {
                subtask.config = self.config.clone();
                subtask.config_revision = revision;
            }
        }
        Ok(Reply::Done)
    }
}

impl DeleteSubtasks {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        let ids = change.select(&self.task, self.sources)?;
        for id in &ids {
            change.touch_subtask(id);
            Arc::make_mut(&mut change.state.subtasks).remove(id);
        }
        if change.state.subtasks_of_task(&self.task).next().is_none() {
            Arc::make_mut(&mut change.state.tasks).remove(&self.task);
        }
        Ok(Reply::SubtasksDeleted(ids))
    }
}

impl SetWanted {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        let ids = change.select(&self.task, self.sources)?;
        let revision = change.index();
        let mut granted = Vec::new();
        for id in &ids {
            if let Some(subtask) = Arc::make_mut(&mut change.state.subtasks).get_mut(id) {
                subtask.wanted = self.wanted;
                subtask.wanted_revision = revision;
            }
            change.touch_subtask(id);
            granted.extend(change.grant_if_placed(id));
        }
        Ok(Reply::Assigned(granted))
    }
}

impl ClearStartTime {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        change.check_epoch(&self.subtask, self.epoch)?;
        if change.state.subtasks.get(&self.subtask).is_some_and(|subtask| subtask.start.is_some()) {
            change.touch_subtask(&self.subtask);
            if let Some(subtask) = Arc::make_mut(&mut change.state.subtasks).get_mut(&self.subtask) {
                subtask.start = None;
            }
        }
        Ok(Reply::Done)
    }
}

impl Change<'_> {
    /// The subtasks of the named sources, each once; of all sources when none is named. All must exist.
    fn select(&self, task: &TaskName, sources: Vec<SourceId>) -> Result<Vec<SubtaskId>, Rejection> {
        if !self.state.tasks.contains_key(task) {
            return Err(Rejection::TaskUnknown { task: task.clone() });
        }
        if sources.is_empty() {
            return Ok(self.state.subtasks_of_task(task).map(|subtask| subtask.id.clone()).collect());
        }
        let ids: BTreeSet<_> = sources.into_iter().map(|source| SubtaskId::new(task.clone(), source)).collect();
        let unknown: Vec<_> =
            ids.iter().filter(|id| !self.state.subtasks.contains_key(*id)).map(|id| id.source.clone()).collect();
        if unknown.is_empty() {
            Ok(ids.into_iter().collect())
        } else {
            Err(Rejection::SubtasksUnknown { task: task.clone(), sources: unknown })
        }
    }

    /// The subtask, or why there is none.
    pub(super) fn subtask(&self, id: &SubtaskId) -> Result<&Subtask, Rejection> {
        self.state
            .subtasks
            .get(id)
            .ok_or_else(|| Rejection::SubtasksUnknown { task: id.task.clone(), sources: vec![id.source.clone()] })
    }

    /// Refuses whoever is not the present owner.
    pub(super) fn check_epoch(&self, id: &SubtaskId, shown: Epoch) -> Result<(), Rejection> {
        let present = self.subtask(id)?.owner.map(|owner| owner.epoch);
        if present == Some(shown) {
            Ok(())
        } else {
            Err(Rejection::EpochNotPresent { subtask: id.clone(), shown, present })
        }
    }

    /// Marks a subtask, its task and the worker that carries its source.
    pub(super) fn touch_subtask(&mut self, id: &SubtaskId) {
        if let Some(worker) = self.state.worker_of(&id.source) {
            self.touched.workers.insert(worker.name.clone());
        }
        self.touched.tasks.insert(id.task.clone());
        self.touched.subtasks.insert(id.clone());
    }
}
