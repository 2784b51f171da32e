//! The full copy of sysbench's tables: our worker beside `mariadb-dump | mariadb` and beside mydumper and myloader with as many
//! threads.
//!
//! Each run gets an empty target; the time is from the start of the programs to their end. After the first round the rows are
//! compared with the source's.

use std::{
    fmt,
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use dm_tests::{Server, ServerKind};

use super::{
    Options,
    data::{self, Data, N_TABLE_ROWS, N_TABLES, SCHEMA},
    figures::{Goal, Series, Verdicts},
    machine::Machine,
    process,
    subtask::Subtask,
};

const N_THREADS: u32 = 4;
const POLL: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_secs(240);
/// Targets are as durable as servers are by default.
const FLUSH: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contender {
    Pipe,
    Files,
    Worker,
}

impl Contender {
    const ALL: [Self; 3] = [Self::Pipe, Self::Files, Self::Worker];
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pipe => f.pad("mariadb-dump | mariadb"),
            Self::Files => f.pad("mydumper + myloader"),
            Self::Worker => f.pad("worker"),
        }
    }
}

struct Outcome {
    seconds: f64,
    programs_cpu: f64,
    target_cpu: f64,
    source_cpu: f64,
    worker_mb: f64,
    idle_share: f64,
}

/// Figures of a contender over all rounds.
#[derive(Debug, Default)]
struct Figures {
    rows_per_second: Series,
    programs_cpu: Series,
    target_cpu: Series,
    source_cpu: Series,
    worker_mb: Series,
    idle: Series,
}

/// Runs all rounds.
///
/// # Errors
/// A contender fails, or leaves other rows than the source has.
pub async fn run(options: &Options, data: &Data, out: &mut dyn Write, verdicts: &mut Verdicts) -> Result<()> {
    let source = data::warm_server(data::options(1, 2), &data.baseline()).await?;
    let sums = data::checksums(&source).await?;
    let n_rows = f64::from(N_TABLES * N_TABLE_ROWS);
    writeln!(
        out,
        "snapshot: {n_rows} rows in {N_TABLES} tables, target at flush={FLUSH} without binlog, {N_THREADS} threads"
    )?;
    let mut figures: Vec<(Contender, Figures)> = Contender::ALL
        .into_iter()
        .filter(|contender| !options.ours_only || *contender == Contender::Worker)
        .map(|contender| (contender, Figures::default()))
        .collect();
    let (mut over_pipe, mut over_files) = (Series::default(), Series::default());
    for round in 0..options.n_rounds() {
        let mut seconds = [0.0_f64; 3];
        let n = figures.len();
        for (contender, figures) in figures.iter_mut().cycle_from(round % n) {
            let machine = Machine::measure()?.brief();
            let (outcome, target) = one(*contender, &source).await.with_context(|| contender.to_string())?;
            writeln!(
                out,
                "  round {} {contender:<24} {:.2} s, CPU s: programs {:.2}, target {:.2}, source {:.2}; idle {:.0} % [{machine}]",
                round + 1,
                outcome.seconds,
                outcome.programs_cpu,
                outcome.target_cpu,
                outcome.source_cpu,
                100.0 * outcome.idle_share
            )?;
            out.flush()?;
            if round == 0 {
                let found = data::checksums(&target).await?;
                ensure!(found == sums, "{contender} left other rows: {found:?}, not {sums:?}");
            }
            if let Some(slot) = Contender::ALL.iter().position(|c| c == contender).and_then(|at| seconds.get_mut(at)) {
                *slot = outcome.seconds;
            }
            figures.add(&outcome, n_rows);
        }
        let [pipe, files, ours] = seconds;
        if !options.ours_only {
            over_pipe.push(pipe / ours);
            over_files.push(files / ours);
        }
    }
    for (contender, figures) in &figures {
        figures.write(*contender, out)?;
    }
    if !options.ours_only {
        verdicts.add("snapshot: speed over mariadb-dump | mariadb", Goal::AtLeast(1.5), "×", over_pipe);
        verdicts.add(
            format!("snapshot: speed over mydumper + myloader, {N_THREADS} threads"),
            Goal::None,
            "×",
            over_files,
        );
    }
    if let Some((_, ours)) = figures.pop() {
        verdicts.add("snapshot: worker's peak memory", Goal::AtMost(300.0), " MB", ours.worker_mb);
    }
    Ok(())
}

/// The order changes from round to round.
trait CycleFrom<'a, T: 'a> {
    fn cycle_from(self, first: usize) -> impl Iterator<Item = &'a mut T>;
}

impl<'a, T: 'a> CycleFrom<'a, T> for std::slice::IterMut<'a, T> {
    fn cycle_from(self, first: usize) -> impl Iterator<Item = &'a mut T> {
        let slice = self.into_slice();
        let (before, after) = slice.split_at_mut(first.min(slice.len()));
        after.iter_mut().chain(before.iter_mut())
    }
}

async fn one(contender: Contender, source: &Server) -> Result<(Outcome, Server)> {
    let target = Server::start(ServerKind::MariaDb, data::options(2, FLUSH).with("--skip-log-bin")).await?;
    data::flush_disk();
    let pid = |server: &Server| server.pid().and_then(|pid| u32::try_from(pid).ok()).context("find a server's process");
    let (target_pid, source_pid) = (pid(&target)?, pid(source)?);
    let read = || -> Result<_> {
        let cpu = (process::cpu_seconds(target_pid), process::cpu_seconds(source_pid));
        Ok((process::children_cpu_seconds()?, cpu, process::machine_cpu_seconds()))
    };
    let (programs, cpu, machine) = read()?;
    let begun = Instant::now();
    let worker_mb = match contender {
        Contender::Pipe => shell(&pipe(source, &target))?,
        Contender::Files => {
            let folder = tempfile::Builder::new().prefix("dm-bench-").tempdir().context("make a folder")?;
            shell(&files(source, &target, &folder.path().display().to_string()))?
        }
        Contender::Worker => worker(source, &target).await?,
    };
    let seconds = begun.elapsed().as_secs_f64();
    let (programs_after, cpu_after, machine_after) = read()?;
    let outcome = Outcome {
        seconds,
        programs_cpu: programs_after - programs,
        target_cpu: cpu_after.0 - cpu.0,
        source_cpu: cpu_after.1 - cpu.1,
        worker_mb,
        idle_share: 1.0 - (machine_after.0 - machine.0) / (machine_after.1 - machine.1).max(0.01),
    };
    Ok((outcome, target))
}

fn pipe(source: &Server, target: &Server) -> String {
    let at = |server: &Server| format!("--no-defaults -h127.0.0.1 -uroot -P{}", server.port());
    format!(
        "set -e; mariadb-dump {} --single-transaction --quick --databases {SCHEMA} | mariadb {}",
        at(source),
        at(target)
    )
}

fn files(source: &Server, target: &Server, folder: &str) -> String {
    let at = |server: &Server| format!("-h 127.0.0.1 -u dm -p dm -P {} -t {N_THREADS} -v 1", server.port());
    format!("set -e; mydumper {} -B {SCHEMA} -o {folder}; myloader {} -d {folder} -q 1000", at(source), at(target))
}

/// Runs a line to its end.
fn shell(line: &str) -> Result<f64> {
    let output = Command::new("bash")
        .args(["-o", "pipefail", "-c", line])
        .stdin(Stdio::null())
        .output()
        .context("run a shell")?;
    ensure!(output.status.success(), "{line} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(0.0)
}

/// Runs a full copy to its end and gives the peak memory.
async fn worker(source: &Server, target: &Server) -> Result<f64> {
    let sections = format!("mydumpers: {{d: {{threads: {N_THREADS}}}}}\nloaders: {{l: {{pool-size: {N_THREADS}}}}}\n");
    let instance = ", mydumper-config-name: d, loader-config-name: l";
    let mut subtask = Subtask::start(source, target, "full", instance, &sections)?;
    let begun = Instant::now();
    let mut peak = 0.0_f64;
    while subtask.ended()?.is_none() {
        peak = peak.max(process::peak_mb(subtask.pid()));
        if begun.elapsed() > LIMIT {
            bail!("the full copy does not end within {LIMIT:?}");
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(peak)
}

impl Figures {
    fn add(&mut self, outcome: &Outcome, n_rows: f64) {
        let per_million = 1e6 / n_rows;
        self.rows_per_second.push(n_rows / outcome.seconds);
        self.programs_cpu.push(outcome.programs_cpu * per_million);
        self.target_cpu.push(outcome.target_cpu * per_million);
        self.source_cpu.push(outcome.source_cpu * per_million);
        self.worker_mb.push(outcome.worker_mb);
        self.idle.push(100.0 * outcome.idle_share);
    }

    fn write(&self, contender: Contender, out: &mut dyn Write) -> Result<()> {
        writeln!(out, "  {contender}")?;
        writeln!(out, "    rows/s                                {}", self.rows_per_second.text(0))?;
        writeln!(out, "    CPU s per million rows: programs      {}", self.programs_cpu.text(2))?;
        writeln!(out, "    CPU s per million rows: target server {}", self.target_cpu.text(2))?;
        writeln!(out, "    CPU s per million rows: source server {}", self.source_cpu.text(2))?;
        writeln!(out, "    CPU of the machine idle, %            {}", self.idle.text(0))?;
        if contender == Contender::Worker {
            writeln!(out, "    peak memory of the worker, MB         {}", self.worker_mb.text(0))?;
        }
        Ok(())
    }
}
