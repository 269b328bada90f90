//! What a user names to be sent is settled before a code is shown, however it is spelled and however much it is.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use rustix::process::Signal;

use crate::support::env::{Finished, Home};
use crate::support::pair::{CODE, Pair, wait_for_half};
use crate::support::tree::assert_same;

fn mkfifo(path: &Path) {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RWXU).unwrap();
}

/// Sends what cannot be sent; the run ends by itself, without a code.
#[track_caller]
fn refused(home: &Home, argument: &str) -> Finished {
    let run = home.rejoin(["send", "t", argument]).run().expect_code(1);
    assert_eq!(run.stdout, "", "a code for {argument}");
    assert!(run.stderr.contains(argument), "{argument} is not named: {}", run.stderr);
    run
}

/// B-J: a pipe, a socket, a device, a link to nothing and what is not there are refused before a code is shown.
#[test]
fn what_is_no_file_is_refused_before_a_code() {
    let home = Home::new();
    home.file("t/file", "x");
    mkfifo(&home.path().join("fifo"));
    symlink("fifo", home.path().join("to-fifo")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(home.path().join("socket")).unwrap();
    symlink("nowhere", home.path().join("dangling")).unwrap();
    symlink("loop", home.path().join("loop")).unwrap();
    for (argument, word) in [
        ("fifo", "pipe"),
        ("./to-fifo", "pipe"),
        ("socket", "socket"),
        ("/dev/null", "device"),
        // Standard input is a pipe here, as `<(program)` is.
        ("/dev/stdin", "pipe"),
        ("/dev/fd/0", "pipe"),
        ("dangling", "nowhere"),
        ("loop", "link"),
        ("missing", "No such file"),
        ("missing/", "No such file"),
        ("t/file/", "Not a directory"),
    ] {
        let run = refused(&home, argument);
        assert!(run.stderr.contains(word), "{argument}: {}", run.stderr);
    }
    let run = refused(&home, "fifo");
    assert!(run.stderr.contains("save what it gives in a file"), "no remedy: {}", run.stderr);
}

/// B-J: files whose content is not what their size says are never sent as empty ones.
#[cfg(target_os = "linux")]
#[test]
fn files_of_unknown_size_are_not_sent_as_empty_ones() {
    let pair = Pair::new();
    pair.home.file("t/file", "x");
    let run = refused(&pair.home, "/proc/version");
    assert!(run.stderr.contains("size is not known"), "{}", run.stderr);
    let (sender, receiver) = pair.transfer("/proc/sys/kernel/random", &["-y"], (6, 6));
    assert!(sender.stdout.contains("size is not known"), "{}", sender.stdout);
    assert!(receiver.stdout.contains("size is not known"), "{}", receiver.stdout);
    let arrived = fs::read_dir(pair.path("target/random")).unwrap().count();
    assert_eq!(arrived, 0, "files without their content");
}

/// B-J: a link that is named is what it leads to, under its own name; links below it stay links.
#[test]
fn a_link_that_is_named_is_followed() {
    let pair = Pair::new();
    pair.home.file("real/file", "content");
    fs::create_dir(pair.path("d")).unwrap();
    symlink("file", pair.path("real/inner")).unwrap();
    symlink("../real/file", pair.path("d/file-link")).unwrap();
    symlink(pair.path("real"), pair.path("d/tree-link")).unwrap();
    symlink("tree-link", pair.path("d/link-link")).unwrap();
    for (argument, name) in [("d/file-link", "file-link"), ("d/tree-link", "tree-link")] {
        pair.transfer(argument, &["-y"], (0, 0));
        let arrived = pair.path("target").join(name);
        assert!(!fs::symlink_metadata(&arrived).unwrap().is_symlink(), "{name} is a link");
    }
    assert_eq!(fs::read(pair.path("target/file-link")).unwrap(), b"content");
    assert_same(&pair.path("real"), &pair.path("target/tree-link"));
    pair.transfer("d/link-link/", &["-y"], (0, 0));
    assert_same(&pair.path("real"), &pair.path("target/link-link"));
}

/// B-J: an empty directory and an empty file are something.
#[test]
fn what_is_empty_arrives() {
    let pair = Pair::new();
    fs::create_dir(pair.path("empty")).unwrap();
    pair.home.file("nothing", "");
    pair.transfer("empty", &["-y"], (0, 0));
    assert_eq!(fs::read_dir(pair.path("target/empty")).unwrap().count(), 0);
    pair.transfer("nothing", &["-y"], (0, 0));
    assert_eq!(fs::read(pair.path("target/nothing")).unwrap(), b"");
}

/// B-K2: the same sources by any spelling, in any order, from anywhere, are the same session.
#[test]
fn another_spelling_is_the_same_session() {
    let pair = Pair::new();
    pair.noise("in/tree/large", 24 << 20);
    pair.home.file("other", "x");
    fs::create_dir_all(pair.path("in/x")).unwrap();
    symlink(pair.path("in"), pair.path("way")).unwrap();
    symlink("../other", pair.path("in/link")).unwrap();
    let arguments = ["--json", "--code", CODE, "in/tree", "other", "in/link"];
    let sender = pair.send(arguments).spawn();
    let id = sender.event_where("session", |event| event["event"] == "session")["id"].clone();
    sender.event_where("code", |event| event["event"] == "code");
    let receiver = pair.receiving().spawn();
    wait_for_half(&receiver);
    for run in [sender, receiver] {
        run.signal(Signal::KILL);
        run.wait();
    }
    let absolute = pair.path("in/tree").display().to_string();
    for (directory, arguments) in [
        (".", ["in/tree/", "other", "in/link"]),
        (".", ["./other", "in/link", "in/tree"]),
        (".", ["in/x/../tree", "in/../other", "way/link"]),
        (".", ["way/tree", "in/../other", "in//link"]),
        ("in", ["tree", "link", "../other"]),
        ("in/tree", [".", "../../other", "../link"]),
        ("target", [absolute.as_str(), "../other", "../way/x/../link"]),
    ] {
        let run = pair
            .send(std::iter::once("--json").chain(arguments))
            .within(&pair.path(directory))
            .spawn();
        let session = run.event_where("session", |event| event["event"] == "session");
        assert_eq!(
            (&session["id"], session["resumed"].as_bool()),
            (&id, Some(true)),
            "{arguments:?}"
        );
        run.signal(Signal::KILL);
        run.wait();
    }
    // What is named a second time is another argument, not another spelling.
    let twice = pair.send(["in/tree", "way/tree"]).run().expect_code(1);
    assert!(twice.stderr.contains("same name"), "{}", twice.stderr);
}

/// B-M: descriptors are counted for the process: as many arguments and directories as one likes, with 64 of them.
#[test]
fn few_descriptors_do_for_many_arguments() {
    let pair = Pair::new();
    let mut arguments = Vec::new();
    for parent in 0..150 {
        for directory in 0..3 {
            pair.home.file(&format!("p{parent}/t{parent}/d{directory}/e/file"), "x");
        }
        arguments.push(format!("p{parent}/t{parent}"));
    }
    // As deep as it is wide.
    pair.home.file(&format!("p0/t0/{}/file", ["deep"; 100].join("/")), "x");
    let line =
        format!("ulimit -n 64; exec rejoin send --json --code {CODE} {}", arguments.join(" "));
    let sender = pair.shell("send", &line).spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let receiver = pair.receiving().run().expect_code(0);
    sender.wait().expect_code(0);
    assert_eq!(receiver.outcome()["files"], 451);
    for parent in 0..150 {
        let (sent, arrived) = (format!("p{parent}/t{parent}"), format!("target/t{parent}"));
        assert_same(&pair.path(&sent), &pair.path(&arrived));
    }
}

/// B-S: what lies below a directory that may be searched and not read can be sent, as `cat` can read it.
#[test]
fn a_directory_that_may_only_be_searched_is_a_way() {
    let pair = Pair::new();
    pair.home.file("h/way/file", "x");
    pair.home.file("h/way/tree/sub/file", "y");
    fs::create_dir(pair.path("own")).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    let mode = |name: &str, mode| {
        fs::set_permissions(pair.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    // Root may read everything: the processes are nobody's then.
    mode("", 0o755);
    for name in ["target", "own"] {
        mode(name, 0o777);
    }
    for name in ["h", "h/way"] {
        mode(name, if is_root { 0o711 } else { 0o311 });
    }
    let user = |invocation: crate::support::env::Invocation, side: &str| {
        let state = pair.path("own").join(side);
        let invocation = invocation.env("REJOIN_STATE_DIR", state).env("TMPDIR", pair.path("own"));
        if is_root { invocation.user(65_534) } else { invocation }
    };
    let arguments = ["--json", "--code", CODE, "h/way/file", "h/way/tree"];
    let sender = user(pair.send(arguments), "send").spawn();
    sender.event_where("code", |event| event["event"] == "code");
    user(pair.receiving(), "receive").run().expect_code(0);
    sender.wait().expect_code(0);
    assert_eq!(fs::read(pair.path("target/file")).unwrap(), b"x");
    assert_eq!(fs::read(pair.path("target/tree/sub/file")).unwrap(), b"y");
    let refused = user(pair.send(["h/way"]), "send").run().expect_code(1);
    assert!(refused.stderr.contains("ermission denied"), "{}", refused.stderr);
    for name in ["h", "h/way"] {
        mode(name, 0o755);
    }
}

/// B-O: state, runtime and `.rejoin` are never content, at any depth, whoever's they are; it is told, and no failure.
#[test]
fn what_is_our_own_is_left_out() {
    let pair = Pair::new();
    pair.home.file("home/file", "x");
    let (home, state) = (pair.path("home"), pair.path("home/in/use"));
    fs::create_dir_all(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    // Of an unfinished receive, and of another case below.
    pair.home.file("home/old/.rejoin/0123/0.part", "partial");
    pair.home.file("home/deep/er/.Rejoin/file", "partial");
    // The state of another run, which this one is not told of, and the place where it is by default.
    let other =
        pair.send(["--json", "home/file"]).env("REJOIN_STATE_DIR", home.join("others")).spawn();
    other.event_where("code", |event| event["event"] == "code");
    other.signal(Signal::KILL);
    other.wait();
    assert!(home.join("others").is_dir(), "no state of another run");
    pair.home.file("home/.local/state/rejoin/sending/record", "a secret");
    let own = |invocation: crate::support::env::Invocation| {
        invocation
            .env("HOME", &home)
            .env("REJOIN_STATE_DIR", &state)
            .env("REJOIN_RUNTIME_DIR", home.join("run"))
    };
    let sender = own(pair.send(["--json", "--code", CODE, "home"])).spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let receiver =
        pair.receiving().env("REJOIN_RUNTIME_DIR", home.join("run")).run().expect_code(0);
    let sender = sender.wait().expect_code(0);
    assert_eq!(receiver.outcome()["files"], 1);
    for name in ["in/use", "old/.rejoin", "deep/er/.Rejoin", "others", ".local/state/rejoin", "run"]
    {
        assert!(!pair.path("target/home").join(name).exists(), "{name} was sent");
        assert!(
            sender.stdout.contains(&format!("home/{name}")),
            "{name} is not told: {}",
            sender.stdout
        );
    }
    for name in ["home/in/use", "home/in/use/sending", "home/old/.rejoin/0123", "home/others"] {
        let run = own(pair.send([name])).run().expect_code(1);
        assert_eq!(run.stdout, "", "{name}");
    }
}
