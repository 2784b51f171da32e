//! Which parts of a row change the snapshot already holds.
//!
//! Owns the row-skip test: a change applies to a key iff it is later than the position at which that key's chunk was read.
//! What "later" means is the caller's (positions or GTID sets). Never guesses a chunk: where the order of keys is the server's, or a value may
//! have moved between chunks by another unique key, several positions mean safe mode instead. Fails on values that do not fit.

use std::cmp::Ordering;

use dm_binlog::Value;
use dm_ddl::table::Table;

use super::{ChunkKey, Order, bound::Bound, is_coupled};
use crate::{
    change::LiteralRow,
    literal::{Dialect, Error, Plan},
};

/// What is left of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applies {
    /// The old row is to go (its delete, or the update's old half).
    pub old: bool,
    /// The new row is to come.
    pub new: bool,
    /// Write it in safe mode.
    pub safe: bool,
}

/// The positions of a table's chunks. Drop it when the stream is past the newest.
#[derive(Debug)]
pub enum SkipTest<P> {
    /// One position for the whole table.
    Single(P),
    /// Chunks ascending by their upper bound; the last has none.
    ByChunk { plans: Vec<(usize, Plan)>, chunks: Vec<(Option<Bound>, P)> },
    /// Positions from which no order of keys leads to a chunk.
    Safe { oldest: P, newest: P },
}

impl<P: Clone + Ord> SkipTest<P> {
    /// `chunks` ascending, each with its upper bound and position; `coupled`: an enforced foreign key, or a unique key that only the
    /// target has, ties rows of different chunks together ([`is_coupled`]). `None` when there are no chunks.
    pub fn new(table: &Table, coupled: bool, chunks: Vec<(Option<Bound>, P)>) -> Option<Self> {
        let oldest = chunks.iter().map(|(_, position)| position).min()?.clone();
        let newest = chunks.iter().map(|(_, position)| position).max()?.clone();
        if oldest == newest {
            return Some(Self::Single(oldest));
        }
        let key = ChunkKey::of(table).filter(|key| key.order != Order::Server);
        let coupled = coupled || is_coupled(table, table);
        Some(match key {
            Some(key) if !coupled => {
                let plan = |index: usize| {
                    let column = table.columns.get(index)?;
                    Some((index, Plan::new(table, column, column, Dialect::MySql)))
                };
                let plans = key.columns.iter().filter_map(|index| plan(*index)).collect();
                Self::ByChunk { plans, chunks }
            }
            Some(_) | None => Self::Safe { oldest, newest },
        })
    }

    /// What of a change applies. `is_later(p)`: the change is later than `p`.
    pub fn applies(
        &self,
        is_later: impl Fn(&P) -> bool,
        before: Option<&[Value<'_>]>,
        after: Option<&[Value<'_>]>,
    ) -> Result<Applies, Error> {
        match self {
            Self::Single(position) => {
                let later = is_later(position);
                Ok(Applies { old: later && before.is_some(), new: later && after.is_some(), safe: false })
            }
            Self::Safe { oldest, newest } => {
                let later = is_later(oldest);
                Ok(Applies {
                    old: later && before.is_some(),
                    new: later && after.is_some(),
                    safe: later && !is_later(newest),
                })
            }
            Self::ByChunk { plans, chunks } => {
                let later = |row: Option<&[Value<'_>]>| -> Result<bool, Error> {
                    let Some(row) = row else { return Ok(false) };
                    let mut key = LiteralRow::with_capacity(plans.len(), 24);
                    for (column, plan) in plans {
                        key.push(|out| plan.write(row.get(*column).unwrap_or(&Value::Null), out))?;
                    }
                    let below = |upper: &Option<Bound>| {
                        upper.as_ref().is_some_and(|upper| upper.compare(&key) == Ordering::Less)
                    };
                    let at = chunks.partition_point(|(upper, _)| below(upper));
                    // Past the last bound: the stored plan always ends with an open chunk, else its last one takes it.
                    let position = chunks.get(at).or(chunks.last()).map(|(_, position)| position);
                    Ok(position.is_none_or(&is_later))
                };
                Ok(Applies { old: later(before)?, new: later(after)?, safe: false })
            }
        }
    }

    /// The position after which the test says yes to everything.
    pub fn newest(&self) -> Option<&P> {
        match self {
            Self::Single(position) | Self::Safe { newest: position, .. } => Some(position),
            Self::ByChunk { chunks, .. } => chunks.iter().map(|(_, position)| position).max(),
        }
    }
}
