//! Whether the datagrams of a socket may be cut on their way (IPv4 fragmentation), and what a path takes uncut.
//!
//! The rule: what must be known to arrive whole is marked (`IP_PMTUDISC_PROBE`: "do not cut", whatever the system believes of
//! the path), everything else may be cut by the system or by a router, and is put together again by the receiving system. So
//! a path of any size takes ICE's checks, DTLS's handshake, SCTP's packets, and the carrier's datagrams up to the size it
//! starts with. IPv6 needs none of it: each of its paths takes 1,280 bytes, which is more than any of these with headers.

use rustix::fd::AsFd;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(target_os = "linux")]
use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery};

use super::{LinkRuntime, Shared};

/// UDP payload that needs no cutting on any path: 576 bytes (RFC 791) without headers. Marked or not is all the same for it,
/// and a socket need not change for an acknowledgement between two probes.
const NEVER_CUT_BYTES: usize = 548;

/// How one socket's datagrams leave.
#[derive(Debug)]
pub(super) struct Cutting {
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "nothing is marked there"))]
    is_v4: bool,
    /// Whether they are marked now.
    is_forbidden: AtomicBool,
    /// Whether the system refused a train because its datagrams would have to be cut.
    is_without_trains: AtomicBool,
}

impl Cutting {
    /// Of a socket that was just opened: cutting is allowed from here on.
    pub(super) fn allowed(socket: &tokio::net::UdpSocket) -> Self {
        let is_v4 = socket.local_addr().is_ok_and(|address| address.is_ipv4());
        let cutting = Self {
            is_v4,
            is_forbidden: AtomicBool::new(true),
            is_without_trains: AtomicBool::new(false),
        };
        cutting.forbid(socket, false);
        cutting
    }

    /// Before a datagram of `bytes` leaves.
    pub(super) fn prepare(&self, socket: &impl AsFd, bytes: usize, is_whole: bool) {
        if (is_whole || bytes > NEVER_CUT_BYTES)
            && self.is_forbidden.load(Ordering::Relaxed) != is_whole
        {
            self.forbid(socket, is_whole);
        }
    }

    /// The system does not cut the datagrams of a train.
    pub(super) fn forbid_trains(&self) {
        self.is_without_trains.store(true, Ordering::Relaxed);
    }

    /// Whether many datagrams may be sent in one call: always, where none of them is cut.
    pub(super) fn takes_trains(&self) -> bool {
        !self.is_without_trains.load(Ordering::Relaxed) || self.is_forbidden.load(Ordering::Relaxed)
    }

    #[cfg(target_os = "linux")]
    fn forbid(&self, socket: &impl AsFd, is_forbidden: bool) {
        let mode = match is_forbidden {
            true => Ipv4PathMtuDiscovery::PROBE,
            false => Ipv4PathMtuDiscovery::DONT,
        };
        if self.is_v4
            && let Err(error) = sockopt::set_ip_mtu_discover(socket, mode)
        {
            tracing::debug!(target: "rejoin::resource", %error, "datagrams stay as they were marked");
        }
        self.is_forbidden.store(is_forbidden, Ordering::Relaxed);
    }

    /// Other systems mark datagrams as their sockets were opened.
    #[cfg(not(target_os = "linux"))]
    fn forbid(&self, _socket: &impl AsFd, is_forbidden: bool) {
        self.is_forbidden.store(is_forbidden, Ordering::Relaxed);
    }
}

/// Datagrams are cut, and the system does not know at how many bytes.
const CUT_UNKNOWN: u32 = u32::MAX;

/// A path that takes so many bytes, headers and all, cuts nothing: the carrier's start size in UDP over IPv4. Packets of a
/// link without a carrier are a little larger.
const UNCUT_BYTES: u32 = crate::link::config::DATAGRAM_BYTES_START as u32 + 28;

/// Datagrams are cut on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragmented {
    /// What the path takes uncut, bytes with headers, where the system knows it.
    pub path_bytes: Option<u32>,
}

impl Shared {
    /// Datagrams are cut on their way, to what the path takes.
    pub(super) fn on_cut(&self, path_bytes: Option<u32>) {
        let is_less = |bytes: &u32| *bytes < UNCUT_BYTES;
        self.cut_bytes.store(path_bytes.filter(is_less).unwrap_or(CUT_UNKNOWN), Ordering::Relaxed);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut_bytes.load(Ordering::Relaxed) != 0
    }
}

impl LinkRuntime {
    /// Whether datagrams are cut on their way, as far as is known.
    #[must_use]
    pub fn fragmented(&self) -> Option<Fragmented> {
        match self.shared.cut_bytes.load(Ordering::Relaxed) {
            0 => None,
            CUT_UNKNOWN => Some(Fragmented { path_bytes: None }),
            bytes => Some(Fragmented { path_bytes: Some(bytes) }),
        }
    }

    /// A link without a carrier asks its path nothing: what the system knows of it has to do.
    pub fn look_at_path(&self, local: IpAddr, remote: SocketAddr) {
        let path_bytes = path_bytes(local, remote);
        if self.carrying.is_none() && path_bytes.is_some_and(|bytes| bytes < UNCUT_BYTES) {
            self.shared.on_cut(path_bytes);
        }
    }
}

/// What the path from `local` to `remote` takes uncut, in bytes with headers, as far as the system knows: its interface's
/// limit, or what a router said.
#[cfg(target_os = "linux")]
pub(super) fn path_bytes(local: IpAddr, remote: SocketAddr) -> Option<u32> {
    let socket = std::net::UdpSocket::bind((local, 0)).ok()?;
    socket.connect(remote).ok()?;
    match remote {
        SocketAddr::V4(_) => sockopt::ip_mtu(&socket).ok(),
        SocketAddr::V6(_) => sockopt::ipv6_mtu(&socket).ok(),
    }
}

/// Unknown to other systems.
#[cfg(not(target_os = "linux"))]
pub(super) fn path_bytes(_local: IpAddr, _remote: SocketAddr) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_changes_only_for_what_could_be_cut() {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let cutting = Cutting::allowed(&socket);
        #[cfg(target_os = "linux")]
        let mode = || sockopt::ip_mtu_discover(&socket).unwrap();
        #[cfg(target_os = "linux")]
        assert_eq!(mode(), Ipv4PathMtuDiscovery::DONT);
        cutting.prepare(&socket, 1_400, true);
        assert!(cutting.is_forbidden.load(Ordering::Relaxed));
        cutting.forbid_trains();
        assert!(cutting.takes_trains(), "none of these is cut");
        cutting.prepare(&socket, 300, false);
        assert!(cutting.is_forbidden.load(Ordering::Relaxed), "an acknowledgement");
        #[cfg(target_os = "linux")]
        assert_eq!(mode(), Ipv4PathMtuDiscovery::PROBE);
        cutting.prepare(&socket, 1_200, false);
        assert!(!cutting.is_forbidden.load(Ordering::Relaxed) && !cutting.takes_trains());
        #[cfg(target_os = "linux")]
        assert_eq!(mode(), Ipv4PathMtuDiscovery::DONT);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_path_takes_is_known_of_ones_own_interface() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert!(path_bytes(loopback, (loopback, 9).into()).is_some_and(|bytes| bytes >= 1_280));
    }
}
