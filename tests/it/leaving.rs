//! What one side hears of the other's end: soon, in words, whatever ended it, and that the same commands go on after it.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::env::{Finished, From, Running};
use crate::support::pair::{CODE, Pair, wait_for_half};

const LARGE: usize = 24 << 20;

/// Within this a side that ends is heard of, and one that is killed: less than any silence takes (L-01), and room for a machine
/// that has much else to do.
const SOON: Duration = Duration::from_secs(3);

/// A transfer under way, by a standing host if there is one.
struct Way {
    pair: Pair,
    host: Option<(Running, String)>,
}

impl Way {
    fn new(is_standing: bool) -> Self {
        let pair = Pair::new();
        pair.noise("large", LARGE);
        let host = is_standing.then(|| pair.home.host("127.0.0.1:0"));
        Self { pair, host }
    }

    fn arguments(&self, first: &[&str], more: &[&str]) -> Vec<String> {
        let host = self.host.as_ref().map(|(_, url)| ["--host", url.as_str()]);
        let host = host.iter().flatten();
        first.iter().chain(host).chain(more).map(|&word| word.to_owned()).collect()
    }

    fn sender(&self, more: &[&str]) -> Running {
        let arguments = self.arguments(&["--json", "--code", CODE, "large"], more);
        let sender = self.pair.send(arguments).env("REJOIN_BWLIMIT", "6M").spawn();
        sender.event_where("code", |event| event["event"] == "code");
        sender
    }

    fn receiver(&self, more: &[&str]) -> Running {
        let arguments = self.arguments(&["--json", "-y", "-o", "target", CODE], more);
        self.pair.receive(arguments).spawn()
    }

    /// Both, half-way.
    fn under_way(&self, sender: &[&str], receiver: &[&str]) -> (Running, Running) {
        let sender = self.sender(sender);
        let receiver = self.receiver(receiver);
        wait_for_half(&receiver);
        (sender, receiver)
    }
}

/// Whether this process was started to outlive its terminal, which its children inherit.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

fn left(run: &Running) -> Value {
    run.event_where("of the other's end", |event| event["event"] == "left")
}

fn text<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name].as_str().unwrap_or_else(|| panic!("no {name} in {event}"))
}

/// B-L: a signal that ends one side is said at the other within a second, in words; the same command goes on.
#[test]
fn a_side_that_is_stopped_says_so() {
    let cases = [
        (Signal::INT, "stopped", "Ctrl-C", 130),
        (Signal::TERM, "terminated", "terminated", 143),
        (Signal::HUP, "terminated", "terminal is gone", 143),
    ];
    for (at, (signal, reason, word, code)) in cases.into_iter().enumerate() {
        if signal == Signal::HUP && is_hangup_ignored() {
            eprintln!("under nohup: what is started here ignores the signal, too");
            continue;
        }
        for is_sender in [true, false] {
            let way = Way::new(at == 1);
            let (sender, receiver) = way.under_way(&[], &[]);
            let (stopped, other) =
                if is_sender { (&sender, &receiver) } else { (&receiver, &sender) };
            let before = Instant::now();
            stopped.signal(signal);
            let left = left(other);
            assert!(before.elapsed() < SOON, "{:?}: {left}", before.elapsed());
            assert_eq!(text(&left, "reason"), reason, "{left}");
            assert!(text(&left, "text").contains(word) && left["waiting"] == true, "{left}");
            // It comes back, and nothing is lost.
            if is_sender {
                sender.wait().expect_code(code);
                let again = way.arguments(&["--json", "large"], &[]);
                way.pair.send(again).run().expect_code(0);
                receiver.wait().expect_code(0);
            } else {
                receiver.wait().expect_code(code);
                way.receiver(&[]).wait().expect_code(0);
                sender.wait().expect_code(0);
            }
        }
    }
}

/// B-L: one that is killed says nothing, and is missed all the same: by its place at the host, or by its host.
#[test]
fn a_side_that_is_killed_is_missed_at_once() {
    for is_standing in [false, true] {
        for is_sender in [true, false] {
            let way = Way::new(is_standing);
            let (sender, receiver) = way.under_way(&[], &[]);
            let (killed, other) =
                if is_sender { (&sender, &receiver) } else { (&receiver, &sender) };
            let before = Instant::now();
            killed.signal(Signal::KILL);
            let left = left(other);
            let after = before.elapsed();
            assert!(after < SOON, "standing {is_standing}, sender {is_sender}: {after:?}: {left}");
            assert_eq!(text(&left, "reason"), "gone", "{left}");
            assert!(left["waiting"] == true, "{left}");
        }
    }
}

/// B-L: the time that a user gave one side, and one that is waited for in vain: 5, and why.
#[test]
fn waiting_in_vain_ends_with_the_reason() {
    let way = Way::new(false);
    let (sender, receiver) = way.under_way(&["--retry-for", "2s"], &["--timeout", "3s"]);
    let left = left(&sender);
    assert_eq!(text(&left, "reason"), "timeout", "{left}");
    receiver.wait().expect_code(124);
    let error = sender.wait().expect_code(5).outcome();
    assert!(text(&error, "message").contains("--timeout"), "{error}");

    let way = Way::new(true);
    let (sender, receiver) = way.under_way(&[], &["--retry-for", "2s"]);
    sender.signal(Signal::INT);
    let error = receiver.wait().expect_code(5).outcome();
    assert!(text(&error, "message").contains("Ctrl-C"), "{error}");
    sender.wait().expect_code(130);
}

/// B-L: a host that is killed and started again costs nothing while the connection lives.
#[test]
fn a_host_that_restarts_costs_nothing() {
    let mut way = Way::new(true);
    let (sender, receiver) = way.under_way(&[], &[]);
    let (host, url) = way.host.take().unwrap();
    host.signal(Signal::KILL);
    host.wait();
    let again = way.pair.home.host(url.trim_start_matches("ws://"));
    let ends: [Finished; 2] = [receiver.wait().expect_code(0), sender.wait().expect_code(0)];
    for end in &ends {
        assert!(!end.events().iter().any(|event| event["event"] == "left"), "{:#?}", end.events());
        assert_eq!(end.outcome()["reconnections"], 0);
    }
    again.0.signal(Signal::TERM);
    again.0.wait();
}

/// `--stall-timeout`, on either side: one that stands still while its machine is there is left after that time, long before
/// pings tell it, and met again. A sender says it in one line.
#[test]
fn a_side_that_stands_still_is_left_after_the_time_of_the_other() {
    for is_sender in [true, false] {
        let way = Way::new(true);
        let stall = ["--stall-timeout", "3s"];
        let sender = way.arguments(&["--code", CODE, "large"], &stall);
        let sender = way.pair.send(sender).env("REJOIN_BWLIMIT", "6M").env("REJOIN_JSON", "1");
        let (sender, receiver) = if is_sender {
            let sender = sender.spawn();
            sender.event_where("code", |event| event["event"] == "code");
            (sender, way.receiver(&[]))
        } else {
            (way.sender(&[]), way.receiver(&stall))
        };
        wait_for_half(&receiver);
        let (stands, other) = if is_sender { (&receiver, &sender) } else { (&sender, &receiver) };
        stands.signal(Signal::STOP);
        let before = Instant::now();
        let lost = other.event_where("of the loss", |event| {
            event["event"] == "link" && event["state"] == "disconnected"
        });
        let after = before.elapsed();
        // Pings tell it after 15 s.
        assert!((Duration::from_secs(2)..Duration::from_secs(10)).contains(&after), "{after:?}");
        assert!(text(&lost, "reason").contains("too long"), "{lost}");
        stands.signal(Signal::CONT);
        receiver.wait().expect_code(0);
        sender.wait().expect_code(0);
    }
}

/// The screen of a sender whose link is lost (cli.md): one line says so, and one that it is back.
#[test]
fn a_lost_link_has_one_line_on_the_screen_of_the_sender() {
    let way = Way::new(true);
    let arguments = way.arguments(&["--code", CODE, "large"], &["--stall-timeout", "3s"]);
    let sender = way.pair.send(arguments).env("REJOIN_BWLIMIT", "6M").spawn();
    sender.line_with(From::Stderr, "rejoin receive ");
    let receiver = way.receiver(&[]);
    wait_for_half(&receiver);
    receiver.signal(Signal::STOP);
    sender.line_with(From::Stderr, "Connection lost");
    receiver.signal(Signal::CONT);
    receiver.wait().expect_code(0);
    let sender = sender.wait().expect_code(0);
    let of_it = ["lost", "Reconnecting", "Waiting", "Back"];
    let lines = sender.stderr.lines().filter(|line| of_it.iter().any(|word| line.contains(word)));
    let lines: Vec<_> = lines.collect();
    assert!(lines.len() == 2 && lines[1].starts_with("Back after "), "{lines:?}");
}

/// B-L: a disk that is full is named at the other end, with what is wrong.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_to_the_sender() {
    use crate::support::lab::disk::{Kind, Mount};
    use crate::support::lab::or_skip;

    let disk = or_skip!(Mount::new(Kind::Tmpfs, 8));
    let way = Way::new(false);
    let tree = way.pair.path("tree");
    std::fs::create_dir(&tree).unwrap();
    for name in 0..20 {
        way.pair.noise(&format!("tree/{name}"), 1 << 20);
    }
    let sender = way.pair.sending("tree");
    let target = disk.path().to_str().unwrap().to_owned();
    let receiver = way.pair.receive(["--json", "-y", "-o", &target, CODE]).run().expect_code(8);
    let left = left(&sender);
    assert_eq!(text(&left, "reason"), "disk", "{left}");
    assert!(text(&left, "text").contains(&target), "{left}");
    assert!(left["waiting"] == true, "{left}: {}", receiver.stderr);
}
