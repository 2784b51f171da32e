//! One run of one contender: start, watch the target, read the kernel's and the server's counters at both ends.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use dm_fence::{UnitNumber, Window};
use dm_tests::Server;
use mysql_async::{Conn, prelude::Queryable};

use super::replica::{self, Threads};
use crate::bench::{
    Options,
    data::{self, Data, ROWS_PER_TRANSACTION},
    process,
    subtask::Subtask,
};

const LIMIT: Duration = Duration::from_secs(240);
/// Between two looks at the target.
const POLL: Duration = Duration::from_millis(10);

/// Who catches up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    Replica(Threads),
    Worker,
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replica(threads) => f.pad(&format!("replica, {threads}")),
            Self::Worker => f.pad("worker"),
        }
    }
}

/// What the runs of a part share.
#[derive(Debug)]
pub struct Place<'a> {
    pub data: &'a Data,
    pub source: &'a Server,
    pub flush: u8,
    /// Transactions of the backlog.
    pub n_units: u64,
    pub options: &'a Options,
}

impl Place<'_> {
    /// A fresh target.
    ///
    /// # Errors
    /// The server does not start.
    pub async fn target(&self) -> Result<Server> {
        let mut options = data::options(2, self.flush);
        if !self.options.target_binlog {
            options = options.with("--skip-log-bin").with("--skip-log-slave-updates");
        }
        data::warm_server(options, &self.data.baseline()).await
    }
}

/// Between the first and the last commit that were seen.
#[derive(Debug)]
pub struct Outcome {
    pub seconds: f64,
    pub n_units: u64,
    /// From the start of the contender to the first commit.
    pub start_seconds: f64,
    pub worker_cpu: f64,
    pub target_cpu: f64,
    pub source_cpu: f64,
    pub idle_share: f64,
    pub worker_mb: f64,
    pub target_mb: f64,
    pub fsyncs: f64,
    pub statements: f64,
    /// Only ours says.
    pub commits: Option<Commits>,
}

#[derive(Debug, Clone, Copy)]
pub struct Commits {
    pub n_commits: f64,
    pub n_lanes: f64,
}

impl Outcome {
    pub fn n_rows(&self) -> f64 {
        (self.n_units * ROWS_PER_TRANSACTION) as f64
    }

    pub fn rows_per_second(&self) -> f64 {
        self.n_rows() / self.seconds
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>7.0} rows/s in {:.2} s, CPU s: worker {:.2}, target {:.2}, source {:.2}; idle {:.0} %, first commit after {:.1} s",
            self.rows_per_second(),
            self.seconds,
            self.worker_cpu,
            self.target_cpu,
            self.source_cpu,
            100.0 * self.idle_share,
            self.start_seconds
        )
    }
}

/// What is read at both ends.
struct Reading {
    at: Instant,
    n_units: u64,
    worker_cpu: f64,
    target_cpu: f64,
    source_cpu: f64,
    machine: (f64, f64),
    fsyncs: f64,
    statements: f64,
    commits: Option<Commits>,
}

/// Runs a contender on a fresh target and hands that over with the figures.
///
/// # Errors
/// It fails or does not end in time.
pub async fn run(place: &Place<'_>, contender: Contender) -> Result<(Outcome, Server)> {
    let target = place.target().await?;
    let (target_pid, source_pid) = (pid(&target)?, pid(place.source)?);
    let mut conn = target.root().await?;
    process::forget_peak(target_pid);
    let begun = Instant::now();
    let mut subtask = match contender {
        Contender::Replica(threads) => {
            replica::point(&mut conn, place.source, threads).await?;
            conn.query_drop("START SLAVE").await.context("start the replica")?;
            None
        }
        Contender::Worker => Some(worker(place, &target)?),
    };
    let worker_pid = subtask.as_ref().map(Subtask::pid);
    let mut first: Option<Reading> = None;
    loop {
        if let Some(subtask) = &mut subtask
            && subtask.ended()?.is_some()
        {
            bail!("the subtask ended before its work was done");
        }
        let (n_units, commits) = progress(&mut conn, contender).await?;
        let is_end = n_units >= place.n_units;
        if (first.is_none() && n_units > 0) || is_end {
            let now = Reading {
                at: Instant::now(),
                n_units,
                worker_cpu: worker_pid.map_or(0.0, process::cpu_seconds),
                target_cpu: process::cpu_seconds(target_pid),
                source_cpu: process::cpu_seconds(source_pid),
                machine: process::machine_cpu_seconds(),
                fsyncs: status(&mut conn, "Innodb_data_fsyncs").await?
                    + status(&mut conn, "Innodb_os_log_fsyncs").await?,
                statements: status(&mut conn, "Questions").await?,
                commits,
            };
            let Some(first) = &first else {
                first = Some(now);
                continue;
            };
            let outcome = Outcome {
                seconds: (now.at - first.at).as_secs_f64().max(1e-3),
                n_units: now.n_units - first.n_units,
                start_seconds: (first.at - begun).as_secs_f64(),
                worker_cpu: now.worker_cpu - first.worker_cpu,
                target_cpu: now.target_cpu - first.target_cpu,
                source_cpu: now.source_cpu - first.source_cpu,
                idle_share: 1.0 - (now.machine.0 - first.machine.0) / (now.machine.1 - first.machine.1).max(0.01),
                worker_mb: worker_pid.map_or(0.0, process::peak_mb),
                target_mb: process::peak_mb(target_pid),
                fsyncs: now.fsyncs - first.fsyncs,
                statements: now.statements - first.statements,
                commits: now.commits.zip(first.commits).map(|(now, first)| Commits {
                    n_commits: (now.n_commits - first.n_commits).max(1.0),
                    n_lanes: now.n_lanes,
                }),
            };
            drop(subtask);
            conn.disconnect().await?;
            return Ok((outcome, target));
        }
        if begun.elapsed() > LIMIT {
            bail!("{n_units} of {} transactions after {LIMIT:?}", place.n_units);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn pid(server: &Server) -> Result<u32> {
    server.pid().and_then(|pid| u32::try_from(pid).ok()).context("the server does not run")
}

fn worker(place: &Place<'_>, target: &Server) -> Result<Subtask> {
    let mut syncer = Vec::new();
    syncer.extend(place.options.worker_count.map(|n| format!("worker-count: {n}")));
    syncer.extend(place.options.batch.map(|n| format!("batch: {n}")));
    let instance = format!(", syncer-config-name: s, meta: {{binlog-name: {}, binlog-pos: 4}}", replica::FIRST_BINLOG);
    Subtask::start(
        place.source,
        target,
        "incremental",
        &instance,
        &format!("syncers: {{s: {{{}}}}}\n", syncer.join(", ")),
    )
}

/// Transactions that are committed in the target.
async fn progress(conn: &mut Conn, contender: Contender) -> Result<(u64, Option<Commits>)> {
    match contender {
        Contender::Replica(_) => {
            replica::check(conn).await?;
            Ok((replica::position(conn).await?, None))
        }
        Contender::Worker => {
            let sql = "SELECT low, done, seq FROM dm_meta.dm_fence_lane ORDER BY lane";
            // the table comes with the takeover
            let rows: Vec<(u64, Vec<u8>, u64)> = conn.query(sql).await.unwrap_or_default();
            let mut done = Window::new();
            let low = UnitNumber(rows.iter().map(|(low, ..)| *low).max().unwrap_or(0));
            for (low, bytes, _) in &rows {
                done.union(&Window::decode(bytes, UnitNumber(*low)).context("read a lane's window")?);
            }
            done.drop_up_to(low);
            let used = rows.iter().filter(|(_, _, seq)| *seq > 1).count();
            let commits = Commits { n_commits: rows.iter().map(|(_, _, seq)| *seq as f64).sum(), n_lanes: used as f64 };
            Ok((low.0 + done.len(), Some(commits)))
        }
    }
}

async fn status(conn: &mut Conn, name: &str) -> Result<f64> {
    let row: Option<(String, f64)> =
        conn.query_first(format!("SHOW GLOBAL STATUS LIKE '{name}'")).await.context("read the server's status")?;
    Ok(row.map_or(0.0, |(_, value)| value))
}
