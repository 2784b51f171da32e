//! Plan and markers of the full copy (`dm_snapshot_chunk`).
//!
//! A marker is written by the lane transaction that carries the chunk's rows, so it is in the target exactly when they
//! are. Keys are opaque bytes of the snapshot planner.

use dm_model::{BinlogPosition, Location, TableName};
use mysql_async::{Conn, Row, prelude::Queryable};

use super::{
    FenceTarget, Statement,
    row::{column, gtid},
    tables,
};
use crate::{
    Error, Result,
    text::{binary, literal, literal_or_null},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChunkState {
    Planned,
    Copying,
    Done,
}

impl ChunkState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Copying => "copying",
            Self::Done => "done",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Planned, Self::Copying, Self::Done].into_iter().find(|state| state.as_str() == text)
    }
}

/// A chunk of a source table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkRow {
    pub table: TableName,
    pub chunk: u32,
    /// Keys above this one; `None` from the start of the table.
    pub lower_key: Option<Vec<u8>>,
    /// Keys up to this one; `None` to the end of the table.
    pub upper_key: Option<Vec<u8>>,
    /// The last key that is in the target.
    pub last_key: Option<Vec<u8>>,
    pub state: ChunkState,
    pub n_rows: u64,
    pub n_bytes: u64,
    /// The position of the view the chunk was read at; `None` while planned.
    pub snapshot: Option<Location>,
}

/// Writes a chunk's row, whole.
pub fn put(target: &FenceTarget, chunk: &ChunkRow) -> Statement {
    let key = |key: &Option<Vec<u8>>| key.as_deref().map_or_else(|| "NULL".to_owned(), binary);
    let position = chunk.snapshot.as_ref().map(|location| &location.position);
    let snap_gtid = chunk.snapshot.as_ref().and_then(|location| location.gtid.as_ref()).map(ToString::to_string);
    Statement::new(format!(
        "REPLACE INTO {} (task, source, src_schema, src_table, chunk, epoch, lower_key, upper_key, last_key, state, \
         row_count, byte_count, snap_file, snap_off, snap_gtid) \
         VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {})",
        target.table(tables::CHUNK),
        target.key(),
        literal(&chunk.table.schema),
        literal(&chunk.table.table),
        chunk.chunk,
        target.epoch,
        key(&chunk.lower_key),
        key(&chunk.upper_key),
        key(&chunk.last_key),
        literal(chunk.state.as_str()),
        chunk.n_rows,
        chunk.n_bytes,
        literal_or_null(position.map(|position| position.file.as_str())),
        position.map_or_else(|| "NULL".to_owned(), |position| position.offset.to_string()),
        literal_or_null(snap_gtid.as_deref())
    ))
}

/// Removes the chunks of a table, to plan it anew.
pub fn remove(target: &FenceTarget, table: &TableName) -> Statement {
    Statement::new(format!(
        "DELETE FROM {} WHERE {} AND src_schema = {} AND src_table = {}",
        target.table(tables::CHUNK),
        target.condition(),
        literal(&table.schema),
        literal(&table.table)
    ))
}

/// All chunks of the subtask, by table and number.
pub async fn load(conn: &mut Conn, target: &FenceTarget) -> Result<Vec<ChunkRow>> {
    const TABLE: &str = tables::CHUNK;
    let sql = format!(
        "SELECT src_schema, src_table, chunk, lower_key, upper_key, last_key, state, row_count, byte_count, snap_file, \
         snap_off, snap_gtid FROM {} WHERE {} ORDER BY src_schema, src_table, chunk",
        target.table(TABLE),
        target.condition()
    );
    let rows: Vec<Row> = conn.query(sql).await.map_err(Error::query("read the snapshot's chunks"))?;
    rows.iter()
        .map(|row| {
            let state: String = column(row, TABLE, 6, "state")?;
            let file: Option<String> = column(row, TABLE, 9, "snap_file")?;
            let offset: Option<u64> = column(row, TABLE, 10, "snap_off")?;
            let set = gtid(column(row, TABLE, 11, "snap_gtid")?, target.source_flavor, TABLE)?;
            Ok(ChunkRow {
                table: TableName::new(
                    column::<String>(row, TABLE, 0, "src_schema")?,
                    column::<String>(row, TABLE, 1, "src_table")?,
                ),
                chunk: column(row, TABLE, 2, "chunk")?,
                lower_key: column(row, TABLE, 3, "lower_key")?,
                upper_key: column(row, TABLE, 4, "upper_key")?,
                last_key: column(row, TABLE, 5, "last_key")?,
                state: ChunkState::parse(&state).ok_or(Error::CorruptMeta {
                    table: TABLE,
                    column: "state",
                    text: state,
                })?,
                n_rows: column::<Option<u64>>(row, TABLE, 7, "row_count")?.unwrap_or_default(),
                n_bytes: column::<Option<u64>>(row, TABLE, 8, "byte_count")?.unwrap_or_default(),
                snapshot: file.map(|file| Location::new(BinlogPosition::new(file, offset.unwrap_or_default()), set)),
            })
        })
        .collect()
}
