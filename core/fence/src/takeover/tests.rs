//! Takeover against a small model of a target, exhaustively: two owners take over at the same time while an older
//! owner tries to commit, and connections break before or after any step takes effect.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use dm_model::Location;

use super::*;
use crate::{
    lane::{Consistency, Progress},
    session::ServerRun,
    window::UnitNumber,
};

const SLICING: Slicing = Slicing { consistency: Consistency::Transaction, slice_rows: 1 };

fn cluster() -> ClusterId {
    ClusterId("c".to_owned())
}

fn claim(epoch: u64) -> Claim {
    Claim { cluster_id: cluster(), epoch: Epoch(epoch), n_lanes: 2, slicing: SLICING, from_foreign_cluster: false }
}

fn session(connection: u64, epoch: u64) -> Session {
    Session { server: ServerRun { uuid: "s".to_owned(), start: 1 }, connection, epoch: Epoch(epoch), lane: None }
}

/// The target: committed rows and sessions, and who holds the lock of all rows (connections are told by number).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Target {
    rows: BTreeMap<u16, LaneRow>,
    sessions: BTreeMap<u64, Session>,
    lock: Option<u64>,
    dead: BTreeSet<u64>,
    next_connection: u64,
    /// Units that committed, in order.
    data: Vec<u64>,
}

impl Target {
    fn end(&mut self, connection: u64) {
        self.dead.insert(connection);
        if self.lock == Some(connection) {
            self.lock = None;
        }
    }
}

/// An old owner in the middle of a transaction through lane 0, holding its lock, registered or not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Zombie {
    connection: u64,
    update: Option<crate::lane::FenceUpdate>,
}

#[derive(Debug, Clone)]
struct World {
    target: Target,
    zombie: Zombie,
    owners: Vec<(Takeover, u64)>,
    losses_left: u32,
}

/// Executes a step on the target as its connection; `None` while it has to wait for a lock beyond its timeout's retry.
fn execute(target: &mut Target, connection: &mut u64, epoch: u64, step: &Step) -> Answer {
    if *step == Step::Connect {
        if *connection != 0 {
            target.end(*connection);
        }
        *connection = target.next_connection;
        target.next_connection += 1;
        return Answer::Connected(session(*connection, epoch));
    }
    if target.dead.contains(connection) {
        return Answer::Lost;
    }
    match step {
        Step::ReadSessions => Answer::Sessions(target.sessions.values().cloned().collect()),
        Step::Kill(victim) => {
            target.end(victim.connection);
            Answer::Killed
        }
        Step::LockRows => {
            if target.rows.is_empty() {
                // No row, no lock: two first owners meet at the insert.
                return Answer::Rows(Vec::new());
            }
            if target.lock.is_some_and(|holder| holder != *connection) {
                return Answer::LockTimeout;
            }
            target.lock = Some(*connection);
            Answer::Rows(target.rows.values().cloned().collect())
        }
        Step::Claim { n_rows, insert } => {
            if insert.iter().any(|lane| target.rows.contains_key(lane)) {
                return Answer::Conflict;
            }
            assert!(*n_rows == 0 || target.lock == Some(*connection), "rows are claimed only under their lock");
            assert_eq!(target.rows.len(), *n_rows);
            for row in target.rows.values_mut() {
                assert!(row.epoch.0 <= epoch, "an epoch never goes back");
                row.epoch = Epoch(epoch);
                row.seq += 1;
                row.batch_crc = None;
            }
            for lane in insert {
                target.rows.insert(*lane, LaneRow::first(*lane, cluster(), Epoch(epoch), SLICING));
            }
            target.sessions.insert(*connection, session(*connection, epoch));
            target.lock = None;
            Answer::Claimed
        }
        Step::RollBack => {
            if target.lock == Some(*connection) {
                target.lock = None;
            }
            Answer::RolledBack
        }
        Step::End(victim, how) => {
            assert_eq!(*how, Ending::Kill);
            assert_ne!(victim.connection, *connection, "nobody ends itself");
            assert!(victim.epoch.0 <= epoch, "a later owner is never ended");
            target.end(victim.connection);
            Answer::Gone
        }
        Step::Forget(victim) => {
            target.sessions.remove(&victim.connection);
            Answer::Deleted
        }
        Step::ReadIntents => Answer::Intents(Vec::new()),
        Step::Inspect(_) => Answer::Observed(Observed::default()),
        Step::ReadRows => Answer::Rows(target.rows.values().cloned().collect()),
        Step::Connect | Step::Finished(_) | Step::Stopped(_) => unreachable!("no such step is executed"),
    }
}

fn is_over(takeover: &Takeover) -> bool {
    matches!(takeover.step(), Step::Finished(_) | Step::Stopped(_))
}

/// All successors of a world: the zombie commits, or an owner makes its step, which may be lost before or after.
fn successors(world: &World) -> Vec<World> {
    let mut next = Vec::new();
    let zombie_alive = !world.target.dead.contains(&world.zombie.connection);
    if let (Some(update), true) = (&world.zombie.update, zombie_alive) {
        let mut after = world.clone();
        after.zombie.update = None;
        let row = after.target.rows.get_mut(&0).expect("the zombie's row");
        assert_eq!((row.epoch, row.seq), (update.epoch, update.seq), "a lock holder's row does not change under it");
        row.apply(update, Some(9));
        after.target.lock = None;
        after.target.data.push(1);
        next.push(after);
    }
    for at in 0..world.owners.len() {
        if is_over(&world.owners[at].0) {
            continue;
        }
        let step = world.owners[at].0.step();
        let epoch = world.owners[at].0.claim().epoch.0;
        let mut fates = vec![(true, false)];
        if world.losses_left > 0 && step != Step::Connect {
            fates.extend([(false, true), (true, true)]);
        }
        for (takes_effect, is_lost) in fates {
            let mut after = world.clone();
            let mut connection = after.owners[at].1;
            let answer =
                if takes_effect { execute(&mut after.target, &mut connection, epoch, &step) } else { Answer::Lost };
            after.owners[at].1 = connection;
            after.losses_left -= u32::from(is_lost);
            after.owners[at].0.answer(if is_lost { Answer::Lost } else { answer });
            next.push(after);
        }
    }
    next
}

fn check(world: &World) {
    for (takeover, _) in &world.owners {
        if let Step::Finished(taken) = takeover.step() {
            let epoch = takeover.claim().epoch;
            assert_eq!(taken.rows.iter().map(|row| row.lane).collect::<Vec<_>>(), [0, 1]);
            assert!(taken.rows.iter().all(|row| row.epoch == epoch));
            // While nobody later came, what it resumes from is what is in the target, now and for ever.
            if world.target.rows.values().all(|row| row.epoch == epoch) {
                assert_eq!(taken.resume.skips(UnitNumber(1)), world.target.data.contains(&1), "{world:#?}");
                let zombie_may_commit =
                    world.zombie.update.is_some() && !world.target.dead.contains(&world.zombie.connection);
                assert!(!zombie_may_commit, "an earlier owner can still commit: {world:#?}");
            }
        }
    }
}

/// Two hashes tell states apart: of a million, two share both with a probability below 10^-26.
fn key(world: &World) -> (u64, u64) {
    // The counters only bound the exploration.
    let owners: Vec<_> = world.owners.iter().map(|(t, c)| (&t.phase, &t.dead, &t.claimed, c)).collect();
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, &world.target, &world.zombie, &owners, world.losses_left).hash(&mut hasher);
        hasher.finish()
    };
    (half(0), half(1))
}

fn explore(first: World) -> (usize, BTreeSet<String>) {
    let mut seen = BTreeSet::new();
    let mut ends = BTreeSet::new();
    let mut open = vec![first];
    while let Some(world) = open.pop() {
        if world.owners.iter().any(|(t, _)| t.n_lock_tries > 3) || !seen.insert(key(&world)) {
            continue;
        }
        check(&world);
        let next = successors(&world);
        if next.is_empty() {
            let names: Vec<&str> = world.owners.iter().map(|(t, _)| name(&t.step())).collect();
            ends.insert(names.join("+"));
        }
        open.extend(next);
    }
    (seen.len(), ends)
}

fn world_with_zombie(registered: bool, epochs: &[u64], losses_left: u32) -> World {
    let mut rows: BTreeMap<u16, LaneRow> =
        (0..2).map(|lane| (lane, LaneRow::first(lane, cluster(), Epoch(1), SLICING))).collect();
    let row = rows.get_mut(&0).expect("lane 0");
    row.seq = 5;
    let progress = Progress {
        units: vec![UnitNumber(1)],
        low: UnitNumber(0),
        low_location: Location::default(),
        done_gtid: None,
        source_uuid: String::new(),
        src_ts: None,
    };
    let update = row.advance(progress).expect("a first unit");
    let target = Target {
        rows,
        sessions: registered.then(|| (7, session(7, 1))).into_iter().collect(),
        lock: Some(7),
        dead: BTreeSet::new(),
        next_connection: 10,
        data: Vec::new(),
    };
    let owners = epochs.iter().map(|epoch| (Takeover::new(claim(*epoch)), 0)).collect();
    World { target, zombie: Zombie { connection: 7, update: Some(update) }, owners, losses_left }
}

#[test]
fn after_a_takeover_no_earlier_owner_commits_whatever_is_lost() {
    let (n_states, ends) = explore(world_with_zombie(true, &[2], 2));
    assert!(n_states > 100, "{n_states} states");
    assert!(ends.contains("finished"), "{ends:?}");
    assert!(!ends.iter().any(|end| end.contains("stopped")), "{ends:?}");
}

#[test]
fn of_two_takeovers_at_once_the_later_epoch_ends_as_the_owner() {
    let (n_states, ends) = explore(world_with_zombie(true, &[2, 3], 1));
    assert!(n_states > 1000, "{n_states} states");
    assert!(ends.iter().all(|end| end.ends_with("+finished")), "{ends:?}");
    assert!(ends.contains("stopped+finished") && ends.contains("finished+finished"), "{ends:?}");
}

#[test]
fn two_first_owners_collide_and_the_later_epoch_ends_as_the_owner() {
    let mut world = world_with_zombie(true, &[2, 3], 1);
    world.target.rows.clear();
    world.target.lock = None;
    world.target.sessions.clear();
    world.zombie.update = None;
    let (n_states, ends) = explore(world);
    assert!(n_states > 500, "{n_states} states");
    assert!(ends.iter().all(|end| end.ends_with("+finished")), "{ends:?}");
}

#[test]
fn a_holder_nobody_registered_is_waited_for() {
    let mut world = world_with_zombie(false, &[2], 0);
    for _ in 0..6 {
        let step = world.owners[0].0.step();
        assert!(!is_over(&world.owners[0].0));
        let mut connection = world.owners[0].1;
        let answer = execute(&mut world.target, &mut connection, 2, &step);
        world.owners[0] = (world.owners[0].0.clone(), connection);
        world.owners[0].0.answer(answer);
    }
    assert!(!world.target.dead.contains(&7));
    let (_, ends) = explore(world);
    assert!(ends.contains("finished"), "once it committed: {ends:?}");
}

#[test]
fn rows_of_another_cluster_stop_a_takeover_unless_it_is_ordered() {
    let rows = vec![LaneRow::first(0, ClusterId("other".to_owned()), Epoch(5), SLICING)];
    let run = |epoch: u64, from_foreign_cluster: bool| {
        let mut takeover = Takeover::new(Claim { from_foreign_cluster, ..claim(epoch) });
        takeover.answer(Answer::Connected(session(1, epoch)));
        takeover.answer(Answer::Sessions(Vec::new()));
        takeover.answer(Answer::Rows(rows.clone()));
        if takeover.step() == Step::RollBack {
            takeover.answer(Answer::RolledBack);
        }
        takeover.step()
    };
    let foreign = Step::Stopped(Stop::ForeignCluster { owner: ClusterId("other".to_owned()) });
    assert_eq!(run(9, false), foreign);
    assert_eq!(run(5, true), foreign, "only from above the epoch that was found");
    assert_eq!(run(9, true), Step::Claim { n_rows: 1, insert: vec![1] });
}

#[test]
fn an_answer_that_does_not_fit_stops() {
    let mut takeover = Takeover::new(claim(2));
    takeover.answer(Answer::Claimed);
    assert_eq!(takeover.step(), Step::Stopped(Stop::Unexpected { step: "connect" }));
}

#[test]
fn rows_that_another_process_claimed_under_our_epoch_are_claimed_again() {
    let mut takeover = Takeover::new(claim(2));
    let row = |seq| LaneRow { seq, ..LaneRow::first(0, cluster(), Epoch(2), SLICING) };
    let run = |takeover: &mut Takeover, connection: u64, seq: u64, found: u64| {
        for answer in [
            Answer::Connected(session(connection, 2)),
            Answer::Sessions(Vec::new()),
            Answer::Rows(vec![row(seq), LaneRow { lane: 1, ..row(seq) }]),
            Answer::Claimed,
            Answer::Sessions(Vec::new()),
            Answer::Intents(Vec::new()),
            Answer::Rows(vec![row(found), LaneRow { lane: 1, ..row(found) }]),
        ] {
            takeover.answer(answer);
        }
        takeover.step()
    };
    // The other process stands where we stand, and may already have written through a lane that we leave alone.
    assert_eq!(run(&mut takeover, 1, 4, 6), Step::Connect);
    assert!(matches!(run(&mut takeover, 2, 6, 7), Step::Finished(taken) if taken.rows.iter().all(|row| row.seq == 7)));
}
