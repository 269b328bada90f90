//! Open handles of the directories below a root, the most recently used of them.

use super::followed::Followed;
use super::own::Own;
use crate::fs::{Directory, FileKind};
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

    /// The same, where `enter` opens a name in a directory, which is then at a path. Its work is in the length of the path,
    /// however many components that has.
    fn open_by(
        &mut self,
        root: usize,
        path: &RelativePath,
        open_root: impl FnOnce() -> io::Result<D>,
        mut enter: impl FnMut(&D, &[u8], &[u8]) -> io::Result<D>,
    ) -> io::Result<D> {
        let bytes = path.as_bytes();
        // From the deepest ancestor that is open, down.
        let nearest = (0..self.kept.len())
            .filter(|at| self.kept[*at].root == root && self.kept[*at].is_above_or_at(bytes))
            .max_by_key(|at| self.kept[*at].path.as_bytes().len());
        let (mut directory, mut at) = match nearest {
            Some(nearest) => {
                self.kept[nearest..].rotate_left(1);
                let Some(handle) = self.kept.last() else {
                    return Err(io::ErrorKind::NotFound.into());
                };
                (handle.directory.clone(), handle.path.as_bytes().len())
            }
            None => {
                let directory = open_root()?;
                self.keep(root, RelativePath::root(), directory.clone());
                (directory, 0)
            }
        };
        if at == bytes.len() {
            return Ok(directory);
        }
        while at < bytes.len() {
            let start = if at == 0 { 0 } else { at + 1 };
            at = bytes[start..]
                .iter()
                .position(|byte| *byte == b'/')
                .map_or(bytes.len(), |end| start + end);
            directory = enter(&directory, &bytes[..at], &bytes[start..at])?;
        }
        self.keep(root, path.clone(), directory.clone());
        Ok(directory)
    }

    /// Gives all of them up.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    fn keep(&mut self, root: usize, path: RelativePath, directory: D) {
        if self.kept.len() >= HANDLES_MAX {
            self.kept.remove(0);
        }
        self.kept.push(Handle { root, path, directory });
    }
}

impl<D> Handle<D> {
    /// Whether a path lies in it, or is its own.
    fn is_above_or_at(&self, path: &[u8]) -> bool {
        let own = self.path.as_bytes();
        let rest = path.strip_prefix(own);
        rest.is_some_and(|rest| own.is_empty() || rest.first().is_none_or(|byte| *byte == b'/'))
    }
}

/// Resolves paths below one root: to directories that are not our own ([`super::own`]).
pub(super) struct Directories<D> {
    root: D,
    own: Own,
    handles: Handles<D>,
    is_following: bool,
    followed: Followed,
    /// Directories whose names on the disk are others.
    respelled: HashMap<RelativePath, Vec<u8>>,
}

impl<D: Directory> Directories<D> {
    pub(super) fn new(root: D, own: Own) -> Self {
        let (handles, followed) = (Handles::new(), Followed::default());
        Self { root, own, handles, is_following: false, followed, respelled: HashMap::new() }
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
    /// As [`Handles::open`], and as [`Followed::follow`] for a symlink that is followed; [`super::own::IsOwn`].
    pub(super) fn open(&mut self, path: &RelativePath) -> io::Result<D> {
        let Self { root, own, handles, is_following, followed, respelled } = self;
        handles.open_by(
            0,
            path,
            || Ok(root.clone()),
            |directory, at, name| {
                let name = match respelled.is_empty() {
                    true => name,
                    false => respelled.get(at).map_or(name, Vec::as_slice),
                };
                let is_link =
                    || directory.metadata(name).is_ok_and(|it| it.kind == FileKind::Symlink);
                match directory.open_directory(name) {
                    Err(_) if *is_following && is_link() => {
                        followed.follow(root, *own, &path.prefix(at.len()))
                    }
                    outcome => own.admit(outcome?),
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

    /// S-03: a deep directory is opened in one way down, whatever is open beside it.
    #[test]
    fn a_deep_directory_is_opened_from_the_nearest_one() {
        let disk = MemoryDisk::new();
        let path = |levels: usize| {
            (0..levels).fold(RelativePath::root(), |path, _| path.join(b"d")).join(b"x")
        };
        let mut at = disk.root();
        for _ in 0..1_000 {
            at.create_directory(b"d", 0o755).unwrap();
            at.create_directory(b"x", 0o755).unwrap();
            // Begins like the other, and is not above it.
            at.create_directory(b"dx", 0o755).unwrap();
            at = at.open_directory(b"d").unwrap();
        }
        let (mut handles, mut entered) = (Handles::new(), Vec::new());
        let mut open = |path: &RelativePath| {
            let before = entered.len();
            let opened = handles.open_by(
                0,
                path,
                || Ok(disk.root()),
                |directory, at, name| {
                    entered.push(at.to_vec());
                    directory.open_directory(name)
                },
            );
            opened.map(|_| entered.len() - before)
        };
        assert_eq!(open(&path(999)).unwrap(), 1_000);
        assert_eq!(open(&path(999)).unwrap(), 0);
        let above = path(999).split_last().unwrap().0;
        assert_eq!(open(&above).unwrap(), 999);
        assert_eq!(open(&above.join(b"dx")).unwrap(), 1);
        assert_eq!(open(&above.join(b"d")).unwrap(), 1, "not from its namesake");
        assert_eq!(open(&above.join(b"d").join(b"y")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(entered[1], b"d/d");
    }
}
