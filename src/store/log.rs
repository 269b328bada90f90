//! An append-only file of checksummed records: what journals and stored pages are made of.
//!
//! Header: magic, version, session, check. Record: length (u32), check (8 bytes), body. Checks are keyed by session and
//! kind of log and each covers the one before it, so a record of another file, of another place, or of an earlier life
//! of the same bytes never passes. A log ends before the first record that does not.

use super::fs::{Access, Directory, File, SyncPoint, read_exact_at};
use super::lock::try_lock_where_offered;
use crate::wire::SessionId;
use std::io;

/// Largest body of a record: a pack of 1,024 files takes under 64 KiB, so this is far from any honest one.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 20;

/// Version of every log; a higher one is refused untouched.
const VERSION: u32 = 1;

const CHECK_BYTES: usize = 8;
const HEADER_BYTES: usize = 8 + 4 + 16 + CHECK_BYTES;
const HEAD_BYTES: usize = 4 + CHECK_BYTES;

/// Bytes read at once when a log is loaded.
const READ_BYTES: usize = 1 << 20;

type Check = [u8; CHECK_BYTES];

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
    /// Not such a log, or of another session: kept aside under another name, and a fresh one begun.
    Damaged,
}

/// An open log, at its end.
pub(super) struct Log<F> {
    file: F,
    key: [u8; 32],
    last: Check,
    end: u64,
    is_dirty: bool,
    /// The end and the check before it as of the last sync.
    synced: (u64, Check),
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
        magic: [u8; 8],
        session: SessionId,
        point: SyncPoint,
        mut visit: impl FnMut(Place, &[u8]) -> bool,
    ) -> io::Result<(Self, Opened)> {
        let key = key(magic, session);
        let header = header(magic, session, &key);
        let file = match directory.open_file(name, Access::ReadWrite) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Self::begin(directory, name, key, &header)?, Opened::Fresh));
            }
            outcome => outcome?,
        };
        if !try_lock_where_offered(&file)? {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "in use by another process"));
        }
        let bytes = file.metadata()?.bytes;
        let mut found = vec![0; HEADER_BYTES.min(usize::try_from(bytes).unwrap_or(HEADER_BYTES))];
        read_exact_at(&file, &mut found, 0)?;
        if found != header {
            if found.starts_with(&magic)
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
            return Ok((Self::begin(directory, name, key, &header)?, opened));
        }
        let mut log = Self {
            file,
            key,
            last: check(&key, &[&header]),
            end: HEADER_BYTES as u64,
            // A killed process may have left records that no sync covers yet.
            is_dirty: true,
            synced: (HEADER_BYTES as u64, check(&key, &[&header])),
        };
        log.replay(bytes, &mut visit)?;
        let torn = bytes - log.end;
        if torn > 0 {
            log.file.set_bytes(log.end)?;
        }
        if log.file.sync_data(point).is_err() {
            log = log.renew(directory, name, point)?;
        }
        (log.synced, log.is_dirty) = ((log.end, log.last), false);
        Ok((log, if torn > 0 { Opened::Torn(torn) } else { Opened::Whole }))
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
        super::fs::remove_if_present(directory, &new_name)?;
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
        key: [u8; 32],
        header: &[u8; HEADER_BYTES],
    ) -> io::Result<Self> {
        let file = directory.create_file(name, 0o600)?;
        if !try_lock_where_offered(&file)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        file.write_at(&[header], 0)?;
        Ok(Self {
            file,
            key,
            last: check(&key, &[header]),
            end: HEADER_BYTES as u64,
            is_dirty: true,
            synced: (0, check(&key, &[header])),
        })
    }

    /// Begins a log that is to replace another: under `name`, whatever was there.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn replace<D: Directory<File = F>>(
        directory: &D,
        name: &[u8],
        magic: [u8; 8],
        session: SessionId,
    ) -> io::Result<Self> {
        super::fs::remove_if_present(directory, name)?;
        let key = key(magic, session);
        Self::begin(directory, name, key, &header(magic, session, &key))
    }

    fn replay(
        &mut self,
        file_bytes: u64,
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
            let expected = check(&self.key, &[&self.last, body]);
            let place = Place {
                offset: self.end + HEAD_BYTES as u64,
                bytes: u32::try_from(body.len()).unwrap_or(u32::MAX),
            };
            if head[4..] != expected || body.is_empty() || !visit(place, body) {
                return Ok(());
            }
            self.last = expected;
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
        let check = check(&self.key, &[&self.last, body]);
        self.file.write_at(&[&length.to_le_bytes(), &check, body], self.end)?;
        let offset = self.end + HEAD_BYTES as u64;
        self.end = offset + u64::from(length);
        self.last = check;
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

fn key(magic: [u8; 8], session: SessionId) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("rejoin 2026 log v1");
    hasher.update(&magic).update(&session.0);
    *hasher.finalize().as_bytes()
}

fn header(magic: [u8; 8], session: SessionId, key: &[u8; 32]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&magic);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..28].copy_from_slice(&session.0);
    let check = check(key, &[&header[..28]]);
    header[28..].copy_from_slice(&check);
    header
}

fn check(key: &[u8; 32], parts: &[&[u8]]) -> Check {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(part);
    }
    let mut check = [0; CHECK_BYTES];
    hasher.finalize_xof().fill(&mut check);
    check
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
