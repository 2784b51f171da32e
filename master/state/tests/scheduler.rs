//! The scheduler against the real state: plans are carried out until nothing is left to do.

#[path = "world/names.rs"]
mod names;

use dm_model::{ClusterId, Revision, SessionId, UnixMillis};
use dm_state::{
    Command, Reply, Stamp, State, apply,
    apply::session::Takeover,
    command::*,
    record::*,
    scheduler::{Balance, Facts, Health, Plan, SessionFacts, View, explain, plan},
};
use expect_test::expect;
use names::*;
use proptest::prelude::*;

struct Cluster {
    state: State,
    facts: Facts,
    index: u64,
}

impl Cluster {
    fn new(n_workers: usize, n_sources: usize) -> Self {
        let mut cluster = Self { state: State::default(), facts: Facts::default(), index: 0 };
        cluster.apply(Command::Bootstrap(Bootstrap { cluster_id: ClusterId("c".into()), founders: vec![] }));
        for n in 0..n_workers {
            cluster.apply(Command::RegisterWorker(RegisterWorker { name: worker(n), addr: String::new() }));
            cluster.open(n);
        }
        for n in 0..n_sources {
            let config = ConfigText::default();
            cluster.apply(Command::PutSource(PutSource { source: source(n), config, expect: Expect::Any }));
            cluster.apply(Command::CreateTask(CreateTask {
                task: task(0),
                config: ConfigText::default(),
                subtasks: vec![NewSubtask { source: source(n), start: None }],
                wanted: Wanted::Running,
            }));
        }
        cluster
    }

    fn apply(&mut self, command: Command) -> Reply {
        self.index += 1;
        apply(&mut self.state, Stamp::new(Revision(self.index), UnixMillis(0)), command).reply
    }

    fn open(&mut self, n: usize) {
        self.apply(Command::OpenSession(OpenSession {
            worker: worker(n),
            instance_uuid: self.index.to_string(),
            addr: String::new(),
            version: String::new(),
            takeover: Takeover::EndOther,
            keepalive_ms: 0,
        }));
    }

    fn set(&mut self, n: usize, health: Health, capacity: Option<u32>) {
        if let Some(session) = self.state.session_of(&worker(n)) {
            self.facts.sessions.insert(session.id, SessionFacts { health, capacity });
        }
    }

    fn plan(&self, balance: Balance) -> Plan {
        plan(&View::of(&self.state, &self.facts), balance)
    }

    /// One round: what is planned is carried out, by a leader that may die after `n_commands`.
    fn carry_out(&mut self, plan: &Plan, n_commands: usize) {
        for command in plan.commands().take(n_commands).collect::<Vec<_>>() {
            let text = format!("{command}");
            let reply = self.apply(command);
            assert!(reply.rejection().is_none(), "{text}: {reply:?}");
        }
    }

    /// Workers that are alive release what they are asked to give away.
    fn workers_drain(&mut self) {
        let sessions: Vec<SessionId> = self.state.sessions().map(|session| session.id).collect();
        let releases: Vec<_> = sessions
            .into_iter()
            .flat_map(|session| self.state.assignment_for(session))
            .filter(|assignment| assignment.draining)
            .flat_map(|assignment| assignment.owned)
            .map(|(epoch, subtask)| Command::Release(Release { subtask: subtask.id.clone(), epoch }))
            .collect();
        for release in releases {
            self.apply(release);
        }
    }

    /// Rounds until the plan is empty. Panics when there is no end.
    fn settle(&mut self, balance: Balance) -> String {
        let mut script = String::new();
        for _ in 0..100 {
            let plan = self.plan(balance);
            script.push_str(&plan.to_string());
            self.carry_out(&plan, usize::MAX);
            self.workers_drain();
            if plan.is_empty() && self.plan(balance).is_empty() {
                return script;
            }
        }
        panic!("no end: {script}");
    }

    fn loads(&self) -> Vec<usize> {
        self.state.sessions().map(|session| self.state.sources_on(session.id).count()).collect()
    }
}

#[test]
fn sources_are_spread_evenly_and_then_stay() {
    let mut cluster = Cluster::new(2, 3);
    expect![[r#"
        place s0 on w0 (session 3): it was on no worker; it carries the fewest sources (0)
        place s1 on w1 (session 5): it was on no worker; it carries the fewest sources (0)
        place s2 on w0 (session 3): it was on no worker; it carries the fewest sources (1)
    "#]]
    .assert_eq(&cluster.settle(Balance::Never));
    assert_eq!(cluster.loads(), [2, 1]);
}

#[test]
fn a_lost_worker_is_replaced_in_one_entry_and_its_return_moves_nothing() {
    let mut cluster = Cluster::new(2, 2);
    cluster.settle(Balance::Never);
    cluster.set(0, Health::Lost, None);
    expect![[r#"
        end 1 sessions, place s0 on w1 (it carries the fewest sources (1)): lost w0
    "#]]
    .assert_eq(&cluster.settle(Balance::Never));
    cluster.open(0);
    assert_eq!(cluster.settle(Balance::Never), "");
    expect![[r#"
        begin to move s0 to w0: one worker carries 2 sources, another 0
        place s0 on w0 (session 13): the former owner has released it
    "#]]
    .assert_eq(&cluster.settle(Balance::AtGap(2)));
}

#[test]
fn a_source_returns_to_its_last_worker() {
    let mut cluster = Cluster::new(1, 1);
    cluster.settle(Balance::Never);
    cluster.set(0, Health::Lost, None);
    cluster.settle(Balance::Never);
    let view = View::of(&cluster.state, &cluster.facts);
    assert_eq!(explain(&view, &source(0)).to_string(), "no worker is online");
    cluster.apply(Command::RegisterWorker(RegisterWorker { name: worker(5), addr: String::new() }));
    cluster.open(5);
    cluster.open(0);
    expect![[r#"
        place s0 on w0 (session 10): it was on no worker; it carried the source last
    "#]]
    .assert_eq(&cluster.settle(Balance::Never));
}

#[test]
fn a_draining_worker_is_emptied_in_order() {
    let mut cluster = Cluster::new(2, 2);
    cluster.settle(Balance::Never);
    cluster.set(0, Health::Draining, None);
    expect![[r#"
        begin to move s0 to w1: w0 is being emptied; it carries the fewest sources (1)
        place s0 on w1 (session 5): the former owner has released it
    "#]]
    .assert_eq(&cluster.settle(Balance::Never));
}

#[test]
fn an_owner_that_does_not_release_in_time_is_passed_over() {
    let mut cluster = Cluster::new(2, 1);
    cluster.settle(Balance::Never);
    cluster.apply(Command::BeginMove(BeginMove { source: source(0), to: Some(worker(1)) }));
    assert!(cluster.plan(Balance::Never).is_empty(), "waits for the owner");
    cluster.facts.overdue_moves.insert(source(0));
    expect![[r#"
        place s0 on w1 (session 5): the former owner did not release it in time
    "#]]
    .assert_eq(&cluster.plan(Balance::Never).to_string());
}

#[test]
fn a_move_to_a_worker_that_is_gone_is_taken_back_and_the_owner_goes_on() {
    let mut cluster = Cluster::new(2, 1);
    cluster.settle(Balance::Never);
    cluster.apply(Command::BeginMove(BeginMove { source: source(0), to: Some(worker(1)) }));
    cluster.workers_drain();
    cluster.set(1, Health::Lost, None);
    expect![[r#"
        end 1 sessions: lost w1
        take the move of s0 back: w1 can not take it any more
        place s0 on w0 (session 3): 1 subtasks wait for an owner
    "#]]
    .assert_eq(&cluster.settle(Balance::Never));
}

#[test]
fn full_workers_get_nothing_and_the_explanation_says_so() {
    let mut cluster = Cluster::new(2, 3);
    cluster.set(0, Health::Healthy, Some(1));
    cluster.set(1, Health::Suspect, None);
    cluster.settle(Balance::Never);
    assert_eq!(cluster.loads(), [1, 0]);
    let view = View::of(&cluster.state, &cluster.facts);
    expect!["no worker can take it: 1 are full, 1 silent, 0 being emptied, 0 lost"]
        .assert_eq(&explain(&view, &source(2)).to_string());
}

#[derive(Debug, Clone)]
enum Happening {
    Open(usize),
    Health(usize, Health, Option<u32>),
    Order(usize, usize),
    Overdue(usize),
    Fence(usize),
    /// The leader plans and gets this many commands through.
    Lead(usize),
    Drain,
}

fn happening() -> impl Strategy<Value = Happening> {
    let health = prop::sample::select(vec![Health::Healthy, Health::Suspect, Health::Draining, Health::Lost]);
    prop_oneof![
        (0..4usize).prop_map(Happening::Open),
        (0..4usize, health, prop::option::of(0..3u32)).prop_map(|(n, health, cap)| Happening::Health(n, health, cap)),
        (0..6usize, 0..4usize).prop_map(|(s, w)| Happening::Order(s, w)),
        (0..6usize).prop_map(Happening::Overdue),
        (0..6usize).prop_map(Happening::Fence),
        (0..4usize).prop_map(Happening::Lead),
        Just(Happening::Drain),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_history_converges_to_a_fixpoint(
        happenings in prop::collection::vec(happening(), 0..40),
        gap in prop::option::of(0..4usize),
    ) {
        let balance = gap.map_or(Balance::Never, Balance::AtGap);
        let mut cluster = Cluster::new(4, 6);
        for happening in happenings {
            match happening {
                Happening::Open(n) => cluster.open(n),
                Happening::Health(n, health, capacity) => cluster.set(n, health, capacity),
                Happening::Order(s, w) => {
                    cluster.apply(Command::BeginMove(BeginMove { source: source(s), to: Some(worker(w)) }));
                }
                Happening::Overdue(s) => drop(cluster.facts.overdue_moves.insert(source(s))),
                Happening::Fence(s) => {
                    cluster.apply(Command::FenceOff(FenceOff { subtasks: vec![subtask(0, s)] }));
                }
                Happening::Lead(n) => {
                    let plan = cluster.plan(balance);
                    cluster.carry_out(&plan, n);
                }
                Happening::Drain => cluster.workers_drain(),
            }
            prop_assert_eq!(cluster.state.validate(), Ok(()));
        }
        cluster.settle(balance);

        // nothing is left to do: each source with room somewhere is carried, and its subtask has an owner
        let view = View::of(&cluster.state, &cluster.facts);
        let has_room = view.workers.iter().any(|(name, worker)| {
            let load = view.sources.values().filter(|source| {
                source.on.as_ref() == Some(name) || source.moving_to.as_ref() == Some(name)
            }).count();
            worker.health == Health::Healthy && worker.capacity.is_none_or(|capacity| load < capacity as usize)
        });
        for (id, source) in &view.sources {
            prop_assert!(source.on.is_some() || !has_room, "{}: {}", id, explain(&view, id));
            let waits = source.moving_to.is_some();
            prop_assert!(source.on.is_none() || waits || source.n_waiting == 0, "{id}");
        }
        prop_assert!(view.workers.values().all(|worker| worker.health != Health::Lost));
    }

    #[test]
    fn a_move_has_a_reason_in_its_view(happenings in prop::collection::vec(happening(), 0..20)) {
        let mut cluster = Cluster::new(4, 6);
        cluster.settle(Balance::Never);
        for happening in happenings {
            if let Happening::Health(n, health @ (Health::Healthy | Health::Suspect), capacity) = happening {
                cluster.set(n, health, capacity);
            }
        }
        // everything is carried by live workers that were not asked to give it away
        prop_assert!(cluster.plan(Balance::Never).is_empty());
    }
}
