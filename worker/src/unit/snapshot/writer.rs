//! A lane that writes chunks: one fenced transaction after the other.
//!
//! Owns what an outcome means for the copy. Transactions that were not committed are tried again; everything else is the
//! caller's end.

use std::time::Duration;

use dm_fence::{DdlEffect, FenceUpdate, LaneRow, Progress};
use dm_model::{
    BinlogPosition, TableName,
    error::{Report, Retry},
};
use dm_mysql::fence::{DdlPiece, DdlSettings, Lane, LaneOutcome, Statement};
use tracing::warn;

use super::error::{Error, harmless_message};
use crate::unit::{Failure, Leave, UnitEnd};

/// How often a transaction is tried: with the pauses about half a minute.
const TRIES: u32 = 12;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A lane and its row as we know it.
#[derive(Debug)]
pub(super) struct Writer {
    lane: Lane,
    row: LaneRow,
    /// Something else than a plain commit happened: the row in the target may be ahead of ours.
    is_doubtful: bool,
    /// How far announced DDLs have moved the row's seq; the lane counts them for itself.
    n_announced: u64,
}

/// What an update leads.
#[derive(Debug, Clone, Copy)]
enum Work<'a> {
    Rows(&'a [Statement]),
    Ddl(&'a DdlPiece),
}

/// Why a transaction is not in the target and will not be.
#[derive(Debug)]
pub(super) enum Refusal {
    Leave(Leave),
    /// The server says no to a statement.
    Data {
        number: u16,
        message: String,
    },
}

impl Writer {
    pub(super) fn new(lane: Lane, row: LaneRow) -> Self {
        Self { lane, row, is_doubtful: false, n_announced: 0 }
    }

    pub(super) fn row(&self) -> &LaneRow {
        &self.row
    }

    pub(super) fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    /// One transaction; says how many rows each statement changed (empty when the answer was lost and resolved).
    pub(super) async fn write(&mut self, statements: &[Statement]) -> Result<Vec<u64>, Refusal> {
        self.transact(None, statements).await
    }

    /// Writes where sync begins.
    pub(super) async fn advance(&mut self, progress: Progress) -> Result<(), Refusal> {
        self.transact(Some(progress), &[]).await.map(|_| ())
    }

    async fn transact(&mut self, progress: Option<Progress>, statements: &[Statement]) -> Result<Vec<u64>, Refusal> {
        let update = match progress {
            None => self.row.touch(),
            Some(progress) => self.row.advance(progress).map_err(|error| {
                let report = Report::new(dm_mysql::error::CORRUPT_META, Retry::Never, error.to_string());
                Refusal::Leave(Failure::new(report).into())
            })?,
        };
        self.attempt(&update, Work::Rows(statements)).await
    }

    /// A statement that commits by itself and may be repeated. It is announced under the fence and runs on a connection that a
    /// successor ends before it does anything. Its intent is no unit's: nobody looks after it but whoever needs it again.
    pub(super) async fn ddl(&mut self, target: &TableName, statement: String) -> Result<(), Refusal> {
        let piece = DdlPiece {
            unit: self.row.low,
            piece: 0,
            statement,
            target: target.clone(),
            effect: DdlEffect::Repeatable,
            position: BinlogPosition::default(),
            settings: DdlSettings::default(),
        };
        let update = self.row.touch();
        self.attempt(&update, Work::Ddl(&piece)).await?;
        self.n_announced += 1;
        Ok(())
    }

    async fn attempt(&mut self, update: &FenceUpdate, work: Work<'_>) -> Result<Vec<u64>, Refusal> {
        let mut pause = FIRST_PAUSE;
        for n_tries in 1.. {
            let outcome = match work {
                Work::Rows(statements) => self.lane.execute(update, statements).await,
                Work::Ddl(piece) => self.lane.execute_ddl(piece, None, update, &[]).await,
            };
            self.is_doubtful |= !matches!(outcome, LaneOutcome::Committed { resolved: false, .. });
            let ends = outcome.ends_incarnation();
            let report = outcome.report();
            match outcome {
                LaneOutcome::Committed { affected, batch_crc, .. } => {
                    self.row.apply(update, Some(batch_crc));
                    return Ok(affected);
                }
                LaneOutcome::Fenced { .. } => return Err(Refusal::Leave(Leave::End(UnitEnd::Fenced))),
                LaneOutcome::Data { number, error, .. } => {
                    return Err(Refusal::Data { number, message: harmless_message(number, &error) });
                }
                LaneOutcome::NotCommitted { error } => {
                    if n_tries >= TRIES || error.retry() == Retry::Never {
                        return Err(Refusal::Leave(Failure::from(error).into()));
                    }
                    warn!(lane = self.row.lane, %error, n_tries, "transaction not committed; trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                LaneOutcome::SeqMismatch { .. }
                | LaneOutcome::RowMissing
                | LaneOutcome::TargetChanged { .. }
                | LaneOutcome::Broken(_)
                | LaneOutcome::Unresolved { .. }
                | LaneOutcome::Undecided { .. } => {
                    let report = report.unwrap_or_else(|| {
                        Report::new(dm_mysql::fence::outcome::INCARNATION_ENDED, Retry::Backoff, "the lane ended")
                    });
                    let leave = if ends { Leave::TakeOverAgain(report) } else { Failure::new(report).into() };
                    return Err(Refusal::Leave(leave));
                }
            }
        }
        Ok(Vec::new())
    }

    /// Keeps an idle connection alive; call it every [`Lane::PING_INTERVAL`].
    pub(super) async fn ping(&mut self) {
        self.lane.ping().await;
    }

    /// Ends the connection in order. The row as it is in the target.
    pub(super) async fn close(mut self) -> LaneRow {
        self.lane.close().await;
        self.row.seq += self.n_announced;
        self.row
    }
}

impl Refusal {
    /// For transactions that hold nothing of a chunk.
    pub(super) fn into_leave(self) -> Leave {
        match self {
            Self::Leave(leave) => leave,
            Self::Data { number, message } => Failure::new(Report::new(
                super::error::ROWS_REFUSED,
                Retry::Never,
                format!("the target refused a statement with error {number}{message}"),
            ))
            .into(),
        }
    }

    /// For transactions that hold rows of a chunk.
    pub(super) fn into_leave_of(self, table: &dm_model::TableName, chunk: u32) -> Leave {
        match self {
            Self::Leave(leave) => leave,
            Self::Data { number, message } => Error::Refused { table: table.clone(), chunk, number, message }.into(),
        }
    }
}
