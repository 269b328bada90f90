//! What every entry counts in the totals, in little more than a byte each for small files: a later version of a file takes
//! the place of the earlier one, which counts no more.

use super::{EntryIndex, EntryKind};

/// Entries between two places that are remembered.
const BLOCK: u64 = 256;

/// What an entry counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntrySize {
    /// 1 for a file or symlink.
    pub files: u64,
    /// 1 for a directory.
    pub directories: u64,
    /// Bytes of content.
    pub bytes: u64,
}

impl EntrySize {
    /// Of an entry of this kind.
    #[must_use]
    pub const fn of(kind: &EntryKind) -> Self {
        match kind {
            EntryKind::Gone | EntryKind::Metadata { .. } => {
                Self { files: 0, directories: 0, bytes: 0 }
            }
            EntryKind::Directory => Self { files: 0, directories: 1, bytes: 0 },
            EntryKind::Symlink { .. } => Self { files: 1, directories: 0, bytes: 0 },
            EntryKind::File { bytes } => Self { files: 1, directories: 0, bytes: *bytes },
        }
    }
}

/// Sizes of the entries so far, in their order: each as a number of seven bits a byte: 0 for what counts nothing, 1 for a directory,
/// else two more than its bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Sizes {
    encoded: Vec<u8>,
    /// Where each block begins.
    blocks: Vec<usize>,
    count: u64,
}

impl Sizes {
    /// Adds the next entry.
    pub(super) fn push(&mut self, size: EntrySize) {
        if self.count.is_multiple_of(BLOCK) {
            self.blocks.push(self.encoded.len());
        }
        self.count += 1;
        let mut left =
            if size.files == 0 { size.directories } else { size.bytes.saturating_add(2) };
        while left >= 0x80 {
            self.encoded.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        self.encoded.push(left as u8);
    }

    /// What an entry counts; nothing, where there is none.
    pub(super) fn get(&self, entry: EntryIndex) -> EntrySize {
        let block = usize::try_from(entry / BLOCK).ok().and_then(|block| self.blocks.get(block));
        let Some(&start) = block.filter(|_| entry < self.count) else {
            return EntrySize::default();
        };
        let mut number = 0_u64;
        let mut shift = 0;
        let mut before = entry % BLOCK;
        for &byte in &self.encoded[start..] {
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 != 0 {
                continue;
            }
            if before == 0 {
                break;
            }
            before -= 1;
            (number, shift) = (0, 0);
        }
        match number.checked_sub(2) {
            Some(bytes) => EntrySize { files: 1, directories: 0, bytes },
            None => EntrySize { directories: number, ..EntrySize::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sizes_are_those_of_a_list(sizes in prop::collection::vec(prop::option::of(prop::option::of(0_u64..1 << 50)), 0..1_200)) {
            let of = |size: &Option<Option<u64>>| match size {
                None => EntrySize::default(),
                Some(None) => EntrySize::of(&EntryKind::Directory),
                Some(Some(bytes)) => EntrySize::of(&EntryKind::File { bytes: *bytes }),
            };
            let mut packed = Sizes::default();
            sizes.iter().for_each(|bytes| packed.push(of(bytes)));
            for (entry, bytes) in (0..).zip(&sizes) {
                prop_assert_eq!(packed.get(entry), of(bytes));
            }
            prop_assert_eq!(packed.get(sizes.len() as u64), EntrySize::default());
        }
    }

    #[test]
    fn a_million_small_files_take_little() {
        let mut packed = Sizes::default();
        (0..1_000_000).for_each(|_| packed.push(EntrySize::of(&EntryKind::File { bytes: 4_096 })));
        assert!(packed.encoded.len() + packed.blocks.len() * 8 < 2_100_000);
    }
}
