//! A COMMIT that was not answered: reconnect, kill the old connection, read the row under its lock, and write.
//!
//! The verdict is [`dm_fence::judge_unknown_commit`]'s and counts only after the probe's own COMMIT was acknowledged.

use std::time::Duration;

use dm_fence::{Attempt, CommitVerdict, judge_unknown_commit};
use mysql_async::prelude::Queryable;

use super::{
    LaneOutcome,
    lane::{Connected, Lane, closed},
    row,
};
use crate::{
    Error,
    fail_point::{self, Mutant},
};

/// What one probe came to.
enum Probe {
    Ended(LaneOutcome),
    /// Not sent, or surely not committed.
    Failed(Error),
    /// The probe's own COMMIT was not answered.
    Lost(Error),
}

impl Lane {
    /// Tries before the outcome stays open, with growing pauses: about 15 s where connecting fails at once.
    const RESOLVE_TRIES: u32 = 20;

    /// Finds out what became of `attempt`. `owner_seq` is the seq its owner counts before it.
    pub(super) async fn resolve(&mut self, attempt: &Attempt, owner_seq: u64, lost: Error) -> LaneOutcome {
        self.abandon();
        let mut lost_probes = 0;
        let mut last = lost;
        for n_tries in 0..Self::RESOLVE_TRIES {
            if n_tries > 0 {
                tokio::time::sleep(Duration::from_millis(80) * n_tries).await;
            }
            last = match self.open().await {
                Err(LaneOutcome::NotCommitted { error }) => error,
                Err(outcome) => return outcome,
                Ok(()) => match self.probe(attempt, owner_seq, lost_probes).await {
                    Probe::Ended(outcome) => return outcome,
                    Probe::Failed(error) => {
                        self.abandon();
                        error
                    }
                    Probe::Lost(error) => {
                        self.abandon();
                        lost_probes += 1;
                        error
                    }
                },
            };
        }
        LaneOutcome::Unresolved { error: last }
    }

    async fn probe(&mut self, attempt: &Attempt, owner_seq: u64, lost_probes: u64) -> Probe {
        let Some(Connected { conn, .. }) = &mut self.connected else {
            return Probe::Failed(Error::Query { doing: "resolve a lost commit", source: closed() });
        };
        let failed = |source| Probe::Failed(Error::Query { doing: "resolve a lost commit", source });
        if let Err(source) = conn.query_drop("BEGIN").await {
            return failed(source);
        }
        let rows = match row::read(conn, &self.target, Some(self.lane), true).await {
            Ok(rows) => rows,
            Err(error) => return Probe::Failed(error.into()),
        };
        let verdict = judge_unknown_commit(attempt, lost_probes, rows.first());
        let (committed, seq) = match verdict {
            CommitVerdict::Committed { seq } => (!fail_point::is_mutant(Mutant::UnknownCommitIsFailure), seq),
            CommitVerdict::NotCommitted { seq } => (false, seq),
            CommitVerdict::Fenced { owner } => {
                self.roll_back().await;
                return Probe::Ended(LaneOutcome::Fenced { owner });
            }
            CommitVerdict::Broken(breach) => {
                self.roll_back().await;
                return Probe::Ended(LaneOutcome::Broken(breach));
            }
        };
        if let Err(source) = conn.query_drop(row::probe_sql(&self.target, self.lane, seq, committed)).await {
            return failed(source);
        }
        if conn.affected_rows() != 1 {
            return failed(closed());
        }
        if let Err(source) = fail_point::sent("probe", conn.query_drop("COMMIT")).await {
            return Probe::Lost(Error::Query { doing: "resolve a lost commit", source });
        }
        tracing::info!(lane = self.lane, committed, "a lost COMMIT is resolved");
        fail_point::pass("resolved");
        // The row carries seq + 1; its owner will count owner_seq + 1, or owner_seq again.
        let counted = if committed { CommitVerdict::Committed { seq } } else { CommitVerdict::NotCommitted { seq } };
        self.ahead = counted.ahead(owner_seq).unwrap_or_default();
        Probe::Ended(if committed {
            LaneOutcome::Committed { affected: Vec::new(), batch_crc: attempt.batch_crc, resolved: true }
        } else {
            let source = closed();
            LaneOutcome::NotCommitted { error: Error::Query { doing: "commit", source } }
        })
    }
}
