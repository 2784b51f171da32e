//! The source tables' structures as of the unit that is being read.
//!
//! Owns what is known, from when on, and what must still be stored. Structures come from `dm_table_structure`, from
//! tracked DDL, or from an answer; each that is new goes into the next transaction of any lane, so that a successor can
//! decode the same rows. Never guesses: what is not known is asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dm_ddl::{Piece, table::Table, tracker::Tracker};
use dm_fence::UnitNumber;
use dm_model::TableName;

use crate::batch::StoredStructure;

/// What is known of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Knowledge {
    Known(Arc<Table>),
    /// The source's answer, not yet held against a row.
    Answered(Option<Arc<Table>>),
    /// The source was asked.
    Asked,
    Unknown,
}

#[derive(Debug)]
pub struct Structures {
    tracker: Tracker,
    answers: BTreeMap<TableName, Option<Arc<Table>>>,
    asked: BTreeSet<TableName>,
    /// Stored structures that begin at a unit that is still to be read.
    later: BTreeMap<UnitNumber, Vec<StoredStructure>>,
    /// The last unit for which stored structures were taken.
    taken_for: Option<UnitNumber>,
    unsaved: Vec<StoredStructure>,
}

impl Structures {
    /// Takes all stored structures; those from units after `low` wait until their unit is read. `case_sensitive`:
    /// whether the source tells `T` from `t`.
    pub fn new(mut stored: Vec<StoredStructure>, low: UnitNumber, case_sensitive: bool) -> Self {
        let mut structures = Self {
            tracker: Tracker::new(case_sensitive),
            answers: BTreeMap::new(),
            asked: BTreeSet::new(),
            later: BTreeMap::new(),
            taken_for: None,
            unsaved: Vec::new(),
        };
        stored.sort_by_key(|entry| entry.from_unit);
        for entry in stored {
            if entry.from_unit <= low {
                structures.set(entry.table, entry.structure.as_deref());
            } else {
                structures.later.entry(entry.from_unit).or_default().push(entry);
            }
        }
        structures
    }

    /// A unit begins: structures that were stored for it hold from here on. Gives the tables concerned.
    pub fn begin(&mut self, unit: UnitNumber) -> Vec<TableName> {
        let mut tables = Vec::new();
        while let Some(first) = self.later.first_entry().filter(|first| *first.key() <= unit) {
            self.taken_for = Some(*first.key());
            for entry in first.remove() {
                tables.push(entry.table.clone());
                self.set(entry.table, entry.structure.as_deref());
            }
        }
        tables
    }

    /// Follows a DDL's piece in `unit`, unless what came of it was stored by a former owner. Gives what changed.
    pub fn follow(&mut self, piece: &Piece, unit: UnitNumber) -> Vec<StoredStructure> {
        if self.taken_for == Some(unit) {
            return Vec::new();
        }
        let changed = self.tracker.apply(piece);
        let stored = |table: TableName| {
            self.answers.remove(&table);
            let structure = self.tracker.table(&table).cloned().map(Arc::new);
            StoredStructure { table, from_unit: unit, structure }
        };
        changed.into_iter().map(stored).collect()
    }

    pub fn table(&self, table: &TableName) -> Option<&Table> {
        self.tracker.table(table)
    }

    /// True while the source was asked and has not answered.
    pub fn is_asked(&self, table: &TableName) -> bool {
        self.asked.contains(table)
    }

    pub fn knowledge(&self, table: &TableName) -> Knowledge {
        if let Some(structure) = self.tracker.table(table) {
            Knowledge::Known(Arc::new(structure.clone()))
        } else if let Some(answer) = self.answers.get(table) {
            Knowledge::Answered(answer.clone())
        } else if self.asked.contains(table) {
            Knowledge::Asked
        } else {
            Knowledge::Unknown
        }
    }

    /// Notes that the source is asked. False when it was already.
    pub fn ask(&mut self, table: &TableName) -> bool {
        self.asked.insert(table.clone())
    }

    /// The source's answer. Ignored when nobody asked (late, twice).
    pub fn answer(&mut self, table: TableName, structure: Option<Table>) {
        if self.asked.remove(&table) {
            self.answers.insert(table, structure.map(Arc::new));
        }
    }

    /// A structure was found to be that of the rows of `from_unit`: it holds from there on and is to be stored.
    pub fn learn(&mut self, table: &TableName, structure: Arc<Table>, from_unit: UnitNumber) {
        self.answers.remove(table);
        self.tracker.put(table.clone(), (*structure).clone());
        self.unsaved.push(StoredStructure { table: table.clone(), from_unit, structure: Some(structure) });
    }

    /// What the next transaction stores.
    pub fn take_unsaved(&mut self) -> Vec<StoredStructure> {
        std::mem::take(&mut self.unsaved)
    }

    pub fn has_unsaved(&self) -> bool {
        !self.unsaved.is_empty()
    }

    fn set(&mut self, table: TableName, structure: Option<&Table>) {
        match structure {
            Some(structure) => self.tracker.put(table, structure.clone()),
            None => self.tracker.remove(&table),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(comment: &str) -> Table {
        Table { comment: Some(comment.to_owned()), ..Table::default() }
    }

    fn stored(from: u64, comment: &str) -> StoredStructure {
        let structure = Some(Arc::new(table(comment)));
        StoredStructure { table: TableName::new("s", "t"), from_unit: UnitNumber(from), structure }
    }

    fn comment(structures: &Structures) -> Option<String> {
        match structures.knowledge(&TableName::new("s", "t")) {
            Knowledge::Known(table) => table.comment.clone(),
            Knowledge::Answered(_) | Knowledge::Asked | Knowledge::Unknown => None,
        }
    }

    #[test]
    fn the_newest_structure_before_the_first_unit_holds_until_a_later_one_begins() {
        let mut structures =
            Structures::new(vec![stored(20, "later"), stored(1, "old"), stored(9, "held")], UnitNumber(10), true);
        assert_eq!(comment(&structures).as_deref(), Some("held"));
        assert!(structures.begin(UnitNumber(19)).is_empty());
        assert_eq!(structures.begin(UnitNumber(20)), [TableName::new("s", "t")]);
        assert_eq!(comment(&structures).as_deref(), Some("later"));
        assert!(!structures.has_unsaved());
    }

    #[test]
    fn an_answer_nobody_asked_for_is_ignored() {
        let mut structures = Structures::new(Vec::new(), UnitNumber(1), true);
        let name = TableName::new("s", "t");
        structures.answer(name.clone(), Some(table("late")));
        assert_eq!(structures.knowledge(&name), Knowledge::Unknown);
        assert!(structures.ask(&name) && !structures.ask(&name));
        structures.answer(name.clone(), None);
        assert_eq!(structures.knowledge(&name), Knowledge::Answered(None));
    }

    #[test]
    fn what_is_learned_is_stored_once() {
        let mut structures = Structures::new(Vec::new(), UnitNumber(1), true);
        structures.learn(&TableName::new("s", "t"), Arc::new(table("new")), UnitNumber(5));
        assert_eq!(structures.take_unsaved().len(), 1);
        assert!(structures.take_unsaved().is_empty());
        assert_eq!(comment(&structures).as_deref(), Some("new"));
    }
}
