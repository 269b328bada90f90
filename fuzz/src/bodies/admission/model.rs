//! The rule of admission, said a second time: what the stack's own parsers read in a datagram, and whether it may be heard for it.
//! It forgets nothing and knows no rates; where a limit may have made another answer of it, either answer is right.

use hmac::{Hmac, Mac as _};
use rejoin::link::fuzzing::{Heard, Remembered};
use rtc::stun::attributes::{
    ATTR_CHANNEL_NUMBER, ATTR_DATA, ATTR_FINGERPRINT, ATTR_MESSAGE_INTEGRITY, ATTR_USERNAME,
    ATTR_XOR_PEER_ADDRESS, AttrType,
};
use rtc::stun::message::{
    CLASS_ERROR_RESPONSE, CLASS_INDICATION, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, Getter as _,
    METHOD_BINDING, METHOD_CHANNEL_BIND, METHOD_DATA, METHOD_SEND, Message, is_stun_message,
};
use rtc::turn::proto::chandata::ChannelData;
use rtc::turn::proto::peeraddr::PeerAddress;
use sha1::Sha1;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// What may be remembered at most, as `link::admission` documents it.
const REQUESTS_MAX: usize = 8_192;
const CHECKS_MAX: usize = 2_048;
const SOURCES_MAX: usize = 64;
const SERVERS_MAX: usize = 32;
const CHANNELS_MAX: usize = 512;
const PAIRS_MAX: usize = 512;
const CHECKS_PER_SECOND: usize = 8_000;

const SHA256_SIGNATURE: AttrType = AttrType(0x001c);

pub(super) type Transaction = [u8; 12];

/// Who is at the other end: through which server, and who.
pub(super) type Place = (Option<SocketAddr>, SocketAddr);

/// User name fragment and password.
pub(super) type Credentials = (String, String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Peer(Place),
    StunServer,
    TurnServer,
}

/// What a datagram is that may be heard.
#[derive(Debug)]
enum Meaning {
    Carried,
    Record,
    Check { transaction: Transaction, from: Place },
    Answer { transaction: Transaction, from: Place, asked: Asked, is_success: bool },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Carriage {
    Plain,
    Awaited,
    Token(u64),
}

#[derive(Debug, Default)]
struct Budget {
    pairs: HashSet<(SocketAddr, Place)>,
    checks: usize,
    responses: usize,
}

pub(super) struct Model {
    carriage: Carriage,
    local: Option<Credentials>,
    remote: Option<Credentials>,
    asked: BTreeMap<Transaction, Asked>,
    asked_ever: usize,
    checked: HashMap<Transaction, Place>,
    checks_heard: usize,
    /// Checks that looked like the peer's, signed or not.
    attempts: usize,
    sources: HashMap<Place, bool>,
    servers: BTreeSet<SocketAddr>,
    channels: HashMap<(SocketAddr, SocketAddr, u16), SocketAddr>,
    began: Instant,
    /// What went to IP addresses without an answer since the last negotiation.
    negotiated: Instant,
    spent: HashMap<IpAddr, Budget>,
    answers: usize,
    dropped: u64,
    withheld: u64,
}

impl Model {
    pub(super) fn new(has_carrier: bool, now: Instant) -> Self {
        Self {
            carriage: if has_carrier { Carriage::Awaited } else { Carriage::Plain },
            local: None,
            remote: None,
            asked: BTreeMap::new(),
            asked_ever: 0,
            checked: HashMap::new(),
            checks_heard: 0,
            attempts: 0,
            sources: HashMap::new(),
            servers: BTreeSet::new(),
            channels: HashMap::new(),
            began: now,
            negotiated: now,
            spent: HashMap::new(),
            answers: 0,
            dropped: 0,
            withheld: 0,
        }
    }

    pub(super) fn carry(&mut self, token: u64) {
        if self.carriage == Carriage::Awaited {
            self.carriage = Carriage::Token(token);
        }
    }

    pub(super) fn set_local(&mut self, credentials: Option<Credentials>, now: Instant) {
        if self.local != credentials {
            self.local = credentials;
            self.sources.clear();
            self.checked.clear();
            self.renew(now);
        }
    }

    pub(super) fn set_remote(&mut self, credentials: Option<Credentials>, now: Instant) {
        if self.remote != credentials {
            self.remote = credentials;
            self.renew(now);
        }
    }

    fn renew(&mut self, now: Instant) {
        self.negotiated = now;
        self.spent.clear();
        self.answers = 0;
    }

    /// A request of ours that waits for its answer.
    pub(super) fn waiting(&self, at: usize) -> Option<(Transaction, Asked)> {
        let found = self.asked.iter().nth(at % self.asked.len().max(1));
        found.map(|(transaction, asked)| (*transaction, *asked))
    }

    /// A server that answered.
    pub(super) fn server(&self, at: usize) -> Option<SocketAddr> {
        self.servers.iter().nth(at % self.servers.len().max(1)).copied()
    }

    pub(super) fn remote(&self) -> Option<&Credentials> {
        self.remote.as_ref()
    }

    pub(super) fn local(&self) -> Option<&Credentials> {
        self.local.as_ref()
    }

    /// A datagram came in, and `heard` says who got it.
    pub(super) fn on_received(
        &mut self,
        local: SocketAddr,
        from: SocketAddr,
        datagram: &[u8],
        heard: Heard,
    ) {
        let meaning = self.meaning(local, from, datagram);
        let expected = match meaning {
            None => Heard::Nobody,
            Some(Meaning::Carried) => Heard::Carrier,
            Some(Meaning::Record | Meaning::Check { .. } | Meaning::Answer { .. }) => Heard::Stack,
        };
        let is_right = heard == expected || heard == Heard::Nobody && self.has_met_a_limit();
        assert!(is_right, "{heard:?} heard {meaning:?} of {from}: {datagram:02x?}");
        match (heard, meaning) {
            (Heard::Stack, Some(Meaning::Check { transaction, from })) => {
                self.sources.entry(from).or_default();
                self.checked.insert(transaction, from);
                self.checks_heard += 1;
            }
            (Heard::Stack, Some(Meaning::Answer { transaction, from, asked, is_success })) => {
                self.asked.remove(&transaction);
                match asked {
                    Asked::Peer(_) => {
                        *self.sources.entry(from).or_default() |= is_success;
                        self.answers += 1;
                    }
                    Asked::StunServer => {}
                    Asked::TurnServer => {
                        self.servers.insert(from.1);
                    }
                }
            }
            _ => {}
        }
        self.dropped += u64::from(heard == Heard::Nobody);
    }

    /// Something that was to be remembered may be forgotten, or was one too many in a second.
    fn has_met_a_limit(&self) -> bool {
        self.asked_ever > REQUESTS_MAX
            || self.checked.len() > CHECKS_MAX
            || self.servers.len() > SERVERS_MAX
            || self.channels.len() > CHANNELS_MAX
            || self.attempts > CHECKS_PER_SECOND
    }

    fn meaning(&mut self, local: SocketAddr, from: SocketAddr, datagram: &[u8]) -> Option<Meaning> {
        let (place, payload) = match unwrap(datagram, Toward::Client) {
            Wrapped::Plain => ((None, from), datagram.to_vec()),
            _ if !self.servers.contains(&from) => return None,
            Wrapped::Indication(peer, data) => ((Some(from), peer), data),
            Wrapped::Channel(number, data) => {
                ((Some(from), *self.channels.get(&(local, from, number))?), data)
            }
        };
        match payload.first()? {
            0x0c => {
                let token = u64::from_be_bytes(*payload.get(2..)?.first_chunk()?);
                (self.carriage == Carriage::Token(token)).then_some(Meaning::Carried)
            }
            0..=3 => self.stun_meaning(place, &stun(&payload)?),
            20..=63 if !is_stun_message(&payload) => {
                let has_answered = self.sources.get(&place).copied().unwrap_or_default();
                (self.carriage == Carriage::Plain && has_answered).then_some(Meaning::Record)
            }
            _ => None,
        }
    }

    fn stun_meaning(&mut self, from: Place, message: &Message) -> Option<Meaning> {
        let transaction = message.transaction_id.0;
        if message.typ.class == CLASS_REQUEST {
            let (fragment, password) = self.local.clone()?;
            let user = value(message, ATTR_USERNAME).unwrap_or_default();
            let is_ours = user.starts_with(format!("{fragment}:").as_bytes());
            if message.typ.method != METHOD_BINDING || !is_ours {
                return None;
            }
            self.attempts += 1;
            // One that was forgotten may come from another address.
            let is_elsewhere = self.checked.get(&transaction).is_some_and(|known| *known != from);
            let is_new = !is_elsewhere || self.checked.len() > CHECKS_MAX;
            return (is_signed(message, &password) && is_new && self.has_room_for(from))
                .then_some(Meaning::Check { transaction, from });
        }
        if message.typ.class == CLASS_INDICATION {
            return None;
        }
        let is_success = message.typ.class == CLASS_SUCCESS_RESPONSE;
        assert!(is_success || message.typ.class == CLASS_ERROR_RESPONSE);
        let asked = *self.asked.get(&transaction)?;
        let may = match asked {
            Asked::Peer(to) => {
                let (_, password) = self.remote.as_ref()?;
                to == from && is_signed(message, password) && self.has_room_for(from)
            }
            Asked::StunServer | Asked::TurnServer => from.0.is_none(),
        };
        may.then_some(Meaning::Answer { transaction, from, asked, is_success })
    }

    fn has_room_for(&self, place: Place) -> bool {
        may_be_a_peer(place.1.ip())
            && (self.sources.contains_key(&place) || self.sources.len() < SOURCES_MAX)
    }

    /// The stack sent a datagram, and `went` says whether it may go.
    pub(super) fn on_sent(
        &mut self,
        local: SocketAddr,
        to: SocketAddr,
        datagram: &[u8],
        went: bool,
        now: Instant,
    ) {
        self.withheld += u64::from(!went);
        let wrapped = unwrap(datagram, Toward::Server);
        let (place, payload) = match &wrapped {
            Wrapped::Plain => (Some((None, to)), datagram),
            Wrapped::Indication(peer, data) => (Some((Some(to), *peer)), &data[..]),
            Wrapped::Channel(number, data) => {
                let peer = self.channels.get(&(local, to, *number));
                (peer.map(|peer| (Some(to), *peer)), &data[..])
            }
        };
        let message = stun(payload);
        if let (Wrapped::Plain, Some(message)) = (&wrapped, &message)
            && message.typ.class == CLASS_REQUEST
            && let Some(asked) = self.server_request(local, to, message)
        {
            assert!(went, "servers are ours: {datagram:02x?}");
            return self.ask(message.transaction_id.0, asked);
        }
        let Some(place) = place else {
            return assert!(!went, "a channel that nobody bound: {datagram:02x?}");
        };
        let has_answered = self.sources.get(&place).copied().unwrap_or_default();
        if !is_reachable(local, place) {
            return assert!(!went, "to {place:?} from {local}");
        }
        if has_answered {
            assert!(went || self.has_met_a_limit(), "{place:?} answered");
        }
        let Some(message) = message else {
            return assert!(has_answered || !went, "{place:?} never answered: {datagram:02x?}");
        };
        let transaction = message.transaction_id.0;
        let is_request = message.typ.class == CLASS_REQUEST;
        let is_again = is_request && self.asked.contains_key(&transaction);
        assert!(went || !is_again || self.has_met_a_limit(), "a socket without room asks again");
        if !went {
            return;
        }
        if is_request {
            self.ask(transaction, Asked::Peer(place));
        }
        if !has_answered && !is_again {
            self.spend(local, place, is_request, now);
        }
    }

    fn server_request(
        &mut self,
        local: SocketAddr,
        to: SocketAddr,
        message: &Message,
    ) -> Option<Asked> {
        if message.typ.method == METHOD_BINDING {
            return value(message, ATTR_USERNAME).is_none().then_some(Asked::StunServer);
        }
        if message.typ.method == METHOD_CHANNEL_BIND
            && let Some([high, low, ..]) = value(message, ATTR_CHANNEL_NUMBER)
            && let Some(peer) = peer_of(message)
        {
            self.channels.insert((local, to, u16::from_be_bytes([*high, *low])), peer);
        }
        Some(Asked::TurnServer)
    }

    fn ask(&mut self, transaction: Transaction, asked: Asked) {
        self.asked_ever += 1;
        self.asked.insert(transaction, asked);
    }

    /// At most 100 a second for two seconds and 10 a second after that, beside the first and the triggered check of each pair.
    fn spend(&mut self, local: SocketAddr, to: Place, is_request: bool, now: Instant) {
        let seconds = now.duration_since(self.negotiated).as_secs() as usize + 1;
        let budget = self.spent.entry(to.1.ip()).or_default();
        if !is_request {
            budget.responses += 1;
            assert!(budget.responses <= 100 * (seconds + 1), "{} responses", budget.responses);
            return;
        }
        budget.pairs.insert((local, to));
        budget.checks += 1;
        // A pair that answered makes the turn of the others come sooner, once.
        let most = budget.pairs.len() * (2 + self.answers) + 2 * 100 + 10 * seconds;
        assert!(budget.checks <= most, "{} checks to {to:?}, {most} at most", budget.checks);
    }

    /// What holds at any time.
    pub(super) fn check(&self, remembered: Remembered, refused: (u64, u64), now: Instant) {
        let Remembered { requests, checks, sources, servers, channels, pairs, addresses } =
            remembered;
        assert!(requests <= REQUESTS_MAX && checks <= CHECKS_MAX && sources <= SOURCES_MAX);
        assert!(servers <= SERVERS_MAX && channels <= CHANNELS_MAX);
        // A pair and a response each may bring an IP address.
        assert!(pairs <= PAIRS_MAX && addresses <= 2 * PAIRS_MAX, "{remembered:?}");
        assert_eq!(refused, (self.dropped, self.withheld));
        assert_eq!(sources, self.sources.len());
        let seconds = now.duration_since(self.began) + Duration::from_secs(1);
        assert!(self.checks_heard as f64 <= CHECKS_PER_SECOND as f64 * seconds.as_secs_f64());
    }
}

#[derive(Clone, Copy)]
enum Toward {
    Client,
    Server,
}

enum Wrapped {
    Plain,
    Indication(SocketAddr, Vec<u8>),
    Channel(u16, Vec<u8>),
}

/// What a TURN client would take out of a datagram, or its server.
fn unwrap(datagram: &[u8], toward: Toward) -> Wrapped {
    let method = match toward {
        Toward::Client => METHOD_DATA,
        Toward::Server => METHOD_SEND,
    };
    match datagram.first() {
        Some(0..=3) => {
            if let Some(message) = stun(datagram)
                && message.typ.class == CLASS_INDICATION
                && message.typ.method == method
                && let (Some(peer), Some(data)) = (peer_of(&message), value(&message, ATTR_DATA))
            {
                return Wrapped::Indication(peer, data.to_vec());
            }
        }
        Some(64..=79) if !is_stun_message(datagram) => {
            let mut channel = ChannelData { raw: datagram.to_vec(), ..ChannelData::default() };
            if channel.decode().is_ok() {
                return Wrapped::Channel(channel.number.0, channel.data);
            }
        }
        _ => {}
    }
    Wrapped::Plain
}

/// A message as the stack reads it, if nothing stands behind it.
fn stun(datagram: &[u8]) -> Option<Message> {
    let mut message = Message::new();
    let is_whole = datagram.first()? < &0x40
        && is_stun_message(datagram)
        && message.unmarshal_binary(datagram).is_ok()
        && datagram.len() == 20 + message.length as usize;
    is_whole.then_some(message)
}

/// The first attribute of a kind.
fn value(message: &Message, kind: AttrType) -> Option<&[u8]> {
    let found = message.attributes.0.iter().find(|attribute| attribute.typ == kind);
    found.map(|attribute| &attribute.value[..])
}

/// The peer of an indication or of a channel, if its address is neither cut nor too long.
fn peer_of(message: &Message) -> Option<SocketAddr> {
    let mut peer = PeerAddress::default();
    peer.get_from(message).ok()?;
    let bytes = value(message, ATTR_XOR_PEER_ADDRESS)?.len();
    let is_whole = bytes == if peer.ip.is_ipv4() { 8 } else { 20 };
    is_whole.then_some(SocketAddr::new(peer.ip, peer.port))
}

/// RFC 8489 §14.5, and nothing that counts behind the signature.
fn is_signed(message: &Message, password: &str) -> bool {
    let attributes = &message.attributes.0;
    let Some(at) = attributes.iter().position(|found| found.typ == ATTR_MESSAGE_INTEGRITY) else {
        return false;
    };
    let (before, behind) = (&attributes[..at], &attributes[at + 1..]);
    if behind.iter().any(|found| ![SHA256_SIGNATURE, ATTR_FINGERPRINT].contains(&found.typ)) {
        return false;
    }
    let bytes: usize = before.iter().map(|found| 4 + found.value.len().next_multiple_of(4)).sum();
    let mut code = Hmac::<Sha1>::new_from_slice(password.as_bytes()).expect("any length");
    let Ok(length) = u16::try_from(bytes + 24) else { return false };
    code.update(&message.raw[..2]);
    code.update(&length.to_be_bytes());
    code.update(&message.raw[4..20 + bytes]);
    code.verify_slice(&attributes[at].value).is_ok()
}

/// Addresses at which somebody could be whom we meant.
fn may_be_a_peer(ip: IpAddr) -> bool {
    let metadata = ["169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254"];
    if metadata.iter().any(|other| other.parse() == Ok(ip)) {
        return false;
    }
    match ip {
        IpAddr::V4(ip) => {
            !ip.is_multicast() && !ip.is_broadcast() && !matches!(ip.octets()[0], 0 | 240..)
        }
        IpAddr::V6(ip) => {
            let has_ipv4 = ip.segments()[..5] == [0; 5] && matches!(ip.segments()[5], 0 | 0xffff);
            !ip.is_multicast()
                && ip.segments()[0] & 0xffc0 != 0xfe80
                && (ip.is_loopback() || !has_ipv4)
        }
    }
}

/// Loopback is for those who share it; a server elsewhere is not asked to look at its own network.
fn is_reachable(local: SocketAddr, (server, peer): Place) -> bool {
    let ip = peer.ip();
    let is_link_local = matches!(ip, IpAddr::V4(ip) if ip.octets()[..2] == [169, 254]);
    may_be_a_peer(ip)
        && match server {
            None => ip.is_loopback() == local.ip().is_loopback(),
            Some(server) if server.ip().is_loopback() => true,
            Some(_) => !ip.is_loopback() && !is_link_local,
        }
}
