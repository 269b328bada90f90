//! What the receiver says is durable.

use super::Sender;
use super::link_run::LoadedPage;
use crate::event::{Event, FileStatus, PathText};
use crate::transfer::layout::Segment;
use crate::transfer::manifest::{EntryIndex, EntryKind};
use crate::transfer::ranges::Ranges;

impl Sender {
    /// Bytes of units that were sent on the present link and are not acknowledged.
    #[must_use]
    pub fn unacked_bytes(&self) -> u64 {
        self.run.as_ref().map_or(0, |run| run.unacked_bytes)
    }

    /// Units are durable at the receiver.
    pub(super) fn on_ack(&mut self, units: &Ranges) {
        for unit in units
            .as_slice()
            .iter()
            .cloned()
            .flat_map(|range| self.unacked_in(range))
            .collect::<Vec<_>>()
        {
            let Some(run) = &mut self.run else { return };
            let Some(mark) = run.unacked.remove(&unit) else {
                continue;
            };
            run.unacked_bytes -= mark.bytes;
            let mut settled = mark.files;
            if let Some(Segment::File { entry, .. }) = mark.page.layout.segment(unit)
                && let Some(bytes) = run.open.get_mut(entry)
            {
                *bytes += mark.bytes;
                self.progress.bytes += mark.bytes;
                let open = run.open_units.entry(*entry).or_default();
                *open = open.saturating_sub(1);
                if *open == 0 {
                    run.open_units.remove(entry);
                    run.open.remove(entry);
                    self.progress.files += 1;
                    self.file_event(&mark.page, *entry, FileStatus::Sent, None);
                }
            }
            // One that a later version replaced meanwhile is not open any more.
            settled.retain(|entry| {
                self.run.as_mut().is_some_and(|run| run.open.remove(entry).is_some())
            });
            for entry in settled {
                self.progress.bytes += self.check.size(entry).bytes;
                self.progress.files += 1;
                self.file_event(&mark.page, entry, FileStatus::Sent, None);
            }
        }
    }

    /// The sent units of a range: a peer's range may be far larger than what was sent.
    fn unacked_in(&self, range: std::ops::Range<u64>) -> Vec<u64> {
        self.run
            .as_ref()
            .map(|run| run.unacked.range(range).map(|(unit, _)| *unit).collect())
            .unwrap_or_default()
    }

    pub(super) fn file_event(
        &mut self,
        page: &LoadedPage,
        entry: EntryIndex,
        status: FileStatus,
        error: Option<String>,
    ) {
        let Some(content) = page.page.entry(entry) else {
            return;
        };
        let Some(path) = self.directories.path(content) else {
            return;
        };
        let bytes = if let EntryKind::File { bytes } = content.kind { bytes } else { 0 };
        self.event(Event::File { path: PathText::new(path.as_bytes()), bytes, status, error });
    }
}
