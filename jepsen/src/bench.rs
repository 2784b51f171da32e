//! `make bench`: our code beside what it replaces or costs, in one run on one machine.
//!
//! Contenders take turns within a run, each on its own copy of the same data. Prints figures and verdicts, asserts nothing but
//! that the results are right: the machine decides the rest. Fails when data cannot be made, a contender fails or ends with
//! other rows than the source has.

pub mod data;
pub mod decode;
pub mod decode_file;
pub mod figures;
pub mod machine;
pub mod process;
pub mod snapshot;
pub mod statements;
pub mod subtask;
pub mod sync;

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::ValueEnum;

use self::{data::Data, figures::Verdicts};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Catching up on four tables, target at `innodb_flush_log_at_trx_commit=1`.
    Sync1,
    /// The same at 2.
    Sync2,
    /// Catching up on one table, at 1.
    Hot1,
    /// The same at 2.
    Hot2,
    /// The full copy.
    Snapshot,
    /// Decoding a binlog of 300 MB, and recorded events beside the library's decoder.
    Decode,
    /// Rows to SQL.
    Statements,
}

impl Part {
    pub const ALL: [Self; 7] =
        [Self::Sync1, Self::Sync2, Self::Hot1, Self::Hot2, Self::Snapshot, Self::Decode, Self::Statements];
}

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct Options {
    pub quick: bool,
    pub parts: Vec<Part>,
    pub n_rounds: Option<usize>,
    pub target_binlog: bool,
    pub worker_count: Option<u32>,
    pub batch: Option<u32>,
    pub ours_only: bool,
    pub replica: Option<String>,
    pub prepare: bool,
}

impl Options {
    fn n_rounds(&self) -> usize {
        self.n_rounds.unwrap_or(if self.quick { 2 } else { 5 })
    }

    /// How long a measurement without servers runs, and how often.
    fn pace(&self) -> Pace {
        if self.quick {
            Pace { round: Duration::from_millis(200), n_rounds: 2 }
        } else {
            Pace { round: Duration::from_secs(1), n_rounds: 3 }
        }
    }
}

/// Of measurements within this process. The best round counts, as disturbances only make slower.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    round: Duration,
    n_rounds: usize,
}

impl Pace {
    /// Rows per second of this thread's CPU time of `work`, which does some and tells how many, in one round.
    fn rows_per_second(self, mut work: impl FnMut() -> Result<u64>) -> Result<f64> {
        let (begun, before) = (Instant::now(), process::thread_cpu_seconds()?);
        let mut n_rows = 0;
        while begun.elapsed() < self.round {
            n_rows += work()?;
        }
        Ok(n_rows as f64 / (process::thread_cpu_seconds()? - before).max(1e-6))
    }
}

/// Runs what was chosen and prints as it goes; the table of goals comes last.
///
/// # Errors
/// Data cannot be made, a contender fails or is wrong, or the output is closed.
pub async fn run(options: &Options, out: &mut dyn Write) -> Result<()> {
    let begun = Instant::now();
    let mut verdicts = Verdicts::default();
    let build =
        if cfg!(debug_assertions) { "with debug assertions: figures of our side are too low" } else { "optimised" };
    writeln!(out, "machine\n{}  our programs are built {build}\n", machine::Machine::measure()?)?;
    let data = Data::open(options.quick, &options.parts, out).await?;
    if options.prepare {
        return Ok(());
    }
    for part in &options.parts {
        match part {
            Part::Sync1 => sync::run(options, &data, sync::Load::Four, 1, out, &mut verdicts).await?,
            Part::Sync2 => sync::run(options, &data, sync::Load::Four, 2, out, &mut verdicts).await?,
            Part::Hot1 => sync::run(options, &data, sync::Load::Hot, 1, out, &mut verdicts).await?,
            Part::Hot2 => sync::run(options, &data, sync::Load::Hot, 2, out, &mut verdicts).await?,
            Part::Snapshot => snapshot::run(options, &data, out, &mut verdicts).await?,
            Part::Decode => {
                decode_file::run(options, &data, out, &mut verdicts)?;
                writeln!(out, "recorded events: every value of every row, beside the library's own decoder")?;
                decode::run(options.pace(), out)?;
            }
            Part::Statements => {
                writeln!(out, "statements: rows of values to the text of SQL statements (dm-sync-core)")?;
                statements::run(options.pace(), out)?;
            }
        }
        writeln!(out)?;
    }
    writeln!(out, "{verdicts}")?;
    writeln!(out, "machine afterwards\n{}", machine::Machine::measure()?)?;
    writeln!(out, "took {:.0} s", begun.elapsed().as_secs_f64())?;
    Ok(())
}
