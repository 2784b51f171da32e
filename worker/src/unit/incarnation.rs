//! From an assignment to a target that is ours: connections, server facts, the takeover.
//!
//! An incarnation is what a unit's memory of the target is worth: it begins with a takeover and ends with the first sign
//! that the target's history is not what we remember.

use std::{sync::Arc, time::Duration};

use dm_config::{SubtaskConfig, subtask::Rules};
use dm_fence::{LaneRow, Slicing};
use dm_model::{Flavor, error::Coded, error::Report, error::Retry};
use dm_mysql::{
    Connector, Purpose, ServerFacts, facts,
    fence::{FenceTarget, TakeoverOptions, TakeoverReport, lanes_present, take_over},
};
use tracing::info;

use super::{Context, Failure, Leave, sync::history::missing_lane};

/// What the units of one run stand on.
#[derive(Debug)]
pub struct Incarnation {
    pub context: Context,
    pub config: SubtaskConfig,
    pub rules: Rules,
    pub source: Connector,
    pub source_facts: ServerFacts,
    pub flavor: Flavor,
    pub target: Arc<FenceTarget>,
    pub takeover: TakeoverReport,
}

impl Incarnation {
    /// Connects to both sides and makes the target ours. Takes as long as an earlier owner's locks.
    pub async fn begin(context: &Context, config: &SubtaskConfig) -> Result<Self, Leave> {
        let rules = config.rules().map_err(|error| Failure::new(Report::of(&error as &dyn Coded, Retry::Never)))?;
        let source = Connector::new(&config.from, Purpose::SourceRead);
        let source_facts = {
            let mut conn = source.for_purpose(Purpose::Check).connect().await?;
            let found = facts(&mut conn).await;
            // a connection that does not close is the server's to end
            let _ = conn.disconnect().await;
            found?
        };
        let flavor = config.flavor.unwrap_or(source_facts.flavor);
        let target = Connector::new(&config.target, Purpose::Lane).with_source_sql_mode(&source_facts.sql_mode);
        let target = Arc::new(FenceTarget::new(
            &target,
            config.meta_schema.clone(),
            context.id.clone(),
            context.cluster_id.clone(),
            context.assignment.epoch,
            instance_uuid(),
            flavor,
        ));
        check_lanes(&target).await?;
        let options = TakeoverOptions {
            n_lanes: n_lanes(config),
            slicing: Slicing::FIRST,
            from_foreign_cluster: context.assignment.take_over,
        };
        let takeover = take_over(&target, options).await?;
        info!(resume = ?takeover.taken.resume, n_killed = takeover.taken.n_killed, "target taken over");
        Ok(Self {
            context: context.clone(),
            config: config.clone(),
            rules,
            source,
            source_facts,
            flavor,
            target,
            takeover,
        })
    }
}

/// Before a takeover makes the rows that are missing: were some of them deleted?
async fn check_lanes(target: &FenceTarget) -> Result<(), Leave> {
    /// As patient with a target that is away as the takeover is.
    const TRIES: u32 = 10;
    let mut n_tries = 0;
    let present = loop {
        n_tries += 1;
        let asked = async {
            let mut conn = target.connector().for_purpose(Purpose::Check).connect().await?;
            let present = lanes_present(&mut conn, target).await;
            // a connection that does not close is the server's to end
            let _ = conn.disconnect().await;
            present
        };
        match asked.await {
            Ok(present) => break present,
            Err(error) if n_tries < TRIES && error.retry() == Retry::Backoff => {
                tokio::time::sleep(Duration::from_millis(100) * n_tries).await;
            }
            Err(error) => return Err(error.into()),
        }
    };
    match missing_lane(&present) {
        None => Ok(()),
        Some(report) => Err(Failure::new(report).into()),
    }
}

impl Incarnation {
    /// The lane rows as they are now: a unit has written through them since the takeover.
    pub fn know_rows(&mut self, rows: &[LaneRow]) {
        if let Some(resume) = dm_fence::resume(rows) {
            self.takeover.taken.rows = rows.to_vec();
            self.takeover.taken.resume = resume;
        }
    }
}

/// Lanes that get a row: at most `worker-count`; more connections than that are never opened.
pub fn n_lanes(config: &SubtaskConfig) -> u16 {
    u16::try_from(config.sync.worker_count.clamp(1, 64)).unwrap_or(64)
}

/// One UUID per process, for people who read the session table.
fn instance_uuid() -> &'static str {
    use std::sync::OnceLock;
    static INSTANCE: OnceLock<String> = OnceLock::new();
    INSTANCE.get_or_init(|| uuid::Uuid::new_v4().to_string())
}
