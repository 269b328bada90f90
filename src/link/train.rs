//! Trains: datagrams of one length in one buffer, of which the last may be shorter. A system takes them (GSO) and gives them (GRO),
//! and puts together whatever goes one way and has one length. So each datagram is judged for itself.
//!
//! What is left of a train is a train, too: all but its last are of one length.
//!
//! Pure.

use std::borrow::Cow;

/// Moves the datagrams of a train that `is_taken` to its front, in order. Returns how many bytes they are.
pub(super) fn retain(
    train: &mut [u8],
    segment: usize,
    mut is_taken: impl FnMut(&[u8]) -> bool,
) -> usize {
    let segment = segment.max(1);
    let (mut at, mut kept) = (0, 0);
    while at < train.len() {
        let end = at.saturating_add(segment).min(train.len());
        if is_taken(&train[at..end]) {
            if kept != at {
                train.copy_within(at..end, kept);
            }
            kept += end - at;
        }
        at = end;
    }
    kept
}

/// The datagrams of a train that `may_go`. It is copied only where some may not.
pub(super) fn select(
    train: &[u8],
    segment: usize,
    mut may_go: impl FnMut(&[u8]) -> bool,
) -> Cow<'_, [u8]> {
    let segment = segment.max(1);
    let mut kept: Option<Vec<u8>> = None;
    for (at, datagram) in train.chunks(segment).enumerate() {
        let is_kept = may_go(datagram);
        match &mut kept {
            Some(kept) if is_kept => kept.extend_from_slice(datagram),
            None if !is_kept => kept = Some(train[..at * segment].to_vec()),
            Some(_) | None => {}
        }
    }
    kept.map_or(Cow::Borrowed(train), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_what_was_taken_in_order() {
        let train: Vec<u8> = (0..11).collect();
        for segment in [0, 1, 3, 4, 11, 20, usize::MAX] {
            for taken in 0..1_u32 << train.len() {
                let chunks = || train.chunks(segment.max(1)).enumerate();
                let is_taken = |at: usize| taken & 1 << at != 0;
                let expected: Vec<u8> = chunks()
                    .filter(|(at, _)| is_taken(*at))
                    .flat_map(|(_, datagram)| datagram.to_vec())
                    .collect();
                let mut judged = 0;
                let mut judge = |datagram: &[u8]| {
                    assert_eq!(chunks().nth(judged).map(|(_, datagram)| datagram), Some(datagram));
                    judged += 1;
                    is_taken(judged - 1)
                };
                assert_eq!(*select(&train, segment, &mut judge), expected);
                let mut left = train.clone();
                judged = 0;
                let mut judge = |datagram: &[u8]| {
                    assert_eq!(chunks().nth(judged).map(|(_, datagram)| datagram), Some(datagram));
                    judged += 1;
                    is_taken(judged - 1)
                };
                let bytes = retain(&mut left, segment, &mut judge);
                assert_eq!(left[..bytes], expected);
            }
        }
    }
}
