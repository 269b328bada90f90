//! What becomes of a code that somebody guessed at.

use super::Opening;
use super::doors::{burnt_too_often, code_door, join_error, unusable};
use crate::event::Event;
use crate::session::meeting::MeetingOutput;
use crate::signal::RoomName;
use crate::signal::code::Code;
use crate::signal::join::{JoinError, Opener, Rejection};
use crate::signal::protocol::ClientMessage;
use crate::wire::MemberId;
use std::time::Instant;

/// Fresh codes in one run for those that somebody burnt: each is one guess more.
pub(super) const FRESH_CODES_MAX: u32 = 3;

impl Opening {
    /// A guess: the room burns. A sender that is paired goes on with its receiver; one that nobody met offers another code,
    /// unless its user chose this one.
    pub(super) fn on_wrong_code(&mut self, room: RoomName, from: MemberId, now: Instant) {
        if let Ok(payload) = Opener::rejection(Rejection::WrongCode) {
            self.host(ClientMessage::Relay { room, to: from, payload });
        }
        if let RoomName::Code(number) = room {
            self.host(ClientMessage::Burn { number });
        }
        let Some(burnt) = self.code.take() else { return };
        if self.was_paired {
            self.warn(
                "invitation",
                "somebody tried a wrong code, so it is good for nothing any more; `rejoin sessions invite` makes \
                 another one"
                    .to_owned(),
            );
        } else if self.config.is_code_fixed {
            self.fail(join_error(&JoinError::WrongCode));
        } else if self.fresh_codes == FRESH_CODES_MAX {
            self.fail(burnt_too_often());
        } else {
            self.fresh_codes += 1;
            self.warn(
                "code_burnt",
                format!(
                    "somebody tried a wrong code, so it is good for nothing any more; here is a fresh one ({} of {FRESH_CODES_MAX})",
                    self.fresh_codes
                ),
            );
            let words = burnt.code.word_count();
            let fresh = Code::unnumbered(words, &self.entropy.next_seed());
            match code_door(fresh, &self.config, &mut self.entropy) {
                Ok(mut door) => {
                    door.was_used = burnt.was_used;
                    self.code = Some(door);
                    self.enter(now);
                }
                Err(error) => self.fail(unusable(error)),
            }
        }
    }

    pub(super) fn warn(&mut self, code: &str, message: String) {
        let event = Event::Warning { code: code.to_owned(), message };
        self.outputs.push_back(MeetingOutput::Event(event));
    }
}
