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
        self.remove_range(index..index.saturating_add(1));
    }

    /// Takes every index of `range` out. Only the ranges that it meets, and those behind them, are touched.
    pub fn remove_range(&mut self, range: Range<u64>) {
        let first = self.ranges.partition_point(|kept| kept.end <= range.start);
        let last = self.ranges.partition_point(|kept| kept.start < range.end);
        // Also where `range` is empty, or no range at all.
        if first >= last || range.is_empty() {
            return;
        }
        let before = self.ranges[first].start..range.start;
        let after = range.end..self.ranges[last - 1].end;
        self.ranges
            .splice(first..last, [before, after].into_iter().filter(|rest| !rest.is_empty()));
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
        if range.is_empty() {
            return Self::new();
        }
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

    /// A page without units, amid units that are there, has none of them: an empty range is not a set on the wire.
    #[test]
    fn nothing_is_within_nothing() {
        let ranges: Ranges = (3..9).collect();
        assert_eq!(ranges.within(5..5), Ranges::new());
        assert_eq!(ranges.within(5..6).iter().collect::<Vec<_>>(), [5]);
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(operations in prop::collection::vec((0..3, 0_u64..64, 0_u64..20), 0..60)) {
            let (mut ranges, mut set) = (Ranges::new(), BTreeSet::new());
            for (operation, start, length) in operations {
                match operation {
                    0 => {
                        ranges.insert_range(start..start + length % 9);
                        set.extend(start..start + length % 9);
                    }
                    1 => {
                        ranges.remove_range(start..start + length);
                        set.retain(|index| !(start..start + length).contains(index));
                    }
                    _ => {
                        ranges.remove(start);
                        set.remove(&start);
                    }
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

    /// Against the plainest way to take a range out, for every range around three kept ones.
    #[test]
    #[expect(
        clippy::single_range_in_vec_init,
        clippy::reversed_empty_ranges,
        reason = "sets of one range are meant, and ranges that are none"
    )]
    fn a_range_is_taken_out_at_every_edge() {
        let kept = || Ranges { ranges: vec![2..5, 7..8, 10..14] };
        for (start, end) in (0..16).flat_map(|start| (0..16).map(move |end| (start, end))) {
            let mut ranges = kept();
            ranges.remove_range(start..end);
            let plain: Ranges =
                kept().iter().filter(|index| !(start..end).contains(index)).collect();
            assert_eq!(ranges, plain, "{start}..{end}");
        }
        let mut everything = Ranges { ranges: vec![0..u64::MAX] };
        everything.remove_range(9..3);
        everything.remove_range(u64::MAX..u64::MAX);
        everything.remove(u64::MAX);
        assert_eq!(everything.as_slice(), [0..u64::MAX]);
        everything.remove_range(1..u64::MAX);
        assert_eq!(everything.as_slice(), [0..1]);
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
