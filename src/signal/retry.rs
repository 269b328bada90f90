//! When a lost host is tried again (layer B). Pure.

use crate::time::Backoff;
use std::time::Duration;

/// First delay (S-07).
const BASE: Duration = Duration::from_secs(1);
/// Longest delay while no link is up: the host is the only way back (design §7).
const CAP_URGENT: Duration = Duration::from_secs(4);
/// Longest of the first delays while data flows without the host (S-07): 1, 2, 4, 8, 10 s.
const CAP_FIRST: Duration = Duration::from_secs(10);
/// Failures that have such delays (S-06).
const FIRST: u32 = 5;
/// Every delay after them while data flows.
const CAP_RELAXED: Duration = Duration::from_secs(30);
/// How long a connection must last for the count to begin anew: a host that accepts and drops is no success (S-08).
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// How eagerly a lost host is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// No link is up: every 4 s at most.
    Urgent,
    /// Data flows without the host: five tries soon, then every 30 s.
    Relaxed,
}

/// The schedule of one client, over all its hosts: a round of all of them is one try.
#[derive(Debug)]
pub(super) struct Retry {
    backoff: Backoff,
}

impl Retry {
    /// Without a failure yet.
    pub(super) const fn new() -> Self {
        Self { backoff: Backoff::new(BASE, CAP_URGENT) }
    }

    /// A connection is gone that had lasted this long.
    pub(super) fn handle_lost(&mut self, lasted: Duration) {
        if lasted >= STABLE_AFTER {
            self.backoff.reset();
        }
    }

    /// There is reason to believe that the next try works.
    pub(super) const fn handle_evidence(&mut self) {
        self.backoff.reset();
    }

    /// How long to wait before the next round. `jitter` is uniform over `u32`.
    pub(super) fn next_delay(&mut self, pace: Pace, jitter: u32) -> Duration {
        self.backoff.set_cap(match pace {
            Pace::Urgent => CAP_URGENT,
            Pace::Relaxed if self.backoff.failures() < FIRST => CAP_FIRST,
            Pace::Relaxed => CAP_RELAXED,
        });
        self.backoff.next_delay(jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(retry: &mut Retry, pace: Pace, count: usize) -> Vec<u64> {
        (0..count).map(|_| retry.next_delay(pace, 0).as_secs()).collect()
    }

    #[test]
    fn five_tries_soon_and_then_every_30_s_while_data_flows() {
        let found = seconds(&mut Retry::new(), Pace::Relaxed, 8);
        assert_eq!(found, [1, 2, 4, 8, 10, 30, 30, 30]);
    }

    #[test]
    fn every_4_s_at_most_while_no_link_is_up() {
        let mut retry = Retry::new();
        assert_eq!(seconds(&mut retry, Pace::Urgent, 6), [1, 2, 4, 4, 4, 4]);
        assert_eq!(seconds(&mut retry, Pace::Relaxed, 1), [30], "the count goes on");
        assert_eq!(seconds(&mut retry, Pace::Urgent, 1), [4]);
    }

    #[test]
    fn only_a_connection_that_lasted_starts_the_count_anew() {
        let mut retry = Retry::new();
        seconds(&mut retry, Pace::Relaxed, 4);
        retry.handle_lost(STABLE_AFTER - Duration::from_millis(1));
        assert_eq!(seconds(&mut retry, Pace::Relaxed, 1), [10]);
        retry.handle_lost(STABLE_AFTER);
        assert_eq!(seconds(&mut retry, Pace::Relaxed, 2), [1, 2]);
        retry.handle_evidence();
        assert_eq!(seconds(&mut retry, Pace::Relaxed, 1), [1]);
    }
}
