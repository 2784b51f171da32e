//! DDL events: split, filtered, routed and tracked piece by piece; what is left is a unit that runs alone.
//!
//! Owns the order of the rules and what each kind of piece needs. The structures of the source change here, in the
//! order of the stream; the target changes later, when the unit's turn comes. A piece that no rule covers stops the run
//! with a way out; nothing is guessed.

mod rules;

use std::collections::BTreeMap;

use dm_ddl::{Piece, Statement, Treatment, split};
use dm_fence::{DdlEffect, UnitNumber};
use dm_model::{TableName, UnixMillis, gtid::Gtid};

use super::{Engine, Error, Span, Stop, events::Flow, query::Text};
use crate::{
    batch::{DdlSession, StoredStructure},
    error_op::Instead,
    graph::{Access, Load, Resource},
    watermark::Standing,
};

/// A DDL unit that is not committed yet. Without pieces it only stores structures.
#[derive(Debug)]
pub(super) struct PendingDdl {
    pub(super) pieces: Vec<Part>,
    pub(super) origin_sql: String,
    pub(super) session: DdlSession,
    pub(super) span: Span,
    pub(super) gtid: Option<Gtid>,
    pub(super) src_ts: Option<UnixMillis>,
    pub(super) structures: Vec<StoredStructure>,
}

/// A piece to execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) sql: String,
    pub(super) targets: Vec<TableName>,
    pub(super) target_schemas: Vec<String>,
    pub(super) effect: DdlEffect,
    pub(super) ignorable: &'static [u16],
}

impl Engine {
    /// A DDL, or whatever an operator gave an order about.
    pub(super) fn ddl_event(
        &mut self,
        text: &Text,
        parsed: Result<Statement, dm_ddl::Error>,
        before: &[String],
        instead: Option<&Instead>,
        src_ts: Option<UnixMillis>,
    ) -> Result<Flow, Stop> {
        if self.source.stream.is_open() && self.source.intake.has_rows() {
            self.cut_slice(src_ts)?;
        }
        let unit = self.source.intake.current();
        if unit <= self.pipeline.watermark.last() {
            return self.count_ddl(None, src_ts);
        }
        self.take_stored_structures();
        let mut structures = Vec::new();
        let mut parts = Vec::new();
        for sql in before {
            parts.extend(self.given_parts(sql, text)?);
        }
        match parsed {
            // An operator's inject stands before a statement that is none of our business.
            Ok(statement) if instead.is_none() && statement.treatment() != Treatment::Ddl => {}
            Ok(statement) => {
                if statement.fills_by_query() && instead.is_none() {
                    return Err(self.ddl_error(&Error::StatementFormat, &text.sql));
                }
                let pieces = split(&statement, &text.schema)
                    .map_err(|cause| self.ddl_error(&Error::ParseDdl(cause), &text.sql))?;
                for piece in &pieces {
                    if self.is_in_snapshot(piece) {
                        continue;
                    }
                    if instead.is_none() {
                        parts.extend(self.part(piece, &text.sql)?);
                    }
                    structures.extend(self.track(piece, unit));
                }
                structures = newest(structures);
            }
            Err(cause) if instead.is_none() => {
                if !self.is_unknown_statement_dropped(&text.sql)? {
                    return Err(self.ddl_error(&Error::ParseDdl(cause), &text.sql));
                }
            }
            // The operator says what to do; what the source's structure is now has to be read again.
            Err(_) => {}
        }
        if instead.is_some() {
            for sql in text.statements(instead) {
                parts.extend(self.given_parts(sql, text)?);
            }
        }
        if self.resume.done.contains(unit) || (parts.is_empty() && structures.is_empty()) {
            self.counters.n_ddls_skipped += 1;
            return self.count_ddl(None, src_ts);
        }
        let pending = PendingDdl {
            pieces: parts,
            origin_sql: text.sql.clone(),
            session: text.session.clone(),
            span: self.source.stream.span(),
            gtid: self.source.stream.transaction().and_then(|transaction| transaction.gtid.clone()),
            src_ts,
            structures,
        };
        self.count_ddl(Some(pending), src_ts)
    }

    /// Structures that a former owner stored for the unit that begins.
    pub(super) fn take_stored_structures(&mut self) {
        for table in self.structures.begin(self.source.intake.current()) {
            self.catalog.source_changed(&table);
        }
    }

    /// Numbers the DDL and hands it to the graph, or counts it as committed when there is nothing to do.
    fn count_ddl(&mut self, pending: Option<PendingDdl>, src_ts: Option<UnixMillis>) -> Result<Flow, Stop> {
        let boundary = if self.source.stream.is_open() {
            self.source.partial = Some(self.source.stream.transaction().and_then(|it| it.gtid.clone()));
            self.source.intake.cut();
            None
        } else {
            self.source.partial = None;
            self.counters.n_transactions += 1;
            self.source.intake.end();
            Some(self.source.stream.finish())
        };
        // The count is one ahead now; the unit just ended is the one before.
        let unit = UnitNumber(self.source.intake.current().0 - 1);
        if unit <= self.pipeline.watermark.last() {
            return Ok(Flow::Done);
        }
        if self.resume.done.contains(unit) {
            self.counters.n_units_resumed += 1;
        }
        let Some(pending) = pending else {
            self.pipeline.watermark.register(Standing::Committed, boundary, src_ts);
            return Ok(Flow::Done);
        };
        self.pipeline.watermark.register(Standing::Pending, boundary, src_ts);
        let uses = self.resources(&pending);
        self.pipeline.graph.add(unit, Load::Solo, Vec::new(), uses);
        self.pipeline.ddls.insert(unit, pending);
        Ok(Flow::Done)
    }

    /// Tables it changes are its own, their schemas shared; schemas it changes are its own.
    fn resources(&mut self, pending: &PendingDdl) -> Vec<(Resource, Access)> {
        let mut uses = Vec::new();
        for part in &pending.pieces {
            for table in &part.targets {
                uses.push((self.catalog.schema_resource(&table.schema), Access::Shared));
                uses.push((self.catalog.table_resource(table), Access::Exclusive));
            }
            for schema in &part.target_schemas {
                uses.push((self.catalog.schema_resource(schema), Access::Exclusive));
            }
        }
        uses.sort_unstable();
        uses.dedup();
        uses
    }

    /// The snapshot read the table after this DDL.
    /// A copy of a table that the piece makes or changes was made after it. One that it only looks at tells nothing.
    fn is_in_snapshot(&self, piece: &Piece) -> bool {
        let end = self.source.stream.event_end();
        rules::changed_tables(piece).iter().any(|table| self.handover.holds_ddl(table, end))
    }

    /// The source's structures follow every piece about a replicated table, executed or not.
    fn track(&mut self, piece: &Piece, unit: UnitNumber) -> Vec<StoredStructure> {
        let changed = self.structures.follow(piece, unit);
        for table in piece.tables().map(|(_, table)| table).chain(changed.iter().map(|entry| entry.table.clone())) {
            self.catalog.source_changed(&table);
        }
        changed.into_iter().filter(|entry| self.config.block_allow.allows_table(&entry.table)).collect()
    }

    /// The pieces of a statement that an operator gave. It is written with the source's names.
    fn given_parts(&mut self, sql: &str, text: &Text) -> Result<Vec<Part>, Stop> {
        let mut parts = Vec::new();
        let pieces = dm_ddl::pieces(sql, &text.context, &text.schema)
            .map_err(|cause| self.ddl_error(&Error::ParseDdl(cause), sql))?;
        for piece in &pieces {
            parts.extend(self.given_part(piece, sql)?);
        }
        Ok(parts)
    }
}

/// Of several structures of one table the last: one row is stored for a table and a unit.
fn newest(structures: Vec<StoredStructure>) -> Vec<StoredStructure> {
    let by_table: BTreeMap<TableName, StoredStructure> =
        structures.into_iter().map(|entry| (entry.table.clone(), entry)).collect();
    by_table.into_values().collect()
}
