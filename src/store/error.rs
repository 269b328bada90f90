//! Errors of the operating system: what they mean, and whom they are about. Told apart here and nowhere else.
//!
//! | about | for example | what follows |
//! | --- | --- | --- |
//! | the entry | a name that the disk does not take, something in the way, no permission, too large for it | it is listed, the rest goes on ([`is_of_entry`]) |
//! | the file system | it has no modes, no times, no sync, no locks | the content stays, one warning ([`is_not_taken`], [`is_not_offered`]) |
//! | one that is mounted below | full, failing, gone | what lies on it is listed, the rest goes on ([`of_mount`]) |
//! | the process | no descriptors, no memory | the store stops, and the same command goes on ([`is_of_process`]) |
//! | the target | full, gone, a failing device | the store stops |

use crate::platform::{self, Code};
use crate::transfer::disk::{DiskError, DiskErrorKind};
use std::fmt::Write as _;
use std::io::{self, ErrorKind};

/// What `error` means, with what was tried on which path.
#[must_use]
pub fn disk_error(operation: &'static str, path: &[u8], error: &io::Error) -> DiskError {
    DiskError { kind: kind(error), operation, path: escape(path), message: message(error) }
}

/// Whether an error of an operation on a name, or on what it stands for, is about this one entry alone: whatever the system
/// says of it, unless that would stop every other entry, too.
pub(super) fn is_of_entry(error: &io::Error) -> bool {
    let is_known = matches!(kind(error), DiskErrorKind::Path | DiskErrorKind::Permission)
        || matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported)
        || error.raw_os_error().is_some();
    error.kind() == ErrorKind::FileTooLarge || (is_known && !is_of_target(error))
}

/// Whether an error is about all that the target holds: full, failing, gone, or the process exhausted.
fn is_of_target(error: &io::Error) -> bool {
    matches!(kind(error), DiskErrorKind::Full | DiskErrorKind::Device)
        || is_of_process(error)
        || error.kind() == ErrorKind::StaleNetworkFileHandle
        || platform::code(error) == Some(Code::Gone)
}

/// An error of one entry, where `error` is that of the file system that the entry lies on, and another one than the target's.
pub(super) fn of_mount(error: &io::Error) -> io::Error {
    let text = format!("{}, on the file system that is mounted there", message(error));
    io::Error::new(ErrorKind::Unsupported, text)
}

/// Whether a file system is full, failing or gone.
pub(super) fn is_of_file_system(error: &io::Error) -> bool {
    is_of_target(error) && !is_of_process(error) && error.raw_os_error().is_some()
}

/// Whether the file system does not take a name, as it is spelled or for its length.
pub(super) fn is_name_refused(error: &io::Error) -> bool {
    matches!(platform::code(error), Some(Code::Invalid | Code::Name))
}

/// Whether the process lacks something (descriptors, memory): no property of what it was about.
pub(super) fn is_of_process(error: &io::Error) -> bool {
    kind(error) == DiskErrorKind::Process
}

/// Whether the file system does not take a mode or a time. Content never depends on it: only what would hurt content,
/// too, is an error (a failing or full device, a thing or a file system that is gone, an exhausted process).
pub(super) fn is_not_taken(error: &io::Error) -> bool {
    let hurts_content = is_of_target(error) || error.kind() == ErrorKind::NotFound;
    !hurts_content && error.raw_os_error().is_some()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "ErrorKind is non-exhaustive")]
fn kind(error: &io::Error) -> DiskErrorKind {
    let code = platform::code(error);
    if code == Some(Code::Device) {
        return DiskErrorKind::Device;
    }
    if error.kind() == ErrorKind::OutOfMemory || code == Some(Code::Descriptors) {
        return DiskErrorKind::Process;
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
        // It has no stable kind of its own.
        _ if code == Some(Code::Loop) => DiskErrorKind::Path,
        _ => DiskErrorKind::Other,
    }
}

fn message(error: &io::Error) -> String {
    let text = crate::visible::cause(error);
    if is_of_process(error) {
        format!("{text}; raise the limit (ulimit -n)")
    } else if error.kind() == ErrorKind::FileTooLarge {
        format!("{text}: longer than the file system or a limit (ulimit -f) allows")
    } else {
        text
    }
}

/// Bytes of a path as text that is safe on a terminal: what is no UTF-8 as `\xNN`, what hides or reorders text as `\u{…}`
/// (A-07, [`crate::visible`]).
#[must_use]
pub fn escape(path: &[u8]) -> String {
    if let Ok(path) = std::str::from_utf8(path) {
        return crate::visible::name(path).into_owned();
    }
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    crate::visible::name(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::is_not_offered;
    use rustix::io::Errno;

    #[test]
    fn names_are_harmless_on_a_terminal() {
        assert_eq!(escape("a b\u{1f980}".as_bytes()), "a b\u{1f980}");
        assert_eq!(escape(b"\x1b[2J\xff"), "\\u{1b}[2J\\xff");
        assert_eq!(escape("\u{202e}txt".as_bytes()), "\\u{202e}txt");
    }

    /// E: told apart in one place.
    #[test]
    fn errors_are_about_the_entry_the_file_system_the_process_or_the_target() {
        let all = |error: Errno| {
            let error = io::Error::from(error);
            (
                is_of_entry(&error),
                is_not_taken(&error),
                is_not_offered(&error),
                is_of_process(&error),
            )
        };
        for errno in
            [Errno::PERM, Errno::ACCESS, Errno::ROFS, Errno::FBIG, Errno::ILSEQ, Errno::NAMETOOLONG]
        {
            assert_eq!((all(errno).0, all(errno).3), (true, false), "{errno:?}");
        }
        for errno in [
            Errno::PERM,
            Errno::ACCESS,
            Errno::NOSYS,
            Errno::OPNOTSUPP,
            Errno::INVAL,
            Errno::NOTTY,
            Errno::OVERFLOW,
            Errno::RANGE,
        ] {
            assert!(all(errno).1, "{errno:?}");
        }
        for errno in [Errno::NOSYS, Errno::OPNOTSUPP, Errno::INVAL, Errno::NOLCK, Errno::NOTTY] {
            assert!(all(errno).2, "{errno:?}");
        }
        for errno in [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::NOTCONN] {
            assert_eq!(all(errno), (false, false, false, false), "{errno:?}");
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            assert_eq!(all(errno), (false, false, false, true), "{errno:?}");
        }
    }

    #[test]
    fn system_errors_have_their_meaning() {
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
        assert_eq!(error.to_string(), "write a\\nb: no space left on device");
    }
}
