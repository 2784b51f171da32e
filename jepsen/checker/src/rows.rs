//! What the rows of tables are, as far as a log tells: by key a hash of the row, or that there is none.
//!
//! About fifty bytes for each key ever seen. What a structure change may have touched is not known any more until the next change
//! of the row.

use std::collections::{BTreeMap, BTreeSet};

use crate::tables::{Key, Step, TableId, hash};

/// A row, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Absent,
    /// There is one; its values are not known.
    Present,
    Is(u64),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) row: Known,
    /// Last unit that changed it (of whichever subtask), or 0.
    pub(crate) unit: u64,
    /// Number of the place it was copied at, from 1; 0: not copied.
    pub(crate) copied: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Rows {
    entries: BTreeMap<(TableId, Key), Entry>,
    /// Tables of which rows may be there that the log does not have.
    foggy: BTreeSet<TableId>,
}

impl Rows {
    pub(crate) fn get(&self, table: TableId, key: Key) -> Option<Entry> {
        self.entries.get(&(table, key)).copied()
    }

    pub(crate) fn put(&mut self, table: TableId, key: Key, entry: Entry) {
        self.entries.insert((table, key), entry);
    }

    /// True when a key without an entry may have a row.
    pub(crate) fn is_foggy(&self, table: TableId) -> bool {
        self.foggy.contains(&table)
    }

    /// Takes a change over; keyless rows are not followed.
    pub(crate) fn follow(&mut self, step: &Step, unit: u64) {
        let Some(key) = step.key else { return };
        let row = step.after.as_ref().map_or(Known::Absent, |image| Known::Is(hash(image)));
        let entry = self.entries.entry((step.table, key)).or_insert(Entry { row, unit, copied: 0 });
        entry.row = row;
        entry.unit = unit;
    }

    /// The structure changed: rows are there, with other values.
    pub(crate) fn forget(&mut self, table: TableId) {
        for (_, entry) in self.entries.range_mut((table, Key(0))..=(table, Key(u64::MAX))) {
            if matches!(entry.row, Known::Is(_)) {
                entry.row = Known::Present;
            }
        }
    }

    /// All rows are gone.
    pub(crate) fn clear(&mut self, table: TableId) {
        for (_, entry) in self.entries.range_mut((table, Key(0))..=(table, Key(u64::MAX))) {
            *entry = Entry { row: Known::Absent, unit: entry.unit, copied: 0 };
        }
    }

    /// Nothing is known about the table any more.
    pub(crate) fn lose(&mut self, table: TableId) {
        let keys: Vec<(TableId, Key)> =
            self.entries.range((table, Key(0))..=(table, Key(u64::MAX))).map(|(key, _)| *key).collect();
        keys.iter().for_each(|key| {
            self.entries.remove(key);
        });
        self.foggy.insert(table);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (TableId, Key, Entry)> + '_ {
        self.entries.iter().map(|((table, key), entry)| (*table, *key, *entry))
    }
}
