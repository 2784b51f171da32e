//! Lane rows as SQL: reading them, and the fence's UPDATE.

use dm_fence::{Consistency, FenceUpdate, LaneRow, Slicing, UnitNumber, Window};
use dm_model::{BinlogPosition, ClusterId, Epoch, Flavor, GtidSet, Location, UnixMillis};
use mysql_async::{
    Conn, Row,
    prelude::{FromValue, Queryable},
};

use super::{FenceTarget, tables};
use crate::{
    Error, Result,
    text::{binary, literal, literal_or_null},
};

const COLUMNS: &str = "lane, cluster_id, epoch, seq, low, low_file, low_off, low_gtid, done, done_gtid, source_uuid, \
                       src_ts, batch_crc, consistency, slice_rows";

/// The newest token in a subtask's rows, of whatever cluster; `None` when there are no rows or no table.
pub async fn newest_epoch(conn: &mut Conn, target: &FenceTarget) -> Result<Option<Epoch>> {
    let sql = format!("SELECT MAX(epoch) FROM {} WHERE {}", target.table(tables::LANE), target.condition());
    match conn.query_first::<Option<u64>, _>(sql).await {
        Ok(newest) => Ok(newest.flatten().map(Epoch)),
        Err(error) if crate::schema::is_absent(&error) => Ok(None),
        Err(source) => Err(crate::Error::Query { doing: "read the newest epoch", source }),
    }
}

/// Lanes that have a row, ascending; empty when there are none, or no table.
pub async fn lanes_present(conn: &mut Conn, target: &FenceTarget) -> Result<Vec<u16>> {
    let sql = format!("SELECT lane FROM {} WHERE {} ORDER BY lane", target.table(tables::LANE), target.condition());
    match conn.query(sql).await {
        Ok(lanes) => Ok(lanes),
        Err(error) if crate::schema::is_absent(&error) => Ok(Vec::new()),
        Err(source) => Err(crate::Error::Query { doing: "read which lanes there are", source }),
    }
}

/// All rows of the subtask in ascending order, as they are; `None` as `lane` reads all.
pub(crate) async fn read(
    conn: &mut Conn,
    target: &FenceTarget,
    lane: Option<u16>,
    for_update: bool,
) -> std::result::Result<Vec<LaneRow>, ReadError> {
    let mut sql = format!("SELECT {COLUMNS} FROM {} WHERE {}", target.table(tables::LANE), target.condition());
    if let Some(lane) = lane {
        sql.push_str(&format!(" AND lane = {lane}"));
    }
    sql.push_str(" ORDER BY lane");
    if for_update {
        sql.push_str(" FOR UPDATE");
    }
    let rows: Vec<Row> = conn.query(sql).await.map_err(ReadError::Server)?;
    rows.into_iter().map(|row| decode(row, target.source_flavor).map_err(ReadError::Corrupt)).collect()
}

/// Reading rows fails at the server, or the rows are not ours to understand.
#[derive(Debug)]
pub(crate) enum ReadError {
    Server(mysql_async::Error),
    Corrupt(Error),
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Server(source) => Error::Query { doing: "read lane rows", source },
            ReadError::Corrupt(error) => error,
        }
    }
}

/// A column of a meta table, or what is wrong with it.
pub(crate) fn column<T: FromValue>(row: &Row, table: &'static str, at: usize, column: &'static str) -> Result<T> {
    match row.get_opt::<T, usize>(at) {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(Error::CorruptMeta { table, column, text: format!("{:?}", error.0) }),
        None => Err(Error::CorruptMeta { table, column, text: "nothing".to_owned() }),
    }
}

pub(crate) fn gtid(text: Option<String>, flavor: Flavor, table: &'static str) -> Result<Option<GtidSet>> {
    text.map(|text| GtidSet::parse(flavor, &text)).transpose().map_err(|error| Error::CorruptMeta {
        table,
        column: "gtid",
        text: error.text,
    })
}

fn decode(row: Row, flavor: Flavor) -> Result<LaneRow> {
    const TABLE: &str = tables::LANE;
    let low = UnitNumber(column(&row, TABLE, 4, "low")?);
    let done: Vec<u8> = column(&row, TABLE, 8, "done")?;
    let consistency: String = column(&row, TABLE, 13, "consistency")?;
    Ok(LaneRow {
        lane: column(&row, TABLE, 0, "lane")?,
        cluster_id: ClusterId(column(&row, TABLE, 1, "cluster_id")?),
        epoch: Epoch(column(&row, TABLE, 2, "epoch")?),
        seq: column(&row, TABLE, 3, "seq")?,
        low,
        low_location: Location::new(
            BinlogPosition::new(
                column::<Option<String>>(&row, TABLE, 5, "low_file")?.unwrap_or_default(),
                column::<Option<u64>>(&row, TABLE, 6, "low_off")?.unwrap_or_default(),
            ),
            gtid(column(&row, TABLE, 7, "low_gtid")?, flavor, TABLE)?,
        ),
        done: Window::decode(&done, low).map_err(|error| Error::CorruptMeta {
            table: TABLE,
            column: "done",
            text: error.to_string(),
        })?,
        done_gtid: gtid(column(&row, TABLE, 9, "done_gtid")?, flavor, TABLE)?,
        source_uuid: column::<Option<String>>(&row, TABLE, 10, "source_uuid")?.unwrap_or_default(),
        src_ts: column::<Option<i64>>(&row, TABLE, 11, "src_ts")?.map(UnixMillis),
        batch_crc: column(&row, TABLE, 12, "batch_crc")?,
        slicing: Slicing {
            consistency: Consistency::parse(&consistency).ok_or(Error::CorruptMeta {
                table: TABLE,
                column: "consistency",
                text: consistency,
            })?,
            slice_rows: column(&row, TABLE, 14, "slice_rows")?,
        },
    })
}

/// The guard of every UPDATE of a lane row.
fn guard(target: &FenceTarget, lane: u16, seq: u64) -> String {
    format!("WHERE {} AND lane = {lane} AND epoch = {} AND seq = {seq}", target.condition(), target.epoch)
}

/// The UPDATE that leads a transaction. `seq` is what the row carries now.
pub(crate) fn update_sql(target: &FenceTarget, update: &FenceUpdate, seq: u64, batch_crc: u32) -> String {
    let location = &update.low_location;
    let gtid = location.gtid.as_ref().map(ToString::to_string);
    let done_gtid = update.done_gtid.as_ref().map(ToString::to_string);
    format!(
        "UPDATE {} SET seq = seq + 1, low = {}, low_file = {}, low_off = {}, low_gtid = {}, done = {}, done_gtid = {}, \
         source_uuid = {}, src_ts = {}, batch_crc = {batch_crc}, consistency = {}, slice_rows = {} {}",
        target.table(tables::LANE),
        update.low,
        literal(&location.position.file),
        location.position.offset,
        literal_or_null(gtid.as_deref()),
        binary(&update.done.encode(update.low)),
        literal_or_null(done_gtid.as_deref()),
        literal(&update.source_uuid),
        update.src_ts.map_or_else(|| "NULL".to_owned(), |ts| ts.to_string()),
        literal(update.slicing.consistency.as_str()),
        update.slicing.slice_rows,
        guard(target, update.lane, seq)
    )
}

/// The UPDATE that changes nothing but `seq`: an epoch check.
pub(crate) fn touch_sql(target: &FenceTarget, lane: u16, seq: u64, batch_crc: u32) -> String {
    let table = target.table(tables::LANE);
    format!("UPDATE {table} SET seq = seq + 1, batch_crc = {batch_crc} {}", guard(target, lane, seq))
}

/// The probe after a lost COMMIT: it keeps the checksum iff the transaction was found committed.
pub(crate) fn probe_sql(target: &FenceTarget, lane: u16, seq: u64, committed: bool) -> String {
    let table = target.table(tables::LANE);
    let checksum = if committed { "" } else { ", batch_crc = NULL" };
    format!("UPDATE {table} SET seq = seq + 1{checksum} {}", guard(target, lane, seq))
}

/// Sets our epoch in all rows of the subtask.
pub(crate) fn claim_sql(target: &FenceTarget) -> String {
    format!(
        "UPDATE {} SET cluster_id = {}, epoch = {}, seq = seq + 1, batch_crc = NULL WHERE {}",
        target.table(tables::LANE),
        literal(target.cluster_id.as_str()),
        target.epoch,
        target.condition()
    )
}

/// Inserts a first row.
pub(crate) fn insert_sql(target: &FenceTarget, row: &LaneRow) -> String {
    format!(
        "INSERT INTO {} (task, source, lane, cluster_id, epoch, seq, low, low_file, low_off, done, source_uuid, \
         consistency, slice_rows) VALUES ({}, {}, {}, {}, {}, {}, '', 0, '', '', {}, {})",
        target.table(tables::LANE),
        target.key(),
        row.lane,
        literal(target.cluster_id.as_str()),
        target.epoch,
        row.seq,
        row.low,
        literal(row.slicing.consistency.as_str()),
        row.slicing.slice_rows
    )
}
