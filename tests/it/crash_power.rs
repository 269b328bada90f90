//! Losses of power at every operation of a receiver's life, and after a kill at every operation of it (P-04, D-04, D-05);
//! and that each sync of the code is needed for them.
//!
//! A loss of power may take any subset of what was not synced. Up to ten such changes all subsets are tried; of more every
//! prefix, each one alone, each one missing, and as many random ones as `REJOIN_CRASH_SUBSETS` says (1,000; with writes
//! that are torn in the middle). A subset that an earlier moment had is not tried twice.

use crate::support::crash::{AT_ONCE, Note, Notes, ONE_BY_ONE, Scenario};
use crate::support::promise::SESSION;
use crate::support::random::Random;
use rejoin::event::Role;
use rejoin::fs::{Directory, SyncPoint};
use rejoin::store::memory::{Kept, MemoryDisk, Moment, Seen};
use rejoin::store::record::{SessionRecord, Side};
use rejoin::store::{SourceRoots, StateDirectory, StateError, source};
use rejoin::transfer::disk::ScanReport;
use rejoin::wire::MemberId;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Changes of which all subsets are tried.
const ALL_SUBSETS_MAX: usize = 10;

/// Seed of the random subsets.
const SEED: u64 = 20_260;

/// How much is tried.
#[derive(Clone, Copy)]
struct Effort {
    /// Random subsets at each sync with more changes than that.
    random: u64,
    /// Whether every subset of few changes is tried.
    is_exhaustive: bool,
}

fn random_subsets() -> u64 {
    std::env::var("REJOIN_CRASH_SUBSETS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000)
}

/// What a loss of power may keep of `changes`.
fn subsets(changes: &[u64], is_sync: bool, effort: Effort, random: &mut Random) -> Vec<Vec<Kept>> {
    let count = changes.len();
    let keep = |is_kept: &dyn Fn(usize) -> bool| -> Vec<Kept> {
        (0..count).map(|at| if is_kept(at) { Kept::Whole } else { Kept::Lost }).collect()
    };
    let mut all = vec![keep(&|_| false), keep(&|_| true)];
    if count <= ALL_SUBSETS_MAX && effort.is_exhaustive {
        all.extend((0..1_u32 << count).map(|bits| keep(&|at| bits >> at & 1 == 1)));
        return all;
    }
    all.extend((0..count).map(|gone| keep(&|at| at != gone)));
    all.extend((0..count).map(|alone| keep(&|at| at == alone)));
    all.extend((0..count).map(|end| keep(&|at| at < end)));
    for _ in 0..if is_sync { effort.random } else { 0 } {
        let percent = random.below(100);
        let one = (0..count).map(|_| match random.chance(percent) {
            true => Kept::Whole,
            false if random.chance(15) => Kept::Torn,
            false if random.chance(15) => Kept::TornAtStart,
            false => Kept::Lost,
        });
        all.push(one.collect());
    }
    all
}

/// What was tried.
#[derive(Default)]
struct Explored {
    /// Subsets of changes that differ.
    states: AtomicUsize,
    tried: Mutex<HashSet<(u64, u64)>>,
    /// Disks that differ, with what must hold on them: many subsets leave the same.
    disks: Mutex<HashSet<blake3::Hash>>,
}

impl Explored {
    fn is_new(
        &self,
        salt: (u64, usize),
        disk: &MemoryDisk,
        changes: &[u64],
        kept: &[Kept],
    ) -> bool {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        for (change, kept) in changes.iter().zip(kept).filter(|(_, kept)| **kept != Kept::Lost) {
            (change, kept).hash(&mut hasher);
        }
        self.tried.lock().unwrap().insert((disk.durable_mark(), hasher.finish()))
    }

    fn is_new_disk(&self, disk: &MemoryDisk, holding: &[Note]) -> bool {
        let mut hasher = blake3::Hasher::new();
        for (path, seen) in disk.seen() {
            let Seen { kind, content, mode, modified } = seen;
            hasher.update(format!("{path:?} {kind:?} {mode} {modified:?} {content:?}").as_bytes());
            content.pieces().for_each(|piece| {
                hasher.update(piece);
            });
        }
        hasher.update(format!("{holding:?}").as_bytes());
        self.disks.lock().unwrap().insert(hasher.finalize())
    }
}

/// Loses the power at `moment` in all the ways, and goes on after each.
fn lose_power(
    scenario: &Scenario,
    moment: &Moment,
    notes: &Notes,
    effort: Effort,
    (explored, history): (&Explored, u64),
) -> Result<(), String> {
    let holding: Vec<Note> =
        notes.iter().filter(|(by, _)| *by <= moment.operation).map(|(_, note)| *note).collect();
    let changes = moment.disk.unsynced();
    let mut random = Random::new(SEED ^ moment.operation);
    for kept in subsets(&changes, moment.is_sync, effort, &mut random) {
        // The same state has more to keep after more was promised.
        if !explored.is_new((history, holding.len()), &moment.disk, &changes, &kept) {
            continue;
        }
        explored.states.fetch_add(1, Ordering::Relaxed);
        let disk = lose(moment, &changes, &kept);
        if !explored.is_new_disk(&disk, &holding) {
            continue;
        }
        go_on(scenario, &disk, 2, &holding).map_err(|error| {
            format!(
                "power lost at operation {}, of {changes:?} {kept:?}: {error}",
                moment.operation
            )
        })?;
    }
    Ok(())
}

/// What holds on a disk after a crash; then the transfer is taken to its end.
fn go_on(scenario: &Scenario, disk: &MemoryDisk, boot: u8, holding: &[Note]) -> Result<(), String> {
    let attempt = || {
        scenario.check(disk, boot, holding)?;
        scenario.run(disk, boot, None, &mut Notes::new())?;
        // Another boot: what was not durable may be gone.
        scenario.check_end(disk, boot == 2)
    };
    catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|_| Err("a panic".to_owned()))
}

/// A life without a crash: the disk before each operation and at the end, and what was promised by when.
fn life(scenario: &Scenario, disk: &MemoryDisk) -> (Vec<Moment>, Notes) {
    disk.keep_history();
    let mut notes = Notes::new();
    scenario.live(disk, &mut notes).unwrap();
    (moments(disk), notes)
}

fn moments(disk: &MemoryDisk) -> Vec<Moment> {
    let mut moments = disk.history();
    let operation = disk.operations();
    moments.push(Moment { operation, is_sync: true, disk: disk.fork() });
    moments
}

/// Tries each of `moments` by all processors; the first violation ends it.
fn for_each(
    moments: &[Moment],
    attempt: impl Fn(&Moment) -> Result<(), String> + Sync,
) -> Result<(), String> {
    let next = AtomicUsize::new(0);
    let violation = Mutex::new(None);
    let work = || {
        while let Some(moment) = moments.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = attempt(moment) {
                next.store(moments.len(), Ordering::Relaxed);
                violation.lock().unwrap().get_or_insert(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    violation.into_inner().unwrap().map_or(Ok(()), Err)
}

/// Losses of power at every moment of one life.
fn powers(
    scenario: &Scenario,
    disk: &MemoryDisk,
    effort: Effort,
) -> Result<(usize, usize), String> {
    let (moments, notes) = life(scenario, disk);
    let explored = Explored::default();
    for_each(&moments, |moment| lose_power(scenario, moment, &notes, effort, (&explored, 0)))?;
    Ok((explored.states.into_inner(), explored.disks.into_inner().unwrap().len()))
}

/// A kill at every moment, a run that goes on, and losses of power at every moment of that.
fn kills(scenario: &Scenario, disk: &MemoryDisk, effort: Effort) -> Result<(usize, usize), String> {
    let (moments, notes) = life(scenario, disk);
    let explored = Explored::default();
    for_each(&moments, |moment| {
        let holding = notes.iter().filter(|(by, _)| *by <= moment.operation).copied();
        let mut notes: Notes = holding.collect();
        let kept: Vec<Note> = notes.iter().map(|(_, note)| *note).collect();
        explored.states.fetch_add(1, Ordering::Relaxed);
        let (disk, second) = (moment.disk.fork(), moment.disk.fork());
        let at = |error: String| format!("killed at operation {}: {error}", moment.operation);
        disk.restart();
        go_on(scenario, &disk, 1, &kept).map_err(at)?;
        second.restart();
        second.keep_history();
        scenario.run(&second, 1, None, &mut notes).map_err(at)?;
        // Numbers of changes begin to differ here: another history, another set of what was tried.
        let history = 1 + moment.operation;
        for moment in self::moments(&second).iter().filter(|moment| moment.is_sync) {
            lose_power(scenario, moment, &notes, effort, (&explored, history)).map_err(at)?;
        }
        Ok(())
    })?;
    Ok((explored.states.into_inner(), explored.disks.into_inner().unwrap().len()))
}

/// The small ones first.
fn scenarios() -> [(&'static str, Scenario); 5] {
    [
        ("flat, one by one", Scenario::flat(ONE_BY_ONE)),
        ("flat, at once", Scenario::flat(AT_ONCE)),
        ("one by one", Scenario::new(ONE_BY_ONE, false)),
        ("at once", Scenario::new(AT_ONCE, false)),
        ("with a neighbour", Scenario::new(ONE_BY_ONE, true)),
    ]
}

#[test]
fn a_power_loss_at_any_operation_keeps_every_promise() {
    let effort = Effort { random: random_subsets(), is_exhaustive: true };
    for (name, scenario) in &scenarios() {
        let begun = std::time::Instant::now();
        let (states, disks) = powers(scenario, &scenario.disk(), effort).unwrap();
        eprintln!("{name}: {states} losses of power, {disks} disks, in {:?}", begun.elapsed());
        assert!(states > 1_000, "{states}");
    }
}

#[test]
fn a_kill_at_any_operation_and_a_later_power_loss_keep_every_promise() {
    let effort = Effort { random: random_subsets() / 500, is_exhaustive: false };
    for (name, scenario) in &scenarios()[..2] {
        let begun = std::time::Instant::now();
        let (states, disks) = kills(scenario, &scenario.disk(), effort).unwrap();
        eprintln!(
            "{name}: {states} kills and losses of power, {disks} disks, in {:?}",
            begun.elapsed()
        );
        assert!(states > 1_000, "{states}");
    }
}

/// D-05: with any sync left out, some crash breaks a promise. So none of them is there for nothing, and the tests above
/// would notice if one went.
#[test]
fn every_sync_is_needed() {
    let scenarios = scenarios();
    let quick = Effort { random: 0, is_exhaustive: false };
    let mut needless = Vec::new();
    for point in SyncPoint::ALL {
        let begun = std::time::Instant::now();
        let without = |scenario: &Scenario| {
            let disk = scenario.disk();
            disk.ignore_syncs(Some(point));
            disk
        };
        let attempts = || {
            pages_of_a_sender(Some(point))?;
            end_of_a_session(Some(point))?;
            let mut all = scenarios.iter();
            all.try_for_each(|(_, one)| powers(one, &without(one), quick).map(drop))?;
            let mut small = scenarios[..2].iter();
            small.try_for_each(|(_, one)| kills(one, &without(one), quick).map(drop))
        };
        match attempts() {
            Err::<(), String>(violation) => {
                eprintln!("without {point:?} ({:?}): {violation}", begun.elapsed());
            }
            Ok(()) => needless.push(point),
        }
    }
    assert_eq!(needless, vec![]);
}

#[test]
fn a_sender_never_numbers_anew_what_it_sent() {
    pages_of_a_sender(None).unwrap();
}

#[test]
fn a_session_that_was_removed_stays_removed() {
    end_of_a_session(None).unwrap();
}

fn small_subsets(moment: &Moment) -> Vec<(Vec<u64>, Vec<Kept>)> {
    let changes = moment.disk.unsynced();
    let effort = Effort { random: 0, is_exhaustive: true };
    let all = subsets(&changes, true, effort, &mut Random::new(SEED));
    all.into_iter().map(|kept| (changes.clone(), kept)).collect()
}

fn lose(moment: &Moment, changes: &[u64], kept: &[Kept]) -> MemoryDisk {
    let disk = moment.disk.fork();
    disk.lose_power(|number| kept[changes.iter().position(|change| *change == number).unwrap()]);
    disk
}

/// Pages that a sender reported, and so sent, are the same after a loss of power, although the tree is another by then.
fn pages_of_a_sender(without: Option<SyncPoint>) -> Result<(), String> {
    let tree = MemoryDisk::new();
    tree.root().create_directory(b"tree", 0o755).unwrap();
    let files = tree.root().open_directory(b"tree").unwrap();
    for number in 0..20 {
        files.create_file(format!("file {number}").as_bytes(), 0o644).unwrap();
    }
    let sent = |disk: &MemoryDisk| -> Result<Vec<(u64, u64, Vec<u8>)>, String> {
        let roots = SourceRoots::from_parents([(tree.root(), vec![b"tree".to_vec()])]).unwrap();
        let directory =
            disk.root().open_directory(b"session").map_err(|error| error.to_string())?;
        let (mut scan, _store) =
            source::open(&roots, &directory, SESSION).map_err(|error| error.to_string())?;
        let mut pages = Vec::new();
        while let Some(report) = scan.next_report() {
            if let ScanReport::Page(page) = report {
                pages.push((disk.operations(), pages.len() as u64, page.encoded.to_vec()));
            }
        }
        Ok(pages)
    };
    let disk = MemoryDisk::new();
    disk.root().create_directory(b"session", 0o700).unwrap();
    disk.root().sync(SyncPoint::NewSession).unwrap();
    disk.ignore_syncs(without);
    disk.keep_history();
    let first = sent(&disk)?;
    assert!(!first.is_empty(), "{} pages", first.len());
    let begun = moments(&disk);
    // So that a page that is made again is another one.
    files.create_file(b"a", 0o644).unwrap();
    let check = |moment: &Moment, pages: &[(u64, u64, Vec<u8>)]| {
        for (changes, kept) in small_subsets(moment) {
            let again = sent(&lose(moment, &changes, &kept))?;
            for (_, number, encoded) in pages.iter().filter(|page| page.0 <= moment.operation) {
                let found = again.iter().find(|page| page.1 == *number);
                if found.is_none_or(|found| found.2 != *encoded) {
                    return Err(format!(
                        "page {number} is another: {} {changes:?} {kept:?}",
                        moment.operation
                    ));
                }
            }
        }
        Ok(())
    };
    for moment in &begun {
        check(moment, &first)?;
        let second = moment.disk.fork();
        second.restart();
        second.keep_history();
        let pages = sent(&second)?;
        for moment in moments(&second).iter().filter(|moment| moment.is_sync) {
            check(moment, &pages)?;
        }
    }
    Ok(())
}

/// A session that was removed is not there again after a loss of power.
fn end_of_a_session(without: Option<SyncPoint>) -> Result<(), String> {
    let disk = MemoryDisk::new();
    disk.ignore_syncs(without);
    let state =
        StateDirectory::new(disk.root(), Role::Receiver).map_err(|error| error.to_string())?;
    let side = Side::Receiver { target: b"/target".to_vec() };
    let session = state.create(SessionRecord::new(SESSION, MemberId([1; 16]), side, 1)).unwrap();
    disk.root().sync_file_system(SyncPoint::PartialFileSystem).unwrap();
    disk.keep_history();
    state.remove_own(session).unwrap();
    let moments = moments(&disk);
    let removed = moments.last().map(|moment| moment.operation);
    for moment in &moments {
        for (changes, kept) in small_subsets(moment) {
            let disk = lose(moment, &changes, &kept);
            let state = StateDirectory::new(disk.root(), Role::Receiver).unwrap();
            match state.open_session(SESSION) {
                Ok(_) if Some(moment.operation) == removed => {
                    return Err(format!("the session is there again: {changes:?} {kept:?}"));
                }
                Ok(_) | Err(StateError::NoSession(_)) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }
    Ok(())
}
