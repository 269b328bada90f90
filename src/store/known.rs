//! What the stored pages of a session promise of each path, for the walk of a later run to compare with.
//!
//! 32 bytes an entry, sorted once: 32 MB for 10^6 entries, gone when the walk is over.

use crate::transfer::disk::Stamp;
use crate::transfer::manifest::{DirectoryTable, Entry, EntryIndex, EntryKind, Page, RelativePath};
use std::hash::{DefaultHasher, Hash, Hasher};

/// What the pages say of an entry that the walk found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing.
    New,
    /// The same.
    Same {
        /// The path's first entry: the one that children of a directory name.
        first: EntryIndex,
    },
    /// Another version of it.
    Changed {
        /// As above.
        first: EntryIndex,
        /// The path's last entry: the one that is replaced.
        latest: EntryIndex,
    },
    /// A directory where a file is now, or the other way round.
    OtherKind,
}

#[derive(Clone, Copy, Debug)]
struct Promise {
    /// Of the path; with [`Self::exact`] 96 bits, so that no two of a tree are ever taken for one.
    key: u64,
    /// Of everything that tells one version from another.
    version: u64,
    /// The entries of the path; an index is below [`ENTRIES_MAX`](crate::transfer::manifest::ENTRIES_MAX).
    first: u32,
    latest: u32,
    /// Of the name's own bytes.
    exact: u32,
    is_directory: bool,
}

/// The promises of all stored pages.
#[derive(Debug, Default)]
pub(super) struct Known {
    promises: Vec<Promise>,
    directories: DirectoryTable,
}

impl Known {
    /// Takes in the next stored page.
    pub(super) fn add_page(&mut self, page: &Page, stamps: &[Option<Stamp>]) {
        self.directories.add_page(page);
        for ((index, entry), stamp) in page.iter().zip(stamps) {
            let Some(path) = self.directories.path(entry) else { continue };
            self.promises.push(promise(&path, index, entry, stamp.as_ref()));
        }
    }

    /// Makes it ready for [`Self::look`].
    pub(super) fn sort(&mut self) {
        self.directories = DirectoryTable::new();
        self.promises.sort_unstable_by_key(|promise| (promise.key, promise.exact, promise.latest));
        let mut kept: Vec<Promise> = Vec::with_capacity(self.promises.len());
        for promise in self.promises.drain(..) {
            match kept.last_mut() {
                Some(last) if (last.key, last.exact) == (promise.key, promise.exact) => {
                    *last = Promise { first: last.first, ..promise };
                }
                _ => kept.push(promise),
            }
        }
        self.promises = kept;
    }

    /// What the pages say of `entry` at `path`.
    pub(super) fn look(&self, path: &RelativePath, entry: &Entry, stamp: Option<&Stamp>) -> Look {
        let present = promise(path, 0, entry, stamp);
        let start = self.promises.partition_point(|promise| promise.key < present.key);
        let mut named = self.promises[start..].iter().take_while(|found| found.key == present.key);
        match named.find(|found| found.exact == present.exact) {
            None => Look::New,
            Some(found) if found.is_directory != present.is_directory => Look::OtherKind,
            Some(found) if found.version == present.version => {
                Look::Same { first: found.first.into() }
            }
            Some(found) => Look::Changed { first: found.first.into(), latest: found.latest.into() },
        }
    }
}

fn promise(
    path: &RelativePath,
    index: EntryIndex,
    entry: &Entry,
    stamp: Option<&Stamp>,
) -> Promise {
    let stamp = stamp.map(|Stamp { bytes, modified, changed, inode }| {
        (*bytes, instant(*modified), instant(*changed), *inode)
    });
    let kind = match &entry.kind {
        EntryKind::Directory => None,
        EntryKind::File { bytes } => Some(Ok(*bytes)),
        EntryKind::Symlink { target } => Some(Err(target)),
    };
    Promise {
        key: hash(&path.as_bytes()),
        version: hash(&(kind, entry.mode, instant(entry.modified), stamp)),
        first: index as u32,
        latest: index as u32,
        exact: hash(&entry.name) as u32,
        is_directory: entry.kind == EntryKind::Directory,
    }
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

const fn instant(time: crate::transfer::manifest::ModifiedTime) -> (i64, u32) {
    (time.seconds, time.nanoseconds)
}
