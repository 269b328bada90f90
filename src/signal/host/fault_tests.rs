//! A real host of a thousand rooms, one of which makes it panic (P-10).

use super::*;
use crate::signal::client::{Client, ClientEvent, HostConnection};
use crate::signal::code::HostAddress;
use crate::signal::keys::{MemberToken, RoomName};
use crate::signal::protocol::ClientMessage;
use crate::signal::room::Fault;
use crate::wire::MemberId;

/// Connections of one side, with so many rooms each.
const CONNECTIONS: u16 = 63;
const ROOMS_OF_EACH: u16 = 16;
const SICK: u16 = u16::MAX;

fn room(number: u16) -> RoomName {
    let mut name = [0; 16];
    name[..2].copy_from_slice(&number.to_le_bytes());
    RoomName::Session(name)
}

fn member(side: u8) -> MemberId {
    MemberId([side; 16])
}

/// One side of some rooms.
struct End {
    client: Client,
    host: HostConnection,
    side: u8,
}

impl End {
    async fn connected(address: &HostAddress, side: u8) -> Self {
        let mut client = Client::start(vec![address.clone()], None);
        match client.event().await {
            Some(ClientEvent::Connected(host)) => Self { client, host, side },
            other => panic!("not connected: {other:?}"),
        }
    }

    /// The next message; a connection that is lost or stopped fails.
    async fn heard(&mut self) -> HostMessage {
        match self.client.event().await {
            Some(ClientEvent::Message(message)) => message,
            other => panic!("no message: {other:?}"),
        }
    }

    fn join(&self, number: u16) {
        let (room, member) = (room(number), member(self.side));
        let token = MemberToken::for_room(&[self.side; 32], room);
        let join = ClientMessage::Join { room, member, token, deposit: None, wait: false };
        self.host.send(join).unwrap();
    }

    fn say(&self, number: u16) {
        let (room, to) = (room(number), member(3 - self.side));
        self.host.send(ClientMessage::Relay { room, to, payload: vec![self.side] }).unwrap();
    }

    /// What the other side said in these rooms.
    async fn hear_all(&mut self, numbers: impl Iterator<Item = u16>) {
        let (from, payload) = (member(3 - self.side), vec![3 - self.side]);
        for number in numbers {
            let relayed =
                HostMessage::Relayed { room: room(number), from, payload: payload.clone() };
            assert_eq!(self.heard().await, relayed);
        }
    }
}

fn rooms_of(connection: usize) -> impl Iterator<Item = u16> {
    let first = u16::try_from(connection).unwrap() * ROOMS_OF_EACH;
    first..first + ROOMS_OF_EACH
}

/// Both sides of one room, or of some.
async fn pair(address: &HostAddress, rooms: impl Iterator<Item = u16>) -> [End; 2] {
    let mut ends = [End::connected(address, 1).await, End::connected(address, 2).await];
    for number in rooms {
        ends[0].join(number);
        assert!(matches!(ends[0].heard().await, HostMessage::Joined { .. }));
        ends[1].join(number);
        assert!(matches!(ends[1].heard().await, HostMessage::Joined { .. }));
        assert!(matches!(ends[0].heard().await, HostMessage::PeerJoined { .. }));
    }
    ends
}

async fn assert_alive(pairs: &mut [[End; 2]]) {
    for (connection, ends) in pairs.iter().enumerate() {
        ends.iter().for_each(|end| rooms_of(connection).for_each(|number| end.say(number)));
    }
    for (connection, ends) in pairs.iter_mut().enumerate() {
        for end in ends {
            end.hear_all(rooms_of(connection)).await;
        }
    }
}

#[tokio::test]
async fn a_panic_in_one_room_leaves_a_thousand_alone() {
    let limits = Limits {
        connections_per_address_max: 1000,
        rooms_per_address_max: 4096,
        tries_burst: 10_000,
        ..Limits::default()
    };
    let listen = "127.0.0.1:0".parse().unwrap();
    let host = Host::start(listen, limits).await.unwrap();
    let address = HostAddress::new("127.0.0.1", host.local_addr().port()).unwrap();
    let mut pairs = Vec::new();
    for connection in 0..usize::from(CONNECTIONS) {
        pairs.push(pair(&address, rooms_of(connection)).await);
    }
    let mut sick = pair(&address, std::iter::once(SICK)).await;
    assert_eq!(host.snapshot().await.unwrap().1.rooms, 1009);
    assert_alive(&mut pairs).await;
    for _ in 0..2 {
        let fault = Fault { room: room(SICK), after: 0 };
        assert!(host.inputs.send(Input::Fault(fault)).await.is_ok());
        sick[0].say(SICK);
        assert_alive(&mut pairs).await;
        assert_eq!(host.snapshot().await.unwrap().1.rooms, 1008);
        // Its members are told to come back, and do.
        for end in &mut sick {
            end.host = loop {
                match end.client.event().await {
                    Some(ClientEvent::Connected(host)) => break host,
                    Some(ClientEvent::Message(message)) => panic!("{message:?}"),
                    Some(_) => {}
                    None => panic!("it gave up"),
                }
            };
        }
        sick[0].join(SICK);
        assert!(matches!(sick[0].heard().await, HostMessage::Joined { .. }));
        sick[1].join(SICK);
        assert!(matches!(sick[1].heard().await, HostMessage::Joined { .. }));
        assert!(matches!(sick[0].heard().await, HostMessage::PeerJoined { .. }));
        sick[0].say(SICK);
        sick[1].hear_all(std::iter::once(SICK)).await;
    }
    let (counters, gauges) = host.snapshot().await.unwrap();
    assert_eq!((gauges.rooms, counters.rooms_opened), (1009, 1011));
}
