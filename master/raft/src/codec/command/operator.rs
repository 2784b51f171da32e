//! Commands on binlog operators.

use dm_proto::raftlog as pb;
use dm_state::apply::operator::{ConsumeOperators, PutOperator, RemoveOperators, Selection};

use crate::{
    codec::convert::{Convert, records},
    error::Corrupt,
};

records! {
    PutOperator { subtask: message, at: message, action: message }
    RemoveOperators { subtask: message, selection: message }
    ConsumeOperators { subtask: message, epoch: value, ids: list }
}

impl Convert for Selection {
    type Message = pb::Selection;

    fn to_message(&self) -> pb::Selection {
        use pb::selection::Kind;
        let kind = match self {
            Self::At(at) => Kind::At(at.to_message()),
            Self::From(position) => Kind::From(position.to_message()),
            Self::All => Kind::All(pb::Nothing {}),
        };
        pb::Selection { kind: Some(kind) }
    }

    fn of_message(message: pb::Selection) -> Result<Self, Corrupt> {
        use pb::selection::Kind;
        Ok(match message.kind.ok_or(Corrupt::Unknown("selection of operators"))? {
            Kind::At(at) => Self::At(Convert::of_message(at)?),
            Kind::From(position) => Self::From(Convert::of_message(position)?),
            Kind::All(pb::Nothing {}) => Self::All,
        })
    }
}
