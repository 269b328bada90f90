//! Frames: the binary messages of a data channel, at most 65,536 bytes with their header (F-19, K-39).
//!
//! The first byte says what a frame is. A message is one frame, or several fragments where it is larger; the
//! content of a unit follows its head as body frames, which carry nothing but bytes: the channel is ordered.

use super::{CodecError, codec};
use bytes::Bytes;

/// Largest frame in bytes, header included: the stack's default limit, and a browser's.
pub const FRAME_BYTES_MAX: usize = 65_536;

/// First byte of a frame that holds a whole message, or the last fragment of one.
pub const KIND_MESSAGE: u8 = 0;

/// First byte of a frame that holds a fragment of a message, more of it to come.
pub const KIND_FRAGMENT: u8 = 1;

/// First byte of a frame that holds content of the unit whose head came last.
pub const KIND_BODY: u8 = 2;

/// Content bytes of a full body frame: a multiple of 16 KiB, as a hash in wide registers takes sixteen chunks of 1 KiB at a
/// time; 61,696 took twice as long to hash in pieces. A unit of 1 MiB is 21 of them and a third.
pub const BODY_BYTES: usize = 49_152;

/// Largest message in bytes; larger than a frame only for the recovery exchange (X7: under 1 MB for 10^6 files).
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The frames of an encoded message, in order.
#[must_use]
pub fn split(message: &[u8]) -> Vec<Bytes> {
    let mut pieces = message.chunks(FRAME_BYTES_MAX - 1).peekable();
    let mut frames = Vec::with_capacity(1);
    while let Some(piece) = pieces.next() {
        let kind = if pieces.peek().is_some() { KIND_FRAGMENT } else { KIND_MESSAGE };
        let mut frame = Vec::with_capacity(1 + piece.len());
        frame.push(kind);
        frame.extend_from_slice(piece);
        frames.push(Bytes::from(frame));
    }
    frames
}

/// What a frame turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A whole message, encoded.
    Message(Bytes),
    /// Content of the unit whose head came last.
    Body(Bytes),
}

/// Puts the frames of one channel together again.
#[derive(Debug, Default)]
pub struct Assembler {
    partial: Vec<u8>,
}

impl Assembler {
    /// With nothing pending.
    #[must_use]
    pub const fn new() -> Self {
        Self { partial: Vec::new() }
    }

    /// Takes the next frame of the channel; `None` while a message is incomplete.
    ///
    /// # Errors
    /// An empty, oversized or unknown frame, a body in the midst of a message, or a message over its limit.
    pub fn handle_frame(&mut self, frame: &Bytes) -> Result<Option<Frame>, CodecError> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(CodecError::TooLarge {
                what: "frame",
                bytes: frame.len(),
                limit: FRAME_BYTES_MAX,
            });
        }
        let pending = self.partial.len();
        let whole = pending + frame.len().saturating_sub(1);
        match frame.first().copied() {
            Some(KIND_BODY) if pending == 0 => Ok(Some(Frame::Body(frame.slice(1..)))),
            Some(KIND_MESSAGE) if pending == 0 => Ok(Some(Frame::Message(frame.slice(1..)))),
            Some(KIND_MESSAGE | KIND_FRAGMENT) if whole > MESSAGE_BYTES_MAX => {
                Err(CodecError::TooLarge {
                    what: "message",
                    bytes: whole,
                    limit: MESSAGE_BYTES_MAX,
                })
            }
            Some(KIND_MESSAGE) => {
                self.partial.extend_from_slice(&frame[1..]);
                Ok(Some(Frame::Message(Bytes::from(std::mem::take(&mut self.partial)))))
            }
            // A fragment carries bytes, or a peer could send them for ever.
            Some(KIND_FRAGMENT) if frame.len() > 1 => {
                self.partial.extend_from_slice(&frame[1..]);
                Ok(None)
            }
            Some(_) | None => Err(codec::malformed("frame", "unknown kind, or no content")),
        }
    }
}
