use dm_model::{ClusterId, UnixMillis, WorkerName};
use dm_state::{
    Stamp, apply,
    apply::session::Takeover,
    command::{
        Assign, BeginMove, Bootstrap, CreateTask, Expect, NewSubtask, OpenSession, PutOperator, PutSource,
        RegisterWorker, SetWanted,
    },
    record::{ConfigText, OperatorAction, OperatorAt, StartArguments},
};

use super::*;
use crate::leader::assignments;

const SESSION: SessionId = SessionId(3);

fn id() -> SubtaskId {
    SubtaskId::new(TaskName::parse("t").unwrap(), SourceId::parse("s").unwrap())
}

fn run(state: &mut State, command: Command) -> Revision {
    let index = Revision(state.applied().0 + 1);
    let applied = apply(state, Stamp::new(index, UnixMillis(0)), command);
    assert_eq!(applied.reply.rejection(), None);
    index
}

/// A worker with session 3 that owns one subtask with a start time and an operator.
fn state() -> State {
    let mut state = State::default();
    let worker = WorkerName::parse("w").unwrap();
    run(&mut state, Command::Bootstrap(Bootstrap { cluster_id: ClusterId("c".into()), founders: Vec::new() }));
    run(&mut state, Command::RegisterWorker(RegisterWorker { name: worker.clone(), addr: "h:1".into() }));
    let open = OpenSession {
        worker,
        instance_uuid: "i".into(),
        addr: "h:1".into(),
        version: String::new(),
        takeover: Takeover::Refuse,
        keepalive_ms: 0,
    };
    run(&mut state, Command::OpenSession(open));
    let put = PutSource { source: id().source, config: ConfigText::new("source"), expect: Expect::Absent };
    run(&mut state, Command::PutSource(put));
    run(&mut state, Command::Assign(Assign { source: id().source, session: SESSION, expect: None }));
    let start = StartArguments { start_time: Some("2026-01-01 00:00:00".into()), safe_mode_duration: None };
    let create = CreateTask {
        task: id().task,
        config: ConfigText::new("task"),
        subtasks: vec![NewSubtask { source: id().source, start: Some(start) }],
        wanted: Wanted::Running,
    };
    run(&mut state, Command::CreateTask(create));
    let operator = PutOperator {
        subtask: id(),
        at: OperatorAt::Position(BinlogPosition::new("b.000001", 7)),
        action: OperatorAction::Skip,
    };
    run(&mut state, Command::PutOperator(operator));
    state
}

fn owner(state: &State) -> Epoch {
    state.subtask(&id()).unwrap().owner.unwrap().epoch
}

fn report(epoch: Epoch) -> (SubtaskId, SubtaskReport) {
    let report = SubtaskReport { task: "t".into(), source: "s".into(), epoch: epoch.0, ..SubtaskReport::default() };
    (id(), report)
}

#[test]
fn an_assignment_has_all_a_worker_needs() {
    let state = state();
    let assignments = assignments::for_session(&state, SESSION);
    assert_eq!(assignments.revision, state.applied().0);
    let [one] = &assignments.subtasks[..] else { panic!("{assignments:?}") };
    assert_eq!((one.task_yaml.as_str(), one.source_yaml.as_str()), ("task", "source"));
    assert_eq!((one.epoch, one.start_time.as_str()), (owner(&state).0, "2026-01-01 00:00:00"));
    assert_eq!(one.operators[0].position, "b.000001:7");
}

#[test]
fn what_is_used_up_is_forgotten_once_and_only_for_the_owner() {
    let state = state();
    let operator = state.subtask(&id()).unwrap().operators.keys().next().unwrap().0.0;
    let used = |epoch| {
        let (id, report) = report(epoch);
        let report = SubtaskReport { consumed_operators: vec![operator, 999], start_time_consumed: true, ..report };
        commands(&state, SESSION, 0, &[(id, report)], &BTreeMap::new())
    };
    let epoch = owner(&state);
    assert_eq!(
        used(epoch),
        [
            Command::ConsumeOperators(ConsumeOperators {
                subtask: id(),
                epoch,
                ids: vec![OperatorId(Revision(operator))]
            }),
            Command::ClearStartTime(ClearStartTime { subtask: id(), epoch }),
        ]
    );
    assert_eq!(used(Epoch(epoch.0 - 1)), []);
}

#[test]
fn a_stopped_subtask_is_released_when_its_worker_knows_and_reports_it_no_more() {
    let mut state = state();
    let epoch = owner(&state);
    let set = SetWanted { task: id().task, sources: Vec::new(), wanted: Wanted::Stopped };
    let told = run(&mut state, Command::SetWanted(set)).0;
    assert_eq!(assignments::for_session(&state, SESSION).subtasks, []);
    let release = [Command::Release(Release { subtask: id(), epoch })];
    let none = BTreeMap::new();
    assert_eq!(commands(&state, SESSION, told - 1, &[], &none), [], "it does not know yet");
    assert_eq!(commands(&state, SESSION, told, &[report(epoch)], &none), [], "it is still at it");
    assert_eq!(commands(&state, SESSION, told, &[], &none), release);
}

#[test]
fn a_draining_source_is_released_after_assignments_without_it() {
    let mut state = state();
    let epoch = owner(&state);
    let other = WorkerName::parse("other").unwrap();
    run(&mut state, Command::RegisterWorker(RegisterWorker { name: other.clone(), addr: "h:2".into() }));
    let told = run(&mut state, Command::BeginMove(BeginMove { source: id().source, to: Some(other) })).0;
    assert_eq!(assignments::for_session(&state, SESSION).subtasks, []);
    assert_eq!(commands(&state, SESSION, told, &[], &BTreeMap::new()), [], "not told yet");
    let noted = BTreeMap::from([(id().source, told)]);
    assert_eq!(commands(&state, SESSION, told - 1, &[], &noted), []);
    assert_eq!(commands(&state, SESSION, told, &[], &noted), [Command::Release(Release { subtask: id(), epoch })]);
}

#[test]
fn watermarks_keep_their_gtids_of_either_flavor() {
    let low = |gtid: &str| Progress {
        low: 5,
        low_file: "b.000001".into(),
        low_offset: 9,
        low_gtid: gtid.into(),
        ..Progress::default()
    };
    let gtid = |text: &str| watermark(&low(text)).unwrap().location.gtid.map(|gtid| gtid.flavor());
    assert_eq!(gtid("c0149e17-dff1-11e8-b6a8-0242ac110004:1-14"), Some(dm_model::Flavor::MySql));
    assert_eq!(gtid("0-1-5"), Some(dm_model::Flavor::MariaDb));
    assert_eq!(gtid(""), None);
    assert_eq!(watermark(&Progress::default()), None);
}
