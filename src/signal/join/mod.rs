//! Joining: two members who share the words of a code, or the secret of a session, become sure of each other.
//!
//! Both kinds take the same three flights, and the first waits at the host:
//!
//! ```text
//!   opener (role sender)            host                joiner (role receiver)
//!     Deposit {share, caps} ────────► │
//!                                     │ ◄──────────────────── joins, is given the deposit
//!     ◄──────────────────────────────────── Hello {share, caps, epoch, proof, sealed offer}
//!     Welcome {proof, sealed session id, answer} ──────────►
//!     ◄──────────────────────────────────── sealed Stored, when the secret is on its disk
//!     locks the code's room ────────► │
//! ```
//!
//! The joiner proves first. A share is a SPAKE2 element (code) or a nonce (session). Proofs and keys are derived from
//! the whole transcript, so a host that changes a byte of a share or of capabilities makes the proof fail. For a code
//! that burns the room: it is what a wrong guess looks like. Nothing else does.
//!
//! Pure: no I/O, no clock; randomness comes as a [`Seed`].

mod joiner;
mod opener;
mod payload;
#[cfg(test)]
mod tests;

pub use joiner::{Admitted, Greeting, Joiner};
pub use opener::{Opener, Proved};
use payload::Deposit;
pub use payload::{DEPOSIT_BYTES_MAX, Hello, JoinPayload, PAYLOAD_BYTES_MAX, Rejection, Welcome};

use crate::wire::SessionSecret;

use super::capabilities::Capabilities;
use super::codec::CodecError;
use super::keys::{JoinKeys, RoomName, Seed, Transcript, derive};
use super::pake::{Pake, PakeError, Side};
use super::seal::SealError;

/// Runs of the key exchange for one code, in all: each is one guess for a host that lies.
pub const RUNS_MAX: u32 = 3;

/// Of the nonce in the deposit of a session, and of the tag behind it.
const NONCE_BYTES: usize = 16;

/// Why a join, or one message of it, failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The words differ, or the host altered something; the room is burnt. Exit code 3.
    #[error("wrong code")]
    WrongCode,
    /// The other side does not know the session's secret, or the host altered something. Nothing is burnt.
    #[error("the other side did not prove that it knows this session")]
    ProofRefused,
    /// Answers a deposit that has been replaced: late or replayed. Ignore it.
    #[error("the message answers an outdated deposit")]
    Stale,
    /// Another member is being paired. Ignore it.
    #[error("another member is joining")]
    Busy,
    /// Not newer than the last epoch.
    #[error("epoch {epoch} is not newer than {last}")]
    StaleEpoch {
        /// Epoch of the message.
        epoch: u64,
        /// Last one joined.
        last: u64,
    },
    /// The message claims to be from somebody else, or from ourselves.
    #[error("the message is not from the member that sent it")]
    WrongMember,
    /// The key exchange was cut off [`RUNS_MAX`] times; a person must start over with a fresh code.
    #[error("the connection was lost {RUNS_MAX} times while pairing, a fresh code is needed")]
    TooManyRuns,
    /// The code was used, or its room burnt.
    #[error("the code was used already")]
    Spent,
    /// The other side refused.
    #[error("the other side refused: {0}")]
    Rejected(Rejection),
    /// Not expected in this state. Ignore it.
    #[error("unexpected message")]
    Unexpected,
    /// The other side's element is no element. Ignore it.
    #[error(transparent)]
    Pake(#[from] PakeError),
    /// Not a message of ours. Ignore it.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The first payload did not open although the proof was right.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl JoinError {
    /// Whether the opener must burn the code's room and both sides give up (exit code 3).
    #[must_use]
    pub const fn burns_room(&self) -> bool {
        matches!(self, Self::WrongCode)
    }
}

/// What is shared before the join.
enum Credential {
    Words { room: u32, password: Vec<u8> },
    Secret(SessionSecret),
}

impl Credential {
    fn room(&self) -> RoomName {
        match self {
            Self::Words { room, .. } => RoomName::Code(*room),
            Self::Secret(secret) => RoomName::of_session(secret),
        }
    }

    const fn is_code(&self) -> bool {
        matches!(self, Self::Words { .. })
    }

    /// What this side shows: a SPAKE2 element, or a nonce.
    fn share(&self, side: Side, seed: &Seed) -> Vec<u8> {
        match self {
            Self::Words { room, password } => {
                Pake::new(side, password.clone(), *room, seed.clone()).element()
            }
            Self::Secret(_) => derive("rejoin 2026 v1 join nonce", seed.bytes(), &[]).to_vec(),
        }
    }

    /// The opener's deposit. In a session its share is half a nonce and half a proof of the whole, so that a host
    /// cannot make one up: a fresh deposit is what ends the link before it.
    fn deposit(
        &self,
        seed: &Seed,
        capabilities: &Capabilities,
        last_epoch: u64,
    ) -> Result<Vec<u8>, CodecError> {
        let mut share = self.share(Side::Opener, seed);
        let capabilities = capabilities.encode()?;
        if let Self::Secret(secret) = self {
            let tag = deposit_tag(secret, &share[..NONCE_BYTES], &capabilities, last_epoch);
            share.splice(NONCE_BYTES.., tag);
        }
        Deposit { share, capabilities, last_epoch }.encode()
    }

    /// Whether a deposit was made by who knows the credential; that of a code proves nothing yet.
    fn admits(&self, deposit: &Deposit) -> bool {
        let Self::Secret(secret) = self else { return true };
        let Some((nonce, tag)) = deposit.share.split_at_checked(NONCE_BYTES) else { return false };
        let expected = deposit_tag(secret, nonce, &deposit.capabilities, deposit.last_epoch);
        // `Hash` compares in constant time.
        blake3::hash(tag) == blake3::hash(&expected)
    }

    /// Keys of the join. Nonces need no check: they are in the transcript, as deposited and as sent.
    fn keys(
        &self,
        side: Side,
        seed: &Seed,
        theirs: &[u8],
        transcript: &Transcript<'_>,
    ) -> Result<JoinKeys, JoinError> {
        let root = match self {
            Self::Words { room, password } => {
                Pake::new(side, password.clone(), *room, seed.clone()).finish(theirs)?
            }
            Self::Secret(secret) => secret.0,
        };
        Ok(JoinKeys::derive(&root, transcript))
    }

    const fn wrong_proof(&self) -> JoinError {
        if self.is_code() { JoinError::WrongCode } else { JoinError::ProofRefused }
    }

    fn new_secret(&self, keys: &JoinKeys) -> Option<SessionSecret> {
        self.is_code().then(|| keys.session_secret.clone())
    }
}

/// Proves that the deposit of a session comes from a member of it.
fn deposit_tag(
    secret: &SessionSecret,
    nonce: &[u8],
    capabilities: &[u8],
    last_epoch: u64,
) -> [u8; NONCE_BYTES] {
    let fields = [nonce, capabilities, &last_epoch.to_le_bytes()];
    let tag = derive("rejoin 2026 v1 session deposit", &secret.0, &fields);
    std::array::from_fn(|at| tag[at])
}
