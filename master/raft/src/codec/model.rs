//! Names, numbers and places of `dm-model`.

use dm_model::{
    BinlogPosition, ClusterId, Epoch, Flavor, GtidSet, Incarnation, Location, MasterName, NodeId, Revision, SessionId,
    SourceId, Stage, SubtaskId, TaskName, UnitKind, UnixMillis, WorkerName,
};
use dm_proto::raftlog as pb;

use super::convert::{Convert, names, records, wrapped};
use crate::error::Corrupt;

wrapped! {
    Revision(u64)
    SessionId(u64)
    NodeId(u64)
    Incarnation(u64)
    Epoch(u64)
    UnixMillis(i64)
    ClusterId(String)
}

macro_rules! checked {
    ($($name:ident)*) => { $(
        impl Convert for $name {
            type Message = String;

            fn to_message(&self) -> String {
                self.as_str().to_owned()
            }

            fn of_message(message: String) -> Result<Self, Corrupt> {
                Self::parse(message).map_err(|error| Corrupt::Invalid("name", error.to_string()))
            }
        }
    )* };
}

checked! { MasterName WorkerName SourceId TaskName }

records! {
    SubtaskId { task: value, source: value }
    BinlogPosition { file: value, offset: value }
    Location { position: message, gtid: option }
}

names! {
    Stage { New, Running, Paused, Stopped, Finished, Pausing, Resuming, Stopping }
    UnitKind { Check, Dump, Load, Sync, Relay }
    Flavor { MySql, MariaDb }
}

impl Convert for GtidSet {
    type Message = pb::GtidSet;

    fn to_message(&self) -> pb::GtidSet {
        pb::GtidSet { flavor: self.flavor().to_message(), text: self.to_string() }
    }

    fn of_message(message: pb::GtidSet) -> Result<Self, Corrupt> {
        let flavor = Flavor::of_message(message.flavor)?;
        Self::parse(flavor, &message.text).map_err(|error| Corrupt::Invalid("GTID set", error.to_string()))
    }
}
