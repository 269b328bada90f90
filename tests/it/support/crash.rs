//! A whole receiver's life on a disk in memory: what it promised by when, and whether a disk keeps that.

use super::promise::{Promise, Run, SESSION, Unit, promise, receive, receive_files};
use super::target_options::target_options;
use rejoin::event::Role;
use rejoin::fs::{Directory, File, FileKind, SyncPoint};
use rejoin::store::memory::{MemoryDirectory, MemoryDisk, Seen};
use rejoin::store::record::{SessionRecord, Side};
use rejoin::store::state::Session;
use rejoin::store::{
    SourceRoots, StateDirectory, StateError, TargetLimits, TargetOptions, TargetStore, target,
};
use rejoin::transfer::disk::{OnConflict, PublishKind, TargetState, UnitContent};
use rejoin::transfer::manifest::EntryIndex;
use rejoin::wire::MemberId;
use std::collections::BTreeMap;

const MIB: usize = 1 << 20;

/// What is in the way in the target, and is to be overwritten.
const OLDER: &[u8] = b"what was there before";

/// What was said to somebody, and must hold from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// The session is stored.
    Stored,
    /// This epoch was used.
    Epoch(u64),
    /// This unit was acknowledged.
    Unit(u64),
    /// All is there.
    Finished,
    /// The session's files are removed from the target.
    CleanedUp,
    /// The session is marked as complete.
    Complete,
}

/// Each with the number of disk operations by then.
pub(crate) type Notes = Vec<(u64, Note)>;

pub(crate) struct Scenario {
    promise: Promise,
    /// In the order in which they come: not that of the files.
    order: Vec<u64>,
    limits: TargetLimits,
    /// What the target looks like in the end.
    expected: BTreeMap<Vec<u8>, Seen>,
    /// Whether another session lives in `.rejoin`.
    has_neighbour: bool,
}

fn noise(bytes: usize, seed: u8) -> Vec<u8> {
    let mut content = vec![0; bytes];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut content);
    content
}

fn file(directory: &MemoryDirectory, name: &str, content: &[u8], mode: u32) {
    let file = directory.create_file(name.as_bytes(), mode).unwrap();
    file.write_at(&[content], 0).unwrap();
}

/// One large file of several units, packs of small ones, an empty one, directories, a symlink, one that replaces an
/// older file.
fn source() -> Promise {
    let disk = MemoryDisk::new();
    let root = disk.root();
    for name in ["tree", "session"] {
        root.create_directory(name.as_bytes(), 0o755).unwrap();
    }
    file(&root, "older", b"what replaces it", 0o640);
    let tree = root.open_directory(b"tree").unwrap();
    file(&tree, "large", &noise(2 * MIB + 9, 1), 0o644);
    file(&tree, "middle 1", &noise(MIB / 2 + 7, 2), 0o600);
    file(&tree, "middle 2", &noise(MIB / 2 + 8, 3), 0o755);
    file(&tree, "small", b"hello", 0o444);
    file(&tree, "empty", b"", 0o644);
    for (name, mode) in [("below", 0o750), ("void", 0o700), ("many", 0o555)] {
        tree.create_directory(name.as_bytes(), mode).unwrap();
    }
    let below = tree.open_directory(b"below").unwrap();
    file(&below, "a b\n\u{1f980}", b"odd name", 0o644);
    below.create_symlink(b"link", b"../small").unwrap();
    let many = tree.open_directory(b"many").unwrap();
    for number in 0..5 {
        file(&many, &format!("{number}"), format!("content {number}").as_bytes(), 0o644);
    }
    promised(&root, &["tree", "older"])
}

/// Files without a directory above them: the target's own names are all that is touched, and not before the end.
fn flat_source() -> Promise {
    let disk = MemoryDisk::new();
    let root = disk.root();
    root.create_directory(b"session", 0o755).unwrap();
    file(&root, "older", &noise(MIB + 5, 4), 0o640);
    file(&root, "other", &noise(MIB + 6, 5), 0o640);
    promised(&root, &["older", "other"])
}

fn promised(root: &MemoryDirectory, names: &[&str]) -> Promise {
    let names = names.iter().map(|name| name.as_bytes().to_vec()).collect();
    let roots = SourceRoots::from_parents([(root.clone(), names)]).unwrap();
    let mut promise = promise(&roots, &root.open_directory(b"session").unwrap());
    assert_eq!(promise.left_out, vec![]);
    for publish in promise.publish.values_mut() {
        publish.modified.seconds = 1_000 + publish.entry as i64;
        if publish.path.as_bytes() == b"older" {
            publish.on_conflict = OnConflict::Overwrite;
        }
    }
    for (entry, directory) in &mut promise.directories {
        directory.modified.seconds = 2_000 + *entry as i64;
    }
    promise
}

/// Everything synced one by one, and a journal that is never compacted.
pub(crate) const ONE_BY_ONE: TargetLimits =
    TargetLimits { synced_one_by_one: 100, unsynced: 1_000, compacted_journal: 1 << 20 };

/// More than a few things synced at once and early, and the journal compacted where it can be.
pub(crate) const AT_ONCE: TargetLimits =
    TargetLimits { synced_one_by_one: 2, unsynced: 4, compacted_journal: 0 };

macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}

impl Scenario {
    pub(crate) fn new(limits: TargetLimits, has_neighbour: bool) -> Self {
        Self::of(source(), limits, has_neighbour)
    }

    pub(crate) fn flat(limits: TargetLimits) -> Self {
        Self::of(flat_source(), limits, false)
    }

    fn of(promise: Promise, limits: TargetLimits, has_neighbour: bool) -> Self {
        let mut order: Vec<u64> = promise.units.iter().map(|unit| unit.unit).collect();
        assert!(order.len() > 3, "{order:?}");
        order.rotate_left(2);
        order.swap(0, 2);
        let mut scenario =
            Self { promise, order, limits, expected: BTreeMap::new(), has_neighbour };
        let disk = scenario.disk();
        scenario.live(&disk, &mut Notes::new()).unwrap();
        scenario.expected = scenario.target(&disk);
        for publish in scenario.promise.publish.values() {
            assert!(scenario.expected.contains_key(publish.path.as_bytes()), "{publish:?}");
        }
        scenario
    }

    /// As it is before the first run.
    pub(crate) fn disk(&self) -> MemoryDisk {
        let disk = MemoryDisk::new();
        let root = disk.root();
        for name in ["target", "state"] {
            root.create_directory(name.as_bytes(), 0o700).unwrap();
        }
        let target = root.open_directory(b"target").unwrap();
        file(&target, "older", OLDER, 0o600);
        if self.has_neighbour {
            target.create_directory(b".rejoin", 0o700).unwrap();
            let home = target.open_directory(b".rejoin").unwrap();
            home.create_directory("7".repeat(32).as_bytes(), 0o700).unwrap();
        }
        root.sync_file_system(SyncPoint::PartialFileSystem).unwrap();
        disk
    }

    /// Three runs in the same boot: one that stops half-way, one that is killed while it writes a unit, one that goes
    /// to the end.
    pub(crate) fn live(&self, disk: &MemoryDisk, notes: &mut Notes) -> Result<(), String> {
        let half = self.order.len() / 2;
        let late = self.promise.units.iter().find(|unit| Some(&unit.unit) == self.order.last());
        self.run(disk, 1, Some((&self.order[..half], None)), notes)?;
        self.run(disk, 1, Some((&self.order[..half + 1], late)), notes)?;
        self.run(disk, 1, None, notes)
    }

    /// One run, as the program does it; of some units only, and not to the end, if they are named, with one that is
    /// written and never synced.
    pub(crate) fn run(
        &self,
        disk: &MemoryDisk,
        boot: u8,
        units: Option<(&[u64], Option<&Unit>)>,
        notes: &mut Notes,
    ) -> Result<(), String> {
        let mut note = |note: Note| notes.push((disk.operations(), note));
        let mut session = self.session(disk)?;
        note(Note::Stored);
        let root = open(disk, b"target");
        if session.record.is_complete {
            return target::discard_session(&root, SESSION, self.options(boot).secret)
                .map_err(text);
        }
        note(Note::Epoch(session.begin_connection(1).map_err(text)?));
        let (mut store, found) = TargetStore::open(root, self.options(boot)).map_err(text)?;
        let mut run = Run { disk: Some(disk.clone()), ..Run::default() };
        let outcome = match units {
            Some((units, _)) => {
                receive_files(&mut store, &found, &self.promise.only(units), 2, &mut run)
            }
            None => receive(&mut store, &found, &self.promise.only(&self.order), 2, &mut run),
        };
        notes.extend(run.notes.iter().map(|&(operation, unit)| (operation, Note::Unit(unit))));
        outcome.map_err(text)?;
        if let Some((_, late)) = units {
            // Begun, and then killed.
            late.map(|unit| store.handle(unit.write()));
            return Ok(());
        }
        let mut note = |note: Note| notes.push((disk.operations(), note));
        note(Note::Finished);
        session.record.is_complete = true;
        session.save(2).map_err(text)?;
        note(Note::Complete);
        store.cleanup().map_err(text)?;
        note(Note::CleanedUp);
        Ok(())
    }

    /// Whether all that was promised still holds, and nothing is there that must not be.
    pub(crate) fn check(&self, disk: &MemoryDisk, boot: u8, notes: &[Note]) -> Result<(), String> {
        let seen = self.target(disk);
        self.check_names(&seen, notes.contains(&Note::Finished))?;
        let record = self.check_record(disk, notes)?;
        if record.is_some_and(|record| record.is_complete) {
            let is_clean = seen == self.expected || !notes.contains(&Note::CleanedUp);
            ensure!(is_clean, "complete, and not as it should be");
            return self.check_names(&seen, true);
        }
        let (store, state) =
            TargetStore::open(open(disk, b"target"), self.options(boot)).map_err(text)?;
        drop(store);
        let is_finished = notes.contains(&Note::Finished);
        ensure!(!is_finished || state.is_finished, "it was finished before");
        for note in notes {
            let Note::Unit(unit) = note else { continue };
            ensure!(state.units.contains(*unit) || is_finished, "unit {unit} is lost");
        }
        self.check_claims(&state, &self.target(disk))
    }

    /// As the program ends it: everything as promised, and nothing else. After a loss of power, which may take the record of
    /// who made a directory and leave the directory, that one may be as it was made: it counts as the user's.
    pub(crate) fn check_end(&self, disk: &MemoryDisk, lost_power: bool) -> Result<(), String> {
        let seen = self.target(disk);
        for (path, wanted) in &self.expected {
            let is_as_made = |found: &Seen| {
                wanted.kind == FileKind::Directory
                    && found.kind == FileKind::Directory
                    && found.mode == wanted.mode | 0o700
            };
            let found = seen.get(path);
            let is_right = found == Some(wanted) || (lost_power && found.is_some_and(is_as_made));
            ensure!(is_right, "{:?} is {found:?}", shown(path));
        }
        ensure!(seen.len() == self.expected.len(), "more than was promised");
        Ok(())
    }

    /// Every final name: exactly what was promised, or what was there before, or nothing.
    fn check_names(&self, seen: &BTreeMap<Vec<u8>, Seen>, is_finished: bool) -> Result<(), String> {
        for (path, found) in seen {
            if path.starts_with(b".rejoin") {
                continue;
            }
            let Some(wanted) = self.expected.get(path) else {
                return Err(format!("nobody promised {}", shown(path)));
            };
            let is_older = path == b"older" && found.content.to_vec() == OLDER && !is_finished;
            // Directories get their times at the end.
            let is_open = found.kind == FileKind::Directory && !is_finished;
            ensure!(found == wanted || is_older || is_open, "{} is {found:?}", shown(path));
        }
        let is_there = |path: &Vec<u8>| path.starts_with(b".rejoin") || seen.contains_key(path);
        ensure!(!is_finished || self.expected.keys().all(is_there), "finished, and not there");
        ensure!(seen.contains_key(&b"older"[..]), "neither the older file nor the new one");
        Ok(())
    }

    fn check_record(
        &self,
        disk: &MemoryDisk,
        notes: &[Note],
    ) -> Result<Option<SessionRecord>, String> {
        let state = StateDirectory::new(open(disk, b"state"), Role::Receiver).map_err(text)?;
        let session = match state.open_session(SESSION) {
            Ok(session) => session,
            Err(StateError::NoSession(_)) if !notes.contains(&Note::Stored) => return Ok(None),
            Err(error) => return Err(format!("the record: {error}")),
        };
        for note in notes {
            if let Note::Epoch(epoch) = note {
                let found = session.record.epoch;
                ensure!(found >= *epoch, "epoch {epoch} was used, {found} is stored");
            }
        }
        let is_complete = session.record.is_complete;
        ensure!(is_complete || !notes.contains(&Note::Complete), "it was complete before");
        Ok(Some(session.record.clone()))
    }

    /// What is claimed is there, in the partial or under its final name, with the values promised.
    fn check_claims(
        &self,
        state: &TargetState,
        seen: &BTreeMap<Vec<u8>, Seen>,
    ) -> Result<(), String> {
        let partial = |entry: EntryIndex| {
            let path = format!(".rejoin/{SESSION}/{entry}.part").into_bytes();
            seen.get(&path).map(|seen| seen.content.to_vec())
        };
        let mut partials: BTreeMap<EntryIndex, Option<Vec<u8>>> = BTreeMap::new();
        for unit in self.promise.units.iter().filter(|unit| state.units.contains(unit.unit)) {
            for (entry, offset, _) in unit.pieces() {
                let path = self.promise.publish[&entry].path.as_bytes();
                let wanted = &self.expected[path];
                if seen.get(path) == Some(wanted) {
                    continue;
                }
                let partial = partials.entry(entry).or_insert_with(|| partial(entry));
                let content = wanted.content.to_vec();
                let range = offset as usize..content.len().min(offset as usize + MIB);
                let found = partial.as_ref().and_then(|partial| partial.get(range.clone()));
                ensure!(
                    found == Some(&content[range]),
                    "unit {} is claimed, {} lacks it",
                    unit.unit,
                    shown(path)
                );
            }
            if let UnitContent::Part { value, .. } = &unit.content {
                let claim = state.part_values.iter().find(|claim| claim.0 == unit.unit);
                ensure!(claim.is_none_or(|claim| claim.1 == *value), "unit {}: value", unit.unit);
            }
        }
        for publish in self.promise.publish.values() {
            let path = publish.path.as_bytes();
            let is_there = seen.get(path) == Some(&self.expected[path]);
            let is_claimed = state.complete.contains(publish.entry);
            ensure!(is_there || !is_claimed, "{} is claimed and not there", shown(path));
            let claim = state.unpublished.iter().find(|claim| claim.0 == publish.entry);
            if let (Some((_, file)), PublishKind::File { root, .. }) = (claim, &publish.kind) {
                ensure!(file.root == *root, "{}: root", shown(path));
            }
        }
        Ok(())
    }

    fn session(&self, disk: &MemoryDisk) -> Result<Session<MemoryDirectory>, String> {
        let state = StateDirectory::new(open(disk, b"state"), Role::Receiver).map_err(text)?;
        match state.open_session(SESSION) {
            Err(StateError::NoSession(_)) => {
                let side = Side::Receiver { target: b"/target".to_vec() };
                let record = SessionRecord::new(SESSION, MemberId([2; 16]), side, 1);
                state.create(record).map_err(text)
            }
            outcome => outcome.map_err(text),
        }
    }

    fn options(&self, boot: u8) -> TargetOptions {
        TargetOptions { boot: [boot; 16], limits: self.limits, ..target_options(SESSION) }
    }

    /// Everything in the target; without the times of symlinks, which no system can make durable one by one.
    fn target(&self, disk: &MemoryDisk) -> BTreeMap<Vec<u8>, Seen> {
        let mut all = BTreeMap::new();
        for (path, mut seen) in disk.seen() {
            if seen.kind == FileKind::Symlink {
                seen.modified.seconds = 0;
            }
            match path.strip_prefix(b"target/") {
                None | Some(b"") => {}
                Some(path) => {
                    all.insert(path.to_vec(), seen);
                }
            }
        }
        all
    }
}

fn open(disk: &MemoryDisk, name: &[u8]) -> MemoryDirectory {
    disk.root().open_directory(name).unwrap()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
