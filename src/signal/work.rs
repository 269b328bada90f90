//! Proof of work: what a try at a code's room costs on a host that is attacked. Pure.
//!
//! The host names a challenge and a number of bits; a solution is a nonce whose keyed BLAKE3 hash begins with that many zero
//! bits. It is found in 2^bits hashes on average and verified by one. A challenge is random, known to one connection, good for
//! one room, once, and for [`LIFETIME`]; so nothing can be saved up, repeated or shared.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Bits of the lowest price: 2^20 hashes, a tenth of a second of one core.
pub const BITS_BASE: u8 = 20;
/// Most bits that a host asks for and a member works for: seven seconds of one core.
pub const BITS_MAX: u8 = 26;
/// How long a challenge is good: a slow machine has ten times what a usual one needs.
pub const LIFETIME: Duration = Duration::from_secs(120);
/// Hashes between two looks at whether the work is still wanted.
const HASHES_AT_ONCE: u64 = 4_096;

/// What a host asks work for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
pub struct Challenge(pub [u8; 32]);

impl Challenge {
    /// Whether `nonce` shows the work: one hash.
    #[must_use]
    pub fn is_solved(&self, bits: u8, nonce: u64) -> bool {
        let hash = blake3::keyed_hash(&self.0, &nonce.to_le_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h]).leading_zeros() >= u32::from(bits)
    }

    /// Does the work, on a thread that has nothing else to do. `None` once it is `abandoned`, or for more than [`BITS_MAX`].
    #[must_use]
    pub fn solve(&self, bits: u8, abandoned: &AtomicBool) -> Option<u64> {
        if bits > BITS_MAX {
            return None;
        }
        let mut nonce = 0;
        while !abandoned.load(Ordering::Relaxed) {
            let end = nonce + HASHES_AT_ONCE;
            if let Some(found) = (nonce..end).find(|nonce| self.is_solved(bits, *nonce)) {
                return Some(found);
            }
            nonce = end;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_found_and_verified() {
        let (challenge, other) = (Challenge([7; 32]), Challenge([8; 32]));
        let free = AtomicBool::new(false);
        let nonce = challenge.solve(12, &free).unwrap();
        assert!(challenge.is_solved(12, nonce) && challenge.is_solved(0, nonce));
        assert!(!challenge.is_solved(40, nonce), "no luck is that great");
        assert!(!other.is_solved(12, nonce), "each challenge has a solution of its own");
        // On average 2^12 tries.
        let tries: u64 =
            (0..64).map(|byte| Challenge([byte; 32]).solve(12, &free).unwrap() + 1).sum();
        assert!((64 << 11..64 << 13).contains(&tries), "{tries}");
    }

    #[test]
    fn work_beyond_what_is_taken_is_not_begun_and_any_can_be_abandoned() {
        let challenge = Challenge([7; 32]);
        assert_eq!(challenge.solve(BITS_MAX + 1, &AtomicBool::new(false)), None);
        assert_eq!(challenge.solve(BITS_MAX, &AtomicBool::new(true)), None);
    }
}
