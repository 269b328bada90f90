//! Machines on networks as they are: one cable, no default route, VPN and bridges, IPv6 alone, small packets.
#![cfg(target_os = "linux")]
#![allow(dead_code, unused_imports, reason = "helpers come before the tests that need them")]

use std::fs;
use std::path::PathBuf;

use crate::support::env::{Finished, From, Invocation, Running};
use crate::support::lab::network::Network;
use crate::support::lab::or_skip;
use crate::support::pair::Pair;
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

/// B-G3: no interface at all: the sender says so.
#[test]
fn a_machine_without_any_interface_is_told_so() {
    let (pair, _) = tree();
    let network = or_skip!(Network::new(["a"]));
    network.ip("a", "link set lo down");
    let machines = Machines { pair: &pair, network: &network };
    let begun = std::time::Instant::now();
    let words = ["--json", "--code-out", "code", "--retry-for", "2s", "tree"];
    let run =
        machines.on("a", pair.send(words)).spawn().kill_after(std::time::Duration::from_secs(20));
    let said = format!("{}{}", run.stdout, run.stderr).to_lowercase();
    assert!(
        said.contains("network") || said.contains("interface") || said.contains("address"),
        "{run:?}"
    );
    assert!(begun.elapsed() < std::time::Duration::from_secs(19), "{run:?}");
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
