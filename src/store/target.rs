//! The receiver's disk: partial files and a journal in `.rejoin/ID/` of the target, final names by rename.
//!
//! Invariants: nothing of a unit is written that was not verified; a claim is journalled after its bytes are written
//! and replied to as durable after both are synced, data first; a final name appears only by a rename of a complete,
//! synced partial. After a failure the store carries nothing out any more: it is opened again. A full disk alone leaves
//! one thing to do: what is whole gets its final name, which takes no data blocks (`space`).
//!
//! What the disk is decides, not what we imagine: metadata that it refuses costs no content (`warnings`), modes that it
//! makes up are no secret (`super::privacy`), what it keeps is what counts (`kept`), what it folds is one name
//! (`twins`), what it refuses is spelled otherwise (`spelling`, `respelled`), what is gone at the source makes room (`gone`), another file system below has a place of its own (`places`), and a directory of ours that is closed is
//! opened for the time (`opened`).

mod compare;
mod gone;
mod kept;
mod made;
mod metadata;
mod opened;
mod places;
mod publish;
mod respelled;
mod space;
mod spelling;
mod survey;
mod twins;
mod warnings;
mod write;

use super::directories::Directories;
use super::error::{disk_error, is_of_entry, is_of_file_system};
use super::journal::{self, Claims, Journal, Record};
use super::lock::{self, Lock};
use super::log::{ASIDE_MARK, Opened, RENEWED};
use super::made::MadeDirectories;
use super::own::Own;
use super::pages::{self, TargetPages};
use super::payload::UnitBuffer;
use super::privacy::{MARK, Refused, own_directory, unmark};
use super::unshare::unshare;
use crate::fs::{Access, Directory, FileKind, SyncPoint};
use crate::transfer::disk::{DiskError, DiskErrorKind, TargetReply, TargetRequest, TargetState};
use crate::transfer::manifest::{EntryIndex, RelativePath};
use crate::transfer::merge::Value;
use crate::transfer::name::RESERVED_NAME;
use crate::wire::SessionId;
use kept::Kept;
use places::Place;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use warnings::Warnings;

/// The file whose lock says that a process has the session open here.
const IN_USE: &[u8] = b"in-use";

/// Large files kept open between their units.
const OPEN_FILES_MAX: usize = 8;

/// What a target is opened with besides its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetOptions {
    /// The session.
    pub session: SessionId,
    /// The boot of this machine ([`crate::platform::boot_id`]).
    pub boot: [u8; 16],
    /// Permission bits not to be given ([`crate::platform::umask`]).
    pub umask: u32,
    /// What the mark of a directory that we made is sealed with ([`super::StateDirectory::mark_key`]).
    pub key: [u8; 32],
    /// What journal and pages are sealed with ([`super::record::SessionRecord::seal`]).
    pub secret: [u8; 32],
    /// When to do what costs time or saves memory.
    pub limits: TargetLimits,
}

/// When a target's store does what costs time or saves memory: the defaults, but in tests that want it sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetLimits {
    /// Files or directories synced one by one; more of them are synced with their file system at once.
    pub synced_one_by_one: usize,
    /// Unsynced files and directories remembered by name; beyond it they are synced, so that memory is bounded.
    pub unsynced: usize,
    /// A smaller journal is not compacted, in bytes.
    pub compacted_journal: u64,
}

impl Default for TargetLimits {
    fn default() -> Self {
        Self { synced_one_by_one: 16, unsynced: 8_192, compacted_journal: 1 << 20 }
    }
}

/// The receiver's store.
pub struct TargetStore<D: Directory> {
    options: TargetOptions,
    directories: Directories<D>,
    /// `.rejoin`.
    home: D,
    /// `.rejoin/ID`.
    partials: D,
    journal: Journal<D::File>,
    pages: TargetPages<D::File>,
    /// Most recently used last.
    open_files: Vec<(EntryIndex, D::File)>,
    /// Entries whose partials have unsynced bytes.
    dirty: BTreeSet<EntryIndex>,
    /// Directories of the target whose names are not synced.
    touched: BTreeSet<RelativePath>,
    /// Directories of the target whose own names are synced, or will be with `touched`.
    assured: HashSet<RelativePath>,
    /// Names of `partials` are not synced.
    has_new_partials: bool,
    /// Names of the root and of `home` are not known to be synced.
    has_new_home: bool,
    buffer: UnitBuffer,
    failed: Option<DiskError>,
    has_damage: bool,
    warnings: Warnings,
    /// The file system of the partials.
    device: u64,
    in_use: Option<Lock<D>>,
    kept: Kept<D::File>,
    places: Vec<Place<D>>,
    opened: opened::Opened<D>,
    twins: twins::Twins,
    /// Entries that an earlier run was about to publish, and whose partials are gone: what has their names may be theirs.
    was_publishing: BTreeMap<EntryIndex, Option<Value>>,
    read: compare::Read,
    space: space::Space,
    given: spelling::Given,
    made: MadeDirectories,
    names: gone::LastNames,
    respelled: respelled::Respelled,
}

impl<D: Directory> TargetStore<D> {
    /// Opens the session in the target directory `root`, or begins it there; says what is there already.
    ///
    /// A journal that cannot be trusted is kept aside and reported by [`Self::has_damage`]; it counts as empty. Of one that is
    /// whole and that `options.secret` does not vouch for, units of large files are taken over: nothing comes of them before
    /// their bytes are compared with the root that the sender says. Nothing else is, so that what is there is the user's.
    ///
    /// # Errors
    /// As the system says; [`DiskErrorKind::Permission`] if `.rejoin` belongs to somebody else or others may write in
    /// it (I-06); [`DiskErrorKind::Other`] if another process has the session open, or a newer version wrote it.
    pub fn open(root: D, options: TargetOptions) -> Result<(Self, TargetState), DiskError> {
        let root =
            Own::default().admit(root).map_err(|error| disk_error("receive into", b".", &error))?;
        let id = options.session.to_string().into_bytes();
        let at = [RESERVED_NAME, b"/", &id].concat();
        let home = own_directory(&root, RESERVED_NAME, &options.key)
            .map_err(|refused| own_error(RESERVED_NAME, refused))?;
        let partials = own_directory(&home.directory, &id, &options.key).map_err(|refused| {
            if home.is_made {
                // Nothing is left behind by a refusal.
                let _ = remove_home(&root, &home.directory);
            }
            own_error(&at, refused)
        })?;
        let is_open = home.is_open || partials.is_open;
        let (home, partials) = (home.directory, partials.directory);
        let opening = |error: io::Error| disk_error("open journal in", &at, &error);
        let device = partials.own_metadata().map_err(opening)?.device;
        let own = home.own_metadata().map_err(opening)?;
        let in_use = lock::lock(&partials, IN_USE).map_err(opening)?;
        if in_use.is_none() {
            return Err(opening(io::Error::new(
                io::ErrorKind::WouldBlock,
                "in use by another process",
            )));
        }
        let (session, secret) = (options.session, options.secret);
        let are_pages_foreign = TargetPages::adopt(&partials, session, secret).map_err(opening)?;
        let is_journal_foreign = Journal::adopt(&partials, &options).map_err(opening)?;
        let is_foreign = are_pages_foreign || is_journal_foreign;
        let (pages, opened_pages) =
            TargetPages::open(&partials, session, secret).map_err(opening)?;
        let (journal, claims, opened) =
            Journal::open(&partials, &options, pages.len(), pages.end_entry()).map_err(opening)?;
        for (what, opened) in [("pages", opened_pages), ("journal", opened)] {
            match opened {
                Opened::Fresh | Opened::Whole => {}
                Opened::Torn(bytes) => {
                    tracing::info!(target: "rejoin::store", what, bytes, "cut a torn tail off");
                }
                Opened::Damaged => {
                    tracing::warn!(target: "rejoin::store", what, "kept a damaged file aside");
                }
            }
        }
        let mut store = Self {
            options,
            directories: Directories::new(
                root.clone(),
                Own { home: Some((own.device, own.inode)) },
            ),
            home,
            partials,
            journal,
            pages,
            open_files: Vec::new(),
            dirty: BTreeSet::new(),
            touched: BTreeSet::new(),
            assured: HashSet::new(),
            has_new_partials: true,
            has_new_home: true,
            buffer: UnitBuffer::default(),
            failed: None,
            has_damage: is_foreign || opened == Opened::Damaged || opened_pages == Opened::Damaged,
            warnings: Warnings::default(),
            device,
            in_use,
            kept: Kept::new(
                claims.complete.iter().map(|(entry, _)| entry).collect(),
                claims.renamed.iter().copied().collect(),
            ),
            places: Vec::new(),
            opened: opened::Opened::new(root.clone()),
            twins: twins::Twins::default(),
            was_publishing: BTreeMap::new(),
            read: compare::Read::default(),
            space: space::Space::default(),
            given: spelling::Given::default(),
            made: claims.made.clone(),
            names: gone::LastNames::default(),
            respelled: respelled::Respelled::default(),
        };
        store.find_respelled(claims.respelled.clone().into_iter().collect());
        store.find_places(claims.places.iter().cloned().collect());
        store.opened.find(claims.opened.clone().into_iter().collect());
        store.begin_space(&claims);
        if is_foreign {
            let message = format!(
                "what lies in {} is of this session, but the state directory does not know it (lost, or another \
                 one): what has its name there counts as yours, and what is half there is compared with what the sender says",
                super::escape(&at)
            );
            store.warnings.add("foreign_session", message);
        }
        if is_open {
            let message = "this disk keeps no permissions: whoever can use it can read and change \
                 what arrives, and what is on its way in .rejoin";
            store.warnings.add("not_private", message.to_owned());
        }
        let state =
            store.reconcile(claims).map_err(|error| disk_error("open session in", &at, &error))?;
        Ok((store, state))
    }

    /// Follows symlinks inside the target, where directories are to be, to directories inside the target.
    #[must_use]
    pub fn following(mut self) -> Self {
        self.directories.follow();
        self
    }

    /// Carries out one request. `None` where nothing is to be said about it.
    pub fn handle(&mut self, request: TargetRequest) -> Option<TargetReply> {
        if let Some(error) = &self.failed {
            return Some(TargetReply::Failed(error.clone()));
        }
        if self.space.is_full && !matches!(request, TargetRequest::Barrier { .. }) {
            return None;
        }
        // What they lack, the reserve may give to what is whole.
        let may_go_on = matches!(
            request,
            TargetRequest::Write { .. } | TargetRequest::CreateDirectories { .. }
        );
        let outcome = match request {
            TargetRequest::KeepPage { number, encoded } => self
                .pages
                .keep(number, &encoded)
                .map(|()| None)
                .map_err(|error| self.own_error("keep page in", pages::NAME, &error)),
            TargetRequest::Survey { page, wanted, by_content } => {
                self.survey(page, &wanted, by_content).map(Some)
            }
            TargetRequest::Hash { page, files } => Ok(Some(self.hash_files(page, files))),
            TargetRequest::SetTimes { files } => {
                self.set_times(&files);
                Ok(None)
            }
            TargetRequest::SetMetadata { files } => self.set_metadata(&files).map(|()| None),
            TargetRequest::Decide { page, skipped } => {
                let skipped = journal::pairs(&skipped);
                self.journal(&Record::Decide { page, skipped }).map(|()| None)
            }
            TargetRequest::CreateDirectories { directories } => {
                self.create_directories(directories).map(Some)
            }
            TargetRequest::RemoveDirectories { directories } => {
                self.remove_directories(directories).map(|()| None)
            }
            TargetRequest::Write { unit, content, payload } => {
                self.write(unit, content, &payload).map(Some)
            }
            TargetRequest::Barrier { publish } => self.barrier(&publish).map(Some),
            TargetRequest::Discard { entry, units } => self.discard(entry, &units).map(|()| None),
            TargetRequest::Finish { directories, is_whole } => {
                self.finish(directories, is_whole).map(Some)
            }
            TargetRequest::LoadPage { number } => self
                .pages
                .load(number)
                .map(|encoded| Some(TargetReply::Page { number, encoded }))
                .map_err(|error| self.own_error("load page from", pages::NAME, &error)),
            TargetRequest::LoadRoots { bucket } => self
                .journal
                .roots(bucket)
                .map(|roots| Some(TargetReply::Roots { bucket, files: Vec::from_iter(roots) }))
                .map_err(|error| self.own_error("load roots from", journal::NAME, &error)),
        };
        outcome.unwrap_or_else(|error| {
            tracing::warn!(target: "rejoin::store", %error, "the target failed");
            if may_go_on && error.kind == DiskErrorKind::Full {
                self.fill();
                return Some(TargetReply::Full(error));
            }
            self.failed = Some(error.clone());
            Some(TargetReply::Failed(error))
        })
    }

    /// Bytes that may still be written into the target: to be compared with what is missing before it flows (D-02).
    ///
    /// # Errors
    /// As the system says.
    pub fn available_bytes(&self) -> Result<u64, DiskError> {
        let root = self.directories.root();
        root.available_bytes().map_err(|error| disk_error("look for free space in", b".", &error))
    }

    /// Whether a journal or pages were found that could not be trusted; they are kept beside the new ones.
    #[must_use]
    pub const fn has_damage(&self) -> bool {
        self.has_damage
    }

    /// Removes everything of a finished session from `.rejoin`; only names that a store makes.
    ///
    /// # Errors
    /// As the system says.
    pub fn cleanup(mut self) -> Result<(), DiskError> {
        self.remove_places().map_err(|error| disk_error("remove", RESERVED_NAME, &error))?;
        let Self {
            options,
            directories,
            home,
            partials,
            in_use,
            journal,
            pages,
            open_files,
            kept,
            ..
        } = self;
        // A network or FUSE file system keeps a file that is removed while it is open, and then its directory.
        drop((journal, pages, open_files, kept));
        let id = options.session.to_string().into_bytes();
        remove_session(directories.root(), &home, &partials, &id, in_use)
            .map_err(|error| disk_error("remove", RESERVED_NAME, &error))
    }

    /// Checks the claims against the partial files that are there, and removes those that nothing claims.
    fn reconcile(&mut self, mut claims: Claims) -> io::Result<TargetState> {
        let names = self.partials.names()?;
        let mut present = BTreeSet::new();
        // What is still here did not get its name.
        let here: BTreeSet<EntryIndex> = names.iter().filter_map(|name| entry_of(name)).collect();
        let gone = claims.publishing.iter().filter(|entry| !here.contains(entry));
        self.was_publishing = gone.map(|entry| (*entry, claims.root(*entry))).collect();
        for name in &names {
            let Some(entry) = entry_of(name) else {
                continue;
            };
            let wanted = claims
                .parts
                .range((entry, 0)..=(entry, u64::MAX))
                .next()
                .map(|(_, part)| part.file_bytes)
                .or_else(|| claims.small.get(&entry).map(|(_, file)| file.bytes));
            let metadata = self.partials.metadata(name)?;
            if Some(metadata.bytes) == wanted
                && metadata.kind == FileKind::File
                && name.ends_with(PARTIAL)
            {
                match unshare(&self.partials, name, &metadata) {
                    Ok(()) => drop(present.insert(entry)),
                    // No room for it, or not to be read: it is received again.
                    Err(error) if is_of_file_system(&error) || is_of_entry(&error) => {
                        self.partials.remove_file(name)?;
                    }
                    Err(error) => return Err(error),
                }
            } else if metadata.kind != FileKind::Directory {
                self.partials.remove_file(name)?;
            }
        }
        let mut missing: Vec<(EntryIndex, u64)> = Vec::new();
        let claimed = claims.parts.keys().copied();
        for (entry, offset) in claimed.chain(claims.small.keys().map(|&entry| (entry, 0))) {
            // One that was about to be published may have its final name already; publishing it again will tell.
            if !present.contains(&entry) && !claims.publishing.contains(&entry) {
                missing.push((entry, offset));
            }
        }
        for of_entry in missing.chunk_by(|one, other| one.0 == other.0) {
            let entry = of_entry[0].0;
            let offsets: Vec<u64> = of_entry.iter().map(|(_, offset)| *offset).collect();
            claims.forget(entry, &offsets);
            self.journal.append_batches(&offsets, |offsets| Record::Rotten { entry, offsets })?;
        }
        let units = &claims.units;
        claims.small.retain(|_, (unit, _)| units.contains(*unit));
        // Written in this boot, by a process that was killed before its barrier: ours covers them, too.
        self.dirty = std::mem::take(&mut claims.unsynced);
        let superseded = self.pages.superseded().clone();
        let succession = self.pages.succession().clone();
        let roots = self.journal.completed(&claims.complete)?;
        Ok(TargetState { superseded, succession, ..claims.state(self.pages.len(), roots) })
    }

    fn open_partial(&self, entry: EntryIndex, access: Access) -> io::Result<D::File> {
        self.partials.open_file(&partial_name(entry), access)
    }

    fn journal(&mut self, record: &Record) -> Result<(), DiskError> {
        self.journal.append(record).map_err(|error| self.own_error("write", journal::NAME, &error))
    }

    /// An error about a file of the session's own directory.
    fn own_error(&self, operation: &'static str, name: &[u8], error: &io::Error) -> DiskError {
        let id = self.options.session.to_string();
        let path = [RESERVED_NAME, b"/", id.as_bytes(), b"/", name].concat();
        disk_error(operation, &path, error)
    }
}

/// Removes what the session `session` left in the target `root`, without opening it: for `sessions discard`. What lies on
/// other file systems, and which directories a killed run left open, is known from its journal, if that is sealed with
/// `secret`.
///
/// # Errors
/// As the system says.
pub fn discard_session<D: Directory>(
    root: &D,
    session: SessionId,
    secret: [u8; 32],
) -> Result<(), DiskError> {
    let id = session.to_string().into_bytes();
    let discard = || {
        let home = root.open_directory(RESERVED_NAME)?;
        if let Ok(partials) = home.open_directory(&id) {
            let left = Journal::left(&partials, session, secret)?;
            // Closed when it goes, whatever fails before: nothing else knows of them after this.
            let mut directories = opened::Opened::new(root.clone());
            directories.find(left.opened.into_iter().collect());
            for path in left.places {
                places::discard(root, &path, &id)?;
            }
        }
        match home.open_directory(&id) {
            // Removed, and then killed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => remove_home(root, &home),
            partials => remove_session(root, &home, &partials?, &id, None),
        }
    };
    match discard() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(|error| disk_error("remove", RESERVED_NAME, &error)),
    }
}

/// The sessions that have a directory in the target `root`: how a `receive` without a code finds its own.
///
/// # Errors
/// As the system says.
pub fn sessions_in<D: Directory>(root: &D) -> Result<Vec<SessionId>, DiskError> {
    let home = match root.open_directory(RESERVED_NAME) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        outcome => outcome.map_err(|error| disk_error("open", RESERVED_NAME, &error))?,
    };
    let names = home.names().map_err(|error| disk_error("list", RESERVED_NAME, &error))?;
    Ok(names.iter().filter_map(|name| super::state::parse_session(name)).collect())
}

/// `in_use`: the lock of who removes it, given up at the end.
fn remove_session<D: Directory>(
    root: &D,
    home: &D,
    partials: &D,
    id: &[u8],
    in_use: Option<Lock<D>>,
) -> io::Result<()> {
    let is_ours = |name: &[u8]| {
        entry_of(name).is_some()
            || name == journal::NEW_NAME
            || name == [IN_USE, lock::OWNER].concat()
            || name == MARK
            || name == kept::CLOCK
            || name == space::RESERVE
            || name == twins::PROBE
            || name.ends_with(RENEWED)
            || name.windows(ASIDE_MARK.len()).any(|part| part == ASIDE_MARK)
    };
    for name in partials.names()?.iter().filter(|name| is_ours(name)) {
        partials.remove_file(name)?;
    }
    // A name that was tried, by a run that was killed then; it is empty.
    for name in partials.names()? {
        if partials.metadata(&name).is_ok_and(|found| found.kind == FileKind::Directory) {
            let _ = partials.remove_directory(&name);
        }
    }
    // The journal last: until it is gone the session can be opened and removed again.
    crate::fs::remove_if_present(partials, pages::NAME)?;
    crate::fs::remove_if_present(partials, journal::NAME)?;
    drop(in_use);
    crate::fs::remove_if_present(partials, IN_USE)?;
    home.remove_directory(id)?;
    remove_home(root, home)
}

/// Removes a directory of ours on another file system.
fn remove_place<D: Directory>(directory: &D, home: &D, partials: &D, id: &[u8]) -> io::Result<()> {
    for name in partials.names()?.iter().filter(|name| entry_of(name).is_some()) {
        partials.remove_file(name)?;
    }
    unmark(partials)?;
    home.remove_directory(id)?;
    remove_home(directory, home)
}

/// Removes `.rejoin` unless another session lives there; either way what is removed stays so.
fn remove_home<D: Directory>(root: &D, home: &D) -> io::Result<()> {
    if home.names()?.iter().all(|name| super::state::parse_session(name).is_none()) {
        unmark(home)?;
    }
    match root.remove_directory(RESERVED_NAME) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            home.sync(SyncPoint::EndOfSession).map(drop)
        }
        outcome => outcome.and_then(|()| root.sync(SyncPoint::EndOfHome)).map(drop),
    }
}

/// Why a directory of ours cannot be used.
fn own_error(name: &[u8], refused: Refused) -> DiskError {
    match refused {
        Refused::Disk(error) => {
            let mut told = disk_error("use", name, &error);
            if told.kind == DiskErrorKind::Path {
                told.message.push_str(
                    "; something else has the name of the directory for unfinished transfers: \
                     move it away, or name another directory with --out",
                );
            }
            told
        }
        Refused::Foreign => DiskError {
            kind: DiskErrorKind::Permission,
            operation: "use",
            path: super::escape(name),
            message: "it is owned or writable by somebody else; if nobody receives there now, \
                 remove it, or name another directory with --out"
                .to_owned(),
        },
    }
}

/// A path as the journal holds it.
fn recorded_path(path: &[u8]) -> RelativePath {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .fold(RelativePath::root(), |path, name| path.join(name))
}

/// The directory at a path that the journal holds, through no symlink.
fn recorded_directory<D: Directory>(root: &D, path: &RelativePath) -> io::Result<D> {
    path.components().try_fold(root.clone(), |at, name| at.open_directory(name))
}

/// How the names of partial files end.
const PARTIAL: &[u8] = b".part";
/// How the names of symlinks end that have no final name yet.
const LINK: &[u8] = b".link";

fn partial_name(entry: EntryIndex) -> Vec<u8> {
    format!("{entry}.part").into_bytes()
}

fn link_name(entry: EntryIndex) -> Vec<u8> {
    format!("{entry}.link").into_bytes()
}

/// The entry of a partial file or link.
fn entry_of(name: &[u8]) -> Option<EntryIndex> {
    let number = name.strip_suffix(PARTIAL).or(name.strip_suffix(LINK))?;
    std::str::from_utf8(number).ok()?.parse().ok()
}
