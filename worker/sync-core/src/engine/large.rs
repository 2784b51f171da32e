//! Transactions larger than memory, streams without an end of them, and streams with nothing in them.

use std::collections::{BTreeMap, VecDeque};

use dm_binlog::EventType;
use dm_fence::{LaneRow, UnitNumber, resume};
use dm_model::{ClusterId, Epoch, TableName, UnixMillis};
use dm_rules::{
    CaseSensitivity,
    block_allow::{BlockAllowList, Rule},
};

use super::{
    Blocked, Command, Config, DdlOutcome, Engine, Input, Stop,
    testbed::{Binlog, Shape, config, start, structure},
};
use crate::batch::Batch;

const CREATE: &str = "CREATE TABLE t (id INT PRIMARY KEY, v INT)";

fn t() -> TableName {
    TableName::new("s", "t")
}

/// A target that commits when told to, and keeps lane rows as a real one does.
struct Slow {
    engine: Engine,
    config: Config,
    now: UnixMillis,
    waiting: VecDeque<(u16, Batch)>,
    rows: BTreeMap<u16, LaneRow>,
    /// How often each row was written, by its first literal.
    written: BTreeMap<String, u32>,
    n_idle: u32,
    most_bytes: usize,
}

impl Slow {
    fn new(config: Config) -> Self {
        let engine = Engine::new(config.clone(), start(Shape::MariaDb, &config));
        Self {
            engine,
            config,
            now: UnixMillis(0),
            waiting: VecDeque::new(),
            rows: BTreeMap::new(),
            written: BTreeMap::new(),
            n_idle: 0,
            most_bytes: 0,
        }
    }

    /// A new owner of what is in the target.
    fn crash(&mut self) {
        let rows: Vec<LaneRow> = self.rows.values().cloned().collect();
        let fresh = start(Shape::MariaDb, &self.config);
        let resume = resume(&rows).filter(|resume| !resume.location.is_empty()).unwrap_or(fresh.resume);
        self.waiting.clear();
        self.engine = Engine::new(self.config.clone(), super::Start { resume, rows, ..fresh });
    }

    fn connect(&mut self, server: &str) -> Result<(), Stop> {
        let location = self.engine.stream_location().clone();
        self.input(Input::StreamStarted { location, server_uuid: server.to_owned() })
    }

    fn input(&mut self, input: Input) -> Result<(), Stop> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.now.0 += 1;
            self.engine.handle(self.now, input)?;
            self.most_bytes = self.most_bytes.max(self.engine.status().n_bytes_in_flight);
            while let Some(command) = self.engine.poll() {
                match command {
                    Command::OpenLane { lane } => inputs.push_back(Input::LaneOpened { lane }),
                    Command::Run { lane, batch } => self.waiting.push_back((lane, batch)),
                    Command::IdleProgress { lane, batch, progress, .. } => {
                        self.n_idle += 1;
                        self.commit(lane, progress);
                        inputs.push_back(Input::Ack { lane, batch });
                    }
                    Command::Ddl(ddl) => inputs.push_back(Input::DdlDone {
                        unit: ddl.unit,
                        piece: ddl.piece,
                        outcome: DdlOutcome::Committed,
                    }),
                    Command::SkipDdl(ddl) => inputs.push_back(Input::DdlDone {
                        unit: ddl.unit,
                        piece: ddl.piece,
                        outcome: DdlOutcome::Committed,
                    }),
                    Command::ReadSource { table } => {
                        inputs.push_back(Input::SourceTable { table, structure: Some(structure(CREATE)) });
                    }
                    Command::ReadTarget { table } => {
                        inputs.push_back(Input::TargetTable { table, structure: Some(structure(CREATE)) });
                    }
                    Command::Report(_) | Command::Drained => {}
                }
            }
        }
        Ok(())
    }

    fn commit(&mut self, lane: u16, progress: dm_fence::Progress) {
        let slicing = self.config.slicing;
        let first = || LaneRow::first(lane, ClusterId("c".to_owned()), Epoch(1), slicing);
        let row = self.rows.entry(lane).or_insert_with(first);
        let update = row.advance(progress).unwrap();
        row.apply(&update, Some(1));
    }

    /// Commits the newest transaction, so that windows have holes.
    fn commit_newest(&mut self) -> Result<bool, Stop> {
        let Some((lane, batch)) = self.waiting.pop_back() else { return Ok(false) };
        for change in batch.changes() {
            let crate::change::Edit::Insert { after } = change.edit() else { panic!("only inserts here") };
            *self.written.entry(String::from_utf8_lossy(after.get(0)).into_owned()).or_default() += 1;
        }
        let id = batch.id;
        self.commit(lane, batch.progress);
        self.input(Input::Ack { lane, batch: id })?;
        Ok(true)
    }

    /// Feeds as a driver does: only while events are wanted; commits when they are not.
    fn feed(&mut self, events: impl IntoIterator<Item = Vec<u8>>) -> Result<(), Stop> {
        for raw in events {
            while !self.engine.wants_events() {
                if !self.commit_newest()? {
                    // the engine waits for time or for nothing
                    self.input(Input::Tick)?;
                }
            }
            self.input(Input::RawEvent(raw))?;
        }
        while self.commit_newest()? || !self.engine.wants_events() {}
        Ok(())
    }

    fn stream(&self, binlog: &Binlog) -> Vec<Vec<u8>> {
        binlog.stream(&self.engine.stream_location().position)
    }

    #[track_caller]
    fn assert_each_once(&self, n_rows: usize) {
        assert_eq!(self.written.len(), n_rows);
        assert_eq!(self.written.iter().find(|(_, n)| **n != 1), None);
    }
}

/// One transaction of so many rows of 17 bytes of values.
fn one_large(n_events: i32, rows_per_event: i32) -> Binlog {
    let mut binlog = Binlog::new(Shape::MariaDb);
    large(&mut binlog, n_events, rows_per_event);
    binlog
}

fn large(binlog: &mut Binlog, n_events: i32, rows_per_event: i32) {
    binlog.begin();
    rows(binlog, n_events, rows_per_event);
    binlog.commit();
}

fn rows(binlog: &mut Binlog, n_events: i32, rows_per_event: i32) {
    for event in 0..n_events {
        binlog.table_map(1, &t(), 2);
        let ids = event * rows_per_event..(event + 1) * rows_per_event;
        binlog.insert(1, &ids.map(|id| vec![Some(id), Some(id)]).collect::<Vec<_>>());
    }
}

fn small_memory() -> Config {
    let mut config = config(Shape::MariaDb);
    config.limits.slice_bytes = 200;
    config.limits.memory_bytes = 40_000;
    config.limits.batch_bytes = 8_000;
    config
}

#[test]
fn a_transaction_larger_than_memory_goes_out_in_slices_with_memory_flat() {
    let mut slow = Slow::new(small_memory());
    let binlog = one_large(400, 20);
    slow.connect("a").unwrap();
    slow.feed(slow.stream(&binlog)).unwrap();
    slow.assert_each_once(8000);
    assert!(slow.most_bytes < 60_000, "{} bytes were in flight", slow.most_bytes);
    slow.input(Input::Drain).unwrap();
    // an image takes 9 bytes, so a slice 23 rows
    assert_eq!(slow.engine.watermark().low, UnitNumber(8000_u64.div_ceil(23)));
}

#[test]
fn a_large_transaction_that_is_read_again_is_cut_in_the_same_way() {
    let mut slow = Slow::new(small_memory());
    let binlog = one_large(100, 20);
    let mut n_crashes = 0;
    loop {
        slow.connect("a").unwrap();
        let events = slow.stream(&binlog);
        // a little further each time, then the owner dies with everything that is not committed
        let n = (n_crashes + 1) * 23;
        let is_last = n >= events.len();
        for raw in events.into_iter().take(n) {
            while !slow.engine.wants_events() {
                slow.commit_newest().unwrap();
            }
            slow.input(Input::RawEvent(raw)).unwrap();
        }
        if is_last {
            while slow.commit_newest().unwrap() {}
            break;
        }
        slow.commit_newest().unwrap();
        slow.crash();
        n_crashes += 1;
    }
    assert!(n_crashes > 5);
    slow.assert_each_once(2000);
}

#[test]
fn a_large_transaction_half_in_the_target_is_not_taken_from_another_server() {
    let mut slow = Slow::new(small_memory());
    let binlog = one_large(100, 20);
    slow.connect("a").unwrap();
    let events = slow.stream(&binlog);
    for raw in events.iter().take(60) {
        slow.input(Input::RawEvent(raw.clone())).unwrap();
    }
    while slow.commit_newest().unwrap() {}
    slow.crash();
    slow.connect("b").unwrap();
    let stop = slow.feed(events).unwrap_err();
    assert_eq!(stop.report.code, 60027);
}

#[test]
fn another_server_is_read_only_after_everything_before_is_written_down() {
    let mut slow = Slow::new(config(Shape::MariaDb));
    let mut binlog = Binlog::new(Shape::MariaDb);
    for event in 0..4 {
        binlog.begin();
        binlog.table_map(1, &t(), 2);
        binlog.insert(1, &[vec![Some(event), None]]);
        binlog.commit();
    }
    slow.connect("a").unwrap();
    let events = slow.stream(&binlog);
    let (first, rest) = events.split_at(9);
    for raw in first {
        slow.input(Input::RawEvent(raw.clone())).unwrap();
    }
    let reached = slow.engine.watermark().low;
    slow.connect("b").unwrap();
    assert!(!slow.engine.wants_events(), "a unit is still on its way");
    while slow.commit_newest().unwrap() {}
    assert!(slow.engine.wants_events());
    assert_eq!((reached, slow.engine.watermark().low), (UnitNumber(0), UnitNumber(2)));
    slow.feed(rest.to_vec()).unwrap();
    slow.assert_each_once(4);
}

#[test]
fn a_compressed_transaction_is_unpacked_as_there_is_room() {
    let mut inner = Binlog::new(Shape::MySqlPlain);
    inner.query("", "BEGIN");
    rows(&mut inner, 500, 20);
    inner.commit();
    let bytes: Vec<u8> = inner.events.iter().flat_map(|event| event.raw.clone()).collect();
    let packed = zstd::encode_all(bytes.as_slice(), 1).unwrap();
    // Fields: compression (zstd), size of what follows; then the end mark and the events.
    let mut payload = vec![2, 1, 0, 1, 3, 252];
    payload.extend(u16::try_from(packed.len()).unwrap().to_le_bytes());
    payload.push(0);
    payload.extend(&packed);
    let mut binlog = Binlog::new(Shape::MySqlGtid);
    binlog.n_transactions += 1;
    binlog.gtid(0);
    binlog.event(EventType::TRANSACTION_PAYLOAD, &payload);

    let mut config = Config { flavor: dm_model::Flavor::MySql, ..small_memory() };
    config.limits.memory_bytes = 20_000;
    let mut slow = Slow::new(config.clone());
    slow.engine = Engine::new(config.clone(), start(Shape::MySqlGtid, &config));
    slow.connect("a").unwrap();
    for raw in slow.stream(&binlog) {
        slow.input(Input::RawEvent(raw)).unwrap();
    }
    assert_eq!(slow.engine.status().blocked_on, Some(Blocked::Memory));
    slow.feed([]).unwrap();
    slow.assert_each_once(10_000);
    assert!(slow.most_bytes < 30_000, "{} bytes were in flight", slow.most_bytes);
}

#[test]
fn an_idle_hour_writes_nothing_and_a_rotation_is_written_down() {
    let mut slow = Slow::new(config(Shape::MariaDb));
    let mut binlog = one_large(1, 1);
    slow.connect("a").unwrap();
    slow.feed(slow.stream(&binlog)).unwrap();
    slow.now.0 += 6_000;
    slow.input(Input::Tick).unwrap();
    let n_idle = slow.n_idle;
    let n_events = binlog.events.len();
    binlog.event(EventType::HEARTBEAT, b"mysql-bin.000001");
    let heartbeat = binlog.events.remove(n_events).raw;
    for _ in 0..720 {
        slow.now.0 += 5_000;
        slow.input(Input::RawEvent(heartbeat.clone())).unwrap();
        slow.input(Input::Tick).unwrap();
    }
    assert_eq!(slow.n_idle, n_idle, "nothing new, nothing to write");
    let mut rotate = 4_u64.to_le_bytes().to_vec();
    rotate.extend(b"mysql-bin.000002");
    binlog.event(EventType::ROTATE, &rotate);
    slow.input(Input::RawEvent(binlog.events.pop().unwrap().raw)).unwrap();
    slow.now.0 += 5_000;
    slow.input(Input::Tick).unwrap();
    assert_eq!(slow.n_idle, n_idle + 1);
    assert_eq!(slow.engine.watermark().location.position.file, "mysql-bin.000002");
}

#[test]
fn traffic_that_is_all_filtered_is_written_down_every_few_seconds_for_an_hour() {
    let mut config = config(Shape::MariaDb);
    let rule = Rule { do_dbs: vec!["other".to_owned()], ..Rule::default() };
    config.block_allow = BlockAllowList::compile(&rule, CaseSensitivity::Sensitive).unwrap();
    let mut slow = Slow::new(config);
    let mut binlog = Binlog::new(Shape::MariaDb);
    for _ in 0..720 {
        large(&mut binlog, 1, 1);
    }
    slow.connect("a").unwrap();
    for raw in slow.stream(&binlog) {
        slow.now.0 += 5_000 / 4;
        slow.input(Input::RawEvent(raw)).unwrap();
        slow.input(Input::Tick).unwrap();
    }
    let behind = slow.engine.status().read_unit.0 - slow.engine.watermark().low.0;
    assert!(behind <= 2 && slow.written.is_empty(), "{behind} transactions behind");
    slow.crash();
    assert!(slow.engine.stream_location().position.offset > binlog.end - 300, "a new owner asks for nothing old");
}
