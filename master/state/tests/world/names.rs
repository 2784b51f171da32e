//! Short names for the tests' small worlds.

use dm_model::{SourceId, SubtaskId, TaskName, WorkerName};

pub(crate) fn worker(n: usize) -> WorkerName {
    WorkerName::parse(format!("w{n}")).unwrap()
}

pub(crate) fn source(n: usize) -> SourceId {
    SourceId::parse(format!("s{n}")).unwrap()
}

pub(crate) fn task(n: usize) -> TaskName {
    TaskName::parse(format!("t{n}")).unwrap()
}

pub(crate) fn subtask(t: usize, s: usize) -> SubtaskId {
    SubtaskId::new(task(t), source(s))
}
