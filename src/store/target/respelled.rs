//! Directories under other names (`--on-conflict rename`), by the rule of files ([`super::spelling`]): all below arrives there.
//!
//! The name that a directory got is journalled before it is made, so that every run of the session finds it. Another session
//! finds it by the same rule, page by page in the order of the manifest: the disk refuses the name, and a directory of the
//! spelling is there that the manifest has no use for. **Two directories of a manifest never get one name**: what one has
//! got is taken, and so is what its own page or an earlier one calls something else in the same directory, also where a
//! disk folds the two.

use super::TargetStore;
use super::spelling::{numbered_spelling, spellings};
use super::twins::fold;
use crate::fs::{Directory, FileKind};
use crate::store::error::{disk_error, is_name_refused};
use crate::store::journal::Record;
use crate::store::own::is_state;
use crate::transfer::disk::DiskError;
use crate::transfer::manifest::{EntryIndex, RelativePath};
use std::collections::HashMap;
use std::io;

/// Numbers tried for a second directory of one spelling.
const NUMBERS_MAX: u32 = 999;

/// Directories under other names, at most.
const RESPELLED_MAX: usize = 65_536;

/// Names that were given to directories, by the path that they take, as a disk that folds all sees it.
#[derive(Debug, Default)]
pub(super) struct Respelled {
    /// Each with the path of the manifest.
    taken: HashMap<Vec<u8>, RelativePath>,
    /// Whether it is done at all.
    is_renaming: bool,
}

/// What is there of a name to be given.
enum Place {
    /// Nothing.
    Free,
    /// A directory.
    Directory,
    /// Something else, or a directory that is another's.
    Taken,
    /// The disk does not take it.
    Refused,
}

impl<D: Directory> TargetStore<D> {
    /// Gives directories whose names the disk refuses other ones.
    #[must_use]
    pub const fn renaming(mut self) -> Self {
        self.respelled.is_renaming = true;
        self
    }

    /// Names that earlier runs of this session gave.
    pub(super) fn find_respelled(&mut self, respelled: Vec<(EntryIndex, Vec<u8>)>) {
        for (entry, name) in respelled {
            if let Some(path) = self.path_of(entry) {
                self.respell(&path, &name);
            }
        }
    }

    /// The path on the disk, folded.
    fn folded(&self, path: &RelativePath) -> Vec<u8> {
        fold(self.directories.real(path).as_bytes())
    }

    fn respell(&mut self, path: &RelativePath, name: &[u8]) {
        self.directories.respell(path.clone(), name.to_vec());
        let taken = self.folded(path);
        self.respelled.taken.insert(taken, path.clone());
    }

    fn unspell(&mut self, path: &RelativePath) {
        let taken = self.folded(path);
        self.respelled.taken.remove(&taken);
        self.directories.unspell(path);
    }

    /// The path in the manifest of what has a name in the directory at `above`.
    pub(super) fn path_by_name(&self, above: &RelativePath, name: &[u8]) -> RelativePath {
        let plain = above.join(name);
        if self.respelled.taken.is_empty() {
            return plain;
        }
        let at = fold(self.directories.real(above).join(name).as_bytes());
        let holder = self.respelled.taken.get(&at);
        let is_here =
            |holder: &&RelativePath| holder.split_last().is_some_and(|(of, _)| of == *above);
        holder.filter(is_here).cloned().unwrap_or(plain)
    }

    /// Whether another directory got the name that this one has on the disk.
    pub(super) fn is_given_to_another(&self, path: &RelativePath) -> bool {
        !self.respelled.taken.is_empty()
            && self.respelled.taken.get(&self.folded(path)).is_some_and(|holder| holder != path)
    }

    /// What is there of a name that the directory `path` may get.
    fn place_of(
        &mut self,
        entry: EntryIndex,
        (path, above, parent): (&RelativePath, &RelativePath, &D),
        name: &[u8],
    ) -> io::Result<Place> {
        let own = path.split_last().map(|(_, name)| name);
        if (own != Some(name) && self.is_named_so_far(entry, name)?)
            || self.is_given_to_another_at(path, &above.join(name))
        {
            return Ok(Place::Taken);
        }
        match parent.metadata(name) {
            Ok(found) if found.kind == FileKind::Directory => {
                let is_state =
                    parent.open_directory(name).is_ok_and(|it| is_state(&it).unwrap_or(true));
                Ok(if is_state { Place::Taken } else { Place::Directory })
            }
            Ok(_) => Ok(Place::Taken),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Place::Free),
            Err(error) if is_name_refused(&error) => Ok(Place::Refused),
            Err(error) => Err(error),
        }
    }

    fn is_given_to_another_at(&self, path: &RelativePath, at: &RelativePath) -> bool {
        !self.respelled.taken.is_empty()
            && self.respelled.taken.get(&self.folded(at)).is_some_and(|holder| holder != path)
    }

    /// A directory that an earlier session left under another name; whether there is one, known by that from here on.
    pub(super) fn find_spelling(
        &mut self,
        entry: EntryIndex,
        path: &RelativePath,
    ) -> io::Result<bool> {
        if !self.respelled.is_renaming || self.directories.is_respelled(path) {
            return Ok(false);
        }
        let Some((above, name)) = path.split_last() else { return Ok(false) };
        let is_others = self.is_given_to_another(path);
        let spellings = spellings(name);
        if !is_others && spellings.len() < 2 {
            return Ok(false);
        }
        let parent = self.directories.open(&above)?;
        let (mut spelling, mut number) = if is_others { (0, 1) } else { (1, 0) };
        while spelling < spellings.len() && number <= NUMBERS_MAX {
            let candidate = numbered_spelling(&spellings[spelling], number);
            match self.place_of(entry, (path, &above, &parent), &candidate)? {
                Place::Taken => number += 1,
                Place::Free | Place::Refused => (spelling, number) = (spelling + 1, 0),
                Place::Directory if !is_others && !self.refuses(name)? => return Ok(false),
                Place::Directory => {
                    let failing = |error: DiskError| io::Error::other(error.to_string());
                    self.give(entry, path, candidate).map_err(failing)?;
                    self.tell(path);
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether the disk refuses a name: tried among our own files.
    fn refuses(&self, name: &[u8]) -> io::Result<bool> {
        match self.partials.create_directory(name, 0o700) {
            Ok(()) => self.partials.remove_directory(name).map(|()| false),
            // exFAT's FUSE driver says so of a name that it refuses; the directory that it is tried in is there.
            Err(error) => Ok(error.kind() == io::ErrorKind::NotFound || is_name_refused(&error)),
        }
    }

    /// Makes a directory whose name is not to be had under another one; whether it was made, and is not another's that was
    /// there.
    pub(super) fn create_respelled(
        &mut self,
        entry: EntryIndex,
        path: &RelativePath,
        mode: u32,
        refused: io::Error,
    ) -> io::Result<bool> {
        let Some((above, name)) = path.split_last() else { return Err(refused) };
        let is_others = self.is_given_to_another(path);
        if !self.respelled.is_renaming
            || self.respelled.taken.len() >= RESPELLED_MAX
            || !(is_others || is_name_refused(&refused))
        {
            return Err(refused);
        }
        let parent = self.directories.open(&above)?;
        let spellings = spellings(name);
        let (mut spelling, mut number) = if is_others { (0, 1) } else { (1, 0) };
        while spelling < spellings.len() && number <= NUMBERS_MAX {
            let candidate = numbered_spelling(&spellings[spelling], number);
            match self.place_of(entry, (path, &above, &parent), &candidate)? {
                Place::Taken => {
                    number += 1;
                    continue;
                }
                Place::Refused => {
                    (spelling, number) = (spelling + 1, 0);
                    continue;
                }
                Place::Free | Place::Directory => {}
            }
            let failing = |error: DiskError| io::Error::other(error.to_string());
            self.give(entry, path, candidate).map_err(failing)?;
            match self.create_directory(Some(entry), path, mode) {
                Ok(is_made) => {
                    self.tell(path);
                    return Ok(is_made);
                }
                Err(error) => {
                    self.unspell(path);
                    if is_name_refused(&error) {
                        (spelling, number) = (spelling + 1, 0);
                    } else if error.kind() == io::ErrorKind::NotADirectory {
                        number += 1;
                    } else {
                        return Err(error);
                    }
                }
            }
        }
        Err(refused)
    }

    fn give(
        &mut self,
        entry: EntryIndex,
        path: &RelativePath,
        name: Vec<u8>,
    ) -> Result<(), DiskError> {
        self.respell(path, &name);
        self.journal(&Record::Respelled { entry, name })
    }

    fn tell(&mut self, path: &RelativePath) {
        let message = format!(
            "{} is received as {}: this disk does not take its name, or another one has it",
            crate::store::escape(path.as_bytes()),
            crate::store::escape(self.directories.real(path).as_bytes())
        );
        self.warnings.add("directory_renamed", message);
    }

    /// Why a directory is not there, if it is for its name.
    pub(super) fn directory_error(&self, path: &RelativePath, error: &io::Error) -> DiskError {
        if !is_name_refused(error) {
            return disk_error("create directory", path.as_bytes(), error);
        }
        let mut told = super::spelling::name_error("create directory", path, error);
        if !self.respelled.is_renaming {
            told.message.push_str("; --on-conflict rename gives it another one");
        }
        told
    }
}
