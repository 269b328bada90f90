//! What a TURN server says to our requests for an allocation; the stack tells it to nobody (RFC 8656 §7).
//!
//! Pure: it is shown the datagrams that look like STUN. Only requests with a user name are followed, because the first
//! one goes without and is always refused. Nothing of a secret is in what is kept: a transaction id and an address.

use std::net::SocketAddr;

use super::stun::{
    ATTRIBUTE_ERROR_CODE, ATTRIBUTE_USERNAME, Class, METHOD_ALLOCATE, Message, Transaction, kind,
};

/// Requests followed at once: two servers from a dozen addresses, twice.
const WAITING_MAX: usize = 48;

/// First bytes of a request for an allocation.
const ALLOCATE_REQUEST: [u8; 2] = kind(Class::Request, METHOD_ALLOCATE).to_be_bytes();

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

/// Follows requests to their responses.
#[derive(Debug, Default)]
pub struct AllocationWatch {
    waiting: Vec<(Transaction, SocketAddr)>,
}

impl AllocationWatch {
    /// A datagram that goes to `server`.
    pub fn handle_sent(&mut self, datagram: &[u8], server: SocketAddr) {
        let Some(message) = allocate(datagram) else { return };
        let is_known = self.waiting.iter().any(|(known, _)| *known == message.transaction);
        let is_signed = message.attribute(ATTRIBUTE_USERNAME).is_some();
        if is_known || !is_signed || message.class != Class::Request {
            return;
        }
        if self.waiting.len() == WAITING_MAX {
            self.waiting.remove(0);
        }
        self.waiting.push((message.transaction, server));
    }

    /// A datagram that came in: what a server decided, and which.
    pub fn handle_received(&mut self, datagram: &[u8]) -> Option<(SocketAddr, Allocation)> {
        let message = allocate(datagram)?;
        let outcome = match message.class {
            Class::Success => Allocation::Granted,
            Class::Error => {
                let value = message.attribute(ATTRIBUTE_ERROR_CODE)?;
                let (class, number) = (u16::from(value.get(2)? & 7), u16::from(*value.get(3)?));
                Allocation::Refused(class * 100 + number)
            }
            Class::Request | Class::Indication => return None,
        };
        let at = self.waiting.iter().position(|(waiting, _)| *waiting == message.transaction)?;
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

fn allocate(datagram: &[u8]) -> Option<Message<'_>> {
    Message::open(datagram).filter(|message| message.method == METHOD_ALLOCATE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::stun::made;

    fn message(class: Class, id: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        made::message(class, METHOD_ALLOCATE, [id; 12], attributes, None)
    }

    fn request(id: u8, is_signed: bool) -> Vec<u8> {
        let user: &[(u16, &[u8])] = &[(0x0019, &[17, 0, 0, 0]), (ATTRIBUTE_USERNAME, b"ann")];
        message(Class::Request, id, if is_signed { user } else { &user[..1] })
    }

    #[test]
    fn only_a_signed_request_has_an_outcome_and_only_once() {
        let server: SocketAddr = "192.0.2.1:3478".parse().unwrap();
        let mut watch = AllocationWatch::default();
        let refusal = |id| {
            let code: &[u8] = &[0, 0, 4, 1, b'n', b'o'];
            message(Class::Error, id, &[(0x8022, b"server"), (ATTRIBUTE_ERROR_CODE, code)])
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
        let granted = message(Class::Success, 4, &[]);
        assert_eq!(watch.handle_received(&granted), Some((server, Allocation::Granted)));
        assert_eq!(watch.waiting(), 0);
    }

    #[test]
    fn garbage_is_nobodys_and_what_waits_is_bounded() {
        let server: SocketAddr = "[2001:db8::1]:3478".parse().unwrap();
        let mut watch = AllocationWatch::default();
        let whole = request(9, true);
        for cut in 0..whole.len() {
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
