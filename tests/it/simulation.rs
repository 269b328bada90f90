//! Two whole sessions over real rooms and simulated links: whatever breaks, the tree arrives once the faults stop.

use crate::support::model_source::{ModelSource, Node, Tree, random_tree};
use crate::support::random::Random;
use crate::support::sim::{Ending, SESSION};
use crate::support::two_sessions::{Cut, Pair, RECEIVER, SENDER};
use rejoin::error::{Error, ErrorKind};
use rejoin::event::Event;
use rejoin::session::machine::{Session, SessionOutput};
use rejoin::signal::Seed;
use rejoin::signal::code::Code;
use rejoin::signal::protocol::HostMessage;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// What a transfer without faults takes at most.
const PLAIN: Duration = Duration::from_secs(60);

/// Virtual time in which a transfer must be done once faults stop: the slow pace of tries, twice, and the transfer.
const BUDGET: Duration = Duration::from_secs(300);

fn small(seed: u64) -> Pair {
    let tree = random_tree(&mut Random::new(seed), 12, 0);
    Pair::new(seed, ModelSource::new(tree, SESSION, 4))
}

/// A transfer that takes a while: some units, many frames.
fn long(seed: u64) -> Pair {
    let tree = random_tree(&mut Random::new(seed), 10, 2);
    Pair::new(seed, ModelSource::new(tree, SESSION, 4))
}

fn is_both_up(pair: &Pair) -> bool {
    pair.is_up(SENDER) && pair.is_up(RECEIVER)
}

fn is_over(pair: &Pair) -> bool {
    pair.sides.iter().all(|side| side.end.is_some()) || pair.is_done()
}

#[track_caller]
pub(crate) fn finish(pair: &mut Pair, budget: Duration) {
    pair.run_until(budget, is_over);
    pair.check_done();
    check_epochs(pair);
}

/// Epochs only grow, over all processes of a side (F-01).
#[track_caller]
fn check_epochs(pair: &Pair) {
    for side in &pair.sides {
        if !side.epochs.is_sorted_by(|one, other| one < other) {
            pair.fail(&format!("epochs {:?}", side.epochs));
        }
    }
}

fn seeds(usual: u64) -> u64 {
    std::env::var("REJOIN_TEST_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(usual)
}

#[test]
fn two_sessions_meet_by_a_code_and_the_tree_arrives() {
    for seed in 0..seeds(20) {
        let mut pair = small(seed);
        finish(&mut pair, PLAIN);
        assert!(pair.sides[SENDER].is_code_ready, "seed {seed}");
        assert!(pair.sides[SENDER].is_code_spent, "seed {seed}");
        assert_eq!(pair.reconnections(RECEIVER), 0, "seed {seed}");
    }
}

/// S-11: a host that is attacked lets the honest in who work for it, over lost sockets, too.
#[test]
fn two_sessions_meet_at_a_host_that_asks_for_work() {
    for seed in 0..seeds(10) {
        let mut pair = small(seed);
        pair.attack_host();
        if seed % 2 == 0 {
            pair.run_for(SECOND / 10);
            pair.lose_host(seed as usize / 2 % 2, SECOND);
        }
        finish(&mut pair, PLAIN);
        assert!(pair.works_asked() >= 2, "seed {seed}: {}", pair.works_asked());
    }
}

/// A wrong guess burns the room and ends both with exit code 3 (A-22, H-02).
#[test]
fn a_wrong_code_ends_both() {
    for seed in 0..seeds(10) {
        let mut pair = small(seed);
        let wrong = Code::generate(7, 3, &Seed::new([9; 32]));
        pair.sides[RECEIVER].code = wrong;
        pair.crash(RECEIVER, false, SECOND);
        pair.run_until(PLAIN, is_over);
        for side in [SENDER, RECEIVER] {
            let Some(Ending::Failed(error)) = &pair.sides[side].end else {
                pair.fail("a wrong code went through")
            };
            assert_eq!(error.kind, ErrorKind::Authentication, "seed {seed} side {side}");
        }
        assert!(pair.sides[RECEIVER].target.tree.is_empty());
    }
}

/// A code is good for one receiver: whoever comes later with it, or with a guess, disturbs nothing.
#[test]
fn a_stranger_with_an_old_code_disturbs_nothing() {
    for seed in 0..seeds(20) {
        let mut pair = long(seed);
        pair.run_until(PLAIN, is_both_up);
        let code = pair.sides[SENDER].code.clone();
        let wrong = Code::generate(code.room(), 3, &Seed::new([9; 32]));
        let stranger = pair.add(if seed % 2 == 0 { code } else { wrong }, SECOND / 4);
        pair.run_until(PLAIN, Pair::is_done);
        pair.check_done();
        assert_eq!(pair.reconnections(RECEIVER), 0, "seed {seed}");
        pair.run_for(SECOND * 60);
        assert!(pair.sides[stranger].stored.is_none(), "seed {seed}");
        assert!(pair.sides[stranger].target.tree.is_empty(), "seed {seed}");
    }
}

/// Links cut at random, told to both, one or neither: it reconnects by itself (F-05, N-02, N-03).
#[test]
fn cut_links_are_replaced_by_themselves() {
    for seed in 0..seeds(60) {
        let mut pair = long(seed);
        let mut cuts = 0;
        for _ in 0..3 {
            pair.run_until(BUDGET, |pair| is_both_up(pair) || is_over(pair));
            for _ in 0..pair.random.below(60) {
                pair.step();
            }
            if is_over(&pair) {
                break;
            }
            let cut = match pair.random.below(4) {
                0 => Cut::Both,
                1 => Cut::Silent,
                2 => Cut::Side(SENDER),
                _ => Cut::Side(RECEIVER),
            };
            pair.cut(cut);
            cuts += 1;
        }
        finish(&mut pair, BUDGET);
        assert!(pair.reconnections(RECEIVER) <= cuts, "seed {seed}");
    }
}

/// A peer that falls silent is known to be dead within 20 s (N-03), and the link is back soon after.
#[test]
fn a_black_hole_is_noticed_within_20_s() {
    for seed in 0..seeds(20) {
        let mut pair = long(seed);
        pair.run_until(PLAIN, is_both_up);
        pair.cut(Cut::Silent);
        let cut_at = pair.now;
        pair.run_until(SECOND * 40, |pair| pair.reconnections(RECEIVER) == 1);
        for side in [SENDER, RECEIVER] {
            let down = pair.sides[side].downs[0] - cut_at;
            assert!(down <= SECOND * 20, "seed {seed} side {side}: {down:?}");
        }
        finish(&mut pair, BUDGET);
    }
}

/// The link dies, or a process does, just when the channels open: what came of an early answer is no matter.
#[test]
fn what_breaks_around_the_first_words_is_mended() {
    for seed in 0..seeds(64) {
        let mut pair = small(seed);
        let is_one_up = |pair: &Pair| pair.is_up(SENDER) || pair.is_up(RECEIVER);
        pair.run_until(PLAIN, is_one_up);
        for _ in 0..seed {
            if is_over(&pair) {
                break;
            }
            pair.step();
        }
        if !is_over(&pair) && pair.sides.iter().all(|side| side.end.is_none()) {
            match pair.random.below(5) {
                0 => pair.cut(Cut::Both),
                1 => pair.cut(Cut::Side(SENDER)),
                2 => pair.cut(Cut::Side(RECEIVER)),
                3 => pair.crash(SENDER, true, SECOND),
                _ => pair.crash(RECEIVER, true, SECOND),
            }
        }
        finish(&mut pair, BUDGET);
    }
}

/// A stack that notices at once lets the link be replaced within seconds.
#[test]
fn a_cut_that_both_notice_is_mended_within_seconds() {
    for seed in 0..seeds(20) {
        let mut pair = long(seed);
        pair.run_until(PLAIN, is_both_up);
        for round in 1..=3 {
            pair.cut(Cut::Both);
            pair.run_until(SECOND * 5, |pair| {
                pair.reconnections(RECEIVER) == round && pair.reconnections(SENDER) == round
            });
        }
        finish(&mut pair, BUDGET);
    }
}

/// The transfer goes on while only the host is away (V-03), even for good.
#[test]
fn the_host_may_go_while_data_flows() {
    for seed in 0..seeds(20) {
        let mut pair = long(seed);
        pair.run_until(PLAIN, |pair| is_both_up(pair) && pair.sides[SENDER].is_code_spent);
        pair.is_host_up = seed % 2 == 0;
        pair.restart_host(SECOND);
        finish(&mut pair, PLAIN);
        assert_eq!(pair.reconnections(RECEIVER), 0, "seed {seed}");
    }
}

/// Host and link break together; the host comes back later, knowing nothing or still knowing.
#[test]
fn an_outage_of_host_and_link_ends() {
    for seed in 0..seeds(40) {
        let mut pair = long(seed);
        pair.run_until(PLAIN, |pair| is_both_up(pair) && pair.sides[SENDER].is_code_spent);
        pair.cut(Cut::Both);
        let away = SECOND * pair.random.below(100) as u32;
        if pair.random.chance(50) {
            pair.restart_host(away);
        } else {
            pair.lose_host(SENDER, away);
            let away = SECOND * pair.random.below(100) as u32;
            pair.lose_host(RECEIVER, away);
        }
        finish(&mut pair, BUDGET + SECOND * 100);
    }
}

/// Either process dies and starts again from what it stored, at any moment, told or not.
#[test]
fn processes_may_die() {
    for seed in 0..seeds(60) {
        let mut pair = long(seed);
        pair.run_until(PLAIN, |pair| pair.sides.iter().all(|side| side.stored.is_some()));
        for _ in 0..3 {
            for _ in 0..pair.random.below(300) {
                pair.step();
            }
            if is_over(&pair) || pair.sides.iter().any(|side| side.end.is_some()) {
                break;
            }
            let (is_told, wait) = (pair.random.chance(50), SECOND * pair.random.below(30) as u32);
            match pair.random.below(3) {
                0 => pair.crash(SENDER, is_told, wait),
                1 => pair.crash(RECEIVER, is_told, wait),
                _ => {
                    pair.crash(SENDER, is_told, wait);
                    pair.crash(RECEIVER, is_told, SECOND);
                }
            }
        }
        finish(&mut pair, BUDGET);
    }
}

/// The receiver dies just before or just after its secret is durable: both times it gets in again.
#[test]
fn a_receiver_may_die_while_it_stores_the_secret() {
    for is_durable in [false, true] {
        for seed in 0..seeds(20) {
            let mut pair = small(seed);
            pair.sides[RECEIVER].dies_storing = Some(is_durable);
            finish(&mut pair, BUDGET);
        }
    }
}

/// The sender dies just before its secret is durable: the code is still good.
#[test]
fn a_sender_may_die_before_it_stores_the_secret() {
    for seed in 0..seeds(20) {
        let mut pair = small(seed);
        pair.sides[SENDER].dies_storing = Some(false);
        finish(&mut pair, BUDGET);
    }
}

/// Any one message of the host is lost, the meeting's and a reconnection's (H-05).
#[test]
fn any_one_message_may_be_lost() {
    for lost in 0..24 {
        let mut pair = small(lost);
        let mut count = 0;
        pair.tamper = Some(Box::new(move |_, _, message| {
            count += 1;
            if count == lost { Vec::new() } else { vec![message] }
        }));
        // The relayed messages of a reconnection are among those that may be lost.
        pair.run_until(BUDGET, is_both_up);
        pair.cut(Cut::Both);
        finish(&mut pair, BUDGET);
    }
}

/// Messages of the host are lost at random; once that stops, it ends.
#[test]
fn a_host_that_forgets_is_survived() {
    for seed in 0..seeds(40) {
        let mut pair = long(seed);
        pair.run_until(PLAIN, |pair| pair.sides.iter().all(|side| side.stored.is_some()));
        pair.cut(Cut::Both);
        pair.tamper = Some(Box::new(
            |random, _, message| {
                if random.chance(40) { Vec::new() } else { vec![message] }
            },
        ));
        pair.run_for(SECOND * 60);
        pair.tamper = None;
        if !pair.is_done() {
            // Its connections end some time, and with them what is queued.
            pair.lose_host(SENDER, SECOND);
            pair.lose_host(RECEIVER, SECOND);
        }
        finish(&mut pair, BUDGET);
    }
}

/// While no path exists nothing opens; tries stay few, and the first one after it works.
#[test]
fn a_long_outage_of_the_network_is_waited_out() {
    for seed in 0..seeds(10) {
        let mut pair = long(seed);
        pair.run_until(PLAIN, is_both_up);
        pair.cut(Cut::Both);
        pair.is_network_up = false;
        pair.fails_fast = seed % 2 == 0;
        let before = pair.host_saw.len();
        pair.run_for(SECOND * 600);
        // A try every 15 s at most while host and peer are there, of a dozen messages each.
        let said = pair.host_saw.len() - before;
        assert!(said < 600, "seed {seed}: {said} messages in ten minutes");
        pair.is_network_up = true;
        pair.fails_fast = false;
        finish(&mut pair, BUDGET);
    }
}

/// The sender of a tree that is nothing but a file that a host must not hear of.
pub(crate) fn named(seed: u64) -> Pair {
    let mut tree = Tree::new();
    let content = Random::new(seed).bytes(3_000_000);
    tree.insert(b"quarterly-figures.ods".to_vec(), Node::File(content));
    tree.insert(b"letter-to-the-bank".to_vec(), Node::File(b"dear bank".to_vec()));
    Pair::new(seed, ModelSource::new(tree, SESSION, 4))
}

/// What a host is given holds no name, description, address, word or secret (H-08).
#[test]
fn a_host_hears_nothing() {
    for seed in 0..seeds(10) {
        let mut pair = named(seed);
        pair.run_until(PLAIN, is_both_up);
        pair.cut(Cut::Both);
        finish(&mut pair, BUDGET);
        let code = pair.sides[SENDER].code.to_string();
        let mut secrets: Vec<Vec<u8>> =
            pair.told.iter().map(|told| told.clone().into_bytes()).collect();
        assert!(secrets.len() > 4, "seed {seed}: {secrets:?}");
        for side in [SENDER, RECEIVER] {
            let stored = pair.sides[side].stored.as_ref().expect("paired");
            secrets.push(stored.secret.0.to_vec());
        }
        secrets.extend(code.split('-').skip(1).map(|word| word.as_bytes().to_vec()));
        for text in [
            "quarterly",
            "letter-to",
            "dear bank",
            "laptop-of-side",
            "fingerprint",
            "candidate",
            "192.0.2.",
        ] {
            secrets.push(text.as_bytes().to_vec());
        }
        secrets.push(SESSION.0.to_vec());
        for message in &pair.host_saw {
            for secret in &secrets {
                let is_there = message.windows(secret.len()).any(|part| part == &secret[..]);
                assert!(!is_there, "seed {seed}: {:?}", String::from_utf8_lossy(secret));
            }
        }
    }
}

/// Receivers that have everything, and whose senders die before they hear it, for `away`.
fn finished_and_left(away: Duration) -> Vec<Pair> {
    let left = |seed| {
        let mut pair = small(seed);
        pair.ends_alone = true;
        pair.run_until(PLAIN, |pair| pair.sides[RECEIVER].target.is_finished() || is_over(pair));
        // Else both knew at once.
        let is_unheard = pair.sides.iter().all(|side| side.end.is_none());
        is_unheard.then(|| {
            pair.crash(SENDER, true, away);
            pair
        })
    };
    let pairs: Vec<Pair> = (0..seeds(30)).filter_map(left).collect();
    assert!(pairs.len() > 5, "{} of them", pairs.len());
    pairs
}

/// A receiver that has everything, and whose sender is gone for good before it heard that, looks for it for 20 s and ends (D3).
#[test]
fn a_receiver_that_has_everything_waits_20_s_for_its_sender() {
    for mut pair in finished_and_left(SECOND * 3_600) {
        let (seed, gone) = (pair.seed, pair.elapsed());
        pair.run_until(SECOND * 120, |pair| pair.sides[RECEIVER].end.is_some());
        assert_eq!(pair.sides[RECEIVER].end, Some(Ending::Alone), "seed {seed}");
        let waited = pair.elapsed().saturating_sub(gone);
        assert!((SECOND * 19..SECOND * 25).contains(&waited), "seed {seed}: {waited:?}");
    }
}

/// The same where the sender comes back within that time: it hears it, and both are done.
#[test]
fn a_sender_that_comes_back_in_time_hears_that_all_is_there() {
    for mut pair in finished_and_left(SECOND * 10) {
        finish(&mut pair, BUDGET);
        pair.run_until(SECOND * 10, |pair| pair.sides[RECEIVER].end.is_some());
        assert_eq!(pair.sides[RECEIVER].end, Some(Ending::Done), "seed {}", pair.seed);
    }
}

/// What a session asks for now that is an end or told.
fn said(session: &mut Session) -> (Vec<String>, Option<Error>) {
    let (mut told, mut end) = (Vec::new(), None);
    while let Some(output) = session.poll_output() {
        match output {
            SessionOutput::Event(Event::Warning { message, .. }) => told.push(message),
            SessionOutput::Failed(error) => end = Some(error),
            _ => {}
        }
    }
    (told, end)
}

fn unreachable() -> Error {
    Error::new(ErrorKind::Unreachable, "no host can be reached")
}

/// Nobody is there: who has nothing to continue ends at once; who was told to wait is told why, and ends when that time is over.
#[test]
fn who_was_told_to_wait_waits_so_long_for_a_host_and_the_sender() {
    let mut pair = small(0);
    let now = pair.now;
    let session = &mut pair.sides[RECEIVER].session;
    session.handle_begin(None, now);
    session.handle_nobody_there(unreachable(), false, now);
    assert_eq!(said(session).1, Some(unreachable()));

    let mut pair = small(0);
    let session = &mut pair.sides[RECEIVER].session;
    session.handle_begin(Some(now + SECOND * 60), now);
    for second in [1, 30, 59] {
        session.handle_nobody_there(unreachable(), false, now + SECOND * second);
        session.handle_timeout(now + SECOND * second);
        let (told, end) = said(session);
        assert_eq!((told.len(), end), (usize::from(second == 1), None), "{told:?}");
    }
    assert!(session.poll_timeout().is_some_and(|(at, _)| at <= now + SECOND * 60));
    session.handle_timeout(now + SECOND * 60);
    let end = said(session).1.unwrap();
    assert_eq!(end.kind, ErrorKind::Unreachable);
    assert!(end.message.contains("--wait") && end.message.contains("no host can be"), "{end:?}");
}

/// Hosts that take connections and say nothing: two of each are none; one word makes good for all before it.
#[test]
fn hosts_that_never_answer_are_counted_and_one_word_is_an_answer() {
    let mut pair = small(0);
    let now = pair.now;
    let session = &mut pair.sides[RECEIVER].session;
    session.handle_begin(None, now);
    let unanswered = |times: usize, session: &mut Session| {
        (0..times).for_each(|_| session.handle_unanswered(2, unreachable(), now));
        said(session).1
    };
    assert_eq!(unanswered(3, session), None);
    session.handle_host(HostMessage::Waiting { number: 7 }, now);
    assert_eq!(unanswered(3, session), None);
    assert_eq!(unanswered(1, session), Some(unreachable()));
}
