//! A consistent view of the source: several connections that see one moment, and where in the binlog that moment is.
//!
//! Owns locks and their shortness. Every lock is on a connection of its own, which closes when anything fails. A view without
//! a binlog has an empty location.

use std::time::Duration;

use dm_model::{BinlogPosition, Flavor, GtidSet, Location, TableName};
use dm_mysql::{Connector, ServerFacts, error_number, schema};
use mysql_async::{Conn, prelude::Queryable};
use tracing::{info, warn};

use super::{error::Error, options::Consistency};

/// Connections of one moment.
#[derive(Debug)]
pub(super) struct View {
    pub(super) readers: Vec<Conn>,
    pub(super) location: Location,
}

/// How long the global lock may be waited for: behind it all writes of the source queue up.
const LOCK_WAIT_SECONDS: u32 = 30;
const SAVEPOINT: &str = "dm_view";
/// How often a moment without writes is looked for.
const QUIET_TRIES: u32 = 20;

/// Opens `n` readers. `tables` are what `LOCK TABLES` names.
pub(super) async fn open(
    source: &Connector,
    facts: &ServerFacts,
    n: usize,
    consistency: Consistency,
    tables: &[TableName],
) -> Result<View, Error> {
    let mut readers = Vec::with_capacity(n);
    for _ in 0..n.max(1) {
        readers.push(reader(source).await?);
    }
    let without_lock = matches!(consistency, Consistency::Auto | Consistency::None);
    if without_lock && facts.flavor == Flavor::MariaDb && facts.log_bin {
        if let Some(location) = told_by_server(&mut readers).await? {
            info!(%location, "consistent view without a lock");
            return Ok(View { readers, location });
        }
        if consistency == Consistency::None {
            // One connection's position is exact by itself.
            readers.truncate(1);
            if let Some(location) = told_by_server(&mut readers).await? {
                return Ok(View { readers, location });
            }
        }
    }
    let mut locker = source.connect().await?;
    let locked = lock(&mut locker, consistency, tables).await?;
    let location = if locked {
        begin(&mut readers).await?;
        let location = position(&mut locker, facts).await?;
        locker.query_drop("UNLOCK TABLES").await.map_err(Error::Read)?;
        location
    } else {
        warn!("no lock on the source: looking for a moment without writes");
        quiet(&mut locker, &mut readers, facts).await?
    };
    // A connection that does not close is the server's to end.
    let _ = locker.disconnect().await;
    info!(%location, locked, "consistent view");
    Ok(View { readers, location })
}

async fn reader(source: &Connector) -> Result<Conn, Error> {
    let mut conn = source.connect().await?;
    // A slow target must not end the reading, nor the readers that wait for their turn.
    let settings = [
        // MariaDB lets go of metadata locks at a savepoint only where the session writes no binlog; this one writes nothing at all.
        "SET SESSION sql_log_bin = 0",
        "SET SESSION net_write_timeout = 86400, net_read_timeout = 86400, wait_timeout = 86400",
        "SET SESSION max_execution_time = 0",
        "SET SESSION max_statement_time = 0",
    ];
    for sql in settings {
        match conn.query_drop(sql).await {
            // Not every server has every variable, not every user may set it.
            Ok(()) | Err(mysql_async::Error::Server(_)) => {}
            Err(error) => return Err(Error::Read(error)),
        }
    }
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await.map_err(Error::Read)?;
    Ok(conn)
}

async fn begin(readers: &mut [Conn]) -> Result<(), Error> {
    for conn in readers {
        // Ends the transaction of an earlier try, too.
        conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT").await.map_err(Error::Read)?;
        conn.query_drop(format!("SAVEPOINT {SAVEPOINT}")).await.map_err(Error::Read)?;
    }
    Ok(())
}

/// Lets go of the tables that were read, so that a DDL of the source, and whoever queues up behind it, need not wait for the end of
/// the copy. The view stays.
pub(super) async fn release(conn: &mut Conn) -> Result<(), Error> {
    conn.query_drop(format!("ROLLBACK TO SAVEPOINT {SAVEPOINT}")).await.map_err(Error::Read)
}

async fn position(conn: &mut Conn, facts: &ServerFacts) -> Result<Location, Error> {
    Ok(schema::binlog_status(conn, facts).await?.unwrap_or_default())
}

/// MariaDB tells each view's own position: nothing has to be locked if all are the same.
async fn told_by_server(readers: &mut [Conn]) -> Result<Option<Location>, Error> {
    const TRIES: u32 = 5;
    for _ in 0..TRIES {
        begin(readers).await?;
        let mut positions = Vec::with_capacity(readers.len());
        for conn in readers.iter_mut() {
            let rows: Vec<(String, String)> =
                conn.query("SHOW SESSION STATUS LIKE 'binlog\\_snapshot\\_%'").await.map_err(Error::Read)?;
            let value = |name: &str| {
                rows.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
            };
            let file = value("binlog_snapshot_file").filter(|file| !file.is_empty());
            let offset = value("binlog_snapshot_position").and_then(|text| text.parse().ok());
            let (Some(file), Some(offset)) = (file, offset) else { return Ok(None) };
            positions.push(BinlogPosition { file, offset });
        }
        let (Some(first), Some(conn)) = (positions.first().cloned(), readers.first_mut()) else { return Ok(None) };
        if positions.iter().all(|position| *position == first) {
            let sql = format!("SELECT BINLOG_GTID_POS({}, {})", dm_mysql::text::literal(&first.file), first.offset);
            let text: Option<Option<String>> = conn.query_first(sql).await.map_err(Error::Read)?;
            let Some(text) = text.flatten() else { return Ok(None) };
            let Ok(set) = GtidSet::parse(Flavor::MariaDb, &text) else { return Ok(None) };
            return Ok(Some(Location::new(first, Some(set))));
        }
    }
    Ok(None)
}

/// True when the source is locked for writes that concern us.
async fn lock(conn: &mut Conn, consistency: Consistency, tables: &[TableName]) -> Result<bool, Error> {
    if consistency == Consistency::None {
        return Ok(false);
    }
    conn.query_drop(format!("SET SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS}")).await.map_err(Error::Read)?;
    if matches!(consistency, Consistency::Auto | Consistency::Flush) {
        match conn.query_drop("FLUSH TABLES WITH READ LOCK").await {
            Ok(()) => return Ok(true),
            Err(error) if consistency == Consistency::Auto && is_refusal(&error) => {
                warn!(%error, "no global read lock; trying to lock the tables");
            }
            Err(error) => return Err(Error::NoView(Some(error))),
        }
    }
    if tables.is_empty() {
        return Ok(false);
    }
    let names: Vec<String> = tables.iter().map(|table| format!("{table} READ")).collect();
    match conn.query_drop(format!("LOCK TABLES {}", names.join(", "))).await {
        Ok(()) => Ok(true),
        Err(error) if consistency == Consistency::Auto && is_refusal(&error) => {
            warn!(%error, "no table locks");
            Ok(false)
        }
        Err(error) => Err(Error::NoView(Some(error))),
    }
}

/// Denied, or waited too long.
fn is_refusal(error: &mysql_async::Error) -> bool {
    matches!(error_number::number(error), Some(1044 | 1045 | 1142 | 1205 | 1227 | 1235 | 1290 | 1146 | 1969 | 3024))
}

/// Views that begin while the binlog stands still, long enough that no commit is on its way between binlog and engine.
async fn quiet(conn: &mut Conn, readers: &mut [Conn], facts: &ServerFacts) -> Result<Location, Error> {
    if !facts.log_bin {
        begin(readers).await?;
        return Ok(Location::default());
    }
    for _ in 0..QUIET_TRIES {
        let before = position(conn, facts).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        begin(readers).await?;
        if position(conn, facts).await? == before {
            return Ok(before);
        }
    }
    Err(Error::NoView(None))
}
