//! The file system as the stores see it: handles of directories and files, names of one component, nothing global.
//!
//! No operation but [`Directory::open_beneath`] follows a symlink, and no name has a separator in it, so what is reached from a [`Directory`] lies in
//! it: confinement needs no path arithmetic. [`check_component`] is the guard that every implementation calls.

use crate::transfer::manifest::{ModifiedTime, RelativePath};
use std::io::{self, IoSliceMut};
use std::ops::Range;

/// What kind of thing a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, FIFO or socket.
    Other,
}

/// What the file system says of a name or a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: FileKind,
    /// Size in bytes.
    pub bytes: u64,
    /// Permission bits, with setuid, setgid and sticky (`0o7777`).
    pub mode: u32,
    /// Modification time.
    pub modified: ModifiedTime,
    /// Time of the inode's last change.
    pub changed: ModifiedTime,
    /// The file system it is on.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Owned by the user that this process acts for; always true where files have no owner.
    pub is_ours: bool,
    /// Names that it has; 1 where a file system does not say.
    pub links: u64,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For reading only.
    Read,
    /// For reading and writing.
    ReadWrite,
}

/// Where and why something is made durable: every sync of this crate names one, so that a crash disk can leave one out
/// and show that it is needed (D-05, `tests/it/crash_power.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPoint {
    /// A partial file, before the journal's barrier covers its units.
    Partial,
    /// The same for many of them at once, with their names.
    PartialFileSystem,
    /// The names of partial files.
    PartialNames,
    /// The name of the session's directory in `.rejoin`.
    HomeNames,
    /// The name of `.rejoin`.
    RootNames,
    /// The names of directories that files are about to be renamed into.
    NewDirectories,
    /// Final names, before the journal says that they are there.
    FinalNames,
    /// Times and modes of directories, before the journal says that all is there.
    DirectoryMetadata,
    /// Many directories at once, for any of these three.
    NamesFileSystem,
    /// The receiver's manifest pages, before claims about their entries.
    Pages,
    /// The journal, before an acknowledgement.
    Barrier,
    /// The journal, before both sides are told that all is there.
    Finished,
    /// A compacted journal, before it takes the old one's name.
    Compacted,
    /// The end of a session's directory while others live in `.rejoin`.
    EndOfSession,
    /// The end of `.rejoin`.
    EndOfHome,
    /// The sender's manifest pages, before they are sent.
    SourcePages,
    /// The name of their file.
    SourceNames,
    /// A small file, before it takes the name of the one that it replaces.
    Replacement,
    /// That name.
    ReplacementName,
    /// The name of a session's directory in the state directory.
    NewSession,
    /// The names of the state directory.
    NewState,
    /// The end of a session in the state directory.
    EndOfState,
}

impl SyncPoint {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Partial,
        Self::PartialFileSystem,
        Self::PartialNames,
        Self::HomeNames,
        Self::RootNames,
        Self::NewDirectories,
        Self::FinalNames,
        Self::DirectoryMetadata,
        Self::NamesFileSystem,
        Self::Pages,
        Self::Barrier,
        Self::Finished,
        Self::Compacted,
        Self::EndOfSession,
        Self::EndOfHome,
        Self::SourcePages,
        Self::SourceNames,
        Self::Replacement,
        Self::ReplacementName,
        Self::NewSession,
        Self::NewState,
        Self::EndOfState,
    ];
}

/// An open file.
pub trait File: Send + 'static {
    /// Of the file itself.
    ///
    /// # Errors
    /// As the system says.
    fn metadata(&self) -> io::Result<Metadata>;

    /// Reads into `buffers` from `offset`; 0 at the end of the file, and it may be less than asked for.
    ///
    /// # Errors
    /// As the system says.
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize>;

    /// Writes all `parts`, one after the other, from `offset`.
    ///
    /// # Errors
    /// As the system says; some of it may be written.
    fn write_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()>;

    /// Cuts or extends it (by a hole).
    ///
    /// # Errors
    /// As the system says.
    fn set_bytes(&self, bytes: u64) -> io::Result<()>;

    /// Whether `range` is known to be a hole; `false` where that cannot be known.
    fn is_hole(&self, range: Range<u64>) -> bool;

    /// Sets the permission bits (`0o777`).
    ///
    /// # Errors
    /// As the system says.
    fn set_mode(&self, mode: u32) -> io::Result<()>;

    /// Sets the modification time, clamped to what systems agree on.
    ///
    /// # Errors
    /// As the system says.
    fn set_modified(&self, modified: ModifiedTime) -> io::Result<()>;

    /// Makes its content durable; `false` where the file system has nothing to promise (`store::error::synced`).
    ///
    /// # Errors
    /// As the system says; never to be retried: what was dirty may be gone.
    fn sync_data(&self, point: SyncPoint) -> io::Result<bool>;

    /// Makes its content and metadata durable; `false` as for [`File::sync_data`].
    ///
    /// # Errors
    /// As [`File::sync_data`].
    fn sync_all(&self, point: SyncPoint) -> io::Result<bool>;

    /// Takes the exclusive lock that ends with this handle or its process; `false` if another handle has it.
    ///
    /// # Errors
    /// As the system says.
    fn try_lock(&self) -> io::Result<bool>;

    /// Whether another handle has the lock. Never makes a [`File::try_lock`] of another process fail.
    ///
    /// # Errors
    /// As the system says.
    fn is_locked(&self) -> io::Result<bool>;

    /// Says that it will be read from front to back.
    fn advise_sequential(&self) {}
}

/// An open directory. Cheap to clone: clones share the handle.
pub trait Directory: Clone + Send + 'static {
    /// The files of this file system.
    type File: File;

    /// Of the directory itself.
    ///
    /// # Errors
    /// As the system says.
    fn own_metadata(&self) -> io::Result<Metadata>;

    /// Of `name` in it; of a symlink itself.
    ///
    /// # Errors
    /// As the system says; `NotFound` for an absent name.
    fn metadata(&self, name: &[u8]) -> io::Result<Metadata>;

    /// The names in it but `.` and `..`, in no order.
    ///
    /// # Errors
    /// As the system says.
    fn names(&self) -> io::Result<Vec<Vec<u8>>>;

    /// Opens a directory in it.
    ///
    /// # Errors
    /// As the system says; `NotADirectory` or `ELOOP` for a symlink.
    fn open_directory(&self, name: &[u8]) -> io::Result<Self>;

    /// Opens the directory at `path` below this one, through symlinks that lead nowhere else at any moment; with those above it,
    /// this one last.
    ///
    /// # Errors
    /// `CrossesDevices` for a link that leads out, absolute ones included; `Unsupported` where the system has no such call; else
    /// as the system says.
    fn open_beneath(&self, path: &RelativePath) -> io::Result<Vec<Self>> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// As the system says.
    fn create_directory(&self, name: &[u8], mode: u32) -> io::Result<()>;

    /// Opens an existing file; never blocks on a FIFO.
    ///
    /// # Errors
    /// As the system says; `ELOOP` for a symlink.
    fn open_file(&self, name: &[u8], access: Access) -> io::Result<Self::File>;

    /// Makes a new file, open for reading and writing.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken by anything; else as the system says.
    fn create_file(&self, name: &[u8], mode: u32) -> io::Result<Self::File>;

    /// Makes a symlink.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken by anything; else as the system says.
    fn create_symlink(&self, name: &[u8], target: &[u8]) -> io::Result<()>;

    /// Where a symlink points.
    ///
    /// # Errors
    /// As the system says.
    fn read_symlink(&self, name: &[u8]) -> io::Result<Vec<u8>>;

    /// Sets the modification time of `name`, of a symlink itself.
    ///
    /// # Errors
    /// As the system says.
    fn set_symlink_modified(&self, name: &[u8], modified: ModifiedTime) -> io::Result<()>;

    /// Sets the directory's own permission bits, with setgid and sticky (`0o7777`).
    ///
    /// # Errors
    /// As the system says.
    fn set_mode(&self, mode: u32) -> io::Result<()>;

    /// Sets the directory's own modification time.
    ///
    /// # Errors
    /// As the system says.
    fn set_modified(&self, modified: ModifiedTime) -> io::Result<()>;

    /// Moves `name` to `new_name` in `to`, replacing what is there.
    ///
    /// # Errors
    /// As the system says; a directory is never replaced by a file.
    fn rename(&self, name: &[u8], to: &Self, new_name: &[u8]) -> io::Result<()>;

    /// Moves `name` to `new_name` in `to`.
    ///
    /// # Errors
    /// `AlreadyExists` if the new name is taken by anything; else as the system says.
    fn rename_no_replace(&self, name: &[u8], to: &Self, new_name: &[u8]) -> io::Result<()>;

    /// Removes a file or symlink.
    ///
    /// # Errors
    /// As the system says.
    fn remove_file(&self, name: &[u8]) -> io::Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// As the system says.
    fn remove_directory(&self, name: &[u8]) -> io::Result<()>;

    /// Makes its names durable; `false` as for [`File::sync_data`].
    ///
    /// # Errors
    /// As [`File::sync_data`].
    fn sync(&self, point: SyncPoint) -> io::Result<bool>;

    /// Makes everything on its file system durable at once; `false` where the system cannot.
    ///
    /// # Errors
    /// As [`File::sync_data`].
    fn sync_file_system(&self, point: SyncPoint) -> io::Result<bool>;

    /// Bytes that this user may still write here.
    ///
    /// # Errors
    /// As the system says.
    fn available_bytes(&self) -> io::Result<u64>;
}

/// Refuses what is not one component: the last line of defence below [`crate::transfer::name::check_name`].
///
/// # Errors
/// `InvalidInput`.
pub fn check_component(name: &[u8]) -> io::Result<()> {
    let is_one = !name.is_empty()
        && name != b"."
        && name != b".."
        && !name.contains(&b'/')
        && !name.contains(&0);
    if is_one {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a single path component"))
    }
}

/// Years 1 to 9999: beyond it tools and file systems disagree.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// `modified` within what can be set everywhere.
#[must_use]
pub fn clamp_modified(modified: ModifiedTime) -> ModifiedTime {
    ModifiedTime {
        seconds: modified.seconds.clamp(*SECONDS.start(), *SECONDS.end()),
        nanoseconds: modified.nanoseconds.min(999_999_999),
    }
}

/// Reads all of `buffer` from `offset`.
///
/// # Errors
/// As [`File::read_at`]; `UnexpectedEof` if the file ends before.
pub fn read_exact_at(file: &impl File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        let read =
            file.read_at(&mut [IoSliceMut::new(&mut buffer[filled..])], offset + filled as u64)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
    }
    Ok(())
}

/// Opens a directory, made first if it is absent; says whether it was made.
///
/// # Errors
/// As the system says.
pub fn ensure_directory<D: Directory>(parent: &D, name: &[u8], mode: u32) -> io::Result<(D, bool)> {
    match parent.open_directory(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match parent.create_directory(name, mode) {
                Ok(()) => Ok((parent.open_directory(name)?, true)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    Ok((parent.open_directory(name)?, false))
                }
                Err(error) => Err(error),
            }
        }
        outcome => Ok((outcome?, false)),
    }
}

/// Removes a file if it is there.
///
/// # Errors
/// As the system says, but for an absent one.
pub fn remove_if_present<D: Directory>(directory: &D, name: &[u8]) -> io::Result<()> {
    match directory.remove_file(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Replaces a small private file so that a crash leaves the old or the new one, durable when it returns.
///
/// # Errors
/// As the system says; then the old one is still there.
pub fn replace_file<D: Directory>(directory: &D, name: &[u8], content: &[u8]) -> io::Result<()> {
    let temporary = [name, b".new"].concat();
    write_private(directory, &temporary, content)?;
    directory.rename(&temporary, directory, name)?;
    directory.sync(SyncPoint::ReplacementName)?;
    Ok(())
}

/// A file of a name that only we use, whole and durable; what an earlier try left there goes.
fn write_private<D: Directory>(directory: &D, name: &[u8], content: &[u8]) -> io::Result<()> {
    remove_if_present(directory, name)?;
    let file = directory.create_file(name, 0o600)?;
    file.write_at(&[content], 0)?;
    file.sync_all(SyncPoint::Replacement)?;
    Ok(())
}

/// A small private file of `fresh`, which is random, made by whoever of several processes is first; what is in it then. A
/// shorter one is damaged, and replaced.
///
/// # Errors
/// As the system says; `FileTooLarge` for a longer one.
pub fn create_once<D: Directory, const BYTES: usize>(
    directory: &D,
    name: &[u8],
    fresh: [u8; BYTES],
) -> io::Result<[u8; BYTES]> {
    let stored = || -> io::Result<Option<Result<[u8; BYTES], Vec<u8>>>> {
        Ok(read_file(directory, name, BYTES)?.map(TryInto::try_into))
    };
    // One look says both: between two of them another process may make it.
    match stored()? {
        Some(Ok(found)) => return Ok(found),
        Some(Err(_)) => {
            replace_file(directory, name, &fresh)?;
            return Ok(fresh);
        }
        None => {}
    }
    // A name of its own: another process may be at the same.
    let own = blake3::hash(&fresh).to_hex();
    let temporary = [name, b".", &own.as_bytes()[..16], b".new"].concat();
    let made = write_private(directory, &temporary, &fresh)
        .and_then(|()| directory.rename_no_replace(&temporary, directory, name));
    match made {
        Ok(()) => {
            directory.sync(SyncPoint::ReplacementName)?;
            Ok(fresh)
        }
        Err(error) => {
            // Nobody else would ever remove it; a disk that fails may keep it.
            let _ = remove_if_present(directory, &temporary);
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(error);
            }
            let found = stored()?.and_then(Result::ok);
            found.ok_or_else(|| io::ErrorKind::InvalidData.into())
        }
    }
}

/// The whole of a small file; `None` if it is absent.
///
/// # Errors
/// As the system says; `FileTooLarge` beyond `limit` bytes.
pub fn read_file<D: Directory>(
    directory: &D,
    name: &[u8],
    limit: usize,
) -> io::Result<Option<Vec<u8>>> {
    let file = match directory.open_file(name, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        outcome => outcome?,
    };
    let bytes = usize::try_from(file.metadata()?.bytes)
        .ok()
        .filter(|bytes| *bytes <= limit)
        .ok_or(io::ErrorKind::FileTooLarge)?;
    let mut content = vec![0; bytes];
    read_exact_at(&file, &mut content, 0)?;
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::OsDirectory;

    /// Runs that start together, in a state directory that nobody used before.
    #[test]
    fn what_is_made_once_is_the_same_for_all() {
        for _ in 0..50 {
            let directory = tempfile::tempdir().unwrap();
            let start = std::sync::Barrier::new(4);
            let made = std::thread::scope(|scope| {
                let make = |fresh: u8| {
                    let root = OsDirectory::open(directory.path()).unwrap();
                    start.wait();
                    create_once(&root, b"key", [fresh; 32]).unwrap()
                };
                let threads: Vec<_> =
                    (1..=4).map(|fresh| scope.spawn(move || make(fresh))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            assert!(made.iter().all(|key| *key == made[0]), "{made:?}");
            let names = OsDirectory::open(directory.path()).unwrap().names().unwrap();
            assert_eq!(names, [b"key"]);
        }
    }
}
