//! What is complete at the receiver is compared with what the sender has: only what differs is sent again.

use crate::support::model_source::{ModelSource, Node, Tree, random_tree};
use crate::support::random::Random;
use crate::support::sim::{Ending, SESSION, Sim};
use crate::support::victim::{Prey, Victim, file};
use rejoin::error::ErrorKind;
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::completed::digest;
use rejoin::transfer::disk::OnConflict;
use rejoin::transfer::message::{Message, RecoveryRequest, WireRanges};
use rejoin::transfer::missing::Outcome;
use rejoin::transfer::ranges::Ranges;
use rejoin::transfer::receiver::{Agreement, ReceiverConfig, ReceiverOutput};
use std::time::{Duration, Instant};

fn accept_all() -> ReceiverConfig {
    ReceiverConfig {
        on_conflict: Some(OnConflict::Fail),
        accepted: Some(Agreement::EVERYTHING),
        by_content: false,
        bytes_max: u64::MAX,
        files_max: u64::MAX,
    }
}

fn check_done(sim: &Sim, what: &str) {
    assert_eq!(sim.sender_end, Some(Ending::Done), "{what}");
    assert_eq!(sim.receiver_end, Some(Ending::Done), "{what}");
    assert!(sim.target.tree == sim.source.tree, "{what}: trees differ");
    let totals = sim.source.totals;
    for progress in [sim.sender.progress(), sim.receiver.progress()] {
        assert_eq!((progress.bytes, progress.files), (totals.bytes, totals.files), "{what}");
    }
}

/// 40 small files, and 3 of three units, on pages of `page_entries`.
fn sim(page_entries: usize) -> Sim {
    seeded_sim(1, page_entries)
}

/// With an odd seed the receiver keeps no root in memory.
fn seeded_sim(seed: u64, page_entries: usize) -> Sim {
    let mut tree = Tree::new();
    let mut random = Random::new(1);
    for index in 0..40 {
        tree.insert(format!("file-{index:02}").into_bytes(), Node::File(random.bytes(60_000)));
    }
    for index in 0..3 {
        let bytes = 2 * UNIT_BYTES as usize + 5;
        tree.insert(format!("large-{index}").into_bytes(), Node::File(random.bytes(bytes)));
    }
    Sim::new(seed, ModelSource::new(tree, SESSION, page_entries), accept_all())
}

/// 100 files of a unit each, on pages of `page_entries`.
fn sim_of_units(seed: u64, page_entries: usize) -> Sim {
    let mut tree = Tree::new();
    let mut random = Random::new(1);
    for index in 0..100 {
        let bytes = UNIT_BYTES as usize;
        tree.insert(format!("file-{index:02}").into_bytes(), Node::File(random.bytes(bytes)));
    }
    Sim::new(seed, ModelSource::new(tree, SESSION, page_entries), accept_all())
}

/// Runs until `files` files have their names, then kills the receiver.
fn interrupt(sim: &mut Sim, files: usize) {
    sim.connect_after(Duration::from_millis(1));
    while sim.target.tree.len() < files {
        assert!(sim.step());
    }
    assert!(!sim.is_over());
    sim.crash_receiver();
    sim.heard_by_receiver.clear();
    sim.heard_by_sender.clear();
    sim.units_sent.clear();
}

/// All but one of the files are there, and entry 5 is recorded wrongly; no link yet.
fn sim_with_wrong_record(seed: u64) -> Sim {
    let mut sim = seeded_sim(seed, 7);
    interrupt(&mut sim, 42);
    sim.target.record_wrongly(5);
    sim.crash_receiver();
    sim
}

fn contradicted(sim: &Sim) -> Vec<u64> {
    let files = sim.heard_by_receiver.iter().filter_map(|message| match message {
        Message::Contradict { files, .. } => Some(files.iter().map(|(entry, _)| *entry)),
        _ => None,
    });
    files.flatten().collect()
}

fn expanded(sim: &Sim) -> usize {
    let is_expanded = |message: &&Message| matches!(message, Message::BucketEntries { .. });
    sim.heard_by_sender.iter().filter(is_expanded).count()
}

/// Which files were sent, however often.
fn files_sent(sim: &Sim) -> Vec<u64> {
    use rejoin::transfer::message::UnitHead;
    let mut sent = Vec::new();
    for message in &sim.heard_by_receiver {
        match message {
            Message::Unit { head: UnitHead::Part { entry, .. }, .. } => sent.push(*entry),
            Message::Unit { head: UnitHead::Pack { files }, .. } => {
                sent.extend(files.iter().map(|(entry, _)| *entry));
            }
            _ => {}
        }
    }
    sent
}

/// A wrong root of a complete file, small or large, whatever its page's other files are at: that file, once more.
#[test]
fn a_file_whose_recorded_root_is_wrong_is_sent_again_and_nothing_else() {
    for page_entries in [1, 3, 7, 100] {
        for entry in [0, 2, 16, 39, 40, 41] {
            let what = format!("entry {entry}, pages of {page_entries}");
            let mut sim = sim(page_entries);
            interrupt(&mut sim, 42);
            let there = sim.target.tree.len() as u64;
            sim.target.record_wrongly(entry);
            sim.crash_receiver();
            sim.connect_after(Duration::from_millis(1));
            sim.run(200_000);
            check_done(&sim, &what);
            assert_eq!(contradicted(&sim), [entry], "{what}");
            let mut sent = files_sent(&sim);
            sent.dedup();
            let missing: Vec<u64> = (there..43).collect();
            assert_eq!(sent.iter().filter(|of| **of == entry).count(), 1, "{what}: {sent:?}");
            sent.retain(|of| *of != entry);
            assert_eq!(sent, missing, "{what}");
            assert!(sim.target.wrong.is_empty());
        }
    }
}

/// A sender that lost what it knew takes the receiver's word where its files are what they were.
#[test]
fn a_sender_without_values_takes_those_of_the_receiver() {
    let mut sim = sim(7);
    interrupt(&mut sim, 42);
    let roots = sim.source.roots.clone();
    sim.crash_sender(true);
    sim.source.changed.push(b"file-03".to_vec());
    sim.connect_after(Duration::from_millis(1));
    sim.run(200_000);
    check_done(&sim, "taken");
    assert_eq!(files_sent(&sim).iter().filter(|entry| **entry < 42).count(), 0);
    assert_eq!(expanded(&sim), 1);
    assert!(contradicted(&sim).is_empty());
    for entry in 0..42 {
        let expected = if entry == 3 { None } else { roots.get(&entry) };
        assert_eq!(sim.source.roots.get(&entry), expected, "entry {entry}");
    }
}

/// Nothing is expanded where both are of one mind: neither on the first link nor after a drop.
#[test]
fn digests_that_agree_cost_nothing_more() {
    let mut sim = sim(7);
    interrupt(&mut sim, 42);
    // The sender knows more roots than the receiver has files, where it was cut within a unit.
    let there = sim.target.tree.len() as u64;
    sim.source.roots.retain(|entry, _| *entry < there);
    sim.connect_after(Duration::from_millis(1));
    sim.run(200_000);
    check_done(&sim, "agreed");
    assert_eq!(expanded(&sim), 0);
    assert!(!sim.requests.last().unwrap().digests.is_empty());
}

/// The digests of the next request that the receiver makes.
fn next_digests(sim: &mut Sim) -> Vec<(u64, [u8; 32])> {
    sim.requests.clear();
    sim.connect_after(Duration::from_micros(1));
    while sim.requests.is_empty() {
        assert!(sim.step());
    }
    sim.requests[0].digests.clone()
}

/// A receiver that outlives its links tells what is complete by then, whatever it has in memory.
#[test]
fn digests_are_of_what_is_complete_when_a_link_begins() {
    for seed in [1, 2] {
        let mut sim = sim_of_units(seed, 30);
        sim.connect_after(Duration::from_millis(1));
        for share in [20, 50, 99] {
            while sim.target.writes < share {
                assert!(sim.step());
            }
            sim.cut();
            // Files get their names at a barrier, which needs no link.
            while sim.receiver.progress().files < share {
                assert!(sim.step());
            }
            let digests = next_digests(&mut sim);
            assert_eq!(digests, [(0, digest(sim.target.roots_of(0)))], "seed {seed}, {share} %");
        }
        sim.run(200_000);
        check_done(&sim, &format!("seed {seed}"));
        assert!(contradicted(&sim).is_empty());
    }
}

/// A file that was contradicted and did not come again yet is not complete, though the journal still says so.
#[test]
fn digests_are_not_of_what_is_contradicted() {
    for seed in [1, 2] {
        let mut sim = sim_with_wrong_record(seed);
        sim.connect_after(Duration::from_millis(1));
        let is_resend = |message: &Message| matches!(message, Message::Resend { .. });
        while !sim.heard_by_sender.iter().any(is_resend) {
            assert!(sim.step());
        }
        sim.cut();
        let digests = next_digests(&mut sim);
        assert!(sim.target.wrong.contains(&5), "it came too early for this test");
        let others = sim.target.roots_of(0).into_iter().filter(|(entry, _)| *entry != 5);
        assert_eq!(digests, [(0, digest(others))], "seed {seed}");
        sim.run(200_000);
        check_done(&sim, &format!("seed {seed}"));
        assert_eq!(contradicted(&sim), [5], "seed {seed}");
    }
}

/// A bucket whose roots are still being loaded when its link drops is not for the next link, which did not ask for it.
#[test]
fn what_was_to_be_expanded_is_forgotten_with_its_link() {
    for seed in [1, 3, 5, 7, 9] {
        let mut sim = sim_with_wrong_record(seed);
        sim.connect_after(Duration::from_millis(1));
        let is_expand = |message: &Message| matches!(message, Message::ExpandBuckets { .. });
        while !sim.heard_by_receiver.iter().any(is_expand) {
            assert!(sim.step());
        }
        sim.cut();
        sim.connect_after(Duration::from_micros(1));
        sim.run(200_000);
        check_done(&sim, &format!("seed {seed}"));
        assert_eq!(contradicted(&sim), [5], "seed {seed}");
    }
}

/// A bucket that is expanded late: what completed of pages that came on this link is no part of it.
#[test]
fn an_expanded_bucket_has_only_pages_of_its_request() {
    let mut sim = sim_of_units(2, 5);
    sim.connect_after(Duration::from_millis(1));
    while sim.target.writes < 10 {
        assert!(sim.step());
    }
    sim.cut();
    while sim.receiver.progress().files < 10 {
        assert!(sim.step());
    }
    // The sender agrees, and does not ask for itself.
    sim.source.roots.retain(|entry, _| *entry < 10);
    assert_eq!(next_digests(&mut sim), [(0, digest(sim.source.roots.clone()))]);
    let end = 5 * sim.requests[0].pages;
    while sim.receiver.progress().files <= end {
        assert!(sim.step());
    }
    while sim.receiver.poll_output().is_some() {}
    sim.receiver.handle_message(Message::ExpandBuckets { buckets: vec![0] }, Instant::now());
    let files = std::iter::from_fn(|| sim.receiver.poll_output()).find_map(|output| match output {
        ReceiverOutput::Send(_, Message::BucketEntries { files, .. }) => Some(files),
        _ => None,
    });
    let entries: Vec<u64> = files.unwrap().into_iter().map(|(entry, _)| entry).collect();
    assert!((1..99).contains(&end) && !sim.receiver.is_finished());
    assert_eq!(entries, Vec::from_iter(0..end));
}

/// Any crash, any drop, any wrong record, at random moments.
#[test]
fn wrong_records_never_survive() {
    let mut found = 0;
    for seed in 0..120 {
        let mut random = Random::new(seed ^ 0xd16e57);
        let tree = random_tree(&mut random, 50, 4);
        let source = ModelSource::new(tree, SESSION, 1 + random.below(30) as usize);
        let mut sim = Sim::new(seed, source, accept_all());
        sim.connect_after(Duration::from_millis(1));
        for _ in 0..1 + random.below(6) {
            for _ in 0..random.below(200) {
                if sim.is_over() || !sim.step() {
                    break;
                }
            }
            sim.cut();
            // Files get their names at a barrier, which needs no link.
            (0..random.below(60)).take_while(|_| sim.step()).for_each(drop);
            if sim.sender_end.is_some() || sim.receiver_end.is_some() || sim.target.is_finished() {
                break;
            }
            for entry in 0..60 {
                // What the sender does not know either is taken as it is.
                if random.chance(10) && sim.source.roots.contains_key(&entry) {
                    sim.target.record_wrongly(entry);
                }
            }
            sim.crash_receiver();
            if random.chance(30) {
                sim.crash_sender(false);
            }
            sim.connect_after(Duration::from_millis(1 + random.below(50)));
        }
        if sim.sender_end.is_some() || sim.receiver_end.is_some() || sim.target.is_finished() {
            continue;
        }
        sim.run(400_000);
        let what = format!("seed {seed}");
        assert_eq!(sim.sender_end, Some(Ending::Done), "{what}");
        assert_eq!(sim.receiver_end, Some(Ending::Done), "{what}");
        assert!(sim.target.tree == sim.source.tree, "{what}: trees differ");
        assert!(sim.target.wrong.is_empty(), "{what}: {:?}", sim.target.wrong);
        found += contradicted(&sim).len();
    }
    assert!(found > 20, "only {found} files were ever contradicted");
}

/// A drop at 0, 50 and 99 % (F-45): what was complete then is not sent again.
#[test]
fn drops_at_any_share_keep_what_is_complete() {
    for share in [0, 50, 99] {
        let mut sim = sim_of_units(share, 30);
        sim.connect_after(Duration::from_millis(1));
        while sim.target.writes < share {
            assert!(sim.step());
        }
        sim.cut();
        while (sim.target.tree.len() as u64) < share {
            assert!(sim.step());
        }
        let there = sim.target.tree.len() as u64;
        assert_eq!(there, share);
        sim.units_sent.clear();
        sim.connect_after(Duration::from_millis(5));
        sim.run(200_000);
        check_done(&sim, &format!("{share} %"));
        assert_eq!(sim.units_sent, (there..100).collect::<Vec<_>>());
        assert!(contradicted(&sim).is_empty());
    }
}

/// A sender of ten files and a directory, on pages of four, whose receiver claims all of it, with one digest.
fn claiming(digests: Vec<(u64, [u8; 32])>) -> Prey {
    let mut tree = Tree::new();
    for index in 0..10_u8 {
        tree.insert(vec![b'a' + index], Node::File(vec![index; 100]));
    }
    tree.insert(b"z".to_vec(), Node::Directory);
    let mut prey = Prey::new(ModelSource::new(tree, SESSION, 4));
    let mut everything = Ranges::new();
    everything.insert_range(0..1_000);
    prey.say(Message::RecoveryRequest(RecoveryRequest {
        session: SESSION,
        epoch: 1,
        pages: 3,
        chain: prey.source.chain,
        undecided: WireRanges::default(),
        unwanted: WireRanges::default(),
        units: WireRanges::from(&everything),
        digests,
    }));
    prey
}

fn has_ended(prey: &Prey) -> bool {
    prey.received.iter().any(|message| matches!(message, Message::End { .. }))
}

fn expand_requests(prey: &Prey) -> usize {
    prey.told.iter().filter(|message| matches!(message, Message::ExpandBuckets { .. })).count()
}

/// a receiver that claims what it has not, or not once, or not in order, gets an end; the sender stays as it is.
#[test]
fn claims_of_complete_files_are_checked() {
    for digests in [vec![(1, [0; 32])], vec![(0, [0; 32]), (0, [1; 32])], vec![(u64::MAX, [0; 32])]]
    {
        let prey = claiming(digests.clone());
        assert_eq!(prey.failure(), Some(ErrorKind::Failure), "{digests:?}");
        assert!(prey.received.is_empty());
    }
    type Case = (&'static str, u64, Vec<(u64, [u8; 32])>, bool);
    let cases: [Case; 6] = [
        ("nothing after all", 0, vec![], true),
        ("roots that it cannot know", 0, vec![(0, [9; 32]), (3, [8; 32])], true),
        ("another bucket", 1, vec![(0, [9; 32])], false),
        ("out of order", 0, vec![(3, [9; 32]), (0, [8; 32])], false),
        ("beyond the manifest", 0, vec![(11, [9; 32])], false),
        ("a directory", 0, vec![(10, [9; 32])], false),
    ];
    for (what, bucket, files, is_fine) in cases {
        let mut prey = claiming(vec![(0, [7; 32])]);
        assert_eq!((prey.failure(), expand_requests(&prey)), (None, 1), "{what}");
        assert!(!has_ended(&prey), "{what}: the end may come only after the comparison");
        prey.say(Message::BucketEntries { bucket, files: files.clone() });
        let expected = if is_fine { None } else { Some(ErrorKind::Failure) };
        assert_eq!((prey.failure(), has_ended(&prey)), (expected, is_fine), "{what}");
        prey.say(Message::BucketEntries { bucket, files });
        assert_eq!(prey.failure(), Some(ErrorKind::Failure), "{what}, twice");
        prey.check_received();
    }
    // One that never answers, and completes instead.
    let mut prey = claiming(vec![(0, [7; 32])]);
    prey.say(Message::Complete { outcome: Outcome::default() });
    assert_eq!(prey.failure(), Some(ErrorKind::Failure));
}

/// A receiver that takes no notice of what contradicts it gets no second contradiction and no content.
#[test]
fn a_contradiction_is_said_once_and_sends_nothing_by_itself() {
    let mut prey = claiming(vec![(0, [7; 32])]);
    prey.source.roots.extend((0..10).map(|entry| (entry, [1; 32])));
    let files = (0..10).map(|entry| (entry, [if entry == 5 { 2 } else { 1 }; 32])).collect();
    prey.say(Message::BucketEntries { bucket: 0, files });
    let said: Vec<_> = prey
        .received
        .iter()
        .filter(|message| matches!(message, Message::Contradict { .. }))
        .collect();
    assert_eq!(said, [&Message::Contradict { page: 1, files: vec![(5, [1; 32])] }]);
    assert!(has_ended(&prey));
    assert_eq!((prey.failure(), prey.units), (None, 0));
}

/// A sender may contradict what is complete, of which it was told, before the end, once.
#[test]
fn contradictions_are_checked() {
    let root = *blake3::hash(b"abc").as_bytes();
    let contradict = |page, entry, root| Message::Contradict { page, files: vec![(entry, root)] };
    let cases = [
        ("another page", contradict(1, 0, [9; 32]), false),
        ("another entry", contradict(0, 2, [9; 32]), false),
        ("an entry that is not complete", contradict(0, 1, [9; 32]), false),
        ("the same root", contradict(0, 0, root), false),
        ("other content", contradict(0, 0, [9; 32]), true),
    ];
    for (what, message, is_fine) in cases {
        let mut victim = Victim::wanting(vec![file(b"a", 3), file(b"b", 2 << 20)]);
        victim.say(Victim::pack(0, &[(0, b"abc")]));
        victim.body(b"abc");
        victim.tick();
        assert!(victim.out().join("a").exists(), "{what}");
        victim.say(message.clone());
        assert_eq!(victim.end.is_none(), is_fine, "{what}: {:?}", victim.end);
        victim.say(message);
        assert!(victim.end.is_some(), "{what}, twice");
        assert_eq!(std::fs::read(victim.out().join("a")).unwrap(), b"abc", "{what}");
    }
    let mut victim = Victim::wanting(vec![file(b"a", 3)]);
    victim.say(Message::ExpandBuckets { buckets: vec![0] });
    assert!(victim.end.is_some(), "a bucket that it was not told of");
}

/// A crash between the end of everything and the word that ends the session: what failed is not forgotten, and nothing
/// is sent for it.
#[test]
fn failures_outlive_a_crash_after_the_end() {
    let mut sim = sim(7);
    sim.source.changed.push(b"file-07".to_vec());
    sim.target.foreign.insert(b"file-09".to_vec(), Node::File(b"older".to_vec()));
    sim.connect_after(Duration::from_millis(1));
    while !sim.target.has_ended {
        assert!(sim.step());
    }
    assert_eq!((&sim.sender_end, &sim.receiver_end), (&None, &None));
    sim.crash_receiver();
    sim.units_sent.clear();
    sim.connect_after(Duration::from_millis(1));
    sim.run(10_000);
    assert_eq!(
        (sim.sender_end.clone(), sim.receiver_end.clone()),
        (Some(Ending::Done), Some(Ending::Done))
    );
    for progress in [sim.sender.progress(), sim.receiver.progress()] {
        assert_eq!((progress.outcome.failed, progress.outcome.conflicts), (1, 1));
    }
    assert!(sim.units_sent.is_empty());
}
