//! STUN messages as far as [`super::admission`], [`super::allocation`] and [`super::turn_framing`] look: class, method,
//! transaction, attributes, and whether a password signed them (RFC 8489). There is no other parser of them here.
//!
//! **The rule**: what is taken for the stack is read as the stack reads it. Of several attributes of a kind the first counts, for it
//! and here; whether the first is of use or not. Where it is lenient (bytes behind the message, an address that is cut), the
//! message is none here.
//!
//! Pure. What is not exactly a STUN message is none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use hmac::{Hmac, Mac as _};
use sha1::Sha1;

/// Bytes before the attributes.
pub(crate) const HEADER_BYTES: usize = 20;
/// Type and length of an attribute.
pub(crate) const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// What tells STUN from its predecessor (RFC 8489 §5).
pub(crate) const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Methods (RFC 8489 §18.2, RFC 8656 §17).
pub(crate) const METHOD_BINDING: u16 = 0x001;
pub(crate) const METHOD_ALLOCATE: u16 = 0x003;
/// Indications of a client to its server and of the server to the client.
pub(crate) const METHOD_SEND: u16 = 0x006;
pub(crate) const METHOD_DATA: u16 = 0x007;
pub(crate) const METHOD_CHANNEL_BIND: u16 = 0x009;

/// Attributes (RFC 8489 §18.3, RFC 8656 §18).
pub(crate) const ATTRIBUTE_USERNAME: u16 = 0x0006;
const ATTRIBUTE_MESSAGE_INTEGRITY: u16 = 0x0008;
pub(crate) const ATTRIBUTE_ERROR_CODE: u16 = 0x0009;
pub(crate) const ATTRIBUTE_CHANNEL_NUMBER: u16 = 0x000c;
pub(crate) const ATTRIBUTE_XOR_PEER_ADDRESS: u16 = 0x0012;
pub(crate) const ATTRIBUTE_DATA: u16 = 0x0013;
const ATTRIBUTE_MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
const ATTRIBUTE_FINGERPRINT: u16 = 0x8028;

/// Families of addresses (RFC 8489 §14.1).
const FAMILY_V4: u8 = 1;
const FAMILY_V6: u8 = 2;

/// HMAC-SHA1.
const SIGNATURE_BYTES: usize = 20;

/// 96 random bits that a response repeats.
pub(crate) type Transaction = [u8; 12];

/// Whether the stack takes a datagram for STUN: it looks at nothing else.
pub(crate) fn has_cookie(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER_BYTES && datagram[4..8] == MAGIC_COOKIE
}

/// What a message is to its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Request,
    Indication,
    Success,
    Error,
}

/// How a message of this class and method begins (RFC 8489 §5).
pub(crate) const fn kind(class: Class, method: u16) -> u16 {
    let class = match class {
        Class::Request => 0x000,
        Class::Indication => 0x010,
        Class::Success => 0x100,
        Class::Error => 0x110,
    };
    (method & 0x000f) | (method & 0x0070) << 1 | (method & 0x0f80) << 2 | class
}

/// A message whose frame is right: cookie, length, attributes that end where they must.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    bytes: &'a [u8],
    pub(crate) class: Class,
    pub(crate) method: u16,
    pub(crate) transaction: Transaction,
}

impl<'a> Message<'a> {
    /// `None`: it is no STUN message.
    pub(crate) fn open(bytes: &'a [u8]) -> Option<Self> {
        let (header, attributes) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let kind = u16::from_be_bytes([header[0], header[1]]);
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if kind >> 14 != 0 || header[4..8] != MAGIC_COOKIE || length != attributes.len() {
            return None;
        }
        let class = match (kind >> 7 & 2) | (kind >> 4 & 1) {
            0 => Class::Request,
            1 => Class::Indication,
            2 => Class::Success,
            _ => Class::Error,
        };
        let method = (kind & 0x000f) | (kind >> 1 & 0x0070) | (kind >> 2 & 0x0f80);
        let transaction = header[8..].try_into().ok()?;
        let message = Self { bytes, class, method, transaction };
        message.attributes().all(|attribute| attribute.is_some()).then_some(message)
    }

    /// The first attribute of a kind.
    pub(crate) fn attribute(&self, wanted: u16) -> Option<&'a [u8]> {
        self.bytes.get(self.place(wanted)?)
    }

    /// Where the value of the first attribute of a kind lies in the message.
    pub(crate) fn place(&self, wanted: u16) -> Option<Range<usize>> {
        let found = self.attributes().flatten().find(|attribute| attribute.kind == wanted)?;
        let start = found.at + ATTRIBUTE_HEADER_BYTES;
        Some(start..start + found.value.len())
    }

    /// The address in the first attribute of a kind, which is combined with the transaction (RFC 8489 §14.2).
    pub(crate) fn address(&self, wanted: u16) -> Option<SocketAddr> {
        let [0, family, high, low, address @ ..] = self.attribute(wanted)? else { return None };
        let mask = mask(&self.transaction);
        let port = u16::from_be_bytes([high ^ mask[0], low ^ mask[1]]);
        let address = match *family {
            FAMILY_V4 => {
                let bytes: [u8; 4] = address.try_into().ok()?;
                IpAddr::V4(Ipv4Addr::from(std::array::from_fn(|at| bytes[at] ^ mask[at])))
            }
            FAMILY_V6 => {
                let bytes: [u8; 16] = address.try_into().ok()?;
                let bytes: [u8; 16] = std::array::from_fn(|at| bytes[at] ^ mask[at]);
                IpAddr::V6(Ipv6Addr::from(bytes))
            }
            _ => return None,
        };
        Some(SocketAddr::new(address, port))
    }

    /// Whether `password` signed it (RFC 8489 §14.5). Nothing may follow the signature but another one and a fingerprint: the
    /// password vouches for nothing behind it, and a parser may read on.
    pub(crate) fn is_signed_with(&self, password: &[u8]) -> bool {
        let mut attributes = self.attributes().flatten();
        let Some(signature) =
            attributes.find(|attribute| attribute.kind == ATTRIBUTE_MESSAGE_INTEGRITY)
        else {
            return false;
        };
        let may_follow =
            |kind| matches!(kind, ATTRIBUTE_MESSAGE_INTEGRITY_SHA256 | ATTRIBUTE_FINGERPRINT);
        if signature.value.len() != SIGNATURE_BYTES
            || !attributes.all(|attribute| may_follow(attribute.kind))
        {
            return false;
        }
        // What was signed is the message as if it ended with its signature.
        let end = signature.at + ATTRIBUTE_HEADER_BYTES + SIGNATURE_BYTES - HEADER_BYTES;
        let (Ok(length), Ok(mut code)) =
            (u16::try_from(end), Hmac::<Sha1>::new_from_slice(password))
        else {
            return false;
        };
        code.update(&self.bytes[..2]);
        code.update(&length.to_be_bytes());
        code.update(&self.bytes[4..signature.at]);
        code.verify_slice(signature.value).is_ok()
    }

    /// Each attribute with its padding; `None` where one does not end within the message, and nothing after it.
    fn attributes(&self) -> impl Iterator<Item = Option<Attribute<'a>>> + use<'a> {
        let bytes = self.bytes;
        let mut at = HEADER_BYTES;
        std::iter::from_fn(move || {
            if at >= bytes.len() {
                return None;
            }
            let found = Attribute::at(bytes, at);
            let length = found.as_ref().map_or(bytes.len(), |attribute| attribute.value.len());
            at += ATTRIBUTE_HEADER_BYTES + length.next_multiple_of(4);
            Some(found)
        })
    }
}

#[derive(Debug)]
struct Attribute<'a> {
    at: usize,
    kind: u16,
    value: &'a [u8],
}

impl<'a> Attribute<'a> {
    fn at(bytes: &'a [u8], at: usize) -> Option<Self> {
        let (header, rest) = bytes.get(at..)?.split_first_chunk::<ATTRIBUTE_HEADER_BYTES>()?;
        let kind = u16::from_be_bytes([header[0], header[1]]);
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let padded = rest.get(..length.next_multiple_of(4))?;
        Some(Self { at, kind, value: padded.get(..length)? })
    }
}

/// Appends an attribute with an address, as [`Message::address`] reads it.
pub(crate) fn append_address(
    kind: u16,
    address: SocketAddr,
    transaction: &Transaction,
    out: &mut Vec<u8>,
) {
    let mask = mask(transaction);
    let mut append = |family: u8, bytes: &[u8]| {
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&(bytes.len() as u16 + 4).to_be_bytes());
        out.extend_from_slice(&[0, family]);
        out.extend(address.port().to_be_bytes().iter().zip(mask).map(|(byte, mask)| byte ^ mask));
        out.extend(bytes.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    };
    match address.ip() {
        IpAddr::V4(address) => append(FAMILY_V4, &address.octets()),
        IpAddr::V6(address) => append(FAMILY_V6, &address.octets()),
    }
}

/// What addresses are combined with (RFC 8489 §14.2).
fn mask(transaction: &Transaction) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&MAGIC_COOKIE);
    mask[4..].copy_from_slice(transaction);
    mask
}

/// Messages for tests.
#[cfg(test)]
pub(crate) mod made {
    use super::*;

    pub(crate) fn append(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
        message.extend(kind.to_be_bytes());
        message.extend((value.len() as u16).to_be_bytes());
        message.extend(value);
        message.resize(message.len().next_multiple_of(4), 0);
        let length = (message.len() - HEADER_BYTES) as u16;
        message[2..4].copy_from_slice(&length.to_be_bytes());
    }

    pub(crate) fn message(
        class: Class,
        method: u16,
        transaction: Transaction,
        attributes: &[(u16, &[u8])],
        password: Option<&[u8]>,
    ) -> Vec<u8> {
        let mut message = kind(class, method).to_be_bytes().to_vec();
        message.extend([0, 0]);
        message.extend(MAGIC_COOKIE);
        message.extend(transaction);
        for (kind, value) in attributes {
            append(&mut message, *kind, value);
        }
        if let Some(password) = password {
            let signed = message.len();
            append(&mut message, ATTRIBUTE_MESSAGE_INTEGRITY, &[0; SIGNATURE_BYTES]);
            let mut code = Hmac::<Sha1>::new_from_slice(password).unwrap();
            code.update(&message[..signed]);
            let code = code.finalize().into_bytes();
            message[signed + ATTRIBUTE_HEADER_BYTES..].copy_from_slice(&code);
        }
        message
    }

    /// A connectivity check as ICE sends it, with a fingerprint that nobody looks at.
    pub(crate) fn check(transaction: Transaction, user: &str, password: &str) -> Vec<u8> {
        let attributes = [(ATTRIBUTE_USERNAME, user.as_bytes()), (0x0024, &[0, 0, 0, 1])];
        let password = Some(password.as_bytes());
        let mut message =
            message(Class::Request, METHOD_BINDING, transaction, &attributes, password);
        append(&mut message, ATTRIBUTE_FINGERPRINT, &[1, 2, 3, 4]);
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769 §2.1: a request with the password of its section, padding by spaces included.
    const SAMPLE: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x10STUN test client\
        \x00\x24\x00\x04\x6e\x00\x01\xff\
        \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
        \x00\x06\x00\x09evtj:h6vY   \
        \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
        \x80\x28\x00\x04\xe5\x7a\x3b\xcf";
    const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

    #[test]
    fn the_sample_of_the_standard_is_read_and_its_signature_holds() {
        let message = Message::open(SAMPLE).unwrap();
        assert_eq!((message.class, message.method), (Class::Request, METHOD_BINDING));
        assert_eq!(message.attribute(ATTRIBUTE_USERNAME), Some(&b"evtj:h6vY"[..]));
        assert!(message.is_signed_with(PASSWORD));
        assert!(!message.is_signed_with(b"another"));
        assert_eq!(made::check([1; 12], "a:b", "c")[..2], [0, 1]);
        let ours = made::check([1; 12], "a:b", "c");
        assert!(Message::open(&ours).unwrap().is_signed_with(b"c"));
    }

    #[test]
    fn a_changed_message_is_not_signed_and_a_cut_one_is_none() {
        // Up to the end of the signature; the fingerprint behind it is for nobody here.
        for at in 0..SAMPLE.len() - 8 {
            let mut changed = SAMPLE.to_vec();
            changed[at] ^= 0x10;
            let signed = Message::open(&changed).is_some_and(|it| it.is_signed_with(PASSWORD));
            assert!(!signed, "byte {at}");
        }
        for length in 0..SAMPLE.len() {
            assert!(Message::open(&SAMPLE[..length]).is_none());
        }
    }

    /// What a stranger appends to a message that it saw is vouched for by nobody.
    #[test]
    fn nothing_may_follow_a_signature() {
        const USE_CANDIDATE: u16 = 0x0025;
        let mut message = made::check([1; 12], "a:b", "c");
        made::append(&mut message, USE_CANDIDATE, &[]);
        assert!(!Message::open(&message).unwrap().is_signed_with(b"c"));
    }

    #[test]
    fn every_class_and_method_is_told_apart() {
        for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
            for method in [METHOD_BINDING, METHOD_ALLOCATE, METHOD_CHANNEL_BIND, 0xfff] {
                let bytes = made::message(class, method, [7; 12], &[], None);
                let message = Message::open(&bytes).unwrap();
                assert_eq!((message.class, message.method), (class, method));
            }
        }
    }
}
