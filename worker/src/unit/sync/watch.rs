//! Where the source's own log ends, asked every now and then, for status and lag only.
//!
//! Never blocks anything: a source that does not answer within the limit leaves the last answer standing.

use std::time::Duration;

use dm_model::Location;
use dm_mysql::{Connector, Purpose, ServerFacts, schema};
use mysql_async::Conn;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::debug;

const PERIOD: Duration = Duration::from_secs(1);
/// DM bounds the same question by five seconds.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks until the receiver is gone.
pub(super) async fn follow(source: Connector, facts: ServerFacts, end: watch::Sender<Location>) {
    let source = source.for_purpose(Purpose::Check);
    let mut conn: Option<Conn> = None;
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = end.closed() => return,
            _ = ticks.tick() => {}
        }
        match timeout(LIMIT, ask(&source, &facts, &mut conn)).await {
            Ok(Ok(Some(location))) => {
                end.send_replace(location);
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                debug!(%error, "the source does not tell where its log ends");
                conn = None;
            }
            Err(_) => conn = None,
        }
    }
}

async fn ask(source: &Connector, facts: &ServerFacts, conn: &mut Option<Conn>) -> dm_mysql::Result<Option<Location>> {
    if conn.is_none() {
        *conn = Some(source.connect().await?);
    }
    match conn {
        Some(conn) => schema::binlog_status(conn, facts).await,
        None => Ok(None),
    }
}
