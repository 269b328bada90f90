//! EIO and ENOSPC at every n-th create, open, write, truncation, rename, removal and sync, once and from then on: of the
//! receiver's target, of the session record and of the sender's pages (D-01, D-03).

use crate::support::faulty::{BrokenRename, Fault, Faults, FaultyDirectory, Kind};
use crate::support::promise::{Promise, Run, SESSION, promise, receive, receive_files};
use crate::support::target_options::target_options;
use rejoin::event::Role;
use rejoin::fs::{Directory, File};
use rejoin::store::memory::{Fault as DiskFault, Kept, MemoryDirectory, MemoryDisk, Tree};
use rejoin::store::record::{SessionRecord, Side};
use rejoin::store::{
    SourceRoots, StateDirectory, StateError, TargetLimits, TargetOptions, TargetStore, source,
};
use rejoin::transfer::disk::{DiskError, DiskErrorKind, ScanReport, TargetState};
use rejoin::wire::MemberId;
use std::collections::BTreeMap;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const MIB: usize = 1 << 20;

/// Every fault that a life with so many operations of each kind can meet.
fn faults(reference: &Faults) -> impl Iterator<Item = Fault> {
    let counts = Kind::ALL.map(|kind| (kind, reference.count(kind)));
    counts.into_iter().flat_map(|(kind, count)| (0..count).map(move |at| (kind, at))).flat_map(
        |(kind, at)| {
            [(EIO, false), (EIO, true), (ENOSPC, false), (ENOSPC, true)]
                .map(|(errno, lasts)| Fault { kind, at, lasts, errno })
        },
    )
}

/// What a person is told of it.
fn is_named(fault: Fault, error: &DiskError) -> bool {
    let kind = if fault.errno == EIO { DiskErrorKind::Device } else { DiskErrorKind::Full };
    error.kind == kind && !error.operation.is_empty()
}

fn source() -> (MemoryDisk, SourceRoots<MemoryDirectory>) {
    let disk = MemoryDisk::new();
    let root = disk.root();
    root.create_directory(b"tree", 0o755).expect("new");
    let tree = root.open_directory(b"tree").expect("there");
    tree.create_directory(b"below", 0o750).expect("new");
    tree.create_symlink(b"link", b"below").expect("new");
    let below = tree.open_directory(b"below").expect("there");
    let mut large = vec![0; MIB + 9];
    blake3::Hasher::new().finalize_xof().fill(&mut large);
    for (directory, name, content) in
        [(&tree, "large", &large[..]), (&tree, "small", b"hello"), (&below, "empty", b"")]
    {
        let file = directory.create_file(name.as_bytes(), 0o644).expect("new");
        file.write_at(&[content], 0).expect("written");
    }
    let roots = SourceRoots::from_parents([(root, vec![b"tree".to_vec()])]).expect("one");
    (disk, roots)
}

fn open<D: Directory>(
    root: D,
    limits: TargetLimits,
) -> Result<(TargetStore<D>, TargetState), DiskError> {
    let options = TargetOptions { limits, ..target_options(SESSION) };
    TargetStore::open(root, options)
}

fn attempt<D: Directory>(
    root: D,
    limits: TargetLimits,
    promise: &Promise,
    run: &mut Run,
) -> Result<(), DiskError> {
    let (mut store, state) = open(root, limits)?;
    receive(&mut store, &state, promise, 1, run)?;
    store.cleanup()
}

/// Nothing under a final name but what was promised; a target's own directory aside.
fn assert_no_wrong_name(disk: &MemoryDisk, all: &Tree, at: &str) {
    for (path, content) in disk.tree() {
        if path.starts_with(b"tree") {
            assert_eq!(
                Some(&content),
                all.get(&path),
                "{at}: {:?}",
                String::from_utf8_lossy(&path)
            );
        }
    }
}

/// The next run has every unit that a run acknowledged, unless that came to its end (`is_over`) or all is published, which it
/// returns.
fn assert_acknowledged(
    disk: &MemoryDisk,
    limits: TargetLimits,
    all: &Tree,
    (run, is_over): (&Run, bool),
    at: &str,
) -> bool {
    let (_store, state) = open(disk.root(), limits).expect(at);
    let is_published = all.keys().all(|path| disk.tree().contains_key(path));
    for unit in &run.acknowledged {
        let is_kept = state.units.contains(*unit) || is_over || is_published;
        assert!(is_kept, "{at}: unit {unit} was acknowledged");
    }
    is_published
}

#[test]
fn a_target_that_fails_at_any_operation_ends_well_when_it_is_well_again() {
    let (source, roots) = source();
    let all: Tree = source.tree();
    let promise = promise(&roots, &MemoryDisk::new().root());
    let one_by_one = TargetLimits::default();
    for limits in [one_by_one, TargetLimits { synced_one_by_one: 0, ..one_by_one }] {
        let reference = Faults::new(None);
        let fresh = FaultyDirectory(MemoryDisk::new().root(), reference.clone());
        attempt(fresh, limits, &promise, &mut Run::default()).expect("no faults");
        let mut met = 0;
        for fault in faults(&reference) {
            let at = format!("{fault:?}, {limits:?}");
            let disk = MemoryDisk::new();
            let injected = Faults::new(Some(fault));
            let mut first = Run::default();
            let faulty = FaultyDirectory(disk.root(), injected.clone());
            let outcome = attempt(faulty, limits, &promise, &mut first);
            assert!(injected.failed() > 0, "{at}: not met");
            let is_over = outcome.is_ok();
            match outcome {
                Err(error) => assert!(is_named(fault, &error), "{at}: {error:?}"),
                // What is not worth a transfer, such as a directory's time, may be lost; nothing else.
                Ok(()) => assert_eq!(disk.tree(), all, "{at}"),
            }
            assert_no_wrong_name(&disk, &all, &at);
            // The loss of power that comes upon it takes nothing that was acknowledged.
            let after_loss = disk.fork();
            after_loss.lose_power(|_| Kept::Lost);
            assert_no_wrong_name(&after_loss, &all, &at);
            for (disk, what) in [(disk, "the process"), (after_loss, "the power")] {
                disk.restart();
                let is_published = assert_acknowledged(
                    &disk,
                    limits,
                    &all,
                    (&first, is_over),
                    &format!("{at}, then {what} ends"),
                );
                let mut second = Run::default();
                attempt(disk.root(), limits, &promise, &mut second).expect(&at);
                assert_eq!(disk.tree(), all, "{at}, then {what} ended");
                let again = second.written.iter().any(|unit| first.acknowledged.contains(unit));
                assert!(!again || is_over || is_published, "{at}, {what}: sent again");
            }
            met += 1;
        }
        assert!(met > 300, "{met} faults");
    }
}

/// D-18: any rename that is done, or half done, and denied with any of the errors that a disk over a network gives: when the disk is
/// well again all is there, nothing that was acknowledged is lost, and no name has anything else.
#[test]
fn a_rename_that_is_not_atomic_ends_well() {
    const ENOENT: i32 = 2;
    const EEXIST: i32 = 17;
    let (source, roots) = source();
    let all: Tree = source.tree();
    let promise = promise(&roots, &MemoryDisk::new().root());
    let limits = TargetLimits::default();
    let reference = Faults::new(None);
    let fresh = FaultyDirectory(MemoryDisk::new().root(), reference.clone());
    attempt(fresh, limits, &promise, &mut Run::default()).expect("no faults");
    let renames = reference.count(Kind::Rename);
    assert!(renames >= 4, "{renames}");
    let broken = (0..renames).flat_map(|at| {
        [ENOENT, EEXIST, EIO].into_iter().flat_map(move |errno| {
            [false, true].map(|leaves_both| BrokenRename { at, errno, leaves_both })
        })
    });
    for rename in broken {
        let at = format!("{rename:?}");
        let disk = MemoryDisk::new();
        let injected = Faults::renaming(rename);
        let mut first = Run::default();
        // It may panic where not everything is published: then it was told which.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            attempt(FaultyDirectory(disk.root(), injected.clone()), limits, &promise, &mut first)
        }));
        assert_eq!(injected.failed(), 1, "{at}: not met");
        assert_no_wrong_name(&disk, &all, &at);
        let is_over = matches!(outcome, Ok(Ok(())));
        disk.restart();
        assert_acknowledged(&disk, limits, &all, (&first, is_over), &at);
        attempt(disk.root(), limits, &promise, &mut Run::default()).expect(&at);
        assert_eq!(disk.tree(), all, "{at}");
    }
}

/// What a failed sync lost is lost, though it is still to be seen and the next sync succeeds: whoever only syncs again
/// acknowledges what a loss of power then takes.
#[test]
fn a_failed_sync_is_not_made_good_by_another() {
    let (source, roots) = source();
    let all: Tree = source.tree();
    let promise = promise(&roots, &MemoryDisk::new().root());
    let one_by_one = TargetLimits::default();
    for limits in [one_by_one, TargetLimits { synced_one_by_one: 0, ..one_by_one }] {
        let reference = MemoryDisk::new();
        attempt(reference.root(), limits, &promise, &mut Run::default()).expect("no faults");
        let mut kept = 0;
        for operation in 0..reference.operations() {
            let at = format!("EIO at operation {operation}, {limits:?}");
            let disk = MemoryDisk::new();
            disk.fail_at(operation, DiskFault::Device);
            let mut run = Run::default();
            if let Ok((mut store, state)) = open(disk.root(), limits) {
                let _ = receive_files(&mut store, &state, &promise, 1, &mut run);
            }
            disk.lose_power(|_| Kept::Lost);
            assert_no_wrong_name(&disk, &all, &at);
            let options = TargetOptions { boot: [2; 16], limits, ..target_options(SESSION) };
            let (store, state) = TargetStore::open(disk.root(), options).expect(&at);
            for unit in &run.acknowledged {
                assert!(state.units.contains(*unit), "{at}: unit {unit} was acknowledged");
            }
            kept += run.acknowledged.len();
            drop(store);
            attempt(disk.root(), limits, &promise, &mut Run::default()).expect(&at);
            assert_eq!(disk.tree(), all, "{at}");
        }
        assert!(kept > 0);
    }
}

fn record() -> SessionRecord {
    let side = Side::Receiver { target: b"/target".to_vec() };
    SessionRecord::new(SESSION, MemberId([2; 16]), side, 1)
}

/// Makes a session and three connections of it; the epochs that were handed out.
fn live<D: Directory>(root: D, epochs: &mut Vec<u64>) -> Result<(), StateError> {
    let state = StateDirectory::new(root, Role::Receiver)?;
    state.member(MemberId([4; 16]))?;
    let mut session = match state.open_session(SESSION) {
        Err(StateError::NoSession(_)) => state.create(record())?,
        outcome => outcome?,
    };
    for now in 0..3 {
        epochs.push(session.begin_connection(now)?);
    }
    Ok(())
}

/// A record that cannot be written stays the one before, and no epoch is ever handed out twice.
#[test]
fn a_state_directory_that_fails_at_any_operation_keeps_its_record() {
    let reference = Faults::new(None);
    live(FaultyDirectory(MemoryDisk::new().root(), reference.clone()), &mut Vec::new())
        .expect("no faults");
    for fault in faults(&reference) {
        for is_power_lost in [false, true] {
            let at = format!("{fault:?}, power lost: {is_power_lost}");
            let disk = MemoryDisk::new();
            let mut epochs = Vec::new();
            let injected = Faults::new(Some(fault));
            match live(FaultyDirectory(disk.root(), injected.clone()), &mut epochs) {
                Err(StateError::Disk(error)) => assert!(is_named(fault, &error), "{at}: {error:?}"),
                outcome => panic!("{at}: {outcome:?}"),
            }
            assert!(injected.failed() > 0, "{at}: not met");
            if is_power_lost {
                disk.lose_power(|_| Kept::Lost);
            }
            disk.restart();
            let before = epochs.len();
            live(disk.root(), &mut epochs).expect(&at);
            assert_eq!(epochs.len(), before + 3, "{at}");
            assert!(epochs.is_sorted_by(|one, next| one < next), "{at}: {epochs:?}");
        }
    }
}

/// What one run of the sender's scan hands to its machine, which sends it: pages by number; an error ends it.
fn scan<D: Directory>(
    roots: &SourceRoots<D>,
    session: &D,
    pages: &mut BTreeMap<usize, Vec<u8>>,
) -> Result<(), DiskError> {
    let (mut scan, _store) = source::open(roots, session, SESSION)?;
    let (mut number, sent) = (0, pages.len());
    while let Some(report) = scan.next_report() {
        match report {
            ScanReport::Page(stored) => {
                let before = pages.insert(number, stored.encoded.to_vec());
                assert!(before.is_none_or(|before| before == stored.encoded), "page {number}");
                number += 1;
            }
            ScanReport::Failed(error) => return Err(error),
            ScanReport::LeftOut(_) | ScanReport::End { .. } => {}
        }
    }
    assert!(number >= sent, "a page that was sent is gone");
    Ok(())
}

/// A page that went out is the same in every later run, or the receiver's chain is not ours any more.
#[test]
fn a_senders_pages_survive_a_disk_that_fails_at_any_operation() {
    let reference = Faults::new(None);
    // Only the session's directory fails: the source has its own tests.
    let sources = || {
        let (disk, _) = source();
        let tree = FaultyDirectory(disk.root(), Faults::new(None));
        (disk, SourceRoots::from_parents([(tree, vec![b"tree".to_vec()])]).expect("one"))
    };
    let session = MemoryDisk::new();
    let faulty = FaultyDirectory(session.root(), reference.clone());
    scan(&sources().1, &faulty, &mut BTreeMap::new()).expect("no faults");
    let mut met = 0;
    for fault in faults(&reference) {
        for is_power_lost in [false, true] {
            let at = format!("{fault:?}, power lost: {is_power_lost}");
            let (source, roots) = sources();
            let session = MemoryDisk::new();
            let injected = Faults::new(Some(fault));
            let mut pages = BTreeMap::new();
            let faulty = FaultyDirectory(session.root(), injected.clone());
            if let Err(error) = scan(&roots, &faulty, &mut pages) {
                assert!(is_named(fault, &error), "{at}: {error:?}");
            }
            met += injected.failed();
            if is_power_lost {
                session.lose_power(|_| Kept::Lost);
            }
            session.restart();
            // A scan from the beginning would find another tree.
            let tree = source.root().open_directory(b"tree").expect("there");
            drop(tree.create_file(b"another", 0o644).expect("new"));
            let well = FaultyDirectory(session.root(), Faults::new(None));
            scan(&roots, &well, &mut pages).expect(&at);
        }
    }
    assert!(met > 20, "{met} faults");
}
