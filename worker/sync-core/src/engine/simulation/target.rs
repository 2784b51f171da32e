//! The target, and everything that survives a crash: tables, lane rows, structures; and the oracle it is held against.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dm_ddl::tracker::Tracker;
use dm_fence::{LaneRow, Progress, UnitNumber, Window};
use dm_model::{ClusterId, Epoch, TableName};

use super::{
    apply_ddl,
    history::{Effect, History, Plan},
    schema::{Datum, Table},
    server::{Server, ServerTable},
};
use crate::{batch::StoredStructure, engine::Config, engine::testbed::structure, sqlgen::Statement};

pub(super) struct Target {
    server: Server,
    pub(super) tracker: Tracker,
    lanes: BTreeMap<u16, LaneRow>,
    pub(super) structures: Vec<StoredStructure>,
    committed: BTreeSet<UnitNumber>,
    executed: BTreeSet<(UnitNumber, u32)>,
    /// Columns that every table of the source has from the start.
    base: BTreeMap<TableName, Vec<String>>,
    /// With slices a target may hold a part of a source transaction, which the oracle knows as well.
    forgets_windows: bool,
    /// It began as a copy of many moments: nothing to be held against before the end.
    is_copy: bool,
}

impl Target {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut target = Self {
            server: Server::default(),
            tracker: Tracker::new(true),
            lanes: BTreeMap::new(),
            structures: Vec::new(),
            committed: BTreeSet::new(),
            executed: BTreeSet::new(),
            base: BTreeMap::new(),
            forgets_windows: false,
            is_copy: plan.copied,
        };
        for source in &plan.tables {
            let n_keys = if plan.fewer_keys { 1 } else { usize::MAX };
            let create = source.table.create(&source.target.table, n_keys);
            target.tracker.put(source.target.clone(), structure(&create));
            let names = source.table.columns.iter().map(|column| column.name.clone()).collect();
            target.base.insert(source.target.clone(), names);
            if plan.wide_target {
                let stored = Some(Arc::new(structure(&source.table.create(&source.name.table, usize::MAX))));
                target.structures.push(StoredStructure {
                    table: source.name.clone(),
                    from_unit: UnitNumber(0),
                    structure: stored,
                });
            }
        }
        for name in target.base.keys() {
            if plan.wide_target {
                apply_ddl(&mut target.tracker, &format!("ALTER TABLE s.{} ADD COLUMN pad INT", name.table));
            }
            let table = target.server.tables.entry(name.clone()).or_default();
            if let Some(structure) = target.tracker.table(name) {
                table.follow(structure);
            }
        }
        target
    }

    pub(super) fn rows(&self) -> Vec<LaneRow> {
        self.lanes.values().cloned().collect()
    }

    /// The next owner of each row goes on as if its window were empty.
    pub(super) fn forget_windows(&mut self) {
        self.lanes.values_mut().for_each(|row| row.done = Window::new());
        self.forgets_windows = true;
    }

    /// The rows of a transaction: all of them, or an error.
    pub(super) fn write(&mut self, statements: &[Statement]) -> Result<(), String> {
        for statement in statements {
            let sql = String::from_utf8_lossy(&statement.sql);
            let n_affected = self.server.execute(&sql).map_err(|error| format!("{error}, for {sql}"))?;
            if statement.affected.divergence(n_affected) != 0 {
                return Err(format!("{n_affected} rows affected, {:?} expected, for {sql}", statement.affected));
            }
        }
        Ok(())
    }

    /// Rows of a snapshot.
    pub(super) fn insert_rows(
        &mut self,
        target: &TableName,
        table: &Table,
        rows: &[Vec<Datum>],
        replaces: bool,
    ) -> Result<(), String> {
        let names: Vec<String> = table.columns.iter().map(|column| format!("`{}`", column.name)).collect();
        let verb = if replaces { "REPLACE" } else { "INSERT" };
        for row in rows {
            let values: Vec<String> = row.iter().map(Datum::literal).collect();
            let sql = format!("{verb} INTO {target} ({}) VALUES ({})", names.join(","), values.join(","));
            self.server.execute(&sql).map_err(|error| format!("{error}, for {sql}"))?;
        }
        Ok(())
    }

    /// The fence of a transaction.
    pub(super) fn commit(
        &mut self,
        config: &Config,
        lane: u16,
        progress: &Progress,
        structures: &[StoredStructure],
    ) -> Result<(), String> {
        let first = || LaneRow::first(lane, ClusterId("c".into()), Epoch(1), config.slicing);
        let row = self.lanes.entry(lane).or_insert_with(first);
        for unit in &progress.units {
            if !self.committed.insert(*unit) {
                return Err(format!("S5: unit {unit} is committed twice"));
            }
        }
        let update = row.advance(progress.clone()).map_err(|error| format!("a lane row refuses: {error}"))?;
        row.apply(&update, None);
        self.structures.extend(structures.iter().cloned());
        Ok(())
    }

    pub(super) fn execute_ddl(
        &mut self,
        unit: UnitNumber,
        piece: u32,
        sql: &str,
        history: &History,
    ) -> Result<(), String> {
        let pieces =
            dm_ddl::pieces(sql, &dm_ddl::ParseContext::default(), "").map_err(|error| format!("{error}, for {sql}"))?;
        // What takeover concludes from the structure's hash: it ran already. A TRUNCATE is repeated, which must be harmless.
        if !self.executed.insert((unit, piece)) && !sql.starts_with("TRUNCATE") {
            return Ok(());
        }
        for piece in pieces {
            self.tracker.apply(&piece);
            let name = piece.target().ok_or_else(|| format!("no table in {sql}"))?;
            let table = self.server.tables.get_mut(&name).ok_or_else(|| format!("1146: {name}"))?;
            if sql.starts_with("TRUNCATE") {
                table.rows.clear();
            }
            if let Some(structure) = self.tracker.table(&name) {
                table.follow(structure);
            }
        }
        self.check(history)
    }

    /// What is committed, and DDLs that ran, are in the target as serial execution has them.
    pub(super) fn check(&self, history: &History) -> Result<(), String> {
        if self.is_copy {
            return Ok(());
        }
        let mut units = self.committed.clone();
        units.extend(self.executed.iter().map(|(unit, _)| *unit));
        self.check_against(history, &units)?;
        // S5: what the lane rows say.
        let Some(resume) = dm_fence::resume(&self.rows()).filter(|_| !self.forgets_windows) else { return Ok(()) };
        for (unit, effects) in &history.units {
            if !effects.is_empty() && resume.skips(*unit) != self.committed.contains(unit) {
                return Err(format!("S5: unit {unit} is committed or not against the lane rows"));
            }
        }
        Ok(())
    }

    pub(super) fn check_against(&self, history: &History, units: &BTreeSet<UnitNumber>) -> Result<(), String> {
        let serial = Serial::of(self.base.clone(), history, units)?;
        for (name, (columns, rows)) in &serial.tables {
            let Some(table) = self.server.tables.get(name) else { return Err(format!("1146: {name}")) };
            let found = project(table, columns)?;
            let mut wanted = rows.clone();
            wanted.sort();
            if found != wanted {
                return Err(format!("{name} has {found:?}, serial execution of {units:?} has {wanted:?}"));
            }
        }
        Ok(())
    }
}

fn project(table: &ServerTable, columns: &[String]) -> Result<Vec<Vec<Datum>>, String> {
    let at = |name: &String| table.columns.iter().position(|(column, _)| column == name);
    let at: Vec<usize> = columns.iter().map(at).collect::<Option<_>>().ok_or("a column is missing")?;
    let mut rows: Vec<Vec<Datum>> =
        table.rows.iter().map(|row| at.iter().map(|idx| row[*idx].clone()).collect()).collect();
    rows.sort();
    Ok(rows)
}

/// The oracle: units one after the other, on plain rows.
struct Serial {
    tables: BTreeMap<TableName, (Vec<String>, Vec<Vec<Datum>>)>,
}

impl Serial {
    fn of(
        base: BTreeMap<TableName, Vec<String>>,
        history: &History,
        units: &BTreeSet<UnitNumber>,
    ) -> Result<Self, String> {
        let tables = base.into_iter().map(|(name, columns)| (name, (columns, Vec::new()))).collect();
        let mut serial = Self { tables };
        for (unit, effects) in history.units.iter().filter(|(unit, _)| units.contains(unit)) {
            for effect in effects {
                serial
                    .apply(effect)
                    .ok_or_else(|| format!("unit {unit} is applied without what it needs: {effect:?}"))?;
            }
        }
        Ok(serial)
    }

    fn apply(&mut self, effect: &Effect) -> Option<()> {
        match effect {
            Effect::Row { target, old, new } => {
                let (columns, rows) = self.tables.get_mut(target)?;
                let fits = |row: &Vec<Datum>| row.len() == columns.len();
                if !old.iter().chain(new).all(fits) {
                    return None;
                }
                if let Some(old) = old {
                    let at = rows.iter().position(|row| row == old)?;
                    rows.remove(at);
                }
                rows.extend(new.clone());
            }
            Effect::AddColumn { target, name } => {
                let (columns, rows) = self.tables.get_mut(target)?;
                columns.push(name.clone());
                rows.iter_mut().for_each(|row| row.push(Datum::Null));
            }
            Effect::Truncate { target } => self.tables.get_mut(target)?.1.clear(),
        }
        Some(())
    }
}
