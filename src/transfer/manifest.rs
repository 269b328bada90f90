//! The promised tree: an append-only log of numbered pages (design §5).
//!
//! Order is canonical: depth-first, each directory's names sorted by bytes. An entry names its parent by index, so
//! nothing on the wire is a path. The digest is a chain over the encoded pages.

mod check;
mod names;
mod path;
mod sizes;
mod succession;

pub use check::{ManifestError, PageCheck, Refusal, Verdict};
pub use path::{DirectoryTable, RelativePath};
pub use sizes::EntrySize;
pub use succession::Succession;

use crate::wire::{CodecError, SessionId, codec};
use bincode::{Decode, Encode};

/// Most entries of a page.
pub const PAGE_ENTRIES_MAX: usize = 1_024;

/// Largest encoded page in bytes: fits one frame with its header.
pub const PAGE_BYTES_MAX: usize = 60_000;

/// Most entries of a manifest: ten times the million that must work.
pub const ENTRIES_MAX: u64 = 10_000_000;

/// Largest file, in bytes (1 PiB), and the largest sum of all files: far from where arithmetic on offsets wraps.
pub const FILE_BYTES_MAX: u64 = 1 << 50;

/// Index of an entry: its place in the manifest, counted over all pages.
pub type EntryIndex = u64;

/// A modification time: seconds since 1970 (may be negative) and nanoseconds within the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct ModifiedTime {
    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// 0..1,000,000,000.
    pub nanoseconds: u32,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum EntryKind {
    /// A directory; its children follow and name it as their parent.
    Directory,
    /// A regular file.
    File {
        /// Size in bytes.
        bytes: u64,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as bytes, relative (see [`super::name::check_symlink_target`]).
        target: Vec<u8>,
    },
    /// What an earlier entry promised is not there any more: it supersedes that one, and counts nothing. A receiver drops
    /// what it has of it unfinished, and leaves alone what is complete.
    Gone,
    /// A file that an earlier entry promised has another mode and time, and the content that it had. This entry replaces
    /// nothing and counts nothing: it says what that file is to have besides its content.
    Metadata {
        /// The last entry of this path: a regular file, which goes on as it was.
        of: EntryIndex,
    },
}

/// One file, directory or symlink of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// Index of the directory it lies in; `None`: the root.
    pub parent: Option<EntryIndex>,
    /// One path component, as bytes.
    pub name: Vec<u8>,
    /// Directory, file or symlink; or what became of an earlier one.
    pub kind: EntryKind,
    /// Permission bits, of which only `0o777` are used.
    pub mode: u32,
    /// Modification time.
    pub modified: ModifiedTime,
    /// The entry that this one replaces, for a source file that changed after its page was made.
    pub supersedes: Option<EntryIndex>,
}

/// A numbered page of entries.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Page {
    /// Counted from 0.
    pub number: u64,
    /// Index of its first entry.
    pub first_entry: EntryIndex,
    /// Its entries, in canonical order.
    pub entries: Vec<Entry>,
}

impl Page {
    /// The page's bytes, as sent, stored and chained.
    ///
    /// # Errors
    /// Over [`PAGE_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self, "manifest page", PAGE_BYTES_MAX)
    }

    /// A page from bytes; only its form is checked here, its content by [`PageCheck`].
    ///
    /// # Errors
    /// Anything that is not exactly one page within the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let page: Self = codec::decode(bytes, "manifest page", PAGE_BYTES_MAX)?;
        if page.entries.len() > PAGE_ENTRIES_MAX {
            let (bytes, limit) = (page.entries.len(), PAGE_ENTRIES_MAX);
            return Err(CodecError::TooLarge {
                what: "number of entries of a manifest page",
                bytes,
                limit,
            });
        }
        Ok(page)
    }

    /// Its entries with their indices.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (EntryIndex, &Entry)> {
        self.entries.iter().enumerate().map(|(at, entry)| (self.first_entry + at as u64, entry))
    }

    /// Index after its last entry.
    #[must_use]
    pub fn end_entry(&self) -> EntryIndex {
        self.first_entry.saturating_add(self.entries.len() as u64)
    }

    /// The entry with that index, if it is on this page.
    #[must_use]
    pub fn entry(&self, index: EntryIndex) -> Option<&Entry> {
        let at = usize::try_from(index.checked_sub(self.first_entry)?).ok()?;
        self.entries.get(at)
    }
}

/// The manifest's digest so far: a chain over its encoded pages that starts from the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Chain(pub [u8; 32]);

impl Chain {
    /// The value before the first page.
    #[must_use]
    pub fn start(session: SessionId) -> Self {
        Self(blake3::derive_key("rejoin 2026 manifest chain v1", &session.0))
    }

    /// The value after one more page.
    #[must_use]
    pub fn extend(self, encoded_page: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(encoded_page);
        Self(*hasher.finalize().as_bytes())
    }
}

/// How much a manifest holds, so far or in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Totals {
    /// Entries of every kind.
    pub entries: u64,
    /// Regular files and symlinks that no later entry replaces.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Directories that no later entry replaces.
    pub directories: u64,
}

impl Totals {
    /// Counts one more entry. Saturates: the limits are checked where entries are.
    pub const fn add(&mut self, entry: &Entry) {
        let size = EntrySize::of(&entry.kind);
        self.entries += 1;
        self.files += size.files;
        self.directories += size.directories;
        self.bytes = self.bytes.saturating_add(size.bytes);
    }

    /// An entry counts no more: a later one took its place. It stays an entry.
    pub const fn replace(&mut self, old: EntrySize) {
        self.files = self.files.saturating_sub(old.files);
        self.directories = self.directories.saturating_sub(old.directories);
        self.bytes = self.bytes.saturating_sub(old.bytes);
    }
}
