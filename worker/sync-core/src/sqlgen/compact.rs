//! Several changes of one row become one.
//!
//! Owns the rules: insert then update is an insert, update then update an update from the first old to the last new row,
//! anything then delete a delete of the first old row. Delete then insert of the same key is a replacement where the mapping
//! allows it, else it stays as it is. A change only joins an earlier one when no
//! change in between shares a key with it, so joining equals moving it there. Only rows found by a NOT NULL key join, by the
//! bytes of that key. Cannot fail.

use std::collections::BTreeMap;

use crate::{
    change::{Edit, Identity, LiteralRow, RowChange, RowKey},
    mapping::Mapping,
};

/// What is to be done for a row, made of one change or several.
#[derive(Debug, Clone)]
pub(super) struct Step<'a> {
    pub(super) mapping: &'a Mapping,
    pub(super) edit: StepEdit<'a>,
    pub(super) keys: Vec<u64>,
    /// How many changes it stands for.
    pub(super) n_changes: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum StepEdit<'a> {
    Insert {
        after: &'a LiteralRow,
    },
    Update {
        before: &'a RowKey,
        after: &'a LiteralRow,
        moves_key: bool,
    },
    /// A row that was there is deleted, and one with its key inserted.
    Replace {
        before: &'a RowKey,
        after: &'a LiteralRow,
    },
    /// `existed`: false when the row was inserted in this fold, so that there is nothing to delete.
    Delete {
        before: &'a RowKey,
        existed: bool,
    },
}

type RowId<'a> = (*const Mapping, Vec<&'a [u8]>);

pub(super) fn compact<'a>(changes: &[&'a RowChange], enabled: bool) -> Vec<Step<'a>> {
    let mut steps: Vec<Step<'a>> = Vec::with_capacity(changes.len());
    // Where a key was last touched, and where a row that exists now was last written.
    let mut touched: BTreeMap<u64, usize> = BTreeMap::new();
    let mut written: BTreeMap<RowId<'a>, usize> = BTreeMap::new();
    // Where a row that is gone now was deleted.
    let mut deleted: BTreeMap<RowId<'a>, usize> = BTreeMap::new();
    for change in changes {
        let change: &'a RowChange = change;
        let mapping: &'a Mapping = &change.mapping;
        let edit = match &change.edit {
            Edit::Insert { after } => StepEdit::Insert { after },
            Edit::Update { before, after, moves_key } => StepEdit::Update { before, after, moves_key: *moves_key },
            Edit::Delete { before } => StepEdit::Delete { before, existed: true },
        };
        if !enabled {
            steps.push(Step { mapping, edit, keys: change.keys.clone(), n_changes: 1 });
            continue;
        }
        let earlier = match edit {
            StepEdit::Insert { .. } if mapping.replaceable() => {
                after_id(mapping, edit).and_then(|id| deleted.remove(&id))
            }
            _ => before_id(mapping, edit).and_then(|id| written.remove(&id)),
        };
        let free = |at: &usize| change.keys.iter().all(|key| touched.get(key).is_none_or(|last| last <= at));
        let joined = earlier.filter(free).and_then(|at| steps.get_mut(at).map(|step| (at, step)));
        let at = match joined.and_then(|(at, step)| join(step.edit, edit).map(|edit| (at, step, edit))) {
            Some((at, step, joined)) => {
                step.edit = joined;
                step.n_changes += 1;
                step.keys.extend_from_slice(&change.keys);
                step.keys.sort_unstable();
                step.keys.dedup();
                at
            }
            None => {
                steps.push(Step { mapping, edit, keys: change.keys.clone(), n_changes: 1 });
                steps.len() - 1
            }
        };
        for key in &change.keys {
            touched.insert(*key, at);
        }
        match after_id(mapping, edit) {
            Some(id) => {
                written.insert(id, at);
            }
            None if mapping.replaceable() => {
                // what the step deletes may have had another key before
                if let Some(id) = steps.get(at).and_then(|step| before_id(mapping, step.edit)) {
                    deleted.insert(id, at);
                }
            }
            None => {}
        }
    }
    steps
}

fn join<'a>(first: StepEdit<'a>, second: StepEdit<'a>) -> Option<StepEdit<'a>> {
    match (first, second) {
        (StepEdit::Insert { .. }, StepEdit::Update { after, .. }) => Some(StepEdit::Insert { after }),
        (StepEdit::Insert { .. }, StepEdit::Delete { before, .. }) => Some(StepEdit::Delete { before, existed: false }),
        (StepEdit::Update { before, moves_key, .. }, StepEdit::Update { after, moves_key: again, .. }) => {
            Some(StepEdit::Update { before, after, moves_key: moves_key || again })
        }
        (StepEdit::Replace { before, .. }, StepEdit::Update { after, moves_key: false, .. }) => {
            Some(StepEdit::Replace { before, after })
        }
        (StepEdit::Replace { before, .. }, StepEdit::Update { after, moves_key: true, .. }) => {
            Some(StepEdit::Update { before, after, moves_key: true })
        }
        (StepEdit::Update { before, .. } | StepEdit::Replace { before, .. }, StepEdit::Delete { .. }) => {
            Some(StepEdit::Delete { before, existed: true })
        }
        (StepEdit::Delete { before, existed: true }, StepEdit::Insert { after }) => {
            Some(StepEdit::Replace { before, after })
        }
        (StepEdit::Delete { .. }, _) | (_, StepEdit::Insert { .. } | StepEdit::Replace { .. }) => None,
    }
}

fn before_id<'a>(mapping: &'a Mapping, edit: StepEdit<'a>) -> Option<RowId<'a>> {
    let key = match edit {
        StepEdit::Insert { .. } => return None,
        StepEdit::Update { before, .. } | StepEdit::Replace { before, .. } | StepEdit::Delete { before, .. } => before,
    };
    (mapping.has_row_key() && key.identity == Identity::Key(0))
        .then(|| (std::ptr::from_ref(mapping), key.literals.iter().collect()))
}

fn after_id<'a>(mapping: &'a Mapping, edit: StepEdit<'a>) -> Option<RowId<'a>> {
    let after = match edit {
        StepEdit::Insert { after } | StepEdit::Update { after, .. } | StepEdit::Replace { after, .. } => after,
        StepEdit::Delete { .. } => return None,
    };
    let key = mapping.unique_keys().first().filter(|key| key.not_null)?;
    Some((std::ptr::from_ref(mapping), key.columns.iter().map(|column| after.get(*column)).collect()))
}
