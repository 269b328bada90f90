//! Directories that are there and that we may not write in, although they are ours: opened for the time, closed again.
//!
//! What is to be opened is journalled first, so that a run that is killed leaves it to the next one; it is closed when the
//! store ends, however it ends.

use super::TargetStore;
use crate::store::fs::{Directory, SyncPoint};
use crate::store::journal::Record;
use crate::store::own::IsOwn;
use crate::transfer::manifest::RelativePath;
use std::collections::BTreeMap;
use std::io;

/// What a directory needs so that names can be made in it.
const WRITABLE: u32 = 0o300;

/// Opened directories, closed when this is dropped.
pub(super) struct Opened<D: Directory> {
    root: D,
    /// Each with its own mode, with setgid and sticky.
    modes: BTreeMap<RelativePath, u32>,
}

impl<D: Directory> Opened<D> {
    pub(super) const fn new(root: D) -> Self {
        Self { root, modes: BTreeMap::new() }
    }

    /// Those that a killed run left open.
    pub(super) fn find(&mut self, opened: Vec<(Vec<u8>, u32)>) {
        for (path, mode) in opened {
            let path = path
                .split(|byte| *byte == b'/')
                .filter(|name| !name.is_empty())
                .fold(RelativePath::root(), |path, name| path.join(name));
            let is_open = self.directory(&path).and_then(|directory| directory.own_metadata());
            if is_open.is_ok_and(|metadata| metadata.mode & 0o7777 == mode | WRITABLE) {
                self.modes.entry(path).or_insert(mode);
            }
        }
    }

    fn directory(&self, path: &RelativePath) -> io::Result<D> {
        path.components().try_fold(self.root.clone(), |at, name| at.open_directory(name))
    }

    /// Whether a directory got another mode by now: it is not closed again.
    pub(super) fn forget(&mut self, path: &RelativePath) {
        self.modes.remove(path);
    }

    /// The own mode of a directory that is found with another one, if that is because it is opened.
    pub(super) fn mode(&self, path: &RelativePath, found: u32) -> u32 {
        let own = self.modes.get(path).copied();
        own.filter(|own| own | WRITABLE == found & 0o7777).unwrap_or(found)
    }

    /// Gives all of them their own modes again; those that are deepest first, as a closed one may hide those in it.
    pub(super) fn close(&mut self) {
        let mut modes: Vec<_> = std::mem::take(&mut self.modes).into_iter().collect();
        modes.sort_by_key(|(path, _)| std::cmp::Reverse(path.components().count()));
        for (path, mode) in modes {
            let closed = self.directory(&path).and_then(|directory| {
                directory.set_mode(mode)?;
                directory.sync(SyncPoint::DirectoryMetadata).map(drop)
            });
            if let Err(error) = closed {
                tracing::warn!(target: "rejoin::store", %error, "a directory stays open");
            }
        }
    }
}

impl<D: Directory> Drop for Opened<D> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<D: Directory> TargetStore<D> {
    /// Opens the directory at `path` if it is ours and only its mode is in the way; whether it may be tried again.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn open_for_the_time(&mut self, path: &RelativePath) -> io::Result<bool> {
        let directory = self.directories.open(path)?;
        let path = &self.directories.real(path);
        let metadata = directory.own_metadata()?;
        let mode = metadata.mode & 0o7777;
        if !metadata.is_ours || mode & WRITABLE == WRITABLE || self.opened.modes.contains_key(path)
        {
            return Ok(false);
        }
        let record = Record::Opened { path: path.as_bytes().to_vec(), mode };
        self.journal.append(&record).map_err(io::Error::other)?;
        self.journal.sync(SyncPoint::Barrier).map_err(io::Error::other)?;
        self.opened.modes.insert(path.clone(), mode);
        if directory.set_mode(mode | WRITABLE).is_err() {
            return Ok(false);
        }
        // Whose it is shows only now, where it could not be searched.
        if crate::store::own::is_state(&directory)? {
            directory.set_mode(mode)?;
            self.opened.forget(path);
            return Err(IsOwn.into());
        }
        Ok(true)
    }

    /// Does something in the directory at `path`, after opening it for the time where its mode forbids that.
    pub(super) fn in_directory<T>(
        &mut self,
        path: &RelativePath,
        mut act: impl FnMut(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        match act(self) {
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied
                    && self.open_for_the_time(path).unwrap_or(false) =>
            {
                act(self)
            }
            outcome => outcome,
        }
    }
}
