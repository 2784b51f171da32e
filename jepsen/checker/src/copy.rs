//! The rows of the snapshot: transactions that carry a chunk's marker.
//!
//! Owns what can be proven of a copy: the rows go where the routes say, as many as the marker counts, under the marker's epoch; a
//! finished chunk is not copied again; and where the source's log reaches back far enough, each row is what the source had at
//! the very place the chunk was read at. What the log does not reach back to is counted as not confirmed.

use std::collections::BTreeSet;

use crate::{
    apply::{Ground, observe},
    log::Place,
    rows::{Entry, Known},
    subtask::Subtask,
    tables::{Step, TableId, hash},
    text,
};

/// What the markers of one transaction say.
#[derive(Debug, Default)]
pub(crate) struct Marked {
    /// Target tables they allow rows of.
    pub(crate) tables: BTreeSet<TableId>,
    pub(crate) n_rows: i128,
    pub(crate) epoch: Option<u64>,
    pub(crate) place: Option<Place>,
}

pub(crate) fn copy(
    subtask: &mut Subtask,
    marked: &Marked,
    steps: Vec<Step>,
    copied: u32,
    ground: &mut Ground<'_>,
) -> Result<(), text::Error> {
    let at = ground.at;
    if let Some(place) = &marked.place {
        subtask.source.copied_at(place, ground.tables)?;
    }
    let is_at_place = marked.place.as_ref().is_some_and(|place| subtask.source.taken() <= place);
    let mut n_rows = 0_i128;
    for step in steps {
        n_rows += i128::from(step.after.is_some()) - i128::from(step.before.is_some() && step.after.is_none());
        if !marked.tables.contains(&step.table) {
            let what = ground.tables.name(step.table).clone();
            ground
                .verdict
                .violation(|| format!("{at}: {}: rows of {what} come with a chunk of another table", subtask.name));
        }
        ground.verdict.n_copied += u64::from(step.after.is_some());
        let (Some(key), Some(image)) = (step.key, &step.after) else { continue };
        observe(&step, ground);
        let row = hash(image);
        let there = subtask.source.rows.get(step.table, key).map(|entry| entry.row).filter(|_| is_at_place);
        match there {
            Some(Known::Is(known)) if known == row => ground.verdict.n_confirmed += 1,
            Some(Known::Is(_) | Known::Absent) => {
                let what = ground.tables.describe(step.table, image);
                let place = marked.place.clone().unwrap_or_default();
                ground.verdict.violation(|| {
                    format!("{at}: {}: copied {what}, which the source did not have like this at {place}", subtask.name)
                });
            }
            Some(Known::Present) | None => {}
        }
        let unit = ground.rows.get(step.table, key).map_or(0, |entry| entry.unit);
        ground.rows.put(step.table, key, Entry { row: Known::Is(row), unit, copied });
    }
    if n_rows != marked.n_rows {
        ground.verdict.violation(|| {
            format!(
                "{at}: {}: the chunk's marker counts {} rows more, the transaction has {n_rows}",
                subtask.name, marked.n_rows
            )
        });
    }
    Ok(())
}
