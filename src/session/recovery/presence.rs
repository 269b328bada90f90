//! Whether a message to the other member would be delivered now: the host's socket is open, and it is in the room.

use crate::signal::RoomName;
use crate::signal::protocol::HostMessage;
use crate::wire::MemberId;

/// Members remembered: a session's room is a pair, and what a host claims beyond that is of no use.
const MEMBERS_MAX: usize = 8;

/// Who is in the session's room, as the host tells it. A host may lie: this is evidence, never proof.
#[derive(Debug, Default)]
pub struct Presence {
    is_host_up: bool,
    members: Vec<MemberId>,
}

impl Presence {
    /// The host's socket is open; who is there is not known yet.
    pub const fn handle_host_up(&mut self) {
        self.is_host_up = true;
    }

    /// The host's socket is gone.
    pub fn handle_host_down(&mut self) {
        self.is_host_up = false;
        self.members.clear();
    }

    /// The host said something.
    pub fn handle_host(&mut self, message: &HostMessage) {
        match message {
            HostMessage::Joined { room: RoomName::Session(_), peers, .. } => {
                self.members = peers.iter().copied().take(MEMBERS_MAX).collect();
            }
            HostMessage::PeerJoined { room: RoomName::Session(_), member }
            | HostMessage::Deposited { room: RoomName::Session(_), from: member, .. }
            | HostMessage::Relayed { room: RoomName::Session(_), from: member, .. } => {
                if !self.members.contains(member) && self.members.len() < MEMBERS_MAX {
                    self.members.push(*member);
                }
            }
            HostMessage::PeerLeft { room: RoomName::Session(_), member } => {
                self.members.retain(|known| known != member);
            }
            HostMessage::RoomClosed { room: RoomName::Session(_), .. } => self.members.clear(),
            HostMessage::Opened { .. }
            | HostMessage::Joined { .. }
            | HostMessage::Waiting { .. }
            | HostMessage::Refused { .. }
            | HostMessage::PeerJoined { .. }
            | HostMessage::PeerLeft { .. }
            | HostMessage::Deposited { .. }
            | HostMessage::Relayed { .. }
            | HostMessage::RoomClosed { .. }
            | HostMessage::Goodbye { .. }
            | HostMessage::WorkNeeded { .. } => {}
        }
    }

    /// Whether the other member can be reached through the host.
    #[must_use]
    pub const fn is_reachable(&self) -> bool {
        self.is_host_up && !self.members.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: MemberId = MemberId([7; 16]);

    fn room() -> RoomName {
        RoomName::Session([1; 16])
    }

    #[test]
    fn follows_who_comes_and_goes() {
        let mut presence = Presence::default();
        let joined = HostMessage::Joined { room: room(), deposit: None, peers: vec![PEER] };
        presence.handle_host(&joined);
        assert!(!presence.is_reachable(), "the socket is not open");
        presence.handle_host_up();
        presence.handle_host(&joined);
        assert!(presence.is_reachable());
        presence.handle_host(&HostMessage::PeerLeft { room: room(), member: PEER });
        assert!(!presence.is_reachable());
        presence.handle_host(&HostMessage::PeerJoined { room: room(), member: PEER });
        assert!(presence.is_reachable());
        presence.handle_host_down();
        presence.handle_host_up();
        assert!(!presence.is_reachable(), "another socket, another room");
    }

    #[test]
    fn a_host_that_invents_members_fills_nothing() {
        let mut presence = Presence::default();
        presence.handle_host_up();
        for number in 0..100 {
            let member = MemberId([number; 16]);
            presence.handle_host(&HostMessage::PeerJoined { room: room(), member });
        }
        assert_eq!(presence.members.len(), MEMBERS_MAX);
        let code = RoomName::Code(7);
        presence.handle_host(&HostMessage::RoomClosed {
            room: room(),
            reason: crate::signal::protocol::RefusalReason::Expired,
        });
        presence.handle_host(&HostMessage::PeerJoined { room: code, member: PEER });
        assert!(!presence.is_reachable(), "strangers stand in a code's room");
    }
}
