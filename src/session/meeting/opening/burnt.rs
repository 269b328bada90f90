//! What becomes of a code that somebody guessed at, or that has had all its runs.

use super::Opening;
use super::doors::{CodeDoor, burnt_too_often, code_door, join_error, unusable};
use super::ended::RoomEnd;
use crate::event::Event;
use crate::session::meeting::MeetingOutput;
use crate::signal::RoomName;
use crate::signal::code::Code;
use crate::signal::join::{JoinError, Opener, Rejection};
use crate::signal::protocol::ClientMessage;
use crate::time::Instant;
use crate::wire::MemberId;

/// Fresh codes in one run for those that somebody burnt: each is one guess more.
pub(super) const FRESH_CODES_MAX: u32 = 3;

/// What a fresh code has of the one before.
#[derive(Clone, Copy)]
struct OldCode {
    words: usize,
    was_used: bool,
}

impl OldCode {
    fn of(door: &CodeDoor) -> Self {
        Self { words: door.code.word_count(), was_used: door.was_used }
    }
}

impl Opening {
    /// A guess: the room burns. A sender that is paired goes on with its receiver; one that nobody met offers another code,
    /// unless its user chose this one.
    pub(super) fn on_wrong_code(&mut self, room: RoomName, from: MemberId, now: Instant) {
        if let Ok(payload) = Opener::rejection(Rejection::WrongCode) {
            self.host(ClientMessage::Relay { room, to: from, payload });
        }
        let Some(burnt) = self.code.take() else { return };
        let old = OldCode::of(&burnt);
        self.end_room(burnt, RoomEnd::Burn);
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
            self.offer_fresh_code(old, "somebody tried a wrong code, so it", now);
        }
    }

    /// The code has had all its runs, each cut off. Whether the receiver has the session's secret is known to nobody here: if it
    /// has, it comes by the session's own room; if it has not, it hears that the code is used up, and needs another one.
    pub(super) fn on_runs_used_up(&mut self, now: Instant) {
        let Some(used) = self.code.take() else { return };
        let old = OldCode::of(&used);
        self.end_room(used, RoomEnd::Burn);
        if self.was_paired {
            return;
        }
        let what = "the connection was lost three times before the receiver was known, so the code";
        if self.config.is_code_fixed || self.fresh_codes == FRESH_CODES_MAX {
            self.warn(
                "code_used_up",
                format!("{what} is good for nothing any more; only a receiver that had stored the session can continue"),
            );
        } else {
            self.offer_fresh_code(old, what, now);
        }
    }

    fn offer_fresh_code(&mut self, old: OldCode, what: &str, now: Instant) {
        self.fresh_codes += 1;
        self.warn(
            "code_burnt",
            format!(
                "{what} is good for nothing any more; here is a fresh one ({} of {FRESH_CODES_MAX})",
                self.fresh_codes
            ),
        );
        let fresh = Code::unnumbered(old.words, &self.entropy.next_seed());
        match code_door(fresh, &self.config, &mut self.entropy) {
            Ok(mut door) => {
                door.was_used = old.was_used;
                self.code = Some(door);
                self.enter(now);
            }
            Err(error) => self.fail(unusable(error)),
        }
    }

    pub(super) fn warn(&mut self, code: &str, message: String) {
        let event = Event::Warning { code: code.to_owned(), message };
        self.outputs.push_back(MeetingOutput::Event(event));
    }
}
