//! Other file systems below the target: a mount, a subvolume, a quota of its own.
//!
//! A rename does not cross them, and only the rename tells where they are: two mounts of one device have the same number.
//! What is complete is copied, once, into a place of its own there, and renamed from it, so that a final name still only
//! ever stands for the whole. The place is journalled before it is made: a later run finds and removes it.

use super::{TargetStore, recorded_directory, recorded_path, remove_place};
use crate::fs::{Access, Directory, File, SyncPoint, remove_if_present};
use crate::store::error::{disk_error, is_of_file_system, of_mount};
use crate::store::journal::Record;
use crate::store::privacy::{Refused, own_directory};
use crate::transfer::disk::{DiskError, Publish, PublishKind};
use crate::transfer::manifest::{ModifiedTime, RelativePath};
use crate::transfer::name::RESERVED_NAME;
use std::io;

/// Where what is complete waits for its final name on a file system below the target.
pub(super) struct Place<D> {
    /// The directory that it lies in.
    path: RelativePath,
    directory: D,
    home: D,
    partials: D,
}

impl<D: Directory> TargetStore<D> {
    /// Moves what is complete to its final name; with the time that the disk keeps of it.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken, unless it `replaces` what is there; else as the system says.
    pub(super) fn move_in(
        &mut self,
        publish: &Publish,
        own_name: &[u8],
        (above, parent): (&RelativePath, &D),
        name: &[u8],
        replaces: bool,
    ) -> io::Result<Option<ModifiedTime>> {
        let moved = |from: &D| match replaces {
            true => from.rename(own_name, parent, name),
            false => from.rename_no_replace(own_name, parent, name),
        };
        match moved(&self.partials) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
            outcome => return outcome.map(|()| None),
        }
        if !replaces && super::publish::exists(parent, name)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let place = self.place_at(above, parent)?;
        let outcome = self.copy(publish, own_name, place).and_then(|kept| {
            moved(&self.places[place].partials)?;
            Ok(kept)
        });
        if outcome.is_err() {
            // It takes room from what comes after it.
            let _ = remove_if_present(&self.places[place].partials, own_name);
        }
        let kept = outcome?;
        remove_if_present(&self.partials, own_name)?;
        Ok(Some(kept))
    }

    /// An error of the entry at `path`: of that alone where it is that of a file system below the target; of everything where
    /// the target itself was taken away.
    pub(super) fn about_surroundings(
        &mut self,
        error: io::Error,
        path: &RelativePath,
    ) -> io::Error {
        let looks_absent =
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput);
        if looks_absent && self.is_gone() {
            let text = "it was removed or moved while it was in use, or .rejoin in it";
            return io::Error::other(text);
        }
        if !is_of_file_system(&error) {
            return error;
        }
        let Some((above, _)) = path.split_last() else { return error };
        let device = self.directories.open(&above).and_then(|parent| parent.own_metadata());
        if device.is_ok_and(|own| own.device != self.device) { of_mount(&error) } else { error }
    }

    /// Whether the target does not hold our own directory any more.
    fn is_gone(&self) -> bool {
        let there = self.directories.root().metadata(RESERVED_NAME);
        there.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// The place on the file system of `above`.
    fn place_at(&mut self, above: &RelativePath, parent: &D) -> io::Result<usize> {
        let device = parent.own_metadata()?.device;
        // The topmost directory of a device of its own; where the device is ours, nothing but the directory itself is sure.
        let mut top = self.directories.real(above);
        while device != self.device
            && let Some((higher, _)) = top.split_last()
            && self.directories.open(&higher)?.own_metadata()?.device == device
        {
            top = higher;
        }
        if let Some(at) = self.places.iter().position(|place| place.path == top) {
            return Ok(at);
        }
        let failing = |error: DiskError| io::Error::other(error.to_string());
        self.journal(&Record::Place { path: top.as_bytes().to_vec() }).map_err(failing)?;
        self.journal.sync(SyncPoint::Barrier).map_err(io::Error::other)?;
        let place = self.open_place(top)?;
        self.places.push(place);
        Ok(self.places.len() - 1)
    }

    pub(super) fn open_place(&mut self, path: RelativePath) -> io::Result<Place<D>> {
        let refused = |refused: Refused| match refused {
            Refused::Disk(error) => error,
            Refused::Foreign => io::ErrorKind::PermissionDenied.into(),
        };
        let key = self.options.key;
        let directory = self.directories.open(&path)?;
        let home = own_directory(&directory, RESERVED_NAME, &key).map_err(refused)?.directory;
        let id = self.options.session.to_string().into_bytes();
        let partials = own_directory(&home, &id, &key).map_err(refused)?.directory;
        Ok(Place { path, directory, home, partials })
    }

    /// Copies what is complete into a place, durably, with its metadata.
    fn copy(
        &mut self,
        publish: &Publish,
        own_name: &[u8],
        place: usize,
    ) -> io::Result<ModifiedTime> {
        let to = self.places[place].partials.clone();
        remove_if_present(&to, own_name)?;
        let path = publish.path.as_bytes();
        let PublishKind::File { bytes, .. } = publish.kind else {
            let PublishKind::Symlink { target } = &publish.kind else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            to.create_symlink(own_name, target)?;
            let outcome = to.set_symlink_modified(own_name, publish.modified);
            let device = to.own_metadata()?.device;
            self.taken(super::warnings::Kind::LinkTimes, device, path, outcome)?;
            to.sync(SyncPoint::PartialNames)?;
            return Ok(to.metadata(own_name)?.modified);
        };
        let from = self.partials.open_file(own_name, Access::Read)?;
        let file = to.create_file(own_name, 0o600)?;
        file.set_bytes(bytes)?;
        crate::store::unshare::copy(&from, &file, bytes)?;
        let device = file.metadata()?.device;
        let outcome = file.set_modified(publish.modified);
        self.taken(super::warnings::Kind::Times, device, path, outcome)?;
        let outcome = file.set_mode(self.final_mode(publish.mode));
        self.taken(super::warnings::Kind::Modes, device, path, outcome)?;
        file.sync_all(SyncPoint::Partial)?;
        to.sync(SyncPoint::PartialNames)?;
        Ok(file.metadata()?.modified)
    }

    /// Finds what an earlier run left on other file systems; what is gone is none of ours any more.
    pub(super) fn find_places(&mut self, paths: Vec<Vec<u8>>) {
        for path in paths {
            match self.open_place(recorded_path(&path)) {
                Ok(place) => {
                    let names = place.partials.names().unwrap_or_default();
                    for name in names.iter().filter(|name| super::entry_of(name).is_some()) {
                        // A copy that a killed run did not finish; the content is where it was copied from.
                        let _ = place.partials.remove_file(name);
                    }
                    self.places.push(place);
                }
                Err(error) => {
                    let error = disk_error("look for partial files in", b".", &error);
                    tracing::debug!(target: "rejoin::store", %error, "a place is gone");
                }
            }
        }
    }
}

impl<D: Directory> TargetStore<D> {
    /// Removes all places with all that is in them.
    ///
    /// # Errors
    /// As the system says, for the first that fails.
    pub(super) fn remove_places(&mut self) -> io::Result<()> {
        let id = self.options.session.to_string().into_bytes();
        for place in std::mem::take(&mut self.places) {
            self.open_for_the_time(&place.path)?;
            remove_place(&place.directory, &place.home, &place.partials, &id)?;
        }
        self.opened.close();
        Ok(())
    }
}

/// Removes what a session that is not open has at `path`; what is gone is gone.
///
/// # Errors
/// As the system says.
pub(super) fn discard<D: Directory>(root: &D, path: &[u8], id: &[u8]) -> io::Result<()> {
    let opened = recorded_directory(root, &recorded_path(path)).and_then(|directory| {
        let home = directory.open_directory(RESERVED_NAME)?;
        let partials = home.open_directory(id)?;
        Ok((directory, home, partials))
    });
    match opened {
        Ok((directory, home, partials)) => remove_place(&directory, &home, &partials, id),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
