//! A DDL piece on a lane: announced, executed, done (control-plane.md 2.6, rules 4.1.7).
//!
//! DDL commits by itself, so announcement and completion are transactions of their own under the fence. When the answer
//! is lost, the old connection is killed and waited for, and the target is compared with what it was. The caller has
//! made sure that all units of the table before this one are acknowledged, and holds back those after it.

use std::time::Duration;

use dm_fence::{DdlEffect, FenceUpdate, Intent, IntentState, IntentVerdict, Observed, UnitNumber, judge_intent};
use dm_model::{BinlogPosition, TableName, name::quote_identifier};
use mysql_async::prelude::Queryable;

use super::{
    LaneOutcome, Statement, intent,
    lane::{Connected, Fence, Lane, closed},
    session,
};
use crate::{Error, error_number, fail_point, text::literal};

/// One piece of a DDL, for one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DdlPiece {
    pub unit: UnitNumber,
    /// Counted from 0 within the unit.
    pub piece: u32,
    pub statement: String,
    /// The table it changes; for a statement about a schema the table name is empty.
    pub target: TableName,
    pub effect: DdlEffect,
    pub position: BinlogPosition,
    pub settings: DdlSettings,
}

/// The session a DDL runs in: the source's, as its event recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DdlSettings {
    /// `USE` before it, where the schema exists.
    pub default_schema: Option<String>,
    /// As the event has it; it decides what DEFAULT literals of timestamps mean.
    pub time_zone: Option<String>,
    /// The modes in which the statement's text is read.
    pub sql_mode: Option<String>,
    /// Further session variables (`collation_server`, `foreign_key_checks`, …), values as SQL text.
    pub variables: Vec<(String, String)>,
}

/// How executing ended.
enum Executed {
    Yes,
    No(LaneOutcome),
    /// The answer was lost.
    Unknown(Error),
}

impl Lane {
    /// How often a lost DDL is looked after before the outcome stays open.
    const DDL_TRIES: u32 = 10;

    /// Announces, executes and completes a piece. `known` is the verdict on an intent that takeover found.
    ///
    /// `finish` leads the transaction that completes it: for the last piece of a unit it carries the unit's number, for
    /// others it is a `touch`. `also` goes into that transaction (the new source structure). After `Committed` the
    /// owner applies `finish`; `Data` and `NotCommitted` leave the row as the owner knows it, and the call may be
    /// repeated.
    pub async fn execute_ddl(
        &mut self,
        piece: &DdlPiece,
        known: Option<IntentVerdict>,
        finish: &FenceUpdate,
        also: &[Statement],
    ) -> LaneOutcome {
        let mut verdict = known.unwrap_or(IntentVerdict::Again);
        for _ in 0..Self::DDL_TRIES {
            match verdict {
                IntentVerdict::Done | IntentVerdict::Finished => return self.complete(piece, finish, also).await,
                IntentVerdict::Stop => return LaneOutcome::Undecided { statement: piece.statement.clone() },
                IntentVerdict::Again => {}
            }
            let announced = match self.announce(piece, finish).await {
                Ok(announced) => announced,
                Err(outcome) => return outcome,
            };
            verdict = match self.run_ddl(piece).await {
                Executed::Yes => IntentVerdict::Done,
                Executed::No(outcome) => return outcome,
                Executed::Unknown(error) => {
                    tracing::info!(lane = self.lane, error = %dm_model::error::Chain(&error), "a DDL was not answered");
                    match self.look(&announced, error).await {
                        Ok(verdict) => verdict,
                        Err(outcome) => return outcome,
                    }
                }
            };
        }
        LaneOutcome::NotCommitted { error: Error::Query { doing: "execute a DDL", source: closed() } }
    }

    /// Completes a piece without executing it, on a user's order: its intent says `skipped`.
    pub async fn skip_ddl(&mut self, piece: &DdlPiece, finish: &FenceUpdate, also: &[Statement]) -> LaneOutcome {
        let skipped = self.intent_of(piece, IntentState::Skipped, Observed::default());
        let mut statements = vec![Statement::new(intent::announce_sql(&self.target, &skipped))];
        statements.extend_from_slice(also);
        self.execute(finish, &statements).await
    }

    fn intent_of(&self, piece: &DdlPiece, state: IntentState, before: Observed) -> Intent {
        Intent {
            unit: piece.unit,
            piece: piece.piece,
            epoch: self.target.epoch,
            state,
            statement: piece.statement.clone(),
            target: piece.target.clone(),
            effect: piece.effect,
            before,
            position: piece.position.clone(),
        }
    }

    /// The intent's own transaction. It moves the row's seq without its owner's count.
    async fn announce(&mut self, piece: &DdlPiece, finish: &FenceUpdate) -> Result<Intent, LaneOutcome> {
        self.open().await?;
        let before = match &mut self.connected {
            Some(Connected { conn, facts, .. }) => intent::observe_settled(conn, facts, &piece.target).await,
            None => Err(Error::Query { doing: "look at a table", source: closed() }),
        };
        let before = match before {
            Ok(before) => before,
            Err(error) => {
                self.abandon();
                return Err(LaneOutcome::NotCommitted { error });
            }
        };
        let intent = self.intent_of(piece, IntentState::Open, before);
        let statements = [Statement::new(intent::announce_sql(&self.target, &intent))];
        let seq = finish.seq + self.ahead;
        match self.transact(Fence::Touch, seq, finish.seq, &statements).await {
            LaneOutcome::Committed { resolved, .. } => {
                // Resolving counted the owner's next seq; without it the row is one ahead of the owner.
                self.ahead += 1;
                tracing::debug!(unit = piece.unit.0, piece = piece.piece, resolved, "DDL announced");
                fail_point::pass("intent");
                Ok(intent)
            }
            outcome => Err(outcome),
        }
    }

    async fn run_ddl(&mut self, piece: &DdlPiece) -> Executed {
        let settings = settings_sql(&piece.settings);
        let Some(Connected { conn, .. }) = &mut self.connected else {
            return Executed::No(LaneOutcome::NotCommitted {
                error: Error::Query { doing: "execute a DDL", source: closed() },
            });
        };
        for sql in &settings {
            match conn.query_drop(sql).await {
                Ok(()) => {}
                // The schema may be what the statement creates, or a variable unknown to the target.
                Err(mysql_async::Error::Server(error)) => {
                    tracing::debug!(sql, %error, "the target does not take a setting of the source");
                }
                Err(source) => {
                    self.abandon();
                    let error = Error::Query { doing: "prepare a DDL", source };
                    return Executed::No(LaneOutcome::NotCommitted { error });
                }
            }
        }
        // No timeout: a DDL may take hours; a dead peer is found by TCP.
        let executed = fail_point::sent("ddl", conn.query_drop(&piece.statement)).await;
        match executed {
            Ok(()) => {
                fail_point::pass("ddl-executed");
                self.restore().await;
                Executed::Yes
            }
            Err(source) => match error_number::number(&source) {
                Some(number) if !error_number::ends_connection(number) => {
                    self.restore().await;
                    let error = Error::execute(&piece.statement)(source);
                    match error_number::kind(number) {
                        error_number::Kind::Conflict => Executed::No(LaneOutcome::NotCommitted { error }),
                        error_number::Kind::Unavailable => Executed::Unknown(error),
                        error_number::Kind::Statement => {
                            Executed::No(LaneOutcome::Data { number, statement: 0, error })
                        }
                    }
                }
                Some(_) | None => Executed::Unknown(Error::execute(&piece.statement)(source)),
            },
        }
    }

    /// Brings the lane's own settings back, or drops the connection.
    async fn restore(&mut self) {
        let Some(Connected { conn, facts, .. }) = &mut self.connected else {
            return;
        };
        let mut ok = true;
        for sql in self.target.connector().prelude(&facts.version) {
            ok = ok && conn.query_drop(sql).await.is_ok();
        }
        if !ok {
            self.abandon();
        }
    }

    /// Looks what became of a statement whose answer was lost. The old connection has to be gone first.
    async fn look(&mut self, announced: &Intent, lost: Error) -> Result<IntentVerdict, LaneOutcome> {
        fail_point::pass("ddl-look");
        let old = self.connected.as_ref().map(|connected| connected.session.clone());
        self.abandon();
        let mut last = lost;
        for n_tries in 0..Self::DDL_TRIES {
            tokio::time::sleep(Duration::from_millis(100) * n_tries).await;
            last = match self.open().await {
                Err(LaneOutcome::NotCommitted { error }) => error,
                Err(outcome) => return Err(outcome),
                Ok(()) => match self.observe_after(old.as_ref(), announced).await {
                    Ok(Some(now)) => return Ok(judge_intent(announced, &now)),
                    Ok(None) => Error::Timeout { seconds: 3 },
                    Err(error) => {
                        self.abandon();
                        error
                    }
                },
            };
        }
        Err(LaneOutcome::Unresolved { error: last })
    }

    async fn observe_after(
        &mut self,
        old: Option<&dm_fence::Session>,
        announced: &Intent,
    ) -> Result<Option<Observed>, Error> {
        let Some(Connected { conn, facts, .. }) = &mut self.connected else {
            return Err(Error::Query { doing: "look at a table", source: closed() });
        };
        if let Some(old) = old
            && !session::kill_and_wait(conn, facts, old).await?
        {
            return Ok(None);
        }
        intent::observe_settled(conn, facts, &announced.target).await.map(Some)
    }

    async fn complete(&mut self, piece: &DdlPiece, finish: &FenceUpdate, also: &[Statement]) -> LaneOutcome {
        let mut statements = vec![Statement::new(intent::done_sql(&self.target, piece.unit, piece.piece))];
        statements.extend_from_slice(also);
        let outcome = self.execute(finish, &statements).await;
        fail_point::pass("ddl-done");
        outcome
    }
}

fn settings_sql(settings: &DdlSettings) -> Vec<String> {
    let mut sql = Vec::new();
    if let Some(schema) = &settings.default_schema {
        sql.push(format!("USE {}", quote_identifier(schema)));
    }
    if let Some(zone) = &settings.time_zone {
        sql.push(format!("SET SESSION time_zone = {}", literal(zone)));
    }
    if let Some(mode) = &settings.sql_mode {
        sql.push(format!("SET SESSION sql_mode = {}", literal(mode)));
    }
    sql.extend(settings.variables.iter().map(|(name, value)| format!("SET SESSION {name} = {value}")));
    sql
}
