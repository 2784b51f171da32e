//! Removing a subtask's rows from the meta tables (`--remove-meta`).
//!
//! Only under a fence of our own: the caller has taken the target over with the epoch it gives, so no earlier owner
//! writes any more, and its next try finds no row.

use mysql_async::prelude::Queryable;

use super::{
    FenceTarget, row,
    tables::{self, ALL},
};
use crate::{Error, Result};

/// Deletes the subtask's rows in all meta tables in one transaction.
///
/// Fails with [`dm_fence::Stop::Superseded`] when a later owner has the rows.
pub async fn remove_meta(target: &FenceTarget) -> Result<()> {
    let mut conn = target.connector().connect().await?;
    super::ensure_meta_tables(&mut conn, &target.meta_schema).await?;
    let failed = Error::query("remove the subtask's meta data");
    conn.query_drop("BEGIN").await.map_err(failed)?;
    let rows = row::read(&mut conn, target, None, true).await?;
    if let Some(seen) = rows.iter().map(|row| row.epoch).max().filter(|seen| *seen > target.epoch) {
        return Err(Error::Takeover(dm_fence::Stop::Superseded { seen }));
    }
    if let Some(foreign) = rows.iter().find(|row| row.cluster_id != target.cluster_id) {
        return Err(Error::Takeover(dm_fence::Stop::ForeignCluster { owner: foreign.cluster_id.clone() }));
    }
    for table in ALL {
        let sql = format!("DELETE FROM {} WHERE {}", target.table(table), target.condition());
        conn.query_drop(&sql).await.map_err(Error::execute(&sql))?;
    }
    conn.query_drop("COMMIT").await.map_err(Error::query("remove the subtask's meta data"))?;
    tracing::info!(subtask = %target.subtask, table = tables::LANE, "meta data removed");
    let _closed = conn.disconnect().await;
    Ok(())
}
