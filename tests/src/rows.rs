//! Are the rows of some source tables and of the target table they were merged into the same?
//!
//! Owns the comparison, over streams, so that tables larger than memory can be compared: tables with an integer key are
//! merged in the order of the key, keyless tables are counted as multisets. [`read`] brings the rows from servers. Never
//! repairs, never samples. Fails when a stream fails or is not in order; a difference is an answer, not a failure.

pub mod read;

use std::{collections::BTreeMap, fmt, iter::Peekable};

use anyhow::{Result, bail};

/// All values of a row as one byte string: equal bytes, equal rows. NULL differs from every value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RowImage(Vec<u8>);

impl RowImage {
    /// From the values of all columns; `None` is NULL.
    pub fn new<'a>(values: impl IntoIterator<Item = Option<&'a [u8]>>) -> Self {
        let mut image = Self(Vec::with_capacity(192));
        for value in values {
            image.push(value);
        }
        image
    }

    /// Adds the next column.
    pub fn push(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.0.extend_from_slice(&u32::MAX.to_le_bytes()),
            Some(bytes) => {
                // Values are shorter than a packet, which is 1 GiB at most.
                let n_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1);
                self.0.extend_from_slice(&n_bytes.to_le_bytes());
                self.0.extend_from_slice(bytes);
            }
        }
    }

    /// The values again.
    fn values(&self) -> Vec<Option<&[u8]>> {
        let mut rest = self.0.as_slice();
        let mut values = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let n_bytes = u32::from_le_bytes(*length);
            if n_bytes == u32::MAX {
                values.push(None);
                rest = after;
            } else {
                let (value, after) = after.split_at(after.len().min(n_bytes as usize));
                values.push(Some(value));
                rest = after;
            }
        }
        values
    }
}

impl fmt::Debug for RowImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, value) in self.values().into_iter().enumerate() {
            if i > 0 {
                f.write_str(" | ")?;
            }
            match value {
                None => f.write_str("NULL")?,
                Some(bytes) => write!(f, "{}", bytes.escape_ascii())?,
            }
        }
        Ok(())
    }
}

/// A row of a table with an integer key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedRow {
    pub key: i64,
    pub image: RowImage,
}

/// What a comparison found. Sums of several add up with [`Differences::add`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Differences {
    /// Rows of all sources.
    pub n_sources: u64,
    /// Rows of the target.
    pub n_target: u64,
    /// Rows of sources whose key the target does not have, or not often enough.
    pub n_missing: u64,
    /// Rows whose key both sides have, with other values.
    pub n_different: u64,
    /// Rows of the target that no source has, or not as often.
    pub n_doubled: u64,
    /// The first few differences, for people.
    pub samples: Vec<String>,
}

impl Differences {
    /// How many samples are kept.
    pub const MAX_SAMPLES: usize = 12;

    /// Rows of sources that the target does not have as they are.
    pub fn n_lost(&self) -> u64 {
        self.n_missing + self.n_different
    }

    pub fn is_equal(&self) -> bool {
        self.n_lost() == 0 && self.n_doubled == 0
    }

    pub fn add(&mut self, other: Self) {
        self.n_sources += other.n_sources;
        self.n_target += other.n_target;
        self.n_missing += other.n_missing;
        self.n_different += other.n_different;
        self.n_doubled += other.n_doubled;
        for sample in other.samples {
            self.sample(|| sample);
        }
    }

    fn sample(&mut self, text: impl FnOnce() -> String) {
        if self.samples.len() < Self::MAX_SAMPLES {
            self.samples.push(text());
        }
    }

    /// Compares the rows of one key.
    fn compare_group(&mut self, key: i64, mut sources: Vec<RowImage>, mut target: Vec<RowImage>) {
        sources.sort_unstable();
        target.sort_unstable();
        let mut left_sources = Vec::new();
        for image in sources {
            match target.binary_search(&image) {
                Ok(at) => {
                    target.remove(at);
                }
                Err(_) => left_sources.push(image),
            }
        }
        let n_different = left_sources.len().min(target.len());
        for (source, target) in left_sources.iter().zip(&target) {
            self.n_different += 1;
            self.sample(|| format!("key {key} differs:\n  source {source:?}\n  target {target:?}"));
        }
        for image in left_sources.iter().skip(n_different) {
            self.n_missing += 1;
            self.sample(|| format!("key {key} is missing in the target:\n  source {image:?}"));
        }
        for image in target.iter().skip(n_different) {
            self.n_doubled += 1;
            self.sample(|| format!("key {key} has no source:\n  target {image:?}"));
        }
    }
}

/// Compares tables with an integer key: every stream in ascending order of the key. A key may be in several sources, and
/// several times in the target.
///
/// # Errors
/// A stream failed or is out of order.
pub fn compare_keyed<S, T>(sources: Vec<S>, target: T) -> Result<Differences>
where
    S: Iterator<Item = Result<KeyedRow>>,
    T: Iterator<Item = Result<KeyedRow>>,
{
    let mut found = Differences::default();
    let mut sources: Vec<Ordered<S>> = sources.into_iter().map(Ordered::new).collect();
    let mut target = Ordered::new(target);
    loop {
        let mut key = target.key()?;
        for source in &mut sources {
            key = match (key, source.key()?) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        let Some(key) = key else { return Ok(found) };
        let mut of_sources = Vec::with_capacity(1);
        for source in &mut sources {
            source.take_all(key, &mut of_sources)?;
        }
        let mut of_target = Vec::with_capacity(1);
        target.take_all(key, &mut of_target)?;
        found.n_sources += of_sources.len() as u64;
        found.n_target += of_target.len() as u64;
        if of_sources != of_target {
            found.compare_group(key, of_sources, of_target);
        }
    }
}

/// A stream whose order is checked while it is read.
struct Ordered<I: Iterator<Item = Result<KeyedRow>>> {
    rows: Peekable<I>,
    last: Option<i64>,
}

impl<I: Iterator<Item = Result<KeyedRow>>> Ordered<I> {
    fn new(rows: I) -> Self {
        Self { rows: rows.peekable(), last: None }
    }

    /// The key of the next row.
    fn key(&mut self) -> Result<Option<i64>> {
        let key = match self.rows.peek() {
            None => return Ok(None),
            Some(Ok(row)) => row.key,
            Some(Err(_)) => match self.rows.next() {
                Some(Err(error)) => return Err(error),
                Some(Ok(_)) | None => return Ok(None),
            },
        };
        if self.last.is_some_and(|last| key < last) {
            bail!("rows are not in the order of their key: {key} after {}", self.last.unwrap_or_default());
        }
        Ok(Some(key))
    }

    fn take_all(&mut self, key: i64, into: &mut Vec<RowImage>) -> Result<()> {
        while self.key()? == Some(key) {
            if let Some(Ok(row)) = self.rows.next() {
                into.push(row.image);
            }
            self.last = Some(key);
        }
        Ok(())
    }
}

/// Compares tables without a key as multisets: in any order, but as often. A row with another value counts as one that is
/// missing and one that no source has.
///
/// # Errors
/// A stream failed.
pub fn compare_keyless<S, T>(sources: S, target: T) -> Result<Differences>
where
    S: Iterator<Item = Result<RowImage>>,
    T: Iterator<Item = Result<RowImage>>,
{
    let mut found = Differences::default();
    let mut counts: BTreeMap<RowImage, (u64, u64)> = BTreeMap::new();
    for image in sources {
        counts.entry(image?).or_default().0 += 1;
        found.n_sources += 1;
    }
    for image in target {
        counts.entry(image?).or_default().1 += 1;
        found.n_target += 1;
    }
    for (image, (in_sources, in_target)) in counts {
        if in_sources != in_target {
            found.n_missing += in_sources.saturating_sub(in_target);
            found.n_doubled += in_target.saturating_sub(in_sources);
            found.sample(|| format!("{in_sources} times in the sources, {in_target} in the target:\n  {image:?}"));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
