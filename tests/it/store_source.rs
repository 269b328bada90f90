//! The sender's scan and reads on a real file system.

use crate::support::promise::SESSION;
use crate::support::random::Random;
use rejoin::platform::OsDirectory;
use rejoin::store::{Scan, SourceError, SourceRoots, SourceStore, source};
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::disk::{
    Doubted, ReadError, ScanReport, SourceFile, SourceReply, SourceRequest, StoredPage,
};
use rejoin::transfer::manifest::{DirectoryTable, EntryKind, Page, PageCheck, RelativePath};
use rejoin::transfer::missing::LeftOut;
use rejoin::wire::frame::BODY_BYTES;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn open(paths: &[PathBuf], state: &Path) -> (Scan<OsDirectory>, SourceStore<OsDirectory>) {
    let roots = SourceRoots::open(paths).expect("paths");
    let state = OsDirectory::open(state).expect("there");
    source::open(&roots, &state, SESSION).expect("opened")
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("temporary")
}

fn pages(scan: &mut Scan<OsDirectory>) -> Vec<StoredPage> {
    let mut pages = Vec::new();
    while let Some(report) = scan.next_report() {
        match report {
            ScanReport::Page(page) => pages.push(page),
            ScanReport::End { .. } => {}
            report @ (ScanReport::LeftOut(_) | ScanReport::Failed(_)) => panic!("{report:?}"),
        }
    }
    pages
}

/// Every path of the pages, each of which must follow the one before.
fn paths(pages: &[StoredPage]) -> Vec<String> {
    let (mut check, mut table) = (PageCheck::new(), DirectoryTable::new());
    let mut paths = Vec::new();
    for page in pages {
        let page = Page::decode(&page.encoded).expect("a page");
        assert!(check.check(&page).expect("follows").iter().all(Result::is_ok));
        table.add_page(&page);
        for (_, entry) in page.iter() {
            let path = table.path(entry).expect("known");
            paths.push(String::from_utf8_lossy(path.as_bytes()).into_owned());
        }
    }
    paths
}

fn files(pages: &[StoredPage]) -> Vec<SourceFile> {
    let mut table = DirectoryTable::new();
    let mut files = Vec::new();
    for stored in pages {
        let page = Page::decode(&stored.encoded).expect("a page");
        table.add_page(&page);
        for ((entry, content), stamp) in page.iter().zip(&stored.stamps) {
            assert_eq!(stamp.is_some(), matches!(content.kind, EntryKind::File { .. }));
            files.extend(stamp.map(|stamp| SourceFile {
                is_retried: content.supersedes.is_some(),
                entry,
                path: table.path(content).expect("known"),
                stamp,
            }));
        }
    }
    files
}

fn many(root: &Path) {
    for directory in ["a", "a/b", "a-", "c"] {
        let directory = root.join(directory);
        fs::create_dir_all(&directory).expect("made");
        for number in 0..700 {
            fs::write(directory.join(format!("file {number}")), "x").expect("written");
        }
    }
}

fn name_of(left_out: &LeftOut) -> String {
    String::from_utf8_lossy(&left_out.name).into_owned()
}

#[test]
fn pages_are_in_canonical_order_and_the_first_leaves_early() {
    let (source, state) = (temporary(), temporary());
    many(&source.path().join("tree"));
    let (mut scan, _store) = open(&[source.path().join("tree")], state.path());
    let pages = pages(&mut scan);
    let first = Page::decode(&pages[0].encoded).expect("a page");
    assert_eq!(first.entries.len(), 64);
    let paths = paths(&pages);
    assert_eq!(paths.len(), 2_805);
    let components = |path: &String| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    assert!(paths.is_sorted_by_key(components));
}

/// A scan that is cut off after any page goes on behind it, with the same numbers, and a complete one is not repeated.
#[test]
fn a_scan_goes_on_where_it_stopped() {
    let (source, whole) = (temporary(), temporary());
    let tree = source.path().join("tree");
    many(&tree);
    let expected = pages(&mut open(std::slice::from_ref(&tree), whole.path()).0);
    for stop in 1..=expected.len() {
        let state = temporary();
        let (mut scan, store) = open(std::slice::from_ref(&tree), state.path());
        for _ in 0..stop {
            assert!(matches!(scan.next_report(), Some(ScanReport::Page(_))));
        }
        drop((scan, store));
        let (mut scan, _store) = open(std::slice::from_ref(&tree), state.path());
        let again = pages(&mut scan);
        assert_eq!(again[..stop], expected[..stop], "stopped after {stop}");
        assert_eq!(paths(&again), paths(&expected), "stopped after {stop}");
    }
}

/// The pages of a scan, and what it left out.
fn pages_and_skipped(
    scan: &mut rejoin::store::Scan<OsDirectory>,
) -> (Vec<StoredPage>, Vec<String>) {
    let (mut pages, mut skipped) = (Vec::new(), Vec::new());
    while let Some(report) = scan.next_report() {
        match report {
            ScanReport::Page(page) => pages.push(page),
            ScanReport::LeftOut(left_out) => skipped.push(name_of(&left_out)),
            ScanReport::End { .. } => {}
            ScanReport::Failed(error) => panic!("{error}"),
        }
    }
    (pages, skipped)
}

/// What a page says that superseding entries say otherwise, by path.
fn superseding(pages: &[StoredPage]) -> Vec<(String, Option<u64>)> {
    let mut table = DirectoryTable::new();
    let mut found = Vec::new();
    for stored in pages {
        let page = Page::decode(&stored.encoded).expect("a page");
        table.add_page(&page);
        for (_, entry) in page.iter() {
            let path = table.path(entry).expect("known");
            found.push((String::from_utf8_lossy(path.as_bytes()).into_owned(), entry.supersedes));
        }
    }
    found
}

/// A run that continues keeps every number, supersedes what changed and adds what is new, run after run; and what it adds
/// passes the check that a receiver makes.
#[test]
fn a_later_run_adds_what_changed_and_renumbers_nothing() {
    let (source, state) = (temporary(), temporary());
    let tree = source.path().join("tree");
    fs::create_dir_all(tree.join("d/e")).expect("made");
    for name in ["d/appended", "d/e/truncated", "same", "kept", "gone", "touched", "was-file"] {
        fs::write(tree.join(name), name.repeat(9)).expect("written");
    }
    std::os::unix::fs::symlink("kept", tree.join("link")).expect("made");
    let roots = std::slice::from_ref(&tree);
    let first = pages(&mut open(roots, state.path()).0);
    assert_eq!(pages(&mut open(roots, state.path()).0), first, "nothing changed");
    let index = |path: &str| {
        superseding(&first).iter().position(|(known, _)| known == path).expect(path) as u64
    };
    let modified = tree.join("same").metadata().expect("there").modified().expect("known");
    fs::write(tree.join("d/appended"), "d/appended".repeat(10)).expect("written");
    fs::write(tree.join("d/e/truncated"), "x").expect("written");
    fs::write(tree.join("same"), "SAME".repeat(9)).expect("written");
    fs::File::options()
        .write(true)
        .open(tree.join("same"))
        .and_then(|file| file.set_modified(modified))
        .expect("set");
    fs::remove_file(tree.join("gone")).expect("removed");
    fs::remove_file(tree.join("link")).expect("removed");
    std::os::unix::fs::symlink("same", tree.join("link")).expect("made");
    fs::remove_file(tree.join("was-file")).expect("removed");
    fs::create_dir(tree.join("was-file")).expect("made");
    fs::write(tree.join("was-file/inside"), "x").expect("written");
    fs::write(tree.join("GONE"), "its name differs by case only").expect("written");
    fs::create_dir(tree.join("new")).expect("made");
    fs::write(tree.join("new/file"), "new").expect("written");
    let (second, skipped) = pages_and_skipped(&mut open(roots, state.path()).0);
    assert!(skipped.is_empty(), "{skipped:?}");
    assert_eq!(second[..first.len()], first[..]);
    let added = superseding(&second)[superseding(&first).len()..].to_vec();
    let expected: Vec<_> = [
        ("tree", true),
        ("tree/GONE", false),
        ("tree/d/appended", true),
        ("tree/d/e/truncated", true),
        ("tree/link", true),
        ("tree/new", false),
        ("tree/new/file", false),
        ("tree/same", true),
        // It is gone, and then there is another.
        ("tree/was-file", true),
    ]
    .into_iter()
    .map(|(path, was_there)| (path.to_owned(), was_there.then(|| index(path))))
    .collect();
    let (changed, rest) = added.split_at(expected.len());
    assert_eq!(changed, expected);
    let end = (superseding(&first).len() + changed.len()) as u64;
    assert_eq!(
        rest,
        [
            ("tree/was-file".to_owned(), Some(end - 1)),
            ("tree/was-file/inside".to_owned(), None),
            ("tree/gone".to_owned(), Some(index("tree/gone"))),
        ]
    );
    // Once more: the later entry of a path is what counts, and the directory that was replaced still holds its children.
    fs::write(tree.join("d/appended"), "again").expect("written");
    fs::write(tree.join("newer"), "newer").expect("written");
    let (third, skipped) = pages_and_skipped(&mut open(roots, state.path()).0);
    assert!(skipped.is_empty(), "{skipped:?}");
    let added = superseding(&third)[superseding(&second).len()..].to_vec();
    let latest = |path: &str| {
        superseding(&second).iter().rposition(|(known, _)| known == path).expect(path) as u64
    };
    assert_eq!(
        added,
        [
            ("tree".to_owned(), Some(latest("tree"))),
            ("tree/d/appended".to_owned(), Some(latest("tree/d/appended"))),
            ("tree/newer".to_owned(), None),
        ]
    );
    let mut check = PageCheck::new();
    for stored in &third {
        let page = Page::decode(&stored.encoded).expect("a page");
        let verdicts = check.check(&page).expect("an honest page");
        assert!(verdicts.iter().all(Result::is_ok));
    }
}

/// A run that continues tells what an earlier one left out, once: its exit code depends on it.
#[test]
fn what_was_left_out_is_told_by_every_run() {
    let source = temporary();
    let tree = source.path().join("tree");
    many(&tree);
    for name in ["twin", "Twin"] {
        fs::write(tree.join(name), "x").expect("written");
    }
    let _sockets =
        ["A-socket", "z-socket"].map(|name| UnixListener::bind(tree.join(name)).expect("bound"));
    let mut expected = Vec::new();
    for stop in 0..100 {
        let state = temporary();
        let (mut scan, store) = open(std::slice::from_ref(&tree), state.path());
        for _ in 0..stop {
            scan.next_report();
        }
        drop((scan, store));
        let (mut scan, _store) = open(std::slice::from_ref(&tree), state.path());
        let mut skipped: Vec<String> = std::iter::from_fn(|| scan.next_report())
            .filter_map(|report| match report {
                ScanReport::LeftOut(left_out) => Some(name_of(&left_out)),
                ScanReport::Page(_) | ScanReport::End { .. } | ScanReport::Failed(_) => None,
            })
            .collect();
        skipped.sort();
        if stop == 0 {
            assert_eq!(skipped, ["A-socket", "z-socket"]);
            expected.clone_from(&skipped);
        }
        assert_eq!(skipped, expected, "stopped after {stop}");
    }
}

#[test]
fn what_cannot_be_sent_is_named() {
    let (source, state) = (temporary(), temporary());
    let tree = source.path().join("tree");
    fs::create_dir(&tree).expect("made");
    for name in [&b"good"[..], b"Twin", b"twin", b"C:bad", b"caf\xc3\xa9", b"cafe\xcc\x81"] {
        fs::write(tree.join(OsStr::from_bytes(name)), "x").expect("written");
    }
    symlink("/etc/passwd", tree.join("out")).expect("made");
    symlink("../..", tree.join("up")).expect("made");
    symlink("good", tree.join("in")).expect("made");
    rustix::fs::mkfifoat(rustix::fs::CWD, tree.join("fifo"), rustix::fs::Mode::RWXU).expect("made");
    let (mut scan, _store) = open(&[tree], state.path());
    let (mut skipped, mut stored) = (Vec::new(), Vec::new());
    while let Some(report) = scan.next_report() {
        match report {
            ScanReport::LeftOut(left_out) => {
                let is_failure = left_out.kind.is_failure();
                skipped.push((name_of(&left_out), left_out.reason, is_failure));
            }
            ScanReport::Page(page) => stored.push(page),
            ScanReport::End { .. } => {}
            ScanReport::Failed(error) => panic!("{error}"),
        }
    }
    skipped.sort();
    let brief: Vec<(&str, bool)> =
        skipped.iter().map(|(path, _, failure)| (path.as_str(), *failure)).collect();
    assert_eq!(brief, [("fifo", false), ("out", true), ("up", true)]);
    // Names that differ by case or composition are two (B-I).
    assert_eq!(paths(&stored).len(), 8, "{:?}", paths(&stored));
}

#[test]
fn paths_have_the_names_that_a_user_expects() {
    let source = temporary();
    let real = source.path().join("real");
    fs::create_dir_all(real.join("in")).expect("made");
    symlink(&real, source.path().join("link")).expect("made");
    let name = |path: PathBuf| {
        let roots = SourceRoots::open(&[path]).expect("a path");
        let names: Vec<_> =
            roots.names().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        names[0].clone()
    };
    assert_eq!(name(source.path().join("real")), "real");
    assert_eq!(name(source.path().join("real/")), "real");
    assert_eq!(name(source.path().join("real/.")), "real");
    assert_eq!(name(source.path().join("real/in/..")), "real");
    assert_eq!(name(source.path().join("link")), "link");
    assert_eq!(name(source.path().join("link/")), "link");
    assert_eq!(name(source.path().join("link/.")), "real");
    assert!(matches!(SourceRoots::open(&[PathBuf::from("/")]), Err(SourceError::NoName { .. })));
    let missing = SourceRoots::open(&[source.path().join("missing")]);
    assert!(matches!(missing, Err(SourceError::Open { .. })));
    fs::create_dir(source.path().join("other")).expect("made");
    fs::write(source.path().join("other/real"), "x").expect("written");
    let Err(error) = SourceRoots::open(&[real, source.path().join("other/real")]) else {
        panic!("the same name twice");
    };
    let text = error.to_string();
    assert!(text.contains("other/real") && text.matches("real").count() >= 2, "{text}");
}

/// B-H, B-Q: what is read is what was promised or what is there now, whole; never one thing for another, and never a part
/// of what has grown before it was offered anew.
#[test]
fn what_is_no_longer_what_was_promised_is_not_read() {
    let (source, state) = (temporary(), temporary());
    let tree = source.path().join("tree");
    fs::create_dir(&tree).expect("made");
    for name in ["gone", "kept", "linked", "longer", "moved", "replaced", "shorter"] {
        fs::write(tree.join(name), name).expect("written");
    }
    fs::write(tree.join("large"), vec![7; 3 << 20]).expect("written");
    let (mut scan, mut store) = open(std::slice::from_ref(&tree), state.path());
    let files = files(&pages(&mut scan));
    let large = files.iter().find(|file| file.stamp.bytes > 99).expect("large").clone();
    let part = |store: &mut SourceStore<OsDirectory>, unit: u64| {
        let request = SourceRequest::ReadPart {
            unit,
            file: large.clone(),
            offset: unit << 20,
            bytes: 1 << 20,
        };
        match store.handle(request) {
            SourceReply::Part { content, stamp, .. } => content.map(|(_, value)| (stamp, value)),
            reply => panic!("{reply:?}"),
        }
    };
    let (before, value) = part(&mut store, 0).expect("read");
    // A hard link moves the stamp, and nothing else.
    fs::hard_link(tree.join("large"), source.path().join("another name")).expect("linked");
    let (after, again) = part(&mut store, 0).expect("read again");
    assert!(before != after && value == again);
    // Same size, same modification time, while the store has it open: a unit that was read is another one now.
    let modified = tree.join("large").metadata().expect("there").modified().expect("known");
    let file = fs::OpenOptions::new().write(true).open(tree.join("large")).expect("there");
    std::os::unix::fs::FileExt::write_all_at(&file, b"x", 2 << 20).expect("written");
    std::os::unix::fs::FileExt::write_all_at(&file, b"x", 9).expect("written");
    file.set_modified(modified).expect("set");
    assert_eq!(part(&mut store, 0), Err(ReadError::Changed));
    assert!(part(&mut store, 1).is_ok());
    file.set_len((1 << 20) + 9).expect("set");
    assert_eq!(part(&mut store, 1), Err(ReadError::Changed));

    fs::write(tree.join("longer"), "longer than it was").expect("written");
    fs::write(tree.join("shorter"), "").expect("written");
    fs::remove_file(tree.join("gone")).expect("removed");
    fs::remove_file(tree.join("linked")).expect("removed");
    symlink("/etc/passwd", tree.join("linked")).expect("made");
    fs::remove_file(tree.join("replaced")).expect("removed");
    rustix::fs::mkfifoat(rustix::fs::CWD, tree.join("replaced"), rustix::fs::Mode::RWXU)
        .expect("made");
    fs::write(tree.join("moved"), "MOVED").expect("written");
    let small: Vec<SourceFile> = files.into_iter().filter(|file| file.stamp.bytes < 99).collect();
    let reply = store.handle(SourceRequest::ReadPack { unit: 9, files: small.clone() });
    let SourceReply::Pack { files, frames, .. } = reply else {
        panic!("{reply:?}");
    };
    let outcomes: Vec<Result<u64, ReadError>> =
        files.into_iter().map(|(_, outcome)| outcome.map(|file| file.bytes)).collect();
    assert_eq!(
        outcomes,
        [
            Err(ReadError::Vanished),
            Ok(4),
            Err(ReadError::Changed),
            Err(ReadError::Changed),
            Ok(5),
            Err(ReadError::Changed),
            Err(ReadError::Changed),
        ]
    );
    assert_eq!(frames.concat(), b"\x02keptMOVED");
    // Another look offers what has a new version; of that one the beginning is sent if it grows on.
    let doubted = |name: &str| {
        let is_it = |file: &&SourceFile| file.path.as_bytes().ends_with(name.as_bytes());
        Doubted { file: small.iter().find(is_it).expect("known").clone(), parent: Some(0) }
    };
    let files = ["longer", "gone", "linked"].map(doubted).to_vec();
    let request = SourceRequest::LookAgain { files: files.clone(), first_entry: 9 };
    let reply = store.handle(request);
    let SourceReply::LookedAgain { page: Ok(Some(stored)), failed } = reply else {
        panic!("{reply:?}");
    };
    let page = Page::decode(&stored.encoded).expect("a page");
    assert_eq!((page.number, page.first_entry, page.entries.len()), (1, 9, 1));
    assert_eq!(page.entries[0].supersedes, Some(files[0].file.entry));
    assert_eq!(page.entries[0].kind, EntryKind::File { bytes: 18 });
    let failed: Vec<ReadError> = failed.into_iter().map(|(_, error)| error).collect();
    assert_eq!(failed, [ReadError::Vanished, ReadError::Changed]);
    fs::write(tree.join("longer"), "longer than it was, and longer").expect("written");
    let file = SourceFile {
        entry: 9,
        path: files[0].file.path.clone(),
        stamp: stored.stamps[0].expect("of a file"),
        is_retried: true,
    };
    let reply = store.handle(SourceRequest::ReadPack { unit: 10, files: vec![file] });
    let SourceReply::Pack { frames, .. } = reply else { panic!("{reply:?}") };
    assert_eq!(frames.concat(), b"\x02longer than it was");
}

#[test]
fn values_are_known_again_after_a_restart() {
    let (source, state) = (temporary(), temporary());
    let tree = source.path().join("tree");
    fs::create_dir(&tree).expect("made");
    fs::write(tree.join("large"), vec![7; 3 << 20]).expect("written");
    fs::write(tree.join("small"), "small").expect("written");
    let (mut scan, mut store) = open(std::slice::from_ref(&tree), state.path());
    let files = files(&pages(&mut scan));
    let (large, small) = (files[0].clone(), files[1].clone());
    let reply = store.handle(SourceRequest::ReadPart {
        unit: 1,
        file: large.clone(),
        offset: 1 << 20,
        bytes: 1 << 20,
    });
    let SourceReply::Part { content: Ok((frames, value)), .. } = reply else {
        panic!("{reply:?}");
    };
    // Nobody shares their memory: the stack takes each over as it is.
    assert!(frames.iter().all(bytes::Bytes::is_unique));
    assert!(frames.iter().all(|frame| frame[0] == 2 && frame.len() <= 1 + BODY_BYTES));
    assert_eq!(frames.len(), (1_usize << 20).div_ceil(BODY_BYTES));
    let pack = vec![small.clone()];
    store.handle(SourceRequest::ReadPack { unit: 3, files: pack });
    drop((scan, store));
    let (_scan, mut store) = open(&[tree], state.path());
    let mut load = |entry, units| match store.handle(SourceRequest::LoadValues { entry, units }) {
        SourceReply::Values { values, .. } => values,
        reply => panic!("{reply:?}"),
    };
    assert_eq!(load(large.entry, 0..3), [None, Some(value), None]);
    assert_eq!(load(large.entry, 1..2), [Some(value)]);
    assert_eq!(load(small.entry, 3..4), [Some(*blake3::hash(b"small").as_bytes())]);
    assert_eq!(load(small.entry + 7, 1..2), [None]);
}

/// B-H: a file that was read and of which only mode or time moved is no new version, run after run; one that was not read, or
/// has other content, is. A later version, and the end of it, are of the file itself.
#[test]
fn newer_metadata_is_no_new_version() {
    let (source, state) = (temporary(), temporary());
    let tree = source.path().join("tree");
    fs::create_dir_all(&tree).expect("made");
    let names = ["large", "other", "read", "unread"];
    for name in ["other", "read", "unread"] {
        fs::write(tree.join(name), name.repeat(9)).expect("written");
    }
    fs::write(tree.join("large"), Random::new(3).bytes(3 * UNIT_BYTES as usize)).expect("written");
    let roots = std::slice::from_ref(&tree);
    let touch = |name: &str, seconds| {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let file = fs::File::options().write(true).open(tree.join(name)).expect("there");
        file.set_modified(time).expect("set");
    };
    // The entries that a run adds.
    let added = |before: usize| {
        let mut check = PageCheck::new();
        let mut entries = Vec::new();
        for stored in pages(&mut open(roots, state.path()).0) {
            let page = Page::decode(&stored.encoded).expect("a page");
            assert!(check.check(&page).expect("an honest page").iter().all(Result::is_ok));
            entries.extend(page.entries.into_iter().zip(stored.stamps));
        }
        entries.split_off(before)
    };
    let (mut scan, mut store) = open(roots, state.path());
    let first = pages(&mut scan);
    let page = Page::decode(&first[0].encoded).expect("a page");
    let file = |name: &str| {
        let at = page.entries.iter().position(|entry| entry.name == name.as_bytes()).expect(name);
        let path = RelativePath::root().join(b"tree").join(name.as_bytes());
        let stamp = first[0].stamps[at].expect("of a file");
        SourceFile { entry: at as u64, path, stamp, is_retried: false }
    };
    let files = vec![file("other"), file("read")];
    store.handle(SourceRequest::ReadPack { unit: 3, files });
    // Of a large one, one unit.
    let bytes = UNIT_BYTES;
    store.handle(SourceRequest::ReadPart { unit: 1, file: file("large"), offset: bytes, bytes });
    drop((scan, store));

    names.iter().for_each(|name| touch(name, 1_000_000_000));
    fs::write(tree.join("other"), "OTHER".repeat(9)).expect("written");
    let second = added(page.entries.len());
    let of = |name: &str| file(name).entry;
    let found: Vec<_> = second
        .iter()
        .map(|(entry, _)| (entry.name.as_slice(), entry.kind.clone(), entry.supersedes))
        .collect();
    let bytes = |name: &str| EntryKind::File { bytes: 9 * name.len() as u64 };
    assert_eq!(
        found,
        [
            (&b"large"[..], EntryKind::Metadata { of: of("large") }, None),
            (b"other", bytes("other"), Some(of("other"))),
            (b"read", EntryKind::Metadata { of: of("read") }, None),
            (b"unread", bytes("unread"), Some(of("unread"))),
        ]
    );
    assert_eq!(second[0].0.modified.seconds, 1_000_000_000);
    let end = page.entries.len() + second.len();
    assert!(added(end).is_empty(), "nothing moved since");

    touch("read", 1_000_000_001);
    let third = added(end);
    assert_eq!(third.len(), 1);
    assert_eq!(third[0].0.kind, EntryKind::Metadata { of: of("read") });
    fs::write(tree.join("large"), "another version").expect("written");
    fs::remove_file(tree.join("read")).expect("removed");
    let fourth: Vec<_> = added(end + 1)
        .into_iter()
        .filter(|(entry, _)| entry.kind != EntryKind::Directory)
        .map(|(entry, _)| (entry.name, entry.kind, entry.supersedes))
        .collect();
    assert_eq!(
        fourth,
        [
            (b"large".to_vec(), EntryKind::File { bytes: 15 }, Some(of("large"))),
            (b"read".to_vec(), EntryKind::Gone, Some(of("read"))),
        ]
    );
}
