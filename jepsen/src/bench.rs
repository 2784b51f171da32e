//! `make bench`: our code beside what it replaces or costs, in one run on one machine.
//!
//! Prints ratios and figures, asserts nothing: the machine decides them. Fails when recorded input cannot be read.

pub mod decode;
pub mod machine;
pub mod statements;

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::Result;

/// How long each measurement runs.
const ROUND: Duration = Duration::from_secs(2);
/// Rounds of each side, taken in turns; the best one counts, as disturbances only make slower.
const N_ROUNDS: usize = 3;

/// Runs everything and prints as it goes.
///
/// # Errors
/// Recorded input cannot be read, or the output is closed.
pub fn run(out: &mut dyn Write) -> Result<()> {
    writeln!(out, "machine\n{}", machine::Machine::measure()?)?;
    writeln!(out, "row decoding: the same recorded binlog, every value of every row")?;
    decode::run(out)?;
    writeln!(out, "\nstatements: rows of values to the text of SQL statements (dm-sync-core)")?;
    statements::run(out)?;
    writeln!(out, "\nmachine afterwards\n{}", machine::Machine::measure()?)?;
    Ok(())
}

/// Rows per second of `round`, which does some and tells how many.
fn rows_per_second(mut round: impl FnMut() -> Result<u64>) -> Result<f64> {
    let begun = Instant::now();
    let mut n_rows = 0;
    while begun.elapsed() < ROUND {
        n_rows += round()?;
    }
    Ok(n_rows as f64 / begun.elapsed().as_secs_f64())
}
