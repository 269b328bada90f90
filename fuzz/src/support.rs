//! Of the tests: what the bodies need of them.
#![allow(dead_code, reason = "the tests use the rest")]

#[path = "../../tests/it/support/model_source.rs"]
pub(crate) mod model_source;
#[path = "../../tests/it/support/random.rs"]
pub(crate) mod random;
#[path = "../../tests/it/support/target_options.rs"]
pub(crate) mod target_options;
