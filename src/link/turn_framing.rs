//! The two ways in which a TURN client wraps what it sends through its server (RFC 8656): ChannelData, and the Send and
//! Data indications that are used until a channel is bound. What is inside can be taken out, and something else put in.
//!
//! Pure. Whatever is not exactly what is expected is nobody's: it passes as it is.

use std::net::SocketAddr;
use std::ops::Range;

use super::demultiplexing::Protocol;
use super::stun::{
    ATTRIBUTE_DATA, ATTRIBUTE_HEADER_BYTES, ATTRIBUTE_XOR_PEER_ADDRESS, Class,
    HEADER_BYTES as STUN_HEADER_BYTES, MAGIC_COOKIE, METHOD_DATA, METHOD_SEND, Message,
    append_address, kind,
};

/// Channel number and length.
const CHANNEL_HEADER_BYTES: usize = 4;

/// Which way an indication goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Toward {
    /// To the server: a Send indication.
    Server,
    /// From the server: a Data indication.
    Client,
}

impl Toward {
    const fn method(self) -> u16 {
        match self {
            Self::Server => METHOD_SEND,
            Self::Client => METHOD_DATA,
        }
    }
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
        let wrapped = match Protocol::of(datagram) {
            Protocol::ChannelData => open_channel(datagram),
            Protocol::Stun => open_indication(datagram, toward),
            Protocol::Carrier | Protocol::Dtls | Protocol::Unknown => None,
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
                let kind = kind(Class::Indication, toward.method());
                out.extend_from_slice(&kind.to_be_bytes());
                out.extend_from_slice(&body.to_be_bytes());
                out.extend_from_slice(&MAGIC_COOKIE);
                out.extend_from_slice(&transaction);
                append_address(ATTRIBUTE_XOR_PEER_ADDRESS, peer, &transaction, out);
                out.extend_from_slice(&ATTRIBUTE_DATA.to_be_bytes());
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(payload);
                out.extend_from_slice(&[0; 3][..padding]);
            }
        }
    }
}

fn open_channel(datagram: &[u8]) -> Option<(Framing, Range<usize>)> {
    let (header, rest) = datagram.split_first_chunk::<CHANNEL_HEADER_BYTES>()?;
    let number = u16::from_be_bytes([header[0], header[1]]);
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // Over UDP the padding may be there or not (RFC 8656 §12.5); the stack, too, asks for no more than the length.
    let is_whole = length <= rest.len();
    is_whole
        .then_some((Framing::Channel(number), CHANNEL_HEADER_BYTES..CHANNEL_HEADER_BYTES + length))
}

fn open_indication(datagram: &[u8], toward: Toward) -> Option<(Framing, Range<usize>)> {
    let message = Message::open(datagram)?;
    if (message.class, message.method) != (Class::Indication, toward.method()) {
        return None;
    }
    let peer = message.address(ATTRIBUTE_XOR_PEER_ADDRESS)?;
    Some((Framing::Indication(peer), message.place(ATTRIBUTE_DATA)?))
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

    /// S-01: what is judged is what the stack hears. Each byte of indications with everything twice is changed to each value.
    #[test]
    fn an_indication_is_read_as_the_stack_reads_it() {
        use crate::link::stun::made;
        use rtc::stun::message::{CLASS_INDICATION, Getter as _, METHOD_DATA as STACK_DATA};
        use rtc::turn::proto::{data::Data, peeraddr::PeerAddress};

        let stack = |datagram: &[u8]| {
            let mut message = rtc::stun::message::Message::new();
            message.unmarshal_binary(datagram).ok()?;
            let (mut peer, mut data) = (PeerAddress::default(), Data::default());
            let is_data = message.typ.class == CLASS_INDICATION && message.typ.method == STACK_DATA;
            (is_data && peer.get_from(&message).is_ok() && data.get_from(&message).is_ok())
                .then(|| (SocketAddr::new(peer.ip, peer.port), data.0))
        };
        let address = |peer: &str| {
            let mut attribute = Vec::new();
            append_address(0, peer.parse().unwrap(), &TRANSACTION, &mut attribute);
            attribute.split_off(ATTRIBUTE_HEADER_BYTES)
        };
        let (one, other) = (address("192.0.2.1:1"), address("[2001:db8::2]:2"));
        let peer = |value| (ATTRIBUTE_XOR_PEER_ADDRESS, value);
        let (first, second) = ((ATTRIBUTE_DATA, &b"first"[..]), (ATTRIBUTE_DATA, &b"2nd!"[..]));
        let mut opened = 0;
        for attributes in [
            [peer(&one[..]), first, peer(&other), second],
            [second, peer(&other), peer(&one), first],
            [(0x8022, &b"server"[..]), first, (0x8020, &one), peer(&one)],
        ] {
            let whole =
                made::message(Class::Indication, METHOD_DATA, TRANSACTION, &attributes, None);
            for at in 0..whole.len() {
                for value in 0..=255 {
                    let mut changed = whole.clone();
                    changed[at] = value;
                    if let (Framing::Indication(peer), range) =
                        Framing::open(&changed, Toward::Client)
                    {
                        opened += 1;
                        let ours = Some((peer, changed[range].to_vec()));
                        assert_eq!(ours, stack(&changed), "byte {at}: {value}");
                    }
                }
            }
        }
        assert!(opened > 3 * 12 * 256, "{opened}");
    }

    /// Neither a byte of padding that is missing, nor one too many.
    #[test]
    fn channel_data_is_read_as_the_stack_reads_it() {
        use rtc::turn::proto::chandata::ChannelData;
        for length in 0..12_u8 {
            for bytes in 0..16 {
                let datagram = [&[0x4a, 0xbc, 0, length][..], &vec![7; bytes]].concat();
                let mut stack = ChannelData { raw: datagram.clone(), ..ChannelData::default() };
                let stack = stack.decode().ok().map(|()| (stack.number.0, stack.data));
                let (opened, range) = Framing::open(&datagram, Toward::Client);
                let ours = match opened {
                    Framing::Channel(number) => Some((number, datagram[range].to_vec())),
                    Framing::Plain | Framing::Indication(_) => None,
                };
                assert_eq!(ours, stack);
            }
        }
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
