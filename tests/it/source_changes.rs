//! The source changes between two runs: its new version arrives, whole, and the rest is not moved again (D-11, A-21).
#![cfg(unix)]

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::pair::{Pair, wait_for_half};
use crate::support::random::Random;
use crate::support::tree::assert_same;

const MIB: usize = 1 << 20;

/// A tree with small files and large ones, of which some are complete and some half there when both sides die.
fn interrupted(pair: &Pair) {
    for index in 0..40 {
        pair.noise(&format!("tree/a/small-{index:02}"), 3_000 + index);
    }
    pair.noise("tree/b-large", 24 * MIB);
    pair.noise("tree/c-large", 24 * MIB);
    pair.noise("tree/z-large", 24 * MIB);
    let (sender, receiver) = (pair.sending("tree"), pair.receiving().spawn());
    wait_for_half(&receiver);
    for run in [sender, receiver] {
        run.signal(Signal::KILL);
        run.wait();
    }
}

fn figure(event: &Value, name: &str) -> usize {
    event[name].as_u64().unwrap_or_else(|| panic!("no {name} in {event}")) as usize
}

/// Continues both sides; the figures of the receiver.
fn continued(pair: &Pair, codes: (i32, i32)) -> Value {
    let sender = pair.send(["--json", "tree"]).spawn();
    let receiver = pair.receiving().run();
    let sender = sender.wait();
    assert!(
        (sender.status.code(), receiver.status.code()) == (Some(codes.0), Some(codes.1)),
        "{sender:?}\n{receiver:?}"
    );
    receiver.outcome()
}

/// Writes other bytes of the same length, and gives the file its old mtime back.
fn replace_silently(path: &Path) {
    let metadata = fs::metadata(path).unwrap();
    fs::write(path, Random::new(77).bytes(metadata.len() as usize)).unwrap();
    fs::File::options()
        .write(true)
        .open(path)
        .and_then(|file| file.set_modified(metadata.modified().unwrap()))
        .unwrap();
}

#[test]
fn what_changed_arrives_in_its_new_version_and_what_did_not_is_kept() {
    let pair = Pair::new();
    interrupted(&pair);
    let tree = pair.path("tree");
    let mut appended = fs::read(tree.join("z-large")).unwrap();
    appended.extend_from_slice(&Random::new(5).bytes(100_000));
    fs::write(tree.join("z-large"), &appended).unwrap();
    fs::File::options().write(true).open(tree.join("c-large")).unwrap().set_len(999).unwrap();
    for index in 0..40 {
        let path = tree.join(format!("a/small-{index:02}"));
        match index % 5 {
            0 => replace_silently(&path),
            1 => fs::write(&path, "shorter").unwrap(),
            _ => {}
        }
    }
    fs::create_dir(tree.join("new")).unwrap();
    fs::write(tree.join("new/file"), "new").unwrap();
    fs::write(tree.join("a/new"), "new").unwrap();
    let done = continued(&pair, (0, 0));
    // At most what changed, and what was missing of `b-large` and before.
    assert!(figure(&done, "wire_bytes") <= 24 * MIB + 24 * MIB + MIB, "{done}");
    assert_same(&tree, &pair.path("target/tree"));
    assert_eq!(fs::read_dir(pair.path("target")).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn a_large_file_of_the_same_size_and_time_is_not_mixed() {
    let pair = Pair::new();
    interrupted(&pair);
    for name in ["b-large", "c-large", "z-large"] {
        replace_silently(&pair.path("tree").join(name));
    }
    continued(&pair, (0, 0));
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
}

/// B, row 79: what is not there any more was not asked for now.
#[test]
fn what_was_removed_or_renamed_between_runs_is_no_failure() {
    let pair = Pair::new();
    interrupted(&pair);
    fs::remove_file(pair.path("tree/z-large")).unwrap();
    fs::remove_file(pair.path("tree/a/small-07")).unwrap();
    let was_there = pair.path("target/tree/a/small-07").exists();
    fs::rename(pair.path("tree/c-large"), pair.path("tree/d-large")).unwrap();
    let done = continued(&pair, (0, 0));
    assert_eq!((figure(&done, "failed_files"), figure(&done, "files")), (0, 41), "{done}");
    assert!(!pair.path("target/tree/z-large").exists());
    // Nobody asked for what is complete to be removed.
    assert_eq!(pair.path("target/tree/a/small-07").exists(), was_there);
    assert_eq!(
        fs::read(pair.path("tree/d-large")).unwrap(),
        fs::read(pair.path("target/tree/d-large")).unwrap()
    );
}

/// B, row 79: a directory in the place of a file, half there or complete, and no `--new`.
#[test]
fn a_file_that_became_a_directory_is_replaced() {
    let pair = Pair::new();
    interrupted(&pair);
    for name in ["z-large", "a/small-05"] {
        let path = pair.path("tree").join(name);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "x").unwrap();
    }
    let done = continued(&pair, (0, 0));
    assert_eq!(figure(&done, "failed_files"), 0, "{done}");
    for name in ["b-large", "c-large", "z-large/inside", "a/small-05/inside", "a/small-07"] {
        assert_eq!(
            fs::read(pair.path("tree").join(name)).unwrap(),
            fs::read(pair.path("target/tree").join(name)).unwrap()
        );
    }
}

/// B-H: a hard link, an attribute, a copy put in its place: what is there of it stays, and nothing moves twice.
#[test]
fn another_inode_or_change_time_between_runs_costs_no_progress() {
    let pair = Pair::new();
    interrupted(&pair);
    let tree = pair.path("tree");
    for name in ["a/small-01", "b-large", "c-large", "z-large"] {
        let path = tree.join(name);
        fs::hard_link(&path, pair.path("another name")).unwrap();
        fs::remove_file(pair.path("another name")).unwrap();
    }
    for name in ["a/small-02", "b-large"] {
        let (path, copy) = (tree.join(name), pair.path("copy"));
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::copy(&path, &copy).unwrap();
        fs::File::options().write(true).open(&copy).unwrap().set_modified(modified).unwrap();
        let times = fs::metadata(tree.join(name).parent().unwrap()).unwrap().modified().unwrap();
        fs::rename(&copy, &path).unwrap();
        fs::File::open(path.parent().unwrap()).unwrap().set_modified(times).unwrap();
    }
    let done = continued(&pair, (0, 0));
    let (moved, kept) = (figure(&done, "wire_bytes"), figure(&done, "kept_bytes"));
    assert!(kept > MIB, "{done}");
    assert!(moved + kept <= figure(&done, "bytes") + MIB, "{done}");
    assert_same(&tree, &pair.path("target/tree"));
}

#[test]
fn a_new_version_overwrites_no_edit_of_the_user() {
    let pair = Pair::new();
    interrupted(&pair);
    // The small files come first: they are there.
    let (here, there) = (pair.path("tree/a/small-03"), pair.path("target/tree/a/small-03"));
    fs::write(&here, "the sender's new version").unwrap();
    fs::write(&there, "the receiver's own edit").unwrap();
    let done = continued(&pair, (7, 7));
    assert_eq!(fs::read(&there).unwrap(), b"the receiver's own edit", "{done}");
}

/// Only the sender is started again: the receiver that waits takes the new version, too.
#[test]
fn a_receiver_that_stays_takes_the_new_version() {
    let pair = Pair::new();
    for index in 0..40 {
        pair.noise(&format!("tree/a/small-{index:02}"), 3_000 + index);
    }
    pair.noise("tree/z-large", 48 * MIB);
    let (sender, receiver) = (pair.sending("tree"), pair.receiving().spawn());
    wait_for_half(&receiver);
    sender.signal(Signal::KILL);
    sender.wait();
    replace_silently(&pair.path("tree/a/small-10"));
    replace_silently(&pair.path("tree/z-large"));
    fs::write(pair.path("tree/new"), "new").unwrap();
    let sender = pair.send(["--json", "tree"]).spawn();
    receiver.wait().expect_code(0);
    sender.wait().expect_code(0);
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
}
