//! Roots of files from the values of their units (BLAKE3 subtrees, `blake3::hazmat`).

use super::UNIT_BYTES;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};
use std::ops::Range;

/// A BLAKE3 hash or subtree value: 32 bytes.
pub type Value = [u8; 32];

/// A hasher for one unit at byte `offset` of its file. A file of at most one unit is its own root: finish it with
/// `finalize`; any other unit with `finalize_non_root`.
#[must_use]
pub fn unit_hasher(offset: u64) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    if offset > 0 {
        hasher.set_input_offset(offset);
    }
    hasher
}

/// The value of the unit whose content is `parts`, one after the other, at `offset` of a file of `file_bytes`.
#[must_use]
pub fn unit_value<'a>(
    parts: impl IntoIterator<Item = &'a [u8]>,
    offset: u64,
    file_bytes: u64,
) -> Value {
    let mut hasher = unit_hasher(offset);
    parts.into_iter().for_each(|part| {
        hasher.update(part);
    });
    finish_unit(&hasher, file_bytes)
}

/// Ends a unit's hasher as its file asks for it: root for a file of at most one unit, subtree otherwise.
#[must_use]
pub fn finish_unit(hasher: &blake3::Hasher, file_bytes: u64) -> Value {
    if file_bytes <= UNIT_BYTES {
        *hasher.finalize().as_bytes()
    } else {
        hasher.finalize_non_root()
    }
}

/// The root of a file from the values of all its units, in file order; `None` where there is no value.
#[must_use]
pub fn root(values: &[Value]) -> Option<Value> {
    root_of(values.len() as u64, &|units| {
        let at = usize::try_from(units.start).ok()?;
        if units.end - units.start == 1 { values.get(at).copied() } else { None }
    })
}

/// The root of a file of so many units; `None` where a value is missing. `value` is asked for subtrees, and where it does
/// not know one, for the two halves of it, down to single units.
///
/// Every unit but the last is a full, aligned subtree, so the tree over them has BLAKE3's own shape: the left child of
/// any node is the largest power of two of units that leaves something for the right.
pub fn root_of(units: u64, value: &impl Fn(Range<u64>) -> Option<Value>) -> Option<Value> {
    match units {
        0 => None,
        1 => value(0..1),
        _ => {
            let middle = left_units(units);
            let (left, right) = (subtree(0..middle, value)?, subtree(middle..units, value)?);
            Some(*merge_subtrees_root(&left, &right, Mode::Hash).as_bytes())
        }
    }
}

/// The value over one or more units that are a node of their file's tree and not the whole file; `value` as in
/// [`root_of`].
pub fn subtree(
    units: Range<u64>,
    value: &impl Fn(Range<u64>) -> Option<Value>,
) -> Option<ChainingValue> {
    let count = units.end.saturating_sub(units.start);
    if let Some(known) = value(units.clone()) {
        return Some(known);
    }
    if count < 2 {
        return None;
    }
    let middle = units.start + left_units(count);
    let (left, right) = (subtree(units.start..middle, value)?, subtree(middle..units.end, value)?);
    Some(merge_subtrees_non_root(&left, &right, Mode::Hash))
}

/// How many of `units` (at least 2) belong to the left child: the largest power of two below `units`.
const fn left_units(units: u64) -> u64 {
    units.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against BLAKE3 over the whole content, at every number of units up to 9 and at the edges of one.
    #[test]
    fn merged_roots_are_blake3() {
        let unit = usize::try_from(UNIT_BYTES).expect("fits");
        let content: Vec<u8> = (0..9 * unit + 17).map(|index| (index * 7 % 251) as u8).collect();
        let mut lengths = vec![0, 1, unit - 1, unit, unit + 1];
        lengths.extend(
            (1..9).flat_map(|units| [units * unit, units * unit + 1024, units * unit + 17]),
        );
        lengths.push(content.len());
        for length in lengths {
            let file = &content[..length];
            let mut values: Vec<Value> = file
                .chunks(unit)
                .enumerate()
                .map(|(index, part)| unit_value([part], index as u64 * UNIT_BYTES, length as u64))
                .collect();
            if values.is_empty() {
                values.push(unit_value([], 0, 0));
            }
            assert_eq!(root(&values), Some(*blake3::hash(file).as_bytes()), "{length} bytes");
        }
    }
}
