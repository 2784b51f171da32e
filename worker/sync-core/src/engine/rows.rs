//! Row events: rules, structures, and rows to changes.

use std::sync::Arc;

use dm_binlog::{Rows, RowsKind, TableMap};
use dm_model::{TableName, UnixMillis};
use dm_rules::{EventName, event_filter::Verdict};

use super::{Blocked, Command, Engine, Error, Stop, events::Flow};
use crate::{
    catalog::{Route, Routed, TargetKnowledge},
    change::ChangeKind,
    fits::{fits, misfit},
    mapping::Mapping,
    online_ddl::TableKind,
    structures::Knowledge,
};

/// A value that may have to be waited for.
enum Need<T> {
    Here(T),
    Wait(Blocked),
}

impl Engine {
    /// A table map of a table that is not replicated may be of any kind: it is only looked at when rows need it.
    pub(super) fn table_map(&mut self, map: &TableMap<'_>) -> Result<(), Stop> {
        if !self.source.stream.is_open() {
            self.source.stream.open();
        }
        match self.source.tables.learn(map) {
            Ok(_) => Ok(()),
            Err(cause) => {
                let source = TableName::new(map.schema, map.table);
                match self.catalog.route(&self.config, &source).map_err(|error| self.error(&error))? {
                    Route::Ignored => {
                        self.source.has_unreadable_map = true;
                        Ok(())
                    }
                    Route::To(_) => Err(self.error(&Error::Decode(cause))),
                }
            }
        }
    }

    pub(super) fn rows(&mut self, rows: &Rows<'_>, src_ts: Option<UnixMillis>) -> Result<Flow, Stop> {
        if rows.is_dummy() {
            self.source.tables.statement_end();
            return Ok(Flow::Done);
        }
        let table = self.source.tables.get(rows.table_id).map(Arc::clone);
        let flow = match table {
            Ok(table) => {
                let source = TableName::new(table.schema.as_str(), table.name.as_str());
                match self.keeps(&source, rows.kind)? {
                    Some(routed) => self.kept_rows(rows, &table, &routed, src_ts)?,
                    None => {
                        let n_rows = self.count_only(rows, &table, src_ts)?;
                        self.counters.n_rows_filtered += n_rows;
                        Flow::Done
                    }
                }
            }
            // The map of an ignored table could not be read.
            Err(_) if self.source.has_unreadable_map => {
                self.count_one(rows.data_bytes() as u64, src_ts)?;
                Flow::Done
            }
            Err(_) => return Err(self.error(&Error::NoTableMap)),
        };
        if rows.is_statement_end() && matches!(flow, Flow::Done) {
            self.source.tables.statement_end();
        }
        Ok(flow)
    }

    /// Block-allow list, then event filter, then route. `None`: not replicated.
    fn keeps(&mut self, source: &TableName, kind: RowsKind) -> Result<Option<Arc<Routed>>, Stop> {
        let route = self.catalog.route(&self.config, source).map_err(|error| self.error(&error))?;
        let Route::To(routed) = route else { return Ok(None) };
        let event = match kind {
            RowsKind::Insert => EventName::Insert,
            RowsKind::Update => EventName::Update,
            RowsKind::Delete => EventName::Delete,
        };
        match self.config.event_filter.judge_dml(source, event) {
            Verdict::Keep => {}
            Verdict::Drop => return Ok(None),
            Verdict::Error(rule) => return Err(self.error(&Error::Filter { rule: rule.to_owned() })),
        }
        match routed.kind {
            TableKind::Real => Ok(Some(routed)),
            TableKind::Ghost | TableKind::Trash => Err(self.error(&Error::OnlineDdl { table: source.clone() })),
        }
    }

    fn kept_rows(
        &mut self,
        rows: &Rows<'_>,
        table: &Arc<dm_binlog::Table>,
        routed: &Routed,
        src_ts: Option<UnixMillis>,
    ) -> Result<Flow, Stop> {
        if self.is_known(self.source.intake.current()) && self.ends_in_known_units(rows, table) {
            self.count_only(rows, table, src_ts)?;
            return Ok(Flow::Done);
        }
        if self.handover.holds_all(&routed.source, self.source.stream.event_end()) {
            self.counters.n_rows_filtered += self.count_only(rows, table, src_ts)?;
            return Ok(Flow::Done);
        }
        if !rows.image_is_full() {
            return Err(self.error(&Error::PartialImage { table: routed.source.clone() }));
        }
        let mapping = match self.mapping(table, routed)? {
            Need::Here(mapping) => mapping,
            Need::Wait(blocked) => return Ok(Flow::Wait(blocked)),
        };
        let end = self.source.stream.event_end().clone();
        self.handover.enter(&routed.source, &end);
        let mut reader = rows.reader(&table.plan).map_err(|cause| self.error(&Error::Decode(cause)))?;
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let mut n_left = reader.remaining_bytes();
        while reader.next(&mut before, &mut after).map_err(|cause| self.error(&Error::Decode(cause)))? {
            let n_bytes = n_left.saturating_sub(reader.remaining_bytes());
            n_left = reader.remaining_bytes();
            self.count_one(n_bytes as u64, src_ts)?;
            if self.is_known(self.source.intake.current()) {
                continue;
            }
            let (old, new) = match rows.kind {
                RowsKind::Insert => (None, Some(after.as_slice())),
                RowsKind::Update => (Some(before.as_slice()), Some(after.as_slice())),
                RowsKind::Delete => (Some(before.as_slice()), None),
            };
            let applies = self
                .handover
                .applies(&routed.source, &end, old, new)
                .map_err(|cause| self.error(&Error::Handover { table: routed.source.clone(), source: cause }))?;
            let (old, new, safe) = match applies {
                None => (old, new, false),
                Some(applies) => (old.filter(|_| applies.old), new.filter(|_| applies.new), applies.safe),
            };
            if old.is_none() && new.is_none() {
                self.counters.n_rows_filtered += 1;
                continue;
            }
            let change = mapping
                .change(old, new)
                .map_err(|source| self.error(&Error::Map { table: routed.source.clone(), source }))?;
            match change.kind() {
                ChangeKind::Insert => self.counters.n_inserts += 1,
                ChangeKind::Update => self.counters.n_updates += 1,
                ChangeKind::Delete => self.counters.n_deletes += 1,
            }
            self.source.intake.push(change, routed.uses, safe);
        }
        Ok(Flow::Done)
    }

    /// Counts one row, in the next slice when this one is full.
    fn count_one(&mut self, n_bytes: u64, src_ts: Option<UnixMillis>) -> Result<(), Stop> {
        if self.source.intake.is_full() {
            self.check_cut()?;
            self.cut_slice(src_ts)?;
        }
        self.source.intake.count_row(n_bytes);
        Ok(())
    }

    /// Counts rows that nothing becomes of. What cannot be read in them is nobody's concern.
    fn count_only(
        &mut self,
        rows: &Rows<'_>,
        table: &dm_binlog::Table,
        src_ts: Option<UnixMillis>,
    ) -> Result<u64, Stop> {
        let sizes = readable(rows, table);
        for n_bytes in &sizes {
            self.count_one(*n_bytes, src_ts)?;
        }
        Ok(sizes.len() as u64)
    }

    /// True when no row of the event belongs to a unit that is still to be applied.
    fn ends_in_known_units(&self, rows: &Rows<'_>, table: &dm_binlog::Table) -> bool {
        let mut foresight = self.source.intake.foresight();
        for n_bytes in readable(rows, table) {
            foresight.count_row(n_bytes);
        }
        let current = self.source.intake.current().0;
        (0..=foresight.n_cuts).all(|n| self.is_known(dm_fence::UnitNumber(current + n)))
    }

    /// The compiled mapping for rows under this table map.
    fn mapping(&mut self, table: &Arc<dm_binlog::Table>, routed: &Routed) -> Result<Need<Arc<Mapping>>, Stop> {
        if routed.uses.iter().any(|resource| self.pipeline.graph.is_changing(*resource)) {
            return Ok(Need::Wait(Blocked::Ddl(routed.target.clone())));
        }
        self.take_stored_structures();
        if let Some(compiled) = self.catalog.mapping(&routed.source)
            && (Arc::ptr_eq(&compiled.map, table) || is_same_map(&compiled.map, table))
        {
            return Ok(Need::Here(Arc::clone(&compiled.mapping)));
        }
        let target = match self.target_structure(&routed.target) {
            Need::Here(target) => target,
            Need::Wait(blocked) => return Ok(Need::Wait(blocked)),
        };
        let source = match self.source_structure(table, routed, target.as_deref())? {
            Need::Here(source) => source,
            Need::Wait(blocked) => return Ok(Need::Wait(blocked)),
        };
        let Some(target) = target else {
            return Err(self.error(&Error::TargetMissing { table: routed.target.clone() }));
        };
        let mapping = self.catalog.compile(&self.config, routed, &source, &target, Arc::clone(table));
        mapping.map(Need::Here).map_err(|error| self.error(&error))
    }

    fn target_structure(&mut self, table: &TableName) -> Need<Option<Arc<dm_ddl::table::Table>>> {
        match self.catalog.target(table) {
            TargetKnowledge::Known(structure) => Need::Here(structure),
            TargetKnowledge::Asked => Need::Wait(Blocked::TargetStructure(table.clone())),
            TargetKnowledge::Unknown => {
                if self.catalog.ask(table) {
                    self.commands.push_back(Command::ReadTarget { table: table.clone() });
                }
                Need::Wait(Blocked::TargetStructure(table.clone()))
            }
        }
    }

    /// The structure by which these rows were written: tracked, else the source's, else the target's, whichever fits;
    /// else 36027.
    fn source_structure(
        &mut self,
        map: &dm_binlog::Table,
        routed: &Routed,
        target: Option<&dm_ddl::table::Table>,
    ) -> Result<Need<Arc<dm_ddl::table::Table>>, Stop> {
        let candidate = match self.structures.knowledge(&routed.source) {
            Knowledge::Known(structure) if fits(&structure, map) => return Ok(Need::Here(structure)),
            Knowledge::Known(structure) => Some(structure),
            Knowledge::Answered(structure) => structure,
            Knowledge::Asked => return Ok(Need::Wait(Blocked::SourceStructure(routed.source.clone()))),
            Knowledge::Unknown => {
                if self.structures.ask(&routed.source) {
                    self.commands.push_back(Command::ReadSource { table: routed.source.clone() });
                }
                return Ok(Need::Wait(Blocked::SourceStructure(routed.source.clone())));
            }
        };
        let why = match &candidate {
            Some(structure) => misfit(structure, map),
            None => Some("the source has no such table now".to_owned()),
        };
        let found = match why {
            None => candidate,
            Some(_) => target.filter(|structure| fits(structure, map)).cloned().map(Arc::new),
        };
        let Some(structure) = found else {
            let why = why.unwrap_or_default();
            return Err(self.error(&Error::NoStructure { table: routed.source.clone(), why }));
        };
        self.structures.learn(&routed.source, Arc::clone(&structure), self.source.intake.current());
        Ok(Need::Here(structure))
    }
}

/// The bytes of each row that can be read; an event of which none can counts as one row.
fn readable(rows: &Rows<'_>, table: &dm_binlog::Table) -> Vec<u64> {
    let whole = vec![rows.data_bytes() as u64];
    let Ok(mut reader) = rows.reader(&table.plan) else { return whole };
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mut sizes = Vec::new();
    let mut n_left = reader.remaining_bytes();
    while let Ok(true) = reader.next(&mut before, &mut after) {
        sizes.push(n_left.saturating_sub(reader.remaining_bytes()) as u64);
        n_left = reader.remaining_bytes();
    }
    if sizes.is_empty() { whole } else { sizes }
}

fn is_same_map(a: &dm_binlog::Table, b: &dm_binlog::Table) -> bool {
    a.columns == b.columns && a.metadata.names == b.metadata.names && a.metadata.unsigned == b.metadata.unsigned
}
