//! Who holds which name, in little more than what its 16 bytes take.

use super::ENTRIES_MAX;

/// Shards, each a sorted list: at 10^6 names of 1 KB, so that neither putting one in nor growing moves much. One hash
/// table would be more than half empty after it has grown, and there twice while it grows.
const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 14;

/// The latest entry of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    /// Its index, below [`ENTRIES_MAX`], and a mark of [`MARKS`] for what is no regular file.
    pub(super) index: u32,
    /// A second hash of the name, part of what it is known by.
    pub(super) exact: u32,
}

/// Marks a [`Holder`] that is a directory.
pub(super) const DIRECTORY: u32 = 1 << 31;
/// Marks a [`Holder`] that is gone: what comes next may be of any kind.
pub(super) const GONE: u32 = 1 << 30;
/// Marks a [`Holder`] that is a symlink.
pub(super) const SYMLINK: u32 = 1 << 29;
/// All marks.
pub(super) const MARKS: u32 = DIRECTORY | GONE | SYMLINK;
const _: () = assert!(ENTRIES_MAX < SYMLINK as u64);

/// Holders by the hash of their name.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// By the highest bits of the hash, each in order of both hashes; none before the first name.
    shards: Vec<Vec<(u64, Holder)>>,
}

impl Names {
    /// Who holds a name.
    pub(super) fn get(&self, hash: u64, exact: u32) -> Option<Holder> {
        let shard = self.shards.get((hash >> (u64::BITS - SHARD_BITS)) as usize)?;
        let at = shard.binary_search_by_key(&(hash, exact), |(hash, held)| (*hash, held.exact));
        Some(shard[at.ok()?].1)
    }

    /// Puts a holder in; the one that was there.
    pub(super) fn insert(&mut self, hash: u64, holder: Holder) -> Option<Holder> {
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, Vec::new);
        }
        let shard = &mut self.shards[(hash >> (u64::BITS - SHARD_BITS)) as usize];
        match shard.binary_search_by_key(&(hash, holder.exact), |(hash, held)| (*hash, held.exact))
        {
            Ok(at) => Some(std::mem::replace(&mut shard[at].1, holder)),
            Err(at) => {
                if shard.len() == shard.capacity() {
                    // By an eighth, not by all of it: what is reserved is memory, too.
                    shard.reserve_exact(shard.len() / 8 + 4);
                }
                shard.insert(at, (hash, holder));
                None
            }
        }
    }
}

#[cfg(test)]
impl Names {
    /// Names of the shard that has the most.
    pub(super) fn largest_shard(&self) -> usize {
        self.shards.iter().map(Vec::len).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Hashes of few shards, so that they meet, at both ends of the range.
        #[test]
        fn behave_like_a_map(names in prop::collection::vec((0_u64..6, 0_u64..40, any::<u32>()), 0..400)) {
            let (mut kept, mut map) = (Names::default(), HashMap::new());
            for (high, low, index) in names {
                let hash = (high.wrapping_sub(3) << (u64::BITS - SHARD_BITS)).wrapping_add(low.wrapping_sub(20));
                let holder = Holder { index, exact: index % 3 };
                prop_assert_eq!(kept.get(hash, holder.exact), map.get(&(hash, holder.exact)).copied());
                prop_assert_eq!(kept.insert(hash, holder), map.insert((hash, holder.exact), holder));
            }
        }
    }

    #[test]
    fn a_million_take_little_more_than_their_size() {
        let mut names = Names::default();
        for index in 0..1_000_000_u32 {
            let hash = u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            assert_eq!(names.insert(hash, Holder { index, exact: 0 }), None);
        }
        let reserved: usize = names.shards.iter().map(Vec::capacity).sum();
        assert!(reserved <= 1_125_000 + 4 * SHARDS, "{reserved}");
    }
}
