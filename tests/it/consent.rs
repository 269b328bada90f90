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
    let receiver = terminal.spawn(pair.receive(["-o", "target", CODE]));
    let asked = terminal.expect("(y/N) ");
    assert!(asked.contains("Mind tree/.bashrc: "), "{asked}");
    assert!(!pair.path("target/tree").exists(), "before the answer");
    terminal.say("y");
    wait_for_half(&sender);
    receiver.kill();
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
    let receiver = terminal.spawn(pair.receive(["-o", "target"]));
    let asked = terminal.expect("(y/N) ");
    assert!(asked.contains("Mind tree/.profile: ") && asked.contains("more than you accepted"));
    terminal.say("y");
    assert_eq!(terminal.wait(receiver), Some(0));
    agreed.wait().expect_code(0);
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
}

/// What was typed before the question was on the screen is no answer to it.
#[test]
fn what_was_typed_before_the_question_is_no_consent() {
    let pair = Pair::new();
    pair.noise("f", 1_000);
    let sender = pair.sending("f");
    let mut terminal = Terminal::new();
    let receiver = terminal.spawn(pair.receive(["-o", "target", CODE]));
    for _ in 0..5 {
        terminal.say("y");
    }
    terminal.expect("(Y/n) ");
    // A second one would come if any of it had been taken for an answer that is none.
    terminal.say("no word");
    terminal.expect("Please answer y or n.");
    assert!(!pair.path("target/f").exists());
    terminal.expect("(Y/n) ");
    terminal.say("\u{fffd}\u{e9}");
    terminal.expect("Please answer y or n.");
    terminal.expect("(Y/n) ");
    terminal.say("n");
    assert_eq!(terminal.wait(receiver), Some(7));
    assert!(!pair.path("target/f").exists());
    sender.wait().expect_code(7);
}

/// A terminal that is closed at the question answers nothing: the session is kept, and the sender waits.
#[test]
fn a_terminal_that_is_closed_at_the_question_declines_nothing() {
    let pair = Pair::new();
    pair.noise("f", 1_000);
    let sender = pair.sending("f");
    let mut terminal = Terminal::new();
    let receiver = terminal.spawn(pair.receive(["-o", "target", CODE]));
    terminal.expect("(Y/n) ");
    terminal.close();
    assert_eq!(terminal.wait(receiver), Some(143));
    let left = sender.event_where("of the other's end", |event| event["event"] == "left");
    assert!(left["reason"] == "terminated" && left["waiting"] == true, "{left}");
    pair.receive(["--json", "-y", "-o", "target"]).run().expect_code(0);
    sender.wait().expect_code(0);
}

/// S-02: who comes back to a session by a fresh code goes on with what it made: it is its own record that says so.
#[test]
fn what_was_received_stays_ours_when_a_fresh_code_is_used() {
    let pair = Pair::new();
    pair.noise("tree/aa", 1_000);
    pair.noise("tree/zz", LARGE);
    let first = sender(&pair);
    let receiver = pair.receiving().spawn();
    receiver.event_where("of aa", |event| event["event"] == "file" && event["path"] == "tree/aa");
    wait_for_half(&receiver);
    receiver.signal(Signal::KILL);
    first.signal(Signal::KILL);
    receiver.wait();
    first.wait();
    pair.noise("tree/aa", 2_000);
    let again = pair.send(["--json", "tree"]).spawn();
    let code = again.event_where("code", |event| event["event"] == "code");
    let code = code["code"].as_str().unwrap();
    let done = pair.receive(["--json", "-y", "-o", "target", code]).run().expect_code(0).outcome();
    assert!(done["kept_bytes"].as_u64() > Some(0), "{done}");
    again.wait().expect_code(0);
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
}
