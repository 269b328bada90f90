//! Retry schedules and rates as pure values. The clock itself is read by the I/O edges and passed in.

mod breaker;
mod bucket;
#[cfg(any(test, target_family = "wasm"))]
pub mod instant;

pub use breaker::CircuitBreaker;
pub use bucket::Bucket;
#[cfg(target_family = "wasm")]
pub use instant::Instant;
/// A moment of the clock that the edges read.
#[cfg(not(target_family = "wasm"))]
pub use std::time::Instant;

use std::time::Duration;

/// Delays that double from `base` up to `cap`; a value, not a sleep, so that evidence can cut it short with [`reset`](Self::reset).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// A schedule that has seen no failure yet.
    #[must_use]
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// Records a failure and returns how long to wait before the next try.
    ///
    /// `jitter` is uniform over `u32`; up to three quarters of the delay are taken off by it, so that the clients of one
    /// restarted host do not return in step.
    pub fn next_delay(&mut self, jitter: u32) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        let delay = self.base.saturating_mul(factor).min(self.cap);
        delay - delay.mul_f64(f64::from(jitter) / f64::from(u32::MAX) * 0.75)
    }

    /// Forgets the failures: after a success, or on evidence that the next try will do better.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// Changes the upper bound from the next delay on.
    pub const fn set_cap(&mut self, cap: Duration) {
        self.cap = cap;
    }

    /// Failures since the last [`reset`](Self::reset).
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(backoff: &mut Backoff, count: usize) -> Vec<u64> {
        (0..count).map(|_| backoff.next_delay(0).as_secs()).collect()
    }

    #[test]
    fn doubles_to_the_cap_and_starts_over() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
        assert_eq!(seconds(&mut backoff, 6), [1, 2, 4, 8, 10, 10]);
        backoff.reset();
        assert_eq!(seconds(&mut backoff, 2), [1, 2]);
        backoff.set_cap(Duration::from_secs(3));
        assert_eq!(seconds(&mut backoff, 2), [3, 3]);
        assert_eq!(backoff.failures(), 4);
    }

    #[test]
    fn survives_any_number_of_failures() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        for _ in 0..100 {
            backoff.next_delay(0);
        }
        assert_eq!(backoff.next_delay(0), Duration::from_secs(30));
    }

    #[test]
    fn jitter_takes_off_at_most_three_quarters() {
        let mut backoff = Backoff::new(Duration::from_secs(8), Duration::from_secs(8));
        assert_eq!(backoff.next_delay(u32::MAX), Duration::from_secs(2));
        assert_eq!(backoff.next_delay(0), Duration::from_secs(8));
    }
}
