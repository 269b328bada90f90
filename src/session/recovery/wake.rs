//! Whether the machine slept, or this process was stopped: seen as a jump on the next tick.

use std::time::{Duration, SystemTime};

use crate::time::Instant;

/// Jump from which it counts. Ticks come every 200 ms; a loaded machine is late by less than this.
const JUMP_MIN: Duration = Duration::from_secs(3);

/// Compares two clocks: one that stands still while the machine sleeps, and one that does not.
///
/// A wall clock that is set forward looks like a sleep, which costs one ping.
#[derive(Debug)]
pub struct WakeWatch {
    monotonic: Instant,
    wall: SystemTime,
}

impl WakeWatch {
    /// Watches from now on.
    #[must_use]
    pub const fn new(monotonic: Instant, wall: SystemTime) -> Self {
        Self { monotonic, wall }
    }

    /// A regular tick: for how long we were away, if we were.
    pub fn handle_tick(&mut self, monotonic: Instant, wall: SystemTime) -> Option<Duration> {
        let by_monotonic = monotonic.saturating_duration_since(self.monotonic);
        // Backwards is a clock that was set, not a sleep.
        let by_wall = wall.duration_since(self.wall).unwrap_or_default();
        (self.monotonic, self.wall) = (monotonic, wall);
        let away = by_monotonic.max(by_wall);
        (away >= JUMP_MIN).then_some(away)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(200);

    #[test]
    fn sleep_and_stop_are_seen_once_and_ordinary_ticks_are_not() {
        let (mut now, mut wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
        let mut watch = WakeWatch::new(now, wall);
        for _ in 0..100 {
            now += TICK;
            wall += TICK;
            assert_eq!(watch.handle_tick(now, wall), None);
        }
        // The machine slept: the monotonic clock stood still.
        now += TICK;
        wall += Duration::from_secs(3600);
        assert_eq!(watch.handle_tick(now, wall), Some(Duration::from_secs(3600)));
        assert_eq!(watch.handle_tick(now + TICK, wall + TICK), None);
        // The process was stopped: both went on.
        now += Duration::from_secs(60);
        wall += Duration::from_secs(60);
        assert!(watch.handle_tick(now, wall).is_some());
    }

    #[test]
    fn a_wall_clock_set_back_is_no_sleep() {
        let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(9_000));
        let mut watch = WakeWatch::new(now, wall);
        assert_eq!(watch.handle_tick(now + TICK, SystemTime::UNIX_EPOCH), None);
    }
}
