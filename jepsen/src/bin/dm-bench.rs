//! `dm-bench`: ratios measured side by side in one run. See `dm_jepsen::bench`.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use dm_jepsen::bench::{self, Options, Part, subtask};

/// Measures our code beside what it replaces, contenders in turns, and prints goals, medians, spreads and where the time went.
#[derive(Debug, Parser)]
#[command(name = "dm-bench")]
struct Flags {
    /// smaller data and fewer rounds: about four minutes
    #[arg(long)]
    quick: bool,
    /// only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// rounds of each contender
    #[arg(long)]
    rounds: Option<usize>,
    /// the target writes a binlog, for both contenders
    #[arg(long)]
    target_binlog: bool,
    /// `worker-count` and `batch` of our task; the product's defaults if not given
    #[arg(long)]
    worker_count: Option<u32>,
    #[arg(long)]
    batch: Option<u32>,
    /// only our side: no other contender runs
    #[arg(long)]
    ours_only: bool,
    /// the replica's threads and mode as `4:optimistic`; tried out if not given
    #[arg(long)]
    replica: Option<String>,
    /// only make the data that later runs use
    #[arg(long)]
    prepare: bool,
    #[command(subcommand)]
    inner: Option<Inner>,
}

#[derive(Debug, Subcommand)]
enum Inner {
    /// Runs one subtask without masters, for the measurements.
    #[command(hide = true)]
    Subtask { file: PathBuf },
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("dm-bench: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        match flags.inner {
            Some(Inner::Subtask { file }) => subtask::run(&file).await,
            None => {
                let options = Options {
                    quick: flags.quick,
                    parts: if flags.only.is_empty() { Part::ALL.to_vec() } else { flags.only },
                    n_rounds: flags.rounds,
                    target_binlog: flags.target_binlog,
                    worker_count: flags.worker_count,
                    batch: flags.batch,
                    ours_only: flags.ours_only,
                    replica: flags.replica,
                    prepare: flags.prepare,
                };
                bench::run(&options, &mut std::io::stdout()).await
            }
        }
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dm-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
