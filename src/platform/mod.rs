//! What only an operating system knows or does, but for sockets: files by handles of directories, processes and their groups,
//! users, the boot, randomness, and what its errors mean.
//!
//! One module for each kind of system, all with the same items; this one says what they are for. A system that is not there
//! yet has [`absent`](self): it compiles, so that the rest of the library is proved to ask for nothing else, and says
//! "not yet" when it runs.

#[cfg(not(unix))]
mod absent;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
use absent as system;
#[cfg(unix)]
use unix as system;

pub(crate) use system::{
    Group, code, create_private_directory, host_name, identity, is_private, name_refused,
    open_files_max, open_private, open_without_waiting, path_bytes, path_of, special_kind, user,
};
pub use system::{OsDirectory, OsFile, Process};
pub use system::{boot_id, umask};

/// What an error of the system means, where [`std::io::ErrorKind`] has no stable word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// A device fails (EIO).
    Device,
    /// No descriptors are left, of the process or of the system (EMFILE, ENFILE).
    Descriptors,
    /// What was open is gone (ENXIO, ENODEV, ENOTCONN, EBADF).
    Gone,
    /// The call is not taken as it is (EINVAL).
    Invalid,
    /// A name is not taken, as it is spelled or for its length (EILSEQ, ENAMETOOLONG).
    Name,
    /// There is no such call here (ENOLCK, ENOTTY).
    NotOffered,
    /// Too many symlinks (ELOOP).
    Loop,
    /// A datagram is larger than what passes (EMSGSIZE).
    MessageTooLarge,
}

/// Fills `bytes` with the system's randomness.
///
/// # Errors
/// Where it has none.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn random(bytes: &mut [u8]) -> std::io::Result<()> {
    getrandom::fill(bytes)
        .map_err(|error| std::io::Error::other(format!("the system gives no randomness: {error}")))
}

/// A boot of its own for each process, where the system does not say which it is: nothing unsynced is trusted then.
fn unknown_boot() -> [u8; 16] {
    let mut id = [0; 16];
    // Zeros would be equal to those of the next boot; without randomness the process cannot start anyway.
    #[cfg(not(target_family = "wasm"))]
    if random(&mut id).is_ok() {
        return id;
    }
    id[..4].copy_from_slice(&std::process::id().to_le_bytes());
    id
}

/// Whether the system offers no such call at all: a sync or a lock that it does not know promises nothing, and there is nothing
/// that a retry or the user could do.
pub(crate) fn is_not_offered(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput)
        || code(error) == Some(Code::NotOffered)
}

/// Whether a sync made anything durable: `false` where the file system has nothing to promise.
///
/// # Errors
/// Every other error of `outcome`.
pub(crate) fn synced(outcome: std::io::Result<()>) -> std::io::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if is_not_offered(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
