//! How long a run waits for whom: a receiver that has everything for its sender, and a run that has met nobody for a host and
//! the other side.

use super::{Session, SessionOutput};
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Layer, LinkState};
use crate::signal::Pace;
use crate::time::Instant;
use std::time::Duration;

/// How long a receiver that has everything looks for a sender that does not know yet.
/// A sender that was killed at the end is started again in that time, or by a person who sees that all is there.
const FAREWELL: Duration = Duration::from_secs(20);

/// The same in a run that has met nobody, where no host answers: the sender's own is gone with it.
const FAREWELL_ALONE: Duration = Duration::from_secs(5);

/// Connections to each host that may end without an answer before that is told.
const UNANSWERED_MAX: usize = 2;

/// Who is waited for, and until when.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Until when host and sender may be missing; `None`: as long as the budget of reconnections lasts.
    until: Option<Instant>,
    /// Whether the other side was met in this run.
    is_met: bool,
    /// A receiver that has everything: until when it looks for its sender.
    farewell: Option<Instant>,
    /// Connections to hosts in a row that ended without an answer.
    unanswered: usize,
}

impl Waiting {
    /// When [`Session::handle_waiting`] has something to do, and why.
    pub(super) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let farewell = self.farewell.map(|at| (at, "farewell"));
        let wait = self.until.filter(|_| !self.is_met).map(|at| (at, "wait"));
        farewell.into_iter().chain(wait).min()
    }

    /// The other side is there.
    pub(super) const fn meet(&mut self) {
        self.is_met = true;
    }

    /// A host has answered.
    pub(super) const fn hear(&mut self) {
        self.unanswered = 0;
    }

    /// The sender is connected: what it is told now, it can answer.
    pub(super) const fn end_farewell(&mut self) {
        self.farewell = None;
    }
}

impl Session {
    /// The run begins. `until`: how long host and sender may be missing, where the user said that.
    ///
    /// What an earlier run finished, and its sender did not acknowledge, is told it for a while, or for as long as the user said.
    pub fn handle_begin(&mut self, until: Option<Instant>, now: Instant) {
        self.waiting.until = until;
        self.waiting.farewell = self.has_everything().then(|| until.unwrap_or(now + FAREWELL));
    }

    /// Every address was tried, and nobody is at any of them. `is_absent`: hosts are, and the other side is not there.
    pub fn handle_nobody_there(&mut self, error: Error, is_absent: bool, now: Instant) {
        if !self.is_patient(now) {
            return self.fail(error);
        }
        if !is_absent {
            self.handle_host_unreachable(error.message);
        }
        if !self.waiting.is_met && self.waiting.until.is_none() {
            self.waiting.farewell = self.waiting.farewell.map(|at| at.min(now + FAREWELL_ALONE));
        }
    }

    /// A connection to one of `hosts` ended, and it had said nothing. One that takes connections and never answers is no better
    /// than none.
    pub fn handle_unanswered(&mut self, hosts: usize, error: Error, now: Instant) {
        self.waiting.unanswered += 1;
        if !self.waiting.unanswered.is_multiple_of(UNANSWERED_MAX * hosts.max(1)) {
            return;
        }
        if self.is_patient(now) {
            self.handle_host_unreachable(error.message);
        } else {
            self.fail(error);
        }
    }

    /// Who has something to continue, or was told to wait, tries on.
    fn is_patient(&self, now: Instant) -> bool {
        let waits = self.waiting.until.is_some_and(|until| now < until);
        self.waiting.is_met || self.is_paired() || waits
    }

    /// The link is in another state: who waits, waits for something else.
    pub(super) fn set_state(&mut self, state: LinkState, reason: &str, now: Instant) {
        let previous = std::mem::replace(&mut self.state, state);
        if previous == state {
            return;
        }
        match state {
            LinkState::Connected => {
                self.waiting.end_farewell();
                self.outputs.push_back(SessionOutput::HostPace(Pace::Relaxed));
            }
            LinkState::Disconnected => {
                self.outputs.push_back(SessionOutput::HostPace(Pace::Urgent));
                self.begin_farewell(now);
            }
            LinkState::New | LinkState::Connecting | LinkState::Failed | LinkState::Closed => {}
        }
        self.event(Event::Link { state, previous, reason: reason.to_owned() });
        if state == LinkState::Connected {
            self.outputs.push_back(SessionOutput::KeepAttempts);
        }
    }

    /// A layer has brought back what was lost; the attempts that it took are stored.
    pub(super) fn say_back(
        &mut self,
        layer: Layer,
        after_ms: u64,
        kept_bytes: u64,
        resent_bytes: u64,
    ) {
        self.event(Event::Recovered { layer, after_ms, kept_bytes, resent_bytes });
        self.outputs.push_back(SessionOutput::KeepAttempts);
    }

    /// The sender is gone: a receiver that has everything looks for it, and no longer than a while.
    pub(super) fn begin_farewell(&mut self, now: Instant) {
        if !self.has_everything() || self.waiting.farewell.is_some() {
            return;
        }
        self.waiting.farewell = Some(now + FAREWELL);
        let seconds = FAREWELL.as_secs();
        let message = if self.is_finished() {
            format!("everything is here and verified; waiting up to {seconds} s to tell the sender")
        } else {
            format!(
                "everything that was sent before is here and verified; waiting up to {seconds} s for the sender, which may \
                 have more"
            )
        };
        self.event(Event::Warning { code: "farewell".to_owned(), message });
    }

    /// What is due by now of [`Waiting::poll_timeout`].
    pub(super) fn handle_waiting(&mut self, now: Instant) {
        if self.waiting.farewell.is_some_and(|at| now >= at) {
            self.waiting.farewell = None;
            self.outputs.push_back(SessionOutput::EndAlone);
        }
        if !self.waiting.is_met && self.waiting.until.is_some_and(|at| now >= at) {
            let text = "the sender did not come in the time of --wait";
            let error = self.with_reason(Error::new(ErrorKind::Unreachable, text));
            self.waiting.until = None;
            self.fail(error);
        }
    }
}
