//! Pages of the manifest: to bytes and back, checked, and what a receiver builds from them.
//!
//! G-02 asks for 10^6 files: at both sizes the rates must be the same, or something grows with the tree.

use crate::tree;
use criterion::{BatchSize, Criterion, Throughput};
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::layout::Layout;
use rejoin::transfer::manifest::{DirectoryTable, Page, PageCheck, Verdict};
use std::hint::black_box;

const SMALL_BYTES: u64 = 4_096;
const LARGE_BYTES: u64 = 3 * UNIT_BYTES;
const ENTRIES: [u64; 2] = [100_000, 1_000_000];

pub(crate) fn manifest(criterion: &mut Criterion) {
    one_page(criterion);
    let mut group = criterion.benchmark_group("manifest");
    group.sample_size(10);
    for entries in ENTRIES {
        let pages = tree::pages(entries, SMALL_BYTES, tree::plain_name);
        let encoded: Vec<Vec<u8>> = pages.iter().map(|page| page.encode().unwrap()).collect();
        group.throughput(Throughput::Elements(entries));
        group.bench_function(format!("check/{entries}"), |bencher| {
            bencher.iter(|| check(black_box(&pages)));
        });
        group.bench_function(format!("directories and paths/{entries}"), |bencher| {
            bencher.iter(|| paths(black_box(&pages)));
        });
        // All that a receiver does in memory before it asks for content.
        group.bench_function(format!("take in/{entries}"), |bencher| {
            bencher.iter(|| take_in(black_box(&encoded)));
        });
    }

    let entries = ENTRIES[0];
    group.throughput(Throughput::Elements(entries));
    let pages = tree::pages(entries, SMALL_BYTES, |index| format!("Übergröße-{index:08}.jpg"));
    group.bench_function(format!("check, names beyond ASCII/{entries}"), |bencher| {
        bencher.iter(|| check(black_box(&pages)));
    });
    for (what, file_bytes) in [("packs", SMALL_BYTES), ("large files", LARGE_BYTES)] {
        let pages = tree::pages(entries, file_bytes, tree::plain_name);
        let verdicts = check(&pages);
        group.bench_function(format!("layout, {what}/{entries}"), |bencher| {
            bencher.iter(|| layouts(black_box(&pages), &verdicts));
        });
    }
    group.finish();
}

fn one_page(criterion: &mut Criterion) {
    let pages = tree::pages(1_024, SMALL_BYTES, tree::plain_name);
    let page = &pages[0];
    let encoded = page.encode().unwrap();
    let mut group = criterion.benchmark_group("manifest page");
    group.throughput(Throughput::Elements(page.entries.len() as u64));
    group.bench_function("encode", |bencher| bencher.iter(|| black_box(page).encode()));
    group.bench_function("decode", |bencher| {
        bencher.iter_with_large_drop(|| Page::decode(black_box(&encoded)));
    });
    group.bench_function("check", |bencher| {
        bencher.iter_batched_ref(
            PageCheck::new,
            |check| check.check(black_box(page)),
            BatchSize::SmallInput,
        );
    });
    // Where a complete file is gone at the target, or the two ends differ about it.
    let layout = Layout::new(page, &check(&pages)[0], 0);
    group.bench_function("segment of each entry", |bencher| {
        bencher.iter(|| {
            for (index, _) in page.iter() {
                black_box(layout.segment_of(black_box(index)));
            }
        });
    });
    group.finish();
}

fn check(pages: &[Page]) -> Vec<Vec<Verdict>> {
    let mut check = PageCheck::new();
    pages.iter().map(|page| check.check(page).unwrap()).collect()
}

fn paths(pages: &[Page]) {
    let mut table = DirectoryTable::new();
    for page in pages {
        table.add_page(page);
        for entry in &page.entries {
            black_box(table.path(entry).unwrap());
        }
    }
}

fn layouts(pages: &[Page], verdicts: &[Vec<Verdict>]) -> u64 {
    pages.iter().zip(verdicts).fold(0, |next_unit, (page, verdicts)| {
        black_box(Layout::new(page, verdicts, next_unit)).end_unit
    })
}

fn take_in(encoded: &[Vec<u8>]) -> u64 {
    let (mut check, mut table, mut next_unit) = (PageCheck::new(), DirectoryTable::new(), 0);
    for encoded in encoded {
        let page = Page::decode(encoded).unwrap();
        let verdicts = check.check(&page).unwrap();
        table.add_page(&page);
        for entry in &page.entries {
            black_box(table.path(entry).unwrap());
        }
        next_unit = black_box(Layout::new(&page, &verdicts, next_unit)).end_unit;
    }
    next_unit
}
