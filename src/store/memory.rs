//! A disk in memory that fails and crashes on command: for tests, of this crate and of those that use it.
//!
//! It keeps two images: the *live* one that processes see, and the *durable* one. Every change is applied to the live
//! image and queued; a sync moves what it covers to the durable image: of a file its content, size and metadata, of a
//! directory its names. A crash of the process keeps the live image; a crash of power keeps the durable one and of the
//! queue whatever subset the caller picks. That is harsher than a journalling file system, on purpose.

mod content;
mod failure;
mod handles;
mod names;
mod nature;

pub use content::FileContent;
pub use failure::{Fault, Kept};
pub use nature::Nature;

use crate::fs::{FileKind, Metadata, SyncPoint, check_component};
use crate::transfer::manifest::ModifiedTime;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Inode = u64;

/// The root of every disk.
const ROOT: Inode = 1;

/// The state of one inode.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    File(FileContent),
    Directory(BTreeMap<Vec<u8>, Inode>),
    Symlink(Vec<u8>),
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    content: Content,
    mode: u32,
    modified: ModifiedTime,
}

type Image = BTreeMap<Inode, Node>;

/// One change that a crash of power may lose or keep.
#[derive(Clone, Debug)]
enum Change {
    Make { inode: Inode, node: Node },
    Write { inode: Inode, offset: u64, bytes: Bytes },
    Resize { inode: Inode, bytes: u64 },
    Mode { inode: Inode, mode: u32 },
    Modified { inode: Inode, modified: ModifiedTime },
    Link { directory: Inode, name: Vec<u8>, inode: Inode },
    Unlink { directory: Inode, name: Vec<u8> },
    Move { from: Inode, name: Vec<u8>, to: Inode, new_name: Vec<u8>, inode: Inode },
}

impl Change {
    /// What a power loss in the middle of it leaves: of a write one half, and where it made the file longer its size.
    /// What was there before stays in the other half, zeros where nothing was: a device writes sectors, not files.
    fn torn(&self, is_end_kept: bool) -> Option<Self> {
        let Self::Write { inode, offset, bytes } = self else { return None };
        let half = bytes.len() / 2;
        let (at, kept) =
            if is_end_kept { (half, bytes.slice(half..)) } else { (0, bytes.slice(..half)) };
        Some(Self::Write { inode: *inode, offset: offset + at as u64, bytes: kept })
    }

    /// Where a write ends.
    fn end(&self) -> Option<(Inode, u64)> {
        let Self::Write { inode, offset, bytes } = self else { return None };
        Some((*inode, offset + bytes.len() as u64))
    }

    /// Whether a sync of `inode` makes it durable.
    fn is_of(&self, inode: Inode) -> bool {
        match self {
            Self::Make { inode: of, .. }
            | Self::Write { inode: of, .. }
            | Self::Resize { inode: of, .. }
            | Self::Mode { inode: of, .. }
            | Self::Modified { inode: of, .. } => *of == inode,
            Self::Link { directory, .. } | Self::Unlink { directory, .. } => *directory == inode,
            Self::Move { from, to, .. } => *from == inode || *to == inode,
        }
    }

    fn apply(&self, image: &mut Image) {
        match self {
            Self::Make { inode, node } => {
                image.entry(*inode).or_insert_with(|| node.clone());
            }
            Self::Write { inode, offset, bytes } => {
                if let Some(Content::File(content)) = content_of(image, *inode) {
                    content.write(usize::try_from(*offset).unwrap_or(usize::MAX), bytes);
                }
            }
            Self::Resize { inode, bytes } => {
                if let Some(Content::File(content)) = content_of(image, *inode) {
                    content.resize(usize::try_from(*bytes).unwrap_or(usize::MAX));
                }
            }
            Self::Mode { inode, mode } => {
                if let Some(node) = image.get_mut(inode) {
                    node.mode = *mode;
                }
            }
            Self::Modified { inode, modified } => {
                if let Some(node) = image.get_mut(inode) {
                    node.modified = *modified;
                }
            }
            Self::Link { directory, name, inode } => {
                if let Some(Content::Directory(names)) = content_of(image, *directory) {
                    names.insert(name.clone(), *inode);
                }
            }
            Self::Unlink { directory, name } => {
                if let Some(Content::Directory(names)) = content_of(image, *directory) {
                    names.remove(name);
                }
            }
            Self::Move { from, name, to, new_name, inode } => {
                if let Some(Content::Directory(names)) = content_of(image, *from) {
                    names.remove(name);
                }
                if let Some(Content::Directory(names)) = content_of(image, *to) {
                    names.insert(new_name.clone(), *inode);
                }
            }
        }
    }
}

/// Makes a file at least so long, by zeros.
fn extend(image: &mut Image, inode: Inode, bytes: u64) {
    if let Some(Content::File(content)) = content_of(image, inode) {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        content.resize(content.len().max(bytes));
    }
}

fn content_of(image: &mut Image, inode: Inode) -> Option<&mut Content> {
    image.get_mut(&inode).map(|node| &mut node.content)
}

#[derive(Clone, Debug)]
struct State {
    live: Image,
    durable: Image,
    /// Each with its number.
    pending: Vec<(u64, Change)>,
    next_change: u64,
    /// Stands for the durable image: the same changes in the same order.
    durable_mark: u64,
    next_inode: Inode,
    locks: BTreeSet<Inode>,
    /// Counts restarts, so that handles of an earlier life do not release locks of this one.
    life: u64,
    operations: u64,
    fault: Option<(u64, Fault)>,
    /// Operations that only look or open, and which of them is to fail.
    looks: u64,
    look_fault: Option<(u64, i32)>,
    /// Files whose next sync fails.
    failing: BTreeSet<Inode>,
    /// Syncs that do nothing.
    ignored: Option<SyncPoint>,
    /// The disk as it was before each operation.
    history: Option<Vec<Moment>>,
    is_crashed: bool,
    available: u64,
    nature: Nature,
    devices: nature::Devices,
}

/// The disk as it was before an operation.
#[derive(Clone, Debug)]
pub struct Moment {
    /// How many operations there were.
    pub operation: u64,
    /// Whether it was a sync. Between two of them there is no state that a power loss at the second could not leave.
    pub is_sync: bool,
    /// The disk.
    pub disk: MemoryDisk,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it is.
    pub kind: FileKind,
    /// Content of a file, target of a symlink.
    pub content: FileContent,
    /// Permission bits.
    pub mode: u32,
    /// Modification time.
    pub modified: ModifiedTime,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct MemoryDisk(Arc<Mutex<State>>);

/// A directory of it.
#[derive(Clone, Debug)]
pub struct MemoryDirectory {
    disk: MemoryDisk,
    inode: Inode,
}

/// A file of it.
#[derive(Debug)]
pub struct MemoryFile {
    disk: MemoryDisk,
    inode: Inode,
    /// The life of the disk in which this handle took its lock.
    lock: Mutex<Option<u64>>,
}

/// One node of the tree, for comparisons: path, then content or link target; directories end in `/`.
pub type Tree = BTreeMap<Vec<u8>, Vec<u8>>;

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryDisk {
    /// An empty disk with an empty root.
    #[must_use]
    pub fn new() -> Self {
        let root =
            Node { content: Content::Directory(BTreeMap::new()), mode: 0o755, modified: TIME_ZERO };
        let image = Image::from([(ROOT, root)]);
        Self(Arc::new(Mutex::new(State {
            live: image.clone(),
            durable: image,
            pending: Vec::new(),
            next_change: 0,
            durable_mark: 0,
            next_inode: ROOT + 1,
            locks: BTreeSet::new(),
            life: 0,
            operations: 0,
            fault: None,
            looks: 0,
            look_fault: None,
            failing: BTreeSet::new(),
            ignored: None,
            history: None,
            is_crashed: false,
            available: u64::MAX,
            nature: Nature::default(),
            devices: nature::Devices::new(),
        })))
    }

    /// Its root.
    #[must_use]
    pub fn root(&self) -> MemoryDirectory {
        MemoryDirectory { disk: self.clone(), inode: ROOT }
    }

    /// How many operations that change or sync anything there were.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Lets the operation with that number (from 0, as [`MemoryDisk::operations`] counts) fail.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.state().fault = Some((operation, fault));
    }

    /// How many operations that only look or open there were.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.state().looks
    }

    /// Lets the look with that number (from 0, as [`MemoryDisk::looks`] counts) fail with a number of the operating system.
    pub fn fail_look_at(&self, look: u64, errno: i32) {
        self.state().look_fault = Some((look, errno));
    }

    /// Lets syncs of this sort do nothing from here on.
    pub fn ignore_syncs(&self, point: Option<SyncPoint>) {
        self.state().ignored = point;
    }

    /// Keeps a copy of the disk before each operation from here on, for [`MemoryDisk::history`].
    pub fn keep_history(&self) {
        self.state().history = Some(Vec::new());
    }

    /// Those copies; no more are kept.
    #[must_use]
    pub fn history(&self) -> Vec<Moment> {
        self.state().history.take().unwrap_or_default()
    }

    /// Numbers of the changes that a power loss may take, in order.
    #[must_use]
    pub fn unsynced(&self) -> Vec<u64> {
        let state = self.state();
        let is_losable = |change: &Change| !matches!(change, Change::Make { .. });
        state.pending.iter().filter(|(_, change)| is_losable(change)).map(|entry| entry.0).collect()
    }

    /// A number that stands for what is durable, among copies of one disk.
    #[must_use]
    pub fn durable_mark(&self) -> u64 {
        self.state().durable_mark
    }

    /// What [`Directory::available_bytes`] says.
    pub fn set_available(&self, bytes: u64) {
        self.state().available = bytes;
    }

    /// After the end of a process: every write is kept, its locks are gone, faults are over.
    pub fn restart(&self) {
        let mut state = self.state();
        state.locks.clear();
        state.life += 1;
        state.fault = None;
        state.look_fault = None;
        state.is_crashed = false;
    }

    /// After a loss of power: of what was not synced that is kept which `keep` says, by its number, in its order.
    /// Handles from before must not be used any more.
    pub fn lose_power(&self, mut keep: impl FnMut(u64) -> Kept) {
        self.restart();
        let mut state = self.state();
        let pending = std::mem::take(&mut state.pending);
        for (number, change) in pending {
            // An inode without a name is invisible: making one is never lost by itself.
            let is_make = matches!(change, Change::Make { .. });
            match if is_make { Kept::Whole } else { keep(number) } {
                Kept::Whole => change.apply(&mut state.durable),
                torn @ (Kept::Torn | Kept::TornAtStart) => {
                    if let (Some(half), Some((inode, end))) =
                        (change.torn(torn == Kept::TornAtStart), change.end())
                    {
                        half.apply(&mut state.durable);
                        extend(&mut state.durable, inode, end);
                    }
                }
                Kept::Lost => {}
            }
        }
        state.live = state.durable.clone();
    }

    /// A copy of the disk as it is, without its handles.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().fork())))
    }

    /// Everything below the root.
    #[must_use]
    pub fn tree(&self) -> Tree {
        self.seen().into_iter().map(|(path, seen)| (path, seen.content.to_vec())).collect()
    }

    /// Everything below the root, with what it is; directories end in `/`.
    #[must_use]
    pub fn seen(&self) -> BTreeMap<Vec<u8>, Seen> {
        let state = self.state();
        let mut all = BTreeMap::new();
        let mut open = vec![(Vec::new(), ROOT)];
        while let Some((path, inode)) = open.pop() {
            let Some(Content::Directory(names)) = state.live.get(&inode).map(|node| &node.content)
            else {
                continue;
            };
            for (name, child) in names {
                let mut below: Vec<u8> = path.clone();
                below.extend_from_slice(name);
                let Some(node) = state.live.get(child) else { continue };
                let (kind, content) = match &node.content {
                    Content::File(content) => (FileKind::File, content.clone()),
                    Content::Symlink(target) => {
                        let mut content = FileContent::default();
                        content.write(0, &Bytes::copy_from_slice(target));
                        (FileKind::Symlink, content)
                    }
                    Content::Directory(_) => {
                        below.push(b'/');
                        open.push((below.clone(), *child));
                        (FileKind::Directory, FileContent::default())
                    }
                    Content::Other => continue,
                };
                let Node { mode, modified, .. } = *node;
                all.insert(below, Seen { kind, content, mode, modified });
            }
        }
        all
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation, and fails it where that is asked for.
    fn operate(&self, is_sync: bool) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state.is_crashed {
            return Err(io::Error::other("crashed"));
        }
        if state.history.is_some() {
            let disk = Self(Arc::new(Mutex::new(state.fork())));
            let operation = state.operations;
            state.history.iter_mut().for_each(|moments| {
                moments.push(Moment { operation, is_sync, disk: disk.clone() });
            });
        }
        let operation = state.operations;
        state.operations += 1;
        match state.fault {
            Some((at, Fault::Error(kind))) if at == operation => Err(kind.into()),
            Some((at, Fault::Errno(errno))) if at == operation => {
                Err(io::Error::from_raw_os_error(errno))
            }
            Some((at, Fault::Device)) if at == operation => {
                Err(io::Error::from_raw_os_error(DEVICE_ERROR))
            }
            Some((at, Fault::Crash)) if at <= operation => {
                state.is_crashed = true;
                Err(io::Error::other("crashed"))
            }
            Some(_) | None => Ok(state),
        }
    }

    fn synced(
        &self,
        point: SyncPoint,
        of: Option<Inode>,
        covers: impl Fn(&Change) -> bool,
    ) -> io::Result<bool> {
        crate::platform::synced(self.try_sync(point, of, covers))
    }

    fn try_sync(
        &self,
        point: SyncPoint,
        of: Option<Inode>,
        covers: impl Fn(&Change) -> bool,
    ) -> io::Result<()> {
        let is_device = {
            let state = self.state();
            matches!(state.fault, Some((at, Fault::Device)) if at == state.operations)
        };
        let mut state = match self.operate(true) {
            Ok(state) => state,
            Err(error) if is_device => {
                self.state().lose(of, covers);
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        nature::refuse(state.nature.sync_error)?;
        if of.is_some_and(|inode| state.failing.remove(&inode)) {
            return Err(io::Error::from_raw_os_error(DEVICE_ERROR));
        }
        if state.ignored != Some(point) {
            state.sync(covers);
        }
        Ok(())
    }

    /// For what only reads.
    fn look(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state.is_crashed {
            return Err(io::Error::other("crashed"));
        }
        let look = state.looks;
        state.looks += 1;
        match state.look_fault {
            Some((at, errno)) if at == look => Err(io::Error::from_raw_os_error(errno)),
            Some(_) | None => Ok(state),
        }
    }
}

const TIME_ZERO: ModifiedTime = ModifiedTime { seconds: 0, nanoseconds: 0 };

/// `EIO`.
const DEVICE_ERROR: i32 = 5;

impl State {
    /// Loses content that a sync of `of`, or of everything, was to make durable.
    fn lose(&mut self, of: Option<Inode>, covers: impl Fn(&Change) -> bool) {
        let mut failing = BTreeSet::new();
        self.pending.retain(|(_, change)| {
            let (Change::Write { inode, .. } | Change::Resize { inode, .. }) = change else {
                return true;
            };
            let is_lost = covers(change);
            if is_lost && of.is_none() {
                failing.insert(*inode);
            }
            !is_lost
        });
        self.failing.extend(failing);
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.pending.push((self.next_change, change));
        self.next_change += 1;
    }

    fn sync(&mut self, covers: impl Fn(&Change) -> bool) {
        let (synced, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|(_, change)| covers(change));
        self.pending = rest;
        for (number, change) in synced {
            // What a durable name points to exists, if only empty.
            if let Change::Link { inode, .. } | Change::Move { inode, .. } = &change {
                let inode = *inode;
                let make = self.pending.iter().find(
                    |(_, change)| matches!(change, Change::Make { inode: of, .. } if *of == inode),
                );
                if let Some((_, make)) = make {
                    make.apply(&mut self.durable);
                }
            }
            change.apply(&mut self.durable);
            self.durable_mark = (self.durable_mark.rotate_left(7) ^ number ^ 0x5bd1_e995)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn names(&self, directory: Inode) -> io::Result<&BTreeMap<Vec<u8>, Inode>> {
        match self.live.get(&directory).map(|node| &node.content) {
            Some(Content::Directory(names)) => Ok(names),
            Some(Content::File(_) | Content::Symlink(_) | Content::Other) | None => {
                Err(io::ErrorKind::NotADirectory.into())
            }
        }
    }

    fn create(
        &mut self,
        directory: Inode,
        name: &[u8],
        mode: u32,
        content: Content,
    ) -> io::Result<Inode> {
        check_component(name)?;
        if self.inode_of(directory, name)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = self.next_inode;
        self.next_inode += 1;
        if let Some(device) = self.devices.get(&directory).copied() {
            self.devices.insert(inode, device);
        }
        let node = Node { content, mode, modified: TIME_ZERO };
        self.change(Change::Make { inode, node });
        let name = name.to_vec();
        self.change(Change::Link { directory, name, inode });
        Ok(inode)
    }

    fn metadata(&self, inode: Inode) -> io::Result<Metadata> {
        let node = self.live.get(&inode).ok_or(io::ErrorKind::NotFound)?;
        let (kind, bytes) = match &node.content {
            Content::File(content) => (FileKind::File, content.len() as u64),
            Content::Directory(_) => (FileKind::Directory, 0),
            Content::Symlink(target) => (FileKind::Symlink, target.len() as u64),
            Content::Other => (FileKind::Other, 0),
        };
        Ok(self.nature.seen(Metadata {
            kind,
            bytes,
            mode: node.mode,
            modified: node.modified,
            changed: node.modified,
            device: self.device(inode),
            inode,
            is_ours: true,
            links: 1,
        }))
    }
}
