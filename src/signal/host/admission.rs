//! Who gets a socket, decided at accept, before anything is read (H-13).
//!
//! A socket is counted to its address and to the whole host until it is closed. One that is no WebSocket yet is a guest: it has
//! a deadline, whatever its connection is busy with, and of more guests than there is room for the oldest one gives way, first
//! among those of the same address. An honest request takes milliseconds, so it outlives any flood of half ones.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, watch};

use crate::signal::account_buckets::AccountBuckets;
use crate::signal::client::Stream;
use crate::signal::protocol::MESSAGE_BYTES_MAX;
use crate::signal::room::Limits;
use crate::signal::subscriber::{Account, Places, Subscriber};
use crate::time::Bucket;

/// Sockets of one address beyond its WebSockets: a health check, and a word of why another one is not taken.
const SPARE_OF_ONE: usize = 16;
/// Of all sockets at most this part are guests, and so of those of one address.
const GUESTS_PART: usize = 4;
/// Fewest guests of one address: what a client tries side by side.
const GUESTS_OF_ONE_MIN: usize = 8;
/// New sockets of one address at once, as a multiple of those that it may hold; and that it may open a second, as a part.
const ARRIVALS_FACTOR: usize = 2;
const ARRIVALS_PART: usize = 4;
/// The same of all addresses, of which a proxy has half.
const ARRIVALS_ALL: usize = 32;
/// Addresses whose arrivals are remembered before those that say nothing any more are looked for.
const ARRIVALS_SWEEP: usize = 1_024;
/// Bytes that a socket may say without a message, a ping or a pong coming of them: a message in pieces, twice as long on the wire as
/// itself. In pieces of nothing it has no end, and is never too long.
const UNHEARD_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;
/// Most addresses whose arrivals are remembered. Whoever has more is limited by the sockets of all.
const ARRIVALS_MAX: usize = 65_536;

/// The sockets of one host.
#[derive(Debug)]
pub(super) struct Admission {
    state: Mutex<State>,
    /// How many are open.
    open: watch::Sender<usize>,
}

#[derive(Debug)]
struct State {
    sockets: Places,
    guests: Places,
    /// Those that are no WebSocket, in order of arrival, and how each is told to go.
    in_order: BTreeMap<u64, (Subscriber, Arc<Notify>)>,
    by_account: BTreeSet<(Account, u64)>,
    arrivals: AccountBuckets,
    arrivals_of_one: usize,
    arrivals_swept_at: usize,
    next: u64,
}

/// One socket's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    subscriber: Subscriber,
    number: u64,
    gives_way: Arc<Notify>,
    /// Bytes read since something came of them.
    unheard: AtomicUsize,
}

/// A socket that keeps its place for as long as it is open.
pub(super) struct Placed {
    stream: Stream,
    place: Arc<Place>,
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let of_one = limits.connections_per_address_max.saturating_add(SPARE_OF_ONE);
        let of_all = limits.sockets_max();
        let part = |sockets: usize| (sockets / GUESTS_PART).max(GUESTS_OF_ONE_MIN);
        let state = State {
            sockets: Places::new(of_one, of_all),
            guests: Places::new(part(of_one), part(of_all)),
            in_order: BTreeMap::new(),
            by_account: BTreeSet::new(),
            arrivals: AccountBuckets::new(ARRIVALS_MAX),
            arrivals_of_one: of_one,
            arrivals_swept_at: 0,
            next: 0,
        };
        Arc::new(Self { state: Mutex::new(state), open: watch::Sender::new(0) })
    }

    /// A place for a socket that was accepted; `None` where the host or the address has as many as it may.
    pub(super) fn admit(self: &Arc<Self>, subscriber: Subscriber, now: Instant) -> Option<Place> {
        let mut state = self.state();
        if !state.count_arrival(subscriber, now) || !state.sockets.take(subscriber) {
            return None;
        }
        state.next += 1;
        let (number, gives_way) = (state.next, Arc::new(Notify::new()));
        if subscriber != Subscriber::Own {
            state.make_room(subscriber);
            state.guests.take(subscriber);
            state.by_account.extend(subscriber.accounts().map(|account| (account, number)));
            state.in_order.insert(number, (subscriber, Arc::clone(&gives_way)));
        }
        drop(state);
        self.open.send_modify(|open| *open += 1);
        let (admission, unheard) = (Arc::clone(self), AtomicUsize::new(0));
        Some(Place { admission, subscriber, number, gives_way, unheard })
    }

    /// Waits until no socket is left.
    pub(super) async fn all_closed(&self) {
        // The sender is here.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a socket that was opened, whatever becomes of it; false, and not counted, where the address opens them too fast.
    fn count_arrival(&mut self, subscriber: Subscriber, now: Instant) -> bool {
        let of_one = self.arrivals_of_one;
        if self.arrivals.len() >= self.arrivals_swept_at + ARRIVALS_SWEEP {
            self.arrivals.sweep(now);
            self.arrivals_swept_at = self.arrivals.len();
        }
        self.arrivals.take(subscriber, now, |account| {
            let share = account.share(of_one, of_one.saturating_mul(ARRIVALS_ALL));
            let burst = u32::try_from(share * ARRIVALS_FACTOR).unwrap_or(u32::MAX);
            Bucket::new(burst, share as f64 / ARRIVALS_PART as f64)
        })
    }

    /// Tells the oldest guest to go where there are too many: of the same account, or of all.
    fn make_room(&mut self, subscriber: Subscriber) {
        while let Some(account) = self.guests.full_account(subscriber) {
            let mut of_account = self.by_account.range((account, 0)..=(account, u64::MAX));
            let Some((_, number)) = of_account.next() else { return };
            self.dismiss(*number);
        }
        while !self.guests.has_room(subscriber) {
            let Some((number, _)) = self.in_order.first_key_value() else { return };
            self.dismiss(*number);
        }
    }

    fn dismiss(&mut self, number: u64) {
        if let Some(gives_way) = self.forget_guest(number) {
            gives_way.notify_one();
        }
    }

    fn forget_guest(&mut self, number: u64) -> Option<Arc<Notify>> {
        let (subscriber, gives_way) = self.in_order.remove(&number)?;
        self.guests.give_back(subscriber);
        for account in subscriber.accounts() {
            self.by_account.remove(&(account, number));
        }
        Some(gives_way)
    }
}

impl Place {
    pub(super) const fn subscriber(&self) -> Subscriber {
        self.subscriber
    }

    /// The socket is a WebSocket now, with deadlines of its own.
    pub(super) fn stay(&self) {
        self.admission.state().forget_guest(self.number);
    }

    /// A message came of what was read, a ping or a pong.
    pub(super) fn hear(&self) {
        self.unheard.store(0, Ordering::Relaxed);
    }

    /// Counts what was read; false: it is too much for what came of it.
    fn count_read(&self, bytes: usize) -> bool {
        self.unheard.fetch_add(bytes, Ordering::Relaxed) + bytes <= UNHEARD_BYTES_MAX
    }

    /// Waits until the place is wanted by somebody else.
    pub(super) async fn wanted(&self) {
        self.gives_way.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        state.forget_guest(self.number);
        state.sockets.give_back(self.subscriber);
        drop(state);
        self.admission.open.send_modify(|open| *open = open.saturating_sub(1));
    }
}

impl Placed {
    pub(super) const fn new(stream: Stream, place: Arc<Place>) -> Self {
        Self { stream, place }
    }
}

impl AsyncRead for Placed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let bytes = buffer.filled().len() - before;
        let is_within = self.place.count_read(bytes);
        Poll::Ready(if is_within { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) })
    }
}

impl AsyncWrite for Placed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn of(address: &str) -> Subscriber {
        Subscriber::Address(address.parse().unwrap())
    }

    fn admission() -> Arc<Admission> {
        let limits = Limits {
            connections_max: 200,
            connections_per_address_max: 48,
            sockets_spare: 56,
            ..Limits::default()
        };
        Admission::new(&limits)
    }

    fn is_wanted(place: &Place) -> bool {
        futures_util::FutureExt::now_or_never(place.wanted()).is_some()
    }

    /// S-04: of 256 sockets an address has 64, of which 16 may be no WebSocket.
    #[test]
    fn the_oldest_guest_of_the_same_address_gives_way() {
        let (admission, now) = (admission(), Instant::now());
        let other = admission.admit(of("192.0.2.9"), now).unwrap();
        let places: Vec<Place> =
            (0..64).map(|_| admission.admit(of("192.0.2.1"), now).unwrap()).collect();
        assert!(admission.admit(of("192.0.2.1"), now).is_none());
        let wanted: Vec<bool> = places.iter().map(is_wanted).collect();
        assert_eq!(wanted, [vec![true; 48], vec![false; 16]].concat());
        assert!(!is_wanted(&other), "others are left alone");
        places[63].stay();
        drop(places);
        assert_eq!(admission.state().sockets.taken(), 1);
        drop(other);
        assert_eq!(*admission.open.borrow(), 0);
        assert!(admission.state().in_order.is_empty() && admission.state().by_account.is_empty());
    }

    /// H-13: half requests from many addresses make the oldest of all go, and a WebSocket never.
    #[test]
    fn many_addresses_take_the_guests_places_only() {
        let (admission, now) = (admission(), Instant::now());
        let member = admission.admit(of("192.0.2.9"), now).unwrap();
        member.stay();
        let mut places: Vec<Place> = Vec::new();
        for last in 0..20 {
            for _ in 0..8 {
                places.push(admission.admit(of(&format!("198.51.100.{last}")), now).unwrap());
            }
        }
        let wanted = places.iter().filter(|place| is_wanted(place)).count();
        assert_eq!(wanted, 160 - 64);
        assert!(!is_wanted(&member));
        assert!(admission.admit(Subscriber::Own, now).is_some(), "the own process always gets in");
    }

    #[test]
    fn who_opens_sockets_too_fast_waits() {
        let (admission, start) = (admission(), Instant::now());
        let admitted = |from: &str, now| {
            (0..1_000).filter(|_| admission.admit(of(from), now).is_some()).count()
        };
        assert_eq!(admitted("192.0.2.1", start), 128);
        assert_eq!(admitted("192.0.2.1", start + Duration::from_secs(1)), 16);
        assert_eq!(admitted("127.0.0.1", start), 1_000, "a proxy speaks for many");
        assert_eq!(admitted("192.0.2.2", start), 128);
    }

    /// A subscriber that is refused takes nothing from the others of its provider.
    #[test]
    fn an_arrival_that_is_refused_takes_from_no_account() {
        let (admission, now) = (admission(), Instant::now());
        let admitted =
            |from: &str| (0..10_000).filter(|_| admission.admit(of(from), now).is_some()).count();
        assert_eq!(admitted("2001:db8:0:1::1"), 128);
        assert_eq!(admitted("2001:db8:0:2::1"), 128);
        // What the wider account refuses takes nothing from the narrower one.
        for subnet in 3..=8 {
            assert_eq!(admitted(&format!("2001:db8:0:{subnet}::1")), 128);
        }
        let before = admission.state().arrivals.len();
        assert_eq!(admitted("2001:db8:0:9::1"), 0);
        assert_eq!(admission.state().arrivals.len(), before);
    }
}
