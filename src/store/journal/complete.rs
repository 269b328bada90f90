//! Which entries are complete, while a journal is read: 16 bytes each, where their roots would be three times that. The
//! journal has the roots, and is asked for those of a bucket at a time.

use crate::transfer::completed::{BUCKET_ENTRIES, bucket_entries};
use crate::transfer::manifest::EntryIndex;
use std::collections::BTreeMap;

/// Complete entries with their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct CompleteEntries {
    /// By bucket, each in order: place in the bucket, bytes.
    buckets: BTreeMap<u64, Vec<(u16, u64)>>,
    count: usize,
}

impl CompleteEntries {
    /// Constant time in entry order.
    pub(super) fn insert(&mut self, entry: EntryIndex, bytes: u64) {
        let (bucket, place) = split(entry);
        let entries = self.buckets.entry(bucket).or_default();
        match entries.binary_search_by_key(&place, |(place, _)| *place) {
            Ok(at) => entries[at].1 = bytes,
            Err(at) => {
                entries.insert(at, (place, bytes));
                self.count += 1;
            }
        }
    }

    pub(super) fn remove(&mut self, entry: EntryIndex) {
        let (bucket, place) = split(entry);
        let Some(entries) = self.buckets.get_mut(&bucket) else { return };
        if let Ok(at) = entries.binary_search_by_key(&place, |(place, _)| *place) {
            entries.remove(at);
            self.count -= 1;
        }
        if entries.is_empty() {
            self.buckets.remove(&bucket);
        }
    }

    pub(super) fn contains(&self, entry: EntryIndex) -> bool {
        let (bucket, place) = split(entry);
        self.buckets.get(&bucket).is_some_and(|entries| {
            entries.binary_search_by_key(&place, |(place, _)| *place).is_ok()
        })
    }

    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// Those that have an entry, in order.
    pub(super) fn buckets(&self) -> impl Iterator<Item = u64> + '_ {
        self.buckets.keys().copied()
    }

    /// The entries of a bucket with their bytes, in order.
    pub(super) fn of_bucket(&self, bucket: u64) -> impl Iterator<Item = (EntryIndex, u64)> + '_ {
        let start = bucket_entries(bucket).start;
        let entries = self.buckets.get(&bucket).into_iter().flatten();
        entries.map(move |(place, bytes)| (start + u64::from(*place), *bytes))
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (EntryIndex, u64)> + '_ {
        self.buckets().flat_map(|bucket| self.of_bucket(bucket))
    }
}

fn split(entry: EntryIndex) -> (u64, u16) {
    (entry / BUCKET_ENTRIES, u16::try_from(entry % BUCKET_ENTRIES).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_behave_like_a_map(operations in prop::collection::vec((any::<bool>(), 4_090_u64..4_102, any::<u64>()), 0..60)) {
            let (mut complete, mut map) = (CompleteEntries::default(), BTreeMap::new());
            for (is_insert, entry, bytes) in operations {
                if is_insert {
                    complete.insert(entry, bytes);
                    map.insert(entry, bytes);
                } else {
                    complete.remove(entry);
                    map.remove(&entry);
                }
                prop_assert_eq!(complete.contains(entry), is_insert);
                prop_assert_eq!(complete.len(), map.len());
            }
            prop_assert_eq!(complete.iter().collect::<Vec<_>>(), map.into_iter().collect::<Vec<_>>());
        }
    }
}
