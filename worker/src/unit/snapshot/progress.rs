//! What users see of a running copy. Pure: fed with counts and times.

use std::collections::VecDeque;

use dm_model::Location;

use super::ledger::Counts;
use crate::status::LoadView;

/// Rates are taken over so many milliseconds.
const WINDOW_MS: u64 = 10_000;

#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Times and bytes, oldest first.
    seen: VecDeque<(u64, u64)>,
}

impl Meter {
    /// The view at `now_ms` of any clock that does not go back. `estimated`: rows and bytes the server believes there are.
    pub(super) fn view(&mut self, now_ms: u64, counts: Counts, estimated: (u64, u64), location: Location) -> LoadView {
        self.seen.push_back((now_ms, counts.n_bytes));
        while self.seen.len() > 2 && self.seen.front().is_some_and(|(at, _)| at + WINDOW_MS < now_ms) {
            self.seen.pop_front();
        }
        let is_done = counts.n_chunks == counts.n_chunks_done;
        // Estimates may be too low; what is done is known.
        let total = |estimate: u64, done: u64| if is_done { done } else { estimate.max(done) };
        let (total_rows, total_bytes) = (total(estimated.0, counts.n_rows), total(estimated.1, counts.n_bytes));
        let bps = match self.seen.front() {
            Some((at, bytes)) if *at < now_ms => counts.n_bytes.saturating_sub(*bytes) * 1000 / (now_ms - at),
            Some(_) | None => 0,
        };
        LoadView {
            finished_bytes: counts.n_bytes,
            total_bytes,
            finished_rows: counts.n_rows,
            total_rows,
            finished_tables: counts.n_tables_done,
            total_tables: counts.n_tables,
            chunks_done: counts.n_chunks_done,
            chunks_total: counts.n_chunks,
            bps,
            eta_seconds: (bps > 0).then(|| (total_bytes - counts.n_bytes) / bps),
            location,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(n_bytes: u64, n_chunks_done: u64) -> Counts {
        Counts { n_rows: n_bytes / 10, n_bytes, n_tables: 1, n_tables_done: 0, n_chunks: 4, n_chunks_done }
    }

    #[test]
    fn the_rate_is_recent_and_tells_when_it_ends() {
        let mut meter = Meter::default();
        assert_eq!(meter.view(0, counts(0, 0), (100, 1000), Location::default()).eta_seconds, None);
        let view = meter.view(2_000, counts(200, 1), (100, 1000), Location::default());
        assert_eq!((view.bps, view.eta_seconds), (100, Some(8)));
        meter.view(11_000, counts(200, 1), (100, 1000), Location::default());
        let view = meter.view(30_000, counts(200, 1), (100, 1000), Location::default());
        assert_eq!(view.bps, 0, "nothing moved for longer than the window");
    }

    #[test]
    fn low_estimates_never_show_more_than_all() {
        let mut meter = Meter::default();
        let view = meter.view(0, counts(5000, 3), (100, 1000), Location::default());
        assert_eq!((view.total_bytes, view.total_rows), (5000, 500));
        let view = meter.view(1, counts(500, 4), (100, 1000), Location::default());
        assert_eq!(view.total_bytes, 500, "done is done");
    }
}
