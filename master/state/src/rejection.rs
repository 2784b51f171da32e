//! Why a command was refused, with DM's codes where DM has the case and 604xx where it has not.
//!
//! Rejections are part of replies and so of the replicated state: variants are only added.

use dm_model::{
    ClusterId, Epoch, MasterName, Revision, SessionId, SourceId, SubtaskId, TaskName, WorkerName,
    error::{Class, Code, Coded, Level, Retry, Scope},
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Rejection {
    #[error("log index {index} is not above the last applied index {applied}")]
    IndexNotAbove { index: Revision, applied: Revision },
    #[error("cluster is not bootstrapped")]
    NotBootstrapped,
    #[error("cluster is bootstrapped already with id {cluster_id}")]
    AlreadyBootstrapped { cluster_id: ClusterId },
    #[error("cluster version {asked} is below the present one, {present}")]
    ClusterVersionFalls { asked: u32, present: u32 },
    #[error("command needs cluster version {needed}, the cluster has {present}")]
    ClusterVersionTooLow { needed: u32, present: u32 },
    #[error("incarnations are used up")]
    IncarnationsUsedUp,

    #[error("dm-master {name} runs on another store: known is {known}, shown was {shown}")]
    MasterStoreDiffers { name: MasterName, known: String, shown: String },
    #[error("store {store_uuid} belonged to a retired dm-master")]
    MasterStoreRetired { store_uuid: String },
    #[error("store {store_uuid} belongs to dm-master {name}")]
    MasterStoreTaken { store_uuid: String, name: MasterName },
    #[error("dm-master {name} is not registered")]
    MasterUnknown { name: MasterName },
    #[error("dm-master {name} is the last one")]
    MasterIsLast { name: MasterName },

    #[error("dm-worker name {name} is taken by address {addr}")]
    WorkerExists { name: WorkerName, addr: String },
    #[error("dm-worker {name} is not registered")]
    WorkerUnknown { name: WorkerName },
    #[error("dm-worker {name} is still online")]
    WorkerOnline { name: WorkerName },
    #[error("dm-worker {worker} has a live session {session} of another process")]
    SessionOfOtherInstance { worker: WorkerName, session: SessionId },
    #[error("session {session} is not alive")]
    SessionNotLive { session: SessionId },

    #[error("source {source_id} exists already")]
    SourceExists { source_id: SourceId },
    #[error("source {source_id} does not exist")]
    SourceUnknown { source_id: SourceId },
    #[error("source {source_id} was changed at revision {present}, expected was {expected}")]
    SourceChanged { source_id: SourceId, expected: Revision, present: Revision },
    #[error("source {source_id} is used by tasks {}", list(tasks))]
    SourceHasTasks { source_id: SourceId, tasks: Vec<TaskName> },
    #[error("sources {} are not bound to a dm-worker", list(sources))]
    SourcesNotBound { sources: Vec<SourceId> },
    #[error("source {source_id} is placed on another session than expected")]
    PlacementChanged { source_id: SourceId, present: Option<SessionId> },
    #[error("source {source_id} is not placed")]
    SourceNotPlaced { source_id: SourceId },

    #[error("task {task} exists already on sources {}", list(sources))]
    SubtasksExist { task: TaskName, sources: Vec<SourceId> },
    #[error("task {task} does not exist")]
    TaskUnknown { task: TaskName },
    #[error("task {task} has no subtask on sources {}", list(sources))]
    SubtasksUnknown { task: TaskName, sources: Vec<SourceId> },
    #[error("task {task} needs at least one source")]
    NoSources { task: TaskName },
    #[error("task {task} is wanted running on sources {}", list(sources))]
    TaskRunning { task: TaskName, sources: Vec<SourceId> },
    #[error("task {task} was changed at revision {present}, expected was {expected}")]
    TaskChanged { task: TaskName, expected: Revision, present: Revision },

    #[error("epoch {shown} of subtask {subtask} is not the present one")]
    EpochNotPresent { subtask: SubtaskId, shown: Epoch, present: Option<Epoch> },
    #[error("subtask {subtask} has no operator to remove")]
    NoOperator { subtask: SubtaskId },
    #[error("operator of subtask {subtask} needs at least one statement")]
    OperatorWithoutStatement { subtask: SubtaskId },

    /// `present` is the revision that wrote the value that is there.
    #[error("key has another value than expected")]
    MetaDiffers { present: Option<Revision> },
    #[error("{what} has {n_bytes} bytes, more than {max_bytes}")]
    TooLarge { what: String, n_bytes: u64, max_bytes: u64 },
    #[error("{what} has {present} entries, more are not taken")]
    TooMany { what: String, present: u64 },

    #[error("request {seq} of client {client} was answered before and the answer is no longer kept")]
    RequestForgotten { client: String, seq: u64 },
}

impl Rejection {
    /// Whether the same command may be accepted later without a person.
    pub fn retry(&self) -> Retry {
        match self {
            Self::SourcesNotBound { .. }
            | Self::PlacementChanged { .. }
            | Self::SourceNotPlaced { .. }
            | Self::SessionNotLive { .. }
            | Self::SessionOfOtherInstance { .. }
            | Self::NotBootstrapped
            | Self::ClusterVersionTooLow { .. } => Retry::Backoff,
            Self::IndexNotAbove { .. }
            | Self::AlreadyBootstrapped { .. }
            | Self::ClusterVersionFalls { .. }
            | Self::IncarnationsUsedUp
            | Self::MasterStoreDiffers { .. }
            | Self::MasterStoreRetired { .. }
            | Self::MasterStoreTaken { .. }
            | Self::MasterUnknown { .. }
            | Self::MasterIsLast { .. }
            | Self::WorkerExists { .. }
            | Self::WorkerUnknown { .. }
            | Self::WorkerOnline { .. }
            | Self::SourceExists { .. }
            | Self::SourceUnknown { .. }
            | Self::SourceChanged { .. }
            | Self::SourceHasTasks { .. }
            | Self::SubtasksExist { .. }
            | Self::TaskUnknown { .. }
            | Self::SubtasksUnknown { .. }
            | Self::NoSources { .. }
            | Self::TaskRunning { .. }
            | Self::TaskChanged { .. }
            | Self::EpochNotPresent { .. }
            | Self::NoOperator { .. }
            | Self::OperatorWithoutStatement { .. }
            | Self::MetaDiffers { .. }
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::RequestForgotten { .. } => Retry::Never,
        }
    }
}

impl Coded for Rejection {
    fn code(&self) -> Code {
        let scheduler =
            |number, workaround| Code::new(number, Class::Scheduler, Scope::Internal, Level::Medium, workaround);
        let (number, workaround) = match self {
            Self::WorkerExists { .. } => {
                (46003, "Please use another name, or take the known dm-worker off with `offline-member` first.")
            }
            Self::WorkerUnknown { .. } => (46004, "Please use `list-member` command to see the dm-workers."),
            Self::WorkerOnline { .. } => (46005, "Please shut the dm-worker down and wait until it is `offline`."),
            Self::SourceExists { .. } => (46007, "Please try to stop the source first, or use another source-id."),
            Self::SourceUnknown { .. } => (46008, "Please use `operate-source show` to see the sources."),
            Self::SourcesNotBound { .. } => (46009, "Please check `list-member`, and start enough dm-workers."),
            Self::SourceHasTasks { .. } => (46010, "Please stop these tasks with `stop-task` first."),
            Self::SubtasksExist { .. } => {
                (46014, "Please use `query-status` to see the subtasks, or `stop-task` first.")
            }
            Self::TaskUnknown { .. } => (46018, "Please use `query-status` to see the tasks."),
            Self::SubtasksUnknown { .. } => (46034, "Please use `query-status` to see the sources of the task."),
            Self::TaskRunning { .. } => (46035, "Please pause or stop the task first."),
            Self::SourceChanged { .. } => (60401, "Please read the source config again and repeat the change."),
            Self::TaskChanged { .. } => (60402, "Please read the task again and repeat the change."),
            Self::SessionOfOtherInstance { .. } => {
                (60403, "Please give each dm-worker its own name, or wait until the old process is gone.")
            }
            Self::SessionNotLive { .. } => (60404, ""),
            Self::PlacementChanged { .. } => (60405, ""),
            Self::SourceNotPlaced { .. } => (60406, ""),
            Self::EpochNotPresent { .. } => (60407, ""),
            Self::NoOperator { .. } => (60408, "Please use `binlog list` to see the operators."),
            Self::OperatorWithoutStatement { .. } => (60409, "Please give the statements to execute."),
            Self::NoSources { .. } => (60410, "Please name at least one source of the task."),
            Self::MasterStoreDiffers { .. } => {
                (60411, "Please take the member off with `offline-member` and join it anew.")
            }
            Self::MasterStoreRetired { .. } => (60412, "Please join with an empty data directory."),
            Self::MasterStoreTaken { .. } => (60425, "Please give each dm-master a data directory of its own."),
            Self::MasterUnknown { .. } => (60413, "Please use `list-member --master` to see the masters."),
            Self::MasterIsLast { .. } => (60414, ""),
            Self::NotBootstrapped => (60415, ""),
            Self::AlreadyBootstrapped { .. } => (60416, ""),
            Self::ClusterVersionFalls { .. } => (60417, ""),
            Self::ClusterVersionTooLow { .. } => (60418, "Please finish the upgrade of all dm-masters first."),
            Self::IncarnationsUsedUp => (60419, ""),
            Self::MetaDiffers { .. } => (60420, ""),
            Self::TooLarge { .. } => (60421, ""),
            Self::TooMany { .. } => (60422, ""),
            Self::RequestForgotten { .. } => (60423, "Please look at the state before repeating the request."),
            Self::IndexNotAbove { .. } => (60424, ""),
        };
        scheduler(number, workaround)
    }
}

fn list(names: &[impl std::fmt::Display]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
