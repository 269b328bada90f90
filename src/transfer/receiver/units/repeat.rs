//! A large file whose units are not of one version, for all that each of them verified.

use crate::transfer::disk::TargetRequest;
use crate::transfer::manifest::EntryIndex;
use crate::transfer::merge::Value;
use crate::transfer::receiver::Receiver;

impl Receiver {
    /// Wants all of a large file anew: nothing of it counts any more.
    pub(super) fn repeat(&mut self, entry: EntryIndex, root: Value) {
        let Some(file) = self.files.get(&entry) else { return };
        let (page, bytes, units, kept) = (file.page, file.bytes, file.units(), file.kept_bytes());
        self.progress.kept_bytes = self.progress.kept_bytes.saturating_sub(kept);
        self.settled.drop_open(entry);
        for unit in units.clone() {
            let written = self.written_bytes.remove(&unit).unwrap_or_default();
            if self.unacked.contains(unit) {
                self.unacked_bytes = self.unacked_bytes.saturating_sub(written);
            }
            self.unacked.remove(unit);
            if let Some(barrier) = &mut self.barrier {
                barrier.remove(unit);
            }
        }
        self.disk(TargetRequest::Discard { entry, units: units.clone() });
        self.start_again(page, entry, bytes, units.start, root);
        units.for_each(|unit| self.ask_again(unit, &[entry]));
    }
}
