//! Trees as they are: what is left out is told by both ends, arguments are what they point at, content decides.
#![cfg(target_os = "linux")]
#![allow(dead_code, unused_imports, reason = "helpers come before the tests that need them")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode};

use crate::support::env::{From, Running};
use crate::support::lab::disk::Mount;
use crate::support::lab::or_skip;
use crate::support::lab::outcome::{Meeting, figure, left_out};
use crate::support::lab::wrapped::{as_nobody, give_to_nobody};
use crate::support::pair::{CODE, Pair, wait_for_half};
use crate::support::tree::{assert_same, set_mtime};

const MIB: usize = 1 << 20;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn fifo(path: &Path) {
    rustix::fs::mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
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

/// Waits until content flows, so that the source can be touched under way.
fn under_way(meeting: &Meeting) -> (Running, Running) {
    let sender = meeting.sender();
    let receiver = meeting.receiver();
    wait_for_half(&receiver);
    (sender, receiver)
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

/// A person who waits reads what the sender's screen says.
fn says(run: &Running, text: &str) -> String {
    run.line_with(From::Stderr, text)
}
