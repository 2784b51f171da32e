//! Taking subtasks from owners that do not answer: a new token that belongs to nobody is shown to the target, and only
//! then is the operator told that the subtask has stopped.

use std::{collections::BTreeMap, time::Duration};

use dm_config::{SourceConfig, SubtaskConfig, TaskConfig};
use dm_fence::{LaneRow, Slicing};
use dm_model::{ClusterId, Epoch, Flavor, SubtaskId};
use dm_mysql::{
    Connector, Purpose,
    fence::{FenceTarget, TakeoverOptions, newest_epoch, remove_meta, take_over},
};
use dm_state::{
    Command, Reply, State,
    command::{ConfirmFence, FenceOff},
};
use tokio::time::timeout;
use tracing::info;

use super::Leading;
use crate::{context::Context, error::Error};

/// A target that does not answer for this long fails the request; killing and waiting for locks is in it.
const LIMIT: Duration = Duration::from_secs(60);

/// Rounds of removing meta data that an earlier owner may come between.
const REMOVALS: u32 = 5;

/// Whether rows of another cluster may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    Refuse,
    TakeOver,
}

/// What is done in the target once it is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Nothing,
    RemoveMeta,
}

/// Takes the subtasks from their owners, in the state and in the target. The result has one entry per subtask.
pub async fn fence_off(
    context: &Context,
    leading: &Leading,
    subtasks: &[SubtaskId],
    foreign: Foreign,
    then: Then,
) -> Result<BTreeMap<SubtaskId, Result<(), Error>>, Error> {
    let done = leading.propose(Command::FenceOff(FenceOff { subtasks: subtasks.to_vec() })).await?;
    let Reply::Assigned(grants) = done.reply else { return Err(Error::LeadershipLost) };
    let state = leading.cluster.local();
    let mut results = BTreeMap::new();
    for grant in grants {
        let mut result = show(context, &state, &grant.subtask, grant.epoch, foreign, then).await;
        if result.is_ok() {
            info!(subtask = %grant.subtask, epoch = %grant.epoch, "target fenced off");
            let confirm = ConfirmFence { subtask: grant.subtask.clone(), epoch: grant.epoch };
            result = leading.propose(Command::ConfirmFence(confirm)).await.map(|_| ());
        }
        results.insert(grant.subtask, result);
    }
    Ok(results)
}

/// The newest token that any cluster has left in the subtask's rows.
pub async fn stored_epoch(context: &Context, config: &SubtaskConfig) -> Result<Option<Epoch>, Error> {
    let connector = Connector::new(&config.target, Purpose::Check);
    let cluster_id = context.cluster.local().cluster_id().cloned().unwrap_or(ClusterId(String::new()));
    let flavor = config.flavor.unwrap_or(Flavor::MySql);
    let target =
        FenceTarget::new(&connector, config.meta_schema.clone(), config.id.clone(), cluster_id, Epoch(0), "", flavor);
    let mut conn = connector.connect().await?;
    let newest = newest_epoch(&mut conn, &target).await;
    let _ = conn.disconnect().await;
    Ok(newest?)
}

async fn show(
    context: &Context,
    state: &State,
    id: &SubtaskId,
    epoch: Epoch,
    foreign: Foreign,
    then: Then,
) -> Result<(), Error> {
    let target = target(context, state, id, epoch)?;
    let options =
        TakeoverOptions { n_lanes: 1, slicing: Slicing::FIRST, from_foreign_cluster: foreign == Foreign::TakeOver };
    let work = async {
        take_over(&target, options).await?;
        match then {
            Then::Nothing => {}
            Then::RemoveMeta => remove_all(&target, options).await?,
        }
        Ok::<(), Error>(())
    };
    match timeout(LIMIT, work).await {
        Ok(result) => result,
        Err(_) => Err(Error::TargetSilent { task: id.task.clone(), seconds: LIMIT.as_secs() }),
    }
}

/// Removes the meta data and leaves a row of ours behind: without one a forgotten worker would take the target as its first
/// owner. One that comes between removing and claiming is fenced by the claim, and what it left is removed in another round.
async fn remove_all(target: &FenceTarget, options: TakeoverOptions) -> Result<(), Error> {
    for _ in 0..REMOVALS {
        remove_meta(target).await?;
        let rows = take_over(target, options).await?.taken.rows;
        if rows == [LaneRow::first(0, target.cluster_id.clone(), target.epoch, options.slicing)] {
            break;
        }
        info!(subtask = %target.subtask, "an earlier owner came between, removing its meta data too");
    }
    Ok(())
}

fn target(context: &Context, state: &State, id: &SubtaskId, epoch: Epoch) -> Result<FenceTarget, Error> {
    let unknown = || dm_state::Rejection::SubtasksUnknown { task: id.task.clone(), sources: vec![id.source.clone()] };
    let subtask = state.subtask(id).ok_or_else(unknown)?;
    let source = state.source(&id.source).ok_or_else(unknown)?;
    let (task, _) = TaskConfig::parse(subtask.config.as_str())?;
    let (source, _) = SourceConfig::parse(source.config.as_str())?;
    let config = SubtaskConfig::resolve(&task, &source, context.secret_key.as_ref())?;
    Ok(FenceTarget::new(
        &Connector::new(&config.target, Purpose::Lane),
        config.meta_schema.clone(),
        id.clone(),
        state.cluster_id().cloned().unwrap_or_else(|| ClusterId(String::new())),
        epoch,
        uuid::Uuid::new_v4().to_string(),
        config.flavor.unwrap_or(Flavor::MySql),
    ))
}
