//! What goes to addresses that never answered: a peer may name any, and those who are there asked for nothing (S-12).
//!
//! ICE itself checks each pair every 20 ms for 30 s. Here the pairs of one address, and all pairs, share a rate in turns: the
//! first check of each goes at once, the next when its turn comes; and one more goes at once when the first signed check came from
//! there, or a path that has just opened would wait for its turn (the triggered check of RFC 8445 §7.3.1.4). After two seconds
//! without an answer the rate is a tenth or a fifth, which is what is left of a pair that does not work.
//!
//! To one IP address, whatever the number of its ports and of our own addresses, go at most 100 datagrams a second for two
//! seconds and 10 a second after that, beside the first and the triggered one of each pair; to all together 500 and 100. A pair
//! is one of our sockets and an address with its port; there are at most [`PAIRS_MAX`].

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Source;
use crate::time::{Bucket, Instant};

/// Pairs that are followed, and so used.
pub(super) const PAIRS_MAX: usize = 512;

/// How long an address may stay silent before it is asked less often.
const PATIENCE: Duration = Duration::from_secs(2);

/// Datagrams a second: to one IP address, to all; before and after [`PATIENCE`].
const EARLY: [u32; 2] = [100, 500];
const LATE: [u32; 2] = [10, 100];

/// Responses a second to one IP address that asks and does not answer.
const RESPONSES: u32 = 100;

/// A new negotiation makes every address as good as new, but not more often than this.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);

/// The pairs without an answer.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    pairs: HashMap<(SocketAddr, Source), Pair>,
    addresses: HashMap<IpAddr, Address>,
    renewed: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    /// When it was used.
    last: Instant,
    /// The triggered check was.
    is_triggered: bool,
}

#[derive(Debug)]
struct Address {
    pairs: u32,
    since: Instant,
    responses: Bucket,
}

impl Unanswered {
    /// Another description of the peer came.
    pub(super) fn renew(&mut self, now: Instant) {
        if self.renewed.is_none_or(|at| now >= at + RENEWAL_INTERVAL) {
            self.renewed = Some(now);
            self.pairs.clear();
            self.addresses.clear();
        }
    }

    /// Whether a check may go now. `has_asked`: a signed check came from there.
    pub(super) fn may_check(
        &mut self,
        local: SocketAddr,
        to: Source,
        has_asked: bool,
        now: Instant,
    ) -> bool {
        let all = u32::try_from(self.pairs.len()).unwrap_or(u32::MAX);
        let Some(pair) = self.pairs.get_mut(&(local, to)) else {
            if self.pairs.len() >= PAIRS_MAX {
                return false;
            }
            self.pairs.insert((local, to), Pair { last: now, is_triggered: has_asked });
            self.address(to, now).pairs += 1;
            return true;
        };
        let Some(address) = self.addresses.get(&to.peer.ip()) else { return false };
        let [of_address, of_all] = if now < address.since + PATIENCE { EARLY } else { LATE };
        let turn = |pairs: u32, rate: u32| Duration::from_secs(pairs.into()) / rate;
        let is_triggered = has_asked && !pair.is_triggered;
        let turn = turn(address.pairs, of_address).max(turn(all, of_all));
        let may = is_triggered || now >= pair.last + turn;
        if may {
            *pair = Pair { last: now, is_triggered: pair.is_triggered || has_asked };
        }
        may
    }

    /// Whether the answer to a check may go now.
    pub(super) fn may_respond(&mut self, to: Source, now: Instant) -> bool {
        let is_known = self.addresses.contains_key(&to.peer.ip());
        (is_known || self.addresses.len() < PAIRS_MAX) && self.address(to, now).responses.take(now)
    }

    /// An answer came: its pairs are no longer ours to slow down.
    pub(super) fn answered(&mut self, from: Source) {
        let pairs = self.pairs.len();
        self.pairs.retain(|(_, to), _| *to != from);
        let gone = u32::try_from(pairs - self.pairs.len()).unwrap_or(u32::MAX);
        if let Some(address) = self.addresses.get_mut(&from.peer.ip()) {
            address.pairs = address.pairs.saturating_sub(gone);
        }
    }

    /// Pairs and IP addresses.
    #[cfg(feature = "fault-injection")]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.pairs.len(), self.addresses.len())
    }

    fn address(&mut self, to: Source, now: Instant) -> &mut Address {
        self.addresses.entry(to.peer.ip()).or_insert_with(|| Address {
            pairs: 0,
            since: now,
            responses: Bucket::new(RESPONSES, f64::from(RESPONSES)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: [u8; 4], port: u16) -> Source {
        Source { server: None, peer: (address, port).into() }
    }

    fn locals(count: u16) -> Vec<SocketAddr> {
        (0..count).map(|number| ([10, 0, 0, number as u8], 40_000).into()).collect()
    }

    /// What goes out in 30 s if everything is tried every 20 ms, in the stack's order; by IP address.
    /// `has_asked`: the peer forges checks from there, after the first tick.
    fn campaign(
        locals: &[SocketAddr],
        targets: &[Source],
        has_asked: bool,
    ) -> HashMap<IpAddr, usize> {
        let start = Instant::now();
        let mut unanswered = Unanswered::default();
        let mut sent = HashMap::new();
        for tick in 0..1_500 {
            let now = start + Duration::from_millis(20) * tick;
            for target in targets {
                for local in locals {
                    if unanswered.may_check(*local, *target, has_asked && tick > 0, now) {
                        *sent.entry(target.peer.ip()).or_default() += 1;
                    }
                }
            }
        }
        sent
    }

    /// S-12: 300 candidates of a third party got 12,000 checks, 1.7 MB in 20 s.
    #[test]
    fn a_third_party_gets_few_datagrams_whatever_the_peer_names() {
        let of = |addresses: u8, ports: u16, locals_count, has_asked| {
            let targets: Vec<_> = (0..addresses)
                .flat_map(|address| {
                    (0..ports).map(move |port| source([192, 0, 2, address], 1_000 + port))
                })
                .collect();
            campaign(&locals(locals_count), &targets, has_asked)
        };
        let one = of(1, 16, 1, false);
        let most = one[&IpAddr::from([192, 0, 2, 0])];
        assert!(most <= 16 + 2 * 100 + 28 * 10, "{most}");
        let one = of(1, 16, 12, false);
        assert!(one[&IpAddr::from([192, 0, 2, 0])] <= 12 * 16 + 2 * 100 + 28 * 10);
        let asking = of(1, 16, 12, true);
        assert!(asking[&IpAddr::from([192, 0, 2, 0])] <= 2 * 12 * 16 + 2 * 100 + 28 * 10);
        let all: usize = of(40, 1, 12, false).values().sum();
        assert!(all <= 12 * 40 + 2 * 500 + 28 * 100, "{all}");
    }

    /// A pair whose turn never came would be a path that is never found.
    #[test]
    fn every_pair_has_its_turn() {
        let locals = locals(12);
        let targets: Vec<_> = (0..12).map(|number| source([198, 51, 100, number], 7)).collect();
        let start = Instant::now();
        let mut unanswered = Unanswered::default();
        let mut sent: HashMap<_, u32> = HashMap::new();
        for tick in 0..500 {
            let now = start + Duration::from_millis(20) * tick;
            for target in &targets {
                for local in &locals {
                    if unanswered.may_check(*local, *target, false, now) {
                        *sent.entry((local, target)).or_default() += 1;
                    }
                }
            }
        }
        assert_eq!(sent.len(), 144);
        let (least, most) = (sent.values().min().unwrap(), sent.values().max().unwrap());
        assert!(*least >= 8 && *most <= *least + 2, "{least} {most}");
    }

    /// One pair is asked as often as the stack asks, as long as a path may be opening.
    #[test]
    fn a_lone_pair_is_not_slowed_down_at_first() {
        let start = Instant::now();
        let mut unanswered = Unanswered::default();
        let local = locals(1)[0];
        for tick in 0..100 {
            let now = start + Duration::from_millis(20) * tick;
            assert!(unanswered.may_check(local, source([192, 0, 2, 1], 9), false, now));
        }
    }

    /// RFC 8445 §7.3.1.4: a path that has just opened is asked at once, and once.
    #[test]
    fn who_asks_is_asked_once_more_at_once() {
        let start = Instant::now();
        let mut unanswered = Unanswered::default();
        let (local, to) = (locals(1)[0], source([192, 0, 2, 1], 9));
        for port in 0..16 {
            assert!(unanswered.may_check(local, source([192, 0, 2, 1], port), false, start));
        }
        let soon = start + Duration::from_millis(1);
        assert!(!unanswered.may_check(local, to, false, soon));
        let asked = (0..100).filter(|_| unanswered.may_check(local, to, true, soon));
        assert_eq!(asked.count(), 1);
    }

    #[test]
    fn what_is_followed_is_bounded_and_renewed_now_and_then_only() {
        let start = Instant::now();
        let mut unanswered = Unanswered::default();
        let local = locals(1)[0];
        unanswered.renew(start);
        let used = (0..2_000_u16).filter(|port| {
            unanswered.may_check(local, source([192, 0, 2, 1], *port), false, start)
        });
        assert_eq!(used.count(), PAIRS_MAX);
        unanswered.renew(start + Duration::from_secs(9));
        assert!(!unanswered.may_check(local, source([192, 0, 2, 1], 9_999), false, start));
        unanswered.renew(start + Duration::from_secs(10));
        assert!(unanswered.may_check(local, source([192, 0, 2, 1], 9_999), false, start));
    }

    #[test]
    fn responses_have_a_rate_of_their_own() {
        let start = Instant::now();
        let mut unanswered = Unanswered::default();
        let to = source([192, 0, 2, 1], 9);
        assert_eq!((0..500).filter(|_| unanswered.may_respond(to, start)).count(), 100);
    }
}
