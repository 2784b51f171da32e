//! Source configurations.

use std::sync::Arc;

use dm_model::{Revision, SourceId};
use serde::{Deserialize, Serialize};

use super::Change;
use crate::{
    Rejection, Reply,
    record::{ConfigText, Source},
};

/// Creates or changes a source's configuration. Its placement stays; the owner sees a new `config_revision`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutSource {
    pub source: SourceId,
    pub config: ConfigText,
    pub expect: Expect,
}

/// What the writer believes is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expect {
    Any,
    Absent,
    Present,
    /// Present and last changed at this revision.
    ChangedAt(Revision),
}

/// Refused while a task uses the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteSource {
    pub source: SourceId,
}

impl PutSource {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        let present = change.state.sources.get(&self.source).map(|source| source.config_revision);
        match (self.expect, present) {
            (Expect::Any, _) | (Expect::Absent, None) | (Expect::Present, Some(_)) => {}
            (Expect::ChangedAt(expected), Some(present)) if expected == present => {}
            (Expect::Absent, Some(_)) => return Err(Rejection::SourceExists { source_id: self.source }),
            (Expect::Present | Expect::ChangedAt(_), None) => {
                return Err(Rejection::SourceUnknown { source_id: self.source });
            }
            (Expect::ChangedAt(expected), Some(present)) => {
                return Err(Rejection::SourceChanged { source_id: self.source, expected, present });
            }
        }
        let (revision, time) = (change.index(), change.stamp.time);
        let source = Arc::make_mut(&mut change.state.sources).entry(self.source.clone()).or_insert_with(|| Source {
            id: self.source.clone(),
            config: ConfigText::default(),
            config_revision: revision,
            created_at: time,
            placement: None,
            last_worker: None,
            moving_to: None,
        });
        source.config = self.config;
        source.config_revision = revision;
        change.touch_source(&self.source);
        Ok(Reply::Done)
    }
}

impl DeleteSource {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        if !change.state.sources.contains_key(&self.source) {
            return Err(Rejection::SourceUnknown { source_id: self.source });
        }
        let tasks: Vec<_> =
            change.state.subtasks_of_source(&self.source).map(|subtask| subtask.id.task.clone()).collect();
        if !tasks.is_empty() {
            return Err(Rejection::SourceHasTasks { source_id: self.source, tasks });
        }
        change.touch_source(&self.source);
        Arc::make_mut(&mut change.state.sources).remove(&self.source);
        Ok(Reply::Done)
    }
}

impl Change<'_> {
    /// Marks a source and the worker that carries it.
    pub(super) fn touch_source(&mut self, source: &SourceId) {
        if let Some(worker) = self.state.worker_of(source) {
            self.touched.workers.insert(worker.name.clone());
        }
        self.touched.sources.insert(source.clone());
    }
}
