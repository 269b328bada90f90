//! What members ask of the host.

use super::members::{Room, Sender};
use super::toll::Try;
use super::{ConnectionId, Refused, Rooms, SWEEP_INTERVAL, Waiter};
use crate::signal::keys::{MemberToken, RoomName};
use crate::signal::protocol::{ClientMessage, HostMessage, RefusalReason};
use crate::time::Instant;
use crate::wire::MemberId;

/// Numbers for each code that waits: a try at one that is made up hits a code with this chance at most.
const NUMBERS_PER_CODE: usize = 4_000;
/// Fewest numbers to pick from: 1 to 9,999.
const NUMBERS_MIN: u32 = 10_000;
/// Most: seven digits can still be read out.
const NUMBERS_MAX: u32 = 10_000_000;

impl Rooms {
    pub(super) fn apply(
        &mut self,
        connection: ConnectionId,
        message: ClientMessage,
        random: u32,
        now: Instant,
    ) -> Refused {
        match message {
            ClientMessage::Open { number, member, token, deposit, again } => {
                if let Some(number) = number.filter(|_| again) {
                    self.free_used(number, (member, &token), now);
                }
                let may_reuse = again;
                self.open(connection, number, (member, &token), (deposit, may_reuse), random, now)
            }
            ClientMessage::Join { room, member, token, deposit, wait } => {
                self.count_try(connection, now)?;
                match room {
                    RoomName::Code(number) => {
                        self.try_code(connection, number, (member, token), wait, now)
                    }
                    RoomName::Session(_) => {
                        self.join_session(connection, room, (member, &token), deposit, now)
                    }
                }
            }
            ClientMessage::Deposit { room, deposit } => self.deposit(connection, room, deposit),
            ClientMessage::Relay { room, to, payload } => {
                self.relay(connection, room, to, payload, now)
            }
            ClientMessage::Lock { number, keep } => self.lock(connection, number, keep, now),
            ClientMessage::Burn { number } => {
                self.check_opener(connection, number)?;
                self.counters.codes_burnt += 1;
                self.end_room(RoomName::Code(number), RefusalReason::Burnt, now);
                Ok(())
            }
            ClientMessage::Leave { room } => {
                self.leave(connection, room, now);
                Ok(())
            }
            ClientMessage::Work { number, nonce } => self.work(connection, number, nonce, now),
        }
    }

    fn open(
        &mut self,
        connection: ConnectionId,
        number: Option<u32>,
        who: Sender<'_>,
        (deposit, may_reuse): (Vec<u8>, bool),
        random: u32,
        now: Instant,
    ) -> Refused {
        self.count_try(connection, now)?;
        if let Some(number) = number
            && let Some(room) = self.rooms.get(&RoomName::Code(number))
        {
            if !room.is_opener(who) {
                return match self.count_number(connection, number, true, now)? {
                    Try::Goes { .. } => Err(RefusalReason::Taken),
                    Try::Asked => Ok(()),
                };
            }
            let name = RoomName::Code(number);
            self.enter(connection, name, who, now)?;
            if let Some(room) = self.rooms.get_mut(&name) {
                room.renew(who.0, &deposit, now);
            }
            return self.opened(connection, number, who.0, deposit);
        }
        // Who chooses a number learns whether it is taken: that is a try at it.
        let is_miss = match number {
            Some(0) => return Err(RefusalReason::NotPermitted),
            Some(number) => match self.count_number(connection, number, false, now)? {
                Try::Goes { is_miss } => is_miss,
                Try::Asked => return Ok(()),
            },
            None => false,
        };
        let number = match number {
            Some(number) if !self.is_free(number, may_reuse) => return Err(RefusalReason::Taken),
            Some(number) => number,
            None => self.free_number(random),
        };
        let name = RoomName::Code(number);
        self.enter_new(connection, name, who, now)?;
        if let Some(room) = self.rooms.get_mut(&name).filter(|_| is_miss) {
            room.set_miss(who.0);
        }
        self.opened(connection, number, who.0, deposit)?;
        let waiters = self.waiters.remove(&number).unwrap_or_default();
        for waiter in &waiters {
            self.waiter_places.give_back(waiter.from);
            if let Some(state) = self.connections.get_mut(&waiter.connection) {
                state.waiting = None;
            }
        }
        for waiter in waiters {
            let who = (waiter.member, waiter.token);
            let joined =
                self.join_code(waiter.connection, number, who, (false, waiter.is_miss), now);
            if let Err(reason) = joined {
                self.send(
                    waiter.connection,
                    HostMessage::Refused { room: Some(RoomName::Code(number)), reason },
                );
            }
        }
        Ok(())
    }

    /// Whether no room had the number lately; or its code was used, which a user who chose it knows. A burnt one stays so: each
    /// room of a code is a guess for whoever does not know it.
    fn is_free(&self, number: u32, may_reuse: bool) -> bool {
        self.tombstones.reason(number).is_none_or(|reason| {
            may_reuse && matches!(reason, RefusalReason::CodeUsed | RefusalReason::Expired)
        })
    }

    /// Ends a room whose code was used, for the one who opens it again: its opener, or another one where that one is gone.
    fn free_used(&mut self, number: u32, who: Sender<'_>, now: Instant) {
        let name = RoomName::Code(number);
        let is_over = self
            .rooms
            .get(&name)
            .is_some_and(|room| room.is_locked() && (room.is_opener(who) || room.is_forsaken()));
        if is_over {
            self.end_room(name, RefusalReason::CodeUsed, now);
        }
    }

    /// Makes the room and enters it; a room that its first member cannot enter does not stay.
    fn enter_new(
        &mut self,
        connection: ConnectionId,
        name: RoomName,
        who: Sender<'_>,
        now: Instant,
    ) -> Refused {
        let owner = self.connections.get(&connection).map(|state| state.from);
        let owner = owner.ok_or(RefusalReason::NotPermitted)?;
        if !self.room_places.take(owner) {
            return Err(RefusalReason::HostFull);
        }
        let opener = match name {
            RoomName::Code(_) => Some(who.0),
            RoomName::Session(_) => None,
        };
        self.rooms.insert(name, Room::new(opener, owner, now));
        self.waiting_codes += usize::from(opener.is_some());
        if let Err(reason) = self.enter(connection, name, who, now) {
            self.remove_room(name);
            return Err(reason);
        }
        self.counters.rooms_opened += 1;
        Ok(())
    }

    fn opened(
        &mut self,
        connection: ConnectionId,
        number: u32,
        member: MemberId,
        deposit: Vec<u8>,
    ) -> Refused {
        let room = RoomName::Code(number);
        let peers =
            self.rooms.get(&room).map(|room| room.present_peers(member)).unwrap_or_default();
        self.send(connection, HostMessage::Opened { number, peers });
        self.deposit(connection, room, deposit)?;
        self.deliver_queue(connection, room, member);
        Ok(())
    }

    /// A Join of a number: a miss until its code is used, but for a member that comes back.
    fn try_code(
        &mut self,
        connection: ConnectionId,
        number: u32,
        who: (MemberId, MemberToken),
        wait: bool,
        now: Instant,
    ) -> Refused {
        let room = self.rooms.get(&RoomName::Code(number));
        let is_member = room.is_some_and(|room| room.is_member((who.0, &who.1)));
        let is_room = room.is_some();
        let is_miss = if is_member {
            false
        } else {
            match self.count_number(connection, number, is_room, now)? {
                Try::Goes { is_miss } => is_miss,
                Try::Asked => return Ok(()),
            }
        };
        self.join_code(connection, number, who, (wait, is_miss), now)
    }

    fn join_code(
        &mut self,
        connection: ConnectionId,
        number: u32,
        who: (MemberId, MemberToken),
        (wait, is_miss): (bool, bool),
        now: Instant,
    ) -> Refused {
        let name = RoomName::Code(number);
        let (member, token) = who;
        let Some(room) = self.rooms.get(&name) else {
            return match self.tombstones.reason(number) {
                // Who waits, waits for the next one with this code.
                None | Some(RefusalReason::CodeUsed | RefusalReason::Expired) if wait => {
                    self.wait(connection, number, (member, token), is_miss, now)
                }
                Some(reason) => Err(reason),
                None => Err(RefusalReason::NoSuchRoom),
            };
        };
        if room.is_locked() && !room.is_member((member, &token)) {
            return if wait && room.is_forsaken() {
                self.wait(connection, number, (member, token), is_miss, now)
            } else {
                Err(RefusalReason::CodeUsed)
            };
        }
        self.enter(connection, name, (member, &token), now)?;
        if let Some(room) = self.rooms.get_mut(&name).filter(|_| is_miss) {
            room.set_miss(member);
        }
        self.joined(connection, name, member);
        Ok(())
    }

    fn join_session(
        &mut self,
        connection: ConnectionId,
        name: RoomName,
        who: Sender<'_>,
        deposit: Option<Vec<u8>>,
        now: Instant,
    ) -> Refused {
        if self.rooms.contains_key(&name) {
            self.enter(connection, name, who, now)?;
        } else {
            self.enter_new(connection, name, who, now)?;
        }
        self.joined(connection, name, who.0);
        match deposit {
            Some(deposit) => self.deposit(connection, name, deposit),
            None => Ok(()),
        }
    }

    fn joined(&mut self, connection: ConnectionId, name: RoomName, member: MemberId) {
        let Some(room) = self.rooms.get(&name) else {
            return;
        };
        let (deposit, peers) = (room.deposit_for(member), room.present_peers(member));
        self.send(connection, HostMessage::Joined { room: name, deposit, peers });
        self.deliver_queue(connection, name, member);
    }

    fn wait(
        &mut self,
        connection: ConnectionId,
        number: u32,
        (member, token): (MemberId, MemberToken),
        is_miss: bool,
        now: Instant,
    ) -> Refused {
        // Who asks again while it waits goes on waiting: a message may have been lost.
        let again = self
            .waiters
            .get_mut(&number)
            .and_then(|waiters| waiters.iter_mut().find(|waiter| waiter.connection == connection));
        if let Some(waiter) = again {
            let is_miss = is_miss || waiter.is_miss;
            *waiter = Waiter { connection, from: waiter.from, member, token, is_miss, since: now };
            self.send(connection, HostMessage::Waiting { number });
            return Ok(());
        }
        let at_number = self.waiters.get(&number).map_or(0, Vec::len);
        let Some(state) = self.connections.get_mut(&connection) else {
            return Ok(());
        };
        let from = state.from;
        if state.waiting.is_some()
            || at_number >= self.limits.members_max
            || !self.waiter_places.take(from)
        {
            return Err(RefusalReason::HostFull);
        }
        state.waiting = Some(number);
        let waiter = Waiter { connection, from, member, token, is_miss, since: now };
        self.waiters.entry(number).or_default().push(waiter);
        self.send(connection, HostMessage::Waiting { number });
        Ok(())
    }

    fn deposit(&mut self, connection: ConnectionId, name: RoomName, deposit: Vec<u8>) -> Refused {
        let room = self.rooms.get_mut(&name).ok_or(RefusalReason::NoSuchRoom)?;
        let member = room.member_of(connection).ok_or(RefusalReason::NotPermitted)?;
        if !room.set_deposit(member, deposit.clone())? {
            return Ok(());
        }
        for peer in room.audience(member) {
            self.send(
                peer,
                HostMessage::Deposited { room: name, from: member, deposit: deposit.clone() },
            );
        }
        Ok(())
    }

    fn relay(
        &mut self,
        connection: ConnectionId,
        name: RoomName,
        to: MemberId,
        payload: Vec<u8>,
        now: Instant,
    ) -> Refused {
        let room = self.rooms.get_mut(&name).ok_or(RefusalReason::NoSuchRoom)?;
        let from = room.member_of(connection).ok_or(RefusalReason::NotPermitted)?;
        if !room.may_talk(from, to) {
            return Err(RefusalReason::UnknownMember);
        }
        self.counters.relayed += 1;
        self.counters.relayed_bytes += payload.len() as u64;
        match room.connection_of(to) {
            Some(peer) => self.send(peer, HostMessage::Relayed { room: name, from, payload }),
            None => {
                let room_for_it =
                    self.queued_bytes.saturating_add(payload.len()) <= self.limits.queued_bytes_max;
                if room_for_it {
                    self.queued_bytes += payload.len();
                    let dropped = room.enqueue(to, from, payload, self.limits.queue_messages_max);
                    self.queued_bytes -= dropped.unwrap_or(0);
                    self.counters.dropped += u64::from(dropped.is_some());
                } else {
                    self.counters.dropped += 1;
                }
                self.next_sweep.get_or_insert(now + SWEEP_INTERVAL);
            }
        }
        Ok(())
    }

    fn lock(
        &mut self,
        connection: ConnectionId,
        number: u32,
        keep: MemberId,
        now: Instant,
    ) -> Refused {
        self.check_opener(connection, number)?;
        let name = RoomName::Code(number);
        let Some(room) = self.rooms.get_mut(&name) else {
            return Err(RefusalReason::NoSuchRoom);
        };
        let was_waiting = !room.is_locked();
        let strangers = room.lock(keep);
        let forgiven = room.take_misses(keep);
        self.waiting_codes = self.waiting_codes.saturating_sub(usize::from(was_waiting));
        self.forgive(forgiven, now);
        self.counters.codes_used += 1;
        for stranger in strangers {
            self.expel(name, stranger, RefusalReason::CodeUsed, now);
        }
        Ok(())
    }

    fn check_opener(&self, connection: ConnectionId, number: u32) -> Refused {
        let room = self.rooms.get(&RoomName::Code(number)).ok_or(RefusalReason::NoSuchRoom)?;
        if room.opener().is_some() && room.member_of(connection) == room.opener() {
            Ok(())
        } else {
            Err(RefusalReason::NotPermitted)
        }
    }

    fn leave(&mut self, connection: ConnectionId, name: RoomName, now: Instant) {
        let Some(room) = self.rooms.get(&name) else {
            return;
        };
        let Some(member) = room.member_of(connection) else {
            return;
        };
        let opener_of_unused = room.opener() == Some(member) && !room.is_locked();
        let audience = room.audience(member);
        if opener_of_unused {
            self.end_room(name, RefusalReason::Expired, now);
            return;
        }
        for peer in audience {
            self.send(peer, HostMessage::PeerLeft { room: name, member });
        }
        self.remove_member(name, member, now);
    }

    /// Counts one try at a room against the address, or refuses it.
    fn count_try(&mut self, connection: ConnectionId, now: Instant) -> Refused {
        let Some(state) = self.connections.get(&connection) else {
            return Ok(());
        };
        if self.tries.take(state.from, &self.limits, now) {
            Ok(())
        } else {
            Err(RefusalReason::TooManyTries)
        }
    }

    /// A free number of few digits, but of so many numbers that few of them lead anywhere; and none that somebody waits for,
    /// who would be let in without the words.
    pub(super) fn free_number(&self, random: u32) -> u32 {
        let remembered = self.tombstones.len().saturating_mul(4);
        let wanted = (self.waiting_codes + 1).saturating_mul(NUMBERS_PER_CODE).max(remembered);
        let range = std::iter::successors(Some(NUMBERS_MIN), |range| range.checked_mul(10))
            .take_while(|range| *range <= NUMBERS_MAX)
            .find(|range| usize::try_from(*range).is_ok_and(|range| range >= wanted))
            .unwrap_or(NUMBERS_MAX);
        let start = random % (range - 1);
        (0..range)
            .map(|step| (start + step) % (range - 1) + 1)
            .find(|number| {
                !self.rooms.contains_key(&RoomName::Code(*number))
                    && self.tombstones.reason(*number).is_none()
                    && !self.waiters.contains_key(number)
            })
            .unwrap_or(u32::MAX)
    }
}

pub(super) const fn room_of(message: &ClientMessage) -> Option<RoomName> {
    match message {
        ClientMessage::Open { number: Some(number), .. }
        | ClientMessage::Lock { number, .. }
        | ClientMessage::Burn { number }
        | ClientMessage::Work { number, .. } => Some(RoomName::Code(*number)),
        ClientMessage::Open { number: None, .. } => None,
        ClientMessage::Join { room, .. }
        | ClientMessage::Deposit { room, .. }
        | ClientMessage::Relay { room, .. }
        | ClientMessage::Leave { room } => Some(*room),
    }
}
