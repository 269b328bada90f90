//! Which candidates of the peer are used (S-12, A-24). Each is an address that we send to because the peer says so.
//!
//! | rule | |
//! | --- | --- |
//! | number | [`REMOTE_CANDIDATES_MAX`] of a negotiation, description and later ones together; of them [`HOST_CANDIDATES_MAX`] of the peer's own addresses, and [`ADDRESS_CANDIDATES_MAX`] of one IP address |
//! | kind | UDP, the first component, a literal address, a port |
//! | never | unspecified, multicast, broadcast and reserved addresses, IPv4 in IPv6, services of clouds that tell secrets to whoever asks |
//! | loopback | ours only (127.0.0.1), and only where the peer is on this machine: it names an address of ours, we have no other, or our server is there |
//! | link-local | IPv4 where we use such an address; IPv6 never, its scope does not travel |
//!
//! What the stack gets of one is written anew from what was read here: no two parsers can read a line differently. What it has no
//! use for at a remote candidate (related address, extensions) is left out.
//!
//! What goes to a candidate before it answers has bounds of its own ([`crate::link::admission`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::link::description::{attribute, attributes};
use crate::wire::address::is_link_local;

/// Most candidates of one negotiation: two servers and a dozen addresses at each end need less.
pub const REMOTE_CANDIDATES_MAX: usize = 40;

/// Most of them that are the peer's own addresses: rejoin binds at most 12, and those that help behind NAT come later.
pub const HOST_CANDIDATES_MAX: usize = 16;

/// Most of one IP address: behind a NAT every address of the peer becomes a port of one.
pub const ADDRESS_CANDIDATES_MAX: usize = 16;

/// Addresses at which clouds tell a machine its secrets. The first two are link-local.
const METADATA_SERVICES: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
];

const PREFIX: &str = "candidate:";

/// Types of candidates (RFC 8839 §5.1); no other may be named.
const HOST: &str = "host";
const KINDS: [&str; 4] = [HOST, "srflx", "prflx", "relay"];

/// Whether an address can be a peer's at all.
#[must_use]
pub fn may_be_a_peer(address: IpAddr) -> bool {
    let is_host = match address {
        IpAddr::V4(address) => {
            let first = address.octets()[0];
            // 0/8 is this network, 240/4 reserved, with broadcast in it.
            first != 0 && first < 240 && !address.is_multicast()
        }
        IpAddr::V6(address) => {
            !address.is_unspecified()
                && !address.is_multicast()
                && !address.is_unicast_link_local()
                && (address.is_loopback() || address.to_ipv4().is_none())
        }
    };
    is_host && !METADATA_SERVICES.contains(&address)
}

/// The candidates of the peer that were taken in a negotiation.
#[derive(Debug, Default)]
pub struct RemoteCandidates {
    own: Vec<IpAddr>,
    is_peer_here: bool,
    taken: BTreeSet<SocketAddr>,
    hosts: usize,
    of_address: BTreeMap<IpAddr, usize>,
    refused: u64,
}

impl RemoteCandidates {
    /// Begins with the description of the peer, and gives it back without the candidates that are not taken. `own`: the
    /// addresses that this link binds; `shares_loopback`: a server that both may use is there.
    pub fn describe(&mut self, sdp: &str, own: &[IpAddr], shares_loopback: bool) -> String {
        let has_others = own.iter().any(|address| !address.is_loopback());
        let named = |address: IpAddr| !address.is_loopback() && own.contains(&address);
        let is_here = |candidate: Parsed<'_>| candidate.is_host() && named(candidate.address.ip());
        let is_peer_here = shares_loopback
            || !has_others
            || attributes(sdp).filter_map(Parsed::from_line).any(is_here);
        *self = Self { own: own.to_vec(), is_peer_here, ..Self::default() };
        let mut kept = String::with_capacity(sdp.len());
        for line in sdp.split_inclusive('\n') {
            match candidate_line(line) {
                Some(candidate) => {
                    if let Some(candidate) = self.take(candidate) {
                        kept.extend(["a=", &candidate, "\r\n"]);
                    }
                }
                None => kept.push_str(line),
            }
        }
        kept
    }

    /// A candidate as it is to be used: `candidate:` and what follows it (RFC 8839 §5.1); `None`, if it is not to be. An empty one
    /// says that no more come.
    pub fn take(&mut self, candidate: &str) -> Option<String> {
        if candidate.trim().is_empty() {
            return Some(String::new());
        }
        let taken = Parsed::from_line(candidate).filter(|parsed| self.take_parsed(parsed));
        self.refused += u64::from(taken.is_none());
        taken.map(|parsed| parsed.to_string())
    }

    /// Candidates that were not taken.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    fn take_parsed(&mut self, candidate: &Parsed<'_>) -> bool {
        let (ip, is_host) = (candidate.address.ip(), candidate.is_host());
        let of_address = self.of_address.get(&ip).copied().unwrap_or_default();
        if !self.is_allowed(ip)
            || self.taken.len() >= REMOTE_CANDIDATES_MAX
            || of_address >= ADDRESS_CANDIDATES_MAX
            || is_host && self.hosts >= HOST_CANDIDATES_MAX
            || !self.taken.insert(candidate.address)
        {
            return false;
        }
        self.hosts += usize::from(is_host);
        self.of_address.insert(ip, of_address + 1);
        true
    }

    fn is_allowed(&self, ip: IpAddr) -> bool {
        let has_link_local = || self.own.iter().any(|own| is_link_local(*own));
        may_be_a_peer(ip)
            && (!ip.is_loopback() || self.is_peer_here && self.own.contains(&ip))
            && (!is_link_local(ip) || has_link_local())
    }
}

/// A candidate that is of a kind we use.
#[derive(Debug, Clone, Copy)]
struct Parsed<'a> {
    /// Characters that no parser takes for a blank.
    foundation: &'a str,
    priority: u32,
    address: SocketAddr,
    /// One of [`KINDS`].
    kind: &'static str,
}

impl<'a> Parsed<'a> {
    fn from_line(candidate: &'a str) -> Option<Self> {
        let mut words = candidate.trim().strip_prefix(PREFIX)?.split_whitespace();
        let (foundation, component, transport) = (words.next()?, words.next()?, words.next()?);
        let (priority, address, port) = (words.next()?, words.next()?, words.next()?);
        let (typ, kind) = (words.next()?, words.next()?);
        let priority = priority.parse().ok()?;
        let (ip, port): (IpAddr, u16) = (address.parse().ok()?, port.parse().ok()?);
        let kind = KINDS.into_iter().find(|known| *known == kind)?;
        let is_usable = foundation.bytes().all(|byte| byte.is_ascii_graphic())
            && component == "1"
            && transport.eq_ignore_ascii_case("udp")
            && typ == "typ"
            && port != 0;
        let address = SocketAddr::new(ip, port);
        is_usable.then_some(Self { foundation, priority, address, kind })
    }

    fn is_host(&self) -> bool {
        self.kind == HOST
    }
}

impl fmt::Display for Parsed<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { foundation, priority, address, kind } = self;
        let (ip, port) = (address.ip(), address.port());
        write!(formatter, "{PREFIX}{foundation} 1 udp {priority} {ip} {port} typ {kind}")
    }
}

/// The candidate in a line of a description.
fn candidate_line(line: &str) -> Option<&str> {
    attribute(line).filter(|attribute| attribute.starts_with("candidate"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::ice::candidate::unmarshal_candidate;
    use rtc::sdp::SessionDescription;

    /// What the stack wants before the attributes of a medium.
    const BEGIN: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";

    fn line(address: &str, port: u16, kind: &str) -> String {
        format!("candidate:1 1 udp 2130706431 {address} {port} typ {kind}")
    }

    fn description(candidates: &[String]) -> String {
        let lines = candidates.iter().map(|candidate| format!("a={candidate}\r\n"));
        format!(
            "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n{}",
            lines.collect::<String>()
        )
    }

    fn own(addresses: &[&str]) -> Vec<IpAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    /// A peer elsewhere, whose description has no candidates; `ours` are our addresses.
    fn beginning(ours: &[&str]) -> RemoteCandidates {
        let mut remote = RemoteCandidates::default();
        remote.describe(&description(&[]), &own(ours), false);
        remote
    }

    /// S-12: 300 candidates of a third party, in the description and after it.
    #[test]
    fn their_number_is_bounded_in_all_and_of_one_address() {
        let mut remote = RemoteCandidates::default();
        let third: Vec<_> = (0..300).map(|port| line("192.0.2.1", 1_000 + port, "srflx")).collect();
        let kept =
            remote.describe(&description(&third), &own(&["203.0.113.5", "127.0.0.1"]), false);
        assert_eq!(kept.matches("a=candidate").count(), ADDRESS_CANDIDATES_MAX);
        assert!(kept.starts_with("v=0\r\nm=application"));
        assert_eq!(remote.refused(), 300 - ADDRESS_CANDIDATES_MAX as u64);
        let later = (0..255)
            .filter(|last| remote.take(&line(&format!("198.51.100.{last}"), 9, "relay")).is_some());
        assert_eq!(later.count(), REMOTE_CANDIDATES_MAX - ADDRESS_CANDIDATES_MAX);

        let mut remote = beginning(&["203.0.113.5"]);
        let hosts = (0..255)
            .filter(|last| remote.take(&line(&format!("10.0.0.{last}"), 9, "host")).is_some());
        assert_eq!(hosts.count(), HOST_CANDIDATES_MAX, "the rest is for those that come later");
        assert!(remote.take(&line("192.0.2.1", 9, "relay")).is_some());
        assert!(remote.take(&line("192.0.2.1", 9, "srflx")).is_none(), "it is known");
        // Another negotiation begins anew.
        remote.describe(&description(&[]), &own(&["203.0.113.5"]), false);
        assert!(remote.take(&line("10.0.0.200", 9, "host")).is_some());
    }

    #[test]
    fn addresses_that_are_no_peers_are_never_used() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.251",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "fd00:ec2::254",
            "::",
            "ff02::fb",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::ffff:192.0.2.1",
            "::192.0.2.1",
            "example.org",
            "4711abcd.local",
            "127.0.0.53",
            "",
            "192.0.2.1.",
            "0x7f.1",
        ] {
            // With every address of ours that could allow it.
            let mut remote = beginning(&["127.0.0.1", "169.254.3.4"]);
            assert!(remote.take(&line(address, 9, "host")).is_none(), "{address}");
        }
        for address in [
            "192.0.2.1",
            "10.1.2.3",
            "172.17.0.1",
            "192.168.0.7",
            "100.64.0.1",
            "2001:db8::1",
            "fd12::1",
        ] {
            assert!(
                beginning(&["127.0.0.1", "10.9.9.9"]).take(&line(address, 9, "host")).is_some(),
                "{address}"
            );
        }
    }

    #[test]
    fn loopback_only_of_a_peer_on_this_machine_and_link_local_where_we_have_one() {
        let ours = ["10.0.0.5", "127.0.0.1"];
        let loopback = line("127.0.0.1", 9, "host");
        assert!(beginning(&ours).take(&loopback).is_none());
        assert!(beginning(&ours).take(&line("::1", 9, "host")).is_none());
        assert!(beginning(&["127.0.0.1"]).take(&loopback).is_some(), "there is no other way");
        let mut remote = RemoteCandidates::default();
        let both = description(&[loopback.clone(), line("10.0.0.5", 9, "host")]);
        assert_eq!(remote.describe(&both, &own(&ours), false), both, "it has an address of ours");
        let elsewhere = description(&[loopback.clone(), line("10.0.0.6", 9, "host")]);
        assert!(!remote.describe(&elsewhere, &own(&ours), false).contains("127.0.0.1"));
        let behind = description(&[loopback, line("10.0.0.5", 9, "relay")]);
        assert!(!remote.describe(&behind, &own(&ours), false).contains("127.0.0.1"), "a server's");

        let local = line("169.254.9.9", 9, "host");
        assert!(beginning(&ours).take(&local).is_none());
        assert!(beginning(&["169.254.3.1", "127.0.0.1"]).take(&local).is_some());
    }

    #[test]
    fn other_kinds_and_odd_lines_are_refused() {
        let mut remote = beginning(&["10.0.0.5"]);
        for line in [
            "candidate:1 2 udp 1 192.0.2.1 9 typ host",
            "candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype passive",
            "candidate:1 1 udp 1 192.0.2.1 0 typ host",
            "candidate:1 1 udp 1 192.0.2.1 99999 typ host",
            "candidate:1 1 udp 1 192.0.2.1 9",
            "candidate:",
            "192.0.2.1",
        ] {
            assert!(remote.take(line).is_none(), "{line}");
        }
        assert!(remote.take("").is_some(), "no more will come");
        assert!(remote.take("candidate:1 1 UDP 1 192.0.2.1 9 typ host generation 0").is_some());
        // However the line is written, a candidate that is refused does not pass as something else.
        for odd in [
            "a= candidate:1 1 udp 1 0.0.0.0 9 typ host",
            "a=\u{2003}candidate:1 1 udp 1 0.0.0.0 9 typ host\u{2003}",
            "a=\rcandidate:1 1 udp 1 0.0.0.0 9 typ host",
            "\ra=candidate:1 1 udp 1 0.0.0.0 9 typ host",
        ] {
            for end in ["\n", "\r\n"] {
                let sdp = format!("v=0{end}{odd}{end}a=end-of-candidates{end}");
                let kept = remote.describe(&sdp, &own(&["10.0.0.5"]), false);
                assert!(
                    !kept.contains("0.0.0.0") && kept.contains("a=end-of-candidates"),
                    "{kept:?}"
                );
            }
        }
    }

    /// The addresses of the candidates that the stack finds in a description.
    fn found_by_the_stack(sdp: &str) -> Vec<SocketAddr> {
        let session = SessionDescription::unmarshal(&mut std::io::Cursor::new(sdp)).unwrap();
        let media = session.media_descriptions.iter().flat_map(|media| &media.attributes);
        media
            .filter(|attribute| attribute.is_ice_candidate())
            .map(|attribute| unmarshal_candidate(attribute.value.as_deref().unwrap()).unwrap())
            .map(|candidate| candidate.addr())
            .collect()
    }

    /// S-12: a line of the stack ends at a line feed, and nowhere else.
    #[test]
    fn the_stack_finds_no_candidate_behind_a_carriage_return() {
        for line in [
            "a=\rcandidate:1 1 udp 1 127.0.0.1 53 typ host\n",
            "a=\r\rcandidate:1 1 udp 1 127.0.0.1 53 typ host\r\n",
            "\r\ra=candidate:1 1 udp 1 127.0.0.1 53 typ host\n",
            "a= \r candidate:1 1 udp 1 127.0.0.1 53 typ host\n",
            "a=x\ra=candidate:1 1 udp 1 127.0.0.1 53 typ host\n",
        ] {
            let mut remote = RemoteCandidates::default();
            let kept = remote.describe(
                &format!("{BEGIN}{line}a=end-of-candidates\r\n"),
                &own(&["10.0.0.5", "127.0.0.1"]),
                false,
            );
            let found = found_by_the_stack(&kept);
            assert!(found.is_empty(), "{line:?}: {found:?}");
        }
    }

    /// S-12: a candidate that is hidden in the first word of another one, by blanks that only one of two parsers knows.
    #[test]
    fn the_stack_reads_the_candidate_that_was_looked_at() {
        let blanks = (0..=u32::from(char::MAX)).filter_map(char::from_u32);
        let blanks = blanks.filter(|blank| blank.is_whitespace() || blank.is_control());
        for blank in blanks.filter(|blank| *blank != '\n') {
            let hidden = "1 1 udp 1 127.0.0.1 53 typ host".replace(' ', &blank.to_string());
            for candidate in [
                format!("candidate:{hidden} 1 udp 1 192.0.2.1 9 typ host"),
                format!("candidate:{blank}{hidden} 1 udp 1 192.0.2.1 9 typ host"),
                format!("candidate:1 1 udp{blank}1 192.0.2.1 9 typ host"),
                format!("candidate:1 1 udp 1 192.0.2.1{blank}9 typ host"),
            ] {
                let ours = ["10.0.0.5", "127.0.0.1"];
                let sdp = format!("{BEGIN}a={candidate}\r\n");
                let kept = RemoteCandidates::default().describe(&sdp, &own(&ours), false);
                let found = found_by_the_stack(&kept);
                let allowed: SocketAddr = "192.0.2.1:9".parse().unwrap();
                assert!(found.iter().all(|found| *found == allowed), "{candidate:?}: {found:?}");
                let later = beginning(&ours).take(&candidate).map(|taken| {
                    unmarshal_candidate(taken.strip_prefix(PREFIX).unwrap()).unwrap().addr()
                });
                assert!(later.is_none_or(|later| later == allowed), "{candidate:?}: {later:?}");
            }
        }
    }

    #[test]
    fn what_the_stack_needs_is_kept_and_the_rest_left_out() {
        let mut remote = beginning(&["10.0.0.5"]);
        for (given, taken) in [
            (
                "candidate:4/a+b 1 UDP 2130706431 2001:DB8:0::1 0009 typ host generation 0",
                "candidate:4/a+b 1 udp 2130706431 2001:db8::1 9 typ host",
            ),
            (
                "candidate:7 1 udp 1694498815 192.0.2.1 9 typ srflx raddr 10.0.0.9 rport 8 ufrag x",
                "candidate:7 1 udp 1694498815 192.0.2.1 9 typ srflx",
            ),
        ] {
            assert_eq!(remote.take(given).as_deref(), Some(taken));
        }
        for refused in [
            "candidate:\u{200b}7 1 udp 1 192.0.2.2 9 typ host",
            "candidate:7 1 udp 4294967296 192.0.2.2 9 typ host",
            "candidate:7 1 udp 1 192.0.2.2 9 typ other",
        ] {
            assert_eq!(remote.take(refused), None);
        }
    }
}
