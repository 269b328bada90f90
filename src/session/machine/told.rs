//! What the user says, and what the role stored for the machine.

use super::{Meeting, Session, Transfer};
use crate::session::meeting::Work;
use crate::signal::code::Code;
use crate::time::Instant;
use crate::transfer::disk::TargetState;
use crate::transfer::receiver::{Answer, Receiver};
use crate::wire::{SessionId, SessionSecret};

impl Session {
    /// The user answered.
    pub fn handle_answer(&mut self, answer: Answer, now: Instant) {
        if let Transfer::Receiver(receiver) = &mut self.transfer {
            receiver.handle_answer(answer, now);
        }
        self.drain(now);
    }

    /// Sender: what `SessionOutput::Pair` asked for is durable.
    pub fn handle_stored(&mut self, now: Instant) {
        if let Meeting::Opening(opening) = &mut self.meeting {
            opening.handle_stored(now);
        }
        self.drain(now);
    }

    /// Receiver: what `SessionOutput::Pair` asked for is durable, and the store of the session is open.
    pub fn handle_paired(
        &mut self,
        session: SessionId,
        secret: &SessionSecret,
        epoch: u64,
        state: TargetState,
        now: Instant,
    ) {
        if let Transfer::Unpaired(config) = &self.transfer {
            self.transfer =
                Transfer::Receiver(Box::new(Receiver::new(session, config.clone(), state)));
        }
        if let Meeting::Joining(joining) = &mut self.meeting {
            joining.handle_stored(session, secret, epoch, now);
        }
        self.drain(now);
    }

    /// Work that the host asked for is done.
    pub fn handle_worked(&mut self, work: &Work, nonce: u64, now: Instant) {
        match &mut self.meeting {
            Meeting::Opening(opening) => opening.handle_worked(work, nonce),
            Meeting::Joining(joining) => joining.handle_worked(work, nonce),
        }
        self.drain(now);
    }

    /// Sender: the user invites a receiver that lost its record.
    pub fn handle_invitation(&mut self, code: Code, now: Instant) {
        if let Meeting::Opening(opening) = &mut self.meeting
            && let Err(error) = opening.handle_invitation(code, now)
        {
            self.fail(error);
        }
        self.drain(now);
    }
}
