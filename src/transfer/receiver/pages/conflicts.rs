//! Questions about files that are there already and differ.

use super::{Phase, content_bytes};
use crate::transfer::disk::OnConflict;
use crate::transfer::receiver::{Ask, Consent, Receiver, ReceiverOutput};

impl Receiver {
    /// Asks about the next conflict: one question at a time, and none before the transfer is accepted.
    pub(in crate::transfer::receiver) fn ask_conflict(&mut self) {
        if self.is_asking || !matches!(self.consent, Consent::Given(_)) {
            return;
        }
        let Some((number, entry, present_bytes)) = self.questions.front() else {
            return;
        };
        let present_bytes = *present_bytes;
        let content = self.window.get(number).and_then(|state| state.page.entry(*entry));
        if let Some(content) = content
            && let Some(path) = self.directories.path(content)
        {
            let offered_bytes = content_bytes(content);
            self.outputs.push_back(ReceiverOutput::Ask(Ask::Conflict {
                path,
                present_bytes,
                offered_bytes,
            }));
            self.is_asking = true;
        }
    }

    pub(in crate::transfer::receiver) fn on_conflict_answer(
        &mut self,
        policy: OnConflict,
        for_all: bool,
    ) {
        self.is_asking = false;
        let answered = if for_all { self.questions.len() } else { 1 };
        if for_all {
            self.config.on_conflict = Some(policy);
        }
        for (number, entry, _) in
            self.questions.drain(..answered.min(self.questions.len())).collect::<Vec<_>>()
        {
            if let Some(Phase::Asking(asking)) =
                self.window.get_mut(&number).map(|state| &mut state.phase)
            {
                asking.remove(&entry);
            }
            if !self.window.get(&number).is_some_and(|state| state.is_open(entry)) {
                // Its later version is asked about.
                self.end_decision(number);
                continue;
            }
            match policy {
                OnConflict::Fail | OnConflict::Skip => self.on_conflict(number, entry, policy),
                OnConflict::Overwrite | OnConflict::Rename => {
                    self.policies.insert(entry, policy);
                }
            }
            self.end_decision(number);
        }
    }
}
