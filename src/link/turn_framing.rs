//! The two ways in which a TURN client wraps what it sends through its server (RFC 8656): ChannelData, and the Send and
//! Data indications that are used until a channel is bound. What is inside can be taken out, and something else put in.
//!
//! Pure. Whatever is not exactly what is expected is nobody's: it passes as it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use super::stun::{
    ATTRIBUTE_HEADER_BYTES, ATTRIBUTE_XOR_PEER_ADDRESS, HEADER_BYTES as STUN_HEADER_BYTES,
    MAGIC_COOKIE,
};

/// First bytes of ChannelData (RFC 8656 §12).
const CHANNELS: std::ops::RangeInclusive<u8> = 64..=79;
/// Channel number and length.
const CHANNEL_HEADER_BYTES: usize = 4;

/// Send indication: client to server (RFC 8656 §17.1).
const SEND_INDICATION: u16 = 0x0016;
/// Data indication: server to client.
const DATA_INDICATION: u16 = 0x0017;
const ATTRIBUTE_DATA: u16 = 0x0013;
const FAMILY_V4: u8 = 1;
const FAMILY_V6: u8 = 2;

/// Which way an indication goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Toward {
    /// To the server: a Send indication.
    Server,
    /// From the server: a Data indication.
    Client,
}

/// How a payload is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Not at all.
    Plain,
    /// In ChannelData of this channel.
    Channel(u16),
    /// In an indication to or from this peer.
    Indication(SocketAddr),
}

impl Framing {
    /// Takes a datagram apart: how its payload is wrapped, and where it lies. A datagram that is no wrapper is all payload.
    pub(super) fn open(datagram: &[u8], toward: Toward) -> (Self, Range<usize>) {
        let wrapped = match datagram.first() {
            Some(first) if CHANNELS.contains(first) => open_channel(datagram),
            Some(0) => open_indication(datagram, toward),
            Some(_) | None => None,
        };
        wrapped.unwrap_or((Self::Plain, 0..datagram.len()))
    }

    /// Bytes that this framing adds to a datagram, padding not counted.
    pub(super) const fn overhead(self) -> usize {
        match self {
            Self::Plain => 0,
            Self::Channel(_) => CHANNEL_HEADER_BYTES,
            Self::Indication(peer) => {
                let address = if peer.is_ipv4() { 8 } else { 20 };
                STUN_HEADER_BYTES + ATTRIBUTE_HEADER_BYTES + address + ATTRIBUTE_HEADER_BYTES
            }
        }
    }

    /// Length of a payload of `bytes` once it is wrapped.
    pub(super) const fn wrapped_bytes(self, bytes: usize) -> usize {
        let padded = match self {
            Self::Plain | Self::Channel(_) => bytes,
            Self::Indication(_) => bytes.next_multiple_of(4),
        };
        padded + self.overhead()
    }

    /// Appends `payload` to `out`, wrapped. `transaction` is fresh: nobody answers an indication, but equal ones could
    /// be taken for a repetition.
    pub(super) fn wrap(
        self,
        payload: &[u8],
        toward: Toward,
        transaction: [u8; 12],
        out: &mut Vec<u8>,
    ) {
        // What does not fit a length field was never in a UDP datagram.
        let Ok(length) = u16::try_from(payload.len()) else { return };
        match self {
            Self::Plain => out.extend_from_slice(payload),
            Self::Channel(number) => {
                out.extend_from_slice(&number.to_be_bytes());
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(payload);
            }
            Self::Indication(peer) => {
                let padding = payload.len().next_multiple_of(4) - payload.len();
                let body = self.overhead() - STUN_HEADER_BYTES + payload.len() + padding;
                let Ok(body) = u16::try_from(body) else { return };
                let kind = match toward {
                    Toward::Server => SEND_INDICATION,
                    Toward::Client => DATA_INDICATION,
                };
                out.extend_from_slice(&kind.to_be_bytes());
                out.extend_from_slice(&body.to_be_bytes());
                out.extend_from_slice(&MAGIC_COOKIE);
                out.extend_from_slice(&transaction);
                append_address(peer, &transaction, out);
                out.extend_from_slice(&ATTRIBUTE_DATA.to_be_bytes());
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(payload);
                out.extend_from_slice(&[0; 3][..padding]);
            }
        }
    }
}

fn open_channel(datagram: &[u8]) -> Option<(Framing, Range<usize>)> {
    let number = integer(datagram, 0)?;
    let length = usize::from(integer(datagram, 2)?);
    let payload = CHANNEL_HEADER_BYTES..CHANNEL_HEADER_BYTES + length;
    // Over UDP the padding may be there or not (RFC 8656 §12.5).
    datagram.get(payload.clone())?;
    Some((Framing::Channel(number), payload))
}

fn open_indication(datagram: &[u8], toward: Toward) -> Option<(Framing, Range<usize>)> {
    let kind = match toward {
        Toward::Server => SEND_INDICATION,
        Toward::Client => DATA_INDICATION,
    };
    let is_ours = integer(datagram, 0)? == kind
        && datagram.get(4..8)? == MAGIC_COOKIE
        && STUN_HEADER_BYTES + usize::from(integer(datagram, 2)?) == datagram.len();
    if !is_ours {
        return None;
    }
    let transaction: [u8; 12] = datagram.get(8..STUN_HEADER_BYTES)?.try_into().ok()?;
    let (mut peer, mut data) = (None, None);
    let mut at = STUN_HEADER_BYTES;
    while at < datagram.len() {
        let kind = integer(datagram, at)?;
        let length = usize::from(integer(datagram, at + 2)?);
        let start = at + ATTRIBUTE_HEADER_BYTES;
        let value = datagram.get(start..start + length)?;
        match kind {
            ATTRIBUTE_XOR_PEER_ADDRESS => peer = Some(address(value, &transaction)?),
            ATTRIBUTE_DATA => data = Some(start..start + length),
            _ => {}
        }
        at = start + length.next_multiple_of(4);
    }
    Some((Framing::Indication(peer?), data?))
}

/// What addresses are combined with (RFC 8489 §14.2).
fn mask(transaction: &[u8; 12]) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&MAGIC_COOKIE);
    mask[4..].copy_from_slice(transaction);
    mask
}

/// The address in an attribute that is combined with the transaction.
pub(super) fn address(value: &[u8], transaction: &[u8; 12]) -> Option<SocketAddr> {
    let port = integer(value, 2)? ^ u16::from_be_bytes([MAGIC_COOKIE[0], MAGIC_COOKIE[1]]);
    let mask = mask(transaction);
    let address = match (*value.get(1)?, value.get(4..)?) {
        (FAMILY_V4, bytes) => {
            let bytes: [u8; 4] = bytes.try_into().ok()?;
            IpAddr::V4(Ipv4Addr::from(std::array::from_fn(|at| bytes[at] ^ mask[at])))
        }
        (FAMILY_V6, bytes) => {
            let bytes: [u8; 16] = bytes.try_into().ok()?;
            let bytes: [u8; 16] = std::array::from_fn(|at| bytes[at] ^ mask[at]);
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

fn append_address(peer: SocketAddr, transaction: &[u8; 12], out: &mut Vec<u8>) {
    let mask = mask(transaction);
    let port = peer.port() ^ u16::from_be_bytes([MAGIC_COOKIE[0], MAGIC_COOKIE[1]]);
    let mut append = |family: u8, bytes: &[u8]| {
        out.extend_from_slice(&ATTRIBUTE_XOR_PEER_ADDRESS.to_be_bytes());
        out.extend_from_slice(&(bytes.len() as u16 + 4).to_be_bytes());
        out.extend_from_slice(&[0, family]);
        out.extend_from_slice(&port.to_be_bytes());
        out.extend(bytes.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    };
    match peer.ip() {
        IpAddr::V4(address) => append(FAMILY_V4, &address.octets()),
        IpAddr::V6(address) => append(FAMILY_V6, &address.octets()),
    }
}

fn integer(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSACTION: [u8; 12] = *b"abcdefghijkl";

    fn framings() -> [Framing; 4] {
        [
            Framing::Plain,
            Framing::Channel(0x4abc),
            Framing::Indication("192.0.2.7:4711".parse().unwrap()),
            Framing::Indication("[2001:db8::7]:65535".parse().unwrap()),
        ]
    }

    #[test]
    fn what_is_wrapped_opens_to_the_same() {
        for framing in framings() {
            for toward in [Toward::Server, Toward::Client] {
                for length in [1, 2, 3, 4, 1200, 16_037] {
                    let payload = vec![23; length];
                    let mut wrapped = vec![9];
                    framing.wrap(&payload, toward, TRANSACTION, &mut wrapped);
                    let (opened, range) = Framing::open(&wrapped[1..], toward);
                    assert_eq!((opened, &wrapped[1..][range]), (framing, &payload[..]));
                    assert_eq!(wrapped.len() - 1, framing.wrapped_bytes(length));
                }
            }
        }
    }

    #[test]
    fn an_indication_is_as_the_standard_has_it() {
        // RFC 5769 §2.2 has this address under this transaction: 192.0.2.1:32853.
        let transaction = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        let mut wrapped = Vec::new();
        Framing::Indication("192.0.2.1:32853".parse().unwrap()).wrap(
            b"hi",
            Toward::Server,
            transaction,
            &mut wrapped,
        );
        assert_eq!(wrapped[..8], [0, 0x16, 0, 20, 0x21, 0x12, 0xa4, 0x42]);
        assert_eq!(wrapped[8..20], transaction);
        assert_eq!(wrapped[20..32], [0, 0x12, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        assert_eq!(wrapped[32..], [0, 0x13, 0, 2, b'h', b'i', 0, 0]);
        let (_, range) = Framing::open(&wrapped, Toward::Client);
        assert_eq!(range, 0..wrapped.len(), "the other way it is nothing of ours");
    }

    #[test]
    fn garbage_is_all_payload() {
        for framing in &framings()[1..] {
            let mut wrapped = Vec::new();
            framing.wrap(b"payload!", Toward::Server, TRANSACTION, &mut wrapped);
            for cut in 0..wrapped.len() {
                let expected = (Framing::Plain, 0..cut);
                assert_eq!(Framing::open(&wrapped[..cut], Toward::Server), expected);
            }
        }
        // Each byte of each wrapper changed to each value: it opens within its bounds, or not at all.
        for framing in framings() {
            let mut wrapped = Vec::new();
            framing.wrap(b"payload!", Toward::Server, TRANSACTION, &mut wrapped);
            for at in 0..wrapped.len() {
                for value in 0..=255 {
                    let mut changed = wrapped.clone();
                    changed[at] = value;
                    let (_, range) = Framing::open(&changed, Toward::Server);
                    assert!(changed.get(range).is_some());
                }
            }
        }
    }
}
