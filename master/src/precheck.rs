//! The precheck of a task: what source and target must be able to do, before anything is done.
//!
//! Two steps: [`look`] asks the servers once and in parallel over sources, then the checks judge what was seen, as pure
//! functions. A check that could not look fails the task, because it cannot promise anything.

pub mod items;
pub mod look;
pub mod tables;
pub mod verdict;

use std::time::Duration;

use dm_config::{SubtaskConfig, TaskConfig};
use futures::future::join_all;
use tokio::time::timeout;

pub use self::verdict::{Check, Finding, Limits, State, Verdict};

/// All of it together.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Checks a task on all its sources.
pub async fn run(task: &TaskConfig, subtasks: &[SubtaskConfig], limits: Limits) -> Verdict {
    let is_ignored = |item: &str| task.ignore_checking_items.iter().any(|one| one == item || one == "all");
    if is_ignored("all") {
        return Verdict::skipped();
    }
    let looking = join_all(subtasks.iter().map(look::look));
    let Ok(seen) = timeout(LIMIT, looking).await else {
        return Verdict::new(
            vec![Check::failed("precheck", "whether the servers answer", "no answer within 30 min", "")],
            limits,
        );
    };
    let mut checks = Vec::new();
    for (subtask, seen) in subtasks.iter().zip(&seen) {
        checks.extend(items::of_source(task, subtask, seen, &is_ignored));
    }
    checks.extend(items::of_target(subtasks, &seen, &is_ignored));
    checks.extend(tables::of_task(task, subtasks, &seen, &is_ignored));
    Verdict::new(checks, limits)
}
