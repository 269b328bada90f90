//! Real processes whose UDP is cut, with the feature `fault-injection`: how soon they are back once it is mended.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::env::Running;
use crate::support::pair::{CODE, Pair};
use crate::support::tree::assert_same;

const MIB: usize = 1 << 20;

/// Content that lasts for a while at [`RATE`].
const LARGE: usize = 24 * MIB;

/// Bytes a second that the sender hands to its connections.
const RATE: &str = "2000000";

/// A transfer under way: the sender, and the receiver with the moment of its start.
fn under_way(pair: &Pair) -> (Running, Running, Instant) {
    pair.noise("large", LARGE);
    let cable = pair.path("cut");
    let sender = pair
        .send(["--json", "--code", CODE, "large"])
        .env("REJOIN_FAULT_CUT", cable.as_os_str().to_str().unwrap())
        .env("REJOIN_FAULT_RATE", RATE)
        .deadline(Duration::from_secs(150))
        .spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let started = Instant::now();
    let receiver = pair
        .receiving()
        .env("REJOIN_FAULT_CUT", cable.as_os_str().to_str().unwrap())
        .deadline(Duration::from_secs(150))
        .spawn();
    receiver.event_where("of content", |event| {
        event["event"] == "progress" && event["bytes"].as_u64() > Some(MIB as u64)
    });
    (sender, receiver, started)
}

fn millis(event: &Value, name: &str) -> u64 {
    event[name].as_u64().unwrap_or_else(|| panic!("no {name} in {event}"))
}

/// Cuts for `seconds` and says after how many milliseconds from its end the receiver was back.
fn back_after(seconds: u64) -> u64 {
    let pair = Pair::new();
    let (sender, receiver, started) = under_way(&pair);
    fs::write(pair.path("cut"), b"").unwrap();
    // The fault itself lasts that long; nothing is waited for in vain.
    std::thread::sleep(Duration::from_secs(seconds));
    let mended = started.elapsed().as_millis() as u64;
    fs::remove_file(pair.path("cut")).unwrap();
    let received = receiver.wait().expect_code(0);
    sender.wait().expect_code(0);
    assert_same(&pair.path("large"), &pair.path("target/large"));
    let events = received.events();
    // By whichever layer: what was under way waits in the carrier, so a restart of ICE mends a long cut, too.
    let recovered = events.iter().rfind(|event| event["event"] == "recovered");
    let back = recovered.unwrap_or_else(|| panic!("never lost: {events:#?}"));
    // Content comes, and not only a link.
    let first = events
        .iter()
        .find(|event| event["event"] == "progress" && millis(event, "t") > millis(back, "t"))
        .unwrap_or_else(|| panic!("nothing came: {events:#?}"));
    eprintln!(
        "cut of {seconds} s: by {}, back {} ms after it, content shown {} ms after it",
        back["layer"],
        millis(back, "t") as i64 - mended as i64,
        millis(first, "t") as i64 - mended as i64
    );
    millis(back, "t").saturating_sub(mended)
}

/// The path is tried all the time while host and peer are there, so its return is used at once.
#[test]
fn cuts_of_20_and_40_s_are_over_3_s_after_their_end() {
    let cuts = [20, 40].map(|seconds| std::thread::spawn(move || (seconds, back_after(seconds))));
    for cut in cuts {
        let (seconds, after) = cut.join().unwrap();
        assert!(after < 3_000, "cut of {seconds} s: back {after} ms after its end");
    }
}

/// Cuts that meet the grace, a restart or the 10 s of outage: all are over soon.
#[test]
fn shorter_cuts_are_over_soon_too() {
    let cuts = [7, 9, 12, 15].map(|seconds| std::thread::spawn(move || back_after(seconds)));
    for cut in cuts {
        let after = cut.join().unwrap();
        assert!(after < 5_000, "back {after} ms after its end");
    }
}

/// A cut within the grace leaves the connection alone, if its SCTP wakes in time; the tree arrives either way.
#[test]
fn a_cut_of_2_s_loses_no_byte() {
    let pair = Pair::new();
    let (sender, receiver, _) = under_way(&pair);
    fs::write(pair.path("cut"), b"").unwrap();
    std::thread::sleep(Duration::from_secs(2));
    fs::remove_file(pair.path("cut")).unwrap();
    receiver.wait().expect_code(0);
    sender.wait().expect_code(0);
    assert_same(&pair.path("large"), &pair.path("target/large"));
}

/// SIGUSR1 to either side restarts ICE in the connection that is there (K-16).
#[test]
fn a_signal_renews_the_path() {
    for to_sender in [false, true] {
        let pair = Pair::new();
        let (sender, receiver, _) = under_way(&pair);
        if to_sender { &sender } else { &receiver }.signal(Signal::USR1);
        let received = receiver.wait().expect_code(0);
        sender.wait().expect_code(0);
        assert_same(&pair.path("large"), &pair.path("target/large"));
        let events = received.events();
        let is = |name: &'static str| {
            events.iter().any(|event| event["event"] == name && event["layer"] == "ice")
        };
        assert!(is("reconnecting"), "to the sender: {to_sender}: {events:#?}");
        assert!(is("recovered"), "to the sender: {to_sender}: {events:#?}");
        assert_eq!(millis(&received.outcome(), "reconnections"), 0);
    }
}
