//! What a client and a host say to each other, one WebSocket message each. Append-only.
//!
//! A host sends no free text: whatever a person is shown is ours (H-10).

use std::time::Duration;

use crate::wire::MemberId;

use super::codec::{self, CodecError};
use super::join::{DEPOSIT_BYTES_MAX, PAYLOAD_BYTES_MAX};
use super::keys::{MemberToken, RoomName};
use super::work::Challenge;

/// Largest message either way: a relayed payload is 18 KiB at most. A host keeps that much of each connection whose message
/// is not whole yet.
pub const MESSAGE_BYTES_MAX: usize = 20 * 1024;
/// Members named in one message: more than any room holds.
const PEERS_MAX: usize = 256;

/// From a member to its host.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum ClientMessage {
    /// Opens a code room, or comes back to it with the same token. Answered by [`HostMessage::Opened`].
    Open {
        /// The number wanted, or any small free one.
        number: Option<u32>,
        /// Who opens.
        member: MemberId,
        /// Proves later that it is the same opener.
        token: MemberToken,
        /// For whoever joins; replaces an earlier one.
        deposit: Vec<u8>,
        /// Whether a number whose code was used may be taken again: the user chose it.
        again: bool,
    },
    /// Joins a room; a session's room appears with its first member. Answered by [`HostMessage::Joined`].
    Join {
        /// Which room.
        room: RoomName,
        /// Who joins.
        member: MemberId,
        /// Proves later that it is the same member.
        token: MemberToken,
        /// Of the opener role in a session's room.
        deposit: Option<Vec<u8>>,
        /// Wait for a code room that is not there yet.
        wait: bool,
    },
    /// Replaces this member's deposit.
    Deposit {
        /// Which room.
        room: RoomName,
        /// The new one.
        deposit: Vec<u8>,
    },
    /// Hands a payload to another member; the host does not read it.
    Relay {
        /// Which room.
        room: RoomName,
        /// To whom.
        to: MemberId,
        /// At most [`PAYLOAD_BYTES_MAX`].
        payload: Vec<u8>,
    },
    /// The code is spent: `keep` and the opener stay, everyone else is refused. Opener only.
    Lock {
        /// The code room's number.
        number: u32,
        /// The member that was paired.
        keep: MemberId,
    },
    /// The code is burnt: the room is closed. Opener only.
    Burn {
        /// The code room's number.
        number: u32,
    },
    /// Leaves for good.
    Leave {
        /// Which room.
        room: RoomName,
    },
    /// Shows the work that [`HostMessage::WorkNeeded`] asked for; what was asked for before is to be said again.
    Work {
        /// The code room's number.
        number: u32,
        /// The solution.
        nonce: u64,
    },
}

/// From a host to a member.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum HostMessage {
    /// The code room is open.
    Opened {
        /// Its number.
        number: u32,
        /// Members that are there already, after a reconnection.
        peers: Vec<MemberId>,
    },
    /// The room was joined.
    Joined {
        /// Which room.
        room: RoomName,
        /// Whose deposit, and the deposit, if there is one from another member.
        deposit: Option<(MemberId, Vec<u8>)>,
        /// Members that are there; in a code room only the opener.
        peers: Vec<MemberId>,
    },
    /// The code room is not there yet; [`Joined`](Self::Joined) or [`Refused`](Self::Refused) follows.
    Waiting {
        /// Its number.
        number: u32,
    },
    /// What was asked for is not done. The connection stays.
    Refused {
        /// Which room, if it was about one.
        room: Option<RoomName>,
        /// Why.
        reason: RefusalReason,
    },
    /// A member came, or came back.
    PeerJoined {
        /// Which room.
        room: RoomName,
        /// Who.
        member: MemberId,
    },
    /// A member's connection is gone; what is relayed to it is kept for a while.
    PeerLeft {
        /// Which room.
        room: RoomName,
        /// Who.
        member: MemberId,
    },
    /// A member renewed its deposit.
    Deposited {
        /// Which room.
        room: RoomName,
        /// Whose.
        from: MemberId,
        /// The new one.
        deposit: Vec<u8>,
    },
    /// A payload from another member.
    Relayed {
        /// Which room.
        room: RoomName,
        /// From whom.
        from: MemberId,
        /// As it was handed over.
        payload: Vec<u8>,
    },
    /// The room is no more, or no more for this member.
    RoomClosed {
        /// Which room.
        room: RoomName,
        /// Why.
        reason: RefusalReason,
    },
    /// The last message before the host closes the connection.
    Goodbye {
        /// Why.
        reason: CloseReason,
    },
    /// A try at this number costs work now; nothing else of it was done.
    WorkNeeded {
        /// The code room's number.
        number: u32,
        /// For this connection and number, once.
        challenge: Challenge,
        /// How much.
        bits: u8,
    },
}

/// Why a request was refused, or a room closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode, thiserror::Error)]
pub enum RefusalReason {
    /// Nobody opened it, or it expired long ago.
    #[error("no such room")]
    NoSuchRoom,
    /// The number is in use.
    #[error("the room number is taken")]
    Taken,
    /// Somebody was paired by this code.
    #[error("the code was used already")]
    CodeUsed,
    /// Somebody guessed wrong.
    #[error("the room was closed after a wrong code")]
    Burnt,
    /// Nobody came in time.
    #[error("the code has expired")]
    Expired,
    /// As many members as it holds.
    #[error("the room is full")]
    RoomFull,
    /// As many rooms, or waiters, as the host holds.
    #[error("the host is full")]
    HostFull,
    /// Another member has this id and the token differs.
    #[error("the member id belongs to another member")]
    WrongToken,
    /// Opener only, or members only.
    #[error("not permitted in this room")]
    NotPermitted,
    /// No such member in the room.
    #[error("no such member in the room")]
    UnknownMember,
    /// This address asks for rooms too often, or for too many that lead nowhere.
    #[error("too many tries from this address")]
    TooManyTries,
    /// A deposit or payload exceeds its limit.
    #[error("the message is too large")]
    TooLarge,
}

/// Why a host closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode, thiserror::Error)]
pub enum CloseReason {
    /// The same member connected again.
    #[error("replaced by a newer connection of the same member")]
    Replaced,
    /// The host stops; come back after a while.
    #[error("the host shuts down")]
    Shutdown {
        /// When to come back, in milliseconds.
        retry_after_ms: u32,
    },
    /// No room joined in time.
    #[error("no room was joined in time")]
    TooLate,
    /// More messages than a member sends.
    #[error("too many messages")]
    TooManyMessages,
    /// Not a message of this version.
    #[error("the host does not understand the message")]
    Malformed,
    /// A protocol version the host does not speak.
    #[error("the host speaks protocol version {host}")]
    Version {
        /// The host's.
        host: u16,
    },
    /// Does not read what it is sent.
    #[error("too slow")]
    TooSlow,
    /// As many connections as the host holds, in all or from one address.
    #[error("the host is full")]
    HostFull,
}

impl CloseReason {
    /// Whether to connect again: a replaced or misunderstood client must not.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Shutdown { .. }
            | Self::TooLate
            | Self::TooManyMessages
            | Self::TooSlow
            | Self::HostFull => true,
            Self::Replaced | Self::Malformed | Self::Version { .. } => false,
        }
    }

    /// How long the host asks to stay away.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Shutdown { retry_after_ms } => {
                Some(Duration::from_millis(*retry_after_ms as u64))
            }
            Self::TooManyMessages | Self::HostFull => Some(Duration::from_secs(10)),
            Self::Replaced
            | Self::TooLate
            | Self::Malformed
            | Self::Version { .. }
            | Self::TooSlow => None,
        }
    }
}

impl ClientMessage {
    /// The WebSocket message.
    ///
    /// # Errors
    /// If a limit is exceeded.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        self.check()?;
        codec::encode::<MESSAGE_BYTES_MAX>(self)
    }

    /// Reads a WebSocket message.
    ///
    /// # Errors
    /// If it is not one of this version, or a limit is exceeded.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let message: Self = codec::decode::<_, MESSAGE_BYTES_MAX>(bytes)?;
        message.check()?;
        Ok(message)
    }

    fn check(&self) -> Result<(), CodecError> {
        match self {
            Self::Open { deposit, .. }
            | Self::Deposit { deposit, .. }
            | Self::Join { deposit: Some(deposit), .. } => {
                check_size(deposit.len(), DEPOSIT_BYTES_MAX)
            }
            Self::Relay { payload, .. } => check_size(payload.len(), PAYLOAD_BYTES_MAX),
            Self::Join { deposit: None, .. }
            | Self::Lock { .. }
            | Self::Burn { .. }
            | Self::Leave { .. }
            | Self::Work { .. } => Ok(()),
        }
    }
}

impl HostMessage {
    /// The WebSocket message.
    ///
    /// # Errors
    /// If a limit is exceeded.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        self.check()?;
        codec::encode::<MESSAGE_BYTES_MAX>(self)
    }

    /// Reads a WebSocket message.
    ///
    /// # Errors
    /// If it is not one of this version, or a limit is exceeded.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let message: Self = codec::decode::<_, MESSAGE_BYTES_MAX>(bytes)?;
        message.check()?;
        Ok(message)
    }

    fn check(&self) -> Result<(), CodecError> {
        match self {
            Self::Opened { peers, .. } => check_size(peers.len(), PEERS_MAX),
            Self::Joined { peers, deposit, .. } => {
                check_size(peers.len(), PEERS_MAX)?;
                deposit
                    .as_ref()
                    .map_or(Ok(()), |(_, deposit)| check_size(deposit.len(), DEPOSIT_BYTES_MAX))
            }
            Self::Deposited { deposit, .. } => check_size(deposit.len(), DEPOSIT_BYTES_MAX),
            Self::Relayed { payload, .. } => check_size(payload.len(), PAYLOAD_BYTES_MAX),
            Self::Waiting { .. }
            | Self::Refused { .. }
            | Self::PeerJoined { .. }
            | Self::PeerLeft { .. }
            | Self::RoomClosed { .. }
            | Self::Goodbye { .. }
            | Self::WorkNeeded { .. } => Ok(()),
        }
    }
}

const fn check_size(bytes: usize, limit: usize) -> Result<(), CodecError> {
    if bytes > limit { Err(CodecError::TooLarge { bytes, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MEMBER: MemberId = MemberId([7; 16]);

    #[test]
    fn golden_bytes() {
        let number = RoomName::Code(7);
        let relay = ClientMessage::Relay { room: number, to: MEMBER, payload: vec![1, 2] };
        let expected = [&[1, 0, 3, 0, 7], [7; 16].as_slice(), &[2, 1, 2]].concat();
        assert_eq!(relay.encode().unwrap(), expected);
        assert_eq!(ClientMessage::decode(&expected), Ok(relay));
        assert_eq!(ClientMessage::Burn { number: 7 }.encode().unwrap(), [1, 0, 5, 7]);
        assert_eq!(ClientMessage::Leave { room: number }.encode().unwrap(), [1, 0, 6, 0, 7]);
        let refused = HostMessage::Refused { room: Some(number), reason: RefusalReason::TooLarge };
        assert_eq!(refused.encode().unwrap(), [1, 0, 3, 1, 0, 7, 11]);
        let work = ClientMessage::Work { number: 7, nonce: 9 };
        assert_eq!(work.encode().unwrap(), [1, 0, 7, 7, 9]);
        let needed = HostMessage::WorkNeeded { number: 7, challenge: Challenge([3; 32]), bits: 20 };
        let expected = [&[1, 0, 10, 7], [3; 32].as_slice(), &[20]].concat();
        assert_eq!(needed.encode().unwrap(), expected);
        let goodbye = HostMessage::Goodbye { reason: CloseReason::HostFull };
        assert_eq!(goodbye.encode().unwrap(), [1, 0, 9, 7]);
    }

    #[test]
    fn limits_hold_both_ways() {
        let relay = |bytes| ClientMessage::Relay {
            room: RoomName::Code(1),
            to: MEMBER,
            payload: vec![0; bytes],
        };
        assert!(relay(PAYLOAD_BYTES_MAX).encode().is_ok());
        assert!(relay(PAYLOAD_BYTES_MAX + 1).encode().is_err());
        let unchecked = codec::encode::<MESSAGE_BYTES_MAX>(&relay(PAYLOAD_BYTES_MAX + 1)).unwrap();
        assert!(ClientMessage::decode(&unchecked).is_err());
        let deposited = |bytes| HostMessage::Deposited {
            room: RoomName::Code(1),
            from: MEMBER,
            deposit: vec![0; bytes],
        };
        let unchecked =
            codec::encode::<MESSAGE_BYTES_MAX>(&deposited(DEPOSIT_BYTES_MAX + 1)).unwrap();
        assert!(HostMessage::decode(&unchecked).is_err());
    }

    proptest! {
        #[test]
        fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let framed = [&[1, 0], bytes.as_slice()].concat();
            for bytes in [&bytes, &framed] {
                let _ = ClientMessage::decode(bytes);
                let _ = HostMessage::decode(bytes);
            }
        }
    }
}
