//! A circuit breaker: what keeps failing is left alone for a while, then tried carefully (K-12).
//!
//! ```text
//!            5 failures in a row              30 s over, one try let through
//!   Closed ─────────────────────▶ Open ──────────────────────────────────▶ HalfOpen
//!     ▲                            ▲                                        │    │
//!     │                            └──────────────── a failure ────────────┘    │
//!     └──────────────────────────────────────── 3 successes in a row ───────────┘
//! ```

use super::Instant;
use std::time::Duration;

/// Failures in a row that open it (K-12).
const FAILURES_MAX: u32 = 5;

/// How long it stays open (K-12).
const OPEN_FOR: Duration = Duration::from_secs(30);

/// Successes in a row that close it again (K-12).
const SUCCESSES_MIN: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All is let through; failures in a row.
    Closed(u32),
    /// Nothing is let through until then.
    Open(Instant),
    /// One try at a time is let through.
    HalfOpen { successes: u32, is_trying: bool },
}

/// The breaker of one thing that may fail: a peer, a TURN server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitBreaker {
    state: State,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::new()
    }
}

impl CircuitBreaker {
    /// A closed breaker.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Closed(0) }
    }

    /// Asks to try; `true` lets it through, and then its outcome must be told by [`Self::handle_success`] or
    /// [`Self::handle_failure`], for a breaker that is half open lets nothing else through before.
    pub fn try_pass(&mut self, now: Instant) -> bool {
        match &mut self.state {
            State::Closed(_) => true,
            State::Open(until) if now < *until => false,
            State::Open(_) => {
                self.state = State::HalfOpen { successes: 0, is_trying: true };
                true
            }
            State::HalfOpen { is_trying, .. } => !std::mem::replace(is_trying, true),
        }
    }

    /// What was let through worked.
    pub const fn handle_success(&mut self) {
        match &mut self.state {
            State::Closed(failures) => *failures = 0,
            State::HalfOpen { successes, is_trying } => {
                *successes += 1;
                *is_trying = false;
                if *successes >= SUCCESSES_MIN {
                    self.state = State::Closed(0);
                }
            }
            // Let through before it opened: says nothing about now.
            State::Open(_) => {}
        }
    }

    /// What was let through failed.
    pub fn handle_failure(&mut self, now: Instant) {
        match &mut self.state {
            State::Closed(failures) => {
                *failures += 1;
                if *failures >= FAILURES_MAX {
                    self.state = State::Open(now + OPEN_FOR);
                }
            }
            State::HalfOpen { .. } => self.state = State::Open(now + OPEN_FOR),
            State::Open(_) => {}
        }
    }

    /// When [`Self::try_pass`] may say yes again; `None` while it would now.
    #[must_use]
    pub fn opens_at(&self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Open(until) if now < until => Some(until),
            State::Closed(_) | State::Open(_) | State::HalfOpen { .. } => None,
        }
    }

    /// Whether anything is held back.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn opened(now: Instant) -> CircuitBreaker {
        let mut breaker = CircuitBreaker::new();
        for _ in 0..FAILURES_MAX {
            assert!(breaker.try_pass(now) && breaker.is_closed());
            breaker.handle_failure(now);
        }
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it_for_30_s() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(!breaker.is_closed());
        assert_eq!(breaker.opens_at(now), Some(now + 30 * SECOND));
        assert!(!breaker.try_pass(now + 30 * SECOND - Duration::from_nanos(1)));
        assert!(breaker.try_pass(now + 30 * SECOND));
    }

    #[test]
    fn a_success_in_between_starts_the_count_over() {
        let now = Instant::now();
        let mut breaker = CircuitBreaker::new();
        for _ in 0..10 {
            for _ in 1..FAILURES_MAX {
                breaker.handle_failure(now);
            }
            breaker.handle_success();
        }
        assert!(breaker.is_closed() && breaker.opens_at(now).is_none());
    }

    #[test]
    fn half_open_lets_one_through_and_closes_after_three_successes() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + 31 * SECOND;
        for _ in 0..SUCCESSES_MIN {
            assert!(!breaker.is_closed());
            assert!(breaker.try_pass(later));
            assert!(!breaker.try_pass(later), "one at a time");
            breaker.handle_success();
        }
        assert!(breaker.is_closed());
        assert!(breaker.try_pass(later) && breaker.try_pass(later));
    }

    #[test]
    fn a_failure_while_half_open_opens_it_again() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + 31 * SECOND;
        assert!(breaker.try_pass(later));
        breaker.handle_success();
        assert!(breaker.try_pass(later));
        breaker.handle_failure(later);
        assert_eq!(breaker.opens_at(later), Some(later + 30 * SECOND));
        // An outcome from before changes nothing, and the successes count from the start.
        breaker.handle_failure(later + SECOND);
        breaker.handle_success();
        assert_eq!(breaker.opens_at(later), Some(later + 30 * SECOND));
        for _ in 1..SUCCESSES_MIN {
            assert!(breaker.try_pass(later + 30 * SECOND));
            breaker.handle_success();
        }
        assert!(!breaker.is_closed());
    }
}
