//! `--start-time`: from a moment to a location, by the timestamps in the source's binlog.
//!
//! The file is found by the time of its first event, the place inside it by reading on to the first transaction that is not
//! older. Too late a moment is error 20057; one before the oldest file starts at the oldest file, with a warning.

use std::time::Duration;

use dm_binlog::{Body, Decoder};
use dm_config::start_time::StartTime;
use dm_model::{
    BinlogPosition, Flavor, GtidSet, Location, UnixMillis,
    error::{Class, Code, Coded, Level, Report, Retry, Scope},
    gtid::Gtid,
};
use dm_mysql::{Purpose, schema};
use mysql_async::prelude::Queryable;
use tokio::{sync::mpsc, time::timeout};
use tracing::warn;

use super::stream::{self, FromSource};
use crate::unit::{Failure, Leave, incarnation::Incarnation};

/// The source's stream has no end while the source writes, so the search is bounded by silence.
const IDLE_LIMIT: Duration = Duration::from_secs(10);
const QUEUE: usize = 64;

const TOO_LATE: Code = Code::new(
    20057,
    Class::Config,
    Scope::Internal,
    Level::High,
    "Please check the `--start-time` is expected or try again later.",
);

/// The location of the first transaction that is not older than the moment.
pub(super) async fn find(incarnation: &Incarnation, text: &str) -> Result<Location, Leave> {
    let wanted = moment(incarnation, text).await?;
    let mut conn = incarnation.source.for_purpose(Purpose::Check).connect().await?;
    let files = schema::binary_logs(&mut conn).await;
    let _ = conn.disconnect().await;
    let files: Vec<String> = files?.into_iter().map(|file| file.name).collect();
    let Some(first) = files.first() else {
        return Err(too_late("the source has no binlog files").into());
    };
    // the newest file that begins before the moment: of two that begin within its second, the first may end in it too
    let (mut low, mut high) = (0, files.len());
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        if first_time(incarnation, &files[middle]).await? < wanted { low = middle } else { high = middle }
    }
    if low == 0 && first_time(incarnation, first).await? > wanted {
        warn!(file = %first, "the start time is before the oldest binlog file, starting there");
    }
    scan(incarnation, &files[low], wanted).await
}

async fn moment(incarnation: &Incarnation, text: &str) -> Result<UnixMillis, Leave> {
    let fail = |error: dm_config::Error| Failure::new(Report::of(&error as &dyn Coded, Retry::Never));
    let start = StartTime::parse(text).map_err(fail)?;
    // a connection whose time zone is the source's own (or the task's)
    let mut conn = incarnation.source.for_purpose(Purpose::Replication).connect().await?;
    let asked: mysql_async::Result<Option<i32>> =
        conn.query_first("SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW())").await;
    let _ = conn.disconnect().await;
    let offset_seconds = asked.ok().flatten().unwrap_or(0);
    start.resolve(offset_seconds).ok_or_else(|| too_late(format!("`{text}` is not a moment")).into())
}

fn too_late(message: impl Into<String>) -> Failure {
    Failure::new(Report::new(TOO_LATE, Retry::Never, message))
}

/// Opens the stream at the beginning of a file.
fn open(incarnation: &Incarnation, file: &str) -> mpsc::Receiver<FromSource> {
    let (events_tx, events) = mpsc::channel(QUEUE);
    let request = stream::Request {
        source: incarnation.source.clone(),
        flavor: incarnation.flavor,
        location: Location::new(BinlogPosition::new(file, BinlogPosition::FIRST_OFFSET), None),
        by_gtid: false,
        server_id: stream::server_id(&incarnation.context.id, &incarnation.source_facts),
        replica_uuid: stream::replica_uuid(incarnation.context.cluster_id.as_str(), &incarnation.context.id),
        above: Vec::new(),
    };
    // ends when the receiver is dropped
    drop(tokio::spawn(stream::read(request, events_tx)));
    events
}

enum Next {
    Event(Vec<u8>),
    /// Nothing more for now: the end of what the source has.
    End,
}

async fn next(events: &mut mpsc::Receiver<FromSource>) -> Result<Next, Leave> {
    loop {
        match timeout(IDLE_LIMIT, events.recv()).await {
            Ok(Some(FromSource::Started { .. })) => {}
            Ok(Some(FromSource::Event(raw, _))) => return Ok(Next::Event(raw)),
            Ok(Some(FromSource::Ended(report))) => return Err(Failure::new(report).into()),
            Ok(None) | Err(_) => return Ok(Next::End),
        }
    }
}

fn undecodable(error: dm_binlog::Error) -> Leave {
    Failure::new(Report::of(&error as &dyn Coded, Retry::Never)).into()
}

/// The time of a file's first event that stands in the file.
pub(super) async fn first_time(incarnation: &Incarnation, file: &str) -> Result<UnixMillis, Leave> {
    let mut events = open(incarnation, file);
    let mut decoder = Decoder::new(incarnation.flavor);
    while let Next::Event(raw) = next(&mut events).await? {
        let event = decoder.decode(&raw).map_err(undecodable)?;
        if event.header.timestamp > 0 {
            return Ok(UnixMillis(i64::from(event.header.timestamp) * 1_000));
        }
    }
    Ok(UnixMillis(0))
}

/// Reads on to the first transaction that is not older than `wanted`; gives the end of the one before it.
async fn scan(incarnation: &Incarnation, file: &str, wanted: UnixMillis) -> Result<Location, Leave> {
    let mut events = open(incarnation, file);
    let mut decoder = Decoder::new(incarnation.flavor);
    let mut place = Place::new(incarnation.flavor, file);
    loop {
        let raw = match next(&mut events).await? {
            Next::Event(raw) => raw,
            Next::End => return Err(too_late("the start time is later than the source's last transaction").into()),
        };
        let event = decoder.decode(&raw).map_err(undecodable)?;
        if matches!(event.body, Body::Heartbeat { .. }) {
            // heartbeats come when everything was read
            return Err(too_late("the start time is later than the source's last transaction").into());
        }
        let time = UnixMillis(i64::from(event.header.timestamp) * 1_000);
        if time >= wanted && !event.header.is_artificial() && place.begins_transaction(&event.body) {
            return Ok(place.end);
        }
        place.pass(&event);
    }
}

/// Where complete transactions end.
struct Place {
    end: Location,
    offset: u64,
    current: Option<Gtid>,
    standalone: bool,
    /// Inside BEGIN … XID.
    in_rows: bool,
}

impl Place {
    fn new(flavor: Flavor, file: &str) -> Self {
        Self {
            end: Location::new(BinlogPosition::new(file, BinlogPosition::FIRST_OFFSET), Some(GtidSet::empty(flavor))),
            offset: BinlogPosition::FIRST_OFFSET,
            current: None,
            standalone: false,
            in_rows: false,
        }
    }

    fn begins_transaction(&self, body: &Body<'_>) -> bool {
        match body {
            Body::Gtid(_) | Body::MariaDbGtid(_) => true,
            Body::Query(_) => self.current.is_none() && !self.in_rows,
            _ => false,
        }
    }

    fn pass(&mut self, event: &dm_binlog::Event<'_>) {
        if event.moves_position() {
            self.offset = event.header.end_offset(self.offset);
        }
        match &event.body {
            Body::Rotate(rotate) if !rotate.artificial => {
                if let Ok(file) = rotate.file_name() {
                    self.offset = rotate.position;
                    self.end.position = BinlogPosition::new(file, rotate.position);
                }
            }
            Body::PreviousGtids(set) => self.end.gtid = Some(GtidSet::MySql(set.clone())),
            Body::GtidList(list) => self.end.gtid = Some(GtidSet::MariaDb(list.set())),
            Body::Gtid(gtid) => {
                self.current = gtid.id.clone().map(Gtid::MySql);
                self.standalone = false;
            }
            Body::MariaDbGtid(gtid) => {
                self.current = Some(Gtid::MariaDb(gtid.id));
                self.standalone = gtid.is_standalone();
                self.in_rows = !self.standalone;
            }
            Body::Xid(_) | Body::XaPrepare(_) | Body::TransactionPayload(_) => self.complete(),
            Body::Query(query) if query.is_commit() || query.is_rollback() => self.complete(),
            Body::Query(query) if query.is_begin() => self.in_rows = true,
            // outside of BEGIN … XID a query is a transaction by itself; MariaDB says so in the GTID event
            Body::Query(_) if self.standalone || !self.in_rows => self.complete(),
            Body::FormatDescription(_) if self.current.is_none() => self.end.position.offset = self.offset,
            _ => {}
        }
    }

    fn complete(&mut self) {
        if let (Some(gtid), Some(set)) = (self.current.take(), &mut self.end.gtid) {
            // flavors are the same: both come from this stream
            let _ = set.insert(&gtid);
        }
        self.end.position.offset = self.offset;
        self.standalone = false;
        self.in_rows = false;
    }
}
