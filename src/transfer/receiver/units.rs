//! From a unit's head to a file with its final name.

mod repeat;

use super::{LinkPhase, Receiver};
use crate::error::{Error, ErrorKind};
use crate::time::Instant;
use crate::transfer::UNIT_BYTES;
use crate::transfer::disk::{
    FileMetadata, PackedFile, Publish, PublishKind, TargetRequest, UnitContent,
};
use crate::transfer::layout::Segment;
use crate::transfer::manifest::EntryIndex;
use crate::transfer::merge::Value;
use crate::transfer::message::{ByeReason, Message, UnitHead, WireRanges};
use crate::transfer::missing::MissingKind;
use crate::transfer::ranges::Ranges;
use crate::transfer::unit_values::UnitValues;
use bytes::Bytes;
use std::ops::Range;

/// How often a unit may fail to verify before its sender is given up.
const CORRUPT_MAX: u32 = 3;

/// A unit whose head came, and so much of its content.
#[derive(Debug)]
pub(super) struct Incoming {
    unit: u64,
    content: UnitContent,
    payload: Vec<Bytes>,
    /// What came last in [small bodies](SMALL_BODY).
    small: Vec<u8>,
    bytes_left: u64,
    bytes: u64,
}

/// Bodies below this, in bytes, are copied together: one that is kept by itself takes some hundred bytes more than it holds.
const SMALL_BODY: usize = 4_096;

impl Incoming {
    fn new(unit: u64, content: UnitContent, bytes: u64) -> Self {
        let (payload, small) = (Vec::new(), Vec::new());
        Self { unit, content, payload, small, bytes_left: bytes, bytes }
    }

    fn push(&mut self, body: Bytes) {
        self.bytes_left -= body.len() as u64;
        if body.len() < SMALL_BODY {
            return self.small.extend_from_slice(&body);
        }
        self.gather();
        self.payload.push(body);
    }

    fn gather(&mut self) {
        if !self.small.is_empty() {
            self.payload.push(std::mem::take(&mut self.small).into());
        }
    }

    pub(super) const fn received_bytes(&self) -> u64 {
        self.bytes - self.bytes_left
    }
}

/// A large file that is not complete.
#[derive(Debug)]
pub(super) struct FileState {
    page: u64,
    pub(super) first_unit: u64,
    pub(super) bytes: u64,
    /// Of the units that are there. Those of an earlier run are kept: they are read back once before it is published.
    pub(super) values: UnitValues,
    root: Option<Value>,
    /// Whether a root must come: some unit arrives in this run.
    needs_root: bool,
    pub(super) is_publishing: bool,
}

impl FileState {
    /// Nothing of a file.
    fn new(page: u64, first_unit: u64, bytes: u64) -> Self {
        Self {
            page,
            first_unit,
            bytes,
            values: UnitValues::new(bytes.div_ceil(UNIT_BYTES)),
            root: None,
            needs_root: true,
            is_publishing: false,
        }
    }

    fn set(&mut self, unit: u64, value: Value) {
        if let Some(at) = unit.checked_sub(self.first_unit) {
            self.values.set(at, value);
        }
    }

    /// The unit that is wanted once more, if the file is whole and its root did not come.
    fn asked_for_root(&self) -> Range<u64> {
        let is_asked =
            self.values.is_whole() && self.needs_root && self.root.is_none() && !self.is_publishing;
        let end = self.units().end;
        if is_asked { end.saturating_sub(1)..end } else { end..end }
    }

    /// Bytes of some of its units.
    fn bytes_of(&self, units: Range<u64>) -> u64 {
        let bytes = |unit: u64| UNIT_BYTES.min(self.bytes - (unit - self.first_unit) * UNIT_BYTES);
        units.map(bytes).sum()
    }

    /// Bytes that an earlier run moved.
    pub(super) fn kept_bytes(&self) -> u64 {
        let bytes = |(at, _): (u64, Value)| UNIT_BYTES.min(self.bytes - at * UNIT_BYTES);
        self.values.kept().map(bytes).sum()
    }

    pub(super) const fn units(&self) -> Range<u64> {
        self.first_unit..self.first_unit + self.values.count()
    }
}

impl Receiver {
    /// Bytes of a unit that has not come whole: they are lost with the link.
    #[must_use]
    pub fn unsettled_bytes(&self) -> u64 {
        self.incoming.as_ref().map_or(0, |incoming| incoming.bytes - incoming.bytes_left)
    }

    /// Sets up the large files of a decided page, with what earlier runs have of them, and publishes what is whole.
    pub(super) fn start_files(&mut self, number: u64) {
        let Some(state) = self.window.get(&number) else {
            return;
        };
        let segments = state.layout.segments.clone();
        for segment in segments {
            match segment {
                Segment::File { entry, bytes, first_unit } if self.is_open(number, entry) => {
                    let mut file = FileState::new(number, first_unit, bytes);
                    let units = file.units();
                    let kept = &self.kept.part_values;
                    let from = kept.partition_point(|(unit, _)| *unit < units.start);
                    let to = kept.partition_point(|(unit, _)| *unit < units.end);
                    for (unit, value) in &kept[from..to] {
                        let at = unit - first_unit;
                        file.values.keep(at, *value);
                        let kept = UNIT_BYTES.min(bytes - at * UNIT_BYTES);
                        self.settled.add_open(entry, kept);
                    }
                    // Its root was promised before it was about to get its name.
                    file.needs_root = !self.kept.rooted.contains(entry);
                    let asked = file.asked_for_root();
                    self.units.remove_range(asked.clone());
                    self.settled.take_open(entry, file.bytes_of(asked));
                    self.files.insert(entry, file);
                    self.publish_if_whole(entry);
                }
                Segment::Pack { unit, files } if self.units.contains(unit) => {
                    let open: Vec<_> = files
                        .into_iter()
                        .filter(|(entry, _)| self.is_open(number, *entry))
                        .collect();
                    let kept: Vec<_> =
                        open.iter().filter_map(|(entry, _)| self.kept_small(*entry)).collect();
                    // It came without files that an earlier run did not want, or that its sender could not read then:
                    // this run wants them, so the unit is not there.
                    if kept.len() < open.len() {
                        self.units.remove(unit);
                        continue;
                    }
                    for (entry, file) in kept {
                        self.make_ready(number, entry, file, vec![(0, file.root)]);
                    }
                }
                Segment::File { .. } | Segment::Pack { .. } => {}
            }
        }
    }

    /// Sets up a large file of which nothing counts any more; its sender promised `root`.
    pub(super) fn start_again(
        &mut self,
        page: u64,
        entry: EntryIndex,
        bytes: u64,
        first_unit: u64,
        root: Value,
    ) {
        let file = FileState { root: Some(root), ..FileState::new(page, first_unit, bytes) };
        self.files.insert(entry, file);
    }

    /// A small file that an earlier run wrote and did not publish.
    fn kept_small(&self, entry: EntryIndex) -> Option<(EntryIndex, PackedFile)> {
        let at = self.kept.unpublished.partition_point(|(index, _)| *index < entry);
        self.kept.unpublished.get(at).filter(|(index, _)| *index == entry).copied()
    }

    /// A link begins: of a file that is whole and whose root did not come, one unit is wanted once more. Only its sender
    /// knows whether the file stood still while it was read, and says so with the root.
    pub(super) fn ask_for_roots(&mut self) {
        for (entry, file) in &self.files {
            let asked = file.asked_for_root();
            if self.units.contains(asked.start) {
                self.units.remove_range(asked.clone());
                self.settled.take_open(*entry, file.bytes_of(asked));
            }
        }
    }

    /// Whether units of a file whose root did not come are still being written: only then it is known which are there.
    pub(super) fn waits_for_writes(&self) -> bool {
        self.files.values().any(|file| {
            let units = file.units();
            file.needs_root
                && file.root.is_none()
                && self.units.count_in(units.clone()) == units.end - units.start
                && self.writing.range(units).next().is_some()
        })
    }

    pub(super) fn is_open(&self, number: u64, entry: EntryIndex) -> bool {
        self.window.get(&number).is_some_and(|state| state.is_open(entry))
    }

    pub(super) fn on_unit_head(&mut self, unit: u64, head: UnitHead, now: Instant) {
        if self.incoming.is_some() {
            return self.protocol("a unit begins before the last one ends");
        }
        let wanted = self.segment_of(unit).filter(|(number, _)| {
            !self.units.contains(unit)
                && self.window.get(number).is_some_and(super::PageState::is_wanted)
        });
        let Some((number, segment)) = wanted else {
            return self.protocol("a unit that was not asked for");
        };
        let content = match (segment, head) {
            (
                Segment::File { entry, bytes, first_unit },
                UnitHead::Part { entry: named, value },
            ) if *entry == named && self.is_open(number, named) => {
                let offset = (unit - first_unit) * UNIT_BYTES;
                Some(UnitContent::Part { entry: named, offset, file_bytes: *bytes, value })
            }
            (Segment::Pack { files, .. }, UnitHead::Pack { files: named })
                if is_subset(&named, files)
                    && named.iter().all(|(entry, _)| self.is_open(number, *entry)) =>
            {
                let metadata = self.metadata(number, &named);
                Some(UnitContent::Pack { files: named, metadata })
            }
            (Segment::File { .. } | Segment::Pack { .. }, _) => None,
        };
        let Some(content) = content else {
            return self.protocol("a unit that is not what its page says");
        };
        let bytes = content_bytes(&content);
        self.incoming = Some(Incoming::new(unit, content, bytes));
        self.end_unit(now);
    }

    /// What the files of a pack are to have.
    fn metadata(&self, number: u64, files: &[(EntryIndex, PackedFile)]) -> Vec<FileMetadata> {
        let Some(state) = self.window.get(&number) else { return Vec::new() };
        let entries = files.iter().filter_map(|(entry, _)| state.entry(*entry));
        entries.map(FileMetadata::from).collect()
    }

    pub(super) fn on_body(&mut self, body: Bytes, now: Instant) {
        let Some(incoming) = &mut self.incoming else {
            return self.protocol("content without a unit");
        };
        let bytes = body.len() as u64;
        if bytes == 0 || bytes > incoming.bytes_left {
            return self.protocol("more content than its unit holds");
        }
        incoming.push(body);
        self.progress.wire_bytes += bytes;
        self.end_unit(now);
    }

    /// Hands a whole unit to the disk.
    fn end_unit(&mut self, now: Instant) {
        let Some(mut incoming) = self.incoming.take_if(|unit| unit.bytes_left == 0) else {
            return;
        };
        incoming.gather();
        let Incoming { unit, content, payload, bytes, .. } = incoming;
        self.units.insert(unit);
        self.unacked.insert(unit);
        self.backlog_bytes += bytes;
        self.unacked_bytes += bytes;
        self.unacked_since.get_or_insert(now);
        self.writing.insert(unit, (content.clone(), bytes));
        self.disk(TargetRequest::Write { unit, content, payload });
    }

    pub(super) fn on_written(&mut self, unit: u64) {
        let Some((content, bytes)) = self.writing.remove(&unit) else {
            return;
        };
        self.backlog_bytes -= bytes;
        self.written_bytes.insert(unit, bytes);
        match content {
            UnitContent::Part { entry, value, .. } => {
                if let Some(file) = self.files.get_mut(&entry) {
                    file.set(unit, value);
                }
                self.publish_if_whole(entry);
            }
            UnitContent::Pack { files, .. } => {
                if let Some(number) = self.page_of_unit(unit) {
                    for (entry, file) in files {
                        if self.is_open(number, entry) {
                            self.make_ready(number, entry, file, Vec::new());
                        }
                    }
                }
            }
        }
        let later = self.resending.remove(&unit).unwrap_or_default();
        if !later.is_empty() {
            self.ask_again(unit, &later);
        }
        self.recover();
    }

    pub(super) fn on_corrupt(&mut self, unit: u64) {
        let Some((content, bytes)) = self.writing.remove(&unit) else {
            return;
        };
        self.backlog_bytes -= bytes;
        // A barrier may have taken it on already, and its bytes with it.
        if self.unacked.contains(unit) {
            self.unacked_bytes = self.unacked_bytes.saturating_sub(bytes);
        }
        self.unacked.remove(unit);
        if let Some(barrier) = &mut self.barrier {
            barrier.remove(unit);
        }
        let count = self.corrupt_counts.entry(unit).or_default();
        *count += 1;
        if *count > CORRUPT_MAX {
            let text = format!("unit {unit} did not verify {count} times");
            self.send(Message::Bye { reason: ByeReason::Integrity, text: text.clone() });
            return self.fail(Error::new(ErrorKind::Integrity, text));
        }
        let mut wanted: Vec<EntryIndex> = match content {
            UnitContent::Part { entry, .. } => vec![entry],
            UnitContent::Pack { files, .. } => files.into_iter().map(|(entry, _)| entry).collect(),
        };
        wanted.extend(self.resending.remove(&unit).unwrap_or_default());
        self.ask_again(unit, &wanted);
        self.recover();
    }

    /// Wants a unit once more, for these entries of it. Without a link the next request says it.
    pub(super) fn ask_again(&mut self, unit: u64, wanted: &[EntryIndex]) {
        if let Some(later) = self.resending.get_mut(&unit) {
            return later.extend(wanted);
        }
        self.units.remove(unit);
        let unwanted: Ranges = match self.segment_of(unit) {
            Some((_, Segment::Pack { files, .. })) => files
                .iter()
                .map(|(entry, _)| *entry)
                .filter(|entry| !wanted.contains(entry))
                .collect(),
            Some((_, Segment::File { .. })) | None => Ranges::new(),
        };
        // Where a want is still owed, it says it.
        let is_wanted = self
            .page_of_unit(unit)
            .and_then(|number| self.window.get(&number))
            .is_some_and(super::PageState::is_wanted);
        let message = Message::Resend { unit, unwanted: WireRanges::from(&unwanted) };
        match self.link {
            LinkPhase::Receiving | LinkPhase::Recovering if !is_wanted => return,
            LinkPhase::Receiving => self.send(message),
            LinkPhase::Recovering => self.owed_resends.push(message),
            LinkPhase::Down | LinkPhase::Up(_) => return,
        }
        self.resending.insert(unit, Vec::new());
    }

    /// The link on which units were asked for again is gone: the next request asks for them.
    pub(super) fn forget_resends(&mut self) {
        self.owed_resends.clear();
        for (unit, later) in std::mem::take(&mut self.resending) {
            if !later.is_empty() {
                self.units.remove(unit);
            }
        }
    }

    pub(super) fn on_file_root(&mut self, entry: EntryIndex, root: Value) {
        if let Some(file) = self.files.get_mut(&entry) {
            file.root = Some(root);
            self.publish_if_whole(entry);
        }
    }

    /// Publishes a large file whose units are all written and whose merged root is the one promised.
    fn publish_if_whole(&mut self, entry: EntryIndex) {
        let Some(file) = self.files.get_mut(&entry) else {
            return;
        };
        if !file.values.is_whole() || file.is_publishing || (file.needs_root && file.root.is_none())
        {
            return;
        }
        let Some(merged) = file.values.root() else {
            return;
        };
        let (number, bytes, units) = (file.page, file.bytes, file.units());
        if let Some(promised) = file.root.filter(|promised| *promised != merged) {
            // The sender may have lost what it knew of an earlier version: all of it once more, before it counts as corrupt.
            if self.remade.insert(entry) {
                return self.repeat(entry, promised);
            }
            self.disk(TargetRequest::Discard { entry, units });
            self.settled.drop_open(entry);
            self.files.remove(&entry);
            let why = "its content is not what the sender promised";
            self.fail_entry(number, entry, MissingKind::Corrupt, why);
            return self.settle_page(number);
        }
        file.is_publishing = true;
        let recheck = file.values.kept().map(|(at, value)| (at * UNIT_BYTES, value)).collect();
        self.make_ready(number, entry, PackedFile { bytes, root: merged }, recheck);
    }

    /// What is whole gets its name with the next barrier.
    fn make_ready(
        &mut self,
        number: u64,
        entry: EntryIndex,
        file: PackedFile,
        recheck: Vec<(u64, Value)>,
    ) {
        let content = self.window.get(&number).and_then(|state| state.entry(entry));
        let Some((path, mode, modified)) = content
            .and_then(|entry| Some((self.directories.path(entry)?, entry.mode, entry.modified)))
        else {
            return;
        };
        self.completion.publishing(entry, file.root);
        let kind = PublishKind::File { bytes: file.bytes, root: file.root, recheck };
        self.ready.push_back(Publish {
            entry,
            path,
            kind,
            mode,
            modified,
            on_conflict: self.policy(entry),
            replaces: self.replacing.get(&entry).copied(),
        });
    }

    /// A file that its sender cannot send after all.
    pub(super) fn on_entry_failed(&mut self, entry: EntryIndex, kind: MissingKind, reason: &str) {
        if entry >= self.check.totals().entries {
            return self.protocol("it fails an entry that was never offered");
        }
        // One that came another way meanwhile, or that a later version replaces, is nobody's loss.
        let Some(number) = self.page_of_entry(entry).filter(|number| self.is_open(*number, entry))
        else {
            return;
        };
        if let Some(file) = self.files.remove(&entry) {
            let units = file.units();
            self.disk(TargetRequest::Discard { entry, units });
        }
        self.ready.retain(|publish| publish.entry != entry);
        // What only this side can find is not the sender's to say.
        let kind = match kind {
            MissingKind::Vanished | MissingKind::Changed => kind,
            MissingKind::Special
            | MissingKind::Own
            | MissingKind::Unreadable
            | MissingKind::Unnameable
            | MissingKind::Escaping
            | MissingKind::Skipped
            | MissingKind::Conflict
            | MissingKind::Refused
            | MissingKind::Corrupt => MissingKind::Unreadable,
        };
        self.fail_entry(number, entry, kind, reason);
        self.settle_page(number);
    }
}

/// Whether the files of a pack as sent are files of the pack as laid out, in order and of the same sizes.
fn is_subset(named: &[(EntryIndex, PackedFile)], files: &[(EntryIndex, u64)]) -> bool {
    let mut files = files.iter();
    !named.is_empty()
        && named
            .iter()
            .all(|(entry, file)| files.any(|(index, bytes)| index == entry && *bytes == file.bytes))
}

fn content_bytes(content: &UnitContent) -> u64 {
    match content {
        UnitContent::Part { offset, file_bytes, .. } => UNIT_BYTES.min(file_bytes - offset),
        UnitContent::Pack { files, .. } => files.iter().map(|(_, file)| file.bytes).sum(),
    }
}
