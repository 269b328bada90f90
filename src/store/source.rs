//! The sender's disk: what its paths are, and units read, hashed and framed in one pass over the bytes.
//!
//! Nothing is read twice and nothing is hashed ahead. Every read compares the file's stamp before and after, so a unit
//! is of the version that was promised or it is refused.

mod roots;

use super::directories::Directories;
use super::error::disk_error;
use super::fs::{Access, Directory, File, FileKind, Metadata};
use super::pages::SourcePages;
use super::scan::Scan;
use super::values::Values;
use crate::transfer::UNIT_BYTES;
use crate::transfer::disk::{
    DiskError, PackedFile, ReadError, SourceFile, SourceReply, SourceRequest, Stamp,
};
use crate::transfer::manifest::{EntryIndex, RelativePath};
use crate::transfer::merge::{Value, finish_unit, unit_hasher};
use crate::wire::SessionId;
use crate::wire::frame::{BODY_BYTES, KIND_BODY};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

/// Names of the value files in the sender's session directory.
const PART_VALUES: &[u8] = b"values";
const ROOT_VALUES: &[u8] = b"roots";

/// Payload bytes read at once: hashed while they are in the cache.
const STRIDE_BYTES: usize = 4 * BODY_BYTES;

/// Why paths cannot be sent.
#[derive(Debug, Error)]
pub enum SourceError {
    /// One of them is not there or cannot be reached.
    #[error("cannot open {path}: {error}")]
    Open {
        /// As given, escaped for a terminal.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// A path without a name of its own, as `/` is.
    #[error("{path} has no name that it could be sent under")]
    NoName {
        /// As given, escaped for a terminal.
        path: String,
    },
    /// Two paths that end in the same name.
    #[error("{first} and {second} have the same name")]
    SameName {
        /// One of them, escaped for a terminal.
        first: String,
        /// The other.
        second: String,
    },
    /// The session's own files.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What is sent: each top-level name, and the directory that it is in.
#[derive(Clone)]
pub struct SourceRoots<D> {
    parents: Vec<D>,
    names: BTreeMap<Vec<u8>, usize>,
}

impl<D: Directory> SourceRoots<D> {
    /// Names in directories that are open already.
    ///
    /// # Errors
    /// [`SourceError::SameName`].
    pub fn from_parents(
        roots: impl IntoIterator<Item = (D, Vec<Vec<u8>>)>,
    ) -> Result<Self, SourceError> {
        let (mut parents, mut names) = (Vec::new(), BTreeMap::new());
        for (parent, own) in roots {
            for name in own {
                let text = super::escape(&name);
                if names.insert(name, parents.len()).is_some() {
                    return Err(SourceError::SameName { first: text.clone(), second: text });
                }
            }
            parents.push(parent);
        }
        Ok(Self { parents, names })
    }

    /// The top-level names, sorted by bytes.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.keys().map(Vec::as_slice)
    }

    pub(super) fn tree(&self) -> SourceTree<D> {
        let parents = self.parents.iter().cloned().map(Directories::new).collect();
        SourceTree { parents, names: self.names.clone() }
    }
}

#[cfg(unix)]
impl SourceRoots<super::OsDirectory> {
    /// From the paths that the user gave. Each is sent under its last component; one that ends in `/`, `.` or `..` is
    /// the directory that this means, under its real name. A symlink that is named itself is sent as one.
    ///
    /// # Errors
    /// [`SourceError`], for the first path that cannot be sent.
    pub fn open(paths: &[PathBuf]) -> Result<Self, SourceError> {
        let mut parents: Vec<super::OsDirectory> = Vec::new();
        let mut by_path: BTreeMap<PathBuf, usize> = BTreeMap::new();
        let mut names: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        let mut given: BTreeMap<Vec<u8>, String> = BTreeMap::new();
        for path in paths {
            let text = super::escape(super::os::path_bytes(path));
            let opening = |error| SourceError::Open { path: text.clone(), error };
            let (parent, name) = split_path(path).map_err(opening)?;
            let (Some(parent), Some(name)) = (parent, name) else {
                return Err(SourceError::NoName { path: text });
            };
            let at = match by_path.get(&parent) {
                Some(at) => *at,
                None => {
                    parents.push(super::OsDirectory::open(&parent).map_err(opening)?);
                    by_path.insert(parent, parents.len() - 1);
                    parents.len() - 1
                }
            };
            parents[at].metadata(&name).map_err(opening)?;
            if let Some(first) = given.insert(name.clone(), text.clone()) {
                return Err(SourceError::SameName { first, second: text });
            }
            names.insert(name, at);
        }
        Ok(Self { parents, names })
    }
}

/// The real parent of what `path` means, and its name there.
#[cfg(unix)]
fn split_path(path: &std::path::Path) -> io::Result<(Option<PathBuf>, Option<Vec<u8>>)> {
    let bytes = super::os::path_bytes(path);
    let last = bytes.rsplit(|&byte| byte == b'/').next().unwrap_or(bytes);
    let whole = if matches!(last, b"" | b"." | b"..") {
        path.canonicalize()?
    } else {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(std::path::Path::new(".")).canonicalize()?;
        parent.join(path.file_name().unwrap_or_default())
    };
    let name =
        whole.file_name().map(|name| super::os::path_bytes(std::path::Path::new(name)).to_vec());
    Ok((whole.parent().map(std::path::Path::to_path_buf), name))
}

/// Resolves paths of the manifest.
pub(super) struct SourceTree<D> {
    parents: Vec<Directories<D>>,
    names: BTreeMap<Vec<u8>, usize>,
}

impl<D: Directory> SourceTree<D> {
    /// The directory at `path`, which is not the root.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn open(&mut self, path: &RelativePath) -> io::Result<D> {
        let at = self.parent_of(path.components().next().unwrap_or_default())?;
        self.parents[at].open(path)
    }

    /// The directory that holds what `path` names, and its name there.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn open_parent<'a>(&mut self, path: &'a RelativePath) -> io::Result<(D, &'a [u8])> {
        let name = path.components().next_back().ok_or(io::ErrorKind::InvalidInput)?;
        let (parent, _) = path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let at = self.parent_of(path.components().next().unwrap_or_default())?;
        Ok((self.parents[at].open(&parent)?, name))
    }

    fn parent_of(&self, name: &[u8]) -> io::Result<usize> {
        Ok(*self.names.get(name).ok_or(io::ErrorKind::NotFound)?)
    }
}

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
    let store = SourceStore {
        tree: roots.tree(),
        pages: Arc::clone(&pages),
        part_values,
        root_values,
        last: None,
    };
    let names = roots.names().map(<[u8]>::to_vec).collect();
    Ok((Scan::new(roots.tree(), names, pages, session), store))
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
        let opened = self
            .tree
            .open_parent(&file.path)
            .and_then(|(parent, name)| parent.open_file(name, Access::Read));
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
    read().map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            ReadError::Changed
        } else {
            read_error(file, &error)
        }
    })?;
    check()
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
