//! What a person agreed to at a terminal is agreed to, by the binary, however the run ended (S-05, A-06); what came after it is not.
#![cfg(target_os = "linux")]

use rustix::process::Signal;

use crate::support::env::Running;
use crate::support::pair::{CODE, Pair, wait_for_half};
use crate::support::terminal::Terminal;
use crate::support::tree::assert_same;

const LARGE: usize = 24 << 20;

fn sender(pair: &Pair) -> Running {
    let sender = pair.send(["--json", "--code", CODE, "tree"]).env("REJOIN_BWLIMIT", "6M").spawn();
    sender.event_where("code", |event| event["event"] == "code");
    sender
}

/// A person was shown `tree/.bashrc` and said yes; the receiver was killed half-way. Its sender runs.
fn agreed_and_killed() -> (Pair, Running) {
    let pair = Pair::new();
    pair.noise("tree/large", LARGE);
    pair.noise("tree/.bashrc", 100);
    let sender = sender(&pair);
    let mut terminal = Terminal::new();
    let mut receiver = terminal.spawn(pair.receive(["-o", "target", CODE]));
    let asked = terminal.expect("(y/N) ");
    assert!(asked.contains("Mind tree/.bashrc: "), "{asked}");
    assert!(!pair.path("target/tree").exists(), "before the answer");
    terminal.say("y");
    wait_for_half(&sender);
    receiver.kill().unwrap();
    receiver.wait().unwrap();
    (pair, sender)
}

#[test]
fn a_run_without_a_terminal_goes_on_with_what_was_agreed_to() {
    let (pair, sender) = agreed_and_killed();
    let done = pair.receive(["--json", "-o", "target"]).run().expect_code(0).outcome();
    assert!(done["kept_bytes"].as_u64() > Some(0), "{done}");
    sender.wait().expect_code(0);
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
}

#[test]
fn a_name_that_acts_and_came_after_the_agreement_is_asked_about() {
    let (pair, sender) = agreed_and_killed();
    sender.signal(Signal::KILL);
    sender.wait();
    pair.noise("tree/.profile", 100);
    let again = || pair.send(["--json", "tree"]).spawn();
    let refused = again();
    let error = pair.receive(["--json", "-o", "target"]).run().expect_code(7).outcome();
    assert_eq!(error["code"], "refused", "{error}");
    assert!(!pair.path("target/tree/.profile").exists());
    refused.wait().expect_code(7);
    // Whoever sits there sees it, and may agree.
    let agreed = again();
    let mut terminal = Terminal::new();
    let mut receiver = terminal.spawn(pair.receive(["-o", "target"]));
    let asked = terminal.expect("(y/N) ");
    assert!(asked.contains("Mind tree/.profile: ") && asked.contains("more than you accepted"));
    terminal.say("y");
    assert_eq!(receiver.wait().unwrap().code(), Some(0));
    agreed.wait().expect_code(0);
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
}
