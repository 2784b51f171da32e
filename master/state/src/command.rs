//! What can be asked of the cluster's state: one variant per business transition, each atomic.
//!
//! A command carries outcomes (who gets which source), never a computation that two versions of this program could do
//! differently. Variants are only added, each with the cluster version that knows it; a process that reads a variant it
//! does not know must stop, never skip.

use std::fmt;

use dm_model::{Revision, UnixMillis};
use serde::{Deserialize, Serialize};

pub use crate::apply::{
    assign::{Assign, BeginMove, ConfirmFence, ExpireAndAssign, FenceOff, Place, Release},
    member::{Bootstrap, BumpIncarnation, RegisterMaster, RetireMaster, SetClusterVersion},
    meta_kv::{CasMeta, DeleteMeta, PutMeta},
    operator::{ConsumeOperators, PutOperator, RemoveOperators, Selection},
    progress::{ProgressReport, ReportProgress},
    session::{CloseSession, ExpireSessions, OpenSession, RegisterWorker, RetireWorker},
    source::{DeleteSource, Expect, PutSource},
    task::{ClearStartTime, CreateTask, DeleteSubtasks, NewSubtask, SetWanted, UpdateTask},
};

/// The newest command version of this program. [`Command::since`] is never above it.
pub const COMMAND_VERSION: u32 = 1;

/// A client's own name for itself: a UUID or a process's name with a random part. At most
/// [`crate::state::clients::MAX_CLIENT_ID_BYTES`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub String);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one mutating request over all its retries. `seq` starts at 1 and grows by one per request of a client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientSeq {
    pub client: ClientId,
    pub seq: u64,
}

/// What the Raft log holds for one command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The proposer's wall clock, for display only.
    pub time: UnixMillis,
    /// `None` for commands of the leader's own loops, which are not retried blindly.
    pub client: Option<ClientSeq>,
    pub command: Command,
}

impl Entry {
    pub fn new(time: UnixMillis, command: Command) -> Self {
        Self { time, client: None, command }
    }

    /// The stamp of this entry once its place in the log is known.
    pub fn stamp(&self, index: Revision) -> Stamp {
        Stamp { index, time: self.time, client: self.client.clone() }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.command.fmt(f)
    }
}

/// Where, when and for whom a command is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The entry's index in the Raft log. Must be above the last applied one.
    pub index: Revision,
    pub time: UnixMillis,
    pub client: Option<ClientSeq>,
}

impl Stamp {
    pub fn new(index: Revision, time: UnixMillis) -> Self {
        Self { index, time, client: None }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    // cluster and masters
    Bootstrap(Bootstrap),
    SetClusterVersion(SetClusterVersion),
    BumpIncarnation(BumpIncarnation),
    RegisterMaster(RegisterMaster),
    RetireMaster(RetireMaster),
    // workers and their sessions
    RegisterWorker(RegisterWorker),
    RetireWorker(RetireWorker),
    OpenSession(OpenSession),
    CloseSession(CloseSession),
    ExpireSessions(ExpireSessions),
    // sources
    PutSource(PutSource),
    DeleteSource(DeleteSource),
    // tasks
    CreateTask(CreateTask),
    UpdateTask(UpdateTask),
    DeleteSubtasks(DeleteSubtasks),
    SetWanted(SetWanted),
    ClearStartTime(ClearStartTime),
    // ownership
    Assign(Assign),
    ExpireAndAssign(ExpireAndAssign),
    BeginMove(BeginMove),
    Release(Release),
    FenceOff(FenceOff),
    ConfirmFence(ConfirmFence),
    // progress
    ReportProgress(ReportProgress),
    // binlog operators
    PutOperator(PutOperator),
    RemoveOperators(RemoveOperators),
    ConsumeOperators(ConsumeOperators),
    // key-value space
    PutMeta(PutMeta),
    CasMeta(CasMeta),
    DeleteMeta(DeleteMeta),
}

impl Command {
    /// The command version that introduced this variant: propose it only when every voter announced at least that.
    pub fn since(&self) -> u32 {
        match self {
            Self::Bootstrap(_)
            | Self::SetClusterVersion(_)
            | Self::BumpIncarnation(_)
            | Self::RegisterMaster(_)
            | Self::RetireMaster(_)
            | Self::RegisterWorker(_)
            | Self::RetireWorker(_)
            | Self::OpenSession(_)
            | Self::CloseSession(_)
            | Self::ExpireSessions(_)
            | Self::PutSource(_)
            | Self::DeleteSource(_)
            | Self::CreateTask(_)
            | Self::UpdateTask(_)
            | Self::DeleteSubtasks(_)
            | Self::SetWanted(_)
            | Self::ClearStartTime(_)
            | Self::Assign(_)
            | Self::ExpireAndAssign(_)
            | Self::BeginMove(_)
            | Self::Release(_)
            | Self::FenceOff(_)
            | Self::ConfirmFence(_)
            | Self::ReportProgress(_)
            | Self::PutOperator(_)
            | Self::RemoveOperators(_)
            | Self::ConsumeOperators(_)
            | Self::PutMeta(_)
            | Self::CasMeta(_)
            | Self::DeleteMeta(_) => 1,
        }
    }

    /// The variant's name, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bootstrap(_) => "bootstrap",
            Self::SetClusterVersion(_) => "set-cluster-version",
            Self::BumpIncarnation(_) => "bump-incarnation",
            Self::RegisterMaster(_) => "register-master",
            Self::RetireMaster(_) => "retire-master",
            Self::RegisterWorker(_) => "register-worker",
            Self::RetireWorker(_) => "retire-worker",
            Self::OpenSession(_) => "open-session",
            Self::CloseSession(_) => "close-session",
            Self::ExpireSessions(_) => "expire-sessions",
            Self::PutSource(_) => "put-source",
            Self::DeleteSource(_) => "delete-source",
            Self::CreateTask(_) => "create-task",
            Self::UpdateTask(_) => "update-task",
            Self::DeleteSubtasks(_) => "delete-subtasks",
            Self::SetWanted(_) => "set-wanted",
            Self::ClearStartTime(_) => "clear-start-time",
            Self::Assign(_) => "assign",
            Self::ExpireAndAssign(_) => "expire-and-assign",
            Self::BeginMove(_) => "begin-move",
            Self::Release(_) => "release",
            Self::FenceOff(_) => "fence-off",
            Self::ConfirmFence(_) => "confirm-fence",
            Self::ReportProgress(_) => "report-progress",
            Self::PutOperator(_) => "put-operator",
            Self::RemoveOperators(_) => "remove-operators",
            Self::ConsumeOperators(_) => "consume-operators",
            Self::PutMeta(_) => "put-meta",
            Self::CasMeta(_) => "cas-meta",
            Self::DeleteMeta(_) => "delete-meta",
        }
    }
}

/// The name and the object; never configuration text, which may hold passwords.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Bootstrap(c) => write!(f, " {}", c.cluster_id),
            Self::SetClusterVersion(c) => write!(f, " {}", c.version),
            Self::BumpIncarnation(_) => Ok(()),
            Self::RegisterMaster(c) => write!(f, " {}", c.name),
            Self::RetireMaster(c) => write!(f, " {}", c.name),
            Self::RegisterWorker(c) => write!(f, " {} {}", c.name, c.addr),
            Self::RetireWorker(c) => write!(f, " {}", c.name),
            Self::OpenSession(c) => write!(f, " {} {}", c.worker, c.instance_uuid),
            Self::CloseSession(c) => write!(f, " {}", c.session),
            Self::ExpireSessions(c) => write!(f, " {} sessions", c.sessions.len()),
            Self::PutSource(c) => write!(f, " {}", c.source),
            Self::DeleteSource(c) => write!(f, " {}", c.source),
            Self::CreateTask(c) => write!(f, " {} on {} sources", c.task, c.subtasks.len()),
            Self::UpdateTask(c) => write!(f, " {}", c.task),
            Self::DeleteSubtasks(c) => write!(f, " {} on {} sources", c.task, c.sources.len()),
            Self::SetWanted(c) => write!(f, " {} {} on {} sources", c.task, c.wanted, c.sources.len()),
            Self::ClearStartTime(c) => write!(f, " {}", c.subtask),
            Self::Assign(c) => write!(f, " {} to session {}", c.source, c.session),
            Self::ExpireAndAssign(c) => write!(f, " {} sessions, {} sources", c.sessions.len(), c.places.len()),
            Self::BeginMove(c) => write!(f, " {}", c.source),
            Self::Release(c) => write!(f, " {} epoch {}", c.subtask, c.epoch),
            Self::FenceOff(c) => write!(f, " {} subtasks", c.subtasks.len()),
            Self::ConfirmFence(c) => write!(f, " {} epoch {}", c.subtask, c.epoch),
            Self::ReportProgress(c) => write!(f, " of {} subtasks", c.reports.len()),
            Self::PutOperator(c) => write!(f, " {} {}", c.subtask, c.action),
            Self::RemoveOperators(c) => write!(f, " {}", c.subtask),
            Self::ConsumeOperators(c) => write!(f, " {}", c.subtask),
            Self::PutMeta(c) => write!(f, " {:?}", c.key),
            Self::CasMeta(c) => write!(f, " {:?}", c.key),
            Self::DeleteMeta(c) => write!(f, " {:?}", c.key),
        }
    }
}
