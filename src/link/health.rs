//! Whether the other end of a link is still there: numbered pings, three missed are dead (S-01, V-11, X12).
//!
//! Activity is authenticated bytes that came in on this link; a ping is only counted as missed when nothing at all came
//! since it was due, so that a thin link is never declared dead for being slow.

use std::time::Duration;

use crate::time::Instant;

/// The health of one link. With a ping every 5 s and three misses a silent link is known to be dead within 20 s (N-03).
#[derive(Debug, Clone)]
pub struct Health {
    interval: Duration,
    misses_max: u32,
    next_ping: Instant,
    number: u64,
    sent: Option<(u64, Instant)>,
    misses: u32,
    heard: bool,
    rtt: Option<Duration>,
}

/// What a passed deadline asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthAction {
    /// Send a ping with this number.
    Ping(u64),
    /// The link is dead.
    Dead,
}

impl Health {
    /// Of a link that opened now: a ping every `interval`, dead after `misses_max` of them without a sign of life.
    #[must_use]
    pub fn new(interval: Duration, misses_max: u32, now: Instant) -> Self {
        Self {
            interval,
            misses_max,
            next_ping: now + interval,
            number: 0,
            sent: None,
            misses: 0,
            heard: true,
            rtt: None,
        }
    }

    /// Anything authenticated came in.
    pub const fn handle_activity(&mut self) {
        self.heard = true;
    }

    /// A pong came: only that of the last ping tells the round trip.
    pub fn handle_pong(&mut self, number: u64, now: Instant) {
        self.heard = true;
        if let Some((_, at)) = self.sent.take_if(|(sent, _)| *sent == number) {
            self.rtt = Some(now.saturating_duration_since(at));
        }
    }

    /// A deadline of [`Self::poll_timeout`] passed, or may have.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<HealthAction> {
        if now < self.next_ping {
            return None;
        }
        // After a sleep of the machine one miss is counted, not as many as would fit: the peer gets its chance to answer.
        self.next_ping = now + self.interval;
        self.misses = if std::mem::take(&mut self.heard) { 0 } else { self.misses + 1 };
        if self.misses >= self.misses_max {
            tracing::info!(target: "rejoin::keepalive", misses = self.misses, "pings were not answered");
            return Some(HealthAction::Dead);
        }
        Some(HealthAction::Ping(self.ping_now(now)))
    }

    /// The number of a ping that is sent now, out of turn: there is doubt about the link, or news. Counts no miss.
    pub fn ping_now(&mut self, now: Instant) -> u64 {
        self.next_ping = now + self.interval;
        self.number += 1;
        self.sent = Some((self.number, now));
        self.number
    }

    /// When to call [`Self::handle_timeout`].
    #[must_use]
    pub const fn poll_timeout(&self) -> (Instant, &'static str) {
        (self.next_ping, "ping")
    }

    /// The last round trip measured.
    #[must_use]
    pub const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    fn health(now: Instant) -> Health {
        Health::new(INTERVAL, 3, now)
    }

    /// Seconds after the last sign of life at which the link is dead.
    fn seconds_to_death(health: &mut Health, start: Instant) -> u64 {
        for second in 1..100 {
            let now = start + Duration::from_secs(second);
            if health.handle_timeout(now) == Some(HealthAction::Dead) {
                return second;
            }
        }
        panic!("never dead");
    }

    #[test]
    fn a_silent_link_is_dead_within_20_s() {
        let start = Instant::now();
        assert_eq!(seconds_to_death(&mut health(start), start), 20);
    }

    #[test]
    fn any_sign_of_life_starts_over() {
        let start = Instant::now();
        let mut health = health(start);
        for second in 1..=17 {
            assert_ne!(
                health.handle_timeout(start + Duration::from_secs(second)),
                Some(HealthAction::Dead)
            );
        }
        health.handle_activity();
        let late = start + Duration::from_secs(17);
        assert_eq!(seconds_to_death(&mut health, late), 18);
    }

    #[test]
    fn only_the_last_pong_tells_the_round_trip() {
        let start = Instant::now();
        let mut health = health(start);
        let sent = start + INTERVAL;
        assert_eq!(health.handle_timeout(sent), Some(HealthAction::Ping(1)));
        health.handle_pong(7, sent + Duration::from_millis(1));
        assert_eq!(health.rtt(), None);
        health.handle_pong(1, sent + Duration::from_millis(30));
        assert_eq!(health.rtt(), Some(Duration::from_millis(30)));
    }

    #[test]
    fn a_machine_that_slept_asks_before_it_gives_up() {
        let start = Instant::now();
        let mut health = health(start);
        let woken = start + Duration::from_secs(8 * 3600);
        assert_eq!(health.handle_timeout(woken), Some(HealthAction::Ping(1)));
        assert_eq!(health.handle_timeout(woken + Duration::from_secs(1)), None);
    }

    #[test]
    fn interval_and_misses_are_the_users_to_choose() {
        let start = Instant::now();
        let mut health = Health::new(Duration::from_secs(2), 5, start);
        assert_eq!(seconds_to_death(&mut health, start), 12);
    }

    /// After a wake, or when ICE is back: the answer tells, and the miss is not counted against the peer.
    #[test]
    fn a_ping_out_of_turn_counts_no_miss() {
        let start = Instant::now();
        let mut health = health(start);
        let late = start + INTERVAL * 3 + Duration::from_secs(1);
        for round in 1..=3 {
            assert!(matches!(
                health.handle_timeout(start + INTERVAL * round),
                Some(HealthAction::Ping(_))
            ));
        }
        let number = health.ping_now(late);
        assert_eq!(health.handle_timeout(late), None);
        health.handle_pong(number, late + Duration::from_millis(70));
        assert_eq!(health.rtt(), Some(Duration::from_millis(70)));
        assert!(matches!(health.handle_timeout(late + INTERVAL), Some(HealthAction::Ping(_))));
    }
}
