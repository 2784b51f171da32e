//! What a heartbeat's reports mean for the cluster: progress to write down, operators and start times that are used up,
//! subtasks that were drained and can be released.

use std::collections::{BTreeMap, BTreeSet};

use dm_model::{BinlogPosition, Epoch, GtidSet, Location, Revision, SessionId, SourceId, SubtaskId, TaskName};
use dm_proto::{
    convert::{stage_of, unit_of},
    session::{Heartbeat, Progress, SubtaskReport},
};
use dm_state::{
    Command, State,
    command::{ClearStartTime, ConsumeOperators, DeleteMeta, ProgressReport, Release},
    record::{Chunks, OperatorId, Wanted, Watermark},
};

use super::assignments::take_over_key;

/// Reports with names that are names.
pub fn parse(heartbeat: &Heartbeat) -> Vec<(SubtaskId, SubtaskReport)> {
    heartbeat
        .subtasks
        .iter()
        .filter_map(|report| {
            let task = TaskName::parse(report.task.clone()).ok()?;
            let source = SourceId::parse(report.source.clone()).ok()?;
            Some((SubtaskId::new(task, source), report.clone()))
        })
        .collect()
}

/// Progress to be written down: of present owners only.
pub fn progress(state: &State, reports: &[(SubtaskId, SubtaskReport)]) -> Vec<ProgressReport> {
    reports.iter().filter_map(|(id, report)| progress_of(state, id, report)).collect()
}

fn progress_of(state: &State, id: &SubtaskId, report: &SubtaskReport) -> Option<ProgressReport> {
    let epoch = Epoch(report.epoch);
    owned(state, id, epoch)?;
    let status = report.status.as_ref()?;
    let stage = stage_of(status.stage())?;
    let unit = unit_of(status.unit()).unwrap_or(dm_model::UnitKind::Check);
    let progress = report.progress.as_ref();
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    Some(ProgressReport {
        subtask: id.clone(),
        epoch,
        stage,
        unit,
        low: progress.and_then(watermark),
        chunks: progress
            .map_or_else(Chunks::default, |p| Chunks { done: count(p.chunks_done), total: count(p.chunks_total) }),
        finished: stage == dm_model::Stage::Finished,
    })
}

/// The GTID text tells its flavor by its form: MySQL's has a colon.
fn watermark(progress: &Progress) -> Option<Watermark> {
    if progress.low == 0 && progress.low_file.is_empty() {
        return None;
    }
    let flavor = if progress.low_gtid.contains(':') { dm_model::Flavor::MySql } else { dm_model::Flavor::MariaDb };
    let gtid = match progress.low_gtid.as_str() {
        "" => None,
        text => GtidSet::parse(flavor, text).ok(),
    };
    let position = BinlogPosition::new(progress.low_file.clone(), progress.low_offset);
    Some(Watermark { unit: progress.low, location: Location::new(position, gtid) })
}

/// Commands that a heartbeat gives rise to.
pub fn commands(
    state: &State,
    session: SessionId,
    revision: u64,
    reports: &[(SubtaskId, SubtaskReport)],
    told_to_drain: &BTreeMap<SourceId, u64>,
) -> Vec<Command> {
    let mut commands = Vec::new();
    for (id, report) in reports {
        let epoch = Epoch(report.epoch);
        let Some(subtask) = owned(state, id, epoch) else { continue };
        let used: Vec<OperatorId> = report
            .consumed_operators
            .iter()
            .map(|id| OperatorId(Revision(*id)))
            .filter(|id| subtask.operators.contains_key(id))
            .collect();
        if !used.is_empty() {
            commands.push(Command::ConsumeOperators(ConsumeOperators { subtask: id.clone(), epoch, ids: used }));
        }
        if report.start_time_consumed && subtask.start.is_some() {
            commands.push(Command::ClearStartTime(ClearStartTime { subtask: id.clone(), epoch }));
        }
        // it runs, so the rows in the target are ours: the permission is used up
        let runs = report.status.as_ref().is_some_and(|status| status.stage() == dm_proto::pb::Stage::Running)
            && report.progress.as_ref().is_some_and(|progress| progress.low > 0 || progress.chunks_done > 0);
        if runs && state.meta(&take_over_key(id)).is_some() {
            commands.push(Command::DeleteMeta(DeleteMeta { key: take_over_key(id) }));
        }
    }
    commands.extend(releases(state, session, revision, reports, told_to_drain));
    commands
}

/// Subtasks that this session was told to end, by assignments it has, and that it reports no more. `told_to_drain` has
/// the revision of the first assignments that left a source out.
fn releases(
    state: &State,
    session: SessionId,
    revision: u64,
    reports: &[(SubtaskId, SubtaskReport)],
    told_to_drain: &BTreeMap<SourceId, u64>,
) -> Vec<Command> {
    let carried: BTreeSet<(&SubtaskId, u64)> = reports.iter().map(|(id, report)| (id, report.epoch)).collect();
    let mut releases = Vec::new();
    for assignment in state.assignment_for(session) {
        for (epoch, subtask) in &assignment.owned {
            let told_at = match (assignment.draining, subtask.wanted) {
                (true, _) => told_to_drain.get(&assignment.source.id).copied(),
                (false, Wanted::Stopped) => Some(subtask.wanted_revision.0),
                (false, Wanted::Running | Wanted::Paused) => None,
            };
            if told_at.is_some_and(|told| revision >= told) && !carried.contains(&(&subtask.id, epoch.0)) {
                releases.push(Command::Release(Release { subtask: subtask.id.clone(), epoch: *epoch }));
            }
        }
    }
    releases
}

fn owned<'a>(state: &'a State, id: &SubtaskId, epoch: Epoch) -> Option<&'a dm_state::record::Subtask> {
    let subtask = state.subtask(id)?;
    (subtask.owner?.epoch == epoch).then_some(subtask)
}

#[cfg(test)]
mod tests;
