//! `binlog skip|replace|inject|revert|list`: ways past a statement that stops a task, known to the leader, kept over
//! restarts.

use anyhow::{Context, Result, ensure};
use dm_tests::{ServerKind, cluster::Options, wait};
use serde_json::Value;

use super::{
    bench::{Bench, SOON, as_root, rows},
    cases::Cases,
};

#[tokio::test(flavor = "multi_thread")]
async fn operators() {
    let mut cases = Cases::begin("operators");
    let options = Options { n_masters: 1, n_workers: 2, ..Options::default() };
    let mut bench = Bench::start(ServerKind::MariaDb, options).await.expect("start a cluster");
    bench.create_source("ops").await.expect("create a source");
    cases.run("a refused DDL is skipped", refused_is_skipped(&bench)).await;
    cases.run("a DDL the target refuses is replaced", target_refusal_is_replaced(&bench)).await;
    cases.run("a DDL nobody understands", not_understood(&bench)).await;
    cases.run("a skip given before", skip_given_before(&bench)).await;
    cases.run("operators survive the master and the worker", operators_survive(&mut bench)).await;
    cases.run("statement format stops", statement_format(&bench)).await;
    cases.run("wrong uses are refused", wrong_uses(&bench)).await;
    cases.end();
}

/// A task that stops at every TRUNCATE and DROP TABLE of its schema.
async fn start_guarded(bench: &Bench, name: &str) -> Result<()> {
    bench.make_rows(name, 10).await?;
    let text = bench
        .task(name, "all", &["ops"], name)
        .replace("    block-allow-list: \"one\"\n", "    block-allow-list: \"one\"\n    filter-rules: [\"guard\"]\n")
        + &format!(
            "filters:\n  guard: {{schema-pattern: \"{name}\", table-pattern: \"*\", events: [\"truncate table\", \"drop table\"], action: Error}}\n"
        );
    let file = bench.file(&format!("{name}.yaml"), &text)?;
    bench.dmctl().ok(&["start-task", &file]).await?;
    bench.wait_stage(name, "Running", "Sync").await?;
    bench.same_rows(name).await
}

/// `file:pos` of the startLocation in an error's message.
fn start_of(error: &Value) -> Result<String> {
    let message = error["Message"].as_str().context("a message")?;
    let rest = message.split("startLocation: [position: (").nth(1).with_context(|| format!("a start in: {message}"))?;
    let (file, rest) = rest.split_once(", ").context("a file")?;
    let (offset, _) = rest.split_once(')').context("an offset")?;
    Ok(format!("{file}:{offset}"))
}

fn listed(answer: &Value) -> Result<Vec<Value>> {
    let text = answer["sources"][0]["msg"].as_str().context("a message")?;
    serde_json::from_str(text).with_context(|| format!("a JSON list in {answer:#}"))
}

async fn refused_is_skipped(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    start_guarded(bench, "guarded").await?;
    bench.add_rows("guarded", 100, 3).await?;
    bench.at_source(&["TRUNCATE TABLE guarded.t"]).await?;
    bench.add_rows("guarded", 200, 3).await?;
    let error = bench.wait_error("guarded").await?;
    ensure!(error["ErrCode"] == 36015 && error["ErrClass"] == "sync-unit", "{error:#}");
    let message = error["Message"].as_str().unwrap_or_default();
    for part in [
        "startLocation: [position: (mysql-bin.0",
        "endLocation: [position: (mysql-bin.0",
        "origin SQL: [TRUNCATE TABLE guarded.t]",
    ] {
        ensure!(message.contains(part), "{part} in {message}");
    }
    ensure!(error["Workaround"].as_str().is_some_and(|text| text.contains("binlog skip")), "{error:#}");
    let summary = dmctl.json(&["query-status"]).await?;
    let status = summary["tasks"][0]["taskStatus"].as_str().unwrap_or_default();
    ensure!(status.starts_with("Error - Some error occurred in subtask."), "{summary:#}");
    // what came before is there, what comes after waits
    ensure!(bench.count_at_target("guarded").await? == 13);
    // resuming alone stops at the same place
    let resumed = dmctl.json(&["resume-task", "guarded"]).await?;
    ensure!(resumed["sources"][0]["result"] == false || bench.wait_error("guarded").await? == error, "{resumed:#}");
    ensure!(bench.wait_error("guarded").await? == error);
    let skipped = dmctl.ok(&["binlog", "skip", "guarded"]).await?;
    ensure!(skipped["sources"][0]["source"] == "ops", "{skipped:#}");
    wait::until("rows after the skip", SOON, || async {
        Ok((bench.count_at_target("guarded").await? == 16).then_some(()))
    })
    .await?;
    bench.wait_stage("guarded", "Running", "Sync").await?;
    let answer = dmctl.json(&["binlog", "skip", "guarded"]).await?;
    ensure!(answer["sources"][0]["result"] == false, "nothing stands: {answer:#}");
    let msg = answer["sources"][0]["msg"].as_str().unwrap_or_default();
    ensure!(msg.contains("no error"), "{answer:#}");
    dmctl.ok(&["stop-task", "guarded"]).await?;
    Ok(())
}

async fn target_refusal_is_replaced(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    bench.make_rows("replaced", 4).await?;
    bench.start_task("replaced", "all", &["ops"], "replaced").await?;
    bench.wait_stage("replaced", "Running", "Sync").await?;
    bench.same_rows("replaced").await?;
    bench.at_target(&["UPDATE replaced.t SET v = 'same'"]).await?;
    bench.at_source(&["ALTER TABLE replaced.t ADD UNIQUE INDEX u (v)"]).await?;
    bench.add_rows("replaced", 100, 2).await?;
    let error = bench.wait_error("replaced").await?;
    let message = error["Message"].as_str().unwrap_or_default();
    ensure!(message.contains("origin SQL: [ALTER TABLE replaced.t ADD UNIQUE INDEX u (v)]"), "{error:#}");
    ensure!(error["ErrScope"] == "downstream", "{error:#}");
    ensure!(error.to_string().contains("1062"), "{error:#}");
    let none = dmctl.run(&["binlog", "replace", "replaced"]).await?;
    ensure!(none.code == Some(1), "{none:?}");
    dmctl
        .ok(&[
            "binlog",
            "replace",
            "replaced",
            "ALTER TABLE replaced.t ADD INDEX u (v); ALTER TABLE replaced.t COMMENT 'by hand'",
        ])
        .await?;
    wait::until("rows after", SOON, || async { Ok((bench.count_at_target("replaced").await? == 6).then_some(())) })
        .await?;
    let made = rows(&bench.target, "SHOW CREATE TABLE replaced.t").await?;
    ensure!(
        made[1].contains("KEY `u` (`v`)") && !made[1].contains("UNIQUE") && made[1].contains("by hand"),
        "{made:?}"
    );
    dmctl.ok(&["stop-task", "replaced"]).await?;
    Ok(())
}

/// MariaDB's own syntax that the parser does not know must stop the task, never be left out.
async fn not_understood(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    bench.make_rows("parsed", 4).await?;
    bench.start_task("parsed", "all", &["ops"], "parsed").await?;
    bench.wait_stage("parsed", "Running", "Sync").await?;
    for sql in [
        "ALTER TABLE parsed.t ADD COLUMN u UUID INVISIBLE DEFAULT UUID()",
        "CREATE TABLE parsed.p (id INT, a DATE, b DATE, PERIOD FOR app (a, b))",
        "CREATE SEQUENCE parsed.s",
    ] {
        bench.at_source(&[sql]).await?;
    }
    bench.add_rows("parsed", 100, 2).await?;
    // each is carried out, or stops with the way out
    let mut n_skipped = 0;
    wait::until("the rows", SOON, || async {
        if bench.count_at_target("parsed").await? == 6 {
            return Ok(Some(true));
        }
        let status = bench.subtask("parsed").await?;
        Ok((status["stage"] == "Paused").then_some(false))
    })
    .await?;
    while bench.count_at_target("parsed").await? < 6 && n_skipped < 4 {
        let error = bench.wait_error("parsed").await?;
        println!("stopped: {}", error["Message"]);
        ensure!(error["Message"].as_str().is_some_and(|text| text.contains("origin SQL: [")), "{error:#}");
        dmctl.ok(&["binlog", "skip", "parsed"]).await?;
        n_skipped += 1;
        let same = wait::until("the next stop", SOON, || async {
            if bench.count_at_target("parsed").await? == 6 {
                return Ok(Some(()));
            }
            let status = bench.subtask("parsed").await?;
            let next = &status["result"]["errors"][0];
            Ok((status["stage"] == "Paused" && next.is_object() && *next != error).then_some(()))
        });
        same.await?;
    }
    ensure!(bench.count_at_target("parsed").await? == 6);
    dmctl.ok(&["stop-task", "parsed"]).await?;
    Ok(())
}

/// The place of a statement is known from the source's log before the task comes there.
async fn skip_given_before(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    start_guarded(bench, "ahead").await?;
    dmctl.ok(&["pause-task", "ahead"]).await?;
    let at = rows(&bench.source, "SHOW MASTER STATUS").await?;
    bench.at_source(&["TRUNCATE TABLE ahead.t", "TRUNCATE TABLE ahead.t", "ALTER TABLE ahead.t COMMENT 'new'"]).await?;
    bench.add_rows("ahead", 300, 2).await?;
    let events = rows(&bench.source, &format!("SHOW BINLOG EVENTS IN '{}' FROM {}", at[0], at[1])).await?;
    let starts = |word: &str| -> Vec<String> {
        let events = events.chunks(6).filter(|event| event[2] == "Query" && event[5].contains(word));
        events.map(|event| format!("{}:{}", event[0], event[1])).collect()
    };
    let (truncates, comments) = (starts("TRUNCATE TABLE ahead.t"), starts("COMMENT 'new'"));
    ensure!(truncates.len() == 2 && comments.len() == 1, "{events:?}");
    dmctl.ok(&["binlog", "skip", "ahead", "-b", &truncates[0], "-s", "ops"]).await?;
    dmctl
        .ok(&["binlog", "replace", "ahead", "-b", &truncates[1], "CREATE TABLE ahead.other (id INT PRIMARY KEY)"])
        .await?;
    let injected = "CREATE TABLE ahead.injected (id INT PRIMARY KEY)";
    dmctl.ok(&["binlog", "inject", "ahead", "-b", &comments[0], injected]).await?;
    let list = listed(&dmctl.ok(&["binlog", "list", "ahead"]).await?)?;
    ensure!(list.len() == 3 && list[0]["op"] == "SKIP" && list[0]["binlogPos"] == truncates[0].as_str(), "{list:?}");
    let list = listed(&dmctl.ok(&["binlog", "list", "ahead", "-b", &truncates[1]]).await?)?;
    ensure!(list.len() == 2 && list[0]["op"] == "REPLACE" && list[1]["op"] == "INJECT", "{list:?}");
    let status = bench.subtask("ahead").await?;
    ensure!(status["stage"] == "Paused", "an operator for a place does not resume a paused task: {status:#}");
    dmctl.ok(&["resume-task", "ahead"]).await?;
    wait::until("rows past both", SOON, || async { Ok((bench.count_at_target("ahead").await? == 12).then_some(())) })
        .await?;
    let tables = rows(&bench.target, "SHOW TABLES IN ahead").await?;
    ensure!(tables == ["injected", "other", "t"], "{tables:?}");
    let made = rows(&bench.target, "SHOW CREATE TABLE ahead.t").await?;
    ensure!(made[1].contains("COMMENT='new'"), "the statement itself comes after what was injected: {made:?}");
    wait::until("used operators to go", SOON, || async {
        Ok(listed(&dmctl.ok(&["binlog", "list", "ahead"]).await?)?.is_empty().then_some(()))
    })
    .await?;
    dmctl.ok(&["stop-task", "ahead"]).await?;
    Ok(())
}

async fn operators_survive(bench: &mut Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    start_guarded(bench, "survive").await?;
    bench.at_source(&["TRUNCATE TABLE survive.t", "TRUNCATE TABLE survive.t"]).await?;
    bench.add_rows("survive", 300, 2).await?;
    let error = bench.wait_error("survive").await?;
    let first = start_of(&error)?;
    dmctl.ok(&["binlog", "skip", "survive", "-b", &first]).await?;
    dmctl.ok(&["binlog", "revert", "survive", "-b", &first]).await?;
    ensure!(listed(&dmctl.ok(&["binlog", "list", "survive"]).await?)?.is_empty());
    dmctl.ok(&["binlog", "skip", "survive", "-b", &first]).await?;
    let worker = bench.worker_of("ops").await?;
    bench.cluster.process("master1")?.kill()?;
    bench.cluster.process(&worker)?.kill()?;
    bench.cluster.start_master("master1")?;
    bench.cluster.wait_leader(SOON).await?;
    // the other worker passes the first and stands on the second
    let second = wait::until("the second error", SOON, || async {
        let status = bench.subtask("survive").await?;
        let next = status["result"]["errors"][0].clone();
        Ok((status["stage"] == "Paused" && next.is_object() && next != error).then_some(next))
    })
    .await?;
    ensure!(start_of(&second)? != first, "{second:#}");
    dmctl.ok(&["binlog", "skip", "survive"]).await?;
    wait::until("rows past both", SOON, || async { Ok((bench.count_at_target("survive").await? == 12).then_some(())) })
        .await?;
    dmctl.ok(&["stop-task", "survive"]).await?;
    bench.cluster.start_worker(&worker)?;
    Ok(())
}

/// A row change as text would be lost if it were passed by.
async fn statement_format(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    bench.make_rows("texts", 4).await?;
    bench.start_task("texts", "all", &["ops"], "texts").await?;
    bench.wait_stage("texts", "Running", "Sync").await?;
    as_root(
        &bench.source,
        &["SET SESSION binlog_format = 'STATEMENT'", "UPDATE texts.t SET v = 'as text' WHERE id = 1"],
    )
    .await?;
    bench.add_rows("texts", 100, 2).await?;
    let error = bench.wait_error("texts").await?;
    let text = error.to_string();
    ensure!(text.contains("binlog_format") && text.contains("ROW"), "{error:#}");
    ensure!(text.contains("UPDATE texts.t SET v = 'as text'") && text.contains("startLocation"), "{error:#}");
    ensure!(bench.count_at_target("texts").await? == 4);
    // by hand, then past it
    bench.at_target(&["UPDATE texts.t SET v = 'as text' WHERE id = 1"]).await?;
    dmctl.ok(&["binlog", "skip", "texts"]).await?;
    bench.same_rows("texts").await?;
    // in a schema that is not replicated it stops nobody
    bench.at_source(&["CREATE DATABASE texts_other", "CREATE TABLE texts_other.t (id INT)"]).await?;
    as_root(
        &bench.source,
        &["SET SESSION binlog_format = 'STATEMENT'", "USE texts_other", "INSERT INTO texts_other.t VALUES (1)"],
    )
    .await?;
    bench.add_rows("texts", 200, 2).await?;
    bench.same_rows("texts").await?;
    dmctl.ok(&["stop-task", "texts"]).await?;
    Ok(())
}

async fn wrong_uses(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    bench.make_rows("wrong", 4).await?;
    bench.start_task("wrong", "all", &["ops"], "wrong").await?;
    bench.wait_stage("wrong", "Running", "Sync").await?;
    for words in [
        &["binlog", "skip", "wrong", "-b", "mysql-bin.000001"][..],
        &["binlog", "skip", "wrong", "-b", "x:y"],
        &["binlog", "skip", "nobody"],
        &["binlog", "skip", "wrong", "-s", "nobody"],
    ] {
        let answer = dmctl.json(words).await?;
        ensure!(answer["result"] == false && answer["msg"] != "", "{words:?}: {answer:#}");
    }
    // a replacement must be DDL with its schema named
    for sql in ["INSERT INTO wrong.t VALUES (1000, 'x')", "ALTER TABLE t ADD x INT", "no SQL at all"] {
        let answer = dmctl.json(&["binlog", "replace", "wrong", sql, "-b", "mysql-bin.999999:4"]).await?;
        let refused = answer["result"] == false || answer["sources"][0]["result"] == false;
        ensure!(refused, "`{sql}` is taken as a replacement: {answer:#}");
    }
    dmctl.ok(&["stop-task", "wrong"]).await?;
    Ok(())
}
