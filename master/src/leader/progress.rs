//! Joins the progress that workers report into one command at most once a second; a new stage or an end goes at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dm_model::{SubtaskId, error::Chain};
use dm_state::{
    Command,
    command::{ProgressReport, ReportProgress},
};
use tokio::{sync::Notify, time::sleep};
use tracing::warn;

use super::Leading;

/// A write of the log is a synced disk write on a majority; once a second is enough for a trailing copy.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Progress {
    waiting: Mutex<Waiting>,
    urgent: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    reports: BTreeMap<SubtaskId, ProgressReport>,
    /// What was proposed last, so that a subtask that stands still costs nothing.
    sent: BTreeMap<SubtaskId, ProgressReport>,
}

impl Progress {
    /// Takes a report in; the newest one of a subtask counts.
    pub fn put(&self, report: ProgressReport) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = waiting.sent.get(&report.subtask);
        if sent == Some(&report) {
            waiting.reports.remove(&report.subtask);
            return;
        }
        let is_urgent = sent.is_none_or(|sent| is_urgent(sent, &report));
        waiting.reports.insert(report.subtask.clone(), report);
        drop(waiting);
        if is_urgent {
            self.urgent.notify_one();
        }
    }

    fn drain(&self) -> Vec<ProgressReport> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let reports = std::mem::take(&mut waiting.reports);
        waiting.sent.extend(reports.clone());
        reports.into_values().collect()
    }

    /// The proposal was lost: what is not newer by now has to be said again.
    fn put_back(&self, reports: Vec<ProgressReport>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for report in reports {
            waiting.sent.remove(&report.subtask);
            waiting.reports.entry(report.subtask.clone()).or_insert(report);
        }
    }
}

fn is_urgent(sent: &ProgressReport, new: &ProgressReport) -> bool {
    sent.epoch != new.epoch || sent.stage != new.stage || sent.unit != new.unit || sent.finished != new.finished
}

pub(super) async fn run(leading: Arc<Leading>) {
    loop {
        tokio::select! {
            biased;
            () = leading.cancel.cancelled() => return,
            () = leading.progress.urgent.notified() => {}
            () = sleep(PERIOD) => {}
        }
        let reports = leading.progress.drain();
        if reports.is_empty() {
            continue;
        }
        if let Err(error) = leading.propose(Command::ReportProgress(ReportProgress { reports: reports.clone() })).await
        {
            warn!(error = %Chain(&error), "cannot write progress");
            leading.progress.put_back(reports);
        }
    }
}

#[cfg(test)]
mod tests {
    use dm_model::{Epoch, SourceId, Stage, TaskName, UnitKind};
    use dm_state::record::Chunks;

    use super::*;

    fn report(epoch: u64, stage: Stage) -> ProgressReport {
        ProgressReport {
            subtask: SubtaskId::new(TaskName::parse("t").unwrap(), SourceId::parse("s").unwrap()),
            epoch: Epoch(epoch),
            stage,
            unit: UnitKind::Sync,
            low: None,
            chunks: Chunks::default(),
            finished: false,
        }
    }

    #[test]
    fn what_was_said_is_not_said_again_and_what_was_lost_is() {
        let progress = Progress::default();
        progress.put(report(1, Stage::Running));
        let sent = progress.drain();
        assert_eq!(sent.len(), 1);
        progress.put(report(1, Stage::Running));
        assert!(progress.drain().is_empty());
        progress.put_back(sent);
        assert_eq!(progress.drain().len(), 1);
    }

    #[test]
    fn a_new_stage_is_urgent_and_a_new_counter_is_not() {
        let counted = ProgressReport { chunks: Chunks { done: 1, total: 2 }, ..report(1, Stage::Running) };
        assert!(!is_urgent(&report(1, Stage::Running), &counted));
        assert!(is_urgent(&report(1, Stage::Running), &report(1, Stage::Paused)));
        assert!(is_urgent(&report(1, Stage::Running), &report(2, Stage::Running)));
    }
}
