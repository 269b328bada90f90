//! Losses of power at every operation of a receiver's life, and after a kill at every operation of it (P-04, D-04, D-05);
//! and that each sync of the code is needed for them.
//!
//! A loss of power may take any subset of what was not synced. Up to ten such changes all subsets are tried; of more every
//! prefix, each one alone, each one missing, and as many random ones as `REJOIN_CRASH_SUBSETS` says (1,000; each with
//! writes that are torn in the middle). A subset that an earlier moment had is not tried twice.

use crate::support::crash::{AT_ONCE, Note, Notes, ONE_BY_ONE, Scenario};
use crate::support::random::Random;
use rejoin::store::fs::SyncPoint;
use rejoin::store::memory::{Kept, MemoryDisk, Moment};
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
            false if random.chance(20) => Kept::Torn,
            false => Kept::Lost,
        });
        all.push(one.collect());
    }
    all
}

/// What was tried.
#[derive(Default)]
struct Explored {
    states: AtomicUsize,
    tried: Mutex<HashSet<(u64, u64)>>,
}

impl Explored {
    fn is_new(&self, disk: &MemoryDisk, changes: &[u64], kept: &[Kept]) -> bool {
        let mut hasher = DefaultHasher::new();
        for (change, kept) in changes.iter().zip(kept).filter(|(_, kept)| **kept != Kept::Lost) {
            (change, *kept == Kept::Whole).hash(&mut hasher);
        }
        self.tried.lock().unwrap().insert((disk.durable_mark(), hasher.finish()))
    }
}

/// Loses the power at `moment` in all the ways, and goes on after each.
fn lose_power(
    scenario: &Scenario,
    moment: &Moment,
    notes: &Notes,
    effort: Effort,
    explored: &Explored,
) -> Result<(), String> {
    let holding: Vec<Note> =
        notes.iter().filter(|(by, _)| *by <= moment.operation).map(|(_, note)| *note).collect();
    let changes = moment.disk.unsynced();
    let mut random = Random::new(SEED ^ moment.operation);
    for kept in subsets(&changes, moment.is_sync, effort, &mut random) {
        if !explored.is_new(&moment.disk, &changes, &kept) {
            continue;
        }
        explored.states.fetch_add(1, Ordering::Relaxed);
        let disk = moment.disk.fork();
        disk.lose_power(|number| {
            kept[changes.iter().position(|change| *change == number).unwrap()]
        });
        go_on(scenario, &disk, 2, &holding).map_err(|error| {
            format!("power lost at operation {}, of {changes:?} {kept:?}: {error}", moment.operation)
        })?;
    }
    Ok(())
}

/// What holds on a disk after a crash; then the transfer is taken to its end.
fn go_on(scenario: &Scenario, disk: &MemoryDisk, boot: u8, holding: &[Note]) -> Result<(), String> {
    let attempt = || {
        scenario.check(disk, boot, holding)?;
        scenario.run(disk, boot, None, &mut Notes::new())?;
        scenario.check_end(disk)
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
fn powers(scenario: &Scenario, disk: &MemoryDisk, effort: Effort) -> Result<usize, String> {
    let (moments, notes) = life(scenario, disk);
    let explored = Explored::default();
    for_each(&moments, |moment| lose_power(scenario, moment, &notes, effort, &explored))?;
    Ok(explored.states.into_inner())
}

/// A kill at every moment, a run that goes on, and losses of power at every moment of that.
fn kills(scenario: &Scenario, disk: &MemoryDisk, effort: Effort) -> Result<usize, String> {
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
        let tried = Explored::default();
        for moment in self::moments(&second).iter().filter(|moment| moment.is_sync) {
            lose_power(scenario, moment, &notes, effort, &tried).map_err(at)?;
        }
        explored.states.fetch_add(tried.states.into_inner(), Ordering::Relaxed);
        Ok(())
    })?;
    Ok(explored.states.into_inner())
}

fn scenarios() -> [(&'static str, Scenario); 3] {
    [
        ("one by one", Scenario::new(ONE_BY_ONE, false)),
        ("at once", Scenario::new(AT_ONCE, false)),
        ("with a neighbour", Scenario::new(ONE_BY_ONE, true)),
    ]
}

#[test]
fn a_power_loss_at_any_operation_keeps_every_promise() {
    let effort = Effort { random: random_subsets(), is_exhaustive: true };
    for (name, scenario) in &scenarios()[..2] {
        let begun = std::time::Instant::now();
        let states = powers(scenario, &scenario.disk(), effort).unwrap();
        eprintln!("{name}: {states} states after losses of power, in {:?}", begun.elapsed());
        assert!(states > 1_000, "{states}");
    }
}
