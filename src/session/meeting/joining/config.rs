//! What a receiver's meeting starts from.

use super::NO_SUCH_CODE;
use crate::error::{Error, ErrorKind};
use crate::signal::capabilities::Capabilities;
use crate::signal::code::Code;
use crate::signal::protocol::RefusalReason;
use crate::wire::{MemberId, SessionId, SessionSecret};
use std::time::Duration;

/// What a joining starts from.
#[derive(Debug)]
pub struct JoiningConfig {
    /// Who we are.
    pub member: MemberId,
    /// What we can do.
    pub capabilities: Capabilities,
    /// From which the tokens for hosts are made.
    pub token_key: [u8; 32],
    /// The name we give ourselves.
    pub name: String,
    /// How to prove that we belong.
    pub entrance: Entrance,
    /// A code that the user named beside a stored session: where somebody offers it and nobody the session, it is for
    /// something new.
    pub code: Option<Code>,
    /// Whether a code room that is not there yet is waited for.
    pub wait: bool,
    /// How long a lost connection is looked for.
    pub retry_for: Duration,
}

/// How a receiver gets in.
#[derive(Debug)]
pub enum Entrance {
    /// By the code, the first time.
    Code(Code),
    /// By what an earlier join left behind.
    Session {
        /// The session.
        session: SessionId,
        /// Its secret.
        secret: SessionSecret,
        /// Epoch of the last join.
        epoch: u64,
    },
}

/// Nobody offers the code, at any host that was asked.
#[must_use]
pub fn no_such_code() -> Error {
    Error::new(ErrorKind::Authentication, NO_SUCH_CODE)
        .with_hint("check the code, or use --wait if the sender is not there yet")
}

/// What a code's room that the host does not open means for the user.
pub(super) fn refusal(reason: RefusalReason) -> Error {
    match reason {
        RefusalReason::CodeUsed | RefusalReason::Burnt | RefusalReason::Expired => {
            Error::new(ErrorKind::Authentication, reason.to_string())
                .with_hint("ask the sender for a fresh code")
        }
        RefusalReason::NoSuchRoom => no_such_code(),
        RefusalReason::UnknownMember
        | RefusalReason::Taken
        | RefusalReason::RoomFull
        | RefusalReason::HostFull
        | RefusalReason::WrongToken
        | RefusalReason::NotPermitted
        | RefusalReason::TooManyTries
        | RefusalReason::TooLarge => {
            Error::new(ErrorKind::Unreachable, format!("the host refused: {reason}"))
                .with_hint("try again later")
        }
    }
}
