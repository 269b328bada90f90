//! IP addresses as members tell them to each other.

use std::net::IpAddr;

/// Whether only machines on the same cable or radio network reach an address (RFC 3927, RFC 4291 §2.5.6).
#[must_use]
pub const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
