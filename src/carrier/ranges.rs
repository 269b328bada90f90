//! Sets of numbers kept as ranges: packet numbers and stream offsets. Few ranges, mostly touched at an end.

use std::collections::VecDeque;
use std::ops::Range;

/// Ascending half-open ranges that neither overlap nor touch.
#[derive(Clone, Debug, Default)]
pub(super) struct RangeSet {
    ranges: VecDeque<Range<u64>>,
}

impl RangeSet {
    /// Adds `range` and calls `on_new` with each part of it that was missing.
    pub(super) fn insert(&mut self, range: Range<u64>, mut on_new: impl FnMut(Range<u64>)) {
        if range.is_empty() {
            return;
        }
        match self.ranges.back_mut() {
            Some(last) if range.start == last.end => {
                last.end = range.end;
                return on_new(range);
            }
            Some(last) if range.start < last.end => {}
            Some(_) | None => {
                self.ranges.push_back(range.clone());
                return on_new(range);
            }
        }
        // The first that touches or follows; from there all that touch melt into one.
        let first = self.ranges.partition_point(|present| present.end < range.start);
        let mut merged = range.clone();
        let mut missing_from = range.start;
        let mut past = first;
        while let Some(present) = self.ranges.get(past).filter(|p| p.start <= range.end) {
            if missing_from < present.start {
                on_new(missing_from..present.start);
            }
            missing_from = missing_from.max(present.end);
            merged = merged.start.min(present.start)..merged.end.max(present.end);
            past += 1;
        }
        if missing_from < range.end {
            on_new(missing_from..range.end);
        }
        if past == first {
            self.ranges.insert(first, merged);
        } else {
            if let Some(slot) = self.ranges.get_mut(first) {
                *slot = merged;
            }
            if past > first + 1 {
                self.ranges.drain(first + 1..past);
            }
        }
    }

    /// Takes `range` out.
    pub(super) fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.ranges.partition_point(|present| present.end <= range.start);
        let mut index = first;
        while let Some(present) = self.ranges.get_mut(index).filter(|p| p.start < range.end) {
            let (start, end) = (present.start, present.end);
            match (start < range.start, end > range.end) {
                (true, true) => {
                    present.end = range.start;
                    self.ranges.insert(index + 1, range.end..end);
                    return;
                }
                (true, false) => {
                    present.end = range.start;
                    index += 1;
                }
                (false, true) => {
                    present.start = range.end;
                    return;
                }
                (false, false) => drop(self.ranges.remove(index)),
            }
        }
    }

    /// Takes out everything below `bound`.
    pub(super) fn remove_below(&mut self, bound: u64) {
        while let Some(first) = self.ranges.front_mut() {
            if first.end > bound {
                first.start = first.start.max(bound);
                return;
            }
            self.ranges.pop_front();
        }
    }

    #[cfg(test)]
    pub(super) fn contains(&self, number: u64) -> bool {
        let index = self.ranges.partition_point(|present| present.end <= number);
        self.ranges.get(index).is_some_and(|present| present.start <= number)
    }

    pub(super) fn first(&self) -> Option<&Range<u64>> {
        self.ranges.front()
    }

    pub(super) fn pop_first(&mut self) -> Option<Range<u64>> {
        self.ranges.pop_front()
    }

    /// From the highest down.
    pub(super) fn iter_descending(&self) -> impl Iterator<Item = &Range<u64>> {
        self.ranges.iter().rev()
    }

    /// The parts of `range` that are not in the set, ascending.
    pub(super) fn missing_in(&self, range: Range<u64>, mut on_missing: impl FnMut(Range<u64>)) {
        let mut from = range.start;
        let first = self.ranges.partition_point(|present| present.end <= range.start);
        for present in self.ranges.range(first..).take_while(|p| p.start < range.end) {
            if from < present.start {
                on_missing(from..present.start);
            }
            from = from.max(present.end);
        }
        if from < range.end {
            on_missing(from..range.end);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn numbers(set: &RangeSet) -> BTreeSet<u64> {
        set.ranges.iter().flat_map(Clone::clone).collect()
    }

    proptest! {
        /// A set of numbers is the oracle; ranges stay ascending and apart.
        #[test]
        fn ranges_are_a_set_of_numbers(
            steps in prop::collection::vec((0_u8..4, 0_u64..120, 0_u64..30), 1..80),
        ) {
            let (mut set, mut oracle) = (RangeSet::default(), BTreeSet::new());
            for (what, start, length) in steps {
                let range = start..start + length;
                match what {
                    0 | 1 => {
                        let mut new = BTreeSet::new();
                        set.insert(range.clone(), |part| new.extend(part));
                        let expected: BTreeSet<u64> =
                            range.clone().filter(|number| !oracle.contains(number)).collect();
                        prop_assert_eq!(new, expected);
                        oracle.extend(range);
                    }
                    2 => {
                        set.remove(range.clone());
                        oracle.retain(|number| !range.contains(number));
                    }
                    _ => {
                        let mut missing = BTreeSet::new();
                        set.missing_in(range.clone(), |part| missing.extend(part));
                        let expected: BTreeSet<u64> =
                            range.filter(|number| !oracle.contains(number)).collect();
                        prop_assert_eq!(missing, expected);
                        if length == 7 {
                            set.remove_below(start);
                            oracle.retain(|number| *number >= start);
                        }
                    }
                }
                prop_assert_eq!(numbers(&set), oracle.clone());
                prop_assert_eq!(set.contains(start), oracle.contains(&start));
                let apart = set.ranges.iter().zip(set.ranges.iter().skip(1));
                for (left, right) in apart {
                    prop_assert!(left.end < right.start);
                }
            }
        }
    }
}
