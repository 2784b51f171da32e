//! Stages of a subtask and the units it passes through, with DM's names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a subtask is. Wanted stages are only `Running`, `Paused` and `Stopped`; the others are seen, never wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    New,
    Running,
    Paused,
    Stopped,
    Finished,
    Pausing,
    Resuming,
    Stopping,
}

impl Stage {
    pub const ALL: [Self; 8] = [
        Self::New,
        Self::Running,
        Self::Paused,
        Self::Stopped,
        Self::Finished,
        Self::Pausing,
        Self::Resuming,
        Self::Stopping,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::Running => "Running",
            Self::Paused => "Paused",
            Self::Stopped => "Stopped",
            Self::Finished => "Finished",
            Self::Pausing => "Pausing",
            Self::Resuming => "Resuming",
            Self::Stopping => "Stopping",
        }
    }

    /// DM's number, used in the metric `dm_worker_task_state` and on the wire.
    pub fn number(self) -> i32 {
        match self {
            Self::New => 1,
            Self::Running => 2,
            Self::Paused => 3,
            Self::Stopped => 4,
            Self::Finished => 5,
            Self::Pausing => 6,
            Self::Resuming => 7,
            Self::Stopping => 8,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stage inside a subtask: the full copy shows as `Load`, replication as `Sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum UnitKind {
    Check,
    Dump,
    Load,
    Sync,
    Relay,
}

impl UnitKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Check => "Check",
            Self::Dump => "Dump",
            Self::Load => "Load",
            Self::Sync => "Sync",
            Self::Relay => "Relay",
        }
    }

    /// DM's number on the wire.
    pub fn number(self) -> i32 {
        match self {
            Self::Check => 1,
            Self::Dump => 2,
            Self::Load => 3,
            Self::Sync => 4,
            Self::Relay => 100,
        }
    }
}

impl fmt::Display for UnitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
