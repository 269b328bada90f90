//! How the two sides find each other, who else may come, and what they say on which stream.
#![cfg(unix)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::env::{Finished, From};
use crate::support::pair::{CODE, Pair};
use crate::support::tree::assert_same;

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn assert_arrived(pair: &Pair) {
    assert_same(&pair.path("file"), &pair.path("target/file"));
}

#[track_caller]
fn assert_error(run: &Finished, code: &str) {
    let error = run.outcome();
    assert_eq!((&error["event"], &error["code"]), (&"error".into(), &code.into()), "{error}");
    assert_ne!(error["message"], "");
}

#[test]
fn a_receiver_that_comes_first_waits() {
    let pair = Pair::new();
    pair.noise("file", 100_000);
    let arguments = ["--json", "-y", "-o", "target", "--wait", "50s", CODE];
    let receiver = pair.receive(arguments).spawn();
    receiver.event_where("session", |event| event["event"] == "session");
    let sender = pair.sending("file");
    receiver.wait().expect_code(0);
    sender.wait().expect_code(0);
    assert_arrived(&pair);
}

#[test]
fn a_code_with_an_address_is_enough() {
    let pair = Pair::new();
    pair.noise("file", 100_000);
    let sender = pair.sending("file");
    let code = sender.event_where("code", |event| event["event"] == "code");
    let command = code["command"].as_str().unwrap();
    let code = command.strip_prefix("rejoin receive ").unwrap();
    assert!(code.contains('@'), "{command}");
    // Another registry: the address is all there is.
    let receiver = pair.receive(["--json", "-y", "-o", "target", code]);
    receiver.env("REJOIN_RUNTIME_DIR", pair.path("elsewhere")).run().expect_code(0);
    sender.wait().expect_code(0);
    assert_arrived(&pair);
}

#[test]
fn a_host_of_its_own_serves_both_in_either_order() {
    for is_sender_first in [true, false] {
        let pair = Pair::new();
        pair.noise("file", 100_000);
        let port = free_port();
        let url = format!("ws://127.0.0.1:{port}");
        // Even the host may come last.
        let host = is_sender_first.then(|| pair.home.host(&format!("127.0.0.1:{port}")));
        let send = || pair.send(["--json", "--host", &url, "--code", CODE, "file"]).spawn();
        let receive = |wait: &[&str]| {
            let arguments = ["--json", "-y", "-o", "target", "--host", &url, CODE];
            pair.receive(arguments.iter().chain(wait)).spawn()
        };
        let (sender, receiver, host) = if let Some(host) = host {
            let sender = send();
            sender.event_where("code", |event| event["event"] == "code");
            (sender, receive(&[]), host)
        } else {
            let receiver = receive(&["--wait", "50s"]);
            receiver.event_where("session", |event| event["event"] == "session");
            let host = pair.home.host(&format!("127.0.0.1:{port}"));
            (send(), receiver, host)
        };
        receiver.wait().expect_code(0);
        sender.wait().expect_code(0);
        assert_arrived(&pair);
        host.0.signal(rustix::process::Signal::TERM);
        host.0.wait();
    }
}

#[test]
fn a_wrong_code_burns_the_room() {
    let pair = Pair::new();
    pair.noise("file", 1000);
    // A host that outlives the sender, so that the second receiver has somebody to ask.
    let (_host, url) = pair.home.host("127.0.0.1:0");
    let sender = pair.send(["--json", "--host", &url, "--code", CODE, "file"]).spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let try_code =
        |code| pair.receive(["--json", "-y", "-o", "target", "--host", &url, code]).run();
    assert_error(&try_code("7-crane-velvet-oblige").expect_code(3), "authentication");
    assert_error(&sender.wait().expect_code(3), "authentication");
    assert_error(&try_code(CODE).expect_code(3), "authentication");
    assert!(!pair.path("target/file").exists());
}

#[test]
fn a_stranger_with_an_old_code_is_turned_away_and_disturbs_nobody() {
    let pair = Pair::new();
    pair.noise("file", 64 << 20);
    let (_host, url) = pair.home.host("127.0.0.1:0");
    let sender = pair.send(["--json", "--host", &url, "--code", CODE, "file"]).spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let receiver = pair.receive(["--json", "-y", "-o", "target", "--host", &url, CODE]).spawn();
    receiver.event_where("connected", |event| event["event"] == "connected");
    for code in [CODE, "7-crane-velvet-oblige"] {
        let arguments = ["--json", "-y", "-o", "stranger", "--host", &url, code];
        let stranger = pair.receive(arguments).env("REJOIN_STATE_DIR", pair.path("state-stranger"));
        assert_error(&stranger.run().expect_code(3), "authentication");
    }
    let done = receiver.wait().expect_code(0).outcome();
    assert_eq!(done["reconnections"], 0, "{done}");
    sender.wait().expect_code(0);
    assert_arrived(&pair);
}

#[test]
fn without_json_stdout_carries_the_code_and_nothing_else() {
    let pair = Pair::new();
    pair.noise("file", 100_000);
    let sender = pair.send(["file"]).spawn();
    let shown = sender.line_with(From::Stdout, "Code: ");
    let code = shown.strip_prefix("Code: ").unwrap();
    let receiver = pair.receive(["-y", "-o", "target", code]).run().expect_code(0);
    let sender = sender.wait().expect_code(0);
    assert_eq!((&sender.stdout, &receiver.stdout), (&format!("{shown}\n"), &String::new()));
    assert!(code.contains('@'), "{code}");
    assert!(sender.stderr.contains(&format!("    rejoin receive {code}\n")), "{}", sender.stderr);
    for run in [sender, receiver] {
        assert!(run.stderr.contains("Done: 1 file"), "{}", run.stderr);
        assert!(!run.stderr.contains('\x1b') && !run.stderr.contains('\r'), "{:?}", run.stderr);
    }
    assert_arrived(&pair);
}

#[test]
fn json_is_whole_whatever_the_names() {
    use std::os::unix::ffi::OsStrExt as _;
    let pair = Pair::new();
    let name = std::ffi::OsStr::from_bytes(b"new\nline \xff \"quoted\"");
    fs::create_dir(pair.path("tree")).unwrap();
    fs::write(pair.path("tree").join(name), "x").unwrap();
    let (sender, receiver) = pair.transfer("tree", &["-y"], (0, 0));
    for (run, status) in [(sender, "sent"), (receiver, "received")] {
        assert_eq!(run.outcome()["event"], "done");
        assert_eq!(run.files(status), ["tree/new\nline \\xff \"quoted\""]);
        assert!(run.stdout.contains("\"path_escaped\":true"), "{}", run.stdout);
        for needed in ["session", "connected", "peer", "manifest"] {
            assert!(run.events().iter().any(|event| event["event"] == needed), "no {needed}");
        }
    }
}

#[test]
fn quiet_is_silent_and_the_code_goes_to_a_private_file() {
    let pair = Pair::new();
    pair.noise("file", 100_000);
    let sender = pair.send(["-q", "--code-out", "code", "--code", CODE, "file"]).spawn();
    let shown = sender.line_with(From::Stdout, "-");
    let file = pair.path("code");
    assert_eq!(shown, format!("Code: {}", fs::read_to_string(&file).unwrap().trim()));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let receiver = pair.receive(["-q", "-y", "-o", "target", "--code-file", "code"]).run();
    let receiver = receiver.expect_code(0);
    let sender = sender.wait().expect_code(0);
    assert_eq!((receiver.stdout, receiver.stderr), (String::new(), String::new()));
    assert_eq!((sender.stdout, sender.stderr), (format!("{shown}\n"), String::new()));
    assert_arrived(&pair);
}

#[test]
fn what_cannot_begin_says_why() {
    let pair = Pair::new();
    pair.noise("file", 10);
    let closed = format!("ws://127.0.0.1:{}", free_port());
    let code = format!("{CODE}@127.0.0.1:{}", free_port());
    let seconds = std::time::Duration::from_secs(20);
    let unreachable = [
        pair.receive(["--json", "-y", "-o", "target", "--host", &closed, CODE]),
        pair.receive(["--json", "-y", "-o", "target", &code]),
        pair.receive(["--json", "-y", "-o", "target", CODE]),
        pair.send(["--json", "--host", &closed, "file"]),
    ];
    for invocation in unreachable {
        assert_error(&invocation.deadline(seconds).run().expect_code(4), "unreachable");
    }
    let missing = pair.send(["--json", "nowhere"]).run().expect_code(1);
    assert_error(&missing, "failure");
    assert!(missing.stdout.contains("nowhere"), "{}", missing.stdout);
    assert_eq!(pair.receive(["--json", "-y", "not a code"]).run().code(), 2);
    assert_eq!(pair.receive(["--json", "-y", "-o", "target"]).run().code(), 2);
}

#[test]
fn nobody_reading_stdout_disturbs_nothing() {
    for flags in [&["--json"][..], &[]] {
        let pair = Pair::new();
        pair.noise("file", 3 << 20);
        let arguments = flags.iter().chain(&["--code", CODE, "--code-out", "code", "file"]);
        let sender = pair.send(arguments).stdout_closed().spawn();
        let arguments = flags.iter().chain(&["-y", "-o", "target", "--wait", "50s", CODE]);
        let receiver = pair.receive(arguments).env("TERM", "dumb").stdout_closed();
        receiver.run().expect_code(0);
        sender.wait().expect_code(0);
        assert_arrived(&pair);
    }
}

/// A `tree` whose events are more than a small pipe takes.
#[cfg(target_os = "linux")]
fn with_a_hundred_files() -> Pair {
    let pair = Pair::new();
    for index in 0..100 {
        pair.noise(&format!("tree/{index}"), 100);
    }
    pair
}

/// With `--json`, what is on stdout is part of what is asked for (P-14): a disk that is full, and a reader that does not read, are told.
#[cfg(target_os = "linux")]
#[test]
fn results_that_cannot_be_written_are_no_success() {
    let pair = with_a_hundred_files();
    let sender = pair.send(["--json", "--code", CODE, "tree"]).spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let receive = format!("rejoin receive --json -y -o target {CODE}");
    let full = pair.shell("receive", &format!("{receive} > /dev/full")).run().expect_code(8);
    assert!(full.stderr.contains("stdout is cut off: no space left"), "{}", full.stderr);
    sender.wait().expect_code(0);
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
    for line in ["rejoin stats", "rejoin --help", "rejoin completions bash"] {
        let run = pair.shell("send", &format!("{line} > /dev/full")).run().expect_code(8);
        assert!(run.stderr.contains("no space left"), "{line}: {}", run.stderr);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_does_not_read_is_told() {
    let pair = with_a_hundred_files();
    let pipe = pair.path("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let reader = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    rustix::pipe::fcntl_setpipe_size(&reader, 4_096).unwrap();
    let sender = pair.sending("tree");
    let line = format!("rejoin receive --json -y -o target {CODE} > pipe");
    let run = pair.shell("receive", &line).run().expect_code(1);
    assert!(run.stderr.contains("nobody reads"), "{}", run.stderr);
    sender.wait().expect_code(0);
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
}

#[test]
fn two_sends_at_once_do_not_meet() {
    let pair = Pair::new();
    for name in ["one", "two"] {
        pair.noise(name, 200_000);
    }
    let codes = [("one", "3-crane-velvet-orbit"), ("two", "4-crane-velvet-orbit")];
    let senders = codes.map(|(name, code)| {
        let sender = pair.send(["--json", "--code", code, name]).spawn();
        sender.event_where("code", |event| event["event"] == "code");
        sender
    });
    let receivers =
        codes.map(|(_, code)| pair.receive(["--json", "-y", "-o", "target", code]).spawn());
    for run in receivers.into_iter().chain(senders) {
        run.wait().expect_code(0);
    }
    for (name, _) in codes {
        assert_same(&pair.path(name), &pair.path("target").join(name));
    }
}
