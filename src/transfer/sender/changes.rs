//! Files that are not what their page promised: offered anew where the scan finds them so, failed otherwise (D-11).

use super::Sender;
use super::link_run::{Job, LoadedPage};
use crate::error::{Error, ErrorKind};
use crate::event::FileStatus;
use crate::transfer::disk::{DiskErrorKind, ReadError};
use crate::transfer::manifest::EntryIndex;
use crate::transfer::message::{Message, bounded_text};
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
        self.drop_jobs(entry);
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
        let is_changed = matches!(error, ReadError::Changed | ReadError::Vanished);
        let reason = bounded_text(&error.to_string());
        self.failed_entries.insert(entry, (is_changed, reason.clone()));
        let status = if is_changed { FileStatus::Changed } else { FileStatus::Failed };
        self.progress.failed_files += 1;
        self.file_event(page, entry, status, Some(error.to_string()));
        self.send_data(&Message::EntryFailed { entry, is_changed, reason });
    }

    fn drop_jobs(&mut self, entry: EntryIndex) {
        if let Some(run) = &mut self.run {
            run.files.retain(|file| file.entry != entry);
            run.open_units.remove(&entry);
            run.jobs.retain(|job| !matches!(job, Job::File { entry: of, .. } if *of == entry));
        }
    }
}
