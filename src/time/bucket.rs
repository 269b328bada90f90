//! Rates: so much at once, and so much a second.

use super::Instant;
use std::time::Duration;

/// A token bucket. It begins full; time is told, so it may be shared by whoever agrees on it.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Tokens at once.
    burst: f64,
    per_second: f64,
    taken: f64,
    at: Option<Instant>,
}

impl Bucket {
    /// A bucket of `burst` tokens that fills by `per_second` of them.
    #[must_use]
    pub const fn new(burst: u32, per_second: f64) -> Self {
        Self { burst: burst as f64, per_second, taken: 0.0, at: None }
    }

    /// Takes one token; false if there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        self.take_many(1.0, now)
    }

    /// Takes `count` tokens, or none; false if there are fewer.
    pub fn take_many(&mut self, count: f64, now: Instant) -> bool {
        let has_enough = self.has(count, now);
        if has_enough {
            self.taken += count;
        }
        has_enough
    }

    /// Whether `count` tokens are there.
    pub fn has(&mut self, count: f64, now: Instant) -> bool {
        self.fill(now);
        self.taken + count <= self.burst
    }

    /// Whether it says nothing any more and can be forgotten.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.taken <= 0.0
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        self.taken = (self.taken - elapsed.as_secs_f64() * self.per_second).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut Bucket, now: Instant) -> usize {
        (0..100).filter(|_| bucket.take(now)).count()
    }

    #[test]
    fn it_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut bucket = Bucket::new(10, 4.0);
        assert!(bucket.is_full(start));
        assert_eq!(taken(&mut bucket, start), 10);
        assert_eq!(taken(&mut bucket, after(500)), 2);
        assert!(!bucket.is_full(after(2_900)));
        assert!(bucket.is_full(after(3_100)));
        assert_eq!(taken(&mut bucket, after(3_600_000)), 10);
    }

    #[test]
    fn many_are_taken_whole_or_not_at_all() {
        let now = Instant::now();
        let mut bucket = Bucket::new(10, 1.0);
        assert!(bucket.take_many(8.0, now));
        assert!(!bucket.take_many(3.0, now) && bucket.has(2.0, now));
        assert!(bucket.take_many(2.0, now) && !bucket.has(1.0, now));
    }
}
