//! What the stack reports, carried from its thread to the actor.

use std::sync::Arc;

use tokio::sync::mpsc;
use webrtc::data_channel::DataChannel;
use webrtc::peer_connection::{
    PeerConnectionEventHandler, RTCIceCandidateType, RTCIceConnectionState, RTCIceGatheringState,
    RTCPeerConnectionIceEvent, RTCPeerConnectionState,
};

use crate::link::{Candidate, CloseReason, IceState};

/// A fact from the stack or from a pump.
#[derive(Debug)]
pub(super) enum StackEvent {
    /// A local candidate was found.
    Candidate { candidate: Candidate, is_host: bool },
    /// Gathering is complete.
    CandidatesEnd,
    /// The state of ICE changed.
    Ice(IceState),
    /// DTLS is up.
    Secured,
    /// DTLS failed, or ICE did.
    ConnectionFailed,
    /// A channel that has a pump opened: control, pulse or credit.
    Opened,
    /// The link cannot go on.
    Ended(CloseReason),
}

/// Receives callbacks on the stack's own thread: it must never wait there.
pub(super) struct Handler {
    events: mpsc::Sender<StackEvent>,
}

impl Handler {
    pub(super) fn new(events: mpsc::Sender<StackEvent>) -> Self {
        Self { events }
    }

    fn report(&self, event: StackEvent) {
        // Full means hundreds of candidates: losing one loses a pair, waiting would stop the link.
        if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
            tracing::warn!(target: "rejoin::lifecycle", ?event, "too many events, one lost");
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the stack's enums are open")]
#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let is_host = event.candidate.typ == RTCIceCandidateType::Host;
        match event.candidate.to_json() {
            Ok(init) => self.report(StackEvent::Candidate {
                candidate: Candidate {
                    candidate: init.candidate,
                    sdp_mid: init.sdp_mid,
                    sdp_mline_index: init.sdp_mline_index,
                },
                is_host,
            }),
            Err(error) => {
                tracing::warn!(target: "rejoin::ice", %error, "candidate not understood");
            }
        }
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.report(StackEvent::CandidatesEnd);
        }
    }

    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        let state = match state {
            RTCIceConnectionState::Checking => IceState::Checking,
            RTCIceConnectionState::Connected | RTCIceConnectionState::Completed => {
                IceState::Connected
            }
            RTCIceConnectionState::Disconnected => IceState::Disconnected,
            RTCIceConnectionState::Failed => IceState::Failed,
            RTCIceConnectionState::Closed => IceState::Closed,
            _ => IceState::New,
        };
        self.report(StackEvent::Ice(state));
    }

    /// All channels are agreed on beforehand. One that the peer opens besides is nobody's to read: the stack would keep what comes on
    /// it, and on each of 65,535.
    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        // One of ours is told of, too, where its receiver was given up before it opened.
        if !matches!(channel.negotiated().await, Ok(true)) {
            self.report(StackEvent::Ended(CloseReason::Violation("a channel that nobody opens")));
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        match state {
            RTCPeerConnectionState::Connected => self.report(StackEvent::Secured),
            RTCPeerConnectionState::Failed => self.report(StackEvent::ConnectionFailed),
            RTCPeerConnectionState::Closed => self.report(StackEvent::Ended(CloseReason::Peer)),
            _ => {}
        }
    }
}
