//! What the task's `mydumpers` and `loaders` sections mean for a copy without files.
//!
//! Owns `extra-args`. What changes which rows are copied is honoured or refused; what only concerned files is named in
//! `ignored`, for the log. Pure.

use dm_config::{
    SubtaskConfig,
    task::{DumpOptions, OnDuplicate},
};

use super::error::Error;
use crate::unit::incarnation::n_lanes;

/// How the position of the readers' view is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consistency {
    /// Without a lock where the server tells the position of a view, else `Flush`, else `Lock`, else `None`.
    Auto,
    /// `FLUSH TABLES WITH READ LOCK` for the moment.
    Flush,
    /// `LOCK TABLES … READ` for the moment.
    Lock,
    /// No lock: a moment in which nothing is written.
    None,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    /// Chunks copied at a time: each has a source and a target connection.
    pub(super) n_pairs: usize,
    pub(super) chunk_bytes: u64,
    pub(super) chunk_rows: u64,
    /// The task's `where`.
    pub(super) filter: Option<String>,
    pub(super) consistency: Consistency,
    pub(super) on_duplicate: OnDuplicate,
    /// Settings that mean nothing here.
    pub(super) ignored: Vec<String>,
}

impl Options {
    /// More pairs than this do not pay: the target is the bottleneck by then.
    pub(super) const MAX_PAIRS: usize = 8;

    pub(super) fn of(config: &SubtaskConfig) -> Result<Self, Error> {
        let mut options = Self {
            n_pairs: 1,
            chunk_bytes: config.dump.chunk_filesize_bytes.max(1 << 16),
            chunk_rows: config.dump.rows.max(1),
            filter: Some(config.dump.condition.trim().to_owned()).filter(|text| !text.is_empty()),
            consistency: Consistency::Auto,
            on_duplicate: config.load.on_duplicate_logical,
            ignored: Vec::new(),
        };
        let mut n_readers = config.dump.threads;
        options.read_extra_args(&config.dump, &mut n_readers)?;
        let n_pairs = n_readers.min(config.load.pool_size).min(u32::from(n_lanes(config)));
        options.n_pairs = usize::try_from(n_pairs).unwrap_or(Self::MAX_PAIRS).clamp(1, Self::MAX_PAIRS);
        Ok(options)
    }

    fn read_extra_args(&mut self, dump: &DumpOptions, n_readers: &mut u32) -> Result<(), Error> {
        let mut words = words(&dump.extra_args).into_iter().peekable();
        while let Some(word) = words.next() {
            let (flag, mut value) = match word.split_once('=') {
                Some((flag, value)) if flag.starts_with('-') => (flag.to_owned(), Some(value.to_owned())),
                Some(_) | None => (word.clone(), None),
            };
            let refuse = || Error::Option { option: word.clone() };
            let takes_value = !matches!(
                flag.as_str(),
                "-W" | "--no-views" | "--no-locks" | "--escape-backslash" | "--transactional-consistency"
            );
            if takes_value && value.is_none() {
                value = words.next_if(|next| !next.starts_with('-'));
            }
            let number = || value.as_deref().and_then(|text| text.parse::<u64>().ok()).filter(|n| *n > 0);
            match flag.as_str() {
                "-t" | "--threads" => {
                    *n_readers = number().and_then(|n| u32::try_from(n).ok()).ok_or_else(refuse)?;
                }
                "-r" | "--rows" => self.chunk_rows = number().ok_or_else(refuse)?,
                "--where" => self.filter = Some(value.ok_or_else(refuse)?),
                "--no-locks" => self.consistency = Consistency::None,
                "--consistency" => {
                    self.consistency = match value.as_deref() {
                        Some("auto") => Consistency::Auto,
                        Some("flush") => Consistency::Flush,
                        Some("lock") => Consistency::Lock,
                        Some("none") => Consistency::None,
                        Some(_) | None => return Err(refuse()),
                    };
                }
                // Files and how they are written.
                "-F"
                | "--filesize"
                | "-s"
                | "--statement-size"
                | "-W"
                | "--no-views"
                | "--escape-backslash"
                | "--transactional-consistency"
                | "--ca"
                | "--cert"
                | "--key"
                | "-o"
                | "--output"
                | "--filetype"
                | "--compress"
                | "--params" => self.ignored.push(flag),
                // -B, -T, -f and --snapshot copy other rows than the rules say.
                _ => return Err(refuse()),
            }
        }
        Ok(())
    }

    /// Bytes of a chunk of a table with such rows, so that neither limit is passed.
    pub(super) fn chunk_bytes_of(&self, estimate: dm_sync_core::chunk::Estimate) -> u64 {
        let row_bytes = estimate.n_bytes / estimate.n_rows.max(1);
        self.chunk_bytes.min(self.chunk_rows.saturating_mul(row_bytes.max(1)))
    }
}

/// Words as a shell would cut them: by blanks, with single and double quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(extra_args: &str) -> Result<(Options, u32), Error> {
        let dump = DumpOptions {
            threads: 4,
            chunk_filesize_bytes: 64 << 20,
            statement_size_bytes: 0,
            rows: 200_000,
            condition: String::new(),
            skip_tz_utc: true,
            extra_args: extra_args.to_owned(),
            mydumper_path: String::new(),
        };
        let mut options = Options {
            n_pairs: 1,
            chunk_bytes: dump.chunk_filesize_bytes,
            chunk_rows: dump.rows,
            filter: None,
            consistency: Consistency::Auto,
            on_duplicate: OnDuplicate::Replace,
            ignored: Vec::new(),
        };
        let mut n_readers = 4;
        options.read_extra_args(&dump, &mut n_readers)?;
        Ok((options, n_readers))
    }

    #[test]
    fn what_selects_rows_is_honoured() {
        let (options, n_readers) = read("--consistency none -t 2 --rows=50 --where \"a > 1 AND b = 'x y'\"").unwrap();
        assert_eq!(options.consistency, Consistency::None);
        assert_eq!((n_readers, options.chunk_rows), (2, 50));
        assert_eq!(options.filter.as_deref(), Some("a > 1 AND b = 'x y'"));
    }

    #[test]
    fn what_concerns_files_is_ignored_by_name() {
        let (options, _) = read("-F 64MiB --escape-backslash --no-views --no-locks").unwrap();
        assert_eq!(options.ignored, ["-F", "--escape-backslash", "--no-views"]);
        assert_eq!(options.consistency, Consistency::None);
    }

    #[test]
    fn what_would_copy_other_rows_is_refused() {
        for text in ["-B shop", "--snapshot 4000", "-T a.b", "--consistency snapshot", "-r", "-r 0", "stray"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn both_limits_bound_a_chunk() {
        let (options, _) = read("-r 1000").unwrap();
        let estimate = dm_sync_core::chunk::Estimate { n_rows: 1_000_000, n_bytes: 100_000_000 };
        assert_eq!(options.chunk_bytes_of(estimate), 100_000);
    }
}
