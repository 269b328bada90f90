//! Room: what is to come is compared with it, holes take none, and what is whole is published when there is none left.

use super::{Claims, TargetStore, partial_name};
use crate::fs::{Directory, File, remove_if_present};
use crate::store::error::disk_error;
use crate::transfer::disk::{DiskError, DiskErrorKind, Existing, Wanted, WantedKind};
use crate::transfer::manifest::{EntryIndex, RelativePath};
use std::io;

/// Room kept for the journal and for directories when everything else is full.
pub(super) const RESERVE: &[u8] = b"reserve";
const RESERVE_BYTES: usize = 128 << 10;

/// A disk that has so many bytes free and takes no new file has no place for its name.
const FREE_BYTES: u64 = 1 << 20;

/// What is known about the room in the target.
#[derive(Debug, Default)]
pub(super) struct Space {
    /// Nothing is written any more but final names.
    pub(super) is_full: bool,
    /// Bytes of the files that are to come.
    wanted_bytes: u64,
    /// Bytes that were free, or held by partial files, when the session was opened.
    room_bytes: Option<u64>,
    is_told: bool,
}

impl<D: Directory> TargetStore<D> {
    /// Looks how much room there is, and keeps a little of it.
    pub(super) fn begin_space(&mut self, claims: &Claims) {
        let parts: u64 = claims.parts.len() as u64 * crate::transfer::UNIT_BYTES;
        let small: u64 = claims.small.values().map(|(_, file)| file.bytes).sum();
        self.space.room_bytes =
            self.partials.available_bytes().ok().map(|free| free.saturating_add(parts + small));
        // Without it there is less room for the journal, and nothing else.
        let _ = self.keep_reserve();
    }

    fn keep_reserve(&self) -> io::Result<()> {
        match self.partials.create_file(RESERVE, 0o600) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            outcome => {
                // No file system makes this smaller.
                let mut content = vec![0; RESERVE_BYTES];
                blake3::Hasher::new().finalize_xof().fill(&mut content);
                outcome?.write_at(&[&content], 0)
            }
        }
    }

    /// The disk is full: gives the reserve back, so that what is whole can get its final name.
    pub(super) fn fill(&mut self) {
        self.space.is_full = true;
        let _ = remove_if_present(&self.partials, RESERVE);
    }

    /// Counts what is to come; says once that it may not fit. Holes take no room, and only the content shows them, so that it
    /// is begun all the same.
    pub(super) fn count_wanted(&mut self, wanted: &[Wanted], existing: &[(EntryIndex, Existing)]) {
        for (wanted, (_, found)) in wanted.iter().zip(existing) {
            if let WantedKind::File { bytes, .. } = wanted.kind
                && matches!(found, Existing::Absent | Existing::Differs { .. })
            {
                self.space.wanted_bytes = self.space.wanted_bytes.saturating_add(bytes);
            }
        }
        let Some(room) = self.space.room_bytes else { return };
        if self.space.wanted_bytes > room && !self.space.is_told {
            self.space.is_told = true;
            let message = format!(
                "{} are to come and {} are free in the target: unless enough of it is holes, it will be full; \
                 what is whole by then is kept",
                mebibytes(self.space.wanted_bytes),
                mebibytes(room)
            );
            self.warnings.add("space_short", message);
        }
    }

    /// An error while a file was written: about the file that the user knows.
    pub(super) fn write_error(&self, entry: EntryIndex, cause: &io::Error) -> DiskError {
        let path = self.path_of(entry);
        let path = path.map_or_else(|| partial_name(entry), |path| path.as_bytes().to_vec());
        let mut error = disk_error("write", &path, cause);
        if error.kind == DiskErrorKind::Full
            && cause.kind() != io::ErrorKind::FileTooLarge
            && let Ok(free) = self.partials.available_bytes()
        {
            let whole = self.whole_bytes(entry);
            error.message = match free {
                FREE_BYTES.. if whole <= free => format!(
                    "{}: {} are free, but no more files or blocks are (inodes, or a quota)",
                    error.message,
                    mebibytes(free)
                ),
                _ => format!(
                    "{}; {} are free, and this file takes {} in all",
                    error.message,
                    mebibytes(free),
                    mebibytes(whole)
                ),
            };
        }
        error
    }

    fn whole_bytes(&self, entry: EntryIndex) -> u64 {
        match self.pages.entry(entry).ok().flatten().map(|entry| entry.kind) {
            Some(crate::transfer::manifest::EntryKind::File { bytes }) => bytes,
            _ => 0,
        }
    }

    /// Where an entry belongs, as its pages say.
    pub(super) fn path_of(&self, entry: EntryIndex) -> Option<RelativePath> {
        let mut names = Vec::new();
        let mut at = Some(entry);
        while let Some(index) = at {
            let entry = self.pages.entry(index).ok().flatten()?;
            names.push(entry.name);
            // Parents come before their children.
            at = entry.parent.filter(|parent| *parent < index);
        }
        Some(names.iter().rev().fold(RelativePath::root(), |path, name| path.join(name)))
    }
}

/// In words, for a person.
fn mebibytes(bytes: u64) -> String {
    match bytes {
        0..=1_048_575 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}
