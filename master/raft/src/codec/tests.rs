use dm_model::{MasterName, Revision, SessionId, SourceId, TaskName, WorkerName};
use dm_state::{
    command::{
        Assign, Bootstrap, CasMeta, CreateTask, Expect, NewSubtask, OpenSession, PutMeta, PutSource, RegisterMaster,
        RegisterWorker, SetClusterVersion,
    },
    record::{ConfigText, MasterAddresses, Wanted},
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

fn commands(text: &str, bytes: &[u8]) -> Vec<Command> {
    let source = SourceId::parse("source-1").unwrap();
    let worker = WorkerName::parse("worker-1").unwrap();
    let task = TaskName::parse("task-1").unwrap();
    vec![
        Command::Bootstrap(Bootstrap { cluster_id: dm_model::ClusterId("c".into()), founders: Vec::new() }),
        Command::SetClusterVersion(SetClusterVersion { version: 1 }),
        Command::RegisterMaster(RegisterMaster {
            name: MasterName::parse("m1").unwrap(),
            store_uuid: "store".into(),
            addresses: MasterAddresses { peer: text.into(), client: text.into() },
        }),
        Command::RegisterWorker(RegisterWorker { name: worker.clone(), addr: text.into() }),
        Command::OpenSession(OpenSession {
            worker,
            instance_uuid: "i".into(),
            addr: text.into(),
            version: text.into(),
            takeover: dm_state::apply::session::Takeover::Refuse,
        }),
        Command::PutSource(PutSource {
            source: source.clone(),
            config: ConfigText::new(text),
            expect: Expect::ChangedAt(Revision(3)),
        }),
        Command::PutSource(PutSource { source: source.clone(), config: ConfigText::new(text), expect: Expect::Any }),
        Command::CreateTask(CreateTask {
            task,
            config: ConfigText::new(text),
            subtasks: vec![NewSubtask { source: source.clone(), start: None }],
            wanted: Wanted::Running,
        }),
        Command::Assign(Assign { source, session: SessionId(5), expect: None }),
        Command::PutMeta(PutMeta { key: "k".into(), value: bytes.to_vec() }),
        Command::CasMeta(CasMeta { key: "k".into(), expect: Some(bytes.to_vec()), value: bytes.to_vec() }),
    ]
}

proptest! {
    #[test]
    fn commands_and_the_states_they_make_read_back_as_written(
        text in "\\PC{0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..40), time in any::<i64>(), seq in 1u64..,
    ) {
        let mut state = State::default();
        for (index, command) in (1..).zip(commands(&text, &bytes)) {
            let mut entry = Entry::new(UnixMillis(time), command);
            entry.client = (index % 2 == 0).then(|| ClientSeq { client: ClientId("client".into()), seq: seq.saturating_add(index) });
            round_trip(&entry);
            let stamp = entry.stamp(Revision(index));
            dm_state::apply(&mut state, stamp, entry.command);
            let encoded = encode_state(&state).unwrap();
            prop_assert_eq!(&decode_state(encoded.clone().into()).unwrap(), &state);
            prop_assert_eq!(encode_state(&decode_state(encoded.clone().into()).unwrap()).unwrap(), encoded);
        }
    }
}
