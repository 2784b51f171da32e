//! Units: what is applied as a whole, and how source transactions become numbered units.
//!
//! Every source transaction and DDL is counted before any filter. A transaction of more than `slice_rows` raw source
//! rows, or of more than `slice_bytes` of row images, becomes several units, cut at fixed counts, so that the same stream
//! is always numbered in the same way. Never decides what a row becomes.

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

/// When a unit is full. Part of how a stream is numbered: one subtask keeps its sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    pub n_rows: u32,
    /// Bytes of row images as the source sends them, unpacked.
    pub n_bytes: u64,
}

/// What of the source is in the unit that is being read, filtered rows included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Raw {
    n_rows: u32,
    n_bytes: u64,
}

/// Counts on from a unit without changing it: where would rows that come now be cut?
#[derive(Debug, Clone, Copy)]
pub struct Foresight {
    slice: Slice,
    raw: Raw,
    /// Cuts so far.
    pub n_cuts: u64,
}

impl Foresight {
    pub fn count_row(&mut self, n_bytes: u64) {
        if is_full(self.slice, self.raw) {
            self.n_cuts += 1;
            self.raw = Raw::default();
        }
        self.raw = self.raw.with(n_bytes);
    }
}

impl Raw {
    fn with(self, n_bytes: u64) -> Self {
        Self { n_rows: self.n_rows.saturating_add(1), n_bytes: self.n_bytes.saturating_add(n_bytes) }
    }
}

fn is_full(slice: Slice, raw: Raw) -> bool {
    raw.n_rows >= slice.n_rows || raw.n_bytes >= slice.n_bytes
}

/// The unit that is being read, and the count that numbers units.
#[derive(Debug)]
pub struct Intake {
    slice: Slice,
    next: UnitNumber,
    transaction_first: UnitNumber,
    raw: Raw,
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
    pub fn new(low: UnitNumber, slice: Slice) -> Self {
        Self {
            slice: Slice { n_rows: slice.n_rows.max(1), n_bytes: slice.n_bytes.max(1) },
            next: low.next(),
            transaction_first: low.next(),
            raw: Raw::default(),
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
        is_full(self.slice, self.raw)
    }

    /// True when it is full of bytes and not of rows.
    pub fn is_full_of_bytes(&self) -> bool {
        self.is_full() && self.raw.n_rows < self.slice.n_rows
    }

    /// Counts one raw row of the source, whatever becomes of it; `n_bytes` is what its images take in the event.
    pub fn count_row(&mut self, n_bytes: u64) {
        self.raw = self.raw.with(n_bytes);
    }

    /// True when the unit that is being read has rows, filtered ones included.
    pub fn has_rows(&self) -> bool {
        self.raw.n_rows > 0
    }

    pub fn foresight(&self) -> Foresight {
        Foresight { slice: self.slice, raw: self.raw, n_cuts: 0 }
    }

    /// Memory held by the changes of the unit that is being read.
    pub fn n_bytes(&self) -> usize {
        self.n_bytes
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
        self.raw = Raw::default();
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

    const SLICE: Slice = Slice { n_rows: 3, n_bytes: 100 };

    #[test]
    fn slices_are_cut_at_fixed_counts_of_raw_rows() {
        let mut intake = Intake::new(UnitNumber(7), SLICE);
        for _ in 0..3 {
            assert!(!intake.is_full());
            intake.count_row(1);
        }
        assert!(intake.is_full() && !intake.is_full_of_bytes());
        assert_eq!(intake.cut().0, UnitNumber(8));
        intake.count_row(1);
        assert_eq!(intake.transaction_first(), UnitNumber(8));
        assert_eq!(intake.end().0, UnitNumber(9));
        assert_eq!(intake.transaction_first(), UnitNumber(10));
    }

    #[test]
    fn wide_rows_are_cut_by_their_bytes_as_foreseen() {
        let mut intake = Intake::new(UnitNumber(0), SLICE);
        let sizes = [60, 60, 1, 1, 1, 1, 500, 1];
        let mut foresight = intake.foresight();
        let mut n_cuts = 0;
        for size in sizes {
            foresight.count_row(size);
            if intake.is_full() {
                intake.cut();
                n_cuts += 1;
            }
            intake.count_row(size);
            assert_eq!(foresight.n_cuts, n_cuts);
        }
        assert_eq!((n_cuts, intake.current()), (3, UnitNumber(4)));
    }

    #[test]
    fn a_transaction_read_again_is_numbered_again() {
        let mut intake = Intake::new(UnitNumber(0), SLICE);
        intake.end();
        intake.cut();
        intake.cut();
        intake.rewind();
        assert_eq!(intake.current(), UnitNumber(2));
    }
}
