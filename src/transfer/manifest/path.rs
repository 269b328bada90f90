//! Paths below the root, and the directories that entries name as their parents.

use super::{Entry, EntryIndex, EntryKind, Page};
use std::collections::BTreeMap;
use std::fmt;

/// A path below the root: checked components joined by `/`, as bytes; empty for the root itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RelativePath(Vec<u8>);

impl RelativePath {
    /// The root.
    #[must_use]
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// This path with one more component.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self(bytes)
    }

    /// Its components, outermost first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/').filter(|component| !component.is_empty())
    }

    /// Its directory and its last component; `None` for the root.
    #[must_use]
    pub fn split_last(&self) -> Option<(Self, &[u8])> {
        if self.0.is_empty() {
            return None;
        }
        match self.0.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => Some((Self(self.0[..slash].to_vec()), &self.0[slash + 1..])),
            None => Some((Self::root(), &self.0)),
        }
    }

    /// The joined bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RelativePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// The directories of a manifest by index: what turns an entry into a path. Files are not kept.
#[derive(Clone, Debug, Default)]
pub struct DirectoryTable {
    directories: BTreeMap<EntryIndex, (Option<EntryIndex>, Box<[u8]>)>,
}

impl DirectoryTable {
    /// An empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self { directories: BTreeMap::new() }
    }

    /// Takes in the directories of a page.
    pub fn add_page(&mut self, page: &Page) {
        for (index, entry) in page.iter() {
            if entry.kind == EntryKind::Directory {
                self.directories
                    .insert(index, (entry.parent, entry.name.clone().into_boxed_slice()));
            }
        }
    }

    /// Whether an entry is a directory of the pages so far.
    #[must_use]
    pub fn contains(&self, entry: EntryIndex) -> bool {
        self.directories.contains_key(&entry)
    }

    /// The path of an entry; `None` where a parent is unknown.
    #[must_use]
    pub fn path(&self, entry: &Entry) -> Option<RelativePath> {
        self.path_of(entry.parent, &entry.name)
    }

    /// The path of a name in a directory; `None` where a parent is unknown.
    #[must_use]
    pub fn path_of(&self, mut parent: Option<EntryIndex>, name: &[u8]) -> Option<RelativePath> {
        let mut names = vec![name];
        while let Some(index) = parent {
            // A parent's index is smaller than its child's, so this ends; the bound is for tables made from hostile pages.
            let (above, name) =
                self.directories.get(&index).filter(|(above, _)| *above < Some(index))?;
            names.push(name);
            parent = *above;
        }
        names.reverse();
        Some(RelativePath(names.join(&b'/')))
    }
}
