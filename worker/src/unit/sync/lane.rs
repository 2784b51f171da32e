//! One lane: a task that owns a target connection and its row of `dm_fence_lane`.
//!
//! Takes jobs in order, answers each. Retries what the target refused for reasons that pass (lost connections, deadlocks); an
//! outcome that says our memory of the target is wrong ends the lane and with it the incarnation.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dm_fence::{FenceUpdate, IntentVerdict, LaneRow, Progress, UnitNumber};
use dm_model::{
    BinlogPosition, TableName,
    error::{Report, Retry, Scope},
};
use dm_mysql::fence::{DdlPiece, DdlSettings, FenceTarget, Lane, LaneOutcome, Statement};
use dm_sync_core::{
    batch::{Batch, BatchId, DdlCommand, DdlSession, SkipDdl, StoredStructure},
    engine::DdlOutcome,
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{config::BUG, structures};

/// How often one transaction is tried; with the pauses below that is about two minutes, after which the subtask pauses and
/// the supervisor tries again with its own backoff.
const TRIES: u32 = 70;
const REFUSED: &str =
    "Look at the target: rows, structures or rights that were changed there by others. Mend it, then resume the task.";
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a lane is given to do.
#[derive(Debug)]
pub(super) enum Job {
    Run(Batch),
    IdleProgress { batch: BatchId, progress: Progress, structures: Vec<StoredStructure> },
    Ddl(Box<DdlCommand>),
    SkipDdl(Box<SkipDdl>),
}

/// What a lane answers.
#[derive(Debug)]
pub(super) struct FromLane {
    pub(super) lane: u16,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Opened,
    Committed(BatchId),
    DdlDone { unit: UnitNumber, piece: u32, outcome: DdlOutcome },
    Ended(LaneEnd),
}

/// Why a lane cannot go on.
#[derive(Debug)]
pub(super) enum LaneEnd {
    Fenced,
    TakeOverAgain(Report),
    Failed { batch: Option<BatchId>, report: Report },
}

/// What every lane of an incarnation knows.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) target: Arc<FenceTarget>,
    /// Verdicts on intents that takeover found, by unit and piece.
    pub(super) intents: BTreeMap<(UnitNumber, u32), IntentVerdict>,
    pub(super) kill: CancellationToken,
}

/// A lane's task.
#[derive(Debug)]
pub(super) struct LaneTask {
    lane: Lane,
    row: LaneRow,
    shared: Arc<Shared>,
    answers: mpsc::Sender<FromLane>,
}

impl LaneTask {
    pub(super) fn new(lane: Lane, row: LaneRow, shared: Arc<Shared>, answers: mpsc::Sender<FromLane>) -> Self {
        Self { lane, row, shared, answers }
    }

    /// Connects, then works until the job channel closes or the lane ends. Closes its connection in order at the end, unless
    /// it is killed.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let kill = self.shared.kill.clone();
        tokio::select! {
            biased;
            () = kill.cancelled() => {}
            () = self.work(&mut jobs) => {
                crate::fail_point::pass("drained");
                self.lane.close().await;
            }
        }
    }

    async fn work(&mut self, jobs: &mut mpsc::Receiver<Job>) {
        if let Err(end) = self.open().await {
            self.answer(What::Ended(end)).await;
            return;
        }
        self.answer(What::Opened).await;
        let mut ping = interval(Lane::PING_INTERVAL);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                job = jobs.recv() => {
                    let Some(job) = job else { return };
                    let what = self.act(job).await;
                    let ended = matches!(what, What::Ended(_));
                    self.answer(what).await;
                    if ended {
                        return;
                    }
                    ping.reset();
                }
                _ = ping.tick() => {
                    self.lane.ping().await;
                    // a target that came back without its last commits is noticed even while the source is silent
                    if let Err(end) = self.open().await {
                        self.answer(What::Ended(end)).await;
                        return;
                    }
                }
            }
        }
    }

    async fn answer(&self, what: What) {
        // the driver may be gone; then nobody needs the answer
        let _ = self.answers.send(FromLane { lane: self.lane.number(), what }).await;
    }

    async fn open(&mut self) -> Result<(), LaneEnd> {
        let mut retry = Retries::new(None);
        loop {
            match self.lane.open().await {
                Ok(()) => return Ok(()),
                Err(outcome) => retry.after(outcome).await?,
            }
        }
    }

    async fn act(&mut self, job: Job) -> What {
        let done = match job {
            Job::Run(batch) => self.run_batch(batch).await,
            Job::IdleProgress { batch, progress, structures } => self.idle(batch, progress, &structures).await,
            Job::Ddl(command) => self.ddl(&command).await,
            Job::SkipDdl(skip) => self.skip(&skip).await,
        };
        done.unwrap_or_else(What::Ended)
    }

    async fn run_batch(&mut self, batch: Batch) -> Result<What, LaneEnd> {
        let mut statements: Vec<Statement> =
            structures::put(&self.shared.target, &batch.structures, batch.progress.low);
        statements.extend(batch.statements().into_iter().map(|statement| Statement::new(statement.sql)));
        let id = batch.id;
        self.commit(Some(id), batch.progress, &statements).await?;
        Ok(What::Committed(id))
    }

    async fn idle(&mut self, id: BatchId, progress: Progress, stored: &[StoredStructure]) -> Result<What, LaneEnd> {
        let statements = structures::put(&self.shared.target, stored, progress.low);
        self.commit(Some(id), progress, &statements).await?;
        Ok(What::Committed(id))
    }

    /// One transaction, until it is in the target or cannot be.
    async fn commit(
        &mut self,
        batch: Option<BatchId>,
        progress: Progress,
        statements: &[Statement],
    ) -> Result<(), LaneEnd> {
        let update = self.update(batch, progress)?;
        let mut retry = Retries::new(batch);
        loop {
            match self.lane.execute(&update, statements).await {
                LaneOutcome::Committed { batch_crc, resolved, .. } => {
                    if resolved {
                        debug!(lane = self.lane.number(), "a lost COMMIT was found committed");
                    }
                    self.row.apply(&update, Some(batch_crc));
                    return Ok(());
                }
                outcome => retry.after(outcome).await?,
            }
        }
    }

    fn update(&self, batch: Option<BatchId>, progress: Progress) -> Result<FenceUpdate, LaneEnd> {
        self.row.advance(progress).map_err(|error| LaneEnd::Failed {
            batch,
            report: Report::new(BUG, Retry::Backoff, "cannot advance a lane's row").with_cause(error.to_string()),
        })
    }

    async fn ddl(&mut self, command: &DdlCommand) -> Result<What, LaneEnd> {
        let piece = piece(command);
        let also = structures::put(&self.shared.target, &command.structures, command.done.low);
        let update = self.update(None, command.done.clone())?;
        let mut known = self.shared.intents.get(&(command.unit, command.piece)).copied();
        let mut retry = Retries::new(None);
        let outcome = loop {
            match self.lane.execute_ddl(&piece, known, &update, &also).await {
                LaneOutcome::Committed { batch_crc, .. } => {
                    self.row.apply(&update, Some(batch_crc));
                    break DdlOutcome::Committed;
                }
                LaneOutcome::Data { number, .. } if command.ignores(number) => {
                    warn!(number, unit = %command.unit, "the DDL has its effect already");
                    known = Some(IntentVerdict::Done);
                }
                LaneOutcome::Data { number, statement, error } => {
                    let outcome = LaneOutcome::Data { number, statement, error };
                    break DdlOutcome::Refused(report_of(&outcome));
                }
                LaneOutcome::Undecided { statement } => {
                    break DdlOutcome::Refused(report_of(&LaneOutcome::Undecided { statement }));
                }
                outcome => retry.after(outcome).await?,
            }
        };
        Ok(What::DdlDone { unit: command.unit, piece: command.piece, outcome })
    }

    async fn skip(&mut self, skip: &SkipDdl) -> Result<What, LaneEnd> {
        let piece = DdlPiece {
            unit: skip.unit,
            piece: skip.piece,
            statement: skip.origin_sql.clone(),
            target: TableName::new("", ""),
            effect: dm_fence::DdlEffect::Structure,
            position: BinlogPosition::default(),
            settings: DdlSettings::default(),
        };
        let also = structures::put(&self.shared.target, &skip.structures, skip.done.low);
        let update = self.update(None, skip.done.clone())?;
        let mut retry = Retries::new(None);
        loop {
            match self.lane.skip_ddl(&piece, &update, &also).await {
                LaneOutcome::Committed { batch_crc, .. } => {
                    self.row.apply(&update, Some(batch_crc));
                    return Ok(What::DdlDone { unit: skip.unit, piece: skip.piece, outcome: DdlOutcome::Committed });
                }
                outcome => retry.after(outcome).await?,
            }
        }
    }
}

/// How often the target has refused one transaction for reasons that pass.
#[derive(Debug)]
struct Retries {
    batch: Option<BatchId>,
    n_tries: u32,
    pause: Duration,
}

impl Retries {
    fn new(batch: Option<BatchId>) -> Self {
        Self { batch, n_tries: 0, pause: FIRST_PAUSE }
    }

    /// Waits before the next try, or says that there is none.
    async fn after(&mut self, outcome: LaneOutcome) -> Result<(), LaneEnd> {
        self.n_tries += 1;
        if let LaneOutcome::Fenced { owner } = outcome {
            warn!(%owner, "fenced");
            return Err(LaneEnd::Fenced);
        }
        let report = report_of(&outcome);
        if outcome.ends_incarnation() {
            return Err(LaneEnd::TakeOverAgain(report));
        }
        let passes = matches!(&outcome, LaneOutcome::NotCommitted { error } if error.retry() == Retry::Backoff);
        if !passes || self.n_tries >= TRIES {
            return Err(LaneEnd::Failed { batch: self.batch, report });
        }
        debug!(error = %report, n_tries = self.n_tries, "the target refused a transaction, trying again");
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

/// What goes wrong in a lane goes wrong in the target, and a person needs to know what to do about it.
fn report_of(outcome: &LaneOutcome) -> Report {
    let mut report = outcome
        .report()
        .unwrap_or_else(|| Report::new(BUG, Retry::Backoff, "a committed transaction was taken for a failed one"));
    if report.scope == Scope::NotSet {
        report.scope = Scope::Downstream;
    }
    if report.workaround.is_empty() && matches!(outcome, LaneOutcome::Data { .. }) {
        report.workaround = REFUSED.to_owned();
    }
    report
}

fn piece(command: &DdlCommand) -> DdlPiece {
    let target = match (command.targets.first(), command.target_schemas.first()) {
        (Some(table), _) => table.clone(),
        (None, Some(schema)) => TableName::new(schema.clone(), ""),
        (None, None) => TableName::new("", ""),
    };
    DdlPiece {
        unit: command.unit,
        piece: command.piece,
        statement: command.sql.clone(),
        target,
        effect: command.effect,
        position: command.start.clone(),
        settings: settings(&command.session),
    }
}

/// The event's session facts as session variables. Collation numbers are not carried over: servers of another kind do not
/// know them, and the statement's text is UTF-8 by now.
fn settings(session: &DdlSession) -> DdlSettings {
    let mut variables = Vec::new();
    if session.timestamp_secs > 0 {
        variables.push(("timestamp".to_owned(), format!("{}.{:06}", session.timestamp_secs, session.timestamp_micros)));
    }
    DdlSettings {
        default_schema: None,
        time_zone: session.time_zone.clone(),
        sql_mode: session.sql_mode.map(sql_mode_text),
        variables,
    }
}

/// The modes that both families of servers know by the same bit, and that decide what a DDL's text means.
fn sql_mode_text(bits: u64) -> String {
    const MODES: [(u64, &str); 12] = [
        (1, "REAL_AS_FLOAT"),
        (1 << 1, "PIPES_AS_CONCAT"),
        (1 << 2, "ANSI_QUOTES"),
        (1 << 3, "IGNORE_SPACE"),
        (1 << 6, "NO_UNSIGNED_SUBTRACTION"),
        (1 << 19, "NO_AUTO_VALUE_ON_ZERO"),
        (1 << 20, "NO_BACKSLASH_ESCAPES"),
        (1 << 21, "STRICT_TRANS_TABLES"),
        (1 << 22, "STRICT_ALL_TABLES"),
        (1 << 25, "ALLOW_INVALID_DATES"),
        (1 << 26, "ERROR_FOR_DIVISION_BY_ZERO"),
        (1 << 30, "NO_ENGINE_SUBSTITUTION"),
    ];
    let set: Vec<&str> = MODES.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    set.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_mode_bits_become_names_both_families_know() {
        assert_eq!(sql_mode_text(0), "");
        assert_eq!(sql_mode_text((1 << 2) | (1 << 20)), "ANSI_QUOTES,NO_BACKSLASH_ESCAPES");
    }
}
