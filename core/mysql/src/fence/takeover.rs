//! Executes the steps of a takeover (control-plane.md 2.5 C). All decisions are [`dm_fence::Takeover`]'s.
//!
//! Errors that a retry cannot mend, such as missing rights, end it at once; a broken connection is an answer like any
//! other. Repeating a takeover is harmless.

use std::time::Duration;

use dm_fence::{Answer, Claim, Ending, LaneRow, Session, Slicing, Step, TakenOver, Takeover};
use dm_model::error::Retry;
use mysql_async::{Conn, prelude::Queryable};

use super::{
    FenceTarget, ensure_meta_tables, intent,
    row::{self, ReadError},
    session,
};
use crate::{Error, Result, ServerFacts, error_number, facts, fail_point, prelude};

/// The target is ours, and what lanes need to know about it.
#[derive(Debug)]
pub struct TakeoverReport {
    pub taken: TakenOver,
    pub facts: ServerFacts,
}

/// How many lanes shall have a row, and how transactions become units for a first owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeoverOptions {
    pub n_lanes: u16,
    pub slicing: Slicing,
    /// Take the rows of another cluster, if their epochs are older (`start-task --take-over`).
    pub from_foreign_cluster: bool,
}

/// Makes the target ours: creates the meta tables, ends earlier owners, claims all lane rows, judges open intents.
///
/// On `Ok`, no earlier owner's transaction can commit any more, and `taken.resume` is exactly what is in the target.
/// Takes as long as an earlier owner's locks, at most about a minute, then [`dm_fence::Stop::Locked`].
pub async fn take_over(target: &FenceTarget, options: TakeoverOptions) -> Result<TakeoverReport> {
    let mut run = Run { target, options, connected: None, waited_out: false, n_connects: 0 };
    let mut takeover = Takeover::new(Claim {
        cluster_id: target.cluster_id.clone(),
        epoch: target.epoch,
        n_lanes: options.n_lanes,
        slicing: options.slicing,
        from_foreign_cluster: options.from_foreign_cluster,
    });
    loop {
        let step = takeover.step();
        tracing::debug!(subtask = %target.subtask, epoch = target.epoch.0, ?step, "takeover");
        let point = point(&step);
        let answer = match step {
            Step::Finished(taken) => {
                let report = run.finish(*taken).await;
                fail_point::pass(point);
                return report;
            }
            Step::Stopped(stop) => return Err(Error::Takeover(stop)),
            step => run.execute(step).await?,
        };
        fail_point::pass(point);
        takeover.answer(answer);
    }
}

/// The fail point that lies behind a step.
fn point(step: &Step) -> &'static str {
    match step {
        Step::Connect => "c0-connected",
        Step::ReadSessions => "c0-sessions",
        Step::Kill(_) => "c1-killed",
        Step::LockRows => "c2-locked",
        Step::RollBack => "c2-rolled-back",
        Step::Claim { .. } => "c4-claimed",
        Step::End(..) => "c5-ended",
        Step::Forget(_) => "c5-forgotten",
        Step::ReadIntents => "c6-intents",
        Step::Inspect(_) => "c6-inspected",
        Step::ReadRows => "c7-rows",
        Step::Finished(_) | Step::Stopped(_) => "c8-finished",
    }
}

struct Run<'a> {
    target: &'a FenceTarget,
    options: TakeoverOptions,
    connected: Option<Connected>,
    waited_out: bool,
    n_connects: u32,
}

struct Connected {
    conn: Conn,
    facts: ServerFacts,
    session: Session,
}

impl Run<'_> {
    async fn execute(&mut self, step: Step) -> Result<Answer> {
        if step == Step::Connect {
            return self.connect().await;
        }
        let Some(at) = &mut self.connected else {
            return Ok(Answer::Lost);
        };
        let done = match step {
            Step::ReadSessions => session::read(&mut at.conn, self.target).await.map(Answer::Sessions),
            Step::Kill(victim) => session::kill(&mut at.conn, &at.facts, &victim).await.map(|()| Answer::Killed),
            Step::LockRows => at.lock_rows(self.target).await,
            Step::Claim { n_rows, insert } => at.claim(self.target, self.options.slicing, n_rows, &insert).await,
            Step::RollBack => query(&mut at.conn, "ROLLBACK").await.map(|()| Answer::RolledBack),
            Step::End(victim, Ending::Kill) => session::kill_and_wait(&mut at.conn, &at.facts, &victim)
                .await
                .map(|gone| if gone { Answer::Gone } else { Answer::StillThere }),
            Step::End(_, Ending::DeadAlready) => Ok(Answer::Gone),
            Step::End(victim, Ending::WaitOut) => {
                if !self.waited_out {
                    tracing::info!(server = victim.server.uuid, "waiting for the sessions of another server to end");
                    wait_out(&mut at.conn).await;
                    self.waited_out = true;
                }
                Ok(Answer::Gone)
            }
            Step::Forget(victim) => {
                query(&mut at.conn, &session::forget_sql(self.target, &victim)).await.map(|()| Answer::Deleted)
            }
            Step::ReadIntents => intent::read(&mut at.conn, self.target).await.map(Answer::Intents),
            Step::Inspect(open) => {
                intent::observe_settled(&mut at.conn, &at.facts, &open.target).await.map(Answer::Observed)
            }
            Step::ReadRows => {
                row::read(&mut at.conn, self.target, None, false).await.map(Answer::Rows).map_err(Error::from)
            }
            Step::Connect | Step::Finished(_) | Step::Stopped(_) => return Ok(Answer::Lost),
        };
        done.or_else(|error| match error.retry() {
            Retry::Backoff => {
                tracing::info!(subtask = %self.target.subtask, error = %dm_model::error::Chain(&error), "takeover begins again");
                Ok(Answer::Lost)
            }
            Retry::Never => Err(error),
        })
    }

    async fn connect(&mut self) -> Result<Answer> {
        // Dropping it makes the server roll back and let go of its locks.
        self.connected = None;
        if self.n_connects > 0 {
            tokio::time::sleep(Duration::from_millis(100) * self.n_connects.min(10)).await;
        }
        self.n_connects += 1;
        let connected = async {
            let mut conn = self.target.connector().connect().await?;
            if self.n_connects == 1 {
                ensure_meta_tables(&mut conn, &self.target.meta_schema).await?;
            }
            let facts = facts(&mut conn).await?;
            Ok::<_, Error>((conn, facts))
        };
        match connected.await {
            Ok((conn, facts)) => {
                let session = Session {
                    server: facts.run(),
                    connection: facts.connection_id,
                    epoch: self.target.epoch,
                    lane: None,
                };
                self.connected = Some(Connected { conn, facts, session: session.clone() });
                Ok(Answer::Connected(session))
            }
            Err(error) => match error.retry() {
                Retry::Backoff => Ok(Answer::Lost),
                Retry::Never => Err(error),
            },
        }
    }

    async fn finish(&mut self, taken: TakenOver) -> Result<TakeoverReport> {
        let Some(Connected { mut conn, facts, session }) = self.connected.take() else {
            return Err(Error::Takeover(dm_fence::Stop::Lost { n_tries: 0 }));
        };
        // Nothing is open on this connection any more. Left registered, it would only be killed by a successor.
        let forgotten = query(&mut conn, &session::forget_sql(self.target, &session)).await;
        if let Err(error) = forgotten {
            tracing::debug!(error = %dm_model::error::Chain(&error), "the takeover's registration stays");
        }
        let _closed = conn.disconnect().await;
        Ok(TakeoverReport { taken, facts })
    }
}

impl Connected {
    /// C2.
    async fn lock_rows(&mut self, target: &FenceTarget) -> Result<Answer> {
        query(&mut self.conn, "BEGIN").await?;
        match row::read(&mut self.conn, target, None, true).await {
            Ok(rows) => Ok(Answer::Rows(rows)),
            Err(ReadError::Server(error)) => contention(error, "lock the lane rows"),
            Err(ReadError::Corrupt(error)) => Err(error),
        }
    }

    /// C4, in the transaction of C2.
    async fn claim(&mut self, target: &FenceTarget, slicing: Slicing, n_rows: usize, insert: &[u16]) -> Result<Answer> {
        const DOING: &str = "claim the lane rows";
        if n_rows > 0 {
            if let Err(error) = self.conn.query_drop(row::claim_sql(target)).await {
                return contention(error, DOING);
            }
            if self.conn.affected_rows() != n_rows as u64 {
                return Ok(Answer::Conflict);
            }
        }
        for lane in insert {
            let first = LaneRow::first(*lane, target.cluster_id.clone(), target.epoch, slicing);
            if let Err(error) = self.conn.query_drop(row::insert_sql(target, &first)).await {
                return contention(error, DOING);
            }
        }
        if let Err(error) = self.conn.query_drop(session::register_sql(target, &self.session)).await {
            return contention(error, DOING);
        }
        fail_point::pass("c4-sent");
        match fail_point::sent("c4-commit", self.conn.query_drop("COMMIT")).await {
            Ok(()) => Ok(Answer::Claimed),
            // Whatever it says, it may have taken effect: begin again on a new connection.
            Err(_) => Ok(Answer::Lost),
        }
    }
}

fn contention(error: mysql_async::Error, doing: &'static str) -> Result<Answer> {
    match error_number::number(&error) {
        Some(number) if error_number::is_lock_timeout(number) => Ok(Answer::LockTimeout),
        Some(number) if error_number::is_conflict(number) => Ok(Answer::Conflict),
        Some(_) | None => Err(Error::Query { doing, source: error }),
    }
}

/// Waits until the timeouts of sessions on a server that cannot be asked have ended them, keeping our own alive.
async fn wait_out(conn: &mut Conn) {
    for _ in 0..=prelude::LANE_WAIT_TIMEOUT {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if conn.ping().await.is_err() {
            // The next step finds out.
            return;
        }
    }
}

async fn query(conn: &mut Conn, sql: &str) -> Result<()> {
    conn.query_drop(sql).await.map_err(Error::execute(sql))
}
