//! Registered connections as SQL: registering, reading, killing, and seeing that they are gone.

use std::time::Duration;

use dm_fence::{ServerRun, Session};
use dm_model::Epoch;
use mysql_async::{Conn, Row, prelude::Queryable};

use super::{FenceTarget, row::column, tables};
use crate::{Error, Result, ServerFacts, error_number, text::literal};

/// How long a killed connection is waited for before it is said to be still there.
const GONE_WAIT: Duration = Duration::from_secs(3);
const GONE_POLL: Duration = Duration::from_millis(20);

/// The statement that registers a connection. The id may have been another run's.
pub(crate) fn register_sql(target: &FenceTarget, session: &Session) -> String {
    let lane = session.lane.map_or_else(|| "NULL".to_owned(), |lane| lane.to_string());
    let start = session.server.start;
    let instance = literal(&target.instance);
    format!(
        "INSERT INTO {} (task, source, server_uuid, conn_id, server_start, epoch, instance, lane, opened_at) \
         VALUES ({}, {}, {}, {start}, {}, {instance}, {lane}, NOW(6)) \
         ON DUPLICATE KEY UPDATE server_start = {start}, epoch = {}, instance = {instance}, lane = {lane}, opened_at = NOW(6)",
        target.table(tables::SESSION),
        target.key(),
        literal(&session.server.uuid),
        session.connection,
        session.epoch,
        session.epoch
    )
}

pub(crate) fn forget_sql(target: &FenceTarget, session: &Session) -> String {
    format!(
        "DELETE FROM {} WHERE {} AND server_uuid = {} AND conn_id = {}",
        target.table(tables::SESSION),
        target.condition(),
        literal(&session.server.uuid),
        session.connection
    )
}

/// All registered connections of the subtask.
pub(crate) async fn read(conn: &mut Conn, target: &FenceTarget) -> Result<Vec<Session>> {
    const TABLE: &str = tables::SESSION;
    let sql = format!(
        "SELECT server_uuid, conn_id, server_start, epoch, lane FROM {} WHERE {} ORDER BY epoch, conn_id",
        target.table(TABLE),
        target.condition()
    );
    let rows: Vec<Row> = conn.query(sql).await.map_err(Error::query("read the fence's sessions"))?;
    rows.iter()
        .map(|row| {
            Ok(Session {
                server: ServerRun {
                    uuid: column(row, TABLE, 0, "server_uuid")?,
                    start: column::<Option<i64>>(row, TABLE, 2, "server_start")?.unwrap_or_default(),
                },
                connection: column(row, TABLE, 1, "conn_id")?,
                epoch: Epoch(column::<Option<u64>>(row, TABLE, 3, "epoch")?.unwrap_or_default()),
                lane: column(row, TABLE, 4, "lane")?,
            })
        })
        .collect()
}

/// Whether the server still has the connection, and under our user: a reused id of someone else is not it.
pub(crate) async fn is_there(conn: &mut Conn, facts: &ServerFacts, session: &Session) -> Result<bool> {
    let list = if facts.is_tidb { "cluster_processlist" } else { "processlist" };
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.{list} WHERE id = {} AND user = SUBSTRING_INDEX(USER(), '@', 1)",
        session.connection
    );
    let count: Option<u64> = conn.query_first(sql).await.map_err(Error::query("read the processlist"))?;
    Ok(count.unwrap_or(0) > 0)
}

/// Kills the connection if it is there. One that is gone, or may not be killed, is no error: whether it went is seen
/// by looking.
pub(crate) async fn kill(conn: &mut Conn, facts: &ServerFacts, session: &Session) -> Result<()> {
    if !is_there(conn, facts, session).await? {
        return Ok(());
    }
    match conn.query_drop(format!("KILL {}", session.connection)).await {
        Ok(()) => Ok(()),
        Err(error) => match error_number::number(&error) {
            // Unknown thread; not ours to kill.
            Some(1094) => Ok(()),
            Some(1095) => {
                tracing::warn!(connection = session.connection, "no right to kill the connection of an earlier owner");
                Ok(())
            }
            Some(_) | None => Err(Error::Query { doing: "kill a connection of an earlier owner", source: error }),
        },
    }
}

/// Kills and waits until the processlist has it no more; false when it stays. A transaction or DDL that rolls back keeps
/// its entry until it is through.
pub(crate) async fn kill_and_wait(conn: &mut Conn, facts: &ServerFacts, session: &Session) -> Result<bool> {
    kill(conn, facts, session).await?;
    let deadline = tokio::time::Instant::now() + GONE_WAIT;
    while is_there(conn, facts, session).await? {
        if tokio::time::Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(GONE_POLL).await;
    }
    Ok(true)
}
