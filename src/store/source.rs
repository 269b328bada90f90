//! The sender's disk: what its paths are, and units read, hashed and framed in one pass over the bytes.
//!
//! Content decides what is sent, metadata only hints (D-11, design §11):
//!
//! - A read is good if the file is still a regular file of at least the promised size; of one that grows, the promised
//!   prefix is sent. One that has grown before anything of it was read is offered anew, a few times, since its beginning
//!   may not be what it was.
//! - If its [`Stamp`] moved, in any part, between the first and the last read, what was read before is read once more
//!   after the last first read. If all of it is the same, the file held exactly that between the two passes: a hard
//!   link, a `chmod`, a `touch`, an indexer, a log that grows. If anything differs, or the file is shorter, it changed.
//!   A small file has its passes here (`SourceStore::read_small`), a large one by its sender
//!   (`transfer::sender::steady`); the values of the first pass are remembered here, and a unit that is read again and
//!   has another value is refused.
//! - What changed is looked at again and offered as a new version, a few times; then it is listed.
//! - Between two runs the same holds, by the values that are remembered (`super::known`, `super::scan`).

mod again;
mod named;
mod roots;
mod tree;

pub use named::{SourceError, SourceRoots};
pub(super) use tree::SourceTree;

use super::error::disk_error;
use super::pages::SourcePages;
use super::scan::{KnownContent, Scan};
use super::values::Values;
use crate::fs::{Access, Directory, File, FileKind, Metadata};
use crate::transfer::UNIT_BYTES;
use crate::transfer::disk::{
    DiskError, PackedFile, ReadError, SourceFile, SourceReply, SourceRequest, Stamp,
};
use crate::transfer::manifest::EntryIndex;
use crate::transfer::merge::{Value, finish_unit, unit_hasher};
use crate::wire::SessionId;
use crate::wire::frame::{BODY_BYTES, KIND_BODY};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Names of the value files in the sender's session directory.
const PART_VALUES: &[u8] = b"values";
const ROOT_VALUES: &[u8] = b"roots";

/// Passes over a small file that does not stand still.
const SMALL_PASSES: usize = 4;

/// Payload bytes read at once: hashed while they are in the cache.
const STRIDE_BYTES: usize = 4 * BODY_BYTES;

/// The sender's store.
pub struct SourceStore<D: Directory> {
    tree: SourceTree<D>,
    pages: Arc<Mutex<SourcePages<D::File>>>,
    part_values: Values<D::File>,
    root_values: Values<D::File>,
    /// Values that their file did not take: it is a cache, but what was sent must be comparable in this run.
    unkept: BTreeMap<u64, (EntryIndex, Value)>,
    last: Option<(EntryIndex, D::File)>,
}

/// Opens the sender's side of `session`, whose own files are in `directory` (see [`super::state::Session`]): the scan
/// of its paths, to be pulled on one thread, and the store that reads them, for another.
///
/// # Errors
/// As the system says, about the session's own files.
pub fn open<D: Directory>(
    roots: &SourceRoots<D>,
    directory: &D,
    session: SessionId,
) -> Result<(Scan<D>, SourceStore<D>), DiskError> {
    let opening = |error: io::Error| disk_error("open session", b"pages", &error);
    let (pages, _) = SourcePages::open(directory, session).map_err(opening)?;
    let part_values = Values::open(directory, PART_VALUES, session).map_err(opening)?;
    let root_values = Values::open(directory, ROOT_VALUES, session).map_err(opening)?;
    let pages = Arc::new(Mutex::new(pages));
    let tree = roots.tree();
    let store = SourceStore {
        tree: tree.clone(),
        pages: Arc::clone(&pages),
        part_values,
        root_values,
        unkept: BTreeMap::new(),
        last: None,
    };
    let names = roots.names().map(<[u8]>::to_vec).collect();
    let part_values = Values::open(directory, PART_VALUES, session).map_err(opening)?;
    let root_values = Values::open(directory, ROOT_VALUES, session).map_err(opening)?;
    let known = KnownContent::new(part_values, root_values);
    Ok((Scan::new(tree, names, pages, session, known), store))
}

impl<D: Directory> SourceStore<D> {
    /// Carries out one request.
    pub fn handle(&mut self, request: SourceRequest) -> SourceReply {
        match request {
            SourceRequest::ReadPart { unit, file, offset, bytes } => {
                let (stamp, content) = match self.read_part(unit, &file, offset, bytes) {
                    Ok((stamp, frames, value)) => (stamp, Ok((frames, value))),
                    Err(error) => (file.stamp, Err(error)),
                };
                SourceReply::Part { unit, entry: file.entry, stamp, content }
            }
            SourceRequest::ReadPack { unit, files } => self.read_pack(unit, &files),
            SourceRequest::LoadPage { number } => {
                let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
                let page = pages
                    .load(number)
                    .map_err(|error| disk_error("load page from", super::pages::NAME, &error));
                SourceReply::Page { page }
            }
            SourceRequest::LoadValues { entry, units } => SourceReply::Values {
                entry,
                first_unit: units.start,
                values: self.load_values(entry, units),
            },
            SourceRequest::LoadRoots { entries } => {
                SourceReply::Roots { roots: self.load_roots(entries) }
            }
            SourceRequest::KeepRoots { files, is_read } => {
                SourceReply::RootsKept { changed: self.keep_unchanged(&files, is_read) }
            }
            SourceRequest::Look { file } => {
                SourceReply::Looked { entry: file.entry, stamp: self.look(&file) }
            }
            SourceRequest::LookAgain { files, first_entry } => self.look_again(&files, first_entry),
        }
    }

    fn read_part(
        &mut self,
        unit: u64,
        file: &SourceFile,
        offset: u64,
        bytes: u64,
    ) -> Result<(Stamp, Vec<Bytes>, Value), ReadError> {
        let kept = self.last.take().filter(|(entry, _)| *entry == file.entry);
        let handle = match kept {
            Some((_, handle)) => handle,
            None => {
                let handle = self.open_file(file)?;
                handle.advise_sequential();
                handle
            }
        };
        let known = self.known_value(unit, file.entry);
        let stamp = check(&handle, file)?;
        if known.is_none() && offset == 0 && stamp.bytes > file.stamp.bytes && !file.is_retried {
            return Err(ReadError::Changed);
        }
        let mut frames = FrameBuffer::new(usize::try_from(bytes.min(UNIT_BYTES)).unwrap_or(0));
        let mut hasher = unit_hasher(offset);
        let read = frames.read(&handle, offset, 0, frames.bytes, &mut hasher);
        read.map_err(|error| short(&handle, file, &error))?;
        let value = finish_unit(&hasher, file.stamp.bytes);
        match known {
            Some(known) if known != value => return Err(ReadError::Changed),
            Some(_) => {}
            None => {
                if let Err(error) = self.part_values.keep(unit, &[(file.entry, value)]) {
                    tracing::debug!(target: "rejoin::store", %error, "a value was not kept");
                    self.unkept.insert(unit, (file.entry, value));
                }
            }
        }
        self.last = Some((file.entry, handle));
        Ok((stamp, frames.into_frames(), value))
    }

    /// The value that a unit had when it was read before.
    fn known_value(&self, unit: u64, entry: EntryIndex) -> Option<Value> {
        let unkept = self.unkept.get(&unit).filter(|(of, _)| *of == entry);
        unkept.map(|(_, value)| *value).or_else(|| {
            let kept = self.part_values.load(unit..unit + 1, |_| entry).ok()?;
            kept.first().copied().flatten()
        })
    }

    /// What a file is now, if it still holds what was promised.
    fn look(&mut self, file: &SourceFile) -> Result<Stamp, ReadError> {
        // The handle that its last unit was read from, if there is one: of a file that was replaced, the old one.
        match self.last.as_ref().filter(|(entry, _)| *entry == file.entry) {
            Some((_, handle)) => check(handle, file),
            None => check(&self.open_file(file)?, file),
        }
    }

    fn read_pack(&mut self, unit: u64, files: &[SourceFile]) -> SourceReply {
        let bytes: u64 = files.iter().map(|file| file.stamp.bytes).sum();
        let mut frames = FrameBuffer::new(usize::try_from(bytes.min(UNIT_BYTES)).unwrap_or(0));
        let most = frames.bytes;
        frames.bytes = 0;
        let mut outcomes = Vec::with_capacity(files.len());
        for file in files {
            let bytes = usize::try_from(file.stamp.bytes).unwrap_or(usize::MAX);
            let outcome = if frames.bytes.saturating_add(bytes) > most {
                // More than a unit: not a pack that this side made.
                Err(ReadError::Changed)
            } else {
                self.read_small(file, &mut frames)
            };
            outcomes.push((file.entry, outcome));
        }
        self.keep_roots(&outcomes);
        SourceReply::Pack { unit, files: outcomes, frames: frames.into_frames() }
    }

    /// Appends one small file to `frames`, or leaves them as they were. Two passes that find the same are one moment's
    /// content; where nothing moved one does.
    fn read_small(
        &mut self,
        file: &SourceFile,
        frames: &mut FrameBuffer,
    ) -> Result<PackedFile, ReadError> {
        let handle = self.open_file(file)?;
        let bytes = usize::try_from(file.stamp.bytes).unwrap_or(0);
        let (start, end) = (frames.bytes, frames.bytes + bytes);
        let mut before = check(&handle, file)?;
        if before.bytes > file.stamp.bytes && !file.is_retried {
            return Err(ReadError::Changed);
        }
        let mut last = None;
        for _ in 0..SMALL_PASSES {
            let mut hasher = blake3::Hasher::new();
            let read = frames.read(&handle, 0, start, end, &mut hasher);
            read.map_err(|error| short(&handle, file, &error))?;
            if bytes == 0 && is_longer_than_said(&handle) {
                return Err(ReadError::UnknownSize);
            }
            let root = *hasher.finalize().as_bytes();
            let after = check(&handle, file)?;
            if after == before || last == Some(root) {
                frames.bytes = end;
                return Ok(PackedFile { bytes: file.stamp.bytes, root });
            }
            (before, last) = (after, Some(root));
        }
        Err(ReadError::Changed)
    }

    fn keep_roots(&self, outcomes: &[(EntryIndex, Result<PackedFile, ReadError>)]) {
        let roots: Vec<(EntryIndex, Value)> = outcomes
            .iter()
            .filter_map(|(entry, outcome)| Some((*entry, outcome.as_ref().ok()?.root)))
            .collect();
        for run in roots.chunk_by(|one, other| one.0 + 1 == other.0) {
            if let Err(error) = self.root_values.keep(run[0].0, run) {
                tracing::debug!(target: "rejoin::store", %error, "roots were not kept");
            }
        }
    }

    /// Opens what has the name of an entry.
    fn open_file(&mut self, file: &SourceFile) -> Result<D::File, ReadError> {
        let opened = self.tree.with_descriptors(|| {
            let (parent, name) = self.tree.open_parent(&file.path)?;
            parent.open_file(&name, Access::Read)
        });
        opened.map_err(|error| read_error(file, &error))
    }

    /// Slots of units are written for large files only, those of entries for small ones; a small file has one unit.
    fn load_values(&self, entry: EntryIndex, units: std::ops::Range<u64>) -> Vec<Option<Value>> {
        let count = units.end.saturating_sub(units.start);
        let unknown = || vec![None; usize::try_from(count).unwrap_or(0)];
        let mut values = self.part_values.load(units, |_| entry).unwrap_or_else(|_| unknown());
        if let [value @ None] = &mut values[..] {
            *value = self
                .root_values
                .load(entry..entry + 1, |entry| entry)
                .ok()
                .and_then(|roots| roots.first().copied().flatten());
        }
        values
    }
}

/// What a file is now: one that still holds what was promised, as far as its size tells.
fn check<F: File>(handle: &F, file: &SourceFile) -> Result<Stamp, ReadError> {
    let metadata = handle.metadata().map_err(|error| read_error(file, &error))?;
    if metadata.kind == FileKind::File && metadata.bytes >= file.stamp.bytes {
        Ok(super::scan::stamp(&metadata))
    } else {
        Err(ReadError::Changed)
    }
}

/// Why a read failed. One that ends before the size that the file is still said to have says that the size is no size.
fn short<F: File>(handle: &F, file: &SourceFile, error: &io::Error) -> ReadError {
    if error.kind() != io::ErrorKind::UnexpectedEof {
        return read_error(file, error);
    }
    check(handle, file).err().unwrap_or(ReadError::UnknownSize)
}

/// Whether a file that is said to be empty is not.
fn is_longer_than_said<F: File>(handle: &F) -> bool {
    handle.read_at(&mut [IoSliceMut::new(&mut [0])], 0).is_ok_and(|read| read > 0)
        && handle.metadata().is_ok_and(|metadata| metadata.bytes == 0)
}

fn is_stamped(metadata: &Metadata, stamp: &Stamp) -> bool {
    metadata.kind == FileKind::File && super::scan::stamp(metadata) == *stamp
}

fn read_error(file: &SourceFile, error: &io::Error) -> ReadError {
    let path_kind = crate::transfer::disk::DiskErrorKind::Path;
    match disk_error("read", file.path.as_bytes(), error) {
        _ if error.kind() == io::ErrorKind::NotFound => ReadError::Vanished,
        // Something else has its place, or that of a directory above it.
        error if error.kind == path_kind => ReadError::Changed,
        error => ReadError::Disk(error),
    }
}

/// Frames of content: the byte that says what each is, then [`BODY_BYTES`] of payload. Each has an allocation of its own,
/// which the stack can take over; slices of one would be copied there.
struct FrameBuffer {
    frames: Vec<Vec<u8>>,
    /// Payload bytes, of what there is room for.
    bytes: usize,
}

impl FrameBuffer {
    fn new(bytes: usize) -> Self {
        let frame = |start: usize| {
            let mut frame = vec![0; 1 + (bytes - start).min(BODY_BYTES)];
            frame[0] = KIND_BODY;
            frame
        };
        Self { frames: (0..bytes).step_by(BODY_BYTES).map(frame).collect(), bytes }
    }

    /// Fills the payload from `start` to `end` with what the file has from `offset`, and hashes it.
    fn read<F: File>(
        &mut self,
        file: &F,
        offset: u64,
        start: usize,
        end: usize,
        hasher: &mut blake3::Hasher,
    ) -> io::Result<()> {
        let mut at = start;
        while at < end {
            let stride = at + (end - at).min(STRIDE_BYTES);
            let mut filled = at;
            while filled < stride {
                let mut slices: Vec<IoSliceMut<'_>> =
                    self.slices(filled, stride).map(IoSliceMut::new).collect();
                match file.read_at(&mut slices, offset + (filled - start) as u64)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read => filled += read,
                }
            }
            for slice in self.slices(at, stride) {
                hasher.update(slice);
            }
            at = stride;
        }
        Ok(())
    }

    /// The payload from `start` to `end`.
    fn slices(&mut self, start: usize, end: usize) -> impl Iterator<Item = &mut [u8]> {
        let first = start / BODY_BYTES;
        self.frames
            .iter_mut()
            .enumerate()
            .skip(first)
            .map(move |(number, frame)| {
                let base = number * BODY_BYTES;
                let payload = &mut frame[1..];
                let from = start.saturating_sub(base).min(payload.len());
                let to = end.saturating_sub(base).min(payload.len());
                &mut payload[from..to.max(from)]
            })
            .take_while(|slice| !slice.is_empty())
    }

    fn into_frames(self) -> Vec<Bytes> {
        let starts = (0..self.bytes).step_by(BODY_BYTES);
        let frames = self.frames.into_iter().zip(starts).map(|(mut frame, start)| {
            frame.truncate(1 + self.bytes - start);
            Bytes::from(frame)
        });
        frames.collect()
    }
}
