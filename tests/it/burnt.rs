//! S-11: a code that somebody guessed at is good for nothing. A sender that nobody met offers another one by itself.
#![cfg(unix)]

use std::fs;

use serde_json::Value;

use crate::support::env::{Finished, From, Running};
use crate::support::pair::{CODE, Pair};
use crate::support::tree::assert_same;

/// The number of a code, and where its host is.
fn parts(code: &str) -> (&str, &str) {
    (code.split_once('-').unwrap().0, code.split_once('@').map_or("", |(_, host)| host))
}

/// The code after `before`.
fn next_code(sender: &Running, before: &[String]) -> String {
    let is_next = |event: &Value| {
        event["event"] == "code" && before.iter().all(|code| event["code"] != code.as_str())
    };
    let event = sender.event_where("a fresh code", is_next);
    let code = event["code"].as_str().unwrap().to_owned();
    assert_eq!(event["command"], format!("rejoin receive {code}"));
    code
}

/// Somebody who knows the number and not the words.
fn guess(pair: &Pair, code: &str) -> Finished {
    let (number, host) = parts(code);
    let wrong = format!("{number}-abandon-abandon-abandon@{host}");
    let stranger = pair.receive(["--json", "-y", "-o", "stranger", &wrong]);
    stranger.env("REJOIN_STATE_DIR", pair.path("state-stranger")).run()
}

#[test]
fn a_burnt_code_is_replaced_three_times_and_whoever_waits_for_it_learns_the_new_one() {
    let pair = Pair::new();
    pair.noise("file", 1_000);
    let out = pair.path("code");
    let sender = pair.send(["--json", "--code-out", "code", "file"]).spawn();
    let mut codes = Vec::new();
    for round in 1..=4 {
        let code = next_code(&sender, &codes);
        assert_eq!(fs::read_to_string(&out).unwrap(), format!("{code}\n"), "round {round}");
        let guessed = guess(&pair, &code).expect_code(3).outcome();
        assert_eq!(guessed["code"], "authentication", "{guessed}");
        codes.push(code);
        if round < 4 {
            sender.event_where("a warning", |event| {
                let message = event["message"].as_str().unwrap_or_default();
                event["code"] == "code_burnt" && message.contains(&format!("({round} of 3)"))
            });
        }
    }
    let end = sender.wait().expect_code(3).outcome();
    assert_eq!(end["code"], "authentication", "{end}");
    let words: std::collections::BTreeSet<&str> =
        codes.iter().map(|code| code.split_once('-').unwrap().1).collect();
    assert_eq!(words.len(), 4, "every code has words of its own");
}

#[test]
fn the_fresh_code_is_as_good_as_the_first_and_stands_on_stdout() {
    let pair = Pair::new();
    pair.noise("file", 100_000);
    let sender = pair.send(["file"]).spawn();
    let code = |line: String| line.strip_prefix("Code: ").unwrap().to_owned();
    let first = code(sender.line_with(From::Stdout, "Code: "));
    let (number, _) = parts(&first);
    guess(&pair, &first).expect_code(3);
    sender.line_with(From::Stderr, "here is a fresh one (1 of 3)");
    // The command for the other machine stands there, too, and is not that of the burnt code.
    let command = sender.line_where(From::Stderr, "a command", |line| {
        line.contains("rejoin receive ") && !line.contains(&format!(" {number}-"))
    });
    let fresh = command.trim().strip_prefix("rejoin receive ").unwrap();
    pair.receive(["--json", "-y", "-o", "target", fresh]).run().expect_code(0);
    let run = sender.wait().expect_code(0);
    assert_eq!(run.stdout.lines().filter(|line| line.starts_with("Code: ")).count(), 2);
    assert_same(&pair.path("file"), &pair.path("target/file"));
}

#[test]
fn a_code_that_the_user_chose_is_never_replaced() {
    let pair = Pair::new();
    pair.noise("file", 1_000);
    let sender = pair.send(["--json", "--code", CODE, "file"]).spawn();
    let code = next_code(&sender, &[]);
    guess(&pair, &code).expect_code(3);
    let end = sender.wait().expect_code(3);
    assert_eq!(end.outcome()["code"], "authentication");
    let codes = end.stdout.lines().filter(|line| line.contains("\"event\":\"code\"")).count();
    assert_eq!(codes, 1);
}

/// The words are the code's own, as many as were asked for, and its number is not one of a hundred.
#[test]
fn the_host_picks_the_number() {
    let pair = Pair::new();
    pair.noise("file", 1_000);
    let mut numbers = Vec::new();
    for _ in 0..4 {
        let sender = pair.send(["--json", "--words", "5", "file"]).spawn();
        let code = next_code(&sender, &[]);
        let (number, _) = parts(&code);
        numbers.push(number.parse::<u32>().unwrap());
        assert_eq!(code.split('@').next().unwrap().matches('-').count(), 5, "{code}");
        sender.signal(rustix::process::Signal::TERM);
        sender.wait();
    }
    assert!(numbers.iter().all(|number| (1..10_000).contains(number)), "{numbers:?}");
    assert!(numbers.iter().any(|number| *number > 99), "{numbers:?}");
}
