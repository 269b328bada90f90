//! What goes out: the stream, the datagrams that are on their way with it, and which of them are lost (RFC 9002).

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::model::{Model, Sample};
use super::mtu::PathMtu;
use super::ranges::RangeSet;
use super::receiver::LENGTH_BYTES;
use super::ring::ByteRing;
use super::rtt::{GRANULARITY, PEER_DELAY, Reordering, Rtt};
use super::wire::{self, Acknowledgement, DATA_HEADER_BYTES, PROBE_BYTES_MIN};
use super::{CarrierConfig, Figures, RECORD_BYTES_MAX, STREAM_BYTES_MAX, Train};
use crate::time::Instant;

/// Most bytes in one call to the system, below the 65,507 of a UDP payload.
const TRAIN_BYTES_MAX: usize = 65_000;

/// A timer that is so late costs nothing: what was not sent meanwhile is sent then.
const TIMER_LATENESS: Duration = Duration::from_millis(3);

/// So many large datagrams lost in a row, and later small ones not: the path takes no large ones any more.
const BLACK_HOLE_LOSSES: u32 = 6;
/// Datagrams that ask a silent path.
const PROBES: u32 = 2;
/// A peer without room is asked this often whether it has some again: what it says by itself may be lost.
const BLOCKED_PROBE: Duration = Duration::from_millis(100);
/// Silences after which the size of the datagrams is suspected.
const SILENCES_OF_SIZE: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    InFlight,
    Acknowledged,
    Lost,
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    offset: u64,
    /// Of the stream; none in a probe of the path's size.
    bytes: u32,
    /// With headers.
    wire_bytes: u32,
    sent_at: Instant,
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    is_app_limited: bool,
    fate: Fate,
}

#[derive(Debug)]
pub(super) struct Sender {
    stream: ByteRing,
    /// All before it is acknowledged.
    floor: u64,
    /// First byte that was never sent.
    next: u64,
    end: u64,
    acknowledged: RangeSet,
    /// To be sent again.
    lost: RangeSet,
    packets: VecDeque<Packet>,
    /// Number of the first of `packets`.
    base: u64,
    numbers: RangeSet,
    largest: Option<u64>,
    /// Below it every packet is acknowledged or lost.
    judged: u64,
    in_flight: u64,
    peer_limit: u64,
    overhead: usize,
    rtt: Rtt,
    timeouts: u32,
    probes: u32,
    last_sent_at: Instant,
    loss_at: Option<Instant>,
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    /// While no more than this has arrived, rates say more of the content than of the path.
    app_limited_until: Option<u64>,
    allowance: f64,
    allowance_at: Instant,
    model: Model,
    mtu: PathMtu,
    fresh: Vec<Range<u64>>,
    sent: u64,
    lost_count: u64,
    spurious: u64,
    reordering: Reordering,
    /// Newest acknowledged datagram that was larger than what always passes, and how many after it were lost.
    large_arrived: Option<u64>,
    large_lost: u32,
    /// First packet that went the present path.
    path_start: u64,
}

impl Sender {
    pub(super) fn new(config: &CarrierConfig, now: Instant) -> Self {
        Self {
            stream: ByteRing::default(),
            floor: 0,
            next: 0,
            end: 0,
            acknowledged: RangeSet::default(),
            lost: RangeSet::default(),
            packets: VecDeque::new(),
            base: 0,
            numbers: RangeSet::default(),
            largest: None,
            judged: 0,
            in_flight: 0,
            peer_limit: STREAM_BYTES_MAX,
            overhead: 0,
            rtt: Rtt::default(),
            timeouts: 0,
            probes: 0,
            last_sent_at: now,
            loss_at: None,
            delivered: 0,
            delivered_at: now,
            first_sent_at: now,
            app_limited_until: None,
            allowance: f64::INFINITY,
            allowance_at: now,
            model: Model::new(config.rate_bytes_per_second_max, now),
            mtu: PathMtu::new(config.datagram_bytes_start, config.datagram_bytes_max),
            fresh: Vec::new(),
            sent: 0,
            lost_count: 0,
            spurious: 0,
            reordering: Reordering::new(now),
            large_arrived: None,
            large_lost: 0,
            path_start: 0,
        }
    }

    pub(super) fn push(&mut self, record: &[u8]) -> bool {
        let end = self.end + LENGTH_BYTES + record.len() as u64;
        if record.is_empty()
            || record.len() > RECORD_BYTES_MAX
            || end - self.floor > STREAM_BYTES_MAX
        {
            return false;
        }
        self.stream.reserve(self.floor, self.end, end);
        self.stream.write(self.end, &(record.len() as u16).to_be_bytes());
        self.stream.write(self.end + LENGTH_BYTES, record);
        self.end = end;
        true
    }

    pub(super) fn poll_transmit(
        &mut self,
        token: u64,
        now: Instant,
        segments_max: usize,
        train: &mut Vec<u8>,
    ) -> Option<Train> {
        if self.probes > 0 {
            self.probes -= 1;
            let sent = self.send_probe(token, now, train);
            return sent.or_else(|| self.poll_transmit(token, now, segments_max, train));
        }
        if let Some(train) = self.send_size_probe(token, now, train) {
            return Some(train);
        }
        self.model.set_datagram(self.mtu.current());
        self.refill(now);
        let most = self.payload_max();
        if self.next_range(most).is_none() {
            // Said before the pace is asked, or what comes next is taken for all that the path could.
            self.note_app_limited();
            return None;
        }
        if self.allowance < self.required() {
            return None;
        }
        let mut segment = 0;
        for _ in 0..segments_max.max(1) {
            let Some(range) = self.next_range(most) else {
                self.note_app_limited();
                break;
            };
            let wire = (range.end - range.start) as usize + DATA_HEADER_BYTES;
            let has_room =
                self.in_flight == 0 || self.in_flight + wire as u64 <= self.model.window();
            let is_first = segment == 0;
            let fits = is_first || wire <= segment && train.len() + wire <= TRAIN_BYTES_MAX;
            if !has_room || !fits || self.allowance <= 0.0 {
                break;
            }
            if is_first {
                segment = wire;
            }
            self.send(token, range, now, train);
            if wire < segment {
                break;
            }
        }
        (segment > 0).then(|| self.train(segment))
    }

    fn train(&self, segment_bytes: usize) -> Train {
        Train { segment_bytes, is_whole: self.mtu.is_large(segment_bytes + self.overhead) }
    }

    /// The next bytes to be sent: lost ones first.
    fn next_range(&self, most: u64) -> Option<Range<u64>> {
        if let Some(lost) = self.lost.first() {
            return Some(lost.start..lost.end.min(lost.start + most));
        }
        let end = self.end.min(self.peer_limit).min(self.next + most);
        (end > self.next).then_some(self.next..end)
    }

    fn payload_max(&self) -> u64 {
        (self.mtu.current().saturating_sub(self.overhead + DATA_HEADER_BYTES)).max(1) as u64
    }

    fn send(&mut self, token: u64, range: Range<u64>, now: Instant, train: &mut Vec<u8>) {
        let bytes = range.end - range.start;
        let number = self.base + self.packets.len() as u64;
        wire::encode_data_header(token, number, range.start, train);
        self.stream.append(range.start, bytes as usize, train);
        if range.start < self.next {
            self.lost.remove(range.clone());
        }
        self.next = self.next.max(range.end);
        let wire_bytes = (bytes as usize + DATA_HEADER_BYTES + self.overhead) as u32;
        self.allowance -= f64::from(wire_bytes);
        self.sent += 1;
        self.note_sent(range.start, bytes as u32, wire_bytes, now);
    }

    fn note_sent(&mut self, offset: u64, bytes: u32, wire_bytes: u32, now: Instant) {
        if self.in_flight == 0 {
            (self.first_sent_at, self.delivered_at) = (now, now);
        }
        self.last_sent_at = now;
        self.in_flight += u64::from(wire_bytes);
        self.packets.push_back(Packet {
            offset,
            bytes,
            wire_bytes,
            sent_at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            is_app_limited: self.app_limited_until.is_some_and(|until| self.delivered <= until),
            fate: Fate::InFlight,
        });
    }

    fn note_app_limited(&mut self) {
        if self.in_flight < self.model.window() {
            self.app_limited_until = Some(self.delivered + self.in_flight);
        }
    }

    /// The oldest bytes that are not acknowledged once more: whether the path is there.
    fn send_probe(&mut self, token: u64, now: Instant, train: &mut Vec<u8>) -> Option<Train> {
        let most = self.payload_max();
        let range = match self.lost.first() {
            Some(lost) => lost.start..lost.end.min(lost.start + most),
            None if self.floor < self.next => self.floor..self.next.min(self.floor + most),
            None if self.is_blocked() => {
                let number = self.base + self.packets.len() as u64;
                wire::encode_probe(token, number, PROBE_BYTES_MIN, train);
                self.note_sent(0, 0, 0, now);
                return Some(self.train(PROBE_BYTES_MIN));
            }
            None => return None,
        };
        let before = train.len();
        self.send(token, range, now, train);
        Some(self.train(train.len() - before))
    }

    /// Whether larger datagrams pass; not before the path is known to be there.
    fn send_size_probe(&mut self, token: u64, now: Instant, train: &mut Vec<u8>) -> Option<Train> {
        if self.rtt.smoothed.is_none() || self.timeouts > 0 {
            return None;
        }
        let bytes = self.mtu.wanted(now)?;
        let number = self.base + self.packets.len() as u64;
        let size = bytes.saturating_sub(self.overhead).max(PROBE_BYTES_MIN);
        wire::encode_probe(token, number, size, train);
        self.mtu.handle_sent(number, bytes, now + self.rtt.probe_timeout(0));
        self.note_sent(0, 0, 0, now);
        Some(Train { segment_bytes: size, is_whole: true })
    }

    pub(super) fn handle_acknowledgement(&mut self, message: &Acknowledgement<'_>, now: Instant) {
        let next_number = self.base + self.packets.len() as u64;
        if message.largest >= next_number || message.contiguous > self.next {
            return;
        }
        let mut fresh = std::mem::take(&mut self.fresh);
        let base = self.base;
        let numbers = &mut self.numbers;
        message.for_each_range(|range| {
            let range = range.start.max(base)..range.end.max(base);
            numbers.insert(range, |part| fresh.push(part));
        });
        let mut newest: Option<(u64, Packet)> = None;
        let mut arrived = 0;
        for range in fresh.drain(..) {
            self.mtu.handle_arrived(&range);
            for number in range {
                if let Some(packet) = self.on_arrived(number, now) {
                    arrived += u64::from(packet.wire_bytes);
                    if newest.is_none_or(|(newest, _)| number > newest) {
                        newest = Some((number, packet));
                    }
                }
            }
        }
        self.fresh = fresh;
        self.on_contiguous(message.contiguous);
        self.peer_limit = self.peer_limit.max(message.contiguous + u64::from(message.window));
        self.model.set_peer_buffer(u64::from(message.buffer));
        let Some((number, packet)) = newest else { return };
        let was_silent = self.timeouts > 0;
        (self.timeouts, self.probes) = (0, 0);
        self.largest = Some(self.largest.map_or(number, |largest| largest.max(number)));
        self.delivered += arrived;
        if number < self.path_start {
            // It tells of a path that is not in use any more.
            self.forget_judged(now);
            return;
        }
        let round_trip = now.saturating_duration_since(packet.sent_at);
        if number == message.largest {
            let delay = Duration::from_micros(u64::from(message.delay_microseconds));
            let adjusted = round_trip.checked_sub(delay.min(PEER_DELAY)).unwrap_or(round_trip);
            self.rtt.update(adjusted.max(Duration::from_micros(1)));
        }
        let lost = self.detect_lost(now);
        let interval = packet.sent_at.saturating_duration_since(packet.first_sent_at);
        let interval = interval.max(now.saturating_duration_since(packet.delivered_at));
        self.first_sent_at = packet.sent_at;
        self.delivered_at = now;
        self.model.handle_sample(
            &Sample {
                delivered: self.delivered - packet.delivered,
                interval,
                rtt: self.rtt.latest,
                total_delivered: self.delivered,
                delivered_when_sent: packet.delivered,
                is_app_limited: packet.is_app_limited,
                arrived,
                // A path that was away says nothing about its queues.
                lost: if was_silent { 0 } else { lost },
                in_flight: self.in_flight,
            },
            now,
        );
        self.forget_judged(now);
    }

    /// Notes that a packet arrived; `None` if it was known, or nobody asks for it any more.
    fn on_arrived(&mut self, number: u64, now: Instant) -> Option<Packet> {
        let packet = self.packets.get_mut(usize::try_from(number.checked_sub(self.base)?).ok()?)?;
        let fate = std::mem::replace(&mut packet.fate, Fate::Acknowledged);
        let packet = *packet;
        match fate {
            Fate::InFlight => self.in_flight -= u64::from(packet.wire_bytes),
            Fate::Lost => {
                self.spurious += 1;
                self.reordering.handle_spurious(self.rtt.value(), now);
            }
            Fate::Acknowledged => return None,
        }
        if self.mtu.is_large(packet.wire_bytes as usize) {
            self.large_arrived = self.large_arrived.max(Some(number));
            self.large_lost = 0;
        }
        let range = packet.offset..packet.offset + u64::from(packet.bytes);
        if range.end > self.floor && !range.is_empty() {
            self.lost.remove(range.clone());
            self.acknowledged.insert(range.start.max(self.floor)..range.end, |_| {});
            if let Some(first) = self.acknowledged.first().filter(|first| first.start <= self.floor)
            {
                let end = first.end;
                self.on_contiguous(end);
            }
        }
        Some(packet)
    }

    fn on_contiguous(&mut self, end: u64) {
        if end > self.floor {
            self.floor = end;
            self.acknowledged.remove_below(end);
            self.lost.remove_below(end);
        }
    }

    /// Finds what is lost; how many bytes.
    fn detect_lost(&mut self, now: Instant) -> u64 {
        self.loss_at = None;
        let Some(largest) = self.largest else { return 0 };
        self.reordering.handle_time(self.rtt.value(), now);
        let delay = self.rtt.loss_delay(self.reordering);
        let mut bytes = 0;
        self.judged = self.judged.max(self.base);
        while self.judged < largest {
            let index = (self.judged - self.base) as usize;
            let Some(packet) = self.packets.get(index) else { break };
            if packet.fate == Fate::InFlight {
                let at = packet.sent_at + delay;
                if at > now {
                    self.loss_at = Some(at);
                    break;
                }
                let is_after_arrived = self.large_arrived.is_none_or(|last| last < self.judged);
                if self.mtu.is_large(packet.wire_bytes as usize) && is_after_arrived {
                    self.large_lost += 1;
                }
                bytes += self.give_up(index);
            }
            self.judged += 1;
        }
        if self.large_lost >= BLACK_HOLE_LOSSES {
            self.large_lost = 0;
            self.mtu.handle_black_hole();
        }
        bytes
    }

    /// Holds a packet for lost, if it is on its way: what it carried goes again. How many bytes of the path it was.
    fn give_up(&mut self, index: usize) -> u64 {
        let Some(packet) = self.packets.get_mut(index).filter(|p| p.fate == Fate::InFlight) else {
            return 0;
        };
        packet.fate = Fate::Lost;
        self.in_flight -= u64::from(packet.wire_bytes);
        if packet.bytes == 0 {
            return 0;
        }
        self.lost_count += 1;
        let start = packet.offset.max(self.floor);
        let end = (packet.offset + u64::from(packet.bytes)).max(start);
        let lost = &mut self.lost;
        self.acknowledged.missing_in(start..end, |part| lost.insert(part, |_| {}));
        u64::from(packet.wire_bytes)
    }

    /// Lets go of packets that nothing can be learnt of any more.
    fn forget_judged(&mut self, now: Instant) {
        // Those held for lost are kept until they would be later than anything is.
        let late = self.rtt.value() * 2;
        while let Some(packet) = self.packets.front()
            && (packet.fate == Fate::Acknowledged
                || packet.fate == Fate::Lost && packet.sent_at + late <= now)
            && self.base < self.judged.max(self.largest.unwrap_or(0))
        {
            self.packets.pop_front();
            self.base += 1;
        }
        self.numbers.remove_below(self.base);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.mtu.handle_timeout(now);
        if self.loss_at.is_some_and(|at| at <= now) {
            let lost = self.detect_lost(now);
            self.model.handle_lost(lost);
            self.forget_judged(now);
        }
        if self.probe_at().is_some_and(|at| at <= now) {
            self.timeouts = self.timeouts.saturating_add(1);
            self.probes = PROBES;
            // Counts from here.
            self.last_sent_at = now;
            if self.timeouts >= SILENCES_OF_SIZE {
                self.mtu.handle_silence();
            }
        }
    }

    fn probe_at(&self) -> Option<Instant> {
        let is_asked = self.floor < self.next && (self.in_flight > 0 || self.timeouts > 0);
        let after = if self.is_blocked() { BLOCKED_PROBE } else { Duration::ZERO };
        (is_asked || self.is_blocked())
            .then(|| self.last_sent_at + self.rtt.probe_timeout(self.timeouts).max(after))
    }

    /// The peer has no room, and nothing is on its way that would make it say when it has.
    const fn is_blocked(&self) -> bool {
        self.floor == self.next && self.next < self.end && self.peer_limit <= self.next
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let has_more = self.next_range(self.payload_max()).is_some_and(|range| {
            let wire = range.end - range.start + DATA_HEADER_BYTES as u64;
            self.in_flight == 0 || self.in_flight + wire <= self.model.window()
        });
        let paced = has_more.then(|| {
            let missing = (self.required() - self.allowance).max(0.0);
            self.allowance_at + Duration::from_secs_f64((missing / self.model.rate()).min(10.0))
        });
        let times = [paced, self.loss_at, self.probe_at(), self.mtu.poll_timeout()];
        times.into_iter().flatten().min()
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.allowance_at).as_secs_f64();
        self.allowance_at = now;
        let rate = self.model.rate();
        let most = (self.quantum() * 2.0).max(rate * TIMER_LATENESS.as_secs_f64());
        self.allowance = (self.allowance + elapsed * rate).min(most);
    }

    /// What is sent at once: what a timer of a millisecond lets through, two datagrams at least.
    fn quantum(&self) -> f64 {
        let least = 2.0 * self.mtu.current() as f64;
        (self.model.rate() * GRANULARITY.as_secs_f64()).max(least)
    }

    /// What the pace must have let through before something is sent. Less than a quantum waits for no company.
    fn required(&self) -> f64 {
        let lost = self.lost.first().map_or(0, |lost| lost.end - lost.start);
        let fresh = self.end.min(self.peer_limit).saturating_sub(self.next);
        self.quantum().min((lost + fresh) as f64)
    }

    /// Whether anything that was sent is not acknowledged by a peer who was heard on this path.
    pub(super) const fn is_waiting(&self) -> bool {
        self.floor < self.next && self.rtt.smoothed.is_some()
    }

    pub(super) fn handle_too_large(&mut self, bytes: usize) {
        self.mtu.handle_too_large(bytes + self.overhead);
    }

    pub(super) fn handle_path(&mut self, overhead: usize, now: Instant) {
        self.overhead = overhead;
        self.mtu.reset();
        self.rtt = Rtt::default();
        self.model.reset(now);
        self.timeouts = 0;
        self.reordering = Reordering::new(now);
        (self.large_arrived, self.large_lost) = (None, 0);
        // What is on its way went another one: it goes again, and says nothing about this one.
        self.path_start = self.base + self.packets.len() as u64;
        self.judged = self.judged.max(self.base);
        for index in 0..self.packets.len() {
            self.give_up(index);
        }
        self.judged = self.path_start;
        self.loss_at = None;
        self.app_limited_until = None;
        (self.allowance, self.allowance_at) = (0.0, now);
    }

    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        let packets = self.packets.capacity() * size_of::<Packet>();
        let ranges = self.acknowledged.len() + self.lost.len() + self.numbers.len();
        self.stream.capacity() + packets + ranges * size_of::<Range<u64>>()
    }

    pub(super) const fn is_cut(&self) -> bool {
        self.mtu.is_cut()
    }

    pub(super) fn figures(&self) -> Figures {
        Figures {
            smoothed_rtt: self.rtt.value(),
            minimal_rtt: self.model.minimal_rtt(),
            delivery_rate: self.model.bandwidth(),
            pacing_rate: self.model.rate() as u64,
            in_flight: self.in_flight,
            queued: self.end - self.next,
            datagram_bytes: self.mtu.current(),
            sent: self.sent,
            lost: self.lost_count,
            spurious: self.spurious,
            acknowledged_bytes: self.floor,
            refused: 0,
        }
    }
}
