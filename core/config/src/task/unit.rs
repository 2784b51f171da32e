//! The sections of the units with their defaults: dump, load, sync, validate. Values are checked here; what depends on
//! the task or the source is checked where both are known.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    mode::{ImportMode, Necessity, OnDuplicate, OnDuplicatePhysical, ValidationMode},
    raw,
};
use crate::{Error, duration::GoDuration, size};

/// How the full copy reads the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpOptions {
    /// Connections that read in parallel.
    pub threads: u32,
    pub chunk_filesize_bytes: u64,
    /// Bytes of one INSERT; 0: the unit's own choice.
    pub statement_size_bytes: u64,
    /// Rows of one chunk.
    pub rows: u64,
    /// Appended to every SELECT; empty: nothing.
    pub condition: String,
    pub skip_tz_utc: bool,
    pub extra_args: String,
    /// Not executed; empty is refused when the task dumps.
    pub mydumper_path: String,
}

/// How the full copy writes the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadOptions {
    /// Connections that write in parallel.
    pub pool_size: u32,
    pub dir: String,
    pub sorting_dir_physical: String,
    pub import_mode: ImportMode,
    pub on_duplicate_logical: OnDuplicate,
    pub on_duplicate_physical: OnDuplicatePhysical,
    pub disk_quota_physical_bytes: u64,
    pub checksum_physical: Necessity,
    pub analyze: Necessity,
    /// 0: the engine's default.
    pub range_concurrency: u32,
    pub compress_kv_pairs: String,
    pub pd_addr: String,
}

/// How replication runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncOptions {
    /// Lanes that write in parallel.
    pub worker_count: u32,
    /// Row changes per downstream transaction.
    pub batch: u32,
    pub queue_size: u32,
    pub checkpoint_flush_interval: Duration,
    pub compact: bool,
    pub multiple_rows: bool,
    pub safe_mode: bool,
    /// How long safe mode stays on after a start; zero: not at all.
    pub safe_mode_duration: Duration,
}

/// How rows are compared while replication runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidateOptions {
    pub mode: ValidationMode,
    pub worker_count: u32,
    pub validate_interval: Duration,
    pub check_interval: Duration,
    pub row_error_delay: Duration,
    pub meta_flush_interval: Duration,
    pub batch_query_size: u32,
    pub max_pending_row_size_bytes: u64,
    pub max_pending_row_count: u32,
}

impl DumpOptions {
    /// `threads` is the instance's `mydumper-thread`.
    pub(crate) fn check(raw: raw::Dump, threads: Option<u32>) -> Result<Self, Error> {
        let filesize = non_empty(raw.chunk_filesize).unwrap_or_else(|| "64".to_owned());
        Ok(Self {
            threads: positive(threads).or(positive(raw.threads)).unwrap_or(4),
            chunk_filesize_bytes: size::parse_mebibytes(&filesize).ok_or(Error::ChunkFilesize { text: filesize })?,
            statement_size_bytes: raw.statement_size.unwrap_or(0),
            rows: raw.rows.filter(|rows| *rows > 0).unwrap_or(200_000),
            condition: raw.condition.unwrap_or_default(),
            skip_tz_utc: raw.skip_tz_utc.unwrap_or(true),
            extra_args: raw.extra_args.unwrap_or_default(),
            mydumper_path: raw.mydumper_path.unwrap_or_else(|| "./bin/mydumper".to_owned()),
        })
    }
}

impl LoadOptions {
    /// `threads` is the instance's `loader-thread`.
    pub(crate) fn check(raw: raw::Load, threads: Option<u32>) -> Result<Self, Error> {
        let dir = non_empty(raw.dir).unwrap_or_else(|| "./dumped_data".to_owned());
        check_dir(&dir)?;
        let mode = non_empty(raw.import_mode).unwrap_or_else(|| "logical".to_owned()).to_lowercase();
        let import_mode = match mode.as_str() {
            "loader" if is_s3(&dir) => return Err(Error::LoadDirS3 { dir }),
            "sql" | "loader" => ImportMode::Logical,
            other => ImportMode::parse(other).ok_or(Error::ImportMode { text: mode.clone() })?,
        };
        let on_duplicate = non_empty(raw.on_duplicate_logical).or(non_empty(raw.on_duplicate));
        let quota = non_empty(raw.disk_quota_physical).unwrap_or_else(|| "0".to_owned());
        let compress_kv_pairs = raw.compress_kv_pairs.unwrap_or_default();
        if !matches!(compress_kv_pairs.as_str(), "" | "gzip" | "gz") {
            return Err(Error::Value { key: "compress-kv-pairs", text: compress_kv_pairs, expected: "`gzip` or `gz`" });
        }
        let sorting_dir_physical = raw.sorting_dir_physical.unwrap_or_default();
        Ok(Self {
            pool_size: positive(threads).or(positive(raw.pool_size)).unwrap_or(16),
            dir,
            sorting_dir_physical,
            import_mode,
            on_duplicate_logical: one_of(on_duplicate, OnDuplicate::Replace, OnDuplicate::parse)
                .map_err(|text| Error::OnDuplicate { text })?,
            on_duplicate_physical: one_of(
                raw.on_duplicate_physical,
                OnDuplicatePhysical::None,
                OnDuplicatePhysical::parse,
            )
            .map_err(|text| Error::OnDuplicatePhysical { text })?,
            disk_quota_physical_bytes: size::parse(&quota).ok_or(Error::Value {
                key: "disk-quota-physical",
                text: quota,
                expected: "a size",
            })?,
            checksum_physical: one_of(raw.checksum_physical, Necessity::Required, Necessity::parse)
                .map_err(|text| Error::Checksum { text })?,
            analyze: one_of(raw.analyze, Necessity::Optional, Necessity::parse)
                .map_err(|text| Error::Analyze { text })?,
            range_concurrency: raw.range_concurrency.unwrap_or(0),
            compress_kv_pairs,
            pd_addr: raw.pd_addr.unwrap_or_default(),
        })
    }
}

impl SyncOptions {
    /// `threads` is the instance's `syncer-thread`.
    pub(crate) fn check(raw: raw::Sync, threads: Option<u32>) -> Result<Self, Error> {
        let safe_mode = raw.safe_mode.unwrap_or(false);
        let text = non_empty(raw.safe_mode_duration).unwrap_or_else(|| "60s".to_owned());
        let safe_mode_duration = GoDuration::parse(&text).ok_or(Error::SafeModeDuration { text })?.0;
        if safe_mode && safe_mode_duration.is_zero() {
            return Err(Error::SafeModeConflict {});
        }
        let interval_s = positive(raw.checkpoint_flush_interval).unwrap_or(30);
        Ok(Self {
            worker_count: positive(threads).or(positive(raw.worker_count)).unwrap_or(16),
            batch: positive(raw.batch).unwrap_or(100),
            queue_size: positive(raw.queue_size).unwrap_or(1024),
            checkpoint_flush_interval: Duration::from_secs(u64::from(interval_s)),
            compact: raw.compact.unwrap_or(false),
            multiple_rows: raw.multiple_rows.unwrap_or(false),
            safe_mode,
            safe_mode_duration,
        })
    }
}

impl ValidateOptions {
    pub(crate) fn check(raw: raw::Validate) -> Result<Self, Error> {
        let size = non_empty(raw.max_pending_row_size).unwrap_or_else(|| "500m".to_owned());
        Ok(Self {
            mode: one_of(raw.mode, ValidationMode::None, ValidationMode::parse)
                .map_err(|text| Error::ValidationMode { text })?,
            worker_count: positive(raw.worker_count).unwrap_or(4),
            validate_interval: duration("validate-interval", raw.validate_interval, 10)?,
            check_interval: duration("check-interval", raw.check_interval, 5)?,
            row_error_delay: duration("row-error-delay", raw.row_error_delay, 30 * 60)?,
            meta_flush_interval: duration("meta-flush-interval", raw.meta_flush_interval, 5 * 60)?,
            batch_query_size: positive(raw.batch_query_size).unwrap_or(100),
            max_pending_row_size_bytes: size::parse(&size).ok_or(Error::Value {
                key: "max-pending-row-size",
                text: size,
                expected: "a size",
            })?,
            max_pending_row_count: positive(raw.max_pending_row_count).unwrap_or(i32::MAX as u32),
        })
    }
}

/// True for `s3://…`.
pub(crate) fn is_s3(dir: &str) -> bool {
    dir.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("s3://"))
}

fn check_dir(dir: &str) -> Result<(), Error> {
    let valid = match dir.split_once("://") {
        None => true,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("s3") => {
            rest.split(['/', '?']).next().is_some_and(|bucket| !bucket.is_empty())
        }
        Some(("file" | "local", rest)) => !rest.is_empty(),
        Some(_) => false,
    };
    if valid { Ok(()) } else { Err(Error::LoadDir { dir: dir.to_owned() }) }
}

fn duration(key: &'static str, text: Option<String>, default_s: u64) -> Result<Duration, Error> {
    match non_empty(text) {
        None => Ok(Duration::from_secs(default_s)),
        Some(text) => match GoDuration::parse(&text) {
            Some(duration) => Ok(duration.0),
            None => Err(Error::Value { key, text, expected: "a duration such as \"30s\"" }),
        },
    }
}

/// The default for an absent or empty text, the choice for a known one, the text itself otherwise.
fn one_of<T>(text: Option<String>, default: T, parse: fn(&str) -> Option<T>) -> Result<T, String> {
    match non_empty(text) {
        None => Ok(default),
        Some(text) => parse(&text).ok_or(text),
    }
}

pub(crate) fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// DM treats 0 as "not set".
fn positive(number: Option<u32>) -> Option<u32> {
    number.filter(|number| *number > 0)
}
