//! Decoders: what they take is within the limits, has one form only, and nothing panics.

use arbitrary::Unstructured;
use bytes::Bytes;
use rejoin::session::relay::grant::Grant;
use rejoin::signal::address::{self, HostAddress};
use rejoin::signal::code::Code;
use rejoin::signal::join::JoinPayload;
use rejoin::signal::message::SignalMessage;
use rejoin::signal::protocol::{self, ClientMessage, HostMessage};
use rejoin::store::SessionRecord;
use rejoin::transfer::layout::Layout;
use rejoin::transfer::manifest::{PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, Page, PageCheck};
use rejoin::transfer::message::{Message, RecoveryRequest};
use rejoin::wire::frame::{Assembler, FRAME_BYTES_MAX, Frame, MESSAGE_BYTES_MAX};

/// What members and hosts say to each other.
pub(super) fn host_message(data: &[u8]) {
    same_again(data, |bytes| ClientMessage::decode(bytes).ok()?.encode().ok());
    same_again(data, |bytes| HostMessage::decode(bytes).ok()?.encode().ok());
    let is_taken = ClientMessage::decode(data).is_ok() || HostMessage::decode(data).is_ok();
    assert!(!is_taken || data.len() <= protocol::MESSAGE_BYTES_MAX);
}

/// What passes a host: joins, and what is sealed, once it is open.
pub(super) fn sealed_payload(data: &[u8]) {
    same_again(data, |bytes| JoinPayload::decode(bytes).ok()?.encode().ok());
    same_again(data, |bytes| SignalMessage::decode(bytes).ok()?.encode().ok());
}

/// What the two ends of a link say to each other.
pub(super) fn transfer_message(data: &[u8]) {
    let Ok(message) = Message::decode(data) else { return };
    let frames = message.encode().expect("what was taken is within the limits");
    let mut assembler = Assembler::new();
    let mut whole = None;
    for frame in &frames {
        whole = assembler.handle_frame(frame).expect("frames of ours are good");
    }
    let Some(Frame::Message(again)) = whole else { panic!("{whole:?}") };
    assert_eq!(Message::decode(&again).expect("ours is taken"), message);
    match message {
        Message::RecoveryRequest(RecoveryRequest { units: of, .. })
        | Message::Want { units: of, .. }
        | Message::Ack { units: of } => {
            if let Some(ranges) = of.to_ranges() {
                assert!(ranges.as_slice().iter().all(|range| range.start < range.end));
            }
        }
        _ => {}
    }
}

/// Frames of a channel, each behind its length in two bytes.
pub(super) fn frames(data: &[u8]) {
    let mut assembler = Assembler::new();
    let mut rest = data;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        let (frame, after) = after.split_at(length);
        rest = after;
        match assembler.handle_frame(&Bytes::copy_from_slice(frame)) {
            Ok(Some(Frame::Message(message))) => {
                assert!(message.len() <= MESSAGE_BYTES_MAX);
                let _ = Message::decode(&message);
            }
            Ok(Some(Frame::Body(body))) => assert!(body.len() < FRAME_BYTES_MAX),
            Ok(None) => {}
            Err(_) => return,
        }
    }
}

/// Manifest pages, each behind its length in two bytes.
pub(super) fn manifest_page(data: &[u8]) {
    let mut check = PageCheck::new();
    let mut rest = data;
    let mut first_unit = 0;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        let (encoded, after) = after.split_at(length);
        rest = after;
        let Ok(page) = Page::decode(encoded) else { return };
        assert!(encoded.len() <= PAGE_BYTES_MAX && page.entries.len() <= PAGE_ENTRIES_MAX);
        let again = page.encode().expect("what was taken is within the limits");
        assert_eq!(Page::decode(&again).expect("ours is taken"), page);
        let Ok(verdicts) = check.check(&page) else { return };
        assert_eq!(verdicts.len(), page.entries.len());
        let layout = Layout::new(&page, &verdicts, first_unit);
        for segment in &layout.segments {
            let units = segment.units();
            assert!(units.start >= first_unit && units.start < units.end);
            first_unit = units.end;
        }
    }
}

/// A session's record, as it is on disk; and its body behind a right head, as whoever can write it makes one.
pub(super) fn session_record(data: &[u8]) {
    for bytes in [data.to_vec(), with_head(data)] {
        if let Ok(record) = SessionRecord::decode(&bytes) {
            let again = record.encode().expect("what was read can be written");
            assert_eq!(SessionRecord::decode(&again).expect("and read again"), record);
        }
    }
}

/// What people type: codes and addresses.
pub(super) fn code(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(code) = text.parse::<Code>() {
        let said = code.to_string();
        let again: Code = said.parse().expect("what we say can be typed");
        assert_eq!(again.to_string(), said);
    }
    if let Ok(address) = text.parse::<HostAddress>() {
        let said = address.to_string();
        let again: HostAddress = said.parse().expect("what we say can be typed");
        assert_eq!(again.to_string(), said);
    }
    let _ = address::parse_list(text);
}

/// What a command printed as credentials of a relay.
pub(super) fn credentials(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(unix) = input.arbitrary::<u64>() else { return };
    if let Ok(grant) = Grant::parse(input.take_rest(), unix) {
        assert!(!grant.username.is_empty() && !grant.password.expose().is_empty());
        assert!(!grant.username.chars().any(char::is_control));
    }
}

/// What is taken and written again stays as it is then. (A number has longer forms, too; they are taken and never made.)
fn same_again(data: &[u8], again: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    if let Some(first) = again(data) {
        assert!(first.len() <= data.len());
        assert_eq!(again(&first).expect("ours is taken"), first);
    }
}

/// The body of a record behind a right head.
fn with_head(data: &[u8]) -> Vec<u8> {
    let (version, body) = data.split_first().unwrap_or((&0, &[]));
    let mut bytes = b"RJNSESS\n".to_vec();
    bytes.extend_from_slice(&u32::from(version % 4).to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    let mut hasher = blake3::Hasher::new_derive_key("rejoin 2026 session record v1");
    let check = hasher.update(&bytes).update(body).finalize();
    bytes.extend_from_slice(check.as_bytes());
    bytes.extend_from_slice(body);
    bytes
}
