//! Where the source's own log ends, and what its clock says: asked every now and then, for status and lag only.
//!
//! Never blocks anything: a source that does not answer within the limit leaves the last answer standing, and says so.

use std::{sync::Arc, time::Duration};

use dm_model::{Location, UnixMillis, error::Report};
use dm_mysql::{
    Connector, Purpose, ServerFacts,
    schema::{self, BinlogFile},
};
use dm_runtime::clock;
use mysql_async::{Conn, prelude::Queryable};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tracing::{debug, info};

const PERIOD: Duration = Duration::from_secs(1);
/// DM bounds the same question by five seconds.
const LIMIT: Duration = Duration::from_secs(5);
/// Sizes of older files do not change: they are asked for when there is a new one, or after this.
const FILES_PERIOD: Duration = Duration::from_secs(60);

/// What the source says of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct SourceEnd {
    /// As last answered; empty before.
    pub(super) location: Location,
    /// The source's clock minus ours, in milliseconds.
    pub(super) clock_ahead_ms: i64,
    /// By our clock.
    pub(super) answered_at: Option<UnixMillis>,
    /// Oldest first; the newest has grown since.
    pub(super) files: Arc<Vec<BinlogFile>>,
    /// Why the last question has no answer.
    pub(super) error: Option<Report>,
}

/// Asks until the receiver is gone.
pub(super) async fn follow(source: Connector, facts: ServerFacts, end: watch::Sender<SourceEnd>) {
    let source = source.for_purpose(Purpose::Check);
    let mut conn: Option<Conn> = None;
    let mut files = Files::default();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = end.closed() => return,
            _ = ticks.tick() => {}
        }
        let answer = tokio::select! {
            () = end.closed() => return,
            answer = timeout(LIMIT, ask(&source, &facts, &mut conn, &mut files)) => answer,
        };
        let error = match answer {
            Ok(Ok(answer)) => {
                end.send_replace(answer);
                continue;
            }
            Ok(Err(error)) => error,
            Err(_) => dm_mysql::Error::Timeout { seconds: LIMIT.as_secs() },
        };
        // it may be in the middle of an answer
        drop(conn.take());
        debug!(%error, "the source does not tell where its log ends");
        let report = Report::of(&error, error.retry());
        end.send_modify(|end| {
            if end.error.is_none() {
                info!(%report, "the source does not tell where its log ends");
            }
            end.error = Some(report);
        });
    }
}

#[derive(Debug, Default)]
struct Files {
    known: Arc<Vec<BinlogFile>>,
    asked_at: Option<Instant>,
}

impl Files {
    fn is_good_for(&self, file: &str) -> bool {
        self.asked_at.is_some_and(|at| at.elapsed() < FILES_PERIOD)
            && self.known.last().is_some_and(|newest| newest.name == file)
    }
}

async fn ask(
    source: &Connector,
    facts: &ServerFacts,
    conn: &mut Option<Conn>,
    files: &mut Files,
) -> dm_mysql::Result<SourceEnd> {
    let conn = match conn {
        Some(conn) => conn,
        None => conn.insert(source.connect().await?),
    };
    let before = clock::wall();
    let time: Option<f64> = conn
        .query_first("SELECT UNIX_TIMESTAMP(NOW(6)) + 0e0")
        .await
        .map_err(|source| dm_mysql::Error::Query { doing: "read the source's clock", source })?;
    let answered_at = clock::wall();
    let theirs = time.map(|seconds| (seconds * 1_000.0) as i64);
    let clock_ahead_ms = theirs.map_or(0, |theirs| theirs - (before.0 + answered_at.0) / 2);
    let location = schema::binlog_status(conn, facts).await?.unwrap_or_default();
    if !location.is_empty() && !files.is_good_for(&location.position.file) {
        files.known = Arc::new(schema::binary_logs(conn).await?);
        files.asked_at = Some(Instant::now());
    }
    Ok(SourceEnd {
        location,
        clock_ahead_ms,
        answered_at: Some(answered_at),
        files: Arc::clone(&files.known),
        error: None,
    })
}
