//! Trees as they are: what is left out is told by both ends, arguments are what they point at, what is ours is not sent.
#![cfg(target_os = "linux")]
#![allow(dead_code, unused_imports, reason = "helpers come before the tests that need them")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode};

use crate::support::lab::disk::Mount;
use crate::support::lab::or_skip;
use crate::support::lab::outcome::{Ends, Meeting, figure};
use crate::support::lab::wrapped::{as_nobody, give_to_nobody};
use crate::support::pair::{CODE, Pair, wait_for_half};
use crate::support::tree::{assert_same, assert_same_content, describe, set_mtime};

const MIB: usize = 1 << 20;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn fifo(path: &Path) {
    rustix::fs::mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
}

/// B-A (row 1): links that cannot be kept are told by both ends, which end alike; the second run says the same.
#[test]
fn links_that_are_left_out_are_told_by_both() {
    let pair = Pair::new();
    pair.noise("tree/file", 1000);
    pair.noise("tree/d/e/f", 10);
    let links = [
        ("absolute", "/etc/hostname"),
        ("escaping", "../../outside"),
        ("through", "d/../../tree/file"),
        ("inner", "d/e/f"),
        ("dangling", "nothing"),
        ("itself", "itself"),
        ("d/up", ".."),
    ];
    for (name, to) in links {
        symlink(to, pair.path("tree").join(name)).unwrap();
    }
    let meeting = Meeting::new(&pair, "tree", "target");
    let told = meeting.run().expect(6);
    assert!(told.contains(&"tree/absolute".to_owned()), "{told:?}");
    assert!(told.contains(&"tree/escaping".to_owned()), "{told:?}");
    assert!(!told.iter().any(|path| path.ends_with("inner") || path.ends_with("dangling")));
    for (name, to) in links {
        let there = fs::read_link(pair.path("target/tree").join(name)).ok();
        let is_told = told.contains(&format!("tree/{name}"));
        assert_eq!(there.as_deref(), (!is_told).then_some(Path::new(to)), "{name}");
    }
    let again = meeting.sending(&["--new"]).run();
    assert_eq!(again.expect(6), told);
    assert_eq!(again.figure("wire_bytes"), 0);
}

/// B-A (row 2): what is neither file, directory nor link has a line at both ends and is no failure.
#[test]
fn special_files_have_a_line_at_both_ends() {
    let pair = Pair::new();
    pair.noise("tree/file", 1000);
    fifo(&pair.path("tree/fifo"));
    let _listener = UnixListener::bind(pair.path("tree/socket")).unwrap();
    let mut expected = vec!["tree/fifo", "tree/socket"];
    // A device needs root.
    let device = rustix::fs::makedev(1, 3);
    let path = pair.path("tree/device");
    if rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::RUSR, device).is_ok() {
        expected.insert(0, "tree/device");
    }
    let ends = Meeting::new(&pair, "tree", "target").run();
    assert_eq!(ends.expect(0), expected);
    for end in [&ends.sender, &ends.receiver] {
        let done = end.outcome();
        assert_eq!(figure(end, "skipped_files"), expected.len() as u64, "{done}");
        assert_eq!(figure(end, "failed_files"), 0, "{done}");
        let events = end.events();
        let lines = events.iter().filter(|event| event["event"] == "file");
        let missing: Vec<_> = lines.filter(|event| event["status"] == "missing").collect();
        assert_eq!(missing.len(), expected.len(), "{}", end.stdout);
        assert!(
            missing.iter().all(|event| !event["error"].as_str().unwrap_or_default().is_empty())
        );
    }
}

/// B-A (row 103): files and directories that the sender may not read, seen by the receiver.
#[test]
fn what_the_sender_may_not_read_is_told_by_both() {
    let pair = Pair::new();
    for name in ["tree/open/a", "tree/secret", "tree/closed/b", "tree/deep/er/closed/c"] {
        pair.noise(name, 1000);
    }
    give_to_nobody(pair.home.path());
    for (name, mode) in [("tree/secret", 0), ("tree/closed", 0), ("tree/deep/er/closed", 0o311)] {
        chmod(&pair.path(name), mode);
    }
    let nobody = or_skip!(as_nobody());
    let meeting = Meeting::new(&pair, "tree", "target").both_through(&nobody);
    let ends = meeting.run();
    assert_eq!(ends.expect(6), ["tree/closed", "tree/deep/er/closed", "tree/secret"]);
    assert_same(&pair.path("tree/open"), &pair.path("target/tree/open"));
    // Once it may be read, it arrives.
    for name in ["tree/secret", "tree/closed", "tree/deep/er/closed"] {
        chmod(&pair.path(name), 0o755);
    }
    meeting.sending(&["--new"]).run().expect_all();
    assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
}

/// B-A: a person at the receiver reads what is missing, and how it ended.
#[test]
fn a_person_at_the_receiver_reads_what_is_missing() {
    let pair = Pair::new();
    pair.noise("tree/file", 1000);
    symlink("/etc/hostname", pair.path("tree/absolute")).unwrap();
    let sender = pair.sending("tree");
    let receiver = pair.receive(["-y", "-o", "target", CODE]).run().expect_code(6);
    sender.wait().expect_code(6);
    assert!(receiver.stderr.contains("tree/absolute"), "{}", receiver.stderr);
}

/// B-A (row 100): a tree that is mounted into itself ends, and both ends know where.
#[test]
fn a_tree_mounted_into_itself_is_noticed_by_both() {
    let pair = Pair::new();
    pair.noise("tree/file", 1000);
    fs::create_dir(pair.path("tree/inside")).unwrap();
    let _mount = or_skip!(Mount::bind(&pair.path("tree"), &pair.path("tree/inside")));
    let told = Meeting::new(&pair, "tree", "target").run().expect(6);
    assert!(told.iter().all(|path| path.starts_with("tree/inside")), "{told:?}");
    assert!(!told.is_empty());
    assert_same(&pair.path("tree/file"), &pair.path("target/tree/file"));
}

/// B-J (row 7): a link that is named is what it points at, under its own name.
#[test]
fn a_link_that_is_named_is_followed() {
    let pair = Pair::new();
    pair.noise("real/file", 3000);
    pair.noise("real/inner/x", 10);
    fs::create_dir(pair.path("links")).unwrap();
    symlink("../real/file", pair.path("links/file")).unwrap();
    symlink(pair.path("real"), pair.path("links/tree")).unwrap();
    symlink("tree", pair.path("links/twice")).unwrap();
    for (at, (link, real)) in
        [("file", "real/file"), ("tree", "real"), ("twice", "real")].into_iter().enumerate()
    {
        let target = format!("target/{at}");
        Meeting::new(&pair, format!("links/{link}"), &target)
            .sending(&["--new"])
            .run()
            .expect_all();
        assert_same(&pair.path(real), &pair.path(&target).join(link));
        assert!(!pair.path(&target).join(link).is_symlink(), "{link}");
    }
}

/// B-J (rows 3, 4): what is no file or directory is refused before a code is printed.
#[test]
fn what_cannot_be_sent_is_refused_before_a_code() {
    let pair = Pair::new();
    pair.noise("file", 10);
    fifo(&pair.path("fifo"));
    let _listener = UnixListener::bind(pair.path("socket")).unwrap();
    symlink("nothing", pair.path("dangling")).unwrap();
    symlink("loop", pair.path("loop")).unwrap();
    symlink("fifo", pair.path("to a fifo")).unwrap();
    for name in
        ["fifo", "socket", "/dev/null", "/dev/zero", "dangling", "loop", "to a fifo", "", "nothing"]
    {
        for others in [&[][..], &["file"]] {
            let first = ["--json", "--code-out", "code"];
            let arguments = first.iter().chain(others).chain(std::iter::once(&name));
            let refused = pair.send(arguments).run();
            let code = refused.code();
            assert!([1, 2, 8].contains(&code), "{name}: {refused:?}");
            assert!(!pair.path("code").exists(), "{name}");
            assert!(!refused.events().iter().any(|event| event["event"] == "code"), "{name}");
        }
    }
}

/// B-J (row 4): a process substitution and stdin by their names either arrive by content or are refused.
#[test]
fn a_pipe_that_is_named_is_never_a_success_without_content() {
    let pair = Pair::new();
    for line in [
        "echo hello | rejoin send --json --code-out code /dev/stdin",
        "echo hello | rejoin send --json --code-out code /proc/self/fd/0",
        "exec 7<fifo; rejoin send --json --code-out code /dev/fd/7",
    ] {
        let _ = fs::remove_file(pair.path("fifo"));
        fifo(&pair.path("fifo"));
        let line = format!("PATH=$PATH:/usr/bin:/bin; (exec 3<>fifo; {line})")
            .replace("exec 7<fifo", "exec 7<>fifo");
        let refused = pair.shell("send", &line).run();
        assert!([1, 2, 8].contains(&refused.code()), "{line}: {refused:?}");
        assert!(!pair.path("code").exists(), "{line}");
    }
}

/// B-O (row 25): the state directory in use is no content, wherever it is in the tree.
#[test]
fn state_in_the_tree_is_not_sent() {
    for state in ["tree/.local/state/rejoin", "tree/deep/er/s"] {
        let pair = Pair::new();
        pair.noise("tree/file", 1000);
        let sender = pair
            .send(["--json", "--code", CODE, "tree"])
            .env("REJOIN_STATE_DIR", pair.path(state))
            .spawn();
        sender.event_where("code", |event| event["event"] == "code");
        let receiver = pair.receiving().run();
        let ends = Ends { receiver, sender: sender.wait() };
        let told = ends.expect(0);
        assert!(
            told.iter().all(|path| path == state || path.starts_with(&format!("{state}/"))),
            "{told:?}"
        );
        assert!(!pair.path("target").join(state).join("sessions").exists());
        let sent = ends.sender.files("sent");
        assert_eq!(sent, ["tree/file"]);
    }
}

/// B-O (row 78): what an unfinished receive keeps in a tree is no content.
#[test]
fn an_unfinished_receive_in_the_tree_is_not_sent() {
    let pair = Pair::new();
    pair.noise("large", 40 * MIB);
    fs::create_dir_all(pair.path("tree/inbox")).unwrap();
    pair.noise("tree/file", 1000);
    let unfinished = Meeting::new(&pair, "large", "tree/inbox");
    let sender = unfinished.sender();
    let receiver = unfinished.receiver();
    wait_for_half(&receiver);
    receiver.kill_after(std::time::Duration::ZERO);
    sender.kill_after(std::time::Duration::ZERO);
    assert!(pair.path("tree/inbox/.rejoin").exists());
    let ends = Meeting::new(&pair, "tree", "target").sending(&["--new"]).run();
    assert_eq!(ends.expect(0), ["tree/inbox/.rejoin"]);
    assert_eq!(ends.receiver.files("received"), ["tree/file"]);
    assert!(
        pair.path("target/tree/inbox").exists() && !pair.path("target/tree/inbox/.rejoin").exists()
    );
}

/// B-O: a session does not meet itself where source and target are one tree.
#[test]
fn a_target_inside_the_source_does_not_end_in_itself() {
    let pair = Pair::new();
    pair.noise("tree/file", 3 * MIB);
    fs::create_dir(pair.path("tree/copy")).unwrap();
    let ends = Meeting::new(&pair, "tree", "tree/copy").run();
    assert_eq!(ends.receiver.code(), 0, "{}", ends.receiver.stderr);
    assert!(!pair.path("tree/copy/tree/copy/.rejoin").exists());
    assert_same(&pair.path("tree/file"), &pair.path("tree/copy/tree/file"));
}

/// I-08: a tree that is received where it is sent from, on one machine, is all there already, and stays as it is, whatever is to become
/// of what is in the way.
#[test]
fn a_tree_that_is_sent_onto_itself_stays() {
    for policy in ["fail", "overwrite", "rename"] {
        let pair = Pair::new();
        pair.noise("tree/large", 3 * MIB);
        pair.home.file("tree/below/small", "small");
        std::os::unix::fs::symlink("below/small", pair.path("tree/link")).unwrap();
        let before = describe(&pair.path("tree"));
        let meeting = Meeting::new(&pair, "tree", ".").receiving(&["--on-conflict", policy]);
        let ends = meeting.run();
        assert_eq!(ends.receiver.code(), 0, "{policy}: {}", ends.receiver.stdout);
        assert_eq!(ends.sender.code(), 0, "{policy}: {}", ends.sender.stdout);
        assert_eq!(describe(&pair.path("tree")), before, "{policy}");
        assert!(!pair.path(".rejoin").exists());
    }
}

/// B-M (row 40): many arguments of many directories do not use up the descriptors.
#[test]
fn descriptors_are_counted_for_the_process() {
    let pair = Pair::new();
    let mut sources = Vec::new();
    for at in 0..40 {
        for inner in 0..12 {
            pair.home.file(&format!("p{at}/t{at}/d{inner}/f"), format!("{at} {inner}"));
        }
        sources.push(format!("p{at}/t{at}"));
    }
    let limited = ["/bin/sh", "-c", "ulimit -n 128; exec \"$@\"", "sh"];
    let limited = limited.map(std::ffi::OsString::from).to_vec();
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    let meeting = Meeting::new(&pair, sources[0], "target").sending(&sources[1..]);
    meeting.both_through(&limited).run().expect_all();
    for at in 0..40 {
        assert_same(&pair.path(&format!("p{at}/t{at}")), &pair.path(&format!("target/t{at}")));
    }
}

/// B-M: a deep tree, and files of many directories as arguments, with few descriptors at either end.
#[test]
fn few_descriptors_are_enough_for_deep_trees_and_many_arguments() {
    let limited = ["/bin/sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"];
    let limited = limited.map(std::ffi::OsString::from).to_vec();
    let pair = Pair::new();
    let mut path = "deep".to_owned();
    for at in 0..90 {
        pair.home.file(&format!("{path}/file"), format!("{at}"));
        pair.home.file(&format!("{path}/beside/file"), format!("{at}"));
        path.push_str("/d");
    }
    let files: Vec<String> = (0..80).map(|at| format!("many/{at}/in/file{at}")).collect();
    for file in &files {
        pair.home.file(file, file);
    }
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let meeting = Meeting::new(&pair, "deep", "target").sending(&files);
    meeting.clone().receiver_through(limited.clone()).run().expect_all();
    assert_same(&pair.path("deep"), &pair.path("target/deep"));
    let again = meeting.sending(&["--new"]).sender_through(limited).run();
    again.expect_all();
    assert_eq!(again.figure("wire_bytes"), 0);
}

/// B-S (row 11): below a directory that may be searched and not read, on either side.
#[test]
fn a_directory_that_may_only_be_searched_is_passed_through() {
    let pair = Pair::new();
    pair.noise("source/file", 1000);
    pair.noise("source/tree/x", 1000);
    fs::create_dir_all(pair.path("goal/in")).unwrap();
    give_to_nobody(pair.home.path());
    for name in ["source", "goal"] {
        std::os::unix::fs::chown(pair.path(name), Some(0), Some(0)).unwrap();
        chmod(&pair.path(name), 0o711);
    }
    let nobody = or_skip!(as_nobody());
    let meeting = Meeting::new(&pair, "source/file", "goal/in").sending(&["source/tree"]);
    meeting.both_through(&nobody).run().expect_all();
    assert_same(&pair.path("source/file"), &pair.path("goal/in/file"));
    assert_same(&pair.path("source/tree"), &pair.path("goal/in/tree"));
    // By a working directory that cannot be listed, too.
    let sender = pair
        .send(["--json", "--code", CODE, "--new", "file"])
        .within(&pair.path("source"))
        .through(nobody.clone())
        .spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let receiver = pair.receive(["--json", "-y", "-o", "target", CODE]).through(nobody).run();
    receiver.expect_code(0);
    sender.wait().expect_code(0);
}

/// B-X (row 22): the same size and time is not the same content: it is said to be compared by that, and `--checksum` compares.
#[test]
fn what_was_not_read_is_not_called_verified() {
    let pair = Pair::new();
    pair.home.file("tree/v", "AAAA");
    pair.home.file("tree/same", "SAME");
    for (name, content) in [("v", "BBBB"), ("same", "SAME")] {
        let there = pair.home.file(&format!("target/tree/{name}"), content);
        for path in [pair.path("tree").join(name), there] {
            set_mtime(&path, 1_600_000_000, 0);
        }
    }
    let meeting = Meeting::new(&pair, "tree", "target").sending(&["--new"]);
    let ends = meeting.run();
    ends.expect_all();
    for end in [&ends.sender, &ends.receiver] {
        assert_eq!(end.outcome()["verified"], false, "{}", end.outcome());
    }
    let compared = meeting.clone().receiving(&["--checksum"]).run();
    assert_eq!(compared.expect(7), ["tree/v"]);
    let replaced = meeting.clone().receiving(&["--checksum", "--overwrite"]).run();
    replaced.expect_all();
    assert_eq!(replaced.receiver.outcome()["verified"], true);
    assert_eq!(fs::read(pair.path("target/tree/v")).unwrap(), b"AAAA");
    let again = meeting.receiving(&["--checksum"]).run();
    again.expect_all();
    assert_eq!(again.receiver.outcome()["verified"], true);
    assert_eq!(again.figure("wire_bytes"), 0);
}
