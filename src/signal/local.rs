//! I/O: code rooms open on this machine, so that a code without a host works here.
//!
//! One file for each in a directory of the user's own, independent of `--state-dir`: name and content hold the room's
//! number or name, the URL and the process, never a word of a code. The session's own room is there too: a sender that
//! had to take another port is found again by a receiver on the same machine. Who publishes holds a lock on its file for as long as it
//! lives; a file without one is stale, whatever its process number says. Small local files: call it from a blocking
//! thread, or accept a few microseconds.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::RoomName;
use super::code::HostAddress;
use crate::platform::{
    create_private_directory, identity, is_not_offered, is_private, open_private, user,
};

/// Longest registry file: a URL and a number.
const FILE_BYTES_MAX: u64 = 1024;
/// Tries to lock a file that others replace at the same time.
const PUBLISH_TRIES: usize = 100;
/// How long who looks at a room may hold its file.
const LOOK_TIME: Duration = Duration::from_millis(1);

/// Why the registry cannot be used. Sending and receiving work without it.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The directory belongs to somebody else, is open to others, or is no directory (I-06).
    #[error("{} is not a directory of this user only", .0.display())]
    Unsafe(PathBuf),
    /// Another process of this user has that room.
    #[error("the room is open in another process on this machine")]
    Taken(RoomName),
    /// The file system refused.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// What was used.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The directory of open rooms.
#[derive(Clone, Debug)]
pub struct LocalRooms {
    directory: PathBuf,
}

/// A published room; withdrawn when dropped.
#[derive(Debug)]
pub struct PublishedRoom {
    path: PathBuf,
    // Holds the lock.
    _file: File,
}

/// Where the registry is: `chosen` if given (an environment variable), below the user's runtime directory if there is
/// one, else below the directory for temporary files, one for each user.
#[must_use]
pub fn runtime_directory(
    chosen: Option<&Path>,
    runtime: Option<&Path>,
    temporary: &Path,
) -> PathBuf {
    match (chosen, runtime) {
        (Some(chosen), _) => chosen.to_owned(),
        (None, Some(runtime)) => runtime.join("rejoin"),
        (None, None) => temporary.join(format!("rejoin-{}", user())),
    }
}

impl LocalRooms {
    /// Opens the registry, creating its directory for this user alone.
    ///
    /// # Errors
    /// [`LocalError::Unsafe`] if somebody else could have prepared it.
    pub fn open(directory: &Path) -> Result<Self, LocalError> {
        let failed = |source| LocalError::Io { path: directory.to_owned(), source };
        if let Some(parent) = directory.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        match create_private_directory(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            Ok(()) | Err(_) => {}
        }
        if is_private(&fs::symlink_metadata(directory).map_err(failed)?) {
            Ok(Self { directory: directory.to_owned() })
        } else {
            Err(LocalError::Unsafe(directory.to_owned()))
        }
    }

    /// Publishes a room of this process at the host at `address`.
    ///
    /// # Errors
    /// [`LocalError::Taken`] if another living process has the number: take another one, or a joiner on this machine
    /// would be led to the wrong room.
    pub fn publish(
        &self,
        room: RoomName,
        address: &HostAddress,
    ) -> Result<PublishedRoom, LocalError> {
        let path = self.path(room);
        let failed = |source| LocalError::Io { path: path.clone(), source };
        for _ in 0..PUBLISH_TRIES {
            let mut file = open_private(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                // Who looks at the room holds it for a moment, too: with them it can be shared, with a publisher not.
                Err(TryLockError::WouldBlock) if file.try_lock_shared().is_ok() => {
                    drop(file);
                    std::thread::sleep(LOOK_TIME);
                    continue;
                }
                Err(TryLockError::WouldBlock) => return Err(LocalError::Taken(room)),
                // A file system without locks: the file alone has to do.
                Err(TryLockError::Error(error)) if is_not_offered(&error) => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Between opening and locking, whoever found it stale may have removed it.
            if !is_still_at(&file, &path) {
                continue;
            }
            file.set_len(0).map_err(failed)?;
            file.rewind().map_err(failed)?;
            write!(file, "{}\n{}\n", address.url(), std::process::id()).map_err(failed)?;
            return Ok(PublishedRoom { path, _file: file });
        }
        Err(LocalError::Taken(room))
    }

    /// The host of a room that a living process published here; a stale file is removed.
    #[must_use]
    pub fn find(&self, room: RoomName) -> Option<HostAddress> {
        let path = self.path(room);
        let file = File::open(&path).ok()?;
        if file.try_lock_shared().is_ok() {
            // No publisher: under this lock nobody becomes one, so what is removed is what was found.
            if is_still_at(&file, &path) {
                let _ = fs::remove_file(&path);
            }
            return None;
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
        text.lines().next()?.parse().ok()
    }

    fn path(&self, room: RoomName) -> PathBuf {
        self.directory.join(match room {
            RoomName::Code(number) => format!("room-{number}"),
            RoomName::Session(id) => {
                let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("session-{id}")
            }
        })
    }
}

impl Drop for PublishedRoom {
    fn drop(&mut self) {
        // What stays behind is stale, and removed by whoever finds it.
        let _ = fs::remove_file(&self.path);
    }
}

/// An open file keeps its name where the system does not say what tells one from another.
fn is_still_at(file: &File, path: &Path) -> bool {
    let Ok(named) = fs::symlink_metadata(path) else { return false };
    file.metadata().is_ok_and(|opened| identity(&opened) == identity(&named))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> HostAddress {
        HostAddress::new("127.0.0.1", port).unwrap()
    }

    #[test]
    fn a_published_room_is_found_until_it_is_withdrawn() {
        let temporary = tempfile::tempdir().unwrap();
        let rooms = LocalRooms::open(&temporary.path().join("a/rejoin")).unwrap();
        assert_eq!(rooms.find(RoomName::Code(7)), None);
        let published = rooms.publish(RoomName::Code(7), &address(81)).unwrap();
        assert_eq!(rooms.find(RoomName::Code(7)), Some(address(81)));
        assert_eq!(rooms.find(RoomName::Code(8)), None);
        assert!(matches!(
            rooms.publish(RoomName::Code(7), &address(82)),
            Err(LocalError::Taken(RoomName::Code(7)))
        ));
        assert_eq!(rooms.find(RoomName::Code(7)), Some(address(81)), "refused without a trace");
        drop(published);
        assert_eq!(rooms.find(RoomName::Code(7)), None);
        rooms.publish(RoomName::Code(7), &address(82)).unwrap();
    }

    #[test]
    fn the_room_of_a_session_is_found_too() {
        let temporary = tempfile::tempdir().unwrap();
        let rooms = LocalRooms::open(&temporary.path().join("rejoin")).unwrap();
        let session = RoomName::Session([0xab; 16]);
        let published = rooms.publish(session, &address(81)).unwrap();
        assert_eq!(rooms.find(session), Some(address(81)));
        assert_eq!(rooms.find(RoomName::Session([0xac; 16])), None);
        drop(published);
        assert_eq!(rooms.find(session), None);
    }

    #[test]
    fn what_a_dead_process_left_is_ignored_and_removed() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path().join("rejoin");
        let rooms = LocalRooms::open(&directory).unwrap();
        // Even with the number of a living process: ours.
        let left = format!("ws://127.0.0.1:81/ws\n{}\n", std::process::id());
        fs::write(directory.join("room-7"), &left).unwrap();
        assert_eq!(rooms.find(RoomName::Code(7)), None);
        assert!(!directory.join("room-7").exists());
        fs::write(directory.join("room-7"), &left).unwrap();
        let _published = rooms.publish(RoomName::Code(7), &address(82)).unwrap();
        assert_eq!(rooms.find(RoomName::Code(7)), Some(address(82)));
    }

    #[test]
    fn who_looks_at_a_room_does_not_keep_its_publisher_out() {
        let temporary = tempfile::tempdir().unwrap();
        let rooms = LocalRooms::open(&temporary.path().join("rejoin")).unwrap();
        let room = RoomName::Session([0xab; 16]);
        let (looking, looked) = std::sync::mpsc::sync_channel::<()>(8);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let rooms = rooms.clone();
                let looking = looking.clone();
                // Until nobody listens any more.
                scope.spawn(move || {
                    while looking.send(()).is_ok() {
                        let _ = rooms.find(room);
                    }
                });
            }
            for port in 1..300 {
                looked.recv().unwrap();
                let published = rooms.publish(room, &address(port)).unwrap();
                assert_eq!(rooms.find(room), Some(address(port)));
                drop(published);
            }
            drop(looked);
        });
    }

    #[test]
    fn rubbish_in_a_file_is_no_host() {
        let temporary = tempfile::tempdir().unwrap();
        let rooms = LocalRooms::open(&temporary.path().join("rejoin")).unwrap();
        let published = rooms.publish(RoomName::Code(7), &address(81)).unwrap();
        fs::write(&published.path, [0xff; 5000]).unwrap();
        assert_eq!(rooms.find(RoomName::Code(7)), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_others_could_have_prepared_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let temporary = tempfile::tempdir().unwrap();
        let open = temporary.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(LocalRooms::open(&open), Err(LocalError::Unsafe(_))));
        let private = temporary.path().join("private");
        LocalRooms::open(&private).unwrap();
        assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o700);
        let link = temporary.path().join("link");
        std::os::unix::fs::symlink(&private, &link).unwrap();
        assert!(matches!(LocalRooms::open(&link), Err(LocalError::Unsafe(_))));
    }

    #[test]
    fn the_directory_does_not_depend_on_the_state_directory() {
        let temporary = Path::new("/tmp");
        let chosen =
            runtime_directory(Some(Path::new("/c")), Some(Path::new("/run/user/1")), temporary);
        assert_eq!(chosen, Path::new("/c"));
        assert_eq!(
            runtime_directory(None, Some(Path::new("/run/user/1")), temporary),
            Path::new("/run/user/1/rejoin")
        );
        assert!(runtime_directory(None, None, temporary).starts_with("/tmp"));
    }
}
