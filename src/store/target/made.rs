//! Directories that this session made, as what they are: a directory of the same name that somebody put there is theirs.
//!
//! Recorded twice: that one is about to be made, once it was seen not to be there; and which one it became. Of one that a kill
//! came in between of, its mode tells. **Ours it is while its mode is the one that we gave it**: who changed that keeps mode and time.

use super::TargetStore;
use crate::fs::{Directory, FileKind, Metadata};
use crate::store::journal::{Record, pairs};
use crate::store::made::MadeDirectory;
use crate::transfer::disk::DiskError;
use crate::transfer::manifest::EntryIndex;
use crate::transfer::ranges::Ranges;
use std::io;

impl<D: Directory> TargetStore<D> {
    /// A directory was just seen not to be there, and is about to be made: it is ours from here on, whenever this is killed.
    pub(super) fn record_made(&mut self, entry: EntryIndex) -> io::Result<()> {
        if !self.made.contains(entry) {
            self.journal
                .append(&Record::Made { entries: vec![(entry, entry.saturating_add(1))] })?;
            self.made.begin(entry..entry.saturating_add(1));
        }
        Ok(())
    }

    /// This is the directory that was made, or that got its mode from us.
    pub(super) fn record_is(&mut self, entry: EntryIndex, found: &Metadata) -> io::Result<()> {
        let made = MadeDirectory::of(entry, found);
        self.journal.append(&Record::MadeAs { directories: vec![made] })?;
        self.made.identify(made);
        Ok(())
    }

    /// Directories are not ours: they were there before, or are no more.
    pub(super) fn record_unmade(&mut self, entries: &Ranges) -> Result<(), DiskError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.journal(&Record::Unmade { entries: pairs(entries) })?;
        entries.as_slice().iter().for_each(|range| self.made.remove(range.clone()));
        Ok(())
    }

    /// The entry by which a directory of `entry`, or of what it replaces, was made.
    pub(super) fn made_by(&self, entry: EntryIndex) -> Option<EntryIndex> {
        self.pages.versions(entry).find(|entry| self.made.contains(*entry))
    }

    /// The same, where what is there is that directory.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn made_there(
        &mut self,
        entry: EntryIndex,
        found: &Metadata,
    ) -> io::Result<Option<EntryIndex>> {
        let Some(made) = self.made_by(entry).filter(|_| found.kind == FileKind::Directory) else {
            return Ok(None);
        };
        let is_it = match self.made.get(made) {
            Some(of) => of.is(found),
            None => {
                let promised = self.pages.entry(made)?.map(|entry| entry.mode);
                let found_mode = found.mode & 0o777;
                found.is_ours
                    && promised.is_some_and(|mode| {
                        [self.first_mode(mode), self.final_mode(mode)].contains(&found_mode)
                    })
            }
        };
        Ok(is_it.then_some(made))
    }

    /// The mode that a directory is made with: open to us, so that it can be filled.
    pub(super) const fn first_mode(&self, mode: u32) -> u32 {
        self.final_mode(mode) | 0o700
    }
}
