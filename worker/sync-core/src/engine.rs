//! The replication machine: source events in, target transactions, DDL and watermarks out.
//!
//! Sans-IO: a driver feeds [`Input`]s, executes [`Command`]s, and owns every connection, retry and clock. The engine
//! decides what is a unit, who waits for whom, what shares a transaction and what a lane's row says with it
//! (data-plane.md 4). It keeps nothing across runs: a new run starts from the lane rows. It ends with a [`Stop`], once
//! everything read before the error is committed, or at once when a lane cannot go on.

#![allow(clippy::result_large_err, reason = "an error comes once in a run")]

mod acks;
mod command;
mod config;
mod ddl;
mod dispatch;
mod dml_target;
mod events;
mod input;
mod intake;
mod query;
mod rows;
mod status;
mod stop;

use std::collections::{BTreeMap, VecDeque};

use dm_binlog::{Decoder, Header, Tables};
use dm_fence::{Resume, UnitNumber};
use dm_model::{Location, UnixMillis, gtid::Gtid};

pub use self::{
    command::{Command, Reached},
    config::{Config, Limits, Merges, Start},
    input::{DdlOutcome, Input},
    status::{Blocked, Counters, Lag, Status},
    stop::{Error, Span, Stop},
};
use self::{
    ddl::PendingDdl,
    events::{Payload, Raw},
};
use crate::{
    catalog::Catalog,
    error_op::Operators,
    graph::Graph,
    handover::Handover,
    lanes::Lanes,
    safe_mode::SafeMode,
    stream::Stream,
    structures::Structures,
    unit::{Intake, Slice, Unit},
    watermark::Watermark,
};

/// See the module.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    operators: Operators,
    resume: Resume,
    source: Source,
    catalog: Catalog,
    structures: Structures,
    safe_mode: SafeMode,
    handover: Handover,
    pipeline: Pipeline,
    lanes: Lanes,
    ending: Ending,
    clock: Clock,
    counters: Counters,
    commands: VecDeque<Command>,
}

/// The reading side: bytes to units.
#[derive(Debug)]
struct Source {
    decoder: Decoder,
    tables: Tables,
    stream: Stream,
    intake: Intake,
    backlog: VecDeque<Raw>,
    /// A compressed transaction that is being unpacked; its events come before the backlog's.
    payload: Option<Payload>,
    /// Units up to this one may have been cut from another server's stream.
    elsewhere: UnitNumber,
    /// The stream comes from another server, which may have another order: nothing of it is read before a lane row says
    /// that everything read until now is committed, so that no window ever holds numbers of two orders.
    is_settling: bool,
    blocked_on: Option<Blocked>,
    last_ts: Option<UnixMillis>,
    /// A table map could not be read, of a table that is not replicated.
    has_unreadable_map: bool,
    /// Of the open transaction, when units were cut from it already: it must come to its end.
    partial: Option<Option<Gtid>>,
}

/// The writing side: units to commits.
#[derive(Debug)]
struct Pipeline {
    graph: Graph,
    watermark: Watermark,
    units: BTreeMap<UnitNumber, Unit>,
    ddls: BTreeMap<UnitNumber, PendingDdl>,
    /// Bytes of the units in `units` and on lanes.
    n_bytes: usize,
}

/// Whether, and how, the run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ending {
    Running,
    Draining,
    /// What was read before is committed first.
    Stopping(Box<Stop>),
    Ended,
}

/// Times of the last things done.
#[derive(Debug, Default)]
struct Clock {
    progress_at: Option<UnixMillis>,
    report_at: Option<UnixMillis>,
    reported: Option<Reached>,
}

impl Engine {
    /// One event may cut so many units before the window is looked at again.
    const UNITS_PER_EVENT: u64 = 64;

    /// An engine that goes on after `start.resume`. Nothing happens before the first input.
    pub fn new(config: Config, start: Start) -> Self {
        let Start { resume, rows, structures, handover } = start;
        let reached = Reached { low: resume.low, location: resume.location.clone(), src_ts: resume.src_ts };
        let uuid = resume.source_uuid.clone();
        Self {
            operators: Operators::new(config.operators.clone()),
            safe_mode: SafeMode::new(config.safe_mode.clone()),
            handover: Handover::new(handover),
            source: Source {
                decoder: Decoder::new(config.flavor),
                tables: Tables::new(),
                stream: Stream::new(resume.location.clone(), uuid.clone()),
                intake: Intake::new(
                    resume.low,
                    Slice { n_rows: config.slicing.slice_rows, n_bytes: config.limits.slice_bytes },
                ),
                backlog: VecDeque::new(),
                payload: None,
                elsewhere: UnitNumber(0),
                is_settling: false,
                blocked_on: None,
                last_ts: None,
                has_unreadable_map: false,
                partial: None,
            },
            catalog: Catalog::default(),
            structures: Structures::new(structures, resume.low, config.case_sensitive),
            pipeline: Pipeline {
                graph: Graph::default(),
                watermark: Watermark::new(resume.low, resume.location.clone(), resume.src_ts),
                units: BTreeMap::new(),
                ddls: BTreeMap::new(),
                n_bytes: 0,
            },
            lanes: Lanes::new(config.limits.n_lanes, &rows, reached, uuid),
            resume,
            ending: Ending::Running,
            clock: Clock::default(),
            counters: Counters::default(),
            commands: VecDeque::new(),
            config,
        }
    }

    /// Takes one input; what is to be done about it comes out of [`poll`](Self::poll).
    ///
    /// # Errors
    /// [`Stop`] ends the run: the driver closes its lanes and reports. Further inputs change nothing.
    pub fn handle(&mut self, now: UnixMillis, input: Input) -> Result<(), Stop> {
        if self.ending == Ending::Ended {
            return Ok(());
        }
        let outcome = match input {
            Input::StreamStarted { location, server_uuid } => self.stream_started(&location, server_uuid),
            Input::RawEvent(raw) => {
                self.source.backlog.push_back(Raw::Outer(raw));
                Ok(())
            }
            Input::LaneOpened { lane } => {
                self.lanes.opened(lane);
                Ok(())
            }
            Input::Ack { lane, batch } => {
                self.acknowledged(lane, batch);
                Ok(())
            }
            Input::LaneFailed { lane, batch: _, report } => Err(self.lane_failed(lane, report)),
            Input::SourceTable { table, structure } => {
                self.structures.answer(table, structure);
                Ok(())
            }
            Input::TargetTable { table, structure } => {
                self.catalog.answer(table, structure);
                Ok(())
            }
            Input::DdlDone { unit, piece, outcome } => self.ddl_done(unit, piece, outcome),
            Input::Operators(operators) => {
                self.operators = Operators::new(operators);
                Ok(())
            }
            Input::Tick => Ok(()),
            Input::Drain => {
                self.drain();
                Ok(())
            }
        };
        let outcome = outcome.and_then(|()| {
            self.read();
            self.dispatch(now);
            self.end_if_settled()
        });
        if outcome.is_err() {
            self.ending = Ending::Ended;
            self.commands.clear();
        }
        // Not under `debug_assertions`: the cost grows with what is in flight.
        #[cfg(test)]
        assert_eq!(self.validate(), Ok(()));
        outcome
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// False: feed no more events for now (they are kept if they come, without bound). Ask again after any other input.
    pub fn wants_events(&self) -> bool {
        self.ending == Ending::Running && !self.source.has_more() && self.room().is_none()
    }

    /// Where to open the source's stream, at first and after every broken connection: the end of the last complete
    /// transaction that was read. By GTID set where there is one, else by position.
    pub fn stream_location(&self) -> &Location {
        self.source.stream.read()
    }

    /// The newest watermark of an acknowledged lane row: what is reported and may be purged up to.
    pub fn watermark(&self) -> &Reached {
        self.lanes.reached()
    }

    pub fn status(&self) -> Status {
        let stopping = match &self.ending {
            Ending::Stopping(stop) => Some(stop.report.clone()),
            Ending::Running | Ending::Draining | Ending::Ended => None,
        };
        let blocked_on = match self.ending {
            Ending::Running => self.source.blocked_on.clone().or_else(|| self.room()),
            Ending::Draining | Ending::Stopping(_) | Ending::Ended => Some(Blocked::Ending),
        };
        Status {
            counters: self.counters,
            read: self.source.stream.read().clone(),
            read_unit: self.pipeline.watermark.last(),
            reached: self.lanes.reached().clone(),
            lag: Lag {
                oldest_uncommitted: self.pipeline.watermark.oldest_pending(),
                last_committed: self.pipeline.watermark.src_ts(),
                last_read: self.source.last_ts,
            },
            n_units_in_flight: self.pipeline.graph.len(),
            n_bytes_in_flight: self.pipeline.n_bytes,
            n_lanes_open: self.lanes.n_open(),
            n_lanes_busy: self.lanes.n_busy(),
            safe_mode: self.safe_mode.is_on(),
            blocked_on,
            stopping,
        }
    }

    /// Checks the invariants; the text says which one is broken.
    pub fn validate(&self) -> Result<(), String> {
        self.pipeline.graph.validate()?;
        self.lanes.validate()?;
        let (watermark, reached) = (&self.pipeline.watermark, self.lanes.reached());
        if reached.low > watermark.low() {
            return Err(format!("unit {} is reported, {} is committed", reached.low, watermark.low()));
        }
        if watermark.is_settled() != self.pipeline.graph.is_empty() {
            return Err("the graph and the watermark disagree on what is in flight".to_owned());
        }
        Ok(())
    }

    /// Why no event may be read, as far as space goes.
    fn room(&self) -> Option<Blocked> {
        if self.source.is_settling {
            return Some(Blocked::Window);
        }
        let limit = self.pipeline.watermark.low().0 + dm_fence::Window::SPAN - Self::UNITS_PER_EVENT;
        if self.source.intake.current().0 >= limit {
            return Some(Blocked::Window);
        }
        // With nothing in flight nothing would make room: the unit that is being read goes on to its end.
        let in_flight = self.pipeline.n_bytes;
        let is_full = in_flight > 0 && in_flight + self.source.intake.n_bytes() >= self.config.limits.memory_bytes;
        is_full.then_some(Blocked::Memory)
    }

    fn drain(&mut self) {
        if self.ending == Ending::Running {
            self.ending = Ending::Draining;
            self.source.forget();
        }
    }

    /// A data error: nothing more is read, and the run ends when what was read before is committed.
    fn stop_reading(&mut self, stop: Stop) {
        self.source.forget();
        self.ending = Ending::Stopping(Box::new(stop));
    }

    /// Ends the run when nothing is in flight any more and a lane row says so.
    fn end_if_settled(&mut self) -> Result<(), Stop> {
        match self.ending {
            Ending::Running | Ending::Ended => return Ok(()),
            Ending::Draining | Ending::Stopping(_) => {}
        }
        if !self.is_settled() {
            return Ok(());
        }
        match &self.ending {
            Ending::Running | Ending::Ended => Ok(()),
            Ending::Draining => {
                self.ending = Ending::Ended;
                self.commands.push_back(Command::Report(self.lanes.reached().clone()));
                self.commands.push_back(Command::Drained);
                Ok(())
            }
            Ending::Stopping(stop) => Err((**stop).clone()),
        }
    }

    /// True when all that was read is committed and a lane row says so.
    fn is_settled(&self) -> bool {
        self.pipeline.graph.is_empty()
            && self.lanes.is_idle()
            && !self.lanes.is_behind(&self.pipeline.watermark)
            && !self.structures.has_unsaved()
    }

    /// True when the unit that is being read is in the target already, or was read before.
    fn is_known(&self, unit: UnitNumber) -> bool {
        unit <= self.pipeline.watermark.last() || self.resume.done.contains(unit)
    }

    fn error(&self, error: &Error) -> Stop {
        Stop::at(error, self.source.stream.span())
    }
}

impl Source {
    /// True while events that came are still to be read.
    fn has_more(&self) -> bool {
        !self.backlog.is_empty() || self.payload.is_some()
    }

    /// Drops what came and was not read.
    fn forget(&mut self) {
        self.backlog.clear();
        self.payload = None;
        self.blocked_on = None;
    }
}

/// Made-up events and those of the file itself have no time of the data.
fn note_time(source: &mut Source, header: &Header) {
    source.last_ts = crate::stream::source_time(header).or(source.last_ts);
}

#[cfg(test)]
mod large;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod testbed;
#[cfg(test)]
mod tests;
