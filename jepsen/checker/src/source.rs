//! A subtask's source: its binlog as numbered units of routed changes, and what its rows are at the place read so far.
//!
//! Owns the numbering, done a second time by the rules of data-plane.md 4.1 (rule 10): every transaction and every statement
//! outside of one counts, before any filter; a transaction of more than `slice_rows` rows is several units. Reads only as far
//! as asked, so that what is in memory is what the target has not committed yet.

use std::collections::{BTreeMap, VecDeque};

use dm_rules::{
    EventName,
    block_allow::BlockAllowList,
    event_filter::{EventFilter, Verdict},
    route::Router,
};

use crate::{
    log::{Log, Place},
    rows::Rows,
    tables::{Step, TableId, Tables},
    text::{self, Event, Reader},
};

/// Which changes of a source go where.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub block_allow: BlockAllowList,
    pub router: Router,
    pub event_filter: EventFilter,
}

/// A unit of a source.
#[derive(Debug)]
pub(crate) struct Unit {
    /// In the order of the source, each with the number of its source table.
    pub(crate) steps: Vec<(usize, Step)>,
    /// Its statement, when it is one.
    pub(crate) statement: Option<String>,
    pub(crate) end: Place,
    pub(crate) is_committed: bool,
}

/// Where a source table goes.
#[derive(Debug, Clone)]
struct Route {
    table: TableId,
    /// Values that are appended to each row, as the text has them.
    extracted: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Between,
    Announced,
    Open,
}

#[derive(Debug)]
pub(crate) struct Source {
    id: String,
    reader: Reader,
    rules: Rules,
    routes: Vec<Option<Option<Route>>>,
    phase: Phase,
    steps: Vec<(usize, Step)>,
    n_raw_rows: u32,
    /// How many rows a unit has at most; 0 without a bound.
    pub(crate) slice_rows: u32,
    /// Read, not taken.
    ahead: VecDeque<Unit>,
    /// Taken since the first copy, not numbered.
    held: VecDeque<Unit>,
    /// Numbered and still of interest.
    pub(crate) pending: BTreeMap<u64, Unit>,
    /// The number of the next unit to take; `None` before the stream's start is known.
    next: Option<u64>,
    /// End of what was taken.
    taken: Place,
    /// Where recent units end.
    ends: BTreeMap<u64, Place>,
    /// The source's rows as of `taken`, as far as its log tells.
    pub(crate) rows: Rows,
    is_recording: bool,
    /// Rows are copied: the log is followed from its beginning.
    is_copied: bool,
}

impl Source {
    /// Ends that are remembered.
    const MAX_ENDS: u64 = 4 * dm_fence::Window::SPAN;

    pub(crate) fn new(id: String, rules: Rules, log: Log) -> Self {
        Self {
            id,
            reader: Reader::new(log),
            rules,
            routes: Vec::new(),
            phase: Phase::Between,
            steps: Vec::new(),
            n_raw_rows: 0,
            slice_rows: 0,
            ahead: VecDeque::new(),
            held: VecDeque::new(),
            pending: BTreeMap::new(),
            next: None,
            taken: Place::default(),
            ends: BTreeMap::new(),
            rows: Rows::default(),
            is_recording: false,
            is_copied: false,
        }
    }

    pub(crate) fn is_numbered(&self) -> bool {
        self.next.is_some()
    }

    pub(crate) fn taken(&self) -> &Place {
        &self.taken
    }

    /// A table of the source by its number in steps.
    pub(crate) fn table(&self, number: usize) -> &dm_model::TableName {
        self.reader.table(number)
    }

    /// The target table of a source table; `None` when it is not replicated.
    pub(crate) fn target_of(&self, table: &dm_model::TableName, tables: &mut Tables) -> Option<TableId> {
        route(&self.rules, &self.id, table, tables).map(|route| route.table)
    }

    /// Rows were copied at a place: what the log has up to there must be what was copied.
    pub(crate) fn copied_at(&mut self, place: &Place, tables: &mut Tables) -> Result<(), text::Error> {
        self.is_recording = true;
        while self.peek(tables)?.is_some_and(|unit| unit.end <= *place) {
            if let Some(unit) = self.take(tables)? {
                match self.next {
                    Some(number) => self.number(number, unit),
                    // From the first place on all is to be replicated.
                    None if self.is_copied => self.held.push_back(unit),
                    None => {}
                }
            }
        }
        self.is_copied = true;
        Ok(())
    }

    /// The stream begins behind `place`, where unit `low` ended.
    pub(crate) fn begin(&mut self, low: u64, place: &Place, tables: &mut Tables) -> Result<(), text::Error> {
        while self.held.front().is_some_and(|unit| unit.end <= *place) {
            self.held.pop_front();
        }
        self.next = Some(low + 1);
        for (unit, number) in std::mem::take(&mut self.held).into_iter().zip(low + 1..) {
            self.number(number, unit);
        }
        if self.pending.is_empty() {
            while self.peek(tables)?.is_some_and(|unit| unit.end <= *place) {
                self.take(tables)?;
            }
        }
        self.is_recording = true;
        Ok(())
    }

    /// Makes sure that units up to this one are read; false when the log ends before.
    pub(crate) fn reach(&mut self, unit: u64, tables: &mut Tables) -> Result<bool, text::Error> {
        while let Some(next) = self.next.filter(|next| *next <= unit) {
            let Some(taken) = self.take(tables)? else { return Ok(false) };
            self.number(next, taken);
        }
        Ok(self.next.is_some())
    }

    /// Reads to the end of the log.
    pub(crate) fn finish(&mut self, tables: &mut Tables) -> Result<(), text::Error> {
        self.reach(u64::MAX, tables).map(|_| ())
    }

    /// Whether unit `low` ends at `place` or before, and the next one behind it. `None`: cannot be told any more.
    pub(crate) fn is_end_of(
        &mut self,
        low: u64,
        place: &Place,
        tables: &mut Tables,
    ) -> Result<Option<bool>, text::Error> {
        if !self.reach(low, tables)? {
            return Ok(Some(false));
        }
        let next = match self.ends.get(&(low + 1)) {
            Some(end) => Some(end.clone()),
            None if self.next == Some(low + 1) => self.peek(tables)?.map(|unit| unit.end.clone()),
            None => return Ok(None),
        };
        let ends_before = self.ends.get(&low).is_none_or(|end| end <= place);
        Ok(Some(ends_before && next.is_none_or(|end| end > *place)))
    }

    fn number(&mut self, number: u64, unit: Unit) {
        self.ends.insert(number, unit.end.clone());
        while self.ends.first_key_value().is_some_and(|(first, _)| first + Self::MAX_ENDS < number) {
            self.ends.pop_first();
        }
        self.pending.insert(number, unit);
        self.next = Some(number + 1);
    }

    fn peek(&mut self, tables: &mut Tables) -> Result<Option<&Unit>, text::Error> {
        self.fill(tables)?;
        Ok(self.ahead.front())
    }

    fn take(&mut self, tables: &mut Tables) -> Result<Option<Unit>, text::Error> {
        self.fill(tables)?;
        let Some(unit) = self.ahead.pop_front() else { return Ok(None) };
        self.taken = unit.end.clone();
        if self.is_recording {
            for (_, step) in &unit.steps {
                self.rows.follow(step, 0);
            }
            if let Some(statement) = &unit.statement {
                self.forget(statement);
            }
        }
        Ok(Some(unit))
    }

    /// A statement may have changed any table it names: what the log said about its rows is not known any more.
    fn forget(&mut self, statement: &str) {
        for (number, route) in self.routes.iter().enumerate() {
            let Some(Some(route)) = route else { continue };
            let name = self.reader.table(number);
            match effect(statement) {
                Effect::Structure if names(statement, &name.table) => self.rows.forget(route.table),
                Effect::Rows if names(statement, &name.table) => self.rows.lose(route.table),
                Effect::Schema if names(statement, &name.schema) => self.rows.lose(route.table),
                Effect::Structure | Effect::Rows | Effect::Schema => {}
            }
        }
    }

    fn fill(&mut self, tables: &mut Tables) -> Result<(), text::Error> {
        while self.ahead.is_empty() {
            let Some(event) = self.reader.next_event()? else { return Ok(()) };
            match event {
                Event::File => self.drop_open(Phase::Between),
                Event::Announced => self.drop_open(Phase::Announced),
                Event::Begin => self.phase = Phase::Open,
                Event::Row(row) => {
                    self.phase = Phase::Open;
                    if self.slice_rows > 0 && self.n_raw_rows >= self.slice_rows {
                        self.cut(None);
                    }
                    self.n_raw_rows += 1;
                    self.row(row, tables);
                }
                Event::Query(sql) => match self.phase {
                    Phase::Open if !is_ddl(&sql) => {}
                    Phase::Open => {
                        if self.n_raw_rows > 0 {
                            self.cut(None);
                        }
                        self.cut(Some(sql));
                    }
                    Phase::Between | Phase::Announced => {
                        self.phase = Phase::Between;
                        self.cut(is_ddl(&sql).then_some(sql));
                    }
                },
                Event::Commit | Event::RolledBack if self.phase == Phase::Between => {}
                Event::Commit | Event::RolledBack => {
                    self.phase = Phase::Between;
                    self.cut(None);
                }
            }
        }
        Ok(())
    }

    fn drop_open(&mut self, phase: Phase) {
        self.phase = phase;
        self.steps.clear();
        self.n_raw_rows = 0;
    }

    fn cut(&mut self, statement: Option<String>) {
        self.n_raw_rows = 0;
        self.ahead.push_back(Unit {
            steps: std::mem::take(&mut self.steps),
            statement,
            end: self.reader.place().clone(),
            is_committed: false,
        });
    }

    fn row(&mut self, row: text::Row, tables: &mut Tables) {
        if self.routes.len() <= row.table {
            self.routes.resize(row.table + 1, None);
        }
        let name = self.reader.table(row.table);
        let route = self.routes[row.table].get_or_insert_with(|| route(&self.rules, &self.id, name, tables));
        let Some(route) = route else { return };
        let kind = match (&row.before, &row.after) {
            (None, _) => EventName::Insert,
            (Some(_), Some(_)) => EventName::Update,
            (Some(_), None) => EventName::Delete,
        };
        if matches!(self.rules.event_filter.judge_dml(name, kind), Verdict::Drop) {
            return;
        }
        let extend = |image: Option<text::Image>| {
            image.map(|mut image| {
                image.extend_from_slice(&route.extracted);
                image
            })
        };
        let mut steps = Vec::with_capacity(2);
        tables.steps(route.table, extend(row.before), extend(row.after), &mut steps);
        self.steps.extend(steps.into_iter().map(|step| (row.table, step)));
    }
}

fn route(rules: &Rules, source: &str, table: &dm_model::TableName, tables: &mut Tables) -> Option<Route> {
    if !rules.block_allow.allows_table(table) {
        return None;
    }
    // An ambiguous route stops the subtask: nothing is replicated then.
    let target = rules.router.route_table(table, source).ok()?;
    let mut extracted = Vec::new();
    for (_, value) in &target.extracted {
        extracted.extend_from_slice(b"\n'");
        extracted.extend_from_slice(value.as_bytes());
        extracted.push(b'\'');
    }
    Some(Route { table: tables.id(&target.table), extracted })
}

pub(crate) fn is_ddl(sql: &str) -> bool {
    let first = first_word(sql);
    ["CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME"].iter().any(|word| first.eq_ignore_ascii_case(word))
}

/// What a statement may do to rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Their columns change.
    Structure,
    /// They come, go or change places.
    Rows,
    /// As all rows of a schema.
    Schema,
}

pub(crate) fn effect(sql: &str) -> Effect {
    let first = first_word(sql);
    if first.eq_ignore_ascii_case("DROP")
        && ["DATABASE", "SCHEMA"].iter().any(|word| second_word(sql).eq_ignore_ascii_case(word))
    {
        return Effect::Schema;
    }
    let renames = first.eq_ignore_ascii_case("ALTER")
        && (names(sql, "RENAME") || names(sql, "rename") || names(sql, "PARTITION"));
    if renames || !["ALTER", "CREATE"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
        let is_index = second_word(sql).eq_ignore_ascii_case("INDEX");
        return if is_index { Effect::Structure } else { Effect::Rows };
    }
    Effect::Structure
}

fn second_word(sql: &str) -> &str {
    let first = first_word(sql);
    let at = sql.find(first).unwrap_or_default() + first.len();
    sql[at..].trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default()
}

/// The first word of a statement, comments in front of it left out.
pub(crate) fn first_word(sql: &str) -> &str {
    let mut rest = sql.trim_start();
    while let Some((_, after)) =
        rest.strip_prefix("/*").filter(|rest| !rest.starts_with('!')).and_then(|r| r.split_once("*/"))
    {
        rest = after.trim_start();
    }
    rest.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default()
}

/// Whether a statement has this name in it as a word.
pub(crate) fn names(sql: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    !name.is_empty()
        && sql.match_indices(name).any(|(at, _)| {
            !sql[..at].chars().next_back().is_some_and(is_word)
                && !sql[at + name.len()..].chars().next().is_some_and(is_word)
        })
}
