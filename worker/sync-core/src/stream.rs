//! Where the source's stream is: positions, the GTID of the transaction that is being read, and its shape.
//!
//! Owns three places: the start and the end of the current event, and the end of the last complete transaction, which is
//! the only one to resume from. A GTID joins the set only with its transaction's end. Artificial events never move a
//! place. Never looks into rows or statements.

use dm_binlog::Header;
use dm_model::{BinlogPosition, Location, UnixMillis, gtid::Gtid};

use crate::{engine::Span, watermark::Boundary};

/// How far into a transaction the stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Between,
    /// Its GTID event was read: a statement or a BEGIN follows.
    Announced(Transaction),
    /// Row events may come until XID or COMMIT.
    Open(Transaction),
}

/// The transaction that is being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Start of its first event.
    pub start: BinlogPosition,
    pub gtid: Option<Gtid>,
    /// It is prepared, and committed or rolled back by another transaction later.
    pub xa: bool,
}

#[derive(Debug)]
pub struct Stream {
    server_uuid: String,
    read: Location,
    /// `read` is a position on another server than the one that is connected.
    is_foreign: bool,
    event_start: BinlogPosition,
    event_end: BinlogPosition,
    phase: Phase,
}

impl Stream {
    /// The stream goes on at `location`, which belongs to the server `server_uuid` (empty: unknown).
    pub fn new(location: Location, server_uuid: String) -> Self {
        Self {
            server_uuid,
            event_start: location.position.clone(),
            event_end: location.position.clone(),
            read: location,
            is_foreign: false,
            phase: Phase::Between,
        }
    }

    /// The connection is new: what was read of an open transaction comes again.
    pub fn restart(&mut self, server_uuid: String) {
        self.is_foreign |= !self.server_uuid.is_empty() && self.server_uuid != server_uuid;
        self.server_uuid = server_uuid;
        self.event_start = self.read.position.clone();
        self.event_end = self.read.position.clone();
        self.phase = Phase::Between;
    }

    pub fn server_uuid(&self) -> &str {
        &self.server_uuid
    }

    /// End of the last complete transaction: where to open the stream again.
    pub fn read(&self) -> &Location {
        &self.read
    }

    /// Takes the place of an event. `moves` is false for events that have no place of their own.
    pub fn enter(&mut self, header: &Header, moves: bool) {
        self.event_start.clone_from(&self.event_end);
        if moves {
            self.event_end.offset = header.end_offset(self.event_end.offset);
        }
    }

    /// Takes back the last [`enter`](Self::enter): the event waits and will be entered again.
    pub fn leave(&mut self) {
        self.event_end.clone_from(&self.event_start);
    }

    /// The current event ended between transactions: there is nothing before it to read again. A stream that is opened by
    /// GTID begins with its file's head, which lies before what was read.
    pub fn pass(&mut self) -> BinlogPosition {
        if self.is_foreign || self.event_end > self.read.position {
            self.is_foreign = false;
            self.read.position.clone_from(&self.event_end);
        }
        self.read.position.clone()
    }

    /// The stream goes on in another file. A made-up rotation that names the file we are in means nothing. Gives the
    /// place that was passed when there is no transaction open and the rotation is really in the binlog.
    pub fn rotate(&mut self, file: &str, offset: u64, artificial: bool) -> Option<BinlogPosition> {
        if artificial && file == self.event_end.file {
            return None;
        }
        self.event_end = BinlogPosition::new(file, offset);
        if artificial || self.phase != Phase::Between {
            return None;
        }
        self.read.position = self.event_end.clone();
        Some(self.event_end.clone())
    }

    /// A GTID event: a transaction begins. An unfinished one before it had no end and no effect.
    pub fn announce(&mut self, gtid: Option<Gtid>) {
        self.phase = Phase::Announced(Transaction { start: self.event_start.clone(), gtid, xa: false });
    }

    /// A transaction with rows begins: BEGIN, XA START, or a GTID event of MariaDB.
    pub fn open(&mut self) {
        let start = self.event_start.clone();
        self.phase = match std::mem::replace(&mut self.phase, Phase::Between) {
            Phase::Between => Phase::Open(Transaction { start, gtid: None, xa: false }),
            Phase::Announced(transaction) | Phase::Open(transaction) => Phase::Open(transaction),
        };
    }

    /// The open transaction is an XA transaction in two phases.
    pub fn mark_xa(&mut self) {
        match &mut self.phase {
            Phase::Between => {}
            Phase::Announced(transaction) | Phase::Open(transaction) => transaction.xa = true,
        }
    }

    pub fn transaction(&self) -> Option<&Transaction> {
        match &self.phase {
            Phase::Between => None,
            Phase::Announced(transaction) | Phase::Open(transaction) => Some(transaction),
        }
    }

    /// True between BEGIN and COMMIT.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// The transaction (or the single statement) ends with the current event.
    pub fn finish(&mut self) -> Boundary {
        let gtid = match std::mem::replace(&mut self.phase, Phase::Between) {
            Phase::Between => None,
            Phase::Announced(transaction) | Phase::Open(transaction) => transaction.gtid,
        };
        self.is_foreign = false;
        self.read.position.clone_from(&self.event_end);
        if let (Some(set), Some(gtid)) = (&mut self.read.gtid, &gtid) {
            // The decoder's flavor is the set's flavor.
            let _is_same_flavor = set.insert(gtid);
        }
        Boundary { position: self.event_end.clone(), gtid }
    }

    pub fn event_start(&self) -> &BinlogPosition {
        &self.event_start
    }

    pub fn event_end(&self) -> &BinlogPosition {
        &self.event_end
    }

    /// Start of the transaction that is being read, or of the event when there is none.
    pub fn transaction_start(&self) -> &BinlogPosition {
        self.transaction().map_or(&self.event_start, |transaction| &transaction.start)
    }

    /// The current event's place for messages: the end knows the GTID of its transaction, the start does not.
    pub fn span(&self) -> Span {
        let mut end_gtid = self.read.gtid.clone();
        if let (Some(set), Some(gtid)) = (&mut end_gtid, self.transaction().and_then(|t| t.gtid.as_ref())) {
            let _is_same_flavor = set.insert(gtid);
        }
        Span {
            start: Location::new(self.event_start.clone(), self.read.gtid.clone()),
            end: Location::new(self.event_end.clone(), end_gtid),
        }
    }
}

/// Source time of an event; `None` for made-up events.
pub fn source_time(header: &Header) -> Option<UnixMillis> {
    (header.timestamp != 0).then(|| UnixMillis(i64::from(header.timestamp) * 1000))
}

#[cfg(test)]
mod tests {
    use dm_binlog::EventType;
    use dm_model::{Flavor, GtidSet};

    use super::*;

    fn header(log_pos: u32) -> Header {
        Header { timestamp: 1, event_type: EventType::QUERY, server_id: 1, event_size: 19, log_pos, flags: 0 }
    }

    fn stream() -> Stream {
        let gtid = GtidSet::parse(Flavor::MariaDb, "0-1-5").unwrap();
        Stream::new(Location::new(BinlogPosition::new("b.000001", 4), Some(gtid)), "uuid".into())
    }

    fn gtid(sequence: u64) -> Gtid {
        Gtid::MariaDb(dm_model::gtid::mariadb::Gtid { domain: 0, server: 1, sequence })
    }

    #[test]
    fn the_gtid_of_the_current_transaction_is_in_the_end_but_not_in_the_start() {
        let mut stream = stream();
        stream.enter(&header(100), true);
        stream.announce(Some(gtid(6)));
        stream.enter(&header(200), true);
        stream.open();
        let span = stream.span();
        assert_eq!(span.start.to_string(), "position: (b.000001, 100), gtid-set: 0-1-5");
        assert_eq!(span.end.to_string(), "position: (b.000001, 200), gtid-set: 0-1-6");
        assert_eq!(stream.read().position.offset, 4);
        stream.enter(&header(300), true);
        let boundary = stream.finish();
        assert_eq!((boundary.position.offset, boundary.gtid), (300, Some(gtid(6))));
        assert_eq!(stream.read().to_string(), "position: (b.000001, 300), gtid-set: 0-1-6");
    }

    #[test]
    fn a_made_up_rotation_is_no_place_to_resume_from() {
        let mut stream = stream();
        assert_eq!(stream.rotate("b.000001", 4, true), None);
        assert_eq!(stream.rotate("b.000002", 4, true), None);
        assert_eq!((stream.event_end().file.as_str(), stream.read().position.file.as_str()), ("b.000002", "b.000001"));
        assert_eq!(stream.rotate("b.000003", 4, false), Some(BinlogPosition::new("b.000003", 4)));
        assert_eq!(stream.read().position.file, "b.000003");
    }

    #[test]
    fn the_head_of_a_file_opened_by_gtid_takes_nothing_back() {
        let mut stream = stream();
        stream.enter(&header(900), true);
        stream.announce(Some(gtid(6)));
        stream.finish();
        stream.restart("uuid".into());
        stream.enter(&header(256), true);
        assert_eq!((stream.pass().offset, stream.read().position.offset), (900, 900));
        // on another server the same file name means another place
        stream.restart("other".into());
        stream.enter(&header(256), true);
        assert_eq!((stream.pass().offset, stream.read().position.offset), (256, 256));
    }

    #[test]
    fn after_a_reconnect_the_open_transaction_is_forgotten() {
        let mut stream = stream();
        stream.enter(&header(100), true);
        stream.announce(Some(gtid(6)));
        stream.open();
        stream.restart("other".into());
        assert!(!stream.is_open());
        assert_eq!(stream.event_end().offset, 4);
    }
}
