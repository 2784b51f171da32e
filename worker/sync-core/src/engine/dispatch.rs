//! Handing work to lanes: folds, DDL pieces, more lanes, idle progress, reports.

use dm_fence::{UnitNumber, Window};
use dm_model::UnixMillis;

use super::{Command, Ending, Engine};
use crate::{
    batch::{Batch, DdlCommand, Run, SkipDdl},
    fold::Limit,
    lanes::{Fold, Work},
    sqlgen::Mode,
    unit::Unit,
};

impl Engine {
    /// How long ready rows wait for a busy lane before they get one of their own.
    const PATIENCE_MS: i64 = 50;

    pub(super) fn dispatch(&mut self, now: UnixMillis) {
        if self.lanes.n_open() == 0 && !self.lanes.is_opening() {
            self.open_lane();
        }
        while self.start_ddl(now) || self.start_fold(now) {}
        self.open_lane_if_it_pays(now);
        self.keep_rows_up_to_date(now);
        self.report(now);
    }

    /// Units further up than this do not fit into a lane's window yet.
    fn up_to(&self) -> UnitNumber {
        UnitNumber(self.pipeline.watermark.low().0 + Window::SPAN)
    }

    fn start_ddl(&mut self, now: UnixMillis) -> bool {
        let Some(lane) = self.lanes.free() else { return false };
        let Some(unit) = self.pipeline.graph.take_solo(self.up_to()) else { return false };
        self.clock.progress_at = Some(now);
        self.start_piece(lane, unit, 0);
        true
    }

    /// Sends a piece of a DDL to its lane. The last piece carries the unit's number and the structures.
    pub(super) fn start_piece(&mut self, lane: u16, unit: UnitNumber, piece: u32) {
        let Some(ddl) = self.pipeline.ddls.get(&unit) else { return };
        let n_pieces = ddl.pieces.len() as u32;
        let is_last = piece + 1 >= n_pieces;
        let units = if is_last { vec![(unit, ddl.gtid.clone())] } else { Vec::new() };
        let work = Work::Ddl { unit, piece };
        let done = self.lanes.start(lane, work, units, ddl.src_ts, &self.pipeline.watermark);
        let mut structures = self.structures.take_unsaved();
        if is_last {
            structures.extend(ddl.structures.iter().cloned());
        }
        let command = match ddl.pieces.get(piece as usize) {
            Some(part) => Command::Ddl(Box::new(DdlCommand {
                lane,
                unit,
                piece,
                n_pieces,
                sql: part.sql.clone(),
                origin_sql: ddl.origin_sql.clone(),
                session: ddl.session.clone(),
                targets: part.targets.clone(),
                target_schemas: part.target_schemas.clone(),
                effect: part.effect,
                ignorable: part.ignorable,
                done,
                structures,
                start: ddl.span.start.position.clone(),
                end: ddl.span.end.position.clone(),
                src_ts: ddl.src_ts,
            })),
            None => Command::SkipDdl(Box::new(SkipDdl {
                lane,
                unit,
                piece,
                origin_sql: ddl.origin_sql.clone(),
                done,
                structures,
            })),
        };
        self.commands.push_back(command);
    }

    /// The first lane takes whatever is ready; a further one what is worth a commit of its own, or has waited.
    fn start_fold(&mut self, now: UnixMillis) -> bool {
        let Some(lane) = self.lanes.free() else { return false };
        let limits = &self.config.limits;
        let worth =
            if self.lanes.n_folding() == 0 || self.has_waited(now) { 1 } else { (limits.batch_rows / 4).max(1) };
        if self.pipeline.graph.n_ready_rows() < worth {
            return false;
        }
        let limit = Limit { n_rows: limits.batch_rows.max(1), n_bytes: limits.batch_bytes, up_to: self.up_to() };
        let numbers = self.pipeline.graph.fold(limit);
        if numbers.is_empty() {
            return false;
        }
        self.clock.progress_at = Some(now);
        self.send_fold(lane, numbers);
        true
    }

    fn send_fold(&mut self, lane: u16, numbers: Vec<UnitNumber>) {
        let mut units: Vec<(UnitNumber, Unit)> = Vec::with_capacity(numbers.len());
        for number in numbers {
            units.extend(self.pipeline.units.remove(&number).map(|unit| (number, unit)));
        }
        let (Some((_, first)), Some((_, last))) = (units.first(), units.last()) else { return };
        let (start, end, src_ts) = (first.start.clone(), last.end.clone(), last.src_ts);
        let marks = units.iter().map(|(number, unit)| (*number, unit.gtid.clone())).collect();
        let id = self.lanes.batch();
        let fold = Fold {
            batch: id,
            units: units.iter().map(|(number, _)| *number).collect(),
            n_rows: units.iter().map(|(_, unit)| unit.changes.len()).sum(),
            n_bytes: units.iter().map(|(_, unit)| unit.n_bytes).sum(),
            start: start.clone(),
            end: end.clone(),
        };
        let (n_rows, n_bytes) = (fold.n_rows, fold.n_bytes);
        let progress = self.lanes.start(lane, Work::Fold(fold), marks, src_ts, &self.pipeline.watermark);
        let mut runs: Vec<Run> = Vec::new();
        for (_, unit) in units {
            let mode = if unit.safe { Mode::SAFE } else { self.config.mode };
            match runs.last_mut() {
                Some(run) if run.mode == mode => run.changes.extend(unit.changes),
                Some(_) | None => runs.push(Run { mode, changes: unit.changes }),
            }
        }
        let structures = self.structures.take_unsaved();
        let batch = Batch { id, progress, structures, runs, n_rows, n_bytes, start, end };
        self.commands.push_back(Command::Run { lane, batch });
    }

    /// Nothing was handed to any lane for a while: the lanes are busy with something long.
    fn has_waited(&self, now: UnixMillis) -> bool {
        self.clock.progress_at.is_some_and(|last| now.0 - last.0 >= Self::PATIENCE_MS)
    }

    /// One more lane, when a full fold waits that no open lane can take, or when the open ones are busy for long.
    fn open_lane_if_it_pays(&mut self, now: UnixMillis) {
        if self.lanes.free().is_some() || self.lanes.is_opening() {
            return;
        }
        let n_waiting = self.pipeline.graph.n_ready_rows();
        let is_kept_waiting = n_waiting > 0 && (self.lanes.n_folding() == 0 || self.has_waited(now));
        if is_kept_waiting || n_waiting >= self.config.limits.batch_rows.max(1) {
            self.open_lane();
        }
    }

    fn open_lane(&mut self) {
        if let Some(lane) = self.lanes.open() {
            self.commands.push_back(Command::OpenLane { lane });
        }
    }

    /// Idle progress: no lane row says how far we are, and nothing is on its way that will. At once when the run ends,
    /// and when no row has a location at all.
    fn keep_rows_up_to_date(&mut self, now: UnixMillis) {
        let last = *self.clock.progress_at.get_or_insert(now);
        let is_ending = match self.ending {
            Ending::Running => self.source.is_settling,
            Ending::Draining | Ending::Stopping(_) => true,
            Ending::Ended => return,
        };
        let is_ending = is_ending && self.pipeline.graph.is_empty() && self.lanes.is_idle();
        let is_due = now.0 - last.0 >= self.config.limits.idle_progress_ms;
        if !is_ending && !is_due && self.lanes.has_row() {
            return;
        }
        if !self.lanes.is_behind(&self.pipeline.watermark) && !self.structures.has_unsaved() {
            return;
        }
        let Some(lane) = self.lanes.free() else { return };
        let batch = self.lanes.batch();
        let progress = self.lanes.start(lane, Work::Idle { batch }, Vec::new(), None, &self.pipeline.watermark);
        let structures = self.structures.take_unsaved();
        self.clock.progress_at = Some(now);
        self.commands.push_back(Command::IdleProgress { lane, batch, progress, structures });
    }

    fn report(&mut self, now: UnixMillis) {
        let is_due = self.clock.report_at.is_none_or(|last| now.0 - last.0 >= self.config.limits.report_ms);
        if is_due && self.clock.reported.as_ref() != Some(self.lanes.reached()) {
            let reached = self.lanes.reached().clone();
            self.clock.report_at = Some(now);
            self.clock.reported = Some(reached.clone());
            self.commands.push_back(Command::Report(reached));
        }
    }
}
