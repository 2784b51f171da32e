//! Nothing is lost or doubled, whatever dies under load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use dm_tests::{
    ServerKind,
    server::{Loss, LossyProxy},
    wait,
};
use dm_worker::unit::UnitEnd;
use mysql_async::{Conn, prelude::Queryable};
use rand::Rng;
use tokio::task::JoinHandle;

use crate::{bench::Bench, on_pairs};

const TABLES: [&str; 4] = [
    "CREATE DATABASE app",
    "CREATE TABLE app.k (id INT PRIMARY KEY, v INT, u INT, UNIQUE KEY (u))",
    "CREATE TABLE app.bag (a INT, b INT)",
    "CREATE TABLE app.log (id INT AUTO_INCREMENT PRIMARY KEY, n INT)",
];

/// Someone who writes to the source until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    n_done: Arc<AtomicU64>,
    task: JoinHandle<Result<()>>,
}

impl Load {
    fn start(bench: &Bench) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let n_done = Arc::new(AtomicU64::new(0));
        let (told, counted, opts) = (Arc::clone(&stop), Arc::clone(&n_done), bench.source.root_opts());
        let task = tokio::spawn(async move {
            let mut conn: Option<Conn> = None;
            let mut n = 0;
            while !told.load(Ordering::Relaxed) {
                // a source that restarts is away for a while; what it lost of a transaction is lost for both
                let mut writer = match conn.take() {
                    Some(writer) => writer,
                    None => match Conn::new(opts.clone()).await {
                        Ok(writer) => writer,
                        Err(_) => {
                            tokio::time::sleep(Duration::from_millis(50)).await;
                            continue;
                        }
                    },
                };
                n += 1;
                if transaction(&mut writer, n).await.is_ok() {
                    conn = Some(writer);
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        });
        Self { stop, n_done, task }
    }

    /// Waits for so many more transactions of the source.
    async fn more(&self, n: u64) -> Result<()> {
        let wanted = self.n_done.load(Ordering::Relaxed) + n;
        wait::until("the source's load", Duration::from_secs(60), || async {
            Ok((self.n_done.load(Ordering::Relaxed) >= wanted).then_some(()))
        })
        .await
    }

    async fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

async fn transaction(conn: &mut Conn, n: u32) -> Result<()> {
    let k = n % 50;
    conn.query_drop("BEGIN").await?;
    conn.query_drop(format!("INSERT INTO app.k VALUES ({k}, {n}, {n}) ON DUPLICATE KEY UPDATE v = v + 1, u = {n}"))
        .await?;
    conn.query_drop(format!("INSERT INTO app.bag VALUES ({}, 1), ({}, 1)", k % 7, k % 7)).await?;
    conn.query_drop(format!("INSERT INTO app.log (n) VALUES ({n})")).await?;
    match n % 5 {
        0 => conn.query_drop(format!("DELETE FROM app.bag WHERE a = {} LIMIT 1", k % 7)).await?,
        1 => conn.query_drop(format!("UPDATE app.bag SET b = b + 1 WHERE a = {} LIMIT 1", k % 7)).await?,
        2 => conn.query_drop(format!("DELETE FROM app.k WHERE id = {k}")).await?,
        3 => {
            conn.query_drop(format!("UPDATE app.k SET id = id + 1000 WHERE id = {k} AND v % 3 = 0")).await.unwrap_or(())
        }
        _ => {}
    }
    conn.query_drop("COMMIT").await?;
    if n % 97 == 0 {
        conn.query_drop("ALTER TABLE app.log COMMENT = 'x'").await?;
        conn.query_drop("ALTER TABLE app.k ADD COLUMN IF_NOT INT, DROP COLUMN IF_NOT").await.unwrap_or(());
    }
    Ok(())
}

fn moment() -> Duration {
    Duration::from_millis(rand::rng().random_range(20..600))
}

async fn owners_come_and_go_under_load(bench: Bench) -> Result<()> {
    let run = bench.begin().await?;
    bench.on_source(&TABLES).await?;
    bench.settle(&run).await?;
    run.drain().await?;
    let load = Load::start(&bench);
    for round in 0..10 {
        let run = bench.begin().await?;
        // the moment of the end is the point of the test
        tokio::time::sleep(moment()).await;
        match round % 3 {
            0 => run.drain().await?,
            1 => {
                run.kill().await?;
            }
            _ => {
                let successor = bench.begin().await?;
                load.more(20).await?;
                ensure!(matches!(run.end().await?, UnitEnd::Fenced), "the old owner is fenced");
                successor.kill().await?;
            }
        }
    }
    load.end().await?;
    let run = bench.begin().await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await?;
    bench.same(&["app"]).await
}

on_pairs!(owners_come_and_go_under_load:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
    mariadb_to_mysql_by_position = (MariaDb, MySql, false),
    mysql_to_mariadb_by_position = (MySql, MariaDb, false),
);

async fn servers_come_and_go_under_load(mut bench: Bench) -> Result<()> {
    let proxy = LossyProxy::start(bench.target.port()).await?;
    bench.target_port = Some(proxy.port());
    let run = bench.begin().await?;
    bench.on_source(&TABLES).await?;
    bench.settle(&run).await?;
    let load = Load::start(&bench);
    load.more(50).await?;
    proxy.play("COMMIT", [Loss::Answer, Loss::Pass, Loss::Pass, Loss::Statement, Loss::Pass, Loss::Answer]);
    load.more(100).await?;
    bench.catch_up(&run).await?;
    kill_lanes(&bench).await?;
    load.more(100).await?;
    bench.catch_up(&run).await?;
    bench.target.kill();
    bench.target.start_again().await?;
    load.more(100).await?;
    bench.catch_up(&run).await?;
    bench.source.restart().await?;
    load.more(50).await?;
    load.end().await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await?;
    bench.same(&["app"]).await
}

async fn kill_lanes(bench: &Bench) -> Result<()> {
    let mut conn = bench.target.root().await?;
    let ids: Vec<u64> = conn.query("SELECT conn_id FROM dm_meta.dm_fence_session").await?;
    ensure!(!ids.is_empty(), "lanes are registered");
    for id in ids {
        // it may be gone by itself
        let _gone = conn.query_drop(format!("KILL {id}")).await;
    }
    conn.disconnect().await?;
    Ok(())
}

on_pairs!(servers_come_and_go_under_load:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
    mysql_to_mariadb_by_position = (MySql, MariaDb, false),
);

/// Prints how fast a backlog is applied; judges nothing but equality.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_is_applied() -> Result<()> {
    const N_ROWS: u64 = 200_000;
    let bench = Bench::start(ServerKind::MariaDb, ServerKind::MariaDb, true).await?;
    let run = bench.begin().await?;
    bench
        .on_source(&[
            "CREATE DATABASE app",
            "CREATE TABLE app.t (id INT PRIMARY KEY, a INT, b VARCHAR(40), c DATETIME)",
        ])
        .await?;
    bench.settle(&run).await?;
    run.drain().await?;
    let mut conn = bench.source.connect().await?;
    // 10 rows a transaction, as a busy application writes
    conn.query_drop("CREATE PROCEDURE app.fill(n INT) BEGIN DECLARE i INT DEFAULT 0; WHILE i < n DO INSERT INTO app.t SELECT i + s, i, \
                     CONCAT('some text ', i), NOW() FROM (SELECT 0 s UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION \
                     SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) q; SET i = i + 10; END WHILE; END")
        .await?;
    conn.query_drop(format!("CALL app.fill({N_ROWS})")).await.context("fill")?;
    conn.disconnect().await?;
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let run = bench.begin().await?;
    bench.settle(&run).await?;
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!("{:.0} rows/s, {:.2} s of {seconds:.2} s of our CPU", N_ROWS as f64 / seconds, cpu_seconds() - cpu);
    bench.same(&["app"]).await?;
    run.drain().await
}

/// User and system time of this process, in seconds (100 ticks each).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: u64 = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|n| n.parse::<u64>().ok())
        .sum();
    ticks as f64 / 100.0
}
