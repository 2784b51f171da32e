//! Where replication begins, in this order: a one-shot `--start-time`, the lane rows, the snapshot's position, the task's
//! `meta`, the source's current end. A first location is written to the lane rows before anything is read, so that a successor
//! begins at the same place.

use std::collections::BTreeMap;

use dm_fence::{LaneRow, Progress, Resume, UnitNumber, resume};
use dm_model::{
    BinlogPosition, GtidSet, Location, TableName,
    error::{Class, Code, Coded, Level, Report, Retry, Scope},
};
use dm_mysql::{
    Purpose,
    fence::{FenceTarget, Lane, LaneOutcome, Statement, structure},
    schema,
};
use dm_sync_core::{batch::StoredStructure, chunk::skip::SkipTest, engine::Merges};
use mysql_async::{Conn, prelude::Queryable};
use tracing::{info, warn};

use super::{birth, config, history, start_time, structures};
use crate::unit::{Failure, Leave, UnitEnd, incarnation::Incarnation, snapshot::Handover};

/// The pseudo table (with an empty schema) in `dm_table_structure` that remembers which `--start-time` was used: a crash
/// between using and forgetting it must not use it twice.
pub(super) const START_TIME_MARKER: &str = "start-time";

const NO_BINLOG: Code = Code::new(
    11125,
    Class::Functional,
    Scope::Upstream,
    Level::High,
    "Please check that the binlog is enabled on the source and that the user may read its status.",
);
const BAD_META: Code = Code::new(
    20011,
    Class::Config,
    Scope::Internal,
    Level::High,
    "Please check `meta` of the source in the task configuration file.",
);

/// Everything an engine starts from.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) resume: Resume,
    pub(super) rows: Vec<LaneRow>,
    pub(super) structures: Vec<StoredStructure>,
    pub(super) handover: Vec<(TableName, SkipTest<BinlogPosition>)>,
    pub(super) merges: Merges,
}

/// What the lane rows shall say before anything is read.
enum First {
    /// They say it already.
    AsStored,
    /// A subtask's very first location.
    Fresh(Location),
    /// Begin anew at another place: what the windows hold belongs to the old one.
    Reset(Location),
}

/// Finds the beginning and makes it durable.
pub(super) async fn find(incarnation: &Incarnation, handover: Option<Handover>) -> Result<Begin, Leave> {
    let target = &incarnation.target;
    let mut conn = target.connector().for_purpose(Purpose::Check).connect().await?;
    let structures = structures::load(&mut conn, target).await?;
    let markers = markers(&mut conn, target).await?;
    let _ = conn.disconnect().await;
    if incarnation.takeover.taken.resume.location.is_empty() && !structures.is_empty() {
        return Err(Failure::new(history::no_lanes()).into());
    }
    let used_start_time = markers.get(START_TIME_MARKER).cloned();

    let first = choose(incarnation, handover.as_ref(), used_start_time.as_deref()).await?;
    let mut rows = incarnation.takeover.taken.rows.clone();
    persist(incarnation, &mut rows, first, used_start_time.is_some()).await?;
    let mut resume = resume(&rows).unwrap_or_else(|| incarnation.takeover.taken.resume.clone());
    if !incarnation.config.enable_gtid {
        resume.location.gtid = None;
    }
    let is_as_stored = rows.iter().zip(&incarnation.takeover.taken.rows).all(|(now, then)| now.seq == then.seq);
    let stored = markers.get(birth::MARKER).filter(|_| is_as_stored);
    if let Some(text) = birth::check(incarnation, &resume, stored.map(String::as_str)).await?
        && let Some(row) = rows.first_mut()
    {
        let progress = unchanged(row);
        write(incarnation, row, progress, &[marker(target, birth::MARKER, &text)]).await?;
    }
    if crate::fail_point::is_mutant(crate::fail_point::Mutant::ResumeWithoutWindows) {
        forget_windows(&mut rows, &mut resume);
    }
    crate::fail_point::pass("begin");
    let merges = merges(incarnation).await?;
    let handover = handover.map(|handover| handover.tests).unwrap_or_default();
    Ok(Begin { resume, rows, structures, handover, merges })
}

async fn choose(
    incarnation: &Incarnation,
    handover: Option<&Handover>,
    used_start_time: Option<&str>,
) -> Result<First, Leave> {
    let context = &incarnation.context;
    if let Some(text) = &context.assignment.start_time {
        context.cell.update(|view| view.start_time_consumed = used_start_time == Some(text));
        if used_start_time != Some(text) {
            let location = start_time::find(incarnation, text).await?;
            info!(%location, start_time = %text, "beginning at the start time");
            return Ok(First::Reset(location));
        }
    }
    if !incarnation.takeover.taken.resume.location.is_empty() {
        return Ok(First::AsStored);
    }
    if let Some(handover) = handover {
        return Ok(First::Fresh(handover.location.clone()));
    }
    let location = match &incarnation.config.meta {
        Some(meta) => of_meta(incarnation, meta).await?,
        None => current(incarnation).await?,
    };
    Ok(First::Fresh(location))
}

/// The source's end of log, now.
pub(super) async fn current(incarnation: &Incarnation) -> Result<Location, Leave> {
    let mut conn = incarnation.source.for_purpose(Purpose::Check).connect().await?;
    let status = schema::binlog_status(&mut conn, &incarnation.source_facts).await;
    let _ = conn.disconnect().await;
    status?
        .ok_or_else(|| Failure::new(Report::new(NO_BINLOG, Retry::Never, "the source has no binlog position")).into())
}

async fn of_meta(incarnation: &Incarnation, meta: &dm_config::task::Meta) -> Result<Location, Leave> {
    let position =
        BinlogPosition::new(meta.binlog_name.clone(), u64::from(meta.binlog_pos).max(BinlogPosition::FIRST_OFFSET));
    let gtid = match Some(meta.binlog_gtid.as_str()).filter(|text| !text.trim().is_empty()) {
        Some(text) => Some(GtidSet::parse(incarnation.flavor, text).map_err(|error| {
            Failure::new(Report::new(BAD_META, Retry::Never, "binlog-gtid is not valid").with_cause(error.to_string()))
        })?),
        None if incarnation.config.enable_gtid => gtid_at(incarnation, &position).await?,
        None => None,
    };
    Ok(Location::new(position, gtid))
}

/// The GTID set at a position; only MariaDB can be asked. Without an answer the stream goes on by position.
async fn gtid_at(incarnation: &Incarnation, position: &BinlogPosition) -> Result<Option<GtidSet>, Leave> {
    if incarnation.flavor != dm_model::Flavor::MariaDb {
        warn!(%position, "`meta` has no binlog-gtid: replication goes on by position");
        return Ok(None);
    }
    let mut conn = incarnation.source.for_purpose(Purpose::Check).connect().await?;
    let asked: mysql_async::Result<Option<Option<String>>> =
        conn.exec_first("SELECT BINLOG_GTID_POS(?, ?)", (position.file.as_str(), position.offset)).await;
    let _ = conn.disconnect().await;
    let text = asked.ok().flatten().flatten().unwrap_or_default();
    Ok(GtidSet::parse(incarnation.flavor, &text).ok().filter(|set| !set.is_empty()))
}

/// What is kept among the structures under names without a schema.
async fn markers(conn: &mut Conn, target: &FenceTarget) -> Result<BTreeMap<String, String>, Failure> {
    let rows = structure::load(conn, target).await?;
    let kept = rows.into_iter().filter(|row| row.table.schema.is_empty() && !row.create_sql.is_empty());
    Ok(kept.map(|row| (row.table.table, row.create_sql)).collect())
}

fn marker(target: &FenceTarget, name: &str, text: &str) -> Statement {
    let table = TableName::new("", name);
    structure::put(target, &structure::StructureRow { table, from_unit: UnitNumber(0), create_sql: text.to_owned() })
}

/// Writes the beginning through the lanes' own rows, under the fence.
async fn persist(incarnation: &Incarnation, rows: &mut [LaneRow], first: First, has_marker: bool) -> Result<(), Leave> {
    let wanted_time = incarnation.context.assignment.start_time.as_deref();
    match first {
        First::AsStored => {
            // used and forgotten by the leader: the same text may be asked for again later
            if has_marker && wanted_time.is_none() {
                if let Some(row) = rows.first_mut() {
                    let statements = [marker(&incarnation.target, START_TIME_MARKER, "")];
                    let progress = unchanged(row);
                    write(incarnation, row, progress, &statements).await?;
                }
            }
            Ok(())
        }
        First::Fresh(location) => {
            if let Some(row) = rows.first_mut() {
                let progress = Progress { low_location: location, ..unchanged(row) };
                write(incarnation, row, progress, &[]).await?;
            }
            Ok(())
        }
        First::Reset(location) => {
            let highest =
                rows.iter().map(|row| row.done.last().unwrap_or(row.low).max(row.low)).max().unwrap_or_default();
            for (idx, row) in rows.iter_mut().enumerate() {
                let statements: Vec<Statement> = match wanted_time {
                    // with the first row: from here on a repetition would apply changes twice
                    Some(text) if idx == 0 => vec![marker(&incarnation.target, START_TIME_MARKER, text)],
                    Some(_) | None => Vec::new(),
                };
                let progress = Progress {
                    low: highest,
                    low_location: location.clone(),
                    done_gtid: None,
                    source_uuid: incarnation.source_facts.server_uuid.clone(),
                    ..unchanged(row)
                };
                write(incarnation, row, progress, &statements).await?;
            }
            incarnation.context.cell.announce(|view| view.start_time_consumed = true);
            Ok(())
        }
    }
}

fn unchanged(row: &LaneRow) -> Progress {
    Progress {
        units: Vec::new(),
        low: row.low,
        low_location: row.low_location.clone(),
        done_gtid: row.done_gtid.clone(),
        source_uuid: row.source_uuid.clone(),
        src_ts: row.src_ts,
    }
}

async fn write(
    incarnation: &Incarnation,
    row: &mut LaneRow,
    progress: Progress,
    statements: &[Statement],
) -> Result<(), Leave> {
    let update = row.advance(progress).map_err(|error| {
        Failure::new(
            Report::new(config::BUG, Retry::Backoff, "cannot write the beginning").with_cause(error.to_string()),
        )
    })?;
    let mut lane = Lane::new(incarnation.target.clone(), row.lane, &incarnation.takeover);
    let outcome = lane.execute(&update, statements).await;
    lane.close().await;
    match outcome {
        LaneOutcome::Committed { batch_crc, .. } => {
            row.apply(&update, Some(batch_crc));
            Ok(())
        }
        LaneOutcome::Fenced { .. } => Err(Leave::End(UnitEnd::Fenced)),
        outcome => match outcome.report() {
            Some(report) if outcome.ends_incarnation() => Err(Leave::TakeOverAgain(report)),
            Some(report) => Err(Failure::new(report).into()),
            None => Ok(()),
        },
    }
}

/// Targets that several source tables of this source feed, by the tables there are now.
async fn merges(incarnation: &Incarnation) -> Result<Merges, Leave> {
    let mut conn = incarnation.source.for_purpose(Purpose::Check).connect().await?;
    let tables = schema::tables(&mut conn, None).await;
    let _ = conn.disconnect().await;
    let mut seen = std::collections::BTreeSet::new();
    let mut merges = Merges { across_sources: config::merges_across_sources(incarnation), ..Merges::default() };
    for entry in tables?.into_iter().filter(|entry| entry.is_table()) {
        if !incarnation.rules.block_allow.allows_table(&entry.name) {
            continue;
        }
        let routed = incarnation.rules.router.route_table(&entry.name, incarnation.context.id.source.as_str());
        let routed = routed.map_err(|error| Failure::new(Report::of(&error as &dyn Coded, Retry::Never)))?;
        if !seen.insert(routed.table.clone()) {
            merges.targets.insert(routed.table);
        }
    }
    Ok(merges)
}

/// The mutant that starts after the smallest watermark and skips nothing.
fn forget_windows(rows: &mut [LaneRow], resume: &mut Resume) {
    if let Some(lowest) = rows.iter().filter(|row| !row.low_location.is_empty()).min_by_key(|row| row.low) {
        resume.low = lowest.low;
        resume.location = lowest.low_location.clone();
    }
    resume.done = dm_fence::Window::new();
    for row in rows {
        row.low = row.low.min(resume.low);
        row.done = dm_fence::Window::new();
    }
}
