//! What a datagram is, by its first bytes (RFC 7983), as the stack tells it. The one place where it is told.
//!
//! The stack asks for STUN's cookie before it looks at the first byte, and leaves the first two bits of a message out of account:
//! a record or ChannelData with the cookie in its place is read as STUN by it. Nobody honest sends one (a record has an epoch of
//! 0 or 1 there, and what is in ChannelData begins with a first byte of this table), so here it is nothing.
//!
//! Pure.

use super::stun;
use crate::carrier::Carrier;

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// 0–3, with the cookie.
    Stun,
    /// 0x0c.
    Carrier,
    /// 20–63: a record.
    Dtls,
    /// 64–79 (RFC 8656 §12).
    ChannelData,
    /// Nothing that we speak.
    Unknown,
}

impl Protocol {
    pub(super) fn of(datagram: &[u8]) -> Self {
        match datagram.first() {
            // The stack never sees it.
            Some(_) if Carrier::is_carried(datagram) => Self::Carrier,
            Some(0..=3) if stun::has_cookie(datagram) => Self::Stun,
            Some(20..=63) if !stun::has_cookie(datagram) => Self::Dtls,
            Some(64..=79) if !stun::has_cookie(datagram) => Self::ChannelData,
            Some(_) | None => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_makes_stun_of_the_right_first_bytes_and_nothing_of_others() {
        for first in 0..=255 {
            let mut datagram = [first; 20];
            let expected = match first {
                12 => Protocol::Carrier,
                20..=63 => Protocol::Dtls,
                64..=79 => Protocol::ChannelData,
                _ => Protocol::Unknown,
            };
            assert_eq!(Protocol::of(&datagram), expected, "{first}");
            datagram[4..8].copy_from_slice(&stun::MAGIC_COOKIE);
            let expected = match first {
                0..=3 => Protocol::Stun,
                12 => Protocol::Carrier,
                _ => Protocol::Unknown,
            };
            assert_eq!(Protocol::of(&datagram), expected, "{first}");
            assert_eq!(rtc::stun::message::is_stun_message(&datagram), stun::has_cookie(&datagram));
        }
        assert_eq!(Protocol::of(&[]), Protocol::Unknown);
        let short = [&[22, 0, 0, 0][..], &stun::MAGIC_COOKIE, &[0; 11]].concat();
        assert_eq!(Protocol::of(&short), Protocol::Dtls, "too short for the stack, too");
    }
}
