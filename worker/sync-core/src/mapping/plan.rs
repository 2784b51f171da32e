//! What the target's indexes mean for a mapping: identities, columns that move a key, and whether an upsert is safe.

use dm_ddl::table::{Column as TableColumn, DataType, Table};
use dm_model::name::quote_identifier;

use super::{Column, UniqueKey, index_columns};
use crate::keys::collation::{Fold, fold_of};

pub(super) fn unique_keys(target: &Table, columns: &[Column]) -> Vec<UniqueKey> {
    let mut found: Vec<UniqueKey> = target
        .unique_keys()
        .filter_map(|index| {
            let names = index_columns(index)?;
            let position = |name: &&str| {
                let (_, column) = target.column(name)?;
                let quoted = quote_identifier(&column.name);
                columns.iter().position(|column| column.quoted == quoted)
            };
            let not_null = names.iter().all(|name| target.column(name).is_some_and(|(_, column)| !column.nullable));
            let primary = index.kind == dm_ddl::table::IndexKind::Primary;
            Some(UniqueKey {
                columns: names.iter().map(position).collect::<Option<_>>()?,
                not_null: not_null || primary,
            })
        })
        .filter(|key| !key.columns.is_empty())
        .collect();
    found.sort_by_key(|key| !key.not_null);
    found
}

/// Source columns that any unique key of the target reads; `None` when an expression or a generated column that the source
/// does not have is among them.
pub(super) fn key_columns(source: &Table, target: &Table) -> Option<Vec<usize>> {
    let mut columns = Vec::new();
    for index in target.unique_keys() {
        for name in index_columns(index)? {
            match source.column(name) {
                Some((position, _)) => columns.push(position),
                None if target.column(name).is_some_and(|(_, column)| column.generated.is_some()) => return None,
                None => {}
            }
        }
    }
    columns.sort_unstable();
    columns.dedup();
    Some(columns)
}

pub(super) fn upsertable(target: &Table, columns: &[Column], unique_keys: &[UniqueKey]) -> bool {
    let one_key = target.unique_keys().count() == 1 && unique_keys.first().is_some_and(|key| key.not_null);
    let given = |column: &TableColumn| {
        let quoted = quote_identifier(&column.name);
        columns.iter().any(|known| known.quoted == quoted)
    };
    let not_needed = |column: &TableColumn| {
        column.generated.is_some() || column.nullable || column.default.is_some() || column.auto_increment
    };
    one_key && target.columns.iter().all(|column| given(column) || not_needed(column))
}

/// Every column of the target that can be written is written.
pub(super) fn writes_all(target: &Table, columns: &[Column]) -> bool {
    target.columns.iter().filter(|column| column.generated.is_none()).all(|column| {
        let quoted = quote_identifier(&column.name);
        columns.iter().any(|known| known.quoted == quoted)
    })
}

/// Character data under a collation that may call different bytes equal.
pub(super) fn is_collated(table: &Table, column: &TableColumn) -> bool {
    match &column.data_type {
        DataType::Char { .. }
        | DataType::VarChar { .. }
        | DataType::TinyText
        | DataType::Text
        | DataType::MediumText
        | DataType::LongText => fold_of(table, column) != Fold::Bytes,
        DataType::TinyInt
        | DataType::SmallInt
        | DataType::MediumInt
        | DataType::Int
        | DataType::BigInt
        | DataType::Float
        | DataType::Double
        | DataType::Decimal { .. }
        | DataType::Bit { .. }
        | DataType::Date
        | DataType::Time { .. }
        | DataType::DateTime { .. }
        | DataType::Timestamp { .. }
        | DataType::Year
        | DataType::Binary { .. }
        | DataType::VarBinary { .. }
        | DataType::TinyBlob
        | DataType::Blob
        | DataType::MediumBlob
        | DataType::LongBlob
        | DataType::Enum { .. }
        | DataType::Set { .. }
        | DataType::Json
        | DataType::Geometry { .. }
        | DataType::Vector { .. }
        | DataType::Uuid
        | DataType::Inet4
        | DataType::Inet6
        | DataType::Other { .. } => false,
    }
}
