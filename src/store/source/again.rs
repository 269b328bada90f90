//! Another look at files that changed within a run: a page with their new versions, appended by the store once the scan is
//! at its end, so that there is one that appends at any time.

use super::{SourceStore, read_error};
use crate::fs::{Directory, FileKind};
use crate::store::error::{disk_error, is_of_process};
use crate::store::pages;
use crate::store::scan::stamp;
use crate::transfer::disk::{DiskError, Doubted, ReadError, SourceReply, Stamp, StoredPage};
use crate::transfer::manifest::{Entry, EntryIndex, EntryKind, FILE_BYTES_MAX, Page};
use std::io;
use std::sync::PoisonError;

impl<D: Directory> SourceStore<D> {
    pub(super) fn look_again(&mut self, files: &[Doubted], first_entry: EntryIndex) -> SourceReply {
        let (mut entries, mut stamps, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for doubted in files {
            match self.new_version(doubted) {
                Ok((entry, stamp)) => {
                    entries.push(entry);
                    stamps.push(Some(stamp));
                }
                Err(error) => failed.push((doubted.file.entry, error)),
            }
        }
        let page = if entries.is_empty() {
            Ok(None)
        } else {
            self.append(first_entry, entries, stamps).map(Some)
        };
        SourceReply::LookedAgain { page, failed }
    }

    fn new_version(&mut self, doubted: &Doubted) -> Result<(Entry, Stamp), ReadError> {
        let file = &doubted.file;
        let looked = self.tree.with_descriptors(|| {
            let (parent, name) = self.tree.open_parent(&file.path)?;
            parent.metadata(&name)
        });
        let metadata = looked.map_err(|error| {
            if is_of_process(&error) {
                ReadError::Disk(disk_error("look at", file.path.as_bytes(), &error))
            } else {
                read_error(file, &error)
            }
        })?;
        let name = file.path.components().next_back().ok_or(ReadError::Vanished)?.to_vec();
        if metadata.kind != FileKind::File || metadata.bytes > FILE_BYTES_MAX {
            return Err(ReadError::Changed);
        }
        let entry = Entry {
            parent: doubted.parent,
            name,
            kind: EntryKind::File { bytes: metadata.bytes },
            mode: metadata.mode & 0o777,
            modified: metadata.modified,
            supersedes: Some(file.entry),
        };
        Ok((entry, stamp(&metadata)))
    }

    fn append(
        &self,
        first_entry: EntryIndex,
        entries: Vec<Entry>,
        stamps: Vec<Option<Stamp>>,
    ) -> Result<StoredPage, DiskError> {
        let storing = |error: io::Error| disk_error("store page in", pages::NAME, &error);
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let page = Page { number: pages.len(), first_entry, entries };
        let encoded = page
            .encode()
            .map_err(|error| storing(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let stored = StoredPage { encoded: encoded.into(), stamps };
        pages.append(&stored).map_err(storing)?;
        Ok(stored)
    }
}
