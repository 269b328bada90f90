//! Which open page holds what, and what the user wants of it.

use super::Receiver;
use crate::transfer::disk::OnConflict;
use crate::transfer::layout::Segment;
use crate::transfer::manifest::EntryIndex;

impl Receiver {
    /// The page that holds an entry of the window.
    pub(super) fn page_of_entry(&self, entry: EntryIndex) -> Option<u64> {
        let found = self.window.iter().find(|(_, state)| state.entry(entry).is_some());
        found.map(|(number, _)| *number)
    }

    /// The page that holds a unit of the window.
    pub(super) fn page_of_unit(&self, unit: u64) -> Option<u64> {
        let found = self
            .window
            .iter()
            .find(|(_, state)| (state.layout.first_unit..state.layout.end_unit).contains(&unit));
        found.map(|(number, _)| *number)
    }

    pub(super) fn segment_of(&self, unit: u64) -> Option<(u64, &Segment)> {
        let number = self.page_of_unit(unit)?;
        Some((number, self.window.get(&number)?.layout.segment(unit)?))
    }

    /// What to do if something has the entry's name by the time it is published.
    pub(super) fn policy(&self, entry: EntryIndex) -> OnConflict {
        self.policies.get(&entry).copied().or(self.config.on_conflict).unwrap_or(OnConflict::Fail)
    }
}
