//! Looking at what the target holds already, and making its directories.

use super::TargetStore;
use super::compare::is_identical;
use super::gone::inhabited_message;
use super::publish::completion;
use super::twins::twin_message;
use crate::fs::{Directory, FileKind, Metadata, clamp_modified};
use crate::store::error::{disk_error, is_of_entry};
use crate::store::journal::Record;
use crate::store::own::{IsOwn, is_own_error};
use crate::transfer::disk::{DiskError, Existing, PublishKind, TargetReply, Wanted, WantedKind};
use crate::transfer::manifest::{EntryIndex, EntryKind, RelativePath};
use crate::transfer::ranges::Ranges;
use std::io;

impl<D: Directory> TargetStore<D> {
    pub(super) fn survey(
        &mut self,
        page: u64,
        wanted: &[Wanted],
        by_content: bool,
    ) -> Result<TargetReply, DiskError> {
        let mut existing = Vec::with_capacity(wanted.len());
        // In a new tree most entries are one of many in a directory that is not there.
        let mut absent = None;
        for wanted in wanted {
            let found = match self.look(wanted, by_content, &mut absent) {
                // An unusable parent: what becomes of the entry shows when it is published.
                Err(error) if is_of_entry(&error) => Existing::Absent,
                outcome => outcome
                    .map_err(|error| disk_error("look at", wanted.path.as_bytes(), &error))?,
            };
            // What comes there from now on is somebody else's.
            self.was_publishing.remove(&wanted.entry);
            existing.push((wanted.entry, found));
        }
        self.count_wanted(wanted, &existing);
        Ok(TargetReply::Surveyed { page, existing })
    }

    /// `absent` is a directory that was found to be absent.
    fn look(
        &mut self,
        wanted: &Wanted,
        by_content: bool,
        absent: &mut Option<RelativePath>,
    ) -> io::Result<Existing> {
        let Some((parent, name)) = wanted.path.split_last() else {
            return Ok(Existing::OtherKind);
        };
        if absent.as_ref() == Some(&parent) {
            return Ok(Existing::Absent);
        }
        let above = parent;
        let parent = match self.directories.open(&above) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                *absent = Some(above);
                return Ok(Existing::Absent);
            }
            outcome => outcome?,
        };
        let is_directory = wanted.kind == WantedKind::Directory;
        if is_directory && self.is_given_to_another(&wanted.path) {
            let is_found = self.find_spelling(wanted.entry, &wanted.path)?;
            return Ok(if is_found { Existing::Same } else { Existing::Absent });
        }
        let respelled = match is_directory {
            true => self.directories.name_of(&wanted.path, name).to_vec(),
            false => name.to_vec(),
        };
        let name = respelled.as_slice();
        let metadata = match parent.metadata(name) {
            Err(_) if is_directory && self.find_spelling(wanted.entry, &wanted.path)? => {
                return Ok(Existing::Same);
            }
            outcome => outcome?,
        };
        if self.was_publishing.contains_key(&wanted.entry)
            && self.is_finished_publication(wanted, &metadata, (&parent, name))?
        {
            return Ok(Existing::Same);
        }
        if let Some(old) = wanted.supersedes
            && self.version_there(old, &metadata, (&parent, name), false)?.is_some()
        {
            return Ok(Existing::Superseded);
        }
        if let Some(old) = wanted.supersedes
            && matches!(wanted.kind, WantedKind::File { .. } | WantedKind::Symlink { .. })
            && let Some(foreign) = self.gone_directory(old, &wanted.path, &metadata)?
        {
            return Ok(match foreign {
                None => Existing::Superseded,
                Some(found) => Existing::Inhabited { why: inhabited_message(&found) },
            });
        }
        if matches!(wanted.kind, WantedKind::File { .. })
            && let Some(is_same) =
                self.is_as_published(wanted.entry, &metadata, (&parent, name), by_content)?
        {
            return Ok(match metadata.kind {
                FileKind::File if is_same => Existing::Same,
                FileKind::File | FileKind::Symlink => Existing::Differs { bytes: metadata.bytes },
                FileKind::Directory | FileKind::Other => Existing::OtherKind,
            });
        }
        if matches!(metadata.kind, FileKind::File | FileKind::Symlink) {
            if self.met_by_links(wanted.entry, &wanted.path)?.is_some() {
                // Perhaps the other one, whatever it holds: what becomes of this one shows when it is published.
                return Ok(Existing::Absent);
            }
            if (self.is_shared(&above) || self.folds(&parent, name, &metadata)?)
                && let Some(other) = self.held_by_twin(wanted.entry, (&parent, name))?
            {
                return Ok(Existing::Twin { why: twin_message(&other) });
            }
        }
        let by_content = by_content || self.is_shared(&above);
        Ok(match (&wanted.kind, metadata.kind) {
            (WantedKind::Directory, FileKind::Directory | FileKind::Symlink) => {
                match self.directories.open(&wanted.path) {
                    Err(error) if is_own_error(&error) => {
                        Existing::Refused { why: IsOwn.to_string() }
                    }
                    Ok(_) if metadata.kind == FileKind::Symlink => Existing::Same,
                    Err(error) if metadata.kind == FileKind::Symlink && is_of_entry(&error) => {
                        Existing::Linked
                    }
                    Err(error) if !is_of_entry(&error) => return Err(error),
                    // One that cannot be opened is there all the same: what becomes of it shows when something is made in it.
                    Ok(_) | Err(_) => {
                        self.share(wanted.entry, &parent, &wanted.path)?;
                        Existing::Same
                    }
                }
            }
            (WantedKind::File { bytes, modified }, FileKind::File) if metadata.bytes == *bytes => {
                let asked = clamp_modified(*modified);
                let is_same =
                    !by_content && self.is_same_time(metadata.device, asked, metadata.modified)?;
                if is_same { Existing::Same } else { Existing::SameSize }
            }
            (WantedKind::Symlink { target }, FileKind::Symlink)
                if parent.read_symlink(name)? == *target =>
            {
                Existing::Same
            }
            (
                WantedKind::File { .. } | WantedKind::Symlink { .. },
                FileKind::File | FileKind::Symlink,
            ) => Existing::Differs { bytes: metadata.bytes },
            (_, _) => Existing::OtherKind,
        })
    }

    /// Whether what is there is what a run that was killed published, and did not come to record: then it is recorded now.
    fn is_finished_publication(
        &mut self,
        wanted: &Wanted,
        found: &Metadata,
        (parent, name): (&D, &[u8]),
    ) -> io::Result<bool> {
        let entry = wanted.entry;
        let root = self.was_publishing.remove(&entry).flatten();
        // It has the time that it was given; a copy of it that the user made has another.
        let asked = self.pages.entry(entry)?.map_or(found.modified, |entry| entry.modified);
        if !self.is_same_time(found.device, clamp_modified(asked), found.modified)? {
            return Ok(false);
        }
        let kind = match (&wanted.kind, root) {
            (WantedKind::File { bytes, .. }, Some(root)) => {
                PublishKind::File { bytes: *bytes, root, recheck: Vec::new() }
            }
            (WantedKind::Symlink { target }, _) => PublishKind::Symlink { target: target.clone() },
            (WantedKind::File { .. } | WantedKind::Directory, _) => return Ok(false),
        };
        if !is_identical(parent, name, &kind)? {
            return Ok(false);
        }
        let entries = vec![completion(entry, &kind, found.modified)];
        self.journal.append(&Record::Published { entries })?;
        self.kept.publish(entry);
        Ok(true)
    }

    /// The last version of a path that was published, from `entry` on back: nothing else that has its name is ours.
    pub(super) fn last_published(&self, entry: EntryIndex) -> Option<EntryIndex> {
        self.pages.versions(entry).find(|entry| self.kept.complete.contains(*entry))
    }

    /// Whether what is there is what this session published for this path, which entry it is of. Its time tells, unless
    /// `by_content`: what is about to be replaced or removed is read.
    pub(super) fn version_there(
        &mut self,
        entry: EntryIndex,
        metadata: &Metadata,
        (parent, name): (&D, &[u8]),
        by_content: bool,
    ) -> io::Result<Option<EntryIndex>> {
        // What has another name than its own is not what has that.
        let last = self.last_published(entry).filter(|last| !self.kept.renamed.contains(*last));
        let Some(last) = last else { return Ok(None) };
        let is_there = match metadata.kind {
            FileKind::File => {
                self.is_as_published(last, metadata, (parent, name), by_content)? == Some(true)
            }
            FileKind::Symlink => match self.pages.entry(last)?.map(|entry| entry.kind) {
                // The same text in a link of the user's own proves nothing: its time tells.
                Some(EntryKind::Symlink { target }) => {
                    let kept = self.complete(last)?.map(|complete| complete.kept);
                    kept == Some(metadata.modified) && parent.read_symlink(name)? == target
                }
                _ => false,
            },
            FileKind::Directory | FileKind::Other => false,
        };
        Ok(is_there.then_some(last))
    }

    pub(super) fn create_directories(
        &mut self,
        directories: Vec<(EntryIndex, RelativePath, u32)>,
    ) -> Result<TargetReply, DiskError> {
        let mut failed = Vec::new();
        let mut unmade = Ranges::new();
        for (entry, path, mode) in directories {
            let was_made = self.made_by(entry).is_some();
            let made = match self.is_given_to_another(&path) {
                true => Err(io::ErrorKind::AlreadyExists.into()),
                false => self.create_directory(Some(entry), &path, mode),
            };
            let made = match made.or_else(|error| self.create_respelled(entry, &path, mode, error))
            {
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                    self.remove_gone(entry, &path).and_then(|is_removed| match is_removed {
                        true => self.create_directory(Some(entry), &path, mode),
                        false => Err(error),
                    })
                }
                outcome => outcome,
            };
            // What somebody else made meanwhile is theirs.
            if !was_made && !matches!(made, Ok(true)) {
                unmade.insert(entry);
            }
            let made = made.and_then(|_| match path.split_last() {
                Some((parent, _)) => {
                    let parent = self.directories.open(&parent)?;
                    self.share(entry, &parent, &path)
                }
                None => Ok(()),
            });
            if let Err(error) = made.map_err(|error| self.about_surroundings(error, &path)) {
                if !is_of_entry(&error) {
                    return Err(disk_error("create directory", path.as_bytes(), &error));
                }
                failed.push((entry, self.directory_error(&path, &error)));
            }
            self.relieve()?;
        }
        self.record_unmade(&unmade)?;
        Ok(TargetReply::DirectoriesCreated { failed })
    }

    /// Removes a file in the place of a directory, if it is what an earlier page promised there, as this session published
    /// it; whether it did.
    fn remove_gone(&mut self, entry: EntryIndex, path: &RelativePath) -> io::Result<bool> {
        let Some(old) = self.pages.entry(entry)?.and_then(|entry| entry.supersedes) else {
            return Ok(false);
        };
        let Some((parent, name)) = path.split_last() else { return Ok(false) };
        let directory = self.directories.open(&parent)?;
        let metadata = directory.metadata(name)?;
        let Some(ours) = self.version_there(old, &metadata, (&directory, name), true)? else {
            return Ok(false);
        };
        directory.remove_file(name)?;
        self.touched.insert(parent);
        self.journal.append(&Record::Discard { entry: ours, units: (0, 0) })?;
        self.forget_complete(ours);
        Ok(true)
    }

    /// Makes one directory; one that exists is fine, anything else with that name is not. Whether it was made. Its mode is `mode`
    /// and open to us from the beginning, so that it is right even if this session's directory is lost; `Finish` takes
    /// away what it does not promise us. It is recorded as that of `entry` once it was seen not to be there.
    pub(super) fn create_directory(
        &mut self,
        entry: Option<EntryIndex>,
        path: &RelativePath,
        mode: u32,
    ) -> io::Result<bool> {
        let Some((parent, name)) = path.split_last() else {
            return Ok(false);
        };
        let directory = self.directories.open(&parent)?;
        let name = self.directories.name_of(path, name).to_vec();
        let name = name.as_slice();
        let mode = self.first_mode(mode);
        let made = self.in_directory(&parent, |store| {
            match (directory.metadata(name), entry) {
                // It was there before, and is none of ours whatever comes now.
                (Ok(_), _) => return Err(io::ErrorKind::AlreadyExists.into()),
                (Err(error), Some(entry)) if error.kind() == io::ErrorKind::NotFound => {
                    store.record_made(entry)?;
                }
                (Err(_), _) => {}
            }
            directory.create_directory(name, mode)?;
            match entry {
                Some(entry) => store.record_is(entry, &directory.metadata(name)?),
                None => Ok(()),
            }
        });
        match made.map_err(|error| self.about_name(error, &parent, &directory)) {
            Ok(()) => {
                self.touched.insert(parent);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match (directory.metadata(name)?.kind, self.directories.open(path)) {
                    (FileKind::Directory | FileKind::Symlink, Err(error))
                        if is_own_error(&error) =>
                    {
                        Err(error)
                    }
                    (FileKind::Directory, _) | (FileKind::Symlink, Ok(_)) => Ok(false),
                    (FileKind::File | FileKind::Symlink | FileKind::Other, _) => {
                        Err(io::ErrorKind::NotADirectory.into())
                    }
                }
            }
            Err(error) => Err(error),
        }
    }

    /// The directory at `path`, with those above it; made if it is gone.
    pub(super) fn open_or_create(&mut self, path: &RelativePath) -> io::Result<D> {
        match self.directories.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => return outcome,
        }
        let mut above = RelativePath::root();
        for name in path.components() {
            above = above.join(name);
            self.create_directory(None, &above, 0o700)?;
        }
        self.directories.open(path)
    }

    /// Has the names of all directories on the way to `path` synced before anything is renamed into it: a run that was
    /// killed may have made them and come no further.
    pub(super) fn assure(&mut self, path: &RelativePath) -> io::Result<()> {
        if self.assured.contains(path) {
            return Ok(());
        }
        self.open_or_create(path)?;
        let mut above = RelativePath::root();
        for name in path.components() {
            let below = above.join(name);
            if !self.assured.contains(&below) {
                self.touched.insert(above);
                if self.assured.len() >= self.options.limits.unsynced {
                    self.assured.clear();
                }
                self.assured.insert(below.clone());
            }
            above = below;
        }
        Ok(())
    }
}
