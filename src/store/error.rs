//! Errors of the operating system as [`DiskError`]s.

use crate::transfer::disk::{DiskError, DiskErrorKind};
use std::fmt::Write as _;
use std::io::{self, ErrorKind};

/// What `error` means, with what was tried on which path.
#[must_use]
pub fn disk_error(operation: &'static str, path: &[u8], error: &io::Error) -> DiskError {
    DiskError { kind: kind(error), operation, path: escape(path), message: message(error) }
}

/// Whether the process lacks something (descriptors): no property of what it was about.
#[must_use]
pub(super) fn is_of_process(error: &io::Error) -> bool {
    kind(error) == DiskErrorKind::Process
}

#[expect(clippy::wildcard_enum_match_arm, reason = "ErrorKind is non-exhaustive")]
fn kind(error: &io::Error) -> DiskErrorKind {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::IO) => return DiskErrorKind::Device,
            Some(Errno::MFILE | Errno::NFILE) => return DiskErrorKind::Process,
            _ => {}
        }
    }
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            DiskErrorKind::Full
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => DiskErrorKind::Permission,
        ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::InvalidFilename
        | ErrorKind::InvalidInput
        | ErrorKind::AlreadyExists
        | ErrorKind::DirectoryNotEmpty
        | ErrorKind::CrossesDevices
        | ErrorKind::TooManyLinks => DiskErrorKind::Path,
        _ => loop_kind(error),
    }
}

/// `ELOOP` has no stable kind of its own.
fn loop_kind(error: &io::Error) -> DiskErrorKind {
    #[cfg(unix)]
    if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
        return DiskErrorKind::Path;
    }
    let _ = error;
    DiskErrorKind::Other
}

/// As the system words it, in lower case and without the number that std appends.
fn message(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut characters = text.chars();
    let text = match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => text.to_owned(),
    };
    if is_of_process(error) { format!("{text}; raise the limit (ulimit -n)") } else { text }
}

/// Bytes of a path as text that is safe on a terminal: what is no UTF-8 as `\xNN`, controls and characters that
/// reorder or hide text as `\u{…}`.
#[must_use]
pub fn escape(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            let hides = matches!(
                character,
                '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            );
            if character.is_control() || hides {
                text.extend(character.escape_unicode());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_harmless_on_a_terminal() {
        assert_eq!(escape("a b\u{1f980}".as_bytes()), "a b\u{1f980}");
        assert_eq!(escape(b"\x1b[2J\xff"), "\\u{1b}[2J\\xff");
        assert_eq!(escape("\u{202e}txt".as_bytes()), "\\u{202e}txt");
    }

    #[test]
    #[cfg(unix)]
    fn system_errors_have_their_meaning() {
        use rustix::io::Errno;
        for (errno, expected) in [
            (Errno::NOSPC, DiskErrorKind::Full),
            (Errno::DQUOT, DiskErrorKind::Full),
            (Errno::ACCESS, DiskErrorKind::Permission),
            (Errno::PERM, DiskErrorKind::Permission),
            (Errno::ROFS, DiskErrorKind::Permission),
            (Errno::NOTDIR, DiskErrorKind::Path),
            (Errno::ISDIR, DiskErrorKind::Path),
            (Errno::LOOP, DiskErrorKind::Path),
            (Errno::NAMETOOLONG, DiskErrorKind::Path),
            (Errno::IO, DiskErrorKind::Device),
            (Errno::MFILE, DiskErrorKind::Process),
            (Errno::NFILE, DiskErrorKind::Process),
        ] {
            let error = io::Error::from(errno);
            assert_eq!(kind(&error), expected, "{errno:?}");
        }
        let error = disk_error("write", b"a\nb", &Errno::NOSPC.into());
        assert_eq!(error.to_string(), "write a\\u{a}b: no space left on device");
    }
}
