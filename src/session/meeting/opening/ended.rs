//! Rooms of codes that are good for nothing any more, where the host could not be told so: whoever is in one waits for nobody.

use super::Opening;
use super::doors::CodeDoor;
use crate::signal::protocol::ClientMessage;
use crate::wire::MemberId;

/// Rooms that wait to be ended, at most: the code of the run and its fresh ones.
const ROOMS_MAX: usize = 4;

/// How a code's room ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum RoomEnd {
    /// Nobody gets in any more.
    Burn,
    /// Nobody but this member.
    Lock(MemberId),
}

impl RoomEnd {
    const fn message(self, number: u32) -> ClientMessage {
        match self {
            Self::Burn => ClientMessage::Burn { number },
            Self::Lock(keep) => ClientMessage::Lock { number, keep },
        }
    }
}

impl Opening {
    /// Ends a code's room: now, or once the host is back and has opened it to us again.
    pub(super) fn end_room(&mut self, door: CodeDoor, end: RoomEnd) {
        if self.is_host_up && door.is_open {
            self.host(end.message(door.code.room()));
        } else if door.code.number().is_some() && self.ended.len() < ROOMS_MAX {
            self.ended.push((door, end));
        }
    }

    pub(super) fn enter_ended(&mut self) {
        let messages: Vec<_> =
            self.ended.iter().map(|(door, _)| self.open_message(door, false)).collect();
        for message in messages {
            self.host(message);
        }
    }

    /// The host opened this room. Whether it was one to be ended; it is.
    pub(super) fn end_opened(&mut self, number: u32) -> bool {
        let Some((_, end)) = self.take_ended(number) else { return false };
        self.host(end.message(number));
        true
    }

    /// The host did not open this room: nobody waits in it. Whether it was one to be ended.
    pub(super) fn take_ended(&mut self, number: u32) -> Option<(CodeDoor, RoomEnd)> {
        let at = self.ended.iter().position(|(door, _)| door.code.number() == Some(number))?;
        Some(self.ended.swap_remove(at))
    }
}
