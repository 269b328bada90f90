//! What a hostile peer can make the other side hold, measured: each case runs in a process of its own, which says the most
//! memory that it ever had. The bars are in docs/limits.md.

use crate::support::messages::{request, tiny_prey};
use crate::support::model_source::{ModelSource, Node};
use crate::support::process::kib;
use crate::support::sim::SESSION;
use crate::support::target_options::target_options;
use crate::support::victim::{Prey, Store, Victim, below, chain, directory, file};
use rejoin::platform::OsDirectory;
use rejoin::store::TargetStore;
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::disk::{Existing, TargetReply, TargetRequest};
use rejoin::transfer::manifest::{Entry, EntryKind, Page, PageCheck, Totals};
use rejoin::transfer::message::{Message, UnitHead, WireRanges};
use rejoin::transfer::missing::{LeftOut, Missing, MissingKind};
use rejoin::transfer::ranges::Ranges;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Which case a process is to play.
const CASE: &str = "REJOIN_TEST_MEMORY";

/// Each with its bar in MiB.
const CASES: [(&str, u64, fn()); 11] = [
    ("chains", 200, chains),
    ("far_parents", 200, far_parents),
    ("refused", 200, refused),
    ("left_out", 200, left_out),
    ("missing", 200, missing),
    ("claims", 200, claims),
    ("small_bodies", 64, small_bodies),
    ("estimates", 64, estimates),
    ("versions", 200, versions),
    ("names", 100, names),
    ("reconnections", 60, crate::long_run::reconnections),
];

/// One case, in the process that was started for it; by itself it only sees that the cases can be told apart.
#[test]
fn one_case() {
    let names: std::collections::BTreeSet<&str> = CASES.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names.len(), CASES.len());
    let Some(case) = std::env::var_os(CASE) else { return };
    let (_, _, play) = CASES.iter().find(|(name, ..)| case == *name).unwrap();
    play();
    println!("peak {} KiB", peak_kib());
}

/// The most memory that this process had.
fn peak_kib() -> u64 {
    kib(std::process::id(), "VmHWM").unwrap()
}

/// What this process took of the processor so far.
fn processor_time() -> Duration {
    let taken = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(taken.tv_sec.cast_unsigned(), taken.tv_nsec.cast_unsigned() as u32)
}

#[track_caller]
fn expect_below_bar(case: &str) {
    let (_, bar, _) = CASES.iter().find(|(name, ..)| *name == case).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "memory::one_case", "--nocapture", "--test-threads", "1"])
        .env(CASE, case)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let peak = said.lines().find_map(|line| line.split_once("peak ")?.1.strip_suffix(" KiB"));
    let Some(peak) = peak.filter(|_| output.status.success()) else {
        panic!("{case}: {said}\n{}", String::from_utf8_lossy(&output.stderr));
    };
    let mib = peak.parse::<u64>().unwrap() / 1024;
    eprintln!("{case}: {mib} MiB of {bar}");
    assert!(mib < *bar, "{case}: {mib} MiB, and {bar} are allowed");
}

/// S-03: a chain as deep as may be, and pages of leaves below it, while the disk stands still; then it goes on.
#[test]
fn leaves_below_the_deepest_directory() {
    expect_below_bar("chains");
}

/// S-03: every entry of every page names another directory far down.
#[test]
fn parents_that_are_far_apart() {
    expect_below_bar("far_parents");
}

/// S-03: entries that are refused one by one, below a long path.
#[test]
fn refusals_below_a_long_path() {
    expect_below_bar("refused");
}

/// A-10: what a sender says that it left out, on link after link.
#[test]
fn lists_of_what_was_left_out() {
    expect_below_bar("left_out");
}

/// A-14: what a receiver says that it misses, on link after link.
#[test]
fn lists_of_what_is_missing() {
    expect_below_bar("missing");
}

/// A-14: digests, ranges and wants of everything and more.
#[test]
fn claims_of_everything() {
    expect_below_bar("claims");
}

/// Note (a) of the review, A-17: content of one byte a frame, while the disk stands still.
#[test]
fn bodies_of_one_byte() {
    expect_below_bar("small_bodies");
}

/// S-08: estimates that lie, over and over.
#[test]
fn estimates_that_lie() {
    expect_below_bar("estimates");
}

/// As many versions of one file as pages may be open.
#[test]
fn versions_of_one_file() {
    expect_below_bar("versions");
}

/// S-13, G-10: half a million names in one directory.
#[test]
fn names_without_number() {
    expect_below_bar("names");
}

/// L-03: a connection that was leaves nothing. The bar is the same however many there are: `REJOIN_TEST_RECONNECTIONS`.
#[test]
fn connections_that_were() {
    expect_below_bar("reconnections");
}

type Held = Arc<Mutex<Vec<TargetRequest>>>;

/// A receiver at its prompt, whose disk does nothing but remember what it was asked.
fn stalled(is_accepted: bool) -> (Victim, Held) {
    let held = Held::default();
    let asked = Arc::clone(&held);
    let store: Store = Box::new(move |request| {
        asked.lock().unwrap().push(request);
        None
    });
    let mut victim = Victim::with_disk(is_accepted, store);
    victim.is_unheard = true;
    victim.recover();
    (victim, held)
}

/// A thousand directories, each in the one before, as long as a path may be.
fn deepest() -> Vec<Entry> {
    chain(b"ddd", 1_000)
}

/// Longest that one request may take, on any machine that runs tests: a second where nothing else runs.
const REQUEST_MAX: Duration = Duration::from_secs(20);

/// What the disk was asked for is carried out by a real one; how long the longest request took.
fn carry_out(victim: &mut Victim, held: &Held) -> Duration {
    let options = target_options(SESSION);
    let root = OsDirectory::open(victim.out()).unwrap();
    let (mut store, _) = TargetStore::open(root, options).unwrap();
    let mut longest = Duration::ZERO;
    loop {
        let requests = std::mem::take(&mut *held.lock().unwrap());
        if requests.is_empty() {
            assert!(longest < REQUEST_MAX, "{longest:?}");
            return longest;
        }
        for request in requests {
            let start = Instant::now();
            let reply = store.handle(request);
            longest = longest.max(start.elapsed());
            reply.into_iter().for_each(|reply| victim.hear_disk(reply));
        }
    }
}

/// Leaves to fill the pages that may be open, as `parent` says of each.
fn leaves(
    victim: &mut Victim,
    pages: std::ops::Range<u64>,
    mut first: u64,
    parent: impl Fn(u64) -> u64,
) {
    for page in pages {
        let entries =
            (0..1_000).map(|at| below(parent(at), file(format!("{page:x}.{at:x}").as_bytes(), 1)));
        victim.page(page, first, entries.collect());
        first += 1_000;
    }
}

fn chains() {
    let (mut victim, held) = stalled(false);
    victim.page(0, 0, deepest());
    leaves(&mut victim, 1..64, 1_000, |_| 999);
    assert!(victim.end.is_none(), "{:?}", victim.end);
    let longest = carry_out(&mut victim, &held);
    eprintln!("before the consent: longest request {longest:?}, {} KiB", peak_kib());
    assert!(victim.asked.is_empty());
    let totals = Totals { entries: 64_000, files: 63_000, bytes: 63_000, directories: 1_000 };
    victim.say(Message::Estimate { totals, is_complete: true });
    victim.accept();
    let longest = carry_out(&mut victim, &held);
    eprintln!("after it: longest request {longest:?}, {} KiB", peak_kib());
    assert_eq!(victim.wants().len(), 64);
}

fn far_parents() {
    let (mut victim, held) = stalled(false);
    // Sixteen names of 255 bytes: four of them are common, the last is another for each of a thousand.
    let mut entries = chain(&[b'd'; 255], 14);
    entries.extend((0..100_u64).map(|at| below(13, directory(format!("{at:0250}").as_bytes()))));
    victim.page(0, 0, entries);
    let mut first = 114;
    for page in 1..10 {
        let more =
            (0..100_u64).map(|at| below(13, directory(format!("{page}{at:0249}").as_bytes())));
        victim.page(page, first, more.collect());
        first += 100;
    }
    leaves(&mut victim, 10..64, first, |at| 14 + at);
    assert!(victim.end.is_none(), "{:?}", victim.end);
    let longest = carry_out(&mut victim, &held);
    eprintln!("longest request {longest:?}, {} KiB", peak_kib());
    let totals = Totals { entries: 56_000, files: 54_000, bytes: 54_000, directories: 1_014 };
    victim.say(Message::Estimate { totals, is_complete: true });
    victim.accept();
    let longest = carry_out(&mut victim, &held);
    eprintln!("longest request {longest:?}, {} KiB", peak_kib());
    assert_eq!(victim.wants().len(), 64);
}

fn refused() {
    let (mut victim, _held) = stalled(true);
    let mut longest = Duration::ZERO;
    victim.page(0, 0, deepest());
    // Three bytes that are no text: what is told of a path is four times as long.
    for page in 1..64_u64 {
        let name = |at: u64| [&b"\xff\xfe/"[..], format!("{at:x}").as_bytes()].concat();
        let entries = (0..1_000).map(|at| below(999, file(&name(page * 1_000 + at), 1)));
        let (entries, start) = (entries.collect(), Instant::now());
        victim.page(page, page * 1_000, entries);
        longest = longest.max(start.elapsed());
    }
    eprintln!("longest page {longest:?}");
    assert!(longest < REQUEST_MAX, "{longest:?}");
    assert_eq!(victim.receiver.progress().outcome.failed, 63_000);
}

fn left_out() {
    let (mut victim, _held) = stalled(true);
    victim.page(0, 0, deepest());
    for link in 0..8_u64 {
        for at in 0..512_u64 {
            let entry = |number: u64| LeftOut {
                parent: Some(999),
                name: format!("{link}.{at}.{number:0100}").into_bytes(),
                kind: MissingKind::Unreadable,
                reason: String::new(),
            };
            victim.say(Message::LeftOut { entries: (0..128).map(entry).collect() });
        }
        assert!(victim.end.is_none(), "{:?}", victim.end);
        victim.receiver.handle_link_down();
        victim.receiver.handle_link_up(2 + link, Instant::now());
        while victim.receiver.poll_output().is_some() {}
        victim.say(Message::RecoveryAnswer { pages: 1 });
    }
}

fn missing() {
    let mut prey = tiny_prey();
    for _ in 0..8 {
        prey.say(Message::RecoveryRequest(request()));
        for _ in 0..512 {
            let entry = |_| Missing {
                entry: 0,
                parent: None,
                name: vec![b'n'; 1_000],
                kind: MissingKind::Refused,
                reason: "r".repeat(1_000),
            };
            prey.say(Message::Missing { entries: (0..128).map(entry).collect() });
        }
        assert!(!prey.is_over(), "{:?}", prey.failure());
        prey.sender.handle_link_down();
        prey.sender.handle_link_up(false);
        prey.drain();
    }
}

fn claims() {
    let mut longest = Duration::ZERO;
    let mut say = |prey: &mut Prey, message: Message| {
        let start = Instant::now();
        prey.say(message);
        longest = longest.max(start.elapsed());
    };
    let ranges: Ranges = (0..250_000).map(|entry| entry * 2).collect();
    let ranges = WireRanges::from(&ranges);
    for _ in 0..2 {
        let mut prey = Prey::new(ModelSource::new(
            (0..500_u32).map(|at| (at.to_string().into_bytes(), Node::File(vec![1]))).collect(),
            SESSION,
            1,
        ));
        let mut request = request();
        (request.units, request.unwanted) = (ranges.clone(), ranges.clone());
        request.undecided = ranges.clone();
        say(&mut prey, Message::RecoveryRequest(request));
        for page in 0..prey.source.pages.len().min(6) as u64 {
            let (unwanted, units) = (ranges.clone(), ranges.clone());
            say(&mut prey, Message::Want { page, unwanted, units });
            say(&mut prey, Message::Ack { units: ranges.clone() });
        }
        assert!(!prey.is_over(), "{:?}", prey.failure());
        say(&mut prey, Message::Resend { unit: 0, unwanted: ranges.clone() });
        assert!(prey.is_over(), "a resend of more files than a unit holds");
    }
    eprintln!("longest message {longest:?}");
    assert!(longest < REQUEST_MAX, "{longest:?}");
}

fn small_bodies() {
    let (mut victim, held) = stalled(true);
    let mut entries: Vec<Entry> =
        (0..4_u64).map(|at| file(format!("{at}").as_bytes(), 4 * UNIT_BYTES)).collect();
    victim.page(0, 0, std::mem::take(&mut entries));
    let survey = held.lock().unwrap().iter().find_map(|request| match request {
        TargetRequest::Survey { page, wanted, .. } => Some(TargetReply::Surveyed {
            page: *page,
            existing: wanted.iter().map(|of| (of.entry, Existing::Absent)).collect(),
        }),
        _ => None,
    });
    victim.hear_disk(survey.unwrap());
    assert_eq!(victim.wants(), [0]);
    let begun = processor_time();
    for unit in 0..2 {
        victim.say(Message::Unit { unit, head: UnitHead::Part { entry: 0, value: [0; 32] } });
        for _ in 0..UNIT_BYTES {
            victim.body(b"x");
        }
    }
    let each = (processor_time() - begun) / 2;
    assert!(each < Duration::from_secs(10), "{each:?} a MiB");
    assert!(victim.end.is_none(), "{:?}", victim.end);
    let writes = |request: &&TargetRequest| matches!(request, TargetRequest::Write { .. });
    assert_eq!(held.lock().unwrap().iter().filter(writes).count(), 2);
}

fn estimates() {
    let (mut victim, _held) = stalled(false);
    for lie in 0..200_000_u64 {
        let most = u64::MAX - lie;
        let totals = Totals { entries: most, files: most, bytes: most, directories: most };
        victim.say(Message::Estimate { totals, is_complete: false });
    }
    assert!(victim.end.is_none(), "{:?}", victim.end);
}

fn versions() {
    let (mut victim, held) = stalled(false);
    let mut version = 0_u64;
    for page in 0..64 {
        let first = version;
        let mut entries = Vec::new();
        for _ in 0..1_024 {
            let mut entry = file(b"one", version);
            entry.supersedes = version.checked_sub(1);
            entries.push(entry);
            version += 1;
        }
        victim.page(page, first, entries);
    }
    assert!(victim.end.is_none(), "{:?}", victim.end);
    let longest = carry_out(&mut victim, &held);
    eprintln!("longest request {longest:?}");
}

fn names() {
    let mut check = PageCheck::new();
    for number in 0..500_u64 {
        let entries = (0..1_000).map(|at| Entry {
            kind: EntryKind::File { bytes: 1 },
            ..file(format!("{:x}", number * 1_000 + at).as_bytes(), 1)
        });
        let page = Page { number, first_entry: number * 1_000, entries: entries.collect() };
        check.check(&page).unwrap();
    }
    assert_eq!(check.totals().files, 500_000);
}
