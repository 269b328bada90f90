//! From what is written to what is durable, acknowledged and published.

use super::{BARRIER_BYTES, BARRIER_FILES, BARRIER_INTERVAL, Receiver};
use crate::time::Instant;
use crate::transfer::UNIT_BYTES;
use crate::transfer::disk::{OnConflict, Publish, Published, TargetRequest};
use crate::transfer::layout::Segment;
use crate::transfer::manifest::EntryIndex;
use crate::transfer::message::{Message, WireRanges};
use crate::transfer::missing::MissingKind;
use crate::transfer::ranges::Ranges;

impl Receiver {
    /// Starts a barrier when one is due.
    pub(super) fn start_barrier(&mut self, now: Instant) {
        if self.barrier.is_some() {
            return;
        }
        if self.unacked.is_empty() && self.ready.is_empty() {
            // What it waited for did not verify, or failed: a deadline that nothing meets would pass for ever.
            self.unacked_since = None;
            return;
        }
        let is_old = self.unacked_since.is_some_and(|since| now >= since + BARRIER_INTERVAL);
        let is_last = self.end.is_some() && self.incoming.is_none() && !self.misses_units();
        let is_due = self.unacked_bytes >= BARRIER_BYTES
            || self.ready.len() >= BARRIER_FILES
            || is_old
            || is_last;
        // Symlinks and files of earlier runs are ready without a unit to wait for.
        let is_idle = self.unacked.is_empty()
            && self.incoming.is_none()
            && self.ready.len() >= BARRIER_FILES / 4;
        if !is_due && !is_idle {
            if self.unacked_since.is_none() {
                self.unacked_since = Some(now);
            }
            return;
        }
        let covered = std::mem::take(&mut self.unacked);
        self.unacked_bytes = 0;
        self.unacked_since = None;
        self.barrier = Some(covered);
        let publish = self.take_ready();
        self.disk(TargetRequest::Barrier { publish });
    }

    /// What gets its name next: no more at once than keep the disk for a moment.
    pub(super) fn take_ready(&mut self) -> Vec<Publish> {
        self.ready.drain(..self.ready.len().min(BARRIER_FILES)).collect()
    }

    /// Whether any unit that is wanted is neither written nor on its way to the disk.
    fn misses_units(&self) -> bool {
        !self.writing.is_empty()
            || self.window.values().any(|state| !state.is_decided())
            || self.window_misses_units()
    }

    fn window_misses_units(&self) -> bool {
        self.window.values().any(|state| {
            state.layout.segments.iter().any(|segment| match segment {
                Segment::File { entry, .. } => {
                    state.is_open(*entry)
                        && self.files.get(entry).is_none_or(|file| !file.is_publishing)
                }
                Segment::Pack { unit, files } => {
                    !self.units.contains(*unit)
                        && files.iter().any(|(entry, _)| state.is_open(*entry))
                }
            })
        })
    }

    pub(super) fn on_barrier_done(&mut self, published: Vec<(EntryIndex, Published)>) {
        let covered = self.barrier.take().unwrap_or_default();
        for unit in covered.iter() {
            let bytes = self.written_bytes.remove(&unit).unwrap_or_default();
            // Small files count as they get their names, large ones as they become durable.
            if let Some((number, Segment::File { entry, .. })) = self.segment_of(unit) {
                let entry = *entry;
                if self.is_open(number, entry) && self.files.contains_key(&entry) {
                    self.settled.add_open(entry, bytes);
                }
            }
        }
        if !covered.is_empty() {
            self.send(Message::Ack { units: WireRanges::from(&covered) });
        }
        for (entry, outcome) in published {
            let Some(number) = self.page_of_entry(entry) else {
                continue;
            };
            self.completion.published(entry, matches!(outcome, Published::Done { .. }));
            match outcome {
                Published::Done { .. } => {
                    self.files.remove(&entry);
                    self.complete_entry(number, entry);
                }
                Published::Conflict => {
                    self.files.remove(&entry);
                    let policy = self.policy(entry);
                    let policy = if policy == OnConflict::Skip { policy } else { OnConflict::Fail };
                    self.on_conflict(number, entry, policy);
                    self.settle_page(number);
                }
                Published::There => {
                    self.files.remove(&entry);
                    if let Some(state) = self.window.get_mut(&number) {
                        state.read(entry);
                    }
                    if self.is_open(number, entry) {
                        self.on_unchanged(number, entry);
                    }
                    self.settle_page(number);
                }
                Published::Rotten { offsets } => self.on_rotten(number, entry, &offsets),
                Published::Failed(error) => {
                    self.files.remove(&entry);
                    self.fail_entry(number, entry, MissingKind::Refused, &error.message);
                    self.settle_page(number);
                }
            }
        }
    }

    /// Bytes of an earlier run are not what its journal says: those units are fetched again.
    fn on_rotten(&mut self, number: u64, entry: EntryIndex, offsets: &[u64]) {
        if let Some(file) = self.files.get_mut(&entry) {
            file.is_publishing = false;
            let first_unit = file.first_unit;
            let mut gone = Ranges::new();
            for offset in offsets {
                gone.insert_range(file.values.forget(offset / UNIT_BYTES));
            }
            let bytes = file.bytes;
            let lost = gone.iter().map(|at| UNIT_BYTES.min(bytes - at * UNIT_BYTES)).sum();
            self.settled.take_open(entry, lost);
            self.progress.kept_bytes = self.progress.kept_bytes.saturating_sub(lost);
            for at in gone.iter() {
                self.ask_again(first_unit + at, &[entry]);
            }
            return;
        }
        let pack = self.window.get(&number).and_then(|state| {
            state.layout.segments.iter().find_map(|segment| match segment {
                Segment::Pack { unit, files } if files.iter().any(|(file, _)| *file == entry) => {
                    Some(*unit)
                }
                Segment::Pack { .. } | Segment::File { .. } => None,
            })
        });
        if let Some(unit) = pack {
            self.ask_again(unit, &[entry]);
        }
    }
}
