//! Everything reads back as written; what is not known is never skipped; bytes once written stay what they are.

mod commands;
mod golden;
mod parts;

use std::collections::BTreeSet;

use dm_model::Revision;
use dm_state::{ClientId, ClientSeq};
use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// What the examples are filled with.
#[derive(Debug, Clone)]
struct Fill {
    text: String,
    bytes: Vec<u8>,
    number: u64,
}

impl Fill {
    fn plain() -> Self {
        Self { text: "text".into(), bytes: vec![1, 255, 7], number: 7 }
    }
}

fn fills() -> impl Strategy<Value = Fill> {
    let number = prop_oneof![Just(0), Just(u64::MAX), any::<u64>()];
    ("\\PC{0,30}", proptest::collection::vec(any::<u8>(), 0..40), number).prop_map(|(text, bytes, number)| Fill {
        text,
        bytes,
        number,
    })
}

fn stamped(command: Command, fill: &Fill) -> Entry {
    let client = ClientSeq { client: ClientId(fill.text.clone()), seq: fill.number };
    Entry { time: UnixMillis(fill.number.cast_signed()), client: Some(client), command }
}

/// Is every field of this record given, none at its default?
fn is_full(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_u64() != Some(0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty() && items.iter().all(is_full),
        Value::Object(fields) => fields.values().all(is_full),
    }
}

fn full_examples<T: serde::Serialize>(examples: &[T], kind: impl Fn(&T) -> String) -> BTreeSet<String> {
    examples.iter().filter(|example| is_full(&serde_json::to_value(example).unwrap())).map(kind).collect()
}

/// The name of an enum's variant.
fn variant(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn read_back(entry: &Entry) {
    let bytes = encode_command(entry);
    let read = decode_command(&bytes).unwrap();
    assert_eq!(&read, entry);
    assert_eq!(encode_command(&read), bytes);
}

#[test]
fn there_is_a_full_example_of_every_kind_of_command_and_of_every_record() {
    let fill = Fill::plain();
    assert_eq!(full_examples(&commands::examples(&fill), variant), set(command::KINDS));
    assert_eq!(command::KINDS.len(), 30);
    assert!(is_full(&serde_json::to_value(parts::full(&fill)).unwrap()));
    let refused: BTreeSet<_> = parts::rejections(&fill).iter().map(variant).collect();
    assert_eq!(refused, set(state::rejection::REJECTIONS));
}

proptest! {
    #[test]
    fn commands_read_back_as_written(fill in fills()) {
        for command in commands::examples(&fill) {
            read_back(&stamped(command.clone(), &fill));
            read_back(&Entry::new(UnixMillis(0), command));
        }
    }

    #[test]
    fn records_of_the_state_read_back_as_written(fill in fills()) {
        let parts = parts::full(&fill);
        let body = pb::SnapshotBody { format: SNAPSHOT_FORMAT, parts: message::to(&parts) };
        let read = pb::SnapshotBody::decode(&*body.encode_to_vec()).unwrap();
        prop_assert_eq!(dm_state::state::Parts::of_message(read.parts.unwrap()).unwrap(), parts);
    }

    #[test]
    fn states_that_commands_make_read_back_as_written(fill in fills()) {
        let mut state = State::default();
        for (index, command) in (1..).zip(commands::examples(&fill)) {
            let entry = stamped(command, &Fill { number: index, ..fill.clone() });
            dm_state::apply(&mut state, entry.stamp(Revision(index)), entry.command);
            let bytes = encode_state(&state);
            let read = decode_state(bytes.clone().into()).unwrap();
            prop_assert_eq!(&read, &state);
            prop_assert_eq!(encode_state(&read), bytes);
        }
        prop_assert!(state.to_parts().tasks.len() == 1 && !state.to_parts().meta.is_empty());
    }

    #[test]
    fn bytes_that_are_no_command_give_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        prop_assert!(decode_command(&bytes).is_err());
        prop_assert!(decode_state(bytes).is_err());
    }
}

fn message_of_a_command() -> pb::Command {
    let command = commands::examples(&Fill::plain()).remove(0);
    pb::Command::decode(encode_command(&Entry::new(UnixMillis(5), command))).unwrap()
}

#[test]
fn a_command_of_a_later_version_stops_the_reader_with_a_clear_error() {
    let mut message = message_of_a_command();
    message.since = COMMAND_VERSION + 1;
    message.name = "fly-to-the-moon".into();
    let error = decode_command(&message.encode_to_vec().into()).unwrap_err();
    assert!(matches!(error, Corrupt::UnknownCommand { since, .. } if since == COMMAND_VERSION + 1));
    assert!(error.to_string().contains("fly-to-the-moon") && error.to_string().contains("upgrade"), "{error}");
}

#[test]
fn an_unknown_kind_of_command_stops_the_reader_with_a_clear_error() {
    let mut message = message_of_a_command();
    message.name = "fly-to-the-moon".into();
    message.command = None;
    let mut bytes = message.encode_to_vec();
    // Field 999, which this program's oneof does not have: an empty message.
    prost::encoding::encode_key(999, prost::encoding::WireType::LengthDelimited, &mut bytes);
    bytes.push(0);
    let error = decode_command(&bytes.into()).unwrap_err();
    assert!(matches!(error, Corrupt::UnknownCommand { .. }), "{error}");
    assert!(error.to_string().contains("fly-to-the-moon") && error.to_string().contains("upgrade"), "{error}");
}

#[test]
fn an_unknown_field_or_value_inside_a_command_or_a_state_is_not_skipped() {
    let fill = Fill::plain();
    // A field at the end of a known command: the last length prefix and the content grow by two bytes.
    let command = Command::PutMeta(dm_state::command::PutMeta { key: "k".into(), value: vec![1] });
    let mut bytes = encode_command(&Entry::new(UnixMillis(5), command)).to_vec();
    let at = bytes.iter().rposition(|byte| *byte == 6).unwrap();
    assert_eq!(bytes.len(), at + 7);
    bytes[at] += 2;
    bytes.extend([15 << 3, 1]);
    assert!(matches!(decode_command(&bytes.into()), Err(Corrupt::Unknown("command"))));

    let mut message = pb::SnapshotBody { format: SNAPSHOT_FORMAT, parts: message::to(&parts::full(&fill)) };
    let mut bytes = message.encode_to_vec();
    prost::encoding::encode_key(999, prost::encoding::WireType::Varint, &mut bytes);
    bytes.push(1);
    assert!(matches!(decode_state(bytes.into()), Err(Corrupt::Unknown("snapshot"))));

    message.parts.as_mut().unwrap().subtasks[0].wanted = 77;
    assert!(matches!(decode_state(message.encode_to_vec().into()), Err(Corrupt::Unknown("Wanted"))));
    message.parts.as_mut().unwrap().subtasks[0].wanted = 0;
    assert!(matches!(decode_state(message.encode_to_vec().into()), Err(Corrupt::Missing("Wanted"))));
    message.parts.as_mut().unwrap().subtasks[0].id = None;
    assert!(matches!(decode_state(message.encode_to_vec().into()), Err(Corrupt::Missing("id"))));
    message.format += 1;
    assert!(matches!(decode_state(message.encode_to_vec().into()), Err(Corrupt::Version(2))));
}
