//! The campaign: real processes, disturbed in every way at random moments, lose nothing and come back by themselves.
//!
//! `REJOIN_TEST_CAMPAIGN_DROPS` (50), `_SEED` (1), `_PARALLEL`, and for a single kind `_KIND` (`CutUdp` …) change it; 200
//! drops and more are the long version, which also holds the times. `REJOIN_TEST_BINARY` names another build of the
//! program, with the feature `fault-injection`.
//!
//! The soak: a sender, a receiver and a host that live through all faults that do not kill, for `REJOIN_TEST_SOAK_MINUTES`
//! (1), and take no more of the machine at the end.

use crate::support::campaign::transfer::Transfer;
use crate::support::campaign::{self, Settings};

/// The least share of drops after which nobody had to do anything.
const RECOVERED_MIN: f64 = 0.99;
/// Seconds until a transfer is back, on average and for all but one in twenty.
const BACK_MEAN_MAX: f64 = 3.0;
const BACK_P95_MAX: f64 = 8.0;

#[test]
fn drops_of_every_kind_lose_nothing() {
    let settings = Settings::from_environment();
    let report = campaign::run(&settings);
    eprintln!("{report}");
    assert_eq!(report.wrong(), Vec::<String>::new());
    assert_eq!(report.wasteful(), Vec::<String>::new());
    let (recovered, drops) = report.recovered();
    if drops < 200 {
        assert_eq!(recovered, drops, "{report}");
        return;
    }
    assert!(recovered as f64 >= drops as f64 * RECOVERED_MIN, "{report}");
    let (mean, p95) = report.back();
    assert!(mean < BACK_MEAN_MAX && p95 < BACK_P95_MAX, "{report}");
}

/// Bytes a second of the soak.
const SOAK_RATE: u64 = 1 << 20;
/// What a process may take more at the end than when it was warm: memory that an allocator keeps, and a connection that is
/// being made while another one still closes.
const MEMORY_KIB_MORE: f64 = 24.0 * 1024.0;
const FILES_MORE: f64 = 24.0;
const THREADS_MORE: f64 = 8.0;

#[test]
fn processes_that_live_through_it_take_no_more() {
    let minutes = std::env::var("REJOIN_TEST_SOAK_MINUTES");
    let minutes: u64 = minutes.map_or(1, |text| text.parse().unwrap());
    let settings = Settings::from_environment();
    // About half of the time is outages.
    let transfer = Transfer::lasting(&settings, settings.seed, SOAK_RATE, minutes * 30);
    let (outcome, usage) = transfer.soak();
    let drops = outcome.drops.len();
    let recovered = outcome.drops.iter().filter(|drop| drop.back.is_some()).count();
    eprintln!("soak of {:.0} s, {drops} drops\n{usage}", outcome.elapsed.as_secs_f64());
    assert_eq!((&outcome.wrong, &outcome.odd), (&Vec::new(), &Vec::new()));
    assert!(drops > 0, "nothing was disturbed: does the binary have the feature?");
    assert_eq!(recovered, drops);
    for (process, figure, trend) in usage.trends() {
        let more = match figure {
            "open files" => FILES_MORE,
            "threads" => THREADS_MORE,
            _ => MEMORY_KIB_MORE,
        };
        assert!(trend.last - trend.first < more, "{process}: {figure}: {trend:?}");
    }
}
