//! Roots of whole files: what the sender compares the receiver's complete files with.

use super::{SourceStore, is_stamped};
use crate::fs::Directory;
use crate::transfer::disk::SourceFile;
use crate::transfer::manifest::EntryIndex;
use crate::transfer::merge::Value;
use std::ops::Range;

impl<D: Directory> SourceStore<D> {
    pub(super) fn load_roots(&self, entries: Range<EntryIndex>) -> Vec<Option<Value>> {
        let count = usize::try_from(entries.end.saturating_sub(entries.start)).unwrap_or(0);
        // A cache that cannot be read is one that was lost.
        self.root_values.load(entries, |entry| entry).unwrap_or_else(|error| {
            tracing::debug!(target: "rejoin::store", %error, "roots could not be read");
            vec![None; count]
        })
    }

    /// Keeps the roots of files that were read, or of those that still have their stamps; says which have not.
    pub(super) fn keep_unchanged(
        &mut self,
        files: &[(SourceFile, Value)],
        is_read: bool,
    ) -> Vec<EntryIndex> {
        let (mut kept, mut changed) = (Vec::with_capacity(files.len()), Vec::new());
        for (file, root) in files {
            if is_read || self.is_unchanged(file) {
                kept.push((file.entry, *root));
            } else {
                changed.push(file.entry);
            }
        }
        for run in kept.chunk_by(|one, other| one.0 + 1 == other.0) {
            if let Err(error) = self.root_values.keep(run[0].0, run) {
                tracing::debug!(target: "rejoin::store", %error, "roots were not kept");
            }
        }
        changed
    }

    fn is_unchanged(&mut self, file: &SourceFile) -> bool {
        let metadata = self.tree.with_descriptors(|| {
            let (parent, name) = self.tree.open_parent(&file.path)?;
            parent.metadata(&name)
        });
        metadata.is_ok_and(|metadata| is_stamped(&metadata, &file.stamp))
    }
}
