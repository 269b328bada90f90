//! The rule, row by row, with datagrams as they are on the wire.

use std::time::Duration;

use super::*;
use crate::link::stun::{ATTRIBUTE_ERROR_CODE, METHOD_ALLOCATE, made};

const OURS: &str = "v=0\r\na=ice-ufrag:ours\r\na=ice-pwd:our password that is long\r\n";
const THEIRS: &str = "v=0\r\na=ice-ufrag:them\r\na=ice-pwd:their password that is long\r\n";
const OUR_PASSWORD: &str = "our password that is long";
const THEIR_PASSWORD: &str = "their password that is long";
const TOKEN: u64 = 0x0102_0304_0506_0708;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

struct World {
    admission: Admission,
    local: SocketAddr,
    peer: SocketAddr,
    stranger: SocketAddr,
    now: Instant,
}

impl World {
    fn new(has_carrier: bool) -> Self {
        let mut admission = Admission::new(has_carrier);
        admission.set_local(OURS);
        admission.set_remote(THEIRS, Instant::now());
        admission.carry(TOKEN);
        Self {
            admission,
            local: address("10.0.0.1:4000"),
            peer: address("192.0.2.7:5000"),
            stranger: address("198.51.100.9:6000"),
            now: Instant::now(),
        }
    }

    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) -> Verdict {
        self.admission.handle_received(self.local, from, datagram, self.now)
    }

    fn send(&mut self, to: SocketAddr, datagram: &[u8]) -> bool {
        self.admission.handle_sent(self.local, to, datagram, self.now)
    }

    /// A check of the peer.
    fn check(&mut self, from: SocketAddr, number: u8) -> Verdict {
        self.receive(from, &made::check([number; 12], "ours:them", OUR_PASSWORD))
    }

    /// A check of ours is answered.
    fn answered(&mut self, number: u8) -> Verdict {
        let peer = self.peer;
        assert!(self.send(peer, &our_check(number)));
        self.receive(peer, &answer(number, THEIR_PASSWORD))
    }
}

fn our_check(number: u8) -> Vec<u8> {
    made::check([number; 12], "them:ours", THEIR_PASSWORD)
}

fn answer(number: u8, password: &str) -> Vec<u8> {
    let password = Some(password.as_bytes());
    made::message(Class::Success, METHOD_BINDING, [number; 12], &[], password)
}

fn record(first: u8, epoch: u8) -> Vec<u8> {
    vec![first, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0x0f, 0x42, 0x40, 0, 1, 1]
}

fn carried(token: u64) -> Vec<u8> {
    [&[0x0c, 0][..], &token.to_be_bytes(), &[0; 40]].concat()
}

/// S-01, S-07: with a carrier no record is taken from anybody, the peer included, before and after the token is known.
#[test]
fn a_carried_link_takes_no_record_at_any_time() {
    let mut world = World::new(true);
    let mut early = Admission::new(true);
    for stage in 0..2 {
        for first in 0..=255 {
            for epoch in 0..=2 {
                let datagram = record(first, epoch);
                let (local, peer, now) = (world.local, world.peer, world.now);
                assert_eq!(early.handle_received(local, peer, &datagram, now), Verdict::Dropped);
                for from in [world.peer, world.stranger] {
                    assert_eq!(world.receive(from, &datagram), Verdict::Dropped, "{stage} {first}");
                }
            }
        }
        assert_eq!(world.check(world.peer, 1 + stage), Verdict::Stack);
        assert_eq!(world.answered(100 + stage), Verdict::Stack);
    }
    assert_eq!(world.admission.dropped(), 2 * 256 * 3 * 2);
}

#[test]
fn what_is_carried_is_known_by_its_token_alone() {
    let mut world = World::new(true);
    assert_eq!(world.receive(world.stranger, &carried(TOKEN)), Verdict::Carrier);
    for wrong in [carried(TOKEN ^ 1), carried(0), carried(TOKEN)[..9].to_vec(), vec![0x0c]] {
        assert_eq!(world.receive(world.peer, &wrong), Verdict::Dropped);
    }
    let mut plain = World::new(false);
    assert_eq!(plain.receive(plain.peer, &carried(TOKEN)), Verdict::Dropped);
    let mut early = Admission::new(true);
    let zero = carried(0);
    let verdict = early.handle_received(world.local, world.peer, &zero, world.now);
    assert_eq!(verdict, Verdict::Dropped, "no token is known yet");
}

#[test]
fn a_plain_link_takes_records_only_from_where_a_check_was_answered() {
    let hello = record(22, 0);
    let mut world = World::new(false);
    assert_eq!(world.receive(world.peer, &hello), Verdict::Dropped);
    // Anybody may have sent it who saw one that did not arrive.
    assert_eq!(world.check(world.peer, 1), Verdict::Stack);
    assert_eq!(world.receive(world.peer, &hello), Verdict::Dropped);
    assert_eq!(world.answered(2), Verdict::Stack);
    assert_eq!(world.receive(world.peer, &hello), Verdict::Stack);
    let (mut other_port, mut other_address) = (world.peer, world.peer);
    other_port.set_port(1);
    other_address.set_ip([192, 0, 2, 8].into());
    for from in [other_port, other_address, world.stranger] {
        assert_eq!(world.receive(from, &hello), Verdict::Dropped);
    }
    for first in (0..20).chain(64..=255) {
        assert_eq!(world.receive(world.peer, &record(first, 1)), Verdict::Dropped, "{first}");
    }
    // Another negotiation: the old addresses are as unknown as any.
    world.admission.set_local("a=ice-ufrag:next\r\na=ice-pwd:another\r\n");
    assert_eq!(world.receive(world.peer, &hello), Verdict::Dropped);
}

#[test]
fn a_check_needs_our_password_and_our_name() {
    let mut world = World::new(false);
    let stranger = world.stranger;
    let password = Some(OUR_PASSWORD.as_bytes());
    let user: &[(u16, &[u8])] = &[(ATTRIBUTE_USERNAME, b"ours:them")];
    let make =
        |class, method, user, password| made::message(class, method, [9; 12], user, password);
    for bad in [
        make(Class::Request, METHOD_BINDING, user, None),
        make(Class::Request, METHOD_BINDING, user, Some(b"wrong")),
        make(Class::Request, METHOD_BINDING, &[], password),
        make(Class::Request, METHOD_BINDING, &[(ATTRIBUTE_USERNAME, b"oursthem")], password),
        make(Class::Request, METHOD_BINDING, &[(ATTRIBUTE_USERNAME, b"them:ours")], password),
        make(Class::Request, METHOD_ALLOCATE, user, password),
        make(Class::Indication, METHOD_BINDING, user, password),
        make(Class::Success, METHOD_BINDING, user, password),
        // Says that it controls, which changed the stack's role before it looked at the signature.
        make(
            Class::Request,
            METHOD_BINDING,
            &[(ATTRIBUTE_USERNAME, b"ours:them"), (0x802a, &[0xff; 8])],
            None,
        ),
    ] {
        assert_eq!(world.receive(stranger, &bad), Verdict::Dropped);
    }
    assert_eq!(
        world.receive(stranger, &make(Class::Request, METHOD_BINDING, user, password)),
        Verdict::Stack
    );
    let mut early = Admission::new(false);
    let check = made::check([1; 12], ":", "");
    assert_eq!(early.handle_received(world.local, stranger, &check, world.now), Verdict::Dropped);
}

/// The password of a description is the one that the stack finds there.
#[test]
fn credentials_are_read_as_the_stack_reads_them() {
    for lines in [
        "a=ice-ufrag:one\r\na=ice-pwd:two\r\n",
        "\ra=ice-ufrag:one\n\r\ra=ice-pwd:two\n",
        "a=\rice-ufrag:one\na=ice-pwd:two\r\na=ice-pwd:three\r\n",
        "a=ice-ufrag: one \r\na=ice-pwd:\rtwo\r\n",
        "a=x\ra=ice-ufrag:zero\r\na=ice-ufrag:one\r\na=ice-pwd:\u{a0}two\u{a0}\r\n",
    ] {
        let sdp = format!("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{lines}");
        let session =
            rtc::sdp::SessionDescription::unmarshal(&mut std::io::Cursor::new(&sdp)).unwrap();
        let found = Credentials::of(&sdp).unwrap();
        assert_eq!(Some(&found.fragment), session.attribute("ice-ufrag"), "{lines:?}");
        assert_eq!(Some(&found.password), session.attribute("ice-pwd"), "{lines:?}");
    }
}

/// Whoever sees a check can send it again, but is not heard for it.
#[test]
fn a_check_counts_from_one_address_only() {
    let mut world = World::new(false);
    assert_eq!(world.check(world.peer, 1), Verdict::Stack);
    assert_eq!(world.check(world.peer, 1), Verdict::Stack, "sent again, as RFC 8489 has it");
    assert_eq!(world.check(world.stranger, 1), Verdict::Dropped);
    assert_eq!(world.receive(world.stranger, &record(22, 0)), Verdict::Dropped);
}

#[test]
fn a_response_needs_a_request_its_way_back_and_the_password_of_the_peer() {
    let mut world = World::new(false);
    let peer = world.peer;
    assert_eq!(world.receive(peer, &answer(1, THEIR_PASSWORD)), Verdict::Dropped, "nobody asked");
    assert!(world.send(peer, &our_check(1)));
    assert_eq!(world.receive(world.stranger, &answer(1, THEIR_PASSWORD)), Verdict::Dropped);
    assert_eq!(world.receive(peer, &answer(1, OUR_PASSWORD)), Verdict::Dropped);
    assert_eq!(world.receive(peer, &answer(1, THEIR_PASSWORD)), Verdict::Stack);
    assert_eq!(world.receive(peer, &answer(1, THEIR_PASSWORD)), Verdict::Dropped, "a second time");
}

#[test]
fn a_server_is_heard_for_its_transaction() {
    let mut world = World::new(true);
    let server = address("203.0.113.1:3478");
    let question = made::message(Class::Request, METHOD_BINDING, [5; 12], &[], None);
    let told = made::message(Class::Success, METHOD_BINDING, [5; 12], &[], None);
    assert_eq!(world.receive(server, &told), Verdict::Dropped);
    assert!(world.send(server, &question));
    // One with several addresses may answer from another.
    assert_eq!(world.receive(address("203.0.113.2:3479"), &told), Verdict::Stack);
    assert_eq!(world.receive(server, &told), Verdict::Dropped);
}

/// Everything that TURN brings is unwrapped, and what is inside has to be admitted itself.
#[test]
fn a_relay_brings_what_would_be_taken_from_the_peer_it_names() {
    for has_carrier in [false, true] {
        let mut world = World::new(has_carrier);
        let server = address("203.0.113.1:3478");
        let relayed = address("192.0.2.7:5000");
        let channel = Framing::Channel(0x4000);
        let indication = Framing::Indication(relayed);
        let wrap = |framing: Framing, payload: &[u8]| {
            let mut wrapped = Vec::new();
            framing.wrap(payload, Toward::Client, [3; 12], &mut wrapped);
            wrapped
        };
        let check = |number| made::check([number; 12], "ours:them", OUR_PASSWORD);
        assert_eq!(world.receive(server, &wrap(indication, &check(1))), Verdict::Dropped);

        assert!(
            world.send(server, &made::message(Class::Request, METHOD_ALLOCATE, [6; 12], &[], None))
        );
        let code: &[u8] = &[0, 0, 4, 1];
        let refusal = made::message(
            Class::Error,
            METHOD_ALLOCATE,
            [6; 12],
            &[(ATTRIBUTE_ERROR_CODE, code)],
            None,
        );
        assert_eq!(world.receive(world.stranger, &refusal[..20]), Verdict::Dropped);
        assert_eq!(world.receive(server, &refusal), Verdict::Stack);

        for framing in [indication, channel] {
            if framing == channel {
                assert_eq!(world.receive(server, &wrap(channel, &check(1))), Verdict::Dropped);
                // 192.0.2.7:5000, combined with the cookie.
                let peer = [0, 1, 0x13 ^ 0x21, 0x88 ^ 0x12, 192 ^ 0x21, 0x12, 2 ^ 0xa4, 7 ^ 0x42];
                let attributes: [(u16, &[u8]); 2] = [
                    (ATTRIBUTE_CHANNEL_NUMBER, &[0x40, 0, 0, 0]),
                    (ATTRIBUTE_XOR_PEER_ADDRESS, &peer),
                ];
                let bind =
                    made::message(Class::Request, METHOD_CHANNEL_BIND, [7; 12], &attributes, None);
                assert!(world.send(server, &bind));
            }
            for stranger in [world.stranger, relayed] {
                assert_eq!(world.receive(stranger, &wrap(framing, &check(1))), Verdict::Dropped);
                assert_eq!(
                    world.receive(stranger, &wrap(framing, &carried(TOKEN))),
                    Verdict::Dropped
                );
            }
            let expected = if has_carrier { Verdict::Dropped } else { Verdict::Stack };
            if framing == indication {
                let first = world.receive(server, &wrap(framing, &record(22, 0)));
                assert_eq!(first, Verdict::Dropped, "nothing signed came from there");
                assert_eq!(world.receive(server, &wrap(framing, &check(1))), Verdict::Stack);
                let mut ours = Vec::new();
                framing.wrap(&our_check(50), Toward::Server, [3; 12], &mut ours);
                assert!(world.send(server, &ours));
                let answer = answer(50, THEIR_PASSWORD);
                assert_eq!(world.receive(relayed, &answer), Verdict::Dropped, "another way back");
                assert_eq!(world.receive(server, &wrap(framing, &answer)), Verdict::Stack);
            }
            assert_eq!(world.receive(server, &wrap(framing, &record(22, 0))), expected);
            let expected = if has_carrier { Verdict::Carrier } else { Verdict::Dropped };
            assert_eq!(world.receive(server, &wrap(framing, &carried(TOKEN))), expected);
            let twice = wrap(framing, &wrap(framing, &check(1)));
            assert_eq!(world.receive(server, &twice), Verdict::Dropped, "wrapped twice");
        }
        assert_eq!(
            world.receive(relayed, &record(22, 0)),
            Verdict::Dropped,
            "not through the server"
        );
    }
}

/// A relay that answered, and behind it a peer that answered a check and a stranger that did not.
fn relayed() -> (World, SocketAddr, SocketAddr) {
    let mut world = World::new(false);
    let (server, relayed) = (address("203.0.113.1:3478"), address("192.0.2.7:5000"));
    assert!(
        world.send(server, &made::message(Class::Request, METHOD_ALLOCATE, [6; 12], &[], None))
    );
    let granted = made::message(Class::Success, METHOD_ALLOCATE, [6; 12], &[], None);
    assert_eq!(world.receive(server, &granted), Verdict::Stack);
    let wrap = |payload: &[u8], toward| {
        let mut wrapped = Vec::new();
        Framing::Indication(relayed).wrap(payload, toward, [3; 12], &mut wrapped);
        wrapped
    };
    assert!(world.send(server, &wrap(&our_check(50), Toward::Server)));
    let answer = answer(50, THEIR_PASSWORD);
    assert_eq!(world.receive(server, &wrap(&answer, Toward::Client)), Verdict::Stack);
    (world, server, relayed)
}

/// An address as an attribute has it, under the transaction `[3; 12]`.
fn masked(address: &str) -> Vec<u8> {
    let mut wrapped = Vec::new();
    let framing = Framing::Indication(address.parse().unwrap());
    framing.wrap(&[], Toward::Client, [3; 12], &mut wrapped);
    wrapped[24..wrapped.len() - 4].to_vec()
}

/// S-01: the stack takes the first attribute of a kind, and so does whoever judges for it.
#[test]
fn of_two_attributes_in_an_indication_the_first_is_judged_as_it_is_the_one_that_is_heard() {
    const PEER: u16 = ATTRIBUTE_XOR_PEER_ADDRESS;
    const DATA: u16 = 0x0013;
    let (mut world, server, _) = relayed();
    let (known, stranger) = (&masked("192.0.2.7:5000")[..], &masked("198.51.100.9:6000")[..]);
    let hello = &record(22, 0)[..];
    let check = &made::check([1; 12], "ours:them", OUR_PASSWORD)[..];
    // Says that it controls, and nobody signed it.
    let user = &b"ours:them"[..];
    let controls: [(u16, &[u8]); 2] = [(ATTRIBUTE_USERNAME, user), (0x802a, &[0xff; 8])];
    let unsigned = &made::message(Class::Request, METHOD_BINDING, [1; 12], &controls, None)[..];
    let mut hears = |attributes: &[(u16, &[u8])]| {
        let datagram = made::message(Class::Indication, 0x007, [3; 12], attributes, None);
        world.receive(server, &datagram)
    };
    assert_eq!(hears(&[(PEER, known), (DATA, hello)]), Verdict::Stack);
    assert_eq!(hears(&[(DATA, hello), (PEER, known)]), Verdict::Stack);
    assert_eq!(hears(&[(PEER, known), (DATA, hello), (PEER, stranger)]), Verdict::Stack);
    for bad in [
        &[(PEER, stranger), (PEER, known), (DATA, hello)][..],
        &[(PEER, stranger), (DATA, hello), (PEER, known)],
        &[(PEER, known), (DATA, unsigned), (DATA, hello)],
        &[(PEER, known), (DATA, unsigned), (DATA, check)],
        // The first one says nothing: the stack does not look for another.
        &[(PEER, &[]), (PEER, known), (DATA, hello)],
        &[(PEER, known), (DATA, &[]), (DATA, hello)],
    ] {
        assert_eq!(hears(bad), Verdict::Dropped, "{bad:?}");
    }
}

/// S-01: the stack takes whatever has the cookie for STUN, and does not look at the first bits.
#[test]
fn what_the_stack_takes_for_stun_is_judged_as_stun() {
    let (mut world, server, relayed) = relayed();
    let bind: [(u16, &[u8]); 2] = [
        (ATTRIBUTE_CHANNEL_NUMBER, &[0x40, 0x17, 0, 0]),
        (ATTRIBUTE_XOR_PEER_ADDRESS, &masked("192.0.2.7:5000")),
    ];
    let bind = made::message(Class::Request, METHOD_CHANNEL_BIND, [3; 12], &bind, None);
    assert!(world.send(server, &bind));
    let mut plain = Vec::new();
    Framing::Channel(0x4017).wrap(&record(22, 0), Toward::Client, [3; 12], &mut plain);
    assert_eq!(world.receive(server, &plain), Verdict::Stack);
    // ChannelData of channel 0x4017 with a record in it, and a Data indication of anybody with anything in it.
    let data: [(u16, &[u8]); 2] = [
        (ATTRIBUTE_XOR_PEER_ADDRESS, &masked("198.51.100.9:6000")),
        (0x0013, &made::message(Class::Request, METHOD_BINDING, [1; 12], &[], None)),
    ];
    let mut datagram = made::message(Class::Indication, 0x007, [3; 12], &data, None);
    datagram[0] |= 0x40;
    assert_eq!(world.receive(server, &datagram), Verdict::Dropped);
    // A record of an address that answered, and a request of a method that is none.
    assert_eq!(world.answered(2), Verdict::Stack);
    for first in 20..=63 {
        let mut datagram = made::message(Class::Request, METHOD_BINDING, [1; 12], &[], None);
        datagram[0] = first;
        assert_eq!(world.receive(relayed, &datagram), Verdict::Dropped, "{first}");
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut world = World::new(false);
    let mut taken = 0;
    for number in 0..20_000_u32 {
        let mut transaction = [0; 12];
        transaction[..4].copy_from_slice(&number.to_be_bytes());
        let from = SocketAddr::new([192, 0, (number >> 8) as u8, number as u8].into(), 7);
        world.now += Duration::from_millis(1);
        let check = made::check(transaction, "ours:them", OUR_PASSWORD);
        taken += usize::from(world.receive(from, &check) == Verdict::Stack);
        world.send(from, &made::check(transaction, "them:ours", THEIR_PASSWORD));
    }
    assert_eq!(taken, SOURCES_MAX);
    assert!(
        world.admission.requests.len() <= REQUESTS_MAX
            && world.admission.checks.len() <= CHECKS_MAX
    );
}

/// A connection over a relay outlives any number of ICE restarts, each with sockets, servers and channels of its own.
#[test]
fn channels_and_servers_of_old_negotiations_make_room() {
    let (mut world, mut server, _) = relayed();
    let hello = record(22, 0);
    for restart in 0..60_u8 {
        world.local.set_port(4_000 + u16::from(restart));
        server.set_ip([203, 0, 113, restart].into());
        let allocate = made::message(Class::Request, METHOD_ALLOCATE, [6; 12], &[], None);
        assert!(world.send(server, &allocate));
        let granted = made::message(Class::Success, METHOD_ALLOCATE, [6; 12], &[], None);
        assert_eq!(world.receive(server, &granted), Verdict::Stack);
        let wrapped = |payload: &[u8], number: u16, toward| {
            let mut wrapped = Vec::new();
            Framing::Channel(number).wrap(payload, toward, [3; 12], &mut wrapped);
            wrapped
        };
        for number in 0..12_u16 {
            let bind: [(u16, &[u8]); 2] = [
                (ATTRIBUTE_CHANNEL_NUMBER, &[0x40, number as u8, 0, 0]),
                (ATTRIBUTE_XOR_PEER_ADDRESS, &masked("192.0.2.7:5000")),
            ];
            world.now += Duration::from_millis(1);
            let bind = made::message(Class::Request, METHOD_CHANNEL_BIND, [3; 12], &bind, None);
            assert!(world.send(server, &bind));
        }
        assert!(world.send(server, &wrapped(&our_check(restart), 0x4000, Toward::Server)));
        let answer = wrapped(&answer(restart, THEIR_PASSWORD), 0x4000, Toward::Client);
        assert_eq!(world.receive(server, &answer), Verdict::Stack, "{restart}");
        // The one in use stays, whatever else is bound.
        for number in 0..600_u16 {
            let [high, low] = (0x4100 + number).to_be_bytes();
            let bind: [(u16, &[u8]); 2] = [
                (ATTRIBUTE_CHANNEL_NUMBER, &[high, low, 0, 0]),
                (ATTRIBUTE_XOR_PEER_ADDRESS, &masked("198.51.100.9:6000")),
            ];
            let bind = made::message(Class::Request, METHOD_CHANNEL_BIND, [3; 12], &bind, None);
            world.now += Duration::from_millis(1);
            assert!(world.send(server, &bind));
            let hello = wrapped(&hello, 0x4000, Toward::Client);
            assert_eq!(world.receive(server, &hello), Verdict::Stack, "{restart} {number}");
        }
    }
    assert_eq!(world.admission.channels.len(), CHANNELS_MAX);
    assert_eq!(world.admission.servers.len(), SERVERS_MAX);
}

#[test]
fn checks_have_a_rate() {
    let mut world = World::new(false);
    let check = made::check([1; 12], "ours:them", OUR_PASSWORD);
    let mut taken = 0;
    for _ in 0..3 * CHECKS_PER_SECOND {
        taken += u32::from(world.receive(world.peer, &check) == Verdict::Stack);
    }
    assert_eq!(taken, CHECKS_PER_SECOND);
}

/// S-12: until it answers, little goes to an address, whatever signed message seems to come from it.
#[test]
fn an_address_that_never_answered_gets_little() {
    let mut world = World::new(false);
    let peer = world.peer;
    assert_eq!(world.check(peer, 1), Verdict::Stack);
    let start = world.now;
    let mut sent = 0;
    for tick in 0..1_500_u32 {
        world.now = start + Duration::from_millis(20) * tick;
        let mut transaction = [9; 12];
        transaction[..4].copy_from_slice(&tick.to_be_bytes());
        sent +=
            usize::from(world.send(peer, &made::check(transaction, "them:ours", THEIR_PASSWORD)));
        assert!(!world.send(peer, &record(22, 0)), "no record before an answer");
    }
    assert!((200..=100 + 28 * 10 + 2).contains(&sent), "{sent}");
    world.now += Duration::from_secs(1);
    assert_eq!(world.answered(1), Verdict::Stack);
    for _ in 0..1_000 {
        assert!(world.send(peer, &our_check(2)) && world.send(peer, &record(22, 0)));
    }
    assert!(world.admission.withheld() > 1_500);
}

#[test]
fn nothing_goes_to_addresses_that_are_no_peers() {
    let mut world = World::new(false);
    for bad in
        ["169.254.169.254:80", "0.0.0.0:9", "224.0.0.251:5353", "255.255.255.255:9", "127.0.0.1:53"]
    {
        assert!(!world.send(address(bad), &our_check(1)), "{bad}");
    }
    // A relay that is elsewhere is not asked to look at itself; one on this machine is.
    let inside = |peer: &str| {
        let mut wrapped = Vec::new();
        Framing::Indication(address(peer)).wrap(
            &our_check(1),
            Toward::Server,
            [3; 12],
            &mut wrapped,
        );
        wrapped
    };
    let server = address("203.0.113.1:3478");
    for bad in ["127.0.0.1:9", "169.254.1.1:9", "169.254.169.254:80", "0.0.0.0:9"] {
        assert!(!world.send(server, &inside(bad)), "{bad}");
    }
    assert!(world.send(server, &inside("192.0.2.1:9")));
    world.local = address("127.0.0.1:4000");
    assert!(world.send(address("127.0.0.1:3478"), &inside("127.0.0.1:9")));
    assert!(world.send(address("127.0.0.1:9"), &our_check(2)));
    assert!(!world.send(address("192.0.2.1:9"), &our_check(3)), "it reaches nobody there");
}

/// whatever comes from strangers, in any order: never taken, and no panic.
#[test]
fn no_random_or_mutated_datagram_of_a_stranger_is_taken() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut wrapped = Vec::new();
    let peer = address("192.0.2.7:5000");
    Framing::Indication(peer).wrap(&record(20, 1), Toward::Client, [3; 12], &mut wrapped);
    let genuine = [
        made::check([1; 12], "ours:them", "guessed"),
        answer(1, "guessed"),
        record(20, 1),
        carried(7),
        wrapped,
        vec![0x40, 0, 0, 4, 20, 0xfe, 0xfd, 0],
    ];
    for has_carrier in [false, true] {
        let mut world = World::new(has_carrier);
        assert_eq!(world.check(peer, 1), Verdict::Stack);
        assert_eq!(world.answered(2), Verdict::Stack);
        for _ in 0..200_000 {
            let mut datagram = match random() % 7 {
                6 => vec![0; random() as usize % 1_500],
                kind => genuine[kind as usize].clone(),
            };
            for _ in 0..random() % 6 {
                if !datagram.is_empty() {
                    let at = random() as usize % datagram.len();
                    datagram[at] = random() as u8;
                }
            }
            datagram.truncate(datagram.len() - (random() as usize % 8).min(datagram.len()));
            assert_eq!(world.receive(world.stranger, &datagram), Verdict::Dropped, "{datagram:?}");
        }
    }
}
