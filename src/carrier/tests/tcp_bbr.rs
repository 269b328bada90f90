//! TCP with BBR's first version as a competitor, as Linux has it (Cardwell et al., CACM 2017): loss does not slow it down, and
//! two bandwidth-delay products may be on their way. What is lost is not sent again; only how much is on its way matters here.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::time::Instant;

const TIMEOUT: Duration = Duration::from_millis(1_000);
const HIGH_GAIN: f64 = 2.885;
const CYCLE: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
const MINIMAL_RTT_AGE: Duration = Duration::from_secs(10);
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Startup,
    Drain,
    Cycle(usize),
    ProbeRtt { until: Instant },
}

struct Sent {
    at: Instant,
    delivered: u64,
    delivered_at: Instant,
}

pub(super) struct TcpBbr {
    phase: Phase,
    phase_at: Instant,
    next: u64,
    in_flight: BTreeMap<u64, Sent>,
    delivered: u64,
    delivered_at: Instant,
    round: u64,
    round_end: u64,
    /// (round, packets a second), largest first.
    rates: VecDeque<(u64, f64)>,
    full_rate: f64,
    full_rounds: u32,
    minimal_rtt: Duration,
    minimal_rtt_at: Instant,
    send_at: Instant,
}

impl TcpBbr {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Startup,
            phase_at: now,
            next: 0,
            in_flight: BTreeMap::new(),
            delivered: 0,
            delivered_at: now,
            round: 0,
            round_end: 0,
            rates: VecDeque::new(),
            full_rate: 0.0,
            full_rounds: 0,
            minimal_rtt: Duration::from_secs(10),
            minimal_rtt_at: now,
            send_at: now,
        }
    }

    fn rate(&self) -> f64 {
        self.rates.front().map_or(0.0, |(_, rate)| *rate)
    }

    fn window(&self) -> f64 {
        let product = self.rate() * self.minimal_rtt.as_secs_f64();
        match self.phase {
            Phase::Startup => (product * HIGH_GAIN).max(10.0),
            Phase::ProbeRtt { .. } => 4.0,
            Phase::Drain => product * HIGH_GAIN,
            Phase::Cycle(_) => (product * 2.0 + 3.0).max(4.0),
        }
    }

    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<u64> {
        if !self.in_flight.is_empty() && now >= self.delivered_at + TIMEOUT {
            self.in_flight.clear();
        }
        if now < self.send_at || self.in_flight.len() as f64 >= self.window() {
            return None;
        }
        if self.in_flight.is_empty() {
            self.delivered_at = now;
        }
        let gain = match self.phase {
            Phase::Startup => HIGH_GAIN,
            Phase::Drain => 1.0 / HIGH_GAIN,
            Phase::Cycle(at) => CYCLE[at],
            Phase::ProbeRtt { .. } => 1.0,
        };
        if self.rate() > 0.0 {
            self.send_at =
                self.send_at.max(now) + Duration::from_secs_f64(1.0 / (self.rate() * gain));
        }
        let sent = Sent { at: now, delivered: self.delivered, delivered_at: self.delivered_at };
        self.in_flight.insert(self.next, sent);
        self.next += 1;
        Some(self.next - 1)
    }

    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let is_paced = (self.in_flight.len() as f64) < self.window();
        let timeout = (!self.in_flight.is_empty()).then(|| self.delivered_at + TIMEOUT);
        let send = is_paced.then_some(self.send_at);
        timeout.into_iter().chain(send).min().map(|at| at.max(now))
    }

    pub(super) fn handle_acknowledgement(&mut self, number: u64, now: Instant) {
        let Some(sent) = self.in_flight.remove(&number) else { return };
        while let Some((&oldest, _)) =
            self.in_flight.first_key_value().filter(|(n, _)| **n + 3 <= number)
        {
            self.in_flight.remove(&oldest);
        }
        self.delivered += 1;
        self.delivered_at = now;
        let rtt = now - sent.at;
        let is_aged = now > self.minimal_rtt_at + MINIMAL_RTT_AGE;
        if rtt <= self.minimal_rtt || is_aged {
            (self.minimal_rtt, self.minimal_rtt_at) = (rtt, now);
        }
        let is_round_over = sent.delivered >= self.round_end;
        if is_round_over {
            self.round += 1;
            self.round_end = self.delivered;
        }
        let interval = (now - sent.delivered_at).as_secs_f64().max(1e-6);
        let rate = (self.delivered - sent.delivered) as f64 / interval;
        while self.rates.len() > 1 && self.rates[0].0 + 10 <= self.round {
            self.rates.pop_front();
        }
        while self.rates.back().is_some_and(|(_, smaller)| *smaller <= rate) {
            self.rates.pop_back();
        }
        self.rates.push_back((self.round, rate));
        self.advance(is_round_over, is_aged, now);
    }

    fn advance(&mut self, is_round_over: bool, is_aged: bool, now: Instant) {
        let product = self.rate() * self.minimal_rtt.as_secs_f64();
        let in_flight = self.in_flight.len() as f64;
        let next = match self.phase {
            Phase::Startup if is_round_over => {
                if self.rate() >= self.full_rate * 1.25 {
                    (self.full_rate, self.full_rounds) = (self.rate(), 0);
                } else {
                    self.full_rounds += 1;
                }
                if self.full_rounds >= 3 { Phase::Drain } else { Phase::Startup }
            }
            Phase::Drain if in_flight <= product => Phase::Cycle(2),
            Phase::Cycle(_) if is_aged => Phase::ProbeRtt { until: now + PROBE_RTT_TIME },
            Phase::Cycle(at) => {
                let is_over = now >= self.phase_at + self.minimal_rtt;
                let is_enough = match at {
                    0 => {
                        is_over && in_flight >= product * 1.25
                            || now >= self.phase_at + self.minimal_rtt * 3
                    }
                    1 => is_over || in_flight <= product,
                    _ => is_over,
                };
                if is_enough { Phase::Cycle((at + 1) % CYCLE.len()) } else { self.phase }
            }
            Phase::ProbeRtt { until } if now >= until => Phase::Cycle(2),
            same @ (Phase::Startup | Phase::Drain | Phase::ProbeRtt { .. }) => same,
        };
        if next != self.phase {
            (self.phase, self.phase_at) = (next, now);
        }
    }
}
