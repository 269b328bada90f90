//! Credit: what keeps a stalled reader of data from stalling control.
//!
//! SCTP has one receive window for all channels of a connection, and the stack stops reading for all of them when one
//! channel's reader is 256 events behind. So bulk data is bounded one level up: the receiver tells the sender how many
//! frames it may have sent in all, a cumulative number like QUIC's `MAX_STREAM_DATA` (RFC 9000 §4.1). Grants travel on a
//! channel of their own, unordered and reliable; only the largest counts, so their order does not matter.
//!
//! Both ends begin with [`DATA_FRAMES`]. A peer that ignores its credit stalls its own link and nothing else: the stack
//! holds a bounded number of its frames and then closes SCTP's window.

/// Data frames that may be sent and not yet read: 12 MiB of full ones, the bandwidth-delay product of 650 Mbit/s at
/// 150 ms. Below the 256 events that the stack queues per channel, with room for the channel's own events.
pub const DATA_FRAMES: u64 = 192;

/// A new grant is worth a message once this many were read: four messages per window.
const GRANT_STEP: u64 = DATA_FRAMES / 4;

/// Bytes of an encoded grant.
pub const GRANT_BYTES: usize = 8;

/// Encodes a grant: the cumulative count of frames, big-endian.
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
        Self { sent: 0, granted: DATA_FRAMES }
    }
}

impl SendCredit {
    /// Takes the credit for one frame; `false`, and nothing taken, if there is none.
    #[must_use]
    pub fn try_take(&mut self) -> bool {
        let allowed = self.sent < self.granted;
        if allowed {
            self.sent += 1;
        }
        allowed
    }

    /// Takes a grant from the peer; an older one changes nothing. `false` if the peer granted more than a window
    /// beyond what was sent, which it never can.
    #[must_use]
    pub fn handle_grant(&mut self, total: u64) -> bool {
        let sane = total <= self.sent.saturating_add(DATA_FRAMES);
        if sane {
            self.granted = self.granted.max(total);
        }
        sane
    }
}

/// The receiver's side: what was read, and what was granted for it.
#[derive(Debug)]
pub struct ReceiveCredit {
    read: u64,
    granted: u64,
}

impl Default for ReceiveCredit {
    fn default() -> Self {
        Self { read: 0, granted: DATA_FRAMES }
    }
}

impl ReceiveCredit {
    /// Accounts for a frame that was read, and returns the grant to send for it, if it is time for one.
    #[must_use]
    pub fn handle_read(&mut self) -> Option<u64> {
        self.read = self.read.saturating_add(1);
        let total = self.read.saturating_add(DATA_FRAMES);
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

    #[test]
    fn grants_survive_encoding() {
        for total in [0, 1, DATA_FRAMES, u64::MAX] {
            assert_eq!(decode_grant(&encode_grant(total)), Some(total));
        }
        assert_eq!(decode_grant(&[0; 7]), None);
        assert_eq!(decode_grant(&[0; 9]), None);
    }

    #[test]
    fn unread_frames_never_exceed_the_window_and_never_deadlock() {
        let (mut sender, mut receiver) = (SendCredit::default(), ReceiveCredit::default());
        let (mut unread, mut grants) = (0, 0);
        for _ in 0..100_000 {
            while !sender.try_take() {
                assert!(unread > 0, "blocked with nothing unread");
                unread -= 1;
                if let Some(grant) = receiver.handle_read() {
                    grants += 1;
                    assert!(sender.handle_grant(grant));
                }
            }
            unread += 1;
            assert!(unread <= DATA_FRAMES);
        }
        assert!(grants <= 100_000 / GRANT_STEP);
    }

    #[test]
    fn old_grants_change_nothing_and_absurd_ones_are_refused() {
        let mut sender = SendCredit::default();
        while sender.try_take() {}
        assert!(sender.handle_grant(DATA_FRAMES + 2));
        assert!(sender.handle_grant(0));
        assert!(sender.try_take() && sender.try_take() && !sender.try_take());
        assert!(!sender.handle_grant(u64::MAX));
        assert!(!sender.try_take());
    }
}
