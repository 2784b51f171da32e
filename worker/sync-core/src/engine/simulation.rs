//! Random tables, histories, lanes, crashes: after every commit the target equals serial execution of what is committed.
//!
//! The target executes the statements that would be sent, enforces its keys as a server does, and keeps lane rows that are written
//! in one step with the rows. Commits of different lanes come in any order, answers are lost with the process, the stream breaks,
//! and a new engine starts from what is stored. A failing seed is shrunk to the history and the sizes that still fail.

mod copied;
mod dice;
mod history;
mod mutants;
pub(super) mod schema;
mod server;
mod shrink;
mod target;

use std::collections::BTreeSet;

use dm_ddl::{ParseContext, table::Table, tracker::Tracker};
use dm_fence::{Progress, UnitNumber, resume};
use dm_model::{BinlogPosition, TableName, UnixMillis};
use dm_rules::{CaseSensitivity, route};
use proptest::prelude::ProptestConfig;

use self::{
    copied::Copied,
    dice::Dice,
    history::{History, Plan},
    mutants::Broken,
    target::Target,
};
use super::{
    Command, Config, DdlOutcome, Engine, Input, Merges, Start,
    testbed::{config, start, structure},
};
use crate::{
    batch::{BatchId, StoredStructure},
    sqlgen::Statement,
};

/// Seeds of a normal run; `PROPTEST_CASES` may ask for more.
const SEEDS: u32 = 2_500;

#[test]
fn any_history_and_any_crashes_equal_serial_execution() {
    let n_seeds = ProptestConfig::default().cases.max(SEEDS);
    for seed in 0..u64::from(n_seeds) {
        let plan = Plan::random(seed);
        if let Err(what) = run(&plan, seed, None) {
            panic!("seed {seed}: {what}\n{}", shrink::shrink(plan, seed, None));
        }
    }
}

/// One run of a plan under a schedule.
fn run(plan: &Plan, schedule: u64, broken: Option<Broken>) -> Result<(), String> {
    let caught = std::panic::catch_unwind(|| {
        let mut world = World::new(plan, schedule, broken);
        world.run()?;
        world.check_end()
    });
    caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
    })
}

/// What one incarnation still has to answer.
enum Todo {
    Open(u16),
    Run {
        lane: u16,
        batch: BatchId,
        progress: Progress,
        structures: Vec<StoredStructure>,
        statements: Vec<Statement>,
    },
    Ddl {
        lane: u16,
        unit: UnitNumber,
        piece: u32,
        sql: Option<String>,
        done: Progress,
        structures: Vec<StoredStructure>,
    },
    Source(TableName),
    Target(TableName),
}

struct World<'a> {
    plan: &'a Plan,
    broken: Option<Broken>,
    dice: Dice,
    history: History,
    source_now: Tracker,
    config: Config,
    target: Target,
    now: UnixMillis,
    n_incarnations: u32,
    copied: Option<Copied>,
    /// S7: what was reported.
    reported: UnitNumber,
}

/// How an incarnation ended.
#[derive(PartialEq)]
enum End {
    Crashed,
    Drained,
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, schedule: u64, broken: Option<Broken>) -> Self {
        let history = History::of(plan);
        let mut config = config(plan.shape);
        config.limits.n_lanes = plan.n_lanes;
        config.limits.batch_rows = plan.batch_rows;
        config.limits.memory_bytes = plan.memory_bytes;
        config.slicing.slice_rows = plan.slice_rows;
        config.mode = plan.mode;
        let rules: Vec<route::Rule> =
            plan.tables.iter().filter(|source| source.name != source.target).map(rule).collect();
        config.router = route::Router::compile(&rules, CaseSensitivity::Sensitive).expect("routes");
        let merged = (0..plan.tables.len()).filter(|table| plan.is_merged(*table));
        let targets = merged.map(|table| plan.tables[table].target.clone()).collect();
        config.merges = Merges { targets, across_sources: false };
        let mut source_now = Tracker::new(true);
        for (source, added) in plan.tables.iter().zip(&history.added) {
            let name = &source.name.table;
            source_now.put(source.name.clone(), structure(&source.table.create(name, usize::MAX)));
            for column in added {
                apply_ddl(&mut source_now, &format!("ALTER TABLE s.{name} ADD COLUMN {column} INT"));
            }
        }
        let target = Target::new(plan);
        let mut dice = Dice(schedule ^ 0x5bd1_e995);
        let copied = plan.copied.then(|| Copied::of(plan, &history, &mut dice, broken));
        Self {
            plan,
            broken,
            dice,
            history,
            source_now,
            config,
            target,
            now: UnixMillis(0),
            n_incarnations: 0,
            copied,
            reported: UnitNumber(0),
        }
    }

    fn is(&self, broken: Broken) -> bool {
        self.broken == Some(broken)
    }

    fn run(&mut self) -> Result<(), String> {
        if let Some(copied) = &self.copied {
            copied.write(self.plan, &mut self.target, &mut self.dice)?;
        }
        while self.incarnation()? == End::Crashed {}
        Ok(())
    }

    fn incarnation(&mut self) -> Result<End, String> {
        self.n_incarnations += 1;
        let may_crash = self.n_incarnations <= 6;
        let mut config = self.config.clone();
        if self.is(Broken::SliceSizeChanges) {
            config.slicing.slice_rows = 1 + (self.n_incarnations % 2) * 2;
        }
        let rows = self.target.rows();
        let mut fresh = start(self.plan.shape, &config);
        let mut handover = Vec::new();
        if let Some(copied) = &self.copied {
            fresh.resume.location.position = copied.start(self.broken);
            handover = copied.tests(self.plan, self.broken);
        }
        let mut resume = resume(&rows).filter(|resume| !resume.location.is_empty()).unwrap_or(fresh.resume);
        if self.is(Broken::WindowsForgotten) {
            resume.done = dm_fence::Window::new();
            self.target.forget_windows();
        }
        let structures = self.target.structures.clone();
        let mut engine = Engine::new(config, Start { resume, rows, structures, handover });
        let mut events = self.connect(&mut engine)?;
        let mut todo: Vec<Todo> = Vec::new();
        let mut is_draining = false;
        // Slow targets keep several lanes busy.
        let laziness = 2 + self.dice.roll(12);
        for _ in 0..200_000 {
            while let Some(command) = engine.poll() {
                match command {
                    Command::Drained => {
                        let writes = |work: &Todo| matches!(work, Todo::Run { .. } | Todo::Ddl { .. });
                        if todo.iter().any(writes) {
                            return Err("drained with work on its way".to_owned());
                        }
                        return Ok(End::Drained);
                    }
                    Command::Report(reached) => self.report(&engine, reached.low)?,
                    command => {
                        let work = note(command);
                        if self.is(Broken::ReadyWhenSent)
                            && let Some(Todo::Run { lane, batch, .. }) = &work
                        {
                            let ack = Input::Ack { lane: *lane, batch: *batch };
                            engine.handle(self.now, ack).map_err(|stop| stop.to_string())?;
                        }
                        todo.extend(work);
                    }
                }
            }
            self.now.0 += self.dice.roll(50) as i64;
            let input = if may_crash && self.dice.one_in(120) {
                self.crash(todo)?;
                return Ok(End::Crashed);
            } else if self.dice.one_in(60) {
                self.now.0 += 6_000;
                Some(Input::Tick)
            } else if !is_draining && self.dice.one_in(80) {
                events = self.connect(&mut engine)?;
                None
            } else if !todo.is_empty() && self.dice.one_in(laziness) {
                let work = todo.remove(self.dice.roll(todo.len()));
                Some(self.execute(&work)?)
            } else if engine.wants_events() || (self.dice.one_in(10) && !is_draining) {
                match events.next() {
                    Some(raw) => Some(Input::RawEvent(raw)),
                    None if engine.wants_events() => {
                        is_draining = true;
                        Some(Input::Drain)
                    }
                    None => None,
                }
            } else {
                None
            };
            if let Some(input) = input {
                engine.handle(self.now, input).map_err(|stop| stop.to_string())?;
            }
        }
        Err(format!("no end: {:?}", engine.status()))
    }

    /// The process dies: of what was on its way, some arrives, and some DDLs without their completion.
    fn crash(&mut self, todo: Vec<Todo>) -> Result<(), String> {
        for work in todo {
            match (self.dice.roll(3), &work) {
                (0, _) => {}
                (1, Todo::Ddl { unit, piece, sql: Some(sql), .. }) => {
                    self.target.execute_ddl(*unit, *piece, sql, &self.history)?
                }
                (_, _) => drop(self.execute(&work)?),
            }
        }
        Ok(())
    }

    /// S6: what is reported is in a lane row. S7: and never goes back.
    fn report(&mut self, engine: &Engine, low: UnitNumber) -> Result<(), String> {
        let low = if self.is(Broken::ReportsMemory) { engine.status().read_unit } else { low };
        let stored = self.target.rows().iter().map(|row| row.low).max().unwrap_or_default();
        if low > stored {
            return Err(format!("S6: unit {low} is reported, the lane rows say {stored}"));
        }
        if low < self.reported {
            return Err(format!("S7: unit {low} is reported after {}", self.reported));
        }
        self.reported = low;
        Ok(())
    }

    /// Opens the source's stream where the engine wants it.
    fn connect(&self, engine: &mut Engine) -> Result<std::vec::IntoIter<Vec<u8>>, String> {
        let location = engine.stream_location().clone();
        let mut events = self.history.binlog.stream(&BinlogPosition::clone(&location.position));
        if self.is(Broken::NumbersAfterFilter) && self.n_incarnations > 1 {
            // What the filter of the second incarnation drops is not counted.
            events = self.history.binlog.without_others(&location.position);
        }
        let started = Input::StreamStarted { location, server_uuid: "source".into() };
        engine.handle(self.now, started).map_err(|stop| stop.to_string())?;
        Ok(events.into_iter())
    }

    /// Does what was asked for, in the target, and gives the answer.
    fn execute(&mut self, work: &Todo) -> Result<Input, String> {
        Ok(match work {
            Todo::Open(lane) => Input::LaneOpened { lane: *lane },
            Todo::Run { lane, batch, progress, structures, statements } => {
                if self.is(Broken::UnitsInHalves) && statements.len() > 1 {
                    let (first, second) = statements.split_at(statements.len() / 2);
                    self.target.write(first)?;
                    self.target.check(&self.history)?;
                    self.target.write(second)?;
                } else {
                    self.target.write(statements)?;
                }
                self.target.commit(&self.config, *lane, progress, structures)?;
                self.target.check(&self.history)?;
                Input::Ack { lane: *lane, batch: *batch }
            }
            Todo::Ddl { lane, unit, piece, sql, done, structures } => {
                if self.is(Broken::DdlDoneFirst) {
                    self.target.commit(&self.config, *lane, done, structures)?;
                    self.target.check(&self.history)?;
                }
                if let Some(sql) = sql {
                    self.target.execute_ddl(*unit, *piece, sql, &self.history)?;
                }
                if !self.is(Broken::DdlDoneFirst) {
                    self.target.commit(&self.config, *lane, done, structures)?;
                }
                self.target.check(&self.history)?;
                Input::DdlDone { unit: *unit, piece: *piece, outcome: DdlOutcome::Committed }
            }
            Todo::Source(table) => {
                Input::SourceTable { table: table.clone(), structure: self.source_now.table(table).cloned() }
            }
            Todo::Target(table) => {
                let structure: Option<Table> = self.target.tracker.table(table).cloned();
                Input::TargetTable { table: table.clone(), structure }
            }
        })
    }

    fn check_end(&self) -> Result<(), String> {
        let all: BTreeSet<UnitNumber> = self.history.units.keys().copied().collect();
        self.target.check_against(&self.history, &all)?;
        let end = resume(&self.target.rows()).ok_or("a drained subtask has a lane row")?;
        if end.location.position.offset != self.history.binlog.end {
            return Err(format!("the stream ends at {}, written down is {}", self.history.binlog.end, end.location));
        }
        Ok(())
    }
}

fn rule(source: &history::SourceTable) -> route::Rule {
    route::Rule {
        schema_pattern: source.name.schema.clone(),
        table_pattern: source.name.table.clone(),
        target_schema: source.target.schema.clone(),
        target_table: source.target.table.clone(),
        ..route::Rule::default()
    }
}

fn apply_ddl(tracker: &mut Tracker, sql: &str) {
    for piece in dm_ddl::pieces(sql, &ParseContext::default(), "").expect("a DDL of our own") {
        tracker.apply(&piece);
    }
}

fn note(command: Command) -> Option<Todo> {
    Some(match command {
        Command::OpenLane { lane } => Todo::Open(lane),
        Command::Run { lane, batch } => {
            let statements = batch.statements();
            Todo::Run { lane, batch: batch.id, progress: batch.progress, structures: batch.structures, statements }
        }
        Command::IdleProgress { lane, batch, progress, structures } => {
            Todo::Run { lane, batch, progress, structures, statements: Vec::new() }
        }
        Command::Ddl(ddl) => Todo::Ddl {
            lane: ddl.lane,
            unit: ddl.unit,
            piece: ddl.piece,
            sql: Some(ddl.sql),
            done: ddl.done,
            structures: ddl.structures,
        },
        Command::SkipDdl(ddl) => Todo::Ddl {
            lane: ddl.lane,
            unit: ddl.unit,
            piece: ddl.piece,
            sql: None,
            done: ddl.done,
            structures: ddl.structures,
        },
        Command::ReadSource { table } => Todo::Source(table),
        Command::ReadTarget { table } => Todo::Target(table),
        Command::Report(_) | Command::Drained => return None,
    })
}
