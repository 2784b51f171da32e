//! The keys of task.yaml as they are written. An absent key and a key without value are the same; keys of old versions
//! are read so that old files still work.

use std::collections::BTreeMap;

use dm_rules::{block_allow, event_filter, route};
use serde::{Deserialize, de::IgnoredAny};

use crate::db::raw::Db;

/// A map of named sections; a section without content has its defaults.
pub type Named<T> = BTreeMap<String, Option<T>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Task {
    pub name: Option<String>,
    pub task_mode: Option<String>,
    pub shard_mode: Option<String>,
    pub is_sharding: Option<bool>,
    pub strict_optimistic_shard_mode: Option<bool>,
    pub ignore_checking_items: Option<Vec<String>>,
    pub meta_schema: Option<String>,
    pub timezone: Option<String>,
    pub case_sensitive: Option<bool>,
    #[serde(rename = "collation_compatible")]
    pub collation_compatible: Option<String>,
    pub target_database: Option<Db>,
    pub mysql_instances: Option<Vec<Option<Instance>>>,
    pub online_ddl: Option<bool>,
    pub online_ddl_scheme: Option<String>,
    pub shadow_table_rules: Option<Vec<String>>,
    pub trash_table_rules: Option<Vec<String>>,
    pub routes: Option<Named<route::Rule>>,
    pub filters: Option<Named<event_filter::Rule>>,
    pub expression_filter: Option<Named<ExpressionFilter>>,
    pub block_allow_list: Option<Named<block_allow::Rule>>,
    pub black_white_list: Option<Named<block_allow::Rule>>,
    pub column_mappings: Option<BTreeMap<String, IgnoredAny>>,
    pub mydumpers: Option<Named<Dump>>,
    pub loaders: Option<Named<Load>>,
    pub syncers: Option<Named<Sync>>,
    pub validators: Option<Named<Validate>>,
    pub clean_dump_file: Option<bool>,
    pub experimental: Option<Experimental>,
    pub enable_heartbeat: Option<IgnoredAny>,
    pub heartbeat_update_interval: Option<IgnoredAny>,
    pub heartbeat_report_interval: Option<IgnoredAny>,
    pub ansi_quotes: Option<IgnoredAny>,
    pub remove_meta: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Experimental {
    pub async_checkpoint_flush: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Instance {
    pub source_id: Option<String>,
    pub meta: Option<Meta>,
    pub route_rules: Option<Vec<String>>,
    pub filter_rules: Option<Vec<String>>,
    pub expression_filters: Option<Vec<String>>,
    pub column_mapping_rules: Option<Vec<String>>,
    pub block_allow_list: Option<String>,
    pub black_white_list: Option<String>,
    pub mydumper_config_name: Option<String>,
    pub mydumper: Option<Dump>,
    pub mydumper_thread: Option<u32>,
    pub loader_config_name: Option<String>,
    pub loader: Option<Load>,
    pub loader_thread: Option<u32>,
    pub syncer_config_name: Option<String>,
    pub syncer: Option<Sync>,
    pub syncer_thread: Option<u32>,
    pub validator_config_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Meta {
    pub binlog_name: Option<String>,
    pub binlog_pos: Option<u32>,
    pub binlog_gtid: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ExpressionFilter {
    pub schema: Option<String>,
    pub table: Option<String>,
    pub insert_value_expr: Option<String>,
    pub update_old_value_expr: Option<String>,
    pub update_new_value_expr: Option<String>,
    pub delete_value_expr: Option<String>,
}

/// `mydumpers.<name>`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Dump {
    pub mydumper_path: Option<String>,
    pub threads: Option<u32>,
    pub chunk_filesize: Option<String>,
    pub statement_size: Option<u64>,
    pub rows: Option<u64>,
    #[serde(rename = "where")]
    pub condition: Option<String>,
    pub skip_tz_utc: Option<bool>,
    pub extra_args: Option<String>,
}

/// `loaders.<name>`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Load {
    pub pool_size: Option<u32>,
    pub dir: Option<String>,
    pub sorting_dir_physical: Option<String>,
    pub import_mode: Option<String>,
    pub on_duplicate_logical: Option<String>,
    pub on_duplicate: Option<String>,
    pub on_duplicate_physical: Option<String>,
    pub disk_quota_physical: Option<String>,
    pub checksum_physical: Option<String>,
    pub analyze: Option<String>,
    pub range_concurrency: Option<u32>,
    pub compress_kv_pairs: Option<String>,
    pub pd_addr: Option<String>,
}

/// `syncers.<name>`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Sync {
    pub worker_count: Option<u32>,
    pub batch: Option<u32>,
    pub queue_size: Option<u32>,
    pub checkpoint_flush_interval: Option<u32>,
    pub compact: Option<bool>,
    pub multiple_rows: Option<bool>,
    pub safe_mode: Option<bool>,
    pub safe_mode_duration: Option<String>,
    pub enable_gtid: Option<IgnoredAny>,
    pub meta_file: Option<IgnoredAny>,
    pub max_retry: Option<IgnoredAny>,
    pub auto_fix_gtid: Option<IgnoredAny>,
    pub disable_detect: Option<IgnoredAny>,
    pub enable_ansi_quotes: Option<IgnoredAny>,
}

/// `validators.<name>`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Validate {
    pub mode: Option<String>,
    pub worker_count: Option<u32>,
    pub validate_interval: Option<String>,
    pub check_interval: Option<String>,
    pub row_error_delay: Option<String>,
    pub meta_flush_interval: Option<String>,
    pub batch_query_size: Option<u32>,
    pub max_pending_row_size: Option<String>,
    pub max_pending_row_count: Option<u32>,
}
