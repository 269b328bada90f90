//! The rooms that a sender keeps open: the code's, and the session's own.

use super::OpeningConfig;
use crate::error::{Error, ErrorKind};
use crate::session::entropy::Entropy;
use crate::signal::RoomName;
use crate::signal::code::Code;
use crate::signal::join::{JoinError, Opener};
use crate::signal::protocol::RefusalReason;
use crate::wire::SessionSecret;

/// The code's room.
#[derive(Debug)]
pub(super) struct CodeDoor {
    pub(super) code: Code,
    pub(super) opener: Opener,
    pub(super) is_open: bool,
    /// From which the member's token is made: that of the number, or of none where the host picks it.
    pub(super) token_room: RoomName,
    /// Whether the number may be another one if it is taken: nobody was told it.
    pub(super) may_move: bool,
    /// Whether it lets a member back into a session that others may know: their return does not spend it.
    pub(super) is_invitation: bool,
    /// Whether a join by it was proved.
    pub(super) was_used: bool,
}

/// The session's room.
#[derive(Debug)]
pub(super) struct SessionDoor {
    pub(super) opener: Opener,
}

pub(super) fn code_door(
    code: Code,
    config: &OpeningConfig,
    entropy: &mut Entropy,
) -> Result<CodeDoor, JoinError> {
    let opener = Opener::for_code(&code, config.capabilities, 0, entropy.next_seed())?;
    Ok(CodeDoor {
        opener,
        is_open: false,
        token_room: code.room_name(),
        may_move: !config.is_code_fixed && code.number().is_some(),
        is_invitation: false,
        was_used: false,
        code,
    })
}

impl CodeDoor {
    /// The number that the host gave it.
    pub(super) fn set_number(&mut self, number: u32) {
        self.code = self.code.clone().with_room(number);
        self.opener.set_number(number);
    }
}

pub(super) fn session_door(
    secret: SessionSecret,
    epoch: u64,
    config: &OpeningConfig,
    entropy: &mut Entropy,
) -> Result<SessionDoor, JoinError> {
    let opener = Opener::for_session(&secret, config.capabilities, epoch, entropy.next_seed())?;
    Ok(SessionDoor { opener })
}

pub(super) fn unusable(error: JoinError) -> Error {
    Error::new(ErrorKind::Failure, format!("cannot open a room: {error}"))
}

/// What a failed join means for the user.
pub(super) fn join_error(error: &JoinError) -> Error {
    let hint = if *error == JoinError::WrongCode {
        "somebody tried a wrong code, so the room was closed; run the same command again for a fresh one"
    } else {
        "run the same command again for a fresh code"
    };
    Error::new(ErrorKind::Authentication, error.to_string()).with_hint(hint)
}

/// Somebody burns one code after the other.
pub(super) fn burnt_too_often() -> Error {
    let text = "somebody tried a wrong code, four times: each room was closed after one guess";
    Error::new(ErrorKind::Authentication, text).with_hint(
        "run the same command again for a fresh code; if it goes on, choose a long number with --code, or another --host",
    )
}

/// What a code's room that the host does not open means for the user.
pub(super) fn refusal(reason: RefusalReason) -> Error {
    match reason {
        RefusalReason::Taken | RefusalReason::WrongToken => {
            let text = "the code is taken at this host: another sender has it, or was stopped without a word while it had it";
            Error::new(ErrorKind::Refused, text).with_hint(
                "choose another number with --code, or let rejoin choose; a host keeps the code of a sender that is gone for 30 minutes, \
                 unless it was started with another --room-lease, and gives it at once to the same command with the same --state-dir",
            )
        }
        RefusalReason::Expired | RefusalReason::CodeUsed | RefusalReason::Burnt => {
            Error::new(ErrorKind::Authentication, reason.to_string())
                .with_hint("run the same command again for a fresh code")
        }
        RefusalReason::NoSuchRoom
        | RefusalReason::RoomFull
        | RefusalReason::HostFull
        | RefusalReason::NotPermitted
        | RefusalReason::UnknownMember
        | RefusalReason::TooManyTries
        | RefusalReason::TooLarge => {
            Error::new(ErrorKind::Unreachable, format!("the host refused: {reason}"))
                .with_hint("try again later, or another --host")
        }
    }
}
