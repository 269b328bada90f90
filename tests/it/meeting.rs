//! A host that lies, under two real sessions: what comes of it is an error or another try, never a link with a
//! description that it made, a wrong byte, or a word of what is sealed (H-01…H-06, A-23).

use crate::simulation::{finish, named};
use crate::support::model_source::{ModelSource, random_tree};
use crate::support::random::Random;
use crate::support::sim::{Ending, SESSION};
use crate::support::two_sessions::{Cut, Pair, RECEIVER, SENDER};
use rejoin::signal::RoomName;
use rejoin::signal::protocol::HostMessage;
use rejoin::wire::MemberId;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const BUDGET: Duration = Duration::from_secs(300);

fn long(seed: u64) -> Pair {
    let tree = random_tree(&mut Random::new(seed), 10, 2);
    Pair::new(seed, ModelSource::new(tree, SESSION, 4))
}

fn is_paired(pair: &Pair) -> bool {
    pair.sides.iter().all(|side| side.stored.is_some())
}

fn is_up(pair: &Pair) -> bool {
    pair.is_up(SENDER) && pair.is_up(RECEIVER)
}

/// What is published is what was sent, as far as it is published.
#[track_caller]
fn check_published(pair: &Pair) {
    for (path, node) in &pair.sides[RECEIVER].target.tree {
        if pair.source.tree.get(path) != Some(node) {
            pair.fail(&format!("{:?} was published", String::from_utf8_lossy(path)));
        }
    }
}

/// The bytes of a message that its host could alter: a deposit, or a payload.
fn bytes_of(message: &mut HostMessage) -> Option<&mut Vec<u8>> {
    match message {
        HostMessage::Joined { deposit: Some((_, bytes)), .. }
        | HostMessage::Deposited { deposit: bytes, .. }
        | HostMessage::Relayed { payload: bytes, .. } => Some(bytes),
        _ => None,
    }
}

fn from_of(message: &mut HostMessage) -> Option<&mut MemberId> {
    match message {
        HostMessage::Joined { deposit: Some((from, _)), .. }
        | HostMessage::Deposited { from, .. }
        | HostMessage::Relayed { from, .. } => Some(from),
        _ => None,
    }
}

/// What an evil host makes of a message, given all that it has seen.
fn lie(
    random: &mut Random,
    seen: &mut Vec<HostMessage>,
    held: &mut Vec<HostMessage>,
    mut message: HostMessage,
) -> Vec<HostMessage> {
    seen.push(message.clone());
    let old = seen[random.below(seen.len() as u64) as usize].clone();
    match random.below(8) {
        0 => Vec::new(),
        1 => vec![message.clone(), message],
        2 => vec![message, old],
        3 => vec![old],
        4 => {
            if let Some(bytes) = bytes_of(&mut message).filter(|bytes| !bytes.is_empty()) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << random.below(8);
            }
            vec![message]
        }
        5 => {
            if let Some(bytes) = bytes_of(&mut message) {
                bytes.truncate(random.below(bytes.len() as u64 + 1) as usize);
            }
            vec![message]
        }
        6 => {
            // From whom: the other one, or a stranger.
            let who = [[1; 16], [2; 16], [9; 16]][random.below(3) as usize];
            if let Some(from) = from_of(&mut message) {
                *from = MemberId(who);
            }
            vec![message]
        }
        _ => {
            // Later, and in another order.
            held.push(message);
            if random.chance(50) { held.drain(..).rev().collect() } else { Vec::new() }
        }
    }
}

fn lying(percent: u64) -> crate::support::two_sessions::Tamper {
    let (mut seen, mut held) = (Vec::new(), Vec::new());
    Box::new(move |random, _, message| {
        if random.chance(percent) {
            lie(random, &mut seen, &mut held, message)
        } else {
            seen.push(message.clone());
            vec![message]
        }
    })
}

/// From the first word on: they pair and finish, or fail, and nothing of the host's gets in.
#[test]
fn a_lying_host_gets_nothing_out_of_a_pairing() {
    let mut paired = 0;
    for seed in 0..60 {
        let mut pair = long(seed);
        pair.tamper = Some(lying(10 + seed % 50));
        pair.run_for(SECOND * 100);
        check_published(&pair);
        let secrets: Vec<_> = pair.sides.iter().map(|side| side.stored.clone()).collect();
        if let [Some(one), Some(other)] = &secrets[..] {
            // Two sides that hold secrets of different runs do not meet: they are not one session.
            paired += u64::from(one.secret == other.secret);
        }
    }
    assert!(paired > 5, "hardly any went through: {paired}");
}

/// Lies during reconnections: once they stop, the transfer finishes.
#[test]
fn a_lying_host_only_delays_a_session() {
    for seed in 0..60 {
        let mut pair = long(seed);
        pair.run_until(BUDGET, |pair| is_paired(pair) && is_up(pair));
        pair.run_for(SECOND / 10);
        pair.tamper = Some(lying(20 + seed));
        for _ in 0..3 {
            pair.cut(Cut::Both);
            pair.run_for(SECOND * 20);
        }
        check_published(&pair);
        pair.tamper = None;
        if !pair.is_done() {
            pair.lose_host(SENDER, SECOND);
            pair.lose_host(RECEIVER, SECOND);
        }
        finish(&mut pair, BUDGET);
    }
}

/// Any one byte of a deposit, a hello, a welcome or a candidate changed: both proofs notice (H-01, H-06).
#[test]
fn no_byte_of_a_join_can_be_changed() {
    // Which message of the join, counted by side: the deposit, the hello, the welcome.
    let is_deposit = |message: &HostMessage| {
        matches!(message, HostMessage::Joined { room: RoomName::Code(_), deposit: Some(_), .. })
    };
    let is_relayed = |message: &HostMessage| matches!(message, HostMessage::Relayed { .. });
    for (side, is_hello) in [(RECEIVER, false), (SENDER, true), (RECEIVER, true)] {
        let mut at = 0;
        loop {
            let length = Rc::new(RefCell::new(0));
            let mut pair = named(at as u64);
            let seen = Rc::clone(&length);
            pair.tamper = Some(Box::new(move |random, to, mut message| {
                let is_it = if is_hello { is_relayed(&message) } else { is_deposit(&message) };
                if to == side && is_it && *seen.borrow() == 0 {
                    let bytes = bytes_of(&mut message).expect("it has some");
                    *seen.borrow_mut() = bytes.len();
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << random.below(8);
                    }
                }
                vec![message]
            }));
            // Long enough for a link, too short for another run.
            pair.run_for(SECOND * 10);
            assert_ne!(*length.borrow(), 0, "the message was never seen");
            if at >= *length.borrow() {
                assert!(pair.is_done(), "unchanged, it goes through");
                break;
            }
            if is_up(&pair) || pair.sides[RECEIVER].stored.is_some() || pair.is_done() {
                pair.fail(&format!("byte {at} of {length:?} was changed, to side {side}"));
            }
            assert!(pair.sides[RECEIVER].target.tree.is_empty());
            at += if at < 140 { 3 } else { 37 };
        }
    }
}

/// Old hellos, welcomes and envelopes, fed to a live session again: nothing moves (H-03, A-23).
#[test]
fn replays_move_nothing() {
    for seed in 0..20 {
        let mut pair = long(seed);
        let seen: Rc<RefCell<Vec<(usize, HostMessage)>>> = Rc::default();
        let record = Rc::clone(&seen);
        pair.tamper = Some(Box::new(move |_, to, message| {
            if matches!(message, HostMessage::Relayed { .. }) {
                record.borrow_mut().push((to, message.clone()));
            }
            vec![message]
        }));
        pair.run_until(BUDGET, is_up);
        pair.cut(Cut::Both);
        pair.run_until(BUDGET, |pair| is_up(pair) && pair.reconnections(RECEIVER) == 1);
        let old = seen.borrow().clone();
        let (links, epochs) = (pair.told.len(), pair.sides[SENDER].epochs.clone());
        for (to, message) in old {
            pair.feed(to, message);
        }
        pair.run_for(SECOND);
        assert_eq!(pair.told.len(), links, "seed {seed}: a replay started a link");
        assert_eq!(pair.sides[SENDER].epochs, epochs, "seed {seed}");
        assert_eq!(pair.reconnections(RECEIVER), 1, "seed {seed}");
        finish(&mut pair, BUDGET);
    }
}

/// A payload that a side sent itself, given back to it, in either state.
#[test]
fn reflections_move_nothing() {
    for seed in 0..20 {
        let mut pair = long(seed);
        let seen: Rc<RefCell<Vec<(usize, HostMessage)>>> = Rc::default();
        let record = Rc::clone(&seen);
        pair.tamper = Some(Box::new(move |_, to, message| {
            if matches!(message, HostMessage::Relayed { .. }) {
                record.borrow_mut().push((to, message.clone()));
            }
            vec![message]
        }));
        pair.run_until(BUDGET, is_up);
        let links = pair.told.len();
        let members = [pair.member(SENDER), pair.member(RECEIVER)];
        for (to, mut message) in seen.borrow().clone() {
            let back = 1 - to;
            if let Some(from) = from_of(&mut message) {
                *from = members[to];
            }
            pair.feed(back, message);
        }
        pair.run_for(SECOND / 2);
        assert_eq!(pair.told.len(), links, "seed {seed}");
        finish(&mut pair, BUDGET);
        assert_eq!(pair.reconnections(RECEIVER), 0, "seed {seed}");
    }
}

/// A host that refuses everything ends a first meeting with an error, never with a panic or a hang.
#[test]
fn a_pairing_that_the_host_refuses_is_an_error() {
    use rejoin::signal::protocol::RefusalReason;
    for reason in [
        RefusalReason::NoSuchRoom,
        RefusalReason::Taken,
        RefusalReason::CodeUsed,
        RefusalReason::Burnt,
        RefusalReason::Expired,
        RefusalReason::RoomFull,
        RefusalReason::HostFull,
        RefusalReason::WrongToken,
        RefusalReason::NotPermitted,
        RefusalReason::TooManyTries,
        RefusalReason::TooLarge,
    ] {
        let mut pair = long(1);
        pair.tamper = Some(Box::new(move |_, _, _| {
            vec![HostMessage::Refused { room: Some(RoomName::Code(7)), reason }]
        }));
        pair.run_for(SECOND * 60);
        for side in [SENDER, RECEIVER] {
            // The receiver of this pair waits for a room that is not there yet, or not any more, as `--wait` says.
            let is_waited_for = [RefusalReason::NoSuchRoom, RefusalReason::Expired];
            if side == RECEIVER && is_waited_for.contains(&reason) {
                assert!(pair.sides[side].end.is_none());
                continue;
            }
            assert!(
                matches!(&pair.sides[side].end, Some(Ending::Failed(_))),
                "{reason:?} side {side}: {:?}",
                pair.sides[side].end
            );
        }
    }
}

/// A host that asks for work without end, or for more than is done for any, is not worked for.
#[test]
fn work_without_end_is_not_done() {
    use rejoin::error::ErrorKind;
    use rejoin::signal::work::{BITS_MAX, Challenge};
    for bits in [0, BITS_MAX + 1, u8::MAX] {
        let mut pair = long(1);
        pair.tamper = Some(Box::new(move |_, _, _| {
            vec![HostMessage::WorkNeeded { number: 7, challenge: Challenge([1; 32]), bits }]
        }));
        pair.run_for(SECOND * 60);
        for side in [SENDER, RECEIVER] {
            let Some(Ending::Failed(error)) = &pair.sides[side].end else {
                panic!("{bits} bits, side {side}: {:?}", pair.sides[side].end)
            };
            assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
            assert!(error.message.contains("more work"), "{error}");
        }
    }
}
