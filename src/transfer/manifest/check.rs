//! What a page must satisfy before anything of it is believed (A-01…A-10, I-01; design §5).

use super::{ENTRIES_MAX, Entry, EntryIndex, EntryKind, FILE_BYTES_MAX, Page, Totals};
use crate::transfer::name::{self, DEPTH_MAX, NameError};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;

/// A page that no honest sender makes: the session ends and nothing of the page is published.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// Not the page that comes next.
    #[error("manifest page {number} starting at entry {first_entry} is not the next one")]
    OutOfSequence {
        /// Number it gives.
        number: u64,
        /// First entry it gives.
        first_entry: EntryIndex,
    },
    /// Its parent is a file, a later entry, or a directory that was already left.
    #[error("entry {index} has no open directory as its parent")]
    NoSuchParent {
        /// The entry.
        index: EntryIndex,
    },
    /// The same path twice, or names out of order, which would hide it.
    #[error("entry {index}: {name} is a duplicate or out of order")]
    Duplicate {
        /// The second of the two.
        index: EntryIndex,
        /// Its name, escaped.
        name: String,
    },
    /// Two names that one file system or another takes for the same.
    #[error(
        "entry {index}: {name} differs from another name in its directory only by case or composition"
    )]
    Twin {
        /// The second of the two.
        index: EntryIndex,
        /// Its name, escaped.
        name: String,
    },
    /// More than [`ENTRIES_MAX`] entries or [`FILE_BYTES_MAX`] bytes.
    #[error("the manifest exceeds {ENTRIES_MAX} entries or {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// Replaces an entry that is not an earlier file.
    #[error("entry {index} replaces an entry that is not an earlier file")]
    BadSupersede {
        /// The entry.
        index: EntryIndex,
    },
}

/// Why one entry is refused while the rest of its page is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Its name or symlink target.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Its directory was refused.
    #[error("its directory was refused")]
    Parent,
    /// Deeper than [`DEPTH_MAX`].
    #[error("it lies deeper than {DEPTH_MAX} directories")]
    TooDeep,
    /// Larger than [`FILE_BYTES_MAX`].
    #[error("its size is beyond {FILE_BYTES_MAX} bytes")]
    TooLarge,
}

/// What became of one entry of a page.
pub type Verdict = Result<(), Refusal>;

/// Checks pages one after the other; memory grows with the depth and width of the open directories only.
#[derive(Debug, Clone)]
pub struct PageCheck {
    next_page: u64,
    totals: Totals,
    /// Bytes of the files that were not refused.
    accepted_bytes: u64,
    open: Vec<OpenDirectory>,
}

/// A directory whose children may still come.
#[derive(Debug, Clone)]
struct OpenDirectory {
    index: Option<EntryIndex>,
    refused: bool,
    last_name: Option<Vec<u8>>,
    /// Hashes of folded names: 64 bits each, so that 10^6 names in one directory cost 20 MB and not 100.
    folded: HashSet<u64>,
}

impl OpenDirectory {
    fn new(index: Option<EntryIndex>, refused: bool) -> Self {
        Self { index, refused, last_name: None, folded: HashSet::new() }
    }
}

impl Default for PageCheck {
    fn default() -> Self {
        Self::new()
    }
}

impl PageCheck {
    /// Before the first page.
    #[must_use]
    pub fn new() -> Self {
        Self {
            next_page: 0,
            totals: Totals::default(),
            accepted_bytes: 0,
            open: vec![OpenDirectory::new(None, false)],
        }
    }

    /// Checks the next page; one verdict an entry.
    ///
    /// # Errors
    /// [`ManifestError`]: nothing of this page, nor of any later one, may be used.
    pub fn check(&mut self, page: &Page) -> Result<Vec<Verdict>, ManifestError> {
        if page.number != self.next_page || page.first_entry != self.totals.entries {
            return Err(ManifestError::OutOfSequence {
                number: page.number,
                first_entry: page.first_entry,
            });
        }
        let mut verdicts = Vec::with_capacity(page.entries.len());
        for (index, entry) in page.iter() {
            let verdict = self.check_entry(index, entry)?;
            self.totals.add(entry);
            if let (Ok(()), EntryKind::File { bytes }) = (verdict, &entry.kind) {
                self.accepted_bytes = self.accepted_bytes.saturating_add(*bytes);
            }
            verdicts.push(verdict);
            if self.totals.entries > ENTRIES_MAX || self.accepted_bytes > FILE_BYTES_MAX {
                return Err(ManifestError::TooLarge);
            }
        }
        self.next_page += 1;
        Ok(verdicts)
    }

    /// What the pages so far hold, refused entries included.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    fn check_entry(&mut self, index: EntryIndex, entry: &Entry) -> Result<Verdict, ManifestError> {
        // No sender makes one yet. Its parent and name would have to be those of the file that it replaces: taken as it
        // comes, it reaches into directories that were refused.
        if entry.supersedes.is_some() {
            return Err(ManifestError::BadSupersede { index });
        }
        while self.open.last().is_some_and(|directory| directory.index != entry.parent) {
            self.open.pop();
        }
        let depth = self.open.len().saturating_sub(1);
        let Some(directory) = self.open.last_mut() else {
            return Err(ManifestError::NoSuchParent { index });
        };
        if directory.last_name.as_ref().is_some_and(|last| *last >= entry.name) {
            return Err(ManifestError::Duplicate {
                index,
                name: entry.name.escape_ascii().to_string(),
            });
        }
        directory.last_name = Some(entry.name.clone());
        if !directory.folded.insert(fold(&entry.name)) {
            return Err(ManifestError::Twin { index, name: entry.name.escape_ascii().to_string() });
        }
        let verdict =
            if directory.refused { Err(Refusal::Parent) } else { own_verdict(entry, depth) };
        if entry.kind == EntryKind::Directory {
            // Children of a directory that is too deep are not followed further: the stack stays bounded.
            if self.open.len() > DEPTH_MAX + 1 {
                return Err(ManifestError::NoSuchParent { index });
            }
            self.open.push(OpenDirectory::new(Some(index), verdict.is_err()));
        }
        Ok(verdict)
    }
}

/// The rules that an entry breaks by itself; `depth` counts the directories above it.
fn own_verdict(entry: &Entry, depth: usize) -> Verdict {
    name::check_name(&entry.name, entry.parent.is_none())?;
    if depth > DEPTH_MAX {
        return Err(Refusal::TooDeep);
    }
    match &entry.kind {
        EntryKind::Symlink { target } => Ok(name::check_symlink_target(target, depth)?),
        EntryKind::File { bytes } if *bytes > FILE_BYTES_MAX => Err(Refusal::TooLarge),
        EntryKind::File { .. } | EntryKind::Directory => Ok(()),
    }
}

/// A name as a case-insensitive, normalising file system sees it, hashed.
pub(crate) fn fold(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    match std::str::from_utf8(name) {
        Ok(name) if name.is_ascii() => name.to_ascii_lowercase().as_bytes().hash(&mut hasher),
        Ok(name) => {
            let folded: String = name.nfd().flat_map(char::to_lowercase).nfc().collect();
            folded.as_bytes().hash(&mut hasher);
        }
        Err(_) => name.to_ascii_lowercase().hash(&mut hasher),
    }
    hasher.finish()
}
