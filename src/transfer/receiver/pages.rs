//! From a page's arrival to the want that answers it.

mod conflicts;
mod directories;
mod entries;
mod metadata;
mod superseded;

use super::compare::Comparison;
use super::consent::MANIFEST_BYTES_MAX;
use super::{PAGES_OPEN_MAX, Receiver};
use crate::transfer::disk::{
    DirectoryMetadata, DiskError, Existing, OnConflict, Publish, PublishKind, TargetRequest,
    Wanted, WantedKind,
};
use crate::transfer::layout::{Layout, Segment};
use crate::transfer::manifest::{DirectoryTable, Entry, EntryIndex, EntryKind, Page, Verdict};
use crate::transfer::message::{Message, WireRanges};
use crate::transfer::missing::MissingKind;
use crate::transfer::ranges::Ranges;
use bytes::Bytes;
use std::collections::BTreeSet;

/// No policy replaces it.
pub(super) const NO_FILE_IN_THE_WAY: &str = "something that is not a file has its name, left untouched \
    (move it away, and run the same command again)";

/// Where a page is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The disk looks what is there.
    Surveying,
    /// Files of the right size are read at both ends; the survey waits for what comes of it.
    Comparing(Vec<(EntryIndex, Existing)>, Comparison),
    /// Directories are being made; then the files of the survey are decided.
    Creating(Vec<(EntryIndex, Existing)>),
    /// The user is asked about these entries.
    Asking(BTreeSet<EntryIndex>),
    /// Every entry is settled, or shall be received.
    Decided,
}

/// A page that is not settled.
#[derive(Debug)]
pub(super) struct PageState {
    page: Page,
    verdicts: Vec<Verdict>,
    pub(super) layout: Layout,
    phase: Phase,
    /// Whether an earlier run received it.
    is_kept: bool,
    /// Whether the sender waits for its want. A page of an earlier run needs none where the link's request covers it.
    owes_want: bool,
    /// Files and symlinks that are not settled; empty once the page is done.
    open: BTreeSet<EntryIndex>,
    /// Files that the user skips: journalled, since the user is not asked again. What is there is looked at again, and what
    /// failed is tried again.
    skipped: Ranges,
    /// Files whose content was compared in this run.
    read: Ranges,
}

impl PageState {
    pub(super) fn is_decided(&self) -> bool {
        self.phase == Phase::Decided
    }

    /// Whether the sender knows what is wanted of it.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_decided() && !self.owes_want
    }

    /// A link begins: its request asks for this page, if it is decided and `may_want`; else a want is owed.
    pub(super) fn begin_link(&mut self, may_want: bool) -> bool {
        self.owes_want = !(may_want && self.is_decided());
        !self.owes_want
    }

    /// Whether units or roots of it are due.
    pub(super) fn is_expecting(&self) -> bool {
        let is_compared = matches!(&self.phase, Phase::Comparing(_, of) if of.is_owed());
        is_compared || (self.is_wanted() && !self.open.is_empty())
    }

    /// A page that was settled before.
    pub(super) const fn settled(page: Page, verdicts: Vec<Verdict>, layout: Layout) -> Self {
        Self {
            page,
            verdicts,
            layout,
            phase: Phase::Decided,
            is_kept: true,
            owes_want: false,
            open: BTreeSet::new(),
            skipped: Ranges::new(),
            read: Ranges::new(),
        }
    }

    /// An entry is not settled any more.
    pub(super) fn reopen(&mut self, entry: EntryIndex) {
        self.open.insert(entry);
    }

    /// Goes over to another phase; the one before.
    pub(super) const fn set_phase(&mut self, phase: Phase) -> Phase {
        std::mem::replace(&mut self.phase, phase)
    }

    /// What it is waiting for, where content is being compared.
    pub(super) const fn comparison_mut(&mut self) -> Option<&mut Comparison> {
        match &mut self.phase {
            Phase::Comparing(_, comparison) => Some(comparison),
            Phase::Surveying | Phase::Creating(_) | Phase::Asking(_) | Phase::Decided => None,
        }
    }

    /// A file was read, and is the same.
    pub(super) fn read(&mut self, entry: EntryIndex) {
        self.read.insert(entry);
    }

    /// What to look for in the target.
    pub(super) fn wanted(&self, entry: EntryIndex, paths: &DirectoryTable) -> Option<Wanted> {
        let content = self.entry(entry)?;
        let (path, kind) = (paths.path(content)?, wanted_kind(content));
        Some(Wanted { entry, path, kind, supersedes: None })
    }

    /// Files and symlinks that shall not be sent any more.
    pub(super) fn resolved(&self) -> impl Iterator<Item = EntryIndex> + '_ {
        self.page.iter().map(|(index, _)| index).filter(|index| !self.open.contains(index))
    }

    pub(super) fn is_open(&self, entry: EntryIndex) -> bool {
        self.open.contains(&entry)
    }

    pub(super) fn entry(&self, index: EntryIndex) -> Option<&Entry> {
        self.page.entry(index)
    }

    fn accepted(&self) -> impl Iterator<Item = (EntryIndex, &Entry)> {
        self.page
            .iter()
            .zip(&self.verdicts)
            .filter(|(_, verdict)| verdict.is_ok())
            .map(|(entry, _)| entry)
    }
}

impl Receiver {
    /// Asks the store for the next page of an earlier run.
    pub(super) fn load_next_page(&mut self) {
        if self.pages < self.kept.pages {
            self.disk(TargetRequest::LoadPage { number: self.pages });
        }
    }

    pub(super) fn on_kept_page(&mut self, number: u64, encoded: &Bytes) {
        if number == self.pages {
            self.take_page(encoded, true);
            self.load_next_page();
            self.recover();
        } else {
            self.on_reloaded_page(number, encoded);
        }
    }

    /// A page from the sender.
    pub(super) fn on_page(&mut self, encoded: Bytes) {
        // Pages of earlier runs are open because we have them, not because they came too fast.
        let open = self.window.range(self.kept.pages..).count();
        if self.end.is_some() || open >= PAGES_OPEN_MAX {
            return self.protocol("more manifest pages than may be open, or after the last one");
        }
        self.take_back_end();
        self.take_page(&encoded, false);
    }

    /// Checks a page, keeps it and starts its survey, unless it is refused.
    fn take_page(&mut self, encoded: &Bytes, is_kept: bool) {
        let checked = Page::decode(encoded).map_err(|error| error.to_string()).and_then(|page| {
            let verdicts = self.check.check(&page).map_err(|error| error.to_string())?;
            Ok((page, verdicts))
        });
        let (page, verdicts) = match checked {
            Ok(checked) => checked,
            Err(error) => {
                return self.protocol(&error);
            }
        };
        let layout = Layout::new(&page, &verdicts, self.next_unit);
        self.completion.add_page(&page, &verdicts, self.next_unit);
        self.next_unit = layout.end_unit;
        self.chain = self.chain.extend(encoded);
        self.pages += 1;
        self.manifest_bytes = self.manifest_bytes.saturating_add(encoded.len() as u64);
        if self.manifest_bytes > MANIFEST_BYTES_MAX {
            return self.protocol("its manifest is larger than any tree needs");
        }
        self.directories.add_page(&page);
        let number = page.number;
        self.offered.add_page(&page, &verdicts, &self.directories);
        let mut open = BTreeSet::new();
        let mut missing = Vec::new();
        for ((index, entry), verdict) in page.iter().zip(&verdicts) {
            // Nothing is to come of these.
            let is_directory = entry.kind == EntryKind::Directory;
            match verdict {
                _ if is_remark(entry) => {}
                Ok(()) if is_directory || self.is_replaced(index) => {}
                Ok(()) if self.complete.contains(index) => self.settle_complete(index),
                Ok(()) if self.kept.skipped.contains(index) => {
                    let why = "another version is there".to_owned();
                    missing.push((index, MissingKind::Skipped, why));
                }
                Ok(()) => {
                    open.insert(index);
                }
                Err(refusal) => {
                    missing.push((index, MissingKind::Refused, refusal.to_string()));
                }
            }
        }
        for segment in &layout.segments {
            if let Segment::File { entry, .. } = segment
                && (self.complete.contains(*entry) || self.is_replaced(*entry))
            {
                self.units.insert_range(segment.units());
            }
        }
        let number_entries = page.first_entry..page.end_entry();
        let state = PageState {
            page,
            verdicts,
            layout,
            phase: Phase::Surveying,
            is_kept,
            owes_want: !is_kept,
            open,
            skipped: self.kept.skipped.within(number_entries),
            read: Ranges::new(),
        };
        let superseded: Vec<EntryIndex> =
            state.accepted().filter_map(|(_, entry)| entry.supersedes).collect();
        self.succession.add_page(&state.page);
        self.trace(&state);
        let mut wanted = Vec::new();
        for (entry, content) in state.accepted() {
            let is_directory = content.kind == EntryKind::Directory;
            let is_open = (is_directory && !self.is_gone(entry))
                || state.open.contains(&entry)
                || (is_kept && self.is_looked_after(entry));
            if is_open && let Some(path) = self.directories.path(content) {
                let is_new = is_directory || state.open.contains(&entry);
                let supersedes = content.supersedes.filter(|_| is_new);
                wanted.push(Wanted { entry, path, kind: wanted_kind(content), supersedes });
            }
        }
        superseded.into_iter().for_each(|old| self.supersede(old));
        let gone = self.gone_directories(&state);
        self.window.insert(number, state);
        self.take_metadata(number);
        for (entry, kind, why) in missing {
            self.fail_entry(number, entry, kind, &why);
        }
        if !is_kept {
            // First: what an entry of it replaces may be in the same page.
            self.disk(TargetRequest::KeepPage { number, encoded: encoded.clone() });
        }
        if !gone.is_empty() {
            self.disk(TargetRequest::RemoveDirectories { directories: gone });
        }
        self.disk(TargetRequest::Survey {
            page: number,
            wanted,
            by_content: self.config.by_content,
        });
    }

    /// What is there: directories first.
    pub(super) fn on_surveyed(&mut self, number: u64, existing: Vec<(EntryIndex, Existing)>) {
        let Some(state) = self.window.get_mut(&number) else {
            return;
        };
        if state.phase == Phase::Decided {
            return self.on_contradicted_surveyed(number, existing);
        }
        let mut directories = Vec::new();
        let mut blocked: Vec<(EntryIndex, MissingKind, String)> = Vec::new();
        for (entry, found) in &existing {
            let Some(content) =
                state.page.entry(*entry).filter(|content| content.kind == EntryKind::Directory)
            else {
                continue;
            };
            // Gone since it was looked at.
            if self.succession.gone().contains(*entry) {
                continue;
            }
            match found {
                // What is there in its place is ours, and gone at the source.
                Existing::Absent | Existing::Superseded => {
                    if let Some(path) = self.directories.path(content) {
                        directories.push((*entry, path, content.mode));
                    }
                }
                Existing::Same => {}
                Existing::Linked => {
                    let why = "a symlink has its name, left untouched \
                         (--follow-target follows one that leads to a directory inside the target)";
                    blocked.push((*entry, MissingKind::Conflict, why.to_owned()));
                }
                Existing::Refused { why } => {
                    blocked.push((*entry, MissingKind::Refused, why.clone()));
                }
                Existing::SameSize
                | Existing::Differs { .. }
                | Existing::OtherKind
                | Existing::Inhabited { .. }
                | Existing::Twin { .. } => {
                    let why = "something that is no directory has its name, left untouched \
                         (move it away, and run the same command again)"
                        .to_owned();
                    blocked.push((*entry, MissingKind::Refused, why));
                }
            }
        }
        let gone: Vec<EntryIndex> = existing
            .iter()
            .filter(|(entry, found)| *found != Existing::Same && self.complete.contains(*entry))
            .map(|(entry, _)| *entry)
            .collect();
        state.phase = Phase::Creating(existing);
        self.unblock(number);
        gone.into_iter().for_each(|entry| self.lose(number, entry));
        for (entry, kind, why) in blocked {
            self.block_directory(number, entry, kind, &why);
        }
        self.block_children(number);
        directories.retain(|(entry, ..)| !self.blocked.contains_key(entry));
        if directories.is_empty() {
            return self.decide(number);
        }
        self.disk(TargetRequest::CreateDirectories { directories });
    }

    pub(super) fn on_directories_created(&mut self, failed: Vec<(EntryIndex, DiskError)>) {
        // Requests are carried out in order, so this is the oldest page that waits for it.
        let creating =
            self.window.iter().find(|(_, state)| matches!(state.phase, Phase::Creating(_)));
        let Some(number) = creating.map(|(number, _)| *number) else {
            return;
        };
        for (entry, error) in failed {
            self.block_directory(number, entry, MissingKind::Refused, &error.message);
        }
        self.decide(number);
    }

    /// Settles what needs no question.
    pub(super) fn decide(&mut self, number: u64) {
        let Some(state) = self.window.get_mut(&number) else {
            return;
        };
        let Phase::Creating(mut existing) =
            std::mem::replace(&mut state.phase, Phase::Asking(BTreeSet::new()))
        else {
            return;
        };
        if self.begin_comparison(number, &mut existing) {
            return;
        }
        self.block_children(number);
        for (entry, found) in existing {
            let Some(state) = self.window.get_mut(&number) else {
                return;
            };
            if !state.open.contains(&entry) {
                continue;
            }
            match (found, self.config.on_conflict) {
                (Existing::Absent, _)
                | (Existing::Differs { .. }, Some(OnConflict::Overwrite | OnConflict::Rename))
                | (Existing::Twin { .. }, Some(OnConflict::Rename)) => {}
                (Existing::Twin { .. }, Some(OnConflict::Skip)) => {
                    self.on_conflict(number, entry, OnConflict::Skip);
                }
                (
                    Existing::Twin { why }
                    | Existing::Inhabited { why }
                    | Existing::Refused { why },
                    _,
                ) => {
                    self.fail_entry(number, entry, MissingKind::Refused, &why);
                }
                (Existing::Superseded, _) => {
                    if let Some(old) = state.entry(entry).and_then(|content| content.supersedes) {
                        self.replacing.insert(entry, old);
                    }
                }
                (Existing::Same, _) => self.on_unchanged(number, entry),
                // Compared before; what could not be is another version.
                (Existing::SameSize, _) => {}
                (Existing::Differs { .. }, Some(policy)) => self.on_conflict(number, entry, policy),
                (Existing::Differs { bytes }, None) => {
                    if let Phase::Asking(asking) = &mut state.phase {
                        asking.insert(entry);
                    }
                    self.questions.push_back((number, entry, bytes));
                }
                (Existing::OtherKind | Existing::Linked, _) => {
                    let why = NO_FILE_IN_THE_WAY;
                    self.fail_entry(number, entry, MissingKind::Refused, why);
                }
            }
        }
        self.end_decision(number);
    }

    /// Once nothing is asked any more: journals the decision, lays out what comes, and wants it.
    fn end_decision(&mut self, number: u64) {
        let Some(state) = self.window.get_mut(&number) else {
            return;
        };
        if !matches!(&state.phase, Phase::Asking(asking) if asking.is_empty()) {
            return;
        }
        state.phase = Phase::Decided;
        let skipped = state.skipped.clone();
        let directories: Vec<_> = state
            .accepted()
            .filter(|(_, entry)| entry.kind == EntryKind::Directory)
            .filter_map(|(index, entry)| {
                let path = self.directories.path(entry)?;
                let (mode, modified) = (entry.mode, entry.modified);
                Some((index, DirectoryMetadata { path, mode, modified }))
            })
            .collect();
        let symlinks: Vec<EntryIndex> = state
            .accepted()
            .filter(|(index, entry)| {
                matches!(entry.kind, EntryKind::Symlink { .. }) && state.open.contains(index)
            })
            .map(|(index, _)| index)
            .collect();
        self.directories_decided.extend(directories);
        if !skipped.is_empty() {
            self.disk(TargetRequest::Decide { page: number, skipped });
        }
        self.set_metadata(number);
        self.start_files(number);
        for entry in symlinks {
            self.publish_symlink(number, entry);
        }
        self.settle_page(number);
    }

    fn publish_symlink(&mut self, number: u64, entry: EntryIndex) {
        let Some(content) = self.window.get(&number).and_then(|state| state.page.entry(entry))
        else {
            return;
        };
        let (EntryKind::Symlink { target }, Some(path)) =
            (&content.kind, self.directories.path(content))
        else {
            return;
        };
        let publish = Publish {
            entry,
            path,
            kind: PublishKind::Symlink { target: target.clone() },
            mode: content.mode,
            modified: content.modified,
            on_conflict: self.policy(entry),
            replaces: self.replacing.get(&entry).copied(),
        };
        self.ready.push_back(publish);
    }

    /// Sends the wants of decided pages, as far as the consent goes. A link that begins says it in its request instead.
    pub(super) fn send_wants(&mut self) {
        if self.link != super::LinkPhase::Receiving || self.exceeds_consent() {
            return;
        }
        let decided: Vec<u64> = self
            .window
            .iter()
            .filter(|(_, state)| state.is_decided() && state.owes_want)
            .map(|(number, _)| *number)
            .collect();
        for number in decided {
            let Some(state) = self.window.get_mut(&number) else {
                continue;
            };
            state.owes_want = false;
            let unwanted: Ranges = state.resolved().collect();
            let page_units = state.layout.first_unit..state.layout.end_unit;
            let units = self.units.within(page_units);
            let (unwanted, units) = (WireRanges::from(&unwanted), WireRanges::from(&units));
            self.send(Message::Want { page: number, unwanted, units });
            self.settle_page(number);
        }
    }

    /// Lets a page go whose every entry is settled.
    pub(super) fn settle_page(&mut self, number: u64) {
        let is_settled = |state: &PageState| state.is_wanted() && state.open.is_empty();
        let is_looked_at = self.completion.is_contradicted(number);
        if !is_looked_at && self.window.get(&number).is_some_and(is_settled) {
            self.window.remove(&number);
        }
    }
}

/// Whether an entry is nothing of its own, and only says something of an earlier one.
pub(super) const fn is_remark(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::Gone | EntryKind::Metadata { .. })
}

fn wanted_kind(entry: &Entry) -> WantedKind {
    match &entry.kind {
        // What is said of others is wanted nowhere.
        EntryKind::Directory | EntryKind::Gone | EntryKind::Metadata { .. } => {
            WantedKind::Directory
        }
        EntryKind::File { bytes } => WantedKind::File { bytes: *bytes, modified: entry.modified },
        EntryKind::Symlink { target } => WantedKind::Symlink { target: target.clone() },
    }
}

/// Bytes of content that an entry has.
pub(super) const fn content_bytes(entry: &Entry) -> u64 {
    match entry.kind {
        EntryKind::File { bytes } => bytes,
        EntryKind::Directory
        | EntryKind::Symlink { .. }
        | EntryKind::Gone
        | EntryKind::Metadata { .. } => 0,
    }
}
