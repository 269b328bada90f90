//! Who is heard below the seal, and to whom we speak. Decided here, for every datagram of a link, before any parser of the
//! stack sees it (S-01, S-07, S-12, A-25); the sockets only ask.
//!
//! | first bytes (`demultiplexing`) | taken |
//! | --- | --- |
//! | 0x0c, the carrier | on a link that has one, with the token of the join |
//! | 0–3, STUN | a check that our password signed; the response to a request of ours that waits for it: to a check from where that went, signed with the peer's password; to a server's by its transaction alone |
//! | 20–63, DTLS | on a link without a carrier, from where a check of ours was answered |
//! | 64–79, TURN channels, and Data indications | from a TURN server that answered us, if what is inside would be taken from the peer that it names |
//! | anything else | never |
//!
//! There is no time before the rule: a link that was built with a carrier takes no DTLS from its first datagram on, whether it
//! knows its token yet or not, because a peer without a carrier is never connected with it. On a link without one the stack itself
//! has no use for DTLS before it has chosen a pair, which is one that answered.
//!
//! A signed check that was seen and is sent again from another address is not taken; one that never arrived from the first may be, which is
//! why a check alone opens no way for DTLS. Without a carrier, who forges the source
//! address of the peer's datagrams is heard by DTLS; with one, only who sees the token is heard by the carrier.
//!
//! What goes out: anything to an address that answered a check (nobody answers for another, the transaction is 96 random
//! bits), little to others (`unanswered`).
//!
//! Pure. Nothing is logged for a datagram that is dropped; it is counted.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::candidates::may_be_a_peer;
use super::demultiplexing::Protocol;
use super::description::attributes;
use super::stun::{
    ATTRIBUTE_CHANNEL_NUMBER, ATTRIBUTE_USERNAME, ATTRIBUTE_XOR_PEER_ADDRESS, Class,
    METHOD_BINDING, METHOD_CHANNEL_BIND, Message,
};
use super::turn_framing::{Framing, Toward};
use crate::carrier::Carrier;
use crate::time::{Bucket, Instant};
use crate::wire::address::is_link_local;
use bounded::{Recent, Transactions};
use unanswered::Unanswered;

mod bounded;
mod unanswered;

/// Requests of ours that may wait for a response. Checks go out at a few thousand a second at most, and wait for 4 s.
const REQUESTS_MAX: usize = 8_192;

/// Checks that are remembered, so that nobody sends them again from elsewhere.
const CHECKS_MAX: usize = 2_048;

/// Addresses from which signed messages are taken in one negotiation: candidates, and what NATs make of them.
const SOURCES_MAX: usize = 64;

/// Checks taken in a second: the pairs of a dozen addresses at each end, every 20 ms.
const CHECKS_PER_SECOND: u32 = 8_000;

/// TURN servers that answered, and channels at them. Each ICE restart has its own, so the one that was not used for longest makes
/// room; at its server a channel ends after ten minutes anyway (RFC 8656 §12).
const SERVERS_MAX: usize = 32;
const CHANNELS_MAX: usize = 512;

/// Where a datagram came from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    /// The TURN server in between.
    server: Option<SocketAddr>,
    /// Who sent it.
    peer: SocketAddr,
}

/// What is to become of a datagram that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The stack gets it.
    Stack,
    /// The carrier gets what is in it.
    Carrier,
    /// Nobody does.
    Dropped,
}

/// What the carrier's datagrams are known by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Carriage {
    /// There is none.
    Absent,
    /// There is one, and the join is not done.
    Awaited,
    Token(u64),
}

/// A user name's part and the password that go with a description (RFC 8839 §5.4).
#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    fragment: String,
    password: String,
}

impl Credentials {
    fn of(sdp: &str) -> Option<Self> {
        let value = |name: &str| {
            attributes(sdp).find_map(|attribute| attribute.strip_prefix(name)).map(str::to_owned)
        };
        Some(Self { fragment: value("ice-ufrag:")?, password: value("ice-pwd:")? })
    }
}

/// What a request of ours was.
#[derive(Clone, Copy, Debug)]
enum Request {
    /// A connectivity check.
    Check(Source),
    /// To a STUN server.
    Binding,
    /// To a TURN server.
    Relay,
}

/// Admission to one link.
pub(super) struct Admission {
    carriage: Carriage,
    local: Option<Credentials>,
    remote: Option<Credentials>,
    requests: Transactions<Request>,
    checks: Transactions<Source>,
    checks_rate: Bucket,
    /// Where signed messages came from; whether an answer to a check of ours was among them.
    sources: HashMap<Source, bool>,
    servers: Recent<SocketAddr, ()>,
    /// By our socket, the server, and the number.
    channels: Recent<(SocketAddr, SocketAddr, u16), SocketAddr>,
    unanswered: Unanswered,
    dropped: u64,
    withheld: u64,
}

impl Admission {
    pub(super) fn new(has_carrier: bool) -> Self {
        Self {
            carriage: if has_carrier { Carriage::Awaited } else { Carriage::Absent },
            local: None,
            remote: None,
            requests: Transactions::new(REQUESTS_MAX),
            checks: Transactions::new(CHECKS_MAX),
            checks_rate: Bucket::new(CHECKS_PER_SECOND, f64::from(CHECKS_PER_SECOND)),
            sources: HashMap::new(),
            servers: Recent::new(SERVERS_MAX),
            channels: Recent::new(CHANNELS_MAX),
            unanswered: Unanswered::default(),
            dropped: 0,
            withheld: 0,
        }
    }

    /// The join says how the peer's carried datagrams begin. Once.
    pub(super) fn carry(&mut self, token: u64) {
        if self.carriage == Carriage::Awaited {
            self.carriage = Carriage::Token(token);
        }
    }

    /// Our description, before the stack acts on it. Other credentials end what was known of addresses.
    pub(super) fn set_local(&mut self, sdp: &str) {
        let credentials = Credentials::of(sdp);
        if self.local != credentials {
            self.local = credentials;
            self.sources.clear();
            self.checks.clear();
        }
    }

    /// The peer's description, before the stack acts on it.
    pub(super) fn set_remote(&mut self, sdp: &str, now: Instant) {
        let credentials = Credentials::of(sdp);
        if self.remote != credentials {
            self.remote = credentials;
            self.unanswered.renew(now);
        }
    }

    /// Datagrams that nobody got.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Datagrams of the stack to addresses without an answer that did not go out.
    pub(super) const fn withheld(&self) -> u64 {
        self.withheld
    }

    #[cfg(feature = "fault-injection")]
    pub(super) fn remembered(&self) -> super::fuzzing::Remembered {
        let (pairs, addresses) = self.unanswered.len();
        super::fuzzing::Remembered {
            requests: self.requests.len(),
            checks: self.checks.len(),
            sources: self.sources.len(),
            servers: self.servers.len(),
            channels: self.channels.len(),
            pairs,
            addresses,
        }
    }

    /// A datagram came in at our socket `local` from `from`.
    pub(super) fn handle_received(
        &mut self,
        local: SocketAddr,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> Verdict {
        let (framing, payload) = Framing::open(datagram, Toward::Client);
        let source = match framing {
            Framing::Plain => Some(Source { server: None, peer: from }),
            _ if self.servers.get(&from, now).is_none() => None,
            Framing::Indication(peer) => Some(Source { server: Some(from), peer }),
            Framing::Channel(number) => {
                let peer = self.channels.get(&(local, from, number), now);
                peer.map(|peer| Source { server: Some(from), peer: *peer })
            }
        };
        let payload = datagram.get(payload).unwrap_or_default();
        let verdict = source.map(|source| self.judge(source, payload, now));
        let verdict = verdict.unwrap_or(Verdict::Dropped);
        self.dropped += u64::from(verdict == Verdict::Dropped);
        verdict
    }

    fn judge(&mut self, source: Source, payload: &[u8], now: Instant) -> Verdict {
        let is_taken = match Protocol::of(payload) {
            Protocol::Carrier => {
                let Carriage::Token(token) = self.carriage else { return Verdict::Dropped };
                let is_ours = Carrier::has_token(payload, token);
                return if is_ours { Verdict::Carrier } else { Verdict::Dropped };
            }
            Protocol::Stun => {
                Message::open(payload).is_some_and(|message| self.take(source, &message, now))
            }
            Protocol::Dtls => self.carriage == Carriage::Absent && self.has_answered(source),
            // ChannelData that is whole was unwrapped.
            Protocol::ChannelData | Protocol::Unknown => false,
        };
        if is_taken { Verdict::Stack } else { Verdict::Dropped }
    }

    fn take(&mut self, source: Source, message: &Message<'_>, now: Instant) -> bool {
        match message.class {
            Class::Request => self.take_check(source, message, now),
            Class::Success | Class::Error => self.take_response(source, message, now),
            // Ours and those of browsers keep a path alive by checks.
            Class::Indication => false,
        }
    }

    fn take_check(&mut self, source: Source, message: &Message<'_>, now: Instant) -> bool {
        let Some(local) = &self.local else { return false };
        // What costs least comes first: a stranger does not know the fragment either.
        let user = message.attribute(ATTRIBUTE_USERNAME).unwrap_or_default();
        let is_for_us = user
            .strip_prefix(local.fragment.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&b':'));
        let is_signed = is_for_us
            && message.method == METHOD_BINDING
            && self.checks_rate.take(now)
            && message.is_signed_with(local.password.as_bytes());
        let is_repeated =
            self.checks.get(&message.transaction).is_some_and(|first| *first != source);
        if !is_signed || is_repeated || !self.note(source, false) {
            return false;
        }
        self.checks.insert(message.transaction, source);
        true
    }

    fn take_response(&mut self, source: Source, message: &Message<'_>, now: Instant) -> bool {
        let Some(request) = self.requests.get(&message.transaction).copied() else { return false };
        let is_taken = match request {
            Request::Check(to) => {
                let is_signed = self.remote.as_ref().is_some_and(|remote| {
                    to == source && message.is_signed_with(remote.password.as_bytes())
                });
                is_signed && self.note(source, message.class == Class::Success)
            }
            // One with several addresses may answer from another.
            Request::Binding => source.server.is_none(),
            Request::Relay => {
                let is_taken = source.server.is_none();
                if is_taken {
                    self.servers.insert(source.peer, (), now);
                }
                is_taken
            }
        };
        if is_taken {
            self.requests.remove(&message.transaction);
        }
        is_taken
    }

    /// A signed message came from there. False: it is no place for a peer, or one too many.
    fn note(&mut self, source: Source, is_answer: bool) -> bool {
        let is_known = self.sources.contains_key(&source);
        if !may_be_a_peer(source.peer.ip()) || !is_known && self.sources.len() >= SOURCES_MAX {
            return false;
        }
        let answered = self.sources.entry(source).or_default();
        if is_answer && !*answered {
            *answered = true;
            self.unanswered.answered(source);
        }
        true
    }

    fn has_answered(&self, source: Source) -> bool {
        self.sources.get(&source).copied().unwrap_or_default()
    }

    /// The stack sends a datagram. Whether it may go now.
    pub(super) fn handle_sent(
        &mut self,
        local: SocketAddr,
        to: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> bool {
        let (framing, payload) = Framing::open(datagram, Toward::Server);
        let payload = datagram.get(payload).unwrap_or_default();
        let message = Message::open(payload);
        if let (Framing::Plain, Some(message)) = (framing, &message)
            && message.class == Class::Request
            && let Some(request) = self.server_request(local, to, message, now)
        {
            self.requests.insert(message.transaction, request);
            return true;
        }
        let target = match framing {
            Framing::Plain => Some(Source { server: None, peer: to }),
            Framing::Indication(peer) => Some(Source { server: Some(to), peer }),
            Framing::Channel(number) => {
                let peer = self.channels.get(&(local, to, number), now);
                peer.map(|peer| Source { server: Some(to), peer: *peer })
            }
        };
        let may = target.is_some_and(|target| self.may_go(local, target, message.as_ref(), now));
        self.withheld += u64::from(!may);
        may
    }

    /// What a request is that is no connectivity check: those have a user name, and nothing else than Binding is one.
    fn server_request(
        &mut self,
        local: SocketAddr,
        server: SocketAddr,
        message: &Message<'_>,
        now: Instant,
    ) -> Option<Request> {
        if message.method == METHOD_BINDING {
            let is_check = message.attribute(ATTRIBUTE_USERNAME).is_some();
            return (!is_check).then_some(Request::Binding);
        }
        if message.method == METHOD_CHANNEL_BIND
            && let Some([high, low, ..]) = message.attribute(ATTRIBUTE_CHANNEL_NUMBER)
            && let Some(peer) = message.address(ATTRIBUTE_XOR_PEER_ADDRESS)
        {
            let number = u16::from_be_bytes([*high, *low]);
            self.channels.insert((local, server, number), peer, now);
        }
        Some(Request::Relay)
    }

    fn may_go(
        &mut self,
        local: SocketAddr,
        to: Source,
        message: Option<&Message<'_>>,
        now: Instant,
    ) -> bool {
        let ip = to.peer.ip();
        // Loopback reaches whoever shares it: from a socket of ours on it, or from a server on it.
        let is_reachable = match to.server.map(|server| server.ip()) {
            None => ip.is_loopback() == local.ip().is_loopback(),
            Some(server) => server.is_loopback() || !ip.is_loopback() && !is_link_local(ip),
        };
        if !may_be_a_peer(ip) || !is_reachable {
            return false;
        }
        let has_answered = self.has_answered(to);
        match message.map(|message| (message.class, message.transaction)) {
            Some((Class::Request, transaction)) => {
                // A socket that had no room asks again.
                let is_known = self.requests.get(&transaction).is_some();
                let has_asked = self.sources.contains_key(&to);
                let may = is_known
                    || has_answered
                    || self.unanswered.may_check(local, to, has_asked, now);
                if may {
                    self.requests.insert(transaction, Request::Check(to));
                }
                may
            }
            Some(_) => has_answered || self.unanswered.may_respond(to, now),
            // The stack chooses only pairs that answered.
            None => has_answered,
        }
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sources, servers, dropped, withheld, .. } = self;
        let mut shown = formatter.debug_struct("Admission");
        shown.field("sources", sources).field("servers", servers);
        shown.field("dropped", dropped).field("withheld", withheld).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
