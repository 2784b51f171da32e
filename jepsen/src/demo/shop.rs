//! The data of the demo: eight shards of `orders` and a table without a key, on two sources; their target; their comparison.
//!
//! Owns names, structures and the rows that are there before the task starts, made by the servers themselves.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use dm_tests::{
    rows::{
        Differences,
        read::{self, TableAt},
    },
    wait,
};
use mysql_async::{Conn, Opts, Row, prelude::Queryable};

use super::place::Place;

/// A source and what is on it.
#[derive(Debug)]
pub struct Shop {
    pub source_id: &'static str,
    pub schema: &'static str,
    /// Numbers of its `orders_N`.
    pub shards: [u64; 4],
    /// It has `events`, which has no key. Only one source may feed a keyless table: it is emptied and copied again when its
    /// copying is interrupted.
    pub has_events: bool,
}

pub const SHOPS: [Shop; 2] = [
    Shop { source_id: "source-1", schema: "shop_1", shards: [1, 2, 3, 4], has_events: true },
    Shop { source_id: "source-2", schema: "shop_2", shards: [5, 6, 7, 8], has_events: false },
];

/// Ids of shard `n` start behind `n` times this.
pub const SHARD_STRIDE: u64 = 10_000_000;
/// Ids that writers give to new rows start this far into the shard's range.
pub const FRESH_IDS: u64 = 5_000_000;
/// The id of the last row of all, within the shard's range.
const MARKER_ID: u64 = 9_999_999;
/// The kind of the last row of `events`.
const MARKER_KIND: i64 = -1;

/// Keyless rows; each is there four times.
const N_EVENTS: u64 = 20_000;
/// `kind` of the rows that are there before is below this.
pub const N_KINDS: u64 = 1_000;

impl Shop {
    pub fn orders(&self, shard: u64) -> String {
        format!("{}.orders_{shard}", self.schema)
    }

    /// Makes the tables with their first rows, without a word in the binlog, and gives how many rows there are.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn fill(&self, opts: Opts, n_shard_rows: u64) -> Result<u64> {
        let mut conn = connect(opts.clone()).await?;
        conn.query_drop(format!("CREATE DATABASE {} CHARACTER SET utf8mb4", self.schema)).await?;
        // The sequence engine's tables need a schema too.
        conn.query_drop(format!("USE {}", self.schema)).await?;
        for shard in self.shards {
            conn.query_drop(format!("CREATE TABLE {} ({ORDERS})", self.orders(shard))).await?;
        }
        let mut n_rows = n_shard_rows * self.shards.len() as u64;
        if self.has_events {
            conn.query_drop(format!("CREATE TABLE {}.events ({EVENTS})", self.schema)).await?;
            conn.query_drop("SET sql_log_bin = 0").await?;
            conn.query_drop(format!("INSERT INTO {}.events {}", self.schema, first_events())).await?;
            n_rows += N_EVENTS;
        }
        conn.query_drop("SET sql_log_bin = 0, unique_checks = 0").await?;
        for shard in self.shards {
            let sql = format!("INSERT INTO {} {}", self.orders(shard), first_orders(shard, n_shard_rows));
            conn.query_drop(sql).await.with_context(|| format!("fill {}", self.orders(shard)))?;
        }
        conn.disconnect().await?;
        Ok(n_rows)
    }
}

const ORDERS: &str = "id BIGINT NOT NULL PRIMARY KEY,
  customer VARCHAR(64) NOT NULL,
  note VARCHAR(160) NULL,
  amount DECIMAL(14,4) NOT NULL,
  state ENUM('new','paid','sent','returned') NOT NULL,
  placed_at DATETIME(6) NOT NULL,
  changed_at TIMESTAMP(3) NULL DEFAULT NULL,
  attributes TEXT NULL,
  weight DOUBLE NULL,
  token VARBINARY(32) NOT NULL";

const EVENTS: &str = "kind INT NOT NULL,
  what VARCHAR(80) NULL,
  at DATETIME(6) NOT NULL,
  payload VARBINARY(64) NULL,
  KEY (kind)";

fn first_orders(shard: u64, n_rows: u64) -> String {
    let base = shard * SHARD_STRIDE;
    format!(
        "SELECT {base} + seq,
  CONCAT(ELT(1 + seq % 4, 'Zoë', 'José', 'Łukasz', '李雷'), ' ', seq),
  IF(seq % 5 = 0, NULL, CONCAT('deliver to 🏡 ', seq, IF(seq % 7 = 0, ' \"quick\" \\\\ ''soft''', ''))),
  CAST(seq * 137 % 9999999 AS DECIMAL(14,4)) / 1000 - 1000,
  1 + seq % 4,
  TIMESTAMP'2024-02-28 23:59:59.000001' + INTERVAL seq * 1000003 MICROSECOND,
  IF(seq % 11 = 0, NULL, TIMESTAMP'2024-03-01 00:00:00.123' + INTERVAL seq SECOND),
  IF(seq % 3 = 0, NULL, CONCAT('{{\"n\": ', seq, ', \"tags\": [\"a\", \"ü\"], \"by\": \"🚚\"}}')),
  IF(seq % 13 = 0, NULL, seq / 7e3),
  UNHEX(MD5(seq))
FROM seq_1_to_{n_rows}"
    )
}

fn first_events() -> String {
    let n_different = N_EVENTS / 4;
    format!(
        "SELECT seq % {n_different} % {N_KINDS}, IF(seq % 10 = 0, NULL, CONCAT('🔔 ', seq % {n_different})),
  TIMESTAMP'2024-05-05 05:05:05.050505' + INTERVAL seq % {n_different} SECOND, UNHEX(MD5(seq % {n_different}))
FROM seq_1_to_{N_EVENTS}"
    )
}

/// A connection that is set up as all of the demo's are.
///
/// # Errors
/// The server does not answer.
pub async fn connect(opts: Opts) -> Result<Conn> {
    let mut conn = Conn::new(opts).await.context("connect")?;
    conn.query_drop("SET NAMES utf8mb4, time_zone = '+00:00'").await?;
    Ok(conn)
}

/// Where a source's binlog ends, by source.
pub type Ends = BTreeMap<&'static str, (String, u64)>;

/// Writes one last transaction with a row for every table of each source.
///
/// # Errors
/// A source refuses.
pub async fn write_markers(place: &Place) -> Result<Ends> {
    let mut ends = Ends::new();
    for shop in &SHOPS {
        let mut conn = connect(place.source(shop)?.root_opts()).await?;
        conn.query_drop("BEGIN").await?;
        for shard in shop.shards {
            let id = shard * SHARD_STRIDE + MARKER_ID;
            conn.query_drop(format!(
                "INSERT INTO {} VALUES ({id}, 'the end', NULL, 0, 'new', NOW(6), NOW(3), NULL, NULL, '')",
                shop.orders(shard)
            ))
            .await?;
        }
        if shop.has_events {
            let sql = format!("INSERT INTO {}.events VALUES ({MARKER_KIND}, 'the end', NOW(6), NULL)", shop.schema);
            conn.query_drop(sql).await?;
        }
        conn.query_drop("COMMIT").await?;
        let status: Row = conn.query_first("SHOW MASTER STATUS").await?.context("ask for the end of the binlog")?;
        let file = status.get_opt::<String, _>(0).context("find File")?.context("read File")?;
        let offset = status.get_opt::<u64, _>(1).context("find Position")?.context("read Position")?;
        ends.insert(shop.source_id, (file, offset));
        conn.disconnect().await?;
    }
    Ok(ends)
}

/// Until the target has all rows of [`write_markers`].
///
/// # Errors
/// It has not after `limit`.
pub async fn wait_markers(place: &Place, limit: Duration) -> Result<()> {
    let ids: Vec<String> =
        SHOPS.iter().flat_map(|shop| shop.shards).map(|shard| (shard * SHARD_STRIDE + MARKER_ID).to_string()).collect();
    let sql = format!(
        "SELECT (SELECT COUNT(*) FROM shop.orders WHERE id IN ({})) + (SELECT COUNT(*) FROM shop.events WHERE kind = \
         {MARKER_KIND})",
        ids.join(",")
    );
    let n_markers = ids.len() as u64 + SHOPS.iter().filter(|shop| shop.has_events).count() as u64;
    wait::until("the last rows of all sources in the target", limit, || async {
        let mut conn = connect(place.target().root_opts()).await?;
        let n_seen: Option<u64> = conn.query_first(sql.as_str()).await?;
        conn.disconnect().await?;
        Ok((n_seen >= Some(n_markers)).then_some(()))
    })
    .await
}

/// Compares every row of every shard and of the keyless table with the target.
///
/// # Errors
/// A server cannot be read.
pub async fn compare(place: &Place) -> Result<Differences> {
    let target = |table| TableAt::new(place.target().root_opts(), "shop", table);
    let (mut orders, mut events) = (Vec::new(), Vec::new());
    for shop in &SHOPS {
        let opts = place.source(shop)?.root_opts();
        orders.extend(shop.shards.map(|shard| TableAt::new(opts.clone(), shop.schema, format!("orders_{shard}"))));
        if shop.has_events {
            events.push(TableAt::new(opts, shop.schema, "events"));
        }
    }
    let mut found = read::keyed(&orders, &target("orders"), "id").await.context("compare orders")?;
    found.add(read::keyless(&events, &target("events")).await.context("compare events")?);
    Ok(found)
}
