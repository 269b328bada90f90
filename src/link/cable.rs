//! The cable between this process and the network, as a switch: while it is cut, every UDP datagram is dropped, both ways.
//! And how much content a sender hands to its connections in a second.
//!
//! Nobody outside reaches it. It is for `rejoin demo`, whose own children it cuts, and for the fault injection of tests.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

static CUT: AtomicBool = AtomicBool::new(false);
/// Bytes a second; 0: as many as there are.
static RATE: AtomicU64 = AtomicU64::new(0);
static FREE_AT: Mutex<Option<Instant>> = Mutex::new(None);

/// Cuts the cable, or mends it.
pub fn cut(on: bool) {
    CUT.store(on, Ordering::Relaxed);
}

/// Whether datagrams are to be dropped now.
#[must_use]
pub fn is_cut() -> bool {
    CUT.load(Ordering::Relaxed)
}

/// Makes the cable thin: so many bytes of content a second, over all connections; 0: no bound.
pub fn thin(bytes_per_second: u64) {
    RATE.store(bytes_per_second, Ordering::Relaxed);
}

/// Waits until a thin cable takes `length` bytes more.
pub(super) async fn pace(length: usize) {
    let rate = RATE.load(Ordering::Relaxed);
    if rate == 0 {
        return;
    }
    let start = {
        let mut free_at = FREE_AT.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, next) = book(*free_at, length, rate, Instant::now());
        *free_at = Some(next);
        start
    };
    tokio::time::sleep_until(start.into()).await;
}

/// When `length` bytes may go over a cable that is free at `free_at`, and when it is free again. An idle one saves
/// nothing up.
pub(super) fn book(
    free_at: Option<Instant>,
    length: usize,
    rate: u64,
    now: Instant,
) -> (Instant, Instant) {
    let start = free_at.map_or(now, |at| at.max(now));
    (start, start + Duration::from_secs_f64(length as f64 / rate as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thin_cable_takes_its_rate_and_saves_nothing_up() {
        let start = Instant::now();
        let (first, free_at) = book(None, 500, 1000, start);
        assert_eq!((first, free_at), (start, start + Duration::from_millis(500)));
        assert_eq!(book(Some(free_at), 500, 1000, start).0, free_at);
        let later = start + Duration::from_secs(60);
        assert_eq!(book(Some(free_at), 1, 1000, later).0, later);
    }
}
