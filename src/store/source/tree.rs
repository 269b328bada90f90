//! From paths of the manifest to open directories: one bounded set of handles for the scan and the store together.

use super::SourceRoots;
use crate::fs::Directory;
use crate::store::directories::Handles;
use crate::store::error::is_of_process;
use crate::transfer::manifest::RelativePath;
use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A directory that top-level names are in.
#[derive(Clone, Debug)]
pub(in crate::store) enum Parent<D> {
    /// Open for as long as the session.
    Held(D),
    /// Opened when it is needed: there may be thousands.
    ByPath {
        /// Its real path.
        path: PathBuf,
        /// Device and inode: another directory there is not taken for it.
        identity: (u64, u64),
        /// Opens a path.
        open: fn(&Path) -> io::Result<D>,
    },
}

impl<D: Directory> Parent<D> {
    fn open(&self) -> io::Result<D> {
        match self {
            Self::Held(directory) => Ok(directory.clone()),
            Self::ByPath { path, identity, open } => {
                let directory = open(path)?;
                let metadata = directory.own_metadata()?;
                if (metadata.device, metadata.inode) == *identity {
                    Ok(directory)
                } else {
                    Err(io::Error::other("the directory that it was in is another one now"))
                }
            }
        }
    }
}

/// Resolves paths of the manifest. Clones share their open handles.
#[derive(Debug)]
pub(in crate::store) struct SourceTree<D> {
    roots: Arc<SourceRoots<D>>,
    handles: Arc<Mutex<Handles<D>>>,
}

impl<D> Clone for SourceTree<D> {
    fn clone(&self) -> Self {
        Self { roots: Arc::clone(&self.roots), handles: Arc::clone(&self.handles) }
    }
}

impl<D: Directory> SourceTree<D> {
    pub(super) const fn new(roots: Arc<SourceRoots<D>>, handles: Arc<Mutex<Handles<D>>>) -> Self {
        Self { roots, handles }
    }

    /// The directory at `path`, which is not the root.
    ///
    /// # Errors
    /// As the system says.
    pub(in crate::store) fn open(&self, path: &RelativePath) -> io::Result<D> {
        let (parent, path) = self.resolve(path)?;
        self.open_at(parent, &path)
    }

    /// The directory that holds what `path` names, and its name there.
    ///
    /// # Errors
    /// As the system says.
    pub(in crate::store) fn open_parent<'a>(
        &self,
        path: &'a RelativePath,
    ) -> io::Result<(D, Cow<'a, [u8]>)> {
        let (parent, resolved) = self.resolve(path)?;
        let (above, _) = resolved.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let directory = self.open_at(parent, &above)?;
        let name = match resolved {
            Cow::Borrowed(path) => path.split_last().map(|(_, name)| Cow::Borrowed(name)),
            Cow::Owned(path) => path.split_last().map(|(_, name)| Cow::Owned(name.to_vec())),
        };
        Ok((directory, name.ok_or(io::ErrorKind::InvalidInput)?))
    }

    /// Whether this is a directory of rejoin's own, which is never content.
    pub(in crate::store) fn is_own(&self, device: u64, inode: u64) -> bool {
        self.roots.is_own(device, inode)
    }

    /// Does `work`. Where the process has no descriptor left, the handles are given up and it is done once more: what
    /// the process lacks is no property of a file.
    ///
    /// # Errors
    /// Those of `work`.
    pub(in crate::store) fn with_descriptors<T>(
        &self,
        work: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        match work() {
            Err(error) if is_of_process(&error) => {
                self.lock().clear();
                work()
            }
            outcome => outcome,
        }
    }

    fn open_at(&self, parent: usize, path: &RelativePath) -> io::Result<D> {
        let root = self.roots.parents.get(parent).ok_or(io::ErrorKind::NotFound)?;
        self.lock().open(parent, path, || root.open())
    }

    /// The number of a parent, and the path below it.
    fn resolve<'a>(&self, path: &'a RelativePath) -> io::Result<(usize, Cow<'a, RelativePath>)> {
        let mut components = path.components();
        let first = components.next().ok_or(io::ErrorKind::InvalidInput)?;
        let root = self.roots.names.get(first).ok_or(io::ErrorKind::NotFound)?;
        if root.name == first {
            return Ok((root.parent, Cow::Borrowed(path)));
        }
        let top = RelativePath::root().join(&root.name);
        Ok((root.parent, Cow::Owned(components.fold(top, |path, name| path.join(name)))))
    }

    fn lock(&self) -> MutexGuard<'_, Handles<D>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
