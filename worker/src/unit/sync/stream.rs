//! The source's binlog as raw events, header and checksum included.
//!
//! The library is the transport only: bodies are decoded by the engine. A broken stream is reopened by the driver where the
//! engine says; one that fails to open for a reason a person must mend (binlogs purged, no right) ends the unit.

use std::{sync::Arc, time::Duration};

use dm_binlog::{EventType, Header, frame};
use dm_model::{
    Flavor, GtidSet, Location, SubtaskId,
    error::{Class, Code, Level, Report, Retry, Scope},
    gtid::mysql,
};
use dm_mysql::{Connector, Purpose, ServerFacts, error_number, facts};
use futures::StreamExt;
use mysql_async::{
    BinlogStream, BinlogStreamRequest, Conn, GnoInterval, Sid, binlog::events::Event, prelude::Queryable,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tracing::info;

use super::history;

/// The source sends a heartbeat when nothing happens for so long.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Silence after which the source counts as gone.
const SILENCE: Duration = Duration::from_secs(15);
const OPEN_LIMIT: Duration = Duration::from_secs(30);
/// Events read from the source and not yet taken by the engine hold at most so many bytes; a larger one stands alone.
const QUEUE_BYTES: u32 = 8 << 20;
/// DM's range of replica server ids.
const FIRST_SERVER_ID: u32 = 429_496_729;
const N_SERVER_IDS: u64 = 100_000;

/// The binlog event type of a compressed transaction, whose inner events the library hands out after it.
const TRANSACTION_PAYLOAD: u8 = 40;
const HEARTBEATS: [u8; 2] = [27, 41];
/// Header flag of events that stand in no file.
const ARTIFICIAL: u16 = 0x20;

pub(super) const GET_EVENT: Code = Code::new(
    36069,
    Class::SyncUnit,
    Scope::Upstream,
    Level::High,
    "Please check if the binlog file could be parsed by `mysqlbinlog`, and whether it still exists on the source.",
);

/// What the reader tells the driver.
#[derive(Debug)]
pub(super) enum FromSource {
    Started {
        location: Location,
        server_uuid: String,
    },
    /// With its share of [`QUEUE_BYTES`], given back when dropped.
    Event(Vec<u8>, OwnedSemaphorePermit),
    /// The stream is over; nothing comes any more.
    Ended(Report),
}

/// Whose stream to open, and as whom.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) source: Connector,
    pub(super) flavor: Flavor,
    pub(super) location: Location,
    /// By GTID set, else by file and offset.
    pub(super) by_gtid: bool,
    pub(super) server_id: u32,
    pub(super) replica_uuid: String,
    /// GTIDs of what is in the target above `location`: the source must have them too.
    pub(super) above: Vec<GtidSet>,
}

/// Every owner of a subtask presents itself under the same id, so that the source drops a former owner's stream.
pub(super) fn server_id(subtask: &SubtaskId, source: &ServerFacts) -> u32 {
    let offset = u32::try_from(stable_hash(&subtask.to_string()) % N_SERVER_IDS).unwrap_or(0);
    let id = FIRST_SERVER_ID + offset;
    if id == source.server_id { id + 1 } else { id }
}

/// A UUID that only this subtask presents.
pub(super) fn replica_uuid(cluster: &str, subtask: &SubtaskId) -> String {
    let text = format!("{cluster}/{subtask}");
    let (a, b) = (stable_hash(&text), stable_hash(&format!("{text}/2")));
    let hex = format!("{a:016x}{b:016x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}

/// FNV-1a: the same on every machine and version.
fn stable_hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Reads until the stream ends or the driver is gone. The last message is `Ended`.
pub(super) async fn read(request: Request, events: mpsc::Sender<FromSource>) {
    let report = match timeout(OPEN_LIMIT, open(&request)).await {
        Ok(Ok((stream, server_uuid))) => {
            let started = FromSource::Started { location: request.location.clone(), server_uuid };
            if events.send(started).await.is_err() {
                return;
            }
            match forward(stream, &events).await {
                Some(report) => report,
                None => return,
            }
        }
        Ok(Err(report)) => report,
        Err(_) => failed("the source does not open its binlog stream in time", String::new(), Retry::Backoff),
    };
    // the driver may be gone already
    let _ = events.send(FromSource::Ended(report)).await;
}

/// Passes events on. `None`: the driver is gone.
async fn forward(mut stream: BinlogStream, events: &mpsc::Sender<FromSource>) -> Option<Report> {
    let mut inside_payload = false;
    let room = Arc::new(Semaphore::new(QUEUE_BYTES as usize));
    let ended = loop {
        let next = tokio::select! {
            biased;
            () = events.closed() => {
                let _ = timeout(Duration::from_secs(1), stream.close()).await;
                return None;
            }
            next = timeout(SILENCE, stream.next()) => next,
        };
        let event = match next {
            Ok(Some(Ok(event))) => event,
            Ok(Some(Err(error))) => break of_library(&error),
            Ok(None) => break failed("the source ended its binlog stream", String::new(), Retry::Backoff),
            Err(_) => {
                break failed(
                    "the source was silent for too long",
                    format!("no event within {SILENCE:?}"),
                    Retry::Backoff,
                );
            }
        };
        let header = event.header();
        let kind = header.event_type_raw();
        if inside_payload && is_from_payload(header.log_pos(), header.flags_raw(), kind) {
            continue;
        }
        inside_payload = kind == TRANSACTION_PAYLOAD;
        let raw = raw(&event);
        drop(event);
        let share = u32::try_from(raw.len()).unwrap_or(QUEUE_BYTES).min(QUEUE_BYTES);
        let permit = tokio::select! {
            biased;
            () = events.closed() => return None,
            permit = Arc::clone(&room).acquire_many_owned(share) => permit,
        };
        // the semaphore is never closed
        let Ok(permit) = permit else { return None };
        if events.send(FromSource::Event(raw, permit)).await.is_err() {
            return None;
        }
    };
    let _ = timeout(Duration::from_secs(1), stream.close()).await;
    Some(ended)
}

/// Events that the library unpacked stand nowhere in the file; the engine unpacks the payload itself.
fn is_from_payload(log_pos: u32, flags: u16, kind: u8) -> bool {
    log_pos == 0 && flags & ARTIFICIAL == 0 && !HEARTBEATS.contains(&kind)
}

/// The event as the source sent it.
fn raw(event: &Event) -> Vec<u8> {
    let of_library = event.header();
    let header = Header {
        timestamp: of_library.timestamp(),
        event_type: EventType(of_library.event_type_raw()),
        server_id: of_library.server_id(),
        event_size: of_library.event_size(),
        log_pos: of_library.log_pos(),
        flags: of_library.flags_raw(),
    };
    // the library keeps a format description's checksum algorithm apart from its body
    let algorithm = (header.event_type == EventType::FORMAT_DESCRIPTION)
        .then(|| event.footer().get_checksum_alg().ok().flatten().map(|algorithm| algorithm as u8))
        .flatten();
    let mut bytes = Vec::with_capacity(usize::try_from(header.event_size).unwrap_or_default());
    frame::assemble(&mut bytes, &header, event.data(), algorithm, event.checksum());
    bytes
}

async fn open(request: &Request) -> Result<(BinlogStream, String), Report> {
    let of_ours = |error: dm_mysql::Error| Report::of(&error, error.retry());
    let mut conn = request.source.for_purpose(Purpose::Replication).connect().await.map_err(of_ours)?;
    let found = facts(&mut conn).await.map_err(of_ours)?;
    prepare(&mut conn, request, &found).await.map_err(|error| of_library(&error))?;
    let by_gtid = request.by_gtid && request.location.gtid.is_some();
    if by_gtid {
        let known: Vec<GtidSet> = request.location.gtid.iter().chain(&request.above).cloned().collect();
        history::check(&mut conn, &found, &known).await?;
    }
    info!(location = %request.location, by_gtid, server_id = request.server_id, server = %found.server_uuid, "opening the binlog stream");
    let file = request.location.position.file.clone();
    let mut wanted = BinlogStreamRequest::new(request.server_id);
    match (&request.location.gtid, by_gtid) {
        (Some(GtidSet::MySql(set)), true) => wanted = wanted.with_gtid().with_gtid_set(sids(set)?),
        // MariaDB takes the set from a session variable and wants no file
        (Some(GtidSet::MariaDb(_)), true) => {}
        (Some(_) | None, _) => {
            wanted = wanted.with_filename(file.as_bytes()).with_pos(request.location.position.offset)
        }
    }
    let stream = conn.get_binlog_stream(wanted).await.map_err(|error| of_library(&error))?;
    Ok((stream, found.server_uuid))
}

async fn prepare(conn: &mut Conn, request: &Request, found: &ServerFacts) -> mysql_async::Result<()> {
    let period_ns = HEARTBEAT.as_nanos();
    conn.query_drop(format!("SET @master_heartbeat_period = {period_ns}, @source_heartbeat_period = {period_ns}"))
        .await?;
    match request.flavor {
        Flavor::MySql => {
            let uuid = &request.replica_uuid;
            conn.query_drop(format!("SET @slave_uuid = '{uuid}', @replica_uuid = '{uuid}'")).await?;
        }
        Flavor::MariaDb => {
            // without it the server rewrites GTID events, and stops at XA
            conn.query_drop("SET @mariadb_slave_capability = 4").await?;
            if let (Some(GtidSet::MariaDb(set)), true) = (&request.location.gtid, request.by_gtid) {
                conn.query_drop(format!("SET @slave_connect_state = '{set}'")).await?;
                let strict = u8::from(found.gtid_strict_mode.unwrap_or(false));
                conn.query_drop(format!("SET @slave_gtid_strict_mode = {strict}, @slave_gtid_ignore_duplicates = 0"))
                    .await?;
            }
        }
    }
    Ok(())
}

/// The set in the dump request's form: intervals are half open.
fn sids(set: &mysql::Set) -> Result<Vec<Sid<'static>>, Report> {
    let bad = |what: &str| failed("cannot ask for a GTID set", what.to_owned(), Retry::Never);
    let mut all: Vec<(mysql::Sid, Vec<GnoInterval>)> = Vec::new();
    for (sid, first, last) in set.iter() {
        let interval = GnoInterval::new(first, last + 1);
        match all.last_mut() {
            Some((known, intervals)) if known == sid => intervals.push(interval),
            Some(_) | None => all.push((sid.clone(), vec![interval])),
        }
    }
    all.into_iter()
        .map(|(sid, intervals)| {
            let uuid = uuid::Uuid::parse_str(&sid.uuid).map_err(|_| bad("a source id is not a UUID"))?;
            let mut one = Sid::new(*uuid.as_bytes()).with_intervals(intervals);
            if !sid.tag.is_empty() {
                one = one.with_tag(mysql_common::packets::Tag::new(sid.tag).map_err(|_| bad("a tag is not valid"))?);
            }
            Ok(one)
        })
        .collect()
}

pub(super) fn failed(message: &str, cause: String, retry: Retry) -> Report {
    Report::new(GET_EVENT, retry, message).with_cause(cause)
}

pub(super) fn of_library(error: &mysql_async::Error) -> Report {
    let text = error.to_string();
    let retry = retry(error_number::number(error), &text).unwrap_or_else(|| error_number::retry(error));
    failed("get binlog event", text, retry)
}

/// 1236 means that what we ask for is not there any more (or never was): no retry brings it back. But both kinds of server
/// also end our stream when a former owner that does not know yet opens one under our id (1236 on MySQL, 4052 on MariaDB):
/// it will be fenced, so we come back.
fn retry(number: Option<u16>, text: &str) -> Option<Retry> {
    match number {
        Some(4052) => Some(Retry::Backoff),
        Some(1236) if text.contains("same server_uuid/server_id") => Some(Retry::Backoff),
        Some(1236) => Some(Retry::Never),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use dm_model::{SourceId, TaskName};

    use super::*;

    #[test]
    fn a_subtask_always_presents_itself_in_the_same_way() {
        let id = SubtaskId::new(TaskName::parse("t").unwrap(), SourceId::parse("s").unwrap());
        assert_eq!(replica_uuid("c", &id), replica_uuid("c", &id));
        assert_ne!(replica_uuid("c", &id), replica_uuid("d", &id));
        assert!(uuid::Uuid::parse_str(&replica_uuid("c", &id)).is_ok());
    }

    #[test]
    fn intervals_of_a_dump_request_are_half_open_and_tagged() {
        let set = mysql::Set::parse("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:9:tag:2").unwrap();
        let sids = sids(&set).unwrap();
        assert_eq!(sids.len(), 2);
        assert_eq!((sids[0].intervals()[0].start(), sids[0].intervals()[0].end()), (1, 6));
        assert_eq!(sids[0].intervals().len(), 2);
        assert_eq!(sids[1].tag().map(|t| t.as_str().to_owned()), Some("tag".to_owned()));
    }

    #[test]
    fn a_stream_that_a_former_owner_took_is_opened_again_and_purged_logs_are_not() {
        let taken = "A replica with the same server_uuid/server_id as this replica has connected to the source";
        assert_eq!(retry(Some(1236), taken), Some(Retry::Backoff));
        assert_eq!(retry(Some(4052), ""), Some(Retry::Backoff));
        assert_eq!(
            retry(Some(1236), "Could not find first log file name in binary log index file"),
            Some(Retry::Never)
        );
        assert_eq!(retry(Some(2013), ""), None);
    }

    #[test]
    fn events_of_a_payload_are_told_from_those_of_the_file() {
        assert!(is_from_payload(0, 0, 19));
        assert!(!is_from_payload(0, ARTIFICIAL, 4), "an artificial rotate");
        assert!(!is_from_payload(0, 0, 27), "a heartbeat");
        assert!(!is_from_payload(123, 0, 33));
    }
}
