//! Through a real TURN server (coturn with its shared secret), by real processes that may use no other path.
#![cfg(target_os = "linux")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use hmac::{Hmac, Mac as _};
use rustix::process::Signal;
use serde_json::Value;
use sha1::Sha1;

use crate::support::coturn::{Coturn, SECRET};
use crate::support::env::{Finished, Invocation, Running};
use crate::support::pair::{CODE, Pair};
use crate::support::tree::assert_same;

const MIB: usize = 1 << 20;

/// What a test may take that waits for timeouts of ICE.
const PATIENCE: Duration = Duration::from_secs(150);

/// Both sides with `--relay-only`, on their way.
fn sender(pair: &Pair, turn: &Coturn, path: &str) -> Invocation {
    let url = turn.url();
    pair.send(["--json", "--relay-only", "--turn", &url, "--code", CODE, path]).deadline(PATIENCE)
}

fn receiver(pair: &Pair, turn: &Coturn) -> Invocation {
    let url = turn.url();
    let arguments = ["--json", "-y", "--relay-only", "--turn", &url, "-o", "target", CODE];
    pair.receive(arguments).deadline(PATIENCE)
}

fn ready(sender: Running) -> Running {
    sender.event_where("code", |event| event["event"] == "code");
    sender
}

fn count(run: &Finished, is_meant: impl Fn(&Value) -> bool) -> usize {
    run.events().iter().filter(|event| is_meant(event)).count()
}

fn is_warning(event: &Value, code: &str) -> bool {
    event["event"] == "warning" && event["code"] == code
}

/// Credentials of the time-limited form, as coturn makes them.
fn credentials(lasts: i64) -> (String, String) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let username = format!("{}:test", now.saturating_add_signed(lasts));
    let mut mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(username.as_bytes());
    let password = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    (username, password)
}

/// A command that prints the first of `answers` first, then the next, and the last one from then on.
fn source(pair: &Pair, name: &str, answers: &[(String, String)]) -> String {
    for (at, (username, password)) in answers.iter().enumerate() {
        let answer = format!(r#"{{"username": "{username}", "password": "{password}"}}"#);
        pair.home.file(&format!("{name}/{at}"), answer);
    }
    let directory = pair.path(name);
    let script = pair.home.file(
        &format!("{name}/give"),
        format!(
            "cd '{}' && echo x >> asked && n=$(($(wc -l < asked) - 1)) && \
             {{ cat $n 2>/dev/null || cat {}; }}",
            directory.display(),
            answers.len() - 1
        ),
    );
    // No shell's quotes: neither word has a space.
    format!("/bin/sh {}", script.display())
}

fn asked(pair: &Pair, name: &str) -> usize {
    std::fs::read_to_string(pair.path(name).join("asked")).unwrap().lines().count()
}

#[test]
fn what_may_go_through_a_relay_only_goes_through_it() {
    let turn = Coturn::start();
    let pair = Pair::new();
    pair.noise("large", 16 * MIB);
    let sender = ready(sender(&pair, &turn, "large").env("REJOIN_TURN_SECRET", SECRET).spawn());
    let receiver = receiver(&pair, &turn).env("REJOIN_TURN_SECRET", SECRET).run().expect_code(0);
    let sender = sender.wait().expect_code(0);
    assert_same(&pair.path("large"), &pair.path("target/large"));
    for run in [&sender, &receiver] {
        let events = run.events();
        let connected = events.iter().find(|event| event["event"] == "connected").unwrap();
        assert_eq!(connected["path"], "relay", "{connected}");
        let is_of_turn =
            |event: &Value| event["code"].as_str().is_some_and(|code| code.starts_with("turn"));
        assert_eq!(count(run, is_of_turn), 0, "{}", run.stdout);
    }
    let done = receiver.outcome();
    eprintln!("relayed at {} MB/s", done["rate_bps"].as_f64().unwrap() / 1e6);
}

/// Whichever side is refused ends, with a word; the other one waits for it to come back with better ones.
#[test]
fn wrong_credentials_end_the_run_with_the_name_of_the_server() {
    let turn = Coturn::start();
    let wrong = |run: Invocation| {
        run.env("REJOIN_TURN_USERNAME", "ann").env("REJOIN_TURN_PASSWORD", "hunter2")
    };
    let right = |run: Invocation| run.env("REJOIN_TURN_SECRET", SECRET);
    for is_sender_wrong in [false, true] {
        let pair = Pair::new();
        pair.noise("small", 1000);
        let (sender, receiver) = (sender(&pair, &turn, "small"), receiver(&pair, &turn));
        let (refused, other) = if is_sender_wrong {
            let sender = ready(wrong(sender).spawn());
            (sender, right(receiver).spawn())
        } else {
            let sender = ready(right(sender).spawn());
            (wrong(receiver).spawn(), sender)
        };
        let refused = refused.wait().expect_code(3);
        let error = refused.outcome();
        assert!(error["message"].as_str().unwrap().contains(&turn.url()), "{error}");
        assert!(error["hint"].as_str().unwrap().contains("REJOIN_TURN_"), "{error}");
        let warnings = count(&refused, |event| is_warning(event, "turn_auth"));
        assert_eq!(warnings, 1, "{}", refused.stdout);
        other.signal(Signal::INT);
        let other = other.wait().expect_code(130);
        assert_eq!(count(&other, |event| is_warning(event, "turn_auth")), 0, "{}", other.stdout);
    }
}

#[test]
fn credentials_that_expired_between_two_runs_are_fetched_again() {
    let turn = Coturn::start();
    let pair = Pair::new();
    pair.noise("large", 24 * MIB);
    let (good, expired) = (credentials(3600), credentials(-10));
    let command = source(&pair, "source", &[good.clone(), expired, good]);
    // Thin, so that the first run meets its end in the middle of the file.
    let sender = sender(&pair, &turn, "large").env("REJOIN_FAULT_RATE", "4000000");
    let sender = ready(sender.env("REJOIN_TURN_SECRET", SECRET).spawn());
    let first = receiver(&pair, &turn).env("REJOIN_TURN_CREDENTIALS_COMMAND", &command).spawn();
    first.event_where("of progress", |event| {
        event["event"] == "progress" && event["bytes"].as_u64().unwrap() > 2 * MIB as u64
    });
    assert_eq!(asked(&pair, "source"), 1);
    first.signal(Signal::KILL);
    first.wait();
    // Without the flag: the session knows its servers, and the source gives what has expired first.
    let again = pair
        .receive(["--json", "-y", "--relay-only", "-o", "target", CODE])
        .deadline(PATIENCE)
        .env("REJOIN_TURN_CREDENTIALS_COMMAND", &command)
        .run()
        .expect_code(0);
    assert_eq!(asked(&pair, "source"), 3);
    sender.wait().expect_code(0);
    assert_same(&pair.path("large"), &pair.path("target/large"));
    let done = again.outcome();
    assert!(done["kept_bytes"].as_u64().unwrap() >= MIB as u64, "{done}");
    let path =
        again.events().iter().find(|event| event["event"] == "connected").unwrap()["path"].clone();
    assert_eq!(path, "relay");
}

#[test]
fn credentials_that_a_server_refuses_are_asked_for_again_once() {
    let turn = Coturn::start();
    let pair = Pair::new();
    pair.noise("small", 1000);
    let wrong = ("ann".to_owned(), "hunter2".to_owned());
    let command = source(&pair, "source", &[wrong, credentials(3600)]);
    let sender = ready(sender(&pair, &turn, "small").env("REJOIN_TURN_SECRET", SECRET).spawn());
    let receiver = receiver(&pair, &turn)
        .env("REJOIN_TURN_CREDENTIALS_COMMAND", &command)
        .run()
        .expect_code(0);
    sender.wait().expect_code(0);
    assert_eq!(asked(&pair, "source"), 2);
    assert_eq!(count(&receiver, |event| is_warning(event, "turn_auth")), 1);
}

#[test]
fn a_relay_that_dies_and_comes_back_is_survived() {
    let mut turn = Coturn::start();
    let pair = Pair::new();
    pair.noise("large", 48 * MIB);
    let sender = ready(sender(&pair, &turn, "large").env("REJOIN_TURN_SECRET", SECRET).spawn());
    let receiver = receiver(&pair, &turn).env("REJOIN_TURN_SECRET", SECRET).spawn();
    receiver.event_where("of progress", |event| {
        event["event"] == "progress" && event["bytes"].as_u64().unwrap() > 4 * MIB as u64
    });
    turn.restart();
    let receiver = receiver.wait().expect_code(0);
    sender.wait().expect_code(0);
    assert_same(&pair.path("large"), &pair.path("target/large"));
    let done = receiver.outcome();
    assert!(done["resent_bytes"].as_u64().unwrap() <= 8 * MIB as u64, "{done}");
    let recovered =
        receiver.events().into_iter().find(|event| event["event"] == "recovered").unwrap();
    eprintln!("back after {} ms by {}", recovered["after_ms"], recovered["layer"]);
}

#[test]
fn servers_that_cannot_be_used_are_named_and_not_passed_over() {
    let pair = Pair::new();
    pair.noise("small", 1000);
    let only = pair.send(["--json", "--relay-only", "--turn", "turns:192.0.2.1", "small"]).run();
    let error = only.expect_code(2).outcome();
    assert!(error["message"].as_str().unwrap().contains("turns:192.0.2.1"), "{error}");
    assert!(!error["hint"].as_str().unwrap().is_empty(), "{error}");
    let url = "turn:192.0.2.1?transport=tcp";
    let also = pair.send(["--json", "--turn", url, "--code", CODE, "small"]).spawn();
    let warning = also.event_where("of the transport", |event| is_warning(event, "turn_transport"));
    assert!(warning["message"].as_str().unwrap().contains(url), "{warning}");
    also.signal(Signal::INT);
    also.wait().expect_code(130);
}
