//! Replication: the source's binlog into lanes of the target.
//!
//! A thin shell around `dm_sync_core::engine::Engine`. [`start`] finds where to begin, [`stream`] reads the source,
//! [`lane`] executes transactions, [`structures`] answers what tables look like, [`driver`] is the one `select!` between
//! them. No rule about rows, tables, DDL or positions is decided here.

mod birth;
mod config;
mod driver;
pub(in crate::unit) mod history;
mod lane;
mod meter;
mod start;
mod start_time;
mod status;
mod stream;
mod structures;
mod watch;

use dm_model::{Stage, UnitKind};
use tracing::info;

use self::driver::Driver;
use super::{Leave, Stop, UnitEnd, incarnation::Incarnation, snapshot::Handover};
use crate::status::{SyncView, UnitView};

/// Replicates until told to end, or until a person or a takeover is needed.
pub async fn run(incarnation: Incarnation, handover: Option<Handover>, stop: &Stop) -> Result<UnitEnd, Leave> {
    incarnation.context.cell.announce(|view| {
        view.stage = Stage::Running;
        view.unit = Some(UnitKind::Sync);
        view.unit_view = UnitView::Sync(SyncView::default());
    });
    let begin = tokio::select! {
        biased;
        () = stop.requested() => return Ok(UnitEnd::Drained),
        begin = start::find(&incarnation, handover) => begin?,
    };
    info!(location = %begin.resume.location, low = %begin.resume.low, "sync begins");
    Driver::new(incarnation, begin).await?.run(stop).await
}
