//! Bytes that were written once. A change here breaks every store there is: add fields, never alter these.

use sha2::{Digest, Sha256};

use super::*;

/// Per kind of command its first example, stamped; one line each.
const COMMANDS: &str = include_str!("golden.txt");
/// SHA-256 of a snapshot in which every field of every record is given.
const STATE_HASH: &str = "48573bb2125eb53a532890c7c66b9b8e2d543c36208b153215b0c890cc4859b9";

#[test]
fn commands_written_by_the_first_version_are_still_what_they_were() {
    let fill = Fill::plain();
    let mut written = std::collections::BTreeMap::new();
    for command in commands::examples(&fill) {
        written.entry(command.name()).or_insert_with(|| stamped(command, &fill));
    }
    assert_eq!(COMMANDS.lines().count(), command::KINDS.len());
    for line in COMMANDS.lines() {
        let (kind, bytes) = line.split_once(' ').unwrap();
        assert_eq!(hex::encode(encode_command(&written[kind])), bytes, "{kind}");
        assert_eq!(decode_command(&hex::decode(bytes).unwrap().into()).unwrap(), written[kind], "{kind}");
    }
}

#[test]
fn records_written_by_the_first_version_are_still_what_they_were() {
    let mut parts = parts::full(&Fill::plain());
    // fields that were added since
    parts.sessions.iter_mut().for_each(|session| session.keepalive_ms = 0);
    parts.subtasks.iter_mut().for_each(|subtask| subtask.unfenced = None);
    let body = pb::SnapshotBody { format: SNAPSHOT_FORMAT, parts: message::to(&parts) };
    assert_eq!(hex::encode(Sha256::digest(body.encode_to_vec())), STATE_HASH);
}
