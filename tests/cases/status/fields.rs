//! The fields of `query-status` and what `/metrics` says beside it: copying, finished, idle, behind, blocked, paused.

use anyhow::{Context, Result, ensure};
use dm_tests::{ServerKind, cluster::Options, wait};
use mysql_async::prelude::Queryable;
use serde_json::Value;

use super::{
    ask::{metrics, number, sample},
    bench::{Bench, SOON, rows},
    cases::Cases,
};

#[tokio::test(flavor = "multi_thread")]
async fn fields() {
    let mut cases = Cases::begin("status fields");
    let options = Options { n_masters: 1, n_workers: 1, ..Options::default() };
    let bench = Bench::start(ServerKind::MariaDb, options).await.expect("start a cluster");
    bench.create_source("one").await.expect("create a source");
    cases.run("a copy says when it ends", copying(&bench)).await;
    cases.run("after the copy", finished(&bench)).await;
    cases.run("idle is not behind", idle(&bench)).await;
    cases.run("behind while the target waits", behind(&bench)).await;
    cases.run("blocked by a target that hangs", blocked(&bench)).await;
    cases.run("a pause by an operator", paused_by_operator(&bench)).await;
    cases.run("a pause by an error", paused_by_error(&bench)).await;
    cases.run("what has ended has no series", ended(&bench)).await;
    cases.end();
}

async fn worker_metrics(bench: &Bench) -> Result<String> {
    metrics(&bench.cluster.worker_addr("worker1")?).await
}

async fn copying(bench: &Bench) -> Result<()> {
    bench
        .at_source(&[
            "CREATE DATABASE big",
            "USE big",
            "CREATE TABLE big.small (id INT PRIMARY KEY)",
            "INSERT INTO big.small VALUES (1), (2)",
            "CREATE TABLE big.t (id INT PRIMARY KEY, v VARCHAR(300))",
            "INSERT INTO big.t SELECT seq, REPEAT('x', 250) FROM seq_1_to_300000",
            "ANALYZE TABLE big.t",
        ])
        .await?;
    bench.start_task("big", "full", &["one"], "big").await?;
    let load = wait::until("a copy on its way", SOON, || async {
        let status = bench.subtask("big").await?;
        ensure!(status["stage"] != "Finished", "the copy was over before it was seen: {status:#}");
        let load = &status["load"];
        let is_moving = load["etaSeconds"].as_str().is_some_and(|text| !text.starts_with('-'))
            && number(load, "finishedRows").is_ok_and(|n| n > 1_000);
        Ok(is_moving.then(|| load.clone()))
    })
    .await?;
    let of = |field: &str| number(&load, field);
    ensure!(of("finishedRows")? < 300_002 && of("bps")? > 0, "{load:#}");
    // the server's own guess is good to a third
    ensure!((200_000..400_000).contains(&of("estimateTotalRows")?), "{load:#}");
    ensure!(of("finishedBytes")? > 0 && of("finishedBytes")? < of("totalBytes")?, "{load:#}");
    ensure!(of("totalTables")? == 2 && of("completedTables")? < 2 && of("tablesNotShown")? == 0, "{load:#}");
    let percent: f64 = load["progress"].as_str().and_then(|text| text.strip_suffix(" %")).context("%")?.parse()?;
    ensure!(percent > 0.0 && percent < 100.0, "{load:#}");
    ensure!(load["metaBinlog"].as_str().is_some_and(|text| text.starts_with("(mysql-bin.0")), "{load:#}");
    ensure!(load["metaBinlogGTID"].as_str().is_some_and(|text| text.contains("0-1-")), "{load:#}");
    let tables = load["tables"].as_array().context("tables")?;
    let big = tables.iter().find(|table| table["table"] == "`big`.`t`").context("the table")?;
    ensure!(number(big, "totalChunks")? > 1 && number(big, "finishedRows")? > 0, "{load:#}");
    let text = worker_metrics(bench).await?;
    let share = sample(&text, "dm_loader_progress", &[r#"task="big""#])?;
    ensure!(share > 0.0, "{share}");
    ensure!(sample(&text, "dm_loader_estimated_rows", &[r#"task="big""#])? > 100_000.0);
    Ok(())
}

async fn finished(bench: &Bench) -> Result<()> {
    let status = bench.wait_stage("big", "Finished", "Load").await?;
    let load = &status["load"];
    ensure!(load["progress"] == "100.00 %" && number(load, "etaSeconds")? == 0, "{status:#}");
    ensure!(number(load, "finishedRows")? == 300_002 && number(load, "estimateTotalRows")? == 300_002, "{status:#}");
    ensure!(number(load, "finishedBytes")? == number(load, "totalBytes")?, "{status:#}");
    ensure!(number(load, "completedTables")? == 2 && number(load, "bps")? == 0, "{status:#}");
    ensure!(status["result"]["isCanceled"] == false, "{status:#}");
    ensure!(status["result"]["errors"].as_array().is_some_and(Vec::is_empty), "{status:#}");
    bench.dmctl().ok(&["stop-task", "big"]).await?;
    Ok(())
}

async fn synced(bench: &Bench) -> Result<Value> {
    wait::until("to be caught up", SOON, || async {
        let status = bench.subtask("s").await?;
        Ok((status["sync"]["synced"] == true && status["stage"] == "Running").then_some(status))
    })
    .await
}

/// Waits until the task is so many seconds behind.
async fn behind_by(bench: &Bench, seconds: i64) -> Result<Value> {
    wait::until("lag", SOON, || async {
        let status = bench.subtask("s").await?;
        Ok((number(&status["sync"], "secondsBehindMaster")? >= seconds).then_some(status))
    })
    .await
}

async fn idle(bench: &Bench) -> Result<()> {
    bench.make_rows("s", 100).await?;
    bench.start_task("s", "all", &["one"], "s").await?;
    synced(bench).await?;
    let seconds = || async {
        let now = rows(&bench.source, "SELECT UNIX_TIMESTAMP()").await?;
        now[0].parse::<i64>().context("a time")
    };
    let begun = seconds().await?;
    wait::until("five idle seconds", SOON, || async {
        let status = bench.subtask("s").await?;
        let sync = &status["sync"];
        ensure!(number(sync, "secondsBehindMaster")? <= 1, "idle, and behind: {status:#}");
        ensure!(sync["syncerBinlog"] == sync["masterBinlog"] && sync["synced"] == true, "{status:#}");
        Ok((seconds().await? >= begun + 5).then_some(()))
    })
    .await?;
    let status = synced(bench).await?;
    let sync = &status["sync"];
    ensure!(number(sync, "remainingSeconds")? == 0 && number(sync, "remainingBytes")? == 0, "{status:#}");
    ensure!(number(sync, "unitsInFlight")? == 0 && sync["blockedOn"] == "", "{status:#}");
    ensure!(number(sync, "dumpIOTotalBytes")? > 0, "what the copy wrote: {status:#}");
    ensure!(number(&status, "reportAgeMs")? >= 0 && number(&status, "resumesInSeconds")? == 0, "{status:#}");
    bench.add_rows("s", 1_000, 50).await?;
    wait::until("fifty rows", SOON, || async {
        let status = bench.subtask("s").await?;
        Ok((number(&status["sync"], "totalRows")? == 50).then_some(()))
    })
    .await?;
    let text = worker_metrics(bench).await?;
    let added = ["type=\"insert\"", "target_schema=\"s\"", "target_table=\"t\""];
    ensure!(sample(&text, "dm_syncer_added_jobs_total", &added)? == 50.0);
    ensure!(sample(&text, "dm_syncer_finished_jobs_total", &added)? == 50.0);
    ensure!(sample(&text, "dm_worker_task_state", &["task=\"s\""])? == 2.0);
    ensure!(sample(&text, "dm_syncer_binlog_event_size_count", &["task=\"s\""])? > 0.0);
    ensure!(sample(&text, "dm_syncer_txn_duration_time_count", &["task=\"s\""])? >= 1.0);
    ensure!(sample(&text, "dm_syncer_replication_lag_gauge", &["task=\"s\""])? <= 1.0);
    for node in ["master", "syncer"] {
        ensure!(sample(&text, "dm_syncer_binlog_file", &[&format!("node=\"{node}\""), "task=\"s\""])? >= 1.0);
    }
    Ok(())
}

async fn behind(bench: &Bench) -> Result<()> {
    let mut holder = bench.target.connect().await?;
    holder.query_drop("LOCK TABLES s.t WRITE").await?;
    bench.add_rows("s", 2_000, 10).await?;
    let status = behind_by(bench, 3).await?;
    let sync = &status["sync"];
    ensure!(status["stage"] == "Running" && sync["synced"] == false, "{status:#}");
    ensure!(sync["syncerBinlog"] != sync["masterBinlog"], "{status:#}");
    ensure!(number(sync, "unitsInFlight")? >= 1 && number(sync, "remainingBytes")? > 0, "{status:#}");
    let text = worker_metrics(bench).await?;
    ensure!(sample(&text, "dm_syncer_replication_lag_gauge", &["task=\"s\""])? >= 3.0);
    ensure!(sample(&text, "dm_lanes_busy", &["task=\"s\""])? >= 1.0);
    holder.query_drop("UNLOCK TABLES").await?;
    holder.disconnect().await?;
    let status = synced(bench).await?;
    ensure!(number(&status["sync"], "secondsBehindMaster")? <= 1, "{status:#}");
    Ok(())
}

async fn blocked(bench: &Bench) -> Result<()> {
    synced(bench).await?;
    bench.target.freeze()?;
    let seen = async {
        bench.add_rows("s", 3_000, 10).await?;
        let first = behind_by(bench, 3).await?;
        behind_by(bench, number(&first["sync"], "secondsBehindMaster")? + 2).await
    };
    let seen = seen.await;
    bench.target.thaw()?;
    ensure!(seen?["sync"]["synced"] == false);
    synced(bench).await?;
    bench.same_rows("s").await
}

async fn paused_by_operator(bench: &Bench) -> Result<()> {
    synced(bench).await?;
    bench.dmctl().ok(&["pause-task", "s"]).await?;
    let status = behind_by(bench, 2).await?;
    ensure!(status["stage"] == "Paused" && status["result"]["isCanceled"] == true, "{status:#}");
    ensure!(number(&status["sync"], "recentRps")? == 0 && number(&status, "resumesInSeconds")? == 0, "{status:#}");
    let rows_before = number(&status["sync"], "totalRows")?;
    bench.dmctl().ok(&["resume-task", "s"]).await?;
    let status = synced(bench).await?;
    ensure!(number(&status["sync"], "totalRows")? >= rows_before, "totals go on: {status:#}");
    Ok(())
}

async fn paused_by_error(bench: &Bench) -> Result<()> {
    bench.at_target(&["INSERT INTO s.t VALUES (4000, 'not ours')"]).await?;
    bench.add_rows("s", 4_000, 1).await?;
    let error = bench.wait_error("s").await?;
    for field in ["ErrClass", "ErrScope", "ErrLevel", "Message", "Workaround"] {
        ensure!(error[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {error:#}");
    }
    ensure!(error["ErrCode"].as_i64().is_some_and(|code| code > 10_000), "{error:#}");
    ensure!(error["ErrScope"] == "downstream", "{error:#}");
    let status = behind_by(bench, 2).await?;
    ensure!(status["result"]["isCanceled"] == false && number(&status, "resumesInSeconds")? == -1, "{status:#}");
    let text = worker_metrics(bench).await?;
    let labels = ["task=\"s\"", "resumable_err=\"false\""];
    ensure!(sample(&text, "dm_syncer_exit_with_error_count", &labels)? >= 1.0);
    ensure!(sample(&text, "dm_worker_task_state", &["task=\"s\""])? == 3.0);
    bench.at_target(&["DELETE FROM s.t WHERE id = 4000"]).await?;
    bench.dmctl().ok(&["resume-task", "s"]).await?;
    let status = synced(bench).await?;
    ensure!(status["result"].is_null(), "{status:#}");
    bench.same_rows("s").await
}

async fn ended(bench: &Bench) -> Result<()> {
    bench.dmctl().ok(&["stop-task", "s"]).await?;
    wait::until("no series of the task", SOON, || async {
        Ok((!worker_metrics(bench).await?.contains("task=\"s\"")).then_some(()))
    })
    .await
}
