//! Reading events: one at a time, in order, stopping where something must be known or done first.
//!
//! An event that has to wait stays at the front of the backlog and is decoded again later; nothing of it has taken
//! effect by then. Every kind of event is listed: what is not known stops the run.

use dm_binlog::{Body, Decoder, Event, Header, event::MariaDbGtid, payload::InnerEvents};
use dm_model::{GtidSet, Location, gtid::Gtid};

use super::{Blocked, Ending, Engine, Error, Stop};
use crate::stream::source_time;

/// An event as it came.
#[derive(Debug, Clone)]
pub(super) enum Raw {
    Outer(Vec<u8>),
    /// From inside a compressed transaction, with the header of the event around it.
    Inner(Vec<u8>, Header),
}

/// A compressed transaction on its way to its events.
#[derive(Debug)]
pub(super) struct Payload {
    events: InnerEvents<'static>,
    /// Of the event around it.
    header: Header,
}

/// Whether an event is dealt with.
#[derive(Debug)]
pub(super) enum Flow {
    Done,
    /// Its inner events come next.
    Unpack(Box<Payload>),
    /// Again, when this is over.
    Wait(Blocked),
}

impl Engine {
    /// The stream is new, also the first time.
    pub(super) fn stream_started(&mut self, location: &Location, server_uuid: String) -> Result<(), Stop> {
        let known = self.source.stream.server_uuid();
        if !known.is_empty() && known != server_uuid {
            self.source.is_settling = true;
            self.source.elsewhere = self.resume.done.last().unwrap_or_default().max(self.pipeline.watermark.last());
            let several_domains = match &location.gtid {
                None => {
                    return Err(Stop::nowhere(dm_model::error::Report::of(
                        &Error::OtherServer { expected: known.to_owned(), found: server_uuid },
                        dm_model::error::Retry::Never,
                    )));
                }
                Some(GtidSet::MySql(_)) => false,
                Some(GtidSet::MariaDb(set)) => set.iter().count() > 1,
            };
            if several_domains && self.resume.done.last().is_some_and(|last| last > self.pipeline.watermark.low()) {
                let unit = self.source.intake.current();
                return Err(self.error(&Error::OtherOrder { unit }));
            }
        }
        self.lanes.set_server(&server_uuid);
        self.source.decoder = Decoder::new(self.config.flavor);
        self.source.tables.clear();
        self.source.forget();
        self.source.intake.rewind();
        self.source.stream.restart(server_uuid);
        Ok(())
    }

    /// Reads as many events of the backlog as may be read.
    pub(super) fn read(&mut self) {
        while self.ending == Ending::Running {
            if self.source.blocked_on.as_ref().is_some_and(|blocked| !self.is_over(blocked)) {
                return;
            }
            self.source.blocked_on = None;
            self.source.is_settling &= !self.is_settled();
            if self.is_stuck_in_transaction() {
                let error = Error::TooManySlices { n_units: dm_fence::Window::SPAN };
                let stop = self.error(&error);
                return self.stop_reading(stop);
            }
            if self.room().is_some() {
                return;
            }
            let raw = match self.next_raw() {
                Ok(Some(raw)) => raw,
                Ok(None) => return,
                Err(stop) => return self.stop_reading(stop),
            };
            match self.event(&raw) {
                Ok(Flow::Done) => {}
                Ok(Flow::Unpack(payload)) => self.source.payload = Some(*payload),
                Ok(Flow::Wait(blocked)) => {
                    self.source.backlog.push_front(raw);
                    self.source.stream.leave();
                    self.source.blocked_on = Some(blocked);
                }
                Err(stop) => return self.stop_reading(stop),
            }
        }
    }

    /// The window is full and nothing is in flight that could move it: one transaction fills it.
    fn is_stuck_in_transaction(&self) -> bool {
        self.room() == Some(Blocked::Window) && !self.source.is_settling && self.pipeline.graph.is_empty()
    }

    fn is_over(&self, blocked: &Blocked) -> bool {
        match blocked {
            Blocked::SourceStructure(table) => !self.structures.is_asked(table),
            Blocked::TargetStructure(table) => !self.catalog.is_asked(table),
            Blocked::Ddl(table) => !self.catalog.uses(table).iter().any(|it| self.pipeline.graph.is_changing(*it)),
            Blocked::Memory | Blocked::Window | Blocked::Ending => true,
        }
    }

    fn event(&mut self, raw: &Raw) -> Result<Flow, Stop> {
        let event = match raw {
            Raw::Outer(bytes) => self.source.decoder.decode(bytes),
            Raw::Inner(bytes, around) => self.source.decoder.decode_inner(bytes, around),
        };
        let event = event.map_err(|cause| self.error(&Error::Decode(cause)))?;
        let is_inner = matches!(raw, Raw::Inner(..));
        let moves = match &event.body {
            Body::Rotate(_) => false,
            _ => event.moves_position(),
        };
        if event.header.log_pos == 0 && ends_transaction(&event.body) && self.source.stream.read().gtid.is_none() {
            return Err(self.error(&Error::NoPosition));
        }
        self.source.stream.enter(&event.header, moves);
        let flow = self.body(&event)?;
        if let (Flow::Done | Flow::Unpack(_), Raw::Outer(bytes)) = (&flow, raw) {
            self.counters.n_events += 1;
            self.counters.n_bytes += bytes.len() as u64;
            super::note_time(&mut self.source, &event.header);
        }
        if matches!(flow, Flow::Done) && moves && !is_inner && self.source.stream.transaction().is_none() {
            let position = self.source.stream.pass();
            self.pass(position);
        }
        Ok(flow)
    }

    fn body(&mut self, event: &Event<'_>) -> Result<Flow, Stop> {
        let src_ts = source_time(&event.header);
        match &event.body {
            Body::FormatDescription(_)
            | Body::Stop
            | Body::PreviousGtids(_)
            | Body::GtidList(_)
            | Body::AnnotateRows(_)
            | Body::RowsQuery(_)
            | Body::BinlogCheckpoint(_)
            | Body::StartEncryption(_)
            | Body::Heartbeat(_)
            | Body::Ignorable
            // These belong to a statement in STATEMENT format, which stops the run when it comes.
            | Body::Intvar(_)
            | Body::Rand(_)
            | Body::UserVar(_)
            | Body::BeginLoadQuery(_)
            | Body::AppendBlock(_)
            | Body::DeleteFile(_)
            | Body::Unknown { ignorable: true, .. } => Ok(Flow::Done),
            Body::Rotate(rotate) => {
                let file = rotate.file_name().map_err(|cause| self.error(&Error::Decode(cause)))?;
                if let Some(position) = self.source.stream.rotate(file, rotate.position, rotate.artificial) {
                    self.pass(position);
                }
                Ok(Flow::Done)
            }
            Body::Gtid(gtid) => {
                self.announce(gtid.id.clone().map(Gtid::MySql)).map(|()| Flow::Done)
            }
            Body::MariaDbGtid(gtid) => {
                self.announce_mariadb(gtid).map(|()| Flow::Done)
            }
            Body::Query(query) => self.query(query, &event.header),
            Body::Xid(_) => self.end_transaction(src_ts).map(|()| Flow::Done),
            Body::TableMap(map) => self.table_map(map).map(|()| Flow::Done),
            Body::Rows(rows) => self.rows(rows, src_ts),
            Body::TransactionPayload(payload) => {
                self.payload(payload, event.header).map(|payload| Flow::Unpack(Box::new(payload)))
            }
            Body::XaPrepare(prepare) => {
                if !prepare.one_phase && self.source.intake.has_changes() {
                    return Err(self.error(&Error::Xa));
                }
                self.end_transaction(src_ts).map(|()| Flow::Done)
            }
            Body::Incident(incident) => {
                let message = String::from_utf8_lossy(incident.message).into_owned();
                Err(self.error(&Error::Incident { message }))
            }
            Body::ExecuteLoadQuery(_) => Err(self.error(&Error::StatementFormat)),
            Body::Unknown { event_type, ignorable: false } => {
                Err(self.error(&Error::UnknownEvent { event_type: event_type.0 }))
            }
        }
    }

    fn announce(&mut self, gtid: Option<Gtid>) -> Result<(), Stop> {
        self.begin_transaction(gtid.as_ref())?;
        self.source.stream.announce(gtid);
        Ok(())
    }

    fn announce_mariadb(&mut self, event: &MariaDbGtid<'_>) -> Result<(), Stop> {
        self.announce(Some(Gtid::MariaDb(event.id)))?;
        if event.opens_transaction() {
            self.source.stream.open();
        }
        if event.xa.is_some_and(|xa| !xa.completed) {
            self.source.stream.mark_xa();
        }
        Ok(())
    }

    /// The next event: one that had to wait, then those of an open payload, then what the stream sent.
    fn next_raw(&mut self) -> Result<Option<Raw>, Stop> {
        if let Some(Raw::Inner(..)) = self.source.backlog.front() {
            return Ok(self.source.backlog.pop_front());
        }
        if let Some(payload) = &mut self.source.payload {
            match payload.events.next_raw() {
                Ok(Some(raw)) => return Ok(Some(Raw::Inner(raw.to_vec(), payload.header))),
                Ok(None) => self.source.payload = None,
                Err(cause) => return Err(self.error(&Error::Decode(cause))),
            }
        }
        Ok(self.source.backlog.pop_front())
    }

    /// A compressed transaction is unpacked event by event, as there is room for them.
    fn payload(&self, payload: &dm_binlog::payload::TransactionPayload<'_>, header: Header) -> Result<Payload, Stop> {
        let events = payload.detach(self.source.decoder.limits());
        Ok(Payload { events: events.map_err(|cause| self.error(&Error::Decode(cause)))?, header })
    }
}

fn ends_transaction(body: &Body<'_>) -> bool {
    match body {
        Body::Xid(_) => true,
        Body::Query(query) => query.is_commit(),
        _ => false,
    }
}
