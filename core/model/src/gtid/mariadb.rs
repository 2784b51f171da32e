//! MariaDB GTID sets: the last transaction per replication domain, `0-1-5,7-2-9`.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::ParseGtidError;
use crate::Flavor;

/// One transaction: `domain-server-sequence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gtid {
    pub domain: u32,
    pub server: u32,
    pub sequence: u64,
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

/// The position per domain. Within a domain the sequence orders transactions whatever server wrote them, so a set
/// contains every transaction of a domain up to its sequence.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Set {
    domains: BTreeMap<u32, Gtid>,
}

impl Set {
    pub fn parse(text: &str) -> Result<Self, ParseGtidError> {
        let fail = |reason| ParseGtidError { flavor: Flavor::MariaDb, text: text.to_owned(), reason };
        let mut set = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let gtid = parse_gtid(part).ok_or_else(|| fail("a part is not `domain-server-sequence`"))?;
            if set.domains.insert(gtid.domain, gtid).is_some() {
                return Err(fail("a domain occurs twice"));
            }
        }
        Ok(set)
    }

    pub fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }

    pub fn contains(&self, gtid: &Gtid) -> bool {
        self.domains.get(&gtid.domain).is_some_and(|last| last.sequence >= gtid.sequence)
    }

    pub fn contains_set(&self, other: &Self) -> bool {
        other.domains.values().all(|gtid| self.contains(gtid))
    }

    /// Moves the domain's position forward; an older transaction changes nothing.
    pub fn insert(&mut self, gtid: &Gtid) {
        if !self.contains(gtid) {
            self.domains.insert(gtid.domain, *gtid);
        }
    }

    pub fn union(&mut self, other: &Self) {
        for gtid in other.domains.values() {
            self.insert(gtid);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Gtid> {
        self.domains.values()
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, gtid) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            gtid.fmt(f)?;
        }
        Ok(())
    }
}

impl Serialize for Set {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Set {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn parse_gtid(text: &str) -> Option<Gtid> {
    let mut fields = text.split('-').map(str::trim);
    let gtid = Gtid {
        domain: fields.next()?.parse().ok()?,
        server: fields.next()?.parse().ok()?,
        sequence: fields.next()?.parse().ok()?,
    };
    fields.next().is_none().then_some(gtid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_contains_what_other_servers_wrote_earlier_in_the_domain() {
        let set = Set::parse("0-2-9,7-1-3").unwrap();
        assert!(set.contains(&Gtid { domain: 0, server: 1, sequence: 8 }));
        assert!(!set.contains(&Gtid { domain: 0, server: 2, sequence: 10 }));
        assert!(!set.contains(&Gtid { domain: 1, server: 2, sequence: 1 }));
    }

    #[test]
    fn insert_never_goes_back() {
        let mut set = Set::parse("0-2-9").unwrap();
        set.insert(&Gtid { domain: 0, server: 1, sequence: 4 });
        assert_eq!(set.to_string(), "0-2-9");
        set.insert(&Gtid { domain: 0, server: 1, sequence: 10 });
        assert_eq!(set.to_string(), "0-1-10");
    }

    #[test]
    fn nonsense_is_an_error() {
        for text in ["0-1", "0-1-2-3", "a-1-2", "0-1-1,0-2-2"] {
            assert!(Set::parse(text).is_err(), "{text}");
        }
        assert!(Set::parse(" ").unwrap().is_empty());
    }
}
