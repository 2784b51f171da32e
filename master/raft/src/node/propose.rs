//! Proposing commands and reading the state.

use std::time::Duration;

use dm_model::{
    Revision,
    error::{Class, Code, Coded, Level, Scope},
};
use dm_state::{Command, Entry, Reply, State};
use openraft::{
    errors::{ClientWriteError, ForwardReason, ForwardToLeader, LinearizableReadError, RaftError},
    impls::ProgressResponder,
    raft::ReadPolicy,
};

use super::{LeaderHint, LeaderToken, Node};
use crate::{
    codec,
    network::Lane,
    types::{LeaderId, Proposal, TypeConfig},
};

/// A command that was committed and applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// Its index in the log.
    pub revision: Revision,
    pub reply: Reply,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    #[error("this dm-master is not the leader{}", hint(leader))]
    NotLeader { leader: Option<LeaderHint> },
    #[error("leadership is being transferred")]
    Transferring { leader: Option<LeaderHint> },
    #[error("the leader cannot reach a majority of the dm-masters")]
    NoQuorum,
    #[error("command has {n_bytes} bytes, more than {}", codec::MAX_COMMAND_BYTES)]
    TooLarge { n_bytes: usize },
    #[error("disk of the leader is nearly full: {free_bytes} bytes are free")]
    DiskFull { free_bytes: u64 },
    #[error("it is not known whether the command was carried out: {reason}")]
    Unknown { reason: String, leader: Option<LeaderHint> },
    #[error("this dm-master has stopped: {0}")]
    Fatal(String),
}

impl ProposeError {
    /// The command was certainly not carried out and never will be: the same may be sent anywhere.
    pub fn is_before_append(&self) -> bool {
        match self {
            Self::NotLeader { .. }
            | Self::Transferring { .. }
            | Self::NoQuorum
            | Self::TooLarge { .. }
            | Self::DiskFull { .. } => true,
            Self::Unknown { .. } | Self::Fatal(_) => false,
        }
    }

    /// The same command may succeed at another master or later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotLeader { .. } | Self::Transferring { .. } | Self::NoQuorum => true,
            Self::TooLarge { .. } | Self::DiskFull { .. } | Self::Unknown { .. } | Self::Fatal(_) => false,
        }
    }

    pub fn leader(&self) -> Option<&LeaderHint> {
        match self {
            Self::NotLeader { leader } | Self::Transferring { leader } | Self::Unknown { leader, .. } => {
                leader.as_ref()
            }
            Self::NoQuorum | Self::TooLarge { .. } | Self::DiskFull { .. } | Self::Fatal(_) => None,
        }
    }
}

const fn code(number: u32, level: Level, workaround: &'static str) -> Code {
    Code::new(number, Class::DmMaster, Scope::Internal, level, workaround)
}

impl Coded for ProposeError {
    fn code(&self) -> Code {
        match self {
            Self::NotLeader { .. } | Self::Transferring { .. } => {
                code(60110, Level::Low, "Repeat the request at the leader.")
            }
            Self::NoQuorum => {
                code(60111, Level::High, "Check that a majority of the dm-masters is running and reachable.")
            }
            Self::TooLarge { .. } => code(60112, Level::Medium, "Split the task or the source config."),
            Self::DiskFull { .. } => code(60113, Level::High, "Free disk space on the leader."),
            Self::Unknown { .. } => {
                code(60115, Level::Medium, "Look at the state, or repeat the request as the same client.")
            }
            Self::Fatal(_) => code(60106, Level::High, "See the log of this master for the cause."),
        }
    }
}

fn hint(leader: &Option<LeaderHint>) -> String {
    leader.as_ref().map(|leader| format!("; the leader is {} at {}", leader.name, leader.api_addr)).unwrap_or_default()
}

impl Node {
    /// Proposes a command and waits until it is applied here. Any leadership of this node will do.
    pub async fn propose(&self, entry: Entry) -> Result<Committed, ProposeError> {
        self.write(entry, None).await
    }

    /// As [`Node::propose`], but only under the leadership `token` stands for: a command thought out under an earlier
    /// one is refused.
    pub async fn propose_as(&self, token: LeaderToken, entry: Entry) -> Result<Committed, ProposeError> {
        self.write(entry, Some(token)).await
    }

    async fn write(&self, entry: Entry, token: Option<LeaderToken>) -> Result<Committed, ProposeError> {
        if self.shared.disk.is_low() && !is_essential(&entry.command) {
            return Err(ProposeError::DiskFull { free_bytes: self.shared.disk.free() });
        }
        let bytes = codec::encode_command(&entry);
        if bytes.len() > codec::MAX_COMMAND_BYTES {
            return Err(ProposeError::TooLarge { n_bytes: bytes.len() });
        }
        let (responder, answer) = ProgressResponder::complete_only();
        let mut request = self.shared.raft.write(Proposal(bytes)).responder(responder);
        if let Some(token) = token {
            request = request.with_leader(LeaderId { term: token.term, node_id: token.node });
        }
        let unknown = |reason: String| ProposeError::Unknown { reason, leader: self.leader_hint() };
        let outcome = tokio::time::timeout(self.shared.timeout, async {
            request.await.map_err(|error| ProposeError::Fatal(error.to_string()))?;
            answer.await.map_err(|_| unknown("raft dropped the request".to_owned()))
        })
        .await
        .map_err(|_| unknown(format!("no answer within {:?}", self.shared.timeout)))??;
        match outcome {
            Ok(done) => match done.data.0 {
                Some(reply) => Ok(Committed { revision: Revision(done.log_id.index), reply }),
                None => Err(unknown("entry without a command".to_owned())),
            },
            Err(ClientWriteError::ForwardToLeader(forward)) => Err(self.refused(forward)),
            Err(ClientWriteError::LogEntryDiscarded(forward)) => {
                Err(ProposeError::Unknown { reason: "leadership was lost".to_owned(), leader: self.hint_of(&forward) })
            }
            Err(error @ (ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_))) => {
                Err(unknown(error.to_string()))
            }
        }
    }

    pub(super) fn refused(&self, forward: ForwardToLeader<TypeConfig>) -> ProposeError {
        let leader = self.hint_of(&forward);
        match forward.reason {
            ForwardReason::NotLeader => ProposeError::NotLeader { leader },
            ForwardReason::LeadershipTransfer => ProposeError::Transferring { leader },
            ForwardReason::LeaseExpired => ProposeError::NoQuorum,
        }
    }

    fn hint_of(&self, forward: &ForwardToLeader<TypeConfig>) -> Option<LeaderHint> {
        forward.leader_id.and_then(|node| self.hint(node)).or_else(|| self.leader_hint())
    }

    /// The state, holding at least everything that was committed before this call: on a follower the leader is asked.
    pub async fn read(&self) -> Result<State, ProposeError> {
        let wait = self.shared.timeout;
        let index = tokio::time::timeout(wait, self.read_index()).await.map_err(|_| ProposeError::NoQuorum)??;
        let mut revision = self.shared.applied.revision();
        let caught_up = revision.wait_for(|revision| revision.0 >= index);
        match tokio::time::timeout(wait, caught_up).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(ProposeError::Fatal("state machine is gone".to_owned())),
            Err(_) => return Err(ProposeError::NoQuorum),
        }
        Ok(self.shared.applied.state())
    }

    async fn read_index(&self) -> Result<u64, ProposeError> {
        match self.shared.raft.get_read_log_id(ReadPolicy::ReadIndex).await {
            Ok((read, _)) => Ok(read.index()),
            Err(RaftError::Fatal(fatal)) => Err(ProposeError::Fatal(fatal.to_string())),
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => Err(ProposeError::NoQuorum),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
                let refused = self.refused(forward);
                let Some(leader) = refused.leader().filter(|leader| leader.node != self.node_id()).cloned() else {
                    return Err(refused);
                };
                self.ask_read_index(&leader).await
            }
        }
    }

    async fn ask_read_index(&self, leader: &LeaderHint) -> Result<u64, ProposeError> {
        let peers = &self.shared.peers;
        let mut client = peers
            .client(&leader.raft_addr, Lane::Control)
            .map_err(|_| ProposeError::NotLeader { leader: Some(leader.clone()) })?;
        let request = dm_proto::raft::ReadIndexRequest { header: Some(peers.header(leader.node)) };
        let reply = client.read_index(request).await.map_err(|_| ProposeError::NoQuorum)?;
        reply.into_inner().log_id.map(|id| id.index).ok_or(ProposeError::NoQuorum)
    }

    /// The longest time after which followers that hear no leader elect another.
    pub fn election_max(&self) -> Duration {
        self.shared.profile.election_max()
    }

    /// How long [`Node::propose`] waits.
    pub fn timeout(&self) -> Duration {
        self.shared.timeout
    }
}

/// Must it be written even when the disk is nearly full? True for what keeps running tasks running, and for what makes
/// room; false for what adds.
fn is_essential(command: &Command) -> bool {
    match command {
        Command::Bootstrap(_)
        | Command::SetClusterVersion(_)
        | Command::BumpIncarnation(_)
        | Command::RegisterMaster(_)
        | Command::RetireMaster(_)
        | Command::RetireWorker(_)
        | Command::RegisterWorker(_)
        | Command::OpenSession(_)
        | Command::CloseSession(_)
        | Command::ExpireSessions(_)
        | Command::DeleteSource(_)
        | Command::DeleteSubtasks(_)
        | Command::SetWanted(_)
        | Command::Assign(_)
        | Command::ExpireAndAssign(_)
        | Command::BeginMove(_)
        | Command::Release(_)
        | Command::FenceOff(_)
        | Command::ConfirmFence(_)
        | Command::RemoveOperators(_)
        | Command::ConsumeOperators(_)
        | Command::DeleteMeta(_) => true,
        Command::PutSource(_)
        | Command::CreateTask(_)
        | Command::UpdateTask(_)
        | Command::ClearStartTime(_)
        | Command::ReportProgress(_)
        | Command::PutOperator(_)
        | Command::PutMeta(_)
        | Command::CasMeta(_) => false,
    }
}
