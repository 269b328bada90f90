//! The two sides of a session find each other again: the sender's port is taken, a record is lost, a code is used again.
#![cfg(unix)]

use std::fs;
use std::net::TcpListener;

use rejoin::signal::code::PORT_DEFAULT;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::pair::{CODE, Pair, wait_for_half};
use crate::support::tree::assert_same;

const MIB: usize = 1 << 20;

/// Large enough to be half there for a while, small enough for a test.
const LARGE: usize = 64 * MIB;

/// Kills both sides of a transfer of `large` in its midst; the port where the sender was.
fn interrupted(pair: &Pair) -> u16 {
    pair.noise("large", LARGE);
    let sender = pair.sending("large");
    let code = sender.event_where("code", |event| event["event"] == "code");
    let command = code["command"].as_str().unwrap();
    // The usual port is not named; another run of the tests may have held it when ours began.
    let port = command.rsplit_once(':').map_or(PORT_DEFAULT, |(_, port)| port.parse().unwrap());
    let receiver = pair.receiving().spawn();
    wait_for_half(&receiver);
    for run in [sender, receiver] {
        run.signal(Signal::KILL);
        run.wait();
    }
    port
}

fn figure(event: &Value, name: &str) -> usize {
    event[name].as_u64().unwrap_or_else(|| panic!("no {name} in {event}")) as usize
}

/// What was kept was not sent again.
#[track_caller]
fn assert_kept(pair: &Pair, done: &Value) {
    assert!(figure(done, "kept_bytes") >= MIB, "{done}");
    assert!(figure(done, "wire_bytes") + figure(done, "kept_bytes") <= LARGE + 4 * MIB, "{done}");
    assert_same(&pair.path("large"), &pair.path("target/large"));
    assert_eq!(fs::read_dir(pair.path("target")).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn a_sender_whose_port_is_taken_is_found_at_another() {
    for receiver_first in [true, false] {
        let pair = Pair::new();
        let port = interrupted(&pair);
        let _taken = TcpListener::bind(("::", port)).unwrap();
        let waiting = receiver_first.then(|| pair.receiving().spawn());
        let sender = pair.send(["--json", "large"]).spawn();
        let moved = sender.event_where("warning", |event| event["code"] == "port_moved");
        assert!(moved["message"].as_str().unwrap().contains(&port.to_string()), "{moved}");
        let receiver = waiting.unwrap_or_else(|| pair.receiving().spawn());
        let done = receiver.wait().expect_code(0).outcome();
        sender.wait().expect_code(0);
        assert_kept(&pair, &done);
    }
}

#[test]
fn a_host_that_took_the_senders_port_serves_both() {
    let pair = Pair::new();
    let port = interrupted(&pair);
    // Not in the registry, as on two machines: the receiver knows the old port only.
    let listen = format!("[::]:{port}");
    let (host, _) = pair.home.host(&listen);
    let elsewhere = pair.path("elsewhere");
    let receiver = pair.receiving().env("REJOIN_RUNTIME_DIR", &elsewhere).spawn();
    let sender = pair.send(["--json", "large"]).spawn();
    let done = receiver.wait().expect_code(0).outcome();
    sender.wait().expect_code(0);
    assert_kept(&pair, &done);
    host.signal(Signal::TERM);
    host.wait();
}

#[test]
fn a_receiver_that_lost_its_record_is_invited_back_to_its_partial_files() {
    for is_running in [true, false] {
        let pair = Pair::new();
        interrupted(&pair);
        fs::remove_dir_all(pair.path("state-receive")).unwrap();
        let state = pair.path("state-send");
        let id = fs::read_dir(state.join("sending")).unwrap().next().unwrap().unwrap().file_name();
        let id = id.to_str().unwrap();
        let resume = || {
            let state = state.to_str().unwrap();
            pair.home.rejoin(["resume", "--json", "--state-dir", state]).spawn()
        };
        let before = is_running.then(resume);
        if let Some(run) = &before {
            run.event_where("waiting", |event| event["event"] == "waiting");
        }
        let arguments =
            ["sessions", "invite", "--json", id, "--state-dir", state.to_str().unwrap()];
        let invited = pair.home.rejoin(arguments).run().expect_code(0);
        let invited: Value = serde_json::from_str(&invited.stdout).unwrap();
        assert_eq!(invited["is_running"], is_running);
        let sender = before.unwrap_or_else(resume);
        // The invitation takes the place of the one that the run began with.
        sender.event_where("code", |event| event["code"] == invited["code"]);
        let code = invited["code"].as_str().unwrap();
        let receiver = pair.receive(["--json", "-y", "-o", "target", code]).run().expect_code(0);
        sender.wait().expect_code(0);
        assert_kept(&pair, &receiver.outcome());
        // One use.
        pair.receive(["--json", "-y", "-o", "elsewhere", code]).run().expect_code(4);
    }
}

#[test]
fn only_a_sender_invites() {
    let pair = Pair::new();
    interrupted(&pair);
    let state = pair.path("state-receive");
    let id = fs::read_dir(state.join("receiving")).unwrap().next().unwrap().unwrap().file_name();
    let state = state.to_str().unwrap();
    let arguments = ["sessions", "invite", id.to_str().unwrap(), "--state-dir", state];
    let refused = pair.home.rejoin(arguments).run().expect_code(2);
    assert!(refused.stderr.contains("only its sender can invite"), "{}", refused.stderr);
}

#[test]
fn a_code_used_again_for_something_new_beside_an_unfinished_session() {
    let pair = Pair::new();
    interrupted(&pair);
    pair.noise("new", MIB);
    let sender = pair.send(["--json", "--code", CODE, "new"]).spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let receiver = pair.receiving().run().expect_code(0);
    sender.wait().expect_code(0);
    assert!(receiver.stdout.contains("code_reused"), "{}", receiver.stdout);
    assert_same(&pair.path("new"), &pair.path("target/new"));
    // The unfinished one is as it was.
    let sender = pair.send(["--json", "large"]).spawn();
    let receiver = pair.receive(["--json", "-y", "-o", "target"]).run().expect_code(0);
    sender.wait().expect_code(0);
    assert!(figure(&receiver.outcome(), "kept_bytes") >= MIB);
    assert_same(&pair.path("large"), &pair.path("target/large"));
}
