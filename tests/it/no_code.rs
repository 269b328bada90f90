//! `receive` without a code (cli.md): the one unfinished session of the directory, else whoever sits at the terminal, else a word.
#![cfg(target_os = "linux")]

use rustix::process::Signal;

use crate::support::pair::{CODE, Pair, wait_for_half};
use crate::support::terminal::Terminal;
use crate::support::tree::assert_same;

const LARGE: usize = 24 << 20;

/// Leaves an unfinished session of `name` in `target`.
fn interrupt(pair: &Pair, name: &str, code: &str) {
    pair.noise(name, LARGE);
    let sender = pair.send(["--json", "--code", code, name]).spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let receiver = pair.receive(["--json", "-y", "-o", "target", code]).spawn();
    wait_for_half(&receiver);
    for run in [receiver, sender] {
        run.signal(Signal::KILL);
        run.wait();
    }
}

/// Ids of the unfinished sessions of a side, the newest first.
fn unfinished(pair: &Pair) -> Vec<String> {
    let state = pair.path("state-receive");
    let listed = pair.home.rejoin(["sessions", "list", "--json"]).env("REJOIN_STATE_DIR", state);
    let listed = listed.run().expect_code(0);
    let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    listed.stdout.lines().map(|line| parse(line)["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn where_nobody_can_be_asked_it_is_a_mistake_and_nothing_is_made() {
    let pair = Pair::new();
    let run = pair.receive(["-y", "-o", "new"]).run().expect_code(2);
    assert!(run.stderr.contains("no code was given"), "{}", run.stderr);
    assert!(run.stderr.contains("rejoin receive CODE"), "{}", run.stderr);
    assert!(!pair.path("new").exists());
    assert!(!pair.path("state-receive").exists());
}

/// Two unfinished sessions in one directory: none of them is guessed, each is named, and each can be chosen.
#[test]
fn of_several_unfinished_sessions_none_is_guessed() {
    let pair = Pair::new();
    interrupt(&pair, "one", "7-crane-velvet-orbit");
    let first = unfinished(&pair).remove(0);
    // The only one is meant without a word; it waits for its sender.
    let run = pair.receive(["--json", "-y", "-o", "target", "--timeout", "1s"]).run();
    let run = run.expect_code(124);
    assert_eq!(run.events()[0]["id"], first.as_str());
    interrupt(&pair, "two", "8-crane-velvet-orbit");
    let ids = unfinished(&pair);
    assert_eq!(ids.len(), 2);
    let run = pair.receive(["-y", "-o", "target"]).run().expect_code(2);
    for id in &ids {
        assert!(run.stderr.contains(&id[..12]), "{}", run.stderr);
    }
    assert!(run.stderr.contains("rejoin resume ID"), "{}", run.stderr);
    // The older one, by its id; what is printed to continue names it, too.
    let resume = || {
        let state = pair.path("state-receive");
        pair.home.rejoin(["resume", "--json", "-y", &first]).env("REJOIN_STATE_DIR", state)
    };
    let run = resume().env("REJOIN_TIMEOUT", "1s").run().expect_code(124);
    assert_eq!(run.events()[0]["id"], first.as_str());
    let command = run.outcome()["resume_command"].as_str().unwrap().to_owned();
    assert!(command.contains(&format!("rejoin resume {first}")), "{command}");
    let sender = pair.send(["--json", "one"]).spawn();
    resume().run().expect_code(0);
    sender.wait().expect_code(0);
    assert_same(&pair.path("one"), &pair.path("target/one"));
}

#[test]
fn at_a_terminal_the_code_is_asked_for() {
    let pair = Pair::new();
    pair.noise("f", 1000);
    let sender = pair.sending("f");
    let mut terminal = Terminal::new();
    let receiver = terminal.spawn(pair.receive(["-y", "-o", "target"]));
    terminal.expect("Code: ");
    terminal.say(CODE);
    terminal.expect("verified");
    assert_eq!(terminal.wait(receiver), Some(0));
    sender.wait().expect_code(0);
    assert_same(&pair.path("f"), &pair.path("target/f"));
    // An empty line is no code.
    let receiver = terminal.spawn(pair.receive(["-y", "-o", "elsewhere"]));
    terminal.expect("Code: ");
    terminal.say("");
    terminal.expect("no code was given");
    assert_eq!(terminal.wait(receiver), Some(2));
    assert!(!pair.path("elsewhere").exists());
}
