//! One round: a view of the source, the plan on it, and all chunks that are left copied from it.
//!
//! A round that loses its view, or meets a table that changed, ends early; the next one has another view, and what is left
//! another position.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex},
};

use dm_config::task::OnDuplicate;
use dm_ddl::table::Table;
use dm_model::{
    TableName,
    error::{Report, Retry},
};
use dm_sync_core::{
    chunk::{
        copy::{Copy, Verb},
        is_coupled,
    },
    literal::Dialect,
    mapping::Spec,
    sqlgen,
};
use mysql_async::{Conn, prelude::Queryable};
use tokio::task::JoinSet;
use tracing::info;

use super::{
    Snapshot,
    copy::{PairEnd, Round, TableCopy, locked, pair},
    error::Error,
    identity,
    plan::{Known, Routed},
    source, target,
    view::{self, View},
};
use crate::unit::{Failure, Leave, Stop, UnitEnd};

/// How often the list of tables may change while a view is opened.
const LIST_TRIES: u32 = 5;

pub(super) enum RoundEnd {
    Complete,
    /// Another view is needed for what is left.
    Again(Option<Error>),
}

impl Snapshot<'_> {
    pub(super) async fn round(&mut self) -> Result<RoundEnd, Leave> {
        let (mut view, tables) = match self.open_view().await {
            Ok(opened) => opened,
            Err(error) if error.retry() == Retry::Backoff => return Ok(RoundEnd::Again(Some(error))),
            Err(error) => return Err(error.into()),
        };
        crate::fail_point::pass("view");
        if self.incarnation.config.mode.has_sync() && view.location.is_empty() {
            return Err(Error::NoBinlog.into());
        }
        let mut to = self.target_conn().await?;
        let copies = match view.readers.first_mut() {
            Some(from) => self.prepare(&tables, from, &mut to).await?,
            None => BTreeMap::new(),
        };
        // A connection that does not close is the server's to end.
        let _ = to.disconnect().await;
        self.estimate(&tables, &view.location);
        if self.stop.is_requested() {
            return Err(Leave::End(UnitEnd::Drained));
        }
        self.copy(view, copies).await
    }

    /// A view on which the list of tables is complete.
    async fn open_view(&self) -> Result<(View, BTreeMap<TableName, Routed>), Error> {
        let incarnation = self.incarnation;
        let mut conn = incarnation.source.connect().await?;
        match conn.query_drop("SET SESSION information_schema_stats_expiry = 0").await {
            // Only MySQL keeps old estimates.
            Ok(()) | Err(mysql_async::Error::Server(_)) => {}
            Err(error) => return Err(Error::Read(error)),
        }
        let mut opened = None;
        for _ in 0..LIST_TRIES {
            let before = source::list(&mut conn, &incarnation.rules, self.online_ddl.as_ref()).await?;
            let identities = identity::all(&mut conn).await?;
            let names: Vec<TableName> = before.iter().map(|entry| entry.name.clone()).collect();
            let (n, consistency) = (self.options.n_pairs, self.options.consistency);
            let view = view::open(&incarnation.source, &incarnation.source_facts, n, consistency, &names).await?;
            let after = source::list(&mut conn, &incarnation.rules, self.online_ddl.as_ref()).await?;
            let later = identity::all(&mut conn).await?;
            if after.iter().map(|entry| &entry.name).eq(names.iter())
                && names.iter().all(|name| identities.get(name) == later.get(name))
            {
                opened = Some((view, after, identities));
                break;
            }
            info!("tables came, went or changed while the view was opened; opening another");
        }
        // As above.
        let _ = conn.disconnect().await;
        let (view, entries, identities) = opened.ok_or(Error::ListMoves)?;
        Ok((view, self.route(entries, identities)?))
    }

    /// Plans, and compiles what is left to copy.
    async fn prepare(
        &mut self,
        tables: &BTreeMap<TableName, Routed>,
        from: &mut Conn,
        to: &mut Conn,
    ) -> Result<BTreeMap<TableName, TableCopy>, Leave> {
        let mut writer = self.writer(0)?;
        let planned = self.plan(tables, from, to, &mut writer).await;
        self.park(writer).await;
        planned?;
        let unfinished: Vec<TableName> = {
            let ledger = locked(&self.ledger);
            ledger.tables().filter(|table| !ledger.is_done(table)).cloned().collect()
        };
        let mut copies = BTreeMap::new();
        for name in unfinished {
            let (Some(routed), Some(known)) = (tables.get(&name), self.known.get(&name)) else { continue };
            let create_sql = match source::structure(from, &name).await? {
                Some((create_sql, _)) => create_sql,
                None => continue,
            };
            view::release(from).await?;
            let target_structure = target::ensure_table(to, &name, &create_sql, &routed.target).await?;
            // Shards of one target share its keys: what one of them had at an earlier moment may be another's now.
            let is_mixed = {
                let ledger = locked(&self.ledger);
                let is_shard =
                    |other: &&TableName| tables.get(*other).is_some_and(|it| it.target.table == routed.target.table);
                let shards: Vec<&TableName> = ledger.tables().filter(is_shard).collect();
                shards.len() > 1 && shards.iter().any(|shard| ledger.is_begun(shard))
            };
            copies.insert(name.clone(), self.compile(&name, routed, known, &target_structure, is_mixed)?);
        }
        Ok(copies)
    }

    async fn plan(
        &mut self,
        tables: &BTreeMap<TableName, Routed>,
        from: &mut Conn,
        to: &mut Conn,
        writer: &mut super::writer::Writer,
    ) -> Result<(), Leave> {
        if locked(&self.ledger).is_any_begun() {
            self.revise(tables, from, to, writer).await?;
        }
        if self.stop.is_requested() || locked(&self.ledger).is_any_begun() {
            return Ok(());
        }
        self.plan_all(tables, from, to, writer).await
    }

    fn compile(
        &self,
        name: &TableName,
        routed: &Routed,
        known: &Known,
        target_structure: &Table,
        are_shards_mixed: bool,
    ) -> Result<TableCopy, Error> {
        let structure = &known.structure;
        let facts = &self.incarnation.takeover.facts;
        let dialect = match facts.flavor {
            _ if facts.is_tidb => Dialect::TiDb,
            dm_model::Flavor::MySql => Dialect::MySql,
            dm_model::Flavor::MariaDb => Dialect::MariaDb,
        };
        let copy = Copy::build(&Spec {
            source: name,
            source_structure: structure,
            target: &routed.target.table,
            target_structure,
            extracted: &routed.target.extracted,
            dialect,
            parent_keys: false,
        });
        let copy =
            copy.map_err(|source| Error::Mapping { table: name.clone(), target: routed.target.table.clone(), source })?;
        // A value of another unique key, or a parent, may have moved between chunks of different moments; the events in
        // between rewrite such rows, as safe mode (data-plane.md 4.1, rule 11).
        let is_mixed = locked(&self.ledger).is_begun(name);
        let is_coupled = is_coupled(structure, target_structure)
            || [structure, target_structure].iter().any(|table| !table.foreign_keys.is_empty());
        let verb = match self.options.on_duplicate {
            _ if are_shards_mixed || is_mixed && is_coupled => Verb::Replace,
            OnDuplicate::Replace => Verb::Replace,
            OnDuplicate::Ignore => Verb::InsertIgnore,
            OnDuplicate::Error => Verb::Insert,
        };
        Ok(TableCopy { copy, identity: routed.identity.clone(), verb })
    }

    async fn copy(&mut self, view: View, tables: BTreeMap<TableName, TableCopy>) -> Result<RoundEnd, Leave> {
        let mut jobs = VecDeque::new();
        {
            let ledger = locked(&self.ledger);
            for name in tables.keys() {
                jobs.extend(ledger.jobs(name)?);
            }
        }
        let n_pairs = view.readers.len().min(jobs.len()).min(self.rows.len());
        let statement_bytes = match self.incarnation.config.dump.statement_size_bytes {
            0 => sqlgen::MAX_BYTES,
            n_bytes => usize::try_from(n_bytes).unwrap_or(sqlgen::MAX_BYTES).clamp(1 << 10, sqlgen::MAX_BYTES),
        };
        // Ends this round's pairs without ending the unit.
        let stop = Stop { drain: self.stop.drain.child_token(), kill: self.stop.kill.clone() };
        let round = Arc::new(Round {
            target: Arc::clone(&self.incarnation.target),
            stop: stop.clone(),
            filter: self.options.filter.clone(),
            location: view.location,
            tables,
            statement_bytes,
            jobs: Mutex::new(jobs),
            changed: Mutex::new(BTreeSet::new()),
            ledger: Arc::clone(&self.ledger),
        });
        let mut pairs = JoinSet::new();
        for (index, reader) in view.readers.into_iter().take(n_pairs).enumerate() {
            let writer = self.writer(index)?;
            pairs.spawn(pair(Arc::clone(&round), reader, writer));
        }
        let mut left: Option<Leave> = None;
        let mut lost = None;
        while let Some(ended) = pairs.join_next().await {
            let end = match ended {
                Ok((writer, end)) => {
                    self.park(writer).await;
                    end
                }
                Err(error) => {
                    let report = Report::new(super::error::ROWS_REFUSED, Retry::Backoff, "a copying task failed")
                        .with_cause(error.to_string());
                    PairEnd::Left(Failure::new(report).into())
                }
            };
            match end {
                PairEnd::Done | PairEnd::Drained => continue,
                PairEnd::ReaderLost(error) => lost = Some(Error::Read(error)),
                PairEnd::Left(leave) => left = Some(worse(left.take(), leave)),
            }
            stop.drain.cancel();
        }
        if let Some(leave) = left {
            return Err(leave);
        }
        if self.stop.is_requested() {
            return Err(Leave::End(UnitEnd::Drained));
        }
        let changed = std::mem::take(&mut *locked(&round.changed));
        let is_changed = !changed.is_empty();
        self.changed.extend(changed);
        if lost.is_none() && !is_changed && locked(&self.ledger).is_complete() {
            return Ok(RoundEnd::Complete);
        }
        Ok(RoundEnd::Again(lost))
    }
}

/// Of two ends the one that says more about the target: a later owner, then a history that does not fit, then an error.
fn worse(a: Option<Leave>, b: Leave) -> Leave {
    let rank = |leave: &Leave| match leave {
        Leave::End(UnitEnd::Fenced) => 0,
        Leave::TakeOverAgain(_) => 1,
        Leave::End(UnitEnd::Failed(_)) => 2,
        Leave::End(UnitEnd::Drained | UnitEnd::Finished) => 3,
    };
    match a {
        Some(a) if rank(&a) <= rank(&b) => a,
        Some(_) | None => b,
    }
}
