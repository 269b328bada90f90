//! The addresses of this machine that a link binds.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use crate::wire::address::is_link_local;

/// Most local addresses used: pairs grow with the product of both sides', and checks with the pairs.
const LOCAL_ADDRESSES_MAX: usize = 12;

/// Every address of this machine that a link could use, loopback included.
///
/// # Errors
/// The system does not give the list.
pub fn interface_addresses() -> io::Result<Vec<IpAddr>> {
    let interfaces = rtc::shared::ifaces::ifaces()?;
    let addresses = interfaces.into_iter().filter_map(|interface| Some(interface.addr?.ip()));
    Ok(addresses.filter(|address| address.is_loopback() || is_usable(address)).collect())
}

/// The local addresses a link binds: each usable interface address, and loopback, for a peer on the same machine.
///
/// The stack resolves this anew for every bind, so an ICE restart binds the addresses of that moment.
#[derive(Debug, Clone, Copy)]
pub struct LocalAddresses {
    /// Only loopback.
    pub loopback_only: bool,
}

impl LocalAddresses {
    /// What would be bound now.
    #[must_use]
    pub fn now(self) -> Vec<IpAddr> {
        // It never fails: what the system does not tell is not bound.
        let addresses = self.to_socket_addrs().into_iter().flatten();
        addresses.map(|address| address.ip()).collect()
    }
}

impl ToSocketAddrs for LocalAddresses {
    type Iter = std::vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let mut addresses = Vec::new();
        if !self.loopback_only {
            match rtc::shared::ifaces::ifaces() {
                Ok(interfaces) => {
                    let of = interfaces
                        .into_iter()
                        .filter_map(|interface| Some((interface.name, interface.addr?)));
                    addresses = local_addresses(&of.collect::<Vec<_>>());
                }
                Err(error) => {
                    tracing::warn!(target: "rejoin::ice", %error, "cannot list the network interfaces");
                }
            }
        }
        addresses.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
        Ok(addresses.into_iter())
    }
}

/// The addresses to bind, of interfaces by name. A link-local one (RFC 3927) only where its interface has no other: a cable
/// between two machines, a network without a server of addresses. Of IPv6 such an address needs a scope, which candidates do
/// not carry and the stack knows its sockets with.
fn local_addresses(interfaces: &[(String, SocketAddr)]) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    let has_other = |name: &str| {
        interfaces.iter().any(|(other, address)| other == name && is_usable(&address.ip()))
    };
    let (others, local): (Vec<_>, Vec<_>) = interfaces
        .iter()
        .filter(|(name, address)| {
            let ip = address.ip();
            is_usable(&ip) || ip.is_ipv4() && is_link_local(ip) && !has_other(name)
        })
        .partition(|(_, address)| is_usable(&address.ip()));
    for (_, address) in others.into_iter().chain(local) {
        let mut address = *address;
        address.set_port(0);
        if !addresses.contains(&address) && addresses.len() + 1 < LOCAL_ADDRESSES_MAX {
            addresses.push(address);
        }
    }
    addresses
}

/// Whether a peer could reach an interface address from beyond its cable.
fn is_usable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !address.is_loopback() && !address.is_unspecified() && !address.is_link_local()
        }
        IpAddr::V6(address) => is_usable_v6(address),
    }
}

fn is_usable_v6(address: &Ipv6Addr) -> bool {
    !address.is_loopback()
        && !address.is_unspecified()
        && !address.is_unicast_link_local()
        && address.to_ipv4_mapped().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// B-G: two machines on one cable have nothing else.
    #[test]
    fn a_link_local_address_is_bound_where_its_interface_has_no_other() {
        let of = |list: &[(&str, &str)]| {
            let parse = |(name, ip): &(&str, &str)| {
                (String::from(*name), SocketAddr::new(ip.parse().unwrap(), 0))
            };
            let bound = local_addresses(&list.iter().map(parse).collect::<Vec<_>>());
            bound.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>()
        };
        let cable = ("eth1", "169.254.3.1");
        assert_eq!(of(&[cable, ("eth0", "192.0.2.7")]), ["192.0.2.7", "169.254.3.1"]);
        assert_eq!(of(&[cable, ("eth1", "192.0.2.7"), ("lo", "127.0.0.1")]), ["192.0.2.7"]);
        assert_eq!(of(&[("eth1", "fe80::1")]), Vec::<String>::new());
    }

    #[test]
    fn loopback_is_always_bound() {
        for loopback_only in [false, true] {
            let addresses: Vec<_> =
                LocalAddresses { loopback_only }.to_socket_addrs().unwrap().collect();
            assert!(addresses.iter().any(|address| address.ip().is_loopback()));
            assert!(addresses.len() <= LOCAL_ADDRESSES_MAX);
            assert!(addresses.iter().all(|address| !address.ip().is_unspecified()));
        }
    }
}
