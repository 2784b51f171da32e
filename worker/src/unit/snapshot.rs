//! The full copy: every table of the source as of one moment, straight into the target (data-plane.md 3).
//!
//! Reading order: [`options`] (what the task asks), [`view`] (one moment of the source), [`source`] and [`target`] (tables),
//! [`ledger`] (what is in the target), [`copy`] (rows), [`round`] (all of it, once). The plan and every step of it are in
//! `dm_snapshot_chunk`, written under the fence with the rows; a new owner goes on from there. Rules about chunks, texts
//! and skipped changes are dm-sync-core's.

mod copy;
pub mod error;
mod identity;
mod ledger;
mod options;
mod plan;
mod progress;
mod round;
mod source;
mod target;
mod view;
mod writer;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use dm_fence::{LaneRow, Progress};
use dm_model::{
    BinlogPosition, Location, Stage, TableName, UnitKind,
    error::{Report, Retry},
};
use dm_mysql::{
    Purpose,
    fence::{Lane, chunk, outcome::INCARNATION_ENDED, structure},
};
use dm_sync_core::{
    chunk::{is_coupled, skip::SkipTest},
    online_ddl::OnlineDdl,
};
use mysql_async::Conn;
use tokio::task::JoinSet;
use tracing::{info, warn};

use self::{
    copy::locked,
    error::Error,
    identity::Identity,
    ledger::Ledger,
    options::Options,
    plan::Known,
    progress::Meter,
    round::RoundEnd,
    writer::{Refusal, Writer},
};
use super::{Failure, Leave, Stop, UnitEnd, incarnation::Incarnation};
use crate::status::{LoadView, UnitView};

/// How often a view is opened anew in one run before the subtask pauses.
const MAX_ROUNDS: u32 = 8;
const PAUSE_BETWEEN_ROUNDS: Duration = Duration::from_secs(1);
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// Where sync goes on after the full copy, and which changes the copy holds already.
#[derive(Debug)]
pub struct Handover {
    /// The oldest moment at which rows were read. The lane rows carry it, too, unless they were further on already; empty only
    /// where the source has no binlog (mode `full`).
    pub location: Location,
    /// Row-skip tests by source table. Empty when replication is past the newest of them.
    pub tests: Vec<(TableName, SkipTest<BinlogPosition>)>,
    /// All lane rows as they are in the target now. The takeover's are older: the copy wrote through them.
    pub rows: Vec<LaneRow>,
}

/// Copies what is not yet in the target. When everything is, returns at once.
///
/// Drained, it ends after the transactions in flight, with `UnitEnd::Drained`; the next run goes on. Killed, it drops its
/// connections: what they had not committed is not in the target.
pub async fn run(incarnation: &Incarnation, stop: &Stop) -> Result<Handover, Leave> {
    tokio::select! {
        biased;
        () = stop.kill.cancelled() => Err(Leave::End(UnitEnd::Drained)),
        handover = Snapshot::new(incarnation, stop)?.run() => handover,
    }
}

/// A running copy.
struct Snapshot<'a> {
    incarnation: &'a Incarnation,
    stop: &'a Stop,
    options: Options,
    ledger: Arc<Mutex<Ledger>>,
    estimated: Arc<Mutex<Estimated>>,
    /// Patterns of tables that are not copied.
    online_ddl: Option<OnlineDdl>,
    /// The tables of the plan, as rows were, or will be, read by.
    known: BTreeMap<TableName, Known>,
    /// Tables that the source said had changed while they were read.
    changed: BTreeSet<TableName>,
    rows: Vec<LaneRow>,
    is_doubtful: bool,
}

/// What the server believes there is to copy, and where the view is.
#[derive(Debug, Clone, Default)]
struct Estimated {
    /// Rows and bytes.
    tables: BTreeMap<TableName, (u64, u64)>,
    location: Location,
}

impl<'a> Snapshot<'a> {
    fn new(incarnation: &'a Incarnation, stop: &'a Stop) -> Result<Self, Leave> {
        let options = Options::of(&incarnation.config)?;
        if !options.ignored.is_empty() {
            warn!(options = ?options.ignored, "extra-args that only concern files are ignored: the copy writes none");
        }
        Ok(Self {
            incarnation,
            stop,
            options,
            ledger: Arc::default(),
            estimated: Arc::default(),
            online_ddl: online_ddl(&incarnation.config)?,
            known: BTreeMap::new(),
            changed: BTreeSet::new(),
            rows: incarnation.takeover.taken.rows.clone(),
            is_doubtful: false,
        })
    }

    async fn run(mut self) -> Result<Handover, Leave> {
        self.incarnation.context.cell.announce(|view| {
            view.stage = Stage::Running;
            view.unit = Some(UnitKind::Load);
            view.unit_view = UnitView::Load(LoadView::default());
        });
        self.load_stored().await?;
        if self.is_over() {
            return self.finish().await;
        }
        let mut reporter = JoinSet::new();
        reporter.spawn(self.report());
        for n_rounds in 1.. {
            match self.round().await? {
                RoundEnd::Complete => break,
                RoundEnd::Again(error) => {
                    if n_rounds >= MAX_ROUNDS {
                        let report = match error {
                            Some(error) => Report::of(&error, Retry::Backoff),
                            None => Report::of(&Error::ListMoves, Retry::Backoff),
                        };
                        return Err(Failure::new(report).into());
                    }
                    warn!(?error, n_rounds, "going on with a new view of the source");
                    tokio::select! {
                        () = self.stop.requested() => {}
                        () = tokio::time::sleep(PAUSE_BETWEEN_ROUNDS) => {}
                    }
                }
            }
            if self.stop.is_requested() {
                return Err(Leave::End(UnitEnd::Drained));
            }
        }
        drop(reporter);
        self.finish().await
    }

    /// What an earlier owner left.
    async fn load_stored(&mut self) -> Result<(), Leave> {
        let target = &self.incarnation.target;
        let mut conn = target.connector().for_purpose(Purpose::Check).connect().await?;
        let chunks = chunk::load(&mut conn, target).await?;
        let stored = structure::load(&mut conn, target).await?;
        // A connection that does not close is the server's to end.
        let _ = conn.disconnect().await;
        *locked(&self.ledger) = Ledger::new(chunks);
        for row in stored {
            let is_planned = locked(&self.ledger).tables().any(|table| *table == row.table);
            // The oldest of each table comes first: that is the snapshot's.
            if is_planned && !row.create_sql.is_empty() && !self.known.contains_key(&row.table) {
                let structure = source::parse(&row.table, &row.create_sql)?;
                let identity = Identity::read(&row.create_sql);
                self.known.insert(row.table, Known { structure, identity });
            }
        }
        Ok(())
    }

    /// Everything is copied: the lane rows know where sync begins, or all chunks are done.
    fn is_over(&self) -> bool {
        let ledger = locked(&self.ledger);
        !self.incarnation.takeover.taken.resume.location.is_empty() || (!ledger.is_empty() && ledger.is_complete())
    }

    async fn finish(mut self) -> Result<Handover, Leave> {
        let resume = &self.incarnation.takeover.taken.resume;
        let (oldest, newest) = {
            let ledger = locked(&self.ledger);
            (ledger.oldest(), ledger.newest())
        };
        let location = oldest.unwrap_or_else(|| locked(&self.estimated).location.clone());
        let location = if location.is_empty() { resume.location.clone() } else { location };
        if self.incarnation.config.mode.has_sync() && location.is_empty() {
            return Err(Error::NoBinlog.into());
        }
        crate::fail_point::pass("handover");
        if resume.location.is_empty() && !location.is_empty() {
            let mut writer = self.writer(0)?;
            let row = writer.row();
            let progress = Progress {
                units: Vec::new(),
                low: row.low,
                low_location: location.clone(),
                done_gtid: row.done_gtid.clone(),
                source_uuid: self.incarnation.source_facts.server_uuid.clone(),
                src_ts: row.src_ts,
            };
            let advanced = writer.advance(progress).await;
            self.park(writer).await;
            advanced.map_err(Refusal::into_leave)?;
        }
        let is_passed = newest.is_some_and(|newest| resume.location.position > newest.position);
        let tests = if is_passed { Vec::new() } else { self.tests().await? };
        let view = Meter::default().view(0, &locked(&self.ledger).counts(), &BTreeMap::new(), location.clone());
        self.show(view);
        if self.is_doubtful {
            // A lane's row may be ahead of what we counted; a takeover reads it.
            let report =
                Report::new(INCARNATION_ENDED, Retry::Backoff, "the copy is complete; its lanes are read anew");
            return Err(Leave::TakeOverAgain(report));
        }
        info!(%location, n_tests = tests.len(), "full copy complete");
        Ok(Handover { location, tests, rows: self.rows })
    }

    async fn tests(&self) -> Result<Vec<(TableName, SkipTest<BinlogPosition>)>, Error> {
        let ledger = locked(&self.ledger).clone();
        let mut to = None;
        let is_checked = |name: &str| {
            let value = self.incarnation.config.target.session.get(name);
            value.is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("on"))
        };
        let mut tests = Vec::new();
        let source_id = self.incarnation.context.id.source.as_str();
        let mut shards: BTreeMap<TableName, Vec<TableName>> = BTreeMap::new();
        for table in ledger.tables() {
            let routed = self.incarnation.rules.router.route_table(table, source_id)?;
            shards.entry(routed.table).or_default().push(table.clone());
        }
        let mut apart = BTreeMap::new();
        for shards in shards.values() {
            if let Some(moments) = ledger.moments_of_shards(shards) {
                apart.extend(shards.iter().map(|table| (table, moments.clone())));
            }
        }
        for table in ledger.tables() {
            if let Some((oldest, newest)) = apart.remove(table) {
                tests.push((table.clone(), SkipTest::Safe { oldest, newest }));
                continue;
            }
            let Some(Known { structure, .. }) = self.known.get(table) else {
                return Err(Error::Corrupt { table: table.clone() });
            };
            let mut coupled = !structure.foreign_keys.is_empty() && is_checked("foreign_key_checks");
            if !coupled && ledger.is_mixed(table) {
                // Keys that only the target has count, too.
                let to = match &mut to {
                    Some(to) => to,
                    to @ None => to.insert(self.target_conn().await?),
                };
                let routed =
                    self.incarnation.rules.router.route_table(table, self.incarnation.context.id.source.as_str())?;
                let there = target::structure(to, &routed.table).await?;
                coupled = there.is_some_and(|there| is_coupled(structure, &there));
            }
            if let Some(test) = ledger.skip_test(table, structure, coupled)? {
                tests.push((table.clone(), test));
            }
        }
        if let Some(to) = to {
            // A connection that does not close is the server's to end.
            let _ = to.disconnect().await;
        }
        Ok(tests)
    }

    /// A lane that writes; [`park`](Self::park) it when it has nothing to do.
    fn writer(&self, index: usize) -> Result<Writer, Leave> {
        let Some(row) = self.rows.get(index).cloned() else {
            let report = Report::new(INCARNATION_ENDED, Retry::Backoff, "the subtask has no lane row");
            return Err(Leave::TakeOverAgain(report));
        };
        let lane = Lane::new(Arc::clone(&self.incarnation.target), row.lane, &self.incarnation.takeover);
        Ok(Writer::new(lane, row))
    }

    /// Closes a lane in order and keeps its row.
    async fn park(&mut self, writer: Writer) {
        self.is_doubtful |= writer.is_doubtful();
        let row = writer.close().await;
        if let Some(ours) = self.rows.iter_mut().find(|ours| ours.lane == row.lane) {
            *ours = row;
        }
    }

    /// A connection that looks at the target and makes its tables.
    async fn target_conn(&self) -> Result<Conn, Error> {
        Ok(self.incarnation.target.connector().for_purpose(Purpose::TargetWrite).connect().await?)
    }

    /// Shows the counts until it is dropped.
    fn report(&self) -> impl Future<Output = ()> + Send + 'static {
        let (ledger, estimated) = (Arc::clone(&self.ledger), Arc::clone(&self.estimated));
        let cell = self.incarnation.context.cell.clone();
        async move {
            let begin = Instant::now();
            let mut meter = Meter::default();
            let mut ticks = tokio::time::interval(REPORT_EVERY);
            loop {
                ticks.tick().await;
                let now_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
                let (counts, oldest) = {
                    let ledger = locked(&ledger);
                    (ledger.counts(), ledger.oldest())
                };
                let known = locked(&estimated).clone();
                let location = oldest.unwrap_or_else(|| known.location.clone());
                show(&cell, meter.view(now_ms, &counts, &known.tables, location));
            }
        }
    }

    fn show(&self, load: LoadView) {
        show(&self.incarnation.context.cell, load);
    }
}

/// The patterns were checked with the task; one that does not compile now is still an error.
fn online_ddl(config: &dm_config::SubtaskConfig) -> Result<Option<OnlineDdl>, Error> {
    let rules = &config.online_ddl;
    if !rules.enabled {
        return Ok(None);
    }
    let compiled = OnlineDdl::compile(&rules.shadow_table_rules, &rules.trash_table_rules);
    compiled.map(Some).map_err(|error| Error::Option { option: error.to_string() })
}

fn show(cell: &crate::status::Cell, load: LoadView) {
    cell.update(|view| {
        view.progress.chunks_done = load.chunks_done;
        view.progress.chunks_total = load.chunks_total;
        view.unit_view = UnitView::Load(load);
    });
}
