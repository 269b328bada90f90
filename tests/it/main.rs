//! The one integration binary.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test that gets another reply than it waits for fails, whichever it is"
)]

mod store_crash;
mod store_source;
mod store_state;
mod store_target;
mod support;
