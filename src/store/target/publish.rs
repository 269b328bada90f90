//! Barriers, and final names: metadata, then everything synced, then renames, then directories synced.

use super::compare::is_identical;
use super::spelling::{name_error, numbered_spelling, spellings};
use super::warnings::Kind;
use super::write::part_bytes;
use super::{TargetStore, link_name, partial_name};
use crate::fs::{Access, Directory, File, FileKind, SyncPoint, clamp_modified, read_exact_at};
use crate::store::error::{disk_error, is_name_refused, is_of_entry};
use crate::store::journal::{Complete, Record};
use crate::transfer::UNIT_BYTES;
use crate::transfer::disk::{
    DirectoryMetadata, DiskError, OnConflict, Publish, PublishKind, Published, TargetReply,
};
use crate::transfer::manifest::{EntryIndex, ModifiedTime, RelativePath};
use crate::transfer::merge::{Value, unit_value};
use std::io;

/// Numbers tried for a second file of the same name under [`OnConflict::Rename`].
const NUMBERS_MAX: u32 = 9_999;

/// Bits of a directory that it has of the one that it lies in, or of its owner at the target: setgid and sticky.
const SPECIAL: u32 = 0o3000;

/// What a publication waits for after its preparation.
enum Prepared {
    /// Its partial or link is complete and has its metadata; with the time that the disk keeps.
    Ready(ModifiedTime),
    /// Its partial is gone: an earlier run may have published it.
    Missing,
    /// It is decided.
    Decided(Published),
}

impl<D: Directory> TargetStore<D> {
    pub(super) fn barrier(&mut self, publish: &[Publish]) -> Result<TargetReply, DiskError> {
        let mut prepared = Vec::with_capacity(publish.len());
        for publish in publish {
            let prepared_one = self
                .prepare(publish)
                .map_err(|error| self.about_surroundings(error, &publish.path));
            let outcome = match prepared_one {
                Err(error) if is_of_entry(&error) => Prepared::Decided(Published::Failed(
                    disk_error("prepare", publish.path.as_bytes(), &error),
                )),
                outcome => outcome
                    .map_err(|error| disk_error("prepare", publish.path.as_bytes(), &error))?,
            };
            prepared.push(outcome);
            self.relieve()?;
        }
        let ready: Vec<EntryIndex> = publish
            .iter()
            .zip(&prepared)
            .filter(|(_, prepared)| matches!(prepared, Prepared::Ready(_)))
            .map(|(publish, _)| publish.entry)
            .collect();
        self.make_durable(&ready)?;

        let mut published = Vec::with_capacity(publish.len());
        let mut complete = Vec::new();
        let mut renamed = Vec::new();
        for (publish, prepared) in publish.iter().zip(prepared) {
            let (outcome, kept) = match prepared {
                Prepared::Decided(outcome) => (outcome, publish.modified),
                Prepared::Ready(kept) => self.place_or_fail(publish, Some(kept))?,
                Prepared::Missing => self.place_or_fail(publish, None)?,
            };
            match &outcome {
                Published::Done { path } => {
                    self.twins.placed.insert(publish.entry);
                    complete.push(completion(publish.entry, &publish.kind, kept));
                    if *path != publish.path {
                        renamed.push(publish.entry);
                    }
                }
                Published::Rotten { offsets } => {
                    let entry = publish.entry;
                    self.append_batches(offsets, |offsets| Record::Rotten { entry, offsets })?;
                }
                Published::Conflict | Published::There | Published::Failed(_) => {}
            }
            published.push((publish.entry, outcome));
            self.relieve()?;
        }
        self.sync_touched(SyncPoint::FinalNames).map_err(|error| self.sync_failed(&error))?;
        self.append_batches(&renamed, |entries| Record::Renamed { entries })?;
        self.append_batches(&complete, |entries| Record::Published { entries })?;
        complete.iter().for_each(|complete| self.kept.publish(complete.entry));
        renamed.iter().for_each(|entry| self.kept.renamed.insert(*entry));
        // What was published of it before is not there any more: should it come back, somebody else put it there.
        for publish in publish {
            if let Some(old) = publish.replaces.filter(|old| *old != publish.entry)
                && self.kept.complete.contains(publish.entry)
                && let Some(last) = self.last_published(old)
            {
                self.journal(&Record::Discard { entry: last, units: (0, 0) })?;
                self.forget_complete(last);
            }
        }
        self.twins.placed.clear();
        Ok(TargetReply::BarrierDone { published })
    }

    /// Sets the metadata of the directories that this session made, children before parents, and ends the session.
    pub(super) fn finish(
        &mut self,
        mut directories: Vec<(EntryIndex, DirectoryMetadata)>,
        is_whole: bool,
    ) -> Result<TargetReply, DiskError> {
        self.make_durable(&[])?;
        directories.sort_by_cached_key(|(_, directory)| std::cmp::Reverse(directory.path.depth()));
        for (entry, directory) in directories {
            if self.made_by(entry).is_none() {
                continue;
            }
            let outcome = self.set_directory_metadata(entry, &directory);
            if let Err(error) = outcome {
                let error = disk_error("set metadata of", directory.path.as_bytes(), &error);
                tracing::warn!(target: "rejoin::store", %error, "a directory keeps its own");
            }
            self.relieve()?;
        }
        self.opened.close();
        self.sync_touched(SyncPoint::DirectoryMetadata)
            .map_err(|error| self.sync_failed(&error))?;
        if is_whole {
            self.journal(&Record::Finished)?;
        }
        self.journal.sync(SyncPoint::Finished).map_err(|error| self.sync_failed(&error))?;
        Ok(TargetReply::Finished)
    }

    /// What was there before, and what other hands changed, is as they made it.
    fn set_directory_metadata(
        &mut self,
        entry: EntryIndex,
        metadata: &DirectoryMetadata,
    ) -> io::Result<()> {
        let directory = self.directories.open(&metadata.path)?;
        let found = directory.own_metadata()?;
        let Some(made) = self.made_there(entry, &found)? else { return Ok(()) };
        let own_mode = self.opened.mode(&self.directories.real(&metadata.path), found.mode);
        // One that has its final mode already may have got it from us, just before a power loss.
        let is_as_we_left_it = self.made.get(made).is_none_or(|of| of.mode() == own_mode & 0o7777)
            || self.final_mode(metadata.mode) == own_mode & 0o777;
        if !is_as_we_left_it {
            return Ok(());
        }
        let (path, device) = (metadata.path.as_bytes(), found.device);
        self.taken(Kind::Times, device, path, directory.set_modified(metadata.modified))?;
        // Of a directory below a setgid one the disk itself made it one; the sender says nothing of these bits.
        let special = directory.own_metadata()?.mode & SPECIAL;
        let mode = self.final_mode(metadata.mode) | special;
        self.taken(Kind::Modes, device, path, directory.set_mode(mode))?;
        self.record_is(made, &directory.own_metadata()?)?;
        self.opened.forget(&self.directories.real(&metadata.path));
        self.touched.insert(metadata.path.clone());
        Ok(())
    }

    /// Data, then the journal with its barrier, so that no claim is durable before what it claims. New directories, too:
    /// a rename into one that a power loss takes would take the file along.
    fn make_durable(&mut self, publishing: &[EntryIndex]) -> Result<(), DiskError> {
        self.sync_data()
            .and_then(|()| self.sync_touched(SyncPoint::NewDirectories))
            .and_then(|()| self.pages.sync())
            .map_err(|error| self.sync_failed(&error))?;
        self.journal(&Record::Barrier)?;
        self.append_batches(publishing, |entries| Record::Publishing { entries })?;
        self.journal.sync(SyncPoint::Barrier).map_err(|error| self.sync_failed(&error))
    }

    /// Syncs what is remembered as unsynced once that is more than memory shall hold.
    pub(super) fn relieve(&mut self) -> Result<(), DiskError> {
        if self.dirty.len() > self.options.limits.unsynced {
            self.sync_data().map_err(|error| self.sync_failed(&error))?;
        }
        if self.touched.len() > self.options.limits.unsynced {
            self.sync_touched(SyncPoint::NewDirectories)
                .map_err(|error| self.sync_failed(&error))?;
        }
        Ok(())
    }

    /// Syncs the partials, and the directories that hold them.
    fn sync_data(&mut self) -> io::Result<()> {
        let mut is_promised = true;
        let is_all_synced = self.dirty.len() > self.options.limits.synced_one_by_one
            && self.partials.sync_file_system(SyncPoint::PartialFileSystem)?;
        if !is_all_synced {
            for &entry in &self.dirty {
                match self.open_files.iter().find(|(of, _)| *of == entry) {
                    Some((_, file)) => is_promised &= file.sync_all(SyncPoint::Partial)?,
                    None => match self.open_partial(entry, Access::Read) {
                        // Gone by other hands: publishing it will tell.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        outcome => is_promised &= outcome?.sync_all(SyncPoint::Partial)?,
                    },
                }
            }
            if self.has_new_partials {
                is_promised &= self.partials.sync(SyncPoint::PartialNames)?;
            }
        }
        if self.has_new_home {
            is_promised &= self.home.sync(SyncPoint::HomeNames)?;
            is_promised &= self.directories.root().sync(SyncPoint::RootNames)?;
        }
        if !is_promised {
            self.warnings.add_once(Kind::Syncs, self.device, b"", None);
        }
        self.dirty.clear();
        self.has_new_partials = false;
        self.has_new_home = false;
        Ok(())
    }

    /// Syncs the names of directories of the target.
    fn sync_touched(&mut self, point: SyncPoint) -> io::Result<()> {
        let touched = std::mem::take(&mut self.touched);
        let root = self.directories.root().clone();
        if touched.len() > self.options.limits.synced_one_by_one
            && root.sync_file_system(SyncPoint::NamesFileSystem)?
        {
            return Ok(());
        }
        for path in &touched {
            match self.directories.open(path) {
                Ok(directory) => {
                    if !directory.sync(point)? {
                        let device = directory.own_metadata()?.device;
                        self.warnings.add_once(Kind::Syncs, device, path.as_bytes(), None);
                    }
                }
                // Moved or replaced by other hands since: its names are synced where they are now.
                Err(error) if is_of_entry(&error) => {
                    root.sync_file_system(SyncPoint::NamesFileSystem)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A sync that failed says so once and then forgets what it lost: no claim since the last barrier holds any more.
    pub(super) fn sync_failed(&mut self, error: &io::Error) -> DiskError {
        // If this cannot be written either, units of an earlier run are still compared before they are published.
        let _ = self.journal.append(&Record::SyncFailed);
        let mut error = self.own_error("sync", b"", error);
        if error.kind == crate::transfer::disk::DiskErrorKind::Other {
            error.kind = crate::transfer::disk::DiskErrorKind::Device;
        }
        error
    }

    fn append_batches<T: Clone>(
        &mut self,
        entries: &[T],
        record: impl Fn(Vec<T>) -> Record,
    ) -> Result<(), DiskError> {
        self.journal
            .append_batches(entries, record)
            .map_err(|error| self.own_error("write", crate::store::journal::NAME, &error))
    }

    /// Gives the partial its metadata, after its units of earlier runs were read back; or makes the symlink.
    fn prepare(&mut self, publish: &Publish) -> io::Result<Prepared> {
        let (above, _) = publish.path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        self.assure(&above)?;
        match &publish.kind {
            PublishKind::Symlink { target } => {
                let name = link_name(publish.entry);
                crate::fs::remove_if_present(&self.partials, &name)?;
                self.partials.create_symlink(&name, target)?;
                self.has_new_partials = true;
                let outcome = self.partials.set_symlink_modified(&name, publish.modified);
                self.taken(Kind::LinkTimes, self.device, publish.path.as_bytes(), outcome)?;
                Ok(Prepared::Ready(self.partials.metadata(&name)?.modified))
            }
            PublishKind::File { bytes, recheck, .. } => {
                if recheck.is_empty() && self.has_metadata(publish, *bytes)? {
                    self.dirty.insert(publish.entry);
                    return Ok(Prepared::Ready(clamp_modified(publish.modified)));
                }
                let at = self.open_files.iter().position(|(of, _)| *of == publish.entry);
                let file = match at {
                    Some(at) => self.open_files.remove(at).1,
                    None => match self.open_partial(publish.entry, Access::Read) {
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {
                            return Ok(Prepared::Missing);
                        }
                        // An earlier run gave it a final mode that forbids reading, and got no further.
                        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                            self.drop_partial(publish.entry)?;
                            return Ok(Prepared::Decided(lost(publish)));
                        }
                        outcome => outcome?,
                    },
                };
                let metadata = file.metadata()?;
                let offsets = if metadata.bytes == *bytes && metadata.kind == FileKind::File {
                    rotten(&file, *bytes, recheck)?
                } else {
                    all_offsets(*bytes)
                };
                if !offsets.is_empty() {
                    // To be written again, also if an earlier run had given it its final mode.
                    let outcome = file.set_mode(0o600);
                    self.taken(Kind::Modes, metadata.device, publish.path.as_bytes(), outcome)?;
                    return Ok(Prepared::Decided(Published::Rotten { offsets }));
                }
                let (path, device) = (publish.path.as_bytes(), metadata.device);
                self.taken(Kind::Times, device, path, file.set_modified(publish.modified))?;
                let mode = self.final_mode(publish.mode);
                self.taken(Kind::Modes, device, path, file.set_mode(mode))?;
                let kept = file.metadata()?.modified;
                self.dirty.insert(publish.entry);
                // Kept open until it is synced: its final mode may keep us from opening it again.
                if self.dirty.len() <= self.options.limits.synced_one_by_one {
                    self.open_files.push((publish.entry, file));
                }
                Ok(Prepared::Ready(kept))
            }
        }
    }

    /// Whether a partial has everything already, as one of a pack that this run wrote: then it is not opened again.
    fn has_metadata(&self, publish: &Publish, bytes: u64) -> io::Result<bool> {
        let metadata = match self.partials.metadata(&partial_name(publish.entry)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            outcome => outcome?,
        };
        Ok(metadata.kind == FileKind::File
            && metadata.bytes == bytes
            // Still open to us when it is synced.
            && metadata.mode & 0o600 == 0o600
            && metadata.mode == self.final_mode(publish.mode)
            && metadata.modified == clamp_modified(publish.modified))
    }

    fn place_or_fail(
        &mut self,
        publish: &Publish,
        ready: Option<ModifiedTime>,
    ) -> Result<(Published, ModifiedTime), DiskError> {
        self.open_files.retain(|(of, _)| *of != publish.entry);
        let placed = self.place(publish, ready);
        match placed.map_err(|error| self.about_surroundings(error, &publish.path)) {
            Err(error) if is_of_entry(&error) => {
                let mut told = name_error("publish", &publish.path, &error);
                if is_name_refused(&error) && publish.on_conflict != OnConflict::Rename {
                    told.message.push_str("; --on-conflict rename gives it another one");
                }
                Ok((Published::Failed(told), publish.modified))
            }
            outcome => {
                outcome.map_err(|error| disk_error("publish", publish.path.as_bytes(), &error))
            }
        }
    }

    /// Gives it its final name, or finds out why it cannot have it; with the time that the disk keeps of it. `ready`: its
    /// partial is there, with that time.
    fn place(
        &mut self,
        publish: &Publish,
        ready: Option<ModifiedTime>,
    ) -> io::Result<(Published, ModifiedTime)> {
        let kept = ready.unwrap_or(publish.modified);
        let is_ready = ready.is_some();
        let Some((above, name)) = publish.path.split_last() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let parent = self.open_or_create(&above)?;
        let own_name = match publish.kind {
            PublishKind::File { .. } => partial_name(publish.entry),
            PublishKind::Symlink { .. } => link_name(publish.entry),
        };
        let spellings = spellings(name);
        let (mut spelling, mut number) = (0, 0);
        while number <= NUMBERS_MAX {
            let name = numbered_spelling(&spellings[spelling], number);
            let path = above.join(&name);
            let done = Published::Done { path: path.clone() };
            let has_other =
                publish.on_conflict == OnConflict::Rename && spelling + 1 < spellings.len();
            let is_taken = if is_ready {
                let at = (&above, &parent);
                let moved = self.in_directory(&above, |store| {
                    store.move_in(publish, &own_name, at, &name, false)
                });
                let moved = moved.map_err(|error| match self.partials.metadata(&own_name) {
                    Ok(_) => self.about_name(error, &above, &parent),
                    Err(_) => error,
                });
                match moved {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
                    Err(error) if has_other && is_name_refused(&error) => {
                        (spelling, number) = (spelling + 1, 0);
                        continue;
                    }
                    outcome => {
                        let kept = outcome?.unwrap_or(kept);
                        self.touched.insert(above);
                        if spelling > 0 {
                            self.given.insert(path);
                        }
                        return Ok((done, kept));
                    }
                }
            } else {
                match exists(&parent, &name) {
                    Err(error) if is_name_refused(&error) => false,
                    outcome => outcome?,
                }
            };
            if !is_taken && has_other {
                // Perhaps a run that was killed had to spell it otherwise.
                (spelling, number) = (spelling + 1, 0);
                continue;
            }
            if !is_taken {
                // Neither partial nor final file: it was removed by other hands.
                self.was_publishing.remove(&publish.entry);
                return Ok((lost(publish), kept));
            }
            let twin = self.twin_error(publish, (&above, &parent), &name)?;
            let is_anothers = self.is_anothers(publish, &path, spelling > 0)?;
            // One that is gone was published as what is there, by a run that was killed, if that was about to.
            let is_own = self.was_publishing.contains_key(&publish.entry);
            let may_be_it = !is_ready || (twin.is_none() && !is_anothers);
            if may_be_it && is_identical(&parent, &name, &publish.kind)? {
                if !is_own {
                    // The sender is told that its content is durable here: so it is, before our own copy goes.
                    if matches!(publish.kind, PublishKind::File { .. }) {
                        parent.open_file(&name, Access::Read)?.sync_all(SyncPoint::FinalNames)?;
                    }
                    parent.sync(SyncPoint::FinalNames)?;
                    self.give_up(publish.entry, &own_name)?;
                    return Ok((Published::There, kept));
                }
                self.drop_own(&own_name)?;
                let kept = match publish.kind {
                    PublishKind::File { .. } => self.give_time(&parent, &name, publish.modified)?,
                    PublishKind::Symlink { .. } => kept,
                };
                self.touched.insert(above);
                if spelling > 0 {
                    self.given.insert(path);
                }
                return Ok((done, kept));
            }
            if is_ready
                && let Some(old) = publish.replaces
                && self.remove_gone_directory(old, &path, &parent.metadata(&name)?)?
            {
                continue;
            }
            if is_ready && twin.is_none() && self.is_replaced(publish, &parent, &name)? {
                return self.overwrite(publish, &own_name, (&above, &parent), &name, kept);
            }
            match publish.on_conflict {
                OnConflict::Rename => number += 1,
                OnConflict::Skip => {
                    self.give_up(publish.entry, &own_name)?;
                    return Ok((Published::Conflict, kept));
                }
                // Never over another file of the same session.
                _ if let Some(error) = twin => {
                    self.give_up(publish.entry, &own_name)?;
                    return Ok((Published::Failed(error), kept));
                }
                OnConflict::Fail => {
                    self.give_up(publish.entry, &own_name)?;
                    return Ok((Published::Conflict, kept));
                }
                OnConflict::Overwrite if !is_ready => return Ok((lost(publish), kept)),
                OnConflict::Overwrite => {
                    return self.overwrite(publish, &own_name, (&above, &parent), &name, kept);
                }
            }
        }
        Ok((Published::Conflict, kept))
    }

    /// Whether what has the name is what this session published of an earlier version, now.
    fn is_replaced(&mut self, publish: &Publish, parent: &D, name: &[u8]) -> io::Result<bool> {
        let Some(old) = publish.replaces else { return Ok(false) };
        let metadata = parent.metadata(name)?;
        Ok(self.version_there(old, &metadata, (parent, name), true)?.is_some())
    }

    /// Replaces a regular file or symlink; nothing else.
    fn overwrite(
        &mut self,
        publish: &Publish,
        own_name: &[u8],
        (above, parent): (&RelativePath, &D),
        name: &[u8],
        kept: ModifiedTime,
    ) -> io::Result<(Published, ModifiedTime)> {
        let metadata = parent.metadata(name)?;
        if self.is_complete_twin(publish.entry, (parent, name), &metadata)? {
            self.give_up(publish.entry, own_name)?;
            return Ok((Published::Conflict, kept));
        }
        match metadata.kind {
            FileKind::File | FileKind::Symlink => {
                let moved = self.in_directory(above, |store| {
                    store.move_in(publish, own_name, (above, parent), name, true)
                });
                let kept = moved?.unwrap_or(kept);
                self.touched.insert(above.clone());
                Ok((Published::Done { path: above.join(name) }, kept))
            }
            FileKind::Directory | FileKind::Other => Ok((Published::Conflict, kept)),
        }
    }

    /// An entry does not get its name. That is recorded before its partial goes: without it, what has the name could be what
    /// a killed run published.
    fn give_up(&mut self, entry: EntryIndex, own_name: &[u8]) -> io::Result<()> {
        self.was_publishing.remove(&entry);
        self.journal.append(&Record::Unpublished { entry })?;
        self.drop_own(own_name)
    }

    fn drop_own(&self, own_name: &[u8]) -> io::Result<()> {
        crate::fs::remove_if_present(&self.partials, own_name)
    }
}

/// What the journal says of a complete entry.
pub(super) fn completion(entry: EntryIndex, kind: &PublishKind, kept: ModifiedTime) -> Complete {
    let (bytes, root) = match kind {
        PublishKind::File { bytes, root, .. } => (*bytes, Some(*root)),
        PublishKind::Symlink { .. } => (0, None),
    };
    Complete { entry, bytes, root, kept }
}

/// Everything of it is to be fetched again; a symlink needs nothing fetched and cannot be lost.
fn lost(publish: &Publish) -> Published {
    let offsets = match &publish.kind {
        PublishKind::File { bytes, .. } => all_offsets(*bytes),
        PublishKind::Symlink { .. } => Vec::new(),
    };
    Published::Rotten { offsets }
}

/// The offsets of all units of a file; an empty file has one.
fn all_offsets(bytes: u64) -> Vec<u64> {
    (0..bytes.div_ceil(UNIT_BYTES).max(1)).map(|unit| unit * UNIT_BYTES).collect()
}

/// The offsets of those units whose bytes are not what was journalled.
fn rotten(file: &impl File, bytes: u64, recheck: &[(u64, Value)]) -> io::Result<Vec<u64>> {
    let mut offsets = Vec::new();
    let mut room = vec![0; UNIT_BYTES.min(bytes) as usize];
    for &(offset, value) in recheck {
        let length = usize::try_from(part_bytes(offset, bytes)).unwrap_or(0);
        let buffer = &mut room[..length];
        match read_exact_at(file, buffer, offset) {
            Ok(()) if unit_value([&*buffer], offset, bytes) == value => {}
            // A device that cannot read a block back has lost it; the unit is fetched again.
            Ok(()) | Err(_) => offsets.push(offset),
        }
    }
    Ok(offsets)
}

pub(super) fn exists<D: Directory>(parent: &D, name: &[u8]) -> io::Result<bool> {
    match parent.metadata(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        outcome => outcome.map(|_| true),
    }
}
