//! The host's rules, without sockets.

use super::*;
use proptest::prelude::*;

const OPENER: MemberId = MemberId([1; 16]);
const JOINER: MemberId = MemberId([2; 16]);
const STRANGER: MemberId = MemberId([3; 16]);
const SESSION: RoomName = RoomName::Session([9; 16]);
const CODE: RoomName = RoomName::Code(7);

/// A host and its clients; what was said to each connection since it was last asked.
pub(super) struct World {
    pub(super) rooms: Rooms,
    pub(super) now: Instant,
    next: u64,
    heard: BTreeMap<ConnectionId, Vec<HostMessage>>,
    pub(super) closed: BTreeMap<ConnectionId, CloseReason>,
}

pub(super) fn token(byte: u8) -> MemberToken {
    MemberToken([byte; 32])
}

pub(super) fn join(room: RoomName, member: MemberId) -> ClientMessage {
    ClientMessage::Join { room, member, token: token(member.0[0]), deposit: None, wait: false }
}

pub(super) fn open(number: Option<u32>) -> ClientMessage {
    ClientMessage::Open {
        number,
        member: OPENER,
        token: token(1),
        deposit: b"deposit".to_vec(),
        again: false,
    }
}

fn relay(room: RoomName, to: MemberId, payload: &[u8]) -> ClientMessage {
    ClientMessage::Relay { room, to, payload: payload.to_vec() }
}

fn relayed(room: RoomName, from: MemberId, payload: &[u8]) -> HostMessage {
    HostMessage::Relayed { room, from, payload: payload.to_vec() }
}

pub(super) fn refused(room: RoomName, reason: RefusalReason) -> Vec<HostMessage> {
    vec![HostMessage::Refused { room: Some(room), reason }]
}

fn joined(room: RoomName, deposit: Option<MemberId>, peers: &[MemberId]) -> HostMessage {
    HostMessage::Joined {
        room,
        deposit: deposit.map(|from| (from, b"deposit".to_vec())),
        peers: peers.to_vec(),
    }
}

impl World {
    pub(super) fn new(limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            rooms: Rooms::new(limits, [7; 32], now),
            now,
            next: 0,
            heard: BTreeMap::new(),
            closed: BTreeMap::new(),
        }
    }

    pub(super) fn connect_from(&mut self, address: &str) -> ConnectionId {
        self.next += 1;
        let connection = ConnectionId(self.next);
        let from = Subscriber::Address(address.parse().unwrap());
        self.rooms.handle_connected(connection, from, self.now);
        self.drain();
        connection
    }

    pub(super) fn connect(&mut self) -> ConnectionId {
        self.connect_from("192.0.2.1")
    }

    pub(super) fn drain(&mut self) {
        while let Some(command) = self.rooms.poll_command() {
            match command {
                Command::Send { connection, message } => {
                    assert!(message.encode().is_ok());
                    assert!(!self.closed.contains_key(&connection), "who is gone hears nothing");
                    self.heard.entry(connection).or_default().push(message);
                }
                Command::Close { connection, reason } => {
                    assert!(self.closed.insert(connection, reason).is_none(), "closed twice");
                }
            }
        }
    }

    pub(super) fn tell(
        &mut self,
        connection: ConnectionId,
        message: &ClientMessage,
    ) -> Vec<HostMessage> {
        self.rooms.handle_message(connection, &message.encode().unwrap(), 4, self.now);
        self.drain();
        self.heard(connection)
    }

    pub(super) fn heard(&mut self, connection: ConnectionId) -> Vec<HostMessage> {
        self.heard.remove(&connection).unwrap_or_default()
    }

    pub(super) fn lose(&mut self, connection: ConnectionId) {
        self.rooms.handle_disconnected(connection, self.now);
        self.drain();
    }

    pub(super) fn wait(&mut self, duration: Duration) {
        self.now += duration;
        self.rooms.handle_timeout(self.now);
        self.drain();
    }

    /// Opener and joiner in code room 7.
    pub(super) fn paired(&mut self) -> (ConnectionId, ConnectionId) {
        let (opener, joiner) = (self.connect(), self.connect());
        assert_eq!(
            self.tell(opener, &open(Some(7))),
            [HostMessage::Opened { number: 7, peers: vec![] }]
        );
        assert_eq!(self.tell(joiner, &join(CODE, JOINER)), [joined(CODE, Some(OPENER), &[OPENER])]);
        assert_eq!(self.heard(opener), [HostMessage::PeerJoined { room: CODE, member: JOINER }]);
        (opener, joiner)
    }
}

pub(super) fn world() -> World {
    World::new(Limits::default())
}

#[test]
fn a_code_room_relays_both_ways_and_routes_by_member() {
    let mut world = world();
    let (opener, joiner) = world.paired();
    assert!(world.tell(joiner, &relay(CODE, OPENER, b"hello")).is_empty());
    assert_eq!(world.heard(opener), [relayed(CODE, JOINER, b"hello")]);
    world.tell(opener, &relay(CODE, JOINER, b"welcome"));
    assert_eq!(world.heard(joiner), [relayed(CODE, OPENER, b"welcome")]);
    assert_eq!(
        world.tell(opener, &relay(CODE, STRANGER, b"x")),
        refused(CODE, RefusalReason::UnknownMember)
    );
    assert_eq!(
        world.tell(opener, &relay(SESSION, JOINER, b"x")),
        refused(SESSION, RefusalReason::NoSuchRoom)
    );
    assert_eq!(
        world.tell(opener, &relay(CODE, OPENER, b"x")),
        refused(CODE, RefusalReason::UnknownMember)
    );
}

#[test]
fn strangers_in_a_code_room_see_the_opener_only() {
    let mut world = world();
    let (opener, joiner) = world.paired();
    let stranger = world.connect();
    assert_eq!(
        world.tell(stranger, &join(CODE, STRANGER)),
        [joined(CODE, Some(OPENER), &[OPENER])]
    );
    assert!(world.heard(joiner).is_empty());
    assert_eq!(
        world.tell(stranger, &relay(CODE, JOINER, b"x")),
        refused(CODE, RefusalReason::UnknownMember)
    );
    for message in
        [ClientMessage::Burn { number: 7 }, ClientMessage::Lock { number: 7, keep: STRANGER }]
    {
        assert_eq!(world.tell(stranger, &message), refused(CODE, RefusalReason::NotPermitted));
    }
    let deposit = ClientMessage::Deposit { room: CODE, deposit: b"mine".to_vec() };
    assert_eq!(world.tell(stranger, &deposit), refused(CODE, RefusalReason::NotPermitted));
    let outsider = world.connect();
    assert_eq!(
        world.tell(outsider, &relay(CODE, OPENER, b"x")),
        refused(CODE, RefusalReason::NotPermitted)
    );
    assert_eq!(
        world.tell(outsider, &ClientMessage::Burn { number: 7 }),
        refused(CODE, RefusalReason::NotPermitted)
    );
    world.heard(opener);
}

#[test]
fn a_locked_room_keeps_its_pair_and_nobody_else() {
    let mut world = world();
    let (opener, joiner) = world.paired();
    let stranger = world.connect();
    world.tell(stranger, &join(CODE, STRANGER));
    world.tell(opener, &ClientMessage::Lock { number: 7, keep: JOINER });
    assert_eq!(
        world.heard(stranger),
        [HostMessage::RoomClosed { room: CODE, reason: RefusalReason::CodeUsed }]
    );
    assert_eq!(world.tell(stranger, &join(CODE, STRANGER)), refused(CODE, RefusalReason::CodeUsed));
    world.tell(joiner, &relay(CODE, OPENER, b"still here"));
    assert!(world.heard(opener).contains(&relayed(CODE, JOINER, b"still here")));
    // The pair may come back; a stranger with the joiner's public id may not.
    world.lose(joiner);
    let back = world.connect();
    let impostor = ClientMessage::Join {
        room: CODE,
        member: JOINER,
        token: token(99),
        deposit: None,
        wait: false,
    };
    assert_eq!(world.tell(back, &impostor), refused(CODE, RefusalReason::CodeUsed));
    assert_eq!(world.tell(back, &join(CODE, JOINER)), [joined(CODE, Some(OPENER), &[OPENER])]);
    // When both have left, the number stays used.
    world.tell(opener, &ClientMessage::Leave { room: CODE });
    world.tell(back, &ClientMessage::Leave { room: CODE });
    assert_eq!(world.rooms.gauges().rooms, 0);
    assert_eq!(world.tell(stranger, &join(CODE, STRANGER)), refused(CODE, RefusalReason::CodeUsed));
    assert_eq!(world.tell(stranger, &open(Some(7))), refused(CODE, RefusalReason::Taken));
}

#[test]
fn a_burnt_room_is_closed_for_all() {
    let mut world = world();
    let (opener, joiner) = world.paired();
    let closed = HostMessage::RoomClosed { room: CODE, reason: RefusalReason::Burnt };
    assert_eq!(
        world.tell(opener, &ClientMessage::Burn { number: 7 }),
        std::slice::from_ref(&closed)
    );
    assert_eq!(world.heard(joiner), [closed]);
    assert_eq!(world.tell(joiner, &join(CODE, JOINER)), refused(CODE, RefusalReason::Burnt));
    world.wait(Limits::default().tombstone_lifetime);
    let later = world.connect();
    assert_eq!(world.tell(later, &join(CODE, JOINER)), refused(CODE, RefusalReason::NoSuchRoom));
}

#[test]
fn numbers_are_asked_for_or_picked() {
    let mut world = world();
    let first = world.connect();
    world.tell(first, &open(Some(5)));
    let second = world.connect();
    let other = ClientMessage::Open {
        number: Some(5),
        member: JOINER,
        token: token(2),
        deposit: vec![],
        again: false,
    };
    assert_eq!(world.tell(second, &other), refused(RoomName::Code(5), RefusalReason::Taken));
    let mut numbers = BTreeSet::new();
    for byte in 10..40 {
        let connection = world.connect_from("127.0.0.1");
        let message = ClientMessage::Open {
            number: None,
            member: MemberId([byte; 16]),
            token: token(byte),
            deposit: vec![],
            again: false,
        };
        match world.tell(connection, &message).as_slice() {
            [HostMessage::Opened { number, .. }] => {
                assert!(numbers.insert(*number) && *number != 5 && *number < 1000)
            }
            other => panic!("{other:?}"),
        }
    }
    let zero = ClientMessage::Open {
        number: Some(0),
        member: JOINER,
        token: token(2),
        deposit: vec![],
        again: false,
    };
    assert_eq!(world.tell(second, &zero), refused(RoomName::Code(0), RefusalReason::NotPermitted));
}

/// B-C: a code that the user chose is used again and again.
#[test]
fn a_chosen_number_is_opened_again_once_its_code_was_used() {
    let mut world = world();
    let (opener, joiner) = world.paired();
    world.tell(opener, &ClientMessage::Lock { number: 7, keep: JOINER });
    let next = |byte, again| ClientMessage::Open {
        number: Some(7),
        member: MemberId([byte; 16]),
        token: token(byte),
        deposit: vec![],
        again,
    };
    let other = world.connect();
    let taken = refused(CODE, RefusalReason::Taken);
    assert_eq!(world.tell(other, &next(9, true)), taken, "its opener is there");
    world.lose(opener);
    world.heard(joiner);
    assert_eq!(world.tell(other, &next(9, false)), taken);
    // Who waits meanwhile, waits for the next one; who does not is told that it was used.
    let waiter = world.connect();
    let join = |byte, wait| ClientMessage::Join {
        room: CODE,
        member: MemberId([byte; 16]),
        token: token(byte),
        deposit: None,
        wait,
    };
    assert_eq!(world.tell(waiter, &join(8, false)), refused(CODE, RefusalReason::CodeUsed));
    assert_eq!(world.tell(waiter, &join(8, true)), [HostMessage::Waiting { number: 7 }]);
    world.tell(other, &next(9, true));
    assert!(matches!(world.heard(waiter).as_slice(), [HostMessage::Joined { .. }]));
    // A burnt one stays so.
    world.tell(other, &ClientMessage::Burn { number: 7 });
    let later = world.connect();
    assert_eq!(world.tell(later, &next(10, true)), taken);
}

#[test]
fn only_the_opener_reopens_its_room() {
    let mut world = world();
    let (opener, joiner) = world.paired();
    world.lose(opener);
    assert_eq!(world.heard(joiner), [HostMessage::PeerLeft { room: CODE, member: OPENER }]);
    let thief = world.connect();
    let stolen = ClientMessage::Open {
        number: Some(7),
        member: OPENER,
        token: token(66),
        deposit: b"evil".to_vec(),
        again: false,
    };
    assert_eq!(world.tell(thief, &stolen), refused(CODE, RefusalReason::Taken));
    let joined_as_opener = ClientMessage::Join {
        room: CODE,
        member: OPENER,
        token: token(66),
        deposit: None,
        wait: false,
    };
    assert_eq!(world.tell(thief, &joined_as_opener), refused(CODE, RefusalReason::WrongToken));
    world.tell(joiner, &relay(CODE, OPENER, b"while away"));

    let back = world.connect();
    let reopen = ClientMessage::Open {
        number: Some(7),
        member: OPENER,
        token: token(1),
        deposit: b"fresh".to_vec(),
        again: false,
    };
    assert_eq!(
        world.tell(back, &reopen),
        [
            HostMessage::Opened { number: 7, peers: vec![JOINER] },
            relayed(CODE, JOINER, b"while away")
        ]
    );
    assert_eq!(
        world.heard(joiner),
        [
            HostMessage::PeerJoined { room: CODE, member: OPENER },
            HostMessage::Deposited { room: CODE, from: OPENER, deposit: b"fresh".to_vec() }
        ]
    );
}

#[test]
fn the_newest_connection_of_a_member_wins() {
    let mut world = world();
    let (opener, old) = world.paired();
    let new = world.connect();
    assert_eq!(world.tell(new, &join(CODE, JOINER)), [joined(CODE, Some(OPENER), &[OPENER])]);
    assert_eq!(world.closed.get(&old), Some(&CloseReason::Replaced));
    assert_eq!(world.heard(opener), [HostMessage::PeerJoined { room: CODE, member: JOINER }]);
    // The end of the old socket is no departure of the member.
    world.lose(old);
    assert!(world.heard(opener).is_empty());
    world.tell(opener, &relay(CODE, JOINER, b"to the new one"));
    assert_eq!(world.heard(new), [relayed(CODE, OPENER, b"to the new one")]);
    // A stranger cannot replace anybody.
    let stranger = world.connect();
    let impostor = ClientMessage::Join {
        room: CODE,
        member: JOINER,
        token: token(99),
        deposit: None,
        wait: false,
    };
    assert_eq!(world.tell(stranger, &impostor), refused(CODE, RefusalReason::WrongToken));
    assert!(!world.closed.contains_key(&new));
}

#[test]
fn a_session_room_is_a_pair_that_meets_in_any_order() {
    let mut world = world();
    let receiver = world.connect();
    assert_eq!(world.tell(receiver, &join(SESSION, JOINER)), [joined(SESSION, None, &[])]);
    let sender = world.connect();
    let with_deposit = ClientMessage::Join {
        room: SESSION,
        member: OPENER,
        token: token(1),
        deposit: Some(b"deposit".to_vec()),
        wait: false,
    };
    assert_eq!(world.tell(sender, &with_deposit), [joined(SESSION, None, &[JOINER])]);
    assert_eq!(
        world.heard(receiver),
        [
            HostMessage::PeerJoined { room: SESSION, member: OPENER },
            HostMessage::Deposited { room: SESSION, from: OPENER, deposit: b"deposit".to_vec() }
        ]
    );
    let third = world.connect();
    assert_eq!(
        world.tell(third, &join(SESSION, STRANGER)),
        refused(SESSION, RefusalReason::RoomFull)
    );
    // A member that comes back finds the deposit.
    world.lose(receiver);
    let back = world.connect();
    assert_eq!(
        world.tell(back, &join(SESSION, JOINER)),
        [joined(SESSION, Some(OPENER), &[OPENER])]
    );
}

#[test]
fn the_newest_messages_wait_for_a_member_that_is_briefly_away() {
    let mut world = world();
    let (opener, joiner) = world.paired();
    world.lose(joiner);
    for number in 0..40_u8 {
        assert_eq!(
            world.tell(opener, &relay(CODE, JOINER, &[number])).len(),
            usize::from(number == 0)
        );
    }
    assert_eq!(world.rooms.gauges().queued_bytes, 30);
    world.wait(Duration::from_secs(59));
    let back = world.connect();
    let heard = world.tell(back, &join(CODE, JOINER));
    let expected: Vec<HostMessage> =
        (10..40).map(|number| relayed(CODE, OPENER, &[number])).collect();
    assert_eq!(heard[1..], expected);
    assert_eq!(world.rooms.gauges().queued_bytes, 0);
    assert_eq!(world.rooms.counters().dropped, 10);

    world.lose(back);
    world.tell(opener, &relay(CODE, JOINER, b"too late"));
    world.wait(Duration::from_secs(60));
    assert_eq!(world.rooms.gauges().queued_bytes, 0);
    assert_eq!(
        world.tell(opener, &relay(CODE, JOINER, b"x")),
        refused(CODE, RefusalReason::UnknownMember)
    );
}

#[test]
fn queues_share_a_budget() {
    let mut world = World::new(Limits { queued_bytes_max: 25, ..Limits::default() });
    let (opener, joiner) = world.paired();
    world.lose(joiner);
    for _ in 0..4 {
        world.tell(opener, &relay(CODE, JOINER, &[0; 10]));
    }
    assert_eq!(world.rooms.gauges().queued_bytes, 20);
    assert_eq!(world.rooms.counters().dropped, 2);
}

#[test]
fn a_waiting_joiner_is_answered_when_the_room_opens() {
    let mut world = world();
    let waiter = world.connect();
    let wait = |number| ClientMessage::Join {
        room: RoomName::Code(number),
        member: JOINER,
        token: token(2),
        deposit: None,
        wait: true,
    };
    assert_eq!(world.tell(waiter, &wait(7)), [HostMessage::Waiting { number: 7 }]);
    // A receiver asks again every 20 s: the answer may have been lost.
    assert_eq!(world.tell(waiter, &wait(7)), [HostMessage::Waiting { number: 7 }]);
    assert_eq!(world.rooms.gauges().waiters, 1);
    assert_eq!(
        world.tell(waiter, &wait(8)),
        refused(RoomName::Code(8), RefusalReason::HostFull),
        "for one number a connection"
    );
    world.wait(Duration::from_secs(60));
    assert!(world.closed.is_empty(), "waiting is as good as having joined");
    let opener = world.connect();
    world.tell(opener, &open(Some(7)));
    assert_eq!(world.heard(waiter), [joined(CODE, Some(OPENER), &[OPENER])]);
    assert_eq!(world.rooms.gauges().waiters, 0);
}

/// Found by the fuzzer: of those that waited for a room, one took the place of its opener, which waited for it too.
#[test]
fn a_connection_that_is_closed_within_a_request_hears_nothing_after_it() {
    let mut world = world();
    let (first, second) = (world.connect(), world.connect());
    let wait = |member: MemberId| ClientMessage::Join {
        room: CODE,
        member,
        token: token(member.0[0]),
        deposit: None,
        wait: true,
    };
    world.tell(first, &wait(OPENER));
    world.tell(second, &wait(JOINER));
    world.tell(second, &open(Some(7)));
    assert_eq!(world.closed.get(&second), Some(&CloseReason::Replaced));
    assert_eq!(world.rooms.gauges().connections, 1);
    assert_eq!(world.rooms.gauges().waiters, 0);
}

#[test]
fn waiters_are_bounded_in_number_and_time() {
    let mut world = World::new(Limits { waiters_max: 2, ..Limits::default() });
    let wait = |byte: u8, number| ClientMessage::Join {
        room: RoomName::Code(number),
        member: MemberId([byte; 16]),
        token: token(byte),
        deposit: None,
        wait: true,
    };
    let connections: Vec<ConnectionId> = (0..3).map(|_| world.connect()).collect();
    assert_eq!(world.tell(connections[0], &wait(1, 1)), [HostMessage::Waiting { number: 1 }]);
    assert_eq!(world.tell(connections[1], &wait(2, 2)), [HostMessage::Waiting { number: 2 }]);
    assert_eq!(
        world.tell(connections[2], &wait(3, 3)),
        refused(RoomName::Code(3), RefusalReason::HostFull)
    );
    world.lose(connections[1]);
    assert_eq!(world.rooms.gauges().waiters, 1);
    world.wait(Limits::default().waiter_lifetime);
    assert_eq!(world.heard(connections[0]), refused(RoomName::Code(1), RefusalReason::NoSuchRoom));
    assert_eq!(world.rooms.gauges().waiters, 0);
}

#[test]
fn without_a_room_the_connection_ends() {
    let mut world = world();
    let idle = world.connect();
    world.wait(Duration::from_secs(9));
    assert!(world.closed.is_empty());
    world.wait(Duration::from_secs(1));
    assert_eq!(world.closed.get(&idle), Some(&CloseReason::TooLate));
    let (opener, _) = world.paired();
    world.wait(Duration::from_secs(100));
    assert!(!world.closed.contains_key(&opener));
}

#[test]
fn rooms_expire() {
    let limits = Limits { code_lifetime: Some(Duration::from_secs(3600)), ..Limits::default() };
    let mut world = World::new(limits);
    let (opener, joiner) = world.paired();
    world.lose(opener);
    world.lose(joiner);
    world.wait(limits.room_lease - Duration::from_secs(1));
    assert_eq!(world.rooms.gauges().rooms, 1);
    world.wait(Duration::from_secs(2));
    assert_eq!(world.rooms.gauges().rooms, 0);
    let late = world.connect();
    assert_eq!(world.tell(late, &join(CODE, JOINER)), refused(CODE, RefusalReason::Expired));

    // An unused code runs out although its opener is there; a used one does not.
    let opener = world.connect();
    world.tell(opener, &open(Some(8)));
    world.wait(Duration::from_secs(3600));
    assert_eq!(
        world.heard(opener),
        [HostMessage::RoomClosed { room: RoomName::Code(8), reason: RefusalReason::Expired }]
    );
    let opener = world.connect();
    world.tell(opener, &open(Some(9)));
    world.tell(opener, &ClientMessage::Lock { number: 9, keep: JOINER });
    world.wait(Duration::from_secs(7200));
    assert!(world.heard(opener).is_empty());
}

/// B-C: what an opener that was killed left is its own alone, whoever chose the number, for as long as the room lasts; its
/// next run has a whole hour for it.
#[test]
fn an_unused_code_is_its_openers_for_another_hour() {
    let mut world = world();
    let offer = |byte, deposit: &[u8]| ClientMessage::Open {
        number: Some(7),
        member: MemberId([byte; 16]),
        token: token(byte),
        deposit: deposit.to_vec(),
        again: true,
    };
    let opener = world.connect();
    world.tell(opener, &offer(1, b"one"));
    world.wait(Duration::from_secs(3000));
    let stranger = world.connect();
    let taken = refused(CODE, RefusalReason::Taken);
    assert_eq!(world.tell(stranger, &offer(9, b"evil")), taken, "its opener is there");
    world.lose(opener);
    assert_eq!(world.tell(stranger, &offer(9, b"evil")), taken, "its opener is away");
    world.wait(Duration::from_secs(500));
    let stranger = world.connect();
    assert_eq!(world.tell(stranger, &offer(9, b"evil")), taken, "its opener is long away");
    // The same offer by another connection is no new one.
    let again = world.connect();
    let opened = [HostMessage::Opened { number: 7, peers: vec![] }];
    assert_eq!(world.tell(again, &offer(1, b"one")), opened);
    world.lose(again);
    let next = world.connect();
    assert_eq!(world.tell(next, &offer(1, b"two")), opened);
    world.wait(Duration::from_secs(3500));
    assert!(world.heard(next).is_empty());
    world.wait(Duration::from_secs(101));
    let expired = HostMessage::RoomClosed { room: CODE, reason: RefusalReason::Expired };
    assert_eq!(world.heard(next), [expired]);
}

#[test]
fn rates_count_before_sizes_and_close_a_flood() {
    let mut world = world();
    let flood = world.connect();
    let mut garbage = vec![0xff; MESSAGE_BYTES_MAX];
    garbage[..2].copy_from_slice(&PROTOCOL_VERSION.to_le_bytes());
    world.rooms.handle_message(flood, &garbage, 0, world.now);
    world.drain();
    assert_eq!(world.closed.get(&flood), Some(&CloseReason::Malformed));
    let (opener, joiner) = world.paired();
    for _ in 0..Limits::default().messages_burst {
        world.tell(joiner, &relay(CODE, OPENER, b"x"));
    }
    assert_eq!(world.closed.get(&joiner), Some(&CloseReason::TooManyMessages));
    assert!(!world.closed.contains_key(&opener));
    let pinging = world.connect();
    for _ in 0..=Limits::default().messages_burst {
        world.rooms.handle_control(pinging, world.now);
    }
    world.drain();
    assert_eq!(world.closed.get(&pinging), Some(&CloseReason::TooManyMessages));
    // Bytes are as dear: a large message counts for each KiB.
    let (_, large) = {
        let opener = world.connect();
        world.tell(opener, &join(SESSION, OPENER));
        let large = world.connect();
        world.tell(large, &join(SESSION, JOINER));
        (opener, large)
    };
    let sent = (0..400).take_while(|_| {
        world.tell(large, &relay(SESSION, OPENER, &[0; 18_000]));
        !world.closed.contains_key(&large)
    });
    assert_eq!(sent.count(), 399 / 18);
    let newer = world.connect();
    world.rooms.handle_message(newer, &[2, 0, 1, 2, 3], 0, world.now);
    world.drain();
    assert_eq!(world.closed.get(&newer), Some(&CloseReason::Version { host: PROTOCOL_VERSION }));
}

#[test]
fn a_full_host_refuses_cleanly() {
    let limits = Limits {
        rooms_max: 1,
        connections_max: 4,
        connections_per_address_max: 3,
        members_max: 2,
        ..Limits::default()
    };
    let mut world = World::new(limits);
    let (_, joiner) = world.paired();
    let third = world.connect();
    assert_eq!(world.tell(third, &join(CODE, STRANGER)), refused(CODE, RefusalReason::RoomFull));
    assert_eq!(
        world.tell(third, &join(SESSION, STRANGER)),
        refused(SESSION, RefusalReason::HostFull)
    );
    let fourth = world.connect();
    assert_eq!(world.closed.get(&fourth), Some(&CloseReason::HostFull), "three from one address");
    let other = world.connect_from("192.0.2.2");
    assert!(!world.closed.contains_key(&other));
    let fifth = world.connect_from("192.0.2.3");
    assert_eq!(world.closed.get(&fifth), Some(&CloseReason::HostFull), "four in all");
    world.lose(joiner);
    let again = world.connect_from("192.0.2.3");
    assert!(!world.closed.contains_key(&again));
}

#[test]
fn a_connection_speaks_for_one_member_in_few_rooms() {
    let mut world = World::new(Limits { rooms_per_connection_max: 2, ..Limits::default() });
    let connection = world.connect();
    let room = |byte| RoomName::Session([byte; 16]);
    world.tell(connection, &join(room(1), JOINER));
    assert_eq!(
        world.tell(connection, &join(room(1), STRANGER)),
        refused(room(1), RefusalReason::NotPermitted)
    );
    world.tell(connection, &join(room(2), JOINER));
    assert_eq!(
        world.tell(connection, &join(room(3), JOINER)),
        refused(room(3), RefusalReason::HostFull)
    );
    assert_eq!(world.tell(connection, &open(Some(7))), refused(CODE, RefusalReason::HostFull));
    assert_eq!(world.rooms.gauges().rooms, 2, "what cannot be entered is not made");
}

#[test]
fn shutdown_tells_everyone_once() {
    let mut world = world();
    let (opener, joiner) = world.paired();
    world.rooms.handle_shutdown(Duration::from_secs(5), world.now);
    world.drain();
    // Not both at once: a thousand would be a flood.
    let reason = |retry_after_ms| CloseReason::Shutdown { retry_after_ms };
    assert_eq!(world.closed, BTreeMap::from([(opener, reason(5000)), (joiner, reason(5005))]));
    assert!(world.heard(joiner).is_empty());
}

/// C-13: nothing grows with the number of rooms that ever were.
#[test]
fn nothing_grows_over_a_hundred_thousand_rooms() {
    let mut world = world();
    for number in 0..100_000_u32 {
        world.next += 1;
        let connection = ConnectionId(world.next);
        let from = Subscriber::Address((number % 5000).to_be_bytes().into());
        world.rooms.handle_connected(connection, from, world.now);
        let session = RoomName::Session(u128::from(number).to_le_bytes());
        let message = if number % 2 == 0 { open(None) } else { join(session, JOINER) };
        world.rooms.handle_message(connection, &message.encode().unwrap(), number, world.now);
        let room = match world.rooms.poll_command() {
            Some(Command::Send { message: HostMessage::Opened { number, .. }, .. }) => {
                RoomName::Code(number)
            }
            _ => session,
        };
        let leave = ClientMessage::Leave { room };
        world.rooms.handle_message(connection, &leave.encode().unwrap(), 0, world.now);
        world.rooms.handle_disconnected(connection, world.now);
        while world.rooms.poll_command().is_some() {}
        world.now += Duration::from_millis(10);
        world.rooms.handle_timeout(world.now);
    }
    assert_eq!(world.rooms.counters().rooms_opened, 100_000);
    assert!(world.rooms.gauges().tombstones <= Limits::default().tombstones_max);
    assert!(world.rooms.gauges().addresses <= 5000);
    world.wait(Limits::default().tombstone_lifetime);
    assert_eq!(world.rooms.gauges(), Gauges::default());
    assert_eq!(world.rooms.poll_timeout(), None);
}

#[derive(Clone, Debug)]
enum Step {
    Connect(u8),
    Lose(u8),
    Tell(u8, ClientMessage),
    Raw(u8, Vec<u8>),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let room = prop_oneof![
        (1..4_u32).prop_map(RoomName::Code),
        (1..3_u8).prop_map(|byte| RoomName::Session([byte; 16]))
    ];
    let member = (1..5_u8).prop_map(|byte| MemberId([byte; 16]));
    let message = (room, member.clone(), member, 1..4_u8, 0..8_u8, any::<bool>()).prop_map(
        |(room, member, to, secret, kind, flag)| {
            let number = match room {
                RoomName::Code(number) => number,
                RoomName::Session(_) => 9,
            };
            match kind {
                0 | 1 => ClientMessage::Open {
                    number: flag.then_some(number),
                    member,
                    token: token(secret),
                    deposit: vec![secret],
                    again: false,
                },
                2 | 3 => ClientMessage::Join {
                    room,
                    member,
                    token: token(secret),
                    deposit: flag.then(|| vec![secret]),
                    wait: flag,
                },
                4 => ClientMessage::Relay { room, to, payload: vec![secret; 9] },
                5 => ClientMessage::Lock { number, keep: to },
                6 => ClientMessage::Burn { number },
                _ => ClientMessage::Leave { room },
            }
        },
    );
    prop_oneof![
        2 => (0..6_u8).prop_map(Step::Connect),
        2 => (0..6_u8).prop_map(Step::Lose),
        9 => (0..6_u8, message).prop_map(|(who, message)| Step::Tell(who, message)),
        1 => (0..6_u8, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(who, bytes)| Step::Raw(who, bytes)),
        1 => (0..4000_u16).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever clients do: no panic, the books balance, and when all are gone nothing is left.
    #[test]
    fn any_order_of_events_keeps_the_books(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = world();
        let mut slots: BTreeMap<u8, ConnectionId> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Connect(slot) => {
                    if let Some(old) = slots.remove(&slot) {
                        world.lose(old);
                    }
                    let connection = world.connect();
                    slots.insert(slot, connection);
                }
                Step::Lose(slot) => {
                    if let Some(old) = slots.remove(&slot) {
                        world.lose(old);
                    }
                }
                Step::Tell(slot, message) => {
                    if let Some(connection) = slots.get(&slot) {
                        world.tell(*connection, &message);
                    }
                }
                Step::Raw(slot, bytes) => {
                    if let Some(connection) = slots.get(&slot) {
                        world.rooms.handle_message(*connection, &bytes, 1, world.now);
                        world.drain();
                    }
                }
                Step::Wait(seconds) => world.wait(Duration::from_secs(u64::from(seconds))),
            }
            let gauges = world.rooms.gauges();
            prop_assert!(gauges.rooms <= 16 && gauges.queued_bytes <= 30 * 9 * 20);
        }
        for connection in slots.into_values() {
            world.lose(connection);
        }
        world.wait(Duration::from_secs(3600));
        world.wait(Duration::from_secs(3600));
        prop_assert_eq!(world.rooms.gauges(), Gauges::default());
    }
}
