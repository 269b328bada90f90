//! How large a datagram the path takes (RFC 8899): probes upwards, and back to what always passes where nothing arrives.
//!
//! What always passes may be cut on its way: routers and systems cut and join what is not forbidden to be cut, so a path of
//! any size takes it. Whatever is larger, and every probe, has to arrive whole. Where nothing larger passes, one more probe
//! tells whether what is in use is cut.

use std::time::Duration;

use crate::time::Instant;

/// Sizes of UDP payload worth trying: behind tunnels and PPPoE, of Ethernet, of jumbo frames, of loopback.
const SIZES: [usize; 5] = [1_400, 1_452, 1_472, 8_900, 65_000];
/// Probes of one size that may be lost (RFC 8899 §5.1.2).
const PROBES_MAX: u32 = 3;
/// After a failure the search begins anew (RFC 8899 §5.1.1).
const RAISE_AFTER: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct PathMtu {
    start: usize,
    most: usize,
    /// In use.
    current: usize,
    /// Smallest that is known not to pass.
    refused: usize,
    probe: Option<Probe>,
    lost: u32,
    next_search: Option<Instant>,
    floor: Floor,
}

/// What becomes of datagrams of the size that always passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Floor {
    /// Nobody asked.
    Unknown,
    Whole,
    Cut,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    number: u64,
    bytes: usize,
    until: Instant,
}

impl PathMtu {
    pub(super) fn new(start: usize, most: usize) -> Self {
        let most = most.max(start);
        Self {
            start,
            most,
            current: start,
            refused: most + 1,
            probe: None,
            lost: 0,
            next_search: None,
            floor: Floor::Unknown,
        }
    }

    pub(super) const fn current(&self) -> usize {
        self.current
    }

    /// The size to be probed now.
    pub(super) fn wanted(&mut self, now: Instant) -> Option<usize> {
        if self.probe.is_some() {
            return None;
        }
        if let Some(at) = self.next_search {
            if now < at {
                return None;
            }
            (self.next_search, self.refused, self.lost) = (None, self.most + 1, 0);
        }
        // Upwards: a probe that is too large costs three timeouts, and each that passes is used at once.
        let next = SIZES
            .iter()
            .copied()
            .chain([self.most])
            .filter(|size| *size > self.current && *size < self.refused && *size <= self.most)
            .min();
        if next.is_none() && self.current == self.start && self.floor == Floor::Unknown {
            return Some(self.start).filter(|_| self.most > self.start);
        }
        if next.is_none() && self.refused <= self.most {
            self.next_search = Some(now + RAISE_AFTER);
        }
        next
    }

    /// A probe went out.
    pub(super) const fn handle_sent(&mut self, number: u64, bytes: usize, until: Instant) {
        self.probe = Some(Probe { number, bytes, until });
    }

    /// Packets arrived. Whether the size grew.
    pub(super) fn handle_arrived(&mut self, numbers: &std::ops::Range<u64>) -> bool {
        match self.probe {
            Some(probe) if numbers.contains(&probe.number) => {
                (self.current, self.probe, self.lost) = (probe.bytes, None, 0);
                self.floor = Floor::Whole;
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.probe.map(|probe| probe.until)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(probe) = self.probe.filter(|probe| probe.until <= now) {
            self.probe = None;
            self.lost += 1;
            if self.lost >= PROBES_MAX {
                self.lost = 0;
                self.refuse(probe.bytes);
            }
        }
    }

    /// The system will not send that much.
    pub(super) fn handle_too_large(&mut self, bytes: usize) {
        self.refuse(bytes);
        if self.probe.is_some_and(|probe| probe.bytes >= bytes) {
            self.probe = None;
        }
        if self.current >= bytes {
            self.current = self.start;
        }
    }

    fn refuse(&mut self, bytes: usize) {
        if bytes <= self.start {
            self.floor = Floor::Cut;
        } else {
            self.refused = self.refused.min(bytes);
        }
    }

    /// Whether datagrams of the size in use are cut on their way.
    pub(super) const fn is_cut(&self) -> bool {
        matches!(self.floor, Floor::Cut) && self.current == self.start
    }

    /// Nothing arrives: perhaps because it is too large.
    pub(super) fn handle_silence(&mut self) -> bool {
        let was_larger = self.current > self.start;
        (self.current, self.probe, self.lost, self.next_search) = (self.start, None, 0, None);
        was_larger
    }

    /// Small ones arrive and those in use do not (RFC 8899 §4.3).
    pub(super) fn handle_black_hole(&mut self) {
        if self.is_large(self.current) {
            self.refused = self.current;
            self.handle_silence();
        }
    }

    /// Another path: nothing is known of it.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.start, self.most);
    }

    /// Whether a datagram is larger than what always passes.
    pub(super) const fn is_large(&self, bytes: usize) -> bool {
        bytes > self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probes until nothing is wanted; those up to `passes` arrive.
    fn search(mtu: &mut PathMtu, passes: usize, mut now: Instant) -> Vec<usize> {
        let mut tried = Vec::new();
        while let Some(bytes) = mtu.wanted(now) {
            let number = tried.len() as u64;
            tried.push(bytes);
            mtu.handle_sent(number, bytes, now + Duration::from_millis(10));
            if bytes <= passes {
                assert!(mtu.handle_arrived(&(number..number + 1)));
            } else {
                now += Duration::from_millis(10);
                mtu.handle_timeout(now);
            }
            assert!(tried.len() < 40);
        }
        tried
    }

    #[test]
    fn finds_what_passes_and_asks_again_later() {
        let now = Instant::now();
        let mut mtu = PathMtu::new(1_200, 65_000);
        let tried = search(&mut mtu, 1_460, now);
        assert_eq!(mtu.current(), 1_452);
        assert_eq!(tried, [1_400, 1_452, 1_472, 1_472, 1_472]);
        assert_eq!(mtu.wanted(now + Duration::from_secs(100)), None);
        assert_eq!(mtu.wanted(now + Duration::from_secs(700)), Some(1_472));
    }

    /// B-R: a path that is smaller than what always passes is told of, by its silence or by the system.
    #[test]
    fn what_always_passes_is_known_to_be_cut_or_whole() {
        let now = Instant::now();
        for (passes, is_cut) in [(548, true), (1_096, true), (1_200, false), (1_300, false)] {
            let mut mtu = PathMtu::new(1_200, 8_900);
            let tried = search(&mut mtu, passes, now);
            let floor = if is_cut { 3 } else { 1 };
            assert_eq!(tried, [vec![1_400; 3], vec![1_200; floor]].concat());
            assert_eq!((mtu.current(), mtu.is_cut()), (1_200, is_cut));
            // Once, although what is larger is asked for again.
            let later = search(&mut mtu, passes, now + Duration::from_secs(700));
            assert_eq!(later, [1_400; 3]);
            mtu.reset();
            assert!(!mtu.is_cut());
        }
        let mut mtu = PathMtu::new(1_200, 8_900);
        for bytes in [1_400, 1_200] {
            assert_eq!(mtu.wanted(now), Some(bytes));
            mtu.handle_sent(1, bytes, now + Duration::from_secs(1));
            mtu.handle_too_large(bytes);
        }
        assert!(mtu.is_cut() && mtu.wanted(now).is_none());
        // A user who allows no more than that asks nothing.
        assert_eq!(PathMtu::new(540, 540).wanted(now), None);
    }

    #[test]
    fn silence_and_refusals_lead_back() {
        let now = Instant::now();
        let mut mtu = PathMtu::new(1_200, 8_900);
        search(&mut mtu, 9_000, now);
        assert_eq!(mtu.current(), 8_900);
        assert!(mtu.handle_silence());
        assert_eq!(mtu.current(), 1_200);
        search(&mut mtu, 1_300, now);
        assert_eq!(mtu.current(), 1_200);
        let mut mtu = PathMtu::new(1_200, 8_900);
        search(&mut mtu, 9_000, now);
        mtu.handle_too_large(1_460);
        assert_eq!(mtu.current(), 1_200);
        search(&mut mtu, 9_000, now);
        assert_eq!(mtu.current(), 1_452);
    }
}
