//! Where the time of a run's beginning goes: each step the first time it is reached, in the log (`-vv`).

use crate::link::{IceState, LinkEvent};
use std::time::Instant;

/// What a run waits for, one after the other; several overlap, so each line says when, and how long after the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    HostConnected,
    HostAnswered,
    LinkStarted,
    DescriptionReady,
    PeerMet,
    PathFound,
    HandshakeOver,
    ChannelsOpen,
    FirstWord,
    FirstData,
    Done,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::HostConnected => "connected to the host",
            Self::HostAnswered => "the host answered",
            Self::LinkStarted => "sockets open",
            Self::DescriptionReady => "own description ready",
            Self::PeerMet => "the peer's description came",
            Self::PathFound => "ICE: a path",
            Self::HandshakeOver => "DTLS: secured",
            Self::ChannelsOpen => "SCTP: channels open",
            Self::FirstWord => "the peer's first message",
            Self::FirstData => "the first of the data channel: answer and manifest",
            Self::Done => "done",
        }
    }

    /// What an event of a link means for it.
    pub(super) const fn of(event: &LinkEvent) -> Option<Self> {
        match event {
            LinkEvent::LocalDescription { .. } => Some(Self::DescriptionReady),
            LinkEvent::Ice(IceState::Connected) => Some(Self::PathFound),
            LinkEvent::Secured => Some(Self::HandshakeOver),
            LinkEvent::Open => Some(Self::ChannelsOpen),
            LinkEvent::Ice(_)
            | LinkEvent::LocalCandidate(_)
            | LinkEvent::CandidatesEnd
            | LinkEvent::Path(_)
            | LinkEvent::Allocation { .. }
            | LinkEvent::Closed { .. } => None,
        }
    }
}

/// The steps of one run.
#[derive(Debug)]
pub(super) struct Timeline {
    start: Instant,
    last: Instant,
    reached: u16,
}

impl Timeline {
    pub(super) const fn new(now: Instant) -> Self {
        Self { start: now, last: now, reached: 0 }
    }

    /// Notes that `step` is reached; true the first time.
    pub(super) fn reach(&mut self, step: Step, now: Instant) -> bool {
        let bit = 1 << step as u16;
        if self.reached & bit != 0 {
            return false;
        }
        self.reached |= bit;
        let milliseconds =
            |since: Instant| now.saturating_duration_since(since).as_secs_f64() * 1e3;
        let (at, after) = (milliseconds(self.start), milliseconds(self.last));
        tracing::debug!(target: "rejoin::timeline", "{at:8.1} ms  +{after:6.1}  {}", step.name());
        self.last = now;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_noted_once() {
        let now = Instant::now();
        let mut timeline = Timeline::new(now);
        for step in [Step::HostConnected, Step::Done, Step::PeerMet] {
            assert!(timeline.reach(step, now));
            assert!(!timeline.reach(step, now));
        }
        assert_eq!(Step::of(&LinkEvent::Ice(IceState::Checking)), None);
        assert_eq!(Step::of(&LinkEvent::Open), Some(Step::ChannelsOpen));
    }
}
