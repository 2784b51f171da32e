//! Another server under the source's address: a replica that has everything, one that does not, one with another history.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dm_tests::{Server, ServerKind, ServerOptions, wait};
use mysql_async::{Row, prelude::Queryable};

use crate::{
    bench::{self, Bench},
    middleman::Middleman,
    on_pairs,
};

const TABLES: [&str; 3] =
    ["CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY, v INT)", "CREATE TABLE app.bag (a INT, b INT)"];

async fn execute(server: &Server, statements: &[&str]) -> Result<()> {
    let mut conn = bench::conn(server).await?;
    for sql in statements {
        conn.query_drop(*sql).await.with_context(|| (*sql).to_owned())?;
    }
    conn.disconnect().await?;
    Ok(())
}

async fn replica_of(bench: &Bench) -> Result<Server> {
    let kind = bench.source.kind();
    let replica = Server::start(kind, ServerOptions::default().with_server_id(3)).await?;
    let port = bench.source.port();
    let follow = match kind {
        ServerKind::MariaDb => format!(
            "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='dm', MASTER_PASSWORD='dm', \
             MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1"
        ),
        ServerKind::MySql => format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, SOURCE_USER='dm', SOURCE_PASSWORD='dm', \
             SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1, SOURCE_CONNECT_RETRY=1"
        ),
    };
    // what made the server's users is in its own log and would be in the way
    let clean = match kind {
        ServerKind::MariaDb => "RESET MASTER",
        ServerKind::MySql => "RESET BINARY LOGS AND GTIDS",
    };
    execute(&replica, &[clean, &follow, "START REPLICA"]).await?;
    Ok(replica)
}

async fn gtids(server: &Server) -> Result<String> {
    let variable = match server.kind() {
        ServerKind::MariaDb => "gtid_current_pos",
        ServerKind::MySql => "gtid_executed",
    };
    let mut conn = bench::conn(server).await?;
    let set: Option<String> = conn.query_first(format!("SELECT @@GLOBAL.{variable}")).await?;
    conn.disconnect().await?;
    Ok(set.unwrap_or_default())
}

async fn caught_up(source: &Server, replica: &Server) -> Result<()> {
    let wanted = gtids(source).await?;
    let done = wait::until("the replica catches up", Duration::from_secs(30), || async {
        Ok((gtids(replica).await? == wanted).then_some(()))
    })
    .await;
    if done.is_err() {
        let mut conn = bench::conn(replica).await?;
        let status: Option<Row> = conn.query_first("SHOW REPLICA STATUS").await?;
        eprintln!("{wanted} against {}: {status:?}", gtids(replica).await?);
    }
    done
}

async fn promote(replica: &Server) -> Result<()> {
    execute(replica, &["STOP REPLICA", "RESET REPLICA ALL"]).await
}

/// Rows `from..to`, a transaction each, and as many in the table without a key.
async fn write(server: &Server, from: u32, to: u32) -> Result<()> {
    let mut conn = bench::conn(server).await?;
    for id in from..to {
        conn.query_drop(format!("INSERT INTO app.t VALUES ({id}, 1)")).await?;
        conn.query_drop(format!("INSERT INTO app.bag VALUES ({}, 1)", id % 5)).await?;
        conn.query_drop(format!("UPDATE app.t SET v = v + 1 WHERE id IN ({id}, {})", id / 2)).await?;
    }
    conn.disconnect().await?;
    Ok(())
}

/// The address leads to the replica from one moment to the next, with transactions on their way.
async fn a_replica_takes_over_while_replication_runs(mut bench: Bench) -> Result<()> {
    let mut replica = replica_of(&bench).await?;
    let address = Middleman::start(bench.source.port()).await?;
    bench.source_port = Some(address.port());
    let run = bench.begin().await?;
    bench.on_source(&TABLES).await?;
    write(&bench.source, 0, 300).await?;
    caught_up(&bench.source, &replica).await?;
    promote(&replica).await?;
    address.switch(replica.port());
    std::mem::swap(&mut bench.source, &mut replica);
    write(&bench.source, 300, 500).await?;
    bench.settle_same(&run, &["app"]).await?;
    // and a new owner on the new server
    run.kill().await?;
    write(&bench.source, 500, 550).await?;
    let run = bench.begin().await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await
}

on_pairs!(a_replica_takes_over_while_replication_runs:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
);

/// The old owner dies with holes in what it has committed, and the old source with it.
async fn a_replica_takes_over_from_a_window_with_holes(mut bench: Bench) -> Result<()> {
    let mut replica = replica_of(&bench).await?;
    bench.syncer = "worker-count: 4, batch: 10".to_owned();
    let run = bench.begin().await?;
    bench.on_source(&TABLES).await?;
    write(&bench.source, 0, 20).await?;
    bench.settle(&run).await?;
    // a stranger holds a row, so that one lane hangs while others go on
    let mut stranger = bench.target.root().await?;
    stranger.query_drop("BEGIN").await?;
    stranger.query_drop("SELECT * FROM app.t WHERE id = 3 FOR UPDATE").await?;
    bench.on_source(&["UPDATE app.t SET v = 100 WHERE id = 3"]).await?;
    let mut conn = bench::conn(&bench.source).await?;
    for id in 1000..1200 {
        conn.query_drop(format!("INSERT INTO app.t VALUES ({id}, 1)")).await?;
    }
    conn.disconnect().await?;
    wait::until("a lane goes on", Duration::from_secs(30), || async {
        Ok((bench.number_on_target("SELECT COUNT(*) FROM app.t WHERE id >= 1000").await? >= 100).then_some(()))
    })
    .await?;
    run.kill().await?;
    stranger.disconnect().await?;
    ensure!(
        bench.number_on_target("SELECT SUM(LENGTH(done)) FROM dm_meta.dm_fence_lane").await? > 0,
        "units above the watermark are committed"
    );
    caught_up(&bench.source, &replica).await?;
    promote(&replica).await?;
    std::mem::swap(&mut bench.source, &mut replica);
    replica.kill();
    write(&bench.source, 2000, 2050).await?;
    let run = bench.begin().await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await
}

on_pairs!(a_replica_takes_over_from_a_window_with_holes:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
);

/// Several domains have no common order: nothing of the new server is read before the old one's transactions are done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_with_several_domains_takes_over() -> Result<()> {
    let mut bench = Bench::start(ServerKind::MariaDb, ServerKind::MariaDb, true).await?;
    let mut replica = replica_of(&bench).await?;
    let address = Middleman::start(bench.source.port()).await?;
    bench.source_port = Some(address.port());
    let run = bench.begin().await?;
    bench.on_source(&TABLES).await?;
    bench.on_source(&["CREATE TABLE app.t2 (id INT PRIMARY KEY, v INT)"]).await?;
    domains(&bench.source, 0, 150).await?;
    caught_up(&bench.source, &replica).await?;
    promote(&replica).await?;
    address.switch(replica.port());
    std::mem::swap(&mut bench.source, &mut replica);
    domains(&bench.source, 150, 300).await?;
    bench.settle_same(&run, &["app"]).await?;
    run.kill().await?;
    domains(&bench.source, 300, 350).await?;
    let run = bench.begin().await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await
}

/// Two writers in domains of their own, side by side.
async fn domains(server: &Server, from: u32, to: u32) -> Result<()> {
    let writer = |domain: u32, table: &'static str| async move {
        let mut conn = bench::conn(server).await?;
        conn.query_drop(format!("SET SESSION gtid_domain_id = {domain}")).await?;
        for id in from..to {
            conn.query_drop(format!("INSERT INTO app.{table} VALUES ({id}, 1)")).await?;
            conn.query_drop(format!("UPDATE app.{table} SET v = v + 1 WHERE id = {}", id / 2)).await?;
        }
        conn.disconnect().await?;
        anyhow::Ok(())
    };
    tokio::try_join!(writer(1, "t"), writer(2, "t2"))?;
    Ok(())
}

/// A replica that lacks what the target has is refused until it has caught up.
async fn a_replica_that_lacks_transactions_is_refused_until_it_has_them(mut bench: Bench) -> Result<()> {
    let replica = replica_of(&bench).await?;
    let run = bench.begin().await?;
    bench.on_source(&TABLES).await?;
    write(&bench.source, 0, 20).await?;
    caught_up(&bench.source, &replica).await?;
    execute(&replica, &["STOP REPLICA"]).await?;
    write(&bench.source, 20, 40).await?;
    bench.settle(&run).await?;
    run.drain().await?;
    bench.source_port = Some(replica.port());
    let failure = bench.spawn()?.failure().await?;
    ensure!(failure.report.code == 60032, "{:?}", failure.report);
    ensure!(failure.report.message.contains("does not have") && failure.report.workaround.contains("caught up"));
    execute(&replica, &["START REPLICA"]).await?;
    caught_up(&bench.source, &replica).await?;
    write(&bench.source, 40, 60).await?;
    caught_up(&bench.source, &replica).await?;
    let run = bench.begin().await?;
    wait::until("all rows", Duration::from_secs(30), || async {
        Ok((bench.number_on_target("SELECT COUNT(*) FROM app.t").await? == 60).then_some(()))
    })
    .await?;
    run.drain().await?;
    bench.same(&["app"]).await
}

on_pairs!(a_replica_that_lacks_transactions_is_refused_until_it_has_them:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
);

/// The source forgot its history: what comes next was written without what the target has.
async fn a_source_whose_history_was_reset_is_refused(bench: Bench) -> Result<()> {
    let run = bench.begin().await?;
    bench.on_source(&TABLES).await?;
    write(&bench.source, 0, 20).await?;
    bench.settle(&run).await?;
    run.drain().await?;
    let reset = match bench.source.kind() {
        ServerKind::MariaDb => "RESET MASTER",
        ServerKind::MySql => "RESET BINARY LOGS AND GTIDS",
    };
    bench.on_source(&[reset]).await?;
    write(&bench.source, 100, 103).await?;
    let failure = bench.spawn()?.failure().await?;
    // MySQL keeps its identity, so that the birth of its file tells first
    ensure!([60032, 60033].contains(&failure.report.code), "{:?}", failure.report);
    ensure!(failure.report.workaround.contains("--start-time"), "{:?}", failure.report);
    ensure!(bench.number_on_target("SELECT COUNT(*) FROM app.t").await? == 20, "nothing of it was written");
    Ok(())
}

on_pairs!(a_source_whose_history_was_reset_is_refused:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
);

/// A stranger with GTIDs of its own, in another domain or under another id.
async fn a_stranger_in_the_place_of_the_source_is_refused(mut bench: Bench) -> Result<()> {
    let run = bench.begin().await?;
    bench.on_source(&TABLES).await?;
    write(&bench.source, 0, 20).await?;
    bench.settle(&run).await?;
    run.drain().await?;
    let mut options = ServerOptions::default().with_server_id(9);
    if bench.source.kind() == ServerKind::MariaDb {
        options = options.with("--gtid-domain-id=5");
    }
    let stranger = Server::start(bench.source.kind(), options).await?;
    execute(&stranger, &TABLES).await?;
    write(&stranger, 500, 600).await?;
    bench.source_port = Some(stranger.port());
    let failure = bench.spawn()?.failure().await?;
    ensure!(failure.report.code == 60032 && !failure.report.workaround.is_empty(), "{:?}", failure.report);
    ensure!(bench.number_on_target("SELECT COUNT(*) FROM app.t").await? == 20, "nothing of it was written");
    Ok(())
}

on_pairs!(a_stranger_in_the_place_of_the_source_is_refused:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
);

/// By positions, a source whose binlogs were reset and have grown past the old place gives the old place to other events.
async fn binlogs_that_were_reset_and_grew_again_are_refused_by_position(bench: Bench) -> Result<()> {
    let run = bench.begin().await?;
    bench.on_source(&TABLES).await?;
    write(&bench.source, 0, 20).await?;
    bench.settle(&run).await?;
    run.drain().await?;
    let reset = match bench.source.kind() {
        ServerKind::MariaDb => "RESET MASTER",
        ServerKind::MySql => "RESET BINARY LOGS AND GTIDS",
    };
    // the birth of a file is known to the second
    wait_a_second_of_the_server(&bench).await?;
    bench.on_source(&[reset, "DROP DATABASE app"]).await?;
    bench.on_source(&TABLES).await?;
    write(&bench.source, 0, 60).await?;
    let failure = bench.spawn()?.failure().await?;
    ensure!(failure.report.code == 60033, "{:?}", failure.report);
    ensure!(failure.report.workaround.contains("--start-time"), "{:?}", failure.report);
    ensure!(bench.number_on_target("SELECT COUNT(*) FROM app.t").await? == 20, "nothing of it was written");
    Ok(())
}

async fn wait_a_second_of_the_server(bench: &Bench) -> Result<()> {
    let begun = bench::number(&bench.source, "SELECT UNIX_TIMESTAMP()").await?;
    wait::until("the next second", Duration::from_secs(5), || async {
        Ok((bench::number(&bench.source, "SELECT UNIX_TIMESTAMP()").await? > begun).then_some(()))
    })
    .await
}

on_pairs!(binlogs_that_were_reset_and_grew_again_are_refused_by_position:
    mariadb_to_mariadb = (MariaDb, MariaDb, false),
    mysql_to_mysql = (MySql, MySql, false),
);
