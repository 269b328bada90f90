//! Rates of accounts. Pure.

use std::collections::BTreeMap;

use super::subscriber::{Account, Subscriber};
use crate::time::{Bucket, Instant};

/// A bucket for each account, for so many of them.
///
/// Who is counted under several accounts takes a token from each or from none: what one account refuses must cost another nothing,
/// or one subscriber that is refused for ever empties what is there for all of its network.
#[derive(Debug)]
pub(super) struct AccountBuckets {
    by_account: BTreeMap<Account, Bucket>,
    most: usize,
}

impl AccountBuckets {
    pub(super) const fn new(most: usize) -> Self {
        Self { by_account: BTreeMap::new(), most }
    }

    pub(super) fn len(&self) -> usize {
        self.by_account.len()
    }

    /// Takes a token from each account of `who`; false, and none taken, where one of them has none. `new` makes the bucket of an
    /// account that has none yet; of more than there is room for only those that are there count.
    pub(super) fn take(
        &mut self,
        who: Subscriber,
        now: Instant,
        new: impl Fn(Account) -> Bucket,
    ) -> bool {
        // What is refused makes no entry either.
        let is_within = who.accounts().all(|account| {
            self.by_account.get_mut(&account).is_none_or(|bucket| bucket.has(1.0, now))
        });
        if is_within {
            for account in who.accounts() {
                if self.by_account.len() < self.most || self.by_account.contains_key(&account) {
                    self.by_account.entry(account).or_insert_with(|| new(account)).take(now);
                }
            }
        }
        is_within
    }

    /// Forgets those that say nothing any more.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.by_account.retain(|_, bucket| !bucket.is_full(now));
    }
}
