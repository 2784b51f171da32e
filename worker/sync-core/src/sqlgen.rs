//! The statements of a fold: fewer and larger ones with the effect of the single ones in their order.
//!
//! Owns grouping, compaction and the text of INSERT, UPDATE, DELETE and REPLACE. Never renders values, never opens or ends
//! a transaction, never adds the fence. Cannot fail: its input was rendered.

mod compact;
mod group;
mod text;

use crate::{
    change::{LiteralRow, RowChange},
    mapping::Mapping,
};

/// How changes become statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// DM's safe mode: every statement may run again on a target that already has it. Switches compaction off.
    pub safe: bool,
    /// Several changes of one row in one fold become one.
    pub compact: bool,
    /// Rows of one table share statements.
    pub multi_row: bool,
}

impl Mode {
    /// What exactly-once replication uses.
    pub const NORMAL: Self = Self { safe: false, compact: true, multi_row: true };
    /// At-least-once targets and the other cases of safe mode.
    pub const SAFE: Self = Self { safe: true, compact: false, multi_row: true };
    /// One statement for each change.
    pub const SINGLE: Self = Self { safe: false, compact: false, multi_row: false };
}

/// A statement with at most this many rows …
pub const MAX_ROWS: usize = 1000;
/// … and, unless a single row is larger, this many bytes of text.
pub const MAX_BYTES: usize = 1 << 20;

/// Affected rows that a target in step reports, the same with and without `CLIENT_FOUND_ROWS`. Fewer or more mean that
/// source and target have diverged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Affected {
    pub min: u64,
    pub max: u64,
}

impl Affected {
    /// How far off a reported number is; 0 when the target is in step.
    pub fn divergence(self, affected: u64) -> u64 {
        if affected < self.min { self.min - affected } else { affected.saturating_sub(self.max) }
    }
}

/// One statement without a terminator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub sql: Vec<u8>,
    /// How many row changes it stands for, those that compaction merged included.
    pub n_rows: usize,
    pub affected: Affected,
}

/// Turns changes, in the order in which they must take effect, into statements to execute in order in one transaction.
/// The effect equals that of the single statements; changes that share no key may have changed places.
pub fn statements(changes: &[&RowChange], mode: Mode) -> Vec<Statement> {
    let steps = compact::compact(changes, mode.compact && !mode.safe);
    group::group(&steps, mode).iter().flat_map(|group| text::write(group, mode)).collect()
}

/// One statement that writes snapshot rows, each a literal for every one of [`Mapping::columns`]. `replace`: the rows may be
/// there already. The caller bounds rows and bytes ([`MAX_ROWS`], [`MAX_BYTES`]); no rows give `None`.
pub fn insert_rows(mapping: &Mapping, rows: &[LiteralRow], replace: bool) -> Option<Statement> {
    (!rows.is_empty()).then(|| text::insert(mapping, rows.iter(), rows.len(), replace))
}

#[cfg(test)]
mod tests;
