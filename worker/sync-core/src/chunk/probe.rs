//! Splits a table by asking the server for every n-th key.
//!
//! Owns the dialogue: a question at a time, the answer decides the next. Never runs it. Fails on answers that are no keys.

use dm_ddl::table::Table;
use dm_model::TableName;

use super::{
    Chunk, ChunkKey, Error, MAX_CHUNKS,
    bound::Bound,
    copy::{TextColumn, key_bound, key_plans},
    from_bounds, select,
};

/// The dialogue of one table. Ask [`question`](Self::question), give its only row (or none) to [`answer`](Self::answer), until there is no question.
#[derive(Debug)]
pub struct Probes<'a> {
    name: &'a TableName,
    table: &'a Table,
    key: &'a ChunkKey,
    filter: Option<&'a str>,
    n_rows: u64,
    columns: Vec<TextColumn>,
    bounds: Vec<Bound>,
    next: Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Probe,
    Last,
    Done,
}

impl<'a> Probes<'a> {
    /// `n_rows`: rows of a chunk, see [`Estimate::chunk_rows`](super::Estimate::chunk_rows).
    pub fn new(name: &'a TableName, table: &'a Table, key: &'a ChunkKey, filter: Option<&'a str>, n_rows: u64) -> Self {
        let columns = key_plans(table, key);
        Self { name, table, key, filter, n_rows: n_rows.max(1), columns, bounds: Vec::new(), next: Next::Probe }
    }

    pub fn question(&self) -> Option<Vec<u8>> {
        match self.next {
            Next::Probe => {
                Some(select::probe(self.name, self.table, self.key, self.filter, self.bounds.last(), self.n_rows))
            }
            Next::Last => Some(select::last_key(self.name, self.table, self.key, self.filter)),
            Next::Done => None,
        }
    }

    pub fn answer(&mut self, row: Option<&[Option<&[u8]>]>) -> Result<(), Error> {
        let bound = row.map(|row| key_bound(&self.columns, row)).transpose()?;
        let may_go_on = (self.bounds.len() as u64) < MAX_CHUNKS;
        self.next = match (self.next, bound) {
            (Next::Probe, Some(bound)) => {
                self.bounds.push(bound);
                if may_go_on { Next::Probe } else { Next::Last }
            }
            (Next::Probe, None) => Next::Last,
            (Next::Last, bound) => {
                // The last probe may have met the last key.
                self.bounds.extend(bound.filter(|bound| self.bounds.last() != Some(bound)));
                Next::Done
            }
            (Next::Done, _) => Next::Done,
        };
        Ok(())
    }

    /// The chunks, when there is no question left; asked for earlier, fewer and larger ones.
    pub fn finish(self) -> Vec<Chunk> {
        from_bounds(self.bounds)
    }
}
