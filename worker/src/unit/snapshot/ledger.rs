//! What of the plan is in the target: the rows of `dm_snapshot_chunk`, table by table.
//!
//! Owns what is left to do, the split of a half-copied chunk, and what sync has to skip. Pure: rows come from the target and go
//! there; this is their mirror. Fails on rows that are no plan.

use std::collections::BTreeMap;

use dm_ddl::table::Table;
use dm_model::{BinlogPosition, Location, TableName};
use dm_mysql::fence::chunk::{ChunkRow, ChunkState};
use dm_sync_core::chunk::{Chunk, bound::Bound, skip::SkipTest};

use super::error::Error;

/// All chunks of a subtask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    tables: BTreeMap<TableName, BTreeMap<u32, ChunkRow>>,
}

/// A chunk to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    /// As it will be stored when something of it is in the target.
    pub(super) row: ChunkRow,
    pub(super) chunk: Chunk,
    /// What the chunk was split off from, to be stored in the same transaction as the first of `row`.
    pub(super) split_from: Option<ChunkRow>,
}

/// Counts for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) n_rows: u64,
    pub(super) n_bytes: u64,
    pub(super) n_tables: u64,
    pub(super) n_tables_done: u64,
    pub(super) n_chunks: u64,
    pub(super) n_chunks_done: u64,
    /// By name.
    pub(super) tables: Vec<TableCounts>,
}

/// Counts of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableCounts {
    pub(super) table: TableName,
    pub(super) n_rows: u64,
    pub(super) n_bytes: u64,
    pub(super) n_chunks: u64,
    pub(super) n_chunks_done: u64,
    /// Of the chunks that are done.
    pub(super) n_rows_done: u64,
}

impl Ledger {
    pub(super) fn new(rows: Vec<ChunkRow>) -> Self {
        let mut ledger = Self::default();
        rows.into_iter().for_each(|row| ledger.put(row));
        ledger
    }

    /// A row is in the target as this.
    pub(super) fn put(&mut self, row: ChunkRow) {
        self.tables.entry(row.table.clone()).or_default().insert(row.chunk, row);
    }

    pub(super) fn remove(&mut self, table: &TableName) {
        self.tables.remove(table);
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &TableName> {
        self.tables.keys()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    pub(super) fn is_done(&self, table: &TableName) -> bool {
        self.chunks(table).all(|row| row.state == ChunkState::Done)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.tables.keys().all(|table| self.is_done(table))
    }

    /// Something of the table may be in the target.
    pub(super) fn is_begun(&self, table: &TableName) -> bool {
        self.chunks(table).any(|row| row.state != ChunkState::Planned)
    }

    pub(super) fn is_any_begun(&self) -> bool {
        self.tables.keys().any(|table| self.is_begun(table))
    }

    /// A half-copied chunk of which nobody knows what is left.
    pub(super) fn must_begin_again(&self, table: &TableName) -> bool {
        self.chunks(table).any(|row| row.state == ChunkState::Copying && row.last_key.is_none())
    }

    /// The table's rows were read at more than one moment.
    pub(super) fn is_mixed(&self, table: &TableName) -> bool {
        let positions = self.chunks(table).filter_map(|row| row.snapshot.as_ref()).map(|location| &location.position);
        positions.collect::<std::collections::BTreeSet<_>>().len() > 1
    }

    /// The oldest and the newest moment of shards that share a target table, when there are several of both: a row that moved
    /// from shard to shard in between was read twice, or never, so no chunk tells which of its changes are in the target.
    pub(super) fn moments_of_shards(&self, shards: &[TableName]) -> Option<(BinlogPosition, BinlogPosition)> {
        if shards.len() < 2 {
            return None;
        }
        let rows = shards.iter().flat_map(|table| self.chunks(table));
        let positions: Vec<&BinlogPosition> =
            rows.filter_map(|row| row.snapshot.as_ref()).map(|location| &location.position).collect();
        let (oldest, newest) = (*positions.iter().min()?, *positions.iter().max()?);
        (oldest != newest).then(|| (oldest.clone(), newest.clone()))
    }

    /// What is left of a table, by number.
    pub(super) fn jobs(&self, table: &TableName) -> Result<Vec<Job>, Error> {
        let mut next = self.chunks(table).map(|row| row.chunk + 1).max().unwrap_or(0);
        let mut jobs = Vec::new();
        for row in self.chunks(table) {
            match (row.state, &row.last_key) {
                (ChunkState::Done, _) => {}
                (ChunkState::Planned, _) | (ChunkState::Copying, None) => {
                    jobs.push(Job { row: row.clone(), chunk: bounds(row)?, split_from: None });
                }
                (ChunkState::Copying, Some(last)) => {
                    let done = ChunkRow { upper_key: Some(last.clone()), state: ChunkState::Done, ..row.clone() };
                    let left = ChunkRow {
                        chunk: next,
                        lower_key: Some(last.clone()),
                        last_key: None,
                        state: ChunkState::Planned,
                        n_rows: 0,
                        n_bytes: 0,
                        snapshot: None,
                        ..row.clone()
                    };
                    next += 1;
                    jobs.push(Job { chunk: bounds(&left)?, row: left, split_from: Some(done) });
                }
            }
        }
        Ok(jobs)
    }

    /// Where the oldest row was read: what is later has to be replicated.
    pub(super) fn oldest(&self) -> Option<Location> {
        self.oldest_of(|_| true)
    }

    /// As [`oldest`](Self::oldest), of some tables.
    pub(super) fn oldest_of(&self, is_meant: impl Fn(&TableName) -> bool) -> Option<Location> {
        let begun = self.tables.iter().filter(|(table, _)| is_meant(table)).flat_map(|(_, rows)| rows.values());
        let positions = begun.filter(|row| row.state != ChunkState::Planned).filter_map(|row| row.snapshot.as_ref());
        positions.min_by(|a, b| a.position.cmp(&b.position)).cloned()
    }

    pub(super) fn newest(&self) -> Option<Location> {
        self.positions().max_by(|a, b| a.position.cmp(&b.position)).cloned()
    }

    /// The row-skip test of a table whose chunks are all done; `None` when there are none.
    ///
    /// `coupled` as in [`SkipTest::new`].
    pub(super) fn skip_test(
        &self,
        table: &TableName,
        structure: &Table,
        coupled: bool,
    ) -> Result<Option<SkipTest<BinlogPosition>>, Error> {
        let corrupt = || Error::Corrupt { table: table.clone() };
        let by_lower: BTreeMap<Option<&[u8]>, &ChunkRow> =
            self.chunks(table).map(|row| (row.lower_key.as_deref(), row)).collect();
        let mut chunks = Vec::with_capacity(by_lower.len());
        let mut lower: Option<&[u8]> = None;
        loop {
            if chunks.len() >= by_lower.len() {
                // no chunks, or a plan whose last chunk is closed
                break;
            }
            let row = by_lower.get(&lower).ok_or_else(corrupt)?;
            let position = row.snapshot.as_ref().ok_or_else(corrupt)?.position.clone();
            let upper = row.upper_key.as_deref();
            chunks.push((upper.map(Bound::decode).transpose().map_err(|_| corrupt())?, position));
            if upper.is_none() {
                break;
            }
            lower = upper;
        }
        if chunks.len() != self.chunks(table).count() {
            return Err(corrupt());
        }
        Ok(SkipTest::new(structure, coupled, chunks))
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (table, rows) in &self.tables {
            let mut of_table = TableCounts {
                table: table.clone(),
                n_rows: 0,
                n_bytes: 0,
                n_chunks: 0,
                n_chunks_done: 0,
                n_rows_done: 0,
            };
            for row in rows.values() {
                of_table.n_chunks += 1;
                of_table.n_rows += row.n_rows;
                of_table.n_bytes += row.n_bytes;
                if row.state == ChunkState::Done {
                    of_table.n_chunks_done += 1;
                    of_table.n_rows_done += row.n_rows;
                }
            }
            counts.n_tables += 1;
            counts.n_tables_done += u64::from(self.is_done(table));
            counts.n_chunks += of_table.n_chunks;
            counts.n_chunks_done += of_table.n_chunks_done;
            counts.n_rows += of_table.n_rows;
            counts.n_bytes += of_table.n_bytes;
            counts.tables.push(of_table);
        }
        counts
    }

    fn chunks(&self, table: &TableName) -> impl Iterator<Item = &ChunkRow> {
        self.tables.get(table).into_iter().flat_map(BTreeMap::values)
    }

    fn positions(&self) -> impl Iterator<Item = &Location> {
        let begun = self.tables.values().flat_map(BTreeMap::values).filter(|row| row.state != ChunkState::Planned);
        begun.filter_map(|row| row.snapshot.as_ref())
    }
}

/// Rows of a table's plan.
pub(super) fn planned(table: &TableName, chunks: &[Chunk]) -> Vec<ChunkRow> {
    let rows = chunks.iter().zip(0..).map(|(chunk, number)| ChunkRow {
        table: table.clone(),
        chunk: number,
        lower_key: chunk.lower.as_ref().map(Bound::encode),
        upper_key: chunk.upper.as_ref().map(Bound::encode),
        last_key: None,
        state: ChunkState::Planned,
        n_rows: 0,
        n_bytes: 0,
        snapshot: None,
    });
    rows.collect()
}

fn bounds(row: &ChunkRow) -> Result<Chunk, Error> {
    let bound = |key: &Option<Vec<u8>>| {
        key.as_deref().map(Bound::decode).transpose().map_err(|_| Error::Corrupt { table: row.table.clone() })
    };
    Ok(Chunk { lower: bound(&row.lower_key)?, upper: bound(&row.upper_key)? })
}

#[cfg(test)]
mod tests;
