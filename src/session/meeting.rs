//! How two members of a session meet: rooms, joins, and the connection that comes of them.
//!
//! Two pure machines, one a role: [`Opening`] (the sender: deposits, is joined, answers) and [`Joining`] (the receiver:
//! joins, offers, and tries again). Neither knows what is transferred.
//!
//! A link always begins with a join. After the first one, by the code, every join proves the session's secret in a room
//! that only the two can find; a join with a newer epoch replaces the link of an older one.

mod joining;
mod opening;
mod work;

pub use joining::{Entrance, Joining, JoiningConfig, NO_SUCH_CODE, no_such_code};
pub use opening::{Opening, OpeningConfig};
pub use work::Work;

use crate::error::Error;
use crate::event::Event;
use crate::link::{Candidate, LinkCommand};
use crate::signal::RoomName;
use crate::signal::code::Code;
use crate::signal::join::JoinPayload;
use crate::signal::message::{Attempt, SignalMessage};
use crate::signal::protocol::ClientMessage;
use crate::signal::seal::SealedChannel;
use crate::wire::{MemberId, SessionId, SessionSecret};
use std::time::Duration;

/// How long an offer waits for its answer (X8: the offerer's side of it).
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a connection may take from its answer to its open channels (V-19).
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// What a code join agreed on: to be stored durably before anything else happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairing {
    /// The session, as its sender names it.
    pub session: SessionId,
    /// What only the two know.
    pub secret: SessionSecret,
    /// The other member.
    pub peer: MemberId,
    /// The name it gives itself, untrusted.
    pub name: String,
    /// Epoch of the join.
    pub epoch: u64,
}

/// What a meeting asks of its surroundings.
#[derive(Debug)]
pub enum MeetingOutput {
    /// A message for the host.
    Host(ClientMessage),
    /// Do this work, then call `handle_worked`.
    Work(Work),
    /// Start a connection; the one before, if any, is stopped.
    StartLink {
        /// Whether the peer has a carrier, as far as is known: the connection is built for it, or for plain packets.
        is_carried: bool,
    },
    /// A command for the connection.
    Link(LinkCommand),
    /// Stop the connection.
    StopLink,
    /// The room of this code is open: others may be told.
    CodeReady(Code),
    /// The code is spent: nobody else can use it.
    CodeSpent,
    /// Store this durably, then call `handle_stored`.
    Pair(Box<Pairing>),
    /// The other side proved who it is; the epoch is to be remembered.
    Peer {
        /// Which member.
        member: MemberId,
        /// The name it gives itself, untrusted.
        name: String,
        /// The join's epoch.
        epoch: u64,
    },
    /// The channels are open.
    LinkUp {
        /// The join's epoch.
        epoch: u64,
        /// Sender: whether the receiver takes an early answer, in a session that this run made.
        takes_early: bool,
    },
    /// The connection that was up is gone.
    LinkDown {
        /// Why.
        reason: String,
    },
    /// Nobody is in the session's room, and somebody offers the code that the user named: it is for something new.
    CodeOffered,
    /// A fact to show.
    Event(Event),
    /// What the peer says about the path of the connection that is up.
    Restart(SignalMessage),
    /// The last word of the peer, which came by the host: a frame of the link.
    Bye(Vec<u8>),
    /// The planned tries are used up: a person may want to know how to continue by hand.
    Manual,
    /// It cannot go on.
    Failed(Error),
}

/// The sealed way to the peer that a join leaves behind.
#[derive(Debug)]
struct Way {
    room: RoomName,
    peer: MemberId,
    channel: Channel,
    attempt: Attempt,
}

/// [`SealedChannel`], whose keys are not for showing.
struct Channel(SealedChannel);

impl std::fmt::Debug for Channel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Channel({:?})", self.0.join())
    }
}

impl Way {
    /// Seals a message for the peer; `None` where it exceeds a limit, which ours do not.
    fn seal(&mut self, message: &SignalMessage) -> Option<ClientMessage> {
        let envelope = self.channel.0.seal(message).ok()?;
        let payload = JoinPayload::Sealed(envelope).encode().ok()?;
        Some(ClientMessage::Relay { room: self.room, to: self.peer, payload })
    }
}

/// A candidate as signaling carries it: the line alone, since a link has one media section.
fn candidate_from_line(line: String) -> Candidate {
    Candidate { candidate: line, sdp_mid: Some("0".to_owned()), sdp_mline_index: Some(0) }
}
