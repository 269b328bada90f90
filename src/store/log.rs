//! An append-only file of checksummed records: what journals and stored pages are made of.
//!
//! Header: magic, version, session, check, seal. Record: length (u32), check, seal (8 bytes each), body. Checks are keyed by
//! session and kind of log and each covers the one before it, so a record of another file, of another place, or of an
//! earlier life of the same bytes never passes. A log ends before the first record that does not.
//!
//! **A seal is the same, keyed with a secret of whoever wrote it**: what lies where others can put something is believed only
//! as far as the state directory vouches for it. A log with other seals is kept aside, and nothing of it counts but what
//! [`adopt`] takes over.

use super::lock::try_lock_where_offered;
use crate::fs::{Access, Directory, File, FileKind, Metadata, SyncPoint, read_exact_at};
use crate::wire::SessionId;
use std::io;

/// Largest body of a record: a pack of 1,024 files takes under 64 KiB, so this is far from any honest one.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 20;

/// Version of every log; a higher one is refused untouched.
const VERSION: u32 = 2;

const CHECK_BYTES: usize = 8;
/// Of a header, what every writer of the same session writes alike.
const PLAIN_BYTES: usize = 8 + 4 + 16 + CHECK_BYTES;
const HEADER_BYTES: usize = PLAIN_BYTES + CHECK_BYTES;
const HEAD_BYTES: usize = 4 + 2 * CHECK_BYTES;

/// Bytes read at once when a log is loaded.
const READ_BYTES: usize = 1 << 20;

/// Check and seal.
type Checks = [u8; 2 * CHECK_BYTES];

/// What a log is of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) magic: [u8; 8],
    pub(super) session: SessionId,
    /// What seals are keyed with: known to nobody who can put something in the log's place.
    pub(super) secret: [u8; 32],
}

/// The keys that follow from it.
#[derive(Clone, Copy)]
struct Keys {
    check: [u8; 32],
    seal: [u8; 32],
}

impl Identity {
    fn keys(&self) -> Keys {
        let key = |context: &str, secret: &[u8]| {
            let mut hasher = blake3::Hasher::new_derive_key(context);
            hasher.update(secret).update(&self.magic).update(&self.session.0);
            *hasher.finalize().as_bytes()
        };
        Keys {
            check: key("rejoin 2026 log v1", b""),
            seal: key("rejoin 2026 log seal v1", &self.secret),
        }
    }

    fn header(&self, keys: &Keys) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&self.magic);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[12..28].copy_from_slice(&self.session.0);
        let checks = keys.checks(&[0; 2 * CHECK_BYTES], &header[..28]);
        header[28..].copy_from_slice(&checks);
        header
    }
}

impl Keys {
    /// Check and seal of `body` behind what has those of `last`.
    fn checks(&self, last: &Checks, body: &[u8]) -> Checks {
        let (last_check, last_seal) = last.split_at(CHECK_BYTES);
        let mut checks = [0; 2 * CHECK_BYTES];
        let (check, seal) = checks.split_at_mut(CHECK_BYTES);
        keyed(&self.check, &[last_check, body], check);
        keyed(&self.seal, &[last_seal, body], seal);
        checks
    }
}

fn keyed(key: &[u8; 32], parts: &[&[u8]], check: &mut [u8]) {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize_xof().fill(check);
}

/// Where a record's body lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    offset: u64,
    bytes: u32,
}

/// What opening a log found besides its good records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// It was absent, or its creation had not got as far as its header.
    Fresh,
    /// It ended with a good record.
    Whole,
    /// So many bytes at its end were no record and are cut off.
    Torn(u64),
    /// Not such a log, of another session, or one that this secret does not vouch for: kept aside under another name, and a
    /// fresh one begun.
    Damaged,
}

/// An open log, at its end.
pub(super) struct Log<F> {
    file: F,
    keys: Keys,
    last: Checks,
    end: u64,
    is_dirty: bool,
    /// The end and the checks before it as of the last sync.
    synced: (u64, Checks),
}

impl<F: File> Log<F> {
    /// Opens or begins the log `name`; each good record's body goes to `visit` until that says that it is none
    /// (`false`): the log ends before it. What a killed process left in it is made durable as `point`.
    ///
    /// # Errors
    /// As the system says; `Unsupported` for a newer version; `WouldBlock` if another process has it open.
    pub(super) fn open<D: Directory<File = F>>(
        directory: &D,
        name: &[u8],
        identity: &Identity,
        point: SyncPoint,
        mut visit: impl FnMut(Place, &[u8]) -> bool,
    ) -> io::Result<(Self, Opened)> {
        let keys = identity.keys();
        let header = identity.header(&keys);
        match directory.metadata(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Self::begin(directory, name, keys, &header)?, Opened::Fresh));
            }
            Ok(found) if found.kind != FileKind::File => {
                keep_aside(directory, name)?;
                return Ok((Self::begin(directory, name, keys, &header)?, Opened::Damaged));
            }
            outcome => drop(outcome?),
        }
        let file = directory.open_file(name, Access::ReadWrite)?;
        if !try_lock_where_offered(&file)? {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "in use by another process"));
        }
        let Metadata { bytes, links, .. } = file.metadata()?;
        let mut found = vec![0; HEADER_BYTES.min(usize::try_from(bytes).unwrap_or(HEADER_BYTES))];
        read_exact_at(&file, &mut found, 0)?;
        if found != header {
            if found.starts_with(&identity.magic)
                && found.len() == HEADER_BYTES
                && u32::from_le_bytes([found[8], found[9], found[10], found[11]]) > VERSION
            {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "written by a newer version of rejoin",
                ));
            }
            // A creation that a crash cut short: the right beginning, then nothing or zeros.
            let good =
                found.iter().zip(&header).take_while(|(found, wanted)| found == wanted).count();
            let is_cut =
                bytes <= HEADER_BYTES as u64 && found[good..].iter().all(|&byte| byte == 0);
            if !is_cut {
                drop(file);
                keep_aside(directory, name)?;
            }
            let opened = if is_cut { Opened::Fresh } else { Opened::Damaged };
            if is_cut {
                directory.remove_file(name)?;
            }
            return Ok((Self::begin(directory, name, keys, &header)?, opened));
        }
        let mut log = Self::after_header(file, keys, &header);
        // A killed process may have left records that no sync covers yet.
        log.synced.0 = log.end;
        log.replay(bytes, 2 * CHECK_BYTES, &mut visit)?;
        let torn = bytes - log.end;
        if links > 1 {
            // Somebody keeps it as it is.
            log = log.renew(directory, name, point)?;
        } else if torn > 0 {
            log.file.set_bytes(log.end)?;
        }
        if log.file.sync_data(point).is_err() {
            log = log.renew(directory, name, point)?;
        }
        (log.synced, log.is_dirty) = ((log.end, log.last), false);
        Ok((log, if torn > 0 { Opened::Torn(torn) } else { Opened::Whole }))
    }

    /// A log that has its header and nothing else, of which nothing is durable.
    fn after_header(file: F, keys: Keys, header: &[u8; HEADER_BYTES]) -> Self {
        let last = keys.checks(&[0; 2 * CHECK_BYTES], header);
        Self { file, keys, last, end: HEADER_BYTES as u64, is_dirty: true, synced: (0, last) }
    }

    /// The same records in a file of their own: what a failed sync left of the old one is not known.
    fn renew<D: Directory<File = F>>(
        self,
        directory: &D,
        name: &[u8],
        point: SyncPoint,
    ) -> io::Result<Self> {
        let mut new_name = name.to_vec();
        new_name.extend_from_slice(RENEWED);
        crate::fs::remove_if_present(directory, &new_name)?;
        let file = directory.create_file(&new_name, 0o600)?;
        if !try_lock_where_offered(&file)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut buffer = vec![0; READ_BYTES];
        let mut at = 0;
        while at < self.end {
            let bytes = READ_BYTES.min(usize::try_from(self.end - at).unwrap_or(READ_BYTES));
            read_exact_at(&self.file, &mut buffer[..bytes], at)?;
            file.write_at(&[&buffer[..bytes]], at)?;
            at += bytes as u64;
        }
        file.sync_data(point)?;
        directory.rename(&new_name, directory, name)?;
        Ok(Self { file, ..self })
    }

    /// Begins a log under a name that is free.
    fn begin<D: Directory<File = F>>(
        directory: &D,
        name: &[u8],
        keys: Keys,
        header: &[u8; HEADER_BYTES],
    ) -> io::Result<Self> {
        let file = directory.create_file(name, 0o600)?;
        if !try_lock_where_offered(&file)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        file.write_at(&[header], 0)?;
        Ok(Self::after_header(file, keys, header))
    }

    /// Begins a log that is to replace another: under `name`, whatever was there.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn replace<D: Directory<File = F>>(
        directory: &D,
        name: &[u8],
        identity: &Identity,
    ) -> io::Result<Self> {
        crate::fs::remove_if_present(directory, name)?;
        let keys = identity.keys();
        Self::begin(directory, name, keys, &identity.header(&keys))
    }

    /// Reads the records on. Of each one's check and seal the first `checked` bytes must be right.
    fn replay(
        &mut self,
        file_bytes: u64,
        checked: usize,
        visit: &mut impl FnMut(Place, &[u8]) -> bool,
    ) -> io::Result<()> {
        let mut buffer: Vec<u8> = Vec::new();
        let mut at = 0;
        let mut read_to = self.end;
        loop {
            let held = &buffer[at..];
            let wanted = match held.first_chunk::<4>() {
                None => HEAD_BYTES,
                Some(length) => {
                    let length = u32::from_le_bytes(*length) as usize;
                    if length > RECORD_BYTES_MAX {
                        return Ok(());
                    }
                    HEAD_BYTES + length
                }
            };
            if held.len() < wanted {
                let rest = usize::try_from(file_bytes - read_to).unwrap_or(usize::MAX);
                let room = rest.min(READ_BYTES.max(wanted - held.len()));
                let mut more = vec![0; held.len() + room];
                let (kept, new) = more.split_at_mut(held.len());
                kept.copy_from_slice(held);
                let kept = kept.len();
                let read = self.file.read_at(&mut [io::IoSliceMut::new(new)], read_to)?;
                if read == 0 {
                    return Ok(());
                }
                more.truncate(kept + read);
                (buffer, at) = (more, 0);
                read_to += read as u64;
                continue;
            }
            let (head, body) = held[..wanted].split_at(HEAD_BYTES);
            let expected = self.keys.checks(&self.last, body);
            let place = Place {
                offset: self.end + HEAD_BYTES as u64,
                bytes: u32::try_from(body.len()).unwrap_or(u32::MAX),
            };
            let found = &head[4..];
            if found[..checked] != expected[..checked] || body.is_empty() || !visit(place, body) {
                return Ok(());
            }
            self.last.copy_from_slice(found);
            self.end += wanted as u64;
            at += wanted;
        }
    }

    /// Appends a record: written, not yet durable.
    ///
    /// # Errors
    /// As the system says. The log's end has not moved then, and the next record takes that place.
    pub(super) fn append(&mut self, body: &[u8]) -> io::Result<Place> {
        if self.end < HEADER_BYTES as u64 {
            return Err(io::Error::other("a sync of its beginning failed"));
        }
        let length = u32::try_from(body.len())
            .ok()
            .filter(|_| !body.is_empty() && body.len() <= RECORD_BYTES_MAX)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let checks = self.keys.checks(&self.last, body);
        self.file.write_at(&[&length.to_le_bytes(), &checks, body], self.end)?;
        let offset = self.end + HEAD_BYTES as u64;
        self.end = offset + u64::from(length);
        self.last = checks;
        self.is_dirty = true;
        Ok(Place { offset, bytes: length })
    }

    /// The body of a record again.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn read(&self, place: Place) -> io::Result<Vec<u8>> {
        let mut body = vec![0; place.bytes as usize];
        read_exact_at(&self.file, &mut body, place.offset)?;
        Ok(body)
    }

    /// Makes what was appended durable, if anything was. After a failure the log ends where it did at the last sync: the
    /// system may have dropped the rest and still show it, and what follows a hole is never read again.
    ///
    /// # Errors
    /// As the system says; never to be retried.
    pub(super) fn sync(&mut self, point: SyncPoint) -> io::Result<()> {
        if !self.is_dirty {
            return Ok(());
        }
        if let Err(error) = self.file.sync_data(point) {
            let _ = self.file.set_bytes(self.synced.0);
            (self.end, self.last) = self.synced;
            return Err(error);
        }
        self.synced = (self.end, self.last);
        self.is_dirty = false;
        Ok(())
    }

    /// Bytes of the file.
    pub(super) const fn bytes(&self) -> u64 {
        self.end
    }
}

/// Takes over a log of this session that another secret vouches for, or nobody: each record that passes its check goes to
/// `take`, and is in the log from here on if that says so. The other one is kept aside. `false`, and nothing done, where
/// there is no such log.
///
/// # Errors
/// As [`Log::open`].
pub(super) fn adopt<D: Directory>(
    directory: &D,
    name: &[u8],
    identity: &Identity,
    point: SyncPoint,
    mut take: impl FnMut(&[u8]) -> bool,
) -> io::Result<bool> {
    match directory.metadata(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        // Opening it keeps it aside.
        Ok(found) if found.kind != FileKind::File => return Ok(false),
        outcome => drop(outcome?),
    }
    let file = directory.open_file(name, Access::ReadWrite)?;
    let bytes = file.metadata()?.bytes;
    let keys = identity.keys();
    let header = identity.header(&keys);
    let mut found = [0; HEADER_BYTES];
    if bytes < HEADER_BYTES as u64 {
        return Ok(false);
    }
    read_exact_at(&file, &mut found, 0)?;
    // Without a seal its creation was cut short.
    let is_foreign = found != header
        && found[..PLAIN_BYTES] == header[..PLAIN_BYTES]
        && found[PLAIN_BYTES..] != [0; CHECK_BYTES];
    if !is_foreign {
        return Ok(false);
    }
    if !try_lock_where_offered(&file)? {
        return Err(io::Error::new(io::ErrorKind::WouldBlock, "in use by another process"));
    }
    let new_name = [name, RENEWED].concat();
    let mut new = Log::replace(directory, &new_name, identity)?;
    let mut old = Log::after_header(file, keys, &found);
    let mut failed = None;
    old.replay(bytes, CHECK_BYTES, &mut |_, body| {
        let appended = if take(body) { new.append(body).map(drop) } else { Ok(()) };
        failed = appended.err();
        failed.is_none()
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    new.sync(point)?;
    keep_aside(directory, name)?;
    directory.rename(&new_name, directory, name)?;
    Ok(true)
}

/// Ends the name of a log that is about to take another's place.
pub(super) const RENEWED: &[u8] = b".renewed";

/// Marks a file that is kept for inspection.
pub(super) const ASIDE_MARK: &[u8] = b".damaged-";

/// Renames `name` to the first free `name.damaged-N`.
fn keep_aside<D: Directory>(directory: &D, name: &[u8]) -> io::Result<()> {
    for number in 0..u32::MAX {
        let mut aside = name.to_vec();
        aside.extend_from_slice(ASIDE_MARK);
        aside.extend_from_slice(number.to_string().as_bytes());
        match directory.rename_no_replace(name, directory, &aside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            outcome => return outcome,
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
