//! The life of tasks: every mode, what status shows, pause, resume, stop and go on.

use anyhow::{Context, Result, ensure};
use dm_tests::{ServerKind, cluster::Options, wait};
use serde_json::Value;

use super::{
    bench::{Bench, SOON, rows},
    cases::Cases,
};

#[tokio::test(flavor = "multi_thread")]
async fn tasks() {
    let mut cases = Cases::begin("tasks");
    let options = Options { n_masters: 1, n_workers: 2, ..Options::default() };
    let bench = Bench::start(ServerKind::MySql, options).await.expect("start a cluster");
    bench.create_source("one").await.expect("create a source");
    bench.create_source("two").await.expect("create a source");
    cases.run("all, from copy to stop", all_from_copy_to_stop(&bench)).await;
    cases.run("status has DM's shape", status_has_dms_shape(&bench)).await;
    cases.run("full ends", full_ends(&bench)).await;
    cases.run("incremental begins now", incremental_begins_now(&bench)).await;
    cases.run("incremental from meta", incremental_from_meta(&bench)).await;
    cases.run("start time", start_time(&bench)).await;
    cases.run("remove meta", remove_meta(&bench)).await;
    cases.run("one of two sources", one_of_two_sources(&bench)).await;
    cases.run("all tasks of a source", all_tasks_of_a_source(&bench)).await;
    cases.run("keyless tables", keyless_tables(&bench)).await;
    cases.end();
}

async fn all_from_copy_to_stop(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    bench.make_rows("life", 500).await?;
    let started = bench.start_task("life", "all", &["one"], "life").await?;
    ensure!(started["sources"][0]["worker"].as_str().is_some_and(|worker| worker.starts_with("worker")), "{started:#}");
    bench.wait_stage("life", "Running", "Sync").await?;
    bench.add_rows("life", 1000, 100).await?;
    bench
        .at_source(&["UPDATE life.t SET v = 'x' WHERE id < 50", "DELETE FROM life.t WHERE id BETWEEN 60 AND 70"])
        .await?;
    bench.same_rows("life").await?;

    let paused = dmctl.ok(&["pause-task", "life"]).await?;
    ensure!(paused["op"] == "Pause", "{paused:#}");
    let status = bench.subtask("life").await?;
    ensure!(status["stage"] == "Paused" && status["result"]["isCanceled"] == true, "{status:#}");
    let before = bench.count_at_target("life").await?;
    bench.add_rows("life", 2000, 10).await?;
    bench
        .at_source(&["ALTER TABLE life.t ADD COLUMN w INT DEFAULT 7", "INSERT INTO life.t VALUES (3000, 'after', 8)"])
        .await?;
    ensure!(bench.count_at_target("life").await? == before, "a paused task writes");
    let summary = dmctl.json(&["query-status"]).await?;
    ensure!(task_of(&summary, "life")?["taskStatus"] == "Paused", "{summary:#}");
    let resumed = dmctl.ok(&["resume-task", "life"]).await?;
    ensure!(resumed["op"] == "Resume", "{resumed:#}");
    bench.same_rows("life").await?;
    let width = rows(&bench.target, "SELECT w FROM life.t WHERE id IN (1, 3000) ORDER BY id").await?;
    ensure!(width == ["7", "8"], "{width:?}");

    let before = bench.epochs("life").await?;
    let stopped = dmctl.ok(&["stop-task", "life"]).await?;
    ensure!(stopped["op"] == "Delete", "{stopped:#}");
    bench.at_source(&["INSERT INTO life.t VALUES (4000, 'while stopped', 1)", "UPDATE life.t SET w = w + 1"]).await?;
    ensure!(dmctl.json(&["query-status", "life"]).await?["result"] == false);
    bench.start_task("life", "all", &["one"], "life").await?;
    bench.wait_stage("life", "Running", "Sync").await?;
    bench.same_rows("life").await?;
    let sums = "SELECT COUNT(*), SUM(w) FROM life.t";
    wait::until("the sums", SOON, || async {
        Ok((rows(&bench.source, sums).await? == rows(&bench.target, sums).await?).then_some(()))
    })
    .await?;
    ensure!(bench.epochs("life").await? != before, "a new life has a new epoch");
    Ok(())
}

fn task_of<'a>(summary: &'a Value, name: &str) -> Result<&'a Value> {
    let tasks = summary["tasks"].as_array().with_context(|| format!("tasks in {summary:#}"))?;
    tasks.iter().find(|task| task["taskName"] == name).with_context(|| format!("{name} in {summary:#}"))
}

/// Uses the task of the case before.
async fn status_has_dms_shape(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    let text = dmctl.run(&["query-status"]).await?.stdout;
    ensure!(text.starts_with("{\n    \"result\": true,\n    \"msg\": \"\",\n    \"tasks\": ["), "{text}");
    let summary: Value = serde_json::from_str(&text)?;
    let task = task_of(&summary, "life")?;
    ensure!(task["taskStatus"] == "Running" && task["sources"] == serde_json::json!(["one"]), "{summary:#}");

    let synced = wait::until("synced", SOON, || async {
        let answer = dmctl.json(&["query-status", "life"]).await?;
        Ok((answer["sources"][0]["subTaskStatus"][0]["sync"]["synced"] == true).then_some(answer))
    })
    .await?;
    let keys =
        |value: &Value| value.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    ensure!(keys(&synced) == ["result", "msg", "sources"], "{synced:#}");
    let source = &synced["sources"][0];
    ensure!(keys(source) == ["result", "msg", "sourceStatus", "subTaskStatus"], "{source:#}");
    ensure!(keys(&source["sourceStatus"]) == ["source", "worker", "result", "relayStatus"], "{source:#}");
    ensure!(
        source["sourceStatus"]["relayStatus"].is_null() && source["sourceStatus"]["result"].is_null(),
        "{source:#}"
    );
    let subtask = &source["subTaskStatus"][0];
    for key in ["name", "stage", "unit", "result", "unresolvedDDLLockID", "sync", "validation"] {
        ensure!(subtask.get(key).is_some(), "{key} in {subtask:#}");
    }
    ensure!(subtask["result"].is_null() && subtask["validation"].is_null(), "{subtask:#}");
    let sync = &subtask["sync"];
    for key in [
        "totalEvents",
        "totalTps",
        "recentTps",
        "secondsBehindMaster",
        "totalRows",
        "totalRps",
        "recentRps",
        "ioTotalBytes",
        "dumpIOTotalBytes",
    ] {
        ensure!(
            sync[key].as_str().is_some_and(|text| text.parse::<u64>().is_ok()),
            "{key} is a number as text: {sync:#}"
        );
    }
    for key in ["masterBinlog", "syncerBinlog"] {
        ensure!(sync[key].as_str().is_some_and(|text| text.starts_with("(mysql-bin.0")), "{key}: {sync:#}");
    }
    for key in ["masterBinlogGtid", "syncerBinlogGtid"] {
        ensure!(sync[key].as_str().is_some_and(|text| text.contains(':')), "{key}: {sync:#}");
    }
    ensure!(sync["syncerBinlogGtid"] == sync["masterBinlogGtid"], "{sync:#}");
    for key in ["blockingDDLs", "unresolvedGroups"] {
        ensure!(sync[key].as_array().is_some_and(Vec::is_empty), "{key}: {sync:#}");
    }
    ensure!(sync["binlogType"] == "remote" && sync["blockDDLOwner"] == "" && sync["conflictMsg"] == "", "{sync:#}");
    let other = dmctl.json(&["query-status", "-s", "two"]).await?;
    let other = dmctl.json(&["query-status", "--more", "-s", "two"]).await.unwrap_or(other);
    ensure!(other["sources"][0]["subTaskStatus"][0]["msg"] == "no sub task started", "{other:#}");
    let other = dmctl.json(&["query-status", "-s", "two", "life"]).await?;
    let msg = &other["sources"][0]["subTaskStatus"][0]["msg"];
    ensure!(msg == "no sub task with name life has started", "{other:#}");
    dmctl.ok(&["stop-task", "life"]).await?;
    Ok(())
}

async fn full_ends(bench: &Bench) -> Result<()> {
    bench.make_rows("only_full", 300).await?;
    bench.start_task("only-full", "full", &["one"], "only_full").await?;
    let status = bench.wait_stage("only-full", "Finished", "Load").await?;
    ensure!(
        status["result"].is_null() || status["result"]["errors"].as_array().is_some_and(Vec::is_empty),
        "{status:#}"
    );
    bench.same_rows("only_full").await?;
    bench.add_rows("only_full", 1000, 1).await?;
    ensure!(bench.count_at_target("only_full").await? == 300);
    let summary = bench.dmctl().json(&["query-status"]).await?;
    ensure!(task_of(&summary, "only-full")?["taskStatus"] == "Finished", "{summary:#}");
    // pausing what has ended is an answer, not a hang
    let paused = bench.dmctl().json(&["pause-task", "only-full"]).await?;
    ensure!(paused["result"] == true, "{paused:#}");
    bench.dmctl().ok(&["stop-task", "only-full"]).await?;
    Ok(())
}

async fn incremental_begins_now(bench: &Bench) -> Result<()> {
    bench.make_rows("incr", 5).await?;
    bench.at_target(&["CREATE DATABASE incr", "CREATE TABLE incr.t (id INT PRIMARY KEY, v VARCHAR(64))"]).await?;
    bench.start_task("incr", "incremental", &["one"], "incr").await?;
    bench.wait_stage("incr", "Running", "Sync").await?;
    bench.add_rows("incr", 100, 7).await?;
    wait::until("seven rows", SOON, || async { Ok((bench.count_at_target("incr").await? == 7).then_some(())) }).await?;
    bench.dmctl().ok(&["stop-task", "incr"]).await?;
    Ok(())
}

async fn incremental_from_meta(bench: &Bench) -> Result<()> {
    let status = rows(&bench.source, "SHOW BINARY LOG STATUS").await?;
    bench.make_rows("meta", 5).await?;
    let text = bench.task("meta", "incremental", &["one"], "meta").replace(
        "    block-allow-list",
        &format!(
            "    meta: {{binlog-name: \"{}\", binlog-pos: {}, binlog-gtid: \"{}\"}}\n    block-allow-list",
            status[0],
            status[1],
            status[4].replace('\n', "")
        ),
    );
    let file = bench.file("meta-task.yaml", &text)?;
    bench.dmctl().ok(&["start-task", &file]).await?;
    bench.same_rows("meta").await?;
    bench.dmctl().ok(&["stop-task", "meta"]).await?;
    Ok(())
}

async fn start_time(bench: &Bench) -> Result<()> {
    bench.make_rows("timed", 3).await?;
    // the binlog's clock has seconds: what begins in a later second is told from what came before
    let before = rows(&bench.source, "SELECT UNIX_TIMESTAMP()").await?[0].clone();
    wait::until("the next second", SOON, || async {
        Ok((rows(&bench.source, "SELECT UNIX_TIMESTAMP()").await?[0] != before).then_some(()))
    })
    .await?;
    let time = rows(&bench.source, "SELECT DATE_FORMAT(UTC_TIMESTAMP(), '%Y-%m-%d %H:%i:%s')").await?[0].clone();
    bench.add_rows("timed", 100, 4).await?;
    bench.at_target(&["CREATE DATABASE timed", "CREATE TABLE timed.t (id INT PRIMARY KEY, v VARCHAR(64))"]).await?;
    let file = bench.file("timed-task.yaml", &bench.task("timed", "incremental", &["one"], "timed"))?;
    bench.dmctl().ok(&["start-task", &format!("--start-time={time}Z"), &file]).await?;
    wait::until("four rows", SOON, || async { Ok((bench.count_at_target("timed").await? == 4).then_some(())) }).await?;
    // used once: a pause does not go back
    bench.dmctl().ok(&["pause-task", "timed"]).await?;
    bench.dmctl().ok(&["resume-task", "timed"]).await?;
    bench.add_rows("timed", 200, 1).await?;
    wait::until("five rows", SOON, || async { Ok((bench.count_at_target("timed").await? == 5).then_some(())) }).await?;
    bench.dmctl().ok(&["stop-task", "timed"]).await?;
    Ok(())
}

async fn remove_meta(bench: &Bench) -> Result<()> {
    bench.make_rows("again", 200).await?;
    bench.start_task("again", "all", &["one"], "again").await?;
    bench.same_rows("again").await?;
    bench.dmctl().ok(&["stop-task", "again"]).await?;
    bench.at_target(&["DROP DATABASE again"]).await?;
    bench.add_rows("again", 1000, 5).await?;
    let file = bench.file("again-task.yaml", &bench.task("again", "all", &["one"], "again"))?;
    bench.dmctl().ok(&["start-task", "--remove-meta", &file]).await?;
    bench.same_rows("again").await?;
    bench.wait_stage("again", "Running", "Sync").await?;
    bench.add_rows("again", 2000, 5).await?;
    bench.same_rows("again").await?;
    bench.dmctl().ok(&["stop-task", "again"]).await?;
    Ok(())
}

async fn one_of_two_sources(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    bench.make_rows("pair", 5).await?;
    let text = bench.task("both", "incremental", &["one", "two"], "pair");
    let file = bench.file("both-task.yaml", &text)?;
    let first = dmctl.ok(&["start-task", "-s", "one", &file]).await?;
    ensure!(first["sources"].as_array().is_some_and(|sources| sources.len() == 1), "{first:#}");
    let status = dmctl.json(&["query-status", "both"]).await?;
    ensure!(status["sources"].as_array().is_some_and(|sources| sources.len() == 1), "{status:#}");
    // the second start takes what is left and notes the other
    let second = dmctl.ok(&["start-task", &file]).await?;
    ensure!(second["sources"].as_array().is_some_and(|sources| sources.len() == 2), "{second:#}");
    dmctl.ok(&["pause-task", "-s", "two", "both"]).await?;
    let status = dmctl.json(&["query-status", "both"]).await?;
    let stages: Vec<_> = (0..2).map(|i| status["sources"][i]["subTaskStatus"][0]["stage"].clone()).collect();
    ensure!(stages == ["Running", "Paused"], "{status:#}");
    dmctl.ok(&["stop-task", "-s", "one,two", "both"]).await?;
    ensure!(dmctl.json(&["query-status", "both"]).await?["result"] == false);
    Ok(())
}

async fn all_tasks_of_a_source(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    for name in ["many_a", "many_b", "many_c"] {
        bench.make_rows(name, 3).await?;
        bench.start_task(name, "all", &["two"], name).await?;
    }
    for (command, op) in [("pause-task", "Pause"), ("resume-task", "Resume"), ("stop-task", "Delete")] {
        let text = dmctl.run(&[command, "-s", "two", "--batch-size", "2"]).await?.stdout;
        let answer: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        ensure!(answer["result"] == true, "{answer:#}");
        let tasks = answer["tasks"].as_array().context("tasks")?;
        let names: Vec<_> = tasks.iter().map(|task| task["task"].as_str().unwrap_or_default()).collect();
        ensure!(names == ["many_a", "many_b", "many_c"], "{answer:#}");
        for task in tasks {
            ensure!(task["op"] == op && task["result"] == true && task["sources"][0]["source"] == "two", "{task:#}");
        }
    }
    Ok(())
}

/// Exactly once, without a key that would hide a second time.
async fn keyless_tables(bench: &Bench) -> Result<()> {
    bench
        .at_source(&[
            "CREATE DATABASE keyless COLLATE utf8mb4_general_ci",
            "CREATE TABLE keyless.t (id INT, v VARCHAR(64))",
            "INSERT INTO keyless.t VALUES (1, 'a'), (1, 'a'), (2, NULL)",
        ])
        .await?;
    bench.start_task("keyless", "all", &["one"], "keyless").await?;
    bench.wait_stage("keyless", "Running", "Sync").await?;
    bench
        .at_source(&[
            "INSERT INTO keyless.t VALUES (1, 'a'), (2, NULL), (3, 'c')",
            "DELETE FROM keyless.t WHERE id = 1 LIMIT 1",
            "UPDATE keyless.t SET v = 'b' WHERE id = 2 LIMIT 1",
        ])
        .await?;
    for command in ["pause-task", "resume-task", "stop-task"] {
        bench.dmctl().ok(&[command, "keyless"]).await?;
        bench.at_source(&["INSERT INTO keyless.t VALUES (9, 'again')"]).await?;
    }
    bench.start_task("keyless", "all", &["one"], "keyless").await?;
    let sql = "SELECT id, v, COUNT(*) FROM keyless.t GROUP BY id, v ORDER BY id, v";
    let wanted = rows(&bench.source, sql).await?;
    wait::until("the same multiset", SOON, || async { Ok((rows(&bench.target, sql).await? == wanted).then_some(())) })
        .await
        .map_err(|error| error.context(format!("{wanted:?}")))?;
    bench.dmctl().ok(&["stop-task", "keyless"]).await?;
    Ok(())
}
