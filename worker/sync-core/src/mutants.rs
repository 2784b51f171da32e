//! For tests: rules of the core, broken on purpose, to show that the simulation sees it.
//!
//! A mutant is chosen for the current thread. Production code asks only in tests, and only at the places named here.

use std::cell::Cell;

use crate::graph::{Access, Resource};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Units with a common key do not wait for each other.
    NoKeys,
    /// Rows do not wait for a DDL on their table, nor it for them.
    NoBarrier,
    /// Only the first unique key of a table orders its rows.
    FirstKeyOnly,
    /// Keys are compared by their bytes, whatever the collation.
    KeysAsBytes,
    /// A fold takes a unit when one of its predecessors is ahead in it, and not all.
    FoldsEarly,
    /// A fold is written from its last unit to its first.
    FoldsBackwards,
    /// The watermark passes units that are not committed.
    LowPassesPending,
    /// The watermark stands inside a source transaction.
    LowInsideTransaction,
}

thread_local! {
    static CHOSEN: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Runs with a mutant, or with none.
pub(crate) fn with<T>(mutant: Option<Mutant>, run: impl FnOnce() -> T) -> T {
    let before = CHOSEN.replace(mutant);
    let result = run();
    CHOSEN.set(before);
    result
}

pub(crate) fn is(mutant: Mutant) -> bool {
    CHOSEN.get() == Some(mutant)
}

/// What a unit conflicts on, as the graph sees it.
pub(crate) fn conflicts(keys: Vec<u64>, uses: Vec<(Resource, Access)>) -> (Vec<u64>, Vec<(Resource, Access)>) {
    let keys = if is(Mutant::NoKeys) { Vec::new() } else { keys };
    let uses = if is(Mutant::NoBarrier) { Vec::new() } else { uses };
    (keys, uses)
}
