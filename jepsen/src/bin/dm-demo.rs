//! `dm-demo`: see `dm_jepsen::demo`. Exits with 0 only if sources and target are equal at the end.

use std::{io::IsTerminal, process::ExitCode, time::Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use dm_jepsen::demo::{self, place::Place, progress::Console, report::Report};
use tokio::signal::unix::{SignalKind, signal};

/// Merges two sharded MariaDB sources into one target with a cluster of three masters and two workers, while writers
/// write and faults happen, and compares every row at the end.
#[derive(Debug, Parser)]
#[command(name = "dm-demo")]
struct Flags {
    /// leave everything running at the end and print commands to play with
    #[arg(long)]
    keep: bool,
    /// rows of each of the eight shards before the task starts
    #[arg(long, default_value_t = 130_000)]
    rows: u64,
    /// transactions per second of each of the two writers, at most
    #[arg(long, default_value_t = 400)]
    tx_rate: u32,
    /// seed of the writers
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("dm-demo: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(demo(&flags)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("dm-demo: {error:#}");
            ExitCode::FAILURE
        }
    };
    // A comparison that was interrupted may still read; its servers are gone.
    runtime.shutdown_background();
    code
}

async fn demo(flags: &Flags) -> Result<bool> {
    let begun = Instant::now();
    let console = Console::default();
    let phase = console.phase("starting three MariaDB servers");
    let mut place = Place::start().await?;
    phase.done(&place.folder().display().to_string());
    let options = demo::Options { n_shard_rows: flags.rows, tx_per_second: flags.tx_rate, seed: flags.seed };
    let outcome = tokio::select! {
        outcome = demo::run(&mut place, &options, &console) => outcome,
        name = interrupted() => match name {
            // Dropping the place ends everything.
            Ok(name) => bail!("ended by {name}"),
            Err(error) => Err(error),
        },
    };
    match outcome {
        Ok(report) => finish(place, &report, flags.keep, begun),
        Err(error) => {
            let folder = place.keep_folder()?;
            Err(error.context(format!("the demo failed; logs and configs are in {}", folder.display())))
        }
    }
}

fn finish(place: Place, report: &Report, keep: bool, begun: Instant) -> Result<bool> {
    println!("{report}");
    println!("\n{:.1} s in all", begun.elapsed().as_secs_f64());
    let equal = report.is_success();
    if keep {
        println!("\n{}", place.keep()?);
    } else if !equal {
        println!("\nsources and target differ; logs and configs are in {}", place.keep_folder()?.display());
    }
    if std::io::stdout().is_terminal() {
        println!("{}", if equal { "✔ nothing lost, nothing doubled" } else { "✘ sources and target differ" });
    }
    Ok(equal)
}

async fn interrupted() -> Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for signals")?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
