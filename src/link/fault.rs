//! A cut cable, for tests: while the switch is on, every UDP datagram of this process is dropped, both ways.
//!
//! Only with the feature `fault-injection`. The switch is set by [`cut`], or from outside by the file that
//! `REJOIN_FAULT_CUT` names: the cable is cut while that file exists.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static CUT: AtomicBool = AtomicBool::new(false);
static WATCH: OnceLock<()> = OnceLock::new();

/// How often the file is looked for.
const WATCH_INTERVAL: Duration = Duration::from_millis(10);

/// Cuts the cable, or mends it.
pub fn cut(on: bool) {
    CUT.store(on, Ordering::Relaxed);
}

/// Whether datagrams are to be dropped now.
pub fn is_cut() -> bool {
    CUT.load(Ordering::Relaxed)
}

/// Starts to follow the file, if the environment names one. Once per process.
pub fn watch() {
    WATCH.get_or_init(|| {
        let Some(path) = std::env::var_os("REJOIN_FAULT_CUT").map(PathBuf::from) else {
            return;
        };
        let watcher = std::thread::Builder::new().name("fault-cut".into());
        let started = watcher.spawn(move || {
            loop {
                cut(path.exists());
                std::thread::sleep(WATCH_INTERVAL);
            }
        });
        if let Err(error) = started {
            tracing::error!(target: "rejoin::link", %error, "cannot watch the fault file");
        }
    });
}
