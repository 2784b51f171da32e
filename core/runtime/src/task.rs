//! Named, tracked tasks. Nobody spawns anonymously: a process knows what runs, and waits for it at the end.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error_span};

/// All tasks of a process or of one part of it. Clones share the same set.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
}

impl Tasks {
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a future as a task with a name that its log lines carry. The handle may be dropped: the set still waits
    /// for the task in [`Tasks::finish`]. A panic ends the task only and is logged by the runtime's panic hook.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(future.instrument(error_span!("task", name)))
    }

    /// Waits until every task has ended. New tasks may not be spawned afterwards.
    pub async fn finish(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }
}
