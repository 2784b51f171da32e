use dm_model::{ClusterId, Incarnation, MasterName, SourceId, TaskName, WorkerName};
use dm_state::{
    command::{
        Bootstrap, BumpIncarnation, CasMeta, DeleteMeta, PutMeta, RegisterMaster, RegisterWorker, RetireMaster,
        SetClusterVersion,
    },
    record::MasterAddresses,
};
use proptest::prelude::*;

use super::*;

fn round_trip(entry: &Entry) {
    let bytes = encode_command(entry).unwrap();
    assert_eq!(&decode_command(&bytes).unwrap(), entry);
    assert_eq!(encode_command(&decode_command(&bytes).unwrap()).unwrap(), bytes);
}

#[test]
fn a_command_of_a_later_version_stops_the_reader_with_a_clear_error() {
    let entry = Entry::new(UnixMillis(5), Command::SetClusterVersion(SetClusterVersion { version: 9 }));
    let mut message = pb::Command::decode(encode_command(&entry).unwrap()).unwrap();
    message.since = COMMAND_VERSION + 1;
    message.name = "fly-to-the-moon".into();
    let error = decode_command(&message.encode_to_vec().into()).unwrap_err();
    assert!(error.to_string().contains("fly-to-the-moon") && error.to_string().contains("upgrade"), "{error}");

    message.since = COMMAND_VERSION;
    message.body = Bytes::from_static(b"{\"FlyToTheMoon\":{}}");
    assert!(decode_command(&message.encode_to_vec().into()).is_err());
    assert!(decode_command(&Bytes::from_static(b"\xff\xff")).is_err());
}
