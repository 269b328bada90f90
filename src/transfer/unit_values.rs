//! The values of a large file's units, as they become known: 32 bytes each, and nothing for what is not there.

use super::merge::{self, Value};
use super::ranges::Ranges;
use std::collections::BTreeMap;

/// Units whose room is taken at once, 8 KB of it: a file may claim far more of them than fit in memory.
const CHUNK_UNITS: usize = 256;

/// Values by the place of their unit in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitValues {
    count: u64,
    known: Ranges,
    known_count: u64,
    chunks: BTreeMap<u64, Box<[Value; CHUNK_UNITS]>>,
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
        self.chunks.entry(chunk).or_insert_with(|| Box::new([[0; 32]; CHUNK_UNITS]))[at] = value;
        if !self.known.contains(unit) {
            self.known.insert(unit);
            self.known_count += 1;
        }
    }

    /// A unit's value is not known any more.
    pub fn forget(&mut self, unit: u64) {
        if self.known.contains(unit) {
            self.known.remove(unit);
            self.known_count -= 1;
        }
    }

    /// The value of a unit.
    #[must_use]
    pub fn get(&self, unit: u64) -> Option<Value> {
        let (chunk, at) = place(unit);
        self.known.contains(unit).then(|| self.chunks.get(&chunk)?.get(at).copied()).flatten()
    }

    /// Whether every value is known.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.known_count == self.count
    }

    /// The file's root, once every value is known.
    #[must_use]
    pub fn root(&self) -> Option<Value> {
        merge::root_of(0..self.count, &|unit| self.get(unit))
    }
}

/// The chunk of a unit, and its place there.
const fn place(unit: u64) -> (u64, usize) {
    (unit / CHUNK_UNITS as u64, (unit % CHUNK_UNITS as u64) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Around the edge of a chunk and the end of the file.
        #[test]
        fn behave_like_a_map(count in 250_u64..520, operations in prop::collection::vec((any::<bool>(), 240_u64..530, any::<u8>()), 0..200)) {
            let (mut values, mut map) = (UnitValues::new(count), BTreeMap::new());
            for (is_set, unit, value) in operations {
                if is_set {
                    values.set(unit, [value; 32]);
                    (unit < count).then(|| map.insert(unit, [value; 32]));
                } else {
                    values.forget(unit);
                    map.remove(&unit);
                }
                prop_assert_eq!(values.get(unit), map.get(&unit).copied());
            }
            prop_assert!(!values.is_whole() && values.root().is_none());
            for unit in 0..count {
                prop_assert_eq!(values.get(unit), map.get(&unit).copied());
                values.set(unit, *map.entry(unit).or_insert([7; 32]));
            }
            prop_assert!(values.is_whole());
            let all: Vec<Value> = map.into_values().collect();
            prop_assert_eq!(values.root(), merge::root(&all));
        }
    }

    /// Far more units than memory has room for, of which a few came.
    #[test]
    fn what_is_claimed_takes_no_memory() {
        let mut values = UnitValues::new(1 << 30);
        (0..1_000).for_each(|unit| values.set(unit, [1; 32]));
        values.set((1 << 30) - 1, [2; 32]);
        assert_eq!(values.chunks.len(), 5);
        assert_eq!(values.get((1 << 30) - 1), Some([2; 32]));
        assert!(!values.is_whole());
    }
}
