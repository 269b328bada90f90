//! Numbers of code rooms that are over: remembered for a while, so that a late joiner is told why and nobody is led
//! into a stranger's room.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::signal::protocol::RefusalReason;
use crate::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Tombstones {
    /// Why, and the count of burials then.
    reasons: BTreeMap<u32, (RefusalReason, u64)>,
    /// A number that was buried again stands here twice; only its last burial counts.
    oldest_first: VecDeque<(Instant, u32, u64)>,
    buried: u64,
}

impl Tombstones {
    /// Remembers `number`; beyond `limit` the oldest is forgotten.
    pub(super) fn bury(&mut self, number: u32, reason: RefusalReason, limit: usize, now: Instant) {
        self.buried += 1;
        self.reasons.insert(number, (reason, self.buried));
        self.oldest_first.push_back((now, number, self.buried));
        while self.oldest_first.len() > limit {
            self.forget_oldest();
        }
    }

    /// Why the room is over, if it is remembered.
    pub(super) fn reason(&self, number: u32) -> Option<RefusalReason> {
        self.reasons.get(&number).map(|(reason, _)| *reason)
    }

    pub(super) fn handle_timeout(&mut self, lifetime: Duration, now: Instant) {
        while self
            .oldest_first
            .front()
            .is_some_and(|(since, ..)| now.saturating_duration_since(*since) >= lifetime)
        {
            self.forget_oldest();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.reasons.len()
    }

    fn forget_oldest(&mut self) {
        if let Some((_, number, burial)) = self.oldest_first.pop_front()
            && self.reasons.get(&number).is_some_and(|(_, last)| *last == burial)
        {
            self.reasons.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_newest_for_a_while() {
        let start = Instant::now();
        let mut tombstones = Tombstones::default();
        for number in 1..=3 {
            tombstones.bury(
                number,
                RefusalReason::CodeUsed,
                2,
                start + Duration::from_secs(u64::from(number)),
            );
        }
        assert_eq!(tombstones.reason(1), None);
        assert_eq!(tombstones.len(), 2);
        tombstones.bury(2, RefusalReason::Burnt, 2, start + Duration::from_secs(9));
        assert_eq!(tombstones.reason(2), Some(RefusalReason::Burnt));
        tombstones.handle_timeout(Duration::from_secs(10), start + Duration::from_secs(13));
        assert_eq!(
            (tombstones.reason(3), tombstones.reason(2)),
            (None, Some(RefusalReason::Burnt))
        );
        tombstones.handle_timeout(Duration::from_secs(10), start + Duration::from_secs(19));
        assert_eq!(tombstones.len(), 0);
    }
}
