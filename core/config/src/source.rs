//! source.yaml: one upstream server.
//!
//! Owns its keys, defaults and checks. Whether the server answers is not decided here.

pub mod raw;

use dm_model::{BinlogPosition, Flavor, GtidSet, SourceId};
use dm_rules::{CaseSensitivity, event_filter};
use serde::{Deserialize, Serialize};

use crate::{Error, SecretKey, Warning, db, db::DbConfig, duration::GoDuration, yaml};

/// A checked source.yaml. The password in `from` is as the user gave it, plain or encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceConfig {
    pub source_id: SourceId,
    /// False: subtasks of the source are kept stopped.
    pub enable: bool,
    pub enable_gtid: bool,
    /// `None`: to be detected from the server's version.
    pub flavor: Option<Flavor>,
    pub enable_relay: bool,
    pub relay_binlog_name: String,
    pub relay_binlog_gtid: String,
    pub relay_dir: String,
    pub from: db::raw::Db,
    pub purge: Purge,
    pub checker: Checker,
    /// 0: to be chosen at random.
    pub server_id: u32,
    pub case_sensitive: bool,
    pub filters: Vec<event_filter::Rule>,
}

/// When relay log files are deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// Seconds; 0 or less switches automatic purge off.
    pub interval_s: i64,
    /// Hours; 0 is off.
    pub expires_h: i64,
    /// GiB.
    pub remain_space_gib: i64,
}

/// How paused subtasks are resumed without a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checker {
    pub check_enable: bool,
    pub backoff_rollback: GoDuration,
    pub backoff_max: GoDuration,
    pub check_interval: GoDuration,
    pub backoff_min: GoDuration,
    pub backoff_jitter: bool,
    pub backoff_factor: f64,
}

impl Eq for Checker {}

impl SourceConfig {
    /// Port of a source that names none.
    pub const DEFAULT_PORT: u16 = 3306;

    pub fn parse(text: &str) -> Result<(Self, Vec<Warning>), Error> {
        let raw: raw::Source = yaml::parse(text)?;
        Self::check(raw)
    }

    fn check(raw: raw::Source) -> Result<(Self, Vec<Warning>), Error> {
        let warnings = deprecated(&raw);
        let source_id = raw.source_id.unwrap_or_default();
        if source_id.is_empty() {
            return Err(Error::SourceIdEmpty {});
        }
        let flavor = match raw.flavor.as_deref() {
            None | Some("") => None,
            Some(text) => Some(Flavor::parse(text).ok_or_else(|| Error::Value {
                key: "flavor",
                text: text.to_owned(),
                expected: "`mysql` or `mariadb`",
            })?),
        };
        let source = Self {
            source_id: SourceId::parse(source_id).map_err(|source| Error::SourceId { source })?,
            enable: raw.enable.unwrap_or(true),
            enable_gtid: raw.enable_gtid.unwrap_or(false),
            flavor,
            enable_relay: raw.enable_relay.unwrap_or(false),
            relay_binlog_name: raw.relay_binlog_name.unwrap_or_default(),
            relay_binlog_gtid: raw.relay_binlog_gtid.unwrap_or_default(),
            relay_dir: raw.relay_dir.filter(|dir| !dir.is_empty()).unwrap_or_else(|| "relay-dir".to_owned()),
            from: raw.from.unwrap_or_default(),
            purge: Purge::check(raw.purge.unwrap_or_default()),
            checker: Checker::check(raw.checker.unwrap_or_default())?,
            server_id: raw.server_id.unwrap_or(0),
            case_sensitive: raw.case_sensitive.unwrap_or(false),
            filters: raw.filters.unwrap_or_default(),
        };
        source.from.resolve("from", Self::DEFAULT_PORT, None, None)?;
        check_relay_start(&source)?;
        event_filter::EventFilter::compile(&source.filters, CaseSensitivity::of_flag(source.case_sensitive))?;
        Ok((source, warnings))
    }

    /// The connection to the source, with the password decrypted.
    pub fn database(&self, key: Option<&SecretKey>) -> Result<DbConfig, Error> {
        self.from.resolve("from", Self::DEFAULT_PORT, None, key)
    }
}

fn check_relay_start(source: &SourceConfig) -> Result<(), Error> {
    let name = &source.relay_binlog_name;
    if !name.is_empty() && BinlogPosition::new(name, BinlogPosition::FIRST_OFFSET).split_file().is_none() {
        return Err(Error::RelayBinlogName { text: name.clone() });
    }
    let flavors = match source.flavor {
        Some(flavor) => vec![flavor],
        None => vec![Flavor::MySql, Flavor::MariaDb],
    };
    let gtid = &source.relay_binlog_gtid;
    if flavors.into_iter().any(|flavor| GtidSet::parse(flavor, gtid).is_ok()) {
        return Ok(());
    }
    Err(Error::RelayGtid { text: gtid.clone() })
}

impl Purge {
    fn check(raw: raw::Purge) -> Self {
        Self {
            interval_s: raw.interval.unwrap_or(3600),
            expires_h: raw.expires.unwrap_or(0),
            remain_space_gib: raw.remain_space.unwrap_or(15),
        }
    }
}

impl Checker {
    fn check(raw: raw::Checker) -> Result<Self, Error> {
        let or = |given: Option<GoDuration>, default_s| {
            given.filter(|given| *given != GoDuration::default()).unwrap_or(GoDuration::from_secs(default_s))
        };
        let checker = Self {
            check_enable: raw.check_enable.unwrap_or(true),
            backoff_rollback: or(raw.backoff_rollback, 300),
            backoff_max: or(raw.backoff_max, 300),
            check_interval: or(raw.check_interval, 5),
            backoff_min: or(raw.backoff_min, 1),
            backoff_jitter: raw.backoff_jitter.unwrap_or(true),
            backoff_factor: raw.backoff_factor.unwrap_or(2.0),
        };
        if checker.backoff_max < checker.backoff_min {
            return Err(Error::Backoff { max: checker.backoff_max.to_string(), min: checker.backoff_min.to_string() });
        }
        if !checker.backoff_factor.is_finite() || checker.backoff_factor < 1.0 {
            let text = checker.backoff_factor.to_string();
            return Err(Error::Value { key: "backoff-factor", text, expected: "a number of at least 1" });
        }
        Ok(checker)
    }
}

fn deprecated(raw: &raw::Source) -> Vec<Warning> {
    let given = [
        ("meta-dir", raw.meta_dir.is_some()),
        ("charset", raw.charset.is_some()),
        ("auto-fix-gtid", raw.auto_fix_gtid.is_some()),
        ("tracer", raw.tracer.is_some()),
        ("relay-dir", raw.relay_dir.as_deref().is_some_and(|dir| dir != "relay-dir")),
        ("from.max-allowed-packet", raw.from.as_ref().is_some_and(|from| from.max_allowed_packet.is_some())),
    ];
    given
        .iter()
        .filter(|(_, given)| *given)
        .map(|(key, _)| Warning(format!("`{key}` is deprecated and ignored")))
        .collect()
}

/// A source.yaml to start from.
pub const SAMPLE: &str = include_str!("source/sample.yaml");

#[cfg(test)]
mod tests;
