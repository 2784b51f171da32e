//! Random logs: what holds for every one of them.

#[path = "world/names.rs"]
mod names;

use std::collections::{BTreeMap, BTreeSet};

use dm_model::{
    BinlogPosition, ClusterId, Epoch, Incarnation, Location, MasterName, Revision, SessionId, Stage, SubtaskId,
    UnitKind, UnixMillis,
};
use dm_state::{
    Applied, ClientId, ClientSeq, Command, Entry, Reply, State, apply,
    apply::{
        member::{Founder, RestoredTasks},
        session::Takeover,
    },
    command::*,
    record::*,
};
use names::*;
use proptest::prelude::*;

/// A command by numbers; those that name sessions or tokens mostly hit present ones.
type Seed = (u8, usize, usize, usize, Option<(u8, u64)>);

fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let client = prop::option::weighted(0.2, (0..3u8, 1..40u64));
    prop::collection::vec((0..40u8, 0..4usize, 0..4usize, 0..4usize, client), 1..120)
}

fn entry(seed: &Seed, state: &State, time: i64) -> Entry {
    let (kind, a, b, c, client) = seed.clone();
    let client = client.map(|(id, seq)| ClientSeq { client: ClientId(id.to_string()), seq });
    Entry { time: UnixMillis(time), client, command: command(kind, a, b, c, state) }
}

fn command(kind: u8, a: usize, b: usize, c: usize, state: &State) -> Command {
    let session = |n: usize| {
        let live = state.sessions().len();
        state.sessions().nth(n % live.max(1)).map_or(SessionId(n as u64), |session| session.id)
    };
    let epoch = |id: &SubtaskId| match state.subtask(id) {
        Some(subtask) if c < 3 => subtask.owner.map_or(subtask.last_epoch, |owner| owner.epoch),
        Some(_) | None => Epoch(c as u64),
    };
    let id = subtask(a, b);
    let wanted = Wanted::ALL[c % 3];
    let at = if c == 0 {
        OperatorAt::CurrentError
    } else {
        OperatorAt::Position(BinlogPosition::new("bin.000001", c as u64))
    };
    let master = |n: usize| MasterName::parse(format!("m{n}")).unwrap();
    match kind {
        0 => Command::RegisterMaster(RegisterMaster {
            name: master(a),
            store_uuid: format!("u{b}"),
            addresses: MasterAddresses { peer: c.to_string(), client: String::new() },
        }),
        1 => Command::RetireMaster(RetireMaster { name: master(a) }),
        2 => Command::SetClusterVersion(SetClusterVersion { version: a as u32 }),
        3 if a == 0 => {
            let tasks = if b == 0 { RestoredTasks::Pause } else { RestoredTasks::Keep };
            Command::BumpIncarnation(BumpIncarnation { tasks })
        }
        3 => Command::Bootstrap(Bootstrap { cluster_id: ClusterId(b.to_string()), founders: vec![] }),
        4 | 5 => Command::RegisterWorker(RegisterWorker { name: worker(a), addr: (c / 3).to_string() }),
        6 => Command::RetireWorker(RetireWorker { name: worker(a) }),
        7..=9 => Command::OpenSession(OpenSession {
            worker: worker(a),
            instance_uuid: b.to_string(),
            addr: String::new(),
            version: String::new(),
            takeover: if c == 0 { Takeover::EndOther } else { Takeover::Refuse },
            keepalive_ms: 0,
        }),
        10 => Command::CloseSession(CloseSession { session: session(a) }),
        11 => Command::ExpireSessions(ExpireSessions { sessions: vec![session(a), session(b)], reason: String::new() }),
        12 | 13 => Command::PutSource(PutSource {
            source: source(a),
            config: ConfigText::new("x"),
            expect: if b == 0 { Expect::Absent } else { Expect::Any },
        }),
        14 => Command::DeleteSource(DeleteSource { source: source(a) }),
        15..=17 => Command::CreateTask(CreateTask {
            task: task(a),
            config: ConfigText::new("y"),
            subtasks: (0..=b).map(|n| NewSubtask { source: source(n), start: None }).collect(),
            wanted,
        }),
        18 => Command::UpdateTask(UpdateTask { task: task(a), config: ConfigText::new("z"), expect: None }),
        19 => Command::DeleteSubtasks(DeleteSubtasks { task: task(a), sources: vec![source(b)] }),
        20 | 21 => Command::SetWanted(SetWanted { task: task(a), sources: vec![], wanted }),
        22 => Command::ClearStartTime(ClearStartTime { epoch: epoch(&id), subtask: id }),
        23..=26 => {
            let placed = state.source(&source(a)).and_then(|source| source.placement.as_ref());
            let expect = placed.map(|placement| placement.session);
            Command::Assign(Assign { source: source(a), session: session(b), expect })
        }
        27 | 28 => Command::ExpireAndAssign(ExpireAndAssign {
            sessions: vec![session(a)],
            places: (0..3).map(|n| Place { source: source(n), session: session(b) }).collect(),
            reason: String::new(),
        }),
        29 => Command::BeginMove(BeginMove { source: source(a), to: (b > 0).then(|| worker(c)) }),
        30 | 31 => Command::Release(Release { epoch: epoch(&id), subtask: id }),
        32 if b == 0 => Command::ConfirmFence(ConfirmFence {
            epoch: state.subtask(&id).map_or(Epoch::default(), |subtask| subtask.last_epoch),
            subtask: id,
        }),
        32 => Command::FenceOff(FenceOff { subtasks: vec![id] }),
        33 | 34 => Command::ReportProgress(ReportProgress {
            reports: vec![ProgressReport {
                epoch: epoch(&id),
                subtask: id,
                stage: Stage::ALL[c],
                unit: UnitKind::Sync,
                low: Some(Watermark { unit: (a * b + c) as u64, location: Location::default() }),
                chunks: Chunks::default(),
                finished: c == 2,
            }],
        }),
        35 => Command::PutOperator(PutOperator { subtask: id, at, action: OperatorAction::Skip }),
        36 => Command::RemoveOperators(RemoveOperators { subtask: id, selection: Selection::At(at) }),
        37 => Command::ConsumeOperators(ConsumeOperators {
            epoch: epoch(&id),
            ids: state.subtask(&id).map(|subtask| subtask.operators.keys().copied().collect()).unwrap_or_default(),
            subtask: id,
        }),
        38 => Command::PutMeta(PutMeta { key: a.to_string(), value: vec![b as u8] }),
        _ if c == 0 => Command::DeleteMeta(DeleteMeta { key: a.to_string() }),
        _ => Command::CasMeta(CasMeta { key: a.to_string(), expect: Some(vec![b as u8]), value: vec![c as u8] }),
    }
}

/// Runs a log, with gaps in the indexes as Raft's own entries make them, and hands each step to `check`.
fn run(seeds: &[Seed], mut check: impl FnMut(&State, &State, &Entry, &Applied)) -> (Vec<(Revision, Entry)>, State) {
    let founders = vec![Founder { name: MasterName::parse("m0").unwrap(), addresses: MasterAddresses::default() }];
    let first =
        Entry::new(UnixMillis(0), Command::Bootstrap(Bootstrap { cluster_id: ClusterId("0".into()), founders }));
    let mut state = State::default();
    apply(&mut state, first.stamp(Revision(1)), first.command.clone());
    // a populated start, so that short logs reach the interesting commands
    let mut log = vec![(Revision(1), first)];
    let start = (0..3usize).flat_map(|n| [(4, n, 0, 0, None), (7, n, 0, 1, None), (12, n, 1, 0, None)]);
    for (n, seed) in start.chain(seeds.iter().cloned()).enumerate() {
        let index = Revision(state.applied().0 + 1 + u64::from(n % 7 == 0));
        let entry = entry(&seed, &state, n as i64);
        let before = state.clone();
        let applied = apply(&mut state, entry.stamp(index), entry.command.clone());
        check(&before, &state, &entry, &applied);
        log.push((index, entry));
    }
    (log, state)
}

fn replay(mut state: State, log: &[(Revision, Entry)]) -> State {
    for (index, entry) in log {
        apply(&mut state, entry.stamp(*index), entry.command.clone());
    }
    state
}

/// All that is different between two states, but for what every entry changes.
fn is_same_but_for_the_index(a: &State, b: &State) -> bool {
    let (mut a, mut b) = (a.to_parts(), b.to_parts());
    a.applied = b.applied;
    a.clients = Vec::new();
    b.clients = Vec::new();
    a == b
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_invariant_holds_after_every_command(seeds in seeds()) {
        run(&seeds, |_, after, entry, _| assert_eq!(after.validate(), Ok(()), "after {entry:?}"));
    }

    #[test]
    fn equal_logs_give_equal_states_and_digests(seeds in seeds()) {
        let (log, state) = run(&seeds, |_, _, _, _| {});
        let other = replay(State::default(), &log);
        prop_assert_eq!(&state, &other);
        prop_assert_eq!(state.digest(), other.digest());
    }

    #[test]
    fn a_snapshot_and_the_rest_of_the_log_equal_the_whole_log(seeds in seeds(), cut in 0..120usize) {
        let (log, state) = run(&seeds, |_, _, _, _| {});
        let (head, tail) = log.split_at(cut.min(log.len()));
        let prefix = replay(State::default(), head);
        let shared = prefix.clone();
        let text = serde_json::to_string(&prefix).unwrap();
        let restored: State = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(replay(restored, tail).digest(), state.digest());
        prop_assert_eq!(&replay(prefix, tail), &state);
        // going on did not reach into the clone
        prop_assert_eq!(serde_json::to_string(&shared).unwrap(), text);
    }

    #[test]
    fn a_refused_command_changes_nothing_and_touches_nothing(seeds in seeds()) {
        run(&seeds, |before, after, entry, applied| if applied.reply.rejection().is_some() {
            assert!(applied.touched.is_empty());
            assert!(is_same_but_for_the_index(before, after), "{entry:?}");
        });
    }

    #[test]
    fn what_changed_is_touched(seeds in seeds()) {
        run(&seeds, |before, after, entry, applied| {
            for subtask in after.subtasks() {
                let changed = before.subtask(&subtask.id) != Some(subtask);
                assert!(!changed || applied.touched.subtasks.contains(&subtask.id), "{entry:?}");
            }
            for subtask in before.subtasks().filter(|subtask| after.subtask(&subtask.id).is_none()) {
                assert!(applied.touched.subtasks.contains(&subtask.id), "{entry:?}");
            }
            for source in after.sources() {
                let changed = before.source(&source.id) != Some(source);
                assert!(!changed || applied.touched.sources.contains(&source.id), "{entry:?}");
            }
            // whoever has to do something else than before hears of it, progress apart
            let seen = |state: &State, session| -> Vec<_> {
                state.assignment_for(session).into_iter().map(|assignment| {
                    let owned: Vec<_> = assignment.owned.into_iter().map(|(epoch, subtask)| {
                        (epoch, Subtask { progress: None, unfenced: None, ..subtask.clone() })
                    }).collect();
                    (assignment.source.clone(), assignment.draining, owned)
                }).collect()
            };
            for session in before.sessions().chain(after.sessions()) {
                if seen(before, session.id) != seen(after, session.id) {
                    assert!(applied.touched.workers.contains(&session.worker), "{entry:?}");
                }
            }
        });
    }

    #[test]
    fn tokens_of_a_subtask_strictly_grow_and_are_given_once(seeds in seeds()) {
        let mut newest: BTreeMap<SubtaskId, Epoch> = BTreeMap::new();
        let mut holders: BTreeMap<(SubtaskId, Epoch), SessionId> = BTreeMap::new();
        run(&seeds, |_, after, entry, applied| {
            for subtask in after.subtasks().filter(|subtask| subtask.last_epoch != Epoch::default()) {
                let known = newest.entry(subtask.id.clone()).or_default();
                assert!(subtask.last_epoch >= *known, "{entry:?}");
                if subtask.last_epoch > *known {
                    let of_this_entry = Epoch::new(after.incarnation(), applied.revision);
                    assert_eq!(subtask.last_epoch, of_this_entry, "{entry:?}");
                    *known = subtask.last_epoch;
                }
                if let Some(owner) = subtask.owner {
                    let holder = *holders.entry((subtask.id.clone(), owner.epoch)).or_insert(owner.session);
                    assert_eq!(holder, owner.session, "one token, one session: {entry:?}");
                }
            }
        });
    }

    #[test]
    fn a_subtask_has_one_owner_and_a_source_one_carrier(seeds in seeds()) {
        run(&seeds, |_, after, _, _| {
            let mut owned = BTreeSet::new();
            for session in after.sessions() {
                for assignment in after.assignment_for(session.id) {
                    for (_, subtask) in assignment.owned {
                        assert!(owned.insert(subtask.id.clone()));
                        assert_eq!(subtask.owner.unwrap().session, session.id);
                    }
                }
            }
        });
    }

    #[test]
    fn a_request_of_a_client_is_carried_out_at_most_once(seeds in seeds()) {
        let mut answers: BTreeMap<ClientSeq, Reply> = BTreeMap::new();
        run(&seeds, |before, after, entry, applied| {
            let Some(request) = &entry.client else { return };
            if let Some(first) = answers.get(request) {
                assert!(is_same_but_for_the_index(before, after));
                assert!(applied.reply == *first || applied.reply.rejection().is_some());
            } else {
                answers.insert(request.clone(), applied.reply.clone());
            }
        });
    }

    #[test]
    fn watermarks_do_not_fall_within_an_incarnation(seeds in seeds()) {
        run(&seeds, |before, after, entry, _| {
            for subtask in after.subtasks() {
                let low = |state: &State| -> Option<(Incarnation, u64)> {
                    let progress = state.subtask(&subtask.id)?.progress.as_ref()?;
                    Some((progress.epoch.incarnation(), progress.low.as_ref()?.unit))
                };
                if before.subtask(&subtask.id).is_some() && low(after) != low(before) {
                    let rises = low(after) > low(before);
                    assert!(rises, "{entry:?}");
                }
            }
        });
    }
}

#[test]
fn digests_of_different_states_differ() {
    let mut state = State::default();
    let empty = state.digest();
    state.advance(Revision(1));
    assert_ne!(state.digest(), empty);
}

#[test]
fn a_digest_is_the_same_on_every_machine() {
    let (_, state) = run(&[(15, 0, 2, 0, None), (23, 1, 1, 0, Some((1, 1)))], |_, _, _, _| {});
    expect_test::expect!["9443249003784541036"].assert_eq(&state.digest().to_string());
}

#[test]
fn a_snapshot_that_is_no_state_is_not_taken() {
    let (_, state) = run(&[(15, 0, 2, 0, None)], |_, _, _, _| {});
    let mut twice = state.to_parts();
    twice.sources.push(twice.sources[0].clone());
    assert!(State::from_parts(twice).is_err());
    let mut orphan = state.to_parts();
    orphan.tasks.clear();
    let broken = State::from_parts(orphan).unwrap_err();
    assert_eq!(broken.to_string(), "state is broken: SubtaskHasParents does not hold for subtask t0/s0");
}

#[test]
fn random_logs_reach_every_command_with_success() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut accepted = BTreeMap::new();
    let mut refused = BTreeSet::new();
    for _ in 0..300 {
        let seeds = seeds().new_tree(&mut runner).unwrap().current();
        run(&seeds, |_, _, entry, applied| match applied.reply.rejection() {
            None => *accepted.entry(entry.command.name()).or_insert(0) += 1,
            Some(rejection) => drop(refused.insert(format!("{rejection:?}").split(' ').next().unwrap().to_owned())),
        });
    }
    assert_eq!(accepted.len(), 30, "{accepted:?}");
    assert!(refused.len() >= 20, "{refused:?}");
}
