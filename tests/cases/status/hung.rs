//! Parts that hang: status is answered within a second, and says what hangs.

use anyhow::{Context, Result, ensure};
use dm_tests::{ServerKind, cluster::Options, wait};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{
    ask::{in_time, metrics_in_time, number},
    bench::{Bench, SOON},
    cases::Cases,
};

#[tokio::test(flavor = "multi_thread")]
async fn hung() {
    let mut cases = Cases::begin("status with parts that hang");
    let options = Options { n_masters: 3, n_workers: 1, ..Options::default() };
    let mut bench = Bench::start(ServerKind::MariaDb, options).await.expect("start a cluster");
    bench.create_source("one").await.expect("create a source");
    cases.run("a source", source(&bench)).await;
    cases.run("a target", target(&bench)).await;
    cases.run("a worker", worker(&mut bench)).await;
    cases.run("no quorum", no_quorum(&mut bench)).await;
    cases.end();
}

/// Everything a person would ask, at every process that is said to answer.
async fn ask_all(bench: &Bench, asks_worker: bool) -> Result<Value> {
    let members = in_time(&bench.dmctl(), &["list-member"]).await?;
    ensure!(members["result"] == true, "{members:#}");
    let detail = in_time(&bench.dmctl(), &["query-status", "s"]).await?;
    in_time(&bench.dmctl(), &["query-status"]).await?;
    for master in bench.cluster.master_addrs() {
        metrics_in_time(&master).await?;
    }
    if asks_worker {
        metrics_in_time(&bench.cluster.worker_addr("worker1")?).await?;
    }
    Ok(detail)
}

async fn source(bench: &Bench) -> Result<()> {
    bench.make_rows("s", 100).await?;
    bench.start_task("s", "all", &["one"], "s").await?;
    bench.wait_stage("s", "Running", "Sync").await?;
    bench.same_rows("s").await?;
    bench.source.freeze()?;
    let seen = async {
        ask_all(bench, true).await?;
        wait::until("the source's silence", SOON, || async {
            let answer = in_time(&bench.dmctl(), &["query-status", "s"]).await?;
            let source = &answer["sources"][0];
            let error = &source["sourceStatus"]["result"]["errors"][0];
            Ok((error["ErrCode"] == 10002).then(|| source.clone()))
        })
        .await
    };
    let seen = seen.await;
    bench.source.thaw()?;
    let seen = seen?;
    let sync = &seen["subTaskStatus"][0]["sync"];
    ensure!(sync["masterBinlog"] == "" && sync["masterBinlogGtid"] == "" && sync["synced"] == false, "{seen:#}");
    ensure!(sync["syncerBinlog"] != "", "{seen:#}");
    bench.add_rows("s", 1_000, 5).await?;
    bench.same_rows("s").await?;
    wait::until("the source's words", SOON, || async {
        let answer = bench.dmctl().json(&["query-status", "s"]).await?;
        Ok(answer["sources"][0]["sourceStatus"]["result"].is_null().then_some(()))
    })
    .await
}

async fn target(bench: &Bench) -> Result<()> {
    bench.target.freeze()?;
    let seen = async {
        bench.add_rows("s", 2_000, 5).await?;
        wait::until("lag", SOON, || async {
            let answer = ask_all(bench, true).await?;
            let sync = &answer["sources"][0]["subTaskStatus"][0]["sync"];
            Ok((number(sync, "secondsBehindMaster")? >= 2).then_some(()))
        })
        .await
    };
    let seen = seen.await;
    bench.target.thaw()?;
    seen?;
    bench.same_rows("s").await
}

async fn worker(bench: &mut Bench) -> Result<()> {
    bench.cluster.process("worker1")?.signal(Signal::SIGSTOP)?;
    let seen = async {
        ask_all(bench, false).await?;
        wait::until("the worker's silence", SOON, || async {
            let answer = in_time(&bench.dmctl(), &["query-status", "s"]).await?;
            let source = &answer["sources"][0];
            let says_so = source["msg"].as_str().is_some_and(|msg| msg.contains("silent"));
            // after its time to live it has the source no more
            Ok((says_so || source["result"] == false).then(|| source.clone()))
        })
        .await?;
        wait::until("the worker to be offline", SOON, || async {
            let answer = in_time(&bench.dmctl(), &["list-member", "--worker"]).await?;
            Ok((answer["members"][0]["worker"]["workers"][0]["stage"] == "offline").then_some(()))
        })
        .await
    };
    let seen = seen.await;
    bench.cluster.process("worker1")?.signal(Signal::SIGCONT)?;
    seen?;
    bench.add_rows("s", 3_000, 5).await?;
    bench.same_rows("s").await
}

async fn no_quorum(bench: &mut Bench) -> Result<()> {
    let leader = bench.cluster.wait_leader(SOON).await?;
    let names = bench.cluster.master_names();
    let left = names.iter().find(|name| **name != leader).context("a follower")?.clone();
    for (at, stopped) in [(&left, &leader), (&leader, &left)] {
        // first a follower that is alone, then a leader that is
        let others: Vec<&String> = names.iter().filter(|name| *name != at).collect();
        for name in &others {
            bench.cluster.process(name)?.signal(Signal::SIGSTOP)?;
        }
        let seen = alone(bench, at).await;
        for name in &others {
            bench.cluster.process(name)?.signal(Signal::SIGCONT)?;
        }
        seen.with_context(|| format!("{at} alone, without {stopped}"))?;
        bench.cluster.wait_leader(SOON).await?;
    }
    bench.add_rows("s", 4_000, 5).await?;
    bench.same_rows("s").await
}

async fn alone(bench: &Bench, master: &str) -> Result<()> {
    let addr = bench.cluster.master_addr(master)?;
    let dmctl = bench.dmctl().at(addr.clone());
    wait::until("a master that knows it is alone", SOON, || async {
        let mut says_so = true;
        for args in [&["query-status", "s"][..], &["query-status"], &["list-member"]] {
            let answer = in_time(&dmctl, args).await?;
            says_so &= answer["msg"].as_str().is_some_and(|msg| msg.contains("no leader"));
        }
        metrics_in_time(&addr).await?;
        Ok(says_so.then_some(()))
    })
    .await
}
