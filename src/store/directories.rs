//! Open handles of the directories below a root, the most recently used of them.

use super::fs::Directory;
use crate::transfer::manifest::RelativePath;
use std::collections::HashMap;
use std::io;

/// Handles kept open: the work goes through a tree in order, so few are used again; 64 descriptors must do (P-12).
const HANDLES_MAX: usize = 24;

/// Resolves paths below a root, one component after the other and never through a symlink.
pub(super) struct Directories<D> {
    root: D,
    open: HashMap<RelativePath, (D, u64)>,
    uses: u64,
}

impl<D: Directory> Directories<D> {
    pub(super) fn new(root: D) -> Self {
        Self { root, open: HashMap::new(), uses: 0 }
    }

    /// The root itself.
    pub(super) const fn root(&self) -> &D {
        &self.root
    }

    /// The directory at `path`.
    ///
    /// # Errors
    /// As the system says, for the first component that fails.
    pub(super) fn open(&mut self, path: &RelativePath) -> io::Result<D> {
        self.uses += 1;
        if let Some((directory, used)) = self.open.get_mut(path) {
            *used = self.uses;
            return Ok(directory.clone());
        }
        // From the deepest ancestor that is open, down again.
        let mut missing = Vec::new();
        let mut at = path.clone();
        let mut directory = loop {
            let Some((parent, name)) =
                at.split_last().map(|(parent, name)| (parent, name.to_vec()))
            else {
                break self.root.clone();
            };
            missing.push(name);
            if let Some((directory, used)) = self.open.get_mut(&parent) {
                *used = self.uses;
                break directory.clone();
            }
            at = parent;
        };
        for name in missing.iter().rev() {
            directory = directory.open_directory(name)?;
        }
        if !missing.is_empty() {
            self.keep(path.clone(), directory.clone());
        }
        Ok(directory)
    }

    fn keep(&mut self, path: RelativePath, directory: D) {
        if self.open.len() >= HANDLES_MAX {
            let oldest =
                self.open.iter().min_by_key(|(_, (_, used))| *used).map(|(path, _)| path.clone());
            if let Some(oldest) = oldest {
                self.open.remove(&oldest);
            }
        }
        self.open.insert(path, (directory, self.uses));
    }
}
