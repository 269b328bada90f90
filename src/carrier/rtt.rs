//! How long answers take, how much later than that is lost, and when to ask again (RFC 9002 §5 and §6).

use std::time::Duration;

use crate::time::Instant;

/// RFC 9002 §6.1.2: later ones arrived, and this share of a round trip more passed.
const REORDERING_EIGHTHS: u32 = 1;
/// The share grows to this where packets that were held for lost arrive after all (RFC 8985 §6.2 widens alike).
const REORDERING_EIGHTHS_MAX: u32 = 8;
/// And shrinks again by one after so many round trips without.
const REORDERING_ROUNDS: u32 = 32;
/// Timers are not finer.
pub(super) const GRANULARITY: Duration = Duration::from_millis(1);
/// A round trip before one is known (RFC 9002 §6.2.2).
const RTT_START: Duration = Duration::from_millis(100);
/// What a peer may take to acknowledge, and its timers to notice.
pub(super) const PEER_DELAY: Duration = Duration::from_millis(10);
/// A path that is silent is asked this often at least: it is noticed at once when it is back.
const PROBE_TIMEOUT_MAX: Duration = Duration::from_secs(1);

/// How late a packet may be without being lost, learnt from those that were.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reordering {
    eighths: u32,
    changed_at: Instant,
}

impl Reordering {
    pub(super) const fn new(now: Instant) -> Self {
        Self { eighths: REORDERING_EIGHTHS, changed_at: now }
    }

    /// A packet that was held for lost arrived; counts once a round trip.
    pub(super) fn handle_spurious(&mut self, rtt: Duration, now: Instant) {
        if now >= self.changed_at + rtt {
            self.eighths = (self.eighths + 1).min(REORDERING_EIGHTHS_MAX);
            self.changed_at = now;
        }
    }

    pub(super) fn handle_time(&mut self, rtt: Duration, now: Instant) {
        if self.eighths > REORDERING_EIGHTHS && now >= self.changed_at + rtt * REORDERING_ROUNDS {
            self.eighths -= 1;
            self.changed_at = now;
        }
    }
}

/// RFC 9002 §5.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rtt {
    pub(super) smoothed: Option<Duration>,
    variation: Duration,
    pub(super) latest: Duration,
}

impl Rtt {
    pub(super) fn update(&mut self, sample: Duration) {
        self.latest = sample;
        match self.smoothed {
            None => (self.smoothed, self.variation) = (Some(sample), sample / 2),
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(sample)) / 4;
                self.smoothed = Some((smoothed * 7 + sample) / 8);
            }
        }
    }

    pub(super) fn value(&self) -> Duration {
        self.smoothed.unwrap_or(RTT_START)
    }

    pub(super) fn loss_delay(&self, reordering: Reordering) -> Duration {
        (self.value().max(self.latest) * (8 + reordering.eighths) / 8).max(GRANULARITY)
    }

    pub(super) fn probe_timeout(&self, timeouts: u32) -> Duration {
        let base = self.value() + (self.variation * 4).max(GRANULARITY) + PEER_DELAY;
        base.saturating_mul(1 << timeouts.min(10)).min(PROBE_TIMEOUT_MAX.max(self.value() * 2))
    }
}
