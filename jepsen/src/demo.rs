//! The demo: sharded MariaDB data is merged by a cluster of three masters and two workers while writers write, through the
//! transfer and the loss of the leader and the loss of the busy worker. Then every row is compared.
//!
//! Owns the order of events. Its verdict comes from the comparison alone. Fails when a phase does not end in time; the folder
//! with all logs is kept then.

pub mod faults;
pub mod lanes;
pub mod place;
pub mod probe;
pub mod progress;
pub mod report;
pub mod shop;
pub mod writer;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dm_tests::rows::Differences;

use self::{
    faults::Faults,
    place::Place,
    probe::Prober,
    progress::{Console, Phase},
    report::Report,
    writer::Writer,
};

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct Options {
    /// Rows of each of the eight shards before the task starts.
    pub n_shard_rows: u64,
    /// Upper bound for each of the two writers.
    pub tx_per_second: u32,
    /// Seed of the writers.
    pub seed: u64,
}

/// How long the snapshot may take.
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(180);
/// How long the target may need for the last changes.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(60);
/// How long a subtask may stay paused.
const PAUSE_LIMIT: Duration = Duration::from_secs(12);
const POLL: Duration = Duration::from_millis(250);
/// Changes between two faults.
const CALM: Duration = Duration::from_millis(1500);

/// Runs the demo in a place that is there. Leaves the place as it is at the end.
///
/// # Errors
/// A phase did not end in time or a process cannot be had. A difference is not an error but in the report.
pub async fn run(place: &mut Place, options: &Options, console: &Console) -> Result<Report> {
    let phase = console.phase("filling 8 shards on two MariaDB sources");
    let n_seeded = place.fill(options.n_shard_rows).await?;
    phase.done(&format!("{n_seeded} rows"));

    let phase = console.phase("starting three masters and two workers");
    place.start_cluster().await?;
    let leader = place.cluster()?.wait_leader(Duration::from_secs(30)).await?;
    phase.done(&format!("{leader} leads"));

    let begun = Instant::now();
    let writers = start_writers(place, options).await?;
    let prober = Prober::start(place.cluster()?.master_addrs())?;
    let mut faults = Faults::default();
    let outcome = migrate(place, console, &prober, &mut faults).await;
    // Writers end in any case: what they say may be the reason of a failure.
    let phase = console.phase("stopping the writers");
    let mut written = writer::Counts::default();
    for writer in writers {
        written.add(&writer.stop().await.context("write to a source")?);
    }
    let snapshot = match outcome {
        Ok(snapshot) => snapshot,
        Err(error) => return Err(place.with_complaints(error).await),
    };
    phase.done(&written.to_string());

    if let Err(error) = wait_for_end(place, console).await {
        return Err(place.with_complaints(error).await);
    }
    let n_probes = prober.stop().await;
    let duration = begun.elapsed();

    let phase = console.phase("comparing every row of sources and target");
    let compare_begun = Instant::now();
    let found = compare(place).await?;
    phase.done(&format!("{} rows, {:.1} s", found.n_sources, compare_begun.elapsed().as_secs_f64()));
    let phase = console.phase("proof: reading all binlogs with the servers' own tools");
    let proof = place.prove().await?;
    phase.done(&proof.to_string());
    Ok(Report {
        n_snapshot_rows: snapshot.n_rows,
        snapshot: snapshot.duration,
        written,
        duration,
        n_probes,
        faults,
        found,
        proof,
    })
}

async fn start_writers(place: &Place, options: &Options) -> Result<Vec<Writer>> {
    let mut writers = Vec::new();
    for (shop, seed) in shop::SHOPS.iter().zip(options.seed..) {
        let opts = place.source(shop)?.root_opts();
        writers.push(Writer::start(opts, shop, options.n_shard_rows, options.tx_per_second, seed).await?);
    }
    Ok(writers)
}

/// How the snapshot went.
#[derive(Debug)]
struct Snapshot {
    n_rows: u64,
    duration: Duration,
}

/// From the first source to the last fault.
async fn migrate(place: &mut Place, console: &Console, prober: &Prober, faults: &mut Faults) -> Result<Snapshot> {
    let phase = console.phase("adding the sources, starting the task");
    place.start_task().await?;
    phase.done("all + routes into shop.orders and shop.events");

    let begun = Instant::now();
    let n_rows = snapshot(place, console, prober, faults).await?;
    let snapshot = Snapshot { n_rows, duration: begun.elapsed() };

    let phase = console.phase("killing the leader (SIGKILL)");
    faults.kill_leader(place, prober).await?;
    phase.done(&faults.last_line());
    let phase = console.phase("waiting until changes flow again");
    lanes::wait_flow(place, CALM).await?;
    phase.done("they do");

    let phase = console.phase("killing the worker of source-1 (SIGKILL)");
    faults.kill_worker(place, "source-1").await?;
    phase.done(&faults.last_line());
    let phase = console.phase("waiting until changes flow again");
    lanes::wait_flow(place, CALM).await?;
    phase.done("they do");
    Ok(snapshot)
}

/// Watches the snapshot until both subtasks replicate; moves the leadership in the middle of it. Gives the rows copied.
async fn snapshot(place: &mut Place, console: &Console, prober: &Prober, faults: &mut Faults) -> Result<u64> {
    let bars = console.bars(shop::SHOPS.iter().map(|shop| shop.source_id));
    let begun = Instant::now();
    let mut n_rows = 0;
    let mut transferred = false;
    let mut last_seen = String::new();
    let mut paused_since: Option<Instant> = None;
    loop {
        anyhow::ensure!(
            begun.elapsed() < SNAPSHOT_LIMIT,
            "the snapshot did not end within {SNAPSHOT_LIMIT:?}; last seen: {last_seen}"
        );
        tokio::time::sleep(POLL).await;
        let states = match place.subtasks().await {
            Ok(states) => states,
            Err(error) => {
                last_seen = format!("{error:#}");
                continue;
            }
        };
        last_seen = format!("{states:?}");
        bars.show(&states);
        n_rows = n_rows.max(states.iter().map(|state| state.n_loaded).sum());
        match states.iter().find(|state| state.stage == "Paused") {
            None => paused_since = None,
            // A pause may be healed by the automatic resume.
            Some(failed) => anyhow::ensure!(
                paused_since.get_or_insert_with(Instant::now).elapsed() < PAUSE_LIMIT,
                "the subtask of {} is paused: {}",
                failed.source,
                failed.error
            ),
        }
        if !transferred && states.iter().any(|state| state.unit == "Load" && state.n_loaded > 0) {
            transferred = true;
            faults.transfer_leader(place, prober).await?;
            bars.line(&faults.last_line());
            continue;
        }
        if states.len() == shop::SHOPS.len()
            && states.iter().all(|state| state.unit == "Sync" && state.stage == "Running")
        {
            break;
        }
    }
    bars.finish();
    if !transferred {
        // Too small a snapshot to be caught in the middle of it.
        faults.transfer_leader(place, prober).await?;
        console.line(&faults.last_line());
    }
    let n_target = place.count_target().await?;
    Ok(n_rows.max(n_target))
}

/// Until the target has the last transaction of both sources.
async fn wait_for_end(place: &Place, console: &Console) -> Result<()> {
    let phase: Phase = console.phase("waiting until the target has the last transaction of both sources");
    let ends = shop::write_markers(place).await?;
    shop::wait_markers(place, CATCH_UP_LIMIT).await?;
    lanes::wait_low(place, &ends, CATCH_UP_LIMIT).await?;
    phase.done("it has");
    Ok(())
}

async fn compare(place: &Place) -> Result<Differences> {
    shop::compare(place).await
}
