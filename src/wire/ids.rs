//! Identifiers and secrets that outlive a connection.

use std::fmt;
use zeroize::Zeroize as _;

/// Writes `bytes` as lower-case hexadecimal.
fn write_hex(formatter: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
}

/// A session: random, 128 bits, the same at both ends for as long as the session lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct SessionId(pub [u8; 16]);

/// A member of rooms: random, 128 bits, kept on disk so that a restarted process is the same member (V-13).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct MemberId(pub [u8; 16]);

/// What both ends of a session know and nobody else: 256 bits, made by the key exchange of the first join.
///
/// Its `Debug` form shows nothing of it, and it is overwritten when it is dropped (I-05).
#[derive(Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct SessionSecret(pub [u8; 32]);

impl fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(formatter, &self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SessionId({self})")
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(formatter, &self.0)
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MemberId({self})")
    }
}

impl Drop for SessionSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SessionSecret(…)")
    }
}
/// What the datagrams of one connection's carrier begin with, each way; both ends derive them from the keys of a join. Who
/// does not know them cannot make datagrams that count, and those of an older connection do not carry them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CarrierTokens {
    /// On what we send.
    pub outgoing: u64,
    /// On what the peer sends.
    pub incoming: u64,
}

impl fmt::Debug for CarrierTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CarrierTokens(…)")
    }
}
