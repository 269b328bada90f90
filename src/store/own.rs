//! Which directories are this program's own: its state, and those of unfinished transfers.
//!
//! No entry of a tree is ever in one, however a path leads there: under another name, through a link, as a mount, or because
//! the target lies above it. What is in them says whom we trust and what is ours, so that whoever writes there is let in.

use super::state::MARK;
use crate::fs::Directory;
use crate::platform::{path_bytes, path_of};
use crate::transfer::name::is_reserved;
use std::io;
use thiserror::Error;

/// Why a directory is not entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the directory there is rejoin's own (its state, or an unfinished transfer): nothing is written into it; \
     name another directory with --out"
)]
pub(super) struct IsOwn;

impl From<IsOwn> for io::Error {
    fn from(own: IsOwn) -> Self {
        Self::new(io::ErrorKind::NotADirectory, own)
    }
}

/// Whether an error says that.
pub(super) fn is_own_error(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<IsOwn>())
}

/// What is known of our own directories below one root.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Own {
    /// Device and inode of the root's `.rejoin`.
    pub(super) home: Option<(u64, u64)>,
}

impl Own {
    /// Lets nobody into a directory of ours.
    ///
    /// # Errors
    /// [`IsOwn`]; else as the system says.
    pub(super) fn admit<D: Directory>(self, directory: D) -> io::Result<D> {
        if self.home.is_some() {
            let own = directory.own_metadata()?;
            if self.home == Some((own.device, own.inode)) {
                return Err(IsOwn.into());
            }
        }
        if is_state(&directory)? { Err(IsOwn.into()) } else { Ok(directory) }
    }
}

/// Whether a directory holds the state of this program. One that nobody may search is not known to: it is looked at again
/// when it is opened.
///
/// # Errors
/// As the system says.
pub(super) fn is_state<D: Directory>(directory: &D) -> io::Result<bool> {
    match directory.metadata(MARK) {
        Ok(_) => Ok(true),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) || super::error::is_name_refused(&error) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Whether a path leads to one of our own directories, or into one; also if the end of it is not there yet.
pub(crate) fn is_within_own(path: &std::path::Path) -> bool {
    let above = |path: &std::path::Path| match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above.to_owned(),
        Some(_) | None => ".".into(),
    };
    let mut path = path.to_owned();
    loop {
        match path.canonicalize() {
            Ok(real) => return real.ancestors().any(is_own_path),
            // A link that leads nowhere is nothing that could be made a directory.
            Err(_) if path.symlink_metadata().is_err() && path.file_name().is_some() => {
                path = above(&path);
            }
            Err(_) => return false,
        }
    }
}

/// Whether a path is one of our own directories.
pub(super) fn is_own_path(path: &std::path::Path) -> bool {
    let name = path.file_name().map(std::path::Path::new);
    name.is_some_and(|name| is_reserved(path_bytes(name)))
        || path.join(path_of(MARK)).symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::directories::Directories;
    use crate::store::memory::MemoryDisk;
    use crate::transfer::manifest::RelativePath;

    /// B-1: whatever depth a state directory lies at, and whatever lies in it.
    #[test]
    fn nothing_below_a_state_directory_is_opened() {
        let disk = MemoryDisk::new();
        let mut at = disk.root();
        let mut path = RelativePath::root();
        for name in ["a", "state", "sending", "deep"] {
            at.create_directory(name.as_bytes(), 0o755).unwrap();
            at = at.open_directory(name.as_bytes()).unwrap();
            path = path.join(name.as_bytes());
            if name == "state" {
                at.create_file(MARK, 0o600).unwrap();
            }
        }
        let mut directories = Directories::new(disk.root(), Own::default());
        assert!(directories.open(&path.prefix(1)).is_ok());
        for end in ["a/state".len(), "a/state/sending".len(), path.as_bytes().len()] {
            let error = directories.open(&path.prefix(end)).map(drop).unwrap_err();
            assert!(is_own_error(&error), "{error:?}");
        }
        // What has no name there yet is not made there, either.
        let absent = path.prefix("a/state".len()).join(b"new");
        assert!(is_own_error(&directories.open(&absent).map(drop).unwrap_err()));
    }

    /// S-06: `.rejoin` of the target, by any name that leads there.
    #[test]
    fn the_home_of_the_target_is_known_by_what_it_is() {
        let disk = MemoryDisk::new();
        for name in [&b"home"[..], b"other"] {
            disk.root().create_directory(name, 0o700).unwrap();
        }
        let home = disk.root().open_directory(b"home").unwrap().own_metadata().unwrap();
        let own = Own { home: Some((home.device, home.inode)) };
        let mut directories = Directories::new(disk.root(), own);
        assert!(directories.open(&RelativePath::root().join(b"other")).is_ok());
        let error = directories.open(&RelativePath::root().join(b"home")).map(drop).unwrap_err();
        assert!(is_own_error(&error), "{error:?}");
    }
}
