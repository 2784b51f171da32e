//! The lanes: which are open, what each is busy with, and what each lane's row will say next.
//!
//! The row itself (epoch, seq, window) is held by whoever owns the connection; here is what a transaction adds to it.
//! All writes to a lane's row go one after the other through that lane. Never decides which units go where.

use std::collections::{BTreeMap, BTreeSet};

use dm_fence::{LaneRow, Progress, UnitNumber};
use dm_model::{BinlogPosition, Flavor, GtidSet, UnixMillis, gtid::Gtid};

use crate::{batch::BatchId, engine::Reached, watermark::Watermark};

/// What a lane is doing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Work {
    Opening,
    Free,
    Fold(Fold),
    Idle { batch: BatchId },
    Ddl { unit: UnitNumber, piece: u32 },
}

/// A fold on its way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fold {
    pub batch: BatchId,
    pub units: Vec<UnitNumber>,
    pub n_rows: usize,
    pub n_bytes: usize,
    /// Start of its first unit and end of its last one.
    pub start: BinlogPosition,
    pub end: BinlogPosition,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Lane {
    work: Work,
    /// What its row will hold when the current transaction is acknowledged.
    promised: Option<Reached>,
    /// GTIDs of the units above `low` that this lane committed or is committing.
    gtids: BTreeMap<UnitNumber, Gtid>,
}

/// What a lane row from before this engine says about its window.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Inherited {
    last: UnitNumber,
    gtids: GtidSet,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lanes {
    lanes: Vec<Lane>,
    n_max: u16,
    inherited: BTreeMap<u16, Inherited>,
    server_uuid: String,
    /// The newest watermark of an acknowledged lane row.
    reached: Reached,
    /// The newest watermark that was handed to any lane; `None` when no row holds a location yet.
    sent: Option<Reached>,
    next_batch: u64,
}

/// How many lanes are used at most where a task allows `n_max`.
///
/// A fold holds up to [`MAX_GROWTH`](crate::fold::MAX_GROWTH) batches, so a quarter of the lanes carries twice the rows that
/// all of them would carry one batch each, with fewer commits. More lanes than that only make the target's threads wait for
/// each other: measured, a row then costs it twice as much.
fn n_used(n_max: u16) -> u16 {
    n_max.clamp(1, (n_max / 4).max(4))
}

impl Lanes {
    /// No lane is open; `rows` are the lane rows as takeover found them, `reached` the resume point they add up to.
    pub fn new(n_max: u16, rows: &[LaneRow], reached: Reached, server_uuid: String) -> Self {
        let inherited = rows
            .iter()
            .filter_map(|row| {
                let last = row.done.last()?;
                Some((row.lane, Inherited { last, gtids: row.done_gtid.clone()? }))
            })
            .collect();
        let is_stored = rows.iter().any(|row| row.low == reached.low && row.low_location == reached.location);
        let sent = is_stored.then(|| reached.clone());
        Self { lanes: Vec::new(), n_max: n_used(n_max), inherited, server_uuid, reached, sent, next_batch: 0 }
    }

    pub fn set_server(&mut self, uuid: &str) {
        uuid.clone_into(&mut self.server_uuid);
    }

    pub fn reached(&self) -> &Reached {
        &self.reached
    }

    pub fn n_open(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.work != Work::Opening).count()
    }

    pub fn n_busy(&self) -> usize {
        self.lanes.iter().filter(|lane| !matches!(lane.work, Work::Opening | Work::Free)).count()
    }

    /// Lanes busy with folds.
    pub fn n_folding(&self) -> usize {
        self.lanes.iter().filter(|lane| matches!(lane.work, Work::Fold(_))).count()
    }

    pub fn is_opening(&self) -> bool {
        self.lanes.iter().any(|lane| lane.work == Work::Opening)
    }

    pub fn is_idle(&self) -> bool {
        self.n_busy() == 0
    }

    /// The free lane with the lowest number.
    pub fn free(&self) -> Option<u16> {
        self.lanes.iter().position(|lane| lane.work == Work::Free).map(|idx| idx as u16)
    }

    /// Asks for one more lane, unless there are enough.
    pub fn open(&mut self) -> Option<u16> {
        let lane = u16::try_from(self.lanes.len()).ok().filter(|lane| *lane < self.n_max)?;
        self.lanes.push(Lane { work: Work::Opening, promised: None, gtids: BTreeMap::new() });
        Some(lane)
    }

    pub fn opened(&mut self, lane: u16) {
        if let Some(lane) = self.lanes.get_mut(usize::from(lane)).filter(|lane| lane.work == Work::Opening) {
            lane.work = Work::Free;
        }
    }

    pub fn batch(&mut self) -> BatchId {
        self.next_batch += 1;
        BatchId(self.next_batch)
    }

    pub fn work(&self, lane: u16) -> Option<&Work> {
        self.lanes.get(usize::from(lane)).map(|lane| &lane.work)
    }

    /// Puts a lane to work and says what its row will hold: the watermark as it is now, and `units` with their GTIDs.
    pub fn start(
        &mut self,
        lane: u16,
        work: Work,
        units: Vec<(UnitNumber, Option<Gtid>)>,
        src_ts: Option<UnixMillis>,
        watermark: &Watermark,
    ) -> Progress {
        let low = watermark.low();
        let location = watermark.location().clone();
        let mut numbers = Vec::with_capacity(units.len());
        let mut done_gtid = location.gtid.as_ref().map(|set| self.inherited_gtids(lane, low, set.flavor()));
        if let Some(state) = self.lanes.get_mut(usize::from(lane)) {
            state.gtids = state.gtids.split_off(&low.next());
            for (unit, gtid) in units {
                numbers.push(unit);
                state.gtids.extend(gtid.map(|gtid| (unit, gtid)));
            }
            if let Some(set) = &mut done_gtid {
                for gtid in state.gtids.values() {
                    let _is_same_flavor = set.insert(gtid);
                }
            }
            let reached = Reached { low, location: location.clone(), src_ts: watermark.src_ts() };
            state.work = work;
            state.promised = Some(reached.clone());
            self.sent = Some(reached);
        }
        Progress {
            units: numbers,
            low,
            low_location: location,
            done_gtid,
            source_uuid: self.server_uuid.clone(),
            src_ts: src_ts.or(watermark.src_ts()),
        }
    }

    /// The lane's transaction is committed: what it promised holds, and the lane is free.
    pub fn finish(&mut self, lane: u16) {
        let Some(state) = self.lanes.get_mut(usize::from(lane)) else { return };
        state.work = Work::Free;
        if let Some(reached) = state.promised.take().filter(|reached| reached.low >= self.reached.low) {
            self.reached = reached;
        }
    }

    /// True when the watermark in memory is ahead of everything handed to lanes.
    pub fn is_behind(&self, watermark: &Watermark) -> bool {
        self.sent.as_ref().is_none_or(|sent| sent.low != watermark.low() || sent.location != *watermark.location())
    }

    /// False while no lane row holds a location, nor is one on its way.
    pub fn has_row(&self) -> bool {
        self.sent.is_some()
    }

    /// The lane whose DDL is `unit`.
    pub fn lane_of_ddl(&self, unit: UnitNumber) -> Option<u16> {
        let is_it = |lane: &Lane| matches!(lane.work, Work::Ddl { unit: its, .. } if its == unit);
        self.lanes.iter().position(is_it).map(|idx| idx as u16)
    }

    /// Checks that no unit is in two lanes.
    pub fn validate(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for lane in &self.lanes {
            let units = match &lane.work {
                Work::Fold(fold) => fold.units.as_slice(),
                Work::Ddl { unit, .. } => std::slice::from_ref(unit),
                Work::Opening | Work::Free | Work::Idle { .. } => &[],
            };
            for unit in units {
                if !seen.insert(*unit) {
                    return Err(format!("unit {unit} is in two lanes"));
                }
            }
        }
        Ok(())
    }

    fn inherited_gtids(&self, lane: u16, low: UnitNumber, flavor: Flavor) -> GtidSet {
        match self.inherited.get(&lane).filter(|inherited| inherited.last > low) {
            Some(inherited) => inherited.gtids.clone(),
            None => GtidSet::empty(flavor),
        }
    }
}
