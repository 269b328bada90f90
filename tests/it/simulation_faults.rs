//! Every kind of fault in one run, several at once, by seed (L-05, L-06).
//!
//! *Safety*: whatever happens, what is in the target is of the tree that was sent, epochs grow, nobody fails for good.
//! *Liveness*: once the faults stop, the transfer is done within a budget of virtual time, although one thing stays broken
//! for ever that has a way around it.
//!
//! 400 seeds by default; `REJOIN_TEST_SEEDS` says how many, from `REJOIN_TEST_FIRST_SEED`, and the figures are printed.

use crate::simulation::finish;
use crate::support::model_source::{ModelSource, Tree, random_tree};
use crate::support::random::Random;
use crate::support::sim::{Ending, SESSION};
use crate::support::two_sessions::{Cut, Pair, RECEIVER, SENDER};
use rejoin::error::ErrorKind;
use rejoin::event::Event;
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// From the end of the faults to the end of the transfer: the slow pace of tries, twice, and the transfer.
const BUDGET: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    BothNoticeACut,
    NobodyNoticesACut,
    TheSenderNoticesACut,
    TheReceiverNoticesACut,
    ThePathIsLost,
    ThePathIsLostAndSctpFallsSilent,
    RestartsFail,
    ContentVanishes,
    TheNetworkIsAway,
    ConnectionsFailAtOnce,
    TheSenderDies,
    TheReceiverDies,
    BothDie,
    TheSenderLosesTheHost,
    TheReceiverLosesTheHost,
    TheHostRestarts,
    TheHostForgets,
    TheHostRepeats,
    TheHostIsLate,
    TheSendersDiskStands,
    TheReceiversDiskStands,
}

const FAULTS: [Fault; 21] = [
    Fault::BothNoticeACut,
    Fault::NobodyNoticesACut,
    Fault::TheSenderNoticesACut,
    Fault::TheReceiverNoticesACut,
    Fault::ThePathIsLost,
    Fault::ThePathIsLostAndSctpFallsSilent,
    Fault::RestartsFail,
    Fault::ContentVanishes,
    Fault::TheNetworkIsAway,
    Fault::ConnectionsFailAtOnce,
    Fault::TheSenderDies,
    Fault::TheReceiverDies,
    Fault::BothDie,
    Fault::TheSenderLosesTheHost,
    Fault::TheReceiverLosesTheHost,
    Fault::TheHostRestarts,
    Fault::TheHostForgets,
    Fault::TheHostRepeats,
    Fault::TheHostIsLate,
    Fault::TheSendersDiskStands,
    Fault::TheReceiversDiskStands,
];

/// What stays broken for ever, and has a way around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    Nothing,
    /// New connections work.
    RestartsFail,
    /// The link is up and stays so.
    TheHostIsAwayFromTheSender,
    TheHostIsAwayFromTheReceiver,
}

fn has_ended(pair: &Pair) -> bool {
    pair.is_done() || pair.sides.iter().any(|side| side.end.is_some())
}

fn is_both_up(pair: &Pair) -> bool {
    pair.is_up(SENDER) && pair.is_up(RECEIVER)
}

fn inflict(pair: &mut Pair, fault: Fault) {
    pair.note(format!("{fault:?}"));
    let some = SECOND * pair.random.below(40) as u32;
    let is_told = pair.random.chance(50);
    match fault {
        Fault::BothNoticeACut => pair.cut(Cut::Both),
        Fault::NobodyNoticesACut => pair.cut(Cut::Silent),
        Fault::TheSenderNoticesACut => pair.cut(Cut::Side(SENDER)),
        Fault::TheReceiverNoticesACut => pair.cut(Cut::Side(RECEIVER)),
        Fault::ThePathIsLost => pair.lose_path(),
        Fault::ThePathIsLostAndSctpFallsSilent => {
            pair.paths.is_sctp_silent = true;
            pair.lose_path();
        }
        Fault::RestartsFail => pair.paths.do_checks_fail = true,
        Fault::ContentVanishes => pair.lose_data(),
        Fault::TheNetworkIsAway => {
            pair.is_network_up = false;
            pair.cut(Cut::Silent);
        }
        Fault::ConnectionsFailAtOnce => {
            pair.is_network_up = false;
            pair.fails_fast = true;
            pair.cut(Cut::Both);
        }
        Fault::TheSenderDies => pair.crash(SENDER, is_told, some),
        Fault::TheReceiverDies => pair.crash(RECEIVER, is_told, some),
        Fault::BothDie => {
            pair.crash(SENDER, is_told, some);
            pair.crash(RECEIVER, is_told, SECOND);
        }
        Fault::TheSenderLosesTheHost => pair.lose_host(SENDER, some),
        Fault::TheReceiverLosesTheHost => pair.lose_host(RECEIVER, some),
        Fault::TheHostRestarts => pair.restart_host(some),
        Fault::TheHostForgets => {
            pair.tamper =
                Some(Box::new(
                    |random, _, message| {
                        if random.chance(30) { Vec::new() } else { vec![message] }
                    },
                ));
        }
        Fault::TheHostRepeats => {
            pair.tamper = Some(Box::new(|random, _, message| {
                if random.chance(30) { vec![message.clone(), message] } else { vec![message] }
            }));
        }
        Fault::TheHostIsLate => {
            pair.late = Some(Box::new(|_, _| Duration::from_secs(3)));
        }
        Fault::TheSendersDiskStands => pair.stick_disk(SENDER, is_told),
        Fault::TheReceiversDiskStands => pair.stick_disk(RECEIVER, is_told),
    }
}

/// Everything works again, but for what is kept.
fn mend(pair: &mut Pair, faults: &[Fault], kept: Kept) {
    let has_forgotten = pair.tamper.take().is_some();
    pair.late = None;
    pair.is_network_up = true;
    pair.fails_fast = false;
    pair.paths.is_sctp_silent = false;
    pair.paths.do_checks_fail = kept == Kept::RestartsFail;
    if std::mem::take(&mut pair.paths.does_lose_data) {
        // What a channel lost never comes later: the channel is as good as dead.
        pair.cut(Cut::Silent);
    }
    for (side, fault) in
        [(SENDER, Fault::TheSendersDiskStands), (RECEIVER, Fault::TheReceiversDiskStands)]
    {
        if faults.contains(&fault) {
            pair.free_disk(side);
        }
    }
    pair.mend_path();
    if has_forgotten {
        // Its connections end some time, and with them what is queued.
        pair.lose_host(SENDER, SECOND);
        pair.lose_host(RECEIVER, SECOND);
    }
}

/// Everything in the target is of the tree, whole.
#[track_caller]
fn check_target(pair: &Pair) {
    let sent = &pair.source.tree;
    for (path, node) in &pair.sides[RECEIVER].target.tree {
        if sent.get(path) != Some(node) {
            pair.fail(&format!("{} is not as it was sent", path.escape_ascii()));
        }
    }
}

struct Outcome {
    faults: Vec<Fault>,
    kept: Kept,
    /// Virtual time from the end of the faults to the end of the transfer; `None` where three cuts while pairing used up
    /// the code, which is the bound on a host's guesses.
    took: Option<Duration>,
}

/// Whether the pairing was cut so often that the code is of no more use. Nobody has anything of the session then.
fn is_code_used_up(pair: &Pair, faults: &[Fault]) -> bool {
    let has_heard = pair.sides.iter().any(|side| {
        matches!(&side.end, Some(Ending::Failed(error)) if error.kind == ErrorKind::Authentication)
    });
    // A host that restarts forgets that it is: then whoever was told to wait for the code waits.
    let was_told = pair.sides[SENDER]
        .events
        .iter()
        .any(|event| matches!(event, Event::Warning { code, .. } if code == "code_used_up"));
    let may_forget =
        faults.iter().any(|of| matches!(of, Fault::TheHostRestarts | Fault::TheHostForgets));
    (has_heard || was_told && may_forget)
        && pair.sides.iter().any(|side| side.stored.is_none())
        && pair.sides[RECEIVER].target.tree.is_empty()
}

fn tree(seed: u64) -> Tree {
    // Every eighth has files of several units.
    let large = u64::from(seed.is_multiple_of(8));
    random_tree(&mut Random::new(seed), 24, large)
}

fn run(seed: u64) -> Outcome {
    let mut pair = Pair::new(seed, ModelSource::new(tree(seed), SESSION, 3));
    let mut faults = Vec::new();
    let count = 1 + pair.random.below(6);
    // Some faults strike while the two still meet.
    if pair.random.chance(70) {
        pair.run_until(SECOND * 60, |pair| {
            is_both_up(pair) && pair.sides[SENDER].is_code_spent || has_ended(pair)
        });
    }
    for _ in 0..count {
        for _ in 0..pair.random.below(40) {
            if has_ended(&pair) {
                break;
            }
            pair.step();
        }
        if has_ended(&pair) {
            break;
        }
        let fault = FAULTS[pair.random.below(FAULTS.len() as u64) as usize];
        inflict(&mut pair, fault);
        faults.push(fault);
        if pair.random.chance(50) {
            let some = SECOND * pair.random.below(30) as u32;
            pair.run_for(some);
            check_target(&pair);
        }
        if pair.random.chance(40) && !has_ended(&pair) {
            mend(&mut pair, &faults, Kept::Nothing);
        }
    }
    let kept = match pair.random.below(4) {
        0 => Kept::RestartsFail,
        1 => Kept::TheHostIsAwayFromTheSender,
        2 => Kept::TheHostIsAwayFromTheReceiver,
        _ => Kept::Nothing,
    };
    if !has_ended(&pair) {
        mend(&mut pair, &faults, kept);
    }
    let mut kept = kept;
    if matches!(kept, Kept::TheHostIsAwayFromTheSender | Kept::TheHostIsAwayFromTheReceiver) {
        // It has a way around it only where a link lives: one that opened after the faults.
        pair.cut(Cut::Both);
        pair.run_until(SECOND, |pair| {
            !pair.is_up(SENDER) && !pair.is_up(RECEIVER) || has_ended(pair)
        });
        pair.run_until(BUDGET, |pair| is_both_up(pair) || has_ended(pair));
        let side = if kept == Kept::TheHostIsAwayFromTheSender { SENDER } else { RECEIVER };
        if has_ended(&pair) {
            kept = Kept::Nothing;
        } else {
            pair.lose_host(side, SECOND * 100_000);
        }
    }
    let stopped = pair.now;
    pair.run_until(BUDGET, |pair| pair.is_done() || is_code_used_up(pair, &faults));
    if is_code_used_up(&pair, &faults) {
        return Outcome { faults, kept, took: None };
    }
    finish(&mut pair, BUDGET);
    check_target(&pair);
    Outcome { faults, kept, took: Some(pair.now - stopped) }
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn whatever_breaks_the_tree_arrives_once_it_stops() {
    let first = number("REJOIN_TEST_FIRST_SEED", 0);
    let seeds = first..first + number("REJOIN_TEST_SEEDS", 400);
    let next = std::sync::atomic::AtomicU64::new(seeds.start);
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let work = || {
            let mut outcomes = Vec::new();
            loop {
                let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if seed >= seeds.end {
                    return outcomes;
                }
                outcomes.push(run(seed));
            }
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a seed failed")).collect()
    });
    let mut by_fault: BTreeMap<Fault, u64> = BTreeMap::new();
    let mut by_kept: BTreeMap<Kept, u64> = BTreeMap::new();
    for outcome in &outcomes {
        *by_kept.entry(outcome.kept).or_default() += 1;
        for fault in &outcome.faults {
            *by_fault.entry(*fault).or_default() += 1;
        }
    }
    let mut took: Vec<Duration> = outcomes.iter().filter_map(|outcome| outcome.took).collect();
    took.sort();
    assert!(took.len() * 100 >= outcomes.len() * 95, "few codes are used up");
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!("{} seeds from {first}; faults {by_fault:#?}", outcomes.len());
    println!("kept broken {by_kept:#?}; codes used up {}", outcomes.len() - took.len());
    println!("done after the faults: half {:?}, 99 % {:?}, all {:?}", at(0.5), at(0.99), at(1.0));
    if outcomes.len() >= 400 {
        assert_eq!(by_fault.len(), FAULTS.len(), "each kind of fault came");
        assert_eq!(by_kept.len(), 4, "each way of staying broken came");
    }
}
