use super::*;
use crate::transfer::disk::{ScanReport, Stamp};
use crate::transfer::manifest::Entry;
use crate::transfer::manifest::{Chain, ModifiedTime, Totals};
use crate::transfer::merge;
use crate::transfer::message::{RecoveryRequest, WireRanges};
use crate::transfer::progress::Progress;
use crate::wire::SessionId;
use crate::wire::frame::{Assembler, BODY_BYTES, Frame};

const SESSION: SessionId = SessionId([1; 16]);
const UNITS: u64 = 2 * VALUES_MAX + 5;

fn value(unit: u64) -> Value {
    let mut value = [7; 32];
    value[..8].copy_from_slice(&unit.to_le_bytes());
    value
}

/// A sender whose receiver has all of a file of 128 GiB but `missing`.
fn resumed(missing: u64) -> (Sender, StoredPage) {
    let time = ModifiedTime { seconds: 1, nanoseconds: 0 };
    let bytes = (UNITS - 1) * UNIT_BYTES + 1;
    let entry = Entry {
        parent: None,
        name: b"large".to_vec(),
        kind: EntryKind::File { bytes },
        mode: 0o644,
        modified: time,
        supersedes: None,
    };
    let mut totals = Totals::default();
    totals.add(&entry);
    let page = Page { number: 0, first_entry: 0, entries: vec![entry] };
    let encoded: Bytes = page.encode().expect("small").into();
    let chain = Chain::start(SESSION).extend(&encoded);
    let stamps = vec![Some(Stamp { bytes, modified: time, changed: time, inode: 1 })];
    let stored = StoredPage { encoded, stamps };
    let mut sender = Sender::new(SESSION);
    sender.handle_scan(ScanReport::Page(stored.clone()));
    sender.handle_scan(ScanReport::End { pages: 1, totals, chain });
    sender.handle_link_up(false);
    let mut units: Ranges = Ranges::new();
    units.insert_range(0..UNITS);
    units.remove(missing);
    sender.handle_message(Message::RecoveryRequest(RecoveryRequest {
        session: SESSION,
        epoch: 1,
        pages: 1,
        chain,
        undecided: WireRanges::default(),
        unwanted: WireRanges::default(),
        units: WireRanges::from(&units),
        digests: Vec::new(),
    }));
    (sender, stored)
}

/// Values that are kept are loaded a part at a time, each goes where it belongs, and what is not kept is read again.
#[test]
fn the_root_of_a_large_file_is_made_of_loaded_values() {
    let missing = VALUES_MAX + 3;
    // At the edges of the parts.
    let lost = [0, VALUES_MAX - 1, VALUES_MAX, 2 * VALUES_MAX, UNITS - 1];
    let (mut sender, stored) = resumed(missing);
    let (mut loaded, mut read, mut root) = (Ranges::new(), Vec::new(), None);
    let mut assembler = Assembler::default();
    loop {
        if let Some(frame) = sender.poll_frame() {
            if let Some(Frame::Message(bytes)) = assembler.handle_frame(&frame).expect("ours")
                && let Ok(Message::FileRoot { root: said, .. }) = Message::decode(&bytes)
            {
                root = Some(said);
            }
            continue;
        }
        let Some(output) = sender.poll_output() else { break };
        let SenderOutput::Disk(request) = output else { continue };
        let reply = match request {
            SourceRequest::LoadPage { .. } => SourceReply::Page { page: Ok(stored.clone()) },
            SourceRequest::LoadValues { entry, units } => {
                assert!(
                    units.end - units.start <= VALUES_MAX && loaded.count_in(units.clone()) == 0
                );
                loaded.insert_range(units.clone());
                let known = |unit| (unit != missing && !lost.contains(&unit)).then(|| value(unit));
                let (first_unit, values) = (units.start, units.map(known).collect());
                SourceReply::Values { entry, first_unit, values }
            }
            SourceRequest::ReadPart { unit, file, bytes, .. } => {
                read.push(unit);
                assert_eq!(bytes, unit_bytes(file.stamp.bytes, unit));
                let content = Ok((vec![Bytes::from_static(&[0, 1])], value(unit)));
                SourceReply::Part { unit, entry: file.entry, stamp: file.stamp, content }
            }
            SourceRequest::KeepRoots { .. } => SourceReply::RootsKept { changed: Vec::new() },
            SourceRequest::Look { file } => {
                SourceReply::Looked { entry: file.entry, stamp: Ok(file.stamp) }
            }
            other @ (SourceRequest::ReadPack { .. }
            | SourceRequest::LoadRoots { .. }
            | SourceRequest::LookAgain { .. }) => panic!("{other:?}"),
        };
        sender.handle_disk(reply);
    }
    read.sort_unstable();
    let mut expected = vec![missing];
    expected.extend(lost);
    expected.sort_unstable();
    assert_eq!(read, expected);
    assert_eq!(loaded.len(), UNITS);
    assert!(root.is_some());
    assert_eq!(root, merge::root(&(0..UNITS).map(value).collect::<Vec<_>>()));
}

/// F-43: a link that is slow has taken little of a unit that was read.
#[test]
fn what_the_link_has_not_taken_has_not_moved() {
    let missing = 5;
    let (mut sender, stored) = resumed(missing);
    let body = Bytes::from(vec![0; 1 + BODY_BYTES]);
    let mut is_read = false;
    loop {
        // Until the unit is read, its link keeps up.
        if !is_read && sender.poll_frame().is_some() {
            continue;
        }
        let Some(output) = sender.poll_output() else { break };
        let SenderOutput::Disk(request) = output else { continue };
        sender.handle_disk(match request {
            SourceRequest::LoadPage { .. } => SourceReply::Page { page: Ok(stored.clone()) },
            SourceRequest::LoadValues { entry, units } => {
                let known = |unit| (unit != missing).then(|| value(unit));
                let (first_unit, values) = (units.start, units.map(known).collect());
                SourceReply::Values { entry, first_unit, values }
            }
            SourceRequest::ReadPart { unit, file, .. } => {
                is_read = true;
                let content = Ok((vec![body.clone(); 4], value(unit)));
                SourceReply::Part { unit, entry: file.entry, stamp: file.stamp, content }
            }
            SourceRequest::KeepRoots { .. } => SourceReply::RootsKept { changed: Vec::new() },
            SourceRequest::Look { file } => {
                SourceReply::Looked { entry: file.entry, stamp: Ok(file.stamp) }
            }
            other @ (SourceRequest::ReadPack { .. }
            | SourceRequest::LoadRoots { .. }
            | SourceRequest::LookAgain { .. }) => panic!("{other:?}"),
        });
    }
    let moved = |sender: &Sender| {
        let Progress { moving_bytes, wire_bytes, .. } = sender.progress();
        (moving_bytes, wire_bytes)
    };
    assert_eq!(moved(&sender), (0, 0));
    let taken = std::iter::from_fn(|| sender.poll_frame()).take_while(|frame| *frame != body);
    assert!(taken.count() > 0, "its head comes first");
    let one = BODY_BYTES as u64;
    let (moving_bytes, wire_bytes) = moved(&sender);
    // What waits has bytes that are not content, too.
    assert!(one - 256 <= moving_bytes && moving_bytes <= one, "{moving_bytes}");
    assert_eq!(moving_bytes, wire_bytes);
    // The link took all of it, and three of four bodies went out.
    while sender.poll_frame().is_some() {}
    sender.handle_unsent(one);
    assert_eq!(sender.progress().wire_bytes, 3 * one);
    sender.handle_unsent(10 * one);
    assert_eq!(sender.progress().wire_bytes, 0);
    sender.handle_unsent(2 * one);
    sender.handle_link_down();
    sender.handle_unsent(one);
    assert_eq!(sender.progress().wire_bytes, 2 * one);
    assert!(sender.sent_units.contains(missing), "part of it went");
}

/// B-T: what a lost link took and never sent went over no wire, and is not sent twice by the next one.
#[test]
fn what_a_lost_link_did_not_send_is_given_back() {
    let (mut sender, stored) = resumed(5);
    let page = sender.parse_page(0, Ok(stored)).expect("its own page");
    let page = Arc::new(page);
    let send = |sender: &mut Sender, unit| {
        let head = UnitHead::Part { entry: 0, value: value(unit) };
        sender.send_unit(&page, unit, head, Vec::new(), 100, Vec::new());
    };
    (0..4).for_each(|unit| send(&mut sender, unit));
    while sender.poll_frame().is_some() {}
    // The newest is what did not go: all of 3, half of 2.
    sender.handle_unsent(150);
    sender.handle_link_down();
    assert_eq!(sender.progress().wire_bytes, 250);
    sender.handle_link_up(false);
    (0..4).for_each(|unit| send(&mut sender, unit));
    while sender.poll_frame().is_some() {}
    let Progress { wire_bytes, resent_bytes, .. } = sender.progress();
    assert_eq!((wire_bytes, resent_bytes), (650, 300));
    // And what went before and did not go again is not sent twice.
    sender.handle_unsent(250);
    sender.handle_link_down();
    let Progress { wire_bytes, resent_bytes, .. } = sender.progress();
    assert_eq!((wire_bytes, resent_bytes), (400, 150));
}
