//! Strangers at the UDP ports of real processes, and what a panic in the stack does (S-01, S-07, A-25).
//!
//! `REJOIN_TEST_STRANGERS_SECONDS=60` makes the transfer under fire last a minute; `REJOIN_TEST_STRANGERS_SEED` chooses what the
//! third socket makes of its random bytes.

use std::fs;
use std::time::Duration;

use crate::support::env::{Finished, Running};
use crate::support::pair::{CODE, Pair};
use crate::support::strangers::{Fire, Strangers};
use crate::support::tree::assert_same;

const MIB: usize = 1 << 20;

/// Content in a second, so that the fire meets a transfer under way and not only its set-up.
const RATE_MIB: usize = 4;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// A transfer under way, at [`RATE_MIB`].
fn under_way(
    pair: &Pair,
    seconds: u64,
    more: &[&str],
    environment: &[(&str, String)],
) -> [Running; 2] {
    pair.noise("large", usize::try_from(seconds).unwrap() * RATE_MIB * MIB);
    let deadline = Duration::from_secs(60 + 4 * seconds);
    let sending = ["--json", "--code", CODE, "large"].iter().chain(more);
    let receiving = ["--json", "-y", "-o", "target", CODE].iter().chain(more);
    let mut invocations = [pair.send(sending), pair.receive(receiving)];
    for invocation in &mut invocations {
        let mut changed = std::mem::replace(invocation, pair.home.rejoin([""; 0]));
        for (name, value) in environment {
            changed = changed.env(name, value);
        }
        *invocation = changed.env("REJOIN_BWLIMIT", format!("{RATE_MIB}M")).deadline(deadline);
    }
    let [sender, receiver] = invocations;
    let sender = sender.spawn();
    sender.event_where("code", |event| event["event"] == "code");
    [sender, receiver.spawn()]
}

fn reconnections(finished: &Finished) -> u64 {
    finished.outcome()["reconnections"].as_u64().unwrap()
}

/// Before, during and after the handshake, and all through the transfer: no link is lost, nothing panics, the file is whole.
fn under_fire(more: &[&str]) {
    let seconds = setting("REJOIN_TEST_STRANGERS_SECONDS").unwrap_or(5);
    let seed = setting("REJOIN_TEST_STRANGERS_SEED").unwrap_or(1);
    let pair = Pair::new();
    let [sender, receiver] = under_way(&pair, seconds, more, &[]);
    let strangers = Strangers::at(&[sender.pid(), receiver.pid()], Fire { rate: 8_000, seed });
    receiver.event_where("of content", |event| {
        event["event"] == "progress" && event["bytes"].as_u64() > Some(MIB as u64)
    });
    assert!(strangers.ports() >= 2, "both sides have a port");
    let received = receiver.wait().expect_code(0);
    let (sent, replayed) = strangers.sent();
    let sent_by = sender.wait().expect_code(0);
    drop(strangers);
    eprintln!("{sent} datagrams of strangers, {replayed} of them genuine ones of others");
    assert!(sent > 300 * seconds, "{sent}");
    for side in [&sent_by, &received] {
        assert_eq!(reconnections(side), 0, "{}", side.stdout);
        assert!(!side.stdout.contains("\"reconnecting\""), "{}", side.stdout);
        assert!(!side.stderr.contains("panicked"), "{}", side.stderr);
        assert!(side.stderr.lines().count() < 20, "{}", side.stderr);
    }
    assert_same(&pair.path("large"), &pair.path("target/large"));
}

/// S-01: one datagram of 14 bytes ended a connection; S-07: 1.6 MB made the stack panic; A-25.
#[test]
fn nothing_that_strangers_send_reaches_a_carried_link() {
    under_fire(&[]);
}

/// The same where DTLS travels without a carrier.
#[test]
fn nothing_that_strangers_send_reaches_a_plain_link() {
    under_fire(&["--plain"]);
}

/// Note (d) of the review: with `rtc=warn` every datagram of a stranger wrote a line or two.
#[test]
fn a_log_does_not_grow_with_what_strangers_send() {
    let pair = Pair::new();
    let log = ("REJOIN_LOG", "warn,rtc=warn,webrtc=warn,rtc_ice=warn,rtc_dtls=warn".to_owned());
    let [sender, receiver] = under_way(&pair, 2, &[], &[log]);
    let strangers = Strangers::at(&[sender.pid(), receiver.pid()], Fire { rate: 8_000, seed: 7 });
    let received = receiver.wait().expect_code(0);
    let (sent, _) = strangers.sent();
    let sent_by = sender.wait().expect_code(0);
    assert!(sent > 600, "{sent}");
    for side in [&sent_by, &received] {
        assert!(side.stderr.lines().count() < 200, "{}", side.stderr);
    }
}

/// N-07: wrong bits in datagrams never become content, with a carrier and without; some may cost a connection.
#[test]
fn wrong_bits_never_become_content() {
    let kinds: [&[&str]; 2] = [&[], &["--plain"]];
    for more in kinds {
        let pair = Pair::new();
        let flip = ("REJOIN_FAULT_FLIP", "40".to_owned());
        let [sender, receiver] = under_way(&pair, 2, more, &[flip]);
        receiver.wait().expect_code(0);
        sender.wait().expect_code(0);
        assert_same(&pair.path("large"), &pair.path("target/large"));
    }
}

/// S-07: a panic on the stack's thread is a lost link, never a lost process; another link takes its place.
#[test]
fn a_panic_of_the_stack_is_a_lost_link_and_no_more() {
    for side in 0..2 {
        let pair = Pair::new();
        let asked = |at: usize| {
            let name = if at == side { "panic" } else { "never" };
            pair.path(name).to_str().unwrap().to_owned()
        };
        pair.noise("large", 8 * RATE_MIB * MIB);
        let sender = pair
            .send(["--json", "--code", CODE, "large"])
            .env("REJOIN_BWLIMIT", format!("{RATE_MIB}M"))
            .env("REJOIN_FAULT_PANIC", asked(0))
            .spawn();
        sender.event_where("code", |event| event["event"] == "code");
        let receiver = pair.receiving().env("REJOIN_FAULT_PANIC", asked(1)).spawn();
        receiver.event_where("of content", |event| {
            event["event"] == "progress" && event["bytes"].as_u64() > Some(MIB as u64)
        });
        fs::write(pair.path("panic"), b"").unwrap();
        let lost = receiver.event_where("reconnecting", |event| event["event"] == "reconnecting");
        let back = receiver.event_where("recovered", |event| event["event"] == "recovered");
        let received = receiver.wait().expect_code(0);
        let sent = sender.wait().expect_code(0);
        let panicked = [&sent, &received][side];
        assert!(panicked.stderr.contains("as asked for"), "{}", panicked.stderr);
        assert_eq!(reconnections(&received), 1, "{}", received.stdout);
        assert_same(&pair.path("large"), &pair.path("target/large"));
        // D2: the statistics have the reason, not a guess.
        let role = ["send", "receive"][side];
        let stats = pair.shell(role, "rejoin stats --json").run().expect_code(0).stdout;
        assert!(stats.contains("transport failed"), "{stats}");
        assert!(!stats.contains("closed by the peer"), "{stats}");
        let took = back["t"].as_u64().unwrap() - lost["t"].as_u64().unwrap();
        assert!(took < 10_000, "{took} ms: {}", received.stdout);
    }
}
