//! Counts what happens to the link of one run, from the events that a person is told: for `stats` and the session record.
//!
//! Pure. It is fed at one place, where the loop tells an event, and gives out what was counted since it was last asked.

use crate::event::{Event, Layer, LinkState, Summary};
use crate::store::record::{Attempt, AttemptOutcome};
use crate::store::statistics::Statistics;
use crate::time::Instant;
use std::time::Duration;

/// What is counted of one run.
#[derive(Debug)]
pub struct Tally {
    share: Statistics,
    attempts: Vec<Attempt>,
    started: Instant,
    /// Whether this run continues a stored session and has no link yet.
    is_restarting: bool,
    was_connected: bool,
    /// When each layer's attempt at hand began, in milliseconds since 1970.
    pending: [Option<u64>; 3],
}

const fn index(layer: Layer) -> usize {
    match layer {
        Layer::Ice => 0,
        Layer::Host => 1,
        Layer::Connection => 2,
    }
}

impl Tally {
    /// Of a run that begins; `is_resumed`: with a session of an earlier one.
    #[must_use]
    pub fn new(is_resumed: bool, now: Instant) -> Self {
        let mut share = Statistics::default();
        share.restart.attempts = u64::from(is_resumed);
        Self {
            share,
            attempts: Vec::new(),
            started: now,
            is_restarting: is_resumed,
            was_connected: false,
            pending: [None; 3],
        }
    }

    /// A person is told this; `unix_ms` in milliseconds since 1970.
    pub fn handle_event(&mut self, event: &Event, now: Instant, unix_ms: u64) {
        match event {
            Event::Reconnecting { layer, .. } => {
                self.end_attempt(*layer, AttemptOutcome::TimedOut);
                self.share.layer_mut(*layer).attempts += 1;
                self.pending[index(*layer)] = Some(unix_ms);
            }
            Event::Recovered { layer, after_ms, .. } => {
                self.on_recovered(*layer, *after_ms, unix_ms)
            }
            // The first connection of a run is an attempt of the record, and no recovery.
            Event::Link { state: LinkState::Connecting, .. } if !self.was_connected => {
                self.end_attempt(Layer::Connection, AttemptOutcome::TimedOut);
                self.pending[index(Layer::Connection)] = Some(unix_ms);
            }
            Event::Link { state: LinkState::Connected, .. } => {
                if std::mem::take(&mut self.is_restarting) {
                    self.share.restart.successes += 1;
                    self.share
                        .restart
                        .times
                        .add(millis(now.saturating_duration_since(self.started)));
                }
                if !std::mem::replace(&mut self.was_connected, true) {
                    self.end_attempt(Layer::Connection, AttemptOutcome::Connected);
                }
            }
            Event::Link { state: LinkState::Disconnected | LinkState::Failed, reason, .. } => {
                self.share.add_cause(reason);
            }
            Event::Link { .. }
            | Event::Session { .. }
            | Event::Code { .. }
            | Event::Peer { .. }
            | Event::Connected { .. }
            | Event::Manifest { .. }
            | Event::Progress { .. }
            | Event::File { .. }
            | Event::Manual { .. }
            | Event::Warning { .. }
            | Event::Waiting { .. }
            | Event::Left { .. }
            | Event::Error { .. }
            | Event::Done(_) => {}
        }
    }

    fn on_recovered(&mut self, layer: Layer, after_ms: u64, unix_ms: u64) {
        // The side that only answers is told of the recovery alone.
        if self.pending[index(layer)].is_none() {
            self.share.layer_mut(layer).attempts += 1;
            self.pending[index(layer)] = Some(unix_ms);
        }
        let own = self.share.layer_mut(layer);
        own.successes += 1;
        own.times.add(after_ms);
        self.end_attempt(layer, AttemptOutcome::Connected);
        // What else was tried for the same link did not bring it.
        if layer != Layer::Host {
            self.end_attempt(Layer::Ice, AttemptOutcome::Failed);
            self.end_attempt(Layer::Connection, AttemptOutcome::Failed);
        }
    }

    fn end_attempt(&mut self, layer: Layer, outcome: AttemptOutcome) {
        if let Some(at) = self.pending[index(layer)].take() {
            self.attempts.push(Attempt::new(at, layer, outcome));
        }
    }

    /// The run is over; `cause`: why, if it did not get through.
    pub fn handle_end(&mut self, summary: &Summary, cause: Option<&str>) {
        for layer in [Layer::Ice, Layer::Host, Layer::Connection] {
            self.end_attempt(layer, AttemptOutcome::Failed);
        }
        self.share.runs += 1;
        self.share.completed += u64::from(cause.is_none());
        self.share.wire_bytes = self.share.wire_bytes.saturating_add(summary.wire_bytes);
        self.share.kept_bytes = self.share.kept_bytes.saturating_add(summary.kept_bytes);
        self.share.resent_bytes = self.share.resent_bytes.saturating_add(summary.resent_bytes);
        if let Some(cause) = cause {
            self.share.add_cause(&format!("ended, {cause}"));
        }
    }

    /// What was counted since the last call, as of `unix` seconds since 1970; none where nothing was.
    pub fn take_share(&mut self, unix: u64) -> Option<Statistics> {
        let share = std::mem::take(&mut self.share);
        (share != Statistics::default()).then_some(Statistics { since: unix, ..share })
    }

    /// A share that could not be stored: it goes with the next one.
    pub fn give_back(&mut self, share: &Statistics) {
        self.share.merge(share);
    }

    /// The attempts that ended since the last call.
    pub fn take_attempts(&mut self) -> Vec<Attempt> {
        std::mem::take(&mut self.attempts)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(state: LinkState, reason: &str) -> Event {
        Event::Link { state, previous: LinkState::New, reason: reason.to_owned() }
    }

    fn reconnecting(layer: Layer, attempt: u32) -> Event {
        Event::Reconnecting { layer, attempt, of: 5, delay_ms: 0 }
    }

    fn recovered(layer: Layer, after_ms: u64) -> Event {
        Event::Recovered { layer, after_ms, kept_bytes: 0, resent_bytes: 0 }
    }

    fn tally(is_resumed: bool, events: &[Event]) -> Tally {
        let now = Instant::now();
        let mut tally = Tally::new(is_resumed, now);
        for (at, event) in events.iter().enumerate() {
            let at = at as u64;
            tally.handle_event(event, now + Duration::from_secs(at), at);
        }
        tally
    }

    fn outcomes(tally: &mut Tally) -> Vec<(Layer, AttemptOutcome, u64)> {
        let attempts = tally.take_attempts();
        attempts.iter().map(|attempt| (attempt.layer(), attempt.outcome, attempt.at)).collect()
    }

    #[test]
    fn tries_and_recoveries_are_counted_by_layer() {
        use AttemptOutcome::{Connected, Failed, TimedOut};
        let mut tally = tally(
            false,
            &[
                link(LinkState::Connecting, ""),
                link(LinkState::Connected, ""),
                link(LinkState::Disconnected, "three pings were not answered"),
                reconnecting(Layer::Ice, 1),
                reconnecting(Layer::Connection, 1),
                link(LinkState::Connecting, ""),
                reconnecting(Layer::Connection, 2),
                link(LinkState::Connected, ""),
                recovered(Layer::Connection, 4_000),
                reconnecting(Layer::Host, 1),
            ],
        );
        tally.handle_end(&Summary { kept_bytes: 9, ..Summary::default() }, None);
        let share = tally.take_share(77).unwrap();
        assert_eq!((share.ice.attempts, share.ice.successes), (1, 0));
        assert_eq!((share.connection.attempts, share.connection.successes), (2, 1));
        assert_eq!(share.connection.times.max_ms(), Some(4_000));
        assert_eq!((share.host.attempts, share.host.successes), (1, 0));
        assert_eq!((share.runs, share.completed, share.kept_bytes, share.since), (1, 1, 9, 77));
        assert_eq!(share.causes.len(), 1);
        assert_eq!(share.restart.attempts, 0);
        assert_eq!(
            outcomes(&mut tally),
            [
                (Layer::Connection, Connected, 0),
                (Layer::Connection, TimedOut, 4),
                (Layer::Connection, Connected, 6),
                (Layer::Ice, Failed, 3),
                (Layer::Host, Failed, 9),
            ]
        );
        assert_eq!(tally.take_share(78), None);
        assert_eq!(outcomes(&mut tally), []);
    }

    #[test]
    fn a_run_that_continues_is_a_recovery_of_its_own() {
        let mut tally =
            tally(true, &[link(LinkState::Connecting, ""), link(LinkState::Connected, "")]);
        let share = tally.take_share(1).unwrap();
        assert_eq!((share.restart.attempts, share.restart.successes), (1, 1));
        assert_eq!(share.restart.times.max_ms(), Some(1_000));
        assert_eq!(share.connection.attempts, 0);
        let mut never = super::Tally::new(true, Instant::now());
        never.handle_end(&Summary::default(), Some("unreachable"));
        let share = never.take_share(1).unwrap();
        assert_eq!((share.restart.attempts, share.restart.successes, share.completed), (1, 0, 0));
        assert_eq!(share.causes["ended, unreachable"], 1);
    }

    #[test]
    fn the_side_that_answers_counts_the_attempt_with_its_success() {
        let mut tally = tally(false, &[recovered(Layer::Ice, 5), recovered(Layer::Ice, 6)]);
        let share = tally.take_share(1).unwrap();
        assert_eq!((share.ice.attempts, share.ice.successes), (2, 2));
        tally.give_back(&share);
        assert_eq!(tally.take_share(1), Some(share));
    }
}
