//! Source tables and where they go: routes, target structures, compiled mappings, and the resources units share.
//!
//! Everything is decided once per table and kept until a DDL changes it. Never asks by itself: what is missing is told
//! to the caller, who asks.

#![allow(clippy::result_large_err, reason = "an error comes once in a run")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dm_ddl::table::Table;
use dm_model::TableName;

use crate::{
    engine::{Config, Error},
    graph::Resource,
    mapping::{Mapping, Spec},
    online_ddl::TableKind,
};

/// What the rules say about a source table.
#[derive(Debug, Clone)]
pub enum Route {
    /// Not in the block-allow list.
    Ignored,
    To(Arc<Routed>),
}

/// A replicated source table.
#[derive(Debug)]
pub struct Routed {
    pub source: TableName,
    pub target: TableName,
    pub extracted: Vec<(String, String)>,
    pub kind: TableKind,
    /// The target's schema and the target table.
    pub uses: [Resource; 2],
}

/// What is known of a target table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetKnowledge {
    Known(Option<Arc<Table>>),
    Asked,
    Unknown,
}

#[derive(Debug, Default)]
pub struct Catalog {
    routes: BTreeMap<TableName, Route>,
    targets: BTreeMap<TableName, Option<Arc<Table>>>,
    asked: BTreeSet<TableName>,
    /// Asked before a DDL changed it: the answer is of no use.
    stale: BTreeSet<TableName>,
    mappings: BTreeMap<TableName, Compiled>,
    resources: BTreeMap<(String, Option<String>), Resource>,
}

/// A mapping with the table map its structure was held against.
#[derive(Debug, Clone)]
pub struct Compiled {
    pub mapping: Arc<Mapping>,
    pub map: Arc<dm_binlog::Table>,
}

impl Catalog {
    pub fn route(&mut self, config: &Config, source: &TableName) -> Result<Route, Error> {
        if let Some(route) = self.routes.get(source) {
            return Ok(route.clone());
        }
        let route = if config.block_allow.allows_table(source) {
            let target = config.router.route_table(source, config.source.as_str()).map_err(Error::Route)?;
            let kind = config.online_ddl.as_ref().map_or(TableKind::Real, |rules| rules.kind(&source.table));
            let uses = [self.schema_resource(&target.table.schema), self.table_resource(&target.table)];
            let routed =
                Routed { source: source.clone(), target: target.table, extracted: target.extracted, kind, uses };
            Route::To(Arc::new(routed))
        } else {
            Route::Ignored
        };
        self.routes.insert(source.clone(), route.clone());
        Ok(route)
    }

    pub fn schema_resource(&mut self, schema: &str) -> Resource {
        self.resource((schema.to_owned(), None))
    }

    pub fn table_resource(&mut self, table: &TableName) -> Resource {
        self.resource((table.schema.clone(), Some(table.table.clone())))
    }

    /// The resources of a target table that has been routed to: its schema's and its own.
    pub fn uses(&self, table: &TableName) -> Vec<Resource> {
        let schema = self.resources.get(&(table.schema.clone(), None));
        let own = self.resources.get(&(table.schema.clone(), Some(table.table.clone())));
        schema.into_iter().chain(own).copied().collect()
    }

    pub fn target(&self, table: &TableName) -> TargetKnowledge {
        if let Some(structure) = self.targets.get(table) {
            TargetKnowledge::Known(structure.clone())
        } else if self.asked.contains(table) {
            TargetKnowledge::Asked
        } else {
            TargetKnowledge::Unknown
        }
    }

    /// True while the target was asked and has not answered.
    pub fn is_asked(&self, table: &TableName) -> bool {
        self.asked.contains(table)
    }

    /// Notes that the target is asked. False when it was already.
    pub fn ask(&mut self, table: &TableName) -> bool {
        self.asked.insert(table.clone())
    }

    /// The target's answer. Ignored when nobody asked; forgotten when a DDL ran in between.
    pub fn answer(&mut self, table: TableName, structure: Option<Table>) {
        if self.asked.remove(&table) && !self.stale.remove(&table) {
            self.targets.insert(table, structure.map(Arc::new));
        }
    }

    /// A DDL changed the target table: its structure is read again before its next row.
    pub fn target_changed(&mut self, table: &TableName) {
        self.targets.remove(table);
        if self.asked.contains(table) {
            self.stale.insert(table.clone());
        }
        self.mappings.retain(|_, compiled| compiled.mapping.target() != table);
    }

    /// As [`target_changed`](Self::target_changed), for all tables of a schema.
    pub fn target_schema_changed(&mut self, schema: &str) {
        self.targets.retain(|table, _| table.schema != schema);
        self.stale.extend(self.asked.iter().filter(|table| table.schema == schema).cloned());
        self.mappings.retain(|_, compiled| compiled.mapping.target().schema != schema);
    }

    /// The source table's structure is another one from here on.
    pub fn source_changed(&mut self, table: &TableName) {
        self.mappings.remove(table);
    }

    pub fn mapping(&self, source: &TableName) -> Option<&Compiled> {
        self.mappings.get(source)
    }

    pub fn compile(
        &mut self,
        config: &Config,
        routed: &Routed,
        source: &Table,
        target: &Table,
        map: Arc<dm_binlog::Table>,
    ) -> Result<Arc<Mapping>, Error> {
        let mapping = Mapping::build(&Spec {
            source: &routed.source,
            source_structure: source,
            target: &routed.target,
            target_structure: target,
            extracted: &routed.extracted,
            dialect: config.dialect,
            parent_keys: config.parent_keys,
        })
        .map_err(|source| Error::Map { table: routed.source.clone(), source })?;
        let compiled = Compiled { mapping: Arc::clone(&mapping), map };
        self.mappings.insert(routed.source.clone(), compiled);
        Ok(mapping)
    }

    /// True when another source table that was seen goes to the same target.
    pub fn is_shared(&self, source: &TableName, target: &TableName) -> bool {
        self.routes.iter().any(|(other, route)| match route {
            Route::Ignored => false,
            Route::To(routed) => other != source && routed.target == *target,
        })
    }

    /// True when a table of another source schema that was seen goes to the same target schema.
    pub fn is_schema_shared(&self, schema: &str, target: &str) -> bool {
        self.routes.values().any(|route| match route {
            Route::Ignored => false,
            Route::To(routed) => routed.source.schema != schema && routed.target.schema == target,
        })
    }

    fn resource(&mut self, name: (String, Option<String>)) -> Resource {
        let next = Resource(self.resources.len() as u32);
        *self.resources.entry(name).or_insert(next)
    }
}
