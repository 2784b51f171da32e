//! One target connection that writes under the fence.
//!
//! A transaction is `BEGIN; fence; statements` in as few packets as fit, then, only after the fence was seen to hold
//! (exactly one row), `COMMIT` (rule 2). Any error before COMMIT ends in ROLLBACK or a dropped connection (rule 5); any
//! error at COMMIT is resolved by [`super::resolve`] (rule 3). The lane's row is written by this connection alone.

use std::{sync::Arc, time::Duration};

use dm_fence::{Attempt, FenceUpdate, ServerRun, Session, judge_update};
use mysql_async::{Conn, prelude::Queryable};

use super::{FenceTarget, LaneOutcome, TakeoverReport, row, session};
use crate::{
    Error, error_number,
    fail_point::{self, Mutant},
    packet,
};

/// A statement of a transaction: SQL text in UTF-8, without a semicolon at its end, that returns no rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub sql: Vec<u8>,
}

impl Statement {
    pub fn new(sql: impl Into<Vec<u8>>) -> Self {
        Self { sql: sql.into() }
    }
}

/// A lane. Connects when first used and again after errors; dropped, it closes its connection and its registration
/// stays for the next owner to clear, which [`Lane::close`] avoids.
#[derive(Debug)]
pub struct Lane {
    pub(super) target: Arc<FenceTarget>,
    pub(super) lane: u16,
    /// The target as takeover found it.
    pub(super) run: ServerRun,
    pub(super) is_tidb: bool,
    /// The largest connection id seen: a smaller one later means a restart.
    pub(super) newest_connection: u64,
    pub(super) connected: Option<Connected>,
    /// Earlier connections of this lane that may still be alive on the server.
    pub(super) stale: Vec<Session>,
    /// How far the row's seq is ahead of its owner's count, by probes and DDL intents.
    pub(super) ahead: u64,
    pub(super) max_packet_bytes: usize,
    pub(super) answer_timeout: Duration,
}

#[derive(Debug)]
pub(super) struct Connected {
    pub conn: Conn,
    pub session: Session,
    pub facts: crate::ServerFacts,
}

/// What leads a transaction.
pub(super) enum Fence<'a> {
    Update(&'a FenceUpdate),
    /// Only the epoch check.
    Touch,
}

impl Lane {
    /// Packets are kept below this, and below half of what the server takes.
    pub const PACKET_BYTES: usize = 8 << 20;
    /// How long the server may be silent before the connection counts as lost.
    pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

    /// A lane of a target that was taken over. Does not connect yet.
    pub fn new(target: Arc<FenceTarget>, lane: u16, takeover: &TakeoverReport) -> Self {
        let half = usize::try_from(takeover.facts.max_allowed_packet / 2).unwrap_or(Self::PACKET_BYTES);
        Self {
            target,
            lane,
            run: takeover.facts.run(),
            is_tidb: takeover.facts.is_tidb,
            newest_connection: takeover.facts.connection_id,
            connected: None,
            stale: Vec::new(),
            ahead: 0,
            max_packet_bytes: half.min(Self::PACKET_BYTES),
            answer_timeout: Self::ANSWER_TIMEOUT,
        }
    }

    pub fn with_answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = timeout;
        self
    }

    pub fn number(&self) -> u16 {
        self.lane
    }

    /// The server's id of the connection, while there is one.
    pub fn connection_id(&self) -> Option<u64> {
        self.connected.as_ref().map(|connected| connected.session.connection)
    }

    /// One transaction: the fence's update and these statements, or nothing.
    ///
    /// `update` comes from [`dm_fence::LaneRow::advance`] or `touch` on the row as its owner knows it; after
    /// `Committed` the owner applies it to that row. Cancelling the future drops the connection and leaves the outcome
    /// unknown: then only a new takeover tells.
    pub async fn execute(&mut self, update: &FenceUpdate, statements: &[Statement]) -> LaneOutcome {
        debug_assert_eq!(update.lane, self.lane, "an update goes through its own lane");
        let seq = update.seq + self.ahead;
        self.transact(Fence::Update(update), seq, update.seq, statements).await
    }

    /// Keeps an idle connection from running into its timeouts; call it every [`Self::PING_INTERVAL`] outside
    /// transactions. A connection that does not answer is closed and made anew when needed.
    pub async fn ping(&mut self) {
        let Some(connected) = &mut self.connected else {
            return;
        };
        match tokio::time::timeout(Self::PING_INTERVAL, connected.conn.ping()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => self.abandon(),
        }
    }

    /// A third of the servers' idle timeout.
    pub const PING_INTERVAL: Duration = Duration::from_secs(3);

    /// Ends the connection in order: its registration is removed, so that a successor has nothing to kill.
    pub async fn close(mut self) {
        let Some(mut connected) = self.connected.take() else {
            return;
        };
        let forget = session::forget_sql(&self.target, &connected.session);
        fail_point::pass("close");
        let forgotten = tokio::time::timeout(Self::PING_INTERVAL, async {
            connected.conn.query_drop(forget).await?;
            connected.conn.disconnect().await
        });
        if let Ok(Err(error)) = forgotten.await {
            tracing::debug!(lane = self.lane, %error, "a lane's registration stays");
        }
    }

    /// Drops the connection; it has to be killed before the lane writes again.
    pub(super) fn abandon(&mut self) {
        if let Some(connected) = self.connected.take() {
            self.stale.push(connected.session);
        }
    }

    /// Runs a transaction whose row carries `seq` now; `owner_seq` is what it would carry by its owner's count.
    pub(super) async fn transact(
        &mut self,
        fence: Fence<'_>,
        seq: u64,
        owner_seq: u64,
        statements: &[Statement],
    ) -> LaneOutcome {
        if let Err(outcome) = self.open().await {
            return outcome;
        }
        let batch_crc = checksum(statements);
        let attempt = Attempt {
            lane: self.lane,
            cluster_id: self.target.cluster_id.clone(),
            epoch: self.target.epoch,
            seq,
            batch_crc,
        };
        let guard = match fence {
            Fence::Update(update) => row::update_sql(&self.target, update, seq, batch_crc),
            Fence::Touch => row::touch_sql(&self.target, self.lane, seq, batch_crc),
        };
        fail_point::pass("fence");
        let affected = match self.send(&attempt, &guard, statements).await {
            Ok(affected) => affected,
            Err(outcome) => return outcome,
        };
        fail_point::pass("fence-held");
        match self.commit().await {
            Ok(()) => {
                fail_point::pass("acked");
                LaneOutcome::Committed { affected, batch_crc, resolved: false }
            }
            Err(error) => {
                tracing::info!(lane = self.lane, error = %dm_model::error::Chain(&error), "COMMIT was not acknowledged");
                fail_point::pass("commit-unknown");
                self.resolve(&attempt, owner_seq, error).await
            }
        }
    }

    /// Everything before COMMIT. On an error nothing of it stays.
    async fn send(
        &mut self,
        attempt: &Attempt,
        guard: &str,
        statements: &[Statement],
    ) -> Result<Vec<u64>, LaneOutcome> {
        let lead: [&[u8]; 2] = [b"BEGIN", guard.as_bytes()];
        let all = lead.into_iter().chain(statements.iter().map(|statement| statement.sql.as_slice()));
        let mut affected = Vec::with_capacity(statements.len() + 2);
        for (packet, _) in packet::pack(all, self.max_packet_bytes) {
            let results = self.run(packet).await;
            affected.extend(results.affected);
            // The fence first: what comes after a failed one says nothing.
            if affected.get(1).is_some_and(|n_rows| *n_rows != 1) && !fail_point::is_mutant(Mutant::NoFenceCheck) {
                return Err(self.fence_failed(attempt, affected[1]).await);
            }
            if let Some(error) = results.error {
                let statement = affected.len().checked_sub(lead.len());
                return Err(self.statement_failed(error, statement, statements).await);
            }
        }
        if affected.len() != statements.len() + lead.len() {
            // A statement that was several, or none: what was executed is not what was meant.
            self.abandon();
            let source = mysql_async::Error::Driver(mysql_async::DriverError::PacketOutOfOrder);
            return Err(LaneOutcome::NotCommitted {
                error: Error::Query { doing: "match results to statements", source },
            });
        }
        affected.drain(..lead.len());
        Ok(affected)
    }

    async fn run(&mut self, packet: Vec<u8>) -> packet::Results {
        let Some(connected) = &mut self.connected else {
            return packet::Results { affected: Vec::new(), error: Some(closed()) };
        };
        match tokio::time::timeout(
            self.answer_timeout,
            fail_point::sent("rows", packet::run(&mut connected.conn, packet)),
        )
        .await
        {
            Ok(results) => results,
            Err(_) => packet::Results { affected: Vec::new(), error: Some(closed()) },
        }
    }

    async fn commit(&mut self) -> Result<(), Error> {
        let Some(connected) = &mut self.connected else {
            return Err(Error::Query { doing: "commit", source: closed() });
        };
        match tokio::time::timeout(self.answer_timeout, fail_point::sent("commit", connected.conn.query_drop("COMMIT")))
            .await
        {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(Error::Query { doing: "commit", source }),
            Err(_) => Err(Error::Timeout { seconds: self.answer_timeout.as_secs() }),
        }
    }

    /// Rolls back, or drops the connection where that fails.
    pub(super) async fn roll_back(&mut self) {
        let Some(connected) = &mut self.connected else {
            return;
        };
        match tokio::time::timeout(Self::PING_INTERVAL, connected.conn.query_drop("ROLLBACK")).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => self.abandon(),
        }
    }

    async fn fence_failed(&mut self, attempt: &Attempt, affected: u64) -> LaneOutcome {
        let read = match &mut self.connected {
            // A plain read would show what the transaction saw first, a locking one what is there.
            Some(connected) => row::read(&mut connected.conn, &self.target, Some(self.lane), true).await,
            None => Err(row::ReadError::Server(closed())),
        };
        self.roll_back().await;
        match read {
            Ok(rows) => LaneOutcome::of_fence(judge_update(attempt, affected, rows.first()))
                .unwrap_or_else(|| LaneOutcome::SeqMismatch { expected: attempt.seq, found: attempt.seq }),
            Err(error) => {
                self.abandon();
                LaneOutcome::NotCommitted { error: error.into() }
            }
        }
    }

    async fn statement_failed(
        &mut self,
        source: mysql_async::Error,
        statement: Option<usize>,
        statements: &[Statement],
    ) -> LaneOutcome {
        let number = error_number::number(&source);
        match number {
            Some(number) if !error_number::ends_connection(number) => self.roll_back().await,
            Some(_) | None => self.abandon(),
        }
        let kind = number.map(error_number::kind);
        match (number, kind, statement) {
            (Some(number), Some(error_number::Kind::Statement), Some(at)) => {
                let sql = statements.get(at).map(|s| String::from_utf8_lossy(&s.sql)).unwrap_or_default();
                LaneOutcome::Data { number, statement: at, error: Error::execute(&sql)(source) }
            }
            // The meta table itself is gone.
            (Some(1146 | 1049), _, None) => LaneOutcome::RowMissing,
            (_, _, Some(_) | None) => {
                LaneOutcome::NotCommitted { error: Error::Query { doing: "apply a transaction", source } }
            }
        }
    }
}

/// Of all statements; never absent, so that a fold's row differs from a probe's.
fn checksum(statements: &[Statement]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for statement in statements {
        hasher.update(&statement.sql);
        hasher.update(b";");
    }
    hasher.finalize()
}

pub(super) fn closed() -> mysql_async::Error {
    mysql_async::Error::Driver(mysql_async::DriverError::ConnectionClosed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::{DdlPiece, take_over};

    fn is_send<T: Send>(_: &T) {}

    /// Compiles only while every long call can run in a spawned task.
    #[allow(dead_code)]
    fn calls_can_be_spawned(lane: &mut Lane, target: &FenceTarget, update: &FenceUpdate, piece: &DdlPiece) {
        is_send(&lane.execute(update, &[]));
        is_send(&lane.ping());
        is_send(&lane.execute_ddl(piece, None, update, &[]));
        let options =
            crate::fence::TakeoverOptions { n_lanes: 1, slicing: update.slicing, from_foreign_cluster: false };
        is_send(&take_over(target, options));
    }

    #[test]
    fn the_checksum_of_nothing_is_still_there_and_statements_do_not_run_together() {
        assert_eq!(checksum(&[]), 0);
        let one = [Statement::new("a"), Statement::new("b")];
        assert_ne!(checksum(&one), checksum(&[Statement::new("ab")]));
    }
}
