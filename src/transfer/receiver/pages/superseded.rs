//! A page may hold later versions of what earlier pages promised: the source changed between two runs of the sender.

use super::content_bytes;
use crate::transfer::disk::TargetRequest;
use crate::transfer::manifest::EntryIndex;
use crate::transfer::receiver::Receiver;

impl Receiver {
    /// Whether nothing of an entry is to be received any more.
    pub(super) fn is_settled(&self, entry: EntryIndex) -> bool {
        self.complete.contains(entry)
            || self.unwanted.contains(entry)
            || self.superseded.contains(entry)
    }

    /// A later entry replaces this one: what there is of it is dropped, unless it has its final name.
    pub(super) fn supersede(&mut self, old: EntryIndex) {
        self.superseded.insert(old);
        if self.complete.contains(old) {
            return;
        }
        let number = self
            .page_of_entry(old)
            .filter(|number| self.window.get(number).is_some_and(|state| state.is_open(old)));
        let Some(number) = number else { return };
        if let Some(file) = self.files.remove(&old) {
            let units = file.units();
            units.clone().for_each(|unit| drop(self.resending.remove(&unit)));
            self.disk(TargetRequest::Discard { entry: old, units });
        }
        self.ready.retain(|publish| publish.entry != old);
        if let Some(state) = self.window.get_mut(&number) {
            state.open.remove(&old);
            let content = state.page.entry(old);
            self.progress.bytes += content.map_or(0, content_bytes);
            self.progress.files += 1;
        }
        self.settle_page(number);
    }
}
