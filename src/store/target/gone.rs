//! Directories that are gone at the source (Q): what this session made and published there makes room, what is the user's stays.
//!
//! **Whose a directory is, the journal says** ([`super::made`]). What is in it is this session's where the journal has it as published and its content, read again, is that. A single name that is
//! neither keeps the whole directory.

use super::TargetStore;
use super::compare::Stamp;
use crate::fs::{Directory, FileKind, Metadata};
use crate::store::error::{disk_error, is_of_entry};
use crate::store::journal::Record;
use crate::transfer::disk::DiskError;
use crate::transfer::manifest::{EntryIndex, EntryKind, RelativePath};
use crate::transfer::ranges::Ranges;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;

/// Levels of directories that are looked through.
const DEPTH_MAX: usize = crate::transfer::name::DEPTH_MAX;

/// The last entry of each name of the manifest, once that was asked for.
#[derive(Debug, Default)]
pub(super) struct LastNames {
    /// By a hash over directory and name, 64 bits: what it finds is compared.
    last: HashMap<u64, EntryIndex>,
    /// Pages looked through for that.
    pages: u64,
}

/// What is to be removed: names in the order in which they can be.
struct Removal {
    path: RelativePath,
    entry: EntryIndex,
    /// Of a file or symlink, as it was when it was read; none of a directory.
    stamp: Option<Stamp>,
}

fn key(parent: Option<EntryIndex>, name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (parent, name).hash(&mut hasher);
    hasher.finish()
}

impl<D: Directory> TargetStore<D> {
    /// Removes those that are ours and hold nothing.
    pub(super) fn remove_directories(
        &mut self,
        directories: Vec<(EntryIndex, RelativePath)>,
    ) -> Result<(), DiskError> {
        let mut removed = Ranges::new();
        for (entry, path) in directories {
            match self.remove_empty(entry, &path) {
                Ok(Some(made)) => removed.insert(made),
                Ok(None) => {}
                Err(error) if is_of_entry(&error) => {
                    let error = disk_error("remove directory", path.as_bytes(), &error);
                    tracing::debug!(target: "rejoin::store", %error, "a directory stays");
                }
                Err(error) => return Err(disk_error("remove directory", path.as_bytes(), &error)),
            }
        }
        self.record_unmade(&removed)
    }

    fn remove_empty(
        &mut self,
        entry: EntryIndex,
        path: &RelativePath,
    ) -> io::Result<Option<EntryIndex>> {
        let Some((above, name)) = path.split_last() else { return Ok(None) };
        let parent = self.directories.open(&above)?;
        let name = self.directories.name_of(path, name).to_vec();
        let name = name.as_slice();
        let found = parent.metadata(name)?;
        let Some(made) = self.made_there(entry, &found)? else { return Ok(None) };
        self.remove_directory(path, &above, &parent, name)?;
        Ok(Some(made))
    }

    fn remove_directory(
        &mut self,
        path: &RelativePath,
        above: &RelativePath,
        parent: &D,
        name: &[u8],
    ) -> io::Result<()> {
        self.in_directory(above, |_| parent.remove_directory(name))?;
        let real = self.directories.real(path);
        self.opened.forget(&real);
        // Its handle, and what was known of it, are of something that is not there any more.
        self.directories.forget();
        self.assured.clear();
        self.touched.remove(path);
        self.touched.insert(above.clone());
        Ok(())
    }

    /// Whether what has the name of an entry is a directory of this session that is gone at the source; with what is in it
    /// and is not of this session.
    pub(super) fn gone_directory(
        &mut self,
        old: EntryIndex,
        path: &RelativePath,
        metadata: &Metadata,
    ) -> io::Result<Option<Option<RelativePath>>> {
        if self.made_there(old, metadata)?.is_none() {
            return Ok(None);
        }
        let mut removals = Vec::new();
        Ok(Some(self.find_foreign(old, path, &mut removals, 0)?))
    }

    /// Removes a directory of this session that is gone at the source, with all that this session published there; whether
    /// it did. What is not this session's keeps all of it.
    pub(super) fn remove_gone_directory(
        &mut self,
        old: EntryIndex,
        path: &RelativePath,
        metadata: &Metadata,
    ) -> io::Result<bool> {
        if self.made_there(old, metadata)?.is_none() {
            return Ok(false);
        }
        let mut removals = Vec::new();
        if self.find_foreign(old, path, &mut removals, 0)?.is_some() {
            return Ok(false);
        }
        let mut unmade = Ranges::new();
        let outcome = self.remove_all(removals, &mut unmade);
        // Of what is gone by now, whatever failed after it.
        self.record_unmade(&unmade).map_err(failing)?;
        outcome?;
        let (above, name) = path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(!super::publish::exists(&self.directories.open(&above)?, name)?)
    }

    /// Removes them in order, up to the first that somebody touched; the directories that went are in `unmade`.
    fn remove_all(&mut self, removals: Vec<Removal>, unmade: &mut Ranges) -> io::Result<()> {
        for Removal { path, entry, stamp } in removals {
            let Some((above, name)) = path.split_last() else { continue };
            let parent = self.directories.open(&above)?;
            let Some(stamp) = stamp else {
                let name = self.directories.name_of(&path, name).to_vec();
                // Fails where something is in it by now.
                self.remove_directory(&path, &above, &parent, &name)?;
                if let Some(made) = self.made_by(entry) {
                    unmade.insert(made);
                }
                continue;
            };
            // Somebody was quicker: what is left stays.
            if Stamp::of(&parent.metadata(name)?) != stamp {
                break;
            }
            self.in_directory(&above, |_| parent.remove_file(name))?;
            self.touched.insert(above);
            self.journal(&Record::Discard { entry, units: (0, 0) }).map_err(failing)?;
            self.forget_complete(entry);
        }
        Ok(())
    }

    /// Looks through a directory for what is not this session's; else all that is to be removed, itself last.
    fn find_foreign(
        &mut self,
        entry: EntryIndex,
        path: &RelativePath,
        removals: &mut Vec<Removal>,
        depth: usize,
    ) -> io::Result<Option<RelativePath>> {
        if depth > DEPTH_MAX {
            return Ok(Some(path.clone()));
        }
        // Every entry that the directory had: children name any of them.
        let parents: Vec<EntryIndex> = self.pages.versions(entry).collect();
        let directory = self.directories.open(path)?;
        for name in directory.names()? {
            let below = self.path_by_name(path, &name);
            let own = below.split_last().map_or_else(Vec::new, |(_, name)| name.to_vec());
            let Some(last) = self.last_entry(&parents, &own)? else { return Ok(Some(below)) };
            let metadata = directory.metadata(&name)?;
            let is_foreign = match metadata.kind {
                FileKind::Directory => {
                    if self.made_there(last, &metadata)?.is_none() {
                        true
                    } else if let Some(found) =
                        self.find_foreign(last, &below, removals, depth + 1)?
                    {
                        return Ok(Some(found));
                    } else {
                        false
                    }
                }
                FileKind::File | FileKind::Symlink => {
                    match self.version_there(last, &metadata, (&directory, &name), true)? {
                        Some(entry) => {
                            let path = below.clone();
                            let stamp = Some(Stamp::of(&metadata));
                            removals.push(Removal { path, entry, stamp });
                            false
                        }
                        None => true,
                    }
                }
                FileKind::Other => true,
            };
            if is_foreign {
                return Ok(Some(below));
            }
        }
        removals.push(Removal { path: path.clone(), entry, stamp: None });
        Ok(None)
    }

    /// The last entry of a name in a directory.
    fn last_entry(
        &mut self,
        parents: &[EntryIndex],
        name: &[u8],
    ) -> io::Result<Option<EntryIndex>> {
        while self.names.pages < self.pages.len() {
            let page = self.pages.page(self.names.pages)?;
            for (index, content) in page.iter() {
                if !matches!(content.kind, EntryKind::Metadata { .. }) {
                    self.names.last.insert(key(content.parent, &content.name), index);
                }
            }
            self.names.pages += 1;
        }
        let found =
            parents.iter().filter_map(|parent| self.names.last.get(&key(Some(*parent), name)));
        let Some(&last) = found.max() else { return Ok(None) };
        let is_it = self.pages.entry(last)?.is_some_and(|entry| {
            entry.name == name && entry.parent.is_some_and(|parent| parents.contains(&parent))
        });
        Ok(is_it.then_some(last))
    }
}

/// Why a directory stays.
pub(super) fn inhabited_message(found: &RelativePath) -> String {
    format!(
        "a directory has its name, and in it is {}, which this session did not put there",
        crate::store::escape(found.as_bytes())
    )
}

/// What stops a removal is of one entry, whatever failed.
fn failing(error: DiskError) -> io::Error {
    io::Error::other(error.to_string())
}
