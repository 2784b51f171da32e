//! What databases and tables a server has, and where its binlog stands.
//!
//! Statements that changed their names over the versions are chosen by version and fall back on a syntax error. System
//! schemas are never listed.

use dm_fence::Observed;
use dm_model::{BinlogPosition, Flavor, GtidSet, Location, TableName, name::quote_identifier};
use mysql_async::{Conn, Row, prelude::Queryable};
use sha2::{Digest, Sha256};

use crate::{Error, Result, ServerFacts, text};

/// Schemas that belong to the server.
pub const SYSTEM_SCHEMAS: [&str; 7] =
    ["mysql", "sys", "information_schema", "performance_schema", "metrics_schema", "inspection_schema", "tidb"];

/// A table of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableEntry {
    pub name: TableName,
    /// `BASE TABLE`, `VIEW`, `SEQUENCE`, …
    pub kind: String,
    pub engine: Option<String>,
    /// Estimates of the server.
    pub rows: u64,
    pub data_bytes: u64,
}

impl TableEntry {
    pub fn is_table(&self) -> bool {
        self.kind == "BASE TABLE" || self.kind == "SYSTEM VERSIONED"
    }
}

/// A file of `SHOW BINARY LOGS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinlogFile {
    pub name: String,
    pub n_bytes: u64,
}

/// All schemas but the server's own.
pub async fn schemas(conn: &mut Conn) -> Result<Vec<String>> {
    let all: Vec<String> = conn
        .query("SELECT schema_name FROM information_schema.schemata ORDER BY schema_name")
        .await
        .map_err(Error::query("list schemas"))?;
    Ok(all.into_iter().filter(|schema| !is_system(schema)).collect())
}

/// Tables and views of all schemas but the server's own, or of one schema.
pub async fn tables(conn: &mut Conn, schema: Option<&str>) -> Result<Vec<TableEntry>> {
    let mut sql =
        "SELECT table_schema, table_name, table_type, engine, COALESCE(table_rows, 0), COALESCE(data_length, 0) \
                   FROM information_schema.tables"
            .to_owned();
    match schema {
        Some(schema) => {
            sql.push_str(" WHERE table_schema = ");
            sql.push_str(&text::literal(schema));
        }
        // Without this the server opens every view of `sys` to answer, which is slow and once ended a MariaDB.
        None => sql.push_str(" WHERE table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')"),
    }
    sql.push_str(" ORDER BY table_schema, table_name");
    let rows: Vec<(String, String, String, Option<String>, u64, u64)> =
        conn.query(sql).await.map_err(Error::query("list tables"))?;
    Ok(rows
        .into_iter()
        .filter(|(schema, ..)| !is_system(schema))
        .map(|(schema, table, kind, engine, rows, data_bytes)| TableEntry {
            name: TableName { schema, table },
            kind,
            engine,
            rows,
            data_bytes,
        })
        .collect())
}

/// The statement that makes the table; `None` when there is no such table.
pub async fn create_table(conn: &mut Conn, table: &TableName) -> Result<Option<String>> {
    let sql = format!("SHOW CREATE TABLE {table}");
    match conn.query_first::<Row, _>(&sql).await {
        Ok(row) => Ok(row.and_then(|row| row.get_opt::<String, _>(1)).and_then(std::result::Result::ok)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(source) => Err(Error::execute(&sql)(source)),
    }
}

/// The statement that makes the schema; `None` when there is no such schema.
pub async fn create_schema(conn: &mut Conn, schema: &str) -> Result<Option<String>> {
    let sql = format!("SHOW CREATE DATABASE {}", quote_identifier(schema));
    match conn.query_first::<Row, _>(&sql).await {
        Ok(row) => Ok(row.and_then(|row| row.get_opt::<String, _>(1)).and_then(std::result::Result::ok)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(source) => Err(Error::execute(&sql)(source)),
    }
}

/// What a DDL intent stores about its table, and what a successor compares: a hash of the server's own text without
/// the counter, and where the server has one an identity that changes when the table becomes another.
///
/// An empty table name stands for the schema. Create times have a resolution of a second: one that is too young to
/// tell before from after is no identity.
pub async fn observe(conn: &mut Conn, target: &TableName) -> Result<Observed> {
    if target.table.is_empty() {
        let created = create_schema(conn, &target.schema).await?;
        return Ok(Observed { hash: created.map(|sql| hash(&sql)), identity: None });
    }
    let created = create_table(conn, target).await?;
    let where_ = format!(
        "FROM information_schema.tables WHERE table_schema = {} AND table_name = {}",
        text::literal(&target.schema),
        text::literal(&target.table)
    );
    let by_id = format!("SELECT CONCAT('id ', TIDB_TABLE_ID) {where_}");
    let by_time =
        format!("SELECT CONCAT('created ', create_time) {where_} AND create_time < NOW() - INTERVAL 2 SECOND");
    let identity = match conn.query_first::<Option<String>, _>(by_id).await {
        Ok(identity) => identity.flatten(),
        // No such column: not TiDB.
        Err(mysql_async::Error::Server(_)) => conn
            .query_first::<Option<String>, _>(by_time)
            .await
            .map_err(Error::query("read a table's create time"))?
            .flatten(),
        Err(source) => return Err(Error::Query { doing: "read a table's identity", source }),
    };
    Ok(Observed { hash: created.map(|sql| hash(&without_counter(&sql))), identity })
}

/// Where the binlog stands now, with the executed GTID set where there is one; `None` when binlogging is off.
pub async fn binlog_status(conn: &mut Conn, facts: &ServerFacts) -> Result<Option<Location>> {
    const DOING: &str = "read the binlog's end";
    let (first, second) = if facts.flavor == Flavor::MySql && facts.is_at_least(8, 2) {
        ("SHOW BINARY LOG STATUS", "SHOW MASTER STATUS")
    } else {
        ("SHOW MASTER STATUS", "SHOW BINARY LOG STATUS")
    };
    let row: Option<Row> = match conn.query_first(first).await {
        Ok(row) => row,
        Err(error) if crate::error_number::number(&error) == Some(1064) => {
            conn.query_first(second).await.map_err(Error::query(DOING))?
        }
        Err(source) => return Err(Error::Query { doing: DOING, source }),
    };
    let Some(row) = row else {
        return Ok(None);
    };
    let file: String = row.get_opt(0).and_then(std::result::Result::ok).unwrap_or_default();
    let offset: u64 = row.get_opt(1).and_then(std::result::Result::ok).unwrap_or_default();
    let gtid = match facts.flavor {
        Flavor::MySql if facts.has_gtid() => {
            let text: String = row.get_opt("Executed_Gtid_Set").and_then(std::result::Result::ok).unwrap_or_default();
            Some(parse_gtid(Flavor::MySql, &text)?)
        }
        Flavor::MySql => None,
        Flavor::MariaDb => Some(gtid_variable(conn, Flavor::MariaDb, "gtid_binlog_pos").await?),
    };
    Ok(Some(Location::new(BinlogPosition { file, offset }, gtid)))
}

/// The binlog files there are, oldest first.
pub async fn binary_logs(conn: &mut Conn) -> Result<Vec<BinlogFile>> {
    let rows: Vec<Row> = conn.query("SHOW BINARY LOGS").await.map_err(Error::query("list binlog files"))?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let name = row.get_opt(0)?.ok()?;
            let n_bytes = row.get_opt(1)?.ok()?;
            Some(BinlogFile { name, n_bytes })
        })
        .collect())
}

/// GTIDs that the server executed.
pub async fn gtid_executed(conn: &mut Conn, flavor: Flavor) -> Result<GtidSet> {
    let variable = match flavor {
        Flavor::MySql => "gtid_executed",
        Flavor::MariaDb => "gtid_binlog_pos",
    };
    gtid_variable(conn, flavor, variable).await
}

/// GTIDs whose binlogs are gone. MariaDB does not tell: empty there; its dump request fails instead.
pub async fn gtid_purged(conn: &mut Conn, flavor: Flavor) -> Result<GtidSet> {
    match flavor {
        Flavor::MySql => gtid_variable(conn, flavor, "gtid_purged").await,
        Flavor::MariaDb => Ok(GtidSet::empty(flavor)),
    }
}

async fn gtid_variable(conn: &mut Conn, flavor: Flavor, variable: &str) -> Result<GtidSet> {
    let text: Option<String> = conn
        .query_first(format!("SELECT @@GLOBAL.{variable}"))
        .await
        .map_err(Error::query("read the executed GTIDs"))?;
    parse_gtid(flavor, &text.unwrap_or_default())
}

fn parse_gtid(flavor: Flavor, text: &str) -> Result<GtidSet> {
    GtidSet::parse(flavor, text).map_err(|source| Error::Query {
        doing: "read the executed GTIDs",
        source: mysql_async::Error::Other(Box::new(source)),
    })
}

fn is_system(schema: &str) -> bool {
    SYSTEM_SCHEMAS.iter().any(|system| system.eq_ignore_ascii_case(schema))
}

pub(crate) fn is_absent(error: &mysql_async::Error) -> bool {
    // No such table, no such database, no such table in a view's words.
    matches!(crate::error_number::number(error), Some(1146 | 1049 | 1051))
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// The counter moves with every row and says nothing about the structure.
fn without_counter(create: &str) -> String {
    let Some(at) = create.rfind(" AUTO_INCREMENT=") else {
        return create.to_owned();
    };
    let rest = &create[at + " AUTO_INCREMENT=".len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    format!("{}{}", &create[..at], &rest[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_not_part_of_the_structure() {
        assert_eq!(without_counter(") ENGINE=InnoDB AUTO_INCREMENT=17 DEFAULT"), ") ENGINE=InnoDB DEFAULT");
        assert_eq!(without_counter(") ENGINE=InnoDB"), ") ENGINE=InnoDB");
    }

    #[test]
    fn system_schemas_are_told_whatever_their_case() {
        assert!(is_system("INFORMATION_SCHEMA") && is_system("mysql") && !is_system("mysqlx"));
    }
}
