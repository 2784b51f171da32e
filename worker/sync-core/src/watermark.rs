//! How far a subtask is: `low`, the units above it, and where the stream goes on after `low`.
//!
//! The pair (number, location) must name the same place, or a restart would number the stream differently. A number in
//! the middle of a sliced transaction has no location to resume from, so `low` only ever stands at a transaction's end.
//! What is *reported* is not this value but what an acknowledged lane row holds (data-plane.md 4.1 rule 9).

use std::collections::VecDeque;

use dm_fence::UnitNumber;
use dm_model::{BinlogPosition, Location, UnixMillis, gtid::Gtid};

/// The end of a source transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Boundary {
    pub position: BinlogPosition,
    pub gtid: Option<Gtid>,
}

/// Whether a unit has anything to do in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    Pending,
    /// In the target, or nothing of it goes there.
    Committed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Entry {
    standing: Standing,
    boundary: Option<Boundary>,
    src_ts: Option<UnixMillis>,
}

impl Entry {
    /// It ends its transaction.
    fn is_end(&self) -> bool {
        #[cfg(test)]
        if crate::mutants::is(crate::mutants::Mutant::LowInsideTransaction) {
            return true;
        }
        self.boundary.is_some()
    }
}

/// The watermark in memory. Its window is bounded by whoever registers units.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Watermark {
    low: UnitNumber,
    location: Location,
    src_ts: Option<UnixMillis>,
    above: VecDeque<Entry>,
}

impl Watermark {
    /// Everything up to `low` is committed and the stream goes on at `location`.
    pub fn new(low: UnitNumber, location: Location, src_ts: Option<UnixMillis>) -> Self {
        Self { low, location, src_ts, above: VecDeque::new() }
    }

    pub fn low(&self) -> UnitNumber {
        self.low
    }

    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Source time of the unit `low`.
    pub fn src_ts(&self) -> Option<UnixMillis> {
        self.src_ts
    }

    /// The newest registered unit; `low` when there is none above it.
    pub fn last(&self) -> UnitNumber {
        UnitNumber(self.low.0 + self.above.len() as u64)
    }

    /// Source time of the oldest unit that is not committed.
    pub fn oldest_pending(&self) -> Option<UnixMillis> {
        self.above.iter().find(|entry| entry.standing == Standing::Pending).and_then(|entry| entry.src_ts)
    }

    /// True when every registered unit is committed.
    pub fn is_settled(&self) -> bool {
        self.above.iter().all(|entry| entry.standing == Standing::Committed)
    }

    /// Registers the unit after [`last`](Self::last) and returns its number. `boundary` is given for the last unit of
    /// a transaction, and only for that.
    pub fn register(
        &mut self,
        standing: Standing,
        boundary: Option<Boundary>,
        src_ts: Option<UnixMillis>,
    ) -> UnitNumber {
        self.above.push_back(Entry { standing, boundary, src_ts });
        let unit = self.last();
        self.advance();
        unit
    }

    /// Counts a unit as committed. Numbers at or below `low`, unknown and repeated ones change nothing.
    pub fn commit(&mut self, unit: UnitNumber) {
        let Some(idx) = unit.0.checked_sub(self.low.0 + 1) else { return };
        let Some(entry) = usize::try_from(idx).ok().and_then(|idx| self.above.get_mut(idx)) else { return };
        entry.standing = Standing::Committed;
        self.advance();
    }

    /// The stream went on to `position` without a unit (another file, an ignored event between transactions).
    pub fn pass(&mut self, position: BinlogPosition) {
        match self.above.back_mut() {
            None => self.location.position = position,
            Some(Entry { boundary: Some(boundary), .. }) => boundary.position = position,
            // Inside a sliced transaction: there is no place to move.
            Some(Entry { boundary: None, .. }) => {}
        }
    }

    #[cfg(test)]
    fn n_passed_by_mutant(&self, n_committed: usize) -> usize {
        let passes = crate::mutants::is(crate::mutants::Mutant::LowPassesPending);
        let is_committed = |entry: &Entry| entry.standing == Standing::Committed;
        if passes { self.above.iter().rposition(is_committed).map_or(0, |last| last + 1) } else { n_committed }
    }

    fn advance(&mut self) {
        let n_committed = self.above.iter().take_while(|entry| entry.standing == Standing::Committed).count();
        #[cfg(test)]
        let n_committed = self.n_passed_by_mutant(n_committed);
        let Some(n_passed) =
            (0..n_committed).rev().find(|idx| self.above.get(*idx).is_some_and(Entry::is_end)).map(|idx| idx + 1)
        else {
            return;
        };
        for entry in self.above.drain(..n_passed) {
            self.low = self.low.next();
            self.src_ts = entry.src_ts.or(self.src_ts);
            if let Some(Boundary { position, gtid }) = entry.boundary {
                self.location.position = position;
                if let (Some(set), Some(gtid)) = (&mut self.location.gtid, &gtid) {
                    // A GTID of the other flavor cannot come: the decoder and the set share one flavor.
                    let _is_same_flavor = set.insert(gtid);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dm_model::{Flavor, GtidSet};

    use super::*;

    fn at(offset: u64) -> Option<Boundary> {
        Some(Boundary { position: BinlogPosition::new("b.000001", offset), gtid: None })
    }

    fn start() -> Watermark {
        Watermark::new(UnitNumber(10), Location::new(BinlogPosition::new("b.000001", 4), None), None)
    }

    #[test]
    fn low_waits_for_the_oldest_pending_unit() {
        let mut mark = start();
        let a = mark.register(Standing::Pending, at(100), Some(UnixMillis(1)));
        let b = mark.register(Standing::Pending, at(200), Some(UnixMillis(2)));
        mark.register(Standing::Committed, at(300), Some(UnixMillis(3)));
        mark.commit(b);
        assert_eq!((mark.low(), mark.oldest_pending()), (UnitNumber(10), Some(UnixMillis(1))));
        mark.commit(a);
        assert_eq!((mark.low(), mark.location().position.offset), (UnitNumber(13), 300));
        assert!(mark.is_settled());
    }

    #[test]
    fn low_never_stands_inside_a_sliced_transaction() {
        let mut mark = start();
        let slice = mark.register(Standing::Pending, None, None);
        mark.commit(slice);
        mark.pass(BinlogPosition::new("b.000001", 999));
        assert_eq!((mark.low(), mark.location().position.offset), (UnitNumber(10), 4));
        let last = mark.register(Standing::Pending, at(500), None);
        mark.commit(last);
        assert_eq!((mark.low(), mark.location().position.offset), (UnitNumber(12), 500));
    }

    #[test]
    fn a_rotation_moves_the_location_of_the_last_unit() {
        let mut mark = start();
        mark.pass(BinlogPosition::new("b.000002", 4));
        assert_eq!(mark.location().position.file, "b.000002");
        let unit = mark.register(Standing::Pending, at(100), None);
        mark.pass(BinlogPosition::new("b.000003", 4));
        mark.commit(unit);
        assert_eq!(mark.location().position.file, "b.000003");
    }

    #[test]
    fn gtids_join_the_set_only_when_low_passes_them() {
        let empty = GtidSet::empty(Flavor::MariaDb);
        let mut mark =
            Watermark::new(UnitNumber(0), Location::new(BinlogPosition::new("b.000001", 4), Some(empty)), None);
        let gtid = |seq| {
            let GtidSet::MariaDb(set) = GtidSet::parse(Flavor::MariaDb, &format!("0-1-{seq}")).unwrap() else {
                panic!()
            };
            Gtid::MariaDb(*set.iter().next().unwrap())
        };
        let boundary =
            |seq, offset| Some(Boundary { position: BinlogPosition::new("b.000001", offset), gtid: Some(gtid(seq)) });
        let first = mark.register(Standing::Pending, boundary(1, 100), None);
        let second = mark.register(Standing::Pending, boundary(2, 200), None);
        mark.commit(second);
        assert!(mark.location().gtid.as_ref().unwrap().is_empty());
        mark.commit(first);
        assert_eq!(mark.location().gtid.as_ref().unwrap().to_string(), "0-1-2");
    }
}
