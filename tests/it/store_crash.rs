//! Kills and failures at every operation of a transfer, and damage between runs, on a disk in memory (P-04, D-01…D-09).
//! Losses of power: `crash_power.rs`.

use crate::support::promise::{Promise, Run, SESSION, Unit, ask, promise, receive, receive_files};
use crate::support::target_options::target_options;
use rejoin::fs::{Directory, File};
use rejoin::store::memory::{Fault, Kept, MemoryDirectory, MemoryDisk, Tree};
use rejoin::store::{SourceRoots, TargetLimits, TargetOptions, TargetStore};
use rejoin::transfer::disk::{
    DiskError, DiskErrorKind, Existing, OnConflict, PackedFile, Publish, PublishKind, Published,
    TargetReply, TargetRequest, TargetState, UnitContent, Wanted, WantedKind,
};
use rejoin::transfer::manifest::{Entry, EntryIndex, EntryKind, ModifiedTime, Page, RelativePath};
use std::collections::BTreeMap;
use std::io::ErrorKind;

const MIB: usize = 1 << 20;

fn file(directory: &MemoryDirectory, name: &str, content: &[u8]) {
    let file = directory.create_file(name.as_bytes(), 0o644).expect("new");
    file.write_at(&[content], 0).expect("written");
}

fn noise(bytes: usize, seed: u8) -> Vec<u8> {
    let mut content = vec![0; bytes];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut content);
    content
}

/// A small tree with one file of each sort: over one unit, small, empty, deep, a link.
fn source() -> (MemoryDisk, Promise) {
    let disk = MemoryDisk::new();
    let root = disk.root();
    for name in ["tree", "session"] {
        root.create_directory(name.as_bytes(), 0o755).expect("new");
    }
    let tree = root.open_directory(b"tree").expect("there");
    file(&tree, "large", &noise(MIB + 9, 1));
    file(&tree, "small", b"hello");
    file(&tree, "empty", b"");
    tree.create_directory(b"below", 0o750).expect("new");
    tree.create_directory(b"void", 0o700).expect("new");
    let below = tree.open_directory(b"below").expect("there");
    file(&below, "a b\n\u{1f980}", b"odd name");
    below.create_symlink(b"link", b"../small").expect("new");
    let roots = SourceRoots::from_parents([(root.clone(), vec![b"tree".to_vec()])]).expect("one");
    let promise = promise(&roots, &root.open_directory(b"session").expect("there"));
    assert_eq!(promise.left_out, vec![]);
    (disk, promise)
}

fn expected(source: &MemoryDisk) -> Tree {
    source.tree().into_iter().filter(|(path, _)| path.starts_with(b"tree")).collect()
}

fn open(
    disk: &MemoryDisk,
    boot: u8,
) -> Result<(TargetStore<MemoryDirectory>, TargetState), DiskError> {
    let options = TargetOptions { boot: [boot; 16], ..target_options(SESSION) };
    TargetStore::open(disk.root(), options)
}

/// A whole run: open, receive, clean up.
fn attempt(disk: &MemoryDisk, boot: u8, promise: &Promise, run: &mut Run) -> Result<(), DiskError> {
    let (mut store, state) = open(disk, boot)?;
    receive(&mut store, &state, promise, 1, run)?;
    store.cleanup()
}

fn operations(promise: &Promise) -> u64 {
    let disk = MemoryDisk::new();
    attempt(&disk, 1, promise, &mut Run::default()).expect("no faults");
    disk.operations()
}

/// What is claimed must be there: every claimed unit in its partial or, once published, in its file.
fn check_claims(disk: &MemoryDisk, state: &TargetState, promise: &Promise, all: &Tree, at: &str) {
    let tree = disk.tree();
    let mut partials: BTreeMap<EntryIndex, &Vec<u8>> = BTreeMap::new();
    for (path, content) in &tree {
        let name = path.rsplit(|&byte| byte == b'/').next().expect("a name");
        if path.starts_with(b".rejoin/")
            && let Some(entry) = name.strip_suffix(b".part")
        {
            let entry = std::str::from_utf8(entry).expect("a number");
            partials.insert(entry.parse().expect("a number"), content);
        }
        if path.starts_with(b"tree") {
            assert_eq!(Some(content), all.get(path), "{at}: wrong final {path:?}");
        }
    }
    for unit in promise.units.iter().filter(|unit| state.units.contains(unit.unit)) {
        let pieces: Vec<(EntryIndex, usize)> = match &unit.content {
            UnitContent::Part { entry, offset, .. } => vec![(*entry, *offset as usize)],
            UnitContent::Pack { files, .. } => files.iter().map(|(entry, _)| (*entry, 0)).collect(),
        };
        for (entry, offset) in pieces {
            let path = promise.publish[&entry].path.as_bytes();
            let whole = &all[path];
            let end = whole.len().min(offset + MIB);
            let is_there = tree.get(path) == Some(whole)
                || partials
                    .get(&entry)
                    .is_some_and(|partial| partial.get(offset..end) == Some(&whole[offset..end]));
            assert!(is_there, "{at}: unit {} is claimed, entry {entry} lacks it", unit.unit);
        }
    }
}

/// The values that are claimed must be those promised: they go into roots unseen.
fn check_values(state: &TargetState, promise: &Promise, at: &str) {
    for unit in &promise.units {
        match &unit.content {
            UnitContent::Part { value, .. } => {
                let claimed = state.part_values.iter().find(|claim| claim.0 == unit.unit);
                assert!(claimed.is_none_or(|claim| claim.1 == *value), "{at}");
            }
            UnitContent::Pack { files, .. } => {
                for claim in &state.unpublished {
                    let promised = files.iter().find(|file| file.0 == claim.0);
                    assert!(promised.is_none_or(|file| file.1 == claim.1), "{at}");
                }
            }
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_at_any_operation() {
    let (source, promise) = source();
    let all = expected(&source);
    for operation in 0..operations(&promise) {
        let at = format!("killed at operation {operation}");
        let disk = MemoryDisk::new();
        disk.fail_at(operation, Fault::Crash);
        let mut first = Run::default();
        attempt(&disk, 1, &promise, &mut first).expect_err("crashed");
        disk.restart();
        let (store, state) = open(&disk, 1).expect(&at);
        check_claims(&disk, &state, &promise, &all, &at);
        // Cleaned up: nothing is left to resume.
        let is_over = state.pages == 0 && disk.tree().contains_key(&b"tree/"[..]);
        for unit in &first.written {
            // Written and replied to in the same boot: trusted, unless the session is over and cleaned up.
            assert!(state.units.contains(*unit) || is_over, "{at}: unit {unit} is sent again");
        }
        drop(store);
        let mut second = Run::default();
        attempt(&disk, 1, &promise, &mut second).expect(&at);
        assert_eq!(disk.tree(), all, "{at}");
        if !is_over {
            let again = second.written.iter().filter(|unit| first.written.contains(unit));
            assert_eq!(again.count(), 0, "{at}: sent again");
        }
    }
}

/// A page of a tree that a later run of the sender changed.
fn keep(store: &mut TargetStore<MemoryDirectory>, page: &Page) -> Result<(), DiskError> {
    let encoded = page.encode().expect("small").into();
    ask(store, TargetRequest::KeepPage { number: page.number, encoded }).map(drop)
}

const TIME: ModifiedTime = ModifiedTime { seconds: 1_000_000_000, nanoseconds: 0 };

fn entry(parent: Option<u64>, name: &str, kind: EntryKind, supersedes: Option<u64>) -> Entry {
    let name = name.as_bytes().to_vec();
    Entry { parent, name, kind, mode: 0o644, modified: TIME, supersedes }
}

fn path(text: &str) -> RelativePath {
    text.split('/').fold(RelativePath::root(), |path, name| path.join(name.as_bytes()))
}

/// Writes small files and gives them their names.
fn publish(
    store: &mut TargetStore<MemoryDirectory>,
    unit: u64,
    files: &[(u64, &str, &str, Option<u64>)],
) -> Result<Vec<Published>, DiskError> {
    let packed = |content: &str| PackedFile {
        bytes: content.len() as u64,
        root: *blake3::hash(content.as_bytes()).as_bytes(),
    };
    let pack = files.iter().map(|(entry, _, content, _)| (*entry, packed(content))).collect();
    let payload = files.iter().map(|(_, _, content, _)| content.as_bytes().to_vec().into());
    let content = UnitContent::Pack { files: pack, metadata: Vec::new() };
    ask(store, TargetRequest::Write { unit, content, payload: payload.collect() })?;
    let publish = files.iter().map(|&(entry, name, content, replaces)| {
        let PackedFile { bytes, root } = packed(content);
        let kind = PublishKind::File { bytes, root, recheck: Vec::new() };
        let (mode, modified, on_conflict) = (0o644, TIME, OnConflict::Fail);
        Publish { entry, path: path(name), kind, mode, modified, on_conflict, replaces }
    });
    let reply = ask(store, TargetRequest::Barrier { publish: publish.collect() })?;
    let Some(TargetReply::BarrierDone { published }) = reply else { panic!("{reply:?}") };
    Ok(published.into_iter().map(|(_, outcome)| outcome).collect())
}

/// B-Q: a file takes the place of a directory of this session with all below it. Killed at any operation, the next run ends
/// with the file; what the user put there in between keeps the directory.
#[test]
fn a_directory_makes_room_at_any_operation() {
    let first = vec![
        entry(None, "d", EntryKind::Directory, None),
        entry(Some(0), "e", EntryKind::Directory, None),
        entry(Some(1), "y", EntryKind::File { bytes: 1 }, None),
        entry(Some(0), "x", EntryKind::File { bytes: 2 }, None),
    ];
    let first = Page { number: 0, first_entry: 0, entries: first };
    let second = vec![
        entry(None, "d", EntryKind::Gone, Some(0)),
        entry(None, "d", EntryKind::File { bytes: 3 }, Some(4)),
        entry(Some(0), "e", EntryKind::Gone, Some(1)),
        entry(Some(1), "y", EntryKind::Gone, Some(2)),
        entry(Some(0), "x", EntryKind::Gone, Some(3)),
    ];
    let second = Page { number: 1, first_entry: 4, entries: second };
    let begin = |disk: &MemoryDisk| {
        let (mut store, _) = open(disk, 1)?;
        keep(&mut store, &first)?;
        let directories = vec![(0, path("d"), 0o755), (1, path("d/e"), 0o755)];
        ask(&mut store, TargetRequest::CreateDirectories { directories })?;
        publish(&mut store, 0, &[(2, "d/e/y", "y", None), (3, "d/x", "xx", None)]).map(drop)
    };
    let replace = |disk: &MemoryDisk| -> Result<(Existing, Vec<Published>), DiskError> {
        let (mut store, state) = open(disk, 1)?;
        keep(&mut store, &second)?;
        let kind = WantedKind::File { bytes: 3, modified: TIME };
        let wanted = vec![Wanted { entry: 5, path: path("d"), kind, supersedes: Some(4) }];
        let reply = ask(&mut store, TargetRequest::Survey { page: 1, wanted, by_content: false })?;
        let Some(TargetReply::Surveyed { existing, .. }) = reply else { panic!("{reply:?}") };
        let found = existing[0].1.clone();
        let is_room = found == Existing::Superseded || found == Existing::Absent;
        let published = match state.complete.contains(5) || !is_room {
            true => Vec::new(),
            false => publish(&mut store, 1, &[(5, "d", "new", Some(4))])?,
        };
        store.cleanup()?;
        Ok((found, published))
    };
    let names = |disk: &MemoryDisk| disk.tree().into_keys().collect::<Vec<_>>();
    let whole = MemoryDisk::new();
    begin(&whole).expect("no faults");
    let begun = whole.operations();
    replace(&whole).expect("no faults");
    for operation in begun..whole.operations() {
        let disk = MemoryDisk::new();
        begin(&disk).expect("no faults");
        disk.fail_at(operation, Fault::Crash);
        replace(&disk).expect_err("crashed");
        disk.restart();
        // Cleaned up, or about to be: nothing is left to resume.
        if disk.tree() != whole.tree() && open(&disk, 1).is_ok_and(|(_, state)| state.pages > 0) {
            let (found, _) = replace(&disk).expect("goes on");
            assert_ne!(found, Existing::OtherKind, "killed at operation {operation}");
            assert_eq!(names(&disk), names(&whole), "killed at operation {operation}");
        }
        assert!(!names(&disk).iter().any(|name| name.starts_with(b"d/")), "at {operation}");
    }
    for user in ["d/new", "d/e/new"] {
        let disk = MemoryDisk::new();
        begin(&disk).expect("no faults");
        let (above, name) = user.rsplit_once('/').expect("below");
        let directory = above
            .split('/')
            .fold(disk.root(), |at, name| at.open_directory(name.as_bytes()).expect("there"));
        file(&directory, name, b"of the user");
        let before = names(&disk);
        let (found, _) = replace(&disk).expect("no faults");
        assert!(matches!(&found, Existing::Inhabited { why } if why.contains(user)), "{found:?}");
        let left = before.into_iter().filter(|name| !name.starts_with(b".rejoin"));
        assert_eq!(names(&disk), left.collect::<Vec<_>>(), "{user}");
    }
}

#[test]
fn a_full_or_broken_disk_at_any_operation_is_named_and_gone_on_with() {
    let (source, promise) = source();
    let all = expected(&source);
    for (kind, expected_kind) in [
        (ErrorKind::StorageFull, DiskErrorKind::Full),
        (ErrorKind::QuotaExceeded, DiskErrorKind::Full),
    ] {
        for operation in 0..operations(&promise) {
            let at = format!("{kind} at operation {operation}");
            let disk = MemoryDisk::new();
            disk.fail_at(operation, Fault::Error(kind));
            let mut run = Run::default();
            match attempt(&disk, 1, &promise, &mut run) {
                Err(error) => assert_eq!(error.kind, expected_kind, "{at}: {error}"),
                // Directory metadata is not worth the transfer.
                Ok(()) => assert_eq!(disk.tree(), all, "{at}"),
            }
            attempt(&disk, 1, &promise, &mut Run::default()).expect(&at);
            assert_eq!(disk.tree(), all, "{at}");
        }
    }
}

/// D-06: a device that fails at any operation, once. What a failed sync lost is still to be seen and never to be trusted: a
/// run that goes on in the same boot, to its end, leaves a tree that a loss of power takes nothing from; so does one that is
/// cut off by that loss.
#[test]
fn a_device_error_at_any_operation_costs_no_acknowledged_byte() {
    let (source, promise) = source();
    let all = expected(&source);
    for limits in
        [TargetLimits::default(), TargetLimits { synced_one_by_one: 0, ..TargetLimits::default() }]
    {
        for operation in 0..operations(&promise) {
            let at = format!("{limits:?}, EIO at operation {operation}");
            let open = |disk: &MemoryDisk, boot: u8| {
                let options = TargetOptions { boot: [boot; 16], limits, ..target_options(SESSION) };
                TargetStore::open(disk.root(), options)
            };
            let attempt = |disk: &MemoryDisk, boot: u8, run: &mut Run| {
                let (mut store, state) = open(disk, boot)?;
                receive(&mut store, &state, &promise, 1, run)?;
                store.cleanup()
            };
            let disk = MemoryDisk::new();
            disk.fail_at(operation, Fault::Device);
            let mut first = Run::default();
            if let Err(error) = attempt(&disk, 1, &mut first) {
                assert_eq!(error.kind, DiskErrorKind::Device, "{at}: {error}");
            } else {
                assert_eq!(disk.tree(), all, "{at}");
            }
            disk.restart();
            // A sync of the whole file system that fails is told to the next sync of each file once more.
            let mut second = Run::default();
            let is_over = (0..8).any(|_| attempt(&disk, 1, &mut second).is_ok());
            assert!(is_over, "{at}: it never ends");
            assert_eq!(disk.tree(), all, "{at}");
            disk.lose_power(|_| Kept::Lost);
            assert_eq!(disk.tree(), all, "{at}: not durable");

            // The same, but the second run is cut off when it has written all.
            let disk = MemoryDisk::new();
            disk.fail_at(operation, Fault::Device);
            let _ = attempt(&disk, 1, &mut Run::default());
            disk.restart();
            let mut cut = Run::default();
            for _ in 0..8 {
                let Ok((mut store, state)) = open(&disk, 1) else { continue };
                if receive_files(&mut store, &state, &promise, 1, &mut cut).is_ok() {
                    break;
                }
            }
            disk.lose_power(|_| Kept::Lost);
            let (store, state) = open(&disk, 2).expect(&at);
            check_claims(&disk, &state, &promise, &all, &at);
            // Where the journal was lost, what was published counts as the user's: then it is there, and durable.
            let tree = disk.tree();
            let is_there = |unit: u64| {
                let of_unit = promise.units.iter().filter(|of| of.unit == unit);
                of_unit.flat_map(Unit::pieces).all(|(entry, ..)| {
                    let path = promise.publish[&entry].path.as_bytes();
                    tree.contains_key(path) && tree.get(path) == all.get(path)
                })
            };
            for unit in &cut.acknowledged {
                assert!(
                    state.units.contains(*unit) || is_there(*unit),
                    "{at}: unit {unit} was acknowledged: {state:?}, {:?}",
                    disk.tree()
                        .keys()
                        .map(|k| String::from_utf8_lossy(k).into_owned())
                        .collect::<Vec<_>>()
                );
            }
            drop(store);
            attempt(&disk, 2, &mut Run::default()).expect(&at);
            assert_eq!(disk.tree(), all, "{at}");
        }
    }
}

#[test]
fn a_failed_store_stays_failed() {
    let (_, promise) = source();
    let disk = MemoryDisk::new();
    let (mut store, _) = open(&disk, 1).expect("fresh");
    disk.fail_at(disk.operations(), Fault::Device);
    for _ in 0..3 {
        let reply = store.handle(promise.units[0].write());
        let Some(rejoin::transfer::disk::TargetReply::Failed(error)) = reply else {
            panic!("{reply:?}");
        };
        assert_eq!(error.kind, DiskErrorKind::Device);
    }
}

/// N: a full disk is told once; then nothing is written, and what is whole can still get its final name.
#[test]
fn a_full_store_publishes_and_writes_no_more() {
    let (_, promise) = source();
    let disk = MemoryDisk::new();
    let (mut store, _) = open(&disk, 1).expect("fresh");
    disk.fail_at(disk.operations(), Fault::Error(ErrorKind::StorageFull));
    let reply = store.handle(promise.units[0].write());
    let Some(rejoin::transfer::disk::TargetReply::Full(error)) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!(error.kind, DiskErrorKind::Full);
    assert_eq!(store.handle(promise.units[0].write()), None);
    let barrier = rejoin::transfer::disk::TargetRequest::Barrier { publish: Vec::new() };
    let reply = store.handle(barrier);
    assert!(
        matches!(reply, Some(rejoin::transfer::disk::TargetReply::BarrierDone { .. })),
        "{reply:?}"
    );
}

/// A journal cut or damaged at any byte of its last record, and at some of all others, costs units and nothing else.
#[test]
fn a_torn_journal_is_believed_up_to_its_last_good_record() {
    let (source, promise) = source();
    let all = expected(&source);
    let disk = MemoryDisk::new();
    let (mut store, state) = open(&disk, 1).expect("fresh");
    // Everything but the end.
    let mut part = promise.clone();
    part.publish.clear();
    part.units.truncate(2);
    receive(&mut store, &state, &part, 1, &mut Run::default()).expect("no faults");
    drop(store);
    let path = format!(".rejoin/{SESSION}/journal").into_bytes();
    let journal = disk.tree()[&path].clone();
    let last = journal.len() - 300;
    let cuts = (0..journal.len()).filter(|cut| *cut > last || cut % 3 == 0);
    for cut in cuts {
        for flip in [false, true] {
            let at = format!("byte {cut} of {}, flipped: {flip}", journal.len());
            let disk = disk.fork();
            let directory = [&b".rejoin"[..], SESSION.to_string().as_bytes()]
                .iter()
                .fold(disk.root(), |directory, name| {
                    directory.open_directory(name).expect("there")
                });
            let file =
                directory.open_file(b"journal", rejoin::fs::Access::ReadWrite).expect("there");
            if flip {
                file.write_at(&[&[journal[cut] ^ 0x40]], cut as u64).expect("written");
            } else {
                file.set_bytes(cut as u64).expect("cut");
            }
            drop(file);
            // Opened by a newer program's header byte: refused, untouched.
            let opened = open(&disk, 1);
            if let Err(error) = &opened {
                assert!(flip && (8..12).contains(&cut), "{at}: {error}");
                assert_eq!(disk.tree()[&path].len(), journal.len(), "{at}");
                continue;
            }
            let (mut store, state) = opened.expect("opened");
            check_claims(&disk, &state, &promise, &all, &at);
            check_values(&state, &promise, &at);
            let has_header_damage = flip && cut < 44;
            assert_eq!(store.has_damage(), has_header_damage, "{at}");
            if state.is_finished {
                continue;
            }
            receive(&mut store, &state, &promise, 1, &mut Run::default()).expect(&at);
            store.cleanup().expect(&at);
            assert_eq!(disk.tree(), all, "{at}");
        }
    }
}

#[test]
fn another_boot_trusts_only_what_a_barrier_covers() {
    let (_, promise) = source();
    let disk = MemoryDisk::new();
    let (mut store, _) = open(&disk, 1).expect("fresh");
    for (number, encoded) in (0..).zip(&promise.pages) {
        let encoded = encoded.clone();
        store.handle(rejoin::transfer::disk::TargetRequest::KeepPage { number, encoded });
    }
    store.handle(promise.units[0].write());
    store.handle(rejoin::transfer::disk::TargetRequest::Barrier { publish: vec![] });
    store.handle(promise.units[1].write());
    drop(store);
    let claimed = |boot: u8| {
        let (_, state) = open(&disk.fork(), boot).expect("there");
        state.units.iter().collect::<Vec<_>>()
    };
    let (first, second) = (promise.units[0].unit, promise.units[1].unit);
    assert_eq!(claimed(1), vec![first, second]);
    assert_eq!(claimed(2), vec![first]);
}

#[test]
fn a_failed_sync_takes_the_trust_of_the_same_boot() {
    let (_, promise) = source();
    let disk = MemoryDisk::new();
    let (mut store, _) = open(&disk, 1).expect("fresh");
    for (number, encoded) in (0..).zip(&promise.pages) {
        let encoded = encoded.clone();
        store.handle(rejoin::transfer::disk::TargetRequest::KeepPage { number, encoded });
    }
    store.handle(promise.units[0].write());
    disk.fail_at(disk.operations(), Fault::Error(ErrorKind::Other));
    let reply = store.handle(rejoin::transfer::disk::TargetRequest::Barrier { publish: vec![] });
    let Some(rejoin::transfer::disk::TargetReply::Failed(error)) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!(error.kind, DiskErrorKind::Device);
    drop(store);
    let (_, state) = open(&disk, 1).expect("there");
    assert!(state.units.is_empty(), "{:?}", state.units);
}

/// D-09: one flipped bit between runs costs one unit.
#[test]
fn rot_between_runs_is_found_and_only_that_unit_fetched_again() {
    let (source, promise) = source();
    let disk = MemoryDisk::new();
    let (mut store, state) = open(&disk, 1).expect("fresh");
    let mut part = promise.clone();
    let last = part.units.pop().expect("units");
    part.publish.clear();
    part.directories.clear();
    let mut first = Run::default();
    // Without `Finish`: the run is cut short.
    for (number, encoded) in (0..).zip(&part.pages) {
        let encoded = encoded.clone();
        store.handle(rejoin::transfer::disk::TargetRequest::KeepPage { number, encoded });
    }
    for unit in &part.units {
        store.handle(unit.write());
        first.written.push(unit.unit);
    }
    drop((store, state));
    let (entry, offset) = part
        .units
        .iter()
        .find_map(|unit| match unit.content {
            UnitContent::Part { entry, offset, .. } => Some((entry, offset)),
            UnitContent::Pack { .. } => None,
        })
        .expect("a large file");
    let directory = [&b".rejoin"[..], SESSION.to_string().as_bytes()]
        .iter()
        .fold(disk.root(), |directory, name| directory.open_directory(name).expect("there"));
    let partial = directory
        .open_file(format!("{entry}.part").as_bytes(), rejoin::fs::Access::ReadWrite)
        .expect("there");
    partial.write_at(&[&[0xa5]], offset).expect("written");
    drop(partial);
    let mut second = Run::default();
    attempt(&disk, 1, &promise, &mut second).expect("repaired");
    assert_eq!(second.rotten, vec![(entry, offset)]);
    assert_eq!(second.written.len(), 2, "the last unit and the rotten one: {second:?}");
    assert!(second.written.contains(&last.unit));
    assert_eq!(disk.tree(), expected(&source));
}
