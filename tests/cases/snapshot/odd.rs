//! Tables without a key, tables of online schema change tools, COMMITs without an answer, keys with holes.

use anyhow::{Result, ensure};
use dm_tests::{
    ServerKind,
    server::{Loss, LossyProxy},
};
use mysql_async::prelude::Queryable;

use super::{
    pair::{Pair, conn, number},
    writers::{Kind, Writer},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_a_table_without_a_key_end() -> Result<()> {
    let pair = Pair::start(ServerKind::MariaDb).await?;
    let statements = Kind::Keyless.create("bag", 60_000);
    pair.on_source(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let first = pair.run("bag", 1, "threads: 1")?;
    pair.until_copied(&first, "bag", "t", 1).await?;
    first.drain().await?;
    let done = "SELECT COUNT(*) FROM dm_meta.dm_snapshot_chunk WHERE src_table = 't' AND state = 'done'";
    ensure!(number(&pair.target, done).await? == 1, "the table was left half copied");
    let second = pair.run("bag", 2, "threads: 1")?;
    pair.until_sync(&second).await?;
    ensure!(pair.read_by(2).await? < 20_000, "nothing is read again");
    pair.catch_up(&second).await?;
    pair.same("bag", "t", Kind::Keyless.columns()).await?;
    second.drain().await
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_shards_without_a_key_are_refused_with_the_ways_out() -> Result<()> {
    let mut pair = Pair::start(ServerKind::MariaDb).await?;
    pair.instance = "route-rules: [r]".to_owned();
    pair.lines = "routes: {r: {schema-pattern: bag, table-pattern: 't*', target-schema: bag, target-table: merged}}\n"
        .to_owned();
    let mut statements = Kind::Keyless.create("bag", 40_000);
    statements.push("CREATE TABLE bag.t2 LIKE bag.t".to_owned());
    statements.push("INSERT INTO bag.t2 SELECT * FROM bag.t".to_owned());
    statements.push("DROP TABLE bag.nothing".to_owned());
    pair.on_source(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let first = pair.run("bag", 1, "threads: 1")?;
    pair.until_copied(&first, "bag", "t", 1).await?;
    first.kill().await;
    let copying = "SELECT COUNT(*) FROM dm_meta.dm_snapshot_chunk WHERE state = 'copying'";
    ensure!(number(&pair.target, copying).await? == 1, "killed in the middle of a table");
    let n_before = number(&pair.target, "SELECT COUNT(*) FROM bag.merged").await?;
    let failure = pair.run("bag", 2, "threads: 1")?.failure().await?;
    ensure!(failure.report.code == 60052, "{failure:?}");
    let text = format!("{:?}", failure.report);
    for part in ["`bag`.`t`", "`bag`.`merged`", "primary key", "--remove-meta"] {
        ensure!(text.contains(part), "no {part} in {text}");
    }
    ensure!(number(&pair.target, "SELECT COUNT(*) FROM bag.merged").await? == n_before, "nothing was touched");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_online_schema_changes_are_left_out() -> Result<()> {
    let mut pair = Pair::start(ServerKind::MariaDb).await?;
    pair.lines = "online-ddl: true\n".to_owned();
    let names = ["_t_gho", "_t_ghc", "_t_del", "_t_new", "_t_old", "t", "t_new", "_new"];
    let mut statements = vec!["CREATE DATABASE shop".to_owned()];
    for name in names {
        statements.push(format!("CREATE TABLE shop.{name} (id INT PRIMARY KEY)"));
        statements.push(format!("INSERT INTO shop.{name} VALUES (1)"));
    }
    pair.on_source(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let run = pair.run("shop", 1, "threads: 2")?;
    pair.until_sync(&run).await?;
    let mut found = Pair::tables(&pair.target, "shop").await?;
    found.sort();
    ensure!(found == ["_new", "t", "t_new"], "{found:?}");
    run.drain().await?;
    // Without the switch they are tables like any other.
    pair.lines = "online-ddl: false\n".to_owned();
    pair.on_source(&["CREATE DATABASE plain", "CREATE TABLE plain._t_gho (id INT PRIMARY KEY)"]).await?;
    let run = pair.run("plain", 1, "threads: 2")?;
    pair.until_sync(&run).await?;
    ensure!(Pair::tables(&pair.target, "plain").await? == ["_t_gho"]);
    run.drain().await
}

/// Keyless rows would be doubled or lost by a wrong guess.
#[tokio::test(flavor = "multi_thread")]
async fn commits_without_an_answer_neither_double_nor_lose_rows() -> Result<()> {
    let mut pair = Pair::start(ServerKind::MariaDb).await?;
    let proxy = LossyProxy::start(pair.target.port()).await?;
    pair.target_port = Some(proxy.port());
    for kind in [Kind::Keyless, Kind::Integer] {
        let schema = format!("by_{kind:?}").to_lowercase();
        let statements = kind.create(&schema, 60_000);
        pair.on_source(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        let writer = Writer::start(&pair.source, kind, &schema, 60_000);
        let run = pair.run(&schema, 1, "threads: 2, rows: 20000")?;
        pair.until_copied(&run, &schema, "t", 1).await?;
        proxy.play("COMMIT", [Loss::Answer, Loss::Pass, Loss::Statement, Loss::Answer]);
        pair.until_sync(&run).await?;
        writer.stop().await?;
        pair.catch_up(&run).await?;
        pair.same(&schema, "t", kind.columns()).await?;
        run.drain().await?;
    }
    Ok(())
}

/// The server's own estimates make the plan: a key with a hole and a far outlier is cut where its rows are.
async fn chunks_follow_the_rows(kind: ServerKind) -> Result<()> {
    let pair = Pair::start(kind).await?;
    let mut statements = Kind::Integer.create("skew", 120_000);
    statements.push("UPDATE skew.t SET id = id + 1000000000 WHERE id > 300000".to_owned());
    statements.push("INSERT INTO skew.t VALUES (2147483647, 'far', 1), (-2147483648, 'near', 1)".to_owned());
    statements.push("ANALYZE TABLE skew.t".to_owned());
    pair.on_source(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let run = pair.run("skew", 1, "threads: 2, rows: 5000")?;
    pair.until_sync(&run).await?;
    let mut target = conn(&pair.target).await?;
    let sql = "SELECT row_count FROM dm_meta.dm_snapshot_chunk WHERE src_table = 't' AND upper_key IS NOT NULL";
    let mut sizes: Vec<u64> = target.query(sql).await?;
    target.disconnect().await?;
    sizes.sort_unstable();
    let (largest, median) = (sizes[sizes.len() - 1], sizes[sizes.len() / 2]);
    println!("{}: {} chunks, median {median}, largest {largest}", pair.source.kind().as_str(), sizes.len());
    ensure!(sizes.iter().sum::<u64>() == 120_002 && sizes.len() >= 10, "{sizes:?}");
    ensure!(largest <= median * 5 / 2, "{sizes:?}");
    run.drain().await
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_chunks_follow_the_rows() -> Result<()> {
    chunks_follow_the_rows(ServerKind::MariaDb).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_chunks_follow_the_rows() -> Result<()> {
    chunks_follow_the_rows(ServerKind::MySql).await
}
