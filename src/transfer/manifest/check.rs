//! What a page must satisfy before anything of it is believed (A-01…A-10, I-01; design §5).

use super::names::{DIRECTORY, GONE, Holder, MARKS, Names, SYMLINK};
use super::sizes::{EntrySize, Sizes};
use super::{ENTRIES_MAX, Entry, EntryIndex, EntryKind, FILE_BYTES_MAX, Page, Totals};
use crate::transfer::name::{self, DEPTH_MAX, NameError, PATH_BYTES_MAX};
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use thiserror::Error;

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
    /// Its parent is a file, a later entry, or one that replaces a directory.
    #[error("entry {index} has no earlier directory as its parent")]
    NoSuchParent {
        /// The entry.
        index: EntryIndex,
    },
    /// The same path twice.
    #[error("entry {index}: {name} is a duplicate")]
    Duplicate {
        /// The second of the two.
        index: EntryIndex,
        /// Its name, escaped.
        name: String,
    },
    /// More than [`ENTRIES_MAX`] entries or [`FILE_BYTES_MAX`] bytes.
    #[error("the manifest exceeds {ENTRIES_MAX} entries or {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// Replaces what is not the last entry of its own path, or a directory by a file or the other way round without saying
    /// first that it is gone; or gives metadata to what is not that, or no regular file.
    #[error("entry {index} is of an entry that is not the last one of its path and kind")]
    BadSupersede {
        /// The entry.
        index: EntryIndex,
    },
}

impl ManifestError {
    /// The entry at fault, where it is one.
    #[must_use]
    pub const fn entry(&self) -> Option<EntryIndex> {
        match self {
            Self::NoSuchParent { index }
            | Self::Duplicate { index, .. }
            | Self::BadSupersede { index } => Some(*index),
            Self::OutOfSequence { .. } | Self::TooLarge => None,
        }
    }
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
    /// Its path is longer than [`PATH_BYTES_MAX`].
    #[error("its path is longer than {PATH_BYTES_MAX} bytes")]
    TooLong,
    /// Larger than [`FILE_BYTES_MAX`].
    #[error("its size is beyond {FILE_BYTES_MAX} bytes")]
    TooLarge,
}

/// What became of one entry of a page.
pub type Verdict = Result<(), Refusal>;

/// Checks pages one after the other.
///
/// A later run of the sender adds what changed since behind what it promised before, so a page may reach into any
/// directory of an earlier one: every name is remembered, in 16 bytes and a little room, about 18 MB for 10^6 entries.
#[derive(Debug, Clone, Default)]
pub struct PageCheck {
    next_page: u64,
    totals: Totals,
    /// Bytes of the files that were not refused.
    accepted_bytes: u64,
    directories: HashMap<EntryIndex, Parent>,
    /// Who holds a name, by 96 bits of hashes over its directory and its bytes: two of 10^6 names meet by chance once in
    /// 10^17 manifests, and are refused then. Names that differ by case or composition are two: whether they can be
    /// held apart is for the disk that receives them.
    names: Names,
    /// With a key of its own for every manifest: whoever knew it could make names that all meet in one shard (S-13).
    hasher: RandomState,
    sizes: Sizes,
}

/// A directory whose children may come.
#[derive(Debug, Clone, Copy)]
struct Parent {
    /// Directories above it.
    depth: usize,
    /// Bytes of its path.
    path_bytes: usize,
    refused: bool,
}

impl PageCheck {
    /// Before the first page.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
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
            if let Some(old) = entry.supersedes {
                let old = self.sizes.get(old);
                self.totals.replace(old);
                self.accepted_bytes = self.accepted_bytes.saturating_sub(old.bytes);
            }
            // What is refused has no content: nothing of it will ever be there.
            let size = EntrySize::of(&entry.kind);
            self.sizes.push(if verdict.is_ok() { size } else { EntrySize { bytes: 0, ..size } });
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

    /// What an entry of the pages so far counts in the totals, as long as none replaces it.
    #[must_use]
    pub fn size(&self, entry: EntryIndex) -> EntrySize {
        self.sizes.get(entry)
    }

    /// What the pages so far hold, refused entries included; what was replaced is an entry and no file.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    fn check_entry(&mut self, index: EntryIndex, entry: &Entry) -> Result<Verdict, ManifestError> {
        let Parent { depth, path_bytes, refused } = match entry.parent {
            None => Parent { depth: 0, path_bytes: 0, refused: false },
            // A directory that replaces one gives new metadata only: children keep naming the first.
            Some(parent) => {
                *self.directories.get(&parent).ok_or(ManifestError::NoSuchParent { index })?
            }
        };
        let is_directory = entry.kind == EntryKind::Directory;
        let is_first = self.take_name(index, entry, is_directory)?;
        let path_bytes = path_bytes + usize::from(path_bytes > 0) + entry.name.len();
        let verdict = match refused {
            true => Err(Refusal::Parent),
            false => own_verdict(entry, depth, path_bytes),
        };
        if is_directory && is_first {
            if depth > DEPTH_MAX {
                return Err(ManifestError::NoSuchParent { index });
            }
            // One that is too deep or too long has no children: what is refused costs no more than what is not.
            if path_bytes <= PATH_BYTES_MAX {
                let refused = verdict.is_err();
                self.directories.insert(index, Parent { depth: depth + 1, path_bytes, refused });
            }
        }
        Ok(verdict)
    }

    /// A name has one entry, or a later version of it: file for file, directory for directory, and anything for what is
    /// gone. Whether it begins anew, or is the first.
    fn take_name(
        &mut self,
        index: EntryIndex,
        entry: &Entry,
        is_directory: bool,
    ) -> Result<bool, ManifestError> {
        let (key, exact) = (self.hash(&(entry.parent, &entry.name)), self.hash(&entry.name) as u32);
        let is_gone = entry.kind == EntryKind::Gone;
        let mark = match entry.kind {
            EntryKind::Directory => DIRECTORY,
            EntryKind::Gone => GONE,
            EntryKind::Symlink { .. } => SYMLINK,
            EntryKind::File { .. } => 0,
            // The name stays with the file: what comes next is of it, too.
            EntryKind::Metadata { of } => {
                let is_of_holder = of < index
                    && entry.supersedes.is_none()
                    && self.names.get(key, exact).is_some_and(|held| u64::from(held.index) == of);
                return is_of_holder.then_some(false).ok_or(ManifestError::BadSupersede { index });
            }
        };
        let index_held = u32::try_from(index).map_err(|_| ManifestError::TooLarge)?;
        let before = self.names.insert(key, Holder { index: index_held | mark, exact });
        match (before, entry.supersedes) {
            (None, None) if !is_gone => Ok(true),
            (Some(before), Some(old))
                if u64::from(before.index & !MARKS) == old
                    && match before.index & (DIRECTORY | GONE) {
                        GONE => !is_gone,
                        kind => is_gone || (kind == DIRECTORY) == is_directory,
                    } =>
            {
                Ok(before.index & GONE != 0)
            }
            (Some(_), None) if !is_gone => {
                let name = entry.name.escape_ascii().to_string();
                Err(ManifestError::Duplicate { index, name })
            }
            _ => Err(ManifestError::BadSupersede { index }),
        }
    }

    fn hash(&self, what: &impl Hash) -> u64 {
        self.hasher.hash_one(what)
    }
}

/// The rules that an entry breaks by itself; `depth` counts the directories above it, `path_bytes` all of its path.
fn own_verdict(entry: &Entry, depth: usize, path_bytes: usize) -> Verdict {
    name::check_name(&entry.name)?;
    if depth > DEPTH_MAX {
        return Err(Refusal::TooDeep);
    }
    if path_bytes > PATH_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    match &entry.kind {
        EntryKind::Symlink { target } => Ok(name::check_symlink_target(target, depth)?),
        EntryKind::File { bytes } if *bytes > FILE_BYTES_MAX => Err(Refusal::TooLarge),
        EntryKind::File { .. }
        | EntryKind::Directory
        | EntryKind::Gone
        | EntryKind::Metadata { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::manifest::ModifiedTime;
    use std::hash::{DefaultHasher, Hasher as _};

    /// S-13: names that meet in one shard for whoever knows the key of the hash are spread over all of them here.
    #[test]
    fn names_cannot_be_made_to_meet() {
        let meets = |name: &Vec<u8>| {
            let mut hasher = DefaultHasher::new();
            (None::<EntryIndex>, name).hash(&mut hasher);
            hasher.finish() >> 50 == 0
        };
        let mined = (0_u64..).map(|number| format!("{number:x}").into_bytes()).filter(meets);
        let entries = mined.take(64).map(|name| Entry {
            parent: None,
            name,
            kind: EntryKind::Directory,
            mode: 0o755,
            modified: ModifiedTime { seconds: 0, nanoseconds: 0 },
            supersedes: None,
        });
        let mut check = PageCheck::new();
        let page = Page { number: 0, first_entry: 0, entries: entries.collect() };
        assert!(check.check(&page).is_ok_and(|verdicts| verdicts.iter().all(Result::is_ok)));
        assert!(check.names.largest_shard() < 8, "{}", check.names.largest_shard());
    }
}
