//! B, D: disks that make up modes and owners, and disks that keep times in steps.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::env::Finished;
use crate::support::lab::disk::{Kind, Mount};
use crate::support::lab::or_skip;
use crate::support::lab::wrapped::{as_nobody, give_to_nobody, reachable};
use crate::support::pair::{CODE, Pair, wait_for_half};
use crate::support::tree::{assert_same_content, set_mtime};

/// Files whose times few disks keep exactly.
fn tree(pair: &Pair) {
    for (name, seconds, nanoseconds) in
        [("tree/a", 1_700_000_001, 123_456_789), ("tree/sub/b", 1_600_000_001, 1)]
    {
        set_mtime(&pair.home.file(name, name), seconds, nanoseconds);
    }
    set_mtime(&pair.noise("tree/large", 3_000_000), 1_500_000_003, 999_999_999);
}

fn receive(pair: &Pair, out: &Path, more: &[&str]) -> Finished {
    let out = out.to_str().unwrap();
    pair.receive(["--json", "-y", "-o", out].iter().chain(more)).run()
}

fn codes(run: &Finished) -> Vec<String> {
    let events = run.events().into_iter().filter(|event| event["event"] == "warning");
    events.map(|event| event["code"].as_str().unwrap().to_owned()).collect()
}

/// D (61, 62), B (65): a usual mount of a foreign disk takes a tree, keeps a killed session, and has nothing to do the second
/// time.
#[test]
fn a_foreign_disk_takes_a_tree_and_continues() {
    for kind in [Kind::Ntfs, Kind::NtfsUmask022, Kind::Exfat, Kind::Ext4WholeSeconds] {
        let pair = Pair::new();
        tree(&pair);
        pair.noise("tree/huge", 24_000_000);
        let mount = or_skip!(Mount::new(kind, 100));
        let out = mount.path().join("out");
        let sender = pair.sending("tree");
        let arguments = ["--json", "-y", "-o", out.to_str().unwrap(), CODE];
        let receiver = pair.receive(arguments).spawn();
        wait_for_half(&receiver);
        let killed = receiver.kill_after(std::time::Duration::ZERO);
        let is_open = matches!(kind, Kind::Ntfs | Kind::Exfat);
        assert_eq!(codes(&killed).contains(&"not_private".to_owned()), is_open, "{kind:?}");
        let receiver = receive(&pair, &out, &[]);
        assert_eq!(receiver.code(), 0, "{kind:?}: {receiver:?}");
        sender.wait().expect_code(0);
        assert_same_content(&pair.path("tree"), &out.join("tree"));
        assert!(!out.join(".rejoin").exists(), "{kind:?}");

        let sender = pair.send(["--json", "--new", "--code", CODE, "tree"]).spawn();
        sender.event_where("code", |event| event["event"] == "code");
        let again = receive(&pair, &out, &[CODE]);
        assert_eq!(again.code(), 0, "{kind:?}: {again:?}");
        sender.wait().expect_code(0);
        assert_eq!(again.outcome()["unchanged_files"], 4, "{kind:?}");
    }
}

/// B (66): what is complete is compared with what the disk kept, also where times are refused altogether.
#[test]
fn a_killed_session_continues_where_times_are_refused() {
    let pair = Pair::new();
    tree(&pair);
    pair.noise("tree/huge", 24_000_000);
    let words = || crate::support::lab::wrapped::injecting(&["utimensat:error=EPERM"]);
    or_skip!(words());
    let sender = pair.sending("tree");
    let receiver = pair.receiving().through(words().unwrap()).spawn();
    wait_for_half(&receiver);
    receiver
        .event_where("durable", |event| event["event"] == "file" && event["status"] == "received");
    receiver.kill_after(std::time::Duration::ZERO);
    let again = pair.receive(["--json", "-y", "-o", "target"]).through(words().unwrap()).run();
    assert_eq!(again.code(), 0, "{again:?}");
    sender.wait().expect_code(0);
    assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
}

/// D: I-06 stays where modes are kept, with the path and the remedy; nothing is left behind.
#[test]
fn a_prepared_directory_is_refused_by_name() {
    let pair = Pair::new();
    tree(&pair);
    fs::create_dir(pair.path("target/.rejoin")).unwrap();
    fs::set_permissions(pair.path("target/.rejoin"), fs::Permissions::from_mode(0o777)).unwrap();
    let sender = pair.sending("tree");
    let run = pair.receiving().run().expect_code(8);
    assert!(run.stdout.contains("target/.rejoin") && run.stdout.contains("--out"), "{run:?}");
    assert_eq!(fs::read_dir(pair.path("target/.rejoin")).unwrap().count(), 0);
    sender.signal(rustix::process::Signal::INT);
    sender.wait();
}

/// D: a disk whose owner is somebody else, whoever writes: what we made is used, also by a later run.
#[test]
fn a_disk_that_makes_up_owners_is_received_on() {
    let pair = Pair::new();
    tree(&pair);
    let nobody = or_skip!(as_nobody());
    let mount = or_skip!(Mount::bindfs(
        &pair.path("target"),
        &["--force-user=daemon", "--perms=a=rwx", "--chmod-ignore", "--chown-ignore"],
    ));
    give_to_nobody(pair.home.path());
    fs::set_permissions(pair.home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let sender = pair.send(["--json", "--code", CODE, "tree"]).spawn();
    let code = sender.event_where("code", |event| event["event"] == "code");
    let words = code["command"].as_str().unwrap().to_owned();
    let code = words.rsplit(' ').next().unwrap();
    let binary: PathBuf = reachable(Path::new(env!("CARGO_BIN_EXE_rejoin")));
    let line = format!(
        "{} receive --json -y -o {} {code}",
        binary.display(),
        mount.path().join("out").display()
    );
    let run = pair.shell("receive", &line).through(nobody).run();
    assert_eq!(run.code(), 0, "{run:?}");
    sender.wait().expect_code(0);
    assert_same_content(&pair.path("tree"), &mount.path().join("out/tree"));
}

/// D: state on a disk that cannot be closed: a sentence with the remedy.
#[test]
fn state_on_an_open_disk_names_the_option() {
    let pair = Pair::new();
    let mount = or_skip!(Mount::new(Kind::Exfat, 20));
    let state = mount.path().join("state");
    pair.home.file("file", "x");
    let run = pair.send(["file"]).env("REJOIN_STATE_DIR", state).run();
    assert_eq!(run.code(), 8, "{run:?}");
    assert!(run.stderr.contains("--state-dir"), "{run:?}");
}
