//! From the engine's status to what users see, and what is counted on the way.
//!
//! Pure but for the counters it feeds: times come in as arguments.

use std::collections::VecDeque;

use dm_model::{BinlogPosition, Location, UnixMillis};
use dm_mysql::schema::BinlogFile;
use dm_sync_core::engine::{Blocked, Counters, Status};

use super::watch::SourceEnd;
use crate::{
    metrics::subtask::SubtaskMetrics,
    status::{ProgressView, SyncView, UnitView, View},
};

/// Rates are taken over so long: short enough to follow, long enough not to jump.
const WINDOW_MS: u64 = 5_000;

/// Rates and totals of one subtask's replication. Totals go on over pauses: they are the counters' of the subtask.
#[derive(Debug)]
pub(super) struct Totals {
    started_ms: u64,
    /// Milliseconds, rows, bytes of binlog that are applied; oldest first.
    seen: VecDeque<(u64, u64, u64)>,
    last: Counters,
    /// Where we were when nothing was left, last; empty before.
    caught_up: Location,
}

impl Totals {
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            started_ms: now_ms,
            seen: VecDeque::from([(now_ms, 0, 0)]),
            last: Counters::default(),
            caught_up: Location::default(),
        }
    }

    fn look(&mut self, now_ms: u64, n_rows: u64, n_bytes: u64) {
        self.seen.push_back((now_ms, n_rows, n_bytes));
        while self.seen.len() > 2 && self.seen.get(1).is_some_and(|(at, ..)| at + WINDOW_MS <= now_ms) {
            self.seen.pop_front();
        }
    }

    /// Rows and bytes per second, recently.
    fn recent(&self) -> (u64, u64) {
        match (self.seen.front(), self.seen.back()) {
            (Some(first), Some(last)) if last.0 > first.0 => {
                let rate = |a: u64, b: u64| b.saturating_sub(a).saturating_mul(1_000) / (last.0 - first.0);
                (rate(first.1, last.1), rate(first.2, last.2))
            }
            _ => (0, 0),
        }
    }
}

/// Shows one moment: `now` by our wall clock, `monotonic_ms` by one that does not jump.
pub(super) fn show(
    cell: &mut View,
    status: &Status,
    source: &SourceEnd,
    now: UnixMillis,
    monotonic_ms: u64,
    totals: &mut Totals,
    metrics: &SubtaskMetrics,
) {
    let counters = status.counters;
    let (last, n_rows_before, n_bytes_before) = (totals.last, cell.n_rows_synced, cell.n_bytes_read);
    cell.n_rows_synced += counters.n_rows_committed.saturating_sub(last.n_rows_committed);
    cell.n_bytes_read += counters.n_bytes.saturating_sub(last.n_bytes);
    metrics.add("syncer_read_bytes_total", &[], cell.n_bytes_read - n_bytes_before);
    metrics.add("syncer_finished_rows_total", &[], cell.n_rows_synced - n_rows_before);
    totals.last = counters;
    if is_caught_up(status, source) {
        totals.caught_up = furthest(&status.read, &source.location).clone();
    }
    totals.look(monotonic_ms, counters.n_rows_committed, counters.n_bytes);
    let (recent_rps, recent_bps) = totals.recent();
    let applied = furthest(&status.reached.location, &totals.caught_up);
    let elapsed_ms = monotonic_ms.saturating_sub(totals.started_ms).max(1);
    let is_synced = source.error.is_none() && is_caught_up(status, source);
    let remaining_bytes = if is_synced { Some(0) } else { remaining_bytes(&applied.position, source) };
    let view = SyncView {
        source: source.location.clone(),
        synced: applied.clone(),
        is_synced,
        total_rows: cell.n_rows_synced,
        recent_rps,
        total_rps: counters.n_rows_committed.saturating_mul(1_000) / elapsed_ms,
        io_bytes: cell.n_bytes_read,
        blocked_on: status.blocked_on.as_ref().map(blocked_text),
        n_units_in_flight: status.n_units_in_flight as u64,
        n_bytes_in_flight: status.n_bytes_in_flight as u64,
        n_lanes_open: status.n_lanes_open as u64,
        n_lanes_busy: status.n_lanes_busy as u64,
        n_rows_filtered: counters.n_rows_filtered,
        window_used: status.read_unit.0.saturating_sub(status.reached.low.0),
        remaining_bytes,
        remaining_seconds: match remaining_bytes {
            Some(0) => Some(0),
            Some(bytes) if recent_bps > 0 => Some(bytes / recent_bps),
            Some(_) | None => None,
        },
        safe_mode: status.safe_mode,
    };
    let applied_until = applied_until(status, source, now).or(cell.progress.applied_until);
    if let Some(until) = applied_until {
        let lag_ms = u64::try_from(now.0 - until.0).unwrap_or(0);
        metrics.observe("syncer_replication_lag", &[], lag_ms as f64 / 1_000.0);
    }
    cell.unit_view = UnitView::Sync(view);
    cell.progress = ProgressView { applied_until, ..progress(status) };
    cell.source_error = source.error.clone();
}

/// What the leader keeps a trailing copy of: acknowledged rows only.
fn progress(status: &Status) -> ProgressView {
    ProgressView {
        low: status.reached.low.0,
        location: status.reached.location.clone(),
        source_ts_ms: status.reached.src_ts.map_or(0, |ts| ts.0),
        ..ProgressView::default()
    }
}

/// Of two places up to which everything is committed the one that says more. A stream that is opened by GTID begins with the
/// positions of its file's head, so of equal sets the later position is the true one.
fn furthest<'a>(ours: &'a Location, known: &'a Location) -> &'a Location {
    match (&ours.gtid, &known.gtid) {
        (Some(set), Some(known_set)) if known_set.contains_set(set) => {
            if set.contains_set(known_set) && ours.position >= known.position { ours } else { known }
        }
        (Some(_), _) => ours,
        (None, _) if known.position > ours.position => known,
        (None, _) => ours,
    }
}

/// Nothing is in flight and what was read is the end of the source's log, as last known.
fn is_caught_up(status: &Status, source: &SourceEnd) -> bool {
    let end = &source.location;
    if status.n_units_in_flight > 0 || end.is_empty() {
        return false;
    }
    match (&status.read.gtid, &end.gtid) {
        (Some(read), Some(end)) if !end.is_empty() => read.contains_set(end),
        (Some(_) | None, _) => status.read.position >= end.position,
    }
}

/// The newest moment, by our clock, of which we know that what the source had committed by then is in the target.
///
/// Caught up: now, or, while the source does not answer, its last answer. Behind: the commit time of the oldest
/// transaction that is not in the target, else of the newest that was read.
fn applied_until(status: &Status, source: &SourceEnd, now: UnixMillis) -> Option<UnixMillis> {
    if is_caught_up(status, source) {
        return if source.error.is_none() { Some(now) } else { source.answered_at };
    }
    let of_source = status.lag.oldest_uncommitted.or(status.lag.last_read).or(status.lag.last_committed)?;
    Some(UnixMillis(of_source.0.saturating_sub(source.clock_ahead_ms)))
}

/// From a position to the source's end, by the sizes of the files in between.
fn remaining_bytes(from: &BinlogPosition, source: &SourceEnd) -> Option<u64> {
    let end = &source.location.position;
    if end.is_empty() || from.is_empty() {
        return None;
    }
    if from.file == end.file {
        return Some(end.offset.saturating_sub(from.offset));
    }
    let between = |file: &&BinlogFile| file.name >= from.file && file.name < end.file;
    let first = source.files.iter().find(|file| file.name == from.file)?;
    let n_bytes: u64 = source.files.iter().filter(between).map(|file| file.n_bytes).sum();
    Some((n_bytes + end.offset).saturating_sub(from.offset.min(first.n_bytes)))
}

fn blocked_text(blocked: &Blocked) -> String {
    match blocked {
        Blocked::SourceStructure(table) => format!("the source's answer about the structure of {table}"),
        Blocked::TargetStructure(table) => format!("the target's answer about the structure of {table}"),
        Blocked::Ddl(table) => format!("a statement in flight that changes {table}"),
        Blocked::Memory => "the target: as much as memory may hold is on its way".to_owned(),
        Blocked::Window => "the target: as many transactions as a window may hold are on their way".to_owned(),
        Blocked::Ending => "the end of what was read, to stop there".to_owned(),
    }
}

#[cfg(test)]
mod tests;
