//! The rows of a target transaction against the units it commits, key by key.
//!
//! Several changes of a key in one transaction may arrive as one net change, or as none when they undo each other. So for
//! each key: the row before is the source's before the first of the units' changes, the row after the source's after the last.
//! Rows without a key are counted. Changes that the copy holds already may be missing (data-plane.md 3.5): then the rest of
//! the key's changes must be there.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    log::Place,
    rows::{Entry, Known, Rows},
    subtask::Subtask,
    tables::{Key, Step, TableId, Tables, difference, hash},
    text::{self, Image},
    verdict::Verdict,
};

/// What the target did to a key, all in all.
#[derive(Debug)]
struct Net {
    before: Option<Image>,
    after: Option<Image>,
}

/// A change of a source and where it is from.
#[derive(Debug)]
struct Wanted {
    unit: u64,
    end: Place,
    source_table: usize,
    step: Step,
}

/// What a comparison needs besides the rows.
#[derive(Debug)]
pub(crate) struct Ground<'a> {
    pub(crate) tables: &'a mut Tables,
    /// The target's rows.
    pub(crate) rows: &'a mut Rows,
    /// Places of copies by [`Entry::copied`].
    pub(crate) copy_places: &'a [Place],
    /// Rows may be written by REPLACE: what was there before does not count.
    pub(crate) is_safe: bool,
    pub(crate) at: &'a Place,
    pub(crate) verdict: &'a mut Verdict,
}

/// Units are numbered by subtask; keys are not.
fn mark(subtask: &Subtask, unit: u64) -> u64 {
    subtask.index << 48 | unit
}

/// Compares and takes over: units are committed, rows are as the target has them.
pub(crate) fn apply(
    subtask: &mut Subtask,
    units: &[u64],
    changes: Vec<Step>,
    ground: &mut Ground<'_>,
) -> Result<(), text::Error> {
    let mut wanted: BTreeMap<(TableId, Key), Vec<Wanted>> = BTreeMap::new();
    let mut bag: BTreeMap<(TableId, u64), (i64, i64, Image)> = BTreeMap::new();
    for unit in units {
        commit(subtask, *unit, &mut wanted, &mut bag, ground)?;
    }
    let mut found: BTreeMap<(TableId, Key), Net> = BTreeMap::new();
    ground.verdict.n_target_changes += changes.len() as u64;
    for step in changes {
        match step.key {
            None => {
                count(&mut bag, step.table, step.before, |(_, target, _)| *target -= 1);
                count(&mut bag, step.table, step.after, |(_, target, _)| *target += 1);
            }
            Some(key) => {
                observe(&step, ground);
                let unit = ground.rows.get(step.table, key).map_or(0, |entry| entry.unit);
                ground.rows.follow(&step, unit);
                match found.entry((step.table, key)) {
                    std::collections::btree_map::Entry::Vacant(slot) => {
                        slot.insert(Net { before: step.before, after: step.after });
                    }
                    std::collections::btree_map::Entry::Occupied(mut slot) => slot.get_mut().after = step.after,
                }
            }
        }
    }
    for (key, wanted) in &wanted {
        compare(subtask, *key, wanted, found.remove(key).as_ref(), ground);
    }
    for ((table, _), net) in found.iter().filter(|(_, net)| net.before != net.after) {
        let image = net.after.as_ref().or(net.before.as_ref()).map(Vec::as_slice).unwrap_or_default();
        let (what, at) = (ground.tables.describe(*table, image), ground.at);
        ground.verdict.violation(|| {
            format!("{at}: {}: {what} changes under units {} that do not change it", subtask.name, list(units))
        });
    }
    for ((table, _), (source, target, image)) in bag.iter().filter(|(_, (source, target, _))| source != target) {
        let (what, at) = (ground.tables.describe(*table, image), ground.at);
        ground.verdict.violation(|| {
            format!(
                "{at}: {}: {what} comes {source:+} times by units {} and {target:+} times in the target",
                subtask.name,
                list(units)
            )
        });
    }
    Ok(())
}

/// Hands out what a unit wants to be done.
fn commit(
    subtask: &mut Subtask,
    number: u64,
    wanted: &mut BTreeMap<(TableId, Key), Vec<Wanted>>,
    bag: &mut BTreeMap<(TableId, u64), (i64, i64, Image)>,
    ground: &mut Ground<'_>,
) -> Result<(), text::Error> {
    let at = ground.at;
    ground.verdict.n_units += 1;
    subtask.n_units += 1;
    if number <= subtask.low {
        ground.verdict.violation(|| {
            format!("{at}: {}: unit {number} is committed again, low was {} already", subtask.name, subtask.low)
        });
        return Ok(());
    }
    if !subtask.source.reach(number, ground.tables)? {
        ground.verdict.violation(|| format!("{at}: {}: unit {number} is not in the source's log", subtask.name));
        return Ok(());
    }
    let Some(unit) = subtask.source.pending.get_mut(&number) else { return Ok(()) };
    if unit.is_committed || subtask.earlier.contains(&number) {
        ground.verdict.violation(|| format!("{at}: {}: unit {number} is committed twice", subtask.name));
        return Ok(());
    }
    unit.is_committed = true;
    let end = unit.end.clone();
    let steps = std::mem::take(&mut unit.steps);
    subtask.n_changes += steps.len() as u64;
    ground.verdict.n_changes += steps.len() as u64;
    for (source_table, step) in steps {
        match step.key {
            Some(key) => wanted.entry((step.table, key)).or_default().push(Wanted {
                unit: number,
                end: end.clone(),
                source_table,
                step,
            }),
            None => {
                // A keyless table is copied at one place, whole.
                let copied = subtask.copied.get(subtask.source.table(source_table));
                if copied.is_some_and(|(_, newest)| end <= *newest) {
                    ground.verdict.n_skipped_changes += 1;
                    continue;
                }
                count(bag, step.table, step.before, |(source, _, _)| *source -= 1);
                count(bag, step.table, step.after, |(source, _, _)| *source += 1);
            }
        }
    }
    Ok(())
}

fn count(
    bag: &mut BTreeMap<(TableId, u64), (i64, i64, Image)>,
    table: TableId,
    image: Option<Image>,
    by: impl FnOnce(&mut (i64, i64, Image)),
) {
    if let Some(image) = image {
        by(bag.entry((table, hash(&image))).or_insert((0, 0, image)));
    }
}

/// The row before must be what the target's log left there: else someone wrote past the log.
pub(crate) fn observe(step: &Step, ground: &mut Ground<'_>) {
    let Some(entry) = step.key.and_then(|key| ground.rows.get(step.table, key)) else { return };
    let is_so = match (entry.row, &step.before) {
        (Known::Is(known), Some(image)) => known == hash(image),
        (Known::Absent, None) | (Known::Present, Some(_)) => true,
        (Known::Is(_) | Known::Present, None) | (Known::Absent, Some(_)) => false,
    };
    if !is_so {
        let image = step.before.as_ref().or(step.after.as_ref()).map(Vec::as_slice).unwrap_or_default();
        let (what, at) = (ground.tables.describe(step.table, image), ground.at);
        ground.verdict.violation(|| format!("{at}: {what} was changed by nothing that is in the target's log"));
    }
}

/// One key of one transaction.
fn compare(subtask: &Subtask, key: (TableId, Key), wanted: &[Wanted], net: Option<&Net>, ground: &mut Ground<'_>) {
    let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return };
    let entry = ground.rows.get(key.0, key.1);
    let at = ground.at;
    if let Some(entry) = entry
        && entry.unit >> 48 == subtask.index
        && entry.unit > mark(subtask, first.unit)
    {
        let image = image_of(&first.step);
        let what = ground.tables.describe(key.0, image);
        let before = entry.unit & ((1 << 48) - 1);
        ground.verdict.violation(|| {
            format!("{at}: {}: unit {} changes {what} after the later unit {before} did", subtask.name, first.unit)
        });
    }
    let n_required = wanted.iter().take_while(|wanted| is_older_than_every_copy(subtask, wanted)).count();
    let n_allowed =
        wanted.iter().take_while(|wanted| may_be_in_copy(subtask, wanted, entry, ground)).count().max(n_required);
    let is_coupled = ground.tables.facts(key.0).is_coupled;
    let is_lenient = ground.is_safe || (is_coupled && n_allowed > 0);
    let fits = |n_skipped: usize| {
        let Some(begin) = wanted.get(n_skipped) else { return net.is_none_or(|net| net.before == net.after) };
        match net {
            Some(net) => net.after == last.step.after && (is_lenient || net.before == begin.step.before),
            None => {
                let is_already = || match (entry.map(|entry| entry.row), &last.step.after) {
                    (Some(Known::Is(known)), Some(image)) => known == hash(image),
                    (Some(Known::Absent) | None, None) => true,
                    (_, _) => false,
                };
                begin.step.before == last.step.after || (is_lenient && is_already())
            }
        }
    };
    // As many as may be first: of equal rows the later place says more.
    let known_copy = entry.is_some_and(|entry| entry.copied > 0) && !is_coupled;
    let n_skipped = if known_copy {
        Some(n_allowed).filter(|n| fits(*n))
    } else {
        (n_required..=n_allowed).rev().find(|n| fits(*n))
    };
    match n_skipped {
        Some(n_skipped) => ground.verdict.n_skipped_changes += n_skipped as u64,
        None => {
            let (before, after) = (net.and_then(|net| net.before.as_ref()), net.and_then(|net| net.after.as_ref()));
            let what = ground.tables.describe(key.0, image_of(&last.step));
            let why = match net {
                None => "the target does not change it".to_owned(),
                Some(_) if after != last.step.after.as_ref() => {
                    format!("afterwards {}", difference(last.step.after.as_ref(), after))
                }
                Some(_) => format!("before {}", difference(first.step.before.as_ref(), before)),
            };
            let units: Vec<u64> =
                wanted.iter().map(|wanted| wanted.unit).collect::<BTreeSet<u64>>().into_iter().collect();
            let (name, end) = (&subtask.name, &last.end);
            ground
                .verdict
                .violation(|| format!("{at}: {name}: units {} (source {end}) change {what}: {why}", list(&units)));
        }
    }
    let unit = mark(subtask, last.unit);
    let entry = ground.rows.get(key.0, key.1).unwrap_or(Entry { row: Known::Absent, unit, copied: 0 });
    ground.rows.put(key.0, key.1, Entry { unit, ..entry });
}

fn image_of(step: &Step) -> &[u8] {
    step.after.as_ref().or(step.before.as_ref()).map(Vec::as_slice).unwrap_or_default()
}

fn is_older_than_every_copy(subtask: &Subtask, wanted: &Wanted) -> bool {
    subtask.copied.get(subtask.source.table(wanted.source_table)).is_some_and(|(oldest, _)| wanted.end <= *oldest)
}

/// The change is not later than the copy of its key, as far as that is known.
fn may_be_in_copy(subtask: &Subtask, wanted: &Wanted, entry: Option<Entry>, ground: &Ground<'_>) -> bool {
    let copied = entry.and_then(|entry| ground.copy_places.get((entry.copied as usize).checked_sub(1)?));
    let newest = subtask.copied.get(subtask.source.table(wanted.source_table)).map(|(_, newest)| newest);
    newest.is_some_and(|newest| wanted.end <= *newest) && copied.is_none_or(|copied| wanted.end <= *copied)
}

/// Everything up to `low` is claimed to be in the target: what is not committed must be without effect or in the copy.
pub(crate) fn cover(subtask: &mut Subtask, low: u64, ground: &mut Ground<'_>) -> Result<(), text::Error> {
    if low <= subtask.low {
        return Ok(());
    }
    let at = ground.at;
    if !subtask.source.reach(low, ground.tables)? {
        ground.verdict.violation(|| format!("{at}: {}: low is {low}, the source's log ends before", subtask.name));
    }
    let above = subtask.source.pending.split_off(&(low + 1));
    let covered = std::mem::replace(&mut subtask.source.pending, above);
    missing(subtask, covered.into_iter(), "low covers it", ground);
    subtask.low = low;
    Ok(())
}

/// Units that are to be in the target though no transaction committed them.
pub(crate) fn missing(
    subtask: &Subtask,
    units: impl Iterator<Item = (u64, crate::source::Unit)>,
    why: &str,
    ground: &mut Ground<'_>,
) {
    for (number, unit) in units.filter(|(number, unit)| !unit.is_committed && !subtask.earlier.contains(number)) {
        let mut lost = None;
        for (source_table, step) in unit.steps {
            let entry = step.key.and_then(|key| ground.rows.get(step.table, key));
            let wanted = Wanted { unit: number, end: unit.end.clone(), source_table, step };
            let is_coupled = ground.tables.facts(wanted.step.table).is_coupled;
            let is_held = is_older_than_every_copy(subtask, &wanted)
                || may_be_in_copy(subtask, &wanted, entry.filter(|_| !is_coupled), ground);
            if is_held {
                ground.verdict.n_skipped_changes += 1;
            } else {
                lost = Some(wanted);
            }
        }
        if let Some(lost) = lost {
            let what = ground.tables.describe(lost.step.table, image_of(&lost.step));
            let at = ground.at;
            ground.verdict.violation(|| {
                format!(
                    "{at}: {}: unit {number} (source {}) with a change of {what} was never committed, but {why}",
                    subtask.name, unit.end
                )
            });
        }
    }
}

/// Numbers for people: at most eight.
pub(crate) fn list(units: &[u64]) -> String {
    let shown: Vec<String> = units.iter().take(8).map(u64::to_string).collect();
    let more = units.len().saturating_sub(8);
    if more > 0 { format!("{} and {more} more", shown.join(",")) } else { shown.join(",") }
}
