//! A page may give earlier files newer metadata: their content did not change, so that what there is of them stays.

use super::PageState;
use crate::transfer::disk::{FileMetadata, TargetRequest};
use crate::transfer::manifest::{EntryIndex, EntryKind};
use crate::transfer::ranges::Ranges;
use crate::transfer::receiver::{METADATA_MAX, Receiver};

impl PageState {
    /// Newer metadata than the page gave so far: whatever is published of it has this.
    fn renew(&mut self, entry: EntryIndex, metadata: FileMetadata) {
        let at = entry.checked_sub(self.page.first_entry).and_then(|at| usize::try_from(at).ok());
        if let Some(content) = at.and_then(|at| self.page.entries.get_mut(at)) {
            (content.mode, content.modified) = (metadata.mode, metadata.modified);
        }
    }
}

impl Receiver {
    /// A page is there: what is still to be published of the files that it names gets the newer metadata.
    pub(super) fn take_metadata(&mut self, number: u64) {
        let Some(state) = self.window.get(&number) else { return };
        let newer: Vec<(EntryIndex, FileMetadata)> = state
            .accepted()
            .filter_map(|(_, entry)| match entry.kind {
                EntryKind::Metadata { of } => Some((of, FileMetadata::from(entry))),
                EntryKind::Directory
                | EntryKind::File { .. }
                | EntryKind::Symlink { .. }
                | EntryKind::Gone => None,
            })
            .collect();
        // A session that had ended goes on with it, whatever comes in between.
        if !newer.is_empty() && !state.is_kept && self.kept.is_finished {
            self.disk(TargetRequest::Decide { page: number, skipped: Ranges::new() });
        }
        for (of, metadata) in newer {
            if self.metadata.len() < METADATA_MAX || self.metadata.contains_key(&of) {
                self.metadata.insert(of, metadata);
            }
            if let Some(state) = self.page_of_entry(of).and_then(|at| self.window.get_mut(&at)) {
                state.renew(of, metadata);
            }
            for publish in self.ready.iter_mut().filter(|publish| publish.entry == of) {
                (publish.mode, publish.modified) = (metadata.mode, metadata.modified);
            }
        }
    }

    /// A page is loaded again: what is published of it has the newest metadata.
    pub(in crate::transfer::receiver) fn renew_metadata(&mut self, number: u64) {
        let Some(state) = self.window.get_mut(&number) else { return };
        let entries = state.page.first_entry..state.page.end_entry();
        for (of, metadata) in self.metadata.range(entries) {
            state.renew(*of, *metadata);
        }
    }

    /// A page is decided: files that have their final names, or are about to, get the newer metadata there.
    pub(super) fn set_metadata(&mut self, number: u64) {
        let Some(state) = self.window.get(&number) else { return };
        // An earlier run has done it, and what the user did since is theirs.
        if state.is_kept && self.kept.is_finished {
            return;
        }
        let files: Vec<_> = state
            .accepted()
            .filter_map(|(_, entry)| match entry.kind {
                EntryKind::Metadata { of } if !self.superseded.contains(of) => {
                    Some((of, self.directories.path(entry)?, FileMetadata::from(entry)))
                }
                EntryKind::Metadata { .. }
                | EntryKind::Directory
                | EntryKind::File { .. }
                | EntryKind::Symlink { .. }
                | EntryKind::Gone => None,
            })
            .collect();
        // What was there before gets times alone, as when it is compared.
        let (there, files): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|(of, ..)| self.settled.is_unchanged(*of));
        if !there.is_empty() {
            let timed = |(of, path, metadata): (EntryIndex, _, FileMetadata)| {
                (path, self.check.size(of).bytes, metadata.modified)
            };
            let files = there.into_iter().map(timed).collect();
            self.disk(TargetRequest::SetTimes { files });
        }
        if !files.is_empty() {
            self.disk(TargetRequest::SetMetadata { files });
        }
    }
}
