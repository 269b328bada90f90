//! Scripts, services and people who come back: codes used again, sessions found again, odd surroundings, figures.
#![cfg(target_os = "linux")]
#![allow(dead_code, unused_imports, reason = "helpers come before the tests that need them")]

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, Mode};
use rustix::process::Signal;

use crate::support::env::{Finished, From, Home, Running};
use crate::support::lab::or_skip;
use crate::support::lab::outcome::{Ends, Meeting, figure};
use crate::support::lab::wrapped::{as_nobody, give_to_nobody};
use crate::support::pair::{CODE, Pair, wait_for_half};
use crate::support::tree::assert_same;

const MIB: usize = 1 << 20;

fn code_shown(sender: &Running) -> String {
    let event = sender.event_where("code", |event| event["event"] == "code");
    event["code"].as_str().unwrap().to_owned()
}

/// Half of `tree` is received, both are killed.
fn interrupted(pair: &Pair) {
    pair.noise("tree/f", 40 * MIB);
    let sender = pair.send(["--json", "--code", CODE, "tree"]).spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let receiver = pair.receiving().spawn();
    wait_for_half(&receiver);
    for run in [&sender, &receiver] {
        run.signal(Signal::KILL);
    }
    drop((sender.wait(), receiver.wait()));
}

/// B-K2 (row 77): the same tree by another spelling is the same session.
#[test]
fn another_spelling_is_the_same_session() {
    for spelling in ["tree/", "./tree", "tree/.", "sub/../tree", "link/tree", "ABSOLUTE", "INSIDE"]
    {
        let pair = Pair::new();
        fs::create_dir(pair.path("sub")).unwrap();
        symlink(".", pair.path("link")).unwrap();
        interrupted(&pair);
        let absolute = pair.path("tree").display().to_string();
        let (path, within) = match spelling {
            "ABSOLUTE" => (&*absolute, pair.path("sub")),
            "INSIDE" => (".", pair.path("tree")),
            _ => (spelling, pair.path("")),
        };
        let sender = pair.send(["--json", path]).within(&within).spawn();
        let session = sender.event_where("session", |event| event["event"] == "session");
        assert_eq!(session["resumed"], true, "{spelling}");
        let receiver = pair.receiving().run().expect_code(0);
        sender.wait().expect_code(0);
        assert!(figure(&receiver, "kept_bytes") > 0, "{spelling}");
    }
}

/// B-L: what one end means by its end is 5 at the other, in words.
#[test]
fn what_ends_one_side_is_five_at_the_other() {
    for (signal, is_sender) in
        [(Signal::INT, true), (Signal::TERM, false), (Signal::INT, false), (Signal::TERM, true)]
    {
        let pair = Pair::new();
        pair.noise("tree/f", 60 * MIB);
        let meeting = Meeting::new(&pair, "tree", "target");
        let (sender, receiver) = (meeting.sender(), meeting.receiver());
        wait_for_half(&receiver);
        let (stopped, other) = if is_sender { (sender, receiver) } else { (receiver, sender) };
        stopped.signal(signal);
        let code = if signal == Signal::INT { 130 } else { 143 };
        stopped.wait().expect_code(code);
        let other = other.wait().expect_code(5);
        let error = other.outcome();
        assert!(error["resume_command"].is_string(), "{error}");
        let words = format!("{}{}", other.stdout, other.stderr).to_lowercase();
        assert!(words.contains("stopped"), "{words}");
    }
}

fn lists(home: &Home, variables: &[(&str, &str)]) -> Finished {
    let mut run = home.rejoin(["sessions", "list"]);
    for (name, value) in variables {
        run = run.env(name, value);
    }
    run.run()
}

/// B-W: a read-only state directory and a missing one are named with the remedy.
#[test]
fn state_that_cannot_be_written_is_named() {
    let pair = Pair::new();
    pair.noise("tree/f", 1000);
    for state in ["/proc/state", "/dev/null/state", "tree/f/state"] {
        let run = pair.send(["tree"]).env("REJOIN_STATE_DIR", state).run().expect_code(8);
        assert!(run.stderr.contains(state) && run.stderr.contains("state"), "{}", run.stderr);
    }
}
