//! Directories that are in no place, and those that are gone.
//!
//! Children name any entry that their directory ever had: what is in the way of its place is in the way of all of them, and
//! what was in the way of an entry that is gone is in nobody's.

use super::PageState;
use crate::transfer::manifest::{EntryIndex, EntryKind, PAGE_ENTRIES_MAX, RelativePath};
use crate::transfer::message::WireRanges;
use crate::transfer::missing::MissingKind;
use crate::transfer::receiver::Receiver;
use std::collections::{BTreeSet, HashSet};

/// Directories that one page has removed, at most: its own, and those above them.
const REMOVED_MAX: usize = 4 * PAGE_ENTRIES_MAX;

impl Receiver {
    /// Whether a later entry leaves nothing of this one.
    pub(super) fn is_gone(&self, entry: EntryIndex) -> bool {
        self.succession.gone().contains(entry)
    }

    /// Whether nothing is to come of an entry, for a later one.
    pub(super) fn is_replaced(&self, entry: EntryIndex) -> bool {
        self.superseded.contains(entry) || self.is_gone(entry)
    }

    /// The sender says of what it sends next which entries are gone: pages that follow say it, too.
    pub(in crate::transfer::receiver) fn on_gone(&mut self, entries: &WireRanges) {
        let entries = entries.to_ranges().unwrap_or_default();
        let next = self.check.totals().entries;
        let end = next.saturating_add(crate::transfer::manifest::PAGE_ENTRIES_MAX as u64);
        let ranges = entries.as_slice();
        let is_of_next = ranges.iter().all(|range| next <= range.start && range.end <= end);
        if !is_of_next || ranges.is_empty() || self.end.is_some() {
            return self
                .protocol("it says what is gone of other entries than those of its next page");
        }
        self.succession.add_gone(&entries);
    }

    /// Whether pages said of everything that is gone what became of it.
    pub(in crate::transfer::receiver) fn is_succeeded(&self) -> bool {
        let mut gone = self.succession.gone().as_slice().iter();
        gone.all(|range| {
            self.superseded.count_in(range.clone()) == range.end.saturating_sub(range.start)
        })
    }

    /// A page is there: which of its entries stand where a directory stood.
    pub(super) fn trace(&mut self, state: &PageState) {
        for (entry, content) in state.accepted() {
            if let Some(old) = content.supersedes
                && (self.directories.contains(old) || self.lineage.contains_key(&old))
            {
                self.lineage.insert(entry, old);
            }
        }
    }

    /// Something is in the way of a directory.
    pub(super) fn block_directory(
        &mut self,
        number: u64,
        entry: EntryIndex,
        kind: MissingKind,
        why: &str,
    ) {
        // What was in the way of it is in nobody's.
        if self.is_gone(entry) {
            return;
        }
        // Every directory that had the place of this one, each earlier than the one that replaces it. Where one is blocked for
        // the same, those before it are, too.
        let mut at = Some(entry);
        while let Some(of) = at {
            if self.directories.contains(of) && self.blocked.insert(of, kind) == Some(kind) {
                break;
            }
            at = self.lineage.get(&of).copied();
        }
        // What a later entry gives other metadata counts there.
        if !self.superseded.contains(entry) {
            self.fail_entry(number, entry, kind, why);
        }
    }

    /// What is in the way of a directory is in the way of all that a page has below it, however deep.
    pub(super) fn block_children(&mut self, number: u64) {
        if self.blocked.is_empty() {
            return;
        }
        let Some(state) = self.window.get(&number) else { return };
        let children: Vec<(EntryIndex, EntryIndex)> = state
            .accepted()
            .filter(|(index, entry)| {
                let is_directory = entry.kind == EntryKind::Directory;
                state.is_open(*index) || (is_directory && !self.is_gone(*index))
            })
            .filter_map(|(index, entry)| Some((index, entry.parent?)))
            .collect();
        // In their order: what a directory lies in comes before it.
        for (entry, parent) in children {
            if !self.blocked.contains_key(&entry)
                && let Some(kind) = self.blocked.get(&parent).copied()
            {
                self.block_directory(number, entry, kind, "its directory could not be made");
            }
        }
    }

    /// A page was looked at anew: what was in the way of earlier directories is not in that of these.
    pub(super) fn unblock(&mut self, number: u64) {
        if self.blocked.is_empty() {
            return;
        }
        let Some(state) = self.window.get(&number) else { return };
        let renewed = state
            .accepted()
            .filter(|(_, of)| of.kind == EntryKind::Directory && of.supersedes.is_some())
            .filter(|(entry, _)| !self.is_gone(*entry));
        // Those of one place have most of their namesakes in common: each is looked at once.
        let mut anew = BTreeSet::new();
        for (entry, _) in renewed {
            let mut at = Some(entry);
            while let Some(entry) = at.filter(|entry| anew.insert(*entry)) {
                at = self.lineage.get(&entry).copied();
            }
        }
        anew.iter().for_each(|entry| {
            self.blocked.remove(entry);
        });
    }

    /// Directories that a page says are gone, each before the one that it lies in. Of those above that are gone, too, this
    /// may be what they held. What gives way to something else gives way when that is published.
    pub(super) fn gone_directories(
        &mut self,
        state: &PageState,
    ) -> Vec<(EntryIndex, RelativePath)> {
        let mut gone: Vec<(EntryIndex, RelativePath)> = Vec::new();
        let (mut entries, mut seen) = (Vec::new(), HashSet::new());
        for (entry, content) in state.accepted().filter(|(_, of)| of.kind == EntryKind::Gone) {
            if let Some(old) = content.supersedes
                && self.directories.contains(old)
                && !self.superseded.contains(entry)
                && let Some(path) = self.directories.path(content)
                && let Some(key) = self.directories.key(content)
            {
                self.gone_directories.insert(key, old);
                seen.insert(key);
                entries.push(content);
                gone.push((old, path));
            }
        }
        for content in entries {
            for (key, path) in self.directories.above(content) {
                match self.gone_directories.get(&key) {
                    Some(entry) if gone.len() < REMOVED_MAX && seen.insert(key) => {
                        gone.push((*entry, path));
                    }
                    Some(_) | None => break,
                }
            }
        }
        gone.sort_by_cached_key(|(_, path)| std::cmp::Reverse(path.depth()));
        gone
    }
}
