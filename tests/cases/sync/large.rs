//! Very large and very small transactions with a bound on the real worker's memory, and sources that are idle or all filtered.
//!
//! `DM_LARGE_MB` (200) and `DM_SMALL_ROWS` (20000) say how much; figures go to stderr.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use dm_tests::{
    Server, ServerKind, ServerOptions,
    cluster::{Cluster, Options},
    wait,
};
use mysql_async::prelude::Queryable;

use crate::{
    bench::{self, Bench},
    on_pairs,
};

/// A worker process with a task from its source's end, on an own pair of servers.
struct Process {
    source: Server,
    target: Server,
    cluster: Cluster,
    _folder: tempfile::TempDir,
}

impl Process {
    async fn start(kind: ServerKind) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dm-large-").tempdir()?;
        let (source, target) = tokio::try_join!(
            Server::start(kind, ServerOptions::default()),
            Server::start(kind, ServerOptions::default().with_server_id(2)),
        )?;
        let options = Options { n_masters: 1, n_workers: 1, ..Options::default() };
        let cluster = Cluster::start(folder.path(), options).await?;
        let started = Self { source, target, cluster, _folder: folder };
        started.task().await?;
        Ok(started)
    }

    async fn task(&self) -> Result<()> {
        let (from, to) = (self.source.port(), self.target.port());
        let file = |name: &str, text: String| -> Result<String> {
            let path = self._folder.path().join(name);
            fs::write(&path, text)?;
            Ok(path.display().to_string())
        };
        let source = file(
            "source.yaml",
            format!(
                "source-id: one\nenable-gtid: true\nfrom: {{host: 127.0.0.1, port: {from}, user: dm, password: dm}}\n"
            ),
        )?;
        let task = file(
            "task.yaml",
            format!(
                "name: t\ntask-mode: incremental\nmeta-schema: dm_meta\n\
                 target-database: {{host: 127.0.0.1, port: {to}, user: dm, password: dm}}\n\
                 mysql-instances:\n  - {{source-id: one, syncer-config-name: s}}\nsyncers: {{s: {{worker-count: 4}}}}\n"
            ),
        )?;
        let dmctl = self.cluster.dmctl();
        dmctl.ok(&["operate-source", "create", &source]).await?;
        dmctl.ok(&["start-task", &task]).await?;
        wait::until("replication to run", Duration::from_secs(60), || async {
            let status = dmctl.json(&["query-status", "t"]).await?;
            let status = &status["sources"][0]["subTaskStatus"][0];
            Ok((status["stage"] == "Running" && status["unit"] == "Sync").then_some(()))
        })
        .await
    }

    async fn at_source(&self, statements: &[String]) -> Result<()> {
        let mut conn = bench::conn(&self.source).await?;
        for sql in statements {
            conn.query_drop(sql).await.with_context(|| sql.chars().take(200).collect::<String>())?;
        }
        conn.disconnect().await?;
        Ok(())
    }

    async fn until_rows(&self, n_rows: u64) -> Result<()> {
        let waited = wait::until("all rows", Duration::from_secs(1800), || async {
            let there = bench::number(
                &self.target,
                "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'app' AND table_name = 't'",
            );
            if there.await? == 0 {
                return Ok(None);
            }
            Ok((bench::number(&self.target, "SELECT COUNT(*) FROM app.t").await? == n_rows).then_some(()))
        });
        match waited.await {
            Ok(()) => Ok(()),
            Err(error) => {
                let status = self.cluster.dmctl().run(&["query-status", "t", "--more"]).await?.stdout;
                Err(error.context(format!("{status}\n{}", self.cluster.log_tails())))
            }
        }
    }

    async fn same_sums(&self, sum: &str) -> Result<()> {
        let (there, here) = (bench::number(&self.source, sum).await?, bench::number(&self.target, sum).await?);
        ensure!(there == here, "{there} in the source, {here} in the target");
        Ok(())
    }

    /// The most memory the worker ever had, in MB.
    fn peak_mb(&mut self) -> Result<u64> {
        let pid = self.cluster.process("worker1")?.pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("VmHWM")?;
        let kb: u64 = line.split_whitespace().nth(1).context("a number")?.parse()?;
        Ok(kb / 1024)
    }
}

fn asked(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// `SELECT` of so many numbers from 1, as column `n`.
fn numbers(kind: ServerKind, n: u64) -> String {
    match kind {
        ServerKind::MariaDb => format!("SELECT seq AS n FROM seq_1_to_{n}"),
        ServerKind::MySql => {
            format!("WITH RECURSIVE q (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM q WHERE n < {n}) SELECT n FROM q")
        }
    }
}

async fn one_large_transaction(kind: ServerKind, row_bytes: u64) -> Result<()> {
    let n_mb = asked("DM_LARGE_MB", 200);
    let n_rows = n_mb * 1_000_000 / row_bytes;
    let mut process = Process::start(kind).await?;
    let begun = Instant::now();
    let mut statements =
        vec!["CREATE DATABASE app".to_owned(), "CREATE TABLE app.t (id INT PRIMARY KEY, v LONGTEXT)".to_owned()];
    statements.push("USE app".to_owned());
    if kind == ServerKind::MySql {
        statements.push(format!("SET SESSION cte_max_recursion_depth = {}", n_rows + 1));
    }
    statements.push(format!(
        "INSERT INTO app.t SELECT n, CONCAT(LPAD(n, 32, '0'), REPEAT(CHAR(97 + n % 26), {})) FROM ({}) numbers",
        row_bytes - 32,
        numbers(kind, n_rows)
    ));
    process.at_source(&statements).await?;
    let written = begun.elapsed();
    process.until_rows(n_rows).await?;
    let (peak, seconds) = (process.peak_mb()?, (begun.elapsed() - written).as_secs_f64());
    eprintln!(
        "{kind:?}: {n_rows} rows of {row_bytes} bytes in one transaction, {n_mb} MB: written in {written:.1?}, \
               in the target {seconds:.1} s later, the worker's peak {peak} MB"
    );
    process.same_sums("SELECT CAST(SUM(CRC32(v)) AS UNSIGNED) FROM app.t").await?;
    // and all of them once more, with both images
    process.at_source(&["UPDATE app.t SET v = CONCAT('x', v)".to_owned()]).await?;
    wait::until("the update", Duration::from_secs(1800), || async {
        Ok((bench::number(&process.target, "SELECT COUNT(*) FROM app.t WHERE v LIKE 'x%'").await? == n_rows)
            .then_some(()))
    })
    .await?;
    let peak = process.peak_mb()?;
    eprintln!("{kind:?}: the same rows updated in one transaction, the worker's peak {peak} MB");
    process.same_sums("SELECT CAST(SUM(CRC32(v)) AS UNSIGNED) FROM app.t").await?;
    ensure!(peak < (300 + n_mb / 5).min(512), "the worker held {peak} MB");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_transaction_of_mariadb_streams_through_little_memory() -> Result<()> {
    one_large_transaction(ServerKind::MariaDb, 1000).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_transaction_of_wide_rows_streams_through_little_memory() -> Result<()> {
    one_large_transaction(ServerKind::MySql, 1_000_000).await
}

/// One row each: what a transaction costs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_transactions_pass() -> Result<()> {
    let n_rows = asked("DM_SMALL_ROWS", 20_000);
    let mut process = Process::start(ServerKind::MariaDb).await?;
    process
        .at_source(&[
            "CREATE DATABASE app".to_owned(),
            "CREATE TABLE app.t (id INT PRIMARY KEY, v VARCHAR(40))".to_owned(),
            "CREATE PROCEDURE mysql.fill(n INT) BEGIN DECLARE i INT DEFAULT 0; WHILE i < n DO INSERT INTO app.t VALUES (i, MD5(i)); \
             SET i = i + 1; END WHILE; END"
                .to_owned(),
        ])
        .await?;
    process.cluster.dmctl().ok(&["pause-task", "t"]).await?;
    let begun = Instant::now();
    process.at_source(&[format!("CALL mysql.fill({n_rows})")]).await?;
    let written = begun.elapsed();
    let begun = Instant::now();
    process.cluster.dmctl().ok(&["resume-task", "t"]).await?;
    process.until_rows(n_rows).await?;
    let (peak, seconds) = (process.peak_mb()?, begun.elapsed().as_secs_f64());
    eprintln!(
        "{n_rows} transactions of one row: written in {written:.1?}, applied in {seconds:.1} s = {:.0} rows/s, the worker's \
               peak {peak} MB",
        n_rows as f64 / seconds
    );
    process.same_sums("SELECT CAST(SUM(CRC32(v)) AS UNSIGNED) FROM app.t").await?;
    ensure!(peak < 300, "the worker held {peak} MB");
    Ok(())
}

/// Compressed by the source, unpacked as there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_transaction_arrives() -> Result<()> {
    let bench = Bench::start(ServerKind::MySql, ServerKind::MySql, true).await?;
    let run = bench.begin().await?;
    bench
        .on_source(&[
            "CREATE DATABASE app",
            "CREATE TABLE app.t (id INT PRIMARY KEY, v VARCHAR(3000))",
            "USE app",
            "SET SESSION binlog_transaction_compression = ON, cte_max_recursion_depth = 100000",
            &format!(
                "INSERT INTO app.t SELECT n, REPEAT(LPAD(HEX(n), 32, 'x'), 60) FROM ({}) numbers",
                numbers(ServerKind::MySql, 30_000)
            ),
            "INSERT INTO app.t VALUES (0, 'after')",
        ])
        .await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await
}

/// Rotates the source's log and waits until a lane row says that nothing older is needed.
async fn rotated_and_stored(bench: &Bench) -> Result<String> {
    bench.on_source(&["FLUSH BINARY LOGS"]).await?;
    let file = bench.source_end().await?.position.file;
    let there = format!("SELECT COUNT(*) FROM dm_meta.dm_fence_lane WHERE low_file = '{file}'");
    wait::until("the place is stored", Duration::from_secs(40), || async {
        Ok((bench.number_on_target(&there).await? > 0).then_some(()))
    })
    .await?;
    Ok(file)
}

async fn an_idle_source_and_a_filtered_one_restart_without_old_binlogs(mut bench: Bench) -> Result<()> {
    bench.instance = "block-allow-list: b".to_owned();
    bench.sections = "block-allow-list: {b: {do-dbs: [app]}}".to_owned();
    let run = bench.begin().await?;
    bench
        .on_source(&[
            "CREATE DATABASE app",
            "CREATE TABLE app.t (id INT PRIMARY KEY)",
            "CREATE DATABASE noise",
            "CREATE TABLE noise.n (a INT)",
        ])
        .await?;
    bench.on_source(&["INSERT INTO app.t VALUES (1)"]).await?;
    bench.settle_same(&run, &["app"]).await?;
    let n_written = "SELECT COALESCE(SUM(seq), 0) FROM dm_meta.dm_fence_lane";
    let before = bench.number_on_target(n_written).await?;
    // all traffic is filtered, then there is none; each time the owner dies as in a crash and writes nothing at its end
    let noise: Vec<String> = (0..300).map(|n| format!("INSERT INTO noise.n VALUES ({n})")).collect();
    bench.on_source(&noise.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let file = rotated_and_stored(&bench).await?;
    run.kill().await?;
    bench.on_source(&[&format!("PURGE BINARY LOGS TO '{file}'")]).await?;
    let run = bench.begin().await?;
    let file = rotated_and_stored(&bench).await?;
    run.kill().await?;
    bench.on_source(&[&format!("PURGE BINARY LOGS TO '{file}'")]).await?;
    let n_idle = bench.number_on_target(n_written).await? - before;
    ensure!(n_idle < 60, "{n_idle} writes for nothing");
    let oldest = first_log(&bench).await?;
    ensure!(oldest == bench.source_end().await?.position.file, "only {oldest} is left");
    bench.on_source(&["INSERT INTO app.t VALUES (2)"]).await?;
    let run = bench.begin().await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await
}

async fn first_log(bench: &Bench) -> Result<String> {
    let mut conn = bench::conn(&bench.source).await?;
    let row: Option<mysql_async::Row> = conn.query_first("SHOW BINARY LOGS").await?;
    conn.disconnect().await?;
    row.and_then(|row| row.get(0)).context("a binlog")
}

on_pairs!(an_idle_source_and_a_filtered_one_restart_without_old_binlogs:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
    mysql_to_mysql_by_position = (MySql, MySql, false),
);
