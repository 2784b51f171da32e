//! The fence in the target: its tables, takeover, lanes and DDL intents.
//!
//! dm-fence decides, this module executes. One [`Lane`] is one target connection that writes under the fence; nothing
//! is committed through it unless the lane's row carries our epoch and our `seq`. Every outcome is a value of
//! [`LaneOutcome`]; a connection in doubt is closed, and killed by id before its lane writes again.

pub mod chunk;
pub mod ddl;
pub mod intent;
pub mod lane;
pub mod open;
pub mod outcome;
pub mod remove_meta;
pub mod resolve;
pub mod row;
pub mod session;
pub mod structure;
pub mod tables;
pub mod takeover;

use dm_model::{ClusterId, Epoch, Flavor, SubtaskId};

use crate::{Connector, Purpose, text};

pub use ddl::{DdlPiece, DdlSettings};
pub use lane::{Lane, Statement};
pub use outcome::LaneOutcome;
pub use remove_meta::remove_meta;
pub use row::{lanes_present, newest_epoch};
pub use tables::ensure_meta_tables;
pub use takeover::{TakeoverOptions, TakeoverReport, take_over};

/// Whose fence, in which target, with which token.
#[derive(Debug, Clone)]
pub struct FenceTarget {
    connector: Connector,
    pub meta_schema: String,
    pub subtask: SubtaskId,
    pub cluster_id: ClusterId,
    pub epoch: Epoch,
    /// The worker process, as a UUID; for people who read the session table.
    pub instance: String,
    /// How GTID texts in the rows are read.
    pub source_flavor: Flavor,
}

impl FenceTarget {
    /// `connector` is used with [`Purpose::Lane`], whatever purpose it has.
    pub fn new(
        connector: &Connector,
        meta_schema: impl Into<String>,
        subtask: SubtaskId,
        cluster_id: ClusterId,
        epoch: Epoch,
        instance: impl Into<String>,
        source_flavor: Flavor,
    ) -> Self {
        Self {
            connector: connector.for_purpose(Purpose::Lane),
            meta_schema: meta_schema.into(),
            subtask,
            cluster_id,
            epoch,
            instance: instance.into(),
            source_flavor,
        }
    }

    /// Connections with the fence's timeouts; idle ones must be pinged.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// A meta table, quoted.
    pub(crate) fn table(&self, table: &str) -> String {
        format!("{}.`{table}`", dm_model::name::quote_identifier(&self.meta_schema))
    }

    /// The condition that picks the subtask's rows.
    pub(crate) fn condition(&self) -> String {
        format!(
            "task = {} AND source = {}",
            text::literal(self.subtask.task.as_str()),
            text::literal(self.subtask.source.as_str())
        )
    }

    /// The first two values of a row to insert.
    pub(crate) fn key(&self) -> String {
        format!("{}, {}", text::literal(self.subtask.task.as_str()), text::literal(self.subtask.source.as_str()))
    }
}
