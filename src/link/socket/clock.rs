//! The stack's clock. It stands still while a carrier waits, if that is not for long.
//!
//! SCTP's timer runs out after a second, or little more, without an acknowledgement, and what it leaves of the window is one packet.
//! From half of the old window on (an eighth, where it ran out twice) it grows by a packet in a round trip: after two seconds without
//! a path of 300 ms that was half a minute below the path's rate, and loss alone does it there, where what was lost is lost again. The
//! carrier sends again whatever is missing, so the timer has nothing to add.
//!
//! The stack's other timers stand still with it. Those of an outage, ICE's above all, are not to be late: a wait that is longer than
//! [`CREDIT_MAX`] counts after all. Those of long times, as a TURN server's permissions, are not to be a quarter late: so there is
//! a credit for the shorter ones.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long it stands still at once, at most.
const CREDIT_MAX: Duration = Duration::from_secs(3);

/// What it has stood still is free again after so many times as long.
const CREDIT_TIMES: u32 = 4;

/// One for each connection.
#[derive(Debug)]
pub(super) struct StackClock(Mutex<Held>);

#[derive(Debug)]
struct Held {
    /// How much it is behind, without the present wait.
    behind: Duration,
    /// When the present wait began.
    since: Option<Instant>,
    credit: Duration,
    /// When the last wait ended.
    ended: Option<Instant>,
    /// The latest time that it was asked at: others have it, so it stands still from there on.
    asked: Option<Instant>,
}

impl StackClock {
    /// One that runs.
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Held {
            behind: Duration::ZERO,
            since: None,
            credit: CREDIT_MAX,
            ended: None,
            asked: None,
        }))
    }

    /// What the stack is told at `real`. Never goes back.
    pub(super) fn at(&self, real: Instant) -> Instant {
        let mut held = self.held();
        held.asked = held.asked.max(Some(real));
        // Nobody asks for a time before the first wait.
        real.checked_sub(held.behind + held.present(real)).unwrap_or(real)
    }

    /// Whether it is to stand still.
    pub(super) fn hold(&self, is_held: bool, real: Instant) {
        let mut held = self.held();
        let real = held.asked.map_or(real, |asked| asked.max(real));
        match held.since {
            None if is_held => {
                let pause =
                    held.ended.map_or(Duration::ZERO, |at| real.saturating_duration_since(at));
                held.credit = (held.credit + pause / CREDIT_TIMES).min(CREDIT_MAX);
                held.since = Some(real);
            }
            Some(_) if !is_held => {
                let present = held.present(real);
                held.behind += present;
                held.credit -= present;
                (held.since, held.ended) = (None, Some(real));
            }
            Some(_) | None => {}
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// How long it has stood still in the present wait; nothing once that is more than the credit.
    fn present(&self, real: Instant) -> Duration {
        let waited =
            self.since.map_or(Duration::ZERO, |since| real.saturating_duration_since(since));
        if waited <= self.credit { waited } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn it_stands_still_in_short_waits_and_in_long_ones_it_does_not() {
        let start = Instant::now();
        let after = |milliseconds| after(start, milliseconds);
        let clock = StackClock::new();
        assert_eq!(clock.at(after(500)), after(500));
        clock.hold(false, after(600));
        clock.hold(true, after(1_000));
        assert_eq!(clock.at(after(2_000)), after(1_000));
        clock.hold(true, after(2_500));
        assert_eq!(clock.at(after(2_900)), after(1_000));
        clock.hold(false, after(3_000));
        assert_eq!(clock.at(after(3_000)), after(1_000));
        assert_eq!(clock.at(after(3_800)), after(1_800));

        // A second is left, and a quarter of one came back.
        clock.hold(true, after(4_000));
        assert_eq!(clock.at(after(5_250)), after(2_000));
        assert_eq!(clock.at(after(5_251)), after(3_251));
        clock.hold(false, after(10_000));
        assert_eq!(clock.at(after(10_000)), after(8_000));
        // It cost nothing.
        clock.hold(true, after(11_000));
        assert_eq!(clock.at(after(12_250)), after(9_000));
        clock.hold(false, after(12_250));
        // In the end all of it is there.
        clock.hold(true, after(100_000));
        assert_eq!(clock.at(after(103_000)), clock.at(after(100_000)));
    }

    /// However it is used: at most a fifth of a long time.
    #[test]
    fn it_is_not_late_for_ever() {
        let start = Instant::now();
        let clock = StackClock::new();
        for tenth in 0..10_000 {
            clock.hold(true, after(start, tenth * 100));
            clock.hold(false, after(start, tenth * 100 + 20));
        }
        let end = after(start, 1_000_000);
        let late = end - clock.at(end);
        assert!((Duration::from_secs(150)..Duration::from_secs(210)).contains(&late), "{late:?}");
    }

    /// A turn takes its time at its beginning, and somebody else asks in between.
    #[test]
    fn it_never_goes_back() {
        let start = Instant::now();
        let clock = StackClock::new();
        let told = clock.at(after(start, 1_007));
        clock.hold(true, after(start, 1_000));
        assert_eq!(clock.at(after(start, 1_008)), told);
        clock.hold(false, after(start, 1_001));
        assert!(clock.at(after(start, 1_009)) >= told);
    }
}
