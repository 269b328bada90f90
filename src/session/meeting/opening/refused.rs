//! What becomes of a room that the host does not open, or closes.

use super::doors::{code_door, refusal, unusable};
use super::{ENTER_RETRY, Opening};
use crate::signal::RoomName;
use crate::signal::code::UNNUMBERED;
use crate::signal::protocol::RefusalReason;
use crate::time::Instant;

impl Opening {
    pub(super) fn on_refused(
        &mut self,
        room: Option<RoomName>,
        reason: RefusalReason,
        now: Instant,
    ) {
        if matches!(room, Some(RoomName::Session(_))) {
            // A session that is stored outlives whatever a host says; a full one may have room later.
            tracing::warn!(target: "rejoin::signal", %reason, "the host refused the session's room");
            self.enter_at = Some(now + ENTER_RETRY);
            return;
        }
        if let Some(RoomName::Code(number)) = room
            && self.take_ended(number).is_some()
        {
            return;
        }
        let Some(door) = self.code.as_mut() else { return };
        if room.is_some_and(|room| room != RoomName::Code(door.code.room())) {
            return;
        }
        let may_move = door.may_move && !door.is_open;
        if matches!(
            reason,
            RefusalReason::Taken
                | RefusalReason::CodeUsed
                | RefusalReason::Burnt
                | RefusalReason::WrongToken
        ) && may_move
        {
            let (code, is_invitation) =
                (door.code.clone().with_room(UNNUMBERED), door.is_invitation);
            match code_door(code, &self.config, &mut self.entropy) {
                Ok(mut moved) => {
                    moved.is_invitation = is_invitation;
                    self.code = Some(moved);
                }
                Err(error) => return self.fail(unusable(error)),
            }
            return self.open_code();
        }
        // A host that has no room for it now, as after its restart with many who come back, may have some later.
        if door.is_open && matches!(reason, RefusalReason::TooManyTries | RefusalReason::HostFull) {
            self.enter_at = Some(now + ENTER_RETRY);
            return;
        }
        // Paired members have their own room: what becomes of the code's is nothing to them. A code that the user chose and
        // waits for is to be had, or an error.
        let is_due = door.is_invitation && !door.is_open;
        if (self.was_paired || door.was_used) && !(is_due && self.config.is_code_fixed) {
            if door.is_invitation {
                self.warn(
                    "invitation",
                    format!("the invitation cannot be used any more: {reason}"),
                );
            }
            self.code = None;
            return;
        }
        if reason != RefusalReason::UnknownMember {
            self.fail(refusal(reason));
        }
    }
}
