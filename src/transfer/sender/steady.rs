//! Whether a large file stood still while it was read, so that its root may be sent.
//!
//! ```text
//!   reading ──every value known──▶ looking ──nothing moved──────────────▶ steady: its root is sent
//!                                     └──▶ checking: what was read before it moved, once more ──all the same──▶ steady
//!                                                                                            └──▶ it changed
//! ```
//!
//! Every unit of the second pass is read after every unit of the first, so that units that are the same in both were all
//! there at one moment. The store refuses a unit whose value is not the one that it had ([`ReadError::Changed`]).

use super::link_run::{InFlight, Job, LoadedPage};
use super::{Sender, SenderOutput};
use crate::transfer::disk::{ReadError, SourceRequest, Stamp};
use crate::transfer::manifest::EntryIndex;
use crate::transfer::merge::Value;
use crate::transfer::message::Message;
use crate::transfer::ranges::Ranges;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Reading,
    Looking,
    Checking,
}

/// What is known of a file's units on this link.
#[derive(Debug, Default)]
pub(super) struct Steady {
    phase: Phase,
    /// What the file was when it was last read.
    stamp: Option<Stamp>,
    /// Units that were read since it is that.
    fresh: Ranges,
    /// Units that were read before.
    stale: Ranges,
}

impl Steady {
    /// A unit was read, or its value was known, when the file was this.
    fn note(&mut self, unit: u64, stamp: Stamp) {
        if self.phase == Phase::Checking {
            self.stale.remove(unit);
            return;
        }
        self.move_to(stamp);
        self.fresh.insert(unit);
    }

    fn move_to(&mut self, stamp: Stamp) {
        if self.stamp.replace(stamp).is_some_and(|before| before != stamp) {
            let before = std::mem::take(&mut self.fresh);
            before.as_slice().iter().for_each(|range| self.stale.insert_range(range.clone()));
        }
    }
}

impl Sender {
    /// A unit of a large file was read.
    pub(super) fn note_read(&mut self, entry: EntryIndex, unit: u64, stamp: Stamp) {
        if let Some(run) = &mut self.run
            && let Some(file) = run.files.iter_mut().find(|file| file.entry == entry)
        {
            file.steady.note(unit, stamp);
        }
    }

    /// Goes on with a file whose values are all known; sends its root once it is steady.
    pub(super) fn send_root(&mut self, entry: EntryIndex) {
        let Some(run) = &mut self.run else { return };
        let Some(at) =
            run.files.iter().position(|file| file.entry == entry && file.values.is_whole())
        else {
            return;
        };
        let file = &mut run.files[at];
        match file.steady.phase {
            Phase::Reading => {
                file.steady.phase = Phase::Looking;
                let page = Arc::clone(&file.page);
                let Some(file) = self.source_file(&page, entry) else { return };
                let Some(run) = &mut self.run else { return };
                run.in_flight.push_back(InFlight::Look { page, entry });
                self.outputs.push_back(SenderOutput::Disk(SourceRequest::Look { file }));
            }
            Phase::Checking if file.steady.stale.is_empty() => self.send_steady(at),
            Phase::Looking | Phase::Checking => {}
        }
    }

    /// What the file is after its last unit was read for the first time.
    pub(super) fn on_looked(
        &mut self,
        page: &Arc<LoadedPage>,
        entry: EntryIndex,
        stamp: Result<Stamp, ReadError>,
    ) {
        let stamp = match stamp {
            Ok(stamp) => stamp,
            Err(_) if self.is_compared(entry) => return self.fail_comparison(page, entry),
            Err(error) => return self.on_read_failed(page, entry, error),
        };
        let Some(run) = &mut self.run else { return };
        let Some(file) = run.files.iter_mut().find(|file| file.entry == entry) else { return };
        file.steady.move_to(stamp);
        file.steady.phase = Phase::Checking;
        file.rehash = file.steady.stale.clone();
        self.send_root(entry);
    }

    /// Values of a large file from earlier runs.
    pub(super) fn on_values(
        &mut self,
        page: &Arc<LoadedPage>,
        entry: EntryIndex,
        first_unit: u64,
        values: &[Option<Value>],
    ) {
        let stamp = self.stamp(page, entry);
        let Some(run) = &mut self.run else { return };
        let to_send = run.jobs.iter().find_map(|job| match job {
            Job::File { entry: of, missing, .. } if *of == entry => Some(missing.clone()),
            Job::File { .. } | Job::Pack { .. } | Job::Hash { .. } => None,
        });
        let in_flight: Vec<u64> = run.in_flight.iter().filter_map(InFlight::unit).collect();
        let Some(file) = run.files.iter_mut().find(|file| file.entry == entry) else {
            return;
        };
        file.page = Arc::clone(page);
        for (unit, value) in (first_unit..file.first_unit + file.values.count()).zip(values) {
            let will_be_read = to_send.as_ref().is_some_and(|missing| missing.contains(unit))
                || in_flight.contains(&unit);
            let is_known = file.values.is_known(unit - file.first_unit);
            match value {
                _ if will_be_read || is_known => {}
                Some(value) => {
                    file.set(unit, *value);
                    // It was the value when the file was what its page says.
                    stamp.into_iter().for_each(|stamp| file.steady.note(unit, stamp));
                }
                None => file.rehash.insert(unit),
            }
        }
        self.send_root(entry);
    }

    /// Sends the end of the manifest once nothing that was promised can be in doubt any more: what changed is offered
    /// anew before it.
    pub(super) fn end_pages(&mut self) {
        let (Some(run), Some((pages, totals, chain))) = (&self.run, self.end) else {
            return;
        };
        // An early answer is a guess, and brings no more than it has to.
        let is_guess = run.is_early && !self.left_outs.named().is_empty();
        let is_answered = run.recovery.as_ref().is_some_and(|recovery| recovery.is_answered);
        let is_reading = run.in_flight.iter().any(|read| !matches!(read, InFlight::Kept))
            || !run.jobs.is_empty()
            || !run.files.is_empty()
            || !run.waiting.is_empty()
            || !run.again.is_empty();
        if run.end_sent
            || run.next_page < pages
            || is_reading
            || !self.doubtful.is_empty()
            || !is_answered
            || run.compare.is_busy()
            || is_guess
            || !self.send_left_outs()
        {
            return;
        }
        if let Some(run) = &mut self.run {
            run.end_sent = true;
        }
        let (failed, skipped) = (self.left_outs.failed(), self.left_outs.skipped());
        self.send_data(&Message::End { pages, totals, chain, failed, skipped });
    }

    fn send_steady(&mut self, at: usize) {
        let Some(run) = &mut self.run else { return };
        let file = run.files.swap_remove(at);
        if let Some(root) = file.values.root() {
            self.keep_root(&file.page, file.entry, root);
            if file.is_compared {
                self.tell_roots(&file.page, vec![(file.entry, Some(root))]);
            } else {
                self.send_data(&Message::FileRoot { entry: file.entry, root });
            }
        }
    }
}
