//! dm-master's configuration: a TOML file under command-line flags.
//!
//! Owns keys, defaults and checks. Keys that tuned DM's embedded etcd are accepted with a warning: there is none here.

use std::{collections::BTreeMap, time::Duration};

use dm_model::MasterName;
use serde::Deserialize;

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
    pub master_addr: Option<String>,
    pub advertise_addr: Option<String>,
    pub peer_urls: Option<String>,
    pub advertise_peer_urls: Option<String>,
    pub data_dir: Option<String>,
    pub initial_cluster: Option<String>,
    pub initial_cluster_state: Option<String>,
    pub join: Option<String>,
    pub rpc_timeout: Option<GoDuration>,
    pub rpc_rate_limit: Option<f64>,
    pub rpc_rate_burst: Option<u32>,
    pub openapi: Option<bool>,
    pub experimental: Option<Experimental>,
    pub v1_sources_path: Option<String>,
    pub secret_key_path: Option<String>,
    pub raft: Option<Raft>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Experimental {
    pub openapi: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Raft {
    pub profile: Option<String>,
}

/// How long the masters wait for each other, by the network between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RaftProfile {
    /// One data centre.
    #[default]
    Lan,
    /// One rack with quick disks: shorter elections, more false ones.
    Fast,
    /// Several data centres.
    Wan,
}

/// What a master runs with.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    pub log: LogOptions,
    pub tls: Option<TlsPaths>,
    pub name: MasterName,
    /// `host:port` to listen on; the host may be empty.
    pub master_addr: String,
    /// `host:port` that clients and workers use.
    pub advertise_addr: String,
    /// URLs to listen on for other masters.
    pub peer_urls: Vec<String>,
    pub advertise_peer_urls: Vec<String>,
    pub data_dir: String,
    pub membership: Membership,
    pub rpc_timeout: Duration,
    /// Requests per second towards one worker, and how many may come at once.
    pub rpc_rate_limit: f64,
    pub rpc_rate_burst: u32,
    pub openapi: bool,
    pub v1_sources_path: Option<String>,
    pub secret_key_path: Option<String>,
    pub raft_profile: RaftProfile,
}

/// How a master without data gets into its cluster. One that has data ignores this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// Forms a new cluster with these members: name to peer URLs.
    Bootstrap(BTreeMap<MasterName, Vec<String>>),
    /// Asks a running cluster, by its client addresses.
    Join(Vec<String>),
    /// `initial-cluster-state: existing`: one of these members, of a cluster that runs.
    Existing(BTreeMap<MasterName, Vec<String>>),
}

/// Long flags, for [`normalize_args`](crate::flags::normalize_args).
pub const LONG_FLAGS: &[&str] = &[
    "config",
    "print-sample-config",
    "version",
    "help",
    "openapi",
    "log-level",
    "log-file",
    "log-format",
    "log-rotate",
    "name",
    "master-addr",
    "advertise-addr",
    "peer-urls",
    "advertise-peer-urls",
    "data-dir",
    "initial-cluster",
    "initial-cluster-state",
    "join",
    "max-txn-ops",
    "max-request-bytes",
    "auto-compaction-mode",
    "auto-compaction-retention",
    "quota-backend-bytes",
    "rpc-timeout",
    "rpc-rate-limit",
    "rpc-rate-burst",
    "v1-sources-path",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "cert-allowed-cn",
    "secret-key-path",
];

const NO_ETCD: &str = "it tuned the embedded etcd, which this version does not have";

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
        "master-addr",
        "advertise-addr",
        "peer-urls",
        "advertise-peer-urls",
        "data-dir",
        "initial-cluster",
        "initial-cluster-state",
        "join",
        "rpc-timeout",
        "rpc-rate-limit",
        "rpc-rate-burst",
        "openapi",
        "experimental.openapi",
        "v1-sources-path",
        "secret-key-path",
        "raft.profile",
    ],
    ignored: &[
        ("max-txn-ops", NO_ETCD),
        ("max-request-bytes", NO_ETCD),
        ("auto-compaction-mode", NO_ETCD),
        ("auto-compaction-retention", NO_ETCD),
        ("quota-backend-bytes", NO_ETCD),
    ],
};

impl Config {
    pub fn from_toml(text: &str) -> Result<(Self, Vec<Warning>), Error> {
        toml_file::parse(text, &KEYS).map_err(|problem| match problem {
            Problem::Syntax(source) => Error::MasterToml { source },
            Problem::UnknownKeys(keys) => Error::MasterUnknown { keys },
        })
    }

    /// Values of `flags` win.
    pub fn merge(&mut self, flags: Self) {
        self.log.merge(flags.log);
        self.tls.merge(flags.tls);
        overlay(&mut self.name, flags.name);
        overlay(&mut self.master_addr, flags.master_addr);
        overlay(&mut self.advertise_addr, flags.advertise_addr);
        overlay(&mut self.peer_urls, flags.peer_urls);
        overlay(&mut self.advertise_peer_urls, flags.advertise_peer_urls);
        overlay(&mut self.data_dir, flags.data_dir);
        overlay(&mut self.initial_cluster, flags.initial_cluster);
        overlay(&mut self.initial_cluster_state, flags.initial_cluster_state);
        overlay(&mut self.join, flags.join);
        overlay(&mut self.rpc_timeout, flags.rpc_timeout);
        overlay(&mut self.rpc_rate_limit, flags.rpc_rate_limit);
        overlay(&mut self.rpc_rate_burst, flags.rpc_rate_burst);
        overlay(&mut self.openapi, flags.openapi);
        overlay(&mut self.experimental, flags.experimental);
        overlay(&mut self.v1_sources_path, flags.v1_sources_path);
        overlay(&mut self.secret_key_path, flags.secret_key_path);
        overlay(&mut self.raft, flags.raft);
    }

    /// Fills defaults and checks. `hostname` is this machine's, for the default name.
    pub fn finish(self, hostname: &str) -> Result<Resolved, Error> {
        let set = |text: Option<String>| text.filter(|text| !text.is_empty());
        let tls = self.tls.finish()?;
        let name = set(self.name).unwrap_or_else(|| format!("dm-master-{hostname}"));
        let name = MasterName::parse(name.clone()).map_err(|_| Error::Value {
            key: "name",
            text: name,
            expected: "a name of at most 255 bytes",
        })?;
        let master_addr = set(self.master_addr).ok_or(Error::Missing { key: "master-addr" })?;
        let bare = master_addr.split_once("://").map_or(master_addr.as_str(), |(_, rest)| rest).to_owned();
        if address::split(&bare).is_none() {
            return Err(Error::MasterAddr { key: "master-addr", text: master_addr });
        }
        let advertise = set(self.advertise_addr).unwrap_or_else(|| bare.clone());
        let advertise = advertise.split_once("://").map_or(advertise.as_str(), |(_, rest)| rest).to_owned();
        match address::split(&advertise) {
            Some((host, _)) if address::is_concrete(host) => {}
            Some(_) | None => return Err(Error::MasterAdvertise { text: advertise }),
        }
        let peer_text = set(self.peer_urls).unwrap_or_else(|| "http://127.0.0.1:8291".to_owned());
        let peer_urls = address::url_list(&peer_text).ok_or(Error::MasterUrl { key: "peer-urls", text: peer_text })?;
        let advertise_peer_urls = match set(self.advertise_peer_urls) {
            None => peer_urls.clone(),
            Some(text) => address::url_list(&text).ok_or(Error::MasterUrl { key: "advertise-peer-urls", text })?,
        };
        if !advertise_peer_urls.iter().all(|url| address::is_concrete(address::url_host(url))) {
            return Err(Error::MasterAdvertisePeer { text: advertise_peer_urls.join(",") });
        }
        let membership = membership(
            &name,
            &advertise_peer_urls,
            set(self.initial_cluster),
            set(self.initial_cluster_state),
            set(self.join),
        )?;
        let experimental = self.experimental.and_then(|experimental| experimental.openapi);
        let profile = self.raft.and_then(|raft| raft.profile).unwrap_or_default();
        let rpc_rate_limit = self.rpc_rate_limit.filter(|limit| limit.is_finite() && *limit > 0.0);
        Ok(Resolved {
            log: self.log.finish()?,
            tls,
            data_dir: set(self.data_dir).unwrap_or_else(|| format!("default.{name}")),
            name,
            master_addr: bare,
            advertise_addr: advertise,
            peer_urls,
            advertise_peer_urls,
            membership,
            rpc_timeout: self
                .rpc_timeout
                .filter(|timeout| !timeout.0.is_zero())
                .map_or(Duration::from_secs(30), |d| d.0),
            rpc_rate_limit: rpc_rate_limit.unwrap_or(10.0),
            rpc_rate_burst: self.rpc_rate_burst.filter(|burst| *burst > 0).unwrap_or(40),
            openapi: self.openapi.or(experimental).unwrap_or(false),
            v1_sources_path: set(self.v1_sources_path),
            secret_key_path: set(self.secret_key_path),
            raft_profile: RaftProfile::parse(profile)?,
        })
    }
}

impl RaftProfile {
    fn parse(text: String) -> Result<Self, Error> {
        match text.as_str() {
            "" | "lan" => Ok(Self::Lan),
            "fast" => Ok(Self::Fast),
            "wan" => Ok(Self::Wan),
            _ => Err(Error::Value { key: "raft.profile", text, expected: "one of lan, fast, wan" }),
        }
    }
}

fn membership(
    name: &MasterName,
    own_urls: &[String],
    initial_cluster: Option<String>,
    state: Option<String>,
    join: Option<String>,
) -> Result<Membership, Error> {
    let refuse = |key, reason: String| Error::MasterCluster { key, reason };
    if let Some(join) = join {
        if initial_cluster.is_some() {
            return Err(refuse("join", "it cannot stand beside `initial-cluster`".to_owned()));
        }
        let addresses: Option<Vec<String>> = address::list(&join).map(address::client_address).collect();
        return match addresses {
            Some(addresses) if !addresses.is_empty() => Ok(Membership::Join(addresses)),
            Some(_) | None => Err(refuse("join", format!("`{join}` is not a list of host:port"))),
        };
    }
    let mut members: BTreeMap<MasterName, Vec<String>> = BTreeMap::new();
    match initial_cluster {
        None => {
            members.insert(name.clone(), own_urls.to_vec());
        }
        Some(text) => {
            for part in address::list(&text) {
                let member = part.split_once('=').and_then(|(member, url)| {
                    Some((MasterName::parse(member.trim()).ok()?, address::url(url.trim())?))
                });
                let (member, url) = member
                    .ok_or_else(|| refuse("initial-cluster", format!("`{part}` is not name=http://host:port")))?;
                members.entry(member).or_default().push(url);
            }
            if !members.contains_key(name) {
                return Err(refuse("initial-cluster", format!("this master, `{name}`, is not in it")));
            }
        }
    }
    match state.as_deref() {
        None | Some("new") => Ok(Membership::Bootstrap(members)),
        Some("existing") => Ok(Membership::Existing(members)),
        Some(other) => Err(refuse("initial-cluster-state", format!("`{other}` is not `new` or `existing`"))),
    }
}

/// A file to start from, for `-print-sample-config`.
pub const SAMPLE: &str = include_str!("master/sample.toml");

#[cfg(test)]
mod tests;
