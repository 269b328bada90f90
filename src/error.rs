//! The error of a run: what went wrong, what the user can do, and the exit code that scripts see (cli.md).

use std::fmt;

/// What kind of failure ended a run. Each has one exit code and one stable name in the NDJSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Not listed below.
    Failure,
    /// The command line is wrong.
    Usage,
    /// Wrong, used or expired code; a proof that failed.
    Authentication,
    /// Host or peer not reachable, and nothing was started.
    Unreachable,
    /// Interrupted; progress is kept and the same command continues.
    Interrupted,
    /// Some files failed or changed while being read.
    Partial,
    /// Consent, overwrite, limits, or a question nobody could answer.
    Refused,
    /// Local disk, space or permission.
    Disk,
    /// Verified content differs and could not be repaired.
    Integrity,
    /// `--timeout` ran out.
    Timeout,
    /// SIGINT.
    SignalInterrupt,
    /// SIGTERM.
    SignalTerminate,
}

impl ErrorKind {
    /// The process's exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Authentication => 3,
            Self::Unreachable => 4,
            Self::Interrupted => 5,
            Self::Partial => 6,
            Self::Refused => 7,
            Self::Disk => 8,
            Self::Integrity => 9,
            Self::Timeout => 124,
            Self::SignalInterrupt => 130,
            Self::SignalTerminate => 143,
        }
    }

    /// The stable name in the NDJSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Usage => "usage",
            Self::Authentication => "authentication",
            Self::Unreachable => "unreachable",
            Self::Interrupted => "interrupted",
            Self::Partial => "partial",
            Self::Refused => "refused",
            Self::Disk => "disk",
            Self::Integrity => "integrity",
            Self::Timeout => "timeout",
            Self::SignalInterrupt => "sigint",
            Self::SignalTerminate => "sigterm",
        }
    }

    /// Whether the same command may succeed later without anything else changing.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Unreachable
            | Self::Interrupted
            | Self::Timeout
            | Self::SignalInterrupt
            | Self::SignalTerminate
            | Self::Disk => true,
            Self::Failure
            | Self::Usage
            | Self::Authentication
            | Self::Partial
            | Self::Refused
            | Self::Integrity => false,
        }
    }
}

/// A failed run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What kind.
    pub kind: ErrorKind,
    /// What happened: lower case, no full stop.
    pub message: String,
    /// What the user can do; may be empty.
    pub hint: String,
    /// The command that continues, where there is something to continue.
    pub resume_command: Option<String>,
}

impl Error {
    /// An error without a hint.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = without_numbers(&message.into());
        Self { kind, message, hint: String::new(), resume_command: None }
    }

    /// The same error with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// Without the numbers that std adds to what the system says: a person has no use for them.
fn without_numbers(text: &str) -> String {
    const BEFORE: &str = " (os error ";
    let mut parts = text.split(BEFORE);
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                clean.push_str(rest);
            }
            _ => clean.extend([BEFORE, part]),
        }
    }
    clean
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_system_are_not_shown() {
        for (text, shown) in [
            ("cannot open x: gone (os error 2)", "cannot open x: gone"),
            ("a (os error 2); b (os error 13), c", "a; b, c"),
            ("named (os error x) (os error", "named (os error x) (os error"),
        ] {
            assert_eq!(Error::new(ErrorKind::Failure, text).message, shown);
        }
    }
}
