//! What a host stores and relays during a join, and after it: the outermost form of members' messages.

use std::fmt;

use crate::signal::capabilities::CAPABILITIES_BYTES_MAX;
use crate::signal::codec::{self, CodecError};
use crate::signal::message::PLAINTEXT_BYTES_MAX;
use crate::signal::seal::Envelope;

/// Largest deposit: a share, capabilities and an epoch, with room to grow.
pub const DEPOSIT_BYTES_MAX: usize = 512;
/// Largest payload handed to a host for relaying: one envelope with a proof in front of it.
pub const PAYLOAD_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX + 1024;
/// Largest share: a SPAKE2 element is 33 bytes, a nonce 32.
const SHARE_BYTES_MAX: usize = 64;

/// Names a message in the one that answers it, so that a late answer is not taken for a wrong guess.
pub(super) type Name = [u8; 16];

/// What the opener leaves with the host for whoever joins.
#[derive(Clone, bincode::Encode, bincode::Decode)]
pub(super) struct Deposit {
    pub(super) share: Vec<u8>,
    pub(super) capabilities: Vec<u8>,
    /// The last epoch joined, so that a joiner which lost count still picks a newer one.
    pub(super) last_epoch: u64,
}

/// A member's message as the host relays it.
#[derive(Clone, Debug, bincode::Encode, bincode::Decode)]
pub enum JoinPayload {
    /// Joiner to opener.
    Hello(Hello),
    /// Opener to joiner.
    Welcome(Welcome),
    /// Either way, after the join.
    Sealed(Envelope),
    /// Opener to joiner: it will not be. Not authenticated, as the sides share no key: it can only end a join early.
    Rejected(Rejection),
}

/// The joiner's half: it proves first.
#[derive(Clone, bincode::Encode, bincode::Decode)]
pub struct Hello {
    pub(super) answers: Name,
    pub(super) share: Vec<u8>,
    pub(super) capabilities: Vec<u8>,
    pub(super) epoch: u64,
    pub(super) proof: [u8; 32],
    pub(super) first: Envelope,
}

/// The opener's half.
#[derive(Clone, bincode::Encode, bincode::Decode)]
pub struct Welcome {
    pub(super) answers: Name,
    pub(super) proof: [u8; 32],
    pub(super) first: Envelope,
}

/// Why an opener turned a joiner away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode, thiserror::Error)]
pub enum Rejection {
    /// The proof was wrong and the room is burnt.
    #[error("wrong code")]
    WrongCode,
    /// Too many runs were cut off.
    #[error("too many interrupted tries, a fresh code is needed")]
    TooManyRuns,
    /// The sender serves no more receivers.
    #[error("the code was used already")]
    Spent,
}

impl JoinPayload {
    /// The bytes to relay.
    ///
    /// # Errors
    /// If they exceed [`PAYLOAD_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode::<PAYLOAD_BYTES_MAX>(self)
    }

    /// Reads what a host relayed. Nothing in it is to be trusted yet.
    ///
    /// # Errors
    /// If it is not a payload of this version, or a field exceeds its limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let payload: Self = codec::decode::<_, PAYLOAD_BYTES_MAX>(bytes)?;
        if let Self::Hello(hello) = &payload {
            check_size(&hello.share, SHARE_BYTES_MAX)?;
            check_size(&hello.capabilities, CAPABILITIES_BYTES_MAX)?;
        }
        Ok(payload)
    }
}

impl Deposit {
    pub(super) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode::<DEPOSIT_BYTES_MAX>(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let deposit: Self = codec::decode::<_, DEPOSIT_BYTES_MAX>(bytes)?;
        check_size(&deposit.share, SHARE_BYTES_MAX)?;
        Ok(deposit)
    }
}

/// The name of a deposit, or of a hello by its share, which is fresh for every one.
pub(super) fn name(bytes: &[u8]) -> Name {
    let mut name = [0; 16];
    name.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    name
}

const fn check_size(bytes: &[u8], limit: usize) -> Result<(), CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLarge { bytes: bytes.len(), limit });
    }
    Ok(())
}

impl fmt::Debug for Hello {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Hello(epoch {})", self.epoch)
    }
}

impl fmt::Debug for Welcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Welcome(…)")
    }
}
