//! What a user named to be sent, settled before anything is said to anybody.
//!
//! - A name means what it leads to: a symlink that is *named* is followed, and sent under its own name. Links inside a
//!   tree are sent as links.
//! - Only what is a file or a directory, and can be read, is sent; anything else is refused with the remedy.
//! - What rejoin keeps for itself is never content: the directories of [`SourceRoots::without`], any other state
//!   directory (known by a mark in it), and everything called `.rejoin`.
//! - How a path is spelled makes no difference: it is known by the real directory that it is in and its name there.

use super::tree::{Parent, SourceTree};
use crate::fs::Directory;
use crate::store::directories::Handles;
use crate::store::error::escape;
use crate::transfer::disk::DiskError;
use crate::transfer::name::NameError;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use thiserror::Error;

/// Why paths cannot be sent.
#[derive(Debug, Error)]
pub enum SourceError {
    /// One of them is not there or cannot be read.
    #[error("cannot open {path}: {error}")]
    Open {
        /// As given, escaped for a terminal.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// A symlink to what is not there.
    #[error("cannot send {path}: it is a link to {target}, which is not there")]
    Dangling {
        /// As given, escaped for a terminal.
        path: String,
        /// Where it points, escaped.
        target: String,
    },
    /// Neither a file nor a directory.
    #[error(
        "cannot send {path}: it is a {what}, not a file or directory; save what it gives in a file, and send that"
    )]
    NoFile {
        /// As given, escaped for a terminal.
        path: String,
        /// What it is.
        what: &'static str,
    },
    /// A file that is said to be empty and is not, as most are in /proc.
    #[error(
        "cannot send {path}: its size is not known before it is read; save what it gives in a file, and send that"
    )]
    UnknownSize {
        /// As given, escaped for a terminal.
        path: String,
    },
    /// A path without a name of its own, as `/` is.
    #[error("{path} has no name that it could be sent under")]
    NoName {
        /// As given, escaped for a terminal.
        path: String,
    },
    /// A name that no receiver takes.
    #[error("cannot send {path}: {error}")]
    BadName {
        /// As given, escaped for a terminal.
        path: String,
        /// The rule that it breaks.
        error: NameError,
    },
    /// A directory of rejoin's own, or something in one.
    #[error("cannot send {path}: it belongs to rejoin itself, and is never sent")]
    Own {
        /// As given, escaped for a terminal.
        path: String,
    },
    /// Two paths that end in the same name.
    #[error("{first} and {second} have the same name")]
    SameName {
        /// One of them, escaped for a terminal.
        first: String,
        /// The other.
        second: String,
    },
    /// The session's own files.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What is sent: each top-level name, and where it is.
#[derive(Clone, Debug)]
pub struct SourceRoots<D> {
    pub(super) parents: Vec<Parent<D>>,
    pub(super) names: BTreeMap<Vec<u8>, Root>,
    paths: Vec<Vec<u8>>,
    /// Device and inode of directories that are left out.
    own: Vec<(u64, u64)>,
}

/// Where a top-level name is.
#[derive(Clone, Debug)]
pub(super) struct Root {
    /// Number of the directory.
    pub(super) parent: usize,
    /// Its name there, which a link that was followed has not.
    pub(super) name: Vec<u8>,
}

impl<D: Directory> SourceRoots<D> {
    /// Names in directories that are open already.
    ///
    /// # Errors
    /// [`SourceError::SameName`].
    pub fn from_parents(
        roots: impl IntoIterator<Item = (D, Vec<Vec<u8>>)>,
    ) -> Result<Self, SourceError> {
        let (mut parents, mut names) = (Vec::new(), BTreeMap::new());
        for (parent, own) in roots {
            for name in own {
                let text = escape(&name);
                let root = Root { parent: parents.len(), name: name.clone() };
                if names.insert(name, root).is_some() {
                    return Err(SourceError::SameName { first: text.clone(), second: text });
                }
            }
            parents.push(Parent::Held(parent));
        }
        Ok(Self { parents, names, paths: Vec::new(), own: Vec::new() })
    }

    /// The top-level names, sorted by bytes.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.keys().map(Vec::as_slice)
    }

    /// One absolute path for each of them, sorted: the same for every spelling of the same sources, and it can be
    /// opened again.
    #[must_use]
    pub fn paths(&self) -> &[Vec<u8>] {
        &self.paths
    }

    /// Whether this is a directory that is never content.
    pub(super) fn is_own(&self, device: u64, inode: u64) -> bool {
        self.own.contains(&(device, inode))
    }

    /// Clones of it share their open handles.
    pub(in crate::store) fn tree(&self) -> SourceTree<D> {
        SourceTree::new(Arc::new(self.clone()), Arc::new(Mutex::new(Handles::new())))
    }
}

#[cfg(not(target_family = "wasm"))]
mod by_path {
    use super::{Root, SourceError, SourceRoots, escape};
    use crate::fs::Directory;
    use crate::platform::OsDirectory;
    use crate::platform::{self, path_bytes, path_of};
    use crate::store::own;
    use crate::store::source::tree::Parent;
    use crate::transfer::name;
    use std::collections::BTreeMap;
    use std::io::{self, Read};
    use std::path::{Path, PathBuf};

    impl SourceRoots<OsDirectory> {
        /// From the paths that the user gave. Each is sent under its last component; one that ends in `.` or `..` is the
        /// directory that this means, under its real name. Nothing stays open, however many there are.
        ///
        /// # Errors
        /// [`SourceError`], for the first path that cannot be sent.
        pub fn open(paths: &[PathBuf]) -> Result<Self, SourceError> {
            let mut parents: Vec<Parent<OsDirectory>> = Vec::new();
            let mut by_path: BTreeMap<PathBuf, usize> = BTreeMap::new();
            let mut names: BTreeMap<Vec<u8>, Root> = BTreeMap::new();
            let mut given: BTreeMap<Vec<u8>, String> = BTreeMap::new();
            let mut known: Vec<Vec<u8>> = Vec::new();
            for path in paths {
                let text = escape(path_bytes(path));
                let opening = |error| SourceError::Open { path: text.clone(), error };
                check(path, &text)?;
                let Named { name, parent, real_name, known_as } = named(path)
                    .map_err(opening)?
                    .ok_or(SourceError::NoName { path: text.clone() })?;
                name::check_name(&name)
                    .map_err(|error| SourceError::BadName { path: text.clone(), error })?;
                if let Some(first) = given.insert(name.clone(), text.clone()) {
                    return Err(SourceError::SameName { first, second: text });
                }
                let at = match by_path.get(&parent) {
                    Some(at) => *at,
                    None => {
                        let handle = OsDirectory::open(&parent).map_err(opening)?;
                        let metadata = handle.own_metadata().map_err(opening)?;
                        parents.push(Parent::ByPath {
                            path: parent.clone(),
                            identity: (metadata.device, metadata.inode),
                            open: OsDirectory::open,
                        });
                        by_path.insert(parent, parents.len() - 1);
                        parents.len() - 1
                    }
                };
                names.insert(name, Root { parent: at, name: real_name });
                known.push(known_as);
            }
            known.sort();
            Ok(Self { parents, names, paths: known, own: Vec::new() })
        }
    }

    impl SourceRoots<OsDirectory> {
        /// Leaves out directories of ours, wherever they show, and what lies in them: those that are there.
        ///
        /// # Errors
        /// [`SourceError::Own`], if nothing else was named.
        pub fn without(mut self, own: &[PathBuf]) -> Result<Self, SourceError> {
            let identity = |path: &Path| platform::identity(&std::fs::metadata(path).ok()?);
            self.own = own.iter().filter_map(|path| identity(path)).collect();
            let mut seen: BTreeMap<PathBuf, bool> = BTreeMap::new();
            for (known_as, path) in self.paths.iter().map(|path| (path, path_of(path))) {
                // A link is known by its own place; what it leads to is what would be sent.
                let real = path.canonicalize().unwrap_or(path);
                let is_own = real.ancestors().any(|above| {
                    *seen.entry(above.to_path_buf()).or_insert_with(|| {
                        own::is_own_path(above)
                            || identity(above).is_some_and(|found| self.own.contains(&found))
                    })
                });
                if is_own {
                    return Err(SourceError::Own { path: escape(known_as) });
                }
            }
            Ok(self)
        }
    }

    /// A path, however it was spelled.
    struct Named {
        /// What it is sent under.
        name: Vec<u8>,
        /// The real directory of what it leads to, and the name there.
        parent: PathBuf,
        real_name: Vec<u8>,
        /// What the session is known by.
        known_as: Vec<u8>,
    }

    /// `None` where it has no name.
    fn named(path: &Path) -> io::Result<Option<Named>> {
        let real = path.canonicalize()?;
        let (Some(parent), Some(real_name)) = (real.parent(), real.file_name()) else {
            return Ok(None);
        };
        let real_name = path_bytes(Path::new(real_name)).to_vec();
        let bytes = path_bytes(path);
        let end = bytes.iter().rposition(|&byte| byte != b'/').map_or(0, |at| at + 1);
        let last = bytes[..end].rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let is_own_name = !matches!(last, b"" | b"." | b"..");
        let name = if is_own_name { last.to_vec() } else { real_name.clone() };
        let known_as = if name == real_name {
            path_bytes(&real).to_vec()
        } else {
            // A link: its own place, through which it can be followed again.
            let above = path.parent().filter(|above| !above.as_os_str().is_empty());
            let above = above.unwrap_or(Path::new(".")).canonicalize()?;
            path_bytes(&above.join(path.file_name().unwrap_or_default())).to_vec()
        };
        Ok(Some(Named { name, parent: parent.to_path_buf(), real_name, known_as }))
    }

    /// Whether it leads to a file or directory that can be read.
    fn check(path: &Path, text: &str) -> Result<(), SourceError> {
        let opening = |error| SourceError::Open { path: text.to_owned(), error };
        let metadata = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let Ok(target) = std::fs::read_link(path) else { return Err(opening(error)) };
                let target = escape(path_bytes(&target));
                return Err(SourceError::Dangling { path: text.to_owned(), target });
            }
            outcome => outcome.map_err(opening)?,
        };
        if let Some(what) = platform::special_kind(metadata.file_type()) {
            return Err(SourceError::NoFile { path: text.to_owned(), what });
        }
        if metadata.is_dir() {
            std::fs::read_dir(path).map_err(opening)?;
            return Ok(());
        }
        // What has its place since then is not waited for.
        let mut file = platform::open_without_waiting(path).map_err(opening)?;
        if metadata.len() == 0 {
            let read = file.read(&mut [0]).map_err(opening)?;
            if read > 0 && file.metadata().map_err(opening)?.len() == 0 {
                return Err(SourceError::UnknownSize { path: text.to_owned() });
            }
        }
        Ok(())
    }
}
