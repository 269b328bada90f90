//! The host's rooms, with members that say anything in any order.

use arbitrary::{Result, Unstructured};
use rejoin::signal::protocol::ClientMessage;
use rejoin::signal::room::{Command, ConnectionId, Limits, Rooms};
use rejoin::signal::subscriber::Subscriber;
use rejoin::signal::{MemberToken, RoomName};
use rejoin::wire::MemberId;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

pub(super) fn run(data: &[u8]) {
    let _ = follow(&mut Unstructured::new(data));
}

fn limits() -> Limits {
    // Small, so that few inputs reach them.
    Limits {
        rooms_max: 4,
        connections_max: 8,
        connections_per_address_max: 3,
        members_max: 3,
        rooms_per_connection_max: 2,
        queue_messages_max: 3,
        queued_bytes_max: 4_096,
        tombstones_max: 4,
        waiters_max: 2,
        ..Limits::default()
    }
}

fn follow(input: &mut Unstructured<'_>) -> Result<()> {
    let limits = limits();
    let mut now = Instant::now();
    let mut rooms = Rooms::new(limits, [7; 32], now);
    let mut open: BTreeSet<ConnectionId> = BTreeSet::new();
    let mut next = 0;
    while !input.is_empty() {
        let some = open.iter().nth(input.choose_index(open.len().max(1))?).copied();
        match (input.int_in_range(0..=7)?, some) {
            (0, _) | (_, None) => {
                next += 1;
                let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, input.int_in_range(1..=3)?));
                open.insert(ConnectionId(next));
                rooms.handle_connected(ConnectionId(next), Subscriber::Address(address), now);
            }
            (1..=4, Some(connection)) => {
                let bytes = message(input)?.encode().unwrap_or_default();
                rooms.handle_message(connection, &bytes, input.arbitrary()?, now);
            }
            (5, Some(connection)) => {
                let length = input.int_in_range(0..=64)?;
                let bytes = input.bytes(length.min(input.len()))?;
                rooms.handle_message(connection, bytes, 0, now);
            }
            (6, Some(connection)) => match input.int_in_range(0..=2)? {
                0 => rooms.handle_control(connection, now),
                1 => rooms.handle_slow(connection, now),
                _ => {
                    open.remove(&connection);
                    rooms.handle_disconnected(connection, now);
                }
            },
            (_, Some(_)) => {
                now += Duration::from_millis(input.int_in_range(0..=4_000_000)?);
                rooms.handle_timeout(now);
            }
        }
        while let Some(command) = rooms.poll_command() {
            match command {
                Command::Send { connection, message } => {
                    assert!(open.contains(&connection), "who is gone hears nothing");
                    message.encode().expect("ours is within the limits");
                }
                Command::Close { connection, .. } => {
                    assert!(open.remove(&connection), "closed once");
                }
            }
        }
        let gauges = rooms.gauges();
        assert!(gauges.rooms <= limits.rooms_max);
        assert!(gauges.connections <= limits.connections_max);
        assert!(gauges.waiters <= limits.waiters_max);
        assert!(gauges.tombstones <= limits.tombstones_max);
        assert!(gauges.queued_bytes <= limits.queued_bytes_max);
    }
    Ok(())
}

fn message(input: &mut Unstructured<'_>) -> Result<ClientMessage> {
    let room = if input.arbitrary()? {
        RoomName::Code(input.int_in_range(1..=4)?)
    } else {
        RoomName::Session([input.int_in_range(1..=3)?; 16])
    };
    let member = MemberId([input.int_in_range(1..=4)?; 16]);
    // Mostly its own.
    let token = if input.ratio(7, 8)? { member.0[0] } else { 9 };
    let token = MemberToken::for_room(&[token; 32], room);
    let length = input.int_in_range(0..=1_200)?;
    let bytes = vec![7; length];
    Ok(match input.int_in_range(0..=6)? {
        0 => ClientMessage::Open {
            number: input.arbitrary::<Option<bool>>()?.map(|high| 1 + u32::from(high)),
            member,
            token,
            deposit: bytes,
            again: input.arbitrary()?,
        },
        1 | 2 => ClientMessage::Join {
            room,
            member,
            token,
            deposit: input.arbitrary::<bool>()?.then_some(bytes),
            wait: input.arbitrary()?,
        },
        3 => ClientMessage::Deposit { room, deposit: bytes },
        4 => ClientMessage::Relay {
            room,
            to: MemberId([input.int_in_range(1..=4)?; 16]),
            payload: bytes,
        },
        5 => ClientMessage::Lock {
            number: input.int_in_range(1..=4)?,
            keep: MemberId([input.int_in_range(1..=4)?; 16]),
        },
        _ => {
            if input.arbitrary()? {
                ClientMessage::Burn { number: input.int_in_range(1..=4)? }
            } else {
                ClientMessage::Leave { room }
            }
        }
    })
}
