//! Which files are complete, and with which content: told in one digest for every 4,096 entries, and entry by entry only
//! where the two ends differ (X7, F-20, F-21).

use super::buckets::{Buckets, bucket_of};
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

/// Buckets whose roots are kept, at most, 140 KB each: files become complete about in order, in less than these.
const OPEN_MAX: usize = 16;

/// Complete files: their roots where buckets fill, one digest for the rest. The journal has every root, and what it
/// does not say is taken from it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    open_max: usize,
    /// Roots, of the buckets that fill.
    open: Buckets<Value>,
    /// Digests of the other buckets; `None` once a file came in or went out since.
    sealed: BTreeMap<u64, Option<Value>>,
}

impl Default for Completed {
    fn default() -> Self {
        Self::with_open(OPEN_MAX)
    }
}

impl Completed {
    /// No file yet, and at most so many buckets whose roots are kept: fewer than by default in tests.
    #[must_use]
    pub const fn with_open(open_max: usize) -> Self {
        Self { open_max, open: Buckets::new(), sealed: BTreeMap::new() }
    }

    /// Adds a file, or replaces its root. Constant time in entry order.
    pub fn insert(&mut self, entry: EntryIndex, root: Value) {
        if let Some(digest) = self.sealed.get_mut(&bucket_of(entry)) {
            *digest = None;
            return;
        }
        self.open.insert(entry, root);
        // The first one: files become complete in order.
        if self.open.bucket_count() > self.open_max
            && let Some((bucket, files)) = self.open.pop_bucket()
        {
            self.sealed.insert(bucket, Some(digest(files)));
        }
    }

    /// Takes a file out.
    pub fn remove(&mut self, entry: EntryIndex) {
        if let Some(digest) = self.sealed.get_mut(&bucket_of(entry)) {
            *digest = None;
        }
        self.open.remove(entry);
    }

    /// The root of a complete file, if its bucket's are kept.
    #[must_use]
    pub fn root(&self, entry: EntryIndex) -> Option<Value> {
        self.open.get(entry).copied()
    }

    /// Buckets without a digest: [`Self::digests`] is without them until they were [loaded](Self::load).
    pub fn unknown(&self) -> impl Iterator<Item = u64> + '_ {
        self.sealed.iter().filter(|(_, digest)| digest.is_none()).map(|(bucket, _)| *bucket)
    }

    /// All files of a bucket, as the journal has them, in order.
    pub fn load(&mut self, bucket: u64, files: &[(EntryIndex, Value)]) {
        if let Some(kept) = self.sealed.get_mut(&bucket) {
            *kept = Some(digest(files.iter().copied()));
            if files.is_empty() {
                self.sealed.remove(&bucket);
            }
        }
    }

    /// Each bucket that has a file, with its digest, in order.
    #[must_use]
    pub fn digests(&self) -> Vec<(u64, Value)> {
        let sealed = self.sealed.iter().filter_map(|(bucket, digest)| Some((*bucket, (*digest)?)));
        let open = self.open.buckets().map(|bucket| (bucket, digest(self.files_of(bucket))));
        let mut digests: Vec<_> = sealed.chain(open).collect();
        digests.sort_unstable_by_key(|(bucket, _)| *bucket);
        digests
    }

    /// The files of a bucket, in order, if its roots are kept.
    #[must_use]
    pub fn files(&self, bucket: u64) -> Option<Vec<(EntryIndex, Value)>> {
        let files: Vec<_> = self.files_of(bucket).collect();
        (!files.is_empty()).then_some(files)
    }

    fn files_of(&self, bucket: u64) -> impl Iterator<Item = (EntryIndex, Value)> + '_ {
        self.open.of_bucket(bucket).map(|(entry, root)| (entry, *root))
    }
}

impl FromIterator<(EntryIndex, Value)> for Completed {
    fn from_iter<I: IntoIterator<Item = (EntryIndex, Value)>>(files: I) -> Self {
        let mut completed = Self::default();
        files.into_iter().for_each(|(entry, root)| completed.insert(entry, root));
        completed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// With any number of open buckets, and loads in between: the digests and what is still kept are those of a map.
        #[test]
        fn completed_files_behave_like_a_map(
            open in 0_usize..5,
            operations in prop::collection::vec((0..5, 0_u64..4, 4_000_u64..4_020, any::<u8>()), 0..120),
        ) {
            let (mut completed, mut map) = (Completed::with_open(open), BTreeMap::new());
            for (operation, bucket, place, root) in operations {
                let entry = bucket * BUCKET_ENTRIES + place;
                match operation {
                    0..=2 => {
                        completed.insert(entry, [root; 32]);
                        map.insert(entry, [root; 32]);
                    }
                    3 => {
                        completed.remove(entry);
                        map.remove(&entry);
                    }
                    _ => completed.load(bucket, &files_of(&map, bucket)),
                }
                let unknown: Vec<u64> = completed.unknown().collect();
                for bucket in 0..4 {
                    let files = files_of(&map, bucket);
                    let known = completed.digests().into_iter().find(|(of, _)| *of == bucket);
                    if unknown.contains(&bucket) {
                        prop_assert!(known.is_none() && completed.files(bucket).is_none());
                    } else {
                        let expected = (!files.is_empty()).then(|| (bucket, digest(files.clone())));
                        prop_assert_eq!(known, expected);
                    }
                    if let Some(kept) = completed.files(bucket) {
                        prop_assert_eq!(&kept, &files);
                        prop_assert!(kept.iter().all(|(entry, root)| completed.root(*entry) == Some(*root)));
                    }
                }
            }
            for bucket in completed.unknown().collect::<Vec<_>>() {
                completed.load(bucket, &files_of(&map, bucket));
            }
            let buckets: std::collections::BTreeSet<u64> = map.keys().map(|entry| entry / BUCKET_ENTRIES).collect();
            prop_assert_eq!(completed.digests().into_iter().map(|(bucket, _)| bucket).collect::<Vec<_>>(), Vec::from_iter(buckets));
        }
    }

    fn files_of(map: &BTreeMap<EntryIndex, Value>, bucket: u64) -> Vec<(EntryIndex, Value)> {
        map.range(bucket_entries(bucket)).map(|(entry, root)| (*entry, *root)).collect()
    }

    #[test]
    fn a_million_files_in_order_are_digests_and_a_few_roots() {
        let completed: Completed = (0..1_000_000).map(|entry| (entry, [1; 32])).collect();
        assert_eq!(completed.unknown().count(), 0);
        assert_eq!(completed.digests().len(), 245);
        assert_eq!(
            (completed.open.bucket_count(), completed.sealed.len()),
            (OPEN_MAX, 245 - OPEN_MAX)
        );
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
