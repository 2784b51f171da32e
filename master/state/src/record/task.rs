//! Tasks, their subtasks, progress and binlog operators.

use std::{collections::BTreeMap, fmt};

use dm_model::{
    BinlogPosition, Epoch, Location, Revision, SessionId, Stage, SubtaskId, TaskName, UnitKind, UnixMillis,
};
use serde::{Deserialize, Serialize};

use super::ConfigText;

/// The stage an operator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Wanted {
    Running,
    Paused,
    Stopped,
}

impl Wanted {
    pub const ALL: [Self; 3] = [Self::Running, Self::Paused, Self::Stopped];

    pub fn stage(self) -> Stage {
        match self {
            Self::Running => Stage::Running,
            Self::Paused => Stage::Paused,
            Self::Stopped => Stage::Stopped,
        }
    }

    /// `None` for a stage that is seen but never wanted.
    pub fn of_stage(stage: Stage) -> Option<Self> {
        match stage {
            Stage::Running => Some(Self::Running),
            Stage::Paused => Some(Self::Paused),
            Stage::Stopped => Some(Self::Stopped),
            Stage::New | Stage::Finished | Stage::Pausing | Stage::Resuming | Stage::Stopping => None,
        }
    }

    /// Whether a worker has to carry the subtask: a paused one keeps its owner, a stopped one needs none.
    pub fn needs_owner(self) -> bool {
        match self {
            Self::Running | Self::Paused => true,
            Self::Stopped => false,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage().fmt(f)
    }
}

/// A task exists while it has subtasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub name: TaskName,
    /// The task file of the latest `CreateTask` or `UpdateTask`. A subtask keeps the text it was made with.
    pub config: ConfigText,
    pub config_revision: Revision,
    pub created_at: UnixMillis,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subtask {
    pub id: SubtaskId,
    pub config: ConfigText,
    pub config_revision: Revision,
    pub wanted: Wanted,
    /// The revision of the last `SetWanted`, also of one that repeats the stage: a resume of a subtask that is wanted
    /// Running and stands paused by an error is seen by the worker through this number.
    pub wanted_revision: Revision,
    /// Who may act for it. Always on the session its source is placed on.
    pub owner: Option<Ownership>,
    /// The newest token ever given out, also to nobody (`FenceOff`). Never falls.
    pub last_epoch: Epoch,
    /// The newest token that was taken from its owner without the owner's word that it has let go, while no later token
    /// is known to be in the target. Whoever held it may still be writing: a stop or a pause is not true before a fence.
    pub unfenced: Option<Epoch>,
    /// `None` until the first report.
    pub progress: Option<Progress>,
    /// Set once, by a report of the full copy's end in mode `full`. Nothing runs any more.
    pub finished: bool,
    pub start: Option<StartArguments>,
    /// Operators not consumed yet, oldest first.
    pub operators: BTreeMap<OperatorId, Operator>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    pub epoch: Epoch,
    pub session: SessionId,
}

/// Arguments of the command line that belong to one start and are used once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StartArguments {
    pub start_time: Option<String>,
    pub safe_mode_duration: Option<String>,
}

/// What the owner last said. A trailing copy: the target's rows are the truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The reporter's token.
    pub epoch: Epoch,
    pub stage: Stage,
    pub unit: UnitKind,
    /// Never falls within an incarnation.
    pub low: Option<Watermark>,
    pub chunks: Chunks,
    pub reported_at: UnixMillis,
}

/// Every unit up to `unit` is committed at the target; `location` is where it ends in the source's stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    /// The number of the fence's `UnitNumber`.
    pub unit: u64,
    pub location: Location,
}

/// Chunks of the full copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Chunks {
    pub done: u64,
    pub total: u64,
}

/// The revision of the `PutOperator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperatorId(pub Revision);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    pub at: OperatorAt,
    pub action: OperatorAction,
}

/// Which event an operator is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OperatorAt {
    Position(BinlogPosition),
    /// The event that caused the error the subtask stands on.
    CurrentError,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatorAction {
    Skip,
    /// Execute these statements in place of the event.
    Replace(Vec<String>),
    /// Execute these statements before the event.
    Inject(Vec<String>),
}

impl fmt::Display for OperatorAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Skip => "skip",
            Self::Replace(_) => "replace",
            Self::Inject(_) => "inject",
        })
    }
}
