//! Rules of the core and of its driver, broken on purpose: the simulation must see each.

use super::{history::Plan, run};
use crate::mutants::{self, Mutant};

/// A rule that the driver or the target of the simulation breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Rule 1: the next incarnation does not know the windows.
    WindowsForgotten,
    /// Rule 8: an answer is given when a transaction is sent.
    ReadyWhenSent,
    /// Rule 9: what is reported is what was read.
    ReportsMemory,
    /// Rule 10: the next incarnation cuts transactions at other sizes.
    SliceSizeChanges,
    /// Rule 10: the next incarnation counts what is left after a filter.
    NumbersAfterFilter,
    /// Rule 7: a DDL is done before it is executed.
    DdlDoneFirst,
    /// Rule 11: a chunk that was resumed counts as read at its second position.
    ChunkNotSplit,
    /// Rule 11: the tests of a table with further unique keys go by chunk, without safe mode.
    CoupledByChunk,
    /// Rule 11: shards of one target are tested each by its own positions.
    ShardsApart,
    /// Rule 11: the stream begins at the newest position of the copy.
    StartsAtNewest,
    /// Source transactions are not whole in the target.
    UnitsInHalves,
}

/// The first seed that fails.
fn caught_at(n_seeds: u64, plan: fn(u64) -> Plan, broken: Option<Broken>) -> Option<(u64, String)> {
    (0..n_seeds).find_map(|seed| run(&plan(seed), seed, broken).err().map(|what| (seed, what)))
}

fn first_line(what: &str) -> String {
    what.lines().next().unwrap_or_default().chars().take(100).collect()
}

#[test]
fn every_broken_rule_is_seen() {
    use self::Broken::*;
    let all = [
        WindowsForgotten,
        ReadyWhenSent,
        ReportsMemory,
        SliceSizeChanges,
        NumbersAfterFilter,
        DdlDoneFirst,
        UnitsInHalves,
    ];
    let mut missed = Vec::new();
    let random = all.map(|broken| (broken, Plan::random as fn(u64) -> Plan));
    let copied = [ChunkNotSplit, CoupledByChunk, ShardsApart, StartsAtNewest]
        .map(|broken| (broken, Plan::copied as fn(u64) -> Plan));
    for (broken, plan) in random.into_iter().chain(copied) {
        match caught_at(500, plan, Some(broken)) {
            Some((seed, what)) => println!("{:<22} seed {seed:>4}  {}", format!("{broken:?}"), first_line(&what)),
            None => missed.push(format!("{broken:?}")),
        }
    }
    assert!(missed.is_empty(), "not seen: {missed:?}");
}

#[test]
fn every_mutant_of_the_core_is_seen() {
    use Mutant::*;
    let all = [
        NoKeys,
        NoBarrier,
        FirstKeyOnly,
        KeysAsBytes,
        FoldsEarly,
        FoldsBackwards,
        LowPassesPending,
        LowInsideTransaction,
    ];
    let mut missed = Vec::new();
    for mutant in all {
        match mutants::with(Some(mutant), || caught_at(500, Plan::random, None)) {
            Some((seed, what)) => println!("{:<22} seed {seed:>4}  {}", format!("{mutant:?}"), first_line(&what)),
            None => missed.push(format!("{mutant:?}")),
        }
    }
    assert!(missed.is_empty(), "not seen: {missed:?}");
}
