//! The host's state: connections, rooms, members, and who hears what. Pure; [`host`](crate::signal::host) drives it.
//!
//! A code room is a star around its opener: strangers who found the number see the opener and nobody else. A session's
//! room is a pair. The host reads nothing that is sealed, and keeps nothing after a room ends but its number.
//!
//! Every loop over all rooms runs in the sweep, at most once a second. Tables are ordered maps: nobody makes one slow by the
//! names that it chooses.

#[cfg(test)]
mod fault_tests;
mod limits;
mod members;
mod presence;
mod requests;
#[cfg(test)]
mod strangers_tests;
#[cfg(test)]
mod tests;
mod toll;
mod tombstones;
mod tries;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub use limits::Limits;
use members::Room;
use requests::room_of;
use toll::Toll;
use tombstones::Tombstones;
use tries::Tries;

use crate::signal::codec::CodecError;
use crate::signal::keys::{MemberToken, RoomName};
use crate::signal::protocol::{
    ClientMessage, CloseReason, HostMessage, MESSAGE_BYTES_MAX, RefusalReason,
};
use crate::signal::subscriber::{Places, Subscriber};
use crate::time::{Bucket, Instant};
use crate::wire::{MemberId, PROTOCOL_VERSION};

/// How exactly deadlines are kept; one second of slack saves a timer for every member.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Members of a room that a fault ended come back after this time.
const FAULT_PAUSE: Duration = Duration::from_secs(1);
/// A host that stops tells its members to come back so many a second, not all at once.
const COME_BACK_PER_SECOND: u64 = 200;
/// The last of them comes back after this time at most.
const COME_BACK_SPREAD_MAX: Duration = Duration::from_secs(30);

/// Names one WebSocket; never reused within a host's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What the host has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Sends a message; a connection that does not read is to be reported by [`Rooms::handle_slow`].
    Send {
        /// To whom.
        connection: ConnectionId,
        /// What.
        message: HostMessage,
    },
    /// Says [`HostMessage::Goodbye`], then closes. The state has forgotten the connection already.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
}

/// Plain numbers for `/metrics`; nothing in them names a room or a member (H-15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections ever accepted.
    pub connections: u64,
    /// Connections turned away or closed by the host.
    pub connections_closed: u64,
    /// Messages received.
    pub messages: u64,
    /// Requests refused.
    pub refusals: u64,
    /// Rooms ever opened.
    pub rooms_opened: u64,
    /// Codes spent by a pairing.
    pub codes_used: u64,
    /// Codes burnt by a wrong guess.
    pub codes_burnt: u64,
    /// Payloads relayed, queued ones included.
    pub relayed: u64,
    /// Bytes of them.
    pub relayed_bytes: u64,
    /// Queued payloads dropped for newer ones, for space, or because nobody came back.
    pub dropped: u64,
    /// Tries at numbers of codes.
    pub tries: u64,
    /// How often work was asked for first.
    pub work_asked: u64,
}

/// What is there now, for `/metrics` and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Open connections.
    pub connections: usize,
    /// Rooms.
    pub rooms: usize,
    /// Members waiting for a room.
    pub waiters: usize,
    /// Bytes kept for absent members.
    pub queued_bytes: usize,
    /// Numbers remembered as over.
    pub tombstones: usize,
    /// Addresses whose tries are counted.
    pub addresses: usize,
}

/// All state of one host.
#[derive(Debug)]
pub struct Rooms {
    limits: Limits,
    rooms: BTreeMap<RoomName, Room>,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Members waiting for a code room, in order of arrival.
    waiters: BTreeMap<u32, Vec<Waiter>>,
    tombstones: Tombstones,
    tries: Tries,
    toll: Toll,
    /// Places by account, taken where the thing is made.
    connection_places: Places,
    room_places: Places,
    waiter_places: Places,
    /// Code rooms that nobody was paired in yet.
    waiting_codes: usize,
    queued_bytes: usize,
    next_sweep: Option<Instant>,
    counters: Counters,
    commands: VecDeque<Command>,
    in_hand: InHand,
    #[cfg(test)]
    fault: Option<Fault>,
}

/// What an input is about: where handling it panics, this ends, and nothing else.
#[derive(Debug, Default)]
struct InHand {
    connection: Option<ConnectionId>,
    room: Option<RoomName>,
}

/// A panic of tests: in the hands of this room, once so many things were said.
#[cfg(test)]
#[derive(Debug)]
pub(in crate::signal) struct Fault {
    pub(in crate::signal) room: RoomName,
    pub(in crate::signal) after: u32,
}

#[derive(Debug)]
struct Connection {
    from: Subscriber,
    since: Instant,
    bucket: Bucket,
    rooms: BTreeSet<RoomName>,
    /// The number whose room it waits for.
    waiting: Option<u32>,
    toll: toll::Paid,
}

#[derive(Debug)]
struct Waiter {
    connection: ConnectionId,
    from: Subscriber,
    member: MemberId,
    token: MemberToken,
    is_miss: bool,
    since: Instant,
}

type Refused = Result<(), RefusalReason>;

impl Rooms {
    /// A host without rooms. `seed` is secret: challenges are made from it.
    #[must_use]
    pub fn new(limits: Limits, seed: [u8; 32], now: Instant) -> Self {
        Self {
            tries: Tries::new(now),
            toll: Toll::new(seed),
            connection_places: Places::new(
                limits.connections_per_address_max,
                limits.connections_max,
            ),
            room_places: Places::new(limits.rooms_per_address_max, limits.rooms_max),
            waiter_places: Places::new(limits.waiters_per_address_max, limits.waiters_max),
            waiting_codes: 0,
            limits,
            rooms: BTreeMap::new(),
            connections: BTreeMap::new(),
            waiters: BTreeMap::new(),
            tombstones: Tombstones::default(),
            queued_bytes: 0,
            next_sweep: None,
            counters: Counters::default(),
            commands: VecDeque::new(),
            in_hand: InHand::default(),
            #[cfg(test)]
            fault: None,
        }
    }

    /// A WebSocket was accepted.
    pub fn handle_connected(&mut self, connection: ConnectionId, from: Subscriber, now: Instant) {
        self.next_sweep.get_or_insert(now + SWEEP_INTERVAL);
        if !self.connection_places.take(from) {
            self.counters.connections_closed += 1;
            self.commands.push_back(Command::Close { connection, reason: CloseReason::HostFull });
            return;
        }
        self.counters.connections += 1;
        let per_second = f64::from(self.limits.messages_per_second);
        let bucket = Bucket::new(self.limits.messages_burst, per_second);
        let (rooms, waiting, toll) = (BTreeSet::new(), None, toll::Paid::default());
        let state = Connection { from, since: now, bucket, rooms, waiting, toll };
        self.connections.insert(connection, state);
    }

    /// A ping or a pong arrived: answered elsewhere, if at all, but it counts.
    pub fn handle_control(&mut self, connection: ConnectionId, now: Instant) {
        self.charge(connection, 0, now);
    }

    /// A WebSocket message arrived. `random` is used where a number has to be picked.
    pub fn handle_message(
        &mut self,
        connection: ConnectionId,
        bytes: &[u8],
        random: u32,
        now: Instant,
    ) {
        // The rate comes first: large or malformed messages count like any other (H-13).
        if !self.charge(connection, bytes.len(), now) {
            return;
        }
        self.in_hand = InHand { connection: Some(connection), room: None };
        match ClientMessage::decode(bytes) {
            Ok(message) => {
                let room = room_of(&message);
                self.in_hand.room = room;
                if let Err(reason) = self.apply(connection, message, random, now) {
                    self.counters.refusals += 1;
                    self.send(connection, HostMessage::Refused { room, reason });
                }
            }
            Err(CodecError::TooLarge { .. }) if bytes.len() <= MESSAGE_BYTES_MAX => {
                self.counters.refusals += 1;
                self.send(
                    connection,
                    HostMessage::Refused { room: None, reason: RefusalReason::TooLarge },
                );
            }
            Err(CodecError::Version { .. }) => {
                self.close(connection, CloseReason::Version { host: PROTOCOL_VERSION }, now)
            }
            Err(CodecError::TooLarge { .. } | CodecError::Malformed) => {
                self.close(connection, CloseReason::Malformed, now)
            }
        }
        self.in_hand = InHand::default();
    }

    /// Handling the last input panicked, which is a fault of ours: the room that it was about ends, and with it the connections of
    /// its members and of whoever asked, who come back; so that it is in nobody's way (P-10).
    pub fn handle_fault(&mut self, now: Instant) {
        let InHand { connection, room } = std::mem::take(&mut self.in_hand);
        let mut connections: BTreeSet<ConnectionId> = connection.into_iter().collect();
        if let Some(room) = room.and_then(|name| self.remove_room(name)) {
            let members = room.members();
            connections.extend(members.into_iter().filter_map(|member| room.connection_of(member)));
        }
        let retry_after_ms = u32::try_from(FAULT_PAUSE.as_millis()).unwrap_or(u32::MAX);
        for connection in connections {
            self.close(connection, CloseReason::Shutdown { retry_after_ms }, now);
        }
    }

    /// Counts one message of `size` bytes; false if the connection is unknown or was closed for sending too many.
    fn charge(&mut self, connection: ConnectionId, size: usize, now: Instant) -> bool {
        let Some(state) = self.connections.get_mut(&connection) else {
            return false;
        };
        self.counters.messages += 1;
        let cost = 1.0 + (size / 1024) as f64;
        let within = state.bucket.take_many(cost, now);
        if !within {
            self.close(connection, CloseReason::TooManyMessages, now);
        }
        within
    }

    /// The WebSocket is gone. Its members are absent from now on.
    pub fn handle_disconnected(&mut self, connection: ConnectionId, now: Instant) {
        self.forget(connection, now);
    }

    /// The connection does not read what it is sent.
    pub fn handle_slow(&mut self, connection: ConnectionId, now: Instant) {
        self.close(connection, CloseReason::TooSlow, now);
    }

    /// The host stops: everyone is told when to come back.
    pub fn handle_shutdown(&mut self, retry_after: Duration, now: Instant) {
        let connections: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for (place, connection) in (0..).zip(connections) {
            let turn = Duration::from_millis(place * 1_000 / COME_BACK_PER_SECOND);
            let back_after = retry_after.saturating_add(turn.min(COME_BACK_SPREAD_MAX));
            let retry_after_ms = u32::try_from(back_after.as_millis()).unwrap_or(u32::MAX);
            self.close(connection, CloseReason::Shutdown { retry_after_ms }, now);
        }
        // Those that left first were still announced to the others.
        self.commands.retain(|command| matches!(command, Command::Close { .. }));
    }

    /// Drops what has run out of time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_sweep.is_none_or(|at| now < at) {
            return;
        }
        // First: a sweep that panics is not repeated at once.
        self.next_sweep = Some(now + SWEEP_INTERVAL);
        self.close_those_without_a_room(now);
        self.expire_waiters(now);
        self.expire_members_and_rooms(now);
        self.tombstones.handle_timeout(self.limits.tombstone_lifetime, now);
        self.tries.handle_timeout(now);
        let idle = self.connections.is_empty()
            && self.rooms.is_empty()
            && self.waiters.is_empty()
            && self.tries.len() == 0
            && self.tombstones.len() == 0;
        self.next_sweep = (!idle).then_some(now + SWEEP_INTERVAL);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.next_sweep
    }

    /// What to do next, in order.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Totals since the start.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// What is there now.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges {
            connections: self.connections.len(),
            rooms: self.rooms.len(),
            waiters: self.waiter_places.taken(),
            queued_bytes: self.queued_bytes,
            tombstones: self.tombstones.len(),
            addresses: self.tries.len(),
        }
    }
}
