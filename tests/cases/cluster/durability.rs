//! Masters are killed again and again while the control plane is written to: what was acknowledged is read by every one of
//! them afterwards, and rows flow all the time. `DM_KILLS` sets how often, 30 unless given.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use dm_tests::{ServerKind, cluster::Options};

use super::{
    bench::{Bench, SOON},
    cases::Cases,
    load::Load,
    writes::{Writes, nothing_lost},
};

/// Kills between two reads of everything.
const ROUND: u64 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn durability() {
    let mut cases = Cases::begin("durability");
    let options = Options { n_workers: 1, ..Options::default() };
    let mut bench = Bench::start(ServerKind::MariaDb, options).await.expect("start a cluster");
    bench.create_source("src").await.expect("create a source");
    bench.make_rows("flow", 20).await.expect("make rows");
    bench.start_task("flow", "all", &["src"], "flow").await.expect("start a task");
    bench.wait_stage("flow", "Running", "Sync").await.expect("reach sync");
    let n_kills = std::env::var("DM_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    cases.run("killed masters lose nothing", kills(&mut bench, n_kills)).await;
    cases.run("all masters killed at once lose nothing", all_at_once(&mut bench)).await;
    cases.end();
}

/// Each master in turn, and the leader every third time.
async fn kills(bench: &mut Bench, n_kills: u64) -> Result<()> {
    let epochs = bench.epochs("flow").await?;
    let load = Load::start(&bench.source, "flow", 1_000_000);
    let mut writes = Writes::start(bench, 0);
    let begun = Instant::now();
    for kill in 0..n_kills {
        let names = bench.cluster.master_names();
        let name = if kill % 3 == 0 {
            bench.cluster.wait_leader(SOON).await?
        } else {
            names.get((kill % 3) as usize).context("a master")?.clone()
        };
        writes.go_on(5).await.with_context(|| format!("kill {kill}, before {name}"))?;
        bench.cluster.process(&name)?.kill()?;
        writes.go_on(5).await.with_context(|| format!("kill {kill}, without {name}"))?;
        bench.cluster.start_master(&name)?;
        if kill % ROUND == ROUND - 1 {
            let acked = writes.stop().await?;
            nothing_lost(bench, acked).await?;
            writes = Writes::start(bench, acked);
        }
    }
    let acked = writes.stop().await?;
    nothing_lost(bench, acked).await?;
    println!("{n_kills} kills in {:?}, {acked} writes acknowledged, none lost", begun.elapsed());
    load.stop().await?;
    bench.same_rows("flow").await?;
    ensure!(bench.epochs("flow").await? == epochs, "the subtask restarted");
    Ok(())
}

async fn all_at_once(bench: &mut Bench) -> Result<()> {
    for round in 0..3 {
        let writes = Writes::start(bench, 1_000_000 * (round + 1));
        writes.go_on(50).await?;
        for name in bench.cluster.master_names() {
            bench.cluster.process(&name)?.kill()?;
        }
        for name in bench.cluster.master_names() {
            bench.cluster.start_master(&name)?;
        }
        writes.go_on(5).await?;
        let acked = writes.stop().await?;
        nothing_lost(bench, acked).await?;
    }
    Ok(())
}
