//! Planning: which tables there are, what their chunks are, and what of an old plan no longer holds.
//!
//! A plan is made on the view it is first read with: the oldest position of any chunk is the plan's own, and a table that came
//! later comes with the binlog. Where that is not so, because what was read at that position has to be read again or was renamed
//! before it was read whole, tables that the plan does not know are added to it. A plan of which nothing was copied is made anew.
//! Stored in one transaction, with the structures.

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
    identity::Identity,
    ledger::planned,
    source, target, view,
    writer::{Refusal, Writer},
};
use crate::unit::Leave;

/// Rows that go with one DELETE while a table is emptied.
const EMPTY_ROWS: u64 = 10_000;

/// A source table and where it goes.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) entry: TableEntry,
    pub(super) identity: Identity,
    pub(super) target: Target,
    /// No other table, of this source or of another, is known to feed the target table.
    pub(super) is_alone: bool,
}

/// A source table as it was read.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) structure: Table,
    pub(super) identity: Identity,
}

/// A table's plan, not yet stored.
struct TablePlan {
    name: TableName,
    rows: Vec<ChunkRow>,
    create_sql: String,
    known: Known,
}

/// What an earlier owner's plan says about a table that is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    GoesOn,
    BeginsAgain,
    Gone,
}

impl Snapshot<'_> {
    pub(super) fn route(
        &self,
        entries: Vec<TableEntry>,
        mut identities: BTreeMap<TableName, Identity>,
    ) -> Result<BTreeMap<TableName, Routed>, Error> {
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
            let identity = identities.remove(&entry.name).unwrap_or_default();
            (entry.name.clone(), Routed { entry, identity, target, is_alone })
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
        self.plan_tables(&old, tables.iter().collect(), from, to, writer).await
    }

    /// Plans tables of which nothing is in the target, and stores that instead of the plans of `old`.
    async fn plan_tables(
        &mut self,
        old: &[TableName],
        tables: Vec<(&TableName, &Routed)>,
        from: &mut Conn,
        to: &mut Conn,
        writer: &mut Writer,
    ) -> Result<(), Leave> {
        let mut plans = Vec::new();
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
            plans.push(self.plan_table(name, routed, (create_sql, structure), from).await?);
            if self.stop.is_requested() {
                return Ok(());
            }
        }
        let n_chunks: usize = plans.iter().map(|plan| plan.rows.len()).sum();
        info!(n_tables = plans.len(), n_chunks, "plan made");
        let stored = self.store(old, plans, writer).await;
        crate::fail_point::pass("plan");
        stored
    }

    async fn plan_table(
        &self,
        name: &TableName,
        routed: &Routed,
        (create_sql, structure): (String, Table),
        from: &mut Conn,
    ) -> Result<TablePlan, Error> {
        let chunks = source::split(from, name, &structure, &routed.entry, &self.options).await?;
        view::release(from).await?;
        let known = Known { structure, identity: routed.identity.clone() };
        Ok(TablePlan { name: name.clone(), rows: planned(name, &chunks), create_sql, known })
    }

    /// One transaction: the plans of `old` are not any more, these are.
    async fn store(&mut self, old: &[TableName], plans: Vec<TablePlan>, writer: &mut Writer) -> Result<(), Leave> {
        let target = &self.incarnation.target;
        let mut statements: Vec<Statement> = old.iter().map(|table| chunk::remove(target, table)).collect();
        for plan in &plans {
            statements.push(self.structure_row(plan));
            statements.extend(plan.rows.iter().map(|row| chunk::put(target, row)));
        }
        if !statements.is_empty() {
            writer.write(&statements).await.map_err(Refusal::into_leave)?;
        }
        let mut ledger = locked(&self.ledger);
        for table in old {
            ledger.remove(table);
            self.known.remove(table);
        }
        for plan in plans {
            plan.rows.into_iter().for_each(|row| ledger.put(row));
            self.changed.remove(&plan.name);
            self.known.insert(plan.name, plan.known);
        }
        Ok(())
    }

    /// Looks at what is left of a stored plan: tables that are gone are left out, those that changed or cannot be gone on
    /// with begin again.
    pub(super) async fn revise(
        &mut self,
        tables: &BTreeMap<TableName, Routed>,
        from: &mut Conn,
        to: &mut Conn,
        writer: &mut Writer,
    ) -> Result<(), Leave> {
        let unfinished: Vec<TableName> = {
            let ledger = locked(&self.ledger);
            ledger.tables().filter(|table| !ledger.is_done(table)).cloned().collect()
        };
        let mut standings = Vec::with_capacity(unfinished.len());
        for name in unfinished {
            let now = match tables.get(&name) {
                Some(routed) => source::structure(from, &name).await?.map(|now| (routed, now)),
                None => None,
            };
            view::release(from).await?;
            let standing = match &now {
                None => Standing::Gone,
                Some((routed, (_, structure))) if self.is_same(&name, routed, structure) => Standing::GoesOn,
                Some(_) => Standing::BeginsAgain,
            };
            standings.push((name, standing, now));
        }
        // Before anything is taken back, so that a successor finds the same to do.
        if self.moves_forward(&standings) {
            let missing = {
                let ledger = locked(&self.ledger);
                let is_planned = |name: &&TableName| ledger.tables().any(|planned| planned == *name);
                tables.iter().filter(|(name, _)| !is_planned(name)).collect::<Vec<_>>()
            };
            if !missing.is_empty() {
                info!(n_tables = missing.len(), "tables that came since the plan was made are copied, too");
                self.plan_tables(&[], missing, from, to, writer).await?;
            }
        }
        for (name, standing, now) in standings {
            if self.stop.is_requested() {
                break;
            }
            match (standing, now) {
                (Standing::GoesOn, _) => {}
                (Standing::BeginsAgain, Some((routed, now))) => {
                    info!(table = %name, "the table is copied again from its beginning");
                    self.plan_again(&name, routed, now, from, to, writer).await?;
                }
                (Standing::Gone | Standing::BeginsAgain, _) => {
                    warn!(table = %name, "the table is gone from the source or from the rules; its copy stays as it is");
                    self.store(std::slice::from_ref(&name), Vec::new(), writer).await?;
                }
            }
        }
        Ok(())
    }

    fn is_same(&self, name: &TableName, routed: &Routed, structure: &Table) -> bool {
        let is_same = self.known.get(name).is_some_and(|then| {
            source::same_rows(&then.structure, structure) && then.identity.may_be(&routed.identity)
        });
        is_same && !self.changed.contains(name) && !locked(&self.ledger).must_begin_again(name)
    }

    /// True when a table may have come that neither the plan knows nor the binlog will bring: the binlog will be read from later on,
    /// or the table has another table's rows by RENAME.
    fn moves_forward<T>(&self, standings: &[(TableName, Standing, T)]) -> bool {
        let ledger = locked(&self.ledger);
        let is_gone_half_way = standings.iter().any(|(_, standing, _)| *standing == Standing::Gone);
        let is_kept = |name: &TableName| {
            !standings.iter().any(|(other, standing, _)| other == name && *standing != Standing::GoesOn)
        };
        is_gone_half_way || ledger.oldest_of(is_kept) != ledger.oldest()
    }

    /// Brings a table that has to begin again back to its plan: rows it has in the target go, and it is split anew.
    async fn plan_again(
        &mut self,
        name: &TableName,
        routed: &Routed,
        now: (String, Table),
        from: &mut Conn,
        to: &mut Conn,
        writer: &mut Writer,
    ) -> Result<(), Leave> {
        let is_begun = locked(&self.ledger).is_begun(name);
        if is_begun && !routed.is_alone {
            return Err(Error::CannotEmpty { table: name.clone(), target: routed.target.table.clone() }.into());
        }
        if !self.make_again(name, routed, &now, is_begun, to, writer).await? && is_begun {
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
        let plan = self.plan_table(name, routed, now, from).await?;
        self.store(std::slice::from_ref(name), vec![plan], writer).await
    }

    /// A target table that was made after a structure which the source table had then, and that holds nothing but what it will get
    /// again, is made anew after the structure of now. True when that was done.
    async fn make_again(
        &self,
        name: &TableName,
        routed: &Routed,
        now: &(String, Table),
        is_begun: bool,
        to: &mut Conn,
        writer: &mut Writer,
    ) -> Result<bool, Leave> {
        let target = &routed.target.table;
        let Some(there) = target::structure(to, target).await? else { return Ok(false) };
        let is_mirror = |structure: &Table| source::same_layout(structure, &there);
        let was_mirror = self.known.get(name).is_some_and(|then| is_mirror(&then.structure));
        if is_mirror(&now.1) || !was_mirror || !routed.is_alone {
            return Ok(false);
        }
        if !is_begun && !target::is_empty(to, target).await? {
            return Ok(false);
        }
        warn!(table = %name, %target, "making the target table again after the source's new structure");
        writer.ddl(target, format!("DROP TABLE IF EXISTS {target}")).await.map_err(Refusal::into_leave)?;
        target::ensure_table(to, name, &now.0, &routed.target).await?;
        Ok(true)
    }

    pub(super) fn estimate(&self, tables: &BTreeMap<TableName, Routed>, location: &dm_model::Location) {
        let mut estimated = Estimated { location: location.clone(), ..Estimated::default() };
        let ledger = locked(&self.ledger);
        for routed in ledger.tables().filter_map(|table| tables.get(table)) {
            estimated.tables.insert(routed.entry.name.clone(), (routed.entry.rows, routed.entry.data_bytes));
        }
        drop(ledger);
        *locked(&self.estimated) = estimated;
    }

    fn structure_row(&self, plan: &TablePlan) -> Statement {
        let row = StructureRow {
            table: plan.name.clone(),
            from_unit: self.incarnation.takeover.taken.resume.low,
            create_sql: plan.known.identity.write(&plan.create_sql),
        };
        structure::put(&self.incarnation.target, &row)
    }
}
