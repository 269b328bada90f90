//! Many transfers of real processes at once, each of which is disturbed again and again.

pub(crate) mod faults;
pub(crate) mod meter;
pub(crate) mod proxy;
pub(crate) mod report;
pub(crate) mod timeline;
pub(crate) mod transfer;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use report::Report;
use transfer::Transfer;

/// How hard it is to be.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Drops in all.
    pub(crate) drops: u64,
    /// Of the first transfer; the next one has the next.
    pub(crate) seed: u64,
    /// Transfers at a time.
    pub(crate) parallel: usize,
    /// Longest cut of a cable or a socket; the shortest is a second.
    pub(crate) cut_max: Duration,
    /// How long a process is stopped.
    pub(crate) stop: Duration,
    /// Megabytes a second of the fastest transfer.
    pub(crate) rate_mib_max: u64,
    /// Where what processes said is kept of transfers that something was odd about.
    pub(crate) logs: PathBuf,
}

impl Settings {
    /// The short version, or what the environment says.
    pub(crate) fn from_environment() -> Self {
        let number = |name: &str, default: u64| {
            let text = std::env::var(format!("REJOIN_TEST_CAMPAIGN_{name}"));
            text.map_or(default, |text| text.parse().unwrap())
        };
        let drops = number("DROPS", 50);
        let is_long = drops >= 200;
        Self {
            drops,
            seed: number("SEED", 1),
            parallel: number("PARALLEL", if is_long { 16 } else { 8 }) as usize,
            cut_max: Duration::from_secs(number("CUT_MAX", if is_long { 40 } else { 15 })),
            // Longer than what makes a link dead, in any case.
            stop: Duration::from_secs(number("STOP", if is_long { 60 } else { 25 })),
            rate_mib_max: number("RATE_MIB", 2),
            logs: std::env::temp_dir().join(format!("rejoin-campaign-{}", std::process::id())),
        }
    }
}

/// Runs it all.
pub(crate) fn run(settings: &Settings) -> Report {
    let left = AtomicU64::new(settings.drops);
    let next = AtomicU64::new(settings.seed);
    let report = Mutex::new(Report::new(settings));
    std::thread::scope(|scope| {
        for _ in 0..settings.parallel {
            scope.spawn(|| {
                while left.load(Ordering::Relaxed) > 0 {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let outcome = Transfer::new(settings, seed).run(&left);
                    report.lock().unwrap().add(outcome);
                }
            });
        }
    });
    report.into_inner().unwrap()
}
