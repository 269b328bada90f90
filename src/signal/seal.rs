//! Sealed envelopes: the only form in which members' messages pass a host.
//!
//! Keys live as long as one join. A nonce is derived from counter and plaintext under a key of its own, so it cannot
//! repeat with other content, not even in a virtual machine that was resumed twice.

use std::fmt;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use super::codec::CodecError;
use super::keys::{DirectionKeys, JoinId, JoinKeys, derive};
use super::message::{PLAINTEXT_BYTES_MAX, SignalMessage};

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// Who sealed an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Direction {
    /// From the side that joined (role receiver).
    ToOpener,
    /// From the side that opened (role sender).
    ToJoiner,
}

/// A sealed message as the host relays it.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Envelope {
    pub(super) join: JoinId,
    pub(super) direction: Direction,
    pub(super) counter: u64,
    pub(super) nonce: [u8; NONCE_BYTES],
    pub(super) ciphertext: Vec<u8>,
}

/// Why an envelope was not opened, or a message not sealed. None of these ends a join: a host can cause them at will,
/// so they are counted and the envelope is dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Sealed under another join's keys: late, or replayed.
    #[error("the envelope belongs to another join")]
    OtherJoin,
    /// Our own, sent back.
    #[error("the envelope goes the other way")]
    Reflected,
    /// Seen before, or older than one that was.
    #[error("the envelope was seen before or is older than one that was")]
    Replayed,
    /// Altered on the way, or never ours.
    #[error("the envelope is not authentic")]
    Forged,
    /// Larger than any message of ours.
    #[error("the envelope is too large")]
    TooLarge,
    /// 2^64 messages were sealed.
    #[error("the channel is used up")]
    Exhausted,
    /// Authentic, but not a message we know.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Both directions of one join, at one end.
pub struct SealedChannel {
    join: JoinId,
    outgoing: Direction,
    seal_keys: DirectionKeys,
    open_keys: DirectionKeys,
    sealed: u64,
    opened: u64,
}

impl SealedChannel {
    pub(super) fn new(keys: &JoinKeys, outgoing: Direction) -> Self {
        let (seal_keys, open_keys) = match outgoing {
            Direction::ToOpener => (keys.to_opener.clone(), keys.to_joiner.clone()),
            Direction::ToJoiner => (keys.to_joiner.clone(), keys.to_opener.clone()),
        };
        Self { join: keys.join, outgoing, seal_keys, open_keys, sealed: 0, opened: 0 }
    }

    /// The join these keys belong to.
    #[must_use]
    pub const fn join(&self) -> JoinId {
        self.join
    }

    /// Seals one message.
    ///
    /// # Errors
    /// If the message exceeds a limit.
    pub fn seal(&mut self, message: &SignalMessage) -> Result<Envelope, SealError> {
        self.seal_bytes(&message.encode()?)
    }

    /// Opens one envelope.
    ///
    /// # Errors
    /// See [`SealError`]; the channel is unharmed by any of them.
    pub fn open(&mut self, envelope: &Envelope) -> Result<SignalMessage, SealError> {
        Ok(SignalMessage::decode(&self.open_bytes(envelope)?)?)
    }

    pub(super) fn seal_bytes(&mut self, plaintext: &[u8]) -> Result<Envelope, SealError> {
        if plaintext.len() > PLAINTEXT_BYTES_MAX {
            return Err(SealError::TooLarge);
        }
        let counter = self.sealed.checked_add(1).ok_or(SealError::Exhausted)?;
        let derived = derive(
            "rejoin 2026 v1 envelope nonce",
            &self.seal_keys.nonce,
            &[&counter.to_le_bytes(), plaintext],
        );
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&derived[..NONCE_BYTES]);
        let aad = associated(self.join, self.outgoing, counter, &nonce);
        let ciphertext = XChaCha20Poly1305::new(&self.seal_keys.seal.into())
            .encrypt(&XNonce::from(nonce), Payload { msg: plaintext, aad: &aad })
            .map_err(|_| SealError::TooLarge)?;
        self.sealed = counter;
        Ok(Envelope { join: self.join, direction: self.outgoing, counter, nonce, ciphertext })
    }

    pub(super) fn open_bytes(&mut self, envelope: &Envelope) -> Result<Vec<u8>, SealError> {
        if envelope.ciphertext.len() > PLAINTEXT_BYTES_MAX + TAG_BYTES {
            return Err(SealError::TooLarge);
        }
        if envelope.join != self.join {
            return Err(SealError::OtherJoin);
        }
        if envelope.direction == self.outgoing {
            return Err(SealError::Reflected);
        }
        if envelope.counter <= self.opened {
            return Err(SealError::Replayed);
        }
        let aad = associated(envelope.join, envelope.direction, envelope.counter, &envelope.nonce);
        let plaintext = XChaCha20Poly1305::new(&self.open_keys.seal.into())
            .decrypt(
                &XNonce::from(envelope.nonce),
                Payload { msg: &envelope.ciphertext, aad: &aad },
            )
            .map_err(|_| SealError::Forged)?;
        // Only what is authentic moves the counter, or a forged high one would lock the channel.
        self.opened = envelope.counter;
        Ok(plaintext)
    }
}

fn associated(
    join: JoinId,
    direction: Direction,
    counter: u64,
    nonce: &[u8; NONCE_BYTES],
) -> Vec<u8> {
    let direction = match direction {
        Direction::ToOpener => 0,
        Direction::ToJoiner => 1,
    };
    [join.0.as_slice(), &[direction], &counter.to_le_bytes(), nonce].concat()
}

impl fmt::Debug for SealedChannel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "SealedChannel({:?}, sealed {}, opened {})",
            self.outgoing, self.sealed, self.opened
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::keys::{RoomName, Transcript};
    use crate::signal::message::Attempt;

    fn ends(root: u8) -> (SealedChannel, SealedChannel) {
        let transcript = Transcript {
            room: RoomName::Code(1),
            deposit: b"",
            joiner_share: b"",
            joiner_capabilities: b"",
            epoch: 1,
        };
        let keys = JoinKeys::derive(&[root; 32], &transcript);
        (
            SealedChannel::new(&keys, Direction::ToJoiner),
            SealedChannel::new(&keys, Direction::ToOpener),
        )
    }

    fn candidate(number: u64) -> SignalMessage {
        SignalMessage::Candidate {
            attempt: Attempt(number),
            candidate: "candidate:1 1 udp".to_owned(),
        }
    }

    #[test]
    fn carries_both_ways_and_tolerates_loss() {
        let (mut opener, mut joiner) = ends(1);
        for number in 0..5 {
            let envelope = opener.seal(&candidate(number)).unwrap();
            if number != 2 {
                assert_eq!(joiner.open(&envelope).unwrap(), candidate(number));
            }
            let envelope = joiner.seal(&candidate(number)).unwrap();
            assert_eq!(opener.open(&envelope).unwrap(), candidate(number));
        }
    }

    #[test]
    fn refuses_replay_reorder_reflection_and_other_joins() {
        let (mut opener, mut joiner) = ends(1);
        let (mut other, _) = ends(2);
        let first = opener.seal(&candidate(1)).unwrap();
        let second = opener.seal(&candidate(2)).unwrap();
        assert_eq!(joiner.open(&other.seal(&candidate(1)).unwrap()), Err(SealError::OtherJoin));
        assert_eq!(opener.open(&first), Err(SealError::Reflected));
        joiner.open(&second).unwrap();
        assert_eq!(joiner.open(&second), Err(SealError::Replayed));
        assert_eq!(joiner.open(&first), Err(SealError::Replayed));
    }

    #[test]
    fn every_altered_field_is_refused_and_harms_nothing() {
        let (mut opener, mut joiner) = ends(1);
        let envelope = opener.seal(&candidate(1)).unwrap();
        let mut counter = envelope.clone();
        counter.counter = u64::MAX;
        assert_eq!(joiner.open(&counter), Err(SealError::Forged));
        let mut nonce = envelope.clone();
        nonce.nonce[0] ^= 1;
        assert_eq!(joiner.open(&nonce), Err(SealError::Forged));
        for index in 0..envelope.ciphertext.len() {
            let mut altered = envelope.clone();
            altered.ciphertext[index] ^= 0x80;
            assert_eq!(joiner.open(&altered), Err(SealError::Forged));
        }
        let mut redirected = opener.seal(&candidate(2)).unwrap();
        redirected.direction = Direction::ToOpener;
        assert_eq!(opener.open(&redirected), Err(SealError::Forged));
        let mut large = envelope.clone();
        large.ciphertext = vec![0; PLAINTEXT_BYTES_MAX + TAG_BYTES + 1];
        assert_eq!(joiner.open(&large), Err(SealError::TooLarge));
        joiner.open(&envelope).unwrap();
    }

    #[test]
    fn equal_messages_look_different() {
        let (mut opener, _) = ends(1);
        let first = opener.seal(&candidate(1)).unwrap();
        let second = opener.seal(&candidate(1)).unwrap();
        assert_ne!(first.nonce, second.nonce);
        assert_ne!(first.ciphertext, second.ciphertext);
    }
}
