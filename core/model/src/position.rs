//! A place in a server's binlog files.

use std::{cmp::Ordering, fmt};

use serde::{Deserialize, Serialize};

/// File and offset, as in `(mysql-bin.000003, 1234)`. Offsets are 64 bit: a binlog file may pass 4 GiB.
///
/// Order: by the number at the end of the file name, then by offset. Names with different bases have the order of
/// their texts, which only matters for keeping maps.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct BinlogPosition {
    pub file: String,
    pub offset: u64,
}

impl BinlogPosition {
    /// Offset of the first event in a binlog file (after the magic header).
    pub const FIRST_OFFSET: u64 = 4;

    pub fn new(file: impl Into<String>, offset: u64) -> Self {
        Self { file: file.into(), offset }
    }

    pub fn is_empty(&self) -> bool {
        self.file.is_empty()
    }

    /// Splits `base.NNNNNN`; `None` when the name has no numeric ending.
    pub fn split_file(&self) -> Option<(&str, u64)> {
        let (base, number) = self.file.rsplit_once('.')?;
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some((base, number.parse().ok()?))
    }

    /// Reads `file:offset` (as in `-b mysql-bin.000001:3270`) and `(file, offset)`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (file, offset) = match text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) {
            Some(inner) => inner.split_once(',')?,
            None => text.rsplit_once(':')?,
        };
        let position = Self::new(file.trim(), offset.trim().parse().ok()?);
        position.split_file().is_some().then_some(position)
    }
}

impl fmt::Display for BinlogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.file, self.offset)
    }
}

impl Ord for BinlogPosition {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.split_file(), other.split_file()) {
            (Some((_, a)), Some((_, b))) => {
                a.cmp(&b).then(self.offset.cmp(&other.offset)).then_with(|| self.file.cmp(&other.file))
            }
            (None, None) | (Some(_), None) | (None, Some(_)) => {
                self.file.cmp(&other.file).then(self.offset.cmp(&other.offset))
            }
        }
    }
}

impl PartialOrd for BinlogPosition {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_by_file_number_not_by_text() {
        let a = BinlogPosition::new("mysql-bin.999999", 10);
        let b = BinlogPosition::new("mysql-bin.1000000", 4);
        assert!(a < b);
    }

    #[test]
    fn both_spellings_are_read() {
        let want = BinlogPosition::new("mysql-bin.000003", 1234);
        assert_eq!(BinlogPosition::parse("mysql-bin.000003:1234"), Some(want.clone()));
        assert_eq!(BinlogPosition::parse("(mysql-bin.000003, 1234)"), Some(want.clone()));
        assert_eq!(want.to_string(), "(mysql-bin.000003, 1234)");
        assert_eq!(BinlogPosition::parse("mysql-bin:x"), None);
    }
}
