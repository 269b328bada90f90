//! Which directories a session made, or opened for the time: recorded, not inferred.

use crate::fs::Metadata;
use crate::transfer::manifest::EntryIndex;
use crate::transfer::ranges::Ranges;
use bincode::{Decode, Encode};
use std::ops::Range;

/// A directory as what it is, and a mode of it.
///
/// Its device is left out: many file systems have another number after the next start. Where inodes have others, too, no
/// directory of an earlier run is known any more, and each keeps the metadata that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Known {
    /// Both halves of its number, one over the other: enough to tell two directories of one name apart.
    inode: u32,
    mode: u16,
}

impl Known {
    #[expect(clippy::cast_possible_truncation, reason = "halves fold; a mode has 12 bits")]
    pub(super) const fn of(found: &Metadata) -> Self {
        let inode = found.inode as u32 ^ (found.inode >> 32) as u32;
        Self { inode, mode: (found.mode & 0o7777) as u16 }
    }

    /// Whether it is this one.
    pub(super) const fn is(self, found: &Metadata) -> bool {
        self.inode == Self::of(found).inode
    }

    /// Its mode then.
    pub(super) fn mode(self) -> u32 {
        self.mode.into()
    }
}

/// Which directory was made for an entry, and the mode that it has from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct MadeDirectory {
    entry: u32,
    pub(super) known: Known,
}

impl MadeDirectory {
    #[expect(clippy::cast_possible_truncation, reason = "ENTRIES_MAX is below 2^32")]
    pub(super) const fn of(entry: EntryIndex, found: &Metadata) -> Self {
        Self { entry: entry as u32, known: Known::of(found) }
    }

    /// Its entry.
    pub(super) fn entry(self) -> EntryIndex {
        self.entry.into()
    }
}

/// Directories that a session made and did not remove since: 12 bytes for each, as there may be ten million.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MadeDirectories {
    /// All of them.
    entries: Ranges,
    /// Those that are known as what they are, by entry.
    known: Vec<MadeDirectory>,
}

impl MadeDirectories {
    /// They are about to be made.
    pub(super) fn begin(&mut self, entries: Range<EntryIndex>) {
        self.entries.insert_range(entries);
    }

    /// One was made.
    pub(super) fn identify(&mut self, made: MadeDirectory) {
        if !self.contains(made.entry()) {
            return;
        }
        // They come in their order, mostly.
        match self.known.last() {
            Some(last) if last.entry >= made.entry => match self.find(made.entry()) {
                Ok(at) => self.known[at] = made,
                Err(at) => self.known.insert(at, made),
            },
            Some(_) | None => self.known.push(made),
        }
    }

    /// They are removed, or were not made.
    pub(super) fn remove(&mut self, entries: Range<EntryIndex>) {
        let (start, end) = (self.known_before(entries.start), self.known_before(entries.end));
        self.known.drain(start..end);
        self.entries.remove_range(entries);
    }

    pub(super) fn contains(&self, entry: EntryIndex) -> bool {
        self.entries.contains(entry)
    }

    /// What is known of one.
    pub(super) fn get(&self, entry: EntryIndex) -> Option<Known> {
        self.find(entry).ok().map(|at| self.known[at].known)
    }

    /// All of them.
    pub(super) const fn entries(&self) -> &Ranges {
        &self.entries
    }

    /// Those that are known as what they are.
    pub(super) fn known(&self) -> &[MadeDirectory] {
        &self.known
    }

    fn find(&self, entry: EntryIndex) -> Result<usize, usize> {
        self.known.binary_search_by_key(&entry, |made| made.entry())
    }

    fn known_before(&self, entry: EntryIndex) -> usize {
        self.known.partition_point(|made| made.entry() < entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Directory as _, Metadata};
    use crate::store::memory::MemoryDisk;

    fn found(inode: u64, mode: u32) -> Metadata {
        Metadata { inode, mode, ..MemoryDisk::new().root().own_metadata().unwrap() }
    }

    #[test]
    fn directories_are_known_as_what_they_are() {
        let mut made = MadeDirectories::default();
        made.begin(3..9);
        for entry in [4, 8, 3, 4] {
            made.identify(MadeDirectory::of(entry, &found(100 + entry, 0o755)));
        }
        made.identify(MadeDirectory::of(20, &found(1, 0o755)));
        let known: Vec<_> = made.known().iter().map(|made| made.entry()).collect();
        assert_eq!(known, [3, 4, 8]);
        let of = made.get(4).unwrap();
        assert!(
            of.is(&found(104, 0)) && !of.is(&found(105, 0)) && !of.is(&found(104 << 32 | 1, 0))
        );
        assert_eq!(of.mode(), 0o755);
        made.remove(4..8);
        assert_eq!((made.get(4), made.contains(4), made.contains(3)), (None, false, true));
        assert_eq!(made.known().len(), 2);
        // Made once more: which one it is now is another question.
        made.begin(4..5);
        assert_eq!((made.get(4), made.contains(4)), (None, true));
    }
}
