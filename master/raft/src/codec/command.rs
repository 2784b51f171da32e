//! Commands: which kinds there are, and the records of each.

mod assign;
mod member;
mod meta_kv;
mod operator;
mod progress;
mod session;
mod source;
mod task;

use dm_proto::raftlog as pb;
use dm_state::{ClientId, ClientSeq, Command};

use super::convert::{Convert, records, wrapped};
use crate::error::Corrupt;

wrapped! { ClientId(String) }
records! { ClientSeq { client: value, seq: value } }

macro_rules! kinds {
    ($($kind:ident)*) => {
        /// Every kind's name.
        #[cfg(test)]
        pub(super) const KINDS: &[&str] = &[$(stringify!($kind)),*];

        impl Convert for Command {
            type Message = pb::command::Command;

            fn to_message(&self) -> pb::command::Command {
                match self { $(Self::$kind(command) => pb::command::Command::$kind(command.to_message()),)* }
            }

            fn of_message(message: pb::command::Command) -> Result<Self, Corrupt> {
                Ok(match message { $(pb::command::Command::$kind(command) => Self::$kind(Convert::of_message(command)?),)* })
            }
        }
    };
}

kinds! {
    Bootstrap
    SetClusterVersion
    BumpIncarnation
    RegisterMaster
    RetireMaster
    RegisterWorker
    RetireWorker
    OpenSession
    CloseSession
    ExpireSessions
    PutSource
    DeleteSource
    CreateTask
    UpdateTask
    DeleteSubtasks
    SetWanted
    ClearStartTime
    Assign
    ExpireAndAssign
    BeginMove
    Release
    FenceOff
    ConfirmFence
    ReportProgress
    PutOperator
    RemoveOperators
    ConsumeOperators
    PutMeta
    CasMeta
    DeleteMeta
}
