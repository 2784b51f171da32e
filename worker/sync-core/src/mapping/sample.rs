//! Mappings and values for tests.

use std::sync::Arc;

use dm_binlog::Value;
use dm_ddl::{
    SqlMode,
    table::{Table, parse_create},
};
use dm_model::TableName;

use super::{Error, Mapping, Spec};
use crate::{change::LiteralRow, literal::Dialect};

pub(crate) fn table(sql: &str) -> Table {
    parse_create(sql, SqlMode(0)).expect("test table").2
}

pub(crate) fn try_mapping(
    dialect: Dialect,
    source: &str,
    target: &str,
    extracted: &[(String, String)],
) -> Result<Arc<Mapping>, Error> {
    Mapping::build(&Spec {
        source: &TableName::new("src", "t"),
        source_structure: &table(source),
        target: &TableName::new("dst", "t"),
        target_structure: &table(target),
        extracted,
        dialect,
        parent_keys: true,
    })
}

/// Source and target have the same structure.
pub(crate) fn mapping(dialect: Dialect, sql: &str) -> Arc<Mapping> {
    try_mapping(dialect, sql, sql, &[]).expect("test mapping")
}

pub(crate) fn int(value: i64) -> Value<'static> {
    Value::Int { value, width: 8 }
}

pub(crate) fn text(value: &str) -> Value<'_> {
    Value::Bytes(value.as_bytes())
}

pub(crate) fn show(row: &LiteralRow) -> String {
    row.iter().map(|literal| String::from_utf8_lossy(literal).into_owned()).collect::<Vec<_>>().join(" | ")
}
