//! Commands and states as bytes, on disk and between masters: protobuf messages of `dm_proto::raftlog`.
//!
//! Owns: the conversions, one small file per concept, and the rule that nothing is skipped. A command, field or value
//! this program does not know is an error ([`Corrupt::UnknownCommand`], [`Corrupt::Unknown`]) on which the machine
//! stops: a master that passed over it would differ from the others for ever.
//! Never does: read a damaged entry; the checksum around these bytes is the caller's.

mod command;
mod convert;
mod model;
mod state;

use bytes::Bytes;
use dm_model::UnixMillis;
use dm_proto::raftlog as pb;
use dm_state::{Command, Entry, State, command::COMMAND_VERSION};
use prost::Message;

use self::convert::{Convert, message, option};
use crate::error::Corrupt;

const SNAPSHOT_FORMAT: u32 = 1;

/// The largest command that is proposed.
pub const MAX_COMMAND_BYTES: usize = 1024 * 1024;

/// Encodes a log entry's command with its stamp.
pub fn encode_command(entry: &Entry) -> Bytes {
    let Entry { time, client, command } = entry;
    let message = pb::Command {
        since: command.since(),
        name: command.name().to_owned(),
        time_millis: time.0,
        client: option::to(client),
        command: Some(command.to_message()),
    };
    message.encode_to_vec().into()
}

/// The reverse of [`encode_command`].
pub fn decode_command(bytes: &Bytes) -> Result<Entry, Corrupt> {
    let message = pb::Command::decode(bytes.clone())?;
    let unknown = |name: String| Corrupt::UnknownCommand { name, since: message.since, known: COMMAND_VERSION };
    if message.since > COMMAND_VERSION {
        return Err(unknown(message.name));
    }
    let whole = nothing_left_over("command", &message, bytes);
    let Some(command) = message.command else {
        return Err(unknown(message.name));
    };
    whole?;
    Ok(Entry {
        time: UnixMillis(message.time_millis),
        client: option::of(message.client, "client")?,
        command: Command::of_message(command)?,
    })
}

/// Encodes a whole state. Equal states give equal bytes.
pub fn encode_state(state: &State) -> Vec<u8> {
    let body = pb::SnapshotBody { format: SNAPSHOT_FORMAT, parts: message::to(&state.to_parts()) };
    body.encode_to_vec()
}

/// The reverse of [`encode_state`].
pub fn decode_state(bytes: Bytes) -> Result<State, Corrupt> {
    let body = pb::SnapshotBody::decode(bytes.clone())?;
    if body.format != SNAPSHOT_FORMAT {
        return Err(Corrupt::Version(u8::try_from(body.format).unwrap_or(u8::MAX)));
    }
    nothing_left_over("snapshot", &body, &bytes)?;
    State::from_parts(message::of(body.parts, "state")?).map_err(|error| Corrupt::Invalid("state", error.to_string()))
}

/// Messages drop fields they do not know. What was written by the same rules and has the same length lost none.
fn nothing_left_over(what: &'static str, message: &impl Message, bytes: &[u8]) -> Result<(), Corrupt> {
    if message.encoded_len() == bytes.len() { Ok(()) } else { Err(Corrupt::Unknown(what)) }
}

#[cfg(test)]
mod tests;
