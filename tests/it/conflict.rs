//! What is in the way: existing files, a missing answer, a full disk. Nothing of the user's is lost.
#![cfg(unix)]

use std::fs;

use crate::support::env::Finished;
use crate::support::pair::{CODE, Pair};
use crate::support::tree::{Tree, assert_same, describe, set_mtime};

/// A tree of three files, of which the target has another `docs/note`.
fn with_older_note() -> Pair {
    let pair = Pair::new();
    pair.noise("docs/first", 70_000);
    pair.home.file("docs/note", "the new one");
    pair.noise("docs/sub/last", 3000);
    pair.home.file("target/docs/note", "the user's own");
    pair
}

fn note(pair: &Pair) -> String {
    fs::read_to_string(pair.path("target/docs/note")).unwrap()
}

/// What is in the target; its own time of modification is nobody's.
fn below(pair: &Pair) -> Tree {
    let mut tree = describe(&pair.path("target"));
    tree.remove("");
    tree
}

fn assert_rest_is_there(pair: &Pair) {
    for name in ["first", "sub/last"] {
        assert_same(&pair.path("docs").join(name), &pair.path("target/docs").join(name));
    }
}

#[test]
fn an_existing_file_that_differs_stays_and_is_listed() {
    let pair = with_older_note();
    let (sender, receiver) = pair.transfer("docs", &["-y"], (7, 7));
    assert_eq!(note(&pair), "the user's own");
    assert_rest_is_there(&pair);
    assert_eq!(receiver.files("failed"), ["docs/note"]);
    let done = receiver.outcome();
    assert_eq!(
        (&done["event"], &done["exit"], &done["failed_files"]),
        (&"done".into(), &7.into(), &1.into())
    );
    assert_eq!(done["verified"], false);
    assert_eq!(sender.outcome()["failed_files"], 1);
}

#[test]
fn a_person_reads_which_file_stayed() {
    let pair = with_older_note();
    let sender = pair.sending("docs");
    let receiver = pair.receive(["-y", "-o", "target", CODE]).run().expect_code(7);
    assert!(receiver.stderr.contains("docs/note"), "{}", receiver.stderr);
    assert_eq!(receiver.stdout, "");
    sender.wait();
}

#[test]
fn skip_keeps_the_existing_file_and_that_is_success() {
    let pair = with_older_note();
    let (_, receiver) = pair.transfer("docs", &["-y", "--on-conflict", "skip"], (0, 0));
    assert_eq!(note(&pair), "the user's own");
    assert_rest_is_there(&pair);
    assert_eq!(receiver.files("skipped"), ["docs/note"]);
}

#[test]
fn overwrite_replaces_the_existing_file() {
    for arguments in [&["-y", "--overwrite"][..], &["-y", "--on-conflict", "overwrite"]] {
        let pair = with_older_note();
        pair.transfer("docs", arguments, (0, 0));
        assert_rest_is_there(&pair);
        assert_same(&pair.path("docs/note"), &pair.path("target/docs/note"));
    }
}

#[test]
fn rename_keeps_both() {
    let pair = with_older_note();
    pair.transfer("docs", &["-y", "--on-conflict", "rename"], (0, 0));
    assert_eq!(note(&pair), "the user's own");
    assert_rest_is_there(&pair);
    let names = fs::read_dir(pair.path("target/docs")).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names.len(), 4, "{names:?}");
    let other = names.iter().find(|name| name.starts_with("note") && *name != "note").unwrap();
    assert_same(&pair.path("docs/note"), &pair.path("target/docs").join(other));
}

#[test]
fn what_is_there_already_is_not_sent_again() {
    let pair = Pair::new();
    let size = 3 << 20;
    for path in ["docs/same", "target/docs/same"] {
        // The same noise in both places, and the same time.
        let file = pair.noise("noise", size);
        fs::create_dir_all(pair.path(path).parent().unwrap()).unwrap();
        fs::rename(file, pair.path(path)).unwrap();
        set_mtime(&pair.path(path), 1_600_000_000, 7);
    }
    pair.noise("docs/other", 1000);
    let (sender, receiver) = pair.transfer("docs", &["-y"], (0, 0));
    assert_eq!(receiver.files("unchanged"), ["docs/same"]);
    assert_eq!(receiver.files("received"), ["docs/other"]);
    for run in [sender, receiver] {
        let done = run.outcome();
        assert_eq!(
            (&done["wire_bytes"], &done["unchanged_files"]),
            (&1000.into(), &1.into()),
            "{}",
            run.stdout
        );
    }
    for name in ["same", "other"] {
        assert_same(&pair.path("docs").join(name), &pair.path("target/docs").join(name));
    }
}

#[test]
fn the_same_send_twice_sends_nothing_the_second_time() {
    let pair = Pair::new();
    pair.noise("docs/a", 2 << 20);
    pair.noise("docs/b", 10);
    pair.transfer("docs", &["-y"], (0, 0));
    let before = below(&pair);
    let sender = pair.send(["--json", "--code", "8-crane-velvet-orbit", "docs"]).spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let receiver =
        pair.receive(["--json", "-y", "-o", "target", "8-crane-velvet-orbit"]).run().expect_code(0);
    sender.wait().expect_code(0);
    assert_eq!(receiver.files("unchanged"), ["docs/a", "docs/b"]);
    assert_eq!(receiver.outcome()["wire_bytes"], 0);
    assert_eq!(below(&pair), before);
}

#[test]
fn without_consent_nothing_is_written() {
    let pair = with_older_note();
    let before = below(&pair);
    let sender = pair.sending("docs");
    let receiver = pair.receive(["--json", "-o", "target", CODE]).run().expect_code(7);
    assert_refused_naming(&receiver, "-y");
    // The sender learns of it and does not wait for ever.
    assert_ne!(sender.wait().code(), 0);
    assert_eq!(note(&pair), "the user's own");
    assert_eq!(below(&pair), before);
}

#[test]
fn limits_refuse_what_they_were_told_to() {
    for limit in [["--max-files", "2"], ["--max-size", "60k"]] {
        let pair = with_older_note();
        let sender = pair.sending("docs");
        let receiver =
            pair.receive(["--json", "-y", "-o", "target", CODE].iter().chain(&limit)).run();
        assert_refused_naming(&receiver.expect_code(7), limit[0]);
        assert_ne!(sender.wait().code(), 0);
        assert!(!pair.path("target/docs/first").exists());
    }
}

#[track_caller]
fn assert_refused_naming(run: &Finished, flag: &str) {
    let error = run.outcome();
    assert_eq!((&error["event"], &error["code"]), (&"error".into(), &"refused".into()));
    let text = format!("{} {}", error["message"], error["hint"]);
    assert!(text.contains(flag), "{text}");
}

/// A small file system of its own; needs root, as the tests of a container have it.
#[cfg(target_os = "linux")]
struct Disk {
    path: std::path::PathBuf,
}

#[cfg(target_os = "linux")]
impl Disk {
    fn mount(path: std::path::PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let is_mounted = mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], &path);
        is_mounted.then_some(Self { path })
    }

    fn grow(&self, size: &str) {
        assert!(mount(&["-o", &format!("remount,size={size}")], &self.path));
    }
}

#[cfg(target_os = "linux")]
impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that failed the test may still be in it.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

#[cfg(target_os = "linux")]
fn mount(arguments: &[&str], path: &std::path::Path) -> bool {
    let status = std::process::Command::new("mount").args(arguments).arg(path).status();
    status.is_ok_and(|status| status.success())
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_keeps_what_it_has_and_goes_on_when_it_has_grown() {
    let pair = Pair::new();
    let Some(disk) = Disk::mount(pair.path("target"), "8m") else {
        eprintln!("NOT TESTED: a full disk, because mounting a tmpfs is not allowed here");
        return;
    };
    pair.noise("docs/a", 5 << 20);
    pair.noise("docs/b", 9 << 20);
    let sender = pair.sending("docs");
    let full = pair.receiving().run().expect_code(8);
    let error = full.outcome();
    assert_eq!((&error["code"], &error["retryable"]), (&"disk".into(), &true.into()));
    assert!(error["resume_command"].is_string(), "{error}");
    assert!(!pair.path("target/docs/b").exists());
    disk.grow("64m");
    let again = pair.receiving().run().expect_code(0);
    let done = again.outcome();
    assert!(done["kept_bytes"].as_u64() >= Some(4 << 20), "{done}");
    sender.wait().expect_code(0);
    assert_same(&pair.path("docs"), &pair.path("target/docs"));
}
