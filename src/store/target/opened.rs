//! Directories that are there and that we may not write in, although they are ours: opened for the time, closed again.
//!
//! What is to be opened is journalled first, so that a run that is killed leaves it to the next one; it is closed when the
//! store ends, however it ends.

use super::{TargetStore, recorded_directory, recorded_path};
use crate::fs::{Directory, SyncPoint};
use crate::store::journal::Record;
use crate::store::made::Known;
use crate::store::own::IsOwn;
use crate::transfer::manifest::RelativePath;
use std::collections::BTreeMap;
use std::io;

/// What a directory needs so that names can be made in it.
const WRITABLE: u32 = 0o300;

/// Opened directories, closed when this is dropped.
pub(super) struct Opened<D: Directory> {
    root: D,
    /// Each as what it is, with its own mode, with setgid and sticky.
    known: BTreeMap<RelativePath, Known>,
}

impl<D: Directory> Opened<D> {
    pub(super) const fn new(root: D) -> Self {
        Self { root, known: BTreeMap::new() }
    }

    /// Those that a killed run left open.
    pub(super) fn find(&mut self, opened: Vec<(Vec<u8>, Known)>) {
        for (path, known) in opened {
            let path = recorded_path(&path);
            if self.opened(&path, known).is_ok_and(|found| found.is_some()) {
                self.known.entry(path).or_insert(known);
            }
        }
    }

    /// The directory at `path`, if it is the one that was opened, as it was left.
    fn opened(&self, path: &RelativePath, known: Known) -> io::Result<Option<D>> {
        let directory = recorded_directory(&self.root, path)?;
        let found = directory.own_metadata()?;
        let is_it = known.is(&found) && found.mode & 0o7777 == known.mode() | WRITABLE;
        Ok(is_it.then_some(directory))
    }

    /// Whether a directory got another mode by now: it is not closed again.
    pub(super) fn forget(&mut self, path: &RelativePath) {
        self.known.remove(path);
    }

    /// The own mode of a directory that is found with another one, if that is because it is opened.
    pub(super) fn mode(&self, path: &RelativePath, found: u32) -> u32 {
        let own = self.known.get(path).map(|known| known.mode());
        own.filter(|own| own | WRITABLE == found & 0o7777).unwrap_or(found)
    }

    /// Gives all of them their own modes again; those that are deepest first, as a closed one may hide those in it.
    pub(super) fn close(&mut self) {
        let mut known: Vec<_> = std::mem::take(&mut self.known).into_iter().collect();
        known.sort_by_key(|(path, _)| std::cmp::Reverse(path.components().count()));
        for (path, known) in known {
            let closed = self.opened(&path, known).and_then(|directory| {
                let Some(directory) = directory else { return Ok(()) };
                directory.set_mode(known.mode())?;
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
        if !metadata.is_ours || mode & WRITABLE == WRITABLE || self.opened.known.contains_key(path)
        {
            return Ok(false);
        }
        let known = Known::of(&metadata);
        let record = Record::Opened { path: path.as_bytes().to_vec(), known };
        self.journal.append(&record).map_err(io::Error::other)?;
        self.journal.sync(SyncPoint::Barrier).map_err(io::Error::other)?;
        self.opened.known.insert(path.clone(), known);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::Metadata;
    use crate::store::memory::MemoryDisk;

    /// B-2: a directory that the user put in the place of one that a killed run opened keeps its mode.
    #[test]
    fn only_what_was_opened_is_closed() {
        let disk = MemoryDisk::new();
        let root = disk.root();
        root.create_directory(b"d", 0o755).unwrap();
        let found = root.metadata(b"d").unwrap();
        let mode = || root.metadata(b"d").unwrap().mode;
        let closed = |inode| {
            let known = Known::of(&Metadata { mode: 0o555, inode, ..found });
            let mut opened = Opened::new(root.clone());
            opened.find(vec![(b"d".to_vec(), known)]);
            drop(opened);
            mode()
        };
        assert_eq!(closed(found.inode + 1), 0o755, "another one");
        assert_eq!(closed(found.inode), 0o555);
        assert_eq!(closed(found.inode), 0o555, "closed before");
    }
}
