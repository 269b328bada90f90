use super::*;
use crate::event::Role;
use crate::fs::{Access, File};
use crate::store::memory::MemoryDisk;

fn share() -> Statistics {
    let mut share = Statistics { since: 7, runs: 1, kept_bytes: 10, ..Statistics::default() };
    share.ice.attempts = 2;
    share.ice.successes = 1;
    share.ice.times.add(1500);
    share.add_cause("transport failed: 192.0.2.1 is away");
    share
}

#[test]
fn durations_keep_their_size_within_an_eighth() {
    for exponent in 0..63 {
        for value in [1_u64 << exponent, (1 << exponent) + (1 << exponent) / 3, (2 << exponent) - 1]
        {
            let found = middle(bucket(value));
            assert!(found.abs_diff(value) <= value / 8 + 1, "{value} is shown as {found}");
        }
    }
    assert!(bucket(u64::MAX) < u8::MAX);
    for value in 1..1_000_000_u64 {
        assert!(bucket(value) >= bucket(value - 1), "{value}");
    }
}

#[test]
fn percentiles_are_of_all_of_them() {
    let mut times = Times::default();
    assert_eq!((times.percentile_ms(50), times.mean_ms(), times.max_ms()), (None, None, None));
    (1..=100).for_each(|n| times.add(n * 100));
    let near = |found: Option<u64>, wanted: u64| {
        let found = found.unwrap();
        assert!(found.abs_diff(wanted) <= wanted / 8, "{found} instead of {wanted}");
    };
    near(times.percentile_ms(50), 5_000);
    near(times.percentile_ms(95), 9_500);
    assert_eq!(times.max_ms(), Some(10_000));
    assert_eq!(times.mean_ms(), Some(5_050));
    times.add(u64::MAX);
    assert_eq!(times.max_ms(), Some(u64::MAX));
}

#[test]
fn causes_are_bounded_and_name_no_address() {
    let mut statistics = Statistics::default();
    statistics.add_cause("transport failed: 192.0.2.1 is away");
    statistics.add_cause("transport failed");
    statistics.add_cause(&"ä".repeat(100));
    statistics.add_cause("");
    assert_eq!(statistics.causes["transport failed"], 2);
    (0..100).for_each(|n| statistics.add_cause(&format!("cause {n}")));
    assert!(statistics.causes.len() <= CAUSES_MAX && statistics.causes.len() > CAUSES_MAX / 2);
    assert!(statistics.causes[OTHER] > 50);
    let other = statistics.clone();
    statistics.merge(&other);
    assert!(statistics.causes.len() <= CAUSES_MAX && statistics.causes.len() > CAUSES_MAX / 2);
    assert!(statistics.encode().unwrap().len() < BYTES_MAX / 4);
}

#[test]
fn shares_add_up_and_survive_their_bytes() {
    let disk = MemoryDisk::new();
    let state = StateDirectory::new(disk.root(), Role::Sender).unwrap();
    assert_eq!(state.statistics().unwrap(), Statistics::default());
    assert!(state.add_statistics(&share()).unwrap());
    assert_eq!(state.statistics().unwrap(), share());
    assert!(state.add_statistics(&Statistics { since: 3, ..share() }).unwrap());
    let both = state.statistics().unwrap();
    assert_eq!((both.runs, both.since, both.ice.attempts, both.ice.times.count()), (2, 3, 4, 2));
    assert_eq!(both.causes["transport failed"], 2);
}

#[test]
fn whoever_is_second_tries_later() {
    let disk = MemoryDisk::new();
    let state = StateDirectory::new(disk.root(), Role::Sender).unwrap();
    assert!(state.add_statistics(&share()).unwrap());
    let lock = state.root().open_file(LOCK, Access::ReadWrite).unwrap();
    assert!(lock.try_lock().unwrap());
    assert!(!state.add_statistics(&share()).unwrap());
    drop(lock);
    assert!(state.add_statistics(&share()).unwrap());
    assert_eq!(state.statistics().unwrap().runs, 2);
}

#[test]
fn what_is_damaged_begins_anew_and_what_is_newer_is_left() {
    let disk = MemoryDisk::new();
    let state = StateDirectory::new(disk.root(), Role::Sender).unwrap();
    let bytes = share().encode().unwrap();
    for at in 0..bytes.len() {
        // The version, whose higher bytes only make it newer.
        if (8..12).contains(&at) {
            continue;
        }
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        assert!(matches!(Statistics::decode(&flipped), Decoded::Damaged), "byte {at}");
        assert!(matches!(Statistics::decode(&bytes[..at]), Decoded::Damaged), "cut at {at}");
    }
    replace_file(state.root(), NAME, &bytes[..20]).unwrap();
    assert_eq!(state.statistics().unwrap(), Statistics::default());
    assert!(state.add_statistics(&share()).unwrap());
    assert_eq!(state.statistics().unwrap(), share());
    let mut newer = bytes;
    newer[8] = 2;
    replace_file(state.root(), NAME, &newer).unwrap();
    assert!(state.statistics().is_err() && state.add_statistics(&share()).is_err());
    assert_eq!(read_file(state.root(), NAME, BYTES_MAX).unwrap(), Some(newer));
}
