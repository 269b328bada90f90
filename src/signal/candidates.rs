//! Candidates that overtook their description wait here, briefly and few (V-23). One buffer per peer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::message::Attempt;

/// Most candidates kept, and most accepted for one try: the worst dual-stack laptop gathers about 40.
pub const CANDIDATES_MAX: usize = 100;
/// How long a candidate waits for its description; a description later than this has been superseded.
pub const CANDIDATE_WAIT: Duration = Duration::from_secs(15);

/// Candidates without a description yet, oldest first.
#[derive(Debug, Default)]
pub struct EarlyCandidates {
    waiting: VecDeque<(Instant, Attempt, String)>,
}

impl EarlyCandidates {
    /// Keeps a candidate until its description comes; false if there is no room and it was dropped.
    pub fn handle_candidate(&mut self, attempt: Attempt, candidate: String, now: Instant) -> bool {
        self.handle_timeout(now);
        let kept = self.waiting.len() < CANDIDATES_MAX;
        if kept {
            self.waiting.push_back((now, attempt, candidate));
        }
        kept
    }

    /// The description of `attempt` came: its candidates in order of arrival. Those of older tries are dropped.
    pub fn take(&mut self, attempt: Attempt, now: Instant) -> Vec<String> {
        self.handle_timeout(now);
        let mut taken = Vec::new();
        for entry in std::mem::take(&mut self.waiting) {
            match entry.1.cmp(&attempt) {
                std::cmp::Ordering::Equal => taken.push(entry.2),
                std::cmp::Ordering::Greater => self.waiting.push_back(entry),
                std::cmp::Ordering::Less => {}
            }
        }
        taken
    }

    /// Drops what waited too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self
            .waiting
            .front()
            .is_some_and(|(since, ..)| now.saturating_duration_since(*since) >= CANDIDATE_WAIT)
        {
            self.waiting.pop_front();
        }
    }

    /// When the oldest candidate will have waited too long.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.front().map(|(since, ..)| *since + CANDIDATE_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_those_of_the_try_in_order_and_forgets_older_ones() {
        let now = Instant::now();
        let mut early = EarlyCandidates::default();
        for (attempt, candidate) in [(1, "old"), (2, "a"), (3, "next"), (2, "b")] {
            assert!(early.handle_candidate(Attempt(attempt), candidate.to_owned(), now));
        }
        assert_eq!(early.take(Attempt(2), now), ["a", "b"]);
        assert!(early.take(Attempt(1), now).is_empty());
        assert_eq!(early.take(Attempt(3), now), ["next"]);
    }

    #[test]
    fn is_bounded_in_number_and_time() {
        let start = Instant::now();
        let mut early = EarlyCandidates::default();
        for index in 0..CANDIDATES_MAX {
            assert!(early.handle_candidate(Attempt(1), index.to_string(), start));
        }
        assert!(!early.handle_candidate(Attempt(1), "one too many".to_owned(), start));
        assert_eq!(early.poll_timeout(), Some(start + CANDIDATE_WAIT));
        let just_before = start + CANDIDATE_WAIT - Duration::from_millis(1);
        assert!(!early.handle_candidate(Attempt(1), "still full".to_owned(), just_before));
        assert!(early.handle_candidate(Attempt(1), "fresh".to_owned(), start + CANDIDATE_WAIT));
        assert_eq!(early.take(Attempt(1), start + CANDIDATE_WAIT), ["fresh"]);
    }
}
