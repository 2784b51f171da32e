//! Time zones of a task: an IANA name, or an offset MySQL accepts.
//!
//! Names are checked against a built-in database, so that the answer does not depend on the machine.

use std::fmt;

use jiff::tz::TimeZoneDatabase;
use serde::{Deserialize, Serialize};

use crate::Error;

/// A checked time zone, in the user's spelling: what `SET time_zone` gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimeZone(String);

impl TimeZone {
    /// `SYSTEM` and `Local` are refused: they mean another zone on every machine.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let valid = match text.as_bytes().first() {
            Some(b'+' | b'-') => offset_seconds(text).is_some(),
            Some(_) => {
                let machine = ["system", "local", "localtime"].iter().any(|name| text.eq_ignore_ascii_case(name));
                !machine && TimeZoneDatabase::bundled().get(text).is_ok()
            }
            None => false,
        };
        if valid { Ok(Self(text.to_owned())) } else { Err(Error::Timezone { text: text.to_owned() }) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Seconds east of UTC when the zone is a fixed offset.
    pub fn fixed_offset_seconds(&self) -> Option<i32> {
        offset_seconds(&self.0)
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `+hh:mm` from -12:59 to +14:00.
fn offset_seconds(text: &str) -> Option<i32> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, minutes) = digits.split_once(':')?;
    let number = |text: &str, widths: std::ops::RangeInclusive<usize>| -> Option<i32> {
        let digits_only = widths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        digits_only.then(|| text.parse().ok())?
    };
    let (hours, minutes) = (number(hours, 1..=2)?, number(minutes, 2..=2)?);
    let total = sign * (hours * 60 + minutes);
    (minutes < 60 && (-(12 * 60 + 59)..=14 * 60).contains(&total)).then_some(total * 60)
}

#[cfg(test)]
mod tests {
    use dm_model::error::Coded;

    use super::*;

    #[test]
    fn names_and_offsets_are_checked() {
        for text in ["Asia/Shanghai", "UTC", "+00:00", "-12:59", "+14:00", "+8:00", "America/Argentina/Buenos_Aires"] {
            assert!(TimeZone::parse(text).is_ok(), "{text}");
        }
        for text in ["", "SYSTEM", "system", "Local", "+14:01", "-13:00", "+08", "8:00", "Mars/Base", "+08:60"] {
            assert_eq!(TimeZone::parse(text).unwrap_err().code().number, 20008, "{text}");
        }
        assert_eq!(TimeZone::parse("-01:30").unwrap().fixed_offset_seconds(), Some(-5400));
    }
}
