//! What a TURN server says to our requests for an allocation; the stack tells it to nobody (RFC 8656 §7).
//!
//! Pure: it is shown the datagrams that look like STUN. Only requests with a user name are followed, because the first
//! one goes without and is always refused. Nothing of a secret is in what is kept: a transaction id and an address.

use std::net::SocketAddr;

/// Requests followed at once: two servers from a dozen addresses, twice.
const WAITING_MAX: usize = 48;

const HEADER_BYTES: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const ALLOCATE_REQUEST: [u8; 2] = [0x00, 0x03];
const ALLOCATE_SUCCESS: [u8; 2] = [0x01, 0x03];
const ALLOCATE_ERROR: [u8; 2] = [0x01, 0x13];
const ATTRIBUTE_USERNAME: u16 = 0x0006;
const ATTRIBUTE_ERROR_CODE: u16 = 0x0009;

/// What came of asking a TURN server for an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// It relays.
    Granted,
    /// It refused, with a code of RFC 8656 §18: 401 credentials, 403 forbidden, 486 quota, 508 capacity …
    Refused(u16),
    /// It did not answer while candidates were gathered.
    Silent,
}

type Transaction = [u8; 12];

/// Follows requests to their responses.
#[derive(Debug, Default)]
pub struct AllocationWatch {
    waiting: Vec<(Transaction, SocketAddr)>,
}

impl AllocationWatch {
    /// A datagram that goes to `server`.
    pub fn handle_sent(&mut self, datagram: &[u8], server: SocketAddr) {
        let Some(transaction) = transaction(datagram, ALLOCATE_REQUEST) else { return };
        let is_known = self.waiting.iter().any(|(known, _)| *known == transaction);
        if is_known || attribute(datagram, ATTRIBUTE_USERNAME).is_none() {
            return;
        }
        if self.waiting.len() == WAITING_MAX {
            self.waiting.remove(0);
        }
        self.waiting.push((transaction, server));
    }

    /// A datagram that came in: what a server decided, and which.
    pub fn handle_received(&mut self, datagram: &[u8]) -> Option<(SocketAddr, Allocation)> {
        let granted = transaction(datagram, ALLOCATE_SUCCESS).map(|id| (id, Allocation::Granted));
        let (id, outcome) = granted.or_else(|| {
            let id = transaction(datagram, ALLOCATE_ERROR)?;
            let value = attribute(datagram, ATTRIBUTE_ERROR_CODE)?;
            let (class, number) = (u16::from(value.get(2)? & 7), u16::from(*value.get(3)?));
            Some((id, Allocation::Refused(class * 100 + number)))
        })?;
        let at = self.waiting.iter().position(|(waiting, _)| *waiting == id)?;
        Some((self.waiting.swap_remove(at).1, outcome))
    }

    /// Requests without a response.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether a datagram may be of interest: asked of each one sent, so it looks at two bytes.
    #[must_use]
    pub fn is_request(datagram: &[u8]) -> bool {
        datagram.starts_with(&ALLOCATE_REQUEST)
    }
}

/// The transaction of a STUN message of that type.
fn transaction(datagram: &[u8], kind: [u8; 2]) -> Option<Transaction> {
    let header = datagram.get(..HEADER_BYTES)?;
    (header[..2] == kind && header[4..8] == MAGIC_COOKIE)
        .then(|| header[8..].try_into().ok())
        .flatten()
}

/// The value of an attribute of a STUN message.
fn attribute(datagram: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = datagram.get(HEADER_BYTES..)?;
    while let [k0, k1, l0, l1, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let value = after.get(..length)?;
        if u16::from_be_bytes([*k0, *k1]) == wanted {
            return Some(value);
        }
        rest = after.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: [u8; 2], id: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend((value.len() as u16).to_be_bytes());
            body.extend_from_slice(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut bytes = kind.to_vec();
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(MAGIC_COOKIE);
        bytes.extend([id; 12]);
        bytes.extend(body);
        bytes
    }

    fn request(id: u8, is_signed: bool) -> Vec<u8> {
        let user: &[(u16, &[u8])] = &[(0x0019, &[17, 0, 0, 0]), (ATTRIBUTE_USERNAME, b"ann")];
        message(ALLOCATE_REQUEST, id, if is_signed { user } else { &user[..1] })
    }

    #[test]
    fn only_a_signed_request_has_an_outcome_and_only_once() {
        let server: SocketAddr = "192.0.2.1:3478".parse().unwrap();
        let mut watch = AllocationWatch::default();
        let refusal = |id| {
            let code: &[u8] = &[0, 0, 4, 1, b'n', b'o'];
            message(ALLOCATE_ERROR, id, &[(0x8022, b"server"), (ATTRIBUTE_ERROR_CODE, code)])
        };
        watch.handle_sent(&request(1, false), server);
        assert_eq!(watch.handle_received(&refusal(1)), None, "the anonymous request");
        // Sent again while unanswered: still one.
        watch.handle_sent(&request(2, true), server);
        watch.handle_sent(&request(2, true), server);
        assert_eq!(watch.waiting(), 1);
        assert_eq!(watch.handle_received(&refusal(3)), None, "nobody's");
        assert_eq!(watch.handle_received(&refusal(2)), Some((server, Allocation::Refused(401))));
        assert_eq!(watch.handle_received(&refusal(2)), None);
        watch.handle_sent(&request(4, true), server);
        let granted = message(ALLOCATE_SUCCESS, 4, &[]);
        assert_eq!(watch.handle_received(&granted), Some((server, Allocation::Granted)));
        assert_eq!(watch.waiting(), 0);
    }

    #[test]
    fn garbage_is_nobodys_and_what_waits_is_bounded() {
        let server: SocketAddr = "[2001:db8::1]:3478".parse().unwrap();
        let mut watch = AllocationWatch::default();
        let whole = request(9, true);
        // The last byte is padding.
        for cut in 0..whole.len() - 1 {
            watch.handle_sent(&whole[..cut], server);
            assert_eq!(watch.handle_received(&whole[..cut]), None);
        }
        assert_eq!(watch.waiting(), 0, "a request that is cut has no user name");
        for id in 0..=255 {
            watch.handle_sent(&request(id, true), server);
        }
        assert_eq!(watch.waiting(), WAITING_MAX);
    }
}
