//! What a subtask does, unit after unit: take the target over, copy, replicate.
//!
//! Units do not know each other and never restart themselves: they return a [`UnitEnd`], and the supervisor decides. The one
//! exception is not a retry but a rule: when the target's history does not fit ours (it was restarted, it lost commits), all
//! memory is dropped and the takeover runs again (data-plane.md 4.1, rule 4), a few times.

pub mod incarnation;
pub mod snapshot;
pub mod sync;

use std::time::Duration;

use dm_config::{SecretKey, SourceConfig, SubtaskConfig, TaskConfig};
use dm_model::{
    BinlogPosition, ClusterId, Stage, SubtaskId,
    error::{Coded, Report, Retry},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::incarnation::Incarnation;
use crate::{assignment::Assignment, status::Cell, supervisor::backoff};

/// How often a takeover is repeated in one run before the subtask pauses with what it saw.
const MAX_INCARNATIONS: u32 = 5;

/// Everything a unit may know about its subtask.
#[derive(Debug, Clone)]
pub struct Context {
    pub id: SubtaskId,
    pub cluster_id: ClusterId,
    /// AES-256, empty when the masters have none.
    pub secret_key: Vec<u8>,
    /// As it was when this run began.
    pub assignment: Assignment,
    /// As it is now: operators may come while the run goes on.
    pub wish: watch::Receiver<Assignment>,
    pub cell: Cell,
}

/// How a unit is told to end: `drain` finishes the target transactions in flight, `kill` cuts them off.
#[derive(Debug, Clone)]
pub struct Stop {
    pub drain: CancellationToken,
    pub kill: CancellationToken,
}

impl Stop {
    /// Resolves when the unit shall end, gently or not. Cancel safe.
    pub async fn requested(&self) {
        tokio::select! {
            () = self.drain.cancelled() => {}
            () = self.kill.cancelled() => {}
        }
    }

    pub fn is_requested(&self) -> bool {
        self.drain.is_cancelled() || self.kill.is_cancelled()
    }
}

/// How a run ended.
#[derive(Debug)]
pub enum UnitEnd {
    /// The task has nothing left to do (mode `full`).
    Finished,
    /// As told: everything sent is committed or rolled back, and acknowledged.
    Drained,
    /// A higher epoch owns the target.
    Fenced,
    Failed(Failure),
}

#[derive(Debug)]
pub struct Failure {
    pub report: Report,
    /// Where the DDL begins that the error is about: `binlog skip` without a position means it.
    pub ddl_at: Option<BinlogPosition>,
}

impl Failure {
    pub fn new(report: Report) -> Self {
        Self { report, ddl_at: None }
    }
}

impl From<dm_mysql::Error> for Failure {
    fn from(error: dm_mysql::Error) -> Self {
        Self::new(Report::of(&error, error.retry()))
    }
}

/// How a unit ends early.
#[derive(Debug)]
pub enum Leave {
    End(UnitEnd),
    /// Our memory of the target is worth nothing any more: take it over again.
    TakeOverAgain(Report),
}

impl From<Failure> for Leave {
    fn from(failure: Failure) -> Self {
        Self::End(UnitEnd::Failed(failure))
    }
}

impl From<dm_mysql::Error> for Leave {
    fn from(error: dm_mysql::Error) -> Self {
        match &error {
            dm_mysql::Error::Takeover(dm_fence::Stop::Superseded { .. }) => Self::End(UnitEnd::Fenced),
            _ => Failure::from(error).into(),
        }
    }
}

/// Runs all units of a subtask to their end.
pub async fn run(context: Context, stop: Stop) -> UnitEnd {
    let config = match resolve(&context) {
        Ok(config) => config,
        Err(report) => return UnitEnd::Failed(Failure::new(report)),
    };
    let mut n_incarnations = 0;
    loop {
        n_incarnations += 1;
        match run_incarnation(&context, &config, &stop).await {
            Ok(end) | Err(Leave::End(end)) => return end,
            Err(Leave::TakeOverAgain(report)) if n_incarnations < MAX_INCARNATIONS => {
                warn!(error = %report, n_incarnations, "taking the target over again");
            }
            Err(Leave::TakeOverAgain(report)) => return UnitEnd::Failed(Failure::new(report)),
        }
        if stop.is_requested() {
            return UnitEnd::Drained;
        }
    }
}

async fn run_incarnation(context: &Context, config: &SubtaskConfig, stop: &Stop) -> Result<UnitEnd, Leave> {
    let mut incarnation = tokio::select! {
        biased;
        () = stop.requested() => return Ok(UnitEnd::Drained),
        incarnation = Incarnation::begin(context, config) => incarnation?,
    };
    crate::fail_point::pass("taken-over");
    context.cell.metrics().add("fence_takeovers_total", &[], 1);
    context.cell.announce(|view| view.stage = Stage::Running);
    let handover = if config.mode.has_load() { Some(snapshot::run(&incarnation, stop).await?) } else { None };
    if let Some(handover) = &handover {
        incarnation.know_rows(&handover.rows);
    }
    crate::fail_point::pass("unit-change");
    if !config.mode.has_sync() {
        return Ok(UnitEnd::Finished);
    }
    sync::run(incarnation, handover, stop).await
}

/// The task and source texts become one resolved subtask; what this version cannot do is refused here too, because the
/// leader may be of a newer version.
fn resolve(context: &Context) -> Result<SubtaskConfig, Report> {
    let fail = |error: dm_config::Error| Report::of(&error as &dyn Coded, Retry::Never);
    let (task, _) = TaskConfig::parse(&context.assignment.task_yaml).map_err(fail)?;
    let (source, _) = SourceConfig::parse(&context.assignment.source_yaml).map_err(fail)?;
    let secret = <[u8; 32]>::try_from(context.secret_key.as_slice()).ok().map(SecretKey::new);
    let config = SubtaskConfig::resolve(&task, &source, secret.as_ref()).map_err(fail)?;
    match config.refusals().into_iter().next() {
        Some(refusal) => Err(fail(refusal)),
        None => Ok(config),
    }
}

/// The source's `checker` section; the defaults when the text does not parse, for then the subtask pauses by itself.
pub fn backoff_rules(assignment: &Assignment) -> backoff::Rules {
    let Ok((source, _)) = SourceConfig::parse(&assignment.source_yaml) else { return backoff::Rules::default() };
    let checker = &source.checker;
    let least = Duration::from_millis(10);
    backoff::Rules {
        enabled: checker.check_enable,
        min: checker.backoff_min.0.max(least),
        max: checker.backoff_max.0.max(least),
        rollback: checker.backoff_rollback.0.max(least),
        factor: checker.backoff_factor.max(1.0),
        jitter: checker.backoff_jitter,
    }
}
