//! What the runtime of a link, its sockets and its timers share: counters, who is heard, what TURN servers say, and when the driver wakes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, mpsc};

use crate::link::admission::{Admission, Verdict};
use crate::link::allocation::{Allocation, AllocationWatch};

/// Bytes read in one go before the driver gets to send. It reads up to 64 trains in a row otherwise, a whole window,
/// before it acknowledges anything, and both sides idle in turns.
pub(super) const READ_BURST_BYTES: u64 = 128 * 1024;

/// What the sockets of one link have moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SocketCounts {
    /// Datagrams sent; each segment of a GSO train counts.
    pub datagrams_sent: u64,
    /// Bytes sent, without UDP and IP headers.
    pub bytes_sent: u64,
    /// Datagrams received; each segment of a GRO train counts.
    pub datagrams_received: u64,
    /// Bytes received, without UDP and IP headers.
    pub bytes_received: u64,
    /// Datagrams that came in and were given to nobody.
    pub datagrams_dropped: u64,
    /// Datagrams to addresses that never answered that were not sent, to spare whoever is there.
    pub datagrams_withheld: u64,
    /// Sends that the system refused for a reason that passes (no route, no buffer, too long): lost like any packet.
    pub sends_refused: u64,
}

/// When the driver's sleep may be cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum WakeMode {
    /// After everything that happens, for a few passes: what goes through TURN needs them.
    Relayed = 0,
    /// By every datagram: the link is being set up.
    EveryDatagram = 1,
    /// By [`LinkRuntime::wake`](super::LinkRuntime::wake) only.
    OnRequest = 2,
    /// By nothing: `close()` uses the same sleep as its own timeout.
    Never = 3,
}

/// State shared by the runtime, its sockets and its timers.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) wake: Notify,
    pub(super) wake_mode: AtomicU8,
    /// Whether the channels are there: until then, the stack gets one datagram in a pass.
    pub(super) is_open: AtomicBool,
    /// Sleeps that end at once: see [`super::RELAY_PASSES`].
    pub(super) passes: AtomicU8,
    pub(super) sockets: AtomicUsize,
    pub(super) datagrams_sent: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
    pub(super) datagrams_received: AtomicU64,
    pub(super) bytes_received: AtomicU64,
    pub(super) sends_refused: AtomicU64,
    /// What the path takes uncut, once datagrams are known to be cut: see `cutting`.
    pub(super) cut_bytes: AtomicU32,
    pub(super) allocations: Allocations,
    admission: Mutex<Admission>,
}

/// The dialogue with TURN servers, listened to.
#[derive(Debug, Default)]
pub(super) struct Allocations {
    watch: Mutex<AllocationWatch>,
    /// How many wait, so that a link that waits for none looks at no datagram.
    waiting: AtomicUsize,
    pub(super) report: OnceLock<mpsc::Sender<(SocketAddr, Allocation)>>,
}

impl Allocations {
    pub(super) fn on_sent(&self, datagram: &[u8], destination: SocketAddr) {
        if AllocationWatch::is_request(datagram) {
            let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
            watch.handle_sent(datagram, destination);
            self.waiting.store(watch.waiting(), Ordering::Relaxed);
        }
    }

    pub(super) fn on_received(&self, datagram: &[u8]) {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(found), Some(report)) = (watch.handle_received(datagram), self.report.get()) {
            // Full: dozens are told already.
            let _ = report.try_send(found);
        }
        self.waiting.store(watch.waiting(), Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            wake: Notify::new(),
            wake_mode: AtomicU8::new(WakeMode::EveryDatagram as u8),
            is_open: AtomicBool::new(false),
            passes: AtomicU8::new(0),
            sockets: AtomicUsize::new(0),
            datagrams_sent: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            datagrams_received: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
            sends_refused: AtomicU64::new(0),
            cut_bytes: AtomicU32::new(0),
            allocations: Allocations::default(),
            admission: Mutex::new(Admission::new(false)),
        }
    }

    pub(super) fn wakes_on(&self, mode: WakeMode) -> bool {
        self.wake_mode.load(Ordering::Relaxed) <= mode as u8
    }

    /// Bytes that the stack may have in one pass.
    pub(super) fn burst_bytes_max(&self) -> u64 {
        if self.is_open.load(Ordering::Acquire) { READ_BURST_BYTES } else { 1 }
    }

    pub(super) fn on_received(&self, datagrams: u64, bytes: u64) {
        self.datagrams_received.fetch_add(datagrams, Ordering::Relaxed);
        self.bytes_received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What is to become of a datagram that `from` sent to our socket `local`.
    pub(super) fn judge(
        &self,
        local: SocketAddr,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> Verdict {
        let verdict = self.admission().handle_received(local, from, datagram, now);
        if verdict == Verdict::Stack {
            self.allocations.on_received(datagram);
        }
        verdict
    }

    pub(super) fn admission(&self) -> MutexGuard<'_, Admission> {
        // Nothing panics while it is held that would leave it half changed.
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stack got something.
    pub(super) fn on_delivered(&self) {
        if self.wakes_on(WakeMode::EveryDatagram) {
            self.wake.notify_one();
        }
    }

    /// Uses up a pass, if one is left.
    pub(super) fn take_pass(&self) -> bool {
        let left = |passes: u8| passes.checked_sub(1);
        self.passes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok()
    }

    pub(super) fn on_sent(&self, datagrams: u64, bytes: u64) {
        self.datagrams_sent.fetch_add(datagrams, Ordering::Relaxed);
        self.bytes_sent.fetch_add(bytes, Ordering::Relaxed);
    }
}
