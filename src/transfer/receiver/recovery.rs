//! What a receiver says when a link begins.

use super::{Consent, LinkPhase, Receiver};
use crate::transfer::layout::Segment;
use crate::transfer::manifest::EntryIndex;
use crate::transfer::message::{EARLY_PAGES_MAX, Message, RecoveryRequest, WireRanges};
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
        if self.waits_for_writes() {
            return;
        }
        self.ask_for_roots();
        let mut unwanted = Ranges::new();
        let mut undecided = Ranges::new();
        let has_consent = matches!(self.consent, Consent::Given(_));
        unwanted_of_packs(self).into_iter().for_each(|entry| unwanted.insert(entry));
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
        let request = RecoveryRequest {
            session: self.session,
            epoch,
            pages: self.pages,
            chain: self.chain,
            undecided: WireRanges::from(&undecided),
            unwanted: WireRanges::from(&unwanted),
            units: WireRanges::from(&units),
            digests,
        };
        self.has_nothing = request.has_nothing();
        self.send(Message::RecoveryRequest(request));
        let open: Vec<u64> = self.window.keys().copied().collect();
        open.into_iter().for_each(|number| self.settle_page(number));
    }

    /// An answer that did not wait for the request: it is one, or all of it is forgotten until the right one comes. A
    /// request that waits for pages or digests will have something.
    pub(super) fn on_early_answer(&mut self) {
        if self.link == LinkPhase::Receiving || self.early.is_some() {
            return self.protocol("an early answer that is late");
        }
        // Its pages, and the end.
        self.early = Some(EARLY_PAGES_MAX + 1);
        if self.has_nothing {
            self.on_recovery_answer(0);
        }
    }

    /// A page or the end of an early answer that is none.
    pub(super) fn drop_early(&mut self) {
        match self.early.and_then(|left| left.checked_sub(1)) {
            Some(left) => self.early = Some(left),
            None => self.protocol("an early answer that does not end"),
        }
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

/// A pack may have come without a file that its sender could not read, and the word of that may be lost with the link or
/// the process that had it: the pack is asked for again, for what is still open of it. The files of it that are on their
/// way to their names are not wanted once more.
fn unwanted_of_packs(receiver: &mut Receiver) -> Vec<EntryIndex> {
    let (mut unwanted, mut again) = (Vec::new(), Vec::new());
    for state in receiver.window.values() {
        for segment in &state.layout.segments {
            let Segment::Pack { unit, files } = segment else { continue };
            if !receiver.units.contains(*unit) || receiver.writing.contains_key(unit) {
                continue;
            }
            let open = files.iter().map(|(entry, _)| *entry).filter(|entry| state.is_open(*entry));
            let (on_their_way, lost): (Vec<_>, Vec<_>) =
                open.partition(|entry| receiver.completion.is_publishing(*entry));
            if !lost.is_empty() {
                again.push(*unit);
                unwanted.extend(on_their_way);
            }
        }
    }
    again.into_iter().for_each(|unit| receiver.units.remove(unit));
    unwanted
}
