//! The session record: what a machine must remember to continue a session, in one small private file.
//!
//! Format: magic, version (u32), length (u32), BLAKE3 of all before and of the body, body. Written atomically. A record
//! of a newer version is refused and left untouched.

use crate::event::{Layer, Role};
use crate::transfer::receiver::Agreement;
use crate::wire::{MemberId, SessionId, SessionSecret, codec};
use bincode::{Decode, Encode};
use thiserror::Error;

/// Version of the format.
pub const RECORD_VERSION: u32 = 5;

/// Largest record, in bytes: thousands of paths.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// Attempts kept: the last ones.
pub const ATTEMPTS_MAX: usize = 20;

const MAGIC: [u8; 8] = *b"RJNSESS\n";
const HEAD_BYTES: usize = 8 + 4 + 4 + 32;

/// Why a record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Written by a newer program: left as it is.
    #[error(
        "session record has version {found}, this program reads up to {RECORD_VERSION}; update rejoin"
    )]
    Newer {
        /// Its version.
        found: u32,
    },
    /// Not a record, or not as it was written.
    #[error("session record is damaged: {0}")]
    Damaged(String),
    /// More than a record may hold.
    #[error("session record is too large")]
    TooLarge,
}

/// A code phrase, remembered so that it can be recognised and not read: BLAKE3 keyed with a random salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CodeHash {
    salt: [u8; 32],
    hash: [u8; 32],
}

impl CodeHash {
    /// Of a code in its canonical spelling; `salt` is fresh randomness.
    #[must_use]
    pub fn new(code: &str, salt: [u8; 32]) -> Self {
        let hash = *blake3::keyed_hash(&salt, code.as_bytes()).as_bytes();
        Self { salt, hash }
    }

    /// Whether it is that code's.
    #[must_use]
    pub fn matches(&self, code: &str) -> bool {
        // Compared in constant time by `Hash`.
        blake3::keyed_hash(&self.salt, code.as_bytes()) == blake3::Hash::from_bytes(self.hash)
    }
}

/// What came of an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum AttemptOutcome {
    /// Connected.
    Connected,
    /// No answer, or no path, in time.
    TimedOut,
    /// The peer or the host refused.
    Refused,
    /// It broke down otherwise.
    Failed,
}

/// An attempt to connect, for `sessions show` and `stats`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Attempt {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// 0: ICE, 1: host, 2: connection (see [`Attempt::layer`]).
    layer: u8,
    /// What came of it.
    pub outcome: AttemptOutcome,
}

impl Attempt {
    /// An attempt at `at` milliseconds since 1970.
    #[must_use]
    pub const fn new(at: u64, layer: Layer, outcome: AttemptOutcome) -> Self {
        let layer = match layer {
            Layer::Ice => 0,
            Layer::Host => 1,
            Layer::Connection => 2,
        };
        Self { at, layer, outcome }
    }

    /// Which layer it was.
    #[must_use]
    pub const fn layer(&self) -> Layer {
        match self.layer {
            0 => Layer::Ice,
            1 => Layer::Host,
            _ => Layer::Connection,
        }
    }
}

/// What a session moves, as this side sees it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Side {
    /// Offers files.
    Sender {
        /// Canonical paths, sorted.
        paths: Vec<Vec<u8>>,
        /// The options that change what is sent, in one canonical text.
        options: String,
    },
    /// Receives them.
    Receiver {
        /// Canonical path of the target directory.
        target: Vec<u8>,
    },
}

/// A TURN or STUN server. Passwords are never stored; where they come from is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct IceServer {
    /// `stun:`, `turn:` or `turns:`.
    pub url: String,
    /// Where its credentials come from: the host's URL, the name of a variable, or nothing.
    pub credentials: Option<String>,
    /// When they expire, in seconds since 1970.
    pub expires: Option<u64>,
}

/// Which paths a link may use: who hides its address does so in every run (`--relay-only`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub enum Paths {
    /// All.
    #[default]
    Any,
    /// None through TURN.
    DirectOnly,
    /// Only those through TURN.
    RelayOnly,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SessionRecord {
    /// Its id.
    pub session: SessionId,
    /// What both ends know; `None` until the first join is through.
    pub secret: Option<SessionSecret>,
    /// Which side this machine is, with its paths.
    pub side: Side,
    /// This machine.
    pub member: MemberId,
    /// From which this member's tokens for hosts are made: a restarted process is the same member to them.
    pub token_key: [u8; 32],
    /// The other, once known.
    pub peer: Option<MemberId>,
    /// Its name, as it says.
    pub peer_name: String,
    /// Where to meet, in order.
    pub hosts: Vec<String>,
    /// STUN and TURN servers.
    pub ice_servers: Vec<IceServer>,
    /// The code it began with.
    pub code: Option<CodeHash>,
    /// Where the embedded host listened, to be used again.
    pub listen: Option<String>,
    /// Of the last connection: each one takes the next.
    pub epoch: u64,
    /// Everything is there, and both sides said so.
    pub is_complete: bool,
    /// In seconds since 1970.
    pub created: u64,
    /// When it was last written, in seconds since 1970.
    pub updated: u64,
    /// The last [`ATTEMPTS_MAX`].
    pub attempts: Vec<Attempt>,
    /// Whether the other side is known to have the secret; until then it has only the code to come back with.
    pub is_confirmed: bool,
    /// What the user allowed.
    pub paths: Paths,
    /// What a receiver's journal and pages in the target are sealed with: random, and of this record alone, so that nothing
    /// that lies there is believed but what a run with this record wrote.
    pub seal: [u8; 32],
    /// What a receiver's user agreed to take, once that was asked. Here and nowhere else: nothing in the target says it.
    pub consent: Option<Agreement>,
}

impl SessionRecord {
    /// A session that has just begun, at `now` seconds since 1970.
    #[must_use]
    pub const fn new(session: SessionId, member: MemberId, side: Side, now: u64) -> Self {
        Self {
            session,
            secret: None,
            side,
            member,
            token_key: [0; 32],
            peer: None,
            peer_name: String::new(),
            hosts: Vec::new(),
            ice_servers: Vec::new(),
            code: None,
            listen: None,
            epoch: 0,
            is_complete: false,
            created: now,
            updated: now,
            attempts: Vec::new(),
            is_confirmed: false,
            paths: Paths::Any,
            seal: [0; 32],
            consent: None,
        }
    }

    /// Which side this machine is.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self.side {
            Side::Sender { .. } => Role::Sender,
            Side::Receiver { .. } => Role::Receiver,
        }
    }

    /// The target directory of a receiver.
    #[must_use]
    pub fn target(&self) -> Option<&[u8]> {
        match &self.side {
            Side::Receiver { target } => Some(target),
            Side::Sender { .. } => None,
        }
    }

    /// Whether it sends these paths with these options.
    #[must_use]
    pub fn is_of_source(&self, paths: &[Vec<u8>], options: &str) -> bool {
        match &self.side {
            Side::Sender { paths: stored, options: stored_options } => {
                stored == paths && stored_options == options
            }
            Side::Receiver { .. } => false,
        }
    }

    /// Adds an attempt, and drops the oldest beyond [`ATTEMPTS_MAX`].
    pub fn add_attempt(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
        let beyond = self.attempts.len().saturating_sub(ATTEMPTS_MAX);
        self.attempts.drain(..beyond);
    }

    /// Its bytes.
    ///
    /// # Errors
    /// [`RecordError::TooLarge`].
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let body = codec::encode(self, "session record", RECORD_BYTES_MAX - HEAD_BYTES)
            .map_err(|_| RecordError::TooLarge)?;
        let length = u32::try_from(body.len()).map_err(|_| RecordError::TooLarge)?;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&RECORD_VERSION.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        let check = check(&bytes, &body);
        bytes.extend_from_slice(check.as_bytes());
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// A record from its bytes.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let damaged = |what: &str| RecordError::Damaged(what.to_owned());
        if bytes.len() < HEAD_BYTES || bytes[..8] != MAGIC {
            return Err(damaged("it does not begin as one"));
        }
        let (head, rest) = bytes.split_at(16);
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        // Before the check: a later version may check otherwise.
        if number(8) > RECORD_VERSION {
            return Err(RecordError::Newer { found: number(8) });
        }
        let (found, body) = rest.split_at(32);
        if body.len() != number(12) as usize {
            return Err(damaged("its length is wrong"));
        }
        let mut expected = [0; 32];
        expected.copy_from_slice(found);
        if check(head, body) != blake3::Hash::from_bytes(expected) {
            return Err(damaged("its checksum is wrong"));
        }
        // No release wrote an earlier version.
        if number(8) != RECORD_VERSION {
            return Err(damaged("its version was never released"));
        }
        codec::decode(body, "session record", RECORD_BYTES_MAX)
            .map_err(|error| RecordError::Damaged(error.to_string()))
    }
}

fn check(head: &[u8], body: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_derive_key("rejoin 2026 session record v1");
    hasher.update(head).update(body).finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> SessionRecord {
        let side = Side::Receiver { target: b"/tmp/a\xff b".to_vec() };
        let mut record = SessionRecord::new(SessionId([7; 16]), MemberId([8; 16]), side, 1_700);
        record.secret = Some(SessionSecret([9; 32]));
        record.code = Some(CodeHash::new("7-crane-velvet-orbit", [3; 32]));
        record.add_attempt(Attempt::new(5, Layer::Host, AttemptOutcome::TimedOut));
        record
    }

    #[test]
    fn survives_its_bytes_and_nothing_else_does() {
        let record = record();
        let bytes = record.encode().expect("small");
        assert_eq!(SessionRecord::decode(&bytes), Ok(record));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert!(SessionRecord::decode(&flipped).is_err(), "byte {at}");
            assert!(SessionRecord::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = record().encode().expect("small");
        bytes[8] = 9;
        assert_eq!(SessionRecord::decode(&bytes), Err(RecordError::Newer { found: 9 }));
    }

    #[test]
    fn codes_are_recognised() {
        let hash = CodeHash::new("7-crane-velvet-orbit", [3; 32]);
        assert!(hash.matches("7-crane-velvet-orbit"));
        assert!(!hash.matches("7-crane-velvet-orbits"));
        assert!(!format!("{:?}", record()).contains("9, 9"));
    }

    #[test]
    fn old_attempts_are_dropped() {
        let mut record = record();
        for at in 0..50 {
            record.add_attempt(Attempt::new(at, Layer::Ice, AttemptOutcome::Failed));
        }
        assert_eq!(record.attempts.len(), ATTEMPTS_MAX);
        assert_eq!(record.attempts.last().map(|attempt| attempt.at), Some(49));
    }
}
