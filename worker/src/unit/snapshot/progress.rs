//! What users see of a running copy. Pure: fed with counts and times.
//!
//! Totals are estimates until the copy is complete. Of a table of which chunks are done the number of rows is worked out from
//! those; before that the source's own guess stands. Bytes are what rows take as values of statements: how many there will
//! be follows from the rows that are written, so that done and total are of one measure.

use std::collections::{BTreeMap, VecDeque};

use dm_model::{Location, TableName};

use super::ledger::{Counts, TableCounts};
use crate::status::{LoadView, TableView};

/// Rates are taken over so many milliseconds.
const WINDOW_MS: u64 = 10_000;
/// Fewer chunks than this say little about a table.
const TELLING_CHUNKS: u64 = 3;
/// Fewer rows than this say little about how large they are.
const TELLING_ROWS: u64 = 20;
/// Tables shown one by one.
const MAX_TABLES: usize = 20;

#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Times and bytes, oldest first.
    seen: VecDeque<(u64, u64)>,
}

impl Meter {
    /// The view at `now_ms` of any clock that does not go back. `estimated`: rows and bytes that the source believes its tables
    /// have, bytes in its own form.
    pub(super) fn view(
        &mut self,
        now_ms: u64,
        counts: &Counts,
        estimated: &BTreeMap<TableName, (u64, u64)>,
        location: Location,
    ) -> LoadView {
        self.seen.push_back((now_ms, counts.n_bytes));
        while self.seen.len() > 2 && self.seen.get(1).is_some_and(|(at, _)| at + WINDOW_MS <= now_ms) {
            self.seen.pop_front();
        }
        let bps = match self.seen.front() {
            Some((at, bytes)) if *at < now_ms => counts.n_bytes.saturating_sub(*bytes) * 1000 / (now_ms - at),
            Some(_) | None => 0,
        };
        let total_rows = counts.tables.iter().map(|table| total_rows(table, estimated)).sum::<u64>().max(counts.n_rows);
        let total_bytes =
            counts.tables.iter().map(|table| total_bytes(table, estimated)).sum::<u64>().max(counts.n_bytes);
        LoadView {
            finished_bytes: counts.n_bytes,
            total_bytes,
            finished_rows: counts.n_rows,
            total_rows,
            finished_tables: counts.n_tables_done,
            total_tables: counts.n_tables,
            chunks_done: counts.n_chunks_done,
            chunks_total: counts.n_chunks,
            bps,
            eta_seconds: (bps > 0).then(|| total_bytes.saturating_sub(counts.n_bytes) / bps),
            location,
            tables: tables(counts, estimated),
        }
    }
}

/// What a table will have when it is copied.
fn total_rows(table: &TableCounts, estimated: &BTreeMap<TableName, (u64, u64)>) -> u64 {
    if table.n_chunks_done == table.n_chunks {
        return table.n_rows;
    }
    let total = if table.n_chunks_done >= TELLING_CHUNKS {
        scale(table.n_rows_done, table.n_chunks, table.n_chunks_done)
    } else {
        estimated.get(&table.table).map_or(0, |(rows, _)| *rows)
    };
    total.max(table.n_rows)
}

/// As values of statements, once enough rows were written to know their size.
fn total_bytes(table: &TableCounts, estimated: &BTreeMap<TableName, (u64, u64)>) -> u64 {
    if table.n_rows >= TELLING_ROWS || table.n_chunks_done == table.n_chunks {
        return scale(table.n_bytes, total_rows(table, estimated), table.n_rows).max(table.n_bytes);
    }
    estimated.get(&table.table).map_or(0, |(_, bytes)| *bytes).max(table.n_bytes)
}

/// `n * numerator / denominator`; the denominator is not 0.
fn scale(n: u64, numerator: u64, denominator: u64) -> u64 {
    u64::try_from(u128::from(n) * u128::from(numerator) / u128::from(denominator.max(1))).unwrap_or(u64::MAX)
}

/// Tables being copied first, then those that wait, then those that are done.
fn tables(counts: &Counts, estimated: &BTreeMap<TableName, (u64, u64)>) -> Vec<TableView> {
    let rank = |table: &TableCounts| match table {
        table if table.n_chunks_done == table.n_chunks => 2,
        table if table.n_rows > 0 || table.n_chunks_done > 0 => 0,
        _ => 1,
    };
    let mut tables: Vec<&TableCounts> = counts.tables.iter().collect();
    tables.sort_by_key(|table| rank(table));
    let view = |table: &TableCounts| TableView {
        table: table.table.clone(),
        finished_rows: table.n_rows,
        total_rows: total_rows(table, estimated),
        finished_bytes: table.n_bytes,
        chunks_done: table.n_chunks_done,
        chunks_total: table.n_chunks,
    };
    tables.into_iter().take(MAX_TABLES).map(view).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, n_rows: u64, n_chunks_done: u64) -> TableCounts {
        TableCounts {
            table: TableName::new("s", name),
            n_rows,
            n_bytes: n_rows * 10,
            n_chunks: 4,
            n_chunks_done,
            n_rows_done: n_rows,
        }
    }

    fn counts(tables: Vec<TableCounts>) -> Counts {
        Counts {
            n_rows: tables.iter().map(|table| table.n_rows).sum(),
            n_bytes: tables.iter().map(|table| table.n_bytes).sum(),
            n_tables: tables.len() as u64,
            n_tables_done: tables.iter().filter(|table| table.n_chunks_done == 4).count() as u64,
            n_chunks: tables.len() as u64 * 4,
            n_chunks_done: tables.iter().map(|table| table.n_chunks_done).sum(),
            tables,
        }
    }

    fn view(meter: &mut Meter, now_ms: u64, tables: Vec<TableCounts>) -> LoadView {
        let estimated = BTreeMap::from([(TableName::new("s", "t"), (100, 7_777))]);
        meter.view(now_ms, &counts(tables), &estimated, Location::default())
    }

    #[test]
    fn the_rate_is_recent_and_tells_when_it_ends() {
        let mut meter = Meter::default();
        let first = view(&mut meter, 0, vec![table("t", 0, 0)]);
        assert_eq!((first.eta_seconds, first.total_rows, first.total_bytes), (None, 100, 7_777));
        let next = view(&mut meter, 2_000, vec![table("t", 20, 1)]);
        assert_eq!((next.total_rows, next.total_bytes), (100, 1_000), "bytes as they are written");
        assert_eq!((next.bps, next.eta_seconds), (100, Some(8)));
        view(&mut meter, 11_000, vec![table("t", 20, 1)]);
        let still = view(&mut meter, 30_000, vec![table("t", 20, 1)]);
        assert_eq!((still.bps, still.eta_seconds), (0, None), "nothing moved for longer than the window");
    }

    #[test]
    fn chunks_that_are_done_say_more_than_the_source() {
        let view = view(&mut Meter::default(), 0, vec![table("t", 600, 3)]);
        assert_eq!((view.total_rows, view.total_bytes), (800, 8_000));
    }

    #[test]
    fn low_guesses_never_show_more_than_all_and_done_is_done() {
        let more = view(&mut Meter::default(), 0, vec![table("t", 500, 2)]);
        assert_eq!(more.total_rows, 500);
        let done = view(&mut Meter::default(), 0, vec![table("t", 50, 4)]);
        assert_eq!((done.total_rows, done.total_bytes), (50, 500));
    }

    #[test]
    fn tables_being_copied_come_first() {
        let view = view(&mut Meter::default(), 0, vec![table("a", 5, 4), table("b", 0, 0), table("c", 5, 1)]);
        let names: Vec<_> = view.tables.iter().map(|table| table.table.table.as_str()).collect();
        assert_eq!(names, ["c", "b", "a"]);
    }
}
