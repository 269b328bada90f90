//! TCP as a competitor: ack-clocked windows of Reno (RFC 5681) and CUBIC (RFC 9438), each packet acknowledged by itself.
//! What is lost is not sent again; only how much is on its way matters here.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Instant;

const TIMEOUT: Duration = Duration::from_millis(1_000);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Reno,
    Cubic,
}

pub(super) struct Tcp {
    control: Control,
    window: f64,
    threshold: f64,
    next: u64,
    in_flight: BTreeMap<u64, Instant>,
    recovery_end: u64,
    most: f64,
    epoch: Option<Instant>,
    round_trip: f64,
    heard_at: Instant,
}

impl Tcp {
    pub(super) fn new(control: Control, now: Instant) -> Self {
        Self {
            control,
            window: 10.0,
            threshold: f64::INFINITY,
            next: 0,
            in_flight: BTreeMap::new(),
            recovery_end: 0,
            most: 0.0,
            epoch: None,
            round_trip: 0.1,
            heard_at: now,
        }
    }

    pub(super) fn poll_transmit(&mut self, now: Instant, is_on: bool) -> Option<u64> {
        if !self.in_flight.is_empty() && now >= self.heard_at + TIMEOUT {
            self.in_flight.clear();
            self.threshold = (self.window / 2.0).max(2.0);
            (self.window, self.epoch, self.heard_at) = (2.0, None, now);
        }
        if !is_on || self.in_flight.len() as f64 >= self.window {
            return None;
        }
        if self.in_flight.is_empty() {
            self.heard_at = now;
        }
        self.in_flight.insert(self.next, now);
        self.next += 1;
        Some(self.next - 1)
    }

    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        (!self.in_flight.is_empty()).then(|| (self.heard_at + TIMEOUT).max(now))
    }

    pub(super) fn handle_acknowledgement(&mut self, number: u64, now: Instant) {
        self.heard_at = now;
        let Some(sent) = self.in_flight.remove(&number) else { return };
        let sample = now.saturating_duration_since(sent).as_secs_f64();
        self.round_trip += (sample - self.round_trip) / 8.0;
        // Three later ones arrived.
        let mut is_lost = false;
        while let Some((&oldest, _)) =
            self.in_flight.first_key_value().filter(|(n, _)| **n + 3 <= number)
        {
            self.in_flight.remove(&oldest);
            is_lost |= oldest >= self.recovery_end;
        }
        if is_lost {
            self.recovery_end = self.next;
            self.most = self.window;
            self.epoch = None;
            self.window = match self.control {
                Control::Reno => self.window * 0.5,
                Control::Cubic => self.window * 0.7,
            }
            .max(2.0);
            self.threshold = self.window;
        } else if self.window < self.threshold {
            self.window += 1.0;
        } else {
            self.grow(now);
        }
    }

    fn grow(&mut self, now: Instant) {
        let reno = 1.0 / self.window;
        match self.control {
            Control::Reno => self.window += reno,
            Control::Cubic => {
                let epoch = *self.epoch.get_or_insert(now);
                let time = now.saturating_duration_since(epoch).as_secs_f64() + self.round_trip;
                let k = (self.most * 0.3 / 0.4).cbrt();
                let target = 0.4 * (time - k).powi(3) + self.most;
                let target = target.clamp(self.window, self.window * 1.5);
                self.window += ((target - self.window) / self.window).max(reno * 0.53);
            }
        }
    }
}
