//! A row change as it will be written: SQL literals in one buffer, and the hashes that say what it conflicts with.
//!
//! Owns the shape of rendered rows and changes. Never renders (that is `literal`), never writes statements (`sqlgen`).
//! Cannot fail: what does not fit was refused while rendering.

use std::{fmt, sync::Arc};

use dm_model::TableName;

use crate::mapping::Mapping;

/// The SQL literals of one row, in one buffer. Literals are valid on a session with `SET NAMES utf8mb4`,
/// `time_zone = '+00:00'` and an `sql_mode` without `NO_BACKSLASH_ESCAPES` and `NO_ZERO_*`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LiteralRow {
    text: Vec<u8>,
    ends: Vec<u32>,
}

impl LiteralRow {
    pub fn with_capacity(n_columns: usize, n_bytes: usize) -> Self {
        Self { text: Vec::with_capacity(n_bytes), ends: Vec::with_capacity(n_columns) }
    }

    /// Adds one literal, written by `write` at the end of the buffer. An error leaves the row as it was.
    pub fn push<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let start = self.text.len();
        if let Err(error) = write(&mut self.text) {
            self.text.truncate(start);
            return Err(error);
        }
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
        Ok(())
    }

    /// Adds a literal that is already text.
    pub fn push_literal(&mut self, literal: &[u8]) {
        self.text.extend_from_slice(literal);
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    /// Gives back room that was taken while the buffer grew, where it is worth a copy.
    pub fn trim(&mut self) {
        const WORTH: usize = 256;
        if self.text.capacity() - self.text.len() > WORTH {
            self.text.shrink_to_fit();
        }
    }

    /// How many literals.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The literal of a column; empty when there is no such column.
    pub fn get(&self, column: usize) -> &[u8] {
        let start = match column.checked_sub(1) {
            Some(previous) => self.ends.get(previous).copied().unwrap_or(0) as usize,
            None => 0,
        };
        let end = self.ends.get(column).copied().unwrap_or(0) as usize;
        self.text.get(start..end).unwrap_or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|column| self.get(column))
    }

    /// Bytes of all literals together.
    pub fn n_bytes(&self) -> usize {
        self.text.len()
    }
}

impl fmt::Debug for LiteralRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(String::from_utf8_lossy)).finish()
    }
}

/// How a statement finds its row in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// The columns of a unique key, none of which is NULL in this row: an index into [`Mapping::unique_keys`].
    Key(u16),
    /// No such key: all columns, NULL-safe, `LIMIT 1`.
    AllColumns,
}

/// The old row, as far as it is needed to find it: the literals of its identity's columns, in the identity's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowKey {
    pub identity: Identity,
    pub literals: LiteralRow,
}

/// What happens to the row. `after` holds one literal for each of [`Mapping::columns`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    Insert {
        after: LiteralRow,
    },
    Update {
        before: RowKey,
        after: LiteralRow,
        /// Some value of some unique key of the target is another one (bytes compared, so `a` to `A` counts).
        moves_key: bool,
    },
    Delete {
        before: RowKey,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    Insert,
    Update,
    Delete,
}

/// One row change, routed, rendered and hashed. Holds no borrow of the event it came from.
#[derive(Debug, Clone)]
pub struct RowChange {
    pub(crate) mapping: Arc<Mapping>,
    pub(crate) edit: Edit,
    pub(crate) keys: Vec<u64>,
}

impl RowChange {
    pub fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    pub fn target(&self) -> &TableName {
        self.mapping.target()
    }

    pub fn source(&self) -> &TableName {
        self.mapping.source()
    }

    pub fn edit(&self) -> &Edit {
        &self.edit
    }

    pub fn kind(&self) -> ChangeKind {
        match &self.edit {
            Edit::Insert { .. } => ChangeKind::Insert,
            Edit::Update { .. } => ChangeKind::Update,
            Edit::Delete { .. } => ChangeKind::Delete,
        }
    }

    /// Hashes of everything the change conflicts on, sorted, without doubles, never empty. Two changes that share none
    /// may be applied in any order.
    pub fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// Memory held, for queues bounded in bytes; the mapping, which is shared, is not counted.
    pub fn n_bytes(&self) -> usize {
        let row = |row: &LiteralRow| row.text.capacity() + row.ends.capacity() * 4;
        let edit = match &self.edit {
            Edit::Insert { after } => row(after),
            Edit::Update { before, after, .. } => row(&before.literals) + row(after),
            Edit::Delete { before } => row(&before.literals),
        };
        size_of::<Self>() + self.keys.capacity() * 8 + edit
    }
}
