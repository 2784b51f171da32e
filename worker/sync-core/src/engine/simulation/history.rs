//! The source: a plan of what happens to it, the binlog of it, and what each unit does.
//!
//! A plan holds wishes, not results: an operation that its table refuses is left out, so that any part of a plan is a plan.

use std::collections::BTreeMap;

use dm_fence::UnitNumber;
use dm_model::TableName;

use super::{
    dice::Dice,
    schema::{Datum, Table},
};
use crate::{
    engine::testbed::{Binlog, Shape},
    sqlgen::Mode,
};

/// A table of the source, and the target it goes to.
#[derive(Debug, Clone)]
pub(super) struct SourceTable {
    pub(super) name: TableName,
    pub(super) target: TableName,
    pub(super) table: Table,
}

#[derive(Debug, Clone)]
pub(super) enum Op {
    Insert {
        table: usize,
        rows: Vec<Vec<u8>>,
    },
    /// Changes the columns whose bit is set.
    Update {
        table: usize,
        at: usize,
        row: Vec<u8>,
        columns: u8,
    },
    Delete {
        table: usize,
        at: usize,
    },
    /// Two rows exchange a column's values, by way of a third.
    Swap {
        table: usize,
        first: usize,
        second: usize,
        column: usize,
        between: u8,
    },
    /// Row after row takes the value that the one before it had.
    Chain {
        table: usize,
        at: usize,
        column: usize,
        free: u8,
    },
    /// A row moves to another shard of the same target.
    Move {
        table: usize,
        at: usize,
    },
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Transaction(Vec<Op>),
    AddColumn(usize),
    Truncate(usize),
    /// A statement that is none of our business.
    Other,
}

/// Everything about a run but its schedule.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) tables: Vec<SourceTable>,
    pub(super) steps: Vec<Step>,
    pub(super) shape: Shape,
    pub(super) n_lanes: u16,
    pub(super) slice_rows: u32,
    pub(super) batch_rows: usize,
    pub(super) memory_bytes: usize,
    /// The target has a column more, and the source's structures are stored from the start.
    pub(super) wide_target: bool,
    /// The target has only the first of the keys.
    pub(super) fewer_keys: bool,
    pub(super) n_values: u8,
    pub(super) mode: Mode,
    /// The tables are copied first.
    pub(super) copied: bool,
}

impl Plan {
    pub(super) fn random(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.roll(2);
        let mut tables = Vec::new();
        for idx in 0..1 + dice.roll(3) {
            let table = Table::random(&mut dice);
            let target = TableName::new("s", format!("t{idx}"));
            if dice.one_in(4) {
                for shard in 0..2 + dice.roll(2) {
                    let name = TableName::new("s", format!("t{idx}_shard{shard}"));
                    tables.push(SourceTable { name, target: target.clone(), table: table.clone() });
                }
            } else {
                tables.push(SourceTable { name: target.clone(), target, table });
            }
        }
        let n_steps = 1 + dice.roll(80);
        let n_tables = tables.len();
        let steps = (0..n_steps).map(|_| step(&mut dice, n_tables)).collect();
        Self {
            steps,
            shape: [Shape::MariaDb, Shape::MySqlGtid, Shape::MySqlPlain][dice.roll(3)],
            n_lanes: 1 + dice.roll(4) as u16,
            slice_rows: [1, 3, 1000, 1000][dice.roll(4)],
            batch_rows: 1 + dice.roll(12),
            memory_bytes: 400 + dice.roll(4000),
            wide_target: dice.one_in(2),
            fewer_keys: dice.one_in(5),
            n_values: 3 + dice.roll(12) as u8,
            mode: [Mode::NORMAL, Mode::NORMAL, Mode::NORMAL, Mode::SINGLE, Mode::SAFE][dice.roll(5)],
            tables,
            copied: false,
        }
    }

    /// Brings numbers of tables that are not there any more back into range.
    pub(super) fn n_wrapped_tables(&mut self) {
        let n_tables = self.tables.len();
        for step in &mut self.steps {
            let Step::Transaction(ops) = step else { continue };
            for op in ops {
                let (Op::Insert { table, .. }
                | Op::Update { table, .. }
                | Op::Delete { table, .. }
                | Op::Swap { table, .. }
                | Op::Chain { table, .. }
                | Op::Move { table, .. }) = op;
                *table %= n_tables;
            }
        }
    }

    pub(super) fn is_merged(&self, table: usize) -> bool {
        self.tables.iter().filter(|other| other.target == self.tables[table].target).count() > 1
    }
}

fn step(dice: &mut Dice, n_tables: usize) -> Step {
    match dice.roll(24) {
        0 => Step::Other,
        1 => Step::AddColumn(dice.roll(n_tables)),
        2 => Step::Truncate(dice.roll(n_tables)),
        _ => Step::Transaction((0..dice.roll(5)).map(|_| op(dice, n_tables)).collect()),
    }
}

fn op(dice: &mut Dice, n_tables: usize) -> Op {
    let table = dice.roll(n_tables);
    let row = |dice: &mut Dice| (0..12).map(|_| dice.byte()).collect::<Vec<u8>>();
    let (at, column) = (dice.roll(20), dice.roll(8));
    match dice.roll(12) {
        0..=3 => Op::Insert { table, rows: (0..1 + dice.roll(3)).map(|_| row(dice)).collect() },
        4..=6 => Op::Update { table, at, row: row(dice), columns: dice.byte() },
        7 => Op::Delete { table, at },
        8 => Op::Swap { table, first: at, second: dice.roll(20), column, between: dice.byte() },
        9 | 10 => Op::Chain { table, at, column, free: dice.byte() },
        _ => Op::Move { table, at },
    }
}

/// What a unit does to a target table.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    Row { target: TableName, old: Option<Vec<Datum>>, new: Option<Vec<Datum>> },
    AddColumn { target: TableName, name: String },
    Truncate { target: TableName },
}

/// What the source went through.
pub(super) struct History {
    pub(super) binlog: Binlog,
    /// Rows of each source table at the end.
    pub(super) rows: Vec<Vec<Vec<Datum>>>,
    /// Columns that were added to each source table.
    pub(super) added: Vec<Vec<String>>,
    pub(super) units: BTreeMap<UnitNumber, Vec<Effect>>,
    /// Where the binlog ended, and what the tables held then; before the first step, and after each.
    pub(super) ends: Vec<(u64, Vec<Vec<Vec<Datum>>>)>,
    slice_rows: usize,
    /// Effects of the transaction that is being made.
    open: Vec<Effect>,
}

impl History {
    pub(super) fn of(plan: &Plan) -> Self {
        let n_tables = plan.tables.len();
        let mut history = Self {
            binlog: Binlog::new(plan.shape),
            rows: vec![Vec::new(); n_tables],
            added: vec![Vec::new(); n_tables],
            units: BTreeMap::new(),
            ends: Vec::new(),
            slice_rows: plan.slice_rows as usize,
            open: Vec::new(),
        };
        history.ends.push((history.binlog.end, history.rows.clone()));
        for step in &plan.steps {
            history.step(plan, step);
            history.ends.push((history.binlog.end, history.rows.clone()));
        }
        history
    }

    fn next_unit(&self) -> UnitNumber {
        self.units.last_key_value().map_or(UnitNumber(1), |(unit, _)| unit.next())
    }

    fn step(&mut self, plan: &Plan, step: &Step) {
        match step {
            Step::Transaction(ops) => {
                self.binlog.begin();
                for op in ops {
                    self.op(plan, op);
                }
                self.binlog.commit();
                // A slice is cut before the row that does not fit; every transaction has one unit at least.
                let effects = std::mem::take(&mut self.open);
                let mut slices: Vec<Vec<Effect>> = effects.chunks(self.slice_rows).map(<[Effect]>::to_vec).collect();
                if slices.is_empty() {
                    slices.push(Vec::new());
                }
                for slice in slices {
                    self.units.insert(self.next_unit(), slice);
                }
            }
            Step::Other => {
                self.binlog.statement("mysql", "FLUSH LOGS");
                self.units.insert(self.next_unit(), Vec::new());
            }
            // A DDL on one of several shards pauses: there is none here.
            Step::AddColumn(table) | Step::Truncate(table) if plan.is_merged(*table) => {}
            Step::AddColumn(table) => {
                let (source, name) = (&plan.tables[*table], format!("extra{}", self.added[*table].len()));
                self.binlog.statement("s", &format!("ALTER TABLE {} ADD COLUMN {name} INT", source.name.table));
                self.rows[*table].iter_mut().for_each(|row| row.push(Datum::Null));
                self.added[*table].push(name.clone());
                let target = source.target.clone();
                self.units.insert(self.next_unit(), vec![Effect::AddColumn { target, name }]);
            }
            Step::Truncate(table) => {
                let source = &plan.tables[*table];
                self.binlog.statement("s", &format!("TRUNCATE TABLE {}", source.name.table));
                self.rows[*table].clear();
                self.units.insert(self.next_unit(), vec![Effect::Truncate { target: source.target.clone() }]);
            }
        }
    }

    fn op(&mut self, plan: &Plan, op: &Op) {
        match op {
            Op::Insert { table, rows } => {
                let mut inserted = Vec::new();
                for row in rows {
                    let row = self.row(plan, *table, row);
                    if self.put(plan, *table, None, Some(row.clone())) {
                        inserted.push(row);
                    }
                }
                if !inserted.is_empty() {
                    self.map(plan, *table);
                    self.binlog.insert_data(*table as u8 + 1, &inserted);
                }
            }
            Op::Update { table, at, row, columns } => {
                let new = self.row(plan, *table, row);
                let Some(at) = self.at(*table, *at) else { return };
                let old = self.rows[*table][at].clone();
                let pick = |(idx, (old, new)): (usize, (&Datum, Datum))| {
                    if columns >> (idx % 8) & 1 == 1 { new } else { old.clone() }
                };
                let new = old.iter().zip(new).enumerate().map(pick).collect();
                self.update(plan, *table, at, new);
            }
            Op::Delete { table, at } => {
                if let Some(at) = self.at(*table, *at) {
                    self.delete(plan, *table, at);
                }
            }
            Op::Swap { table, first, second, column, between } => {
                let (Some(first), Some(second)) = (self.at(*table, *first), self.at(*table, *second)) else { return };
                let column = column % plan.tables[*table].table.columns.len();
                let between = self.row(plan, *table, &[*between; 12])[column].clone();
                let values = [first, second].map(|at| self.rows[*table][at][column].clone());
                if self.set(plan, *table, first, column, between)
                    && self.set(plan, *table, second, column, values[0].clone())
                {
                    self.set(plan, *table, first, column, values[1].clone());
                }
            }
            Op::Chain { table, at, column, free } => {
                let column = column % plan.tables[*table].table.columns.len();
                let mut value = self.row(plan, *table, &[*free; 12])[column].clone();
                for step in 0..3 {
                    let Some(at) = self.at(*table, at + step) else { return };
                    let old = self.rows[*table][at][column].clone();
                    if !self.set(plan, *table, at, column, value) {
                        return;
                    }
                    value = old;
                }
            }
            Op::Move { table, at } => {
                let target = &plan.tables[*table].target;
                let other =
                    (0..plan.tables.len()).rev().find(|other| other != table && plan.tables[*other].target == *target);
                let (Some(to), Some(at)) = (other, self.at(*table, *at)) else { return };
                let row = self.rows[*table][at].clone();
                self.delete(plan, *table, at);
                if self.put(plan, to, None, Some(row.clone())) {
                    self.map(plan, to);
                    self.binlog.insert_data(to as u8 + 1, &[row]);
                }
            }
        }
    }

    fn at(&self, table: usize, at: usize) -> Option<usize> {
        let n_rows = self.rows[table].len();
        (n_rows > 0).then(|| at % n_rows)
    }

    fn row(&self, plan: &Plan, table: usize, choices: &[u8]) -> Vec<Datum> {
        let columns = &plan.tables[table].table.columns;
        let base = columns.iter().zip(choices).map(|(column, choice)| {
            if column.nullable && choice % 5 == 0 { Datum::Null } else { column.kind.value(choice / 5, plan.n_values) }
        });
        let extra = choices.iter().rev().take(self.added[table].len());
        base.chain(extra.map(|choice| Datum::Int(i32::from(*choice)))).collect()
    }

    fn set(&mut self, plan: &Plan, table: usize, at: usize, column: usize, value: Datum) -> bool {
        let mut new = self.rows[table][at].clone();
        new[column] = value;
        self.update(plan, table, at, new)
    }

    fn update(&mut self, plan: &Plan, table: usize, at: usize, new: Vec<Datum>) -> bool {
        let old = self.rows[table][at].clone();
        if old == new || !self.put(plan, table, Some(at), Some(new.clone())) {
            return false;
        }
        self.map(plan, table);
        self.binlog.update_data(table as u8 + 1, &old, &new);
        true
    }

    fn delete(&mut self, plan: &Plan, table: usize, at: usize) {
        let row = self.rows[table][at].clone();
        self.put(plan, table, Some(at), None);
        self.map(plan, table);
        self.binlog.delete_data(table as u8 + 1, &[row]);
    }

    fn map(&mut self, plan: &Plan, table: usize) {
        let source = &plan.tables[table];
        let kinds: Vec<_> = source.table.columns.iter().map(|column| column.kind).collect();
        self.binlog.map_data(table as u8 + 1, &source.name, &kinds, self.added[table].len());
    }

    /// Replaces, adds or removes a row, unless another row of the same target is in its way.
    fn put(&mut self, plan: &Plan, table: usize, at: Option<usize>, new: Option<Vec<Datum>>) -> bool {
        let source = &plan.tables[table];
        if let Some(new) = &new {
            for (other, rows) in self.rows.iter().enumerate() {
                let in_way = |(idx, row): (usize, &Vec<Datum>)| {
                    !(other == table && Some(idx) == at) && source.table.collide(row, new)
                };
                if plan.tables[other].target == source.target && rows.iter().enumerate().any(in_way) {
                    return false;
                }
            }
        }
        let rows = &mut self.rows[table];
        let old = match (at, &new) {
            (Some(at), Some(new)) => Some(std::mem::replace(&mut rows[at], new.clone())),
            (Some(at), None) => Some(rows.remove(at)),
            (None, Some(new)) => {
                rows.push(new.clone());
                None
            }
            (None, None) => None,
        };
        self.open.push(Effect::Row { target: source.target.clone(), old, new });
        true
    }
}
