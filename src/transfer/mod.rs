//! What is moved and what is still missing: manifest, units, and the two machines that agree on them.
//!
//! Pure: no I/O, no clock, no tasks. The machines ask for disk work by value ([`disk`]) and get its outcome as an
//! input, so a test can fail, delay or crash any of it.

pub mod buckets;
pub mod completed;
pub mod disk;
pub mod layout;
pub mod manifest;
pub mod merge;
pub mod message;
pub mod missing;
pub mod name;
pub mod progress;
pub mod ranges;
pub mod receiver;
pub mod sender;
pub mod unit_values;

/// Largest content of a unit, in bytes: 1 MiB, a power of two of BLAKE3 chunks, so that the subtree values of aligned
/// units merge to the root of their file (design §5).
pub const UNIT_BYTES: u64 = 1 << 20;
