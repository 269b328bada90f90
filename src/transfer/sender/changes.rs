//! Files that are not what their page promised: offered anew where the scan finds them so, failed otherwise (D-11).

use super::Sender;
use super::link_run::{InFlight, Job, LoadedPage};
use crate::error::{Error, ErrorKind};
use crate::transfer::disk::{DiskErrorKind, ReadError};
use crate::transfer::manifest::EntryIndex;
use crate::transfer::message::{Message, bounded_text};
use crate::transfer::missing::MissingKind;
use std::sync::Arc;

/// An entry that could not be read as promised, before the scan has come to its end.
#[derive(Debug)]
pub(super) struct Doubt {
    page: Arc<LoadedPage>,
    error: ReadError,
}

impl Sender {
    /// Whether nothing of an entry is to be read: it failed, may fail, or has a later version.
    pub(super) fn is_out(&self, entry: EntryIndex) -> bool {
        self.failed_entries.contains_key(&entry)
            || self.doubtful.contains_key(&entry)
            || self.superseded.contains(entry)
    }

    /// A later entry replaces this one: what is queued of it is dropped.
    pub(super) fn supersede(&mut self, entry: EntryIndex) {
        self.superseded.insert(entry);
        self.doubtful.remove(&entry);
        self.failed_entries.remove(&entry);
        self.drop_jobs(entry);
        self.uncount(entry);
    }

    /// A file turned out not to be what its page promised.
    pub(super) fn on_read_failed(
        &mut self,
        page: &Arc<LoadedPage>,
        entry: EntryIndex,
        error: ReadError,
    ) {
        if self.is_out(entry) {
            return;
        }
        if let ReadError::Disk(error) = &error
            && error.kind == DiskErrorKind::Process
        {
            return self.fail(Error::new(ErrorKind::Disk, error.to_string()));
        }
        self.drop_jobs(entry);
        if self.end.is_some() {
            return self.fail_file(page, entry, &error);
        }
        // The scan compares every file with its page, and will come to this one.
        self.doubtful.insert(entry, Doubt { page: Arc::clone(page), error });
    }

    /// The scan is at its end: what it did not offer anew failed.
    pub(super) fn settle_doubts(&mut self) {
        for (entry, Doubt { page, error }) in std::mem::take(&mut self.doubtful) {
            self.fail_file(&page, entry, &error);
        }
    }

    fn fail_file(&mut self, page: &LoadedPage, entry: EntryIndex, error: &ReadError) {
        let kind = match error {
            ReadError::Changed => MissingKind::Changed,
            ReadError::Vanished => MissingKind::Vanished,
            ReadError::UnknownSize | ReadError::Disk(_) => MissingKind::Unreadable,
        };
        let reason = bounded_text(&error.to_string());
        self.failed_entries.insert(entry, (kind, reason.clone()));
        self.close(entry);
        self.file_event(page, entry, kind.status(), Some(error.to_string()));
        self.send_data(&Message::EntryFailed { entry, kind, reason });
    }

    /// A later version takes the place of an entry: it counts no more, whatever of it was settled.
    fn uncount(&mut self, entry: EntryIndex) {
        let size = self.check.size(entry);
        let at = self.spans.partition_point(|span| span.first_entry <= entry);
        let Some(span) = at.checked_sub(1).and_then(|at| self.spans.get_mut(at)) else { return };
        span.bytes = span.bytes.saturating_sub(size.bytes);
        span.files = span.files.saturating_sub(size.files);
        // Counted where its page's units were begun on this link; of one that is open, what is settled.
        let number = at.saturating_sub(1) as u64;
        let Some(run) = self.run.as_mut().filter(|run| {
            let is_loading =
                |read: &InFlight| matches!(read, InFlight::Page { number: of } if *of == number);
            number < run.next_page
                && !run.waiting.contains_key(&number)
                && !run.in_flight.iter().any(is_loading)
        }) else {
            return;
        };
        let (bytes, files) = match run.open.remove(&entry) {
            Some(settled) => (settled, 0),
            None => (size.bytes, size.files),
        };
        self.progress.bytes = self.progress.bytes.saturating_sub(bytes);
        self.progress.files = self.progress.files.saturating_sub(files);
    }

    /// An entry will not be sent: nothing more of it is awaited.
    fn close(&mut self, entry: EntryIndex) {
        if let Some(settled) = self.run.as_mut().and_then(|run| run.open.remove(&entry)) {
            let size = self.check.size(entry);
            self.progress.bytes += size.bytes.saturating_sub(settled);
            self.progress.files += 1;
        }
    }

    fn drop_jobs(&mut self, entry: EntryIndex) {
        if let Some(run) = &mut self.run {
            run.files.retain(|file| file.entry != entry);
            run.open_units.remove(&entry);
            run.jobs.retain(|job| !matches!(job, Job::File { entry: of, .. } if *of == entry));
        }
    }
}
