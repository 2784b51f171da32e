//! Breadth-first exploration of a model: every reachable state once, the shortest trace to whatever is wrong.
//!
//! States are remembered by a fingerprint of 128 bits and kept only while they wait. Besides safety it answers one question
//! of liveness: is an end reachable from *every* state. Fails by telling: a broken property, a dead end, or a bound.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::{Hash, Hasher},
    time::Instant,
};

/// A world to explore.
pub trait Model {
    type State: Clone + Hash;
    type Action: Copy + fmt::Debug;

    /// A name for the kind of a step, for counting.
    fn kind(action: Self::Action) -> &'static str;

    fn start(&self) -> Self::State;

    /// What may happen next.
    fn actions(&self, state: &Self::State, actions: &mut Vec<Self::Action>);

    /// Takes a step. An error is a property that the step broke.
    fn step(&self, state: &Self::State, action: Self::Action) -> Result<Self::State, String>;

    /// What is wrong with a state.
    fn check(&self, state: &Self::State) -> Result<(), String>;

    /// A state in which a run may end.
    fn is_end(&self, state: &Self::State) -> bool;
}

/// How an exploration ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All states were seen, none is wrong.
    Holds,
    /// The shortest way to a broken property.
    Broken { what: String, trace: Vec<String> },
    /// The shortest way to a state from which no end can be reached.
    Stuck { trace: Vec<String> },
    /// More states than were allowed; none of those seen is wrong.
    Bounded,
}

/// What was seen.
#[derive(Debug, Clone)]
pub struct Report {
    pub outcome: Outcome,
    pub n_states: usize,
    pub n_steps: usize,
    pub n_ends: usize,
    pub depth: u32,
    pub seconds: f64,
    /// How often each kind of step was taken: what never happened was not checked.
    pub kinds: BTreeMap<&'static str, usize>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_states, n_steps, n_ends, depth, seconds, .. } = self;
        write!(f, "{n_states} states, {n_steps} steps, {n_ends} ends, depth {depth}, {seconds:.1} s: ")?;
        match &self.outcome {
            Outcome::Holds => f.write_str("holds"),
            Outcome::Bounded => f.write_str("holds so far, not all states were seen"),
            Outcome::Broken { what, trace } => write!(f, "broken after {} steps: {what}", trace.len()),
            Outcome::Stuck { trace } => write!(f, "no end can be reached after {} steps", trace.len()),
        }
    }
}

impl Report {
    /// The trace of what is wrong, one step a line.
    pub fn trace(&self) -> String {
        match &self.outcome {
            Outcome::Broken { trace, .. } | Outcome::Stuck { trace } => trace.join("\n"),
            Outcome::Holds | Outcome::Bounded => String::new(),
        }
    }
}

/// Two hashes of 64 bits in one pass: of ten million states two share one with a probability below 10^-24.
struct Fingerprint(u64, u64);

impl Fingerprint {
    fn mix(&mut self, word: u64) {
        let a = (self.0.rotate_left(25) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let b = (self.1.rotate_left(31) ^ word).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        (self.0, self.1) = (a ^ a >> 32, b ^ b >> 29);
    }
}

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.mix(u64::from_le_bytes(word));
        }
        self.mix(bytes.len() as u64);
    }

    fn write_u8(&mut self, n: u8) {
        self.mix(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.mix(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.mix(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.mix(n as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn fingerprint(state: &impl Hash) -> u128 {
    let mut hasher = Fingerprint(1, 2);
    state.hash(&mut hasher);
    u128::from(hasher.0) << 64 | u128::from(hasher.1)
}

struct Node<A> {
    parent: u32,
    action: Option<A>,
    depth: u32,
}

/// Explores at most `max_states` states. `liveness`: also look for dead ends, once all states were seen.
pub fn explore<M: Model>(model: &M, max_states: usize, liveness: bool) -> Report {
    let began = Instant::now();
    let mut nodes: Vec<Node<M::Action>> = vec![Node { parent: 0, action: None, depth: 0 }];
    let mut seen: HashMap<u128, u32> = HashMap::new();
    let mut kinds: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut edges: Vec<(u32, u32)> = Vec::new();
    let mut ends: Vec<u32> = Vec::new();
    let (mut n_steps, mut bounded) = (0, false);
    let first = model.start();
    seen.insert(fingerprint(&first), 0);
    let mut waiting: std::collections::VecDeque<(u32, M::State)> = [(0, first)].into();
    let mut actions = Vec::new();
    let mut broken = None;
    'explore: while let Some((at, state)) = waiting.pop_front() {
        if model.is_end(&state) {
            ends.push(at);
        }
        actions.clear();
        model.actions(&state, &mut actions);
        for action in &actions {
            n_steps += 1;
            let next = match model.step(&state, *action) {
                Ok(next) => next,
                Err(what) => {
                    broken = Some((what, at, Some(*action)));
                    break 'explore;
                }
            };
            let number = nodes.len() as u32;
            let to = *seen.entry(fingerprint(&next)).or_insert(number);
            if liveness {
                edges.push((to, at));
            }
            if to != number {
                continue;
            }
            *kinds.entry(M::kind(*action)).or_default() += 1;
            let depth = nodes.get(at as usize).map_or(0, |node| node.depth) + 1;
            nodes.push(Node { parent: at, action: Some(*action), depth });
            if let Err(what) = model.check(&next) {
                broken = Some((what, to, None));
                break 'explore;
            }
            if nodes.len() >= max_states {
                bounded = true;
                break 'explore;
            }
            waiting.push_back((to, next));
        }
    }
    let depth = nodes.last().map_or(0, |node| node.depth);
    let outcome = match broken {
        Some((what, at, last)) => Outcome::Broken { what, trace: trace(&nodes, at, last) },
        None if bounded => Outcome::Bounded,
        None if liveness => match first_stuck(nodes.len(), edges, &ends) {
            Some(at) => Outcome::Stuck { trace: trace(&nodes, at, None) },
            None => Outcome::Holds,
        },
        None => Outcome::Holds,
    };
    let (n_states, n_ends) = (nodes.len(), ends.len());
    Report { outcome, n_states, n_steps, n_ends, depth, seconds: began.elapsed().as_secs_f64(), kinds }
}

fn trace<A: fmt::Debug + Copy>(nodes: &[Node<A>], mut at: u32, last: Option<A>) -> Vec<String> {
    let mut trace: Vec<String> = last.iter().map(|action| format!("{action:?}")).collect();
    while let Some(Node { parent, action: Some(action), .. }) = nodes.get(at as usize) {
        trace.push(format!("{action:?}"));
        at = *parent;
    }
    trace.reverse();
    trace
}

/// Goes back from the ends; the first state that is not met is the nearest dead end.
fn first_stuck(n_states: usize, mut edges: Vec<(u32, u32)>, ends: &[u32]) -> Option<u32> {
    edges.sort_unstable();
    let mut can_end = vec![false; n_states];
    let mut waiting: Vec<u32> = ends.to_vec();
    for end in ends {
        can_end[*end as usize] = true;
    }
    while let Some(at) = waiting.pop() {
        let from = edges.partition_point(|(to, _)| *to < at);
        for (_, before) in edges[from..].iter().take_while(|(to, _)| *to == at) {
            if !std::mem::replace(&mut can_end[*before as usize], true) {
                waiting.push(*before);
            }
        }
    }
    can_end.iter().position(|can| !can).map(|at| at as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two counters to 3; `hole`: one that cannot leave 2 once the other is at 3.
    struct Counters {
        hole: bool,
        limit: u8,
    }

    impl Model for Counters {
        type State = (u8, u8);
        type Action = bool;

        fn kind(action: bool) -> &'static str {
            if action { "right" } else { "left" }
        }

        fn start(&self) -> (u8, u8) {
            (0, 0)
        }

        fn actions(&self, state: &(u8, u8), actions: &mut Vec<bool>) {
            if state.0 < 3 && !(self.hole && *state == (2, 3)) {
                actions.push(false);
            }
            if state.1 < 3 {
                actions.push(true);
            }
        }

        fn step(&self, state: &(u8, u8), action: bool) -> Result<(u8, u8), String> {
            Ok(if action { (state.0, state.1 + 1) } else { (state.0 + 1, state.1) })
        }

        fn check(&self, state: &(u8, u8)) -> Result<(), String> {
            if state.0 + state.1 > self.limit { Err("too much".to_owned()) } else { Ok(()) }
        }

        fn is_end(&self, state: &(u8, u8)) -> bool {
            *state == (3, 3)
        }
    }

    #[test]
    fn every_state_is_seen_once_and_the_shortest_trace_is_given() {
        let report = explore(&Counters { hole: false, limit: 9 }, 1000, true);
        assert_eq!((report.outcome, report.n_states, report.depth), (Outcome::Holds, 16, 6));
        let report = explore(&Counters { hole: false, limit: 3 }, 1000, true);
        assert!(matches!(report.outcome, Outcome::Broken { trace, .. } if trace.len() == 4));
    }

    #[test]
    fn dead_ends_and_bounds_are_told() {
        let report = explore(&Counters { hole: true, limit: 9 }, 1000, true);
        assert!(matches!(report.outcome, Outcome::Stuck { trace } if trace.len() == 3));
        assert_eq!(explore(&Counters { hole: true, limit: 9 }, 5, true).outcome, Outcome::Bounded);
    }
}
