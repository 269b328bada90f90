//! A window of a byte stream in memory, addressed by stream offset.

/// Where it starts: two records of 16 KiB and their neighbours.
const BYTES_START: usize = 64 * 1024;

/// A power-of-two ring that doubles while the window grows. It never shrinks: it lives as long as its connection and is
/// bounded by [`STREAM_BYTES_MAX`](super::STREAM_BYTES_MAX).
#[derive(Debug, Default)]
pub(super) struct ByteRing {
    bytes: Vec<u8>,
}

impl ByteRing {
    /// Makes room for the window `start..end`, of which `start..live_end` may hold bytes to keep.
    pub(super) fn reserve(&mut self, start: u64, live_end: u64, end: u64) {
        let needed = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        if needed <= self.bytes.len() {
            return;
        }
        let mut grown = Self { bytes: vec![0; needed.next_power_of_two().max(BYTES_START)] };
        let mut at = start;
        while at < live_end {
            let piece = self.contiguous(at, live_end);
            if piece.is_empty() {
                break;
            }
            grown.write(at, piece);
            at += piece.len() as u64;
        }
        *self = grown;
    }

    /// Copies `source` in at `offset`; the caller reserved the place.
    pub(super) fn write(&mut self, offset: u64, source: &[u8]) {
        let at = self.index(offset);
        let until_end = self.bytes.len().saturating_sub(at).min(source.len());
        let (head, tail) = source.split_at(until_end);
        if let Some(place) = self.bytes.get_mut(at..at + head.len()) {
            place.copy_from_slice(head);
        }
        if let Some(place) = self.bytes.get_mut(..tail.len()) {
            place.copy_from_slice(tail);
        }
    }

    /// Copies from `offset` on into `target`.
    pub(super) fn read(&self, offset: u64, target: &mut [u8]) {
        let end = offset + target.len() as u64;
        let head = self.contiguous(offset, end);
        let length = head.len().min(target.len());
        let (first, rest) = target.split_at_mut(length);
        first.copy_from_slice(&head[..length]);
        if let Some(tail) = self.bytes.get(..rest.len()) {
            rest.copy_from_slice(tail);
        }
    }

    /// Appends the bytes from `offset` on to `target`.
    pub(super) fn append(&self, offset: u64, length: usize, target: &mut Vec<u8>) {
        let head = self.contiguous(offset, offset + length as u64);
        target.extend_from_slice(head);
        if let Some(tail) = self.bytes.get(..length - head.len()) {
            target.extend_from_slice(tail);
        }
    }

    /// The bytes of `start..end` up to where the ring wraps.
    fn contiguous(&self, start: u64, end: u64) -> &[u8] {
        let at = self.index(start);
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        let until = at.saturating_add(length).min(self.bytes.len());
        self.bytes.get(at..until).unwrap_or_default()
    }

    fn index(&self, offset: u64) -> usize {
        let mask = (self.bytes.len() as u64).wrapping_sub(1);
        if self.bytes.is_empty() { 0 } else { (offset & mask) as usize }
    }

    /// Bytes of memory it holds.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_wrapping_and_growing() {
        let pattern: Vec<u8> = (0..200_000_u32).map(|index| (index % 251) as u8).collect();
        let mut ring = ByteRing::default();
        let start = 60_000_u64;
        ring.reserve(start, start, start + 10);
        assert_eq!(ring.capacity(), BYTES_START);
        ring.write(start, &pattern[..60_000]);
        ring.reserve(start, start + 60_000, start + 200_000);
        ring.write(start + 60_000, &pattern[60_000..]);
        let mut read = vec![0; 200_000];
        ring.read(start, &mut read);
        assert!(read == pattern);
        let mut appended = Vec::new();
        ring.append(start + 1, 199_999, &mut appended);
        assert!(appended == pattern[1..]);
    }
}
