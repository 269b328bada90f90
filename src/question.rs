//! What a session asks the person who runs it. Each question carries the place for its own kind of answer.
//!
//! A user interface answers `Err` where nobody can be asked; the error is ready to end the run (exit code 7, with
//! the flag that would have answered). A dropped reply means that the interface is gone: treat it as a refusal.

use tokio::sync::oneshot;

use crate::error::Error;
use crate::event::PathText;
use crate::options::OnConflict;

/// Names shown in one question at most: a prompt has to fit on a screen.
pub const NAMES_MAX: usize = 10;

/// What the sender promises, so far or in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The name the sender gives itself.
    pub from: String,
    /// Top-level names of the tree, at most `NAMES_MAX`.
    pub names: Vec<PathText>,
    /// Files and symlinks.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Directories.
    pub directories: u64,
    /// The scan goes on: there will be more than `files` and `bytes`.
    pub at_least: bool,
    /// Names that run or configure something (`.bashrc`, `.ssh/authorized_keys`): at most `NAMES_MAX`.
    pub flagged: Vec<PathText>,
    /// How many more such names there are.
    pub flagged_beyond: u64,
    /// What was consented to before was less: this asks once more.
    pub again: bool,
}

/// An existing file and the one that would take its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Below the target directory.
    pub path: PathText,
    /// Size of the file that is there.
    pub present_bytes: u64,
    /// Size of the file that is offered.
    pub offered_bytes: u64,
}

/// What to do about a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConflictAnswer {
    /// The choice.
    pub choice: OnConflict,
    /// It settles all later conflicts of this run too: do not ask again.
    pub for_all: bool,
}

/// Whether the offer is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Receive it.
    Accepted,
    /// Receive whatever comes within the limits, and do not ask again (`-y`).
    AcceptedAll,
    /// The person said no.
    Declined,
}

/// A question, and where its answer goes.
#[derive(Debug)]
pub enum Question {
    /// May this be received?
    Accept {
        /// What is offered.
        offer: Offer,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Consent, Error>>,
    },
    /// A different file is there already.
    Conflict {
        /// Which.
        conflict: Conflict,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<ConflictAnswer, Error>>,
    },
}
