//! A member that lost its record is let back in by a fresh code (F-27).

use super::Opening;
use super::doors::{code_door, unusable};
use super::ended::RoomEnd;
use crate::error::Error;
use crate::signal::code::Code;
use crate::time::Instant;

impl Opening {
    /// The user invites a member that lost its record: it comes by this code. Whatever code there was is replaced.
    ///
    /// # Errors
    /// A code that cannot be used.
    pub fn handle_invitation(&mut self, code: Code, now: Instant) -> Result<(), Error> {
        // The run began with it.
        if self.code.as_ref().is_some_and(|door| door.code == code) {
            return Ok(());
        }
        if let Some(door) = self.code.take() {
            self.end_room(door, RoomEnd::Burn);
        }
        let mut door = code_door(code, &self.config, &mut self.entropy).map_err(unusable)?;
        door.is_invitation = true;
        // Its user was told the number.
        door.may_move = false;
        self.code = Some(door);
        self.enter(now);
        Ok(())
    }
}
