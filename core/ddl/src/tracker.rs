//! The catalogue of source tables, moved forward by pieces. A change it cannot follow makes the table stale: it must be
//! read from the source again; the catalogue never guesses a structure. Names keep their spelling, lookups follow the
//! server's `lower_case_table_names`. A restart fills it anew from stored structures with [`Tracker::put`].

use std::collections::BTreeMap;

use dm_model::TableName;

use crate::alter::{AlterTable, Change};
use crate::create_table::CreateTable;
use crate::piece::Piece;
use crate::statement::{Body, StatementKind, TableRole};
use crate::table::{Table, Unknown};

mod change;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod tests;

/// What is known of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracked<'a> {
    Known(&'a Table),
    /// The table exists, its structure must be read again.
    Stale,
    /// Never heard of, or dropped.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: TableName,
    /// `None`: stale.
    table: Option<Table>,
}

/// A schema's defaults for tables created in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchemaDefaults {
    pub charset: Option<String>,
    pub collation: Option<String>,
}

/// Source tables by name. `Clone` is the way to keep a state to return to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracker {
    case_sensitive: bool,
    tables: BTreeMap<TableName, Entry>,
    schemas: BTreeMap<String, SchemaDefaults>,
}

impl Tracker {
    /// `case_sensitive`: whether the source's `lower_case_table_names` is 0.
    pub fn new(case_sensitive: bool) -> Self {
        Self { case_sensitive, tables: BTreeMap::new(), schemas: BTreeMap::new() }
    }

    fn key(&self, name: &TableName) -> TableName {
        if self.case_sensitive {
            name.clone()
        } else {
            TableName::new(name.schema.to_lowercase(), name.table.to_lowercase())
        }
    }

    fn schema_key(&self, schema: &str) -> String {
        if self.case_sensitive { schema.to_owned() } else { schema.to_lowercase() }
    }

    pub fn get(&self, name: &TableName) -> Tracked<'_> {
        match self.tables.get(&self.key(name)) {
            Some(Entry { table: Some(table), .. }) => Tracked::Known(table),
            Some(Entry { table: None, .. }) => Tracked::Stale,
            None => Tracked::Unknown,
        }
    }

    /// The structure, if it is known.
    pub fn table(&self, name: &TableName) -> Option<&Table> {
        self.tables.get(&self.key(name)).and_then(|entry| entry.table.as_ref())
    }

    /// Sets what was read from the source or from storage; takes staleness away.
    pub fn put(&mut self, name: TableName, table: Table) {
        self.tables.insert(self.key(&name), Entry { name, table: Some(table) });
    }

    /// Forgets a table; the next row event has to read it.
    pub fn remove(&mut self, name: &TableName) {
        self.tables.remove(&self.key(name));
    }

    /// The table exists, its structure is in doubt.
    pub fn mark_stale(&mut self, name: &TableName) {
        self.tables.insert(self.key(name), Entry { name: name.clone(), table: None });
    }

    /// Every table in order of its name, `None` for stale ones.
    pub fn iter(&self) -> impl Iterator<Item = (&TableName, Option<&Table>)> {
        self.tables.values().map(|entry| (&entry.name, entry.table.as_ref()))
    }

    /// What a schema gives to tables that name no charset. Without it such tables have none that is known.
    pub fn set_schema_defaults(&mut self, schema: &str, defaults: SchemaDefaults) {
        self.schemas.insert(self.schema_key(schema), defaults);
    }

    pub fn schema_defaults(&self, schema: &str) -> Option<&SchemaDefaults> {
        self.schemas.get(&self.schema_key(schema))
    }

    /// Follows one piece. Returns the tables whose entry changed (created, dropped, changed, stale), so that their
    /// structures can be stored; empty when nothing did, and for pieces about tables never heard of. Applying a piece
    /// twice leaves tables stale rather than wrong.
    pub fn apply(&mut self, piece: &Piece) -> Vec<TableName> {
        let statement = piece.statement();
        let names: Vec<TableName> = piece.tables().map(|(_, name)| name).collect();
        let (first, second) = (names.first(), names.get(1));
        match (&statement.body, first) {
            (Body::Database(database), _) => {
                let Some(schema) = &database.name else { return Vec::new() };
                if statement.kind == StatementKind::DropDatabase {
                    return self.drop_schema(schema);
                }
                if database.charset.is_some() || database.collation.is_some() {
                    let (charset, collation) = (database.charset.clone(), database.collation.clone());
                    self.set_schema_defaults(schema, SchemaDefaults { charset, collation });
                }
                Vec::new()
            }
            (Body::CreateTable(create), Some(name)) => {
                if create.temporary {
                    return Vec::new();
                }
                self.create(create, name, create.like.and(second), piece.is_modelled())
            }
            (Body::DropTable { .. }, Some(_)) if statement.kind == StatementKind::DropTemporaryTable => Vec::new(),
            (Body::DropTable { .. }, Some(name)) => match self.tables.remove(&self.key(name)) {
                Some(_) => vec![name.clone()],
                None => Vec::new(),
            },
            (Body::RenameTable { .. }, Some(from)) => match second {
                Some(to) => self.rename(from, to),
                None => Vec::new(),
            },
            (Body::AlterTable(alter), Some(name)) => {
                if !piece.is_modelled() {
                    // A partition that becomes a table, or a table that becomes a partition.
                    for (_, partner) in piece.tables().filter(|(role, _)| *role == TableRole::ExchangePartner) {
                        self.remove(&partner);
                    }
                }
                self.alter(alter, name, &names, piece.is_modelled())
            }
            (Body::CreateIndex { or_replace, def }, Some(name)) => {
                let modelled = piece.is_modelled();
                self.change(name, |table| {
                    if !modelled {
                        return Err(Unknown);
                    }
                    if *or_replace {
                        table.drop_index_if_there(&def.index.name);
                    }
                    table.add_index(def)
                })
            }
            (Body::DropIndex { name: index, if_exists }, Some(name)) => {
                self.change(name, |table| table.drop_index(index, *if_exists))
            }
            (Body::TruncateTable | Body::Head, Some(_)) | (_, None) => Vec::new(),
        }
    }

    fn drop_schema(&mut self, schema: &str) -> Vec<TableName> {
        let schema = self.schema_key(schema);
        self.schemas.remove(&schema);
        let keys: Vec<TableName> = self.tables.keys().filter(|key| key.schema == schema).cloned().collect();
        keys.iter().filter_map(|key| self.tables.remove(key)).map(|entry| entry.name).collect()
    }

    fn create(
        &mut self,
        create: &CreateTable,
        name: &TableName,
        like: Option<&TableName>,
        modelled: bool,
    ) -> Vec<TableName> {
        let key = self.key(name);
        // Every CREATE says IF NOT EXISTS here, so one of a table that is there may have done nothing.
        if self.tables.contains_key(&key) {
            return Vec::new();
        }
        let table = if let Some(source) = like {
            self.table(source).cloned().map(|mut table| {
                table.foreign_keys.clear();
                table
            })
        } else if create.select || create.elements.is_empty() || !modelled {
            None
        } else {
            let mut create = create.clone();
            self.fill_defaults(&mut create, &name.schema);
            let (table, known) = Table::of_create(&create);
            known.ok().map(|()| table)
        };
        self.tables.insert(key, Entry { name: name.clone(), table });
        vec![name.clone()]
    }

    /// A table that names neither charset nor collation gets those of its schema.
    fn fill_defaults(&self, create: &mut CreateTable, schema: &str) {
        use crate::create_table::TableOption as O;
        let named = create.options.iter().any(|o| matches!(o, O::Charset(_) | O::Collation(_)));
        if let Some(defaults) = self.schema_defaults(schema)
            && !named
        {
            create.options.extend(defaults.charset.clone().map(O::Charset));
            create.options.extend(defaults.collation.clone().map(O::Collation));
        }
    }

    fn rename(&mut self, from: &TableName, to: &TableName) -> Vec<TableName> {
        let old = self.tables.remove(&self.key(from));
        let replaced = self.tables.remove(&self.key(to));
        match old {
            Some(entry) => {
                self.tables.insert(self.key(to), Entry { name: to.clone(), table: entry.table });
                vec![from.clone(), to.clone()]
            }
            None => replaced.map(|_| to.clone()).into_iter().collect(),
        }
    }

    fn alter(&mut self, alter: &AlterTable, name: &TableName, names: &[TableName], modelled: bool) -> Vec<TableName> {
        let defaults = self.schema_defaults(&name.schema).cloned();
        let mut changed = Vec::new();
        for clause in &alter.clauses {
            if let Change::RenameTable { to } = clause.change
                && let Some(to) = names.get(to)
            {
                changed.extend(self.rename(name, to));
                continue;
            }
            changed.extend(self.change(name, |table| {
                if modelled { table.apply_change(&clause.change, defaults.as_ref()) } else { Err(Unknown) }
            }));
        }
        changed.dedup();
        changed
    }

    fn change(&mut self, name: &TableName, change: impl FnOnce(&mut Table) -> Result<(), Unknown>) -> Vec<TableName> {
        let key = self.key(name);
        let Some(entry) = self.tables.get_mut(&key) else { return Vec::new() };
        let Some(table) = &entry.table else { return Vec::new() };
        let mut after = table.clone();
        match change(&mut after) {
            Ok(()) if after == *table => return Vec::new(),
            Ok(()) => entry.table = Some(after),
            Err(Unknown) => entry.table = None,
        }
        vec![entry.name.clone()]
    }
}
