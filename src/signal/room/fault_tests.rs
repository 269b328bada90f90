//! A panic of ours while one room is handled, at whatever point: the others go on, and nothing is left of it (P-10).

use super::tests::{World, join, open, token, world};
use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

const CODE: RoomName = RoomName::Code(7);
const PAIR: RoomName = RoomName::Session([9; 16]);
const BYSTANDERS: u8 = 20;

/// As the host does it.
fn endure(world: &mut World, act: impl FnOnce(&mut World)) {
    if catch_unwind(AssertUnwindSafe(|| act(world))).is_err() {
        world.rooms.handle_fault(world.now);
        world.drain();
    }
}

fn member(number: u8) -> MemberId {
    MemberId([number; 16])
}

fn relay(room: RoomName, to: u8) -> ClientMessage {
    ClientMessage::Relay { room, to: member(to), payload: vec![to; 9] }
}

fn in_session(number: u8) -> RoomName {
    RoomName::Session([100 + number; 16])
}

/// Everybody in `rooms` hears the other one.
#[track_caller]
fn assert_alive(world: &mut World, rooms: &[(ConnectionId, ConnectionId)], what: &str) {
    for (number, &(left, right)) in (0..).zip(rooms) {
        let room = in_session(number);
        for (from, to, connection) in [(1, 2, right), (2, 1, left)] {
            let speaker = if from == 1 { left } else { right };
            assert!(world.tell(speaker, &relay(room, to)).is_empty(), "{what}");
            let payload = vec![to; 9];
            let heard = HostMessage::Relayed { room, from: member(from), payload };
            assert_eq!(world.heard(connection), [heard], "{what}");
        }
    }
}

/// Everything that happens in a code's room, step by step, and in a session's; the connections that it takes.
fn life(world: &mut World) {
    let mut at: Vec<ConnectionId> = Vec::new();
    let mut step = |world: &mut World, who: usize, message: &ClientMessage| {
        while at.len() <= who {
            at.push(world.connect());
        }
        // One that was closed comes back.
        if world.closed.contains_key(&at[who]) {
            at[who] = world.connect();
        }
        let connection = at[who];
        endure(world, |world| {
            world.tell(connection, message);
        });
        connection
    };
    let wait = ClientMessage::Join {
        room: CODE,
        member: member(2),
        token: token(2),
        deposit: None,
        wait: true,
    };
    step(world, 1, &wait);
    let opener = step(world, 0, &open(Some(7)));
    step(world, 2, &join(CODE, member(3)));
    step(world, 0, &relay(CODE, 2));
    step(world, 1, &relay(CODE, 1));
    step(world, 0, &ClientMessage::Deposit { room: CODE, deposit: vec![4; 4] });
    endure(world, |world| world.lose(opener));
    step(world, 1, &relay(CODE, 1));
    step(world, 1, &relay(CODE, 1));
    step(world, 3, &open(Some(7)));
    step(world, 3, &ClientMessage::Lock { number: 7, keep: member(2) });
    step(world, 1, &ClientMessage::Leave { room: CODE });
    step(world, 3, &ClientMessage::Leave { room: CODE });
    let again = ClientMessage::Open {
        number: Some(7),
        member: member(1),
        token: token(1),
        deposit: Vec::new(),
        again: true,
    };
    step(world, 0, &again);
    step(world, 2, &join(CODE, member(3)));
    step(world, 0, &ClientMessage::Burn { number: 7 });

    let deposit = ClientMessage::Join {
        room: PAIR,
        member: member(1),
        token: token(1),
        deposit: Some(vec![5; 5]),
        wait: false,
    };
    step(world, 4, &deposit);
    let second = step(world, 5, &join(PAIR, member(2)));
    step(world, 4, &relay(PAIR, 2));
    endure(world, |world| world.lose(second));
    step(world, 4, &relay(PAIR, 2));
    step(world, 6, &join(PAIR, member(2)));
    // Replaced by a newer connection of the same member.
    step(world, 7, &join(PAIR, member(2)));
    for connection in at {
        endure(world, |world| world.lose(connection));
    }
    for _ in 0..4 {
        endure(world, |world| world.wait(Duration::from_secs(20 * 60)));
    }
}

#[test]
fn a_panic_in_one_room_at_any_point_ends_that_room_only() {
    let mut points = 0;
    for room in [CODE, PAIR] {
        for after in 0.. {
            let mut world = world();
            let mut rooms = Vec::new();
            for number in 0..BYSTANDERS {
                let pair = (world.connect(), world.connect());
                world.tell(pair.0, &join(in_session(number), member(1)));
                world.tell(pair.1, &join(in_session(number), member(2)));
                world.heard(pair.0);
                rooms.push(pair);
            }
            let what = format!("{room:?}, {after}");
            world.rooms.inject(Fault { room, after });
            life(&mut world);
            let is_met = world.rooms.fault.is_none();
            world.rooms.fault = None;
            assert_alive(&mut world, &rooms, &what);
            // What the fault ended can be opened again.
            let anew = (world.connect(), world.connect());
            assert_eq!(world.tell(anew.0, &join(PAIR, member(1))).len(), 1, "{what}");
            let peers = vec![member(1)];
            let joined = HostMessage::Joined { room: PAIR, deposit: None, peers };
            assert_eq!(world.tell(anew.1, &join(PAIR, member(2))), [joined], "{what}");
            for connection in
                rooms.into_iter().chain([anew]).flat_map(|(left, right)| [left, right])
            {
                world.lose(connection);
            }
            for _ in 0..4 {
                world.wait(Duration::from_secs(3600));
            }
            assert_eq!(world.rooms.gauges(), Gauges::default(), "{what}");
            assert_eq!(world.rooms.poll_timeout(), None, "{what}");
            if !is_met {
                break;
            }
            points += 1;
        }
    }
    assert!(points > 20, "{points}");
}

/// A sweep that panics is over, and the next one comes in its time: what fails again and again takes no processor.
#[test]
fn a_sweep_that_panics_is_not_repeated_at_once() {
    let mut world = world();
    let connection = world.connect();
    world.tell(connection, &open(Some(7)));
    world.rooms.inject(Fault { room: CODE, after: 0 });
    world.now += Duration::from_secs(3600);
    let sweep = |world: &mut World| world.rooms.handle_timeout(world.now);
    assert!(catch_unwind(AssertUnwindSafe(|| sweep(&mut world))).is_err());
    assert_eq!(world.rooms.poll_timeout(), Some(world.now + SWEEP_INTERVAL));
    world.rooms.handle_fault(world.now);
    world.drain();
    assert_eq!(world.rooms.gauges().rooms, 0);
}
