//! A disk that fails: the n-th operation of a kind, once or from then on, over any other disk. Or one that others use, too:
//! something happens while a file of a name is read.

use rejoin::fs::{
    Access, Directory, File, FileKind, Metadata, SyncPoint, read_exact_at, remove_if_present,
};
use rejoin::transfer::manifest::ModifiedTime;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    Open,
    Write,
    Truncate,
    Rename,
    Remove,
    Attributes,
    SyncFile,
    SyncDirectory,
}

impl Kind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Create,
        Self::Open,
        Self::Write,
        Self::Truncate,
        Self::Rename,
        Self::Remove,
        Self::Attributes,
        Self::SyncFile,
        Self::SyncDirectory,
    ];
}

/// When and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// From 0.
    pub(crate) at: u64,
    pub(crate) lasts: bool,
    pub(crate) errno: i32,
}

/// What somebody does while a file of this name is read, once.
type Meanwhile = (Vec<u8>, Box<dyn FnOnce() + Send>);

/// A rename that is not atomic, as over a network: it is done, or half of it, and denied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BrokenRename {
    /// From 0.
    pub(crate) at: u64,
    pub(crate) errno: i32,
    /// The new name is there, and the old one still.
    pub(crate) leaves_both: bool,
}

#[derive(Default)]
struct State {
    rename: Option<BrokenRename>,
    fault: Option<Fault>,
    counts: [u64; Kind::ALL.len()],
    failed: u64,
    meanwhile: Option<Meanwhile>,
}

/// The faults of one disk; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<State>>);

impl Faults {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self(Arc::new(Mutex::new(State { fault, ..State::default() })))
    }

    /// One rename is broken.
    pub(crate) fn renaming(rename: BrokenRename) -> Self {
        Self(Arc::new(Mutex::new(State { rename: Some(rename), ..State::default() })))
    }

    /// Whether the rename that is under way is that one.
    fn broken_rename(&self) -> Option<BrokenRename> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = state.counts[Kind::Rename as usize] - 1;
        let broken = state.rename.filter(|rename| rename.at == at);
        state.failed += u64::from(broken.is_some());
        broken
    }

    /// Operations of a kind so far.
    pub(crate) fn count(&self, kind: Kind) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).counts[kind as usize]
    }

    /// Operations that failed.
    pub(crate) fn failed(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).failed
    }

    /// Once something of a file of this name was read, `act` happens, before the next operation.
    pub(crate) fn while_read(&self, name: &[u8], act: impl FnOnce() + Send + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).meanwhile =
            Some((name.to_vec(), Box::new(act)));
    }

    /// Whether what was to happen has happened.
    pub(crate) fn has_acted(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).meanwhile.is_none()
    }

    fn was_read(&self, name: &[u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, act)) = state.meanwhile.take_if(|(of, _)| of == name) {
            drop(state);
            act();
        }
    }

    fn meet(&self, kind: Kind) -> io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = state.counts[kind as usize];
        state.counts[kind as usize] += 1;
        match state.fault {
            Some(fault)
                if fault.kind == kind && (at == fault.at || fault.lasts && at > fault.at) =>
            {
                state.failed += 1;
                Err(io::Error::from_raw_os_error(fault.errno))
            }
            _ => Ok(()),
        }
    }
}

#[derive(Clone)]
pub(crate) struct FaultyDirectory<D>(pub(crate) D, pub(crate) Faults);

/// With the name by which it was opened.
pub(crate) struct FaultyFile<F>(F, Faults, Vec<u8>);

impl<F: File> File for FaultyFile<F> {
    fn metadata(&self) -> io::Result<Metadata> {
        self.0.metadata()
    }

    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        let read = self.0.read_at(buffers, offset)?;
        self.1.was_read(&self.2);
        Ok(read)
    }

    /// Half of the first part is written when it fails: a full disk takes what still fits.
    fn write_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        self.1.meet(Kind::Write).inspect_err(|_| {
            let some = parts.first().map_or(&[][..], |part| &part[..part.len() / 2]);
            let _ = self.0.write_at(&[some], offset);
        })?;
        self.0.write_at(parts, offset)
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        self.1.meet(Kind::Truncate)?;
        self.0.set_bytes(bytes)
    }

    fn is_hole(&self, range: Range<u64>) -> bool {
        self.0.is_hole(range)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.1.meet(Kind::Attributes)?;
        self.0.set_mode(mode)
    }

    fn set_modified(&self, modified: ModifiedTime) -> io::Result<()> {
        self.1.meet(Kind::Attributes)?;
        self.0.set_modified(modified)
    }

    fn sync_data(&self, point: SyncPoint) -> io::Result<bool> {
        self.1.meet(Kind::SyncFile)?;
        self.0.sync_data(point)
    }

    fn sync_all(&self, point: SyncPoint) -> io::Result<bool> {
        self.1.meet(Kind::SyncFile)?;
        self.0.sync_all(point)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }

    fn is_locked(&self) -> io::Result<bool> {
        self.0.is_locked()
    }
}

impl<D: Directory> FaultyDirectory<D> {
    fn directory(&self, inner: D) -> Self {
        Self(inner, self.1.clone())
    }

    /// Denied in any case; what is there is as the disk left it.
    fn rename_badly(
        &self,
        broken: BrokenRename,
        (name, to, new_name): (&[u8], &D, &[u8]),
        may_replace: bool,
    ) -> io::Result<()> {
        let denied = Err(io::Error::from_raw_os_error(broken.errno));
        let metadata = self.0.metadata(name)?;
        if !broken.leaves_both || metadata.kind != FileKind::File {
            match may_replace {
                true => self.0.rename(name, to, new_name)?,
                false => self.0.rename_no_replace(name, to, new_name)?,
            }
            return denied;
        }
        let mut content = vec![0; usize::try_from(metadata.bytes).unwrap_or(0)];
        read_exact_at(&self.0.open_file(name, Access::Read)?, &mut content, 0)?;
        if may_replace {
            remove_if_present(to, new_name)?;
        }
        let other = to.create_file(new_name, metadata.mode)?;
        other.write_at(&[&content], 0)?;
        other.set_modified(metadata.modified)?;
        denied
    }

    fn file(&self, name: &[u8], inner: D::File) -> FaultyFile<D::File> {
        FaultyFile(inner, self.1.clone(), name.to_vec())
    }
}

impl<D: Directory> Directory for FaultyDirectory<D> {
    type File = FaultyFile<D::File>;

    fn own_metadata(&self) -> io::Result<Metadata> {
        self.0.own_metadata()
    }

    fn metadata(&self, name: &[u8]) -> io::Result<Metadata> {
        self.0.metadata(name)
    }

    fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        self.0.names()
    }

    fn open_directory(&self, name: &[u8]) -> io::Result<Self> {
        self.1.meet(Kind::Open)?;
        Ok(self.directory(self.0.open_directory(name)?))
    }

    fn create_directory(&self, name: &[u8], mode: u32) -> io::Result<()> {
        self.1.meet(Kind::Create)?;
        self.0.create_directory(name, mode)
    }

    fn open_file(&self, name: &[u8], access: Access) -> io::Result<Self::File> {
        self.1.meet(Kind::Open)?;
        Ok(self.file(name, self.0.open_file(name, access)?))
    }

    fn create_file(&self, name: &[u8], mode: u32) -> io::Result<Self::File> {
        self.1.meet(Kind::Create)?;
        Ok(self.file(name, self.0.create_file(name, mode)?))
    }

    fn create_symlink(&self, name: &[u8], target: &[u8]) -> io::Result<()> {
        self.1.meet(Kind::Create)?;
        self.0.create_symlink(name, target)
    }

    fn read_symlink(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        self.0.read_symlink(name)
    }

    fn set_symlink_modified(&self, name: &[u8], modified: ModifiedTime) -> io::Result<()> {
        self.1.meet(Kind::Attributes)?;
        self.0.set_symlink_modified(name, modified)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.1.meet(Kind::Attributes)?;
        self.0.set_mode(mode)
    }

    fn set_modified(&self, modified: ModifiedTime) -> io::Result<()> {
        self.1.meet(Kind::Attributes)?;
        self.0.set_modified(modified)
    }

    fn rename(&self, name: &[u8], to: &Self, new_name: &[u8]) -> io::Result<()> {
        self.1.meet(Kind::Rename)?;
        match self.1.broken_rename() {
            Some(broken) => self.rename_badly(broken, (name, &to.0, new_name), true),
            None => self.0.rename(name, &to.0, new_name),
        }
    }

    fn rename_no_replace(&self, name: &[u8], to: &Self, new_name: &[u8]) -> io::Result<()> {
        self.1.meet(Kind::Rename)?;
        match self.1.broken_rename() {
            Some(broken) => self.rename_badly(broken, (name, &to.0, new_name), false),
            None => self.0.rename_no_replace(name, &to.0, new_name),
        }
    }

    fn remove_file(&self, name: &[u8]) -> io::Result<()> {
        self.1.meet(Kind::Remove)?;
        self.0.remove_file(name)
    }

    fn remove_directory(&self, name: &[u8]) -> io::Result<()> {
        self.1.meet(Kind::Remove)?;
        self.0.remove_directory(name)
    }

    fn sync(&self, point: SyncPoint) -> io::Result<bool> {
        self.1.meet(Kind::SyncDirectory)?;
        self.0.sync(point)
    }

    fn sync_file_system(&self, point: SyncPoint) -> io::Result<bool> {
        self.1.meet(Kind::SyncDirectory)?;
        self.0.sync_file_system(point)
    }

    fn available_bytes(&self) -> io::Result<u64> {
        self.0.available_bytes()
    }
}
