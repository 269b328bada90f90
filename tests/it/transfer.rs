//! The sender's and the receiver's machines against each other: every schedule ends with the right tree.

use crate::support::model_source::{ModelSource, Node, Tree, random_tree};
use crate::support::random::Random;
use crate::support::sim::{Ending, SESSION, Sim};
use rejoin::event::{Event, FileStatus};
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::disk::OnConflict;
use rejoin::transfer::manifest::Totals;
use rejoin::transfer::message::Message;
use rejoin::transfer::receiver::{Agreement, Answer, ReceiverConfig};
use std::time::Duration;

fn accept_all() -> ReceiverConfig {
    ReceiverConfig {
        on_conflict: Some(OnConflict::Fail),
        accepted: Some(Agreement::EVERYTHING),
        by_content: false,
        bytes_max: u64::MAX,
        files_max: u64::MAX,
    }
}

fn check_done(sim: &Sim, seed: u64) {
    assert_eq!(sim.sender_end, Some(Ending::Done), "seed {seed}");
    assert_eq!(sim.receiver_end, Some(Ending::Done), "seed {seed}");
    assert!(sim.target.tree == sim.source.tree, "seed {seed}: trees differ");
}

#[test]
fn a_tree_arrives_whole() {
    for seed in 0..40 {
        let tree = random_tree(&mut Random::new(seed), 60, 2);
        let source = ModelSource::new(tree, SESSION, 1 + seed as usize);
        let mut sim = Sim::new(seed, source, accept_all());
        sim.connect_after(Duration::from_millis(1));
        sim.run(200_000);
        check_done(&sim, seed);
        assert_eq!(sim.receiver.progress().bytes, sim.source.totals.bytes, "seed {seed}");
        assert_eq!(sim.sender.progress().bytes, sim.source.totals.bytes, "seed {seed}");
        assert_eq!(sim.sender.progress().files, sim.source.totals.files, "seed {seed}");
        assert_eq!(sim.receiver.progress().files, sim.source.totals.files, "seed {seed}");
    }
}

/// What is shown of the way (F-43): content counts as soon as it is there, long before it is settled, and never twice.
#[test]
fn what_is_on_its_way_is_told() {
    for seed in 0..20 {
        let tree =
            Tree::from([(b"large".to_vec(), Node::File(vec![7; 3 * UNIT_BYTES as usize + 5]))]);
        let source = ModelSource::new(tree, SESSION, 1);
        let mut sim = Sim::new(seed, source, accept_all());
        sim.connect_after(Duration::from_millis(1));
        let total = sim.source.totals.bytes;
        let mut was_within_a_unit = false;
        let mut cuts = 2;
        while !sim.is_over() {
            assert!(sim.step(), "seed {seed}");
            for progress in [sim.receiver.progress(), sim.sender.progress()] {
                let shown = progress.bytes + progress.moving_bytes;
                assert!(shown <= total, "seed {seed}: {shown} of {total}");
                // Until something is lost it is what went over the wire; heads of frames wait, too.
                let is_whole = shown.abs_diff(progress.wire_bytes) < 4_096;
                assert!(cuts < 2 || is_whole, "seed {seed}: {progress:?}");
            }
            let moving_bytes = sim.receiver.progress().moving_bytes;
            was_within_a_unit |=
                !moving_bytes.is_multiple_of(UNIT_BYTES) && moving_bytes < UNIT_BYTES;
            if cuts > 0 && moving_bytes > UNIT_BYTES * (3 - cuts) {
                cuts -= 1;
                sim.cut();
                sim.connect_after(Duration::from_millis(1));
            }
        }
        check_done(&sim, seed);
        assert!(was_within_a_unit, "seed {seed}");
        assert_eq!(sim.receiver.progress().moving_bytes, 0, "seed {seed}");
    }
}

/// B-J: whoever sends nothing is told so; it is no success.
#[test]
fn nothing_is_nothing_to_send() {
    let source = ModelSource::new(Tree::new(), SESSION, 10);
    let mut sim = Sim::new(1, source, accept_all());
    while sim.sender_end.is_none() {
        assert!(sim.step());
    }
    assert!(matches!(sim.sender_end, Some(Ending::Failed(_))), "{:?}", sim.sender_end);
}

/// Cuts, crashes of either side, lost caches, at random moments (N-02, P-01, P-02, F-45).
#[test]
fn cuts_and_crashes_end_with_the_right_tree() {
    for seed in 0..seeds(150) {
        let mut random = Random::new(seed ^ 0xdead);
        let tree = random_tree(&mut random, 50, 2);
        let source = ModelSource::new(tree, SESSION, 1 + random.below(30) as usize);
        let mut sim = Sim::new(seed, source, accept_all());
        sim.connect_after(Duration::from_millis(1));
        for _ in 0..1 + random.below(6) {
            for _ in 0..random.below(400) {
                if sim.is_over() || !sim.step() {
                    break;
                }
            }
            if sim.is_over() {
                break;
            }
            match random.below(4) {
                0 => sim.cut(),
                1 => sim.crash_receiver(),
                2 => sim.crash_sender(random.chance(50)),
                _ => {
                    sim.crash_sender(random.chance(50));
                    sim.crash_receiver();
                }
            }
            sim.connect_after(Duration::from_millis(1 + random.below(50)));
        }
        // One side may know that it is done while the other does not: it is told again.
        if !sim.is_over() && (sim.sender_end.is_some() || sim.receiver_end.is_some()) {
            if sim.sender_end.is_some() {
                assert!(
                    sim.target.is_finished(),
                    "seed {seed}: the sender believes what is not so"
                );
            }
            continue;
        }
        sim.run(400_000);
        check_done(&sim, seed);
    }
}

/// The first link of a session: the answer does not wait for the request, and nothing is said twice.
#[test]
fn a_receiver_that_begins_is_answered_before_it_asks() {
    for seed in 0..seeds(40) {
        let tree = random_tree(&mut Random::new(seed), 60, 2);
        let source = ModelSource::new(tree, SESSION, 1 + seed as usize);
        let mut sim = Sim::new(seed, source, accept_all());
        sim.takes_early = Some(true);
        sim.connect_after(Duration::from_millis(1));
        sim.run(200_000);
        check_done(&sim, seed);
        let heard = |of: fn(&Message) -> bool| {
            sim.heard_by_receiver.iter().filter(|message| of(message)).count()
        };
        assert_eq!(heard(|message| *message == Message::EarlyAnswer), 1, "seed {seed}");
        assert_eq!(heard(|message| matches!(message, Message::RecoveryAnswer { .. })), 0);
        let pages = heard(|message| matches!(message, Message::Page { .. }));
        assert_eq!(pages, sim.source.pages.len(), "seed {seed}");
        assert_eq!(sim.sender.progress().resent_bytes, 0, "seed {seed}");
    }
}

/// A link that dies around the early answer, at every moment; the next one is answered early again, or not.
#[test]
fn an_early_answer_may_be_cut_off_anywhere() {
    for step in 0..120 {
        for again in [true, false] {
            let tree = random_tree(&mut Random::new(step), 30, 1);
            let source = ModelSource::new(tree, SESSION, 3);
            let mut sim = Sim::new(step, source, accept_all());
            sim.takes_early = Some(true);
            sim.connect_after(Duration::from_millis(1));
            for _ in 0..step {
                sim.step();
            }
            sim.takes_early = Some(again);
            match step % 3 {
                0 => sim.cut(),
                1 => sim.crash_receiver(),
                _ => sim.crash_sender(true),
            }
            sim.connect_after(Duration::from_millis(1));
            if sim.sender_end.is_none() && sim.receiver_end.is_none() {
                sim.run(200_000);
                check_done(&sim, step);
            }
        }
    }
}

/// A receiver that has something is not misled by a sender that believes it has nothing.
#[test]
fn an_early_answer_to_a_receiver_with_partials_is_forgotten() {
    let mut forgotten = 0;
    for seed in 0..seeds(60) {
        let tree = random_tree(&mut Random::new(seed), 40, 2);
        let source = ModelSource::new(tree, SESSION, 1 + seed as usize % 7);
        let mut sim = Sim::new(seed, source, accept_all());
        sim.takes_early = Some(seed % 2 == 0);
        sim.connect_after(Duration::from_millis(1));
        while sim.target.writes < 2 && sim.receiver_end.is_none() {
            assert!(sim.step());
        }
        if seed % 3 == 0 {
            sim.crash_receiver();
        }
        sim.crash_sender(seed % 5 == 0);
        (sim.heard_by_receiver, sim.units_sent) = (Vec::new(), Vec::new());
        sim.takes_early = Some(true);
        sim.connect_after(Duration::from_millis(1));
        if sim.receiver_end.is_some() {
            continue;
        }
        sim.run(200_000);
        check_done(&sim, seed);
        let early = sim.heard_by_receiver.iter().position(|said| *said == Message::EarlyAnswer);
        let is_answer = |said: &Message| matches!(said, Message::RecoveryAnswer { .. });
        let answer = sim.heard_by_receiver.iter().position(is_answer);
        assert!(early.is_some() && early < answer, "seed {seed}: {early:?} {answer:?}");
        let mut units = sim.units_sent.clone();
        units.sort_unstable();
        units.dedup();
        assert_eq!(units.len(), sim.units_sent.len(), "seed {seed}: a unit came twice");
        forgotten += 1;
    }
    assert!(forgotten > 20, "{forgotten}");
}

/// Ten files, six complete, drop: exactly four are sent (F-49).
#[test]
fn six_of_ten_complete_leaves_four() {
    let mut tree = Tree::new();
    let mut random = Random::new(10);
    for index in 0..10 {
        tree.insert(
            format!("file-{index}").into_bytes(),
            Node::File(random.bytes(UNIT_BYTES as usize)),
        );
    }
    let source = ModelSource::new(tree, SESSION, 100);
    let mut sim = Sim::new(3, source, accept_all());
    sim.connect_after(Duration::from_millis(1));
    let received = |sim: &Sim| {
        let is_received =
            |event: &&Event| matches!(event, Event::File { status: FileStatus::Received, .. });
        sim.receiver_events.iter().filter(is_received).count()
    };
    sim.target.writes = 0;
    while sim.target.writes < 6 {
        assert!(sim.step());
    }
    sim.cut();
    // What was written becomes durable without a link.
    while received(&sim) < 6 {
        assert!(sim.step());
    }
    assert_eq!(received(&sim), 6);
    sim.units_sent.clear();
    sim.connect_after(Duration::from_millis(5));
    sim.run(100_000);
    check_done(&sim, 3);
    assert_eq!(sim.units_sent, [6, 7, 8, 9]);
    assert_eq!(sim.requests.len(), 2);
}

/// A unit that does not verify is fetched again; one that never does ends the session with nothing published.
#[test]
fn corrupt_units_are_fetched_again_three_times() {
    for (times, is_fatal) in [(1, false), (3, false), (4, true)] {
        let tree = random_tree(&mut Random::new(5), 20, 1);
        let source = ModelSource::new(tree, SESSION, 100);
        let mut sim = Sim::new(5, source, accept_all());
        sim.target.corrupt.insert(1, times);
        sim.connect_after(Duration::from_millis(1));
        if is_fatal {
            while sim.receiver_end.is_none() {
                assert!(sim.step());
            }
            let Some(Ending::Failed(error)) = &sim.receiver_end else {
                panic!("{:?}", sim.receiver_end)
            };
            assert_eq!(error.kind.exit_code(), 9);
        } else {
            sim.run(100_000);
            check_done(&sim, 5);
        }
    }
}

/// A source file that changed arrives in no version, the rest does (D-11).
#[test]
fn a_changed_file_fails_alone() {
    for seed in 0..20 {
        let tree = random_tree(&mut Random::new(seed), 40, 2);
        let files: Vec<_> = tree
            .iter()
            .filter(|(_, node)| matches!(node, Node::File(_)))
            .map(|(path, _)| path.clone())
            .collect();
        let changed = files[Random::new(seed).below(files.len() as u64) as usize].clone();
        let mut source = ModelSource::new(tree, SESSION, 7);
        source.changed.push(changed.clone());
        let mut sim = Sim::new(seed, source, accept_all());
        sim.connect_after(Duration::from_millis(1));
        for _ in 0..seed * 20 {
            sim.step();
        }
        sim.cut();
        sim.connect_after(Duration::from_millis(1));
        if !sim.is_over() && sim.receiver_end.is_none() && sim.sender_end.is_none() {
            sim.run(200_000);
        }
        let mut expected = sim.source.tree.clone();
        expected.remove(&changed);
        assert!(sim.target.tree == expected, "seed {seed}");
        assert_eq!(sim.receiver.progress().outcome.failed, 1, "seed {seed}");
        assert_eq!(sim.sender.progress().outcome.failed, 1, "seed {seed}");
    }
}

/// A pack that came without some of its files is fetched again by a later run that wants them: what kept them away (a
/// conflict, a source that could not be read) may be over.
#[test]
fn what_an_earlier_run_left_out_of_a_pack_is_fetched_by_a_later_one() {
    for is_conflict in [true, false] {
        let mut tree = Tree::new();
        for index in 0..4 {
            tree.insert(format!("file-{index}").into_bytes(), Node::File(vec![index; 100]));
        }
        let large = Random::new(1).bytes(3 * UNIT_BYTES as usize);
        tree.insert(b"large".to_vec(), Node::File(large));
        let mut source = ModelSource::new(tree, SESSION, 100);
        if !is_conflict {
            source.changed.push(b"file-2".to_vec());
        }
        let mut sim = Sim::new(1, source, accept_all());
        if is_conflict {
            sim.target.foreign.insert(b"file-2".to_vec(), Node::File(b"older".to_vec()));
        }
        sim.connect_after(Duration::from_millis(1));
        while sim.target.tree.len() < 3 {
            assert!(sim.step());
        }
        assert!(!sim.is_over());
        sim.target.foreign.clear();
        sim.source.changed.clear();
        sim.crash_sender(false);
        sim.crash_receiver();
        sim.connect_after(Duration::from_millis(1));
        sim.run(100_000);
        check_done(&sim, 1);
    }
}

/// A deadline that has passed asks for something, or is no deadline: else the loop around it never sleeps again.
#[test]
fn no_deadline_outlives_its_reason() {
    let mut tree = Tree::new();
    tree.insert(b"large".to_vec(), Node::File(Random::new(1).bytes(2 * UNIT_BYTES as usize)));
    let source = ModelSource::new(tree, SESSION, 100);
    let mut sim = Sim::new(1, source, accept_all());
    sim.target.corrupt.insert(0, 1);
    sim.connect_after(Duration::from_millis(1));
    while sim.target.writes == 0 {
        assert!(sim.step());
    }
    sim.cut();
    // Nobody comes back: all that is left is what the disk does, and a barrier or two.
    let steps = (0..1_000).take_while(|_| sim.step()).count();
    assert!(steps < 100, "{steps} steps without anything to do");
}

/// Limits hold against what is sent, whatever its sender claims.
#[test]
fn limits_do_not_believe_estimates() {
    for accepted in [Some(Agreement::EVERYTHING), None] {
        let mut tree = Tree::new();
        for index in 0..40 {
            tree.insert(format!("file-{index:02}").into_bytes(), Node::File(vec![index; 1_000]));
        }
        let source = ModelSource::new(tree, SESSION, 4);
        let config =
            ReceiverConfig { accepted, by_content: false, bytes_max: 10_000, ..accept_all() };
        let mut sim = Sim::new(1, source, config);
        let mut asked = 0;
        sim.answer = Box::new(move |_| {
            asked += 1;
            assert!(asked < 20, "asked for ever");
            Some(Answer::Accept(rejoin::transfer::receiver::Accepted::This))
        });
        sim.tamper = Box::new(|message| match message {
            Message::Estimate { .. } => {
                Message::Estimate { totals: Totals::default(), is_complete: false }
            }
            other => other,
        });
        sim.connect_after(Duration::from_millis(1));
        while sim.receiver_end.is_none() {
            assert!(sim.step());
        }
        let Some(Ending::Failed(error)) = &sim.receiver_end else {
            panic!("{:?}", sim.receiver_end)
        };
        assert_eq!(error.kind.exit_code(), 7);
        assert!(sim.target.bytes_written <= 10_000);
    }
}

/// What rotted between two runs is fetched again, in whatever phase of the link that is found, and however far the
/// sender has come: several files of one pack too.
#[test]
fn what_rotted_is_fetched_again_in_any_phase_of_a_link() {
    for step in 0..200 {
        let mut tree = Tree::new();
        for index in 0..80 {
            tree.insert(format!("file-{index:02}").into_bytes(), Node::File(vec![index; 20_000]));
        }
        let source = ModelSource::new(tree, SESSION, 4);
        let mut sim = Sim::new(step, source, accept_all());
        sim.takes_early = Some(false);
        sim.connect_after(Duration::from_millis(1));
        while sim.target.writes < 20 {
            assert!(sim.step());
        }
        sim.takes_early = None;
        assert!(sim.target.tree.is_empty(), "nothing is published yet");
        (0..12).for_each(|unit| sim.target.lose(unit));
        for name in [&b"file-53"[..], b"file-76", b"file-77", b"file-79"] {
            sim.target.rotten.insert(name.to_vec());
        }
        sim.crash_sender(false);
        sim.crash_receiver();
        // The barrier that finds them comes after a second.
        sim.connect_after(Duration::from_micros(960_000 + step * 500));
        sim.run(400_000);
        check_done(&sim, step);
        assert!(sim.target.rotten.is_empty(), "step {step}");
    }
}

/// How many seeds a random test takes: more where `REJOIN_TEST_SEEDS` says so.
fn seeds(usual: u64) -> u64 {
    std::env::var("REJOIN_TEST_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(usual)
}

/// Questions come one at a time, and a conflict only after the transfer was accepted.
#[test]
fn consent_comes_before_conflicts() {
    use rejoin::transfer::receiver::{Answer, Ask};
    let tree = random_tree(&mut Random::new(8), 30, 0);
    let (path, _) = tree.iter().find(|(_, node)| matches!(node, Node::File(_))).expect("a file");
    let path = path.clone();
    let source = ModelSource::new(tree, SESSION, 7);
    let config = ReceiverConfig { on_conflict: None, accepted: None, ..accept_all() };
    let mut sim = Sim::new(8, source, config);
    sim.target.foreign.insert(path.clone(), Node::File(b"mine".to_vec()));
    let asked = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let heard = asked.clone();
    sim.answer = Box::new(move |ask| {
        heard.borrow_mut().push(ask.clone());
        Some(match ask {
            Ask::Accept { .. } => Answer::Accept(rejoin::transfer::receiver::Accepted::This),
            Ask::Conflict { .. } => {
                Answer::Conflict { policy: OnConflict::Overwrite, for_all: false }
            }
        })
    });
    sim.connect_after(Duration::from_millis(1));
    sim.run(100_000);
    check_done(&sim, 8);
    // A scan that was still going on when it was asked is asked about again where more of it is seen.
    let asked = asked.borrow();
    let [Ask::Accept { names, is_again: false, .. }, Ask::Conflict { path: of, .. }, rest @ ..] =
        &asked[..]
    else {
        panic!("{asked:?}");
    };
    assert!(!names.is_empty() && of.as_bytes() == path);
    let mut most = 0;
    for ask in rest {
        let Ask::Accept { totals, is_again: true, .. } = ask else { panic!("{rest:?}") };
        assert!(totals.bytes > most, "asked twice for the same: {rest:?}");
        most = totals.bytes;
    }
}

/// A declined transfer writes nothing (exit 7).
#[test]
fn a_declined_transfer_leaves_nothing() {
    use rejoin::transfer::receiver::Answer;
    let source = ModelSource::new(random_tree(&mut Random::new(9), 30, 1), SESSION, 7);
    let config = ReceiverConfig { accepted: None, ..accept_all() };
    let mut sim = Sim::new(9, source, config);
    sim.answer = Box::new(|_| Some(Answer::Accept(rejoin::transfer::receiver::Accepted::No)));
    sim.connect_after(Duration::from_millis(1));
    while sim.receiver_end.is_none() {
        assert!(sim.step());
    }
    let Some(Ending::Failed(error)) = &sim.receiver_end else { panic!("{:?}", sim.receiver_end) };
    assert_eq!(error.kind.exit_code(), 7);
    assert_eq!(sim.target.writes, 0);
    assert!(sim.units_sent.is_empty());
}

/// Many pages of an earlier run that are all undecided: one answer for all of them wants them at once.
#[test]
fn one_answer_decides_more_pages_than_may_be_open() {
    let mut tree = Tree::new();
    for index in 0..150 {
        tree.insert(format!("file-{index:03}").into_bytes(), Node::File(vec![index; 100]));
    }
    let large = Random::new(1).bytes(9 * UNIT_BYTES as usize);
    tree.insert(b"large".to_vec(), Node::File(large));
    let source = ModelSource::new(tree, SESSION, 1);
    let config = ReceiverConfig { on_conflict: None, ..accept_all() };
    let mut sim = Sim::new(1, source, config);
    for index in 0..150 {
        sim.target
            .foreign
            .insert(format!("file-{index:03}").into_bytes(), Node::File(b"older".to_vec()));
    }
    let answer = |policy| {
        move |_| Some(rejoin::transfer::receiver::Answer::Conflict { policy, for_all: true })
    };
    sim.answer = Box::new(answer(OnConflict::Fail));
    sim.connect_after(Duration::from_millis(1));
    while sim.target.writes < 3 {
        assert!(sim.step());
    }
    assert_eq!(sim.receiver.progress().outcome.conflicts, 150);
    sim.answer = Box::new(answer(OnConflict::Overwrite));
    sim.crash_receiver();
    sim.connect_after(Duration::from_millis(1));
    sim.run(400_000);
    check_done(&sim, 1);
}
