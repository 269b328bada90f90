//! The datagrams of the carrier: data, acknowledgement, probe. All integers are big-endian.
//!
//! ```text
//! every datagram   marker 0x0c (1) · kind (1) · token (8)
//! data             packet number (4, low bits) · stream offset (6, low bits) · payload, to the end
//! acknowledgement  largest packet number (8) · delay in µs (4) · bytes in order (8) · window (4) · socket buffer (4) ·
//!                  further ranges (1) · length − 1 of the first range · { gap − 1 · length − 1 } (varints, RFC 9000 §16)
//! probe            packet number (4, low bits) · zeros, to the end
//! ```

use std::ops::Range;

use super::ranges::RangeSet;

/// First byte: in 4–15, which RFC 7983 and RFC 9443 leave to nobody.
pub(super) const MARKER: u8 = 0x0c;
const KIND_DATA: u8 = 0;
const KIND_ACKNOWLEDGEMENT: u8 = 1;
const KIND_PROBE: u8 = 2;

/// Bytes before the payload of a data datagram.
pub(super) const DATA_HEADER_BYTES: usize = 20;
/// A probe without padding.
pub(super) const PROBE_BYTES_MIN: usize = 14;
/// Ranges beside the first in one acknowledgement. At 5 % loss and eight datagrams per acknowledgement they reach 1,200
/// datagrams back, so that several acknowledgements may be lost; the whole stays below 300 bytes.
pub(super) const RANGES_MAX: usize = 63;

/// A datagram as received; numbers are still cut to their low bits.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Datagram<'a> {
    Data { number: u32, offset: u64, payload: &'a [u8] },
    Acknowledgement(Acknowledgement<'a>),
    Probe { number: u32 },
}

/// What the peer has received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acknowledgement<'a> {
    pub(super) largest: u64,
    /// How long the peer held the largest before it answered.
    pub(super) delay_microseconds: u32,
    /// Stream bytes that arrived without a hole.
    pub(super) contiguous: u64,
    /// Stream bytes past `contiguous` that the peer has room for.
    pub(super) window: u32,
    /// What its socket can hold of what it has not read yet.
    pub(super) buffer: u32,
    further: u8,
    ranges: &'a [u8],
}

/// Why a datagram is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed,
    WrongToken,
}

/// What a datagram says its token is.
pub(super) fn token(datagram: &[u8]) -> Option<u64> {
    let token = datagram.get(2..)?.first_chunk()?;
    Some(u64::from_be_bytes(*token))
}

pub(super) fn decode(datagram: &[u8], token: u64) -> Result<Datagram<'_>, Refusal> {
    let mut reader = Reader { rest: datagram };
    if reader.unsigned(1) != Some(u64::from(MARKER)) {
        return Err(Refusal::Malformed);
    }
    let kind = reader.unsigned(1).ok_or(Refusal::Malformed)?;
    if reader.unsigned(8).ok_or(Refusal::Malformed)? != token {
        return Err(Refusal::WrongToken);
    }
    let body = match u8::try_from(kind).unwrap_or(u8::MAX) {
        KIND_DATA => reader.data(),
        KIND_ACKNOWLEDGEMENT => reader.acknowledgement(),
        KIND_PROBE => reader.number().map(|number| Datagram::Probe { number }),
        _ => None,
    };
    body.ok_or(Refusal::Malformed)
}

pub(super) fn encode_data_header(token: u64, number: u64, offset: u64, out: &mut Vec<u8>) {
    let mut header = [0; DATA_HEADER_BYTES];
    header[0] = MARKER;
    header[1] = KIND_DATA;
    header[2..10].copy_from_slice(&token.to_be_bytes());
    header[10..14].copy_from_slice(&(number as u32).to_be_bytes());
    header[14..20].copy_from_slice(&offset.to_be_bytes()[2..]);
    out.extend_from_slice(&header);
}

pub(super) fn encode_probe(token: u64, number: u64, bytes: usize, out: &mut Vec<u8>) {
    let end = out.len() + bytes.max(PROBE_BYTES_MIN);
    out.extend_from_slice(&[MARKER, KIND_PROBE]);
    out.extend_from_slice(&token.to_be_bytes());
    out.extend_from_slice(&(number as u32).to_be_bytes());
    out.resize(end, 0);
}

/// Writes the newest ranges of `received`; nothing if it is empty.
pub(super) fn encode_acknowledgement(
    token: u64,
    received: &RangeSet,
    delay_microseconds: u32,
    contiguous: u64,
    (window, buffer): (u32, u32),
    out: &mut Vec<u8>,
) {
    let mut ranges = received.iter_descending().take(RANGES_MAX + 1);
    let Some(first) = ranges.next() else { return };
    out.extend_from_slice(&[MARKER, KIND_ACKNOWLEDGEMENT]);
    out.extend_from_slice(&token.to_be_bytes());
    out.extend_from_slice(&(first.end - 1).to_be_bytes());
    out.extend_from_slice(&delay_microseconds.to_be_bytes());
    out.extend_from_slice(&contiguous.to_be_bytes());
    out.extend_from_slice(&window.to_be_bytes());
    out.extend_from_slice(&buffer.to_be_bytes());
    out.push((received.len() - 1).min(RANGES_MAX) as u8);
    encode_varint(first.end - first.start - 1, out);
    let mut above = first.start;
    for range in ranges {
        encode_varint(above - range.end - 1, out);
        encode_varint(range.end - range.start - 1, out);
        above = range.start;
    }
}

impl Acknowledgement<'_> {
    /// Calls `each` with the ranges, from the highest down. False: they are not well-formed, and what was given until then
    /// is still true as far as the peer is concerned.
    pub(super) fn for_each_range(&self, mut each: impl FnMut(Range<u64>)) -> bool {
        let mut reader = Reader { rest: self.ranges };
        let mut end = self.largest.checked_add(1);
        for index in 0..=self.further {
            if index > 0 {
                let gap = reader.varint().and_then(|gap| gap.checked_add(1));
                end = end.zip(gap).and_then(|(above, gap)| above.checked_sub(gap));
            }
            let length = reader.varint().and_then(|length| length.checked_add(1));
            let start = end.zip(length).and_then(|(end, length)| end.checked_sub(length));
            let Some((start, last)) = start.zip(end) else { return false };
            each(start..last);
            end = Some(start);
        }
        true
    }
}

/// The number nearest to `expected` whose low bits, `bits` of them, are `low` (RFC 9000 §A.3).
pub(super) fn expand(low: u64, bits: u32, expected: u64) -> u64 {
    let window = 1_u64 << bits;
    let candidate = (expected & !(window - 1)) | low;
    if candidate.saturating_add(window / 2) <= expected {
        candidate.saturating_add(window)
    } else if candidate > expected.saturating_add(window / 2) && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

fn encode_varint(value: u64, out: &mut Vec<u8>) {
    match value {
        0..=0x3f => out.push(value as u8),
        0x40..=0x3fff => out.extend_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
        0x4000..=0x3fff_ffff => {
            out.extend_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes());
        }
        _ => out.extend_from_slice(&(value | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn data(&mut self) -> Option<Datagram<'a>> {
        let number = self.number()?;
        let offset = self.unsigned(6)?;
        let payload = self.rest;
        (!payload.is_empty()).then_some(Datagram::Data { number, offset, payload })
    }

    fn acknowledgement(&mut self) -> Option<Datagram<'a>> {
        let largest = self.unsigned(8)?;
        let delay_microseconds = u32::try_from(self.unsigned(4)?).ok()?;
        let contiguous = self.unsigned(8)?;
        let window = u32::try_from(self.unsigned(4)?).ok()?;
        let buffer = u32::try_from(self.unsigned(4)?).ok()?;
        let further = u8::try_from(self.unsigned(1)?).ok()?;
        if usize::from(further) > RANGES_MAX {
            return None;
        }
        Some(Datagram::Acknowledgement(Acknowledgement {
            largest,
            delay_microseconds,
            contiguous,
            window,
            buffer,
            further,
            ranges: self.rest,
        }))
    }

    fn number(&mut self) -> Option<u32> {
        u32::try_from(self.unsigned(4)?).ok()
    }

    fn unsigned(&mut self, bytes: usize) -> Option<u64> {
        let (head, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(head.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn varint(&mut self) -> Option<u64> {
        let first = *self.rest.first()?;
        let bytes = 1_usize << (first >> 6);
        let value = self.unsigned(bytes)?;
        Some(value & (u64::MAX >> (66 - 8 * bytes as u32)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(ranges: &[Range<u64>]) -> RangeSet {
        let mut set = RangeSet::default();
        ranges.iter().for_each(|range| set.insert(range.clone(), |_| {}));
        set
    }

    #[test]
    fn the_bytes_are_these() {
        let mut out = Vec::new();
        encode_data_header(0x0102_0304_0506_0708, 0x1_0000_0002, 0xa_0000_0000_0003, &mut out);
        let header = [12, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 3];
        assert_eq!(out, header);
        out.clear();
        encode_acknowledgement(1, &set(&[2..4, 100..200]), 5, 6, (7, 8), &mut out);
        let head = [12, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 199];
        assert_eq!(out[..18], head);
        let rest = [0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0, 8, 1];
        assert_eq!(out[18..39], rest);
        assert_eq!(out[39..], [0x40, 99, 0x40, 95, 1]);
    }

    #[test]
    fn no_more_ranges_than_allowed_are_written_or_read() {
        let many: Vec<_> = (0..200).map(|index| index * 10..index * 10 + 5).collect();
        let mut out = Vec::new();
        encode_acknowledgement(1, &set(&many), 0, 0, (0, 0), &mut out);
        let Ok(Datagram::Acknowledgement(read)) = decode(&out, 1) else { panic!("refused") };
        let mut ranges = Vec::new();
        assert!(read.for_each_range(|range| ranges.push(range)));
        assert_eq!(ranges.len(), RANGES_MAX + 1);
        assert!(ranges.iter().eq(many.iter().rev().take(RANGES_MAX + 1)));
        out[38] = RANGES_MAX as u8 + 1;
        assert_eq!(decode(&out, 1), Err(Refusal::Malformed));
        assert_eq!(decode(&out, 2), Err(Refusal::WrongToken));
    }

    proptest! {
        #[test]
        fn numbers_near_what_is_expected_are_found_again(expected in 0..u64::MAX / 4, apart in -1_000_000_i64..1_000_000) {
            let number = expected.saturating_add_signed(apart);
            prop_assert_eq!(expand(number & 0xffff_ffff, 32, expected), number);
        }

        /// Whatever is read, its ranges descend and stay apart.
        #[test]
        fn ranges_of_any_bytes_descend(largest: u64, rest in prop::collection::vec(any::<u8>(), 21..200)) {
            let mut datagram = vec![MARKER, KIND_ACKNOWLEDGEMENT, 0, 0, 0, 0, 0, 0, 0, 1];
            datagram.extend_from_slice(&largest.to_be_bytes());
            datagram.extend_from_slice(&rest);
            datagram[38] %= 64;
            if let Ok(Datagram::Acknowledgement(read)) = decode(&datagram, 1) {
                let mut above = None;
                let mut is_apart = true;
                read.for_each_range(|range| {
                    is_apart &= !range.is_empty() && above.is_none_or(|above| range.end < above);
                    above = Some(range.start);
                });
                prop_assert!(is_apart);
            }
        }
    }
}
