//! Processes die, hang and leave while rows flow: nothing is lost, nothing restarts that need not.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use dm_tests::{ServerKind, cluster::Options, wait};
use nix::sys::signal::Signal;

use super::{
    bench::{Bench, SOON, rows},
    cases::Cases,
    load::Load,
};

const END_LIMIT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn availability() {
    let mut cases = Cases::begin("availability");
    let mut bench = Bench::start(ServerKind::MariaDb, Options::default()).await.expect("start a cluster");
    bench.create_source("ha").await.expect("create a source");
    bench.make_rows("ha", 100).await.expect("make rows");
    bench.start_task("ha", "all", &["ha"], "ha").await.expect("start a task");
    bench.wait_stage("ha", "Running", "Sync").await.expect("reach sync");
    cases.run("any master takes any request", any_master(&bench)).await;
    cases.run("transfer-leader restarts nothing", transfer_leader(&mut bench)).await;
    cases.run("a killed leader restarts nothing", leader_killed(&mut bench)).await;
    cases.run("a frozen leader restarts nothing", leader_frozen(&mut bench)).await;
    cases.run("no masters for a while", no_masters(&mut bench)).await;
    cases.run("a killed worker is replaced", worker_killed(&mut bench)).await;
    cases.run("a leaving worker hands over", worker_leaves(&mut bench)).await;
    cases.run("a frozen worker is fenced", worker_frozen(&mut bench)).await;
    cases.run("stop does not wait for a frozen worker", stop_with_frozen_worker(&mut bench)).await;
    cases.run("leader and worker die together", leader_and_worker(&mut bench)).await;
    cases.run("leader dies while a worker is frozen", leader_dies_worker_frozen(&mut bench)).await;
    cases.run("a worker dies in the copy", worker_killed_in_copy(&mut bench)).await;
    cases.run("masters end when told", masters_end(&mut bench)).await;
    cases.end();
}

async fn any_master(bench: &Bench) -> Result<()> {
    for addr in bench.cluster.master_addrs() {
        let dmctl = bench.dmctl().at(&addr);
        for command in ["pause-task", "resume-task"] {
            dmctl.ok(&[command, "ha"]).await.with_context(|| format!("{command} at {addr}"))?;
        }
        let status = dmctl.ok(&["query-status", "ha"]).await?;
        ensure!(status["sources"][0]["subTaskStatus"][0]["stage"] == "Running", "{status:#}");
        dmctl.ok(&["list-member"]).await?;
        dmctl.ok(&["config", "task", "ha"]).await?;
    }
    Ok(())
}

async fn transfer_leader(bench: &mut Bench) -> Result<()> {
    let load = Load::start(&bench.source, "ha", 1_000_000);
    load.go_on(20).await?;
    let epochs = bench.epochs("ha").await?;
    for _ in 0..3 {
        let leader = bench.cluster.wait_leader(SOON).await?;
        let next = bench.cluster.master_names().into_iter().find(|name| *name != leader).context("another master")?;
        // on a busy machine another one may be elected, and the answer says so
        let answer = bench.dmctl().json(&["transfer-leader", &next]).await?;
        ensure!(answer["result"] == true || answer["msg"].as_str().is_some_and(|msg| !msg.is_empty()), "{answer:#}");
        ensure!(answer["oldLeader"] == leader.as_str() && answer["newLeader"] != leader.as_str(), "{answer:#}");
        ensure!(answer["writeGapMs"].is_number(), "{answer:#}");
        println!("transfer-leader: {} ms", answer["writeGapMs"]);
        load.go_on(20).await?;
    }
    let answer = bench.dmctl().json(&["transfer-leader", "nobody"]).await?;
    ensure!(
        answer["result"] == false && answer["msg"].as_str().is_some_and(|msg| msg.starts_with("[code=")),
        "{answer:#}"
    );
    load.stop().await?;
    bench.same_rows("ha").await?;
    ensure!(bench.epochs("ha").await? == epochs, "a subtask restarted");
    Ok(())
}

async fn leader_killed(bench: &mut Bench) -> Result<()> {
    let load = Load::start(&bench.source, "ha", 2_000_000);
    load.go_on(20).await?;
    let epochs = bench.epochs("ha").await?;
    let leader = bench.cluster.wait_leader(SOON).await?;
    bench.cluster.process(&leader)?.kill()?;
    let begun = Instant::now();
    // the others may name the dead one until they have elected
    let next = wait::until("another leader", SOON, || async {
        let answer = bench.dmctl().json(&["list-member", "-l"]).await?;
        let name = answer["members"][0]["leader"]["name"].as_str().unwrap_or_default().to_owned();
        Ok((name != leader && !name.is_empty()).then_some(name))
    })
    .await?;
    println!("leader killed: {next} leads after {:?}", begun.elapsed());
    load.go_on(50).await?;
    bench.cluster.start_master(&leader)?;
    bench.dmctl().ok(&["pause-task", "ha"]).await?;
    bench.dmctl().ok(&["resume-task", "ha"]).await?;
    load.stop().await?;
    bench.same_rows("ha").await?;
    all_alive(bench).await?;
    ensure!(bench.epochs("ha").await? == epochs, "a subtask restarted");
    Ok(())
}

async fn all_alive(bench: &Bench) -> Result<()> {
    let dmctl = bench.dmctl();
    wait::until("all masters alive", SOON, || async {
        let answer = dmctl.ok(&["list-member", "-m"]).await?;
        let masters = answer["members"][0]["master"]["masters"].as_array().context("masters")?;
        Ok(masters.iter().all(|master| master["alive"] == true).then_some(()))
    })
    .await
}

async fn leader_frozen(bench: &mut Bench) -> Result<()> {
    let load = Load::start(&bench.source, "ha", 2_500_000);
    load.go_on(20).await?;
    let epochs = bench.epochs("ha").await?;
    let leader = bench.cluster.wait_leader(SOON).await?;
    let others: Vec<String> = bench.cluster.master_names().into_iter().filter(|name| *name != leader).collect();
    bench.cluster.process(&leader)?.signal(Signal::SIGSTOP)?;
    let dmctl = bench.dmctl().at(bench.cluster.master_addr(&others[0])?);
    let next = wait::until("another leader", SOON, || async {
        let answer = dmctl.json(&["list-member", "-l"]).await?;
        let name = answer["members"][0]["leader"]["name"].as_str().unwrap_or_default().to_owned();
        Ok((name != leader && !name.is_empty()).then_some(name))
    })
    .await;
    load.go_on(20).await?;
    let paused = dmctl.ok(&["pause-task", "ha"]).await;
    let resumed = dmctl.ok(&["resume-task", "ha"]).await;
    bench.cluster.process(&leader)?.signal(Signal::SIGCONT)?;
    next?;
    paused.context("pause under the new leader")?;
    resumed.context("resume under the new leader")?;
    load.stop().await?;
    bench.same_rows("ha").await?;
    all_alive(bench).await?;
    ensure!(bench.epochs("ha").await? == epochs, "a subtask restarted");
    Ok(())
}

async fn no_masters(bench: &mut Bench) -> Result<()> {
    let epochs = bench.epochs("ha").await?;
    for name in bench.cluster.master_names() {
        bench.cluster.process(&name)?.kill()?;
    }
    let out = bench.dmctl().run(&["query-status"]).await?;
    ensure!(out.code == Some(1) && out.stderr.contains("can't connect"), "{out:?}");
    let load = Load::start(&bench.source, "ha", 3_000_000);
    load.go_on(100).await?;
    // longer than a worker may be silent
    let before = bench.count_at_target("ha").await?;
    wait::until("rows without masters", SOON, || async {
        Ok((bench.count_at_target("ha").await? > before).then_some(()))
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let before = bench.count_at_target("ha").await?;
    wait::until("rows without masters", SOON, || async {
        Ok((bench.count_at_target("ha").await? > before).then_some(()))
    })
    .await?;
    for name in bench.cluster.master_names() {
        bench.cluster.start_master(&name)?;
    }
    bench.cluster.wait_leader(SOON).await?;
    load.go_on(20).await?;
    bench.wait_stage("ha", "Running", "Sync").await?;
    bench.dmctl().ok(&["pause-task", "ha"]).await?;
    bench.dmctl().ok(&["resume-task", "ha"]).await?;
    load.stop().await?;
    bench.same_rows("ha").await?;
    ensure!(bench.epochs("ha").await? == epochs, "a subtask restarted");
    Ok(())
}

/// The worker of `ha`, and the other one.
async fn worker_and_other(bench: &Bench) -> Result<(String, String)> {
    let worker = wait::until("a worker", SOON, || async {
        let worker = bench.worker_of("ha").await?;
        Ok(Some(worker).filter(|worker| !worker.is_empty()))
    })
    .await?;
    let other = bench.cluster.worker_names().into_iter().find(|name| *name != worker).context("another worker")?;
    Ok((worker, other))
}

async fn wait_owner(bench: &Bench, worker: &str) -> Result<()> {
    wait::until(&format!("{worker} to own"), SOON, || async {
        let answer = bench.dmctl().json(&["query-status", "ha"]).await?;
        let source = &answer["sources"][0];
        let runs = source["subTaskStatus"][0]["stage"] == "Running" && source["subTaskStatus"][0]["unit"] == "Sync";
        Ok((source["sourceStatus"]["worker"] == worker && runs).then_some(()))
    })
    .await
    .map_err(|error| error.context(bench.cluster.log_tails()))
}

async fn wait_worker_stage(bench: &Bench, worker: &str, stage: &str) -> Result<()> {
    wait::until(&format!("{worker} to be {stage}"), SOON, || async {
        let answer = bench.dmctl().ok(&["list-member", "-w", "-n", worker]).await?;
        Ok((answer["members"][0]["worker"]["workers"][0]["stage"] == stage).then_some(()))
    })
    .await
}

async fn worker_killed(bench: &mut Bench) -> Result<()> {
    let (worker, other) = worker_and_other(bench).await?;
    let load = Load::start(&bench.source, "ha", 4_000_000);
    load.go_on(30).await?;
    let epochs = bench.epochs("ha").await?;
    bench.cluster.process(&worker)?.kill()?;
    let begun = Instant::now();
    wait_owner(bench, &other).await?;
    println!("worker killed: {other} runs after {:?}", begun.elapsed());
    load.go_on(30).await?;
    load.stop().await?;
    bench.same_rows("ha").await?;
    ensure!(bench.epochs("ha").await? != epochs, "a new owner has a new epoch");
    wait_worker_stage(bench, &worker, "offline").await?;
    bench.cluster.start_worker(&worker)?;
    wait_worker_stage(bench, &worker, "free").await
}

async fn worker_leaves(bench: &mut Bench) -> Result<()> {
    let (worker, other) = worker_and_other(bench).await?;
    let load = Load::start(&bench.source, "ha", 5_000_000);
    load.go_on(30).await?;
    let begun = Instant::now();
    let code = bench.cluster.process(&worker)?.terminate(END_LIMIT)?;
    println!("worker told to leave: ended after {:?}", begun.elapsed());
    ensure!(code == Some(0), "ended with {code:?}\n{}", bench.cluster.process(&worker)?.log_tail(20));
    wait_owner(bench, &other).await?;
    println!("worker told to leave: {other} runs after {:?}", begun.elapsed());
    load.go_on(30).await?;
    load.stop().await?;
    bench.same_rows("ha").await?;
    bench.cluster.start_worker(&worker)?;
    wait_worker_stage(bench, &worker, "free").await
}

async fn worker_frozen(bench: &mut Bench) -> Result<()> {
    let (worker, other) = worker_and_other(bench).await?;
    let load = Load::start(&bench.source, "ha", 6_000_000);
    load.go_on(30).await?;
    bench.cluster.process(&worker)?.signal(Signal::SIGSTOP)?;
    let begun = Instant::now();
    let taken = wait_owner(bench, &other).await;
    println!("worker frozen: {other} runs after {:?}", begun.elapsed());
    let went_on = load.go_on(30).await;
    bench.cluster.process(&worker)?.signal(Signal::SIGCONT)?;
    taken?;
    went_on?;
    load.go_on(30).await?;
    load.stop().await?;
    bench.same_rows("ha").await?;
    wait_worker_stage(bench, &worker, "free").await?;
    ensure!(bench.worker_of("ha").await? == other);
    let log = std::fs::read_to_string(&bench.cluster.process(&worker)?.log)?;
    ensure!(
        log.contains("another owner holds the target") || log.contains("session expired"),
        "the thawed worker does not say what happened:\n{log}"
    );
    let owners =
        rows(&bench.target, "SELECT COUNT(DISTINCT epoch) FROM dm_meta.dm_fence_lane WHERE task = 'ha'").await?;
    ensure!(owners == ["1"], "{owners:?}");
    Ok(())
}

/// The target is fenced before the operator is told that the task has stopped.
async fn stop_with_frozen_worker(bench: &mut Bench) -> Result<()> {
    bench.make_rows("frozen", 20).await?;
    bench.start_task("frozen", "all", &["ha"], "frozen").await?;
    bench.wait_stage("frozen", "Running", "Sync").await?;
    let (worker, _) = worker_and_other(bench).await?;
    bench.cluster.process(&worker)?.signal(Signal::SIGSTOP)?;
    let stopped = bench.dmctl().ok(&["stop-task", "frozen"]).await;
    let before = bench.count_at_target("frozen").await;
    let added = bench.add_rows("frozen", 1000, 5).await;
    bench.cluster.process(&worker)?.signal(Signal::SIGCONT)?;
    stopped?;
    added?;
    let before = before?;
    bench.wait_stage("ha", "Running", "Sync").await?;
    bench.add_rows("ha", 7_000_000, 5).await?;
    bench.same_rows("ha").await?;
    ensure!(bench.count_at_target("frozen").await? == before, "a stopped task wrote");
    Ok(())
}

async fn leader_and_worker(bench: &mut Bench) -> Result<()> {
    let (worker, other) = worker_and_other(bench).await?;
    let leader = bench.cluster.wait_leader(SOON).await?;
    let load = Load::start(&bench.source, "ha", 8_000_000);
    load.go_on(30).await?;
    bench.cluster.process(&leader)?.kill()?;
    bench.cluster.process(&worker)?.kill()?;
    let begun = Instant::now();
    wait_owner(bench, &other).await?;
    println!("leader and worker killed: {other} runs after {:?}", begun.elapsed());
    load.go_on(30).await?;
    load.stop().await?;
    bench.same_rows("ha").await?;
    bench.cluster.start_master(&leader)?;
    bench.cluster.start_worker(&worker)?;
    wait_worker_stage(bench, &worker, "free").await?;
    all_alive(bench).await
}

/// Nothing tells the new leader that the worker hangs, but its silence.
async fn leader_dies_worker_frozen(bench: &mut Bench) -> Result<()> {
    let (worker, other) = worker_and_other(bench).await?;
    let leader = bench.cluster.wait_leader(SOON).await?;
    let load = Load::start(&bench.source, "ha", 8_500_000);
    load.go_on(30).await?;
    bench.cluster.process(&worker)?.signal(Signal::SIGSTOP)?;
    bench.cluster.process(&leader)?.kill()?;
    let begun = Instant::now();
    let taken = wait_owner(bench, &other).await;
    println!("leader killed, worker frozen: {other} runs after {:?}", begun.elapsed());
    bench.cluster.process(&worker)?.signal(Signal::SIGCONT)?;
    taken?;
    load.go_on(30).await?;
    load.stop().await?;
    bench.same_rows("ha").await?;
    bench.cluster.start_master(&leader)?;
    wait_worker_stage(bench, &worker, "free").await?;
    all_alive(bench).await
}

async fn worker_killed_in_copy(bench: &mut Bench) -> Result<()> {
    let (worker, other) = worker_and_other(bench).await?;
    bench.make_rows("copied", 1).await?;
    for part in 0..20 {
        bench.add_rows("copied", 1000 + part * 10_000, 10_000).await?;
    }
    let text =
        bench.task("copied", "all", &["ha"], "copied").replace("{threads: 2}", "{threads: 2, chunk-filesize: \"1\"}");
    let file = bench.file("copied.yaml", &text)?;
    bench.dmctl().ok(&["start-task", &file]).await?;
    wait::until("some rows", SOON, || async { Ok((bench.count_at_target("copied").await? > 1000).then_some(())) })
        .await?;
    bench.cluster.process(&worker)?.kill()?;
    bench.add_rows("copied", 1_000_000, 100).await?;
    bench.at_source(&["UPDATE copied.t SET v = 'changed' WHERE id % 7 = 0"]).await?;
    wait_owner(bench, &other).await?;
    bench.same_rows("copied").await?;
    bench.wait_stage("copied", "Running", "Sync").await?;
    bench.dmctl().ok(&["stop-task", "copied"]).await?;
    bench.cluster.start_worker(&worker)?;
    wait_worker_stage(bench, &worker, "free").await
}

/// Last, for it takes the masters away.
async fn masters_end(bench: &mut Bench) -> Result<()> {
    let leader = bench.cluster.wait_leader(SOON).await?;
    let mut names = bench.cluster.master_names();
    names.sort_by_key(|name| *name != leader);
    for (name, signal) in names.iter().zip([Signal::SIGTERM, Signal::SIGHUP, Signal::SIGTERM]) {
        let begun = Instant::now();
        bench.cluster.process(name)?.signal(signal)?;
        let code = bench.cluster.process(name)?.wait_exit(END_LIMIT)?;
        println!("{name} got {signal}: ended with {code:?} after {:?}", begun.elapsed());
        ensure!(code == Some(0), "{name} ended with {code:?} after {signal}");
        for addr in [bench.cluster.master_addr(name)?, bench.cluster.peer_addr(name)?] {
            TcpListener::bind(&addr).with_context(|| format!("{name} left {addr} taken"))?;
        }
    }
    bench.add_rows("ha", 9_000_000, 5).await?;
    bench.same_rows("ha").await?;
    for name in bench.cluster.worker_names() {
        bench.cluster.process(&name)?.signal(Signal::SIGHUP)?;
        let code = bench.cluster.process(&name)?.wait_exit(END_LIMIT)?;
        ensure!(code == Some(0), "{name} ended with {code:?}");
    }
    Ok(())
}
