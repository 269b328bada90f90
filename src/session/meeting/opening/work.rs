//! A host that wants work to be shown before it lets us take a number.

use super::Opening;
use crate::session::meeting::{MeetingOutput, Work};
use crate::signal::protocol::ClientMessage;
use crate::signal::work::Challenge;

impl Opening {
    /// The work is done: it is shown, and the room is asked for again. What another connection of the host asked for is of no
    /// use any more.
    pub fn handle_worked(&mut self, work: &Work, nonce: u64) {
        if self.work.take_if(|wanted| wanted == work).is_some() {
            self.host(ClientMessage::Work { number: work.number, nonce });
            self.open_code();
        }
    }

    pub(super) fn on_work_needed(&mut self, number: u32, challenge: Challenge, bits: u8) {
        if self.code.as_ref().is_none_or(|door| door.code.number() != Some(number)) {
            return;
        }
        match Work::asked(number, challenge, bits, &mut self.works_in_a_row) {
            Ok(work) => {
                self.work = Some(work);
                self.outputs.push_back(MeetingOutput::Work(work));
            }
            // Its members have a room of their own.
            Err(error) if self.has_peer() => {
                tracing::warn!(target: "rejoin::signal", %error, "the code's room is not asked for");
                self.code = None;
            }
            Err(error) => self.fail(error),
        }
    }
}
