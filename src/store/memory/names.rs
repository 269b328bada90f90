//! Names in a directory in memory: made, removed and moved.

use super::*;

impl MemoryDirectory {
    /// Makes something that is neither file, directory nor symlink.
    ///
    /// # Errors
    /// As [`Directory::create_file`].
    pub fn create_other(&self, name: &[u8]) -> io::Result<()> {
        let mut state = self.disk.operate(false)?;
        state.create(self.inode, name, 0o600, Content::Other)?;
        Ok(())
    }

    pub(super) fn file(&self, inode: Inode) -> MemoryFile {
        MemoryFile { disk: self.disk.clone(), inode, lock: Mutex::new(None) }
    }

    pub(super) fn unlink(&self, name: &[u8], is_directory: bool) -> io::Result<()> {
        let mut state = self.disk.operate(false)?;
        let (_, node) = state.find(self.inode, name)?;
        match (&node.content, is_directory) {
            (Content::Directory(names), true) if !names.is_empty() => {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            (Content::Directory(_), false) => return Err(io::ErrorKind::IsADirectory.into()),
            (Content::File(_) | Content::Symlink(_) | Content::Other, true) => {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            (_, _) => {}
        }
        let (directory, name) = (self.inode, state.real_name(self.inode, name));
        state.change(Change::Unlink { directory, name });
        Ok(())
    }

    pub(super) fn move_to(
        &self,
        name: &[u8],
        to: &Self,
        new_name: &[u8],
        replace: bool,
    ) -> io::Result<()> {
        let mut state = self.disk.operate(false)?;
        let (inode, _) = state.find(self.inode, name)?;
        check_component(new_name)?;
        if state.device(self.inode) != state.device(to.inode) {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        if let Ok((_, node)) = state.find(to.inode, new_name) {
            if !replace {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if matches!(node.content, Content::Directory(_)) {
                return Err(io::ErrorKind::IsADirectory.into());
            }
        }
        state.names(to.inode)?;
        let replaced = state.real_name(to.inode, new_name);
        if replaced != new_name {
            state.change(Change::Unlink { directory: to.inode, name: replaced });
        }
        let name = state.real_name(self.inode, name);
        state.change(Change::Move {
            from: self.inode,
            name,
            to: to.inode,
            new_name: new_name.to_vec(),
            inode,
        });
        Ok(())
    }
}
