//! Logs that are gone, sources that begin anew, and targets that another cluster holds.

use anyhow::{Result, ensure};
use dm_tests::{
    Server, ServerKind, ServerOptions,
    cluster::{Cluster, Options},
    wait,
};

use super::{
    bench::{Bench, SOON, execute, rows, source_text},
    cases::Cases,
};

#[tokio::test(flavor = "multi_thread")]
async fn histories() {
    let mut cases = Cases::begin("histories");
    let options = Options { n_masters: 1, n_workers: 1, ..Options::default() };
    let bench = Bench::start(ServerKind::MariaDb, options).await.expect("start a cluster");
    bench.create_source("src").await.expect("create a source");
    for kind in ServerKind::ALL {
        cases.run(&format!("purged binlogs ({})", kind.as_str()), purged_binlogs(&bench, kind)).await;
        cases.run(&format!("a source that begins anew ({})", kind.as_str()), source_begins_anew(&bench, kind)).await;
    }
    cases.run("a source restarts", source_restarts(&bench)).await;
    cases.run("rows of another cluster", rows_of_another_cluster(&bench)).await;
    cases.end();
}

/// A server of its own, a task on it in sync, and a name for both.
async fn own_source(bench: &Bench, kind: ServerKind, name: &str, by_gtid: bool) -> Result<Server> {
    let server = Server::start(kind, ServerOptions::default().with_server_id(9)).await?;
    execute(
        &server,
        &[
            &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
            &format!("CREATE TABLE {name}.t (id INT PRIMARY KEY, v VARCHAR(64))"),
            &format!("INSERT INTO {name}.t VALUES (1, 'a'), (2, 'b')"),
        ],
    )
    .await?;
    let text = source_text(name, &server).replace("enable-gtid: true", &format!("enable-gtid: {by_gtid}"));
    let file = bench.file(&format!("{name}-source.yaml"), &text)?;
    bench.dmctl().ok(&["operate-source", "create", &file]).await?;
    bench.start_task(name, "all", &[name], name).await?;
    bench.wait_stage(name, "Running", "Sync").await?;
    Ok(server)
}

async fn end(bench: &Bench, name: &str) -> Result<()> {
    bench.dmctl().ok(&["stop-task", name]).await?;
    bench.dmctl().ok(&["operate-source", "stop", name]).await?;
    Ok(())
}

fn flush(kind: ServerKind) -> &'static str {
    match kind {
        ServerKind::MariaDb | ServerKind::MySql => "FLUSH BINARY LOGS",
    }
}

async fn purged_binlogs(bench: &Bench, kind: ServerKind) -> Result<()> {
    for by_gtid in [true, false] {
        let name = format!("purged_{}_{}", kind.as_str(), u8::from(by_gtid));
        let server = own_source(bench, kind, &name, by_gtid).await?;
        bench.dmctl().ok(&["pause-task", &name]).await?;
        execute(&server, &[&format!("INSERT INTO {name}.t VALUES (3, 'lost')"), flush(kind), flush(kind)]).await?;
        let logs = rows(&server, "SHOW BINARY LOGS").await?;
        let newest = logs.iter().rfind(|text| text.starts_with("mysql-bin.")).cloned().unwrap_or_default();
        wait::until("the logs to be purged", SOON, || async {
            execute(&server, &[&format!("PURGE BINARY LOGS TO '{newest}'")]).await?;
            let left = rows(&server, "SHOW BINARY LOGS").await?;
            Ok((left[0] == newest).then_some(()))
        })
        .await?;
        bench.dmctl().json(&["resume-task", &name]).await?;
        let error = bench.wait_error(&name).await?;
        println!("{name}: {} {} {}", error["ErrCode"], error["Message"], error["RawCause"]);
        ensure!(error["ErrCode"] == 36069 && error["ErrScope"] == "upstream", "{error:#}");
        ensure!(error.to_string().contains("startLocation"), "{error:#}");
        ensure!(error["Workaround"].as_str().is_some_and(|text| !text.is_empty()), "{error:#}");
        let n_rows = rows(&bench.target, &format!("SELECT COUNT(*) FROM {name}.t")).await?;
        ensure!(n_rows == ["2"], "{n_rows:?}");
        end(bench, &name).await?;
    }
    Ok(())
}

async fn source_begins_anew(bench: &Bench, kind: ServerKind) -> Result<()> {
    for by_gtid in [true, false] {
        let name = format!("anew_{}_{}", kind.as_str(), u8::from(by_gtid));
        let server = own_source(bench, kind, &name, by_gtid).await?;
        for i in 10..40 {
            execute(&server, &[&format!("INSERT INTO {name}.t VALUES ({i}, 'before')")]).await?;
        }
        wait::until("the rows", SOON, || async {
            Ok((rows(&bench.target, &format!("SELECT COUNT(*) FROM {name}.t")).await? == ["32"]).then_some(()))
        })
        .await?;
        bench.dmctl().ok(&["pause-task", &name]).await?;
        let reset = match kind {
            ServerKind::MariaDb => "RESET MASTER",
            ServerKind::MySql => "RESET BINARY LOGS AND GTIDS",
        };
        execute(&server, &[reset, &format!("INSERT INTO {name}.t VALUES (100, 'other history')")]).await?;
        bench.dmctl().json(&["resume-task", &name]).await?;
        let error = bench.wait_error(&name).await?;
        println!("{name}: {} {} {}", error["ErrCode"], error["Message"], error["RawCause"]);
        ensure!(error["ErrCode"].as_u64().is_some_and(|code| code != 50000), "{error:#}");
        ensure!(error["ErrScope"] == "upstream" && error["Workaround"] != "", "{error:#}");
        let n_rows = rows(&bench.target, &format!("SELECT COUNT(*) FROM {name}.t")).await?;
        ensure!(n_rows == ["32"], "{n_rows:?}");
        end(bench, &name).await?;
    }
    Ok(())
}

/// Not a mistake of anybody: the stream breaks and goes on by itself.
async fn source_restarts(bench: &Bench) -> Result<()> {
    let mut server = own_source(bench, ServerKind::MariaDb, "restarted", true).await?;
    for i in [100, 101] {
        if i == 100 {
            server.restart().await?
        } else {
            server.kill();
            server.start_again().await?
        }
        execute(&server, &[&format!("INSERT INTO restarted.t VALUES ({i}, 'after')")]).await?;
        let wanted = (i - 97).to_string();
        wait::until("the row after a restart", SOON, || async {
            Ok((rows(&bench.target, "SELECT COUNT(*) FROM restarted.t").await? == [wanted.as_str()]).then_some(()))
        })
        .await?;
    }
    end(bench, "restarted").await
}

async fn rows_of_another_cluster(bench: &Bench) -> Result<()> {
    bench.make_rows("foreign_rows", 20).await?;
    bench.start_task("foreign", "all", &["src"], "foreign_rows").await?;
    bench.wait_stage("foreign", "Running", "Sync").await?;
    bench.same_rows("foreign_rows").await?;
    let folder = bench.folder().join("other");
    let other = Cluster::start(&folder, Options { n_masters: 1, n_workers: 1, ..Options::default() }).await?;
    let dmctl = other.dmctl();
    let source = bench.file("foreign-source.yaml", &bench.source_text("src"))?;
    dmctl.ok(&["operate-source", "create", &source]).await?;
    let task = bench.file("foreign-task.yaml", &bench.task("foreign", "all", &["src"], "foreign_rows"))?;
    let answer = dmctl.json(&["start-task", &task]).await?;
    ensure!(answer["sources"][0]["result"] == false, "{answer:#}");
    let message = answer["sources"][0]["msg"].as_str().unwrap_or_default();
    ensure!(message.contains("code=60001:") && message.contains("--take-over"), "{answer:#}");
    let status = dmctl.json(&["query-status", "foreign"]).await?;
    ensure!(status["sources"][0]["subTaskStatus"][0]["result"]["errors"][0]["ErrCode"] == 60001, "{status:#}");
    // the owner is not disturbed
    bench.add_rows("foreign_rows", 100, 5).await?;
    bench.same_rows("foreign_rows").await?;
    ensure!(bench.subtask("foreign").await?["stage"] == "Running");
    // nor by meta data being removed
    dmctl.ok(&["stop-task", "foreign"]).await?;
    let answer = dmctl.json(&["start-task", "--remove-meta", &task]).await?;
    ensure!(
        answer["result"] == false && answer["msg"].as_str().is_some_and(|msg| msg.contains("code=60001:")),
        "{answer:#}"
    );
    bench.add_rows("foreign_rows", 200, 5).await?;
    bench.same_rows("foreign_rows").await?;
    // on purpose: the new owner goes on where the old one was, the old one is fenced
    dmctl.ok(&["start-task", "--take-over", &task]).await?;
    let error = bench.wait_stopped("foreign").await?;
    println!("the former owner says: {error:#}");
    bench.add_rows("foreign_rows", 300, 5).await?;
    bench.same_rows("foreign_rows").await?;
    let status = dmctl.json(&["query-status", "foreign"]).await?;
    ensure!(status["sources"][0]["subTaskStatus"][0]["stage"] == "Running", "{status:#}");
    bench.dmctl().json(&["stop-task", "foreign"]).await?;
    bench.add_rows("foreign_rows", 400, 5).await?;
    bench.same_rows("foreign_rows").await
}
