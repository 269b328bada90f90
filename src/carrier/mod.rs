//! A stand-in for the core, until that is there: reliable and in order, go-back-N in a fixed window, and nothing more. No
//! rate model, no pacing, no path probing.
#![allow(missing_docs, clippy::missing_const_for_fn)]
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy)]
pub struct CarrierConfig {
    pub token_out: u64,
    pub token_in: u64,
    pub datagram_bytes_start: usize,
    pub datagram_bytes_max: usize,
    pub rate_bytes_per_second_max: Option<u64>,
    /// What the peer may have under way to us: what our socket holds while we do not read.
    pub receive_window_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
pub struct Train {
    pub segment_bytes: usize,
}

const MARKER: u8 = 0x0c;
const DATA: u8 = 0;
const ACKNOWLEDGEMENT: u8 = 1;
const HEADER: usize = 20;
const ACKNOWLEDGEMENT_BYTES: usize = 22;
const TRAIN_BYTES_MAX: usize = 65_000;
const QUEUE_BYTES_MAX: u64 = 12 << 20;
const PROBE_MIN: Duration = Duration::from_millis(100);
const PROBE_MAX: Duration = Duration::from_millis(800);
const ACKNOWLEDGE_BYTES: u64 = 64 * 1024;
const ACKNOWLEDGE_DELAY: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub struct Carrier {
    config: CarrierConfig,
    datagram: usize,
    /// Bytes from `acked - spare` on.
    out: Vec<u8>,
    spare: usize,
    acked: u64,
    next: u64,
    window: u64,
    probe: Duration,
    progress_at: Instant,
    repeats: u32,
    input: Vec<u8>,
    input_at: usize,
    expected: u64,
    told: u64,
    owes: Option<Instant>,
    is_urgent: bool,
    has_heard: bool,
    figures: Figures,
}

#[derive(Debug, Default, Clone, Copy)]
pub struct Figures {
    pub refused: u64,
    pub lost: u64,
    pub sent_again_bytes: u64,
}

impl Carrier {
    pub fn new(config: CarrierConfig, now: Instant) -> Self {
        Self {
            config,
            datagram: config.datagram_bytes_max.min(TRAIN_BYTES_MAX),
            out: Vec::new(),
            spare: 0,
            acked: 0,
            next: 0,
            window: 64 * 1024,
            probe: PROBE_MIN,
            progress_at: now,
            repeats: 0,
            input: Vec::new(),
            input_at: 0,
            expected: 0,
            told: 0,
            owes: None,
            is_urgent: false,
            has_heard: false,
            figures: Figures::default(),
        }
    }

    pub fn is_carried(datagram: &[u8]) -> bool {
        datagram.first() == Some(&MARKER)
    }

    fn end(&self) -> u64 {
        self.acked + (self.out.len() - self.spare) as u64
    }

    pub fn push_record(&mut self, record: &[u8], now: Instant) -> bool {
        if !self.has_room() {
            return false;
        }
        if self.end() == self.acked {
            self.progress_at = now;
        }
        if self.spare >= 1 << 20 {
            self.out.drain(..self.spare);
            self.spare = 0;
        }
        self.out.extend_from_slice(&(record.len() as u16).to_be_bytes());
        self.out.extend_from_slice(record);
        true
    }

    pub fn has_room(&self) -> bool {
        self.end() - self.acked < QUEUE_BYTES_MAX
    }

    pub fn handle_datagram(&mut self, datagram: &[u8], now: Instant) -> bool {
        if datagram.len() < HEADER || datagram[2..10] != self.config.token_in.to_be_bytes() {
            self.figures.refused += 1;
            return false;
        }
        self.has_heard = true;
        let number = |at: usize| {
            datagram[at..at + 8].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        if datagram[1] == DATA {
            let offset = number(12);
            if offset == self.expected {
                if self.input_at == self.input.len() {
                    self.input.clear();
                    self.input_at = 0;
                }
                self.input.extend_from_slice(&datagram[HEADER..]);
                self.expected += (datagram.len() - HEADER) as u64;
                self.owes.get_or_insert(now + ACKNOWLEDGE_DELAY);
            } else {
                self.is_urgent = true;
            }
        } else if datagram[1] == ACKNOWLEDGEMENT && datagram.len() == ACKNOWLEDGEMENT_BYTES {
            let acked = number(10);
            self.window = u64::from(u32::from_be_bytes([
                datagram[18],
                datagram[19],
                datagram[20],
                datagram[21],
            ]));
            if acked > self.acked && acked <= self.end() {
                self.spare += (acked - self.acked) as usize;
                self.acked = acked;
                self.next = self.next.max(acked);
                self.progress_at = now;
                self.probe = PROBE_MIN;
                self.repeats = 0;
            } else if acked == self.acked && self.next > self.acked {
                self.repeats += 1;
                if self.repeats == 3 {
                    self.rewind(now);
                }
            }
        }
        true
    }

    fn rewind(&mut self, now: Instant) {
        self.figures.lost += 1;
        self.figures.sent_again_bytes += self.next - self.acked;
        self.next = self.acked;
        self.progress_at = now;
    }

    pub fn pop_record(&mut self, into: &mut [u8]) -> Option<usize> {
        let bytes = self.next_record_bytes()?;
        let record = &self.input[self.input_at + 2..self.input_at + 2 + bytes];
        self.input_at += 2 + bytes;
        into.get_mut(..bytes)?.copy_from_slice(record);
        if self.input_at >= 1 << 20 {
            self.input.drain(..self.input_at);
            self.input_at = 0;
        }
        Some(bytes)
    }

    pub fn next_record_bytes(&self) -> Option<usize> {
        let rest = &self.input[self.input_at..];
        let bytes = usize::from(*rest.first()?) << 8 | usize::from(*rest.get(1)?);
        (rest.len() >= bytes + 2).then_some(bytes)
    }

    pub fn poll_transmit(
        &mut self,
        now: Instant,
        segments_max: usize,
        train: &mut Vec<u8>,
    ) -> Option<Train> {
        let is_due = self.owes.is_some_and(|at| at <= now);
        if self.is_urgent || is_due || self.expected - self.told >= ACKNOWLEDGE_BYTES {
            self.told = self.expected;
            self.owes = None;
            self.is_urgent = false;
            train.extend_from_slice(&[MARKER, ACKNOWLEDGEMENT]);
            train.extend_from_slice(&self.config.token_out.to_be_bytes());
            train.extend_from_slice(&self.expected.to_be_bytes());
            let window = u32::try_from(self.config.receive_window_bytes).unwrap_or(u32::MAX);
            train.extend_from_slice(&window.to_be_bytes());
            return Some(Train { segment_bytes: train.len() });
        }
        let payload = self.datagram - HEADER;
        let limit = self.end().min(self.acked + self.window);
        let mut segments = 0;
        while self.next < limit
            && segments < segments_max
            && (segments == 0 || train.len() + self.datagram <= TRAIN_BYTES_MAX)
        {
            let take = payload.min((limit - self.next) as usize);
            let at = self.spare + (self.next - self.acked) as usize;
            train.extend_from_slice(&[MARKER, DATA]);
            train.extend_from_slice(&self.config.token_out.to_be_bytes());
            train.extend_from_slice(&[0, 0]);
            train.extend_from_slice(&self.next.to_be_bytes());
            train.extend_from_slice(&self.out[at..at + take]);
            self.next += take as u64;
            segments += 1;
        }
        (segments > 0).then_some(Train { segment_bytes: self.datagram })
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let probe = (self.next > self.acked).then_some(self.progress_at + self.probe);
        probe.into_iter().chain(self.owes).min()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next > self.acked && now >= self.progress_at + self.probe {
            self.rewind(now);
            self.probe = (self.probe * 2).min(PROBE_MAX);
        }
    }

    pub fn handle_too_large(&mut self, datagram_bytes: usize, now: Instant) {
        if datagram_bytes <= self.datagram {
            let below = [8_900, 1_452].into_iter().find(|bytes| *bytes < datagram_bytes);
            self.datagram = below.unwrap_or(self.config.datagram_bytes_start);
        }
        self.rewind(now);
    }

    pub fn handle_path(&mut self, overhead_bytes: usize, now: Instant) {
        let most = if overhead_bytes > 0 { 1_400 } else { TRAIN_BYTES_MAX };
        self.datagram = self.config.datagram_bytes_max.min(most);
        self.probe = PROBE_MIN;
        if self.next > self.acked {
            self.rewind(now);
        }
    }

    pub fn figures(&self) -> Figures {
        self.figures
    }
}
