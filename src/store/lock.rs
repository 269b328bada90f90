//! Exclusive use of a directory of ours, as long as a process runs.
//!
//! The system's own lock on a file ends with its process, however that ends. A file system that has none (some network
//! and FUSE ones) gets a file instead that is made exclusively and names its maker: one whose maker runs no more, or ran
//! before the last start of this machine, is taken over. What another machine made stays: nothing is known of it here.

use crate::fs::{Access, Directory, File, read_file, remove_if_present};
use crate::platform::Process;
use crate::platform::is_not_offered;
use std::io;

/// Ends the name of the file that names its maker.
pub(super) const OWNER: &[u8] = b".owner";

/// Longest text in it, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// Tries to take over what nobody holds any more: others may do the same at that moment.
const TAKE_TRIES: u32 = 8;

/// A lock, until it is dropped.
pub(super) struct Lock<D: Directory> {
    file: D::File,
    owner: Option<(D, Vec<u8>)>,
}

impl<D: Directory> Lock<D> {
    /// The locked file.
    pub(super) const fn file(&self) -> &D::File {
        &self.file
    }
}

impl<D: Directory> Drop for Lock<D> {
    fn drop(&mut self) {
        if let Some((directory, name)) = &self.owner
            && let Err(error) = remove_if_present(directory, name)
        {
            tracing::debug!(target: "rejoin::store", %error, "a lock is left to be taken over");
        }
    }
}

/// Opens or makes the file `name` and takes its lock; `None` if another has it.
///
/// # Errors
/// As the system says.
pub(super) fn lock<D: Directory>(directory: &D, name: &[u8]) -> io::Result<Option<Lock<D>>> {
    let file = match directory.create_file(name, 0o600) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            directory.open_file(name, Access::ReadWrite)?
        }
        outcome => outcome?,
    };
    match file.try_lock() {
        Ok(true) => Ok(Some(Lock { file, owner: None })),
        Ok(false) => Ok(None),
        Err(error) if is_not_offered(&error) => {
            let name = [name, OWNER].concat();
            let is_taken = take(directory, &name)?;
            Ok(is_taken.then(|| Lock { file, owner: Some((directory.clone(), name)) }))
        }
        Err(error) => Err(error),
    }
}

/// Whether the lock of an open file is taken, or there is none on its file system and nobody else may have it.
///
/// # Errors
/// As the system says.
pub(super) fn try_lock_where_offered(file: &impl File) -> io::Result<bool> {
    match file.try_lock() {
        Err(error) if is_not_offered(&error) => Ok(true),
        outcome => outcome,
    }
}

/// Whether somebody has the lock `name`; does not get into the way of one that takes it.
pub(super) fn is_locked<D: Directory>(directory: &D, name: &[u8]) -> bool {
    let Ok(file) = directory.open_file(name, Access::Read) else { return false };
    match file.is_locked() {
        Err(error) if is_not_offered(&error) => {
            owner(directory, &[name, OWNER].concat()).is_ok_and(|owner| owner.is_some_and(is_held))
        }
        outcome => outcome.unwrap_or(false),
    }
}

/// Makes the file `name` with our name in it; `false` if somebody who may run has made it.
fn take<D: Directory>(directory: &D, name: &[u8]) -> io::Result<bool> {
    for number in 0..TAKE_TRIES {
        match directory.create_file(name, 0o600) {
            Ok(file) => {
                file.write_at(&[Process::own().to_string().as_bytes()], 0)?;
                return Ok(true);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let found = owner(directory, name)?;
        if found.is_some_and(is_held) {
            return Ok(false);
        }
        // Out of the way by a rename, so that of two who do this one sees what the other made, and gives it back.
        let aside = [
            name,
            b"-",
            Process::own().number().to_string().as_bytes(),
            b"-",
            number.to_string().as_bytes(),
        ]
        .concat();
        match directory.rename(name, directory, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            outcome => outcome?,
        }
        if owner(directory, &aside)?.is_some_and(is_held) {
            directory.rename(&aside, directory, name)?;
            return Ok(false);
        }
        remove_if_present(directory, &aside)?;
    }
    Ok(false)
}

fn owner<D: Directory>(directory: &D, name: &[u8]) -> io::Result<Option<Process>> {
    let text = read_file(directory, name, TEXT_BYTES_MAX)?.unwrap_or_default();
    Ok(std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()))
}

/// One whose maker was killed before it wrote its name is nobody's.
fn is_held(owner: Process) -> bool {
    owner.may_run()
}
