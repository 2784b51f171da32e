//! Damaged events, a target changed behind our back, lane rows edited by hand: a code and a way out, and nothing lost.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dm_tests::{ServerKind, ServerOptions, wait};
use dm_worker::unit::UnitEnd;

use crate::{
    bench::Bench,
    middleman::{Harm, Middleman},
    on_pairs,
};

const TABLES: [&str; 3] = [
    "CREATE DATABASE app",
    "CREATE TABLE app.t (id INT PRIMARY KEY, v VARCHAR(60))",
    "CREATE TABLE app.bag (a INT, b VARCHAR(60))",
];

/// A task whose source is behind a man in the middle, running, with both tables.
async fn behind_a_middleman(bench: &mut Bench) -> Result<(Middleman, crate::bench::Run)> {
    let middleman = Middleman::start(bench.source.port()).await?;
    bench.source_port = Some(middleman.port());
    let run = bench.begin().await?;
    bench.on_source(&TABLES).await?;
    bench.on_source(&["INSERT INTO app.t VALUES (1, 'first')"]).await?;
    bench.settle(&run).await?;
    Ok((middleman, run))
}

async fn damaged_events_stop_the_task_and_are_read_again(mut bench: Bench) -> Result<()> {
    let (middleman, mut run) = behind_a_middleman(&mut bench).await?;
    for (n, harm) in [Harm::Flip, Harm::Shorten].into_iter().enumerate() {
        let text = format!("needle-{n}-in-the-haystack");
        middleman.harm_always(&text, harm);
        let (before, id) = (format!("INSERT INTO app.bag VALUES ({n}, 'before')"), n + 10);
        bench.on_source(&[&before, &format!("INSERT INTO app.t VALUES ({id}, '{text}')")]).await?;
        bench.on_source(&["INSERT INTO app.bag VALUES (9, 'after')"]).await?;
        let failure = run.failure().await.with_context(|| format!("{harm:?}"))?;
        let report = failure.report;
        middleman.spare();
        ensure!([60300, 36069].contains(&report.code), "{harm:?}: {report:?}");
        ensure!(!report.workaround.is_empty() && report.message.contains("startLocation"), "{harm:?}: {report:?}");
        let n_before = format!("SELECT COUNT(*) FROM app.bag WHERE a = {n}");
        ensure!(bench.number_on_target(&n_before).await? == 1, "what came before is there");
        run = bench.begin().await?;
        bench.settle_same(&run, &["app"]).await?;
    }
    // a connection that ends inside an event is opened again
    middleman.harm("cut-in-the-middle", Harm::Cut);
    bench
        .on_source(&["INSERT INTO app.t VALUES (50, 'cut-in-the-middle')", "INSERT INTO app.bag VALUES (5, 'x')"])
        .await?;
    bench.settle_same(&run, &["app"]).await?;
    ensure!(middleman.is_done());
    run.drain().await
}

on_pairs!(damaged_events_stop_the_task_and_are_read_again:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
);

async fn an_event_of_an_unknown_type_stops_the_task(mut bench: Bench) -> Result<()> {
    let (middleman, run) = behind_a_middleman(&mut bench).await?;
    middleman.harm("unknown-kind", Harm::UnknownType { ignorable: false });
    bench.on_source(&["INSERT INTO app.t VALUES (2, 'unknown-kind')"]).await?;
    let report = run.failure().await?.report;
    ensure!(report.code == 60024 && !report.workaround.is_empty(), "{report:?}");
    let run = bench.begin().await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await
}

on_pairs!(an_event_of_an_unknown_type_stops_the_task:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
);

/// The server's word that an event may be skipped is enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_event_that_may_be_ignored_is_ignored() -> Result<()> {
    let options = ServerOptions::default().with("--binlog-rows-query-log-events=ON");
    let mut bench = Bench::start_with(ServerKind::MySql, options, ServerKind::MySql).await?;
    let (middleman, run) = behind_a_middleman(&mut bench).await?;
    // the statement's text is an event of its own, before the rows
    middleman.harm("/* a-remark */", Harm::UnknownType { ignorable: true });
    bench.on_source(&["INSERT /* a-remark */ INTO app.t VALUES (3, 'x')"]).await?;
    bench.settle_same(&run, &["app"]).await?;
    ensure!(middleman.is_done());
    run.drain().await
}

async fn a_target_changed_behind_our_back_stops_the_task(bench: Bench) -> Result<()> {
    let mut run = bench.begin().await?;
    bench
        .on_source(&[
            "CREATE DATABASE app",
            "CREATE TABLE app.t (id INT PRIMARY KEY, n INT, s VARCHAR(60))",
            "CREATE TABLE app.other (id INT PRIMARY KEY)",
            "INSERT INTO app.t VALUES (1, 1, 'x')",
            "INSERT INTO app.other VALUES (1)",
        ])
        .await?;
    bench.settle(&run).await?;
    // what is done to the target, the change that meets it, how the target is mended
    let harms = [
        (
            "ALTER TABLE app.t DROP COLUMN s",
            "INSERT INTO app.t VALUES (2, 2, 'y')",
            "ALTER TABLE app.t ADD COLUMN s VARCHAR(60)",
        ),
        (
            "ALTER TABLE app.t MODIFY n TINYINT",
            "INSERT INTO app.t VALUES (3, 100000, 'z')",
            "ALTER TABLE app.t MODIFY n INT",
        ),
        (
            "ALTER TABLE app.t MODIFY s VARCHAR(2)",
            "UPDATE app.t SET s = 'long text' WHERE id = 1",
            "ALTER TABLE app.t MODIFY s VARCHAR(60)",
        ),
        ("RENAME TABLE app.t TO app.gone", "INSERT INTO app.t VALUES (4, 4, 'w')", "RENAME TABLE app.gone TO app.t"),
        (
            "INSERT INTO app.t VALUES (5, 0, 'stranger')",
            "INSERT INTO app.t VALUES (5, 5, 'v')",
            "DELETE FROM app.t WHERE s = 'stranger'",
        ),
    ];
    for (n, (harm, change, mend)) in harms.into_iter().enumerate() {
        bench.on_target(&[harm]).await?;
        let other = format!("INSERT INTO app.other VALUES ({})", n + 10);
        bench.on_source(&[&other, change]).await?;
        let report = run.failure().await.with_context(|| harm.to_owned())?.report;
        ensure!(report.code != 0 && !report.workaround.is_empty(), "{harm}: {report:?}");
        // the same again when it is resumed without having been mended
        let again = bench.spawn()?.failure().await.with_context(|| harm.to_owned())?.report;
        ensure!(!again.workaround.is_empty(), "{harm}: {again:?}");
        bench.on_target(&[mend]).await?;
        run = bench.begin().await?;
        bench.settle(&run).await?;
        if n == 0 {
            // the column's old values went with it
            bench.on_target(&["UPDATE app.t SET s = 'x' WHERE id = 1"]).await?;
        }
        bench.same(&["app"]).await.with_context(|| harm.to_owned())?;
    }
    run.drain().await
}

on_pairs!(a_target_changed_behind_our_back_stops_the_task:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
);

async fn lane_rows_edited_by_hand_lose_nothing(bench: Bench) -> Result<()> {
    let mut run = bench.begin().await?;
    bench.on_source(&TABLES).await?;
    bench.on_source(&["INSERT INTO app.t VALUES (1, 'x')", "INSERT INTO app.bag VALUES (1, 'x')"]).await?;
    bench.settle(&run).await?;

    // a later epoch: this owner goes, the next one comes
    bench.on_target(&["UPDATE dm_meta.dm_fence_lane SET epoch = epoch + 2"]).await?;
    bench.on_source(&["INSERT INTO app.bag VALUES (2, 'x')"]).await?;
    ensure!(matches!(run.end().await?, UnitEnd::Fenced), "a raised epoch is a later owner");
    ensure!(matches!(bench.spawn()?.end().await?, UnitEnd::Fenced), "the epoch is taken");
    run = bench.begin().await?;
    bench.settle_same(&run, &["app"]).await?;

    // a seq that nobody wrote: our memory of the target is dropped, and the target asked
    bench.on_target(&["UPDATE dm_meta.dm_fence_lane SET seq = seq - 1"]).await?;
    bench.on_source(&["INSERT INTO app.bag VALUES (3, 'x')", "INSERT INTO app.t VALUES (3, 'x')"]).await?;
    bench.settle_same(&run, &["app"]).await?;

    // garbage for a window
    run.drain().await?;
    let lane = "WHERE lane = 0";
    bench
        .on_target(&[
            "CREATE TABLE app_copy.lanes AS SELECT * FROM dm_meta.dm_fence_lane",
            &format!("UPDATE dm_meta.dm_fence_lane SET done = x'07ffff' {lane}"),
        ])
        .await?;
    bench.on_source(&["INSERT INTO app.bag VALUES (4, 'x')"]).await?;
    let report = bench.spawn()?.failure().await?.report;
    ensure!(report.code == 60002 && report.workaround.contains("restore"), "{report:?}");
    let restore = format!("UPDATE dm_meta.dm_fence_lane SET done = (SELECT done FROM app_copy.lanes {lane}) {lane}");
    bench.on_target(&[&restore]).await?;
    run = bench.begin().await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await
}

async fn lane_rows_edited(bench: Bench) -> Result<()> {
    bench.on_target(&["CREATE DATABASE app_copy"]).await?;
    lane_rows_edited_by_hand_lose_nothing(bench).await
}

on_pairs!(lane_rows_edited:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
);

/// A row says what is committed: without it nobody knows, and guessing would double or lose.
async fn lane_rows_that_are_gone_stop_the_task(bench: Bench) -> Result<()> {
    bench.on_target(&["CREATE DATABASE app_copy"]).await?;
    for gone in ["lane = 0", "lane = 1", "TRUE"] {
        let run = bench.begin().await?;
        bench
            .on_source(&[
                "CREATE DATABASE IF NOT EXISTS app",
                "CREATE TABLE IF NOT EXISTS app.t (id INT PRIMARY KEY, v VARCHAR(60))",
                "CREATE TABLE IF NOT EXISTS app.bag (a INT, b VARCHAR(60))",
                "INSERT INTO app.bag VALUES (1, 'x')",
            ])
            .await?;
        bench.settle(&run).await?;
        run.drain().await?;
        bench
            .on_target(&[
                "DROP TABLE IF EXISTS app_copy.lanes",
                "CREATE TABLE app_copy.lanes AS SELECT * FROM dm_meta.dm_fence_lane",
                &format!("DELETE FROM dm_meta.dm_fence_lane WHERE {gone}"),
            ])
            .await?;
        bench.on_source(&["INSERT INTO app.bag VALUES (2, 'x')"]).await?;
        for _ in 0..2 {
            let report = bench.spawn()?.failure().await.with_context(|| gone.to_owned())?.report;
            ensure!(report.code == 60034 && report.workaround.contains("--remove-meta"), "{gone}: {report:?}");
        }
        bench
            .on_target(&[
                "DELETE FROM dm_meta.dm_fence_lane",
                "INSERT INTO dm_meta.dm_fence_lane SELECT * FROM app_copy.lanes",
            ])
            .await?;
        let run = bench.begin().await?;
        bench.settle_same(&run, &["app"]).await?;
        // gone while the owner is at work
        bench
            .on_target(&[
                "DROP TABLE app_copy.lanes",
                "CREATE TABLE app_copy.lanes AS SELECT * FROM dm_meta.dm_fence_lane",
                "DELETE FROM dm_meta.dm_fence_lane WHERE lane = 0",
            ])
            .await?;
        bench.on_source(&["INSERT INTO app.bag VALUES (3, 'x')"]).await?;
        let report = run.failure().await.with_context(|| gone.to_owned())?.report;
        ensure!(report.code == 60034, "{gone}: {report:?}");
        bench
            .on_target(&[
                "DELETE FROM dm_meta.dm_fence_lane",
                "INSERT INTO dm_meta.dm_fence_lane SELECT * FROM app_copy.lanes",
            ])
            .await?;
        let run = bench.begin().await?;
        bench.settle_same(&run, &["app"]).await?;
        run.drain().await?;
    }
    Ok(())
}

on_pairs!(lane_rows_that_are_gone_stop_the_task:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
);

/// Connections of both sides end again and again under load.
async fn connections_that_end_under_load_lose_nothing(mut bench: Bench) -> Result<()> {
    let (source, target) = (Middleman::start(bench.source.port()).await?, Middleman::start(bench.target.port()).await?);
    bench.source_port = Some(source.port());
    bench.target_port = Some(target.port());
    let run = bench.begin().await?;
    bench.on_source(&TABLES).await?;
    for round in 0..12 {
        let mut statements = Vec::new();
        for n in 0..60 {
            let id = round * 60 + n + 100;
            statements.push(format!("INSERT INTO app.t VALUES ({id}, 'x')"));
            statements.push(format!("INSERT INTO app.bag VALUES ({}, 'y')", id % 7));
            statements.push(format!("UPDATE app.t SET v = CONCAT(v, '.') WHERE id >= {}", id - 3));
        }
        bench.on_source(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        match round % 3 {
            0 => source.cut(),
            1 => target.cut(),
            _ => {
                source.cut();
                target.cut();
            }
        }
    }
    wait::until("the target has it all", Duration::from_secs(60), || async {
        Ok((bench.number_on_target("SELECT COUNT(*) FROM app.bag").await? == 720).then_some(()))
    })
    .await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await
}

on_pairs!(connections_that_end_under_load_lose_nothing:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql_by_position = (MySql, MySql, false),
);
