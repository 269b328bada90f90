//! The sender's disk: what its paths are, and units read, hashed and framed in one pass over the bytes.
//!
//! Nothing is read twice and nothing is hashed ahead. Every read compares the file's stamp before and after, so a unit
//! is of the version that was promised or it is refused.

mod named;
mod roots;
mod tree;

pub use named::{SourceError, SourceRoots};
pub(super) use tree::SourceTree;

use super::error::disk_error;
use super::fs::{Access, Directory, File, FileKind, Metadata};
use super::pages::SourcePages;
use super::scan::Scan;
use super::values::Values;
use crate::transfer::UNIT_BYTES;
use crate::transfer::disk::{
    DiskError, PackedFile, ReadError, SourceFile, SourceReply, SourceRequest, Stamp,
};
use crate::transfer::manifest::EntryIndex;
use crate::transfer::merge::{Value, finish_unit, unit_hasher};
use crate::wire::SessionId;
use crate::wire::frame::{BODY_BYTES, KIND_BODY};
use bytes::Bytes;
use std::io::{self, IoSliceMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Names of the value files in the sender's session directory.
const PART_VALUES: &[u8] = b"values";
const ROOT_VALUES: &[u8] = b"roots";

/// Payload bytes read at once: hashed while they are in the cache.
const STRIDE_BYTES: usize = 4 * BODY_BYTES;

/// The sender's store.
pub struct SourceStore<D: Directory> {
    tree: SourceTree<D>,
    pages: Arc<Mutex<SourcePages<D::File>>>,
    part_values: Values<D::File>,
    root_values: Values<D::File>,
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
        last: None,
    };
    let names = roots.names().map(<[u8]>::to_vec).collect();
    Ok((Scan::new(tree, names, pages, session), store))
}

impl<D: Directory> SourceStore<D> {
    /// Carries out one request.
    pub fn handle(&mut self, request: SourceRequest) -> SourceReply {
        match request {
            SourceRequest::ReadPart { unit, file, offset, bytes } => SourceReply::Part {
                unit,
                entry: file.entry,
                content: self.read_part(unit, &file, offset, bytes),
            },
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
            SourceRequest::KeepRoots { files } => {
                SourceReply::RootsKept { changed: self.keep_unchanged(&files) }
            }
        }
    }

    fn read_part(
        &mut self,
        unit: u64,
        file: &SourceFile,
        offset: u64,
        bytes: u64,
    ) -> Result<(Vec<Bytes>, Value), ReadError> {
        let kept = self.last.take().filter(|(entry, _)| *entry == file.entry);
        let handle = match kept {
            Some((_, handle)) => handle,
            None => {
                let handle = self.open_file(file)?;
                handle.advise_sequential();
                handle
            }
        };
        let mut frames = FrameBuffer::new(usize::try_from(bytes.min(UNIT_BYTES)).unwrap_or(0));
        let mut hasher = unit_hasher(offset);
        read_stamped(&handle, file, || frames.read(&handle, offset, 0, frames.bytes, &mut hasher))?;
        let value = finish_unit(&hasher, file.stamp.bytes);
        self.last = Some((file.entry, handle));
        // A cache: what is not kept is computed again or taken from the receiver.
        if let Err(error) = self.part_values.keep(unit, &[(file.entry, value)]) {
            tracing::debug!(target: "rejoin::store", %error, "a value was not kept");
        }
        Ok((frames.into_frames(), value))
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

    /// Appends one small file to `frames`, or leaves them as they were.
    fn read_small(
        &mut self,
        file: &SourceFile,
        frames: &mut FrameBuffer,
    ) -> Result<PackedFile, ReadError> {
        let handle = self.open_file(file)?;
        let bytes = usize::try_from(file.stamp.bytes).unwrap_or(0);
        let (start, end) = (frames.bytes, frames.bytes + bytes);
        let mut hasher = blake3::Hasher::new();
        read_stamped(&handle, file, || frames.read(&handle, 0, start, end, &mut hasher))?;
        frames.bytes = end;
        Ok(PackedFile { bytes: file.stamp.bytes, root: *hasher.finalize().as_bytes() })
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

    /// Opens the file of an entry, if it is still the version that was scanned.
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

/// Reads between two looks at the file's stamp.
fn read_stamped<F: File>(
    handle: &F,
    file: &SourceFile,
    read: impl FnOnce() -> io::Result<()>,
) -> Result<(), ReadError> {
    let check = || match handle.metadata() {
        Ok(metadata) if is_stamped(&metadata, &file.stamp) => Ok(()),
        Ok(_) => Err(ReadError::Changed),
        Err(error) => Err(read_error(file, &error)),
    };
    check()?;
    match read() {
        // It ends before its size, and is said to be what it was.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            check().and(Err(ReadError::UnknownSize))
        }
        Err(error) => Err(read_error(file, &error)),
        Ok(())
            if file.stamp.bytes == 0
                && handle
                    .read_at(&mut [IoSliceMut::new(&mut [0])], 0)
                    .is_ok_and(|read| read > 0) =>
        {
            check().and(Err(ReadError::UnknownSize))
        }
        Ok(()) => check(),
    }
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
