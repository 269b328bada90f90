//! What a session asks for, by value.

use crate::error::Error;
use crate::event::Event;
use crate::link::LinkCommand;
use crate::session::meeting::{Pairing, Work};
use crate::signal::Pace;
use crate::signal::code::Code;
use crate::signal::protocol::ClientMessage;
use crate::transfer::disk::{SourceRequest, TargetRequest};
use crate::transfer::receiver::{Agreement, Ask};
use crate::wire::{Channel, MemberId};
use bytes::Bytes;

/// What a session asks of its surroundings.
#[derive(Debug)]
pub enum SessionOutput {
    /// A message for the host.
    Host(ClientMessage),
    /// Do this work beside the loop, then call [`super::Session::handle_worked`]. What was asked for before is wanted no more.
    Work(Work),
    /// Start a connection; the one before is stopped.
    StartLink {
        /// Whether it is built for the carrier.
        is_carried: bool,
    },
    /// A command for the connection.
    Link(LinkCommand),
    /// Stop the connection.
    StopLink,
    /// A frame for any channel but [`Channel::Data`], whose frames are polled.
    Send(Channel, Bytes),
    /// Sender: the code's room is open.
    CodeReady(Code),
    /// Sender: nobody else can use the code any more.
    CodeSpent,
    /// Store durably, then call [`super::Session::handle_stored`] (sender) or [`super::Session::handle_paired`] (receiver).
    Pair(Box<Pairing>),
    /// The other side proved who it is: remember the epoch.
    Peer {
        /// Which member.
        member: MemberId,
        /// The name it gives itself, untrusted.
        name: String,
        /// The join's epoch.
        epoch: u64,
    },
    /// Work for the sender's store.
    Source(SourceRequest),
    /// Work for the receiver's store.
    Target(TargetRequest),
    /// A fact to show.
    Event(Event),
    /// A question for the user.
    Ask(Ask),
    /// Receiver: the user agreed to take so much, which later runs are to know.
    Consented(Agreement),
    /// Receiver: the code is for something new; begin again with it, without the stored session.
    CodeOffered,
    /// There is reason to believe that the host can be reached again: try now.
    RetryHost,
    /// Bytes that may wait in the stack to be sent, from now on.
    SendLimit(u64),
    /// The link is poor: what a new one would need (fresh credentials of relays) is to be fetched ahead.
    Prepare,
    /// The planned tries are used up: tell how to continue by hand.
    Manual,
    /// How eagerly a host is to be reached from now on.
    HostPace(Pace),
    /// What was counted of attempts to reconnect is to be stored now: another one may not come.
    KeepAttempts,
    /// Receiver: everything is here, and the sender does not come to hear it: the run ends.
    EndAlone,
    /// Both sides know that all is settled.
    Done,
    /// The run cannot go on.
    Failed(Error),
}
