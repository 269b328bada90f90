//! A map by entry that takes little more than its values: entries come about in order, and are asked for by bucket.

use super::completed::{BUCKET_ENTRIES, bucket_entries};
use super::manifest::EntryIndex;
use std::collections::BTreeMap;

/// Values by entry, in the buckets of [`super::completed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets<T> {
    /// Each in order: place in the bucket, value. None is empty.
    buckets: BTreeMap<u64, Vec<(u16, T)>>,
}

impl<T> Default for Buckets<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Buckets<T> {
    /// No entry.
    #[must_use]
    pub const fn new() -> Self {
        Self { buckets: BTreeMap::new() }
    }

    /// Adds an entry, or replaces its value. Constant time in entry order.
    pub fn insert(&mut self, entry: EntryIndex, value: T) {
        let (bucket, place) = split(entry);
        let entries = self.buckets.entry(bucket).or_default();
        match position(entries, place) {
            Ok(at) => entries[at].1 = value,
            Err(at) => entries.insert(at, (place, value)),
        }
    }

    /// Takes an entry out.
    pub fn remove(&mut self, entry: EntryIndex) {
        let (bucket, place) = split(entry);
        let Some(entries) = self.buckets.get_mut(&bucket) else { return };
        if let Ok(at) = position(entries, place) {
            entries.remove(at);
        }
        if entries.is_empty() {
            self.buckets.remove(&bucket);
        }
    }

    /// The value of an entry.
    #[must_use]
    pub fn get(&self, entry: EntryIndex) -> Option<&T> {
        let (bucket, place) = split(entry);
        let entries = self.buckets.get(&bucket)?;
        let at = position(entries, place).ok()?;
        entries.get(at).map(|(_, value)| value)
    }

    /// How many buckets have an entry.
    #[must_use]
    pub fn bucket_count(&self) -> usize {
        self.buckets.len()
    }

    /// The buckets that have an entry, in order.
    pub fn buckets(&self) -> impl Iterator<Item = u64> + '_ {
        self.buckets.keys().copied()
    }

    /// The entries of a bucket with their values, in order.
    pub fn of_bucket(&self, bucket: u64) -> impl Iterator<Item = (EntryIndex, &T)> {
        let entries = self.buckets.get(&bucket).into_iter().flatten();
        entries.map(move |(place, value)| (entry_of(bucket, *place), value))
    }

    /// Takes the first bucket out, with its entries in order.
    pub fn pop_bucket(&mut self) -> Option<(u64, impl Iterator<Item = (EntryIndex, T)> + use<T>)> {
        let (bucket, entries) = self.buckets.pop_first()?;
        let entries = entries.into_iter();
        Some((bucket, entries.map(move |(place, value)| (entry_of(bucket, place), value))))
    }

    /// All entries with their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (EntryIndex, &T)> {
        self.buckets().flat_map(|bucket| self.of_bucket(bucket))
    }

    /// How many entries there are: counted anew.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buckets.values().map(Vec::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
}

/// The bucket of an entry.
pub(super) const fn bucket_of(entry: EntryIndex) -> u64 {
    entry / BUCKET_ENTRIES
}

fn split(entry: EntryIndex) -> (u64, u16) {
    (bucket_of(entry), u16::try_from(entry % BUCKET_ENTRIES).unwrap_or(u16::MAX))
}

fn entry_of(bucket: u64, place: u16) -> EntryIndex {
    bucket_entries(bucket).start + u64::from(place)
}

fn position<T>(entries: &[(u16, T)], place: u16) -> Result<usize, usize> {
    entries.binary_search_by_key(&place, |(place, _)| *place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_behave_like_a_map(operations in prop::collection::vec((any::<bool>(), 4_090_u64..4_102, any::<u64>()), 0..60)) {
            let (mut buckets, mut map) = (Buckets::new(), BTreeMap::new());
            for (is_insert, entry, value) in operations {
                if is_insert {
                    buckets.insert(entry, value);
                    map.insert(entry, value);
                } else {
                    buckets.remove(entry);
                    map.remove(&entry);
                }
                prop_assert_eq!(buckets.get(entry), map.get(&entry));
                prop_assert_eq!(buckets.len(), map.len());
                prop_assert_eq!(buckets.is_empty(), map.is_empty());
            }
            let all: Vec<_> = buckets.iter().map(|(entry, value)| (entry, *value)).collect();
            prop_assert_eq!(all, map.into_iter().collect::<Vec<_>>());
        }
    }
}
