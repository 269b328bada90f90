//! Candidates that arrive before the description they belong to (V-23).

use std::collections::VecDeque;
use std::time::Duration;

use crate::link::Candidate;
use crate::time::Instant;

/// Most candidates kept for one link; a peer with ten interfaces and two servers has about 40.
pub const EARLY_CANDIDATES_MAX: usize = 100;

/// How long one is kept: its description is at most one round trip behind it, or it never comes.
pub const EARLY_CANDIDATE_LIFETIME: Duration = Duration::from_secs(15);

/// A bounded waiting room for candidates.
#[derive(Debug, Default)]
pub struct EarlyCandidates {
    waiting: VecDeque<(Instant, Candidate)>,
}

impl EarlyCandidates {
    /// Keeps a candidate; the oldest makes room, because the newest belongs to the description still to come.
    pub fn handle_candidate(&mut self, candidate: Candidate, now: Instant) {
        self.expire(now);
        if self.waiting.len() == EARLY_CANDIDATES_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back((now, candidate));
    }

    /// Hands out what is kept and not too old, oldest first; the description has arrived.
    pub fn take(&mut self, now: Instant) -> impl Iterator<Item = Candidate> + use<> {
        self.expire(now);
        std::mem::take(&mut self.waiting).into_iter().map(|(_, candidate)| candidate)
    }

    fn expire(&mut self, now: Instant) {
        while let Some((arrived, _)) = self.waiting.front() {
            if now.saturating_duration_since(*arrived) < EARLY_CANDIDATE_LIFETIME {
                break;
            }
            self.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(port: usize) -> Candidate {
        Candidate {
            candidate: format!("candidate:1 1 udp 1 192.0.2.1 {port} typ host"),
            sdp_mid: Some("0".into()),
            sdp_mline_index: Some(0),
        }
    }

    #[test]
    fn kept_in_order_until_taken_once() {
        let now = Instant::now();
        let mut early = EarlyCandidates::default();
        early.handle_candidate(candidate(1), now);
        early.handle_candidate(candidate(2), now);
        assert_eq!(early.take(now).collect::<Vec<_>>(), [candidate(1), candidate(2)]);
        assert_eq!(early.take(now).count(), 0);
    }

    #[test]
    fn bounded_by_count_and_by_age() {
        let start = Instant::now();
        let mut early = EarlyCandidates::default();
        for port in 0..EARLY_CANDIDATES_MAX + 5 {
            early.handle_candidate(candidate(port), start);
        }
        let later = start + EARLY_CANDIDATE_LIFETIME - Duration::from_millis(1);
        let kept: Vec<_> = early.take(later).collect();
        assert_eq!(kept.len(), EARLY_CANDIDATES_MAX);
        assert_eq!(kept[0], candidate(5));

        early.handle_candidate(candidate(1), start);
        early.handle_candidate(candidate(2), later);
        let kept: Vec<_> = early.take(start + EARLY_CANDIDATE_LIFETIME).collect();
        assert_eq!(kept, [candidate(2)]);
    }
}
