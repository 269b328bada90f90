//! What the stored pages of a session promise of each path, for the walk of a later run to compare with.
//!
//! A path has one place in the manifest, for all runs: a name in the directory that its first entry named, even where that
//! directory was gone in between and has another index now. So every later entry of the path replaces the one before, in
//! whatever order a tree comes and goes, and wherever a run was killed.
//!
//! 48 bytes an entry, sorted once: 48 MB for 10^6 entries, gone when the walk is over.

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
    /// A file of the same size, time and mode whose inode, or the time of its last change, is another: content decides.
    Moved {
        /// As above; a file's first entry is its last one, or was another version.
        first: EntryIndex,
        /// As above.
        latest: EntryIndex,
    },
    /// A file of the same size with another time or mode: content decides whether it is another version.
    Touched {
        /// As above.
        first: EntryIndex,
        /// As above.
        latest: EntryIndex,
    },
    /// A directory where a file is now, or the other way round: what was there is gone.
    OtherKind {
        /// As above.
        latest: EntryIndex,
    },
    /// It was there once, and gone since.
    Again {
        /// The entry that says so.
        latest: EntryIndex,
    },
}

/// In the place of a parent's index, which is below [`ENTRIES_MAX`](crate::transfer::manifest::ENTRIES_MAX).
const NO_PARENT: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Promise {
    /// Of the path; with [`Self::exact`] 96 bits, so that no two of a tree are ever taken for one.
    key: u64,
    /// Of everything that tells one version from another.
    version: u64,
    /// The entries of the path since it was gone the last time, newer metadata of one not counted; an index is below
    /// [`ENTRIES_MAX`](crate::transfer::manifest::ENTRIES_MAX). Until they are sorted, the first is the entry itself.
    first: u32,
    latest: u32,
    /// What all entries of the path name as their parent; [`NO_PARENT`] for the root.
    parent: u32,
    /// Of the name's own bytes.
    exact: u32,
    /// Of kind, size, mode and time: if these are another, so is the version.
    hint: u32,
    /// Of kind and size alone.
    content: u32,
    kind: Kind,
    /// Whether the walk came by.
    is_seen: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Symlink,
    Gone,
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
        self.promises.sort_unstable_by_key(|promise| (promise.key, promise.exact, promise.first));
        let mut kept: Vec<Promise> = Vec::with_capacity(self.promises.len());
        for promise in self.promises.drain(..) {
            match kept.last_mut() {
                Some(last) if (last.key, last.exact) == (promise.key, promise.exact) => {
                    let is_again = last.kind == Kind::Gone;
                    let first = if is_again { promise.first } else { last.first };
                    *last = Promise { first, ..promise };
                }
                _ => kept.push(promise),
            }
        }
        self.promises = kept;
    }

    /// What the pages say of `entry` at `path`, which the walk came by. It gets the parent that the path has there.
    pub(super) fn look(
        &mut self,
        path: &RelativePath,
        entry: &mut Entry,
        stamp: Option<&Stamp>,
    ) -> Look {
        let present = promise(path, 0, entry, stamp);
        let Some(found) = self.find(&present) else { return Look::New };
        found.is_seen = true;
        entry.parent = (found.parent != NO_PARENT).then_some(found.parent.into());
        let (first, latest) = (found.first.into(), found.latest.into());
        let is_directory = |kind: Kind| kind == Kind::Directory;
        match found.kind {
            Kind::Gone => Look::Again { latest },
            kind if is_directory(kind) != is_directory(present.kind) => Look::OtherKind { latest },
            _ if found.version == present.version => Look::Same { first },
            Kind::File if present.kind == Kind::File && found.hint == present.hint => {
                Look::Moved { first, latest }
            }
            Kind::File if present.kind == Kind::File && found.content == present.content => {
                Look::Touched { first, latest }
            }
            Kind::Directory | Kind::File | Kind::Symlink => Look::Changed { first, latest },
        }
    }

    /// What is at `path` cannot be taken in, but it is there.
    pub(super) fn keep(&mut self, path: &RelativePath, name: &[u8]) {
        let (key, exact) = (hash(&path.as_bytes()), hash(&name) as u32);
        if let Some(found) = self.find_key(key, exact) {
            found.is_seen = true;
        }
    }

    /// Whether the pages promise anything that the walk did not come by.
    pub(super) fn has_unseen(&self) -> bool {
        self.promises.iter().any(|promise| !promise.is_seen && promise.kind != Kind::Gone)
    }

    /// Whether `index`, at `path`, is the last entry of a path that the walk did not come by.
    pub(super) fn is_unseen(
        &mut self,
        path: &RelativePath,
        index: EntryIndex,
        entry: &Entry,
    ) -> bool {
        let (key, exact) = (hash(&path.as_bytes()), hash(&entry.name) as u32);
        self.find_key(key, exact).is_some_and(|found| {
            !found.is_seen && found.kind != Kind::Gone && u64::from(found.latest) == index
        })
    }

    fn find(&mut self, present: &Promise) -> Option<&mut Promise> {
        self.find_key(present.key, present.exact)
    }

    fn find_key(&mut self, key: u64, exact: u32) -> Option<&mut Promise> {
        let place = self
            .promises
            .binary_search_by_key(&(key, exact), |promise| (promise.key, promise.exact))
            .ok()?;
        self.promises.get_mut(place)
    }
}

fn promise(
    path: &RelativePath,
    index: EntryIndex,
    entry: &Entry,
    stamp: Option<&Stamp>,
) -> Promise {
    let (kind, content) = match &entry.kind {
        EntryKind::Directory => (Kind::Directory, None),
        EntryKind::File { bytes } => (Kind::File, Some(Ok(*bytes))),
        EntryKind::Symlink { target } => (Kind::Symlink, Some(Err(target))),
        EntryKind::Gone => (Kind::Gone, None),
        // The same file, as it was when this was said of it.
        EntryKind::Metadata { .. } => (Kind::File, stamp.map(|stamp| Ok(stamp.bytes))),
    };
    let latest = if let EntryKind::Metadata { of } = entry.kind { of } else { index };
    let hint = (content, entry.mode, instant(entry.modified));
    Promise {
        key: hash(&path.as_bytes()),
        version: hash(&(&hint, stamp.map(|of| (instant(of.changed), of.inode)))),
        first: index as u32,
        latest: latest as u32,
        parent: entry.parent.map_or(NO_PARENT, |parent| parent as u32),
        exact: hash(&entry.name) as u32,
        hint: hash(&hint) as u32,
        content: hash(&hint.0) as u32,
        kind,
        is_seen: false,
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
