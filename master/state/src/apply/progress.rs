//! Trailing progress of subtasks, as their owners report it.

use std::sync::Arc;

use dm_model::{Epoch, Stage, SubtaskId, UnitKind};
use serde::{Deserialize, Serialize};

use super::Change;
use crate::{
    Reply,
    record::{Chunks, Progress, Watermark},
};

/// A batch of what workers said, joined by the leader. Entries of an old epoch are ignored, a lower watermark never
/// replaces a higher one of the same incarnation; a repeated batch changes nothing but the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportProgress {
    pub reports: Vec<ProgressReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressReport {
    pub subtask: SubtaskId,
    pub epoch: Epoch,
    pub stage: Stage,
    pub unit: UnitKind,
    /// `None`: nothing new to say.
    pub low: Option<Watermark>,
    pub chunks: Chunks,
    /// The task is of mode `full` and its copy is complete.
    pub finished: bool,
}

impl ReportProgress {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, crate::Rejection> {
        let (mut n_taken, mut n_ignored) = (0, 0);
        for report in self.reports {
            if change.check_epoch(&report.subtask, report.epoch).is_err() {
                n_ignored += 1;
                continue;
            }
            n_taken += 1;
            change.take_report(report);
        }
        Ok(Reply::ProgressTaken { n_taken, n_ignored })
    }
}

impl Change<'_> {
    fn take_report(&mut self, report: ProgressReport) {
        let reported_at = self.stamp.time;
        let Some(subtask) = Arc::make_mut(&mut self.state.subtasks).get_mut(&report.subtask) else { return };
        let known = subtask.progress.take();
        // after a restore the target decides how far it got, so an older incarnation's mark is no bound
        let bound =
            known.filter(|known| known.epoch.incarnation() == report.epoch.incarnation()).and_then(|known| known.low);
        let holds_target = report.low.is_some() || report.chunks.total > 0 || report.finished;
        let low = match (bound, report.low) {
            (Some(bound), Some(low)) if low.unit < bound.unit => Some(bound),
            (bound, low) => low.or(bound),
        };
        subtask.progress = Some(Progress {
            epoch: report.epoch,
            stage: report.stage,
            unit: report.unit,
            low,
            chunks: report.chunks,
            reported_at,
        });
        // it knows what is in the target, so it holds the target: nobody before it writes any more
        if holds_target {
            subtask.unfenced = None;
        }
        if report.finished && !subtask.finished {
            subtask.finished = true;
            self.touched.workers.extend(self.state.worker_of(&report.subtask.source).map(|worker| worker.name.clone()));
        }
        self.touched.tasks.insert(report.subtask.task.clone());
        self.touched.subtasks.insert(report.subtask);
    }
}
