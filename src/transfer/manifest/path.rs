//! Paths below the root, and the directories that entries name as their parents.

use super::{Entry, EntryIndex, EntryKind, Page};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher as _, Hash, Hasher, RandomState};
use std::sync::{Arc, OnceLock};

/// A path below the root: checked components joined by `/`, as bytes; empty for the root itself.
///
/// One that a [`DirectoryTable`] gave shares its directories with all others of that table until its bytes are looked at: what
/// many of them take in a queue is their names, however deep they lie (S-03).
#[derive(Clone, Default)]
pub struct RelativePath(Parts);

#[derive(Clone)]
enum Parts {
    Whole(Vec<u8>),
    Shared(Arc<Shared>),
}

struct Shared {
    above: Arc<Level>,
    name: Box<[u8]>,
    /// Once somebody looked.
    whole: OnceLock<Vec<u8>>,
}

impl Default for Parts {
    fn default() -> Self {
        Self::Whole(Vec::new())
    }
}

/// A directory of a manifest, with those above it.
#[derive(Debug)]
struct Level {
    above: Option<Arc<Self>>,
    name: Box<[u8]>,
    /// The same for all entries of its path.
    key: u64,
}

impl Level {
    fn path(&self) -> RelativePath {
        match &self.above {
            Some(above) => RelativePath::shared(above, &self.name),
            None => RelativePath::root().join(&self.name),
        }
    }

    /// Itself, and those above it.
    fn levels(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |level| level.above.as_deref())
    }

    /// The path of a name in it.
    fn join(&self, name: &[u8]) -> Vec<u8> {
        let mut names: Vec<&[u8]> = self.levels().map(|level| &*level.name).collect();
        names.reverse();
        names.push(name);
        names.join(&b'/')
    }
}

impl RelativePath {
    /// The root.
    #[must_use]
    pub const fn root() -> Self {
        Self(Parts::Whole(Vec::new()))
    }

    fn shared(above: &Arc<Level>, name: &[u8]) -> Self {
        let (above, name, whole) = (Arc::clone(above), name.into(), OnceLock::new());
        Self(Parts::Shared(Arc::new(Shared { above, name, whole })))
    }

    /// This path with one more component.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        let above = self.as_bytes();
        let mut bytes = Vec::with_capacity(above.len() + 1 + name.len());
        bytes.extend_from_slice(above);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self(Parts::Whole(bytes))
    }

    /// The first `bytes` of it, which end where a component does.
    #[must_use]
    pub fn prefix(&self, bytes: usize) -> Self {
        Self(Parts::Whole(self.as_bytes()[..bytes].to_vec()))
    }

    /// Its components, outermost first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.as_bytes().split(|&byte| byte == b'/').filter(|component| !component.is_empty())
    }

    /// How many components it has.
    #[must_use]
    pub fn depth(&self) -> usize {
        match &self.0 {
            Parts::Whole(_) => self.components().count(),
            Parts::Shared(path) => path.above.levels().count() + 1,
        }
    }

    /// Its directory and its last component; `None` for the root.
    #[must_use]
    pub fn split_last(&self) -> Option<(Self, &[u8])> {
        let bytes = self.as_bytes();
        if bytes.is_empty() {
            return None;
        }
        match bytes.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => Some((Self(Parts::Whole(bytes[..slash].to_vec())), &bytes[slash + 1..])),
            None => Some((Self::root(), bytes)),
        }
    }

    /// The joined bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Parts::Whole(bytes) => bytes,
            Parts::Shared(path) => path.whole.get_or_init(|| path.above.join(&path.name)),
        }
    }
}

impl PartialEq for RelativePath {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for RelativePath {}

impl PartialOrd for RelativePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RelativePath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for RelativePath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// So that a map of paths can be asked for bytes.
impl Borrow<[u8]> for RelativePath {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for RelativePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// The directories of a manifest by index: what turns an entry into a path. Files are not kept.
#[derive(Clone, Debug, Default)]
pub struct DirectoryTable {
    directories: BTreeMap<EntryIndex, Arc<Level>>,
    /// What keys are made with: nobody can make two paths with one key.
    hasher: RandomState,
}

impl DirectoryTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the directories of a page; none whose parent is unknown.
    pub fn add_page(&mut self, page: &Page) {
        for (index, entry) in page.iter().filter(|(_, of)| of.kind == EntryKind::Directory) {
            let Some(key) = self.key(entry) else { continue };
            let above = entry.parent.and_then(|parent| self.directories.get(&parent)).cloned();
            let name = entry.name.clone().into_boxed_slice();
            self.directories.insert(index, Arc::new(Level { above, name, key }));
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
    pub fn path_of(&self, parent: Option<EntryIndex>, name: &[u8]) -> Option<RelativePath> {
        match parent {
            Some(parent) => Some(RelativePath::shared(self.directories.get(&parent)?, name)),
            None => Some(RelativePath::root().join(name)),
        }
    }

    /// A number that stands for the path of an entry in this table: the same for all entries of the path. `None` where a
    /// parent is unknown.
    #[must_use]
    pub fn key(&self, entry: &Entry) -> Option<u64> {
        let above = match entry.parent {
            Some(parent) => Some(self.directories.get(&parent)?.key),
            None => None,
        };
        Some(self.hasher.hash_one((above, &entry.name)))
    }

    /// The directories that an entry lies in, the nearest first, each with its key.
    pub fn above(&self, entry: &Entry) -> impl Iterator<Item = (u64, RelativePath)> {
        let nearest = entry.parent.and_then(|parent| self.directories.get(&parent));
        let levels = std::iter::successors(nearest, |level| level.above.as_ref());
        levels.map(|level| (level.key, level.path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::manifest::ModifiedTime;

    fn directory(parent: Option<EntryIndex>, name: &[u8]) -> Entry {
        Entry {
            parent,
            name: name.to_vec(),
            kind: EntryKind::Directory,
            mode: 0o755,
            modified: ModifiedTime { seconds: 0, nanoseconds: 0 },
            supersedes: None,
        }
    }

    /// A path that shares its directories is the path that does not, in every respect.
    #[test]
    fn shared_paths_are_paths() {
        let mut table = DirectoryTable::new();
        let entries = vec![
            directory(None, b"a"),
            directory(Some(0), b"b"),
            directory(Some(9), b"of nothing"),
            directory(Some(1), b"c"),
        ];
        table.add_page(&Page { number: 0, first_entry: 0, entries });
        assert!(table.contains(3) && !table.contains(2));
        assert_eq!(table.path_of(Some(2), b"x"), None);
        let whole = [&b"a"[..], b"b", b"c", b"x"]
            .iter()
            .fold(RelativePath::root(), |path, name| path.join(name));
        let shared = || table.path_of(Some(3), b"x").expect("known");
        assert_eq!((shared().depth(), whole.depth()), (4, 4));
        assert_eq!(shared(), whole);
        assert_eq!(shared().cmp(&whole), Ordering::Equal);
        assert_eq!(shared().as_bytes(), b"a/b/c/x");
        assert_eq!(
            shared().split_last(),
            Some((table.path_of(Some(1), b"c").expect("known"), &b"x"[..]))
        );
        assert_eq!(std::collections::HashSet::from([shared(), whole]).len(), 1);
        let top = table.path_of(None, b"a").expect("the root is known");
        assert_eq!((top.depth(), top.as_bytes()), (1, &b"a"[..]));
        assert_eq!(RelativePath::root().depth(), 0);
        // All entries of a path have its key.
        let again = Page {
            number: 1,
            first_entry: 4,
            entries: vec![directory(None, b"a"), directory(Some(4), b"b")],
        };
        table.add_page(&again);
        let keys = |parent| {
            let entry = directory(Some(parent), b"x");
            table
                .above(&entry)
                .map(|(key, path)| (key, path.as_bytes().to_vec()))
                .collect::<Vec<_>>()
        };
        assert_eq!(keys(5), keys(1));
        assert_eq!(
            keys(1).iter().map(|(_, path)| &path[..]).collect::<Vec<_>>(),
            [&b"a/b"[..], b"a"]
        );
        assert_eq!(table.key(&directory(Some(5), b"x")), table.key(&directory(Some(1), b"x")));
        assert_ne!(table.key(&directory(Some(5), b"x")), table.key(&directory(Some(4), b"x")));
    }
}
