//! MySQL GTID sets, with the tags of MySQL 8.3 and later: `uuid:1-5:7:tag:1-3`.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::ParseGtidError;
use crate::Flavor;

/// The longest tag a server accepts.
const MAX_TAG_BYTES: usize = 32;

/// Source id and tag: what a sequence of transaction numbers belongs to. The tag is empty for untagged transactions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sid {
    /// Lower-case hexadecimal text with dashes.
    pub uuid: String,
    pub tag: String,
}

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gtid {
    pub sid: Sid,
    pub number: u64,
}

impl Gtid {
    pub fn new(uuid: impl Into<String>, tag: impl Into<String>, number: u64) -> Self {
        Self { sid: Sid { uuid: uuid.into(), tag: tag.into() }, number }
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sid.tag.is_empty() {
            write!(f, "{}:{}", self.sid.uuid, self.number)
        } else {
            write!(f, "{}:{}:{}", self.sid.uuid, self.sid.tag, self.number)
        }
    }
}

/// Intervals per source id: start to the last number, both in the set. Never empty, never touching.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Set {
    intervals: BTreeMap<Sid, BTreeMap<u64, u64>>,
}

impl Set {
    pub fn parse(text: &str) -> Result<Self, ParseGtidError> {
        let fail = |reason| ParseGtidError { flavor: Flavor::MySql, text: text.to_owned(), reason };
        let mut set = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut fields = part.split(':').map(str::trim);
            let uuid =
                parse_uuid(fields.next().unwrap_or_default()).ok_or_else(|| fail("a source id is not a UUID"))?;
            let mut sid = Sid { uuid, tag: String::new() };
            let mut n_intervals = 0;
            for field in fields {
                if field.is_empty() {
                    return Err(fail("an interval is empty"));
                }
                if is_tag(field) {
                    sid.tag = field.to_ascii_lowercase();
                    continue;
                }
                let (first, last) = parse_interval(field).ok_or_else(|| fail("an interval is not `n` or `n-m`"))?;
                set.insert_interval(&sid, first, last);
                n_intervals += 1;
            }
            if n_intervals == 0 {
                return Err(fail("a source id has no interval"));
            }
        }
        Ok(set)
    }

    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    pub fn contains(&self, gtid: &Gtid) -> bool {
        self.covers(&gtid.sid, gtid.number, gtid.number)
    }

    pub fn contains_set(&self, other: &Self) -> bool {
        other.iter().all(|(sid, first, last)| self.covers(sid, first, last))
    }

    pub fn insert(&mut self, gtid: &Gtid) {
        self.insert_interval(&gtid.sid, gtid.number, gtid.number);
    }

    /// Adds `first..=last`. An interval with `last < first` adds nothing.
    pub fn insert_interval(&mut self, sid: &Sid, first: u64, last: u64) {
        if last < first {
            return;
        }
        if !self.intervals.contains_key(sid) {
            self.intervals.insert(sid.clone(), BTreeMap::new());
        }
        let Some(map) = self.intervals.get_mut(sid) else { return };
        let (mut first, mut last) = (first, last);
        // everything that overlaps or touches is swallowed
        while let Some((&start, &end)) = map.range(..=last.saturating_add(1)).next_back() {
            if end.saturating_add(1) < first {
                break;
            }
            first = first.min(start);
            last = last.max(end);
            map.remove(&start);
        }
        map.insert(first, last);
    }

    pub fn union(&mut self, other: &Self) {
        for (sid, first, last) in other.iter() {
            self.insert_interval(sid, first, last);
        }
    }

    /// What is in `self` and not in `other`.
    pub fn minus(&self, other: &Self) -> Self {
        let mut rest = Self::default();
        for (sid, first, last) in self.iter() {
            let mut from = first;
            for (&start, &end) in other.intervals.get(sid).into_iter().flatten() {
                if end < from || start > last {
                    continue;
                }
                if start > from {
                    rest.insert_interval(sid, from, start - 1);
                }
                from = end.saturating_add(1);
                if from > last {
                    break;
                }
            }
            if from <= last {
                rest.insert_interval(sid, from, last);
            }
        }
        rest
    }

    /// Every interval as (source id, first, last), ordered.
    pub fn iter(&self) -> impl Iterator<Item = (&Sid, u64, u64)> {
        self.intervals.iter().flat_map(|(sid, map)| map.iter().map(move |(&first, &last)| (sid, first, last)))
    }

    fn covers(&self, sid: &Sid, first: u64, last: u64) -> bool {
        self.intervals.get(sid).and_then(|map| map.range(..=first).next_back()).is_some_and(|(_, &end)| end >= last)
    }
}

/// The server's form: source ids in order, tags after the untagged intervals of the same source id.
impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last_uuid = "";
        let mut last_tag = "";
        for (sid, first, last) in self.iter() {
            if sid.uuid != last_uuid {
                if !last_uuid.is_empty() {
                    f.write_str(",")?;
                }
                f.write_str(&sid.uuid)?;
                last_uuid = &sid.uuid;
                last_tag = "";
            }
            if sid.tag != last_tag {
                write!(f, ":{}", sid.tag)?;
                last_tag = &sid.tag;
            }
            if first == last { write!(f, ":{first}")? } else { write!(f, ":{first}-{last}")? }
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

/// Accepts 32 hexadecimal digits with or without dashes and gives the dashed lower-case form.
fn parse_uuid(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    Some(format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]))
}

fn is_tag(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && text.len() <= MAX_TAG_BYTES
}

fn parse_interval(text: &str) -> Option<(u64, u64)> {
    let number = |t: &str| t.trim().parse::<u64>().ok().filter(|n| *n > 0 && *n < i64::MAX as u64);
    match text.split_once('-') {
        Some((first, last)) => Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last),
        None => number(text).map(|n| (n, n)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn set(text: &str) -> Set {
        Set::parse(text).unwrap()
    }

    #[test]
    fn text_of_a_tagged_set_is_read_and_printed_as_the_server_does() {
        let text = format!("{A}:1-81:mytag:1-2,{B}:5");
        assert_eq!(set(&text).to_string(), text);
    }

    #[test]
    fn line_breaks_and_upper_case_are_accepted() {
        assert_eq!(set(&format!("{},\n{B}:1-2:3", A.to_uppercase() + ":1")).to_string(), format!("{A}:1,{B}:1-3"));
        assert!(set("").is_empty());
    }

    #[test]
    fn nonsense_is_an_error() {
        for text in ["x:1", &format!("{A}"), &format!("{A}:0"), &format!("{A}:5-3"), &format!("{A}:1-"), "0-1-2"] {
            assert!(Set::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn minus_leaves_the_holes() {
        assert_eq!(
            set(&format!("{A}:1-10")).minus(&set(&format!("{A}:3-4:7"))).to_string(),
            format!("{A}:1-2:5-6:8-10")
        );
    }

    fn small_set() -> impl Strategy<Value = (Set, std::collections::BTreeSet<(bool, u64)>)> {
        prop::collection::vec((any::<bool>(), 1u64..30, 0u64..6), 0..8).prop_map(|parts| {
            let mut set = Set::default();
            let mut model = std::collections::BTreeSet::new();
            for (which, first, len) in parts {
                let sid = Sid { uuid: if which { A } else { B }.to_owned(), tag: String::new() };
                set.insert_interval(&sid, first, first + len);
                model.extend((first..=first + len).map(|n| (which, n)));
            }
            (set, model)
        })
    }

    fn model_of(set: &Set) -> std::collections::BTreeSet<(bool, u64)> {
        set.iter().flat_map(|(sid, a, b)| (a..=b).map(move |n| (sid.uuid == A, n))).collect()
    }

    proptest! {
        #[test]
        fn sets_behave_as_sets_of_numbers((a, ma) in small_set(), (b, mb) in small_set()) {
            prop_assert_eq!(model_of(&a), ma.clone());
            let mut union = a.clone();
            union.union(&b);
            prop_assert_eq!(model_of(&union), ma.union(&mb).copied().collect());
            prop_assert_eq!(model_of(&a.minus(&b)), ma.difference(&mb).copied().collect());
            prop_assert_eq!(a.contains_set(&b), mb.is_subset(&ma));
            prop_assert_eq!(Set::parse(&a.to_string()).unwrap(), a);
        }
    }
}
