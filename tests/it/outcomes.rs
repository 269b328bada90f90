//! What both ends say at the end is true, and the same: over the two machines, with everything that can be in the way.

use crate::support::model_source::{ModelSource, Node, Tree, random_tree};
use crate::support::random::Random;
use crate::support::sim::{Ending, SESSION, Sim};
use crate::support::victim::{Victim, file};
use rejoin::event::{Event, FileStatus};
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::disk::OnConflict;
use rejoin::transfer::manifest::{Entry, Totals};
use rejoin::transfer::message::Message;
use rejoin::transfer::missing::{LeftOut, MissingKind, Outcome};
use rejoin::transfer::ranges::Ranges;
use rejoin::transfer::receiver::{Agreement, ReceiverConfig};
use std::collections::BTreeSet;
use std::time::Duration;

/// What the user is told of each entry that is not there.
fn missing(events: &[Event]) -> BTreeSet<String> {
    let is_missing = |status: &FileStatus| {
        !matches!(status, FileStatus::Received | FileStatus::Sent | FileStatus::Unchanged)
    };
    let path = |event: &Event| match event {
        Event::File { path, status, .. } if is_missing(status) => Some(path.path.clone()),
        _ => None,
    };
    events.iter().filter_map(path).collect()
}

fn seeds(usual: u64) -> u64 {
    std::env::var("REJOIN_TEST_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(usual)
}

struct Scene {
    sim: Sim,
    policy: OnConflict,
    /// Another version is there, of the same size or not.
    different: BTreeSet<Vec<u8>>,
    left_out: Vec<LeftOut>,
}

fn scene(seed: u64) -> Scene {
    let mut random = Random::new(seed ^ 0x0c0e);
    let tree = random_tree(&mut random, 40, 1);
    let files: Vec<(Vec<u8>, Vec<u8>)> = tree
        .iter()
        .filter_map(|(path, node)| match node {
            Node::File(content) => Some((path.clone(), content.clone())),
            Node::Directory | Node::Symlink(_) => None,
        })
        .collect();
    let mut source = ModelSource::new(tree, SESSION, 1 + random.below(12) as usize);
    let (mut foreign, mut different) = (Tree::new(), BTreeSet::new());
    for (path, content) in files {
        match random.below(8) {
            // The same, which only content can tell.
            0 => drop(foreign.insert(path, Node::File(content))),
            1 if !content.is_empty() => {
                let mut other = content;
                other[0] ^= 1;
                different.insert(path.clone());
                foreign.insert(path, Node::File(other));
            }
            2 => {
                different.insert(path.clone());
                foreign.insert(path, Node::File([&content[..], b"longer"].concat()));
            }
            3 => source.changed.push(path),
            _ => {}
        }
    }
    let mut left_out = Vec::new();
    for number in 0..random.below(5) {
        let kind = if random.chance(50) { MissingKind::Special } else { MissingKind::Escaping };
        let name = format!("left-out-{number}").into_bytes();
        left_out.push(LeftOut { parent: None, name, kind, reason: "it cannot be sent".into() });
    }
    source.left_out.clone_from(&left_out);
    let policy = match random.below(3) {
        0 => OnConflict::Fail,
        1 => OnConflict::Skip,
        _ => OnConflict::Overwrite,
    };
    let config = ReceiverConfig {
        on_conflict: Some(policy),
        accepted: Some(Agreement::EVERYTHING),
        by_content: random.chance(30),
        bytes_max: u64::MAX,
        files_max: u64::MAX,
    };
    let mut sim = Sim::new(seed, source, config);
    sim.target.foreign = foreign;
    Scene { sim, policy, different, left_out }
}

impl Scene {
    /// The outcome by the definition of each of its figures, from the two trees.
    fn expected(&self) -> (Outcome, BTreeSet<String>) {
        let mut outcome = Outcome::default();
        let mut missing = BTreeSet::new();
        for (path, node) in &self.sim.source.tree {
            let bytes = match node {
                Node::Directory => continue,
                Node::File(content) => content.len() as u64,
                Node::Symlink(_) => 0,
            };
            let is_changed = self.sim.source.changed.contains(path);
            let is_different = self.different.contains(path);
            let count = match self.policy {
                OnConflict::Skip if is_different => &mut outcome.skipped,
                OnConflict::Fail if is_different => &mut outcome.conflicts,
                _ if is_changed => &mut outcome.failed,
                _ => {
                    outcome.bytes += bytes;
                    outcome.files += 1;
                    continue;
                }
            };
            *count += 1;
            missing.insert(String::from_utf8_lossy(path).into_owned());
        }
        for left_out in &self.left_out {
            let count = match left_out.kind {
                MissingKind::Special => &mut outcome.skipped,
                _ => &mut outcome.failed,
            };
            *count += 1;
            missing.insert(String::from_utf8_lossy(&left_out.name).into_owned());
        }
        (outcome, missing)
    }

    #[track_caller]
    fn check(&self, seed: u64) {
        let Self { sim, .. } = self;
        assert_eq!(
            (&sim.sender_end, &sim.receiver_end),
            (&Some(Ending::Done), &Some(Ending::Done)),
            "seed {seed}"
        );
        let (sent, received) = (sim.sender.progress(), sim.receiver.progress());
        assert_eq!(sent.outcome, received.outcome, "seed {seed}");
        let (expected, missing_paths) = self.expected();
        let Outcome { unchanged, unread, .. } = received.outcome;
        assert_eq!(received.outcome, Outcome { unchanged, unread, ..expected }, "seed {seed}");
        // They add up to what was promised.
        let left_out = self.left_out.len() as u64;
        let Outcome { files, skipped, failed, conflicts, corrupt, .. } = received.outcome;
        let all = files + skipped + failed + conflicts + corrupt - left_out;
        assert_eq!(all, received.totals.files, "seed {seed}");
        for progress in [sent, received] {
            assert_eq!(progress.files, progress.totals.files, "seed {seed}: {progress:?}");
            assert_eq!(progress.bytes, progress.totals.bytes, "seed {seed}: {progress:?}");
        }
        assert_eq!(missing(&sim.sender_events), missing_paths, "seed {seed}: sender");
        assert_eq!(missing(&sim.receiver_events), missing_paths, "seed {seed}: receiver");
        // The target holds the manifest, less what is named: exit 0 says nothing else.
        for (path, node) in &sim.source.tree {
            let shown = String::from_utf8_lossy(path);
            let there = sim.target.tree.get(path);
            if missing_paths.contains(&*shown) {
                assert_ne!(there, Some(node), "seed {seed}: {shown} is said to be missing");
            } else {
                assert_eq!(there, Some(node), "seed {seed}: {shown}");
            }
        }
    }
}

/// B-A, B-T: without a fault.
#[test]
fn both_ends_know_the_same_and_it_is_true() {
    for seed in 0..80 {
        let mut scene = scene(seed);
        scene.sim.connect_after(Duration::from_millis(1));
        scene.sim.run(200_000);
        scene.check(seed);
    }
}

/// B-A, B-T, P-01, P-02: cut and crashed at random moments, both ends still know the same.
#[test]
fn cuts_and_crashes_change_nothing_of_what_both_know() {
    for seed in 0..seeds(120) {
        let mut random = Random::new(seed ^ 0xc0de);
        let mut scene = scene(seed);
        let sim = &mut scene.sim;
        sim.connect_after(Duration::from_millis(1));
        for _ in 0..1 + random.below(5) {
            for _ in 0..random.below(500) {
                if sim.is_over() || !sim.step() {
                    break;
                }
            }
            // A sender that is done has heard everything, and its session is over.
            if sim.sender_end.is_some() {
                break;
            }
            // Whoever starts again tells its user everything again.
            match random.below(4) {
                0 | 1 => {
                    sim.crash_receiver();
                    sim.receiver_events.clear();
                }
                2 => {
                    sim.crash_sender(random.chance(50));
                    sim.sender_events.clear();
                }
                _ => sim.cut(),
            }
            sim.connect_after(Duration::from_millis(1 + random.below(20)));
        }
        sim.run(300_000);
        scene.check(seed);
    }
}

/// The sender's success is the receiver's last word: while that is lost, the sender goes on, and the next link ends it.
#[test]
fn a_sender_is_not_done_before_the_receiver_says_so() {
    for seed in 0..20 {
        let mut scene = scene(seed);
        let sim = &mut scene.sim;
        sim.connect_after(Duration::from_millis(1));
        while !sim.target.has_ended {
            assert!(sim.step(), "seed {seed}");
        }
        assert!(sim.sender_end.is_none(), "seed {seed}");
        assert!(
            !sim.heard_by_sender.iter().any(|message| matches!(message, Message::Complete { .. }))
        );
        sim.cut();
        for _ in 0..50 {
            sim.step();
        }
        assert!(sim.sender_end.is_none(), "seed {seed}");
        sim.connect_after(Duration::from_millis(1));
        sim.run(200_000);
        scene.check(seed);
    }
}

/// Only the sender knows whether a large file stood still while it was read: one that is whole and has no root yet waits
/// for it, over links and restarts, and its last unit is asked for again so that the sender says it (B-Q, H).
#[test]
fn a_whole_file_without_its_root_is_not_published() {
    let content = Random::new(5).bytes(UNIT_BYTES as usize + 9);
    let mut victim = Victim::wanting(vec![file(b"large", content.len() as u64)]);
    victim.part(0, 0, 0, &content);
    victim.part(0, 1, 1, &content);
    victim.tick();
    for step in ["at first", "on another link", "in another process"] {
        assert!(!victim.out().join("large").exists(), "published without a root {step}");
        match step {
            "at first" => victim.reconnect(),
            _ => victim = victim.restart(),
        }
        victim.say(Message::RecoveryAnswer { pages: 1 });
        victim.tick();
        assert_eq!(victim.units_there(), Ranges::from_iter([0]), "{step}");
    }
    assert!(!victim.out().join("large").exists());
    victim.part(0, 1, 1, &content);
    victim.say(Message::FileRoot { entry: 0, root: *blake3::hash(&content).as_bytes() });
    victim.tick();
    assert_eq!(std::fs::read(victim.out().join("large")).unwrap(), content);
}

/// B-T: a complete file that a later version replaces counts once, whatever restarts and in whatever order it is seen.
#[test]
fn a_replaced_file_counts_once_after_every_restart() {
    let mut victim = Victim::wanting(vec![file(b"a", 3), file(b"b", 2 << 20)]);
    victim.say(Victim::pack(0, &[(0, b"abc")]));
    victim.body(b"abc");
    victim.tick();
    assert_eq!(std::fs::read(victim.out().join("a")).unwrap(), b"abc");
    victim.page(1, 2, vec![Entry { supersedes: Some(0), ..file(b"a", 4) }]);
    for _ in 0..3 {
        let progress = victim.receiver.progress();
        assert_eq!((progress.outcome.files, progress.files), (0, 0), "{progress:?}");
        victim = victim.restart();
        victim.say(Message::RecoveryAnswer { pages: 2 });
        victim.tick();
        assert!(victim.end.is_none(), "{:?}", victim.end);
    }
    victim.say(Victim::pack(3, &[(2, b"abcd")]));
    victim.body(b"abcd");
    victim.tick();
    let progress = victim.receiver.progress();
    assert_eq!((progress.outcome.files, progress.outcome.bytes), (1, 4), "{progress:?}");
    assert_eq!(std::fs::read(victim.out().join("a")).unwrap(), b"abcd");
}

/// figures that no tree has are refused where they are read, and sizes that no file has are of no file.
#[test]
fn absurd_figures_do_no_harm() {
    let mut victim = Victim::accepting();
    victim.recover();
    victim.page(0, 0, vec![file(b"a", u64::MAX), file(b"b", u64::MAX)]);
    assert_eq!(victim.receiver.progress().outcome.failed, 2);
    let absurd = Outcome { failed: u64::MAX, ..Outcome::default() };
    assert!(Message::Complete { outcome: absurd }.encode().is_err());
    let (totals, chain) = (Totals::default(), victim.chain);
    let end = Message::End { pages: 1, totals, chain, failed: u64::MAX, skipped: 0 };
    assert!(end.encode().is_err());
}
