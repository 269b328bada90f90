//! Units into partial files: verified first, then written, then journalled.

use super::{DIRTY_MAX, OPEN_FILES_MAX, TargetStore, partial_name};
use crate::store::error::disk_error;
use crate::store::fs::{Access, Directory, File};
use crate::store::journal::Record;
use crate::store::payload::Payload;
use crate::transfer::UNIT_BYTES;
use crate::transfer::disk::{DiskError, PackedFile, TargetReply, UnitContent};
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
        let payload = Payload::new(pieces);
        let record = match content {
            UnitContent::Part {
                entry,
                offset,
                file_bytes,
                value,
            } => {
                let is_sound = payload.bytes() == part_bytes(offset, file_bytes)
                    && value == unit_value(payload.slices(0..payload.bytes()), offset, file_bytes);
                if !is_sound {
                    return Ok(TargetReply::Corrupt { unit });
                }
                self.write_part(entry, offset, file_bytes, &payload)
                    .map_err(|error| self.own_error("write", &partial_name(entry), &error))?;
                Record::Part {
                    unit,
                    entry,
                    offset,
                    file_bytes,
                    value,
                }
            }
            UnitContent::Pack { files } => {
                if !is_sound_pack(&files, &payload) {
                    return Ok(TargetReply::Corrupt { unit });
                }
                for ((entry, _), range) in files.iter().zip(ranges(&files)) {
                    self.write_small(*entry, range, &payload)
                        .map_err(|error| self.own_error("write", &partial_name(*entry), &error))?;
                }
                Record::Pack { unit, files }
            }
        };
        self.journal(&record)?;
        if self.dirty.len() > DIRTY_MAX {
            self.sync_data()
                .map_err(|error| disk_error("sync", b".", &error))?;
        }
        Ok(TargetReply::Written { unit })
    }

    fn write_part(
        &mut self,
        entry: EntryIndex,
        offset: u64,
        file_bytes: u64,
        payload: &Payload<'_>,
    ) -> io::Result<()> {
        let file = self.take_file(entry, file_bytes)?;
        for (range, is_data) in payload.extents() {
            let at = offset + range.start..offset + range.end;
            // Bytes of an earlier write may be there: then zeros are written like any others.
            if is_data || !file.is_hole(at.clone()) {
                let slices: Vec<&[u8]> = payload.slices(range).collect();
                file.write_at(&slices, at.start)?;
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
        let available = self.partials.available_bytes()?;
        if available < file_bytes {
            let message = format!("{file_bytes} bytes needed, {available} available");
            return Err(io::Error::new(io::ErrorKind::StorageFull, message));
        }
        let file = self.partials.create_file(&partial_name(entry), 0o600)?;
        self.has_new_partials = true;
        file.set_bytes(file_bytes)?;
        Ok(file)
    }

    fn write_small(
        &mut self,
        entry: EntryIndex,
        range: Range<u64>,
        payload: &Payload<'_>,
    ) -> io::Result<()> {
        let name = partial_name(entry);
        let file = match self.partials.create_file(&name, 0o600) {
            // From a unit that came twice.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.partials.remove_file(&name)?;
                self.partials.create_file(&name, 0o600)?
            }
            outcome => outcome?,
        };
        self.has_new_partials = true;
        self.dirty.insert(entry);
        if range.is_empty() {
            return Ok(());
        }
        let slices: Vec<&[u8]> = payload.slices(range).collect();
        file.write_at(&slices, 0)
    }

    pub(super) fn discard(
        &mut self,
        entry: EntryIndex,
        units: &Range<u64>,
    ) -> Result<(), DiskError> {
        // Before the file is gone: a claim without a file is found out, a file without a claim is swept up.
        let units = (units.start, units.end);
        self.journal(&Record::Discard { entry, units })?;
        self.drop_partial(entry)
            .map_err(|error| self.own_error("remove", &partial_name(entry), &error))
    }

    pub(super) fn drop_partial(&mut self, entry: EntryIndex) -> io::Result<()> {
        self.open_files.retain(|(of, _)| *of != entry);
        self.dirty.remove(&entry);
        crate::store::fs::remove_if_present(&self.partials, &partial_name(entry))
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

/// Where each file of a pack lies in its payload.
fn ranges(files: &[(EntryIndex, PackedFile)]) -> impl Iterator<Item = Range<u64>> {
    let mut end = 0_u64;
    files.iter().map(move |(_, file)| {
        let start = end;
        end = end.saturating_add(file.bytes);
        start..end
    })
}

fn is_sound_pack(files: &[(EntryIndex, PackedFile)], payload: &Payload<'_>) -> bool {
    let is_whole = ranges(files).last().map_or(0, |range| range.end) == payload.bytes();
    is_whole
        && files.iter().zip(ranges(files)).all(|((_, file), range)| {
            file.bytes <= UNIT_BYTES
                && file.root == unit_value(payload.slices(range), 0, file.bytes)
        })
}
