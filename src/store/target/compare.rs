//! Files that are there with the size of one that is wanted: read, and given the promised time where they are the same.

use super::TargetStore;
use super::publish::hash;
use crate::store::fs::{Access, Directory, File, FileKind};
use crate::transfer::disk::TargetReply;
use crate::transfer::manifest::{EntryIndex, ModifiedTime, RelativePath};
use crate::transfer::merge::Value;
use std::io;

impl<D: Directory> TargetStore<D> {
    pub(super) fn hash_files(
        &mut self,
        page: u64,
        files: Vec<(EntryIndex, RelativePath)>,
    ) -> TargetReply {
        let roots = files.into_iter().map(|(entry, path)| (entry, self.root_of(&path).ok()));
        TargetReply::Hashed { page, roots: roots.collect() }
    }

    /// What cannot be read cannot be compared.
    fn root_of(&mut self, path: &RelativePath) -> io::Result<Value> {
        let (parent, name) = path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let file = self.directories.open(&parent)?.open_file(name, Access::Read)?;
        match file.metadata()?.kind {
            FileKind::File => hash(&file),
            FileKind::Directory | FileKind::Symlink | FileKind::Other => {
                Err(io::ErrorKind::InvalidInput.into())
            }
        }
    }

    pub(super) fn set_times(&mut self, files: &[(RelativePath, u64, ModifiedTime)]) {
        for (path, bytes, modified) in files {
            if let Err(error) = self.set_time(path, *bytes, *modified) {
                tracing::debug!(target: "rejoin::store", %error, "a file keeps its time");
            }
        }
    }

    fn set_time(
        &mut self,
        path: &RelativePath,
        bytes: u64,
        modified: ModifiedTime,
    ) -> io::Result<()> {
        let (parent, name) = path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let file = self.directories.open(&parent)?.open_file(name, Access::Read)?;
        let metadata = file.metadata()?;
        if metadata.kind == FileKind::File && metadata.bytes == bytes {
            file.set_modified(modified)?;
        }
        Ok(())
    }
}
