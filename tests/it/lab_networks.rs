//! Machines on networks as they are: one cable, no default route, VPN and bridges, IPv6 alone, small packets.
#![cfg(target_os = "linux")]

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use crate::support::env::{Finished, From, Invocation, Running};
use crate::support::lab::network::Network;
use crate::support::lab::or_skip;
use crate::support::lab::wrapped::injecting;
use crate::support::pair::{CODE, Pair};
use crate::support::tree::assert_same;

const MIB: usize = 1 << 20;

/// Two machines: a sender on `a`, a receiver on `b` that knows nothing of the sender's but what it is told.
struct Machines<'pair> {
    pair: &'pair Pair,
    network: &'pair Network,
}

impl Machines<'_> {
    /// `rejoin send ARGUMENTS tree` on `a`, with its code in `code`.
    fn sender(&self, arguments: &[&str]) -> Running {
        let words = ["--json", "--code-out", "code"].iter().chain(arguments).chain(&["tree"]);
        let sender = self.on("a", self.pair.send(words)).spawn();
        sender.event_where("code", |event| event["event"] == "code");
        sender
    }

    /// `rejoin receive ARGUMENTS` on `b`.
    fn receiver(&self, arguments: &[&str]) -> Finished {
        let words = ["--json", "-y", "-o", "target"].iter().chain(arguments);
        self.on("b", self.pair.receive(words)).run()
    }

    fn on(&self, host: &str, invocation: Invocation) -> Invocation {
        let runtime = self.pair.path(&format!("runtime-{host}"));
        let _ = fs::create_dir(&runtime);
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&runtime, closed).unwrap();
        invocation.env("REJOIN_RUNTIME_DIR", runtime).through(self.network.host(host))
    }

    /// The written code, with its addresses.
    fn code(&self) -> String {
        fs::read_to_string(self.pair.path("code")).unwrap().trim().to_owned()
    }

    /// Sends and receives by the code file alone.
    #[track_caller]
    fn transfer(&self) -> String {
        let sender = self.sender(&[]);
        let code = self.code();
        assert!(!code.contains("127.0.0.1") && !code.contains("::1@"), "{code}");
        self.receiver(&["--code-file", "code"]).expect_code(0);
        sender.wait().expect_code(0);
        assert_same(&self.pair.path("tree"), &self.pair.path("target/tree"));
        code
    }
}

fn tree() -> (Pair, PathBuf) {
    let pair = Pair::new();
    pair.noise("tree/f", 3 * MIB);
    let path = pair.path("tree");
    (pair, path)
}

/// B-G (rows 41, 84): two machines on one cable, no default route: the code works by itself.
#[test]
fn two_machines_on_one_cable_meet_by_the_code_alone() {
    let (pair, _) = tree();
    let network = or_skip!(Network::two());
    let machines = Machines { pair: &pair, network: &network };
    let code = machines.transfer();
    assert!(code.contains("10.77.0.1"), "{code}");
}

/// B-G: what a person copies is the same, and a shell leaves it alone.
#[test]
fn the_printed_command_works_as_it_is_in_a_shell() {
    let (pair, _) = tree();
    let network = or_skip!(Network::two());
    let machines = Machines { pair: &pair, network: &network };
    let sender = machines.on("a", pair.send(["tree"])).spawn();
    let line = sender.line_with(From::Stderr, "rejoin receive");
    let command = line.trim();
    assert!(
        !command.contains(['[', ']', '?', '*', '&', ';', '<', '>', '(', '$', '`', '{', '~', '#']),
        "{command}"
    );
    let words = format!("{command} -y -o target");
    machines.on("b", pair.shell("receive", &words)).run().expect_code(0);
    sender.wait().expect_code(0);
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
}

/// B-G: IPv6 alone, without a default route.
#[test]
fn machines_with_nothing_but_ipv6_meet_by_the_code_alone() {
    let (pair, _) = tree();
    let network = or_skip!(Network::new(["a", "b"]));
    network.cable(("a", "va"), ("b", "vb"));
    network.ip("a", "addr add fd77::1/64 dev va nodad");
    network.ip("b", "addr add fd77::2/64 dev vb nodad");
    let machines = Machines { pair: &pair, network: &network };
    let code = machines.transfer();
    assert!(code.contains("fd77::1") || code.contains("fd77"), "{code}");
}

/// B-G: nothing but link-local addresses, as on a cable between two machines without any configuration.
#[test]
fn machines_with_link_local_addresses_only_are_told_what_to_do_or_meet() {
    let (pair, _) = tree();
    let network = or_skip!(Network::new(["a", "b"]));
    network.cable(("a", "va"), ("b", "vb"));
    network.ip("a", "addr add 169.254.10.1/16 dev va");
    network.ip("b", "addr add 169.254.20.2/16 dev vb");
    let machines = Machines { pair: &pair, network: &network };
    let code = machines.transfer();
    assert!(code.contains("169.254.10.1"), "{code}");
}

/// B-G (row 45): the default route is a dead VPN's, and both have a bridge of one address.
#[test]
fn a_dead_vpn_and_bridges_of_one_address_do_no_harm() {
    let (pair, _) = tree();
    let network = or_skip!(Network::two());
    for host in ["a", "b"] {
        network.ip(host, "link add docker0 type bridge");
        network.ip(host, "addr add 172.17.0.1/16 dev docker0");
        network.ip(host, "link set docker0 up");
        network.ip(host, "tuntap add tun0 mode tun");
        network
            .ip(host, &format!("addr add 10.8.0.{}/24 dev tun0", if host == "a" { 5 } else { 6 }));
        network.ip(host, "link set tun0 up");
        network.ip(host, "route add default dev tun0");
    }
    let machines = Machines { pair: &pair, network: &network };
    let begun = std::time::Instant::now();
    let code = machines.transfer();
    assert!(code.contains("10.77.0.1"), "{code}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(25), "{:?}", begun.elapsed());
}

/// B-G: several cables, of which the receiver has one.
#[test]
fn the_address_that_the_receiver_reaches_is_among_those_of_the_code() {
    let (pair, _) = tree();
    let network = or_skip!(Network::new(["a", "b", "c", "d"]));
    for (at, other) in ["c", "d", "b"].into_iter().enumerate() {
        let (here, there) = (format!("v{at}"), "v".to_owned());
        network.cable(("a", &here), (other, &there));
        network.ip("a", &format!("addr add 10.{}.0.1/24 dev {here}", 30 + at));
        network.ip(other, &format!("addr add 10.{}.0.2/24 dev {there}", 30 + at));
    }
    network.ip("a", "route add default via 10.30.0.2");
    let machines = Machines { pair: &pair, network: &network };
    let code = machines.transfer();
    assert!(code.contains("10.32.0.1"), "{code}");
}

/// B-G3 (row 44): a machine whose `lo` is down sends all the same.
#[test]
fn a_sender_without_loopback_sends() {
    let (pair, _) = tree();
    let network = or_skip!(Network::two());
    for host in ["a", "b"] {
        network.ip(host, "link set lo down");
    }
    let machines = Machines { pair: &pair, network: &network };
    machines.transfer();
}

/// B-G3: `lo` down at either end alone, and a machine with no network at all that sends to itself.
#[test]
fn loopback_is_not_needed_at_either_end() {
    for down in ["a", "b"] {
        let (pair, _) = tree();
        let network = or_skip!(Network::two());
        network.ip(down, "link set lo down");
        let machines = Machines { pair: &pair, network: &network };
        machines.transfer();
    }
}

/// B-G3: no interface at all: a person is told that nobody else can receive, and at once.
#[test]
fn a_machine_without_any_interface_is_told_so() {
    let (pair, _) = tree();
    let network = or_skip!(Network::new(["a"]));
    network.ip("a", "link set lo down");
    let machines = Machines { pair: &pair, network: &network };
    let sender = machines.on("a", pair.send(["tree"])).spawn();
    let command = sender.line_with(From::Stderr, "rejoin receive");
    assert!(!command.contains('@'), "{command}");
    sender.line_with(From::Stderr, "no address of a network");
}

/// A machine with nothing but loopback sends to itself.
#[test]
fn a_machine_alone_sends_to_itself() {
    let (pair, _) = tree();
    let network = or_skip!(Network::new(["a"]));
    let machines = Machines { pair: &pair, network: &network };
    let sender = machines.sender(&[]);
    let words = ["--json", "-y", "-o", "target", "--code-file", "code"];
    machines.on("a", pair.receive(words)).run().expect_code(0);
    sender.wait().expect_code(0);
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
}

/// B-R (row 49): interfaces of small packets on both machines.
#[test]
fn small_packets_of_the_interfaces_are_enough() {
    for mtu in [1280, 1124, 900, 576] {
        let pair = Pair::new();
        pair.noise("tree/f", MIB + 3);
        let network = or_skip!(Network::new(["a", "b"]));
        network.cable(("a", "va"), ("b", "vb"));
        for (host, number) in [("a", 1), ("b", 2)] {
            network.ip(host, &format!("addr add 10.77.0.{number}/24 dev v{host}"));
            network.ip(host, &format!("link set v{host} mtu {mtu}"));
        }
        let machines = Machines { pair: &pair, network: &network };
        machines.transfer();
    }
}

/// B-R: small packets in the middle of the way, which nobody but a router knows.
#[test]
fn small_packets_on_the_way_are_enough() {
    for mtu in [1100, 576] {
        let pair = Pair::new();
        pair.noise("tree/f", MIB + 3);
        let network = or_skip!(Network::routed(mtu));
        network.ip("b", &format!("link set vb mtu {mtu}"));
        let machines = Machines { pair: &pair, network: &network };
        machines.transfer();
    }
}

/// B-R: the way gets narrow in the middle of a transfer.
#[test]
fn a_way_that_gets_narrow_is_survived() {
    let pair = Pair::new();
    pair.noise("tree/f", 24 * MIB);
    let network = or_skip!(Network::two());
    let machines = Machines { pair: &pair, network: &network };
    let sender = machines.sender(&[]);
    let words = ["--json", "-y", "-o", "target", "--code-file", "code"];
    let receiver = machines.on("b", pair.receive(words)).spawn();
    crate::support::pair::wait_for_half(&receiver);
    for host in ["a", "b"] {
        network.ip(host, &format!("link set v{host} mtu 700"));
    }
    receiver.wait().expect_code(0);
    sender.wait().expect_code(0);
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
}

/// B-V (row 54): a host behind a path prefix works, or the word says what to write.
#[test]
fn a_prefix_of_a_host_works_or_is_explained() {
    let pair = Pair::new();
    pair.noise("tree/f", 1000);
    let (_host, url) = pair.home.host("127.0.0.1:0");
    let base = url.trim_end_matches("/ws").trim_end_matches('/');
    for prefix in ["/rejoin/", "/rejoin", "/a/b/", "/ws/", "/healthz"] {
        let given = format!("{base}{prefix}");
        let words = ["--json", "--code", "7-crane-velvet-orbit", "--host", &given, "tree"];
        let run = pair.send(words).spawn().kill_after(std::time::Duration::from_secs(4));
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(run.status.code().is_none() || said.contains("/ws"), "{given}: {run:?}");
    }
}

/// A zone in an address by hand is understood or explained (row 43).
#[test]
fn an_address_with_a_zone_is_understood() {
    let (pair, _) = tree();
    let network = or_skip!(Network::two());
    let machines = Machines { pair: &pair, network: &network };
    let sender = machines.sender(&[]);
    let code = machines.code();
    let bare = code.split('@').next().unwrap();
    // The address that the kernel gave the cable's end by itself.
    let show = machines.on(
        "a",
        pair.shell(
            "send",
            "PATH=/usr/sbin:/sbin:/usr/bin:/bin ip -6 -o addr show dev va scope link",
        ),
    );
    let shown = show.run().stdout;
    let address = shown.split_whitespace().find(|word| word.starts_with("fe80")).unwrap();
    let address = address.split('/').next().unwrap();
    let port = code.rsplit_once(":").map_or("9750", |(_, port)| port);
    let port = if port.chars().all(|digit| digit.is_ascii_digit()) && port.len() == 4 {
        port
    } else {
        "9750"
    };
    let url = format!("ws://[{address}%vb]:{port}");
    machines.receiver(&["--host", &url, bare]).expect_code(0);
    sender.wait().expect_code(0);
}

/// B-C, B-L: the word that all is there does not arrive: the sender ends with 5, and the same commands turn that into 0.
#[test]
fn a_lost_last_message_is_five_and_then_zero() {
    let pair = Pair::new();
    pair.noise("tree/f", 2 * MIB);
    let network = or_skip!(Network::two());
    // What is complete is published late: time to pull the cable.
    let late = or_skip!(injecting(&["renameat2,renameat,linkat:delay_enter=1500000"]));
    let machines = Machines { pair: &pair, network: &network };
    let words = ["--json", "--code", CODE, "--retry-for", "4s", "tree"];
    let sending = || machines.on("a", pair.send(words)).spawn();
    let receiving = |through: Option<Vec<OsString>>| {
        let host = ["--host", "ws://10.77.0.1:9750"];
        let words = ["--json", "-y", "-o", "target", CODE].iter().chain(&host);
        let receiver = pair.receive(words);
        let receiver = match through {
            Some(through) => receiver.through(through),
            None => receiver,
        };
        machines.on("b", receiver).spawn()
    };
    let sender = sending();
    sender.event_where("code", |event| event["event"] == "code");
    let receiver = receiving(Some(late));
    receiver.event_where("of all bytes", |event| {
        event["event"] == "progress" && event["bytes"] == event["total_bytes"]
    });
    network.ip("a", "link set va down");
    receiver.event_where("of the file", |event| event["event"] == "file");
    receiver.kill_after(std::time::Duration::ZERO);
    network.ip("a", "link set va up");
    network.ip("a", "addr replace 10.77.0.1/24 dev va");
    let lost = sender.wait().expect_code(5);
    assert!(lost.outcome()["resume_command"].is_string(), "{}", lost.outcome());
    let sender = sending();
    let again = receiving(None).wait().expect_code(0);
    let sender = sender.wait().expect_code(0);
    for done in [again.outcome(), sender.outcome()] {
        assert_eq!(done["wire_bytes"], 0, "{done}");
    }
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
}
