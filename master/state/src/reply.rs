//! What applying a command gives back: the answer for the proposer and what changed for the watchers.
//!
//! Replies are small and are kept for clients that repeat a request, so they are part of the replicated state.

use std::collections::BTreeSet;

use dm_model::{Epoch, NodeId, Revision, SessionId, SourceId, SubtaskId, TaskName, WorkerName};
use serde::{Deserialize, Serialize};

use crate::{Rejection, record::OperatorId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Carried out (or it was so already), and there is nothing to say.
    Done,
    MasterRegistered(NodeId),
    SessionOpened {
        session: SessionId,
        opened: Opened,
    },
    /// Also of `FenceOff`, whose tokens belong to nobody.
    Assigned(Vec<Grant>),
    Expired(Expired),
    TaskCreated(TaskCreated),
    SubtasksDeleted(Vec<SubtaskId>),
    ProgressTaken {
        n_taken: u64,
        /// Of an old epoch or of an unknown subtask.
        n_ignored: u64,
    },
    OperatorPut(OperatorId),
    OperatorsRemoved(Vec<OperatorId>),
    /// Nothing changed.
    Rejected(Rejection),
}

impl Reply {
    pub fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Rejected(rejection) => Some(rejection),
            Self::Done
            | Self::MasterRegistered(_)
            | Self::SessionOpened { .. }
            | Self::Assigned(_)
            | Self::Expired(_)
            | Self::TaskCreated(_)
            | Self::SubtasksDeleted(_)
            | Self::ProgressTaken { .. }
            | Self::OperatorPut(_)
            | Self::OperatorsRemoved(_) => None,
        }
    }

    /// The reply, or why there is none.
    pub fn into_result(self) -> Result<Self, Rejection> {
        match self {
            Self::Rejected(rejection) => Err(rejection),
            reply => Ok(reply),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opened {
    New,
    /// The same instance came back while its session was alive: it keeps it, and its epochs with it.
    Resumed,
}

/// A token given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub subtask: SubtaskId,
    pub epoch: Epoch,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Expired {
    /// Those that were alive.
    pub sessions: Vec<SessionId>,
    pub granted: Vec<Grant>,
    /// Sources that could not be placed as asked; the next plan takes them up.
    pub not_placed: Vec<SourceId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskCreated {
    pub created: Vec<SubtaskId>,
    /// Subtasks that existed already and were left alone.
    pub existed: Vec<SubtaskId>,
    /// Tokens for those whose source is placed.
    pub granted: Vec<Grant>,
}

/// The outcome of one log entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub revision: Revision,
    pub reply: Reply,
    pub touched: Touched,
}

/// What a revision changed: the set of things to push to workers and watchers. Empty when nothing changed.
///
/// `workers` has everyone whose assignment or session may look different now, so pushing to these is enough.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    pub cluster: bool,
    pub masters: bool,
    pub workers: BTreeSet<WorkerName>,
    /// Sessions that were opened, closed or expired.
    pub sessions: BTreeSet<SessionId>,
    pub sources: BTreeSet<SourceId>,
    pub tasks: BTreeSet<TaskName>,
    pub subtasks: BTreeSet<SubtaskId>,
    pub meta_keys: BTreeSet<String>,
}

impl Touched {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
