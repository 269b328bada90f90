//! Symlinks inside the target that stand where directories are to be (`--follow-target`).
//!
//! A link is resolved from the root's handle, in one call that the system holds below the root at every step
//! ([`Directory::open_beneath`]); a path as text leads nowhere. What it leads to is reached again from there upwards: it
//! has to lie in the root, and in no directory of this program. Its own path is remembered, so that two entries that
//! meet in one directory are known, and what is journalled needs no link.

use super::own::{IsOwn, Own};
use crate::fs::{Directory, FileKind};
use crate::transfer::manifest::RelativePath;
use crate::transfer::name::is_reserved;
use std::io;

/// Links followed at most.
const LINKS_MAX: usize = 4_096;

/// Links that were followed, each with the path that it led to.
#[derive(Debug, Default)]
pub(super) struct Followed(Vec<(RelativePath, RelativePath)>);

impl Followed {
    /// Opens the directory that the link at `path` leads to.
    ///
    /// # Errors
    /// As the system says; `NotADirectory` where it leads out of `root`, [`IsOwn`] where it leads into a directory of
    /// ours.
    pub(super) fn follow<D: Directory>(
        &mut self,
        root: &D,
        own: Own,
        path: &RelativePath,
    ) -> io::Result<D> {
        let refused = |why| io::Error::new(io::ErrorKind::NotADirectory, why);
        let way = match root.open_beneath(path) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                return Err(refused("the symlink leads out of the target"));
            }
            outcome => outcome?,
        };
        let Some(directory) = way.first().cloned() else {
            return Err(refused("the symlink leads nowhere"));
        };
        let real = real_path(&way)?;
        if real.components().any(is_reserved) {
            return Err(IsOwn.into());
        }
        way.into_iter().try_for_each(|at| own.admit(at).map(drop))?;
        let pair = (path.clone(), real);
        if !self.0.contains(&pair) {
            if self.0.len() >= LINKS_MAX {
                return Err(refused("it is one symlink more than are followed"));
            }
            self.0.push(pair);
        }
        Ok(directory)
    }

    /// The path without links, where all of them were followed.
    pub(super) fn real(&self, path: &RelativePath) -> RelativePath {
        let longest = self
            .0
            .iter()
            .rev()
            .filter_map(|(link, real)| Some((link, moved(path, link, real)?)))
            .max_by_key(|(link, _)| link.as_bytes().len());
        longest.map_or_else(|| path.clone(), |(_, real)| real)
    }

    /// Other paths that lead to the same thing.
    pub(super) fn others(&self, path: &RelativePath) -> Vec<RelativePath> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let own = self.real(path);
        let links = self.0.iter().filter_map(|(link, real)| moved(&own, real, link));
        let mut others: Vec<_> = links.chain([own.clone()]).filter(|other| other != path).collect();
        others.sort();
        others.dedup();
        others
    }
}

/// `path`, which begins with `from`, with `to` in its place.
fn moved(path: &RelativePath, from: &RelativePath, to: &RelativePath) -> Option<RelativePath> {
    let mut rest = path.components();
    from.components().all(|name| rest.next() == Some(name)).then_some(())?;
    Some(rest.fold(to.clone(), |path, name| path.join(name)))
}

/// The path of the first directory of `way`, each of which lies in the next one, below the last one.
fn real_path<D: Directory>(way: &[D]) -> io::Result<RelativePath> {
    let mut names = Vec::with_capacity(way.len());
    for pair in way.windows(2) {
        let own = identity(&pair[0])?;
        let is_it = |name: &Vec<u8>| {
            pair[1]
                .metadata(name)
                .is_ok_and(|of| of.kind == FileKind::Directory && (of.device, of.inode) == own)
        };
        // Moved meanwhile, if it has no name there.
        names.push(pair[1].names()?.into_iter().find(is_it).ok_or(io::ErrorKind::NotFound)?);
    }
    Ok(names.iter().rev().fold(RelativePath::root(), |path, name| path.join(name)))
}

fn identity<D: Directory>(directory: &D) -> io::Result<(u64, u64)> {
    directory.own_metadata().map(|of| (of.device, of.inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelativePath {
        text.split('/').fold(RelativePath::root(), |path, name| path.join(name.as_bytes()))
    }

    #[test]
    fn paths_that_meet_are_known() {
        let followed = Followed(vec![
            (path("t/link"), path("real/deep")),
            (path("t/link/inner"), path("elsewhere")),
            (path("other"), path("real")),
        ]);
        assert_eq!(followed.real(&path("t/link/x")), path("real/deep/x"));
        assert_eq!(followed.real(&path("t/link/inner/x")), path("elsewhere/x"));
        assert_eq!(followed.real(&path("t/linkage")), path("t/linkage"));
        assert_eq!(followed.others(&path("real/deep/x")), [path("other/deep/x"), path("t/link/x")]);
        assert_eq!(followed.others(&path("t/link/x")), [path("other/deep/x"), path("real/deep/x")]);
        assert!(followed.others(&path("plain")).is_empty());
    }
}
