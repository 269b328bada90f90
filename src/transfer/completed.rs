//! Which files are complete, and with which content: told in one digest for every 4,096 entries, and entry by entry only
//! where the two ends differ (X7, F-20, F-21).

use super::manifest::EntryIndex;
use super::merge::Value;
use std::collections::BTreeMap;

/// Entries that share one digest: 245 of them, 8 KB, speak for a million files.
pub const BUCKET_ENTRIES: u64 = 4_096;

/// Buckets that are being expanded at once, at most: 1.3 MB of entries.
pub const EXPAND_MAX: usize = 8;

const CONTEXT: &str = "rejoin 2026 completed files v1";

/// The entries of a bucket.
#[must_use]
pub const fn bucket_entries(bucket: u64) -> std::ops::Range<EntryIndex> {
    let start = bucket.saturating_mul(BUCKET_ENTRIES);
    start..start.saturating_add(BUCKET_ENTRIES)
}

/// The digest of a bucket: over the index (8 bytes, little endian) and the root of each complete file of it, in order.
#[must_use]
pub fn digest(files: impl IntoIterator<Item = (EntryIndex, Value)>) -> Value {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    for (entry, root) in files {
        hasher.update(&entry.to_le_bytes()).update(&root);
    }
    *hasher.finalize().as_bytes()
}

/// Complete files with their roots: 34 bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    /// By bucket, each in order: place in the bucket, root.
    buckets: BTreeMap<u64, Vec<(u16, Value)>>,
}

impl Completed {
    /// Adds a file, or replaces its root. Constant time in entry order.
    pub fn insert(&mut self, entry: EntryIndex, root: Value) {
        let (bucket, place) = split(entry);
        let files = self.buckets.entry(bucket).or_default();
        match files.binary_search_by_key(&place, |(place, _)| *place) {
            Ok(at) => files[at].1 = root,
            Err(at) => files.insert(at, (place, root)),
        }
    }

    /// Takes a file out.
    pub fn remove(&mut self, entry: EntryIndex) {
        let (bucket, place) = split(entry);
        let Some(files) = self.buckets.get_mut(&bucket) else {
            return;
        };
        if let Ok(at) = files.binary_search_by_key(&place, |(place, _)| *place) {
            files.remove(at);
        }
        if files.is_empty() {
            self.buckets.remove(&bucket);
        }
    }

    /// The root of a complete file.
    #[must_use]
    pub fn root(&self, entry: EntryIndex) -> Option<Value> {
        let (bucket, place) = split(entry);
        let files = self.buckets.get(&bucket)?;
        let at = files.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        files.get(at).map(|(_, root)| *root)
    }

    /// Each bucket that has a file, with its digest, in order.
    #[must_use]
    pub fn digests(&self) -> Vec<(u64, Value)> {
        self.buckets.keys().map(|&bucket| (bucket, digest(self.files(bucket)))).collect()
    }

    /// The files of a bucket, in order.
    pub fn files(&self, bucket: u64) -> impl Iterator<Item = (EntryIndex, Value)> + '_ {
        let start = bucket_entries(bucket).start;
        self.buckets
            .get(&bucket)
            .into_iter()
            .flatten()
            .map(move |(place, root)| (start + u64::from(*place), *root))
    }
}

impl FromIterator<(EntryIndex, Value)> for Completed {
    fn from_iter<I: IntoIterator<Item = (EntryIndex, Value)>>(files: I) -> Self {
        let mut completed = Self::default();
        files.into_iter().for_each(|(entry, root)| completed.insert(entry, root));
        completed
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
        fn completed_files_behave_like_a_map(operations in prop::collection::vec((any::<bool>(), 4_000_u64..4_200, any::<u8>()), 0..80)) {
            let (mut completed, mut map) = (Completed::default(), BTreeMap::new());
            for (insert, entry, root) in operations {
                if insert {
                    completed.insert(entry, [root; 32]);
                    map.insert(entry, [root; 32]);
                } else {
                    completed.remove(entry);
                    map.remove(&entry);
                }
                prop_assert_eq!(completed.root(entry), map.get(&entry).copied());
            }
            let files: Vec<_> = completed.digests().iter().flat_map(|(bucket, _)| completed.files(*bucket)).collect();
            prop_assert_eq!(&files, &map.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(&files.into_iter().collect::<Completed>(), &completed);
            for (bucket, value) in completed.digests() {
                let entries = bucket_entries(bucket);
                prop_assert_eq!(value, digest(map.range(entries).map(|(entry, root)| (*entry, *root))));
            }
        }
    }

    #[test]
    fn a_digest_depends_on_every_index_and_every_root() {
        let files = [(3, [1; 32]), (9, [2; 32])];
        let all = [
            digest(files),
            digest([(4, [1; 32]), (9, [2; 32])]),
            digest([(3, [1; 32]), (9, [3; 32])]),
            digest([(3, [2; 32]), (9, [1; 32])]),
            digest([(3, [1; 32])]),
            digest([]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[..at].contains(one), "{at}");
        }
    }
}
