//! Catching up on a backlog: our worker beside MariaDB's own replica.
//!
//! The backlog lies in the source's binlog. Each run gets a fresh copy of the target, with its pages in memory, and the time counts
//! from the first commit that is seen in the target to the last one, so that starting costs nobody anything. Target servers
//! have the same settings for both. After the first round the target's rows are compared with the source's.

pub mod replica;
pub mod run;

use std::io::Write;

use anyhow::{Context, Result, ensure};
use dm_tests::Server;

use self::{
    replica::Threads,
    run::{Contender, Outcome},
};
use super::{
    Options,
    data::{self, Data, ROWS_PER_TRANSACTION},
    figures::{Goal, Series, Verdicts},
    machine::Machine,
};

/// What the backlog writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// All four tables.
    Four,
    /// One table.
    Hot,
}

impl Load {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Four => "four",
            Self::Hot => "hot",
        }
    }

    pub fn n_tables(self) -> u32 {
        match self {
            Self::Four => data::N_TABLES,
            Self::Hot => 1,
        }
    }
}

/// Figures of one contender over all rounds.
#[derive(Debug, Default)]
struct Figures {
    rows_per_second: Series,
    worker_cpu: Series,
    target_cpu: Series,
    source_cpu: Series,
    idle: Series,
    worker_mb: Series,
    target_mb: Series,
    rows_per_commit: Series,
    fsyncs: Series,
    commit_ms: Series,
    statements: Series,
}

/// Runs all rounds of one load at one `innodb_flush_log_at_trx_commit`.
///
/// # Errors
/// A contender fails, or ends with other rows than the source.
pub async fn run(
    options: &Options,
    data: &Data,
    load: Load,
    flush: u8,
    out: &mut dyn Write,
    verdicts: &mut Verdicts,
) -> Result<()> {
    let source = data::warm_server(data::options(1, 2), &data.source(load)).await?;
    let n_units = replica::n_transactions(&source).await?;
    let place = run::Place { data, source: &source, flush, n_units, options };
    let title = format!("{} at flush={flush}", if load == Load::Four { "sync, 4 tables" } else { "sync, 1 hot table" });
    writeln!(
        out,
        "{title}: {n_units} transactions of {ROWS_PER_TRANSACTION} row changes; target {} binlog",
        if options.target_binlog { "with" } else { "without" }
    )?;
    let threads = match &options.replica {
        _ if options.ours_only => None,
        Some(text) => Some(Threads::parse(text)?),
        None => Some(replica::find_best(&place, out).await?),
    };
    let contenders: Vec<Contender> = threads.map(Contender::Replica).into_iter().chain([Contender::Worker]).collect();
    let sums = data::checksums(&source).await?;
    let mut figures: Vec<Figures> = contenders.iter().map(|_| Figures::default()).collect();
    let mut ratios = Series::default();
    for round in 0..options.n_rounds() {
        let mut rates = Vec::new();
        for at in order(round, contenders.len()) {
            let (Some(contender), Some(figures)) = (contenders.get(at), figures.get_mut(at)) else { continue };
            let machine = Machine::measure()?.brief();
            let (outcome, target) = run::run(&place, *contender).await.with_context(|| contender.to_string())?;
            writeln!(out, "  round {} {contender:<28} {outcome} [{machine}]", round + 1)?;
            out.flush()?;
            if round == 0 {
                same(&sums, &target).await.with_context(|| format!("rows after {contender}"))?;
            }
            figures.add(&outcome);
            rates.push((*contender, outcome.rows_per_second()));
        }
        let rate = |is_ours: bool| rates.iter().find(|(c, _)| (*c == Contender::Worker) == is_ours).map(|(_, r)| *r);
        if let (Some(ours), Some(theirs)) = (rate(true), rate(false)) {
            ratios.push(ours / theirs);
        }
    }
    for (contender, figures) in contenders.iter().zip(&figures) {
        figures.write(*contender, out)?;
    }
    let goal = if flush == 1 { Goal::AtLeast(2.0) } else { Goal::AtLeast(0.8) };
    if let Some(theirs) = threads {
        verdicts.add(format!("{title}: our rows/s over the replica's ({theirs})"), goal, "×", ratios);
    }
    if let Some(ours) = figures.pop() {
        verdicts.add(format!("{title}: worker's peak memory"), Goal::AtMost(300.0), " MB", ours.worker_mb);
    }
    Ok(())
}

/// Who begins changes from round to round.
fn order(round: usize, n: usize) -> Vec<usize> {
    if round.is_multiple_of(2) { (0..n).collect() } else { (0..n).rev().collect() }
}

async fn same(sums: &[(String, Option<u64>)], target: &Server) -> Result<()> {
    let found = data::checksums(target).await?;
    ensure!(found == sums, "the target has other rows than the source: {found:?}, not {sums:?}");
    Ok(())
}

impl Figures {
    fn add(&mut self, outcome: &Outcome) {
        self.rows_per_second.push(outcome.rows_per_second());
        let per_million = 1e6 / outcome.n_rows();
        self.worker_cpu.push(outcome.worker_cpu * per_million);
        self.target_cpu.push(outcome.target_cpu * per_million);
        self.source_cpu.push(outcome.source_cpu * per_million);
        self.idle.push(100.0 * outcome.idle_share);
        self.worker_mb.push(outcome.worker_mb);
        self.target_mb.push(outcome.target_mb);
        self.fsyncs.push(outcome.fsyncs);
        self.statements.push(outcome.statements / outcome.n_rows());
        if let Some(commits) = outcome.commits {
            self.rows_per_commit.push(outcome.n_rows() / commits.n_commits);
            self.commit_ms.push(1e3 * outcome.seconds * commits.n_lanes / commits.n_commits);
        }
    }

    fn write(&self, contender: Contender, out: &mut dyn Write) -> Result<()> {
        writeln!(out, "  {contender}")?;
        writeln!(out, "    rows/s                                {}", self.rows_per_second.text(0))?;
        if contender == Contender::Worker {
            writeln!(out, "    CPU s per million rows: worker        {}", self.worker_cpu.text(2))?;
        }
        writeln!(out, "    CPU s per million rows: target server {}", self.target_cpu.text(2))?;
        writeln!(out, "    CPU s per million rows: source server {}", self.source_cpu.text(2))?;
        writeln!(out, "    CPU of the machine idle, %            {}", self.idle.text(0))?;
        if contender == Contender::Worker {
            writeln!(out, "    peak memory of the worker, MB         {}", self.worker_mb.text(0))?;
        }
        writeln!(out, "    peak memory of the target, MB         {}", self.target_mb.text(0))?;
        writeln!(out, "    fsyncs of the target's engine         {}", self.fsyncs.text(0))?;
        writeln!(out, "    statements of the target per row      {}", self.statements.text(2))?;
        if contender == Contender::Worker {
            writeln!(out, "    rows per target transaction           {}", self.rows_per_commit.text(0))?;
            writeln!(out, "    lane time per transaction, ms         {}", self.commit_ms.text(2))?;
        }
        Ok(())
    }
}
