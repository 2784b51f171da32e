//! What there is to copy: the source's tables, their structures, and how each is split.
//!
//! Owns the questions to the source; what follows from the answers is dm-sync-core's. Views, sequences and tables that the
//! block-allow list leaves out are never seen by the rest.

use dm_config::subtask::Rules;
use dm_ddl::{
    SqlMode,
    table::{Column, Table, parse_create},
};
use dm_model::TableName;
use dm_mysql::schema::{self, TableEntry};
use dm_sync_core::{
    chunk::{
        Chunk, ChunkKey, Estimate, Order, from_bounds,
        probe::Probes,
        ranges::{Question, Ranges},
    },
    online_ddl::{OnlineDdl, TableKind},
};
use mysql_async::{Conn, Row, Value, prelude::Queryable};
use tracing::warn;

use super::{error::Error, options::Options};

/// `lower_key` and `upper_key` hold this much.
pub(super) const MAX_KEY_BYTES: usize = 3072;

/// Engines whose reads belong to no view; as targets they cannot roll back.
const NOT_TRANSACTIONAL: [&str; 9] =
    ["MyISAM", "Aria", "MEMORY", "CSV", "ARCHIVE", "BLACKHOLE", "MRG_MYISAM", "FEDERATED", "Columnstore"];

/// True when the engine ignores transactions.
pub(super) fn is_not_transactional(engine: &str) -> bool {
    NOT_TRANSACTIONAL.iter().any(|known| known.eq_ignore_ascii_case(engine))
}

/// The tables that the rules let through, by name. What an online schema change tool works on comes with its last step.
pub(super) async fn list(
    conn: &mut Conn,
    rules: &Rules,
    online_ddl: Option<&OnlineDdl>,
) -> Result<Vec<TableEntry>, Error> {
    let all = schema::tables(conn, None).await?;
    let is_real = |entry: &TableEntry| {
        online_ddl.is_none_or(|patterns| match patterns.kind(&entry.name.table) {
            TableKind::Real => true,
            TableKind::Ghost | TableKind::Trash => false,
        })
    };
    Ok(all
        .into_iter()
        .filter(|entry| entry.is_table() && rules.block_allow.allows_table(&entry.name) && is_real(entry))
        .collect())
}

/// Schemas that the rules let through: a table may come into each later.
pub(super) async fn schemas(conn: &mut Conn, rules: &Rules) -> Result<Vec<String>, Error> {
    let all = schema::schemas(conn).await?;
    Ok(all.into_iter().filter(|schema| rules.block_allow.allows_schema(schema)).collect())
}

/// The source's statement for a table and what it says; `None` when the table is gone.
pub(super) async fn structure(conn: &mut Conn, table: &TableName) -> Result<Option<(String, Table)>, Error> {
    let Some(sql) = schema::create_table(conn, table).await? else { return Ok(None) };
    let structure = parse(table, &sql)?;
    Ok(Some((sql, structure)))
}

pub(super) fn parse(table: &TableName, create_sql: &str) -> Result<Table, Error> {
    let parsed = parse_create(create_sql, SqlMode::default());
    parsed.map(|(_, _, structure)| structure).map_err(|source| Error::Structure { table: table.clone(), source })
}

/// True when rows read by one structure mean the same by the other; options and counters do not matter.
pub(super) fn same_rows(a: &Table, b: &Table) -> bool {
    a.columns == b.columns && a.indexes == b.indexes && a.foreign_keys == b.foreign_keys && a.charset == b.charset
}

/// True when both have the same columns and keys, by name and in order, whatever each server makes of their types.
pub(super) fn same_layout(a: &Table, b: &Table) -> bool {
    let keys =
        |table: &Table| -> Vec<_> { table.indexes.iter().map(|index| (index.kind, index.parts.clone())).collect() };
    let is_like =
        |(a, b): (&Column, &Column)| a.name == b.name && a.nullable == b.nullable && a.data_type == b.data_type;
    a.columns.len() == b.columns.len() && a.columns.iter().zip(&b.columns).all(is_like) && keys(a) == keys(b)
}

/// Splits a table; the connection's view answers.
pub(super) async fn split(
    conn: &mut Conn,
    table: &TableName,
    structure: &Table,
    entry: &TableEntry,
    options: &Options,
) -> Result<Vec<Chunk>, Error> {
    if entry.engine.as_deref().is_some_and(is_not_transactional) {
        warn!(%table, engine = ?entry.engine, "the source table belongs to no consistent view: do not write to it while it is copied");
    }
    let Some(key) = ChunkKey::of(structure) else { return Ok(vec![Chunk::ALL]) };
    let estimate = Estimate { n_rows: entry.rows, n_bytes: entry.data_bytes };
    let chunk_bytes = options.chunk_bytes_of(estimate);
    let failed = |source| Error::Plan { table: table.clone(), source };
    let filter = options.filter.as_deref();
    if key.order == Order::Integer {
        let mut ranges = Ranges::new(table, structure, &key, estimate, chunk_bytes);
        while let Some(question) = ranges.question() {
            let numbers = match question {
                Question::MinMax(sql) => {
                    let row = ask(conn, sql).await?;
                    row.as_ref().map(|row| values(row).into_iter().map(number).collect()).unwrap_or_default()
                }
                Question::Rows(sql) => expected_rows(ask(conn, sql).await?.as_ref()),
            };
            ranges.answer(&numbers);
        }
        return Ok(ranges.finish());
    }
    if estimate.n_bytes <= chunk_bytes {
        return Ok(vec![Chunk::ALL]);
    }
    let mut probes = Probes::new(table, structure, &key, filter, estimate.chunk_rows(chunk_bytes));
    while let Some(question) = probes.question() {
        let row = ask(conn, question).await?;
        let row = row.as_ref().map(values);
        probes.answer(row.as_deref()).map_err(failed)?;
    }
    // A bound that cannot be stored joins its neighbours.
    let bounds = probes.finish().into_iter().filter_map(|chunk| chunk.upper);
    Ok(from_bounds(bounds.filter(|bound| bound.encode().len() <= MAX_KEY_BYTES).collect()))
}

/// The texts of a row; `None` is NULL.
pub(super) fn values(row: &Row) -> Vec<Option<&[u8]>> {
    let value = |column: usize| match row.as_ref(column) {
        Some(Value::Bytes(bytes)) => Some(bytes.as_slice()),
        // The text protocol knows nothing else.
        Some(_) | None => None,
    };
    (0..row.len()).map(value).collect()
}

fn number(value: Option<&[u8]>) -> Option<i128> {
    std::str::from_utf8(value?).ok()?.parse().ok()
}

/// The column `rows` of an EXPLAIN; empty where the server answers in another form.
fn expected_rows(row: Option<&Row>) -> Vec<Option<i128>> {
    let Some(row) = row else { return Vec::new() };
    let at = row.columns_ref().iter().position(|column| column.name_ref().eq_ignore_ascii_case(b"rows"));
    at.and_then(|at| values(row).get(at).copied()).map(number).into_iter().collect()
}

async fn ask(conn: &mut Conn, question: Vec<u8>) -> Result<Option<Row>, Error> {
    conn.query_first(question).await.map_err(Error::Read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(sql: &str) -> Table {
        parse(&TableName::new("s", "t"), sql).expect("a structure")
    }

    #[test]
    fn what_one_server_makes_of_another_servers_table_has_its_layout() {
        let here =
            table("CREATE TABLE `t` (`a` int NOT NULL, `v` varchar(9), PRIMARY KEY (`a`)) DEFAULT CHARSET=utf8mb4");
        let there = table(
            "CREATE TABLE `t` (`a` int(11) NOT NULL, `v` varchar(9) DEFAULT NULL, PRIMARY KEY (`a`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci",
        );
        assert!(same_layout(&here, &there));
        for other in [
            "CREATE TABLE `t` (`a` bigint NOT NULL, `v` varchar(9), PRIMARY KEY (`a`))",
            "CREATE TABLE `t` (`a` int NOT NULL, `v` varchar(10), PRIMARY KEY (`a`))",
            "CREATE TABLE `t` (`a` int NOT NULL, `v` varchar(9), `w` int, PRIMARY KEY (`a`))",
            "CREATE TABLE `t` (`a` int NOT NULL, `v` varchar(9), PRIMARY KEY (`a`), KEY (`v`))",
            "CREATE TABLE `t` (`a` int NOT NULL, `u` varchar(9), PRIMARY KEY (`a`))",
        ] {
            assert!(!same_layout(&here, &table(other)), "{other}");
        }
    }
}
