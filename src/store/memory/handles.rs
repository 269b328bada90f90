//! The file-system traits over the memory disk.

use super::*;
use crate::fs::{Access, Directory, File, Metadata, SyncPoint};
use crate::transfer::manifest::ModifiedTime;
use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::sync::PoisonError;

impl Directory for MemoryDirectory {
    type File = MemoryFile;

    fn own_metadata(&self) -> io::Result<Metadata> {
        self.disk.look()?.metadata(self.inode)
    }

    fn metadata(&self, name: &[u8]) -> io::Result<Metadata> {
        let state = self.disk.look()?;
        let (inode, _) = state.find(self.inode, name)?;
        state.metadata(inode)
    }

    fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        Ok(self.disk.look()?.names(self.inode)?.keys().cloned().collect())
    }

    fn open_directory(&self, name: &[u8]) -> io::Result<Self> {
        let state = self.disk.look()?;
        let (inode, node) = state.find(self.inode, name)?;
        match node.content {
            Content::Directory(_) => Ok(Self { disk: self.disk.clone(), inode }),
            Content::File(_) | Content::Symlink(_) | Content::Other => {
                Err(io::ErrorKind::NotADirectory.into())
            }
        }
    }

    fn create_directory(&self, name: &[u8], mode: u32) -> io::Result<()> {
        let mut state = self.disk.operate(false)?;
        state.create(self.inode, name, mode, Content::Directory(BTreeMap::new()))?;
        Ok(())
    }

    fn open_file(&self, name: &[u8], _access: Access) -> io::Result<MemoryFile> {
        let state = self.disk.look()?;
        let (inode, node) = state.find(self.inode, name)?;
        match node.content {
            Content::File(_) | Content::Other => Ok(self.file(inode)),
            Content::Directory(_) => Err(io::ErrorKind::IsADirectory.into()),
            Content::Symlink(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn create_file(&self, name: &[u8], mode: u32) -> io::Result<MemoryFile> {
        let mut state = self.disk.operate(false)?;
        let inode = state.create(self.inode, name, mode, Content::File(FileContent::default()))?;
        Ok(self.file(inode))
    }

    fn create_symlink(&self, name: &[u8], target: &[u8]) -> io::Result<()> {
        let mut state = self.disk.operate(false)?;
        state.create(self.inode, name, 0o777, Content::Symlink(target.to_vec()))?;
        Ok(())
    }

    fn read_symlink(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        match &self.disk.look()?.find(self.inode, name)?.1.content {
            Content::Symlink(target) => Ok(target.clone()),
            Content::File(_) | Content::Directory(_) | Content::Other => {
                Err(io::ErrorKind::InvalidInput.into())
            }
        }
    }

    fn set_symlink_modified(&self, name: &[u8], modified: ModifiedTime) -> io::Result<()> {
        let mut state = self.disk.operate(false)?;
        let (inode, _) = state.find(self.inode, name)?;
        state.set_modified(inode, modified)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        let inode = self.inode;
        let mut state = self.disk.operate(false)?;
        nature::refuse(state.nature.mode_error)?;
        state.change(Change::Mode { inode, mode });
        Ok(())
    }

    fn set_modified(&self, modified: ModifiedTime) -> io::Result<()> {
        self.disk.operate(false)?.set_modified(self.inode, modified)
    }

    fn rename(&self, name: &[u8], to: &Self, new_name: &[u8]) -> io::Result<()> {
        self.move_to(name, to, new_name, true)
    }

    fn rename_no_replace(&self, name: &[u8], to: &Self, new_name: &[u8]) -> io::Result<()> {
        self.move_to(name, to, new_name, false)
    }

    fn remove_file(&self, name: &[u8]) -> io::Result<()> {
        self.unlink(name, false)
    }

    fn remove_directory(&self, name: &[u8]) -> io::Result<()> {
        self.unlink(name, true)
    }

    fn sync(&self, point: SyncPoint) -> io::Result<bool> {
        self.disk.synced(point, Some(self.inode), |change| change.is_of(self.inode))
    }

    fn sync_file_system(&self, point: SyncPoint) -> io::Result<bool> {
        self.disk.synced(point, None, |_| true)
    }

    fn available_bytes(&self) -> io::Result<u64> {
        Ok(self.disk.look()?.available)
    }
}

impl File for MemoryFile {
    fn metadata(&self) -> io::Result<Metadata> {
        self.disk.look()?.metadata(self.inode)
    }

    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        let state = self.disk.look()?;
        let Some(Content::File(content)) = state.live.get(&self.inode).map(|node| &node.content)
        else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut at = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut read = 0;
        for buffer in buffers {
            let mut room = &mut buffer[..];
            while !room.is_empty() {
                let found = content.from(at);
                let bytes = found.len().min(room.len());
                if bytes == 0 {
                    break;
                }
                room[..bytes].copy_from_slice(&found[..bytes]);
                room = &mut room[bytes..];
                at += bytes;
                read += bytes;
            }
        }
        Ok(read)
    }

    fn write_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        let (inode, bytes) = (self.inode, parts.concat().into());
        self.disk.operate(false)?.change(Change::Write { inode, offset, bytes });
        Ok(())
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        let inode = self.inode;
        self.disk.operate(false)?.change(Change::Resize { inode, bytes });
        Ok(())
    }

    /// Never known here, so that rewritten zeros are written.
    fn is_hole(&self, _range: Range<u64>) -> bool {
        false
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        let inode = self.inode;
        let mut state = self.disk.operate(false)?;
        nature::refuse(state.nature.mode_error)?;
        state.change(Change::Mode { inode, mode });
        Ok(())
    }

    fn set_modified(&self, modified: ModifiedTime) -> io::Result<()> {
        self.disk.operate(false)?.set_modified(self.inode, modified)
    }

    fn sync_data(&self, point: SyncPoint) -> io::Result<bool> {
        self.disk.synced(point, Some(self.inode), |change| change.is_of(self.inode))
    }

    fn sync_all(&self, point: SyncPoint) -> io::Result<bool> {
        self.disk.synced(point, Some(self.inode), |change| change.is_of(self.inode))
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.disk.look()?;
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if *lock == Some(state.life) {
            return Ok(true);
        }
        let is_free = state.locks.insert(self.inode);
        if is_free {
            *lock = Some(state.life);
        }
        Ok(is_free)
    }

    fn is_locked(&self) -> io::Result<bool> {
        Ok(self.disk.look()?.locks.contains(&self.inode))
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if *self.lock.lock().unwrap_or_else(PoisonError::into_inner) == Some(state.life) {
            state.locks.remove(&self.inode);
        }
    }
}
