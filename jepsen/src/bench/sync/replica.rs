//! MariaDB's own replica as a contender, and the search for its best settings.

use std::{
    fmt,
    io::Write,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use dm_tests::Server;
use mysql_async::{Conn, Row, prelude::Queryable};

use super::run::Place;
use crate::bench::data::ROWS_PER_TRANSACTION;

/// How transactions may run beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Optimistic,
    Conservative,
}

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Optimistic => "optimistic",
            Self::Conservative => "conservative",
        }
    }
}

/// `slave_parallel_threads` and `slave_parallel_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads {
    pub n_threads: u32,
    pub mode: Mode,
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.n_threads {
            0 => write!(f, "serial"),
            n => write!(f, "{n} threads {}", self.mode.as_str()),
        }
    }
}

impl Threads {
    /// `4:optimistic`.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let (threads, mode) = text.split_once(':').with_context(|| format!("read {text}, as 4:optimistic"))?;
        let mode = match mode {
            "optimistic" => Mode::Optimistic,
            "conservative" => Mode::Conservative,
            _ => bail!("{mode} is neither optimistic nor conservative"),
        };
        Ok(Self { n_threads: threads.parse().context("read a number of threads")?, mode })
    }
}

/// Where a source's log begins: the folders are made so.
pub const FIRST_BINLOG: &str = "mysql-bin.000001";
/// Longest try of one setting.
const TRY: Duration = Duration::from_millis(2500);
const POLL: Duration = Duration::from_millis(10);

/// Transactions in a source's log: every one has the next number.
///
/// # Errors
/// The server does not answer or has other GTIDs than a source of ours.
pub async fn n_transactions(source: &Server) -> Result<u64> {
    let mut root = source.root().await?;
    let logs: Vec<Row> = root.query("SHOW BINARY LOGS").await.context("list binlogs")?;
    let first: Option<String> = logs.into_iter().next().and_then(|mut row| row.take(0));
    if first.as_deref() != Some(FIRST_BINLOG) {
        bail!("the source's log begins with {first:?}");
    }
    let at: Option<String> = root.query_first("SELECT @@gtid_binlog_pos").await.context("read the source's GTIDs")?;
    root.disconnect().await?;
    sequence(&at.unwrap_or_default())
}

/// Transactions that a replica has applied.
///
/// # Errors
/// The server does not answer.
pub async fn position(conn: &mut Conn) -> Result<u64> {
    let at: Option<String> = conn.query_first("SELECT @@gtid_slave_pos").await.context("read the replica's GTIDs")?;
    match at.as_deref() {
        None | Some("") => Ok(0),
        Some(at) => sequence(at),
    }
}

fn sequence(gtid: &str) -> Result<u64> {
    let last = gtid.rsplit('-').next().unwrap_or_default();
    last.parse().with_context(|| format!("read the GTID {gtid}"))
}

/// Fails when the replica has stopped.
///
/// # Errors
/// It has, or the server does not answer.
pub async fn check(conn: &mut Conn) -> Result<()> {
    let row: Option<Row> = conn.query_first("SHOW SLAVE STATUS").await.context("read the replica's status")?;
    let Some(row) = row else { return Ok(()) };
    for column in ["Last_SQL_Error", "Last_IO_Error"] {
        let error: Option<String> = row.get(column);
        if let Some(error) = error.filter(|error| !error.is_empty()) {
            bail!("the replica stopped: {error}");
        }
    }
    Ok(())
}

/// Makes a server a replica from the start of the source's log. Does not start it.
///
/// # Errors
/// The server refuses.
pub async fn point(conn: &mut Conn, source: &Server, threads: Threads) -> Result<()> {
    set(conn, threads).await?;
    let sql = format!(
        "CHANGE MASTER TO master_host = '127.0.0.1', master_port = {}, master_user = 'dm', master_password = '{}', \
         master_use_gtid = slave_pos",
        source.port(),
        Server::DM_PASSWORD
    );
    conn.query_drop("SET GLOBAL gtid_slave_pos = ''").await.context("empty the replica's GTIDs")?;
    conn.query_drop(sql).await.context("point the replica to its source")
}

async fn set(conn: &mut Conn, threads: Threads) -> Result<()> {
    for sql in [
        format!("SET GLOBAL slave_parallel_threads = {}", threads.n_threads),
        format!("SET GLOBAL slave_parallel_mode = '{}'", threads.mode.as_str()),
        "SET GLOBAL slave_parallel_max_queued = 16777216".to_owned(),
    ] {
        conn.query_drop(&sql).await.with_context(|| sql.clone())?;
    }
    Ok(())
}

/// Tries settings on parts of the backlog, one after the other on one target, and gives the fastest.
///
/// # Errors
/// The replica fails.
pub async fn find_best(place: &Place<'_>, out: &mut dyn Write) -> Result<Threads> {
    let of = |mode: Mode| move |n_threads| Threads { n_threads, mode };
    let mut tried: Vec<Threads> = [0, 2, 4, 8].map(of(Mode::Optimistic)).to_vec();
    tried.extend(
        [2, 4, 8].map(of(Mode::Conservative)).into_iter().filter(|at| !place.options.quick || at.n_threads == 4),
    );
    let share = place.n_units / (tried.len() as u64 + 1);
    let target = place.target().await?;
    let mut conn = target.root().await?;
    point(&mut conn, place.source, Threads { n_threads: 0, mode: Mode::Optimistic }).await?;
    let mut best: Option<(Threads, f64)> = None;
    let mut line = Vec::new();
    for threads in tried {
        set(&mut conn, threads).await?;
        let before = position(&mut conn).await?;
        // without an end it would run ahead while it is told to stop
        let until = format!("START SLAVE UNTIL master_gtid_pos = '0-1-{}'", before + share);
        conn.query_drop(until).await.context("start the replica")?;
        let rate = rate(&mut conn, before, share).await?;
        conn.query_drop("STOP SLAVE").await.context("stop the replica")?;
        line.push(format!("{threads} {rate:.0}"));
        if best.is_none_or(|(_, other)| rate > other) {
            best = Some((threads, rate));
        }
    }
    conn.disconnect().await?;
    writeln!(out, "  replica's settings tried, rows/s: {}", line.join("; "))?;
    best.map(|(threads, _)| threads).context("no setting was tried")
}

async fn rate(conn: &mut Conn, before: u64, share: u64) -> Result<f64> {
    let started = Instant::now();
    let mut first: Option<(Instant, u64)> = None;
    loop {
        check(conn).await?;
        let at = position(conn).await?;
        match first {
            None if at > before => first = Some((Instant::now(), at)),
            Some((begun, n)) if at >= before + share || begun.elapsed() > TRY => {
                return Ok((at - n) as f64 * ROWS_PER_TRANSACTION as f64 / begun.elapsed().as_secs_f64());
            }
            None if started.elapsed() > Duration::from_secs(30) => bail!("the replica does not start"),
            None | Some(_) => tokio::time::sleep(POLL).await,
        }
    }
}
