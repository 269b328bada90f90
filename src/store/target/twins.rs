//! Names that the disk takes for one (I): it decides, and what it folds is no other version of a file, but another file.
//!
//! Whether a directory folds a name shows in that another spelling of it leads to the same thing; names that it lists say
//! nothing, as some disks show all in small letters. Which names of the manifest meet then is looked up in its pages, once
//! such a directory was met and something was in the way.

use super::TargetStore;
use crate::store::error::disk_error;
use crate::store::fs::{Directory, Metadata};
use crate::transfer::disk::{DiskError, Publish};
use crate::transfer::manifest::{EntryIndex, Page, RelativePath};
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use unicode_normalization::UnicodeNormalization as _;

/// What is known about names that meet.
#[derive(Debug, Default)]
pub(super) struct Twins {
    /// Directories that stand for more than one of the manifest.
    shared: BTreeSet<RelativePath>,
    /// The first entry of each folded name, by its hash: 64 bits, so that two meet by chance once in 10^7 manifests.
    first: HashMap<u64, EntryIndex>,
    /// Entries whose folded name an earlier one has, with that one; and the other way round.
    doubled: HashMap<EntryIndex, EntryIndex>,
    /// Pages looked through.
    pages: u64,
}

/// Whether `directory` takes another spelling of `name` for what is there.
pub(super) fn folds<D: Directory>(directory: &D, name: &[u8], metadata: &Metadata) -> bool {
    variants(name).into_iter().any(|variant| {
        variant != name
            && directory.metadata(&variant).is_ok_and(|other| {
                (other.inode, other.device, other.bytes)
                    == (metadata.inode, metadata.device, metadata.bytes)
            })
    })
}

/// Other spellings of a name: of the other case, and composed in the other way.
fn variants(name: &[u8]) -> Vec<Vec<u8>> {
    let flip = |byte: &u8| match byte {
        b'a'..=b'z' => byte.to_ascii_uppercase(),
        _ => byte.to_ascii_lowercase(),
    };
    let mut variants = vec![name.iter().map(flip).collect()];
    if let Ok(text) = std::str::from_utf8(name)
        && !text.is_ascii()
    {
        variants.push(text.nfd().collect::<String>().into_bytes());
        variants.push(text.nfc().collect::<String>().into_bytes());
        variants.push(text.to_uppercase().into_bytes());
        variants.push(text.to_lowercase().into_bytes());
    }
    variants
}

/// A name as a disk that folds all it can sees it, with its directory.
fn folded(parent: Option<EntryIndex>, name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parent.hash(&mut hasher);
    match std::str::from_utf8(name) {
        Ok(name) => {
            let folded: String = name.nfd().flat_map(char::to_lowercase).nfc().collect();
            folded.hash(&mut hasher);
        }
        Err(_) => name.to_ascii_lowercase().hash(&mut hasher),
    }
    hasher.finish()
}

impl<D: Directory> TargetStore<D> {
    /// The other entry of the manifest whose name folds to that of `entry`.
    pub(super) fn twin_of(&mut self, entry: EntryIndex) -> io::Result<Option<EntryIndex>> {
        self.read_names()?;
        Ok(self.twins.doubled.get(&entry).copied())
    }

    /// Whether the manifest has a name, or one that folds to it, beside `entry`.
    pub(super) fn is_named(&mut self, entry: EntryIndex, name: &[u8]) -> io::Result<bool> {
        self.read_names()?;
        let parent = self.pages.entry(entry)?.and_then(|entry| entry.parent);
        Ok(self.twins.first.contains_key(&folded(parent, name)))
    }

    /// Another path of the manifest that followed symlinks lead to the same name as that of `entry`.
    pub(super) fn met_by_links(
        &mut self,
        entry: EntryIndex,
        path: &RelativePath,
    ) -> io::Result<Option<RelativePath>> {
        for other in self.directories.followed().others(path) {
            if self.entry_at(&other)?.is_some_and(|found| found != entry) {
                return Ok(Some(other));
            }
        }
        Ok(None)
    }

    /// The first entry of the manifest at `path`, or at one that folds to it.
    fn entry_at(&mut self, path: &RelativePath) -> io::Result<Option<EntryIndex>> {
        self.read_names()?;
        let mut at = None;
        for name in path.components() {
            at = self.twins.first.get(&folded(at, name)).copied();
            if at.is_none() {
                break;
            }
        }
        Ok(at)
    }

    fn read_names(&mut self) -> io::Result<()> {
        while self.twins.pages < self.pages.len() {
            let page = Page::decode(&self.pages.load(self.twins.pages)?)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            for (index, content) in page.iter().filter(|(_, entry)| entry.supersedes.is_none()) {
                let name = folded(content.parent, &content.name);
                let first = *self.twins.first.entry(name).or_insert(index);
                if first != index {
                    self.twins.doubled.insert(index, first);
                    self.twins.doubled.insert(first, index);
                }
            }
            self.twins.pages += 1;
        }
        Ok(())
    }

    /// Whether a directory, or one above it, stands for several of the manifest.
    pub(super) fn is_shared(&self, path: &RelativePath) -> bool {
        !self.twins.shared.is_empty() && {
            let mut at = RelativePath::root();
            path.components().any(|name| {
                at = at.join(name);
                self.twins.shared.contains(&at)
            })
        }
    }

    /// What has the name of the directory `entry` may be another one of the manifest: what is in both is put together.
    pub(super) fn share(
        &mut self,
        entry: EntryIndex,
        parent: &D,
        path: &RelativePath,
    ) -> io::Result<()> {
        let Some((_, name)) = path.split_last() else { return Ok(()) };
        if !folds(parent, name, &parent.metadata(name)?) {
            return Ok(());
        }
        let Some(other) = self.twin_of(entry)?.and_then(|twin| self.path_of(twin)) else {
            return Ok(());
        };
        let message = format!(
            "this disk takes {} and {} for one directory; what is in both is put together there",
            crate::store::escape(path.as_bytes()),
            crate::store::escape(other.as_bytes())
        );
        if self.twins.shared.insert(path.clone()) {
            self.twins.shared.insert(other);
            self.warnings.add("directories_folded", message);
        }
        Ok(())
    }

    /// Why what has the name of an entry may be another file of the same session, which is never replaced.
    pub(super) fn twin_error(
        &mut self,
        publish: &Publish,
        (above, parent): (&RelativePath, &D),
        name: &[u8],
    ) -> io::Result<Option<DiskError>> {
        let is_shared = self.is_shared(above);
        let by_links = self.met_by_links(publish.entry, &publish.path)?;
        if !is_shared && by_links.is_none() && !folds(parent, name, &parent.metadata(name)?) {
            return Ok(None);
        }
        let twin = self.twin_of(publish.entry)?.and_then(|twin| self.path_of(twin));
        let other = match twin.or(by_links) {
            Some(other) => other,
            None if is_shared => publish.path.clone(),
            None => return Ok(None),
        };
        let taken = io::ErrorKind::AlreadyExists.into();
        let mut error = disk_error("publish", publish.path.as_bytes(), &taken);
        error.message = format!(
            "this disk takes it and {} for one name",
            crate::store::escape(other.as_bytes())
        );
        Ok(Some(error))
    }
}
