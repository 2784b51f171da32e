//! The dependency graph of units in flight: who must be committed before whom.
//!
//! A unit waits for the last writer of each of its keys, and for whoever changes a structure it uses; a structure
//! change waits for everybody who uses the structure. Ready means that all predecessors are *acknowledged*, never merely
//! sent (data-plane.md 4.1 rule 8). Keys are hashes: two keys with one hash only wait for each other without need.

use std::collections::{BTreeMap, BTreeSet};

use dm_fence::UnitNumber;

/// A structure that units share: a target schema or a target table, by the number its owner gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource(pub u32);

/// How a unit uses a [`Resource`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Writes rows under this structure.
    Shared,
    /// Changes the structure.
    Exclusive,
}

/// What a unit is, for those who pick ready units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Load {
    /// Row changes, which may share a target transaction with others.
    Rows { n_rows: usize, n_bytes: usize },
    /// A DDL: never shares a transaction.
    Solo,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) load: Load,
    /// Uncommitted predecessors.
    pub(crate) n_waiting: usize,
    pub(crate) successors: Vec<UnitNumber>,
    taken: bool,
    keys: Vec<u64>,
    uses: Vec<(Resource, Access)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Holders {
    exclusive: Option<UnitNumber>,
    shared: BTreeSet<UnitNumber>,
}

/// Units that are read and not yet committed, with their order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Graph {
    pub(crate) nodes: BTreeMap<UnitNumber, Node>,
    last_writer: BTreeMap<u64, UnitNumber>,
    holders: BTreeMap<Resource, Holders>,
    pub(crate) ready: BTreeSet<UnitNumber>,
    ready_solo: BTreeSet<UnitNumber>,
    last_solo: Option<UnitNumber>,
    n_ready_rows: usize,
}

impl Graph {
    /// Adds a unit. Numbers must come in ascending order; one that is in the graph already is ignored.
    ///
    /// Solo units also wait for the solo unit before them: DDLs keep their order, since one may need what another
    /// made (a foreign key's parent, a schema) without naming it as a table of its own.
    pub fn add(&mut self, unit: UnitNumber, load: Load, keys: Vec<u64>, uses: Vec<(Resource, Access)>) {
        if self.nodes.contains_key(&unit) {
            return;
        }
        #[cfg(test)]
        let (keys, uses) = crate::mutants::conflicts(keys, uses);
        let mut before: Vec<UnitNumber> = Vec::new();
        for key in &keys {
            before.extend(self.last_writer.insert(*key, unit));
        }
        for (resource, access) in &uses {
            let holders = self.holders.entry(*resource).or_default();
            before.extend(holders.exclusive);
            match access {
                Access::Shared => {
                    holders.shared.insert(unit);
                }
                Access::Exclusive => {
                    before.extend(holders.shared.iter().copied());
                    holders.exclusive = Some(unit);
                }
            }
        }
        if load == Load::Solo {
            before.extend(self.last_solo.replace(unit));
        }
        before.sort_unstable();
        before.dedup();
        let mut n_waiting = 0;
        for number in before.into_iter().filter(|number| *number != unit) {
            if let Some(node) = self.nodes.get_mut(&number) {
                node.successors.push(unit);
                n_waiting += 1;
            }
        }
        self.nodes.insert(unit, Node { load, n_waiting, successors: Vec::new(), taken: false, keys, uses });
        if n_waiting == 0 {
            self.make_ready(unit, load);
        }
    }

    /// Takes the first ready solo unit, if it is not later than `up_to`; it then counts as sent.
    pub fn take_solo(&mut self, up_to: UnitNumber) -> Option<UnitNumber> {
        let unit = self.ready_solo.first().copied().filter(|unit| *unit <= up_to)?;
        self.ready_solo.remove(&unit);
        if let Some(node) = self.nodes.get_mut(&unit) {
            node.taken = true;
        }
        Some(unit)
    }

    /// True when a solo unit is ready.
    pub fn has_ready_solo(&self) -> bool {
        !self.ready_solo.is_empty()
    }

    /// Marks a row unit as sent.
    pub(crate) fn take(&mut self, unit: UnitNumber) {
        if let Some(node) = self.nodes.get_mut(&unit) {
            node.taken = true;
            if self.ready.remove(&unit)
                && let Load::Rows { n_rows, .. } = node.load
            {
                self.n_ready_rows = self.n_ready_rows.saturating_sub(n_rows);
            }
        }
    }

    /// The unit is in the target for good: its successors wait for one less. Unknown numbers are ignored.
    pub fn commit(&mut self, unit: UnitNumber) {
        let Some(node) = self.nodes.remove(&unit) else { return };
        self.ready.remove(&unit);
        self.ready_solo.remove(&unit);
        for key in &node.keys {
            if self.last_writer.get(key) == Some(&unit) {
                self.last_writer.remove(key);
            }
        }
        for (resource, _) in &node.uses {
            if let Some(holders) = self.holders.get_mut(resource) {
                holders.shared.remove(&unit);
                holders.exclusive = holders.exclusive.filter(|number| *number != unit);
                if holders.shared.is_empty() && holders.exclusive.is_none() {
                    self.holders.remove(resource);
                }
            }
        }
        self.last_solo = self.last_solo.filter(|number| *number != unit);
        for successor in node.successors {
            if let Some(next) = self.nodes.get_mut(&successor) {
                next.n_waiting = next.n_waiting.saturating_sub(1);
                if next.n_waiting == 0 && !next.taken {
                    let load = next.load;
                    self.make_ready(successor, load);
                }
            }
        }
    }

    /// True when someone in flight changes the structure of `resource`.
    pub fn is_changing(&self, resource: Resource) -> bool {
        self.holders.get(&resource).is_some_and(|holders| holders.exclusive.is_some())
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Rows that could be sent now.
    pub fn n_ready_rows(&self) -> usize {
        self.n_ready_rows
    }

    /// Checks the invariants: edges point forward, and who waits for nobody is ready or sent.
    pub fn validate(&self) -> Result<(), String> {
        let mut n_before: BTreeMap<UnitNumber, usize> = BTreeMap::new();
        for (unit, node) in &self.nodes {
            for successor in &node.successors {
                if successor <= unit {
                    return Err(format!("unit {unit} has the earlier unit {successor} behind it"));
                }
                *n_before.entry(*successor).or_default() += 1;
            }
        }
        for (unit, node) in &self.nodes {
            if n_before.get(unit).copied().unwrap_or(0) != node.n_waiting {
                return Err(format!("unit {unit} waits for {} units, not as many as name it", node.n_waiting));
            }
            let is_ready = self.ready.contains(unit) || self.ready_solo.contains(unit);
            if is_ready != (node.n_waiting == 0 && !node.taken) {
                return Err(format!("unit {unit} is ready or not against its predecessors"));
            }
        }
        Ok(())
    }

    fn make_ready(&mut self, unit: UnitNumber, load: Load) {
        match load {
            Load::Rows { n_rows, .. } => {
                if self.ready.insert(unit) {
                    self.n_ready_rows += n_rows;
                }
            }
            Load::Solo => {
                self.ready_solo.insert(unit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE_ROW: Load = Load::Rows { n_rows: 1, n_bytes: 10 };

    fn unit(number: u64) -> UnitNumber {
        UnitNumber(number)
    }

    #[test]
    fn a_unit_waits_for_the_last_writer_of_its_keys() {
        let mut graph = Graph::default();
        graph.add(unit(1), ONE_ROW, vec![7], vec![]);
        graph.add(unit(2), ONE_ROW, vec![8], vec![]);
        graph.add(unit(3), ONE_ROW, vec![7, 8], vec![]);
        assert_eq!(graph.ready, BTreeSet::from([unit(1), unit(2)]));
        graph.commit(unit(1));
        graph.validate().unwrap();
        assert_eq!(graph.ready, BTreeSet::from([unit(2)]));
        graph.commit(unit(2));
        assert_eq!(graph.ready, BTreeSet::from([unit(3)]));
    }

    #[test]
    fn a_structure_change_waits_for_its_users_and_later_users_wait_for_it() {
        let mut graph = Graph::default();
        let (a, b) = (Resource(0), Resource(1));
        graph.add(unit(1), ONE_ROW, vec![1], vec![(a, Access::Shared)]);
        graph.add(unit(2), ONE_ROW, vec![2], vec![(b, Access::Shared)]);
        graph.add(unit(3), Load::Solo, vec![], vec![(a, Access::Exclusive)]);
        graph.add(unit(4), ONE_ROW, vec![4], vec![(a, Access::Shared)]);
        graph.add(unit(5), ONE_ROW, vec![5], vec![(b, Access::Shared)]);
        assert_eq!(graph.ready, BTreeSet::from([unit(1), unit(2), unit(5)]));
        assert!(graph.is_changing(a) && !graph.is_changing(b));
        graph.commit(unit(1));
        assert_eq!(graph.take_solo(unit(99)), Some(unit(3)));
        assert!(!graph.ready.contains(&unit(4)));
        graph.commit(unit(3));
        graph.validate().unwrap();
        assert!(graph.ready.contains(&unit(4)));
        assert!(!graph.is_changing(a));
    }

    #[test]
    fn structure_changes_keep_their_order_also_on_different_tables() {
        let mut graph = Graph::default();
        graph.add(unit(1), Load::Solo, vec![], vec![(Resource(0), Access::Exclusive)]);
        graph.add(unit(2), Load::Solo, vec![], vec![(Resource(1), Access::Exclusive)]);
        assert_eq!(graph.take_solo(unit(99)), Some(unit(1)));
        assert_eq!(graph.take_solo(unit(99)), None);
        graph.commit(unit(1));
        assert_eq!(graph.take_solo(unit(99)), Some(unit(2)));
    }
}
