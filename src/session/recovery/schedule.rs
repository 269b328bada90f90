//! When the next new connection is tried (layer C).

use super::{DELAY_MAX, STABLE_AFTER};
use crate::options::Timing;
use crate::time::Instant;
use std::time::Duration;

/// Between two tries that evidence brings forward, in the long run: a host that makes up events gains no more than this.
const EVIDENCE_INTERVAL: Duration = Duration::from_secs(15);

/// Tries that evidence may bring forward in a row before that interval holds.
const EVIDENCE_BURST: u32 = 4;

/// Between the starts of two tries, whatever the evidence: one that fails at once must not spin.
const TRY_INTERVAL: Duration = Duration::from_secs(1);

/// Those who saw the same thing (a host that is back) come back spread over this time, not all in one instant.
const SPREAD: Duration = Duration::from_millis(250);

/// What follows a lost link or a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// When to try.
    pub at: Instant,
    /// Which try it is since the link was last stable, from 1.
    pub attempt: u32,
    /// Whether the planned tries are used up for the first time: a person may want to know how to continue by hand.
    pub is_manual: bool,
}

/// The planned delays, and what cuts them short. Delays double from [`Timing::reconnect_delay`]; after
/// [`Timing::reconnect_tries`] there is one try in 60 s (F-08, F-09). All delays vary by ±20 %.
#[derive(Clone, Debug)]
pub struct Schedule {
    delay: Duration,
    tries_max: u32,
    tries: u32,
    /// When the link was last up.
    up_at: Option<Instant>,
    last_try: Option<Instant>,
    /// When all evidence used so far would have been due at its interval: a leaky bucket in one value.
    evidence_until: Option<Instant>,
}

impl Schedule {
    /// A schedule that has seen no failure yet.
    #[must_use]
    pub const fn new(timing: &Timing) -> Self {
        Self {
            delay: timing.reconnect_delay,
            tries_max: timing.reconnect_tries,
            tries: 0,
            up_at: None,
            last_try: None,
            evidence_until: None,
        }
    }

    /// The link is up.
    pub const fn handle_up(&mut self, now: Instant) {
        self.up_at = Some(now);
    }

    /// A try starts.
    pub const fn handle_try(&mut self, now: Instant) {
        self.last_try = Some(now);
    }

    /// The link is lost, or a try failed. `is_reachable`: host and peer are there, which is evidence that lasts.
    /// `jitter` is uniform over `u32`.
    pub fn handle_lost(&mut self, is_reachable: bool, jitter: u32, now: Instant) -> Plan {
        if self.up_at.take().is_some_and(|up_at| now >= up_at + STABLE_AFTER) {
            self.tries = 0;
        }
        let planned = if self.tries < self.tries_max {
            let factor = 1_u32.checked_shl(self.tries).unwrap_or(u32::MAX);
            self.delay.saturating_mul(factor).min(DELAY_MAX)
        } else {
            DELAY_MAX
        };
        let at = now + planned.mul_f64(0.8 + 0.4 * share(jitter));
        self.tries = self.tries.saturating_add(1);
        let at = if is_reachable { self.handle_evidence(at, jitter, now) } else { at };
        Plan { at, attempt: self.tries, is_manual: self.tries == self.tries_max.saturating_add(1) }
    }

    /// There is reason to believe that a try would work now: the host's socket opened, the peer came, an interface came
    /// up. Says when to try instead of `planned`, which is never later.
    pub fn handle_evidence(&mut self, planned: Instant, jitter: u32, now: Instant) -> Instant {
        let used_until = self.evidence_until.map_or(now, |until| until.max(now));
        let lenient = used_until.checked_sub(EVIDENCE_INTERVAL * (EVIDENCE_BURST - 1));
        let after_last = self.last_try.map_or(now, |last| last + TRY_INTERVAL);
        let at = lenient.unwrap_or(now).max(now).max(after_last) + SPREAD.mul_f64(share(jitter));
        // What gains nothing uses nothing up: several facts may be news of one and the same return.
        if at + SPREAD >= planned {
            return planned;
        }
        self.evidence_until = Some(used_until + EVIDENCE_INTERVAL);
        at
    }

    /// Tries that are planned before the slow pace.
    #[must_use]
    pub const fn tries_max(&self) -> u32 {
        self.tries_max
    }

    /// Tries since the link was last stable.
    #[must_use]
    pub const fn tries(&self) -> u32 {
        self.tries
    }
}

fn share(jitter: u32) -> f64 {
    f64::from(jitter) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    /// No deviation from the plan.
    const MIDDLE: u32 = u32::MAX / 2;

    fn schedule() -> Schedule {
        Schedule::new(&Timing::default())
    }

    /// Delays of `count` tries that fail at once.
    fn delays(schedule: &mut Schedule, count: usize, jitter: u32, start: Instant) -> Vec<Duration> {
        let mut now = start;
        let delays = (0..count).map(|_| {
            let delay = schedule.handle_lost(false, jitter, now).at - now;
            now += delay;
            schedule.handle_try(now);
            delay
        });
        delays.collect()
    }

    #[test]
    fn five_delays_of_62_s_in_all_and_then_a_slow_pace() {
        let start = Instant::now();
        let found = delays(&mut schedule(), 7, MIDDLE, start);
        let seconds: Vec<_> =
            found.iter().map(|delay| delay.as_secs_f64().round() as u64).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(seconds[..5].iter().sum::<u64>(), 62);
    }

    #[test]
    fn delays_vary_by_a_fifth_and_no_more() {
        let start = Instant::now();
        for (jitter, seconds) in [(0, 62.0 * 0.8), (u32::MAX, 62.0 * 1.2)] {
            let sum: Duration = delays(&mut schedule(), 5, jitter, start).iter().sum();
            assert!((sum.as_secs_f64() - seconds).abs() < 0.001, "{sum:?}");
        }
    }

    #[test]
    fn tries_count_on_until_a_link_was_stable() {
        let start = Instant::now();
        let mut schedule = schedule();
        delays(&mut schedule, 3, MIDDLE, start);
        schedule.handle_up(start);
        let plan = schedule.handle_lost(false, MIDDLE, start + STABLE_AFTER - SECOND / 1000);
        assert_eq!(plan.attempt, 4, "a link that opens and falls is no success");
        schedule.handle_up(start);
        assert_eq!(schedule.handle_lost(false, MIDDLE, start + STABLE_AFTER).attempt, 1);
    }

    #[test]
    fn the_way_by_hand_is_told_once_in_an_outage() {
        let start = Instant::now();
        let mut schedule = schedule();
        let mut told =
            (0..20).map(|_| schedule.handle_lost(false, 0, start).is_manual).collect::<Vec<_>>();
        assert!(told.remove(5), "with the first slow try");
        assert!(told.iter().all(|told| !told));
        schedule.handle_up(start);
        let later = start + STABLE_AFTER;
        let again = (0..6).filter(|_| schedule.handle_lost(false, 0, later).is_manual).count();
        assert_eq!(again, 1);
    }

    #[test]
    fn evidence_cuts_a_wait_short_and_never_makes_it_longer() {
        let start = Instant::now();
        let mut schedule = schedule();
        delays(&mut schedule, 4, MIDDLE, start);
        let now = start + SECOND * 100;
        let planned = schedule.handle_lost(false, MIDDLE, now).at;
        assert!(planned > now + SECOND * 30);
        let at = schedule.handle_evidence(planned, u32::MAX, now + SECOND);
        assert_eq!(at, now + SECOND + SPREAD);
        let soon = now + SECOND / 100;
        assert_eq!(schedule.handle_evidence(soon, u32::MAX, now), soon);
        // Somebody who is there all the time is evidence without news.
        let plan = schedule.handle_lost(true, 0, now + SECOND * 50);
        assert_eq!(plan.at, now + SECOND * 50);
    }

    #[test]
    fn evidence_that_lies_gains_a_burst_and_then_one_try_in_15_s() {
        let start = Instant::now();
        for is_standing in [false, true] {
            let mut schedule = schedule();
            delays(&mut schedule, 5, MIDDLE, start);
            let (mut now, mut tries) = (start + SECOND * 1_000, Vec::new());
            let end = now + SECOND * 600;
            while now < end {
                // Every try fails at once, and the host claims news all the time.
                let mut at = schedule.handle_lost(is_standing, 7, now).at;
                while !is_standing && now < at {
                    at = schedule.handle_evidence(at, 7, now);
                    now += SECOND / 20;
                }
                now = now.max(at);
                schedule.handle_try(now);
                tries.push(now);
            }
            let most = EVIDENCE_BURST as usize + 600 / 15 + 600 / 48 + 2;
            assert!(tries.len() <= most, "{} tries in ten minutes", tries.len());
            assert!(tries.len() >= 600 / 15, "{} tries in ten minutes", tries.len());
            let closest = tries.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
            assert!(closest >= TRY_INTERVAL, "{closest:?}");
        }
    }

    /// F-30: everybody sees the host come back in the same second.
    #[test]
    fn a_hundred_that_see_the_same_do_not_come_in_one_instant() {
        let now = Instant::now() + SECOND * 100;
        let mut counts = [0; 10];
        for receiver in 0..100_u32 {
            let mut schedule = schedule();
            let jitter = receiver.wrapping_mul(0x9e37_79b9);
            let planned = schedule.handle_lost(false, jitter, now).at;
            let wait = schedule.handle_evidence(planned, jitter, now) - now;
            counts[(wait.as_nanos() * 10 / (SPREAD.as_nanos() + 1)) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (5..=15).contains(count)), "{counts:?}");
    }
}
