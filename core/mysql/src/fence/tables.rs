//! The meta tables of the fence (control-plane.md 2.4) and their creation.
//!
//! Beyond that page: the lane row carries how transactions become units (`consistency`, `slice_rows`), the intent its
//! `effect` and `pre_identity`. Creation is idempotent and may run on many workers at once; existing tables are never
//! changed.

use mysql_async::{Conn, prelude::Queryable};

use crate::{Error, Result, error_number, fail_point, schema};

pub const LANE: &str = "dm_fence_lane";
pub const SESSION: &str = "dm_fence_session";
pub const INTENT: &str = "dm_ddl_intent";
pub const CHUNK: &str = "dm_snapshot_chunk";
pub const STRUCTURE: &str = "dm_table_structure";

/// All of them.
pub const ALL: [&str; 5] = [LANE, SESSION, INTENT, CHUNK, STRUCTURE];

const COLUMNS: [(&str, &str); 5] = [
    (
        LANE,
        "task VARCHAR(128), source VARCHAR(64), lane INT,
  cluster_id CHAR(36) NOT NULL, epoch BIGINT UNSIGNED NOT NULL,
  seq BIGINT UNSIGNED NOT NULL,
  low BIGINT UNSIGNED NOT NULL,
  low_file VARCHAR(255), low_off BIGINT UNSIGNED, low_gtid MEDIUMTEXT NULL,
  done VARBINARY(4096) NOT NULL,
  done_gtid MEDIUMTEXT NULL,
  source_uuid VARCHAR(64),
  src_ts BIGINT, batch_crc INT UNSIGNED,
  consistency VARCHAR(16) NOT NULL DEFAULT 'transaction', slice_rows INT UNSIGNED NOT NULL DEFAULT 0,
  PRIMARY KEY (task, source, lane)",
    ),
    (
        SESSION,
        "task VARCHAR(128), source VARCHAR(64), server_uuid VARCHAR(64), conn_id BIGINT UNSIGNED,
  server_start BIGINT,
  epoch BIGINT UNSIGNED, instance CHAR(36), lane INT, opened_at TIMESTAMP(6) NULL,
  PRIMARY KEY (task, source, server_uuid, conn_id)",
    ),
    (
        INTENT,
        "task VARCHAR(128), source VARCHAR(64), unit BIGINT UNSIGNED, piece INT, epoch BIGINT UNSIGNED,
  state ENUM('intent','done','skipped'), stmt MEDIUMTEXT, target_schema VARCHAR(255), target_table VARCHAR(255),
  effect VARCHAR(16) NOT NULL DEFAULT 'structure',
  pre_hash CHAR(64), pre_identity VARCHAR(255),
  pos_file VARCHAR(255), pos_off BIGINT UNSIGNED, started_at TIMESTAMP(6) NULL,
  PRIMARY KEY (task, source, unit, piece)",
    ),
    (
        CHUNK,
        "task VARCHAR(128), source VARCHAR(64), src_schema VARCHAR(255), src_table VARCHAR(255), chunk INT,
  epoch BIGINT UNSIGNED, lower_key VARBINARY(3072), upper_key VARBINARY(3072), last_key VARBINARY(3072) NULL,
  state ENUM('planned','copying','done'), row_count BIGINT, byte_count BIGINT,
  snap_file VARCHAR(255), snap_off BIGINT UNSIGNED, snap_gtid MEDIUMTEXT NULL,
  PRIMARY KEY (task, source, src_schema(64), src_table(64), chunk)",
    ),
    (
        STRUCTURE,
        "task VARCHAR(128), source VARCHAR(64), src_schema VARCHAR(255), src_table VARCHAR(255), from_unit BIGINT UNSIGNED,
  create_sql MEDIUMTEXT, PRIMARY KEY (task, source, src_schema(64), src_table(64), from_unit)",
    ),
];

/// Makes the schema and the tables that are missing.
///
/// A user that may not create schemas is fine as long as the schema is there.
pub async fn ensure_meta_tables(conn: &mut Conn, meta_schema: &str) -> Result<()> {
    let schema = dm_model::name::quote_identifier(meta_schema);
    let present: Vec<String> =
        schema::tables(conn, Some(meta_schema)).await?.into_iter().map(|entry| entry.name.table).collect();
    if present.is_empty() {
        let sql = format!("CREATE DATABASE IF NOT EXISTS {schema} DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
        match conn.query_drop(&sql).await {
            Ok(()) => {}
            Err(error) if error_number::number(&error) == Some(1044) => {
                tracing::debug!(meta_schema, "may not create schemas; going on if it is there");
            }
            Err(source) => return Err(Error::execute(&sql)(source)),
        }
    }
    for (table, columns) in COLUMNS {
        if present.iter().any(|name| name.eq_ignore_ascii_case(table)) {
            continue;
        }
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {schema}.`{table}` (\n  {columns}\n) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
        );
        conn.query_drop(&sql).await.map_err(Error::execute(&sql))?;
        fail_point::pass("meta-table");
    }
    Ok(())
}
