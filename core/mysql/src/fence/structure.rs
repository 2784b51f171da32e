//! Source structures as of a unit (`dm_table_structure`): what a successor decodes rows with.
//!
//! Written in the transaction that makes them true (the plan, a DDL's completion) by statements of a lane.

use dm_fence::UnitNumber;
use dm_model::TableName;
use mysql_async::{Conn, Row, prelude::Queryable};

use super::{FenceTarget, Statement, row::column, tables};
use crate::{Error, Result, text::literal};

/// The structure of a source table from a unit on; `create_sql` is empty when the table is gone from there on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StructureRow {
    pub table: TableName,
    pub from_unit: UnitNumber,
    pub create_sql: String,
}

/// Writes a structure.
pub fn put(target: &FenceTarget, structure: &StructureRow) -> Statement {
    Statement::new(format!(
        "REPLACE INTO {} (task, source, src_schema, src_table, from_unit, create_sql) VALUES ({}, {}, {}, {}, {})",
        target.table(tables::STRUCTURE),
        target.key(),
        literal(&structure.table.schema),
        literal(&structure.table.table),
        structure.from_unit,
        literal(&structure.create_sql)
    ))
}

/// Removes structures that no unit above `low` needs: of each table all at or below it but the newest.
pub fn prune(target: &FenceTarget, table: &TableName, keep_from: UnitNumber) -> Statement {
    Statement::new(format!(
        "DELETE FROM {} WHERE {} AND src_schema = {} AND src_table = {} AND from_unit < {keep_from}",
        target.table(tables::STRUCTURE),
        target.condition(),
        literal(&table.schema),
        literal(&table.table)
    ))
}

/// All structures of the subtask, by table and unit.
pub async fn load(conn: &mut Conn, target: &FenceTarget) -> Result<Vec<StructureRow>> {
    const TABLE: &str = tables::STRUCTURE;
    let sql = format!(
        "SELECT src_schema, src_table, from_unit, create_sql FROM {} WHERE {} ORDER BY src_schema, src_table, from_unit",
        target.table(TABLE),
        target.condition()
    );
    let rows: Vec<Row> = conn.query(sql).await.map_err(Error::query("read the stored structures"))?;
    rows.iter()
        .map(|row| {
            Ok(StructureRow {
                table: TableName::new(
                    column::<String>(row, TABLE, 0, "src_schema")?,
                    column::<String>(row, TABLE, 1, "src_table")?,
                ),
                from_unit: UnitNumber(column(row, TABLE, 2, "from_unit")?),
                create_sql: column::<Option<String>>(row, TABLE, 3, "create_sql")?.unwrap_or_default(),
            })
        })
        .collect()
}
