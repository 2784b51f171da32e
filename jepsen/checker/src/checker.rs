//! Reads the target's log transaction by transaction and asks the sources' logs for what each commits.
//!
//! Owns what kind of transaction may do what: a takeover nothing but lane rows, a chunk its rows, a unit its changes, a lane without
//! any of these nothing but empty a table whose copy begins again; and nobody without a lane anything at all.

use std::collections::{BTreeMap, BTreeSet};

use dm_model::TableName;

use crate::{
    apply::{self, Ground},
    copy::{self, Marked},
    ddl::Ddls,
    log::{Log, Place},
    meta::{self, IntentImage, IntentState},
    rows::{Known, Rows},
    source::{Rules, Source},
    subtask::{Fence, Subtask},
    tables::{Step, TableFacts, TableId, Tables},
    text::{self, Event, Reader, Row},
    verdict::Verdict,
};

/// One subtask to check.
#[derive(Debug)]
pub struct SubtaskLog {
    pub task: String,
    /// The source id.
    pub source: String,
    pub rules: Rules,
    /// The binlog of its source.
    pub log: Log,
}

/// How far the target's log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tail {
    /// All that the sources' logs have was applied before the logs were taken: what is missing is lost.
    #[default]
    Settled,
    /// Units may still be on their way.
    Open,
}

/// What to check.
#[derive(Debug)]
pub struct Config {
    /// The schema of the fence's tables.
    pub meta_schema: String,
    pub subtasks: Vec<SubtaskLog>,
    /// Target tables and what identifies their rows. A table that is not here is compared as if it had no key.
    pub tables: BTreeMap<TableName, TableFacts>,
    pub tail: Tail,
    /// The task runs in safe mode: rows before a change do not count.
    pub is_safe: bool,
}

/// Checks the target's log against the logs of its sources.
///
/// # Errors
/// A text is no binlog's or cannot be read. What the texts say wrong is a violation, not an error.
pub fn check(config: Config, target: Log) -> Result<Verdict, text::Error> {
    let mut checker = Checker::new(config, target);
    checker.run()?;
    Ok(checker.verdict)
}

#[derive(Debug)]
struct Checker {
    meta_schema: String,
    tail: Tail,
    is_safe: bool,
    reader: Reader,
    tables: Tables,
    rows: Rows,
    subtasks: BTreeMap<(String, String), Subtask>,
    ddls: Ddls,
    copy_places: Vec<Place>,
    /// Where a table was first written without a fence.
    unfenced: BTreeMap<TableId, Place>,
    /// Tables that units or chunks write.
    ours: BTreeSet<TableId>,
    verdict: Verdict,
}

/// The rows of one transaction, sorted.
#[derive(Debug, Default)]
struct Transaction {
    fences: Vec<((String, String), Fence)>,
    /// A lane of a subtask that is not checked leads it.
    is_others: bool,
    marked: BTreeMap<(String, String), Marked>,
    intents: Vec<IntentImage>,
    steps: Vec<Step>,
}

impl Checker {
    fn new(config: Config, target: Log) -> Self {
        let tables = Tables::new(config.tables);
        let subtasks = config.subtasks.into_iter().zip(0..).map(|(subtask, index)| {
            let source = Source::new(subtask.source.clone(), subtask.rules, subtask.log);
            let name = format!("{}/{}", subtask.task, subtask.source);
            ((subtask.task, subtask.source), Subtask::new(name, index, source))
        });
        Self {
            meta_schema: config.meta_schema,
            tail: config.tail,
            is_safe: config.is_safe,
            reader: Reader::new(target),
            tables,
            rows: Rows::default(),
            subtasks: subtasks.collect(),
            ddls: Ddls::default(),
            copy_places: Vec::new(),
            unfenced: BTreeMap::new(),
            ours: BTreeSet::new(),
            verdict: Verdict::default(),
        }
    }

    fn run(&mut self) -> Result<(), text::Error> {
        let mut open: Option<Vec<Row>> = None;
        while let Some(event) = self.reader.next_event()? {
            match event {
                Event::File | Event::Announced | Event::RolledBack => open = None,
                Event::Begin => open = Some(Vec::new()),
                Event::Row(row) => open.get_or_insert_default().push(row),
                Event::Query(sql) => self.statement(&sql),
                Event::Commit => {
                    if let Some(rows) = open.take() {
                        self.transaction(rows)?;
                    }
                }
            }
        }
        self.finish()
    }

    fn statement(&mut self, sql: &str) {
        let is_ours = self.subtasks.values().any(|subtask| subtask.epoch > 0);
        let at = self.reader.place().clone();
        let Self { ddls, tables, rows, verdict, meta_schema, .. } = self;
        ddls.statement(sql, &at, is_ours, meta_schema, tables, rows, verdict);
    }

    fn transaction(&mut self, rows: Vec<Row>) -> Result<(), text::Error> {
        let at = self.reader.place().clone();
        let sorted = self.sort(rows, &at);
        if sorted.fences.is_empty() {
            for step in &sorted.steps {
                if !sorted.is_others {
                    self.unfenced.entry(step.table).or_insert_with(|| at.clone());
                }
                self.rows.follow(step, 0);
            }
            for intent in sorted.intents.iter().filter(|intent| intent.state != IntentState::Open) {
                let name = format!("{}/{}", intent.task, intent.source);
                self.verdict.violation(|| format!("{at}: {name}: a DDL intent is completed without a fence"));
            }
            return Ok(());
        }
        self.verdict.n_fenced += 1;
        let Transaction { fences, marked, steps, .. } = sorted;
        let mut owners: BTreeMap<(String, String), (Vec<u64>, Vec<(u64, Place)>, bool)> = BTreeMap::new();
        for (key, fence) in fences {
            let (units, reached, is_claim) = owners.entry(key).or_default();
            units.extend(fence.units);
            reached.extend(fence.reached);
            *is_claim |= fence.is_claim;
        }
        if owners.len() > 1 {
            self.verdict.violation(|| format!("{at}: one transaction changes lane rows of several subtasks"));
        }
        let mut steps = steps;
        for (key, (units, reached, is_claim)) in owners {
            let copied =
                marked.get(&key).and_then(|marked| marked.place.as_ref()).map_or(0, |place| self.copy_place(place));
            let Self { subtasks, tables, rows, copy_places, verdict, is_safe, ours, .. } = self;
            let Some(subtask) = subtasks.get_mut(&key) else { continue };
            let mut ground = Ground { tables, rows, copy_places, is_safe: *is_safe, at: &at, verdict };
            for (low, place) in &reached {
                locate(subtask, *low, place, &mut ground)?;
            }
            let steps = std::mem::take(&mut steps);
            ours.extend(steps.iter().map(|step| step.table).filter(|_| !units.is_empty()));
            if is_claim {
                ground.verdict.n_takeovers += 1;
                if !steps.is_empty() || marked.contains_key(&key) {
                    ground.verdict.violation(|| format!("{at}: {}: a takeover writes rows", subtask.name));
                }
            } else if !units.is_empty() {
                if !subtask.source.is_numbered() {
                    ground
                        .verdict
                        .violation(|| format!("{at}: {}: units are committed before any place is known", subtask.name));
                }
                apply::apply(subtask, &units, steps, &mut ground)?;
            } else if let Some(marked) = marked.get(&key) {
                ours.extend(&marked.tables);
                copy::copy(subtask, marked, steps, copied, &mut ground)?;
            } else {
                empty(subtask, steps, &mut ground);
            }
            for (low, _) in reached {
                apply::cover(subtask, low, &mut ground)?;
            }
        }
        Ok(())
    }

    fn copy_place(&mut self, place: &Place) -> u32 {
        let at = self.copy_places.iter().position(|known| known == place).unwrap_or_else(|| {
            self.copy_places.push(place.clone());
            self.copy_places.len() - 1
        });
        u32::try_from(at + 1).unwrap_or(u32::MAX)
    }

    /// Sorts the rows of a transaction by what they are, and takes the fence's rows over.
    fn sort(&mut self, rows: Vec<Row>, at: &Place) -> Transaction {
        let mut sorted = Transaction::default();
        for row in rows {
            let name = self.reader.table(row.table);
            if name.schema != self.meta_schema {
                let table = self.tables.id(&name.clone());
                self.tables.steps(table, row.before, row.after, &mut sorted.steps);
                continue;
            }
            match name.table.as_str() {
                "dm_fence_lane" => self.lane(&row, at, &mut sorted),
                "dm_snapshot_chunk" => self.chunk(&row, at, &mut sorted),
                "dm_ddl_intent" => {
                    let after = row.after.as_ref().map(|image| meta::intent(image));
                    match after {
                        Some(None) => self.unreadable(at, "a DDL intent"),
                        Some(after) => {
                            let is_ours = |intent: &IntentImage| {
                                self.subtasks.contains_key(&(intent.task.clone(), intent.source.clone()))
                            };
                            let after = after.filter(is_ours);
                            sorted.intents.extend(after.clone());
                            self.ddls.intent(after, at, &mut self.verdict);
                        }
                        None => {}
                    }
                }
                _ => {}
            }
        }
        for (key, fence) in &sorted.fences {
            let Some(subtask) = self.subtasks.get(key) else { continue };
            for marker in sorted.marked.get(key).into_iter().filter_map(|marked| marked.epoch) {
                if marker != fence.epoch {
                    self.verdict.violation(|| {
                        format!(
                            "{at}: {}: a chunk's marker has epoch {marker}, its fence {}",
                            subtask.name, fence.epoch
                        )
                    });
                }
            }
        }
        let bare = sorted
            .marked
            .iter()
            .filter(|(key, marked)| marked.n_rows != 0 && !sorted.fences.iter().any(|(fenced, _)| fenced == *key));
        for ((task, source), _) in bare {
            self.verdict.violation(|| format!("{at}: {task}/{source}: a chunk's marker changes without a fence"));
        }
        sorted
    }

    fn unreadable(&mut self, at: &Place, what: &str) {
        self.verdict.violation(|| format!("{at}: {what} cannot be read"));
    }

    fn lane(&mut self, row: &Row, at: &Place, sorted: &mut Transaction) {
        let before = row.before.as_ref().map(|image| meta::lane(image));
        let after = row.after.as_ref().map(|image| meta::lane(image));
        if matches!(before, Some(None)) || matches!(after, Some(None)) {
            return self.unreadable(at, "a lane row");
        }
        let (before, after) = (before.flatten(), after.flatten());
        let Some(any) = after.as_ref().or(before.as_ref()) else { return };
        let key = (any.task.clone(), any.source.clone());
        let Some(subtask) = self.subtasks.get_mut(&key) else {
            sorted.is_others = true;
            return;
        };
        let n_before = subtask.lanes.len();
        if let Some(fence) = subtask.lane(before.as_ref(), after.as_ref(), at, &mut self.verdict) {
            sorted.fences.push((key, fence));
        }
        self.verdict.n_lanes += subtask.lanes.len().saturating_sub(n_before) as u64;
    }

    fn chunk(&mut self, row: &Row, at: &Place, sorted: &mut Transaction) {
        let before = row.before.as_ref().map(|image| meta::chunk(image));
        let after = row.after.as_ref().map(|image| meta::chunk(image));
        if matches!(before, Some(None)) || matches!(after, Some(None)) {
            return self.unreadable(at, "a chunk's marker");
        }
        let (before, after) = (before.flatten(), after.flatten());
        let Some(any) = after.as_ref().or(before.as_ref()) else { return };
        let key = (any.task.clone(), any.source.clone());
        let Some(subtask) = self.subtasks.get_mut(&key) else { return };
        let epoch = after.as_ref().map(|after| after.epoch);
        let Some((table, added, place)) = subtask.chunk(before, after, at, &mut self.verdict) else { return };
        let marked = sorted.marked.entry(key).or_default();
        marked.epoch = epoch;
        marked.n_rows += added;
        // The half that was done keeps its older place; what is copied now has the newest.
        marked.place = marked.place.take().max(place);
        marked.tables.extend(subtask.source.target_of(&table, &mut self.tables));
    }

    fn finish(&mut self) -> Result<(), text::Error> {
        let at = self.reader.place().clone();
        for (table, place) in self.unfenced.iter().filter(|(table, _)| self.ours.contains(table)) {
            let name = self.tables.name(*table);
            self.verdict.violation(|| format!("{place}: {name} is written without a fence"));
        }
        let Self { subtasks, tables, rows, copy_places, verdict, is_safe, tail, .. } = self;
        for subtask in subtasks.values_mut() {
            if subtask.lanes.is_empty() {
                verdict.violation(|| format!("{}: the target's log has no lane row of it", subtask.name));
                continue;
            }
            if subtask.n_changes == 0 && !subtask.is_copied {
                verdict.violation(|| format!("{}: no row change was seen, so nothing is proven", subtask.name));
            }
            if *tail == Tail::Open || !subtask.source.is_numbered() {
                continue;
            }
            subtask.source.finish(tables)?;
            let mut ground = Ground { tables, rows, copy_places, is_safe: *is_safe, at: &at, verdict };
            let left = std::mem::take(&mut subtask.source.pending);
            apply::missing(subtask, left.into_iter(), "the target is said to have it all", &mut ground);
            last_rows(subtask, &mut ground);
        }
        Ok(())
    }
}

/// Where the row says that `low` ends, it ends.
fn locate(subtask: &mut Subtask, low: u64, place: &Place, ground: &mut Ground<'_>) -> Result<(), text::Error> {
    if !subtask.source.is_numbered() {
        subtask.low = low;
        return subtask.source.begin(low, place, ground.tables);
    }
    if low < subtask.low {
        return Ok(());
    }
    if subtask.source.is_end_of(low, place, ground.tables)? == Some(false) {
        let (at, name) = (ground.at, &subtask.name);
        ground.verdict.violation(|| {
            format!("{at}: {name}: low {low} is said to end at {place}; by the source's log it does not")
        });
    }
    Ok(())
}

/// A table whose copy begins again is emptied; a lane does nothing else with rows without naming units.
fn empty(subtask: &mut Subtask, steps: Vec<Step>, ground: &mut Ground<'_>) {
    let begun: Vec<TableName> = subtask.copied.keys().cloned().collect();
    let begun: BTreeSet<TableId> = begun
        .iter()
        .filter(|table| subtask.is_begun(table))
        .filter_map(|table| subtask.source.target_of(table, ground.tables))
        .collect();
    let mut foreign = BTreeSet::new();
    for step in steps {
        if step.after.is_some() || !begun.contains(&step.table) {
            foreign.insert(step.table);
        }
        apply::observe(&step, ground);
        ground.rows.follow(&step, 0);
    }
    for table in foreign {
        let (at, what) = (ground.at, ground.tables.name(table).clone());
        ground
            .verdict
            .violation(|| format!("{at}: {}: {what} is written under a fence that commits no unit", subtask.name));
    }
}

/// The last row of every key that the source's log knows.
fn last_rows(subtask: &Subtask, ground: &mut Ground<'_>) {
    let mut differing: BTreeMap<TableId, u64> = BTreeMap::new();
    for (table, key, entry) in subtask.source.rows.iter() {
        if ground.rows.is_foggy(table) || subtask.source.rows.is_foggy(table) {
            continue;
        }
        let there = ground.rows.get(table, key).map(|entry| entry.row);
        let is_same = match (entry.row, there) {
            (Known::Is(a), Some(Known::Is(b))) => a == b,
            (Known::Is(_) | Known::Present, Some(Known::Present)) | (Known::Present, Some(Known::Is(_))) => true,
            (Known::Absent, Some(Known::Absent) | None) => true,
            (Known::Is(_) | Known::Present, Some(Known::Absent) | None)
            | (Known::Absent, Some(Known::Is(_) | Known::Present)) => false,
        };
        ground.verdict.n_final_rows += 1;
        if !is_same {
            *differing.entry(table).or_default() += 1;
        }
    }
    for (table, n) in differing {
        let (at, name) = (ground.at, ground.tables.name(table).clone());
        ground.verdict.violation(|| {
            format!("{at}: {}: at the end {n} rows of {name} are not what the source's log made them", subtask.name)
        });
    }
}
