//! Paths that take small packets only: every datagram that is not a probe may be cut in pieces on its way.

use std::time::Duration;

use crate::support::env::Finished;
use crate::support::lab::network::Network;
use crate::support::lab::{Here, or_skip};
use crate::support::pair::{CODE, Pair};
use crate::support::tree::assert_same;

/// What a transfer from `a` at `address` to `b` may take, and more by far.
const LIMIT: Duration = Duration::from_secs(60);

/// Sends a file; both ends, which must be done.
#[track_caller]
fn transfer(network: &Network, address: &str, options: &[&str]) -> (Finished, Finished) {
    let pair = Pair::new();
    pair.noise("large", 3 << 20);
    let arguments = |first: &[&str]| -> Vec<String> {
        first.iter().chain(options).map(|&word| word.to_owned()).collect()
    };
    let sender = pair
        .send(arguments(&["--json", "--code", CODE, "large"]))
        .through(network.host("a"))
        .deadline(LIMIT)
        .spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let code = format!("{CODE}@{address}");
    let receiver = pair
        .receive(arguments(&["--json", "-y", "-o", "target", &code]))
        .through(network.host("b"))
        .deadline(LIMIT)
        .run()
        .expect_code(0);
    let sender = sender.wait().expect_code(0);
    assert_same(&pair.path("large"), &pair.path("target/large"));
    (sender, receiver)
}

/// `a` (10.1.0.2) and `b` (10.2.0.2) with two routers between them, whose cable takes packets of `mtu` bytes: the hosts'
/// own cables take 1,500.
fn narrow(mtu: u32) -> Here<Network> {
    let network = Network::new(["a", "left", "right", "b"])?;
    for (host, router, number) in [("a", "left", 1), ("b", "right", 2)] {
        network.cable((host, "out"), (router, "in"));
        network.ip(host, &format!("addr add 10.{number}.0.2/24 dev out"));
        network.ip(router, &format!("addr add 10.{number}.0.1/24 dev in"));
        network.ip(host, &format!("route add default via 10.{number}.0.1"));
    }
    network.cable(("left", "way"), ("right", "way"));
    for (router, other, number) in [("left", 2, 1), ("right", 1, 2)] {
        network.ip(router, &format!("link set way mtu {mtu}"));
        network.ip(router, &format!("addr add 10.3.0.{number}/24 dev way"));
        network.ip(router, &format!("route add 10.{other}.0.0/24 via 10.3.0.{other}"));
        network.run(router, &["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]);
    }
    Ok(network)
}

/// What a run says of a path that cuts.
fn told(run: &Finished) -> Vec<String> {
    let events = run.events();
    let told = events.iter().filter(|event| event["code"] == "fragmented");
    told.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

/// B-R: an interface that takes less than the carrier's first datagrams, down to what every IPv4 host must take; said once.
#[test]
fn interfaces_of_1124_and_576_bytes_are_fine() {
    for mtu in ["1124", "576"] {
        let network = or_skip!(Network::two());
        for host in ["a", "b"] {
            network.ip(host, &format!("link set v{host} mtu {mtu}"));
        }
        let (sender, receiver) = transfer(&network, "10.77.0.1", &[]);
        let line = format!("the path takes {mtu} bytes; datagrams are fragmented");
        assert_eq!(told(&sender), [line.as_str()]);
        assert_eq!(told(&receiver), [line.as_str()]);
    }
}

/// B-R: a router in between, which neither side's interface shows.
#[test]
fn routers_of_1124_and_576_bytes_are_fine() {
    for mtu in [1124, 576] {
        let network = or_skip!(narrow(mtu));
        let (sender, _) = transfer(&network, "10.1.0.2", &[]);
        assert_eq!(told(&sender).len(), 1, "{:?}", told(&sender));
    }
}

/// B-R: a router that may not say that a packet is too large for it.
#[test]
fn routers_that_are_silent_are_fine() {
    let network = or_skip!(narrow(1124));
    // What the router itself would send goes nowhere.
    for router in ["left", "right"] {
        network.ip(router, "rule add pref 1 iif lo blackhole");
    }
    transfer(&network, "10.1.0.2", &[]);
}

/// B-R: without the carrier, too: handshakes of DTLS and packets of SCTP.
#[test]
fn small_paths_take_plain_packets() {
    let network = or_skip!(narrow(576));
    transfer(&network, "10.1.0.2", &["--plain"]);
}

/// B-R: on a path that cuts nothing nothing is said.
#[test]
fn usual_paths_are_not_spoken_of() {
    for mtu in [1280, 1500] {
        let network = or_skip!(narrow(mtu));
        let (sender, receiver) = transfer(&network, "10.1.0.2", &[]);
        assert_eq!((told(&sender), told(&receiver)), (Vec::new(), Vec::new()));
    }
}
