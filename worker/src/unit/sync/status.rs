//! From the engine's status to what users see.

use dm_model::{Location, UnixMillis};
use dm_sync_core::engine::{Blocked, Status};

use crate::status::{ProgressView, SyncView};

/// Rates over the time since the last look.
#[derive(Debug)]
pub(super) struct Rates {
    started_ms: u64,
    last_ms: u64,
    last_rows: u64,
    recent_rps: u64,
}

/// Rates are worked out over at least this long, so that they do not jump.
const WINDOW_MS: u64 = 1_000;

impl Rates {
    pub(super) fn new(now_ms: u64) -> Self {
        Self { started_ms: now_ms, last_ms: now_ms, last_rows: 0, recent_rps: 0 }
    }

    fn look(&mut self, now_ms: u64, n_rows: u64) -> (u64, u64) {
        let since = now_ms.saturating_sub(self.last_ms);
        if since >= WINDOW_MS {
            self.recent_rps = n_rows.saturating_sub(self.last_rows) * 1_000 / since;
            self.last_ms = now_ms;
            self.last_rows = n_rows;
        }
        let whole = now_ms.saturating_sub(self.started_ms).max(1);
        (n_rows * 1_000 / whole, self.recent_rps)
    }
}

/// The view of one moment. `source` is where the source's log ends, `clock_offset_ms` how far its clock is ahead of ours.
pub(super) fn view(
    status: &Status,
    source: &Location,
    now: UnixMillis,
    monotonic_ms: u64,
    rates: &mut Rates,
) -> SyncView {
    let rows = status.counters.n_rows_committed;
    let (total_rps, recent_rps) = rates.look(monotonic_ms, rows);
    let is_synced = is_synced(status, source);
    SyncView {
        source: source.clone(),
        // with nothing in flight all that was read is committed, also where no lane row says so yet
        synced: if is_synced { &status.read } else { &status.reached.location }.clone(),
        is_synced,
        total_rows: rows,
        recent_rps,
        total_rps,
        seconds_behind: if is_synced { 0 } else { seconds_behind(status, now) },
        blocking_ddls: match &status.blocked_on {
            Some(Blocked::Ddl(table)) => vec![format!("a statement that changes {table}")],
            Some(
                Blocked::SourceStructure(_)
                | Blocked::TargetStructure(_)
                | Blocked::Memory
                | Blocked::Window
                | Blocked::Ending,
            )
            | None => Vec::new(),
        },
        io_bytes: status.counters.n_bytes,
    }
}

/// What the leader keeps a trailing copy of: acknowledged rows only.
pub(super) fn progress(status: &Status) -> ProgressView {
    ProgressView {
        low: status.reached.low.0,
        location: status.reached.location.clone(),
        source_ts_ms: status.reached.src_ts.map_or(0, |ts| ts.0),
        ..ProgressView::default()
    }
}

/// Nothing is in flight and what was read is the end of the source's log.
fn is_synced(status: &Status, source: &Location) -> bool {
    if status.n_units_in_flight > 0 || source.is_empty() {
        return false;
    }
    match (&status.read.gtid, &source.gtid) {
        (Some(read), Some(end)) if !end.is_empty() => read.contains_set(end),
        (Some(_) | None, _) => status.read.position >= source.position,
    }
}

/// From the oldest transaction that is not committed; with none, from the newest event that was read.
fn seconds_behind(status: &Status, now: UnixMillis) -> u64 {
    let base = status.lag.oldest_uncommitted.or(status.lag.last_read).or(status.lag.last_committed);
    match base {
        Some(base) => u64::try_from((now.0 - base.0) / 1_000).unwrap_or(0),
        None => 0,
    }
}
