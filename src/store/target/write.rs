//! Units into partial files: verified first, then written, then journalled.

use super::{OPEN_FILES_MAX, TargetStore, partial_name};
use crate::fs::{Access, Directory, File};
use crate::store::journal::Record;
use crate::store::payload::extents;
use crate::transfer::UNIT_BYTES;
use crate::transfer::disk::{DiskError, FileMetadata, PackedFile, TargetReply, UnitContent};
use crate::transfer::manifest::{EntryIndex, FILE_BYTES_MAX};
use crate::transfer::merge::unit_value;
use bytes::Bytes;
use std::io;
use std::ops::Range;

impl<D: Directory> TargetStore<D> {
    pub(super) fn write(
        &mut self,
        unit: u64,
        content: UnitContent,
        pieces: &[Bytes],
    ) -> Result<TargetReply, DiskError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let record = if buffer.join(pieces) {
            self.verify_and_write(unit, content, buffer.bytes())
        } else {
            Ok(None)
        };
        self.buffer = buffer;
        let Some(record) = record? else {
            return Ok(TargetReply::Corrupt { unit });
        };
        self.journal(&record)?;
        self.relieve()?;
        Ok(TargetReply::Written { unit })
    }

    /// Writes what is as promised, and says how that is journalled; `None` for what is not.
    fn verify_and_write(
        &mut self,
        unit: u64,
        content: UnitContent,
        bytes: &[u8],
    ) -> Result<Option<Record>, DiskError> {
        match content {
            UnitContent::Part { entry, offset, file_bytes, value } => {
                let is_sound = bytes.len() as u64 == part_bytes(offset, file_bytes)
                    && value == unit_value([bytes], offset, file_bytes);
                if !is_sound {
                    return Ok(None);
                }
                self.write_part(entry, offset, file_bytes, bytes)
                    .map_err(|error| self.write_error(entry, &error))?;
                Ok(Some(Record::Part { unit, entry, offset, file_bytes, value }))
            }
            UnitContent::Pack { files, metadata } => {
                let Some(contents) = split_pack(&files, bytes) else {
                    return Ok(None);
                };
                let metadata = metadata.into_iter().map(Some).chain(std::iter::repeat(None));
                for (((entry, _), content), metadata) in files.iter().zip(contents).zip(metadata) {
                    self.write_small(*entry, content, metadata)
                        .map_err(|error| self.write_error(*entry, &error))?;
                }
                Ok(Some(Record::Pack { unit, files }))
            }
        }
    }

    fn write_part(
        &mut self,
        entry: EntryIndex,
        offset: u64,
        file_bytes: u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        let file = self.take_file(entry, file_bytes)?;
        for (range, is_data) in extents(bytes) {
            let at = offset + range.start as u64..offset + range.end as u64;
            // Bytes of an earlier write may be there: then zeros are written like any others.
            if is_data || !file.is_hole(at.clone()) {
                file.write_at(&[&bytes[range]], at.start)?;
            }
        }
        self.dirty.insert(entry);
        if self.open_files.len() >= OPEN_FILES_MAX {
            self.open_files.remove(0);
        }
        self.open_files.push((entry, file));
        Ok(())
    }

    /// The partial of a large file: one of those open, or opened, or made.
    fn take_file(&mut self, entry: EntryIndex, file_bytes: u64) -> io::Result<D::File> {
        if let Some(at) = self.open_files.iter().position(|(of, _)| *of == entry) {
            return Ok(self.open_files.remove(at).1);
        }
        match self.open_partial(entry, Access::ReadWrite) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => {
                let file = outcome?;
                if file.metadata()?.bytes != file_bytes {
                    file.set_bytes(file_bytes)?;
                }
                return Ok(file);
            }
        }
        let file = self.partials.create_file(&partial_name(entry), 0o600)?;
        self.has_new_partials = true;
        file.set_bytes(file_bytes)?;
        Ok(file)
    }

    fn write_small(
        &mut self,
        entry: EntryIndex,
        content: &[u8],
        metadata: Option<FileMetadata>,
    ) -> io::Result<()> {
        let name = partial_name(entry);
        let metadata = metadata
            .map(|metadata| FileMetadata { mode: self.final_mode(metadata.mode), ..metadata })
            // One that keeps us from opening it again comes last.
            .filter(|metadata| metadata.mode & 0o600 == 0o600);
        let mode = metadata.map_or(0o600, |metadata| metadata.mode);
        let file = match self.partials.create_file(&name, mode) {
            // From a unit that came twice.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.partials.remove_file(&name)?;
                self.partials.create_file(&name, mode)?
            }
            outcome => outcome?,
        };
        self.has_new_partials = true;
        self.dirty.insert(entry);
        if !content.is_empty() {
            file.write_at(&[content], 0)?;
        }
        if let Some(metadata) = metadata {
            // Publishing looks whether it has it, and says what a file system does not take.
            let _ = file.set_modified(metadata.modified);
        }
        Ok(())
    }

    /// The permission bits that a file or directory gets.
    pub(super) const fn final_mode(&self, mode: u32) -> u32 {
        mode & 0o777 & !self.options.umask
    }

    pub(super) fn discard(
        &mut self,
        entry: EntryIndex,
        units: &Range<u64>,
    ) -> Result<(), DiskError> {
        // Before the file is gone: a claim without a file is found out, a file without a claim is swept up.
        let units = (units.start, units.end);
        self.journal(&Record::Discard { entry, units })?;
        self.forget_complete(entry);
        self.drop_partial(entry)
            .map_err(|error| self.own_error("remove", &partial_name(entry), &error))
    }

    pub(super) fn drop_partial(&mut self, entry: EntryIndex) -> io::Result<()> {
        self.open_files.retain(|(of, _)| *of != entry);
        self.dirty.remove(&entry);
        crate::fs::remove_if_present(&self.partials, &partial_name(entry))
    }
}

/// How many bytes the unit at `offset` of a file has; 0 where there can be none.
pub(super) fn part_bytes(offset: u64, file_bytes: u64) -> u64 {
    if offset.is_multiple_of(UNIT_BYTES) && file_bytes <= FILE_BYTES_MAX {
        file_bytes.saturating_sub(offset).min(UNIT_BYTES)
    } else {
        0
    }
}

/// The content of each file of a pack, if all of it is as promised.
fn split_pack<'a>(
    files: &[(EntryIndex, PackedFile)],
    mut bytes: &'a [u8],
) -> Option<Vec<&'a [u8]>> {
    let mut contents = Vec::with_capacity(files.len());
    for (_, file) in files {
        let (content, rest) = bytes.split_at_checked(usize::try_from(file.bytes).ok()?)?;
        if file.root != *blake3::hash(content).as_bytes() {
            return None;
        }
        contents.push(content);
        bytes = rest;
    }
    bytes.is_empty().then_some(contents)
}
