//! When the receiver tries again, and what makes it hurry.

use super::{Entrance, Joiner, Joining, OPEN_TIMEOUT, Phase};
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Layer};
use crate::link::LinkCommand;
use crate::options::Timing;
use crate::session::meeting::MeetingOutput;
use crate::session::recovery::Schedule;
use crate::time::Instant;
use crate::wire::MemberId;

impl Joining {
    /// Other delays and tries than the usual ones.
    pub fn set_timing(&mut self, timing: &Timing) {
        self.schedule = Schedule::new(timing);
    }

    /// Whether host and sender are there; that they have come is reason to try at once.
    pub fn set_reachable(&mut self, is_reachable: bool, now: Instant) {
        let was_reachable = std::mem::replace(&mut self.is_reachable, is_reachable);
        if is_reachable && !was_reachable {
            self.handle_evidence(now);
        }
    }

    /// There is reason to believe that a try would work now; cuts a planned wait short, and nothing else.
    pub fn handle_evidence(&mut self, now: Instant) {
        if let Phase::Waiting(Some(planned)) = self.phase {
            let at = self.schedule.handle_evidence(planned, self.entropy.next_u32(), now);
            self.phase = Phase::Waiting(Some(at));
        }
    }

    /// Welcomes that were late, repeated or of another try, and were dropped (X2).
    #[must_use]
    pub const fn stale_answers(&self) -> u64 {
        self.stale_answers
    }

    /// Starts a connection and asks for its offer.
    pub(super) fn start(&mut self, now: Instant) {
        self.schedule.handle_try(now);
        self.build(now);
    }

    /// A connection for the kind of packets that the sender takes, as far as is known, and its offer.
    pub(super) fn build(&mut self, now: Instant) {
        self.attempt += 1;
        self.offer = None;
        // A hello with the offer of an earlier connection is of no use any more: this is another run.
        if let (None, false, Entrance::Code(code)) =
            (self.session, self.owes_storing, &self.config.entrance)
        {
            self.joiner = Joiner::for_code(code, self.config.capabilities, self.joiner.runs());
        }
        self.candidates.clear();
        self.phase = Phase::Offering(now + OPEN_TIMEOUT);
        self.outputs.push_back(MeetingOutput::StartLink { is_carried: self.is_carried });
        self.outputs.push_back(MeetingOutput::Link(LinkCommand::Offer));
    }

    /// The link is lost, or a try failed: the next one.
    pub(super) fn plan(&mut self, now: Instant) {
        let jitter = self.entropy.next_u32();
        let plan = self.schedule.handle_lost(self.is_reachable, jitter, now);
        let delay = plan.at.saturating_duration_since(now);
        tracing::debug!(target: "rejoin::recovery", attempt = plan.attempt, ?delay, "another try");
        self.outputs.push_back(MeetingOutput::Event(Event::Reconnecting {
            layer: Layer::Connection,
            attempt: plan.attempt,
            of: self.schedule.tries_max(),
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        }));
        if plan.is_manual {
            self.outputs.push_back(MeetingOutput::Manual);
        }
        self.phase = Phase::Waiting(Some(plan.at));
    }

    pub(super) fn is_out_of_time(&self, now: Instant) -> bool {
        self.lost_at.is_some_and(|lost| now >= lost + self.config.retry_for)
    }

    pub(super) fn give_up(&mut self) {
        let error = if self.was_up {
            Error::new(
                ErrorKind::Interrupted,
                "the connection could not be restored in the time of --retry-for",
            )
        } else {
            Error::new(ErrorKind::Unreachable, "no connection to the sender could be made")
                .with_hint("see whether a firewall blocks UDP; --turn names a relay")
        };
        self.fail(error);
    }

    /// The host says that the sender is not there: the hello went nowhere, and nobody will answer it.
    pub(super) fn on_peer_unknown(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Greeted(_)) {
            // The sender comes back with the deposit that we used for nothing.
            self.used_deposit = None;
            self.deposit = None;
            self.on_link_lost("the sender is not there", now);
        }
    }

    pub(super) fn on_stale_answer(&mut self, from: MemberId) {
        self.stale_answers += 1;
        tracing::info!(target: "rejoin::recovery", %from, count = self.stale_answers, "a late answer was dropped");
    }
}
