//! task.yaml: what is migrated from which sources to which target, and how.
//!
//! Owns its keys, defaults and every check that needs no source: names that must exist, sections that must be used,
//! values that must fit together. What depends on a source is in [`crate::subtask`].

pub mod expression;
pub mod mode;
pub mod raw;
pub mod unit;

mod check;
mod instance;

use std::collections::BTreeMap;

use dm_model::{SourceId, TaskName};
use dm_rules::{block_allow, event_filter, route};
use serde::{Deserialize, Serialize};

pub use self::{
    expression::ExpressionFilter,
    mode::{Collation, ImportMode, Necessity, OnDuplicate, OnDuplicatePhysical, ShardMode, TaskMode, ValidationMode},
    unit::{DumpOptions, LoadOptions, SyncOptions, ValidateOptions},
};
use crate::{Error, SecretKey, Warning, db, db::DbConfig, timezone::TimeZone, yaml};

/// A checked task.yaml. The target's password is as the user gave it, plain or encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskConfig {
    pub name: TaskName,
    pub mode: TaskMode,
    pub shard_mode: Option<ShardMode>,
    pub strict_optimistic_shard_mode: bool,
    pub ignore_checking_items: Vec<String>,
    pub meta_schema: String,
    /// `None`: the downstream's.
    pub timezone: Option<TimeZone>,
    pub case_sensitive: bool,
    pub collation: Collation,
    pub target: db::raw::Db,
    /// At least one; source ids differ.
    pub instances: Vec<Instance>,
    pub online_ddl: OnlineDdl,
    pub clean_dump_file: bool,
    pub async_checkpoint_flush: bool,
}

/// A task's part on one source, with names replaced by what they name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    pub source_id: SourceId,
    pub meta: Option<Meta>,
    pub block_allow_list: block_allow::Rule,
    pub routes: Vec<route::Rule>,
    pub filters: Vec<event_filter::Rule>,
    pub expression_filters: Vec<ExpressionFilter>,
    pub dump: DumpOptions,
    pub load: LoadOptions,
    pub sync: SyncOptions,
    pub validate: ValidateOptions,
}

/// Where an incremental task starts. Name or GTID set is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    pub binlog_name: String,
    pub binlog_pos: u32,
    pub binlog_gtid: String,
}

/// How tables of gh-ost and pt-online-schema-change are told from others. The patterns are anchored and have one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlineDdl {
    pub enabled: bool,
    pub shadow_table_rules: Vec<String>,
    pub trash_table_rules: Vec<String>,
}

/// The precheck's items that `ignore-checking-items` can name; `all` skips everything.
pub const CHECKING_ITEMS: [&str; 23] = [
    "all",
    "version",
    "server_id",
    "binlog_enable",
    "binlog_format",
    "binlog_row_image",
    "binlog_db",
    "dump_privilege",
    "replication_privilege",
    "target_privilege",
    "table_schema",
    "schema_of_shard_tables",
    "auto_increment_ID",
    "online_ddl",
    "meta_position",
    "conn_number",
    "empty_region",
    "region_distribution",
    "downstream_version",
    "free_space",
    "downstream_mutex_features",
    "downstream_table_empty",
    "primary_key",
];

impl TaskConfig {
    /// Port of a target that names none.
    pub const DEFAULT_PORT: u16 = 4000;

    pub fn parse(text: &str) -> Result<(Self, Vec<Warning>), Error> {
        Self::check(yaml::parse(text)?)
    }

    fn check(mut raw: raw::Task) -> Result<(Self, Vec<Warning>), Error> {
        let mut warnings = check::deprecated(&raw);
        let name = TaskName::parse(raw.name.take().unwrap_or_default()).map_err(|source| Error::TaskName { source })?;
        let mode = check::mode(raw.task_mode.take())?;
        let shard_mode = check::shard_mode(raw.shard_mode.take(), raw.is_sharding, &mut warnings)?;
        let strict = raw.strict_optimistic_shard_mode.unwrap_or(false);
        if strict && shard_mode != Some(ShardMode::Optimistic) {
            return Err(Error::StrictShardMode {});
        }
        if raw.column_mappings.as_ref().is_some_and(|mappings| !mappings.is_empty()) {
            return Err(Error::ColumnMapping {});
        }
        let ignore_checking_items = check::checking_items(raw.ignore_checking_items.take())?;
        let online_ddl = check::online_ddl(&mut raw)?;
        let timezone = match raw.timezone.as_deref() {
            None | Some("") => None,
            Some(text) => Some(TimeZone::parse(text)?),
        };
        let collation = match raw.collation_compatible.as_deref() {
            None | Some("") => Collation::Loose,
            Some(text) => Collation::parse(text).ok_or_else(|| Error::Collation { text: text.to_owned() })?,
        };
        let target = raw.target_database.take().ok_or(Error::NoTarget {})?;
        let target_db = target.resolve("target-database", Self::DEFAULT_PORT, timezone.as_ref(), None)?;
        let instances = instance::check(&mut raw, mode, &mut warnings)?;
        check::import_modes(&instances, mode, shard_mode)?;
        check::foreign_keys(&instances, &target_db)?;
        let task = Self {
            name,
            mode,
            shard_mode,
            strict_optimistic_shard_mode: strict,
            ignore_checking_items,
            meta_schema: unit::non_empty(raw.meta_schema).unwrap_or_else(|| "dm_meta".to_owned()),
            timezone,
            case_sensitive: raw.case_sensitive.unwrap_or(false),
            collation,
            target,
            instances,
            online_ddl,
            clean_dump_file: raw.clean_dump_file.unwrap_or(true),
            async_checkpoint_flush: raw.experimental.and_then(|raw| raw.async_checkpoint_flush).unwrap_or(false),
        };
        check::rules(&task, &mut warnings)?;
        Ok((task, warnings))
    }

    /// The connection to the target, with the password decrypted and the task's time zone set.
    pub fn target_database(&self, key: Option<&SecretKey>) -> Result<DbConfig, Error> {
        let mut db = self.target.resolve("target-database", Self::DEFAULT_PORT, self.timezone.as_ref(), key)?;
        db.session.entry("foreign_key_checks".to_owned()).or_insert_with(|| "0".to_owned());
        Ok(db)
    }

    pub fn instance(&self, source: &SourceId) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.source_id == *source)
    }
}

/// Sections of one kind by name, with the names that instances used.
struct Sections<T> {
    kind: &'static str,
    by_name: BTreeMap<String, T>,
    used: std::collections::BTreeSet<String>,
}

#[cfg(test)]
mod tests;
