//! The rate of a transfer as a person wants to see it: smooth, but not stale.

use std::time::Duration;

use crate::time::Instant;

/// Weight of a second's worth of new samples.
const MEMORY: Duration = Duration::from_secs(3);

/// An exponentially weighted rate.
#[derive(Debug)]
pub(super) struct Pace {
    at: Instant,
    bytes: u64,
    rate: f64,
    is_fresh: bool,
}

impl Pace {
    /// Nothing moved yet.
    pub(super) const fn new(now: Instant) -> Self {
        Self { at: now, bytes: 0, rate: 0.0, is_fresh: true }
    }

    /// Takes a sample and says the rate in bytes per second.
    pub(super) fn sample(&mut self, bytes: u64, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        if elapsed < 0.05 {
            return self.rate as u64;
        }
        let moved = bytes.saturating_sub(self.bytes) as f64 / elapsed;
        let weight =
            if self.is_fresh { 1.0 } else { 1.0 - (-elapsed / MEMORY.as_secs_f64()).exp() };
        self.is_fresh = self.is_fresh && bytes == 0;
        self.rate += (moved - self.rate) * weight;
        self.at = now;
        self.bytes = bytes;
        self.rate as u64
    }
}
