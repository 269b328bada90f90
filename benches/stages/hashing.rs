//! BLAKE3 as the product uses it: units, roots of files, the chain over pages, digests of complete files.
//!
//! The sender hashes what it read frame by frame, the receiver a unit in one piece; each byte once at either end ("What the
//! time goes to" in docs/copies.md has its share of a transfer).

use crate::tree;
use criterion::{Criterion, Throughput};
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::completed::{BUCKET_ENTRIES, Completed};
use rejoin::transfer::manifest::Chain;
use rejoin::transfer::merge::{Value, root, unit_value};
use rejoin::wire::SessionId;
use rejoin::wire::frame::BODY_BYTES;
use std::hint::black_box;

const FILE_BYTES: u64 = 1 << 30;
const SMALL_BYTES: usize = 4_096;

pub(crate) fn hashing(criterion: &mut Criterion) {
    let mut content = vec![0; UNIT_BYTES as usize];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    let mut group = criterion.benchmark_group("hashing");

    group.throughput(Throughput::Bytes(UNIT_BYTES));
    group.bench_function("unit in one piece", |bencher| {
        bencher.iter(|| unit_value([black_box(&content[..])], 5 * UNIT_BYTES, FILE_BYTES));
    });
    group.bench_function("unit in frames", |bencher| {
        bencher.iter(|| {
            unit_value(black_box(&content[..]).chunks(BODY_BYTES), 5 * UNIT_BYTES, FILE_BYTES)
        });
    });
    group.bench_function("unit of files of 4 KiB", |bencher| {
        bencher.iter(|| {
            for file in black_box(&content[..]).chunks(SMALL_BYTES) {
                black_box(unit_value([file], 0, SMALL_BYTES as u64));
            }
        });
    });
    group.bench_function("unit of files of 100 bytes", |bencher| {
        bencher.iter(|| {
            for file in black_box(&content[..]).chunks(100) {
                black_box(unit_value([file], 0, 100));
            }
        });
    });

    // What a file of 1 GiB costs beyond its units, in units.
    let values: Vec<Value> = (0..FILE_BYTES / UNIT_BYTES).map(value).collect();
    group.throughput(Throughput::Elements(values.len() as u64));
    group.bench_function("root of 1 GiB from its units", |bencher| {
        bencher.iter(|| root(black_box(&values)));
    });

    let page = tree::pages(1_024, SMALL_BYTES as u64, tree::plain_name)[0].encode().unwrap();
    let chain = Chain::start(SessionId([1; 16]));
    group.throughput(Throughput::Bytes(page.len() as u64));
    group.bench_function("chain over a page", |bencher| {
        bencher.iter(|| black_box(chain).extend(black_box(&page)));
    });

    // X7: what a receiver says of a million complete files at the start of every link.
    let files = 1_000_000;
    let completed: Completed = (0..files).map(|entry| (entry, value(entry))).collect();
    assert_eq!(completed.digests().len() as u64, files.div_ceil(BUCKET_ENTRIES));
    group.sample_size(20).throughput(Throughput::Elements(files));
    group.bench_function("digests of 1,000,000 complete files", |bencher| {
        bencher.iter(|| black_box(&completed).digests());
    });
    group.finish();
}

fn value(index: u64) -> Value {
    let mut value = [7; 32];
    value[..8].copy_from_slice(&index.to_le_bytes());
    value
}
