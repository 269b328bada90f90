//! Open handles of the directories below a root, the most recently used of them.

use super::followed::Followed;
use super::fs::{Directory, FileKind};
use crate::transfer::manifest::RelativePath;
use std::collections::HashMap;
use std::io;

/// Handles kept open, in all: the work goes through a tree in order, so few are used again; 64 descriptors must do for
/// the process (P-12).
const HANDLES_MAX: usize = 24;

/// A bounded set of open directories below any number of roots, each root known by its number.
#[derive(Debug)]
pub(super) struct Handles<D> {
    /// Most recently used last.
    kept: Vec<Handle<D>>,
}

#[derive(Debug)]
struct Handle<D> {
    root: usize,
    path: RelativePath,
    directory: D,
}

impl<D: Directory> Handles<D> {
    pub(super) fn new() -> Self {
        Self { kept: Vec::with_capacity(HANDLES_MAX) }
    }

    /// The directory at `path` below a root, one component after the other and never through a symlink; `open_root` is
    /// asked where nothing above it is open.
    ///
    /// # Errors
    /// As the system says, for the first component that fails.
    pub(super) fn open(
        &mut self,
        root: usize,
        path: &RelativePath,
        open_root: impl FnOnce() -> io::Result<D>,
    ) -> io::Result<D> {
        self.open_by(root, path, open_root, |directory, _, name| directory.open_directory(name))
    }

    /// The same, where `enter` opens a name in a directory, which is then at a path.
    fn open_by(
        &mut self,
        root: usize,
        path: &RelativePath,
        open_root: impl FnOnce() -> io::Result<D>,
        mut enter: impl FnMut(&D, &RelativePath, &[u8]) -> io::Result<D>,
    ) -> io::Result<D> {
        if let Some(directory) = self.get(root, path) {
            return Ok(directory);
        }
        // From the deepest ancestor that is open, down again.
        let mut missing = Vec::new();
        let mut at = path.clone();
        let mut directory = loop {
            let Some((parent, name)) =
                at.split_last().map(|(parent, name)| (parent, name.to_vec()))
            else {
                let directory = open_root()?;
                self.keep(root, RelativePath::root(), directory.clone());
                break directory;
            };
            missing.push(name);
            if let Some(directory) = self.get(root, &parent) {
                at = parent;
                break directory;
            }
            at = parent;
        };
        for name in missing.iter().rev() {
            at = at.join(name);
            directory = enter(&directory, &at, name)?;
        }
        if !missing.is_empty() {
            self.keep(root, path.clone(), directory.clone());
        }
        Ok(directory)
    }

    /// Gives all of them up.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    fn get(&mut self, root: usize, path: &RelativePath) -> Option<D> {
        let at = self.kept.iter().rposition(|kept| kept.root == root && kept.path == *path)?;
        self.kept[at..].rotate_left(1);
        self.kept.last().map(|kept| kept.directory.clone())
    }

    fn keep(&mut self, root: usize, path: RelativePath, directory: D) {
        if self.kept.len() >= HANDLES_MAX {
            self.kept.remove(0);
        }
        self.kept.push(Handle { root, path, directory });
    }
}

/// Resolves paths below one root.
pub(super) struct Directories<D> {
    root: D,
    handles: Handles<D>,
    is_following: bool,
    followed: Followed,
    /// Directories whose names on the disk are others.
    respelled: HashMap<RelativePath, Vec<u8>>,
}

impl<D: Directory> Directories<D> {
    pub(super) fn new(root: D) -> Self {
        let (handles, followed) = (Handles::new(), Followed::default());
        Self { root, handles, is_following: false, followed, respelled: HashMap::new() }
    }

    /// The root itself.
    pub(super) const fn root(&self) -> &D {
        &self.root
    }

    /// Follows symlinks to directories below the root from now on.
    pub(super) const fn follow(&mut self) {
        self.is_following = true;
    }

    /// Gives all handles up: a directory is gone, or another one.
    pub(super) fn forget(&mut self) {
        self.handles.clear();
    }

    /// The directory at `path` has this name on the disk.
    pub(super) fn respell(&mut self, path: RelativePath, name: Vec<u8>) {
        self.respelled.insert(path, name);
    }

    /// It has its own name, or none.
    pub(super) fn unspell(&mut self, path: &RelativePath) {
        self.respelled.remove(path);
    }

    /// Whether the directory at `path` has another name on the disk.
    pub(super) fn is_respelled(&self, path: &RelativePath) -> bool {
        self.respelled.contains_key(path)
    }

    /// The name that the directory at `path` has on the disk.
    pub(super) fn name_of<'a>(&'a self, path: &RelativePath, name: &'a [u8]) -> &'a [u8] {
        if self.respelled.is_empty() {
            return name;
        }
        self.respelled.get(path).map_or(name, Vec::as_slice)
    }

    /// The path on the disk, without links where all of them were followed.
    pub(super) fn real(&self, path: &RelativePath) -> RelativePath {
        let followed = self.followed.real(path);
        if self.respelled.is_empty() || followed != *path {
            return followed;
        }
        let (mut at, mut real) = (RelativePath::root(), RelativePath::root());
        for name in path.components() {
            at = at.join(name);
            real = real.join(self.name_of(&at, name));
        }
        real
    }

    /// The links that were followed.
    pub(super) const fn followed(&self) -> &Followed {
        &self.followed
    }

    /// The directory at `path`.
    ///
    /// # Errors
    /// As [`Handles::open`], and as [`Followed::follow`] for a symlink that is followed.
    pub(super) fn open(&mut self, path: &RelativePath) -> io::Result<D> {
        let Self { root, handles, is_following, followed, respelled } = self;
        handles.open_by(
            0,
            path,
            || Ok(root.clone()),
            |directory, path, name| {
                let name = respelled.get(path).map_or(name, Vec::as_slice);
                let is_link =
                    || directory.metadata(name).is_ok_and(|it| it.kind == FileKind::Symlink);
                match directory.open_directory(name) {
                    Err(_) if *is_following && is_link() => followed.follow(root, path),
                    outcome => outcome,
                }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryDisk;

    /// B-M: however many roots and directories are walked, few handles stay open.
    #[test]
    fn handles_are_bounded_over_all_roots() {
        let disk = MemoryDisk::new();
        let mut handles = Handles::new();
        for root in 0..100 {
            let name = format!("{root}").into_bytes();
            disk.root().create_directory(&name, 0o755).unwrap();
            let top = disk.root().open_directory(&name).unwrap();
            top.create_directory(b"a", 0o755).unwrap();
            top.open_directory(b"a").unwrap().create_directory(b"b", 0o755).unwrap();
            let path = RelativePath::root().join(b"a").join(b"b");
            for _ in 0..2 {
                handles.open(root, &path, || Ok(top.clone())).unwrap();
                handles.open(root, &RelativePath::root().join(b"a"), || Ok(top.clone())).unwrap();
            }
            assert!(handles.kept.len() <= HANDLES_MAX, "{}", handles.kept.len());
        }
        // The most recently used are open: nothing asks for their root.
        let path = RelativePath::root().join(b"a").join(b"b");
        assert!(handles.open(99, &path, || Err(io::ErrorKind::Other.into())).is_ok());
        assert!(handles.open(0, &path, || Err(io::ErrorKind::Other.into())).is_err());
    }
}
