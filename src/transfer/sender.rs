//! The sender: pages and units to whoever may have them, in order, as far as the receiver does not have them yet.
//!
//! ```text
//!            link up                 request fits              End sent, everything settled
//!   Idle ───────────────▶ Waiting ────────────────▶ Sending ──────────────────────────────▶ Done
//!     ◀──────────────────────┴─────────────────────────┘   link down: forget what was in flight
//! ```
//!
//! A new link starts like the first one: nothing that happened on an earlier link is assumed, all of it is in the
//! [`RecoveryRequest`]. Reads come back in the order they were asked for, so a queue of what is in flight says what
//! each one is for.

mod acks;
mod changes;
mod compare;
mod early;
mod left_out;
mod link_run;
mod plan;
mod roots;
mod sending;
mod steady;

use super::disk::{ScanReport, SourceReply, SourceRequest, Stamp, StoredPage};
use super::layout::Layout;
use super::manifest::{
    Chain, DirectoryTable, EntryIndex, ManifestError, Page, PageCheck, Succession, Totals,
};
use super::message::{ByeReason, Message, RecoveryRequest, bounded_text};
use super::missing::{LeftOut, LeftOuts, MissingKind, Outcome};
use super::ranges::Ranges;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::transfer::progress::Progress;
use crate::wire::{Channel, SessionId};
use bytes::Bytes;
use changes::Doubt;
use compare::Compare;
use link_run::LinkRun;
use plan::Plan;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the sender asks of its surroundings.
#[derive(Clone, Debug, PartialEq)]
pub enum SenderOutput {
    /// Disk work.
    Disk(SourceRequest),
    /// A message on a channel other than [`Channel::Data`].
    Send(Channel, Message),
    /// A fact to show.
    Event(Event),
    /// The receiver said what it has, which need not go out again.
    Answered {
        /// Of content, to within a page's differing sizes of units.
        kept_bytes: u64,
    },
    /// Everything is settled and the receiver knows that we know.
    Done,
    /// The session cannot go on with this peer.
    Failed(Error),
}

/// Where a page lies: what is kept of every page.
#[derive(Clone, Copy, Debug)]
struct PageSpan {
    first_entry: EntryIndex,
    first_unit: u64,
    end_unit: u64,
    bytes: u64,
    files: u64,
    /// Chain value before this page.
    chain: Chain,
}

/// Files whose newer stamps are remembered, at most. One that is not is taken for one that moved while it was read: it is
/// read twice.
const STAMPS_MAX: usize = 100_000;

/// The sender's machine.
#[derive(Debug)]
pub struct Sender {
    session: SessionId,
    check: PageCheck,
    spans: Vec<PageSpan>,
    directories: DirectoryTable,
    chain: Chain,
    end: Option<(u64, Totals, Chain)>,
    run: Option<LinkRun>,
    /// Replies still to come for reads of links that are gone.
    stale_replies: usize,
    /// Units that went out on any link of this run.
    sent_units: Ranges,
    /// Entries that could not be read as promised, and why.
    failed_entries: BTreeMap<EntryIndex, (MissingKind, String)>,
    /// Entries that were found changed: the scan, or another look after its end, may offer their new version.
    doubtful: BTreeMap<EntryIndex, Doubt>,
    /// How often the entries that another look offered were found changed before.
    tries: BTreeMap<EntryIndex, u32>,
    /// Whether another look is under way, on this link or an earlier one.
    is_looking: bool,
    /// Entries whose new version is promised: nothing of the old one is sent any more.
    superseded: Ranges,
    /// Of which of them nothing is left.
    succession: Succession,
    /// What files are now that have newer metadata than their pages say, of the first [`STAMPS_MAX`].
    stamps: BTreeMap<EntryIndex, Stamp>,
    left_outs: LeftOuts,
    /// Those whose directory is of a page that is still to come.
    left_outs_untold: VecDeque<LeftOut>,
    /// What the receiver named as missing.
    missing: BTreeSet<EntryIndex>,
    progress: Progress,
    outputs: VecDeque<SenderOutput>,
    is_done: bool,
    had_no_link: bool,
    /// Whether what the receiver has was moved by earlier runs.
    is_first_link: bool,
    /// Whether a receiver ever said what it has: from then on it may have something.
    was_asked: bool,
}

impl Sender {
    /// A sender with nothing scanned yet.
    #[must_use]
    pub fn new(session: SessionId) -> Self {
        Self {
            session,
            check: PageCheck::new(),
            spans: Vec::new(),
            directories: DirectoryTable::new(),
            chain: Chain::start(session),
            end: None,
            run: None,
            stale_replies: 0,
            sent_units: Ranges::new(),
            failed_entries: BTreeMap::new(),
            doubtful: BTreeMap::new(),
            tries: BTreeMap::new(),
            is_looking: false,
            superseded: Ranges::new(),
            succession: Succession::default(),
            stamps: BTreeMap::new(),
            left_outs: LeftOuts::default(),
            left_outs_untold: VecDeque::new(),
            missing: BTreeSet::new(),
            progress: Progress::default(),
            outputs: VecDeque::new(),
            is_done: false,
            had_no_link: true,
            is_first_link: false,
            was_asked: false,
        }
    }

    /// The scan found something.
    pub fn handle_scan(&mut self, report: ScanReport) {
        match report {
            ScanReport::Page(stored) => {
                if let Err(error) = self.add_page(&stored) {
                    self.fail(Error::new(
                        ErrorKind::Failure,
                        format!("the scan made a bad manifest page: {error}"),
                    ));
                }
            }
            ScanReport::LeftOut(left_out) => self.on_left_out(left_out),
            ScanReport::End { totals, .. } if totals.entries == 0 => self.fail(Error::new(
                ErrorKind::Failure,
                "there is nothing to send: everything that was named is left out",
            )),
            ScanReport::End { pages, chain, .. } => {
                // As the receiver counts: what a later version replaces is no file.
                let totals = self.check.totals();
                self.end = Some((pages, totals, chain));
                self.progress.totals = totals;
                self.progress.is_complete = true;
                self.on_estimate(true);
            }
            ScanReport::Failed(error) => self.fail(Error::new(ErrorKind::Disk, error.to_string())),
        }
        self.advance();
    }

    /// The channels of a link are open. `takes_early`: the receiver takes an answer before its request, and no earlier run
    /// had a receiver.
    pub fn handle_link_up(&mut self, takes_early: bool) {
        self.handle_link_down();
        self.run = Some(LinkRun::default());
        self.is_first_link = std::mem::take(&mut self.had_no_link);
        self.progress.bytes = 0;
        self.progress.files = 0;
        self.on_estimate(self.end.is_some());
        if takes_early && !self.was_asked {
            self.answer_early();
        }
    }

    /// The link is gone: what was in flight is forgotten.
    pub fn handle_link_down(&mut self) {
        self.progress = self.sent_progress();
        if let Some(run) = self.run.take() {
            run.never_sent().0.into_iter().for_each(|unit| self.sent_units.remove(unit));
            self.stale_replies += run.in_flight.len();
        }
        // They are read again on the next link.
        self.doubtful.clear();
    }

    /// The peer said something.
    pub fn handle_message(&mut self, message: Message) {
        self.hear_early(&message);
        match message {
            Message::RecoveryRequest(request) => self.on_recovery_request(&request),
            Message::Want { page, unwanted, units } => {
                match (unwanted.to_ranges(), units.to_ranges()) {
                    (Some(unwanted), Some(units)) => self.on_want(page, &Plan { unwanted, units }),
                    _ => self.protocol("a want is not made of ranges"),
                }
            }
            Message::Resend { unit, unwanted } => match unwanted.to_ranges() {
                Some(unwanted) => self.on_resend(unit, unwanted),
                None => self.protocol("a resend is not made of ranges"),
            },
            Message::Ack { units } => match units.to_ranges() {
                Some(units) => self.on_ack(&units),
                None => self.protocol("an acknowledgement is not made of ranges"),
            },
            Message::Complete { outcome } => self.on_complete(outcome),
            Message::Missing { entries } => self.on_missing(entries),
            Message::Compare { page, entries } => match entries.to_ranges() {
                Some(entries) => self.on_compare(page, &entries),
                None => self.protocol("a comparison is not made of ranges"),
            },
            Message::BucketEntries { bucket, files } => self.on_bucket_entries(bucket, files),
            Message::RecoveryAnswer { .. }
            | Message::Estimate { .. }
            | Message::Page { .. }
            | Message::End { .. }
            | Message::Unit { .. }
            | Message::FileRoot { .. }
            | Message::EntryFailed { .. }
            | Message::ExpandBuckets { .. }
            | Message::Contradict { .. }
            | Message::EarlyAnswer
            | Message::Gone { .. }
            | Message::LeftOut { .. }
            | Message::Roots { .. }
            | Message::CompleteAck => self.protocol("a message that only a sender sends"),
            // The session's own.
            Message::Ping { .. } | Message::Pong { .. } | Message::Bye { .. } | Message::Busy => {}
        }
        self.advance();
    }

    /// Content arrived: receivers send none.
    pub fn handle_body(&mut self) {
        self.protocol("content from a receiver");
    }

    /// The disk did something.
    pub fn handle_disk(&mut self, reply: SourceReply) {
        // Its page is stored, whatever became of the link.
        if let SourceReply::LookedAgain { page, failed } = &reply {
            self.on_looked_again(page, failed);
        }
        if self.stale_replies > 0 {
            self.stale_replies -= 1;
        } else {
            self.on_disk(reply);
        }
        self.advance();
    }

    /// What the surroundings shall do next.
    pub fn poll_output(&mut self) -> Option<SenderOutput> {
        self.outputs.pop_front()
    }

    /// The next frame for [`Channel::Data`]; asked for only while the channel takes more.
    pub fn poll_frame(&mut self) -> Option<Bytes> {
        let frame = self.run.as_mut()?.frames.pop_front();
        if frame.is_some() {
            self.advance();
        }
        frame
    }

    /// Whether a frame waits for [`Channel::Data`].
    #[must_use]
    pub fn has_frame(&self) -> bool {
        self.run.as_ref().is_some_and(|run| !run.frames.is_empty())
    }

    /// Bytes that the link took for [`Channel::Data`] and did not send, so far: they went over no wire, and where the
    /// link is lost they never will.
    pub const fn handle_unsent(&mut self, bytes: u64) {
        if let Some(run) = &mut self.run {
            run.unsent_bytes = bytes;
        }
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let (unacked, waiting) =
            self.run.as_ref().map_or((0, 0), LinkRun::unacked_and_waiting_bytes);
        Progress { moving_bytes: unacked.saturating_sub(waiting), ..self.sent_progress() }
    }

    /// With what went over the wire; not with what waits to.
    fn sent_progress(&self) -> Progress {
        let (_, bytes, again) = self.run.as_ref().map(LinkRun::never_sent).unwrap_or_default();
        Progress {
            wire_bytes: self.progress.wire_bytes.saturating_sub(bytes),
            resent_bytes: self.progress.resent_bytes.saturating_sub(again),
            ..self.progress
        }
    }

    /// Whether the receiver is waited for with data under way (for a watchdog).
    #[must_use]
    pub fn is_sending(&self) -> bool {
        self.run.as_ref().is_some_and(|run| !run.unacked.is_empty() || !run.frames.is_empty())
    }

    fn add_page(&mut self, stored: &StoredPage) -> Result<(), String> {
        let page = Page::decode(&stored.encoded).map_err(|error| error.to_string())?;
        let verdicts = self.check.check(&page).map_err(|error: ManifestError| error.to_string())?;
        let first_unit = self.spans.last().map_or(0, |span| span.end_unit);
        let layout = Layout::new(&page, &verdicts, first_unit);
        let mut totals = Totals::default();
        page.entries.iter().for_each(|entry| totals.add(entry));
        let Totals { files, bytes, .. } = totals;
        self.spans.push(PageSpan {
            first_entry: page.first_entry,
            first_unit,
            end_unit: layout.end_unit,
            bytes,
            files,
            chain: self.chain,
        });
        self.chain = self.chain.extend(&stored.encoded);
        self.directories.add_page(&page);
        page.entries
            .iter()
            .filter_map(|entry| entry.supersedes)
            .for_each(|old| self.supersede(old));
        self.succession.add_page(&page);
        self.take_stamps(&page, &stored.stamps);
        self.progress.totals = self.check.totals();
        self.tell_left_outs();
        self.on_estimate(false);
        Ok(())
    }

    /// Tells user and peer how much there is, so far or in all.
    fn on_estimate(&mut self, is_complete: bool) {
        let totals = self.progress.totals;
        self.event(Event::Manifest {
            files: totals.files,
            bytes: totals.bytes,
            directories: totals.directories,
            complete: is_complete,
        });
        if self.run.is_some() {
            self.send(Message::Estimate { totals, is_complete });
        }
    }

    fn on_complete(&mut self, outcome: Outcome) {
        let Some(run) = &self.run else { return };
        let Some((pages, totals, _)) = self.end.filter(|_| run.end_sent) else {
            return self.protocol("it completed a manifest that is not complete");
        };
        if run.next_page < pages {
            return self.protocol("it completed pages that it never got");
        }
        // What failed at an earlier moment the receiver may have got since, or not want.
        let (failed, skipped) = (self.left_outs.failed(), self.left_outs.skipped());
        if outcome.lost() < failed {
            return self.protocol("it has what was never sent");
        }
        if !outcome.fits(&totals, failed.saturating_add(skipped)) {
            return self.protocol("it counts more than it was sent");
        }
        // Acknowledgements travel unordered: the last may still be on its way.
        let mut everything = Ranges::new();
        everything.insert_range(0..u64::MAX);
        self.on_ack(&everything);
        self.progress.outcome = outcome;
        self.send(Message::CompleteAck);
        self.is_done = true;
        self.outputs.push_back(SenderOutput::Done);
    }

    fn protocol(&mut self, what: &str) {
        let text = format!("the receiver broke the protocol: {what}");
        self.send(Message::Bye { reason: ByeReason::Protocol, text: bounded_text(what) });
        self.fail(Error::new(ErrorKind::Failure, text));
    }

    fn fail(&mut self, error: Error) {
        if !self.is_done {
            self.is_done = true;
            // What a disk did wrong may be right in the next run: the receiver waits for it.
            if error.kind == ErrorKind::Disk {
                let text = bounded_text(&error.message);
                self.send(Message::Bye { reason: ByeReason::Disk, text });
            }
            self.outputs.push_back(SenderOutput::Failed(error));
        }
    }

    fn send(&mut self, message: Message) {
        self.outputs.push_back(SenderOutput::Send(Channel::Control, message));
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(SenderOutput::Event(event));
    }

    fn on_recovery_request(&mut self, request: &RecoveryRequest) {
        if request.session != self.session {
            self.send(Message::Bye {
                reason: ByeReason::NoSession,
                text: "another session".to_owned(),
            });
            return self
                .fail(Error::new(ErrorKind::Failure, "the receiver asks for another session"));
        }
        if self.settle_early(request) {
            return;
        }
        let Some(run) = &mut self.run else { return };
        self.was_asked = true;
        match Plan::from_request(request) {
            Some(recovery) if run.recovery.is_none() => {
                run.recovery = Some(recovery);
                run.compare = Compare::new(&request.digests);
            }
            _ => self.protocol("its recovery request is malformed or repeated"),
        }
    }

    /// Answers the recovery request once the scan has come as far as it.
    fn answer(&mut self) {
        let Some(recovery) = self.run.as_mut().and_then(|run| run.recovery.as_mut()) else {
            return;
        };
        let known = self.spans.len() as u64;
        if recovery.is_answered || (recovery.pages > known && self.end.is_none()) {
            return;
        }
        let span = usize::try_from(recovery.pages).ok().and_then(|pages| self.spans.get(pages));
        let ours = span.map(|span| span.chain).or((recovery.pages == known).then_some(self.chain));
        if ours != Some(recovery.chain) {
            let text = "the manifest is not the one that this session began with";
            self.send(Message::Bye { reason: ByeReason::NoSession, text: text.to_owned() });
            let error = Error::new(
                ErrorKind::Failure,
                "the receiver's manifest is not the one of this session",
            );
            return self.fail(
                error.with_hint("what was sent has changed since: send with --new to start afresh"),
            );
        }
        let pages = recovery.pages;
        if !self.fits_pages(pages) {
            return self.protocol("its digests are not of pages that it has");
        }
        if let Some(recovery) = self.run.as_mut().and_then(|run| run.recovery.as_mut()) {
            recovery.is_answered = true;
        }
        let kept_bytes = self.held_bytes();
        self.outputs.push_back(SenderOutput::Answered { kept_bytes });
        self.send_data(&Message::RecoveryAnswer { pages });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::disk::DiskError;

    #[test]
    fn a_scan_that_fails_is_told_to_the_receiver() {
        let mut sender = Sender::new(SessionId([1; 16]));
        sender.handle_link_up(false);
        sender.handle_scan(ScanReport::Failed(DiskError {
            operation: "read",
            path: "gone".to_owned(),
            kind: crate::transfer::disk::DiskErrorKind::Other,
            message: "gone".to_owned(),
        }));
        let outputs: Vec<_> = std::iter::from_fn(|| sender.poll_output()).collect();
        let said = outputs.iter().position(|output| {
            matches!(output, SenderOutput::Send(_, Message::Bye { reason: ByeReason::Disk, .. }))
        });
        let failed = outputs.iter().position(|output| matches!(output, SenderOutput::Failed(_)));
        assert!(said.is_some() && said < failed, "{outputs:?}");
    }
}
