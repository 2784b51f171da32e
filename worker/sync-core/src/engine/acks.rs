//! What lanes answer: commits, failures, the outcome of DDL pieces.

use dm_fence::UnitNumber;
use dm_model::{Location, error::Report};

use super::{DdlOutcome, Engine, Span, Stop};
use crate::{batch::BatchId, lanes::Work};

impl Engine {
    /// A lane's transaction is committed. Unknown, late and repeated acknowledgements change nothing.
    pub(super) fn acknowledged(&mut self, lane: u16, batch: BatchId) {
        match self.lanes.work(lane).cloned() {
            Some(Work::Fold(fold)) if fold.batch == batch => {
                for unit in fold.units {
                    self.pipeline.watermark.commit(unit);
                    self.pipeline.graph.commit(unit);
                }
                self.pipeline.n_bytes = self.pipeline.n_bytes.saturating_sub(fold.n_bytes);
                self.counters.n_rows_committed += fold.n_rows as u64;
            }
            Some(Work::Idle { batch: its }) if its == batch => {}
            Some(Work::Fold(_) | Work::Idle { .. } | Work::Opening | Work::Free | Work::Ddl { .. }) | None => return,
        }
        self.counters.n_target_transactions += 1;
        self.lanes.finish(lane);
    }

    /// The lane is lost for good: the run ends at once, with the place of what it was doing.
    pub(super) fn lane_failed(&mut self, lane: u16, report: Report) -> Stop {
        match self.lanes.work(lane) {
            Some(Work::Fold(fold)) => {
                let at = |position: &dm_model::BinlogPosition| Location::new(position.clone(), None);
                Stop::of_report(report, Span { start: at(&fold.start), end: at(&fold.end) })
            }
            Some(Work::Ddl { unit, .. }) => match self.pipeline.ddls.get(unit) {
                Some(ddl) => Stop::of_ddl_report(report, ddl.span.clone(), &ddl.origin_sql),
                None => Stop::nowhere(report),
            },
            Some(Work::Opening | Work::Free | Work::Idle { .. }) | None => Stop::nowhere(report),
        }
    }

    /// One piece of a DDL is done: the next one follows on its lane, or the unit is committed. Unknown, late and
    /// repeated answers change nothing. A refused piece ends the run; the rest of what was read is committed first.
    pub(super) fn ddl_done(&mut self, unit: UnitNumber, piece: u32, outcome: DdlOutcome) -> Result<(), Stop> {
        let Some(lane) = self.lanes.lane_of_ddl(unit) else { return Ok(()) };
        if !matches!(self.lanes.work(lane), Some(Work::Ddl { piece: its, .. }) if *its == piece) {
            return Ok(());
        }
        let Some(ddl) = self.pipeline.ddls.get(&unit) else { return Ok(()) };
        match outcome {
            DdlOutcome::Refused(report) => Err(Stop::of_ddl_report(report, ddl.span.clone(), &ddl.origin_sql)),
            DdlOutcome::Committed => {
                self.counters.n_target_transactions += 1;
                match ddl.pieces.get(piece as usize) {
                    Some(done) => {
                        for table in &done.targets {
                            self.catalog.target_changed(table);
                        }
                        for schema in &done.target_schemas {
                            self.catalog.target_schema_changed(schema);
                        }
                        self.counters.n_ddls_executed += 1;
                    }
                    None => self.counters.n_ddls_skipped += 1,
                }
                self.lanes.finish(lane);
                if (piece as usize) + 1 < ddl.pieces.len() {
                    self.start_piece(lane, unit, piece + 1);
                } else {
                    self.pipeline.ddls.remove(&unit);
                    self.pipeline.watermark.commit(unit);
                    self.pipeline.graph.commit(unit);
                }
                Ok(())
            }
        }
    }
}
