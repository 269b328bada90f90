//! The bytes of a unit in the pieces they came in, without joining them.

use bytes::Bytes;
use std::ops::Range;

/// Blocks that are looked at for zeros, in bytes: what file systems allocate.
const BLOCK_BYTES: u64 = 4_096;

/// Shortest run of zeros that becomes a hole, in bytes.
const HOLE_BYTES_MIN: u64 = 64 << 10;

/// Consecutive pieces and the offsets where they begin.
pub(super) struct Payload<'a> {
    pieces: &'a [Bytes],
    starts: Vec<u64>,
    bytes: u64,
}

impl<'a> Payload<'a> {
    pub(super) fn new(pieces: &'a [Bytes]) -> Self {
        let mut bytes = 0;
        let starts = pieces
            .iter()
            .map(|piece| {
                let start = bytes;
                bytes += piece.len() as u64;
                start
            })
            .collect();
        Self {
            pieces,
            starts,
            bytes,
        }
    }

    /// Bytes of all pieces.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The slices that make up `range`.
    pub(super) fn slices(&self, range: Range<u64>) -> impl Iterator<Item = &'a [u8]> {
        let first = self
            .starts
            .partition_point(|start| *start <= range.start)
            .saturating_sub(1);
        let pieces = self.pieces;
        self.starts[first..]
            .iter()
            .zip(&pieces[first..])
            .take_while({
                let end = range.end;
                move |(start, _)| **start < end
            })
            .map(move |(start, piece)| {
                let from = range.start.saturating_sub(*start).min(piece.len() as u64);
                let to = (range.end - start).min(piece.len() as u64);
                // Both are at most the piece's length.
                &piece[from as usize..to as usize]
            })
            .filter(|slice| !slice.is_empty())
    }

    /// What to write and what to leave out: alternating ranges, `true` for data and `false` for a run of zeros.
    pub(super) fn extents(&self) -> Vec<(Range<u64>, bool)> {
        let mut extents: Vec<(Range<u64>, bool)> = Vec::new();
        let mut data = 0..0;
        let mut block = 0;
        while block < self.bytes {
            let end = (block + BLOCK_BYTES).min(self.bytes);
            if !self.is_zero(block..end) {
                data.end = end;
                block = end;
                continue;
            }
            let zeros = block;
            block = end;
            while block < self.bytes {
                let end = (block + BLOCK_BYTES).min(self.bytes);
                if !self.is_zero(block..end) {
                    break;
                }
                block = end;
            }
            if block - zeros >= HOLE_BYTES_MIN {
                if !data.is_empty() {
                    extents.push((data, true));
                }
                extents.push((zeros..block, false));
                data = block..block;
            } else {
                data.end = block;
            }
        }
        if !data.is_empty() {
            extents.push((data, true));
        }
        extents
    }

    fn is_zero(&self, range: Range<u64>) -> bool {
        self.slices(range).all(|slice| {
            // Most blocks are decided by their first bytes.
            let (front, rest) = slice.split_at(slice.len().min(16));
            front.iter().all(|&byte| byte == 0) && rest.iter().all(|&byte| byte == 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_zeros_are_found_across_pieces() {
        let mut content = vec![1_u8; 300_000];
        content[4_096 * 3 - 5..4_096 * 30 + 9].fill(0);
        content[200_000..210_000].fill(0);
        let pieces: Vec<Bytes> = content.chunks(7_777).map(Bytes::copy_from_slice).collect();
        let payload = Payload::new(&pieces);
        let expected = vec![
            (0..4_096 * 3, true),
            (4_096 * 3..4_096 * 30, false),
            (4_096 * 30..300_000, true),
        ];
        assert_eq!(payload.extents(), expected);
        for range in [0..300_000, 7_776..7_778, 5..5, 299_999..300_000] {
            let joined: Vec<u8> = payload.slices(range.clone()).flatten().copied().collect();
            assert_eq!(joined, content[range.start as usize..range.end as usize]);
        }
    }

    #[test]
    fn nothing_and_only_zeros() {
        assert_eq!(Payload::new(&[]).extents(), vec![]);
        let zeros = [Bytes::from(vec![0; 1 << 20])];
        assert_eq!(Payload::new(&zeros).extents(), vec![(0..1 << 20, false)]);
        let few = [Bytes::from(vec![0; 4_096])];
        assert_eq!(Payload::new(&few).extents(), vec![(0..4_096, true)]);
    }
}
