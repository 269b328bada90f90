//! Coming, going and running out of time: every change of who is where passes here.

use super::members::{Room, Sender};
use super::{Command, ConnectionId, InHand, Refused, Rooms};
use crate::signal::keys::RoomName;
use crate::signal::protocol::{CloseReason, HostMessage, RefusalReason};
use crate::time::Instant;
use crate::wire::MemberId;

impl Rooms {
    /// Makes the connection that of the member, and tells those who may know.
    pub(super) fn enter(
        &mut self,
        connection: ConnectionId,
        name: RoomName,
        who: Sender<'_>,
        now: Instant,
    ) -> Refused {
        let (Some(state), Some(room)) =
            (self.connections.get_mut(&connection), self.rooms.get_mut(&name))
        else {
            return Err(RefusalReason::NoSuchRoom);
        };
        // One connection speaks for one member of a room.
        if room.member_of(connection).is_some_and(|member| member != who.0) {
            return Err(RefusalReason::NotPermitted);
        }
        if !state.rooms.contains(&name) && state.rooms.len() >= self.limits.rooms_per_connection_max
        {
            return Err(RefusalReason::HostFull);
        }
        let replaced = room.admit((connection, state.from), who, &self.limits)?;
        state.rooms.insert(name);
        let audience = room.audience(who.0);
        if let Some(old) = replaced.filter(|old| *old != connection) {
            // Only from this room: whatever else the old connection is in ends with it, below.
            self.close(old, CloseReason::Replaced, now);
        }
        for peer in audience {
            self.send(peer, HostMessage::PeerJoined { room: name, member: who.0 });
        }
        Ok(())
    }

    pub(super) fn deliver_queue(
        &mut self,
        connection: ConnectionId,
        name: RoomName,
        member: MemberId,
    ) {
        let queue =
            self.rooms.get_mut(&name).map(|room| room.take_queue(member)).unwrap_or_default();
        self.queued_bytes -= queue.iter().map(|(_, payload)| payload.len()).sum::<usize>();
        for (from, payload) in queue {
            self.send(connection, HostMessage::Relayed { room: name, from, payload });
        }
    }

    fn drop_queue(&mut self, name: RoomName, member: MemberId) {
        let queue =
            self.rooms.get_mut(&name).map(|room| room.take_queue(member)).unwrap_or_default();
        self.counters.dropped += queue.len() as u64;
        self.queued_bytes -= queue.iter().map(|(_, payload)| payload.len()).sum::<usize>();
    }

    /// Removes a member that is told why.
    pub(super) fn expel(
        &mut self,
        name: RoomName,
        member: MemberId,
        reason: RefusalReason,
        now: Instant,
    ) {
        if let Some(connection) = self.rooms.get(&name).and_then(|room| room.connection_of(member))
        {
            self.send(connection, HostMessage::RoomClosed { room: name, reason });
        }
        self.remove_member(name, member, now);
    }

    pub(super) fn remove_member(&mut self, name: RoomName, member: MemberId, now: Instant) {
        let Some(room) = self.rooms.get_mut(&name) else {
            return;
        };
        let Some(removed) = room.remove(member) else {
            return;
        };
        self.queued_bytes -= removed.queued_bytes;
        self.counters.dropped += removed.queued_messages;
        if let Some(state) =
            removed.connection.and_then(|connection| self.connections.get_mut(&connection))
        {
            state.rooms.remove(&name);
            // Time to join another, as after connecting.
            state.since = now;
        }
        if room.is_empty() {
            self.end_room(name, RefusalReason::CodeUsed, now);
        }
    }

    /// Ends a room: everyone in it is told, and the number of a code is remembered.
    pub(super) fn end_room(&mut self, name: RoomName, reason: RefusalReason, now: Instant) {
        let Some(mut room) = self.remove_room(name) else {
            return;
        };
        for member in room.members() {
            let Some(removed) = room.remove(member) else {
                continue;
            };
            self.counters.dropped += removed.queued_messages;
            let Some(connection) = removed.connection else {
                continue;
            };
            if let Some(state) = self.connections.get_mut(&connection) {
                state.rooms.remove(&name);
                state.since = now;
            }
            self.send(connection, HostMessage::RoomClosed { room: name, reason });
        }
        if let RoomName::Code(number) = name {
            let reason = if room.is_locked() { RefusalReason::CodeUsed } else { reason };
            self.tombstones.bury(number, reason, self.limits.tombstones_max, now);
        }
    }

    /// Takes a room out with all that is counted of it; who is in it does not know.
    pub(super) fn remove_room(&mut self, name: RoomName) -> Option<Room> {
        let room = self.rooms.remove(&name)?;
        self.room_places.give_back(room.owner());
        self.queued_bytes = self.queued_bytes.saturating_sub(room.queued_bytes());
        if room.opener().is_some() && !room.is_locked() {
            self.waiting_codes = self.waiting_codes.saturating_sub(1);
        }
        Some(room)
    }

    pub(super) fn close(&mut self, connection: ConnectionId, reason: CloseReason, now: Instant) {
        if self.forget(connection, now) {
            self.counters.connections_closed += 1;
            self.commands.push_back(Command::Close { connection, reason });
        }
    }

    /// Forgets a connection; its members are absent. False if it was not known.
    pub(super) fn forget(&mut self, connection: ConnectionId, now: Instant) -> bool {
        let Some(state) = self.connections.remove(&connection) else {
            return false;
        };
        self.connection_places.give_back(state.from);
        if let Some(number) = state.waiting {
            self.forget_waiter(number, connection);
        }
        for name in state.rooms {
            let Some(room) = self.rooms.get_mut(&name) else {
                continue;
            };
            // A replaced connection is not the member's any more.
            let Some(member) = room.member_of(connection) else {
                continue;
            };
            room.set_absent(member, now);
            for peer in room.audience(member) {
                self.send(peer, HostMessage::PeerLeft { room: name, member });
            }
        }
        true
    }

    /// One connection waits no longer.
    fn forget_waiter(&mut self, number: u32, connection: ConnectionId) {
        if let Some(waiters) = self.waiters.get_mut(&number) {
            waiters.retain(|waiter| {
                let is_other = waiter.connection != connection;
                if !is_other {
                    self.waiter_places.give_back(waiter.from);
                }
                is_other
            });
            if waiters.is_empty() {
                self.waiters.remove(&number);
            }
        }
    }

    pub(super) fn close_those_without_a_room(&mut self, now: Instant) {
        let late: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, state)| {
                state.rooms.is_empty()
                    && state.waiting.is_none()
                    && !state.toll.is_asked(now)
                    && now.saturating_duration_since(state.since) >= self.limits.join_deadline
            })
            .map(|(connection, _)| *connection)
            .collect();
        for connection in late {
            self.close(connection, CloseReason::TooLate, now);
        }
    }

    pub(super) fn expire_waiters(&mut self, now: Instant) {
        let mut expired = Vec::new();
        let lifetime = self.limits.waiter_lifetime;
        self.waiters.retain(|number, waiters| {
            waiters.retain(|waiter| {
                let over = now.saturating_duration_since(waiter.since) >= lifetime;
                if over {
                    expired.push((*number, waiter.connection));
                    self.waiter_places.give_back(waiter.from);
                }
                !over
            });
            !waiters.is_empty()
        });
        for (number, connection) in expired {
            if let Some(state) = self.connections.get_mut(&connection) {
                state.waiting = None;
                state.since = now;
            }
            self.send(
                connection,
                HostMessage::Refused {
                    room: Some(RoomName::Code(number)),
                    reason: RefusalReason::NoSuchRoom,
                },
            );
        }
    }

    pub(super) fn expire_members_and_rooms(&mut self, now: Instant) {
        let mut gone = Vec::new();
        let mut over = Vec::new();
        for (name, room) in &mut self.rooms {
            if room.is_expired(&self.limits, now) {
                over.push(*name);
                continue;
            }
            for member in room.long_absent(self.limits.absence, now) {
                gone.push((*name, member));
            }
        }
        for name in over {
            self.in_hand.room = Some(name);
            self.end_room(name, RefusalReason::Expired, now);
        }
        for (name, member) in gone {
            self.in_hand.room = Some(name);
            if self.rooms.get(&name).is_some_and(|room| room.opener() == Some(member)) {
                // The opener's record stays until the lease ends: with it would go the proof of being the same.
                self.drop_queue(name, member);
            } else {
                self.remove_member(name, member, now);
            }
        }
        self.in_hand = InHand::default();
    }

    /// Says it, unless what came before closed the connection: who is gone hears nothing.
    pub(super) fn send(&mut self, connection: ConnectionId, message: HostMessage) {
        #[cfg(test)]
        self.meet_fault();
        if self.connections.contains_key(&connection) {
            self.commands.push_back(Command::Send { connection, message });
        }
    }

    #[cfg(test)]
    pub(in crate::signal) fn inject(&mut self, fault: super::Fault) {
        self.fault = Some(fault);
    }

    #[cfg(test)]
    fn meet_fault(&mut self) {
        let in_hand = self.in_hand.room;
        if let Some(fault) = self.fault.as_mut().filter(|fault| in_hand == Some(fault.room)) {
            if fault.after == 0 {
                self.fault = None;
                // Without a word, unlike `panic!`.
                std::panic::resume_unwind(Box::new("injected"));
            }
            fault.after -= 1;
        }
    }
}
