//! Where carried datagrams go, and the train that is on its way there.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Instant;

use webrtc::runtime::{AsyncUdpSocket as _, Transmit};

use super::port::Port;
use crate::carrier::Carrier;
use crate::link::turn_framing::{Framing, Toward};
use crate::platform::{Code, code};

/// Most that a datagram is probed for between two processes of one machine: a UDP payload holds 65,507 bytes.
const DATAGRAM_BYTES_LOOPBACK: usize = 65_000;

/// Most that a datagram is probed for elsewhere: a jumbo frame.
const DATAGRAM_BYTES_NETWORK: usize = 8_900;

/// Most bytes that a system takes in one call: what a UDP payload holds over IPv4.
const TRAIN_BYTES_MAX: usize = 65_507;

/// The largest datagram worth probing for toward `remote`. What an interface cannot take it refuses at once.
pub(super) const fn datagram_bytes_max(remote: SocketAddr) -> usize {
    if remote.ip().is_loopback() { DATAGRAM_BYTES_LOOPBACK } else { DATAGRAM_BYTES_NETWORK }
}

/// Whether the system says that a datagram is longer than the interface takes.
pub(super) fn is_too_large(error: &io::Error) -> bool {
    code(error) == Some(Code::MessageTooLarge)
}

/// A way to the peer: our socket, the address the datagrams go to, and what TURN wants around them.
#[derive(Debug, Clone)]
pub(super) struct Path {
    port: Weak<Port>,
    remote: SocketAddr,
    framing: Framing,
}

impl Path {
    pub(super) fn new(port: &Arc<Port>, remote: SocketAddr, framing: Framing) -> Self {
        Self { port: Arc::downgrade(port), remote, framing }
    }

    pub(super) fn is(&self, port: &Arc<Port>, remote: SocketAddr, framing: Framing) -> bool {
        self.has_port(port) && self.remote == remote && self.framing == framing
    }

    pub(super) fn has_port(&self, port: &Arc<Port>) -> bool {
        std::ptr::eq(self.port.as_ptr(), Arc::as_ptr(port))
    }

    /// Whether the stack has closed the socket.
    pub(super) fn is_gone(&self) -> bool {
        self.port.upgrade().is_none_or(|port| port.is_closed())
    }

    pub(super) fn port(&self) -> Option<Arc<Port>> {
        self.port.upgrade()
    }

    pub(super) const fn remote(&self) -> SocketAddr {
        self.remote
    }

    pub(super) const fn framing(&self) -> Framing {
        self.framing
    }

    pub(super) const fn overhead(&self) -> usize {
        self.framing.overhead()
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.port.ptr_eq(&other.port)
            && self.remote == other.remote
            && self.framing == other.framing
    }
}

/// The train that is being sent; kept where the socket has no room for it.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    train: Vec<u8>,
    /// Where in it the part begins that was not sent.
    at: usize,
    segment: usize,
    is_whole: bool,
    /// The train before it is wrapped.
    bare: Vec<u8>,
    transactions: u64,
}

impl Outlet {
    pub(super) fn clear(&mut self) {
        self.train.clear();
        self.at = 0;
    }

    /// What [`Self::transmit`] gave is done with.
    pub(super) fn advance(&mut self) {
        self.at += self.part().len();
        if self.at >= self.train.len() {
            self.clear();
        }
    }

    /// As many whole datagrams as one call takes: wrappers may make a train too long for that.
    fn part(&self) -> &[u8] {
        let segment = self.segment.max(1);
        let most = (TRAIN_BYTES_MAX / segment).max(1) * segment;
        let rest = self.train.get(self.at..).unwrap_or_default();
        &rest[..rest.len().min(most)]
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.train.is_empty()
    }

    pub(super) const fn segment_bytes(&self) -> usize {
        self.segment
    }

    /// Whether its datagrams must not be cut.
    pub(super) const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Takes the next train of the carrier. False: none is due.
    pub(super) fn fill(
        &mut self,
        carrier: &mut Carrier,
        path: &Path,
        port: &Port,
        now: Instant,
    ) -> bool {
        let segments_max = port.socket().max_gso_segments();
        self.clear();
        if path.framing == Framing::Plain {
            let train = carrier.poll_transmit(now, segments_max, &mut self.train);
            self.segment = train.map_or(0, |train| train.segment_bytes);
            self.is_whole = train.is_some_and(|train| train.is_whole);
        } else {
            self.bare.clear();
            let train = carrier.poll_transmit(now, segments_max, &mut self.bare);
            let segment = train.map_or(0, |train| train.segment_bytes).max(1);
            self.is_whole = train.is_some_and(|train| train.is_whole);
            let bare = std::mem::take(&mut self.bare);
            for datagram in bare.chunks(segment) {
                let transaction = self.next_transaction();
                path.framing.wrap(datagram, Toward::Server, transaction, &mut self.train);
            }
            self.segment = path.framing.wrapped_bytes(segment);
            self.bare = bare;
        }
        !self.is_empty()
    }

    pub(super) fn transmit(&self, destination: SocketAddr) -> Transmit<'_> {
        let contents = self.part();
        let segment_size = (contents.len() > self.segment).then_some(self.segment);
        Transmit { destination, ecn: None, contents, segment_size, src_ip: None }
    }

    /// Wraps a record for the stack, as if it had come through its TURN server.
    pub(super) fn wrap_into(
        &mut self,
        framing: Framing,
        record: &[u8],
        place: &mut [u8],
    ) -> Option<usize> {
        self.bare.clear();
        let transaction = self.next_transaction();
        let mut wrapped = std::mem::take(&mut self.bare);
        framing.wrap(record, Toward::Client, transaction, &mut wrapped);
        let place = place.get_mut(..wrapped.len());
        let taken = place.map(|place| place.copy_from_slice(&wrapped));
        self.bare = wrapped;
        taken.map(|()| self.bare.len())
    }

    /// Nobody answers an indication, so its transaction need not be hard to guess (RFC 8489 §5 asks that of requests).
    fn next_transaction(&mut self) -> [u8; 12] {
        self.transactions += 1;
        let mut transaction = [0; 12];
        transaction[4..].copy_from_slice(&self.transactions.to_be_bytes());
        transaction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_train_that_is_too_long_for_one_call_goes_in_whole_datagrams() {
        let to = "192.0.2.1:1".parse().unwrap();
        for (datagrams, segment, last) in [(48, 1_436, 36), (1, 65_036, 0), (60, 1_236, 1_235)] {
            let train: Vec<u8> = (0..datagrams * segment + last).map(|at| at as u8).collect();
            let mut outlet = Outlet { train: train.clone(), segment, ..Outlet::default() };
            let mut sent = Vec::new();
            while !outlet.is_empty() {
                let part = outlet.transmit(to);
                assert!(part.contents.len() <= TRAIN_BYTES_MAX && !part.contents.is_empty());
                assert_eq!(sent.len() % segment, 0, "a part begins with a datagram");
                assert!(part.segment_size.is_some() || part.contents.len() <= segment);
                sent.extend_from_slice(part.contents);
                outlet.advance();
            }
            assert_eq!(sent, train);
        }
    }
}
