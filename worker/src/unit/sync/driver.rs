//! The one `select!` of replication: stop, lanes, structures, operators, time, the source.
//!
//! Feeds the engine and executes what it asks for, in order. Ends when the engine is drained, stops, or a lane says that our
//! memory of the target is worth nothing. At the end every lane is closed, so that a successor has nothing to wait for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dm_fence::LaneRow;
use dm_model::{
    GtidSet, Location,
    error::{Report, Retry},
};
use dm_mysql::{Connector, Purpose, fence::Lane};
use dm_runtime::{Tasks, clock};
use dm_sync_core::engine::{Command, Engine, Input};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tracing::{info, warn};

use super::{
    config, history,
    lane::{FromLane, Job, LaneEnd, LaneTask, Shared, What},
    meter::Meter,
    start::Begin,
    status::{self, Totals},
    stream::{self, FromSource},
    structures::{self, Side},
    watch::{self as source_watch, SourceEnd},
};
use crate::{
    assignment::Assignment,
    unit::{Failure, Leave, Stop, UnitEnd, incarnation::Incarnation},
};

/// Events waiting between the source's reader and the engine; of about 8 KB each.
const EVENT_QUEUE: usize = 256;
/// Answers waiting: each lane has at most a few outstanding.
const ANSWER_QUEUE: usize = 256;
/// Jobs a lane may have waiting: the engine gives a lane one at a time.
const JOB_QUEUE: usize = 2;
const TICK: Duration = Duration::from_millis(250);
/// Pauses before the source's stream is opened again after it broke.
const REOPEN_FIRST: Duration = Duration::from_millis(100);
const REOPEN_LONGEST: Duration = Duration::from_secs(3);
/// How often in a row the stream may break at one place before the unit gives up for the supervisor's backoff.
const REOPEN_TRIES: u32 = 20;
/// The same where it is no matter of the network: a source lacks transactions, as a replica does that is still catching up,
/// or sends what cannot be taken apart.
const FEW_TRIES: u32 = 4;
/// A stream that lived so long was not broken by what is at its place.
const STEADY: Duration = Duration::from_secs(60);

/// What the loop reacts to.
enum Turn {
    Kill,
    Drain,
    Lane(FromLane),
    Structure(structures::Answer),
    Wish,
    Tick,
    Reopen,
    Source(FromSource),
    SourceGone,
}

/// Replication of one incarnation.
#[derive(Debug)]
pub(super) struct Driver {
    incarnation: Incarnation,
    engine: Engine,
    tasks: Tasks,
    shared: Arc<Shared>,
    rows: BTreeMap<u16, LaneRow>,
    lanes: BTreeMap<u16, mpsc::Sender<Job>>,
    lane_answers: (mpsc::Sender<FromLane>, mpsc::Receiver<FromLane>),
    questions: mpsc::UnboundedSender<(Side, dm_model::TableName)>,
    structure_answers: mpsc::Receiver<structures::Answer>,
    events: Option<mpsc::Receiver<FromSource>>,
    /// When to open the source's stream again. A moment and not a span: the loop turns more often than the pause is long.
    reopen_at: Option<Instant>,
    n_broken: u32,
    /// Where the stream stood when it broke last, and when it was opened last.
    broken_at: Location,
    opened_at: Instant,
    /// GTIDs of what was in the target above the watermark when this run began.
    above: Vec<GtidSet>,
    source_end: watch::Receiver<SourceEnd>,
    wish: watch::Receiver<Assignment>,
    totals: Totals,
    meter: Meter,
    ending: bool,
    drained: bool,
}

impl Driver {
    pub(super) async fn new(incarnation: Incarnation, begin: Begin) -> Result<Self, Leave> {
        let tasks = Tasks::new();
        let above = begin.resume.done_gtid.clone();
        let engine = Engine::new(
            config::engine(&incarnation, begin.merges)?,
            dm_sync_core::engine::Start {
                resume: begin.resume,
                rows: begin.rows.clone(),
                structures: begin.structures,
                handover: begin.handover,
            },
        );
        let intents = incarnation
            .takeover
            .taken
            .intents
            .iter()
            .map(|(intent, verdict)| ((intent.unit, intent.piece), *verdict))
            .collect();
        let shared = Arc::new(Shared {
            target: Arc::clone(&incarnation.target),
            intents,
            kill: tokio_util::sync::CancellationToken::new(),
        });
        let (questions, asked) = mpsc::unbounded_channel();
        let (answers, structure_answers) = mpsc::channel(ANSWER_QUEUE);
        let target = Connector::new(&incarnation.config.target, Purpose::Check);
        tasks.spawn("structures", structures::serve(incarnation.source.clone(), target, asked, answers));
        let (end_tx, source_end) = watch::channel(SourceEnd::default());
        tasks.spawn(
            "source-end",
            source_watch::follow(incarnation.source.clone(), incarnation.source_facts.clone(), end_tx),
        );
        Ok(Self {
            wish: incarnation.context.wish.clone(),
            engine,
            tasks,
            shared,
            rows: begin.rows.into_iter().map(|row| (row.lane, row)).collect(),
            lanes: BTreeMap::new(),
            lane_answers: mpsc::channel(ANSWER_QUEUE),
            questions,
            structure_answers,
            events: None,
            reopen_at: Some(Instant::now()),
            n_broken: 0,
            broken_at: Location::default(),
            opened_at: Instant::now(),
            above,
            source_end,
            totals: Totals::new(clock::monotonic_ms()),
            meter: Meter::new(Arc::clone(incarnation.context.cell.metrics())),
            ending: false,
            drained: false,
            incarnation,
        })
    }

    /// Runs to the end of this incarnation.
    pub(super) async fn run(mut self, stop: &Stop) -> Result<UnitEnd, Leave> {
        let outcome = self.turn_until_end(stop).await;
        let killed =
            stop.kill.is_cancelled() || matches!(outcome, Err(Leave::TakeOverAgain(_) | Leave::End(UnitEnd::Fenced)));
        self.show();
        self.close(killed).await;
        outcome
    }

    async fn turn_until_end(&mut self, stop: &Stop) -> Result<UnitEnd, Leave> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.execute()?;
        loop {
            let turn = self.next(stop, &mut ticks).await;
            match turn {
                Turn::Kill => return Ok(UnitEnd::Drained),
                Turn::Drain => {
                    self.ending = true;
                    self.feed(Input::Drain)?;
                }
                Turn::Lane(from) => self.on_lane(from)?,
                Turn::Structure(answer) => self.on_structure(answer)?,
                Turn::Wish => self.on_wish()?,
                Turn::Tick => {
                    self.feed(Input::Tick)?;
                    self.show();
                }
                Turn::Reopen => self.open_stream(),
                Turn::Source(from) => self.on_source(from)?,
                Turn::SourceGone => self.on_broken(
                    stream::failed(
                        "the reader of the source's stream ended without a word",
                        "an event's frame may be damaged; see the log".to_owned(),
                        Retry::Backoff,
                    ),
                    FEW_TRIES,
                )?,
            }
            self.execute()?;
            if self.drained {
                return Ok(UnitEnd::Drained);
            }
        }
    }

    async fn next(&mut self, stop: &Stop, ticks: &mut tokio::time::Interval) -> Turn {
        let wants_events = self.engine.wants_events();
        let reopen = async {
            match self.reopen_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let event = async {
            match &mut self.events {
                Some(events) if wants_events => events.recv().await,
                Some(_) | None => std::future::pending().await,
            }
        };
        // every branch is cancel safe: channels, timers and tokens keep what is not taken
        tokio::select! {
            biased;
            () = stop.kill.cancelled() => Turn::Kill,
            () = stop.drain.cancelled(), if !self.ending => Turn::Drain,
            Some(from) = self.lane_answers.1.recv() => Turn::Lane(from),
            Some(answer) = self.structure_answers.recv() => Turn::Structure(answer),
            Ok(()) = self.wish.changed() => Turn::Wish,
            _ = ticks.tick() => Turn::Tick,
            () = reopen, if !self.ending => Turn::Reopen,
            event = event => match event {
                Some(from) => Turn::Source(from),
                None => Turn::SourceGone,
            },
        }
    }

    fn feed(&mut self, input: Input) -> Result<(), Leave> {
        self.engine.handle(clock::wall(), input).map_err(|stop| {
            let ddl_at = stop.ddl.is_some().then(|| stop.start.map(|start| start.position)).flatten();
            Failure { report: stop.report, ddl_at }.into()
        })
    }

    fn on_lane(&mut self, from: FromLane) -> Result<(), Leave> {
        let lane = from.lane;
        self.meter.answered(lane, &from.what);
        match from.what {
            What::Opened => self.feed(Input::LaneOpened { lane }),
            What::Committed(batch) => {
                crate::fail_point::pass("ack");
                self.feed(Input::Ack { lane, batch })
            }
            What::DdlDone { unit, piece, outcome } => self.feed(Input::DdlDone { unit, piece, outcome }),
            What::Ended(LaneEnd::Fenced) => Err(Leave::End(UnitEnd::Fenced)),
            What::Ended(LaneEnd::TakeOverAgain(report)) => Err(Leave::TakeOverAgain(report)),
            What::Ended(LaneEnd::Failed { batch, report }) => self.feed(Input::LaneFailed { lane, batch, report }),
        }
    }

    fn on_structure(&mut self, answer: structures::Answer) -> Result<(), Leave> {
        self.meter.told();
        let structure = answer.structure.map_err(Failure::new)?;
        let table = answer.table;
        self.feed(match answer.side {
            Side::Source => Input::SourceTable { table, structure },
            Side::Target => Input::TargetTable { table, structure },
        })
    }

    fn on_wish(&mut self) -> Result<(), Leave> {
        let operators = config::operators(&self.wish.borrow_and_update().operators);
        self.feed(Input::Operators(operators))
    }

    fn on_source(&mut self, from: FromSource) -> Result<(), Leave> {
        match from {
            FromSource::Started { location, server_uuid } => {
                crate::fail_point::pass("stream");
                self.feed(Input::StreamStarted { location, server_uuid })
            }
            FromSource::Event(raw, permit) => {
                drop(permit);
                let since = self.meter.event(raw.len());
                let fed = self.feed(Input::RawEvent(raw));
                self.meter.handled(since, *self.engine.counters());
                fed
            }
            FromSource::Ended(report) => {
                let n_tries = if report.code == history::MISSING.number { FEW_TRIES } else { REOPEN_TRIES };
                self.on_broken(report, n_tries)
            }
        }
    }

    /// The stream is opened again, unless it broke too often at one place: then a person or the supervisor's backoff has to
    /// help. Events alone are no progress, each new stream begins with some.
    fn on_broken(&mut self, report: Report, n_tries: u32) -> Result<(), Leave> {
        let at = self.engine.stream_location();
        if *at != self.broken_at || self.opened_at.elapsed() > STEADY {
            self.n_broken = 0;
        }
        self.broken_at.clone_from(at);
        self.n_broken += 1;
        if report.retry == Retry::Never || self.n_broken > n_tries {
            return Err(Failure::new(self.with_location(report)).into());
        }
        warn!(error = %report, n_broken = self.n_broken, "the source's stream broke");
        self.reopen_later();
        Ok(())
    }

    fn with_location(&self, mut report: Report) -> Report {
        report.message = format!("startLocation: [{}]: {}", self.engine.stream_location(), report.message);
        report
    }

    fn reopen_later(&mut self) {
        self.events = None;
        let pause = REOPEN_FIRST * 2u32.saturating_pow(self.n_broken.min(8));
        self.reopen_at = Some(Instant::now() + pause.min(REOPEN_LONGEST));
    }

    fn open_stream(&mut self) {
        self.reopen_at = None;
        self.opened_at = Instant::now();
        let (events_tx, events) = mpsc::channel(EVENT_QUEUE);
        let request = stream::Request {
            source: self.incarnation.source.clone(),
            flavor: self.incarnation.flavor,
            location: self.engine.stream_location().clone(),
            by_gtid: self.incarnation.config.enable_gtid,
            server_id: match self.incarnation.config.server_id {
                0 => stream::server_id(&self.incarnation.context.id, &self.incarnation.source_facts),
                given => given,
            },
            replica_uuid: stream::replica_uuid(
                self.incarnation.context.cluster_id.as_str(),
                &self.incarnation.context.id,
            ),
            above: self.above.clone(),
        };
        self.tasks.spawn("binlog", stream::read(request, events_tx));
        self.events = Some(events);
    }

    /// Executes everything the engine asks for.
    fn execute(&mut self) -> Result<(), Leave> {
        while let Some(command) = self.engine.poll() {
            if matches!(command, Command::ReadSource { .. } | Command::ReadTarget { .. }) {
                self.meter.asked();
            }
            match command {
                Command::OpenLane { lane } => self.open_lane(lane),
                Command::Run { lane, batch } => self.give(lane, Job::Run(batch)),
                Command::IdleProgress { lane, batch, progress, structures } => {
                    self.give(lane, Job::IdleProgress { batch, progress, structures });
                }
                Command::Ddl(command) => self.give(command.lane, Job::Ddl(command)),
                Command::SkipDdl(skip) => self.give(skip.lane, Job::SkipDdl(skip)),
                // the service lives as long as this driver
                Command::ReadSource { table } => drop(self.questions.send((Side::Source, table))),
                Command::ReadTarget { table } => drop(self.questions.send((Side::Target, table))),
                Command::Report(_) => self.show(),
                Command::Drained => self.drained = true,
            }
        }
        Ok(())
    }

    fn open_lane(&mut self, number: u16) {
        let resume = &self.incarnation.takeover.taken.resume;
        let row = self.rows.get(&number).cloned().unwrap_or_else(|| {
            let target = &self.incarnation.target;
            LaneRow::first(number, target.cluster_id.clone(), target.epoch, resume.slicing)
        });
        let lane = Lane::new(Arc::clone(&self.incarnation.target), number, &self.incarnation.takeover);
        let row = forget_window(row);
        let (jobs_tx, jobs) = mpsc::channel(JOB_QUEUE);
        let task = LaneTask::new(lane, row, Arc::clone(&self.shared), self.lane_answers.0.clone());
        self.tasks.spawn("lane", task.run(jobs));
        self.lanes.insert(number, jobs_tx);
    }

    fn give(&mut self, lane: u16, job: Job) {
        let Some(jobs) = self.lanes.get(&lane) else {
            warn!(lane, "the engine gave work to a lane that is not open");
            return;
        };
        self.meter.given(lane, &job);
        // a lane that has ended has said why, and that ends the run
        if jobs.try_send(job).is_err() {
            info!(lane, "a lane takes no more work");
        }
    }

    /// Shows users and the leader where we are.
    fn show(&mut self) {
        let status = self.engine.status();
        let source = self.source_end.borrow().clone();
        let used = config::used_up(&self.wish.borrow().operators, &status.reached.location.position);
        let (now, monotonic_ms, totals) = (clock::wall(), clock::monotonic_ms(), &mut self.totals);
        self.incarnation.context.cell.update(|view| {
            status::show(view, &status, &source, now, monotonic_ms, totals, self.meter.metrics());
            view.consumed_operators = used;
        });
    }

    async fn close(self, killed: bool) {
        if killed {
            self.shared.kill.cancel();
        }
        let Self { tasks, lanes, events, questions, lane_answers, structure_answers, source_end, .. } = self;
        drop((lanes, events, questions, lane_answers, structure_answers, source_end));
        tasks.finish().await;
    }
}

/// A row as it is; without its window in the mutant that leaves windows behind.
fn forget_window(mut row: LaneRow) -> LaneRow {
    if crate::fail_point::is_mutant(crate::fail_point::Mutant::WindowsNotInherited) {
        row.done = dm_fence::Window::new();
    }
    row
}
