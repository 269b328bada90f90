//! Whether the receiver's complete files are the sender's: bucket by bucket, beside the sending, a read at a time.
//!
//! ```text
//!   digest ──own roots──▶ same: done
//!                    └──▶ ExpandBuckets ──BucketEntries, own roots──▶ same: done
//!                                                                ├──▶ differs: Contradict, and it asks for it again
//!                                                                └──▶ not known here: taken, if the file is unchanged
//! ```

use super::link_run::{InFlight, LoadedPage, READS_MAX};
use super::{Sender, SenderOutput};
use crate::transfer::completed::{EXPAND_MAX, bucket_entries, digest};
use crate::transfer::disk::{SourceReply, SourceRequest};
use crate::transfer::layout::Segment;
use crate::transfer::manifest::{EntryIndex, EntryKind};
use crate::transfer::merge::Value;
use crate::transfer::message::Message;
use crate::transfer::ranges::Ranges;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Files with their roots, in entry order.
type Files = Vec<(EntryIndex, Value)>;

/// What a read is compared with.
#[derive(Debug)]
pub(super) enum Comparison {
    /// The roots of a bucket with its digest.
    Bucket { bucket: u64, digest: Value },
    /// The roots of a bucket with the receiver's.
    Files { files: Files },
    /// The page of files whose roots are not known here.
    Page { number: u64, files: Files },
    /// Which of those files are unchanged.
    Taken,
}

/// What is still to be compared on this link.
#[derive(Debug, Default)]
pub(super) struct Compare {
    digests: VecDeque<(u64, Value)>,
    /// Buckets that the receiver was asked to expand.
    asked: BTreeSet<u64>,
    expanded: VecDeque<Files>,
    /// By page: roots that are not known here.
    unknown: VecDeque<(u64, Files)>,
    is_reading: bool,
    /// Files that were contradicted, and whether they are counted as missing since.
    contradicted: BTreeMap<EntryIndex, bool>,
}

impl Compare {
    pub(super) fn new(digests: &[(u64, Value)]) -> Self {
        Self { digests: digests.iter().copied().collect(), ..Self::default() }
    }

    /// Whether the receiver may still be told that a file differs.
    pub(super) fn is_busy(&self) -> bool {
        self.is_reading
            || !self.digests.is_empty()
            || !self.asked.is_empty()
            || !self.expanded.is_empty()
            || !self.unknown.is_empty()
    }

    /// Whether a file that was contradicted has all its units counted as missing.
    pub(super) fn is_counted(&self, entry: EntryIndex) -> bool {
        self.contradicted.get(&entry) == Some(&true)
    }

    /// The next read; one at a time, so that content does not wait long.
    fn next(&mut self) -> Option<(Comparison, SourceRequest)> {
        if self.is_reading {
            return None;
        }
        let next = if let Some((number, files)) = self.unknown.pop_front() {
            (Comparison::Page { number, files }, SourceRequest::LoadPage { number })
        } else if let Some(files) = self.expanded.pop_front() {
            let entries = bucket_of(&files);
            (Comparison::Files { files }, SourceRequest::LoadRoots { entries })
        } else if self.asked.len() + self.expanded.len() < EXPAND_MAX {
            let (bucket, digest) = self.digests.pop_front()?;
            let entries = bucket_entries(bucket);
            (Comparison::Bucket { bucket, digest }, SourceRequest::LoadRoots { entries })
        } else {
            return None;
        };
        self.is_reading = true;
        Some(next)
    }
}

impl Sender {
    /// Whether the digests of the request are those of buckets with an entry in the first `pages` pages, once each.
    pub(super) fn fits_pages(&self, pages: u64) -> bool {
        let Some(run) = &self.run else { return true };
        let end_entry = self.end_entry(pages);
        let mut buckets = run.compare.digests.iter().map(|(bucket, _)| *bucket);
        buckets.clone().is_sorted_by(|one, other| one < other)
            && buckets.all(|bucket| bucket_entries(bucket).start < end_entry)
    }

    /// Asks for the next read that is to be compared.
    pub(super) fn compare_next(&mut self) {
        let Some(run) = &mut self.run else { return };
        let is_answered = run.recovery.as_ref().is_some_and(|recovery| recovery.is_answered);
        if is_answered
            && run.in_flight.len() < READS_MAX
            && let Some((comparison, request)) = run.compare.next()
        {
            run.in_flight.push_back(InFlight::Compared(comparison));
            self.outputs.push_back(SenderOutput::Disk(request));
        }
    }

    pub(super) fn on_compared(&mut self, comparison: Comparison, reply: SourceReply) {
        if let Some(run) = &mut self.run {
            run.compare.is_reading = false;
        }
        match (comparison, reply) {
            (Comparison::Bucket { bucket, digest: theirs }, SourceReply::Roots { roots }) => {
                let ours = bucket_entries(bucket).zip(roots);
                if digest(ours.filter_map(|(entry, root)| Some((entry, root?)))) != theirs
                    && let Some(run) = &mut self.run
                {
                    run.compare.asked.insert(bucket);
                    self.send(Message::ExpandBuckets { buckets: vec![bucket] });
                }
            }
            (Comparison::Files { files }, SourceReply::Roots { roots }) => {
                self.compare_files(&files, &roots);
            }
            (Comparison::Page { number, files }, SourceReply::Page { page }) => {
                if let Some(page) = self.parse_page(number, page) {
                    self.take_roots(&page, files);
                }
            }
            // What changed is offered as a new version; of the old one nothing is known that could be compared.
            (Comparison::Taken, SourceReply::RootsKept { changed }) => {
                if !changed.is_empty() {
                    tracing::debug!(target: "rejoin::transfer", files = changed.len(), "complete files changed at the source");
                }
            }
            _ => self.fail_unasked(),
        }
    }

    /// The receiver expanded a bucket.
    pub(super) fn on_bucket_entries(&mut self, bucket: u64, files: Files) {
        let pages = self.run.as_ref().and_then(|run| run.recovery.as_ref());
        let end_entry = self.end_entry(pages.map_or(0, |recovery| recovery.pages));
        let Some(run) = &mut self.run else { return };
        let entries = bucket_entries(bucket);
        let is_sound = files.iter().is_sorted_by(|one, other| one.0 < other.0)
            && files.iter().all(|(entry, _)| entries.contains(entry) && *entry < end_entry);
        if !run.compare.asked.remove(&bucket) || !is_sound {
            return self.protocol("complete files that were not asked for");
        }
        if !files.is_empty() {
            run.compare.expanded.push_back(files);
        }
    }

    /// Contradicts what differs, and takes what is not known here.
    fn compare_files(&mut self, files: &Files, roots: &[Option<Value>]) {
        let start = bucket_of(files).start;
        let own = |entry: EntryIndex| {
            let at = usize::try_from(entry - start).ok()?;
            roots.get(at).copied().flatten()
        };
        let mut different: BTreeMap<u64, Files> = BTreeMap::new();
        let mut unknown: BTreeMap<u64, Files> = BTreeMap::new();
        for &(entry, root) in files {
            // Its later version is what counts.
            if self.superseded.contains(entry) {
                continue;
            }
            let page = self.page_of(entry);
            match own(entry) {
                Some(ours) if ours == root => {}
                Some(ours) => different.entry(page).or_default().push((entry, ours)),
                None => unknown.entry(page).or_default().push((entry, root)),
            }
        }
        let Some(run) = &mut self.run else { return };
        run.compare.unknown.extend(unknown);
        for (page, files) in different {
            if let Some(run) = &mut self.run {
                run.compare.contradicted.extend(files.iter().map(|(entry, _)| (*entry, false)));
            }
            tracing::warn!(target: "rejoin::transfer", files = files.len(), "the receiver has other content; sent again");
            self.send_data(&Message::Contradict { page, files });
        }
    }

    /// After a crash that lost what this side knew: the receiver's roots, where the files are what they were.
    fn take_roots(&mut self, page: &LoadedPage, files: Files) {
        let is_file = |entry| {
            page.page
                .entry(entry)
                .is_some_and(|content| matches!(content.kind, EntryKind::File { .. }))
        };
        if !files.iter().all(|(entry, _)| is_file(*entry)) {
            return self.protocol("it completed what is no file");
        }
        let files = files
            .into_iter()
            .filter_map(|(entry, root)| Some((self.source_file(page, entry)?, root)))
            .collect();
        let Some(run) = &mut self.run else { return };
        run.compare.is_reading = true;
        run.in_flight.push_back(InFlight::Compared(Comparison::Taken));
        self.outputs
            .push_back(SenderOutput::Disk(SourceRequest::KeepRoots { files, is_read: false }));
    }

    /// Remembers the root of a large file, for later links and runs.
    pub(super) fn keep_root(&mut self, page: &LoadedPage, entry: EntryIndex, root: Value) {
        let Some(file) = self.source_file(page, entry) else {
            return;
        };
        let Some(run) = &mut self.run else { return };
        run.in_flight.push_back(InFlight::Kept);
        let files = vec![(file, root)];
        self.outputs
            .push_back(SenderOutput::Disk(SourceRequest::KeepRoots { files, is_read: true }));
    }

    /// A unit is asked for again: files that were contradicted do not count as settled any more, and what failed here
    /// is said to have failed.
    pub(super) fn take_back(&mut self, page: &Arc<LoadedPage>, unit: u64, unwanted: &Ranges) {
        let wanted: Vec<(EntryIndex, u64, u64)> = match page.layout.segment(unit) {
            Some(segment @ Segment::File { entry, bytes, .. }) => {
                let units = segment.units();
                vec![(*entry, *bytes, units.end - units.start)]
            }
            Some(Segment::Pack { files, .. }) => files
                .iter()
                .filter(|(entry, _)| !unwanted.contains(*entry))
                .map(|(entry, bytes)| (*entry, *bytes, 0))
                .collect(),
            None => Vec::new(),
        };
        for (entry, bytes, units) in wanted {
            let Some(run) = &mut self.run else { return };
            if let Some(is_counted) = run.compare.contradicted.get_mut(&entry)
                && !std::mem::replace(is_counted, true)
            {
                if run.open.insert(entry, 0).is_none() {
                    self.progress.bytes = self.progress.bytes.saturating_sub(bytes);
                    self.progress.files = self.progress.files.saturating_sub(1);
                }
                if units > 0 {
                    run.open_units.insert(entry, units);
                }
                if let Some((kind, reason)) = self.failed_entries.get(&entry).cloned() {
                    self.send_data(&Message::EntryFailed { entry, kind, reason });
                }
            }
        }
    }

    /// Index after the last entry of the first `pages` pages.
    fn end_entry(&self, pages: u64) -> EntryIndex {
        let span = usize::try_from(pages).ok().and_then(|pages| self.spans.get(pages));
        span.map_or_else(|| self.check.totals().entries, |span| span.first_entry)
    }

    fn page_of(&self, entry: EntryIndex) -> u64 {
        self.spans.partition_point(|span| span.first_entry <= entry).saturating_sub(1) as u64
    }
}

/// The entries of the bucket that these files lie in.
fn bucket_of(files: &Files) -> std::ops::Range<EntryIndex> {
    let first = files.first().map_or(0, |(entry, _)| *entry);
    bucket_entries(first / crate::transfer::completed::BUCKET_ENTRIES)
}
