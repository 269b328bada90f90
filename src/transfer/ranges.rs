//! Sets of indices as sorted, disjoint, non-adjacent half-open ranges: 10^6 completed units in a few bytes (X7).

use std::ops::Range;

/// A set of `u64`, kept as the fewest sorted ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    ranges: Vec<Range<u64>>,
}

impl Ranges {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// A set from ranges as a peer sent them: `None` unless they are sorted, non-empty, disjoint and not adjacent.
    #[must_use]
    pub fn from_sorted(ranges: Vec<Range<u64>>) -> Option<Self> {
        let ordered = ranges.windows(2).all(|pair| pair[0].end < pair[1].start);
        (ordered && ranges.iter().all(|range| range.start < range.end)).then_some(Self { ranges })
    }

    /// Adds one index.
    pub fn insert(&mut self, index: u64) {
        self.insert_range(index..index.saturating_add(1));
    }

    /// Adds every index of `range`; joins what overlaps or touches. Appending at the end is constant time.
    pub fn insert_range(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.ranges.partition_point(|kept| kept.end < range.start);
        let last = self.ranges.partition_point(|kept| kept.start <= range.end);
        if first == last {
            self.ranges.insert(first, range);
            return;
        }
        let start = range.start.min(self.ranges[first].start);
        let end = range.end.max(self.ranges[last - 1].end);
        self.ranges.splice(first..last, std::iter::once(start..end));
    }

    /// Takes one index out.
    pub fn remove(&mut self, index: u64) {
        let at = self.ranges.partition_point(|kept| kept.end <= index);
        let Some(kept) = self.ranges.get(at).cloned() else {
            return;
        };
        if kept.start > index {
            return;
        }
        let halves = [kept.start..index, index + 1..kept.end];
        self.ranges.splice(at..=at, halves.into_iter().filter(|half| !half.is_empty()));
    }

    /// Whether `index` is in the set.
    #[must_use]
    pub fn contains(&self, index: u64) -> bool {
        let at = self.ranges.partition_point(|kept| kept.end <= index);
        self.ranges.get(at).is_some_and(|kept| kept.start <= index)
    }

    /// How many indices of `range` are in the set.
    #[must_use]
    pub fn count_in(&self, range: Range<u64>) -> u64 {
        let first = self.ranges.partition_point(|kept| kept.end <= range.start);
        self.ranges[first..]
            .iter()
            .take_while(|kept| kept.start < range.end)
            .map(|kept| kept.end.min(range.end) - kept.start.max(range.start))
            .sum()
    }

    /// The part of the set that lies in `range`.
    #[must_use]
    pub fn within(&self, range: Range<u64>) -> Self {
        let first = self.ranges.partition_point(|kept| kept.end <= range.start);
        let ranges = self.ranges[first..]
            .iter()
            .take_while(|kept| kept.start < range.end)
            .map(|kept| kept.start.max(range.start)..kept.end.min(range.end))
            .collect();
        Self { ranges }
    }

    /// The ranges, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// How many indices there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Every index, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.ranges.iter().cloned().flatten()
    }
}

impl FromIterator<u64> for Ranges {
    fn from_iter<I: IntoIterator<Item = u64>>(indices: I) -> Self {
        let mut ranges = Self::new();
        indices.into_iter().for_each(|index| ranges.insert(index));
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_a_set(operations in prop::collection::vec((any::<bool>(), 0_u64..64, 0_u64..9), 0..60)) {
            let (mut ranges, mut set) = (Ranges::new(), BTreeSet::new());
            for (insert, start, length) in operations {
                if insert {
                    ranges.insert_range(start..start + length);
                    set.extend(start..start + length);
                } else {
                    ranges.remove(start);
                    set.remove(&start);
                }
                prop_assert_eq!(Ranges::from_sorted(ranges.as_slice().to_vec()), Some(ranges.clone()));
            }
            prop_assert_eq!(ranges.iter().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(ranges.len(), set.len() as u64);
            for index in 0..80 {
                prop_assert_eq!(ranges.contains(index), set.contains(&index));
                prop_assert_eq!(ranges.within(index..index + 7).iter().collect::<Vec<_>>(), set.range(index..index + 7).copied().collect::<Vec<_>>());
                prop_assert_eq!(ranges.count_in(index..index + 7), set.range(index..index + 7).count() as u64);
            }
        }
    }

    #[test]
    #[expect(
        clippy::single_range_in_vec_init,
        clippy::reversed_empty_ranges,
        reason = "sets of one range are meant, and ranges that are none"
    )]
    fn a_peer_cannot_send_what_is_not_a_set() {
        for bad in [vec![3..3], vec![4..2], vec![0..2, 2..3], vec![5..6, 1..2], vec![0..4, 3..9]] {
            assert_eq!(Ranges::from_sorted(bad.clone()), None, "{bad:?}");
        }
    }
}
