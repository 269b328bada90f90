//! The receiver's journal, through the store that keeps it, on /dev/shm: appended to, made durable, read again.
//!
//! What is read again is written here, as docs/journal.md says: making a million units by transferring them would take
//! longer than all the rest. Every run asserts that the store believes each record of it.

use crate::tree;
use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput};
use rejoin::platform::OsDirectory;
use rejoin::store::{TargetLimits, TargetOptions, TargetStore};
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::disk::{TargetReply, TargetRequest, TargetState, UnitContent};
use rejoin::transfer::manifest::Page;
use rejoin::transfer::merge::{Value, unit_value};
use rejoin::wire::{SessionId, codec};
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use tempfile::TempDir;

const SESSION: SessionId = SessionId([1; 16]);
const BOOT: [u8; 16] = [2; 16];
const RECORDS: [u64; 2] = [100_000, 1_000_000];
/// Files that were complete, of which every other one is gone.
const FILES: [u64; 2] = [10_000, 100_000];
/// Units that a barrier covers here: about a second of a fast transfer.
const UNITS: u64 = 512;
/// Units of a file of 1 GiB, and files of a pack.
const GROUP: u64 = 1_024;

/// A unit of one byte, so that little but its record is written; the store's own share of a unit is in `benches/store.rs`.
pub(crate) fn append(criterion: &mut Criterion) {
    let target = Target::new();
    let (mut store, _) = target.open();
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(UNITS));
    group.bench_function("append", |bencher| {
        bencher.iter(|| (0..UNITS).for_each(|unit| write(&mut store, unit)));
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("append and barrier", |bencher| {
        bencher.iter(|| {
            write(&mut store, 0);
            let reply = store.handle(TargetRequest::Barrier { publish: Vec::new() });
            assert!(matches!(reply, Some(TargetReply::BarrierDone { .. })));
        });
    });
    group.finish();
}

fn write(store: &mut TargetStore<OsDirectory>, unit: u64) {
    let payload = Bytes::from_static(b"7");
    let value = unit_value([&payload[..]], 0, 1);
    let content = UnitContent::Part { entry: 0, offset: 0, file_bytes: 1, value };
    let reply = store.handle(TargetRequest::Write { unit, content, payload: vec![payload] });
    assert_eq!(reply, Some(TargetReply::Written { unit }));
}

/// G-02, G-03: what a receiver that was killed reads before it can say what it has.
pub(crate) fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal");
    group.sample_size(10);
    for records in RECORDS {
        let mut measure = |what, target, known| reopen(&mut group, what, &target, records, known);
        measure("open, units of one file", units_of_one_file(records), records);
        measure("open, pages only", pages_only(records), 0);
        measure("open, complete small files", small_files(records), records);
        let files = records.div_ceil(GROUP);
        measure(
            "open and compact, units of complete files",
            units_of_complete_files(records),
            files,
        );
    }
    for files in FILES {
        let what = "open, every other file discarded";
        reopen(&mut group, what, &discarded_files(files), files, files / 2);
    }
    group.finish();
}

/// Opens `target` as often as asked for, each time with the journal that it has now; `known` units or files are found.
fn reopen(
    group: &mut BenchmarkGroup<'_, WallTime>,
    what: &str,
    target: &Target,
    elements: u64,
    known: u64,
) {
    let journal = fs::read(target.journal()).unwrap();
    group.throughput(Throughput::Elements(elements));
    group.bench_function(format!("{what}/{elements}"), |bencher| {
        bencher.iter_batched(
            || fs::write(target.journal(), &journal).unwrap(),
            |()| {
                let (store, state) = target.open();
                assert_eq!(state.part_values.len() as u64 + state.complete.len(), known);
                (store, state)
            },
            BatchSize::PerIteration,
        );
    });
}

/// A file of so many units that is not complete: a record for each.
fn units_of_one_file(units: u64) -> Target {
    let target = Target::new();
    let file_bytes = units * UNIT_BYTES;
    target.keep(&tree::pages(3, file_bytes, tree::plain_name));
    fs::File::create(target.home().join("2.part")).unwrap().set_len(file_bytes).unwrap();
    let mut log = Log::new();
    for unit in 0..units {
        log.part(unit, 2, unit * UNIT_BYTES, file_bytes);
        if (unit + 1) % UNITS == 0 {
            log.barrier();
        }
    }
    log.barrier();
    target.write(log)
}

fn pages_only(entries: u64) -> Target {
    let target = Target::new();
    target.keep(&tree::pages(entries, 1_000, tree::plain_name));
    target
}

/// So many small files, all of them published; directories are taken for files, too.
fn small_files(files: u64) -> Target {
    let target = pages_only(files);
    let mut log = Log::new();
    for (unit, first) in (0..files).step_by(GROUP as usize).enumerate() {
        let entries = first..files.min(first + GROUP);
        let packed: Vec<(u64, (u64, Value))> =
            entries.clone().map(|entry| (entry, (1_000, value(entry)))).collect();
        log.append(&(PACK, unit as u64, packed));
        log.publish(entries, 1_000);
    }
    log.barrier();
    target.write(log)
}

/// Files of 1 GiB, all of them published: of their units nothing is worth keeping.
fn units_of_complete_files(units: u64) -> Target {
    let target = Target::new();
    let file_bytes = GROUP * UNIT_BYTES;
    target.keep(&tree::pages(units.div_ceil(GROUP), file_bytes, tree::plain_name));
    let mut log = Log::new();
    for (entry, first) in (0..units).step_by(GROUP as usize).enumerate() {
        for unit in first..units.min(first + GROUP) {
            log.part(unit, entry as u64, (unit - first) * UNIT_BYTES, file_bytes);
        }
        log.publish(entry as u64..entry as u64 + 1, file_bytes);
    }
    log.barrier();
    let target = target.write(log);
    let journal = fs::read(target.journal()).unwrap();
    drop(target.open());
    let compacted_bytes = fs::metadata(target.journal()).unwrap().len();
    assert!(compacted_bytes < journal.len() as u64 / 10, "not compacted: {compacted_bytes}");
    fs::write(target.journal(), &journal).unwrap();
    target
}

/// Complete files of two units each, of which somebody removed every other one: each hole is another range of units.
fn discarded_files(files: u64) -> Target {
    let target = Target::new();
    let file_bytes = 2 * UNIT_BYTES;
    target.keep(&tree::pages(files, file_bytes, tree::plain_name));
    let mut log = Log::new();
    for entry in 0..files {
        for part in 0..2 {
            log.part(2 * entry + part, entry, part * UNIT_BYTES, file_bytes);
        }
    }
    log.publish(0..files, file_bytes);
    for entry in (0..files).step_by(2) {
        log.append(&(DISCARD, entry, (2 * entry, 2 * entry + 2)));
    }
    log.barrier();
    target.write(log)
}

struct Target {
    root: TempDir,
}

impl Target {
    fn new() -> Self {
        Self { root: tempfile::tempdir_in("/dev/shm").unwrap() }
    }

    fn open(&self) -> (TargetStore<OsDirectory>, TargetState) {
        let limits = TargetLimits::default();
        let options = TargetOptions {
            session: SESSION,
            boot: BOOT,
            umask: 0o022,
            key: [0; 32],
            secret: [0; 32],
            limits,
        };
        TargetStore::open(OsDirectory::open(self.root.path()).unwrap(), options).unwrap()
    }

    fn home(&self) -> PathBuf {
        self.root.path().join(".rejoin").join(SESSION.to_string())
    }

    fn journal(&self) -> PathBuf {
        self.home().join("journal")
    }

    fn keep(&self, pages: &[Page]) {
        let (mut store, _) = self.open();
        for page in pages {
            let encoded = page.encode().unwrap().into();
            let reply = store.handle(TargetRequest::KeepPage { number: page.number, encoded });
            assert_eq!(reply, None);
        }
    }

    fn write(self, log: Log) -> Self {
        fs::write(self.journal(), log.bytes).unwrap();
        self
    }
}

const RUN: u32 = 0;
const PART: u32 = 2;
const PACK: u32 = 3;
const BARRIER: u32 = 4;
const PUBLISHING: u32 = 5;
const PUBLISHED: u32 = 6;
const DISCARD: u32 = 7;

/// A journal in memory. A record is encoded as its number and its fields.
struct Log {
    key: [u8; 32],
    last: [u8; 8],
    bytes: Vec<u8>,
}

impl Log {
    fn new() -> Self {
        let magic = *b"RJNJRNL\n";
        let mut hasher = blake3::Hasher::new_derive_key("rejoin 2026 log v1");
        let key = *hasher.update(&magic).update(&SESSION.0).finalize().as_bytes();
        let mut bytes = [&magic[..], &1_u32.to_le_bytes(), &SESSION.0].concat();
        let check = first_bytes(&blake3::keyed_hash(&key, &bytes));
        bytes.extend(check);
        let last = first_bytes(&blake3::keyed_hash(&key, &bytes));
        let mut log = Self { key, last, bytes };
        log.append(&(RUN, BOOT));
        log
    }

    fn append(&mut self, record: &impl bincode::Encode) {
        let body = codec::encode(record, "journal record", 1 << 20).unwrap();
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        self.last = first_bytes(&hasher.update(&self.last).update(&body).finalize());
        self.bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        self.bytes.extend(self.last);
        self.bytes.extend(body);
    }

    fn part(&mut self, unit: u64, entry: u64, offset: u64, file_bytes: u64) {
        self.append(&(PART, unit, entry, offset, file_bytes, value(unit)));
    }

    fn barrier(&mut self) {
        self.append(&(BARRIER,));
    }

    fn publish(&mut self, entries: Range<u64>, bytes: u64) {
        let entries: Vec<u64> = entries.collect();
        for batch in entries.chunks(4_096) {
            self.barrier();
            self.append(&(PUBLISHING, batch));
            let published: Vec<(u64, u64, Option<Value>)> =
                batch.iter().map(|&entry| (entry, bytes, Some(value(entry)))).collect();
            self.append(&(PUBLISHED, published));
        }
    }
}

fn first_bytes(hash: &blake3::Hash) -> [u8; 8] {
    std::array::from_fn(|at| hash.as_bytes()[at])
}

fn value(index: u64) -> Value {
    let mut value = [7; 32];
    value[..8].copy_from_slice(&index.to_le_bytes());
    value
}
