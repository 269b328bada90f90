//! Where a host is: the addresses in a code, of `--host`, and of stored sessions. Pure.
//!
//! ```text
//! ADDRESSES = ADDRESS *( "," ADDRESS ) [ ",:" PORT ]
//! ADDRESS   = NAME [ ":" PORT ] | IPV4 [ ":" PORT ] | IPV6 [ "%" ZONE ] | "[" IPV6 [ "%" ZONE ] "]" [ ":" PORT ]
//!           | ( "ws://" | "wss://" ) AUTHORITY [ PATH ]
//! ```
//!
//! All of them are one host's, the best first. An address without a port has the one at the end: the last address's own, or
//! what follows `,:`; without any it is 9750. An IPv6 address without brackets takes no port of its own, so that the text has
//! one meaning, and what is printed has no character that a shell expands: no brackets. The commas are what tells the addresses
//! apart; none of the other forms has one.
//!
//! A path is a prefix: the WebSocket is at `PATH/ws`, whether or not `/ws` and the slash before it are written.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The port of a host whose address names none.
pub const PORT_DEFAULT: u16 = 9750;
/// Most addresses of one host that are read: far more than a sender prints.
pub const ADDRESSES_MAX: usize = 16;
/// Longest zone: interface names have 15 bytes on Linux, more elsewhere.
const ZONE_BYTES_MAX: usize = 64;
/// Where a host's WebSocket is, below the prefix.
const ENDPOINT: &str = "/ws";

/// Why a text is no address of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// None of the forms.
    #[error("{ADDRESS_FORMS}")]
    Form,
    /// A port that is no number from 1 to 65535.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// A part that a host has no use for.
    #[error("a host's address has no part after ? or #; name it as wss://NAME/PREFIX")]
    Query,
    /// A path where the text does not say that it is a URL.
    #[error("a host with a path is a URL: ws://NAME:PORT/PATH, or wss://NAME/PATH with TLS")]
    Path,
    /// More than are read.
    #[error("more than {ADDRESSES_MAX} addresses")]
    TooMany,
    /// More text than addresses need.
    #[error("longer than {LIST_BYTES_MAX} bytes")]
    TooLong,
}

/// Addresses with names of 253 bytes (RFC 1035, section 2.3.4) and their prefixes fit.
const LIST_BYTES_MAX: usize = 2048;

/// What an address may look like, in one sentence.
const ADDRESS_FORMS: &str = "a host is NAME, NAME:PORT, an IP address, ws://… or wss://…";

/// Where a host listens: parsed and completed, ready for the client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostAddress {
    secure: bool,
    /// A name or a literal address; IPv6 without brackets.
    host: String,
    /// Of a link-local address: through which interface of the machine that reads it.
    zone: Option<String>,
    port: u16,
    path: String,
}

/// An address as it was written.
struct Written {
    address: HostAddress,
    /// Whether the text says its port, or its scheme does.
    has_port: bool,
}

impl HostAddress {
    /// A plain address, as an embedded host has it. `host` is a name or a literal address without brackets.
    ///
    /// # Errors
    /// [`AddressError::Form`] if `host` is neither.
    pub fn new(host: &str, port: u16) -> Result<Self, AddressError> {
        if port == 0 {
            return Err(AddressError::Port);
        }
        let (host, zone) = host_and_zone(host)?;
        Ok(Self { secure: false, host, zone, port, path: ENDPOINT.to_owned() })
    }

    /// The address of a socket, as an embedded host has it.
    #[must_use]
    pub fn of_ip(ip: IpAddr, port: u16) -> Self {
        Self { secure: false, host: ip.to_string(), zone: None, port, path: ENDPOINT.to_owned() }
    }

    /// Its URL, with the zone where it has one: what is stored, and said in errors.
    #[must_use]
    pub fn url(&self) -> String {
        let zone = self.zone.as_ref().map(|zone| format!("%{zone}")).unwrap_or_default();
        self.url_with(&zone)
    }

    /// The URL that is asked for: a zone has no meaning beyond this machine (RFC 6874 §1).
    #[must_use]
    pub fn request_url(&self) -> String {
        self.url_with("")
    }

    fn url_with(&self, zone: &str) -> String {
        let scheme = if self.secure { "wss" } else { "ws" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        format!("{scheme}://{open}{}{zone}{close}:{}{}", self.host, self.port, self.path)
    }

    /// Whether it asks for TLS.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Name or literal address; IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The literal address, where it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The interface that a link-local address is reached through, where the text says it.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether an embedded host can be there: no TLS, no prefix.
    fn is_plain(&self) -> bool {
        !self.secure && self.path == ENDPOINT
    }

    /// The host as it stands in a list: without brackets, with its zone.
    fn bare(&self) -> String {
        let zone = self.zone.as_ref().map(|zone| format!("%{zone}")).unwrap_or_default();
        format!("{}{zone}", self.host)
    }
}

impl FromStr for HostAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let mut addresses = parse_list(text)?;
        match (addresses.pop(), addresses.is_empty()) {
            (Some(address), true) => Ok(address),
            (Some(_) | None, _) => Err(AddressError::Form),
        }
    }
}

/// The short form; [`parse_list`] reads it back.
impl fmt::Display for HostAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&list(std::slice::from_ref(self)))
    }
}

/// The addresses of one host, as in a code after the `@`.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_list(text: &str) -> Result<Vec<HostAddress>, AddressError> {
    if text.len() > LIST_BYTES_MAX {
        return Err(AddressError::TooLong);
    }
    let mut written = Vec::new();
    let mut port = None;
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        if port.is_some() {
            // Nothing follows the port of all.
            return Err(AddressError::Form);
        }
        match part.strip_prefix(':') {
            Some(digits) if !digits.starts_with(':') && !written.is_empty() => {
                port = Some(parse_port(digits)?);
            }
            Some(_) | None => written.push(parse_one(part)?),
        }
        if written.len() > ADDRESSES_MAX {
            return Err(AddressError::TooMany);
        }
    }
    let last: &Written = written.last().ok_or(AddressError::Form)?;
    let port = port
        .or_else(|| Some(last.address.port).filter(|_| last.has_port && last.address.is_plain()));
    let complete = |Written { address, has_port }| match port.filter(|_| !has_port) {
        Some(port) => HostAddress { port, ..address },
        None => address,
    };
    Ok(written.into_iter().map(complete).collect())
}

/// The shortest text that [`parse_list`] reads as these addresses; as they are in a code.
#[must_use]
pub fn list(addresses: &[HostAddress]) -> String {
    let Some(last) = addresses.last() else { return String::new() };
    let is_one_port =
        addresses.iter().all(|address| address.is_plain() && address.port == last.port);
    if !is_one_port {
        let full = |address: &HostAddress| {
            if address.is_plain() && !address.host.contains(':') {
                format!("{}:{}", address.host, address.port)
            } else {
                short_url(address)
            }
        };
        return addresses.iter().map(full).collect::<Vec<_>>().join(",");
    }
    let mut text = addresses.iter().map(HostAddress::bare).collect::<Vec<_>>().join(",");
    if last.port != PORT_DEFAULT {
        let comma = if last.host.contains(':') { "," } else { "" };
        text.push_str(&format!("{comma}:{}", last.port));
    }
    text
}

/// A URL without what it says by itself: the port of TLS, the endpoint of a host at the root.
fn short_url(address: &HostAddress) -> String {
    let (open, close) = if address.host.contains(':') { ("[", "]") } else { ("", "") };
    let scheme = if address.secure { "wss" } else { "ws" };
    let is_usual = address.secure && address.port == 443;
    let port = if is_usual { String::new() } else { format!(":{}", address.port) };
    let path = if address.path == ENDPOINT { "" } else { &address.path };
    format!("{scheme}://{open}{}{close}{port}{path}", address.bare())
}

/// Schemes with whether they ask for TLS, and the port that they mean: those of a web page are as good, as they are copied.
const SCHEMES: [(&str, bool, u16); 4] = [
    ("ws://", false, PORT_DEFAULT),
    ("wss://", true, 443),
    ("http://", false, 80),
    ("https://", true, 443),
];

fn parse_one(text: &str) -> Result<Written, AddressError> {
    let begins = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    let scheme = SCHEMES.into_iter().find(|(scheme, _, _)| begins(scheme));
    let is_url = scheme.is_some();
    let (name, secure, usual) = scheme.unwrap_or(("", false, PORT_DEFAULT));
    let rest = &text[name.len()..];
    if rest.contains(['?', '#']) {
        return Err(AddressError::Query);
    }
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    if !is_url && !path.trim_matches('/').is_empty() {
        return Err(if authority.is_empty() || authority.ends_with(':') {
            AddressError::Form
        } else {
            AddressError::Path
        });
    }
    let (host, port) = split_port(authority)?;
    let (host, zone) = host_and_zone(host)?;
    let has_port = port.is_some() || usual != PORT_DEFAULT;
    let port = port.unwrap_or(usual);
    let address = HostAddress { secure, host, zone, port, path: endpoint(path)? };
    Ok(Written { address, has_port })
}

/// Splits the port off; an IPv6 address without brackets has none.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), AddressError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(AddressError::Form)?;
        // Brackets are for IPv6 alone.
        if !host.contains(':') {
            return Err(AddressError::Form);
        }
        return match rest.strip_prefix(':') {
            Some(digits) => Ok((host, Some(parse_port(digits)?))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(AddressError::Form),
        };
    }
    let address = authority.split('%').next().unwrap_or_default();
    if address.parse::<Ipv6Addr>().is_ok() {
        return Ok((authority, None));
    }
    match authority.split_once(':') {
        Some((host, digits)) if !digits.contains(':') => Ok((host, Some(parse_port(digits)?))),
        Some(_) => Err(AddressError::Form),
        None => Ok((authority, None)),
    }
}

fn parse_port(digits: &str) -> Result<u16, AddressError> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = if is_number { digits.parse().ok() } else { None };
    port.filter(|port| *port != 0).ok_or(AddressError::Port)
}

/// A name in lower case, or a literal address in its canonical spelling; with the zone of an IPv6 address.
fn host_and_zone(text: &str) -> Result<(String, Option<String>), AddressError> {
    let (host, zone) = match text.split_once('%') {
        // A URL spells the percent sign as %25 (RFC 6874); a zone of digits is an interface's number.
        Some((host, zone)) => {
            let name = |zone: &&str| zone.starts_with(|first: char| first.is_ascii_alphabetic());
            (host, Some(zone.strip_prefix("25").filter(name).unwrap_or(zone)))
        }
        None => (text, None),
    };
    if let Ok(address) = host.parse::<Ipv6Addr>() {
        let is_zone = |zone: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=ZONE_BYTES_MAX).contains(&zone.len()) && zone.bytes().all(is_plain)
        };
        return match zone {
            Some(zone) if !is_zone(zone) => Err(AddressError::Form),
            zone => Ok((address.to_string(), zone.map(str::to_owned))),
        };
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if zone.is_some() || host.is_empty() || !host.bytes().all(is_plain) {
        return Err(AddressError::Form);
    }
    Ok((host.to_ascii_lowercase(), None))
}

/// Where the WebSocket is below `path`: a prefix, with or without its end.
fn endpoint(path: &str) -> Result<String, AddressError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%".contains(&byte);
    if !path.bytes().all(is_plain) {
        return Err(AddressError::Form);
    }
    let prefix = path.trim_end_matches('/');
    Ok(if prefix.ends_with(ENDPOINT) { prefix.to_owned() } else { format!("{prefix}{ENDPOINT}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn urls(text: &str) -> Vec<String> {
        parse_list(text).unwrap().iter().map(HostAddress::url).collect()
    }

    #[test]
    fn one_address_in_every_spelling() {
        for (typed, url, shown) in [
            ("192.0.2.7", "ws://192.0.2.7:9750/ws", "192.0.2.7"),
            ("192.0.2.7:81", "ws://192.0.2.7:81/ws", "192.0.2.7:81"),
            ("192.0.2.7,:81", "ws://192.0.2.7:81/ws", "192.0.2.7:81"),
            ("Example.ORG", "ws://example.org:9750/ws", "example.org"),
            ("2001:DB8::1", "ws://[2001:db8::1]:9750/ws", "2001:db8::1"),
            ("2001:db8::1,:81", "ws://[2001:db8::1]:81/ws", "2001:db8::1,:81"),
            ("[2001:db8::1]", "ws://[2001:db8::1]:9750/ws", "2001:db8::1"),
            ("[2001:db8::1]:81", "ws://[2001:db8::1]:81/ws", "2001:db8::1,:81"),
            ("fe80::1%eth0", "ws://[fe80::1%eth0]:9750/ws", "fe80::1%eth0"),
            ("[fe80::1%25eth0]:81", "ws://[fe80::1%eth0]:81/ws", "fe80::1%eth0,:81"),
            ("::1", "ws://[::1]:9750/ws", "::1"),
            ("ws://h", "ws://h:9750/ws", "h"),
            ("wss://h/", "wss://h:443/ws", "wss://h"),
            ("WSS://h:1/a/b", "wss://h:1/a/b/ws", "wss://h:1/a/b/ws"),
            ("http://h:81", "ws://h:81/ws", "h:81"),
            ("http://h/", "ws://h:80/ws", "h:80"),
            ("HTTPS://h/rejoin", "wss://h:443/rejoin/ws", "wss://h/rejoin/ws"),
        ] {
            let address: HostAddress = typed.parse().unwrap();
            assert_eq!(address.url(), url, "{typed}");
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address.clone()));
            assert_eq!(address.url().parse(), Ok(address));
        }
        let address: HostAddress = "fe80::1%eth0".parse().unwrap();
        assert_eq!(address.request_url(), "ws://[fe80::1]:9750/ws");
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        for (typed, error) in [
            ("", AddressError::Form),
            (",", AddressError::Form),
            (":81", AddressError::Form),
            ("a b", AddressError::Form),
            ("h:0", AddressError::Port),
            ("h:65536", AddressError::Port),
            ("h:x", AddressError::Port),
            ("h:", AddressError::Port),
            ("a,:0", AddressError::Port),
            ("a,:81,b", AddressError::Form),
            ("[::1", AddressError::Form),
            ("[::1]81", AddressError::Form),
            ("[192.0.2.7]", AddressError::Form),
            ("ftp://h", AddressError::Form),
            ("http://", AddressError::Form),
            ("ws:h", AddressError::Port),
            ("h/path", AddressError::Path),
            ("h:81/path", AddressError::Path),
            ("fe80::1%", AddressError::Form),
            ("fe80::1%a b", AddressError::Form),
            ("192.0.2.7%eth0", AddressError::Form),
            ("u@h", AddressError::Form),
            ("ws://h?x", AddressError::Query),
            ("wss://h/rejoin?token=1", AddressError::Query),
            ("wss://h/#a", AddressError::Query),
            ("é", AddressError::Form),
            ("h:80:81", AddressError::Form),
        ] {
            let found = parse_list(typed);
            assert!(found == Err(error), "{typed}: {found:?}");
        }
        assert_eq!(parse_list(&"a,".repeat(ADDRESSES_MAX + 1)), Err(AddressError::TooMany));
    }

    /// B-G: all addresses of one host, with one port for all of them.
    #[test]
    fn a_list_has_one_port_for_all() {
        assert_eq!(urls("192.0.2.7,h"), ["ws://192.0.2.7:9750/ws", "ws://h:9750/ws"]);
        assert_eq!(urls("192.0.2.7, h:81"), ["ws://192.0.2.7:81/ws", "ws://h:81/ws"]);
        assert_eq!(
            urls("192.0.2.7,2001:db8::1,:81"),
            ["ws://192.0.2.7:81/ws", "ws://[2001:db8::1]:81/ws"]
        );
        assert_eq!(urls("a:80,b:81,c"), ["ws://a:80/ws", "ws://b:81/ws", "ws://c:9750/ws"]);
        assert_eq!(urls("a,wss://b"), ["ws://a:9750/ws", "wss://b:443/ws"]);
        let shell = |byte: u8| !b"[]?*&;%!~{}()<>|$`'\"\\# ".contains(&byte);
        for text in ["192.0.2.7,h", "192.0.2.7,h:81", "h,2001:db8::1,:81", "2001:db8::1,h:81"] {
            let addresses = parse_list(text).unwrap();
            assert_eq!(list(&addresses), text);
            assert!(list(&addresses).bytes().all(shell), "a shell expands nothing of it");
        }
        for text in ["a:80,b:81", "a:80,wss://b/x,[2001:db8::1]:82,h:9750"] {
            let addresses = parse_list(text).unwrap();
            assert_eq!(parse_list(&list(&addresses)), Ok(addresses), "{text}");
        }
    }

    /// B-V: a prefix is one with or without its slash and its end.
    #[test]
    fn a_path_is_a_prefix() {
        for path in ["/rejoin", "/rejoin/", "/rejoin//", "/rejoin/ws", "/rejoin/ws/"] {
            assert_eq!(urls(&format!("wss://x{path}")), ["wss://x:443/rejoin/ws"], "{path}");
            assert_eq!(urls(&format!("ws://x:1{path}")), ["ws://x:1/rejoin/ws"], "{path}");
        }
        for path in ["", "/", "//", "/ws", "/ws/"] {
            assert_eq!(urls(&format!("wss://x{path}")), ["wss://x:443/ws"], "{path}");
        }
        assert_eq!(urls("wss://x/news"), ["wss://x:443/news/ws"]);
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_and_read_again(text in "[a-f0-9:.,%\\[\\]/ws]{0,40}|.{0,40}") {
            if let Ok(addresses) = parse_list(&text) {
                prop_assert_eq!(parse_list(&list(&addresses)), Ok(addresses.clone()));
                for address in addresses {
                    prop_assert_eq!(address.url().parse(), Ok(address));
                }
            }
        }
    }
}
