//! Randomness as an argument: one secret from the operating system, stretched; the same secret gives the same run.

use crate::signal::Seed;

/// A stream of fresh seeds (BLAKE3 in extended-output mode over 32 secret bytes).
pub struct Entropy(blake3::OutputReader);

impl Entropy {
    /// From 32 bytes of the operating system's randomness, or of a test's.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(blake3::Hasher::new_keyed(secret).finalize_xof())
    }

    /// 32 bytes that were never given out before.
    pub fn next_bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill(&mut bytes);
        bytes
    }

    /// A seed for one step of a join.
    pub fn next_seed(&mut self) -> Seed {
        Seed::new(self.next_bytes())
    }

    /// A number, uniform over its range.
    pub fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Entropy(…)")
    }
}
