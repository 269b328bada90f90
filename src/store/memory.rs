//! A disk in memory that fails and crashes on command: for tests, of this crate and of those that use it.
//!
//! It keeps two images: the *live* one that processes see, and the *durable* one. Every change is applied to the live
//! image and queued; a sync moves what it covers to the durable image: of a file its content, size and metadata, of a
//! directory its names. A crash of the process keeps the live image; a crash of power keeps the durable one and of the
//! queue whatever subset the caller picks. That is harsher than a journalling file system, on purpose.

mod handles;

use super::fs::{FileKind, Metadata, check_component};
use crate::transfer::manifest::ModifiedTime;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Inode = u64;

/// The root of every disk.
const ROOT: Inode = 1;

/// The state of one inode.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    File(Vec<u8>),
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
    Write { inode: Inode, offset: u64, bytes: Vec<u8> },
    Resize { inode: Inode, bytes: u64 },
    Mode { inode: Inode, mode: u32 },
    Modified { inode: Inode, modified: ModifiedTime },
    Link { directory: Inode, name: Vec<u8>, inode: Inode },
    Unlink { directory: Inode, name: Vec<u8> },
    Move { from: Inode, name: Vec<u8>, to: Inode, new_name: Vec<u8>, inode: Inode },
}

impl Change {
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
                    let start = usize::try_from(*offset).unwrap_or(usize::MAX);
                    let end = start.saturating_add(bytes.len());
                    if content.len() < end {
                        resize(content, end);
                    }
                    content[start..end].copy_from_slice(bytes);
                }
            }
            Self::Resize { inode, bytes } => {
                if let Some(Content::File(content)) = content_of(image, *inode) {
                    resize(content, usize::try_from(*bytes).unwrap_or(usize::MAX));
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

/// `Vec::resize`, which takes its time over a mebibyte in a build for debugging.
fn resize(content: &mut Vec<u8>, bytes: usize) {
    let kept = content.len().min(bytes);
    let mut resized = vec![0; bytes];
    resized[..kept].copy_from_slice(&content[..kept]);
    *content = resized;
}

fn content_of(image: &mut Image, inode: Inode) -> Option<&mut Content> {
    image.get_mut(&inode).map(|node| &mut node.content)
}

/// A fault that is to happen.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// This operation alone fails so.
    Error(io::ErrorKind),
    /// Nothing works from here on until [`MemoryDisk::restart`]: the process is gone.
    Crash,
}

#[derive(Debug)]
struct State {
    live: Image,
    durable: Image,
    pending: Vec<Change>,
    next_inode: Inode,
    locks: BTreeSet<Inode>,
    /// Counts restarts, so that handles of an earlier life do not release locks of this one.
    life: u64,
    operations: u64,
    fault: Option<(u64, Fault)>,
    is_crashed: bool,
    available: u64,
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
            next_inode: ROOT + 1,
            locks: BTreeSet::new(),
            life: 0,
            operations: 0,
            fault: None,
            is_crashed: false,
            available: u64::MAX,
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
        state.is_crashed = false;
    }

    /// After a loss of power: of what was not synced only that is kept for which `keep` says so, in its order.
    /// Handles from before must not be used any more.
    pub fn lose_power(&self, mut keep: impl FnMut() -> bool) {
        self.restart();
        let mut state = self.state();
        let pending = std::mem::take(&mut state.pending);
        for change in pending {
            // An inode without a name is invisible: making one is never lost by itself.
            if matches!(change, Change::Make { .. }) || keep() {
                change.apply(&mut state.durable);
            }
        }
        state.live = state.durable.clone();
    }

    /// A copy of the disk as it is, without its handles.
    #[must_use]
    pub fn fork(&self) -> Self {
        let state = self.state();
        Self(Arc::new(Mutex::new(State {
            live: state.live.clone(),
            durable: state.durable.clone(),
            pending: state.pending.clone(),
            next_inode: state.next_inode,
            locks: BTreeSet::new(),
            life: 0,
            operations: state.operations,
            fault: None,
            is_crashed: false,
            available: state.available,
        })))
    }

    /// Everything below the root.
    #[must_use]
    pub fn tree(&self) -> Tree {
        let state = self.state();
        let mut tree = Tree::new();
        let mut open = vec![(Vec::new(), ROOT)];
        while let Some((path, inode)) = open.pop() {
            let Some(Content::Directory(names)) = state.live.get(&inode).map(|node| &node.content)
            else {
                continue;
            };
            for (name, child) in names {
                let mut below: Vec<u8> = path.clone();
                below.extend_from_slice(name);
                match state.live.get(child).map(|node| &node.content) {
                    Some(Content::File(content)) => {
                        tree.insert(below, content.clone());
                    }
                    Some(Content::Symlink(target)) => {
                        tree.insert(below, target.clone());
                    }
                    Some(Content::Directory(_)) => {
                        below.push(b'/');
                        tree.insert(below.clone(), Vec::new());
                        open.push((below, *child));
                    }
                    Some(Content::Other) | None => {}
                }
            }
        }
        tree
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation, and fails it where that is asked for.
    fn operate(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.look()?;
        let operation = state.operations;
        state.operations += 1;
        match state.fault {
            Some((at, Fault::Error(kind))) if at == operation => Err(kind.into()),
            Some((at, Fault::Crash)) if at <= operation => {
                state.is_crashed = true;
                Err(io::Error::other("crashed"))
            }
            Some(_) | None => Ok(state),
        }
    }

    /// For what only reads.
    fn look(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.is_crashed {
            return Err(io::Error::other("crashed"));
        }
        Ok(state)
    }
}

const TIME_ZERO: ModifiedTime = ModifiedTime { seconds: 0, nanoseconds: 0 };

impl State {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    fn sync(&mut self, covers: impl Fn(&Change) -> bool) {
        let (synced, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|change| covers(change));
        self.pending = rest;
        for change in synced {
            // What a durable name points to exists, if only empty.
            if let Change::Link { inode, .. } | Change::Move { inode, .. } = &change {
                let inode = *inode;
                let make = self.pending.iter().find(
                    |change| matches!(change, Change::Make { inode: of, .. } if *of == inode),
                );
                if let Some(make) = make {
                    make.apply(&mut self.durable);
                }
            }
            change.apply(&mut self.durable);
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

    fn find(&self, directory: Inode, name: &[u8]) -> io::Result<(Inode, &Node)> {
        check_component(name)?;
        let inode = *self.names(directory)?.get(name).ok_or(io::ErrorKind::NotFound)?;
        let node = self.live.get(&inode).ok_or(io::ErrorKind::NotFound)?;
        Ok((inode, node))
    }

    fn create(
        &mut self,
        directory: Inode,
        name: &[u8],
        mode: u32,
        content: Content,
    ) -> io::Result<Inode> {
        check_component(name)?;
        if self.names(directory)?.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = self.next_inode;
        self.next_inode += 1;
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
        Ok(Metadata {
            kind,
            bytes,
            mode: node.mode,
            modified: node.modified,
            changed: node.modified,
            device: 0,
            inode,
            is_ours: true,
        })
    }
}

impl MemoryDirectory {
    /// Makes something that is neither file, directory nor symlink.
    ///
    /// # Errors
    /// As [`Directory::create_file`].
    pub fn create_other(&self, name: &[u8]) -> io::Result<()> {
        let mut state = self.disk.operate()?;
        state.create(self.inode, name, 0o600, Content::Other)?;
        Ok(())
    }

    fn file(&self, inode: Inode) -> MemoryFile {
        MemoryFile { disk: self.disk.clone(), inode, lock: Mutex::new(None) }
    }

    fn unlink(&self, name: &[u8], is_directory: bool) -> io::Result<()> {
        let mut state = self.disk.operate()?;
        let (_, node) = state.find(self.inode, name)?;
        match (&node.content, is_directory) {
            (Content::Directory(names), true) if !names.is_empty() => {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            (Content::Directory(_), false) => return Err(io::ErrorKind::IsADirectory.into()),
            (Content::File(_) | Content::Symlink(_) | Content::Other, true) => {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            (_, _) => {}
        }
        let (directory, name) = (self.inode, name.to_vec());
        state.change(Change::Unlink { directory, name });
        Ok(())
    }

    fn move_to(&self, name: &[u8], to: &Self, new_name: &[u8], replace: bool) -> io::Result<()> {
        let mut state = self.disk.operate()?;
        let (inode, _) = state.find(self.inode, name)?;
        check_component(new_name)?;
        if let Ok((_, node)) = state.find(to.inode, new_name) {
            if !replace {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if matches!(node.content, Content::Directory(_)) {
                return Err(io::ErrorKind::IsADirectory.into());
            }
        }
        state.names(to.inode)?;
        state.change(Change::Move {
            from: self.inode,
            name: name.to_vec(),
            to: to.inode,
            new_name: new_name.to_vec(),
            inode,
        });
        Ok(())
    }
}
