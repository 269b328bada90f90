//! Keys: everything derived from a session secret or a key exchange, each under its own context string.

use std::fmt;

use crate::wire::{PROTOCOL_VERSION, SessionSecret};

use super::code::words_of;

/// Words of a short authentication string: 44 bits, which somebody in the middle would have to hit within one join.
const SHORT_AUTHENTICATION_WORDS: usize = 4;

/// 32 fresh random bytes from the operating system, read at the edge and used once. Its `Debug` form shows nothing.
#[derive(Clone)]
pub struct Seed([u8; 32]);

/// A room at a host, as its messages name it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub enum RoomName {
    /// Where a code leads: a small public number.
    Code(u32),
    /// Where the members of a session meet: 128 bits derived from its secret, so nobody else finds it.
    Session([u8; 16]),
}

/// Proves to a host that a returning member is the one it knows; chosen by the member, stored hashed by the host.
#[derive(Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct MemberToken(pub(super) [u8; 32]);

/// What two people compare to be sure that nobody is between them (`--verify`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortAuthentication([u8; 8]);

/// Names one join in every envelope, so that those of another join are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct JoinId(pub(super) [u8; 16]);

impl Seed {
    /// Takes 32 bytes of operating system randomness.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl MemberToken {
    /// The token of a member for one room, from a key that the member keeps on disk: a restarted process proves the
    /// same, and what one room's host learns opens no other room.
    #[must_use]
    pub fn for_room(key: &[u8; 32], room: RoomName) -> Self {
        Self(derive("rejoin 2026 v1 member token", key, &[&room.bytes()]))
    }
}

impl RoomName {
    /// The room where the members of the session with this secret meet.
    #[must_use]
    pub fn of_session(secret: &SessionSecret) -> Self {
        let [room, _] = halves(derive("rejoin 2026 v1 session room", &secret.0, &[]));
        Self::Session(room)
    }

    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Code(number) => [&[0], number.to_le_bytes().as_slice()].concat(),
            Self::Session(id) => [&[1], id.as_slice()].concat(),
        }
    }
}

/// Everything both sides of a join saw. Both hash their own view; a host that changed a byte of it makes the views,
/// and so every key, differ.
pub(super) struct Transcript<'a> {
    pub(super) room: RoomName,
    /// As deposited: the opener's share, capabilities and last epoch.
    pub(super) deposit: &'a [u8],
    /// SPAKE2 element or nonce of the joiner.
    pub(super) joiner_share: &'a [u8],
    /// As sent.
    pub(super) joiner_capabilities: &'a [u8],
    pub(super) epoch: u64,
}

/// Keys of one join, from the key exchange (code) or the session secret, and the transcript.
pub(super) struct JoinKeys {
    pub(super) join: JoinId,
    pub(super) joiner_proof: blake3::Hash,
    pub(super) opener_proof: blake3::Hash,
    pub(super) to_opener: DirectionKeys,
    pub(super) to_joiner: DirectionKeys,
    /// What the carrier's datagrams begin with. A join makes one connection, so they are that connection's.
    pub(super) carrier_to_opener: u64,
    pub(super) carrier_to_joiner: u64,
    pub(super) short_authentication: ShortAuthentication,
    /// Becomes the session's secret after a code join; of no use after a session join.
    pub(super) session_secret: SessionSecret,
}

/// Keys for one direction of a sealed channel.
#[derive(Clone)]
pub(super) struct DirectionKeys {
    pub(super) seal: [u8; 32],
    pub(super) nonce: [u8; 32],
}

impl JoinKeys {
    pub(super) fn derive(root: &[u8; 32], transcript: &Transcript<'_>) -> Self {
        let transcript = transcript.hash();
        let key = |context| derive(context, root, &[transcript.as_bytes()]);
        let [join, _] = halves(key("rejoin 2026 v1 join id"));
        let [short, _] = halves(key("rejoin 2026 v1 short authentication"));
        let token = |context| {
            let [half, _] = halves(key(context));
            half[..8].iter().fold(0, |token, byte| token << 8 | u64::from(*byte))
        };
        let mut words = [0; 8];
        words.copy_from_slice(&short[..8]);
        Self {
            join: JoinId(join),
            joiner_proof: key("rejoin 2026 v1 joiner proof").into(),
            opener_proof: key("rejoin 2026 v1 opener proof").into(),
            to_opener: DirectionKeys {
                seal: key("rejoin 2026 v1 seal joiner to opener"),
                nonce: key("rejoin 2026 v1 nonce joiner to opener"),
            },
            to_joiner: DirectionKeys {
                seal: key("rejoin 2026 v1 seal opener to joiner"),
                nonce: key("rejoin 2026 v1 nonce opener to joiner"),
            },
            carrier_to_opener: token("rejoin 2026 v1 carrier joiner to opener"),
            carrier_to_joiner: token("rejoin 2026 v1 carrier opener to joiner"),
            short_authentication: ShortAuthentication(words),
            session_secret: SessionSecret(key("rejoin 2026 v1 session secret")),
        }
    }
}

impl Transcript<'_> {
    fn hash(&self) -> blake3::Hash {
        derive(
            "rejoin 2026 v1 join transcript",
            &[0; 32],
            &[
                &PROTOCOL_VERSION.to_le_bytes(),
                &self.room.bytes(),
                self.deposit,
                self.joiner_share,
                self.joiner_capabilities,
                &self.epoch.to_le_bytes(),
            ],
        )
        .into()
    }
}

/// Key derivation: BLAKE3 under `context`, over the key and then every field behind its length.
pub(super) fn derive(context: &'static str, key: &[u8; 32], fields: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(key);
    for field in fields {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field);
    }
    hasher.finalize().into()
}

fn halves(bytes: [u8; 32]) -> [[u8; 16]; 2] {
    let mut halves = [[0; 16]; 2];
    halves[0].copy_from_slice(&bytes[..16]);
    halves[1].copy_from_slice(&bytes[16..]);
    halves
}

impl fmt::Debug for Seed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Seed(…)")
    }
}

impl fmt::Debug for MemberToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MemberToken(…)")
    }
}

/// A session's room lets anyone who knows it knock, so logs get only its beginning.
impl fmt::Debug for RoomName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(number) => write!(formatter, "Code({number})"),
            Self::Session([first, second, ..]) => {
                write!(formatter, "Session({first:02x}{second:02x}…)")
            }
        }
    }
}

impl fmt::Display for ShortAuthentication {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&words_of(&self.0, SHORT_AUTHENTICATION_WORDS))
    }
}

impl fmt::Debug for ShortAuthentication {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ShortAuthentication(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript<'a>() -> Transcript<'a> {
        Transcript {
            room: RoomName::Code(7),
            deposit: b"deposit",
            joiner_share: b"share",
            joiner_capabilities: b"caps",
            epoch: 1,
        }
    }

    #[test]
    fn every_field_changes_every_key() {
        let base = JoinKeys::derive(&[1; 32], &transcript());
        let others = [
            JoinKeys::derive(&[2; 32], &transcript()),
            JoinKeys::derive(&[1; 32], &Transcript { room: RoomName::Code(8), ..transcript() }),
            JoinKeys::derive(&[1; 32], &Transcript { deposit: b"depositx", ..transcript() }),
            JoinKeys::derive(&[1; 32], &Transcript { joiner_share: b"sharf", ..transcript() }),
            JoinKeys::derive(&[1; 32], &Transcript { joiner_capabilities: b"", ..transcript() }),
            JoinKeys::derive(&[1; 32], &Transcript { epoch: 2, ..transcript() }),
            // The border between two fields counts.
            JoinKeys::derive(
                &[1; 32],
                &Transcript { deposit: b"deposits", joiner_share: b"hare", ..transcript() },
            ),
        ];
        for other in others {
            assert_ne!(base.joiner_proof, other.joiner_proof);
            assert_ne!(base.opener_proof, other.opener_proof);
            assert_ne!(base.join, other.join);
            assert_ne!(base.to_opener.seal, other.to_opener.seal);
            assert_ne!(base.to_joiner.seal, other.to_joiner.seal);
            assert_ne!(base.carrier_to_opener, other.carrier_to_opener);
            assert_ne!(base.carrier_to_joiner, other.carrier_to_joiner);
            assert!(base.session_secret != other.session_secret);
        }
        assert_ne!(base.joiner_proof, base.opener_proof);
        assert_ne!(base.to_opener.seal, base.to_joiner.seal);
        assert_ne!(base.carrier_to_opener, base.carrier_to_joiner);
    }

    #[test]
    fn tokens_and_rooms_differ_by_room_and_secret() {
        let token = MemberToken::for_room(&[1; 32], RoomName::Code(1));
        assert_eq!(token, MemberToken::for_room(&[1; 32], RoomName::Code(1)));
        assert!(token != MemberToken::for_room(&[1; 32], RoomName::Code(2)));
        assert!(token != MemberToken::for_room(&[2; 32], RoomName::Code(1)));
        assert_ne!(
            RoomName::of_session(&SessionSecret([1; 32])),
            RoomName::of_session(&SessionSecret([2; 32]))
        );
    }

    #[test]
    fn debug_forms_show_nothing() {
        let token = MemberToken::for_room(&[1; 32], RoomName::Code(1));
        assert_eq!(format!("{token:?} {:?}", Seed::new([7; 32])), "MemberToken(…) Seed(…)");
        assert_eq!(format!("{:?}", RoomName::Session([0xab; 16])), "Session(abab…)");
    }
}
