//! Credit: what keeps a stalled reader of data from stalling control.
//!
//! SCTP has one receive window for all channels of a connection, and the stack stops reading for all of them when one
//! channel's reader is behind. So bulk data is bounded one level up: the receiver tells the sender how much it may have
//! sent in all, a cumulative number like QUIC's `MAX_STREAM_DATA` (RFC 9000 §4.1). Grants travel on a channel of their
//! own, unordered and reliable; only the largest counts, so their order does not matter.
//!
//! Both ends begin with [`DATA_WINDOW`]. A frame costs its length plus [`FRAME_COST`], so that many tiny frames are
//! bounded too. The cost of what waits unread is never more than the window.

/// Cost that may be sent and not yet read. Above the bandwidth-delay product of 400 Mbit/s at 150 ms.
pub const DATA_WINDOW: u64 = 8 * 1024 * 1024;

/// Cost of a frame besides its length: about what a queue keeps per entry, rounded up.
pub const FRAME_COST: u64 = 1024;

/// Most frames that can wait unread, which is what a queue must hold to never block.
pub const FRAMES_MAX: usize = (DATA_WINDOW / FRAME_COST) as usize;

/// A new grant is worth a message once this much was read: four messages per window.
const GRANT_STEP: u64 = DATA_WINDOW / 4;

/// Bytes of an encoded grant.
pub const GRANT_BYTES: usize = 8;

/// What a frame of `length` bytes costs.
#[must_use]
pub const fn frame_cost(length: usize) -> u64 {
    length as u64 + FRAME_COST
}

/// Encodes a grant: the cumulative cost, big-endian.
#[must_use]
pub const fn encode_grant(total: u64) -> [u8; GRANT_BYTES] {
    total.to_be_bytes()
}

/// Decodes a grant; `None` if it has another length.
#[must_use]
pub fn decode_grant(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// The sender's side: what was sent, and what may be.
#[derive(Debug)]
pub struct SendCredit {
    sent: u64,
    granted: u64,
}

impl Default for SendCredit {
    fn default() -> Self {
        Self {
            sent: 0,
            granted: DATA_WINDOW,
        }
    }
}

impl SendCredit {
    /// Takes the credit for a frame; `false`, and nothing taken, if there is too little.
    pub fn try_take(&mut self, length: usize) -> bool {
        let sent = self.sent.saturating_add(frame_cost(length));
        let allowed = sent <= self.granted;
        if allowed {
            self.sent = sent;
        }
        allowed
    }

    /// Takes a grant from the peer; an older one changes nothing. `false` if the peer granted more than a window
    /// beyond what was sent, which it never can.
    #[must_use]
    pub fn handle_grant(&mut self, total: u64) -> bool {
        self.granted = self.granted.max(total);
        self.granted <= self.sent.saturating_add(DATA_WINDOW)
    }
}

/// The receiver's side: what came in, what was read, and what was granted for it.
#[derive(Debug)]
pub struct ReceiveCredit {
    received: u64,
    read: u64,
    granted: u64,
}

impl Default for ReceiveCredit {
    fn default() -> Self {
        Self {
            received: 0,
            read: 0,
            granted: DATA_WINDOW,
        }
    }
}

impl ReceiveCredit {
    /// Accounts for a frame that arrived; `false` if the peer had no credit for it.
    #[must_use]
    pub fn handle_frame(&mut self, length: usize) -> bool {
        self.received = self.received.saturating_add(frame_cost(length));
        self.received <= self.granted
    }

    /// Accounts for a frame that was read, and returns the grant to send for it, if it is time for one.
    #[must_use]
    pub fn handle_read(&mut self, length: usize) -> Option<u64> {
        self.read = self.read.saturating_add(frame_cost(length));
        let total = self.read.saturating_add(DATA_WINDOW);
        if total - self.granted < GRANT_STEP {
            return None;
        }
        self.granted = total;
        Some(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::FRAME_BYTES_MAX;
    use std::collections::VecDeque;

    #[test]
    fn grants_survive_encoding() {
        for total in [0, 1, DATA_WINDOW, u64::MAX] {
            assert_eq!(decode_grant(&encode_grant(total)), Some(total));
        }
        assert_eq!(decode_grant(&[0; 7]), None);
        assert_eq!(decode_grant(&[0; 9]), None);
    }

    #[test]
    fn unread_cost_never_exceeds_the_window_and_never_deadlocks() {
        let (mut sender, mut receiver) = (SendCredit::default(), ReceiveCredit::default());
        let mut unread = VecDeque::new();
        let mut moved = 0_u64;
        // Lengths of every kind, by a fixed walk through the range.
        for step in 0_usize..200_000 {
            let length = step.wrapping_mul(7919) % (FRAME_BYTES_MAX + 1);
            while !sender.try_take(length) {
                let read = unread
                    .pop_front()
                    .expect("a blocked sender has something unread");
                if let Some(grant) = receiver.handle_read(read) {
                    assert!(sender.handle_grant(grant));
                }
            }
            assert!(receiver.handle_frame(length));
            unread.push_back(length);
            moved += frame_cost(length);
            let waiting: u64 = if step % 1000 == 0 {
                unread.iter().map(|length| frame_cost(*length)).sum()
            } else {
                0
            };
            assert!(waiting <= DATA_WINDOW);
            assert!(unread.len() <= FRAMES_MAX);
        }
        assert!(moved > 100 * DATA_WINDOW);
    }

    #[test]
    fn a_peer_that_ignores_credit_is_noticed() {
        let mut receiver = ReceiveCredit::default();
        let frames = DATA_WINDOW / frame_cost(FRAME_BYTES_MAX);
        for _ in 0..frames {
            assert!(receiver.handle_frame(FRAME_BYTES_MAX));
        }
        assert!(!receiver.handle_frame(FRAME_BYTES_MAX));
    }

    #[test]
    fn old_grants_change_nothing_and_absurd_ones_are_noticed() {
        let mut sender = SendCredit::default();
        while sender.try_take(FRAME_BYTES_MAX) {}
        assert!(sender.handle_grant(DATA_WINDOW + 10 * frame_cost(FRAME_BYTES_MAX)));
        assert!(sender.handle_grant(0));
        assert!(sender.try_take(FRAME_BYTES_MAX));
        assert!(!sender.handle_grant(u64::MAX));
    }
}
