//! Which steps share a statement.
//!
//! A step joins the last open group of its table and kind when no later group, and no step of another order inside that group,
//! shares a key with it; otherwise it opens a new group. Steps with a common key so keep their order; all others commute.
//! Cannot fail.

use std::collections::BTreeMap;

use super::{
    MAX_BYTES, MAX_ROWS, Mode,
    compact::{Step, StepEdit},
};
use crate::{
    change::{Identity, LiteralRow},
    mapping::Mapping,
};

/// What a group becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    /// INSERT, or REPLACE in safe mode.
    Insert,
    /// `INSERT … ON DUPLICATE KEY UPDATE` of rows that exist, or did when the fold began.
    Upsert,
    /// `DELETE … WHERE key IN (…)`.
    DeleteByKey,
    /// Statements of one row.
    Single,
}

#[derive(Debug)]
pub(super) struct Group<'a, 's> {
    pub(super) shape: Shape,
    pub(super) steps: Vec<&'s Step<'a>>,
    n_bytes: usize,
}

pub(super) fn group<'a, 's>(steps: &'s [Step<'a>], mode: Mode) -> Vec<Group<'a, 's>> {
    let mut groups: Vec<Group<'a, 's>> = Vec::new();
    let mut open: BTreeMap<(*const Mapping, Shape), usize> = BTreeMap::new();
    let mut last: BTreeMap<u64, usize> = BTreeMap::new();
    for step in steps {
        let shape = shape(step, mode);
        let n_bytes = n_bytes(step);
        let slot = (std::ptr::from_ref(step.mapping), shape);
        let floor = step.keys.iter().filter_map(|key| last.get(key)).max();
        let fits = |at: &usize| {
            // Rows of one statement must not depend on each other, hence: strictly later than the last conflict.
            floor.is_none_or(|floor| floor < at)
                && groups.get(*at).is_some_and(|group| {
                    group.steps.len() < MAX_ROWS && group.n_bytes.saturating_add(n_bytes) <= MAX_BYTES
                })
        };
        let at = match open.get(&slot).copied().filter(fits) {
            Some(at) if shape != Shape::Single => at,
            Some(_) | None => {
                groups.push(Group { shape, steps: Vec::new(), n_bytes: 0 });
                groups.len() - 1
            }
        };
        if let Some(group) = groups.get_mut(at) {
            group.steps.push(step);
            group.n_bytes += n_bytes;
        }
        open.insert(slot, at);
        for key in &step.keys {
            last.insert(*key, at);
        }
    }
    groups
}

fn shape(step: &Step<'_>, mode: Mode) -> Shape {
    if !mode.multi_row {
        return Shape::Single;
    }
    match step.edit {
        StepEdit::Insert { .. } => Shape::Insert,
        StepEdit::Update { moves_key: false, before, .. } if mode.safe && before.identity != Identity::AllColumns => {
            Shape::Insert
        }
        StepEdit::Update { .. } if mode.safe => Shape::Single,
        StepEdit::Update { moves_key: false, before, .. }
            if step.mapping.upsertable() && before.identity == Identity::Key(0) =>
        {
            Shape::Upsert
        }
        StepEdit::Update { .. } => Shape::Single,
        StepEdit::Replace { .. } => Shape::Upsert,
        StepEdit::Delete { before, .. } => {
            let by_key = step.mapping.has_row_key() && before.identity == Identity::Key(0);
            if by_key { Shape::DeleteByKey } else { Shape::Single }
        }
    }
}

fn n_bytes(step: &Step<'_>) -> usize {
    let row = |row: &LiteralRow| row.n_bytes() + row.len() + 3;
    match step.edit {
        StepEdit::Insert { after } => row(after),
        StepEdit::Update { before, after, .. } | StepEdit::Replace { before, after } => {
            row(&before.literals) + row(after)
        }
        StepEdit::Delete { before, .. } => row(&before.literals),
    }
}
