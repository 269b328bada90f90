//! The private parts of a link that are fuzzed by themselves. Only with the feature `fault-injection`.

use std::net::SocketAddr;

use super::admission::{Admission, Verdict};
use super::train;
use crate::time::Instant;

/// Who gets a datagram that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The WebRTC stack.
    Stack,
    /// The carrier.
    Carrier,
    /// Nobody.
    Nobody,
}

/// How much an admission remembers: how many of each.
#[derive(Clone, Copy, Debug)]
pub struct Remembered {
    /// Requests of ours, answered ones included until they make room.
    pub requests: usize,
    /// Checks of the peer.
    pub checks: usize,
    /// Addresses from which signed messages came.
    pub sources: usize,
    /// TURN servers.
    pub servers: usize,
    /// Channels at TURN servers.
    pub channels: usize,
    /// Pairs of a socket of ours and an address that has not answered.
    pub pairs: usize,
    /// IP addresses of those.
    pub addresses: usize,
}

/// Admission to one link.
#[derive(Debug)]
pub struct LinkAdmission(Admission);

impl LinkAdmission {
    /// Of a link with a carrier or without.
    #[must_use]
    pub fn new(has_carrier: bool) -> Self {
        Self(Admission::new(has_carrier))
    }

    /// The join says how the peer's carried datagrams begin.
    pub fn carry(&mut self, token: u64) {
        self.0.carry(token);
    }

    /// Our description.
    pub fn set_local(&mut self, sdp: &str) {
        self.0.set_local(sdp);
    }

    /// The peer's description.
    pub fn set_remote(&mut self, sdp: &str, now: Instant) {
        self.0.set_remote(sdp, now);
    }

    /// A datagram came in at our socket `local`.
    pub fn handle_received(
        &mut self,
        local: SocketAddr,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> Heard {
        match self.0.handle_received(local, from, datagram, now) {
            Verdict::Stack => Heard::Stack,
            Verdict::Carrier => Heard::Carrier,
            Verdict::Dropped => Heard::Nobody,
        }
    }

    /// The stack sends a datagram. Whether it may go.
    pub fn handle_sent(
        &mut self,
        local: SocketAddr,
        to: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> bool {
        self.0.handle_sent(local, to, datagram, now)
    }

    /// Datagrams that nobody got, and those that did not go out.
    #[must_use]
    pub const fn refused(&self) -> (u64, u64) {
        (self.0.dropped(), self.0.withheld())
    }

    /// How much it remembers.
    #[must_use]
    pub fn remembered(&self) -> Remembered {
        self.0.remembered()
    }
}

/// What a socket leaves of a train that came in.
pub fn retain(train: &mut Vec<u8>, segment: usize, is_taken: impl FnMut(&[u8]) -> bool) {
    let kept = train::retain(train, segment, is_taken);
    train.truncate(kept);
}

/// What a socket sends of a train.
#[must_use]
pub fn select(train: &[u8], segment: usize, may_go: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    train::select(train, segment, may_go).into_owned()
}
