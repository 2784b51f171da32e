//! What can go wrong in a master, with DM's codes, and the text in which clients see it.
//!
//! Errors of the parts below keep their own codes; only what this process adds is declared here (603xx where DM has no
//! case of its own).

use dm_model::{
    MasterName, SourceId, TaskName,
    error::{Class, Code, Coded, Level, Report, Retry, Scope},
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] dm_config::Error),
    #[error(transparent)]
    Rejected(#[from] dm_state::Rejection),
    #[error(transparent)]
    Propose(#[from] dm_raft::ProposeError),
    #[error(transparent)]
    Raft(#[from] dm_raft::Error),
    #[error(transparent)]
    Transfer(#[from] dm_raft::node::TransferError),
    #[error(transparent)]
    Database(#[from] dm_mysql::Error),

    #[error("some error occurs in dm-master: no leader was elected within {waited_ms} ms")]
    NoLeader { waited_ms: u64 },
    #[error(transparent)]
    Tls(#[from] dm_runtime::tls::TlsError),
    #[error("request was forwarded already and this dm-master is not the leader")]
    ForwardedTwice,
    #[error("leader at {addr} cannot be reached")]
    Forward {
        addr: String,
        #[source]
        source: dm_runtime::channel::BadAddress,
    },
    #[error("request has {n_bytes} bytes, more than {max_bytes}")]
    RequestTooLarge { n_bytes: usize, max_bytes: usize },
    #[error("other operations on task {task} are in progress")]
    Busy { task: TaskName },
    #[error("operation {op} is not one of {expected}")]
    BadOperation { op: String, expected: &'static str },
    #[error("`{text}` is not a valid {what}")]
    BadArgument { what: &'static str, text: String },
    #[error("source config needs `enable-gtid` off, or GTIDs on the server: gtid_mode is {mode}")]
    GtidOff { mode: String },
    #[error("source {source_id} has `flavor: {given}`, but the server is {found}")]
    OtherFlavor { source_id: SourceId, given: &'static str, found: &'static str },
    #[error("source {source_id} writes no binlog: log_bin is off")]
    BinlogOff { source_id: SourceId },
    #[error("source {source_id} writes binlog_format {format}, which has no row changes")]
    BinlogFormat { source_id: SourceId, format: String },
    #[error("source {source_id} did not answer within {seconds} s")]
    SourceSilent { source_id: SourceId, seconds: u64 },
    #[error("target of {task} did not answer within {seconds} s")]
    TargetSilent { task: TaskName, seconds: u64 },
    #[error("the request was given up because this dm-master lost its leadership")]
    LeadershipLost,
    #[error("removing {name} leaves {n_voters} voting dm-masters, of which {n_alive} answer: no majority")]
    NoMajorityLeft { name: MasterName, n_alive: usize, n_voters: usize },
    #[error("{name} is evicted from leading")]
    Evicted { name: MasterName },
    #[error("the next leader refused: {text}")]
    RefusedElsewhere { text: String },
    #[error("dm-master has no secret key: `secret-key-path` is not set")]
    NoSecretKey,
    #[error("not supported yet: {what}")]
    NotBuilt { what: &'static str },
    #[error("no dm-master of `join` answered: {tried}")]
    NobodyToJoin { tried: String },
    #[error("cannot read {path}")]
    ReadFile {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{addr} is not an address to listen on")]
    Listen {
        addr: String,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    ListenApi(#[from] dm_runtime::serve::ListenError),
    #[error("dm-master cannot go on: {reason}")]
    Fatal { reason: String },
}

const fn master(number: u32, level: Level, workaround: &'static str) -> Code {
    Code::new(number, Class::DmMaster, Scope::Internal, level, workaround)
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Config(error) => error.code(),
            Self::Rejected(error) => error.code(),
            Self::Propose(error) => error.code(),
            Self::Raft(error) => error.code(),
            Self::Transfer(error) => error.code(),
            Self::Database(error) => error.code(),
            Self::NoLeader { .. } => {
                master(38003, Level::High, "Check that a majority of the dm-masters is running and reachable.")
            }
            Self::ForwardedTwice => {
                master(38043, Level::High, "Please repeat the request; the leader has just changed.")
            }
            Self::Forward { .. } => master(60301, Level::High, "Please check the leader's `advertise-addr`."),
            Self::RequestTooLarge { .. } => master(60302, Level::Medium, "Please split the task or the source file."),
            Self::Busy { .. } => Code::new(
                46024,
                Class::Scheduler,
                Scope::Internal,
                Level::Low,
                "Please try again later, after the other operation on the task has ended.",
            ),
            Self::BadOperation { .. } | Self::BadArgument { .. } => {
                master(60303, Level::Medium, "Please correct the command.")
            }
            Self::GtidOff { .. } => Code::new(
                26007,
                Class::TaskCheck,
                Scope::Upstream,
                Level::Medium,
                "Please check `enable-gtid` in the source file and gtid_mode of the server.",
            ),
            Self::OtherFlavor { .. } => Code::new(
                60311,
                Class::DmMaster,
                Scope::Upstream,
                Level::Medium,
                "Please correct `flavor` in the source file, or leave it out.",
            ),
            Self::BinlogOff { .. } | Self::BinlogFormat { .. } => Code::new(
                60304,
                Class::DmMaster,
                Scope::Upstream,
                Level::High,
                "Please set log_bin on and binlog_format to ROW on the server.",
            ),
            Self::SourceSilent { .. } => Code::new(
                10002,
                Class::Database,
                Scope::Upstream,
                Level::High,
                "Please check `from` in the source file.",
            ),
            Self::TargetSilent { .. } => Code::new(
                10002,
                Class::Database,
                Scope::Downstream,
                Level::High,
                "Please check `target-database` in the task file.",
            ),
            Self::LeadershipLost => master(60305, Level::Medium, "Please look at the status and repeat the request."),
            Self::NoMajorityLeft { .. } => {
                master(60312, Level::High, "Please start the other dm-masters, or remove those that are dead first.")
            }
            Self::Evicted { .. } => master(60314, Level::Low, "Please use `operate-leader cancel-evict` first."),
            Self::RefusedElsewhere { .. } => master(60313, Level::Medium, "Please repeat the request."),
            Self::NoSecretKey => master(11127, Level::High, "Please set `secret-key-path` on all dm-masters."),
            Self::NotBuilt { .. } => master(60306, Level::Medium, ""),
            Self::NobodyToJoin { .. } => {
                master(60307, Level::High, "Please check `join`: client addresses of running dm-masters.")
            }
            Self::ReadFile { .. } | Self::Tls(_) => {
                master(60308, Level::High, "Please check the path in the configuration.")
            }
            Self::Listen { .. } | Self::ListenApi(_) => {
                master(60309, Level::High, "Please check that the port is free and the address is this machine's.")
            }
            Self::Fatal { .. } => master(60310, Level::High, "See the log of this dm-master for the cause."),
        }
    }
}

impl Error {
    pub fn report(&self) -> Report {
        Report::of(self, Retry::Never)
    }

    /// The form clients see: `[code=…], Message: …`.
    pub fn text(&self) -> String {
        self.report().to_string()
    }

    /// The gRPC code says what a client may conclude: `FailedPrecondition` is "certainly not carried out, try again",
    /// `Unknown` is "perhaps carried out". `Unavailable` is left to the transport.
    pub(crate) fn status(&self) -> tonic::Status {
        let text = self.text();
        match self {
            Self::NoLeader { .. } | Self::ForwardedTwice => tonic::Status::failed_precondition(text),
            Self::Propose(error) if error.is_before_append() => tonic::Status::failed_precondition(text),
            Self::Propose(_) | Self::LeadershipLost => tonic::Status::unknown(text),
            Self::RequestTooLarge { .. } | Self::BadOperation { .. } | Self::BadArgument { .. } | Self::Rejected(_) => {
                tonic::Status::invalid_argument(text)
            }
            Self::Config(_)
            | Self::Raft(_)
            | Self::Transfer(_)
            | Self::Database(_)
            | Self::Forward { .. }
            | Self::Busy { .. }
            | Self::GtidOff { .. }
            | Self::OtherFlavor { .. }
            | Self::BinlogOff { .. }
            | Self::BinlogFormat { .. }
            | Self::SourceSilent { .. }
            | Self::TargetSilent { .. }
            | Self::NoMajorityLeft { .. }
            | Self::Evicted { .. }
            | Self::RefusedElsewhere { .. }
            | Self::NoSecretKey
            | Self::NotBuilt { .. }
            | Self::NobodyToJoin { .. }
            | Self::ReadFile { .. }
            | Self::Tls(_)
            | Self::Listen { .. }
            | Self::ListenApi(_)
            | Self::Fatal { .. } => tonic::Status::internal(text),
        }
    }
}
