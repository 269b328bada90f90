//! A host that wants work to be shown before it lets us into a code's room.

use super::Joining;
use crate::session::meeting::{MeetingOutput, Work};
use crate::signal::RoomName;
use crate::signal::protocol::ClientMessage;
use crate::signal::work::Challenge;

impl Joining {
    /// The work is done: it is shown, and the room is asked for again. What another connection of the host asked for is of no
    /// use any more.
    pub fn handle_worked(&mut self, work: &Work, nonce: u64) {
        if self.work.take_if(|wanted| wanted == work).is_none() {
            return;
        }
        self.host(ClientMessage::Work { number: work.number, nonce });
        if self.joiner.room() == RoomName::Code(work.number) {
            self.enter();
        } else {
            self.look_at_code();
        }
    }

    pub(super) fn on_work_needed(&mut self, number: u32, challenge: Challenge, bits: u8) {
        match Work::asked(number, challenge, bits, &mut self.works_in_a_row) {
            Ok(work) => {
                self.work = Some(work);
                self.outputs.push_back(MeetingOutput::Work(work));
            }
            // A stored session does without the code's room.
            Err(error) if self.session.is_some() => {
                tracing::warn!(target: "rejoin::signal", %error, "a code's room is not asked for");
            }
            Err(error) => self.fail(error),
        }
    }

    pub(super) fn is_at_work(&self, room: RoomName) -> bool {
        self.work.is_some_and(|work| room == RoomName::Code(work.number))
    }
}
