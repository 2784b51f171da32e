//! Ending units: numbering, skipping what is in the target already, and handing the rest to the graph.

use dm_fence::{UnitNumber, Window};
use dm_model::{BinlogPosition, Flavor, UnixMillis, gtid::Gtid};

use super::{Engine, Error, Stop};
use crate::{
    graph::Load,
    unit::{Collected, Unit},
    watermark::{Boundary, Standing},
};

impl Engine {
    /// XID, COMMIT, or the end of a statement that stands alone.
    pub(super) fn end_transaction(&mut self, src_ts: Option<UnixMillis>) -> Result<(), Stop> {
        let is_whole = self.source.intake.current() == self.source.intake.transaction_first();
        let start = self.source.stream.transaction_start().clone();
        let gtid = self.source.stream.transaction().and_then(|transaction| transaction.gtid.clone());
        if is_whole {
            self.check_order(self.source.intake.current(), gtid.as_ref())?;
        }
        self.counters.n_transactions += 1;
        self.source.partial = None;
        let boundary = self.source.stream.finish();
        let (unit, collected) = self.source.intake.end();
        self.register(unit, collected, start, Some(boundary), gtid, src_ts);
        Ok(())
    }

    /// The slice is full, or a DDL stands inside the transaction.
    pub(super) fn cut_slice(&mut self, src_ts: Option<UnixMillis>) -> Result<(), Stop> {
        if self.source.stream.transaction().is_some_and(|transaction| transaction.xa)
            && self.source.intake.has_changes()
        {
            return Err(self.error(&Error::Xa));
        }
        if self.source.intake.current().0 >= self.pipeline.watermark.low().0 + Window::SPAN {
            return Err(self.error(&Error::TooManySlices { n_units: Window::SPAN }));
        }
        let start = self.source.stream.transaction_start().clone();
        let gtid = self.source.stream.transaction().and_then(|transaction| transaction.gtid.clone());
        self.source.partial = Some(gtid.clone());
        let (unit, collected) = self.source.intake.cut();
        self.register(unit, collected, start, None, gtid, src_ts);
        Ok(())
    }

    /// Rows are counted alike on every server, the bytes of their images may not be: a transaction that is in the target in
    /// part, as slices cut by bytes on another server, cannot be told apart here.
    pub(super) fn check_cut(&self) -> Result<(), Stop> {
        let unit = self.source.intake.transaction_first();
        if self.source.intake.is_full_of_bytes() && unit <= self.source.elsewhere {
            return Err(self.error(&Error::OtherOrder { unit }));
        }
        Ok(())
    }

    /// A transaction begins. One before it that did not end had no effect; but if units were cut from it they have one,
    /// and only the same transaction may follow.
    pub(super) fn begin_transaction(&mut self, gtid: Option<&Gtid>) -> Result<(), Stop> {
        if self.source.partial.as_ref().is_some_and(|partial| partial.as_ref() != gtid)
            || (self.source.partial.is_some() && self.source.stream.is_open())
        {
            let unit = self.source.intake.current();
            return Err(self.error(&Error::OtherOrder { unit }));
        }
        self.source.intake.rewind();
        Ok(())
    }

    /// The stream went on between transactions.
    pub(super) fn pass(&mut self, position: BinlogPosition) {
        let watermark = &mut self.pipeline.watermark;
        if self.source.intake.current() == watermark.last().next() {
            watermark.pass(position);
        }
    }

    fn register(
        &mut self,
        unit: UnitNumber,
        collected: Collected,
        start: BinlogPosition,
        boundary: Option<Boundary>,
        gtid: Option<Gtid>,
        src_ts: Option<UnixMillis>,
    ) {
        if unit <= self.pipeline.watermark.last() {
            return;
        }
        if self.resume.done.contains(unit) {
            self.counters.n_units_resumed += 1;
        }
        let end = self.source.stream.event_end().clone();
        let safe = self.safe_mode.covers(unit, &end, src_ts);
        if collected.changes.is_empty() {
            self.pipeline.watermark.register(Standing::Committed, boundary, src_ts);
            return;
        }
        self.pipeline.watermark.register(Standing::Pending, boundary, src_ts);
        let keys = collected.keys();
        let Collected { changes, n_bytes, uses, safe: is_chunk_mixed } = collected;
        self.pipeline.graph.add(unit, Load::Rows { n_rows: changes.len(), n_bytes }, keys, uses);
        self.pipeline.n_bytes += n_bytes;
        self.pipeline
            .units
            .insert(unit, Unit { changes, n_bytes, safe: safe || is_chunk_mixed, start, end, gtid, src_ts });
    }

    /// Numbers are only as good as the order of the stream. Where GTIDs say which transactions the window stands for,
    /// both must agree; they do not after a change to a server with another order.
    fn check_order(&self, unit: UnitNumber, gtid: Option<&Gtid>) -> Result<(), Stop> {
        let (Some(gtid), Flavor::MySql) = (gtid, self.config.flavor) else { return Ok(()) };
        let is_past_window = self.resume.done.last().is_none_or(|last| unit > last);
        if is_past_window || self.resume.done_gtid.is_empty() || unit <= self.pipeline.watermark.last() {
            return Ok(());
        }
        let is_named = self.resume.done_gtid.iter().any(|set| set.contains(gtid));
        if is_named == self.resume.done.contains(unit) {
            return Ok(());
        }
        Err(self.error(&Error::OtherOrder { unit }))
    }
}
