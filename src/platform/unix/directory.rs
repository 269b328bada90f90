//! The real file system, through `*at` calls on directory handles.

use crate::fs::{
    Access, Directory, File, FileKind, Metadata, SyncPoint, check_component, clamp_modified,
};
use crate::platform::synced;
use crate::transfer::manifest::ModifiedTime;
#[cfg(target_os = "linux")]
use crate::transfer::manifest::RelativePath;
use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat, Timespec, Timestamps,
};
use rustix::io::Errno;
use std::fs::DirBuilder;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Buffers of one vectored call, at most: `IOV_MAX` of every common system.
const SLICES_MAX: usize = 1_024;

/// Tries at resolving a path while things are renamed.
#[cfg(target_os = "linux")]
const BENEATH_TRIES: u32 = 100;

/// Directories above each other that are walked up at most: more than a path has.
#[cfg(target_os = "linux")]
const WAY_MAX: usize = 2_100;

/// Tries at a lock that only processes hold which look at it: each does so for microseconds.
const LOCK_TRIES: u32 = 1_000;

/// A directory handle.
#[derive(Clone, Debug)]
pub struct OsDirectory(Arc<OwnedFd>);

/// An open file.
#[derive(Debug)]
pub struct OsFile {
    descriptor: OwnedFd,
    has_lock: AtomicBool,
}

/// Flags of every open: not inherited, never a symlink, never a terminal that becomes ours, never waiting for a FIFO.
const OPEN: OFlags =
    OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);

impl OsDirectory {
    /// Opens a directory that the user named; symlinks in *this* path are the user's own and are followed.
    ///
    /// # Errors
    /// As the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let opened =
            open_directory(|flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()));
        Ok(Self(Arc::new(opened?)))
    }

    /// Opens a directory and makes it and its parents if they are absent, with `mode`.
    ///
    /// # Errors
    /// As the system says.
    pub fn create_all(path: &Path, mode: u32) -> io::Result<Self> {
        if !path.as_os_str().is_empty() {
            DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|error| {
                // What is there is something else.
                let is_other = error.kind() == io::ErrorKind::AlreadyExists;
                if is_other { rustix::io::Errno::NOTDIR.into() } else { error }
            })?;
        }
        Self::open(path)
    }

    /// A handle of the same directory that can be listed and synced.
    fn readable(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::CLOEXEC | OFlags::DIRECTORY | OFlags::RDONLY;
        Ok(rustix::fs::openat(&self.0, c".", flags, Mode::empty())?)
    }

    fn open_at(&self, name: &[u8], flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        check_component(name)?;
        Ok(rustix::fs::openat(&self.0, name, flags | OPEN, mode_of(mode))?)
    }
}

/// Opens a directory for reading; one that may only be searched, for that: names in it can be reached, not listed.
fn open_directory(open: impl Fn(OFlags) -> rustix::io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    match open(OFlags::DIRECTORY | OFlags::RDONLY) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Err(Errno::ACCESS) => Ok(open(OFlags::DIRECTORY | OFlags::PATH)?),
        outcome => Ok(outcome?),
    }
}

impl Directory for OsDirectory {
    type File = OsFile;

    fn own_metadata(&self) -> io::Result<Metadata> {
        Ok(metadata(&rustix::fs::fstat(&self.0)?))
    }

    fn metadata(&self, name: &[u8]) -> io::Result<Metadata> {
        check_component(name)?;
        let stat = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(metadata(&stat))
    }

    fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in Dir::new(self.readable()?)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        Ok(names)
    }

    fn open_directory(&self, name: &[u8]) -> io::Result<Self> {
        check_component(name)?;
        let opened =
            open_directory(|flags| rustix::fs::openat(&self.0, name, flags | OPEN, Mode::empty()));
        Ok(Self(Arc::new(opened?)))
    }

    #[cfg(target_os = "linux")]
    fn open_beneath(&self, path: &RelativePath) -> io::Result<Vec<Self>> {
        use rustix::fs::ResolveFlags;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let open = |more| {
            rustix::fs::openat2(&self.0, path.as_bytes(), flags | more, Mode::empty(), resolve)
        };
        let mut tries = 0;
        let opened = loop {
            match open_directory(open) {
                // Something was renamed meanwhile: the system cannot tell whether it was on the way.
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && tries < BENEATH_TRIES =>
                {
                    tries += 1;
                }
                outcome => break outcome?,
            }
        };
        let mut way = vec![Self(Arc::new(opened))];
        let top = self.own_metadata()?;
        while let Some(last) = way.last() {
            let own = last.own_metadata()?;
            if (own.device, own.inode) == (top.device, top.inode) {
                return Ok(way);
            }
            if way.len() > WAY_MAX {
                break;
            }
            let flags = OFlags::CLOEXEC | OFlags::DIRECTORY | OFlags::PATH;
            let above = rustix::fs::openat(&last.0, c"..", flags, Mode::empty())?;
            way.push(Self(Arc::new(above)));
        }
        // Moved out meanwhile: the root of the file system is above itself.
        Err(Errno::XDEV.into())
    }

    fn create_directory(&self, name: &[u8], mode: u32) -> io::Result<()> {
        check_component(name)?;
        Ok(rustix::fs::mkdirat(&self.0, name, mode_of(mode))?)
    }

    fn open_file(&self, name: &[u8], access: Access) -> io::Result<OsFile> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
        };
        Ok(OsFile::new(self.open_at(name, flags, 0)?))
    }

    fn create_file(&self, name: &[u8], mode: u32) -> io::Result<OsFile> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(OsFile::new(self.open_at(name, flags, mode)?))
    }

    fn create_symlink(&self, name: &[u8], target: &[u8]) -> io::Result<()> {
        check_component(name)?;
        Ok(rustix::fs::symlinkat(target, &self.0, name)?)
    }

    fn read_symlink(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        check_component(name)?;
        Ok(rustix::fs::readlinkat(&self.0, name, Vec::new())?.into_bytes())
    }

    fn set_symlink_modified(&self, name: &[u8], modified: ModifiedTime) -> io::Result<()> {
        check_component(name)?;
        let times = timestamps(modified);
        Ok(rustix::fs::utimensat(&self.0, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        let mode = mode_of(mode & 0o7777);
        match rustix::fs::fchmod(&self.0, mode) {
            // A handle that is only for searching.
            Err(Errno::BADF) => Ok(rustix::fs::chmodat(&self.0, c".", mode, AtFlags::empty())?),
            outcome => Ok(outcome?),
        }
    }

    fn set_modified(&self, modified: ModifiedTime) -> io::Result<()> {
        let times = timestamps(modified);
        match rustix::fs::futimens(&self.0, &times) {
            Err(Errno::BADF) => Ok(rustix::fs::utimensat(&self.0, c".", &times, AtFlags::empty())?),
            outcome => Ok(outcome?),
        }
    }

    fn rename(&self, name: &[u8], to: &Self, new_name: &[u8]) -> io::Result<()> {
        check_component(name)?;
        check_component(new_name)?;
        Ok(rustix::fs::renameat(&self.0, name, &to.0, new_name)?)
    }

    fn rename_no_replace(&self, name: &[u8], to: &Self, new_name: &[u8]) -> io::Result<()> {
        check_component(name)?;
        check_component(new_name)?;
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
        match rustix::fs::renameat_with(
            &self.0,
            name,
            &to.0,
            new_name,
            rustix::fs::RenameFlags::NOREPLACE,
        ) {
            // File systems (NFS, old FUSE) and kernels without the flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            outcome => return Ok(outcome?),
        }
        // A hard link never replaces; where there are none, look before renaming.
        match rustix::fs::linkat(&self.0, name, &to.0, new_name, AtFlags::empty()) {
            Ok(()) => Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?),
            Err(Errno::EXIST) => Err(Errno::EXIST.into()),
            Err(_) => match to.metadata(new_name) {
                Ok(_) => Err(Errno::EXIST.into()),
                Err(_) => self.rename(name, to, new_name),
            },
        }
    }

    fn remove_file(&self, name: &[u8]) -> io::Result<()> {
        check_component(name)?;
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    fn remove_directory(&self, name: &[u8]) -> io::Result<()> {
        check_component(name)?;
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR)?)
    }

    fn sync(&self, _point: SyncPoint) -> io::Result<bool> {
        match rustix::fs::fsync(&self.0) {
            // A handle that is only for searching: nothing less than everything can be synced.
            #[cfg(target_os = "linux")]
            Err(Errno::BADF) => {
                rustix::fs::sync();
                Ok(true)
            }
            outcome => synced(outcome.map_err(io::Error::from)),
        }
    }

    fn sync_file_system(&self, _point: SyncPoint) -> io::Result<bool> {
        #[cfg(target_os = "linux")]
        {
            match rustix::fs::syncfs(&self.0) {
                Err(Errno::BADF) => {
                    rustix::fs::sync();
                    Ok(true)
                }
                outcome => synced(outcome.map_err(io::Error::from)),
            }
        }
        #[cfg(not(target_os = "linux"))]
        Ok(false)
    }

    fn available_bytes(&self) -> io::Result<u64> {
        let space = rustix::fs::fstatvfs(&self.0)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

impl OsFile {
    const fn new(descriptor: OwnedFd) -> Self {
        Self { descriptor, has_lock: AtomicBool::new(false) }
    }

    /// `false` if that would have to wait.
    fn flock(&self, operation: FlockOperation) -> io::Result<bool> {
        match rustix::fs::flock(&self.descriptor, operation) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for OsFile {
    /// A child that is being started has our descriptors until it runs its program: closing ours would leave it the lock.
    fn drop(&mut self) {
        if *self.has_lock.get_mut()
            && let Err(error) = self.flock(FlockOperation::Unlock)
        {
            tracing::debug!(target: "rejoin::store", %error, "a lock ends with its file");
        }
    }
}

impl File for OsFile {
    fn metadata(&self) -> io::Result<Metadata> {
        Ok(metadata(&rustix::fs::fstat(&self.descriptor)?))
    }

    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        let most = buffers.len().min(SLICES_MAX);
        loop {
            match rustix::io::preadv(&self.descriptor, &mut buffers[..most], offset) {
                Err(Errno::INTR) => {}
                outcome => return Ok(outcome?),
            }
        }
    }

    fn write_at(&self, parts: &[&[u8]], mut offset: u64) -> io::Result<()> {
        for parts in parts.chunks(SLICES_MAX) {
            let mut slices: Vec<IoSlice<'_>> =
                parts.iter().map(|part| IoSlice::new(part)).collect();
            let mut rest = &mut slices[..];
            IoSlice::advance_slices(&mut rest, 0);
            while !rest.is_empty() {
                match rustix::io::pwritev(&self.descriptor, rest, offset) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => {
                        offset += written as u64;
                        IoSlice::advance_slices(&mut rest, written);
                    }
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        Ok(rustix::fs::ftruncate(&self.descriptor, bytes)?)
    }

    fn is_hole(&self, range: Range<u64>) -> bool {
        #[cfg(any(target_os = "linux", target_vendor = "apple", target_os = "freebsd"))]
        match rustix::fs::seek(&self.descriptor, rustix::fs::SeekFrom::Data(range.start)) {
            Ok(data) => data >= range.end,
            Err(error) => error == Errno::NXIO,
        }
        #[cfg(not(any(target_os = "linux", target_vendor = "apple", target_os = "freebsd")))]
        {
            let _ = range;
            false
        }
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::fchmod(&self.descriptor, mode_of(mode & 0o777))?)
    }

    fn set_modified(&self, modified: ModifiedTime) -> io::Result<()> {
        Ok(rustix::fs::futimens(&self.descriptor, &timestamps(modified))?)
    }

    fn sync_data(&self, _point: SyncPoint) -> io::Result<bool> {
        #[cfg(target_vendor = "apple")]
        return self.sync_all(_point);
        #[cfg(not(target_vendor = "apple"))]
        synced(rustix::fs::fdatasync(&self.descriptor).map_err(io::Error::from))
    }

    fn sync_all(&self, _point: SyncPoint) -> io::Result<bool> {
        // Plain fsync does not reach the platter on Apple systems.
        #[cfg(target_vendor = "apple")]
        let outcome = rustix::fs::fcntl_fullfsync(&self.descriptor);
        #[cfg(not(target_vendor = "apple"))]
        let outcome = rustix::fs::fsync(&self.descriptor);
        synced(outcome.map_err(io::Error::from))
    }

    fn try_lock(&self) -> io::Result<bool> {
        for _ in 0..LOCK_TRIES {
            if self.flock(FlockOperation::NonBlockingLockExclusive)? {
                self.has_lock.store(true, Ordering::Relaxed);
                return Ok(true);
            }
            // Whoever looks holds a shared lock for a moment; an owner's lock is exclusive.
            if self.is_locked()? {
                return Ok(false);
            }
            std::thread::yield_now();
        }
        Ok(false)
    }

    fn is_locked(&self) -> io::Result<bool> {
        if !self.flock(FlockOperation::NonBlockingLockShared)? {
            return Ok(true);
        }
        self.flock(FlockOperation::Unlock)?;
        Ok(false)
    }

    fn advise_sequential(&self) {
        #[cfg(target_os = "linux")]
        // Advice: a file system that does not take it reads all the same.
        let _ = rustix::fs::fadvise(&self.descriptor, 0, None, rustix::fs::Advice::Sequential);
    }
}

// Not `expect`: the widths of these fields, and so the lints, differ between platforms.
#[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
fn metadata(stat: &Stat) -> Metadata {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => FileKind::Other,
    };
    let time = |seconds: i64, nanoseconds: u32| ModifiedTime { seconds, nanoseconds };
    Metadata {
        kind,
        bytes: u64::try_from(stat.st_size).unwrap_or(0),
        mode: u32::from(stat.st_mode) & 0o7777,
        modified: time(stat.st_mtime as i64, stat.st_mtime_nsec as u32),
        changed: time(stat.st_ctime as i64, stat.st_ctime_nsec as u32),
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        is_ours: stat.st_uid == user(),
        links: (stat.st_nlink as u64).max(1),
    }
}

/// The user that this process acts for, who never changes: asked once, not for every file.
fn user() -> u32 {
    static USER: OnceLock<u32> = OnceLock::new();
    *USER.get_or_init(|| rustix::process::geteuid().as_raw())
}

/// Accessed now: a file system by FUSE's older library ignores one time without the other, and says nothing.
fn timestamps(modified: ModifiedTime) -> Timestamps {
    let modified = clamp_modified(modified);
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
        last_modification: Timespec {
            tv_sec: modified.seconds,
            tv_nsec: modified.nanoseconds.into(),
        },
    }
}

/// Permission bits as the system has them: 16 bits wide on Apple systems and FreeBSD.
// Not `expect`: as above.
#[allow(clippy::unnecessary_cast)]
const fn mode_of(mode: u32) -> Mode {
    Mode::from_raw_mode((mode & 0o7777) as rustix::fs::RawMode)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P-08: a child that is being started while the lock is given back has the file open, too, for that moment.
    #[test]
    fn a_lock_ends_with_its_owner_whoever_else_has_the_file_open() {
        let place = tempfile::tempdir().unwrap();
        let place = OsDirectory::open(place.path()).unwrap();
        let owner = place.create_file(b"lock", 0o600).unwrap();
        assert!(owner.try_lock().unwrap());
        let _inherited = rustix::io::dup(&owner.descriptor).unwrap();
        drop(owner);
        let next = place.open_file(b"lock", Access::ReadWrite).unwrap();
        assert!(next.try_lock().unwrap());
    }
}
