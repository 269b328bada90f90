//! The values of a large file's units, as they become known: of 256 of them that are all there one value is left, and
//! of those that are not there nothing is held. So a file takes next to no memory, however large it is.

use super::merge::{self, Value};
use super::ranges::Ranges;
use std::collections::BTreeMap;
use std::ops::Range;

/// Units of a chunk, whose room of 8 KB is taken at once: a power of two, so that a whole one is a subtree.
const CHUNK_UNITS: u64 = 256;

/// Values by the place of their unit in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitValues {
    count: u64,
    known: Ranges,
    known_count: u64,
    /// Units whose own values are asked for: chunks of them are not merged.
    kept: Ranges,
    chunks: BTreeMap<u64, Chunk>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Chunk {
    /// One value for each unit; what is not known is zero.
    Units(Box<[Value; CHUNK_UNITS as usize]>),
    /// All units are known: the value over them.
    Merged(Value),
}

impl UnitValues {
    /// None of the values of a file of `count` units.
    #[must_use]
    pub fn new(count: u64) -> Self {
        Self { count, ..Self::default() }
    }

    /// How many units the file has.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// A unit's value is known; of a unit that the file does not have, nothing is kept.
    pub fn set(&mut self, unit: u64, value: Value) {
        if unit >= self.count {
            return;
        }
        let (chunk, at) = place(unit);
        let none = || Chunk::Units(Box::new([[0; 32]; CHUNK_UNITS as usize]));
        // Of a merged one the unit is known already.
        if let Chunk::Units(values) = self.chunks.entry(chunk).or_insert_with(none) {
            values[at] = value;
        }
        if !self.known.contains(unit) {
            self.known.insert(unit);
            self.known_count += 1;
            self.merge(chunk);
        }
    }

    /// As [`Self::set`], and the value can be had again by [`Self::kept`].
    pub fn keep(&mut self, unit: u64, value: Value) {
        if unit < self.count {
            self.kept.insert(unit);
            self.set(unit, value);
        }
    }

    /// Units that are [kept](Self::keep), with their values, in order.
    pub fn kept(&self) -> impl Iterator<Item = (u64, Value)> + '_ {
        self.kept.iter().filter_map(|unit| Some((unit, self.value(unit..unit + 1)?)))
    }

    /// A unit's value is not known any more; nor are those of the units, all of them returned, that were merged with it.
    pub fn forget(&mut self, unit: u64) -> Range<u64> {
        let (chunk, _) = place(unit);
        let forgotten = match self.chunks.get(&chunk) {
            Some(Chunk::Merged(_)) => units_of(chunk),
            Some(Chunk::Units(_)) | None => unit..unit.saturating_add(1),
        };
        if forgotten.end - forgotten.start > 1 {
            self.chunks.remove(&chunk);
        }
        self.known_count -= self.known.count_in(forgotten.clone());
        self.known.remove_range(forgotten.clone());
        self.kept.remove_range(forgotten.clone());
        forgotten
    }

    /// Whether the value of a unit is known.
    #[must_use]
    pub fn is_known(&self, unit: u64) -> bool {
        self.known.contains(unit)
    }

    /// Whether every value is known.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.known_count == self.count
    }

    /// The file's root, once every value is known.
    #[must_use]
    pub fn root(&self) -> Option<Value> {
        merge::root_of(self.count, &|units| self.value(units))
    }

    /// The value of a unit, or of a chunk that is merged.
    fn value(&self, units: Range<u64>) -> Option<Value> {
        let (chunk, at) = place(units.start);
        match self.chunks.get(&chunk)? {
            Chunk::Merged(value) => (units == units_of(chunk)).then_some(*value),
            Chunk::Units(values) => {
                let is_one = units.end - units.start == 1;
                (is_one && self.known.contains(units.start)).then(|| values[at])
            }
        }
    }

    /// Leaves one value of a chunk whose units are all known and not to be kept. Where it is the whole file, its root is
    /// another value than that of a subtree.
    fn merge(&mut self, chunk: u64) {
        let units = units_of(chunk);
        if self.count > CHUNK_UNITS
            && self.known.count_in(units.clone()) == CHUNK_UNITS
            && self.kept.count_in(units.clone()) == 0
            && let Some(value) = merge::subtree(units, &|units| self.value(units))
        {
            self.chunks.insert(chunk, Chunk::Merged(value));
        }
    }
}

/// The chunk of a unit, and its place there.
const fn place(unit: u64) -> (u64, usize) {
    (unit / CHUNK_UNITS, (unit % CHUNK_UNITS) as usize)
}

const fn units_of(chunk: u64) -> Range<u64> {
    chunk * CHUNK_UNITS..(chunk + 1) * CHUNK_UNITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(unit: u64) -> Value {
        let mut value = [7; 32];
        value[..8].copy_from_slice(&unit.to_le_bytes());
        value
    }

    fn root(count: u64) -> Option<Value> {
        merge::root(&(0..count).map(value).collect::<Vec<_>>())
    }

    /// Runs of units, so that chunks become whole and are broken again, at files that end anywhere.
    fn runs() -> impl Strategy<Value = Vec<(u8, Range<u64>)>> {
        let edge = prop_oneof![0_u64..4, 250_u64..260, 508_u64..516, 765_u64..775];
        prop::collection::vec(
            (0_u8..5, edge.clone(), edge)
                .prop_map(|(what, one, other)| (what, one.min(other)..one.max(other))),
            0..30,
        )
    }

    proptest! {
        #[test]
        fn behave_like_a_set_of_units(count in prop_oneof![1_u64..4, 254_u64..259, 510_u64..515, 766_u64..771], runs in runs()) {
            let (mut values, mut known, mut kept) = (UnitValues::new(count), Ranges::new(), Ranges::new());
            for (what, units) in runs {
                for unit in units {
                    match what {
                        0 => {
                            let gone = values.forget(unit);
                            prop_assert!(gone.contains(&unit));
                            // More only where all of them were known and none was kept.
                            if gone.end - gone.start > 1 {
                                prop_assert_eq!(known.count_in(gone.clone()), gone.end - gone.start);
                                prop_assert_eq!(kept.count_in(gone.clone()), 0);
                            }
                            known.remove_range(gone.clone());
                            kept.remove_range(gone);
                        }
                        // One that is merged cannot be had again.
                        1 if !known.contains(unit) => {
                            values.keep(unit, value(unit));
                            (unit < count).then(|| (known.insert(unit), kept.insert(unit)));
                        }
                        _ => {
                            values.set(unit, value(unit));
                            (unit < count).then(|| known.insert(unit));
                        }
                    }
                }
                prop_assert_eq!(values.is_whole(), known.len() == count);
                prop_assert_eq!(values.root(), root(count).filter(|_| known.len() == count));
                prop_assert_eq!(values.kept().collect::<Vec<_>>(), kept.iter().map(|unit| (unit, value(unit))).collect::<Vec<_>>());
            }
            (0..800).for_each(|unit| assert_eq!(values.is_known(unit), known.contains(unit)));
        }
    }

    /// Every order of whole chunks, broken ones and a rest gives the root of all units.
    #[test]
    fn merged_values_give_the_same_root() {
        for count in [1, 2, 255, 256, 257, 511, 512, 513, 768, 1_024, 1_030] {
            let mut values = UnitValues::new(count);
            assert_eq!(values.root(), None);
            (0..count).rev().for_each(|unit| values.set(unit, value(unit)));
            assert_eq!((values.is_whole(), values.root()), (true, root(count)), "{count} units");
        }
    }

    /// A file of 1 TiB, and far more units than memory has room for, of which a few came.
    #[test]
    fn what_is_whole_or_only_claimed_takes_no_memory() {
        let held = |values: &UnitValues| {
            values.chunks.values().filter(|chunk| matches!(chunk, Chunk::Units(_))).count()
        };
        let mut values = UnitValues::new(1 << 20);
        (0..1 << 20).for_each(|unit| values.set(unit, value(unit)));
        assert_eq!((values.is_whole(), held(&values)), (true, 0));
        assert_eq!(values.root(), root(1 << 20));
        let mut values = UnitValues::new(1 << 30);
        (0..1_000).for_each(|unit| values.set(unit, [1; 32]));
        values.set((1 << 30) - 1, [2; 32]);
        assert_eq!((values.is_whole(), values.chunks.len(), held(&values)), (false, 5, 2));
    }
}
