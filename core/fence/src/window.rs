//! Unit numbers and the set of those committed above a watermark.
//!
//! A window never spans more than [`Window::SPAN`] numbers above the watermark it is written with: that bounds the row
//! in the target and the work in flight. Bytes from a target that are no window are refused, never guessed.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// The number of a unit (a source transaction, a slice of one, or a DDL). Counted from the subtask's start, before any
/// filter, so that a restart numbers the same stream in the same way. The first unit has number 1; 0 is "nothing yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnitNumber(pub u64);

impl UnitNumber {
    /// The number after this one; stays at the largest number.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for UnitNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number that a window above `low` cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("unit {unit} is outside the window of {} units above {low}", Window::SPAN)]
pub struct OutOfWindow {
    pub unit: UnitNumber,
    pub low: UnitNumber,
}

/// Bytes of a lane row that are not a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CorruptWindow {
    #[error("the window has format {format}, this version reads format 1")]
    Format { format: u8 },
    #[error("the window has {n_bytes} bytes, more than a window can have")]
    TooLong { n_bytes: usize },
    #[error("the window above {low} reaches past the largest unit number")]
    Overflow { low: UnitNumber },
}

/// Units above a watermark that are committed.
///
/// Sparse words of 64 numbers. No word is zero, so equal sets are equal values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Window {
    words: BTreeMap<u64, u64>,
}

impl Window {
    /// How far above the watermark a unit may be. Also the back pressure: the oldest unfinished unit and the newest
    /// finished one are never further apart.
    pub const SPAN: u64 = 16_384;

    const FORMAT: u8 = 1;

    pub fn new() -> Self {
        Self::default()
    }

    pub fn contains(&self, unit: UnitNumber) -> bool {
        self.words.get(&(unit.0 / 64)).is_some_and(|word| word & (1 << (unit.0 % 64)) != 0)
    }

    /// Adds a committed unit; `low` is the watermark written with it.
    ///
    /// A unit at or below `low` needs no bit and is not added. More than [`Self::SPAN`] above it is an error, and
    /// nothing changes.
    pub fn insert(&mut self, low: UnitNumber, unit: UnitNumber) -> Result<(), OutOfWindow> {
        if unit > low {
            if unit.0 - low.0 > Self::SPAN {
                return Err(OutOfWindow { unit, low });
            }
            self.set(unit);
        }
        Ok(())
    }

    /// Forgets every number that `low` covers.
    pub fn drop_up_to(&mut self, low: UnitNumber) {
        let Some(first_kept) = low.0.checked_add(1) else {
            self.words.clear();
            return;
        };
        let mut kept = self.words.split_off(&(first_kept / 64));
        if let Some(word) = kept.get_mut(&(first_kept / 64)) {
            *word &= !0 << (first_kept % 64);
            if *word == 0 {
                kept.remove(&(first_kept / 64));
            }
        }
        self.words = kept;
    }

    pub fn union(&mut self, other: &Window) {
        for (&index, &bits) in &other.words {
            *self.words.entry(index).or_default() |= bits;
        }
    }

    /// True when every number of `other` is in `self`.
    pub fn contains_all(&self, other: &Window) -> bool {
        other.words.iter().all(|(index, bits)| bits & !self.words.get(index).copied().unwrap_or(0) == 0)
    }

    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = UnitNumber> {
        self.words.iter().flat_map(|(&index, &bits)| {
            (0..64).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| UnitNumber(index * 64 + bit))
        })
    }

    pub fn first(&self) -> Option<UnitNumber> {
        self.words.first_key_value().map(|(index, bits)| UnitNumber(index * 64 + u64::from(bits.trailing_zeros())))
    }

    pub fn last(&self) -> Option<UnitNumber> {
        self.words.last_key_value().map(|(index, bits)| UnitNumber(index * 64 + 63 - u64::from(bits.leading_zeros())))
    }

    pub fn len(&self) -> u64 {
        self.words.values().map(|bits| u64::from(bits.count_ones())).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// True when a row with watermark `low` can hold this window.
    pub fn fits(&self, low: UnitNumber) -> bool {
        self.last().is_none_or(|last| last <= low || last.0 - low.0 <= Self::SPAN)
    }

    /// The bytes of column `done` for a row with watermark `low`: one format byte and a bitmap whose bit 0 is
    /// `low + 1`; no bytes at all when nothing is above `low`. At most `1 + SPAN / 8` bytes for a window that
    /// [fits](Self::fits); numbers further up are left out.
    pub fn encode(&self, low: UnitNumber) -> Vec<u8> {
        let mut bytes = Vec::new();
        for unit in self.iter().filter(|unit| *unit > low) {
            let bit = unit.0 - low.0 - 1;
            if bit >= Self::SPAN {
                break;
            }
            let byte = 1 + usize::try_from(bit / 8).expect("invariant: SPAN / 8 fits in usize");
            if bytes.is_empty() {
                bytes.push(Self::FORMAT);
            }
            if bytes.len() <= byte {
                bytes.resize(byte + 1, 0);
            }
            bytes[byte] |= 1 << (bit % 8);
        }
        bytes
    }

    /// Reads what [`Self::encode`] wrote for a row with watermark `low`.
    pub fn decode(bytes: &[u8], low: UnitNumber) -> Result<Self, CorruptWindow> {
        let Some((&format, bitmap)) = bytes.split_first() else {
            return Ok(Self::new());
        };
        if format != Self::FORMAT {
            return Err(CorruptWindow::Format { format });
        }
        if bitmap.len() as u64 > Self::SPAN / 8 {
            return Err(CorruptWindow::TooLong { n_bytes: bytes.len() });
        }
        let mut window = Self::new();
        for (at, byte) in bitmap.iter().enumerate() {
            for bit in (0..8).filter(|bit| byte & (1 << bit) != 0) {
                let unit = low.0.checked_add(1 + at as u64 * 8 + bit).ok_or(CorruptWindow::Overflow { low })?;
                window.set(UnitNumber(unit));
            }
        }
        Ok(window)
    }

    fn set(&mut self, unit: UnitNumber) {
        *self.words.entry(unit.0 / 64).or_default() |= 1 << (unit.0 % 64);
    }
}

/// Ranges, as in `5-7,9`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = numbers.next() {
            let mut last = first;
            while let Some(next) = numbers.next_if(|next| *next == last.next()) {
                last = next;
            }
            write!(f, "{separator}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
