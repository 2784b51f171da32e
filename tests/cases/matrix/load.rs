//! A small application that writes to the source while owners come and go: keys, key changes, a secondary unique key, a
//! keyless table, and DDLs of every kind.
//!
//! It writes until told to finish, and then a fixed number of transactions more. Its pace keeps the binlogs readable.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use mysql_async::{Conn, Opts, prelude::Queryable};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{task::JoinHandle, time::sleep};

/// Between two transactions of a writer.
const PACE: Duration = Duration::from_millis(4);
const DDL_PACE: Duration = Duration::from_millis(60);
const N_WRITERS: u32 = 2;
/// Transactions of each writer after it was told to finish.
const N_LAST: u32 = 25;
const N_LAST_DDLS: u32 = 4;

pub(crate) struct Load {
    told: Arc<AtomicBool>,
    n_done: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

/// Makes the schema and its tables. With `big`, also a table that is copied in several chunks of several transactions.
pub(crate) async fn create(opts: &Opts, schema: &str, big: bool) -> Result<()> {
    let mut conn = Conn::new(opts.clone()).await?;
    for sql in [
        format!("CREATE DATABASE {schema} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
        format!("USE {schema}"),
        "CREATE TABLE k (id INT PRIMARY KEY, v INT, u INT, txt VARCHAR(40), UNIQUE KEY u (u))".to_owned(),
        "CREATE TABLE bag (a INT, b INT)".to_owned(),
        "CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, n INT)".to_owned(),
        "CREATE TABLE d (id INT AUTO_INCREMENT PRIMARY KEY, v INT)".to_owned(),
        "CREATE TABLE gone (id INT AUTO_INCREMENT PRIMARY KEY, v INT)".to_owned(),
    ] {
        conn.query_drop(&sql).await.context(sql)?;
    }
    if big {
        let digit = "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 \
                     UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
        conn.query_drop("CREATE TABLE big (id INT PRIMARY KEY, v INT)").await?;
        conn.query_drop(format!(
            "INSERT INTO big SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d, b.d FROM {digit} a, {digit} b, {digit} c, \
             {digit} e, {digit} f WHERE f.d < 3"
        ))
        .await?;
        conn.query_drop("INSERT INTO k VALUES (1, 1, 1, 'one'), (2, 2, 2, NULL), (3, 3, NULL, 'drei')").await?;
        conn.query_drop("INSERT INTO bag VALUES (1, 1), (1, 1), (2, 1)").await?;
        conn.query_drop("INSERT INTO d (v) VALUES (1), (2)").await?;
    }
    conn.disconnect().await?;
    Ok(())
}

impl Load {
    /// `ddls_from_start`: else only after it was told to finish.
    pub(crate) fn start(opts: &Opts, schema: &str, seed: u64, ddls_from_start: bool) -> Self {
        let told = Arc::new(AtomicBool::new(false));
        let n_done = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        for writer in 0..N_WRITERS {
            let (opts, schema, told, n_done) =
                (opts.clone(), schema.to_owned(), Arc::clone(&told), Arc::clone(&n_done));
            tasks.push(tokio::spawn(async move {
                let mut rng = StdRng::seed_from_u64(seed ^ u64::from(writer + 1));
                let mut conn = in_schema(opts, &schema).await?;
                let (mut n, mut n_left) = (0, N_LAST);
                while n_left > 0 {
                    n_left -= u32::from(told.load(Ordering::Relaxed));
                    n += 1;
                    if transaction(&mut conn, &mut rng, n * N_WRITERS + writer).await.is_err() {
                        // a deadlock with the other writer
                        conn.query_drop("ROLLBACK").await?;
                    }
                    n_done.fetch_add(1, Ordering::Relaxed);
                    sleep(PACE).await;
                }
                conn.disconnect().await.context("a writer ends")
            }));
        }
        let (opts, schema, until) = (opts.clone(), schema.to_owned(), Arc::clone(&told));
        tasks.push(tokio::spawn(async move {
            let mut conn = in_schema(opts, &schema).await?;
            let (mut n, mut n_left) = (0, N_LAST_DDLS);
            while n_left > 0 {
                let is_told = until.load(Ordering::Relaxed);
                if is_told || ddls_from_start {
                    n_left -= u32::from(is_told);
                    ddl(&mut conn, n).await?;
                    n += 1;
                }
                sleep(DDL_PACE).await;
            }
            conn.disconnect().await.context("the writer of DDLs ends")
        }));
        Self { told, n_done, tasks }
    }

    pub(crate) fn n_done(&self) -> u64 {
        self.n_done.load(Ordering::Relaxed)
    }

    /// The last transactions, and the end.
    pub(crate) async fn finish(self) -> Result<()> {
        self.told.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.context("a writer panicked")??;
        }
        Ok(())
    }
}

async fn in_schema(opts: Opts, schema: &str) -> Result<Conn> {
    let mut conn = Conn::new(opts).await?;
    conn.query_drop(format!("USE {schema}")).await?;
    Ok(conn)
}

async fn transaction(conn: &mut Conn, rng: &mut StdRng, n: u32) -> mysql_async::Result<()> {
    let n_statements = rng.random_range(1..4);
    if n_statements > 1 {
        conn.query_drop("BEGIN").await?;
    }
    for _ in 0..n_statements {
        let (k, a) = (rng.random_range(0..40), rng.random_range(0..5));
        let sql = match rng.random_range(0..12) {
            0 | 1 => {
                format!("INSERT INTO k VALUES ({k}, {n}, {n}, 'row {n} ä') ON DUPLICATE KEY UPDATE v = v + 1, u = {n}")
            }
            2 => format!("UPDATE k SET u = NULL, txt = NULL WHERE id = {k}"),
            3 => format!("UPDATE IGNORE k SET id = {} WHERE id = {k}", rng.random_range(0..40)),
            4 => format!("UPDATE IGNORE k SET id = id + 100 WHERE id BETWEEN {k} AND {}", k + 3),
            5 => format!("DELETE FROM k WHERE id = {k} OR id = {}", k + 100),
            // a value moves from one row to another
            6 => format!(
                "UPDATE IGNORE k a JOIN k b ON b.id = {k} AND a.id = {} SET a.v = b.v, b.u = NULL",
                (k + 1) % 40
            ),
            7 => format!("INSERT INTO bag VALUES ({a}, 1), ({a}, 1)"),
            8 => format!("UPDATE bag SET b = b + 1 WHERE a = {a} LIMIT 1"),
            9 => format!("DELETE FROM bag WHERE a = {a} LIMIT 1"),
            10 => format!("INSERT INTO log (n) VALUES ({n}), ({n})"),
            _ => format!("INSERT INTO log (n) VALUES ({n})"),
        };
        conn.query_drop(sql).await?;
    }
    if n_statements > 1 {
        conn.query_drop("COMMIT").await?;
    }
    Ok(())
}

/// The `n`-th DDL: each depends on those before it.
async fn ddl(conn: &mut Conn, n: u32) -> Result<()> {
    let round = n / 8;
    let sql = match n % 8 {
        0 => format!("ALTER TABLE d ADD COLUMN c{round} INT NOT NULL DEFAULT {round}"),
        1 => format!("CREATE TABLE e{round} (id INT PRIMARY KEY, v VARCHAR(20) DEFAULT 'x')"),
        2 => format!("ALTER TABLE d ADD INDEX i{round} (v), MODIFY COLUMN c{round} BIGINT NULL"),
        3 => "TRUNCATE TABLE gone".to_owned(),
        4 => format!("RENAME TABLE e{round} TO f{round}"),
        5 => format!("ALTER TABLE d DROP COLUMN c{round}"),
        6 => format!("CREATE INDEX j{round} ON f{round} (v)"),
        _ => format!("DROP TABLE f{round}"),
    };
    conn.query_drop(&sql).await.context(sql)?;
    conn.query_drop(format!("INSERT INTO d (v) VALUES ({n}), ({n})")).await?;
    conn.query_drop(format!("INSERT INTO gone (v) VALUES ({n})")).await?;
    if matches!(n % 8, 4..=6) {
        conn.query_drop(format!("INSERT INTO f{round} (id) VALUES ({n})")).await?;
    }
    Ok(())
}
