//! Each stage of a transfer alone, in memory or on tmpfs: what it could do at most if all others cost nothing.
//!
//! ```text
//! cargo bench --profile bench-fast --bench stages [-- 'hashing|manifest|codec|journal']
//! ```
//!
//! What a transfer asks of them: 600 MB/s of content, and 10^6 entries in about a second at each end. The figures are in
//! docs/copies.md; `benches/store.rs` has the disk side as a whole.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod codec;
mod hashing;
mod journal;
mod manifest;
mod tree;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    benches,
    hashing::hashing,
    manifest::manifest,
    codec::messages,
    codec::recovery,
    codec::signals,
    journal::append,
    journal::open
);
criterion_main!(benches);
