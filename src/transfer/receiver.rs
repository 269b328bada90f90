//! The receiver: wants what it misses, believes nothing unverified, acknowledges what is durable, publishes what is
//! whole.
//!
//! ```text
//!   Loading ──pages of earlier runs──▶ Ready ──link up──▶ Recovering ──answer──▶ Receiving ──▶ Finishing ──▶ Complete
//!                                        ▲─────────────────link down──────────────┘
//! ```
//!
//! A page goes Surveying → Creating → (Asking) → Decided; then its units arrive, are written, become durable at a
//! barrier, and its files get their names there. A page whose every entry is settled leaves memory.
//!
//! Disk requests are carried out in order, so a barrier covers every write that was asked for before it.

mod agreement;
mod asked;
mod barriers;
mod compare;
mod completion;
mod consent;
mod due;
mod full;
mod lookup;
mod offered;
mod pages;
mod recovery;
mod settled;
mod units;

pub use agreement::{Acting, ActingPath, Agreement};
pub use asked::{Accepted, Answer, Ask, ReceiverConfig, ReceiverOutput};

use super::disk::{
    DirectoryMetadata, DiskError, Existing, FileMetadata, OnConflict, Publish, TargetReply,
    TargetRequest, TargetState, UnitContent,
};
use super::manifest::{Chain, DirectoryTable, EntryIndex, PageCheck, Succession, Totals};
use super::message::{ByeReason, Message, bounded_text};
use super::progress::Progress;
use super::ranges::Ranges;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::time::Instant;
use crate::transfer::missing::MissingKind;
use crate::wire::{Channel, SessionId};
use bytes::Bytes;
use completion::Completion;
use consent::{ASK_DELAY, Consent};
use offered::Offered;
use pages::PageState;
use settled::Settled;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use units::{FileState, Incoming};

/// Bytes written after which a barrier makes them durable.
const BARRIER_BYTES: u64 = 64 << 20;

/// Files waiting to be published after which a barrier comes.
const BARRIER_FILES: usize = 4_096;

/// Time after which a barrier comes, if anything is waiting for one.
const BARRIER_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes handed to the disk and not yet written, at most; beyond, the data channel is not read.
const BACKLOG_BYTES_MAX: u64 = 16 << 20;

/// Pages that a sender may have open at once; ours keeps eight.
const PAGES_OPEN_MAX: usize = 64;

/// Top-level names shown in a question.
const NAMES_MAX: usize = 10;

/// Files whose newer metadata is remembered beyond their pages, at most: for what is complete and has to come again. One
/// that is not has what its page says then.
const METADATA_MAX: usize = 100_000;

/// Where a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkPhase {
    Down,
    /// Open with this epoch; the request is still to be sent (pages are being loaded).
    Up(u64),
    /// The request is out.
    Recovering,
    /// The answer came.
    Receiving,
}

/// The receiver's machine.
#[derive(Debug)]
pub struct Receiver {
    session: SessionId,
    config: ReceiverConfig,
    link: LinkPhase,
    /// Whether the sender said on this link how much there is.
    has_estimate: bool,
    /// Whether the request of this link is one that an early answer is meant for.
    has_nothing: bool,
    /// Once an early answer came on this link: messages of it that may still come, and say nothing if it is none.
    early: Option<u64>,
    consent: Consent,
    check: PageCheck,
    directories: DirectoryTable,
    chain: Chain,
    next_unit: u64,
    /// Pages checked.
    pages: u64,
    /// Their bytes.
    manifest_bytes: u64,
    /// Pages of earlier runs, all to be loaded before a link is used.
    kept: TargetState,
    window: BTreeMap<u64, PageState>,
    /// Entries that later ones replace.
    superseded: Ranges,
    /// Of which of them nothing is left.
    succession: Succession,
    /// Entries that stand where a directory stood, each with the one before it.
    lineage: BTreeMap<EntryIndex, EntryIndex>,
    /// Directories that are gone, and may be there still for what is in them, by the keys of their paths.
    gone_directories: BTreeMap<u64, EntryIndex>,
    /// Newer metadata of files than their pages say, of the first [`METADATA_MAX`].
    metadata: BTreeMap<EntryIndex, FileMetadata>,
    /// Units written, or handed to the disk.
    units: Ranges,
    /// Entries with their final name.
    complete: Ranges,
    settled: Settled,
    completion: Completion,
    files: BTreeMap<EntryIndex, FileState>,
    incoming: Option<Incoming>,
    backlog_bytes: u64,
    /// Units handed to the disk and not yet acknowledged.
    unacked: Ranges,
    unacked_bytes: u64,
    unacked_since: Option<Instant>,
    barrier: Option<Ranges>,
    ready: VecDeque<Publish>,
    /// Units handed to the disk and not yet written.
    writing: BTreeMap<u64, (UnitContent, u64)>,
    /// Sizes of units written and not yet durable.
    written_bytes: BTreeMap<u64, u64>,
    /// Entries that replace what this session published, each with the version that may be there.
    replacing: BTreeMap<EntryIndex, EntryIndex>,
    /// What the user said about single files.
    policies: BTreeMap<EntryIndex, OnConflict>,
    /// Units asked for again on this link and not yet written, each with the entries to ask for once it is: a unit is
    /// never under way twice.
    resending: BTreeMap<u64, Vec<EntryIndex>>,
    /// What is to be asked for again once the sender has answered a request that says that it is here.
    owed_resends: Vec<Message>,
    corrupt_counts: BTreeMap<u64, u32>,
    /// Files that were fetched a second time, since their units were not those of one version.
    remade: BTreeSet<EntryIndex>,
    /// Directories that could not be made, or are not directories.
    blocked: BTreeMap<EntryIndex, MissingKind>,
    directories_decided: Vec<(EntryIndex, DirectoryMetadata)>,
    /// What is there, by page, until the consent: without it, not even a directory is made.
    surveys: VecDeque<(u64, Vec<(EntryIndex, Existing)>)>,
    /// Conflicts to be asked about: page, entry, size of the file that is there.
    questions: VecDeque<(u64, EntryIndex, u64)>,
    /// Whether the first of them is being asked.
    is_asking: bool,
    /// What the question shows.
    offered: Offered,
    end: Option<Totals>,
    is_finishing: bool,
    is_finished: bool,
    /// Whether the manifest's end came on the link that was there last. What an earlier one brought is a memory.
    is_end_fresh: bool,
    /// Whether a sender said anything in this run.
    was_told: bool,
    is_over: bool,
    /// The error of a full disk, while what is whole is published.
    full: Option<DiskError>,
    progress: Progress,
    outputs: VecDeque<ReceiverOutput>,
    /// When something last happened.
    advanced_at: Option<Instant>,
}

impl Receiver {
    /// A receiver that goes on from what its store found: nothing, in the ordinary case.
    #[must_use]
    pub fn new(session: SessionId, mut config: ReceiverConfig, mut kept: TargetState) -> Self {
        let accepted = config.accepted.take();
        let progress = Progress { kept_bytes: kept.kept_bytes, ..Progress::default() };
        let mut receiver = Self {
            session,
            link: LinkPhase::Down,
            has_estimate: false,
            has_nothing: false,
            early: None,
            // Never inferred from what is kept: that lies in the target, where others may put it.
            consent: accepted.as_ref().map_or(Consent::Pending(None), |of| Consent::Given(of.most)),
            config,
            check: PageCheck::new(),
            directories: DirectoryTable::new(),
            chain: Chain::start(session),
            next_unit: 0,
            pages: 0,
            manifest_bytes: 0,
            window: BTreeMap::new(),
            superseded: kept.superseded.clone(),
            succession: std::mem::take(&mut kept.succession),
            lineage: BTreeMap::new(),
            gone_directories: BTreeMap::new(),
            metadata: BTreeMap::new(),
            units: kept.units.clone(),
            complete: kept.complete.clone(),
            settled: Settled::default(),
            completion: Completion::new(std::mem::take(&mut kept.roots)),
            files: BTreeMap::new(),
            incoming: None,
            backlog_bytes: 0,
            unacked: Ranges::new(),
            unacked_bytes: 0,
            unacked_since: None,
            barrier: None,
            ready: VecDeque::new(),
            writing: BTreeMap::new(),
            written_bytes: BTreeMap::new(),
            replacing: BTreeMap::new(),
            policies: BTreeMap::new(),
            resending: BTreeMap::new(),
            owed_resends: Vec::new(),
            corrupt_counts: BTreeMap::new(),
            remade: BTreeSet::new(),
            blocked: BTreeMap::new(),
            directories_decided: Vec::new(),
            surveys: VecDeque::new(),
            questions: VecDeque::new(),
            is_asking: false,
            offered: Offered::new(accepted.map(|of| of.acting).unwrap_or_default()),
            end: None,
            is_finishing: false,
            is_finished: false,
            is_end_fresh: false,
            was_told: false,
            is_over: false,
            full: None,
            progress,
            outputs: VecDeque::new(),
            advanced_at: None,
            kept,
        };
        receiver.load_next_page();
        receiver
    }

    /// The channels of a link are open.
    pub fn handle_link_up(&mut self, epoch: u64, now: Instant) {
        self.link = LinkPhase::Up(epoch);
        self.incoming = None;
        (self.has_estimate, self.is_end_fresh) = (false, false);
        (self.has_nothing, self.early) = (false, None);
        self.forget_resends();
        self.forget_comparisons();
        self.forget_left_outs();
        self.completion.forget_link();
        self.recover();
        self.advance(now);
    }

    /// The link is gone. What was written stays; what was half received is forgotten.
    pub fn handle_link_down(&mut self) {
        self.link = LinkPhase::Down;
        self.incoming = None;
        self.forget_resends();
        self.forget_comparisons();
        self.completion.forget_link();
    }

    /// The peer said something.
    pub fn handle_message(&mut self, message: Message, now: Instant) {
        if self.is_over {
            return;
        }
        let is_early = matches!(self.link, LinkPhase::Up(_) | LinkPhase::Recovering);
        if self.link == LinkPhase::Down {
            return;
        }
        match message {
            Message::RecoveryAnswer { pages } => self.on_recovery_answer(pages),
            Message::Estimate { totals, is_complete } => self.on_estimate(totals, is_complete, now),
            Message::EarlyAnswer => self.on_early_answer(),
            // Of a page that is passed over.
            Message::Gone { .. } if is_early && self.early.is_some() => {}
            Message::Page { .. } | Message::End { .. } if is_early && self.early.is_some() => {
                self.drop_early();
            }
            Message::Page { .. }
            | Message::Unit { .. }
            | Message::End { .. }
            | Message::Contradict { .. }
            | Message::LeftOut { .. }
            | Message::Gone { .. }
            | Message::Roots { .. }
                if is_early =>
            {
                self.protocol("it spoke before it was asked");
            }
            Message::Page { encoded } => self.on_page(Bytes::from(encoded)),
            Message::Gone { entries } => self.on_gone(&entries),
            Message::LeftOut { entries } => self.on_left_out(entries),
            Message::End { pages, totals, chain, failed, skipped } => {
                if self.end_left_outs(failed, skipped) {
                    self.on_end(pages, totals, chain, now);
                } else {
                    self.protocol("it left out more than it counts");
                }
            }
            Message::Unit { unit, head } => self.on_unit_head(unit, head, now),
            Message::ExpandBuckets { buckets } => self.on_expand(&buckets),
            Message::Contradict { page, files } => self.on_contradict(page, &files),
            Message::FileRoot { entry, root } => self.on_file_root(entry, root),
            Message::EntryFailed { entry, kind, reason } => {
                self.on_entry_failed(entry, kind, &reason)
            }
            Message::Roots { page, files } => self.on_their_roots(page, files),
            Message::CompleteAck if self.is_finished => {
                self.is_over = true;
                self.outputs.push_back(ReceiverOutput::Done);
            }
            Message::RecoveryRequest(_)
            | Message::Want { .. }
            | Message::Resend { .. }
            | Message::Ack { .. }
            | Message::BucketEntries { .. }
            | Message::Complete { .. }
            | Message::Missing { .. }
            | Message::Compare { .. }
            | Message::CompleteAck => self.protocol("a message that only a receiver sends"),
            // The session's own.
            Message::Ping { .. } | Message::Pong { .. } | Message::Bye { .. } | Message::Busy => {}
        }
        self.advance(now);
    }

    /// Content of the unit whose head came last.
    pub fn handle_body(&mut self, body: Bytes, now: Instant) {
        if self.is_over {
            return;
        }
        self.on_body(body, now);
        self.advance(now);
    }

    /// The disk did something.
    pub fn handle_disk(&mut self, reply: TargetReply, now: Instant) {
        match reply {
            TargetReply::Surveyed { page, existing } => self.surveys.push_back((page, existing)),
            TargetReply::Hashed { page, roots } => self.on_hashed(page, roots),
            TargetReply::Warning { code, message } => {
                self.event(Event::Warning { code: code.to_owned(), message });
            }
            TargetReply::DirectoriesCreated { failed } => self.on_directories_created(failed),
            TargetReply::Written { unit } => self.on_written(unit),
            TargetReply::Corrupt { unit } => self.on_corrupt(unit),
            TargetReply::BarrierDone { published } => self.on_barrier_done(published),
            TargetReply::Page { number, encoded } => self.on_kept_page(number, &encoded),
            TargetReply::Roots { bucket, files } => self.on_roots(bucket, files),
            // New pages came meanwhile: it is not the end.
            TargetReply::Finished if !self.is_finishing => {}
            TargetReply::Finished => {
                self.is_finished = true;
                self.outputs.push_back(ReceiverOutput::Finished);
                self.send_complete();
            }
            // What is whole gets its name, which needs no room; then it ends.
            TargetReply::Full(error) => {
                self.full.get_or_insert(error);
                self.end_full();
            }
            TargetReply::Failed(error) => {
                let error = self.full.take().unwrap_or(error);
                self.fail(Error::new(ErrorKind::Disk, error.to_string()));
            }
        }
        if self.full.is_some() && self.barrier.is_none() {
            self.end_full();
        }
        self.advance(now);
    }

    /// The user answered the question that was asked.
    pub fn handle_answer(&mut self, answer: Answer, now: Instant) {
        match answer {
            Answer::Accept(accepted) => self.on_consent(accepted),
            Answer::Conflict { policy, for_all } => self.on_conflict_answer(policy, for_all),
        }
        self.advance(now);
    }

    /// A deadline of [`Self::poll_timeout`] passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    /// When [`Self::handle_timeout`] wants to be called, and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let barrier = self
            .unacked_since
            .filter(|_| self.barrier.is_none())
            .map(|since| (since + BARRIER_INTERVAL, "barrier"));
        let ask = match self.consent {
            Consent::Pending(Some(at)) => Some((at, "consent")),
            Consent::Pending(None) | Consent::Asked(_) | Consent::Given(_) => None,
        };
        barrier.into_iter().chain(ask).min()
    }

    /// What the surroundings shall do next.
    pub fn poll_output(&mut self) -> Option<ReceiverOutput> {
        if self.outputs.is_empty()
            && self.has_usable_survey()
            && let Some(now) = self.advanced_at
        {
            self.advance(now);
        }
        self.outputs.pop_front()
    }

    /// Whether the disk is behind: then the data channel is not read.
    #[must_use]
    pub const fn is_backlogged(&self) -> bool {
        self.backlog_bytes >= BACKLOG_BYTES_MAX
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let incoming = self.incoming.as_ref().map_or(0, Incoming::received_bytes);
        let moving_bytes = incoming + self.backlog_bytes + self.written_bytes.values().sum::<u64>();
        Progress {
            moving_bytes,
            bytes: self.settled.bytes(),
            files: self.settled.files(),
            outcome: self.settled.outcome(),
            ..self.progress
        }
    }

    fn on_estimate(&mut self, totals: Totals, is_complete: bool, now: Instant) {
        (self.has_estimate, self.was_told) = (true, true);
        // It comes on a channel of its own, and so may come after the end that knows better.
        if self.end.is_some_and(|end| totals.entries <= end.entries) {
            return;
        }
        if self.end.is_none() && totals.entries > self.check.totals().entries {
            self.take_back_end();
        }
        self.progress.totals = totals;
        self.progress.is_complete = is_complete;
        let Totals { files, bytes, directories, .. } = totals;
        self.event(Event::Manifest { files, bytes, directories, complete: is_complete });
        if self.consent == Consent::Pending(None) {
            self.consent = Consent::Pending(Some(now + ASK_DELAY));
        }
    }

    /// A sender that was started again has more than what was the end before, whether or not its pages come.
    const fn take_back_end(&mut self) {
        (self.is_finishing, self.is_finished) = (false, false);
    }

    /// Does everything that can be done without waiting.
    fn advance(&mut self, now: Instant) {
        if self.is_over || self.full.is_some() {
            return;
        }
        self.advanced_at = Some(now);
        self.ask_consent(now);
        self.use_surveys();
        self.ask_conflict();
        self.ask_comparisons();
        self.send_wants();
        self.look_at_contradicted();
        self.start_barrier(now);
        let is_settled = self.window.is_empty() && self.ready.is_empty() && self.barrier.is_none();
        if self.end.is_some()
            && is_settled
            && self.may_finish()
            && self.unacked.is_empty()
            && !self.is_finishing
            && !self.is_finished
        {
            self.is_finishing = true;
            self.finish();
        }
    }

    fn send_complete(&mut self) {
        if self.link == LinkPhase::Receiving && self.completion.has_ended {
            self.send_missing();
            self.send(Message::Complete { outcome: self.settled.outcome() });
        }
    }

    fn protocol(&mut self, what: &str) {
        self.send(Message::Bye { reason: ByeReason::Protocol, text: bounded_text(what) });
        self.fail(Error::new(ErrorKind::Failure, format!("the sender broke the protocol: {what}")));
    }

    fn fail(&mut self, error: Error) {
        if !self.is_over {
            self.is_over = true;
            self.outputs.push_back(ReceiverOutput::Failed(error));
        }
    }

    fn disk(&mut self, request: TargetRequest) {
        self.outputs.push_back(ReceiverOutput::Disk(request));
    }

    fn send(&mut self, message: Message) {
        if !matches!(self.link, LinkPhase::Down | LinkPhase::Up(_)) {
            let channel = if matches!(message, Message::Ack { .. }) {
                Channel::Pulse
            } else {
                Channel::Control
            };
            self.outputs.push_back(ReceiverOutput::Send(channel, message));
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(ReceiverOutput::Event(event));
    }
}
