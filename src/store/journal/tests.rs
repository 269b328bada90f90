use super::*;
use crate::store::memory::{MemoryDirectory, MemoryDisk, MemoryFile};
use crate::store::target::TargetLimits;
use crate::wire::SessionId;

const BUCKET: u64 = BUCKET_ENTRIES;
/// Bytes of a journal that no test writes.
const NEVER: u64 = 1 << 40;

fn open(disk: &MemoryDisk, compacted_journal: u64) -> (Journal<MemoryFile>, Claims) {
    let limits = TargetLimits { compacted_journal, ..TargetLimits::default() };
    let options = TargetOptions {
        session: SessionId([1; 16]),
        boot: [2; 16],
        umask: 0o022,
        key: [7; 32],
        secret: [3; 32],
        limits,
    };
    let (journal, claims, _) =
        Journal::open::<MemoryDirectory>(&disk.root(), &options, 100, 100 * BUCKET)
            .expect("no faults");
    (journal, claims)
}

fn complete(entry: EntryIndex, root: Option<Value>) -> Complete {
    Complete { entry, bytes: 1, root, kept: ModifiedTime { seconds: 5, nanoseconds: 0 } }
}

fn publish(journal: &mut Journal<MemoryFile>, files: &[(EntryIndex, u8)]) {
    let entries = files.iter().map(|(entry, root)| complete(*entry, Some([*root; 32]))).collect();
    journal.append(&Record::Published { entries }).expect("no faults");
}

fn roots(journal: &Journal<MemoryFile>, bucket: u64) -> Vec<(EntryIndex, u8)> {
    let roots = journal.roots(bucket).expect("no faults");
    roots.into_iter().map(|(entry, root)| (entry, root[0])).collect()
}

/// By the process that wrote them, by the next one, and by one that compacts: the last root of each file of the bucket,
/// and of no other. Whether it was discarded since is the receiver's to know, until nothing is left to say it.
#[test]
fn roots_are_those_of_the_last_time() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk, NEVER);
    publish(&mut journal, &[(5, 1), (BUCKET - 1, 2), (BUCKET, 3), (5 * BUCKET, 4)]);
    let link = vec![complete(7, None)];
    journal.append(&Record::Published { entries: link }).expect("no faults");
    publish(&mut journal, &[(BUCKET, 6), (4, 7)]);
    for entry in [4, 5] {
        journal.append(&Record::Discard { entry, units: (0, 0) }).expect("no faults");
    }
    publish(&mut journal, &[(5, 8)]);
    let check = |journal: &Journal<MemoryFile>| {
        assert_eq!(roots(journal, 0), [(4, 7), (5, 8), (BUCKET - 1, 2)]);
        assert_eq!(roots(journal, 1), [(BUCKET, 6)]);
        assert_eq!(roots(journal, 2), []);
        assert_eq!(roots(journal, 5), [(5 * BUCKET, 4)]);
    };
    check(&journal);
    drop(journal);
    let (journal, claims) = open(&disk, NEVER);
    check(&journal);
    drop(journal);

    // Wasteful beyond any doubt: a journal of nothing but discards.
    let (mut journal, _) = open(&disk, NEVER);
    for _ in 0..100 {
        journal.append(&Record::Discard { entry: 9, units: (0, 0) }).expect("no faults");
    }
    let bytes = journal.log.bytes();
    drop(journal);
    let (mut journal, compacted) = open(&disk, 0);
    assert!(journal.log.bytes() < bytes, "not compacted");
    assert_eq!(compacted, claims);
    assert_eq!(roots(&journal, 0), [(5, 8), (BUCKET - 1, 2)]);
    assert_eq!(roots(&journal, 1), [(BUCKET, 6)]);
    publish(&mut journal, &[(6, 9)]);
    assert_eq!(roots(&journal, 0), [(5, 8), (6, 9), (BUCKET - 1, 2)]);
    let complete: Vec<EntryIndex> = compacted.complete.iter().map(|(entry, _)| entry).collect();
    assert_eq!(complete, [5, 7, BUCKET - 1, BUCKET, 5 * BUCKET]);
}

/// S-16: sizes of any kind, of records that are ours by their seal, are added up without a panic.
#[test]
fn absurd_sizes_add_up_to_the_largest_number() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk, NEVER);
    let entries = (5..9).map(|entry| Complete { bytes: u64::MAX, ..complete(entry, None) });
    journal.append(&Record::Published { entries: entries.collect() }).expect("no faults");
    drop(journal);
    let (_, claims) = open(&disk, NEVER);
    assert_eq!(claims.state(100, Completed::default()).kept_bytes, u64::MAX);
}
