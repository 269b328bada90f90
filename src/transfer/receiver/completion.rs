//! Complete files against the sender's: digests, buckets that it wants to see, files that it contradicts.
//!
//! A contradicted file stays complete in the journal until it is published again: a crash in between changes nothing,
//! and the next link finds the difference again.

use super::pages::{NO_FILE_IN_THE_WAY, PageState, content_bytes};
use super::{Consent, LinkPhase, Receiver};
use crate::event::Event;
use crate::time::Instant;
use crate::transfer::completed::{BUCKET_ENTRIES, Completed};
use crate::transfer::disk::{Existing, OnConflict, TargetRequest};
use crate::transfer::layout::{Layout, Segment};
use crate::transfer::manifest::{Chain, EntryIndex, Page, Refusal, Totals, Verdict};
use crate::transfer::merge::Value;
use crate::transfer::message::Message;
use crate::transfer::missing::MissingKind;
use crate::transfer::ranges::Ranges;
use crate::wire::SessionId;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Pages of contradicted files that are open at once, at most.
const CONTRADICTED_PAGES_MAX: usize = 8;

/// Contradicted files of a page, with the sender's roots.
#[derive(Debug, Default)]
struct Contradicted {
    files: BTreeMap<EntryIndex, Value>,
    /// Whether its page is being loaded, or its files are looked at.
    is_asked: bool,
}

/// What is complete, and what is said about it on this link.
#[derive(Debug, Default)]
pub(super) struct Completion {
    roots: Completed,
    /// Buckets whose roots the disk was asked for.
    loading: BTreeSet<u64>,
    /// Roots of files handed over for their final names.
    publishing: BTreeMap<EntryIndex, Value>,
    /// First entry and first unit of each page.
    pages: Vec<(EntryIndex, u64)>,
    /// Entries that the manifest's check refused.
    refused: Ranges,
    /// Buckets whose digests went out on this link and that were not expanded.
    told: BTreeSet<u64>,
    /// Entries from here on are of pages that came since they were told: the sender compares none of them.
    told_end: EntryIndex,
    /// Those that are to be expanded once their roots are loaded.
    expanding: BTreeSet<u64>,
    /// Those that were expanded on this link: its sender may contradict any of their files.
    expanded: BTreeMap<u64, Vec<(EntryIndex, Value)>>,
    /// By page.
    contradicted: BTreeMap<u64, Contradicted>,
    /// Files that were contradicted on this link: once each.
    repeated: Ranges,
    /// Whether the manifest's end came on this link: nothing is contradicted after it.
    pub(super) has_ended: bool,
}

impl Completion {
    pub(super) fn new(roots: Completed) -> Self {
        Self { roots, ..Self::default() }
    }

    /// A page is checked.
    pub(super) fn add_page(&mut self, page: &Page, verdicts: &[Verdict], first_unit: u64) {
        self.pages.push((page.first_entry, first_unit));
        for ((entry, _), _) in page.iter().zip(verdicts).filter(|(_, verdict)| verdict.is_err()) {
            self.refused.insert(entry);
        }
    }

    /// A file is whole and verified.
    pub(super) fn publishing(&mut self, entry: EntryIndex, root: Value) {
        self.publishing.insert(entry, root);
    }

    /// Whether a file is on its way to its final name.
    pub(super) fn is_publishing(&self, entry: EntryIndex) -> bool {
        self.publishing.contains_key(&entry)
    }

    /// It has its final name, or will not get it.
    pub(super) fn published(&mut self, entry: EntryIndex, is_done: bool) {
        if let Some(root) = self.publishing.remove(&entry)
            && is_done
        {
            self.roots.insert(entry, root);
        }
    }

    /// The digests for a request, which has the pages up to `end_entry`.
    pub(super) fn tell(&mut self, end_entry: EntryIndex) -> Vec<(u64, Value)> {
        let digests = self.roots.digests();
        self.told_end = end_entry;
        self.told = digests.iter().map(|(bucket, _)| *bucket).collect();
        digests
    }

    /// A link ends or begins.
    pub(super) fn forget_link(&mut self) {
        self.told.clear();
        self.expanding.clear();
        self.expanded.clear();
        self.contradicted.clear();
        self.repeated = Ranges::new();
        self.has_ended = false;
    }

    /// A later version takes the place of a file: it is not looked at any more.
    pub(super) fn supersede(&mut self, entry: EntryIndex) {
        self.contradicted.retain(|_, contradicted| {
            // What is being looked at ends by its answer.
            contradicted.files.remove(&entry);
            contradicted.is_asked || !contradicted.files.is_empty()
        });
    }

    /// Whether files of a page wait to be looked at.
    pub(super) fn is_contradicted(&self, page: u64) -> bool {
        self.contradicted.contains_key(&page)
    }

    /// The units of every page for which `is_settled` says so, as few ranges.
    pub(super) fn settled_units(&self, end_unit: u64, is_settled: impl Fn(u64) -> bool) -> Ranges {
        let ends = self.pages.iter().skip(1).map(|(_, first_unit)| *first_unit).chain([end_unit]);
        let mut units = Ranges::new();
        for ((number, (_, first_unit)), end) in (0..).zip(&self.pages).zip(ends) {
            if is_settled(number) {
                units.insert_range(*first_unit..end);
            }
        }
        units
    }

    /// The root of a complete file, if this link's sender may know it.
    fn root(&self, entry: EntryIndex) -> Option<Value> {
        let of_expanded = || {
            let files = self.expanded.get(&(entry / BUCKET_ENTRIES))?;
            let at = files.binary_search_by_key(&entry, |(entry, _)| *entry).ok()?;
            files.get(at).map(|(_, root)| *root)
        };
        self.roots.root(entry).or_else(of_expanded)
    }

    fn is_of_page(&self, entry: EntryIndex, page: u64) -> bool {
        let at = self.pages.partition_point(|(first, _)| *first <= entry);
        at as u64 == page.saturating_add(1)
    }
}

impl Receiver {
    /// Whether everything is there and durable, whether or not the sender knows: all that it said on the link that was there
    /// last. A link that comes and goes without a word takes it back, as a sender that has more does.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.is_finished && self.is_end_fresh
    }

    /// Whether everything that a sender ever said is there and durable: as a memory, which proves nothing of what it has now.
    #[must_use]
    pub const fn has_everything(&self) -> bool {
        self.is_finished || (self.kept.is_finished && !self.was_told)
    }

    /// Which session it is.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Whether nothing that is complete can be contradicted any more: on a link, its end says so.
    pub(super) fn may_finish(&self) -> bool {
        let is_linked = matches!(self.link, LinkPhase::Recovering | LinkPhase::Receiving);
        self.completion.contradicted.is_empty() && (self.completion.has_ended || !is_linked)
    }

    /// The sender has said all.
    pub(super) fn on_end(&mut self, pages: u64, totals: Totals, chain: Chain, now: Instant) {
        if (pages, totals, chain) != (self.pages, self.check.totals(), self.chain) {
            return self.protocol("its manifest's end does not match its pages");
        }
        if !self.is_succeeded() {
            return self.protocol("it said of entries of its manifest that they are gone");
        }
        self.end = Some(totals);
        (self.completion.has_ended, self.is_end_fresh) = (true, true);
        if self.consent == Consent::Pending(None) {
            self.consent = Consent::Pending(Some(now));
        }
        if !self.progress.is_complete {
            let Totals { files, bytes, directories, .. } = totals;
            self.event(Event::Manifest { files, bytes, directories, complete: true });
        }
        self.progress.totals = totals;
        self.progress.is_complete = true;
        if self.is_finished {
            self.send_complete();
        }
    }

    /// Sets the directories' metadata and ends the session on disk.
    pub(super) fn finish(&mut self) {
        let gone = self.succession.gone();
        let directories = std::mem::take(&mut self.directories_decided)
            .into_iter()
            .filter(|(entry, _)| !gone.contains(*entry))
            .collect();
        let is_whole = self.settled.outcome().is_whole();
        self.disk(TargetRequest::Finish { directories, is_whole });
    }

    /// Asks the disk for the roots of every bucket whose digest is not known; whether there is one.
    pub(super) fn load_unknown(&mut self) -> bool {
        let unknown: Vec<u64> = self.completion.roots.unknown().collect();
        unknown.iter().for_each(|bucket| self.load_roots(*bucket));
        !unknown.is_empty()
    }

    fn load_roots(&mut self, bucket: u64) {
        if self.completion.loading.insert(bucket) {
            self.disk(TargetRequest::LoadRoots { bucket });
        }
    }

    /// The journal's roots of a bucket: of what was complete at any time. Every barrier before the reading has been
    /// heard of, so what is complete now and not among them became so later, and makes the digest unknown again.
    pub(super) fn on_roots(&mut self, bucket: u64, mut files: Vec<(EntryIndex, Value)>) {
        files.retain(|(entry, _)| self.complete.contains(*entry));
        self.completion.loading.remove(&bucket);
        self.completion.roots.load(bucket, &files);
        if self.completion.expanding.remove(&bucket) {
            self.show(bucket, files);
        }
        self.recover();
    }

    /// The sender wants to see buckets.
    pub(super) fn on_expand(&mut self, buckets: &[u64]) {
        for &bucket in buckets {
            if !self.completion.told.remove(&bucket) {
                return self.protocol("it asks for complete files that it was not told of");
            }
            match self.completion.roots.files(bucket) {
                Some(files) => self.show(bucket, files),
                None => {
                    self.completion.expanding.insert(bucket);
                    self.load_roots(bucket);
                }
            }
        }
    }

    fn show(&mut self, bucket: u64, mut files: Vec<(EntryIndex, Value)>) {
        files.retain(|(entry, _)| *entry < self.completion.told_end);
        debug_assert!(files.len() as u64 <= BUCKET_ENTRIES, "places of a bucket are distinct");
        self.completion.expanded.insert(bucket, files.clone());
        self.send(Message::BucketEntries { bucket, files });
    }

    /// The sender has other content of files that are complete.
    pub(super) fn on_contradict(&mut self, page: u64, files: &[(EntryIndex, Value)]) {
        let completion = &self.completion;
        let is_sound = self.link == LinkPhase::Receiving
            && !self.completion.has_ended
            && page < self.pages
            && files.iter().all(|(entry, root)| {
                completion.is_of_page(*entry, page)
                    && self.complete.contains(*entry)
                    && completion.root(*entry).is_some_and(|own| own != *root)
                    && !completion.repeated.contains(*entry)
            });
        if !is_sound {
            return self.protocol("it contradicts files that it was not told of");
        }
        files.iter().for_each(|(entry, _)| self.completion.repeated.insert(*entry));
        let contradicted = self.completion.contradicted.entry(page).or_default();
        // Of one that a later version replaces, that version is what counts.
        let live = files.iter().filter(|(entry, _)| !self.superseded.contains(*entry));
        contradicted.files.extend(live.copied());
        if contradicted.files.is_empty() {
            self.completion.contradicted.remove(&page);
        }
    }

    /// Looks at contradicted files, a few pages at a time.
    pub(super) fn look_at_contradicted(&mut self) {
        let waiting = self.completion.contradicted.iter().take(CONTRADICTED_PAGES_MAX);
        let waiting: Vec<u64> =
            waiting.filter(|(_, files)| !files.is_asked).map(|(page, _)| *page).collect();
        for number in waiting {
            let request = match self.window.get(&number) {
                // Its own survey comes first.
                Some(state) if !state.is_wanted() => continue,
                Some(_) => self.survey_contradicted(number),
                None => Some(TargetRequest::LoadPage { number }),
            };
            if let (Some(files), Some(request)) =
                (self.completion.contradicted.get_mut(&number), request)
            {
                files.is_asked = true;
                self.disk(request);
            }
        }
    }

    fn survey_contradicted(&self, number: u64) -> Option<TargetRequest> {
        let files = self.completion.contradicted.get(&number)?.files.keys();
        let state = self.window.get(&number)?;
        let wanted = files.filter_map(|entry| state.wanted(*entry, &self.directories)).collect();
        Some(TargetRequest::Survey { page: number, wanted, by_content: false })
    }

    /// A page that was settled is loaded again, for contradicted files of it.
    pub(super) fn on_reloaded_page(&mut self, number: u64, encoded: &Bytes) {
        let place = usize::try_from(number).ok().and_then(|at| self.completion.pages.get(at));
        let Some(&(_, first_unit)) = place else { return };
        if self.window.contains_key(&number) || !self.completion.contradicted.contains_key(&number)
        {
            return;
        }
        let Ok(page) = Page::decode(encoded) else {
            return self.protocol("a kept page cannot be read any more");
        };
        let verdicts: Vec<Verdict> = page
            .iter()
            .map(|(entry, _)| match self.completion.refused.contains(entry) {
                true => Err(Refusal::Parent),
                false => Ok(()),
            })
            .collect();
        let layout = Layout::new(&page, &verdicts, first_unit);
        self.window.insert(number, PageState::settled(page, verdicts, layout));
        self.renew_metadata(number);
        if let Some(request) = self.survey_contradicted(number) {
            self.disk(request);
        }
    }

    /// What is there of contradicted files: what the user changed is a conflict, the rest is fetched again.
    pub(super) fn on_contradicted_surveyed(
        &mut self,
        number: u64,
        existing: Vec<(EntryIndex, Existing)>,
    ) {
        for (entry, found) in existing {
            let Some(contradicted) = self.completion.contradicted.get_mut(&number) else {
                return;
            };
            // More of them may have come since.
            contradicted.is_asked = false;
            let root = contradicted.files.remove(&entry);
            if contradicted.files.is_empty() {
                self.completion.contradicted.remove(&number);
            }
            let Some(root) = root.filter(|_| self.reopen(number, entry)) else { continue };
            match (found, self.config.on_conflict) {
                (Existing::Same | Existing::Superseded, _) => {
                    // Ours, and to be replaced.
                    self.replacing.insert(entry, entry);
                    self.fetch_again(number, entry, root);
                }
                (Existing::Absent, _)
                | (
                    Existing::Differs { .. } | Existing::SameSize,
                    Some(OnConflict::Overwrite | OnConflict::Rename),
                ) => {
                    self.fetch_again(number, entry, root);
                }
                (Existing::Differs { .. } | Existing::SameSize, policy) => {
                    self.on_conflict(number, entry, policy.unwrap_or(OnConflict::Fail));
                }
                (
                    Existing::Twin { why }
                    | Existing::Inhabited { why }
                    | Existing::Refused { why },
                    _,
                ) => {
                    self.fail_entry(number, entry, MissingKind::Refused, &why);
                }
                (Existing::OtherKind | Existing::Linked, _) => {
                    let why = NO_FILE_IN_THE_WAY;
                    self.fail_entry(number, entry, MissingKind::Refused, why);
                }
            }
        }
        self.settle_page(number);
    }

    /// A complete file is not settled any more; `false` where it was not complete.
    pub(super) fn reopen(&mut self, number: u64, entry: EntryIndex) -> bool {
        let is_current = self.complete.contains(entry) && !self.superseded.contains(entry);
        let Some(state) = self.window.get_mut(&number).filter(|_| is_current) else {
            return false;
        };
        state.reopen(entry);
        self.unsettle(entry);
        self.complete.remove(entry);
        self.completion.roots.remove(entry);
        true
    }

    /// Whether a complete file is looked at when its page is loaded: until everything is finished, the user may have
    /// changed or removed it between two runs (D-10).
    pub(super) fn is_looked_after(&self, entry: EntryIndex) -> bool {
        !self.is_finished
            && self.complete.contains(entry)
            && !self.kept.renamed.contains(entry)
            && !self.superseded.contains(entry)
    }

    /// A complete entry is not what it was, or not there: it is as if it had never come.
    pub(super) fn lose(&mut self, number: u64, entry: EntryIndex) {
        if !self.reopen(number, entry) {
            return;
        }
        let state = self.window.get(&number);
        let units =
            state.and_then(|state| state.layout.segment_of(entry)).map_or(0..0, Segment::units);
        let bytes = state.and_then(|state| state.entry(entry)).map_or(0, content_bytes);
        self.progress.kept_bytes = self.progress.kept_bytes.saturating_sub(bytes);
        units.clone().for_each(|unit| self.units.remove(unit));
        self.disk(TargetRequest::Discard { entry, units });
    }

    fn fetch_again(&mut self, number: u64, entry: EntryIndex, root: Value) {
        let segment = self.window.get(&number).and_then(|state| state.layout.segment_of(entry));
        match segment.cloned() {
            Some(segment @ Segment::File { bytes, first_unit, .. }) => {
                self.start_again(number, entry, bytes, first_unit, root);
                segment.units().for_each(|unit| self.ask_again(unit, &[entry]));
            }
            Some(Segment::Pack { unit, files }) => {
                // With the unit under way for others, it is asked for once that is written.
                let is_due = !self.units.contains(unit)
                    && files.iter().any(|(of, _)| *of != entry && self.is_open(number, *of));
                if is_due {
                    self.resending.entry(unit).or_default().push(entry);
                } else {
                    self.ask_again(unit, &[entry]);
                }
            }
            None => {}
        }
    }
}
