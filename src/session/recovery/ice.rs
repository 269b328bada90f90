//! ICE restart in the same connection (layer A), at either end.
//!
//! ```text
//!            disconnected, address gone, by hand           grace over, host and peer there
//!   Steady ─────────────────────────────────────▶ Waiting ─────────────────────────────────▶ Offering
//!     ▲                                            ▲   │                                        │ answer
//!     │ bytes                 checks failed: delay │   │ ICE is back by itself                  ▼
//!     └──────────── Proving ◀──────────────────────┼───┴──────────────────────────────────── Checking
//!                      │ nothing within 1 s        └──────────────────────────────────────────┘
//!                      ▼
//!               given up (layer C); so too after 10 s of outage, a missed answer, or 3 tries
//! ```
//!
//! A restart drops the old sockets when it begins, so it is never done to a path that may still work, and never while its
//! answer could not come. Success is bytes of the peer, not `connected`: SCTP may have fallen silent (transport facts in
//! `docs/protocol.md`). The receiver offers, always; the sender answers, and may ask for an offer.

use super::{DELAY_MAX, STABLE_AFTER};
use crate::link::{IceState, LinkCommand};
use crate::options::Timing;
use crate::signal::message::SignalMessage;
use crate::time::{CircuitBreaker, Instant};
use std::collections::VecDeque;
use std::time::Duration;

/// How long an offer waits for its answer (X8, K-10).
const OFFERER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the answerer waits for ICE; longer than the offerer, so that not both give up at once (X8).
const ANSWERER_TIMEOUT: Duration = Duration::from_secs(20);

/// Once ICE is back, bytes must come within this and two round trips (design §7).
const PROOF_TIMEOUT: Duration = Duration::from_secs(1);

/// Taken for a round trip until one was measured: on a thin link a ping waits for a whole frame.
const RTT_UNKNOWN: Duration = Duration::from_secs(1);

/// After this SCTP sends too late to be waited for: its next tries are 15 and 31 s after the cut.
const OUTAGE_MAX: Duration = Duration::from_secs(10);

/// What a restart asks of the session around it.
#[derive(Debug, PartialEq, Eq)]
pub enum IceOutput {
    /// A command for the connection.
    Link(LinkCommand),
    /// A message for the peer, sealed, through the host.
    Signal(SignalMessage),
    /// Send a ping now: its answer is the proof.
    Ping,
    /// The path is lost: say so.
    Lost(&'static str),
    /// A restart begins.
    Restarting {
        /// Which try, from 1.
        attempt: u32,
        /// Tries in all.
        of: u32,
    },
    /// Bytes come through again.
    Recovered {
        /// Since the path was lost.
        after: Duration,
    },
    /// This connection is not worth waiting for: a new one is.
    GiveUp(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Steady,
    /// For the grace period, a delay, or host and peer.
    Waiting(Instant),
    /// The offer is asked of the connection, or on its way; until when its answer may come.
    Offering(Instant),
    /// Both descriptions are there; until when ICE may take.
    Checking(Instant),
    /// ICE is back since then.
    Proving(Instant),
}

/// The path of one link. It is told of facts and says what to do.
#[derive(Debug)]
pub struct IceRestart {
    is_offerer: bool,
    grace: Duration,
    tries_max: u32,
    delay: Duration,
    phase: Phase,
    is_reachable: bool,
    rtt: Duration,
    /// Number of the newest offer, ours or taken: an answer must name it (K-15).
    generation: u64,
    tries: u32,
    lost_at: Option<Instant>,
    steady_since: Option<Instant>,
    dropped: u64,
    /// Restarts that fail with this peer time and again are left out for a while, over all its links (K-12).
    breaker: CircuitBreaker,
    /// Whether a restart was begun whose outcome the breaker waits for.
    is_judged: bool,
    outputs: VecDeque<IceOutput>,
}

impl IceRestart {
    /// A path that works. The offerer is the receiver.
    #[must_use]
    pub const fn new(is_offerer: bool, timing: &Timing) -> Self {
        Self {
            is_offerer,
            grace: timing.ice_grace,
            tries_max: timing.ice_tries,
            delay: timing.ice_delay,
            phase: Phase::Steady,
            is_reachable: false,
            rtt: RTT_UNKNOWN,
            generation: 0,
            tries: 0,
            lost_at: None,
            steady_since: None,
            dropped: 0,
            breaker: CircuitBreaker::new(),
            is_judged: false,
            outputs: VecDeque::new(),
        }
    }

    /// Another link, or none: what went on in the last one is of no interest any more. Numbers and counts stay.
    pub fn handle_link_change(&mut self, now: Instant) {
        self.judge(now);
        self.phase = Phase::Steady;
        self.lost_at = None;
        self.steady_since = None;
        self.tries = 0;
    }

    /// Whether host and peer are there.
    pub fn set_reachable(&mut self, is_reachable: bool, now: Instant) {
        self.is_reachable = is_reachable;
        self.handle_timeout(now);
    }

    /// The last round trip: proof takes that much longer.
    pub const fn set_rtt(&mut self, rtt: Duration) {
        self.rtt = rtt;
    }

    /// The stack says how ICE is.
    pub fn handle_ice(&mut self, state: IceState, now: Instant) {
        match (state, self.phase) {
            (IceState::Disconnected, Phase::Steady) => {
                self.lose("ICE is disconnected", self.grace, now);
            }
            (IceState::Failed, Phase::Steady) => self.lose("ICE failed", Duration::ZERO, now),
            (IceState::Failed, Phase::Waiting(at)) => {
                // Nothing will come back by itself.
                self.phase = Phase::Waiting(if self.tries == 0 { now } else { at });
            }
            (IceState::Failed, Phase::Checking(_))
            | (IceState::Failed | IceState::Disconnected, Phase::Proving(_)) => self.try_later(now),
            (IceState::Connected, Phase::Waiting(_) | Phase::Checking(_)) => {
                self.phase = Phase::Proving(now);
                self.outputs.push_back(IceOutput::Ping);
            }
            _ => {}
        }
        self.handle_timeout(now);
    }

    /// The local address of the nominated pair is gone: nothing can come back by itself, so there is no grace.
    pub fn handle_address_gone(&mut self, now: Instant) {
        self.restart_at_once("the local address is gone", now);
    }

    /// A person, or the peer, wants a restart (K-16).
    pub fn handle_request(&mut self, now: Instant) {
        self.restart_at_once("a restart was asked for", now);
    }

    /// Our description is ready.
    pub fn handle_description(&mut self, sdp: String, now: Instant) {
        let generation = self.generation;
        match self.phase {
            Phase::Offering(_) if self.is_offerer => {
                self.outputs
                    .push_back(IceOutput::Signal(SignalMessage::RestartOffer { generation, sdp }));
            }
            Phase::Checking(_) | Phase::Proving(_) if !self.is_offerer => {
                self.outputs
                    .push_back(IceOutput::Signal(SignalMessage::RestartAnswer { generation, sdp }));
            }
            Phase::Steady
            | Phase::Waiting(_)
            | Phase::Offering(_)
            | Phase::Checking(_)
            | Phase::Proving(_) => {}
        }
        self.handle_timeout(now);
    }

    /// The peer offers a restart.
    pub fn handle_offer(&mut self, generation: u64, sdp: String, now: Instant) {
        if self.is_offerer || generation <= self.generation {
            return self.drop_stale(generation);
        }
        self.generation = generation;
        if self.phase == Phase::Steady {
            self.lose("the other side restarts ICE", Duration::ZERO, now);
        }
        self.phase = Phase::Checking(now + ANSWERER_TIMEOUT);
        self.outputs.push_back(IceOutput::Link(LinkCommand::Answer { offer: sdp }));
    }

    /// The peer answers a restart: only the newest, and only once.
    pub fn handle_answer(&mut self, generation: u64, sdp: String, now: Instant) {
        if !matches!(self.phase, Phase::Offering(_)) || generation != self.generation {
            return self.drop_stale(generation);
        }
        self.phase = Phase::Checking(now + ANSWERER_TIMEOUT);
        self.outputs.push_back(IceOutput::Link(LinkCommand::AcceptAnswer { answer: sdp }));
    }

    /// Authenticated bytes of the peer came in on the link.
    pub fn handle_activity(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Proving(_)) {
            return;
        }
        if std::mem::take(&mut self.is_judged) {
            self.breaker.handle_success();
        }
        self.phase = Phase::Steady;
        self.steady_since = Some(now);
        if let Some(lost_at) = self.lost_at.take() {
            let after = now.saturating_duration_since(lost_at);
            self.outputs.push_back(IceOutput::Recovered { after });
        }
    }

    /// A deadline of [`Self::poll_timeout`] passed, or may have.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|(at, _)| now < at) {
            return;
        }
        let is_too_long = self.lost_at.is_some_and(|lost_at| now >= lost_at + OUTAGE_MAX);
        match self.phase {
            Phase::Steady => {}
            Phase::Waiting(_) if self.tries >= self.tries_max => {
                self.give_up("ICE restarts are used up", now);
            }
            Phase::Waiting(_) if self.is_offerer && is_too_long => {
                self.give_up("the path was lost for too long", now);
            }
            Phase::Waiting(_) if !self.breaker.try_pass(now) => {
                self.give_up("restarts of ICE fail with this peer", now);
            }
            Phase::Waiting(_) => self.restart(now),
            Phase::Offering(_) => self.give_up("the restart of ICE was not answered", now),
            Phase::Checking(_) if self.is_offerer && !is_too_long => self.try_later(now),
            Phase::Checking(_) => self.give_up("ICE did not come back after its restart", now),
            Phase::Proving(_) => self.give_up("ICE is back, but nothing comes through", now),
        }
    }

    /// When to call [`Self::handle_timeout`], and why.
    ///
    /// Without host and peer there is nothing better than this connection: only its pings end it then.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let lost_at = self.lost_at?;
        let outage = (self.is_offerer && self.is_reachable)
            .then_some((lost_at + OUTAGE_MAX, "outage of the path"));
        let phase = match self.phase {
            Phase::Steady => return None,
            Phase::Waiting(at) if self.is_offerer && self.is_reachable => {
                Some((at, "restart of ICE"))
            }
            Phase::Waiting(_) => None,
            Phase::Offering(at) => Some((at, "answer to a restart")),
            Phase::Checking(at) => Some((at, "ICE after a restart")),
            Phase::Proving(since) => {
                let at = since + PROOF_TIMEOUT + 2 * self.rtt;
                return (self.is_offerer && self.is_reachable).then_some((at, "proof of the path"));
            }
        };
        phase.into_iter().chain(outage).min()
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<IceOutput> {
        self.outputs.pop_front()
    }

    /// Whether the path works, as far as is known.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        self.phase == Phase::Steady
    }

    /// Offers and answers that were late, repeated or foreign (X2).
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn lose(&mut self, reason: &'static str, grace: Duration, now: Instant) {
        if self.steady_since.take().is_some_and(|since| now >= since + STABLE_AFTER) {
            self.tries = 0;
        }
        let wait = if self.tries == 0 { grace } else { grace.max(self.next_delay()) };
        self.lost_at = Some(now);
        self.phase = Phase::Waiting(now + wait);
        self.outputs.push_back(IceOutput::Lost(reason));
    }

    fn restart_at_once(&mut self, reason: &'static str, now: Instant) {
        match self.phase {
            Phase::Steady => self.lose(reason, Duration::ZERO, now),
            Phase::Waiting(at) if self.tries == 0 => self.phase = Phase::Waiting(at.min(now)),
            // One at a time (K-14).
            Phase::Waiting(_) | Phase::Offering(_) | Phase::Checking(_) | Phase::Proving(_) => {
                return tracing::debug!(target: "rejoin::ice_restart", reason, "a restart is under way");
            }
        }
        if !self.is_offerer {
            self.outputs.push_back(IceOutput::Signal(SignalMessage::RestartRequest));
        }
        self.handle_timeout(now);
    }

    fn restart(&mut self, now: Instant) {
        self.is_judged = true;
        self.tries += 1;
        self.generation += 1;
        self.phase = Phase::Offering(now + OFFERER_TIMEOUT);
        let (attempt, of) = (self.tries, self.tries_max);
        self.outputs.push_back(IceOutput::Restarting { attempt, of });
        self.outputs.push_back(IceOutput::Link(LinkCommand::RestartIce));
    }

    /// Checks failed: the next try follows, unless there is none.
    fn try_later(&mut self, now: Instant) {
        self.judge(now);
        self.phase = Phase::Waiting(now + self.next_delay());
    }

    /// 5, 10, 20 s: before the second try and those after it (K-08).
    fn next_delay(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.tries.saturating_sub(1)).unwrap_or(u32::MAX);
        self.delay.saturating_mul(factor).min(DELAY_MAX)
    }

    /// A restart that was begun did not get the path back.
    fn judge(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_judged) {
            self.breaker.handle_failure(now);
        }
    }

    fn give_up(&mut self, reason: &'static str, now: Instant) {
        self.handle_link_change(now);
        self.outputs.push_back(IceOutput::GiveUp(reason));
    }

    fn drop_stale(&mut self, generation: u64) {
        self.dropped += 1;
        tracing::info!(target: "rejoin::ice_restart", generation, "a late or foreign description was dropped");
    }
}

#[cfg(test)]
mod tests;
