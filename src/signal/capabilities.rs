//! What a member can do, known to both ends before a connection is built and bound into the proofs of the join.

use crate::wire::{MemberId, PROTOCOL_VERSION};

use super::codec::{CodecError, decode, encode};

/// Longest encoded capabilities; leaves room for fields to come.
pub(super) const CAPABILITIES_BYTES_MAX: usize = 256;
/// Smallest frame any peer must accept, so that headers and control messages always fit.
pub const FRAME_BYTES_FLOOR: u32 = 1024;

/// Feature: DTLS goes through the carrier. A peer without it, a browser, gets plain packets of path size.
pub const CARRIER: u64 = 1;
/// Feature, of a receiver: the sender may answer its request before it came, where both must have the same in mind.
pub const EARLY_ANSWER: u64 = 1 << 1;

/// Abilities of one member, as it states them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Capabilities {
    /// Highest protocol version spoken.
    pub version: u16,
    /// Largest data channel message accepted, in bytes.
    pub frame_bytes_max: u32,
    /// Optional features, one bit each; the meaning of a bit never changes, unknown bits are ignored.
    pub features: u64,
    /// The member, as the host routes it.
    pub member: MemberId,
}

/// What both members can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The lower of both versions.
    pub version: u16,
    /// The smaller of both frame limits.
    pub frame_bytes_max: u32,
    /// The features of both.
    pub features: u64,
}

impl Capabilities {
    /// Those of this build, for `member`.
    #[must_use]
    pub const fn new(member: MemberId, frame_bytes_max: u32, features: u64) -> Self {
        Self { version: PROTOCOL_VERSION, frame_bytes_max, features, member }
    }

    /// What both can do. Symmetric.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Agreed {
        Agreed {
            version: self.version.min(other.version),
            frame_bytes_max: self.frame_bytes_max.min(other.frame_bytes_max),
            features: self.features & other.features,
        }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        encode::<CAPABILITIES_BYTES_MAX>(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let capabilities: Self = decode::<_, CAPABILITIES_BYTES_MAX>(bytes)?;
        if capabilities.frame_bytes_max < FRAME_BYTES_FLOOR || capabilities.version == 0 {
            return Err(CodecError::Malformed);
        }
        Ok(capabilities)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_intersection_is_symmetric_and_never_more_than_either() {
        let left = Capabilities::new(MemberId([1; 16]), 65_536, 0b1101);
        let right =
            Capabilities { version: 9, ..Capabilities::new(MemberId([2; 16]), 16_384, 0b0111) };
        assert_eq!(
            left.intersect(&right),
            Agreed { version: PROTOCOL_VERSION, frame_bytes_max: 16_384, features: 0b0101 }
        );
        assert_eq!(left.intersect(&right), right.intersect(&left));
    }

    #[test]
    fn useless_limits_are_refused() {
        let encoded = |frame| Capabilities::new(MemberId([1; 16]), frame, 0).encode().unwrap();
        assert!(Capabilities::decode(&encoded(FRAME_BYTES_FLOOR)).is_ok());
        assert!(Capabilities::decode(&encoded(FRAME_BYTES_FLOOR - 1)).is_err());
    }
}
