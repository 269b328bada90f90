//! Who is heard below the seal: datagrams of anybody in and of the stack out, one by one and in trains, over any number of
//! negotiations. What the stack hears is what the rule lets it hear; what is remembered stays bounded.

mod datagrams;
mod model;

use arbitrary::{Result, Unstructured};
use model::{Asked, Model};
use rejoin::link::fuzzing::{self, Heard, LinkAdmission};
use rtc::stun::message::{METHOD_DATA, METHOD_SEND};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub(super) fn run(data: &[u8]) {
    let _ = follow(&mut Unstructured::new(data));
}

/// Datagrams in all bursts of an input: more than the largest limit on what is remembered.
const IN_BURSTS_MAX: u32 = 10_000;

struct World {
    admission: LinkAdmission,
    model: Model,
    now: Instant,
    /// Of transactions that nobody else has.
    number: u32,
}

impl World {
    fn receive(&mut self, local: SocketAddr, from: SocketAddr, datagram: &[u8]) -> bool {
        let heard = self.admission.handle_received(local, from, datagram, self.now);
        self.model.on_received(local, from, datagram, heard);
        heard == Heard::Stack
    }

    fn send(&mut self, local: SocketAddr, to: SocketAddr, datagram: &[u8]) -> bool {
        let went = self.admission.handle_sent(local, to, datagram, self.now);
        self.model.on_sent(local, to, datagram, went, self.now);
        went
    }

    fn transaction(&mut self) -> [u8; 12] {
        self.number += 1;
        let mut transaction = [0xff; 12];
        transaction[..4].copy_from_slice(&self.number.to_be_bytes());
        transaction
    }
}

fn follow(input: &mut Unstructured<'_>) -> Result<()> {
    let now = Instant::now();
    let has_carrier = input.arbitrary()?;
    let mut world = World {
        admission: LinkAdmission::new(has_carrier),
        model: Model::new(has_carrier, now),
        now,
        number: 0,
    };
    while !input.is_empty() {
        match input.int_in_range(0..=15)? {
            0 => {
                let (credentials, sdp) = datagrams::description(input)?;
                world.admission.set_local(&sdp);
                world.model.set_local(credentials, world.now);
            }
            1 => {
                let (credentials, sdp) = datagrams::description(input)?;
                world.admission.set_remote(&sdp, world.now);
                world.model.set_remote(credentials, world.now);
            }
            2 => {
                let token = *input.choose(&datagrams::TOKENS)?;
                world.admission.carry(token);
                world.model.carry(token);
            }
            3 => world.now += Duration::from_millis(input.int_in_range(0..=20_000)?),
            4..=6 => {
                let (local, to) = (datagrams::own(input)?, datagrams::other(input)?);
                let datagram = datagrams::datagram(input, &world.model, true)?;
                world.send(local, to, &datagram);
            }
            7..=9 => {
                let (local, from) = (datagrams::own(input)?, datagrams::other(input)?);
                let datagram = datagrams::datagram(input, &world.model, false)?;
                world.receive(local, from, &datagram);
            }
            10 => answer(input, &mut world)?,
            11 | 12 => train(input, &mut world)?,
            13 => burst(input, &mut world)?,
            _ => world.now += Duration::from_millis(input.int_in_range(0..=40)?),
        }
        let (remembered, refused) = (world.admission.remembered(), world.admission.refused());
        world.model.check(remembered, refused, world.now);
    }
    Ok(())
}

/// A request of ours is answered as it should be, from where it went, or from elsewhere.
fn answer(input: &mut Unstructured<'_>, world: &mut World) -> Result<()> {
    let (local, at) = (datagrams::own(input)?, input.int_in_range(0..=20)?);
    let Some(waiting) = world.model.waiting(at) else { return Ok(()) };
    let answer = datagrams::answer(&world.model, waiting, input.ratio(7, 8)?);
    let elsewhere = datagrams::other(input)?;
    let (server, peer) = match waiting.1 {
        Asked::Peer(place) if input.ratio(7, 8)? => place,
        _ if input.ratio(1, 4)? => (world.model.server(input.int_in_range(0..=3)?), elsewhere),
        _ => (None, elsewhere),
    };
    match server {
        Some(server) => {
            let wrapped = datagrams::indication(METHOD_DATA, peer, &answer);
            world.receive(local, server, &wrapped);
        }
        None => {
            world.receive(local, peer, &answer);
        }
    }
    Ok(())
}

/// Several datagrams that the system put together, as it does with those of one length.
fn train(input: &mut Unstructured<'_>, world: &mut World) -> Result<()> {
    let is_ours: bool = input.arbitrary()?;
    let (local, other) = (datagrams::own(input)?, datagrams::other(input)?);
    let mut train = datagrams::datagram(input, &world.model, is_ours)?;
    let segment = train.len();
    for _ in 0..input.int_in_range(1..=4)? {
        if !train.len().is_multiple_of(segment.max(1)) {
            // A shorter one is the last.
            break;
        }
        let mut next = datagrams::datagram(input, &world.model, is_ours)?;
        next.truncate(segment);
        train.extend_from_slice(&next);
    }
    let mut expected = Vec::new();
    let judge = |datagram: &[u8]| {
        let is_taken = match is_ours {
            true => world.send(local, other, datagram),
            false => world.receive(local, other, datagram),
        };
        if is_taken {
            expected.extend_from_slice(datagram);
        }
        is_taken
    };
    let kept = if is_ours {
        fuzzing::select(&train, segment, judge)
    } else {
        let mut left = train.clone();
        fuzzing::retain(&mut left, segment, judge);
        left
    };
    assert_eq!(kept, expected, "a train of {segment} bytes each: {train:02x?}");
    Ok(())
}

/// Many of one kind, each with a transaction of its own.
fn burst(input: &mut Unstructured<'_>, world: &mut World) -> Result<()> {
    let kind = input.int_in_range(0..=5)?;
    // Enough for each limit. Those that take many datagrams are met seldom, or nothing else is tried.
    let counts: &[u16] = if input.ratio(1, 32)? { &[600, 3_000] } else { &[3, 40, 70] };
    let count = *input.choose(counts)?;
    if world.number + u32::from(count) > IN_BURSTS_MAX {
        return Ok(());
    }
    let (local, other) = (datagrams::own(input)?, datagrams::other(input)?);
    let has_ports: bool = input.arbitrary()?;
    let step = Duration::from_micros(input.int_in_range(0..=2_000)?);
    for number in 0..count {
        world.now += step;
        let mut there = other;
        if has_ports {
            there.set_port(1_000 + number);
        }
        let transaction = world.transaction();
        let ours = world.model.local().cloned().unwrap_or_default();
        let theirs = world.model.remote().cloned().unwrap_or_default();
        match kind {
            0 => {
                world.receive(local, there, &datagrams::check_of(transaction, &ours, true));
            }
            1 => {
                world.send(local, there, &datagrams::check_of(transaction, &theirs, true));
            }
            2 => {
                // A path that works.
                world.send(local, there, &datagrams::check_of(transaction, &theirs, false));
                let asked = (transaction, Asked::Peer((None, there)));
                let answer = datagrams::answer(&world.model, asked, true);
                world.receive(local, there, &answer);
            }
            3 => {
                let check = datagrams::check_of(transaction, &theirs, false);
                world.send(local, other, &datagrams::indication(METHOD_SEND, there, &check));
            }
            4 => {
                let asked = (transaction, Asked::Peer((None, there)));
                let answer = datagrams::answer(&world.model, asked, true);
                world.send(local, there, &answer);
            }
            _ => {
                // A server that answers, and a channel there.
                let waiting = (transaction, Asked::TurnServer);
                world.send(local, there, &datagrams::binding_of(transaction, number, other));
                let answer = datagrams::answer(&world.model, waiting, true);
                world.receive(local, there, &answer);
            }
        }
    }
    Ok(())
}
