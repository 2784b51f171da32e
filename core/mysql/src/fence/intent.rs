//! DDL intents as SQL.

use dm_fence::{DdlEffect, Intent, IntentState, Observed, UnitNumber};
use dm_model::{BinlogPosition, Epoch, TableName};
use mysql_async::{Conn, Row, prelude::Queryable};

use super::{FenceTarget, row::column, tables};
use crate::{
    Error, Result, ServerFacts,
    text::{literal, literal_or_null},
};

/// Announces a piece, or announces it again with what the target looks like now.
pub(crate) fn announce_sql(target: &FenceTarget, intent: &Intent) -> String {
    format!(
        "REPLACE INTO {} (task, source, unit, piece, epoch, state, stmt, target_schema, target_table, effect, pre_hash, \
         pre_identity, pos_file, pos_off, started_at) VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, NOW(6))",
        target.table(tables::INTENT),
        target.key(),
        intent.unit,
        intent.piece,
        target.epoch,
        literal(intent.state.as_str()),
        literal(&intent.statement),
        literal(&intent.target.schema),
        literal(&intent.target.table),
        literal(intent.effect.as_str()),
        literal_or_null(intent.before.hash.as_deref()),
        literal_or_null(intent.before.identity.as_deref()),
        literal(&intent.position.file),
        intent.position.offset
    )
}

/// Marks a piece as executed.
pub(crate) fn done_sql(target: &FenceTarget, unit: UnitNumber, piece: u32) -> String {
    format!(
        "UPDATE {} SET state = 'done' WHERE {} AND unit = {unit} AND piece = {piece}",
        target.table(tables::INTENT),
        target.condition()
    )
}

/// Forgets the intents that a watermark covers.
pub fn prune_sql(target: &FenceTarget, low: UnitNumber) -> String {
    format!("DELETE FROM {} WHERE {} AND unit <= {low}", target.table(tables::INTENT), target.condition())
}

/// Intents of units above the largest watermark, in order.
pub(crate) async fn read(conn: &mut Conn, target: &FenceTarget) -> Result<Vec<Intent>> {
    const TABLE: &str = tables::INTENT;
    let sql = format!(
        "SELECT unit, piece, epoch, state, stmt, target_schema, target_table, effect, pre_hash, pre_identity, pos_file, \
         pos_off FROM {} WHERE {} AND unit > (SELECT COALESCE(MAX(low), 0) FROM {} WHERE {}) ORDER BY unit, piece",
        target.table(TABLE),
        target.condition(),
        target.table(tables::LANE),
        target.condition()
    );
    let rows: Vec<Row> = conn.query(sql).await.map_err(Error::query("read the DDL intents"))?;
    rows.iter()
        .map(|row| {
            let state: String = column(row, TABLE, 3, "state")?;
            let effect: String = column(row, TABLE, 7, "effect")?;
            Ok(Intent {
                unit: UnitNumber(column(row, TABLE, 0, "unit")?),
                piece: column(row, TABLE, 1, "piece")?,
                epoch: Epoch(column::<Option<u64>>(row, TABLE, 2, "epoch")?.unwrap_or_default()),
                state: IntentState::parse(&state).ok_or(Error::CorruptMeta {
                    table: TABLE,
                    column: "state",
                    text: state,
                })?,
                statement: column(row, TABLE, 4, "stmt")?,
                target: TableName::new(
                    column::<String>(row, TABLE, 5, "target_schema")?,
                    column::<String>(row, TABLE, 6, "target_table")?,
                ),
                effect: DdlEffect::parse(&effect).ok_or(Error::CorruptMeta {
                    table: TABLE,
                    column: "effect",
                    text: effect,
                })?,
                before: Observed {
                    hash: column(row, TABLE, 8, "pre_hash")?,
                    identity: column(row, TABLE, 9, "pre_identity")?,
                },
                position: BinlogPosition::new(
                    column::<Option<String>>(row, TABLE, 10, "pos_file")?.unwrap_or_default(),
                    column::<Option<u64>>(row, TABLE, 11, "pos_off")?.unwrap_or_default(),
                ),
            })
        })
        .collect()
}

/// What the target shows now, once nothing works on the table any more: TiDB goes on with a DDL job after its
/// connection is gone.
pub(crate) async fn observe_settled(conn: &mut Conn, facts: &ServerFacts, table: &TableName) -> Result<Observed> {
    if facts.is_tidb {
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.ddl_jobs WHERE db_name = {} AND (table_name = {} OR {} = '') \
             AND state NOT IN ('synced', 'cancelled', 'rollback done')",
            literal(&table.schema),
            literal(&table.table),
            literal(&table.table)
        );
        loop {
            let n_running: Option<u64> =
                conn.query_first(&sql).await.map_err(Error::query("read the target's DDL jobs"))?;
            if n_running.unwrap_or(0) == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    }
    crate::schema::observe(conn, table).await
}
