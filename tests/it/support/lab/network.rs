//! Hosts in network namespaces, joined by cables.
//!
//! ```text
//! let network = or_skip!(Network::new(["a", "router", "b"]));
//! network.cable(("a", "out"), ("router", "left"));
//! network.ip("a", "addr add 10.1.0.2/24 dev out");
//! let sender = pair.send(["tree"]).through(network.host("a")).spawn();
//! ```

use std::ffi::OsString;

use super::{Here, program, root, run, try_run, unique_name};

/// Namespaces that go away together, with the cables between them.
#[derive(Debug)]
pub(crate) struct Network {
    /// The name in a test, and that of the machine's.
    hosts: Vec<(String, String)>,
}

impl Network {
    /// Hosts by name, each with `lo` up and nothing else.
    pub(crate) fn new<const N: usize>(names: [&str; N]) -> Here<Self> {
        root()?;
        program("ip")?;
        let mut network = Self { hosts: Vec::new() };
        for name in names {
            let namespace = unique_name();
            if let Err(said) = try_run("ip", ["netns", "add", &namespace]) {
                return Err(super::Absent(format!("no network namespaces: {said}")));
            }
            network.hosts.push((name.to_owned(), namespace));
            network.ip(name, "link set lo up");
        }
        Ok(network)
    }

    /// `a` (10.77.0.1, fd77::1) and `b` (10.77.0.2, fd77::2), one cable between `va` and `vb`, no default route.
    pub(crate) fn two() -> Here<Self> {
        let network = Self::new(["a", "b"])?;
        network.address_two();
        Ok(network)
    }

    fn address_two(&self) {
        self.cable(("a", "va"), ("b", "vb"));
        for (host, number) in [("a", 1), ("b", 2)] {
            self.ip(host, &format!("addr add 10.77.0.{number}/24 dev v{host}"));
            self.ip(host, &format!("addr add fd77::{number}/64 dev v{host} nodad"));
        }
    }

    /// As [`Self::two`], and one more `interface` on each, up, behind which nobody is.
    pub(crate) fn two_and(interface: &str) -> Here<Self> {
        let network = Self::new(["a", "b", "nowhere"])?;
        network.address_two();
        for host in ["a", "b"] {
            network.cable((host, interface), ("nowhere", &format!("n{host}")));
        }
        Ok(network)
    }

    /// `a` (10.1.0.2) and `b` (10.2.0.2) with a router between them; packets of the second cable are `mtu` bytes at most, which
    /// the hosts do not know.
    pub(crate) fn routed(mtu: u32) -> Here<Self> {
        let network = Self::new(["a", "router", "b"])?;
        for (host, number) in [("a", 1), ("b", 2)] {
            let (here, there) = (format!("v{host}"), format!("r{host}"));
            network.cable((host, &here), ("router", &there));
            network.ip(host, &format!("addr add 10.{number}.0.2/24 dev {here}"));
            network.ip("router", &format!("addr add 10.{number}.0.1/24 dev {there}"));
            network.ip(host, &format!("route add default via 10.{number}.0.1"));
        }
        network.ip("router", &format!("link set rb mtu {mtu}"));
        network.run("router", &["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]);
        Ok(network)
    }

    /// Joins two hosts, both ends up. Each end is a host and the name of its interface.
    pub(crate) fn cable(&self, one: (&str, &str), other: (&str, &str)) {
        let (first, second) = (self.namespace(one.0), self.namespace(other.0));
        let words = ["link", "add", one.1, "netns", first, "type", "veth"];
        run("ip", words.iter().chain(&["peer", "name", other.1, "netns", second]));
        for (host, interface) in [one, other] {
            self.ip(host, &format!("link set {interface} up"));
        }
    }

    /// `ip WORDS` on a host.
    #[track_caller]
    pub(crate) fn ip(&self, host: &str, words: &str) {
        run("ip", ["-n", self.namespace(host)].into_iter().chain(words.split(' ')));
    }

    /// A program on a host, to its end.
    #[track_caller]
    pub(crate) fn run(&self, host: &str, words: &[&str]) {
        run("ip", ["netns", "exec", self.namespace(host)].iter().chain(words));
    }

    /// What a command line begins with to run on a host (`Invocation::through`).
    pub(crate) fn host(&self, host: &str) -> Vec<OsString> {
        let ip = program("ip").unwrap();
        vec![ip.into(), "netns".into(), "exec".into(), self.namespace(host).into()]
    }

    fn namespace(&self, host: &str) -> &str {
        let found = self.hosts.iter().find(|(name, _)| name == host);
        &found.unwrap_or_else(|| panic!("no host {host}")).1
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for (_, namespace) in &self.hosts {
            let _ = try_run("ip", ["netns", "del", namespace]);
        }
    }
}

#[test]
fn hosts_reach_each_other_and_are_gone_afterwards() {
    let network = super::or_skip!(Network::two());
    let there = std::net::Ipv4Addr::new(10, 77, 0, 2).to_string();
    let reach = |host| try_run("ip", ["-n", network.namespace(host), "route", "get", &there]);
    assert!(reach("a").unwrap().contains("dev va"));
    let names: Vec<_> = network.hosts.iter().map(|(_, name)| name.clone()).collect();
    let exist = || {
        names.iter().filter(|name| std::path::Path::new("/run/netns").join(name).exists()).count()
    };
    assert_eq!(exist(), 2);
    drop(network);
    assert_eq!(exist(), 0);
    let routed = super::or_skip!(Network::routed(576));
    let way = ["netns", "exec", routed.namespace("a"), "ip", "route", "get", "10.2.0.2"];
    assert!(try_run("ip", way).unwrap().contains("via 10.1.0.1"));
}
