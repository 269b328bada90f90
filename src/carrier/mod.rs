//! Stand-in until the core is merged: loss-free paths only.
#![allow(missing_docs, dead_code, clippy::missing_const_for_fn)]
use std::collections::VecDeque;
use std::time::Instant;

pub struct CarrierConfig {
    pub token_out: u64,
    pub token_in: u64,
    pub datagram_bytes_start: usize,
    pub datagram_bytes_max: usize,
    pub rate_bytes_per_second_max: Option<u64>,
}
#[derive(Debug, Clone, Copy)]
pub struct Train {
    pub segment_bytes: usize,
}
#[derive(Debug)]
pub struct Carrier {
    config: (u64, u64),
    datagram: usize,
    out: Vec<u8>,
    out_at: usize,
    offset: u64,
    input: VecDeque<u8>,
    expected: u64,
}
const HEADER: usize = 20;
#[derive(Debug, Default, Clone, Copy)]
pub struct Figures {
    pub refused: u64,
}
impl Carrier {
    pub fn new(config: CarrierConfig, _now: Instant) -> Self {
        Self {
            config: (config.token_out, config.token_in),
            datagram: config.datagram_bytes_max,
            out: Vec::new(),
            out_at: 0,
            offset: 0,
            input: VecDeque::new(),
            expected: 0,
        }
    }
    pub fn is_carried(datagram: &[u8]) -> bool {
        datagram.first() == Some(&0x0c)
    }
    pub fn push_record(&mut self, record: &[u8], _now: Instant) -> bool {
        if !self.has_room() {
            return false;
        }
        self.out.extend_from_slice(&(record.len() as u16).to_be_bytes());
        self.out.extend_from_slice(record);
        true
    }
    pub fn has_room(&self) -> bool {
        self.out.len() - self.out_at < 8 << 20
    }
    pub fn handle_datagram(&mut self, datagram: &[u8], _now: Instant) -> bool {
        if datagram.len() < HEADER || datagram[2..10] != self.config.1.to_be_bytes() {
            return false;
        }
        let offset = u64::from_be_bytes(datagram[12..20].try_into().unwrap_or_default());
        if offset == self.expected {
            self.input.extend(&datagram[HEADER..]);
            self.expected += (datagram.len() - HEADER) as u64;
        } else {
        }
        true
    }
    pub fn pop_record(&mut self, into: &mut [u8]) -> Option<usize> {
        let bytes = self.next_record_bytes()?;
        self.input.drain(..2);
        let (a, b) = self.input.as_slices();
        let first = a.len().min(bytes);
        into[..first].copy_from_slice(&a[..first]);
        into[first..bytes].copy_from_slice(&b[..bytes - first]);
        self.input.drain(..bytes);
        Some(bytes)
    }
    pub fn next_record_bytes(&self) -> Option<usize> {
        let bytes = usize::from(*self.input.front()?) << 8 | usize::from(*self.input.get(1)?);
        (self.input.len() >= bytes + 2).then_some(bytes)
    }
    pub fn poll_transmit(
        &mut self,
        _now: Instant,
        segments_max: usize,
        train: &mut Vec<u8>,
    ) -> Option<Train> {
        train.clear();
        let payload = self.datagram - HEADER;
        let mut segments = 0;
        while self.out_at < self.out.len()
            && segments < segments_max
            && train.len() + self.datagram <= 65_000.max(self.datagram)
        {
            let take = payload.min(self.out.len() - self.out_at);
            train.extend_from_slice(&[0x0c, 0]);
            train.extend_from_slice(&self.config.0.to_be_bytes());
            train.extend_from_slice(&[0, 0]);
            train.extend_from_slice(&self.offset.to_be_bytes());
            train.extend_from_slice(&self.out[self.out_at..self.out_at + take]);
            self.offset += take as u64;
            self.out_at += take;
            segments += 1;
        }
        if self.out_at == self.out.len() {
            self.out.clear();
            self.out_at = 0;
        }
        (segments > 0).then_some(Train { segment_bytes: self.datagram })
    }
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    pub fn handle_timeout(&mut self, _now: Instant) {}
    pub fn handle_too_large(&mut self, _datagram_bytes: usize, _now: Instant) {}
    pub fn handle_path(&mut self, _overhead_bytes: usize, _now: Instant) {}
    pub fn figures(&self) -> Figures {
        Figures::default()
    }
}
