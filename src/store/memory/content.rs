//! The bytes of a file in memory, in pieces that copies of a disk share.

use bytes::Bytes;
use std::fmt;

/// Bytes in each piece but the last.
const PIECE_BYTES: usize = 64 << 10;

static ZEROS: [u8; PIECE_BYTES] = [0; PIECE_BYTES];

/// Cheap to clone, and cheap to compare with a clone.
#[derive(Clone, Default, Eq)]
pub struct FileContent {
    pieces: Vec<Bytes>,
    bytes: usize,
}

impl FileContent {
    /// Size in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// All of it.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// All of it, in pieces.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(|piece| &piece[..])
    }

    /// What lies at `offset`, up to the end of its piece; empty at the end of the file.
    pub(super) fn from(&self, offset: usize) -> &[u8] {
        let piece = self.pieces.get(offset / PIECE_BYTES);
        piece.and_then(|piece| piece.get(offset % PIECE_BYTES..)).unwrap_or_default()
    }

    /// Cuts or extends it, by zeros.
    pub(super) fn resize(&mut self, bytes: usize) {
        let kept = self.bytes.min(bytes);
        self.pieces.truncate(kept.div_ceil(PIECE_BYTES));
        if let Some(last) = self.pieces.last_mut() {
            last.truncate(kept - kept.next_multiple_of(PIECE_BYTES).saturating_sub(PIECE_BYTES));
        }
        self.bytes = kept;
        while self.bytes < bytes {
            let room = self.room().min(bytes - self.bytes);
            self.push(Bytes::from_static(&ZEROS[..room]));
        }
    }

    /// Writes `new` at `offset`.
    pub(super) fn write(&mut self, offset: usize, new: &Bytes) {
        if self.bytes < offset {
            self.resize(offset);
        }
        let (mut at, mut from) = (offset, 0);
        while from < new.len() {
            if at == self.bytes {
                let taken = self.room().min(new.len() - from);
                self.push(new.slice(from..from + taken));
                (at, from) = (at + taken, from + taken);
                continue;
            }
            let (number, within) = (at / PIECE_BYTES, at % PIECE_BYTES);
            let piece = &mut self.pieces[number];
            let taken = (piece.len() - within).min(new.len() - from);
            *piece = if taken == piece.len() {
                new.slice(from..from + taken)
            } else {
                let mut copy = piece.to_vec();
                copy[within..within + taken].copy_from_slice(&new[from..from + taken]);
                copy.into()
            };
            (at, from) = (at + taken, from + taken);
        }
    }

    /// Bytes until the last piece is full, or of a new one.
    const fn room(&self) -> usize {
        PIECE_BYTES - self.bytes % PIECE_BYTES
    }

    /// Adds what fits into the last piece or is a new one.
    fn push(&mut self, more: Bytes) {
        let taken = more.len();
        match self.pieces.last_mut() {
            Some(last) if !self.bytes.is_multiple_of(PIECE_BYTES) => {
                *last = [&last[..], &more].concat().into();
            }
            Some(_) | None => self.pieces.push(more),
        }
        self.bytes += taken;
    }
}

impl PartialEq for FileContent {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |(one, other): (&Bytes, &Bytes)| {
            (one.as_ptr() == other.as_ptr() && one.len() == other.len()) || one == other
        };
        self.bytes == other.bytes && self.pieces.iter().zip(&other.pieces).all(is_same)
    }
}

impl fmt::Debug for FileContent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_a_vector_is() {
        let (mut content, mut model) = (FileContent::default(), Vec::new());
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = |bound: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % bound as u64).expect("small")
        };
        for step in 0..200_u8 {
            let at = below(5 * PIECE_BYTES) / if step % 3 == 0 { 1 } else { 100 };
            if step % 4 == 0 {
                content.resize(at);
                model.resize(at, 0);
            } else {
                let new = vec![step; below(3 * PIECE_BYTES)];
                if model.len() < at + new.len() && !new.is_empty() {
                    model.resize(at + new.len(), 0);
                }
                if !new.is_empty() {
                    model[at..at + new.len()].copy_from_slice(&new);
                    content.write(at, &new.into());
                }
            }
            assert!(content.to_vec() == model, "step {step}");
            assert_eq!(content.len(), model.len());
            assert!(content.from(model.len()).is_empty());
        }
    }
}
