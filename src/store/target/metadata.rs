//! Files of this session that have their final names, and are to have another mode and time since.

use super::TargetStore;
use super::warnings::Kind;
use crate::fs::{Access, Directory, File, SyncPoint, clamp_modified};
use crate::store::error::disk_error;
use crate::store::journal::{Complete, Record};
use crate::transfer::disk::{DiskError, FileMetadata};
use crate::transfer::manifest::{EntryIndex, RelativePath};
use std::io;

impl<D: Directory> TargetStore<D> {
    /// Best effort, as with directories: metadata costs no content. What other hands changed is left alone.
    pub(super) fn set_metadata(
        &mut self,
        files: &[(EntryIndex, RelativePath, FileMetadata)],
    ) -> Result<(), DiskError> {
        let is_synced = files.len() <= self.options.limits.synced_one_by_one;
        let mut timed = Vec::new();
        for (entry, path, metadata) in files {
            match self.renew(*entry, path, *metadata, is_synced) {
                Ok(complete) => timed.extend(complete),
                Err(error) => {
                    let error = disk_error("set metadata of", path.as_bytes(), &error);
                    tracing::warn!(target: "rejoin::store", %error, "a file keeps its own");
                }
            }
        }
        if !is_synced {
            let root = self.directories.root().clone();
            root.sync_file_system(SyncPoint::NamesFileSystem)
                .map_err(|error| self.sync_failed(&error))?;
        }
        self.journal
            .append_batches(&timed, |entries| Record::Published { entries })
            .map_err(|error| self.own_error("write", crate::store::journal::NAME, &error))?;
        timed.iter().for_each(|complete| self.kept.publish(complete.entry));
        Ok(())
    }

    /// Gives one file its metadata; what the journal is to say of it where its time is another now.
    fn renew(
        &mut self,
        entry: EntryIndex,
        path: &RelativePath,
        metadata: FileMetadata,
        is_synced: bool,
    ) -> io::Result<Option<Complete>> {
        let (above, name) = path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let before = self.complete(entry)?.copied().filter(|_| !self.kept.renamed.contains(entry));
        let Some(before) = before else { return Ok(None) };
        let parent = self.directories.open(&above)?;
        let found = parent.metadata(name)?;
        if self.is_as_published(entry, &found, (&parent, name), false)? != Some(true) {
            return Ok(None);
        }
        let mode = self.final_mode(metadata.mode);
        let asked = clamp_modified(metadata.modified);
        let is_timed = self.is_same_time(found.device, asked, found.modified)?;
        let mut kept = found.modified;
        if !is_timed || found.mode != mode {
            let file = match parent.open_file(name, Access::Read) {
                Ok(file) => file,
                Err(error) => {
                    self.taken(Kind::Modes, found.device, path.as_bytes(), Err(error))?;
                    return Ok(None);
                }
            };
            let outcome = file.set_modified(metadata.modified);
            self.taken(Kind::Times, found.device, path.as_bytes(), outcome)?;
            let outcome = file.set_mode(mode);
            self.taken(Kind::Modes, found.device, path.as_bytes(), outcome)?;
            kept = file.metadata()?.modified;
            if is_synced {
                file.sync_all(SyncPoint::FinalNames)?;
            }
        }
        Ok((kept != before.kept).then_some(Complete { kept, ..before }))
    }
}
