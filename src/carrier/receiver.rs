//! What came in: the stream put in order, and what is to be acknowledged.

use std::time::Duration;

use super::ranges::RangeSet;
use super::ring::ByteRing;
use super::wire::{self, RANGES_MAX, expand};
use super::{CarrierConfig, RECORD_BYTES_MAX, STREAM_BYTES_MAX};
use crate::time::Instant;

/// Datagrams after which an acknowledgement goes out at once, and bytes: a socket holds but a few large ones.
const ACKNOWLEDGED_AT_ONCE: u32 = 8;
const BYTES_ACKNOWLEDGED_AT_ONCE: usize = 32 * 1024;
/// Fewer of them wait for company for so long; less than any wide-area path notices.
const ACKNOWLEDGEMENT_DELAY: Duration = Duration::from_millis(1);

/// Pieces of the stream behind holes. A window of datagrams at 30 % loss has fewer; without a bound, single bytes far apart
/// would cost more than the bytes.
const PIECES_MAX: usize = 4_096;

/// Bytes before each record in the stream: its length.
pub(super) const LENGTH_BYTES: u64 = 2;

#[derive(Debug)]
pub(super) struct Receiver {
    buffer: u32,
    numbers: RangeSet,
    largest: Option<(u64, Instant)>,
    stream: ByteRing,
    /// What is there, from `read` on.
    present: RangeSet,
    read: u64,
    pending: u32,
    pending_bytes: usize,
    is_due: bool,
    due_at: Option<Instant>,
}

impl Receiver {
    pub(super) fn new(config: &CarrierConfig) -> Self {
        Self {
            buffer: config.receive_window_bytes,
            numbers: RangeSet::default(),
            largest: None,
            stream: ByteRing::default(),
            present: RangeSet::default(),
            read: 0,
            pending: 0,
            pending_bytes: 0,
            is_due: false,
            due_at: None,
        }
    }

    pub(super) fn handle_data(&mut self, number: u32, offset: u64, payload: &[u8], now: Instant) {
        let contiguous = self.contiguous();
        let offset = expand(offset, 48, contiguous);
        let Some(end) = offset.checked_add(payload.len() as u64) else { return };
        if end > self.read + STREAM_BYTES_MAX {
            // Not acknowledged, so it comes again.
            return;
        }
        if offset > contiguous && self.present.len() >= PIECES_MAX {
            return;
        }
        if !self.note(number, now) {
            return;
        }
        self.pending_bytes += payload.len();
        self.is_due |= self.pending_bytes >= BYTES_ACKNOWLEDGED_AT_ONCE;
        if end <= contiguous {
            // A repetition: the sender does not know yet.
            self.is_due = true;
            return;
        }
        self.is_due |= offset > contiguous;
        // What was read already is not wanted.
        let skipped = self.read.saturating_sub(offset).min(payload.len() as u64);
        let payload = &payload[skipped as usize..];
        let offset = offset + skipped;
        let live_end = self.present.iter_descending().next().map_or(self.read, |last| last.end);
        self.stream.reserve(self.read, live_end, end);
        self.stream.write(offset, payload);
        self.present.insert(offset..end, |_| {});
    }

    pub(super) fn handle_probe(&mut self, number: u32, now: Instant) {
        if self.note(number, now) {
            self.is_due = true;
        }
    }

    /// Notes a packet; `false` if it came before.
    fn note(&mut self, number: u32, now: Instant) -> bool {
        let expected = self.largest.map_or(0, |(largest, _)| largest + 1);
        let number = expand(u64::from(number), 32, expected);
        let mut is_new = false;
        self.numbers.insert(number..number + 1, |_| is_new = true);
        if !is_new {
            self.is_due = true;
            return false;
        }
        while self.numbers.len() > RANGES_MAX + 1 {
            self.numbers.pop_first();
        }
        if self.largest.is_none_or(|(largest, _)| number > largest) {
            self.largest = Some((number, now));
        }
        self.pending += 1;
        self.is_due |= self.pending >= ACKNOWLEDGED_AT_ONCE;
        self.due_at.get_or_insert(now + ACKNOWLEDGEMENT_DELAY);
        true
    }

    fn contiguous(&self) -> u64 {
        match self.present.first() {
            Some(first) if first.start <= self.read => first.end,
            Some(_) | None => self.read,
        }
    }

    /// Whether something came that lies behind a hole.
    pub(super) fn is_waiting(&self) -> bool {
        self.present.iter_descending().next().is_some_and(|last| last.start > self.read)
    }

    /// Appends an acknowledgement if one is due.
    pub(super) fn acknowledge(&mut self, token: u64, now: Instant, out: &mut Vec<u8>) -> bool {
        let is_due = self.is_due || self.due_at.is_some_and(|at| at <= now);
        let (true, Some((_, at))) = (is_due, self.largest) else { return false };
        (self.is_due, self.due_at) = (false, None);
        (self.pending, self.pending_bytes) = (0, 0);
        let delay =
            u32::try_from(now.saturating_duration_since(at).as_micros()).unwrap_or(u32::MAX);
        let contiguous = self.contiguous();
        let window = (self.read + STREAM_BYTES_MAX).saturating_sub(contiguous);
        let window = u32::try_from(window).unwrap_or(u32::MAX);
        wire::encode_acknowledgement(
            token,
            &self.numbers,
            delay,
            contiguous,
            (window, self.buffer),
            out,
        );
        true
    }

    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        let ranges = self.present.len() + self.numbers.len();
        self.stream.capacity() + ranges * size_of::<std::ops::Range<u64>>()
    }

    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.due_at
    }

    /// The length of the next record that is whole. What no sender makes is passed over, so that what is told here is what
    /// `pop_record` gives.
    pub(super) fn next_record_bytes(&mut self) -> Option<usize> {
        loop {
            let length = self.next_length()?;
            if (1..=RECORD_BYTES_MAX).contains(&length) {
                return Some(length);
            }
            self.pass(length);
        }
    }

    pub(super) fn pop_record(&mut self, into: &mut [u8]) -> Option<usize> {
        loop {
            let length = self.next_record_bytes()?;
            let place = into.get_mut(..length);
            let is_taken = place.is_some();
            if let Some(place) = place {
                self.stream.read(self.read + LENGTH_BYTES, place);
            }
            self.pass(length);
            if is_taken {
                return Some(length);
            }
        }
    }

    /// The length that stands before the next record, once all of it is here.
    fn next_length(&self) -> Option<usize> {
        let available = self.contiguous() - self.read;
        if available < LENGTH_BYTES {
            return None;
        }
        let mut length = [0; LENGTH_BYTES as usize];
        self.stream.read(self.read, &mut length);
        let length = u16::from_be_bytes(length);
        (available >= LENGTH_BYTES + u64::from(length)).then_some(usize::from(length))
    }

    /// Goes on behind a record of that length.
    fn pass(&mut self, length: usize) {
        self.read += LENGTH_BYTES + length as u64;
        self.present.remove_below(self.read);
    }
}
