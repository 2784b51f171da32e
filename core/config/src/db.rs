//! How to reach a database (`from` of a source, `target-database` of a task), resolved.

pub mod raw;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// A resolved connection description. The password is plain text by now; it never shows in `Debug`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbConfig {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Password,
    /// Session variables of the user, keys in lower case.
    pub session: BTreeMap<String, String>,
    pub tls: Option<TlsConfig>,
}

/// A plain password that does not print itself.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("******")
    }
}

/// TLS towards a database, as PEM bytes (dmctl reads the files before it sends a config).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TlsConfig {
    pub ca_pem: Option<Vec<u8>>,
    pub cert_pem: Option<Vec<u8>>,
    pub key_pem: Option<Vec<u8>>,
    pub cert_allowed_cn: Vec<String>,
}
