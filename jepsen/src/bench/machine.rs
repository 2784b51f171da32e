//! What the machine was doing while it was measured: load, and what making a small write durable costs.

use std::{fmt, fs, io::Write, time::Instant};

use anyhow::{Context, Result};

const N_SYNCS: usize = 50;
const SYNC_BYTES: usize = 4096;

#[derive(Debug)]
pub struct Machine {
    n_cores: usize,
    load: String,
    sync_median_us: u128,
    sync_worst_us: u128,
}

impl Machine {
    /// # Errors
    /// The temporary folder cannot be written.
    pub fn measure() -> Result<Self> {
        let mut file = tempfile::tempfile().context("make a temporary file")?;
        let mut times = Vec::with_capacity(N_SYNCS);
        for _ in 0..N_SYNCS {
            file.write_all(&[7; SYNC_BYTES]).context("write a temporary file")?;
            let begun = Instant::now();
            file.sync_data().context("sync a temporary file")?;
            times.push(begun.elapsed().as_micros());
        }
        times.sort_unstable();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Ok(Self {
            n_cores: std::thread::available_parallelism().map_or(1, usize::from),
            load: load.split_whitespace().take(3).collect::<Vec<_>>().join(" "),
            sync_median_us: times[times.len() / 2],
            sync_worst_us: times[times.len() - 1],
        })
    }
}

impl Machine {
    /// For a line of a round.
    pub fn brief(&self) -> String {
        let one = self.load.split(' ').next().unwrap_or_default();
        format!("load {one}, fdatasync {} µs", self.sync_median_us)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_cores, load, sync_median_us, sync_worst_us } = self;
        writeln!(f, "  {n_cores} cores, load {load}")?;
        writeln!(
            f,
            "  fdatasync of {SYNC_BYTES} bytes: {sync_median_us} µs median, {sync_worst_us} µs worst of {N_SYNCS}"
        )
    }
}
