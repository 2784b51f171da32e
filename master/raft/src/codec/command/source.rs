//! Commands on sources.

use dm_model::Revision;
use dm_proto::raftlog as pb;
use dm_state::apply::source::{DeleteSource, Expect, PutSource};

use crate::{
    codec::convert::{Convert, records},
    error::Corrupt,
};

records! {
    PutSource { source: value, config: value, expect: message }
    DeleteSource { source: value }
}

impl Convert for Expect {
    type Message = pb::Expect;

    fn to_message(&self) -> pb::Expect {
        use pb::expect::Kind;
        let kind = match self {
            Self::Any => Kind::Any(pb::Nothing {}),
            Self::Absent => Kind::Absent(pb::Nothing {}),
            Self::Present => Kind::Present(pb::Nothing {}),
            Self::ChangedAt(revision) => Kind::ChangedAt(revision.0),
        };
        pb::Expect { kind: Some(kind) }
    }

    fn of_message(message: pb::Expect) -> Result<Self, Corrupt> {
        use pb::expect::Kind;
        Ok(match message.kind.ok_or(Corrupt::Unknown("expectation"))? {
            Kind::Any(pb::Nothing {}) => Self::Any,
            Kind::Absent(pb::Nothing {}) => Self::Absent,
            Kind::Present(pb::Nothing {}) => Self::Present,
            Kind::ChangedAt(revision) => Self::ChangedAt(Revision(revision)),
        })
    }
}
