//! A page may hold later versions of what earlier pages promised: the source changed between two runs of the sender.

use crate::transfer::disk::TargetRequest;
use crate::transfer::manifest::EntryIndex;
use crate::transfer::receiver::Receiver;

impl Receiver {
    /// A later entry replaces this one: what there is of it is dropped, unless it has its final name.
    pub(super) fn supersede(&mut self, old: EntryIndex) {
        self.superseded.insert(old);
        self.metadata.remove(&old);
        if self.kept.complete.contains(old) && self.complete.contains(old) {
            let kept = self.check.size(old).bytes;
            self.progress.kept_bytes = self.progress.kept_bytes.saturating_sub(kept);
        }
        self.completion.supersede(old);
        self.unsettle(old);
        if self.complete.contains(old) {
            return;
        }
        let number = self
            .page_of_entry(old)
            .filter(|number| self.window.get(number).is_some_and(|state| state.is_open(old)));
        let Some(number) = number else { return };
        if let Some(file) = self.files.remove(&old) {
            let kept = file.kept_bytes();
            self.progress.kept_bytes = self.progress.kept_bytes.saturating_sub(kept);
            let units = file.units();
            self.resending.retain(|unit, _| !units.contains(unit));
            self.disk(TargetRequest::Discard { entry: old, units });
        }
        self.ready.retain(|publish| publish.entry != old);
        if let Some(state) = self.window.get_mut(&number) {
            state.open.remove(&old);
        }
        self.drop_comparison(number, old);
        self.settle_page(number);
    }
}
