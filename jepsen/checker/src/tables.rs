//! The target's tables as the checker knows them, and rows as steps of keys.
//!
//! Owns what identifies a row. A table whose identity nobody told is compared as a multiset of rows, which is as strict within a
//! transaction and says nothing about the order between transactions.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hasher},
};

use dm_model::TableName;

use crate::text::Image;

/// What the caller knows about a target table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableFacts {
    /// Places of the columns (from 0) that tell rows apart: the primary key, or a unique key without NULL. Empty: the table has
    /// none.
    pub key: Vec<usize>,
    /// It has another unique key or a foreign key, so that a copy of several moments is put right by REPLACE.
    pub is_coupled: bool,
}

/// A target table's number.
pub(crate) type TableId = u32;

/// What happened to one key, or, without a key, one row that came, went, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) table: TableId,
    pub(crate) key: Option<Key>,
    pub(crate) before: Option<Image>,
    pub(crate) after: Option<Image>,
}

/// A key's values, hashed. 2⁶⁴ is enough for logs that fit on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) u64);

/// All that were named so far.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    names: Vec<TableName>,
    facts: Vec<TableFacts>,
    by_name: BTreeMap<TableName, TableId>,
}

impl Tables {
    pub(crate) fn new(known: BTreeMap<TableName, TableFacts>) -> Self {
        let mut tables = Self::default();
        for (name, facts) in known {
            let id = tables.id(&name);
            tables.facts[id as usize] = facts;
        }
        tables
    }

    /// The number of a table; a new one has no key.
    pub(crate) fn id(&mut self, name: &TableName) -> TableId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        // Nobody has four billion tables.
        let id = TableId::try_from(self.names.len()).unwrap_or(TableId::MAX);
        self.names.push(name.clone());
        self.facts.push(TableFacts::default());
        self.by_name.insert(name.clone(), id);
        id
    }

    /// All of them.
    pub(crate) fn known(&self) -> impl Iterator<Item = (TableId, &TableName)> {
        self.by_name.iter().map(|(name, id)| (*id, name))
    }

    pub(crate) fn name(&self, id: TableId) -> &TableName {
        &self.names[id as usize]
    }

    pub(crate) fn facts(&self, id: TableId) -> &TableFacts {
        &self.facts[id as usize]
    }

    /// A row change as steps: one, or two when the key moves.
    pub(crate) fn steps(&self, table: TableId, before: Option<Image>, after: Option<Image>, into: &mut Vec<Step>) {
        let columns = &self.facts(table).key;
        if columns.is_empty() {
            into.push(Step { table, key: None, before, after });
            return;
        }
        let key = |image: &Option<Image>| image.as_ref().map(|image| key_of(image, columns));
        match (key(&before), key(&after)) {
            (None, None) => {}
            (Some(old), Some(new)) if old != new => {
                into.push(Step { table, key: Some(old), before, after: None });
                into.push(Step { table, key: Some(new), before: None, after });
            }
            (Some(key), _) | (None, Some(key)) => into.push(Step { table, key: Some(key), before, after }),
        }
    }

    /// A row's key for people.
    pub(crate) fn describe(&self, table: TableId, image: &[u8]) -> String {
        let columns = &self.facts(table).key;
        let values: Vec<&[u8]> = image.split(|byte| *byte == b'\n').collect();
        let shown: Vec<String> = if columns.is_empty() {
            values.iter().take(6).map(|value| show(value)).collect()
        } else {
            columns.iter().filter_map(|column| values.get(*column)).map(|value| show(value)).collect()
        };
        format!("row ({}) of {}", shown.join(", "), self.name(table))
    }
}

fn show(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    if text.chars().count() > 60 { text.chars().take(60).chain("…".chars()).collect() } else { text.into_owned() }
}

fn key_of(image: &[u8], columns: &[usize]) -> Key {
    let mut hasher = DefaultHasher::new();
    if let [first] = columns {
        // The key is nearly always in front.
        hasher.write(image.split(|byte| *byte == b'\n').nth(*first).unwrap_or_default());
        return Key(hasher.finish());
    }
    let values: Vec<&[u8]> = image.split(|byte| *byte == b'\n').collect();
    for column in columns {
        hasher.write(values.get(*column).copied().unwrap_or_default());
        hasher.write_u8(b'\n');
    }
    Key(hasher.finish())
}

/// A row's values, hashed.
pub(crate) fn hash(image: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(image);
    hasher.finish()
}

/// The values that differ, for people.
pub(crate) fn difference(source: Option<&Image>, target: Option<&Image>) -> String {
    let (Some(source), Some(target)) = (source, target) else {
        let say = |image: Option<&Image>| if image.is_some() { "a row" } else { "no row" };
        return format!("{} at the source, {} in the target", say(source), say(target));
    };
    let (a, b): (Vec<&[u8]>, Vec<&[u8]>) =
        (source.split(|byte| *byte == b'\n').collect(), target.split(|byte| *byte == b'\n').collect());
    if a.len() != b.len() {
        return format!("{} columns at the source, {} in the target", a.len(), b.len());
    }
    let differing = a.iter().zip(&b).zip(1..).filter(|((a, b), _)| a != b);
    let shown: Vec<String> = differing
        .take(3)
        .map(|((a, b), n)| format!("@{n} is {} at the source, {} in the target", show(a), show(b)))
        .collect();
    shown.join("; ")
}
