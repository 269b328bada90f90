//! Datagrams of a peer, of servers, and of strangers: right, nearly right, and anything.

use super::model::{Asked, Credentials, Model, Transaction};
use arbitrary::{Result, Unstructured};
use hmac::{Hmac, Mac as _};
use rtc::stun::attributes::{
    ATTR_CHANNEL_NUMBER, ATTR_DATA, ATTR_ERROR_CODE, ATTR_FINGERPRINT, ATTR_ICE_CONTROLLING,
    ATTR_MESSAGE_INTEGRITY, ATTR_USERNAME, ATTR_XOR_PEER_ADDRESS, AttrType,
};
use rtc::stun::message::{
    CLASS_ERROR_RESPONSE, CLASS_INDICATION, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, METHOD_ALLOCATE,
    METHOD_BINDING, METHOD_CHANNEL_BIND, METHOD_DATA, METHOD_REFRESH, METHOD_SEND, Message,
    MessageType, Method, Setter as _,
};
use rtc::turn::proto::peeraddr::PeerAddress;
use sha1::Sha1;
use std::net::SocketAddr;

pub(super) const TOKENS: [u64; 3] = [0x1111_2222_3333_4444, 0x1111_2222_3333_4445, 0];

/// Peers, servers, strangers, and addresses that can be no peer's.
const OTHERS: [&str; 16] = [
    "192.0.2.7:5000",
    "192.0.2.7:5001",
    "198.51.100.9:6000",
    "203.0.113.1:3478",
    "203.0.113.2:3478",
    "[2001:db8::7]:5000",
    "127.0.0.1:9",
    "127.0.0.1:3478",
    "[::1]:9",
    "169.254.3.1:9",
    "169.254.169.254:80",
    "224.0.0.251:5353",
    "255.255.255.255:9",
    "0.0.0.0:9",
    "[fe80::1]:9",
    "[::ffff:192.0.2.7]:5000",
];

const OURS: [&str; 4] = ["10.0.0.1:4000", "10.0.0.1:4001", "127.0.0.1:4000", "[2001:db8::1]:4000"];

pub(super) fn other(input: &mut Unstructured<'_>) -> Result<SocketAddr> {
    // Mostly few of them, so that something comes of it.
    let most = if input.ratio(3, 4)? { 3 } else { OTHERS.len() - 1 };
    Ok(OTHERS[input.int_in_range(0..=most)?].parse().expect("an address"))
}

pub(super) fn own(input: &mut Unstructured<'_>) -> Result<SocketAddr> {
    let most = if input.ratio(3, 4)? { 0 } else { OURS.len() - 1 };
    Ok(OURS[input.int_in_range(0..=most)?].parse().expect("an address"))
}

/// What a description says, and the description.
pub(super) fn description(input: &mut Unstructured<'_>) -> Result<(Option<Credentials>, String)> {
    let (fragment, password) = *input.choose(&[
        ("ours", "a password that is long"),
        ("them", "another password that is long"),
        ("ours", "a password that came later"),
        ("o", "p"),
        ("", ""),
        ("none", ""),
    ])?;
    if fragment == "none" {
        return Ok((None, String::from("v=0\r\na=ice-ufrag:none\r\n")));
    }
    let sdp = format!("v=0\r\na=ice-ufrag:{fragment}\r\na=ice-pwd:{password}\r\n");
    Ok((Some((fragment.to_owned(), password.to_owned())), sdp))
}

/// A datagram. `is_ours`: one that the stack sends.
pub(super) fn datagram(
    input: &mut Unstructured<'_>,
    model: &Model,
    is_ours: bool,
) -> Result<Vec<u8>> {
    let mut datagram = match input.int_in_range(0..=7)? {
        0 | 1 => check(input, model, is_ours)?,
        2 => message(input)?,
        3 => record(input)?,
        4 => carried(input)?,
        5 if is_ours => request(input)?,
        5 => {
            let at = input.int_in_range(0..=20)?;
            let is_success = input.ratio(7, 8)?;
            model.waiting(at).map(|waiting| answer(model, waiting, is_success)).unwrap_or_default()
        }
        6 => {
            let length = input.int_in_range(0..=64)?;
            input.bytes(length.min(input.len()))?.to_vec()
        }
        _ => binding(input)?,
    };
    if input.ratio(1, 4)? {
        let outer = if is_ours { METHOD_SEND } else { METHOD_DATA };
        for _ in 0..input.int_in_range(1..=2)? {
            datagram = wrapped(input, &datagram, outer)?;
        }
    }
    if input.ratio(1, 6)? {
        change(input, &mut datagram)?;
    }
    Ok(datagram)
}

fn change(input: &mut Unstructured<'_>, datagram: &mut Vec<u8>) -> Result<()> {
    match input.int_in_range(0..=3)? {
        0 => datagram.truncate(input.int_in_range(0..=datagram.len())?),
        1 => {
            let length = input.int_in_range(1..=8)?;
            datagram.extend_from_slice(input.bytes(length.min(input.len()))?);
        }
        2 if datagram.len() >= 8 => datagram[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]),
        _ => {
            for _ in 0..input.int_in_range(1..=3)? {
                // Mostly where the first fields are.
                let most = if input.arbitrary()? { 24 } else { datagram.len() };
                let at = input.int_in_range(0..=most)?;
                let value = input.arbitrary()?;
                if let Some(byte) = datagram.get_mut(at) {
                    *byte = value;
                }
            }
        }
    }
    Ok(())
}

fn transaction(input: &mut Unstructured<'_>) -> Result<Transaction> {
    Ok([input.int_in_range(0..=15)?; 12])
}

/// A connectivity check as the peer or the stack makes it.
pub(super) fn check_of(
    transaction: Transaction,
    (fragment, password): &Credentials,
    is_nominating: bool,
) -> Vec<u8> {
    let mut message = begun(MessageType::new(METHOD_BINDING, CLASS_REQUEST), transaction);
    message.add(ATTR_USERNAME, format!("{fragment}:other").as_bytes());
    if is_nominating {
        message.add(ATTR_ICE_CONTROLLING, &[7; 8]);
    }
    sign(&mut message, password);
    message.add(ATTR_FINGERPRINT, &[1, 2, 3, 4]);
    message.raw
}

fn check(input: &mut Unstructured<'_>, model: &Model, is_ours: bool) -> Result<Vec<u8>> {
    let transaction = transaction(input)?;
    let to = if is_ours { model.remote() } else { model.local() };
    let known = if input.ratio(7, 8)? { to.cloned() } else { description(input)?.0 };
    let credentials = known.unwrap_or_default();
    Ok(check_of(transaction, &credentials, input.arbitrary()?))
}

/// What answers a request as it has to be.
pub(super) fn answer(
    model: &Model,
    (transaction, asked): (Transaction, Asked),
    is_success: bool,
) -> Vec<u8> {
    let class = if is_success { CLASS_SUCCESS_RESPONSE } else { CLASS_ERROR_RESPONSE };
    let method = match asked {
        Asked::Peer(_) | Asked::StunServer => METHOD_BINDING,
        Asked::TurnServer => METHOD_ALLOCATE,
    };
    let mut message = begun(MessageType::new(method, class), transaction);
    if let (Asked::Peer(_), Some((_, password))) = (asked, model.remote()) {
        sign(&mut message, password);
    }
    message.raw
}

/// To a server.
fn request(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let method = *input.choose(&[METHOD_BINDING, METHOD_ALLOCATE])?;
    Ok(begun(MessageType::new(method, CLASS_REQUEST), transaction(input)?).raw)
}

/// Binds a channel.
fn binding(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let (transaction, number) = (transaction(input)?, input.int_in_range(0..=3)?);
    Ok(binding_of(transaction, number, other(input)?))
}

/// Binds the channel of that number.
pub(super) fn binding_of(transaction: Transaction, number: u16, peer: SocketAddr) -> Vec<u8> {
    let mut message = begun(MessageType::new(METHOD_CHANNEL_BIND, CLASS_REQUEST), transaction);
    message.add(ATTR_CHANNEL_NUMBER, &[(0x4000 + number).to_be_bytes(), [0; 2]].concat());
    add_peer(&mut message, peer);
    message.raw
}

fn channel(input: &mut Unstructured<'_>) -> Result<u16> {
    Ok(0x4000 + input.int_in_range(0..=3)?)
}

/// A message with anything in it.
fn message(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let classes = [CLASS_REQUEST, CLASS_INDICATION, CLASS_SUCCESS_RESPONSE, CLASS_ERROR_RESPONSE];
    let methods = [
        METHOD_BINDING,
        METHOD_ALLOCATE,
        METHOD_SEND,
        METHOD_DATA,
        METHOD_CHANNEL_BIND,
        METHOD_REFRESH,
    ];
    let kind = MessageType::new(*input.choose(&methods)?, *input.choose(&classes)?);
    let mut message = begun(kind, transaction(input)?);
    for _ in 0..input.int_in_range(0..=3)? {
        add_any(input, &mut message)?;
    }
    if let (true, Some((_, password))) = (input.arbitrary()?, description(input)?.0) {
        sign(&mut message, &password);
        for _ in 0..input.int_in_range(0..=2)? {
            add_any(input, &mut message)?;
        }
    }
    Ok(message.raw)
}

fn add_any(input: &mut Unstructured<'_>, message: &mut Message) -> Result<()> {
    match input.int_in_range(0..=8)? {
        0 => {
            let users = ["ours:them", "them:ours", "ours", "oursthem", "o:", ":", ""];
            message.add(ATTR_USERNAME, input.choose(&users)?.as_bytes());
        }
        1 => add_peer(message, other(input)?),
        2 => {
            let inner = if input.arbitrary()? { record(input)? } else { carried(input)? };
            message.add(ATTR_DATA, &inner);
        }
        3 => message.add(ATTR_CHANNEL_NUMBER, &channel(input)?.to_be_bytes()),
        4 => message.add(ATTR_ERROR_CODE, &[0, 0, 4, 1]),
        5 => message.add(ATTR_MESSAGE_INTEGRITY, &vec![0; input.int_in_range(19..=21)?]),
        6 => message.add(ATTR_FINGERPRINT, &[1, 2, 3, 4]),
        7 => message.add(AttrType(0x001c), &[5; 32]),
        _ => {
            let kinds = [ATTR_ICE_CONTROLLING, ATTR_XOR_PEER_ADDRESS, ATTR_DATA, AttrType(0x0025)];
            let kind = *input.choose(&kinds)?;
            let length = input.int_in_range(0..=24)?;
            message.add(kind, input.bytes(length.min(input.len()))?);
        }
    }
    Ok(())
}

fn record(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let first =
        if input.ratio(3, 4)? { input.int_in_range(20..=26)? } else { input.arbitrary()? };
    let epoch = input.int_in_range(0..=2)?;
    let mut record = vec![first, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0x0f, 0x42, 0x40, 0, 1, 1];
    // As long as the header of a message, with its cookie, or without.
    if input.arbitrary()? {
        record.resize(24, 0);
        if input.arbitrary()? {
            record[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        }
    }
    Ok(record)
}

fn carried(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let token = input.choose(&TOKENS)?.to_be_bytes();
    let length = input.int_in_range(0..=40)?;
    Ok([&[0x0c, 0][..], &token, &vec![0; length]].concat())
}

/// Inside ChannelData or an indication.
fn wrapped(input: &mut Unstructured<'_>, payload: &[u8], outer: Method) -> Result<Vec<u8>> {
    if input.arbitrary()? {
        let number = channel(input)?.to_be_bytes();
        return Ok([&number[..], &(payload.len() as u16).to_be_bytes(), payload].concat());
    }
    let method =
        if input.ratio(15, 16)? { outer } else { *input.choose(&[METHOD_SEND, METHOD_DATA])? };
    let mut message = begun(MessageType::new(method, CLASS_INDICATION), [3; 12]);
    // Who reads another one of two attributes hears something else.
    for _ in 0..input.int_in_range(0..=1)? {
        add_any(input, &mut message)?;
    }
    add_peer(&mut message, other(input)?);
    message.add(ATTR_DATA, payload);
    for _ in 0..input.int_in_range(0..=1)? {
        add_any(input, &mut message)?;
    }
    Ok(message.raw)
}

pub(super) fn indication(method: Method, peer: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut message = begun(MessageType::new(method, CLASS_INDICATION), [3; 12]);
    add_peer(&mut message, peer);
    message.add(ATTR_DATA, payload);
    message.raw
}

fn begun(kind: MessageType, transaction: Transaction) -> Message {
    let mut message = Message::new();
    message.typ = kind;
    message.transaction_id.0 = transaction;
    message.write_header();
    message
}

fn add_peer(message: &mut Message, peer: SocketAddr) {
    let peer = PeerAddress { ip: peer.ip(), port: peer.port() };
    peer.add_to(message).expect("an address");
}

fn sign(message: &mut Message, password: &str) {
    let signed = message.raw.len();
    message.add(ATTR_MESSAGE_INTEGRITY, &[0; 20]);
    let mut code = Hmac::<Sha1>::new_from_slice(password.as_bytes()).expect("any length");
    code.update(&message.raw[..signed]);
    let code = code.finalize().into_bytes();
    message.raw[signed + 4..].copy_from_slice(&code);
}
