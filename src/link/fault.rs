//! Faults of the network, for tests: a cable that is cut, a line that is thin, and a count of what went into it.
//!
//! Only with the feature `fault-injection`. The cable is cut by [`cut`], or from outside by the file that
//! `REJOIN_FAULT_CUT` names: every UDP datagram of this process is dropped, both ways, while that file exists.
//! `REJOIN_FAULT_RATE` bounds the content that a sender hands to its connections, in bytes a second, so that a fault
//! meets a transfer in its middle. `REJOIN_FAULT_COUNT` names a file that holds their sum (8 bytes, little-endian); it
//! outlives a process that is killed, so that what was sent twice can be told.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

static CUT: AtomicBool = AtomicBool::new(false);
static WATCH: OnceLock<()> = OnceLock::new();
static LINE: OnceLock<Option<Mutex<Line>>> = OnceLock::new();

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

/// Waits until the thin line takes `length` bytes more, and counts them.
pub async fn pace(length: usize) {
    let line = LINE.get_or_init(|| Line::from_environment().map(Mutex::new));
    let Some(line) = line else { return };
    let free_at = line.lock().unwrap_or_else(PoisonError::into_inner).take(length, Instant::now());
    tokio::time::sleep_until(free_at).await;
}

/// A line of so many bytes a second, shared by all connections of this process.
#[derive(Debug)]
struct Line {
    bytes_per_second: u64,
    free_at: Option<Instant>,
    count: Option<File>,
    counted: u64,
}

impl Line {
    /// None without a rate.
    fn from_environment() -> Option<Self> {
        let rate =
            std::env::var("REJOIN_FAULT_RATE").ok()?.parse().ok().filter(|rate| *rate > 0)?;
        let mut count = std::env::var_os("REJOIN_FAULT_COUNT").and_then(|path| {
            File::options().read(true).write(true).create(true).truncate(false).open(path).ok()
        });
        let mut bytes = [0; 8];
        // An empty file counts from zero.
        let counted = match count.as_mut().map(|count| count.read_exact(&mut bytes)) {
            Some(Ok(())) => u64::from_le_bytes(bytes),
            Some(Err(_)) | None => 0,
        };
        Some(Self { bytes_per_second: rate, free_at: None, count, counted })
    }

    /// When `length` bytes may go, now being `now`; an idle line saves nothing up.
    fn take(&mut self, length: usize, now: Instant) -> Instant {
        let start = self.free_at.unwrap_or(now).max(now);
        let seconds = length as f64 / self.bytes_per_second as f64;
        self.free_at = Some(start + Duration::from_secs_f64(seconds));
        self.counted += length as u64;
        if let Some(count) = &mut self.count {
            // A count that cannot be written is missed by the test that asked for it.
            let _ = count.rewind().and_then(|()| count.write_all(&self.counted.to_le_bytes()));
        }
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thin_line_takes_its_rate_and_saves_nothing_up() {
        let mut line = Line { bytes_per_second: 1000, free_at: None, count: None, counted: 0 };
        let start = Instant::now();
        assert_eq!(line.take(500, start), start);
        assert_eq!(line.take(500, start), start + Duration::from_millis(500));
        let later = start + Duration::from_secs(60);
        assert_eq!(line.take(1, later), later);
        assert_eq!(line.counted, 1001);
    }
}
