//! The target on a real file system: names, holes, conflicts, confinement.

use crate::support::promise::{Promise, Run, SESSION, ask, promise, receive, receive_files};
use crate::support::target_options::target_options;
use bytes::Bytes;
use rejoin::platform::OsDirectory;
use rejoin::store::{SourceRoots, TargetStore};
use rejoin::transfer::disk::{
    DiskErrorKind, Existing, FileMetadata, OnConflict, Published, TargetReply, TargetRequest,
    TargetState, UnitContent, Wanted, WantedKind,
};
use rejoin::transfer::manifest::{ModifiedTime, RelativePath};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

const MIB: usize = 1 << 20;

fn open(out: &Path) -> (TargetStore<OsDirectory>, TargetState) {
    let options = target_options(SESSION);
    TargetStore::open(OsDirectory::open(out).expect("there"), options).expect("opened")
}

fn promise_of(paths: &[PathBuf]) -> Promise {
    let state = tempfile::tempdir().expect("temporary");
    let roots = SourceRoots::open(paths).expect("paths");
    promise(&roots, &OsDirectory::open(state.path()).expect("there"))
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    content
}

/// Every name below `root` with kind, mode, modification time and content.
fn look(root: &Path) -> Vec<(PathBuf, u32, i64, i64, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("readable") {
            let path = entry.expect("readable").path();
            let metadata = path.symlink_metadata().expect("there");
            let content = if metadata.is_symlink() {
                fs::read_link(&path).expect("a link").as_os_str().as_bytes().to_vec()
            } else if metadata.is_dir() {
                open.push(path.clone());
                Vec::new()
            } else {
                fs::read(&path).expect("readable")
            };
            let below = path.strip_prefix(root).expect("below").to_path_buf();
            found.push((below, metadata.mode(), metadata.mtime(), metadata.mtime_nsec(), content));
        }
    }
    found.sort();
    found
}

#[test]
fn a_tree_arrives_as_it_was() {
    let (source, out) =
        (tempfile::tempdir().expect("temporary"), tempfile::tempdir().expect("temporary"));
    let tree = source.path().join("tree");
    fs::create_dir_all(tree.join("empty dir/deeper")).expect("made");
    for (name, content) in [
        (&b"with space"[..], noise(10)),
        (b"it's \"quoted\"", noise(11)),
        ("\u{1f980}\u{e9}".as_bytes(), noise(12)),
        (b"new\nline", noise(13)),
        (b"not utf8 \xff\xfe", noise(14)),
        (b"zero", noise(0)),
        (b"unit", noise(MIB)),
        (b"unit and one", noise(MIB + 1)),
        (b"three", noise(3 * MIB)),
        (&[b'n'; 255], noise(1)),
    ] {
        fs::write(tree.join(OsStr::from_bytes(name)), content).expect("written");
    }
    fs::set_permissions(tree.join("zero"), fs::Permissions::from_mode(0o4751)).expect("set");
    fs::set_permissions(tree.join("unit"), fs::Permissions::from_mode(0o444)).expect("set");
    fs::set_permissions(tree.join("empty dir"), fs::Permissions::from_mode(0o555)).expect("set");
    symlink("with space", tree.join("link")).expect("made");
    symlink("/etc/passwd", tree.join("bad link")).expect("made");
    let promise = promise_of(std::slice::from_ref(&tree));
    assert_eq!(promise.left_out.len(), 1, "{:?}", promise.left_out);
    fs::remove_file(tree.join("bad link")).expect("removed");
    let touched = fs::File::open(&tree).expect("a directory");
    touched
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000))
        .expect("set");
    let promise = {
        let mut again = promise_of(std::slice::from_ref(&tree));
        again.left_out = promise.left_out;
        again
    };
    let (mut store, state) = open(out.path());
    receive(&mut store, &state, &promise, 4, &mut Run::default()).expect("received");
    store.cleanup().expect("cleaned up");
    let mut expected = look(source.path());
    for entry in &mut expected {
        // setuid does not travel; the umask applies.
        entry.1 &= 0o170_755;
        if entry.4.starts_with(b"with") {
            entry.1 = 0o120_777;
        }
    }
    let found = look(out.path());
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.0, expected.0);
        assert_eq!(found.1, expected.1, "mode of {:?}", found.0);
        assert_eq!((found.2, found.3), (expected.2, expected.3), "time of {:?}", found.0);
        assert!(found.4 == expected.4, "content of {:?}", found.0);
    }
    // And once more: all of it is the same, nothing is in the way, and nothing of it is of the new session.
    let (mut store, state) = open(out.path());
    assert_eq!(state, TargetState::default());
    let mut run = Run::default();
    receive(&mut store, &state, &promise, 4, &mut run).expect("received");
    assert!(run.published.values().all(|outcome| *outcome == Published::There));
}

#[test]
fn zeros_become_holes_and_rewritten_zeros_do_not_keep_old_bytes() {
    let (source, out) =
        (tempfile::tempdir().expect("temporary"), tempfile::tempdir().expect("temporary"));
    let path = source.path().join("sparse");
    let mut content = noise(8 * MIB);
    content[MIB / 2..7 * MIB].fill(0);
    fs::write(&path, &content).expect("written");
    let promise = promise_of(&[path]);
    let (mut store, state) = open(out.path());
    // What an earlier, broken life of the partial might have left.
    let unit = promise.units[3].clone();
    let UnitContent::Part { entry, offset, file_bytes, .. } = unit.content else {
        panic!("{:?}", unit.content);
    };
    let junk = noise(MIB);
    let value = rejoin::transfer::merge::unit_value([&junk[..]], offset, file_bytes);
    let write = TargetRequest::Write {
        unit: unit.unit,
        content: UnitContent::Part { entry, offset, file_bytes, value },
        payload: vec![Bytes::from(junk)],
    };
    assert_eq!(
        ask(&mut store, write).expect("no failure"),
        Some(TargetReply::Written { unit: unit.unit })
    );
    receive(&mut store, &state, &promise, 100, &mut Run::default()).expect("received");
    let out = out.path().join("sparse");
    assert!(fs::read(&out).expect("there") == content);
    let allocated = out.metadata().expect("there").blocks() * 512;
    assert!(allocated < 4 * MIB as u64, "{allocated} bytes allocated");
}

#[test]
fn nothing_of_a_corrupt_unit_is_written() {
    let (source, out) =
        (tempfile::tempdir().expect("temporary"), tempfile::tempdir().expect("temporary"));
    let tree = source.path().join("tree");
    fs::create_dir(&tree).expect("made");
    fs::write(tree.join("large"), noise(2 * MIB)).expect("written");
    fs::write(tree.join("small"), noise(100)).expect("written");
    fs::write(tree.join("smaller"), noise(50)).expect("written");
    let promise = promise_of(&[tree]);
    let (mut store, _) = open(out.path());
    let before = look(out.path());
    for unit in &promise.units {
        let mut flipped = unit.clone();
        let last = flipped.payload.last_mut().expect("content");
        let mut bytes = last.to_vec();
        *bytes.last_mut().expect("content") ^= 1;
        *last = bytes.into();
        let mut short = unit.clone();
        let last = short.payload.last_mut().expect("content");
        *last = last.slice(1..);
        let mut long = unit.clone();
        long.payload.push(Bytes::from_static(b"x"));
        let mut beyond = unit.clone();
        if let UnitContent::Part { offset, .. } = &mut beyond.content {
            *offset = u64::MAX - 5;
        } else {
            beyond.payload.clear();
        }
        for bad in [flipped, short, long, beyond] {
            let reply = ask(&mut store, bad.write()).expect("no failure");
            assert_eq!(reply, Some(TargetReply::Corrupt { unit: unit.unit }));
        }
    }
    let names = |found: Vec<(PathBuf, u32, i64, i64, Vec<u8>)>| {
        found.into_iter().map(|entry| (entry.0, entry.4)).collect::<Vec<_>>()
    };
    assert_eq!(names(look(out.path())), names(before));
}

fn set_modified(path: &Path, seconds: u64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    fs::File::open(path).and_then(|file| file.set_modified(time)).expect("ours");
}

/// F-63: few system calls for each small file, and still nothing published that is not what was written.
#[test]
fn a_packed_file_gets_its_metadata_with_its_content() {
    let (source, out) =
        (tempfile::tempdir().expect("temporary"), tempfile::tempdir().expect("temporary"));
    let modes = [("private", 0o400), ("program", 0o755), ("short", 0o644), ("vanished", 0o644)];
    let paths: Vec<PathBuf> = modes.map(|(name, _)| source.path().join(name)).to_vec();
    for (path, (name, mode)) in paths.iter().zip(modes) {
        fs::write(path, name).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
        set_modified(path, 1_000_000_007);
    }
    let promise = promise_of(&paths);
    let (mut store, _) = open(out.path());
    let [unit] = &promise.units[..] else { panic!("one pack") };
    ask(&mut store, unit.write()).expect("written");
    let partial = |entry: u64| {
        let id = SESSION.to_string();
        out.path().join(".rejoin").join(id).join(format!("{entry}.part"))
    };
    let entries: Vec<u64> = promise.publish.keys().copied().collect();
    let found = entries.iter().map(|entry| {
        let metadata = partial(*entry).metadata().expect("there");
        (metadata.mode() & 0o777, metadata.mtime() == 1_000_000_007)
    });
    // One that could not be opened again to be synced waits.
    let expected = [(0o600, false), (0o755, true), (0o644, true), (0o644, true)];
    assert_eq!(found.collect::<Vec<_>>(), expected);

    // By other hands, in between: what is not right is set right, or fetched again.
    fs::set_permissions(partial(entries[0]), fs::Permissions::from_mode(0o666)).expect("ours");
    set_modified(&partial(entries[0]), 1_000_000_007);
    set_modified(&partial(entries[1]), 5);
    fs::write(partial(entries[2]), "sho").expect("ours");
    set_modified(&partial(entries[2]), 1_000_000_007);
    fs::remove_file(partial(entries[3])).expect("ours");
    let publish = promise.publish.values().cloned().collect();
    let reply = ask(&mut store, TargetRequest::Barrier { publish }).expect("no failure");
    let Some(TargetReply::BarrierDone { published }) = reply else { panic!("{reply:?}") };
    let outcomes: Vec<&Published> = published.iter().map(|(_, outcome)| outcome).collect();
    assert!(matches!(outcomes[0], Published::Done { .. }), "{outcomes:?}");
    assert!(matches!(outcomes[1], Published::Done { .. }), "{outcomes:?}");
    assert!(matches!(outcomes[2], Published::Rotten { .. }), "{outcomes:?}");
    assert!(matches!(outcomes[3], Published::Rotten { .. }), "{outcomes:?}");
    for (name, mode) in &modes[..2] {
        let metadata = out.path().join(name).metadata().expect("published");
        assert_eq!((metadata.mode() & 0o777, metadata.mtime()), (*mode, 1_000_000_007));
    }
    assert!(!out.path().join("short").exists() && !out.path().join("vanished").exists());
}

fn conflict(on_conflict: OnConflict) -> (Run, TempDir) {
    let (source, out) =
        (tempfile::tempdir().expect("temporary"), tempfile::tempdir().expect("temporary"));
    let names = ["file.txt", "link", "directory", "fifo", "same"];
    for name in names {
        fs::write(source.path().join(name), format!("new {name}")).expect("written");
    }
    fs::write(out.path().join("file.txt"), "old").expect("written");
    symlink("nowhere", out.path().join("link")).expect("made");
    fs::create_dir(out.path().join("directory")).expect("made");
    let fifo = out.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).expect("made");
    fs::write(out.path().join("same"), "new same").expect("written");
    let paths: Vec<PathBuf> = names.iter().map(|name| source.path().join(name)).collect();
    let promise = promise_of(&paths).on_conflict(on_conflict);
    let (mut store, state) = open(out.path());
    let mut run = Run::default();
    receive(&mut store, &state, &promise, 9, &mut run).expect("received");
    store.cleanup().expect("cleaned up");
    // In no case is anything but a file or link replaced.
    assert!(out.path().join("directory").is_dir());
    assert!(!fifo.metadata().expect("there").is_file());
    assert!(!out.path().join(".rejoin").exists());
    (run, out)
}

fn read(out: &TempDir, name: &str) -> String {
    fs::read_to_string(out.path().join(name)).expect("there")
}

#[test]
fn conflicts_are_settled_as_asked_for() {
    let count = |run: &Run, wanted: &Published| {
        run.published.values().filter(|outcome| *outcome == wanted).count()
    };
    for policy in [OnConflict::Fail, OnConflict::Skip] {
        let (run, out) = conflict(policy);
        assert_eq!(count(&run, &Published::Conflict), 4, "{run:?}");
        assert_eq!(read(&out, "file.txt"), "old");
    }
    let (run, out) = conflict(OnConflict::Overwrite);
    assert_eq!(count(&run, &Published::Conflict), 2, "{run:?}");
    assert_eq!(read(&out, "file.txt"), "new file.txt");
    assert_eq!(read(&out, "link"), "new link");
    assert!(!out.path().join("link").is_symlink());
    let (run, out) = conflict(OnConflict::Rename);
    assert_eq!(count(&run, &Published::Conflict), 0, "{run:?}");
    for (name, content) in [
        ("file (1).txt", "new file.txt"),
        ("link (1)", "new link"),
        ("directory (1)", "new directory"),
        ("fifo (1)", "new fifo"),
    ] {
        assert_eq!(read(&out, name), content);
    }
    assert_eq!(read(&out, "file.txt"), "old");
    assert!(!out.path().join("same (1)").exists());
}

#[test]
fn a_survey_says_what_is_there() {
    let (source, out) =
        (tempfile::tempdir().expect("temporary"), tempfile::tempdir().expect("temporary"));
    let tree = source.path().join("tree");
    fs::create_dir(&tree).expect("made");
    fs::write(tree.join("a"), "a").expect("written");
    symlink("a", tree.join("l")).expect("made");
    let promise = promise_of(&[tree]);
    let mut wanted: Vec<Wanted> = promise
        .publish
        .values()
        .map(|publish| Wanted {
            entry: publish.entry,
            path: publish.path.clone(),
            supersedes: None,
            kind: match &publish.kind {
                rejoin::transfer::disk::PublishKind::File { bytes, .. } => {
                    WantedKind::File { bytes: *bytes, modified: publish.modified }
                }
                rejoin::transfer::disk::PublishKind::Symlink { target } => {
                    WantedKind::Symlink { target: target.clone() }
                }
            },
        })
        .collect();
    let (mut store, state) = open(out.path());
    let survey = |store: &mut TargetStore<OsDirectory>, wanted: &[Wanted]| {
        let wanted = wanted.to_vec();
        match ask(store, TargetRequest::Survey { page: 0, wanted, by_content: false })
            .expect("no failure")
        {
            Some(TargetReply::Surveyed { existing, .. }) => {
                existing.into_iter().map(|(_, existing)| existing).collect::<Vec<_>>()
            }
            reply => panic!("{reply:?}"),
        }
    };
    assert_eq!(survey(&mut store, &wanted), [Existing::Absent, Existing::Absent]);
    receive(&mut store, &state, &promise, 9, &mut Run::default()).expect("received");
    assert_eq!(survey(&mut store, &wanted), [Existing::Same, Existing::Same]);
    // An absent directory says nothing of another.
    let absent =
        Wanted { path: RelativePath::root().join(b"absent").join(b"a"), ..wanted[0].clone() };
    let mixed = [absent.clone(), absent, wanted[0].clone()];
    assert_eq!(survey(&mut store, &mixed), [Existing::Absent, Existing::Absent, Existing::Same]);
    for wanted in &mut wanted {
        // What this session published is compared with what the disk keeps of it: these are of another one.
        wanted.entry += 1_000;
        match &mut wanted.kind {
            WantedKind::File { modified, .. } => modified.nanoseconds ^= 1,
            WantedKind::Symlink { target } => target.push(b'x'),
            WantedKind::Directory => {}
        }
    }
    let found = survey(&mut store, &wanted);
    assert!(matches!(found[..], [Existing::SameSize, Existing::Differs { .. }]), "{found:?}");
    wanted.iter_mut().for_each(|wanted| wanted.kind = WantedKind::Directory);
    assert_eq!(survey(&mut store, &wanted), [Existing::OtherKind, Existing::Linked]);
}

/// All of a promise, up to the barrier that publishes it; whatever fails.
fn try_all(store: &mut TargetStore<OsDirectory>, promise: &Promise) {
    for (number, encoded) in (0..).zip(&promise.pages) {
        let encoded = encoded.clone();
        let _ = ask(store, TargetRequest::KeepPage { number, encoded });
    }
    let directories = promise.directories.iter();
    let directories = directories
        .map(|(entry, directory)| (*entry, directory.path.clone(), directory.mode))
        .collect();
    let _ = ask(store, TargetRequest::CreateDirectories { directories });
    for unit in &promise.units {
        let _ = ask(store, unit.write());
    }
    let publish = promise.publish.values().cloned().collect();
    let _ = ask(store, TargetRequest::Barrier { publish });
}

/// a directory of the target is swapped for a symlink to the outside while files are published into it.
#[test]
fn a_swapped_parent_leads_nowhere() {
    const ROUNDS: u32 = 300;
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let base = base.expect("temporary");
    let (source, out, outside) =
        (base.path().join("s"), base.path().join("o"), base.path().join("x"));
    for directory in [&source.join("tree/below"), &out, &outside.join("below")] {
        fs::create_dir_all(directory).expect("made");
    }
    for number in 0..8 {
        fs::write(source.join(format!("tree/below/{number}")), "escaped").expect("written");
    }
    let promise = promise_of(&[source.join("tree")]);
    let before = look(&outside);
    let (tree, aside) = (out.join("tree"), out.join("aside"));
    let is_over = AtomicBool::new(false);
    let mut flips = 0;
    std::thread::scope(|scope| {
        let racer = scope.spawn(|| {
            let mut flips = 0_u32;
            while !is_over.load(Ordering::Acquire) {
                if fs::rename(&tree, &aside).is_ok() && symlink(&outside, &tree).is_ok() {
                    flips += 1;
                    // As long in place as out of it.
                    (0..flips % 4_000).for_each(|_| std::hint::spin_loop());
                    fs::remove_file(&tree).expect("a link");
                }
                // The store may have made a new directory in the gap; then that is the one to swap.
                if fs::rename(&aside, &tree).is_err() {
                    let _ = fs::remove_dir_all(&aside);
                }
            }
            flips
        });
        for _ in 0..ROUNDS {
            // A fresh store has no directory open yet; a fresh session knows nothing as published.
            let (mut store, _) = open(&out);
            try_all(&mut store, &promise);
            let directories = promise.directories.clone();
            let _ = ask(&mut store, TargetRequest::Finish { directories, is_whole: true });
            store.cleanup().expect("cleaned up");
            // So that there is something to publish in the next round.
            for name in promise.publish.values() {
                let name = OsStr::from_bytes(name.path.as_bytes());
                let name = Path::new(name).file_name().expect("a name");
                let _ = fs::remove_file(aside.join("below").join(name));
            }
        }
        is_over.store(true, Ordering::Release);
        flips = racer.join().expect("no panic");
    });
    assert!(flips > ROUNDS, "{flips} flips");
    assert_eq!(look(&outside), before, "escaped");
}

#[test]
fn a_planted_home_is_refused() {
    let out = tempfile::tempdir().expect("temporary");
    let elsewhere = tempfile::tempdir().expect("temporary");
    let options = target_options(SESSION);
    let open =
        || TargetStore::open(OsDirectory::open(out.path()).expect("there"), options).map(|_| ());
    symlink(elsewhere.path(), out.path().join(".rejoin")).expect("made");
    assert_eq!(open().expect_err("a link").kind, DiskErrorKind::Path);
    fs::remove_file(out.path().join(".rejoin")).expect("removed");
    fs::create_dir(out.path().join(".rejoin")).expect("made");
    fs::set_permissions(out.path().join(".rejoin"), fs::Permissions::from_mode(0o777))
        .expect("set");
    assert_eq!(open().expect_err("open to all").kind, DiskErrorKind::Permission);
    assert_eq!(fs::read_dir(elsewhere.path()).expect("there").count(), 0);
}

/// Something that is no directory has the name of ours: said, with what to do, and left alone.
#[test]
fn what_has_the_name_of_the_home_is_left_alone() {
    for make in [
        |path: &Path| fs::write(path, "mine").expect("made"),
        |path: &Path| make_pipe(path),
        |path: &Path| symlink("nowhere", path).expect("made"),
    ] {
        let out = tempfile::tempdir().expect("temporary");
        let home = out.path().join(".rejoin");
        make(&home);
        let before = fs::symlink_metadata(&home).expect("there").ino();
        let root = OsDirectory::open(out.path()).expect("there");
        let opened = TargetStore::open(root, target_options(SESSION)).map(|_| ());
        let error = opened.expect_err("no directory");
        assert!(error.message.contains("move it away"), "{error}");
        assert_eq!(fs::symlink_metadata(&home).expect("there").ino(), before);
    }
}

fn make_pipe(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).expect("made");
}

/// What has the name of a log and is no file is kept aside, and that progress is lost is said.
#[test]
fn a_log_that_is_no_file_is_damage() {
    for name in ["journal", "pages"] {
        for make in [
            |path: &Path| fs::create_dir(path).expect("made"),
            |path: &Path| make_pipe(path),
            |path: &Path| symlink("nowhere", path).expect("made"),
        ] {
            let out = tempfile::tempdir().expect("temporary");
            drop(open(out.path()));
            let log = out.path().join(format!(".rejoin/{SESSION}")).join(name);
            fs::remove_file(&log).expect("there");
            make(&log);
            let before = fs::symlink_metadata(&log).expect("there").ino();
            let (store, state) = open(out.path());
            assert!(store.has_damage(), "{name}");
            assert_eq!((state.pages, state.kept_bytes), (0, 0));
            let aside = log.with_file_name(format!("{name}.damaged-0"));
            assert_eq!(fs::symlink_metadata(aside).expect("kept aside").ino(), before);
        }
    }
}

#[test]
fn one_process_has_a_target_session() {
    let out = tempfile::tempdir().expect("temporary");
    let (store, _) = open(out.path());
    let options = target_options(SESSION);
    let again =
        || TargetStore::open(OsDirectory::open(out.path()).expect("there"), options).map(|_| ());
    assert_eq!(again().expect_err("in use").kind, DiskErrorKind::Other);
    drop(store);
    again().expect("free again");
}

///
#[test]
fn times_out_of_range_are_clamped() {
    let (source, out) =
        (tempfile::tempdir().expect("temporary"), tempfile::tempdir().expect("temporary"));
    let path = source.path().join("file");
    fs::write(&path, "x").expect("written");
    for (seconds, nanoseconds) in
        [(0, 0), (-1, 5), (i64::MAX, u32::MAX), (i64::MIN, 0x3fff_ffff), (884_541_600_000, 0)]
    {
        let mut promise = promise_of(std::slice::from_ref(&path));
        for publish in promise.publish.values_mut() {
            publish.modified = ModifiedTime { seconds, nanoseconds };
        }
        let (mut store, state) = open(out.path());
        receive(&mut store, &state, &promise, 9, &mut Run::default()).expect("received");
        store.cleanup().expect("cleaned up");
        fs::remove_file(out.path().join("file")).expect("there");
    }
}

/// Row 20: a link that is followed, and that somebody turns outwards again and again, leads nothing out of the target.
#[cfg(target_os = "linux")]
#[test]
fn a_link_swapped_under_way_leads_nowhere() {
    const ROUNDS: u32 = 200;
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let base = base.expect("temporary");
    let (source, out, outside) =
        (base.path().join("s"), base.path().join("o"), base.path().join("x"));
    let real = out.join("real/below");
    for directory in [&source.join("tree/below"), &real, &outside.join("below")] {
        fs::create_dir_all(directory).expect("made");
    }
    for number in 0..8 {
        fs::write(source.join(format!("tree/below/{number}")), "escaped").expect("written");
    }
    let promise = promise_of(&[source.join("tree")]);
    let before = look(&outside);
    let link = out.join("tree");
    symlink("real", &link).expect("made");
    let is_over = AtomicBool::new(false);
    let mut arrived = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while !is_over.load(Ordering::Acquire) {
                let new = out.join("new");
                symlink(["real", "../x", "real/../../x"][round % 3], &new).expect("made");
                fs::rename(&new, &link).expect("renamed");
                round += 1;
                (0..round % 4_000).for_each(|_| std::hint::spin_loop());
            }
        });
        for _ in 0..ROUNDS {
            let (store, _) = open(&out);
            let mut store = store.following();
            try_all(&mut store, &promise);
            store.cleanup().expect("cleaned up");
            for name in fs::read_dir(&real).expect("there") {
                fs::remove_file(name.expect("a name").path()).expect("removed");
                arrived += 1;
            }
        }
        is_over.store(true, Ordering::Release);
    });
    assert!(arrived > 0, "no link was followed");
    assert_eq!(look(&outside), before, "escaped");
}

/// B-H: newer metadata of a complete file is set where the file is as it was published, and remembered by the next run; what
/// other hands changed keeps what it has.
#[test]
fn newer_metadata_is_given_to_what_is_ours() {
    let (source, out) =
        (tempfile::tempdir().expect("temporary"), tempfile::tempdir().expect("temporary"));
    let paths = ["changed", "ours", "removed"].map(|name| source.path().join(name));
    paths.iter().for_each(|path| fs::write(path, "some content").expect("written"));
    let promise = promise_of(&paths);
    let (mut store, state) = open(out.path());
    receive_files(&mut store, &state, &promise, 1, &mut Run::default()).expect("received");
    let there = |name: &str| {
        let metadata = out.path().join(name).metadata().expect("there");
        (metadata.mode() & 0o777, metadata.mtime())
    };
    fs::write(out.path().join("changed"), "SOME CONTENT").expect("ours");
    fs::remove_file(out.path().join("removed")).expect("ours");
    let changed = there("changed");
    for (mode, seconds) in [(0o640, 1_000_000_000), (0o600, 1_000_000_000), (0o755, 1_200_000_000)]
    {
        let modified = ModifiedTime { seconds, nanoseconds: 0 };
        let metadata = FileMetadata { mode, modified };
        let files = promise.publish.values().map(|of| (of.entry, of.path.clone(), metadata));
        let reply = ask(&mut store, TargetRequest::SetMetadata { files: files.collect() });
        assert_eq!(reply.expect("no failure"), None);
        assert_eq!(there("ours"), (mode, seconds));
        assert_eq!(there("changed"), changed);
    }
    drop(store);
    // Only the time tells whether it is what was published, as long as that is what the journal says.
    fs::write(out.path().join("ours"), "SOME CONTENT").expect("ours");
    set_modified(&out.path().join("ours"), 1_200_000_000);
    let (mut store, state) = open(out.path());
    assert_eq!(state.complete.len(), 3);
    let wanted = promise.publish.values().map(|of| {
        let kind = WantedKind::File { bytes: 12, modified: of.modified };
        Wanted { entry: of.entry, path: of.path.clone(), kind, supersedes: None }
    });
    let survey = TargetRequest::Survey { page: 0, wanted: wanted.collect(), by_content: false };
    let Some(TargetReply::Surveyed { existing, .. }) = ask(&mut store, survey).expect("no failure")
    else {
        panic!("no survey");
    };
    let found: Vec<Existing> = existing.into_iter().map(|(_, found)| found).collect();
    assert_eq!(found, [Existing::Differs { bytes: 12 }, Existing::Same, Existing::Absent]);
}
