//! Unix: Linux, macOS, the BSDs.

mod directory;
mod process;

pub use directory::{OsDirectory, OsFile};
pub use process::Process;

use super::Code;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, FileType, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// The boot that this process runs in; what was written in the same boot and not synced is still there after a mere
/// kill. Random where the system does not say, so that nothing unsynced is trusted then.
#[must_use]
pub fn boot_id() -> [u8; 16] {
    if let Ok(text) = std::fs::read("/proc/sys/kernel/random/boot_id") {
        let hash = blake3::hash(&text);
        let mut id = [0; 16];
        id.copy_from_slice(&hash.as_bytes()[..16]);
        return id;
    }
    super::unknown_boot()
}

/// The permission bits that this process does not give.
// Not `expect`: the width differs between systems.
#[allow(clippy::useless_conversion)]
#[must_use]
pub fn umask() -> u32 {
    let from_proc = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find(|line| line.starts_with("Umask:"))?;
        u32::from_str_radix(line.trim_start_matches("Umask:").trim(), 8).ok()
    });
    from_proc.unwrap_or_else(|| {
        // Can only be read by setting it; for that moment new files are more private, never less.
        let mask = rustix::process::umask(Mode::from_raw_mode(0o077));
        rustix::process::umask(mask);
        u32::from(mask.as_raw_mode())
    }) & 0o777
}

/// See [`Code`].
pub(crate) fn code(error: &io::Error) -> Option<Code> {
    Some(match Errno::from_io_error(error)? {
        Errno::IO => Code::Device,
        Errno::MFILE | Errno::NFILE => Code::Descriptors,
        Errno::NXIO | Errno::NODEV | Errno::NOTCONN | Errno::BADF => Code::Gone,
        Errno::INVAL => Code::Invalid,
        Errno::ILSEQ | Errno::NAMETOOLONG => Code::Name,
        Errno::NOLCK | Errno::NOTTY => Code::NotOffered,
        Errno::LOOP => Code::Loop,
        Errno::MSGSIZE => Code::MessageTooLarge,
        _ => return None,
    })
}

/// What a disk says of a name that it does not take.
pub(crate) fn name_refused() -> io::Error {
    Errno::INVAL.into()
}

/// The bytes of a path as this system has them.
pub(crate) fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// The path that has these bytes.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

/// The name that this machine gives itself.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The user that this process acts for, as part of a name.
pub(crate) fn user() -> String {
    rustix::process::geteuid().as_raw().to_string()
}

/// Files and sockets that this process may have open; `None`: no limit.
pub(crate) fn open_files_max() -> Option<u64> {
    rustix::process::getrlimit(Resource::Nofile).current
}

/// Makes a directory that is this user's alone.
pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Whether `metadata` is that of a directory of this user's alone.
pub(crate) fn is_private(metadata: &fs::Metadata) -> bool {
    metadata.is_dir()
        && metadata.uid() == rustix::process::geteuid().as_raw()
        && metadata.mode() & 0o077 == 0
}

/// Opens or makes a file that is this user's alone.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// What tells this file or directory from every other one that is there now.
#[expect(clippy::unnecessary_wraps, reason = "not every system has it")]
pub(crate) fn identity(metadata: &fs::Metadata) -> Option<(u64, u64)> {
    Some((metadata.dev(), metadata.ino()))
}

/// Opens a file for reading; a pipe that has its place by now is not waited for, nor does a terminal become ours.
pub(crate) fn open_without_waiting(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    File::options().read(true).custom_flags(flags).open(path)
}

/// What is neither a file nor a directory nor a symlink, in a word.
pub(crate) fn special_kind(kind: FileType) -> Option<&'static str> {
    if kind.is_file() || kind.is_dir() || kind.is_symlink() {
        None
    } else if kind.is_fifo() {
        Some("pipe")
    } else if kind.is_socket() {
        Some("socket")
    } else {
        Some("device")
    }
}

/// A command with all that it starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group(Pid);

impl Group {
    /// Starts `command` in a group of its own: a Ctrl-C at the terminal is not for it.
    pub(crate) fn start(command: &mut Command) -> io::Result<(Child, Self)> {
        let child = command.process_group(0).spawn()?;
        let group = Self(Pid::from_child(&child));
        Ok((child, group))
    }

    /// Ends all of it.
    pub(crate) fn kill(self) {
        // Mostly there is nobody left.
        let _ = kill_process_group(self.0, Signal::KILL);
    }

    /// Waits until its leader has ended, and does not reap it: until then its number is nobody else's.
    pub(crate) fn wait_for_leader(self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(self.0), options), Err(Errno::INTR)) {}
    }
}
