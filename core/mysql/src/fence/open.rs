//! Opening a lane's connection (control-plane.md 2.5 D0): kill its predecessors, check that the target is the one we
//! took over, register under the epoch check.
//!
//! The registration is committed before anything is written: an id that is only known inside an open transaction could
//! not be killed by a successor.

use std::time::Duration;

use dm_fence::{Attempt, ServerRun, Session, is_same_target, judge_update};
use mysql_async::prelude::Queryable;

use super::{
    LaneOutcome,
    lane::{Connected, Lane},
    row, session,
};
use crate::{
    Error, error_number, facts,
    fail_point::{self, Mutant},
};

impl Lane {
    /// How often the lane's row is tried to be locked; each try waits about a second.
    const REGISTER_TRIES: u32 = 10;

    /// Connects and registers, unless there is a connection.
    pub async fn open(&mut self) -> Result<(), LaneOutcome> {
        if self.connected.is_some() {
            return Ok(());
        }
        let not_committed = |error| LaneOutcome::NotCommitted { error };
        let mut conn = self.target.connector().connect().await.map_err(not_committed)?;
        let facts = facts(&mut conn).await.map_err(not_committed)?;
        let now = facts.run();
        self.check_run(&now, facts.connection_id)?;
        self.newest_connection = self.newest_connection.max(facts.connection_id);
        for stale in &self.stale {
            session::kill(&mut conn, &facts, stale).await.map_err(not_committed)?;
        }
        let session =
            Session { server: now, connection: facts.connection_id, epoch: self.target.epoch, lane: Some(self.lane) };
        self.connected = Some(Connected { conn, session, facts });
        let registered = self.register().await;
        if registered.is_err() {
            self.abandon();
        }
        registered
    }

    /// Rule 4: another server, or another run of it, may have lost commits that we counted.
    fn check_run(&self, now: &ServerRun, connection: u64) -> Result<(), LaneOutcome> {
        if !is_same_target(&self.run, self.newest_connection, now, connection, !self.is_tidb) {
            return Err(LaneOutcome::TargetChanged { before: self.run.clone(), now: now.clone() });
        }
        Ok(())
    }

    async fn register(&mut self) -> Result<(), LaneOutcome> {
        let attempt = Attempt {
            lane: self.lane,
            cluster_id: self.target.cluster_id.clone(),
            epoch: self.target.epoch,
            seq: 0,
            batch_crc: 0,
        };
        for n_tries in 1.. {
            let Some(Connected { conn, session, .. }) = &mut self.connected else {
                break;
            };
            let not_committed = |source| LaneOutcome::NotCommitted {
                error: Error::Query { doing: "register a lane's connection", source },
            };
            conn.query_drop("BEGIN").await.map_err(not_committed)?;
            let rows = match row::read(conn, &self.target, Some(self.lane), true).await {
                Ok(rows) => rows,
                Err(row::ReadError::Server(error))
                    if n_tries < Self::REGISTER_TRIES
                        && error_number::number(&error).is_some_and(error_number::is_lock_timeout) =>
                {
                    // A predecessor's transaction is still being rolled back.
                    conn.query_drop("ROLLBACK").await.map_err(not_committed)?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                Err(error) => return Err(LaneOutcome::NotCommitted { error: error.into() }),
            };
            if let Some(row) = rows.first()
                && (row.epoch == attempt.epoch || fail_point::is_mutant(Mutant::NoFenceCheck))
                && row.cluster_id == attempt.cluster_id
            {
                let mut packet = session::register_sql(&self.target, session);
                for stale in &self.stale {
                    packet.push(';');
                    packet.push_str(&session::forget_sql(&self.target, stale));
                }
                conn.query_drop(packet).await.map_err(not_committed)?;
                fail_point::pass("register");
                conn.query_drop("COMMIT").await.map_err(not_committed)?;
                self.stale.clear();
                fail_point::pass("registered");
                return Ok(());
            }
            let verdict = judge_update(&attempt, 0, rows.first());
            return Err(LaneOutcome::of_fence(verdict).unwrap_or(LaneOutcome::RowMissing));
        }
        Err(LaneOutcome::RowMissing)
    }
}
