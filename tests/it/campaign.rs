//! The campaign: real processes, disturbed in every way at random moments, lose nothing and come back by themselves.
//!
//! `REJOIN_TEST_CAMPAIGN_DROPS` (50), `_SEED` (1), `_PARALLEL`, and for a single kind `_KIND` (`CutUdp` …) change it; 200
//! drops and more are the long version, which also holds the times. `REJOIN_TEST_BINARY` names another build of the
//! program, with the feature `fault-injection`.

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
