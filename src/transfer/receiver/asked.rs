//! What the receiver is told, asks and says.

use super::Agreement;
use crate::error::Error;
use crate::event::{Event, PathText};
use crate::transfer::disk::{OnConflict, TargetRequest};
use crate::transfer::manifest::{RelativePath, Totals};
use crate::transfer::message::Message;
use crate::wire::Channel;

/// What the user allows.
#[derive(Clone, Debug)]
pub struct ReceiverConfig {
    /// What happens to existing, different files; `None`: ask.
    pub on_conflict: Option<OnConflict>,
    /// What the user agreed to take before, in an earlier run: what is within it is not asked about again.
    pub accepted: Option<Agreement>,
    /// Whether files that are there are compared by content, whatever size and time say.
    pub by_content: bool,
    /// Most bytes to take, in files; and what directories and the manifest take on the disk beyond what every tree has.
    pub bytes_max: u64,
    /// Most files to take, and most directories.
    pub files_max: u64,
}

/// A question only the user can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Take the transfer?
    Accept {
        /// What it holds.
        totals: Totals,
        /// Whether that is all.
        is_complete: bool,
        /// Top-level names, the first few.
        names: Vec<PathText>,
        /// Paths of what runs or configures programs, the first few that no earlier question told of.
        flagged: Vec<PathText>,
        /// How many more of them there are.
        flagged_beyond: u64,
        /// Whether less was accepted before.
        is_again: bool,
    },
    /// This file exists and differs.
    Conflict {
        /// Its path.
        path: RelativePath,
        /// Size of the one that is there.
        present_bytes: u64,
        /// Size of the one that is offered.
        offered_bytes: u64,
    },
}

/// How far the user agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Not at all.
    No,
    /// To as much as was named.
    This,
    /// To whatever comes within the limits, as `-y` says.
    Everything,
}

/// What the user says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Ask::Accept`].
    Accept(Accepted),
    /// To [`Ask::Conflict`]; `for_all` settles the rest likewise.
    Conflict {
        /// What to do.
        policy: OnConflict,
        /// Whether to ask again.
        for_all: bool,
    },
}

/// What the receiver asks of its surroundings.
#[derive(Clone, Debug, PartialEq)]
pub enum ReceiverOutput {
    /// Disk work, in order.
    Disk(TargetRequest),
    /// A message.
    Send(Channel, Message),
    /// A fact to show.
    Event(Event),
    /// A question; one at a time.
    Ask(Ask),
    /// What the user agreed to take, in all: to be remembered where only the user can write.
    Consented(Agreement),
    /// Everything is verified, durable and settled here. The sender may not know yet.
    Finished,
    /// The sender knows.
    Done,
    /// The session cannot go on.
    Failed(Error),
}
