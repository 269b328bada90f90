//! The bytes on the wire, frozen: what is written today is read by every version to come, and the other way around.
//!
//! `REJOIN_BLESS=1` writes fixtures that are not there yet; it never replaces one.

use bytes::Bytes;
use proptest::prelude::*;
use rejoin::signal::capabilities::Capabilities;
use rejoin::signal::code::Code;
use rejoin::signal::join::{JoinPayload, Joiner, Opener};
use rejoin::signal::message::{Attempt, Introduction, SignalMessage};
use rejoin::signal::protocol::{ClientMessage, HostMessage};
use rejoin::signal::{MemberToken, RoomName, Seed};
use rejoin::transfer::completed::{BUCKET_ENTRIES, Completed, EXPAND_MAX};
use rejoin::transfer::disk::PackedFile;
use rejoin::transfer::manifest::{
    Chain, Entry, EntryKind, ModifiedTime, PAGE_BYTES_MAX, Page, Totals,
};
use rejoin::transfer::message::{
    ByeReason, Message, RecoveryRequest, TEXT_BYTES_MAX, UnitHead, WireRanges,
};
use rejoin::transfer::missing::{LeftOut, Missing, MissingKind, Outcome};
use rejoin::transfer::ranges::Ranges;
use rejoin::wire::frame::{
    Assembler, FRAME_BYTES_MAX, Frame, KIND_BODY, KIND_FRAGMENT, KIND_MESSAGE, MESSAGE_BYTES_MAX,
};
use rejoin::wire::{MemberId, SessionId, SessionSecret};
use std::fs;

/// Compares with the fixture.
#[track_caller]
fn golden(name: &str, bytes: &[u8]) {
    let path = crate::root().join("fixtures/wire/v1").join(format!("{name}.bin"));
    if std::env::var_os("REJOIN_BLESS").is_some() && !path.exists() {
        fs::write(&path, bytes).unwrap();
    }
    let frozen = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(
        frozen == bytes,
        "{name}: the bytes differ from the frozen ones:\n{bytes:?}\n{frozen:?}"
    );
}

fn ranges(of: &[u64]) -> WireRanges {
    WireRanges::from(&of.iter().copied().collect::<Ranges>())
}

const OUTCOME: Outcome = Outcome {
    files: 1,
    bytes: 1 << 33,
    unchanged: 3,
    unread: 2,
    skipped: 5,
    failed: 6,
    conflicts: 251,
    corrupt: 8,
};

fn left_out() -> LeftOut {
    let (name, reason) = (b"socket\xff".to_vec(), "a FIFO, socket or device".to_owned());
    LeftOut { parent: Some(3), name, kind: MissingKind::Special, reason }
}

fn missing() -> Missing {
    let (name, reason) = (b"a".to_vec(), "another version".to_owned());
    Missing { entry: 4, parent: None, name, kind: MissingKind::Conflict, reason }
}

/// A message of every kind with its name; a new variant does not compile until it has one here.
fn messages() -> Vec<(&'static str, Message)> {
    let totals = Totals { entries: 300, files: 299, bytes: 1 << 40, directories: 1 };
    let request = RecoveryRequest {
        session: SessionId([1; 16]),
        epoch: 2,
        pages: 3,
        chain: Chain([4; 32]),
        undecided: ranges(&[1]),
        unwanted: ranges(&[0, 1, 2, 250, 70_000]),
        units: ranges(&[7, u64::MAX - 1]),
        digests: vec![(5, [6; 32])],
    };
    let packed = PackedFile { bytes: 1_000, root: [9; 32] };
    let all = vec![
        Message::RecoveryRequest(request),
        Message::RecoveryAnswer { pages: 251 },
        Message::Estimate { totals, is_complete: true },
        Message::Page { encoded: vec![1, 2, 3] },
        Message::End { pages: 65_536, totals, chain: Chain([5; 32]), failed: 0, skipped: 0 },
        Message::Want { page: 1, unwanted: ranges(&[4, 5]), units: ranges(&[]) },
        Message::Unit { unit: 6, head: UnitHead::Part { entry: 7, value: [8; 32] } },
        Message::FileRoot { entry: 10, root: [11; 32] },
        Message::EntryFailed {
            entry: 12,
            kind: MissingKind::Changed,
            reason: "gone \u{1f980}".to_owned(),
        },
        Message::Resend { unit: 13, unwanted: ranges(&[14]) },
        Message::Ack { units: ranges(&[0, 1, 2]) },
        Message::Complete { outcome: OUTCOME },
        Message::CompleteAck,
        Message::Ping { number: 17 },
        Message::Pong { number: u64::MAX },
        Message::Bye { reason: ByeReason::NoSession, text: "over".to_owned() },
        Message::ExpandBuckets { buckets: vec![0, 19] },
        Message::BucketEntries { bucket: 20, files: vec![(81_920, [21; 32]), (81_923, [22; 32])] },
        Message::Contradict { page: 23, files: vec![(24, [25; 32])] },
        Message::EarlyAnswer,
        Message::LeftOut { entries: vec![left_out()] },
        Message::Missing { entries: vec![missing()] },
        Message::Compare { page: 26, entries: ranges(&[27, 28]) },
        Message::Roots { page: 29, files: vec![(30, Some([31; 32])), (32, None)] },
        Message::Busy,
        Message::Gone { entries: ranges(&[33, 35]) },
    ];
    let mut named: Vec<_> = all.into_iter().map(|message| (name_of(&message), message)).collect();
    let head = UnitHead::Pack { files: vec![(1, packed), (2, packed)] };
    named.push(("unit-pack", Message::Unit { unit: 18, head }));
    named
}

const fn name_of(message: &Message) -> &'static str {
    match message {
        Message::RecoveryRequest(_) => "recovery-request",
        Message::RecoveryAnswer { .. } => "recovery-answer",
        Message::Estimate { .. } => "estimate",
        Message::Page { .. } => "page-message",
        Message::End { .. } => "end",
        Message::Want { .. } => "want",
        Message::Unit { .. } => "unit-part",
        Message::FileRoot { .. } => "file-root",
        Message::EntryFailed { .. } => "entry-failed",
        Message::Resend { .. } => "resend",
        Message::Ack { .. } => "ack",
        Message::Complete { .. } => "complete",
        Message::CompleteAck => "complete-ack",
        Message::Ping { .. } => "ping",
        Message::Pong { .. } => "pong",
        Message::Bye { .. } => "bye",
        Message::Busy => "busy",
        Message::Gone { .. } => "gone",
        Message::ExpandBuckets { .. } => "expand-buckets",
        Message::BucketEntries { .. } => "bucket-entries",
        Message::Contradict { .. } => "contradict",
        Message::EarlyAnswer => "early-answer",
        Message::LeftOut { .. } => "left-out",
        Message::Missing { .. } => "missing",
        Message::Compare { .. } => "compare",
        Message::Roots { .. } => "roots",
    }
}

fn page() -> Page {
    let entry = |parent, name: &[u8], kind| Entry {
        parent,
        name: name.to_vec(),
        kind,
        mode: 0o644,
        modified: ModifiedTime { seconds: -1, nanoseconds: 999_999_999 },
        supersedes: None,
    };
    Page {
        number: 2,
        first_entry: 300,
        entries: vec![
            entry(None, b"d", EntryKind::Directory),
            entry(Some(300), b"f\xff", EntryKind::File { bytes: 1 << 40 }),
            entry(Some(300), b"l", EntryKind::Symlink { target: b"f".to_vec() }),
            entry(Some(300), b"m", EntryKind::Metadata { of: 301 }),
            Entry { supersedes: Some(7), ..entry(Some(300), b"s", EntryKind::File { bytes: 0 }) },
        ],
    }
}

#[test]
fn messages_have_the_bytes_of_version_1() {
    for (name, message) in messages() {
        let frames = message.encode().unwrap();
        assert_eq!(frames.len(), 1, "{name}");
        golden(name, &frames[0]);
        assert_eq!(frames[0][0], KIND_MESSAGE);
        assert_eq!(Message::decode(&frames[0][1..]), Ok(message), "{name}");
    }
}

#[test]
fn pages_have_the_bytes_of_version_1() {
    let encoded = page().encode().unwrap();
    golden("page", &encoded);
    assert_eq!(Page::decode(&encoded), Ok(page()));
    let chain = Chain::start(SessionId([1; 16])).extend(&encoded);
    golden("chain", &chain.0);
}

/// Every prefix, every longer form and every single changed byte is refused, or is another message within limits.
#[test]
fn mutated_messages_are_refused_or_bounded() {
    for (name, message) in messages() {
        let bytes = message.encode().unwrap()[0].slice(1..);
        for length in 0..bytes.len() {
            assert!(Message::decode(&bytes[..length]).is_err(), "{name} cut to {length}");
        }
        assert!(Message::decode(&[&bytes[..], &[0]].concat()).is_err(), "{name} with a byte more");
        for at in 0..bytes.len() {
            for value in [0, 1, 250, 251, 252, 253, 254, 255, bytes[at] ^ 1] {
                let mut changed = bytes.to_vec();
                changed[at] = value;
                if let Ok(other) = Message::decode(&changed) {
                    let again = other.encode().unwrap();
                    assert!(again.len() == 1, "{name} byte {at}");
                }
            }
        }
    }
}

/// Lengths that a message claims are not believed: the largest that bincode can write, at each place of a length.
#[test]
fn claimed_lengths_allocate_nothing() {
    let claims: [&[u8]; 3] = [
        &[252, 255, 255, 255, 255],
        &[253, 255, 255, 255, 255, 255, 255, 255, 127],
        &[253, 255, 255, 255, 255, 255, 255, 255, 255],
    ];
    for (name, message) in messages() {
        let bytes = message.encode().unwrap()[0].slice(1..);
        for at in 0..bytes.len() {
            for claim in claims {
                let changed = [&bytes[..at], claim, &bytes[at + 1..]].concat();
                if let Ok(other) = Message::decode(&changed) {
                    assert!(other.encode().is_ok(), "{name} at {at}");
                }
            }
        }
    }
    let encoded = page().encode().unwrap();
    for at in 0..encoded.len() {
        for claim in claims {
            // Numbers may be that large; what is decoded is no larger than what came.
            let changed = [&encoded[..at], claim, &encoded[at + 1..]].concat();
            if let Ok(page) = Page::decode(&changed) {
                assert!(page.entries.len() <= 5, "at {at}");
                let _ = page.end_entry();
                page.entries.iter().for_each(|entry| assert!(entry.name.len() < changed.len()));
            }
        }
    }
}

/// Our limits hold in both directions (§9).
#[test]
fn limits_hold_on_both_sides() {
    let bye = |bytes| Message::Bye { reason: ByeReason::Stopped, text: "x".repeat(bytes) };
    let decode = |message: &Message| Message::decode(&message.encode().unwrap()[0][1..]);
    assert!(decode(&bye(TEXT_BYTES_MAX)).is_ok());
    assert!(decode(&bye(TEXT_BYTES_MAX + 1)).is_err());
    let message = |bytes| Message::Page { encoded: vec![0; bytes] };
    assert!(message(MESSAGE_BYTES_MAX).encode().is_err());
    assert!(message(MESSAGE_BYTES_MAX - 6).encode().is_ok());
    assert!(Message::decode(&vec![0; MESSAGE_BYTES_MAX + 1]).is_err());
    let mut large = page();
    large.entries[1].name = vec![b'n'; PAGE_BYTES_MAX];
    assert!(large.encode().is_err());
    assert!(Page::decode(&vec![0; PAGE_BYTES_MAX + 1]).is_err());
}

/// What a receiver with every second of a million files has to say fits, and is understood (G-02, X7).
#[test]
fn half_a_million_ranges_fit_one_request() {
    let every_second: Ranges = (0..500_000).map(|index| 2 * index).collect();
    let request = RecoveryRequest {
        session: SessionId([1; 16]),
        epoch: 1,
        pages: 1_000,
        chain: Chain([1; 32]),
        undecided: WireRanges::default(),
        unwanted: WireRanges::from(&every_second),
        units: ranges(&[]),
        digests: Vec::new(),
    };
    let message = Message::RecoveryRequest(request);
    let frames = message.encode().unwrap();
    assert!(frames.iter().map(Bytes::len).sum::<usize>() <= 1 << 20);
    let mut assembler = Assembler::new();
    let mut whole = None;
    for frame in &frames {
        assert!(whole.is_none(), "a message before its last frame");
        whole = assembler.handle_frame(frame).unwrap();
    }
    let Some(Frame::Message(bytes)) = whole else { panic!("{} frames", frames.len()) };
    let Ok(Message::RecoveryRequest(request)) = Message::decode(&bytes) else {
        panic!("not understood")
    };
    assert_eq!(request.unwanted.to_ranges(), Some(every_second));
}

/// G-02: half of a million files complete, page by page, and the last page under way.
#[test]
fn a_request_for_a_million_files_is_small() {
    let completed: Completed = (0..500_000).map(|entry| (entry, [entry as u8; 32])).collect();
    let unwanted: Ranges = (499_712..500_736).step_by(2).collect();
    let mut units: Ranges = (499_000..499_500).step_by(2).collect();
    units.insert_range(0..499_000);
    let request = RecoveryRequest {
        session: SessionId([1; 16]),
        epoch: 1,
        pages: 977,
        chain: Chain([1; 32]),
        undecided: WireRanges::default(),
        unwanted: WireRanges::from(&unwanted),
        units: WireRanges::from(&units),
        digests: completed.digests(),
    };
    assert_eq!(request.digests.len(), 123);
    let frames = Message::RecoveryRequest(request).encode().unwrap();
    assert!(frames.iter().map(Bytes::len).sum::<usize>() < 8_000, "{}", frames.len());
    // A bucket that is expanded, at worst.
    let files: Vec<_> = (0..BUCKET_ENTRIES).map(|at| (u64::MAX - at, [7; 32])).collect();
    let expanded = Message::BucketEntries { bucket: 1 << 40, files };
    let bytes: usize = expanded.encode().unwrap().iter().map(Bytes::len).sum();
    assert!(bytes <= 41 * 4_096 + 100, "{bytes}");
}

/// Counts are limited where they are written and where they are read.
#[test]
fn buckets_are_bounded_on_both_sides() {
    let files = |count: u64| (0..count).map(|at| (at, [0; 32])).collect::<Vec<_>>();
    type Make = fn(Vec<(u64, [u8; 32])>) -> Message;
    let made: [Make; 2] = [
        |files| Message::BucketEntries { bucket: 0, files },
        |files| Message::Contradict { page: 0, files },
    ];
    let raw =
        |message: &Message| bincode::encode_to_vec(message, bincode::config::standard()).unwrap();
    for make in made {
        assert!(make(files(BUCKET_ENTRIES)).encode().is_ok());
        assert!(make(files(BUCKET_ENTRIES + 1)).encode().is_err());
        assert!(Message::decode(&raw(&make(files(BUCKET_ENTRIES)))).is_ok());
        assert!(Message::decode(&raw(&make(files(BUCKET_ENTRIES + 1)))).is_err());
    }
    let expand = |count: usize| Message::ExpandBuckets { buckets: vec![1; count] };
    assert!(expand(EXPAND_MAX).encode().is_ok() && expand(EXPAND_MAX + 1).encode().is_err());
    assert!(Message::decode(&raw(&expand(EXPAND_MAX))).is_ok());
    assert!(Message::decode(&raw(&expand(EXPAND_MAX + 1))).is_err());
}

#[test]
fn frames_are_put_together_and_bounded() {
    for bytes in [0, 1, 65_534, 65_535, 65_536, 2 * 65_535, MESSAGE_BYTES_MAX] {
        let message: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
        let frames = rejoin::wire::frame::split(&message);
        let mut assembler = Assembler::new();
        let Some((last, first)) = frames.split_last() else {
            assert_eq!(bytes, 0);
            continue;
        };
        for frame in first {
            assert_eq!((frame.len(), frame[0]), (FRAME_BYTES_MAX, KIND_FRAGMENT));
            assert_eq!(assembler.handle_frame(frame), Ok(None));
        }
        assert_eq!(assembler.handle_frame(last), Ok(Some(Frame::Message(Bytes::from(message)))));
    }
    let frame = |kind: u8, bytes: usize| Bytes::from([&[kind][..], &vec![0; bytes]].concat());
    let refused = |frames: &[Bytes]| {
        let mut assembler = Assembler::new();
        frames.iter().any(|frame| assembler.handle_frame(frame).is_err())
    };
    assert!(refused(&[Bytes::new()]), "an empty frame");
    assert!(refused(&[frame(3, 1)]), "an unknown kind");
    assert!(refused(&[frame(KIND_BODY, FRAME_BYTES_MAX)]), "a frame too long");
    assert!(refused(&[frame(KIND_FRAGMENT, 0)]), "a fragment without bytes");
    assert!(refused(&[frame(KIND_FRAGMENT, 1), frame(KIND_BODY, 1)]), "a body within a message");
    let endless: Vec<Bytes> = (0..17).map(|_| frame(KIND_FRAGMENT, 65_535)).collect();
    assert!(refused(&endless), "fragments without end");
    assert!(!refused(&endless[..16]));
}

/// A join by a code, every byte of it: the seeds are fixed, so nothing in it may change.
#[test]
fn joins_have_the_bytes_of_version_1() {
    let capabilities = |byte| Capabilities::new(MemberId([byte; 16]), 65_536, 3);
    let introduction =
        |name: &str| Introduction { name: name.to_owned(), session: Some(SessionId([5; 16])) };
    let offer = || Some(SignalMessage::Offer { attempt: Attempt(1), sdp: "v=0".to_owned() });
    let answer = || Some(SignalMessage::Answer { attempt: Attempt(1), sdp: "v=0".to_owned() });
    let seed = |byte| Seed::new([byte; 32]);
    let code: Code = "7-crane-velvet-orbit".parse().unwrap();
    let secret = SessionSecret([8; 32]);
    let pairs = [
        (
            "code",
            Opener::for_code(&code, capabilities(1), 0, seed(1)).unwrap(),
            Joiner::for_code(&code, capabilities(2), 0),
        ),
        (
            "session",
            Opener::for_session(&secret, capabilities(1), 4, seed(1)).unwrap(),
            Joiner::for_session(&secret, capabilities(2), 4),
        ),
    ];
    for (name, mut opener, mut joiner) in pairs {
        golden(&format!("join-{name}-deposit"), opener.deposit());
        let deposit = opener.deposit().to_vec();
        let greeting =
            joiner.handle_deposit(&deposit, &introduction("bob"), offer(), &seed(2)).unwrap();
        golden(&format!("join-{name}-hello"), &greeting.payload);
        let Ok(JoinPayload::Hello(hello)) = JoinPayload::decode(&greeting.payload) else {
            panic!()
        };
        let proved = opener.handle_hello(MemberId([2; 16]), &hello, seed(3)).unwrap();
        let (payload, _) = proved.welcome(&introduction("alice"), answer()).unwrap();
        golden(&format!("join-{name}-welcome"), &payload);
        let Ok(JoinPayload::Welcome(welcome)) = JoinPayload::decode(&payload) else { panic!() };
        let mut admitted = joiner.handle_welcome(MemberId([1; 16]), &welcome).unwrap();
        let envelope = admitted.channel.seal(&SignalMessage::Stored).unwrap();
        let sealed = JoinPayload::Sealed(envelope).encode().unwrap();
        golden(&format!("join-{name}-stored"), &sealed);
        for payload in [&greeting.payload, &payload, &sealed] {
            let again = JoinPayload::decode(payload).unwrap().encode().unwrap();
            assert_eq!(&again, payload, "{name}");
        }
        // The frozen bytes were read above; every byte of theirs matters.
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            if let Ok(JoinPayload::Sealed(envelope)) = JoinPayload::decode(&changed) {
                assert!(admitted.channel.open(&envelope).is_err(), "{name} byte {at}");
            }
        }
    }
}

#[test]
fn the_hosts_messages_have_the_bytes_of_version_1() {
    let (member, room) = (MemberId([1; 16]), RoomName::Code(7));
    let token = MemberToken::for_room(&[2; 32], room);
    let from_client = [
        (
            "open",
            ClientMessage::Open {
                number: Some(7),
                member,
                token: token.clone(),
                deposit: vec![3],
                again: false,
            },
        ),
        ("join", ClientMessage::Join { room, member, token, deposit: None, wait: true }),
        ("deposit", ClientMessage::Deposit { room, deposit: vec![4; 3] }),
        ("relay", ClientMessage::Relay { room, to: member, payload: vec![5; 3] }),
        ("lock", ClientMessage::Lock { number: 7, keep: member }),
        ("burn", ClientMessage::Burn { number: 7 }),
        ("leave", ClientMessage::Leave { room: RoomName::Session([6; 16]) }),
    ];
    for (name, message) in from_client {
        let bytes = message.encode().unwrap();
        golden(&format!("client-{name}"), &bytes);
        assert_eq!(ClientMessage::decode(&bytes), Ok(message));
    }
    use rejoin::signal::protocol::{CloseReason, RefusalReason};
    let from_host = [
        ("opened", HostMessage::Opened { number: 7, peers: vec![member] }),
        ("joined", HostMessage::Joined { room, deposit: Some((member, vec![1])), peers: vec![] }),
        ("waiting", HostMessage::Waiting { number: 7 }),
        ("refused", HostMessage::Refused { room: None, reason: RefusalReason::TooLarge }),
        ("peer-joined", HostMessage::PeerJoined { room, member }),
        ("peer-left", HostMessage::PeerLeft { room, member }),
        ("deposited", HostMessage::Deposited { room, from: member, deposit: vec![2] }),
        ("relayed", HostMessage::Relayed { room, from: member, payload: vec![3] }),
        ("room-closed", HostMessage::RoomClosed { room, reason: RefusalReason::Burnt }),
        ("goodbye", {
            HostMessage::Goodbye { reason: CloseReason::Shutdown { retry_after_ms: 1_000 } }
        }),
    ];
    for (name, message) in from_host {
        let bytes = message.encode().unwrap();
        golden(&format!("host-{name}"), &bytes);
        assert_eq!(HostMessage::decode(&bytes), Ok(message));
    }
}

prop_compose! {
    fn any_ranges()(starts in prop::collection::btree_set(0_u64..1 << 40, 0..20)) -> WireRanges {
        WireRanges::from(&starts.into_iter().collect::<Ranges>())
    }
}

fn any_message() -> impl Strategy<Value = Message> {
    let totals = (any::<u64>(), any::<u64>(), any::<u64>())
        .prop_map(|(entries, files, bytes)| Totals { entries, files, bytes, directories: files });
    let packed =
        (any::<u64>(), any::<[u8; 32]>()).prop_map(|(bytes, root)| PackedFile { bytes, root });
    let head = prop_oneof![
        (any::<u64>(), any::<[u8; 32]>())
            .prop_map(|(entry, value)| UnitHead::Part { entry, value }),
        prop::collection::vec((any::<u64>(), packed), 0..30)
            .prop_map(|files| UnitHead::Pack { files }),
    ];
    let request = (
        any::<([u8; 16], u64, u64, [u8; 32])>(),
        any_ranges(),
        any_ranges(),
        any_ranges(),
        prop::collection::vec(any::<(u64, [u8; 32])>(), 0..10),
    )
        .prop_map(|((session, epoch, pages, chain), undecided, unwanted, units, digests)| {
            Message::RecoveryRequest(RecoveryRequest {
                session: SessionId(session),
                epoch,
                pages,
                chain: Chain(chain),
                undecided,
                unwanted,
                units,
                digests,
            })
        });
    prop_oneof![
        request,
        any::<u64>().prop_map(|pages| Message::RecoveryAnswer { pages }),
        (totals, any::<bool>())
            .prop_map(|(totals, is_complete)| Message::Estimate { totals, is_complete }),
        prop::collection::vec(any::<u8>(), 0..200_000)
            .prop_map(|encoded| Message::Page { encoded }),
        (any::<u64>(), any_ranges(), any_ranges())
            .prop_map(|(page, unwanted, units)| Message::Want { page, unwanted, units }),
        (any::<u64>(), head).prop_map(|(unit, head)| Message::Unit { unit, head }),
        (any::<u64>(), ".{0,200}").prop_map(|(entry, reason)| {
            Message::EntryFailed { entry, kind: MissingKind::Vanished, reason }
        }),
        (
            prop::option::of(any::<u64>()),
            prop::collection::vec(any::<u8>(), 0..=1_024),
            0_usize..=128
        )
            .prop_map(|(parent, name, count)| Message::LeftOut {
                entries: vec![LeftOut { parent, name, ..left_out() }; count],
            }),
        (any::<u64>(), 0_usize..=128).prop_map(|(entry, count)| Message::Missing {
            entries: vec![Missing { entry, ..missing() }; count],
        }),
        (any::<u64>(), any_ranges()).prop_map(|(page, entries)| Message::Compare { page, entries }),
        (any::<u64>(), prop::collection::vec(any::<(u64, Option<[u8; 32]>)>(), 0..=1_024))
            .prop_map(|(page, files)| Message::Roots { page, files }),
        (any::<u64>(), any_ranges())
            .prop_map(|(unit, unwanted)| Message::Resend { unit, unwanted }),
        any_ranges().prop_map(|units| Message::Ack { units }),
        any_ranges().prop_map(|entries| Message::Gone { entries }),
        ".{0,200}".prop_map(|text| Message::Bye { reason: ByeReason::Disk, text }),
        prop::collection::vec(any::<u64>(), 0..=8)
            .prop_map(|buckets| Message::ExpandBuckets { buckets }),
        (any::<u64>(), prop::collection::vec(any::<(u64, [u8; 32])>(), 0..=4_096))
            .prop_map(|(bucket, files)| Message::BucketEntries { bucket, files }),
        (any::<u64>(), prop::collection::vec(any::<(u64, [u8; 32])>(), 0..200))
            .prop_map(|(page, files)| Message::Contradict { page, files }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn messages_come_back(message in any_message()) {
        let mut assembler = Assembler::new();
        let frames = message.encode().unwrap();
        let mut whole = None;
        for frame in &frames {
            prop_assert!(frame.len() <= FRAME_BYTES_MAX);
            whole = assembler.handle_frame(frame).unwrap();
        }
        let Some(Frame::Message(bytes)) = whole else { panic!("no message") };
        prop_assert_eq!(Message::decode(&bytes), Ok(message));
    }

    #[test]
    fn random_bytes_are_refused_or_bounded(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        for first in 0..16_u8 {
            let bytes = [&[first], &bytes[..]].concat();
            if let Ok(message) = Message::decode(&bytes) {
                prop_assert_eq!(Message::decode(&message.encode().unwrap()[0][1..]), Ok(message));
            }
        }
        if let Ok(page) = Page::decode(&bytes) {
            prop_assert!(page.entries.len() <= bytes.len());
        }
        let _ = JoinPayload::decode(&bytes);
        let _ = HostMessage::decode(&bytes);
        let _ = ClientMessage::decode(&bytes);
    }

    #[test]
    fn mutated_pages_never_panic(at in 0_usize..120, value in any::<u8>(), cut in 0_usize..120) {
        let mut bytes = page().encode().unwrap();
        let at = at % bytes.len();
        bytes[at] = value;
        bytes.truncate(bytes.len().saturating_sub(cut / 4));
        if let Ok(page) = Page::decode(&bytes) {
            let _ = rejoin::transfer::manifest::PageCheck::new().check(&page);
        }
    }

    #[test]
    fn random_frames_never_panic(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40)) {
        let mut assembler = Assembler::new();
        for frame in frames {
            let _ = assembler.handle_frame(&Bytes::from(frame));
        }
    }
}
