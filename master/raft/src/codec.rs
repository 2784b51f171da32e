//! Commands and states as bytes. The one place that knows how `dm-state`'s values look on disk and on the wire.
//!
//! A protobuf envelope with the records in their named text form: names survive added fields and reordered variants.
//! A command newer than this program is [`Corrupt::UnknownCommand`]; the machine stops on it.

use bytes::Bytes;
use dm_model::{Revision, UnixMillis};
use dm_proto::raftlog as pb;
use dm_state::{ClientId, ClientSeq, Command, Entry, State, command::COMMAND_VERSION, state::Parts};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::Corrupt;

const SNAPSHOT_FORMAT: u32 = 1;

/// The largest command that is proposed.
pub const MAX_COMMAND_BYTES: usize = 1024 * 1024;

/// Encodes a log entry's command with its stamp.
pub fn encode_command(entry: &Entry) -> Result<Bytes, Corrupt> {
    let (client, client_seq) =
        entry.client.as_ref().map_or((String::new(), 0), |client| (client.client.0.clone(), client.seq));
    let message = pb::Command {
        since: entry.command.since(),
        name: entry.command.name().to_owned(),
        time_millis: entry.time.0,
        client,
        client_seq,
        body: text(&entry.command)?,
    };
    Ok(message.encode_to_vec().into())
}

/// The reverse of [`encode_command`].
pub fn decode_command(bytes: &Bytes) -> Result<Entry, Corrupt> {
    let message = pb::Command::decode(bytes.clone())?;
    if message.since > COMMAND_VERSION {
        return Err(Corrupt::UnknownCommand { name: message.name, since: message.since, known: COMMAND_VERSION });
    }
    let command: Command = value("command", &message.body)?;
    let client =
        (!message.client.is_empty()).then_some(ClientSeq { client: ClientId(message.client), seq: message.client_seq });
    Ok(Entry { time: UnixMillis(message.time_millis), client, command })
}

/// Encodes a whole state. Equal states give equal bytes.
pub fn encode_state(state: &State) -> Result<Vec<u8>, Corrupt> {
    let Parts { applied, cluster, masters, retired_stores, workers, sessions, sources, tasks, subtasks, meta, clients } =
        state.to_parts();
    let mut body = pb::SnapshotBody { format: SNAPSHOT_FORMAT, applied: applied.0, parts: Vec::new() };
    push(&mut body, "cluster", &[cluster])?;
    push(&mut body, "master", &masters)?;
    push(&mut body, "retired-store", &retired_stores)?;
    push(&mut body, "worker", &workers)?;
    push(&mut body, "session", &sessions)?;
    push(&mut body, "source", &sources)?;
    push(&mut body, "task", &tasks)?;
    push(&mut body, "subtask", &subtasks)?;
    push(&mut body, "meta", &meta)?;
    push(&mut body, "client", &clients)?;
    Ok(body.encode_to_vec())
}

/// The reverse of [`encode_state`]. A part this program does not know is an error: leaving it out would make replicas
/// differ.
pub fn decode_state(bytes: Bytes) -> Result<State, Corrupt> {
    let body = pb::SnapshotBody::decode(bytes)?;
    if body.format != SNAPSHOT_FORMAT {
        return Err(Corrupt::Version(u8::try_from(body.format).unwrap_or(u8::MAX)));
    }
    let mut parts = Parts { applied: Revision(body.applied), ..Parts::default() };
    for part in &body.parts {
        match part.kind.as_str() {
            "cluster" => parts.cluster = value("cluster", &part.record)?,
            "master" => parts.masters.push(value("master", &part.record)?),
            "retired-store" => parts.retired_stores.push(value("retired store", &part.record)?),
            "worker" => parts.workers.push(value("worker", &part.record)?),
            "session" => parts.sessions.push(value("session", &part.record)?),
            "source" => parts.sources.push(value("source", &part.record)?),
            "task" => parts.tasks.push(value("task", &part.record)?),
            "subtask" => parts.subtasks.push(value("subtask", &part.record)?),
            "meta" => parts.meta.push(value("meta value", &part.record)?),
            "client" => parts.clients.push(value("client", &part.record)?),
            kind => return Err(Corrupt::Invalid("kind of a state's part", kind.to_owned())),
        }
    }
    State::from_parts(parts).map_err(|error| Corrupt::Invalid("state", error.to_string()))
}

fn push<T: Serialize>(body: &mut pb::SnapshotBody, kind: &str, records: &[T]) -> Result<(), Corrupt> {
    for record in records {
        body.parts.push(pb::StatePart { kind: kind.to_owned(), record: text(record)? });
    }
    Ok(())
}

fn text<T: Serialize>(value: &T) -> Result<Bytes, Corrupt> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| Corrupt::Invalid("record", error.to_string()))
}

fn value<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, Corrupt> {
    serde_json::from_slice(bytes).map_err(|error| Corrupt::Invalid(what, error.to_string()))
}

#[cfg(test)]
mod tests;
