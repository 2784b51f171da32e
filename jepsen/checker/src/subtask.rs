//! One subtask as the target's log shows it: its lane rows, what is committed, what is copied.
//!
//! Owns the rules of the lane rows (control-plane.md S3, S4, S5; data-plane.md 4.1 rule 1): `seq` by one, `epoch` and `low` never
//! down, a window forgets only what its `low` covers.

use std::collections::{BTreeMap, BTreeSet};

use dm_fence::UnitNumber;
use dm_model::TableName;

use crate::{
    log::Place,
    meta::{ChunkImage, ChunkState, LaneImage},
    source::Source,
    verdict::Verdict,
};

#[derive(Debug)]
pub(crate) struct Subtask {
    /// `task/source`.
    pub(crate) name: String,
    /// From 0, to tell units of subtasks apart.
    pub(crate) index: u64,
    pub(crate) source: Source,
    pub(crate) lanes: BTreeMap<u64, LaneImage>,
    /// The newest epoch any lane row had.
    pub(crate) epoch: u64,
    /// Every unit up to it was seen to be committed or to have no effect.
    pub(crate) low: u64,
    /// Units above `low` that were committed before the target's log begins.
    pub(crate) earlier: BTreeSet<u64>,
    pub(crate) n_units: u64,
    pub(crate) n_changes: u64,
    pub(crate) chunks: BTreeMap<(TableName, u64), ChunkImage>,
    /// Oldest and newest place of the chunks of a source table.
    pub(crate) copied: BTreeMap<TableName, (Place, Place)>,
    pub(crate) is_copied: bool,
}

/// What a change of a lane row says about the transaction it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) epoch: u64,
    /// Units it commits, ascending.
    pub(crate) units: Vec<u64>,
    /// A new owner takes the row over, or it is a new row.
    pub(crate) is_claim: bool,
    /// `low` and its place, when either is new.
    pub(crate) reached: Option<(u64, Place)>,
}

impl Subtask {
    pub(crate) fn new(name: String, index: u64, source: Source) -> Self {
        Self {
            name,
            index,
            source,
            lanes: BTreeMap::new(),
            epoch: 0,
            low: 0,
            earlier: BTreeSet::new(),
            n_units: 0,
            n_changes: 0,
            chunks: BTreeMap::new(),
            copied: BTreeMap::new(),
            is_copied: false,
        }
    }

    /// Takes a change of a lane row; `None` when the row is gone.
    pub(crate) fn lane(
        &mut self,
        before: Option<&LaneImage>,
        after: Option<&LaneImage>,
        at: &Place,
        verdict: &mut Verdict,
    ) -> Option<Fence> {
        let Some(after) = after else {
            if let Some(before) = before {
                self.lanes.remove(&before.lane);
            }
            return None;
        };
        let who = format!("{} lane {}", self.name, after.lane);
        if after.slice_rows > 0 {
            self.source.slice_rows = after.slice_rows;
        }
        let known = self.lanes.insert(after.lane, after.clone());
        let Some(before) = before else {
            if known.is_some() {
                verdict.violation(|| format!("{at}: {who}: the row is inserted though it is there"));
            }
            if after.epoch < self.epoch {
                verdict.violation(|| {
                    format!("{at}: {who}: made with epoch {}, the subtask has {}", after.epoch, self.epoch)
                });
            }
            self.epoch = self.epoch.max(after.epoch);
            let reached = after.place.clone().map(|place| (after.low, place));
            return Some(Fence { epoch: after.epoch, units: Vec::new(), is_claim: true, reached });
        };
        if known.as_ref().is_some_and(|known| known != before) {
            verdict.violation(|| {
                let (seq, epoch) = known.as_ref().map_or((0, 0), |known| (known.seq, known.epoch));
                format!(
                    "{at}: {who}: the row had epoch {} and seq {} before, the log left it at epoch {epoch} and seq {seq}",
                    before.epoch, before.seq
                )
            });
        }
        if known.is_none() {
            self.earlier.extend(before.done.iter().map(|unit| unit.0));
        }
        if after.seq != before.seq + 1 {
            verdict.violation(|| format!("{at}: {who}: seq goes from {} to {}", before.seq, after.seq));
        }
        if after.epoch < before.epoch {
            verdict.violation(|| format!("{at}: {who}: epoch falls from {} to {}", before.epoch, after.epoch));
        } else if after.epoch < self.epoch {
            verdict.violation(|| {
                format!("{at}: {who}: an owner with epoch {} writes, the subtask has {}", after.epoch, self.epoch)
            });
        }
        self.epoch = self.epoch.max(after.epoch);
        if after.low < before.low {
            verdict.violation(|| format!("{at}: {who}: low falls from {} to {}", before.low, after.low));
        }
        let lost: Vec<UnitNumber> =
            before.done.iter().filter(|unit| unit.0 > after.low && !after.done.contains(*unit)).collect();
        if let (Some(first), Some(last)) = (lost.first(), lost.last()) {
            verdict.violation(|| {
                format!(
                    "{at}: {who}: the window forgets units {first} to {last}, which low {} does not cover",
                    after.low
                )
            });
        }
        let units: Vec<u64> =
            after.done.iter().filter(|unit| !before.done.contains(*unit)).map(|unit| unit.0).collect();
        let is_claim = after.epoch > before.epoch;
        if is_claim && (!units.is_empty() || after.low != before.low) {
            verdict.violation(|| format!("{at}: {who}: a takeover changes what is committed"));
        }
        let is_new = (after.low, &after.place) != (before.low, &before.place);
        let reached = after.place.clone().filter(|_| is_new).map(|place| (after.low, place));
        Some(Fence { epoch: after.epoch, units, is_claim, reached })
    }

    /// Takes a change of the snapshot's plan; gives how many rows it adds and where they were read.
    pub(crate) fn chunk(
        &mut self,
        before: Option<ChunkImage>,
        after: Option<ChunkImage>,
        at: &Place,
        verdict: &mut Verdict,
    ) -> Option<(TableName, i128, Option<Place>)> {
        let Some(after) = after else {
            if let Some(before) = before {
                self.chunks.remove(&(before.table.clone(), before.chunk));
                self.bounds(&before.table);
            }
            return None;
        };
        let known = self.chunks.insert((after.table.clone(), after.chunk), after.clone()).or(before);
        self.bounds(&after.table);
        let n_before = known.as_ref().map_or(0, |known| known.n_rows);
        let added = i128::from(after.n_rows) - i128::from(n_before);
        let was_done = known.as_ref().is_some_and(|known| known.state == ChunkState::Done);
        if was_done && (added != 0 || after.state != ChunkState::Done) {
            verdict.violation(|| {
                format!("{at}: {}: chunk {} of {} is copied again after its end", self.name, after.chunk, after.table)
            });
        }
        verdict.n_chunks += u64::from(after.state == ChunkState::Done && !was_done);
        let writes = after.state != ChunkState::Planned;
        self.is_copied |= writes;
        Some((after.table, added, after.place.filter(|_| writes)))
    }

    fn bounds(&mut self, table: &TableName) {
        let first = (table.clone(), 0);
        let of_table = self.chunks.range(first..).take_while(|((name, _), _)| name == table);
        let places = || {
            of_table
                .clone()
                .filter(|(_, row)| row.state != ChunkState::Planned)
                .filter_map(|(_, row)| row.place.clone())
        };
        match (places().min(), places().max()) {
            (Some(oldest), Some(newest)) => self.copied.insert(table.clone(), (oldest, newest)),
            (_, _) => self.copied.remove(table),
        };
    }

    /// True while some chunk of the table is half copied.
    pub(crate) fn is_begun(&self, table: &TableName) -> bool {
        self.copied.contains_key(table)
    }
}
