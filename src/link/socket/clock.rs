//! The stack's clock. It stands still while a carrier waits.
//!
//! SCTP's timer runs out after a second, or little more, without an acknowledgement, and what it leaves of the window is one packet.
//! From half of the old window on (an eighth, where it ran out twice) it grows by a packet in a round trip: after two seconds without
//! a path of 300 ms that was half a minute below the path's rate, and loss alone does it there, where what was lost is lost again. The
//! carrier sends again whatever is missing, so the timer has nothing to add. The stack's other timers (ICE's
//! checks, a TURN server's permissions) bear that they stand still for a moment. They are not to be a quarter late in the long run,
//! so there is a credit. Who finds out that a peer is gone (`link::health`) has a clock of its own.

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
}

impl StackClock {
    /// One that runs.
    pub(super) const fn new() -> Self {
        let held = Held { behind: Duration::ZERO, since: None, credit: CREDIT_MAX, ended: None };
        Self(Mutex::new(held))
    }

    /// What the stack is told at `real`. Never goes back.
    pub(super) fn at(&self, real: Instant) -> Instant {
        let held = self.held();
        // Nobody asks for a time before the first wait.
        real.checked_sub(held.behind + held.present(real)).unwrap_or(real)
    }

    /// Whether it is to stand still.
    pub(super) fn hold(&self, is_held: bool, real: Instant) {
        let mut held = self.held();
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
    fn present(&self, real: Instant) -> Duration {
        self.since
            .map_or(Duration::ZERO, |since| real.saturating_duration_since(since).min(self.credit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_still_for_a_while_and_never_goes_back() {
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
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

        // A second is left, and a quarter of one came back: then it runs on.
        clock.hold(true, after(4_000));
        assert_eq!(clock.at(after(5_250)), after(2_000));
        assert_eq!(clock.at(after(9_250)), after(6_000));
        clock.hold(false, after(10_000));
        assert_eq!(clock.at(after(10_000)), after(6_750));
        // Nothing is left, and half a second comes back.
        clock.hold(true, after(12_000));
        assert_eq!(clock.at(after(12_500)), after(8_750));
        assert_eq!(clock.at(after(13_500)), after(9_750));
        // In the end all of it.
        clock.hold(false, after(14_000));
        clock.hold(true, after(100_000));
        assert_eq!(clock.at(after(103_000)), clock.at(after(100_000)));
        assert_eq!(clock.at(after(104_000)), clock.at(after(103_000)) + Duration::from_secs(1));
    }

    /// However it is used: at most a fifth of a long time.
    #[test]
    fn it_is_not_late_for_ever() {
        let start = Instant::now();
        let clock = StackClock::new();
        for second in 0..1_000 {
            let at = start + Duration::from_secs(second);
            clock.hold(true, at);
            clock.hold(false, at + Duration::from_millis(990));
        }
        let end = start + Duration::from_secs(1_000);
        assert!(end - clock.at(end) < Duration::from_secs(210), "{:?}", end - clock.at(end));
    }
}
