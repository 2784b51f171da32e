//! Binlog operators.

use dm_proto::raftlog as pb;
use dm_state::record::{Operator, OperatorAction, OperatorAt, OperatorId};

use crate::{
    codec::convert::{Convert, message, records},
    error::Corrupt,
};

records! { Operator { at: message, action: message } }

impl Convert for OperatorId {
    type Message = u64;

    fn to_message(&self) -> u64 {
        self.0.0
    }

    fn of_message(message: u64) -> Result<Self, Corrupt> {
        Ok(Self(dm_model::Revision(message)))
    }
}

/// An entry of a subtask's map.
impl Convert for (OperatorId, Operator) {
    type Message = pb::OperatorEntry;

    fn to_message(&self) -> pb::OperatorEntry {
        pb::OperatorEntry { id: self.0.to_message(), operator: Some(self.1.to_message()) }
    }

    fn of_message(entry: pb::OperatorEntry) -> Result<Self, Corrupt> {
        Ok((Convert::of_message(entry.id)?, message::of(entry.operator, "operator")?))
    }
}

impl Convert for OperatorAt {
    type Message = pb::OperatorAt;

    fn to_message(&self) -> pb::OperatorAt {
        use pb::operator_at::Kind;
        let kind = match self {
            Self::Position(position) => Kind::Position(position.to_message()),
            Self::CurrentError => Kind::CurrentError(pb::Nothing {}),
        };
        pb::OperatorAt { kind: Some(kind) }
    }

    fn of_message(message: pb::OperatorAt) -> Result<Self, Corrupt> {
        use pb::operator_at::Kind;
        Ok(match message.kind.ok_or(Corrupt::Unknown("place of an operator"))? {
            Kind::Position(position) => Self::Position(Convert::of_message(position)?),
            Kind::CurrentError(pb::Nothing {}) => Self::CurrentError,
        })
    }
}

impl Convert for OperatorAction {
    type Message = pb::OperatorAction;

    fn to_message(&self) -> pb::OperatorAction {
        use pb::operator_action::Kind;
        let kind = match self {
            Self::Skip => Kind::Skip(pb::Nothing {}),
            Self::Replace(texts) => Kind::Replace(pb::Statements { texts: texts.clone() }),
            Self::Inject(texts) => Kind::Inject(pb::Statements { texts: texts.clone() }),
        };
        pb::OperatorAction { kind: Some(kind) }
    }

    fn of_message(message: pb::OperatorAction) -> Result<Self, Corrupt> {
        use pb::operator_action::Kind;
        Ok(match message.kind.ok_or(Corrupt::Unknown("action of an operator"))? {
            Kind::Skip(pb::Nothing {}) => Self::Skip,
            Kind::Replace(pb::Statements { texts }) => Self::Replace(texts),
            Kind::Inject(pb::Statements { texts }) => Self::Inject(texts),
        })
    }
}
