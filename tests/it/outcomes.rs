//! What both ends say at the end is true, and the same: over the two machines, with everything that can be in the way.

use crate::support::model_source::{ModelSource, Node, Tree, random_tree};
use crate::support::random::Random;
use crate::support::sim::{Ending, SESSION, Sim};
use rejoin::event::{Event, FileStatus};
use rejoin::transfer::disk::OnConflict;
use rejoin::transfer::message::Message;
use rejoin::transfer::missing::{LeftOut, MissingKind, Outcome};
use rejoin::transfer::receiver::ReceiverConfig;
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
        is_accepted: true,
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
