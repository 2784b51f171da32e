//! Remembered requests, and entries of the key-value space.

use dm_proto::raftlog as pb;
use dm_state::{
    Reply,
    state::{Client, MetaValue},
};

use crate::{
    codec::convert::{Convert, message, records},
    error::Corrupt,
};

records! { Client { id: value, last_seen: value, forgotten: value, answers: list } }

impl Convert for (u64, Reply) {
    type Message = pb::Answer;

    fn to_message(&self) -> pb::Answer {
        pb::Answer { seq: self.0, reply: Some(self.1.to_message()) }
    }

    fn of_message(answer: pb::Answer) -> Result<Self, Corrupt> {
        Ok((answer.seq, message::of(answer.reply, "reply")?))
    }
}

impl Convert for (String, MetaValue) {
    type Message = pb::MetaEntry;

    fn to_message(&self) -> pb::MetaEntry {
        let (key, MetaValue { value, revision }) = self;
        pb::MetaEntry { key: key.clone(), value: value.to_message(), revision: revision.0 }
    }

    fn of_message(entry: pb::MetaEntry) -> Result<Self, Corrupt> {
        let pb::MetaEntry { key, value, revision } = entry;
        let value = MetaValue { value: Convert::of_message(value)?, revision: Convert::of_message(revision)? };
        Ok((key, value))
    }
}
