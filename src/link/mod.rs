//! One connection between two members: what it is told ([`LinkCommand`]), what it tells ([`LinkEvent`]), and its limits.
//!
//! This file and `admission`, [`allocation`], [`config`], [`candidates`], [`credit`], `demultiplexing`, `description`, `stun`, `train` and `turn_framing` are pure. I/O is in two places only: [`driver`], which owns the
//! peer connection, and [`socket`], the runtime that hands the stack its sockets and timers.
//!
//! Invariants:
//! - The offerer is always the side whose role is receiver, so two offers never cross.
//! - Nothing here decides when to reconnect: an ICE restart happens only on [`LinkCommand::RestartIce`].
//! - Bulk data never blocks control: [`Channel::Data`] is bounded by [`credit`], not by SCTP's one window for all channels.
//! - Every failure is a [`LinkEvent::Closed`] or a [`LinkError`].

use std::net::SocketAddr;
use std::time::Duration;

mod admission;
pub mod allocation;
#[cfg(not(target_family = "wasm"))]
pub mod cable;
pub mod candidates;
pub mod config;
pub mod credit;
mod demultiplexing;
mod description;
#[cfg(not(target_family = "wasm"))]
pub mod driver;
pub mod health;
#[cfg(not(target_family = "wasm"))]
pub mod interfaces;
pub mod quality;
#[cfg(not(target_family = "wasm"))]
pub mod socket;
mod stun;
mod train;
mod turn_framing;

#[cfg(not(target_family = "wasm"))]
#[cfg(feature = "fault-injection")]
pub mod fault;
#[cfg(feature = "fault-injection")]
pub mod fuzzing;

pub use crate::wire::frame::FRAME_BYTES_MAX;
pub use crate::wire::{CarrierTokens, Channel};
pub use allocation::Allocation;
pub use config::{LinkConfig, PathPolicy, TurnServer};
#[cfg(not(target_family = "wasm"))]
pub use driver::{EventReceiver, FrameReceiver, Link, LinkDriver, LinkHandle, Progress};

/// Largest session description taken from a peer. Ours are about 2 KiB; a browser's data-only one stays below 8 KiB.
pub const DESCRIPTION_BYTES_MAX: usize = 64 * 1024;

/// Largest candidate line taken from a peer; RFC 8839 lines are about 120 bytes, extensions included.
pub const CANDIDATE_BYTES_MAX: usize = 1024;

/// An ICE candidate as signaling carries it (RFC 8839 §5.1, W3C `RTCIceCandidateInit`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The candidate attribute, beginning with `candidate:`.
    pub candidate: String,
    /// The media section it belongs to, by its `mid`.
    pub sdp_mid: Option<String>,
    /// The media section it belongs to, by position.
    pub sdp_mline_index: Option<u16>,
}

/// What the owner of a link asks of it. Commands are carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkCommand {
    /// Make an offer (receiver role only); answered by [`LinkEvent::LocalDescription`].
    Offer,
    /// Take the peer's offer and answer it; also how an ICE restart of the offerer is answered.
    Answer {
        /// The offer as SDP.
        offer: String,
    },
    /// Take the answer to our last offer.
    AcceptAnswer {
        /// The answer as SDP.
        answer: String,
    },
    /// Take a candidate that trickled in; one that comes before its description is kept (V-23).
    AddCandidate(Candidate),
    /// Offer new ICE credentials on new sockets. The old path is gone from here on (receiver role only).
    RestartIce,
    /// How the datagrams of the carrier are known: before the description of the peer that begins the connection. A link
    /// that was built without a carrier has no use for it.
    Carry(CarrierTokens),
    /// Other TURN servers or credentials, for the candidates that are gathered from here on: before an ICE restart.
    SetTurnServers(Vec<TurnServer>),
    /// Say goodbye and end the link, bounded in time (K-41).
    Close,
    /// End the link without waiting for what is queued: nothing in it matters any more.
    CloseNow,
}

/// The state of ICE, as RFC 8445 and W3C name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IceState {
    /// No description exchanged yet.
    New,
    /// Pairs are being checked.
    Checking,
    /// A pair works.
    Connected,
    /// Nothing came in for 5 s; it may come back by itself.
    Disconnected,
    /// No pair works; only a restart or a new link helps.
    Failed,
    /// The link is closed.
    Closed,
}

/// Whether packets go straight to the peer or through a TURN server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// Straight to the peer.
    Direct,
    /// Through a TURN server on at least one side.
    Relay,
}

/// The nominated candidate pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathReport {
    /// Direct or relayed.
    pub kind: PathKind,
    /// Our end of the pair.
    pub local: SocketAddr,
    /// The peer's end of the pair.
    pub remote: SocketAddr,
    /// The last round trip a connectivity check measured, if one did.
    pub rtt: Option<Duration>,
}

/// Why a link ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// Asked for on this side.
    #[error("closed on this side")]
    Local,
    /// Asked for on this side, without waiting.
    #[error("closed on this side at once")]
    LocalNow,
    /// The peer closed a channel or the connection.
    #[error("closed by the peer")]
    Peer,
    /// A description or its application failed.
    #[error("negotiation failed: {0}")]
    Negotiation(String),
    /// DTLS or SCTP failed, or the stack stopped.
    #[error("transport failed: {0}")]
    Transport(String),
    /// The peer broke a limit that both ends agreed on.
    #[error("peer broke the protocol: {0}")]
    Violation(&'static str),
}

/// What a link tells its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// To be sent to the peer: an offer or an answer, with the host candidates inside.
    LocalDescription {
        /// The description as SDP.
        sdp: String,
        /// Whether it replaces the ICE credentials of a link that had some.
        ice_restart: bool,
    },
    /// To be sent to the peer: a candidate found after the description was given out.
    LocalCandidate(Candidate),
    /// No more candidates will come for the current description.
    CandidatesEnd,
    /// The state of ICE changed.
    Ice(IceState),
    /// DTLS has authenticated the peer and agreed on keys.
    Secured,
    /// All channels are open; comes once.
    Open,
    /// The path in use; after [`LinkEvent::Open`] and after each later [`IceState::Connected`].
    Path(PathReport),
    /// What a TURN server said to the request for an allocation; each server at most once in a gathering.
    Allocation {
        /// As it was configured.
        url: String,
        /// What it said.
        outcome: Allocation,
    },
    /// The link ended; nothing comes after this.
    Closed {
        /// Why it ended.
        reason: CloseReason,
    },
}

/// A call that a link refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The queue is full; wait for [`LinkHandle::writable`].
    #[error("send queue is full")]
    Full,
    /// The link has ended or is ending.
    #[error("link is closed")]
    Closed,
    /// The frame is longer than [`FRAME_BYTES_MAX`].
    #[error("frame is longer than {FRAME_BYTES_MAX} bytes")]
    FrameTooLong,
    /// The description is longer than [`DESCRIPTION_BYTES_MAX`], or the candidate than [`CANDIDATE_BYTES_MAX`].
    #[error("description or candidate is too long")]
    SignalTooLong,
}

/// A frame that was not taken, given back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Unsent {
    /// Why.
    pub error: LinkError,
    /// The frame.
    pub frame: bytes::Bytes,
}

/// A link that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No socket could be opened or sized.
    #[error("cannot open a UDP socket: {0}")]
    Socket(#[from] std::io::Error),
    /// The WebRTC stack refused the configuration.
    #[error("cannot start the connection: {0}")]
    Stack(String),
    /// The configuration is out of its bounds.
    #[error("link configuration: {0}")]
    Config(&'static str),
}

#[cfg(test)]
mod tests;
