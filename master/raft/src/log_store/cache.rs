//! The newest entries in memory. Entries not yet on disk are always here; others until the byte limit pushes them out,
//! oldest first. Reads never see an entry half: it is here or on disk.

use std::collections::BTreeMap;

use crate::types::Entry;

#[derive(Debug)]
pub(crate) struct Cache {
    entries: BTreeMap<u64, (Entry, usize)>,
    n_bytes: usize,
    max_bytes: usize,
}

impl Cache {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { entries: BTreeMap::new(), n_bytes: 0, max_bytes }
    }

    pub(crate) fn insert(&mut self, entry: Entry, n_bytes: usize) {
        let index = entry.log_id.index;
        if let Some((_, old)) = self.entries.insert(index, (entry, n_bytes)) {
            self.n_bytes -= old;
        }
        self.n_bytes += n_bytes;
    }

    /// Everything up to `index` is on disk now.
    pub(crate) fn flushed(&mut self, index: u64) {
        while self.n_bytes > self.max_bytes {
            let Some(first) = self.entries.first_entry().filter(|first| *first.key() <= index) else { return };
            self.n_bytes -= first.remove().1;
        }
    }

    /// Entries from `from` on are gone.
    pub(crate) fn truncate(&mut self, from: u64) {
        let removed = self.entries.split_off(&from);
        self.n_bytes -= removed.values().map(|(_, n_bytes)| n_bytes).sum::<usize>();
    }

    /// Entries up to `upto` are gone.
    pub(crate) fn purge(&mut self, upto: u64) {
        let kept = self.entries.split_off(&(upto + 1));
        let removed = std::mem::replace(&mut self.entries, kept);
        self.n_bytes -= removed.values().map(|(_, n_bytes)| n_bytes).sum::<usize>();
    }

    /// The first entry here that is not below `index`. Those between are on disk.
    pub(crate) fn first_from(&self, index: u64) -> Option<u64> {
        self.entries.range(index..).next().map(|(index, _)| *index)
    }

    /// The entries from `start` on that are here without a gap, below `end`, and not more than `max_bytes` of them but
    /// for the first. Empty when `start` itself is not here.
    pub(crate) fn run(&self, start: u64, end: u64, max_bytes: usize) -> Vec<Entry> {
        let mut n_bytes = 0usize;
        self.entries
            .range(start..end)
            .zip(start..)
            .take_while(|((index, (_, size)), expected)| {
                n_bytes = n_bytes.saturating_add(*size);
                *index == expected && (n_bytes <= max_bytes || *expected == start)
            })
            .map(|((_, (entry, _)), _)| entry.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use openraft::{EntryPayload, vote::RaftLeaderId as _};

    use super::*;
    use crate::types::{LeaderId, LogId};

    fn filled(max_bytes: usize, upto: u64) -> Cache {
        let mut cache = Cache::new(max_bytes);
        for index in 0..=upto {
            cache.insert(Entry { log_id: LogId::new(LeaderId::new(1, 1), index), payload: EntryPayload::Blank }, 10);
        }
        cache
    }

    fn indexes(cache: &Cache, start: u64, end: u64, max_bytes: usize) -> Vec<u64> {
        cache.run(start, end, max_bytes).into_iter().map(|entry| entry.log_id.index).collect()
    }

    #[test]
    fn entries_not_on_disk_are_never_pushed_out() {
        let mut cache = filled(20, 3);
        assert_eq!(indexes(&cache, 0, 4, usize::MAX), [0, 1, 2, 3]);
        cache.flushed(0);
        assert_eq!(indexes(&cache, 1, 4, usize::MAX), [1, 2, 3]);
        assert!(indexes(&cache, 0, 4, usize::MAX).is_empty());
        assert_eq!(cache.first_from(0), Some(1));
        cache.flushed(3);
        assert_eq!(indexes(&cache, 2, 4, usize::MAX), [2, 3]);
    }

    #[test]
    fn a_limited_read_gives_at_least_one_entry() {
        let cache = filled(1000, 9);
        assert_eq!(indexes(&cache, 0, 10, 1), [0]);
        assert_eq!(indexes(&cache, 0, 10, 25), [0, 1]);
    }

    #[test]
    fn truncated_and_purged_entries_are_gone() {
        let mut cache = filled(1000, 9);
        cache.truncate(5);
        cache.purge(1);
        assert!(indexes(&cache, 1, 3, usize::MAX).is_empty());
        assert_eq!(indexes(&cache, 2, 10, usize::MAX), [2, 3, 4]);
        assert_eq!(cache.n_bytes, 30);
    }
}
