//! The whole system: SIGKILL of the worker's process at half of two million rows. The binaries must be built (`make build`).

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use dm_tests::{
    Server, ServerKind, ServerOptions,
    cluster::{Cluster, Options},
    rows::read::{TableAt, keyed},
    wait,
};
use mysql_async::prelude::Queryable;

use super::{
    pair::{LIMIT, execute, number},
    writers::{Kind, Writer},
};

const N_ROWS: u64 = 2_000_000;

async fn read_by_worker(source: &Server) -> Result<u64> {
    let sql = "SELECT CAST(SUM(variable_value) AS UNSIGNED) FROM performance_schema.status_by_user WHERE user = 'dm' AND \
               variable_name LIKE 'Handler_read_%'";
    let mut root = source.root().await?;
    let n_read: Option<Option<u64>> = root.query_first(sql).await?;
    root.disconnect().await?;
    Ok(n_read.flatten().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_million_rows_are_read_once_and_a_bit_although_the_worker_is_killed() -> Result<()> {
    let begun = Instant::now();
    let folder = tempfile::Builder::new().prefix("dm-half-").tempdir()?;
    let (source, target) = tokio::try_join!(
        Server::start(ServerKind::MariaDb, ServerOptions::default().with("--performance-schema=ON")),
        Server::start(ServerKind::MariaDb, ServerOptions::default().with_server_id(2)),
    )?;
    execute(
        &source,
        &[
            "SET SESSION sql_log_bin = 0, unique_checks = 0",
            "CREATE DATABASE half",
            "CREATE TABLE half.t (id INT PRIMARY KEY, v VARCHAR(60), n INT)",
            "CREATE TABLE half.nothing (id INT PRIMARY KEY, v VARCHAR(60), n INT)",
            "INSERT INTO half.t SELECT seq * 3, CONCAT('row ', seq), seq % 100 FROM half.seq_1_to_2000000",
            "ANALYZE TABLE half.t",
        ],
    )
    .await?;
    let filled = begun.elapsed();
    let options = Options { n_masters: 1, n_workers: 2, ..Options::default() };
    let mut cluster = Cluster::start(folder.path(), options).await?;
    let dmctl = cluster.dmctl();
    let file = |name: &str, text: String| -> Result<String> {
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let source_yaml = format!(
        "source-id: one\nenable-gtid: true\nfrom: {{host: 127.0.0.1, port: {}, user: dm, password: dm}}\n",
        source.port()
    );
    let task_yaml = format!(
        "name: half\ntask-mode: all\nmeta-schema: dm_meta\n\
         target-database: {{host: 127.0.0.1, port: {}, user: dm, password: dm}}\n\
         mysql-instances:\n  - {{source-id: one, block-allow-list: ba, mydumper-config-name: d}}\n\
         block-allow-list: {{ba: {{do-dbs: [half]}}}}\nmydumpers: {{d: {{threads: 4}}}}\n",
        target.port()
    );
    dmctl.ok(&["operate-source", "create", &file("one.yaml", source_yaml)?]).await?;
    let writer = Writer::start(&source, Kind::Integer, "half", N_ROWS);
    dmctl.ok(&["start-task", &file("half.yaml", task_yaml)?]).await?;

    let copied =
        "SELECT CAST(COALESCE(SUM(row_count), 0) AS UNSIGNED) FROM dm_meta.dm_snapshot_chunk WHERE src_table = 't'";
    wait::until("half of the table", LIMIT, || async {
        Ok((number(&target, copied).await? >= N_ROWS / 2).then_some(()))
    })
    .await
    .with_context(|| cluster.log_tails())?;
    let answer = dmctl.ok(&["operate-source", "show"]).await?;
    let owner = answer["sources"][0]["worker"].as_str().context("an owner")?.to_owned();
    cluster.process(&owner)?.kill()?;
    let n_copied = number(&target, copied).await?;
    ensure!(n_copied < N_ROWS * 3 / 4, "killed too late: {n_copied}");
    let killed = begun.elapsed();
    let n_before = wait::until("the end of the dead worker's sessions", LIMIT, || async {
        let sessions = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'dm' AND command <> 'Binlog Dump' AND id <> CONNECTION_ID()";
        let mut root = source.root().await?;
        let n: Option<u64> = root.query_first(sessions).await?;
        root.disconnect().await?;
        Ok(if n == Some(0) { Some(read_by_worker(&source).await?) } else { None })
    })
    .await?;

    let unit = || async {
        let status = dmctl.json(&["query-status", "half"]).await?;
        Ok((status["sources"][0]["subTaskStatus"][0]["unit"] == "Sync").then_some(()))
    };
    wait::until("replication", LIMIT, unit).await.with_context(|| cluster.log_tails())?;
    let n_read = read_by_worker(&source).await? - n_before;
    let copied_at = begun.elapsed();
    writer.go_on(50).await?;
    let n_changes = writer.stop().await?;
    let at = |server: &Server, table: &str| TableAt::new(server.root_opts(), "half", table);
    let rows = "SELECT COUNT(*), SUM(n), SUM(id) FROM half.t";
    let sums = |server: &Server| {
        let opts = server.root_opts();
        async move {
            let mut conn = mysql_async::Conn::new(opts).await?;
            let sums: Option<(u64, Option<String>, Option<String>)> = conn.query_first(rows).await?;
            conn.disconnect().await?;
            anyhow::Ok(sums)
        }
    };
    let wanted = sums(&source).await?;
    wait::until("equal sums", LIMIT, || async { Ok((sums(&target).await? == wanted).then_some(())) })
        .await
        .with_context(|| cluster.log_tails())?;
    for table in ["t", "nothing"] {
        let found = keyed(&[at(&source, table)], &at(&target, table), "id").await?;
        ensure!(found.is_equal(), "{table}: {found:?}");
    }
    let share = n_read as f64 / N_ROWS as f64;
    println!(
        "{N_ROWS} rows, killed at {:.1} %, successor read {:.1} % (Handler_read_* of its user), {n_changes} transactions beside; \
         filled {:.0?}, killed {:.0?}, copied {:.0?}, compared {:.0?}",
        n_copied as f64 * 100.0 / N_ROWS as f64,
        share * 100.0,
        filled,
        killed,
        copied_at,
        begun.elapsed()
    );
    ensure!(share <= 0.6, "{share}");
    let positions = number(
        &target,
        "SELECT COUNT(DISTINCT snap_file, snap_off) FROM dm_meta.dm_snapshot_chunk WHERE src_table = 't'",
    );
    ensure!(positions.await? == 2);
    Ok(())
}
