//! How good a link is, from what a data-only connection can know (X10, X13): round trip, time since content was last
//! verified while some is due, and delivery rate. A poor link is a reason to prepare another, never to end one.
//!
//! `score = (1 - r/2) (1 - i/2) (1 - d/2)`, each term between 0 and 1:
//!
//! - `r = (round trip - 100 ms) / 900 ms`
//! - `i = (time without verified content - 2 s) / 8 s`, 0 while none is due
//! - `d = 1 - 2 · rate / best rate`, 0 while none is due or known

use std::time::Duration;

use crate::time::Instant;

/// Between two readings (V-15).
const READING_INTERVAL: Duration = Duration::from_secs(10);

/// Readings in a row that make a verdict (K-21).
const READINGS: u32 = 3;

/// A score below this is poor: any one term alone can reach it.
const POOR_BELOW: f64 = 0.6;

/// A score from which a link that was poor is good again.
const GOOD_FROM: f64 = 0.8;

/// How long a rate is measured: long enough for a thin link to move several packets.
const RATE_INTERVAL: Duration = Duration::from_secs(1);

/// Rates of which the largest counts: one bad second does not throttle a link.
const RATES: usize = 3;

/// Changes of the rate that are worth telling.
const RATE_STEP: f64 = 0.2;

/// What a run of readings comes to; told once until it changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// With the last score.
    Poor(f64),
    /// With the last score.
    Good(f64),
}

/// What is known of one link.
#[derive(Clone, Debug)]
pub struct Quality {
    next_reading: Instant,
    verified: u64,
    verified_at: Instant,
    /// Readings in a row that contradict `is_poor`.
    against: u32,
    is_poor: bool,
    /// Where the present measurement of the rate began, if the link was busy since.
    measured: Option<(u64, Instant)>,
    rates: [Option<u64>; RATES],
    best_rate: u64,
    /// The shortest round trip seen: later ones count what waits in between, too.
    rtt_min: Option<Duration>,
    told_window: u64,
}

impl Quality {
    /// Of a link that opened now; `verified` bytes were there before.
    #[must_use]
    pub fn new(verified: u64, now: Instant) -> Self {
        Self {
            next_reading: now + READING_INTERVAL,
            verified,
            verified_at: now,
            against: 0,
            is_poor: false,
            measured: None,
            rates: [None; RATES],
            best_rate: 0,
            rtt_min: None,
            told_window: 0,
        }
    }

    /// A round trip was measured.
    pub fn handle_rtt(&mut self, rtt: Duration) {
        self.rtt_min = Some(self.rtt_min.map_or(rtt, |least| least.min(rtt)));
    }

    /// Bytes that the peer acknowledged so far, and whether more wait for it. Returns how many bytes should wait to be
    /// acknowledged, where that changed enough to act on: what the link moves in a second and two round trips, so that
    /// it may still grow.
    pub fn handle_delivery(
        &mut self,
        acknowledged: u64,
        is_busy: bool,
        now: Instant,
    ) -> Option<u64> {
        // A pause is no sign of a slow link: the measurement starts over.
        if !is_busy {
            self.measured = None;
            return None;
        }
        let (before, since) = *self.measured.get_or_insert((acknowledged, now));
        let elapsed = now.saturating_duration_since(since);
        if elapsed < RATE_INTERVAL {
            return None;
        }
        self.measured = Some((acknowledged, now));
        let moved = acknowledged.saturating_sub(before) as f64;
        self.rates.rotate_right(1);
        self.rates[0] = Some((moved / elapsed.as_secs_f64()) as u64);
        let rate = self.rate()?;
        self.best_rate = self.best_rate.max(rate);
        let time = Duration::from_secs(1) + 2 * self.rtt_min.unwrap_or_default();
        let window = (rate as f64 * time.as_secs_f64()) as u64;
        let told = self.told_window;
        let is_news = window.abs_diff(told) as f64 > told as f64 * RATE_STEP;
        is_news.then(|| {
            self.told_window = window;
            window
        })
    }

    /// The delivery rate in bytes per second, as far as it is known.
    #[must_use]
    pub fn rate(&self) -> Option<u64> {
        self.rates.iter().flatten().max().copied()
    }

    /// A deadline of [`Self::poll_timeout`] passed, or may have. `verified`: bytes that are settled in all; `due_since`:
    /// since when the link owes more. Who waits for a person or a disk, at either end, is owed nothing by the link.
    pub fn handle_timeout(
        &mut self,
        rtt: Option<Duration>,
        verified: u64,
        due_since: Option<Instant>,
        now: Instant,
    ) -> Option<Verdict> {
        if verified != self.verified {
            (self.verified, self.verified_at) = (verified, now);
        }
        self.verified_at = self.verified_at.max(due_since.unwrap_or(now));
        let is_due = due_since.is_some();
        if now < self.next_reading {
            return None;
        }
        self.next_reading = now + READING_INTERVAL;
        let idle = now.saturating_duration_since(self.verified_at);
        let share = self.rate().filter(|_| is_due && self.best_rate > 0);
        let share = share.map(|rate| rate as f64 / self.best_rate as f64);
        let score = score(rtt, idle, share);
        let is_against = if self.is_poor { score >= GOOD_FROM } else { score < POOR_BELOW };
        self.against = if is_against { self.against + 1 } else { 0 };
        if self.against < READINGS {
            return None;
        }
        self.against = 0;
        self.is_poor = !self.is_poor;
        Some(if self.is_poor { Verdict::Poor(score) } else { Verdict::Good(score) })
    }

    /// When to call [`Self::handle_timeout`], and why.
    #[must_use]
    pub const fn poll_timeout(&self) -> (Instant, &'static str) {
        (self.next_reading, "quality")
    }
}

/// The formula, between 0 and 1. `share`: of the best rate seen on this link.
fn score(rtt: Option<Duration>, idle: Duration, share: Option<f64>) -> f64 {
    let term = |value: f64| 1.0 - value.clamp(0.0, 1.0) / 2.0;
    let slow = rtt.map_or(0.0, |rtt| (rtt.as_secs_f64() - 0.1) / 0.9);
    let idle = (idle.as_secs_f64() - 2.0) / 8.0;
    term(slow) * term(idle) * term(share.map_or(0.0, |share| 1.0 - 2.0 * share))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Round trip in ms, idle seconds, share of the best rate, score.
    const VECTORS: [(u64, u64, f64, f64); 10] = [
        (0, 0, 1.0, 1.0),
        (100, 2, 0.5, 1.0),
        (550, 0, 1.0, 0.75),
        (1_000, 0, 1.0, 0.5),
        (60_000, 0, 1.0, 0.5),
        (0, 6, 1.0, 0.75),
        (0, 10, 1.0, 0.5),
        (0, 0, 0.25, 0.75),
        (0, 0, 0.0, 0.5),
        (1_000, 10, 0.0, 0.125),
    ];

    #[test]
    fn the_formula_gives_the_published_scores() {
        for (rtt, idle, share, wanted) in VECTORS {
            let found = score(Some(Duration::from_millis(rtt)), SECOND * idle as u32, Some(share));
            assert!((found - wanted).abs() < 1e-9, "{rtt} ms, {idle} s, {share}: {found}");
        }
        assert_eq!(score(None, Duration::ZERO, None), 1.0);
    }

    #[test]
    fn three_readings_make_a_verdict_and_it_is_told_once() {
        let start = Instant::now();
        let mut quality = Quality::new(0, start);
        let mut verdicts = Vec::new();
        for second in 1..=200_u32 {
            let rtt = if second < 100 { SECOND } else { SECOND / 50 };
            let verdict = quality.handle_timeout(
                Some(rtt),
                second.into(),
                Some(start),
                start + SECOND * second,
            );
            verdicts.extend(verdict.map(|verdict| (second, verdict)));
        }
        assert_eq!(verdicts, [(30, Verdict::Poor(0.5)), (120, Verdict::Good(1.0))]);
    }

    #[test]
    fn a_link_with_nothing_to_do_is_not_poor() {
        let start = Instant::now();
        let mut quality = Quality::new(5, start);
        for second in 1..=600 {
            assert_eq!(quality.handle_timeout(None, 5, None, start + SECOND * second), None);
        }
        // One that stalls is.
        let mut verdict = None;
        for second in 601..=660 {
            verdict =
                verdict.or(quality.handle_timeout(None, 5, Some(start), start + SECOND * second));
        }
        assert_eq!(verdict, Some(Verdict::Poor(0.5)));
    }

    #[test]
    fn the_rate_is_that_of_busy_time_and_told_when_it_changes() {
        let start = Instant::now();
        let mut quality = Quality::new(0, start);
        let mut told = Vec::new();
        // 7,000 bytes a second: 56 kbit/s.
        for tick in 0..50_u64 {
            let now = start + Duration::from_millis(tick * 100);
            told.extend(quality.handle_delivery(tick * 700, true, now));
        }
        assert_eq!(told, [7_000]);
        // A pause of ten seconds: nothing to send is not slow.
        assert_eq!(quality.handle_delivery(35_000, false, start + SECOND * 6), None);
        for tick in 0..20_u64 {
            let now = start + SECOND * 16 + Duration::from_millis(tick * 100);
            told.extend(quality.handle_delivery(35_000 + tick * 700, true, now));
        }
        assert_eq!((told, quality.rate()), (vec![7_000], Some(7_000)));
    }

    /// A path of 800 ms must be able to fill its own round trip, and its queue must not count as one.
    #[test]
    fn the_window_leaves_room_to_grow() {
        let start = Instant::now();
        let (mut quality, mut window, mut acknowledged) = (Quality::new(0, start), 65_536, 0);
        quality.handle_rtt(Duration::from_millis(800));
        for second in 0..12 {
            quality.handle_rtt(Duration::from_secs(30));
            let told = quality.handle_delivery(acknowledged, true, start + SECOND * second);
            window = told.unwrap_or(window);
            acknowledged += window * 10 / 8;
        }
        assert!(window > 4 << 20, "{window} bytes");
        // A link that moves 7,000 bytes a second stays at what it moves in 2.6 s.
        let mut quality = Quality::new(0, start);
        quality.handle_rtt(Duration::from_millis(800));
        let told = (0..60_u32).filter_map(|second| {
            quality.handle_rtt(SECOND * (second + 1));
            quality.handle_delivery(u64::from(second) * 7_000, true, start + SECOND * second)
        });
        assert_eq!(told.collect::<Vec<_>>(), [18_200]);
    }

    #[test]
    fn one_bad_second_does_not_throttle() {
        let start = Instant::now();
        let mut quality = Quality::new(0, start);
        let mut bytes = 0;
        for second in 0..20_u32 {
            bytes += if second % 3 == 1 { 0 } else { 1_000_000 };
            quality.handle_delivery(bytes, true, start + SECOND * second);
        }
        assert_eq!(quality.rate(), Some(1_000_000));
        for second in 20..24 {
            quality.handle_delivery(bytes, true, start + SECOND * second);
        }
        assert_eq!(quality.rate(), Some(0), "but a link that stopped is seen");
    }
}
