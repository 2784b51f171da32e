//! dmctl's configuration: flags over the environment over a TOML file.

use std::time::Duration;

use serde::Deserialize;

use crate::{
    Error, Warning, address,
    duration::GoDuration,
    flags::overlay,
    server_tls::{RawTls, TlsPaths},
    toml_file::{self, Keys, Problem},
};

/// The file's keys, or the command line's flags. The caller merges the environment's `DM_MASTER_ADDR` between the two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Config {
    #[serde(flatten)]
    pub tls: RawTls,
    pub master_addr: Option<String>,
    pub rpc_timeout: Option<GoDuration>,
}

/// What dmctl runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Client addresses of masters, to be tried in this order; at least one.
    pub master_addr: Vec<String>,
    pub rpc_timeout: Duration,
    pub tls: Option<TlsPaths>,
}

/// The environment variable that names the masters.
pub const MASTER_ADDR_ENV: &str = "DM_MASTER_ADDR";

/// Long flags before the command, for [`normalize_args`](crate::flags::normalize_args).
pub const LONG_FLAGS: &[&str] = &[
    "config",
    "print-sample-config",
    "version",
    "help",
    "master-addr",
    "rpc-timeout",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "source",
];

const KEYS: Keys = Keys {
    known: &["master-addr", "rpc-timeout", "ssl-ca", "ssl-cert", "ssl-key", "cert-allowed-cn"],
    ignored: &[("charset", "dmctl does not need it")],
};

impl Config {
    pub fn from_toml(text: &str) -> Result<(Self, Vec<Warning>), Error> {
        toml_file::parse(text, &KEYS).map_err(|problem| match problem {
            Problem::Syntax(source) => Error::Toml { source },
            Problem::UnknownKeys(keys) => Error::CtlUnknown { keys },
        })
    }

    /// Values of `flags` win.
    pub fn merge(&mut self, flags: Self) {
        self.tls.merge(flags.tls);
        overlay(&mut self.master_addr, flags.master_addr);
        overlay(&mut self.rpc_timeout, flags.rpc_timeout);
    }

    /// Fills defaults and checks.
    pub fn finish(self) -> Result<Resolved, Error> {
        let text = self.master_addr.filter(|text| !text.is_empty()).ok_or(Error::Missing { key: "master-addr" })?;
        let addresses: Option<Vec<String>> = address::list(&text).map(address::client_address).collect();
        Ok(Resolved {
            master_addr: addresses.filter(|addresses| !addresses.is_empty()).ok_or(Error::Value {
                key: "master-addr",
                text,
                expected: "a comma list of host:port",
            })?,
            rpc_timeout: self
                .rpc_timeout
                .filter(|timeout| !timeout.0.is_zero())
                .map_or(Duration::from_secs(600), |timeout| timeout.0),
            tls: self.tls.finish()?,
        })
    }
}

/// A file to start from.
pub const SAMPLE: &str = include_str!("ctl/sample.toml");

#[cfg(test)]
mod tests;
