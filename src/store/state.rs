//! The state directory: this machine's member id and its sessions, private to the user (I-06).
//!
//! ```text
//! STATE/member              16 random bytes
//! STATE/sending/ID/record   see [`super::record`]
//! STATE/sending/ID/lock     held while a process runs the session; its text names that process
//! STATE/sending/ID/…        the sender's pages and values
//! STATE/receiving/ID/…      the same for what this machine receives: it may hold both sides of a session
//! ```

use super::error::{disk_error, escape};
use super::invitation::{self, Invitation};
use super::lock::{self, Lock};
use super::privacy;
use super::record::{RECORD_BYTES_MAX, RecordError, SessionRecord};
use crate::event::Role;
use crate::fs::{
    Directory, File, FileKind, Metadata, SyncPoint, create_once, ensure_directory, read_file,
    remove_if_present, replace_file,
};
use crate::transfer::disk::DiskError;
use crate::wire::{MemberId, SessionId};
use std::io;
use thiserror::Error;

/// Sessions of each role: a machine may hold both sides of one.
const fn sessions_name(role: Role) -> &'static [u8] {
    match role {
        Role::Sender => b"sending",
        Role::Receiver => b"receiving",
    }
}
const MEMBER: &[u8] = b"member";
const RECORD: &[u8] = b"record";
const LOCK: &[u8] = b"lock";
const MARK_KEY: &[u8] = b"mark-key";

/// Marks a state directory, so that a scan knows those of other runs, too: they hold secrets, and are never sent.
pub(super) const MARK: &[u8] = crate::transfer::name::STATE_MARK;

/// Permission bits that nobody else may have on state.
const OTHERS: u32 = 0o077;

/// Why state cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StateError {
    /// A live process runs this session.
    #[error("session {session} is in use by process {}", .process.as_deref().unwrap_or("(unknown)"))]
    Locked {
        /// The session.
        session: SessionId,
        /// The process's number, where it is known.
        process: Option<String>,
    },
    /// Owned by another user, open to others, or not a directory.
    #[error("{path} {reason}")]
    NotPrivate {
        /// Which, escaped for a terminal.
        path: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// There is no such session.
    #[error("there is no session {0}")]
    NoSession(SessionId),
    /// Its record cannot be used.
    #[error("session {session}: {error}")]
    Record {
        /// The session.
        session: SessionId,
        /// Why.
        error: RecordError,
    },
    /// No place for state on this system.
    #[error(
        "no state directory is known here: HOME is no absolute path, and this user has no other"
    )]
    NoPlace,
    /// As the system says.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Tries to lock a session before it counts as run by another process: a listing holds each lock for microseconds.
const LOCK_TRIES: u32 = 10;

/// Between two of them.
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// The open state directory.
#[derive(Clone)]
pub struct StateDirectory<D: Directory> {
    root: D,
    sessions: D,
}

/// A session of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub session: SessionId,
    /// Its record, or why there is none.
    pub record: Result<SessionRecord, RecordError>,
    /// Whether a process runs it now.
    pub is_running: bool,
}

/// A session that this process runs: locked until it is dropped.
pub struct Session<D: Directory> {
    /// What is to be kept; see [`Session::save`].
    pub record: SessionRecord,
    directory: D,
    _lock: Lock<D>,
}

#[cfg(not(target_family = "wasm"))]
impl StateDirectory<crate::platform::OsDirectory> {
    /// Opens the state directory: `path`, or the platform's own. Makes it, private, if it is absent.
    ///
    /// # Errors
    /// [`StateError::NotPrivate`] if it is a symlink, another user's, or open to others.
    pub fn open(path: Option<&std::path::Path>, role: Role) -> Result<Self, StateError> {
        let path = match path {
            Some(path) => path.to_path_buf(),
            None => default_path().ok_or(StateError::NoPlace)?,
        };
        let text = crate::platform::path_bytes(&path).to_vec();
        let opening = |error: io::Error| disk_error("open state directory", &text, &error);
        let present = std::fs::symlink_metadata(&path).ok();
        if present.as_ref().is_some_and(std::fs::Metadata::is_symlink) {
            return Err(not_private(&text, "is a symlink; name the directory itself"));
        }
        if present.as_ref().is_some_and(|metadata| !metadata.is_dir()) {
            return Err(not_private(&text, "is not a directory"));
        }
        let root = crate::platform::OsDirectory::create_all(&path, 0o700).map_err(opening)?;
        if let Err(error) = check_private(&text, &root) {
            if present.is_none() {
                // Made a moment ago, empty, and of no use.
                let _ = std::fs::remove_dir(&path);
            }
            return Err(error);
        }
        match root.create_file(MARK, 0o600) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                tracing::debug!(target: "rejoin::store", %error, "the state directory is not marked");
            }
            Ok(_) | Err(_) => {}
        }
        Self::new(root, role)
    }

    /// Whether there is no state yet, and nothing in its place: who only looks has nothing to see, and makes nothing.
    #[must_use]
    pub fn is_absent(path: Option<&std::path::Path>) -> bool {
        let path = path.map(std::path::Path::to_path_buf).or_else(default_path);
        let looked = path.map(std::fs::symlink_metadata);
        looked.is_some_and(|looked| {
            let kind = looked.map_err(|error| error.kind()).err();
            matches!(kind, Some(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
        })
    }
}

/// Where state lives unless the user says otherwise.
#[cfg(not(target_family = "wasm"))]
#[must_use]
pub fn default_path() -> Option<std::path::PathBuf> {
    let directories = directories::ProjectDirs::from("", "", "rejoin")?;
    let path = directories.state_dir().unwrap_or_else(|| directories.data_local_dir());
    // A relative HOME would be another place in every directory.
    path.is_absolute().then(|| path.to_path_buf())
}

impl<D: Directory> StateDirectory<D> {
    /// State in a directory that is open already.
    ///
    /// # Errors
    /// [`StateError::NotPrivate`]; as the system says.
    pub fn new(root: D, role: Role) -> Result<Self, StateError> {
        let sessions = private_directory(&root, sessions_name(role))?;
        Ok(Self { root, sessions })
    }

    /// Where all of it is.
    pub(super) const fn root(&self) -> &D {
        &self.root
    }

    /// This machine's member id: the stored one, or `fresh`, which is stored.
    ///
    /// # Errors
    /// As the system says.
    pub fn member(&self, fresh: MemberId) -> Result<MemberId, StateError> {
        let failing = |error: io::Error| disk_error("use member id", MEMBER, &error);
        create_once(&self.root, MEMBER, fresh.0)
            .map(MemberId)
            .map_err(|error| failing(error).into())
    }

    /// What marks of directories that we made elsewhere are sealed with.
    ///
    /// # Errors
    /// As the system says.
    pub fn mark_key(&self, fresh: [u8; 32]) -> Result<[u8; 32], StateError> {
        privacy::key(&self.root, MARK_KEY, fresh)
            .map_err(|error| disk_error("use key", MARK_KEY, &error).into())
    }

    /// Begins a session and takes its lock.
    ///
    /// # Errors
    /// [`StateError::Locked`] if it exists and runs; as the system says.
    pub fn create(&self, record: SessionRecord) -> Result<Session<D>, StateError> {
        let id = record.session.to_string().into_bytes();
        let directory = private_directory(&self.sessions, &id)?;
        let lock = lock(&directory, record.session)?;
        let mut session = Session { record, directory, _lock: lock };
        session.write()?;
        self.sync_names()?;
        Ok(session)
    }

    /// Opens a stored session and takes its lock.
    ///
    /// # Errors
    /// [`StateError::Locked`], [`StateError::NoSession`], [`StateError::Record`].
    pub fn open_session(&self, session: SessionId) -> Result<Session<D>, StateError> {
        let directory = self.session_directory(session)?;
        let lock = lock(&directory, session)?;
        let record = read_record(&directory, session)?
            .map_err(|error| StateError::Record { session, error })?;
        // A process that was killed while it made the session, or replaced its record, may not have come to this.
        directory
            .sync(SyncPoint::ReplacementName)
            .map_err(|error| disk_error("sync session", RECORD, &error))?;
        self.sync_names()?;
        Ok(Session { record, directory, _lock: lock })
    }

    /// Makes the names of sessions durable.
    fn sync_names(&self) -> Result<(), StateError> {
        self.sessions
            .sync(SyncPoint::NewSession)
            .and_then(|_| self.root.sync(SyncPoint::NewState))
            .map(drop)
            .map_err(|error| disk_error("sync", b"sessions", &error).into())
    }

    /// Every stored session, newest first; those without a usable record last.
    ///
    /// # Errors
    /// As the system says.
    pub fn list(&self) -> Result<Vec<Listed>, StateError> {
        let names =
            self.sessions.names().map_err(|error| disk_error("list", b"sessions", &error))?;
        let mut listed = Vec::new();
        for session in names.iter().filter_map(|name| parse_session(name)) {
            let directory = match self.session_directory(session) {
                // Removed meanwhile.
                Err(StateError::NoSession(_)) => continue,
                outcome => outcome?,
            };
            let record = match read_record(&directory, session) {
                Err(StateError::NoSession(_)) => continue,
                outcome => outcome?,
            };
            listed.push(Listed { session, record, is_running: is_locked(&directory) });
        }
        let updated = |listed: &Listed| listed.record.as_ref().map_or(0, |record| record.updated);
        listed.sort_by_key(|listed| (std::cmp::Reverse(updated(listed)), listed.session));
        Ok(listed)
    }

    /// The newest session that is not complete and whose record satisfies `is_wanted`.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn find(
        &self,
        is_wanted: impl Fn(&SessionRecord) -> bool,
    ) -> Result<Option<SessionRecord>, StateError> {
        let listed = self.list()?;
        Ok(listed
            .into_iter()
            .filter_map(|listed| listed.record.ok())
            .find(|record| !record.is_complete && is_wanted(record)))
    }

    /// What the record of this session in this target vouches with, if there is one.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn seal_of(
        &self,
        session: SessionId,
        target: &[u8],
    ) -> Result<Option<[u8; 32]>, StateError> {
        let records = self.list()?.into_iter().filter_map(|listed| listed.record.ok());
        let mut of_it =
            records.filter(|record| record.session == session && record.target() == Some(target));
        Ok(of_it.next().map(|record| record.seal))
    }

    /// Leaves an invitation for whoever runs the session, now or next.
    ///
    /// # Errors
    /// [`StateError::NoSession`]; as the system says.
    pub fn invite(&self, session: SessionId, invitation: &Invitation) -> Result<(), StateError> {
        let directory = self.session_directory(session)?;
        invitation::write(&directory, invitation).map_err(|error| {
            disk_error("write the invitation of session", session.to_string().as_bytes(), &error)
                .into()
        })
    }

    /// Removes a session that no process runs, with a damaged record, too; a newer version's only by this.
    ///
    /// # Errors
    /// [`StateError::Locked`], [`StateError::NoSession`]; as the system says.
    pub fn remove(&self, session: SessionId) -> Result<(), StateError> {
        let directory = self.session_directory(session)?;
        let _lock = lock(&directory, session)?;
        self.remove_locked(&directory, session)
    }

    /// Removes a session that this process runs.
    ///
    /// # Errors
    /// As the system says.
    pub fn remove_own(&self, session: Session<D>) -> Result<(), StateError> {
        self.remove_locked(&session.directory, session.record.session)
    }

    fn remove_locked(&self, directory: &D, session: SessionId) -> Result<(), StateError> {
        let id = session.to_string().into_bytes();
        let remove = || {
            // The record first: without it the session is none, whatever else a crash leaves.
            remove_if_present(directory, RECORD)?;
            for name in directory.names()? {
                if name != LOCK {
                    directory.remove_file(&name)?;
                }
            }
            remove_if_present(directory, LOCK)?;
            self.sessions.remove_directory(&id)?;
            self.sessions.sync(SyncPoint::EndOfState).map(drop)
        };
        remove().map_err(|error| disk_error("remove session", &id, &error).into())
    }

    fn session_directory(&self, session: SessionId) -> Result<D, StateError> {
        let id = session.to_string().into_bytes();
        match self.sessions.open_directory(&id) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StateError::NoSession(session))
            }
            outcome => checked(outcome, &id),
        }
    }
}

impl<D: Directory> Session<D> {
    /// Where the session's own files are: the sender's pages and values.
    pub const fn directory(&self) -> &D {
        &self.directory
    }

    /// Stores the record, durably, as of `now` seconds since 1970.
    ///
    /// # Errors
    /// As the system says; then the stored one is the one before.
    pub fn save(&mut self, now: u64) -> Result<(), StateError> {
        self.record.updated = now;
        self.write()
    }

    /// The next epoch, stored before it is used: no two connections of a session ever have the same.
    ///
    /// # Errors
    /// As [`Session::save`]; then the epoch must not be used.
    pub fn begin_connection(&mut self, now: u64) -> Result<u64, StateError> {
        self.record.epoch += 1;
        self.save(now)?;
        Ok(self.record.epoch)
    }

    fn write(&mut self) -> Result<(), StateError> {
        let session = self.record.session;
        let bytes = self.record.encode().map_err(|error| StateError::Record { session, error })?;
        replace_file(&self.directory, RECORD, &bytes)
            .map_err(|error| disk_error("write session record", RECORD, &error).into())
    }
}

/// A session id from its name of 32 lower-case hexadecimal digits.
#[must_use]
pub fn parse_session(name: &[u8]) -> Option<SessionId> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut id = [0; 16];
    if name.len() != 32 {
        return None;
    }
    for (byte, digits) in id.iter_mut().zip(name.chunks_exact(2)) {
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
    }
    Some(SessionId(id))
}

/// Takes the lock of a session, and writes this process's number into it. The system releases it when the process ends,
/// however it ends.
fn lock<D: Directory>(directory: &D, session: SessionId) -> Result<Lock<D>, StateError> {
    let failing = |error: io::Error| StateError::from(disk_error("lock session", LOCK, &error));
    let Some(lock) = try_lock(directory).map_err(failing)? else {
        let process = read_file(directory, LOCK, 32)
            .ok()
            .flatten()
            .and_then(|text| String::from_utf8(text).ok())
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        return Err(StateError::Locked { session, process });
    };
    let file = lock.file();
    // Not one that was removed between its opening and its lock.
    let is_there =
        |metadata: Metadata| Some(metadata.inode) == file.metadata().ok().map(|own| own.inode);
    if !directory.metadata(LOCK).is_ok_and(is_there) {
        return Err(StateError::NoSession(session));
    }
    let number = std::process::id().to_string();
    file.set_bytes(0).and_then(|()| file.write_at(&[number.as_bytes()], 0)).map_err(failing)?;
    Ok(lock)
}

/// Takes a lock that another process may have for the moment of a listing.
fn try_lock<D: Directory>(directory: &D) -> io::Result<Option<Lock<D>>> {
    for _ in 0..LOCK_TRIES {
        if let Some(lock) = lock::lock(directory, LOCK)? {
            return Ok(Some(lock));
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    lock::lock(directory, LOCK)
}

/// Whether a process has the lock; does not get into the way of one that takes it.
fn is_locked<D: Directory>(directory: &D) -> bool {
    lock::is_locked(directory, LOCK)
}

fn read_record<D: Directory>(
    directory: &D,
    session: SessionId,
) -> Result<Result<SessionRecord, RecordError>, StateError> {
    let bytes = read_file(directory, RECORD, RECORD_BYTES_MAX)
        .map_err(|error| disk_error("read session record", RECORD, &error))?
        .ok_or(StateError::NoSession(session))?;
    Ok(SessionRecord::decode(&bytes).and_then(|record| {
        if record.session == session {
            Ok(record)
        } else {
            Err(RecordError::Damaged("it is another session's".to_owned()))
        }
    }))
}

/// A directory below the state root, made private if it is absent.
fn private_directory<D: Directory>(parent: &D, name: &[u8]) -> Result<D, StateError> {
    checked(ensure_directory(parent, name, 0o700).map(|(directory, _)| directory), name)
}

fn checked<D: Directory>(outcome: io::Result<D>, name: &[u8]) -> Result<D, StateError> {
    let failing = |error: io::Error| disk_error("open", name, &error);
    let directory = outcome.map_err(failing)?;
    check_private(name, &directory)?;
    Ok(directory)
}

fn check_private<D: Directory>(path: &[u8], directory: &D) -> Result<(), StateError> {
    let failing = |error: io::Error| disk_error("look at", path, &error);
    let metadata = directory.own_metadata().map_err(failing)?;
    let is_private = metadata.is_ours && metadata.mode & OTHERS == 0;
    if !is_private && !privacy::keeps_modes(directory).unwrap_or(true) {
        return Err(not_private(
            path,
            "is on a disk that cannot keep secrets from other users; \
             name a directory on another one with --state-dir",
        ));
    }
    if metadata.kind != FileKind::Directory {
        return Err(not_private(path, "is not a directory"));
    }
    if !metadata.is_ours {
        return Err(not_private(
            path,
            "belongs to another user; name one of your own with --state-dir",
        ));
    }
    if metadata.mode & OTHERS != 0 {
        return Err(not_private(path, "is open to other users; run chmod 700 on it"));
    }
    Ok(())
}

fn not_private(path: &[u8], reason: &str) -> StateError {
    StateError::NotPrivate { path: escape(path), reason: reason.to_owned() }
}
