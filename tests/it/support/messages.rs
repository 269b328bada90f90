//! Messages that no honest peer would say, and who they are said to.

use rejoin::transfer::disk::PackedFile;
use rejoin::transfer::manifest::{Chain, Totals};
use rejoin::transfer::message::{ByeReason, Message, RecoveryRequest, UnitHead, WireRanges};
use rejoin::transfer::missing::{MissingKind, Outcome};
use rejoin::transfer::ranges::Ranges;
use rejoin::wire::SessionId;

use super::model_source::{ModelSource, random_tree};
use super::random::Random;
use super::sim::SESSION;
use super::victim::Prey;

/// One of every message, as neither side would say it.
pub(crate) fn every_message() -> Vec<Message> {
    let everything: Ranges = [0, 5].into_iter().collect();
    let units = WireRanges::from(&everything);
    let request = RecoveryRequest {
        session: SessionId([3; 16]),
        epoch: 1,
        pages: 0,
        chain: Chain([0; 32]),
        undecided: units.clone(),
        unwanted: units.clone(),
        units: units.clone(),
        digests: vec![(0, [0; 32])],
    };
    let totals = Totals { entries: 9, files: 9, bytes: 9, directories: 0 };
    let head = |files| UnitHead::Pack { files };
    let packed = PackedFile { bytes: 3, root: [0; 32] };
    let mut messages = vec![
        Message::RecoveryRequest(request),
        Message::RecoveryAnswer { pages: 0 },
        Message::RecoveryAnswer { pages: 7 },
        Message::Estimate { totals, is_complete: true },
        Message::Page { encoded: Vec::new() },
        Message::End { pages: 0, totals, chain: Chain([1; 32]), failed: 0, skipped: 0 },
        Message::Want { page: 0, unwanted: units.clone(), units: units.clone() },
        Message::Unit { unit: 0, head: head(vec![(0, packed)]) },
        Message::Unit { unit: 1, head: UnitHead::Part { entry: 0, value: [0; 32] } },
        Message::FileRoot { entry: 0, root: [0; 32] },
        Message::FileRoot { entry: u64::MAX, root: [0; 32] },
        Message::EntryFailed { entry: 0, kind: MissingKind::Changed, reason: "gone".to_owned() },
        Message::EntryFailed {
            entry: u64::MAX,
            kind: MissingKind::Unreadable,
            reason: String::new(),
        },
        Message::Resend { unit: 0, unwanted: units.clone() },
        Message::Gone { entries: units.clone() },
        Message::Ack { units },
        Message::Complete { outcome: Outcome::default() },
        Message::CompleteAck,
        Message::ExpandBuckets { buckets: vec![0] },
        Message::BucketEntries { bucket: 0, files: vec![(0, [1; 32])] },
        Message::Contradict { page: 0, files: vec![(0, [2; 32])] },
        Message::EarlyAnswer,
        Message::Ping { number: u64::MAX },
        Message::Pong { number: 0 },
    ];
    for reason in [
        ByeReason::Stopped,
        ByeReason::Refused,
        ByeReason::Protocol,
        ByeReason::Disk,
        ByeReason::Integrity,
        ByeReason::NoSession,
    ] {
        messages.push(Message::Bye { reason, text: "x".repeat(2_000) });
    }
    messages
}

/// A sender of a few small files, two entries a page.
pub(crate) fn tiny_prey() -> Prey {
    let tree = random_tree(&mut Random::new(5), 3, 0);
    Prey::new(ModelSource::new(tree, SESSION, 2))
}

/// The request of a receiver that has nothing.
pub(crate) fn request() -> RecoveryRequest {
    RecoveryRequest {
        session: SESSION,
        epoch: 1,
        pages: 0,
        chain: Chain::start(SESSION),
        undecided: WireRanges::default(),
        unwanted: WireRanges::default(),
        units: WireRanges::default(),
        digests: Vec::new(),
    }
}
