//! Sets of global transaction ids, in both dialects.
//!
//! MySQL: `uuid[:tag]:1-5:7,…`. MariaDB: at most one `domain-server-seq` per domain. The two never mix: a set knows its
//! flavor, and combining sets of different flavors is an error of the caller, answered with `false` or `None`, not a panic.

pub mod mariadb;
pub mod mysql;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Flavor;

/// What is wrong with a GTID text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {flavor} GTID set: {reason}")]
pub struct ParseGtidError {
    pub flavor: Flavor,
    pub text: String,
    pub reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "flavor", content = "set")]
pub enum GtidSet {
    #[serde(rename = "mysql")]
    MySql(mysql::Set),
    #[serde(rename = "mariadb")]
    MariaDb(mariadb::Set),
}

/// One transaction's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Gtid {
    MySql(mysql::Gtid),
    MariaDb(mariadb::Gtid),
}

impl GtidSet {
    pub fn empty(flavor: Flavor) -> Self {
        match flavor {
            Flavor::MySql => Self::MySql(mysql::Set::default()),
            Flavor::MariaDb => Self::MariaDb(mariadb::Set::default()),
        }
    }

    /// Reads the server's text; white space and line breaks between parts are allowed, an empty text is an empty set.
    pub fn parse(flavor: Flavor, text: &str) -> Result<Self, ParseGtidError> {
        match flavor {
            Flavor::MySql => mysql::Set::parse(text).map(Self::MySql),
            Flavor::MariaDb => mariadb::Set::parse(text).map(Self::MariaDb),
        }
    }

    pub fn flavor(&self) -> Flavor {
        match self {
            Self::MySql(_) => Flavor::MySql,
            Self::MariaDb(_) => Flavor::MariaDb,
        }
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Self::MySql(set) => set.is_empty(),
            Self::MariaDb(set) => set.is_empty(),
        }
    }

    /// True when every transaction of `other` is in `self`. False for sets of different flavors, except that an empty
    /// set is in every set.
    pub fn contains_set(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::MySql(a), Self::MySql(b)) => a.contains_set(b),
            (Self::MariaDb(a), Self::MariaDb(b)) => a.contains_set(b),
            (Self::MySql(_), Self::MariaDb(_)) | (Self::MariaDb(_), Self::MySql(_)) => other.is_empty(),
        }
    }

    pub fn contains(&self, gtid: &Gtid) -> bool {
        match (self, gtid) {
            (Self::MySql(set), Gtid::MySql(gtid)) => set.contains(gtid),
            (Self::MariaDb(set), Gtid::MariaDb(gtid)) => set.contains(gtid),
            (Self::MySql(_), Gtid::MariaDb(_)) | (Self::MariaDb(_), Gtid::MySql(_)) => false,
        }
    }

    /// Adds one executed transaction. False, and nothing changes, when the flavors differ.
    #[must_use = "false means that the id was of another flavor and was not added"]
    pub fn insert(&mut self, gtid: &Gtid) -> bool {
        match (self, gtid) {
            (Self::MySql(set), Gtid::MySql(gtid)) => set.insert(gtid),
            (Self::MariaDb(set), Gtid::MariaDb(gtid)) => set.insert(gtid),
            (Self::MySql(_), Gtid::MariaDb(_)) | (Self::MariaDb(_), Gtid::MySql(_)) => return false,
        }
        true
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MySql(set) => set.fmt(f),
            Self::MariaDb(set) => set.fmt(f),
        }
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MySql(gtid) => gtid.fmt(f),
            Self::MariaDb(gtid) => gtid.fmt(f),
        }
    }
}
