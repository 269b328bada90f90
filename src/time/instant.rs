//! The monotonic clock where the standard library has none: a time since some moment, which whoever runs the core gives.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// As [`std::time::Instant`], but for a way to ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// The moment `since` after the beginning.
    #[must_use]
    pub const fn at(since: Duration) -> Self {
        Self(since)
    }

    /// The time since the beginning.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// The time since `earlier`; none where that is later.
    #[must_use]
    pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The same: this clock never goes back.
    #[must_use]
    pub fn duration_since(&self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }

    /// The time since `earlier`; `None` where that is later.
    #[must_use]
    pub fn checked_duration_since(&self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0)
    }

    /// The moment `more` later, where there is one.
    #[must_use]
    pub fn checked_add(&self, more: Duration) -> Option<Self> {
        self.0.checked_add(more).map(Self)
    }

    /// The moment `less` earlier, where there is one.
    #[must_use]
    pub fn checked_sub(&self, less: Duration) -> Option<Self> {
        self.0.checked_sub(less).map(Self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, more: Duration) -> Self {
        Self(self.0 + more)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, more: Duration) {
        self.0 += more;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, less: Duration) -> Self {
        Self(self.0 - less)
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::Instant;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        /// Both clocks say the same of the same moments.
        #[test]
        fn it_agrees_with_the_standard_library(one in 0..u64::from(u32::MAX), other in 0..u64::from(u32::MAX)) {
            let start = std::time::Instant::now();
            let (one, other) = (Duration::from_micros(one), Duration::from_micros(other));
            let ours = (Instant::at(one), Instant::at(other));
            let theirs = (start + one, start + other);
            prop_assert_eq!(ours.0.saturating_duration_since(ours.1), theirs.0.saturating_duration_since(theirs.1));
            prop_assert_eq!(ours.0.duration_since(ours.1), theirs.0.duration_since(theirs.1));
            prop_assert_eq!(ours.0.checked_duration_since(ours.1), theirs.0.checked_duration_since(theirs.1));
            prop_assert_eq!(ours.0 - ours.1, theirs.0 - theirs.1);
            prop_assert_eq!(ours.0 < ours.1, theirs.0 < theirs.1);
            let mut later = ours.0;
            later += other;
            prop_assert_eq!(Some(later), ours.0.checked_add(other));
            prop_assert_eq!(later, ours.0 + other);
            prop_assert_eq!(later - other, ours.0);
            prop_assert_eq!(later.checked_sub(other), Some(ours.0));
            prop_assert_eq!(later.since_start(), one + other);
        }
    }
}
