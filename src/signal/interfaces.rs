//! I/O: the addresses of this machine that another one can use to reach it, and the interfaces behind them.
//!
//! The rule is in `chosen`: the address that the default route leaves by first, then those of other physical interfaces,
//! then VPNs and bridges; link-local ones only where there is nothing else; loopback never. Interfaces that are down or have no
//! carrier do not count, nor IPv6 addresses that are about to go where the same interface has one that stays. Others cannot
//! know which of them reach us: they try them in this order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::wire::address::is_link_local;

/// Most addresses that are told to others.
const ADDRESSES_MAX: usize = 6;
/// Of one interface: hosts with a dozen IPv6 addresses exist, and the other interfaces count more.
const OF_INTERFACE_MAX: usize = 3;

/// What an interface is, as far as it can be told.
#[cfg_attr(not(unix), expect(dead_code, reason = "nothing is told apart there"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A network card, or what stands for one in a container or a virtual machine.
    Card,
    /// A tunnel, or a bridge to what runs on this machine.
    Virtual,
}

/// An address of an interface that is up.
#[derive(Clone, Debug)]
struct Found {
    interface: String,
    ip: IpAddr,
    kind: Kind,
    /// An IPv6 address of the day, which goes away while the machine stays (RFC 8981), or is deprecated already.
    is_passing: bool,
}

/// The addresses of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnAddresses {
    /// Those to tell to others, the best first.
    pub usable: Vec<IpAddr>,
    /// The others, and why.
    pub left_out: Vec<(IpAddr, &'static str)>,
}

/// The addresses by which others reach this machine. A few system calls and small files: for a blocking thread, or for the
/// moment when nothing else is due.
#[must_use]
pub fn own_addresses() -> OwnAddresses {
    let own = chosen(&found(), &routes());
    for (address, reason) in &own.left_out {
        tracing::info!(target: "rejoin::signal", %address, reason, "an address is not told to others");
    }
    own
}

/// Every address of this machine, whatever its use.
#[must_use]
pub fn all() -> Vec<IpAddr> {
    platform::all().unwrap_or_default()
}

/// The numbers of the interfaces that a link-local address may be behind: the named one, or all that are up.
#[must_use]
pub(super) fn zones(zone: Option<&str>) -> Vec<u32> {
    match zone {
        Some(zone) => zone.parse().ok().or_else(|| platform::index(zone)).into_iter().collect(),
        None => {
            let mut names: Vec<String> = found().into_iter().map(|found| found.interface).collect();
            names.sort_unstable();
            names.dedup();
            names.iter().filter_map(|name| platform::index(name)).collect()
        }
    }
}

/// Whether only machines of the same network reach the address.
#[must_use]
pub const fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_private() || address.is_loopback() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

/// The addresses to tell, in order. `routes` are the ones that the default routes leave by.
fn chosen(found: &[Found], routes: &[IpAddr]) -> OwnAddresses {
    let mut own = OwnAddresses::default();
    let stays = |interface: &str| {
        found.iter().any(|other| {
            other.interface == interface
                && other.ip.is_ipv6()
                && !other.is_passing
                && !is_link_local(other.ip)
        })
    };
    let mut candidates: Vec<&Found> = Vec::new();
    for entry in found {
        if entry.ip.is_loopback() || entry.ip.is_unspecified() || entry.ip.is_multicast() {
            continue;
        }
        if entry.is_passing && stays(&entry.interface) {
            own.left_out.push((entry.ip, "it is temporary"));
        } else if !candidates.iter().any(|known| known.ip == entry.ip) {
            candidates.push(entry);
        }
    }
    let has_better = candidates.iter().any(|entry| !is_link_local(entry.ip));
    candidates.retain(|entry| {
        let is_kept = !has_better || !is_link_local(entry.ip);
        if !is_kept {
            own.left_out.push((entry.ip, "it is link-local"));
        }
        is_kept
    });
    // Of a default route whose own address is not told, the interface counts.
    let route_of = |entry: &Found| {
        routes.iter().position(|route| {
            *route == entry.ip
                || (route.is_ipv6() == entry.ip.is_ipv6()
                    && found.iter().any(|other| {
                        other.ip == *route && other.interface == entry.interface && other.is_passing
                    }))
        })
    };
    candidates.sort_by_key(|entry| (route_of(entry).unwrap_or(usize::MAX), entry.kind));
    for entry in &candidates {
        let of_interface = candidates
            .iter()
            .filter(|other| other.interface == entry.interface)
            .filter(|other| own.usable.contains(&other.ip))
            .count();
        if own.usable.len() == ADDRESSES_MAX {
            own.left_out.push((entry.ip, "there are better ones enough"));
        } else if of_interface == OF_INTERFACE_MAX {
            own.left_out.push((entry.ip, "its interface has others"));
        } else {
            own.usable.push(entry.ip);
        }
    }
    own
}

/// The addresses that this machine sends from by its default routes; nothing is sent.
fn routes() -> Vec<IpAddr> {
    let route = |from: SocketAddr, to: SocketAddr| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_unspecified())
    };
    // Documentation networks (RFC 5737, RFC 3849): never a real host, always by the default route.
    let targets = [
        ((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into()),
        (
            (Ipv6Addr::UNSPECIFIED, 0).into(),
            (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into(),
        ),
    ];
    targets.into_iter().filter_map(|(from, to)| route(from, to)).collect()
}

fn found() -> Vec<Found> {
    platform::found().unwrap_or_else(|error| {
        tracing::warn!(target: "rejoin::signal", %error, "the addresses of this machine are not known");
        Vec::new()
    })
}

#[cfg(unix)]
mod platform {
    use super::{Found, Kind};
    use nix::ifaddrs::{InterfaceAddress, getifaddrs};
    use nix::net::if_::{InterfaceFlags, if_nametoindex};
    use std::collections::HashMap;
    use std::io;
    use std::net::{IpAddr, Ipv6Addr};
    use std::path::Path;

    /// Beginnings of the names of interfaces that are no card, for where the system says nothing else of them.
    const VIRTUAL_NAMES: [&str; 21] = [
        "br-",
        "cali",
        "cilium",
        "cni",
        "docker",
        "flannel",
        "gre",
        "ipsec",
        "lxc",
        "lxd",
        "podman",
        "ppp",
        "sit",
        "tailscale",
        "tap",
        "tun",
        "utun",
        "vbox",
        "virbr",
        "wg",
        "zt",
    ];

    /// Flags of an IPv6 address (linux/if_addr.h).
    const TEMPORARY: u8 = 0x01;
    const OPTIMISTIC: u8 = 0x04;
    const FAILED: u8 = 0x08;
    const DEPRECATED: u8 = 0x20;
    const TENTATIVE: u8 = 0x40;

    pub(super) fn all() -> io::Result<Vec<IpAddr>> {
        Ok(getifaddrs()?.filter_map(|entry| ip_of(&entry)).collect())
    }

    pub(super) fn index(name: &str) -> Option<u32> {
        if_nametoindex(name).ok()
    }

    pub(super) fn found() -> io::Result<Vec<Found>> {
        let flags =
            address_flags(&std::fs::read_to_string("/proc/self/net/if_inet6").unwrap_or_default());
        let mut found = Vec::new();
        for entry in getifaddrs()? {
            let is_up = entry.flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING);
            let Some(ip) = ip_of(&entry).filter(|_| is_up) else { continue };
            if entry.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
                continue;
            }
            let flags = match ip {
                IpAddr::V6(address) => flags.get(&address).copied().unwrap_or_default(),
                IpAddr::V4(_) => 0,
            };
            // Another machine has it, or nobody knows yet whether one does.
            let is_unsure = flags & TENTATIVE != 0 && flags & OPTIMISTIC == 0;
            if is_unsure || flags & FAILED != 0 {
                continue;
            }
            let kind = kind(&entry.interface_name, entry.flags);
            let is_passing = flags & (TEMPORARY | DEPRECATED) != 0;
            found.push(Found { interface: entry.interface_name, ip, kind, is_passing });
        }
        Ok(found)
    }

    fn ip_of(entry: &InterfaceAddress) -> Option<IpAddr> {
        let address = entry.address.as_ref()?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    }

    fn kind(name: &str, flags: InterfaceFlags) -> Kind {
        let about = Path::new("/sys/class/net").join(name);
        let is_known = about.join("bridge").exists() || about.join("tun_flags").exists();
        let is_named = VIRTUAL_NAMES.iter().any(|prefix| name.starts_with(prefix));
        let is_tunnel = flags.contains(InterfaceFlags::IFF_POINTOPOINT);
        if is_known || is_tunnel || is_named { Kind::Virtual } else { Kind::Card }
    }

    /// The flags of IPv6 addresses, from `/proc/net/if_inet6`: address, index, prefix length, scope, flags, name.
    pub(super) fn address_flags(text: &str) -> HashMap<Ipv6Addr, u8> {
        let line = |line: &str| {
            let mut fields = line.split_ascii_whitespace();
            let address = u128::from_str_radix(fields.next()?, 16).ok()?;
            let flags = u8::from_str_radix(fields.nth(3)?, 16).ok()?;
            Some((Ipv6Addr::from(address), flags))
        };
        text.lines().filter_map(line).collect()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn flags_are_read_from_the_kernels_list() {
            let text = "fe80000000000000000000000000dead 02 40 20 80     eth0\n\
                        20010db8000000000000000000000007 02 40 00 01     eth0\nnonsense\n";
            let flags = address_flags(text);
            assert_eq!(flags.len(), 2);
            assert_eq!(flags[&"2001:db8::7".parse::<Ipv6Addr>().unwrap()], TEMPORARY);
        }
    }
}

#[cfg(not(unix))]
mod platform {
    use super::Found;
    use std::io;
    use std::net::IpAddr;

    pub(super) fn all() -> io::Result<Vec<IpAddr>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) const fn index(_name: &str) -> Option<u32> {
        None
    }

    pub(super) fn found() -> io::Result<Vec<Found>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(interface: &str, ip: &str, kind: Kind) -> Found {
        Found { interface: interface.to_owned(), ip: ip.parse().unwrap(), kind, is_passing: false }
    }

    fn passing(interface: &str, ip: &str) -> Found {
        Found { is_passing: true, ..found(interface, ip, Kind::Card) }
    }

    fn usable(found: &[Found], routes: &[&str]) -> Vec<String> {
        let routes: Vec<IpAddr> = routes.iter().map(|route| route.parse().unwrap()).collect();
        chosen(found, &routes).usable.iter().map(IpAddr::to_string).collect()
    }

    /// B-G: default route, cards, then VPNs and bridges.
    #[test]
    fn the_default_route_comes_first_and_what_is_virtual_last() {
        let all = [
            found("docker0", "172.17.0.1", Kind::Virtual),
            found("tun0", "10.8.0.2", Kind::Virtual),
            found("eth0", "192.0.2.7", Kind::Card),
            found("eth0", "2001:db8::7", Kind::Card),
            found("eth0", "fe80::7", Kind::Card),
            found("wlan0", "198.51.100.7", Kind::Card),
        ];
        assert_eq!(
            usable(&all, &["192.0.2.7", "2001:db8::7"]),
            ["192.0.2.7", "2001:db8::7", "198.51.100.7", "172.17.0.1", "10.8.0.2"]
        );
        // A VPN that has the default route.
        assert_eq!(
            usable(&all, &["10.8.0.2"]),
            ["10.8.0.2", "192.0.2.7", "2001:db8::7", "198.51.100.7", "172.17.0.1"]
        );
        assert_eq!(usable(&all, &[]).first().map(String::as_str), Some("192.0.2.7"));
    }

    #[test]
    fn link_local_is_told_where_there_is_nothing_else_and_loopback_never() {
        let lo = found("lo", "127.0.0.1", Kind::Card);
        let all = [lo.clone(), found("eth0", "fe80::7", Kind::Card)];
        assert_eq!(usable(&all, &[]), ["fe80::7"]);
        assert!(usable(&[lo, found("lo", "::1", Kind::Card)], &["127.0.0.1"]).is_empty());
    }

    #[test]
    fn an_address_of_the_day_is_told_where_none_stays() {
        let all = [
            passing("eth0", "2001:db8::1"),
            found("eth0", "2001:db8::2", Kind::Card),
            passing("wlan0", "2001:db8:1::1"),
            found("wlan0", "fe80::1", Kind::Card),
        ];
        // The default route leaves by the one of the day; the other one of its interface is told, first.
        assert_eq!(usable(&all, &["2001:db8::1"]), ["2001:db8::2", "2001:db8:1::1"]);
        let own = chosen(&all, &[]);
        assert_eq!(own.left_out.len(), 2, "{own:?}");
    }

    #[test]
    fn their_number_is_bounded() {
        let many: Vec<Found> = (0..9)
            .map(|at| found(&format!("eth{at}"), &format!("192.0.2.{}", at + 1), Kind::Card))
            .collect();
        let own = chosen(&many, &[]);
        assert_eq!((own.usable.len(), own.left_out.len()), (ADDRESSES_MAX, 3));
        let of_one: Vec<Found> = (1..6)
            .map(|at| found("eth0", &format!("2001:db8::{at}"), Kind::Card))
            .chain([found("eth1", "192.0.2.7", Kind::Card)])
            .collect();
        assert_eq!(usable(&of_one, &[]).last().map(String::as_str), Some("192.0.2.7"));
    }
}
