//! Sources with tables of every kind of key, and writers that change them all the time.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use anyhow::{Context as _, Result};
use dm_tests::{Server, wait};
use mysql_async::{Conn, Opts, prelude::Queryable};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::task::JoinHandle;

use super::pair::LIMIT;

/// A kind of key, as table `t` of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    /// A string key that ignores case and accents.
    Collated,
    Composite,
    /// An integer key and another unique one, whose values move between rows.
    Coupled,
    Keyless,
}

impl Kind {
    pub(crate) const fn columns(self) -> &'static str {
        match self {
            Self::Integer | Self::Keyless => "id, v, n",
            Self::Collated => "k, n",
            Self::Composite => "a, b, n",
            Self::Coupled => "id, u, n",
        }
    }

    /// The table and its `n_rows` rows, on any server.
    pub(crate) fn create(self, schema: &str, n_rows: u64) -> Vec<String> {
        let (columns, select) = match self {
            Self::Integer => ("id INT PRIMARY KEY, v VARCHAR(60), n INT", "i * 3, CONCAT('row ', i), i % 100"),
            Self::Keyless => ("id INT, v VARCHAR(60), n INT, KEY (id)", "i % 5000, IF(i % 9 = 0, NULL, 'same'), i % 3"),
            Self::Collated => (
                "k VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, n INT",
                "CONCAT(ELT(1 + i % 6, 'a', 'B', 'ä', 'É', 'z', 'Ω'), i), i % 100",
            ),
            Self::Composite => (
                "a INT, b VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, n INT, PRIMARY KEY (a, b)",
                "i % 7 * i % 11, CONCAT('b', i), i % 100",
            ),
            Self::Coupled => ("id INT PRIMARY KEY, u BIGINT, n INT, UNIQUE KEY (u)", "i * 2, i, i % 100"),
        };
        vec![
            format!("CREATE DATABASE {schema} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
            format!(
                "CREATE TABLE {schema}.t ({columns}) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci"
            ),
            format!(
                "CREATE TABLE {schema}.nothing (id INT PRIMARY KEY, v VARCHAR(60), n INT) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci"
            ),
            format!(
                "INSERT INTO {schema}.t WITH RECURSIVE d AS (SELECT 0 AS x UNION ALL SELECT x + 1 FROM d WHERE x < 999) \
                 SELECT {select} FROM (SELECT p.x * 1000 + q.x + 1 AS i FROM d p, d q) s WHERE i <= {n_rows} ORDER BY i"
            ),
            format!("ANALYZE TABLE {schema}.t"),
        ]
    }

    /// One transaction of random changes. What would collide is left out by the server.
    fn change(self, schema: &str, n_rows: u64, rng: &mut StdRng) -> Vec<String> {
        let i = rng.random_range(1..=n_rows);
        let j = rng.random_range(1..=n_rows);
        let n = rng.random_range(0..1_000_000);
        let t = format!("{schema}.t");
        match self {
            Self::Integer => vec![match rng.random_range(0..6) {
                0 => format!("DELETE FROM {t} WHERE id = {}", i * 3),
                1 => format!("INSERT IGNORE INTO {t} (id, n) VALUES ({}, {n}), ({}, {n})", i * 3 + 1, n_rows * 3 + n),
                2 => format!("UPDATE IGNORE {t} SET id = {}, n = {n} WHERE id = {}", j * 3 + 2, i * 3),
                3 => format!("INSERT IGNORE INTO {schema}.nothing (id, n) VALUES ({i}, {n})"),
                _ => format!("UPDATE {t} SET n = {n} WHERE id BETWEEN {} AND {}", i * 3, i * 3 + 20),
            }],
            Self::Keyless => vec![match rng.random_range(0..4) {
                0 => format!("DELETE FROM {t} WHERE id = {} LIMIT 1", i % 5000),
                1 => format!("INSERT INTO {t} (id, n) VALUES ({}, {n}), ({}, {n})", i % 5000, i % 5000),
                _ => format!("UPDATE {t} SET n = {n} WHERE id = {} LIMIT 3", i % 5000),
            }],
            Self::Collated => vec![match rng.random_range(0..6) {
                0 => format!("DELETE FROM {t} WHERE k = 'A{i}'"),
                1 => format!("INSERT IGNORE INTO {t} (k, n) VALUES ('ß{n}', 1), ('Z{i}x', 2)"),
                // The same key to the server, other bytes.
                2 => format!("UPDATE {t} SET k = CONCAT('Á', {}), n = {n} WHERE k = 'a{}'", i / 6 * 6, i / 6 * 6),
                3 => format!("UPDATE IGNORE {t} SET k = 'm{j}', n = {n} WHERE k = 'b{}'", i / 6 * 6 + 1),
                _ => format!("UPDATE {t} SET n = {n} WHERE k BETWEEN 'e{i}' AND 'E{i}9'"),
            }],
            Self::Composite => vec![match rng.random_range(0..5) {
                0 => format!("DELETE FROM {t} WHERE a = {} AND b = 'b{i}'", i % 7 * i % 11),
                1 => format!("INSERT IGNORE INTO {t} (a, b, n) VALUES ({}, 'c{n}', 1)", i % 11),
                2 => {
                    format!("UPDATE IGNORE {t} SET a = {}, n = {n} WHERE a = {} AND b = 'b{i}'", j % 13, i % 7 * i % 11)
                }
                _ => format!("UPDATE {t} SET n = {n} WHERE a = {} AND b LIKE 'b{}%'", i % 7 * i % 11, i / 10),
            }],
            Self::Coupled => match rng.random_range(0..5) {
                // Two rows change places in the other key.
                0 | 1 => vec![
                    "BEGIN".to_owned(),
                    format!("UPDATE {t} SET u = -{i} WHERE u = {i}"),
                    format!("UPDATE {t} SET u = {i}, n = {n} WHERE u = {j}"),
                    format!("UPDATE {t} SET u = {j}, n = {n} WHERE u = -{i}"),
                    "COMMIT".to_owned(),
                ],
                // A value goes from a row that ends to one that begins.
                2 => vec![
                    "BEGIN".to_owned(),
                    format!("DELETE FROM {t} WHERE u = {i}"),
                    format!("INSERT IGNORE INTO {t} (id, u, n) VALUES ({}, {i}, {n})", j * 2 + 1),
                    "COMMIT".to_owned(),
                ],
                3 => vec![format!("INSERT IGNORE INTO {t} (id, u, n) VALUES ({}, NULL, {n})", n_rows * 2 + n)],
                _ => vec![format!("UPDATE {t} SET n = {n} WHERE id BETWEEN {i} AND {}", i + 20)],
            },
        }
    }
}

/// A writer; dropping it ends it.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    n_done: Arc<AtomicU64>,
    task: Option<JoinHandle<Result<()>>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Writer {
    pub(crate) fn start(server: &Server, kind: Kind, schema: &str, n_rows: u64) -> Self {
        let (stop, n_done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let task = tokio::spawn(write(
            server.root_opts(),
            kind,
            schema.to_owned(),
            n_rows,
            Arc::clone(&stop),
            Arc::clone(&n_done),
        ));
        Self { stop, n_done, task: Some(task) }
    }

    /// Waits until it has made so many changes more.
    pub(crate) async fn go_on(&self, n_more: u64) -> Result<()> {
        let goal = self.n_done.load(Ordering::Relaxed) + n_more;
        wait::until("the writer", LIMIT, || async {
            assert!(!self.task.as_ref().is_some_and(JoinHandle::is_finished), "the writer ended");
            Ok((self.n_done.load(Ordering::Relaxed) >= goal).then_some(()))
        })
        .await
    }

    /// Everything it wrote is committed when this returns.
    pub(crate) async fn stop(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.take().context("a writer")?.await??;
        Ok(self.n_done.load(Ordering::Relaxed))
    }
}

async fn write(
    opts: Opts,
    kind: Kind,
    schema: String,
    n_rows: u64,
    stop: Arc<AtomicBool>,
    n_done: Arc<AtomicU64>,
) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(7);
    let mut conn = Conn::new(opts).await?;
    conn.query_drop("SET NAMES utf8mb4").await?;
    conn.query_drop("SET sql_mode = ''").await?;
    while !stop.load(Ordering::Relaxed) {
        for sql in kind.change(&schema, n_rows, &mut rng) {
            match conn.query_drop(&sql).await {
                // A value that is there already, or a deadlock with a DDL.
                Ok(()) | Err(mysql_async::Error::Server(_)) => {}
                Err(error) => return Err(error).context(sql),
            }
        }
        n_done.fetch_add(1, Ordering::Relaxed);
    }
    conn.disconnect().await?;
    Ok(())
}
