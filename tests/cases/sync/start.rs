//! Where a run begins, and when it refuses to.

use anyhow::{Context as _, Result, ensure};
use dm_model::error::Retry;
use dm_tests::{ServerKind, ServerOptions};
use mysql_async::prelude::Queryable;

use crate::{
    bench::{Bench, number},
    on_pairs,
};

async fn a_start_time_is_used_once(mut bench: Bench) -> Result<()> {
    let table = ["CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY)"];
    bench.on_source(&table).await?;
    bench.on_target(&table).await?;
    bench.on_source(&["INSERT INTO app.t VALUES (1)", "FLUSH BINARY LOGS", "INSERT INTO app.t VALUES (2)"]).await?;
    let mut conn = bench.source.connect().await?;
    conn.query_drop("SELECT SLEEP(2)").await?;
    let moment: String = conn.query_first("SELECT CAST(NOW() AS CHAR)").await?.context("a time")?;
    conn.disconnect().await?;
    bench.on_source(&["INSERT INTO app.t VALUES (3)", "FLUSH BINARY LOGS", "INSERT INTO app.t VALUES (4)"]).await?;
    bench.start_time = Some(moment);
    let run = bench.begin().await?;
    bench.settle(&run).await?;
    ensure!(run.view().start_time_consumed);
    ensure!(bench.number_on_target("SELECT SUM(id) FROM app.t").await? == 7);
    run.kill().await?;
    // the leader has not heard of it: rows already there would collide
    bench.on_source(&["INSERT INTO app.t VALUES (5)"]).await?;
    let run = bench.begin().await?;
    bench.settle(&run).await?;
    ensure!(bench.number_on_target("SELECT SUM(id) FROM app.t").await? == 12);
    run.drain().await
}

on_pairs!(a_start_time_is_used_once:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
    mysql_to_mariadb_by_position = (MySql, MariaDb, false),
);

async fn purged_binlogs_are_named(mut bench: Bench) -> Result<()> {
    bench.instance = match (bench.gtid, bench.source.kind()) {
        (false, _) => "meta: {binlog-name: mysql-bin.000001, binlog-pos: 4}".to_owned(),
        (true, ServerKind::MariaDb) => "meta: {binlog-gtid: '0-1-1'}".to_owned(),
        (true, ServerKind::MySql) => {
            let mut conn = bench.source.connect().await?;
            let uuid: String = conn.query_first("SELECT @@server_uuid").await?.context("a uuid")?;
            conn.disconnect().await?;
            format!("meta: {{binlog-gtid: '{uuid}:1'}}")
        }
    };
    bench
        .on_source(&[
            "CREATE DATABASE app",
            "CREATE TABLE app.t (a INT)",
            "FLUSH BINARY LOGS",
            "CREATE TABLE app.u (a INT)",
            "FLUSH BINARY LOGS",
        ])
        .await?;
    let mut conn = bench.source.root().await?;
    let last: mysql_async::Row = conn.query("SHOW BINARY LOGS").await?.pop().context("a file")?;
    let last: String = last.get(0).context("a name")?;
    conn.query_drop(format!("PURGE BINARY LOGS TO '{last}'")).await?;
    conn.disconnect().await?;
    let failure = bench.spawn()?.failure().await?;
    ensure!(failure.report.retry == Retry::Never && failure.report.code == 36069, "{failure:#?}");
    Ok(())
}

on_pairs!(purged_binlogs_are_named:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mariadb_to_mariadb_by_position = (MariaDb, MariaDb, false),
    mysql_to_mysql = (MySql, MySql, true),
    mysql_to_mysql_by_position = (MySql, MySql, false),
);

async fn rows_without_all_values_are_refused(bench: Bench) -> Result<()> {
    let run = bench.begin().await?;
    bench
        .on_source(&[
            "CREATE DATABASE app",
            "CREATE TABLE app.t (id INT PRIMARY KEY, v INT)",
            "SET SESSION binlog_row_image = 'MINIMAL'",
            "INSERT INTO app.t VALUES (1, 1)",
            "UPDATE app.t SET v = 2",
        ])
        .await?;
    let failure = run.failure().await?;
    ensure!(failure.report.code == 11126, "{failure:#?}");
    Ok(())
}

on_pairs!(rows_without_all_values_are_refused:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
);

/// MySQL by position: another server at the same address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_at_the_address_is_refused() -> Result<()> {
    let options = ServerOptions::default().with_gtid(false);
    let mut bench = Bench::start_with(ServerKind::MySql, options, ServerKind::MariaDb).await?;
    bench.gtid = false;
    let run = bench.begin().await?;
    bench.on_source(&["CREATE DATABASE app", "CREATE TABLE app.t (a INT)"]).await?;
    bench.settle(&run).await?;
    run.drain().await?;
    ensure!(number(&bench.target, "SELECT COUNT(*) FROM dm_meta.dm_fence_lane").await? > 0);
    bench.source.stop().await?;
    let auto = bench.source.dir().join("data").join("auto.cnf");
    std::fs::write(&auto, "[auto]\nserver-uuid=11111111-2222-3333-4444-555555555555\n")?;
    bench.source.start_again().await?;
    let failure = bench.spawn()?.failure().await?;
    ensure!(failure.report.code == 60026, "{failure:#?}");
    Ok(())
}
