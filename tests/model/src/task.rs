//! What a lane is given to do, and the transactions it becomes.

use dm_fence::{Attempt, DdlEffect, FenceUpdate, Intent, IntentState, IntentVerdict, Session, UnitNumber};
use dm_model::{BinlogPosition, Epoch, TableName};

use crate::{
    rules::{Mutant, Rules},
    target::{Target, Write},
};

/// What the lane was given to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Task {
    Fold { update: FenceUpdate, units: Vec<UnitNumber> },
    Idle { update: FenceUpdate },
    Ddl { update: FenceUpdate, unit: UnitNumber, phase: Phase },
}

/// How far a DDL is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Phase {
    Announce,
    Execute(Intent),
    /// The answer was lost.
    Look(Intent, Option<Session>),
    Complete,
}

/// How far the task's transaction is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Stage {
    Ready,
    /// The fence held; COMMIT comes next.
    Sent,
    /// The target has committed; its answer is on the way.
    Answered,
    /// COMMIT was sent and not answered.
    Resolving {
        attempt: Attempt,
        lost_probes: u64,
    },
}

impl Task {
    pub fn ddl(unit: UnitNumber, update: FenceUpdate, known: Option<IntentVerdict>) -> Self {
        let phase = match known {
            Some(IntentVerdict::Done | IntentVerdict::Finished) => Phase::Complete,
            // `Stop` is met again when the lane looks.
            Some(IntentVerdict::Again | IntentVerdict::Stop) | None => Phase::Announce,
        };
        Self::Ddl { update, unit, phase }
    }

    pub(crate) fn update(&self) -> &FenceUpdate {
        match self {
            Self::Fold { update, .. } | Self::Idle { update } | Self::Ddl { update, .. } => update,
        }
    }

    /// What the transaction leaves in `batch_crc`: a function of its statements, and 0 without any.
    pub(crate) fn batch_crc(&self) -> u32 {
        match self {
            Self::Fold { units, .. } => 100 + units.first().map_or(0, |unit| unit.0 as u32),
            Self::Idle { .. } => 0,
            Self::Ddl { unit, phase: Phase::Complete, .. } => 300 + unit.0 as u32,
            Self::Ddl { unit, .. } => 200 + unit.0 as u32,
        }
    }

    pub(crate) fn writes(&self, rules: Rules, epoch: Epoch, target: &Target) -> Vec<Write> {
        let lane = self.update().lane;
        let batch_crc = self.batch_crc();
        let moves = Write::Fence { lane, update: Some(self.update().clone()), batch_crc };
        match self {
            Self::Fold { units, .. } => vec![moves, Write::Rows(units.clone())],
            Self::Idle { .. } => vec![moves],
            Self::Ddl { unit, phase: Phase::Complete, .. } => vec![moves, Write::IntentDone(*unit, 0)],
            Self::Ddl { unit, .. } => {
                let touch = Write::Fence { lane, update: None, batch_crc };
                let fence = if rules.is(Mutant::IntentIsDone) { moves } else { touch };
                vec![fence, Write::Intent(intent(*unit, epoch, target))]
            }
        }
    }
}

fn intent(unit: UnitNumber, epoch: Epoch, target: &Target) -> Intent {
    Intent {
        unit,
        piece: 0,
        epoch,
        state: IntentState::Open,
        statement: String::new(),
        target: TableName::new("s", "t"),
        effect: DdlEffect::Structure,
        before: target.store.observe(),
        position: BinlogPosition::default(),
    }
}
