//! What becomes of one entry of an open page.

use super::content_bytes;
use crate::event::{Event, FileStatus, PathText};
use crate::transfer::disk::{OnConflict, TargetRequest};
use crate::transfer::manifest::{Entry, EntryIndex, EntryKind};
use crate::transfer::missing::MissingKind;
use crate::transfer::receiver::Receiver;

impl Receiver {
    /// It was there before, as promised.
    pub(in crate::transfer::receiver) fn on_unchanged(&mut self, number: u64, entry: EntryIndex) {
        let Some(state) = self.window.get_mut(&number) else { return };
        state.open.remove(&entry);
        let is_read = state.read.contains(entry);
        let Some(content) = state.page.entry(entry).cloned() else { return };
        // A symlink was read whole.
        let is_read = is_read || matches!(content.kind, EntryKind::Symlink { .. });
        self.settle_unchanged(entry, is_read);
        self.entry_event(&content, FileStatus::Unchanged, None);
    }

    pub(in crate::transfer::receiver) fn on_conflict(
        &mut self,
        number: u64,
        entry: EntryIndex,
        policy: OnConflict,
    ) {
        if policy == OnConflict::Skip {
            let why = "another version is there";
            return self.fail_entry(number, entry, MissingKind::Skipped, why);
        }
        let why = "another version is there, left untouched (--on-conflict decides)";
        self.fail_entry(number, entry, MissingKind::Conflict, why);
    }

    /// An entry is settled without being there.
    pub(in crate::transfer::receiver) fn fail_entry(
        &mut self,
        number: u64,
        entry: EntryIndex,
        kind: MissingKind,
        why: &str,
    ) {
        let Some(state) = self.window.get_mut(&number) else { return };
        state.open.remove(&entry);
        if kind == MissingKind::Skipped {
            state.skipped.insert(entry);
        }
        let decided =
            (kind == MissingKind::Skipped && state.is_decided()).then(|| state.skipped.clone());
        let Some(content) = state.page.entry(entry).cloned() else { return };
        if let Some(skipped) = decided {
            self.disk(TargetRequest::Decide { page: number, skipped });
        }
        self.settle_missing(entry, &content, kind, why);
        self.entry_event(&content, kind.status(), Some(why.to_owned()));
    }

    fn entry_event(&mut self, content: &Entry, status: FileStatus, error: Option<String>) {
        let path = self.directories.path(content).unwrap_or_default();
        let path = PathText::new(path.as_bytes());
        self.event(Event::File { path, bytes: content_bytes(content), status, error });
    }

    /// An entry has its final name.
    pub(in crate::transfer::receiver) fn complete_entry(&mut self, number: u64, entry: EntryIndex) {
        // One that a later version replaced while it was published is settled already.
        let content = self.window.get_mut(&number).and_then(|state| {
            let content = state.page.entry(entry).cloned();
            content.filter(|_| state.open.remove(&entry))
        });
        match content {
            Some(content) => {
                self.settle_complete(entry);
                self.entry_event(&content, FileStatus::Received, None);
            }
            None => self.complete.insert(entry),
        }
        self.settle_page(number);
    }
}
