//! What members say to each other inside sealed envelopes. Append-only: variants and fields are never reordered.

use crate::wire::SessionId;

use super::codec::{self, CodecError};

/// Longest session description: a browser's with host candidates is 2–6 KiB.
pub const SDP_BYTES_MAX: usize = 16 * 1024;
/// Longest candidate line; the longest seen (TCP, mDNS name, related address) is under 300 bytes.
pub const CANDIDATE_BYTES_MAX: usize = 1024;
/// Longest last word: a text of 1,024 bytes, and what stands before it.
pub const BYE_BYTES_MAX: usize = 1100;
/// Longest display name of a member.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest sealed plaintext: a description with its frame.
pub(super) const PLAINTEXT_BYTES_MAX: usize = SDP_BYTES_MAX + 1024;

/// Number of one try to connect, unique within its join; answers and candidates echo it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct Attempt(pub u64);

/// One signaling message between two members.
#[derive(Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum SignalMessage {
    /// A description that starts a connection, or an ICE restart within one. Only the receiver role offers.
    Offer {
        /// The try it belongs to.
        attempt: Attempt,
        /// SDP, at most [`SDP_BYTES_MAX`].
        sdp: String,
    },
    /// The answer to [`Offer`](Self::Offer).
    Answer {
        /// The try it answers.
        attempt: Attempt,
        /// SDP, at most [`SDP_BYTES_MAX`].
        sdp: String,
    },
    /// A candidate found after the description was sent.
    Candidate {
        /// The try it belongs to.
        attempt: Attempt,
        /// The candidate line, at most [`CANDIDATE_BYTES_MAX`].
        candidate: String,
    },
    /// No more candidates come for this try.
    CandidatesEnd {
        /// The try it belongs to.
        attempt: Attempt,
    },
    /// Asks for a new connection of a stored session (F-01).
    ReconnectOffer {
        /// The session to continue.
        session: SessionId,
        /// Epoch of the link to be; newer than any before.
        epoch: u64,
        /// The try it belongs to.
        attempt: Attempt,
        /// SDP, at most [`SDP_BYTES_MAX`].
        sdp: String,
    },
    /// The answer to [`ReconnectOffer`](Self::ReconnectOffer) (F-02): an empty description refuses, with a reason.
    ReconnectAnswer {
        /// The session.
        session: SessionId,
        /// The epoch, echoed.
        epoch: u64,
        /// The try it answers.
        attempt: Attempt,
        /// SDP, or empty if `refusal` is there.
        sdp: String,
        /// Why not.
        refusal: Option<ReconnectRefusal>,
    },
    /// The joiner has the session's secret on its disk: the code is spent.
    Stored,
    /// The member's run ends: its last word on the link, which may wait there behind a second of content.
    Bye {
        /// The frame of that word, at most [`BYE_BYTES_MAX`] bytes; nothing of it is of signaling.
        word: Vec<u8>,
    },
    /// Restarts ICE in the connection that is there (K-18, layer A).
    RestartOffer {
        /// Counts the restarts of a connection from 1; the answer echoes it (K-15).
        generation: u64,
        /// SDP, at most [`SDP_BYTES_MAX`].
        sdp: String,
    },
    /// The answer to [`RestartOffer`](Self::RestartOffer).
    RestartAnswer {
        /// The restart it answers.
        generation: u64,
        /// SDP, at most [`SDP_BYTES_MAX`].
        sdp: String,
    },
    /// The sender asks the receiver, who alone offers, for a restart: its own path is gone (V-20).
    RestartRequest,
}

/// Why a [`SignalMessage::ReconnectOffer`] was not answered with a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum ReconnectRefusal {
    /// Not a session of this member.
    UnknownSession,
    /// A newer epoch was seen.
    StaleEpoch,
    /// The session is complete.
    Finished,
    /// Not now: another try is under way.
    Busy,
}

/// What a member says of itself inside the first sealed payload, where no host reads it (H-08).
#[derive(Clone, Debug, PartialEq, Eq, Default, bincode::Encode, bincode::Decode)]
pub struct Introduction {
    /// Name to show, at most [`NAME_BYTES_MAX`]; untrusted text, to be escaped.
    pub name: String,
    /// The session joined: the opener names it, a joiner that continues one repeats it.
    pub session: Option<SessionId>,
}

/// The first sealed payload of each side.
#[derive(Clone, bincode::Encode, bincode::Decode)]
pub(super) struct FirstPayload {
    pub(super) introduction: Introduction,
    pub(super) message: Option<SignalMessage>,
}

impl SignalMessage {
    fn check(&self) -> Result<(), CodecError> {
        match self {
            Self::Offer { sdp, .. }
            | Self::Answer { sdp, .. }
            | Self::ReconnectOffer { sdp, .. }
            | Self::RestartOffer { sdp, .. }
            | Self::RestartAnswer { sdp, .. } => check_sdp(sdp),
            Self::ReconnectAnswer { sdp, refusal, .. } => match refusal {
                Some(_) if !sdp.is_empty() => Err(CodecError::Malformed),
                Some(_) => Ok(()),
                None => check_sdp(sdp),
            },
            Self::Candidate { candidate, .. } => check_size(candidate, CANDIDATE_BYTES_MAX),
            Self::Bye { word } if word.len() > BYE_BYTES_MAX => {
                Err(CodecError::TooLarge { bytes: word.len(), limit: BYE_BYTES_MAX })
            }
            Self::CandidatesEnd { .. } | Self::Stored | Self::Bye { .. } | Self::RestartRequest => {
                Ok(())
            }
        }
    }

    /// Its bytes, before they are sealed.
    ///
    /// # Errors
    /// If a limit is exceeded.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        self.check()?;
        codec::encode::<PLAINTEXT_BYTES_MAX>(self)
    }

    /// A message from bytes that were sealed.
    ///
    /// # Errors
    /// If it is not one of this version, or a limit is exceeded.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let message: Self = codec::decode::<_, PLAINTEXT_BYTES_MAX>(bytes)?;
        message.check()?;
        Ok(message)
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Offer { .. } => "Offer",
            Self::Answer { .. } => "Answer",
            Self::Candidate { .. } => "Candidate",
            Self::CandidatesEnd { .. } => "CandidatesEnd",
            Self::ReconnectOffer { .. } => "ReconnectOffer",
            Self::ReconnectAnswer { .. } => "ReconnectAnswer",
            Self::Stored => "Stored",
            Self::Bye { .. } => "Bye",
            Self::RestartOffer { .. } => "RestartOffer",
            Self::RestartAnswer { .. } => "RestartAnswer",
            Self::RestartRequest => "RestartRequest",
        }
    }
}

/// Descriptions and candidates hold addresses and ICE passwords, so logs get the kind only.
impl std::fmt::Debug for SignalMessage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FirstPayload {
    pub(super) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        self.check()?;
        codec::encode::<PLAINTEXT_BYTES_MAX>(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let payload: Self = codec::decode::<_, PLAINTEXT_BYTES_MAX>(bytes)?;
        payload.check()?;
        Ok(payload)
    }

    fn check(&self) -> Result<(), CodecError> {
        check_size(&self.introduction.name, NAME_BYTES_MAX)?;
        self.message.as_ref().map_or(Ok(()), SignalMessage::check)
    }
}

const fn check_sdp(sdp: &str) -> Result<(), CodecError> {
    if sdp.is_empty() {
        return Err(CodecError::Malformed);
    }
    check_size(sdp, SDP_BYTES_MAX)
}

const fn check_size(text: &str, limit: usize) -> Result<(), CodecError> {
    if text.len() > limit {
        return Err(CodecError::TooLarge { bytes: text.len(), limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(bytes: usize) -> SignalMessage {
        SignalMessage::Offer { attempt: Attempt(1), sdp: "x".repeat(bytes) }
    }

    fn answer(sdp: &str, refusal: Option<ReconnectRefusal>) -> SignalMessage {
        SignalMessage::ReconnectAnswer {
            session: SessionId([3; 16]),
            epoch: 2,
            attempt: Attempt(1),
            sdp: sdp.to_owned(),
            refusal,
        }
    }

    #[test]
    fn limits_hold_when_encoding_and_when_decoding() {
        assert!(offer(SDP_BYTES_MAX).encode().is_ok());
        assert!(offer(SDP_BYTES_MAX + 1).encode().is_err());
        // What another implementation would send without our check.
        let unchecked =
            codec::encode::<{ 2 * PLAINTEXT_BYTES_MAX }>(&offer(SDP_BYTES_MAX + 1)).unwrap();
        assert!(SignalMessage::decode(&unchecked).is_err());
        let candidate =
            |bytes| SignalMessage::Candidate { attempt: Attempt(1), candidate: "x".repeat(bytes) };
        assert!(candidate(CANDIDATE_BYTES_MAX).encode().is_ok());
        let unchecked =
            codec::encode::<PLAINTEXT_BYTES_MAX>(&candidate(CANDIDATE_BYTES_MAX + 1)).unwrap();
        assert!(SignalMessage::decode(&unchecked).is_err());
    }

    #[test]
    fn a_refusal_has_no_description_and_an_answer_has_one() {
        assert!(answer("v=0", None).encode().is_ok());
        assert!(answer("", Some(ReconnectRefusal::Finished)).encode().is_ok());
        assert!(answer("", None).encode().is_err());
        assert!(answer("v=0", Some(ReconnectRefusal::Busy)).encode().is_err());
    }

    #[test]
    fn names_are_bounded() {
        let payload = |bytes| FirstPayload {
            introduction: Introduction { name: "n".repeat(bytes), session: None },
            message: None,
        };
        assert!(payload(NAME_BYTES_MAX).encode().is_ok());
        assert!(payload(NAME_BYTES_MAX + 1).encode().is_err());
        let unchecked = codec::encode::<PLAINTEXT_BYTES_MAX>(&payload(NAME_BYTES_MAX + 1)).unwrap();
        assert!(FirstPayload::decode(&unchecked).is_err());
    }

    #[test]
    fn golden_bytes() {
        let offer = SignalMessage::Offer { attempt: Attempt(5), sdp: "v=0".to_owned() };
        assert_eq!(offer.encode().unwrap(), [1, 0, 0, 5, 3, b'v', b'=', b'0']);
        assert_eq!(SignalMessage::Stored.encode().unwrap(), [1, 0, 6]);
        assert_eq!(SignalMessage::Bye { word: vec![9, 8] }.encode().unwrap(), [1, 0, 7, 2, 9, 8]);
        let restart = SignalMessage::RestartOffer { generation: 3, sdp: "v=0".to_owned() };
        assert_eq!(restart.encode().unwrap(), [1, 0, 8, 3, 3, b'v', b'=', b'0']);
        let answer = SignalMessage::RestartAnswer { generation: 3, sdp: "v=0".to_owned() };
        assert_eq!(answer.encode().unwrap(), [1, 0, 9, 3, 3, b'v', b'=', b'0']);
        assert_eq!(SignalMessage::RestartRequest.encode().unwrap(), [1, 0, 10]);
    }

    #[test]
    fn debug_shows_no_description() {
        assert_eq!(format!("{:?}", offer(3)), "Offer");
    }
}
