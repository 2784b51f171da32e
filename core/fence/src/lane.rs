//! A lane's row in the target: what it holds, how its owner advances it, and where a new owner resumes.
//!
//! Rule 1 of data-plane.md 4.1 lives here: the window belongs to the row, an owner only adds to it, and a number
//! leaves it only together with a watermark that covers it. [`LaneRow::advance`] is the only way to a [`FenceUpdate`].

use dm_model::{ClusterId, Epoch, GtidSet, Location, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::window::{OutOfWindow, UnitNumber, Window};

/// What a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Consistency {
    /// A source transaction (or a slice of a huge one) is applied as a whole.
    Transaction,
    /// Source transactions may be split by row.
    Row,
}

impl Consistency {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Row => "row",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "transaction" => Some(Self::Transaction),
            "row" => Some(Self::Row),
            _ => None,
        }
    }
}

/// How source transactions become units. Stored with every lane row, because the same stream numbered in another way
/// would skip the wrong units; a change needs an empty window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slicing {
    pub consistency: Consistency,
    /// Raw source rows after which a transaction is cut into another slice.
    pub slice_rows: u32,
}

impl Slicing {
    /// What a first owner writes, worker or leader: source transactions stay whole, but for those larger than a target takes in
    /// one transaction. TiDB's limit of 100 MB is the smallest of all targets; rows of a few KB stay below it.
    pub const FIRST: Self = Self { consistency: Consistency::Transaction, slice_rows: 20_000 };
}

/// The seq of a row that a first owner inserts.
pub(crate) const FIRST_SEQ: u64 = 1;

/// One row of `dm_fence_lane`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LaneRow {
    pub lane: u16,
    pub cluster_id: ClusterId,
    pub epoch: Epoch,
    /// Grows by one with every transaction that touches the row.
    pub seq: u64,
    /// Every unit up to this one is committed, by whichever lane.
    pub low: UnitNumber,
    /// Where the stream goes on after `low`; empty until a subtask knows its start.
    pub low_location: Location,
    /// Units above `low` that this lane has committed.
    pub done: Window,
    /// GTIDs of the units in `done`, for a source that fails over. It may hold more than those of `done`.
    pub done_gtid: Option<GtidSet>,
    /// Identity of the server that the location's file and offset belong to; empty when unknown.
    pub source_uuid: String,
    /// Source time of the newest unit of the last transaction.
    pub src_ts: Option<UnixMillis>,
    pub slicing: Slicing,
    /// Checksum of the last transaction's statements; `None` after a takeover and after a probe that found a lost
    /// COMMIT not committed. What tells a fold from a probe in [`crate::judge_unknown_commit`].
    pub batch_crc: Option<u32>,
}

/// What one transaction of a lane adds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Progress {
    /// The units that this transaction commits. Empty for snapshot chunks and idle progress.
    pub units: Vec<UnitNumber>,
    /// The watermark as the engine knows it from acknowledged commits; it never includes units of this transaction
    /// unless the lane's own window together with the others would (they count after the acknowledgement).
    pub low: UnitNumber,
    pub low_location: Location,
    /// GTIDs of the units that are in the window after this transaction; `None` without GTIDs.
    pub done_gtid: Option<GtidSet>,
    pub source_uuid: String,
    pub src_ts: Option<UnixMillis>,
}

/// The fence's UPDATE: the guard (`epoch`, `seq`) and what the row holds afterwards (with `seq + 1`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FenceUpdate {
    pub lane: u16,
    /// The row must carry this epoch.
    pub epoch: Epoch,
    /// The row must carry this seq; it carries `seq + 1` afterwards.
    pub seq: u64,
    pub low: UnitNumber,
    pub low_location: Location,
    pub done: Window,
    pub done_gtid: Option<GtidSet>,
    pub source_uuid: String,
    pub src_ts: Option<UnixMillis>,
    pub slicing: Slicing,
}

/// Why a lane row must not be advanced as asked. Each is a bug of the caller, stopped before it reaches the target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AdvanceError {
    #[error("watermark {wanted} is below the row's {held}")]
    LowRegressed { held: UnitNumber, wanted: UnitNumber },
    #[error("unit {unit} is committed already")]
    AlreadyDone { unit: UnitNumber },
    #[error("the window does not hold the units")]
    Window(#[from] OutOfWindow),
    #[error("slicing must not change while {n_units} units above the watermark are committed")]
    SlicingChanged { n_units: u64 },
}

impl LaneRow {
    /// A row nothing was written through: what a first owner inserts.
    pub fn first(lane: u16, cluster_id: ClusterId, epoch: Epoch, slicing: Slicing) -> Self {
        Self {
            lane,
            cluster_id,
            epoch,
            seq: FIRST_SEQ,
            low: UnitNumber::default(),
            low_location: Location::default(),
            done: Window::new(),
            done_gtid: None,
            source_uuid: String::new(),
            src_ts: None,
            slicing,
            batch_crc: None,
        }
    }

    /// The UPDATE that commits `progress` through this row.
    ///
    /// The window after it is the row's own window plus the new units, without what the new watermark covers. The row
    /// itself does not change before the commit is acknowledged: then [`Self::apply`].
    pub fn advance(&self, progress: Progress) -> Result<FenceUpdate, AdvanceError> {
        let Progress { units, low, low_location, done_gtid, source_uuid, src_ts } = progress;
        if low < self.low {
            return Err(AdvanceError::LowRegressed { held: self.low, wanted: low });
        }
        let mut done = self.done.clone();
        for unit in units {
            if unit <= self.low || done.contains(unit) {
                return Err(AdvanceError::AlreadyDone { unit });
            }
            done.insert(low, unit)?;
        }
        done.drop_up_to(low);
        if let Some(last) = done.last().filter(|_| !done.fits(low)) {
            return Err(OutOfWindow { unit: last, low }.into());
        }
        Ok(FenceUpdate {
            lane: self.lane,
            epoch: self.epoch,
            seq: self.seq,
            low,
            low_location,
            done,
            done_gtid,
            source_uuid,
            src_ts: src_ts.or(self.src_ts),
            slicing: self.slicing,
        })
    }

    /// The UPDATE that changes nothing but `seq`: the epoch check of a snapshot chunk's transaction or of a DDL intent.
    pub fn touch(&self) -> FenceUpdate {
        FenceUpdate {
            lane: self.lane,
            epoch: self.epoch,
            seq: self.seq,
            low: self.low,
            low_location: self.low_location.clone(),
            done: self.done.clone(),
            done_gtid: self.done_gtid.clone(),
            source_uuid: self.source_uuid.clone(),
            src_ts: self.src_ts,
            slicing: self.slicing,
        }
    }

    /// The UPDATE that changes how transactions become units; needs an empty window (rule 10).
    pub fn reslice(&self, slicing: Slicing) -> Result<FenceUpdate, AdvanceError> {
        if slicing != self.slicing && !self.done.is_empty() {
            return Err(AdvanceError::SlicingChanged { n_units: self.done.len() });
        }
        Ok(FenceUpdate { slicing, ..self.touch() })
    }

    /// The row after `update` was acknowledged. `batch_crc` is what was written with it.
    pub fn apply(&mut self, update: &FenceUpdate, batch_crc: Option<u32>) {
        self.seq = update.seq + 1;
        self.low = update.low;
        self.low_location = update.low_location.clone();
        self.done = update.done.clone();
        self.done_gtid = update.done_gtid.clone();
        self.source_uuid = update.source_uuid.clone();
        self.src_ts = update.src_ts;
        self.slicing = update.slicing;
        self.batch_crc = batch_crc;
    }
}

/// Where a new owner goes on: read the stream after `location`, number its units from `low + 1`, skip those in `done`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resume {
    pub low: UnitNumber,
    /// Empty when the subtask never got to know its start.
    pub location: Location,
    /// Committed units above `low`, of all lanes.
    pub done: Window,
    /// GTIDs of those units, of all lanes; `None` when no row has any.
    pub done_gtid: Vec<GtidSet>,
    pub source_uuid: String,
    pub slicing: Slicing,
    pub src_ts: Option<UnixMillis>,
}

impl Resume {
    /// True when a unit is in the target already.
    pub fn skips(&self, unit: UnitNumber) -> bool {
        unit <= self.low || self.done.contains(unit)
    }

    /// True when nothing was ever written: no unit, no location.
    pub fn is_fresh(&self) -> bool {
        self.low == UnitNumber::default() && self.location.is_empty() && self.done.is_empty()
    }
}

/// The resume point of a subtask's rows: the largest watermark, the union of the windows. `None` without rows.
///
/// Rows of lanes that are no longer used count like all others.
pub fn resume(rows: &[LaneRow]) -> Option<Resume> {
    let mut best = rows.first()?;
    for row in rows {
        if row.low > best.low || (row.low == best.low && is_later(&row.low_location, &best.low_location)) {
            best = row;
        }
    }
    let mut done = Window::new();
    let mut done_gtid: Vec<GtidSet> = Vec::new();
    for row in rows {
        let mut above = row.done.clone();
        above.drop_up_to(best.low);
        if let Some(set) = row.done_gtid.as_ref().filter(|set| !above.is_empty() && !done_gtid.contains(set)) {
            done_gtid.push(set.clone());
        }
        done.union(&above);
    }
    Some(Resume {
        low: best.low,
        location: best.low_location.clone(),
        done,
        done_gtid,
        source_uuid: best.source_uuid.clone(),
        slicing: best.slicing,
        src_ts: rows.iter().filter_map(|row| row.src_ts).max(),
    })
}

/// Of two locations of one watermark (idle progress moves the location, not the number) the one further on. Either
/// would be right; the later one asks the source for less.
fn is_later(a: &Location, b: &Location) -> bool {
    match (&a.gtid, &b.gtid) {
        (Some(x), Some(y)) if x.contains_set(y) != y.contains_set(x) => x.contains_set(y),
        (Some(_), Some(_)) | (None, None) | (Some(_), None) | (None, Some(_)) => {
            b.is_empty() && !a.is_empty() || a.position > b.position
        }
    }
}

#[cfg(test)]
mod tests;
