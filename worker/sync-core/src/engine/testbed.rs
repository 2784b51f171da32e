//! For tests: a binlog made event by event, tables to write into, and a configuration without rules.

use dm_binlog::EventType;
use dm_ddl::{SqlMode, table::Table, table::parse_create};
use dm_fence::{Consistency, Resume, Slicing, UnitNumber, Window};
use dm_model::{BinlogPosition, Flavor, GtidSet, Location, SourceId, TableName};
use dm_rules::{block_allow::BlockAllowList, event_filter::EventFilter, route::Router};

use super::{
    Config, Limits, Merges, Start,
    simulation::schema::{Datum, Kind},
};
use crate::{literal::Dialect, sqlgen::Mode};

pub(super) const FILE: &str = "mysql-bin.000001";

/// One event with its place.
#[derive(Debug, Clone)]
pub(super) struct Logged {
    pub(super) start: u64,
    pub(super) raw: Vec<u8>,
}

/// A value of an INT column.
pub(super) type Cell = Option<i32>;
/// An old row and a new one.
pub(super) type RowPair = (Vec<Cell>, Vec<Cell>);

/// What opens a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A GTID event and nothing else.
    MariaDb,
    /// A GTID event and BEGIN.
    MySqlGtid,
    /// BEGIN.
    MySqlPlain,
}

impl Shape {
    pub(super) fn flavor(self) -> Flavor {
        match self {
            Self::MariaDb => Flavor::MariaDb,
            Self::MySqlGtid | Self::MySqlPlain => Flavor::MySql,
        }
    }
}

/// A source's binlog, in one file.
#[derive(Debug, Clone)]
pub(super) struct Binlog {
    pub(super) shape: Shape,
    pub(super) events: Vec<Logged>,
    pub(super) end: u64,
    pub(super) n_transactions: u64,
    seconds: u32,
}

impl Binlog {
    pub(super) fn new(shape: Shape) -> Self {
        Self { shape, events: Vec::new(), end: 4, n_transactions: 0, seconds: 1_700_000_000 }
    }

    pub(super) fn event(&mut self, event_type: EventType, body: &[u8]) {
        let size = (19 + body.len()) as u32;
        let start = self.end;
        self.end += u64::from(size);
        let raw = raw(self.seconds, event_type, body, self.end as u32, 0);
        self.events.push(Logged { start, raw });
    }

    /// Opens a transaction that holds rows.
    pub(super) fn begin(&mut self) {
        self.n_transactions += 1;
        self.seconds += 1;
        self.gtid(0);
        if self.shape != Shape::MariaDb {
            self.query("", "BEGIN");
        }
    }

    pub(super) fn commit(&mut self) {
        self.event(EventType::XID, &7_u64.to_le_bytes());
    }

    /// A statement that stands alone.
    pub(super) fn statement(&mut self, schema: &str, sql: &str) {
        self.n_transactions += 1;
        self.seconds += 1;
        self.gtid(1);
        self.query(schema, sql);
    }

    pub(super) fn gtid(&mut self, flags: u8) {
        match self.shape {
            Shape::MariaDb => {
                let mut body = self.n_transactions.to_le_bytes().to_vec();
                body.extend(0_u32.to_le_bytes());
                body.push(flags);
                body.extend([0; 6]);
                self.event(EventType::MARIADB_GTID, &body);
            }
            Shape::MySqlGtid => {
                let mut body = vec![0];
                body.extend([0x11; 16]);
                body.extend(self.n_transactions.to_le_bytes());
                self.event(EventType::GTID, &body);
            }
            Shape::MySqlPlain => {}
        }
    }

    pub(super) fn query(&mut self, schema: &str, sql: &str) {
        let mut body = vec![0; 8];
        body.push(schema.len() as u8);
        body.extend([0; 4]);
        body.extend(schema.as_bytes());
        body.push(0);
        body.extend(sql.as_bytes());
        self.event(EventType::QUERY, &body);
    }

    /// The table map of a table of INT columns.
    pub(super) fn table_map(&mut self, id: u8, table: &TableName, n_columns: usize) {
        let mut body = vec![id, 0, 0, 0, 0, 0, 1, 0];
        for name in [&table.schema, &table.table] {
            body.push(name.len() as u8);
            body.extend(name.as_bytes());
            body.push(0);
        }
        body.push(n_columns as u8);
        body.extend(vec![3; n_columns]);
        body.push(0);
        body.extend(vec![0xff; n_columns.div_ceil(8)]);
        self.event(EventType::TABLE_MAP, &body);
    }

    pub(super) fn insert(&mut self, id: u8, rows: &[Vec<Cell>]) {
        let images: Vec<&Vec<Cell>> = rows.iter().collect();
        self.rows(EventType::WRITE_ROWS, id, 1, &images, rows.first().map_or(0, Vec::len));
    }

    pub(super) fn update(&mut self, id: u8, rows: &[RowPair]) {
        let images: Vec<&Vec<Cell>> = rows.iter().flat_map(|(old, new)| [old, new]).collect();
        self.rows(EventType::UPDATE_ROWS, id, 2, &images, rows.first().map_or(0, |(old, _)| old.len()));
    }

    fn rows(&mut self, event_type: EventType, id: u8, n_images: usize, images: &[&Vec<Cell>], n_columns: usize) {
        let mut body = vec![id, 0, 0, 0, 0, 0, 1, 0, 2, 0, n_columns as u8];
        let n_bitmap = n_columns.div_ceil(8);
        for _ in 0..n_images {
            body.extend(vec![0xff; n_bitmap]);
        }
        for image in images {
            let mut nulls = vec![0_u8; n_bitmap];
            for (idx, cell) in image.iter().enumerate() {
                if cell.is_none() {
                    nulls[idx / 8] |= 1 << (idx % 8);
                }
            }
            body.extend(nulls);
            for cell in image.iter().copied().flatten() {
                body.extend(cell.to_le_bytes());
            }
        }
        self.event(event_type, &body);
    }

    /// The same without statements that are none of our business: what a filter before counting would leave.
    pub(super) fn without_others(&self, position: &BinlogPosition) -> Vec<Vec<u8>> {
        let is_other = |raw: &[u8]| raw.windows(10).any(|window| window == b"FLUSH LOGS");
        let mut events = self.stream(position);
        while let Some(at) = events.iter().position(|raw| is_other(raw)) {
            events.remove(at);
            if self.shape != Shape::MySqlPlain && at > 0 {
                events.remove(at - 1);
            }
        }
        events
    }

    /// The table map of a table of these kinds and some INT columns behind them.
    pub(super) fn map_data(&mut self, id: u8, table: &TableName, kinds: &[Kind], n_extra: usize) {
        let mut body = vec![id, 0, 0, 0, 0, 0, 1, 0];
        for name in [&table.schema, &table.table] {
            body.push(name.len() as u8);
            body.extend(name.as_bytes());
            body.push(0);
        }
        let n_columns = kinds.len() + n_extra;
        body.push(n_columns as u8);
        let is_text = |kind: &Kind| *kind != Kind::Int;
        body.extend(kinds.iter().map(|kind| if is_text(kind) { 15 } else { 3 }));
        body.extend(vec![3; n_extra]);
        // VARCHAR(8) of four bytes a character.
        let metadata: Vec<u8> = kinds.iter().filter(|kind| is_text(kind)).flat_map(|_| 32_u16.to_le_bytes()).collect();
        body.push(metadata.len() as u8);
        body.extend(metadata);
        body.extend(vec![0xff; n_columns.div_ceil(8)]);
        self.event(EventType::TABLE_MAP, &body);
    }

    pub(super) fn insert_data(&mut self, id: u8, rows: &[Vec<Datum>]) {
        self.data(EventType::WRITE_ROWS, id, 1, &rows.iter().collect::<Vec<_>>());
    }

    pub(super) fn delete_data(&mut self, id: u8, rows: &[Vec<Datum>]) {
        self.data(EventType::DELETE_ROWS, id, 1, &rows.iter().collect::<Vec<_>>());
    }

    pub(super) fn update_data(&mut self, id: u8, old: &Vec<Datum>, new: &Vec<Datum>) {
        self.data(EventType::UPDATE_ROWS, id, 2, &[old, new]);
    }

    fn data(&mut self, event_type: EventType, id: u8, n_images: usize, images: &[&Vec<Datum>]) {
        let n_columns = images.first().map_or(0, |image| image.len());
        let n_bitmap = n_columns.div_ceil(8);
        let mut body = vec![id, 0, 0, 0, 0, 0, 1, 0, 2, 0, n_columns as u8];
        body.extend(vec![0xff; n_bitmap * n_images]);
        for image in images {
            let mut nulls = vec![0_u8; n_bitmap];
            for (idx, _) in image.iter().enumerate().filter(|(_, value)| **value == Datum::Null) {
                nulls[idx / 8] |= 1 << (idx % 8);
            }
            body.extend(nulls);
            for value in *image {
                match value {
                    Datum::Null => {}
                    Datum::Int(number) => body.extend(number.to_le_bytes()),
                    Datum::Text(text) => {
                        body.push(text.len() as u8);
                        body.extend(text.as_bytes());
                    }
                }
            }
        }
        self.event(event_type, &body);
    }

    /// What the source sends from `position` on.
    pub(super) fn stream(&self, position: &BinlogPosition) -> Vec<Vec<u8>> {
        let mut rotate = position.offset.to_le_bytes().to_vec();
        rotate.extend(FILE.as_bytes());
        let mut events = vec![raw(0, EventType::ROTATE, &rotate, 0, 0x20)];
        events.extend(self.events.iter().filter(|event| event.start >= position.offset).map(|event| event.raw.clone()));
        events
    }
}

fn raw(seconds: u32, event_type: EventType, body: &[u8], log_pos: u32, flags: u16) -> Vec<u8> {
    let mut raw = seconds.to_le_bytes().to_vec();
    raw.push(event_type.0);
    raw.extend(1_u32.to_le_bytes());
    raw.extend(((19 + body.len()) as u32).to_le_bytes());
    raw.extend(log_pos.to_le_bytes());
    raw.extend(flags.to_le_bytes());
    raw.extend(body);
    raw
}

pub(super) fn structure(create: &str) -> Table {
    parse_create(create, SqlMode::default()).unwrap().2
}

pub(super) fn config(shape: Shape) -> Config {
    Config {
        source: SourceId::parse("source-1").unwrap(),
        flavor: shape.flavor(),
        source_version: None,
        case_sensitive: true,
        block_allow: BlockAllowList::default(),
        router: Router::default(),
        event_filter: EventFilter::default(),
        dialect: Dialect::MySql,
        parent_keys: false,
        mode: Mode::NORMAL,
        safe_mode: Vec::new(),
        slicing: Slicing { consistency: Consistency::Transaction, slice_rows: 1000 },
        limits: Limits { batch_rows: 10, n_lanes: 4, ..Limits::default() },
        online_ddl: None,
        merges: Merges::default(),
        operators: Vec::new(),
    }
}

/// The start of a stream nothing was read of.
pub(super) fn start(shape: Shape, config: &Config) -> Start {
    let gtid = match shape {
        Shape::MariaDb | Shape::MySqlGtid => Some(GtidSet::empty(shape.flavor())),
        Shape::MySqlPlain => None,
    };
    Start {
        resume: Resume {
            low: UnitNumber(0),
            location: Location::new(BinlogPosition::new(FILE, 4), gtid),
            done: Window::new(),
            done_gtid: Vec::new(),
            source_uuid: String::new(),
            slicing: config.slicing,
            src_ts: None,
        },
        rows: Vec::new(),
        structures: Vec::new(),
        handover: Vec::new(),
    }
}
