//! Frames: the binary messages of a data channel, at most 65,536 bytes with their header (F-19, K-39).
//!
//! The first byte says what a frame is. A [`super::Message`] is one frame, or several fragments where it is larger; the
//! content of a unit follows its head as body frames, which carry nothing but bytes: the channel is ordered.

/// Largest frame in bytes, header included: the stack's default limit, and a browser's.
pub const FRAME_BYTES_MAX: usize = 65_536;

/// First byte of a frame that holds a whole message, or the last fragment of one.
pub const KIND_MESSAGE: u8 = 0;

/// First byte of a frame that holds a fragment of a message, more of it to come.
pub const KIND_FRAGMENT: u8 = 1;

/// First byte of a frame that holds content of the unit whose head came last.
pub const KIND_BODY: u8 = 2;

/// Content bytes of a full body frame: a unit of 1 MiB makes 17 nearly equal frames rather than 16 and a stub.
pub const BODY_BYTES: usize = 61_696;
