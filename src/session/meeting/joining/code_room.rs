//! A code that is named beside a stored session may be offered again, by a sender that knows nothing of the session.

use super::Joining;
use crate::session::meeting::MeetingOutput;
use crate::signal::protocol::ClientMessage;
use crate::signal::{MemberToken, RoomName};
use crate::time::Instant;
use std::time::Duration;

/// How long the session's room is preferred to the code's, where the sender is in the one and not in the other.
const CODE_GRACE: Duration = Duration::from_secs(2);

impl Joining {
    /// Enters the room of the code that the user named beside the stored session.
    pub(super) fn look_at_code(&mut self) {
        let Some(code) = self.config.code.as_ref().filter(|_| self.session.is_some()) else {
            return;
        };
        let room = RoomName::Code(code.room());
        let token = MemberToken::for_room(&self.config.token_key, room);
        self.host(ClientMessage::Join {
            room,
            member: self.config.member,
            token,
            deposit: None,
            wait: true,
        });
    }

    pub(super) fn is_code_room(&self, room: RoomName) -> bool {
        let code = self.config.code.as_ref().filter(|_| self.session.is_some() && !self.was_up);
        code.is_some_and(|code| room == RoomName::Code(code.room()))
    }

    /// Somebody offers the code: the session's own sender gets a little time to show up.
    pub(super) fn on_code_offered(&mut self, now: Instant) {
        if self.deposit.is_none() && !self.is_up() {
            self.switch_at.get_or_insert(now + CODE_GRACE);
        }
    }

    /// Leaves the session for what the code is offered for now.
    pub(super) fn switch(&mut self) {
        self.is_over = true;
        self.switch_at = None;
        self.outputs.push_back(MeetingOutput::StopLink);
        self.outputs.push_back(MeetingOutput::CodeOffered);
    }
}
