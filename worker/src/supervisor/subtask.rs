//! One life of one subtask: run its units, pause, resume, try again after errors, end.
//!
//! A unit never restarts itself: it returns how it ended, and this loop decides by the wish and by [`backoff`]. Nothing
//! here touches a database.

use std::{sync::Arc, time::Duration};

use dm_model::{
    ClusterId, Stage, SubtaskId, UnitKind, UnixMillis,
    error::{Class, Report, Scope},
};
use dm_runtime::clock;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, error_span, info, warn};

use super::{
    backoff::{Backoff, Verdict, is_resumable},
    workaround,
};
use crate::{
    assignment::{Assignment, Assignments},
    metrics::{Operation, ProcessMetrics},
    status::{Cell, Pause},
    unit::{self, Context, Failure, Stop, UnitEnd},
};

/// How long a pause or an end waits for the current target transactions before it cuts them off (DM waits as long for
/// the end of a transaction).
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// The supervisor's side of a life.
#[derive(Debug)]
pub struct Mailbox {
    wish: watch::Sender<Assignment>,
    end: CancellationToken,
    kill: CancellationToken,
}

impl Mailbox {
    /// A newer wish under the same epoch.
    pub fn tell(&self, assignment: Assignment) {
        self.wish.send_replace(assignment);
    }

    /// Finish what is in flight, then end.
    pub fn end(&self) {
        self.end.cancel();
    }

    /// End now.
    pub fn kill(&self) {
        self.end.cancel();
        self.kill.cancel();
    }
}

/// The subtask's side.
#[derive(Debug)]
pub struct Life {
    id: SubtaskId,
    cluster_id: ClusterId,
    secret_key: Vec<u8>,
    wish: watch::Receiver<Assignment>,
    end: CancellationToken,
    kill: CancellationToken,
    cell: Cell,
    metrics: Arc<ProcessMetrics>,
    backoff: Backoff,
    /// Why the units run, or ran last.
    reason: Operation,
}

/// What a life does next.
enum Next {
    Run,
    /// Wait for a newer wish, or for the time of the next try.
    Rest(Option<Duration>),
    End,
}

impl Life {
    pub fn new(
        id: SubtaskId,
        wishes: &Assignments,
        assignment: Assignment,
        cell: Cell,
        metrics: Arc<ProcessMetrics>,
    ) -> (Self, Mailbox) {
        let rules = unit::backoff_rules(&assignment);
        let (tx, rx) = watch::channel(assignment);
        let (end, kill) = (CancellationToken::new(), CancellationToken::new());
        let mailbox = Mailbox { wish: tx, end: end.clone(), kill: kill.clone() };
        let life = Self {
            id,
            cluster_id: wishes.cluster_id.clone(),
            secret_key: wishes.secret_key.clone(),
            wish: rx,
            end,
            kill,
            cell,
            metrics,
            backoff: Backoff::new(rules),
            reason: Operation::Start,
        };
        (life, mailbox)
    }

    /// Runs until told to end or until another owner's epoch is found.
    pub async fn run(mut self) {
        let epoch = self.wish.borrow().epoch;
        let span = error_span!("subtask", task = %self.id.task, source = %self.id.source, %epoch);
        async move {
            let mut next = self.first();
            loop {
                next = match next {
                    Next::Run => self.attempt().await,
                    Next::Rest(wait) => self.rest(wait).await,
                    Next::End => break,
                };
            }
        }
        .instrument(span)
        .await;
    }

    fn first(&mut self) -> Next {
        match self.wish.borrow_and_update().wanted_stage {
            Stage::Running => Next::Run,
            Stage::Paused | Stage::Stopped => {
                self.cell.announce(|view| {
                    view.stage = Stage::Paused;
                    view.pause = Some(Pause::Operator);
                });
                Next::Rest(None)
            }
            // an assignment wants no other stage
            Stage::New | Stage::Finished | Stage::Pausing | Stage::Resuming | Stage::Stopping => Next::Rest(None),
        }
    }

    /// One run of the units, from takeover to their end.
    async fn attempt(&mut self) -> Next {
        let assignment = self.wish.borrow_and_update().clone();
        self.cell.announce(|view| {
            // the units say `Running` once the target is theirs: until then it may still turn out to be another's
            view.stage = if view.stage == Stage::New { Stage::New } else { Stage::Resuming };
            view.pause = None;
            view.error_at = None;
            view.wanted_revision = assignment.wanted_revision;
        });
        self.backoff.on_running(clock::monotonic_ms());
        let stop = Stop { drain: CancellationToken::new(), kill: self.kill.child_token() };
        let context = Context {
            id: self.id.clone(),
            cluster_id: self.cluster_id.clone(),
            secret_key: self.secret_key.clone(),
            assignment,
            wish: self.wish.clone(),
            cell: self.cell.clone(),
        };
        let units = unit::run(context, stop.clone());
        let mut units = std::pin::pin!(units);
        loop {
            tokio::select! {
                biased;
                ended = &mut units => return self.on_unit_end(ended),
                () = self.end.cancelled() => {
                    self.cell.announce(|view| view.stage = Stage::Stopping);
                    if drain(&stop, &mut units).await.1 {
                        self.metrics.failed(Operation::Stop);
                    }
                    return Next::End;
                }
                changed = self.wish.changed() => {
                    if changed.is_err() {
                        return Next::End;
                    }
                    let (stage, revision) = {
                        let wish = self.wish.borrow_and_update();
                        (wish.wanted_stage, wish.wanted_revision)
                    };
                    self.cell.announce(|view| view.wanted_revision = revision);
                    if stage == Stage::Running {
                        // Running was wanted and is so; changed operators are read at the next start
                        continue;
                    }
                    self.cell.announce(|view| view.stage = Stage::Pausing);
                    let (ended, was_cut_off) = drain(&stop, &mut units).await;
                    if was_cut_off {
                        self.metrics.failed(Operation::Pause);
                    }
                    return self.on_paused(ended);
                }
            }
        }
    }

    fn on_paused(&mut self, ended: UnitEnd) -> Next {
        match ended {
            UnitEnd::Drained | UnitEnd::Failed(_) => {
                self.cell.announce(|view| {
                    view.stage = Stage::Paused;
                    view.pause = Some(Pause::Operator);
                });
                Next::Rest(None)
            }
            UnitEnd::Finished | UnitEnd::Fenced => self.on_unit_end(ended),
        }
    }

    fn on_unit_end(&mut self, ended: UnitEnd) -> Next {
        match ended {
            UnitEnd::Finished => {
                info!("subtask finished");
                self.cell.announce(|view| view.stage = Stage::Finished);
                Next::Rest(None)
            }
            UnitEnd::Drained => Next::Rest(None),
            UnitEnd::Fenced => {
                warn!("another owner holds the target, ending");
                self.cell.announce(|view| {
                    view.fenced = true;
                    view.stage = Stage::Stopped;
                });
                // stay until the leader ends this life, so that the report is heard
                Next::Rest(None)
            }
            UnitEnd::Failed(Failure { report, ddl_at }) => {
                let report = workaround::complete(report);
                let verdict = self.backoff.on_error(clock::monotonic_ms(), &report, rand::random::<f64>());
                error!(error = %report, ?verdict, "subtask paused by an error");
                self.count(&report);
                let resumes_at = match verdict {
                    Verdict::ResumeAfter(wait) => {
                        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
                        Some(UnixMillis(clock::wall().0.saturating_add(wait_ms)))
                    }
                    Verdict::LeavePaused => None,
                };
                self.cell.announce(|view| {
                    view.stage = Stage::Paused;
                    view.pause = Some(Pause::Error { report, resumes_at });
                    view.error_at = ddl_at;
                });
                match verdict {
                    Verdict::ResumeAfter(wait) => Next::Rest(Some(wait)),
                    Verdict::LeavePaused => Next::Rest(None),
                }
            }
        }
    }

    /// An error that ended a run, by the unit that ran. One that ended it before any ran is a failed operation.
    fn count(&self, report: &Report) {
        let view = self.cell.read();
        if view.stage != Stage::Running {
            self.metrics.failed(self.reason);
        }
        let series = match view.unit {
            Some(UnitKind::Sync | UnitKind::Relay) => "syncer_exit_with_error_count",
            // dump and load are one unit here: the side that failed says which of them it would have been
            _ if report.scope == Scope::Upstream || report.class == Class::DumpUnit => "dumpling_exit_with_error_count",
            Some(UnitKind::Check | UnitKind::Dump | UnitKind::Load) | None => "loader_exit_with_error_count",
        };
        let resumable = if is_resumable(report) { "true" } else { "false" };
        self.cell.metrics().add(series, &[resumable], 1);
    }

    async fn rest(&mut self, wait: Option<Duration>) -> Next {
        let waited = async {
            match wait {
                Some(wait) => sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.end.cancelled() => Next::End,
            changed = self.wish.changed() => {
                if changed.is_err() {
                    return Next::End;
                }
                let wish = self.wish.borrow_and_update().clone();
                self.on_new_wish(&wish, wait)
            }
            () = waited => {
                self.reason = Operation::AutoResume;
                Next::Run
            }
        }
    }

    /// A wish that arrives at rest: a resume runs at once, a pause turns an error pause into a manual one.
    fn on_new_wish(&mut self, wish: &Assignment, wait: Option<Duration>) -> Next {
        let view = self.cell.read();
        if view.fenced || view.stage == Stage::Finished {
            self.cell.announce(|view| view.wanted_revision = wish.wanted_revision);
            return Next::Rest(None);
        }
        match wish.wanted_stage {
            // the run answers the wish: together with the error that is shown now it would read as a failed resume
            Stage::Running => {
                self.reason = Operation::Resume;
                Next::Run
            }
            Stage::Paused | Stage::Stopped => {
                self.cell.announce(|view| {
                    view.wanted_revision = wish.wanted_revision;
                    view.stage = Stage::Paused;
                    view.pause = Some(Pause::Operator);
                });
                Next::Rest(None)
            }
            Stage::New | Stage::Finished | Stage::Pausing | Stage::Resuming | Stage::Stopping => Next::Rest(wait),
        }
    }
}

/// Asks the units to finish what is in flight, and cuts them off when that takes too long. True when it did.
async fn drain(stop: &Stop, units: &mut (impl Future<Output = UnitEnd> + Unpin)) -> (UnitEnd, bool) {
    stop.drain.cancel();
    tokio::select! {
        biased;
        ended = &mut *units => return (ended, false),
        () = sleep(DRAIN_LIMIT) => warn!(limit = ?DRAIN_LIMIT, "the units do not end, cutting them off"),
        () = stop.kill.cancelled() => {}
    }
    let was_told = stop.kill.is_cancelled();
    stop.kill.cancel();
    (units.await, !was_told)
}
