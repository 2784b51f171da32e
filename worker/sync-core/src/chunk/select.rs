//! The SELECT texts of a snapshot.
//!
//! Owns conditions on key ranges. The task's `where` is put in parentheses and trusted. Cannot fail.

use dm_ddl::table::Table;
use dm_model::{TableName, name::quote_identifier};

use super::{Chunk, ChunkKey, bound::Bound, copy::key_list};
use crate::literal::write_to;

/// `SELECT MIN(key), MAX(key)`: two dives, so without the task's `where`. For keys of [`Order::Integer`](super::Order::Integer).
pub fn min_max(name: &TableName, table: &Table, key: &ChunkKey) -> Vec<u8> {
    let columns = key_columns(table, key);
    let column = columns.first().map(String::as_str).unwrap_or("NULL");
    let mut sql = Vec::new();
    write_to(&mut sql, format_args!("SELECT MIN({column}),MAX({column}) FROM {name}"));
    sql
}

/// `SELECT MIN(key), MAX(key)` of the keys from `low` to `high`; for keys of [`Order::Integer`](super::Order::Integer).
pub fn min_max_in(name: &TableName, table: &Table, key: &ChunkKey, low: i128, high: i128) -> Vec<u8> {
    let columns = key_columns(table, key);
    let column = columns.first().map(String::as_str).unwrap_or("NULL");
    let mut sql = Vec::new();
    write_to(
        &mut sql,
        format_args!("SELECT MIN({column}),MAX({column}) FROM {name} WHERE {column}>={low} AND {column}<={high}"),
    );
    sql
}

/// Asks the server how many rows it expects from `low` to `high`: two dives into the index, whatever the range holds (MySQL leaves them out where an index is forced). The answer's
/// column is `rows`, NULL where there are none.
pub fn expected_rows(name: &TableName, table: &Table, key: &ChunkKey, low: i128, high: i128) -> Vec<u8> {
    let columns = key_columns(table, key);
    let column = columns.first().map(String::as_str).unwrap_or("NULL");
    let index = quote_identifier(&key.index);
    let mut sql = Vec::new();
    write_to(
        &mut sql,
        format_args!(
            "EXPLAIN FORMAT=TRADITIONAL SELECT {column} FROM {name} USE INDEX ({index}) WHERE {column}>={low} AND \
             {column}<={high}"
        ),
    );
    sql
}

/// The key `n_rows` rows after `after`: no row when fewer are left.
pub fn probe(
    name: &TableName,
    table: &Table,
    key: &ChunkKey,
    filter: Option<&str>,
    after: Option<&Bound>,
    n_rows: u64,
) -> Vec<u8> {
    let columns = key_columns(table, key).join(",");
    let mut sql = Vec::new();
    write_to(&mut sql, format_args!("SELECT {} FROM {name}", key_list(table, key).join(",")));
    push_where(&mut sql, &[range(table, key, after, ">", ">"), filter_text(filter)]);
    write_to(&mut sql, format_args!(" ORDER BY {columns} LIMIT 1 OFFSET {}", n_rows.saturating_sub(1)));
    sql
}

/// The largest key, as the probes' last question.
pub fn last_key(name: &TableName, table: &Table, key: &ChunkKey, filter: Option<&str>) -> Vec<u8> {
    let columns = key_columns(table, key);
    let mut sql = Vec::new();
    write_to(&mut sql, format_args!("SELECT {} FROM {name}", key_list(table, key).join(",")));
    push_where(&mut sql, &[filter_text(filter)]);
    write_to(&mut sql, format_args!(" ORDER BY {} DESC LIMIT 1", columns.join(" DESC,")));
    sql
}

/// Reads a chunk. `ordered`: by key, which a chunk needs whose sub-position is recorded.
pub(super) fn chunk(
    name: &TableName,
    table: &Table,
    key: Option<&ChunkKey>,
    select_list: &str,
    filter: Option<&str>,
    chunk: &Chunk,
    ordered: bool,
) -> Vec<u8> {
    let mut sql = Vec::new();
    write_to(&mut sql, format_args!("SELECT {select_list} FROM {name}"));
    let (lower, upper) = match key {
        Some(key) => {
            (range(table, key, chunk.lower.as_ref(), ">", ">"), range(table, key, chunk.upper.as_ref(), "<", "<="))
        }
        None => (Vec::new(), Vec::new()),
    };
    push_where(&mut sql, &[lower, upper, filter_text(filter)]);
    if let Some(key) = key.filter(|_| ordered) {
        write_to(&mut sql, format_args!(" ORDER BY {}", key_columns(table, key).join(",")));
    }
    sql
}

pub(super) fn key_columns(table: &Table, key: &ChunkKey) -> Vec<String> {
    key.columns
        .iter()
        .filter_map(|index| table.columns.get(*index))
        .map(|column| quote_identifier(&column.name))
        .collect()
}

fn filter_text(filter: Option<&str>) -> Vec<u8> {
    match filter.map(str::trim).filter(|filter| !filter.is_empty()) {
        Some(filter) => format!("({filter})").into_bytes(),
        None => Vec::new(),
    }
}

fn push_where(sql: &mut Vec<u8>, conditions: &[Vec<u8>]) {
    for (index, condition) in conditions.iter().filter(|condition| !condition.is_empty()).enumerate() {
        sql.extend_from_slice(if index == 0 { b" WHERE " } else { b" AND " });
        sql.extend_from_slice(condition);
    }
}

/// The lexicographic comparison of a key with a bound: `strict` for all columns but the last, which has `last`. The first
/// column is bounded once more on its own, so that every optimiser sees a range.
fn range(table: &Table, key: &ChunkKey, bound: Option<&Bound>, strict: &str, last: &str) -> Vec<u8> {
    let Some(bound) = bound else { return Vec::new() };
    let columns = key_columns(table, key);
    let mut sql = Vec::new();
    if let [column] = columns.as_slice() {
        push_comparison(&mut sql, column, last, bound.literals.get(0));
        return sql;
    }
    sql.push(b'(');
    if let Some(first) = columns.first() {
        push_comparison(&mut sql, first, &format!("{strict}="), bound.literals.get(0));
        sql.extend_from_slice(b" AND (");
    }
    for at in 0..columns.len() {
        sql.extend_from_slice(if at == 0 { b"" } else { b" OR (" });
        for (index, column) in columns.iter().enumerate().take(at + 1) {
            let is_last = index + 1 == columns.len();
            let operator = if index < at {
                "="
            } else if is_last {
                last
            } else {
                strict
            };
            sql.extend_from_slice(if index == 0 { b"" } else { b" AND " });
            push_comparison(&mut sql, column, operator, bound.literals.get(index));
        }
        sql.extend_from_slice(if at == 0 { b"" } else { b")" });
    }
    sql.extend_from_slice(b"))");
    sql
}

fn push_comparison(sql: &mut Vec<u8>, column: &str, operator: &str, literal: &[u8]) {
    write_to(sql, format_args!("{column}{operator}"));
    sql.extend_from_slice(literal);
}
