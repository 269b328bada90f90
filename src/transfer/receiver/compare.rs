//! Files of the right size that are there: whether they are what is wanted is told by content, never by times or inodes
//! (design §11). Both ends read theirs; this side compares.

use super::pages::Phase;
use super::{LinkPhase, Receiver};
use crate::transfer::disk::{Existing, TargetRequest};
use crate::transfer::manifest::{EntryIndex, EntryKind};
use crate::transfer::merge::Value;
use crate::transfer::message::{Message, WireRanges};
use crate::transfer::ranges::Ranges;
use std::collections::BTreeMap;

/// The roots of one file, as far as they are known; `Some(None)`: it cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pair {
    own: Option<Option<Value>>,
    theirs: Option<Option<Value>>,
}

/// What a page waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    pairs: BTreeMap<EntryIndex, Pair>,
    /// Whether the sender was asked on this link.
    is_asked: bool,
}

impl Comparison {
    /// Whether the sender owes a root.
    pub(super) fn is_owed(&self) -> bool {
        self.is_asked && self.pairs.values().any(|pair| pair.theirs.is_none())
    }

    fn is_over(&self) -> bool {
        self.pairs.values().all(|pair| match (pair.own, pair.theirs) {
            // Without one of them they are not the same.
            (Some(None), _) | (_, Some(None)) => true,
            (own, theirs) => own.is_some() && theirs.is_some(),
        })
    }

    fn is_same(&self, entry: EntryIndex) -> bool {
        self.pairs
            .get(&entry)
            .is_some_and(|pair| pair.own.flatten().is_some() && pair.own == pair.theirs)
    }
}

impl Receiver {
    /// Has the files of a survey compared that only content can tell; `false` where there are none.
    pub(super) fn begin_comparison(
        &mut self,
        number: u64,
        existing: &mut Vec<(EntryIndex, Existing)>,
    ) -> bool {
        let Some(state) = self.window.get_mut(&number) else { return false };
        let mut comparison = Comparison::default();
        let mut files = Vec::new();
        for (entry, found) in existing.iter() {
            if *found == Existing::SameSize
                && state.is_open(*entry)
                && let Some(path) =
                    state.entry(*entry).and_then(|content| self.directories.path(content))
            {
                comparison.pairs.insert(*entry, Pair::default());
                files.push((*entry, path));
            }
        }
        if files.is_empty() {
            return false;
        }
        state.set_phase(Phase::Comparing(std::mem::take(existing), comparison));
        self.disk(TargetRequest::Hash { page: number, files });
        self.ask_comparisons();
        true
    }

    /// Asks the sender for the roots of pages that wait for them, once on each link.
    pub(super) fn ask_comparisons(&mut self) {
        if self.link != LinkPhase::Receiving {
            return;
        }
        let mut asked = Vec::new();
        for (number, state) in &mut self.window {
            if let Some(comparison) = state.comparison_mut()
                && !std::mem::replace(&mut comparison.is_asked, true)
            {
                let open = comparison.pairs.iter().filter(|(_, pair)| pair.theirs.is_none());
                let entries: Ranges = open.map(|(entry, _)| *entry).collect();
                asked.push((*number, entries));
            }
        }
        for (page, entries) in asked.into_iter().filter(|(_, entries)| !entries.is_empty()) {
            self.send(Message::Compare { page, entries: WireRanges::from(&entries) });
        }
    }

    /// The link is gone: what was asked on it is asked again.
    pub(super) fn forget_comparisons(&mut self) {
        for comparison in self.window.values_mut().filter_map(super::PageState::comparison_mut) {
            comparison.is_asked = false;
        }
    }

    /// A page whose every comparison may have ended because its files were replaced meanwhile.
    pub(super) fn drop_comparison(&mut self, number: u64, entry: EntryIndex) {
        let state = self.window.get_mut(&number);
        if let Some(comparison) = state.and_then(super::PageState::comparison_mut) {
            comparison.pairs.remove(&entry);
            self.end_comparison(number);
        }
    }

    /// The disk read its files.
    pub(super) fn on_hashed(&mut self, number: u64, roots: Vec<(EntryIndex, Option<Value>)>) {
        let state = self.window.get_mut(&number);
        let Some(comparison) = state.and_then(super::PageState::comparison_mut) else { return };
        for (entry, root) in roots {
            if let Some(pair) = comparison.pairs.get_mut(&entry) {
                pair.own = Some(root);
            }
        }
        self.end_comparison(number);
    }

    /// The sender says its roots.
    pub(super) fn on_their_roots(&mut self, number: u64, roots: Vec<(EntryIndex, Option<Value>)>) {
        // Late words about a page that is decided by now, since one side could not read its file.
        let state = self.window.get_mut(&number);
        let Some(comparison) = state.and_then(super::PageState::comparison_mut) else { return };
        for (entry, root) in roots {
            if let Some(pair) = comparison.pairs.get_mut(&entry) {
                pair.theirs = Some(root);
            }
        }
        self.end_comparison(number);
    }

    /// Once everything is compared, the page is decided as if the survey had known.
    fn end_comparison(&mut self, number: u64) {
        let Some(state) = self.window.get_mut(&number) else { return };
        if !state.comparison_mut().is_some_and(|comparison| comparison.is_over()) {
            return;
        }
        let Phase::Comparing(mut existing, comparison) = state.set_phase(Phase::Surveying) else {
            return;
        };
        let (mut same, mut read) = (Vec::new(), Vec::new());
        for (entry, found) in &mut existing {
            let Some(content) = state.entry(*entry).filter(|_| *found == Existing::SameSize) else {
                continue;
            };
            let EntryKind::File { bytes } = content.kind else { continue };
            *found = Existing::Differs { bytes };
            if comparison.is_same(*entry) {
                *found = Existing::Same;
                read.push(*entry);
                if let Some(path) = self.directories.path(content) {
                    same.push((path, bytes, content.modified));
                }
            }
        }
        read.into_iter().for_each(|entry| state.read(entry));
        state.set_phase(Phase::Creating(existing));
        if !same.is_empty() {
            self.disk(TargetRequest::SetTimes { files: same });
        }
        self.decide(number);
    }
}
