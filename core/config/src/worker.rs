//! dm-worker's configuration: a TOML file under command-line flags.

use std::time::Duration;

use dm_model::WorkerName;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{
    Error, Warning, address,
    duration::GoDuration,
    flags::overlay,
    logging::{LogOptions, RawLog},
    server_tls::{RawTls, TlsPaths},
    toml_file::{self, Keys, Problem},
};

/// The file's keys, or the command line's flags. [`merge`](Self::merge) puts flags over the file,
/// [`finish`](Self::finish) checks the result.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Config {
    #[serde(flatten)]
    pub log: RawLog,
    #[serde(flatten)]
    pub tls: RawTls,
    pub name: Option<String>,
    pub worker_addr: Option<String>,
    pub advertise_addr: Option<String>,
    pub join: Option<String>,
    /// Seconds.
    pub keepalive_ttl: Option<u64>,
    /// A duration, or a number of seconds.
    #[serde(deserialize_with = "seconds_or_duration")]
    pub self_fence_after: Option<GoDuration>,
    pub relay_dir: Option<String>,
    pub redact_info_log: Option<bool>,
}

/// What a worker runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    pub log: LogOptions,
    pub tls: Option<TlsPaths>,
    pub name: WorkerName,
    /// `host:port` to listen on; the host may be empty.
    pub worker_addr: String,
    /// `host:port` that masters use.
    pub advertise_addr: String,
    /// Client addresses of masters; at least one.
    pub join: Vec<String>,
    /// After this long without a word the leader gives the worker's sources to others.
    pub keepalive_ttl: Duration,
    /// `Some`: the worker stops its subtasks when it hears no leader for this long. `None`: it goes on, and the fence in
    /// the target is the safety.
    pub self_fence_after: Option<Duration>,
    /// `<relay-dir>/<name>`, or `None`: the default below the working directory.
    pub relay_dir: Option<String>,
    pub redact_info_log: bool,
}

/// Long flags, for [`normalize_args`](crate::flags::normalize_args).
pub const LONG_FLAGS: &[&str] = &[
    "config",
    "print-sample-config",
    "version",
    "help",
    "log-level",
    "log-file",
    "log-format",
    "log-rotate",
    "name",
    "worker-addr",
    "advertise-addr",
    "join",
    "keepalive-ttl",
    "relay-keepalive-ttl",
    "self-fence-after",
    "relay-dir",
    "redact-info-log",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "cert-allowed-cn",
];

const KEYS: Keys = Keys {
    known: &[
        "log-level",
        "log-file",
        "log-format",
        "log-rotate",
        "ssl-ca",
        "ssl-cert",
        "ssl-key",
        "cert-allowed-cn",
        "name",
        "worker-addr",
        "advertise-addr",
        "join",
        "keepalive-ttl",
        "self-fence-after",
        "relay-dir",
        "redact-info-log",
    ],
    ignored: &[("relay-keepalive-ttl", "relay does not change how long a worker may be silent; use `keepalive-ttl`")],
};

impl Config {
    /// Seconds a worker may be silent when `keepalive-ttl` is not set.
    pub const DEFAULT_KEEPALIVE_TTL_S: u64 = 5;

    pub fn from_toml(text: &str) -> Result<(Self, Vec<Warning>), Error> {
        toml_file::parse(text, &KEYS).map_err(|problem| match problem {
            Problem::Syntax(source) => Error::WorkerToml { source },
            Problem::UnknownKeys(keys) => Error::WorkerUnknown { keys },
        })
    }

    /// Values of `flags` win.
    pub fn merge(&mut self, flags: Self) {
        self.log.merge(flags.log);
        self.tls.merge(flags.tls);
        overlay(&mut self.name, flags.name);
        overlay(&mut self.worker_addr, flags.worker_addr);
        overlay(&mut self.advertise_addr, flags.advertise_addr);
        overlay(&mut self.join, flags.join);
        overlay(&mut self.keepalive_ttl, flags.keepalive_ttl);
        overlay(&mut self.self_fence_after, flags.self_fence_after);
        overlay(&mut self.relay_dir, flags.relay_dir);
        overlay(&mut self.redact_info_log, flags.redact_info_log);
    }

    /// Fills defaults and checks.
    pub fn finish(self) -> Result<Resolved, Error> {
        let set = |text: Option<String>| text.filter(|text| !text.is_empty());
        let bare = |text: String| text.split_once("://").map_or(text.clone(), |(_, rest)| rest.to_owned());
        let tls = self.tls.finish()?;
        let worker_addr = bare(set(self.worker_addr).ok_or(Error::Missing { key: "worker-addr" })?);
        if address::split(&worker_addr).is_none() {
            return Err(Error::WorkerAddr { key: "worker-addr", text: worker_addr });
        }
        let advertise_addr = set(self.advertise_addr).map_or_else(|| worker_addr.clone(), bare);
        match address::split(&advertise_addr) {
            Some((host, _)) if address::is_concrete(host) => {}
            Some(_) | None => return Err(Error::WorkerAddr { key: "advertise-addr", text: advertise_addr }),
        }
        let join_text = set(self.join).ok_or(Error::Missing { key: "join" })?;
        let join: Option<Vec<String>> = address::list(&join_text).map(address::client_address).collect();
        let join =
            join.filter(|addresses| !addresses.is_empty()).ok_or(Error::WorkerAddr { key: "join", text: join_text })?;
        let name = set(self.name).unwrap_or_else(|| advertise_addr.clone());
        let name = WorkerName::parse(name.clone()).map_err(|_| Error::Value {
            key: "name",
            text: name,
            expected: "a name of at most 255 bytes",
        })?;
        let ttl_s = self.keepalive_ttl.filter(|seconds| *seconds > 0).unwrap_or(Self::DEFAULT_KEEPALIVE_TTL_S);
        Ok(Resolved {
            log: self.log.finish()?,
            tls,
            relay_dir: set(self.relay_dir).map(|dir| format!("{}/{name}", dir.trim_end_matches('/'))),
            name,
            worker_addr,
            advertise_addr,
            join,
            keepalive_ttl: Duration::from_secs(ttl_s),
            self_fence_after: self.self_fence_after.map(|after| after.0).filter(|after| !after.is_zero()),
            redact_info_log: self.redact_info_log.unwrap_or(false),
        })
    }
}

fn seconds_or_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<GoDuration>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Seconds(u64),
        Text(String),
    }
    match Given::deserialize(deserializer)? {
        Given::Seconds(seconds) => Ok(Some(GoDuration::from_secs(seconds))),
        Given::Text(text) => match GoDuration::parse(&text) {
            Some(duration) => Ok(Some(duration)),
            None => Err(D::Error::custom(format!("`{text}` is not a duration such as \"30s\""))),
        },
    }
}

/// A file to start from, for `-print-sample-config`.
pub const SAMPLE: &str = include_str!("worker/sample.toml");

#[cfg(test)]
mod tests;
