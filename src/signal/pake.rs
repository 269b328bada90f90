//! SPAKE2 over the words of a code. Confirmation of its key is in [`join`](super::join), bound to the transcript.

use std::fmt;

use rand_core::{CryptoRng, RngCore};
use spake2::{Ed25519Group, Identity, Password, Spake2};

use super::keys::Seed;

/// Size of an element with its side byte.
pub(super) const ELEMENT_BYTES: usize = 33;

/// The other side's element is not one: not a guess at the code, so nothing is burnt by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other side's key exchange element is invalid")]
pub struct PakeError;

#[derive(Clone, Copy)]
pub(super) enum Side {
    Opener,
    Joiner,
}

/// One side of one run. Rebuilt from its seed on demand: `spake2` consumes its state on the first element it is given,
/// and an invalid element must not cost the run.
pub(super) struct Pake {
    side: Side,
    password: Vec<u8>,
    room: u32,
    seed: Seed,
}

impl Pake {
    pub(super) const fn new(side: Side, password: Vec<u8>, room: u32, seed: Seed) -> Self {
        Self { side, password, room, seed }
    }

    /// What is sent to the other side.
    pub(super) fn element(&self) -> Vec<u8> {
        self.start().1
    }

    /// The shared key, equal on both sides if, and only if, the words are.
    pub(super) fn finish(&self, theirs: &[u8]) -> Result<[u8; 32], PakeError> {
        if theirs.len() != ELEMENT_BYTES {
            return Err(PakeError);
        }
        let key = self.start().0.finish(theirs).map_err(|_| PakeError)?;
        key.try_into().map_err(|_| PakeError)
    }

    fn start(&self) -> (Spake2<Ed25519Group>, Vec<u8>) {
        let password = Password::new(&self.password);
        let opener = Identity::new(format!("rejoin v1 opener {}", self.room).as_bytes());
        let joiner = Identity::new(format!("rejoin v1 joiner {}", self.room).as_bytes());
        match self.side {
            Side::Opener => Spake2::start_a_with_rng(
                &password,
                &opener,
                &joiner,
                Stream::new("rejoin 2026 v1 opener scalar", &self.seed),
            ),
            Side::Joiner => Spake2::start_b_with_rng(
                &password,
                &opener,
                &joiner,
                Stream::new("rejoin 2026 v1 joiner scalar", &self.seed),
            ),
        }
    }
}

impl fmt::Debug for Pake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pake(…)")
    }
}

/// The seed as the generator that `spake2` asks for.
struct Stream(blake3::OutputReader);

impl Stream {
    fn new(context: &'static str, seed: &Seed) -> Self {
        Self(blake3::Hasher::new_derive_key(context).update(seed.bytes()).finalize_xof())
    }
}

impl RngCore for Stream {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, destination: &mut [u8]) {
        self.0.fill(destination);
    }

    fn try_fill_bytes(&mut self, destination: &mut [u8]) -> Result<(), rand_core::Error> {
        self.0.fill(destination);
        Ok(())
    }
}

/// BLAKE3's extended output from a random seed is indistinguishable from random.
impl CryptoRng for Stream {}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(side: Side, words: &str, room: u32, seed: u8) -> Pake {
        Pake::new(side, words.as_bytes().to_vec(), room, Seed::new([seed; 32]))
    }

    #[test]
    fn keys_agree_for_the_same_words_and_room_only() {
        let opener = run(Side::Opener, "crane-velvet", 7, 1);
        for (words, room, agree) in
            [("crane-velvet", 7, true), ("crane-velvets", 7, false), ("crane-velvet", 8, false)]
        {
            let joiner = run(Side::Joiner, words, room, 2);
            let opened = opener.finish(&joiner.element()).unwrap();
            assert_eq!(
                opened == joiner.finish(&opener.element()).unwrap(),
                agree,
                "{words} {room}"
            );
        }
    }

    #[test]
    fn elements_come_from_the_seed_alone() {
        let opener = run(Side::Opener, "crane-velvet", 7, 1);
        assert_eq!(opener.element(), opener.element());
        assert_eq!(opener.element().len(), ELEMENT_BYTES);
        assert_ne!(opener.element(), run(Side::Opener, "crane-velvet", 7, 2).element());
    }

    #[test]
    fn refuses_what_is_no_element_and_survives_it() {
        let opener = run(Side::Opener, "crane-velvet", 7, 1);
        let joiner = run(Side::Joiner, "crane-velvet", 7, 2);
        assert_eq!(opener.finish(&opener.element()), Err(PakeError), "reflected");
        assert_eq!(opener.finish(&[]), Err(PakeError));
        assert_eq!(opener.finish(&joiner.element()[1..]), Err(PakeError));
        // Not every 32 bytes are a point of the curve.
        let refused = (0..=255_u8)
            .filter(|byte| opener.finish(&[&[0x42], [*byte; 32].as_slice()].concat()).is_err())
            .count();
        assert!(refused > 0);
        assert_eq!(
            opener.finish(&joiner.element()).unwrap(),
            joiner.finish(&opener.element()).unwrap()
        );
    }
}
