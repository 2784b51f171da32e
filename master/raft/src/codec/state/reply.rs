//! Replies, as remembered answers hold them.

use dm_proto::raftlog as pb;
use dm_state::{
    Reply,
    reply::{Expired, Grant, Opened, TaskCreated},
};

use crate::{
    codec::convert::{Convert, list, names, records},
    error::Corrupt,
};

records! {
    Grant { subtask: message, epoch: value }
    Expired { sessions: list, granted: list, not_placed: list }
    TaskCreated { created: list, existed: list, granted: list }
}

names! { Opened { New, Resumed } }

impl Convert for Reply {
    type Message = pb::Reply;

    fn to_message(&self) -> pb::Reply {
        use pb::reply::Kind;
        let kind = match self {
            Self::Done => Kind::Done(pb::Done {}),
            Self::MasterRegistered(node) => Kind::MasterRegistered(node.to_message()),
            Self::SessionOpened { session, opened } => {
                Kind::SessionOpened(pb::SessionOpened { session: session.to_message(), opened: opened.to_message() })
            }
            Self::Assigned(granted) => Kind::Assigned(pb::Assigned { granted: list::to(granted) }),
            Self::Expired(expired) => Kind::Expired(expired.to_message()),
            Self::TaskCreated(created) => Kind::TaskCreated(created.to_message()),
            Self::SubtasksDeleted(subtasks) => {
                Kind::SubtasksDeleted(pb::SubtasksDeleted { subtasks: list::to(subtasks) })
            }
            Self::ProgressTaken { n_taken, n_ignored } => {
                Kind::ProgressTaken(pb::ProgressTaken { n_taken: *n_taken, n_ignored: *n_ignored })
            }
            Self::OperatorPut(id) => Kind::OperatorPut(id.to_message()),
            Self::OperatorsRemoved(ids) => Kind::OperatorsRemoved(pb::OperatorsRemoved { ids: list::to(ids) }),
            Self::Rejected(rejection) => Kind::Rejected(rejection.to_message()),
        };
        pb::Reply { kind: Some(kind) }
    }

    fn of_message(message: pb::Reply) -> Result<Self, Corrupt> {
        use pb::reply::Kind;
        Ok(match message.kind.ok_or(Corrupt::Unknown("reply"))? {
            Kind::Done(pb::Done {}) => Self::Done,
            Kind::MasterRegistered(node) => Self::MasterRegistered(Convert::of_message(node)?),
            Kind::SessionOpened(pb::SessionOpened { session, opened }) => {
                Self::SessionOpened { session: Convert::of_message(session)?, opened: Convert::of_message(opened)? }
            }
            Kind::Assigned(pb::Assigned { granted }) => Self::Assigned(list::of(granted, "granted")?),
            Kind::Expired(expired) => Self::Expired(Convert::of_message(expired)?),
            Kind::TaskCreated(created) => Self::TaskCreated(Convert::of_message(created)?),
            Kind::SubtasksDeleted(pb::SubtasksDeleted { subtasks }) => {
                Self::SubtasksDeleted(list::of(subtasks, "subtasks")?)
            }
            Kind::ProgressTaken(pb::ProgressTaken { n_taken, n_ignored }) => Self::ProgressTaken { n_taken, n_ignored },
            Kind::OperatorPut(id) => Self::OperatorPut(Convert::of_message(id)?),
            Kind::OperatorsRemoved(pb::OperatorsRemoved { ids }) => Self::OperatorsRemoved(list::of(ids, "ids")?),
            Kind::Rejected(rejection) => Self::Rejected(Convert::of_message(rejection)?),
        })
    }
}
