//! Files that are not what their page promised: offered anew, by the scan or by another look after its end, a few times;
//! failed otherwise (D-11).

use super::link_run::{InFlight, Job, LoadedPage};
use super::{STAMPS_MAX, Sender, SenderOutput};
use crate::error::{Error, ErrorKind};
use crate::transfer::disk::{
    DiskError, DiskErrorKind, Doubted, ReadError, SourceRequest, Stamp, StoredPage,
};
use crate::transfer::manifest::{EntryIndex, EntryKind, Page};
use crate::transfer::message::{Message, bounded_text};
use crate::transfer::missing::MissingKind;
use std::sync::Arc;

/// How often another look at a file is taken in one run.
const TRIES_MAX: u32 = 3;

/// Files of one look: their entries fit a page, whatever their names.
const LOOK_FILES_MAX: usize = 64;

/// An entry that could not be read as promised.
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

    /// Whether another look would not be taken: what grows on is sent as far as it was promised.
    pub(super) fn is_last_try(&self, entry: EntryIndex) -> bool {
        self.tries.get(&entry).is_some_and(|tries| *tries >= TRIES_MAX)
    }

    /// A page is added: files with newer metadata are read as what they are now.
    pub(super) fn take_stamps(&mut self, page: &Page, stamps: &[Option<Stamp>]) {
        for (entry, stamp) in page.entries.iter().zip(stamps) {
            if let (EntryKind::Metadata { of }, Some(stamp)) = (&entry.kind, stamp)
                && (self.stamps.len() < STAMPS_MAX || self.stamps.contains_key(of))
            {
                self.stamps.insert(*of, *stamp);
            }
        }
    }

    /// What a file of a page is, as far as it is promised.
    pub(super) fn stamp(&self, page: &LoadedPage, entry: EntryIndex) -> Option<Stamp> {
        self.stamps.get(&entry).copied().or_else(|| {
            let at = usize::try_from(entry.checked_sub(page.page.first_entry)?).ok()?;
            *page.stamps.get(at)?
        })
    }

    /// A later entry replaces this one: what is queued of it is dropped.
    pub(super) fn supersede(&mut self, entry: EntryIndex) {
        self.superseded.insert(entry);
        self.stamps.remove(&entry);
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
        let is_final = match &error {
            ReadError::Changed | ReadError::Vanished => {
                self.is_last_try(entry) || self.run.as_ref().is_some_and(|run| run.end_sent)
            }
            // The scan may still find what can be read now.
            ReadError::UnknownSize | ReadError::Disk(_) => self.end.is_some(),
        };
        if is_final {
            return self.fail_file(page, entry, &error);
        }
        self.doubtful.insert(entry, Doubt { page: Arc::clone(page), error });
    }

    /// The scan is at its end, and what it did not offer anew is looked at once more.
    pub(super) fn look_again(&mut self) {
        if self.end.is_none() || self.run.is_none() {
            return;
        }
        let is_lasting =
            |doubt: &Doubt| matches!(doubt.error, ReadError::UnknownSize | ReadError::Disk(_));
        let lasting: Vec<EntryIndex> = self
            .doubtful
            .iter()
            .filter(|(_, doubt)| is_lasting(doubt))
            .map(|(entry, _)| *entry)
            .collect();
        for entry in lasting {
            if let Some(Doubt { page, error }) = self.doubtful.remove(&entry) {
                self.fail_file(&page, entry, &error);
            }
        }
        // One at a time: the entries of a page are numbered when it is asked for.
        if self.is_looking {
            return;
        }
        let mut files = Vec::new();
        let asked: Vec<EntryIndex> = self.doubtful.keys().take(LOOK_FILES_MAX).copied().collect();
        for entry in asked {
            let Some(doubt) = self.doubtful.get(&entry) else { continue };
            let page = Arc::clone(&doubt.page);
            let parent = page.page.entry(entry).and_then(|content| content.parent);
            files.extend(self.source_file(&page, entry).map(|file| Doubted { file, parent }));
        }
        if files.is_empty() {
            return;
        }
        let first_entry = self.check.totals().entries;
        self.is_looking = true;
        let Some(run) = &mut self.run else { return };
        run.in_flight.push_back(InFlight::LookAgain);
        let request = SourceRequest::LookAgain { files, first_entry };
        self.outputs.push_back(SenderOutput::Disk(request));
    }

    /// New versions of what was looked at, and what has none.
    pub(super) fn on_looked_again(
        &mut self,
        page: &Result<Option<StoredPage>, DiskError>,
        failed: &[(EntryIndex, ReadError)],
    ) {
        self.is_looking = false;
        for (entry, error) in failed {
            if let Some(doubt) = self.doubtful.remove(entry) {
                self.fail_file(&doubt.page, *entry, error);
            }
        }
        let stored = match page {
            Ok(Some(stored)) => stored,
            Ok(None) => return,
            Err(error) => return self.fail(Error::new(ErrorKind::Disk, error.to_string())),
        };
        let versions = Page::decode(&stored.encoded).map(|page| {
            page.iter()
                .filter_map(|(index, entry)| Some((index, entry.supersedes?)))
                .collect::<Vec<_>>()
        });
        for (new, old) in versions.unwrap_or_default() {
            let tries = self.tries.remove(&old).unwrap_or(0);
            self.tries.insert(new, tries + 1);
        }
        if let Err(error) = self.add_page(stored) {
            let text = format!("another look made a bad manifest page: {error}");
            return self.fail(Error::new(ErrorKind::Failure, text));
        }
        self.end = Some((self.spans.len() as u64, self.check.totals(), self.chain));
        self.on_estimate(true);
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
