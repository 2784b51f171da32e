//! What the rules say about one piece of a DDL, and what executing it needs.

use dm_ddl::{EventKind, Piece, StatementKind, statement::TableRole};
use dm_fence::DdlEffect;
use dm_model::TableName;
use dm_rules::{EventName, event_filter::Verdict};

use super::Part;
use crate::{
    catalog::Route,
    engine::{Engine, Error, Stop},
    online_ddl::TableKind,
};

/// What becomes of a piece in the target.
enum Fate {
    Run,
    /// Left out; the source's structure still follows it.
    Skip,
}

impl Engine {
    /// A piece of the source: block-allow list, event filter, online DDL, merged targets, route.
    pub(super) fn part(&mut self, piece: &Piece, sql: &str) -> Result<Option<Part>, Stop> {
        if self.is_ignored(piece) || self.is_dropped(piece, sql)? {
            return Ok(None);
        }
        for (_, table) in piece.tables() {
            let kind = self.config.online_ddl.as_ref().map_or(TableKind::Real, |rules| rules.kind(&table.table));
            match kind {
                TableKind::Real => {}
                TableKind::Ghost | TableKind::Trash => return Err(self.ddl_error(&Error::OnlineDdl { table }, sql)),
            }
        }
        match self.merged(piece, sql)? {
            Fate::Run => self.routed(piece, sql).map(Some),
            Fate::Skip => Ok(None),
        }
    }

    /// A piece that an operator gave: routed, and otherwise taken at its word.
    pub(super) fn given_part(&mut self, piece: &Piece, sql: &str) -> Result<Option<Part>, Stop> {
        if self.is_ignored(piece) {
            return Ok(None);
        }
        self.routed(piece, sql).map(Some)
    }

    /// A statement that cannot be read: only rules for all tables, by SQL pattern, can drop it.
    pub(super) fn is_unknown_statement_dropped(&self, sql: &str) -> Result<bool, Stop> {
        match self.config.event_filter.judge("", "", None, Some(sql)) {
            Verdict::Keep => Ok(false),
            Verdict::Drop => Ok(true),
            Verdict::Error(rule) => Err(self.ddl_error(&Error::Filter { rule: rule.to_owned() }, sql)),
        }
    }

    fn is_ignored(&self, piece: &Piece) -> bool {
        let rules = &self.config.block_allow;
        if let Some(schema) = piece.database() {
            return !rules.allows_schema(schema);
        }
        changed_tables(piece).iter().any(|table| !rules.allows_table(table))
    }

    fn is_dropped(&self, piece: &Piece, sql: &str) -> Result<bool, Stop> {
        let table = piece.target();
        let before = table.as_ref().and_then(|table| self.structures.table(table));
        let event: Option<EventName> = piece.event_kind(before).and_then(|kind| kind.as_str().parse().ok());
        let (schema, name) = match &table {
            Some(table) => (table.schema.as_str(), table.table.as_str()),
            None => (piece.database().unwrap_or_default(), ""),
        };
        match self.config.event_filter.judge(schema, name, event, Some(sql)) {
            Verdict::Keep => Ok(false),
            Verdict::Drop => Ok(true),
            Verdict::Error(rule) => Err(self.ddl_error(&Error::Filter { rule: rule.to_owned() }, sql)),
        }
    }

    /// A target that several source tables feed is changed by none of them alone: it is created by the first, is never
    /// dropped or emptied, and any other change stops the run.
    fn merged(&mut self, piece: &Piece, sql: &str) -> Result<Fate, Stop> {
        if let Some(schema) = piece.database() {
            let target = self.config.router.route_schema(schema).map_err(|error| self.ddl_route(error, sql))?;
            let merges = &self.config.merges;
            let is_shared = merges.across_sources
                || merges.targets.iter().any(|table| table.schema == target)
                || self.catalog.is_schema_shared(schema, &target);
            return Ok(match piece.kind() {
                StatementKind::DropDatabase | StatementKind::AlterDatabase if is_shared => Fate::Skip,
                _ => Fate::Run,
            });
        }
        for table in changed_tables(piece) {
            let Some(target) = self.target_of(&table, sql)? else { continue };
            let merges = &self.config.merges;
            let is_shared =
                merges.across_sources || merges.targets.contains(&target) || self.catalog.is_shared(&table, &target);
            if !is_shared {
                continue;
            }
            return match piece.kind() {
                StatementKind::CreateTable => Ok(Fate::Run),
                StatementKind::DropTable | StatementKind::TruncateTable => Ok(Fate::Skip),
                _ => Err(self.ddl_error(&Error::Merged { table, target }, sql)),
            };
        }
        Ok(Fate::Run)
    }

    fn routed(&mut self, piece: &Piece, sql: &str) -> Result<Part, Stop> {
        if let Some(schema) = piece.database() {
            let target = self.config.router.route_schema(schema).map_err(|error| self.ddl_route(error, sql))?;
            return Ok(Part {
                sql: piece.rename_database(&|_| target.clone()),
                targets: Vec::new(),
                target_schemas: vec![target],
                effect: DdlEffect::Structure,
                ignorable: ignorable(piece),
            });
        }
        let mut names = std::collections::BTreeMap::new();
        for (_, table) in piece.tables() {
            // A table that is only referred to and not replicated keeps its name.
            let target = self.target_of(&table, sql)?.unwrap_or_else(|| table.clone());
            names.insert(table, target);
        }
        let changed = changed_tables(piece);
        let to = |table: &TableName| names.get(table).unwrap_or(table).clone();
        Ok(Part {
            sql: piece.rename(&to),
            targets: changed.iter().map(to).collect(),
            target_schemas: Vec::new(),
            effect: effect(piece),
            ignorable: ignorable(piece),
        })
    }

    fn target_of(&mut self, table: &TableName, sql: &str) -> Result<Option<TableName>, Stop> {
        match self.catalog.route(&self.config, table) {
            Ok(Route::Ignored) => Ok(None),
            Ok(Route::To(routed)) => Ok(Some(routed.target.clone())),
            Err(error) => Err(self.ddl_error(&error, sql)),
        }
    }

    fn ddl_route(&self, error: dm_rules::Error, sql: &str) -> Stop {
        self.ddl_error(&Error::Route(error), sql)
    }
}

/// The tables whose structure the piece changes.
pub(super) fn changed_tables(piece: &Piece) -> Vec<TableName> {
    let is_changed = |role: TableRole| match role {
        TableRole::Target | TableRole::RenameFrom | TableRole::RenameTo | TableRole::ExchangePartner => true,
        TableRole::LikeSource | TableRole::ForeignKeyParent => false,
    };
    piece.tables().filter(|(role, _)| is_changed(*role)).map(|(_, table)| table).collect()
}

fn effect(piece: &Piece) -> DdlEffect {
    match piece.event_kind(None) {
        Some(EventKind::TruncateTable | EventKind::TruncateTablePartition) => DdlEffect::Repeatable,
        Some(EventKind::ExchangePartition) => DdlEffect::Identity,
        Some(_) | None => DdlEffect::Structure,
    }
}

/// Server errors that say the piece has its effect already (spec 6.7.5). An unknown column (1054) says so only where
/// the piece takes the column away; elsewhere it is a fault.
fn ignorable(piece: &Piece) -> &'static [u16] {
    match piece.kind() {
        StatementKind::CreateDatabase => &[1007],
        StatementKind::DropDatabase => &[1008],
        StatementKind::CreateTable => &[1050],
        StatementKind::DropTable => &[1051],
        _ => match piece.event_kind(None) {
            Some(EventKind::DropColumn | EventKind::RenameColumn) => &[1054, 1060, 1091],
            Some(_) | None => &[1060, 1061, 1068, 1091, 1176, 1507, 1517, 1831],
        },
    }
}
