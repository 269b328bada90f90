//! Names that the disk takes for one (I): it decides, and what it folds is no other version of a file, but another file.
//!
//! Whether a directory folds a name shows in that another spelling of it leads to the same thing, whatever it lists: some
//! disks show all in small letters. Where another spelling leads to what looks like another thing, a directory that does not
//! list both folds, too: some drivers make up an inode for each spelling. Which names of the manifest meet then is looked up
//! in its pages, once such a directory was met and something was in the way.
//!
//! **Whose it is what two entries of the manifest find there is told in one place** ([`TargetStore::holder`]), in the survey as when it is
//! published, so that every run tells the same: the one that is recorded as complete has it, else the one whose name the disk lists, else, where a disk
//! lists names in its own way, the one of that size, else the earlier one. Nothing of the other one is fetched, unless it gets another name.

use super::TargetStore;
use crate::fs::{Directory, FileKind, Metadata, remove_if_present};
use crate::store::error::disk_error;
use crate::transfer::disk::{DiskError, Publish};
use crate::transfer::manifest::{EntryIndex, EntryKind, RelativePath};
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
    /// Directories whose names meet, each with the first of them: what is in them meets, too. Those that only give newer
    /// metadata are with the one that they give it to.
    same: HashMap<EntryIndex, EntryIndex>,
    /// Pages looked through.
    pages: u64,
    /// Directories whose lists showed that they fold, by device and inode.
    folding: BTreeSet<(u64, u64)>,
    /// Whether the disk lists names as they were given, once that was tried.
    lists_as_given: Option<bool>,
    /// What got its name in this batch, and is not recorded as complete yet.
    pub(super) placed: BTreeSet<EntryIndex>,
}

impl Twins {
    /// The first of the directories whose names meet that of this one.
    fn first_of(&self, directory: EntryIndex) -> EntryIndex {
        self.same.get(&directory).copied().unwrap_or(directory)
    }
}

/// Whose of two entries something is whose name both have.
enum Holder {
    /// That of the entry that was asked for.
    This,
    /// That of the other one.
    Other,
}

/// A file of ours whose name shows how the disk lists names.
pub(super) const PROBE: &[u8] = b"Names";

/// Directories known to fold although inodes say nothing there, at most.
const FOLDING_MAX: usize = 4_096;

/// Whether `directory` lists both names: then they are two files, as both were found.
fn lists_both<D: Directory>(directory: &D, one: &[u8], other: &[u8]) -> io::Result<bool> {
    let names = directory.names()?;
    let is_listed = |name: &[u8]| names.iter().any(|listed| listed == name);
    Ok(is_listed(one) && is_listed(other))
}

/// Why an entry has no name of its own.
pub(super) fn twin_message(other: &RelativePath) -> String {
    format!("this disk takes it and {} for one name", crate::store::escape(other.as_bytes()))
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

/// A name, or a path, as a disk that folds all it can sees it.
pub(super) fn fold(name: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(name) {
        Ok(name) => name.nfd().flat_map(char::to_lowercase).nfc().collect::<String>().into_bytes(),
        Err(_) => name.to_ascii_lowercase(),
    }
}

/// A name as a disk that folds all it can sees it, with its directory.
fn folded(parent: Option<EntryIndex>, name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parent.hash(&mut hasher);
    fold(name).hash(&mut hasher);
    hasher.finish()
}

impl<D: Directory> TargetStore<D> {
    /// Whether `directory` takes another spelling of `name` for what is there.
    pub(super) fn folds(
        &mut self,
        directory: &D,
        name: &[u8],
        metadata: &Metadata,
    ) -> io::Result<bool> {
        for variant in variants(name).iter().filter(|variant| *variant != name) {
            let Ok(other) = directory.metadata(variant) else { continue };
            if (other.inode, other.device, other.bytes)
                == (metadata.inode, metadata.device, metadata.bytes)
            {
                return Ok(true);
            }
            let own = directory.own_metadata()?;
            if self.twins.folding.contains(&(own.device, own.inode)) {
                return Ok(true);
            }
            if !lists_both(directory, name, variant)? {
                if self.twins.folding.len() >= FOLDING_MAX {
                    self.twins.folding.clear();
                }
                self.twins.folding.insert((own.device, own.inode));
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether what has the name of an entry is another complete entry of this session, as it was published. It holds whatever
    /// is known of the directory.
    pub(super) fn is_complete_twin(
        &mut self,
        entry: EntryIndex,
        (parent, name): (&D, &[u8]),
        metadata: &Metadata,
    ) -> io::Result<bool> {
        // The pages are not looked through for a name that has no other spelling there.
        if !variants(name).iter().any(|other| other != name && parent.metadata(other).is_ok()) {
            return Ok(false);
        }
        let Some(twin) = self.twin_of(entry)? else { return Ok(false) };
        let Some((_, other)) = self
            .path_of(twin)
            .and_then(|path| path.split_last().map(|(above, name)| (above, name.to_vec())))
        else {
            return Ok(false);
        };
        Ok(self.is_as_published(twin, metadata, (parent, name), true)? == Some(true)
            && (other == name || !lists_both(parent, name, &other)?))
    }

    /// The other entry of the manifest whose name folds to that of `entry`.
    pub(super) fn twin_of(&mut self, entry: EntryIndex) -> io::Result<Option<EntryIndex>> {
        self.read_names()?;
        let Some(&other) = self.twins.doubled.get(&entry) else { return Ok(None) };
        let parent = |of: Option<crate::transfer::manifest::Entry>| of.and_then(|of| of.parent);
        // Directories whose names meet may have got others: then what is in them does not meet.
        if parent(self.pages.entry(entry)?) == parent(self.pages.entry(other)?) {
            return Ok(Some(other));
        }
        let above = self.path_of(entry).and_then(|path| Some(path.split_last()?.0));
        Ok(above.is_some_and(|above| self.is_shared(&above)).then_some(other))
    }

    /// Whose of `entry` and its twin `other` something is that both find at `name`.
    fn holder(
        &mut self,
        (entry, other): (EntryIndex, EntryIndex),
        (parent, name): (&D, &[u8]),
    ) -> io::Result<Holder> {
        let names = parent.names()?;
        let is_listed = |name: &[u8]| names.iter().any(|listed| listed == name);
        let other_path = self.path_of(other);
        let other_name = other_path.as_ref().and_then(RelativePath::split_last);
        // The same name in two directories that are one says nothing.
        let other_name = other_name.map(|(_, name)| name).filter(|other| *other != name);
        let is_other_listed = other_name.is_some_and(is_listed);
        if is_listed(name) && is_other_listed {
            return Ok(Holder::This);
        }
        let mut is_complete = |entry| -> io::Result<bool> {
            Ok(self.twins.placed.contains(&entry) || self.complete(entry)?.is_some())
        };
        let is_this = match (is_complete(entry)?, is_complete(other)?) {
            (is_this, is_other) if is_this != is_other => is_this,
            _ if other_name.is_some()
                && is_listed(name) != is_other_listed
                && self.lists_as_given(parent)? =>
            {
                is_listed(name)
            }
            _ => {
                let there = parent.metadata(name)?;
                match (self.has_size(entry, &there)?, self.has_size(other, &there)?) {
                    (is_this, is_other) if is_this != is_other => is_this,
                    _ => entry < other,
                }
            }
        };
        Ok(if is_this { Holder::This } else { Holder::Other })
    }

    /// Whether an entry is of the size and kind of what is there.
    fn has_size(&mut self, entry: EntryIndex, there: &Metadata) -> io::Result<bool> {
        Ok(match (self.pages.entry(entry)?.map(|entry| entry.kind), there.kind) {
            (Some(EntryKind::File { bytes }), FileKind::File) => bytes == there.bytes,
            (Some(EntryKind::Symlink { .. }), FileKind::Symlink) => true,
            _ => false,
        })
    }

    /// Whether the disk of a directory lists a name as it was given; only that of the target is tried.
    fn lists_as_given(&mut self, directory: &D) -> io::Result<bool> {
        if directory.own_metadata()?.device != self.device {
            return Ok(false);
        }
        if let Some(known) = self.twins.lists_as_given {
            return Ok(known);
        }
        remove_if_present(&self.partials, PROBE)?;
        let made = self.partials.create_file(PROBE, 0o600).map(drop);
        let known = made.is_ok() && self.partials.names()?.iter().any(|name| name == PROBE);
        remove_if_present(&self.partials, PROBE)?;
        self.twins.lists_as_given = Some(known);
        Ok(known)
    }

    /// The path of the other entry whose what is there is, if `entry` and that one have one name on this disk.
    pub(super) fn held_by_twin(
        &mut self,
        entry: EntryIndex,
        (parent, name): (&D, &[u8]),
    ) -> io::Result<Option<RelativePath>> {
        let Some(other) = self.twin_of(entry)? else { return Ok(None) };
        match self.holder((entry, other), (parent, name))? {
            Holder::This => Ok(None),
            Holder::Other => Ok(self.path_of(other)),
        }
    }

    /// Whether the manifest has a name, or one that folds to it, beside `entry`.
    pub(super) fn is_named(&mut self, entry: EntryIndex, name: &[u8]) -> io::Result<bool> {
        Ok(self.first_named(entry, name)?.is_some())
    }

    /// The same, of the page of `entry` and those before it: what comes later is not known in every run.
    pub(super) fn is_named_so_far(&mut self, entry: EntryIndex, name: &[u8]) -> io::Result<bool> {
        let first = self.first_named(entry, name)?;
        Ok(first.is_some_and(|first| first < self.pages.end_of_page(entry)))
    }

    fn first_named(&mut self, entry: EntryIndex, name: &[u8]) -> io::Result<Option<EntryIndex>> {
        self.read_names()?;
        let parent = self.pages.entry(entry)?.and_then(|entry| entry.parent);
        let parent = parent.map(|parent| self.twins.first_of(parent));
        Ok(self.twins.first.get(&folded(parent, name)).copied())
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
            let page = self.pages.page(self.twins.pages)?;
            for (index, content) in page.iter() {
                let is_directory = content.kind == EntryKind::Directory;
                if let Some(old) = content.supersedes {
                    if is_directory {
                        let first = self.twins.first_of(old);
                        self.twins.same.insert(index, first);
                    }
                    continue;
                }
                let parent = content.parent.map(|parent| self.twins.first_of(parent));
                let first = *self.twins.first.entry(folded(parent, &content.name)).or_insert(index);
                if first != index {
                    self.twins.doubled.insert(index, first);
                    self.twins.doubled.insert(first, index);
                    if is_directory {
                        self.twins.same.insert(index, first);
                    }
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
        if self.directories.is_respelled(path) {
            return Ok(());
        }
        if !self.folds(parent, name, &parent.metadata(name)?)? {
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
        if !is_shared && by_links.is_none() && !self.folds(parent, name, &parent.metadata(name)?)? {
            return Ok(None);
        }
        let twin = self.held_by_twin(publish.entry, (parent, name))?;
        let Some(other) = twin.or(by_links) else { return Ok(None) };
        let taken = io::ErrorKind::AlreadyExists.into();
        let mut error = disk_error("publish", publish.path.as_bytes(), &taken);
        error.message = twin_message(&other);
        Ok(Some(error))
    }
}
