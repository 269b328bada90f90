//! Neither side starts over: killed, stopped or out of its mind, the same command continues.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::env::Finished;
use crate::support::pair::{CODE, Pair, wait_for_half};
use crate::support::random::Random;
use crate::support::tree::{assert_same, describe};

const MIB: usize = 1 << 20;

/// Large enough to be half there for a while, small enough for a test.
const LARGE: usize = 64 * MIB;

fn figure(event: &Value, name: &str) -> usize {
    event[name].as_u64().unwrap_or_else(|| panic!("no {name} in {event}")) as usize
}

/// A receiver's second run kept something, fetched only the rest, and both ends are well.
#[track_caller]
fn assert_continued(pair: &Pair, sender: Finished, receiver: &Finished) {
    sender.expect_code(0);
    assert_same(&pair.path("large"), &pair.path("target/large"));
    let done = receiver.outcome();
    assert!(figure(&done, "kept_bytes") >= MIB, "{done}");
    assert!(figure(&done, "wire_bytes") + figure(&done, "kept_bytes") <= LARGE + 4 * MIB, "{done}");
    assert!(figure(&done, "resent_bytes") <= 4 * MIB, "{done}");
    assert_eq!(fs::read_dir(pair.path("target")).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn a_killed_receiver_continues_by_the_same_command() {
    let pair = Pair::new();
    pair.noise("large", LARGE);
    let sender = pair.sending("large");
    let receiver = pair.receiving().spawn();
    wait_for_half(&receiver);
    receiver.signal(Signal::KILL);
    assert_eq!(receiver.wait().status.signal(), Some(9));
    assert!(!pair.path("target/large").exists());
    let again = pair.receiving().run().expect_code(0);
    assert_eq!(
        again.events().iter().find(|event| event["event"] == "session").unwrap()["resumed"],
        true
    );
    let sender = sender.wait();
    let events = sender.events();
    let recovered = events.iter().find(|event| event["event"] == "recovered").unwrap();
    assert!((MIB..LARGE).contains(&figure(recovered, "kept_bytes")), "{recovered}");
    assert_continued(&pair, sender, &again);
}

/// Every file below a directory under a second name in another one, as `cp -al` makes them, but for the lock.
fn link_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for found in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(found.file_name());
        if found.file_type().unwrap().is_dir() {
            link_all(&found.path(), &to);
        } else if found.file_name() != "in-use" {
            fs::hard_link(found.path(), to).unwrap();
        }
    }
}

/// B-3: what a snapshot by hard links holds stays as it is; the run that goes on writes into files of its own.
#[test]
fn what_has_other_names_is_not_written_in_place() {
    let pair = Pair::new();
    fs::set_permissions(pair.noise("large", LARGE), fs::Permissions::from_mode(0o640)).unwrap();
    let sender = pair.sending("large");
    let receiver = pair.receiving().spawn();
    wait_for_half(&receiver);
    receiver.signal(Signal::KILL);
    receiver.wait();
    let snapshot = pair.path("snapshot");
    link_all(&pair.path("target"), &snapshot);
    let before = describe(&snapshot);
    for name in [".part", "journal", "pages"] {
        assert!(before.keys().any(|path| path.ends_with(name)), "{before:?}");
    }
    let again = pair.receiving().run().expect_code(0);
    assert_eq!(describe(&snapshot), before);
    assert_continued(&pair, sender.wait(), &again);
}

#[test]
fn a_stopped_receiver_names_the_command_that_continues() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let pair = Pair::new();
        pair.noise("large", LARGE);
        let sender = pair.sending("large");
        let receiver = pair.receiving().spawn();
        wait_for_half(&receiver);
        let asked = Instant::now();
        receiver.signal(signal);
        let stopped = receiver.wait().expect_code(code);
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        let error = stopped.outcome();
        let command = error["resume_command"].as_str().unwrap();
        let again = pair.shell("receive", command).run().expect_code(0);
        assert_continued(&pair, sender.wait(), &again);
    }
}

#[test]
fn the_last_words_to_a_person_are_the_command_that_continues() {
    let pair = Pair::new();
    pair.noise("large", LARGE);
    let sender = pair.sending("large");
    let receiver = pair.receive(["-y", "-o", "target", CODE]).spawn();
    wait_for_half(&sender);
    receiver.signal(Signal::INT);
    let stopped = receiver.wait().expect_code(130);
    let command = stopped.stderr.trim_end().lines().last().unwrap();
    let again = pair.shell("receive", command).env("REJOIN_JSON", "true").run().expect_code(0);
    assert_continued(&pair, sender.wait(), &again);
}

#[test]
fn a_stopped_or_killed_sender_continues_by_the_same_command() {
    for signal in [Signal::INT, Signal::KILL] {
        let pair = Pair::new();
        pair.noise("large", LARGE);
        let sender = pair.sending("large");
        let receiver = pair.receiving().spawn();
        wait_for_half(&receiver);
        sender.signal(signal);
        let status = sender.wait().status;
        assert!(status.code() == Some(130) || status.signal() == Some(9), "{status:?}");
        let again = pair.send(["--json", "--code", CODE, "large"]).spawn();
        let done = receiver.wait().expect_code(0).outcome();
        assert!(figure(&done, "reconnections") >= 1, "{done}");
        let again = again.wait().expect_code(0);
        assert!(figure(&again.outcome(), "wire_bytes") < LARGE - MIB, "{}", again.stdout);
        assert_same(&pair.path("large"), &pair.path("target/large"));
    }
}

#[test]
fn both_sides_killed_continue() {
    let pair = Pair::new();
    pair.noise("large", LARGE);
    let (sender, receiver) = (pair.sending("large"), pair.receiving().spawn());
    wait_for_half(&receiver);
    sender.signal(Signal::KILL);
    receiver.signal(Signal::KILL);
    sender.wait();
    receiver.wait();
    let sender = pair.send(["--json", "--code", CODE, "large"]).spawn();
    let receiver = pair.receiving().run().expect_code(0);
    assert_continued(&pair, sender.wait(), &receiver);
}

#[test]
fn what_is_complete_is_not_received_again() {
    let pair = Pair::new();
    pair.noise("small", 1000);
    pair.transfer("small", &["-y"], (0, 0));
    // Nor is it said to be there by a sender that is not.
    pair.receiving().run().expect_code(4);
    let (sender, receiver) = pair.transfer("small", &["-y"], (0, 0));
    for run in [sender, receiver] {
        assert_eq!(run.outcome()["wire_bytes"], 0);
    }
}

#[test]
fn a_code_that_is_used_again_brings_what_is_new() {
    let pair = Pair::new();
    for name in ["first", "second"] {
        pair.noise(name, 1000);
        pair.transfer(name, &["-y"], (0, 0));
        assert_same(&pair.path(name), &pair.path("target").join(name));
    }
}

/// Kills the receiver of a transfer at a random moment, N times (`REJOIN_TEST_KILLS`), each with a seed of its own, on a
/// file of `REJOIN_TEST_KILL_MIB`.
#[test]
fn kills_at_random_moments_lose_nothing() {
    let count = number("REJOIN_TEST_KILLS").unwrap_or(12);
    let first = number("REJOIN_TEST_SEED").unwrap_or(1);
    let size = number("REJOIN_TEST_KILL_MIB").unwrap_or(24) as usize * MIB;
    let full = calibrate(size);
    let mut kept = 0;
    for seed in first..first + count {
        let outcome = std::panic::catch_unwind(|| kill_once(seed, size, full));
        match outcome {
            Ok(was_kept) => kept += u64::from(was_kept),
            Err(panic) => {
                eprintln!(
                    "failed with REJOIN_TEST_SEED={seed} REJOIN_TEST_KILLS=1, a full run of {full:?}"
                );
                std::panic::resume_unwind(panic);
            }
        }
    }
    eprintln!("{count} kills within {full:?}, {kept} of them with something kept");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// How long a receiver takes that nobody disturbs.
fn calibrate(size: usize) -> Duration {
    let pair = Pair::new();
    pair.noise("large", size);
    let sender = pair.sending("large");
    let start = Instant::now();
    pair.receiving().run().expect_code(0);
    let full = start.elapsed();
    sender.wait().expect_code(0);
    full
}

/// Returns whether the second run had something to keep.
fn kill_once(seed: u64, size: usize, full: Duration) -> bool {
    let pair = Pair::new();
    let source = fs::read(pair.noise("large", size)).unwrap();
    let sender = pair.sending("large");
    let moment = Duration::from_micros(Random::new(seed).below(full.as_micros() as u64));
    let receiver = pair.receiving().spawn();
    let first = receiver.kill_after(moment);
    let target = pair.path("target/large");
    if target.exists() {
        assert!(
            fs::read(&target).unwrap() == source,
            "wrong bytes under the final name after {moment:?}"
        );
    }
    let again = pair.receiving().run();
    let outcome = again.outcome();
    let has =
        |name: &str, words: &str| outcome[name].as_str().is_some_and(|text| text.contains(words));
    // Killed after both had ended the session, before it could say so: nobody offers the code any more.
    let was_over = again.code() == 4 && has("hint", "was completed here");
    // Killed after it told its sender that all is here, before it heard that the sender knows: it cannot know it, says what it
    // has and what to do, and does not wait for long.
    let is_alone = again.code() == 5
        && has("message", "everything that was sent is here and verified")
        && has("message", "the sender has ended")
        && outcome["t"].as_u64().is_some_and(|t| t < 15_000);
    assert!(
        again.code() == 0 || was_over || is_alone,
        "killed after {moment:?}\n{}\n{}\n{}",
        first.stdout,
        again.stdout,
        again.stderr
    );
    sender.wait().expect_code(0);
    assert!(fs::read(&target).unwrap() == source, "wrong bytes at the end");
    if is_alone {
        let (_, command) = outcome["hint"].as_str().unwrap().split_once('`').unwrap();
        let (command, _) = command.split_once('`').unwrap();
        pair.shell("receive", command).run().expect_code(0);
    }
    assert_eq!(fs::read_dir(pair.path("target")).unwrap().count(), 1, "nothing else is left");
    again.code() == 0 && figure(&outcome, "kept_bytes") > 0
}
