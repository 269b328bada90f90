//! Systems whose files are not reached yet (Windows), or that have none (WebAssembly): all that needs one says so.

use super::Code;
use crate::fs::{Access, Directory, File, Metadata, SyncPoint};
use crate::transfer::manifest::{ModifiedTime, RelativePath};
use std::fmt;
use std::fs;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::str::FromStr;

/// What is not there is not there yet.
fn not_yet() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "rejoin does not reach the files of this system yet")
}

/// A directory handle, which nobody can have.
#[derive(Clone, Debug)]
pub struct OsDirectory(());

/// An open file, which nobody can have.
#[derive(Debug)]
pub struct OsFile(());

impl OsDirectory {
    /// Opens a directory that the user named.
    ///
    /// # Errors
    /// Always.
    pub fn open(_path: &Path) -> io::Result<Self> {
        Err(not_yet())
    }

    /// Opens a directory and makes it and its parents if they are absent, with `mode`.
    ///
    /// # Errors
    /// Always.
    pub fn create_all(_path: &Path, _mode: u32) -> io::Result<Self> {
        Err(not_yet())
    }
}

impl Directory for OsDirectory {
    type File = OsFile;

    fn own_metadata(&self) -> io::Result<Metadata> {
        Err(not_yet())
    }

    fn metadata(&self, _name: &[u8]) -> io::Result<Metadata> {
        Err(not_yet())
    }

    fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        Err(not_yet())
    }

    fn open_directory(&self, _name: &[u8]) -> io::Result<Self> {
        Err(not_yet())
    }

    fn open_beneath(&self, _path: &RelativePath) -> io::Result<Vec<Self>> {
        Err(not_yet())
    }

    fn create_directory(&self, _name: &[u8], _mode: u32) -> io::Result<()> {
        Err(not_yet())
    }

    fn open_file(&self, _name: &[u8], _access: Access) -> io::Result<OsFile> {
        Err(not_yet())
    }

    fn create_file(&self, _name: &[u8], _mode: u32) -> io::Result<OsFile> {
        Err(not_yet())
    }

    fn create_symlink(&self, _name: &[u8], _target: &[u8]) -> io::Result<()> {
        Err(not_yet())
    }

    fn read_symlink(&self, _name: &[u8]) -> io::Result<Vec<u8>> {
        Err(not_yet())
    }

    fn set_symlink_modified(&self, _name: &[u8], _modified: ModifiedTime) -> io::Result<()> {
        Err(not_yet())
    }

    fn set_mode(&self, _mode: u32) -> io::Result<()> {
        Err(not_yet())
    }

    fn set_modified(&self, _modified: ModifiedTime) -> io::Result<()> {
        Err(not_yet())
    }

    fn rename(&self, _name: &[u8], _to: &Self, _new_name: &[u8]) -> io::Result<()> {
        Err(not_yet())
    }

    fn rename_no_replace(&self, _name: &[u8], _to: &Self, _new_name: &[u8]) -> io::Result<()> {
        Err(not_yet())
    }

    fn remove_file(&self, _name: &[u8]) -> io::Result<()> {
        Err(not_yet())
    }

    fn remove_directory(&self, _name: &[u8]) -> io::Result<()> {
        Err(not_yet())
    }

    fn sync(&self, _point: SyncPoint) -> io::Result<bool> {
        Err(not_yet())
    }

    fn sync_file_system(&self, _point: SyncPoint) -> io::Result<bool> {
        Err(not_yet())
    }

    fn available_bytes(&self) -> io::Result<u64> {
        Err(not_yet())
    }
}

impl File for OsFile {
    fn metadata(&self) -> io::Result<Metadata> {
        Err(not_yet())
    }

    fn read_at(&self, _buffers: &mut [IoSliceMut<'_>], _offset: u64) -> io::Result<usize> {
        Err(not_yet())
    }

    fn write_at(&self, _parts: &[&[u8]], _offset: u64) -> io::Result<()> {
        Err(not_yet())
    }

    fn set_bytes(&self, _bytes: u64) -> io::Result<()> {
        Err(not_yet())
    }

    fn is_hole(&self, _range: Range<u64>) -> bool {
        false
    }

    fn set_mode(&self, _mode: u32) -> io::Result<()> {
        Err(not_yet())
    }

    fn set_modified(&self, _modified: ModifiedTime) -> io::Result<()> {
        Err(not_yet())
    }

    fn sync_data(&self, _point: SyncPoint) -> io::Result<bool> {
        Err(not_yet())
    }

    fn sync_all(&self, _point: SyncPoint) -> io::Result<bool> {
        Err(not_yet())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Err(not_yet())
    }

    fn is_locked(&self) -> io::Result<bool> {
        Err(not_yet())
    }
}

/// A process of which nothing is known but its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(u32);

impl Process {
    /// This one.
    #[must_use]
    pub fn own() -> Self {
        Self(std::process::id())
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.0
    }

    /// Whether it runs, or may run for all that is known.
    #[must_use]
    pub const fn may_run(&self) -> bool {
        true
    }
}

impl fmt::Display for Process {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "{}", self.0)
    }
}

impl FromStr for Process {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let line = text.strip_suffix('\n').ok_or(())?;
        line.parse().map(Self).map_err(|_| ())
    }
}

/// A command with all that it starts, which nobody can have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group(());

impl Group {
    pub(crate) fn start(_command: &mut Command) -> io::Result<(Child, Self)> {
        Err(not_yet())
    }

    pub(crate) const fn kill(self) {}

    pub(crate) const fn wait_for_leader(self) {}
}

/// None is known to be the same as another, so that nothing unsynced is trusted.
#[must_use]
pub fn boot_id() -> [u8; 16] {
    super::unknown_boot()
}

/// The permission bits that this process does not give.
#[must_use]
pub const fn umask() -> u32 {
    0
}

pub(crate) fn code(error: &io::Error) -> Option<Code> {
    match error.kind() {
        io::ErrorKind::InvalidFilename => Some(Code::Name),
        io::ErrorKind::InvalidInput => Some(Code::Invalid),
        _ => None,
    }
}

pub(crate) fn name_refused() -> io::Error {
    io::ErrorKind::InvalidFilename.into()
}

pub(crate) fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}

pub(crate) fn host_name() -> String {
    "this machine".to_owned()
}

/// Directories for temporary files are each user's own.
pub(crate) fn user() -> String {
    "user".to_owned()
}

pub(crate) const fn open_files_max() -> Option<u64> {
    None
}

pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

pub(crate) fn is_private(metadata: &fs::Metadata) -> bool {
    metadata.is_dir()
}

pub(crate) fn open_private(path: &Path) -> io::Result<fs::File> {
    fs::File::options().read(true).write(true).create(true).truncate(false).open(path)
}

pub(crate) const fn identity(_metadata: &fs::Metadata) -> Option<(u64, u64)> {
    None
}

pub(crate) fn open_without_waiting(path: &Path) -> io::Result<fs::File> {
    fs::File::open(path)
}

pub(crate) fn special_kind(kind: fs::FileType) -> Option<&'static str> {
    (!kind.is_file() && !kind.is_dir() && !kind.is_symlink()).then_some("device")
}
