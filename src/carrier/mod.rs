//! The carrier: DTLS records in paced, acknowledged datagrams of path size, below DTLS and between two of our own.
//!
//! ```text
//!  records ──▶ one byte stream ──▶ datagrams, numbered ──▶ path ──▶ acknowledged, put in order ──▶ records
//! ```
//!
//! SCTP works per packet, and its congestion control is no match for loss. So it gets packets as large as a DTLS record,
//! and a path that loses and reorders nothing: here records are cut, sent again where they are lost, and paced by a model of
//! the path (its rate and its round trip) rather than by loss. A record is never given up.
//!
//! Pure: no I/O, no clock. `wire` is the format, `sender` what is on its way and what of it is lost (RFC 9002),
//! `model` how fast (BBR), `mtu` in which size (RFC 8899), `receiver` puts in order and acknowledges.

mod model;
mod mtu;
mod ranges;
mod receiver;
mod ring;
mod rtt;
mod sender;
#[cfg(test)]
mod tests;
mod wire;

use std::time::Duration;

use crate::time::Instant;

use receiver::Receiver;
use sender::Sender;
use wire::Datagram;

/// Stream bytes between the first that a receiver has not read and the last that it takes: what one round trip and its
/// repairs may hold, 2.5 Gbit/s at 50 ms.
const STREAM_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Longest record taken: DTLS allows 2^14 bytes and its own overhead (RFC 9147 §4.1).
pub const RECORD_BYTES_MAX: usize = 16_384 + 256;

/// What a connection's carrier starts from.
#[derive(Clone, Copy, Debug)]
pub struct CarrierConfig {
    /// Marks our datagrams as ones of this connection.
    pub token_out: u64,
    /// Marks the peer's.
    pub token_in: u64,
    /// UDP payload that every path takes, if it may be cut on its way.
    pub datagram_bytes_start: usize,
    /// The largest that is probed for.
    pub datagram_bytes_max: usize,
    /// Bytes that our socket can hold unread; told to the peer.
    pub receive_window_bytes: u32,
    /// Most bytes a second, headers included.
    pub rate_bytes_per_second_max: Option<u64>,
}

/// Datagrams to be sent in one call: of equal size but the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Train {
    /// Bytes of each.
    pub segment_bytes: usize,
    /// Whether they must arrive whole or not at all: a probe, or larger than what always passes.
    pub is_whole: bool,
}

/// What a carrier knows of its path, and what it did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Smoothed round trip.
    pub smoothed_rtt: Duration,
    /// Least round trip of late.
    pub minimal_rtt: Duration,
    /// What arrives, bytes a second.
    pub delivery_rate: u64,
    /// What may be sent, bytes a second.
    pub pacing_rate: u64,
    /// Sent and neither acknowledged nor lost, bytes.
    pub in_flight: u64,
    /// Not sent yet, bytes.
    pub queued: u64,
    /// UDP payload in use.
    pub datagram_bytes: usize,
    /// Datagrams with content that were sent.
    pub sent: u64,
    /// Of these, declared lost.
    pub lost: u64,
    /// Of these, acknowledged after all.
    pub spurious: u64,
    /// Content bytes acknowledged.
    pub acknowledged_bytes: u64,
    /// Datagrams that were none of this connection or malformed.
    pub refused: u64,
}

/// The carrier of one connection, at one end.
#[derive(Debug)]
pub struct Carrier {
    config: CarrierConfig,
    sender: Sender,
    receiver: Receiver,
    refused: u64,
}

impl Carrier {
    /// A carrier that has sent nothing yet.
    #[must_use]
    pub fn new(config: CarrierConfig, now: Instant) -> Self {
        Self {
            sender: Sender::new(&config, now),
            receiver: Receiver::new(&config),
            config,
            refused: 0,
        }
    }

    /// Whether a datagram is of a carrier.
    #[must_use]
    pub fn is_carried(datagram: &[u8]) -> bool {
        datagram.first() == Some(&wire::MARKER)
    }

    /// Whether a datagram of a carrier begins with `token`.
    #[must_use]
    pub fn has_token(datagram: &[u8], token: u64) -> bool {
        wire::token(datagram) == Some(token)
    }

    /// Whether something is missing, here or at a peer that was heard on this path before.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.sender.is_waiting() || self.receiver.is_waiting()
    }

    /// Takes a record to be sent; `false` for one that is empty or longer than [`RECORD_BYTES_MAX`], or if more waits than
    /// any window of SCTP.
    pub fn push_record(&mut self, record: &[u8]) -> bool {
        self.sender.push(record)
    }

    /// Takes a datagram in; `false` if it is none of this connection.
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Instant) -> bool {
        match wire::decode(datagram, self.config.token_in) {
            Ok(Datagram::Data { number, offset, payload }) => {
                self.receiver.handle_data(number, offset, payload, now);
            }
            Ok(Datagram::Probe { number }) => self.receiver.handle_probe(number, now),
            Ok(Datagram::Acknowledgement(acknowledgement)) => {
                self.sender.handle_acknowledgement(&acknowledgement, now);
            }
            Err(_) => {
                self.refused += 1;
                return false;
            }
        }
        true
    }

    /// Length of the next record, if it is whole.
    #[must_use]
    pub fn next_record_bytes(&mut self) -> Option<usize> {
        self.receiver.next_record_bytes()
    }

    /// Copies the next record into `into` and returns its length; one that does not fit is dropped.
    pub fn pop_record(&mut self, into: &mut [u8]) -> Option<usize> {
        self.receiver.pop_record(into)
    }

    /// What is to be sent now, appended to `train`: at most `segments_max` datagrams.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        segments_max: usize,
        train: &mut Vec<u8>,
    ) -> Option<Train> {
        if self.receiver.acknowledge(self.config.token_out, now, train) {
            return Some(Train { segment_bytes: train.len(), is_whole: false });
        }
        self.sender.poll_transmit(self.config.token_out, now, segments_max, train)
    }

    /// When something is due: [`Self::handle_timeout`], then [`Self::poll_transmit`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.sender.poll_timeout(), self.receiver.poll_timeout()].into_iter().flatten().min()
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.sender.handle_timeout(now);
    }

    /// The system refused a datagram of this size.
    pub fn handle_too_large(&mut self, datagram_bytes: usize) {
        self.sender.handle_too_large(datagram_bytes);
    }

    /// Another path, on which each datagram gets `overhead_bytes` more: rate, round trip and size begin anew.
    pub fn handle_path(&mut self, overhead_bytes: usize, now: Instant) {
        self.sender.handle_path(overhead_bytes, now);
    }

    /// Whether datagrams of the size in use are cut on their way.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.sender.is_cut()
    }

    /// What is known and was done.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures { refused: self.refused, ..self.sender.figures() }
    }

    /// What it holds, about.
    #[cfg(test)]
    fn memory_bytes(&self) -> usize {
        self.sender.memory_bytes() + self.receiver.memory_bytes()
    }
}
