//! Reading what is there: whether it is what is wanted, or what was published. Of files that are not ours those that are the
//! same get the promised time, and nothing else.

use super::TargetStore;
use crate::fs::{Access, Directory, File, FileKind, Metadata};
use crate::store::error::is_of_entry;
use crate::store::scan::stamp;
use crate::transfer::disk::{self, PublishKind, TargetReply};
use crate::transfer::manifest::{EntryIndex, ModifiedTime, RelativePath};
use crate::transfer::merge::Value;
use std::collections::HashMap;
use std::io::{self, IoSliceMut};

/// Files that were read and may get times later, at most.
const READ_MAX: usize = 65_536;

/// What tells that a file was not touched since: its device, and what a source is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64, disk::Stamp);

impl Stamp {
    pub(super) const fn of(metadata: &Metadata) -> Self {
        Self(metadata.device, stamp(metadata))
    }
}

/// Files that were read to be compared, as they were then. They are not ours: none of them gets a time unless its content
/// was promised, and it is what was read.
#[derive(Debug, Default)]
pub(super) struct Read(HashMap<RelativePath, Stamp>);

impl<D: Directory> TargetStore<D> {
    pub(super) fn hash_files(
        &mut self,
        page: u64,
        files: Vec<(EntryIndex, RelativePath)>,
    ) -> TargetReply {
        let mut roots = Vec::with_capacity(files.len());
        for (entry, path) in files {
            let root = self.root_of(&path).ok();
            roots.push((entry, root.map(|(root, _)| root)));
            if let Some((_, stamp)) = root
                && (self.read.0.len() < READ_MAX || self.read.0.contains_key(&path))
            {
                self.read.0.insert(path, stamp);
            }
        }
        TargetReply::Hashed { page, roots }
    }

    /// What cannot be read cannot be compared.
    fn root_of(&mut self, path: &RelativePath) -> io::Result<(Value, Stamp)> {
        let (parent, name) = path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let file = self.directories.open(&parent)?.open_file(name, Access::Read)?;
        let metadata = file.metadata()?;
        match metadata.kind {
            FileKind::File => Ok((hash(&file)?, Stamp::of(&metadata))),
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
        let Some(read) = self.read.0.get(path).copied() else { return Ok(()) };
        let (parent, name) = path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let file = self.directories.open(&parent)?.open_file(name, Access::Read)?;
        let metadata = file.metadata()?;
        if metadata.kind == FileKind::File
            && metadata.bytes == bytes
            && Stamp::of(&metadata) == read
        {
            file.set_modified(modified)?;
            self.read.0.insert(path.clone(), Stamp::of(&file.metadata()?));
        } else {
            self.read.0.remove(path);
        }
        Ok(())
    }
}

/// Whether what has that name is already what was to get it.
pub(super) fn is_identical<D: Directory>(
    parent: &D,
    name: &[u8],
    kind: &PublishKind,
) -> io::Result<bool> {
    let metadata = parent.metadata(name)?;
    match kind {
        PublishKind::Symlink { target } => {
            Ok(metadata.kind == FileKind::Symlink && parent.read_symlink(name)? == *target)
        }
        PublishKind::File { bytes, root, .. } => {
            if metadata.kind != FileKind::File || metadata.bytes != *bytes {
                return Ok(false);
            }
            match parent.open_file(name, Access::Read) {
                Ok(file) => Ok(hash(&file)? == *root),
                // What cannot be read cannot be compared.
                Err(error) if is_of_entry(&error) => Ok(false),
                Err(error) => Err(error),
            }
        }
    }
}

pub(super) fn hash(file: &impl File) -> io::Result<Value> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    loop {
        let read = file.read_at(&mut [IoSliceMut::new(&mut buffer)], offset)?;
        if read == 0 {
            return Ok(*hasher.finalize().as_bytes());
        }
        hasher.update(&buffer[..read]);
        offset += read as u64;
    }
}
