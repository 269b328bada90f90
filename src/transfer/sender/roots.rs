//! Roots that the receiver asks for, because a file of the same size is there: they are read like content and not sent.

use super::link_run::{FileRun, InFlight, Job, LoadedPage};
use super::sending::load_values;
use super::steady::Steady;
use super::{Sender, SenderOutput};
use crate::transfer::UNIT_BYTES;
use crate::transfer::disk::{PackedFile, ReadError, SourceRequest};
use crate::transfer::layout::Segment;
use crate::transfer::manifest::{EntryIndex, PAGE_ENTRIES_MAX};
use crate::transfer::merge::Value;
use crate::transfer::message::{Message, ROOTS_MAX};
use crate::transfer::ranges::Ranges;
use crate::transfer::unit_values::UnitValues;
use std::sync::Arc;

/// Units read between two words to the receiver that its question is being worked on: a slow disk takes seconds for them.
const UNITS_A_WORD: u32 = 32;

impl Sender {
    /// The receiver asks for roots of a page's files.
    pub(super) fn on_compare(&mut self, number: u64, entries: &Ranges) {
        let Some(run) = &mut self.run else { return };
        if !run.compared.insert(number) {
            return self.protocol("it compares a page twice");
        }
        if let Some(page) = run.waiting.get(&number).map(Arc::clone) {
            return self.compare_roots(&page, entries);
        }
        // A page that it had before this link may still be on its way from our disk.
        let is_early =
            run.recovery.as_ref().is_some_and(|recovery| {
                number < recovery.pages && recovery.undecided.contains(number)
            }) && !run.early_wants.contains_key(&number)
                && entries.as_slice().len() <= PAGE_ENTRIES_MAX;
        if !is_early || run.early_compares.insert(number, entries.clone()).is_some() {
            self.protocol("it compares a page that does not wait for it");
        }
    }

    /// A page is wanted: whatever of its comparison is left says nothing any more.
    pub(super) fn end_comparison(&mut self, number: u64) {
        if let Some(run) = &mut self.run {
            run.files.retain(|file| !(file.is_compared && file.page.page.number == number));
            run.jobs
                .retain(|job| !matches!(job, Job::Hash { page, .. } if page.page.number == number));
        }
    }

    /// Begins to read them, before any other content.
    pub(super) fn compare_roots(&mut self, page: &Arc<LoadedPage>, entries: &Ranges) {
        let count = page.page.entries.len() as u64;
        let bounds = page.page.first_entry..page.page.first_entry + count;
        let is_of_page =
            entries.as_slice().iter().all(|of| bounds.start <= of.start && of.end <= bounds.end);
        if !is_of_page {
            return self.protocol("it compares entries that are not of the page");
        }
        let mut unknown = Vec::new();
        let mut small: Vec<(Vec<EntryIndex>, u64)> = Vec::new();
        for segment in &page.layout.segments {
            match segment {
                Segment::File { entry, bytes, first_unit } if entries.contains(*entry) => {
                    if self.is_out(*entry) {
                        unknown.push((*entry, None));
                        continue;
                    }
                    let Some(run) = &mut self.run else { return };
                    if run.files.iter().any(|file| file.entry == *entry) {
                        return self.protocol("it compares a file twice");
                    }
                    run.files.push(FileRun {
                        entry: *entry,
                        first_unit: *first_unit,
                        values: UnitValues::new(bytes.div_ceil(UNIT_BYTES)),
                        rehash: Ranges::new(),
                        page: Arc::clone(page),
                        is_compared: true,
                        steady: Steady::default(),
                    });
                    load_values(run, &mut self.outputs, page, *entry, segment.units());
                }
                Segment::Pack { files, .. } => {
                    for (entry, bytes) in files.iter().filter(|(of, _)| entries.contains(*of)) {
                        match small.last_mut().filter(|(_, held)| held + bytes <= UNIT_BYTES) {
                            Some((files, held)) => {
                                files.push(*entry);
                                *held += bytes;
                            }
                            None => small.push((vec![*entry], *bytes)),
                        }
                    }
                }
                Segment::File { .. } => {}
            }
        }
        if !unknown.is_empty() {
            self.tell_roots(page, unknown);
        }
        let Some(run) = &mut self.run else { return };
        for (files, _) in small.into_iter().rev() {
            run.jobs.push_front(Job::Hash { page: Arc::clone(page), files });
        }
    }

    /// Reads small files of a comparison.
    pub(super) fn read_hashes(&mut self, page: Arc<LoadedPage>, entries: &[EntryIndex]) {
        let (out, live): (Vec<EntryIndex>, Vec<EntryIndex>) =
            entries.iter().partition(|entry| self.is_out(**entry));
        if !out.is_empty() {
            self.tell_roots(&page, out.into_iter().map(|entry| (entry, None)).collect());
        }
        let files: Vec<_> =
            live.into_iter().filter_map(|entry| self.source_file(&page, entry)).collect();
        if let Some(run) = self.run.as_mut().filter(|_| !files.is_empty()) {
            let unit = page.layout.first_unit;
            run.in_flight.push_back(InFlight::Hash { page });
            self.outputs.push_back(SenderOutput::Disk(SourceRequest::ReadPack { unit, files }));
        }
    }

    /// They are read.
    pub(super) fn on_hashed(
        &mut self,
        page: &Arc<LoadedPage>,
        files: Vec<(EntryIndex, Result<PackedFile, ReadError>)>,
    ) {
        let roots = files.into_iter().map(|(entry, file)| (entry, file.ok().map(|file| file.root)));
        self.tell_roots(page, roots.collect());
    }

    /// Whether an entry is read for a comparison.
    pub(super) fn is_compared(&self, entry: EntryIndex) -> bool {
        let files = self.run.as_ref().map(|run| &run.files);
        files.is_some_and(|files| files.iter().any(|file| file.entry == entry && file.is_compared))
    }

    /// A large file cannot be read as promised: it has no root to compare with.
    pub(super) fn fail_comparison(&mut self, page: &Arc<LoadedPage>, entry: EntryIndex) {
        if let Some(run) = &mut self.run {
            run.files.retain(|file| file.entry != entry);
        }
        self.tell_roots(page, vec![(entry, None)]);
    }

    /// Answers a part of a comparison.
    pub(super) fn tell_roots(
        &mut self,
        page: &LoadedPage,
        files: Vec<(EntryIndex, Option<Value>)>,
    ) {
        let number = page.page.number;
        for files in files.chunks(ROOTS_MAX) {
            self.send_data(&Message::Roots { page: number, files: files.to_vec() });
        }
    }

    /// One more unit was read for a comparison: now and then the receiver hears of it, which would else take us for stuck.
    pub(super) fn tell_hashing(&mut self, page: &LoadedPage) {
        let Some(run) = &mut self.run else { return };
        run.units_hashed += 1;
        if run.units_hashed >= UNITS_A_WORD {
            run.units_hashed = 0;
            self.send_data(&Message::Roots { page: page.page.number, files: Vec::new() });
        }
    }
}
