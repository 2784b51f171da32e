//! What becomes of a source table's rows in the target: which columns are written, how each is rendered, how a row is
//! found again, and what it conflicts on. Compiled once per pair of structures, used for every row.
//!
//! Owns the pairing of columns and the choice of identity. Never looks at routes or filters, never touches a connection. Fails
//! when the structures do not fit each other, or a row does not fit its structure; both are 36027 to operators.

mod error;
mod plan;

use std::sync::Arc;

use dm_binlog::Value;
use dm_ddl::table::{DataType, Index, IndexOn, Table};
use dm_model::{TableName, name::quote_identifier};

pub use self::error::Error;
use crate::{
    change::{Edit, Identity, LiteralRow, RowChange, RowKey},
    keys::RowKeys,
    literal::{Dialect, Plan, text::push_quoted},
};

/// What a mapping is built from.
#[derive(Debug, Clone, Copy)]
pub struct Spec<'a> {
    pub source: &'a TableName,
    /// The structure by which the rows were written.
    pub source_structure: &'a Table,
    pub target: &'a TableName,
    pub target_structure: &'a Table,
    /// Columns the route adds (`extract-table` and its like) with their text values, in order.
    pub extracted: &'a [(String, String)],
    pub dialect: Dialect,
    /// The target checks foreign keys: a row also conflicts with its parents' rows.
    pub parent_keys: bool,
}

/// A column that is written.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// Its name in the target, quoted.
    pub(crate) quoted: String,
    pub(crate) from: From,
    /// Equality in WHERE needs a cast on this target.
    pub(crate) json: bool,
    /// Text that the target compares by more than its bytes: finding a row by all columns needs more than `<=>`.
    pub(crate) collated: bool,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(crate) enum From {
    Row { column: usize, plan: Plan },
    Constant { literal: Vec<u8> },
}

/// A unique key of the target whose columns are all written.
#[derive(Debug, Clone)]
pub struct UniqueKey {
    /// Indexes into the written columns, in the key's order.
    pub columns: Vec<usize>,
    /// No column of it can be NULL.
    pub not_null: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Mapping {
    source: TableName,
    target: TableName,
    dialect: Dialect,
    source_columns: Vec<String>,
    columns: Vec<Column>,
    unique_keys: Vec<UniqueKey>,
    keys: RowKeys,
    /// Source columns whose change is a change of some unique key; `None` when that cannot be told.
    key_columns: Option<Vec<usize>>,
    upsertable: bool,
    replaceable: bool,
}

impl Mapping {
    pub fn build(spec: &Spec<'_>) -> Result<Arc<Self>, Error> {
        let mut columns = Vec::new();
        for (index, source) in spec.source_structure.columns.iter().enumerate() {
            let Some((_, target)) = spec.target_structure.column(&source.name) else {
                if source.generated.is_some() {
                    continue;
                }
                return Err(Error::ColumnMissing {
                    column: source.name.clone(),
                    source_table: spec.source.clone(),
                    target: spec.target.clone(),
                });
            };
            if target.generated.is_some() {
                continue;
            }
            let plan = Plan::new(spec.source_structure, source, target, spec.dialect);
            columns.push(Column {
                quoted: quote_identifier(&target.name),
                from: From::Row { column: index, plan },
                json: target.data_type == DataType::Json && spec.dialect != Dialect::MariaDb,
                collated: plan::is_collated(spec.target_structure, target),
            });
        }
        for (name, text) in spec.extracted {
            let target = spec.target_structure.column(name).map(|(_, column)| column);
            let Some(target) = target.filter(|column| column.generated.is_none()) else {
                return Err(Error::ExtractedMissing { column: name.clone(), target: spec.target.clone() });
            };
            let mut literal = Vec::new();
            push_quoted(&mut literal, text);
            columns.push(Column {
                quoted: quote_identifier(&target.name),
                from: From::Constant { literal },
                json: false,
                collated: plan::is_collated(spec.target_structure, target),
            });
        }
        if columns.is_empty() {
            return Err(Error::NothingToWrite { source_table: spec.source.clone(), target: spec.target.clone() });
        }
        let unique_keys = plan::unique_keys(spec.target_structure, &columns);
        let keys = RowKeys::new(spec);
        let upsertable = plan::upsertable(spec.target_structure, &columns, &unique_keys);
        Ok(Arc::new(Self {
            source: spec.source.clone(),
            target: spec.target.clone(),
            dialect: spec.dialect,
            source_columns: spec.source_structure.columns.iter().map(|column| column.name.clone()).collect(),
            key_columns: plan::key_columns(spec.source_structure, spec.target_structure),
            replaceable: upsertable && !spec.parent_keys && plan::writes_all(spec.target_structure, &columns),
            upsertable,
            columns,
            unique_keys,
            keys,
        }))
    }

    pub fn source(&self) -> &TableName {
        &self.source
    }

    pub fn target(&self) -> &TableName {
        &self.target
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// How many values a row of the source has.
    pub fn n_source_columns(&self) -> usize {
        self.source_columns.len()
    }

    /// Names of the written columns, quoted, in the order of a change's literals.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.quoted.as_str())
    }

    pub(crate) fn column(&self, index: usize) -> Option<&Column> {
        self.columns.get(index)
    }

    /// Unique keys that can name a row: those without NULL first, the primary key before all.
    pub fn unique_keys(&self) -> &[UniqueKey] {
        &self.unique_keys
    }

    pub(crate) fn unique_key(&self, identity: Identity) -> Option<&UniqueKey> {
        match identity {
            Identity::Key(index) => self.unique_keys.get(usize::from(index)),
            Identity::AllColumns => None,
        }
    }

    /// True when `INSERT … ON DUPLICATE KEY UPDATE` of an existing row can only find that row: one unique key, and no
    /// column that an INSERT must give and this mapping does not.
    pub(crate) fn upsertable(&self) -> bool {
        self.upsertable
    }

    /// True when deleting a row and inserting one with its key equals an upsert of the new row: [`upsertable`](Self::upsertable),
    /// no column of the target falls back to a default, and no foreign key acts on a delete.
    pub(crate) fn replaceable(&self) -> bool {
        self.replaceable
    }

    /// True when rows are always found by a NOT NULL key.
    pub fn has_row_key(&self) -> bool {
        self.unique_keys.first().is_some_and(|key| key.not_null)
    }

    /// Renders and hashes a change: `before` alone is a delete, `after` alone an insert, both an update. Images are
    /// complete rows in the order of the source structure.
    pub fn change(
        self: &Arc<Self>,
        before: Option<&[Value<'_>]>,
        after: Option<&[Value<'_>]>,
    ) -> Result<RowChange, Error> {
        let mut keys = Vec::with_capacity(4);
        let mut scratch = Vec::new();
        for row in [before, after].into_iter().flatten() {
            if row.len() != self.source_columns.len() {
                return Err(Error::ColumnCount {
                    table: self.source.clone(),
                    n_values: row.len(),
                    n_columns: self.source_columns.len(),
                });
            }
            let keyless = self.identity(row) == Identity::AllColumns;
            self.keys
                .hash(row, keyless, &mut scratch, &mut keys)
                .map_err(|(column, error)| self.value_error(column, error))?;
        }
        keys.sort_unstable();
        keys.dedup();
        let edit = match (before, after) {
            (None, Some(after)) => Edit::Insert { after: self.render(after)? },
            (Some(before), None) => Edit::Delete { before: self.row_key(before)? },
            (Some(before), Some(after)) => Edit::Update {
                moves_key: self.moves_key(before, after),
                before: self.row_key(before)?,
                after: self.render(after)?,
            },
            (None, None) => return Err(Error::NoImage { table: self.source.clone() }),
        };
        Ok(RowChange { mapping: Arc::clone(self), edit, keys })
    }

    fn moves_key(&self, before: &[Value<'_>], after: &[Value<'_>]) -> bool {
        match &self.key_columns {
            Some(columns) => columns.iter().any(|column| before.get(*column) != after.get(*column)),
            None => before != after,
        }
    }

    fn identity(&self, row: &[Value<'_>]) -> Identity {
        let has_value = |column: &usize| match self.columns.get(*column).map(|column| &column.from) {
            Some(From::Row { column, .. }) => row.get(*column).is_some_and(|value| *value != Value::Null),
            Some(From::Constant { .. }) => true,
            None => false,
        };
        let found = self.unique_keys.iter().position(|key| key.columns.iter().all(has_value));
        match found.map(u16::try_from) {
            Some(Ok(index)) => Identity::Key(index),
            Some(Err(_)) | None => Identity::AllColumns,
        }
    }

    fn row_key(&self, row: &[Value<'_>]) -> Result<RowKey, Error> {
        let identity = self.identity(row);
        let literals = match self.unique_key(identity) {
            Some(key) => self.render_columns(row, key.columns.iter().copied())?,
            None => self.render(row)?,
        };
        Ok(RowKey { identity, literals })
    }

    fn render(&self, row: &[Value<'_>]) -> Result<LiteralRow, Error> {
        self.render_columns(row, 0..self.columns.len())
    }

    fn render_columns(
        &self,
        row: &[Value<'_>],
        columns: impl ExactSizeIterator<Item = usize>,
    ) -> Result<LiteralRow, Error> {
        let mut literals = LiteralRow::with_capacity(columns.len(), columns.len() * 12);
        for column in columns.filter_map(|column| self.columns.get(column)) {
            match &column.from {
                From::Row { column, plan } => {
                    let value = row.get(*column).unwrap_or(&Value::Null);
                    literals.push(|out| plan.write(value, out)).map_err(|error| self.value_error(*column, error))?;
                }
                From::Constant { literal, .. } => literals.push_literal(literal),
            }
        }
        literals.trim();
        Ok(literals)
    }

    fn value_error(&self, column: usize, error: crate::literal::Error) -> Error {
        let column = self.source_columns.get(column).cloned().unwrap_or_default();
        Error::Value { table: self.source.clone(), column, cause: error }
    }
}

/// The column names of an index; `None` when a part is an expression.
pub(crate) fn index_columns(index: &Index) -> Option<Vec<&str>> {
    let mut names = Vec::with_capacity(index.parts.len());
    for part in &index.parts {
        match &part.on {
            IndexOn::Column(name) => names.push(name.as_str()),
            IndexOn::Expression(_) => return None,
        }
    }
    Some(names)
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
