//! Splits a table with an integer key by the server's estimates of ranges.
//!
//! Equal ranges are not equal chunks: keys have holes, and most rows may be in a corner. So the key's range is cut into cells
//! until each is expected to hold at most half a chunk (holes are cut away by asking for the smallest and largest key), and
//! cells are joined to chunks. Owns the dialogue and its length; never runs it. Questions grow with the number of chunks, not of
//! rows. Cannot fail: an answer that is missing is replaced by the share that the range has of what holds it.

use dm_ddl::table::Table;
use dm_model::TableName;

use super::{Chunk, ChunkKey, Estimate, MAX_CHUNKS, bound::Bound, from_bounds, select};

/// The dialogue of one table. Ask [`question`](Self::question), give the numbers of its only row to [`answer`](Self::answer), until
/// there is no question.
#[derive(Debug)]
pub struct Ranges<'a> {
    name: &'a TableName,
    table: &'a Table,
    key: &'a ChunkKey,
    estimate: Estimate,
    /// Rows of a chunk.
    wanted: u64,
    /// What is still to be looked at, the lowest keys on top.
    open: Vec<Open>,
    /// What was looked at, ascending.
    cells: Vec<Cell>,
    is_begun: bool,
    n_questions: u64,
}

/// Keys from `low` to `high`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    low: i128,
    high: i128,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// How many rows? `guess`: what its width says.
    Count { range: Range, guess: u64 },
    /// Too many for a cell: where do its keys begin and end?
    Tighten { range: Range, n_rows: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    high: i128,
    n_rows: u64,
}

/// What a question asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The row's two numbers, or NULLs.
    MinMax(Vec<u8>),
    /// The number in the row's column `rows`, or NULL.
    Rows(Vec<u8>),
}

impl<'a> Ranges<'a> {
    /// At most so many parts of a range are looked at together.
    const MAX_PARTS: u64 = 64;

    /// `estimate`: what the server believes of the whole table; `chunk_bytes`: the size of a chunk.
    pub fn new(name: &'a TableName, table: &'a Table, key: &'a ChunkKey, estimate: Estimate, chunk_bytes: u64) -> Self {
        Self {
            name,
            table,
            key,
            estimate,
            wanted: estimate.chunk_rows(chunk_bytes),
            open: Vec::new(),
            cells: Vec::new(),
            is_begun: false,
            n_questions: 0,
        }
    }

    pub fn question(&self) -> Option<Question> {
        let Self { name, table, key, .. } = *self;
        if !self.is_begun {
            return Some(Question::MinMax(select::min_max(name, table, key)));
        }
        Some(match self.open.last()? {
            Open::Count { range, .. } => Question::Rows(select::expected_rows(name, table, key, range.low, range.high)),
            Open::Tighten { range, .. } => {
                Question::MinMax(select::min_max_in(name, table, key, range.low, range.high))
            }
        })
    }

    /// The numbers of the answer: two for [`Question::MinMax`], one for [`Question::Rows`]; `None` for what is no number.
    pub fn answer(&mut self, numbers: &[Option<i128>]) {
        let pair = || match numbers {
            [Some(low), Some(high)] if low <= high => Some(Range { low: *low, high: *high }),
            _ => None,
        };
        if !self.is_begun {
            self.is_begun = true;
            if let Some(range) = pair() {
                self.open.push(Open::Count { range, guess: self.estimate.n_rows });
            }
            return;
        }
        self.n_questions += 1;
        match self.open.pop() {
            Some(Open::Count { range, guess }) => {
                let n_rows = match numbers {
                    [Some(n_rows)] => u64::try_from(*n_rows).unwrap_or(0),
                    _ if numbers.is_empty() => guess,
                    _ => 0,
                };
                // There are never more rows than keys.
                let n_rows = n_rows.min(range.width());
                let is_whole = self.cells.is_empty() && self.open.is_empty();
                let n_rows = if is_whole { n_rows.max(self.estimate.n_rows.min(range.width())) } else { n_rows };
                let is_small = if is_whole { n_rows <= self.wanted } else { n_rows <= self.cell_rows() };
                if is_small || range.width() == 1 || self.is_exhausted() {
                    self.cells.push(Cell { high: range.high, n_rows });
                } else if is_whole {
                    self.split(range, n_rows);
                } else {
                    self.open.push(Open::Tighten { range, n_rows });
                }
            }
            Some(Open::Tighten { range, n_rows }) => match pair() {
                Some(found) => self.split(found, n_rows.min(found.width())),
                // The estimate was of rows that are gone, or the answer is missing.
                None => self.cells.push(Cell { high: range.high, n_rows: if numbers.is_empty() { n_rows } else { 0 } }),
            },
            None => {}
        }
    }

    fn split(&mut self, range: Range, n_rows: u64) {
        let n_parts = n_rows.div_ceil(self.cell_rows()).clamp(2, Self::MAX_PARTS).min(range.width());
        let guess = n_rows / n_parts.max(1);
        let (n, width) = (i128::from(n_parts), range.high.saturating_sub(range.low).saturating_add(1));
        // The k-th bound lies at low + width·k/n, so what does not divide is spread.
        let high_of = |k: i128| range.low - 1 + (width / n) * k + (width % n) * k / n;
        for k in (1..=n).rev() {
            let part = Range { low: high_of(k - 1) + 1, high: high_of(k) };
            self.open.push(Open::Count { range: part, guess });
        }
    }

    /// Rows of a cell at most: small enough that chunks made of them are balanced.
    fn cell_rows(&self) -> u64 {
        (self.wanted / 2).max(1)
    }

    /// A table is not asked about for longer than this, however its keys lie.
    fn is_exhausted(&self) -> bool {
        let n_chunks = (self.estimate.n_rows / self.wanted).min(MAX_CHUNKS);
        self.n_questions > 1_000 + 16 * n_chunks
    }

    /// The chunks, when there is no question left. No rows: one open chunk.
    pub fn finish(self) -> Vec<Chunk> {
        let n_rows: u64 = self.cells.iter().map(|cell| cell.n_rows).fold(0, u64::saturating_add);
        // Servers count wide ranges up to twice; the table's own estimate may be old.
        let n_believed = self.estimate.n_rows.clamp(n_rows / 2, n_rows.max(1));
        let n_chunks = n_believed.div_ceil(self.wanted).clamp(1, MAX_CHUNKS);
        let wanted = n_rows.div_ceil(n_chunks).max(1);
        let mut bounds: Vec<i128> = Vec::new();
        let mut held: Option<Cell> = None;
        for cell in &self.cells {
            held = Some(match held {
                // Closed before this cell when that is nearer to what is wanted.
                Some(so_far) if so_far.n_rows.saturating_add(cell.n_rows / 2) >= wanted => {
                    bounds.push(so_far.high);
                    *cell
                }
                Some(so_far) => Cell { high: cell.high, n_rows: so_far.n_rows.saturating_add(cell.n_rows) },
                None => *cell,
            });
        }
        if let Some(rest) = held {
            // A rest that is no chunk joins the one before it.
            if rest.n_rows < wanted / 3 {
                bounds.pop();
            }
            bounds.push(rest.high);
        }
        from_bounds(bounds.into_iter().map(Bound::of_integer).collect())
    }
}

impl Range {
    fn width(self) -> u64 {
        u64::try_from(self.high.saturating_sub(self.low).saturating_add(1)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
