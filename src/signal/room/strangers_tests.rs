//! Strangers who look for codes that are not theirs (S-11).

use super::tests::{World, join, open, refused, token, world};
use super::*;
use crate::signal::work::{Challenge, LIFETIME};
use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

fn join_as(number: u32, member: u128) -> ClientMessage {
    let member = MemberId(member.to_le_bytes());
    ClientMessage::Join {
        room: RoomName::Code(number),
        member,
        token: token(member.0[0]),
        deposit: None,
        wait: false,
    }
}

fn no_such(number: u32) -> Vec<HostMessage> {
    refused(RoomName::Code(number), RefusalReason::NoSuchRoom)
}

/// What work a host asks for, if that is its answer.
fn asked(answer: &[HostMessage]) -> Option<(Challenge, u8)> {
    match answer {
        [HostMessage::WorkNeeded { challenge, bits, .. }] => Some((*challenge, *bits)),
        _ => None,
    }
}

fn solve((challenge, bits): (Challenge, u8)) -> u64 {
    challenge.solve(bits, &AtomicBool::new(false)).unwrap()
}

/// A host whose work is done in no time.
fn cheap() -> World {
    World::new(Limits { work_bits: 6, ..Limits::default() })
}

/// A connection that is asked for work at number 99, and what for.
fn asked_for_work(world: &mut World) -> (ConnectionId, (Challenge, u8)) {
    let connection = world.connect();
    for number in 1..=5 {
        assert_eq!(world.tell(connection, &join_as(number, 1)), no_such(number));
    }
    let work = asked(&world.tell(connection, &join_as(99, 1))).expect("work");
    (connection, work)
}

/// S-11: what leads nowhere counts by subscriber, whoever opens a connection for it.
#[test]
fn misses_are_counted_by_address() {
    let mut world = world();
    let mut number = 100;
    let mut scan = |world: &mut World, address: &str| {
        let before = number;
        loop {
            let connection = world.connect_from(address);
            number += 1;
            let answer = world.tell(connection, &join_as(number, 1));
            world.lose(connection);
            if answer != no_such(number) {
                assert!(asked(&answer).is_some(), "{answer:?}");
                return number - before - 1;
            }
        }
    };
    assert_eq!(scan(&mut world, "2001:db8::1"), 5);
    assert_eq!(scan(&mut world, "2001:db8::2"), 0, "a subscriber has a whole /64");
    for subnet in 1..8 {
        assert_eq!(scan(&mut world, &format!("2001:db8:0:{subnet}::1")), 5);
    }
    assert_eq!(scan(&mut world, "2001:db8:0:9::1"), 0, "and often a /48");
    assert_eq!(scan(&mut world, "2001:db8:1::1"), 5);
    assert_eq!(scan(&mut world, "::ffff:127.0.0.1"), 80, "a proxy speaks for many");
    assert_eq!(scan(&mut world, "127.0.0.2"), 5);
    world.wait(Duration::from_secs(4_000));
    assert_eq!(world.rooms.gauges().addresses, 0);
}

/// S-11: Taken tells as much as a join does, and a wait too; a number that is asked for again tells nothing new.
#[test]
fn every_way_to_ask_for_a_number_is_a_miss() {
    let mut world = world();
    world.paired();
    let stranger = world.connect_from("192.0.2.9");
    let other = |number| ClientMessage::Open {
        number: Some(number),
        member: MemberId([9; 16]),
        token: token(9),
        deposit: vec![],
        again: true,
    };
    let waiting = ClientMessage::Join {
        room: RoomName::Code(50),
        member: MemberId([9; 16]),
        token: token(9),
        deposit: None,
        wait: true,
    };
    let code = RoomName::Code(7);
    assert_eq!(world.tell(stranger, &other(7)), refused(code, RefusalReason::Taken));
    assert_eq!(world.tell(stranger, &waiting), [HostMessage::Waiting { number: 50 }]);
    assert!(matches!(world.tell(stranger, &other(51))[..], [HostMessage::Opened { .. }]));
    for _ in 0..20 {
        assert_eq!(world.tell(stranger, &join_as(52, 9)), no_such(52));
    }
    assert_eq!(world.tell(stranger, &other(7)), refused(code, RefusalReason::Taken));
    assert!(asked(&world.tell(stranger, &join_as(7, 9))).is_some());
    assert!(asked(&world.tell(stranger, &other(53))).is_some());
    assert_eq!(world.tell(stranger, &join_as(52, 9)), no_such(52), "it is known");
}

#[test]
fn a_member_that_comes_back_and_a_pairing_are_no_misses() {
    let mut world = world();
    for round in 0..40_u32 {
        let (opener, joiner) = (world.connect(), world.connect());
        let number = 1_000 + round;
        assert!(matches!(
            world.tell(opener, &open(Some(number)))[..],
            [HostMessage::Opened { .. }]
        ));
        let room = RoomName::Code(number);
        for connection in [joiner, world.connect(), world.connect()] {
            let answer = world.tell(connection, &join(room, MemberId([2; 16])));
            assert!(matches!(answer[..], [HostMessage::Joined { .. }]), "{round}: {answer:?}");
        }
        let again = world.connect();
        assert!(matches!(
            world.tell(again, &open(Some(number)))[..],
            [HostMessage::Opened { .. }, ..]
        ));
        world.tell(again, &ClientMessage::Lock { number, keep: MemberId([2; 16]) });
        world.tell(again, &ClientMessage::Leave { room });
        world.wait(Duration::from_secs(1));
    }
}

#[test]
fn work_is_good_for_one_try_of_one_connection_at_one_number() {
    let mut world = cheap();
    let (connection, work) = asked_for_work(&mut world);
    let nonce = solve(work);
    let shown = |number| ClientMessage::Work { number, nonce };
    let not_permitted = |number| refused(RoomName::Code(number), RefusalReason::NotPermitted);
    let other = world.connect();
    assert_eq!(world.tell(other, &shown(99)), not_permitted(99), "another connection's");
    assert_eq!(world.tell(connection, &shown(98)), not_permitted(98), "another number");
    assert_eq!(world.tell(connection, &shown(99)), not_permitted(99), "it had its answer");

    let work = asked(&world.tell(connection, &join_as(99, 1))).unwrap();
    let wrong = (0..).find(|nonce| !work.0.is_solved(work.1, *nonce)).unwrap();
    let wrong = ClientMessage::Work { number: 99, nonce: wrong };
    assert_eq!(world.tell(connection, &wrong), not_permitted(99));

    let work = asked(&world.tell(connection, &join_as(99, 1))).unwrap();
    let shown = ClientMessage::Work { number: 99, nonce: solve(work) };
    assert!(world.tell(connection, &shown).is_empty());
    assert_eq!(world.tell(connection, &join_as(99, 1)), no_such(99));
    assert!(asked(&world.tell(connection, &join_as(98, 1))).is_some(), "once");
    assert_eq!(world.tell(connection, &shown), not_permitted(99), "repeated");

    let work = asked(&world.tell(connection, &join_as(97, 1))).unwrap();
    let shown = ClientMessage::Work { number: 97, nonce: solve(work) };
    world.now += LIFETIME;
    assert_eq!(world.tell(connection, &shown), not_permitted(97), "too late");
    // A deadline for a room does not end who is at work.
    let mut patient = cheap();
    let (at_work, _) = asked_for_work(&mut patient);
    patient.wait(LIFETIME - Duration::from_secs(1));
    assert!(patient.closed.is_empty());
    patient.wait(Duration::from_secs(2));
    assert_eq!(patient.closed.get(&at_work), Some(&CloseReason::TooLate));
}

/// S-11: 4,096 rooms were one address's in an hour.
#[test]
fn one_address_takes_neither_the_rooms_nor_the_places_of_a_room() {
    let mut world = world();
    let mut byte = 0_u128;
    let mut session = |world: &mut World, address: &str| {
        byte += 1;
        let connection = world.connect_from(address);
        let room = RoomName::Session(byte.to_le_bytes());
        let answer = world.tell(connection, &join(room, MemberId([2; 16])));
        matches!(answer[..], [HostMessage::Joined { .. }])
    };
    let opened =
        |world: &mut World, address: &str, session: &mut dyn FnMut(&mut World, &str) -> bool| {
            (0..256).filter(|_| session(world, address)).count()
        };
    assert_eq!(opened(&mut world, "192.0.2.7", &mut session), 128);
    let mut of_network = 0;
    for subnet in 0..16 {
        of_network += opened(&mut world, &format!("2001:db8:0:{subnet}::1"), &mut session);
    }
    assert_eq!(of_network, 1_024, "a /48");
    assert!(session(&mut world, "192.0.2.8"), "others still get in");
    // A code's room.
    let opener = world.connect();
    world.tell(opener, &open(Some(7)));
    for member in 10..20 {
        let stranger = world.connect_from("198.51.100.1");
        world.tell(stranger, &join_as(7, member));
    }
    let right = world.connect_from("198.51.100.2");
    assert!(matches!(world.tell(right, &join_as(7, 2))[..], [HostMessage::Joined { .. }]));
}

/// H-13: waiters of one address do not take all places to wait, and nobody is given a number that somebody waits for.
#[test]
fn who_waits_for_every_number_gets_none() {
    let mut world = world();
    let mut waiting = BTreeSet::new();
    for number in 1..=5 {
        for address in 1..=16 {
            let connection = world.connect_from(&format!("192.0.2.{address}"));
            let number = number * 16 + address;
            let wait = ClientMessage::Join {
                room: RoomName::Code(number),
                member: MemberId([2; 16]),
                token: token(2),
                deposit: None,
                wait: true,
            };
            if world.tell(connection, &wait) == [HostMessage::Waiting { number }] {
                waiting.insert(number);
            }
        }
    }
    assert_eq!(waiting.len(), 80);
    for random in 0..200 {
        let number = world.rooms.free_number(random);
        assert!((1..10_000).contains(&number) && !waiting.contains(&number), "{number}");
    }
}

/// S-11: 64 addresses with a busy core each look for ten minutes for the rooms of 100 codes that wait, and try words in each
/// that they find. Work is counted in virtual time, at 10^7 hashes a second.
#[test]
fn ten_minutes_of_64_addresses_burn_fewer_than_three_of_100_codes() {
    const SAVED_BITS: u8 = 16;
    let mut found = Vec::new();
    for seed in 0..8_u64 {
        let limits = Limits { work_bits: 20 - SAVED_BITS, ..Limits::default() };
        let mut world = World::new(limits);
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 32) as u32
        };
        let codes: Vec<(ConnectionId, u32)> = (0..100_u32)
            .map(|index| {
                let opener = world.connect_from(&format!("198.51.100.{}", index % 50));
                let mut member = [0; 16];
                member[..4].copy_from_slice(&index.to_le_bytes());
                let message = ClientMessage::Open {
                    number: None,
                    member: MemberId(member),
                    token: token(1),
                    deposit: vec![1],
                    again: false,
                };
                world.rooms.handle_message(opener, &message.encode().unwrap(), next(), world.now);
                world.drain();
                match world.heard(opener)[..] {
                    [HostMessage::Opened { number, .. }] => (opener, number),
                    ref other => panic!("{other:?}"),
                }
            })
            .collect();
        // The rule is public: they know how many numbers there are.
        let range = codes.iter().map(|(_, number)| *number).max().unwrap();
        let end = world.now + Duration::from_secs(600);
        let mut free_at = vec![world.now; 64];
        let mut hits = BTreeSet::new();
        let mut tried = 0_u32;
        while let Some((address, at)) =
            (0..64).map(|one| (one, free_at[one])).min_by_key(|(_, at)| *at)
        {
            if at >= end {
                break;
            }
            world.now = world.now.max(at);
            world.rooms.handle_timeout(world.now);
            let connection = world.connect_from(&format!("203.0.113.{address}"));
            let number = 1 + next() % range;
            let guess = join_as(number, u128::from(next()) + 1_000);
            let mut answer = world.tell(connection, &guess);
            if let Some(work) = asked(&answer) {
                let hashes = 2_f64.powi(i32::from(work.1 + SAVED_BITS));
                free_at[address] = at + Duration::from_secs_f64(hashes / 1e7);
                world.tell(connection, &ClientMessage::Work { number, nonce: solve(work) });
                answer = world.tell(connection, &guess);
            } else {
                let is_refused =
                    answer == refused(RoomName::Code(number), RefusalReason::TooManyTries);
                let pause = if is_refused { 1_000 } else { 10 };
                free_at[address] = at + Duration::from_millis(pause);
            }
            tried += u32::from(answer == no_such(number));
            if matches!(answer[..], [HostMessage::Joined { .. }]) {
                let (opener, _) = codes.iter().find(|(_, code)| *code == number).unwrap();
                world.tell(*opener, &ClientMessage::Burn { number });
                hits.insert(number);
            }
            world.lose(connection);
        }
        assert!(tried > 500, "they try: {tried}");
        found.push((hits.len(), tried, range));
    }
    assert!(found.iter().all(|(hits, _, _)| *hits < 3), "burnt, tried, numbers: {found:?}");
}
