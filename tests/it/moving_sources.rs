//! The source does not stand still while it is sent: what arrives is what it was at one moment, whole.
#![cfg(unix)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::process::Signal;

use crate::support::env::{Finished, Running};
use crate::support::pair::{Pair, wait_for_half};
use crate::support::random::Random;
use crate::support::tree::assert_same;

const MIB: usize = 1 << 20;

/// Large enough to be half there when the first small file has its name.
const LARGE: usize = 96 * MIB;

/// Sends `tree`, and does something to it half-way.
#[track_caller]
fn disturbed(pair: &Pair, codes: (i32, i32), disturb: impl FnOnce(&Path)) -> (Finished, Finished) {
    let (sender, receiver) = (pair.sending("tree"), pair.receiving().spawn());
    wait_for_half(&receiver);
    disturb(&pair.path("tree"));
    let receiver = receiver.wait().expect_code(codes.1);
    (sender.wait().expect_code(codes.0), receiver)
}

fn arrived(pair: &Pair, name: &str) -> Vec<u8> {
    fs::read(pair.path("target/tree").join(name)).unwrap()
}

/// Writes content over a file as `cp -p` does, with the modification time that it had.
fn write_over(path: &Path, content: &[u8]) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    fs::write(path, content).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(modified).unwrap();
}

/// Goes on until it is dropped.
struct Busy {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Busy {
    fn start(mut step: impl FnMut() + Send + 'static) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    step();
                    std::thread::yield_now();
                }
            }
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// Appends to a file all the time, in lines.
fn growing(path: PathBuf) -> Busy {
    let mut number = 0_u64;
    Busy::start(move || {
        let mut file = fs::File::options().append(true).open(&path).unwrap();
        number += 1;
        writeln!(file, "a line with the number {number:08}").unwrap();
    })
}

/// B-H: a hard link, a mode, an attribute, a time, an indexer: the content is what it was, and is sent once.
#[test]
fn metadata_that_moves_costs_nothing() {
    let pair = Pair::new();
    let content = fs::read(pair.noise("tree/a-large", 40 * MIB)).unwrap();
    pair.noise("tree/small", 3_000);
    let (sender, receiver) = disturbed(&pair, (0, 0), |tree| {
        let large = tree.join("a-large");
        fs::hard_link(&large, pair.path("another name")).unwrap();
        fs::set_permissions(&large, fs::Permissions::from_mode(0o640)).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        // A file system without attributes has nothing that moves.
        let _ = rustix::fs::setxattr(&large, "user.seen", b"yes", flags);
        for path in [large, tree.join("small")] {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(std::time::SystemTime::now()).unwrap();
        }
    });
    assert!(arrived(&pair, "a-large") == content, "other content");
    for run in [&sender, &receiver] {
        assert_eq!(run.outcome()["bytes"], 40 * MIB + 3_000);
        let moved = run.outcome()["wire_bytes"].as_u64().unwrap();
        assert!(moved <= 41 * MIB as u64, "sent twice: {}", run.outcome());
    }
}

/// B-H: other content of the same size and time, written over it or put in its place, arrives whole or not at all.
#[test]
fn other_content_under_the_same_time_is_never_mixed() {
    for is_renamed in [false, true] {
        let pair = Pair::new();
        let before = fs::read(pair.noise("tree/large", 40 * MIB)).unwrap();
        let after = Random::new(5).bytes(40 * MIB);
        disturbed(&pair, (0, 0), |tree| {
            let large = tree.join("large");
            if is_renamed {
                let modified = fs::metadata(&large).unwrap().modified().unwrap();
                let other = pair.home.file("other", &after);
                fs::File::options()
                    .write(true)
                    .open(&other)
                    .unwrap()
                    .set_modified(modified)
                    .unwrap();
                fs::rename(other, large).unwrap();
            } else {
                write_over(&large, &after);
            }
        });
        let found = arrived(&pair, "large");
        // Met while it was being written, it is a file that grows; one that was put in place is whole.
        let is_one = found == before || found == after;
        assert!(is_one || (!is_renamed && after.starts_with(&found)), "mixed ({is_renamed})");
    }
}

/// B-Q: one byte in what was sent already, and nothing else.
#[test]
fn a_change_behind_what_was_read_is_noticed() {
    let pair = Pair::new();
    let mut content = fs::read(pair.noise("tree/large", 40 * MIB)).unwrap();
    disturbed(&pair, (0, 0), |tree| {
        let file = fs::File::options().write(true).open(tree.join("large")).unwrap();
        file.write_all_at(b"changed", 5).unwrap();
    });
    content[5..12].copy_from_slice(b"changed");
    assert!(arrived(&pair, "large") == content, "not what is there now");
}

/// B-Q: logs that grow all the time arrive as they were at one moment.
#[test]
fn what_grows_all_the_time_arrives() {
    let pair = Pair::new();
    pair.home.file("tree/small.log", "first\n");
    pair.noise("tree/large.log", 24 * MIB);
    let busy = [growing(pair.path("tree/small.log")), growing(pair.path("tree/large.log"))];
    let (sender, receiver) = pair.transfer("tree", &["-y"], (0, 0));
    drop(busy);
    for name in ["small.log", "large.log"] {
        let (found, whole) =
            (arrived(&pair, name), fs::read(pair.path("tree").join(name)).unwrap());
        assert!(!found.is_empty() && whole.starts_with(&found), "{name} is no beginning");
    }
    for run in [sender, receiver] {
        let done = run.outcome();
        assert_eq!((&done["files"], &done["failed_files"]), (&2.into(), &0.into()), "{done}");
    }
}

/// B-Q: what is shorter now, or was made anew, is offered again within the run.
#[test]
fn what_is_truncated_arrives_as_it_is_now() {
    for is_written_again in [false, true] {
        let pair = Pair::new();
        pair.noise("tree/a-large", 40 * MIB);
        pair.noise("tree/b-large", 4 * MIB);
        let now = Random::new(9).bytes(30 * MIB);
        disturbed(&pair, (0, 0), |tree| {
            let file = fs::File::options().write(true).open(tree.join("a-large")).unwrap();
            file.set_len(10).unwrap();
            if is_written_again {
                file.write_all_at(&now, 0).unwrap();
            }
        });
        let whole = fs::read(pair.path("tree/a-large")).unwrap();
        // Met while it was being written, it is a file that grows.
        let found = arrived(&pair, "a-large");
        assert!(whole.starts_with(&found) && found.len() >= 10, "again: {is_written_again}");
        assert!(is_written_again || found == whole, "not what is there now");
        assert_eq!(arrived(&pair, "b-large"), fs::read(pair.path("tree/b-large")).unwrap());
    }
}

/// B-Q: what never stands still arrives as it was at one moment, or is listed on both sides after a few tries; the rest
/// arrives.
#[test]
fn what_never_stands_still_is_never_mixed() {
    let pair = Pair::new();
    let path = pair.noise("tree/a-large", 3 * MIB);
    pair.noise("tree/b-large", 3 * MIB);
    let file = fs::File::options().write(true).open(path).unwrap();
    let end = 3 * MIB as u64 - 8;
    let mut number = 0_u64;
    let mut write = move || {
        number += 1;
        // First at its beginning, then at its end.
        for offset in [0, end] {
            file.write_all_at(&number.to_le_bytes(), offset).unwrap();
        }
    };
    write();
    let busy = Busy::start(write);
    let sender = pair.sending("tree");
    let receiver = pair.receiving().run();
    let sender = sender.wait();
    drop(busy);
    assert_eq!(sender.code(), receiver.code());
    assert_eq!(arrived(&pair, "b-large").len(), 3 * MIB);
    if sender.code() == 0 {
        let found = arrived(&pair, "a-large");
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        let (first, last) = (number(&found[..8]), number(&found[3 * MIB - 8..]));
        assert!(first == last || first == last + 1, "a mixture of {first} and {last}");
        return;
    }
    for run in [sender.expect_code(6), receiver] {
        assert_eq!(run.files("changed"), ["tree/a-large"], "{}", run.stdout);
    }
    assert!(!pair.path("target/tree/a-large").exists(), "what is listed arrived");
}

/// B-Q: a directory is away in one run, or has a file in its place, and is back in the next: as where a disk is not mounted
/// for a while.
#[test]
fn what_was_away_in_one_run_is_back_in_the_next() {
    for is_replaced in [false, true] {
        let pair = Pair::new();
        pair.home.file("tree/d/e/x", "hello");
        pair.home.file("tree/d/y", "there");
        pair.noise("tree/z-large", 96 * MIB);
        let (directory, away) = (pair.path("tree/d"), pair.path("away"));
        let interrupt = |sender: Running| {
            sender.event_where("the whole manifest", |event| {
                event["event"] == "manifest" && event["complete"] == true
            });
            let receiver = pair.receiving().spawn();
            wait_for_half(&receiver);
            for run in [sender, receiver] {
                run.signal(Signal::KILL);
                run.wait();
            }
        };
        interrupt(pair.sending("tree"));
        fs::rename(&directory, &away).unwrap();
        if is_replaced {
            fs::write(&directory, "a file").unwrap();
        }
        interrupt(pair.send(["--json", "tree"]).spawn());
        if is_replaced {
            fs::remove_file(&directory).unwrap();
        }
        fs::rename(&away, &directory).unwrap();
        let sender = pair.send(["--json", "tree"]).spawn();
        pair.receiving().run().expect_code(0);
        sender.wait().expect_code(0);
        assert_same(&pair.path("tree"), &pair.path("target/tree"));
    }
}

/// The file of that name somewhere below.
fn find(directory: &Path, name: &str) -> PathBuf {
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for found in fs::read_dir(directory).unwrap() {
            let path = found.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.file_name().is_some_and(|found| found == name) {
                return path;
            }
        }
    }
    panic!("no {name}");
}

/// Moves what a file has besides its content: its time, its mode, or both.
fn touch(path: &Path, mode: Option<u32>, is_timed: bool) {
    if is_timed {
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_234_567_890, 123_456_789);
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
    if let Some(mode) = mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[track_caller]
fn assert_same_metadata(source: &Path, target: &Path) {
    let of = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        (metadata.permissions().mode() & 0o777, metadata.modified().unwrap())
    };
    assert_eq!(of(target), of(source), "{}", target.display());
    assert!(fs::read(target).unwrap() == fs::read(source).unwrap(), "other content");
}

/// Sends `tree` until a file has its name and a large one some units; then both sides are killed.
fn half_sent(pair: &Pair) {
    let (sender, receiver) = (pair.sending("tree"), pair.receiving().spawn());
    receiver.event_where("of a file", |event| event["event"] == "file");
    receiver.event_where("of progress", |event| {
        event["event"] == "progress" && event["bytes"].as_u64().unwrap() > 8 * MIB as u64
    });
    sender.signal(Signal::KILL);
    receiver.signal(Signal::KILL);
    sender.wait();
    receiver.wait();
}

/// B-H: between two runs a mode or a time moves, of what is half there and of what is complete, and once more: nothing comes
/// again, and both have the newest in the end.
#[test]
fn metadata_that_moves_between_runs_costs_nothing() {
    for (mode, is_timed) in [(Some(0o604), false), (None, true), (Some(0o640), true)] {
        let pair = Pair::new();
        pair.noise("tree/a-small", 3_000);
        pair.noise("tree/large", LARGE);
        half_sent(&pair);
        let paths = [pair.path("tree/a-small"), pair.path("tree/large")];
        paths.iter().for_each(|path| touch(path, mode, is_timed));
        // Its scan is over before anybody asks for it.
        let sender = pair.sending("tree");
        sender.event_where("of the whole manifest", |event| {
            event["event"] == "manifest" && event["complete"] == true
        });
        sender.signal(Signal::KILL);
        sender.wait();
        touch(&paths[0], Some(0o600), false);
        let (sender, receiver) = pair.transfer("tree", &["-y"], (0, 0));
        let done = receiver.outcome();
        let figure = |name: &str| usize::try_from(done[name].as_u64().unwrap()).unwrap();
        assert!(figure("kept_bytes") >= 4 * MIB, "{done}");
        assert!(figure("wire_bytes") + figure("kept_bytes") <= LARGE + 3_000 + 4 * MIB, "{done}");
        assert_eq!((figure("bytes"), figure("files")), (LARGE + 3_000, 2), "{done}");
        assert_eq!(sender.outcome()["bytes"], LARGE + 3_000);
        for name in ["a-small", "large"] {
            assert_same_metadata(
                &pair.path("tree").join(name),
                &pair.path("target/tree").join(name),
            );
        }
    }
}

/// B-H: metadata moves between two runs, and the content between the next two: the later version comes whole.
#[test]
fn another_version_after_newer_metadata_arrives() {
    let pair = Pair::new();
    pair.noise("tree/a-small", 3_000);
    let large = pair.noise("tree/large", LARGE);
    half_sent(&pair);
    touch(&large, Some(0o640), true);
    killed_half_way(&pair);
    fs::File::options().write(true).open(&large).unwrap().write_at(b"another", 5).unwrap();
    fs::write(pair.path("tree/a-small"), "shorter").unwrap();
    pair.transfer("tree", &["-y"], (0, 0));
    for name in ["a-small", "large"] {
        assert_same_metadata(&pair.path("tree").join(name), &pair.path("target/tree").join(name));
    }
}

/// Sends `tree` until some of it went over; then both sides are killed.
fn killed_half_way(pair: &Pair) {
    let (sender, receiver) = (pair.sending("tree"), pair.receiving().spawn());
    wait_for_half(&receiver);
    sender.signal(Signal::KILL);
    receiver.signal(Signal::KILL);
    sender.wait();
    receiver.wait();
}

/// B-H: the sender's memory of a unit is lost, as power loss may do, and the unit is another one since: it cannot know that the
/// receiver has two versions. The file comes anew, once.
#[test]
fn a_file_of_two_versions_is_fetched_anew() {
    let pair = Pair::new();
    let large = pair.noise("tree/large", 40 * MIB);
    killed_half_way(&pair);
    let mut content = fs::read(&large).unwrap();
    content[MIB + 5] ^= 1;
    write_over(&large, &content);
    // 40 bytes a unit; this is the second one.
    let values = find(&pair.path("state-send"), "values");
    fs::File::options().write(true).open(values).unwrap().write_at(&[0; 40], 40).unwrap();
    let (_, receiver) = pair.transfer("tree", &["-y"], (0, 0));
    assert_same_metadata(&large, &pair.path("target/tree/large"));
    assert_eq!(receiver.outcome()["files"], 1, "{}", receiver.stdout);
}

/// B-Q: a directory was a file for one run, and arrived as one: what is in the directory that it is again arrives, too.
#[test]
fn a_directory_that_arrived_as_a_file_arrives_as_a_directory() {
    let pair = Pair::new();
    pair.home.file("tree/d/e/x", "hello");
    pair.home.file("tree/d/y", "there");
    pair.noise("tree/z-large", 96 * MIB);
    let (directory, away) = (pair.path("tree/d"), pair.path("away"));
    let killed = |run: Running| {
        run.signal(Signal::KILL);
        run.wait();
    };
    let scanned = |sender: Running| {
        sender.event_where("the whole manifest", |event| {
            event["event"] == "manifest" && event["complete"] == true
        });
        sender
    };
    killed(scanned(pair.sending("tree")));
    fs::rename(&directory, &away).unwrap();
    fs::write(&directory, "a file").unwrap();
    let sender = scanned(pair.sending("tree"));
    let receiver = pair.receiving().spawn();
    receiver.event_where("the file", |event| event["event"] == "file" && event["path"] == "tree/d");
    [sender, receiver].into_iter().for_each(killed);
    fs::remove_file(&directory).unwrap();
    fs::rename(&away, &directory).unwrap();
    let sender = pair.send(["--json", "tree"]).spawn();
    let receiver = pair.receiving().run();
    assert_eq!((receiver.code(), sender.wait().code()), (0, 0), "{}", receiver.stdout);
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
}
