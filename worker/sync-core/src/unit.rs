//! Units: what is applied as a whole, and how source transactions become numbered units.
//!
//! Every source transaction and DDL is counted before any filter. A transaction of more than `slice_rows` raw source
//! rows becomes several units, cut at fixed counts of rows, so that the same stream is always numbered in the same way.
//! Never decides what a row becomes.

use std::collections::BTreeSet;

use dm_fence::UnitNumber;
use dm_model::{BinlogPosition, UnixMillis, gtid::Gtid};

use crate::{
    change::RowChange,
    graph::{Access, Resource},
};

/// A unit of row changes that waits for its commit.
#[derive(Debug)]
pub struct Unit {
    pub changes: Vec<RowChange>,
    pub n_bytes: usize,
    pub safe: bool,
    pub start: BinlogPosition,
    pub end: BinlogPosition,
    pub gtid: Option<Gtid>,
    pub src_ts: Option<UnixMillis>,
}

/// The unit that is being read, and the count that numbers units.
#[derive(Debug)]
pub struct Intake {
    slice_rows: u32,
    next: UnitNumber,
    transaction_first: UnitNumber,
    n_raw_rows: u32,
    changes: Vec<RowChange>,
    n_bytes: usize,
    uses: BTreeSet<(Resource, Access)>,
    safe: bool,
    /// An earlier slice of this transaction has changes.
    has_earlier_changes: bool,
}

/// The changes of a finished unit.
#[derive(Debug, Default)]
pub struct Collected {
    pub changes: Vec<RowChange>,
    pub n_bytes: usize,
    pub uses: Vec<(Resource, Access)>,
    /// Some change must be written in safe mode.
    pub safe: bool,
}

impl Collected {
    /// Every key of every change, sorted, each once.
    pub fn keys(&self) -> Vec<u64> {
        let mut keys: Vec<u64> = self.changes.iter().flat_map(|change| change.keys().iter().copied()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

impl Intake {
    /// The stream's next unit is `low + 1`.
    pub fn new(low: UnitNumber, slice_rows: u32) -> Self {
        Self {
            slice_rows: slice_rows.max(1),
            next: low.next(),
            transaction_first: low.next(),
            n_raw_rows: 0,
            changes: Vec::new(),
            n_bytes: 0,
            uses: BTreeSet::new(),
            safe: false,
            has_earlier_changes: false,
        }
    }

    /// The number of the unit that is being read.
    pub fn current(&self) -> UnitNumber {
        self.next
    }

    /// The number of the first unit of the transaction that is being read.
    pub fn transaction_first(&self) -> UnitNumber {
        self.transaction_first
    }

    /// Goes back to the start of the transaction that is being read; it comes again.
    pub fn rewind(&mut self) {
        self.next = self.transaction_first;
        self.clear();
        self.has_earlier_changes = false;
    }

    /// True when one more row belongs to another slice.
    pub fn is_full(&self) -> bool {
        self.n_raw_rows >= self.slice_rows
    }

    /// Counts one raw row of the source, whatever becomes of it.
    pub fn count_row(&mut self) {
        self.n_raw_rows += 1;
    }

    /// How many more rows the unit takes.
    pub fn n_free_rows(&self) -> u32 {
        self.slice_rows.saturating_sub(self.n_raw_rows)
    }

    pub fn n_raw_rows(&self) -> u32 {
        self.n_raw_rows
    }

    pub fn push(&mut self, change: RowChange, uses: [Resource; 2], safe: bool) {
        self.safe |= safe;
        self.n_bytes += change.n_bytes();
        self.changes.push(change);
        self.uses.extend(uses.map(|resource| (resource, Access::Shared)));
    }

    /// True when this transaction has anything to apply so far.
    pub fn has_changes(&self) -> bool {
        self.has_earlier_changes || !self.changes.is_empty()
    }

    /// Ends the unit inside its transaction; the next one begins.
    pub fn cut(&mut self) -> (UnitNumber, Collected) {
        self.has_earlier_changes |= !self.changes.is_empty();
        let unit = self.next;
        self.next = unit.next();
        (unit, self.clear())
    }

    /// Ends the unit and its transaction.
    pub fn end(&mut self) -> (UnitNumber, Collected) {
        let ended = self.cut();
        self.transaction_first = self.next;
        self.has_earlier_changes = false;
        ended
    }

    fn clear(&mut self) -> Collected {
        self.n_raw_rows = 0;
        Collected {
            changes: std::mem::take(&mut self.changes),
            n_bytes: std::mem::take(&mut self.n_bytes),
            uses: std::mem::take(&mut self.uses).into_iter().collect(),
            safe: std::mem::take(&mut self.safe),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_cut_at_fixed_counts_of_raw_rows() {
        let mut intake = Intake::new(UnitNumber(7), 3);
        for _ in 0..3 {
            assert!(!intake.is_full());
            intake.count_row();
        }
        assert!(intake.is_full());
        assert_eq!(intake.cut().0, UnitNumber(8));
        intake.count_row();
        assert_eq!((intake.n_free_rows(), intake.transaction_first()), (2, UnitNumber(8)));
        assert_eq!(intake.end().0, UnitNumber(9));
        assert_eq!(intake.transaction_first(), UnitNumber(10));
    }

    #[test]
    fn a_transaction_read_again_is_numbered_again() {
        let mut intake = Intake::new(UnitNumber(0), 1);
        intake.end();
        intake.cut();
        intake.cut();
        intake.rewind();
        assert_eq!(intake.current(), UnitNumber(2));
    }
}
