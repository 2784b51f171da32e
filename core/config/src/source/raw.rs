//! The keys of source.yaml as they are written. An absent key and a key without value are the same.

use dm_rules::event_filter;
use serde::{Deserialize, de::IgnoredAny};

use crate::{db::raw::Db, duration::GoDuration};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Source {
    pub source_id: Option<String>,
    pub enable: Option<bool>,
    pub enable_gtid: Option<bool>,
    pub flavor: Option<String>,
    pub enable_relay: Option<bool>,
    pub relay_binlog_name: Option<String>,
    pub relay_binlog_gtid: Option<String>,
    pub relay_dir: Option<String>,
    pub from: Option<Db>,
    pub purge: Option<Purge>,
    pub checker: Option<Checker>,
    pub server_id: Option<u32>,
    pub case_sensitive: Option<bool>,
    pub filters: Option<Vec<event_filter::Rule>>,
    pub meta_dir: Option<IgnoredAny>,
    pub charset: Option<IgnoredAny>,
    pub auto_fix_gtid: Option<IgnoredAny>,
    pub tracer: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Purge {
    pub interval: Option<i64>,
    pub expires: Option<i64>,
    pub remain_space: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Checker {
    pub check_enable: Option<bool>,
    pub backoff_rollback: Option<GoDuration>,
    pub backoff_max: Option<GoDuration>,
    pub check_interval: Option<GoDuration>,
    pub backoff_min: Option<GoDuration>,
    pub backoff_jitter: Option<bool>,
    pub backoff_factor: Option<f64>,
}
