//! Files of every version that was ever written, frozen, and files that are no such files: migrated, repaired by rule, or
//! refused and left as they are; never a panic, never a fresh beginning over what was there (P-09, D-07, I-07).
//!
//! `REJOIN_BLESS=1` writes fixtures that are not there yet; it never replaces one.

use crate::support::promise::{Promise, Run, SESSION, promise, receive};
use crate::support::target_options::target_options;
use rejoin::event::Role;
use rejoin::fs::{Access, Directory, File};
use rejoin::store::memory::{MemoryDirectory, MemoryDisk, Tree};
use rejoin::store::record::{RecordError, SessionRecord, Side};
use rejoin::store::{SourceRoots, StateDirectory, StateError, TargetStore, source};
use rejoin::transfer::disk::{DiskError, ScanReport, TargetState};
use rejoin::transfer::manifest::{RelativePath, Totals};
use rejoin::transfer::receiver::{Acting, ActingPath, Agreement};
use rejoin::wire::{MemberId, SessionId, SessionSecret};
use std::fs;

const MIB: usize = 1 << 20;

/// Bytes of a header of a log.
const HEADER: usize = 44;

/// The frozen file; `present` is what is written today.
fn frozen(name: &str, present: &[u8]) -> Vec<u8> {
    let path = crate::root().join("fixtures/store").join(name);
    if std::env::var_os("REJOIN_BLESS").is_some() && !path.exists() {
        fs::create_dir_all(path.parent().expect("below")).expect("made");
        fs::write(&path, present).expect("written");
    }
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn record() -> SessionRecord {
    let paths = vec![b"/a b/\xff".to_vec(), b"/c".to_vec()];
    let side = Side::Sender { paths, options: String::new() };
    let mut record = SessionRecord::new(SessionId([7; 16]), MemberId([8; 16]), side, 1_700);
    record.secret = Some(SessionSecret([9; 32]));
    record.peer = Some(MemberId([3; 16]));
    record.hosts = vec!["https://host.example".to_owned()];
    record.epoch = 12;
    record.is_confirmed = true;
    record.seal = [6; 32];
    let most = Totals { entries: 3, files: 2, bytes: 1_000, directories: 1 };
    let path = RelativePath::root().join(b".bashrc");
    let acting = Acting::Listed([ActingPath::from(&path)].into());
    record.consent = Some(Agreement { most, acting });
    record
}

#[test]
fn records_of_every_version_are_read() {
    let present = record().encode().expect("small");
    let bytes = frozen("record-v5.bin", &present);
    assert_eq!(SessionRecord::decode(&bytes), Ok(record()));
    assert_eq!(bytes, present, "not version 5");
    let mut earlier = bytes;
    earlier[8] = 4;
    assert!(matches!(SessionRecord::decode(&earlier), Err(RecordError::Damaged(_))));
}

fn promised() -> (MemoryDisk, SourceRoots<MemoryDirectory>) {
    let disk = MemoryDisk::new();
    let root = disk.root();
    root.create_directory(b"tree", 0o755).expect("new");
    let tree = root.open_directory(b"tree").expect("there");
    for (name, content) in [("large", vec![5; MIB + 9]), ("small", b"hello".to_vec())] {
        let file = tree.create_file(name.as_bytes(), 0o644).expect("new");
        file.write_at(&[&content], 0).expect("written");
    }
    let roots = SourceRoots::from_parents([(root, vec![b"tree".to_vec()])]).expect("one");
    (disk, roots)
}

fn open(disk: &MemoryDisk) -> Result<(TargetStore<MemoryDirectory>, TargetState), DiskError> {
    TargetStore::open(disk.root(), target_options(SESSION))
}

/// A target with all units but the last, and nothing published.
fn half(promise: &Promise) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let (mut store, state) = open(&disk).expect("fresh");
    let mut part = promise.clone();
    part.publish.clear();
    part.units.pop();
    crate::support::promise::receive_files(&mut store, &state, &part, 1, &mut Run::default())
        .expect("no faults");
    drop(store);
    disk
}

fn own(disk: &MemoryDisk) -> MemoryDirectory {
    let home = disk.root().open_directory(b".rejoin").expect("there");
    home.open_directory(SESSION.to_string().as_bytes()).expect("there")
}

fn put(directory: &MemoryDirectory, name: &[u8], content: &[u8]) {
    directory.remove_file(name).expect("there");
    let file = directory.create_file(name, 0o600).expect("new");
    file.write_at(&[content], 0).expect("written");
}

fn content(directory: &MemoryDirectory, name: &[u8]) -> Vec<u8> {
    let file = directory.open_file(name, Access::Read).expect("there");
    let bytes = file.metadata().expect("there").bytes;
    let mut content = vec![0; usize::try_from(bytes).expect("small")];
    rejoin::fs::read_exact_at(&file, &mut content, 0).expect("whole");
    content
}

#[test]
fn logs_of_every_version_are_read() {
    let (source, roots) = promised();
    let session = MemoryDisk::new();
    let promise = promise(&roots, &session.root());
    let disk = half(&promise);
    let (_, expected) = open(&disk.fork()).expect("there");
    for name in ["journal", "pages"] {
        let present = content(&own(&disk), name.as_bytes());
        let old = frozen(&format!("target-{name}-v2.bin"), &present);
        assert_eq!(old, present, "{name}: not version 2 any more");
        put(&own(&disk), name.as_bytes(), &old);
    }
    let (mut store, state) = open(&disk).expect("there");
    assert!(!store.has_damage());
    assert_eq!(format!("{state:?}"), format!("{expected:?}"));
    receive(&mut store, &state, &promise, 1, &mut Run::default()).expect("received");
    store.cleanup().expect("cleaned up");
    assert_eq!(disk.tree(), source.tree());
    let present = content(&session.root(), b"pages");
    let old = frozen("source-pages-v2.bin", &present);
    assert_eq!(old, present, "the sender's pages are not version 2 any more");
}

/// What may stand in a file's place, named.
fn strange(good: &[u8], other: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = vec![
        ("empty".to_owned(), Vec::new()),
        ("zeros".to_owned(), vec![0; good.len()]),
        ("a foreign file".to_owned(), b"#!/bin/sh\necho this is no log at all, is it\n".repeat(9)),
        ("ones".to_owned(), vec![0xff; good.len()]),
        ("another log".to_owned(), other.to_vec()),
        ("something behind it".to_owned(), [good, &[0x5a; 99]].concat()),
        ("itself behind it".to_owned(), [good, good].concat()),
    ];
    let mut newer = good.to_vec();
    newer[8] = 3;
    all.push(("a newer version".to_owned(), newer));
    let step = (good.len() / 150).max(1);
    for at in (0..good.len()).step_by(step).chain(0..HEADER.min(good.len())) {
        all.push((format!("cut at {at}"), good[..at].to_vec()));
        let mut flipped = good.to_vec();
        flipped[at] ^= 0x10;
        all.push((format!("flipped at {at}"), flipped));
        let mut zeroed = good.to_vec();
        zeroed[at..].fill(0);
        all.push((format!("zeros from {at}"), zeroed));
    }
    all
}

/// What of a strange file must still be found somewhere: all of it, unless it is a good file's beginning.
fn is_kept(directory: &MemoryDirectory, name: &str, strange: &[u8], good: &[u8]) -> bool {
    let names = directory.names().expect("there");
    let mark = format!("{name}.damaged-");
    let is_aside = |found: &&Vec<u8>| found.starts_with(mark.as_bytes());
    let is_aside = names.iter().filter(is_aside).any(|found| content(directory, found) == strange);
    // A header and what follows it: records up to the first that is none are a rule, not a loss.
    let is_log = strange.len() >= HEADER && strange[..HEADER] == good[..HEADER];
    let same = strange.iter().zip(good).take_while(|(one, other)| one == other).count();
    let is_begun = strange.len() <= HEADER && strange[same..].iter().all(|&byte| byte == 0);
    is_aside || is_log || is_begun
}

#[test]
fn a_strange_file_in_a_target_is_refused_kept_aside_or_repaired_by_rule() {
    let (source, roots) = promised();
    let promise = promise(&roots, &MemoryDisk::new().root());
    let disk = half(&promise);
    let (_, whole) = open(&disk.fork()).expect("there");
    let files = ["journal", "pages"].map(|name| (name, content(&own(&disk), name.as_bytes())));
    for (at, (name, good)) in files.iter().enumerate() {
        for (what, bytes) in strange(good, &files[1 - at].1) {
            let at = format!("{name}: {what}");
            let disk = disk.fork();
            put(&own(&disk), name.as_bytes(), &bytes);
            match open(&disk) {
                Err(error) => {
                    assert!(error.message.contains("newer version"), "{at}: {error}");
                    assert_eq!(content(&own(&disk), name.as_bytes()), bytes, "{at}: touched");
                    put(&own(&disk), name.as_bytes(), good);
                }
                Ok((store, state)) => {
                    assert!(is_kept(&own(&disk), name, &bytes, good), "{at}: lost");
                    let claims = state.units.iter().all(|unit| whole.units.contains(unit));
                    assert!(claims, "{at}: {state:?}");
                    drop(store);
                }
            }
            let (mut store, state) = open(&disk).expect(&at);
            receive(&mut store, &state, &promise, 1, &mut Run::default()).expect(&at);
            store.cleanup().expect(&at);
            assert_eq!(disk.tree(), source.tree(), "{at}");
        }
    }
}

/// Whatever stands in a partial file's place is never published as what was promised.
#[test]
fn a_strange_partial_file_is_never_published() {
    let (source, roots) = promised();
    let all: Tree = source.tree();
    let promise = promise(&roots, &MemoryDisk::new().root());
    let disk = half(&promise);
    let names = own(&disk).names().expect("there");
    let partials: Vec<_> = names.iter().filter(|name| name.ends_with(b".part")).collect();
    assert!(!partials.is_empty());
    for name in partials {
        let good = content(&own(&disk), name);
        let mut flipped = good.clone();
        flipped[good.len() / 3] ^= 1;
        for bytes in [
            Vec::new(),
            vec![0; good.len()],
            b"foreign".to_vec(),
            good[..good.len() / 2].to_vec(),
            [&good[..], b"more"].concat(),
            flipped,
        ] {
            let at = format!("{}: {} bytes", String::from_utf8_lossy(name), bytes.len());
            let disk = disk.fork();
            put(&own(&disk), name, &bytes);
            let (mut store, state) = open(&disk).expect(&at);
            receive(&mut store, &state, &promise, 1, &mut Run::default()).expect(&at);
            store.cleanup().expect(&at);
            assert_eq!(disk.tree(), all, "{at}");
        }
    }
}

#[test]
fn a_strange_file_in_the_place_of_a_senders_pages_is_refused_kept_aside_or_cut() {
    let (_source, roots) = promised();
    let scan = |session: &MemoryDirectory| -> Result<u64, DiskError> {
        let (mut scan, _store) = source::open(&roots, session, SESSION)?;
        let mut pages = 0;
        while let Some(report) = scan.next_report() {
            match report {
                ScanReport::Page(_) => pages += 1,
                ScanReport::Failed(error) => return Err(error),
                ScanReport::LeftOut(_) | ScanReport::End { .. } => {}
            }
        }
        Ok(pages)
    };
    let session = MemoryDisk::new();
    scan(&session.root()).expect("scanned");
    let good = content(&session.root(), b"pages");
    for (what, bytes) in strange(&good, b"RJNTPGS\n") {
        let session = session.fork();
        put(&session.root(), b"pages", &bytes);
        match scan(&session.root()) {
            Ok(pages) => {
                assert!(pages > 0, "{what}");
                assert!(is_kept(&session.root(), "pages", &bytes, &good), "{what}: lost");
            }
            Err(error) => {
                assert!(error.message.contains("newer version"), "{what}: {error}");
                assert_eq!(content(&session.root(), b"pages"), bytes, "{what}: touched");
            }
        }
    }
}

#[test]
fn a_strange_record_is_refused_and_left_as_it_is() {
    let disk = MemoryDisk::new();
    let state = StateDirectory::new(disk.root(), Role::Sender).expect("made");
    let mut one = record();
    one.session = SESSION;
    drop(state.create(one.clone()).expect("new"));
    let sessions = disk.root().open_directory(b"sending").expect("there");
    let directory = sessions.open_directory(SESSION.to_string().as_bytes()).expect("there");
    let good = content(&directory, b"record");
    let another = record().encode().expect("small");
    for (what, bytes) in strange(&good, &another) {
        if bytes == good {
            continue;
        }
        put(&directory, b"record", &bytes);
        match state.open_session(SESSION).err() {
            Some(StateError::Record {
                error: RecordError::Newer { .. } | RecordError::Damaged(_),
                ..
            }) => {}
            error => panic!("{what}: {error:?}"),
        }
        let listed = state.list().expect("readable");
        assert!(listed.len() == 1 && listed[0].record.is_err(), "{what}");
        assert_eq!(content(&directory, b"record"), bytes, "{what}: touched");
        // A process that begins the same session anew must not get over it, either.
        let found = state.find(|record| record.is_of_source(&[b"/a".to_vec()], ""));
        assert_eq!(found, Ok(None), "{what}");
    }
    put(&directory, b"record", &good);
    assert_eq!(state.open_session(SESSION).map(|session| session.record.clone()).ok(), Some(one));
}
