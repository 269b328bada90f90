//! How fast the path is: BBR (draft-ietf-ccwg-bbr) with a loss bound that tells overflow from loss that is always there.
//!
//! What is measured: the rate at which bytes arrive (largest of the last rounds) and the least round trip. What follows: the
//! pace, which is that rate times a gain that varies so that more is asked for now and then and queues are drained after it;
//! and a window, which bounds what is on its way where the measurement is wrong.
//!
//! Loss by itself slows nothing down: over radio and busy exchanges it is there at any rate. Loss together with a queue, or
//! far above what is lost when nothing is asked for, is overflow; then the amount that was on its way bounds what will be.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Instant;

/// Gain that doubles the rate each round: 4 ln 2 (draft-ietf-ccwg-bbr §2.4).
const STARTUP_GAIN: f64 = 2.77;
const DRAIN_GAIN: f64 = 0.5;
const UP_GAIN: f64 = 1.25;
/// Once more was found, more is asked for by this much: the path may have many times what was known of it.
const UP_GAIN_FOUND: f64 = 2.0;
const DOWN_GAIN: f64 = 0.85;
/// A little less than what arrives, so that queues do not stand.
const PACING_MARGIN: f64 = 0.99;
const WINDOW_GAIN: f64 = 2.0;
/// Rounds over which the largest rate counts.
const RATE_ROUNDS: u64 = 10;
/// Start-up is over after so many rounds in which the rate grew by less than a quarter.
const FULL_ROUNDS: u32 = 3;
const FULL_GROWTH: f64 = 1.25;
/// Rounds at an even pace between two times of asking for more.
const CRUISE_ROUNDS: u32 = 6;
/// Asking for more brought this much more: it is asked for again at once, as the path may have much more than that.
const UP_GROWTH: f64 = 1.15;
/// The least round trip is measured anew after this long (draft-ietf-ccwg-bbr §2.11).
const MINIMAL_RTT_AGE: Duration = Duration::from_secs(5);
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);
/// Share of a round's bytes beyond the usual loss from which on it may be overflow.
const LOSS_EXCESS: f64 = 0.02;
/// The same while the usual is not known yet: there a queue that overflows loses half, and a path with jitter seems to
/// have a queue.
const LOSS_STARTUP: f64 = 0.08;
/// Share beyond the usual from which on it is, queue or not: policers have none.
const LOSS_POLICED: f64 = 0.15;
/// Of what was on its way when a queue overflowed, this much may be: less than CUBIC keeps would starve us beside it.
const OVERFLOW_SHARE: f64 = 0.8;
/// It is cut once in so many rounds: what overflows in these was on its way. Cut in each of them, and given back more slowly
/// than it is taken, it goes to nothing beside a flow that does not mind loss (BBR's first version).
const OVERFLOW_ROUNDS: u64 = 4;
/// More that may be on its way when asking for more went well.
const OVERFLOW_GROWTH: f64 = 1.3;
/// A round trip so much longer than the least one is a queue.
const QUEUE_SHARE: f64 = 1.08;
/// Datagrams before anything is known (RFC 9002 §7.2 has 10).
const WINDOW_START: u64 = 32 * 1_200;
/// Datagrams that may be on their way however slow the path is, so that acknowledgements keep coming
/// (draft-ietf-ccwg-bbr §2.7). Of large ones, too: with one at a time the timer sets the pace, and that is then measured.
const DATAGRAMS_LEAST: u64 = 4;
/// Pace before anything is known.
const RATE_START: f64 = 1e9;
/// Pace however slow the path seems, bytes a second: about a datagram. What is far below any path fills no queue.
const RATE_LEAST: f64 = 1_000.0;
/// Of data on its way to a process that is not running at the moment, and of acknowledgements that come in heaps.
const SLACK: Duration = Duration::from_millis(2);
/// Fewer datagrams on their way than this tell nothing about loss.
const ROUND_DATAGRAMS_MIN: u64 = 14;

/// A round trip so many times what the few datagrams take that we have on their way is not of our making.
const FOREIGN_QUEUE: f64 = 8.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Startup,
    Drain,
    Cruise,
    Up,
    Down,
    ProbeRtt,
}

/// What one acknowledgement tells.
#[derive(Debug)]
pub(super) struct Sample {
    /// Bytes that arrived since the newest acknowledged packet was sent.
    pub(super) delivered: u64,
    /// In this time.
    pub(super) interval: Duration,
    pub(super) rtt: Duration,
    pub(super) total_delivered: u64,
    pub(super) delivered_when_sent: u64,
    pub(super) is_app_limited: bool,
    pub(super) arrived: u64,
    pub(super) lost: u64,
    pub(super) in_flight: u64,
}

#[derive(Debug)]
pub(super) struct Model {
    limit: Option<f64>,
    phase: Phase,
    /// Rounds that were not short of content: others do not make what was measured any older.
    busy_rounds: u64,
    /// (busy round, bytes a second), largest first.
    rates: VecDeque<(u64, f64)>,
    /// Largest rate ever seen on this path, bytes a second.
    peak_rate: f64,
    minimal_rtt: Option<Duration>,
    minimal_rtt_at: Instant,
    round: u64,
    round_end: u64,
    round_arrived: u64,
    round_lost: u64,
    round_rtt: Option<Duration>,
    foreign_rounds: u32,
    /// Whether all of the round was short of content.
    is_round_limited: bool,
    usual_loss: f64,
    full_rate: f64,
    full_rounds: u32,
    phase_round: u64,
    /// Rate when more began to be asked for.
    up_rate: f64,
    up_gain: f64,
    phase_at: Instant,
    /// What may be on its way without overflow, where there was one.
    in_flight_max: Option<u64>,
    overflow_round: u64,
    peer_buffer: u64,
    datagram_bytes: u64,
}

impl Model {
    pub(super) fn new(limit: Option<u64>, now: Instant) -> Self {
        Self {
            limit: limit.map(|limit| limit as f64),
            phase: Phase::Startup,
            busy_rounds: 0,
            rates: VecDeque::new(),
            peak_rate: 0.0,
            minimal_rtt: None,
            minimal_rtt_at: now,
            round: 0,
            round_end: 0,
            round_arrived: 0,
            round_lost: 0,
            round_rtt: None,
            foreign_rounds: 0,
            is_round_limited: true,
            usual_loss: 0.0,
            full_rate: 0.0,
            full_rounds: 0,
            phase_round: 0,
            up_rate: 0.0,
            up_gain: UP_GAIN,
            phase_at: now,
            in_flight_max: None,
            overflow_round: 0,
            peer_buffer: 128 * 1024,
            datagram_bytes: 1_200,
        }
    }

    pub(super) fn reset(&mut self, now: Instant) {
        *self = Self {
            peer_buffer: self.peer_buffer,
            datagram_bytes: self.datagram_bytes,
            limit: self.limit,
            round: self.round,
            round_end: self.round_end,
            ..Self::new(None, now)
        };
    }

    pub(super) const fn set_peer_buffer(&mut self, bytes: u64) {
        self.peer_buffer = bytes;
    }

    pub(super) const fn set_datagram(&mut self, bytes: usize) {
        self.datagram_bytes = bytes as u64;
    }

    pub(super) fn handle_sample(&mut self, sample: &Sample, now: Instant) {
        self.note_rtt(sample.rtt, now);
        self.note_rate(sample);
        self.round_arrived += sample.arrived;
        self.round_lost += sample.lost;
        self.is_round_limited &= sample.is_app_limited;
        let is_round_over = sample.delivered_when_sent >= self.round_end;
        if is_round_over {
            self.on_round(sample.in_flight);
            self.note_foreign_queue(sample.in_flight, now);
            self.round += 1;
            self.busy_rounds += u64::from(!self.is_round_limited);
            self.round_end = sample.total_delivered;
            (self.round_arrived, self.round_lost, self.round_rtt) = (0, 0, None);
            self.is_round_limited = true;
        }
        self.advance(sample, now);
    }

    /// Lost, as time told and no acknowledgement.
    pub(super) const fn handle_lost(&mut self, bytes: u64) {
        self.round_lost += bytes;
    }

    fn note_rtt(&mut self, rtt: Duration, now: Instant) {
        self.round_rtt = Some(self.round_rtt.map_or(rtt, |least| least.min(rtt)));
        if self.minimal_rtt.is_none_or(|least| rtt <= least) {
            (self.minimal_rtt, self.minimal_rtt_at) = (Some(rtt), now);
        }
    }

    fn note_rate(&mut self, sample: &Sample) {
        if sample.interval < Duration::from_micros(1) || sample.delivered == 0 {
            return;
        }
        // More in less than a round trip is a heap of acknowledgements.
        let interval = sample.interval.max(self.minimal_rtt.unwrap_or_default());
        let rate = sample.delivered as f64 / interval.as_secs_f64();
        self.peak_rate = self.peak_rate.max(rate);
        while self.rates.front().is_some_and(|(round, _)| round + RATE_ROUNDS <= self.busy_rounds)
            && self.rates.len() > 1
        {
            self.rates.pop_front();
        }
        let largest = self.rates.front().map_or(0.0, |(_, rate)| *rate);
        if sample.is_app_limited && rate <= largest {
            return;
        }
        while self.rates.back().is_some_and(|(_, smaller)| *smaller <= rate) {
            self.rates.pop_back();
        }
        self.rates.push_back((self.busy_rounds, rate));
    }

    /// A queue that stands although next to nothing of it is ours is others': the path is not to be had without it.
    fn note_foreign_queue(&mut self, in_flight: u64, now: Instant) {
        let (Some(least), Some(round)) = (self.minimal_rtt, self.round_rtt) else { return };
        // What ours takes where nobody else is: on a thin path that is long.
        let own = least.as_secs_f64() + in_flight as f64 / self.peak_rate.max(1.0);
        let is_foreign = self.phase == Phase::Cruise
            && in_flight <= self.window_least()
            && round > SLACK
            && round.as_secs_f64() > own * FOREIGN_QUEUE;
        self.foreign_rounds = if is_foreign { self.foreign_rounds + 1 } else { 0 };
        if self.foreign_rounds >= FULL_ROUNDS {
            self.foreign_rounds = 0;
            (self.minimal_rtt, self.minimal_rtt_at) = (Some(round), now);
        }
    }

    fn on_round(&mut self, in_flight: u64) {
        let total = self.round_arrived + self.round_lost;
        let least_bytes = self.round_bytes_min();
        let loss = if total < least_bytes { 0.0 } else { self.round_lost as f64 / total as f64 };
        let queue = self.has_queue();
        let excess = loss - self.usual_loss;
        let least = if self.phase == Phase::Startup { LOSS_STARTUP } else { LOSS_EXCESS };
        let is_overflow = excess > LOSS_POLICED || excess > least && queue;
        if !queue && total >= least_bytes && matches!(self.phase, Phase::Cruise | Phase::Down) {
            self.usual_loss += (loss.min(0.25) - self.usual_loss) / 8.0;
        }
        match self.phase {
            Phase::Startup => {
                if !self.is_round_limited {
                    let rate = self.bandwidth_exact();
                    if rate >= self.full_rate * FULL_GROWTH {
                        (self.full_rate, self.full_rounds) = (rate, 0);
                    } else {
                        self.full_rounds += 1;
                    }
                }
                if self.full_rounds >= FULL_ROUNDS || is_overflow {
                    if is_overflow {
                        self.in_flight_max = Some(self.product().max(WINDOW_START));
                    }
                    self.phase = Phase::Drain;
                }
            }
            Phase::Up | Phase::Cruise
                if is_overflow && self.round >= self.overflow_round + OVERFLOW_ROUNDS =>
            {
                self.overflow_round = self.round;
                let bound = (in_flight + self.round_lost).min(self.window());
                let bound = (bound as f64 * OVERFLOW_SHARE) as u64;
                self.in_flight_max = Some(bound.max(self.product()));
            }
            Phase::Drain | Phase::Cruise | Phase::Up | Phase::Down | Phase::ProbeRtt => {}
        }
    }

    fn has_queue(&self) -> bool {
        let (Some(least), Some(round)) = (self.minimal_rtt, self.round_rtt) else { return false };
        round.as_secs_f64() > least.as_secs_f64() * QUEUE_SHARE && round > least + SLACK
    }

    fn advance(&mut self, sample: &Sample, now: Instant) {
        let product = self.product();
        let rounds = self.round - self.phase_round;
        match self.phase {
            Phase::Startup => {}
            Phase::Drain | Phase::Down => {
                if sample.in_flight <= product || rounds >= 4 {
                    self.enter(Phase::Cruise, now);
                }
            }
            Phase::Cruise => {
                if now.saturating_duration_since(self.minimal_rtt_at) >= MINIMAL_RTT_AGE
                    && !sample.is_app_limited
                {
                    self.minimal_rtt = Some(sample.rtt);
                    self.minimal_rtt_at = now;
                    self.enter(Phase::ProbeRtt, now);
                } else if rounds >= u64::from(CRUISE_ROUNDS) {
                    (self.up_rate, self.up_gain) = (self.bandwidth_exact(), UP_GAIN);
                    self.enter(Phase::Up, now);
                }
            }
            Phase::Up => {
                let loss =
                    self.round_lost as f64 / (self.round_arrived + self.round_lost).max(1) as f64;
                let is_overflowing = self.round_lost > self.round_bytes_min()
                    && loss > self.usual_loss + LOSS_EXCESS
                    && self.has_queue();
                // A path that holds less than the least that may be on its way is never seen to be full.
                let least = self.slack() + self.window_least();
                let enough = (product as f64 * 1.2).max(least as f64);
                if is_overflowing || rounds >= 1 && sample.in_flight as f64 >= enough || rounds >= 3
                {
                    if !is_overflowing && let Some(most) = &mut self.in_flight_max {
                        *most = (*most as f64 * OVERFLOW_GROWTH) as u64;
                    }
                    let rate = self.bandwidth_exact();
                    let has_grown = rate >= self.up_rate * UP_GROWTH;
                    (self.up_rate, self.up_gain) = (rate, UP_GAIN_FOUND);
                    let next = if has_grown && !is_overflowing { Phase::Up } else { Phase::Down };
                    self.enter(next, now);
                }
            }
            Phase::ProbeRtt => {
                if now.saturating_duration_since(self.phase_at) >= PROBE_RTT_TIME && rounds >= 1 {
                    self.enter(Phase::Cruise, now);
                }
            }
        }
    }

    const fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.phase_round = self.round;
        self.phase_at = now;
    }

    fn bandwidth_exact(&self) -> f64 {
        self.rates.front().map_or(0.0, |(_, rate)| *rate)
    }

    /// Bytes a second that arrive.
    pub(super) fn bandwidth(&self) -> u64 {
        self.bandwidth_exact() as u64
    }

    pub(super) fn minimal_rtt(&self) -> Duration {
        self.minimal_rtt.unwrap_or_default()
    }

    /// Bytes that fill the path: rate times round trip.
    fn product(&self) -> u64 {
        (self.bandwidth_exact() * self.minimal_rtt().as_secs_f64()) as u64
    }

    /// Bytes that arrive in [`SLACK`].
    fn slack(&self) -> u64 {
        (self.bandwidth_exact() * SLACK.as_secs_f64()) as u64
    }

    const fn window_least(&self) -> u64 {
        DATAGRAMS_LEAST * self.datagram_bytes
    }

    const fn round_bytes_min(&self) -> u64 {
        ROUND_DATAGRAMS_MIN * self.datagram_bytes
    }

    /// Bytes a second that may be sent.
    pub(super) fn rate(&self) -> f64 {
        let rate = if self.rates.is_empty() { RATE_START } else { self.bandwidth_exact() };
        let gain = match self.phase {
            Phase::Startup => STARTUP_GAIN,
            Phase::Drain => DRAIN_GAIN,
            Phase::Cruise | Phase::ProbeRtt => PACING_MARGIN,
            Phase::Up => self.up_gain,
            Phase::Down => DOWN_GAIN,
        };
        let mut rate = (rate * gain).max(RATE_LEAST);
        // What was measured so far may be that little was asked for (draft-ietf-ccwg-bbr §5.6.2).
        if let (Phase::Startup, Some(rtt)) = (self.phase, self.minimal_rtt) {
            rate = rate.max(gain * WINDOW_START as f64 / rtt.as_secs_f64().max(1e-6));
        }
        self.limit.map_or(rate, |limit| rate.min(limit))
    }

    /// Bytes that may be on their way.
    pub(super) fn window(&self) -> u64 {
        if self.rates.is_empty() {
            return WINDOW_START;
        }
        let product = self.product();
        let (slack, window_least) = (self.slack(), self.window_least());
        if self.phase == Phase::ProbeRtt {
            return (product / 2).max(slack).max(window_least);
        }
        let start = if self.phase == Phase::Startup { WINDOW_START } else { 0 };
        let window = (product as f64 * WINDOW_GAIN) as u64 + slack + start.max(window_least);
        let window = window.min(product + self.peer_buffer.max(WINDOW_START));
        let most = if self.phase == Phase::Startup { None } else { self.in_flight_max };
        most.map_or(window, |most| window.min(most.max(window_least)))
    }
}
