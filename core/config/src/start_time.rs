//! `--start-time` of start-task: a moment, with or without a time zone.
//!
//! A time without zone is the upstream's wall clock; the caller asks the upstream for its offset. Fails only on texts of
//! another form.

use std::fmt;

use dm_model::UnixMillis;
use jiff::{civil::DateTime, tz::Offset};
use serde::{Deserialize, Serialize};

use crate::Error;

/// A checked start time. Serialized in a form that [`parse`](Self::parse) reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StartTime {
    /// A zone was given.
    At { wall: DateTime, offset: Offset },
    /// To be read in the upstream's time zone.
    Wall(DateTime),
}

impl StartTime {
    /// Reads `2006-01-02 15:04:05` and `2006-01-02T15:04:05`, each alone or followed by `Z`, `+08:00` or `+0800`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        read(text.trim()).ok_or_else(|| Error::StartTime { text: text.to_owned() })
    }

    /// The moment, given how many seconds the upstream's clock is east of UTC. `None` outside of the years 1 to 9999.
    pub fn resolve(self, upstream_offset_seconds: i32) -> Option<UnixMillis> {
        let (wall, offset) = match self {
            Self::At { wall, offset } => (wall, offset),
            Self::Wall(wall) => (wall, Offset::from_seconds(upstream_offset_seconds).ok()?),
        };
        Some(UnixMillis(offset.to_timestamp(wall).ok()?.as_millisecond()))
    }
}

/// `YYYY-MM-DD?HH:MM:SS` is 19 bytes; the zone follows.
fn read(text: &str) -> Option<StartTime> {
    let (wall, zone) = (text.get(..19)?, text.get(19..)?);
    let shape = wall.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        10 => byte == b' ' || byte == b'T',
        13 | 16 => byte == b':',
        _ => byte.is_ascii_digit(),
    });
    if !shape {
        return None;
    }
    let part = |range: std::ops::Range<usize>| wall.get(range)?.parse::<i8>().ok();
    let second = part(17..19).filter(|second| *second < 60)?;
    let year = wall.get(..4)?.parse().ok()?;
    let wall = DateTime::new(year, part(5..7)?, part(8..10)?, part(11..13)?, part(14..16)?, second, 0).ok()?;
    if zone.is_empty() {
        return Some(StartTime::Wall(wall));
    }
    let offset = if zone == "Z" { Offset::UTC } else { read_offset(zone)? };
    Some(StartTime::At { wall, offset })
}

fn read_offset(zone: &str) -> Option<Offset> {
    let (sign, digits) = match zone.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, zone.strip_prefix('+')?),
    };
    let digits = match digits.split_once(':') {
        Some((hours, minutes)) if hours.len() == 2 && minutes.len() == 2 => format!("{hours}{minutes}"),
        Some(_) => return None,
        None => digits.to_owned(),
    };
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i32 = digits.parse().ok()?;
    let (hours, minutes) = (number / 100, number % 100);
    if hours > 23 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

impl fmt::Display for StartTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wall(wall) => write!(f, "{}", wall.strftime("%Y-%m-%dT%H:%M:%S")),
            Self::At { wall, offset } => {
                let minutes = offset.seconds() / 60;
                let sign = if minutes < 0 { '-' } else { '+' };
                let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
                write!(f, "{}{sign}{hours:02}:{minutes:02}", wall.strftime("%Y-%m-%dT%H:%M:%S"))
            }
        }
    }
}

impl TryFrom<String> for StartTime {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl From<StartTime> for String {
    fn from(time: StartTime) -> String {
        time.to_string()
    }
}

#[cfg(test)]
mod tests {
    use dm_model::error::Coded;

    use super::*;

    #[test]
    fn a_zone_decides_over_the_upstreams() {
        for text in [
            "1970-01-01 08:00:01+08:00",
            "1970-01-01T08:00:01+0800",
            "1970-01-01 00:00:01Z",
            "1969-12-31T23:30:01-00:30",
        ] {
            assert_eq!(StartTime::parse(text).unwrap().resolve(3600), Some(UnixMillis(1000)), "{text}");
        }
    }

    #[test]
    fn without_zone_the_upstreams_counts() {
        for text in ["1970-01-01 01:00:01", "1970-01-01T01:00:01"] {
            assert_eq!(StartTime::parse(text).unwrap().resolve(3600), Some(UnixMillis(1000)), "{text}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["2026-01-02 03:04:05", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05-0330"] {
            let time = StartTime::parse(text).unwrap();
            assert_eq!(StartTime::parse(&time.to_string()).unwrap(), time);
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "2026-01-02",
            "2026-01-02 03:04",
            "2026-13-02 03:04:05",
            "2026-02-30 03:04:05",
            "2026-01-02 24:00:00",
            "2026-01-02 03:04:60",
            "2026-01-02 03:04:05 +08:00",
            "2026-01-02 03:04:05+8",
            "2026-01-02 03:04:05+24:00",
            "2026-01-02 03:04:05ä",
            "+026-01-02 03:04:05",
        ] {
            assert_eq!(StartTime::parse(text).unwrap_err().code().number, 60011, "{text}");
        }
    }
}
