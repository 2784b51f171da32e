//! What the target itself says about a subtask's progress: its lane rows in `dm_meta.dm_fence_lane`.
//!
//! Read-only. The rows are written in the same transactions as the data, so they cannot be ahead of it.

use std::time::Duration;

use anyhow::{Context, Result};
use dm_tests::wait;
use mysql_async::{Conn, Row, prelude::Queryable};

use super::{
    place::Place,
    shop::{self, Ends, SHOPS},
};

const NO_SUCH_SCHEMA: u16 = 1049;
const NO_SUCH_TABLE: u16 = 1146;

/// All lanes of a source together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lanes {
    pub epoch: u64,
    /// Transactions of all lanes.
    pub n_transactions: u64,
    /// Units that are committed up to here.
    pub low: u64,
    pub low_file: String,
    pub low_offset: u64,
}

/// Epoch, transactions, low, and where low is; NULL without a row.
type Columns = (Option<u64>, Option<f64>, Option<u64>, Option<String>, Option<u64>);

/// `None`: the subtask has not come to the target yet.
///
/// # Errors
/// The target does not answer.
pub async fn read(conn: &mut Conn, source: &str) -> Result<Option<Lanes>> {
    let answer = conn
        .query_first(format!(
            "SELECT MAX(epoch), SUM(seq) + 0e0, MAX(low), \
             SUBSTRING(MAX(CONCAT(LPAD(low, 20, '0'), COALESCE(low_file, ''))), 21), \
             CAST(SUBSTRING(MAX(CONCAT(LPAD(low, 20, '0'), LPAD(COALESCE(low_off, 0), 20, '0'))), 21) AS UNSIGNED) \
             FROM dm_meta.dm_fence_lane WHERE task = 'demo' AND source = '{source}'"
        ))
        .await;
    let row: Option<Row> = match answer {
        Err(mysql_async::Error::Server(error)) if matches!(error.code, NO_SUCH_SCHEMA | NO_SUCH_TABLE) => {
            return Ok(None);
        }
        answer => answer?,
    };
    let Some(row) = row else { return Ok(None) };
    let (epoch, seq, low, low_file, low_offset) =
        mysql_async::from_row_opt::<Columns>(row).ok().context("read lane rows")?;
    let Some(epoch) = epoch else { return Ok(None) };
    Ok(Some(Lanes {
        epoch,
        n_transactions: seq.unwrap_or_default() as u64,
        low: low.unwrap_or_default(),
        low_file: low_file.unwrap_or_default(),
        low_offset: low_offset.unwrap_or_default(),
    }))
}

/// Epochs of all sources that have one.
///
/// # Errors
/// The target does not answer, or nothing was ever written there.
pub async fn epochs(place: &Place) -> Result<Vec<Option<u64>>> {
    let mut conn = shop::connect(place.target().root_opts()).await?;
    let mut epochs = Vec::new();
    for shop in &SHOPS {
        epochs.push(read(&mut conn, shop.source_id).await?.map(|lanes| lanes.epoch));
    }
    conn.disconnect().await?;
    Ok(epochs)
}

/// Until both sources have had changes applied for `calm`.
///
/// # Errors
/// One of them stands still for 30 s.
pub async fn wait_flow(place: &Place, calm: Duration) -> Result<()> {
    let mut conn = shop::connect(place.target().root_opts()).await?;
    let mut before = Vec::new();
    for shop in &SHOPS {
        before.push(read(&mut conn, shop.source_id).await?.map_or(0, |lanes| lanes.low));
    }
    let begun = std::time::Instant::now();
    let conn = tokio::sync::Mutex::new(conn);
    wait::until("changes of both sources in the target", Duration::from_secs(30), || async {
        let mut conn = conn.lock().await;
        let mut flows = begun.elapsed() >= calm;
        for (shop, before) in SHOPS.iter().zip(&before) {
            flows &= read(&mut conn, shop.source_id).await?.is_some_and(|lanes| lanes.low > *before);
        }
        Ok(flows.then_some(()))
    })
    .await
}

/// Until everything up to the ends of the binlogs is committed, by whichever lane.
///
/// # Errors
/// It is not within `limit`.
pub async fn wait_low(place: &Place, ends: &Ends, limit: Duration) -> Result<()> {
    let conn = tokio::sync::Mutex::new(shop::connect(place.target().root_opts()).await?);
    wait::until("lane rows at the end of both binlogs", limit, || async {
        let mut conn = conn.lock().await;
        for (source, (file, offset)) in ends {
            let lanes = read(&mut conn, source).await?.context("find lane rows")?;
            let low = (lanes.low_file.as_str(), lanes.low_offset);
            anyhow::ensure!(low >= (file.as_str(), *offset), "{source} is at {low:?} of {file} {offset}");
        }
        Ok(Some(()))
    })
    .await
}
