//! What the sender says and hears inside sealed envelopes.

use super::{Opening, OpeningConfig, Phase};
use crate::link::LinkCommand;
use crate::session::meeting::{MeetingOutput, candidate_from_line};
use crate::signal::message::{Attempt, SignalMessage};
use crate::wire::{MemberId, SessionId};

/// How an offer is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfferKind {
    /// By [`SignalMessage::Answer`].
    First,
    /// By [`SignalMessage::ReconnectAnswer`], which echoes these.
    Again { session: SessionId, epoch: u64 },
}

impl OfferKind {
    pub(super) const fn answer(self, attempt: Attempt, sdp: String) -> SignalMessage {
        match self {
            Self::First => SignalMessage::Answer { attempt, sdp },
            Self::Again { session, epoch } => {
                SignalMessage::ReconnectAnswer { session, epoch, attempt, sdp, refusal: None }
            }
        }
    }
}

/// The offer in a hello that proved itself. One of another session, or of another epoch than its join's, is of no use:
/// no correct member sends it.
pub(super) fn offered(
    message: Option<SignalMessage>,
    config: &OpeningConfig,
    joined: u64,
) -> Option<(Attempt, String, OfferKind)> {
    match message? {
        SignalMessage::Offer { attempt, sdp } => Some((attempt, sdp, OfferKind::First)),
        SignalMessage::ReconnectOffer { session, epoch, attempt, sdp } => {
            if session == config.session && epoch == joined {
                return Some((attempt, sdp, OfferKind::Again { session, epoch }));
            }
            tracing::warn!(target: "rejoin::recovery", epoch, joined, "an offer that does not fit its join");
            None
        }
        SignalMessage::Answer { .. }
        | SignalMessage::Candidate { .. }
        | SignalMessage::CandidatesEnd { .. }
        | SignalMessage::ReconnectAnswer { .. }
        | SignalMessage::Stored
        | SignalMessage::Bye { .. }
        | SignalMessage::RestartOffer { .. }
        | SignalMessage::RestartAnswer { .. }
        | SignalMessage::RestartRequest => None,
    }
}

impl Opening {
    /// Seals a message for the peer of the link that is up; `false` where there is none, or no host.
    pub fn send(&mut self, message: &SignalMessage) -> bool {
        // The code's room may be gone by now; the session's is where both stay.
        let room = self.door.as_ref().map(|door| door.opener.room());
        let Phase::Connected { way } = &mut self.phase else { return false };
        way.room = room.unwrap_or(way.room);
        let Some(sealed) = way.seal(message).filter(|_| self.is_host_up) else { return false };
        self.host(sealed);
        true
    }

    pub(super) fn on_signal(&mut self, message: SignalMessage, attempt: Attempt, from: MemberId) {
        match message {
            SignalMessage::Candidate { attempt: of, candidate } if of == attempt => {
                let candidate = candidate_from_line(candidate);
                self.outputs.push_back(MeetingOutput::Link(LinkCommand::AddCandidate(candidate)));
            }
            SignalMessage::Stored => {
                if let Some(door) = &mut self.code {
                    door.opener.handle_stored(from);
                }
                self.spend_code(from);
            }
            SignalMessage::RestartOffer { .. } => {
                self.outputs.push_back(MeetingOutput::Restart(message));
            }
            SignalMessage::Bye { word } => self.outputs.push_back(MeetingOutput::Bye(word)),
            SignalMessage::Candidate { .. }
            | SignalMessage::CandidatesEnd { .. }
            | SignalMessage::Offer { .. }
            | SignalMessage::Answer { .. }
            | SignalMessage::ReconnectOffer { .. }
            | SignalMessage::ReconnectAnswer { .. }
            | SignalMessage::RestartAnswer { .. }
            | SignalMessage::RestartRequest => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::capabilities::Capabilities;

    const SESSION: SessionId = SessionId([3; 16]);

    fn config() -> OpeningConfig {
        let member = MemberId([1; 16]);
        OpeningConfig {
            session: SESSION,
            member,
            capabilities: Capabilities::new(member, 65_536, 0),
            token_key: [0; 32],
            name: String::new(),
            code: None,
            is_code_fixed: false,
            is_confirmed: true,
            secret: None,
        }
    }

    #[test]
    fn an_offer_of_another_session_or_epoch_is_dropped_and_the_answer_echoes_it() {
        let take = |session, epoch| {
            let (attempt, sdp) = (Attempt(4), "v=0".to_owned());
            let offer = SignalMessage::ReconnectOffer { session, epoch, attempt, sdp };
            offered(Some(offer), &config(), 7)
        };
        assert_eq!(take(SESSION, 6), None);
        assert_eq!(take(SessionId([4; 16]), 7), None);
        let (attempt, _, kind) = take(SESSION, 7).unwrap();
        let SignalMessage::ReconnectAnswer { session, epoch, attempt: echoed, refusal, .. } =
            kind.answer(attempt, "v=0".to_owned())
        else {
            panic!("another kind of answer");
        };
        assert_eq!((session, epoch, echoed, refusal), (SESSION, 7, Attempt(4), None));
    }
}
