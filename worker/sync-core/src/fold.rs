//! Which ready units share one target transaction.
//!
//! Owns the picking rule: units in ascending order until about `n_rows` rows, where a unit is also taken when all its
//! predecessors that are not committed are ahead of it in the same fold. A unit is never split, so a fold may be larger
//! than asked. Behind a backlog folds grow: a row in a large commit costs the target half of what it costs in a small one.
//! Never looks at what the rows are.

use std::collections::{BTreeMap, BTreeSet};

use dm_fence::UnitNumber;

use crate::graph::{Graph, Load};

/// Behind a backlog a fold may hold so many times the rows asked for …
pub const MAX_GROWTH: usize = 8;
/// … but at most one part in so many of the ready rows: the other lanes shall find something, too.
const SHARES: usize = 4;

/// When a fold is full. The first unit is always taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Up to [`MAX_GROWTH`] times as many when many rows are ready.
    pub n_rows: usize,
    pub n_bytes: usize,
    /// Later units are left alone.
    pub up_to: UnitNumber,
}

impl Graph {
    /// Takes the next fold out of the ready units; they count as sent. Empty when nothing is ready.
    pub fn fold(&mut self, limit: Limit) -> Vec<UnitNumber> {
        let mut fold = Vec::new();
        let mut followers: BTreeSet<UnitNumber> = BTreeSet::new();
        let mut n_ahead: BTreeMap<UnitNumber, usize> = BTreeMap::new();
        let (mut n_rows, mut n_bytes) = (0, 0);
        let grown = (self.n_ready_rows() / SHARES).min(limit.n_rows.saturating_mul(MAX_GROWTH));
        let enough = limit.n_rows.max(grown);
        while let Some(unit) = first_of(&self.ready, &followers).filter(|unit| *unit <= limit.up_to) {
            let Some(node) = self.nodes.get(&unit) else { break };
            let Load::Rows { n_rows: unit_rows, n_bytes: unit_bytes } = node.load else { break };
            let is_full = n_rows >= enough || n_bytes + unit_bytes > limit.n_bytes;
            if is_full && !fold.is_empty() {
                break;
            }
            for successor in &node.successors {
                let Some(next) = self.nodes.get(successor) else { continue };
                let ahead = n_ahead.entry(*successor).or_default();
                *ahead += 1;
                if is_led(*ahead, next.n_waiting) && matches!(next.load, Load::Rows { .. }) {
                    followers.insert(*successor);
                }
            }
            followers.remove(&unit);
            self.take(unit);
            n_rows += unit_rows;
            n_bytes += unit_bytes;
            fold.push(unit);
        }
        #[cfg(test)]
        if crate::mutants::is(crate::mutants::Mutant::FoldsBackwards) {
            fold.reverse();
        }
        fold
    }
}

/// True when as many predecessors are ahead in the fold as a unit waits for.
fn is_led(n_ahead: usize, n_waiting: usize) -> bool {
    #[cfg(test)]
    if crate::mutants::is(crate::mutants::Mutant::FoldsEarly) {
        return n_ahead == 1;
    }
    n_ahead == n_waiting
}

fn first_of(ready: &BTreeSet<UnitNumber>, followers: &BTreeSet<UnitNumber>) -> Option<UnitNumber> {
    match (ready.first(), followers.first()) {
        (Some(a), Some(b)) => Some(*a.min(b)),
        (Some(a), None) => Some(*a),
        (None, Some(b)) => Some(*b),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Access, Resource};

    const LIMIT: Limit = Limit { n_rows: 3, n_bytes: 1000, up_to: UnitNumber(99) };

    fn add(graph: &mut Graph, unit: u64, n_rows: usize, keys: &[u64]) {
        graph.add(UnitNumber(unit), Load::Rows { n_rows, n_bytes: 10 * n_rows }, keys.to_vec(), vec![]);
    }

    fn numbers(fold: Vec<UnitNumber>) -> Vec<u64> {
        fold.into_iter().map(|unit| unit.0).collect()
    }

    #[test]
    fn a_chain_on_one_key_folds_together_in_order() {
        let mut graph = Graph::default();
        for unit in 1..=4 {
            add(&mut graph, unit, 1, &[9]);
        }
        assert_eq!(numbers(graph.fold(LIMIT)), [1, 2, 3]);
        assert!(graph.fold(LIMIT).is_empty(), "unit 4 waits until the fold is acknowledged");
        for unit in 1..=3 {
            graph.commit(UnitNumber(unit));
        }
        graph.validate().unwrap();
        assert_eq!(numbers(graph.fold(LIMIT)), [4]);
    }

    #[test]
    fn folds_grow_with_the_backlog_up_to_a_limit() {
        let sizes = |n_ready: u64| {
            let mut graph = Graph::default();
            for unit in 1..=n_ready {
                add(&mut graph, unit, 1, &[unit]);
            }
            graph.fold(Limit { up_to: UnitNumber(999), ..LIMIT }).len()
        };
        assert_eq!((sizes(2), sizes(12), sizes(40), sizes(400)), (2, 3, 10, 3 * MAX_GROWTH));
    }

    #[test]
    fn a_unit_with_a_predecessor_in_another_fold_waits() {
        let mut graph = Graph::default();
        add(&mut graph, 1, 3, &[1]);
        add(&mut graph, 2, 3, &[2]);
        add(&mut graph, 3, 1, &[1, 2]);
        assert_eq!(numbers(graph.fold(LIMIT)), [1]);
        assert_eq!(numbers(graph.fold(LIMIT)), [2]);
        graph.commit(UnitNumber(1));
        assert!(graph.fold(LIMIT).is_empty());
        graph.commit(UnitNumber(2));
        assert_eq!(numbers(graph.fold(LIMIT)), [3]);
    }

    #[test]
    fn a_unit_is_never_split_and_a_large_one_stands_alone() {
        let mut graph = Graph::default();
        add(&mut graph, 1, 500, &[1]);
        add(&mut graph, 2, 1, &[2]);
        assert_eq!(numbers(graph.fold(LIMIT)), [1]);
        assert_eq!(numbers(graph.fold(LIMIT)), [2]);
    }

    #[test]
    fn a_ddl_is_never_folded_even_behind_its_own_predecessors() {
        let mut graph = Graph::default();
        let table = Resource(0);
        graph.add(UnitNumber(1), Load::Rows { n_rows: 1, n_bytes: 1 }, vec![1], vec![(table, Access::Shared)]);
        graph.add(UnitNumber(2), Load::Solo, vec![], vec![(table, Access::Exclusive)]);
        graph.add(UnitNumber(3), Load::Rows { n_rows: 1, n_bytes: 1 }, vec![3], vec![(table, Access::Shared)]);
        assert_eq!(numbers(graph.fold(LIMIT)), [1]);
        assert!(!graph.has_ready_solo());
    }
}
