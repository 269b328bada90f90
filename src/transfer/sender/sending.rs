//! The sender's work on one link: from pages to jobs to reads to frames, a bounded step at a time.

use super::link_run::{
    EARLY_RANGES_MAX, FileRun, InFlight, Job, LinkRun, LoadedPage, Mark, PAGES_AHEAD, READS_MAX,
    VALUES_MAX,
};
use super::plan::Plan;
use super::steady::Steady;
use super::{Sender, SenderOutput};
use crate::error::{Error, ErrorKind};
use crate::transfer::UNIT_BYTES;
use crate::transfer::disk::{
    PackedFile, ReadError, SourceFile, SourceReply, SourceRequest, StoredPage,
};
use crate::transfer::layout::{Layout, PACK_FILES_MAX, Segment};
use crate::transfer::manifest::{EntryIndex, EntryKind, Page};
use crate::transfer::merge::Value;
use crate::transfer::message::{EARLY_PAGES_MAX, Message, UnitHead, WireRanges};
use crate::transfer::ranges::Ranges;
use crate::transfer::unit_values::UnitValues;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;

impl Sender {
    /// Does everything that can be done without waiting.
    pub(super) fn advance(&mut self) {
        if self.is_done {
            return;
        }
        self.answer();
        self.load_pages();
        self.load_again();
        self.compare_next();
        while self.run.as_ref().is_some_and(LinkRun::may_read) && self.read_next() {}
        self.look_again();
        self.end_pages();
    }

    /// Loads the pages that are to be sent next, or that the receiver has and misses units of.
    fn load_pages(&mut self) {
        let Some(run) = &mut self.run else { return };
        let Some(recovery) = run.recovery.as_ref().filter(|recovery| recovery.is_answered) else {
            return;
        };
        if run.pages_ahead() >= PAGES_AHEAD {
            return;
        }
        let mut room = PAGES_AHEAD - run.pages_ahead();
        if run.is_early {
            let left = EARLY_PAGES_MAX.saturating_sub(run.next_page);
            room = room.min(usize::try_from(left).unwrap_or(room));
        }
        while room > 0
            && let Some(span) =
                usize::try_from(run.next_page).ok().and_then(|at| self.spans.get(at))
        {
            let number = run.next_page;
            run.next_page += 1;
            let units = span.first_unit..span.end_unit;
            let is_decided = number < recovery.pages && !recovery.undecided.contains(number);
            if is_decided && recovery.plan.units.count_in(units.clone()) == units.end - units.start
            {
                self.progress.bytes += span.bytes;
                self.progress.files += span.files;
                self.progress.kept_bytes += if self.is_first_link { span.bytes } else { 0 };
                continue;
            }
            run.in_flight.push_back(InFlight::Page { number });
            self.outputs.push_back(SenderOutput::Disk(SourceRequest::LoadPage { number }));
            room -= 1;
        }
    }

    /// Asks for one more read; `false` where there is nothing to read.
    fn read_next(&mut self) -> bool {
        let Some(run) = &mut self.run else {
            return false;
        };
        if let Some(file) = run.files.iter_mut().find(|file| !file.rehash.is_empty()) {
            let unit = file.rehash.as_slice()[0].start;
            file.rehash.remove(unit);
            let (page, entry) = (Arc::clone(&file.page), file.entry);
            return self.read_part(page, entry, unit, false);
        }
        let Some(job) = run.jobs.front_mut() else {
            return false;
        };
        match job {
            Job::File { page, entry, missing, .. } => {
                let (page, entry) = (Arc::clone(page), *entry);
                let Some(unit) = missing.as_slice().first().map(|range| range.start) else {
                    run.jobs.pop_front();
                    self.load_pages();
                    return self.run.as_ref().is_some_and(|run| !run.jobs.is_empty());
                };
                missing.remove(unit);
                self.read_part(page, entry, unit, true)
            }
            Job::Hash { .. } => {
                let Some(Job::Hash { page, files }) = run.jobs.pop_front() else { return false };
                self.read_hashes(page, &files);
                true
            }
            Job::Pack { .. } => {
                let Some(Job::Pack { page, unit, files }) = run.jobs.pop_front() else {
                    return false;
                };
                let files: Vec<_> = files
                    .into_iter()
                    .filter(|entry| !self.is_out(*entry))
                    .filter_map(|entry| self.source_file(&page, entry))
                    .collect();
                self.load_pages();
                if let Some(run) = self.run.as_mut().filter(|_| !files.is_empty()) {
                    run.in_flight.push_back(InFlight::Pack { page, unit });
                    self.outputs
                        .push_back(SenderOutput::Disk(SourceRequest::ReadPack { unit, files }));
                }
                true
            }
        }
    }

    fn read_part(
        &mut self,
        page: Arc<LoadedPage>,
        entry: EntryIndex,
        unit: u64,
        is_sent: bool,
    ) -> bool {
        let Some(Segment::File { bytes, first_unit, .. }) = page.layout.segment(unit) else {
            return false;
        };
        let offset = (unit - first_unit) * UNIT_BYTES;
        let bytes = UNIT_BYTES.min(bytes - offset);
        let Some(file) = self.source_file(&page, entry) else {
            return false;
        };
        let Some(run) = &mut self.run else {
            return false;
        };
        run.in_flight.push_back(InFlight::Part { page, unit, entry, is_sent });
        self.outputs.push_back(SenderOutput::Disk(SourceRequest::ReadPart {
            unit,
            file,
            offset,
            bytes,
        }));
        true
    }

    pub(super) fn source_file(&self, page: &LoadedPage, entry: EntryIndex) -> Option<SourceFile> {
        let stamp = self.stamp(page, entry)?;
        let path = self.directories.path(page.page.entry(entry)?)?;
        let is_retried = self.is_last_try(entry);
        Some(SourceFile { entry, path, stamp, is_retried })
    }

    /// A want came: of a page that waits for it.
    pub(super) fn on_want(&mut self, number: u64, plan: &Plan) {
        self.end_comparison(number);
        let Some(run) = &mut self.run else { return };
        if let Some(page) = run.waiting.remove(&number) {
            return self.start_page(&page, plan, false);
        }
        // A page that the receiver had before this link may still be on its way from our disk.
        let recovery = run.recovery.as_ref();
        let ranges: usize = run.early_wants.values().map(Plan::ranges).sum();
        let is_early = recovery
            .is_some_and(|recovery| number < recovery.pages && recovery.undecided.contains(number))
            && ranges + plan.ranges() <= EARLY_RANGES_MAX;
        if !is_early || run.early_wants.insert(number, plan.clone()).is_some() {
            self.protocol("it wants a page that does not wait for it");
        }
    }

    /// A unit shall go out once more.
    pub(super) fn on_resend(&mut self, unit: u64, unwanted: Ranges) {
        let number = self.spans.partition_point(|span| span.end_unit <= unit) as u64;
        let Some(run) = &mut self.run else { return };
        let pages = run.recovery.as_ref().map_or(0, |recovery| recovery.pages);
        if number >= run.next_page.max(pages) {
            return self.protocol("it asks for a unit that was never sent");
        }
        // Of one pack: more cannot be said of it.
        if unwanted.as_slice().len() > PACK_FILES_MAX {
            return self.protocol("it leaves out more files than a unit holds");
        }
        run.again.insert(unit, unwanted);
    }

    /// Loads the pages of units that shall go out once more, a few at a time.
    fn load_again(&mut self) {
        while let Some(run) = self.run.as_mut().filter(|run| run.in_flight.len() < READS_MAX)
            && let Some(unit) = run.again.keys().next().copied()
        {
            let number = self.spans.partition_point(|span| span.end_unit <= unit) as u64;
            // A page that it had before this link, not loaded yet: first what the request says of it.
            if number >= run.next_page {
                return;
            }
            let unwanted = run.again.remove(&unit).unwrap_or_default();
            run.in_flight.push_back(InFlight::Again { unit, unwanted });
            self.outputs.push_back(SenderOutput::Disk(SourceRequest::LoadPage { number }));
        }
    }

    /// Makes jobs of what the receiver misses of a page.
    fn start_page(&mut self, page: &Arc<LoadedPage>, plan: &Plan, is_kept: bool) {
        let Some(run) = &mut self.run else { return };
        let (mut bytes_settled, mut files_settled) = (0, 0);
        let mut again = Vec::new();
        for (index, entry) in page.page.iter() {
            let is_symlink = matches!(entry.kind, EntryKind::Symlink { .. });
            files_settled += u64::from(is_symlink && !self.superseded.contains(index));
        }
        for segment in &page.layout.segments {
            let units = segment.units();
            match segment {
                Segment::File { entry, bytes, first_unit } => {
                    let mut missing = Ranges::new();
                    units
                        .filter(|unit| !plan.units.contains(*unit))
                        .for_each(|unit| missing.insert(unit));
                    if self.superseded.contains(*entry) {
                        continue;
                    }
                    let is_out = self.failed_entries.contains_key(entry);
                    if plan.unwanted.contains(*entry) || missing.is_empty() || is_out {
                        bytes_settled += bytes;
                        files_settled += 1;
                        continue;
                    }
                    let count = segment.units().end - first_unit;
                    let wanted: u64 =
                        missing.iter().map(|unit| unit_bytes(*bytes, unit - first_unit)).sum();
                    bytes_settled += bytes - wanted;
                    run.open_units.insert(*entry, missing.len());
                    run.open.insert(*entry, bytes - wanted);
                    run.files.push(FileRun {
                        entry: *entry,
                        first_unit: *first_unit,
                        values: UnitValues::new(count),
                        rehash: Ranges::new(),
                        page: Arc::clone(page),
                        is_compared: false,
                        steady: Steady::default(),
                    });
                    if missing.len() < count {
                        load_values(run, &mut self.outputs, page, *entry, segment.units());
                    }
                    let (page, entry) = (Arc::clone(page), *entry);
                    run.jobs.push_back(Job::File { page, entry, missing });
                }
                Segment::Pack { unit, files } => {
                    let has_unit = plan.units.contains(*unit);
                    let live = files.iter().filter(|(entry, _)| !self.superseded.contains(*entry));
                    let (wanted, settled): (Vec<_>, Vec<_>) = live.partition(|(entry, _)| {
                        !has_unit
                            && !plan.unwanted.contains(*entry)
                            && !self.failed_entries.contains_key(entry)
                    });
                    bytes_settled += settled.iter().map(|(_, bytes)| bytes).sum::<u64>();
                    files_settled += settled.len() as u64;
                    if !wanted.is_empty() {
                        let files: Vec<EntryIndex> =
                            wanted.iter().map(|(entry, _)| *entry).collect();
                        run.open.extend(files.iter().map(|entry| (*entry, 0)));
                        run.jobs.push_back(Job::Pack {
                            page: Arc::clone(page),
                            unit: *unit,
                            files,
                        });
                    }
                }
            }
        }
        // Said again on every link, since the last one may not have carried it.
        for entry in
            page.page.iter().map(|(index, _)| index).filter(|index| !plan.unwanted.contains(*index))
        {
            if let Some((kind, reason)) = self.failed_entries.get(&entry).cloned() {
                again.push(Message::EntryFailed { entry, kind, reason });
            }
        }
        again.iter().for_each(|message| self.send_data(message));
        self.progress.bytes += bytes_settled;
        self.progress.files += files_settled;
        if is_kept && self.is_first_link {
            self.progress.kept_bytes += bytes_settled;
        }
    }

    /// A reply of the store, in the order of the reads in flight.
    pub(super) fn on_disk(&mut self, reply: SourceReply) {
        let Some(read) = self.run.as_mut().and_then(|run| run.in_flight.pop_front()) else {
            return;
        };
        match (read, reply) {
            (InFlight::Page { number }, SourceReply::Page { page }) => {
                if let Some(page) = self.parse_page(number, page) {
                    self.on_page(number, page);
                }
            }
            (InFlight::Again { unit, unwanted }, SourceReply::Page { page }) => {
                let number = self.spans.partition_point(|span| span.end_unit <= unit) as u64;
                if let Some(page) = self.parse_page(number, page) {
                    self.on_again(&Arc::new(page), unit, &unwanted);
                }
            }
            (
                InFlight::Part { page, unit, entry, is_sent },
                SourceReply::Part { content, stamp, .. },
            ) => match content {
                Ok((frames, value)) => {
                    self.note_read(entry, unit, stamp);
                    self.on_part(&page, unit, entry, is_sent.then_some(frames), value)
                }
                Err(_) if self.is_compared(entry) => self.fail_comparison(&page, entry),
                Err(error) => self.on_read_failed(&page, entry, error),
            },
            (InFlight::Pack { page, unit }, SourceReply::Pack { files, frames, .. }) => {
                self.on_pack(&page, unit, files, frames);
            }
            (InFlight::Hash { page }, SourceReply::Pack { files, .. }) => {
                self.on_hashed(&page, files);
            }
            (InFlight::Values { page, entry }, SourceReply::Values { first_unit, values, .. }) => {
                self.on_values(&page, entry, first_unit, &values);
            }
            (InFlight::Compared(comparison), reply) => self.on_compared(comparison, reply),
            (InFlight::Kept, SourceReply::RootsKept { .. })
            | (InFlight::LookAgain, SourceReply::LookedAgain { .. }) => {}
            (InFlight::Look { page, entry }, SourceReply::Looked { stamp, .. }) => {
                self.on_looked(&page, entry, stamp);
            }
            _ => self.fail_unasked(),
        }
    }

    /// The store answers in the order of its requests: another answer is a fault of ours. What it holds is content, and stays out
    /// of the message.
    pub(super) fn fail_unasked(&mut self) {
        let text = "the source store gave an answer that nothing asked for";
        self.fail(Error::new(ErrorKind::Failure, text));
    }

    pub(super) fn parse_page(
        &mut self,
        number: u64,
        stored: Result<StoredPage, crate::transfer::disk::DiskError>,
    ) -> Option<LoadedPage> {
        let loaded = stored.map_err(|error| error.to_string()).and_then(|stored| {
            let page = Page::decode(&stored.encoded).map_err(|error| error.to_string())?;
            let span = usize::try_from(number)
                .ok()
                .and_then(|at| self.spans.get(at))
                .ok_or("no such page")?;
            let verdicts = vec![Ok(()); page.entries.len()];
            Ok(LoadedPage {
                layout: Layout::new(&page, &verdicts, span.first_unit),
                page,
                stamps: stored.stamps,
            })
        });
        match loaded {
            Ok(page) => Some(page),
            Err(error) => {
                let text = format!("a stored manifest page cannot be read: {error}");
                self.fail(crate::error::Error::new(crate::error::ErrorKind::Disk, text));
                None
            }
        }
    }

    /// A page is there: it is sent, or the receiver has it and only its units are.
    fn on_page(&mut self, number: u64, page: LoadedPage) {
        let page = Arc::new(page);
        let Some(run) = &mut self.run else { return };
        let Some(recovery) = &run.recovery else {
            return;
        };
        if number < recovery.pages {
            if let Some(plan) = run.early_wants.remove(&number) {
                self.start_page(&page, &plan, false);
            } else if recovery.undecided.contains(number) {
                let compared = run.early_compares.remove(&number);
                run.waiting.insert(number, Arc::clone(&page));
                if let Some(entries) = compared {
                    self.compare_roots(&page, &entries);
                }
            } else {
                let plan = recovery.plan.clone();
                self.start_page(&page, &plan, true);
            }
            return;
        }
        match page.page.encode() {
            Ok(encoded) => {
                let entries = page.page.first_entry..page.page.end_entry();
                run.waiting.insert(number, page);
                let gone = self.succession.gone().within(entries);
                if !gone.is_empty() {
                    self.send_data(&Message::Gone { entries: WireRanges::from(&gone) });
                }
                self.send_data(&Message::Page { encoded });
            }
            Err(error) => self.fail(crate::error::Error::new(
                crate::error::ErrorKind::Failure,
                error.to_string(),
            )),
        }
    }

    fn on_again(&mut self, page: &Arc<LoadedPage>, unit: u64, unwanted: &Ranges) {
        self.take_back(page, unit, unwanted);
        let Some(run) = &mut self.run else { return };
        match page.layout.segment(unit) {
            Some(Segment::File { entry, .. }) if self.superseded.contains(*entry) => {}
            Some(Segment::File { entry, .. }) => {
                let (page, entry) = (Arc::clone(page), *entry);
                // A unit that rotted between runs counted as settled when this link began.
                if !run.unacked.contains_key(&unit) && !run.compare.is_counted(entry) {
                    *run.open_units.entry(entry).or_default() += 1;
                    let size = self.check.size(entry).bytes;
                    run.open.entry(entry).or_insert_with(|| {
                        self.progress.files = self.progress.files.saturating_sub(1);
                        size
                    });
                    if let (Some(settled), Some(Segment::File { first_unit, .. })) =
                        (run.open.get_mut(&entry), page.layout.segment(unit))
                    {
                        let bytes = unit_bytes(size, unit - first_unit);
                        *settled = settled.saturating_sub(bytes);
                        self.progress.bytes = self.progress.bytes.saturating_sub(bytes);
                    }
                }
                run.jobs.push_front(Job::File { page, entry, missing: Ranges::from_iter([unit]) });
            }
            Some(Segment::Pack { files, .. }) => {
                let files: Vec<EntryIndex> = files
                    .iter()
                    .map(|(entry, _)| *entry)
                    .filter(|entry| !unwanted.contains(*entry) && !self.superseded.contains(*entry))
                    .collect();
                for entry in &files {
                    if run.open.insert(*entry, 0).is_none() {
                        let bytes = self.check.size(*entry).bytes;
                        self.progress.bytes = self.progress.bytes.saturating_sub(bytes);
                        self.progress.files = self.progress.files.saturating_sub(1);
                    }
                }
                run.jobs.push_front(Job::Pack { page: Arc::clone(page), unit, files });
            }
            None => self.protocol("it asks for a unit that does not exist"),
        }
    }

    fn on_part(
        &mut self,
        page: &Arc<LoadedPage>,
        unit: u64,
        entry: EntryIndex,
        frames: Option<Vec<Bytes>>,
        value: Value,
    ) {
        if self.is_out(entry) {
            return;
        }
        if let Some(frames) = frames {
            let bytes = frames.iter().map(|frame| frame.len() as u64 - 1).sum();
            self.send_unit(page, unit, UnitHead::Part { entry, value }, frames, bytes, Vec::new());
        }
        let Some(run) = &mut self.run else { return };
        if let Some(file) = run.files.iter_mut().find(|file| file.entry == entry) {
            file.set(unit, value);
            if file.is_compared {
                let page = Arc::clone(&file.page);
                self.tell_hashing(&page);
            }
        }
        self.send_root(entry);
    }

    fn on_pack(
        &mut self,
        page: &Arc<LoadedPage>,
        unit: u64,
        files: Vec<(EntryIndex, Result<PackedFile, ReadError>)>,
        frames: Vec<Bytes>,
    ) {
        let mut read = Vec::with_capacity(files.len());
        for (entry, file) in files {
            match file {
                Ok(file) => read.push((entry, file)),
                Err(error) => self.on_read_failed(page, entry, error),
            }
        }
        if read.is_empty() {
            return;
        }
        let bytes = read.iter().map(|(_, file)| file.bytes).sum();
        let entries = read.iter().map(|(entry, _)| *entry).collect();
        self.send_unit(page, unit, UnitHead::Pack { files: read }, frames, bytes, entries);
    }

    fn send_unit(
        &mut self,
        page: &Arc<LoadedPage>,
        unit: u64,
        head: UnitHead,
        frames: Vec<Bytes>,
        bytes: u64,
        files: Vec<EntryIndex>,
    ) {
        self.send_data(&Message::Unit { unit, head });
        let Some(run) = &mut self.run else { return };
        run.frames.extend(frames);
        run.unacked_bytes += bytes;
        let (order, is_again) = (run.units_queued, self.sent_units.contains(unit));
        run.units_queued += 1;
        let mark = Mark { page: Arc::clone(page), bytes, order, is_again, files };
        if let Some(replaced) = run.unacked.insert(unit, mark) {
            run.unacked_bytes -= replaced.bytes;
        }
        self.progress.wire_bytes += bytes;
        if is_again {
            self.progress.resent_bytes += bytes;
        }
        self.sent_units.insert(unit);
    }

    /// Queues a message on the data channel, in order with the units.
    pub(super) fn send_data(&mut self, message: &Message) {
        match message.encode() {
            Ok(frames) => {
                if let Some(run) = &mut self.run {
                    run.frames.extend(frames);
                }
            }
            Err(error) => self.fail(crate::error::Error::new(
                crate::error::ErrorKind::Failure,
                error.to_string(),
            )),
        }
    }
}

/// Asks for the values of a large file's units that are known from earlier reads.
pub(super) fn load_values(
    run: &mut LinkRun,
    outputs: &mut VecDeque<SenderOutput>,
    page: &Arc<LoadedPage>,
    entry: EntryIndex,
    units: std::ops::Range<u64>,
) {
    let mut start = units.start;
    while start < units.end {
        let units = start..units.end.min(start.saturating_add(VALUES_MAX));
        start = units.end;
        run.in_flight.push_back(InFlight::Values { page: Arc::clone(page), entry });
        outputs.push_back(SenderOutput::Disk(SourceRequest::LoadValues { entry, units }));
    }
}

/// Bytes of the `index`-th unit of a file of `bytes`.
const fn unit_bytes(bytes: u64, index: u64) -> u64 {
    let left = bytes - index * UNIT_BYTES;
    if left < UNIT_BYTES { left } else { UNIT_BYTES }
}

#[cfg(test)]
mod tests;
