//! What can go wrong in a master's Raft node.
//!
//! [`Error`] is for starting and running a node, [`ProposeError`](crate::node::ProposeError) for one command,
//! [`Corrupt`] says what is wrong with bytes.

use std::{io, path::PathBuf};

use dm_model::error::{Class, Code, Coded, Level, Scope};

/// Bytes that are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum Corrupt {
    #[error("shorter than its header")]
    Short,
    #[error("checksum is {actual:08x}, stored {stored:08x}")]
    Checksum { stored: u32, actual: u32 },
    #[error("format version {0} is not known to this version of dm-master")]
    Version(u8),
    #[error("entry kind {0} is not known to this version of dm-master")]
    Kind(u8),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("membership is not valid: {0}")]
    Membership(String),
    #[error("{0} is not valid: {1}")]
    Invalid(&'static str, String),
    #[error("{0} holds something this version of dm-master does not know: upgrade this dm-master")]
    Unknown(&'static str),
    #[error(
        "the log holds the command {name}, known since cluster version {since}, but this dm-master knows commands up to \
         version {known} and not this one: upgrade this dm-master"
    )]
    UnknownCommand { name: String, since: u32, known: u32 },
    #[error("not a message")]
    Message(#[from] prost::DecodeError),
    #[error("not a snapshot file")]
    NotASnapshot,
    #[error("hash of the snapshot does not match its content")]
    SnapshotHash,
}

impl From<Corrupt> for io::Error {
    fn from(error: Corrupt) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// Why a node could not be opened, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot use the directory {path}")]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot open the log database")]
    OpenLog(#[source] rocksdb::Error),
    #[error("cannot read the log database")]
    ReadLog(#[source] io::Error),
    #[error("log entry {index} is damaged")]
    DamagedEntry {
        index: u64,
        #[source]
        source: Corrupt,
    },
    #[error("log has a hole: entry {expected} is missing, the next one is {found}")]
    Hole { expected: u64, found: u64 },
    #[error(
        "the log ends at {last} but entries up to {acknowledged} were acknowledged: its end was lost, so this master must \
         not vote; remove it from the cluster (dmctl offline-member --master), clear its data directory and start it with --join"
    )]
    LostTail { last: u64, acknowledged: u64 },
    #[error(
        "the store holds a vote of term {term} but one of term {acknowledged} was given: it was lost, so this master must \
         not vote; remove it from the cluster (dmctl offline-member --master), clear its data directory and start it with --join"
    )]
    LostVote { term: u64, acknowledged: u64 },
    #[error(
        "entries up to {purged} were replaced by a snapshot, but {}: the state was lost; remove this master from the \
         cluster (dmctl offline-member --master), clear its data directory and start it with --join",
        .snapshot.map_or_else(|| "there is no snapshot".to_owned(), |last| format!("the newest snapshot ends at {last}"))
    )]
    LostSnapshot { purged: u64, snapshot: Option<u64> },
    #[error("the {what} in the store is damaged")]
    Damaged {
        what: &'static str,
        #[source]
        source: Corrupt,
    },
    #[error("cannot write to the log")]
    Write(#[source] io::Error),
    #[error("this store belongs to {what} {found}, not to {expected}")]
    OtherStore { what: &'static str, found: String, expected: String },
    #[error(
        "this master has an empty store, but {peer} knows the cluster {cluster} and has seen master {node} with another store: \
         its data was lost; remove the member (dmctl offline-member --master) and start it again with --join"
    )]
    StoreWasLost { peer: String, cluster: String, node: u64 },
    #[error(
        "this master has an empty store, but {peer} belongs to the cluster {cluster}; start it with --join to add it"
    )]
    ClusterExists { peer: String, cluster: String },
    #[error("{name} is not among the masters of the initial cluster")]
    NotInInitialCluster { name: String },
    #[error("no master of the cluster answered the request to join")]
    NobodyAnswered,
    #[error("the cluster refused the request to join: {0}")]
    JoinRefused(String),
    #[error("this master was admitted as node {node}, but did not become a voter in time; it goes on as a learner")]
    NotPromoted { node: u64 },
    #[error("cannot listen on the peer address")]
    Listen(#[source] io::Error),
    #[error("raft configuration is not valid: {0}")]
    Config(String),
    #[error("raft stopped: {0}")]
    Fatal(String),
}

const LOST_STORE: Code = Code::new(
    60101,
    Class::DmMaster,
    Scope::Internal,
    Level::High,
    "Remove the member from the cluster, clear its data directory and start it with --join.",
);
const DAMAGED_STORE: Code = Code::new(
    60102,
    Class::DmMaster,
    Scope::Internal,
    Level::High,
    "Check the disk; remove the member, clear its data directory and start it with --join.",
);
const JOIN: Code = Code::new(
    60103,
    Class::DmMaster,
    Scope::Internal,
    Level::High,
    "Check the peer addresses and that a majority of the masters is running.",
);
const STORAGE: Code =
    Code::new(60104, Class::DmMaster, Scope::Internal, Level::High, "Check the disk and its free space.");
const START: Code =
    Code::new(60105, Class::DmMaster, Scope::Internal, Level::High, "Check the master's configuration.");
const STOPPED: Code =
    Code::new(60106, Class::DmMaster, Scope::Internal, Level::High, "See the log of this master for the cause.");

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::LostTail { .. } | Self::LostVote { .. } | Self::LostSnapshot { .. } | Self::StoreWasLost { .. } => {
                LOST_STORE
            }
            Self::DamagedEntry { .. } | Self::Hole { .. } | Self::Damaged { .. } => DAMAGED_STORE,
            Self::ClusterExists { .. } | Self::NobodyAnswered | Self::JoinRefused(_) | Self::NotPromoted { .. } => JOIN,
            Self::Directory { .. } | Self::OpenLog(_) | Self::ReadLog(_) | Self::Write(_) => STORAGE,
            Self::OtherStore { .. } | Self::NotInInitialCluster { .. } | Self::Listen(_) | Self::Config(_) => START,
            Self::Fatal(_) => STOPPED,
        }
    }
}
