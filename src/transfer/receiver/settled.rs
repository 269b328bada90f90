//! What became of each entry, and the figures that follow from it: one place counts, so that totals add up in every ending.
//!
//! An entry is open, or settled in one way. A later version takes it out of all figures.

use super::Receiver;
use crate::event::{Event, FileStatus, PathText};
use crate::transfer::manifest::{Entry, EntryIndex};
use crate::transfer::message::{MISSING_MAX, Message, bounded_text};
use crate::transfer::missing::{
    LeftOut, LeftOuts, Missing, MissingKind, NAMED_BYTES_MAX, NAMED_MAX, Outcome,
};
use crate::transfer::ranges::Ranges;
use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

/// An entry by its directory and name, and the reason.
type Named = (Option<EntryIndex>, Arc<[u8]>, Arc<str>);

/// Why an entry is missing, with what names it as long as few are.
#[derive(Debug)]
struct Miss {
    kind: MissingKind,
    named: Option<Box<Named>>,
}

/// What is settled, and how.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Entries that count as being there. What is complete and was replaced before it counted is not among them.
    counted: Ranges,
    /// There before, with the promised content; of these, not read.
    unchanged: Ranges,
    unread: Ranges,
    missing: BTreeMap<EntryIndex, Miss>,
    /// The last reason, which the next entry often shares.
    reason: Option<Arc<str>>,
    named: usize,
    named_bytes: usize,
    /// Durable bytes of large files that are open.
    open: BTreeMap<EntryIndex, u64>,
    open_bytes: u64,
    outcome: Outcome,
    /// Files and bytes that need not move any more, those that are missing included.
    files: u64,
    bytes: u64,
    /// What the sender says that it left out, on this link.
    left_outs: LeftOuts,
    /// Hashes of those of any link that the user was told of.
    told: HashSet<u64>,
    /// With a key that the sender does not know: no name hides another.
    hasher: RandomState,
    /// As the manifest's end counts them: failures, and others.
    left_out: (u64, u64),
}

impl Settled {
    /// What became of the entries so far, what the sender left out included.
    pub(super) const fn outcome(&self) -> Outcome {
        self.outcome.with_left_out(self.left_out.0, self.left_out.1)
    }

    /// Whether an entry was there before, with the promised content.
    pub(super) fn is_unchanged(&self, entry: EntryIndex) -> bool {
        self.unchanged.contains(entry)
    }

    /// Files that need not move any more.
    pub(super) const fn files(&self) -> u64 {
        self.files
    }

    /// Bytes that need not move any more: of settled files, and the durable ones of open files.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes + self.open_bytes
    }

    /// Bytes of an open large file became durable.
    pub(super) fn add_open(&mut self, entry: EntryIndex, bytes: u64) {
        *self.open.entry(entry).or_default() += bytes;
        self.open_bytes += bytes;
    }

    /// Bytes of an open large file are not there after all.
    pub(super) fn take_open(&mut self, entry: EntryIndex, bytes: u64) {
        if let Some(open) = self.open.get_mut(&entry) {
            let bytes = bytes.min(*open);
            *open -= bytes;
            self.open_bytes -= bytes;
        }
    }

    fn close(&mut self, entry: EntryIndex, bytes: u64) {
        self.drop_open(entry);
        self.files += 1;
        self.bytes += bytes;
    }

    /// Nothing of an open file counts any more.
    pub(super) fn drop_open(&mut self, entry: EntryIndex) {
        self.open_bytes -= self.open.remove(&entry).unwrap_or_default();
    }
}

impl Receiver {
    /// The entry has its final name.
    pub(super) fn settle_complete(&mut self, entry: EntryIndex) {
        let bytes = self.check.size(entry).bytes;
        self.complete.insert(entry);
        self.settled.counted.insert(entry);
        self.settled.outcome.files += 1;
        self.settled.outcome.bytes += bytes;
        self.settled.close(entry, bytes);
    }

    /// The entry was there before.
    pub(super) fn settle_unchanged(&mut self, entry: EntryIndex, is_read: bool) {
        let bytes = self.check.size(entry).bytes;
        let settled = &mut self.settled;
        settled.counted.insert(entry);
        settled.unchanged.insert(entry);
        settled.outcome.files += 1;
        settled.outcome.bytes += bytes;
        settled.outcome.unchanged += 1;
        if !is_read {
            settled.unread.insert(entry);
            settled.outcome.unread += 1;
        }
        settled.close(entry, bytes);
    }

    /// The entry will not be there.
    pub(super) fn settle_missing(
        &mut self,
        entry: EntryIndex,
        content: &Entry,
        kind: MissingKind,
        why: &str,
    ) {
        let size = self.check.size(entry);
        let settled = &mut self.settled;
        let why = bounded_text(why);
        let text_bytes = content.name.len() + why.len();
        let has_room =
            settled.named < NAMED_MAX && settled.named_bytes + text_bytes <= NAMED_BYTES_MAX;
        let named = has_room.then(|| {
            settled.named += 1;
            settled.named_bytes += text_bytes;
            let reason = match settled.reason.take() {
                Some(reason) if *reason == *why => reason,
                _ => Arc::from(why),
            };
            settled.reason = Some(Arc::clone(&reason));
            Box::new((content.parent, Arc::from(&content.name[..]), reason))
        });
        settled.missing.insert(entry, Miss { kind, named });
        settled.outcome.miss(kind);
        // A directory is no file: what lies in it counts for itself.
        settled.drop_open(entry);
        settled.files += size.files;
        settled.bytes += size.bytes;
    }

    /// The entry is open again, or replaced: whatever became of it counts no more.
    pub(super) fn unsettle(&mut self, entry: EntryIndex) {
        let size = self.check.size(entry);
        let settled = &mut self.settled;
        settled.drop_open(entry);
        if settled.counted.contains(entry) {
            settled.counted.remove(entry);
            settled.outcome.files -= 1;
            settled.outcome.bytes -= size.bytes;
            settled.outcome.unchanged -= u64::from(settled.unchanged.contains(entry));
            settled.outcome.unread -= u64::from(settled.unread.contains(entry));
            settled.unchanged.remove(entry);
            settled.unread.remove(entry);
        } else if let Some(miss) = settled.missing.remove(&entry) {
            settled.outcome.unmiss(miss.kind);
            if let Some((_, name, reason)) = miss.named.as_deref() {
                settled.named -= 1;
                settled.named_bytes -= name.len() + reason.len();
            }
        } else {
            return;
        }
        settled.files -= size.files;
        settled.bytes -= size.bytes;
    }

    /// Entries that the sender left out.
    pub(super) fn on_left_out(&mut self, entries: Vec<LeftOut>) {
        let end = self.check.totals().entries;
        for left_out in entries {
            let is_known = left_out.parent.is_none_or(|parent| parent < end);
            let bytes = left_out.name.len() + left_out.reason.len();
            if !is_known || !self.settled.left_outs.has_room(bytes) {
                return self.protocol(
                    "what it left out is too much, or not in a directory of its manifest",
                );
            }
            let key = self.settled.hasher.hash_one((left_out.parent, &left_out.name));
            // A sender that names others on every link is not listened to for ever.
            if self.settled.told.len() < NAMED_MAX && self.settled.told.insert(key) {
                let path = self.directories.path_of(left_out.parent, &left_out.name);
                let path = PathText::new(path.unwrap_or_default().as_bytes());
                let error = Some(left_out.reason.clone());
                self.event(Event::File { path, bytes: 0, status: FileStatus::Missing, error });
            }
            self.settled.left_outs.add(left_out);
        }
    }

    /// The manifest's end says how many were left out; `false` where that is fewer than were named.
    pub(super) fn end_left_outs(&mut self, failed: u64, skipped: u64) -> bool {
        let named = &self.settled.left_outs;
        let fits = failed >= named.failed() && skipped >= named.skipped();
        self.settled.left_out = (failed, skipped);
        fits
    }

    /// A link begins: its sender says anew what it left out.
    pub(super) fn forget_left_outs(&mut self) {
        self.settled.left_outs = LeftOuts::default();
    }

    /// Names what is missing, for the sender: also what it said itself, since another of its processes may have said it.
    pub(super) fn send_missing(&mut self) {
        let missing = self.settled.missing.iter();
        let named: Vec<Missing> = missing
            .filter_map(|(entry, miss)| {
                let (parent, name, reason) = miss.named.as_deref()?;
                Some(Missing {
                    entry: *entry,
                    parent: *parent,
                    name: name.to_vec(),
                    kind: miss.kind,
                    reason: reason.to_string(),
                })
            })
            .collect();
        for entries in named.chunks(MISSING_MAX) {
            self.send(Message::Missing { entries: entries.to_vec() });
        }
    }
}
