//! Faults of the network, for tests: the environment's hand on the [`cable`], and a count of what went into it.
//!
//! Only with the feature `fault-injection`. The cable is cut while the file exists that `REJOIN_FAULT_CUT` names;
//! `REJOIN_FAULT_RATE` makes it thin, so that a fault meets a transfer in its middle. `REJOIN_FAULT_COUNT` names a file that
//! holds the bytes of content handed to connections (8 bytes, little-endian); it outlives a process that is killed, so that
//! what was sent twice can be told. The stack's thread
//! panics, once in a process, as soon as the file that `REJOIN_FAULT_PANIC` names is there. One bit is wrong in one of so many
//! reads of datagrams as `REJOIN_FAULT_FLIP` says.

use std::fs::File;
use std::io::{IoSliceMut, Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::cable;
use crate::environment;

/// Whether the stack's thread is to panic.
static PANIC: AtomicBool = AtomicBool::new(false);
static WATCH: OnceLock<()> = OnceLock::new();
static COUNT: OnceLock<Option<Mutex<Count>>> = OnceLock::new();

/// How often the file is looked for.
const WATCH_INTERVAL: Duration = Duration::from_millis(10);

/// Starts to follow the environment. Once per process.
pub fn watch() {
    WATCH.get_or_init(|| {
        let rate = environment::text("REJOIN_FAULT_RATE").and_then(|rate| rate.parse().ok());
        if let Some(rate) = rate {
            cable::thin(rate);
        }
        let path = |name| environment::variable(name).map(PathBuf::from);
        let (cut, mut panic) = (path("REJOIN_FAULT_CUT"), path("REJOIN_FAULT_PANIC"));
        if cut.is_none() && panic.is_none() {
            return;
        }
        let watcher = std::thread::Builder::new().name("fault-cut".into());
        let started = watcher.spawn(move || {
            loop {
                if let Some(cut) = &cut {
                    cable::cut(cut.exists());
                }
                if panic.take_if(|path| path.exists()).is_some() {
                    PANIC.store(true, Ordering::Relaxed);
                }
                std::thread::sleep(WATCH_INTERVAL);
            }
        });
        if let Err(error) = started {
            tracing::error!(target: "rejoin::link", %error, "cannot watch the fault file");
        }
    });
}

/// Reads of datagrams for one with a wrong bit; 0: none has one.
static FLIP: OnceLock<u64> = OnceLock::new();
static READS: AtomicU64 = AtomicU64::new(0);

/// Changes a bit of what was read, now and then.
pub(super) fn flip_all(buffers: &mut [IoSliceMut<'_>], lengths: impl Iterator<Item = usize>) {
    for (buffer, length) in buffers.iter_mut().zip(lengths) {
        flip(buffer.get_mut(..length).unwrap_or_default());
    }
}

/// Another place each time.
fn flip(read: &mut [u8]) {
    let flip = || environment::text("REJOIN_FAULT_FLIP").and_then(|every| every.parse().ok());
    let every = *FLIP.get_or_init(|| flip().unwrap_or(0));
    if every == 0 {
        return;
    }
    let number = READS.fetch_add(1, Ordering::Relaxed) + 1;
    let place = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let length = read.len().max(1) as u64;
    if let (true, Some(byte)) =
        (number.is_multiple_of(every), read.get_mut((place % length) as usize))
    {
        *byte ^= 1 << (place % 8);
    }
}

/// Called on the stack's thread, where it reads.
pub(super) fn panic_if_due() {
    assert!(!PANIC.swap(false, Ordering::Relaxed), "a panic on the stack's thread, as asked for");
}

/// The directory of the file that is counted in: a process that confines itself needs it.
#[must_use]
pub fn places() -> Option<PathBuf> {
    let file = PathBuf::from(environment::variable("REJOIN_FAULT_COUNT")?);
    file.parent().map(std::path::Path::to_path_buf)
}

/// Counts content that goes out.
pub fn count(length: usize) {
    let count = COUNT.get_or_init(|| Count::from_environment().map(Mutex::new));
    if let Some(count) = count {
        count.lock().unwrap_or_else(PoisonError::into_inner).add(length);
    }
}

#[derive(Debug)]
struct Count {
    file: File,
    bytes: u64,
}

impl Count {
    fn from_environment() -> Option<Self> {
        let path = environment::variable("REJOIN_FAULT_COUNT")?;
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(path).ok()?;
        let mut bytes = [0; 8];
        // An empty file counts from zero.
        let is_there = file.read_exact(&mut bytes).is_ok();
        Some(Self { file, bytes: if is_there { u64::from_le_bytes(bytes) } else { 0 } })
    }

    fn add(&mut self, length: usize) {
        self.bytes += length as u64;
        // A count that cannot be written is missed by the test that asked for it.
        let _ = self.file.rewind().and_then(|()| self.file.write_all(&self.bytes.to_le_bytes()));
    }
}
