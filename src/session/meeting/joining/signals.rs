//! What the receiver says and hears inside sealed envelopes.

use super::{Joining, Phase};
use crate::link::LinkCommand;
use crate::session::meeting::{MeetingOutput, candidate_from_line};
use crate::signal::message::{Attempt, SignalMessage};
use crate::wire::SessionId;

/// The description in a welcome; `None` where there is none, or it answers another session or epoch.
pub(super) fn answered(
    message: Option<SignalMessage>,
    session: Option<SessionId>,
    joined: u64,
) -> Option<(Attempt, String)> {
    match message? {
        SignalMessage::Answer { attempt, sdp } => Some((attempt, sdp)),
        SignalMessage::ReconnectAnswer { session: of, epoch, attempt, sdp, refusal: None }
            if Some(of) == session && epoch == joined =>
        {
            Some((attempt, sdp))
        }
        SignalMessage::ReconnectAnswer { refusal, .. } => {
            tracing::info!(target: "rejoin::recovery", ?refusal, "the sender refused the connection");
            None
        }
        SignalMessage::Offer { .. }
        | SignalMessage::Candidate { .. }
        | SignalMessage::CandidatesEnd { .. }
        | SignalMessage::ReconnectOffer { .. }
        | SignalMessage::Stored
        | SignalMessage::Bye { .. }
        | SignalMessage::RestartOffer { .. }
        | SignalMessage::RestartAnswer { .. }
        | SignalMessage::RestartRequest => None,
    }
}

impl Joining {
    /// Seals a message for the peer of the link that is up; `false` where there is none, or no host.
    pub fn send(&mut self, message: &SignalMessage) -> bool {
        // The code's room may be gone by now; the session's is where both stay.
        let room = self.session.is_some().then(|| self.joiner.room());
        let Phase::Connected { way } = &mut self.phase else { return false };
        way.room = room.unwrap_or(way.room);
        let Some(sealed) = way.seal(message).filter(|_| self.is_host_up) else { return false };
        self.host(sealed);
        true
    }

    pub(super) fn on_signal(&mut self, message: SignalMessage, attempt: Attempt) {
        match message {
            SignalMessage::Candidate { attempt: of, candidate } if of == attempt => {
                let candidate = candidate_from_line(candidate);
                self.outputs.push_back(MeetingOutput::Link(LinkCommand::AddCandidate(candidate)));
            }
            SignalMessage::RestartAnswer { .. } | SignalMessage::RestartRequest => {
                self.outputs.push_back(MeetingOutput::Restart(message));
            }
            SignalMessage::Bye { word } => self.outputs.push_back(MeetingOutput::Bye(word)),
            SignalMessage::Candidate { .. }
            | SignalMessage::CandidatesEnd { .. }
            | SignalMessage::Offer { .. }
            | SignalMessage::Answer { .. }
            | SignalMessage::ReconnectOffer { .. }
            | SignalMessage::ReconnectAnswer { .. }
            | SignalMessage::RestartOffer { .. }
            | SignalMessage::Stored => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::message::ReconnectRefusal;

    const SESSION: SessionId = SessionId([3; 16]);

    fn answer(session: SessionId, epoch: u64, refusal: Option<ReconnectRefusal>) -> SignalMessage {
        let sdp = "v=0".to_owned();
        SignalMessage::ReconnectAnswer { session, epoch, attempt: Attempt(4), sdp, refusal }
    }

    #[test]
    fn an_answer_of_another_session_or_epoch_or_a_refusal_is_none() {
        let take = |message| answered(Some(message), Some(SESSION), 7).map(|(attempt, _)| attempt);
        assert_eq!(take(answer(SESSION, 7, None)), Some(Attempt(4)));
        assert_eq!(take(answer(SESSION, 6, None)), None);
        assert_eq!(take(answer(SessionId([4; 16]), 7, None)), None);
        assert_eq!(take(answer(SESSION, 7, Some(ReconnectRefusal::Busy))), None);
        assert_eq!(take(SignalMessage::Stored), None);
        assert_eq!(answered(None, Some(SESSION), 7), None);
    }
}
