//! The way from a code to its sender, between machines: network namespaces with what real ones have.

use crate::support::env::{Finished, Invocation, Running};
use crate::support::lab::network::Network;
use crate::support::lab::or_skip;
use crate::support::pair::Pair;
use crate::support::tree::assert_same;
use std::time::{Duration, Instant};

/// A side on a host of the network, with a registry of its own, as on two machines.
fn on(network: &Network, host: &str, pair: &Pair, run: Invocation) -> Invocation {
    run.env("REJOIN_RUNTIME_DIR", pair.path(&format!("runtime-{host}"))).through(network.host(host))
}

/// `send --code-out code small` on `a`, once the code is written.
fn sending(network: &Network, pair: &Pair) -> (Running, String) {
    pair.noise("small", 100_000);
    let send = pair.send(["--json", "--code-out", "code", "small"]);
    let sender = on(network, "a", pair, send).spawn();
    let said = sender.event_where("code", |event| event["event"] == "code");
    let code = std::fs::read_to_string(pair.path("code")).unwrap().trim().to_owned();
    assert_eq!(said["code"], code.as_str(), "one code everywhere");
    assert_eq!(said["command"], format!("rejoin receive {code}"));
    (sender, code)
}

/// `receive --code-file code` on `b`, to its end with 0; the sender's, too.
#[track_caller]
fn received(network: &Network, pair: &Pair, sender: Running) -> Finished {
    let receive = pair.receive(["--json", "-y", "-o", "target", "--code-file", "code"]);
    let receiver = on(network, "b", pair, receive).run().expect_code(0);
    sender.wait().expect_code(0);
    assert_same(&pair.path("small"), &pair.path("target/small"));
    receiver
}

/// B-G (41, 84): an isolated LAN, the code from `--code-out`.
#[test]
fn without_a_default_route_the_code_has_the_addresses_of_the_cable() {
    let network = or_skip!(Network::two());
    let pair = Pair::new();
    let (sender, code) = sending(&network, &pair);
    let port = code.rsplit_once(":").map_or("", |(_, port)| port);
    assert!(code.contains("@10.77.0.1,fd77::1"), "{code} {port}");
    assert!(!code.contains("127.0.0.1") && !code.contains("::1,:0"), "{code}");
    received(&network, &pair, sender);
}

/// B-G (45, 98): a VPN that is dead and has the default route costs no seconds.
#[test]
fn a_dead_vpn_with_the_default_route_is_passed_by() {
    let network = or_skip!(Network::two_and("tun0"));
    network.ip("a", "addr add 10.8.0.1/24 dev tun0");
    network.ip("b", "addr add 10.9.0.1/24 dev tun0");
    for host in ["a", "b"] {
        network.ip(host, "route add default dev tun0");
    }
    let pair = Pair::new();
    let (sender, code) = sending(&network, &pair);
    assert!(code.contains("@10.8.0.1,10.77.0.1,"), "{code}");
    let begun = Instant::now();
    received(&network, &pair, sender);
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

/// B-G: no IPv4 at all.
#[test]
fn an_ipv6_network_is_enough() {
    let network = or_skip!(Network::two());
    network.ip("a", "addr del 10.77.0.1/24 dev va");
    network.ip("b", "addr del 10.77.0.2/24 dev vb");
    let pair = Pair::new();
    let (sender, code) = sending(&network, &pair);
    let expands = |byte: u8| b"[]?*&;%".contains(&byte);
    assert!(code.contains("@fd77::1") && !code.bytes().any(expands), "{code}");
    received(&network, &pair, sender);
}

/// B-G: one cable and nobody who gives addresses.
#[test]
fn link_local_addresses_are_enough() {
    let network = or_skip!(Network::new(["a", "b"]));
    network.cable(("a", "va"), ("b", "vb"));
    network.ip("a", "addr add 169.254.3.1/16 dev va");
    network.ip("b", "addr add 169.254.3.2/16 dev vb");
    let pair = Pair::new();
    let (sender, code) = sending(&network, &pair);
    assert!(code.contains("169.254.3.1"), "{code}");
    received(&network, &pair, sender);
}

/// B-G (45): a bridge with the same address on both machines, behind which the receiver's own machine serves something else.
#[test]
fn a_bridge_with_the_same_address_on_both_sides_does_not_mislead() {
    let network = or_skip!(Network::two_and("docker0"));
    for host in ["a", "b"] {
        network.ip(host, "addr add 172.17.0.1/16 dev docker0");
    }
    let pair = Pair::new();
    let (sender, code) = sending(&network, &pair);
    assert!(code.contains("172.17.0.1"), "{code}");
    let port = code.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok());
    let listen = format!("0.0.0.0:{}", port.unwrap_or("9750"));
    let other = pair.home.rejoin(["host", "--listen", &listen]);
    let other = on(&network, "b", &pair, other).spawn();
    other.line_with(crate::support::env::From::Stdout, "ws://");
    // The bridge first, whatever the sender prefers: the other host there does not know the room.
    let (words, _) = code.split_once('@').unwrap();
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    std::fs::write(pair.path("code"), format!("{words}@127.0.0.1,172.17.0.1,10.77.0.1{port}"))
        .unwrap();
    received(&network, &pair, sender);
    other.signal(rustix::process::Signal::TERM);
    other.wait();
}

/// B-G: where no other host has the code, that is what is said.
#[test]
fn a_code_that_no_host_of_several_knows_is_wrong() {
    let network = or_skip!(Network::two());
    let pair = Pair::new();
    let host = pair.home.rejoin(["host", "--listen", "[::]:9750"]);
    let host = on(&network, "a", &pair, host).spawn();
    host.line_with(crate::support::env::From::Stdout, "ws://");
    let receive = |addresses: &str| {
        let code = format!("7-crane-velvet-orbit@{addresses}");
        on(&network, "b", &pair, pair.receive(["-y", "-o", "target", &code])).run()
    };
    let wrong = receive("10.77.0.1,fd77::1").expect_code(3);
    assert!(wrong.stderr.contains("no sender has this code"), "{}", wrong.stderr);
    // Where one did not answer, it may be the one.
    let unsure = receive("10.77.0.1,10.77.0.9").expect_code(4);
    assert!(unsure.stderr.contains("does not know this code"), "{}", unsure.stderr);
    host.signal(rustix::process::Signal::TERM);
    host.wait();
}

/// B-G3 (44): the sender gets to its own host without any network, also without loopback.
#[test]
fn a_sender_without_loopback_reaches_its_own_host() {
    let network = or_skip!(Network::two());
    network.ip("a", "link set lo down");
    let pair = Pair::new();
    let (sender, _) = sending(&network, &pair);
    received(&network, &pair, sender);
}

/// B-G, B-G3: a machine that is alone says so, and its own receiver finds the sender.
#[test]
fn a_machine_without_a_network_says_who_can_receive() {
    let network = or_skip!(Network::new(["a"]));
    let pair = Pair::new();
    pair.noise("small", 100_000);
    let send = on(&network, "a", &pair, pair.send(["--code-out", "code", "small"])).spawn();
    send.line_with(crate::support::env::From::Stderr, "Only this machine can receive");
    let code = std::fs::read_to_string(pair.path("code")).unwrap();
    assert!(!code.contains('@'), "{code}");
    let receive = pair.receive(["--json", "-y", "-o", "target", "--code-file", "code"]);
    on(&network, "a", &pair, receive).run().expect_code(0);
    send.wait().expect_code(0);
    // Without `lo`, too, it waits.
    network.ip("a", "link set lo down");
    let send = on(&network, "a", &pair, pair.send(["small"])).spawn();
    send.line_with(crate::support::env::From::Stderr, "Only this machine can receive");
    send.signal(rustix::process::Signal::TERM);
    send.wait().expect_code(143);
}

/// B-V (54): a prefix, and what is no host.
#[test]
fn a_host_behind_a_prefix_or_none_at_all() {
    use std::io::{Read as _, Write as _};
    let pair = Pair::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers =
        ["200 OK", "404 Not Found", "301 Moved Permanently", "403 Forbidden", "502 Bad Gateway"];
    let server = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let count = stream.read(&mut request).unwrap();
            asked.push(
                String::from_utf8_lossy(&request[..count]).lines().next().unwrap().to_owned(),
            );
            let answer = format!(
                "HTTP/1.1 {answer}\r\nLocation: https://x/rejoin/ws\r\nContent-Length: 0\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
        asked
    });
    for (path, hint) in [
        ("/rejoin", "…/ws"),
        ("/rejoin/", "PREFIX/ws"),
        ("/rejoin/ws", "wss://x/rejoin/ws"),
        ("/rejoin/ws/", "login"),
        ("/rejoin//", "proxy"),
    ] {
        let host = format!("ws://127.0.0.1:{port}{path}");
        let arguments = ["-y", "-o", "target", "--host", &host, "7-crane-velvet-orbit"];
        let run = pair.receive(arguments).run().expect_code(4);
        let url = format!("ws://127.0.0.1:{port}/rejoin/ws");
        assert!(run.stderr.contains(&url) && run.stderr.contains(hint), "{}", run.stderr);
    }
    assert!(server.join().unwrap().iter().all(|line| line.starts_with("GET /rejoin/ws ")));
    let arguments = ["-y", "--host", "wss://h/rejoin?token=1", "7-crane-velvet-orbit"];
    let refused = pair.receive(arguments).run().expect_code(2);
    assert!(refused.stderr.contains("no part after ?"), "{}", refused.stderr);
}
