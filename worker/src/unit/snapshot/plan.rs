//! Planning: which tables there are, what their chunks are, and what of an old plan no longer holds.
//!
//! A plan is made on the view it is first read with, so that the oldest position of any chunk is the plan's own: a table
//! that came later comes with the binlog. A plan of which nothing was copied is made anew. Stored in one transaction, with the
//! structures.

use std::collections::BTreeMap;

use dm_ddl::table::Table;
use dm_model::TableName;
use dm_mysql::{
    fence::{
        Statement,
        chunk::{self, ChunkRow},
        structure::{self, StructureRow},
    },
    schema::TableEntry,
};
use dm_rules::route::Target;
use dm_sync_core::chunk::ChunkKey;
use mysql_async::Conn;
use tracing::{info, warn};

use super::{
    Estimated, Snapshot,
    copy::locked,
    error::Error,
    ledger::planned,
    source, target,
    writer::{Refusal, Writer},
};
use crate::unit::Leave;

/// Rows that go with one DELETE while a table is emptied.
const EMPTY_ROWS: u64 = 10_000;

/// A source table and where it goes.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) entry: TableEntry,
    pub(super) target: Target,
    /// No other table, of this source or of another, is known to feed the target table.
    pub(super) is_alone: bool,
}

impl Snapshot<'_> {
    pub(super) fn route(&self, entries: Vec<TableEntry>) -> Result<BTreeMap<TableName, Routed>, Error> {
        let context = &self.incarnation.context;
        let has_others = target::has_other_sources(&context.assignment.task_yaml, &context.id.source);
        let mut n_feeders: BTreeMap<TableName, u32> = BTreeMap::new();
        let mut routed = Vec::with_capacity(entries.len());
        for entry in entries {
            let to = self.incarnation.rules.router.route_table(&entry.name, context.id.source.as_str())?;
            *n_feeders.entry(to.table.clone()).or_default() += 1;
            routed.push((entry, to));
        }
        let with_feeders = routed.into_iter().map(|(entry, target)| {
            let is_alone = !has_others && n_feeders.get(&target.table) == Some(&1);
            (entry.name.clone(), Routed { entry, target, is_alone })
        });
        Ok(with_feeders.collect())
    }

    /// Makes the whole plan, on the view of `from`.
    pub(super) async fn plan_all(
        &mut self,
        tables: &BTreeMap<TableName, Routed>,
        from: &mut Conn,
        to: &mut Conn,
        writer: &mut Writer,
    ) -> Result<(), Leave> {
        let sources = source::schemas(from, &self.incarnation.rules).await?;
        let targets: Vec<(String, String)> = tables
            .values()
            .map(|routed| (routed.entry.name.schema.clone(), routed.target.table.schema.clone()))
            .collect();
        target::ensure_schemas(from, to, &self.incarnation.rules, &targets, &sources).await?;
        let old: Vec<TableName> = locked(&self.ledger).tables().cloned().collect();
        let mut statements: Vec<Statement> =
            old.iter().map(|table| chunk::remove(&self.incarnation.target, table)).collect();
        let mut rows = Vec::new();
        let mut structures = BTreeMap::new();
        for (name, routed) in tables {
            let Some((create_sql, structure)) = source::structure(from, name).await? else {
                warn!(table = %name, "the table is gone");
                continue;
            };
            target::ensure_table(to, name, &create_sql, &routed.target).await?;
            if ChunkKey::of(&structure).is_none()
                && routed.is_alone
                && !target::is_empty(to, &routed.target.table).await?
            {
                return Err(Error::NotEmpty { table: name.clone(), target: routed.target.table.clone() }.into());
            }
            let chunks = source::split(from, name, &structure, &routed.entry, &self.options).await?;
            let planned = planned(name, &chunks);
            statements.push(self.structure_row(name, &create_sql));
            statements.extend(planned.iter().map(|row| chunk::put(&self.incarnation.target, row)));
            rows.extend(planned);
            structures.insert(name.clone(), structure);
            if self.stop.is_requested() {
                return Ok(());
            }
        }
        info!(n_tables = structures.len(), n_chunks = rows.len(), "plan made");
        if !statements.is_empty() {
            writer.write(&statements).await.map_err(Refusal::into_leave)?;
        }
        crate::fail_point::pass("plan");
        let mut ledger = locked(&self.ledger);
        old.iter().for_each(|table| ledger.remove(table));
        rows.into_iter().for_each(|row| ledger.put(row));
        self.structures = structures;
        Ok(())
    }

    /// Brings a table that has to begin again back to its plan: rows it has in the target go, and it is split anew.
    async fn plan_again(
        &mut self,
        name: &TableName,
        routed: &Routed,
        now: (String, Table),
        from: &mut Conn,
        writer: &mut Writer,
    ) -> Result<(), Leave> {
        if locked(&self.ledger).is_begun(name) {
            if !routed.is_alone {
                return Err(Error::CannotEmpty { table: name.clone(), target: routed.target.table.clone() }.into());
            }
            warn!(table = %name, target = %routed.target.table, "emptying the target table to copy it again");
            let delete = Statement::new(format!("DELETE FROM {} LIMIT {EMPTY_ROWS}", routed.target.table));
            loop {
                let affected = writer.write(std::slice::from_ref(&delete)).await.map_err(Refusal::into_leave)?;
                if self.stop.is_requested() || affected.first() == Some(&0) {
                    break;
                }
            }
            if self.stop.is_requested() {
                return Ok(());
            }
        }
        let (create_sql, structure) = now;
        let chunks = source::split(from, name, &structure, &routed.entry, &self.options).await?;
        let rows: Vec<ChunkRow> = planned(name, &chunks);
        let mut statements = vec![chunk::remove(&self.incarnation.target, name), self.structure_row(name, &create_sql)];
        statements.extend(rows.iter().map(|row| chunk::put(&self.incarnation.target, row)));
        writer.write(&statements).await.map_err(Refusal::into_leave)?;
        let mut ledger = locked(&self.ledger);
        ledger.remove(name);
        rows.into_iter().for_each(|row| ledger.put(row));
        self.structures.insert(name.clone(), structure);
        Ok(())
    }

    /// Looks at what is left of a stored plan: tables that are gone are left out, those that changed or cannot be gone on
    /// with begin again.
    pub(super) async fn revise(
        &mut self,
        tables: &BTreeMap<TableName, Routed>,
        from: &mut Conn,
        writer: &mut Writer,
    ) -> Result<(), Leave> {
        let unfinished: Vec<TableName> = {
            let ledger = locked(&self.ledger);
            ledger.tables().filter(|table| !ledger.is_done(table)).cloned().collect()
        };
        for name in unfinished {
            let now = match tables.get(&name) {
                Some(routed) => source::structure(from, &name).await?.map(|now| (routed, now)),
                None => None,
            };
            let Some((routed, now)) = now else {
                warn!(table = %name, "the table is gone from the source or from the rules; its copy stays as it is");
                let remove = chunk::remove(&self.incarnation.target, &name);
                writer.write(&[remove]).await.map_err(Refusal::into_leave)?;
                locked(&self.ledger).remove(&name);
                continue;
            };
            let is_same = self.structures.get(&name).is_some_and(|then| source::same_rows(then, &now.1));
            if !is_same || locked(&self.ledger).must_begin_again(&name) {
                info!(table = %name, is_same, "the table is copied again from its beginning");
                self.plan_again(&name, routed, now, from, writer).await?;
            }
            if self.stop.is_requested() {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn estimate(&self, tables: &BTreeMap<TableName, Routed>, location: &dm_model::Location) {
        let mut estimated = Estimated { location: location.clone(), ..Estimated::default() };
        let ledger = locked(&self.ledger);
        for routed in ledger.tables().filter_map(|table| tables.get(table)) {
            estimated.n_rows += routed.entry.rows;
            estimated.n_bytes += routed.entry.data_bytes;
        }
        drop(ledger);
        *locked(&self.estimated) = estimated;
    }

    fn structure_row(&self, table: &TableName, create_sql: &str) -> Statement {
        let row = StructureRow {
            table: table.clone(),
            from_unit: self.incarnation.takeover.taken.resume.low,
            create_sql: create_sql.to_owned(),
        };
        structure::put(&self.incarnation.target, &row)
    }
}
