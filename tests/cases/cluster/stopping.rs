//! Stop means stopped: once `stop-task` or `pause-task` was answered, nothing is written for the task, whatever its worker
//! does: frozen at any moment, dead, or cut off from the masters and working on.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dm_tests::{ServerKind, cluster::Options, wait};
use nix::sys::signal::Signal;

use super::{
    bench::{Bench, SOON, rows},
    cases::Cases,
};

/// How long a thawed worker may act before the masters come back.
const HARM: Duration = Duration::from_secs(2);

/// When the worker is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// As soon as the worker has begun to act for the task.
    Begun,
    Copying,
    InSync,
}

/// What the operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Stop,
    Pause,
    /// Only after the worker was given up: another one may hold the task already, and has not touched the target.
    StopLate,
    PauseLate,
    /// Stop, and then everything the target knows of the task goes while the worker is still frozen.
    StopAndRemoveMeta,
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping() {
    let mut cases = Cases::begin("stopping");
    let mut bench = Bench::start(ServerKind::MariaDb, Options::default()).await.expect("start a cluster");
    bench.create_source("src").await.expect("create a source");
    for (moment, at) in [(Moment::Begun, "begun"), (Moment::Copying, "copying"), (Moment::InSync, "sync")] {
        for (ask, asked) in [(Ask::Stop, "stop"), (Ask::Pause, "pause")] {
            let task = format!("{asked}_{at}");
            cases.run(&format!("{asked} with a worker frozen at: {at}"), frozen(&mut bench, &task, moment, ask)).await;
        }
    }
    for (ask, task) in [(Ask::StopLate, "stop_late"), (Ask::PauseLate, "pause_late")] {
        cases.run(&format!("{task} with a frozen worker"), frozen(&mut bench, task, Moment::InSync, ask)).await;
    }
    let case = frozen(&mut bench, "remove", Moment::Begun, Ask::StopAndRemoveMeta);
    cases.run("remove-meta while the old worker is frozen", case).await;
    cases.run("stop with a dead worker", dead(&mut bench)).await;
    cases.run("stop with no worker at all", no_worker(&mut bench)).await;
    cases.end();
}

async fn worker(bench: &Bench) -> Result<String> {
    wait::until("a worker", SOON, || async {
        Ok(Some(bench.worker_of("src").await?).filter(|worker| !worker.is_empty()))
    })
    .await
}

async fn wait_stage_of(bench: &Bench, worker: &str, offline: bool) -> Result<()> {
    wait::until(&format!("{worker} to be offline: {offline}"), SOON, || async {
        let answer = bench.dmctl().ok(&["list-member", "-w", "-n", worker]).await?;
        let stage = answer["members"][0]["worker"]["workers"][0]["stage"].as_str().unwrap_or_default().to_owned();
        Ok(((stage == "offline") == offline).then_some(()))
    })
    .await
}

/// The worker is thawed while no master can tell it anything: what stops it is the target alone.
async fn frozen(bench: &mut Bench, task: &str, moment: Moment, ask: Ask) -> Result<()> {
    bench.make_rows(task, 20).await?;
    if moment == Moment::Copying {
        for part in 0..20 {
            bench.add_rows(task, 1_000 + part * 10_000, 10_000).await?;
        }
    }
    let text = bench.task(task, "all", &["src"], task).replace("{threads: 2}", "{threads: 2, chunk-filesize: \"1\"}");
    let file = bench.file(&format!("{task}.yaml"), &text)?;
    let worker = worker(bench).await?;
    reach(bench, task, &file, &worker, moment).await?;
    bench.cluster.process(&worker)?.signal(Signal::SIGSTOP)?;
    let held = epochs(bench, task).await?;
    let asked = ask_for(bench, task, &file, &worker, ask).await;
    let before = counted(bench, task).await;
    let fenced = epochs(bench, task).await;
    let added = bench.add_rows(task, 1_000_000, 5).await;
    let masters = bench.cluster.master_names();
    for name in &masters {
        bench.cluster.process(name)?.signal(Signal::SIGSTOP)?;
    }
    bench.cluster.process(&worker)?.signal(Signal::SIGCONT)?;
    let tried = if asked.is_ok() { try_harm(bench, task, &worker).await } else { Ok(()) };
    for name in &masters {
        bench.cluster.process(name)?.signal(Signal::SIGCONT)?;
    }
    asked?;
    added?;
    let fenced = fenced?;
    ensure!(fenced.len() == 1 && fenced != held, "answered without a fence: {held:?} before, {fenced:?} after");
    tried?;
    wait_stage_of(bench, &worker, false).await?;
    ensure!(counted(bench, task).await? == before?, "a task that is not to run wrote");
    let owners = rows(
        &bench.target,
        &format!("SELECT COUNT(DISTINCT epoch), COUNT(*) > 0 FROM dm_meta.dm_fence_lane WHERE task = '{task}'"),
    )
    .await?;
    ensure!(owners == ["1", "1"], "{owners:?}");
    match ask {
        Ask::Stop | Ask::StopLate => {}
        Ask::Pause | Ask::PauseLate => {
            bench.dmctl().ok(&["resume-task", task]).await?;
            bench.same_rows(task).await?;
            bench.dmctl().ok(&["stop-task", task]).await?;
        }
        Ask::StopAndRemoveMeta => return Ok(()),
    }
    // what it was stopped at is what it goes on from
    if ask == Ask::Stop {
        bench.dmctl().ok(&["start-task", &file]).await?;
        bench.same_rows(task).await?;
        bench.dmctl().ok(&["stop-task", task]).await?;
    }
    Ok(())
}

async fn reach(bench: &mut Bench, task: &str, file: &str, worker: &str, moment: Moment) -> Result<()> {
    let dmctl = bench.dmctl();
    let words = ["start-task".to_owned(), file.to_owned()];
    let start = tokio::spawn(async move { dmctl.json(&[&words[0], &words[1]]).await });
    match moment {
        Moment::Begun => {
            let begun = format!("[subtask={task}/src]");
            let log = bench.cluster.process(worker)?.log.clone();
            wait::until("the worker to begin", SOON, || async {
                let text = std::fs::read_to_string(&log)?;
                Ok(text.lines().any(|line| line.contains("starting subtask") && line.contains(&begun)).then_some(()))
            })
            .await?;
            // the answer comes when the worker was given up, or says that it waits
            drop(start);
            return Ok(());
        }
        Moment::Copying => {
            wait::until("some rows", SOON, || async { Ok((counted(bench, task).await? > 1_000).then_some(())) })
                .await?;
        }
        Moment::InSync => {
            bench.wait_stage(task, "Running", "Sync").await?;
        }
    }
    drop(start);
    Ok(())
}

/// Rows in the target; none while there is no table.
async fn counted(bench: &Bench, schema: &str) -> Result<u64> {
    let sql =
        format!("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '{schema}' AND table_name = 't'");
    if rows(&bench.target, &sql).await? == ["0"] { Ok(0) } else { bench.count_at_target(schema).await }
}

/// Tokens in the target; none while there is no table.
async fn epochs(bench: &Bench, task: &str) -> Result<Vec<String>> {
    let sql = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'dm_meta' AND table_name = 'dm_fence_lane'";
    if rows(&bench.target, sql).await? == ["0"] { Ok(Vec::new()) } else { bench.epochs(task).await }
}

async fn ask_for(bench: &Bench, task: &str, file: &str, worker: &str, ask: Ask) -> Result<()> {
    let dmctl = bench.dmctl();
    let when_free = async |command: &str| {
        wait::until(&format!("{command} to be taken"), SOON, || async {
            let answer = dmctl.json(&[command, task]).await?;
            // start-task may still hold the task
            let busy = answer["msg"].as_str().is_some_and(|msg| msg.contains("code=46024"));
            ensure!(busy || answer["result"] == true && answer["sources"][0]["result"] == true, "{answer:#}");
            Ok((!busy).then_some(()))
        })
        .await
    };
    match ask {
        Ask::Stop => when_free("stop-task").await,
        Ask::Pause => when_free("pause-task").await,
        Ask::StopLate | Ask::PauseLate => {
            wait_stage_of(bench, worker, true).await?;
            when_free(if ask == Ask::StopLate { "stop-task" } else { "pause-task" }).await
        }
        Ask::StopAndRemoveMeta => {
            when_free("stop-task").await?;
            // started anew from nothing, and stopped before the frozen worker wakes up
            dmctl.ok(&["start-task", "--remove-meta", file]).await?;
            dmctl.ok(&["stop-task", task]).await.map(|_| ())
        }
    }
}

/// Gives the thawed worker time to do harm: until it says that it has noticed, or a while.
async fn try_harm(bench: &mut Bench, task: &str, worker: &str) -> Result<()> {
    let log = bench.cluster.process(worker)?.log.clone();
    let noticed = wait::until("the thawed worker to notice", HARM, || async {
        let text = std::fs::read_to_string(&log)?;
        let noticed =
            |line: &str| line.contains(task) && (line.contains("another owner holds") || line.contains("fenced"));
        Ok(text.lines().any(noticed).then_some(()))
    })
    .await;
    println!("{task}: the thawed worker {}", if noticed.is_ok() { "was fenced" } else { "did not try" });
    Ok(())
}

async fn dead(bench: &mut Bench) -> Result<()> {
    bench.make_rows("dead", 20).await?;
    bench.start_task("dead", "all", &["src"], "dead").await?;
    bench.wait_stage("dead", "Running", "Sync").await?;
    let worker = worker(bench).await?;
    bench.cluster.process(&worker)?.kill()?;
    let begun = std::time::Instant::now();
    bench.dmctl().ok(&["stop-task", "dead"]).await?;
    println!("stop with a dead worker: {:?}", begun.elapsed());
    bench.add_rows("dead", 1_000, 5).await?;
    ensure!(bench.count_at_target("dead").await? == 20);
    bench.cluster.start_worker(&worker)?;
    wait_stage_of(bench, &worker, false).await
}

async fn no_worker(bench: &mut Bench) -> Result<()> {
    bench.make_rows("alone", 20).await?;
    bench.start_task("alone", "all", &["src"], "alone").await?;
    bench.wait_stage("alone", "Running", "Sync").await?;
    let workers = bench.cluster.worker_names();
    for name in &workers {
        bench.cluster.process(name)?.kill()?;
    }
    for name in &workers {
        wait_stage_of(bench, name, true).await?;
    }
    let begun = std::time::Instant::now();
    bench.dmctl().ok(&["pause-task", "alone"]).await?;
    bench.dmctl().ok(&["stop-task", "alone"]).await?;
    ensure!(begun.elapsed() < Duration::from_secs(20), "nobody had to be waited for");
    for name in &workers {
        bench.cluster.start_worker(name)?;
        wait_stage_of(bench, name, false).await?;
    }
    Ok(())
}
