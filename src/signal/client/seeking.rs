//! Whether the host that answered is the one: where a member looks for another one by several addresses, an address may lead to
//! a host that does not know the room, such as a service of the member's own machine. Pure.

use std::time::Duration;

use crate::signal::protocol::{ClientMessage, HostMessage, RefusalReason};

/// How long a host that knows the room, with nobody in it, is given: the other one may be on its way in.
const GRACE: Duration = Duration::from_millis(250);

/// What a connection says about the one who is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seeking {
    /// Rooms asked for.
    asked: u32,
    /// Answers that nobody is there.
    absent: u32,
    /// Somebody is there: it is the right host.
    is_found: bool,
}

impl Seeking {
    /// The member said something.
    pub(super) fn handle_said(&mut self, message: &ClientMessage) {
        match message {
            ClientMessage::Join { deposit: None, .. } => self.asked += 1,
            // Who opens a room, or leaves a deposit, is to be found here.
            ClientMessage::Open { .. }
            | ClientMessage::Join { .. }
            | ClientMessage::Deposit { .. } => self.is_found = true,
            ClientMessage::Relay { .. }
            | ClientMessage::Lock { .. }
            | ClientMessage::Burn { .. }
            | ClientMessage::Leave { .. }
            | ClientMessage::Work { .. } => {}
        }
    }

    /// The host answered. `Some`: how long to wait for more before another address is tried.
    pub(super) fn handle_heard(&mut self, message: &HostMessage) -> Option<Duration> {
        let mut grace = GRACE;
        match message {
            HostMessage::Joined { deposit: None, peers, .. } if peers.is_empty() => {
                self.absent += 1;
            }
            HostMessage::Waiting { .. } => self.absent += 1,
            HostMessage::Refused { reason: RefusalReason::NoSuchRoom, .. } => {
                self.absent += 1;
                grace = Duration::ZERO;
            }
            HostMessage::Joined { .. }
            | HostMessage::PeerJoined { .. }
            | HostMessage::Deposited { .. }
            | HostMessage::Relayed { .. }
            | HostMessage::Opened { .. }
            | HostMessage::Refused { .. }
            | HostMessage::RoomClosed { .. } => self.is_found = true,
            HostMessage::PeerLeft { .. }
            | HostMessage::Goodbye { .. }
            | HostMessage::WorkNeeded { .. } => {}
        }
        (!self.is_found && self.asked > 0 && self.absent >= self.asked).then_some(grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::RoomName;
    use crate::signal::keys::MemberToken;
    use crate::wire::MemberId;

    const ROOM: RoomName = RoomName::Code(7);

    fn join(deposit: Option<Vec<u8>>) -> ClientMessage {
        let member = MemberId([1; 16]);
        let token = MemberToken::for_room(&[0; 32], ROOM);
        ClientMessage::Join { room: ROOM, member, token, deposit, wait: true }
    }

    fn joined(deposit: Option<Vec<u8>>) -> HostMessage {
        let deposit = deposit.map(|deposit| (MemberId([2; 16]), deposit));
        HostMessage::Joined { room: ROOM, deposit, peers: Vec::new() }
    }

    #[test]
    fn a_host_is_left_where_no_room_that_was_asked_for_has_anybody() {
        let mut seeking = Seeking::default();
        seeking.handle_said(&join(None));
        seeking.handle_said(&join(None));
        assert_eq!(seeking.handle_heard(&joined(None)), None, "the other room may have somebody");
        assert_eq!(seeking.handle_heard(&HostMessage::Waiting { number: 7 }), Some(GRACE));
        assert_eq!(seeking.handle_heard(&joined(Some(vec![1]))), None);
        assert_eq!(seeking.handle_heard(&joined(None)), None, "once found, it is the host");
    }

    #[test]
    fn one_who_does_not_know_the_code_is_left_at_once() {
        let mut seeking = Seeking::default();
        seeking.handle_said(&join(None));
        let refused = |reason| HostMessage::Refused { room: Some(ROOM), reason };
        assert_eq!(seeking.handle_heard(&refused(RefusalReason::NoSuchRoom)), Some(Duration::ZERO));
        // A code that was used was used here.
        let mut seeking = Seeking::default();
        seeking.handle_said(&join(None));
        assert_eq!(seeking.handle_heard(&refused(RefusalReason::CodeUsed)), None);
    }

    #[test]
    fn who_is_to_be_found_stays() {
        let mut seeking = Seeking::default();
        seeking.handle_said(&join(Some(vec![1])));
        assert_eq!(seeking.handle_heard(&joined(None)), None);
    }
}
