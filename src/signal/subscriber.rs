//! Whom a connection is counted to, and what each may have of what all share. Pure.
//!
//! **The rule of limits at a host**: what strangers can take is counted to an address where it is taken, and no address gets
//! all of it. An IPv6 subscriber has a /64, and often a /48: both are counted. A reverse proxy sits at 127.0.0.1 or ::1 and
//! speaks for many, so that address has up to half of everything. The process that is its own host is not counted.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the addresses of one IPv6 /48 have together, as a multiple of what one address has.
const NETWORK_FACTOR: usize = 8;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscriber {
    /// This very process.
    Own,
    /// Somebody at an address of this machine or of a network.
    Address(IpAddr),
}

/// What something is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Account {
    /// 127.0.0.1 and ::1, where a reverse proxy sits.
    Proxy,
    /// An IPv4 address, an IPv6 /64, or one address of a link.
    Address(IpAddr),
    /// An IPv6 /48, or all of a link.
    Network(Ipv6Addr),
}

impl Subscriber {
    /// Whether it is on this machine.
    #[must_use]
    pub fn is_local(self) -> bool {
        match self {
            Self::Own => true,
            Self::Address(address) => address.to_canonical().is_loopback(),
        }
    }

    /// The address that it alone is at; `None` for a proxy, which speaks for many, and for the own process.
    pub(super) fn address(self) -> Option<Account> {
        self.accounts().next().filter(|account| *account != Account::Proxy)
    }

    /// What it is counted under, the narrowest account first; nothing for [`Self::Own`].
    pub(super) fn accounts(self) -> impl Iterator<Item = Account> {
        let (one, all) = match self {
            Self::Own => (None, None),
            Self::Address(address) => match address.to_canonical() {
                IpAddr::V4(Ipv4Addr::LOCALHOST) | IpAddr::V6(Ipv6Addr::LOCALHOST) => {
                    (Some(Account::Proxy), None)
                }
                address @ IpAddr::V4(_) => (Some(Account::Address(address)), None),
                // All neighbours have the same /64.
                IpAddr::V6(address) if address.is_unicast_link_local() => {
                    let all = Account::Network(prefix(address, 64));
                    (Some(Account::Address(address.into())), Some(all))
                }
                IpAddr::V6(address) => {
                    let all = Account::Network(prefix(address, 48));
                    (Some(Account::Address(prefix(address, 64).into())), Some(all))
                }
            },
        };
        one.into_iter().chain(all)
    }
}

impl Account {
    /// What it may have where one address may have `of_one` and all together `of_all`.
    pub(super) fn share(self, of_one: usize, of_all: usize) -> usize {
        match self {
            Self::Proxy => of_one.max(of_all / 2),
            Self::Address(_) => of_one,
            Self::Network(_) => of_one.max(of_one.saturating_mul(NETWORK_FACTOR).min(of_all / 2)),
        }
    }
}

fn prefix(address: Ipv6Addr, bits: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - bits)))
}

/// Places that run out, counted by account.
#[derive(Debug)]
pub(super) struct Places {
    of_one: usize,
    of_all: usize,
    taken: usize,
    by_account: BTreeMap<Account, usize>,
}

impl Places {
    pub(super) const fn new(of_one: usize, of_all: usize) -> Self {
        Self { of_one, of_all, taken: 0, by_account: BTreeMap::new() }
    }

    /// Whether `who` can have one more.
    pub(super) fn has_room(&self, who: Subscriber) -> bool {
        who == Subscriber::Own || self.taken < self.of_all && self.full_account(who).is_none()
    }

    /// The account of `who` that has its share.
    pub(super) fn full_account(&self, who: Subscriber) -> Option<Account> {
        let taken = |account: &Account| self.by_account.get(account).copied().unwrap_or(0);
        who.accounts().find(|account| taken(account) >= account.share(self.of_one, self.of_all))
    }

    /// Takes one, if there is one for `who`.
    pub(super) fn take(&mut self, who: Subscriber) -> bool {
        let has_room = self.has_room(who);
        if has_room {
            self.taken += 1;
            for account in who.accounts() {
                *self.by_account.entry(account).or_default() += 1;
            }
        }
        has_room
    }

    /// Gives back what [`Self::take`] gave.
    pub(super) fn give_back(&mut self, who: Subscriber) {
        self.taken = self.taken.saturating_sub(1);
        for account in who.accounts() {
            if let Some(count) = self.by_account.get_mut(&account) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.by_account.remove(&account);
                }
            }
        }
    }

    /// How many are taken, those of [`Subscriber::Own`] too.
    pub(super) const fn taken(&self) -> usize {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Subscriber {
        Subscriber::Address(address.parse().unwrap())
    }

    fn takes(places: &mut Places, address: &str, tries: usize) -> usize {
        (0..tries).filter(|_| places.take(of(address))).count()
    }

    #[test]
    fn an_address_has_its_share_and_leaves_the_rest() {
        let mut places = Places::new(4, 100);
        assert_eq!(takes(&mut places, "192.0.2.1", 9), 4);
        assert_eq!(takes(&mut places, "::ffff:192.0.2.1", 9), 0, "the same address");
        assert_eq!(takes(&mut places, "192.0.2.2", 9), 4);
        assert_eq!(takes(&mut places, "2001:db8::1", 3), 3);
        assert_eq!(takes(&mut places, "2001:db8::2", 9), 1, "a subscriber has a /64");
        for subnet in 1..20 {
            takes(&mut places, &format!("2001:db8:0:{subnet}::1"), 9);
        }
        assert_eq!(places.taken(), 8 + 32, "a /48 has eight times that");
        assert_eq!(takes(&mut places, "2001:db8:1::1", 9), 4, "another one has its own");
        assert_eq!(takes(&mut places, "fe80::1", 9), 4);
        assert_eq!(takes(&mut places, "fe80::2", 9), 4, "a neighbour is not the other one");
        assert_eq!(takes(&mut places, "127.0.0.2", 9), 4, "only a proxy's address speaks for many");
    }

    #[test]
    fn a_proxy_has_half_and_the_own_process_what_it_wants() {
        let mut places = Places::new(4, 20);
        assert_eq!(takes(&mut places, "127.0.0.1", 5), 5);
        assert_eq!(takes(&mut places, "::1", 99), 5, "both are one place");
        for last in 1..9 {
            takes(&mut places, &format!("192.0.2.{last}"), 9);
        }
        assert_eq!(places.taken(), 20);
        assert!(!places.has_room(of("198.51.100.1")));
        assert!(places.take(Subscriber::Own));
        places.give_back(Subscriber::Own);
        places.give_back(of("::1"));
        assert!(places.take(of("127.0.0.1")));
        assert_eq!(places.by_account.len(), 4, "who has nothing is forgotten");
    }
}
