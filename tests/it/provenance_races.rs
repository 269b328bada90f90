//! What the user changes between a look and an act is the user's: what was read is not what is there. And what this session made is
//! its own however many versions of it were promised since.
#![cfg(unix)]

use crate::support::faulty::{Faults, FaultyDirectory};
use crate::support::promise::ask;
use crate::support::sim::SESSION;
use crate::support::target_options::target_options;
use crate::support::victim::{Victim, below, directory, file};
use rejoin::platform::OsDirectory;
use rejoin::store::TargetStore;
use rejoin::transfer::disk::TargetRequest;
use rejoin::transfer::manifest::{Entry, EntryKind, ModifiedTime, RelativePath};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::SystemTime;

fn superseding(old: u64, entry: Entry) -> Entry {
    Entry { supersedes: Some(old), ..entry }
}

/// What the user does to a file.
type Change = fn(&Path);

/// It is gone at the source.
fn gone(old: u64, entry: Entry) -> Entry {
    Entry { kind: EntryKind::Gone, ..superseding(old, entry) }
}

/// Another file of that size and time takes the name.
fn put_in_place(path: &Path, content: &[u8]) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let other = path.with_extension("other");
    fs::write(&other, content).unwrap();
    fs::File::options().write(true).open(&other).unwrap().set_modified(modified).unwrap();
    fs::rename(other, path).unwrap();
}

/// A receiver whose disk the user uses, too.
fn shared(out: &Path) -> (Victim, Faults) {
    let faults = Faults::default();
    let root = FaultyDirectory(OsDirectory::open(out).unwrap(), faults.clone());
    let (mut store, _) = TargetStore::open(root, target_options(SESSION)).unwrap();
    (Victim::with_disk(true, Box::new(move |request| store.handle(request))), faults)
}

/// A published version that is read before it makes room is not removed if something else has its name by then: for another version,
/// a directory, or a file in the place of the directory that holds it.
#[test]
fn what_takes_the_name_while_a_version_is_read_stays() {
    let user = b"of the user";
    let cases: [(&str, Vec<Entry>); 3] = [
        ("another version", vec![superseding(1, below(0, file(b"f", 3)))]),
        (
            "a directory",
            vec![gone(1, below(0, directory(b"f"))), superseding(2, below(0, directory(b"f")))],
        ),
        ("a file for its directory", vec![gone(0, directory(b"d")), superseding(2, file(b"d", 3))]),
    ];
    for (what, entries) in cases {
        for is_replaced in [false, true] {
            let out = tempfile::tempdir().unwrap();
            let (mut victim, faults) = shared(out.path());
            victim.recover();
            victim.page(0, 0, vec![directory(b"d"), below(0, file(b"f", user.len() as u64))]);
            victim.say(Victim::pack(0, &[(1, b"our version")]));
            victim.body(b"our version");
            victim.tick();
            victim.tick();
            let path = out.path().join("d/f");
            assert_eq!(fs::read(&path).unwrap(), b"our version");
            let there = path.clone();
            faults.while_read(b"f", move || match is_replaced {
                true => put_in_place(&there, user),
                false => fs::write(&there, user).unwrap(),
            });
            victim.page(1, 2, entries.clone());
            let last = 1 + entries.len() as u64;
            if let Some(Entry { kind: EntryKind::File { .. }, .. }) = entries.last() {
                victim.say(Victim::pack(1, &[(last, b"new")]));
                victim.body(b"new");
            }
            victim.end(2);
            victim.tick();
            victim.tick();
            assert!(
                faults.has_acted(),
                "{what}: it was not read: {:?} {:?}",
                victim.end,
                victim.events
            );
            assert_eq!(fs::read(&path).unwrap(), user, "{what}, {is_replaced}");
        }
    }
}

/// A file of the user's that was read and has the promised content gets the promised time, once and again, as long as it is the file
/// that was read.
#[test]
fn only_what_was_read_gets_a_time() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("f");
    let seconds = |path: &Path| fs::metadata(path).unwrap().mtime();
    let (mut store, _) =
        TargetStore::open(OsDirectory::open(out.path()).unwrap(), target_options(SESSION)).unwrap();
    let name = RelativePath::root().join(b"f");
    let read = || TargetRequest::Hash { page: 0, files: vec![(0, name.clone())] };
    let set = |seconds| TargetRequest::SetTimes {
        files: vec![(name.clone(), 5, ModifiedTime { seconds, nanoseconds: 0 })],
    };
    fs::write(&path, "first").unwrap();
    let then = seconds(&path);
    ask(&mut store, set(1_000)).unwrap();
    assert_eq!(seconds(&path), then, "what was not read");
    ask(&mut store, read()).unwrap();
    for time in [2_000, 3_000] {
        ask(&mut store, set(time)).unwrap();
        assert_eq!(seconds(&path), time);
    }
    let changes: [(&str, Change); 3] = [
        ("another file of that size and time", |path| put_in_place(path, b"other")),
        ("other content", |path| fs::write(path, "again").unwrap()),
        ("another mode", |path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }),
    ];
    for (what, change) in changes {
        ask(&mut store, read()).unwrap();
        change(&path);
        let then = seconds(&path);
        ask(&mut store, set(4_000)).unwrap();
        assert_eq!(seconds(&path), then, "{what}");
        // And it is not taken for what was read later either.
        ask(&mut store, set(5_000)).unwrap();
        assert_eq!(seconds(&path), then, "{what}");
    }
    assert!(then.unsigned_abs() > SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() - 3_600);
}

/// A directory that this session made stays its own over versions that have another mode, and over one that was gone at the source;
/// what was published in it, whichever of them it names, makes room with it. One that was there before stays the user's over as many.
#[test]
fn a_directory_is_whose_it_was_over_every_version_of_it() {
    for is_made in [true, false] {
        let mut victim = Victim::accepting();
        let path = victim.out().join("d");
        if !is_made {
            fs::create_dir(&path).unwrap();
        }
        victim.recover();
        let moded = |mode| Entry { mode, ..directory(b"d") };
        victim.page(0, 0, vec![moded(0o755), below(0, file(b"x", 1))]);
        victim.say(Victim::pack(0, &[(1, b"x")]));
        victim.body(b"x");
        victim.page(1, 2, vec![superseding(0, moded(0o700)), below(0, file(b"y", 1))]);
        victim.say(Victim::pack(1, &[(3, b"y")]));
        victim.body(b"y");
        let again = superseding(4, moded(0o750));
        victim.page(2, 4, vec![gone(2, moded(0)), again, below(5, file(b"z", 1))]);
        victim.say(Victim::pack(2, &[(6, b"z")]));
        victim.body(b"z");
        victim.tick();
        victim.tick();
        assert_eq!(victim.found().len(), 3, "{:?} {:?}", victim.end, victim.events);
        victim.page(3, 7, vec![gone(5, moded(0)), superseding(7, file(b"d", 3))]);
        if is_made {
            victim.say(Victim::pack(3, &[(8, b"now")]));
            victim.body(b"now");
        }
        victim.end(4);
        victim.tick();
        victim.tick();
        assert_eq!(victim.failure(), None, "{:?}", victim.end);
        match is_made {
            true => assert_eq!(fs::read(&path).unwrap(), b"now", "{:?}", victim.events),
            false => assert_eq!(victim.found().len(), 3, "{:?}", victim.found()),
        }
    }
}
