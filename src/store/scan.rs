//! The walk over the source: depth-first, names sorted by bytes, pages as they fill, never through a symlink.
//!
//! A session that continues reports its stored pages first, so that their units flow at once, and then walks the tree
//! like any other: what is as its page says keeps its number, what changed becomes a new entry that supersedes the old
//! one, what is new is added, what is not there any more is said to be gone (`super::known`). Where a file's size is what
//! it was, what is known of its content is compared with it (`content`): a file whose time, mode or inode moved is no
//! new version, and what there is of it stays.

mod content;
#[cfg(test)]
mod tests;

pub(super) use content::KnownContent;

use super::error::{disk_error, escape, is_of_process};
use super::known::{Known, Look};
use super::pages::SourcePages;
use super::source::SourceTree;
use crate::fs::{Access, Directory, File, FileKind, Metadata};
use crate::transfer::disk::{DiskError, DiskErrorKind, ScanReport, Stamp, StoredPage};
use crate::transfer::manifest::{
    Chain, DirectoryTable, ENTRIES_MAX, Entry, EntryIndex, EntryKind, FILE_BYTES_MAX,
    ManifestError, ModifiedTime, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, Page, PageCheck, RelativePath,
    Totals,
};
use crate::transfer::missing::{LeftOut, MissingKind};
use crate::transfer::name::{self, DEPTH_MAX, NameError, PATH_BYTES_MAX};
use crate::wire::SessionId;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Entries of the first page: it leaves early, so that the first byte does not wait for a scan.
const FIRST_PAGE_ENTRIES: usize = 64;

/// Most bytes that an entry takes in a page besides its name and link target.
const ENTRY_BYTES: usize = 64;

/// What identifies the version of a file with this metadata.
pub(super) const fn stamp(metadata: &Metadata) -> Stamp {
    Stamp {
        bytes: metadata.bytes,
        modified: metadata.modified,
        changed: metadata.changed,
        inode: metadata.inode,
    }
}

/// A directory whose names are being taken in.
struct Level {
    path: RelativePath,
    index: Option<EntryIndex>,
    /// Device and inode, to know it again below itself.
    identity: Option<(u64, u64)>,
    names: std::vec::IntoIter<Vec<u8>>,
}

/// The scan. Pull [`Scan::next_report`] until it is `None`.
pub struct Scan<D: Directory> {
    tree: SourceTree<D>,
    pages: Arc<Mutex<SourcePages<D::File>>>,
    phase: Phase,
    levels: Vec<Level>,
    chain: Chain,
    totals: Totals,
    entries: Vec<Entry>,
    stamps: Vec<Option<Stamp>>,
    /// Upper bound of what `entries` take in a page.
    entry_bytes: usize,
    reports: VecDeque<ScanReport>,
    /// What the stored pages promise, until the walk begins; then what the tree is compared with.
    known: Known,
    top: Vec<Vec<u8>>,
    /// What earlier runs know of the content of files.
    values: KnownContent<D::File>,
    /// Directories that could not be taken in: what was promised below them is not gone.
    closed: Vec<RelativePath>,
    /// Of a session that continues, until the walk is over: a page that is stored comes again in every later run, so that
    /// it must be one that a receiver takes. In a first run no entry replaces another.
    check: Option<PageCheck>,
    /// Most entries of a page.
    page_entries: usize,
}

enum Phase {
    /// Reports stored pages, from this one on.
    Replay(u64),
    Walk,
    Ended,
}

/// A skipped entry, or the end of the scan.
enum Trouble {
    LeaveOut { kind: MissingKind, reason: String },
    Fatal(DiskError),
}

impl<D: Directory> Scan<D> {
    pub(super) fn new(
        tree: SourceTree<D>,
        top: Vec<Vec<u8>>,
        pages: Arc<Mutex<SourcePages<D::File>>>,
        session: SessionId,
        values: KnownContent<D::File>,
    ) -> Self {
        Self {
            values,
            closed: Vec::new(),
            tree,
            pages,
            phase: Phase::Replay(0),
            levels: Vec::new(),
            chain: Chain::start(session),
            totals: Totals::default(),
            entries: Vec::new(),
            stamps: Vec::new(),
            entry_bytes: 0,
            reports: VecDeque::new(),
            known: Known::default(),
            top,
            check: None,
            page_entries: PAGE_ENTRIES_MAX,
        }
    }

    /// The next report; `None` after [`ScanReport::End`] or [`ScanReport::Failed`].
    pub fn next_report(&mut self) -> Option<ScanReport> {
        loop {
            if let Some(report) = self.reports.pop_front() {
                return Some(report);
            }
            let outcome = match self.phase {
                Phase::Ended => return None,
                Phase::Replay(number) => self.replay(number),
                Phase::Walk => self.walk(),
            };
            if let Err(error) = outcome {
                self.phase = Phase::Ended;
                self.reports.push_back(ScanReport::Failed(error));
            }
        }
    }

    /// Reports one stored page, or goes over to the walk.
    fn replay(&mut self, number: u64) -> Result<(), DiskError> {
        let broken = |error: &io::Error| disk_error("load page from", super::pages::NAME, error);
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if number < pages.len() {
            let page = pages.load(number).map_err(|error| broken(&error))?;
            let decoded = Page::decode(&page.encoded)
                .map_err(|error| broken(&io::Error::new(io::ErrorKind::InvalidData, error)))?;
            let check = self.check.get_or_insert_default();
            if let Err(error) = check.check(&decoded) {
                return Err(refused(&pages, &decoded, &error));
            }
            decoded.entries.iter().for_each(|entry| self.totals.add(entry));
            self.known.add_page(&decoded, &page.stamps);
            self.values.add_page(&decoded);
            self.chain = self.chain.extend(&page.encoded);
            self.phase = Phase::Replay(number + 1);
            self.reports.push_back(ScanReport::Page(page));
            return Ok(());
        }
        drop(pages);
        self.known.sort();
        self.phase = Phase::Walk;
        let (path, top) = (RelativePath::root(), std::mem::take(&mut self.top));
        let names = top.into_iter();
        self.levels.push(Level { path, index: None, identity: None, names });
        Ok(())
    }

    /// Takes in entries until there is something to report.
    fn walk(&mut self) -> Result<(), DiskError> {
        while self.reports.is_empty() {
            let Some(level) = self.levels.last_mut() else {
                return self.end();
            };
            let Some(name) = level.names.next() else {
                self.levels.pop();
                continue;
            };
            let (path, parent) = (level.path.join(&name), level.index);
            match self.take(&path, name.clone(), parent) {
                Ok(()) => {}
                Err(Trouble::LeaveOut { kind, reason }) => {
                    // What cannot be read may be there all the same.
                    if kind.is_failure() {
                        self.known.keep(&path, &name);
                        self.closed.push(path);
                    }
                    self.leave_out(parent, name, kind, reason);
                }
                Err(Trouble::Fatal(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        path: &RelativePath,
        name: Vec<u8>,
        parent: Option<EntryIndex>,
    ) -> Result<(), Trouble> {
        let depth = path.components().count() - 1;
        name::check_name(&name).map_err(|error| {
            if error == NameError::Reserved {
                own("it belongs to an unfinished transfer, and is never sent")
            } else {
                leave_out(MissingKind::Unnameable, error.to_string())
            }
        })?;
        if depth > DEPTH_MAX {
            let reason = format!("it lies deeper than {DEPTH_MAX} directories");
            return Err(leave_out(MissingKind::Unnameable, reason));
        }
        if path.as_bytes().len() > PATH_BYTES_MAX {
            let reason = format!("its path is longer than {PATH_BYTES_MAX} bytes");
            return Err(leave_out(MissingKind::Unnameable, reason));
        }
        let io_skip = |error: io::Error| trouble(path, &error);
        let (directory, own_name, metadata) = self
            .tree
            .with_descriptors(|| {
                let (directory, name) = self.tree.open_parent(path)?;
                let metadata = directory.metadata(&name)?;
                Ok((directory, name, metadata))
            })
            .map_err(io_skip)?;
        let (kind, stamp) = match metadata.kind {
            FileKind::File if metadata.bytes > FILE_BYTES_MAX => {
                let reason = format!("it is larger than {FILE_BYTES_MAX} bytes");
                return Err(leave_out(MissingKind::Unnameable, reason));
            }
            FileKind::File => {
                let bytes = metadata.bytes;
                (EntryKind::File { bytes }, Some(stamp(&metadata)))
            }
            FileKind::Symlink => {
                let target = directory.read_symlink(&own_name).map_err(io_skip)?;
                name::check_symlink_target(&target, depth)
                    .map_err(|error| leave_out(MissingKind::Escaping, error.to_string()))?;
                (EntryKind::Symlink { target }, None)
            }
            FileKind::Directory => (EntryKind::Directory, None),
            FileKind::Other => {
                let what = "a FIFO, socket or device, which has no content to send";
                return Err(leave_out(MissingKind::Special, what.to_owned()));
            }
        };
        let mut entry = Entry {
            parent,
            name,
            kind,
            mode: metadata.mode & 0o777,
            modified: metadata.modified,
            supersedes: None,
        };
        let mut look = self.known.look(path, &mut entry, stamp.as_ref());
        if let (
            Look::Moved { first, latest } | Look::Touched { first, latest },
            EntryKind::File { bytes },
        ) = (look, &entry.kind)
        {
            let same = self.tree.with_descriptors(|| {
                let file = directory.open_file(&own_name, Access::Read)?;
                self.values.is_same(&file, latest, *bytes)
            });
            look = match same {
                Ok(true) if matches!(look, Look::Touched { .. }) => look,
                Ok(true) => Look::Same { first },
                Ok(false) => Look::Changed { first, latest },
                Err(error) => return Err(io_skip(error)),
            };
        }
        let index = match look {
            Look::Same { first }
            | Look::Changed { first, .. }
            | Look::Moved { first, .. }
            | Look::Touched { first, .. } => first,
            Look::New | Look::Again { .. } => self.totals.entries,
            // After the entry that says that the other is gone.
            Look::OtherKind { .. } => self.totals.entries + 1,
        };
        // Before its entry is taken in: a directory that cannot be read is left out, not sent empty.
        let level = if entry.kind == EntryKind::Directory {
            let identity = Some((metadata.device, metadata.inode));
            if self.levels.iter().any(|level| level.identity == identity) {
                let reason = "it is one of the directories that it lies in".to_owned();
                return Err(leave_out(MissingKind::Escaping, reason));
            }
            if self.tree.is_own(metadata.device, metadata.inode) {
                return Err(own(OWN));
            }
            let level = self.list(path, Some(index)).map_err(io_skip)?;
            if level.names.as_slice().iter().any(|name| name == super::state::MARK) {
                return Err(own(OWN));
            }
            Some(level)
        } else {
            None
        };
        match look {
            Look::Same { .. } => {}
            Look::Changed { latest, .. } | Look::Moved { latest, .. } | Look::Again { latest } => {
                entry.supersedes = Some(latest);
                self.push(entry, stamp).map_err(Trouble::Fatal)?;
            }
            Look::Touched { latest, .. } => {
                entry.kind = EntryKind::Metadata { of: latest };
                self.push(entry, stamp).map_err(Trouble::Fatal)?;
            }
            Look::OtherKind { latest } => {
                self.push(gone(entry.parent, entry.name.clone(), latest), None)
                    .map_err(Trouble::Fatal)?;
                entry.supersedes = Some(self.totals.entries - 1);
                self.push(entry, stamp).map_err(Trouble::Fatal)?;
            }
            Look::New => {
                self.push(entry, stamp).map_err(Trouble::Fatal)?;
            }
        }
        self.levels.extend(level);
        Ok(())
    }

    /// Adds an entry to the open page, which is flushed before it if it would not fit, and after it if it is full.
    fn push(&mut self, entry: Entry, stamp: Option<Stamp>) -> Result<(), DiskError> {
        let target = match &entry.kind {
            EntryKind::Symlink { target } => target.len(),
            EntryKind::Directory
            | EntryKind::File { .. }
            | EntryKind::Gone
            | EntryKind::Metadata { .. } => 0,
        };
        let bytes = ENTRY_BYTES + entry.name.len() + target;
        if self.entry_bytes + bytes > PAGE_BYTES_MAX - ENTRY_BYTES {
            self.flush()?;
        }
        self.totals.add(&entry);
        if self.totals.entries > ENTRIES_MAX || self.totals.bytes > FILE_BYTES_MAX {
            return Err(DiskError {
                kind: DiskErrorKind::Other,
                operation: "scan",
                path: escape(&entry.name),
                message: format!(
                    "more than {ENTRIES_MAX} entries or {FILE_BYTES_MAX} bytes in one session"
                ),
            });
        }
        self.entry_bytes += bytes;
        self.entries.push(entry);
        self.stamps.push(stamp);
        let is_first = self.totals.entries <= FIRST_PAGE_ENTRIES as u64;
        let most = if is_first { FIRST_PAGE_ENTRIES } else { PAGE_ENTRIES_MAX };
        if self.entries.len() >= most.min(self.page_entries) {
            self.flush()?;
        }
        Ok(())
    }

    /// Stores the open page, if a receiver takes it, and reports it.
    fn flush(&mut self) -> Result<(), DiskError> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let storing = |error: io::Error| disk_error("store page in", super::pages::NAME, &error);
        let entries = std::mem::take(&mut self.entries);
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        // The entry that is being added is counted already if the page is full with it, not if it did not fit.
        let first_entry = self.totals.entries - entries.len() as u64;
        let page = Page { number: pages.len(), first_entry, entries };
        let encoded = page
            .encode()
            .map_err(|error| storing(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        if let Some(Err(error)) = self.check.as_mut().map(|check| check.check(&page)) {
            return Err(refused(&pages, &page, &error));
        }
        let stored =
            StoredPage { encoded: encoded.into(), stamps: std::mem::take(&mut self.stamps) };
        pages.append(&stored).map_err(storing)?;
        drop(pages);
        self.chain = self.chain.extend(&stored.encoded);
        self.entry_bytes = 0;
        self.reports.push_back(ScanReport::Page(stored));
        Ok(())
    }

    fn end(&mut self) -> Result<(), DiskError> {
        self.bury()?;
        self.flush()?;
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.phase = Phase::Ended;
        self.check = None;
        self.reports.push_back(ScanReport::End { pages, totals: self.totals, chain: self.chain });
        Ok(())
    }

    /// Says of everything that was promised and is not there any more that it is gone.
    fn bury(&mut self) -> Result<(), DiskError> {
        if !self.known.has_unseen() {
            return Ok(());
        }
        let broken = |error: &io::Error| disk_error("load page from", super::pages::NAME, error);
        let mut directories = DirectoryTable::new();
        let stored = self.pages.lock().unwrap_or_else(PoisonError::into_inner).len();
        for number in 0..stored {
            let page = self.pages.lock().unwrap_or_else(PoisonError::into_inner).load(number);
            let page = page.map_err(|error| broken(&error))?;
            let page = Page::decode(&page.encoded)
                .map_err(|error| broken(&io::Error::new(io::ErrorKind::InvalidData, error)))?;
            directories.add_page(&page);
            for (index, entry) in page.iter() {
                let Some(path) = directories.path(entry) else { continue };
                let is_closed = self.closed.iter().any(|closed| {
                    path.as_bytes()
                        .strip_prefix(closed.as_bytes())
                        .is_some_and(|rest| rest.starts_with(b"/"))
                });
                if !is_closed && self.known.is_unseen(&path, index, entry) {
                    self.push(gone(entry.parent, entry.name.clone(), index), None)?;
                }
            }
        }
        Ok(())
    }

    /// The names of a directory, in order.
    fn list(&mut self, path: &RelativePath, index: Option<EntryIndex>) -> io::Result<Level> {
        let (metadata, mut names) = self.tree.with_descriptors(|| {
            let directory = self.tree.open(path)?;
            Ok((directory.own_metadata()?, directory.names()?))
        })?;
        names.sort_unstable();
        // A directory that changes while it is listed may give a name twice.
        names.dedup();
        Ok(Level {
            path: path.clone(),
            index,
            identity: Some((metadata.device, metadata.inode)),
            names: names.into_iter(),
        })
    }

    fn leave_out(
        &mut self,
        parent: Option<EntryIndex>,
        name: Vec<u8>,
        kind: MissingKind,
        reason: String,
    ) {
        self.reports.push_back(ScanReport::LeftOut(LeftOut { parent, name, kind, reason }));
    }
}

/// A page that no receiver takes, by the path of the entry that is at fault.
fn refused<F: File>(pages: &SourcePages<F>, page: &Page, error: &ManifestError) -> DiskError {
    let mut directories = DirectoryTable::new();
    let stored = (0..page.number).filter_map(|number| pages.load(number).ok());
    for stored in stored.filter_map(|stored| Page::decode(&stored.encoded).ok()) {
        directories.add_page(&stored);
    }
    directories.add_page(page);
    let path = error
        .entry()
        .and_then(|index| page.entry(index))
        .and_then(|entry| Some(directories.path(entry)?.as_bytes().to_vec()))
        .unwrap_or_default();
    DiskError {
        kind: DiskErrorKind::Other,
        operation: "scan",
        path: escape(&path),
        message: format!(
            "{error}, and its page was not stored; if it stays so, send with --new to start afresh"
        ),
    }
}

/// Says that an entry is not there any more.
fn gone(parent: Option<EntryIndex>, name: Vec<u8>, latest: EntryIndex) -> Entry {
    let modified = ModifiedTime { seconds: 0, nanoseconds: 0 };
    Entry { parent, name, kind: EntryKind::Gone, mode: 0, modified, supersedes: Some(latest) }
}

const fn leave_out(kind: MissingKind, reason: String) -> Trouble {
    Trouble::LeaveOut { kind, reason }
}

const OWN: &str = "it holds the state of rejoin itself, and is never sent";

/// Something of our own: a notice, no failure.
fn own(reason: &str) -> Trouble {
    leave_out(MissingKind::Own, reason.to_owned())
}

/// What an error at one path means: what the process lacks ends the scan, the rest is of the entry.
fn trouble(path: &RelativePath, error: &io::Error) -> Trouble {
    if is_of_process(error) {
        return Trouble::Fatal(disk_error("scan", path.as_bytes(), error));
    }
    if error.kind() == io::ErrorKind::NotFound {
        return leave_out(MissingKind::Vanished, "it vanished during the scan".to_owned());
    }
    let reason = format!("it cannot be read: {}", disk_error("", b"", error).message);
    leave_out(MissingKind::Unreadable, reason)
}
