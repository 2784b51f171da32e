//! Random histories, lanes, crashes: the target equals serial execution, each unit once.
//!
//! The target is modelled as rows of integers and lane rows that are written in one step; commits of different lanes
//! come in any order, acknowledgements may be lost with the process, and a new engine starts from what is stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dm_ddl::{ParseContext, table::Table, tracker::Tracker};
use dm_fence::{LaneRow, Progress, UnitNumber, resume};
use dm_model::{BinlogPosition, ClusterId, Epoch, TableName, UnixMillis};
use proptest::prelude::*;

use super::{
    Command, Config, DdlOutcome, Engine, Input, Start,
    testbed::{Binlog, Cell, Shape, config, start, structure},
};
use crate::{
    batch::{BatchId, StoredStructure},
    change::{Edit, Identity, LiteralRow, RowChange},
};

/// A small generator: the same seed, the same history.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides.max(1)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.roll(n) == 0
    }
}

type Rows = Vec<Vec<Cell>>;

const TABLES: [(&str, &str); 3] = [
    ("a", "CREATE TABLE a (id INT NOT NULL, u INT, v INT, PRIMARY KEY (id), UNIQUE KEY u (u))"),
    ("b", "CREATE TABLE b (id INT NOT NULL, v INT, PRIMARY KEY (id))"),
    ("keyless", "CREATE TABLE keyless (x INT, y INT)"),
];

fn name(table: usize) -> TableName {
    TableName::new("s", TABLES[table].0)
}

/// The source: its rows, and the binlog that made them.
struct Source {
    tables: [Rows; 3],
    n_extra_columns: [usize; 3],
    binlog: Binlog,
}

impl Source {
    fn history(dice: &mut Dice, shape: Shape, n_transactions: usize) -> Self {
        let mut source = Self { tables: Default::default(), n_extra_columns: [0; 3], binlog: Binlog::new(shape) };
        for _ in 0..n_transactions {
            match dice.roll(20) {
                0 => source.binlog.statement("mysql", "FLUSH LOGS"),
                1 => source.add_column(dice.roll(3)),
                _ => source.transaction(dice),
            }
        }
        source
    }

    fn add_column(&mut self, table: usize) {
        let column = self.n_extra_columns[table];
        self.n_extra_columns[table] += 1;
        self.binlog.statement("s", &format!("ALTER TABLE {} ADD COLUMN extra{column} INT", TABLES[table].0));
        for row in &mut self.tables[table] {
            row.push(None);
        }
    }

    fn n_columns(&self, table: usize) -> usize {
        [3, 2, 2][table] + self.n_extra_columns[table]
    }

    fn transaction(&mut self, dice: &mut Dice) {
        self.binlog.begin();
        for _ in 0..1 + dice.roll(4) {
            let table = dice.roll(3);
            self.binlog.table_map(table as u8 + 1, &name(table), self.n_columns(table));
            match dice.roll(3) {
                0 => self.insert(dice, table),
                1 => self.update(dice, table),
                _ => self.delete(dice, table),
            }
        }
        self.binlog.commit();
    }

    fn random_row(&self, dice: &mut Dice, table: usize) -> Vec<Cell> {
        (0..self.n_columns(table)).map(|column| (column == 0 || !dice.one_in(4)).then(|| dice.roll(6) as i32)).collect()
    }

    /// Whether a row may stand beside the others (`except`: the one it replaces).
    fn is_allowed(&self, table: usize, row: &[Cell], except: Option<usize>) -> bool {
        let n_keys = [2, 1, 0][table];
        self.tables[table]
            .iter()
            .enumerate()
            .filter(|(idx, _)| Some(*idx) != except)
            .all(|(_, other)| (0..n_keys).all(|key| row[key].is_none() || row[key] != other[key]))
    }

    fn insert(&mut self, dice: &mut Dice, table: usize) {
        let mut rows = Vec::new();
        for _ in 0..1 + dice.roll(3) {
            let row = self.random_row(dice, table);
            if self.is_allowed(table, &row, None) {
                self.tables[table].push(row.clone());
                rows.push(row);
            }
        }
        if !rows.is_empty() {
            self.binlog.insert(table as u8 + 1, &rows);
        }
    }

    fn update(&mut self, dice: &mut Dice, table: usize) {
        if self.tables[table].is_empty() {
            return;
        }
        let idx = dice.roll(self.tables[table].len());
        let row = self.random_row(dice, table);
        if self.is_allowed(table, &row, Some(idx)) {
            let old = std::mem::replace(&mut self.tables[table][idx], row.clone());
            self.binlog.update(table as u8 + 1, &[(old, row)]);
        }
    }

    fn delete(&mut self, dice: &mut Dice, table: usize) {
        if !self.tables[table].is_empty() {
            let idx = dice.roll(self.tables[table].len());
            let row = self.tables[table].remove(idx);
            self.binlog.delete(table as u8 + 1, &[row]);
        }
    }
}

/// The target, and everything that survives a crash.
struct Target {
    tables: BTreeMap<TableName, Rows>,
    tracker: Tracker,
    lanes: BTreeMap<u16, LaneRow>,
    structures: Vec<StoredStructure>,
    committed: BTreeSet<UnitNumber>,
    executed: BTreeSet<(UnitNumber, u32)>,
    config: Config,
}

impl Target {
    fn new(config: Config) -> Self {
        let mut tracker = Tracker::new(true);
        let mut tables = BTreeMap::new();
        for (table, (_, create)) in TABLES.iter().enumerate() {
            tracker.put(name(table), structure(create));
            tables.insert(name(table), Vec::new());
        }
        let (lanes, structures) = (BTreeMap::new(), Vec::new());
        let (committed, executed) = (BTreeSet::new(), BTreeSet::new());
        Self { tables, tracker, lanes, structures, committed, executed, config }
    }

    /// The source's structures are stored from the start, and the target has a column more: without what is stored,
    /// nothing would fit.
    fn plan(&mut self) {
        for (table, (_, create)) in TABLES.iter().enumerate() {
            let structure = Some(Arc::new(structure(create)));
            self.structures.push(StoredStructure { table: name(table), from_unit: UnitNumber(0), structure });
            let sql = format!("ALTER TABLE s.{} ADD COLUMN pad INT", TABLES[table].0);
            for piece in dm_ddl::pieces(&sql, &ParseContext::default(), "").unwrap() {
                self.tracker.apply(&piece);
            }
        }
    }

    /// One transaction: the fence, then what it leads.
    fn commit(&mut self, lane: u16, progress: Progress, structures: &[StoredStructure]) {
        let slicing = self.config.slicing;
        let row =
            self.lanes.entry(lane).or_insert_with(|| LaneRow::first(lane, ClusterId("c".into()), Epoch(1), slicing));
        for unit in &progress.units {
            assert!(self.committed.insert(*unit), "unit {unit} is committed twice");
        }
        let update = row.advance(progress).expect("the lane's row takes the progress");
        row.apply(&update, None);
        self.structures.extend(structures.iter().cloned());
    }

    fn apply(&mut self, change: &RowChange) {
        let rows = self.tables.get_mut(change.target()).unwrap();
        match change.edit() {
            Edit::Insert { after } => rows.push(cells(after)),
            Edit::Delete { before } => {
                let idx = find(rows, change, before.identity, &cells(&before.literals));
                rows.remove(idx);
            }
            Edit::Update { before, after, .. } => {
                let idx = find(rows, change, before.identity, &cells(&before.literals));
                rows[idx] = cells(after);
            }
        }
        for key in change.mapping().unique_keys() {
            let values: Vec<Vec<Cell>> = rows.iter().map(|row| key.columns.iter().map(|c| row[*c]).collect()).collect();
            let full: Vec<&Vec<Cell>> = values.iter().filter(|value| value.iter().all(Option::is_some)).collect();
            assert_eq!(
                full.len(),
                full.iter().collect::<BTreeSet<_>>().len(),
                "a unique key of {} is broken",
                change.target()
            );
        }
    }

    fn execute(&mut self, unit: UnitNumber, piece: u32, sql: &str) {
        // What takeover concludes from the structure's hash: it ran already.
        if !self.executed.insert((unit, piece)) {
            return;
        }
        for piece in dm_ddl::pieces(sql, &ParseContext::default(), "").unwrap() {
            self.tracker.apply(&piece);
            for row in self.tables.get_mut(&piece.target().unwrap()).unwrap() {
                row.push(None);
            }
        }
    }
}

fn cells(literals: &LiteralRow) -> Vec<Cell> {
    literals.iter().map(|text| std::str::from_utf8(text).unwrap().parse().ok()).collect()
}

fn find(rows: &[Vec<Cell>], change: &RowChange, identity: Identity, wanted: &[Cell]) -> usize {
    let key = match identity {
        Identity::Key(idx) => change.mapping().unique_keys()[usize::from(idx)].columns.clone(),
        Identity::AllColumns => (0..wanted.len()).collect(),
    };
    let is_it = |row: &Vec<Cell>| key.iter().zip(wanted).all(|(column, value)| row[*column] == *value);
    rows.iter().position(is_it).unwrap_or_else(|| panic!("no row {wanted:?} in {}", change.target()))
}

/// What one incarnation still has to answer.
enum Todo {
    Open(u16),
    Run(u16, BatchId, Progress, Vec<StoredStructure>, Vec<RowChange>),
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

struct World {
    dice: Dice,
    source: Source,
    source_now: Tracker,
    target: Target,
    now: UnixMillis,
}

/// How an incarnation ended.
#[derive(PartialEq)]
enum End {
    Crashed,
    Drained,
}

impl World {
    fn new(seed: u64, n_transactions: usize, shape: Shape, n_lanes: u16, slice_rows: u32) -> Self {
        let mut dice = Dice(seed);
        let mut config = config(shape);
        config.limits.n_lanes = n_lanes;
        config.limits.batch_rows = 1 + dice.roll(12);
        config.limits.memory_bytes = 400 + dice.roll(4000);
        config.slicing.slice_rows = slice_rows;
        let source = Source::history(&mut dice, shape, n_transactions);
        let mut source_now = Tracker::new(true);
        for (table, (_, create)) in TABLES.iter().enumerate() {
            source_now.put(name(table), structure(create));
            for column in 0..source.n_extra_columns[table] {
                let sql = format!("ALTER TABLE s.{} ADD COLUMN extra{column} INT", TABLES[table].0);
                for piece in dm_ddl::pieces(&sql, &ParseContext::default(), "").unwrap() {
                    source_now.apply(&piece);
                }
            }
        }
        let mut target = Target::new(config);
        if dice.one_in(2) {
            target.plan();
        }
        Self { dice, source, source_now, target, now: UnixMillis(0) }
    }

    fn run(&mut self) {
        let mut n_crashes = 0;
        while self.incarnation(n_crashes < 6) == End::Crashed {
            n_crashes += 1;
        }
    }

    fn incarnation(&mut self, may_crash: bool) -> End {
        let config = self.target.config.clone();
        let rows: Vec<LaneRow> = self.target.lanes.values().cloned().collect();
        let fresh = start(self.source.binlog.shape, &config);
        let resume = resume(&rows).filter(|resume| !resume.location.is_empty()).unwrap_or(fresh.resume);
        let stored = self.target.structures.clone();
        let mut engine = Engine::new(config, Start { resume, rows, structures: stored, handover: Vec::new() });
        let mut events = self.connect(&mut engine);
        let mut todo: Vec<Todo> = Vec::new();
        let mut is_draining = false;
        for _ in 0..1_000_000 {
            while let Some(command) = engine.poll() {
                if matches!(command, Command::Drained) {
                    let writes = |work: &Todo| matches!(work, Todo::Run(..) | Todo::Ddl { .. });
                    assert!(!todo.iter().any(writes), "nothing is on its way when everything is done");
                    return End::Drained;
                }
                todo.extend(note(command));
            }
            self.now.0 += self.dice.roll(50) as i64;
            if may_crash && self.dice.one_in(120) {
                for work in todo.drain(..) {
                    if self.dice.one_in(2) {
                        self.execute(&work);
                    }
                }
                return End::Crashed;
            }
            if self.dice.one_in(60) {
                self.now.0 += 6_000;
                engine.handle(self.now, Input::Tick).unwrap();
            } else if !is_draining && self.dice.one_in(80) {
                events = self.connect(&mut engine);
            } else if !todo.is_empty() && self.dice.one_in(2) {
                let work = todo.remove(self.dice.roll(todo.len()));
                let input = self.execute(&work);
                engine.handle(self.now, input).unwrap();
            } else if engine.wants_events() || (self.dice.one_in(10) && !is_draining) {
                match events.next() {
                    Some(raw) => engine.handle(self.now, Input::RawEvent(raw)).unwrap(),
                    None if engine.wants_events() => {
                        is_draining = true;
                        engine.handle(self.now, Input::Drain).unwrap();
                    }
                    None => {}
                }
            }
        }
        panic!("no end: {:?}", engine.status());
    }

    /// Opens the source's stream where the engine wants it.
    fn connect(&self, engine: &mut Engine) -> std::vec::IntoIter<Vec<u8>> {
        let location = engine.stream_location().clone();
        let events = self.source.binlog.stream(&BinlogPosition::clone(&location.position));
        engine.handle(self.now, Input::StreamStarted { location, server_uuid: "source".into() }).unwrap();
        events.into_iter()
    }

    /// Does what was asked for, in the target, and gives the answer.
    fn execute(&mut self, work: &Todo) -> Input {
        match work {
            Todo::Open(lane) => Input::LaneOpened { lane: *lane },
            Todo::Run(lane, batch, progress, structures, changes) => {
                self.target.commit(*lane, progress.clone(), structures);
                for change in changes {
                    self.target.apply(change);
                }
                Input::Ack { lane: *lane, batch: *batch }
            }
            Todo::Ddl { lane, unit, piece, sql, done, structures } => {
                if let Some(sql) = sql {
                    self.target.execute(*unit, *piece, sql);
                }
                self.target.commit(*lane, done.clone(), structures);
                Input::DdlDone { unit: *unit, piece: *piece, outcome: DdlOutcome::Committed }
            }
            Todo::Source(table) => {
                Input::SourceTable { table: table.clone(), structure: self.source_now.table(table).cloned() }
            }
            Todo::Target(table) => {
                let structure: Option<Table> = self.target.tracker.table(table).cloned();
                Input::TargetTable { table: table.clone(), structure }
            }
        }
    }

    fn check(&self) {
        for (table, rows) in self.source.tables.iter().enumerate() {
            let sorted = |rows: &Rows| {
                let mut rows = rows.clone();
                rows.sort();
                rows
            };
            assert_eq!(sorted(rows), sorted(&self.target.tables[&name(table)]), "table {} differs", TABLES[table].0);
        }
        let rows: Vec<LaneRow> = self.target.lanes.values().cloned().collect();
        let end = resume(&rows).expect("a drained subtask has a lane row");
        assert_eq!(end.location.position.offset, self.source.binlog.end, "the end of the stream is written down");
    }
}

fn note(command: Command) -> Option<Todo> {
    Some(match command {
        Command::OpenLane { lane } => Todo::Open(lane),
        Command::Run { lane, batch } => {
            let changes = batch.changes().cloned().collect();
            Todo::Run(lane, batch.id, batch.progress, batch.structures, changes)
        }
        Command::IdleProgress { lane, batch, progress, structures } => {
            Todo::Run(lane, batch, progress, structures, Vec::new())
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_crashes_and_any_order_of_commits_equal_serial_execution(
        seed in any::<u64>(),
        n_transactions in 1_usize..120,
        shape in prop_oneof![Just(Shape::MariaDb), Just(Shape::MySqlGtid), Just(Shape::MySqlPlain)],
        n_lanes in 1_u16..5,
        slice_rows in prop_oneof![Just(1_u32), Just(3), Just(1000)],
    ) {
        let mut world = World::new(seed, n_transactions, shape, n_lanes, slice_rows);
        world.run();
        world.check();
    }
}
