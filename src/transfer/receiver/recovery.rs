//! What a receiver says when a link begins.

use super::{Consent, LinkPhase, Receiver};
use crate::transfer::message::{Message, RecoveryRequest, WireRanges};
use crate::transfer::ranges::Ranges;

impl Receiver {
    /// Sends the request of a link once the pages of earlier runs are loaded, and every digest is known.
    pub(super) fn recover(&mut self) {
        let LinkPhase::Up(epoch) = self.link else {
            return;
        };
        // What is finished is the user's, who may have moved it on.
        let is_over = self.is_finished || self.is_finishing;
        if self.pages < self.kept.pages || (!is_over && self.load_unknown()) {
            return;
        }
        let mut unwanted = Ranges::new();
        let mut undecided = Ranges::new();
        let has_consent = matches!(self.consent, Consent::Given(_));
        for (number, page) in &mut self.window {
            if page.begin_link(has_consent) {
                page.resolved().for_each(|entry| unwanted.insert(entry));
            } else {
                undecided.insert(*number);
            }
        }
        // Pages that are settled have nothing to be sent, whatever became of their files: one range for all of them.
        let window = &self.window;
        let mut units =
            self.completion.settled_units(self.next_unit, |page| !window.contains_key(&page));
        self.units.as_slice().iter().for_each(|range| units.insert_range(range.clone()));
        let digests =
            if is_over { Vec::new() } else { self.completion.tell(self.check.totals().entries) };
        self.link = LinkPhase::Recovering;
        // The sender compares its tree with the pages once more, and may add some.
        self.end = None;
        self.send(Message::RecoveryRequest(RecoveryRequest {
            session: self.session,
            epoch,
            pages: self.pages,
            chain: self.chain,
            undecided: WireRanges::from(&undecided),
            unwanted: WireRanges::from(&unwanted),
            units: WireRanges::from(&units),
            digests,
        }));
        self.waive_roots();
        let open: Vec<u64> = self.window.keys().copied().collect();
        open.into_iter().for_each(|number| self.settle_page(number));
    }

    pub(super) fn on_recovery_answer(&mut self, pages: u64) {
        if self.link != LinkPhase::Recovering || pages != self.pages {
            return self.protocol("its recovery answer does not fit");
        }
        self.link = LinkPhase::Receiving;
        let owed = std::mem::take(&mut self.owed_resends);
        owed.into_iter().for_each(|message| self.send(message));
    }
}
