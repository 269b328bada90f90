//! What two members say to each other over a link, and the identifiers both sides share.
//!
//! Pure: no I/O, no clock; imports nothing of the crate. Messages themselves live with the machines that speak them. Every limit
//! is a constant of ours and is checked when encoding and when decoding (design: limits are never taken from the peer).

pub mod address;
mod channel;
pub mod codec;
pub mod frame;
mod ids;

pub use channel::Channel;
pub use codec::CodecError;
pub use ids::{CarrierTokens, MemberId, SessionId, SessionSecret};

/// Version of everything below: wire messages, sealed signaling and the host's protocol. A peer or host that speaks
/// another one is refused with an error that names both (F-04).
pub const PROTOCOL_VERSION: u16 = 1;
