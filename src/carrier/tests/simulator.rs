//! A network in virtual time: one bottleneck with a drop-tail queue that several flows share, and a wide way back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::super::{Carrier, CarrierConfig, Figures};
use super::tcp::{Control, Tcp};
use super::tcp_bbr::TcpBbr;
use crate::time::Instant;

/// What the network adds to a datagram: IPv4 and UDP.
const OVERHEAD: usize = 28;
const RECORD_BYTES: usize = 16_000;

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The path. All of it may be changed while time stands still.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// Bytes a second of the bottleneck.
    pub(super) rate: f64,
    pub(super) one_way: Duration,
    pub(super) queue_bytes: f64,
    /// Share lost at random, both ways.
    pub(super) loss: f64,
    /// Up to so much is added, each datagram for itself: it reorders.
    pub(super) jitter: Duration,
    pub(super) duplicate: f64,
    /// Share of time in bursts in which half is lost, and their length in datagrams.
    pub(super) burst: Option<(f64, f64)>,
    pub(super) is_dead: bool,
    /// Larger datagrams, headers included, vanish.
    pub(super) mtu: usize,
}

pub(super) fn path(megabits: f64, round_trip_ms: u64, queue_kilobytes: f64) -> Path {
    Path {
        rate: megabits * 1e6 / 8.0,
        one_way: Duration::from_millis(round_trip_ms) / 2,
        queue_bytes: queue_kilobytes * 1e3,
        loss: 0.0,
        jitter: Duration::ZERO,
        duplicate: 0.0,
        burst: None,
        is_dead: false,
        mtu: 1_500,
    }
}

enum Event {
    Arrival { flow: usize, is_back: bool, datagram: Vec<u8> },
    Wake { flow: usize, is_back: bool },
}

struct Scheduled {
    at: Instant,
    order: u64,
    event: Event,
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scheduled {}

/// What carries a flow.
#[expect(clippy::large_enum_variant, reason = "a handful of them")]
enum Kind {
    Carrier { ends: [Carrier; 2], pushed: u64, popped: u64 },
    Tcp(Tcp),
    TcpBbr(TcpBbr),
}

pub(super) struct Flow {
    kind: Kind,
    /// Has something to send.
    pub(super) is_on: bool,
    /// Payload that arrived, in order.
    pub(super) delivered: u64,
    pub(super) offered: u64,
    pub(super) overflowed: u64,
    /// Records still to be pushed; all that fit if `None`.
    pub(super) left: Option<u64>,
    /// When each end is looked at next.
    wakes: [Option<Instant>; 2],
}

pub(super) struct Network {
    pub(super) path: Path,
    pub(super) flows: Vec<Flow>,
    pub(super) now: Instant,
    pub(super) start: Instant,
    random: Random,
    events: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
    free_at: Instant,
    is_in_burst: bool,
    queue_integral: f64,
    queue_since: Instant,
    pattern: Vec<u8>,
    /// Whether records are taken out.
    pub(super) is_reading: bool,
    /// Grain of the timer.
    pub(super) grain: Duration,
    /// What the far socket holds, for flows that are added from now on.
    pub(super) socket_bytes: u32,
}

impl Network {
    pub(super) fn new(path: Path, seed: u64) -> Self {
        let start = Instant::now();
        let mut random = Random(seed);
        let pattern = (0..RECORD_BYTES + 256).map(|_| random.next() as u8).collect();
        Self {
            path,
            flows: Vec::new(),
            now: start,
            start,
            random,
            events: BinaryHeap::new(),
            order: 0,
            free_at: start,
            is_in_burst: false,
            queue_integral: 0.0,
            queue_since: start,
            pattern,
            is_reading: true,
            grain: Duration::from_millis(1),
            socket_bytes: 8 << 20,
        }
    }

    pub(super) fn add_carrier(&mut self, limit: Option<u64>, datagram_bytes_max: usize) -> usize {
        let config = CarrierConfig {
            token_out: 7,
            token_in: 9,
            datagram_bytes_start: 1_200,
            datagram_bytes_max,
            receive_window_bytes: self.socket_bytes,
            rate_bytes_per_second_max: limit,
        };
        let other = CarrierConfig { token_out: 9, token_in: 7, ..config };
        let ends = [Carrier::new(config, self.now), Carrier::new(other, self.now)];
        self.add(Kind::Carrier { ends, pushed: 0, popped: 0 })
    }

    pub(super) fn add_tcp(&mut self, control: Control) -> usize {
        self.add(Kind::Tcp(Tcp::new(control, self.now)))
    }

    pub(super) fn add_tcp_bbr(&mut self) -> usize {
        self.add(Kind::TcpBbr(TcpBbr::new(self.now)))
    }

    fn add(&mut self, kind: Kind) -> usize {
        self.flows.push(Flow {
            kind,
            is_on: true,
            delivered: 0,
            offered: 0,
            overflowed: 0,
            left: None,
            wakes: [None; 2],
        });
        let flow = self.flows.len() - 1;
        self.schedule(self.now, Event::Wake { flow, is_back: false });
        flow
    }

    pub(super) fn figures(&self, flow: usize) -> Figures {
        match &self.flows[flow].kind {
            Kind::Carrier { ends, .. } => ends[0].figures(),
            Kind::Tcp(_) | Kind::TcpBbr(_) => Figures::default(),
        }
    }

    /// Both ends are told of another path.
    pub(super) fn change_path(&mut self, flow: usize, overhead: usize) {
        let now = self.now;
        if let Kind::Carrier { ends, .. } = &mut self.flows[flow].kind {
            ends.iter_mut().for_each(|end| end.handle_path(overhead, now));
        }
        self.wake(flow);
    }

    /// Something was changed from outside: look at the flow again.
    pub(super) fn wake(&mut self, flow: usize) {
        for is_back in [false, true] {
            self.schedule(self.now, Event::Wake { flow, is_back });
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse(next)) = self.events.peek() {
            if next.at > end {
                break;
            }
            let Some(Reverse(scheduled)) = self.events.pop() else { break };
            self.now = scheduled.at;
            match scheduled.event {
                Event::Arrival { flow, is_back, datagram } => self.arrive(flow, is_back, &datagram),
                Event::Wake { flow, is_back } => self.turn(flow, is_back),
            }
        }
        self.now = end;
    }

    /// Runs until every flow has what it was to get; how long it took.
    pub(super) fn run_to_end(&mut self, most: Duration) -> Option<Duration> {
        let start = self.now;
        while self.now < start + most {
            self.run(Duration::from_millis(10));
            if self.flows.iter().all(Flow::is_done) {
                return Some(self.now - start);
            }
        }
        None
    }

    /// Mean bytes in the queue since the last call.
    pub(super) fn mean_queue(&mut self) -> f64 {
        let mean = self.queue_integral / (self.now - self.queue_since).as_secs_f64();
        (self.queue_integral, self.queue_since) = (0.0, self.now);
        mean
    }

    pub(super) fn set_rate(&mut self, rate: f64) {
        let backlog = self.backlog();
        self.path.rate = rate;
        self.free_at = self.now + Duration::from_secs_f64(backlog / rate);
    }

    fn backlog(&self) -> f64 {
        self.free_at.saturating_duration_since(self.now).as_secs_f64() * self.path.rate
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.order += 1;
        self.events.push(Reverse(Scheduled { at, order: self.order, event }));
    }

    fn arrive(&mut self, flow: usize, is_back: bool, datagram: &[u8]) {
        match &mut self.flows[flow].kind {
            Kind::Carrier { ends, .. } => {
                ends[usize::from(!is_back)].handle_datagram(datagram, self.now);
                self.turn(flow, !is_back);
            }
            Kind::Tcp(_) | Kind::TcpBbr(_) if !is_back => {
                self.flows[flow].delivered += (datagram.len() - 12) as u64;
                self.transmit(flow, true, datagram[..40].to_vec());
            }
            Kind::Tcp(tcp) => {
                tcp.handle_acknowledgement(number_of(datagram), self.now);
                self.turn(flow, false);
            }
            Kind::TcpBbr(tcp) => {
                tcp.handle_acknowledgement(number_of(datagram), self.now);
                self.turn(flow, false);
            }
        }
    }

    /// One end of a flow does what there is to do.
    fn turn(&mut self, flow: usize, is_back: bool) {
        let now = self.now;
        let mut out: Vec<Vec<u8>> = Vec::new();
        let mut wake = None;
        let flow_state = &mut self.flows[flow];
        match &mut flow_state.kind {
            Kind::Carrier { ends, pushed, popped } => {
                let end = &mut ends[usize::from(is_back)];
                if end.poll_timeout().is_some_and(|at| at <= now) {
                    end.handle_timeout(now);
                }
                let mut into = [0; RECORD_BYTES + 256];
                while self.is_reading
                    && let Some(bytes) = end.pop_record(&mut into)
                {
                    let length = RECORD_BYTES - (*popped % 200) as usize;
                    assert_eq!(bytes, length, "record {popped} has another length");
                    assert!(into[..8] == popped.to_be_bytes(), "records out of order");
                    assert!(
                        into[8..bytes] == self.pattern[8..bytes],
                        "record {popped} was damaged"
                    );
                    *popped += 1;
                    flow_state.delivered += bytes as u64;
                }
                let mut train = Vec::new();
                loop {
                    while !is_back
                        && flow_state.is_on
                        && flow_state.left != Some(0)
                        && end.figures().queued < 512 * 1024
                    {
                        let length = RECORD_BYTES - (*pushed % 200) as usize;
                        self.pattern[..8].copy_from_slice(&pushed.to_be_bytes());
                        if !end.push_record(&self.pattern[..length]) {
                            break;
                        }
                        *pushed += 1;
                        flow_state.left = flow_state.left.map(|left| left - 1);
                    }
                    train.clear();
                    let Some(sent) = end.poll_transmit(now, 64, &mut train) else { break };
                    assert!(train.len() <= 65_000 && sent.segment_bytes > 0);
                    out.extend(train.chunks(sent.segment_bytes).map(<[u8]>::to_vec));
                }
                if let Some(at) = end.poll_timeout() {
                    // A timer rounds up.
                    let passed = at.max(now).saturating_duration_since(self.start).as_nanos();
                    let grain = self.grain.as_nanos();
                    let at = self.start
                        + Duration::from_nanos(passed.div_ceil(grain).saturating_mul(grain) as u64);
                    wake = Some(if at <= now { now + self.grain } else { at });
                }
            }
            Kind::Tcp(tcp) => {
                let is_on = flow_state.is_on;
                while let Some(number) = tcp.poll_transmit(now, is_on) {
                    out.push(segment(number));
                }
                wake = tcp.poll_timeout(now);
            }
            Kind::TcpBbr(tcp) => {
                while let Some(number) = tcp.poll_transmit(now) {
                    out.push(segment(number));
                }
                wake = tcp.poll_timeout(now);
            }
        }
        let known = &mut flow_state.wakes[usize::from(is_back)];
        if let Some(at) = wake
            && known.is_none_or(|known| known <= now || at < known)
        {
            *known = Some(at);
            self.schedule(at, Event::Wake { flow, is_back });
        }
        for datagram in out {
            self.transmit(flow, is_back, datagram);
        }
    }

    fn transmit(&mut self, flow: usize, is_back: bool, datagram: Vec<u8>) {
        let wire = datagram.len() + OVERHEAD;
        let mut at = self.now;
        if !is_back {
            self.flows[flow].offered += 1;
        }
        if self.path.is_dead || wire > self.path.mtu {
            return;
        }
        if !is_back {
            let backlog = self.backlog();
            if backlog + wire as f64 > self.path.queue_bytes {
                self.flows[flow].overflowed += 1;
                return;
            }
            // What waits before it, for as long as it takes: the integral of the queue.
            let sending = wire as f64 / self.path.rate;
            self.queue_integral += wire as f64 * backlog / self.path.rate;
            self.free_at = self.free_at.max(self.now) + Duration::from_secs_f64(sending);
            at = self.free_at;
        }
        if self.is_lost() {
            return;
        }
        let copies = 1 + u32::from(self.random.unit() < self.path.duplicate);
        for _ in 0..copies {
            let jitter = self.path.jitter.mul_f64(self.random.unit());
            let event = Event::Arrival { flow, is_back, datagram: datagram.clone() };
            self.schedule(at + self.path.one_way + jitter, event);
        }
    }

    fn is_lost(&mut self) -> bool {
        if let Some((share, length)) = self.path.burst {
            let leave = 1.0 / length;
            let change = if self.is_in_burst { leave } else { leave * share / (1.0 - share) };
            self.is_in_burst ^= self.random.unit() < change;
            if self.is_in_burst && self.random.unit() < 0.5 {
                return true;
            }
        }
        self.random.unit() < self.path.loss
    }
}

/// A segment of TCP: its number, and as many bytes as fit.
fn segment(number: u64) -> Vec<u8> {
    let mut datagram = vec![0; 1_460];
    datagram[..8].copy_from_slice(&number.to_be_bytes());
    datagram
}

fn number_of(datagram: &[u8]) -> u64 {
    datagram.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Flow {
    fn is_done(&self) -> bool {
        match &self.kind {
            Kind::Carrier { pushed, popped, .. } => self.left == Some(0) && pushed == popped,
            Kind::Tcp(_) | Kind::TcpBbr(_) => true,
        }
    }
}
