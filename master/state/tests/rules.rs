//! What single commands do and refuse.

#[path = "world/names.rs"]
mod names;

use dm_model::{
    BinlogPosition, ClusterId, Epoch, Location, MasterName, NodeId, Revision, SessionId, Stage, UnitKind, UnixMillis,
    error::Coded,
};
use dm_state::{
    Applied, ClientId, ClientSeq, Command, Rejection, Reply, Stamp, State, apply,
    apply::{member::Founder, session::Takeover},
    command::*,
    record::*,
    reply::Opened,
};
use names::*;

struct World {
    state: State,
    index: u64,
}

impl World {
    /// Bootstrapped, with two workers online (sessions 4 and 5) and two sources.
    fn new() -> Self {
        let mut world = Self { state: State::default(), index: 0 };
        world.ok(Command::Bootstrap(Bootstrap { cluster_id: ClusterId("c".into()), founders: vec![] }));
        for n in 1..=2 {
            world.ok(Command::RegisterWorker(RegisterWorker { name: worker(n), addr: format!("a{n}") }));
        }
        for n in 1..=2 {
            world.open(n, "i");
        }
        for n in 1..=2 {
            world.ok(put_source(n, Expect::Absent));
        }
        world
    }

    fn apply(&mut self, command: Command) -> Applied {
        self.index += 1;
        apply(&mut self.state, Stamp::new(Revision(self.index), UnixMillis(0)), command)
    }

    fn ok(&mut self, command: Command) -> Reply {
        self.apply(command).reply.into_result().unwrap()
    }

    fn refused(&mut self, command: Command) -> Rejection {
        let before = self.state.to_parts();
        let rejection = self.apply(command).reply.into_result().unwrap_err();
        let mut after = self.state.to_parts();
        after.applied = before.applied;
        assert_eq!(before, after, "a refused command changes nothing");
        rejection
    }

    fn open(&mut self, n: usize, instance: &str) -> Reply {
        self.ok(open(n, instance, Takeover::Refuse))
    }

    fn epoch(&self, t: usize, s: usize) -> Option<u64> {
        self.state.subtask(&subtask(t, s))?.owner.map(|owner| owner.epoch.0)
    }
}

const W1: SessionId = SessionId(4);
const W2: SessionId = SessionId(5);

fn open(n: usize, instance: &str, takeover: Takeover) -> Command {
    Command::OpenSession(OpenSession {
        worker: worker(n),
        instance_uuid: instance.into(),
        addr: format!("a{n}"),
        version: "v".into(),
        takeover,
        keepalive_ms: 0,
    })
}

fn put_source(n: usize, expect: Expect) -> Command {
    Command::PutSource(PutSource { source: source(n), config: ConfigText::new("text"), expect })
}

fn create(t: usize, sources: &[usize], wanted: Wanted) -> Command {
    let start = Some(StartArguments { start_time: Some("2026-01-02 03:04:05".into()), safe_mode_duration: None });
    let subtasks = sources.iter().map(|s| NewSubtask { source: source(*s), start: start.clone() }).collect();
    Command::CreateTask(CreateTask { task: task(t), config: ConfigText::new("task"), subtasks, wanted })
}

fn assign(s: usize, session: SessionId, expect: Option<SessionId>) -> Command {
    Command::Assign(Assign { source: source(s), session, expect })
}

fn wanted(t: usize, wanted: Wanted) -> Command {
    Command::SetWanted(SetWanted { task: task(t), sources: vec![], wanted })
}

fn report(s: usize, epoch: u64, unit: u64, finished: bool) -> Command {
    let low = Some(Watermark { unit, location: Location::default() });
    Command::ReportProgress(ReportProgress {
        reports: vec![ProgressReport {
            subtask: subtask(1, s),
            epoch: Epoch(epoch),
            stage: Stage::Running,
            unit: UnitKind::Sync,
            low,
            chunks: Chunks::default(),
            finished,
        }],
    })
}

fn operator(at: OperatorAt) -> Command {
    Command::PutOperator(PutOperator { subtask: subtask(1, 1), at, action: OperatorAction::Skip })
}

fn at(offset: u64) -> OperatorAt {
    OperatorAt::Position(BinlogPosition::new("bin.000001", offset))
}

#[test]
fn nothing_is_accepted_before_bootstrap() {
    let mut state = State::default();
    let applied = apply(&mut state, Stamp::new(Revision(1), UnixMillis(0)), put_source(1, Expect::Any));
    assert_eq!(applied.reply, Reply::Rejected(Rejection::NotBootstrapped));
    assert_eq!(state.applied(), Revision(1));
}

#[test]
fn founders_are_numbered_by_name_and_joiners_by_index() {
    let name = |text: &str| MasterName::parse(text).unwrap();
    let founder = |text: &str| Founder { name: name(text), addresses: MasterAddresses::default() };
    let register = |text: &str, store: &str| {
        Command::RegisterMaster(RegisterMaster {
            name: name(text),
            store_uuid: store.into(),
            addresses: MasterAddresses { peer: "p".into(), client: "c".into() },
        })
    };
    let mut world = World { state: State::default(), index: 0 };
    let founders = vec![founder("m2"), founder("m1")];
    world.ok(Command::Bootstrap(Bootstrap { cluster_id: ClusterId("c".into()), founders }));
    assert_eq!(world.state.master(&name("m1")).unwrap().node, NodeId(1));
    assert_eq!(world.ok(register("m2", "u2")), Reply::MasterRegistered(NodeId(2)));
    assert_eq!(world.ok(register("m9", "u9")), Reply::MasterRegistered(NodeId(1003)));
    assert_eq!(world.ok(register("m9", "u9")), Reply::MasterRegistered(NodeId(1003)), "again: the same id");
    assert!(matches!(world.refused(register("m9", "wiped")), Rejection::MasterStoreDiffers { .. }));
    assert!(matches!(world.refused(register("m3", "u9")), Rejection::MasterStoreTaken { .. }));
    world.ok(Command::RetireMaster(RetireMaster { name: name("m9") }));
    assert!(matches!(world.refused(register("m9", "u9")), Rejection::MasterStoreRetired { .. }));
    assert!(matches!(
        world.refused(Command::Bootstrap(Bootstrap { cluster_id: ClusterId("d".into()), founders: vec![] })),
        Rejection::AlreadyBootstrapped { .. }
    ));
}

#[test]
fn a_known_worker_with_another_address_is_refused_with_46003() {
    let mut world = World::new();
    let register = |addr: &str| Command::RegisterWorker(RegisterWorker { name: worker(1), addr: addr.into() });
    assert_eq!(world.ok(register("a1")), Reply::Done);
    assert_eq!(world.refused(register("other")).code().number, 46003);
}

#[test]
fn an_online_worker_does_not_retire() {
    let mut world = World::new();
    let retire = || Command::RetireWorker(RetireWorker { name: worker(1) });
    assert_eq!(world.refused(retire()).code().number, 46005);
    world.ok(Command::CloseSession(CloseSession { session: W1 }));
    world.ok(retire());
    assert_eq!(world.refused(open(1, "i", Takeover::Refuse)).code().number, 46004);
}

#[test]
fn the_same_instance_keeps_its_session_and_another_one_must_take_over() {
    let mut world = World::new();
    world.ok(create(1, &[1], Wanted::Running));
    world.ok(assign(1, W1, None));
    assert_eq!(world.open(1, "i"), Reply::SessionOpened { session: W1, opened: Opened::Resumed });
    assert!(world.epoch(1, 1).is_some());
    assert!(matches!(
        world.refused(open(1, "other", Takeover::Refuse)),
        Rejection::SessionOfOtherInstance { session: W1, .. }
    ));
    let reply = world.ok(open(1, "other", Takeover::EndOther));
    assert_eq!(reply, Reply::SessionOpened { session: SessionId(world.index), opened: Opened::New });
    assert_eq!(world.epoch(1, 1), None);
    assert_eq!(world.state.source(&source(1)).unwrap().last_worker, Some(worker(1)));
}

#[test]
fn a_source_in_use_is_not_deleted() {
    let mut world = World::new();
    world.ok(create(1, &[1], Wanted::Running));
    let delete = |n| Command::DeleteSource(DeleteSource { source: source(n) });
    assert_eq!(world.refused(delete(1)).code().number, 46010);
    world.ok(delete(2));
    assert_eq!(world.refused(delete(2)).code().number, 46008);
    assert_eq!(world.refused(put_source(1, Expect::Absent)).code().number, 46007);
    assert!(matches!(
        world.refused(put_source(1, Expect::ChangedAt(Revision(1)))),
        Rejection::SourceChanged { present: Revision(6), .. }
    ));
    world.ok(put_source(1, Expect::ChangedAt(Revision(6))));
}

#[test]
fn a_task_grows_by_new_sources_and_is_refused_when_all_exist() {
    let mut world = World::new();
    world.ok(create(1, &[1], Wanted::Running));
    let Reply::TaskCreated(reply) = world.ok(create(1, &[1, 2], Wanted::Running)) else { panic!() };
    assert_eq!((reply.created, reply.existed), (vec![subtask(1, 2)], vec![subtask(1, 1)]));
    assert_eq!(world.refused(create(1, &[1, 2], Wanted::Running)).code().number, 46014);
    assert_eq!(world.refused(create(2, &[9], Wanted::Running)).code().number, 46008);
}

#[test]
fn a_task_goes_with_its_last_subtask() {
    let mut world = World::new();
    world.ok(create(1, &[1, 2], Wanted::Running));
    let delete = |s: &[usize]| {
        let sources = s.iter().map(|s| source(*s)).collect();
        Command::DeleteSubtasks(DeleteSubtasks { task: task(1), sources })
    };
    world.ok(delete(&[1]));
    assert_eq!(world.refused(delete(&[1])).code().number, 46034);
    world.ok(delete(&[]));
    assert!(world.state.task(&task(1)).is_none());
    assert_eq!(world.refused(delete(&[])).code().number, 46018);
}

#[test]
fn subtasks_of_a_placed_source_get_their_token_at_once() {
    let mut world = World::new();
    world.ok(assign(1, W1, None));
    let Reply::TaskCreated(reply) = world.ok(create(1, &[1, 2], Wanted::Running)) else { panic!() };
    assert_eq!(reply.granted.len(), 1);
    assert_eq!(world.epoch(1, 1), Some(world.index));
    assert_eq!(world.epoch(1, 2), None);
    world.ok(assign(2, W2, None));
    assert_eq!(world.epoch(1, 2), Some(world.index));
    let assigned = world.state.assignment_for(W1);
    assert_eq!(assigned.len(), 1);
    assert_eq!(assigned[0].owned[0].1.id, subtask(1, 1));
}

#[test]
fn assigning_to_the_present_session_keeps_tokens_and_fills_gaps() {
    let mut world = World::new();
    world.ok(create(1, &[1], Wanted::Running));
    world.ok(create(2, &[1], Wanted::Running));
    world.ok(assign(1, W1, None));
    let first = world.epoch(1, 1).unwrap();
    world.ok(Command::Release(Release { subtask: subtask(2, 1), epoch: Epoch(first) }));
    world.ok(assign(1, W1, Some(W1)));
    assert_eq!(world.epoch(1, 1), Some(first));
    assert_eq!(world.epoch(2, 1), Some(world.index));
    assert!(matches!(world.refused(assign(1, W2, None)), Rejection::PlacementChanged { present: Some(W1), .. }));
    world.ok(assign(1, W2, Some(W1)));
    assert_eq!((world.epoch(1, 1), world.epoch(2, 1)), (Some(world.index), Some(world.index)));
}

#[test]
fn expire_and_assign_leaves_no_gap_and_passes_over_dead_targets() {
    let mut world = World::new();
    world.ok(create(1, &[1, 2], Wanted::Running));
    world.ok(assign(1, W1, None));
    world.ok(assign(2, W1, None));
    let places = vec![Place { source: source(1), session: W2 }, Place { source: source(2), session: W1 }];
    let applied =
        world.apply(Command::ExpireAndAssign(ExpireAndAssign { sessions: vec![W1], places, reason: "r".into() }));
    let Reply::Expired(reply) = applied.reply else { panic!() };
    assert_eq!((reply.sessions, reply.not_placed), (vec![W1], vec![source(2)]));
    assert_eq!(world.epoch(1, 1), Some(world.index));
    assert_eq!(world.state.worker_of(&source(1)).unwrap().name, worker(2));
    assert_eq!(applied.touched.workers, [worker(1), worker(2)].into());
}

#[test]
fn a_resume_of_a_running_subtask_is_seen_by_its_revision() {
    let mut world = World::new();
    world.ok(create(1, &[1], Wanted::Running));
    let before = world.state.subtask(&subtask(1, 1)).unwrap().wanted_revision;
    let applied = world.apply(wanted(1, Wanted::Running));
    assert!(world.state.subtask(&subtask(1, 1)).unwrap().wanted_revision > before);
    assert!(applied.touched.subtasks.contains(&subtask(1, 1)));
}

#[test]
fn a_stopped_subtask_gets_no_token_until_it_is_wanted_again() {
    let mut world = World::new();
    world.ok(create(1, &[1], Wanted::Stopped));
    world.ok(assign(1, W1, None));
    assert_eq!(world.epoch(1, 1), None);
    world.ok(wanted(1, Wanted::Paused));
    assert_eq!(world.epoch(1, 1), Some(world.index));
}

#[test]
fn fencing_off_raises_the_token_and_leaves_no_owner() {
    let mut world = World::new();
    world.ok(create(1, &[1], Wanted::Running));
    world.ok(assign(1, W1, None));
    let old = world.epoch(1, 1).unwrap();
    world.ok(Command::FenceOff(FenceOff { subtasks: vec![subtask(1, 1)] }));
    assert_eq!(world.epoch(1, 1), None);
    assert_eq!(world.state.subtask(&subtask(1, 1)).unwrap().last_epoch.0, world.index);
    assert_eq!(world.ok(report(1, old, 1, false)), Reply::ProgressTaken { n_taken: 0, n_ignored: 1 });
}

#[test]
fn a_source_on_the_move_gives_no_new_tokens_where_it_is() {
    let mut world = World::new();
    world.ok(create(1, &[1], Wanted::Running));
    world.ok(assign(1, W1, None));
    let epoch = Epoch(world.epoch(1, 1).unwrap());
    world.ok(Command::BeginMove(BeginMove { source: source(1), to: Some(worker(2)) }));
    assert!(world.state.assignment_for(W1)[0].draining);
    world.ok(Command::Release(Release { subtask: subtask(1, 1), epoch }));
    world.ok(wanted(1, Wanted::Running));
    assert_eq!(world.epoch(1, 1), None);
    world.ok(assign(1, W2, Some(W1)));
    assert_eq!(world.epoch(1, 1), Some(world.index));
    assert_eq!(world.state.source(&source(1)).unwrap().moving_to, None);
}

#[test]
fn a_lower_watermark_of_the_same_incarnation_is_not_taken() {
    let mut world = World::new();
    world.ok(create(1, &[1], Wanted::Running));
    world.ok(assign(1, W1, None));
    let epoch = world.epoch(1, 1).unwrap();
    let low = |world: &World| {
        world.state.subtask(&subtask(1, 1)).unwrap().progress.as_ref().unwrap().low.as_ref().unwrap().unit
    };
    world.ok(report(1, epoch, 10, false));
    world.ok(report(1, epoch, 7, false));
    assert_eq!(low(&world), 10);
    world.ok(Command::BumpIncarnation(BumpIncarnation { tasks: dm_state::apply::member::RestoredTasks::Keep }));
    world.open(1, "j");
    world.ok(assign(1, SessionId(world.index), None));
    let newer = world.epoch(1, 1).unwrap();
    assert!(newer >= 1 << 48);
    world.ok(report(1, newer, 7, true));
    assert_eq!(low(&world), 7);
    assert_eq!(world.state.shown_stage(&subtask(1, 1)), Some(Stage::Finished));
}

#[test]
fn a_restore_pauses_tasks_and_ends_sessions() {
    let mut world = World::new();
    world.ok(create(1, &[1], Wanted::Running));
    world.ok(assign(1, W1, None));
    world.ok(Command::BumpIncarnation(BumpIncarnation { tasks: dm_state::apply::member::RestoredTasks::Pause }));
    assert_eq!(world.state.sessions().len(), 0);
    assert_eq!(world.state.subtask(&subtask(1, 1)).unwrap().wanted, Wanted::Paused);
}

#[test]
fn operators_wait_until_the_owner_has_used_them() {
    let mut world = World::new();
    world.ok(create(1, &[1], Wanted::Running));
    world.ok(assign(1, W1, None));
    let epoch = Epoch(world.epoch(1, 1).unwrap());
    world.ok(operator(at(4)));
    let Reply::OperatorPut(second) = world.ok(operator(at(4))) else { panic!() };
    world.ok(operator(OperatorAt::CurrentError));
    let Reply::OperatorPut(third) = world.ok(operator(at(9))) else { panic!() };
    assert_eq!(world.state.subtask(&subtask(1, 1)).unwrap().operators.len(), 3, "one per place");
    let consume = |epoch| {
        Command::ConsumeOperators(ConsumeOperators { subtask: subtask(1, 1), epoch, ids: vec![second, second] })
    };
    assert!(matches!(world.refused(consume(Epoch(1))), Rejection::EpochNotPresent { .. }));
    assert_eq!(world.ok(consume(epoch)), Reply::OperatorsRemoved(vec![second]));
    assert_eq!(world.ok(consume(epoch)), Reply::OperatorsRemoved(vec![]));
    let revert = || {
        let selection = Selection::From(BinlogPosition::new("bin.000001", 5));
        Command::RemoveOperators(RemoveOperators { subtask: subtask(1, 1), selection })
    };
    assert_eq!(world.ok(revert()), Reply::OperatorsRemoved(vec![third]));
    assert!(matches!(world.refused(revert()), Rejection::NoOperator { .. }));
    let replace = OperatorAction::Replace(vec![]);
    assert!(matches!(
        world.refused(Command::PutOperator(PutOperator { subtask: subtask(1, 1), at: at(1), action: replace })),
        Rejection::OperatorWithoutStatement { .. }
    ));
}

#[test]
fn start_arguments_are_cleared_by_the_owner_only() {
    let mut world = World::new();
    world.ok(create(1, &[1], Wanted::Running));
    world.ok(assign(1, W1, None));
    let epoch = Epoch(world.epoch(1, 1).unwrap());
    let clear = |epoch| Command::ClearStartTime(ClearStartTime { subtask: subtask(1, 1), epoch });
    assert!(matches!(world.refused(clear(Epoch(1))), Rejection::EpochNotPresent { .. }));
    world.ok(clear(epoch));
    assert_eq!(world.state.subtask(&subtask(1, 1)).unwrap().start, None);
    assert!(world.apply(clear(epoch)).touched.is_empty());
}

#[test]
fn a_running_task_is_not_updated() {
    let mut world = World::new();
    world.ok(create(1, &[1], Wanted::Running));
    let update = || Command::UpdateTask(UpdateTask { task: task(1), config: ConfigText::new("new"), expect: None });
    assert_eq!(world.refused(update()).code().number, 46035);
    world.ok(wanted(1, Wanted::Paused));
    world.ok(update());
    assert_eq!(world.state.subtask(&subtask(1, 1)).unwrap().config.as_str(), "new");
}

#[test]
fn compare_and_set_writes_only_over_the_expected_value() {
    let mut world = World::new();
    let cas = |expect: Option<&str>, value: &str| {
        Command::CasMeta(CasMeta {
            key: "k".into(),
            expect: expect.map(|e| e.as_bytes().to_vec()),
            value: value.into(),
        })
    };
    world.ok(cas(None, "1"));
    let written = Revision(world.index);
    assert_eq!(world.refused(cas(None, "2")), Rejection::MetaDiffers { present: Some(written) });
    world.ok(cas(Some("1"), "2"));
    world.ok(Command::DeleteMeta(DeleteMeta { key: "k".into() }));
    assert!(world.state.meta("k").is_none());
    let big = PutMeta { key: "k".into(), value: vec![0; 70_000] };
    assert!(matches!(world.refused(Command::PutMeta(big)), Rejection::TooLarge { .. }));
}

#[test]
fn a_repeated_request_gets_its_answer_and_changes_nothing() {
    let mut world = World::new();
    let mut request = |seq: u64, command: Command| {
        world.index += 1;
        let client = Some(ClientSeq { client: ClientId("x".into()), seq });
        let stamp = Stamp { index: Revision(world.index), time: UnixMillis(0), client };
        apply(&mut world.state, stamp, command)
    };
    let put = || put_meta();
    let first = request(2, put());
    let again = request(2, put());
    assert_eq!(first.reply, again.reply);
    assert!(again.touched.is_empty());
    // a refusal is an answer too: the repeated request must not succeed later
    let refused = request(3, put_source(1, Expect::Absent));
    request(4, Command::DeleteSource(DeleteSource { source: source(1) }));
    assert_eq!(request(3, put_source(1, Expect::Absent)).reply, refused.reply);
    // out of order within what is kept
    assert_eq!(request(1, put()).reply, Reply::Done);
    for seq in 5..100 {
        request(seq, put());
    }
    assert!(matches!(request(2, put()).reply, Reply::Rejected(Rejection::RequestForgotten { .. })));
}

fn put_meta() -> Command {
    Command::PutMeta(PutMeta { key: "k".into(), value: vec![1] })
}

#[test]
fn an_index_that_is_not_new_is_refused() {
    let mut world = World::new();
    let stamp = Stamp::new(Revision(world.index), UnixMillis(0));
    let applied = apply(&mut world.state, stamp, put_meta());
    assert!(matches!(applied.reply, Reply::Rejected(Rejection::IndexNotAbove { .. })));
}

#[test]
fn debug_output_keeps_configuration_to_itself() {
    let text = format!("{:?} {}", put_source(1, Expect::Any), put_source(1, Expect::Any));
    assert!(!text.contains("\"text\""), "{text}");
}

#[test]
fn expire_and_assign_does_not_move_what_another_session_carries() {
    let mut world = World::new();
    world.ok(create(1, &[1, 2], Wanted::Running));
    world.ok(assign(1, W1, None));
    let epoch = world.epoch(1, 1);
    let places = vec![Place { source: source(1), session: W2 }, Place { source: source(9), session: W2 }];
    let command = ExpireAndAssign { sessions: vec![SessionId(99)], places, reason: "r".into() };
    let Reply::Expired(reply) = world.ok(Command::ExpireAndAssign(command)) else { panic!() };
    assert_eq!((reply.sessions, reply.not_placed), (vec![], vec![source(1), source(9)]));
    assert_eq!(world.epoch(1, 1), epoch);
}

/// Makes a subtask that the first worker owns; gives its token.
fn owned(world: &mut World) -> Epoch {
    world.ok(create(1, &[1], Wanted::Running));
    world.ok(assign(1, W1, None));
    Epoch(world.epoch(1, 1).unwrap())
}

fn unfenced(world: &World) -> Option<Epoch> {
    world.state.subtask(&subtask(1, 1)).unwrap().unfenced
}

#[test]
fn a_token_taken_without_its_owners_word_stays_to_be_fenced() {
    type Take = fn(&mut World);
    let takes: [(&str, Take); 5] = [
        ("expired", |world| {
            world.ok(Command::ExpireSessions(ExpireSessions { sessions: vec![W1], reason: String::new() }));
        }),
        ("expired and placed anew", |world| {
            let places = vec![Place { source: source(1), session: W2 }];
            world.ok(Command::ExpireAndAssign(ExpireAndAssign { sessions: vec![W1], places, reason: String::new() }));
        }),
        ("replaced by another life of its worker", |world| {
            world.ok(open(1, "another", Takeover::EndOther));
        }),
        ("moved before it was drained", |world| {
            world.ok(assign(1, W2, Some(W1)));
        }),
        ("fenced off", |world| {
            world.ok(Command::FenceOff(FenceOff { subtasks: vec![subtask(1, 1)] }));
        }),
    ];
    for (how, take) in takes {
        let mut world = World::new();
        let old = owned(&mut world);
        assert_eq!(unfenced(&world), None);
        take(&mut world);
        assert_eq!(unfenced(&world), Some(old), "{how}");
    }
}

#[test]
fn an_owner_that_let_go_leaves_nothing_to_be_fenced() {
    let mut world = World::new();
    let epoch = owned(&mut world);
    world.ok(Command::Release(Release { subtask: subtask(1, 1), epoch }));
    assert_eq!((unfenced(&world), world.epoch(1, 1)), (None, None));
    let mut world = World::new();
    owned(&mut world);
    world.ok(Command::CloseSession(CloseSession { session: W1 }));
    assert_eq!((unfenced(&world), world.epoch(1, 1)), (None, None));
}

#[test]
fn a_fence_is_done_when_a_later_token_is_in_the_target() {
    let expired = || {
        let mut world = World::new();
        let old = owned(&mut world);
        world.ok(Command::ExpireSessions(ExpireSessions { sessions: vec![W1], reason: String::new() }));
        (world, old)
    };
    // a successor that has let go again without a look at the target proves nothing
    let (mut world, old) = expired();
    world.ok(assign(1, W2, None));
    let epoch = Epoch(world.epoch(1, 1).unwrap());
    world.ok(Command::Release(Release { subtask: subtask(1, 1), epoch }));
    assert_eq!(unfenced(&world), Some(old));
    // one that says what is in the target holds it
    let (mut world, _) = expired();
    world.ok(assign(1, W2, None));
    let epoch = world.epoch(1, 1).unwrap();
    world.ok(report(1, epoch, 1, false));
    assert_eq!(unfenced(&world), None);
    // the leader that has shown a token says so; of a token that is not above the old one nobody believes it
    let (mut world, old) = expired();
    let confirm = |epoch| Command::ConfirmFence(ConfirmFence { subtask: subtask(1, 1), epoch });
    world.refused(confirm(old));
    world.ok(Command::FenceOff(FenceOff { subtasks: vec![subtask(1, 1)] }));
    let newer = world.state.subtask(&subtask(1, 1)).unwrap().last_epoch;
    world.refused(confirm(Epoch(newer.0 + 1)));
    world.ok(confirm(newer));
    assert_eq!(unfenced(&world), None);
    world.ok(confirm(newer));
}
