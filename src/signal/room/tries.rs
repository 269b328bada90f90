//! Tries at rooms, and what they cost.
//!
//! A **try** is an Open or a Join; an address has so many a minute. A **miss** is a try at a number that led to no pairing, by
//! whatever it failed: there is no such room, it is full or over, the words were wrong. It is counted before it is known to be
//! one and forgiven when the room is locked, so a hit without a pairing costs what a miss costs. Misses count by account and for
//! the whole host, and decay. Beyond a few, and for everybody once the whole host has too many, a try costs work; beyond many the
//! account is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use super::limits::Limits;
use crate::signal::account_buckets::AccountBuckets;
use crate::signal::subscriber::{Account, Subscriber};
use crate::signal::work::BITS_MAX;
use crate::time::{Bucket, Instant};

/// Accounts whose tries are counted, and whose misses; beyond it new ones are counted for the whole host only.
pub(super) const ACCOUNTS_MAX: usize = 65_536;
/// Misses of an account are forgotten in this time, all but a third.
const OWN_MEMORY: Duration = Duration::from_secs(600);
/// Those of the whole host.
const HOST_MEMORY: Duration = Duration::from_secs(60);
/// Missed numbers that an account is not charged for again: who waits for a room asks for it over and over.
const NUMBERS_KEPT: usize = 4;
/// Below this an account's misses say nothing any more.
const FORGOTTEN: f64 = 0.5;
/// What a proxy has, and with it the limit of what several addresses have together, as a multiple of what one address has.
const SHARES: usize = 32;

/// What a try at a number costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Price {
    Free,
    /// Work of this many bits.
    Bits(u8),
    TooMany,
}

#[derive(Debug)]
pub(super) struct Tries {
    buckets: AccountBuckets,
    missed: BTreeMap<Account, Missed>,
    /// Misses of the whole host.
    misses: Level,
}

#[derive(Debug)]
struct Missed {
    misses: Level,
    /// The last numbers missed, 0 for none.
    numbers: [u32; NUMBERS_KEPT],
}

/// A count that decays: at a steady rate it is what comes in one of its memory.
#[derive(Clone, Copy, Debug)]
struct Level {
    count: f64,
    since: Instant,
    memory: Duration,
}

impl Level {
    const fn new(memory: Duration, now: Instant) -> Self {
        Self { count: 0.0, since: now, memory }
    }

    fn at(&self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.since).as_secs_f64();
        self.count * (-elapsed / self.memory.as_secs_f64()).exp()
    }

    fn add(&mut self, count: f64, now: Instant) {
        self.count = (self.at(now) + count).max(0.0);
        self.since = self.since.max(now);
    }
}

impl Tries {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            buckets: AccountBuckets::new(ACCOUNTS_MAX),
            missed: BTreeMap::new(),
            misses: Level::new(HOST_MEMORY, now),
        }
    }

    /// Accounts of which something is known, nearly: most that missed something tried something.
    pub(super) fn len(&self) -> usize {
        self.buckets.len().max(self.missed.len())
    }

    /// Counts one try; false if there were too many.
    pub(super) fn take(&mut self, who: Subscriber, limits: &Limits, now: Instant) -> bool {
        self.buckets.take(who, now, |account| tries_of(account, limits))
    }

    /// What a try at `number` costs. One that was missed lately, and is no room still, is free.
    pub(super) fn price(
        &self,
        who: Subscriber,
        number: u32,
        is_room: bool,
        limits: &Limits,
        now: Instant,
    ) -> Price {
        if who == Subscriber::Own || (!is_room && self.is_known(who, number)) {
            return Price::Free;
        }
        let mut bits = None;
        for account in who.accounts() {
            // Where none is free, the first one of an account costs work, too.
            let missed = self.missed.get(&account).map_or(0.0, |missed| missed.misses.at(now));
            let misses = missed / account.share(1, SHARES) as f64;
            if misses >= f64::from(limits.misses_max) {
                return Price::TooMany;
            }
            let over = misses - f64::from(limits.misses_free);
            bits = bits.max(steps(over / f64::from(limits.misses_free.max(1))));
        }
        let all = self.misses.at(now) / f64::from(limits.misses_of_all_per_minute.max(1));
        // One more bit whenever the rate doubles.
        bits = bits.max(steps(all.log2()));
        bits.map_or(Price::Free, |more| {
            Price::Bits(limits.work_bits.saturating_add(more).min(BITS_MAX))
        })
    }

    /// Counts one miss; false where the number was missed already and is no room still.
    pub(super) fn miss(
        &mut self,
        who: Subscriber,
        number: u32,
        is_room: bool,
        now: Instant,
    ) -> bool {
        if who == Subscriber::Own || (!is_room && self.is_known(who, number)) {
            return false;
        }
        self.misses.add(1.0, now);
        for account in who.accounts() {
            if let Some(missed) = self.entry(account, now) {
                missed.misses.add(1.0, now);
                if !is_room {
                    missed.numbers.rotate_right(1);
                    missed.numbers[0] = number;
                }
            }
        }
        true
    }

    /// What counted as a miss led to a pairing.
    pub(super) fn forgive(&mut self, who: Subscriber, now: Instant) {
        self.misses.add(-1.0, now);
        for account in who.accounts() {
            if let Some(missed) = self.missed.get_mut(&account) {
                missed.misses.add(-1.0, now);
            }
        }
    }

    /// Forgets accounts that say nothing any more.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.buckets.sweep(now);
        self.missed.retain(|_, missed| missed.misses.at(now) > FORGOTTEN);
    }

    fn is_known(&self, who: Subscriber, number: u32) -> bool {
        let narrowest = who.accounts().next();
        let missed = narrowest.and_then(|account| self.missed.get(&account));
        missed.is_some_and(|missed| missed.numbers.contains(&number))
    }

    fn entry(&mut self, account: Account, now: Instant) -> Option<&mut Missed> {
        if self.missed.len() >= ACCOUNTS_MAX && !self.missed.contains_key(&account) {
            return None;
        }
        Some(self.missed.entry(account).or_insert_with(|| Missed {
            misses: Level::new(OWN_MEMORY, now),
            numbers: [0; NUMBERS_KEPT],
        }))
    }
}

/// How many steps beyond the first `height` is; `None` below it.
fn steps(height: f64) -> Option<u8> {
    // A float becomes the nearest number that fits.
    (height >= 0.0).then_some(height as u8)
}

/// How many tries an account has.
fn tries_of(account: Account, limits: &Limits) -> Bucket {
    let share = account.share(1, SHARES);
    let burst = limits.tries_burst.saturating_mul(u32::try_from(share).unwrap_or(u32::MAX));
    Bucket::new(burst, f64::from(limits.tries_per_minute) / 60.0 * share as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Subscriber {
        Subscriber::Address(address.parse().unwrap())
    }

    #[test]
    fn misses_cost_work_then_too_much_and_are_forgotten() {
        let (limits, now) = (Limits::default(), Instant::now());
        let mut tries = Tries::new(now);
        let one = of("192.0.2.1");
        let prices: Vec<Price> = (1..=31)
            .map(|number| {
                let price = tries.price(one, number, false, &limits, now);
                tries.miss(one, number, false, now);
                price
            })
            .collect();
        let expected: Vec<Price> = [Price::Free; 5]
            .into_iter()
            .chain((20..25).flat_map(|bits| [Price::Bits(bits); 5]))
            .chain([Price::TooMany])
            .collect();
        assert_eq!(prices, expected);
        assert_eq!(tries.price(of("192.0.2.2"), 1, false, &limits, now), Price::Free);
        // What it asked for lately costs nothing where nothing is there, and leads nowhere.
        assert_eq!(tries.price(one, 31, false, &limits, now), Price::Free);
        assert!(!tries.miss(one, 31, false, now));
        assert_eq!(tries.price(one, 31, true, &limits, now), Price::TooMany);
        assert_eq!(tries.price(Subscriber::Own, 1, true, &limits, now), Price::Free);
        let later = now + OWN_MEMORY;
        assert_eq!(tries.price(one, 40, false, &limits, later), Price::Bits(21));
        tries.handle_timeout(later);
        assert_eq!(tries.len(), 1);
        tries.handle_timeout(now + 5 * OWN_MEMORY);
        assert_eq!(tries.len(), 0);
    }

    #[test]
    fn a_whole_host_under_attack_asks_everybody_and_doubles_with_the_rate() {
        let (limits, now) = (Limits::default(), Instant::now());
        let mut tries = Tries::new(now);
        let honest = of("198.51.100.1");
        for (misses, price) in [
            (599, Price::Free),
            (1, Price::Bits(20)),
            (600, Price::Bits(21)),
            (1_200, Price::Bits(22)),
        ] {
            for index in 0..misses {
                tries.miss(Subscriber::Address([10, 0, 0, index as u8].into()), index, true, now);
            }
            assert_eq!(tries.price(honest, 1, true, &limits, now), price);
        }
        for _ in 0..600_000 {
            tries.miss(of("10.0.0.1"), 1, true, now);
        }
        assert_eq!(tries.price(honest, 1, true, &limits, now), Price::Bits(BITS_MAX));
        let later = now + 10 * HOST_MEMORY;
        assert_eq!(tries.price(honest, 1, true, &limits, later), Price::Free);
    }

    /// A subscriber that is refused takes nothing from the others of its provider.
    #[test]
    fn a_try_that_is_refused_takes_from_no_account() {
        let (limits, now) = (Limits::default(), Instant::now());
        let mut tries = Tries::new(now);
        let greedy = of("2001:db8:0:1::1");
        let took = (0..100_000).filter(|_| tries.take(greedy, &limits, now)).count();
        assert_eq!(took, limits.tries_burst as usize);
        for subnet in 2..=8 {
            let other = of(&format!("2001:db8:0:{subnet}::1"));
            let took = (0..1_000).filter(|_| tries.take(other, &limits, now)).count();
            assert_eq!(took, limits.tries_burst as usize, "{subnet}");
        }
        let accounts = tries.len();
        assert!(!tries.take(of("2001:db8:0:9::1"), &limits, now), "eight times one is for all");
        assert_eq!(tries.len(), accounts, "what the wider one refuses makes no entry");
        assert!(tries.take(of("2001:db8:1::1"), &limits, now));
    }

    #[test]
    fn a_pairing_is_no_miss() {
        let (limits, now) = (Limits::default(), Instant::now());
        let mut tries = Tries::new(now);
        for number in 0..10_000 {
            assert!(tries.miss(of("2001:db8::1"), number, true, now));
            tries.forgive(of("2001:db8::1"), now);
        }
        assert_eq!(tries.price(of("2001:db8::1"), 1, true, &limits, now), Price::Free);
    }
}
