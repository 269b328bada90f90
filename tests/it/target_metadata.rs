//! E: a disk that refuses metadata, syncs or locks gets the content all the same.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::support::env::Finished;
use crate::support::lab::disk::Mount;
use crate::support::lab::or_skip;
use crate::support::lab::wrapped::injecting;
use crate::support::pair::{CODE, Pair};
use crate::support::tree::assert_same_content;

/// Small files with modes of their own, a large one, a link, a directory with a mode.
fn tree(pair: &Pair) {
    pair.noise("tree/large", 3_000_000);
    pair.home.file("tree/sub/small", "content");
    pair.home.file("tree/private", "mine");
    symlink("private", pair.path("tree/link")).unwrap();
    for (name, mode) in [("private", 0o600), ("sub/small", 0o640), ("sub", 0o750)] {
        let path = pair.path("tree").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

fn warnings(run: &Finished) -> Vec<String> {
    let events = run.events().into_iter().filter(|event| event["event"] == "warning");
    let codes = events.map(|event| event["code"].as_str().unwrap().to_owned());
    codes.filter(|code| code != "command_line").collect()
}

/// E (59, 60, 67): whatever call is refused, and however: all content arrives, each end ends with 0, and there is one warning
/// a kind. Locks and syncs are refused for the state directory, too.
#[test]
fn a_refused_call_costs_no_content() {
    for (injections, expected) in [
        (&["fchmod,fchmodat,chmod:error=EPERM"][..], &["modes_not_kept"][..]),
        (&["fchmod:error=EOPNOTSUPP"], &["modes_not_kept"]),
        (&["fchmod:error=ENOSYS"], &["modes_not_kept"]),
        (&["utimensat:error=EPERM"], &["link_times_not_kept", "times_not_kept"]),
        (&["utimensat:error=ENOSYS"], &["link_times_not_kept", "times_not_kept"]),
        (&["fsync,fdatasync:error=EINVAL"], &["nothing_durable"]),
        (&["fsync,fdatasync,syncfs:error=EOPNOTSUPP"], &["nothing_durable"]),
        (&["syncfs:error=ENOSYS"], &[]),
        (&["flock:error=ENOLCK"], &[]),
        (&["flock:error=EOPNOTSUPP"], &[]),
        (&["lseek:error=EINVAL", "renameat2:error=EINVAL", "linkat:error=EPERM"], &[]),
    ] {
        let pair = Pair::new();
        tree(&pair);
        let words = or_skip!(injecting(injections));
        let sender = pair.sending("tree");
        let receiver = pair.receiving().through(words).run();
        assert_eq!(receiver.code(), 0, "{injections:?}: {receiver:?}");
        sender.wait().expect_code(0);
        assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
        let mut warnings = warnings(&receiver);
        warnings.sort();
        assert_eq!(warnings, expected, "{injections:?}");
        assert!(!pair.path("target/.rejoin").exists(), "{injections:?}");
    }
}

/// E: an error of the device is none of the metadata, and stays what it was.
#[test]
fn a_failing_device_is_no_refusal() {
    let pair = Pair::new();
    tree(&pair);
    let words = or_skip!(injecting(&["fchmod:error=EIO"]));
    let sender = pair.sending("tree");
    pair.receiving().through(words).run().expect_code(8);
    sender.signal(rustix::process::Signal::INT);
    sender.wait();
}

/// E (67): a lock that the file system does not have is still one: a second process is told, and what a killed one left
/// is taken over.
#[test]
fn a_lock_without_locks_holds_and_is_taken_over() {
    let pair = Pair::new();
    pair.noise("large", 48_000_000);
    let words = || injecting(&["flock:error=ENOLCK"]);
    or_skip!(words());
    let sender = pair.sending("large");
    let receiver = pair.receiving().through(words().unwrap()).spawn();
    crate::support::pair::wait_for_half(&receiver);
    let second = pair.receive(["--json", "-y", "-o", "target"]).through(words().unwrap()).run();
    assert!(second.code() != 0 && second.stdout.contains("in use"), "{second:?}");
    receiver.kill_after(std::time::Duration::ZERO);
    pair.receive(["--json", "-y", "-o", "target"]).through(words().unwrap()).run().expect_code(0);
    sender.wait().expect_code(0);
    assert_same_content(&pair.path("large"), &pair.path("target/large"));
}

/// E (59): a real file system that refuses modes.
#[test]
fn a_file_system_that_refuses_modes() {
    let pair = Pair::new();
    tree(&pair);
    let mount = or_skip!(Mount::bindfs(&pair.path("target"), &["--chmod-deny"]));
    let sender = pair.sending("tree");
    let out = mount.path().join("out");
    let receiver =
        pair.receive(["--json", "-y", "-o", out.to_str().unwrap(), CODE]).run().expect_code(0);
    sender.wait().expect_code(0);
    assert_eq!(warnings(&receiver), ["modes_not_kept"]);
    assert_same_content(&pair.path("tree"), &out.join("tree"));
}
