//! The answer to a receiver that begins, before it asks: half a round trip earlier than its request can be here.
//!
//! A guess of what the request will say. If it says anything else, the answer was none: both sides forget it, and the
//! usual one follows.

use super::link_run::LinkRun;
use super::plan::{Plan, Recovery};
use super::{Sender, SenderOutput};
use crate::transfer::manifest::Chain;
use crate::transfer::message::{Message, RecoveryRequest};
use crate::transfer::ranges::Ranges;

impl Sender {
    /// Answers a request that has nothing.
    pub(super) fn answer_early(&mut self) {
        let Some(run) = &mut self.run else { return };
        run.is_early = true;
        run.recovery = Some(Recovery {
            pages: 0,
            chain: Chain::start(self.session),
            undecided: Ranges::new(),
            plan: Plan::default(),
            is_answered: true,
        });
        self.send_data(&Message::EarlyAnswer);
        self.advance();
    }

    /// Only a receiver to which the early answer is one says these before it got another: where a stack lost the request,
    /// they stand for it.
    pub(super) fn hear_early(&mut self, message: &Message) {
        if matches!(
            message,
            Message::Want { .. } | Message::Resend { .. } | Message::Complete { .. }
        ) {
            self.confirm_early();
        }
    }

    fn confirm_early(&mut self) {
        let Some(run) = self.run.as_mut().filter(|run| run.is_early) else { return };
        run.is_early = false;
        self.was_asked = true;
        self.outputs.push_back(SenderOutput::Answered { kept_bytes: 0 });
    }

    /// The request came: `true` where it is what was answered.
    pub(super) fn settle_early(&mut self, request: &RecoveryRequest) -> bool {
        let Some(run) = self.run.as_mut().filter(|run| run.is_early) else { return false };
        if request.has_nothing() {
            self.confirm_early();
            return true;
        }
        // What waits for the channel goes out all the same: a message that was begun must end.
        let frames = std::mem::take(&mut run.frames);
        self.stale_replies += run.in_flight.len();
        self.run = Some(LinkRun { frames, ..LinkRun::default() });
        false
    }
}
